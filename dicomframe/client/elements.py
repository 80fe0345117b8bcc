"""The elements at the front of a DICOM file, from its first bytes: quick, strict and without an object for each.

Every file that is stored or downloaded is looked at, so the usual ones are read by walking over the first kilobytes
(PS3.5 section 7.1, PS3.10 section 7.1). Whatever is not entirely usual is `Unusual`: pydicom is to read it then.
"""

from __future__ import annotations

import struct
from bisect import bisect
from collections.abc import Set as AbstractSet
from itertools import groupby
from mmap import mmap
from typing import Final, NamedTuple

#: Most headers are no longer than this, pixels left aside.
HEAD_BYTES: Final = 32 * 1024

_TRANSFER_SYNTAX = 0x00020010
_LAST_OF_META = 0x0002FFFF
_META_GROUP = b"\x02\x00"
IMPLICIT = "1.2.840.10008.1.2"
_EXPLICIT = "1.2.840.10008.1.2.1"
BIG_ENDIAN = "1.2.840.10008.1.2.2"
#: All of a data set in these is one deflated stream (PS3.5 section A.5).
DEFLATED = frozenset({"1.2.840.10008.1.2.1.99", "1.2.840.10008.1.2.4.95", "1.2.840.10008.1.2.4.205"})
# The VRs with a length of 16 bits, and of 32 (PS3.5 tables 7.1-1 and 7.1-2).
SHORT_VRS = frozenset(b"AE AS AT CS DA DS DT FD FL IS LO LT PN SH SL SS ST TM UI UL US".split())
LONG_VRS = frozenset(b"OB OD OF OL OV OW SQ SV UC UN UR UT UV".split())
# By byte order: what reads an element's head with a VR, one without, and a length of 32 bits.
_UNPACKERS = {
    order: tuple(struct.Struct(order + form).unpack_from for form in ("HH2sH", "HHL", "L")) for order in "<>"
}
UNDEFINED = 0xFFFFFFFF
#: Tags that are held to vary; more than that, and what was learnt is forgotten.
_MOST_VARYING = 1_000
ITEM, ITEM_END, SEQUENCE_END = 0xFFFEE000, 0xFFFEE00D, 0xFFFEE0DD


class Unusual(Exception):
    """Something that pydicom should look at: odd, or behind the bytes at hand."""


class Found(NamedTuple):
    """Elements that were found.

    Parameters
    ----------
    elements : dict
        By tag, in order: the VR (empty where the file does not say it) and the value field; of a sequence without a
        length, the value is empty.
    order : str
        The byte order of numbers, as `struct` writes it.
    """

    elements: dict[int, tuple[bytes, bytes]]
    order: str


def find_elements(head: bytes, wanted: AbstractSet[int], *, is_whole: bool) -> Found:
    """Find top-level elements of one data set; see `ElementFinder.find`."""
    return ElementFinder(wanted).find(head, is_whole=is_whole)


class ElementFinder:
    """Finds the same top-level elements in many data sets, quickest in ones that are much alike, as in a series.

    Parameters
    ----------
    wanted : set of int
        Tags outside group 0002; nothing behind the last of them is looked at.
    """

    def __init__(self, wanted: AbstractSet[int]) -> None:
        self._wanted = wanted
        self._meta = _Walker(frozenset({_TRANSFER_SYNTAX}), _LAST_OF_META, "<", implicit=False)
        self._walkers: dict[str, _Walker] = {}
        # A transfer syntax as it was written last, and its walker; set in one go, for other threads.
        self._last: tuple[bytes | None, _Walker] = None, self._meta

    def find(self, head: bytes, *, is_whole: bool) -> Found:
        """Find the elements in a file.

        Parameters
        ----------
        head : bytes
            The file's first bytes, its preamble included.
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
            # The group's own length is often wrong.
            meta, start = self._meta.find(head, 132)
            walker = self._walker(meta.get(_TRANSFER_SYNTAX, (b"", b""))[1])
            elements, end = walker.find(head, start)
        except (struct.error, RecursionError):
            # Items within items without end are no reason to fail otherwise than for this object.
            raise Unusual from None
        if end == len(head) and not is_whole:
            raise Unusual
        return Found(elements, walker.order)

    def _walker(self, written: bytes) -> _Walker:
        """Give what walks over data sets of a transfer syntax; most objects have that of the one before."""
        before, walker = self._last
        if written == before:
            return walker
        syntax = text(written)
        if not syntax or syntax in DEFLATED:
            raise Unusual
        # All others are alike, and the server may send any text for one.
        known = syntax if syntax in {IMPLICIT, BIG_ENDIAN} else _EXPLICIT
        if known not in self._walkers:
            order = ">" if known == BIG_ENDIAN else "<"
            self._walkers[known] = _Walker(self._wanted, max(self._wanted), order, implicit=known == IMPLICIT)
        walker = self._walkers[known]
        self._last = written, walker
        return walker


def text(value: bytes) -> str:
    """Read a UID or another short word, without its padding."""
    return value.decode("ascii", "replace").strip(" \0")


def read_meta(head: bytes) -> tuple[str, int]:
    """Give the transfer syntax, and where the data set begins; the group's own length is often wrong.

    Raises
    ------
    Unusual, struct.error
        If these bytes do not hold group 0002, or something odd.
    """
    walker = _Walker(frozenset(), _LAST_OF_META, "<", implicit=False)
    syntax, at = "", 132
    while head.startswith(_META_GROUP, at):
        tag, after = walker.step(head, at)
        if tag == _TRANSFER_SYNTAX:
            syntax = text(head[at + 8 : after])
        at = after
    return syntax, at


def find_in_cut(head: bytes, content: bytes | mmap, wanted: AbstractSet[int]) -> dict[int, bytes]:
    """Find those elements with a short VR that are whole in an object which ends in the middle of something.

    Parameters
    ----------
    head : bytes
        The object's first bytes, its preamble included.
    content : bytes or mmap
        All of it.
    wanted : set of int
        Tags outside group 0002.

    Returns
    -------
    dict
        Their value fields by tag: none that is not whole, because half a UID is another one.
    """
    found: dict[int, bytes] = {}
    try:
        syntax, at = read_meta(head)
        if syntax in DEFLATED:
            return found
        walker = _Walker(
            wanted, max(wanted), ">" if syntax == BIG_ENDIAN else "<", implicit=syntax == IMPLICIT
        )
        tag, after = walker.step(content, at)
        while tag <= max(wanted) and after <= len(content):
            if tag in wanted:
                found[tag] = content[at + 8 : after]
            at = after
            tag, after = walker.step(content, at)
    except (Unusual, struct.error, RecursionError):
        # Nothing can be told apart from here on.
        pass
    return found


class _Stretch(NamedTuple):
    """Elements that follow each other, met again and again with the same bytes: the same bytes mean the same."""

    content: bytes
    first: int
    last: int
    found: dict[int, tuple[bytes, bytes]]


class _Walker:
    """Steps over the elements of one transfer syntax.

    The objects of a series have most elements in common. Which tags vary is learnt from one object to the next; what
    stands between two of them is a stretch, compared as a whole and stepped over at once. A walker may serve several
    threads: what it learns is set in one go, and a stretch holds true by itself.
    """

    def __init__(self, wanted: AbstractSet[int], last_wanted: int, order: str, *, implicit: bool) -> None:
        self.order = order
        self._wanted = wanted
        self._last_wanted = last_wanted
        self._implicit = implicit
        self._with_vr, self._without_vr, self._long = _UNPACKERS[order]
        # By the eight bytes that it begins with.
        self._stretches: dict[bytes, _Stretch] = {}
        self._varying: frozenset[int] = frozenset()
        self._before: tuple[bytes, int, int] | None = None

    def find(  # noqa: C901, PLR0912 - a call for each element would cost as much again
        self, buffer: bytes, start: int
    ) -> tuple[dict[int, tuple[bytes, bytes]], int]:
        """Give the wanted elements, and where the first one behind them begins, or the bytes end."""
        wanted, last_wanted, implicit = self._wanted, self._last_wanted, self._implicit
        with_vr, without_vr, long = self._with_vr, self._without_vr, self._long
        stretches, varying = self._stretches, self._varying
        found: dict[int, tuple[bytes, bytes]] = {}
        at, last, end = start, -1, len(buffer)
        is_new = False
        while at < end:
            if stretches:
                stretch = stretches.get(buffer[at : at + 8])
                if stretch is not None and stretch.first > last and buffer.startswith(stretch.content, at):
                    found.update(stretch.found)
                    last = stretch.last
                    at += len(stretch.content)
                    continue
            # What `step` does, without a call for each of the many elements.
            value_at = at + 8
            if implicit:
                vr = b""
                group, number, length = without_vr(buffer, at)
            else:
                group, number, vr, length = with_vr(buffer, at)
            tag = group << 16 | number
            # Out of order, the file is not what it says it is: its transfer syntax may be wrong.
            if tag <= last:
                raise Unusual
            if tag > last_wanted:
                break
            if vr not in SHORT_VRS and not implicit:
                if vr not in LONG_VRS:
                    raise Unusual
                length = long(buffer, value_at)[0]
                value_at += 4
            if length == UNDEFINED:
                if implicit and tag in wanted:
                    raise Unusual  # a sequence, or not: nothing here tells
                at = self._behind_items(buffer, vr, value_at)
                value = b""
            else:
                at = value_at + length
                value = buffer[value_at:at] if tag in wanted else b""
            if at > end:
                raise Unusual
            if tag in wanted:
                found[tag] = vr, value
            if tag not in varying:
                is_new = True
            last = tag
        if is_new:
            self._learn(buffer, start, at, found)
        return found, at

    def _learn(self, buffer: bytes, start: int, end: int, found: dict[int, tuple[bytes, bytes]]) -> None:
        """Compare an object with the one before, and note which tags vary and what stands between them."""
        before, self._before = self._before, (buffer, start, end)
        if before is None:
            return
        places, old_places = self._places(buffer, start, end), self._places(*before)
        same = {
            tag
            for tag, (at, after) in places.items()
            if tag in old_places and buffer[at:after] == before[0][slice(*old_places[tag])]
        }
        varying = self._varying | ((places.keys() | old_places.keys()) - same)
        if len(varying) > _MOST_VARYING:
            varying = frozenset()
        marks = sorted(varying)
        stretches = {}
        for _, run in groupby((tag for tag in places if tag not in varying), lambda tag: bisect(marks, tag)):
            tags = list(run)
            at, after = places[tags[0]][0], places[tags[-1]][1]
            of_them = {tag: found[tag] for tag in tags if tag in found}
            stretches[buffer[at : at + 8]] = _Stretch(buffer[at:after], tags[0], tags[-1], of_them)
        self._stretches, self._varying = stretches, varying

    def _places(self, buffer: bytes, at: int, end: int) -> dict[int, tuple[int, int]]:
        """Give where each element begins and ends, of bytes that were walked over before."""
        places: dict[int, tuple[int, int]] = {}
        while at < end:
            tag, after = self.step(buffer, at)
            places[tag] = at, after
            at = after
        return places

    def step(self, buffer: bytes | mmap, at: int) -> tuple[int, int]:
        """Give an element's tag, and where the next one begins."""
        if self._implicit:
            vr = b""
            group, number, length = self._without_vr(buffer, at)
        else:
            group, number, vr, length = self._with_vr(buffer, at)
        at += 8
        if vr not in SHORT_VRS and not self._implicit:
            if vr not in LONG_VRS:
                raise Unusual
            length = self._long(buffer, at)[0]
            at += 4
        return group << 16 | number, self._behind_items(
            buffer, vr, at
        ) if length == UNDEFINED else at + length

    def _behind_items(self, buffer: bytes | mmap, vr: bytes, at: int) -> int:
        """Give the place behind a sequence without a length, and the items in it."""
        if vr not in {b"SQ", b""}:
            raise Unusual
        while True:
            group, number, length = self._without_vr(buffer, at)
            tag, at = group << 16 | number, at + 8
            if tag == SEQUENCE_END:
                return at
            if tag != ITEM:
                raise Unusual
            at = self._behind_item(buffer, at) if length == UNDEFINED else at + length

    def _behind_item(self, buffer: bytes | mmap, at: int) -> int:
        while True:
            group, number, _ = self._without_vr(buffer, at)
            if group << 16 | number == ITEM_END:
                return at + 8
            _, at = self.step(buffer, at)
