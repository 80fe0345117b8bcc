"""Segmentations, structure sets and doses of several resources, laid over one volume."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from dicomframe.client.outcomes import explain, without_frames
from dicomframe.client.progress import Progress, progress_bar
from dicomframe.client.retrieve import Retriever
from dicomframe.client.workers import Workers, in_order
from dicomframe.dicom.paths import ResourcePath
from dicomframe.errors import DecodeError, DicomFrameError, NotFoundError, QueryError
from dicomframe.images.layers import Overlays
from dicomframe.images.overlays import MODALITIES, overlays_of

if TYPE_CHECKING:
    from pydicom import Dataset

    from dicomframe.images.volume import Volume


def collect_overlays(
    retriever: Retriever,
    paths: Sequence[ResourcePath],
    onto: Volume,
    *,
    registered: bool,
    progress: Progress,
) -> Overlays:
    """Retrieve what lies over a volume; the client's ``collect_overlays`` documents it."""
    if not hasattr(onto, "affine"):
        raise QueryError(
            "Overlays are laid onto a volume: give what df.dicom.volume() or retrieve_volume gave."
        )
    wanted = list(dict.fromkeys(paths))

    def work(path: ResourcePath) -> tuple[Overlays, list[DicomFrameError]]:
        return _overlays_of_one(retriever, path, onto, registered=registered)

    joined, errors = Overlays(), []
    width = retriever.session.max_workers
    with (
        progress_bar(progress, "Retrieving overlays", len(wanted), "row") as bar,
        Workers(width, "overlays") as workers,
    ):
        for found, refused in in_order(workers, work, wanted, width):
            joined.join(found)
            errors += refused
            bar.update()
    if errors and not joined:
        raise errors[0]
    return joined


def _overlays_of_one(
    retriever: Retriever, path: ResourcePath, onto: Volume, *, registered: bool
) -> tuple[Overlays, list[DicomFrameError]]:
    found, errors = Overlays(), []
    try:
        for dataset in _objects(retriever, path):
            try:
                found.join(overlays_of(dataset, onto, registered=registered))
            except DicomFrameError as error:
                errors.append(without_frames(error))
                found.report("", "not usable", str(dataset.get("SOPInstanceUID") or ""), explain(error))
    except DicomFrameError as error:
        errors.append(without_frames(error))
        found.report("", "not retrieved", path.uids[-1], explain(error))
    return found, errors


def _objects(retriever: Retriever, path: ResourcePath) -> Iterator[Dataset]:
    """Retrieve a series or instance as it is; of a study only what can lie over a volume, not its pictures too."""
    if path.level != "study":
        yield from retriever.objects(path)
        return
    rows = retriever.instances_of(path, fields=["Modality"])
    if not rows:
        raise NotFoundError(404, f"GET /{path.url_path}", message="there are no instances")
    # A server may leave Modality out: then only the object itself tells.
    chosen = [row for row in rows if row.get("Modality", "SEG") in MODALITIES]
    if not chosen:
        raise DecodeError("The study has no segmentation, structure set or dose (SEG, RTSTRUCT, RTDOSE).")
    for row in chosen:
        yield from retriever.objects(
            ResourcePath(path.study, row["SeriesInstanceUID"], row["SOPInstanceUID"])
        )
