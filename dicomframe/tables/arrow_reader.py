"""The fast reader: pages of JSON bytes to columns by `pyarrow.json`, without a Python object for each value.

It is told what to expect and refuses everything else (`Refused`); the tolerant reader then takes the page. Both give
the same cells, because whatever needs judgement goes through `dicomframe.tables.cells`: dates and times as distinct
texts, sequences item by item.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.json as pj

from dicomframe.dicom.tags import from_tag
from dicomframe.tables.batch import Batch
from dicomframe.tables.cells import read_attribute
from dicomframe.tables.jsontext import dumps, shown
from dicomframe.tables.objects import cut, plain
from dicomframe.tables.readings import CONVERTERS, Refused, rows_where, without_absent
from dicomframe.tables.schema import ARROW_TYPE, Column, column_of
from dicomframe.tables.shape import Shape

_TEXT = ARROW_TYPE["text"]
_NAME_TYPE = pa.struct([(group, _TEXT) for group in ("Alphabetic", "Ideographic", "Phonetic")])
_JSON_VALUE_TYPE = {
    "text": _TEXT,
    "name": _NAME_TYPE,
    "integer": pa.int64(),
    "float": pa.float64(),
    "date": pa.string(),
    "datetime": pa.string(),
    "time": pa.string(),
}
_VR = ("vr", pa.string())
#: What an attribute of each kind is in the JSON; one with items depends on them.
_ATTRIBUTE_TYPE = {
    kind: pa.struct([_VR, ("Value", pa.list_(of))]) for kind, of in _JSON_VALUE_TYPE.items()
} | {
    "bulk": pa.struct([_VR, ("BulkDataURI", _TEXT), ("InlineBinary", _TEXT)]),
    "records": pa.struct([_VR]),
}
#: A pattern without a choice is searched for twice as quickly as `bytes.find` does.
_LIKE_NULL = re.compile(rb"null")
_NULL = re.compile(rb"[\[,:]\s*null\b")
#: How Arrow says so; were it to say it otherwise, the tolerant reader would take the page.
_MET_TEXT = re.compile(r"Column\(/r/\[\]/([0-9A-F]{8})/Value/\[\]\) changed from number to string")


def read_fast(
    pages: Sequence[bytes],
    shape: Shape,
    columns: dict[str, Column],
    numbers: Mapping[str, set[type]] | None = None,
) -> Batch:
    """Read pages of QIDO or metadata JSON.

    Parameters
    ----------
    pages : sequence of bytes
        JSON arrays of objects.
    shape : Shape
        The tags that may occur.
    columns : dict of str to Column
        By tag; holds every tag of the shape.
    numbers : mapping of str to set of type, optional
        What the sample saw in columns of numbers of these pages. Arrow would find out, too, but begin anew each time.

    Raises
    ------
    Refused
        If anything is not as DICOM JSON and the shape have it.
    """
    spelt = frozenset(tag for tag, types in (numbers or {}).items() if str in types)
    if any(not types.isdisjoint({int, float}) for tag, types in (numbers or {}).items() if tag in spelt):
        # Numbers and texts in one column.
        raise Refused
    rows = _parse(pages, shape, spelt)
    batch = Batch(len(rows))
    for at, tag in enumerate(shape):
        _read_column(batch, columns[tag], rows.field(at))
    return batch


def _parse(pages: Sequence[bytes], shape: Shape, spelt: frozenset[str]) -> pa.StructArray:
    lines = []
    for page in pages:
        if _LIKE_NULL.search(page) and _NULL.search(page):
            # Arrow does not tell a null from what is absent.
            raise Refused
        if not _is_utf8(page):
            raise Refused
        # Line breaks cannot stand inside JSON text, only between tokens.
        line = page.replace(b"\n", b" ").replace(b"\r", b" ") if b"\n" in page or b"\r" in page else page
        lines += [b'{"r":', line, b"}\n"]
    column = _read_json(pa.py_buffer(b"".join(lines)), shape, spelt)
    if len(column) != len(pages) or column.null_count:
        raise Refused
    # No row is null and none is cut off, so the values are the rows of all pages, and need no copy.
    rows = _one_array(column).values
    if rows.null_count:
        raise Refused
    return rows


def _read_json(body: pa.Buffer, shape: Shape, spelt: frozenset[str]) -> pa.ChunkedArray:
    """Have Arrow read; a column of numbers in which it meets a text, as a column of texts."""
    while True:
        schema = pa.schema([("r", pa.list_(_row_type(shape, spelt)))])
        try:
            table = pj.read_json(
                pa.BufferReader(body),
                read_options=pj.ReadOptions(use_threads=False, block_size=min(body.size + 1, 2**31 - 1)),
                parse_options=pj.ParseOptions(explicit_schema=schema, unexpected_field_behavior="error"),
            )
        except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
            met = _MET_TEXT.search(str(error))
            if met is None or met[1] in spelt:
                raise Refused(unexpected="unexpected field" in str(error)) from error
            spelt |= {met[1]}
        else:
            return table.column(0)


def _is_utf8(page: bytes) -> bool:
    # Arrow does not look.
    try:
        return page.isascii() or bool(page.decode())
    except UnicodeDecodeError:
        return False


def _row_type(shape: Shape, spelt: frozenset[str] = frozenset()) -> pa.StructType:
    return pa.struct(
        [
            (tag, _ATTRIBUTE_TYPE["text"] if tag in spelt else _attribute_type(column_of(tag, vr), items))
            for tag, (vr, items) in shape.items()
        ]
    )


def _attribute_type(column: Column, items: Shape) -> pa.StructType:
    if column.kind == "records" and items:
        return pa.struct([_VR, ("Value", pa.list_(_row_type(items)))])
    return _ATTRIBUTE_TYPE[column.kind]


def _read_column(batch: Batch, column: Column, attributes: pa.StructArray) -> None:
    absent = attributes.null_count
    if absent == len(attributes):
        # The sample saw the tag in a page that another batch holds.
        return
    if not _is_everywhere(column.vr, attributes.field(0), absent):
        raise Refused
    if absent:
        batch.absent[column.tag] = rows_where(attributes.is_null())
    if column.kind == "bulk":
        _read_bulk(batch, column, attributes)
        return
    values = attributes.field(1) if len(attributes.type) > 1 else pa.nulls(len(attributes))
    if values.null_count > absent:
        batch.empty[column.tag] = rows_where(pc.and_not(values.is_null(), attributes.is_null()))
    if column.kind == "records":
        _read_sequences(batch, column, values)
    elif column.multiple:
        _read_lists(batch, column, values)
    else:
        _read_single(batch, column, values)


def _is_everywhere(vr: str, texts: pa.StringArray, absent: int) -> bool:
    """Tell whether all texts but the absent ones are these two letters; looking at the bytes is quickest."""
    if texts.null_count != absent:
        return False
    count = len(texts) - absent
    if absent:
        lengths = _lengths(texts)
        is_two = int(lengths.sum()) == 2 * count and int(lengths.max()) == 2
    else:
        is_two = _are_all(texts, 2)
    return is_two and bool(texts.buffers()[2].slice(0, 2 * count).equals(pa.py_buffer(vr.encode() * count)))


def _one_array(chunked: pa.ChunkedArray | pa.Array) -> pa.Array:
    if isinstance(chunked, pa.Array):
        return chunked
    return chunked.chunk(0) if chunked.num_chunks == 1 else chunked.combine_chunks()


def _read_bulk(batch: Batch, column: Column, attributes: pa.StructArray) -> None:
    uri, inline = attributes.field(1), attributes.field(2)
    batch.cells[column.tag] = uri
    if inline.null_count < len(inline):
        rows = rows_where(inline.is_valid())
        _note(batch, column, rows, attributes.take(pa.array(rows)).to_pylist())
    nothing = pc.and_(attributes.is_valid(), pc.and_(uri.is_null(), inline.is_null()))
    rows = rows_where(nothing)
    if len(rows):
        batch.empty[column.tag] = rows


def _note(batch: Batch, column: Column, rows: Any, attributes: Sequence[dict[str, Any]]) -> None:
    batch.notes += [
        (int(row), column.tag, dumps({key: value for key, value in attribute.items() if value is not None}))
        for row, attribute in zip(rows, attributes, strict=True)
    ]


def _lengths(values: pa.ListArray | pa.StringArray) -> Any:
    """Give the number of values of each list, or of bytes of each text, 0 where there is none."""
    return np.diff(np.frombuffer(values.buffers()[1], np.int32, len(values) + 1))


def _are_all(values: pa.ListArray | pa.StringArray, length: int) -> bool:
    """Tell whether all are so long; to compare the offsets is quicker than to reckon lengths."""
    offsets = pa.py_buffer(np.arange(0, length * len(values) + 1, length, dtype=np.int32))
    return bool(values.buffers()[1].slice(0, offsets.size).equals(offsets))


def _read_single(batch: Batch, column: Column, values: pa.ListArray) -> None:
    filled = len(values) - values.null_count
    if not _are_all(values, 1):
        lengths = _lengths(values)
        if filled and (lengths.max() > 1 or lengths.sum() != filled):
            raise Refused
    spread = _spreader(values)
    readings = CONVERTERS[column.kind](column, values.values)
    batch.cells[column.tag] = spread(readings.cells)
    if len(readings.odd):
        rows = np.flatnonzero(_lengths(values))[readings.odd]
        for row, raw, reason in zip(rows, readings.raws, readings.reasons, strict=True):
            attribute = {"vr": column.vr, "Value": [raw]}
            batch.notes.append((int(row), column.tag, dumps(attribute)))
            if reason is not None:
                batch.issues.append((int(row), column.tag, shown(attribute), reason))


def _spreader(values: pa.ListArray) -> Callable[[pa.Array], pa.Array]:
    """Give what puts flattened values of one-element lists back into their rows."""
    if values.null_count == 0:
        return lambda cells: cells
    valid = values.is_valid().to_numpy(zero_copy_only=False)
    at = pa.array(np.cumsum(valid) - 1, mask=~valid)
    return lambda cells: cells.take(at)


def _read_lists(batch: Batch, column: Column, values: pa.ListArray) -> None:
    lengths = _lengths(values)
    if np.count_nonzero(lengths) < len(values) - values.null_count:
        raise Refused
    flat = values.values
    readings = CONVERTERS[column.kind](column, flat)
    if len(readings.odd):
        raise Refused
    mask = values.is_null() if values.null_count else None
    batch.cells[column.tag] = pa.ListArray.from_arrays(values.offsets, readings.cells, mask=mask)


def _read_sequences(batch: Batch, column: Column, values: pa.Array) -> None:
    """Read all items of all rows column by column; a row that is not exact in all its items goes the other way."""
    if pa.types.is_null(values.type):
        batch.cells[column.tag] = [None] * len(values)
        return
    items = values.values
    try:
        records, odd = _read_items(items)
        slow = np.zeros(len(values), np.bool_)
        slow[np.searchsorted(values.offsets.to_numpy(), odd, "right") - 1] = True
    except Refused:
        records, slow = [{}] * len(items), np.ones(len(values), np.bool_)
    cells = cut(values, records)
    batch.cells[column.tag] = cells
    for row in rows_where(pc.and_(values.is_valid(), pa.array(slow))):
        attribute = {"vr": column.vr, "Value": without_absent(values[int(row)].as_py())}
        value, exact, reason = read_attribute(column, attribute)
        cells[row] = value
        if not exact:
            batch.notes.append((int(row), column.tag, dumps(attribute)))
        if reason is not None:
            batch.issues.append((int(row), column.tag, shown(attribute), reason))


def _read_items(items: pa.StructArray) -> tuple[list[dict[str, Any]], Any]:
    """Make records of items; tell by position which of them do not say exactly what the items said.

    Raises
    ------
    Refused
        If an attribute cannot be read as a column.
    """
    batch = Batch(len(items))
    records: list[dict[str, Any]] = [{} for _ in range(len(items))]
    odd: list[Any] = []
    for at, field in enumerate(items.type):
        attributes, column = items.field(at), column_of(field.name)
        if from_tag(field.name).vr_is_open:
            odd.append(rows_where(attributes.is_valid()))
            continue
        _read_column(batch, column, attributes)
        if column.tag not in batch.cells:
            continue
        values = plain(column, batch.cells[column.tag])
        absent = batch.absent.get(column.tag)
        if absent is None:
            for record, value in zip(records, values, strict=True):
                record[column.name] = value
            continue
        for row in np.setdiff1d(np.arange(len(items)), absent, assume_unique=True).tolist():
            records[row][column.name] = values[row]
    # A value that could not be read has a note as well.
    odd.append(np.array([row for row, _, _ in batch.notes], np.intp))
    return records, np.concatenate(odd)
