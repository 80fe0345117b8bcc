"""The unit of an image's values, once rescale, modality LUT or dose grid scaling are applied."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dicomframe.images.lut import functional_group

if TYPE_CHECKING:
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
}


def unit_of(ds: Dataset, frame: int = 0) -> str:
    """Name the unit of an image's values, as `modality_values` gives them.

    Parameters
    ----------
    ds : pydicom.Dataset
    frame : int
        Frame index, from 0.

    Returns
    -------
    str
        ``"HU"``, ``"Bq/ml"``, ``"Gy"``, …; empty where the object names none.

    Examples
    --------
    >>> from pydicom import dcmread, examples
    >>> unit_of(dcmread(examples.get_path("ct"))), unit_of(dcmread(examples.get_path("rt_dose")))
    ('HU', 'relative')
    """
    modality = str(ds.get("Modality") or "")
    if "DoseGridScaling" in ds:
        return "Gy" if str(ds.get("DoseUnits")) == "GY" else str(ds.get("DoseUnits") or "").lower()[:16]
    if modality == "PT" and ds.get("Units"):
        units = str(ds.Units)
        return _PET.get(units, units[:16])
    source = functional_group(ds, frame, "PixelValueTransformationSequence") or ds
    kind = source.get("RescaleType")
    if ds.get("ModalityLUTSequence"):
        kind = ds.ModalityLUTSequence[0].get("ModalityLUTType")
    if kind:
        return _RESCALE.get(str(kind).strip(), str(kind).strip()[:16])
    # Rescale Type is required of CT where it is anything else (PS3.3 C.8.2.1).
    return "HU" if modality == "CT" and source.get("RescaleSlope") is not None else ""
