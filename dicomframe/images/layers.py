"""What lies over a volume: masks and doses in its grid, and what of a file could not be laid there."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import product
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from dicomframe.errors import QueryError

if TYPE_CHECKING:
    import pandas as pd

Colour = tuple[int, int, int]
#: Outlines by slice index: each (points, 2), column and row, the first point again at the end.
Contours = dict[int, list[NDArray[np.float64]]]

#: Colours for what names none, told apart also by colour-blind eyes (Okabe and Ito, 2008), without black.
PALETTE: tuple[Colour, ...] = (
    (230, 159, 0),
    (86, 180, 233),
    (0, 158, 115),
    (240, 228, 66),
    (204, 121, 167),
    (213, 94, 0),
    (0, 114, 178),
)

#: The white of screens, and XYZ under it to linear sRGB (IEC 61966-2-1).
_D65 = np.array([0.95047, 1.0, 1.08883])
_SRGB_OF_XYZ = np.array(
    [
        [3.2404542, -1.5371385, -0.4985314],
        [-0.9692660, 1.8760108, 0.0415560],
        [0.0556434, -0.2040259, 1.0572252],
    ]
)

#: Columns of the table of problems.
PROBLEM_COLUMNS = ("label", "what", "where", "detail")


@dataclass(frozen=True, eq=False)
class Overlay:
    """One segment, region of interest or dose, in the grid of the volume it lies on.

    Parameters
    ----------
    label : str
        Segment Label, ROI Name, or what dose it is. Text from a file: escape it before it goes into HTML.
    kind : {"mask", "dose"}
    colour : (int, int, int)
        Red, green, blue, 0 to 255: the file's own, else one of a palette that is safe for colour-blind eyes.
    array : ndarray, shape (slices, rows, columns)
        bool of a mask; float32 of a dose, in `unit`, NaN where the file's grid does not reach.
    unit : str
        ``"Gy"`` or ``"relative"`` of a dose, empty where it names none, and of a mask.
    contours : dict of int to list of ndarray
        The outlines of a structure by slice index: each of shape (points, 2), column and row in pixels, (0, 0) the
        middle of the first pixel, closed by the first point again. Empty for segments and doses.
    fractions : ndarray of float32, optional
        Of a fractional segment: its probability or occupancy, 0 to 1; `array` is where it is at least 0.5.
    affine : ndarray, shape (4, 4), optional
        That of the volume it was laid on, by which another one of the same shape is told; None of your own masks.
    frame_of_reference_uid : str
        Likewise.

    Examples
    --------
    A mask of your own, to be drawn by `df.dicom.planes` and `df.dicom.view`:

    >>> bright = np.arange(8).reshape(2, 2, 2) > 5
    >>> mask = Overlay("bright", "mask", (230, 159, 0), bright)
    >>> mask
    <Overlay 'bright': mask, 2 x 2 x 2, 2 voxels>
    """

    label: str
    kind: Literal["mask", "dose"]
    colour: Colour
    array: NDArray[Any]
    unit: str = ""
    contours: Contours = field(default_factory=dict)
    fractions: NDArray[np.float32] | None = None
    affine: NDArray[np.float64] | None = None
    frame_of_reference_uid: str = ""

    def __repr__(self) -> str:
        size = " x ".join(str(length) for length in self.array.shape)
        of = f" {self.unit}" if self.unit else ""
        held = (
            f"{int(self.array.sum()):,} voxels" if self.kind == "mask" else f"to {largest_dose(self):.4g}{of}"
        )
        return f"<Overlay {self.label!r}: {self.kind}, {size}, {held}>"


class Overlays(list[Overlay]):
    """The overlays of one or more files: a list that also tells what could not be used.

    Attributes
    ----------
    problems : pandas.DataFrame
        One row a problem: ``label``, of the segment or structure, empty where it is the file's; ``what``, in two or
        three words, the same for the same kind of problem; ``where``; ``detail``. Empty when all was used.

    Examples
    --------
    `df.dicom.overlays` gives it.

    >>> mask = Overlay("all", "mask", (230, 159, 0), np.ones((2, 2, 2), bool))
    >>> found = Overlays([mask])
    >>> [overlay.label for overlay in found], len(found.problems)
    (['all'], 0)
    """

    def __init__(
        self, overlays: Iterable[Overlay] = (), problems: Iterable[tuple[str, str, str, str]] = ()
    ) -> None:
        super().__init__(overlays)
        self._problems = list(problems)

    @property
    def problems(self) -> pd.DataFrame:
        """What was not used, and why."""
        import pandas as pd

        return pd.DataFrame(self._problems, columns=list(PROBLEM_COLUMNS), dtype="string")

    def report(self, label: str, what: str, where: str, detail: str) -> None:
        """Add a row to `problems`."""
        self._problems.append((label, what, where, detail))

    def join(self, others: Overlays) -> None:
        """Add the overlays and problems of another file."""
        self.extend(others)
        self._problems.extend(others._problems)


def largest_dose(dose: Overlay) -> float:
    """Give the largest dose in the volume, 0 where the dose's grid does not reach it."""
    return float(np.fmax.reduce(dose.array, axis=None, initial=0.0))


def check_grid(
    overlays: Iterable[Overlay],
    shape: Sequence[int],
    affine: NDArray[np.float64] | None = None,
    frame_of_reference_uid: str = "",
) -> None:
    """Refuse overlays that were made for another grid than that of these slices.

    Raises
    ------
    QueryError
        If the shape is another; or, as far as both are known, the place or the frame of reference.
    """
    for overlay in overlays:
        if overlay.array.shape != tuple(shape):
            raise QueryError(
                f"An overlay is not in the grid of the slices, {tuple(shape)}: it has {overlay.array.shape}. Make it"
                " with overlays_of(…, onto=volume)."
            )
        references = {overlay.frame_of_reference_uid, frame_of_reference_uid} - {""}
        is_there = overlay.affine is None or affine is None or _is_same_grid(overlay.affine, affine, shape)
        if not is_there or len(references) > 1:
            raise QueryError(
                "An overlay was made for another volume, which only has the same shape: make it with overlays_of(…,"
                " onto=volume) for this one."
            )


def _is_same_grid(first: NDArray[np.float64], second: NDArray[np.float64], shape: Sequence[int]) -> bool:
    """Tell whether the corners of two grids lie at most a quarter of a voxel apart."""
    corners = np.array([[*corner, 1.0] for corner in product(*((0.0, length - 1.0) for length in shape))])
    apart = np.linalg.norm((corners @ (first - second).T)[:, :3], axis=1)
    smallest = np.linalg.norm(second[:3, :3], axis=0).min()
    return bool(apart.max() <= 0.25 * smallest)


def palette_colour(number: int) -> Colour:
    """Give a colour for the overlay of this number, from 0; they repeat after seven."""
    return PALETTE[number % len(PALETTE)]


def colour_of_cielab(encoded: Iterable[float]) -> Colour:
    """Turn Recommended Display CIELab Value into sRGB (PS3.3 C.10.7.1.1).

    Parameters
    ----------
    encoded : three numbers
        L*, a*, b* as 16-bit numbers: 0 to 65535 stand for L* 0 to 100, a* and b* -128 to 127. The white is D65, by
        which the programs that write segmentations encode, not ICC's D50: docs/decisions/0011.

    Returns
    -------
    (int, int, int)
        Red, green, blue, 0 to 255; what a screen cannot show is cut to what it can.

    Examples
    --------
    >>> colour_of_cielab((65535, 32896, 32896)), colour_of_cielab((34886, 53484, 50172))
    ((255, 255, 255), (255, 0, 0))
    """
    lightness, a, b = (float(number) / 65535 for number in encoded)
    middle = (lightness * 100 + 16) / 116
    scaled = np.array([middle + (a * 255 - 128) / 500, middle, middle - (b * 255 - 128) / 200])
    # CIE 15:2004, 8.2.1.1 backwards.
    xyz = _D65 * np.where(scaled > 6 / 29, scaled**3, (scaled - 4 / 29) * 3 * (6 / 29) ** 2)
    linear = np.clip(_SRGB_OF_XYZ @ xyz, 0.0, 1.0)
    bent = np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)
    red, green, blue = (int(number) for number in np.rint(255 * bent))
    return red, green, blue
