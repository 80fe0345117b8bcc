"""One DICOM object that comes in: its bytes, whether it is whole, and what it is read into."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from mmap import ACCESS_READ, mmap
from typing import IO, TYPE_CHECKING, Any, BinaryIO, Protocol, cast

from dicomframe.client.elements import HEAD_BYTES
from dicomframe.client.identity import may_lack_preamble
from dicomframe.client.incoming import Answer
from dicomframe.client.wholeness import CUT_OFF, ends_with_pixels, is_cut_off
from dicomframe.dicom.paths import UID_KEYWORD_OF_LEVEL, ResourcePath
from dicomframe.dicom.quiet import quiet
from dicomframe.errors import DecodeError, TruncatedBody, UnexpectedAnswerError

if TYPE_CHECKING:
    from pydicom import Dataset

#: Objects up to this size are held in memory while they are read, larger ones in a temporary file.
SPOOL_BYTES = 32 * 1024 * 1024


class ObjectBody(Protocol):
    """One DICOM object that is still coming in."""

    def iter_bytes(self) -> Iterator[bytes | memoryview]:
        """Yield its bytes as they come in."""

    def write_to(self, file: BinaryIO) -> int:
        """Write it to a file, give the number of bytes."""


class WholeBody:
    """An answer that is one object, without multipart.

    Parameters
    ----------
    answer : Answer
        Its body is still to be read.
    """

    def __init__(self, answer: Answer) -> None:
        self._answer = answer

    def iter_bytes(self) -> Iterator[bytes]:
        """Yield its bytes as they come in."""
        return self._answer.iter_bytes()

    def write_to(self, file: BinaryIO) -> int:
        """Write it to a file, give the number of bytes."""
        length = 0
        for chunk in self._answer.iter_bytes():
            file.write(chunk)
            length += len(chunk)
        return length


class Arriving:
    """An object of which it is noted whether it came to its end.

    Parameters
    ----------
    body : ObjectBody
        The object.
    """

    def __init__(self, body: ObjectBody) -> None:
        self._body = body
        self.is_whole = False

    def iter_bytes(self) -> Iterator[bytes | memoryview]:
        """Yield its bytes as they come in."""
        yield from self._body.iter_bytes()
        self.is_whole = True

    def write_to(self, file: BinaryIO) -> int:
        """Write it to a file, give the number of bytes."""
        length = self._body.write_to(file)
        self.is_whole = True
        return length


def checked(dataset: Dataset, path: ResourcePath) -> Dataset:
    """Give the Dataset back if it is what was asked for."""
    for keyword, uid in zip(UID_KEYWORD_OF_LEVEL.values(), path.uids, strict=False):
        if str(dataset.get(keyword, "")).rstrip(" \0") != uid:
            raise UnexpectedAnswerError(
                200, f"GET /{path.url_path}", message=f"the server sent an object of another {keyword}"
            )
    return dataset


def are_same(one: Dataset, other: Dataset) -> bool:
    """Whether two objects say the same; what cannot be compared does not."""
    with quiet():
        try:
            return bool(one == other)
        except Exception:  # noqa: BLE001 - pydicom raises many kinds on values that it cannot read
            return False


def _is_cut_off(file: IO[bytes], size: int) -> bool:
    """Whether an object ends in the middle of something; pydicom may read it without a word, or without its pixels."""
    file.seek(0)
    head = file.read(HEAD_BYTES)
    if ends_with_pixels(head, size):
        return False
    file.seek(0)
    if size <= SPOOL_BYTES:
        return is_cut_off(head, file.read())
    # What is in a file need not be brought into memory.
    with mmap(file.fileno(), 0, access=ACCESS_READ) as content:
        return is_cut_off(head, content)


def _is_last_short(dataset: Dataset) -> bool:
    """Whether the last element is shorter than it says, which shows also where the encoding is unusual."""
    from pydicom.dataelem import RawDataElement

    last: Any = dataset.get_item(max(dataset.keys())) if len(dataset) else None
    if isinstance(last, RawDataElement) and last.value is not None and last.length != 0xFFFFFFFF:
        return len(last.value) < last.length
    return False


def read_dataset(body: ObjectBody) -> Dataset:
    """Read one object into a Dataset.

    Raises
    ------
    DecodeError
        If it is no DICOM.
    TruncatedBody
        If it was cut off.
    """
    from pydicom import dcmread
    from pydicom.errors import InvalidDicomError

    with tempfile.SpooledTemporaryFile(SPOOL_BYTES) as file:
        size = body.write_to(cast("BinaryIO", file))
        if _is_cut_off(file, size):
            raise TruncatedBody(CUT_OFF)
        file.seek(0)
        force = may_lack_preamble(file.read(2))
        file.seek(0)
        try:
            dataset = dcmread(file, force=force)
        except InvalidDicomError:
            problem = "The server sent something that is no DICOM object."
        except Exception as error:  # noqa: BLE001 - pydicom raises many kinds on damaged objects
            problem = f"The server sent an object that cannot be read ({type(error).__name__})."
        else:
            # The temporary file goes; nothing of the data set is still to be read from it.
            dataset.buffer = None
            dataset.filename = None
            if _is_last_short(dataset):
                raise TruncatedBody(CUT_OFF)
            if "SOPInstanceUID" in dataset:
                return dataset
            problem = "The server sent an object without a SOP Instance UID."
    raise DecodeError(problem)
