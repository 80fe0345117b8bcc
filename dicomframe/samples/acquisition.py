"""Each series of the cohort: its patient's anatomy, imaged as its plan says."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import timedelta
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from dicomframe.samples import nuclear, radiograph, ultrasound
from dicomframe.samples.canvas import Dice, Floats
from dicomframe.samples.headers import (
    HALF_LIFE,
    UPTAKE_TIME,
    Values,
    decimals,
    injected_dose,
    instance_header,
)
from dicomframe.samples.plan import Study, studies
from dicomframe.samples.series import SeriesPlan
from dicomframe.samples.tissues import Tissue, look_up_table
from dicomframe.samples.volume import (
    Anatomy,
    Lesion,
    Shape,
    add_couch,
    anatomy,
    ct_values,
    mr_values,
    sections,
)

if TYPE_CHECKING:
    from pydicom import Dataset

#: Rows and columns, and field of view in mm of a body of the drawn size.
_MATRIX = {"CT": 160, "MR": 144, "PT": 88}
_FIELD = {"chest": 384.0, "head": 236.0, "abdomen": 376.0, "spine": 268.0, "body": 528.0}

#: One instance: what it has of its own, and its pixels.
Instance = tuple[dict[str, Values], NDArray[Any]]


def instances(study: Study, plan: SeriesPlan, header: Dataset) -> Iterator[Instance]:
    """Image one series.

    Parameters
    ----------
    study : Study
    plan : SeriesPlan
    header : pydicom.Dataset
        Of the series; what the pixels decide (rows, spacing, windows) is added to it before the first instance.

    Yields
    ------
    (dict, ndarray)
        The instance's own attributes by keyword, and its pixels as they are stored.
    """
    yield from _IMAGERS[str(header.Modality)](study, plan, header)


@cache
def _visits() -> dict[str, tuple[str, ...]]:
    """Give the studies of each patient, by UID, in order."""
    found: dict[str, tuple[str, ...]] = {}
    for study in studies():
        found[study.patient.patient_id] = (*found.get(study.patient.patient_id, ()), study.uid)
    return found


def shape_of(study: Study, region: str) -> Shape:
    """Give how this patient's body differs from the drawn one: by height and weight, and a little by chance."""
    patient = study.patient
    dice = Dice("body", patient.patient_id, region)
    girth = (patient.weight / patient.height**2 / 26.0) ** 0.5 * (patient.height / 1.72) ** 0.6
    size = min(max(girth, 0.62), 1.16)
    if region in {"head", "spine"}:
        size = min(patient.height / 1.72, 1.0) ** 0.25 * dice.uniform(0.95, 1.04)
    deep = size * dice.uniform(0.94, 1.07)
    bend = {"head": 1.6, "spine": 3.0}.get(region, 4.0)
    return Shape(size, deep, dice.uniform(-6.0, 6.0), bend, f"{patient.patient_id}/{region}")


def lesions_of(study: Study, region: str) -> list[Lesion]:
    """Give a patient's findings in a region: the same ones in each study, larger in later ones."""
    visits = _visits()[study.patient.patient_id]
    dice = Dice("lesions", study.patient.patient_id, region)
    if len(visits) == 1 and dice.below(3):
        return []
    grown = 1.0 + 0.18 * visits.index(study.uid)
    return _FINDINGS[region](dice, grown) if region in _FINDINGS else []


def _in_liver(dice: Dice, grown: float) -> list[Lesion]:
    return [
        Lesion(
            dice.uniform(-104, -56),
            dice.uniform(-44, 36),
            dice.uniform(24, 70),
            dice.uniform(6, 15) * grown,
            Tissue.LESION,
        )
        for _ in range(1 + dice.below(3))
    ]


def _in_brain(dice: Dice, grown: float) -> list[Lesion]:
    side = (-1, 1)[dice.below(2)]
    x, y, z = side * dice.uniform(24, 34), dice.uniform(-34, 36), dice.uniform(12, 40)
    kind, rim = ((Tissue.LESION, Tissue.EDEMA), (Tissue.EDEMA, None), (Tissue.BLEEDING, Tissue.EDEMA))[
        dice.below(3)
    ]
    return [Lesion(x, y, z, dice.uniform(6, 10) * grown, kind, rim)]


def _in_lung(dice: Dice, grown: float) -> list[Lesion]:
    side = (-1, 1)[dice.below(2)]
    return [
        Lesion(
            side * dice.uniform(66, 96),
            dice.uniform(-30, 44),
            dice.uniform(-30, 60),
            dice.uniform(5, 11) * grown,
            Tissue.NODULE,
        )
    ]


def _in_body(dice: Dice, grown: float) -> list[Lesion]:
    side = (-1, 1)[dice.below(2)]
    found = [
        Lesion(
            side * dice.uniform(50, 84),
            dice.uniform(-20, 30),
            dice.uniform(-20, 70),
            12.0 * grown,
            Tissue.NODULE,
        )
    ]
    found += [
        Lesion(dice.uniform(-30, 30), dice.uniform(0, 30), dice.uniform(20, 100), 9.0 * grown, Tissue.NODULE)
        for _ in range(dice.below(4))
    ]
    return found


_FINDINGS: dict[str, Callable[[Dice, float], list[Lesion]]] = {
    "abdomen": _in_liver,
    "head": _in_brain,
    "chest": _in_lung,
    "body": _in_body,
}


def _grid(modality: str, shape: Shape, region: str) -> tuple[Floats, float]:
    """Give coordinates of columns (or rows) around the middle, and the pixel spacing, in mm."""
    count = _MATRIX[modality]
    field = min(
        round(_FIELD[region] * max(shape.wide, shape.deep, 0.8) / 4.0) * 4.0, 552.0
    )  # the bore is no wider
    spacing = round(field / count, 4)
    return ((np.arange(count) - (count - 1) / 2) * spacing).astype(np.float32), spacing


def _with_values(lesions: list[Lesion], kind: str) -> list[tuple[Lesion, float, float]]:
    table = look_up_table(kind)
    return [(lesion, float(table[lesion.tissue]), float(table[lesion.rim or 0])) for lesion in lesions]


def _describe_pixels(header: Dataset, picture: NDArray[Any], bits: int, *, signed: bool = False) -> None:
    """Add the Image Pixel module (PS3.3 C.7.6.3) for pictures of shape (..., rows, columns)."""
    header.SamplesPerPixel = 1
    header.PhotometricInterpretation = "MONOCHROME2"
    header.Rows, header.Columns = picture.shape[-2:]
    header.BitsAllocated = 8 if bits <= 8 else 16
    header.BitsStored = bits
    header.HighBit = bits - 1
    header.PixelRepresentation = int(signed)


def cut_stack(
    study: Study, plan: SeriesPlan, header: Dataset
) -> tuple[Floats, list[list[str]], tuple[Floats, Floats]]:
    """Cut the sections of a CT, MR or PET series; describe the geometry in the header.

    Returns
    -------
    values : ndarray, shape (slices, rows, columns)
    positions : list
        Image Position (Patient) of each.
    axes : (ndarray, ndarray)
        Of the rows and the columns.
    """
    modality = str(header.Modality)
    region = (
        plan.region
        if plan.region != "chest"
        else f"chest-{study.patient.sex if study.patient.sex == 'F' else 'M'}"
    )
    shape = shape_of(study, plan.region)
    across, spacing = _grid(modality, shape, plan.region)
    along = [plan.first + plan.spacing * number for number in range(plan.slices)]
    if modality == "CT" and plan.region != "head":
        along.reverse()  # the first picture is the highest one
    thickness = plan.spacing * (0.85 if modality == "MR" else 1.0)
    source = nuclear.body() if region == "body" else anatomy(region, plan.kind)
    lesions = _with_values(lesions_of(study, plan.region), plan.kind)
    header.PixelSpacing = decimals(spacing, spacing)
    header.SliceThickness, header.SpacingBetweenSlices = decimals(thickness, plan.spacing)
    if plan.region == "spine":
        source = _seen_from_the_right(source)
        down = across[::-1].copy()
        header.ImageOrientationPatient = [0, 1, 0, 0, 0, -1]
        positions = [decimals(x, across[0], down[0]) for x in along]
    else:
        down = across - np.float32(4.0 if plan.region == "chest" else 0.0)
        header.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
        positions = [decimals(across[0], down[0], z) for z in along]
    values = sections(source, shape, across, down, along, thickness, lesions)
    return values, positions, (down, across)


def _seen_from_the_right(source: Anatomy) -> Anatomy:
    """Turn a volume so that its sections are sagittal: rows along z, columns along y."""
    return Anatomy(source.y, source.z, source.x, np.ascontiguousarray(source.values.transpose(2, 0, 1)))


def _series_of(
    study: Study,
    header: Dataset,
    values: NDArray[Any],
    positions: list[list[str]],
    step: float,
    **attributes: list[str],
) -> Iterator[Instance]:
    """Give the slices of a stack, one every `step` seconds; each attribute has one value a slice."""
    started = study.start + timedelta(minutes=4 * int(header.SeriesNumber))
    normal = 0 if list(header.ImageOrientationPatient)[:3] == [0, 1, 0] else 2
    for number, (picture, position) in enumerate(zip(values, positions, strict=True)):
        own = {keyword: several[number] for keyword, several in attributes.items()}
        moment = started + timedelta(seconds=step * number)
        yield (
            instance_header(
                header,
                number + 1,
                moment,
                ImagePositionPatient=position,
                SliceLocation=position[normal],
                **own,
            ),
            picture,
        )


def _computed_tomography(study: Study, plan: SeriesPlan, header: Dataset) -> Iterator[Instance]:
    values, positions, (down, across) = cut_stack(study, plan, header)
    dice = Dice("scan", study.uid, plan.description)
    if plan.region != "head":
        add_couch(values, across, down, 128.0 * shape_of(study, plan.region).deep)
    stored = ct_values(values, dice, 4.5 if plan.region == "head" else 13.0)
    _describe_pixels(header, stored, 12)
    header.ReconstructionDiameter = decimals(float(header.PixelSpacing[0]) * stored.shape[2])[0]
    header.TableHeight = decimals(dice.uniform(120.0, 170.0))[0]
    yield from _series_of(study, header, stored, positions, 0.35)


def _magnetic_resonance(study: Study, plan: SeriesPlan, header: Dataset) -> Iterator[Instance]:
    values, positions, axes = cut_stack(study, plan, header)
    dice = Dice("scan", study.uid, plan.description)
    stored = mr_values(values, dice, 11.0, axes)
    _describe_pixels(header, stored, 12)
    low, high = (int(number) for number in np.percentile(stored[::3], [8.0, 99.2]))
    header.WindowCenter, header.WindowWidth = str((low + high) // 2), str(high - low)
    header.AcquisitionMatrix = [0, stored.shape[1], stored.shape[2], 0]
    header.InPlanePhaseEncodingDirection = "ROW"
    header.PixelBandwidth = "180"
    header.SAR = decimals(dice.uniform(0.4, 1.9))[0]
    yield from _series_of(study, header, stored, positions, 0.0)


def _positron_emission(study: Study, plan: SeriesPlan, header: Dataset) -> Iterator[Instance]:
    uptake, positions, _ = cut_stack(study, plan, header)
    dice = Dice("scan", study.uid, plan.description)
    uptake += dice.normal(uptake.shape) * (np.float32(0.06) + np.float32(0.05) * np.sqrt(uptake))
    dose = injected_dose(study)
    # With decay correction to the start of the series, what was injected has decayed for the time of the uptake.
    in_body = dose * 0.5 ** (UPTAKE_TIME / HALF_LIFE)
    activity = np.clip(uptake, 0.0, None) * np.float32(in_body / (study.patient.weight * 1000.0))
    slope = round(float(activity.max()) / 32_000.0, 4)
    stored = (activity / np.float32(slope) + np.float32(0.5)).astype(np.int16)
    _describe_pixels(header, stored, 16, signed=True)
    header.RescaleIntercept, header.RescaleSlope, header.RescaleType = "0", decimals(slope)[0], "BQML"
    header.WindowCenter, header.WindowWidth = decimals(
        3.5 * in_body / (study.patient.weight * 1000.0), 7.0 * in_body / (study.patient.weight * 1000.0)
    )
    seconds = [120.0 * (number // 8) for number in range(plan.slices)]  # bed after bed
    yield from _series_of(
        study,
        header,
        stored,
        positions,
        15.0,
        ImageIndex=[str(number) for number in range(1, plan.slices + 1)],
        FrameReferenceTime=[decimals(1000.0 * (second + 60.0))[0] for second in seconds],
        DecayFactor=[decimals(2.0 ** ((second + 60.0) / HALF_LIFE))[0] for second in seconds],
    )


def _computed_radiography(study: Study, plan: SeriesPlan, header: Dataset) -> Iterator[Instance]:
    region = f"{plan.region}-{'F' if study.patient.sex == 'F' else 'M'}"
    shape = shape_of(study, plan.region)
    picture = radiograph.chest_radiograph(region, shape, tuple(lesions_of(study, plan.region)))
    _describe_pixels(header, picture, 12)
    if Dice("plate", study.uid).below(6) == 0:  # some plates store dark for dense
        header.PhotometricInterpretation = "MONOCHROME1"
        picture = 4095 - picture
    header.ImagerPixelSpacing = header.PixelSpacing = decimals(*[radiograph.spacing_for(shape)] * 2)
    header.WindowCenter, header.WindowWidth = "2048", "4096"
    header.AcquisitionDeviceProcessingDescription = "CHEST PA"
    yield instance_header(header, 1, study.start + timedelta(minutes=4)), picture


_VIEWS: dict[str, Callable[[str], NDArray[np.uint8]]] = {
    "liver": ultrasound.liver,
    "kidney": ultrasound.kidney,
    "heart": ultrasound.heart,
}


def _ultrasound(study: Study, plan: SeriesPlan, header: Dataset) -> Iterator[Instance]:
    from pydicom import Dataset as Item

    picture = _VIEWS[plan.region](study.uid)
    _describe_pixels(header, picture, 8)
    header.ImageType = ["ORIGINAL", "PRIMARY", "", "0001"]
    header.LossyImageCompression = "00"
    header.PatientOrientation = ""
    header.TransducerData = ["C5-1", "", ""] if plan.region != "heart" else ["S5-1", "", ""]
    area = Item()
    area.RegionSpatialFormat, area.RegionDataType, area.RegionFlags = 1, 1, 0
    area.RegionLocationMinX0, area.RegionLocationMinY0 = 0, 0
    area.RegionLocationMaxX1, area.RegionLocationMaxY1 = ultrasound.COLUMNS - 1, ultrasound.ROWS - 1
    area.PhysicalUnitsXDirection = area.PhysicalUnitsYDirection = 3  # cm
    area.PhysicalDeltaX = area.PhysicalDeltaY = ultrasound.SPACING / 10
    header.SequenceOfUltrasoundRegions = [area]
    if picture.ndim == 3:
        header.NumberOfFrames = len(picture)
        header.FrameIncrementPointer = 0x00181063
        header.FrameTime = decimals(ultrasound.FRAME_TIME)[0]
        header.HeartRate = 75
    moment = study.start + timedelta(minutes=4 * int(header.SeriesNumber))
    yield instance_header(header, 1, moment), picture


_IMAGERS: dict[str, Callable[[Study, SeriesPlan, Dataset], Iterator[Instance]]] = {
    "CT": _computed_tomography,
    "MR": _magnetic_resonance,
    "PT": _positron_emission,
    "CR": _computed_radiography,
    "US": _ultrasound,
}
