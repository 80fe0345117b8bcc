"""Where each frame of an object lies in the patient (PS3.3 C.7.6.2, C.7.6.16.2.3, C.8.8.3.2, C.8.4.15).

Positions come from the attributes that the standard defines them by. What it leaves undefined is left out: Spacing
Between Slices places frames only of reconstructed NM images and of Siemens' mosaics, whose maker defines it so.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from dicomframe.images.marks import MARKS
from dicomframe.images.mosaic import Mosaic, mosaic_of
from dicomframe.images.pixels import frame_count
from dicomframe.images.reading import numbers_of, reading

if TYPE_CHECKING:
    from collections.abc import Hashable, Mapping

    from pydicom import Dataset

#: How far two directions are from perpendicular, or their lengths from 1, in real files.
_LOOSE = 0.01

#: The vectors of multi-frame NM images: one number a frame.
_VECTORS = (
    "EnergyWindowVector",
    "DetectorVector",
    "PhaseVector",
    "RRIntervalVector",
    "TimeSlotVector",
    "TimeSliceVector",
)


@dataclass(frozen=True, slots=True, eq=False)
class FramePlane:
    """One frame, and where it is.

    Parameters
    ----------
    uid : str
        SOP Instance UID.
    frame : int
        Its number, from 1; of a mosaic, the tile's.
    size : (int, int)
        Rows and columns.
    number : int
        Instance Number; 0 where there is none.
    frame_of_reference : str
    position : ndarray of float64, shape (3,), or None
        Centre of the first pixel in mm; None where the frame is nowhere in the patient: `lack` says why.
    row_direction, column_direction : ndarray of float64, shape (3,)
        Unit vectors in which the column index and the row index grow.
    spacing : (float, float)
        Between rows and between columns, in mm.
    thickness : float or None
        In mm.
    is_localizer : bool
    marks : dict
        What may tell it from others at the same position, by name.
    lack : str
    is_decoded : bool
        Whether its pixels could be had.
    """

    uid: str
    frame: int
    size: tuple[int, int]
    number: int = 0
    frame_of_reference: str = ""
    position: NDArray[np.float64] | None = None
    row_direction: NDArray[np.float64] = field(default_factory=lambda: np.array([1.0, 0.0, 0.0]))
    column_direction: NDArray[np.float64] = field(default_factory=lambda: np.array([0.0, 1.0, 0.0]))
    spacing: tuple[float, float] = (1.0, 1.0)
    thickness: float | None = None
    is_localizer: bool = False
    marks: dict[str, Hashable] = field(default_factory=dict)
    lack: str = ""
    is_decoded: bool = True

    @property
    def normal(self) -> NDArray[np.float64]:
        """The unit vector across the plane: row direction times column direction."""
        return np.cross(self.row_direction, self.column_direction)


@reading("the position of the frames")
def planes_of(ds: Dataset) -> list[FramePlane]:
    """Tell where the frames of an object lie.

    Parameters
    ----------
    ds : pydicom.Dataset
        Any image; pixel data need not be there.

    Returns
    -------
    list of FramePlane
        One a frame, in order; of a Siemens mosaic, one a tile.

    Raises
    ------
    DecodeError
        If an attribute cannot be read at all.

    Examples
    --------
    >>> from pydicom import dcmread, examples
    >>> [plane] = planes_of(dcmread(examples.get_path("ct")))
    >>> plane.position.tolist(), plane.spacing
    ([-158.135803, -179.035797, -75.699997], (0.661468, 0.661468))
    """
    common = _unplaced(ds)
    count = frame_count(ds)
    if "PerFrameFunctionalGroupsSequence" in ds or "SharedFunctionalGroupsSequence" in ds:
        return [_enhanced(ds, common, number) for number in range(count)]
    first = _placed(common, ds, ds, ds)
    mosaic = mosaic_of(ds)
    if mosaic is not None:
        return _mosaic(first, mosaic)
    if count == 1:
        return [replace(first, marks=_marks(ds, None))]
    return _multi_frame(ds, first, count)


#: What `plane_of_row` reads.
ROW_KEYWORDS = (
    "InstanceNumber",
    "Rows",
    "Columns",
    "ImageType",
    "ImagePositionPatient",
    "ImageOrientationPatient",
    "PixelSpacing",
    "SliceThickness",
    "FrameOfReferenceUID",
    *(keyword for _, keyword in MARKS.values() if keyword and keyword != "ImageType"),
)


def plane_of_row(row: Mapping[str, Any]) -> FramePlane:
    """Tell where a single-frame image lies, from a table's row in place of the object.

    Parameters
    ----------
    row : mapping
        ``SOPInstanceUID`` and `ROW_KEYWORDS`, as a table of metadata has them; missing ones may be NaN or NA.

    Returns
    -------
    FramePlane
        As `planes_of` gives it for the object; marks of private elements are not in a table.

    Examples
    --------
    >>> row = {"ImagePositionPatient": [-10, -20, 5], "ImageOrientationPatient": [1, 0, 0, 0, 1, 0]}
    >>> plane_of_row(row | {"PixelSpacing": [0.5, 0.25], "EchoTime": 30}).position.tolist()
    [-10.0, -20.0, 5.0]
    """
    import pandas as pd

    told = {
        name: value.tolist() if isinstance(value, np.ndarray) else value
        for name, value in row.items()
        if isinstance(value, (np.ndarray, list, tuple)) or not pd.isna(value)
    }
    marks = {name: _plain(told[keyword]) for name, (_, keyword) in MARKS.items() if keyword in told}
    return replace(_placed(_unplaced(told), told, told, told), marks=marks)


def _unplaced(item: Any) -> FramePlane:
    """Give what the attributes of an image tell of its frames but their place."""
    image_type = item.get("ImageType") or []
    return FramePlane(
        uid=str(item.get("SOPInstanceUID") or ""),
        frame=1,
        size=(int(item.get("Rows") or 0), int(item.get("Columns") or 0)),
        number=int(item.get("InstanceNumber") or 0),
        frame_of_reference=str(item.get("FrameOfReferenceUID") or ""),
        is_localizer="LOCALIZER" in [str(value).upper() for value in image_type],
    )


def _placed(plane: FramePlane, position: Any, orientation: Any, measures: Any) -> FramePlane:
    """Give a frame its place, from the items that hold Image Position, Image Orientation and Pixel Spacing."""
    where = _numbers(position, "ImagePositionPatient", 3)
    directions = _numbers(orientation, "ImageOrientationPatient", 6)
    spacing = _numbers(measures, "PixelSpacing", 2)
    thickness = _numbers(measures, "SliceThickness", 1)
    lacking = [
        name
        for name, value in (
            ("ImagePositionPatient", where),
            ("ImageOrientationPatient", directions),
            ("PixelSpacing", spacing),
        )
        if value is None
    ]
    if where is None or directions is None or spacing is None:
        return replace(plane, lack=f"it has no {' and no '.join(lacking)}")
    pair = unit_directions(directions)
    if pair is None:
        return replace(plane, lack="its ImageOrientationPatient is no pair of perpendicular directions")
    if float(spacing.min()) <= 0:
        return replace(plane, lack="its PixelSpacing is not above 0")
    return replace(
        plane,
        position=where,
        row_direction=pair[0],
        column_direction=pair[1],
        spacing=(float(spacing[0]), float(spacing[1])),
        thickness=float(thickness[0]) if thickness is not None and thickness[0] > 0 else None,
    )


def unit_directions(
    cosines: NDArray[np.float64],
) -> tuple[NDArray[np.float64], NDArray[np.float64]] | None:
    """Give the directions along a row and down a column of Image Orientation (Patient), of length 1.

    None where the six numbers are no two perpendicular unit vectors, as far as real files have them.
    """
    row, column = cosines[:3], cosines[3:]
    lengths = float(np.linalg.norm(row)), float(np.linalg.norm(column))
    if max(abs(lengths[0] - 1), abs(lengths[1] - 1), abs(float(row @ column))) > _LOOSE:
        return None
    return row / lengths[0], column / lengths[1]


def _enhanced(ds: Dataset, common: FramePlane, number: int) -> FramePlane:
    """Place a frame by its functional groups, the frame's own before the shared ones (PS3.3 C.7.6.16)."""
    groups = _groups(ds, number)
    plane = replace(common, frame=number + 1, marks=_marks(ds, groups))
    items = [
        _find(groups, (name,))
        for name in ("PlanePositionSequence", "PlaneOrientationSequence", "PixelMeasuresSequence")
    ]
    return _placed(plane, *items)


def _multi_frame(ds: Dataset, first: FramePlane, count: int) -> list[FramePlane]:
    """Place the frames of an object that tells one position and a way from it."""
    frames = [replace(first, frame=number + 1) for number in range(count)]
    if "GridFrameOffsetVector" in ds:
        return _dose(ds, first, frames)
    image_type = [str(value).upper() for value in ds.get("ImageType") or []]
    if ds.get("Modality") == "NM" and any("RECON" in value for value in image_type):
        return _tomogram(ds, first, frames)
    reason = "it has several frames, and nothing that tells where each of them is"
    return [replace(frame, position=None, lack=first.lack or reason) for frame in frames]


def _dose(ds: Dataset, first: FramePlane, frames: list[FramePlane]) -> list[FramePlane]:
    """Place the frames of a dose (PS3.3 C.8.8.3.2): offsets along the normal, or the z of each axial plane."""
    offsets = _numbers(ds, "GridFrameOffsetVector", len(frames))
    if first.position is None or offsets is None:
        reason = first.lack or "its GridFrameOffsetVector has not one number a frame"
        return [replace(frame, position=None, lack=reason) for frame in frames]
    if offsets[0] == 0:
        return [
            replace(frame, position=first.position + offset * first.normal)
            for frame, offset in zip(frames, offsets, strict=True)
        ]
    if abs(abs(first.normal[2]) - 1) > 1e-4:
        reason = "its GridFrameOffsetVector holds positions, which only axial planes may have"
        return [replace(frame, position=None, lack=reason) for frame in frames]
    if abs(offsets[0] - first.position[2]) > 0.01:
        reason = "its GridFrameOffsetVector begins neither with 0 nor with the z of its position"
        return [replace(frame, position=None, lack=reason) for frame in frames]
    return [
        replace(frame, position=np.array([*first.position[:2], z]))
        for frame, z in zip(frames, offsets, strict=True)
    ]


def _tomogram(ds: Dataset, first: FramePlane, frames: list[FramePlane]) -> list[FramePlane]:
    """Place the frames of a reconstructed NM image: Spacing Between Slices along the normal (PS3.3 C.8.4.15)."""
    detector = (ds.get("DetectorInformationSequence") or [ds])[0]
    first = _placed(replace(first, lack=""), detector, detector, ds)
    step = _numbers(ds, "SpacingBetweenSlices", 1)
    slices = _numbers(ds, "SliceVector", len(frames))
    vectors = {name: values for name in _VECTORS if (values := _numbers(ds, name, len(frames))) is not None}
    if first.position is None or step is None:
        lack = first.lack or "it has no SpacingBetweenSlices"
        return [replace(frame, position=None, lack=lack) for frame in frames]
    places = np.arange(len(frames)) if slices is None else slices - 1
    return [
        replace(
            first,
            frame=frame.frame,
            position=first.position + place * step[0] * first.normal,
            marks={name: float(values[at]) for name, values in vectors.items()},
        )
        for at, (frame, place) in enumerate(zip(frames, places, strict=True))
    ]


def _mosaic(whole: FramePlane, mosaic: Mosaic) -> list[FramePlane]:
    """Place the tiles. The position of a mosaic is that of a picture of its size around the first tile's middle."""
    tiles = [
        replace(whole, frame=number + 1, size=mosaic.tile, marks=dict(mosaic.marks))
        for number in range(mosaic.count)
    ]
    if whole.position is None or mosaic.step is None:
        lack = whole.lack or "the mosaic has no SpacingBetweenSlices"
        return [replace(tile, position=None, lack=lack) for tile in tiles]
    down, right = ((whole.size[axis] - mosaic.tile[axis]) / 2 * whole.spacing[axis] for axis in range(2))
    first = whole.position + whole.row_direction * right + whole.column_direction * down
    normal = whole.normal
    if mosaic.normal is not None and normal @ mosaic.normal < 0:
        normal = -normal
    return [
        replace(tile, position=first + normal * mosaic.step * number) for number, tile in enumerate(tiles)
    ]


def _groups(ds: Dataset, number: int) -> list[Dataset]:
    """Give the functional groups that hold for a frame, its own first."""
    own = ds.get("PerFrameFunctionalGroupsSequence") or []
    shared = ds.get("SharedFunctionalGroupsSequence") or []
    return [*own[number : number + 1], *shared[:1]]


def _find(groups: list[Dataset], names: tuple[str, ...]) -> Any:
    """Follow a path of sequences into the first group that has its beginning; None where it leads nowhere."""
    if not names:
        return None
    found: Any = next((group[names[0]].value for group in groups if group.get(names[0])), None)
    for name in names[1:]:
        if not found:
            return None
        found = found[0].get(name)
    return found[0] if len(names) == 1 and found else found


def _marks(ds: Dataset, groups: list[Dataset] | None) -> dict[str, Hashable]:
    found: dict[str, Hashable] = {}
    for name, (path, keyword) in MARKS.items():
        value = _find(groups, path) if groups is not None else ds.get(keyword) if keyword else None
        if value is not None and value != "":
            found[name] = _plain(value)
    if groups is None and "DiffusionBValue" not in found:
        block = ds.get_private_item(0x0019, 0x0C, "SIEMENS MR HEADER") if _has_siemens(ds) else None
        if block is not None:
            found["DiffusionBValue"] = _plain(block.value)
    return found


def _has_siemens(ds: Dataset) -> bool:
    try:
        return bool(ds.private_block(0x0019, "SIEMENS MR HEADER").get_tag(0x0C) in ds)
    except KeyError:
        return False


def _plain(value: Any) -> Hashable:
    """Make a value that compares and sorts: a number, a text, or a tuple of them."""
    if isinstance(value, (list, tuple)) or (hasattr(value, "append") and not isinstance(value, bytes)):
        return tuple(_plain(each) for each in value)
    try:
        return float(value)
    except (TypeError, ValueError):
        return str(value)


def _numbers(item: Any, keyword: str, count: int) -> NDArray[np.float64] | None:
    """Read so many finite numbers; None where they are not there."""
    try:
        numbers = [] if item is None else numbers_of(item, keyword)
    except (TypeError, ValueError):
        return None
    if len(numbers) != count or not all(map(math.isfinite, numbers)):
        return None
    return np.array(numbers)
