"""What cells do not say, kept beside the table: issues, and notes for the way back to JSON.

They live in ``df.attrs["dicom"]`` as JSON *texts*. pandas deep-copies attrs at each selection; a text is not copied,
and Parquet keeps it. Rows are named by their own UID, so that notes find them after filtering, sorting and joining; a
row without a UID of its own by ``#`` and its index label.

The notes' text holds

``cells``
    by column, by row: the attribute as it came.
``gaps``
    by column: whether a missing cell means that the attribute is ``"absent"`` or ``"empty"``, and the rows for which
    it means the other. A column that is not named is absent wherever it is missing.
``vr``
    the VR of columns whose dictionary entry leaves it open.
``shared``
    by person name column: the alphabetic groups that rows with and rows without further groups have in common.
``rows``
    how many rows the table had.
``strays``
    by row: what stood under keys that are no tags in their usual form, and the tags it was read as.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import numpy as np
import pandas as pd

from dicomframe.dicom import tags
from dicomframe.dicom.paths import UID_KEYWORD_OF_LEVEL, Level
from dicomframe.errors import IssuesWarning, warn_caller
from dicomframe.tables.batch import NO_ROWS, Batch
from dicomframe.tables.jsontext import dumps, loads
from dicomframe.tables.schema import Column


def noted(table: pd.DataFrame | pd.Series[Any], which: str) -> Any:
    """Give the ``issues`` or ``notes`` that a table or column carries; None where it carries none."""
    text = table.attrs.get("dicom", {}).get(which)
    return loads(text.encode("utf-8", "surrogatepass")) if text else None


def row_names(table: pd.DataFrame, level: Level) -> list[str]:
    """Give each row's name in the notes."""
    keyword = UID_KEYWORD_OF_LEVEL[level]
    if keyword in table.columns:
        named = table[keyword].tolist()
        if set(map(type, named)) == {str} and len(set(named)) == len(named):
            return named
    labels = [f"#{label}" for label in table.index]
    if keyword not in table.columns:
        return labels
    uids = table[keyword]
    own = (uids.notna() & ~uids.duplicated(keep=False)).to_numpy(dtype=bool)
    return [uid if is_own else label for uid, is_own, label in zip(uids, own, labels, strict=True)]


def rows_by_name(table: pd.DataFrame, level: Level) -> dict[str, list[int]]:
    """Give the positions of the rows that each name may stand for: a UID, and an index label."""
    found: dict[str, list[int]] = {}
    keyword = UID_KEYWORD_OF_LEVEL[level]
    for at, label in enumerate(table.index):
        found.setdefault(f"#{label}", []).append(at)
    uids: Iterable[Any] = table[keyword] if keyword in table.columns else ()
    if keyword in table.index.names:
        uids = table.index.get_level_values(keyword)
    for at, uid in enumerate(uids):
        if uid is not pd.NA and uid is not None:
            found.setdefault(str(uid), []).append(at)
    return found


def warn_of_lost_rows(noted: Mapping[str, Any], found: Mapping[str, list[int]], length: int) -> None:
    """Warn if notes name rows that a table of undiminished length does not have: their UIDs were changed."""
    named = {name for by_row in noted.get("cells", {}).values() for name in by_row}
    lost = sum(name not in found for name in named)
    if lost and length >= noted.get("rows", length + 1):
        warn_caller(
            f"{lost} rows no longer have the UIDs that they were read with, so what their cells do not say (the"
            " original spelling, further groups of names, values that could not be read) is not given back.",
            IssuesWarning,
        )


def settle(table: pd.DataFrame, level: Level, known: Mapping[str, Mapping[str, str]]) -> None:
    """Fill UIDs that rows lack, in place, and note which: they are not part of the rows as they came.

    Parameters
    ----------
    table : pandas.DataFrame
        A typed table.
    level : {"study", "series", "instance"}
        What a row is.
    known : mapping
        UID keyword to row's own UID to the UID that it lies below.
    """
    own = UID_KEYWORD_OF_LEVEL[level]
    filled: dict[str, dict[str, str]] = {}
    for keyword, by_uid in known.items():
        if keyword == own or keyword not in table.columns:
            continue
        lacking = table[keyword].isna() & table[own].isin(list(by_uid))
        if lacking.any():
            table.loc[lacking, keyword] = [by_uid[uid] for uid in table.loc[lacking, own]]
            names = zip(row_names(table, level), lacking, table[keyword], strict=True)
            filled[keyword] = {name: uid for name, is_filled, uid in names if is_filled}
    if filled:
        notes = noted(table, "notes") or {"rows": len(table)}
        table.attrs["dicom"]["notes"] = dumps({**notes, "settled": filled})


def attrs_of(batch: Batch, columns: dict[str, Column], table: pd.DataFrame, level: Level) -> dict[str, str]:
    """Put a batch's issues and notes into the form that a table carries.

    Returns
    -------
    dict of str to str
        ``issues`` and ``notes``, each only where there is something to say.
    """
    names = _LazyNames(table, level)
    attrs: dict[str, str] = {}
    if batch.issues:
        attrs["issues"] = dumps(
            [
                (
                    names[row],
                    columns[tag].name if tag else "",
                    columns[tag].vr if tag else "",
                    raw,
                    reason,
                )
                for row, tag, raw, reason in batch.issues
            ]
        )
    notes: dict[str, Any] = {}
    cells: dict[str, dict[str, str]] = {}
    for row, tag, attribute in batch.notes:
        cells.setdefault(columns[tag].name, {})[names[row]] = attribute
    for tag, column in columns.items():
        gap = _gap(batch, tag, names)
        if gap is not None:
            notes.setdefault("gaps", {})[column.name] = gap
        if column.kind == "name" and not column.multiple and column.name in cells:
            shared = _shared_names(batch, tag, table[column.name])
            if shared:
                notes.setdefault("shared", {})[column.name] = shared
        if tags.from_tag(tag).vr_is_open:
            notes.setdefault("vr", {})[column.name] = column.vr
    if batch.strays:
        notes["strays"] = {names[row]: [stray.raw, stray.read_as] for row, stray in batch.strays.items()}
    if notes or cells:
        notes["rows"] = batch.length
        attrs["notes"] = _with_cells(notes, cells)
    return attrs


def _with_cells(notes: dict[str, Any], cells: dict[str, dict[str, str]]) -> str:
    """Write the notes' text; the cells are JSON text already."""
    columns = [
        f"{dumps(name)}:{{{','.join([f'{dumps(row)}:{attribute}' for row, attribute in by_row.items()])}}}"
        for name, by_row in cells.items()
    ]
    members = [f"{dumps(name)}:{dumps(value)}" for name, value in notes.items()]
    if columns:
        members.append(f'"cells":{{{",".join(columns)}}}')
    return f"{{{','.join(members)}}}"


class _LazyNames:
    """Row names, made only when a note needs one."""

    def __init__(self, table: pd.DataFrame, level: Level) -> None:
        self._table, self._level = table, level
        self._names: list[str] | None = None

    def __getitem__(self, row: int) -> str:
        if self._names is None:
            self._names = row_names(self._table, self._level)
        return self._names[row]


def _gap(batch: Batch, tag: str, names: _LazyNames) -> list[Any] | None:
    """Say what a missing cell means; the rarer meaning is listed row by row."""
    empty = batch.empty.get(tag, NO_ROWS)
    if not len(empty):
        return None
    absent = batch.absent.get(tag, NO_ROWS)
    if len(absent) <= len(empty):
        return ["empty", [names[int(row)] for row in absent]]
    return ["absent", [names[int(row)] for row in empty]]


def _shared_names(batch: Batch, tag: str, names: pd.Series[Any]) -> list[str]:
    """Give the alphabetic groups by which a column alone could not tell whose further groups are noted."""
    mask = np.zeros(len(names), dtype=bool)
    mask[[row for row, noted, _ in batch.notes if noted == tag]] = True
    return sorted(set(names[mask].dropna()) & set(names[~mask].dropna()))


def issues(table: pd.DataFrame, level: Level) -> pd.DataFrame:
    """Give the issues of the rows that are in the table, one a row, with the rows' UIDs."""
    uid_columns = list(UID_KEYWORD_OF_LEVEL.values())
    rows = list(_issue_rows(table, level, uid_columns))
    return pd.DataFrame(rows, columns=[*uid_columns, "keyword", "vr", "raw", "reason"]).astype("string")


def _issue_rows(table: pd.DataFrame, level: Level, uid_columns: list[str]) -> Iterator[list[Any]]:
    listed = noted(table, "issues") or []
    if not listed:
        return
    found = rows_by_name(table, level)
    uids = [table[name].tolist() if name in table.columns else [pd.NA] * len(table) for name in uid_columns]
    for name, *rest in listed:
        for at in found.get(name, []):
            yield [*(column[at] for column in uids), *rest]


def unreadable_cells(table: pd.DataFrame, level: Level, listed: Iterable[Any]) -> dict[str, list[int]]:
    """Give the positions of the rows that issues name, in order, by column."""
    found = rows_by_name(table, level)
    cells: dict[str, set[int]] = {}
    for name, column, *_ in listed:
        if column:
            cells.setdefault(column, set()).update(found.get(name, ()))
    return {column: sorted(rows) for column, rows in cells.items() if rows}
