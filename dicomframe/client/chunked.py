"""HTTP/1.1 bodies in chunks (RFC 9112 section 7.1), as many of them at a time as have come.

http.client gives each chunk by itself, in two or three pieces, and each piece costs more Python than its bytes: of a
study in chunks of 64 KiB that was half the time of a download.
"""

from __future__ import annotations

import http.client
import io
import re

#: A line between chunks longer than this is an attack or garbage; extensions and trailers are not used by anybody.
MOST_LINE_BYTES = 16 * 1024

_LINE_BREAK = b"\r\n"
_FIRST_SIZE = re.compile(rb"([0-9A-Fa-f]{1,15})[ \t]*(?:;[^\r\n]*)?\r\n")
# With the line break behind the chunk before it.
_NEXT_SIZE = re.compile(_LINE_BREAK + _FIRST_SIZE.pattern)
_TRAILER = re.compile(rb"[^\n]*\n")


class ChunkedBody:
    r"""What stands in chunks, from the bytes as they come in.

    Attributes
    ----------
    rest : bytes
        The beginning of a line between chunks, to be given once more in front of the next bytes.
    ended : bool
        Whether the last chunk was seen, which is empty: nothing of the body is missing.
    done : bool
        Whether the lines behind it were seen as well.

    Examples
    --------
    >>> body, came = ChunkedBody(), bytearray(b"3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n")
    >>> came[: body.unpack(memoryview(came))], body.done
    (bytearray(b'abcde'), True)
    """

    def __init__(self) -> None:
        self.ended = self.done = False
        self.rest = b""
        self._left = 0
        # What the line between chunks must look like.
        self._line = _FIRST_SIZE

    def unpack(self, came: memoryview) -> int:
        """Take the next bytes and move to their front what they hold of the body; tell how much, which may be nothing.

        Raises
        ------
        http.client.IncompleteRead
            If a chunk does not end where it should, or has no size: what comes behind cannot be told apart then.
        """
        size = at = 0
        self.rest = b""
        while not self.done:
            if self._left:
                count = min(self._left, len(came) - at)
                came[size : size + count] = came[at : at + count]
                size += count
                at += count
                self._left -= count
                if self._left:
                    break
            line = self._line.match(came, at, at + MOST_LINE_BYTES)
            if line is None:
                self._keep_beginning(bytes(came[at : at + MOST_LINE_BYTES + 1]))
                break
            at = line.end()
            if self.ended:
                self.done = line[0] == _LINE_BREAK
                continue
            self._left = int(bytes(line[1]), 16)
            self.ended = not self._left
            self._line = _TRAILER if self.ended else _NEXT_SIZE
        return size

    def _keep_beginning(self, line: bytes) -> None:
        """Keep the beginning of a line, unless it has ended, or grown too long, without being one that there may be."""
        start = len(_LINE_BREAK) if self._line is _NEXT_SIZE else 0
        if len(line) > MOST_LINE_BYTES or b"\n" in line[start:]:
            raise http.client.IncompleteRead(b"")
        self.rest = line


class Response(http.client.HTTPResponse):
    """An answer that gives a body in chunks as it gives any other: so much at a time as has come.

    Attributes
    ----------
    room : memoryview or None
        Where the next `read1` is to put what it reads; it gives that part of it then. Otherwise it gives bytes.
    """

    room: memoryview | None = None
    _body: ChunkedBody | None = None
    _head_is_read = False

    def read1(self, n: int = -1) -> bytes:
        """Give at least one byte and at most ``n``, or none at the body's end."""
        room, self.room = self.room, None
        if room is not None:
            # Whoever set it knows that it is no bytes; urllib3, in between, asks only for the length.
            return room[: self._read_into(room, n)]  # type: ignore[return-value]
        if not self.chunked or n < 1:
            return super().read1(n)
        room = memoryview(bytearray(MOST_LINE_BYTES + n))
        return bytes(room[: self._read_into(room, n)])

    def _read_into(self, room: memoryview, most: int) -> int:
        """Put there what has come, and tell how much; nothing at the body's end."""
        # An answer that has no body, such as 204, may say all the same that it is chunked.
        if self.fp is None or self.length == 0:
            return 0
        if self.chunked:
            return self._read_chunks_into(room, most)
        count = self._receive(room[: most if self.length is None else min(most, self.length)])
        if self.length is not None:
            self.length -= count
        return count

    def _read_chunks_into(self, room: memoryview, most: int) -> int:
        body = self._body = self._body or ChunkedBody()
        while not body.done:
            # A line's beginning is shorter than any room, see `MOST_LINE_BYTES`.
            again = len(body.rest)
            room[:again] = body.rest
            count = self._receive(room[again : again + most])
            if not count and not body.ended:
                raise http.client.IncompleteRead(b"")
            if not count:
                break
            if size := body.unpack(room[: again + count]):
                return size
        return 0

    def _receive(self, room: memoryview) -> int:
        """Receive once; nothing only at the connection's end."""
        if self._head_is_read:
            return self.fp.raw.readinto(room) or 0
        # What came along with the head. The buffered file's `readinto1` would wait for more before it gives that.
        most = min(len(room), io.DEFAULT_BUFFER_SIZE)
        came = self.fp.read1(most)
        room[: len(came)] = came
        self._head_is_read = most == io.DEFAULT_BUFFER_SIZE or len(came) < most
        return len(came)
