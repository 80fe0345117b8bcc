"""A folder of downloaded objects: a file has its name only once it is whole, and a ledger tells which files are."""

from __future__ import annotations

import itertools
import json
import os
import secrets
import threading
from collections.abc import Iterator
from io import FileIO
from mmap import ACCESS_READ, mmap
from pathlib import Path
from typing import BinaryIO, NamedTuple, cast

from dicomframe.client.elements import HEAD_BYTES
from dicomframe.client.identity import Identity, read_identity
from dicomframe.client.layout import LEDGER, Layout
from dicomframe.client.retrieve import ObjectBody
from dicomframe.client.wholeness import ends_with_pixels, is_cut_off
from dicomframe.errors import DecodeError, QueryError

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
    """

    uids: Identity
    path: str
    size: int
    is_damaged: bool


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
    """

    def __init__(self, root: Path, layout: Layout, *, original: bool = False) -> None:
        root.mkdir(parents=True, exist_ok=True)
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

    def save(self, body: ObjectBody, expected: Identity | None = None) -> Saved:
        """Write an object to a temporary file, and give it its name once it is whole, or one that says it is not.

        Raises
        ------
        DecodeError
            If it is no DICOM file or not the instance expected.
        DicomFrameError, OSError
            If it does not come whole, or cannot be written.
        """
        part = f"{self._front}.dicomframe-{self._mark}-{next(self._numbers)}.part"
        try:
            with FileIO(part, "x+") as file:
                head, size = _write(body, file)
                uids = _expected(read_identity(cast("BinaryIO", file), head), expected)
                is_damaged = not ends_with_pixels(head, size) and _is_cut_off(file, head)
            name = self._layout.path_of(uids)
            path = self._path(name + DAMAGED if is_damaged else name)
            self._make_folder(path.rpartition(os.sep)[0])
            os.replace(part, path)  # noqa: PTH105 - a Path made of each file takes longer
        except BaseException:
            Path(part).unlink(missing_ok=True)
            raise
        if self._sizes.get(name) == _NOT_WHOLE and not is_damaged:
            Path(self._path(name + DAMAGED)).unlink(missing_ok=True)
        self._enter(name, None if is_damaged else size)
        return Saved(uids, path, size, is_damaged)

    def _path(self, name: str) -> str:
        return self._front + name.replace("/", os.sep)

    def _make_folder(self, path: str) -> None:
        if path not in self._made:
            Path(path).mkdir(parents=True, exist_ok=True)
            self._made.add(path)

    def _enter(self, name: str, size: int | None) -> None:
        """Put a finished file into the ledger, at once: the machine may stop; without a size, that it came damaged."""
        # The line break stands in front as well: the last line may have been cut off when it stopped before.
        damaged_or_size = '"damaged": true' if size is None else f'"bytes": {size}'
        original = ', "original": true' if self._original else ""
        line = f'\n{{"path": {json.dumps(name)}, {damaged_or_size}{original}}}\n'.encode()
        with self._lock:
            if self._ledger is None:
                self._ledger = FileIO(self._front + LEDGER, "a")
            self._sizes[name] = _NOT_WHOLE if size is None else (size, self._original)
            self._ledger.write(line)

    def close(self) -> None:
        """Close the ledger; it is opened again if more is saved."""
        with self._lock:
            if self._ledger is not None:
                self._ledger.close()
                self._ledger = None


def _is_cut_off(file: FileIO, head: bytes) -> bool:
    with mmap(file.fileno(), 0, access=ACCESS_READ) as content:
        return is_cut_off(head, content)


def _expected(uids: Identity, expected: Identity | None) -> Identity:
    if expected is not None and uids.instance != expected.instance:
        raise DecodeError("the server sent another instance than the one asked for")
    return uids


def _write(body: ObjectBody, file: FileIO) -> tuple[bytes, int]:
    """Write an object as it comes in; give its first bytes, as many as its identity is read from, and its size."""
    head = b""
    size = 0
    for piece in body.iter_bytes():
        if size < HEAD_BYTES:
            head += piece[: HEAD_BYTES - size]
        written = file.write(piece)
        while written < len(piece):
            # What is not buffered may be taken in parts.
            written += file.write(piece[written:])
        size += written
    return head, size


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
