"""Cells as users leave them -> the form that readers give: what was edited, merged, or read from a text file.

A cell is read for what it says, never by the bits that it happens to have: a whole number in a column of dates is
digits, not seconds, and a day with its zone stays that day.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, datetime, time, timedelta
from typing import Any, Final

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from dicomframe.tables.cells import ENCODERS, read_attribute, read_value
from dicomframe.tables.schema import Column

_MOMENTS = frozenset({"date", "datetime", "time"})
_NUMBERS = frozenset({"integer", "float"})
#: A time of day's last moment, in microseconds: the end of a leap second, 235960.
_DAY: Final = 24 * 60 * 60 * 1_000_000
_REFUSED: Final[Any] = object()


def read_cells(series: pd.Series[Any], column: Column) -> tuple[list[Any], dict[int, Any]]:
    """Read a column's cells: None where missing, whole numbers for moments, plain Python values else.

    Returns
    -------
    cells : list
        In the form that readers give them.
    refused : dict
        The cells that their VR does not allow, by position; those of ``cells`` are None.

    Examples
    --------
    >>> from dicomframe.tables.schema import column_of
    >>> read_cells(pd.Series([20240131, 5]), column_of("00080020"))
    ([1706659200, None], {1: 5})
    """
    if column.kind != "records":
        together = _read_together(series, column)
        if together is not None:
            return together, {}
    cells = [_read(cell, column) for cell in series]
    refused = {at: given for at, given in enumerate(series) if cells[at] is _REFUSED}
    return [None if cell is _REFUSED else cell for cell in cells], refused


def as_attribute(cell: Any, column: Column) -> Any:
    """Give what stands for a refused cell in DICOM JSON, so that reading it tells what it was and why it cannot be.

    Examples
    --------
    >>> from dicomframe.tables.schema import column_of
    >>> as_attribute("31.01.2024", column_of("00080020"))
    {'vr': 'DA', 'Value': ['31.01.2024']}
    """
    raw = str(cell)
    attribute = {"vr": column.vr, "Value": [raw]}
    reading = read_attribute(column, attribute)
    return attribute if reading.reason is not None and reading.value is None else raw


def is_missing(cell: Any) -> bool:
    """Tell whether a cell holds nothing, in any of pandas' ways to say so."""
    if isinstance(cell, np.datetime64 | np.timedelta64):
        return bool(np.isnat(cell))
    return (
        cell is None or cell is pd.NA or cell is pd.NaT or (isinstance(cell, float) and bool(np.isnan(cell)))
    )


def _read_together(series: pd.Series[Any], column: Column) -> list[Any] | None:
    """Read the whole column at once, where each cell is what the column's type says; None where one is not."""
    try:
        arrow = pa.array(series, from_pandas=True)
        kind = _kind_of(arrow)
        if column.kind in _NUMBERS and (pa.types.is_temporal(kind) or pa.types.is_boolean(kind)):
            return None  # bits of a moment are no number
        if column.kind in _MOMENTS:
            whole = pa.list_(pa.int64()) if column.multiple else pa.int64()
            moments = _moments(arrow, column)
            return None if moments is None else list(moments.cast(whole).to_pylist())
        return list(arrow.cast(column.arrow_type).to_pylist())
    except (ValueError, TypeError, NotImplementedError, OverflowError):  # Arrow's own are among them
        return None


def _kind_of(arrow: pa.Array) -> pa.DataType:
    return arrow.type.value_type if pa.types.is_list(arrow.type) else arrow.type


def _moments(arrow: pa.Array, column: Column) -> pa.Array | None:
    kind = _kind_of(arrow)
    if not (pa.types.is_temporal(kind) or pa.types.is_null(kind)):
        return None
    if column.kind == "date" and pa.types.is_timestamp(arrow.type):
        # The day is the one of the zone, and a time of day would be lost.
        arrow = pc.local_timestamp(arrow) if arrow.type.tz else arrow
        if pc.all(pc.equal(pc.floor_temporal(arrow, unit="day"), arrow)).as_py() is False:
            return None
    moments = arrow.cast(column.arrow_type, safe=False)
    if column.kind == "time":
        times = (pc.list_flatten(moments) if column.multiple else moments).cast(pa.int64())
        if pc.any(pc.or_(pc.less(times, 0), pc.greater(times, _DAY))).as_py():
            return None
    return moments


def _read(cell: Any, column: Column) -> Any:
    if column.kind == "records":
        is_list = isinstance(cell, list | np.ndarray)
        return list(cell) if is_list else None if is_missing(cell) else _REFUSED
    if not isinstance(cell, list | tuple | np.ndarray):
        if is_missing(cell):
            return None
        if not column.multiple:
            return _read_one(cell, column)
        if isinstance(cell, str) and cell.startswith("["):
            # A list that was written as text; how it was written is not known.
            return _REFUSED
        cell = cell.split("\\") if isinstance(cell, str) else [cell]
    elif not column.multiple:
        return _REFUSED
    values = [None if is_missing(one) else _read_one(one, column) for one in cell]
    return _REFUSED if any(value is _REFUSED for value in values) else values


def _read_one(value: Any, column: Column) -> Any:
    value = value.item() if isinstance(value, np.generic) and value.dtype.kind not in "mM" else value
    if column.kind in _MOMENTS:
        moment = _moment(value, column.kind)
        if moment is not None:
            try:
                encoded = ENCODERS[column.kind](moment)
            except ValueError:
                return _REFUSED
            return encoded if column.kind != "time" or 0 <= encoded <= _DAY else _REFUSED
        value = _digits(value) if column.kind == "date" else value
        if not isinstance(value, str):
            return _REFUSED
    elif not isinstance(value, str | int | float | Mapping):
        return _REFUSED
    reading = read_value(column, value)
    return _REFUSED if reading.reason is not None else reading.value


def _digits(value: Any) -> Any:
    """Give the text that a date was before a reader of text files made it a number; no zero can have been lost."""
    is_whole = isinstance(value, int | float) and not isinstance(value, bool) and value == value // 1
    return str(int(value)) if is_whole else value


def _moment(value: Any, kind: str) -> Any:
    """Give the date, time or both that a value is, or that a text of ISO 8601 or pandas says; None for another."""
    try:
        if kind == "time":
            return _time(value)
        if isinstance(value, str):
            value = pd.Timestamp(datetime.fromisoformat(value.strip())) if "-" in value.strip()[4:5] else None
        elif isinstance(value, np.datetime64):
            value = pd.Timestamp(value)
    except (ValueError, OverflowError):
        return None
    if kind == "datetime":
        value = value.to_pydatetime(warn=False) if isinstance(value, pd.Timestamp) else value
        return value if isinstance(value, datetime) else None
    if isinstance(value, datetime):
        return value.date() if value.timetz().replace(tzinfo=None) == time() else None
    return value if isinstance(value, date) else None


def _time(value: Any) -> timedelta | None:
    if isinstance(value, str):
        return pd.Timedelta(value).to_pytimedelta() if ":" in value else None
    if isinstance(value, time):
        return timedelta(
            hours=value.hour, minutes=value.minute, seconds=value.second, microseconds=value.microsecond
        )
    if isinstance(value, np.timedelta64):
        value = pd.Timedelta(value)
    return value if isinstance(value, timedelta) else None
