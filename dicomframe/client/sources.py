"""What is to be stored: files, folders, Datasets and bytes, as items that know their UIDs, or why they cannot go."""

from __future__ import annotations

import copy
import errno
import io
import os
import stat
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dicomframe.client.identity import Identity, read_identity
from dicomframe.client.layout import LEDGER
from dicomframe.errors import DecodeError, QueryError

if TYPE_CHECKING:
    from pydicom import Dataset

_NOT_THERE = "there is no such file or folder"
_MEANS_NOT_THERE = frozenset({errno.ENOENT, errno.ENOTDIR, errno.EBADF, errno.ELOOP})


@dataclass(slots=True)
class Item:
    """One instance to store, or one thing that turned out to be none.

    Parameters
    ----------
    number : int
        Its place in what was given; rows come back in this order.
    path : str or None
        The file it comes from.
    body : bytes or str or None
        What is sent: bytes, or the path of the file that holds them.
    size : int
        Its length in bytes.
    uids : Identity
        Which instance it is.
    problem : str
        Why it cannot be sent; empty if it can.
    """

    number: int
    path: str | None = None
    body: bytes | str | None = None
    size: int = 0
    uids: Identity = field(default_factory=Identity)
    problem: str = ""


def iter_items(sources: Any) -> Iterator[Item]:
    """Yield an item for each thing given; folders are walked, headers are read, nothing is held.

    Parameters
    ----------
    sources : str, path, bytes, Dataset, file that is open for reading bytes, or an iterable of them
        A text or path is a file or a folder.

    Raises
    ------
    QueryError
        If it is none of these.
    """
    if hasattr(sources, "columns"):
        raise QueryError("Give a column of paths, not the whole table: client.store(df['path']).")
    if not _is_single(sources) and not isinstance(sources, Iterable):
        raise QueryError(f"Files, folders, Datasets or bytes can be stored, not {type(sources).__name__}.")
    for number, item in enumerate(_expand(sources)):
        item.number = number
        yield item


def _is_single(source: Any) -> bool:
    return (
        isinstance(source, str | Path | bytes | bytearray | memoryview)
        or _is_file(source)
        or _is_dataset(source)
    )


def _is_file(source: Any) -> bool:
    """Whether it is an open file: a file is an iterable too, of lines."""
    return callable(getattr(source, "read", None)) and not _is_dataset(source)


def _is_dataset(source: Any) -> bool:
    from pydicom import Dataset

    return isinstance(source, Dataset)


def _expand(source: Any) -> Iterator[Item]:
    if isinstance(source, str | Path):
        path = source if isinstance(source, Path) else Path(source)
        yield from _files(str(path.expanduser()))
    elif isinstance(source, bytes | bytearray | memoryview):
        yield _from_bytes(bytes(source))
    elif _is_dataset(source):
        yield _from_dataset(source)
    elif _is_file(source):
        yield _from_open_file(source)
    elif isinstance(source, Iterable):
        for each in source:
            yield from _expand(each)
    else:
        yield Item(0, problem=f"a {type(source).__name__} is no file, folder, Dataset or bytes")


def _files(path: str) -> Iterator[Item]:
    """Walk a folder in the order of names; links to folders are not followed, they may lead in circles."""
    try:
        status = os.stat(path)  # noqa: PTH116 - a Path costs more than the call itself, for each of many files
        inside = _names(path) if stat.S_ISDIR(status.st_mode) else None
    except ValueError:
        # No name of a file: it has a null character, for example.
        yield Item(0, path, problem=_NOT_THERE)
        return
    except OSError as error:
        yield Item(0, path, problem=_NOT_THERE if error.errno in _MEANS_NOT_THERE else _why(error))
        return
    if inside is None:
        yield _from_file(path, status)
    elif not inside:
        yield Item(0, path, problem="the folder is empty")
    else:
        for name, leads_in_circles in inside:
            within = name if path == "." else os.path.join(path, name)  # noqa: PTH118 - see above
            if leads_in_circles:
                yield Item(0, within, problem="a link to a folder is not followed")
            else:
                yield from _files(within)


def _names(folder: str) -> list[tuple[str, bool]]:
    """Give what is in a folder, sorted, and of each thing whether it is a link to a folder."""
    with os.scandir(folder) as entries:
        found = [
            (entry.name, entry.is_symlink() and entry.is_dir()) for entry in entries if entry.name != LEDGER
        ]
    return sorted(found, key=lambda each: os.path.normcase(each[0]))


def _from_file(path: str, status: os.stat_result) -> Item:
    item = Item(0, path, path, status.st_size)
    if not stat.S_ISREG(status.st_mode):
        item.problem = "it is no regular file"
        return item
    try:
        item.uids = read_identity(path)
    except (DecodeError, OSError) as error:
        item.problem = _why(error)
    return item


def _from_open_file(source: Any) -> Item:
    name = getattr(source, "name", None)
    path = name if isinstance(name, str) else None
    try:
        body = source.read()
    except ValueError:
        return Item(0, path, problem="the file cannot be read: it is closed, or open for text or for writing")
    except Exception as error:  # noqa: BLE001 - files within archives raise many kinds on damaged ones
        why = error.strerror if isinstance(error, OSError) else None
        return Item(0, path, problem=why or f"the file cannot be read ({type(error).__name__})")
    if not isinstance(body, bytes | bytearray | memoryview):
        return Item(0, path, problem="the file is open for text; open it for bytes, with 'rb'")
    if not body:
        return Item(0, path, problem="the file is empty or was read to its end; file.seek(0) goes back")
    item = _from_bytes(bytes(body))
    item.path = path
    return item


def _from_bytes(body: bytes) -> Item:
    item = Item(0, None, body, len(body))
    try:
        item.uids = read_identity(io.BytesIO(body))
    except (DecodeError, OSError) as error:
        item.problem = _why(error)
    return item


def _from_dataset(dataset: Dataset) -> Item:
    try:
        body = encode_dataset(dataset)
    except Exception as error:  # noqa: BLE001 - pydicom raises many kinds on values that it cannot write
        return Item(0, problem=f"the Dataset cannot be encoded ({type(error).__name__}: {error})")
    return _from_bytes(body)


def encode_dataset(dataset: Dataset) -> bytes:
    """Write a Dataset as a DICOM file (PS3.10), without changing it.

    One that was made by hand and has no transfer syntax is written as Explicit VR Little Endian.
    """
    from pydicom import Dataset as PlainDataset
    from pydicom import dcmwrite
    from pydicom.dataset import FileMetaDataset
    from pydicom.uid import ExplicitVRLittleEndian

    meta = copy.deepcopy(getattr(dataset, "file_meta", None)) or FileMetaDataset()
    if "TransferSyntaxUID" not in meta:
        shell = PlainDataset(dataset)
        meta.TransferSyntaxUID = ExplicitVRLittleEndian
        shell.file_meta = meta
        dataset = shell
    buffer = io.BytesIO()
    dcmwrite(buffer, dataset, enforce_file_format=True)
    return buffer.getvalue()


def _why(error: Exception) -> str:
    return error.strerror or type(error).__name__ if isinstance(error, OSError) else str(error)
