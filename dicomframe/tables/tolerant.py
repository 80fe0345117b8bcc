"""The tolerant reader: rows as Python objects. It reads everything and loses nothing.

It goes column by column, some rows at a time. Where all of them have the usual form, the column's VR and a list of
values, they are taken at once (`_taker`), and single values are looked at when all rows are there (`_find_odd`); what
is not plainly right among them, and every attribute of another form, is judged by itself by `dicomframe.tables.cells`.
So a page is not slow because of one bad value in each row.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Mapping, Sequence
from itertools import chain
from operator import itemgetter
from typing import Any

import numpy as np
import pyarrow as pa

from dicomframe.dicom import tags
from dicomframe.dicom.values import INTEGER_RANGE
from dicomframe.tables.batch import Batch, Stray
from dicomframe.tables.cells import LARGEST_EXACT, Reading, read_attribute, read_value
from dicomframe.tables.jsontext import dumps, shown
from dicomframe.tables.moments import read_moments
from dicomframe.tables.schema import Column
from dicomframe.tables.usual import Found, UsualRows


def read_tolerant(rows: Sequence[Any], columns: Mapping[str, Column]) -> Batch:
    """Read rows of DICOM JSON objects.

    Parameters
    ----------
    rows : sequence
        Decoded JSON; what is no object becomes a row of missing values and an issue.
    columns : dict of str to Column
        By tag; must hold every tag that is in the rows.
    """
    reader = TolerantReader()
    reader.read(rows, columns)
    return reader.finish()


class TolerantReader:
    """Reads one batch in several goes, so that the decoded rows need not all be there at once."""

    def __init__(self) -> None:
        self._batch = Batch(0)
        self._cells: dict[str, _Cells] = {}

    def read(
        self, rows: Sequence[Any], columns: Mapping[str, Column], twice: Sequence[tuple[int, str, Any]] = ()
    ) -> None:
        """Read some more rows.

        Parameters
        ----------
        rows, columns
            As for `read_tolerant`; a column that was there before must be the same.
        twice : sequence of (int, str, object)
            Members that stood in the JSON twice and are not in the rows: row, key and the earlier value.
        """
        start = self._batch.length
        objects = [
            row if type(row) is dict else self._no_object(start + at, row) for at, row in enumerate(rows)
        ]
        under_odd_keys: dict[str, dict[int, Any]] = {}
        for key in dict.fromkeys(chain.from_iterable(objects)):
            if key in columns:
                self._column(columns[key]).add(self._batch, objects)
            else:
                self._read_odd_key(key, objects, under_odd_keys)
        for tag, found in under_odd_keys.items():
            self._column(columns[tag]).add_others(self._batch, found)
        self._batch.length += len(objects)
        for cells in self._cells.values():
            cells.fill_up(self._batch.length)
        for at, key, earlier in twice:
            reason = "it stands there twice, and only the later one counts"
            self._batch.issues.append((start + at, key if key in columns else "", shown(earlier), reason))

    def read_usual(self, rows: UsualRows, columns: Mapping[str, Column]) -> None:
        """Read some more rows of which every attribute has the usual form."""
        for tag, found in rows.found.items():
            self._column(columns[tag]).add_usual(self._batch, rows.length, found)
        self._batch.length += rows.length
        for cells in self._cells.values():
            cells.fill_up(self._batch.length)

    def finish(self) -> Batch:
        """Give the batch."""
        for cells in self._cells.values():
            cells.finish(self._batch)
        return self._batch

    def _column(self, column: Column) -> _Cells:
        cells = self._cells.get(column.tag)
        if cells is None:
            cells = self._cells[column.tag] = _Cells(column)
            cells.fill_up(self._batch.length)
        return cells

    def _no_object(self, at: int, row: Any) -> dict[str, Any]:
        if isinstance(row, dict):
            return row
        self._batch.strays[at] = Stray(row)
        self._batch.issues.append((at, "", shown(row), "a row is an object of attributes"))
        return {}

    def _read_odd_key(
        self, key: str, objects: Sequence[dict[str, Any]], found: dict[str, dict[int, Any]]
    ) -> None:
        """Find the attributes under a keyword or an oddly written tag; the key itself is kept as a stray."""
        known = tags.find(key)
        for at, row in enumerate(objects):
            if key not in row:
                continue
            attribute, place = row[key], self._batch.length + at
            stray = self._batch.strays.setdefault(place, Stray({}))
            stray.raw[key] = attribute
            if known is None:
                reason = "a key is neither a tag nor a keyword"
                self._batch.issues.append((place, "", shown({key: attribute}), reason))
            elif known.tag in row or at in found.get(known.tag, ()):
                reason = "the attribute stands there twice"
                self._batch.issues.append((place, known.tag, shown(attribute), reason))
            else:
                stray.read_as.append(known.tag)
                found.setdefault(known.tag, {})[at] = attribute


class _Cells:
    """A column while it is filled."""

    __slots__ = ("_column", "_judged", "_of_tag", "_take", "_waits", "absent", "empty", "values")

    def __init__(self, column: Column) -> None:
        self._column = column
        self._of_tag = itemgetter(column.tag)
        self._take = _taker(column)
        self._waits = _waits(column)
        #: What Arrow takes, or the value as it came if it waits to be looked at; None where it is missing or judged.
        self.values: list[Any] = []
        self._judged: dict[int, Any] = {}
        self.absent: list[int] = []
        self.empty: list[int] = []

    def fill_up(self, length: int) -> None:
        """Add absent cells up to a number of rows."""
        missing = length - len(self.values)
        if missing:
            self.absent.extend(range(len(self.values), length))
            self.values.extend([None] * missing)

    def add(self, batch: Batch, objects: Sequence[dict[str, Any]]) -> None:
        """Add the cells of some rows."""
        tag = self._column.tag
        start = len(self.values)
        places: Sequence[int] = range(len(objects))
        try:
            attributes = list(map(self._of_tag, objects))
        except KeyError:
            places = [at for at, row in enumerate(objects) if tag in row]
            attributes = [objects[at][tag] for at in places]
            self.absent.extend(start + at for at in sorted(set(range(len(objects))).difference(places)))
        found = self._take_all(attributes)
        if found is not None and len(places) == len(objects):
            self.values.extend(found)
            return
        self.values.extend([None] * len(objects))
        if found is not None:
            for at, value in zip(places, found, strict=True):
                self.values[start + at] = value
            return
        for at, attribute in zip(places, attributes, strict=True):
            self._judged[start + at] = self._read_one(batch, start + at, attribute)

    def add_usual(self, batch: Batch, length: int, found: Found) -> None:
        """Add the cells of some rows, whose attributes have the usual form."""
        start = len(self.values)
        taken = self._take(found.values)
        if taken is not None and len(taken) == length:
            self.values.extend(taken)
            return
        self.values.extend([None] * length)
        self.absent.extend([start + at for at in found.absent])
        self.empty.extend([start + at for at in found.empty])
        places = sorted(set(range(length)).difference(found.absent, found.empty))
        if taken is not None:
            for at, value in zip(places, taken, strict=True):
                self.values[start + at] = value
            return
        for at, value in zip(places, found.values, strict=True):
            attribute = {"vr": self._column.vr, "Value": value if self._column.multiple else [value]}
            self._judged[start + at] = self._read_one(batch, start + at, attribute)

    def add_others(self, batch: Batch, found: Mapping[int, Any]) -> None:
        """Add the cells of rows that name the attribute otherwise; the batch has the number of rows before them."""
        self.fill_up(batch.length + max(found) + 1)
        # The rows of this batch stand last; to take them out one by one would cost their number each time.
        first = bisect_left(self.absent, batch.length)
        self.absent[first:] = [row for row in self.absent[first:] if row - batch.length not in found]
        for at, attribute in found.items():
            self._judged[batch.length + at] = self._read_one(batch, batch.length + at, attribute)

    def _take_all(self, attributes: Sequence[Any]) -> list[Any] | None:
        """Take the values of several rows if all have the usual form."""
        vr = self._column.vr
        try:
            listed = [one["Value"] for one in attributes if len(one) == 2 and one["vr"] == vr]
        except (KeyError, TypeError):
            return None
        if len(listed) < len(attributes) or set(map(type, listed)) != {list}:
            return None
        if self._column.multiple:
            return self._take(listed)
        try:
            return self._take([raw for (raw,) in listed])
        except ValueError:  # none or several
            return None

    def _read_one(self, batch: Batch, at: int, attribute: Any) -> Any:
        value, exact, reason = read_attribute(self._column, attribute)
        if not exact:
            batch.notes.append((at, self._column.tag, dumps(attribute)))
        elif value is None:
            self.empty.append(at)
        if reason is not None:
            batch.issues.append((at, self._column.tag, shown(attribute), reason))
        return value

    def _judge_waiting(self, batch: Batch) -> None:
        """Judge the values that are not plainly right, each distinct text once."""
        column = self._column
        known: dict[str, Reading] = {}
        for at in _find_odd(column, self.values):
            raw = self.values[at]
            reading = known.get(raw) if type(raw) is str else None
            if reading is None:
                reading = read_value(column, raw)
                if type(raw) is str:
                    known[raw] = reading
            value, exact, reason = reading
            self.values[at] = value
            if exact:
                continue
            attribute = {"vr": column.vr, "Value": [raw]}
            batch.notes.append((at, column.tag, dumps(attribute)))
            if reason is not None:
                batch.issues.append((at, column.tag, shown(attribute), reason))

    def finish(self, batch: Batch) -> None:
        """Put the column into the batch."""
        column = self._column
        if self._waits:
            self._judge_waiting(batch)
        for at, value in self._judged.items():
            self.values[at] = value
        is_list = column.arrow_type is None
        batch.cells[column.tag] = self.values if is_list else pa.array(self.values, column.arrow_type)
        if self.absent:
            batch.absent[column.tag] = np.asarray(self.absent, dtype=np.intp)
        if self.empty:
            batch.empty[column.tag] = np.asarray(self.empty, dtype=np.intp)


# -- what has the usual form, and what is plainly right ---------------------------------------------------------------

_MOMENTS = frozenset({"date", "datetime", "time"})
#: From raw things to the values of cells, or to None if one of them is not plainly right.
Reader = Callable[[list[Any]], list[Any] | None]


def _waits(column: Column) -> bool:
    """Tell whether single values are kept as they come and looked at in the end, all at once.

    Names are objects, which the garbage collector would go through; of tags and of dates in lists there are few.
    """
    return (
        not column.multiple and column.kind in {"text", "integer", "float", *_MOMENTS} and column.vr != "AT"
    )


def _taker(column: Column) -> Reader:
    """Give what takes the values of several rows, lists if it is a column of such, or None to judge row by row."""
    if column.kind in {"bulk", "records"}:
        return lambda _raws: None
    read = _single_taker if _waits(column) else _plain_reader(column)

    def several(listed: list[list[Any]]) -> list[Any] | None:
        flat = list(chain.from_iterable(listed))
        found = read(flat) if all(listed) else None
        if found is None:
            return None
        values = iter(found)
        return listed if found is flat else [[next(values) for _ in raws] for raws in listed]

    return several if column.multiple else read


def _single_taker(raws: list[Any]) -> list[Any] | None:
    # A null is not waited for: the cell would be taken for one that is absent.
    return None if None in raws else raws


def _find_odd(column: Column, values: list[Any]) -> Sequence[int]:
    """Find the values that are not plainly right, by position; the others are what Arrow takes afterwards."""
    if column.kind in _MOMENTS:
        return _find_odd_moments(column, values)
    read = _plain_reader(column)
    present = [value for value in values if value is not None]
    if not present or read(present) is not None:
        return []
    types = _TYPES[column.kind]
    typed = [value for value in present if type(value) in types]
    if typed and read(typed) is not None:
        # All others are right; to look at each by itself would take several times as long.
        return [at for at, value in enumerate(values) if value is not None and type(value) not in types]
    return [at for at, value in enumerate(values) if value is not None and read([value]) is None]


def _find_odd_moments(column: Column, values: list[Any]) -> Sequence[int]:
    if set(map(type, values)) == {str} and "".join(values).isascii():
        found = read_moments(column.kind, pa.array(values, pa.string()))
        if found.exact.all():
            values[:] = found.values.tolist()
            return []
        texts = dict(enumerate(values))
    else:
        texts = {at: value for at, value in enumerate(values) if type(value) is str and value.isascii()}
        found = read_moments(column.kind, pa.array(texts.values(), pa.string()))
    odd = [at for at, value in enumerate(values) if value is not None and at not in texts]
    for at, value, exact in zip(texts, found.values.tolist(), found.exact.tolist(), strict=True):
        if exact:
            values[at] = value
        else:
            odd.append(at)
    return odd


#: What a plainly right value may be in Python.
_TYPES: dict[str, frozenset[type]] = {
    "text": frozenset({str}),
    "integer": frozenset({int}),
    "float": frozenset({int, float}),
}


def _plain_reader(column: Column) -> Reader:
    if column.kind == "integer":
        low, high = INTEGER_RANGE[column.vr]
        high = min(high, 2**63 - 1)
        return lambda raws: (
            raws if set(map(type, raws)) == {int} and low <= min(raws) and max(raws) <= high else None
        )
    if column.kind == "text" and column.vr != "AT":
        return _plain_texts
    return {"float": _plain_floats, "name": _plain_names}.get(column.kind) or _remembering(column)


def _plain_floats(raws: list[Any]) -> list[Any] | None:
    if not set(map(type, raws)) <= {int, float}:
        return None
    return raws if all(-LARGEST_EXACT < raw < LARGEST_EXACT for raw in raws) else None


def _plain_texts(raws: list[Any]) -> list[Any] | None:
    try:
        "".join(raws).encode()
    except (TypeError, UnicodeEncodeError):
        return None
    return raws


def _plain_names(raws: list[Any]) -> list[Any] | None:
    if set(map(type, raws)) != {dict} or set(map(len, raws)) != {1}:
        return None
    found = [raw.get("Alphabetic") for raw in raws]
    return _plain_texts(found) if all(found) else None


def _remembering(column: Column) -> Reader:
    """Judge each distinct text once: tags and dates in lists repeat."""
    known: dict[str, Any] = {}

    def read(raws: list[Any]) -> list[Any] | None:
        if set(map(type, raws)) != {str}:
            return None
        for raw in set(raws).difference(known):
            reading = read_value(column, raw)
            known[raw] = reading.value if reading.exact else None
        found = list(map(known.__getitem__, raws))
        return None if None in found else found

    return read
