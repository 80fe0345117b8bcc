"""How many rows have each value of a column: modality, month, year, scanner, or any other."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pandas as pd

from dicomframe.errors import TableError
from dicomframe.images.plots.page import (
    INKS,
    MISSING_HATCH,
    MISSING_INK,
    check_most,
    column,
    count_only,
    dates,
    empty_page,
    number_of,
    page,
    what_a_row_is,
    write_labels,
    write_notes,
    write_ticks,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_MAKER, _MODEL = "Manufacturer", "ManufacturerModelName"
#: As many labels as a time axis has room for.
_TIME_LABELS = 12


def draw_counts(table: pd.DataFrame, by: str = "modality", most: int = 20) -> Figure:
    """Draw the bars; `dicomframe.accessor.plots.PlotMethods.counts` documents it."""
    check_most(most)
    what = what_a_row_is(table)
    if by in ("month", "year"):
        return _over_time(table, by, what)
    name, values, notes = _values(table, by, what)
    if table.empty:
        return empty_page(f"The table has no rows to count by {by}.")
    counted, missing = count(values)
    labels = [str(label) for label in counted.index[:most]]
    heights = counted.iloc[:most].tolist()
    inks, hatches = [INKS[0]] * len(labels), [""] * len(labels)
    left_out = counted.iloc[most:]
    if len(left_out):
        labels.append(f"{number_of(len(left_out), 'other')}")
        heights.append(int(left_out.sum()))
        inks.append(INKS[4])
        hatches.append("...")
        notes.append(f"{number_of(len(left_out), 'less frequent value')} are drawn as one bar (most={most}).")
    if missing:
        labels.append("missing")
        heights.append(missing)
        inks.append(MISSING_INK)
        hatches.append(MISSING_HATCH)
    figure = page(7.0, 0.9 + 0.3 * len(labels))
    axes = figure.add_subplot()
    places = np.arange(len(labels))
    axes.barh(places, heights, color=inks, hatch=hatches, edgecolor="white", height=0.75)
    _write_heights(axes, heights)
    write_ticks(axes, "y", places.tolist(), labels)
    axes.set_ylim(len(labels) - 0.4, -0.6)
    count_only(axes, "x")
    write_labels(axes, x=f"number of {what}", y=name)
    write_notes(figure, notes)
    return figure


def count(values: pd.Series[Any]) -> tuple[pd.Series[Any], int]:
    """Count the values of a column, each element where cells are lists.

    Returns
    -------
    counts : pandas.Series of int
        By value, the most frequent first, then in the values' order as text.
    missing : int
        Rows without a value.

    Raises
    ------
    TableError
        If the cells are sequences of items (VR SQ), which cannot be counted.

    Examples
    --------
    >>> counts, missing = count(pd.Series([["CT", "SEG"], ["CT"], None]))
    >>> counts.to_dict(), missing
    ({'CT': 2, 'SEG': 1}, 1)
    """
    cells = pd.DataFrame({"row": np.arange(len(values)), "value": values.array})
    if holds_lists(values):
        cells = cells.explode("value")
    known = cells.dropna()
    missing = len(values) - known["row"].nunique()
    try:
        # A value that is named twice in a row is there once.
        counted = known.drop_duplicates()["value"].value_counts()
    except TypeError:
        raise TableError("The column holds sequences of items; take a column of single values.") from None
    counted.index = pd.Index([_label(value) for value in counted.index], dtype=object)
    counted = counted.groupby(level=0).sum().sort_index()
    return counted.sort_values(ascending=False, kind="stable").astype(int), missing


def _values(table: pd.DataFrame, by: str, what: str) -> tuple[str, pd.Series[Any], list[str]]:
    """Give an axis label, the cells to count, and what has to be said of them."""
    if by == "scanner":
        return "scanner (manufacturer, model)", scanners(table), []
    if by != "modality":
        values = column(table, by, ("modality", "month", "year", "scanner"))
        notes = ["A row with several values is counted for each."] if holds_lists(values) else []
        return by, values, notes
    for name in ("Modality", "ModalitiesInStudy"):
        if name in table.columns:
            values = column(table, name)
            several = f"Of {what} with several modalities, each is counted."
            return "modality", values, [several] if holds_lists(values) else []
    raise TableError(
        "There is no column 'Modality' or 'ModalitiesInStudy' to count. Ask the search for it:"
        " search_studies(fields=['ModalitiesInStudy']) or search_series()."
    )


def scanners(table: pd.DataFrame) -> pd.Series[Any]:
    """Give manufacturer and model as one text, missing where a row has neither.

    Raises
    ------
    TableError
        If both columns are missing.
    """
    parts = [table[name].astype("string") for name in (_MAKER, _MODEL) if name in table.columns]
    if not parts:
        raise TableError(
            f"There is no column {_MAKER!r} or {_MODEL!r} that names a scanner. Ask a search of series or instances"
            f" for them (fields=[{_MAKER!r}, {_MODEL!r}]), or take them from df.dicom.headers([{_MAKER!r},"
            f" {_MODEL!r}])."
        )
    joined = parts[0].fillna("")
    for part in parts[1:]:
        joined = joined.str.cat(part.fillna(""), sep=" ")
    joined = joined.str.strip()
    return joined.mask(joined == "")


def _over_time(table: pd.DataFrame, by: str, what: str) -> Figure:
    """Draw a bar for each month or year, in order; those without any row stay empty."""
    unit: Literal["M", "Y"] = "M" if by == "month" else "Y"
    when = dates(table, "StudyDate")
    if table.empty:
        return empty_page(f"The table has no rows to count by {by}.")
    numbers, counts = np.unique(
        when.dropna().to_numpy().astype(f"datetime64[{unit}]").astype(np.int64), return_counts=True
    )
    missing = int(when.isna().sum())
    figure = page(8.0, 3.4)
    axes = figure.add_subplot()
    first, last = (int(numbers[0]), int(numbers[-1])) if len(numbers) else (0, -1)
    span = last - first + 1
    axes.bar(numbers - first, counts, width=0.85, color=INKS[0])
    step = max(-(-span // _TIME_LABELS), 1)
    places = list(range(0, span, step))
    texts = [str(np.datetime64(first + at, unit)) for at in places]
    end = float(span)
    if missing:
        # Apart from the time axis, and never narrower than can be seen.
        gap = max(1.0, span / 20)
        end = span + 2 * gap
        axes.bar(
            [span - 1 + 1.5 * gap],
            [missing],
            width=gap * 0.85,
            color=MISSING_INK,
            hatch=MISSING_HATCH,
            edgecolor="white",
        )
        places = [at for at in places if at < span - gap] or places[:1]
        texts = texts[: len(places)]
        places.append(span - 1 + 1.5 * gap)  # type: ignore[arg-type]
        texts.append("no date")
    axes.set_xlim(-0.8, end)
    count_only(axes, "y")
    write_ticks(axes, "x", places, texts)
    axes.tick_params(axis="x", rotation=45)
    write_labels(axes, x=f"{by} of the study", y=f"number of {what}")
    if missing:
        write_notes(
            figure, [f"{number_of(missing, 'row')} of {len(table):,} without a StudyDate: the hatched bar."]
        )
    return figure


def _write_heights(axes: Axes, heights: Sequence[int]) -> None:
    for at, height in enumerate(heights):
        axes.annotate(
            f"{height:,}", (height, at), (3, 0), textcoords="offset points", va="center", fontsize=8.5
        )
    axes.margins(x=0.1)


def holds_lists(values: pd.Series[Any]) -> bool:
    """Tell whether a column has several values in a row."""
    if isinstance(values.dtype, pd.ArrowDtype):
        import pyarrow as pa

        return bool(pa.types.is_list(values.dtype.pyarrow_dtype))
    first = next((cell for cell in values if _is_list(cell)), None) if values.dtype == object else None
    return first is not None


def _is_list(cell: object) -> bool:
    return isinstance(cell, list | tuple | np.ndarray)


def _label(value: object) -> str:
    if isinstance(value, pd.Timestamp):
        return str(value.date()) if value == value.normalize() else str(value)
    if isinstance(value, float):
        return f"{value:g}"
    return str(value)
