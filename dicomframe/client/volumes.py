"""A series as a volume: its objects come several at a time, and each is taken apart and let go as it arrives."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from dicomframe.client.collect import instances_below
from dicomframe.client.paging import in_order
from dicomframe.client.progress import Progress, progress_bar
from dicomframe.client.retrieve import Retriever
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
            for dataset in retriever.objects(path):
                assembly.add(dataset)
        except DicomFrameError as error:
            assembly.fail(path.instance or "", error)

    width = retriever.session.max_workers
    total = len(below) if below[0].level == "instance" else None
    with (
        progress_bar(progress, "Retrieving the volume", total, "instance") as bar,
        ThreadPoolExecutor(width, thread_name_prefix="dicomframe-volume") as workers,
    ):
        for _ in in_order(workers, work, below, width):
            bar.update()
    return assembly.volume()


def check_stack(stack: object) -> None:
    """Refuse what is no number of a volume, before anything is sent."""
    if stack is not None and (isinstance(stack, bool) or not isinstance(stack, int) or stack < 1):
        raise QueryError("stack is the number of a volume, from 1.")
