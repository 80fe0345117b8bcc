"""Segmentations (PS3.3 C.8.20): each segment a mask in the grid of a volume."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from dicomframe.errors import DecodeError, DicomFrameError
from dicomframe.images.layers import Colour, Overlay, Overlays, colour_of_cielab, palette_colour
from dicomframe.images.lut import functional_group
from dicomframe.images.parallel import Floats, ParallelPlanes, axes_of, nearest, parallel_planes
from dicomframe.images.pixels import pixels
from dicomframe.images.reading import reading

if TYPE_CHECKING:
    from pydicom import Dataset

    from dicomframe.images.volume import Volume

#: Segment number and plane -> what the frames there show.
_Frames = dict[tuple[int, int], list[NDArray[Any]]]


def segments(ds: Dataset, onto: Volume) -> Overlays:
    """Lay the segments of a Segmentation over a volume.

    Parameters
    ----------
    ds : pydicom.Dataset
        BINARY, FRACTIONAL or LABELMAP. Its frames are placed by their positions, whatever their order; where its grid
        is not the volume's, each voxel of the volume takes the nearest of its voxels.
    onto : Volume

    Returns
    -------
    Overlays
        One a segment, in the order of the Segment Sequence.

    Raises
    ------
    DecodeError
        If there are no segments or no readable pixels.
    """
    with reading("the segmentation"):
        items = [item for item in ds.get("SegmentSequence") or [] if not _is_background(item, ds)]
        if not items:
            raise DecodeError("The segmentation has no segments.")
        numbers = [int(item.SegmentNumber) for item in items]
        labels = {number: _label(item, number) for number, item in zip(numbers, items, strict=True)}
        found = Overlays()
        arrays = _arrays(ds, onto, labels, found)
        for place, (number, item) in enumerate(zip(numbers, items, strict=True)):
            array = arrays.get(number)
            if array is None:
                found.report(labels[number], "no frames", f"segment {number}", "No frame shows this segment.")
                array = np.zeros(onto.array.shape, dtype=bool)
            found.append(_overlay(labels[number], _colour(item, place), array))
    return found


def _overlay(label: str, colour: Colour, array: NDArray[Any]) -> Overlay:
    if array.dtype == bool:
        return Overlay(label, "mask", colour, array)
    return Overlay(label, "mask", colour, array >= 0.5, fractions=array)


def _is_background(item: Dataset, ds: Dataset) -> bool:
    """Tell whether a label map describes what is around the segments as one of them."""
    padding = ds.get("PixelPaddingValue")
    return ds.get("SegmentationType") == "LABELMAP" and padding is not None and item.SegmentNumber == padding


def _label(item: Dataset, number: int) -> str:
    return str(item.get("SegmentLabel") or item.get("SegmentDescription") or f"Segment {number}")


def _colour(item: Dataset, place: int) -> Colour:
    lab = item.get("RecommendedDisplayCIELabValue")
    if lab is None or len(lab) != 3:
        return palette_colour(place)
    return colour_of_cielab(lab)


def _arrays(ds: Dataset, onto: Volume, labels: dict[int, str], found: Overlays) -> dict[int, NDArray[Any]]:
    """Give each segment's voxels in the grid of the volume."""
    values = pixels(ds)
    by_segment = _frames_of_segments(ds, values, labels, found)
    grids: dict[tuple[float, ...], list[tuple[int, NDArray[Any], Floats, int]]] = defaultdict(list)
    for segment, frame, shown in by_segment:
        try:
            grid, position = _place(ds, frame)
        except DicomFrameError as error:
            found.report(labels[segment], "no place", f"frame {frame + 1}", str(error))
            continue
        grids[grid].append((segment, shown, position, frame))
    out: dict[int, NDArray[Any]] = {}
    for grid, frames in grids.items():
        stack, planes = parallel_planes(
            [list(each[2]) for each in frames], axes_of(grid[:6]), (grid[6], grid[7])
        )
        placed: _Frames = defaultdict(list)
        for (segment, shown, _, _), plane in zip(frames, planes.tolist(), strict=True):
            placed[segment, plane].append(shown)
            if segment not in out:
                out[segment] = np.zeros(onto.array.shape, dtype=shown.dtype)
        reach = _reach(stack, grid[8], onto)
        seen = _lay(stack, reach, placed, onto, out)
        _report_unseen(frames, planes, seen, labels, found, partial(_is_within, stack, onto))
        taken = [
            each for each, plane in zip(frames, planes.tolist(), strict=True) if (each[0], plane) in seen
        ]
        _report_cut(taken, labels, found, partial(_beyond, stack, reach, onto))
    return out


def _frames_of_segments(
    ds: Dataset, values: NDArray[Any], labels: dict[int, str], found: Overlays
) -> list[tuple[int, int, NDArray[Any]]]:
    """Give segment number, frame index and what the frame shows of it: bool, or float32 from 0 to 1."""
    kind = str(ds.get("SegmentationType") or "BINARY").upper()
    shown: list[tuple[int, int, NDArray[Any]]] = []
    if kind == "LABELMAP":
        for frame, stored in enumerate(values):
            present = [int(number) for number in np.unique(stored)]
            shown += [(number, frame, stored == number) for number in present if number in labels]
            unknown = [number for number in present if number and number not in labels]
            if unknown:
                detail = f"No segment has the numbers {unknown[:5]}."
                found.report("", "unknown segment", f"frame {frame + 1}", detail)
        return shown
    if kind not in {"BINARY", "FRACTIONAL"}:
        raise DecodeError(f"Segmentation Type must be BINARY, FRACTIONAL or LABELMAP, not {kind[:16]!r}.")
    largest = np.float32(ds.get("MaximumFractionalValue") or 255)
    for frame, stored in enumerate(values):
        identity = functional_group(ds, frame, "SegmentIdentificationSequence")
        number = int(identity.ReferencedSegmentNumber) if identity is not None else None
        if number is None and len(labels) == 1:
            number = next(iter(labels))
        if number not in labels:
            detail = "It names no segment." if number is None else f"No segment has the number {number}."
            found.report("", "unknown segment", f"frame {frame + 1}", detail)
            continue
        shown.append((number, frame, stored > 0 if kind == "BINARY" else stored.astype(np.float32) / largest))
    return shown


def _place(ds: Dataset, frame: int) -> tuple[tuple[float, ...], Floats]:
    """Give a frame's grid (orientation, row and column spacing, slice spacing or 0) and position."""
    position = functional_group(ds, frame, "PlanePositionSequence")
    orientation = functional_group(ds, frame, "PlaneOrientationSequence")
    measures = functional_group(ds, frame, "PixelMeasuresSequence")
    origin = position.get("ImagePositionPatient") if position is not None else None
    turned = orientation.get("ImageOrientationPatient") if orientation is not None else None
    spacing = measures.get("PixelSpacing") if measures is not None else None
    if measures is None or not origin or not turned or not spacing:
        raise DecodeError("The frame has no Image Position, Image Orientation or Pixel Spacing.")
    between = [measures.get(name) for name in ("SpacingBetweenSlices", "SliceThickness")]
    step = next((abs(float(each)) for each in between if each), 0.0)
    numbers = [*(round(float(each), 5) for each in turned), *(float(each) for each in spacing), step]
    if len(numbers) != 9 or len(origin) != 3 or min(numbers[6:8]) <= 0:
        raise DecodeError("The frame's position, orientation or pixel spacing is malformed.")
    return tuple(numbers), np.asarray([float(each) for each in origin])


def _reach(stack: ParallelPlanes, step: float, onto: Volume) -> float:
    """Tell how far from its middle a plane holds, in mm.

    Segmentations leave empty frames out, so that the distance of those left is a multiple of the real one.
    """
    gaps = [float(gap) for gap in np.diff(stack.heights)]
    steps = [each for each in [step, *gaps] if each > 0]
    thickness = min(steps) if steps else abs(float(stack.axes[0] @ onto.affine[:3, 0])) or 1.0
    return thickness / 2 + 1e-3


def _lay(
    stack: ParallelPlanes, reach: float, placed: _Frames, onto: Volume, out: dict[int, NDArray[Any]]
) -> set[tuple[int, int]]:
    """Write the frames into the segments' arrays; gives (segment, plane) of those that a slice took."""
    seen: set[tuple[int, int]] = set()
    heights = stack.heights
    numbers = sorted({segment for segment, _ in placed})
    for slice_number, (height, row, column) in enumerate(stack.places(onto)):
        plane = nearest(heights, height)
        near = np.abs(height - heights[plane]) <= reach
        if not near.any():
            continue
        rows, columns = (
            np.broadcast_to(np.rint(each).astype(np.intp), onto.array.shape[1:]) for each in (row, column)
        )
        for each in np.unique(plane[near]).tolist():
            here = near & (plane == each)
            for segment in numbers:
                for shown in placed.get((segment, each), ()):
                    inside = here & (rows >= 0) & (rows < shown.shape[0])
                    inside = inside & (columns >= 0) & (columns < shown.shape[1])
                    taken = shown[rows[inside], columns[inside]]
                    if taken.any():
                        seen.add((segment, each))
                        target = out[segment][slice_number]
                        target[inside] = np.maximum(target[inside], taken)
    return seen


def _report_unseen(
    frames: list[tuple[int, NDArray[Any], Floats, int]],
    planes: NDArray[np.intp],
    seen: set[tuple[int, int]],
    labels: dict[int, str],
    found: Overlays,
    is_within: Callable[[NDArray[Any], Floats], bool],
) -> None:
    """Report frames with something in them that no slice of the volume took."""
    missed: dict[tuple[int, str], list[int]] = defaultdict(list)
    for (segment, shown, origin, frame), plane in zip(frames, planes.tolist(), strict=True):
        if (segment, plane) not in seen and shown.any():
            what = "between the slices" if is_within(shown, origin) else "beside the volume"
            missed[segment, what].append(frame + 1)
    for (segment, what), numbers in missed.items():
        found.report(labels[segment], what, _listed(numbers), _UNSEEN[what].format(len(numbers)))


def _listed(frames: Sequence[int]) -> str:
    """Name frames, the first few of them."""
    return f"frames {', '.join(map(str, frames[:8]))}{' …' if len(frames) > 8 else ''}"


_UNSEEN = {
    "beside the volume": "The volume does not reach where {} of its frames are.",
    "between the slices": "The volume is coarser: none of its voxels is nearest to what {} of the frames show.",
}


def _is_within(stack: ParallelPlanes, onto: Volume, shown: NDArray[Any], origin: Floats) -> bool:
    """Tell whether the middle of what a frame shows is in the volume."""
    row, column = (float(each.mean()) for each in np.nonzero(shown))
    middle = origin + stack.axes[1] * row * stack.spacing[0] + stack.axes[2] * column * stack.spacing[1]
    index = onto.to_index(middle)
    return bool(((index > -0.5) & (index < np.asarray(onto.array.shape) - 0.5)).all())


def _report_cut(
    frames: list[tuple[int, NDArray[Any], Floats, int]],
    labels: dict[int, str],
    found: Overlays,
    beyond: Callable[[NDArray[Any], Floats], tuple[int, int]],
) -> None:
    """Report segments of which the volume has a part only."""
    cut: dict[int, list[tuple[int, int, int]]] = defaultdict(list)
    for segment, shown, origin, frame in frames:
        outside, count = beyond(shown, origin)
        if outside:
            cut[segment].append((frame + 1, outside, count))
    for segment, parts in cut.items():
        outside, count = (sum(part[at] for part in parts) for at in (1, 2))
        detail = f"{outside:,} of the {count:,} pixels there lie beyond the volume and are cut off."
        where = _listed([frame for frame, _, _ in parts])
        found.report(labels[segment], "partly beside the volume", where, detail)


def _beyond(
    stack: ParallelPlanes, reach: float, onto: Volume, shown: NDArray[Any], origin: Floats
) -> tuple[int, int]:
    """Count the pixels of what a frame shows whose middles lie beyond the volume; and all of them, where some do."""
    # A thick plane counts for slices beside it.
    slack = 0.5 + 1e-3 + np.abs(np.linalg.inv(onto.affine)[:3, :3] @ stack.axes[0]) * reach
    high = np.asarray(onto.array.shape) - 1 + slack

    def outside(rows: NDArray[Any], columns: NDArray[Any]) -> int:
        places = origin + np.multiply.outer(rows * stack.spacing[0], stack.axes[1])
        index = onto.to_index(places + np.multiply.outer(columns * stack.spacing[1], stack.axes[2]))
        return int(((index < -slack) | (index > high)).any(axis=-1).sum())

    rows, columns = (np.flatnonzero(shown.any(axis=axis))[[0, -1]] for axis in (1, 0))
    # Most frames lie within, and then so do the corners around what they show.
    if not outside(np.repeat(rows, 2), np.tile(columns, 2)):
        return 0, 0
    within = np.nonzero(shown)
    return outside(*within), len(within[0])
