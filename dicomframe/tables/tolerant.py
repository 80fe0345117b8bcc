"""The tolerant reader: rows as Python objects, value by value. It reads everything and loses nothing."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from dicomframe.dicom import tags
from dicomframe.tables.batch import Batch, Issue, Note, Stray
from dicomframe.tables.cells import read_attribute
from dicomframe.tables.schema import Column


def read_tolerant(rows: Sequence[Any], columns: dict[str, Column]) -> Batch:
    """Read rows of DICOM JSON objects.

    Parameters
    ----------
    rows : sequence
        Decoded JSON; what is no object becomes a row of missing values and an issue.
    columns : dict of str to Column
        By tag; must hold every tag that is in the rows.
    """
    batch = Batch(len(rows))
    cells: dict[str, _Cells] = {}
    for at, row in enumerate(rows):
        if isinstance(row, dict):
            _read_row(batch, cells, columns, at, row)
        else:
            batch.strays[at] = Stray(row)
            batch.issues.append(Issue(at, "", row, "a row is an object of attributes"))
    for tag, column_cells in cells.items():
        arrow_type = columns[tag].arrow_type
        values = column_cells.values
        batch.cells[tag] = values if arrow_type is None else pa.array(values, arrow_type)
        if len(column_cells.filled) < batch.length:
            batch.absent[tag] = np.setdiff1d(
                np.arange(batch.length), np.asarray(column_cells.filled, dtype=np.intp)
            )
        if column_cells.empty:
            batch.empty[tag] = np.asarray(column_cells.empty, dtype=np.intp)
    return batch


class _Cells:
    """A column while it is filled."""

    __slots__ = ("empty", "filled", "values")

    def __init__(self, length: int) -> None:
        self.values: list[Any] = [None] * length
        self.filled: list[int] = []
        self.empty: list[int] = []


def _read_row(
    batch: Batch, cells: dict[str, _Cells], columns: dict[str, Column], at: int, row: dict[str, Any]
) -> None:
    for key, attribute in row.items():
        column = columns.get(key) or _column_of_odd_key(batch, at, key, attribute, row, columns)
        if column is None:
            continue
        tag = column.tag
        value, exact, reason = read_attribute(column, attribute)
        here = cells.get(tag)
        if here is None:
            here = cells[tag] = _Cells(batch.length)
        here.values[at] = value
        here.filled.append(at)
        if not exact:
            batch.notes.append(Note(at, tag, attribute))
        elif value is None:
            here.empty.append(at)
        if reason is not None:
            batch.issues.append(Issue(at, tag, attribute, reason))


def tags_of_odd_keys(rows: Sequence[Any]) -> dict[str, str | None]:
    """Give the tags that keywords and oddly written tags among the rows' keys stand for, with their VR."""
    found: dict[str, str | None] = {}
    for row in rows:
        if isinstance(row, dict):
            for key, attribute in row.items():
                known = tags.find(key)
                if known is not None and known.tag not in found:
                    vr = attribute.get("vr") if isinstance(attribute, dict) else None
                    found[known.tag] = vr if isinstance(vr, str) else None
    return found


def _column_of_odd_key(
    batch: Batch, at: int, key: str, attribute: Any, row: dict[str, Any], columns: dict[str, Column]
) -> Column | None:
    """Find the column that a keyword or an oddly written tag stands for; the key itself is kept as a stray."""
    stray = batch.strays.setdefault(at, Stray({}))
    stray.raw[key] = attribute
    known = tags.find(key)
    if known is None:
        batch.issues.append(Issue(at, "", {key: attribute}, "a key is neither a tag nor a keyword"))
        return None
    if known.tag in row:
        batch.issues.append(Issue(at, known.tag, attribute, "the attribute stands there twice"))
        return None
    stray.read_as.append(known.tag)
    return columns[known.tag]
