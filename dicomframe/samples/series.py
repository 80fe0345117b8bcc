"""The series of the cohort: how each is named, set up and stored, as data."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

_CT = "1.2.840.10008.5.1.4.1.1.2"
_MR = "1.2.840.10008.5.1.4.1.1.4"
_PT = "1.2.840.10008.5.1.4.1.1.128"
_CR = "1.2.840.10008.5.1.4.1.1.1"
_US = "1.2.840.10008.5.1.4.1.1.6.1"
_US_MULTIFRAME = "1.2.840.10008.5.1.4.1.1.3.1"


@dataclass(frozen=True)
class SeriesPlan:
    """One kind of series.

    Parameters
    ----------
    sop_class : str
        SOP Class UID of its instances.
    description, protocol : str
        Series Description and Protocol Name.
    region : str
        Which anatomy it shows.
    kind : str
        How tissues look in it: a column of `dicomframe.samples.tissues.LOOKS`.
    slices : int
        How many instances it has.
    spacing : float
        From one slice to the next, in mm.
    first : float
        Where the lowest slice lies in the drawn anatomy, in mm.
    window : tuple
        Centres, widths and their explanations.
    attributes : dict
        Further attributes, by keyword.
    """

    sop_class: str
    description: str
    protocol: str
    region: str
    kind: str = ""
    slices: int = 1
    spacing: float = 0.0
    first: float = 0.0
    window: tuple[tuple[int, ...], tuple[int, ...], tuple[str, ...]] = ((), (), ())
    attributes: dict[str, Any] = field(default_factory=dict)


def _ct(kernel: str, current: int, exposure: int, **more: Any) -> dict[str, Any]:
    return {
        "ImageType": ["ORIGINAL", "PRIMARY", "AXIAL"],
        "ScanOptions": "HELICAL MODE",
        "KVP": 120,
        "DataCollectionDiameter": 500,
        "XRayTubeCurrent": current,
        "Exposure": exposure,
        "ExposureTime": 500,
        "FilterType": "FLAT",
        "GantryDetectorTilt": 0,
        "RotationDirection": "CW",
        "ConvolutionKernel": kernel,
        "PatientPosition": "HFS",
        "RescaleIntercept": -1024,
        "RescaleSlope": 1,
        "RescaleType": "HU",
    } | more


def _mr(
    sequence: str, variant: list[str], repetition: float, echo: float, train: int, **more: Any
) -> dict[str, Any]:
    return {
        "ImageType": ["ORIGINAL", "PRIMARY", "M", "ND"],
        "ScanningSequence": sequence,
        "SequenceVariant": variant,
        "ScanOptions": "",
        "MRAcquisitionType": "2D",
        "RepetitionTime": repetition,
        "EchoTime": echo,
        "EchoTrainLength": train,
        "NumberOfAverages": 1,
        "ImagingFrequency": 63.68,
        "ImagedNucleus": "1H",
        "MagneticFieldStrength": 1.5,
        "FlipAngle": 90,
        "PatientPosition": "HFS",
    } | more


SERIES: dict[str, SeriesPlan] = {
    "ct-chest": SeriesPlan(
        _CT, "CHEST 10.0 AXIAL", "Chest with contrast", "chest", "hu", 24, 10.0, -112.0,
        ((-500, 40), (1500, 400), ("LUNG", "MEDIASTINUM")),
        _ct("B40f", 210, 105, ContrastBolusAgent="IOHEXOL 300"),
    ),
    "ct-head": SeriesPlan(
        _CT, "HEAD 6.0 AXIAL", "Head routine", "head", "plain", 24, 6.0, -60.0,
        ((36, 400), (84, 2000), ("BRAIN", "BONE")),
        _ct("H31s", 280, 280),
    ),
    "ct-abdomen": SeriesPlan(
        _CT, "ABDOMEN 9.0 AXIAL PV", "Abdomen portal venous", "abdomen", "hu", 24, 9.0, -112.0,
        ((50,), (380,), ("ABDOMEN",)),
        _ct("B30f", 240, 120, ContrastBolusAgent="IOHEXOL 300"),
    ),
    "mr-brain-t2": SeriesPlan(
        _MR, "T2 TSE AXIAL", "Brain T2", "head", "t2", 24, 6.0, -60.0,
        attributes=_mr("SE", ["SK", "SP"], 4800, 96, 15),
    ),
    "mr-brain-t1": SeriesPlan(
        _MR, "T1 SE AXIAL", "Brain T1", "head", "t1", 24, 6.0, -60.0,
        attributes=_mr("SE", ["SP"], 520, 11, 1),
    ),
    "mr-brain-flair": SeriesPlan(
        _MR, "FLAIR AXIAL", "Brain FLAIR", "head", "flair", 24, 6.0, -60.0,
        attributes=_mr(["SE", "IR"], ["SK", "SP"], 9000, 118, 16, InversionTime=2500),  # type: ignore[arg-type]
    ),
    "mr-liver-t2": SeriesPlan(
        _MR, "T2 HASTE AXIAL", "Liver T2", "abdomen", "t2", 24, 7.0, -62.0,
        attributes=_mr("SE", ["SK", "SP", "OSP"], 1100, 92, 128),
    ),
    "mr-spine-t2": SeriesPlan(
        _MR, "T2 TSE SAGITTAL", "Lumbar spine T2", "spine", "t2", 24, 4.0, -46.0,
        attributes=_mr("SE", ["SK", "SP"], 3600, 102, 17),
    ),
    "pt-body": SeriesPlan(
        _PT, "PET WB AC", "FDG whole body", "body", "suv", 56, 15.0, -440.0,
        attributes={
            "ImageType": ["ORIGINAL", "PRIMARY"],
            "PatientPosition": "HFS",
            "Units": "BQML",
            "CountsSource": "EMISSION",
            "SeriesType": ["WHOLE BODY", "IMAGE"],
            "NumberOfSlices": 56,
            "CorrectedImage": ["NORM", "DTIM", "ATTN", "SCAT", "DECY", "RAN"],
            "DecayCorrection": "START",
            "AttenuationCorrectionMethod": "measured, CT",
            "ScatterCorrectionMethod": "Model-based",
            "RandomsCorrectionMethod": "DLYD",
            "ReconstructionMethod": "PSF+TOF 3i21s",
            "CollimatorType": "NONE",
            "ActualFrameDuration": 120_000,
        },
    ),
    "cr-chest": SeriesPlan(
        _CR, "PA", "Chest PA", "chest",
        attributes={
            "ImageType": ["ORIGINAL", "PRIMARY"],
            "KVP": 125,
            "DistanceSourceToDetector": 1800,
            "ExposureTime": 8,
            "XRayTubeCurrent": 320,
            "PlateType": "CSI",
            "ViewPosition": "PA",
            "PatientOrientation": ["L", "F"],
        },
    ),
    "us-liver": SeriesPlan(_US, "LIVER", "Abdomen", "liver"),
    "us-kidney": SeriesPlan(_US, "RIGHT KIDNEY", "Abdomen", "kidney"),
    "us-heart": SeriesPlan(_US_MULTIFRAME, "PARASTERNAL LONG AXIS", "Adult echo", "heart"),
}  # fmt: skip
