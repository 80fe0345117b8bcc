"""Axial, coronal and sagittal planes of a volume as one looks at them: feet first, nose up, feet down."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from dicomframe.errors import QueryError
from dicomframe.images.anatomy import PLANE_AXES, PlaneName, letters_of

if TYPE_CHECKING:
    from dicomframe.images.volume import Volume

#: Below this cosine an axis of the grid is no axis of the patient.
_STRAIGHT = 0.9999


@dataclass(frozen=True, eq=False)
class View:
    """One plane.

    Parameters
    ----------
    name : {"axial", "coronal", "sagittal"}
    index : int
        Along the axis of the array that goes through the plane.
    order : (int, int, int)
        Axes of the array: through the plane, down and across the page.
    flips : (bool, bool)
        Whether the array runs up the page, and to the left.
    extent : (float, float, float, float)
        Left, right, bottom and top edge in mm, as matplotlib takes them.
    letters : (str, str, str, str)
        Directions of the patient at the left, right, bottom and top: R, L, A, P, H, F, or several of an oblique one.
    cross : (float, float)
        Where the crosshair is: across and down the page, in mm.
    position : float
        Of the plane, in mm.
    straight : bool
        Whether the grid's axes are the patient's, so that mm are those of the patient's x, y and z.
    """

    name: PlaneName
    index: int
    order: tuple[int, int, int]
    flips: tuple[bool, bool]
    extent: tuple[float, float, float, float]
    letters: tuple[str, str, str, str]
    cross: tuple[float, float]
    position: float
    straight: bool

    @property
    def axis_names(self) -> tuple[str, str, str]:
        """Name the axes through the plane, down and across, with a prime where they are not quite the patient's."""
        prime = "" if self.straight else "'"
        axis, (down_axis, _), (across_axis, _) = PLANE_AXES[self.name]
        through, down, across = (f"{'xyz'[each]}{prime}" for each in (axis, down_axis, across_axis))
        return through, down, across

    def of(self, array: NDArray[Any]) -> NDArray[Any]:
        """Cut an array in the volume's grid: shape (down, across), the top row first."""
        cut: NDArray[Any] = array.transpose(self.order)[self.index]
        return cut[:: -1 if self.flips[0] else 1, :: -1 if self.flips[1] else 1]


def views(volume: Volume, at: Sequence[float] | None = None) -> tuple[View, View, View]:
    """Give the axial, coronal and sagittal plane through a point.

    Parameters
    ----------
    volume : Volume
    at : three floats, optional
        x, y, z in mm of the patient; by default the middle of the volume.

    Raises
    ------
    QueryError
        If these are not three numbers, or lie outside the volume.
    """
    shape = np.asarray(volume.array.shape)
    point = _point(volume, at)
    steps, order = volume.spacing, volume.axes()
    units = volume.affine[:3, :3] / steps
    signs = [1.0 if units[p, a] >= 0 else -1.0 for p, a in enumerate(order)]
    directions = [units[:, a] * sign for a, sign in zip(order, signs, strict=True)]
    straight = all(abs(units[p, a]) > _STRAIGHT for p, a in enumerate(order))
    nearest = np.clip(np.rint(volume.to_index(point)).astype(int), 0, shape - 1)
    voxel = volume.to_mm(nearest)
    edges = [
        np.sort(directions[p] @ volume.affine[:3, 3] + signs[p] * steps[a] * np.array([-0.5, shape[a] - 0.5]))
        for p, a in enumerate(order)
    ]
    places = [float(directions[p] @ point) for p in range(3)]

    def view(name: PlaneName) -> View:
        through, (down, sense), (across, _) = PLANE_AXES[name]
        falling = sense < 0
        low, high = edges[down]
        left, right = (letters_of(sign * directions[across]) for sign in (-1, 1))
        bottom, top = (letters_of(sign * directions[down]) for sign in ((-1, 1) if falling else (1, -1)))
        return View(
            name=name,
            index=int(nearest[order[through]]),
            order=(order[through], order[down], order[across]),
            flips=((signs[down] > 0) == falling, signs[across] < 0),
            extent=(*map(float, edges[across]), *((low, high) if falling else (high, low))),
            letters=(left, right, bottom, top),
            cross=(places[across], places[down]),
            position=float(directions[through] @ voxel),
            straight=straight,
        )

    return view("axial"), view("coronal"), view("sagittal")


def _point(volume: Volume, at: Sequence[float] | None) -> NDArray[np.float64]:
    shape = np.asarray(volume.array.shape)
    if at is None:
        return volume.to_mm((shape - 1) / 2)
    try:
        point = np.asarray([float(each) for each in at])
    except (TypeError, ValueError):
        point = np.empty(0)
    if point.shape != (3,) or not np.isfinite(point).all():
        raise QueryError("A place is three numbers: x, y and z in mm of the patient.")
    index = volume.to_index(point)
    if (index < -0.5).any() or (index > shape - 0.5).any():
        corners = volume.to_mm(np.stack([np.zeros(3), shape - 1.0]))
        low, high = corners.min(axis=0), corners.max(axis=0)
        spans = ", ".join(f"{name} {a:.0f} to {b:.0f}" for name, a, b in zip("xyz", low, high, strict=True))
        raise QueryError(
            f"The place lies outside the volume, which goes in mm from corner to corner: {spans}."
        )
    return point
