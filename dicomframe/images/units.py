"""The unit of an image's values, once rescale, modality LUT or dose grid scaling are applied."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from dicomframe.errors import printable
from dicomframe.images.lut import functional_group
from dicomframe.images.real_world import real_world_unit

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from pydicom import Dataset

#: Units (0054,1001) of PET images (PS3.3 C.8.9.1.1.3), as they are usually written.
_PET = {
    "BQML": "Bq/ml",
    "CNTS": "counts",
    "CPS": "counts/s",
    "GML": "g/ml",
    "CM2ML": "cm2/ml",
    "PCNT": "%",
    "KBQML": "kBq/ml",
    "MGMINML": "mg/min/ml",
    "UMOLMINML": "umol/min/ml",
    "MLMING": "ml/min/g",
    "MLG": "ml/g",
    "1CM": "1/cm",
    "UMOLML": "umol/ml",
    "PROPCNTS": "proportional to counts",
    "PROPCPS": "proportional to counts/s",
    "MLMINML": "ml/min/ml",
    "MLML": "ml/ml",
    "GML_SUVBW": "g/ml",
    "STDDEV": "standard deviations",
    "NONE": "",
}
#: Rescale Type and Modality LUT Type (PS3.3 C.11.1.1.2).
_RESCALE = {
    "HU": "HU",
    "HU_MOD": "HU",
    "OD": "10^-3 OD",
    "US": "",
    "MGML": "mg/ml",
    "Z_EFF": "effective Z",
    "ED": "10^23 electrons/ml",
    "EDW": "electron density of water",
    "PCT": "%",
    "BQML": "Bq/ml",
    # Of no standard, and no units either.
    "SIGNAL INTENSITY": "",
    "normalized": "",
}


def unit_of(ds: Dataset, frame: int = 0, stored: NDArray[Any] | None = None) -> str:
    """Name the unit of an image's values, as `modality_values` gives them.

    Parameters
    ----------
    ds : pydicom.Dataset
    frame : int
        Frame index, from 0.
    stored : ndarray, optional
        The frame's stored values; with them, a Real World Value Mapping has to cover no others.

    Returns
    -------
    str
        ``"HU"``, ``"Bq/ml"``, ``"Gy"``, …; empty where the object names none. Where Rescale Type and Units tell none,
        that of the one Real World Value Mapping, if it is the rescale itself.

    Examples
    --------
    >>> from pydicom import dcmread, examples
    >>> unit_of(dcmread(examples.get_path("ct"))), unit_of(dcmread(examples.get_path("rt_dose")))
    ('HU', 'relative')
    """
    modality = str(ds.get("Modality") or "")
    if "DoseGridScaling" in ds:
        return "Gy" if str(ds.get("DoseUnits")) == "GY" else _told(ds.get("DoseUnits")).lower()
    if modality == "PT" and ds.get("Units"):
        return _PET.get(str(ds.Units), _told(ds.Units))
    source = functional_group(ds, frame, "PixelValueTransformationSequence") or ds
    kind = source.get("RescaleType")
    if ds.get("ModalityLUTSequence"):
        kind = ds.ModalityLUTSequence[0].get("ModalityLUTType")
    unit = _RESCALE.get(str(kind).strip(), _told(kind)) if kind else ""
    if not kind and modality == "CT" and source.get("RescaleSlope") is not None:
        # Rescale Type is required of CT where it is anything else (PS3.3 C.8.2.1).
        return "HU"
    return unit or real_world_unit(ds, frame, stored)


def _told(value: Any) -> str:
    """Give a unit that is none of the standard's as the file has it: short, and nothing that commands a terminal."""
    return printable(str(value or "").strip()[:16])
