"""The elements at the front of a DICOM file, from its first bytes: quick, strict and without an object for each.

Every file that is stored or downloaded is looked at, so the usual ones are read by walking over the first kilobytes
(PS3.5 section 7.1, PS3.10 section 7.1). Whatever is not entirely usual is `Unusual`: pydicom is to read it then.
"""

from __future__ import annotations

import struct
from collections.abc import Set as AbstractSet
from typing import Final, NamedTuple

#: Most headers are no longer than this, pixels left aside.
HEAD_BYTES: Final = 32 * 1024

_TRANSFER_SYNTAX = 0x00020010
_META_GROUP = b"\x02\x00"
_IMPLICIT = "1.2.840.10008.1.2"
_BIG_ENDIAN = "1.2.840.10008.1.2.2"
_DEFLATED = frozenset({"1.2.840.10008.1.2.1.99", "1.2.840.10008.1.2.8.1"})
# The VRs with a length of 16 bits, and of 32 (PS3.5 tables 7.1-1 and 7.1-2).
_SHORT_VRS = frozenset(b"AE AS AT CS DA DS DT FD FL IS LO LT PN SH SL SS ST TM UI UL US".split())
_LONG_VRS = frozenset(b"OB OD OF OL OV OW SQ SV UC UN UR UT UV".split())
# By byte order: what reads an element's head with a VR, one without, and a length of 32 bits.
_UNPACKERS = {
    order: tuple(struct.Struct(order + form).unpack_from for form in ("HH2sH", "HHL", "L")) for order in "<>"
}
_UNDEFINED = 0xFFFFFFFF
_ITEM, _ITEM_END, _SEQUENCE_END = 0xFFFEE000, 0xFFFEE00D, 0xFFFEE0DD


class Unusual(Exception):
    """Something that pydicom should look at: odd, or behind the bytes at hand."""


class Found(NamedTuple):
    """Elements that were found.

    Parameters
    ----------
    elements : dict
        By tag: the VR (empty where the file does not say it) and the value field; of a sequence without a length,
        the value is empty.
    order : str
        The byte order of numbers, as `struct` writes it.
    """

    elements: dict[int, tuple[bytes, bytes]]
    order: str


def find_elements(head: bytes, wanted: AbstractSet[int], *, is_whole: bool) -> Found:
    """Find top-level elements of a data set.

    Parameters
    ----------
    head : bytes
        The file's first bytes, its preamble included.
    wanted : set of int
        Tags outside group 0002; nothing behind the last of them is looked at.
    is_whole : bool
        Whether that is the whole file.

    Raises
    ------
    Unusual
        If anything is not as it should be, or a wanted element may stand behind these bytes.
    """
    if head[128:132] != b"DICM":
        raise Unusual
    try:
        syntax, start = _read_meta(head)
        if not syntax or syntax in _DEFLATED:
            raise Unusual
        order = ">" if syntax == _BIG_ENDIAN else "<"
        walker = _Walker(head, order, implicit=syntax == _IMPLICIT)
        return Found(walker.find(start, wanted, max(wanted), is_whole=is_whole), order)
    except (struct.error, RecursionError):
        # Items within items without end are no reason to fail otherwise than for this object.
        raise Unusual from None


def _read_meta(head: bytes) -> tuple[str, int]:
    """Give the transfer syntax, and where the data set begins; the group's own length is often wrong."""
    walker = _Walker(head, "<", implicit=False)
    syntax, at = "", 132
    while head.startswith(_META_GROUP, at):
        tag, _, length, value_at = walker.header(at)
        at = value_at + length
        if tag == _TRANSFER_SYNTAX:
            syntax = text(head[value_at:at])
    return syntax, at


def text(value: bytes) -> str:
    """Read a UID or another short word, without its padding."""
    return value.decode("ascii", "replace").strip(" \0")


class _Walker:
    """Steps over the elements of one transfer syntax."""

    def __init__(self, buffer: bytes, order: str, *, implicit: bool) -> None:
        self._buffer = buffer
        self._implicit = implicit
        self._with_vr, self._without_vr, self._long = _UNPACKERS[order]

    def find(
        self, at: int, wanted: AbstractSet[int], last_wanted: int, *, is_whole: bool
    ) -> dict[int, tuple[bytes, bytes]]:
        """Give the wanted elements."""
        buffer, end = self._buffer, len(self._buffer)
        implicit, with_vr, without_vr, long = self._implicit, self._with_vr, self._without_vr, self._long
        found: dict[int, tuple[bytes, bytes]] = {}
        last = -1
        while at < end:
            # What `header` does, without a call for each of the many elements.
            value_at = at + 8
            if implicit:
                vr = b""
                group, number, length = without_vr(buffer, at)
            else:
                group, number, vr, length = with_vr(buffer, at)
                if vr not in _SHORT_VRS:
                    if vr not in _LONG_VRS:
                        raise Unusual
                    length = long(buffer, value_at)[0]
                    value_at += 4
            tag = group << 16 | number
            # Out of order, the file is not what it says it is: its transfer syntax may be wrong.
            if tag <= last:
                raise Unusual
            if tag > last_wanted:
                return found
            last = tag
            if length == _UNDEFINED:
                at = self._behind_items(vr, value_at)
                if tag in wanted:
                    found[tag] = vr, b""
            else:
                at = value_at + length
                if tag in wanted:
                    found[tag] = vr, buffer[value_at:at]
        if at > end or not is_whole:
            raise Unusual
        return found

    def header(self, at: int) -> tuple[int, bytes, int, int]:
        """Give an element's tag, VR and length, and where its value begins."""
        if self._implicit:
            group, number, length = self._without_vr(self._buffer, at)
            return group << 16 | number, b"", length, at + 8
        group, number, vr, length = self._with_vr(self._buffer, at)
        if vr in _SHORT_VRS:
            return group << 16 | number, vr, length, at + 8
        if vr in _LONG_VRS:
            return group << 16 | number, vr, self._long(self._buffer, at + 8)[0], at + 12
        raise Unusual

    def _behind_items(self, vr: bytes, at: int) -> int:
        """Give the place behind a sequence without a length, and the items in it."""
        if vr not in {b"SQ", b""}:
            raise Unusual
        while True:
            group, number, length = self._without_vr(self._buffer, at)
            tag, at = group << 16 | number, at + 8
            if tag == _SEQUENCE_END:
                return at
            if tag != _ITEM:
                raise Unusual
            at = self._behind_item(at) if length == _UNDEFINED else at + length

    def _behind_item(self, at: int) -> int:
        while True:
            group, number, _ = self._without_vr(self._buffer, at)
            if group << 16 | number == _ITEM_END:
                return at + 8
            _, vr, length, value_at = self.header(at)
            at = self._behind_items(vr, value_at) if length == _UNDEFINED else value_at + length
