"""The slices of a series on a service, in the order of their places, fetched one by one as they are asked for."""

from __future__ import annotations

import math
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from dicomframe.errors import DecodeError, NotFoundError
from dicomframe.images.geometry import ROW_KEYWORDS, FramePlane, plane_of_row, planes_of
from dicomframe.images.mosaic import is_mosaic
from dicomframe.images.no_pixels import no_pixels
from dicomframe.images.reading import reading
from dicomframe.widgets.arrangement import MOSAIC, arranged, steps_of
from dicomframe.widgets.painting import Slice
from dicomframe.widgets.planes import plain_plane
from dicomframe.widgets.sources import Look, Source, look_of, slice_of

_WINDOWS = "The slices name different windows: all are shown by that of the first one seen."
_UNITS = "The slices are in different units: each value has that of its own slice."
_INVERTED = "Some slices are inverted: all are shown as the first one seen."
_LUTS = "The slices name different VOI LUTs: those of the first one seen serve for all."
_LUTS_UNSEEN = "Whether the slices' VOI LUTs differ is not known: those of the first one seen serve for all."
#: What slices of one series may differ in -> what is said then: one window, unit and direction of grey serve for all.
DIFFERING = {
    "WindowCenter": _WINDOWS,
    "WindowWidth": _WINDOWS,
    "VOILUTFunction": _WINDOWS,
    "RescaleType": _UNITS,
    "Units": _UNITS,
    "PhotometricInterpretation": _INVERTED,
    "PresentationLUTShape": _INVERTED,
}

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
        keywords = ("NumberOfFrames", "VOILUTSequence", "Modality", *DIFFERING, *ROW_KEYWORDS)
        table = client.retrieve_metadata(study_uid, series_uid, keywords=tuple(dict.fromkeys(keywords)))
        if instance_uids:
            table = table[table["SOPInstanceUID"].isin(list(instance_uids))]
        if table.empty:
            raise NotFoundError(404, "GET metadata", message="there are no such instances in the series")
        references = table["FrameOfReferenceUID"].dropna().unique()
        self.frame_of_reference_uid = str(references[0]) if len(references) == 1 else ""
        found = self._found(table)
        made = arranged(found)
        self.frames = [found[at] for at in made.order]
        self.planes, self.affine = made.planes, made.affine
        frames_differ = self._frames_differ(table) if len(table) == 1 else ""
        self._note = " ".join(filter(None, (made.note, _differing(table), _luts(table), frames_differ)))
        count = len(self.frames)
        self.slice(index if isinstance(index, int) and 0 <= index < count else count // 2)

    def _found(self, table: pd.DataFrame) -> list[FramePlane]:
        """Give the frames by their instance numbers, with their places as far as they are known."""
        pictures = table[(table["Rows"].fillna(0) > 0) & (table["Columns"].fillna(0) > 0)]
        if pictures.empty:
            raise no_pixels(table["Modality"].iloc[0], "There are no pictures in this series")
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

    def _frames_differ(self, table: pd.DataFrame) -> str:
        """Say in what the frames of one object differ, by their functional groups."""
        from dicomframe.images.units import unit_of
        from dicomframe.images.voi_luts import luts_differ
        from dicomframe.images.windowing import default_window

        dataset = self._objects.get(str(table["SOPInstanceUID"].iloc[0]))
        if dataset is None or "PerFrameFunctionalGroupsSequence" not in dataset:
            return ""
        windows, units = set(), set()
        for at in range(len(self.frames)):
            # A frame whose window is no number fails when it is looked at, not all of them now.
            with suppress(DecodeError), reading("how a frame is shown"):
                window, unit = default_window(dataset, at), unit_of(dataset, at)
                windows.add(window)
                units.add(unit)
        with reading("the VOI LUTs"):
            luts = luts_differ(dataset, range(len(self.frames)))
        return " ".join([_WINDOWS] * (len(windows) > 1) + [_UNITS] * (len(units) > 1) + [_LUTS] * luts)

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


def _differing(table: pd.DataFrame) -> str:
    """Say in what slices differ that are shown as the first one is."""
    notes = {
        DIFFERING[name]: None
        for name in DIFFERING
        if name in table.columns and len(set(table[name].map(str))) > 1
    }
    return " ".join(notes)


def _luts(table: pd.DataFrame) -> str:
    """Say whether slices name different VOI LUTs, as far as metadata tell: tables of VR OW are bulk and not in them."""
    if "VOILUTSequence" not in table.columns or len(table) < 2:
        return ""
    slices = [items if isinstance(items, list) else [] for items in table["VOILUTSequence"]]
    if (
        len({str([(each.get("LUTDescriptor"), each.get("LUTData")) for each in items]) for items in slices})
        > 1
    ):
        return _LUTS
    return _LUTS_UNSEEN if any("LUTData" not in each for items in slices for each in items) else ""


def _whole(value: Any, otherwise: int) -> int:
    """Give a number that a table may lack."""
    try:
        return otherwise if value is None or math.isnan(value) else int(value)
    except (TypeError, ValueError):
        return otherwise
