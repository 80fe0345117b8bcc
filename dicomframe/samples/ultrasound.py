"""B-mode ultrasound: speckle in the directions of the beam, then bent into the fan that a curved probe sees."""

from __future__ import annotations

import math
from functools import cache

import numpy as np
from numpy.typing import NDArray

from dicomframe.samples.canvas import Dice, Floats, smooth_noise

#: Rows and columns of the picture, and mm a pixel.
ROWS, COLUMNS, SPACING = 300, 400, 0.55
#: Frames of the cine of a heart beat, and ms from one to the next.
BEAT_FRAMES, FRAME_TIME = 10, 80.0

_RADIUS = 48.0  # mm, curvature of the probe
_DEPTH = 150.0  # mm
_HALF_ANGLE = 0.56  # radians
_SAMPLES, _BEAMS = 380, 210


@cache
def _fan() -> tuple[NDArray[np.intp], NDArray[np.bool_], int, int]:
    """Give, for each pixel, which sample of which beam it shows, and whether the fan covers it; and its top."""
    x = (np.arange(COLUMNS) - COLUMNS / 2 + 0.5) * SPACING
    y = (np.arange(ROWS) - 12.0) * SPACING + _RADIUS * np.cos(_HALF_ANGLE)
    grid_x, grid_y = np.meshgrid(x, y)
    radius, angle = np.hypot(grid_x, grid_y), np.arctan2(grid_x, grid_y)
    sample = (radius - _RADIUS) / _DEPTH * _SAMPLES
    beam = (angle + _HALF_ANGLE) / (2 * _HALF_ANGLE) * _BEAMS
    seen = (sample >= 0) & (sample < _SAMPLES) & (beam >= 0) & (beam < _BEAMS)
    place = np.clip(sample, 0, _SAMPLES - 1).astype(np.intp) * _BEAMS + np.clip(beam, 0, _BEAMS - 1).astype(
        np.intp
    )
    return place, seen, 12, COLUMNS // 2


@cache
def _beam_places() -> tuple[Floats, Floats]:
    """Give x (to the right of the picture) and depth below the probe's middle, in mm, for each sample of each beam."""
    angle = (np.arange(_BEAMS, dtype=np.float32) / _BEAMS * 2 - 1) * np.float32(_HALF_ANGLE)
    radius = _RADIUS + np.arange(_SAMPLES, dtype=np.float32)[:, None] / _SAMPLES * _DEPTH
    return (radius * np.sin(angle)).astype(np.float32), (radius * np.cos(angle) - _RADIUS).astype(np.float32)


class _Scene:
    """Echo strengths in dB over the fan, painted like a canvas but flat."""

    def __init__(self, dice: Dice, background: float) -> None:
        self.x, self.depth = _beam_places()
        axes = (np.arange(_SAMPLES, dtype=np.float32), np.arange(_BEAMS, dtype=np.float32))
        self.bend_x = smooth_noise(dice, axes, 45.0) * np.float32(2.2)
        self.bend_y = smooth_noise(dice, axes, 45.0) * np.float32(2.2)
        self.echo = np.full(self.x.shape, background, dtype=np.float32)
        self.gain = np.zeros(self.x.shape, dtype=np.float32)

    def blob(
        self, x: float, y: float, rx: float, ry: float, level: float, *, turn: float = 0.0, wall: float = 0.0
    ) -> None:
        """Fill an ellipse with a level; a wall brightens its outline by some dB."""
        reach = max(rx, ry) * 1.1 + 8.0
        # A depth below the probe's middle lies somewhat farther along the beams at the sides.
        rows = slice(
            max(int((y - reach) / _DEPTH * _SAMPLES), 0), max(int((y + reach + 14.0) / _DEPTH * _SAMPLES), 0)
        )
        u, v = self.x[rows] + self.bend_x[rows] - x, self.depth[rows] + self.bend_y[rows] - y
        cosine, sine = math.cos(math.radians(turn)), math.sin(math.radians(turn))
        squared = ((u * cosine + v * sine) / rx) ** 2 + ((v * cosine - u * sine) / ry) ** 2
        echo = self.echo[rows]
        echo[squared < 1.0] = level
        if wall:
            thick = 0.9 / min(rx, ry)
            rim = (squared > (1 - thick) ** 2) & (squared < (1 + thick) ** 2)
            echo[rim] = np.maximum(echo[rim], level + wall)

    def vessel(
        self, x0: float, y0: float, x1: float, y1: float, wide: float, level: float, wall: float = 0.0
    ) -> None:
        """Fill a straight vessel."""
        u, v = self.x + self.bend_x - x0, self.depth + self.bend_y - y0
        length = math.hypot(x1 - x0, y1 - y0)
        along = (u * (x1 - x0) + v * (y1 - y0)) / length
        off = np.abs(v * (x1 - x0) - u * (y1 - y0)) / length
        inside = (along > 0) & (along < length)
        if wall:
            self.echo[inside & (off < wide + 1.0)] = level + wall
        self.echo[inside & (off < wide)] = level

    def behind(self, x: float, y: float, width: float, level: float) -> None:
        """Brighten (behind fluid) or darken (behind stones and air) all that lies deeper in these beams."""
        off = np.abs(self.x / (self.depth + _RADIUS) - x / (y + _RADIUS)) * (y + _RADIUS) / width
        fade = np.clip(1.6 - 1.3 * off, 0.0, 1.0) * np.clip((self.depth - y) / 6.0, 0.0, 1.0)
        self.gain += fade * np.float32(level)


def _picture(scene: _Scene, dice: Dice) -> NDArray[np.uint8]:
    """Turn echo strengths into grey: speckle, attenuation, log compression, scan conversion."""
    real, imaginary = dice.normal((2, *scene.echo.shape))
    for part in (real, imaginary):  # the beam is wider than the pulse is long, more so in the depth
        part[:, 1:] += part[:, :-1] * np.float32(0.8)
        part[:, 2:] += part[:, :-2] * np.float32(0.35)
        part[1:, :] += part[:-1, :] * np.float32(0.6)
    echo = scene.echo
    for axis in (0, 1, 0, 1):  # no edge is sharper than the pulse is long and the beam wide
        echo = np.float32(0.5) * echo + np.float32(0.25) * (np.roll(echo, 1, axis) + np.roll(echo, -1, axis))
    speckle = 20 * np.log10(np.hypot(real, imaginary) + np.float32(0.08)) - np.float32(4.0)
    focus = -0.10 * np.abs(scene.depth - 70.0) - np.where(scene.depth > 120, (scene.depth - 120) * 0.25, 0.0)
    level = echo + scene.gain + focus + speckle * np.float32(0.75)
    level[scene.depth < 3.0] += 14.0
    grey = np.clip((level + 58.0) * (255 / 60.0), 0, 255)
    place, seen, _, _ = _fan()
    shown = np.where(seen, grey.ravel()[place], 0.0).astype(np.uint8)
    _furnish(shown)
    return shown


def _furnish(shown: NDArray[np.uint8]) -> None:
    """Draw what a machine shows around the fan: a grey ramp, depth ticks and the focus."""
    shown[40:200, 10:18] = np.linspace(255, 0, 160).astype(np.uint8)[:, None]
    for tick in range(15):
        row = 12 + int(tick * 10 / SPACING)
        if row < ROWS - 2:
            shown[row, COLUMNS - 14 : COLUMNS - (6 if tick % 5 else 2)] = 170
    row = 12 + int(70 / SPACING)
    for step in range(5):
        shown[row - step : row + step + 1, COLUMNS - 26 + step] = 200


def liver(seed: str) -> NDArray[np.uint8]:
    """Show a liver with its veins, the gall bladder and the diaphragm, shape (ROWS, COLUMNS)."""
    dice = Dice("us", "liver", seed)
    scene = _Scene(dice, -34.0)
    scene.blob(0, 6, 140, 10, -24.0)
    scene.blob(0, 12, 120, 3, -14.0)
    scene.blob(dice.uniform(-8, 8), 70, 92, 62, -30.0 + dice.uniform(0, 6))
    far = dice.uniform(108, 118)
    scene.blob(dice.uniform(-6, 6), far - 92, 104, 94, -30.0, wall=0.0)
    arc = np.abs(np.hypot(scene.x - 4, scene.depth - (far - 104)) - 104.0)
    scene.echo[scene.depth > far - 2 + 0.004 * scene.x**2] = -40.0
    scene.echo[arc < 1.8] = -8.0
    scene.vessel(-30, 92, 22, 60, 3.4, -56.0)
    scene.vessel(-26, 94, -12, 46, 2.8, -55.0)
    scene.vessel(-48, 84, -44, 58, 1.8, -50.0)
    for _ in range(26):  # portal triads and small veins seen end on
        x, y = dice.uniform(-60, 60), dice.uniform(24, far - 18)
        scene.blob(x, y, dice.uniform(0.8, 2.0), dice.uniform(0.7, 1.4), (-20.0, -46.0)[dice.below(2)])
    scene.vessel(24, 52, 62, 66, 3.4, -58.0, wall=38.0)
    scene.vessel(6, 50, 24, 52, 2.4, -56.0, wall=34.0)
    bladder = (dice.uniform(20, 36), dice.uniform(30, 38))
    scene.blob(*bladder, dice.uniform(17, 23), 10.0, -66.0, turn=dice.uniform(10, 40), wall=44.0)
    scene.behind(*bladder, 12.0, 7.0)
    if dice.below(3) == 0:  # gallstones cast a shadow
        scene.blob(bladder[0] + 4, bladder[1] + 7, 4.0, 3.0, -6.0)
        scene.behind(bladder[0] + 4, bladder[1] + 9, 4.0, -26.0)
    return _picture(scene, dice)


def kidney(seed: str) -> NDArray[np.uint8]:
    """Show a right kidney behind the edge of the liver, shape (ROWS, COLUMNS)."""
    dice = Dice("us", "kidney", seed)
    scene = _Scene(dice, -28.0)
    scene.blob(0, 6, 140, 10, -24.0)
    scene.blob(0, 13, 120, 2.5, -14.0)
    scene.blob(-16, 40, 72, 32, -31.0)
    x, y, turn = dice.uniform(-4, 6), dice.uniform(62, 70), dice.uniform(-14, -2)
    scene.blob(x, y, 60, 29, -22.0, turn=turn)
    scene.blob(x, y, 54, 25, -38.0, turn=turn, wall=20.0)
    for part in range(-3, 4):
        scene.blob(x + part * 12.5, y - 11 - part * 0.16 * turn / -3, 4.6, 4.2, -46.0)
        scene.blob(x + part * 12.5, y + 12 - part * 0.16 * turn / -3, 4.6, 4.2, -45.0)
    scene.blob(x, y, 36, 9.5, -17.0, turn=turn)
    muscle = scene.depth + 2.0 * scene.bend_y - 0.1 * scene.x > 104.0
    scene.echo[muscle] = -35.0
    for layer in range(5):
        scene.echo[
            np.abs(scene.depth + 1.6 * scene.bend_y - 0.1 * scene.x - 106.0 - 7.0 * layer) < 0.8
        ] = -22.0
    if dice.below(4) == 0:  # a simple cyst
        scene.blob(x + 40, y - 16, 13, 12, -70.0, wall=40.0)
        scene.behind(x + 40, y - 16, 11, 8.0)
    return _picture(scene, dice)


def heart(seed: str) -> NDArray[np.uint8]:
    """Show one beat of a heart along its long axis, shape (BEAT_FRAMES, ROWS, COLUMNS)."""
    frames = []
    for frame in range(BEAT_FRAMES):
        dice = Dice("us", "heart", seed)  # the same anatomy in each frame
        squeeze = 0.5 - 0.5 * float(np.cos(2 * np.pi * frame / BEAT_FRAMES))
        scene = _Scene(dice, -40.0)
        scene.blob(0, 6, 140, 9, -24.0)
        scene.blob(-10, 66, 92, 52, -27.0)
        scene.blob(-6, 28, 52, 13 - 2 * squeeze, -66.0, turn=6, wall=20.0)
        scene.blob(-28, 66, 50 - 7 * squeeze, 25 - 9 * squeeze, -66.0, turn=8, wall=22.0)
        scene.blob(50, 88, 27 + 3 * squeeze, 21 + 3 * squeeze, -66.0, wall=24.0)
        scene.blob(56, 50, 34, 15, -66.0, turn=-12, wall=30.0)
        lift = 13 * (1 - squeeze)
        scene.vessel(26, 76, 4 - lift / 2, 66 + lift, 1.1, -14.0)
        scene.vessel(28, 98, 4 - lift / 2, 84 - lift / 3, 1.1, -14.0)
        scene.vessel(24, 50, 34, 50 + 12 * (1 - squeeze), 0.9, -13.0)
        scene.echo[np.abs(np.hypot((scene.x + 10) / 96, (scene.depth - 64) / 58) - 1) < 0.025] = -10.0
        frames.append(_picture(scene, Dice("us", "heart", seed, frame)))
    return np.stack(frames)
