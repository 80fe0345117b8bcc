"""Values of a column that Arrow has read, one after the other, to cells: all at once where they are plainly right.

The others are judged as distinct texts by `dicomframe.tables.cells`; what neither can do refuses the page.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from dicomframe.dicom.values import INTEGER_RANGE
from dicomframe.tables.cells import LARGEST_EXACT, read_value
from dicomframe.tables.moments import read_moments
from dicomframe.tables.schema import ARROW_TYPE, Column

_TEXT: Final = ARROW_TYPE["text"]


class Refused(Exception):
    """These pages hold something that only the tolerant reader can judge.

    Parameters
    ----------
    unexpected : bool
        Whether it was an attribute that the shape does not have.
    """

    def __init__(self, *, unexpected: bool = False) -> None:
        super().__init__()
        self.unexpected = unexpected


def rows_where(mask: pa.Array) -> Any:
    """Give the positions at which a mask of booleans is true."""
    return np.flatnonzero(mask.to_numpy(zero_copy_only=False))


def without_absent(value: Any) -> Any:
    """Take away what Arrow filled in: nulls for the fields that this item does not have."""
    if isinstance(value, dict):
        return {key: without_absent(one) for key, one in value.items() if one is not None}
    return [without_absent(one) for one in value] if isinstance(value, list) else value


class Readings:
    """Converted values, and those of them that need a note."""

    __slots__ = ("cells", "odd", "raws", "reasons")

    def __init__(
        self, cells: pa.Array, odd: Any = (), raws: Sequence[Any] = (), reasons: Sequence[str | None] = ()
    ) -> None:
        self.cells, self.odd, self.raws, self.reasons = cells, odd, raws, reasons


def _integers(column: Column, flat: pa.Array) -> Readings:
    if flat.type == _TEXT:
        return _distinct_texts(column, flat)
    low, high = INTEGER_RANGE[column.vr]
    numbers = flat.to_numpy()
    if len(numbers) and not low <= numbers.min() <= numbers.max() <= high:
        raise Refused
    return Readings(flat)


def _floats(column: Column, flat: pa.Array) -> Readings:
    if flat.type == _TEXT:
        return _distinct_texts(column, flat)
    # A whole number of more digits may have lost some of them; NaN and infinity are not JSON.
    if not (np.abs(flat.to_numpy()) < LARGEST_EXACT).all():
        raise Refused
    return Readings(flat)


def _names(_column: Column, flat: pa.StructArray) -> Readings:
    alphabetic, ideographic, phonetic = flat.flatten()
    only_alphabetic = alphabetic.null_count == 0 and ideographic.null_count == phonetic.null_count == len(
        flat
    )
    # An empty name is "" in JSON and missing in the table.
    if only_alphabetic and not pc.index(alphabetic, "").as_py() >= 0:
        return Readings(alphabetic)
    cells = pc.if_else(pc.equal(alphabetic, ""), None, alphabetic)
    plain = pc.and_(cells.is_valid(), pc.and_(ideographic.is_null(), phonetic.is_null()))
    odd = rows_where(pc.invert(plain))
    raws = [without_absent(raw) for raw in flat.take(pa.array(odd)).to_pylist()]
    return Readings(cells, odd, raws, [None] * len(odd))


def _distinct_texts(column: Column, flat: pa.StringArray) -> Readings:
    """Judge each distinct text once: dates repeat."""
    encoded = flat.dictionary_encode()
    texts = encoded.dictionary.to_pylist()
    readings = [read_value(column, text) for text in texts]
    cells = pa.array([reading.value for reading in readings], ARROW_TYPE[column.kind]).take(encoded.indices)
    odd_codes = [code for code, reading in enumerate(readings) if not reading.exact]
    if not odd_codes:
        return Readings(cells)
    codes = encoded.indices.to_numpy()
    odd = np.flatnonzero(np.isin(codes, odd_codes))
    return Readings(
        cells, odd, [texts[code] for code in codes[odd]], [readings[code].reason for code in codes[odd]]
    )


def _moments(column: Column, flat: pa.StringArray) -> Readings:
    """Read what is written as the standard prefers all at once, the rest text by text."""
    arrow_type = ARROW_TYPE[column.kind]
    values, exact = read_moments(column.kind, flat)
    if exact.all():
        return Readings(pa.array(values).view(arrow_type))
    rows = np.flatnonzero(~exact)
    others = _distinct_texts(column, flat.take(pa.array(rows)))
    values[rows] = others.cells.view(pa.int64()).fill_null(0).to_numpy()
    missing = np.zeros(len(values), np.bool_)
    missing[rows] = others.cells.is_null().to_numpy(zero_copy_only=False)
    cells = pa.array(values, mask=missing).view(arrow_type)
    return Readings(cells, rows[np.asarray(others.odd, np.intp)], others.raws, others.reasons)


def _tags(column: Column, flat: pa.StringArray) -> Readings:
    return _distinct_texts(column, flat) if column.vr == "AT" else Readings(flat)


CONVERTERS: dict[str, Callable[[Column, Any], Readings]] = {
    "text": _tags,
    "name": _names,
    "integer": _integers,
    "float": _floats,
    "date": _moments,
    "datetime": _moments,
    "time": _moments,
}
