"""An image's look-up tables: modality LUT, VOI LUT, colour palettes (PS3.3 C.11.1, C.11.2, C.7.6.3.1.5, C.7.9.2)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

from dicomframe.service.pixels import CannotDecode

if TYPE_CHECKING:
    from dicomframe.service.stored_file import Item

_LUT_DESCRIPTOR: Final = 0x00283002
_LUT_DATA: Final = 0x00283006
#: Red, green and blue: descriptor, data, segmented data.
_PALETTES: Final = (
    (0x00281101, 0x00281201, 0x00281221),
    (0x00281102, 0x00281202, 0x00281222),
    (0x00281103, 0x00281203, 0x00281223),
)
_MOST_ENTRIES: Final = 65_536


@dataclass(frozen=True, slots=True)
class Table:
    """A table of entries for consecutive values.

    Parameters
    ----------
    entries : ndarray of uint16, shape (n,)
        What the values become.
    first : int
        The value that becomes ``entries[0]``.
    """

    entries: NDArray[np.uint16]
    first: int

    def __call__(self, values: NDArray[Any]) -> NDArray[np.uint16]:
        """Look values up; those before and behind the table become its first and last entry."""
        places = np.clip(values.astype(np.int64) - self.first, 0, len(self.entries) - 1)
        found: NDArray[np.uint16] = self.entries[places]
        return found


def table_of(item: Item, *, is_signed: bool) -> Table:
    """Read an item of a Modality or VOI LUT Sequence.

    Parameters
    ----------
    item : Item
        With LUT Descriptor and LUT Data.
    is_signed : bool
        Whether the values that are looked up may be negative.

    Raises
    ------
    CannotDecode
        If descriptor and data are missing or disagree.
    """
    count, first, _ = _descriptor(item, _LUT_DESCRIPTOR, is_signed=is_signed)
    return Table(_plain(item.words(_LUT_DATA), count), first)


def palette_of(item: Item, *, is_signed: bool) -> tuple[Table, Table, Table]:
    """Read an image's palettes of red, green and blue, with entries of eight bits.

    Raises
    ------
    CannotDecode
        If one is missing, or its descriptor and data disagree.
    """
    tables = []
    for descriptor, data, segmented in _PALETTES:
        count, first, bits = _descriptor(item, descriptor, is_signed=is_signed)
        plain = item.words(data)
        if plain:
            entries = _plain(plain, count)
            bits = 8 if len(plain) < 2 * count else bits
        else:
            entries = _expanded(item.words(segmented, 1 if bits == 8 else 2), bits, count)
        # Entries of eight bits under a descriptor of sixteen occur.
        tables.append((entries, first, bits > 8))
    is_wide = any(wide for _, _, wide in tables) and max(int(entries.max()) for entries, _, _ in tables) > 255
    shift = np.uint16(8 if is_wide else 0)
    red, green, blue = (Table(entries >> shift, first) for entries, first, _ in tables)
    return red, green, blue


def _descriptor(item: Item, tag: int, *, is_signed: bool) -> tuple[int, int, int]:
    """Read entries, first value and bits; 0 entries mean 65,536."""
    numbers = [int(number) for number in item.numbers(tag)]
    if len(numbers) != 3:
        raise CannotDecode("A look-up table has no descriptor of three numbers.")
    count, first, bits = numbers
    count = count % _MOST_ENTRIES or _MOST_ENTRIES
    if is_signed and first >= 1 << 15:
        first -= 1 << 16  # written as US
    elif not is_signed and first + count <= 0:
        first += 1 << 16  # written as SS
    return count, first, bits


def _plain(content: bytes, count: int) -> NDArray[np.uint16]:
    """Read entries, of one byte each where there are too few bytes for words."""
    width = np.dtype(np.uint8) if len(content) < 2 * count else np.dtype("<u2")
    if len(content) < count:
        raise CannotDecode("A look-up table has fewer entries than its descriptor announces.")
    return np.frombuffer(content[: count * width.itemsize], width).astype(np.uint16)


def _expanded(content: bytes, bits: int, count: int) -> NDArray[np.uint16]:
    """Expand segmented palette data (PS3.3 C.7.9.2)."""
    width = np.dtype(np.uint8) if bits == 8 else np.dtype("<u2")
    words = np.frombuffer(content[: len(content) // width.itemsize * width.itemsize], width).tolist()
    entries: list[int] = []
    try:
        _expand(words, width.itemsize, 0, len(words), entries, may_refer=True)
    except IndexError:
        raise CannotDecode("A segmented palette ends in the middle of a segment.") from None
    if len(entries) < count:
        raise CannotDecode(
            "The image's palette is missing, or has fewer entries than its descriptor announces."
        )
    return np.asarray(entries[:count], np.uint16)


def _expand(
    words: list[int], width: int, at: int, segments: int, entries: list[int], *, may_refer: bool
) -> None:
    """Expand so many segments from a place on: discrete ones, linear ones, and references to others."""
    while at < len(words) and segments and len(entries) <= _MOST_ENTRIES:
        kind, length = words[at], words[at + 1]
        if kind == 0:
            entries += words[at + 2 : at + 2 + length]
            at += 2 + length
        elif kind == 1:
            begin, end = entries[-1], words[at + 2]
            entries += [round(begin + (end - begin) * step / length) for step in range(1, length + 1)]
            at += 3
        elif kind == 2 and may_refer:
            # The place is in bytes from the beginning of the data: two words, or four bytes, low ones first.
            parts = words[at + 2 : at + 2 + 4 // width]
            place = sum(part << 8 * width * number for number, part in enumerate(parts)) // width
            _expand(words, width, place, length, entries, may_refer=False)
            at += 2 + len(parts)
        else:
            raise CannotDecode("A segmented palette has a segment of an unknown kind.")
        segments -= 1
