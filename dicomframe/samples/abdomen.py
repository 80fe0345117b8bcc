"""The upper abdomen, drawn on a canvas: from the lung bases to the crests of the hip bones."""

from __future__ import annotations

import math
from itertools import pairwise

from dicomframe.samples.canvas import Canvas, Dice, Point
from dicomframe.samples.chest import draw_spine
from dicomframe.samples.tissues import Tissue as T  # noqa: N817 - it stands in every line

_OUTLINE = [
    (-160.0, 0.0, 2.0, 172.0, 112.0),
    (-80.0, 0.0, 0.0, 164.0, 112.0),
    (0.0, 0.0, 2.0, 162.0, 114.0),
    (80.0, 0.0, 2.0, 168.0, 116.0),
    (140.0, 0.0, 2.0, 170.0, 118.0),
]


def draw_abdomen(canvas: Canvas) -> None:
    """Draw an abdomen.

    Parameters
    ----------
    canvas : Canvas
        Covering about 380 by 280 mm; z from -140 (hip bones) to 110 mm (lung bases), 0 at the renal veins.
    """
    _draw_wall(canvas)
    _draw_lung_bases(canvas)
    _draw_bowel(canvas)
    _draw_upper_organs(canvas)
    _draw_kidneys(canvas)
    draw_spine(canvas, -150.0, 130.0, canal_y=78.0, size=1.25, step=34.0)
    _draw_vessels(canvas)
    _draw_bones(canvas)


def _draw_wall(canvas: Canvas) -> None:
    canvas.column(T.SKIN, _OUTLINE, boxy=0.25)
    for label, by_x, by_y in ((T.FAT, 2.5, 2.5), (T.MUSCLE, 20.0, 18.0)):
        canvas.column(
            label, [(z, x, y, rx - by_x, ry - by_y) for z, x, y, rx, ry in _OUTLINE], boxy=0.25, bend=1.3
        )
    # A fat plane divides the oblique muscles; inside all is fat until organs fill it.
    for label, by in ((T.FAT, 25.0), (T.MUSCLE, 26.5), (T.FAT, 32.0)):
        canvas.column(
            label, [(z, x, y, rx - by, ry - by + 4) for z, x, y, rx, ry in _OUTLINE], boxy=0.25, bend=1.3
        )
    for side in (-1, 1):
        canvas.column(
            T.MUSCLE,
            [(-150.0, side * 32.0, -90.0, 28.0, 6.0), (120.0, side * 32.0, -94.0, 28.0, 5.0)],
            bend=0.6,
        )
        canvas.column(
            T.MUSCLE,
            [(-150.0, side * 36.0, 92.0, 30.0, 17.0), (120.0, side * 30.0, 92.0, 25.0, 16.0)],
            bend=0.7,
        )
        canvas.column(
            T.MUSCLE,
            [
                (-150.0, side * 46.0, 40.0, 24.0, 24.0),
                (-60.0, side * 42.0, 46.0, 18.0, 22.0),
                (40.0, side * 30.0, 54.0, 8.0, 11.0),
            ],
            bend=0.6,
        )
        canvas.column(
            T.MUSCLE,
            [(-110.0, side * 72.0, 76.0, 24.0, 10.0), (10.0, side * 62.0, 78.0, 18.0, 9.0)],
            turn=side * -25.0,
            bend=0.6,
        )


def _draw_lung_bases(canvas: Canvas) -> None:
    for side in (-1, 1):
        canvas.column(
            T.LUNG,
            [
                (58.0, side * 66.0, 66.0, 4.0, 4.0),
                (80.0, side * 72.0, 52.0, 42.0, 34.0),
                (120.0, side * 74.0, 10.0, 66.0, 84.0),
            ],
            turn=side * -30.0,
        )


def _draw_upper_organs(canvas: Canvas) -> None:
    organs = [T.FAT, T.LUNG, T.BOWEL, T.STOOL, T.GAS]
    canvas.ellipsoid(T.LIVER, (-66.0, 0.0, 40.0), (74.0, 82.0, 88.0), only=organs, bend=2.2, boxy=0.2)
    canvas.ellipsoid(T.LIVER, (-8.0, -46.0, 62.0), (70.0, 38.0, 48.0), turn=14.0, only=organs, bend=1.8)
    canvas.ellipsoid(T.LIVER, (-18.0, 16.0, 50.0), (22.0, 20.0, 34.0), only=organs, bend=1.2)
    canvas.ellipsoid(T.FAT, (-22.0, -20.0, 6.0), (34.0, 22.0, 40.0), only=[T.LIVER], bend=1.5)  # hilum
    canvas.tube(
        T.FAT,
        [(-8.0, -84.0, 20.0), (-10.0, -50.0, 36.0), (-14.0, -20.0, 42.0)],
        4.0,
        flat=4.0,
        only=[T.LIVER],
    )
    canvas.ellipsoid(T.BOWEL, (56.0, -34.0, 62.0), (54.0, 46.0, 46.0), turn=20.0, only=organs, bend=1.8)
    canvas.ellipsoid(T.STOMACH, (56.0, -34.0, 62.0), (49.0, 41.0, 42.0), turn=20.0, only=[T.BOWEL], bend=1.8)
    canvas.ellipsoid(T.GAS, (58.0, -66.0, 64.0), (36.0, 16.0, 32.0), only=[T.STOMACH], bend=0.6)
    canvas.ellipsoid(
        T.SPLEEN, (102.0, 34.0, 52.0), (28.0, 46.0, 54.0), turn=16.0, only=[*organs, T.STOMACH], bend=1.6
    )
    canvas.tube(
        T.PANCREAS,
        [
            (-34.0, -8.0, -14.0),
            (-26.0, -22.0, 6.0),
            (4.0, -32.0, 16.0),
            (34.0, -10.0, 28.0),
            (66.0, 18.0, 38.0),
        ],
        [13, 12, 9, 9, 8],
        only=[*organs, T.STOMACH],
    )
    canvas.tube(
        T.BOWEL,
        [(-30.0, -34.0, 24.0), (-52.0, -18.0, 10.0), (-54.0, -2.0, -30.0), (-20.0, 2.0, -48.0)],
        12.0,
        only=[T.FAT],
    )
    canvas.tube(T.STOMACH, [(-52.0, -18.0, 10.0), (-54.0, -2.0, -30.0)], 7.0, only=[T.BOWEL])
    canvas.ellipsoid(T.BOWEL, (-46.0, -46.0, 4.0), (20.0, 26.0, 32.0), turn=-20.0, bend=0.6)
    canvas.ellipsoid(T.BILE, (-46.0, -46.0, 4.0), (18.5, 24.5, 30.0), turn=-20.0, bend=0.6)
    for side in (-1, 1):
        canvas.tube(
            T.GLAND,
            [(side * 34.0, 44.0, 50.0), (side * 40.0, 30.0, 44.0), (side * 44.0, 46.0, 38.0)],
            3.4,
            only=[T.FAT],
        )
    _draw_liver_vessels(canvas)


def _draw_liver_vessels(canvas: Canvas) -> None:
    dice = Dice("liver vessels")
    only = [T.LIVER]
    for end in (
        (-96.0, -36.0, 70.0),
        (-70.0, -56.0, 84.0),
        (-100.0, 30.0, 70.0),
    ):  # hepatic veins meet at the IVC
        middle = (end[0] * 0.55 - 12, end[1] * 0.4, 86.0)
        canvas.tube(T.PORTAL, [(-22.0, 26.0, 96.0), middle, end], [6.5, 4.5, 2.5], only=only)
        for _ in range(3):
            aside = (
                end[0] + dice.uniform(-24, 24),
                end[1] + dice.uniform(-26, 26),
                end[2] - dice.uniform(20, 60),
            )
            canvas.tube(T.PORTAL, [middle, end, aside], [3.5, 2.6, 1.3], only=only)
    trunk: list[Point] = [(-4.0, -6.0, -4.0), (-26.0, -4.0, 22.0), (-40.0, 0.0, 36.0)]
    canvas.tube(T.PORTAL, trunk, [7.5, 7.5, 6.5], only=[T.LIVER, T.FAT, T.BOWEL, T.PANCREAS])
    for number in range(11):
        around = number * math.tau / 11
        middle = (-66.0 + 18 * math.cos(around), 2.0 + 20 * math.sin(around), 36.0 + dice.uniform(-20, 20))
        end = (-70.0 + 54 * math.cos(around), 2.0 + 62 * math.sin(around), 36.0 + dice.uniform(-60, 40))
        canvas.tube(T.PORTAL, [trunk[-1], middle, end], [4.5, 3.2, 1.2], only=only)


def _draw_kidneys(canvas: Canvas) -> None:
    free = [T.FAT, T.BOWEL, T.LIVER, T.SPLEEN, T.STOOL, T.GAS, T.MUSCLE]
    for side, z in ((-1, -12.0), (1, 0.0)):
        turn = side * 28.0
        center = (side * 66.0, 44.0, z)
        canvas.ellipsoid(
            T.FAT, center, (38.0, 36.0, 66.0), turn=turn, only=[T.BOWEL, T.STOOL, T.GAS, T.LIVER, T.SPLEEN]
        )
        canvas.ellipsoid(T.RENAL_CORTEX, center, (27.0, 31.0, 54.0), turn=turn, only=free, bend=0.8)
        canvas.ellipsoid(
            T.FAT, (side * 54.0, 38.0, z), (19.0, 15.0, 34.0), turn=turn, only=[T.RENAL_CORTEX], bend=0.8
        )
        for row in range(6):
            height = z - 36.0 + 14.0 * row
            for angle in (-1.1, -0.2, 0.7, 1.6):
                at = (center[0] + side * 14.5 * math.cos(angle), center[1] + 18.0 * math.sin(angle), height)
                canvas.ellipsoid(T.RENAL_MEDULLA, at, (6.0, 6.0, 6.0), only=[T.RENAL_CORTEX, T.FAT])
        canvas.tube(
            T.URINE,
            [(side * 56.0, 38.0, z + 14), (side * 52.0, 38.0, z), (side * 44.0, 36.0, z - 20)],
            [4, 7, 3],
        )
        canvas.tube(T.URINE, [(side * 44.0, 36.0, z - 20), (side * 40.0, 26.0, -140.0)], 2.2)
        canvas.tube(
            T.VEIN,
            [(side * 52.0, 34.0, z + 2), (side * 30.0, 18.0, 0.0), (-16.0, 24.0, 2.0)],
            4.5,
            only=[T.FAT, T.MUSCLE],
        )


def _draw_bowel(canvas: Canvas) -> None:
    """Fill the middle with loops of small bowel, frame it with the colon."""
    dice = Dice("bowel")
    inside = [T.FAT]
    for level in range(11):
        z = -150.0 + 14.0 * level
        for _ in range(9):
            x, y = dice.uniform(-88, 92), dice.uniform(-74, 18)
            if (x / 98) ** 2 + ((y + 30) / 54) ** 2 > 1:
                continue
            path = [(x, y, z)]
            for _ in range(3):
                x += dice.uniform(-34, 34)
                y = min(max(y + dice.uniform(-24, 24), -76.0), 20.0)
                path.append((x, y, z + dice.uniform(-10, 10)))
            filled = (T.STOMACH, T.STOOL, T.BOWEL)[dice.below(3)]
            canvas.tube(T.BOWEL, path, 12.0, only=inside)
            canvas.tube(filled, path, 8.5, only=[T.BOWEL])
            if dice.below(3) == 0:
                canvas.tube(T.GAS, [(at[0], at[1] - 4, at[2]) for at in path[:2]], 5.0, only=[filled])
    for path in (
        [(-116.0, 26.0, -150.0), (-112.0, 14.0, -70.0), (-104.0, -10.0, -36.0)],
        [
            (-104.0, -30.0, -34.0),
            (-40.0, -78.0, -50.0),
            (36.0, -78.0, -40.0),
            (96.0, -40.0, 0.0),
            (112.0, 10.0, 10.0),
        ],
        [(114.0, 20.0, 6.0), (118.0, 34.0, -60.0), (112.0, 28.0, -150.0)],
    ):
        places = [(float(x), float(y), float(z)) for x, y, z in path]
        canvas.tube(T.BOWEL, places, 20.0, only=[T.FAT, T.BOWEL, T.STOMACH, T.STOOL])
        canvas.tube(T.STOOL, places, 17.0, only=[T.BOWEL])
        for (x, y, z), (far_x, far_y, far_z) in pairwise(places):
            for part in (0.15, 0.4, 0.65, 0.9):
                at = (
                    x + (far_x - x) * part,
                    y + (far_y - y) * part - 7,
                    z + (far_z - z) * part + dice.uniform(-8, 8),
                )
                canvas.ellipsoid(
                    T.GAS, at, (dice.uniform(6, 13), dice.uniform(5, 9), 10.0), only=[T.STOOL], bend=2.0
                )


def _draw_vessels(canvas: Canvas) -> None:
    canvas.column(
        T.BLOOD,
        [
            (-150.0, 6.0, 24.0, 8.0, 8.0),
            (-60.0, 8.0, 26.0, 9.0, 9.0),
            (60.0, 8.0, 30.0, 11.0, 11.0),
            (130.0, 16.0, 34.0, 11.5, 11.5),
        ],
        bend=0.3,
    )
    canvas.tube(T.BONE, [(16.0, 30.0, -60.0), (15.0, 32.0, -54.0)], 1.8)  # a calcified plaque
    canvas.column(
        T.VEIN,
        [
            (-150.0, -18.0, 28.0, 11.0, 9.0),
            (0.0, -18.0, 26.0, 12.0, 10.0),
            (70.0, -20.0, 24.0, 13.0, 11.0),
            (120.0, -22.0, 14.0, 13.0, 12.0),
        ],
        bend=0.4,
    )
    canvas.tube(
        T.BLOOD, [(8.0, 20.0, 22.0), (6.0, 4.0, 6.0), (4.0, -6.0, -60.0)], 4.0
    )  # superior mesenteric artery
    canvas.tube(T.VEIN, [(-8.0, -4.0, 0.0), (-8.0, -10.0, -70.0)], 5.0)
    canvas.tube(T.BLOOD, [(8.0, 22.0, 36.0), (4.0, 8.0, 38.0), (30.0, 6.0, 40.0), (76.0, 24.0, 46.0)], 3.2)
    canvas.tube(
        T.PORTAL,
        [(-4.0, -4.0, 2.0), (30.0, 4.0, 28.0), (80.0, 26.0, 44.0)],
        4.4,
        only=[T.FAT, T.PANCREAS, T.BOWEL],
    )


def _draw_bones(canvas: Canvas) -> None:
    for number in range(6):
        top = 150.0 - 24.0 * number
        last = (0.75, 0.72, 0.68, 0.62, 0.5, 0.3)[number]
        for side in (-1, 1):
            path = []
            for step in range(17):
                along = last * step / 16
                angle = 0.5 + along * 2.4
                path.append(
                    (side * 137.0 * math.sin(angle), 2.0 + 88.0 * math.cos(angle), top - 78.0 * along)
                )
            canvas.tube(T.BONE, path, 4.4, flat=1.4)
            canvas.tube(T.MARROW, path, 2.5, flat=1.3, only=[T.BONE])
    for side in (-1, 1):
        for wide, label in ((7.0, T.BONE), (4.0, T.MARROW)):
            canvas.tube(
                label,
                [
                    (side * 40.0, 78.0, -156.0),
                    (side * 84.0, 62.0, -128.0),
                    (side * 118.0, 24.0, -122.0),
                    (side * 128.0, -20.0, -146.0),
                ],
                wide,
                flat=3.0,
            )
