"""A folder of downloaded objects: a file has its name only once it is whole, and a ledger tells which files are."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import threading
from collections.abc import Iterator
from contextlib import suppress
from io import FileIO
from mmap import ACCESS_READ, mmap
from pathlib import Path
from typing import BinaryIO, Literal, NamedTuple, cast

from dicomframe.client.arriving import ObjectBody
from dicomframe.client.elements import HEAD_BYTES
from dicomframe.client.identity import Identity, identity_of_cut, read_identity
from dicomframe.client.layout import LEDGER, Layout
from dicomframe.client.unfinished import Unfinished
from dicomframe.client.wholeness import CUT_OFF, ends_with_pixels, is_cut_off
from dicomframe.dicom.paths import UID_KEYWORD_OF_LEVEL, ResourcePath
from dicomframe.errors import DecodeError, DicomFrameError, FolderError, QueryError, TruncatedBody

# Stand there for what came damaged the last time, and for what came with different contents.
_NOT_WHOLE = (-1, False)
_AMBIGUOUS = (-2, False)

#: What the name of a file ends with whose object came cut off; one that is whole takes its place later.
DAMAGED = ".damaged"
#: What follows the name of a file, with a digest behind it, where different objects came for it.
DIFFERS = ".differs-"
# Names are given one at a time, those of one file at least: two objects may come for it at once.
_NAMING_LOCKS = 64
# What will happen to each file: no room, or nothing may be written.
_FOR_ALL = {errno.ENOSPC, errno.EROFS, getattr(errno, "EDQUOT", errno.ENOSPC)}


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
    status : {"saved", "damaged", "ambiguous"}
        Whether it is cut off, or one of several different ones with the same UIDs; then the file has a name that nobody
        takes for a whole one's.
    remark : str
        What is to be said of it all the same, empty where there is nothing.
    """

    uids: Identity
    path: str
    size: int
    status: Literal["saved", "damaged", "ambiguous"]
    remark: str = ""


class Folder:
    """The folder, and what is whole in it.

    Parameters
    ----------
    root : str or os.PathLike
        Made if it is not there.
    layout : Layout
        Where files go.
    original : bool
        Whether the files are first versions, from before all bulk updates; the newest ones are not taken for them.

    Attributes
    ----------
    failure : FolderError or None
        Why no more files can be written here, as far as is known.

    Raises
    ------
    QueryError
        If it is no folder, and cannot be one: a file is in its way.
    FolderError
        If it cannot be made, or cannot be written and holds nothing from before.
    """

    def __init__(self, root: str | os.PathLike[str], layout: Layout, *, original: bool = False) -> None:
        root = _path_of(root)
        # Texts from here on: a Path for each file and its folder took as long as to name them.
        self._front = str(root / "_")[:-1]
        self._layout = layout
        self._original = original
        self._lock = threading.Lock()
        self._sizes = dict(_read_ledger(root / LEDGER))
        self._ledger: FileIO | None = None
        self._made: set[str] = set()
        self._unfinished = Unfinished(self._front)
        # What came since this folder was opened, by the name of its file.
        self._came: dict[str, Saved] = {}
        self._naming = [threading.Lock() for _ in range(_NAMING_LOCKS)]
        self.failure = self._try_out(root)
        if self.failure is not None and not self._sizes:
            raise self.failure

    def _try_out(self, root: Path) -> FolderError | None:
        """Make the folder, and tell whether files can be made in it: before anything is sent for in vain."""
        part = self._unfinished.name()
        try:
            root.mkdir(parents=True, exist_ok=True)
            FileIO(part, "x").close()
            Path(part).unlink()
        except (FileExistsError, NotADirectoryError):
            raise QueryError(
                "The folder cannot be made: a file of that name, or of a folder above it, is in the way."
                " Give another folder, or move the file away."
            ) from None
        except OSError as error:
            return _local(error, f"The folder {str(root)!r} cannot be written")
        self._unfinished.begin()
        return None

    def check_writable(self) -> None:
        """Raise the `failure`, if there is one: what came now would come in vain."""
        if self.failure is not None:
            raise FolderError(*self.failure.args)

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

        Of different objects with the same UIDs nobody can tell which is right: all are kept, none under the usual name.

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
        FolderError
            If it cannot be written.
        DicomFrameError
            If it does not come whole.
        """
        part = self._unfinished.name()
        try:
            with FileIO(part, "x+") as file:
                head, size = _write(body, file)
                said, is_damaged = _look_at(file, head, size)
            uids = _as_asked(said, asked, is_damaged=is_damaged)
            name = self._layout.path_of(uids)
            self._make_folder(self._path(name).rpartition(os.sep)[0])
            with self._naming[hash(name) % _NAMING_LOCKS]:
                if is_damaged:
                    return self._name_damaged(part, name, uids, size)
                if name in self._came:
                    return self._name_another(part, name, uids)
                return self._name_whole(part, name, uids, size)
        except BaseException as error:
            with suppress(OSError):
                Path(part).unlink(missing_ok=True)
            # The other errors of a connection are our own by now.
            if isinstance(error, OSError) and not isinstance(error, DicomFrameError):
                failure = _local(error, "The object could not be written")
                if error.errno in _FOR_ALL:
                    self.failure = failure
                raise failure from None
            raise

    def _name_whole(self, part: str, name: str, uids: Identity, size: int) -> Saved:
        path = self._path(name)
        os.replace(part, path)  # noqa: PTH105 - a Path made of each file takes longer
        before = self._sizes.get(name)
        if before == _NOT_WHOLE:
            Path(path + DAMAGED).unlink(missing_ok=True)
        remark = self._enter(name, f'"bytes": {size}', (size, self._original))
        if before == _AMBIGUOUS:
            told = f"Different objects came for it before; they are kept beside it, with {DIFFERS} in their names."
            remark = f"{told} {remark}".rstrip()
        saved = self._came[name] = Saved(uids, path, size, "saved", remark)
        return saved

    def _name_damaged(self, part: str, name: str, uids: Identity, size: int) -> Saved:
        path = self._path(name + DAMAGED)
        whole, longer = self._came.get(name), self._came.get(name + DAMAGED)
        if whole is not None:
            Path(part).replace(path)
            told = (
                f"A copy came as well that is cut off; it is kept beside it, with {DAMAGED} behind its name."
            )
            return whole._replace(remark=f"{told} {whole.remark}".rstrip())
        if longer is not None and longer.size >= size:
            Path(part).unlink()
            return longer
        Path(part).replace(path)
        remark = self._enter(name, '"damaged": true', _NOT_WHOLE)
        saved = self._came[name + DAMAGED] = Saved(uids, path, size, "damaged", remark)
        return saved

    def _name_another(self, part: str, name: str, uids: Identity) -> Saved:
        """Take what came for a name that is given: the same once more, or what makes both of them doubtful."""
        before, digest = self._came[name], _digest(part)
        if (before.uids.study, before.uids.series) != (uids.study, uids.series):
            raise QueryError(
                "An instance of another series has the same file name; layout= with {StudyInstanceUID} and"
                " {SeriesInstanceUID} gives each its own."
            )
        if before.status == "saved":
            if (first := _digest(before.path)) == digest:
                Path(part).unlink()
                return before
            moved = Path(before.path).replace(before.path + DIFFERS + first)
            remark = self._enter(name, '"differs": true', _AMBIGUOUS)
            before = self._came[name] = before._replace(path=str(moved), status="ambiguous", remark=remark)
        Path(part).replace(self._path(name) + DIFFERS + digest)
        return before

    def _path(self, name: str) -> str:
        return self._front + name.replace("/", os.sep)

    def _make_folder(self, path: str) -> None:
        if path not in self._made:
            Path(path).mkdir(parents=True, exist_ok=True)
            self._made.add(path)

    def _enter(self, name: str, said: str, size: tuple[int, bool]) -> str:
        """Put what is to be known of a file into the ledger, at once: the machine may stop.

        Give what is to be said if that fails: the file itself is none the worse for it.
        """
        # The line break stands in front as well: the last line may have been cut off when it stopped before.
        original = ', "original": true' if self._original else ""
        line = f'\n{{"path": {json.dumps(name)}, {said}{original}}}\n'.encode()
        with self._lock:
            self._sizes[name] = size
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
        self._unfinished.close()
        with self._lock:
            if self._ledger is not None:
                # Some file systems say only now that there was no room. Then files are fetched again, no more.
                with suppress(OSError):
                    self._ledger.close()
                self._ledger = None


def _path_of(root: str | os.PathLike[str]) -> Path:
    try:
        path = Path(root)
    except TypeError:
        raise QueryError(f"folder is a path, text or pathlib.Path, not {type(root).__name__}.") from None
    if "\0" in str(path):
        raise QueryError("The folder cannot be made: that is no path.")
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


def _local(error: OSError, what: str) -> FolderError:
    """Say what cannot be written, why, and what to do."""
    return FolderError(
        f"{what} on this machine ({error.strerror or type(error).__name__}); the service is not to blame. Make room, or"
        " have the folder writable, and call again: what is whole is kept."
    )


def _digest(path: str) -> str:
    with Path(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()[:32]


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
            elif entry.get("differs"):
                yield str(entry["path"]), _AMBIGUOUS
            else:
                yield str(entry["path"]), (int(entry["bytes"]), bool(entry.get("original")))
        except (ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError):
            # An empty line, one that was cut off, or somebody else's: that file is fetched again.
            continue
