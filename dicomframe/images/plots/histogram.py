"""How often each pixel value is there: a line a modality or series, an axis a unit."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from dicomframe.errors import QueryError
from dicomframe.images.figure import families
from dicomframe.images.plots.page import (
    DASHES,
    INKS,
    empty_page,
    number_of,
    page,
    words,
    write_labels,
    write_legend,
    write_notes,
)

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from dicomframe.images.tally import PixelCount, Tally

#: Where a reader looks in Hounsfield units.
HOUNSFIELD_MARKS: Final = {"air": -1000, "lung": -750, "fat": -100, "water": 0, "bone": 400}
_BINS: Final = 256
#: What is smaller than this is no value that an axis can show.
_NOUGHT: Final = 1e-100


def draw_histogram(
    counts: Sequence[PixelCount],
    notes: Sequence[str] = (),
    limits: tuple[float, float] | None = None,
    log: bool = False,
    most: int = 7,
) -> Figure:
    """Draw the lines; `dicomframe.accessor.plots.PlotMethods.histogram` documents it."""
    check_limits(limits)
    if not counts:
        return empty_page(" ".join(["There are no greyscale pixels to count.", *notes]))
    notes = [*notes, *_left_out(counts)]
    drawn = sorted(counts, key=lambda each: (-each.pixels, each.label))[:most]
    if len(counts) > len(drawn):
        notes.append(
            f"{number_of(len(counts) - len(drawn), 'further line')} with fewer pixels are not drawn (most={most})."
        )
    units = list(dict.fromkeys(each.unit for each in drawn))
    figure = page(8.5, 0.5 + 2.7 * len(units))
    rows = figure.subplots(len(units), 1, squeeze=False)[:, 0]
    for axes, unit in zip(rows, units, strict=True):
        lines = [(at, each) for at, each in enumerate(drawn) if each.unit == unit]
        width = _width([each.tally for _, each in lines], limits)
        for number, each in lines:
            at = number % len(INKS)
            dashes = DASHES[(at + number // len(INKS)) % len(DASHES)]
            tally = each.tally.widened(width)
            label = f"{words(each.label)}\n{number_of(each.images, 'image')}, {_short(each.pixels)} pixels"
            axes.stairs(
                tally.counts, tally.edges, color=INKS[at], linestyle=dashes, linewidth=1.4, label=label
            )
        if limits is not None:
            axes.set_xlim(*limits)
        if log:
            axes.set_yscale("log")
            axes.set_ylim(bottom=0.8)
        if unit == "HU":
            _mark(axes)
        write_labels(
            axes,
            x=f"pixel value, {unit}" if unit else "pixel value (the images tell no unit)",
            y=f"pixels per {width:g}{f' {unit}' if unit else ''}",
        )
        write_legend(axes)
    write_notes(figure, notes)
    return figure


def check_limits(limits: Any) -> None:
    """Refuse limits that are no range."""
    if limits is None:
        return
    try:
        low, high = (float(limit) for limit in limits)
    except (TypeError, ValueError):
        low = high = np.nan
    if not (np.isfinite(low) and np.isfinite(high) and low < high):
        raise QueryError("limits= are two numbers in the modality's unit, the lower one first: (-1000, 400).")


def _width(tallies: Sequence[Tally], limits: tuple[float, float] | None) -> float:
    """Give the narrowest common width of bins with which the part that is drawn has few enough."""
    filled = [tally for tally in tallies if len(tally.counts)]
    if not filled:
        return 1.0
    low = float(min(tally.edges[0] for tally in filled)) if limits is None else limits[0]
    high = float(max(tally.edges[-1] for tally in filled)) if limits is None else limits[1]
    # One value alone has bins too narrow for an axis.
    largest = max(abs(low), abs(high))
    least = 2.0 ** (np.floor(np.log2(largest)) - 16) if largest > _NOUGHT else 1.0
    width = float(max(least, *(tally.width for tally in filled)))
    while (high - low) / width > _BINS:
        width *= 2
    return width


def _mark(axes: Any) -> None:
    """Name a few tissues at their Hounsfield units, as far as they are in view."""
    low, high = axes.get_xlim()
    for name, value in HOUNSFIELD_MARKS.items():
        if not low <= value <= high:
            continue
        axes.axvline(value, color="0.6", linewidth=0.8, linestyle=(0, (1, 2)), zorder=0)
        axes.annotate(
            f"{name} {value}".replace("-", "\u2212"),
            (value, 1),
            (0, 2),
            xycoords=("data", "axes fraction"),
            textcoords="offset points",
            rotation=60,
            fontsize=7.5,
            color="0.35",
            ha="left",
            va="bottom",
            family=families(),
        )


def _left_out(counts: Sequence[PixelCount]) -> list[str]:
    """Tell which pixels of the images are not counted."""
    notes = []
    every = sum(each.pixels + each.padding + each.undefined for each in counts)
    for count, what in (
        (sum(each.padding for each in counts), "padding (Pixel Padding Value)"),
        (sum(each.undefined for each in counts), "no number"),
    ):
        if count:
            notes.append(f"{count:,} pixels ({100 * count / every:.2g} %) are {what} and left out.")
    return notes


def _short(count: int) -> str:
    """Write a number as a legend has room for.

    Examples
    --------
    >>> _short(950), _short(16384), _short(25_000_000)
    ('950', '16 thousand', '25 million')
    """
    for size, name in ((10**9, "billion"), (10**6, "million"), (10**3, "thousand")):
        if count >= size:
            return f"{count / size:.3g} {name}" if count < 10 * size else f"{count / size:.0f} {name}"
    return str(count)
