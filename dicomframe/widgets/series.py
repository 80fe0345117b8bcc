"""The slices of a series on a service, in the order of their places, fetched one by one as they are asked for."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

import numpy as np
from numpy.typing import NDArray

from dicomframe.errors import DecodeError, NotFoundError
from dicomframe.widgets.painting import Slice
from dicomframe.widgets.planes import Plane, plain_plane, planes_of
from dicomframe.widgets.sources import Look, Source, look_of, slice_of

if TYPE_CHECKING:
    import pandas as pd
    from pydicom import Dataset

    from dicomframe.client.client import Client
    from dicomframe.images.volume import Volume

#: What the order and the places of slices are read from.
KEYWORDS = (
    "InstanceNumber",
    "NumberOfFrames",
    "Rows",
    "Columns",
    "ImagePositionPatient",
    "ImageOrientationPatient",
    "PixelSpacing",
    "FrameOfReferenceUID",
)
#: Slices whose distances differ by no more than this share are evenly spaced: positions are rounded in files.
UNEVEN = 0.05


@dataclass(frozen=True, slots=True)
class Place:
    """Which frame a slice is, and where it lies.

    Parameters
    ----------
    instance : str
        SOP Instance UID.
    frame : int
        Frame index, from 0.
    rows, columns : int
    steps : ndarray, shape (3, 3), or None
        As `Slice.to_mm`.
    """

    instance: str
    frame: int
    rows: int
    columns: int
    steps: NDArray[np.float64] | None


class SeriesSource(Source):
    """Slices of one series, or of some of its instances.

    Parameters
    ----------
    client : Client
    study_uid, series_uid : str
    instance_uids : sequence of str
        Only these; all if there are none.
    index : int, optional
        The slice to fetch at once; by default the middle one. One past the end is left to the viewer to refuse.

    Raises
    ------
    NotFoundError
        If there is no such series, or none of the instances is in it.
    DecodeError
        If there is no picture in it, or the first one cannot be decoded.
    """

    def __init__(
        self,
        client: Client,
        study_uid: str,
        series_uid: str,
        instance_uids: Sequence[str] = (),
        index: int | None = None,
    ) -> None:
        super().__init__()
        self._client = client
        self._series = study_uid, series_uid
        self._objects: dict[str, Dataset] = {}
        self._looks: list[Look] = []
        table = client.retrieve_metadata(study_uid, series_uid, keywords=KEYWORDS)
        if instance_uids:
            table = table[table["SOPInstanceUID"].isin(list(instance_uids))]
        if table.empty:
            raise NotFoundError(404, "GET metadata", message="there are no such instances in the series")
        references = table["FrameOfReferenceUID"].dropna().unique()
        self.frame_of_reference_uid = str(references[0]) if len(references) == 1 else ""
        self.places = ordered(self._found(table))
        self.planes, self.affine, self._note = _arranged(self.places)
        count = len(self.places)
        self.slice(index if isinstance(index, int) and 0 <= index < count else count // 2)

    def _found(self, table: pd.DataFrame) -> list[Place]:
        pictures = table[(table["Rows"].fillna(0) > 0) & (table["Columns"].fillna(0) > 0)]
        if pictures.empty:
            raise DecodeError("There are no pictures in this series: its instances have no rows and columns.")
        if len(pictures) == 1 and int(pictures["NumberOfFrames"].fillna(1).iloc[0]) > 1:
            return _of_frames(self._object(str(pictures["SOPInstanceUID"].iloc[0])))
        places = []
        for row in pictures.sort_values("InstanceNumber", kind="stable").to_dict("records"):
            frames = max(_whole(row["NumberOfFrames"], 1), 1)
            steps = steps_of(row["ImageOrientationPatient"], row["ImagePositionPatient"], row["PixelSpacing"])
            for frame in range(frames):
                # Frames of several objects have no place of their own here.
                here = steps if frames == 1 else None
                places.append(
                    Place(row["SOPInstanceUID"], frame, int(row["Rows"]), int(row["Columns"]), here)
                )
        return places

    def grid(self) -> Volume | None:
        """Give the grid that `overlays_of` lays things onto, without values; None where the slices fill none."""
        if self.affine is None:
            return None
        plane = self.planes[self.acquired]
        nothing = np.broadcast_to(np.int16(0), (plane.count, plane.rows, plane.columns))
        grid = SimpleNamespace(
            array=nothing,
            affine=self.affine,
            frame_of_reference_uid=self.frame_of_reference_uid,
            is_regular=True,
        )
        return cast("Volume", grid)

    def look(self, index: int) -> Look:
        """Tell what the first slice that came says."""
        self.slice(index)
        return self._looks[0]

    def _object(self, instance_uid: str) -> Dataset:
        """Retrieve an object; those of several frames are kept, two of them at most."""
        from dicomframe.images.pixels import frame_count

        kept = self._objects.get(instance_uid)
        if kept is not None:
            return kept
        dataset = self._client.retrieve_instance(*self._series, instance_uid)
        if frame_count(dataset) > 1:
            with self._lock:
                while len(self._objects) > 1:
                    del self._objects[next(iter(self._objects))]
                self._objects[instance_uid] = dataset
        return dataset

    def _make(self, index: int) -> Slice:
        place = self.places[index]
        dataset = self._object(place.instance)
        made = slice_of(dataset, place.frame)
        if not self._looks:
            self._looks.append(_with_note(look_of(dataset, place.frame, made), self._note))
            if self.acquired == "slices":
                from dicomframe.images.montage import pixel_aspect

                rows, columns = made.stored.shape[:2]
                aspect = pixel_aspect(dataset, place.frame)
                self.planes = plain_plane((len(self.places), rows, columns), (aspect, 1.0))
        return replace(made, to_mm=place.steps)


def _with_note(look: Look, note: str) -> Look:
    return replace(look, note=" ".join(filter(None, (note, look.note))))


def steps_of(orientation: Any, position: Any, spacing: Any) -> NDArray[np.float64] | None:
    """Give the steps and the origin of a slice in mm, None where an attribute is missing or no good.

    Parameters
    ----------
    orientation, position, spacing : sequence of float
        Image Orientation and Position (Patient), Pixel Spacing (PS3.3 C.7.6.2.1.1).

    Examples
    --------
    >>> steps_of([1, 0, 0, 0, 1, 0], [-10, -20, 5], [0.5, 0.25]).tolist()
    [[0.0, 0.5, 0.0], [0.25, 0.0, 0.0], [-10.0, -20.0, 5.0]]
    """
    try:
        numbers = [np.array([float(number) for number in each]) for each in (orientation, position, spacing)]
    except (TypeError, ValueError):
        return None
    if [len(each) for each in numbers] != [6, 3, 2] or not all(np.isfinite(each).all() for each in numbers):
        return None
    cosines, origin, (between_rows, between_columns) = numbers
    across, down = cosines[:3], cosines[3:]
    is_good = (
        np.linalg.norm(np.cross(across, down)) > 0.99 and abs(across @ down) < 0.01
    )  # as `axes_of` has it
    is_good = is_good and abs(across @ across - 1) < 0.02 and between_rows > 0 and between_columns > 0
    return np.stack([down * between_rows, across * between_columns, origin]) if is_good else None


def ordered(places: list[Place]) -> list[Place]:
    """Sort slices along their normal, where they all are parallel and in different places; else leave their order."""
    steps = _parallel(places)
    if not steps:
        return places
    heights = [float(each[2] @ _normal(steps[0])) for each in steps]
    if len({round(height, 3) for height in heights}) < len(places):
        return places
    return [places[at] for at in np.argsort(heights)]


def _parallel(places: Sequence[Place]) -> list[NDArray[np.float64]]:
    """Give the steps of slices that are all parallel and equally fine; nothing if they are not, or nobody knows."""
    steps = [place.steps for place in places if place.steps is not None]
    is_all = len(steps) == len(places) and all(
        np.allclose(each[:2], steps[0][:2], atol=1e-3) for each in steps
    )
    return steps if is_all else []


def _normal(steps: NDArray[np.float64]) -> NDArray[np.float64]:
    """Give the direction across a slice that makes its axes a right-handed system (PS3.3 C.7.6.2.1.1)."""
    across = np.cross(steps[1], steps[0])
    direction: NDArray[np.float64] = across / np.linalg.norm(across)
    return direction


def _arranged(places: Sequence[Place]) -> tuple[dict[str, Plane], NDArray[np.float64] | None, str]:
    """Give the planes of slices in order, their affine if they fill a grid, and why they do not."""
    first, count = places[0], len(places)
    shape = (count, first.rows, first.columns)
    steps = _parallel(places)
    if not steps:
        is_known = count > 1 and all(place.steps is not None for place in places)
        return plain_plane(shape), None, "The slices are not parallel." if is_known else ""
    down, across, origin = steps[0]
    step = (steps[-1][2] - origin) / (count - 1) if count > 1 else _normal(steps[0])
    why = _why_no_grid(places, np.stack([each[2] for each in steps]), step)
    affine = np.eye(4)
    affine[:3] = np.stack([_normal(steps[0]) if why else step, down, across, origin], axis=1)
    planes = planes_of(shape, affine)
    if why or count == 1:
        acquired = next(iter(planes))
        return {acquired: planes[acquired]}, None, why
    return planes, affine, ""


def _why_no_grid(places: Sequence[Place], origins: NDArray[np.float64], step: NDArray[np.float64]) -> str:
    if len({(place.rows, place.columns) for place in places}) > 1:
        return "The slices differ in size."
    length = float(np.linalg.norm(step))
    if length < 1e-3:
        return "Several slices are in one place."
    expected = origins[0] + np.arange(len(places))[:, np.newaxis] * step
    is_even = np.abs(origins - expected).max() <= max(UNEVEN * length, 0.01)
    return "" if is_even else "The slices are unevenly spaced: some are missing or doubled."


def _of_frames(ds: Dataset) -> list[Place]:
    """Give the places of the frames of one object, from its functional groups where it has them."""
    from dicomframe.images.lut import functional_group
    from dicomframe.images.pixels import frame_count
    from dicomframe.images.reading import reading

    def group(frame: int, macro: str, keyword: str) -> Any:
        item = functional_group(ds, frame, macro)
        return None if item is None else item.get(keyword)

    with reading("the places of the frames"):
        rows, columns = int(ds.Rows), int(ds.Columns)
        return [
            Place(
                str(ds.SOPInstanceUID),
                frame,
                rows,
                columns,
                steps_of(
                    group(frame, "PlaneOrientationSequence", "ImageOrientationPatient"),
                    group(frame, "PlanePositionSequence", "ImagePositionPatient"),
                    group(frame, "PixelMeasuresSequence", "PixelSpacing"),
                ),
            )
            for frame in range(frame_count(ds))
        ]


def _whole(value: Any, otherwise: int) -> int:
    """Give a number that a table may lack."""
    try:
        return otherwise if value is None or math.isnan(value) else int(value)
    except (TypeError, ValueError):
        return otherwise
