"""The objects of many resources as one stream: what fails is passed over with a warning, and named at the end."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from dicomframe.client.arriving import Arriving, checked, read_dataset
from dicomframe.client.metadata import Failure, failures_in_words
from dicomframe.client.outcomes import without_frames
from dicomframe.client.retrieve import Retriever
from dicomframe.dicom.paths import ResourcePath
from dicomframe.errors import (
    DicomFrameError,
    IncompleteRetrievalError,
    IncompleteRetrievalWarning,
    NotFoundError,
    warn_caller,
)

if TYPE_CHECKING:
    from pydicom import Dataset


def datasets(
    retriever: Retriever, paths: Sequence[ResourcePath], *, original: bool = False
) -> Iterator[Dataset]:
    """Yield the objects of resources; `dicomframe.client.client.Client.collect_datasets` documents it."""
    if len(paths) == 1:
        yield from retriever.objects(paths[0], original=original)
        return
    failed: list[Failure] = []
    has_given = False
    for path in paths:
        for found in objects_or_failures(retriever, path, original=original):
            if isinstance(found, DicomFrameError):
                failed.append((path, found))
                # Whoever stops before the end has been told, too.
                warn_caller(
                    f"An object is passed over, because it could not be retrieved ({type(found).__name__}); the error"
                    " at the end of the stream tells all of them.",
                    IncompleteRetrievalWarning,
                )
            else:
                has_given = True
                yield found
    if failed and not has_given:
        raise failed[0][1]
    if failed:
        raise IncompleteRetrievalError(failures_in_words(failed), len(paths)) from failed[0][1]


def objects_or_failures(
    retriever: Retriever, path: ResourcePath, *, original: bool = False
) -> Iterator[Dataset | DicomFrameError]:
    """Yield one resource's objects, and in place of each that cannot be read, why; the last is why no more come."""
    is_empty = True
    try:
        for body in retriever.bodies(path, original=original):
            is_empty = False
            arriving = Arriving(body)
            try:
                dataset = checked(read_dataset(arriving), path)
            except DicomFrameError as error:
                # Behind an object that came and cannot be read, the others follow; behind a cut they do not.
                if not arriving.is_whole:
                    raise
                yield without_frames(error)
            else:
                yield dataset
        if is_empty:
            raise NotFoundError(404, f"GET /{path.url_path}", message="the answer holds no object")
    except DicomFrameError as error:
        yield without_frames(error)
