"""From planes to a stack: which frames make one volume, in which order, on which grid, and what is wrong with them.

Nothing is read or decoded here. Frames are ordered by their position along the normal alone.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dicomframe.errors import DecodeError, QueryError, printable
from dicomframe.images.geometry import FramePlane
from dicomframe.images.marks import MARKS
from dicomframe.images.problems import Problems
from dicomframe.images.volume import affine_of

#: Directions and spacings that differ by less than this (of 1, and relative) are the same.
_SAME = 1e-3
#: How far a slice may lie beside the regular grid: a part of the spacing, and what rounding to two decimals makes.
_OF_SPACING, _ROUNDING_MM = 0.01, 0.01
#: Why frames are not in one stack, in the order in which it is looked for: what is different, and what it is called.
_DIFFERENCES: tuple[tuple[str, Callable[[FramePlane, FramePlane], bool]], ...] = (
    ("localizer", lambda a, b: a.is_localizer != b.is_localizer),
    ("mixed frames of reference", lambda a, b: a.frame_of_reference != b.frame_of_reference),
    ("mixed orientations", lambda a, b: not _same_directions(a, b)),
    ("mixed sizes", lambda a, b: a.size != b.size),
    ("mixed pixel spacing", lambda a, b: not np.allclose(a.spacing, b.spacing, rtol=_SAME)),
)


@dataclass(frozen=True, eq=False)
class Stack:
    """Frames on one grid.

    Parameters
    ----------
    chosen : list of (int or None)
        For each slice the place of its plane among those given; None for a slice that is not there.
    doubled : list of (int, int)
        Places of planes that were left out, and of the one at the same position that was kept.
    affine : ndarray of float64, shape (4, 4)
    """

    chosen: list[int | None]
    doubled: list[tuple[int, int]]
    affine: NDArray[np.float64]


def stack_of(planes: Sequence[FramePlane], problems: Problems, stack: int | None = None) -> Stack:
    """Choose the frames of one volume and put them in order.

    Parameters
    ----------
    planes : sequence of FramePlane
        All that there are.
    problems : Problems
        Gets a row for whatever is not as it should be, and for each frame that is left out.
    stack : int, optional
        Which of several volumes at the same positions, from 1; by default the first of those with most slices.

    Raises
    ------
    DecodeError
        If no frame has a position.
    QueryError
        If there is no such stack.
    """
    everywhere = range(len(planes))
    for plane in planes:
        if plane.position is None:
            problems.add("missing position", f"left out: {plane.lack}", uid=plane.uid, frame=plane.frame)
    placed = [at for at in everywhere if planes[at].position is not None]
    if not placed:
        reason = next((plane.lack for plane in planes if plane.lack), "there is no image")
        raise DecodeError(
            f"No frame has a place in the patient, so there is no volume: {reason}. pixels() gives the frames as they"
            " are."
        )
    group = _largest_group(planes, placed, problems)
    levels = _levels(planes, group)
    several = _volumes_among(planes, levels)
    return _on_grid(planes, _choose(planes, several, stack, problems), problems)


def _same_directions(a: FramePlane, b: FramePlane) -> bool:
    return bool(
        np.abs(a.row_direction - b.row_direction).max() < _SAME
        and np.abs(a.column_direction - b.column_direction).max() < _SAME
    )


def _largest_group(planes: Sequence[FramePlane], placed: Sequence[int], problems: Problems) -> list[int]:
    """Give the largest set of frames that could be one stack; say of the others why they could not."""
    groups: list[list[int]] = []
    for at in placed:
        fitting = (
            group
            for group in groups
            if not any(differs(planes[group[0]], planes[at]) for _, differs in _DIFFERENCES)
        )
        found = next(fitting, None)
        if found is None:
            groups.append([at])
        else:
            found.append(at)
    # The order of arrival decides nothing.
    groups.sort(
        key=lambda group: (
            planes[group[0]].is_localizer,
            -len(group),
            min(_order(planes[at]) for at in group),
        )
    )
    kept = planes[groups[0][0]]
    for group in groups[1:]:
        what = next(name for name, differs in _DIFFERENCES if differs(kept, planes[group[0]]))
        other, taken = _told(what, planes[group[0]]), _told(what, kept)
        detail = f"left out: {other}, unlike the {len(groups[0])} frames taken ({taken})"
        problems.add_frames(what, [planes[at] for at in group], detail)
    return groups[0]


def _told(what: str, plane: FramePlane) -> str:
    """Say of a plane what makes it different; UIDs stay out of it."""
    if what == "localizer":
        return "a localizer" if plane.is_localizer else "no localizer"
    if what == "mixed orientations":
        return "normal " + " ".join(f"{value:.3f}" for value in plane.normal + 0.0)
    if what == "mixed sizes":
        return f"{plane.size[0]} x {plane.size[1]}"
    if what == "mixed pixel spacing":
        return f"{plane.spacing[0]:g} x {plane.spacing[1]:g} mm"
    return "another frame of reference" if plane.frame_of_reference else "no frame of reference"


def _order(plane: FramePlane) -> tuple[bool, int, str, int]:
    return not plane.is_decoded, plane.number, plane.uid, plane.frame


def _position(plane: FramePlane) -> NDArray[np.float64]:
    if plane.position is None:  # stack_of let none pass
        raise DecodeError("A frame has no position.")
    return plane.position


def _levels(planes: Sequence[FramePlane], group: Sequence[int]) -> list[list[int]]:
    """Bring frames at the same place along the normal together, in order of that place."""
    normal = planes[group[0]].normal
    along = {at: float(normal @ _position(planes[at])) for at in group}
    near = min(_ROUNDING_MM, 0.1 * min(planes[group[0]].spacing))
    levels: list[list[int]] = []
    for at in sorted(group, key=lambda at: (along[at], _order(planes[at]))):
        if levels and along[at] - along[levels[-1][0]] <= near:
            levels[-1].append(at)
        else:
            levels.append([at])
    for level in levels:
        level.sort(key=lambda at: _order(planes[at]))
    return levels


#: A volume among several: what tells it from the others, and its frames by level.
_Several = list[tuple[str, list[list[int]]]]


def _volumes_among(planes: Sequence[FramePlane], levels: list[list[int]]) -> _Several:
    """Take volumes at the same positions apart, by the marks that do so, else by the order of instance numbers."""
    most = max(map(len, levels))
    if most == 1:
        return [("", levels)]
    keys: dict[int, tuple[Any, ...]] = {at: () for level in levels for at in level}
    names: list[str] = []
    marks = dict.fromkeys([*MARKS, *(name for at in keys for name in planes[at].marks)])
    for name in marks:
        finer = {at: (*key, planes[at].marks.get(name)) for at, key in keys.items()}
        # A mark that differs from slice to slice anyway makes more volumes than any level has frames.
        if len(set(finer.values())) <= most and _doubles(levels, finer) < _doubles(levels, keys):
            keys, names = finer, [*names, name]
    keys, names = _by_rank(planes, levels, keys, names)
    made: dict[tuple[Any, ...], list[list[int]]] = defaultdict(list)
    for level in levels:
        here: dict[tuple[Any, ...], list[int]] = defaultdict(list)
        for at in level:
            here[keys[at]].append(at)
        for key, frames in here.items():
            made[key].append(frames)
    ordered = sorted(
        made, key=lambda key: [(value is None, isinstance(value, str), *_sortable(value)) for value in key]
    )
    return [
        (", ".join(f"{name} {_shown(value)}" for name, value in zip(names, key, strict=True)), made[key])
        for key in ordered
    ]


def _sortable(value: Any) -> tuple[Any, ...]:
    """Make values of one attribute comparable, whatever kinds it has in real files."""
    return value is None, not isinstance(value, float), value if isinstance(value, float) else 0.0, str(value)


def _shown(value: Any) -> str:
    """Write a value short; texts of files are cut."""
    if isinstance(value, tuple):
        return "\\".join(_shown(each) for each in value)
    return (
        "missing"
        if value is None
        else f"{value:g}"
        if isinstance(value, float)
        else printable(str(value)[:40])
    )


def _doubles(levels: list[list[int]], keys: dict[int, tuple[Any, ...]]) -> int:
    return sum(len(level) - len({keys[at] for at in level}) for level in levels)


def _by_rank(
    planes: Sequence[FramePlane],
    levels: list[list[int]],
    keys: dict[int, tuple[Any, ...]],
    names: list[str],
) -> tuple[dict[int, tuple[Any, ...]], list[str]]:
    """Where every level has the same number of frames and no mark tells them apart, go by their order."""
    counts = {tuple(sorted(map(str, Counter(keys[at] for at in level).items()))) for level in levels}
    same_number = any(
        planes[a].number == planes[b].number and planes[a].uid != planes[b].uid
        for level in levels
        for a, b in pairwise(level)
        if keys[a] == keys[b]
    )
    if len(levels) < 2 or len(counts) != 1 or same_number or not _doubles(levels, keys):
        return keys, names
    ranked: dict[int, tuple[Any, ...]] = {}
    for level in levels:
        seen: Counter[tuple[Any, ...]] = Counter()
        for at in level:
            seen[keys[at]] += 1
            ranked[at] = (*keys[at], float(seen[keys[at]]))
    return ranked, [*names, "place in the order of instance numbers"]


def _choose(
    planes: Sequence[FramePlane], several: _Several, stack: int | None, problems: Problems
) -> list[list[int]]:
    """Take one of several volumes; a row says of each other one how to have it instead."""
    if stack is None:
        number = max(range(len(several)), key=lambda at: (len(several[at][1]), -at))
    elif 1 <= stack <= len(several):
        number = stack - 1
    else:
        raise QueryError(
            f"There is no stack {stack}: {len(several)} volumes lie at the same positions, counted from 1."
        )
    for at, (label, levels) in enumerate(several):
        if at != number:
            count = sum(map(len, levels))
            problems.add(
                "several volumes",
                f"left out: volume {at + 1} of {len(several)} at the same positions, {label}, {count} frames;"
                f" taken: volume {number + 1}, {several[number][0]}. stack={at + 1} takes this one, or give its"
                " instances alone.",
                where=f"stack {at + 1}",
                uid=planes[levels[0][0]].uid,
            )
    return several[number][1]


def _on_grid(planes: Sequence[FramePlane], levels: list[list[int]], problems: Problems) -> Stack:
    """Put one frame a level on a regular grid."""
    kept = [level[0] for level in levels]
    doubled = [(at, level[0]) for level in levels for at in level[1:]]
    first = planes[kept[0]]
    positions = np.stack([_position(planes[at]) for at in kept])
    indices, step = _steps(first, positions, problems)
    chosen: list[int | None] = [None] * (indices[-1] + 1)
    for index, at in zip(indices, kept, strict=True):
        chosen[index] = at
    _report_tilt(first, positions, step, problems)
    affine = affine_of(positions[0], step, first.row_direction, first.column_direction, first.spacing)
    return Stack(chosen, doubled, affine)


def _steps(
    first: FramePlane, positions: NDArray[np.float64], problems: Problems
) -> tuple[list[int], NDArray[np.float64]]:
    """Find the index of each slice and the step between neighbours; say what is not regular."""
    normal = first.normal
    count = len(positions)
    if count == 1:
        thickness = f"its thickness, {first.thickness:g} mm," if first.thickness else "1 mm"
        problems.add(
            "single slice", f"there is one slice; {thickness} stands for the spacing", where="slice 0"
        )
        return [0], normal * (first.thickness or 1.0)
    gaps = np.diff(positions @ normal)
    for base in (float(np.median(gaps)), float(gaps.min())):
        indices = [0, *np.cumsum(np.maximum(np.round(gaps / base), 1).astype(int)).tolist()]
        step = (positions[-1] - positions[0]) / indices[-1]
        beside = positions - positions[0] - np.multiply.outer(indices, step)
        allowed = _OF_SPACING * base + _ROUNDING_MM
        if np.abs(beside @ normal).max() <= allowed and indices[-1] + 1 <= 2 * count:
            break
    else:
        indices = list(range(count))
        step = (positions[-1] - positions[0]) / (count - 1)
        beside = positions - positions[0] - np.multiply.outer(indices, step)
        allowed = _OF_SPACING * float(np.median(gaps)) + _ROUNDING_MM
        _report_unequal(gaps, np.abs(beside @ normal), float(step @ normal), problems)
    for index, following in pairwise(indices):
        if following - index > 1:
            missing = following - index - 1
            what = "slice is" if missing == 1 else "slices are"
            problems.add(
                "missing slices",
                f"a gap of {(following - index)} spacings of {float(step @ normal):.4g} mm: {missing} {what} not"
                " there; the array holds the padding or its least value there",
                where=f"slice {index + 1}" if missing == 1 else f"slices {index + 1} to {following - 1}",
            )
    aside = np.linalg.norm(beside - np.outer(beside @ normal, normal), axis=1)
    if aside.max() > max(allowed, 0.1 * min(first.spacing)):
        worst = int(aside.argmax())
        problems.add(
            "shifted slices",
            f"{int((aside > allowed).sum())} slices lie beside a straight stack, by up to {aside[worst]:.4g} mm in"
            " their plane; the affine is that of the straight stack, slices has the true positions",
            where=f"slice {indices[worst]}",
        )
    return indices, step


def _report_unequal(
    gaps: NDArray[np.float64], beside: NDArray[np.float64], mean: float, problems: Problems
) -> None:
    typical = float(np.median(gaps))
    problems.add(
        "unequal spacing",
        f"distances between slices are {gaps.min():.4g} to {gaps.max():.4g} mm, median {typical:.4g}; the affine has"
        f" their mean, {mean:.4g} mm, so that slices lie up to {beside.max():.4g} mm beside it; slices has the true"
        " positions",
        where=f"slice {int(beside.argmax())}",
    )
    for at in np.flatnonzero(gaps > 1.5 * typical):
        problems.add(
            "missing slices",
            f"a gap of about {gaps[at] / typical:.4g} spacings ({gaps[at]:.4g} mm); it is not filled, because the"
            " spacing is unequal anyway",
            where=f"between slices {at} and {at + 1}",
        )


def _report_tilt(
    first: FramePlane, positions: NDArray[np.float64], step: NDArray[np.float64], problems: Problems
) -> None:
    normal = first.normal
    aside = step - (step @ normal) * normal
    if np.linalg.norm(aside) * (len(positions) - 1) <= max(0.1, 0.1 * min(first.spacing)):
        return
    angle = np.degrees(np.arctan2(np.linalg.norm(aside), abs(step @ normal)))
    problems.add(
        "gantry tilt",
        f"slices follow each other at {angle:.3g} degrees from their normal, {np.linalg.norm(aside):.4g} mm aside a"
        " slice; the affine is sheared accordingly and right",
    )
