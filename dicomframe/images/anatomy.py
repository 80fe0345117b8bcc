"""The patient's axes: which way a direction goes in the body, and which axis of a grid is nearest to which of them.

x grows to the patient's left, y to the back, z to the head (PS3.3 C.7.6.2.1.1).
"""

from __future__ import annotations

from itertools import permutations
from typing import Literal

import numpy as np
from numpy.typing import NDArray

PlaneName = Literal["axial", "coronal", "sagittal"]

#: For each plane: the patient's axis through it, then those down and across the page, with the sense in which they are
#: seen. Across, coordinates rise; down, y rises (to the back), and z falls (to the feet).
PLANE_AXES: dict[PlaneName, tuple[int, tuple[int, int], tuple[int, int]]] = {
    "axial": (2, (1, +1), (0, +1)),
    "coronal": (1, (2, -1), (0, +1)),
    "sagittal": (0, (2, -1), (1, +1)),
}
#: The letters of the patient's directions, negative and positive, for x, y and z (PS3.3 C.7.6.1.1.1).
LETTERS = (("R", "L"), ("A", "P"), ("F", "H"))
#: Below this part of a direction an axis has no letter in its name.
_LEAST_PART = 0.2


def nearest_axes(affine: NDArray[np.float64]) -> tuple[int, int, int]:
    """Tell which axis of a grid is nearest to the patient's x, y and z; each is taken once.

    Examples
    --------
    >>> nearest_axes(np.array([[0, 0, 0.5, 0], [0, 0.5, 0, 0], [2.0, 0, 0, 0], [0, 0, 0, 1]]))
    (2, 1, 0)
    """
    lengths = np.linalg.norm(affine[:3, :3], axis=0)
    directions = np.abs(affine[:3, :3] / np.where(lengths > 0, lengths, 1.0))
    x, y, z = max(
        permutations(range(3)), key=lambda order: sum(directions[axis, order[axis]] for axis in range(3))
    )
    return x, y, z


def letters_of(direction: NDArray[np.float64]) -> str:
    """Name a direction as Patient Orientation does, its largest part first (PS3.3 C.7.6.1.1.1).

    Examples
    --------
    >>> letters_of(np.array([-1.0, 0.0, 0.0])), letters_of(np.array([0.8, 0.6, 0.0]))
    ('R', 'LP')
    """
    largest_first = np.argsort(-np.abs(direction), kind="stable")
    return "".join(
        LETTERS[axis][int(direction[axis] > 0)]
        for axis in largest_first
        if abs(direction[axis]) > _LEAST_PART
    )
