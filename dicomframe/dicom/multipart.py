"""``multipart/related`` bodies (RFC 2387, PS3.18 section 8.6.1.2): a streaming reader and a writer.

The reader, `MultipartParser`, does no I/O: bytes go in, events come out. The synchronous client wraps it in
`iter_parts`; an asynchronous service feeds it itself. It holds one chunk and a delimiter's length, never a part.

It bears what servers send: boundaries quoted, unquoted or not declared at all, parameters inside quotes, header
lines in any order, bare line feeds, a preamble, an epilogue, form-data part headers. It does not bear a body
that ends before its closing delimiter: that is a `TruncatedBody`, never a short last part.

Examples
--------
>>> writer = MultipartWriter([b"first", b"second"], boundary="b")
>>> [part.read() for part in iter_parts(writer.content_type, writer)]
[b'first', b'second']
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

from dicomframe.errors import DecodeError, TruncatedBody

#: A part's header block longer than this is an attack or garbage.
MOST_HEADER_BYTES = 16 * 1024
#: The longest boundary that RFC 2046 section 5.1.1 allows is 70; servers exceed it, so the guard is wider.
MOST_BOUNDARY_BYTES = 256
#: Bytes read from a file at a time. With smaller pieces sending costs more, with larger ones eight workers hold more.
CHUNK_BYTES = 512 * 1024

_LINE_FEEDS_TRIED = 64

_PARAMETER = re.compile(r""";\s*([^\s=;"]+)\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^;]*))""")
_ESCAPED = re.compile(r"\\(.)")
_BLANK_LINE = re.compile(rb"\n\r?\n")
_LINE_BREAK_IN_HEADER = re.compile(r"\r?\n(?![ \t])")


@dataclass(frozen=True, slots=True)
class MediaType:
    """A media type and its parameters (RFC 9110 section 8.3.1).

    Parameters
    ----------
    type : str
        ``type/subtype`` in lower case; empty where the text named none.
    parameters : dict of str to str
        By lower-case name, unquoted. Parameters that a server put inside the quotes of ``type`` are among them.

    Examples
    --------
    >>> MediaType.parse('multipart/related; type="application/dicom"; boundary=a').parameters
    {'type': 'application/dicom', 'boundary': 'a'}
    """

    type: str
    parameters: dict[str, str] = field(default_factory=dict)

    @classmethod
    def parse(cls, text: str) -> MediaType:
        """Read a media type; what cannot be read is left out, never an error."""
        head, _, _ = text.partition(";")
        parameters: dict[str, str] = {}
        for match in _PARAMETER.finditer(text, len(head)):
            name = match[1].lower()
            value = match[3].strip() if match[2] is None else _ESCAPED.sub(r"\1", match[2])
            if name == "type" and ";" in value:
                # Orthanc and others: type="application/octet-stream; transfer-syntax=…"
                inner = cls.parse(value)
                value = inner.type
                parameters = inner.parameters | parameters
            parameters.setdefault(name, value)
        return cls(head.strip().lower(), parameters)


@dataclass(frozen=True, slots=True)
class PartBegin:
    """A part begins; its header names are in lower case, of repeated ones the last counts."""

    headers: dict[str, str]


@dataclass(frozen=True, slots=True)
class PartData:
    """Some bytes of the part; a memoryview of the chunk that was fed, valid until it is released."""

    data: bytes | memoryview


@dataclass(frozen=True, slots=True)
class PartEnd:
    """The part is whole."""


Event = PartBegin | PartData | PartEnd


class MultipartParser:
    r"""A multipart body as events, chunk by chunk.

    Parameters
    ----------
    content_type : str
        The body's Content-Type. Where it declares no boundary, the first line that starts with two hyphens does.

    Attributes
    ----------
    done : bool
        Whether the closing delimiter was seen; what comes after it (the epilogue) is ignored.

    Raises
    ------
    DecodeError
        If the type is not multipart, the boundary is absurd, or a header block never ends.

    Examples
    --------
    >>> parser = MultipartParser("multipart/related; boundary=b")
    >>> [type(event).__name__ for event in parser.feed(b"--b\r\n\r\nbytes\r\n--b--")]
    ['PartBegin', 'PartData', 'PartEnd']
    >>> parser.close()

    In a coroutine::

        async for chunk in request.stream():
            for event in parser.feed(chunk):
                ...
        parser.close()
    """

    # Every delimiter, the first one included, is sought as a line feed and the boundary's line. A line feed set in
    # front of the body, and the one that ends a header block, stand in where a part begins with its delimiter.
    # `_buffer[_search:]` is what is not settled yet; `_buffer[_content:]` is what belongs to the part.

    def __init__(self, content_type: str) -> None:
        media = MediaType.parse(content_type)
        if media.type and not media.type.startswith("multipart/"):
            raise DecodeError(f"A multipart body was expected, not one of type {media.type[:80]!r}.")
        boundary = media.parameters.get("boundary", "").encode("utf-8", "surrogateescape")
        if len(boundary) > MOST_BOUNDARY_BYTES:
            raise DecodeError(
                f"The boundary is {len(boundary)} bytes long; {MOST_BOUNDARY_BYTES} are accepted."
            )
        self._delimiter = b"\n--" + boundary if boundary else b""
        self._buffer = b"\n"
        self._search = 0
        self._content = 1
        self._in_part = False
        self._in_headers = False
        self._began = False
        self._block, self._headers = b"", dict[str, str]()
        self.done = False

    def feed(self, data: bytes | memoryview) -> list[Event]:
        """Take the next bytes of the body, give the events that are certain now.

        Parameters
        ----------
        data : bytes or memoryview
            Any number of bytes; large chunks are quickest.

        Returns
        -------
        list of Event
        """
        if self.done:
            return []
        unsettled = self._buffer[self._search :]
        self._buffer = unsettled + data if unsettled else bytes(data)
        self._content -= self._search
        self._search = 0
        events: list[Event] = []
        if not self._delimiter and not self._learn_boundary():
            return events
        while not self.done and (self._read_headers(events) if self._in_headers else self._read_data(events)):
            pass
        return events

    def close(self) -> None:
        """Say that the body has ended.

        Raises
        ------
        TruncatedBody
            If its closing delimiter was not seen.
        """
        if self.done:
            return
        if not self._began:
            raise TruncatedBody("The multipart body was cut off or is none: its boundary is nowhere in it.")
        raise TruncatedBody("The multipart body was cut off: it ended before its closing boundary.")

    def _learn_boundary(self) -> bool:
        """Take the first line that starts with two hyphens for the boundary; false while there is none."""
        start = self._buffer.find(b"\n--")
        if start < 0:
            self._drop_preamble(max(self._search, len(self._buffer) - 2))
            return False
        end = self._buffer.find(b"\n", start + 1)
        line = self._buffer[start : end if end >= 0 else None]
        if len(line) > MOST_BOUNDARY_BYTES:
            raise DecodeError(
                "No boundary is declared, and the first line with hyphens is too long to be one."
            )
        if end < 0:
            self._drop_preamble(start)
            return False
        self._delimiter = line.rstrip().removesuffix(b"--")
        if len(self._delimiter) <= len(b"\n--"):
            raise DecodeError("No boundary is declared, and the first line with hyphens holds nothing else.")
        return True

    def _drop_preamble(self, until: int) -> None:
        self._search = self._content = until

    def _read_headers(self, events: list[Event]) -> bool:
        """Read a header block up to its blank line; false while that is missing."""
        blank = _BLANK_LINE.search(self._buffer, self._search)
        if blank is None:
            if len(self._buffer) - self._search > MOST_HEADER_BYTES:
                raise DecodeError(f"The header block of a part is longer than {MOST_HEADER_BYTES} bytes.")
            return False
        block = self._buffer[self._search : blank.start()]
        if block != self._block:
            # Most parts have the same header block as the one before.
            self._block, self._headers = block, _parse_headers(block)
        events.append(PartBegin(dict(self._headers)))
        self._search, self._content = blank.end() - 1, blank.end()
        self._in_headers = False
        self._in_part = True
        return True

    def _read_data(self, events: list[Event]) -> bool:
        """Pass bytes on up to the next delimiter; false while that is missing."""
        buffer, delimiter = self._buffer, self._delimiter
        found = _find(buffer, delimiter, self._search)
        while found >= 0:
            after = found + len(delimiter)
            ends_body = buffer.startswith(b"--", after)
            line_end = buffer.find(b"\n", after, after + MOST_BOUNDARY_BYTES)
            padding = buffer[after : line_end if line_end >= 0 else after + MOST_BOUNDARY_BYTES]
            if ends_body or (line_end >= 0 and not padding.strip()):
                break
            if line_end < 0 and padding.strip() in {b"", b"-"} and len(padding) < MOST_BOUNDARY_BYTES:
                self._pass_on(events, found)
                return False
            # The boundary's text at the start of a longer line is data.
            found = _find(buffer, delimiter, found + 1)
        if found < 0:
            self._pass_on(events, _possible_delimiter(buffer, delimiter))
            return False
        self._pass_on(events, found)
        if self._in_part:
            events.append(PartEnd())
        self._search, self._content = line_end, line_end + 1
        self._in_part = False
        self._in_headers = not ends_body
        self._began = True
        self.done = ends_body
        return True

    def _pass_on(self, events: list[Event], line_feed: int) -> None:
        """Pass on the part's bytes before a line feed that is, or may be, a delimiter's."""
        end = line_feed - 1 if self._buffer[line_feed - 1 : line_feed] == b"\r" else line_feed
        if end <= self._content:
            # The line break in front of the part's first byte stays, should the delimiter follow at once.
            return
        if self._in_part:
            events.append(PartData(memoryview(self._buffer)[self._content : end]))
        self._search = self._content = end


def _find(buffer: bytes, delimiter: bytes, start: int) -> int:
    """Do what ``buffer.find`` does, for a delimiter that begins with a line feed.

    A single byte is sought a hundred times as fast as a short text, so that what has few line feeds, such as the
    background of an image, is passed over in no time; what has many is left to the search for the text.
    """
    for _ in range(_LINE_FEEDS_TRIED):
        start = buffer.find(b"\n", start)
        if start < 0 or buffer.startswith(delimiter, start):
            return start
        start += 1
    return buffer.find(delimiter, start)


def _possible_delimiter(buffer: bytes, delimiter: bytes) -> int:
    """Find where the buffer's end may be the beginning of a delimiter; its length where it cannot."""
    at = buffer.find(b"\n", max(len(buffer) - len(delimiter), 0))
    while at >= 0 and not delimiter.startswith(buffer[at:]):
        at = buffer.find(b"\n", at + 1)
    return at if at >= 0 else len(buffer)


def _parse_headers(block: bytes) -> dict[str, str]:
    """Read header lines, folded ones too; a line without a colon is passed over."""
    lines = _LINE_BREAK_IN_HEADER.split(block.decode("utf-8", "replace").lstrip("\r\n"))
    pairs = (line.partition(":") for line in lines)
    return {name.strip().lower(): " ".join(value.split()) for name, colon, value in pairs if colon}


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
        pieces: list[bytes | memoryview] = []
        length = 0
        for piece in self.iter_bytes():
            pieces.append(piece)
            length += len(piece)
            if limit is not None and length >= limit:
                break
        return b"".join(pieces)[:limit]

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
        events = _events(MultipartParser(content_type), chunks)
        for event in events:
            if isinstance(event, PartBegin):
                part = Part(event.headers, events)
                yield part
                part.skip()
    finally:
        close = getattr(chunks, "close", None)
        if close is not None:
            close()


def _events(parser: MultipartParser, chunks: Iterable[bytes | memoryview]) -> Iterator[Event]:
    # The epilogue is read to its end as well, so that the connection can be used again.
    for chunk in chunks:
        yield from parser.feed(chunk)
    parser.close()


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


class MultipartWriter:
    """A multipart body of known length that is streamed from its sources and can be sent again.

    Parameters
    ----------
    parts : sequence of bytes or pathlib.Path
        Each part's bytes, or the file that holds them.
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
        If a file cannot be looked at now, or, while the body is iterated, has changed its length since.
    """

    def __init__(
        self, parts: Sequence[bytes | Path], part_type: str = "application/dicom", boundary: str | None = None
    ) -> None:
        self.boundary = boundary or secrets.token_hex(16)
        self.content_type = f'multipart/related; type="{part_type}"; boundary={self.boundary}'
        self._parts = list(parts)
        self._sizes = [part.stat().st_size if isinstance(part, Path) else len(part) for part in self._parts]
        headers = {"Content-Type": part_type}
        self._heads = [part_head(self.boundary, headers, first=not at) for at in range(len(self._parts))]
        self._closing = closing(self.boundary, empty=not self._parts)

    def __len__(self) -> int:
        return sum(self._sizes) + sum(map(len, self._heads)) + len(self._closing)

    def __iter__(self) -> Iterator[bytes]:
        for part, size, head in zip(self._parts, self._sizes, self._heads, strict=True):
            # Not joined to what follows: a head sent by itself costs less than a copy of the part.
            yield head
            if isinstance(part, Path):
                yield from _file_chunks(part, size)
            elif part:
                yield part
        yield self._closing


def _file_chunks(path: Path, size: int) -> Iterator[bytes]:
    """Yield a file, which must be as long as its Content-Length says."""
    left = size
    with path.open("rb", buffering=0) as file:
        while left and (chunk := file.read(min(CHUNK_BYTES, left))):
            left -= len(chunk)
            yield chunk
        if left or file.read(1):
            raise OSError("A file changed its length while it was sent; the request was broken off.")
