"""A folder of downloaded objects: a file has its name only once it is whole, and a ledger tells which files are."""

from __future__ import annotations

import itertools
import json
import os
import secrets
import threading
from collections.abc import Iterator
from contextlib import suppress
from io import FileIO
from mmap import ACCESS_READ, mmap
from pathlib import Path
from typing import BinaryIO, NamedTuple, cast

from dicomframe.client.arriving import ObjectBody
from dicomframe.client.elements import HEAD_BYTES
from dicomframe.client.identity import Identity, identity_of_cut, read_identity
from dicomframe.client.layout import LEDGER, Layout
from dicomframe.client.wholeness import CUT_OFF, ends_with_pixels, is_cut_off
from dicomframe.dicom.paths import UID_KEYWORD_OF_LEVEL, ResourcePath
from dicomframe.errors import DecodeError, QueryError, TruncatedBody

# Stands there for what came damaged the last time.
_NOT_WHOLE = (-1, False)

#: What the name of a file ends with whose object came cut off; one that is whole takes its place later.
DAMAGED = ".damaged"


class Saved(NamedTuple):
    """An object that was written to a file.

    Parameters
    ----------
    uids : Identity
        Which it is.
    path : str
        Its file.
    size : int
        In bytes.
    is_damaged : bool
        Whether it is cut off; then the file has a name that nobody takes for a whole one's.
    remark : str
        What is to be said of it all the same, empty where there is nothing.
    """

    uids: Identity
    path: str
    size: int
    is_damaged: bool
    remark: str = ""


class Folder:
    """The folder, and what is whole in it.

    Parameters
    ----------
    root : pathlib.Path
        Made if it is not there.
    layout : Layout
        Where files go.
    original : bool
        Whether the files are first versions, from before all bulk updates; the newest ones are not taken for them.

    Raises
    ------
    QueryError
        If it is no folder, and cannot be made one.
    """

    def __init__(self, root: str | os.PathLike[str], layout: Layout, *, original: bool = False) -> None:
        root = _made(root)
        # Texts from here on: a Path for each file and its folder took as long as to name them.
        self._front = str(root / "_")[:-1]
        self._layout = layout
        self._original = original
        self._lock = threading.Lock()
        self._sizes = dict(_read_ledger(root / LEDGER))
        self._ledger: FileIO | None = None
        self._made: set[str] = set()
        self._mark = secrets.token_hex(8)
        self._numbers = itertools.count()

    def whole_file(self, uids: Identity) -> tuple[str, int] | None:
        """Give the path and size of an instance's file, if it is there as it was finished."""
        if not self._sizes:
            return None
        try:
            name = self._layout.path_of(uids)
            path = self._path(name)
            size = Path(path).stat().st_size
        except (OSError, QueryError):
            # What may have no file is refused when it is fetched.
            return None
        return (path, size) if self._sizes.get(name) == (size, self._original) else None

    def save(self, body: ObjectBody, asked: ResourcePath) -> Saved:
        """Write an object to a temporary file, and give it its name once it is whole, or one that says it is not.

        Parameters
        ----------
        body : ObjectBody
            The object.
        asked : ResourcePath
            The study, series or instance that it was sent for.

        Raises
        ------
        DecodeError
            If it is no DICOM file, or of another study, series or instance.
        TruncatedBody
            If it is cut off, and which instance it is nobody can tell.
        DicomFrameError, OSError
            If it does not come whole, or cannot be written.
        """
        part = f"{self._front}.dicomframe-{self._mark}-{next(self._numbers)}.part"
        try:
            with FileIO(part, "x+") as file:
                head, size = _write(body, file)
                said, is_damaged = _look_at(file, head, size)
            uids = _as_asked(said, asked, is_damaged=is_damaged)
            name = self._layout.path_of(uids)
            path = self._path(name + DAMAGED if is_damaged else name)
            self._make_folder(path.rpartition(os.sep)[0])
            os.replace(part, path)  # noqa: PTH105 - a Path made of each file takes longer
        except BaseException:
            Path(part).unlink(missing_ok=True)
            raise
        if self._sizes.get(name) == _NOT_WHOLE and not is_damaged:
            Path(self._path(name + DAMAGED)).unlink(missing_ok=True)
        remark = self._enter(name, None if is_damaged else size)
        return Saved(uids, path, size, is_damaged, remark)

    def _path(self, name: str) -> str:
        return self._front + name.replace("/", os.sep)

    def _make_folder(self, path: str) -> None:
        if path not in self._made:
            Path(path).mkdir(parents=True, exist_ok=True)
            self._made.add(path)

    def _enter(self, name: str, size: int | None) -> str:
        """Put a finished file into the ledger, at once: the machine may stop; without a size, that it came damaged.

        Give what is to be said if that fails: the file itself is none the worse for it.
        """
        # The line break stands in front as well: the last line may have been cut off when it stopped before.
        damaged_or_size = '"damaged": true' if size is None else f'"bytes": {size}'
        original = ', "original": true' if self._original else ""
        line = f'\n{{"path": {json.dumps(name)}, {damaged_or_size}{original}}}\n'.encode()
        with self._lock:
            self._sizes[name] = _NOT_WHOLE if size is None else (size, self._original)
            try:
                if self._ledger is None:
                    self._ledger = FileIO(self._front + LEDGER, "a")
                _write_all(self._ledger, line)
            except OSError as error:
                return (
                    f"The file is written, but not entered in {LEDGER}, which could not be written"
                    f" ({error.strerror or type(error).__name__}): the next download fetches it again. Make room for"
                    " that file, or make it writable."
                )
        return ""

    def close(self) -> None:
        """Close the ledger; it is opened again if more is saved."""
        with self._lock:
            if self._ledger is not None:
                # Some file systems say only now that there was no room. Then files are fetched again, no more.
                with suppress(OSError):
                    self._ledger.close()
                self._ledger = None


def _made(root: str | os.PathLike[str]) -> Path:
    """Make the folder, before anything is asked for that would have to lie in it."""
    try:
        path = Path(root)
        path.mkdir(parents=True, exist_ok=True)
    except TypeError:
        raise QueryError(f"folder is a path, text or pathlib.Path, not {type(root).__name__}.") from None
    except (FileExistsError, NotADirectoryError):
        raise QueryError(
            "The folder cannot be made: a file of that name, or of a folder above it, is in the way."
            " Give another folder, or move the file away."
        ) from None
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or "that is no path"
        raise QueryError(
            f"The folder cannot be made: {why}. Give one in a place that you may write to."
        ) from None
    return path


def _look_at(file: FileIO, head: bytes, size: int) -> tuple[Identity, bool]:
    """Tell which instance a file holds, as far as it says so, and whether it is cut off."""
    if not size:
        return Identity(), True
    if not ends_with_pixels(head, size):
        with mmap(file.fileno(), 0, access=ACCESS_READ) as content:
            if is_cut_off(head, content):
                return identity_of_cut(head, content), True
    return read_identity(cast("BinaryIO", file), head), False


def _as_asked(said: Identity, asked: ResourcePath, *, is_damaged: bool) -> Identity:
    """Refuse an object that is not what was asked for; what it does not say of itself is as it was asked for."""
    uids = [said.study, said.series, said.instance]
    for at, (level, wanted) in enumerate(zip(UID_KEYWORD_OF_LEVEL, asked.uids, strict=False)):
        uids[at] = uids[at] or wanted
        if uids[at] != wanted:
            raise DecodeError(f"the server sent another {level} than the one asked for")
    if is_damaged and not all(uids):
        raise TruncatedBody(CUT_OFF)
    return Identity(*uids)


def _write(body: ObjectBody, file: FileIO) -> tuple[bytes, int]:
    """Write an object as it comes in; give its first bytes, as many as its identity is read from, and its size."""
    head = b""
    size = 0
    for piece in body.iter_bytes():
        if size < HEAD_BYTES:
            head += piece[: HEAD_BYTES - size]
        _write_all(file, piece)
        size += len(piece)
    return head, size


def _write_all(file: FileIO, data: bytes | memoryview) -> None:
    """Write all of it: what is not buffered may be taken in parts, the last ones of a full disk for example."""
    written = file.write(data)
    while written < len(data):
        written += file.write(data[written:])


def _read_ledger(path: Path) -> Iterator[tuple[str, tuple[int, bool]]]:
    """Yield each finished file's path, its size, and whether it is an original; the last word on a path counts."""
    try:
        lines = path.read_text("utf-8", errors="replace").splitlines()
    except OSError:
        return
    for line in lines:
        try:
            entry = json.loads(line)
            if entry.get("damaged"):
                yield str(entry["path"]), _NOT_WHOLE
            else:
                yield str(entry["path"]), (int(entry["bytes"]), bool(entry.get("original")))
        except (ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError):
            # An empty line, one that was cut off, or somebody else's: that file is fetched again.
            continue
