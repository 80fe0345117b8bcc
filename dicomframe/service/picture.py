"""From a frame to a picture of eight bits: greyscale by its pipeline, colour as RGB (PS3.3 C.7.6.3, C.11.1, C.11.2).

Overlays, presentation states and colour profiles are not applied.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Self

import numpy as np
from numpy.typing import NDArray

from dicomframe.service.lookup import Table, palette_of, table_of
from dicomframe.service.pixels import CannotDecode, Decoded, Layout, Pixels

if TYPE_CHECKING:
    from dicomframe.service.stored_file import Item

_SHARED_GROUPS: Final = 0x52009229
_FRAME_GROUPS: Final = 0x52009230
_VALUE_TRANSFORMATION: Final = 0x00289145
_FRAME_VOI: Final = 0x00289132
_SLOPE, _INTERCEPT = 0x00281053, 0x00281052
_CENTER, _WIDTH, _FUNCTION = 0x00281050, 0x00281051, 0x00281056
_MODALITY_LUT, _VOI_LUT = 0x00283000, 0x00283010
_PRESENTATION_SHAPE: Final = 0x20500020
_PADDING, _PADDING_LIMIT = 0x00280120, 0x00280121

#: R, G, B of full range -> Y, Cb, Cr around their zeros (PS3.3 C.7.6.3.1.2).
_TO_YBR: Final = {
    "YBR_FULL": (
        ((0.2990, 0.5870, 0.1140), (-0.1687, -0.3313, 0.5000), (0.5000, -0.4187, -0.0813)),
        (0.0, 128.0, 128.0),
    ),
    "YBR_PARTIAL": (
        ((0.2568, 0.5041, 0.0979), (-0.1482, -0.2910, 0.4392), (0.4392, -0.3678, -0.0714)),
        (16.0, 128.0, 128.0),
    ),
}
#: The decoders give these as RGB.
_RGB: Final = {"RGB", "YBR_ICT", "YBR_RCT"}
_GREY: Final = {"MONOCHROME1", "MONOCHROME2"}
#: The least width each function allows.
_LEAST_WIDTH: Final = {"LINEAR": 1.0, "LINEAR_EXACT": 0.0, "SIGMOID": 0.0}


@dataclass(frozen=True, slots=True)
class Window:
    """Which values become black, grey and white.

    Parameters
    ----------
    center, width : float
        In the modality's unit.
    function : {"LINEAR", "LINEAR_EXACT", "SIGMOID"}
        VOI LUT Function (0028,1056).
    """

    center: float
    width: float
    function: str = "LINEAR"

    @property
    def is_possible(self) -> bool:
        """Whether the numbers are finite, and the width one that the function allows."""
        least = _LEAST_WIDTH[self.function]
        return (
            math.isfinite(self.center)
            and math.isfinite(self.width)
            and self.width >= least
            and self.width > 0
        )

    @classmethod
    def of_values(cls, values: NDArray[np.float64]) -> Self | None:
        """Give the window from the least to the greatest finite value, None where there are not two.

        docs/pictures.md has the rule, which the client follows with code of its own.
        """
        finite = values[np.isfinite(values)]
        if not finite.size:
            return None
        low, high = float(finite.min()), float(finite.max())
        return cls((low + high) / 2, high - low, "LINEAR_EXACT") if low < high else None

    def __call__(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """Map values to 0 … 255: PS3.3 C.11.2.1.2.1, C.11.2.1.3.1 and C.11.2.1.3.2. What is no number is black."""
        if self.function == "SIGMOID":
            grey = 255.0 / (1.0 + np.exp(np.clip(-4.0 * (values - self.center) / self.width, -700.0, 700.0)))
            return np.nan_to_num(grey, copy=False)
        center, width = self.center, self.width
        if self.function == "LINEAR":
            center, width = center - 0.5, width - 1.0
        if width == 0.0:
            return np.where(values > center, 255.0, 0.0)
        return np.nan_to_num(np.clip(((values - center) / width + 0.5) * 255.0, 0.0, 255.0), copy=False)


def picture(pixels: Pixels, index: int, window: Window | None = None) -> NDArray[np.uint8]:
    """Make a picture of one frame.

    Parameters
    ----------
    pixels : Pixels
        The image.
    index : int
        The frame, from 0.
    window : Window, optional
        For greyscale images; colours have none. By default the image's own: its first possible window, else its
        first VOI LUT that can be read (`warning_of` tells of the others), else one from the frame's least value to
        its greatest, without padding.

    Returns
    -------
    ndarray of uint8
        (rows, columns) with 0 for black, or (rows, columns, 3) for RGB.

    Raises
    ------
    CannotDecode
        If the pixels cannot be decoded, or their Photometric Interpretation is none that is known.
    """
    frame = pixels.decoded(index)
    layout = pixels.layout
    if frame.photometric == "PALETTE COLOR":
        tables = palette_of(pixels.file, is_signed=layout.is_signed)
        stored = _own_bits(frame.values, layout)
        return np.stack([table(stored) for table in tables], axis=-1).astype(np.uint8)
    if layout.samples == 3:
        return _rgb(frame, layout)
    if frame.photometric not in _GREY or layout.samples != 1:
        raise CannotDecode("Images of this Photometric Interpretation cannot be rendered.")
    grey = np.floor(_grey(_own_bits(frame.values, layout), pixels, index, window) + 0.5).astype(np.uint8)
    # One and the same inversion, under two names (PS3.3 C.8.11.3.1.2).
    is_inverted = frame.photometric == "MONOCHROME1" or pixels.file.text(_PRESENTATION_SHAPE) == "INVERSE"
    return np.subtract(255, grey, dtype=np.uint8) if is_inverted else grey


def _grey(stored: NDArray[Any], pixels: Pixels, index: int, window: Window | None) -> NDArray[np.float64]:
    file, layout = pixels.file, pixels.layout
    values = _modality_values(stored, pixels, index)
    window = window or _own_window(_group(file, index, _FRAME_VOI) or file)
    table = _voi_lut(pixels, index)[0] if window is None else None
    if table is not None:
        # Scanners announce 16 bits for entries that end at 4095: the table's own greatest entry is white.
        return table(np.floor(values)).astype(np.float64) * 255.0 / max(float(table.entries.max()), 1.0)
    if window is None and layout.stored == 1:
        window = Window(0.5, 1.0, "LINEAR_EXACT")  # a mask: 0 is black, also where there is nothing else
    if window is None:
        window = Window.of_values(values[~_padding(stored, file)])
    # A frame of a single value is black.
    return window(values) if window is not None else np.zeros(values.shape)


def warning_of(pixels: Pixels, index: int, window: Window | None = None) -> str:
    """Say which VOI LUTs are broken, of a picture that is made with one or could not be; else an empty text."""
    file = pixels.file
    if (
        window
        or pixels.layout.photometric not in _GREY
        or _own_window(_group(file, index, _FRAME_VOI) or file)
    ):
        return ""
    _, broken = _voi_lut(pixels, index)
    return f"VOI LUT {', '.join(map(str, broken))} of the image cannot be read." if broken else ""


def _voi_lut(pixels: Pixels, index: int) -> tuple[Table | None, list[int]]:
    """Give a frame's first VOI LUT that can be read, its own or the image's, and the numbers of those that cannot."""
    if pixels.layout.is_float:
        return None, []
    group = _group(pixels.file, index, _FRAME_VOI)
    items = (group.items(_VOI_LUT) if group else []) or pixels.file.items(_VOI_LUT)
    tables: list[Table] = []
    broken: list[int] = []
    for number, item in enumerate(items, 1):
        try:
            tables.append(table_of(item, is_signed=_may_be_negative(pixels, index)))
        except CannotDecode:
            broken.append(number)
    return next(iter(tables), None), broken


def _modality_values(stored: NDArray[Any], pixels: Pixels, index: int) -> NDArray[np.float64]:
    file = pixels.file
    values = stored.astype(np.float64)
    if pixels.layout.is_float:
        return values
    luts = file.items(_MODALITY_LUT)
    if luts:
        return table_of(luts[0], is_signed=pixels.layout.is_signed)(stored).astype(np.float64)
    slope, intercept = _rescale(file, index)
    values *= slope
    values += intercept
    return values


def _may_be_negative(pixels: Pixels, index: int) -> bool:
    """Tell whether values in the modality's unit can be below 0; the entries of a Modality LUT are unsigned."""
    file, layout = pixels.file, pixels.layout
    if file.items(_MODALITY_LUT):
        return False
    slope, intercept = _rescale(file, index)
    count = 1 << layout.stored
    least = -count // 2 if layout.is_signed else 0
    return min(least * slope, (least + count - 1) * slope) + intercept < 0


def _rescale(file: Item, index: int) -> tuple[float, float]:
    source = _group(file, index, _VALUE_TRANSFORMATION) or file
    slope, intercept = source.number(_SLOPE), source.number(_INTERCEPT)
    return (1.0, 0.0) if slope is None or intercept is None else (slope, intercept)


def _own_window(source: Item) -> Window | None:
    """Give the first window that is possible; real files hold widths of 0."""
    function = source.text(_FUNCTION).upper()
    function = function if function in _LEAST_WIDTH else "LINEAR"
    pairs = zip(source.numbers(_CENTER), source.numbers(_WIDTH), strict=False)
    windows = (Window(center, width, function) for center, width in pairs)
    return next((window for window in windows if window.is_possible), None)


def _group(file: Item, index: int, sequence: int) -> Item | None:
    """Give the item of a functional group that holds for a frame: its own, else the shared one (PS3.3 C.7.6.16)."""
    groups = [*file.items(_FRAME_GROUPS)[index : index + 1], *file.items(_SHARED_GROUPS)[:1]]
    return next((found[0] for group in groups if (found := group.items(sequence))), None)


def _padding(stored: NDArray[Any], file: Item) -> NDArray[np.bool_]:
    """Tell which pixels are padding (PS3.3 C.7.5.1.1.2); none where nothing else would be left."""
    nothing = np.zeros(stored.shape, np.bool_)
    value = file.number(_PADDING)
    if value is None or stored.dtype.kind == "f":
        return nothing
    limit = file.number(_PADDING_LIMIT)
    ends = sorted(_signed_as(stored, end) for end in (value, value if limit is None else limit))
    inside = (stored >= ends[0]) & (stored <= ends[1])
    return nothing if inside.all() else inside


def _signed_as(stored: NDArray[Any], value: float) -> float:
    """Read a value that was written as unsigned beside signed pixels."""
    bits = stored.dtype.itemsize * 8
    return value - (1 << bits) if stored.dtype.kind == "i" and value >= 1 << bits - 1 else value


def _own_bits(values: NDArray[Any], layout: Layout) -> NDArray[Any]:
    """Take the sample out of its word, and leave overlays and other things beside it (PS3.5 section 8.1.1)."""
    width = values.dtype.itemsize * 8
    if values.dtype.kind not in "iu" or layout.allocated != width or layout.stored == width:
        return values
    return (values << (width - 1 - layout.high)) >> (width - layout.stored)


def _rgb(frame: Decoded, layout: Layout) -> NDArray[np.uint8]:
    values = _eight_bits(frame.values, layout)
    if frame.photometric in _RGB:
        return values
    space = _TO_YBR.get(frame.photometric)
    if space is None:
        raise CannotDecode("Images of this Photometric Interpretation cannot be rendered.")
    matrix, zeros = (np.asarray(numbers) for numbers in space)
    rgb: NDArray[np.float64] = (values - zeros) @ np.linalg.inv(matrix).T
    return np.clip(np.floor(rgb + 0.5), 0, 255).astype(np.uint8)


def _eight_bits(values: NDArray[Any], layout: Layout) -> NDArray[np.uint8]:
    if values.dtype.kind not in "iu" or layout.stored < 8:
        raise CannotDecode("Colours of fewer than 8 bits, or of floating point, cannot be rendered.")
    if layout.stored == 8:
        return values.astype(np.uint8)
    return (values >> (layout.stored - 8)).astype(np.uint8)
