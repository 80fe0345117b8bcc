"""From values to grey: the VOI functions of PS3.3 C.11.2.1.2 and C.11.2.1.3, and an image as the eye expects it."""

from __future__ import annotations

import logging
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from dicomframe.errors import DecodeError, QueryError
from dicomframe.images.lut import functional_group, modality_values
from dicomframe.images.pixels import frame_pixels
from dicomframe.images.reading import numbers_of, reading
from dicomframe.images.voi_luts import voi_luts_of

if TYPE_CHECKING:
    from pydicom import Dataset

log = logging.getLogger(__name__)

Function = Literal["LINEAR", "LINEAR_EXACT", "SIGMOID"]

#: Windows that radiologists know by name, for CT: name -> (center, width) in Hounsfield units.
PRESETS: dict[str, tuple[float, float]] = {
    "abdomen": (50, 400),
    "angiography": (300, 600),
    "bone": (400, 1500),
    "brain": (40, 80),
    "liver": (30, 150),
    "lung": (-600, 1500),
    "mediastinum": (50, 350),
    "soft tissue": (50, 400),
    "spine": (50, 250),
    "stroke": (40, 40),
    "subdural": (75, 215),
    "temporal bone": (600, 2800),
}

#: The smallest width each function allows; LINEAR's of 1 is a threshold.
_NARROWEST: dict[str, float] = {"LINEAR": 1.0, "LINEAR_EXACT": 0.0, "SIGMOID": 0.0}


@dataclass(frozen=True, slots=True)
class Window:
    """A window: which values become black, grey and white.

    Parameters
    ----------
    center, width : float
        In the modality's unit (Hounsfield units for CT).
    function : {"LINEAR", "LINEAR_EXACT", "SIGMOID"}
        VOI LUT Function (0028,1056).

    Raises
    ------
    QueryError
        If a number is not finite, the function unknown, or the width too small for it: at least 1 for LINEAR,
        above 0 for the others.
    """

    center: float
    width: float
    function: Function = "LINEAR"

    def __post_init__(self) -> None:
        if self.function not in _NARROWEST:
            raise QueryError(f"The VOI function must be one of {', '.join(_NARROWEST)}.")
        if not (math.isfinite(self.center) and math.isfinite(self.width)):
            raise QueryError("Window centre and width must be finite numbers.")
        least = _NARROWEST[self.function]
        if self.width < least or self.width <= 0:
            bound = "at least 1" if least else "above 0"
            raise QueryError(f"The width of a {self.function} window must be {bound}, not {self.width:g}.")


#: A window, a pair (center, width), or the name of a preset.
WindowLike = Window | tuple[float, float] | str


def as_window(window: WindowLike | None) -> Window | None:
    """Give the window that a caller means.

    Parameters
    ----------
    window : Window, (center, width), str or None
        A text is the name of one of `PRESETS`, in any letter case, or two numbers with a comma between them.

    Raises
    ------
    QueryError
        If it is none of these; of an unknown name the message lists the known ones.

    Examples
    --------
    >>> as_window("Soft tissue")
    Window(center=50.0, width=400.0, function='LINEAR')
    >>> as_window((40, 80)) == as_window("brain") == as_window("40,80")
    True
    """
    if window is None or isinstance(window, Window):
        return window
    pair: Any = window
    if isinstance(window, str):
        name = " ".join(window.lower().replace("_", " ").replace("-", " ").split())
        pair = PRESETS.get(name) or (window.split(",") if "," in window else None)
        if pair is None:
            raise QueryError(
                f"There is no window named {window[:40]!r}. Known are {', '.join(PRESETS)}; or give (center, width)."
            )
    try:
        center, width = (float(number) for number in pair)
    except (TypeError, ValueError):
        raise QueryError("A window is a pair of numbers, (center, width), or the name of a preset.") from None
    return Window(center, width)


def apply_window(
    values: NDArray[Any],
    center: float,
    width: float,
    *,
    function: Function = "LINEAR",
    low: float = 0.0,
    high: float = 255.0,
) -> NDArray[np.float64]:
    """Map values to ``low`` … ``high`` by a window.

    Parameters
    ----------
    values : ndarray
        Numbers of any shape, in the modality's unit.
    center, width, function
        As in `Window`.
    low, high : float
        The output range: y_min and y_max of the standard.

    Returns
    -------
    ndarray of float64
        The same shape; not rounded. A value that is no number becomes ``low``.

    Raises
    ------
    QueryError
        As for `Window`.

    Notes
    -----
    LINEAR is PS3.3 C.11.2.1.2.1, with its half and its ``width - 1``: a window of centre 2048 and width 4096
    maps 0 … 4095 onto the full range. LINEAR_EXACT and SIGMOID are C.11.2.1.3.2 and C.11.2.1.3.1.

    Examples
    --------
    >>> apply_window(np.array([-1000, 40, 3000]), center=40, width=400).round(1).tolist()
    [0.0, 127.8, 255.0]
    """
    Window(center, width, function)
    x = np.asarray(values, dtype=np.float64)
    if function == "SIGMOID":
        # Beyond +-40 the exponential is 0 or 1 to the last bit; the clip keeps it from overflowing.
        y = 1.0 / (1.0 + np.exp(np.clip(-4.0 * (x - center) / width, -700.0, 700.0)))
    else:
        middle, span = (center - 0.5, width - 1.0) if function == "LINEAR" else (center, width)
        y = np.clip((x - middle) / span + 0.5, 0.0, 1.0) if span > 0 else (x > middle).astype(np.float64)
    y *= high - low
    y += low
    return np.nan_to_num(y, copy=False, nan=low)


@reading("the window")
def windows_of(ds: Dataset, frame: int = 0) -> list[tuple[str, Window]]:
    """Give the usable windows of an image, each with its explanation.

    Parameters
    ----------
    ds : pydicom.Dataset
        Its Window Center and Width may have several values, or stand in the functional groups of the frame.
    frame : int
        Frame index, from 0.

    Returns
    -------
    list of (str, Window)
        In the order of the file. Left out are those of a width that the standard forbids; real files hold widths of
        0. A VOI LUT Function that is none of the standard's counts as LINEAR, its default. The explanation is Window
        Center & Width Explanation (0028,1055), empty where there is none.
    """
    source = functional_group(ds, frame, "FrameVOILUTSequence") or ds
    named = str(source.get("VOILUTFunction") or "LINEAR").strip().upper()
    function: Any = named if named in _NARROWEST else "LINEAR"
    explanations = source.get("WindowCenterWidthExplanation") or []
    names = [explanations] if isinstance(explanations, str) else list(explanations)
    pairs = zip(numbers_of(source, "WindowCenter"), numbers_of(source, "WindowWidth"), strict=False)
    found = []
    for at, (center, width) in enumerate(pairs):
        try:
            found.append((str(names[at]) if at < len(names) else "", Window(center, width, function)))
        except QueryError:
            continue
    return found


def default_window(ds: Dataset, frame: int = 0) -> Window | None:
    """Give the first of `windows_of` an image, or None."""
    return next((window for _, window in windows_of(ds, frame)), None)


def window_of_values(values: NDArray[Any], percent: float = 0.5) -> Window:
    """Make a window that spans the values but for a few percent at both ends.

    Parameters
    ----------
    values : ndarray
        Numbers of any shape; those that are not finite do not count.
    percent : float
        How much is left out at each end, in percent.

    Returns
    -------
    Window
        LINEAR_EXACT from the low to the high percentile; where these are the same, from the least to the greatest
        value. Where all values are the same, of width 1, so that they are black.
    """
    finite = values[np.isfinite(values)]
    if finite.size == 0:
        return Window(0.0, 1.0, "LINEAR_EXACT")
    bottom, top = (float(number) for number in np.percentile(finite, [percent, 100.0 - percent]))
    if top <= bottom:  # few values differ from the rest: an outline, a segmentation
        bottom, top = float(finite.min()), float(finite.max())
    if top <= bottom:
        return Window(bottom + 0.5, 1.0, "LINEAR_EXACT")
    return Window((bottom + top) / 2, top - bottom, "LINEAR_EXACT")


@reading("the image")
def display(ds: Dataset, frame: int = 0, window: WindowLike | None = None) -> NDArray[np.uint8]:
    """Make one frame ready to be shown: rescaled, windowed, inverted where that is called for, colour as RGB.

    Parameters
    ----------
    ds : pydicom.Dataset
        An image.
    frame : int
        Frame index, from 0.
    window : Window, (center, width) or str, optional
        In the modality's unit, or the name of a preset for CT (`PRESETS`). By default the image's first usable
        window, else its first usable VOI LUT (`voi_luts_of` and the log tell of others); else from the least to the
        greatest of the frame's values, without the padding.

    Returns
    -------
    ndarray of uint8
        Shape (rows, columns), 0 is black; or (rows, columns, 3), RGB. Halves are rounded up.

    Raises
    ------
    DecodeError
        As for `pixels`.
    QueryError
        If the window asked for is impossible.
    """
    stored = frame_pixels(ds, frame)
    if stored.ndim == 3:
        return _eight_bits(stored, ds)
    shown = _grey(stored, ds, frame, as_window(window))
    return np.subtract(255, shown, dtype=np.uint8) if is_inverted(ds) else shown


def display_array(values: NDArray[Any], window: WindowLike | None = None) -> NDArray[np.uint8]:
    """Make a bare array ready to be shown: (rows, columns) by a window, (rows, columns, 3) of uint8 as it is.

    Raises
    ------
    DecodeError
        If the shape or dtype is another.
    """
    if values.ndim == 3 and values.shape[-1] == 3 and values.dtype == np.uint8:
        return values
    if values.ndim != 2 or values.dtype.kind not in "biuf":
        raise DecodeError(
            f"A picture is an array (rows, columns) of numbers or (rows, columns, 3) of uint8,"
            f" not {values.shape} of {values.dtype}."
        )
    values = values.astype(np.float64)
    chosen = as_window(window) or window_of_values(values)
    grey = apply_window(values, chosen.center, chosen.width, function=chosen.function)
    return np.floor(grey + 0.5).astype(np.uint8)


def _grey(stored: NDArray[Any], ds: Dataset, frame: int, window: Window | None) -> NDArray[np.uint8]:
    values = modality_values(stored, ds, frame)
    # Windows and LUTs are alternatives (PS3.3 C.11.2.1.1); the window goes first, as docs/pictures.md has it.
    window = window or default_window(ds, frame)
    luts, note = voi_luts_of(ds, frame) if window is None else ([], "")
    if note:
        log.warning("%s", note)
    if luts:
        return luts[0](values)
    window = window or window_for(ds, frame, values, stored)
    grey = apply_window(values, window.center, window.width, function=window.function)
    return np.floor(grey + 0.5).astype(np.uint8)


def window_for(ds: Dataset, frame: int, values: NDArray[Any], stored: NDArray[Any] | None = None) -> Window:
    """Give the window that a frame is shown with where nobody asks for one.

    Parameters
    ----------
    values : ndarray
        The frame's, in the modality's unit.
    stored : ndarray, optional
        The stored values, by which padding is known.

    Returns
    -------
    Window
        The image's own; else of a mask black and white; else from the least to the greatest value without padding.
        docs/pictures.md has the rule, which the local service follows with code of its own.
    """
    window = default_window(ds, frame)
    if window is None and ds.get("BitsStored") == 1:
        window = Window(0.5, 1.0, "LINEAR_EXACT")  # 0 is black, also where there is nothing else
    if window is not None:
        return window
    seen = values if stored is None else values[~padding_of(stored, ds)]
    return window_of_values(seen, percent=0.0)


def padding_range(ds: Dataset, stored: NDArray[Any]) -> tuple[int, int] | None:
    """Give the least and greatest stored value that is padding (PS3.3 C.7.5.1.1.2); None where there is none.

    Parameters
    ----------
    ds : pydicom.Dataset
    stored : ndarray
        The stored values; only their dtype counts. Beside signed ones, files hold padding written as unsigned.
    """
    value = ds.get("PixelPaddingValue")
    if value is None or stored.dtype.kind not in "iu":
        return None
    limit = ds.get("PixelPaddingRangeLimit")
    bits = stored.dtype.itemsize * 8
    ends = [int(value), int(limit if limit is not None else value)]
    if stored.dtype.kind == "i":
        ends = [end - (1 << bits) if end >= 1 << bits - 1 else end for end in ends]
    return min(ends), max(ends)


def padding_of(stored: NDArray[Any], ds: Dataset) -> NDArray[np.bool_]:
    """Tell which stored values are padding, none where nothing else would be left."""
    ends = padding_range(ds, stored)
    if ends is None:
        return np.zeros(stored.shape, dtype=np.bool_)
    inside = (stored >= ends[0]) & (stored <= ends[1])
    return inside if not inside.all() else np.zeros(stored.shape, dtype=np.bool_)


def is_inverted(ds: Dataset) -> bool:
    """Tell whether the least value is white: MONOCHROME1 (PS3.3 C.7.6.3.1.2), or Presentation LUT Shape INVERSE.

    The two name one and the same inversion (C.8.11.3.1.2), so that both together are one.

    Examples
    --------
    >>> from pydicom import Dataset
    >>> ds = Dataset()
    >>> ds.PhotometricInterpretation, ds.PresentationLUTShape = "MONOCHROME1", "INVERSE"
    >>> is_inverted(ds), is_inverted(Dataset())
    (True, False)
    """
    photometric, shape = (
        str(ds.get(keyword) or "").strip()
        for keyword in ("PhotometricInterpretation", "PresentationLUTShape")
    )
    return photometric == "MONOCHROME1" or shape == "INVERSE"


def _eight_bits(colour: NDArray[Any], ds: Dataset) -> NDArray[np.uint8]:
    if colour.dtype == np.uint8:
        return colour
    is_palette = "PALETTE" in str(ds.get("PhotometricInterpretation", ""))
    bits = 16 if is_palette else int(ds.get("BitsStored", 16))
    return (colour >> max(bits - 8, 0)).astype(np.uint8)
