"""Where a table has no values, and whether they are absent or could not be read."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from matplotlib.patches import Patch
from numpy.typing import NDArray

from dicomframe.errors import QueryError
from dicomframe.images.plots.page import (
    INKS,
    column,
    count_only,
    empty_page,
    number_of,
    page,
    what_a_row_is,
    write_labels,
    write_notes,
    write_ticks,
)
from dicomframe.tables.convert import unreadable_cells

if TYPE_CHECKING:
    from matplotlib.figure import Figure

#: Rows are drawn in at most so many bins.
_BINS = 200
_ABSENT, _UNREADABLE = INKS[0], INKS[1]


def draw_missing(table: pd.DataFrame, columns: Sequence[str] | None = None) -> Figure:
    """Draw the map; `dicomframe.accessor.plots.PlotMethods.missing` documents it."""
    if columns is not None and (isinstance(columns, str) or not isinstance(columns, Iterable)):
        raise QueryError(f"columns= is a list of columns' names, not {type(columns).__name__}.")
    wanted = list(table.columns if columns is None else columns)
    cells = [column(table, name) for name in wanted]
    given = dict(zip(wanted, cells, strict=True))
    names = list(given)
    if table.empty or not names:
        return empty_page("The table has no rows, so nothing is missing in it.")
    length = len(table)
    size = -(-length // _BINS)
    unreadable = unreadable_cells(table)
    absent_shares, unreadable_shares = [], []
    for name in names:
        bad = np.zeros(length, dtype=bool)
        bad[unreadable.get(str(name), [])] = True
        absent = given[name].isna().to_numpy(dtype=bool) & ~bad
        absent_shares.append(_shares(absent, size))
        unreadable_shares.append(_shares(bad, size))
    absent_map, unreadable_map = np.array(absent_shares), np.array(unreadable_shares)
    weights = np.minimum(size, length - size * np.arange(absent_map.shape[1])) / length
    figure = page(9.5, 1.5 + 0.23 * len(names))
    axes, bars = figure.subplots(1, 2, sharey=True, width_ratios=[3, 1.3])
    axes.imshow(
        _coloured(absent_map, unreadable_map),
        aspect="auto",
        interpolation="nearest",
        extent=(0, size * absent_map.shape[1], len(names) - 0.5, -0.5),
    )
    # Crosses tell the unreadable in a print without colours, and where they are one row of many.
    at_column, at_bin = np.nonzero(unreadable_map)
    axes.plot((at_bin + 0.5) * size, at_column, linestyle="none", marker="x", color="black", markersize=4.5)
    axes.set_xlim(0, length)
    count_only(axes, "x")
    places = np.arange(len(names))
    axes.hlines(places[1:] - 0.5, 0, length, color="0.85", linewidth=0.7)
    write_ticks(axes, "y", places.tolist(), names)
    binned = f", {size:,} a bin" if size > 1 else ""
    write_labels(axes, x=f"row of the table (of {length:,} {what_a_row_is(table)}{binned})", y="column")
    _draw_shares(bars, absent_map @ weights, unreadable_map @ weights)
    write_notes(figure, _notes(unreadable, names))
    return figure


def _shares(where: NDArray[np.bool_], size: int) -> NDArray[np.float64]:
    """Give the share of true rows in each bin; the last one may be smaller."""
    starts = np.arange(0, len(where), size)
    sums = np.add.reduceat(where.astype(np.int64), starts)
    return sums / np.minimum(size, len(where) - starts)


def _coloured(absent: NDArray[np.float64], unreadable: NDArray[np.float64]) -> NDArray[np.float64]:
    """Mix white with the two inks by their shares: shape (columns, bins, 3)."""
    from matplotlib.colors import to_rgb

    white = np.ones(3)
    mixed: NDArray[np.float64] = (
        white
        + absent[..., None] * (np.array(to_rgb(_ABSENT)) - white)
        + unreadable[..., None] * (np.array(to_rgb(_UNREADABLE)) - white)
    )
    return mixed


def _draw_shares(bars: Any, absent: NDArray[np.float64], unreadable: NDArray[np.float64]) -> None:
    """Draw and write the share of each column."""
    places = np.arange(len(absent))
    absent, unreadable = 100 * absent, 100 * unreadable
    bars.barh(places, absent, color=_ABSENT, height=0.7)
    bad = unreadable > 0
    hatched: dict[str, Any] = {
        "facecolor": _UNREADABLE,
        "hatch": "xxx",
        "edgecolor": "black",
        "linewidth": 0.5,
    }
    bars.barh(
        places[bad],
        unreadable[bad],
        left=absent[bad],
        height=0.7,
        **hatched,
    )
    for at, share in enumerate(absent + unreadable):
        if share:
            bars.annotate(
                _percent(share), (share, at), (3, 0), textcoords="offset points", va="center", fontsize=8
            )
    bars.set_xlim(0, 130)
    bars.set_xticks([0, 50, 100])
    bars.tick_params(axis="y", length=0, labelleft=False)
    # Not from the bars: there may be none.
    bars.legend(
        handles=[Patch(facecolor=_ABSENT, label="no value"), Patch(**hatched, label="not readable")],
        frameon=False,
        loc="lower left",
        bbox_to_anchor=(0, 1),
        ncols=1,
        fontsize=8.5,
        borderaxespad=0,
    )
    write_labels(bars, x="missing, % of rows")


def _percent(share: float) -> str:
    """Write a share so that a rare gap is not nought and a rare value not all."""
    if share < 1 or 99 < share < 100:
        return "< 1 %" if share < 1 else "> 99 %"
    return f"{share:.0f} %"


def _notes(unreadable: dict[str, list[int]], names: Sequence[str]) -> list[str]:
    cells = sum(len(unreadable.get(str(name), [])) for name in names)
    if not cells:
        return []
    return [
        f"{number_of(cells, 'cell')} (crosses) came with a value that could not be read; df.dicom.issues() lists them."
    ]
