"""The bytes of what is stored: one file an instance version, in a folder.

Bytes are written under a temporary name and renamed when they are whole. Each process writes into a folder of its
own below ``incoming/``, which it keeps locked; what a dead process left there is removed when the next one opens
the folder, however many others are writing at that moment.
"""

from __future__ import annotations

import os
import secrets
import shutil
import sys
from collections.abc import Iterable
from io import FileIO
from pathlib import Path
from typing import IO, Self

from dicomframe.service.header import PREAMBLE

#: Bytes read from a file at a time: large enough that a 512 KB object goes out in one piece.
CHUNK_BYTES = 1 << 20
_FILES_IN_FOLDER = 1000


class Blobs:
    """Files named by instance version, a thousand in a folder.

    Parameters
    ----------
    folder : Path
        Made if it is missing.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._incoming = folder / "incoming" / secrets.token_hex(8)
        self._incoming.mkdir(parents=True)
        self._lock = _lock(self._incoming)
        self._made: set[Path] = set()

    @property
    def owner(self) -> str:
        """The name of this process among those that share the folder."""
        return self._incoming.name

    def is_alive(self, owner: str) -> bool:
        """Tell whether the process of a name still has the folder open."""
        if owner == self.owner:
            return True
        try:
            _lock(self._incoming.parent / owner).close()
        except FileNotFoundError:
            return False
        except OSError:
            return True
        return False

    def close(self) -> None:
        """Remove this process' folder of unfinished files."""
        self._lock.close()
        shutil.rmtree(self._incoming, ignore_errors=True)

    def path(self, version: int) -> Path:
        """Give the file of a version, whether it is there or not."""
        return Path(self._name(version))

    def _name(self, version: int) -> str:
        millions, thousands = divmod(version // _FILES_IN_FOLDER, _FILES_IN_FOLDER)
        return f"{self._folder}{os.sep}{millions:03}{os.sep}{thousands:03}{os.sep}{version}.dcm"

    def begin(self) -> NewBlob:
        """Begin to write a file under a temporary name."""
        return NewBlob(self._incoming / secrets.token_hex(8))

    def keep(self, new: NewBlob, version: int) -> None:
        """Give a whole file its place."""
        path = self.path(version)
        if path.parent not in self._made:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._made.add(path.parent)
        new.path.replace(path)

    def open(self, version: int) -> StoredBytes:
        """Open a file to send it.

        Raises
        ------
        FileNotFoundError
            If it was deleted. Once it is open, its bytes stay.
        """
        return StoredBytes(self._name(version))

    def size(self, version: int) -> int:
        """Give a file's length in bytes."""
        return os.stat(self._name(version)).st_size  # noqa: PTH116 - a Path costs more than the call itself

    def remove(self, versions: Iterable[int]) -> None:
        """Remove files; those that are gone already do not matter."""
        for version in versions:
            self.path(version).unlink(missing_ok=True)

    def sweep(self, newest: int) -> None:
        """Remove what dead processes left behind.

        Parameters
        ----------
        newest : int
            The newest committed version. No process may be writing to the index meanwhile: a file of a later
            version then belongs to a transaction that never ended.
        """
        first = newest + 1
        # One transaction may have written more files than one folder holds.
        while (inside := self.path(first).parent).exists():
            for path in inside.glob("*.dcm"):
                if int(path.stem) > newest:
                    path.unlink(missing_ok=True)
            first += _FILES_IN_FOLDER
        for folder in (self._folder / "incoming").iterdir():
            if folder == self._incoming:
                continue
            try:
                lock = _lock(folder)
            except OSError:
                continue  # its process lives, or it has just been removed
            lock.close()
            shutil.rmtree(folder, ignore_errors=True)


class StoredBytes(FileIO):
    """A stored file that is being sent.

    Attributes
    ----------
    size : int
        Its length in bytes.
    """

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.size = os.fstat(self.fileno()).st_size

    def read_at(self, offset: int, count: int) -> bytes:
        """Read so many bytes; fewer at the end only."""
        self.seek(offset)
        return self.read(count)


class NewBlob:
    """A file that is being written; as a context manager, it is removed at the end unless it was kept.

    The preamble comes out zeroed, as the service gives it back; a file without one gets one.

    Parameters
    ----------
    path : Path
        Its temporary name.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file = path.open("wb", buffering=0)
        self._head: bytes | None = b""

    def write(self, data: bytes | memoryview) -> None:
        """Write the next bytes."""
        if self._head is None:
            _write_all(self._file, data)
            return
        self._head += bytes(data)
        if len(self._head) >= len(PREAMBLE):
            self._write_head()

    def finish(self) -> None:
        """Say that these were all bytes."""
        if self._head is not None:
            self._write_head()
        self._file.close()

    def _write_head(self) -> None:
        head, self._head = self._head or b"", None
        if head[128:132] == b"DICM":
            head = head[132:]
        elif (
            head[:2] != b"\x02\x00"
        ):  # neither preamble nor file meta information: no DICOM file, left as it is
            _write_all(self._file, head)
            return
        _write_all(self._file, PREAMBLE + head)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()
        self.path.unlink(missing_ok=True)


def _write_all(file: IO[bytes], data: bytes | memoryview) -> None:
    view = memoryview(data)
    while view:
        view = view[file.write(view) :]


def _lock(folder: Path) -> IO[bytes]:
    """Open a folder's lock file and lock it; the lock ends with the process, however that ends.

    Raises
    ------
    OSError
        If another process holds it.
    """
    file = (folder / "lock").open("ab")
    try:
        if sys.platform == "win32":
            import msvcrt

            msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
        else:
            import fcntl

            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        file.close()
        raise
    return file
