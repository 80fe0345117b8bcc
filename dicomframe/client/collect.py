"""Pictures, frames, pixels and bulk data of many resources: a bounded number at a time, one outcome a row.

A row that fails says why and stops nothing. Results come in the order of the resources, and no more objects are held
than there are workers.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from dicomframe.client.bulkdata import BulkRetriever
from dicomframe.client.datasets import objects_or_failures
from dicomframe.client.elementpaths import ElementPath
from dicomframe.client.frames import FrameRetriever, check_frames
from dicomframe.client.outcomes import UID_COLUMNS, explain, outcome_table
from dicomframe.client.partial import INTERRUPTED, keeping
from dicomframe.client.picturecache import PictureCache
from dicomframe.client.progress import Progress, progress_bar
from dicomframe.client.rendered import Renderer, Wish
from dicomframe.client.retrieve import Retriever
from dicomframe.client.workers import Workers, in_order
from dicomframe.dicom import tags
from dicomframe.dicom.paths import ResourcePath
from dicomframe.errors import DicomFrameError

if TYPE_CHECKING:
    import pandas as pd
    from pydicom import Dataset

Row = dict[str, Any]
#: Makes the rows of one resource.
Work = Callable[[ResourcePath], list[Row]]


def pictures(
    retriever: Retriever,
    renderer: Renderer,
    cache: PictureCache,
    paths: Sequence[ResourcePath],
    wish: Wish,
    *,
    small: bool,
    progress: Progress,
) -> pd.DataFrame:
    """Make the table of rendered pictures or thumbnails, one row a resource."""
    draw = renderer.thumbnail if small else renderer.rendered

    def work(path: ResourcePath) -> list[Row]:
        # The instance is named also where it cannot be drawn.
        drawn = retriever.representative_path(path)
        try:
            picture = cache.picture(drawn, (small, wish), lambda: draw(drawn, wish))
        except DicomFrameError as error:
            return [failed_row(drawn, error)]
        done = {"picture": picture, "status": "rendered", "source": picture.source, "reason": picture.reason}
        return [uids_of(drawn) | done]

    what = "Thumbnails" if small else "Rendering"
    columns = ("picture", "status", "source", "reason", "error")
    return collected(retriever, paths, work, what, progress, columns, "picture")


def frames(
    retriever: Retriever,
    source: FrameRetriever,
    paths: Sequence[ResourcePath],
    numbers: Any,
    progress: Progress,
) -> pd.DataFrame:
    """Make the table of frames, one row a resource; each cell is a list of arrays."""
    wanted = check_frames(numbers) or None

    def work(path: ResourcePath) -> list[Row]:
        chosen = retriever.representative_path(path)
        try:
            return [uids_of(chosen) | {"frames": source.frames(chosen, wanted), "status": "decoded"}]
        except DicomFrameError as error:
            return [failed_row(chosen, error)]

    columns = ("frames", "status", "error")
    return collected(retriever, paths, work, "Retrieving frames", progress, columns, "frames")


def bulkdata(
    retriever: Retriever,
    source: BulkRetriever,
    paths: Sequence[ResourcePath],
    element: str,
    progress: Progress,
) -> pd.DataFrame:
    """Make the table of an attribute's bytes: one row for each place where an instance has it."""
    place = ElementPath.parse(element)

    def work(path: ResourcePath) -> list[Row]:
        chosen = retriever.representative_path(path)
        try:
            found = (
                [(place, source.by_path(chosen, place))] if place.steps else source.find(chosen, place.tag)
            )
        except DicomFrameError as error:
            return [failed_row(chosen, error)]
        return [
            uids_of(chosen)
            | {
                "path": str(at),
                "data": data,
                "status": "retrieved",
                "source": data.source,
                "reason": data.reason,
            }
            for at, data in found
        ]

    what = f"Retrieving {tags.from_tag(place.tag).column}"
    columns = ("path", "data", "status", "source", "reason", "error")
    return collected(retriever, paths, work, what, progress, columns, "data")


def pixels(
    retriever: Retriever,
    paths: Sequence[ResourcePath],
    *,
    modality_lut: bool,
    suv: bool = False,
    progress: Progress,
) -> pd.DataFrame:
    """Make the table of decoded pixels, one row an instance."""
    from dicomframe.images.pixels import pixels as decode
    from dicomframe.images.real_world import not_applied, note_of
    from dicomframe.images.suv import suv_factor
    from dicomframe.images.units import unit_of

    def row(dataset: Dataset) -> Row:
        uids = {name: str(dataset.get(name, "")) for name in UID_COLUMNS}
        try:
            values = decode(dataset, modality_lut=modality_lut, suv=suv)
            unit = "g/ml" if suv else unit_of(dataset) if modality_lut and values.ndim == 3 else ""
            names: list[str] = []
            if (modality_lut or suv) and values.ndim == 3:
                factor = suv_factor(dataset) if suv else 1.0
                names = [
                    name for at in range(len(values)) for name in not_applied(dataset, at, factor=factor)
                ]
            reason = note_of(names)
            return uids | {"pixels": values, "unit": unit, "status": "decoded", "reason": reason}
        except DicomFrameError as error:
            return uids | {"status": "failed", "error": explain(error)}

    def work(path: ResourcePath) -> list[Row]:
        if path.level == "instance":
            return [row(retriever.instance(path))]
        return [
            failed_row(path, found) if isinstance(found, DicomFrameError) else row(found)
            for found in objects_or_failures(retriever, path)
        ]

    named = _Named(retriever, paths)
    found: dict[ResourcePath, list[Row]] = {}

    def table() -> pd.DataFrame:
        rows = [row for path in named.known() for row in _rows_of(found, path)]
        return _table(rows, retriever, ("pixels", "unit", "status", "reason", "error"), "pixels")

    with keeping(retriever.session, table):
        in_parallel(retriever, named, work, found, "Decoding", None, progress)
    return table()


class _Named:
    """The instances below some resources, which are listed while those before them are being worked on."""

    def __init__(self, retriever: Retriever, paths: Sequence[ResourcePath]) -> None:
        self._retriever = retriever
        self._waiting = list(dict.fromkeys(paths))
        self._listed: list[ResourcePath] = []
        self._seen: set[ResourcePath] = set()  # a study and one of its instances may both be named

    def __iter__(self) -> Iterator[ResourcePath]:
        while self._waiting:
            below = [
                path for path in instances_below(self._retriever, self._waiting[0]) if path not in self._seen
            ]
            self._seen.update(below)
            self._listed += below
            del self._waiting[0]
            yield from below

    def known(self) -> list[ResourcePath]:
        """Give what was listed, and the resources of which nobody has asked yet what is in them."""
        return self._listed + self._waiting


def instances_below(retriever: Retriever, path: ResourcePath) -> list[ResourcePath]:
    """Give a resource's instances, so that they come in parallel; where the server cannot list them, itself."""
    if path.level == "instance":
        return [path]
    try:
        rows = retriever.instances_of(path)
        listed = [
            ResourcePath(row["StudyInstanceUID"], row["SeriesInstanceUID"], row["SOPInstanceUID"])
            for row in rows
        ]
    except (DicomFrameError, KeyError):
        return [path]
    # Where there may be more than is listed, only the resource itself has them all.
    return listed if listed and rows.is_whole else [path]


def collected(
    retriever: Retriever,
    paths: Sequence[ResourcePath],
    work: Work,
    what: str,
    progress: Progress,
    columns: Sequence[str],
    objects: str,
    finish: Callable[[pd.DataFrame, Sequence[Row]], pd.DataFrame] | None = None,
) -> pd.DataFrame:
    """Make the table of all resources in order; one that is named twice is worked on once."""
    distinct = list(dict.fromkeys(paths))
    found: dict[ResourcePath, list[Row]] = {}

    def table() -> pd.DataFrame:
        rows = [row for path in paths for row in _rows_of(found, path)]
        made = _table(rows, retriever, columns, objects)
        return made if finish is None else finish(made, rows)

    with keeping(retriever.session, table):
        in_parallel(retriever, distinct, work, found, what, len(distinct), progress)
    return table()


def in_parallel(
    retriever: Retriever,
    paths: Iterable[ResourcePath],
    work: Work,
    found: dict[ResourcePath, list[Row]],
    what: str,
    total: int | None,
    progress: Progress,
) -> None:
    """Put the rows of each resource into `found`, as they come."""

    def safely(path: ResourcePath) -> None:
        try:
            found[path] = work(path)
        except DicomFrameError as error:
            found[path] = [failed_row(path, error)]

    width = retriever.session.max_workers
    with (
        progress_bar(progress, what, total, "instance") as bar,
        Workers(width, "collect") as workers,
    ):
        for _ in in_order(workers, safely, paths, width):
            bar.update()


def _rows_of(found: dict[ResourcePath, list[Row]], path: ResourcePath) -> list[Row]:
    return found[path] if path in found else [uids_of(path) | {"status": INTERRUPTED}]


def uids_of(path: ResourcePath) -> Row:
    """Begin a resource's row."""
    return dict(zip(UID_COLUMNS, path.uids, strict=False))


def failed_row(path: ResourcePath, error: DicomFrameError) -> Row:
    """Give the row of what could not be had, with the reason."""
    return uids_of(path) | {"status": "failed", "error": explain(error)}


def _table(rows: Sequence[Row], retriever: Retriever, columns: Sequence[str], objects: str) -> pd.DataFrame:
    """Make a table of text columns and one of objects."""
    names = (*UID_COLUMNS, *columns)
    table = outcome_table(rows, [name for name in names if name != objects], retriever.session.base)
    # Made empty first: from a list of arrays of one shape, NumPy would make one array.
    cells = np.empty(len(rows), dtype=object)
    for at, row in enumerate(rows):
        cells[at] = row.get(objects)
    table.insert(names.index(objects), objects, cells)
    return table
