"""Which instance a file holds, from its header alone.

Every file that is stored or downloaded is looked at, so the usual ones are read by walking over the first kilobytes
(PS3.5 section 7.1, PS3.10 section 7.1); whatever is unusual is left to pydicom.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from dicomframe.dicom.quiet import quiet
from dicomframe.errors import DecodeError

_TAGS = {"sop_class": 0x00080016, "instance": 0x00080018, "study": 0x0020000D, "series": 0x0020000E}
_NAME_OF_TAG = {tag: name for name, tag in _TAGS.items()}
_LAST_TAG = max(_TAGS.values())

_HEAD_BYTES = 32 * 1024
_TRANSFER_SYNTAX = 0x00020010
_IMPLICIT = "1.2.840.10008.1.2"
_BIG_ENDIAN = "1.2.840.10008.1.2.2"
_DEFLATED = frozenset({"1.2.840.10008.1.2.1.99", "1.2.840.10008.1.2.8.1"})
_LONG_VRS = frozenset(
    {b"OB", b"OD", b"OF", b"OL", b"OV", b"OW", b"SQ", b"SV", b"UC", b"UN", b"UR", b"UT", b"UV"}
)
# How a file without a preamble begins: with group 0002 or 0008, in either byte order.
_BARE_BEGINNINGS = (b"\x02\x00", b"\x08\x00", b"\x00\x08")
_UNDEFINED = 0xFFFFFFFF
_ITEM, _ITEM_END, _SEQUENCE_END = 0xFFFEE000, 0xFFFEE00D, 0xFFFEE0DD


@dataclass(frozen=True, slots=True)
class Identity:
    """The UIDs of an instance; a missing one is empty."""

    study: str = ""
    series: str = ""
    instance: str = ""
    sop_class: str = ""


def read_identity(source: Path | BinaryIO) -> Identity:
    """Read the UIDs of a DICOM file (PS3.10); pixels and other large values are not touched.

    Raises
    ------
    DecodeError
        If it is no DICOM file, or one without a SOP Instance UID, such as a DICOMDIR.
    OSError
        If it cannot be read.
    """
    if isinstance(source, Path):
        with source.open("rb", buffering=0) as file:
            head = file.read(_HEAD_BYTES) or b""
    else:
        source.seek(0)
        head = source.read(_HEAD_BYTES)
    try:
        found = _walk(head)
    except (_Unusual, struct.error, IndexError):
        found = _read_with_pydicom(source, may_lack_preamble(head))
    if not found.get("instance"):
        raise DecodeError(
            "it has no SOP Instance UID, so it is no instance (a DICOMDIR, for example, is none)"
        )
    return Identity(**found)


def may_lack_preamble(head: bytes) -> bool:
    """Whether bytes without ``DICM`` at their place may be DICOM all the same: some writers leave the preamble out.

    pydicom itself is one of them. Anything else it must not be forced to read: it would take any text for elements.
    """
    return head.startswith(_BARE_BEGINNINGS)


class _Unusual(Exception):
    """Something that pydicom should look at: odd, or past the first kilobytes."""


def _walk(head: bytes) -> dict[str, str]:
    """Walk over the elements up to the last UID wanted."""
    if head[128:132] != b"DICM":
        raise _Unusual
    walker = _Walker(head, 132, "<", implicit=False)
    syntax = ""
    while walker.group() == 2:
        tag, value = walker.element()
        if tag == _TRANSFER_SYNTAX:
            syntax = _text(value)
    if not syntax or syntax in _DEFLATED:
        raise _Unusual
    walker = _Walker(head, walker.at, ">" if syntax == _BIG_ENDIAN else "<", implicit=syntax == _IMPLICIT)
    found: dict[str, str] = {}
    last = 0
    while walker.at < len(head):
        tag, value = walker.element()
        # Out of order, the file is not what it says it is: its transfer syntax may be wrong.
        if tag <= last:
            raise _Unusual
        if tag > _LAST_TAG:
            return found
        last = tag
        if tag in _NAME_OF_TAG:
            found[_NAME_OF_TAG[tag]] = _text(value)
    if len(head) == _HEAD_BYTES and len(found) < len(_TAGS):
        raise _Unusual
    return found


class _Walker:
    """A place in a buffer of elements of one transfer syntax."""

    def __init__(self, buffer: bytes, at: int, order: str, *, implicit: bool) -> None:
        self._buffer = buffer
        self._tag = struct.Struct(f"{order}HH")
        self._short = struct.Struct(f"{order}H")
        self._long = struct.Struct(f"{order}L")
        self._implicit = implicit
        self.at = at

    def group(self) -> int:
        return int(self._tag.unpack_from(self._buffer, self.at)[0])

    def element(self) -> tuple[int, bytes]:
        """Give the element here and go behind it; the value of a sequence without a length is empty."""
        tag, length, vr = self._header()
        if length == _UNDEFINED:
            if vr not in {b"SQ", b""}:
                raise _Unusual
            self._skip_items()
            return tag, b""
        begin = self.at
        self.at += length
        return tag, self._buffer[begin : self.at]

    def _header(self) -> tuple[int, int, bytes]:
        buffer, at = self._buffer, self.at
        group, number = self._tag.unpack_from(buffer, at)
        tag = group << 16 | number
        if self._implicit or group == 0xFFFE:
            self.at = at + 8
            return tag, self._long.unpack_from(buffer, at + 4)[0], b""
        vr = buffer[at + 4 : at + 6]
        if vr in _LONG_VRS:
            self.at = at + 12
            return tag, self._long.unpack_from(buffer, at + 8)[0], vr
        if not (vr.isalpha() and vr.isupper()):
            raise _Unusual
        self.at = at + 8
        return tag, self._short.unpack_from(buffer, at + 6)[0], vr

    def _skip_items(self) -> None:
        """Go behind the end of a sequence without a length, and of the items in it."""
        while True:
            tag, length, _ = self._header()
            if tag == _SEQUENCE_END:
                return
            if tag != _ITEM:
                raise _Unusual
            if length != _UNDEFINED:
                self.at += length
                continue
            while self.element()[0] != _ITEM_END:
                continue


def _text(value: bytes) -> str:
    return value.decode("ascii", "replace").strip(" \0")


def _read_with_pydicom(source: Path | BinaryIO, force: bool = False) -> dict[str, str]:
    from pydicom import dcmread
    from pydicom.errors import InvalidDicomError

    try:
        if not isinstance(source, Path):
            source.seek(0)
        # Whatever pydicom finds odd in the file, the service is to judge it.
        with quiet():
            dataset = dcmread(
                source, stop_before_pixels=True, specific_tags=list(_TAGS.values()), force=force
            )
            return {name: _uid(dataset.get_item(tag)) for name, tag in _TAGS.items()}
    except InvalidDicomError:
        problem = "this is no DICOM file"
    except OSError:
        raise
    except Exception as error:  # noqa: BLE001 - pydicom raises many kinds on damaged files
        problem = f"the DICOM header is damaged ({type(error).__name__})"
    raise DecodeError(problem)


def _uid(element: object) -> str:
    value = getattr(element, "value", None)
    return _text(value) if isinstance(value, bytes) else str(value or "").strip(" \0")
