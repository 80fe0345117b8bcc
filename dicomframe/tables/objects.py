"""Arrow columns to Python objects, for the cells that pandas holds as such: lists and the records of sequences."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import pyarrow as pa

from dicomframe.tables.cells import decode
from dicomframe.tables.schema import Column

_MOMENTS = frozenset({"date", "datetime", "time"})

#: Among fewer texts, to find those that repeat costs more than it spares.
_MANY = 1_000


def lists(cells: pa.ListArray | pa.ChunkedArray) -> list[list[Any] | None]:
    """Give a column of lists as Python lists, None where one is missing."""
    if isinstance(cells, pa.ChunkedArray):
        return [one for chunk in cells.chunks for one in lists(chunk)]
    return cut(cells, _scalars(cells.values))


def plain(column: Column, cells: Any) -> list[Any]:
    """Give a column as records have it: dates as `date`, and so on; what is a list already, as it is."""
    if isinstance(cells, list):
        return cells
    flat = cells.values if column.multiple else cells
    if column.kind in _MOMENTS:
        # By way of whole numbers: Arrow makes a date a datetime.
        numbers = flat.view(pa.int64()).to_pylist()
        values = [None if number is None else decode(column.kind, number) for number in numbers]
    else:
        values = _scalars(flat)
    return cut(cells, values) if column.multiple else values


def _scalars(flat: pa.Array) -> list[Any]:
    """Give single values, by way of numpy where that is quicker than Arrow's own; one object for texts that repeat."""
    if pa.types.is_large_string(flat.type) and len(flat) >= _MANY:
        encoded = flat.dictionary_encode()
        if flat.null_count or len(encoded.dictionary) * 2 > len(flat):
            return list(flat.to_numpy(zero_copy_only=False).tolist())
        distinct = encoded.dictionary.to_numpy(zero_copy_only=False)
        return list(distinct[encoded.indices.to_numpy()].tolist())
    if flat.null_count == 0 and pa.types.is_primitive(flat.type) and not pa.types.is_temporal(flat.type):
        return list(flat.to_numpy().tolist())
    return list(flat.to_pylist())


def cut(cells: pa.ListArray, values: list[Any]) -> list[Any]:
    """Cut the values of all rows into the rows' own lists, None where a list is missing."""
    stops = cells.offsets.to_numpy().tolist()
    found: list[Any] = [values[start:stop] for start, stop in pairwise(stops)]
    if cells.null_count:
        for missing in np.flatnonzero(cells.is_null().to_numpy(zero_copy_only=False)).tolist():
            found[missing] = None
    return found
