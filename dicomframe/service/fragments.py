"""Which bytes of encapsulated Pixel Data are a frame's (PS3.5 section A.4)."""

from __future__ import annotations

import bisect
import struct
from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from dicomframe.service.header import Buffer

#: Where a piece begins, and where it ends.
Span = tuple[int, int]

_ITEM = b"\xfe\xff\x00\xe0"
_HEAD_BYTES = 8
#: What ends a frame's bitstream where no table tells: EOI of the JPEG family and JPEG-LS, EOC of JPEG 2000.
_END_OF_IMAGE = b"\xff\xd9"


class BadFragments(Exception):
    """Encapsulated Pixel Data that cannot be divided into the announced frames."""


def frames_of(
    data: Buffer, start: int, end: int, count: int, extended: Sequence[int] = ()
) -> list[list[Span]]:
    """Divide encapsulated Pixel Data into frames; only the heads of fragments are read.

    Parameters
    ----------
    data : bytes or mmap.mmap
        What it is in.
    start, end : int
        Its place, without the delimiter behind it.
    count : int
        How many frames are announced.
    extended : sequence of int
        The Extended Offset Table (PS3.3 C.7.6.3.1.8), empty where there is none.

    Returns
    -------
    list of list of (int, int)
        The places of each frame's fragments, for as many frames as there are, at most `count`.

    Raises
    ------
    BadFragments
        If its items are damaged, or nothing tells where a frame ends.
    """
    spans = _items(data, start, end)
    if not spans:
        raise BadFragments("it has no items")
    table, fragments = spans[0], spans[1:]
    offsets: Sequence[int] = extended or _basic_offsets(data[table[0] : table[1]])
    if count == 1:
        return [fragments] if fragments else []
    if offsets:
        return _by_offsets(fragments, offsets, table[1])[:count]
    if len(fragments) <= count:
        return [[fragment] for fragment in fragments]
    return _by_ends(data, fragments)[:count]


def _items(data: Buffer, start: int, end: int) -> list[Span]:
    spans = []
    while start + _HEAD_BYTES <= end:
        if data[start : start + 4] != _ITEM:
            raise BadFragments("it holds something else where an item must begin")
        (length,) = struct.unpack_from("<L", data, start + 4)
        start += _HEAD_BYTES
        if start + length > end:
            raise BadFragments("it is cut off")
        spans.append((start, start + length))
        start += length
    return spans


def _basic_offsets(table: bytes) -> list[int]:
    return [offset for (offset,) in struct.iter_unpack("<L", table[: len(table) // 4 * 4])]


def _by_offsets(fragments: list[Span], offsets: Sequence[int], origin: int) -> list[list[Span]]:
    """Divide by a table; its offsets count from the first fragment's item to the item of each frame's first one."""
    heads = [start - _HEAD_BYTES - origin for start, _ in fragments]
    firsts = []
    for offset in offsets:
        place = bisect.bisect_left(heads, offset)
        if place == len(heads) or heads[place] != offset:
            raise BadFragments("its offset table does not fit its fragments")
        firsts.append(place)
    return [
        fragments[first:behind] for first, behind in zip(firsts, [*firsts[1:], len(fragments)], strict=True)
    ]


def _by_ends(data: Buffer, fragments: list[Span]) -> list[list[Span]]:
    """Divide where a fragment ends with the mark that ends an image, but for a byte of padding."""
    frames: list[list[Span]] = [[]]
    for start, end in fragments:
        frames[-1].append((start, end))
        if _END_OF_IMAGE in data[max(start, end - 3) : end]:
            frames.append([])
    if len(frames) == 1:
        raise BadFragments("it has more fragments than frames, and nothing tells which belong together")
    return [frame for frame in frames if frame]
