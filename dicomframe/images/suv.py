"""Standardized uptake values by body weight, after the QIBA profile's vendor-neutral pseudo-code.

SUVbw = activity (Bq/ml) x weight (g) / dose (Bq), the dose decayed to the moment that the activity is corrected to.
"""

from __future__ import annotations

import math
import re
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from dicomframe.errors import DecodeError
from dicomframe.images.reading import private_value, reading

if TYPE_CHECKING:
    from pydicom import Dataset

_TIME = re.compile(r"([0-9]{2})([0-9]{2})?([0-9]{2})?(\.[0-9]{1,6})?")
_DATE_TIME = re.compile(r"([0-9]{8})([0-9]{2,6})(\.[0-9]{1,6})?([+-][0-9]{4})?")
#: Philips' own factors: counts to SUVbw, and counts to Bq/ml.
_PHILIPS = "Philips PET Private Group"
_GE = "GEMS_PETD_01"


@reading("the tracer's attributes")
def suv_factor(ds: Dataset) -> float:
    """Give what the values of a PET image are multiplied by to become SUVbw in g/ml.

    Parameters
    ----------
    ds : pydicom.Dataset
        A PET image. Its values are those after rescale (`modality_values`).

    Returns
    -------
    float
        For Units BQML, by weight, dose, half-life and times, as Decay Correction (START, ADMIN or NONE) calls for;
        for CNTS, by Philips' private factor; for GML, 1.

    Raises
    ------
    DecodeError
        If it is no PET image, or a tag that this takes is missing or impossible; the message names each.

    Notes
    -----
    Decay Correction START means corrected to the start of the series (PS3.3 C.8.9.1.1.5). Where Series Time is later
    than Acquisition Time, it is that of a later reconstruction: then the start comes from GE's private scan time or,
    as everywhere else, from Acquisition Time and Frame Reference Time. A start time without a date that is later
    than the scan was on the day before it.

    Examples
    --------
    >>> from pydicom import Dataset
    >>> ds = Dataset()
    >>> ds.Modality, ds.Units = "PT", "GML"
    >>> suv_factor(ds)
    1.0
    """
    if ds.get("Modality") != "PT":
        raise DecodeError("Only PET images (Modality PT) have uptake values.")
    units = str(ds.get("Units") or "")
    if units == "GML":
        kind = str(ds.get("SUVType") or "BW")
        if kind != "BW":
            raise DecodeError(
                f"The values are uptake values already, but of another kind: SUVType {kind[:16]!r}."
            )
        return 1.0
    if units == "CNTS":
        return _of_counts(ds)
    if units == "BQML":
        return _of_activity(ds)
    if not units:
        raise _missing(["Units (0054,1001)"])
    raise DecodeError(f"Uptake values come from Units BQML, CNTS or GML, not {units[:16]!r}.")


def _of_counts(ds: Dataset) -> float:
    factor = _private_number(ds, 0x7053, 0x00, _PHILIPS)
    if factor:
        return factor
    to_activity = _private_number(ds, 0x7053, 0x09, _PHILIPS)
    if to_activity:
        return to_activity * _of_activity(ds)
    raise _missing([f"Philips' SUV factor (7053,1000), or its activity factor (7053,1009), of {_PHILIPS}"])


def _of_activity(ds: Dataset) -> float:
    tracer = (ds.get("RadiopharmaceuticalInformationSequence") or [{}])[0]
    weight = _positive(ds, "PatientWeight")
    dose = _positive(tracer, "RadionuclideTotalDose")
    correction = str(ds.get("DecayCorrection") or "").upper()
    corrected = [str(value).upper() for value in _several(ds.get("CorrectedImage"))]
    missing = [
        name
        for name, value in (
            ("PatientWeight (0010,1030)", weight),
            ("RadionuclideTotalDose (0018,1074)", dose),
            ("DecayCorrection (0054,1102)", correction),
            ("CorrectedImage (0028,0051)", corrected),
        )
        if not value
    ]
    half_life = None
    if correction != "ADMIN":
        half_life = _positive(tracer, "RadionuclideHalfLife")
        missing += [] if half_life else ["RadionuclideHalfLife (0018,1075)"]
    if correction and correction not in {"START", "ADMIN", "NONE"}:
        raise DecodeError(f"DecayCorrection must be START, ADMIN or NONE, not {correction[:16]!r}.")
    if missing or weight is None or dose is None:
        raise _missing(missing)
    needed = {"ATTN"} if correction == "NONE" else {"ATTN", "DECY"}
    if not needed <= set(corrected):
        raise DecodeError(
            f"CorrectedImage (0028,0051) lacks {' and '.join(sorted(needed - set(corrected)))}: the activity is not"
            " corrected as uptake values need it."
        )
    if half_life is None:
        return weight * 1000.0 / dose
    seconds = _decay_time(ds, tracer, half_life, of_frame=correction == "NONE").total_seconds()
    return float(weight * 1000.0 / (dose * 2.0 ** (-seconds / half_life)))


def _decay_time(ds: Dataset, tracer: Any, half_life: float, *, of_frame: bool) -> timedelta:
    """Give the time from injection to the moment that the activity holds for."""
    moment = _frame_time(ds, half_life) if of_frame else _scan_start(ds, half_life)
    injected = _date_time(tracer.get("RadiopharmaceuticalStartDateTime"), ds)
    if injected is None:
        time = _time(tracer.get("RadiopharmaceuticalStartTime"))
        if time is None:
            raise _missing(
                ["RadiopharmaceuticalStartDateTime (0018,1078) or RadiopharmaceuticalStartTime (0018,1072)"]
            )
        injected = moment.replace(hour=0, minute=0, second=0, microsecond=0) + time
        if injected > moment:
            injected -= timedelta(days=1)
    if injected > moment:
        raise DecodeError("RadiopharmaceuticalStartDateTime (0018,1078) is later than the scan.")
    return moment - injected


def _scan_start(ds: Dataset, half_life: float) -> datetime:
    """Give the moment that values are decay-corrected to with Decay Correction START."""
    series, acquisition = _moment(ds, "Series"), _moment(ds, "Acquisition")
    if series is not None and (acquisition is None or series <= acquisition):
        return series
    block = private_value(ds, 0x0009, 0x0D, _GE)
    scan = _date_time(block, ds)
    if scan is not None:
        return scan
    reference = _positive(ds, "FrameReferenceTime")
    if acquisition is None:
        raise _missing(["SeriesDate and SeriesTime (0008,0021 and 0031)"])
    if reference is None or _positive(ds, "ActualFrameDuration") is None:
        raise DecodeError(
            "SeriesTime (0008,0031) is later than AcquisitionTime, so the start of the scan must be found otherwise:"
            " FrameReferenceTime (0054,1300) or ActualFrameDuration (0018,1242) is missing."
        )
    return _frame_time(ds, half_life) - timedelta(milliseconds=reference)


def _frame_time(ds: Dataset, half_life: float) -> datetime:
    """Give the moment in a frame at which the activity is the frame's mean."""
    acquisition, duration = _moment(ds, "Acquisition"), _positive(ds, "ActualFrameDuration")
    missing = [] if acquisition else ["AcquisitionDate and AcquisitionTime (0008,0022 and 0032)"]
    missing += [] if duration else ["ActualFrameDuration (0018,1242)"]
    if acquisition is None or duration is None:
        raise _missing(missing)
    constant = math.log(2) / half_life
    decay = constant * duration / 1000.0
    return acquisition + timedelta(seconds=math.log(decay / -math.expm1(-decay)) / constant)


def _missing(names: list[str]) -> DecodeError:
    return DecodeError(f"Uptake values cannot be computed: {', '.join(names)} is missing or impossible.")


def _positive(item: Any, keyword: str) -> float | None:
    value = item.get(keyword)
    value = getattr(value, "value", value)
    try:
        number = float(value) if value is not None and value != "" else 0.0
    except (TypeError, ValueError):
        return None
    return number if number > 0 and math.isfinite(number) else None


def _several(value: Any) -> list[Any]:
    if value is None or value == "":
        return []
    return list(value) if hasattr(value, "append") else [value]


def _moment(ds: Dataset, prefix: str) -> datetime | None:
    """Put a date and a time together."""
    time = _time(ds.get(f"{prefix}Time"))
    try:
        day = datetime.strptime(str(ds.get(f"{prefix}Date") or ""), "%Y%m%d")  # noqa: DTZ007 - as the scanner's clock
    except ValueError:
        return None
    return day + time if time is not None else None


def _time(value: Any) -> timedelta | None:
    """Read TM: hours, minutes, seconds, the latter ones optional; colons are of old."""
    match = _TIME.fullmatch(str(value or "").replace(":", "").strip())
    if not match:
        return None
    hours, minutes, seconds = (int(part or 0) for part in match.groups()[:3])
    return timedelta(hours=hours, minutes=minutes, seconds=seconds + float(match[4] or 0))


def _date_time(value: Any, ds: Dataset) -> datetime | None:
    """Read DT by the scanner's clock; one with an offset is brought to the object's own, where that is told."""
    match = _DATE_TIME.fullmatch(str(value or "").strip())
    time = _time((match[2] or "") + (match[3] or "")) if match else None
    if match is None or time is None:
        return None
    try:
        moment = datetime.strptime(match[1], "%Y%m%d") + time  # noqa: DTZ007 - as the scanner's clock
    except ValueError:
        return None
    own, told = _offset(ds.get("TimezoneOffsetFromUTC")), _offset(match[4])
    return moment + (own - told) if own is not None and told is not None else moment


def _offset(value: Any) -> timedelta | None:
    match = re.fullmatch(r"([+-])([0-9]{2})([0-9]{2})", str(value or "").strip())
    if not match:
        return None
    return timedelta(hours=int(match[2]), minutes=int(match[3])) * (-1 if match[1] == "-" else 1)


def _private_number(ds: Dataset, group: int, element: int, creator: str) -> float | None:
    """Read a number from a private block; of unknown VR, it is still DS."""
    value = private_value(ds, group, element, creator)
    text = value.decode("ascii", "replace") if isinstance(value, bytes) else value
    return _positive({"": text}, "")
