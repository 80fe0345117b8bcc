"""Real World Value Mappings: what stored values stand for, beside rescale or in its place (PS3.3 C.7.6.16.2.11).

They are not applied. Where one says the same as the rescale does, its unit is that of the values; others are told.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from dicomframe.errors import DecodeError, printable
from dicomframe.images.lut import functional_group_items, rescale_of
from dicomframe.images.reading import reading

if TYPE_CHECKING:
    from pydicom import Dataset

_SEQUENCE = "RealWorldValueMappingSequence"
#: UCUM codes whose unit has another name here, where it comes from Units or Rescale Type; others are their own names.
_UCUM = {
    "[hnsf'U]": "HU",
    "g/ml{SUVbw}": "g/ml",
    "{SUVbw}g/ml": "g/ml",
    "{counts}": "counts",
    "{counts}/s": "counts/s",
    "{propcounts}": "proportional to counts",
    "{propcounts}/s": "proportional to counts/s",
    "/cm": "1/cm",
    "1": "",
}
#: Slopes and intercepts that differ by less are the same: those of rescale are decimals, of mappings binary.
_NEAR = 1e-6


@dataclass(frozen=True, slots=True)
class RealWorldMapping:
    """One item of a Real World Value Mapping Sequence.

    Parameters
    ----------
    name : str
        Its unit's code, else its LUT Label (0040,9210), for people; may be empty.
    unit : str
        Of the values it gives; empty where they have none, or one that is not coded by UCUM.
    line : (float, float) or None
        Slope and intercept; None where it maps by a table, or cannot be read.
    span : (float, float) or None
        The first and the last stored value that it maps.
    """

    name: str = ""
    unit: str = ""
    line: tuple[float, float] | None = None
    span: tuple[float, float] | None = None

    def is_line(self, slope: float, intercept: float) -> bool:
        """Tell whether it is the line of a slope and an intercept."""
        return (
            self.line is not None
            and math.isclose(self.line[0], slope, rel_tol=_NEAR)
            and math.isclose(self.line[1], intercept, rel_tol=_NEAR, abs_tol=_NEAR * abs(slope))
        )

    def covers(self, ends: tuple[float, float] | None) -> bool:
        """Tell whether it maps everything between two stored values."""
        return None not in {self.span, ends} and self.span[0] <= ends[0] and ends[1] <= self.span[1]  # type: ignore[index]


def mappings_of(ds: Dataset, frame: int = 0) -> list[RealWorldMapping]:
    """Give the mappings that hold for one frame: its own, else those of all frames, else the image's.

    Parameters
    ----------
    ds : pydicom.Dataset
    frame : int
        Frame index, from 0.

    Returns
    -------
    list of RealWorldMapping
        In the order of the file; one that cannot be read has neither line nor span.

    Examples
    --------
    >>> from pydicom import Dataset
    >>> mappings_of(Dataset())
    []
    """
    items: Sequence[Dataset] = functional_group_items(ds, frame, _SEQUENCE) or ds.get(_SEQUENCE) or []
    found = []
    for item in items:
        try:
            with reading("a Real World Value Mapping"):
                found.append(_read(item, ds))
        except DecodeError:
            found.append(RealWorldMapping("one that cannot be read"))
    return found


def real_world_unit(ds: Dataset, frame: int = 0, stored: NDArray[Any] | None = None) -> str:
    """Give the unit of values after rescale that a mapping names.

    Parameters
    ----------
    ds : pydicom.Dataset
    frame : int
        Frame index, from 0.
    stored : ndarray, optional
        The frame's stored values, which the mapping must cover; without them, all that the bits can hold, or those of
        Float Pixel Data.

    Returns
    -------
    str
        Empty unless there is exactly one mapping, it is the line of the rescale, and it covers the values.
    """
    mappings = mappings_of(ds, frame)
    if len(mappings) != 1 or not _is_as_rescaled(mappings[0], ds, frame, 1.0):
        return ""
    return mappings[0].unit if mappings[0].covers(_ends(ds, frame, stored)) else ""


def not_applied(
    ds: Dataset, frame: int = 0, stored: NDArray[Any] | None = None, factor: float = 1.0
) -> list[str]:
    """Name each mapping that says something else than the values after rescale.

    Parameters
    ----------
    ds, frame, stored
        As for `real_world_unit`.
    factor : float
        What the values were multiplied by (`dicomframe.images.suv.suv_factor`).

    Returns
    -------
    list of str
        The code of its unit, its label, or that it has none; with the stored values that it covers where only these
        keep it from being what the values are.
    """
    mappings = mappings_of(ds, frame)
    ends = _ends(ds, frame, stored) if mappings else None
    names = []
    for mapping in mappings:
        name = mapping.name or "without a unit"
        if not _is_as_rescaled(mapping, ds, frame, factor):
            names.append(name)
        elif not mapping.covers(ends):
            first, last = mapping.span or (math.nan, math.nan)
            names.append(f"{name} (as the values are, but of stored values {first:g} to {last:g} only)")
    return names


def note_of(names: Sequence[str]) -> str:
    """Say what `not_applied` found, in a sentence; empty where that is nothing.

    Examples
    --------
    >>> note_of(["g/ml{SUVbw}"])
    'Real World Value Mappings are not applied: g/ml{SUVbw}.'
    """
    if not names:
        return ""
    return f"Real World Value Mappings are not applied: {', '.join(dict.fromkeys(names))}."


def _is_as_rescaled(mapping: RealWorldMapping, ds: Dataset, frame: int, factor: float) -> bool:
    """Tell whether a mapping is the rescale of a frame, or that times a factor."""
    if ds.get("ModalityLUTSequence"):
        return False
    slope, intercept = rescale_of(ds, frame)
    return any(mapping.is_line(slope * by, intercept * by) for by in (1.0, factor))


def _ends(ds: Dataset, frame: int, stored: NDArray[Any] | None) -> tuple[float, float] | None:
    """Give the least and the greatest stored value, without padding: those there are, else those there can be."""
    from dicomframe.images.windowing import padding_of

    if stored is None and "PixelData" in ds:
        bits = int(ds.get("BitsStored") or 16)
        least = -(1 << bits - 1) if ds.get("PixelRepresentation") == 1 else 0
        return least, least + (1 << bits) - 1
    seen = _floats(ds, frame) if stored is None else stored[~padding_of(stored, ds)]
    seen = seen[np.isfinite(seen)]
    return (float(seen.min()), float(seen.max())) if seen.size else None


def _floats(ds: Dataset, frame: int) -> NDArray[Any]:
    """Give a frame of Float or Double Float Pixel Data, which are never compressed; nothing where it is not there."""
    kind = "<f4" if "FloatPixelData" in ds else "<f8"
    data = ds.get("FloatPixelData") or ds.get("DoubleFloatPixelData") or b""
    length = int(ds.get("Rows") or 0) * int(ds.get("Columns") or 0) * int(kind[2:])
    part = data[frame * length : (frame + 1) * length]
    return np.frombuffer(part if len(part) == length else b"", kind)


def _read(item: Dataset, ds: Dataset) -> RealWorldMapping:
    code = (item.get("MeasurementUnitsCodeSequence") or [{}])[0]
    value = str(code.get("CodeValue") or "").strip()
    is_ucum = str(code.get("CodingSchemeDesignator") or "").strip() == "UCUM"
    # Code Value is SH, of 16 characters; a longer one is none of UCUM's that a reader should meet cut off.
    unit = _UCUM.get(value, printable(value)) if is_ucum and len(value) <= 16 else ""
    slope, intercept = item.get("RealWorldValueSlope"), item.get("RealWorldValueIntercept")
    has_line = slope is not None and intercept is not None and "RealWorldValueLUTData" not in item
    return RealWorldMapping(
        name=printable((value or str(item.get("LUTLabel") or "").strip())[:16]),
        unit=unit,
        line=(float(slope), float(intercept)) if has_line else None,
        span=_span(item, is_signed=ds.get("PixelRepresentation") == 1),
    )


def _span(item: Dataset, *, is_signed: bool) -> tuple[float, float] | None:
    ends = [item.get(f"DoubleFloatRealWorldValue{end}ValueMapped") for end in ("First", "Last")]
    if None not in ends:
        return float(ends[0]), float(ends[1])
    ends = [item.get(f"RealWorldValue{end}ValueMapped") for end in ("First", "Last")]
    if None in ends:
        return None
    # US or SS as the stored values are, but files have the one in place of the other.
    low, top = (-(1 << 15), (1 << 15) - 1) if is_signed else (0, (1 << 16) - 1)
    first, last = (
        int(end) - (1 << 16) if int(end) > top else int(end) + (1 << 16) if int(end) < low else int(end)
        for end in ends
    )
    return float(first), float(last)
