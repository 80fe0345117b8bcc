"""The tolerant reader: rows as Python objects. It reads everything and loses nothing.

It goes column by column, some rows at a time. A column whose cells are all plainly right is taken at once
(`_plain_reader`), so that a page is not slow because of one bad value in each row; all others are judged cell by cell
by `dicomframe.tables.cells`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import chain
from typing import Any

import numpy as np
import pyarrow as pa

from dicomframe.dicom import tags
from dicomframe.dicom.values import INTEGER_RANGE
from dicomframe.tables.batch import Batch, Issue, Note, Stray
from dicomframe.tables.cells import LARGEST_EXACT, read_attribute, read_value
from dicomframe.tables.jsontext import dumps, shown
from dicomframe.tables.moments import read_moments
from dicomframe.tables.schema import Column


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
            self._batch.issues.append(
                Issue(start + at, key if key in columns else "", shown(earlier), reason)
            )

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
        self._batch.issues.append(Issue(at, "", shown(row), "a row is an object of attributes"))
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
                self._batch.issues.append(Issue(place, "", shown({key: attribute}), reason))
            elif known.tag in row or at in found.get(known.tag, ()):
                reason = "the attribute stands there twice"
                self._batch.issues.append(Issue(place, known.tag, shown(attribute), reason))
            else:
                stray.read_as.append(known.tag)
                found.setdefault(known.tag, {})[at] = attribute


class _Cells:
    """A column while it is filled."""

    __slots__ = ("_column", "_plain", "absent", "empty", "values")

    def __init__(self, column: Column) -> None:
        self._column = column
        self._plain = _plain_reader(column)
        self.values: list[Any] = []
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
            attributes = [row[tag] for row in objects]
        except KeyError:
            places = [at for at, row in enumerate(objects) if tag in row]
            attributes = [objects[at][tag] for at in places]
        found = self._read_plain(attributes)
        if found is None:
            found = [self._read_one(batch, start + at, it) for at, it in zip(places, attributes, strict=True)]
        if len(places) == len(objects):
            self.values.extend(found)
            return
        self.fill_up(start)
        spread: list[Any] = [None] * len(objects)
        for at, value in zip(places, found, strict=True):
            spread[at] = value
        self.values.extend(spread)
        self.absent.extend(start + at for at in sorted(set(range(len(objects))).difference(places)))

    def add_others(self, batch: Batch, found: Mapping[int, Any]) -> None:
        """Add the cells of rows that name the attribute otherwise; the batch has the number of rows before them."""
        self.fill_up(batch.length + max(found) + 1)
        for at, attribute in found.items():
            self.absent.remove(batch.length + at)
            self.values[batch.length + at] = self._read_one(batch, batch.length + at, attribute)

    def _read_plain(self, attributes: Sequence[Any]) -> list[Any] | None:
        """Read the cells of several rows if all are as they should be."""
        try:
            if set(map(len, attributes)) != {2} or {it["vr"] for it in attributes} != {self._column.vr}:
                return None
            listed = [it["Value"] for it in attributes]
        except (KeyError, TypeError):
            return None
        return self._plain(listed) if set(map(type, listed)) == {list} else None

    def _read_one(self, batch: Batch, at: int, attribute: Any) -> Any:
        value, exact, reason = read_attribute(self._column, attribute)
        if not exact:
            batch.notes.append(Note(at, self._column.tag, dumps(attribute)))
        elif value is None:
            self.empty.append(at)
        if reason is not None:
            batch.issues.append(Issue(at, self._column.tag, shown(attribute), reason))
        return value

    def _read_moments(self, batch: Batch) -> None:
        """Read the texts that were kept for the end, most of them at once."""
        rows = [at for at, value in enumerate(self.values) if type(value) is str]
        texts = [self.values[at] for at in rows]
        found = read_moments(self._column.kind, pa.array(texts, pa.string()))
        vr = self._column.vr
        for at, text, value, exact in zip(
            rows, texts, found.values.tolist(), found.exact.tolist(), strict=True
        ):
            self.values[at] = value if exact else self._read_one(batch, at, {"vr": vr, "Value": [text]})

    def finish(self, batch: Batch) -> None:
        """Put the column into the batch."""
        column = self._column
        if _is_kept_as_text(column):
            self._read_moments(batch)
        is_list = column.arrow_type is None
        batch.cells[column.tag] = self.values if is_list else pa.array(self.values, column.arrow_type)
        if self.absent:
            batch.absent[column.tag] = np.asarray(self.absent, dtype=np.intp)
        if self.empty:
            batch.empty[column.tag] = np.asarray(self.empty, dtype=np.intp)


# -- what is plainly right -------------------------------------------------------------------------------------------

#: From raw things to the values of cells, or to None if one of them is not plainly right.
Reader = Callable[[list[Any]], list[Any] | None]


def _plain_reader(column: Column) -> Reader:
    """Give what reads the ``Value`` lists of several rows if all are exactly as they should be."""
    if column.kind in {"bulk", "records"}:
        return lambda _listed: None
    read = _plain_value_reader(column)

    def only(listed: list[list[Any]]) -> list[Any] | None:
        try:
            return read([raw for (raw,) in listed])
        except ValueError:  # none or several
            return None

    def several(listed: list[list[Any]]) -> list[Any] | None:
        found = read(list(chain.from_iterable(listed))) if all(listed) else None
        if found is None:
            return None
        values = iter(found)
        return [[next(values) for _ in raws] for raws in listed]

    return several if column.multiple else only


def _plain_value_reader(column: Column) -> Reader:
    if column.kind == "integer":
        low, high = INTEGER_RANGE[column.vr]
        high = min(high, 2**63 - 1)
        return lambda raws: (
            raws if set(map(type, raws)) == {int} and low <= min(raws) and max(raws) <= high else None
        )
    if (column.kind == "text" and column.vr != "AT") or _is_kept_as_text(column):
        return _plain_texts
    return {"float": _plain_floats, "name": _plain_names}.get(column.kind) or _remembering(column)


def _is_kept_as_text(column: Column) -> bool:
    """Tell whether texts are read at the end, all at once; in lists they are few."""
    return column.kind in {"date", "datetime", "time"} and not column.multiple


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
