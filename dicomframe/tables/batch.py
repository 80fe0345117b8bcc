"""What a reader makes of some rows: columns in Arrow, and beside them all that the cells do not say."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa

from dicomframe.tables.schema import Column

#: Rows by position.
Rows = np.ndarray[Any, np.dtype[np.intp]]
NO_ROWS: Rows = np.empty(0, dtype=np.intp)
#: After so many bytes of copied columns, what held them goes back to the system. Arrow's allocator would keep it for
#: as much as the table's size; a smaller table's it may keep, for the next one.
_RELEASED_BYTES = 4 * 1024 * 1024


#: An attribute that its cell does not say exactly, as it came: row, tag, and JSON text. There may be as many as rows,
#: and the garbage collector would look at objects again and again; plain tuples of texts it lets go of.
Note = tuple[int, str, str]
#: A value that could not be read, as text for people: row, tag, the value and the reason.
Issue = tuple[int, str, str, str]


@dataclass(slots=True)
class Stray:
    """What stands under keys that are no tags in their usual form, or a whole row that is no object.

    Parameters
    ----------
    raw : object
        By key: the attributes as they came; or the row.
    read_as : list of str
        The tags that some of the keys were read as.
    """

    raw: Any
    read_as: list[str] = field(default_factory=list)


@dataclass(slots=True)
class Batch:
    """Some rows of a table.

    Parameters
    ----------
    length : int
        How many rows.
    cells : dict
        By tag: a `pyarrow.Array` of the column's type, or for records a list. A tag that is not here is absent in
        all rows.
    absent : dict
        By tag: the rows in which the attribute is absent, where that is not none of them.
    empty : dict
        By tag: the rows in which it is there and has no value, where that is not none of them.
    notes : list of Note
        What must be kept for the way back.
    issues : list of Issue
        What could not be read.
    strays : dict of int to Stray
        By row: what no column can hold.
    """

    length: int
    cells: dict[str, Any] = field(default_factory=dict)
    absent: dict[str, Rows] = field(default_factory=dict)
    empty: dict[str, Rows] = field(default_factory=dict)
    notes: list[Note] = field(default_factory=list)
    issues: list[Issue] = field(default_factory=list)
    strays: dict[int, Stray] = field(default_factory=dict)


def join(batches: Iterable[Batch], columns: dict[str, Column]) -> Batch:
    """Put batches below each other; every column is there then, with its type.

    The batches are used up: each of their columns goes when it has been copied, so that memory holds few of them twice.
    """
    batches = list(batches)
    if len(batches) == 1 and len(batches[0].cells) == len(columns):
        return batches[0]
    whole = Batch(sum(batch.length for batch in batches))
    start = 0
    for batch in batches:
        whole.notes += [(row + start, tag, attribute) for row, tag, attribute in batch.notes]
        whole.issues += [(row + start, tag, raw, reason) for row, tag, raw, reason in batch.issues]
        whole.strays.update((row + start, stray) for row, stray in batch.strays.items())
        start += batch.length
    copied = 0
    for tag, column in columns.items():
        present = [tag in batch.cells for batch in batches]
        absent = [
            batch.absent.get(tag, NO_ROWS) if there else np.arange(batch.length)
            for batch, there in zip(batches, present, strict=True)
        ]
        _put_rows(whole.absent, tag, absent, batches)
        _put_rows(whole.empty, tag, [batch.empty.get(tag, NO_ROWS) for batch in batches], batches)
        whole.cells[tag] = cells = _join_cells(batches, tag, column)
        copied += cells.nbytes if len(batches) > 1 and isinstance(cells, pa.Array) else 0
        if copied >= _RELEASED_BYTES:
            _release()
            copied = 0
    return whole


def _release() -> None:
    pa.default_memory_pool().release_unused()


def _join_cells(batches: list[Batch], tag: str, column: Column) -> Any:
    arrow_type = column.arrow_type
    if arrow_type is None:
        return [cell for batch in batches for cell in batch.cells.pop(tag, None) or [None] * batch.length]
    chunks = [
        batch.cells.pop(tag) if tag in batch.cells else pa.nulls(batch.length, arrow_type)
        for batch in batches
    ]
    return chunks[0] if len(chunks) == 1 else pa.concat_arrays(chunks) if chunks else pa.nulls(0, arrow_type)


def _put_rows(target: dict[str, Rows], tag: str, rows: list[Rows], batches: list[Batch]) -> None:
    starts = np.cumsum([0, *(batch.length for batch in batches)])
    shifted = [some + start for some, start in zip(rows, starts, strict=False) if len(some)]
    if shifted:
        target[tag] = np.concatenate(shifted)
