"""VOI LUTs: tables that an image has in place of a window, or beside one (PS3.3 C.11.2.1.1)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from dicomframe.errors import DecodeError
from dicomframe.images.lut import functional_group, may_be_negative, table_of_item
from dicomframe.images.reading import reading

if TYPE_CHECKING:
    from pydicom import Dataset


@dataclass(frozen=True, slots=True, eq=False)
class VoiLut:
    """One item of a VOI LUT Sequence, its entries brought to 0 … 255.

    Parameters
    ----------
    name : str
        LUT Explanation (0028,3003), as the file has it; may be empty.
    first : int
        The value, in the modality's unit, that becomes ``grey[0]``.
    grey : ndarray of uint8, shape (n,)
        What it and the values after it become. Scanners announce 16 bits for entries that end at 4095, so the
        greatest entry is white, not the greatest that the bits could hold.

    Examples
    --------
    >>> VoiLut("", 10, np.array([0, 128, 255], np.uint8))(np.array([-5.0, 10.9, 11.0, 99.0, np.nan])).tolist()
    [0, 0, 128, 255, 0]
    """

    name: str
    first: int
    grey: NDArray[np.uint8]

    @property
    def key(self) -> tuple[int, bytes]:
        """What tells it from another: two with one key show the same, whatever their names; of few bytes."""
        return self.first, sha256(self.grey.tobytes()).digest()

    def __call__(self, values: NDArray[Any]) -> NDArray[np.uint8]:
        """Look values up; those before and after the table take its first and last entry, no number is black."""
        places = np.floor(np.asarray(values, dtype=np.float64)) - self.first
        is_number = ~np.isnan(places)
        inside = np.clip(np.where(is_number, places, 0.0), 0, len(self.grey) - 1).astype(np.intp)
        return np.where(is_number, self.grey[inside], 0).astype(np.uint8)


def _items(ds: Dataset, frame: int) -> Sequence[Dataset]:
    """Give the items of a frame's own VOI LUT Sequence (PS3.3 C.7.6.16.2.10), else of the image's."""
    if "PixelData" not in ds:
        return []  # for floating point pixels there are no tables
    group = functional_group(ds, frame, "FrameVOILUTSequence")
    own = None if group is None else group.get("VOILUTSequence")
    found: Sequence[Dataset] = own or ds.get("VOILUTSequence") or []
    return found


def voi_luts_of(ds: Dataset, frame: int = 0) -> tuple[list[VoiLut], str]:
    """Give the VOI LUTs of one frame that can be read, and what is to be said of the others.

    Parameters
    ----------
    ds : pydicom.Dataset
    frame : int
        From 0; also whose rescale helps to decide whether values may be negative.

    Returns
    -------
    luts : list of VoiLut
        In the order of the file. A frame without a window is shown with the first; without any, by its values.
    note : str
        Which could not be read, by their numbers from 1; empty where all could.

    Examples
    --------
    >>> from pydicom import Dataset
    >>> ds = Dataset()
    >>> ds.PixelData, ds.VOILUTSequence = b"", [Dataset()]
    >>> voi_luts_of(ds)
    ([], 'VOI LUT 1 of the image cannot be read.')
    """
    luts, broken = [], []
    for number, item in enumerate(_items(ds, frame), 1):
        try:
            with reading("a VOI LUT"):
                luts.append(_read(item, is_signed=may_be_negative(ds, frame)))
        except DecodeError:
            broken.append(str(number))
    note = f"VOI LUT {', '.join(broken)} of the image cannot be read." if broken else ""
    return luts, note


def luts_differ(ds: Dataset, frames: Iterable[int]) -> bool:
    """Tell whether some frames of one image have other VOI LUTs than the rest.

    Examples
    --------
    >>> from pydicom import Dataset
    >>> luts_differ(Dataset(), range(3))
    False
    """
    # Shared items are the same object for each frame, so that a table of 64 KB is read once.
    found = {id(items) if items else None: frame for frame in frames for items in [_items(ds, frame)]}
    several = (voi_luts_of(ds, frame)[0] for frame in found.values()) if len(found) > 1 else ()
    return len({tuple(lut.key for lut in luts) for luts in several}) > 1


def _read(item: Dataset, *, is_signed: bool) -> VoiLut:
    entries, first, _ = table_of_item(item, is_signed=is_signed)
    scaled = entries * 255.0 / max(float(entries.max()), 1.0)
    name = str(item.get("LUTExplanation") or "")
    return VoiLut(name, first, np.floor(scaled + 0.5).astype(np.uint8))
