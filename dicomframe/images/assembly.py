"""From objects to a volume: slices are written into one array as they arrive, and put in order when all are there."""

from __future__ import annotations

import threading
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from dicomframe.errors import DecodeError, DicomFrameError, printable
from dicomframe.images.geometry import FramePlane, planes_of
from dicomframe.images.lut import functional_group, modality_values
from dicomframe.images.mosaic import mosaic_of
from dicomframe.images.no_pixels import no_pixels
from dicomframe.images.pixels import frame_pixels, has_pixels
from dicomframe.images.problems import Problems
from dicomframe.images.reading import reading
from dicomframe.images.real_world import not_applied, note_of
from dicomframe.images.stacking import stack_of
from dicomframe.images.suv import suv_factor
from dicomframe.images.units import unit_of
from dicomframe.images.voi_luts import voi_luts_of
from dicomframe.images.volume import Volume
from dicomframe.images.windowing import Window, default_window, is_inverted, padding_range

if TYPE_CHECKING:
    import pandas as pd
    from pydicom import Dataset

#: Slices for which room is made at most before they come; untouched room takes no memory.
_MOST_EXPECTED = 4096
_INT16 = np.iinfo(np.int16)


@dataclass(slots=True)
class _Slice:
    """A frame that has come: where it is, the row of its size's array that holds it, and how it is to be shown."""

    plane: FramePlane
    row: int | None = None
    window: Window | None = None
    padding: tuple[float, float] | None = None
    is_inverted: bool = False
    unit: str = ""
    modality: str = ""
    factor: float = 1.0
    voi_lut: tuple[int, bytes] | None = None
    not_applied: tuple[str, ...] = ()


class Assembly:
    """Takes objects of a series in any order, from several threads, and makes a volume of them.

    Memory is that of the slices themselves: int16 where that holds them exactly, else float32.

    Parameters
    ----------
    expected : int
        How many objects will come, so that room is made once.
    stack : int, optional
        As for `volume_of`.
    suv : bool
        As for `volume_of`.
    """

    def __init__(self, expected: int = 1, *, stack: int | None = None, suv: bool = False) -> None:
        self._expected = max(expected, 1)
        self._stack = stack
        self._suv = suv
        self._lock = threading.Lock()
        self._slices: list[_Slice] = []
        self._arrays: dict[tuple[int, int], _Rows] = {}
        self._problems = Problems()
        self._failures: list[DicomFrameError] = []

    def add(self, ds: Dataset) -> None:
        """Take the frames of one object; what cannot be used becomes a problem of the volume."""
        uid = ""
        try:
            with reading("the SOP Instance UID"):
                uid = str(ds.get("SOPInstanceUID") or "")
            if not has_pixels(ds):
                raise no_pixels(ds.get("Modality"))
            planes = planes_of(ds)
            _check_grey(ds)
            factor = suv_factor(ds) if self._suv else 1.0
        except DicomFrameError as error:
            self.fail(uid, error)
            return
        mosaic = mosaic_of(ds)
        whole = None
        for at, plane in enumerate(planes):
            if plane.position is None:
                self._take(_Slice(plane), None, len(planes))
                continue
            try:
                if mosaic is None:
                    frame, stored = at, frame_pixels(ds, at)
                else:  # all tiles are cut from one frame
                    whole = frame_pixels(ds) if whole is None else whole
                    frame, stored = 0, mosaic.cut(whole, at)
                self._take(*self._slice(ds, plane, frame, stored, factor), len(planes))
            except DicomFrameError as error:
                # Its place is known, so that it is a slice without pixels.
                with self._lock:
                    self._slices.append(_Slice(replace(plane, is_decoded=False)))
                self.fail(uid, error, plane.frame)

    def fail(self, uid: str, error: DicomFrameError, frame: int | None = None) -> None:
        """Note an object, or one frame of it, that could not be had."""
        with self._lock:
            self._failures.append(error)
            self._problems.add("failed", _one_line(error), uid=uid, frame=frame)

    def _slice(
        self, ds: Dataset, plane: FramePlane, frame: int, stored: NDArray[Any], factor: float
    ) -> tuple[_Slice, NDArray[Any]]:
        """Give a frame's values in their unit, and what else is known of it."""
        with reading("the values"):
            values = _in_unit(stored, ds, frame, factor)
            ends = padding_range(ds, stored)
            made = _Slice(
                plane,
                window=None if self._suv else default_window(ds, frame),
                padding=None if ends is None else _padding_in_unit(ends, ds, frame, factor),
                is_inverted=is_inverted(ds),
                unit="g/ml" if self._suv else unit_of(ds, frame, stored),
                modality=printable(str(ds.get("Modality") or "")[:16]),
                factor=factor,
                voi_lut=next((lut.key for lut in voi_luts_of(ds, frame)[0]), None),
                not_applied=tuple(not_applied(ds, frame, stored, factor)),
            )
        return made, values

    def _take(self, made: _Slice, values: NDArray[Any] | None, frames: int) -> None:
        with self._lock:
            if values is not None:
                rows = self._arrays.get(values.shape)
                if rows is None:
                    room = min(self._expected * frames, max(_MOST_EXPECTED, frames))
                    rows = self._arrays[values.shape] = _Rows(values, room)
                made.row = rows.put(values)
            self._slices.append(made)

    def volume(self) -> Volume:
        """Make the volume of what has come. The assembly is used up.

        Raises
        ------
        DecodeError
            If there is nothing of which a volume could be made.
        QueryError
            If the stack asked for is not there.
        """
        slices, problems = self._slices, self._problems
        if not any(each.row is not None for each in slices) and self._failures:
            raise self._failures[0]
        stack = stack_of([each.plane for each in slices], problems, self._stack)
        chosen = [None if at is None else slices[at] for at in stack.chosen]
        present = [each for each in chosen if each is not None and each.row is not None]
        if not present:
            raise self._failures[0] if self._failures else DecodeError("No slice of the volume has pixels.")
        rows = self._arrays[present[0].plane.size]
        for left_out, kept in stack.doubled:
            where = f"slice {stack.chosen.index(kept)}"
            _report_doubled(slices[left_out], slices[kept], rows, where, problems)
        units = {each.unit for each in present}
        if len(units) > 1:
            problems.add(
                "mixed units", f"slices have values in {', '.join(sorted(u or 'no unit' for u in units))}"
            )
        factors = [each.factor for each in present]
        if max(factors) > 1.001 * min(factors):
            problems.add(
                "mixed uptake factors",
                f"slices were made uptake values by factors from {min(factors):.4g} to {max(factors):.4g}; that is"
                " right only where their activity holds for different moments (Decay Correction NONE)",
            )
        if len({each.is_inverted for each in present}) > 1:
            problems.add("mixed inversion", "some slices are inverted (MONOCHROME1), some are not")
        by_lut = [each.voi_lut for each in present if each.voi_lut is not None and each.window is None]
        if by_lut and not self._suv:
            which = f"{len(set(by_lut))} different VOI LUTs" if len(set(by_lut)) > 1 else "a VOI LUT"
            problems.add(
                "VOI LUT",
                f"{len(by_lut)} of {len(present)} slices are to be shown by {which} and name no window; a volume has"
                " windows only, its values are not changed; rendered() and view() apply the table",
            )
        mapped = [each for each in present if each.not_applied]
        if mapped:
            note = note_of([name for each in mapped for name in each.not_applied])
            problems.add("Real World Value Mapping", f"{len(mapped)} of {len(present)} slices: {note}")
        paddings = [each.padding for each in present if each.padding is not None]
        middle = present[len(present) // 2]
        array = rows.ordered([None if each is None else each.row for each in chosen], paddings)
        self._arrays.clear()
        return Volume(
            array=array,
            affine=stack.affine,
            problems=problems.table(),
            slices=_table_of_slices(chosen),
            unit=middle.unit if len(units) == 1 else "",
            modality=middle.modality,
            frame_of_reference_uid=middle.plane.frame_of_reference,
            window=middle.window,
            inverted=middle.is_inverted,
            padding=(min(low for low, _ in paddings), max(high for _, high in paddings))
            if paddings
            else None,
        )


def volume_of(datasets: Iterable[Dataset], *, stack: int | None = None, suv: bool = False) -> Volume:
    """Assemble the objects of one series into a volume.

    Parameters
    ----------
    datasets : iterable of pydicom.Dataset
        Single-frame and Enhanced multi-frame images, RT doses, reconstructed NM images, Siemens mosaics; in any order.
    stack : int, optional
        Which of several volumes at the same positions (echoes, times, b-values), from 1; ``problems`` lists them.
        By default the first of those with most slices.
    suv : bool
        Give PET values as SUVbw in g/ml; see `dicomframe.images.suv.suv_factor`.

    Returns
    -------
    Volume
        Sorted by Image Position (Patient) along the normal (PS3.3 C.7.6.2.1.1). Whatever is not as it should be, and
        every frame that was left out, is a row of ``problems``.

    Raises
    ------
    DecodeError
        If no frame can be decoded, or none has a position.
    QueryError
        If there is no such stack.

    Examples
    --------
    >>> from pydicom import dcmread, examples
    >>> volume_of([dcmread(examples.get_path("rt_dose"))])
    <Volume RTDOSE 15 x 10 x 10, 5 x 10 x 10 mm, float32 in relative>
    """
    assembly = Assembly(stack=stack, suv=suv)
    for ds in datasets:
        assembly.add(ds)
    return assembly.volume()


class _Rows:
    """Slices of one size in the order of their arrival, int16 until one comes that this does not hold."""

    def __init__(self, like: NDArray[Any], room: int) -> None:
        self.array = np.empty((room, *like.shape), np.int16)
        self.count = 0

    def put(self, values: NDArray[Any]) -> int:
        """Write a slice, give its row."""
        if self.array.dtype != values.dtype == np.float32:
            # Room that is not used yet is not touched.
            wider = np.empty(self.array.shape, np.float32)
            wider[: self.count] = self.array[: self.count]
            self.array = wider
        self._make_room(self.count + 1)
        self.array[self.count] = values
        self.count += 1
        return self.count - 1

    def _make_room(self, needed: int) -> None:
        if needed > len(self.array):
            larger = np.empty((max(needed, 2 * len(self.array)), *self.array.shape[1:]), self.array.dtype)
            larger[: self.count] = self.array[: self.count]
            self.array = larger

    def ordered(self, rows: list[int | None], paddings: list[tuple[float, float]]) -> NDArray[Any]:
        """Put rows in order, in place; where none is given, there is padding or the least value."""
        used = [row for row in rows if row is not None]
        fill: float = 0.0
        if len(used) < len(rows):
            fill = min(float(self.array[row].min()) for row in used)
            if paddings and _holds(self.array.dtype, paddings[0][0]):
                fill = paddings[0][0]
        left = iter(range(self.count, self.count + len(rows)))
        full = [next(left) if row is None else row for row in rows]
        self._make_room(max(full) + 1)
        lies_at: dict[int, int] = {}
        lies_in: dict[int, int] = {}
        for place, row in enumerate(full):
            found = lies_at.get(row, row)
            if found != place:
                other = lies_in.get(place, place)
                self.array[[place, found]] = self.array[[found, place]]
                lies_at[row], lies_at[other] = place, found
                lies_in[place], lies_in[found] = row, other
        array = self.array[: len(rows)]
        for place, given in enumerate(rows):
            if given is None:
                array[place] = fill
        # A part of a larger array would keep all of it.
        return array.copy() if self.count > len(rows) else array


def _check_grey(ds: Dataset) -> None:
    if (
        int(ds.get("SamplesPerPixel") or 1) != 1
        or str(ds.get("PhotometricInterpretation")) == "PALETTE COLOR"
    ):
        raise DecodeError("A volume holds one value a voxel, and this image is in colour; pixels() gives it.")


def _in_unit(stored: NDArray[Any], ds: Dataset, frame: int, factor: float) -> NDArray[Any]:
    """Give values as int16 where that holds each of them exactly, else as float32."""
    source = functional_group(ds, frame, "PixelValueTransformationSequence") or ds
    slope, intercept = source.get("RescaleSlope"), source.get("RescaleIntercept")
    is_plain = not ds.get("ModalityLUTSequence") and "DoseGridScaling" not in ds and factor == 1.0
    if is_plain and stored.dtype.kind in "iu" and stored.dtype.itemsize <= 2:
        by, plus = (1.0, 0.0) if slope is None or intercept is None else (float(slope), float(intercept))
        if by == 1.0 and plus.is_integer() and abs(plus) < 1e6:
            # The way of nearly every CT and MR image, several times as fast as by float64.
            moved = stored.astype(np.int32) + int(plus) if plus or stored.dtype != np.int16 else stored
            if moved.dtype == np.int16 or _fits(moved):
                return moved.astype(np.int16, copy=False)
    values = modality_values(stored, ds, frame) * factor
    if _fits(values) and bool((values == np.rint(values)).all()):
        return values.astype(np.int16)
    return values.astype(np.float32)


def _holds(dtype: np.dtype[Any], value: float) -> bool:
    """Tell whether an array of a type has a value as it is."""
    return dtype.kind == "f" or (value.is_integer() and _INT16.min <= value <= _INT16.max)


def _fits(values: NDArray[Any]) -> bool:
    return bool(values.size and values.min() >= _INT16.min and values.max() <= _INT16.max)


def _padding_in_unit(ends: tuple[int, int], ds: Dataset, frame: int, factor: float) -> tuple[float, float]:
    values = modality_values(np.array(ends), ds, frame) * factor
    return float(values.min()), float(values.max())


def _report_doubled(left: _Slice, kept: _Slice, rows: _Rows, where: str, problems: Problems) -> None:
    pixels = "its pixels could not be had"
    if left.row is not None and kept.row is not None:
        same = np.array_equal(rows.array[left.row], rows.array[kept.row])
        pixels = "its pixels are the same" if same else "its pixels are others"
    problems.add(
        "doubled slice",
        f"left out: at the position of the frame that is kept, of Instance Number {kept.plane.number}; {pixels}",
        where=where,
        uid=left.plane.uid,
        frame=left.plane.frame,
    )


def _table_of_slices(chosen: list[_Slice | None]) -> pd.DataFrame:
    import pandas as pd

    planes = [None if each is None else each.plane for each in chosen]
    places = [
        (np.nan,) * 3 if plane is None or plane.position is None else tuple(plane.position)
        for plane in planes
    ]
    return pd.DataFrame(
        {
            "SOPInstanceUID": pd.array(
                [pd.NA if plane is None else plane.uid for plane in planes], dtype="string"
            ),
            "frame": pd.array([pd.NA if plane is None else plane.frame for plane in planes], dtype="Int64"),
            **{name: np.array([place[axis] for place in places]) for axis, name in enumerate("xyz")},
            **{
                name: pd.array(
                    [
                        pd.NA if each is None or each.window is None else getattr(each.window, name)
                        for each in chosen
                    ],
                    dtype="Float64",
                )
                for name in ("center", "width")
            },
            "filled": np.array([each is None or each.row is None for each in chosen], dtype=bool),
        }
    )


def _one_line(error: DicomFrameError) -> str:
    return printable(" ".join(str(error).split())[:300])
