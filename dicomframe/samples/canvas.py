"""Drawing of anatomy: labels on a voxel grid, by shapes whose outlines are bent by smooth noise."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

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
    weights = [_spline_weights(axis, wavelength) for axis in axes]
    field = dice.normal(tuple(weight.shape[1] for weight in weights))
    for dimension, weight in enumerate(weights):
        field = np.moveaxis(np.tensordot(weight, field, axes=(1, dimension)), 0, dimension)
    # A cubic B-spline averages: what is left of the deviation is about 0.69 a dimension.
    scaled: Floats = np.ascontiguousarray(field * np.float32(0.69 ** -len(axes)), dtype=np.float32)
    return scaled


def _spline_weights(axis: Floats, wavelength: float) -> Floats:
    """Give the cubic B-spline weights of lattice points for each coordinate, shape (coordinates, points)."""
    place = (axis - axis.min()) / wavelength
    count = int(place.max()) + 4
    distance = np.abs(place[:, None] + 1.0 - np.arange(count))
    near = 2 / 3 - distance**2 * (1 - distance / 2)
    far = np.clip(2 - distance, 0, None) ** 3 / 6
    return np.where(distance < 1, near, far).astype(np.float32)


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
        return slice(int(np.searchsorted(axis, low)), int(np.searchsorted(axis, high, side="right")))

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
        path = np.asarray(points, dtype=np.float64)
        radii = np.broadcast_to(np.asarray(radius, dtype=np.float64), len(path))
        lengths = np.linalg.norm(np.diff(path, axis=0), axis=1)
        along = np.concatenate([[0.0], np.cumsum(lengths)])
        step = max(float(radii.min()) * 0.8, 0.8)
        stops = np.linspace(0.0, along[-1], max(int(along[-1] / step), 1) + 1)
        places = np.stack([np.interp(stops, along, path[:, axis]) for axis in range(3)], axis=1)
        thickness = np.maximum(np.interp(stops, along, radii), 0.3)
        allowed = np.ones(256, dtype=np.bool_)
        if only:
            allowed[:] = False
            allowed[list(only)] = True
        # Half the voxel spacing is the least radius, so that thin tubes are not lost between voxels.
        least = [float(axis[1] - axis[0]) * 0.55 for axis in (self.x, self.y, self.z)]
        for place, wide in zip(places.tolist(), thickness.tolist(), strict=True):
            self._ball(
                label, place, (max(wide, least[0]), max(wide, least[1]), max(wide * flat, least[2])), allowed
            )

    def _ball(self, label: int, place: Sequence[float], radii: Point, allowed: NDArray[np.bool_]) -> None:
        box = (
            self._slice(self.z, place[2] - radii[2], place[2] + radii[2]),
            self._slice(self.y, place[1] - radii[1], place[1] + radii[1]),
            self._slice(self.x, place[0] - radii[0], place[0] + radii[0]),
        )
        region = self.labels[box]
        if region.size == 0:
            return
        distance = (
            ((self.z[box[0]] - place[2]) / radii[2])[:, None, None] ** 2
            + ((self.y[box[1]] - place[1]) / radii[1])[None, :, None] ** 2
            + ((self.x[box[2]] - place[0]) / radii[0])[None, None, :] ** 2
        )
        region[(distance < 1.0) & allowed[region]] = label


def _turned(u: Floats, v: Floats, degrees: float) -> tuple[Floats, Floats]:
    if not degrees:
        return u, v
    angle = np.deg2rad(degrees)
    cosine, sine = np.float32(np.cos(angle)), np.float32(np.sin(angle))
    return u * cosine + v * sine, v * cosine - u * sine
