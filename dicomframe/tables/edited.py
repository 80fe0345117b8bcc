"""Cells as users leave them -> the form that readers give: what was edited, merged, or read from a text file.

A cell is read for what it says, never by the bits that it happens to have: a whole number in a column of dates is
digits, not seconds, and a day with its zone stays that day. What its VR has no room for, the nanoseconds of a time for
example, is refused: to cut it off would change the value without a word.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from functools import lru_cache
from math import inf
from typing import Any, Final

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from dicomframe.dicom import tags
from dicomframe.dicom.values import INTEGER_RANGE, LARGEST_FL, format_date_time
from dicomframe.tables.cells import (
    ENCODERS,
    LARGEST_EXACT,
    Spelt,
    plain,
    read_attribute,
    read_value,
)
from dicomframe.tables.jsontext import encodable
from dicomframe.tables.schema import Column, column_of, is_missing, likely_column

_MOMENTS = frozenset({"date", "datetime", "time"})
#: A time of day's last moment, in microseconds: the end of a leap second, 235960.
_DAY: Final = 24 * 60 * 60 * 1_000_000
#: The first and last moment that DICOM has, in microseconds since 1970.
_FIRST, _LAST = -62_135_596_800_000_000, 253_402_300_799_999_999
#: Parts of a second that DICOM, which has six digits, cannot write.
_TOO_FINE: Final = re.compile(r"[.,]\d{6}\d*[1-9]")
_OFFSET: Final = re.compile(r"[+-]\d{4}$")
_DIGITS: Final = re.compile(r"\s*[+-]?\d+\s*", re.ASCII)
_REFUSED: Final[Any] = object()
#: The types of values in items that readers give, and that need no second look.
_PLAIN: Final[dict[str, type]] = {"text": str, "name": str, "bulk": str, "date": date}


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
    series = _with_durations(series)
    if column.kind == "records" and isinstance(series.dtype, pd.ArrowDtype):
        series = pd.Series(
            [np.array(cell) if isinstance(cell, list) else cell for cell in series], dtype=object
        )
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


def _with_durations(series: pd.Series[Any]) -> pd.Series[Any]:
    """Give Arrow's times of day as durations, which keep nanoseconds when they become Python's."""
    dtype = series.dtype
    if not (isinstance(dtype, pd.ArrowDtype) and pa.types.is_time(dtype.pyarrow_dtype)):
        return series
    nanoseconds = pa.array(series).cast(pa.time64("ns")).cast(pa.int64()).cast(pa.duration("ns"))
    return pd.Series(pd.arrays.ArrowExtensionArray(nanoseconds))


def _read_together(series: pd.Series[Any], column: Column) -> list[Any] | None:
    """Read the whole column at once, where each cell is plainly what the column's type says; None where one is not."""
    if column.vr == "AT" or (column.kind in _MOMENTS and series.dtype == object):
        return None  # Arrow would cut the nanoseconds of pandas' objects off
    try:
        arrow = pa.array(series, from_pandas=True)
        if pa.types.is_dictionary(arrow.type):
            arrow = arrow.cast(arrow.type.value_type)
        is_list = pa.types.is_nested(arrow.type)
        values = pc.list_flatten(arrow) if is_list else arrow
        if column.kind in _MOMENTS:
            whole = pa.list_(pa.int64()) if column.multiple else pa.int64()
            moments = None if is_list else _moments(arrow, column)
            return None if moments is None else list(moments.cast(whole).to_pylist())
        if not (pa.types.is_null(values.type) or _are_plain(values, column)):
            return None
        return list(arrow.cast(column.arrow_type).to_pylist())
    except (ValueError, TypeError, NotImplementedError, OverflowError):  # Arrow's own are among them
        return None


def _are_plain(values: pa.Array, column: Column) -> bool:
    """Tell whether Arrow turns all values of a type into those of a column as `_read_one` would; it is far quicker."""
    kind = values.type
    is_whole = pa.types.is_integer(kind)
    if column.kind not in {"integer", "float"}:
        is_text = pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind)
        return is_text or (is_whole and column.kind == "text")
    if not (is_whole or pa.types.is_floating(kind)):
        return False
    found = pc.min_max(values)
    low, high = found["min"].as_py(), found["max"].as_py()
    if low is None:
        return True
    if not is_whole and not pc.all(pc.is_finite(values)).as_py():
        return False
    if column.kind == "float":
        largest = LARGEST_EXACT if is_whole else LARGEST_FL if column.vr == "FL" else inf
        return bool(-largest <= low <= high <= largest)
    smallest, largest = INTEGER_RANGE[column.vr]
    return bool(smallest <= low <= high <= largest)


def _moments(arrow: pa.Array, column: Column) -> pa.Array | None:
    kind = arrow.type
    if pa.types.is_null(kind):
        return arrow.cast(column.arrow_type)
    if not pa.types.is_temporal(kind):
        return None
    if column.kind == "date" and pa.types.is_timestamp(kind):
        # The day is the one of the zone, and a time of day would be lost.
        arrow = pc.local_timestamp(arrow) if kind.tz else arrow
        if pc.all(pc.equal(pc.floor_temporal(arrow, unit="day"), arrow)).as_py() is False:
            return None
    elif getattr(kind, "tz", None):
        return None  # its offset is written
    # Refused where nanoseconds would be lost.
    moments = arrow.cast(column.arrow_type)
    numbers = pc.min_max(moments.cast(pa.int64()))
    unit = 1_000_000 if column.kind == "date" else 1
    low, high = (0, _DAY) if column.kind == "time" else (_FIRST, _LAST)
    if numbers["min"].as_py() is not None and not (
        low <= numbers["min"].as_py() * unit and numbers["max"].as_py() * unit <= high
    ):
        return None
    return moments


def _read(cell: Any, column: Column) -> Any:
    is_list = isinstance(cell, list | tuple | np.ndarray)
    if not is_list and is_missing(cell):
        return None
    if column.kind == "records":
        return _read_records(cell) if is_list else _REFUSED
    if not is_list:
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


def _read_records(records: Any) -> Any:
    """Read a sequence's items, each value by the VR of its own; what is under no keyword is the user's own.

    Those that Arrow had, in a Parquet file for example, are a tuple, without what is missing: there, every item has the
    attributes of all, and what is absent cannot be told from what is empty.
    """
    found: list[dict[str, Any]] = []
    for record in records:
        if not isinstance(record, Mapping):
            return _REFUSED
        read: dict[str, Any] = {}
        for name, cell in record.items():
            column = column_in_item(name, cell)
            if column is None:
                continue
            if type(cell) is _PLAIN.get(column.kind) and not column.multiple and column.vr != "AT":
                read[name] = cell
                continue
            value = _read(cell, column)
            if value is _REFUSED:
                return _REFUSED
            read[name] = plain(column, value)
        found.append(read)
    return tuple(map(without_missing, found)) if isinstance(records, np.ndarray) else found


def column_in_item(name: Any, cell: Any) -> Column | None:
    """Give the column that a value of an item would be in; None for what is under no keyword."""
    return _column_named(name) or (likely_column(known, [cell]) if (known := tags.find(str(name))) else None)


@lru_cache(maxsize=4096)
def _column_named(name: Any) -> Column | None:
    known = tags.find(str(name))
    return None if known is None or known.vr_is_open else column_of(known.tag)


def without_missing(record: Mapping[str, Any]) -> dict[str, Any]:
    """Leave out what is missing in an item, and in the items within.

    Examples
    --------
    >>> without_missing({"CodeValue": "1", "CodeMeaning": None, "ContentSequence": [{"CodeValue": None}]})
    {'CodeValue': '1', 'ContentSequence': ({},)}
    """
    return {
        name: tuple(map(without_missing, value))
        if isinstance(value, list | tuple) and value and isinstance(value[0], Mapping)
        else value
        for name, value in record.items()
        if value is not None
    }


def _read_one(value: Any, column: Column) -> Any:
    value = value.item() if isinstance(value, np.generic) and value.dtype.kind not in "mM" else value
    value = str(value) if isinstance(value, Decimal) else value
    if column.kind in _MOMENTS:
        return _read_moment(value, column)
    if column.kind in {"name", "bulk"}:
        return value if isinstance(value, str) and encodable(value) == value else _REFUSED
    if not isinstance(value, str | int | float):
        return _REFUSED
    if column.kind == "text" and isinstance(value, float):
        # A reader of text files makes numbers with a point of whole ones, where a row has none.
        if not abs(value) <= LARGEST_EXACT:
            return _REFUSED
        value = int(value) if value.is_integer() else value
    reading = read_value(column, value)
    if reading.reason is not None:
        return _REFUSED
    return _REFUSED if column.kind == "float" and _is_changed(value, reading.value) else reading.value


def _is_changed(value: Any, number: float | None) -> bool:
    """Tell whether a whole number became another one, because a floating-point number cannot hold it."""
    is_whole = isinstance(value, int) or (isinstance(value, str) and _DIGITS.fullmatch(value) is not None)
    return is_whole and number is not None and int(value) != number


def _read_moment(value: Any, column: Column) -> Any:
    moment = _moment(value, column.kind)
    if moment is not None:
        return _encoded(moment, column)
    value = _digits(value) if column.kind == "date" else value
    if not isinstance(value, str):
        return _REFUSED
    reading = read_value(column, value)
    if reading.reason is not None:
        return _REFUSED
    if column.kind == "datetime" and reading.value is not None and not reading.exact:
        return Spelt(reading.value, value.strip(" \0"))  # a year alone, or an offset
    return reading.value


def _encoded(moment: Any, column: Column) -> Any:
    try:
        encoded = ENCODERS[column.kind](moment)
    except (ValueError, OverflowError):
        return _REFUSED
    if column.kind == "time" and not 0 <= encoded <= _DAY:
        return _REFUSED
    is_aware = column.kind == "datetime" and moment.tzinfo is not None
    return Spelt(encoded, _with_offset(moment)) if is_aware else encoded


def _with_offset(moment: datetime) -> str:
    """Write a moment with its offset; one that DICOM has no digits for, of the time before zones, in UTC."""
    offset = moment.utcoffset() or timedelta()
    if offset % timedelta(minutes=1) or not -timedelta(hours=12) <= offset <= timedelta(hours=14):
        moment = moment.astimezone(UTC)
    return format_date_time(moment)


def _digits(value: Any) -> Any:
    """Give the text that a date was before a reader of text files made it a number; no zero can have been lost."""
    is_whole = isinstance(value, int | float) and not isinstance(value, bool) and value == value // 1
    return str(int(value)) if is_whole else value


def _moment(value: Any, kind: str) -> Any:
    """Give the date, time or both that a value is, or that a text of ISO 8601 or pandas says; None for another."""
    try:
        value = _of_pandas(value)
        if _is_too_fine(value):
            return None
        if kind == "time":
            return _time(value)
        if isinstance(value, str):
            return _day_or_moment(_moment_of(value), kind)
        if isinstance(value, pd.Timestamp):
            value = value.to_pydatetime(warn=False)
    except (ValueError, OverflowError):
        return None
    return _day_or_moment(value, kind)


def _of_pandas(value: Any) -> Any:
    """Make pandas' own of numpy's moments and durations."""
    if isinstance(value, np.datetime64):
        return pd.Timestamp(value)
    return pd.Timedelta(value) if isinstance(value, np.timedelta64) else value


def _is_too_fine(value: Any) -> bool:
    """Tell whether a moment, or a text of one, has nanoseconds."""
    if isinstance(value, str):
        return _TOO_FINE.search(value) is not None
    return bool(getattr(value, "nanosecond", 0) or getattr(value, "nanoseconds", 0))


def _moment_of(text: str) -> datetime | None:
    text = text.strip()
    return datetime.fromisoformat(text) if "-" in text[4:5] else None


def _day_or_moment(value: Any, kind: str) -> Any:
    if kind == "datetime":
        if isinstance(value, date) and not isinstance(value, datetime):
            return datetime(value.year, value.month, value.day)  # noqa: DTZ001 - a day has no zone
        return value if isinstance(value, datetime) else None
    if isinstance(value, datetime):
        return value.date() if value.timetz().replace(tzinfo=None) == time() else None
    return value if isinstance(value, date) else None


def _time(value: Any) -> timedelta | None:
    if isinstance(value, str):
        return pd.Timedelta(value).to_pytimedelta() if ":" in value else None
    if isinstance(value, time):
        if value.tzinfo is not None:
            return None  # a TM has no zone
        return timedelta(
            hours=value.hour, minutes=value.minute, seconds=value.second, microseconds=value.microsecond
        )
    return value if isinstance(value, timedelta) else None
