"""The head, drawn on a canvas: from the skull base to the vertex, with folds, ventricles and deep grey matter."""

from __future__ import annotations

import numpy as np

from dicomframe.samples.canvas import Canvas, Dice, Floats, smooth_noise
from dicomframe.samples.tissues import Tissue as T  # noqa: N817 - it stands in every line

#: Centre and radii of the brain, in mm; z = 0 at the level of the foramina of Monro.
_BRAIN = ((0.0, 2.0, 2.0), (66.0, 82.0, 72.0))


def draw_head(canvas: Canvas) -> None:
    """Draw a head.

    Parameters
    ----------
    canvas : Canvas
        Covering about 190 by 230 mm; z from -75 (skull base) to 85 mm (vertex).
    """
    _draw_skull(canvas)
    _draw_brain(canvas)
    _draw_ventricles(canvas)
    _draw_deep_grey(canvas)
    _draw_posterior_fossa(canvas)
    _draw_face(canvas)


def _grown(by: float, stretch: float = 1.0) -> tuple[float, float, float]:
    rx, ry, rz = _BRAIN[1]
    return rx + by, ry + by * stretch, rz + by


def _draw_skull(canvas: Canvas) -> None:
    center = _BRAIN[0]
    lower = (0.0, 0.0, -40.0)
    for label, by in (
        (T.SKIN, 14.5),
        (T.FAT, 12.5),
        (T.MUSCLE, 9.2),
        (T.BONE, 8.4),
        (T.MARROW, 6.2),
        (T.BONE, 4.3),
    ):
        canvas.ellipsoid(label, center, _grown(by), boxy=0.12, bend=0.35)
        canvas.ellipsoid(
            label, lower, (62.0 + by, 78.0 + by, 60.0), boxy=0.15, bend=0.35
        ) if by > 8.5 else None
    canvas.ellipsoid(T.CSF, center, _grown(2.2), boxy=0.12, bend=0.35)
    # The temples' muscles lie outside the skull, below the level of the ventricles.
    for side in (-1, 1):
        canvas.ellipsoid(
            T.MUSCLE, (side * 73.0, -28.0, -30.0), (7.0, 30.0, 40.0), only=[T.FAT, T.SKIN, T.MUSCLE]
        )


def _depth(canvas: Canvas) -> tuple[Floats, Floats]:
    """Give how deep each voxel lies in the brain, in mm about, and its bent distance from the midline."""
    (cx, cy, cz), (rx, ry, rz) = _BRAIN
    bend_x, bend_y = canvas.bend()
    x = canvas.x[None, None, :] + bend_x * np.float32(0.35) - cx
    y = canvas.y[None, :, None] + bend_y * np.float32(0.35) - cy
    z = canvas.z[:, None, None]
    aside = np.abs(x)
    u, v = (x / rx) ** 2, (y / ry) ** 2
    distance = np.sqrt(u + v - 0.12 * np.minimum(u, 1) * np.minimum(v, 1) + ((z - cz) / rz) ** 2)
    # The frontal lobes lie on the roofs of the orbits; the temporal lobes reach down beside the sphenoid.
    floor = np.interp(canvas.y, [-200.0, -30.0, 8.0], [-32.0, -34.0, -90.0]).astype(np.float32)[None, :, None]
    cerebrum = np.minimum((1.0 - distance) * 70.0, z - floor)
    temporal = np.sqrt(((aside - 41.0) / 21.0) ** 2 + ((y + 13.0) / 27.0) ** 2 + ((z + 40.0) / 24.0) ** 2)
    return np.maximum(cerebrum, (1.0 - temporal) * 21.0).astype(np.float32), aside


def _draw_brain(canvas: Canvas) -> None:
    """Fold the cortex: grey ribbons on both sides of sulci that wander where a smooth noise changes sign."""
    depth, aside = _depth(canvas)
    dice = Dice("cortex")
    axes = (canvas.z, canvas.y, canvas.x)
    fold = smooth_noise(dice, axes, 8.5) + np.float32(0.5) * smooth_noise(dice, axes, 15.0)
    # A slope of the noise of about 0.15 a mm turns its value into a distance from the bottom of the sulcus.
    sulcus = np.abs(fold) * np.float32(6.0)
    brain = depth > 0
    reach = np.float32(22.0) + np.float32(7.0) * smooth_noise(dice, axes, 18.0)  # how deep sulci go
    folded = depth < reach
    midline = aside < 60.0
    grey = (
        brain & (depth < 3.0)
        | brain & folded & (sulcus < 3.3)
        | brain & (aside < 4.0) & midline & (depth < 36.0)
    )
    canvas.labels[brain] = T.WHITE
    canvas.labels[grey] = T.GREY
    open_sulcus = brain & (depth < reach - 3.5) & (sulcus < 0.95)
    canvas.labels[open_sulcus] = T.CSF
    # The Sylvian fissures, the fissure between the hemispheres and the falx in it.
    for side in (-1, 1):
        path = [
            (side * 60.0, -18.0, -12.0),
            (side * 48.0, -8.0, -6.0),
            (side * 44.0, 6.0, 2.0),
            (side * 50.0, 26.0, 12.0),
        ]
        canvas.tube(T.GREY, path, 6.5, flat=1.8, only=[T.WHITE, T.CSF])
        canvas.tube(T.CSF, path, 2.4, flat=3.0, only=[T.GREY, T.WHITE])
    cleft = brain & (aside < 1.2) & ((depth < 30.0) | (canvas.z > 30.0)[:, None, None])
    canvas.labels[cleft] = T.CSF
    falx = (np.abs(aside) < 0.7) & (depth < 26.0) & (depth > -1.5)
    canvas.labels[falx & (canvas.z > -25.0)[:, None, None]] = T.LIGAMENT
    canvas.tube(
        T.BLOOD, [(0, 80, 0), (0, 78, 30), (0, 60, 58), (0, 30, 73), (0, -10, 76)], 3.6
    )  # sagittal sinus


def _draw_ventricles(canvas: Canvas) -> None:
    for side in (-1, 1):
        # corpus callosum and periventricular white matter keep the folds away
        canvas.ellipsoid(T.WHITE, (side * 12.0, 2.0, 10.0), (17.0, 44.0, 19.0), only=[T.GREY, T.CSF])
    for side in (-1, 1):
        body = [
            (side * 13.0, -30.0, 2.0),
            (side * 9.0, -20.0, 10.0),
            (side * 9.0, 0.0, 18.0),
            (side * 12.0, 22.0, 17.0),
            (side * 20.0, 40.0, 8.0),
        ]
        canvas.tube(T.CSF, body, [3.0, 5.2, 4.6, 5.0, 6.0], flat=1.25)
        canvas.tube(T.CSF, [(side * 20.0, 40.0, 8.0), (side * 17.0, 58.0, 4.0)], [5.0, 2.0])
        canvas.tube(
            T.CSF,
            [(side * 20.0, 40.0, 8.0), (side * 30.0, 28.0, -10.0), (side * 32.0, 6.0, -22.0)],
            [5.0, 3.5, 2.5],
        )
        canvas.tube(T.GREY, [(side * 31.0, 28.0, -15.0), (side * 30.0, 6.0, -27.0)], 4.0)  # hippocampus
        canvas.tube(
            T.VEIN, [(side * 14.0, 24.0, 14.0), (side * 20.0, 38.0, 7.0)], 1.6, only=[T.CSF]
        )  # choroid plexus
    canvas.ellipsoid(T.CSF, (0.0, 8.0, -4.0), (2.2, 15.0, 13.0), bend=0.3)
    canvas.ellipsoid(T.LIGAMENT, (0.0, -10.0, 12.0), (0.8, 14.0, 9.0), bend=0.2)  # septum pellucidum


def _draw_deep_grey(canvas: Canvas) -> None:
    soft = [T.WHITE, T.GREY]
    for side in (-1, 1):
        canvas.ellipsoid(
            T.DEEP_GREY, (side * 11.0, 16.0, 2.0), (8.5, 15.0, 10.0), turn=side * -18.0, bend=0.4, only=soft
        )
        canvas.ellipsoid(
            T.DEEP_GREY, (side * 24.0, -2.0, 2.0), (6.5, 17.0, 12.0), turn=side * -14.0, bend=0.4, only=soft
        )
        canvas.ellipsoid(
            T.DEEP_GREY, (side * 12.0, -18.0, 6.0), (5.0, 9.0, 11.0), turn=side * 12.0, bend=0.3, only=soft
        )
        canvas.ellipsoid(
            T.GREY, (side * 36.0, 0.0, 2.0), (2.2, 20.0, 14.0), turn=side * -8.0, bend=0.5, only=soft
        )


def _draw_posterior_fossa(canvas: Canvas) -> None:
    """Draw cerebellum, brain stem, tentorium and fourth ventricle below the hemispheres."""
    below = [T.GREY, T.WHITE, T.CSF, T.LIGAMENT]
    for side in (-1, 1):
        canvas.ellipsoid(T.CSF, (side * 25.0, 48.0, -50.0), (30.0, 34.5, 27.0), only=below, bend=0.5)
    dice = Dice("folia")
    for side in (-1, 1):
        canvas.ellipsoid(T.CEREBELLUM, (side * 25.0, 48.0, -50.0), (28.5, 33.0, 27.0), only=below, bend=0.5)
        canvas.ellipsoid(
            T.WHITE, (side * 23.0, 44.0, -48.0), (14.0, 14.0, 13.0), only=[T.CEREBELLUM], bend=2.2
        )
    canvas.ellipsoid(T.CEREBELLUM, (0.0, 54.0, -46.0), (9.0, 24.0, 26.0), only=below, bend=0.4)
    folia = np.abs(smooth_noise(dice, (canvas.z, canvas.y, canvas.x), 7.0)) < 0.16
    canvas.labels[folia & (canvas.labels == T.CEREBELLUM)] = T.CSF
    canvas.ellipsoid(T.CSF, (0.0, 12.0, -46.0), (22.0, 19.0, 32.0), only=below, bend=0.4)
    canvas.ellipsoid(T.WHITE, (0.0, 12.0, -48.0), (16.0, 14.0, 16.0), bend=0.3)
    canvas.column(
        T.WHITE,
        [
            (-90.0, 0.0, 22.0, 8.0, 8.0),
            (-62.0, 0.0, 16.0, 10.0, 9.0),
            (-34.0, 0.0, 10.0, 15.0, 10.0),
            (-14.0, 0.0, 10.0, 19.0, 11.0),
        ],
        bend=0.3,
    )
    canvas.ellipsoid(T.CSF, (0.0, 29.0, -47.0), (7.0, 5.0, 13.0), bend=0.4)
    canvas.tube(T.BLOOD, [(0, -3, -60), (0, -5, -36), (0, -8, -26)], 1.9)
    for side in (-1, 1):
        canvas.tube(
            T.BLOOD,
            [(side * 13, -14, -60), (side * 12, -14, -28), (side * 26, -16, -22), (side * 42, -14, -18)],
            2.0,
        )
        canvas.tube(
            T.BLOOD, [(side * 8, 78, -22), (side * 40, 66, -24), (side * 54, 42, -34)], 3.2
        )  # transverse sinus


def _draw_face(canvas: Canvas) -> None:
    """Draw what lies below the brain: orbits, sinuses, petrous bones with air cells, the base of the skull."""
    head = [T.CSF, T.MUSCLE, T.FAT, T.BONE, T.MARROW, T.LIGAMENT]
    canvas.ellipsoid(T.BONE, (0.0, -48.0, -62.0), (56.0, 44.0, 34.0), only=head, boxy=0.2)
    canvas.ellipsoid(T.FAT, (0.0, -50.0, -64.0), (50.0, 40.0, 33.0), only=[T.BONE], boxy=0.2)
    for side in (-1, 1):
        # petrous bones and mastoid air cells
        canvas.tube(
            T.BONE,
            [(side * 18.0, 4.0, -46.0), (side * 40.0, 18.0, -46.0), (side * 58.0, 32.0, -50.0)],
            [6, 9, 14],
        )
        canvas.ellipsoid(T.GAS, (side * 60.0, 34.0, -56.0), (9.0, 12.0, 16.0), only=[T.BONE], bend=3.0)
        canvas.tube(T.GAS, [(side * 46.0, 18.0, -50.0), (side * 80.0, 16.0, -52.0)], 3.0)
        # ears
        canvas.tube(
            T.SKIN, [(side * 76.0, 14.0, -66.0), (side * 83.0, 22.0, -48.0), (side * 80.0, 16.0, -34.0)], 4.0
        )
        # orbits
        canvas.ellipsoid(T.BONE, (side * 33.0, -66.0, -52.0), (23.0, 28.0, 20.0), only=[*head, T.SKIN])
        canvas.ellipsoid(
            T.FAT,
            (side * 33.0, -68.0, -50.0),
            (20.5, 27.0, 17.5),
            only=[T.BONE, T.FAT, T.CSF, T.SKIN],
        )
        canvas.ellipsoid(T.SKIN, (side * 33.0, -83.0, -50.0), (14.0, 14.0, 14.0), bend=0.1)
        canvas.ellipsoid(T.EYE, (side * 33.0, -82.0, -50.0), (12.2, 12.2, 12.2), bend=0.1)
        canvas.ellipsoid(T.LENS, (side * 33.0, -91.0, -50.0), (4.5, 2.2, 4.5), bend=0.1)
        canvas.tube(T.MUSCLE, [(side * 31.0, -70.0, -50.0), (side * 22.0, -48.0, -47.0)], 2.4)  # optic nerve
        for aside in (-9.0, 9.0):
            canvas.tube(T.MUSCLE, [(side * 33.0 + aside, -76.0, -50.0), (side * 24.0, -46.0, -48.0)], 2.2)
    for center, radii in (
        ((0.0, -34.0, -58.0), (14.0, 12.0, 13.0)),
        ((0.0, -78.0, -26.0), (16.0, 6.0, 15.0)),
    ):
        canvas.ellipsoid(T.BONE, center, tuple(radius + 2 for radius in radii), only=head)  # type: ignore[arg-type]
        canvas.ellipsoid(T.GAS, center, radii, bend=1.4)
    for x in (-8.0, -3.0, 3.0, 8.0):  # ethmoid cells, the nose
        canvas.ellipsoid(T.GAS, (x, -62.0, -52.0), (2.4, 16.0, 13.0), bend=0.5)
    canvas.column(T.BONE, [(-80.0, 0.0, -62.0, 1.2, 20.0), (-38.0, 0.0, -62.0, 1.2, 18.0)], bend=0.2)
    canvas.column(
        T.FAT,
        [(-80.0, 0.0, -102.0, 14.0, 16.0), (-56.0, 0.0, -96.0, 9.0, 12.0), (-40.0, 0.0, -92.0, 6.0, 6.0)],
        bend=0.3,
        only=[T.AIR],
    )
