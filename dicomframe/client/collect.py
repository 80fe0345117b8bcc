"""Pictures, frames, pixels and bulk data of many resources: a bounded number at a time, one outcome a row.

A row that fails says why and stops nothing. Results come in the order of the resources, and no more objects are held
than there are workers.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import numpy as np

from dicomframe.client.bulkdata import BulkRetriever, ElementPath
from dicomframe.client.download import explain
from dicomframe.client.frames import FrameRetriever, check_frames
from dicomframe.client.outcomes import UID_COLUMNS, outcome_table
from dicomframe.client.paging import in_order
from dicomframe.client.picturecache import PictureCache
from dicomframe.client.progress import Progress, progress_bar
from dicomframe.client.rendered import Renderer, Wish
from dicomframe.client.retrieve import Retriever
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
            return [_failed(drawn, error)]
        done = {"picture": picture, "status": "rendered", "source": picture.source, "reason": picture.reason}
        return [_uids(drawn) | done]

    what = "Thumbnails" if small else "Rendering"
    rows = _rows(retriever, paths, work, what, progress)
    return _table(rows, retriever, ("picture", "status", "source", "reason", "error"), "picture")


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
            return [_uids(chosen) | {"frames": source.frames(chosen, wanted), "status": "decoded"}]
        except DicomFrameError as error:
            return [_failed(chosen, error)]

    rows = _rows(retriever, paths, work, "Retrieving frames", progress)
    return _table(rows, retriever, ("frames", "status", "error"), "frames")


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
            return [_failed(chosen, error)]
        return [
            _uids(chosen)
            | {
                "path": str(at),
                "data": data,
                "status": "retrieved",
                "source": data.source,
                "reason": data.reason,
            }
            for at, data in found
        ]

    rows = _rows(retriever, paths, work, f"Retrieving {tags.from_tag(place.tag).column}", progress)
    return _table(rows, retriever, ("path", "data", "status", "source", "reason", "error"), "data")


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
    from dicomframe.images.units import unit_of

    def row(dataset: Dataset) -> Row:
        uids = {name: str(dataset.get(name, "")) for name in UID_COLUMNS}
        try:
            values = decode(dataset, modality_lut=modality_lut, suv=suv)
            unit = "g/ml" if suv else unit_of(dataset) if modality_lut and values.ndim == 3 else ""
            return uids | {"pixels": values, "unit": unit, "status": "decoded"}
        except DicomFrameError as error:
            return uids | {"status": "failed", "error": explain(error)}

    def work(path: ResourcePath) -> list[Row]:
        if path.level == "instance":
            return [row(retriever.instance(path))]
        rows: list[Row] = []
        try:
            rows.extend(map(row, retriever.objects(path)))
        except DicomFrameError as error:
            rows.append(_failed(path, error))
        return rows

    below = (each for path in dict.fromkeys(paths) for each in instances_below(retriever, path))
    rows = [
        each for found in _in_parallel(retriever, below, work, "Decoding", None, progress) for each in found
    ]
    return _table(rows, retriever, ("pixels", "unit", "status", "error"), "pixels")


def instances_below(retriever: Retriever, path: ResourcePath) -> list[ResourcePath]:
    """Give a resource's instances, so that they come in parallel; where the server cannot list them, itself."""
    if path.level == "instance":
        return [path]
    try:
        listed = [
            ResourcePath(row["StudyInstanceUID"], row["SeriesInstanceUID"], row["SOPInstanceUID"])
            for row in retriever.instances_of(path)
        ]
    except (DicomFrameError, KeyError):
        listed = []
    return listed or [path]


def _rows(
    retriever: Retriever, paths: Sequence[ResourcePath], work: Work, what: str, progress: Progress
) -> list[Row]:
    """Give the rows of all resources in order; one that is named twice is worked on once."""
    distinct = list(dict.fromkeys(paths))
    found = dict(
        zip(distinct, _in_parallel(retriever, distinct, work, what, len(distinct), progress), strict=True)
    )
    return [row for path in paths for row in found[path]]


def _in_parallel(
    retriever: Retriever,
    paths: Iterable[ResourcePath],
    work: Work,
    what: str,
    total: int | None,
    progress: Progress,
) -> Iterator[list[Row]]:
    def safely(path: ResourcePath) -> list[Row]:
        try:
            return work(path)
        except DicomFrameError as error:
            return [_failed(path, error)]

    width = retriever.session.max_workers
    with (
        progress_bar(progress, what, total, "instance") as bar,
        ThreadPoolExecutor(width, thread_name_prefix="dicomframe-collect") as workers,
    ):
        for rows in in_order(workers, safely, paths, width):
            bar.update()
            yield rows


def _uids(path: ResourcePath) -> Row:
    return dict(zip(UID_COLUMNS, path.uids, strict=False))


def _failed(path: ResourcePath, error: DicomFrameError) -> Row:
    return _uids(path) | {"status": "failed", "error": explain(error)}


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
