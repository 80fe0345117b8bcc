"""A series as a volume: its objects come several at a time, and each is taken apart and let go as it arrives."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from dicomframe.client.collect import instances_below
from dicomframe.client.datasets import objects_or_failures
from dicomframe.client.outcomes import without_frames
from dicomframe.client.progress import Progress, progress_bar
from dicomframe.client.retrieve import Retriever
from dicomframe.client.workers import Workers, in_order
from dicomframe.dicom.paths import ResourcePath
from dicomframe.errors import DicomFrameError, QueryError

if TYPE_CHECKING:
    from dicomframe.images.volume import Volume


def retrieve_volume(
    retriever: Retriever,
    paths: Sequence[ResourcePath],
    *,
    stack: int | None,
    suv: bool,
    progress: Progress,
) -> Volume:
    """Make the volume of a series or of some of its instances.

    `dicomframe.client.client.Client.retrieve_volume` documents it.
    """
    from dicomframe.images.assembly import Assembly

    below = list(dict.fromkeys(each for path in paths for each in instances_below(retriever, path)))
    assembly = Assembly(len(below), stack=stack, suv=suv)

    def work(path: ResourcePath) -> None:
        try:
            if path.level == "instance":
                assembly.add(retriever.instance(path))
                return
            for found in objects_or_failures(retriever, path):
                try:
                    if isinstance(found, DicomFrameError):
                        raise found
                    assembly.add(found)
                except DicomFrameError as error:
                    # Those behind it may be slices all the same.
                    assembly.fail("", error)
        except DicomFrameError as error:
            assembly.fail(path.instance or "", without_frames(error))

    width = retriever.session.max_workers
    total = len(below) if below[0].level == "instance" else None
    with (
        progress_bar(progress, "Retrieving the volume", total, "instance") as bar,
        Workers(width, "volume") as workers,
    ):
        for _ in in_order(workers, work, below, width):
            bar.update()
    return assembly.volume()


def check_stack(stack: object) -> None:
    """Refuse what is no number of a volume, before anything is sent."""
    if stack is not None and (isinstance(stack, bool) or not isinstance(stack, int) or stack < 1):
        raise QueryError("stack is the number of a volume, from 1.")
