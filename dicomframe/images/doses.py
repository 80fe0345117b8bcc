"""RT doses (PS3.3 C.8.8.3): scaled, and seen from the grid of a volume."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from dicomframe.errors import DecodeError
from dicomframe.images.layers import Overlay, Overlays, palette_colour
from dicomframe.images.parallel import Floats, ParallelPlanes, axes_of, parallel_planes
from dicomframe.images.pixels import pixels
from dicomframe.images.reading import reading
from dicomframe.images.units import unit_of

if TYPE_CHECKING:
    from pydicom import Dataset

    from dicomframe.images.volume import Volume

#: How far beyond its outermost points a dose still counts, in their distances: what rounding does.
_EDGE = 1e-3


def doses(ds: Dataset, onto: Volume) -> Overlays:
    """Lay an RT Dose over a volume.

    Parameters
    ----------
    ds : pydicom.Dataset
        Its values are multiplied by Dose Grid Scaling.
    onto : Volume

    Returns
    -------
    Overlays
        One, of kind ``"dose"``: interpolated linearly between the points of the dose's grid, NaN beyond them.

    Raises
    ------
    DecodeError
        If there is no grid, no scaling or no readable pixels, or the offsets of the planes make no sense.
    """
    with reading("the dose"):
        scaling = ds.get("DoseGridScaling")
        if scaling is None:
            raise DecodeError("The dose has no Dose Grid Scaling, so that its values mean nothing.")
        stack, order = _planes_of(ds)
        values = pixels(ds)
        if values.ndim != 3 or len(values) != len(order):
            raise DecodeError(f"The dose has {len(values)} frames, but places for {len(order)}.")
        # float32 holds 16-bit values exactly and 32-bit ones to seven digits.
        grid = (values[order] * float(scaling)).astype(np.float32)
        label = " ".join(str(part) for part in ("Dose", ds.get("DoseSummationType") or "") if part)
        array = _resampled(grid, stack, onto)
        found = Overlays([Overlay(label, "dose", palette_colour(0), array, unit_of(ds))])
        if np.isnan(array).all():
            found.report(label, "beside the volume", "the dose grid", "No voxel of the volume lies in it.")
    return found


def _planes_of(ds: Dataset) -> tuple[ParallelPlanes, NDArray[np.intp]]:
    """Give the planes of a dose by their heights, and the frame of each."""
    if not ds.get("ImagePositionPatient") or not ds.get("ImageOrientationPatient"):
        raise DecodeError("The dose has no Image Position or Image Orientation (Patient).")
    origin = np.asarray([float(each) for each in ds.ImagePositionPatient])
    axes = axes_of(ds.ImageOrientationPatient)
    down, right = (float(each) for each in ds.PixelSpacing)
    if origin.shape != (3,) or not down > 0 or not right > 0:
        raise DecodeError("The dose's position or pixel spacing is malformed.")
    positions = origin + _offsets(ds, origin, axes)[:, None] * axes[0]
    stack, planes = parallel_planes(positions.tolist(), axes, (down, right))
    if len(stack.origins) != len(planes):
        raise DecodeError("Two planes of the dose lie at the same place.")
    return stack, np.argsort(planes)


def _offsets(ds: Dataset, origin: Floats, axes: Floats) -> Floats:
    """Read Grid Frame Offset Vector in both its forms: from the first plane, or patient z (PS3.3 C.8.8.3.2)."""
    given = ds.get("GridFrameOffsetVector")
    if given is None or given == "":
        return np.zeros(1)
    offsets = np.atleast_1d(np.asarray(given, dtype=np.float64))
    if not np.isfinite(offsets).all() or offsets.size == 0:
        raise DecodeError("The offsets of the dose's planes are no numbers.")
    if offsets[0] == 0:
        return offsets
    if abs(abs(axes[0][2]) - 1) < 1e-4 and abs(offsets[0] - origin[2]) < 0.01:
        absolute: Floats = (offsets - origin[2]) * np.sign(axes[0][2])
        return absolute
    raise DecodeError(
        "The offsets of the dose's planes begin neither with 0 nor, in a transverse dose, with the z of its position."
    )


def _resampled(grid: NDArray[np.float32], stack: ParallelPlanes, onto: Volume) -> NDArray[Any]:
    """Interpolate a dose at the voxels of a volume."""
    from scipy.ndimage import map_coordinates

    heights = stack.heights
    last = np.asarray(grid.shape, dtype=np.float64) - 1
    out = np.full(onto.array.shape, np.nan, dtype=np.float32)
    thick = abs(float(stack.axes[0] @ onto.affine[:3, 0])) / 2
    for number, (height, row, column) in enumerate(stack.places(onto)):
        if len(heights) > 1:
            plane = np.interp(height, heights, np.arange(len(heights), dtype=np.float64))
            slack = _EDGE * float(np.diff(heights).min())
            inside = (height >= heights[0] - slack) & (height <= heights[-1] + slack)
        else:
            plane, inside = np.zeros_like(height), np.abs(height - heights[0]) <= thick
        across = (column >= -_EDGE) & (column <= last[2] + _EDGE)
        inside = np.broadcast_to(inside & (row >= -_EDGE) & (row <= last[1] + _EDGE) & across, out.shape[1:])
        if inside.any():
            where = [np.broadcast_to(each, out.shape[1:])[inside] for each in (plane, row, column)]
            places = np.clip(where, 0.0, last[:, None])
            out[number][inside] = map_coordinates(grid, places, order=1, mode="nearest", prefilter=False)
    return out
