"""A chest radiograph: the drawn thorax seen through by X-rays from behind."""

from __future__ import annotations

from functools import cache

import numpy as np
from numpy.typing import NDArray

from dicomframe.samples.canvas import Canvas, Dice, Floats, smooth_noise
from dicomframe.samples.chest import draw_chest
from dicomframe.samples.tissues import look_up_table
from dicomframe.samples.volume import Lesion, Shape

#: Rows and columns of the picture.
SIZE = 400
#: mm a pixel, for a body of the drawn size; the field is set to the patient.
SPACING = 0.8


@cache
def _thickness(region: str) -> tuple[Floats, Floats, Floats]:
    """Give x, z and how much the rays are weakened on their way through, in mm of water, shape (z, x)."""
    x = np.arange(-186, 187, 1.3, dtype=np.float32)
    y = np.arange(-150, 136, 3.0, dtype=np.float32)
    z = np.arange(-176, 176, 1.6, dtype=np.float32)
    canvas = Canvas(x, y, z, region, 3.0)
    draw_chest(canvas, female=region.endswith("F"))
    hu = look_up_table("plain").copy()
    water = np.maximum(1.0 + hu / 1000.0, 0.0)
    water[hu > 200] = (
        1.0 + hu[hu > 200] / 1000.0 * 1.7
    )  # bone weakens more than its density at these energies
    through = np.zeros((len(z), len(x)), dtype=np.float32)
    for row in range(len(y)):
        through += water.astype(np.float32)[canvas.labels[:, row, :]]
    return x, z, through * np.float32(3.0)


def spacing_for(shape: Shape) -> float:
    """Give the pixel spacing at which a body fills the picture, in mm."""
    return round(SPACING * shape.wide, 2)


def chest_radiograph(region: str, shape: Shape, lesions: tuple[Lesion, ...]) -> NDArray[np.uint16]:
    """Give a posteroanterior radiograph, bright where rays were weakened.

    Parameters
    ----------
    region : {"chest-M", "chest-F"}
    shape : Shape
    lesions : tuple of Lesion
        Nodules that show.

    Returns
    -------
    ndarray of uint16, shape (SIZE, SIZE)
        12 bits; the patient's right is at the left.
    """
    dice = Dice("radiograph", shape.seed)
    x, z, through = _thickness(region)
    across = (np.arange(SIZE, dtype=np.float32) - SIZE / 2 + 0.5) * np.float32(spacing_for(shape))
    down = -across + np.float32(4.0)
    grid_x, grid_z = np.meshgrid(across / np.float32(shape.wide), down / np.float32(shape.wide))
    grid_x = grid_x + smooth_noise(dice, (across, across), 90.0) * np.float32(shape.bend)
    grid_z = (
        grid_z + smooth_noise(dice, (across, across), 90.0) * np.float32(shape.bend) - np.float32(shape.shift)
    )
    seen = _sampled(through, (grid_z - z[0]) / (z[1] - z[0]), (grid_x - x[0]) / (x[1] - x[0]))
    for lesion in lesions:
        flat = (grid_x - lesion.x) ** 2 + (grid_z - lesion.z) ** 2
        seen += 2 * np.sqrt(np.clip(lesion.radius**2 - flat, 0.0, None))
    coarse = seen.copy()
    for _ in range(3):  # what the processing of the plate takes away: differences over wide areas
        coarse = _blurred(coarse, 20)
    seen = seen + np.float32(0.9) * (seen - coarse) - np.float32(0.30) * coarse
    seen += dice.normal(seen.shape) * np.float32(1.1)
    low, high = (float(number) for number in np.percentile(seen, [2.0, 99.3]))
    grey = np.clip((seen - low) / (high - low), 0.0, 1.0) * 3600.0 + 300.0
    _burn_marker(grey)
    stored: NDArray[np.uint16] = grey.astype(np.uint16)
    return stored


def _sampled(values: Floats, row: Floats, column: Floats) -> Floats:
    row, column = np.clip(row, 0, values.shape[0] - 1.001), np.clip(column, 0, values.shape[1] - 1.001)
    top, left = row.astype(np.intp), column.astype(np.intp)
    down, right = (row - top).astype(np.float32), (column - left).astype(np.float32)
    upper = values[top, left] * (1 - right) + values[top, left + 1] * right
    lower = values[top + 1, left] * (1 - right) + values[top + 1, left + 1] * right
    mixed: Floats = (upper * (1 - down) + lower * down).astype(np.float32)
    return mixed


def _blurred(values: Floats, reach: int) -> Floats:
    """Average over a square, by running sums."""
    for axis in (0, 1):
        width = [(reach + 1, reach) if dimension == axis else (0, 0) for dimension in (0, 1)]
        total = np.cumsum(np.pad(values, width, mode="edge"), axis=axis, dtype=np.float64)
        size = 2 * reach + 1
        last = np.take(total, range(size, total.shape[axis]), axis=axis)
        first = np.take(total, range(total.shape[axis] - size), axis=axis)
        values = ((last - first) / size).astype(np.float32)
    return values


_L = ("#....", "#....", "#....", "#....", "#....", "#....", "#####")


def _burn_marker(grey: Floats) -> None:
    """Put a lead L beside the patient's left shoulder."""
    for row, line in enumerate(_L):
        for column, dot in enumerate(line):
            if dot == "#":
                grey[20 + 3 * row : 23 + 3 * row, SIZE - 40 + 3 * column : SIZE - 37 + 3 * column] = 4080.0
