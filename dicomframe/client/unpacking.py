"""Bodies with a Content-Encoding (RFC 9110 section 8.4), unpacked as they come in.

urllib3 unpacks such bodies too, but takes one that ends in the middle for whole, and gives what it cannot unpack as it
came: no rows of a search, or compressed bytes as if they were an element's value, without a word.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from dicomframe.errors import DecodeError, TruncatedBody

#: Bytes that are unpacked at a time.
_PIECE = 1024 * 1024
#: What servers write although nothing is packed.
_NOT_PACKED = frozenset({"", "identity", "none", "binary", "8bit", "7bit", "utf-8"})
_GZIP = frozenset({"gzip", "x-gzip"})
_KNOWN = _GZIP | {"deflate"}
_GZIP_BEGINNING = b"\x1f\x8b"
#: More than one is a proxy's doing; many are made to keep whoever unpacks them busy.
_MOST_ENCODINGS = 3


def encodings_of(headers: Mapping[str, str]) -> list[str]:
    """Give what a body was packed with, in that order; empty where it was not.

    Raises
    ------
    DecodeError
        If that is something which nobody asked for, and which is not unpacked here, or too many.

    Examples
    --------
    >>> encodings_of({"Content-Encoding": "gzip"}), encodings_of({"Content-Encoding": "identity"})
    (['gzip'], [])
    """
    named = _packings(headers.get("Content-Encoding", ""))
    strange = [each for each in named if each not in _KNOWN]
    strange += [each for each in _packings(headers.get("Transfer-Encoding", "")) if each != "chunked"]
    if strange:
        raise DecodeError(
            f"A body came packed with {', '.join(strange)[:80]!r}, which was not asked for; only gzip and deflate are"
            " unpacked. The server, or a proxy on the way, is to send it as it is."
        )
    if len(named) > _MOST_ENCODINGS:
        raise DecodeError(f"A body came packed {len(named)} times; {_MOST_ENCODINGS} at most are unpacked.")
    return named


def _packings(header: str) -> list[str]:
    return [name for each in header.split(",") if (name := each.strip().lower()) not in _NOT_PACKED]


def unpacked(pieces: Iterator[bytes], encodings: Sequence[str]) -> Iterator[bytes]:
    """Yield what a body holds that was packed with these, the last of them last.

    Raises
    ------
    TruncatedBody
        If it ends before what is packed in it does.
    DecodeError
        If it is damaged.
    """
    for encoding in reversed(encodings):
        pieces = _inflated(pieces, is_gzip=encoding in _GZIP)
    return pieces


def _inflated(pieces: Iterator[bytes], *, is_gzip: bool) -> Iterator[bytes]:
    stream = _Stream(is_gzip=is_gzip)
    for piece in pieces:
        yield from stream.take(piece)
    if stream.is_within:
        raise TruncatedBody("The answer was cut off: it ended before what is packed in it did.")


class _Stream:
    """What is packed: one stream of deflate, with a head or without, or streams of gzip behind each other."""

    def __init__(self, *, is_gzip: bool) -> None:
        self._is_gzip = is_gzip
        # One of zlib's, whose type has no public name.
        self._inflater: Any = None
        self._front = b""
        self._has_ended = False

    @property
    def is_within(self) -> bool:
        """Whether one has begun and not ended."""
        return self._inflater is not None or bool(self._front and not self._has_ended)

    def take(self, data: bytes) -> Iterator[bytes]:
        """Yield what the next bytes hold, a piece at a time."""
        data, self._front = self._front + data, b""
        while data:
            if self._inflater is None:
                if self._has_ended and not (self._is_gzip and _GZIP_BEGINNING.startswith(data[:2])):
                    # Nothing but filling stands behind the last one.
                    return
                if len(data) < len(_GZIP_BEGINNING):
                    self._front = data
                    return
                self._inflater = zlib.decompressobj(self._window(data))
            yield from self._inflate(data)
            data = b""
            if self._inflater.eof:
                data, self._inflater, self._has_ended = self._inflater.unused_data, None, True

    def _inflate(self, data: bytes) -> Iterator[bytes]:
        try:
            while content := self._inflater.decompress(data, _PIECE):
                yield content
                data = self._inflater.unconsumed_tail
        except zlib.error:
            raise DecodeError("The answer's compression is damaged.") from None

    def _window(self, data: bytes) -> int:
        if self._is_gzip:
            return 16 + zlib.MAX_WBITS
        has_head = data[0] & 15 == zlib.DEFLATED and int.from_bytes(data[:2]) % 31 == 0
        return zlib.MAX_WBITS if has_head else -zlib.MAX_WBITS
