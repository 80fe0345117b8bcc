"""The lumbar spine, drawn on a canvas that is looked at from the side."""

from __future__ import annotations

from itertools import pairwise

import numpy as np

from dicomframe.samples.canvas import Canvas, Dice, smooth_noise
from dicomframe.samples.tissues import Tissue as T  # noqa: N817 - it stands in every line

#: Middle of each vertebral body from the twelfth thoracic down: (y, z, lean of its plates, y radius, z radius).
_BODIES = (
    (12.0, 128.0, 0.10, 15.0, 12.0),
    (5.0, 98.0, 0.12, 16.0, 12.5),
    (-2.0, 65.0, 0.10, 16.5, 13.0),
    (-8.0, 31.0, 0.04, 17.0, 13.5),
    (-10.0, -4.0, -0.06, 17.5, 13.5),
    (-6.0, -39.0, -0.22, 17.5, 13.0),
    (8.0, -70.0, -0.62, 16.0, 12.0),
    (26.0, -92.0, -0.85, 12.0, 10.0),
    (40.0, -108.0, -0.95, 9.0, 8.0),
)


def draw_spine_from_side(canvas: Canvas) -> None:
    """Draw loins and lower back.

    Parameters
    ----------
    canvas : Canvas
        x from -50 to 50, y from -130 to 120, z from -140 to 145 mm.
    """
    canvas.column(
        T.SKIN, [(-150.0, 0, 0, 400, 101), (0.0, 0, -8, 400, 104), (150.0, 0, 4, 400, 106)], bend=0.3
    )
    canvas.column(T.FAT, [(-150.0, 0, 0, 400, 98), (0.0, 0, -8, 400, 101), (150.0, 0, 4, 400, 103)], bend=0.3)
    canvas.column(
        T.MUSCLE, [(-150.0, 0, 6, 400, 66), (0.0, 0, -8, 400, 76), (150.0, 0, 8, 400, 78)], bend=0.8
    )
    canvas.column(
        T.FAT, [(-150.0, 0, -30, 400, 50), (0.0, 0, -50, 400, 46), (150.0, 0, -34, 400, 52)], bend=1.6
    )
    dice = Dice("loops")
    for _ in range(46):
        at = (dice.uniform(-40, 40), dice.uniform(-86, -34), dice.uniform(-140, 140))
        size, filled = dice.uniform(9, 15), (T.STOMACH, T.STOOL, T.STOOL)[dice.below(3)]
        canvas.ellipsoid(T.BOWEL, at, (size * 1.3, size, size), bend=2.5, only=[T.FAT])
        canvas.ellipsoid(filled, at, (size, size - 3.0, size - 3.0), bend=2.5, only=[T.BOWEL])
    for side in (-1, 1):
        canvas.column(
            T.MUSCLE,
            [(-150.0, side * 44.0, -6.0, 20.0, 24.0), (120.0, side * 34.0, 6.0, 12.0, 16.0)],
            bend=0.6,
        )
        canvas.column(
            T.MUSCLE,
            [(-150.0, side * 28.0, 60.0, 23.0, 26.0), (150.0, side * 26.0, 58.0, 20.0, 24.0)],
            bend=0.6,
        )
    canvas.column(T.FAT, [(-150.0, 0, 74.0, 5.0, 26.0), (150.0, 0, 74.0, 4.0, 24.0)], bend=0.3)
    path = [(0.0, y - ry - 12.0, z) for y, z, _, ry, _ in _BODIES[:7]]
    canvas.tube(T.BLOOD, [(10.0, y, z) for _, y, z in path], 8.0)
    canvas.tube(T.VEIN, [(-16.0, y + 1, z) for _, y, z in path], 9.0)
    # Fat runs between the bundles of the muscles of the back.
    streaks = np.abs(smooth_noise(Dice("streaks"), (canvas.z, canvas.y, canvas.x), 26.0)) < 0.055
    canvas.labels[streaks & (canvas.labels == T.MUSCLE)] = T.FAT
    _draw_column(canvas)
    _draw_canal(canvas)


def _draw_column(canvas: Canvas) -> None:
    for (y, z, lean, ry, _), (next_y, next_z, next_lean, next_ry, _) in pairwise(_BODIES):
        middle_y, middle_z = (y + next_y) / 2, (z + next_z) / 2
        tilt = (lean + next_lean) / 2
        wide = min(ry, next_ry)
        canvas.slab(T.DISC, (0.0, middle_y, middle_z), (23.0, wide + 1.5, 8.0), lean=tilt)
        canvas.slab(T.NUCLEUS, (0.0, middle_y - 1.0, middle_z), (14.0, wide * 0.62, 3.6), lean=tilt)
    for number, (y, z, lean, ry, rz) in enumerate(_BODIES):
        canvas.slab(T.BONE, (0.0, y, z), (23.0, ry + 1.0, rz + 0.8), lean=lean)
        canvas.slab(T.MARROW, (0.0, y, z), (22.0, ry, rz - 0.4), lean=lean)
        canvas.tube(T.VEIN, [(0.0, y + 2.0, z), (0.0, y + ry, z)], 1.2)
        if number > 6:
            continue
        back = y + ry + 28.0
        for side in (-1, 1):
            canvas.tube(T.BONE, [(side * 14.0, y + ry - 2, z + 5), (side * 16.0, back - 8, z - 2)], 6.0)
            canvas.tube(T.MARROW, [(side * 14.0, y + ry - 2, z + 5), (side * 16.0, back - 8, z - 2)], 4.5)
            canvas.ellipsoid(T.BONE, (side * 17.0, back - 10.0, z - 16.0), (7.0, 7.0, 15.0), bend=0.3)
            canvas.ellipsoid(T.MARROW, (side * 17.0, back - 10.0, z - 16.0), (5.0, 5.0, 13.0), bend=0.3)
        canvas.tube(T.BONE, [(0.0, back - 4, z - 8), (0.0, back + 20, z - 18)], [5.0, 7.0], flat=1.5)
        canvas.tube(T.MARROW, [(0.0, back - 4, z - 8), (0.0, back + 19, z - 18)], [3.4, 5.4], flat=1.5)


def _draw_canal(canvas: Canvas) -> None:
    walls = [T.FAT, T.MUSCLE, T.BONE, T.MARROW, T.DISC, T.LIGAMENT]
    canal = [(0.0, y + ry + 9.0, z) for y, z, _, ry, _ in _BODIES[:8]]
    canvas.tube(T.FAT, [(x, y + 3, z) for x, y, z in canal], 10.5, only=walls)
    canvas.tube(T.LIGAMENT, canal[:7], 8.8, only=walls)
    canvas.tube(T.CSF, canal[:7], [8.2, 8.2, 8.2, 8.2, 8.0, 7.0, 3.0])
    canvas.tube(
        T.CORD, [(x, y + 0.5, z) for x, y, z in canal[:2]] + [(0.0, canal[2][1], 82.0)], [4.4, 4.4, 1.5]
    )
    for number in range(9):  # the cauda equina: roots that sink to the back and leave one by one
        x = (number - 4) * 1.5
        canvas.tube(
            T.CORD,
            [
                (x * 0.5, canal[1][1] + 2, 92.0),
                (x, canal[2][1] + 4.2, 60.0),
                (x, canal[4][1] + 4.4 - abs(x) * 0.3, -4.0),
                (x * 1.2, canal[5][1] + 2, -42.0),
            ],
            0.8,
            only=[T.CSF],
        )
