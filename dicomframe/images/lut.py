"""Look-up tables of an image: modality LUT, VOI LUT and colour palette (PS3.3 C.11.1, C.11.2, C.7.6.3.1.5)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from dicomframe.errors import DecodeError

if TYPE_CHECKING:
    from pydicom import Dataset

_COLOURS = ("Red", "Green", "Blue")


def functional_group(ds: Dataset, frame: int, keyword: str) -> Dataset | None:
    """Give the item of a functional group macro that holds for one frame (PS3.3 C.7.6.16).

    Parameters
    ----------
    ds : pydicom.Dataset
        Any image; only enhanced multi-frame ones have functional groups.
    frame : int
        Frame index, from 0.
    keyword : str
        The macro's sequence: ``"PixelValueTransformationSequence"``, ``"FrameVOILUTSequence"``.

    Returns
    -------
    pydicom.Dataset or None
        The frame's own item, else the shared one, else None.
    """
    items = functional_group_items(ds, frame, keyword)
    return items[0] if items else None


def functional_group_items(ds: Dataset, frame: int, keyword: str) -> Sequence[Dataset]:
    """Give all items of a functional group macro that hold for one frame, as `functional_group` gives the first."""
    frames = ds.get("PerFrameFunctionalGroupsSequence") or []
    shared = ds.get("SharedFunctionalGroupsSequence") or []
    for group in [*frames[frame : frame + 1], *shared[:1]]:
        if group.get(keyword):
            found: Sequence[Dataset] = group[keyword].value
            return found
    return []


def look_up(values: NDArray[Any], entries: NDArray[Any], first: int) -> NDArray[Any]:
    """Map stored values through a table; values before and after it take its first and last entry.

    Parameters
    ----------
    values : ndarray of integers
        Any shape.
    entries : ndarray, shape (n, ...)
        The table.
    first : int
        The stored value that maps to ``entries[0]``.

    Returns
    -------
    ndarray
        Shape ``values.shape + entries.shape[1:]``, dtype of ``entries``.

    Examples
    --------
    >>> look_up(np.array([-5, 10, 11, 99]), np.array([7, 8, 9]), first=10).tolist()
    [7, 7, 8, 9]
    """
    index = np.clip(values.astype(np.int64) - first, 0, len(entries) - 1)
    mapped: NDArray[Any] = entries[index]
    return mapped


def table_of_item(item: Dataset, *, is_signed: bool) -> tuple[NDArray[np.uint16], int, int]:
    """Read one item of a Modality or VOI LUT Sequence.

    Parameters
    ----------
    item : pydicom.Dataset
        With LUT Descriptor and LUT Data.
    is_signed : bool
        Whether the values that are looked up may be negative.

    Returns
    -------
    entries : ndarray of uint16, shape (n,)
    first : int
        The value that maps to the first entry.
    bits : int
        Bits an entry, 8 to 16.

    Raises
    ------
    DecodeError
        If descriptor or data are missing or disagree.
    """
    count, first, bits = _descriptor(item.get("LUTDescriptor"), is_signed=is_signed)
    data = item.get("LUTData")
    if data is None:
        raise DecodeError("A look-up table has no data.")
    if not isinstance(data, bytes):  # US: words as numbers, which may hold two entries each as those of OW do
        entries = np.asarray(data, dtype="<u2").ravel()
        entries = entries if len(entries) >= count else _words(entries.tobytes(), count, entries.dtype)
    else:
        entries = _words(data, count, _word(item))
    if len(entries) < count:
        raise DecodeError(f"A look-up table of {count} entries was announced, but {len(entries)} are there.")
    return entries[:count], first, bits


def modality_values(stored: NDArray[Any], ds: Dataset, frame: int = 0) -> NDArray[np.float64]:
    """Turn stored values of one frame into the modality's unit (PS3.3 C.11.1): Hounsfield units for CT, Gy for a dose.

    Parameters
    ----------
    stored : ndarray
        Stored values of a greyscale frame, any shape.
    ds : pydicom.Dataset
        Where the rescale, the Modality LUT or, of an RT dose, the Dose Grid Scaling (PS3.3 C.8.8.3) is; per-frame
        functional groups come first.
    frame : int
        Frame index, from 0.

    Returns
    -------
    ndarray of float64
        The same shape. Without rescale and LUT, the stored values.

    Examples
    --------
    >>> from pydicom import Dataset
    >>> ds = Dataset()
    >>> ds.RescaleSlope, ds.RescaleIntercept = 1, -1024
    >>> modality_values(np.array([0, 1064]), ds).tolist()
    [-1024.0, 40.0]
    """
    if ds.get("ModalityLUTSequence"):
        entries, first, _ = table_of_item(ds.ModalityLUTSequence[0], is_signed=_is_signed(ds))
        return look_up(stored, entries, first).astype(np.float64)
    slope, intercept = rescale_of(ds, frame)
    values = stored.astype(np.float64)
    values *= slope
    values += intercept
    return values


def rescale_of(ds: Dataset, frame: int = 0) -> tuple[float, float]:
    """Give the slope and intercept of one frame: Rescale (PS3.3 C.11.1), from its functional groups first, or a dose's.

    Returns
    -------
    slope, intercept : float
        1 and 0 where one of them is missing; times Dose Grid Scaling, where there is one (C.8.8.3).

    Examples
    --------
    >>> from pydicom import Dataset
    >>> ds = Dataset()
    >>> ds.RescaleSlope, ds.RescaleIntercept = 2, -1024
    >>> rescale_of(ds), rescale_of(Dataset())
    ((2.0, -1024.0), (1.0, 0.0))
    """
    source = functional_group(ds, frame, "PixelValueTransformationSequence") or ds
    slope, intercept = source.get("RescaleSlope"), source.get("RescaleIntercept")
    if slope is None or intercept is None:
        slope, intercept = 1.0, 0.0
    scaling = ds.get("DoseGridScaling")
    scale = 1.0 if scaling is None else float(scaling)
    return float(slope) * scale, float(intercept) * scale


def may_be_negative(ds: Dataset, frame: int = 0) -> bool:
    """Tell whether the values of one frame in the modality's unit can be below 0, whether any are or not.

    Examples
    --------
    >>> from pydicom import Dataset
    >>> ds = Dataset()
    >>> ds.PixelRepresentation, ds.BitsStored, ds.RescaleSlope, ds.RescaleIntercept = 0, 12, -1, 4095
    >>> may_be_negative(ds)
    False
    >>> ds.RescaleIntercept = 0
    >>> may_be_negative(ds)
    True
    """
    if ds.get("ModalityLUTSequence"):
        return False  # its entries are unsigned
    slope, intercept = rescale_of(ds, frame)
    count = 1 << int(ds.get("BitsStored") or 16)
    least = -count // 2 if _is_signed(ds) else 0
    return min(least * slope, (least + count - 1) * slope) + intercept < 0


def palette(stored: NDArray[Any], ds: Dataset) -> NDArray[Any]:
    """Turn PALETTE COLOR values into RGB (PS3.3 C.7.6.3.1.5 and C.7.9.2).

    Parameters
    ----------
    stored : ndarray of integers
        Any shape.
    ds : pydicom.Dataset
        With the three palette descriptors and their data, plain or segmented.

    Returns
    -------
    ndarray of uint8 or uint16
        Shape ``stored.shape + (3,)``; the dtype is that of the palette's entries.

    Raises
    ------
    DecodeError
        If the palette is missing or broken.
    """
    channels = [_palette_channel(ds, colour) for colour in _COLOURS]
    first = channels[0][1]
    bits = channels[0][2]
    length = min(len(entries) for entries, _, _ in channels)
    entries = np.stack([channel[0][:length] for channel in channels], axis=-1)
    return look_up(stored, entries.astype(np.uint8 if bits == 8 else np.uint16), first)


def _palette_channel(ds: Dataset, colour: str) -> tuple[NDArray[np.uint16], int, int]:
    count, first, bits = _descriptor(
        ds.get(f"{colour}PaletteColorLookupTableDescriptor"), is_signed=_is_signed(ds)
    )
    plain = ds.get(f"{colour}PaletteColorLookupTableData")
    segmented = ds.get(f"Segmented{colour}PaletteColorLookupTableData")
    if plain:
        entries = _words(plain, count, _word(ds))
        # Eight-bit entries in sixteen-bit words occur under a descriptor of 16 bits, and the other way round.
        bits = 8 if len(plain) < 2 * count else 16
    elif segmented:
        words = np.frombuffer(segmented, dtype=np.uint8 if bits == 8 else _word(ds))
        entries = _expand(words.tolist(), words.itemsize)
    else:
        raise DecodeError("The image is PALETTE COLOR, but it has no palette.")
    if len(entries) < count:
        raise DecodeError(f"A palette of {count} entries was announced, but {len(entries)} are there.")
    return entries[:count], first, bits


def _is_signed(ds: Dataset) -> bool:
    return bool(ds.get("PixelRepresentation") == 1)


def _descriptor(value: Any, *, is_signed: bool) -> tuple[int, int, int]:
    """Read entries, first value mapped and bits; 0 entries mean 65,536 (PS3.3 C.11.1.1).

    The first value is as signed as what is looked up, but its VR often is that of the stored values.
    """
    if value is None or len(value) != 3:
        raise DecodeError("A look-up table has no descriptor of three numbers.")
    count, first, bits = (int(number) for number in value)
    count = count % 65_536 or 65_536
    if is_signed and first >= 1 << 15:
        first -= 1 << 16
    elif not is_signed and first + count <= 0:  # all of it below what there can be
        first += 1 << 16
    return count, first, bits


def _word(ds: Dataset) -> np.dtype[Any]:
    """Give the dtype of a word: pydicom leaves the bytes of OW in the order of the file."""
    return np.dtype(">u2" if ds.original_encoding[1] is False else "<u2")


def _words(data: bytes, count: int, word: np.dtype[Any]) -> NDArray[np.uint16]:
    """Read ``count`` entries, of one byte each where there are too few bytes for words."""
    width = np.dtype(np.uint8) if len(data) < 2 * count else word
    return np.frombuffer(data[: len(data) // width.itemsize * width.itemsize], dtype=width).astype(np.uint16)


def _expand(words: list[int], width: int) -> NDArray[np.uint16]:
    """Expand segmented palette data, of so many bytes a word: discrete, linear, indirect (PS3.3 C.7.9.2)."""
    out: list[int] = []
    _expand_from(words, width, 0, len(words), out, may_jump=True)
    return np.asarray(out, dtype=np.uint16)


def _expand_from(
    words: list[int], width: int, start: int, segments: int, out: list[int], *, may_jump: bool
) -> None:
    at = start
    try:
        while at < len(words) and segments > 0:
            opcode, length = words[at], words[at + 1]
            at += 2
            segments -= 1
            if opcode == 0:
                out.extend(words[at : at + length])
                at += length
            elif opcode == 1:
                begin, end = out[-1], words[at]
                out.extend(round(begin + (end - begin) * step / length) for step in range(1, length + 1))
                at += 1
            elif opcode == 2 and may_jump:
                # Bytes from the beginning of the data, in two words or four bytes, the low ones first.
                parts = words[at : at + 4 // width]
                target = sum(part << 8 * width * place for place, part in enumerate(parts)) // width
                at += len(parts)
                _expand_from(words, width, target, length, out, may_jump=False)
            else:
                raise DecodeError(f"The segmented palette has the unknown segment type {opcode}.")
    except IndexError:
        raise DecodeError("The segmented palette ends in the middle of a segment.") from None
