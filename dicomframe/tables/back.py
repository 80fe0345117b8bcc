"""Typed table -> DICOM JSON: exactly what came in, and what was edited since in its new form."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import pandas as pd

from dicomframe.dicom import tags
from dicomframe.dicom.paths import UID_KEYWORD_OF_LEVEL, Level
from dicomframe.dicom.values import PersonName, format  # noqa: A004 - the formatter of values
from dicomframe.errors import TableError
from dicomframe.tables import notes
from dicomframe.tables.cells import Spelt, decode, read_attribute
from dicomframe.tables.edited import as_attribute, column_in_item, read_cells, without_missing
from dicomframe.tables.schema import Column, column_of, level_of, likely_column


def to_json(table: pd.DataFrame, *, settled: bool = False, lenient: bool = False) -> list[dict[str, Any]]:
    """Give the rows of a table back as DICOM JSON objects (PS3.18 section F.2).

    Columns that are no DICOM attributes are left out. A cell that stands as it was read gives the attribute as it
    came, with the spelling of numbers and dates, all groups of a name, and inline binary; one that was edited gives
    the attribute of its new value.

    Parameters
    ----------
    table : pandas.DataFrame
        A typed table.
    settled : bool
        Whether to write UIDs that the server left out, and the search's route settled.
    lenient : bool
        Whether a cell that its VR does not allow is written as text, to be an issue of who reads it.

    Returns
    -------
    list of dict
        One a row, tags in ascending order.

    Raises
    ------
    TableError
        If two columns have one name, names are of several levels, or a cell is not what its VR allows.
    """
    if table.columns.nlevels > 1:
        raise TableError("The columns' names have several levels; give each column one name, its keyword.")
    if not table.columns.is_unique:
        raise TableError("Two columns have the same name; give each its own first.")
    attrs = table.attrs.get("dicom", {})
    level: Level = attrs.get("level") or level_of(table.columns)
    noted = notes.noted(table, "notes") or {}
    found = notes.rows_by_name(table, level) if noted else {}
    notes.warn_of_lost_rows(noted, found, len(table))
    if set(table.index.names) & set(_UID_KEYWORDS):
        # UIDs that were made the index are attributes all the same.
        named = [name for name in table.index.names if name in _UID_KEYWORDS and name not in table.columns]
        table = table.reset_index(named)
    rows: list[dict[str, Any]] = [{} for _ in range(len(table))]
    for name, column in sorted(_columns(table, noted.get("vr", {})), key=lambda pair: pair[1].tag):
        cells, refused = read_cells(table[name], column)
        original = noted.get("cells", {}).get(name, {})
        as_noted = {at: attribute for row, attribute in original.items() for at in found.get(row, ())}
        _take_as_read(column, cells, refused, as_noted)
        if refused and not lenient:
            raise TableError(
                f"The column {column.name} no longer holds what its VR {column.vr} allows, in {len(refused)} of its "
                f"{len(table)} rows; its dtype is {table[name].dtype}.{_ADVICE.get(column.kind, '')}"
            )
        if not settled:
            _take_away(cells, noted.get("settled", {}).get(name, {}), found)
        is_empty = _empties(noted.get("gaps", {}).get(name), found)
        for at, cell in enumerate(cells):
            attribute = _attribute(column, cell, as_noted.get(at, _NOTHING), is_empty(at))
            if attribute is not _NOTHING:
                rows[at][column.tag] = attribute
        for at, cell in refused.items():
            rows[at][column.tag] = as_attribute(cell, column)
    for row, stray in noted.get("strays", {}).items():
        for at in found.get(row, ()):
            rows[at] = _with_strays(rows[at], *stray)
    return rows


_NOTHING: Any = object()
_SIX_DIGITS = " DICOM writes six digits of a second: .dt.floor('us') cuts the nanoseconds off."
_ADVICE = {
    "date": " A date is a day, or text such as 2024-01-31; .dt.normalize() takes a time of day off.",
    "datetime": " pandas.to_datetime makes moments of text." + _SIX_DIGITS,
    "time": " A time of day lies within 24 hours; pandas.to_timedelta makes one of text." + _SIX_DIGITS,
}
_UID_KEYWORDS = tuple(UID_KEYWORD_OF_LEVEL.values())


def _columns(table: pd.DataFrame, vr_of_name: Mapping[str, str]) -> list[tuple[Any, Column]]:
    known = ((name, tags.find(str(name))) for name in table.columns)
    return [
        (
            name,
            column_of(tag.tag, vr_of_name[name])
            if name in vr_of_name
            else likely_column(tag, table[name] if tag.vr_is_open else ()),
        )
        for name, tag in known
        if tag is not None
    ]


def _take_as_read(
    column: Column, cells: list[Any], refused: dict[int, Any], as_noted: Mapping[int, Any]
) -> None:
    """Take cells that nobody changed, in place: a server may have sent what its VR does not allow."""
    for at in refused.keys() & as_noted:
        as_read = read_attribute(column, as_noted[at]).value
        if type(as_read) is type(refused[at]) and as_read == refused[at]:
            cells[at] = as_read
            del refused[at]


def _take_away(cells: list[Any], filled: Mapping[str, str], found: Mapping[str, list[int]]) -> None:
    """Take UIDs away, in place, that rows did not have when they came."""
    for at, uid in ((at, uid) for row, uid in filled.items() for at in found.get(row, ())):
        cells[at] = None if cells[at] == uid else cells[at]


def _empties(gap: list[Any] | None, found: Mapping[str, list[int]]) -> Callable[[int], bool]:
    """Give what tells whether a missing cell means an empty attribute rather than an absent one."""
    if gap is None:
        return lambda _at: False
    meaning, exceptions = gap
    others = {at for row in exceptions for at in found.get(row, ())}
    by_default = meaning == "empty"
    return lambda at: (at in others) != by_default


def _attribute(column: Column, cell: Any, original: Any, is_empty: bool) -> Any:
    if original is not _NOTHING and _same(read_attribute(column, original).value, cell):
        return original
    if cell is None:
        return {"vr": column.vr} if is_empty else _NOTHING
    if column.kind == "bulk":
        return {"vr": column.vr, "BulkDataURI": cell}
    if column.kind == "records":
        return {"vr": column.vr, "Value": [_item(record) for record in cell]}
    values = cell if column.multiple else [cell]
    return {"vr": column.vr, "Value": [None if value is None else _value(column, value) for value in values]}


def _value(column: Column, value: Any) -> Any:
    return value.text if isinstance(value, Spelt) else format(column.vr, decode(column.kind, value))


def _same(one: Any, other: Any) -> bool:
    if isinstance(one, list) and isinstance(other, tuple):
        return tuple(map(without_missing, one)) == other
    return bool(one == other) if type(one) is type(other) else one is None and other is None


def _with_strays(row: dict[str, Any], raw: Any, read_as: list[str]) -> Any:
    """Put back what stood under odd keys, instead of what was read from it."""
    if not isinstance(raw, dict):
        return raw
    return {tag: attribute for tag, attribute in row.items() if tag not in read_as} | raw


def _item(record: Mapping[str, Any]) -> dict[str, Any]:
    """Turn a record of a sequence, as `read_cells` gives it, back into its item."""
    item: dict[str, Any] = {}
    for name, value in record.items():
        column = column_in_item(name, value)
        assert column is not None  # noqa: S101 - `read_cells` left the others out
        if value is None:
            item[column.tag] = {"vr": column.vr}
        elif column.kind == "records":
            item[column.tag] = {"vr": column.vr, "Value": [_item(inner) for inner in value]}
        elif column.kind == "bulk":
            item[column.tag] = {"vr": column.vr, "BulkDataURI": value}
        else:
            values = value if column.multiple else [value]
            written = [None if one is None else _nested_value(column, one) for one in values]
            item[column.tag] = {"vr": column.vr, "Value": written}
    return item


def _nested_value(column: Column, value: Any) -> Any:
    if isinstance(value, Spelt):
        return value.text
    return format(column.vr, PersonName(value) if column.kind == "name" else value)
