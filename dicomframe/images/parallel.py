"""Parallel planes of an object with a grid of its own, and where the voxels of a volume lie between them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from dicomframe.errors import DecodeError
from dicomframe.images.geometry import unit_directions

if TYPE_CHECKING:
    from dicomframe.images.volume import Volume

Floats = NDArray[np.float64]

#: How far two planes may lie apart and still be one, in mm; files keep few decimals.
SAME_PLANE = 0.01
#: How far the ends of a row or column may lie apart along an axis and still be at one place on it, in mm.
_ALIKE = 1e-6


@dataclass(frozen=True, eq=False)
class ParallelPlanes:
    """Planes of equal pixels, side by side along their normal, at whatever distances.

    Parameters
    ----------
    origins : ndarray, shape (planes, 3)
        The middle of each plane's first pixel, in mm of the patient, sorted along the normal.
    axes : ndarray, shape (3, 3)
        Unit vectors: the normal, down a column of pixels, along a row of them.
    spacing : (float, float)
        From row to row and from column to column, in mm (PS3.3 10.7.1.3).
    """

    origins: Floats
    axes: Floats
    spacing: tuple[float, float]

    @property
    def heights(self) -> Floats:
        """Each plane's distance from the patient's origin along the normal, in mm, rising."""
        heights: Floats = self.origins @ self.axes[0]
        return heights

    def places(self, onto: Volume) -> Iterator[tuple[Floats, Floats, Floats]]:
        """Tell for each slice of a volume where its voxels lie.

        Yields
        ------
        height, row, column : ndarray
            Height in mm along the normal; fractional row and column in the plane at that height. Their shapes
            broadcast to (rows, columns): where the grids are parallel, there is one height a slice.
        """
        steps, heights = onto.affine[:3, :3], self.heights
        # The planes of a tilted gantry are shifted against each other: each height has an origin of its own.
        origins = self.origins @ self.axes.T
        for number in range(onto.array.shape[0]):
            start = onto.affine[:3, 3] + number * steps[:, 0]
            height, down, right = (self._along(axis, start, onto) for axis in range(3))
            row, column = (
                (along - np.interp(height, heights, origins[:, axis])) / self.spacing[axis - 1]
                for axis, along in ((1, down), (2, right))
            )
            yield height, row, column

    def _along(self, axis: int, start: Floats, onto: Volume) -> Floats:
        """Project a slice's voxels on one of the axes, in mm; where rows or columns are alike, only one of them."""
        along = np.full((1, 1), self.axes[axis] @ start)
        for direction, shape in ((1, (-1, 1)), (2, (1, -1))):
            step = float(self.axes[axis] @ onto.affine[:3, direction])
            size = onto.array.shape[direction]
            if abs(step) * size > _ALIKE:
                along = along + step * np.arange(size).reshape(shape)
        return along


def axes_of(orientation: Sequence[float]) -> Floats:
    """Turn Image Orientation (Patient) into the axes of `ParallelPlanes` (PS3.3 C.7.6.2.1.1).

    Raises
    ------
    DecodeError
        If these are not two unit vectors at a right angle.

    Examples
    --------
    >>> axes_of([1, 0, 0, 0, 1, 0]).tolist()
    [[0.0, 0.0, 1.0], [0.0, 1.0, 0.0], [1.0, 0.0, 0.0]]
    """
    numbers = np.asarray([float(number) for number in orientation])
    if numbers.shape != (6,) or not np.isfinite(numbers).all():
        raise DecodeError("Image Orientation (Patient) must be six numbers.")
    pair = unit_directions(numbers)
    if pair is None:
        raise DecodeError("Image Orientation (Patient) must be two unit vectors at a right angle.")
    right, down = pair
    down = down - (down @ right) * right
    down = down / np.linalg.norm(down)
    return np.stack([np.cross(right, down), down, right])


def parallel_planes(
    positions: Sequence[Sequence[float]], axes: Floats, spacing: tuple[float, float]
) -> tuple[ParallelPlanes, NDArray[np.intp]]:
    """Sort planes by their positions along the normal, never by their order in a file.

    Parameters
    ----------
    positions : sequence of three floats
        Image Position (Patient) of each frame.
    axes, spacing
        As of `ParallelPlanes`.

    Returns
    -------
    ParallelPlanes
        Frames at one place share a plane.
    planes : ndarray of int
        The plane of each frame.
    """
    origins = np.asarray(positions, dtype=np.float64).reshape(-1, 3)
    heights = origins @ axes[0]
    order = np.argsort(heights, kind="stable")
    starts = np.diff(heights[order], prepend=-np.inf) > SAME_PLANE
    planes = np.empty(len(order), dtype=np.intp)
    planes[order] = np.cumsum(starts) - 1
    return ParallelPlanes(origins[order[starts]], axes, spacing), planes


def nearest(sorted_heights: Floats, heights: Floats) -> NDArray[np.intp]:
    """Give the index of the nearest of some sorted heights, the lower one of two that are as near."""
    if len(sorted_heights) == 1:
        return np.zeros(heights.shape, dtype=np.intp)
    middles = (sorted_heights[1:] + sorted_heights[:-1]) / 2
    return np.searchsorted(middles, heights)
