"""VOI LUTs: tables that an image has in place of a window, or beside one (PS3.3 C.11.2.1.1)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from dicomframe.images.lut import may_be_negative, table_of_item

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

    def __call__(self, values: NDArray[Any]) -> NDArray[np.uint8]:
        """Look values up; those before and after the table take its first and last entry, no number is black."""
        places = np.floor(np.asarray(values, dtype=np.float64)) - self.first
        is_number = ~np.isnan(places)
        inside = np.clip(np.where(is_number, places, 0.0), 0, len(self.grey) - 1).astype(np.intp)
        return np.where(is_number, self.grey[inside], 0).astype(np.uint8)


def voi_lut_count(ds: Dataset) -> int:
    """Give how many VOI LUTs an image has; of floating point pixels none, for which there are no tables."""
    return len(ds.get("VOILUTSequence") or []) if "PixelData" in ds else 0


def voi_lut_of(ds: Dataset, number: int = 0, frame: int = 0) -> VoiLut:
    """Read one of an image's VOI LUTs.

    Parameters
    ----------
    ds : pydicom.Dataset
    number : int
        Which, from 0 to `voi_lut_count` - 1.
    frame : int
        Whose rescale helps to decide whether values may be negative, from 0.

    Raises
    ------
    DecodeError
        If its descriptor or data are missing or disagree.
    """
    item = ds.VOILUTSequence[number]
    entries, first, _ = table_of_item(item, is_signed=may_be_negative(ds, frame))
    scaled = entries * 255.0 / max(float(entries.max()), 1.0)
    name = str(item.get("LUTExplanation") or "")
    return VoiLut(name, first, np.floor(scaled + 0.5).astype(np.uint8))
