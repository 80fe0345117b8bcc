"""Counting pixel values of any number of images in bounded memory, exactly.

The bins' width is a power of two, and their edges are multiples of it. Where values reach beyond the bins that there is
room for, the width doubles and neighbours join, so no count is ever moved over an edge and the order of the images
does not matter.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

from dicomframe.images.pixels import frame_count, frame_pixels
from dicomframe.images.reading import reading
from dicomframe.images.units import unit_of
from dicomframe.images.windowing import padding_of

if TYPE_CHECKING:
    from pydicom import Dataset

#: 64 KB a tally; every whole number of 13 bits has a bin of its own.
_ROOM: Final = 8192
#: The finest bin, as a fraction (in bits) of the largest value.
_FINEST_BITS: Final = 40


@dataclass(eq=False)
class Tally:
    """How many values there are in each bin.

    Parameters
    ----------
    width : float
        Of a bin, in the values' unit: a power of two.
    first : int
        The first bin begins at ``first * width``.
    counts : ndarray of int64
        Values in each bin, its lower edge included.

    Examples
    --------
    >>> tally = Tally.of(np.array([3, 4, 4]))
    >>> tally.edges.tolist(), tally.counts.tolist()
    ([3.0, 4.0, 5.0], [1, 2])
    """

    width: float = 0.0
    first: int = 0
    counts: NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, dtype=np.int64))

    @classmethod
    def of(cls, values: NDArray[Any], room: int = _ROOM) -> Tally:
        """Count finite values: bins of width 1 for whole numbers that there is room for, else as narrow as fits."""
        if values.size == 0:
            return cls()
        low, high = float(values.min()), float(values.max())
        is_whole = values.dtype.kind in "iub" or bool((values == np.floor(values)).all())
        finest = max(abs(low), abs(high), np.finfo(np.float64).tiny * 2.0**_FINEST_BITS) * 2.0**-_FINEST_BITS
        # A slice of nothing but one value says nothing of how fine the others are.
        width = 1.0 if is_whole and low < high else 2.0 ** np.ceil(np.log2(max((high - low) / room, finest)))
        width = max(width, 2.0 ** np.ceil(np.log2(finest)))
        while np.floor(high / width) - np.floor(low / width) >= room:
            width *= 2
        first = int(np.floor(low / width))
        places = (np.floor(values / width) - first).astype(np.int64).ravel()
        return cls(float(width), first, np.bincount(places).astype(np.int64))

    @property
    def edges(self) -> NDArray[np.float64]:
        """The bins' edges, one more than bins."""
        return np.arange(self.first, self.first + len(self.counts) + 1) * np.float64(self.width)

    def widened(self, width: float) -> Tally:
        """Give the same counts in bins of a larger width, a power of two."""
        if not len(self.counts) or width <= self.width:
            return self
        # By shifting: floor division by a power of two, also of negative places.
        doublings = min(round(np.log2(width) - np.log2(self.width)), 62)
        places = np.arange(self.first, self.first + len(self.counts)) >> doublings
        counts = np.zeros(places[-1] - places[0] + 1, dtype=np.int64)
        np.add.at(counts, places - places[0], self.counts)
        return Tally(width, int(places[0]), counts)

    def __add__(self, other: Tally) -> Tally:
        """Give both counts together, in bins as wide as they must be."""
        if not len(self.counts) or not len(other.counts):
            return self if len(self.counts) else other
        width = max(self.width, other.width)
        while True:
            one, two = self.widened(width), other.widened(width)
            first = min(one.first, two.first)
            length = max(one.first + len(one.counts), two.first + len(two.counts)) - first
            if length <= _ROOM:
                break
            width *= 2
        counts = np.zeros(length, dtype=np.int64)
        for each in (one, two):
            counts[each.first - first : each.first - first + len(each.counts)] += each.counts
        return Tally(width, first, counts)


@dataclass(eq=False)
class PixelCount:
    """What was counted of some images, of one line of a histogram.

    Parameters
    ----------
    label : str
        What the line is: a modality, or a series.
    unit : str
        Of the values: ``"HU"``, ``"Bq/ml"``, or empty where the images tell none.
    tally : Tally
        The counted values.
    images, pixels : int
        How many images, and pixels counted in them.
    padding, undefined : int
        Pixels left out: padding (Pixel Padding Value, PS3.3 C.7.5.1.1.2), and NaN or infinity.
    """

    label: str
    unit: str
    tally: Tally = field(default_factory=Tally)
    images: int = 0
    pixels: int = 0
    padding: int = 0
    undefined: int = 0

    def add(self, other: PixelCount) -> None:
        """Count another's in."""
        self.tally += other.tally
        self.images += other.images
        self.pixels += other.pixels
        self.padding += other.padding
        self.undefined += other.undefined


@reading("the image")
def count_pixels(ds: Dataset, label: str) -> PixelCount | None:
    """Count an image's pixels in the modality's unit (PS3.3 C.11.1), a frame at a time; None for colour.

    Raises
    ------
    DecodeError
        If there is no pixel data, or it cannot be decoded.

    Examples
    --------
    >>> from pydicom import dcmread, examples
    >>> count = count_pixels(dcmread(examples.get_path("ct")), "CT")
    >>> count.unit, count.pixels
    ('HU', 16384)
    """
    from dicomframe.images.lut import modality_values

    found = PixelCount(label, unit_of(ds), images=1)
    for number in range(frame_count(ds)):
        stored = frame_pixels(ds, number)
        if stored.ndim != 2:
            return None
        padding = padding_of(stored, ds)
        values = modality_values(stored[~padding], ds, number)
        finite = values[np.isfinite(values)]
        found.padding += int(padding.sum())
        found.undefined += values.size - finite.size
        found.pixels += finite.size
        found.tally += Tally.of(finite)
    return found
