"""Which instance a file holds, from its header alone.

The usual ones are read by `dicomframe.client.elements`; whatever is unusual is left to pydicom.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from mmap import mmap
from pathlib import Path
from typing import BinaryIO

from dicomframe.client.elements import HEAD_BYTES, Unusual, find_elements, find_in_cut, text
from dicomframe.dicom.quiet import quiet
from dicomframe.errors import DecodeError

_TAGS = {"sop_class": 0x00080016, "instance": 0x00080018, "study": 0x0020000D, "series": 0x0020000E}
_NAME_OF_TAG = {tag: name for name, tag in _TAGS.items()}

# How a file without a preamble begins: with group 0002 or 0008, in either byte order.
_BARE_BEGINNINGS = (b"\x02\x00", b"\x08\x00", b"\x00\x08")


@dataclass(frozen=True, slots=True)
class Identity:
    """The UIDs of an instance; a missing one is empty."""

    study: str = ""
    series: str = ""
    instance: str = ""
    sop_class: str = ""


def read_identity(source: str | Path | BinaryIO, head: bytes | None = None) -> Identity:
    """Read the UIDs of a DICOM file (PS3.10); pixels and other large values are not touched.

    Parameters
    ----------
    source : str or pathlib.Path, or binary file
        The file's path, or the file.
    head : bytes, optional
        Its first `HEAD_BYTES` bytes, where they are at hand.

    Raises
    ------
    DecodeError
        If it is no DICOM file, or one without a SOP Instance UID, such as a DICOMDIR.
    OSError
        If it cannot be read.
    """
    if head is None:
        head = _head_of(source)
    try:
        found = _walk(head)
    except Unusual:
        found = _read_with_pydicom(source, may_lack_preamble(head))
    if not found.get("instance"):
        raise DecodeError(
            "it has no SOP Instance UID, so it is no instance (a DICOMDIR, for example, is none)"
        )
    return Identity(**found)


def identity_of_cut(head: bytes, content: bytes | mmap) -> Identity:
    """Read the UIDs of an object that is cut off, those that are whole in it; the others are empty.

    Parameters
    ----------
    head : bytes
        Its first `HEAD_BYTES` bytes.
    content : bytes or mmap
        All of it.
    """
    found = find_in_cut(head, content, _NAME_OF_TAG.keys())
    return Identity(**{_NAME_OF_TAG[tag]: text(value) for tag, value in found.items()})


def _head_of(source: str | Path | BinaryIO) -> bytes:
    if isinstance(source, str | Path):
        # A third of what a file object costs, for each of many files.
        descriptor = os.open(source, os.O_RDONLY | getattr(os, "O_BINARY", 0))
        try:
            return os.read(descriptor, HEAD_BYTES)
        finally:
            os.close(descriptor)
    source.seek(0)
    return source.read(HEAD_BYTES)


def may_lack_preamble(head: bytes) -> bool:
    """Whether bytes without ``DICM`` at their place may be DICOM all the same: some writers leave the preamble out.

    pydicom itself is one of them. Anything else it must not be forced to read: it would take any text for elements.
    """
    return head.startswith(_BARE_BEGINNINGS)


def _walk(head: bytes) -> dict[str, str]:
    found = find_elements(head, _NAME_OF_TAG.keys(), is_whole=len(head) < HEAD_BYTES)
    return {_NAME_OF_TAG[tag]: text(value) for tag, (_, value) in found.elements.items()}


def _read_with_pydicom(source: str | Path | BinaryIO, force: bool = False) -> dict[str, str]:
    from pydicom import dcmread
    from pydicom.errors import InvalidDicomError

    try:
        if not isinstance(source, str | Path):
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
    return text(value) if isinstance(value, bytes) else str(value or "").strip(" \0")
