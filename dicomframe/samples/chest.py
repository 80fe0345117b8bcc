"""The thorax, drawn on a canvas: from the domes of the diaphragm to the tops of the lungs."""

from __future__ import annotations

import math
from itertools import pairwise

from dicomframe.samples.canvas import Canvas, Dice, Point
from dicomframe.samples.tissues import Tissue as T  # noqa: N817 - it stands in every line

#: The outline inside the ribs: (z, x, y, x radius, y radius), z = 0 at the branching of the windpipe.
_CAVITY = [
    (-150.0, 0.0, 0.0, 132.0, 90.0),
    (-90.0, 0.0, 0.0, 134.0, 92.0),
    (-30.0, 0.0, -2.0, 130.0, 90.0),
    (30.0, 0.0, 2.0, 122.0, 84.0),
    (70.0, 0.0, 8.0, 108.0, 74.0),
    (100.0, 0.0, 16.0, 86.0, 58.0),
    (120.0, 0.0, 26.0, 58.0, 40.0),
    (132.0, 0.0, 32.0, 14.0, 12.0),
]

#: Muscles of the left side, as stacks of ellipses, and their turn in degrees; the right side mirrors them.
_WALL_MUSCLES = (
    ([(-190.0, 27.0, 97.0, 24.0, 14.0), (140.0, 25.0, 94.0, 22.0, 13.0)], 0.0),  # erector spinae
    (
        [(10.0, 62.0, -88.0, 44.0, 8.0), (50.0, 84.0, -76.0, 58.0, 12.0), (112.0, 100.0, -56.0, 56.0, 13.0)],
        24.0,
    ),
    ([(40.0, 92.0, -66.0, 26.0, 7.0), (104.0, 104.0, -42.0, 24.0, 7.0)], 24.0),  # pectorals, major and minor
    (
        [(-30.0, 146.0, 34.0, 9.0, 40.0), (40.0, 150.0, 36.0, 14.0, 34.0), (90.0, 146.0, 22.0, 16.0, 24.0)],
        -14.0,
    ),
    (
        [(10.0, 112.0, 74.0, 26.0, 9.0), (60.0, 112.0, 72.0, 44.0, 12.0), (125.0, 112.0, 62.0, 44.0, 14.0)],
        -38.0,
    ),
    (
        [(20.0, 108.0, 52.0, 24.0, 7.0), (70.0, 112.0, 48.0, 36.0, 12.0), (125.0, 108.0, 38.0, 36.0, 13.0)],
        -38.0,
    ),
    (
        [(-40.0, 40.0, 108.0, 44.0, 5.0), (60.0, 46.0, 100.0, 46.0, 7.0), (140.0, 56.0, 80.0, 52.0, 10.0)],
        -10.0,
    ),
    ([(100.0, 158.0, -4.0, 12.0, 20.0), (150.0, 150.0, 4.0, 30.0, 34.0)], 0.0),  # deltoid
)


def draw_chest(canvas: Canvas, *, female: bool = False) -> None:
    """Draw a thorax.

    Parameters
    ----------
    canvas : Canvas
        Covering about 400 by 290 mm; z from -150 (liver) to 150 mm (shoulders).
    female : bool
        Whether it has breasts.
    """
    _draw_wall(canvas, female=female)
    canvas.column(T.FAT, [(z, x, y, rx + 3, ry + 3) for z, x, y, rx, ry in _CAVITY], boxy=0.25)
    canvas.column(T.LUNG, _CAVITY, boxy=0.25)
    _draw_mediastinum(canvas)
    _draw_below_diaphragm(canvas)
    _draw_heart(canvas)
    _draw_great_vessels(canvas)
    _draw_airways(canvas)
    _draw_lung_vessels(canvas)
    draw_spine(canvas, -185.0, 190.0, canal_y=86.0)
    _draw_ribs(canvas)
    _draw_shoulder_girdle(canvas)


def _draw_wall(canvas: Canvas, *, female: bool) -> None:
    outline = [
        (-190.0, 0.0, 4.0, 166.0, 118.0),
        (-60.0, 0.0, 4.0, 170.0, 120.0),
        (30.0, 0.0, 4.0, 172.0, 116.0),
        (80.0, 0.0, 8.0, 176.0, 108.0),
        (120.0, 0.0, 14.0, 168.0, 92.0),
        (150.0, 0.0, 18.0, 132.0, 80.0),
        (182.0, 0.0, 14.0, 66.0, 62.0),
    ]
    if female:
        for side in (-1, 1):
            canvas.ellipsoid(T.SKIN, (side * 76.0, -104.0, -12.0), (62.0, 48.0, 62.0))
            canvas.ellipsoid(T.FAT, (side * 76.0, -104.0, -12.0), (60.0, 46.0, 60.0))
            canvas.ellipsoid(
                T.GLAND, (side * 78.0, -122.0, -14.0), (30.0, 20.0, 30.0), bend=3.0, only=[T.FAT]
            )
    canvas.column(T.SKIN, outline, boxy=0.3)
    canvas.column(T.FAT, [(z, x, y, rx - 2.5, ry - 2.5) for z, x, y, rx, ry in outline], boxy=0.3)
    lower = [station for station in outline if station[0] <= 30.0]
    for label, by_x, by_y, bend in (
        (T.MUSCLE, 15.0, 12.0, 1.6),
        (T.FAT, 25.0, 21.0, 1.6),
        (T.MUSCLE, 27.5, 22.5, 1.2),
    ):
        canvas.column(
            label, [(z, x, y, rx - by_x, ry - by_y) for z, x, y, rx, ry in lower], boxy=0.3, bend=bend
        )
    canvas.column(T.MUSCLE, [(z, x, y, rx + 10.0, ry + 9.0) for z, x, y, rx, ry in _CAVITY], boxy=0.25)
    for side in (-1, 1):
        for stations, turn in _WALL_MUSCLES:
            canvas.column(
                T.MUSCLE,
                [(z, side * x, y, rx, ry) for z, x, y, rx, ry in stations],
                turn=side * turn,
                bend=1.2,
                only=[T.FAT, T.MUSCLE],
            )


def _draw_mediastinum(canvas: Canvas) -> None:
    canvas.column(
        T.FAT,
        [
            (-150.0, 10.0, 20.0, 46.0, 66.0),
            (-60.0, 12.0, 10.0, 40.0, 90.0),
            (0.0, 4.0, 10.0, 34.0, 84.0),
            (50.0, 0.0, 14.0, 34.0, 72.0),
            (100.0, 0.0, 22.0, 42.0, 62.0),
            (150.0, 0.0, 20.0, 60.0, 60.0),
        ],
        bend=1.8,
    )
    # The paravertebral gutters: lung reaches back on both sides of the spine.
    for side in (-1, 1):
        canvas.column(
            T.LUNG,
            [
                (-120.0, side * 52.0, 70.0, 24.0, 20.0),
                (0.0, side * 48.0, 70.0, 24.0, 22.0),
                (80.0, side * 42.0, 62.0, 18.0, 20.0),
            ],
            only=[T.FAT],
        )


def _draw_below_diaphragm(canvas: Canvas) -> None:
    inside = [T.LUNG, T.FAT]
    canvas.ellipsoid(T.LIVER, (-58.0, 4.0, -150.0), (78.0, 80.0, 78.0), only=inside, bend=1.5)
    canvas.ellipsoid(T.LIVER, (10.0, -38.0, -160.0), (80.0, 46.0, 66.0), only=inside, bend=1.5)
    canvas.ellipsoid(T.FAT, (66.0, 6.0, -160.0), (66.0, 78.0, 72.0), only=[T.LUNG])
    canvas.ellipsoid(T.SPLEEN, (88.0, 40.0, -152.0), (34.0, 44.0, 52.0), only=inside, bend=1.5)
    canvas.ellipsoid(T.STOMACH, (52.0, -18.0, -150.0), (46.0, 40.0, 48.0), only=inside, bend=1.5)
    canvas.ellipsoid(T.GAS, (54.0, -42.0, -140.0), (34.0, 18.0, 34.0), only=[T.STOMACH])


def _draw_heart(canvas: Canvas) -> None:
    canvas.ellipsoid(T.FAT, (22.0, -28.0, -62.0), (66.0, 56.0, 56.0), turn=35.0, only=[T.LUNG, T.FAT])
    canvas.ellipsoid(T.HEART, (24.0, -28.0, -60.0), (62.0, 50.0, 54.0), turn=35.0, only=[T.LUNG, T.FAT])
    canvas.ellipsoid(T.BLOOD, (42.0, -20.0, -66.0), (33.0, 21.0, 36.0), turn=38.0, bend=0.7, only=[T.HEART])
    canvas.ellipsoid(T.BLOOD, (16.0, -54.0, -64.0), (36.0, 15.0, 38.0), turn=30.0, bend=0.7, only=[T.HEART])
    canvas.ellipsoid(T.BLOOD, (-26.0, -32.0, -52.0), (22.0, 28.0, 34.0), bend=0.7)
    canvas.ellipsoid(T.BLOOD, (4.0, 14.0, -32.0), (32.0, 17.0, 24.0), bend=0.7)
    for side in (-1, 1):  # pulmonary veins into the left atrium
        canvas.tube(
            T.BLOOD,
            [(4.0, 12.0, -30.0), (side * 42.0 + 2, 22.0, -32.0), (side * 60.0, 30.0, -44.0)],
            [8, 6, 4],
        )


def _draw_great_vessels(canvas: Canvas) -> None:
    canvas.column(
        T.BLOOD,
        [(-190.0, 16.0, 42.0, 11.0, 11.0), (-60.0, 24.0, 44.0, 12.0, 12.0), (38.0, 26.0, 42.0, 13.0, 13.0)],
        bend=0.4,
    )
    canvas.tube(
        T.BLOOD,
        [(4, -24, -38), (-12, -32, -5), (-10, -28, 24), (0, -12, 42), (14, 14, 48), (26, 40, 36)],
        14.0,
    )
    canvas.tube(
        T.BLOOD, [(24, -46, -28), (22, -38, -4), (24, -18, 8), (34, 8, 8), (48, 24, 2)], [14, 14, 13, 10, 8]
    )
    canvas.tube(T.BLOOD, [(22, -26, 4), (2, -6, 2), (-26, -2, 0), (-50, 6, -6)], [12, 10, 10, 8])
    canvas.tube(T.VEIN, [(-26, -32, -30), (-27, -24, 30), (-26, -22, 70)], [10, 9, 8])
    canvas.tube(T.VEIN, [(-26, -22, 66), (4, -38, 62), (30, -34, 80), (40, -20, 120)], [7, 6, 6, 6])
    canvas.tube(T.VEIN, [(-26, -22, 66), (-34, -18, 100), (-42, -10, 140)], 7.0)
    canvas.tube(T.VEIN, [(-22, 6, -150), (-24, -4, -100), (-26, -24, -70)], 13.0)
    for path in (
        [(4, -8, 46), (-14, -4, 80), (-24, 0, 130)],
        [(10, 0, 48), (22, 2, 90), (28, 4, 140)],
        [(18, 14, 48), (32, 18, 84), (50, 16, 125)],
    ):
        canvas.tube(T.BLOOD, [(float(x), float(y), float(z)) for x, y, z in path], 5.0)


def _draw_airways(canvas: Canvas) -> None:
    for wall, extra in ((T.MUSCLE, 1.8), (T.BRONCHUS, 0.0)):
        canvas.tube(wall, [(0, 22, 2), (-2, 18, 50), (-1, 10, 100), (0, 4, 155)], 8.5 + extra)
        canvas.tube(
            wall,
            [(0, 22, 2), (-24, 22, -14), (-44, 24, -32), (-56, 34, -58)],
            [8 + extra, 7 + extra, 5 + extra, 3.2],
        )
        canvas.tube(
            wall,
            [(0, 22, 2), (26, 24, -16), (46, 28, -34), (58, 38, -62)],
            [8 + extra, 6.5 + extra, 5 + extra, 3.2],
        )
        canvas.tube(wall, [(-30, 22, -10), (-52, 14, 8), (-66, 6, 24)], [4.5 + extra, 3 + extra, 2])
        canvas.tube(wall, [(34, 24, -16), (54, 12, 2), (66, 0, 18)], [4.5 + extra, 3 + extra, 2])
    canvas.column(
        T.MUSCLE,
        [(-130.0, 12.0, 26.0, 9.0, 7.0), (0.0, 8.0, 38.0, 9.0, 6.0), (150.0, 6.0, 24.0, 8.0, 6.0)],
        bend=0.4,
        only=[T.FAT, T.LUNG],
    )


def _draw_lung_vessels(canvas: Canvas) -> None:
    """Let arteries and veins branch from each hilum into the lung, thinner at each fork."""
    dice = Dice("lung vessels")
    for side in (-1, 1):
        for number in range(20):
            around = (number + dice.uniform(-0.3, 0.3)) * math.tau / 20
            rise = dice.uniform(-0.75, 0.65)
            start = (side * 44.0 + 2.0, 14.0 + 8 * math.sin(around), -8.0 + 18 * math.cos(around))
            heading = (side * dice.uniform(0.25, 0.9), math.sin(around), rise + 0.6 * math.cos(around))
            _branch(canvas, dice, start, heading, dice.uniform(3.4, 4.6), 34.0)


def _branch(canvas: Canvas, dice: Dice, start: Point, heading: Point, radius: float, length: float) -> None:
    size = math.sqrt(sum(part * part for part in heading)) or 1.0
    path = [start]
    for _ in range(3):
        heading = tuple(part / size + dice.uniform(-0.22, 0.22) for part in heading)  # type: ignore[assignment]
        size = math.sqrt(sum(part * part for part in heading)) or 1.0
        path.append(tuple(at + part / size * length / 3 for at, part in zip(path[-1], heading, strict=True)))  # type: ignore[arg-type]
    canvas.tube(T.LUNG_VESSEL, path, [radius, radius * 0.95, radius * 0.85, radius * 0.75], only=[T.LUNG])
    if radius < 1.0:
        return
    for _ in range(2):
        aside = tuple(part / size + dice.uniform(-0.75, 0.75) for part in heading)
        _branch(canvas, dice, path[-1], aside, radius * dice.uniform(0.62, 0.74), length * 0.86)  # type: ignore[arg-type]


def draw_spine(
    canvas: Canvas, low: float, high: float, *, canal_y: float, size: float = 1.0, step: float = 25.0
) -> None:
    """Draw vertebrae, discs, arches and processes around a straight canal.

    Parameters
    ----------
    canvas : Canvas
    low, high : float
        From where to where, z in mm.
    canal_y : float
        Where the canal lies.
    size : float
        1.0 for the middle of the thorax, more for the loins.
    step : float
        From one disc to the next, in mm.
    """
    front = canal_y - 22.0 * size
    z = low
    while z < high:
        middle = z + step / 2
        body = (18.0 * size, 15.0 * size, step * 0.42)
        canvas.column(
            T.DISC,
            [(z - step * 0.12, 0, front, body[0], body[1]), (z + step * 0.12, 0, front, body[0], body[1])],
            bend=0.3,
        )
        canvas.column(
            T.BONE,
            [
                (middle - body[2], 0, front, body[0] + 1.5, body[1] + 1),
                (middle, 0, front, body[0] - 1, body[1]),
                (middle + body[2], 0, front, body[0] + 1.5, body[1] + 1),
            ],
            bend=0.3,
        )
        canvas.column(
            T.MARROW,
            [
                (middle - body[2] + 1.5, 0, front, body[0] - 1, body[1] - 1.5),
                (middle, 0, front, body[0] - 3, body[1] - 2),
                (middle + body[2] - 1.5, 0, front, body[0] - 1, body[1] - 1.5),
            ],
            bend=0.3,
        )
        for side in (-1, 1):
            canvas.tube(
                T.BONE,
                [(side * 11 * size, front + 10 * size, middle + 4), (side * 13 * size, canal_y, middle + 3)],
                4.5 * size,
            )
            canvas.tube(
                T.BONE,
                [(side * 13 * size, canal_y + 3, middle), (side * 36 * size, canal_y + 9, middle + 2)],
                4.0 * size,
            )
            canvas.tube(
                T.BONE,
                [(side * 12 * size, canal_y + 4, middle - 2), (0, canal_y + 14 * size, middle - 6)],
                3.6 * size,
            )
        canvas.tube(
            T.BONE,
            [(0, canal_y + 13 * size, middle - 6), (0, canal_y + 24 * size, middle - 14)],
            [4.0, 3.2],
            flat=1.6,
        )
        z += step
    canvas.column(T.FAT, [(low, 0, canal_y, 10.5, 9.0), (high, 0, canal_y, 10.5, 9.0)], bend=0.2)
    canvas.column(T.CSF, [(low, 0, canal_y, 8.5, 7.5), (high, 0, canal_y, 8.5, 7.5)], bend=0.2)
    canvas.column(T.CORD, [(low, 0, canal_y, 5.0, 4.0), (high, 0, canal_y, 5.0, 4.0)], bend=0.2)


def _cavity_at(z: float) -> tuple[float, float, float]:
    """Give centre y and both radii of the cavity's outline at a height."""
    for (z0, _, y0, rx0, ry0), (z1, _, y1, rx1, ry1) in pairwise(_CAVITY):
        if z <= z1:
            part = max(0.0, (z - z0) / (z1 - z0))
            return y0 + (y1 - y0) * part, rx0 + (rx1 - rx0) * part, ry0 + (ry1 - ry0) * part
    return _CAVITY[-1][2:5]


def _draw_ribs(canvas: Canvas) -> None:
    for number in range(12):
        top = 122.0 - 23.0 * number
        drop = min(30.0 + 9.0 * number, 85.0)
        last = 0.97 if number < 10 else 0.55 - 0.15 * (number - 10)
        for side in (-1, 1):
            path: list[Point] = [(side * 20.0, 74.0, top)]
            for step in range(1, 25):
                along = last * step / 24
                angle = 0.42 + along * (math.pi - 0.65)
                z = top - drop * along * (1.25 - 0.25 * along)
                y, rx, ry = _cavity_at(z)
                path.append((side * (rx + 5.0) * math.sin(angle), y + (ry + 5.0) * math.cos(angle), z))
            bony = path[: 20 if number < 10 else len(path)]
            canvas.tube(T.CARTILAGE, path[19:], 4.5, flat=1.3)
            canvas.tube(T.BONE, bony, 4.4, flat=1.35)
            canvas.tube(T.MARROW, bony[1:], 2.4, flat=1.2, only=[T.BONE])
    canvas.column(
        T.BONE,
        [(-62.0, 0.0, -98.0, 12.0, 5.0), (40.0, 0.0, -92.0, 18.0, 6.0), (84.0, 0.0, -72.0, 27.0, 7.0)],
        bend=0.3,
    )
    canvas.column(
        T.MARROW,
        [(-60.0, 0.0, -98.0, 10.0, 3.0), (40.0, 0.0, -92.0, 16.0, 4.0), (82.0, 0.0, -72.0, 25.0, 5.0)],
        bend=0.3,
    )


def _draw_shoulder_girdle(canvas: Canvas) -> None:
    for side in (-1, 1):
        for wide, label in ((6.0, T.BONE), (3.5, T.MARROW)):
            canvas.tube(
                label,
                [(side * 14, -68, 92), (side * 50, -62, 104), (side * 95, -30, 118), (side * 150, -14, 124)],
                wide,
            )
        for number in range(9):
            z = 112.0 - 14.0 * number
            short = max(0.0, number - 3) * 9.0
            canvas.tube(
                T.BONE,
                [
                    (side * 72.0, 96.0 - 2 * number, z),
                    (side * (112.0 - short / 2), 84.0 - number, z),
                    (side * (146.0 - short), 52.0, z),
                ],
                3.0,
                flat=2.6,
                only=[T.MUSCLE, T.FAT],
            )
