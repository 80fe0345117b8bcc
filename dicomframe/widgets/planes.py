"""Axial, coronal and sagittal planes of a grid of voxels: which axis is which, and which way up."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dicomframe.images.anatomy import PLANE_AXES, letters_of, nearest_axes


@dataclass(frozen=True, slots=True)
class Way:
    """An axis of the grid as a plane shows it.

    Parameters
    ----------
    axis : int
        0 the slices, 1 the rows, 2 the columns.
    reversed : bool
        Whether it is shown from its end.
    """

    axis: int
    reversed: bool = False


@dataclass(frozen=True, slots=True)
class Plane:
    """One way to cut a grid of voxels.

    Parameters
    ----------
    axis : int
        The axis of the grid that the plane's index counts along.
    down, across : Way
        What its rows and columns are.
    count, rows, columns : int
        How many planes there are, and their size.
    spacing : (float, float)
        Between rows and between columns, in mm; (1, 1) where it is unknown.
    letters : dict, optional
        What is at the "left", "right", "top" and "bottom": R, L, A, P, H or F, or several
        of an oblique plane (PS3.3 C.7.6.1.1.1).
    """

    axis: int
    down: Way
    across: Way
    count: int
    rows: int
    columns: int
    spacing: tuple[float, float] = (1.0, 1.0)
    letters: dict[str, str] | None = None

    def described(self) -> dict[str, Any]:
        """Give it as the page reads it."""
        return asdict(self)


def plain_plane(shape: tuple[int, int, int], spacing: tuple[float, float] = (1.0, 1.0)) -> dict[str, Plane]:
    """Give the one plane of slices that nobody knows the place of.

    Examples
    --------
    >>> list(plain_plane((10, 64, 32)))
    ['slices']
    """
    count, rows, columns = shape
    return {"slices": Plane(0, Way(1), Way(2), count, rows, columns, spacing)}


def planes_of(shape: tuple[int, int, int], affine: NDArray[np.float64]) -> dict[str, Plane]:
    """Name the three planes of a grid; the first is the one that was acquired.

    Parameters
    ----------
    shape : (int, int, int)
        Slices, rows, columns.
    affine : ndarray, shape (4, 4)
        From (slice, row, column, 1) to mm of the patient.

    Returns
    -------
    dict of str to Plane
        The slices as they are stored, under the name of the plane that they are nearest to. The others as seen by a
        radiologist: the patient's left on the right, front to the left on sagittal planes, head up.

    Examples
    --------
    >>> affine = np.array([[0, 0, 0.5, 0], [0, 0.5, 0, 0], [2.0, 0, 0, 0], [0, 0, 0, 1]])
    >>> {name: (plane.count, plane.rows, plane.columns) for name, plane in planes_of((3, 4, 5), affine).items()}
    {'axial': (3, 4, 5), 'coronal': (4, 3, 5), 'sagittal': (5, 3, 4)}
    """
    steps = affine[:3, :3]
    lengths = np.linalg.norm(steps, axis=0)
    directions = steps / np.where(lengths > 0, lengths, 1.0)
    grid_axis = nearest_axes(affine)
    acquired = next(name for name, (through, _, _) in PLANE_AXES.items() if grid_axis[through] == 0)
    found: dict[str, Plane] = {}
    for name in (acquired, *(name for name in PLANE_AXES if name != acquired)):
        if name == acquired:
            down, across = Way(1), Way(2)
        else:
            _, *seen = PLANE_AXES[name]
            down, across = (
                Way(grid_axis[patient], bool(np.sign(directions[patient, grid_axis[patient]]) != sense))
                for patient, sense in seen
            )
        axis = ({0, 1, 2} - {across.axis, down.axis}).pop()
        found[name] = Plane(
            axis,
            down,
            across,
            shape[axis],
            shape[down.axis],
            shape[across.axis],
            (float(lengths[down.axis]), float(lengths[across.axis])),
            _letters(directions, across, down),
        )
    return found


def _letters(directions: NDArray[np.float64], across: Way, down: Way) -> dict[str, str]:
    right, below = (directions[:, way.axis] * (-1 if way.reversed else 1) for way in (across, down))
    return {
        "left": letters_of(-right),
        "right": letters_of(right),
        "top": letters_of(-below),
        "bottom": letters_of(below),
    }
