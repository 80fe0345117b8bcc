"""What the viewer's page does with numbers, done here: windows, planes, overlays. The same bytes come out of both.

The page's own is ``viewer_pixels.js``. This one serves `Viewer.snapshot` and the pictures in notebooks that are read
without a kernel.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dicomframe.images.voi_luts import VoiLut
from dicomframe.images.windowing import Window, apply_window
from dicomframe.widgets.planes import Plane

#: Doses below this share of the greatest, in 256ths, are not drawn: they would veil the whole patient.
LEAST_DOSE = 13


@dataclass(frozen=True, slots=True)
class Layer:
    """What lies over one slice.

    Parameters
    ----------
    overlay : int
        Which of the viewer's overlays it belongs to.
    bits : ndarray of bool, optional
        A mask, shape (rows, columns).
    dose : ndarray of uint16, optional
        Shares of the greatest dose, shape (rows, columns): 65,535 is the greatest.
    contours : sequence of ndarray
        Closed lines, shape (n, 2), columns and rows.
    """

    overlay: int
    bits: NDArray[np.bool_] | None = None
    dose: NDArray[np.uint16] | None = None
    contours: Sequence[NDArray[np.float32]] = ()


@dataclass(frozen=True, slots=True)
class Slice:
    """One slice or frame, as it goes to the page.

    Parameters
    ----------
    stored : ndarray
        Shape (rows, columns), 8 to 32 bits or float32; or (rows, columns, 3) of uint8, RGB.
    slope, intercept : float
        From `stored` to the modality's unit.
    to_mm : ndarray, shape (3, 3), optional
        In mm of the patient: a step down a row, a step across a column, and where the first pixel's centre is.
    layers : sequence of Layer
        The overlays' parts on this slice.
    units : sequence of str
        The unit of the values; of a plane through slices of several units, one for each slice. Empty: the source's.
    """

    stored: NDArray[Any]
    slope: float = 1.0
    intercept: float = 0.0
    to_mm: NDArray[np.float64] | None = None
    layers: Sequence[Layer] = ()
    units: Sequence[str] = ()

    @property
    def is_colour(self) -> bool:
        """Whether it is RGB."""
        return self.stored.ndim == 3

    def in_unit(self) -> NDArray[np.float64]:
        """Give grey values in the modality's unit."""
        return self.stored.astype(np.float64) * self.slope + self.intercept


def compact(values: NDArray[Any]) -> NDArray[Any]:
    """Give an array in a type that the page has: what is wider than 32 bits becomes narrower.

    Parameters
    ----------
    values : ndarray
        Numbers or booleans of any shape.

    Returns
    -------
    ndarray
        Little-endian and contiguous. Wide integers that fit into 32 bits stay whole; other wide numbers become float32.

    Examples
    --------
    >>> [str(compact(np.array([0, 7], kind)).dtype) for kind in ("int64", "uint16", "float64", ">i4")]
    ['int32', 'uint16', 'float32', 'int32']
    """
    kind = values.dtype
    if kind == np.bool_:
        kind = np.dtype(np.uint8)
    elif kind.itemsize == 8 and kind.kind in "iu":
        low, high = (int(values.min()), int(values.max())) if values.size else (0, 0)
        whole = next((each for each in (np.int32, np.uint32) if _holds(each, low, high)), np.float32)
        kind = np.dtype(whole)
    elif kind.kind == "f":
        kind = np.dtype(np.float32)
    return np.ascontiguousarray(values, dtype=kind.newbyteorder("<"))


def _holds(kind: Any, low: int, high: int) -> bool:
    info = np.iinfo(kind)
    return bool(info.min <= low and high <= info.max)


def cut(slices: Sequence[Slice], plane: Plane, index: int) -> Slice:
    """Cut a plane out of slices of one size; it has no contours, the masks are cut instead.

    Parameters
    ----------
    slices : sequence of Slice
        All of them, in order.
    plane : Plane
    index : int
        Along the plane's axis.

    Returns
    -------
    Slice
        Of the slices' own type if they share it, slope and intercept; else in the modality's unit, as float64.

    Raises
    ------
    ValueError
        If the slices differ in size, or some are in colour.
    """
    first = slices[0]
    if len({each.stored.shape for each in slices}) > 1:
        raise ValueError("slices of one size are needed")
    is_uniform = all(
        (each.slope, each.intercept, each.stored.dtype) == (first.slope, first.intercept, first.stored.dtype)
        for each in slices
    )
    values = np.stack(
        [_strip(each.stored if is_uniform else each.in_unit(), plane, index) for each in slices]
    )
    slope, intercept = (first.slope, first.intercept) if is_uniform else (1.0, 0.0)
    turned = _turned(values, plane)
    units = [(*each.units, "")[0] for each in slices]
    return Slice(
        np.ascontiguousarray(turned),
        slope,
        intercept,
        layers=_cut_layers(slices, plane, index),
        units=first.units if len(set(units)) == 1 else units,
    )


def _strip(values: NDArray[Any], plane: Plane, index: int) -> NDArray[Any]:
    """Give what one slice has of a plane across it."""
    strip: NDArray[Any] = values[index] if plane.axis == 1 else values[:, index]
    return strip


def _turned(strips: NDArray[Any], plane: Plane) -> NDArray[Any]:
    """Turn strips, shape (slices, along), the way the plane is seen."""
    turned = strips if plane.down.axis == 0 else np.swapaxes(strips, 0, 1)
    turned = turned[::-1] if plane.down.reversed else turned
    return turned[:, ::-1] if plane.across.reversed else turned


def _cut_layers(slices: Sequence[Slice], plane: Plane, index: int) -> list[Layer]:
    layers: dict[int, Layer] = {}
    for number in sorted({layer.overlay for each in slices for layer in each.layers}):
        found = [next((layer for layer in each.layers if layer.overlay == number), None) for each in slices]
        is_dose = any(layer is not None and layer.dose is not None for layer in found)
        kind: Any = np.uint16 if is_dose else np.bool_
        nothing = np.zeros(slices[0].stored.shape[:2], kind)
        parts = [(layer.dose if is_dose else layer.bits) if layer else None for layer in found]
        strips = np.stack([_strip(nothing if part is None else part, plane, index) for part in parts])
        turned = np.ascontiguousarray(_turned(strips, plane))
        layers[number] = Layer(number, dose=turned) if is_dose else Layer(number, bits=turned)
    return list(layers.values())


def paint(picture: Slice, voi: Window | VoiLut | None, *, inverted: bool = False) -> NDArray[np.uint8]:
    """Paint a picture: RGB as it is, grey by a window or VOI LUT (PS3.3 C.11.2), halves rounded up.

    Returns
    -------
    ndarray of uint8
        Shape (rows, columns, 3).

    Examples
    --------
    >>> paint(Slice(np.array([[-1000, 40, 3000]], np.int16)), Window(40, 400))[0, :, 0].tolist()
    [0, 128, 255]
    """
    if picture.is_colour or voi is None:
        return np.array(picture.stored, dtype=np.uint8)
    if isinstance(voi, Window):
        grey = apply_window(picture.in_unit(), voi.center, voi.width, function=voi.function)
        shown = np.floor(grey + 0.5).astype(np.uint8)
    else:
        shown = voi(picture.in_unit())
    shown = np.subtract(255, shown, dtype=np.uint8) if inverted else shown
    return np.repeat(shown[:, :, np.newaxis], 3, axis=2)


def lay_over(
    pixels: NDArray[np.uint8],
    layer: Layer,
    colour: Sequence[int],
    table: NDArray[np.uint8] | None,
    opacity: float,
) -> NDArray[np.uint8]:
    """Lay a mask or a dose over a painted picture.

    Parameters
    ----------
    pixels : ndarray of uint8, shape (rows, columns, 3)
    layer : Layer
    colour : sequence of int
        Of a mask.
    table : ndarray of uint8, shape (256, 3), optional
        The colours of a dose.
    opacity : float
        From 0 to 1.

    Returns
    -------
    ndarray of uint8
        Another array of the same shape.
    """
    made = pixels.astype(np.float64)
    if layer.dose is not None and table is not None:
        share = layer.dose >> 8
        drawn = share >= LEAST_DOSE
        made[drawn] += (table[share[drawn]].astype(np.float64) - made[drawn]) * opacity
    elif layer.bits is not None:
        made[layer.bits] += (np.asarray(colour, dtype=np.float64) - made[layer.bits]) * opacity
    return np.floor(made + 0.5).astype(np.uint8)


def line_pixels(layer: Layer, shape: tuple[int, int]) -> Layer:
    """Turn a structure into the pixels of its lines: its contours, or the edges of its mask where it is cut across.

    Parameters
    ----------
    layer : Layer
    shape : (int, int)
        Rows and columns.

    Returns
    -------
    Layer
        With a mask only.
    """
    if layer.contours or layer.bits is None:
        from PIL import Image, ImageDraw

        image = Image.new("L", (shape[1], shape[0]))
        draw = ImageDraw.Draw(image)
        for points in layer.contours:
            draw.line([(float(x), float(y)) for x, y in [*points, points[0]]], fill=1)
        return Layer(layer.overlay, bits=np.array(image, dtype=np.bool_))
    around = np.pad(layer.bits, 1)
    inside = around[:-2, 1:-1] & around[2:, 1:-1] & around[1:-1, :-2] & around[1:-1, 2:]
    return Layer(layer.overlay, bits=layer.bits & ~inside)


def dose_colours() -> NDArray[np.uint8]:
    """Give the 256 colours of doses, shape (256, 3): one that rises evenly in lightness, for the colour-blind too."""
    from matplotlib import colormaps

    return np.ascontiguousarray(np.floor(colormaps["plasma"](np.arange(256))[:, :3] * 255 + 0.5), np.uint8)
