"""Colours and lines of overlays in figures, told apart on any ground, by colour-blind eyes and without colour."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from matplotlib import colormaps
from matplotlib.patheffects import Normal, Stroke

from dicomframe.images.layers import Overlay

#: Lines that are told apart without colour.
STYLES: tuple[Any, ...] = ("-", (0, (4, 1.5)), (0, (6, 1.5, 1, 1.5)), (0, (1.2, 1.2)))
#: The colour map of doses: even steps in brightness too.
DOSE_COLOURS = "plasma"


def line_of_level(number: int, levels: Sequence[float]) -> Any:
    """Give the highest dose the full line."""
    return STYLES[(len(levels) - 1 - number) % len(STYLES)]


def dose_colour(level: float, largest: float) -> Any:
    """Give the colour of a dose on the scale from 0 to the largest."""
    return colormaps[DOSE_COLOURS](min(level / largest, 1.0))


def mask_colour(overlay: Overlay) -> tuple[float, float, float]:
    """Give a mask's colour as matplotlib takes it, 0 to 1."""
    red, green, blue = overlay.colour
    return red / 255, green / 255, blue / 255


def cased(width: float, colour: Sequence[float]) -> list[Any]:
    """Set a line off from any ground: a dark one by a bright seam, a bright one by a dark seam."""
    luminance = 0.2126 * colour[0] + 0.7152 * colour[1] + 0.0722 * colour[2]
    seam = "white" if luminance < 0.45 else "black"
    return [Stroke(linewidth=width + 1.1, foreground=seam, alpha=0.55), Normal()]
