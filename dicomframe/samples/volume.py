"""From drawn anatomy to the slices of one patient: bent, cut, with the noise of a scanner."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

from dicomframe.samples.abdomen import draw_abdomen
from dicomframe.samples.canvas import Canvas, Dice, Floats, smooth_noise
from dicomframe.samples.chest import draw_chest
from dicomframe.samples.head import draw_head
from dicomframe.samples.spine import draw_spine_from_side
from dicomframe.samples.tissues import Tissue, look_up_table


def _chest_of_woman(canvas: Canvas) -> None:
    draw_chest(canvas, female=True)


#: Region -> what draws it, its extent (x, y, z from-to) and voxel size (x, y, z), in mm, and how much outlines wobble.
_Region = tuple[Callable[[Canvas], None], tuple[tuple[float, float, float], ...], float]
_REGIONS: dict[str, _Region] = {
    "chest-M": (draw_chest, ((-192, 192, 1.5), (-142, 142, 1.5), (-124, 126, 5)), 3.0),
    "chest-F": (_chest_of_woman, ((-192, 192, 1.5), (-176, 142, 1.5), (-124, 126, 5)), 3.0),
    "head": (draw_head, ((-94, 94, 1.0), (-116, 110, 1.0), (-74, 90, 3)), 2.5),
    "abdomen": (draw_abdomen, ((-182, 182, 1.5), (-124, 132, 1.5), (-126, 106, 5)), 3.0),
    "spine": (draw_spine_from_side, ((-50, 50, 4), (-122, 112, 1.3), (-132, 137, 1.3)), 3.0),
}

#: Tissues that look alike everywhere but are never smooth: label -> deviation of their fine structure, as a part of
#: the value's distance from water or zero signal.
_TEXTURE = {
    Tissue.LUNG: 0.035,
    Tissue.MARROW: 0.22,
    Tissue.BONE: 0.10,
    Tissue.STOOL: 0.5,
    Tissue.FAT: 0.07,
    Tissue.MUSCLE: 0.10,
    Tissue.LIVER: 0.035,
    Tissue.SPLEEN: 0.035,
    Tissue.WHITE: 0.03,
    Tissue.GREY: 0.05,
    Tissue.GLAND: 0.5,
}


@dataclass(frozen=True, eq=False)
class Anatomy:
    """Values of one kind of image on the grid on which a region was drawn.

    Parameters
    ----------
    x, y, z : ndarray of float32
        Coordinates of the voxel centres, in mm.
    values : ndarray of float32, shape (z, y, x)
    """

    x: Floats
    y: Floats
    z: Floats
    values: Floats


@dataclass(frozen=True, slots=True)
class Lesion:
    """A round finding: where its middle lies in the drawn anatomy, its radius in mm, its tissue and that of its rim."""

    x: float
    y: float
    z: float
    radius: float
    tissue: Tissue
    rim: Tissue | None = None


@cache
def draw(region: str) -> Canvas:
    """Draw a region once."""
    painter, extent, wobble = _REGIONS[region]
    x, y, z = (np.arange(low, high, step, dtype=np.float32) for low, high, step in extent)
    canvas = Canvas(x, y, z, region, wobble)
    painter(canvas)
    return canvas


@cache
def anatomy(region: str, kind: str) -> Anatomy:
    """Give a region as one kind of image shows it, with the fine structure of its tissues.

    Parameters
    ----------
    region : str
        ``"chest-M"``, ``"chest-F"``, ``"head"``, ``"abdomen"`` or ``"spine"``.
    kind : str
        As for `look_up_table`.
    """
    canvas = draw(region)
    table = look_up_table(kind)
    share = np.zeros(256, dtype=np.float32)
    for tissue, part in _TEXTURE.items():
        share[tissue] = part
    values = table[canvas.labels]
    grain = Dice("grain", region).normal(values.shape)
    grain = grain + 0.5 * (np.roll(grain, 1, axis=2) + np.roll(grain, 1, axis=1))
    values += grain * (share * np.abs(table))[canvas.labels]
    # Places beyond the drawn ones take the values of its edge, which is air unless the body fills the field.
    if region != "spine":
        values[:, [0, -1], :] = values[:, :, [0, -1]] = table[Tissue.AIR]
    return Anatomy(canvas.x, canvas.y, canvas.z, values)


@dataclass(frozen=True, slots=True)
class Shape:
    """How one body differs from the drawn one.

    Parameters
    ----------
    wide, deep : float
        Its size over the drawn one's.
    shift : float
        How much higher its organs lie, in mm.
    bend : float
        How far places are moved about, in mm.
    seed : str
    """

    wide: float
    deep: float
    shift: float
    bend: float
    seed: str


def sections(
    source: Anatomy, shape: Shape, across: Floats, back: Floats, heights: Sequence[float], thickness: float,
    lesions: Sequence[tuple[Lesion, float, float]] = (),
) -> Floats:  # fmt: skip
    """Cut axial sections of one patient.

    Parameters
    ----------
    source : Anatomy
    shape : Shape
    across, back : ndarray
        Patient x and y of the columns and rows, in mm.
    heights : sequence of float
        Patient z of each section's middle, in mm.
    thickness : float
        In mm.
    lesions : sequence of (Lesion, value, value of the rim)
        What is put over the anatomy.

    Returns
    -------
    ndarray of float32, shape (sections, rows, columns)
    """
    dice = Dice("shape", shape.seed)
    grid_x, grid_y = np.meshgrid(across / np.float32(shape.wide), back / np.float32(shape.deep))
    grid_x = grid_x + smooth_noise(dice, (back, across), 70.0) * np.float32(shape.bend)
    grid_y = grid_y + smooth_noise(dice, (back, across), 70.0) * np.float32(shape.bend)
    slabs = np.stack([_slab(source, height - shape.shift, thickness) for height in heights])
    cut = _interpolated(slabs, _places(source.x, grid_x), _places(source.y, grid_y))
    for lesion, value, rim in lesions:
        _put_lesion(cut, lesion, (grid_x, grid_y), [height - shape.shift for height in heights], (value, rim))
    return cut


def _slab(source: Anatomy, height: float, thickness: float) -> Floats:
    """Average the drawn planes within half a thickness of a height, weighted by how near they are."""
    step = float(source.z[1] - source.z[0])
    reach = max(thickness, step) / 2 + step / 2
    weights = np.clip(reach - np.abs(source.z - np.float32(height)), 0.0, None)
    total = float(weights.sum())
    if total == 0.0:  # above or below what was drawn: its last plane
        nearest: Floats = source.values[0 if height < source.z[0] else -1]
        return nearest
    out = np.zeros(source.values.shape[1:], dtype=np.float32)
    for plane in np.flatnonzero(weights):
        out += source.values[plane] * np.float32(weights[plane] / total)
    return out


def _places(axis: Floats, wanted: Floats) -> Floats:
    places: Floats = np.clip((wanted - axis[0]) / (axis[1] - axis[0]), 0.0, len(axis) - 1.001).astype(
        np.float32
    )
    return places


def _interpolated(slabs: Floats, column: Floats, row: Floats) -> Floats:
    """Sample every slab at the same fractional rows and columns, linearly."""
    left, top = column.astype(np.intp), row.astype(np.intp)
    right, down = (column - left).astype(np.float32), (row - top).astype(np.float32)
    width = slabs.shape[2]
    flat = slabs.reshape(len(slabs), -1)
    corner = (top * width + left).ravel()
    out = np.zeros((len(slabs), corner.size), dtype=np.float32)
    for offset, weight in (
        (0, (1 - right) * (1 - down)),
        (1, right * (1 - down)),
        (width, (1 - right) * down),
        (width + 1, right * down),
    ):
        out += np.take(flat, corner + offset, axis=1) * weight.ravel()
    return out.reshape(len(slabs), *column.shape)


def _put_lesion(
    cut: Floats,
    lesion: Lesion,
    grid: tuple[Floats, Floats],
    heights: Sequence[float],
    values: tuple[float, float],
) -> None:
    """Blend a lesion in, with a soft and uneven outline."""
    x, y = grid[0] - lesion.x, grid[1] - lesion.y
    angle_free = 1.0 + 0.16 * np.sin(0.21 * x + 1.0) * np.cos(0.17 * y + 0.4)
    flat = (x * x + y * y) * angle_free.astype(np.float32)
    for number, height in enumerate(heights):
        distance = np.sqrt(flat + np.float32((height - lesion.z) ** 2))
        if distance.min() > lesion.radius * 2.2:
            continue
        for value, radius in (
            (values[1], lesion.radius * (1.8 if lesion.rim is not None else 0.0)),
            (values[0], lesion.radius),
        ):
            if radius:
                inside = np.clip(
                    (np.float32(radius) - distance) / np.float32(2.0) + np.float32(0.5), 0.0, 1.0
                )
                cut[number] += (np.float32(value) - cut[number]) * inside


def add_couch(cut: Floats, across: Floats, back: Floats, below: float) -> None:
    """Put the table under a body: a thin shell, hollow, curved like a cradle.

    Parameters
    ----------
    cut : ndarray of float32, shape (sections, rows, columns)
        In Hounsfield units; changed in place.
    across, back : ndarray
        Patient x of the columns and y of the rows, in mm.
    below : float
        Where its middle begins, in mm.
    """
    upper = np.float32(below) - np.float32(26.0) * (across / np.float32(200.0)) ** 2
    depth = back[:, None] - upper[None, :]
    shell = np.clip(1.4 - np.abs(depth - 1.5) / 2.0, 0.0, 1.0) + np.clip(
        1.4 - np.abs(depth - 22.0) / 2.0, 0.0, 1.0
    )
    core = ((depth > 1.5) & (depth < 22.0)).astype(np.float32)
    couch = np.where(np.abs(across) < 205.0, np.maximum(shell * 780.0, core * 130.0) - 1000.0, -1000.0)
    np.maximum(cut, couch.astype(np.float32)[None], out=cut)


def ct_values(cut: Floats, dice: Dice, deviation: float) -> NDArray[np.int16]:
    """Give what a CT scanner stores for these Hounsfield units: with grain, plus 1024, from 0 to 4095."""
    grain = dice.normal(cut.shape)
    # Reconstruction smooths neighbours and leaves a faint texture across.
    grain[:, 1:, :] += grain[:, :-1, :] * np.float32(0.55)
    grain[:, :, 1:] += grain[:, :, :-1] * np.float32(0.55)
    noisy = cut + grain * np.float32(deviation / 1.3)
    noisy += np.float32(1024.5)
    stored: NDArray[np.int16] = np.clip(noisy, 0, 4095, out=noisy).astype(np.int16)
    return stored


def mr_values(cut: Floats, dice: Dice, deviation: float, axes: tuple[Floats, Floats]) -> NDArray[np.int16]:
    """Give what an MR scanner stores for these signals: shaded by the coil, with noise as a magnitude has it."""
    shading = 1.0 + np.float32(0.09) * smooth_noise(dice, axes, 120.0)
    signal = cut * shading[None]
    real = signal + dice.normal(cut.shape) * np.float32(deviation)
    imaginary = dice.normal(cut.shape) * np.float32(deviation)
    magnitude = np.sqrt(real * real + imaginary * imaginary)
    stored: NDArray[np.int16] = np.clip(magnitude + np.float32(0.5), 0, 4095).astype(np.int16)
    return stored
