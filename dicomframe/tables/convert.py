"""DICOM JSON -> typed table: the ways in, and what a table can say about itself."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from functools import lru_cache
from operator import itemgetter
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from dicomframe.dicom import tags
from dicomframe.dicom.paths import UID_KEYWORD_OF_LEVEL, Level
from dicomframe.errors import DecodeError, DicomFrameError, QueryError, TableError, ValueRefused
from dicomframe.tables import notes, objects
from dicomframe.tables.back import to_json
from dicomframe.tables.batch import Batch, join
from dicomframe.tables.pages import columns_of, read_pages
from dicomframe.tables.schema import Column, DtypeBackend, OnBadValue, is_missing, level_of
from dicomframe.tables.shape import Shape, learn
from dicomframe.tables.tolerant import read_tolerant

__all__ = [
    "convert_dtypes",
    "from_json",
    "from_pages",
    "issues",
    "level_of_table",
    "schema",
    "to_json",
    "unreadable_cells",
]


def from_json(
    source: Any,
    level: Level | None = None,
    dtype_backend: DtypeBackend = "numpy_nullable",
    errors: OnBadValue = "coerce",
) -> pd.DataFrame:
    """Make a typed table of a QIDO-RS answer or of metadata (DICOM JSON, PS3.18 annex F).

    Parameters
    ----------
    source : bytes, str, mapping or sequence
        One page of JSON, a list of such pages, or decoded objects. Bytes are quickest.
    level : {"study", "series", "instance"}, optional
        What a row is; by default told from the UIDs that are there.
    dtype_backend : {"numpy_nullable", "pyarrow"}
        Which family of dtypes the columns get; `dicomframe.tables.schema` has the list.
    errors : {"coerce", "raise"}
        Whether a value that its VR does not allow becomes missing and one row of ``df.dicom.issues()``, or raises.

    Returns
    -------
    pandas.DataFrame
        One row an object: the level's own columns and every tag that is in the data, named by keyword, or by eight
        hex digits where it has none. Nothing is lost: ``df.dicom.to_json()`` gives back what came in.

    Raises
    ------
    DecodeError
        If it is no JSON.
    ValueRefused
        With ``errors="raise"``, at the first bad value.
    QueryError
        If an argument is none of those listed.

    Examples
    --------
    >>> page = b'[{"0020000D": {"vr": "UI", "Value": ["1.2"]}, "00080020": {"vr": "DA", "Value": ["18800131"]}}]'
    >>> from_json(page)[["StudyInstanceUID", "StudyDate"]]
      StudyInstanceUID  StudyDate
    0              1.2 1880-01-31
    """
    if isinstance(source, str):
        source = source.encode("utf-8", "surrogatepass")
    if isinstance(source, bytes | bytearray | memoryview):
        return from_pages([bytes(source)], level, dtype_backend, errors)
    if isinstance(source, pd.DataFrame):
        raise QueryError(
            "A DataFrame of DICOM JSON cells becomes a typed table by df.dicom.convert_dtypes()."
        )
    if not isinstance(source, Mapping | Iterable):
        raise QueryError(
            f"JSON as bytes or text, or decoded objects are accepted, not {type(source).__name__}."
        )
    given = [source] if isinstance(source, Mapping) else list(source)
    pages = [page for page in given if isinstance(page, bytes)]
    if given and len(pages) == len(given):
        return from_pages(pages, level, dtype_backend, errors)
    return from_objects(given, level, dtype_backend, errors)


@contextmanager
def _readable() -> Iterator[None]:
    """Say what is wrong with rows in which sequences are nested more deeply than Python calls may be."""
    try:
        yield
    except RecursionError:
        raise DecodeError("Sequences are nested too deeply; real ones have a few levels.") from None


@_readable()
def from_pages(
    pages: Iterable[bytes],
    level: Level | None = None,
    dtype_backend: DtypeBackend = "numpy_nullable",
    errors: OnBadValue = "coerce",
    attrs: Mapping[str, Any] | None = None,
    keywords: Sequence[str] | None = None,
) -> pd.DataFrame:
    """Make one typed table of several pages of JSON bytes; `from_json` has the rest.

    Parameters
    ----------
    pages : iterable of bytes
        Each is let go of once it is read, a few megabytes of them together.
    attrs : mapping, optional
        What the table is to carry in ``df.attrs["dicom"]`` beside the level: plain JSON.
    keywords : sequence of str, optional
        The columns that are always there, where they are not the level's.

    Raises
    ------
    KeyboardInterrupt
        With the table of the pages read so far as its ``table``, if it is interrupted.
    """
    _check(level, dtype_backend, errors)
    shape: Shape = {}
    batches: list[Batch] = []

    def finish() -> pd.DataFrame:
        named = level or level_of(shape)
        columns = columns_of(shape, named, keywords)
        return _table(join(batches, columns), columns, named, dtype_backend, errors, attrs)

    try:
        for batch in read_pages(pages, shape):
            batches.append(batch)  # noqa: PERF402 - what was read before an interrupt must be in it
    except KeyboardInterrupt as interrupt:
        with suppress(DicomFrameError):  # a bad value, where those are to raise; an interrupt stays one
            interrupt.table = finish()  # type: ignore[attr-defined]
        raise
    return finish()


def convert_dtypes(
    table: pd.DataFrame, dtype_backend: DtypeBackend = "numpy_nullable", errors: OnBadValue = "coerce"
) -> pd.DataFrame:
    """Make a typed table of one whose cells are attributes of DICOM JSON; the accessor's method documents it."""
    about = table.attrs.get("dicom", {})
    attrs = {key: value for key, value in about.items() if key in {"service", "completeness"}}
    if "level" in about or not _holds_json(table):
        # It is a typed table already, or was one before a merge or a text file: its values are read, not its JSON.
        rows = to_json(table, settled=True, lenient=True)
        typed = from_objects(rows, level_for_notes(table), dtype_backend, errors, attrs, table.index)
        own = [name for name in table.columns if tags.find(str(name)) is None]
        return with_columns(typed, table[own]) if own else typed
    records = table.to_dict("records")
    rows = [{str(name): cell for name, cell in record.items() if not is_missing(cell)} for record in records]
    return from_objects(rows, None, dtype_backend, errors, attrs, table.index)


def _holds_json(table: pd.DataFrame) -> bool:
    """Tell whether cells are attributes of DICOM JSON; objects may stand in a user's own columns, too."""
    return any(
        isinstance(cell, Mapping) and not {"vr", "Value"}.isdisjoint(cell)
        for name, column in table.items()
        if column.dtype == object and tags.find(str(name)) is not None
        for cell in column
    )


def with_columns(typed: pd.DataFrame, own: pd.DataFrame) -> pd.DataFrame:
    """Put a user's own columns beside those of DICOM."""
    table = pd.concat([typed, own.set_axis(typed.index)], axis=1)
    table.attrs = typed.attrs
    return table


@_readable()
def from_objects(
    rows: list[Any],
    level: Level | None,
    dtype_backend: DtypeBackend,
    errors: OnBadValue,
    attrs: Mapping[str, Any] | None = None,
    index: pd.Index[Any] | None = None,
) -> pd.DataFrame:
    """Make a typed table of decoded objects; `from_pages` has the arguments."""
    _check(level, dtype_backend, errors)
    shape: Shape = {}
    learn(shape, rows)
    level = level or level_of(shape)
    columns = columns_of(shape, level)
    batch = join([read_tolerant(rows, columns)], columns)
    return _table(batch, columns, level, dtype_backend, errors, attrs, index)


def _check(level: str | None, dtype_backend: str, errors: str) -> None:
    for name, given, accepted in (
        ("level", level, (None, *UID_KEYWORD_OF_LEVEL)),
        ("dtype_backend", dtype_backend, ("numpy_nullable", "pyarrow")),
        ("errors", errors, ("coerce", "raise")),
    ):
        if given not in accepted:
            raise QueryError(f"{name} must be one of {', '.join(map(repr, accepted))}, not {given!r}.")


def _table(
    batch: Batch,
    columns: dict[str, Column],
    level: Level,
    dtype_backend: DtypeBackend,
    errors: OnBadValue,
    attrs: Mapping[str, Any] | None = None,
    index: pd.Index[Any] | None = None,
) -> pd.DataFrame:
    # In the order of the rows and tags, whichever reader found them.
    batch.issues.sort(key=itemgetter(0, 1))
    if errors == "raise" and batch.issues:
        row, tag, raw, reason = batch.issues[0]
        keyword, vr = (columns[tag].name, columns[tag].vr) if tag else ("", "")
        raise ValueRefused(row, keyword, vr, reason, raw)
    # A copy: with pandas before 3, whoever writes into a table's `columns.values` writes into the index itself.
    names = _header(tuple([column.name for column in columns.values()])).copy(deep=True)
    cells = [_to_pandas(batch.cells.pop(tag), column, dtype_backend) for tag, column in columns.items()]
    index = pd.RangeIndex(batch.length) if index is None else index
    table = _of_arrays(cells, names, index)
    table.attrs["dicom"] = {**(attrs or {}), "level": level, **notes.attrs_of(batch, columns, table, level)}
    return table


def _of_arrays(cells: list[Any], names: pd.Index[Any], index: pd.Index[Any]) -> pd.DataFrame:
    """Make a table of columns that can be written to: Arrow's own memory cannot, so setting a date would fail.

    The private way moves dates only; the public one copies every column, and is there for the day when pandas drops or
    changes the other.
    """
    try:
        table: pd.DataFrame = pd.DataFrame._from_arrays(  # type: ignore[attr-defined]  # noqa: SLF001
            cells, names, index, verify_integrity=False
        )
    except (AttributeError, TypeError):
        table = pd.DataFrame(dict(enumerate(cells)), index=index)
        table.columns = names
    return table


@lru_cache(maxsize=64)
def _header(names: tuple[str, ...]) -> pd.Index[Any]:
    """Make the index of column names, which takes a tenth of what a page of 200 rows takes; pages are much alike."""
    return pd.Index(names)


def _to_pandas(cells: Any, column: Column, backend: DtypeBackend) -> Any:
    dtype = column.dtype(backend)
    if dtype == "object":
        lists = np.empty(len(cells), dtype=object)
        lists[:] = cells if column.kind == "records" else objects.lists(cells)
        return lists
    if isinstance(dtype, str):
        return cells.to_numpy(zero_copy_only=False)
    if isinstance(dtype, pd.Int64Dtype | pd.Float64Dtype):
        # What `__from_arrow__` does, in less than half of its time.
        missing = np.array(cells.is_null()) if cells.null_count else np.zeros(len(cells), np.bool_)
        numbers = np.array(cells.fill_null(0) if cells.null_count else cells)
        of = pd.arrays.IntegerArray if column.kind == "integer" else pd.arrays.FloatingArray
        return of(numbers, missing)
    if isinstance(dtype, pd.ArrowDtype):
        cells = cells.cast(dtype.pyarrow_dtype)
    return dtype.__from_arrow__(cells if isinstance(cells, pa.ChunkedArray) else pa.chunked_array([cells]))


def level_of_table(table: pd.DataFrame) -> Level:
    """Tell what a row is; the accessor's property documents it."""
    if "StudyInstanceUID" not in table.columns:
        if "StudyInstanceUID" in table.index.names:
            raise TableError("StudyInstanceUID is the table's index; df.reset_index() makes a column of it.")
        raise TableError(
            "This table has no StudyInstanceUID column, so its rows name nothing in a DICOM service. If its cells are"
            " DICOM JSON, convert it first: df.dicom.convert_dtypes()."
        )
    return level_of(table.columns)


def level_for_notes(table: pd.DataFrame) -> Level:
    """Give the level that a table was made for, which its notes are written by."""
    level: Level = table.attrs.get("dicom", {}).get("level") or level_of(table.columns)
    return level


def issues(table: pd.DataFrame) -> pd.DataFrame:
    """Give the values of the table's rows that could not be read; the accessor's method documents it."""
    return notes.issues(table, level_for_notes(table))


def unreadable_cells(table: pd.DataFrame) -> dict[str, list[int]]:
    """Give the positions of the rows whose value could not be read, wholly or in part, by column.

    Examples
    --------
    >>> unreadable_cells(from_json([{}, {"00200013": {"vr": "IS", "Value": ["one"]}}]))
    {'InstanceNumber': [1]}
    """
    listed = notes.noted(table, "issues")
    return notes.unreadable_cells(table, level_for_notes(table), listed) if listed else {}


def schema(table: pd.DataFrame) -> pd.DataFrame:
    """Describe the columns of a table, one a row.

    Returns
    -------
    pandas.DataFrame
        ``keyword``, ``tag``, ``vr``, ``vm``, ``name`` (missing for columns that are no DICOM attributes), ``dtype``
        and ``values``, the number of cells that are not missing.
    """
    noted = (notes.noted(table, "notes") or {}).get("vr", {})
    rows = []
    for at, name in enumerate(table.columns):
        cells = table.iloc[:, at]
        known = tags.find(str(name))
        about = (
            [pd.NA] * 4
            if known is None
            else [known.tag, noted.get(name, known.vr), known.vm, known.name or pd.NA]
        )
        rows.append([str(name), *about, str(cells.dtype), int(cells.notna().sum())])
    described = pd.DataFrame(rows, columns=["keyword", "tag", "vr", "vm", "name", "dtype", "values"])
    return described.astype({**dict.fromkeys(described.columns[:-1], "string"), "values": "Int64"})
