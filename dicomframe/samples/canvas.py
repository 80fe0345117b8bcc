"""Drawing of anatomy: labels on a voxel grid, by shapes whose outlines are bent by smooth noise."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
Point = tuple[float, float, float]


def seed_of(*words: object) -> int:
    """Give a 64-bit seed that depends on the words alone: not on the run, the process or the machine."""
    return int.from_bytes(hashlib.sha256("/".join(map(str, words)).encode()).digest()[:8], "big")


class Dice:
    """Random numbers that NumPy promises never to change: the raw output of a bit generator (NEP 19).

    Parameters
    ----------
    *words
        What the seed is made of.
    """

    def __init__(self, *words: object) -> None:
        self._bits = np.random.PCG64(seed_of(*words))

    def uniform(self, low: float, high: float) -> float:
        """Give one number from low to high."""
        return low + (high - low) * (int(self._bits.random_raw()) / 2**64)

    def below(self, count: int) -> int:
        """Give a whole number from 0 to count - 1."""
        return int(self.uniform(0, count)) % count

    def between(self, low: int, high: int) -> int:
        """Give a whole number from low to high, both included."""
        return low + self.below(high - low + 1)

    def normal(self, shape: tuple[int, ...]) -> Floats:
        """Give noise of mean 0 and deviation 1: the sum of four even 16-bit numbers, close to a bell curve."""
        count = int(np.prod(shape))
        words = self._bits.random_raw(count).view(np.uint16).reshape(count, 4)
        total = words[:, 0].astype(np.float32)
        for column in range(1, 4):
            total += words[:, column]
        total -= np.float32(131_070.0)
        total *= np.float32(1.0 / 37_837.2)
        noise: Floats = total.reshape(shape)
        return noise


def smooth_noise(dice: Dice, axes: Sequence[Floats], wavelength: float) -> Floats:
    """Give noise that varies over about `wavelength` mm along each of the axes, deviation about 1.

    Parameters
    ----------
    dice : Dice
    axes : sequence of ndarray
        The coordinates along each dimension, in mm, evenly spaced.
    wavelength : float
        Distance of the lattice points between which it is interpolated, in mm.

    Returns
    -------
    ndarray of float32
        One dimension an axis.
    """
    places = [(axis - axis.min()) / np.float32(wavelength) for axis in axes]
    field = dice.normal(tuple(int(place.max()) + 4 for place in places))
    for dimension, place in enumerate(places):
        field = _spline(field, place, dimension)
    # A cubic B-spline averages: what is left of the deviation is about 0.69 a dimension.
    field *= np.float32(0.69 ** -len(axes))
    return field


def _spline(field: Floats, place: Floats, dimension: int) -> Floats:
    """Interpolate along one dimension by cubic B-splines; sums in a fixed order, so that each run gives the same."""
    first = place.astype(np.intp)
    part = place - first
    rest = 1 - part
    weights = (
        rest**3 / 6,
        2 / 3 - part**2 * (1 - part / 2),
        2 / 3 - rest**2 * (1 - rest / 2),
        part**3 / 6,
    )
    along = [1] * field.ndim
    along[dimension] = -1
    shape = list(field.shape)
    shape[dimension] = len(place)
    out = np.zeros(shape, dtype=np.float32)
    for offset, weight in enumerate(weights):
        out += np.take(field, first + offset, axis=dimension) * weight.astype(np.float32).reshape(along)
    return out


class Canvas:
    """A grid of labels in patient coordinates: x to the left, y to the back, z to the head, in mm (PS3.3 C.7.6.2).

    Parameters
    ----------
    x, y, z : ndarray
        Coordinates of the voxel centres, evenly spaced.
    name : str
        What the seed of the outlines' irregularity is made of.
    wobble : float
        How far outlines wander, in mm.

    Attributes
    ----------
    labels : ndarray of uint8, shape (z, y, x)
    """

    def __init__(self, x: Floats, y: Floats, z: Floats, name: str, wobble: float = 3.0) -> None:
        self.x, self.y, self.z = x, y, z
        self.labels = np.zeros((len(z), len(y), len(x)), dtype=np.uint8)
        dice = Dice("canvas", name)
        self._bend_x = smooth_noise(dice, (z, y, x), 38.0) * np.float32(wobble)
        self._bend_y = smooth_noise(dice, (z, y, x), 38.0) * np.float32(wobble)

    def _slice(self, axis: Floats, low: float, high: float) -> slice:
        start, step = float(axis[0]), float(axis[1]) - float(axis[0])
        first, after = math.ceil((low - start) / step), math.floor((high - start) / step) + 1
        return slice(min(max(first, 0), len(axis)), max(min(after, len(axis)), 0))

    def _offsets(self, box: tuple[slice, slice, slice], bend: float) -> tuple[Floats, Floats]:
        """Give the bent x and y of a box, each of its shape."""
        across = self.x[box[2]][None, None, :] + self._bend_x[box] * np.float32(bend)
        back = self.y[box[1]][None, :, None] + self._bend_y[box] * np.float32(bend)
        return across, back

    def bend(self) -> tuple[Floats, Floats]:
        """Give the wobble of the whole canvas along x and y, in mm, each of the shape of the labels."""
        return self._bend_x, self._bend_y

    def put(
        self, label: int, box: tuple[slice, slice, slice], inside: NDArray[np.bool_], only: Sequence[int]
    ) -> None:
        """Write a label where `inside` holds, if `only` is given, over these labels alone."""
        region = self.labels[box]
        if only:
            allowed = np.zeros(256, dtype=np.bool_)
            allowed[list(only)] = True
            inside = inside & allowed[region]
        region[inside] = label

    def ellipsoid(
        self,
        label: int,
        center: Point,
        radii: Point,
        *,
        turn: float = 0.0,
        tilt: float = 0.0,
        boxy: float = 0.0,
        bend: float = 1.0,
        only: Sequence[int] = (),
    ) -> None:
        """Fill an ellipsoid.

        Parameters
        ----------
        label : int
        center, radii : (x, y, z)
            In mm.
        turn : float
            Rotation about z, in degrees, from x towards y.
        tilt : float
            Shift of y a mm of z: a lean to the back.
        boxy : float
            0 is an ellipse, 1 nearly a box.
        bend : float
            How much of the canvas's wobble applies.
        only : sequence of int
            Labels that may be painted over; empty: all.
        """
        reach = max(radii[0], radii[1]) + 12.0 * bend + abs(tilt) * radii[2]
        box = (
            self._slice(self.z, center[2] - radii[2], center[2] + radii[2]),
            self._slice(self.y, center[1] - reach, center[1] + reach),
            self._slice(self.x, center[0] - reach, center[0] + reach),
        )
        if any(part.stop <= part.start for part in box):
            return
        x, y = self._offsets(box, bend)
        height = (self.z[box[0]] - center[2])[:, None, None]
        u, v = _turned(x - center[0], y - center[1] - tilt * height, turn)
        u = np.minimum((u / radii[0]) ** 2, 1.0)  # beyond 1 the boxy term would let it in again
        v = np.minimum((v / radii[1]) ** 2, 1.0)
        w = (height / radii[2]) ** 2
        self.put(label, box, u + v - boxy * u * v < 1.0 - w, only)

    def slab(self, label: int, center: Point, radii: Point, *, lean: float, bend: float = 0.25) -> None:
        """Fill a rounded block whose upper and lower faces lean: a vertebral body, a disc.

        Parameters
        ----------
        label : int
        center, radii : (x, y, z)
            In mm.
        lean : float
            Rise of its faces a mm of y.
        bend : float
            How much of the canvas's wobble applies.
        """
        reach = radii[1] * abs(lean) + radii[2] + 1.0
        box = (
            self._slice(self.z, center[2] - reach, center[2] + reach),
            self._slice(self.y, center[1] - radii[1] * 1.5, center[1] + radii[1] * 1.5),
            self._slice(self.x, center[0] - radii[0] * 1.5, center[0] + radii[0] * 1.5),
        )
        x, y = self._offsets(box, bend)
        z = (self.z[box[0]] - center[2])[:, None, None]
        scale = np.float32(1.0 / np.sqrt(1.0 + lean * lean))
        along, up = (y - center[1] + lean * z) * scale, (z - lean * (y - center[1])) * scale
        side = np.minimum(((x - center[0]) / radii[0]) ** 2, 1.0)
        u, w = np.minimum((along / radii[1]) ** 2, 1.0), np.minimum((up / radii[2]) ** 2, 1.0)
        self.put(label, box, side + u + w - 0.92 * u * w < 1.0, ())

    def column(
        self,
        label: int,
        stations: Sequence[tuple[float, float, float, float, float]],
        *,
        turn: float = 0.0,
        boxy: float = 0.0,
        bend: float = 1.0,
        only: Sequence[int] = (),
    ) -> None:
        """Fill a stack of ellipses: the body, the gut, an aorta.

        Parameters
        ----------
        label : int
        stations : sequence of (z, x, y, x radius, y radius)
            From the feet to the head, in mm; between them all is interpolated.
        turn, boxy, bend, only
            As for `ellipsoid`.
        """
        table = np.asarray(stations, dtype=np.float32).T
        box_z = self._slice(self.z, float(table[0, 0]), float(table[0, -1]))
        if box_z.stop <= box_z.start:
            return
        cx, cy, rx, ry = (
            np.interp(self.z[box_z], table[0], row).astype(np.float32)[:, None, None] for row in table[1:]
        )
        reach = float(max(rx.max(), ry.max())) + 12.0 * bend
        box = (
            box_z,
            self._slice(self.y, float(cy.min()) - reach, float(cy.max()) + reach),
            self._slice(self.x, float(cx.min()) - reach, float(cx.max()) + reach),
        )
        x, y = self._offsets(box, bend)
        u, v = _turned(x - cx, y - cy, turn)
        u = np.minimum((u / np.maximum(rx, 0.1)) ** 2, 1.0)
        v = np.minimum((v / np.maximum(ry, 0.1)) ** 2, 1.0)
        self.put(label, box, u + v - boxy * u * v < 1.0, only)

    def tube(
        self,
        label: int,
        points: Sequence[Point],
        radius: float | Sequence[float],
        *,
        flat: float = 1.0,
        only: Sequence[int] = (),
    ) -> None:
        """Fill a bent tube: a vessel, a rib.

        Parameters
        ----------
        label : int
        points : sequence of (x, y, z)
            The path, in mm.
        radius : float or sequence of float
            In mm, one for all points or one each.
        flat : float
            Its height along z over its width.
        only : sequence of int
            Labels that may be painted over; empty: all.
        """
        radii = (
            [float(radius)] * len(points) if isinstance(radius, (int, float)) else [float(r) for r in radius]
        )
        allowed = np.ones(256, dtype=np.bool_)
        if only:
            allowed[:] = False
            allowed[list(only)] = True
        for (start, wide), (end, narrow) in pairwise(zip(points, radii, strict=True)):
            self._link(label, (start, end), (wide, narrow), flat, allowed)

    def _link(
        self,
        label: int,
        ends: tuple[Point, Point],
        radii: tuple[float, float],
        flat: float,
        allowed: NDArray[np.bool_],
    ) -> None:
        """Fill one straight part of a tube, with round ends."""
        thick = max(radii)
        # Half the voxel spacing is the least radius, so that thin tubes are not lost between voxels.
        least = [float(axis[1] - axis[0]) * 0.55 for axis in (self.x, self.y, self.z)]
        reach = (max(thick, least[0]), max(thick, least[1]), max(thick * flat, least[2]))
        low = [min(ends[0][axis], ends[1][axis]) - reach[axis] for axis in range(3)]
        high = [max(ends[0][axis], ends[1][axis]) + reach[axis] for axis in range(3)]
        box = (
            self._slice(self.z, low[2], high[2]),
            self._slice(self.y, low[1], high[1]),
            self._slice(self.x, low[0], high[0]),
        )
        region = self.labels[box]
        if region.size == 0:
            return
        # Stretch space so that the tube is round, then measure the distance from its middle line.
        stretch = [thick / part for part in reach]
        x = ((self.x[box[2]] - np.float32(ends[0][0])) * np.float32(stretch[0]))[None, None, :]
        y = ((self.y[box[1]] - np.float32(ends[0][1])) * np.float32(stretch[1]))[None, :, None]
        z = ((self.z[box[0]] - np.float32(ends[0][2])) * np.float32(stretch[2]))[:, None, None]
        dx, dy, dz = (
            np.float32((end - start) * part)
            for start, end, part in zip(ends[0], ends[1], stretch, strict=True)
        )
        length = dx * dx + dy * dy + dz * dz
        along = np.clip((x * dx + y * dy + z * dz) / length, 0.0, 1.0) if length > 0 else np.float32(0.0)
        distance = (x - along * dx) ** 2 + (y - along * dy) ** 2 + (z - along * dz) ** 2
        wide = np.float32(radii[0]) + along * np.float32(radii[1] - radii[0])
        region[(distance < wide * wide) & allowed[region]] = label


def _turned(u: Floats, v: Floats, degrees: float) -> tuple[Floats, Floats]:
    if not degrees:
        return u, v
    angle = np.deg2rad(degrees)
    cosine, sine = np.float32(np.cos(angle)), np.float32(np.sin(angle))
    return u * cosine + v * sine, v * cosine - u * sine
