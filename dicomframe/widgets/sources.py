"""Where a viewer's slices come from: an array, a volume, or something that fetches them as they are asked for."""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from dicomframe.errors import QueryError
from dicomframe.images.layers import check_grid, largest_dose
from dicomframe.images.windowing import Window, is_inverted, window_for, window_of_values, windows_of
from dicomframe.widgets.painting import Layer, Slice, compact
from dicomframe.widgets.planes import Plane, plain_plane, planes_of

if TYPE_CHECKING:
    from pydicom import Dataset

    from dicomframe.images.layers import Overlay
    from dicomframe.images.voi_luts import VoiLut
    from dicomframe.images.volume import Volume


@dataclass
class Look:
    """What a viewer says about its picture and begins with.

    Parameters
    ----------
    title : str
        Shown over the picture; from the server, and never saved in a notebook.
    modality, unit : str
        Modality (0008,0060), and the unit of the values.
    window : Window
        The picture's own, or one that spans its values.
    windows : sequence of (str, Window)
        All that the picture names, with their explanations.
    luts : sequence of VoiLut
        Its VOI LUTs; like the window they are the first picture's, and serve for all.
    begins_with_lut : bool
        Whether the first of them is what it is shown with, because it names no window.
    low, high : float
        The least and the greatest value of the first slice that is shown.
    inverted : bool
        Whether the least value is white (MONOCHROME1, Presentation LUT Shape INVERSE).
    is_colour : bool
        Whether it is RGB: then there is nothing to window.
    note : str
        Why there is only one plane; empty where there are three, or where none were to be expected.
    rate : float
        Frames a second of the cine.
    """

    title: str = ""
    modality: str = ""
    unit: str = ""
    window: Window = field(default_factory=lambda: Window(127.5, 255.0, "LINEAR_EXACT"))
    windows: Sequence[tuple[str, Window]] = ()
    luts: Sequence[VoiLut] = ()
    begins_with_lut: bool = False
    low: float = 0.0
    high: float = 255.0
    inverted: bool = False
    is_colour: bool = False
    note: str = ""
    rate: float = 10.0


class Source(ABC):
    """Slices in order; each is made when it is first asked for, by any thread, and kept.

    Attributes
    ----------
    planes : dict of str to Plane
        The first is the one that was acquired.
    affine : ndarray, shape (4, 4), or None
        From (slice, row, column, 1) to mm of the patient, where all slices share it.
    frame_of_reference_uid : str
        Empty where nobody knows it.
    """

    planes: dict[str, Plane]
    affine: NDArray[np.float64] | None = None
    frame_of_reference_uid: str = ""

    def __init__(self) -> None:
        self._kept: dict[int, Slice] = {}
        self._lock = threading.Lock()
        self._overlays: Sequence[Overlay] = ()

    @property
    def acquired(self) -> str:
        """The name of the plane that was acquired."""
        return next(iter(self.planes))

    @property
    def count(self) -> int:
        """How many slices there are."""
        return self.planes[self.acquired].count

    def slice(self, index: int) -> Slice:
        """Give a slice; the first time, fetch it.

        Raises
        ------
        DicomFrameError
            If it cannot be retrieved or decoded.
        """
        kept = self._kept.get(index)
        if kept is None:
            made = self._make(index)
            made = replace(made, layers=layers_of(self._overlays, index))
            with self._lock:
                kept = self._kept.setdefault(index, made)
        return kept

    def lay(self, overlays: Sequence[Overlay]) -> None:
        """Lay overlays over the slices.

        Raises
        ------
        QueryError
            If one is not in the slices' grid.
        """
        plane = self.planes[self.acquired]
        shape = (plane.count, plane.rows, plane.columns)
        check_grid(overlays, shape, self.affine, self.frame_of_reference_uid)
        self._overlays = overlays
        with self._lock:
            for index, kept in self._kept.items():
                self._kept[index] = replace(kept, layers=layers_of(overlays, index))

    @abstractmethod
    def look(self, index: int) -> Look:
        """Tell what a viewer says about it, by the slice that is shown first."""

    @abstractmethod
    def _make(self, index: int) -> Slice: ...


class ArraySource(Source):
    """Slices of an array: (rows, columns), (slices, rows, columns), or either with 3 at the end, of uint8, for RGB.

    Raises
    ------
    QueryError
        If it is of another shape or type, or empty.
    """

    def __init__(self, array: NDArray[Any]) -> None:
        super().__init__()
        values = np.asarray(array)
        is_colour = values.ndim in {3, 4} and values.shape[-1] == 3 and values.dtype == np.uint8
        flat = values.ndim - is_colour
        if flat not in {2, 3} or values.dtype.kind not in "biuf" or not values.size:
            raise QueryError(
                "A viewer shows arrays of numbers, of shape (rows, columns) or (slices, rows, columns), and of uint8"
                f" with (..., 3) for RGB, not {values.shape} of {values.dtype}."
            )
        self._values = values[np.newaxis] if flat == 2 else values
        self._is_colour = is_colour
        self.planes = plain_plane(self._values.shape[:3])

    def look(self, index: int) -> Look:
        """Window a slice by its values."""
        values = self._values[index]
        if self._is_colour:
            return Look(is_colour=True)
        low, high = extremes(values)
        return Look(window=window_of_values(values.astype(np.float64)), low=low, high=high)

    def _make(self, index: int) -> Slice:
        return Slice(compact(self._values[index]))


class VolumeSource(Source):
    """Slices of a `Volume`, which knows its place in the patient."""

    def __init__(self, volume: Volume) -> None:
        super().__init__()
        self._volume = volume
        self.frame_of_reference_uid = volume.frame_of_reference_uid
        affine = np.asarray(volume.affine, dtype=np.float64)
        self.planes = planes_of(volume.array.shape, affine)
        if volume.is_regular:
            self.affine = affine
        else:
            self.planes = {self.acquired: self.planes[self.acquired]}

    def look(self, index: int) -> Look:
        """Tell what the volume says of itself."""
        volume = self._volume
        values = volume.array[index]
        low, high = extremes(values)
        return Look(
            title=volume.modality,
            modality=volume.modality,
            unit=volume.unit,
            window=volume.window or window_of_values(values.astype(np.float64)),
            low=low,
            high=high,
            inverted=volume.inverted,
            note="" if volume.is_regular else "The slices are unevenly spaced: some are missing or doubled.",
        )

    def _make(self, index: int) -> Slice:
        return Slice(compact(self._volume.array[index]), to_mm=self._steps(index))

    def _steps(self, index: int) -> NDArray[np.float64] | None:
        """Give where a slice lies by itself, where the affine does not have it."""
        if self.affine is not None:
            return None
        origin = self._volume.slices[["x", "y", "z"]].iloc[index].to_numpy(dtype=np.float64, na_value=np.nan)
        down, across = self._volume.affine[:3, 1], self._volume.affine[:3, 2]
        return np.stack([down, across, origin]) if np.isfinite(origin).all() else None


def as_source(shown: Any) -> Source:
    """Make a source of what a viewer is given.

    Raises
    ------
    QueryError
        If it is no array, no volume and no source.
    """
    if isinstance(shown, Source):
        return shown
    if isinstance(shown, np.ndarray):
        return ArraySource(shown)
    if hasattr(shown, "affine") and hasattr(shown, "array"):
        return VolumeSource(shown)
    raise QueryError(f"A viewer shows an array or a volume, not {type(shown).__name__}.")


def is_index(value: Any, count: int) -> bool:
    """Tell whether a value counts one of so many things, from 0."""
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < count


def check_index(count: int, index: Any) -> None:
    """Refuse an index past the slices."""
    if index is not None and not is_index(index, count):
        raise QueryError(f"index= is a whole number from 0 to {count - 1}.")


def extremes(values: NDArray[Any]) -> tuple[float, float]:
    """Give the least and the greatest finite value, 0 and 1 where there are none."""
    finite = values[np.isfinite(values)] if values.dtype.kind == "f" else values
    return (float(finite.min()), float(finite.max())) if finite.size else (0.0, 1.0)


def layers_of(overlays: Sequence[Overlay], index: int) -> list[Layer]:
    """Give what overlays have on a slice; those with nothing there are left out."""
    layers = []
    for number, overlay in enumerate(overlays):
        part = overlay.array[index]
        contours = [np.ascontiguousarray(points, "<f4") for points in overlay.contours.get(index, ())]
        if overlay.kind == "dose":
            largest = largest_dose(overlay) or 1.0
            share = np.nan_to_num(np.clip(part / largest, 0.0, 1.0), nan=0.0)
            if share.any():
                dose = np.floor(share.astype(np.float64) * 65_535 + 0.5).astype("<u2")
                layers.append(Layer(number, dose=dose))
        elif part.any() or contours:
            layers.append(Layer(number, bits=np.asarray(part, dtype=np.bool_), contours=contours))
    return layers


def slice_of(ds: Dataset, frame: int = 0) -> Slice:
    """Decode one frame into what the page shows: stored values with slope and intercept, or RGB.

    Raises
    ------
    DecodeError
        As for `dicomframe.images.pixels.pixels`.
    """
    from dicomframe.images.lut import modality_values, rescale_of
    from dicomframe.images.pixels import frame_pixels
    from dicomframe.images.units import unit_of
    from dicomframe.images.windowing import display

    stored = frame_pixels(ds, frame)
    if stored.ndim == 3:
        return Slice(display(ds, frame))
    if ds.get("ModalityLUTSequence"):
        return Slice(compact(modality_values(stored, ds, frame)), units=(unit_of(ds, frame, stored),))
    slope, intercept = rescale_of(ds, frame)
    return Slice(compact(stored), slope, intercept, units=(unit_of(ds, frame, stored),))


def look_of(ds: Dataset, frame: int, made: Slice) -> Look:
    """Tell what a viewer says about an image, by one frame of it.

    The title holds no name or number of a patient: modality and descriptions only.
    """
    from dicomframe.images.reading import reading
    from dicomframe.images.real_world import not_applied, note_of
    from dicomframe.images.voi_luts import voi_luts_of

    with reading("the header"):
        names = ("Modality", "StudyDescription", "SeriesDescription")
        texts = [title_of(str(ds.get(name) or "")) for name in names]
    title = "\n".join(text for text in dict.fromkeys(texts) if text)
    rate = rate_of(ds)
    if made.is_colour:
        return Look(title=title, modality=texts[0][:16], is_colour=True, rate=rate)
    values = made.in_unit()
    low, high = extremes(values)
    stored = None if ds.get("ModalityLUTSequence") else made.stored
    windows = [(title_of(name), window) for name, window in windows_of(ds, frame)]
    luts, note = voi_luts_of(ds, frame)
    mappings = note_of(not_applied(ds, frame, None if stored is None else made.stored))
    return Look(
        title=title,
        modality=texts[0][:16],
        unit=made.units[0],
        window=window_for(ds, frame, values, stored),
        windows=windows,
        luts=[replace(lut, name=title_of(lut.name)) for lut in luts],
        begins_with_lut=bool(luts) and not windows,
        low=low,
        high=high,
        inverted=is_inverted(ds),
        rate=rate,
        note=" ".join(filter(None, (note, mappings))),
    )


def rate_of(ds: Dataset) -> float:
    """Give the frames a second that a cine is to be shown at (PS3.3 C.7.6.5.1.1), 10 where nothing sensible is said.

    Examples
    --------
    >>> from pydicom import Dataset
    >>> ds = Dataset()
    >>> ds.FrameTime = 40
    >>> rate_of(ds), rate_of(Dataset())
    (25.0, 10.0)
    """
    for name in ("RecommendedDisplayFrameRate", "CineRate", "FrameTime"):
        try:
            number = float(ds.get(name) or 0)
        except (TypeError, ValueError):
            continue
        rate = 1000.0 / number if name == "FrameTime" and number > 0 else number
        if 0.1 <= rate <= 120:
            return round(rate, 2)
    return 10.0


def title_of(text: str) -> str:
    r"""Leave out what would command a terminal or turn the direction of a line, and what is past a title's length.

    Examples
    --------
    >>> title_of("CT \x1b[31mred\u202e")
    'CT [31mred'
    """
    return "".join(letter for letter in text[:200] if letter.isprintable())[:120].strip()
