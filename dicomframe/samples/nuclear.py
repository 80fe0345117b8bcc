"""A whole-body PET: where sugar goes, drawn coarsely from the thighs to the crown."""

from __future__ import annotations

from functools import cache

import numpy as np

from dicomframe.samples.canvas import Canvas
from dicomframe.samples.tissues import Tissue as T  # noqa: N817 - it stands in every line
from dicomframe.samples.tissues import look_up_table
from dicomframe.samples.volume import Anatomy


@cache
def body() -> Anatomy:
    """Give the uptake (SUV) of a body; z = 0 at the branching of the windpipe, from -440 to 400 mm."""
    x = np.arange(-250, 251, 5.0, dtype=np.float32)
    y = np.arange(-160, 161, 5.0, dtype=np.float32)
    z = np.arange(-450, 412, 7.5, dtype=np.float32)
    canvas = Canvas(x, y, z, "body", 3.0)
    _draw(canvas)
    table = look_up_table("suv")
    table[T.HEART] = 4.5
    values = table[canvas.labels]
    for axis in (0, 1, 2):  # positrons travel and detectors are wide: 8 mm of blur
        shifted = np.roll(values, 1, axis=axis) + np.roll(values, -1, axis=axis)
        values = values * np.float32(0.5) + shifted * np.float32(0.25)
    return Anatomy(x, y, z, values)


def _draw(canvas: Canvas) -> None:
    trunk = [
        (-260.0, 0.0, 0.0, 165.0, 100.0), (-120.0, 0.0, 0.0, 150.0, 105.0), (0.0, 0.0, 0.0, 160.0, 108.0),
        (110.0, 0.0, 5.0, 170.0, 95.0), (150.0, 0.0, 8.0, 110.0, 70.0), (170.0, 0.0, 8.0, 62.0, 60.0),
        (230.0, 0.0, 0.0, 58.0, 62.0),
    ]  # fmt: skip
    for side in (-1, 1):
        canvas.column(T.FAT, [(-460.0, side * 80.0, 0.0, 72.0, 76.0), (-255.0, side * 84.0, 0.0, 84.0, 92.0)])
        canvas.column(
            T.MUSCLE, [(-460.0, side * 80.0, 0.0, 60.0, 64.0), (-255.0, side * 84.0, 0.0, 70.0, 78.0)]
        )
        canvas.column(
            T.MARROW, [(-460.0, side * 80.0, 0.0, 13.0, 13.0), (-250.0, side * 88.0, 0.0, 18.0, 18.0)]
        )
        canvas.tube(
            T.MUSCLE,
            [(side * 165.0, 0.0, 120.0), (side * 205.0, -20.0, 10.0), (side * 215.0, -50.0, -160.0)],
            [42, 38, 28],
        )
    canvas.column(T.FAT, trunk, boxy=0.2)
    canvas.column(T.MUSCLE, [(z, cx, cy, rx - 14, ry - 14) for z, cx, cy, rx, ry in trunk], boxy=0.2)
    canvas.column(T.FAT, [(-260.0, 0.0, -10.0, 120.0, 62.0), (-100.0, 0.0, -10.0, 116.0, 72.0)])
    for side in (-1, 1):
        canvas.column(
            T.LUNG,
            [
                (-80.0, side * 78.0, 10.0, 52.0, 66.0),
                (20.0, side * 74.0, 5.0, 50.0, 70.0),
                (115.0, side * 44.0, 20.0, 22.0, 34.0),
            ],
        )
    canvas.column(T.BLOOD, [(-60.0, 10.0, 0.0, 30.0, 40.0), (80.0, 0.0, 0.0, 24.0, 36.0)])
    canvas.ellipsoid(T.HEART, (42.0, -30.0, -62.0), (48.0, 38.0, 44.0), turn=35)
    canvas.ellipsoid(T.BLOOD, (40.0, -28.0, -62.0), (28.0, 18.0, 26.0), turn=35)
    canvas.ellipsoid(T.LIVER, (-62.0, -6.0, -122.0), (72.0, 80.0, 62.0), bend=2)
    canvas.ellipsoid(T.LIVER, (6.0, -40.0, -108.0), (66.0, 40.0, 34.0), bend=2)
    canvas.ellipsoid(T.SPLEEN, (98.0, 36.0, -118.0), (30.0, 42.0, 44.0))
    canvas.ellipsoid(T.STOMACH, (56.0, -28.0, -122.0), (38.0, 38.0, 34.0))
    for side in (-1, 1):
        canvas.ellipsoid(T.RENAL_CORTEX, (side * 64.0, 46.0, -176.0), (26.0, 28.0, 50.0))
        canvas.ellipsoid(T.URINE, (side * 54.0, 42.0, -176.0), (9.0, 9.0, 20.0))
        canvas.tube(T.URINE, [(side * 44.0, 38.0, -215.0), (side * 42.0, 30.0, -250.0)], 3.5)
    for number, (x, y, z) in enumerate(
        [
            (-80, -20, -230),
            (-40, -40, -220),
            (10, -40, -240),
            (60, -30, -225),
            (90, 0, -200),
            (20, -20, -270),
            (-50, -10, -270),
        ]
    ):
        canvas.ellipsoid(T.BOWEL, (x, y, z), (26.0 + number, 20.0, 18.0), bend=3, only=[T.FAT, T.MUSCLE])
    canvas.column(
        T.MARROW,
        [
            (-300.0, 0.0, 62.0, 26.0, 22.0),
            (-100.0, 0.0, 56.0, 23.0, 20.0),
            (120.0, 0.0, 60.0, 17.0, 17.0),
            (230.0, 0.0, 20.0, 12.0, 14.0),
        ],
    )
    canvas.column(T.CORD, [(-200.0, 0.0, 84.0, 7.0, 7.0), (230.0, 0.0, 40.0, 7.0, 7.0)])
    for side in (-1, 1):
        canvas.tube(
            T.MARROW,
            [
                (side * 30.0, 66.0, -280.0),
                (side * 88.0, 50.0, -262.0),
                (side * 110.0, 0.0, -270.0),
                (side * 90.0, 0.0, -330.0),
            ],
            14.0,
        )
    canvas.ellipsoid(T.URINE, (0.0, -22.0, -318.0), (36.0, 30.0, 28.0))
    canvas.ellipsoid(T.FAT, (0.0, 5.0, 310.0), (76.0, 96.0, 100.0))
    canvas.ellipsoid(T.MARROW, (0.0, 8.0, 322.0), (72.0, 90.0, 84.0))
    canvas.ellipsoid(T.GREY, (0.0, 10.0, 328.0), (64.0, 80.0, 72.0))
    canvas.ellipsoid(T.WHITE, (0.0, 10.0, 330.0), (42.0, 58.0, 46.0), bend=4)
    canvas.ellipsoid(T.CSF, (0.0, 10.0, 332.0), (12.0, 30.0, 16.0))
    for side in (-1, 1):
        canvas.ellipsoid(T.DEEP_GREY, (side * 20.0, 4.0, 326.0), (12.0, 20.0, 16.0))
        canvas.ellipsoid(T.MUCOSA, (side * 28.0, -20.0, 228.0), (10.0, 12.0, 14.0))
    canvas.column(T.GAS, [(60.0, 0.0, 20.0, 7.0, 7.0), (235.0, 0.0, -24.0, 10.0, 10.0)])
