"""The fast reader: pages of JSON bytes to columns by `pyarrow.json`, without a Python object for each value.

It is told what to expect and refuses everything else (`Refused`); the tolerant reader then takes the page. Both give
the same cells, because whatever needs judgement goes through `dicomframe.tables.cells`: dates and times as distinct
texts, sequences item by item.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.json as pj

from dicomframe.dicom.values import INTEGER_RANGE
from dicomframe.tables.batch import Batch, Issue, Note
from dicomframe.tables.cells import read_attribute, read_value
from dicomframe.tables.schema import ARROW_TYPE, Column, column_of
from dicomframe.tables.shape import Shape

_NAME_TYPE = pa.struct([(group, pa.string()) for group in ("Alphabetic", "Ideographic", "Phonetic")])
_JSON_VALUE_TYPE = {
    "text": pa.string(),
    "name": _NAME_TYPE,
    "integer": pa.int64(),
    "float": pa.float64(),
    "date": pa.string(),
    "datetime": pa.string(),
    "time": pa.string(),
}
#: Bytes that one thread of the JSON reader takes at a time.
_BLOCK_BYTES = 8 * 1024 * 1024
#: Up to here every whole number is a floating-point number.
_LARGEST_EXACT = 2.0**53


class Refused(Exception):
    """These pages hold something that only the tolerant reader can judge."""


def read_fast(pages: Sequence[bytes], shape: Shape, columns: dict[str, Column]) -> Batch:
    """Read pages of QIDO or metadata JSON.

    Parameters
    ----------
    pages : sequence of bytes
        JSON arrays of objects.
    shape : Shape
        The tags that may occur.
    columns : dict of str to Column
        By tag; holds every tag of the shape.

    Raises
    ------
    Refused
        If anything is not as DICOM JSON and the shape have it.
    """
    rows = _parse(pages, shape)
    batch = Batch(len(rows))
    for at, tag in enumerate(shape):
        _read_column(batch, columns[tag], pc.struct_field(rows, [at]))
    return batch


def _parse(pages: Sequence[bytes], shape: Shape) -> pa.ChunkedArray:
    lines = []
    for page in pages:
        if b"null" in page:
            # Arrow does not tell a null from what is absent.
            raise Refused
        if not _is_utf8(page):
            raise Refused
        # Line breaks cannot stand inside JSON text, only between tokens.
        line = page.replace(b"\n", b" ").replace(b"\r", b" ") if b"\n" in page or b"\r" in page else page
        lines += [b'{"r":', line, b"}\n"]
    body = pa.py_buffer(b"".join(lines))
    longest = max(map(len, lines)) + 16
    schema = pa.schema([("r", pa.list_(_row_type(shape)))])
    try:
        table = pj.read_json(
            pa.BufferReader(body),
            read_options=pj.ReadOptions(
                use_threads=body.size > _BLOCK_BYTES, block_size=min(max(longest, _BLOCK_BYTES), 2**31 - 1)
            ),
            parse_options=pj.ParseOptions(explicit_schema=schema, unexpected_field_behavior="error"),
        )
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
        raise Refused from error
    column = table.column(0)
    if len(column) != len(pages) or column.null_count:
        raise Refused
    rows = pc.list_flatten(column)
    if rows.null_count:
        raise Refused
    return rows


def _is_utf8(page: bytes) -> bool:
    # Arrow does not look.
    try:
        return page.isascii() or bool(page.decode())
    except UnicodeDecodeError:
        return False


def _row_type(shape: Shape) -> pa.StructType:
    return pa.struct(
        [(tag, _attribute_type(column_of(tag, vr), items)) for tag, (vr, items) in shape.items()]
    )


def _attribute_type(column: Column, items: Shape) -> pa.StructType:
    fields = [("vr", pa.string())]
    if column.kind == "records":
        if items:
            fields.append(("Value", pa.list_(_row_type(items))))
    elif column.kind == "bulk":
        fields += [("BulkDataURI", pa.string()), ("InlineBinary", pa.string())]
    else:
        fields.append(("Value", pa.list_(_JSON_VALUE_TYPE[column.kind])))
    return pa.struct(fields)


def _read_column(batch: Batch, column: Column, attributes: pa.ChunkedArray) -> None:
    if attributes.null_count == len(attributes):
        # The sample saw the tag in a page that another batch holds.
        return
    vr = pc.struct_field(attributes, "vr")
    if vr.null_count != attributes.null_count or not pc.all(pc.equal(vr, column.vr), min_count=0).as_py():
        raise Refused
    if attributes.null_count:
        batch.absent[column.tag] = _rows_where(attributes.is_null())
    if column.kind == "bulk":
        _read_bulk(batch, column, attributes)
        return
    has_value = attributes.type.get_field_index("Value") >= 0
    values = _one_array(pc.struct_field(attributes, "Value")) if has_value else pa.nulls(len(attributes))
    if values.null_count > attributes.null_count:
        batch.empty[column.tag] = _rows_where(pc.and_not(values.is_null(), _one_array(attributes.is_null())))
    if column.kind == "records":
        _read_sequences(batch, column, values)
    elif column.multiple:
        _read_lists(batch, column, values)
    else:
        _read_single(batch, column, values)


def _one_array(chunked: pa.ChunkedArray | pa.Array) -> pa.Array:
    if isinstance(chunked, pa.Array):
        return chunked
    return chunked.chunk(0) if chunked.num_chunks == 1 else chunked.combine_chunks()


def _rows_where(mask: pa.ChunkedArray | pa.Array) -> Any:
    return np.flatnonzero(
        mask.to_numpy() if isinstance(mask, pa.ChunkedArray) else mask.to_numpy(zero_copy_only=False)
    )


def _read_bulk(batch: Batch, column: Column, attributes: pa.ChunkedArray) -> None:
    uri = _one_array(pc.struct_field(attributes, "BulkDataURI"))
    inline = _one_array(pc.struct_field(attributes, "InlineBinary"))
    batch.cells[column.tag] = uri
    if inline.null_count < len(inline):
        rows = _rows_where(inline.is_valid())
        _note(batch, column, rows, attributes.take(pa.array(rows)).to_pylist())
    nothing = pc.and_(_one_array(attributes.is_valid()), pc.and_(uri.is_null(), inline.is_null()))
    rows = _rows_where(nothing)
    if len(rows):
        batch.empty[column.tag] = rows


def _note(batch: Batch, column: Column, rows: Any, attributes: Sequence[dict[str, Any]]) -> None:
    batch.notes += [
        Note(int(row), column.tag, {key: value for key, value in attribute.items() if value is not None})
        for row, attribute in zip(rows, attributes, strict=True)
    ]


def _read_single(batch: Batch, column: Column, values: pa.ListArray) -> None:
    lengths = pc.min_max(pc.list_value_length(values)).as_py()
    if lengths["min"] is not None and (lengths["min"] != 1 or lengths["max"] != 1):
        raise Refused
    flat = _one_array(values.flatten())
    spread = _spreader(values)
    readings = _CONVERTERS[column.kind](column, flat)
    batch.cells[column.tag] = spread(readings.cells)
    if len(readings.odd):
        rows = _rows_where(values.is_valid())[readings.odd]
        for row, raw, reason in zip(rows, readings.raws, readings.reasons, strict=True):
            attribute = {"vr": column.vr, "Value": [raw]}
            batch.notes.append(Note(int(row), column.tag, attribute))
            if reason is not None:
                batch.issues.append(Issue(int(row), column.tag, attribute, reason))


def _spreader(values: pa.ListArray) -> Callable[[pa.Array], pa.Array]:
    """Give what puts flattened values of one-element lists back into their rows."""
    if values.null_count == 0:
        return lambda cells: cells
    valid = values.is_valid().to_numpy(zero_copy_only=False)
    at = pa.array(np.cumsum(valid) - 1, mask=~valid)
    return lambda cells: cells.take(at)


def _read_lists(batch: Batch, column: Column, values: pa.ListArray) -> None:
    shortest = pc.min(pc.list_value_length(values)).as_py()
    if shortest == 0:
        raise Refused
    flat = values.flatten()
    readings = _CONVERTERS[column.kind](column, flat)
    if len(readings.odd):
        raise Refused
    offsets = np.concatenate([[0], np.cumsum(pc.fill_null(pc.list_value_length(values), 0).to_numpy())])
    mask = values.is_null() if values.null_count else None
    batch.cells[column.tag] = pa.ListArray.from_arrays(
        pa.array(offsets, pa.int32()), readings.cells, mask=mask
    )


def _read_sequences(batch: Batch, column: Column, values: pa.Array) -> None:
    cells: list[Any] = [None] * len(values)
    for row in _rows_where(values.is_valid()):
        items = [_without_absent(item) for item in values[int(row)].as_py()]
        attribute = {"vr": column.vr, "Value": items}
        value, exact, reason = read_attribute(column, attribute)
        cells[row] = value
        if not exact:
            batch.notes.append(Note(int(row), column.tag, attribute))
        if reason is not None:
            batch.issues.append(Issue(int(row), column.tag, attribute, reason))
    batch.cells[column.tag] = cells


def _without_absent(value: Any) -> Any:
    """Take away what Arrow filled in: nulls for the fields that this item does not have."""
    if isinstance(value, dict):
        return {key: _without_absent(one) for key, one in value.items() if one is not None}
    return [_without_absent(one) for one in value] if isinstance(value, list) else value


class _Readings:
    """Converted values, and those of them that need a note."""

    __slots__ = ("cells", "odd", "raws", "reasons")

    def __init__(
        self, cells: pa.Array, odd: Any = (), raws: Sequence[Any] = (), reasons: Sequence[str | None] = ()
    ) -> None:
        self.cells, self.odd, self.raws, self.reasons = cells, odd, raws, reasons


def _integers(column: Column, flat: pa.Array) -> _Readings:
    low, high = INTEGER_RANGE[column.vr]
    found = pc.min_max(flat).as_py()
    if found["min"] is not None and not low <= found["min"] <= found["max"] <= high:
        raise Refused
    return _Readings(flat)


def _floats(_column: Column, flat: pa.Array) -> _Readings:
    # Past the limit a whole number may have lost digits; NaN and infinity are no JSON, yet Arrow takes them.
    if not pc.all(pc.less_equal(pc.abs(flat), _LARGEST_EXACT), min_count=0).as_py():
        raise Refused
    return _Readings(flat)


def _names(_column: Column, flat: pa.StructArray) -> _Readings:
    alphabetic, ideographic, phonetic = flat.flatten()
    only_alphabetic = alphabetic.null_count == 0 and ideographic.null_count == phonetic.null_count == len(
        flat
    )
    # An empty name is "" in JSON and missing in the table.
    if only_alphabetic and not pc.any(pc.equal(alphabetic, "")).as_py():
        return _Readings(alphabetic)
    cells = pc.if_else(pc.equal(alphabetic, ""), None, alphabetic)
    plain = pc.and_(cells.is_valid(), pc.and_(ideographic.is_null(), phonetic.is_null()))
    odd = _rows_where(pc.invert(plain))
    raws = [_without_absent(raw) for raw in flat.take(pa.array(odd)).to_pylist()]
    return _Readings(cells, odd, raws, [None] * len(odd))


def _distinct_texts(column: Column, flat: pa.StringArray) -> _Readings:
    """Judge each distinct text once: dates repeat."""
    encoded = flat.dictionary_encode()
    texts = encoded.dictionary.to_pylist()
    readings = [read_value(column, text) for text in texts]
    cells = pa.array([reading.value for reading in readings], ARROW_TYPE[column.kind]).take(encoded.indices)
    odd_codes = [code for code, reading in enumerate(readings) if not reading.exact]
    if not odd_codes:
        return _Readings(cells)
    codes = encoded.indices.to_numpy()
    odd = np.flatnonzero(np.isin(codes, odd_codes))
    return _Readings(
        cells, odd, [texts[code] for code in codes[odd]], [readings[code].reason for code in codes[odd]]
    )


def _tags(column: Column, flat: pa.StringArray) -> _Readings:
    return _distinct_texts(column, flat) if column.vr == "AT" else _Readings(flat)


_CONVERTERS: dict[str, Callable[[Column, Any], _Readings]] = {
    "text": _tags,
    "name": _names,
    "integer": _integers,
    "float": _floats,
    "date": _distinct_texts,
    "datetime": _distinct_texts,
    "time": _distinct_texts,
}
