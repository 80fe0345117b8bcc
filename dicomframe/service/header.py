"""The header of a DICOM file as raw elements, read in place (PS3.10 section 7, PS3.5 section 7).

The service must judge what the bytes say, before any library has mended them: a trailing null that stays, a
value that breaks its VR. So it reads elements itself. Values of bulk VRs are skipped, not read; the bytes may
be an `mmap.mmap`, so memory does not grow with the file.
"""

from __future__ import annotations

import itertools
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, NamedTuple

from dicomframe.dicom.tags import ALL_VRS, BINARY_VRS
from dicomframe.errors import DecodeError

if TYPE_CHECKING:
    import mmap

    Buffer = bytes | mmap.mmap

IMPLICIT_LITTLE: Final = "1.2.840.10008.1.2"
EXPLICIT_LITTLE: Final = "1.2.840.10008.1.2.1"
DEFLATED_LITTLE: Final = "1.2.840.10008.1.2.1.99"
EXPLICIT_BIG: Final = "1.2.840.10008.1.2.2"

PREAMBLE: Final = bytes(128) + b"DICM"
_META_START = len(PREAMBLE)

_UNDEFINED = 0xFFFFFFFF
_DELIMITER_BYTES = 8
_ITEM, _ITEM_END, _SEQUENCE_END = 0xFFFEE000, 0xFFFEE00D, 0xFFFEE0DD
#: VRs with a 16-bit length in the explicit encoding (PS3.5 table 7.1-2); all others have 32 bits.
_SHORT = frozenset(
    vr.encode() for vr in "AE AS AT CS DA DS DT FD FL IS LO LT PN SH SL SS ST TM UI UL US".split()
)
_VR_TEXT = {vr.encode(): vr for vr in ALL_VRS}
_MAX_DEPTH = 64
#: Elements and items of a file, all levels together. An empty item has eight bytes in the file and a hundred in memory;
#: a slide of 200,000 frames has two million of them.
_MOST_NODES = 2_000_000
#: A deflated data set may grow by this factor and no further, since a few KB can be made to inflate to GBs. Images
#: shrink to a tenth at best; small data sets may always grow to so many bytes, and none past the last number.
_MOST_GROWTH = 50
_ALWAYS_INFLATED = 64 << 20
_NEVER_INFLATED = 1 << 30


class Raw(NamedTuple):
    """One element as it stands in the file.

    `value` is the bytes, a list of items for a sequence, or None where it was skipped because its VR is bulk; such
    a value stands in `Header.data` from `start` to before `end`.
    """

    vr: str
    value: bytes | list[Elements] | None
    start: int = 0
    end: int = 0


#: Tag number -> element, in file order.
Elements = dict[int, Raw]


@dataclass(frozen=True, slots=True)
class Header:
    """What a DICOM file says of itself.

    Parameters
    ----------
    transfer_syntax : str
        From the file meta information.
    meta, elements : dict
        Group 0002, and the data set.
    implicit : bool
        Whether the data set gives no VRs.
    big_endian : bool
        Whether its numbers are big-endian.
    data : bytes or mmap.mmap
        What the places of bulk values refer to: the file, or the inflated data set.
    """

    transfer_syntax: str
    meta: Elements
    elements: Elements
    implicit: bool
    big_endian: bool
    data: Buffer


def read_header(data: Buffer) -> Header:
    """Read a file's header.

    Parameters
    ----------
    data : bytes or mmap.mmap
        The whole file, with its preamble.

    Raises
    ------
    DecodeError
        If it is not a DICOM file, or ends within an element.
    """
    opened = _open(data)
    elements, _ = opened.reader.elements(opened.start, len(opened.data), depth=0)
    reader = opened.reader
    return Header(
        opened.transfer_syntax, opened.meta, elements, reader.implicit, reader.order == ">", opened.data
    )


class Span(NamedTuple):
    """Where one element stands, its head included."""

    tag: int
    start: int
    end: int


class Layout(NamedTuple):
    """Where a file's top-level elements stand, in file order.

    `data` holds the data set: the file itself or, where that is deflated, what it inflates to.
    """

    meta: list[Span]
    data: Buffer
    elements: list[Span]


def read_layout(data: Buffer) -> Layout:
    """Find a file's elements; parameters and errors are those of `read_header`."""
    opened = _open(data)
    meta: list[Span] = []
    position = _META_START
    meta_reader = _Reader(data, "<", implicit=False)
    while data[position : position + 2] == b"\x02\x00":
        tag, _, behind = meta_reader.element(position, len(data), depth=0)
        meta.append(Span(tag, position, behind))
        position = behind
    elements: list[Span] = []
    position = opened.start
    while position < len(opened.data):
        tag, _, behind = opened.reader.element(position, len(opened.data), depth=0)
        elements.append(Span(tag, position, behind))
        position = behind
    return Layout(meta, opened.data, elements)


class _Opened(NamedTuple):
    """A file whose file meta information is read: what holds the data set, where it begins, what reads it."""

    transfer_syntax: str
    meta: Elements
    data: Buffer
    start: int
    reader: _Reader


def _open(data: Buffer) -> _Opened:
    if data[128:132] != b"DICM":
        raise DecodeError("No DICOM file: the letters DICM are missing at byte 128.")
    meta, start = _read_meta(data)
    syntax = meta.get(0x00020010)
    if syntax is None or not isinstance(syntax.value, bytes):
        raise DecodeError("The file meta information has no TransferSyntaxUID (0002,0010).")
    transfer_syntax = syntax.value.decode("latin_1").rstrip("\0 ")
    if transfer_syntax == DEFLATED_LITTLE:
        data, start = _inflate(data, start), 0
    order = ">" if transfer_syntax == EXPLICIT_BIG else "<"
    # Files that announce one encoding and use the other exist; the first element's VR letters tell.
    letters = data[start + 4 : start + 6]
    implicit = not (letters.isalpha() and letters.isupper()) if len(letters) == 2 else False
    return _Opened(transfer_syntax, meta, data, start, _Reader(data, order, implicit))


def _read_meta(data: Buffer) -> tuple[Elements, int]:
    """Give group 0002 and where the data set begins; the group's own length element is often wrong."""
    reader = _Reader(data, "<", implicit=False)
    meta: Elements = {}
    position = _META_START
    while data[position : position + 2] == b"\x02\x00":
        tag, element, position = reader.element(position, len(data), depth=0)
        meta[tag] = element
    return meta, position


def _inflate(data: Buffer, start: int) -> bytes:
    inflater = zlib.decompressobj(-zlib.MAX_WBITS)
    most = min(max(_MOST_GROWTH * len(data), _ALWAYS_INFLATED), _NEVER_INFLATED)
    try:
        inflated = inflater.decompress(data[start:], most)
    except zlib.error:
        raise DecodeError("The deflated data set is damaged.") from None
    if inflater.unconsumed_tail:
        raise DecodeError(f"The deflated data set grows past {most} bytes.")
    if not inflater.eof:
        raise DecodeError("The deflated data set is cut off.")
    return inflated


class _Reader:
    """Reads elements of one encoding from a buffer."""

    def __init__(self, data: Buffer, order: str, implicit: bool, nodes: Iterator[int] | None = None) -> None:
        self._data = data
        # Counted together with those of the reader that this one reads a part for.
        self._nodes = nodes or itertools.count(1)
        self.implicit = implicit
        self.order = order
        self._tag_and_length = struct.Struct(f"{order}HHL").unpack_from
        self._tag = struct.Struct(f"{order}HH").unpack_from
        self._short = struct.Struct(f"{order}H").unpack_from
        self._long = struct.Struct(f"{order}L").unpack_from

    def elements(self, position: int, end: int, depth: int) -> tuple[Elements, int]:
        """Read elements up to `end` or an item's end; give them and the position behind."""
        found: Elements = {}
        while position < end:
            tag, element, position = self.element(position, end, depth)
            if tag == _ITEM_END:
                break
            found[tag] = element
        return found, position

    def element(self, position: int, end: int, depth: int) -> tuple[int, Raw, int]:
        """Read one element; give its tag, itself, and the position behind."""
        self._count()
        try:
            group, number = self._tag(self._data, position)
            tag = group << 16 | number
            if group == 0xFFFE:
                return tag, Raw("", None), position + 8
            vr, length, position = self._head(tag, position)
        except struct.error:
            raise DecodeError("The data set is cut off within an element's head.") from None
        reader = self
        if vr == "UN" and not self.implicit:
            # Whatever surrounds it, UN is in Implicit VR Little Endian, and the dictionary may know better
            # (PS3.5 section 6.2.2).
            vr, reader = _implicit_vr(tag), _Reader(self._data, "<", implicit=True, nodes=self._nodes)
        if length == _UNDEFINED:
            return reader.undefined(tag, vr, position, end, depth)
        behind = position + length
        if behind > end:
            raise DecodeError(f"The data set is cut off within {_name(tag)}.")
        if vr == "SQ":
            return tag, Raw(vr, reader.items(position, behind, depth + 1)[0]), behind
        if vr in BINARY_VRS:
            return tag, Raw(vr, None, position, behind), behind
        return tag, Raw(vr, self._data[position:behind]), behind

    def _head(self, tag: int, position: int) -> tuple[str, int, int]:
        if self.implicit:
            return _implicit_vr(tag), self._long(self._data, position + 4)[0], position + 8
        letters = self._data[position + 4 : position + 6]
        if letters in _SHORT:
            return _VR_TEXT[letters], self._short(self._data, position + 6)[0], position + 8
        vr = _VR_TEXT.get(letters)
        if vr is None:
            if not (letters.isalpha() and letters.isupper()):
                raise DecodeError(f"{_name(tag)} has no VR where the transfer syntax demands one.")
            vr = "UN"  # a VR of a later edition: the long form is the rule for all new ones
        return vr, self._long(self._data, position + 8)[0], position + 12

    def undefined(self, tag: int, vr: str, position: int, end: int, depth: int) -> tuple[int, Raw, int]:
        if vr in {"OB", "OW"}:
            behind = self._skip_fragments(tag, position, end)
            return tag, Raw(vr, None, position, behind - _DELIMITER_BYTES), behind
        if vr not in {"SQ", "UN"}:
            raise DecodeError(f"{_name(tag)} has an undefined length, which {vr} does not allow.")
        items, behind = self.items(position, end, depth + 1, delimited=True)
        if vr == "SQ":
            return tag, Raw(vr, items), behind
        return tag, Raw(vr, None, position, behind - _DELIMITER_BYTES), behind

    def items(
        self, position: int, end: int, depth: int, *, delimited: bool = False
    ) -> tuple[list[Elements], int]:
        if depth > _MAX_DEPTH:
            raise DecodeError(f"Sequences are nested deeper than {_MAX_DEPTH} levels.")
        items: list[Elements] = []
        while position < end or delimited:
            try:
                group, number, length = self._tag_and_length(self._data, position)
            except struct.error:
                raise DecodeError("The data set is cut off within a sequence.") from None
            tag, position = group << 16 | number, position + 8
            if tag == _SEQUENCE_END:
                return items, position
            if tag != _ITEM:
                raise DecodeError(f"A sequence holds {_name(tag)} where an item must begin.")
            self._count()
            behind = end if length == _UNDEFINED else position + length
            if behind > end:
                raise DecodeError("The data set is cut off within a sequence item.")
            item, position = self.elements(position, behind, depth)
            items.append(item)
        return items, position

    def _count(self) -> None:
        if next(self._nodes) > _MOST_NODES:
            raise DecodeError(f"The data set has more than {_MOST_NODES} elements and sequence items.")

    def _skip_fragments(self, tag: int, position: int, end: int) -> int:
        while position < end:
            try:
                group, number, length = self._tag_and_length(self._data, position)
            except struct.error:
                break
            position += 8
            if group << 16 | number == _SEQUENCE_END:
                return position
            position += length
        raise DecodeError(f"The data set is cut off within {_name(tag)}.")


def _name(tag: int) -> str:
    return f"({tag >> 16:04x},{tag & 0xFFFF:04x})"


def _implicit_vr(tag: int) -> str:
    from dicomframe.dicom.tags import from_tag

    if tag & 0xFFFF == 0:
        return "UL"
    vr = from_tag(f"{tag:08X}").vr
    # Where the dictionary leaves a choice: bytes if they are among it, else decided by PixelRepresentation later.
    return next((choice for choice in vr.split(" or ") if choice in BINARY_VRS), vr)
