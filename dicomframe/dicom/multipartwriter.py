r"""``multipart/related`` bodies (RFC 2387, PS3.18 section 8.6.1.2): what stands around parts, and a writer of files.

Examples
--------
>>> b"".join(MultipartWriter([b"data"], boundary="b"))
b'--b\r\nContent-Type: application/dicom\r\n\r\ndata\r\n--b--\r\n'
"""

from __future__ import annotations

import os
import secrets
import stat
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

#: Bytes read from a file at a time. With smaller pieces sending costs more, with larger ones eight workers hold more.
CHUNK_BYTES = 512 * 1024
# A pipe that took a file's place would have who opens it wait for ever.
_READ = os.O_RDONLY | getattr(os, "O_BINARY", 0) | getattr(os, "O_NONBLOCK", 0)


def part_head(boundary: str, headers: Mapping[str, str], *, first: bool) -> bytes:
    r"""Give the delimiter and header block that stand in front of a part.

    Examples
    --------
    >>> part_head("b", {"Content-Type": "application/dicom"}, first=True)
    b'--b\r\nContent-Type: application/dicom\r\n\r\n'
    """
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    return f"{'' if first else chr(13) + chr(10)}--{boundary}\r\n{lines}\r\n".encode()


def closing(boundary: str, *, empty: bool = False) -> bytes:
    """Give what stands behind the last part, or in a body without parts."""
    return f"{'' if empty else chr(13) + chr(10)}--{boundary}--\r\n".encode()


@dataclass(slots=True)
class FilePiece:
    """A file that is the next piece of a body, for whoever can send it without reading it.

    Parameters
    ----------
    descriptor : int
        The file, open for reading.
    size : int
        How many of its bytes belong to the body.
    sent : int
        How many of them have been sent by whoever it was given to; the rest follows as bytes.
    """

    descriptor: int
    size: int
    sent: int = 0


class MultipartWriter:
    """A multipart body of known length that is streamed from its sources and can be sent again.

    Parameters
    ----------
    parts : sequence of bytes, or of str or pathlib.Path
        Each part's bytes, or the path of the file that holds them.
    part_type : str
        The Content-Type of every part.
    boundary : str, optional
        By default a random one.

    Attributes
    ----------
    content_type : str
        The body's Content-Type, with ``type`` and ``boundary``.

    Raises
    ------
    OSError
        If a file cannot be looked at now, or, while the body is iterated, has changed since.
    """

    def __init__(
        self,
        parts: Sequence[bytes | str | Path],
        part_type: str = "application/dicom",
        boundary: str | None = None,
    ) -> None:
        self.boundary = boundary or secrets.token_hex(16)
        self.content_type = f'multipart/related; type="{part_type}"; boundary={self.boundary}'
        self._parts = [part if isinstance(part, bytes) else _File(part) for part in parts]
        headers = {"Content-Type": part_type}
        first, other = (part_head(self.boundary, headers, first=is_first) for is_first in (True, False))
        self._heads = [other if at else first for at in range(len(self._parts))]
        self._closing = closing(self.boundary, empty=not self._parts)

    def __len__(self) -> int:
        return sum(map(len, [*self._parts, *self._heads, self._closing]))

    def __iter__(self) -> Iterator[bytes]:
        return (piece for piece in self.pieces() if isinstance(piece, bytes))

    def pieces(self) -> Iterator[bytes | FilePiece]:
        """Yield the body, with each file as a `FilePiece`, and as bytes what was not sent of it then."""
        for part, head in zip(self._parts, self._heads, strict=True):
            # Not joined to what follows: a head sent by itself costs less than a copy of the part.
            yield head
            if isinstance(part, _File):
                yield from part.pieces()
            elif part:
                yield part
        yield self._closing

    def changed(self) -> list[bool]:
        """Tell of each part whether its file was written to since the body was made: what was sent may be torn then."""
        return [isinstance(part, _File) and part.was_written_to() for part in self._parts]


class _File:
    """A file that is a part, as it is when its length is asked for."""

    def __init__(self, path: str | Path) -> None:
        self._path = path
        self._before = os.stat(path)  # noqa: PTH116 - a Path costs more than the call itself

    def __len__(self) -> int:
        return self._before.st_size

    def pieces(self) -> Iterator[bytes | FilePiece]:
        descriptor = os.open(self._path, _READ)
        try:
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                raise OSError("It is no regular file.")
            piece = FilePiece(descriptor, len(self))
            yield piece
            left = piece.size - piece.sent
            os.lseek(descriptor, piece.sent, os.SEEK_SET)
            while left and (chunk := os.read(descriptor, min(CHUNK_BYTES, left))):
                left -= len(chunk)
                yield chunk
            if left or os.read(descriptor, 1) or self._is_other(os.fstat(descriptor)):
                raise OSError("A file changed while it was sent; the request was broken off.")
        finally:
            os.close(descriptor)

    def was_written_to(self) -> bool:
        """Tell whether it has changed; one that is gone, or another in its place, tells nothing of the one sent."""
        try:
            now = os.stat(self._path)  # noqa: PTH116 - see above
        except OSError:
            return False
        return now.st_ino == self._before.st_ino and self._is_other(now)

    def _is_other(self, now: os.stat_result) -> bool:
        before = self._before
        return (now.st_size, now.st_mtime_ns) != (before.st_size, before.st_mtime_ns)
