"""The slices of a series on a service, in the order of their places, fetched one by one as they are asked for."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from dicomframe.errors import DecodeError, NotFoundError
from dicomframe.images.geometry import ROW_KEYWORDS, FramePlane, plane_of_row, planes_of
from dicomframe.images.mosaic import is_mosaic
from dicomframe.widgets.arrangement import MOSAIC, arranged, steps_of
from dicomframe.widgets.painting import Slice
from dicomframe.widgets.planes import plain_plane
from dicomframe.widgets.sources import Look, Source, look_of, slice_of

if TYPE_CHECKING:
    import pandas as pd
    from pydicom import Dataset

    from dicomframe.client.client import Client
    from dicomframe.images.volume import Volume


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
        table = client.retrieve_metadata(study_uid, series_uid, keywords=("NumberOfFrames", *ROW_KEYWORDS))
        if instance_uids:
            table = table[table["SOPInstanceUID"].isin(list(instance_uids))]
        if table.empty:
            raise NotFoundError(404, "GET metadata", message="there are no such instances in the series")
        references = table["FrameOfReferenceUID"].dropna().unique()
        self.frame_of_reference_uid = str(references[0]) if len(references) == 1 else ""
        found = self._found(table)
        made = arranged(found)
        self.frames = [found[at] for at in made.order]
        self.planes, self.affine, self._note = made.planes, made.affine, made.note
        count = len(self.frames)
        self.slice(index if isinstance(index, int) and 0 <= index < count else count // 2)

    def _found(self, table: pd.DataFrame) -> list[FramePlane]:
        """Give the frames by their instance numbers, with their places as far as they are known."""
        pictures = table[(table["Rows"].fillna(0) > 0) & (table["Columns"].fillna(0) > 0)]
        if pictures.empty:
            raise DecodeError("There are no pictures in this series: its instances have no rows and columns.")
        if len(pictures) == 1 and int(pictures["NumberOfFrames"].fillna(1).iloc[0]) > 1:
            return planes_of(self._object(str(pictures["SOPInstanceUID"].iloc[0])))
        found: list[FramePlane] = []
        for row in pictures.sort_values("InstanceNumber", kind="stable").to_dict("records"):
            frame = plane_of_row(cast("dict[str, Any]", row))
            count = max(_whole(row["NumberOfFrames"], 1), 1)
            if is_mosaic(row):
                frame = replace(frame, position=None, lack=MOSAIC)
            if count > 1:  # where the frames of several objects lie is not in a table
                frame = replace(frame, position=None, lack="several objects of several frames")
            found += [replace(frame, frame=number) for number in range(1, count + 1)]
        return found

    def grid(self) -> Volume | None:
        """Give the grid that `overlays_of` lays things onto, without values; None where the slices fill none."""
        import pandas as pd

        from dicomframe.images.volume import Volume

        if self.affine is None:
            return None
        plane = self.planes[self.acquired]
        nothing = np.broadcast_to(np.int16(0), (plane.count, plane.rows, plane.columns))
        return Volume(
            nothing,
            self.affine,
            problems=pd.DataFrame(),
            slices=pd.DataFrame(),
            frame_of_reference_uid=self.frame_of_reference_uid,
        )

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
        frame = self.frames[index]
        dataset, number = self._object(frame.uid), frame.frame - 1
        made = slice_of(dataset, number)
        if not self._looks:
            self._looks.append(_with_note(look_of(dataset, number, made), self._note))
            if self.acquired == "slices":
                from dicomframe.images.montage import pixel_aspect

                rows, columns = made.stored.shape[:2]
                aspect = pixel_aspect(dataset, number)
                self.planes = plain_plane((len(self.frames), rows, columns), (aspect, 1.0))
        return replace(made, to_mm=steps_of(frame))


def _with_note(look: Look, note: str) -> Look:
    return replace(look, note=" ".join(filter(None, (note, look.note))))


def _whole(value: Any, otherwise: int) -> int:
    """Give a number that a table may lack."""
    try:
        return otherwise if value is None or math.isnan(value) else int(value)
    except (TypeError, ValueError):
        return otherwise
