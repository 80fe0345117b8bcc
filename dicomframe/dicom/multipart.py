"""``multipart/related`` bodies (RFC 2387, PS3.18 section 8.6.1.2): a streaming reader; `multipartwriter` writes them.

`MultipartParser` does no I/O: bytes go in, events come out. It holds one chunk and a delimiter's length, never a part.
The synchronous client wraps it in `dicomframe.dicom.parts`; an asynchronous service feeds it itself.

It bears what servers send: boundaries quoted, unquoted or not declared at all, parameters inside quotes, header
lines in any order, bare line feeds, a preamble, an epilogue, form-data part headers. It does not bear a body
that ends before its closing delimiter: that is a `TruncatedBody`, never a short last part.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from dicomframe.errors import DecodeError, TruncatedBody

#: A part's header block longer than this is an attack or garbage.
MOST_HEADER_BYTES = 16 * 1024
#: The longest boundary that RFC 2046 section 5.1.1 allows is 70; servers exceed it, so the guard is wider.
MOST_BOUNDARY_BYTES = 256
#: The buffer that a body is received into, where one is used again and again: small for small bodies, and larger where
#: so much comes at a time, because large pieces cost less to write to files.
LEAST_ROOM_BYTES = 64 * 1024
MOST_ROOM_BYTES = 2 * 1024 * 1024

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
    """Some bytes of the part, valid until the parser is fed or asked for room again."""

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
    # Of the buffer, what stands before `_end` counts: `_buffer[_search:_end]` is what is not settled yet,
    # `_buffer[_content:_end]` what belongs to the part.

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
        self._buffer: bytes | bytearray = b"\n"
        self._end = 1
        self._room: bytearray | None = None
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
        if not self.done:
            unsettled = self._unsettled()
            self._buffer = unsettled + data if unsettled else bytes(data)
        return self.take(len(data))

    def room(self) -> memoryview:
        """Give the place to put the next bytes of the body into; what events gave before is overwritten there.

        Returns
        -------
        memoryview
            Never empty. It is the same memory each time, until more than half of it was used; then there is more of it.
        """
        if self._room is None:
            self._room = bytearray(LEAST_ROOM_BYTES)
        elif 2 * self._end > len(self._room) < MOST_ROOM_BYTES:
            self._room = bytearray(2 * len(self._room))
        unsettled = self._unsettled()
        self._room[: len(unsettled)] = unsettled
        self._buffer = self._room
        return memoryview(self._room)[len(unsettled) :]

    def take(self, count: int) -> list[Event]:
        """Take so many bytes of the body that were put into the `room`, give the events that are certain now."""
        events: list[Event] = []
        if self.done:
            return events
        self._end += count
        if not self._delimiter and not self._learn_boundary():
            return events
        while not self.done and (self._read_headers(events) if self._in_headers else self._read_data(events)):
            pass
        return events

    def _unsettled(self) -> bytes:
        """Give what is not settled yet; it is at the front of the buffer from now on."""
        unsettled = b"" if self.done else bytes(self._buffer[self._search : self._end])
        self._content -= self._search
        self._search, self._end = 0, len(unsettled)
        return unsettled

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
        start = self._buffer.find(b"\n--", 0, self._end)
        if start < 0:
            self._drop_preamble(max(self._search, self._end - 2))
            return False
        end = self._buffer.find(b"\n", start + 1, self._end)
        line = bytes(self._buffer[start : end if end >= 0 else self._end])
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
        blank = _BLANK_LINE.search(self._buffer, self._search, self._end)
        if blank is None:
            if self._end - self._search > MOST_HEADER_BYTES:
                raise DecodeError(f"The header block of a part is longer than {MOST_HEADER_BYTES} bytes.")
            return False
        block = bytes(self._buffer[self._search : blank.start()])
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
        buffer, end, delimiter = self._buffer, self._end, self._delimiter
        found = _find(buffer, delimiter, self._search, end)
        while found >= 0:
            after = found + len(delimiter)
            most = min(after + MOST_BOUNDARY_BYTES, end)
            ends_body = buffer.startswith(b"--", after, end)
            line_end = buffer.find(b"\n", after, most)
            padding = bytes(buffer[after : line_end if line_end >= 0 else most])
            if ends_body or (line_end >= 0 and not padding.strip()):
                break
            if line_end < 0 and padding.strip() in {b"", b"-"} and len(padding) < MOST_BOUNDARY_BYTES:
                self._pass_on(events, found)
                return False
            # The boundary's text at the start of a longer line is data.
            found = _find(buffer, delimiter, found + 1, end)
        if found < 0:
            self._pass_on(events, _possible_delimiter(buffer, end, delimiter))
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


def _find(buffer: bytes | bytearray, delimiter: bytes, start: int, end: int) -> int:
    """Do what ``buffer.find`` does, for a delimiter that begins with a line feed.

    A single byte is sought a hundred times as fast as a short text, so that what has few line feeds, such as the
    background of an image, is passed over in no time; what has many is left to the search for the text.
    """
    for _ in range(_LINE_FEEDS_TRIED):
        start = buffer.find(b"\n", start, end)
        if start < 0 or buffer.startswith(delimiter, start, end):
            return start
        start += 1
    return buffer.find(delimiter, start, end)


def _possible_delimiter(buffer: bytes | bytearray, end: int, delimiter: bytes) -> int:
    """Find where the last bytes before an end may be the beginning of a delimiter; the end where they cannot."""
    at = buffer.find(b"\n", max(end - len(delimiter), 0), end)
    while at >= 0 and not delimiter.startswith(bytes(buffer[at:end])):
        at = buffer.find(b"\n", at + 1, end)
    return at if at >= 0 else end


def _parse_headers(block: bytes) -> dict[str, str]:
    """Read header lines, folded ones too; a line without a colon is passed over."""
    lines = _LINE_BREAK_IN_HEADER.split(block.decode("utf-8", "replace").lstrip("\r\n"))
    pairs = (line.partition(":") for line in lines)
    return {name.strip().lower(): " ".join(value.split()) for name, colon, value in pairs if colon}
