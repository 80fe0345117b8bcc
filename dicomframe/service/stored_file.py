"""A stored file opened for reading: attributes as Python values, and where its bulk values lie.

The service reads with its own code here too (see `header`): nothing is converted before it is asked for, nothing
warns, and a value that breaks its VR counts as missing.
"""

from __future__ import annotations

import mmap
import struct
from pathlib import Path
from typing import TYPE_CHECKING, Final, Self

from dicomframe.service.header import Elements, Header, Raw, read_header

if TYPE_CHECKING:
    from dicomframe.service.header import Buffer

_NUMBERS: Final = {"FD": "d", "FL": "f", "SL": "i", "SS": "h", "SV": "q", "UL": "I", "US": "H", "UV": "Q"}
#: Bytes in a word of the bulk VRs (PS3.5 table 6.2-1); the others are bytes.
WORD_BYTES: Final = {"OD": 8, "OF": 4, "OL": 4, "OV": 8, "OW": 2}


class Item:
    """The attributes of a data set or of one sequence item.

    Parameters
    ----------
    elements : dict
        Tag number -> element.
    header : Header
        Of the file that they are in.
    """

    def __init__(self, elements: Elements, header: Header) -> None:
        self._elements = elements
        self._header = header
        self._order = ">" if header.big_endian else "<"

    def raw(self, tag: int) -> Raw | None:
        """Give an element as it stands in the file, None where there is none."""
        return self._elements.get(tag)

    def numbers(self, tag: int) -> list[float]:
        """Give an attribute's numbers, whole or not; those that cannot be read are left out."""
        raw = self._elements.get(tag)
        if raw is None or not isinstance(raw.value, bytes):
            return []
        if raw.vr in {"DS", "IS"}:
            return [number for text in raw.value.split(b"\\") if (number := _decimal(text)) is not None]
        code = _NUMBERS.get(raw.vr, "H" if raw.vr.startswith("US or") else "")
        if not code:
            return []
        size = struct.calcsize(code)
        whole = raw.value[: len(raw.value) // size * size]
        return [number for (number,) in struct.iter_unpack(f"{self._order}{code}", whole)]

    def number(self, tag: int) -> float | None:
        """Give an attribute's first number, None where there is none."""
        return next(iter(self.numbers(tag)), None)

    def whole(self, tag: int, default: int = 0) -> int:
        """Give an attribute's first number as a whole one."""
        number = self.number(tag)
        return default if number is None or number != number // 1 else int(number)

    def text(self, tag: int) -> str:
        """Give an attribute's first value as text without padding, empty where there is none."""
        raw = self._elements.get(tag)
        if raw is None or not isinstance(raw.value, bytes):
            return ""
        return raw.value.decode("latin_1").split("\\")[0].strip(" \0")

    def items(self, tag: int) -> list[Item]:
        """Give a sequence's items."""
        raw = self._elements.get(tag)
        if raw is None or not isinstance(raw.value, list):
            return []
        return [Item(item, self._header) for item in raw.value]

    def words(self, tag: int, width: int | None = None) -> bytes:
        """Give a binary value with its words in little-endian order, whichever the file has; empty where there is none.

        Parameters
        ----------
        tag : int
            The attribute. Values of US count as binary, too: look-up tables may be either.
        width : int, optional
            Bytes in a word; by default those of its VR.
        """
        raw = self._elements.get(tag)
        if raw is None or isinstance(raw.value, list):
            return b""
        content = raw.value if raw.value is not None else self._header.data[raw.start : raw.end]
        return swapped(content, width or word_bytes(raw.vr)) if self._header.big_endian else content


class StoredFile(Item):
    """One stored file.

    The file stays mapped for as long as this object is referred to, also after it was deleted.

    Attributes
    ----------
    header : Header
        Its elements.
    transfer_syntax : str
        From its file meta information.
    """

    def __init__(self, header: Header) -> None:
        super().__init__(header.elements, header)
        self.header = header
        self.transfer_syntax = header.transfer_syntax

    @classmethod
    def open(cls, path: Path) -> Self:
        """Open a file.

        Raises
        ------
        FileNotFoundError
            If it was deleted.
        """
        with path.open("rb") as file:
            # Not closed: it goes with the last reference to it.
            return cls(read_header(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)))

    @property
    def data(self) -> Buffer:
        """The bytes that the places of bulk values refer to."""
        return self.header.data


def word_bytes(vr: str) -> int:
    """Give the bytes in a word of a VR."""
    return WORD_BYTES.get(vr) or struct.calcsize(_NUMBERS.get(vr, "B"))


def swapped(content: bytes, width: int) -> bytes:
    r"""Turn each word round; bytes behind the last whole word stay.

    Examples
    --------
    >>> swapped(b"\1\2\3\4\5", 2)
    b'\x02\x01\x04\x03\x05'
    """
    if width == 1:
        return content
    import numpy as np

    whole = len(content) // width * width
    return np.frombuffer(content[:whole], f"u{width}").byteswap().tobytes() + content[whole:]


def _decimal(text: bytes) -> float | None:
    try:
        return float(text.strip(b" \0"))
    except ValueError:
        return None
