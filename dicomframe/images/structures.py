"""RT structure sets (PS3.3 C.8.8.5, C.8.8.6): contours in the slices of a volume, and the masks that they enclose."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from dicomframe.errors import DecodeError, DicomFrameError
from dicomframe.images.layers import Colour, Contours, Overlay, Overlays, palette_colour
from dicomframe.images.parallel import Floats, nearest
from dicomframe.images.reading import reading

if TYPE_CHECKING:
    from pydicom import Dataset

    from dicomframe.images.volume import Volume

#: How far a contour's points may leave its plane, in slices; and how near two planes are one.
_FLAT = 0.2
_SAME = 0.05
_ENCLOSING = ("CLOSED_PLANAR", "CLOSEDPLANAR_XOR")


def structures(ds: Dataset, onto: Volume, *, registered: bool = False) -> Overlays:
    """Lay the regions of interest of an RT Structure Set over a volume.

    Parameters
    ----------
    ds : pydicom.Dataset
        Closed planar contours enclose a region; those of one region and plane that lie in each other leave holes
        (exclusive or), and keyholes work by themselves.
    onto : Volume
        A slice between the planes of the contours takes those of the nearest plane, at most half their distance away.
    registered : bool
        Take all regions, whatever frame of reference they name.

    Returns
    -------
    Overlays
        One a region with closed contours. Points, open contours and contours across the slices are reported.

    Raises
    ------
    DecodeError
        If there are no contours at all.
    """
    with reading("the structure set"):
        named = {int(item.ROINumber): item for item in ds.get("StructureSetROISequence") or []}
        drawn = list(ds.get("ROIContourSequence") or [])
        if not drawn:
            raise DecodeError("The structure set has no contours.")
        found = Overlays()
        for place, item in enumerate(drawn):
            try:
                with reading("the region"):
                    number = int(item.ReferencedROINumber)
                    _add_region(item, named.pop(number, None), place, onto, found, registered=registered)
            except DecodeError as error:
                found.report("", "malformed region", f"region {place + 1} of {len(drawn)}", str(error))
        for number, roi in named.items():
            label = str(roi.get("ROIName") or f"ROI {number}")
            found.report(label, "no contours", f"ROI {number}", "The region is named, but not drawn.")
    return found


def _add_region(
    item: Dataset, roi: Dataset | None, place: int, onto: Volume, found: Overlays, *, registered: bool
) -> None:
    """Add one region, or say why it is not there."""
    where = f"ROI {item.ReferencedROINumber}"
    label = str(roi.get("ROIName") or "") if roi is not None else ""
    reference = str(roi.get("ReferencedFrameOfReferenceUID") or "") if roi is not None else ""
    if not registered and reference and reference != onto.frame_of_reference_uid:
        detail = "The region lies in another frame of reference than the volume (registered=True overrules)."
        found.report(label or where, "other frame of reference", where, detail)
        return
    _add(item, label or where, where, _colour(item, place), onto, found)


def _colour(item: Dataset, place: int) -> Colour:
    numbers = item.get("ROIDisplayColor")
    if numbers is None or len(numbers) != 3:
        return palette_colour(place)
    red, green, blue = (min(max(int(number), 0), 255) for number in numbers)
    return red, green, blue


def _add(item: Dataset, label: str, where: str, colour: Colour, onto: Volume, found: Overlays) -> None:
    """Add a region's contours, or say why there is nothing to add."""
    flat: list[tuple[float, Floats]] = []
    unused: Counter[tuple[str, str]] = Counter()
    to_index: Floats = np.asarray(np.linalg.inv(onto.affine), dtype=np.float64)
    for contour in item.get("ContourSequence") or []:
        try:
            flat.append(_flat_contour(contour, to_index))
        except _Unused as reason:
            unused[reason.what, str(reason)] += 1
    for (what, detail), count in unused.items():
        found.report(
            label, what, f"{where}, {count} contours" if count > 1 else f"{where}, 1 contour", detail
        )
    if not flat:
        if not unused:
            found.report(label, "no contours", where, "The region has no contours.")
        return
    contours, missed = _by_slice(flat, onto.array.shape[0])
    if missed:
        detail = (
            "No slice of the volume lies at these contours, or a nearer plane of contours was taken for it."
        )
        found.report(label, "beside the slices", f"{where}, {missed} planes", detail)
    high = np.asarray(onto.array.shape[:0:-1]) - 0.499  # contours are drawn along edges of pixels, too
    beyond = [
        number
        for number, outlines in contours.items()
        if any(((points < -0.501) | (points > high)).any() for points in outlines)
    ]
    if beyond:
        detail = f"The contours of {len(beyond)} slices reach beyond the volume, where the mask is cut off."
        found.report(label, "partly beside the volume", f"{where}, slice {beyond[0]} first", detail)
    array = np.zeros(onto.array.shape, dtype=bool)
    for number, outlines in contours.items():
        contours[number] = _without_doubles(outlines, label, f"{where}, slice {number}", found)
        array[number] = enclosed(contours[number], onto.array.shape[1:])
    found.append(Overlay(label, "mask", colour, array, contours=contours))


class _Unused(DicomFrameError):
    """Why a contour encloses nothing in a slice."""

    def __init__(self, what: str, reason: str) -> None:
        super().__init__(reason)
        self.what = what


def _flat_contour(contour: Dataset, to_index: Floats) -> tuple[float, Floats]:
    """Give a contour's fractional slice and its columns and rows, closed."""
    kind = str(contour.get("ContourGeometricType") or "").upper()
    if kind not in _ENCLOSING:
        named = kind[:24] or "without a type"
        raise _Unused("point" if kind == "POINT" else "not closed", f"Contours {named} enclose no region.")
    numbers = np.asarray(contour.get("ContourData") or [], dtype=np.float64)
    if numbers.size < 9 or numbers.size % 3 or not np.isfinite(numbers).all():
        raise _Unused(
            "malformed contour", "A closed contour has three points or more, of three numbers each."
        )
    points = numbers.reshape(-1, 3) @ to_index[:3, :3].T + to_index[:3, 3]
    if np.ptp(points[:, 0]) > 2 * _FLAT:
        raise _Unused("across the slices", "The contour's plane is not that of the volume's slices.")
    outline = points[:, [2, 1]]
    return float(points[:, 0].mean()), np.concatenate([outline, outline[:1]])


def _by_slice(flat: list[tuple[float, Floats]], slices: int) -> tuple[Contours, int]:
    """Give each slice the contours of the nearest plane; and how many planes no slice took."""
    planes: dict[float, list[Floats]] = defaultdict(list)
    for height, outline in sorted(flat, key=lambda each: each[0]):
        last = next(reversed(planes), None)
        planes[last if last is not None and height - last < _SAME else height].append(outline)
    heights = np.asarray(list(planes))
    # A plane holds for half a slice to both sides, or half the distance of the planes where they lie farther apart;
    # of two slices just that far away, the second takes it.
    gaps = np.diff(heights)
    reach = max(1.0, float(gaps.min()) if len(gaps) else 1.0) / 2 + 1e-3
    numbers = np.arange(slices, dtype=np.float64)
    chosen = nearest(heights, numbers)
    taken = [
        (number, float(heights[plane]))
        for number, plane in enumerate(chosen.tolist())
        if 2e-3 - reach < number - heights[plane] <= reach
    ]
    return {number: planes[height] for number, height in taken}, len(planes) - len(
        {each for _, each in taken}
    )


def _without_doubles(outlines: Iterable[Floats], label: str, where: str, found: Overlays) -> list[Floats]:
    """Leave out what is drawn twice in a slice: exclusive or would make a hole of it."""
    kept: dict[bytes, Floats] = {}
    for outline in outlines:
        key = np.round(outline, 4).tobytes()
        if key in kept:
            found.report(label, "drawn twice", where, "One of two equal contours was left out.")
        kept.setdefault(key, outline)
    return list(kept.values())


def enclosed(outlines: Iterable[NDArray[Any]], shape: tuple[int, ...]) -> NDArray[np.bool_]:
    """Tell which pixels have their middle inside outlines, by the even-odd rule.

    Parameters
    ----------
    outlines : iterable of ndarray, shape (points, 2)
        Column and row, (0, 0) the middle of the first pixel. Each is closed by its first point.
    shape : (int, int)
        Rows and columns.

    Returns
    -------
    ndarray of bool, shape (rows, columns)
        Outlines that share an edge share no pixel, and leave none out between them.

    Examples
    --------
    >>> enclosed([np.array([(0.5, 0.5), (2.5, 0.5), (2.5, 1.5), (0.5, 1.5)])], (3, 4)).astype(int).tolist()
    [[0, 0, 0, 0], [0, 1, 1, 0], [0, 0, 0, 0]]
    """
    rows, columns = shape
    crossings = np.zeros((rows, columns + 1), dtype=np.uint8)  # only odd or even counts
    for outline in outlines:
        start, end = np.asarray(outline, dtype=np.float64), np.roll(outline, -1, axis=0)
        # Each edge crosses the rows from its upper end, which belongs to it, to its lower, which does not.
        upper = np.where((start[:, 1] <= end[:, 1])[:, None], start, end)
        lower = np.where((start[:, 1] <= end[:, 1])[:, None], end, start)
        first = np.clip(np.ceil(upper[:, 1]), 0, rows).astype(np.intp)
        count = np.maximum(np.clip(np.ceil(lower[:, 1]), 0, rows).astype(np.intp) - first, 0)
        edge = np.repeat(np.arange(len(start)), count)
        row = first[edge] + np.arange(len(edge)) - np.repeat(np.cumsum(count) - count, count)
        share = (row - upper[edge, 1]) / (lower[edge, 1] - upper[edge, 1])
        column = upper[edge, 0] + share * (lower[edge, 0] - upper[edge, 0])
        np.add.at(crossings, (row, np.clip(np.ceil(column), 0, columns).astype(np.intp)), 1)
    inside: NDArray[np.bool_] = (np.cumsum(crossings, axis=1, dtype=np.uint8)[:, :columns] & 1).astype(bool)
    return inside
