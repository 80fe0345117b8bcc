"""New values in a DICOM file, every other byte as it was (PS3.5 section 7, PS3.10 section 7).

The file is copied piece by piece: pixel data is neither decoded nor held in memory. What the file calls its encoding,
byte order and character set stays; only where a new value cannot be written in that character set, and all text in
the file is plain ASCII, the file becomes UTF-8, in which ASCII is the same bytes.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Final, NamedTuple

from dicomframe.service.blobs import CHUNK_BYTES
from dicomframe.service.charset import DEFAULT, codec_of, decode
from dicomframe.service.header import DEFLATED_LITTLE, PREAMBLE, Elements, Header, Layout, Raw
from dicomframe.service.metadata import IN_CHARACTER_SET

if TYPE_CHECKING:
    from dicomframe.service.header import Buffer, Span

#: What the real service writes into the file meta information of what it has updated.
IMPLEMENTATION_CLASS_UID: Final = "1.3.6.1.4.1.311.129"

_CHARACTER_SET: Final = 0x00080005
_GROUP_LENGTH: Final = 0x00020000
_IMPLEMENTATION: Final = 0x00020012
_UTF_8: Final = "ISO_IR 192"
_ESCAPE: Final = 0x1B

Write = Callable[[bytes], None]


class Change(NamedTuple):
    """A new value of one attribute; several values have backslashes between them. Its VR has a 16-bit length."""

    tag: int
    vr: str
    text: str


class CannotWrite(Exception):
    """A new value has no form in the file's character set."""


def splice(data: Buffer, header: Header, layout: Layout, changes: Sequence[Change], write: Write) -> None:
    """Write a file with new values.

    Parameters
    ----------
    data : bytes or mmap.mmap
        The file.
    header, layout
        From `read_header` and `read_layout`.
    changes : sequence of Change
        The new values; what the file lacks is put in its place by tag.
    write : callable
        Takes the new file's bytes.

    Raises
    ------
    CannotWrite
        If the file's character set has no form for a value; nothing was written then.
    """
    encoded = _encode_all(changes, header)
    write(PREAMBLE + _new_meta(data, layout.meta))
    if header.transfer_syntax == DEFLATED_LITTLE:
        deflater = zlib.compressobj(wbits=-zlib.MAX_WBITS)
        length = 0

        def deflate(chunk: bytes) -> None:
            nonlocal length
            small = deflater.compress(chunk)
            length += len(small)
            write(small)

        _splice(layout.data, layout.elements, encoded, deflate)
        rest = deflater.flush()
        write(rest + b"\0" * ((length + len(rest)) % 2))
    else:
        _splice(layout.data, layout.elements, encoded, write)


def _splice(data: Buffer, spans: Sequence[Span], new: Mapping[int, bytes], write: Write) -> None:
    """Copy elements, leaving out those with a new value, which go in front of the first that has a greater tag."""
    waiting = sorted(new)
    start = end = spans[0].start if spans else len(data)
    for span in spans:
        before = [tag for tag in waiting if tag < span.tag]
        if before or span.tag in new:
            _copy(data, start, end, write)
            start = span.start
            for tag in before:
                write(new[tag])
            waiting = waiting[len(before) :]
        if span.tag in new:
            start = span.end
        end = span.end
    _copy(data, start, end, write)
    for tag in waiting:
        write(new[tag])


def _copy(data: Buffer, start: int, end: int, write: Write) -> None:
    for position in range(start, end, CHUNK_BYTES):
        write(data[position : min(position + CHUNK_BYTES, end)])


def _new_meta(data: Buffer, spans: Sequence[Span]) -> bytes:
    pieces = {span.tag: data[span.start : span.end] for span in spans}
    uid = IMPLEMENTATION_CLASS_UID.encode()
    pieces[_IMPLEMENTATION] = _element(_IMPLEMENTATION, "UI", uid + b"\0" * (len(uid) % 2), "<")
    pieces.pop(_GROUP_LENGTH, None)
    group = b"".join(pieces[tag] for tag in sorted(pieces))
    return _element(_GROUP_LENGTH, "UL", struct.pack("<L", len(group)), "<") + group


def _element(tag: int, vr: str, value: bytes, order: str, *, implicit: bool = False) -> bytes:
    numbers = tag >> 16, tag & 0xFFFF
    if implicit:
        return struct.pack(f"{order}HHL", *numbers, len(value)) + value
    return struct.pack(f"{order}HH2sH", *numbers, vr.encode(), len(value)) + value


def _encode_all(changes: Sequence[Change], header: Header) -> dict[int, bytes]:
    """Give the new elements, with a new SpecificCharacterSet among them where one is needed."""
    declared = header.elements.get(_CHARACTER_SET)
    terms = []
    if declared is not None and isinstance(declared.value, bytes):
        terms = [term.strip(" \0") for term in declared.value.decode("latin_1").split("\\")]
    try:
        values = {change.tag: _encode(change, terms) for change in changes}
    except CannotWrite:
        if _is_ascii(header.elements):
            changes = [*changes, Change(_CHARACTER_SET, "CS", _UTF_8)]
            values = {change.tag: _encode(change, [_UTF_8]) for change in changes}
        elif any(terms):
            raise
        else:
            # Text that is not ASCII, and no word on its character set: read as Latin-1 it is, so written too.
            values = {change.tag: _encode(change, ["ISO_IR 100"]) for change in changes}
    order = ">" if header.big_endian else "<"
    return {
        change.tag: _element(
            change.tag,
            change.vr,
            values[change.tag] + b" " * (len(values[change.tag]) % 2),
            order,
            implicit=header.implicit,
        )
        for change in changes
    }


def _encode(change: Change, terms: Sequence[str]) -> bytes:
    if change.vr not in IN_CHARACTER_SET or change.text.isascii():
        return change.text.encode("ascii")
    first = codec_of(terms)
    for term in terms:
        # An empty term, and IR 6, are ASCII.
        if term in {"", "ISO_IR 6", "ISO 2022 IR 6"}:
            continue
        try:
            value = change.text.encode(codec_of([term]))
        except UnicodeEncodeError:
            continue
        if decode(value, first if any(terms) else DEFAULT) == (change.text, True):
            return value
    raise CannotWrite


def _is_ascii(elements: Elements) -> bool:
    """Whether all text that the data set's character set governs is ASCII without escape sequences."""
    return all(_is_ascii_element(raw) for raw in elements.values())


def _is_ascii_element(raw: Raw) -> bool:
    if isinstance(raw.value, list):
        # An item that declares a character set of its own is not governed by the data set's.
        return all(_CHARACTER_SET in item or _is_ascii(item) for item in raw.value)
    if raw.vr not in IN_CHARACTER_SET or raw.value is None:
        return True
    return raw.value.isascii() and _ESCAPE not in raw.value
