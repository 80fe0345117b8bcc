"""The parts of a ``multipart/related`` body that is still coming in, one after the other, for who reads and waits.

Where objects are large, `fill_parts` has the body received into one buffer that is used again and again: new memory
for each chunk costs more than to find the boundaries.

Examples
--------
>>> from dicomframe.dicom.multipartwriter import MultipartWriter
>>> writer = MultipartWriter([b"first", b"second"], boundary="b")
>>> [part.read() for part in iter_parts(writer.content_type, writer)]
[b'first', b'second']
"""

from __future__ import annotations

import io
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import closing
from typing import BinaryIO, TypeVar

from dicomframe.dicom.multipart import Event, MultipartParser, PartBegin, PartData
from dicomframe.errors import DecodeError, TruncatedBody

Received = TypeVar("Received")

_AS_THEY_ARE = frozenset({"", "binary", "8bit", "7bit", "identity", "none"})


class Part:
    """One part of a multipart body that is still coming in; read it before asking for the next.

    Attributes
    ----------
    headers : dict of str to str
        Header values by lower-case name.
    """

    def __init__(self, headers: dict[str, str], events: Iterator[Event]) -> None:
        self.headers = headers
        self._events = events
        self._ended = False
        self._passed_over = False

    @property
    def content_type(self) -> str:
        """The part's own Content-Type, empty where it has none."""
        return self.headers.get("content-type", "")

    def iter_bytes(self) -> Iterator[bytes | memoryview]:
        """Yield the part's bytes as they come in.

        Raises
        ------
        TruncatedBody
            If the body ends before the part does.
        DecodeError
            If the next part was asked for before this one was read.
        """
        if self._passed_over:
            raise DecodeError("The part was passed over; read each one before asking for the next.")
        while not self._ended:
            event = next(self._events, None)
            if event is None:
                raise TruncatedBody("The body was closed before its part was read.")
            if isinstance(event, PartData):
                yield event.data
            else:
                self._ended = True

    def read(self, limit: int | None = None) -> bytes:
        """Read the whole part, or its first bytes.

        Parameters
        ----------
        limit : int, optional
            Give at most this many bytes, and stop reading as soon as they are there.
        """
        # Not a list of pieces: each may be gone when the next one comes.
        whole = io.BytesIO()
        for piece in self.iter_bytes():
            whole.write(piece)
            if limit is not None and whole.tell() >= limit:
                break
        return whole.getvalue()[:limit]

    def write_to(self, file: BinaryIO) -> int:
        """Write the part to a file, chunk by chunk; give the number of bytes."""
        length = 0
        for piece in self.iter_bytes():
            file.write(piece)
            length += len(piece)
        return length

    def skip(self) -> None:
        """Pass over what was not read; it is gone then."""
        if not self._ended:
            for _ in self.iter_bytes():
                pass
            self._passed_over = True


def iter_parts(content_type: str, chunks: Iterable[bytes | memoryview]) -> Iterator[Part]:
    """Read a multipart body part by part, without holding more than a chunk of it.

    Parameters
    ----------
    content_type : str
        The body's Content-Type.
    chunks : iterable of bytes
        The body. If it has a ``close`` method, that is called at the end, or when the iterator is abandoned.

    Yields
    ------
    Part
        Valid until the next one is asked for; what is not read of it is passed over.

    Raises
    ------
    DecodeError
        If it is no multipart body.
    TruncatedBody
        If it ends before its closing delimiter.
    """
    try:
        parser = MultipartParser(content_type)
        yield from _parts(_events(parser, parser.feed, chunks))
    finally:
        close = getattr(chunks, "close", None)
        if close is not None:
            close()


def fill_parts(
    content_type: str, fill: Callable[[Callable[[], memoryview]], Generator[int]]
) -> Iterator[Part]:
    r"""Read a multipart body part by part as `iter_parts` does, from one buffer that is used again and again.

    The pieces of a part are gone once the next one is asked for.

    Parameters
    ----------
    content_type : str
        The body's Content-Type.
    fill : callable
        Given what gives the place for the next bytes, a generator that puts bytes there and yields how many. It is
        closed at the end, or when the iterator is abandoned.

    Yields
    ------
    Part
        Valid until the next one is asked for; what is not read of it is passed over.

    Raises
    ------
    DecodeError
        If it is no multipart body.
    TruncatedBody
        If it ends before its closing delimiter.

    Examples
    --------
    >>> def fill(room):
    ...     for piece in (b"--b\r\n\r\nby", b"tes\r\n--b--"):
    ...         room()[: len(piece)] = piece
    ...         yield len(piece)
    >>> [part.read() for part in fill_parts("multipart/related; boundary=b", fill)]
    [b'bytes']
    """
    parser = MultipartParser(content_type)
    with closing(fill(parser.room)) as counts:
        yield from _parts(_events(parser, parser.take, counts))


def _parts(events: Iterator[Event]) -> Iterator[Part]:
    for event in events:
        if isinstance(event, PartBegin):
            _refuse_packed(event.headers)
            part = Part(event.headers, events)
            yield part
            part.skip()


def _refuse_packed(headers: dict[str, str]) -> None:
    """Refuse a part whose bytes are not what it holds; nobody may send such ones over HTTP (RFC 9110 appendix A.6)."""
    for name in ("content-transfer-encoding", "content-encoding"):
        if headers.get(name, "binary").lower() not in _AS_THEY_ARE:
            raise DecodeError(
                f"A part came with {name} {headers[name][:40]!r}; parts are read as they are only."
            )


def _events(
    parser: MultipartParser, take: Callable[[Received], list[Event]], received: Iterable[Received]
) -> Iterator[Event]:
    # The epilogue is read to its end as well, so that the connection can be used again.
    for each in received:
        yield from take(each)
    parser.close()
