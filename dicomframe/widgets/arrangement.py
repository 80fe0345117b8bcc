"""The frames of a series as a viewer shows them: all of them, in the order and on the grid that a volume would have."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dicomframe.errors import DecodeError
from dicomframe.images.geometry import FramePlane
from dicomframe.images.problems import Problems
from dicomframe.images.stacking import stack_of
from dicomframe.images.volume import affine_of
from dicomframe.widgets.planes import Plane, plain_plane, planes_of

MOSAIC = "The slices are tiles of a mosaic; df.dicom.volume() takes them apart."
#: What keeps frames out of one stack, as a volume's problems name it -> what a viewer says. They are shown in the order
#: of their numbers, in a plane without a name.
_APART = {
    "missing position": "Some slices have no place in the patient.",
    "localizer": "The slices are not parallel: there is a localizer among them.",
    "mixed frames of reference": "The slices lie in several frames of reference.",
    "mixed orientations": "The slices are not parallel.",
    "mixed pixel spacing": "The slices differ in pixel spacing.",
}
#: What keeps parallel frames from filling a grid.
_UNEVEN = {
    "mixed sizes": "The slices differ in size.",
    "several volumes": "Several slices are in one place.",
    "doubled slice": "Several slices are in one place.",
    "missing slices": "The slices are unevenly spaced: some are missing or doubled.",
    "unequal spacing": "The slices are unevenly spaced: some are missing or doubled.",
    "shifted slices": "The slices are shifted against each other.",
}


@dataclass(frozen=True, eq=False)
class Arrangement:
    """How frames are shown.

    Parameters
    ----------
    order : list of int
        Places of the frames among those given.
    planes : dict of str to Plane
        The first is the one that was acquired.
    affine : ndarray, shape (4, 4), or None
        Of a grid that they fill.
    note : str
        Why there is no grid; empty where there is one, or none was to be expected.
    """

    order: list[int]
    planes: dict[str, Plane]
    affine: NDArray[np.float64] | None = None
    note: str = ""


def arranged(frames: Sequence[FramePlane]) -> Arrangement:
    """Arrange frames by the judgement of `stack_of`, which makes volumes; here none is left out.

    Parameters
    ----------
    frames : sequence of FramePlane
        All that there are, by their numbers.
    """
    count = len(frames)
    as_given, problems = list(range(count)), Problems()
    shape = (count, *frames[0].size)
    try:
        stack = stack_of(frames, problems)
    except DecodeError:  # none has a place
        note = MOSAIC if any(frame.lack == MOSAIC for frame in frames) else ""
        return Arrangement(as_given, plain_plane(shape), note=note)
    found = {row["what"] for row in problems.rows} | ({"doubled slice"} if stack.doubled else set())
    apart = next((note for what, note in _APART.items() if what in found), "")
    if apart:
        return Arrangement(as_given, plain_plane(shape), note=apart)
    why = next((note for what, note in _UNEVEN.items() if what in found), "")
    first = frames[0]
    heights = [0.0 if frame.position is None else float(frame.position @ first.normal) for frame in frames]
    is_doubled = bool(found & {"several volumes", "doubled slice"})
    order = as_given if is_doubled else np.argsort(heights, kind="stable").tolist()
    # Without a grid, the plane that the slices lie in has a name all the same.
    affine = affine_of((0, 0, 0), first.normal, first.row_direction, first.column_direction, first.spacing)
    planes = planes_of(shape, affine if why else stack.affine)
    if why or count == 1:
        acquired = next(iter(planes))
        return Arrangement(order, {acquired: planes[acquired]}, note=why)
    return Arrangement(order, planes, stack.affine)


def steps_of(frame: FramePlane) -> NDArray[np.float64] | None:
    """Give a frame's place as `Slice.to_mm` has it: down a row, across a column, the first pixel's centre."""
    if frame.position is None:
        return None
    down = frame.column_direction * frame.spacing[0]
    across = frame.row_direction * frame.spacing[1]
    return np.stack([down, across, frame.position])
