"""Whether an object that came in a whole body is whole: its last element has to end where it ends (PS3.5 section 7).

A server may send half a file as if that were all; pydicom reads such a file without a word, or without its pixels. Most
objects end with their pixel data, so that two places tell. For the others all elements are stepped over.
"""

from __future__ import annotations

import struct
import zlib
from mmap import mmap
from typing import Final

from dicomframe.client.elements import (
    BIG_ENDIAN,
    DEFLATED,
    IMPLICIT,
    ITEM,
    ITEM_END,
    LONG_VRS,
    SEQUENCE_END,
    SHORT_VRS,
    UNDEFINED,
    Unusual,
    read_meta,
)

#: What stands in the place of an error's words.
CUT_OFF: Final = (
    "The server sent an object that is cut off: it ends in the middle of an element, or in front of its UIDs."
)

# The head of the pixel data in little endian: with a VR and without.
_PIXEL_DATA: Final = b"\xe0\x7f\x10\x00"
_PIXEL_HEADS: Final = {_PIXEL_DATA + b"OW\0\0": 12, _PIXEL_DATA + b"OB\0\0": 12, _PIXEL_DATA: 8}
_PIXEL_TAG: Final = 0x7FE00010
#: What ends pixel data in fragments (PS3.5 section A.4).
_DELIMITER: Final = b"\xfe\xff\xdd\xe0\0\0\0\0"
_UNDEFINED_LENGTH: Final = b"\xff\xff\xff\xff"
_DEFLATED_PIECE: Final = 64 * 1024
#: How a file begins whose preamble is not used.
_BEGINNING: Final = bytes(128) + b"DICM"
#: No instance ends in front of its Series Instance UID, and even what has no series has elements behind its place.
_SERIES_TAG: Final = 0x0020000E
_LEAST_ELEMENT: Final = 8
#: Some programs fill files up with these.
_FILLING: Final = b"\0\r\n "
#: Nobody steps over more elements than this: a server may send a million empty ones.
_MOST_STEPS: Final = 1_000_000


def ends_with_pixels(head: bytes, size: int) -> bool:
    r"""Whether an object's first bytes show pixel data of a length that ends where the object ends.

    Most objects are found whole by this alone; false only means that it takes a closer look.

    Examples
    --------
    >>> ends_with_pixels(b"..." + _PIXEL_DATA + b"OW" + b"\0\0" + b"\2\0\0\0" + b"ab", 17)
    True
    """
    # The last one is sought where the first is an icon's.
    return _ends_at(head, head.find(_PIXEL_DATA), size) or _ends_at(head, head.rfind(_PIXEL_DATA), size)


def _ends_at(head: bytes, at: int, size: int) -> bool:
    """Whether the pixel data, whose head is there if anywhere, are as long as the rest of the object."""
    width = _PIXEL_HEADS.get(head[at : at + 8], 8)
    length = head[at + width - 4 : at + width]
    return at >= 0 and length != _UNDEFINED_LENGTH and at + width + int.from_bytes(length, "little") == size


def is_cut_off(head: bytes, content: bytes | mmap) -> bool:
    """Whether an object ends in the middle of something, or in front of its UIDs.

    Parameters
    ----------
    head : bytes
        The object's first bytes, its group 0002 at least.
    content : bytes or mmap
        All of it.

    Returns
    -------
    bool
        False also where nobody can tell: in encodings that are unusual, and behind a whole element.
    """
    if head[128:132] != b"DICM":
        return _BEGINNING.startswith(head)
    try:
        syntax, start = read_meta(head)
    except (Unusual, struct.error) as odd:
        # Group 0002 may be what is cut.
        return isinstance(odd, struct.error) and len(head) == len(content)
    return len(content) - start < _LEAST_ELEMENT or _is_data_set_cut_off(head, content, syntax, start)


def _is_data_set_cut_off(head: bytes, content: bytes | mmap, syntax: str, start: int) -> bool:
    try:
        if syntax in DEFLATED:
            return not _inflates(content, start)
        if not syntax or (_has_fragments(head) and content[-len(_DELIMITER) :] == _DELIMITER):
            return False
        order = ">" if syntax == BIG_ENDIAN else "<"
        return _Steps(content, order, implicit=syntax == IMPLICIT).end_within(start)
    except (Unusual, struct.error):
        return False


def _has_fragments(head: bytes) -> bool:
    at = head.rfind(_PIXEL_DATA)
    return at >= 0 and head[at + 8 : at + 12] == _UNDEFINED_LENGTH


def _inflates(content: bytes | mmap, start: int) -> bool:
    """Whether a deflated stream comes to its end."""
    inflater = zlib.decompressobj(-zlib.MAX_WBITS)
    try:
        for at in range(start, len(content), _DEFLATED_PIECE):
            piece = content[at : at + _DEFLATED_PIECE]
            while piece and not inflater.eof:
                inflater.decompress(piece, _DEFLATED_PIECE * 16)
                piece = inflater.unconsumed_tail
    except zlib.error as error:
        raise Unusual from error
    return inflater.eof


class _Steps:
    """Steps over the elements of a data set, and into whatever has no length of its own.

    Parameters
    ----------
    content : bytes or mmap
        The object.
    order : str
        The byte order of numbers, as `struct` writes it.
    implicit : bool
        Whether the elements have no VR.
    """

    def __init__(self, content: bytes | mmap, order: str, *, implicit: bool) -> None:
        self._content = content
        self._order = order
        self._numbers = struct.Struct(order + "HH").unpack_from
        self._short, self._long = (struct.Struct(order + form).unpack_from for form in "HL")
        # Where the steps go now, and whether elements there have no VR; and where they were before.
        self._inside, self._implicit = "data set", implicit
        self._opened: list[tuple[str, bool]] = []

    def end_within(self, at: int) -> bool:
        """Whether the object, from the place given on, ends in the middle of something or in front of its UIDs.

        Raises
        ------
        Unusual
            If that cannot be told.
        """
        content, end, last = self._content, len(self._content), -1
        for _ in range(_MOST_STEPS):
            try:
                tag, vr, length, value_at = self._header(at)
            except struct.error:
                is_within = self._opened or content[at:end].strip(_FILLING)
                return bool(is_within) or last < _SERIES_TAG
            if self._inside == "data set":
                # Out of order, the file is not what it says it is.
                if tag <= last:
                    raise Unusual
                last = tag
            if tag in {ITEM_END, SEQUENCE_END}:
                self._leave(tag)
                at = value_at
            elif length == UNDEFINED:
                self._enter(tag, vr)
                at = value_at
            else:
                if value_at + length > end:
                    # Filling makes an element without a VR, of great length.
                    return bool(self._opened or content[at:value_at].strip(_FILLING))
                at = value_at + length
        raise Unusual

    def _header(self, at: int) -> tuple[int, bytes, int, int]:
        """Give an element's or item's tag, VR and length, and where its value begins."""
        content = self._content
        group, number = self._numbers(content, at)
        tag = group << 16 | number
        if self._implicit or group == ITEM >> 16:
            if self._inside in {"items", "fragments"} and tag not in {ITEM, SEQUENCE_END}:
                raise Unusual
            return tag, b"", self._long(content, at + 4)[0], at + 8
        if self._inside in {"items", "fragments"}:
            raise Unusual
        vr = content[at + 4 : at + 6]
        if vr in SHORT_VRS:
            return tag, vr, self._short(content, at + 6)[0], at + 8
        if vr in LONG_VRS or len(vr) < 2:
            return tag, vr, self._long(content, at + 8)[0], at + 12
        raise Unusual

    def _enter(self, tag: int, vr: bytes) -> None:
        """Go on within what has no length."""
        self._opened.append((self._inside, self._implicit))
        if self._inside == "items":
            self._inside = "item"
        elif self._inside == "fragments" or tag == ITEM:
            raise Unusual
        elif vr in {b"SQ", b""}:
            self._inside = "items"
        elif vr in {b"OB", b"OW"} and tag == _PIXEL_TAG:
            self._inside = "fragments"
        elif vr == b"UN" and self._order == "<":
            # A sequence whose VR was not known: it has none within, and is in little endian (PS3.5 section 6.2.2).
            self._inside, self._implicit = "items", True
        else:
            raise Unusual

    def _leave(self, tag: int) -> None:
        """Go on behind what has ended."""
        if (self._inside == "item") is not (tag == ITEM_END) or not self._opened:
            raise Unusual
        self._inside, self._implicit = self._opened.pop()
