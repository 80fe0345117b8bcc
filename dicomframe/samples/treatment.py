"""A treatment plan over a CT of the teaching cohort: segmentation, structure set and dose of a nodule in the lung."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from dicomframe.samples.acquisition import cut_stack, lesions_of, shape_of
from dicomframe.samples.canvas import Floats
from dicomframe.samples.cohort import IMPLEMENTATION_UID
from dicomframe.samples.headers import series_header
from dicomframe.samples.plan import Study, studies, uid_of
from dicomframe.samples.series import SERIES, SeriesPlan
from dicomframe.samples.tissues import Tissue
from dicomframe.samples.volume import Anatomy, draw, sections

if TYPE_CHECKING:
    from pydicom import Dataset

_SEG = "1.2.840.10008.5.1.4.1.1.66.4"
_RTSTRUCT = "1.2.840.10008.5.1.4.1.1.481.3"
_RTDOSE = "1.2.840.10008.5.1.4.1.1.481.2"
_RTPLAN = "1.2.840.10008.5.1.4.1.1.481.5"

#: What is prescribed to the edge of the target, what its middle gets, and the margin around the tumour.
_PRESCRIBED, _LARGEST, _MARGIN = 54.0, 66.0, 8.0


@dataclass(frozen=True)
class _Organ:
    """One thing that is drawn: its name, SNOMED code, CIELab as files encode it and RGB as structure sets do."""

    name: str
    code: tuple[str, str]
    cielab: tuple[int, int, int]
    colour: tuple[int, int, int]


_ORGANS = {
    "body": _Organ("Body", ("123037004", "Body structure"), (50000, 32896, 32896), (180, 180, 180)),
    "right": _Organ("Right lung", ("3341006", "Right lung"), (43830, 30380, 22930), (86, 180, 233)),
    "left": _Organ("Left lung", ("44029006", "Left lung"), (37060, 22060, 37240), (0, 158, 115)),
    "heart": _Organ("Heart", ("80891009", "Heart"), (38470, 43320, 29150), (204, 121, 167)),
    "gtv": _Organ("Nodule", ("27925004", "Nodule"), (47160, 35660, 49710), (230, 159, 0)),
    "ptv": _Organ("PTV", ("228793007", "Planning target volume"), (35000, 47000, 49000), (213, 94, 0)),
}


@dataclass(frozen=True, eq=False)
class _Drawn:
    """The masks of one CT (slices, rows, columns), and where its pixels are in mm: slices from the feet up."""

    masks: dict[str, NDArray[np.bool_]]
    x: Floats
    y: Floats
    z: Floats
    target: tuple[Floats, float]
    header: Dataset


def planned_study() -> Study:
    """Give the study of the cohort that the treatment plan is for: the CT of a chest with the largest nodule.

    Examples
    --------
    >>> planned_study().description
    'CT Chest with contrast'
    """
    chests = [study for study in studies() if study.protocol == "ct-chest" and lesions_of(study, "chest")]
    return max(chests, key=lambda study: lesions_of(study, "chest")[0].radius)


def treatment_plan() -> list[Dataset]:
    """Make a Segmentation, an RT Structure Set and an RT Dose over a CT of the teaching cohort.

    They are no part of the cohort: store them to have them beside their CT.

    Returns
    -------
    list of pydicom.Dataset
        Three instances of the study `planned_study`, each in a series of its own, in the CT's frame of reference:
        a binary segmentation of lungs, heart and nodule without its empty frames; their contours with those of body
        and target, and the isocentre as a point; and a dose of 54 Gy to the target, in a grid of its own.

    Examples
    --------
    >>> [(each.Modality, int(each.SeriesNumber)) for each in treatment_plan()]
    [('SEG', 21), ('RTSTRUCT', 22), ('RTDOSE', 23)]
    """
    drawn = _drawn()
    return [_segmentation(drawn), _structure_set(drawn), _dose(drawn)]


@cache
def _drawn() -> _Drawn:
    study, plan = planned_study(), SERIES["ct-chest"]
    header = series_header(study, plan, 1, study.modality)
    _, positions, (down, across) = cut_stack(study, plan, header)
    heights = sorted(float(position[2]) for position in positions)
    canvas = draw(f"chest-{study.patient.sex if study.patient.sex == 'F' else 'M'}")
    shape = shape_of(study, plan.region)

    def mask(labels: NDArray[np.bool_], lesions: Sequence[Any] = ()) -> NDArray[np.bool_]:
        source = Anatomy(canvas.x, canvas.y, canvas.z, labels.astype(np.float32))
        return sections(source, shape, across, down, heights, plan.spacing, lesions) >= 0.5

    lesion = lesions_of(study, plan.region)[0]
    lungs = mask(np.isin(canvas.labels, [Tissue.LUNG, Tissue.LUNG_VESSEL, Tissue.NODULE]))
    on_the_right = np.broadcast_to(across < 0, lungs.shape)
    gtv = mask(np.zeros(canvas.labels.shape, bool), [(lesion, 1.0, 0.0)])
    z = np.asarray(heights, dtype=np.float32)
    middle = np.array(
        [axis[places].mean() for axis, places in zip((z, down, across), np.nonzero(gtv), strict=True)]
    )
    reach = lesion.radius + _MARGIN
    distance = _distance((z, down, across), middle)
    masks = {
        "body": mask(canvas.labels != Tissue.AIR),
        "right": lungs & on_the_right,
        "left": lungs & ~on_the_right,
        "heart": mask(_heart(canvas.labels)),
        "gtv": gtv,
        "ptv": distance <= reach,
    }
    return _Drawn(masks, across, down, z, (middle, reach), header)


def _heart(labels: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Give the muscle and the blood beside it; that of the vessels lies farther up and back."""
    muscle: NDArray[np.bool_] = labels == Tissue.HEART
    box = tuple(slice(places.min(), places.max() + 1) for places in np.nonzero(muscle))
    muscle[box] |= labels[box] == Tissue.BLOOD
    return muscle


def _distance(axes: tuple[Floats, Floats, Floats], middle: Floats) -> Floats:
    squares = [np.square(axis - place) for axis, place in zip(axes, middle, strict=True)]
    distance: Floats = np.sqrt(
        squares[0][:, None, None] + squares[1][None, :, None] + squares[2][None, None, :]
    )
    return distance


def _item(**attributes: Any) -> Dataset:
    from pydicom import Dataset

    item = Dataset()
    for keyword, value in attributes.items():
        setattr(item, keyword, value)
    return item


def _code(value: str, meaning: str) -> Dataset:
    return _item(CodeValue=value, CodingSchemeDesignator="SCT", CodeMeaning=meaning)


def _object(sop_class: str, modality: str, number: int, description: str) -> Dataset:
    """Begin an object: patient, study, series, equipment and the CT's frame of reference."""
    from pydicom.dataset import FileMetaDataset
    from pydicom.uid import UID, ExplicitVRLittleEndian

    study = planned_study()
    ds = series_header(study, SeriesPlan(sop_class, description, "", "chest"), number, "CT")
    ds.Modality = modality
    ds.SOPInstanceUID = UID(uid_of(ds.SeriesInstanceUID, 1))
    ds.InstanceNumber = 1
    ds.ContentTime = ds.SeriesTime
    for keyword in ("ProtocolName", "BodyPartExamined", "Laterality", "AcquisitionDate"):
        delattr(ds, keyword)
    ds.file_meta = FileMetaDataset()
    ds.file_meta.MediaStorageSOPClassUID = UID(sop_class)
    ds.file_meta.MediaStorageSOPInstanceUID = ds.SOPInstanceUID
    ds.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    ds.file_meta.ImplementationClassUID = UID(IMPLEMENTATION_UID)
    return ds


def _source_images(drawn: _Drawn) -> list[Dataset]:
    """Name the CT's instances from the feet up; the scanner numbered them from the head down."""
    count = len(drawn.z)
    series = drawn.header.SeriesInstanceUID
    return [
        _item(
            ReferencedSOPClassUID=drawn.header.SOPClassUID,
            ReferencedSOPInstanceUID=uid_of(series, count - place),
        )
        for place in range(count)
    ]


def _position(drawn: _Drawn, place: int) -> list[str]:
    return [f"{float(each):.4f}" for each in (drawn.x[0], drawn.y[0], drawn.z[place])]


def _segmentation(drawn: _Drawn) -> Dataset:
    """Write PS3.3 A.51: one frame for each slice and segment with something in it."""
    from pydicom.pixels import pack_bits

    ds = _object(_SEG, "SEG", 21, "Segmentation of the chest")
    shown = [_ORGANS[key] for key in ("right", "left", "heart", "gtv")]
    masks = [drawn.masks[key] for key in ("right", "left", "heart", "gtv")]
    images = _source_images(drawn)
    frames = [
        (number, place)
        for number, mask in enumerate(masks)
        for place in np.flatnonzero(mask.any(axis=(1, 2))).tolist()
    ]
    ds.ImageType, ds.ContentLabel, ds.ContentDescription = (
        ["DERIVED", "PRIMARY"],
        "CHEST",
        "Organs and nodule",
    )
    ds.ContentCreatorName = "Dicomframe^"
    ds.SegmentationType, ds.SegmentsOverlap = "BINARY", "YES"
    ds.LossyImageCompression = "00"
    ds.SegmentSequence = [
        _item(
            SegmentNumber=number,
            SegmentLabel=organ.name,
            SegmentAlgorithmType="AUTOMATIC",
            SegmentAlgorithmName="drawn",
            SegmentedPropertyCategoryCodeSequence=[_code("123037004", "Anatomical Structure")],
            SegmentedPropertyTypeCodeSequence=[_code(*organ.code)],
            RecommendedDisplayCIELabValue=list(organ.cielab),
        )
        for number, organ in enumerate(shown, start=1)
    ]
    organization = uid_of(ds.SOPInstanceUID, "dimensions")
    ds.DimensionOrganizationSequence = [_item(DimensionOrganizationUID=organization)]
    ds.DimensionIndexSequence = [
        _item(DimensionOrganizationUID=organization, DimensionIndexPointer=tag, FunctionalGroupPointer=group)
        for tag, group in ((0x0062000B, 0x0062000A), (0x00200032, 0x00209113))
    ]
    spacing = drawn.header.PixelSpacing
    ds.SharedFunctionalGroupsSequence = [
        _item(
            PlaneOrientationSequence=[_item(ImageOrientationPatient=[1, 0, 0, 0, 1, 0])],
            PixelMeasuresSequence=[
                _item(
                    PixelSpacing=spacing,
                    SliceThickness=drawn.header.SliceThickness,
                    SpacingBetweenSlices=drawn.header.SpacingBetweenSlices,
                )
            ],
        )
    ]
    ds.PerFrameFunctionalGroupsSequence = [
        _item(
            FrameContentSequence=[_item(DimensionIndexValues=[number + 1, int(place) + 1])],
            PlanePositionSequence=[_item(ImagePositionPatient=_position(drawn, place))],
            SegmentIdentificationSequence=[_item(ReferencedSegmentNumber=number + 1)],
            DerivationImageSequence=[_derivation(images[place])],
        )
        for number, place in frames
    ]
    ds.ReferencedSeriesSequence = [
        _item(SeriesInstanceUID=drawn.header.SeriesInstanceUID, ReferencedInstanceSequence=images)
    ]
    _add_pixels(ds, np.stack([masks[number][place] for number, place in frames]), 1)
    packed = pack_bits(np.stack([masks[number][place] for number, place in frames]).astype(np.uint8))
    ds.PixelData = packed + bytes(len(packed) % 2)
    return ds


def _derivation(image: Dataset) -> Dataset:
    purpose = _item(CodeValue="121322", CodingSchemeDesignator="DCM",
                    CodeMeaning="Source image for image processing operation")  # fmt: skip
    how = _item(CodeValue="113076", CodingSchemeDesignator="DCM", CodeMeaning="Segmentation")
    source = _item(
        ReferencedSOPClassUID=image.ReferencedSOPClassUID,
        ReferencedSOPInstanceUID=image.ReferencedSOPInstanceUID,
        PurposeOfReferenceCodeSequence=[purpose],
    )
    return _item(SourceImageSequence=[source], DerivationCodeSequence=[how])


def _structure_set(drawn: _Drawn) -> Dataset:
    """Write PS3.3 A.19: outlines of each mask, slice by slice, and the isocentre."""
    ds = _object(_RTSTRUCT, "RTSTRUCT", 22, "Structures for planning")
    ds.OperatorsName = ""
    del ds.ContentDate, ds.ContentTime
    ds.StructureSetLabel, ds.StructureSetDate, ds.StructureSetTime = "CHEST", ds.StudyDate, ds.SeriesTime
    reference, images = ds.FrameOfReferenceUID, _source_images(drawn)
    series = _item(SeriesInstanceUID=drawn.header.SeriesInstanceUID, ContourImageSequence=images)
    study = _item(
        ReferencedSOPClassUID="1.2.840.10008.3.1.2.3.1",
        ReferencedSOPInstanceUID=ds.StudyInstanceUID,
        RTReferencedSeriesSequence=[series],
    )
    ds.ReferencedFrameOfReferenceSequence = [
        _item(FrameOfReferenceUID=reference, RTReferencedStudySequence=[study])
    ]
    rois: list[tuple[str, tuple[int, int, int], str, list[Dataset]]] = [
        (organ.name, organ.colour, _KINDS.get(key, "ORGAN"), _contours(drawn, drawn.masks[key], images))
        for key, organ in _ORGANS.items()
    ]
    z, y, x = drawn.target[0]
    point = _item(
        ContourGeometricType="POINT",
        NumberOfContourPoints=1,
        ContourData=[f"{each:.2f}" for each in (x, y, z)],
    )
    rois.append(("Isocentre", (255, 255, 255), "ISOCENTER", [point]))
    ds.StructureSetROISequence = [
        _item(
            ROINumber=number, ReferencedFrameOfReferenceUID=reference, ROIName=name, ROIGenerationAlgorithm=""
        )
        for number, (name, _, _, _) in enumerate(rois, start=1)
    ]
    ds.ROIContourSequence = [
        _item(ROIDisplayColor=list(colour), ContourSequence=contours, ReferencedROINumber=number)
        for number, (_, colour, _, contours) in enumerate(rois, start=1)
    ]
    ds.RTROIObservationsSequence = [
        _item(
            ObservationNumber=number, ReferencedROINumber=number, RTROIInterpretedType=kind, ROIInterpreter=""
        )
        for number, (_, _, kind, _) in enumerate(rois, start=1)
    ]
    return ds


_KINDS = {"body": "EXTERNAL", "gtv": "GTV", "ptv": "PTV"}


def _contours(drawn: _Drawn, mask: NDArray[np.bool_], images: Sequence[Dataset]) -> list[Dataset]:
    from contourpy import contour_generator

    found = []
    for place in np.flatnonzero(mask.any(axis=(1, 2))).tolist():
        lines: Any = contour_generator(drawn.x, drawn.y, mask[place].astype(float)).lines(0.5)
        for line in lines:
            if len(line) < 5:
                continue
            points = [(x, y, float(drawn.z[place])) for x, y in line[:-1]]
            found.append(
                _item(
                    ContourImageSequence=[images[place]],
                    ContourGeometricType="CLOSED_PLANAR",
                    NumberOfContourPoints=len(points),
                    ContourData=[f"{each:.2f}" for point in points for each in point],
                )
            )
    return found


def _dose(drawn: _Drawn) -> Dataset:
    """Write PS3.3 A.18: a round target and beams that cross in it, every 4 mm."""
    ds = _object(_RTDOSE, "RTDOSE", 23, "Dose of the plan")
    step, scaling = 4.0, 0.001
    x, y, z = (np.arange(axis[0] + 20, axis[-1] - 20, step) for axis in (drawn.x, drawn.y, drawn.z))
    middle, reach = drawn.target
    distance = _distance((z, y, x), middle)
    steepness = reach / (_LARGEST / _PRESCRIBED - 1) ** 0.25
    angle = np.arctan2((y - middle[1])[:, None], (x - middle[2])[None, :])
    beams = 22.0 * np.clip(np.cos(2.5 * angle) ** 2, 0, 1)[None] ** 3 * np.exp(-distance / 140)
    beams = beams * np.exp(-(((z - middle[0]) / (1.5 * reach)) ** 4))[:, None, None]
    target = _LARGEST / (1 + (distance / steepness) ** 4)
    values = np.rint(np.maximum(target, np.minimum(beams + target, 0.45 * _LARGEST)) / scaling)
    ds.DoseUnits, ds.DoseType, ds.DoseSummationType = "GY", "PHYSICAL", "PLAN"
    ds.DoseGridScaling = str(scaling)
    ds.OperatorsName = ""
    # A dose of a whole plan must name it; the plan itself is not made.
    ds.ReferencedRTPlanSequence = [
        _item(ReferencedSOPClassUID=_RTPLAN, ReferencedSOPInstanceUID=uid_of(ds.StudyInstanceUID, "plan"))
    ]
    ds.ImagePositionPatient = [f"{float(each):.4f}" for each in (x[0], y[0], z[0])]
    ds.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
    ds.PixelSpacing, ds.SliceThickness = [step, step], ""
    ds.FrameIncrementPointer = 0x3004000C
    ds.GridFrameOffsetVector = [step * place for place in range(len(z))]
    _add_pixels(ds, values, 32)
    ds.PixelData = values.astype("<u4").tobytes()
    return ds


def _add_pixels(ds: Dataset, frames: NDArray[Any], bits: int) -> None:
    ds.NumberOfFrames, ds.Rows, ds.Columns = (int(each) for each in frames.shape)
    ds.SamplesPerPixel, ds.PhotometricInterpretation, ds.PixelRepresentation = 1, "MONOCHROME2", 0
    ds.BitsAllocated, ds.BitsStored, ds.HighBit = bits, bits, bits - 1
