"""The rows that a cohort browser lists, each with a box to tick; and which rows of a table a caller means."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import anywidget
import numpy as np
import pandas as pd
import traitlets

from dicomframe.errors import QueryError
from dicomframe.widgets.facets import Mask

#: Told what a person ticked: places in the table, and whether they are ticked now.
Told = Callable[[list[int], bool], None]


class RowList(anywidget.AnyWidget):
    """A table of `html_table` whose boxes are alive.

    Parameters
    ----------
    told : callable
        Called with the places of rows and whether they are ticked now. The page's words are checked here, since any
        code in a notebook can send them.
    count : int
        How many rows the table has.

    Attributes
    ----------
    value : str
        The HTML.
    ticked : list of int
        Places of the ticked rows among those shown.
    """

    _esm = Path(__file__).with_name("rows.js").read_text(encoding="utf-8")
    _css = ".dicomframe-ticked { background: rgba(0, 114, 178, 0.18); }"

    value = traitlets.Unicode().tag(sync=True)
    ticked = traitlets.List(traitlets.Int()).tag(sync=True)

    def __init__(self, told: Told, count: int) -> None:
        super().__init__()
        self._told = told
        self._count = count
        self.on_msg(self._hear)

    def _hear(self, _: Any, content: Any, __: Any) -> None:
        if not isinstance(content, dict) or content.get("kind") != "tick":
            return
        places, ticked = content.get("places"), content.get("ticked")
        if isinstance(places, list) and isinstance(ticked, bool):
            are_places = all(type(place) is int and 0 <= place < self._count for place in places)
            if are_places:
                self._told(places, ticked)


def rows_meant(table: pd.DataFrame, rows: Any) -> Mask:
    """Give the rows of a table that a caller means.

    Parameters
    ----------
    table : pandas.DataFrame
    rows : DataFrame, sequence of labels, or one bool a row
        A part of the table, labels of its index, or which rows. Where several rows share a label, those of a part are
        told apart by their values; a label by itself must be there once for each of them.

    Raises
    ------
    QueryError
        If a label is none of the table's, there is not one bool a row, or more rows than are given could be meant.

    Examples
    --------
    >>> table = pd.DataFrame({"Modality": ["CT", "MR", "CT"]}, index=[7, 8, 8])
    >>> rows_meant(table, table["Modality"] == "MR").tolist(), rows_meant(table, table.iloc[2:]).tolist()
    ([False, True, False], [False, False, True])
    >>> rows_meant(table, [7]).tolist()
    [True, False, False]
    """
    part: pd.DataFrame | None = None
    if isinstance(rows, pd.DataFrame):
        part, labels = rows, rows.index
    elif isinstance(rows, str) or not hasattr(rows, "__iter__"):
        raise QueryError("The rows to tick are a part of the table, labels of its index, or one bool a row.")
    else:
        given = pd.Series(rows if isinstance(rows, pd.Series | np.ndarray | pd.Index) else list(rows))
        given = given.infer_objects()  # True as an object is no label 1
        if len(given) and pd.api.types.is_bool_dtype(given.dtype):
            if len(given) != len(table):
                raise QueryError(f"One bool a row is wanted: {len(table)}, not {len(given)}.")
            if isinstance(rows, pd.Series) and not rows.index.equals(table.index):
                raise QueryError(
                    "The bools have another index than the table, so they may be of other rows; bring them into its"
                    " order (.loc[table.index]), or give them without an index (.to_numpy())."
                )
            return given.fillna(False).to_numpy(dtype=bool)
        labels = pd.Index(given)
    unknown = ~labels.isin(table.index)
    if unknown.any():
        raise QueryError(
            f"{int(unknown.sum())} of the {len(labels)} rows to tick are not in the table's index."
        )
    found: Mask = table.index.isin(labels)
    doubtful = found & table.index.duplicated(keep=False)
    if doubtful.any():
        given_part = pd.DataFrame(index=labels) if part is None else part
        found[doubtful] = _told_apart(table[doubtful], given_part[labels.isin(table.index[doubtful])])
    return found


def _told_apart(table: pd.DataFrame, part: pd.DataFrame) -> list[bool]:
    """Tell which rows of a table, whose labels are shared, a part has, by labels and values."""
    columns = [name for name in table.columns if name in part.columns]
    wanted, there = Counter(_keys(part[columns])), _keys(table[columns])
    counts = Counter(there)
    lost = sum(count for key, count in wanted.items() if key not in counts)
    if lost:
        raise QueryError(
            f"{lost} of the rows to tick have a label that several rows share, and the values of none of them."
            " Give one bool a row."
        )
    unsure = sum(count for key, count in counts.items() if 0 < wanted[key] < count)
    if unsure:
        raise QueryError(
            f"{unsure} rows share the labels of fewer rows to tick, so that more would be ticked than are meant."
            " Give a part of the table with all its columns, or one bool a row."
        )
    return [key in wanted for key in there]


def _keys(table: pd.DataFrame) -> list[tuple[str, ...]]:
    """Give each row's label and values as texts, since values may be lists and have no hash."""
    values = [column.map(_text) for _, column in table.items()]
    return list(zip(table.index.map(repr), *values, strict=True))


def _text(value: Any) -> str:
    """Write a value so that all kinds of missing ones are alike."""
    return "" if pd.api.types.is_scalar(value) and pd.isna(value) else repr(value)
