"""HTTP/1.1 bodies in chunks (RFC 9112 section 7.1), as many of them at a time as have come.

http.client gives each chunk by itself, in two or three pieces, and each piece costs more Python than its bytes: of a
study in chunks of 64 KiB that was half the time of a download.
"""

from __future__ import annotations

import http.client
import re

#: A line between chunks longer than this is an attack or garbage; extensions and trailers are not used by anybody.
MOST_LINE_BYTES = 16 * 1024

_SIZE = re.compile(rb"([0-9A-Fa-f]{1,15})[ \t]*(?:;[^\r\n]*)?\r\n")
_LINE_BREAK = b"\r\n"


class ChunkedBody:
    r"""What stands in chunks, from the bytes as they come in.

    Attributes
    ----------
    ended : bool
        Whether the last chunk was seen, which is empty: nothing of the body is missing.
    done : bool
        Whether the lines behind it were seen as well.

    Examples
    --------
    >>> body = ChunkedBody()
    >>> body.feed(b"3\r\nabc\r\n2\r\nd"), body.feed(b"e\r\n0\r\n\r\n"), body.done
    (b'abcd', b'e', True)
    """

    def __init__(self) -> None:
        self.ended = self.done = False
        self._left = 0
        self._rest = b""
        # What stands in front of the next chunk's size: the line break behind the chunk before it.
        self._before = b""

    def feed(self, data: bytes) -> bytes:
        """Take the next bytes, give what they hold of the body; it may be nothing.

        Raises
        ------
        http.client.IncompleteRead
            If a chunk does not end where it should, or has no size: what comes behind cannot be told apart then.
        """
        if self._rest:
            data, self._rest = self._rest + data, b""
        view = memoryview(data)
        pieces: list[memoryview] = []
        at = 0
        while not self.done:
            if self._left:
                piece = view[at : at + self._left]
                pieces.append(piece)
                at += len(piece)
                self._left -= len(piece)
                if self._left:
                    break
            end = data.find(b"\n", at + len(self._before)) + 1
            if (end or len(data)) - at > MOST_LINE_BYTES:
                raise http.client.IncompleteRead(b"")
            if not end:
                self._rest = data[at:]
                break
            self._read_line(data[at:end])
            at = end
        return b"".join(pieces)

    def _read_line(self, line: bytes) -> None:
        """Read a chunk's size, with the end of the chunk before it; or a line behind the last chunk."""
        if self.ended:
            self.done = line == _LINE_BREAK
            return
        size = _SIZE.fullmatch(line, len(self._before))
        if size is None or not line.startswith(self._before):
            raise http.client.IncompleteRead(b"")
        self._left = int(size[1], 16)
        self.ended = not self._left
        self._before = b"" if self.ended else _LINE_BREAK


class Response(http.client.HTTPResponse):
    """An answer that gives a body in chunks as it gives any other: so much at a time as has come."""

    _body: ChunkedBody | None = None

    def read1(self, n: int = -1) -> bytes:
        """Give at least one byte and at most ``n``, or none at the body's end."""
        if not self.chunked or self.fp is None or n < 1:
            return super().read1(n)
        # An answer that has no body, such as 204, may say all the same that it is chunked.
        if self.length == 0:
            return b""
        body = self._body = self._body or ChunkedBody()
        while not body.done:
            data = self.fp.read1(n)
            if not data and not body.ended:
                raise http.client.IncompleteRead(b"")
            if not data:
                break
            if found := body.feed(data):
                return found
        return b""
