"""The change feed -> typed table: one row a change, with the instance's UIDs under their keywords, so that tables join.

================  =========================  ========================================================
column            ``numpy_nullable``         what it says
================  =========================  ========================================================
sequence          ``Int64``                  the number of the change; it rises, and may have gaps
PartitionName     ``string``                 the data partition
StudyInstanceUID  ``string``                 of the instance that changed; likewise SeriesInstanceUID
                                             and SOPInstanceUID
action            ``string``                 ``create``, ``update`` or ``delete``: what happened
timestamp         ``datetime64[us, UTC]``    when; what is finer than a microsecond is cut off
state             ``string``                 ``current``, ``replaced`` or ``deleted``: how that version
                                             of the instance stands *when the feed is read*
file_path         ``string``                 where a service with a storage of yours put the file
================  =========================  ========================================================

Behind them stand the attributes of the metadata, typed as in every other table, where entries bring any.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final, NamedTuple

import pandas as pd
import pyarrow as pa

from dicomframe.dicom import feed, words
from dicomframe.errors import QueryError, TableError, ValueRefused
from dicomframe.tables.convert import from_pages
from dicomframe.tables.jsontext import dumps, shown
from dicomframe.tables.notes import noted, row_names, rows_by_name
from dicomframe.tables.schema import TEXT_DTYPE, DtypeBackend, OnBadValue

__all__ = ["FeedTable", "from_change_feed", "latest"]

_MOMENT: Final = pa.timestamp("us", tz="UTC")
_UIDS: Final = ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID")
_TAG_OF: Final = dict(zip(_UIDS, ("0020000D", "0020000E", "00080018"), strict=True))


class _Column(NamedTuple):
    """A column of every feed table: the property that it is read from, how, its types, and what is accepted."""

    name: str
    source: str
    read: Callable[[Any], Any]
    arrow: pa.DataType
    nullable: Any
    accepted: str


def _text(value: Any) -> str | None:
    """Give a text without padding; half a surrogate pair, which no text may hold, becomes visible as its escape."""
    if not isinstance(value, str):
        return None
    return value.rstrip(" \0").encode("utf-8", "backslashreplace").decode() or None


def _shown(value: Any) -> str:
    return shown(value).encode("utf-8", "backslashreplace").decode()


def _one_of(words: tuple[str, ...]) -> Callable[[Any], str | None]:
    """Give what reads one of some words in any letter case."""

    def read(value: Any) -> str | None:
        lower = value.strip().lower() if isinstance(value, str) else None
        return lower if lower in words else None

    return read


def _column(name: str, source: str, read: Callable[[Any], Any] = _text, accepted: str = "a text") -> _Column:
    return _Column(name, source, read, pa.string(), TEXT_DTYPE, accepted)


_COLUMNS: Final = (
    _Column("sequence", "sequence", lambda value: feed.sequence_of({"sequence": value}), pa.int64(),
            pd.Int64Dtype(), "a whole number from 0"),
    _column("PartitionName", "partitionName"),
    _column("StudyInstanceUID", "studyInstanceUid"),
    _column("SeriesInstanceUID", "seriesInstanceUid"),
    _column("SOPInstanceUID", "sopInstanceUid"),
    _column("action", "action", _one_of(feed.ACTIONS), "one of " + ", ".join(feed.ACTIONS)),
    _Column("timestamp", "timestamp", feed.microseconds_of, _MOMENT, pd.DatetimeTZDtype("us", "UTC"),
            "a date and time of ISO 8601"),
    _column("state", "state", _one_of(feed.STATES), "one of " + ", ".join(feed.STATES)),
    _column("file_path", "filePath"),
)  # fmt: skip


class _Issue(NamedTuple):
    row: int
    column: str
    raw: str
    reason: str


def from_change_feed(
    page: Any, dtype_backend: DtypeBackend = "numpy_nullable", errors: OnBadValue = "coerce"
) -> pd.DataFrame:
    """Make a typed table of a change feed's page (``GET changefeed``, or one entry of ``changefeed/latest``).

    Parameters
    ----------
    page : bytes, str, mapping or sequence
        A page of JSON, a list of such pages, or decoded entries. Names may be in any letter case.
    dtype_backend : {"numpy_nullable", "pyarrow"}
        Which family of dtypes the columns get.
    errors : {"coerce", "raise"}
        Whether a value that cannot be read becomes missing and one row of ``df.dicom.issues()``, or raises.

    Returns
    -------
    pandas.DataFrame
        One row an entry, in the page's order: ``sequence`` (Int64), ``PartitionName``, the three UIDs, ``action``
        (create, update, delete), ``timestamp`` (datetime64[us, UTC]), ``state`` (current, replaced, deleted),
        ``file_path``, and a typed column for each attribute of the metadata that is there. The dtypes are the same
        when there are no entries.

    Raises
    ------
    DecodeError
        If it is no JSON, or JSON of another kind.
    ValueRefused
        With ``errors="raise"``, at the first bad value.
    QueryError
        If an argument is none of those listed.

    Examples
    --------
    >>> page = '[{"sequence": 1, "sopInstanceUid": "1.2.3", "action": "Create", "timestamp": "2024-01-15T14:30:00Z"}]'
    >>> from_change_feed(page)[["sequence", "SOPInstanceUID", "action", "timestamp"]]
       sequence SOPInstanceUID  action                 timestamp
    0         1          1.2.3  create 2024-01-15 14:30:00+00:00
    """
    table = FeedTable()
    for entries in _pages_of(page):
        table.add(entries)
    return table.finish(dtype_backend, errors)


def _pages_of(page: Any) -> Iterable[list[Any]]:
    if isinstance(page, str):
        page = page.encode("utf-8", "surrogatepass")
    if isinstance(page, bytes | bytearray | memoryview):
        return [feed.read_entries(bytes(page))]
    if isinstance(page, Mapping):
        return [[page]]
    if isinstance(page, pd.DataFrame) or not isinstance(page, Iterable):
        raise QueryError(
            f"A page of the feed as bytes, text or decoded entries is accepted, not {type(page).__name__}."
        )
    given = list(page)
    if given and all(isinstance(each, bytes) for each in given):
        return [feed.read_entries(each) for each in given]
    return [given]


class FeedTable:
    """Gathers entries page by page, column by column, so that a long feed is never held as objects."""

    def __init__(self) -> None:
        self._parts: dict[str, list[pa.Array]] = {column.name: [] for column in _COLUMNS}
        self._metadata: list[bytes | None] = []
        self._issues: list[_Issue] = []
        self._length = 0

    def __len__(self) -> int:
        return self._length

    def add(self, entries: Sequence[Any]) -> None:
        """Put some more entries below; they may be as they came or from `dicomframe.dicom.feed.named`."""
        if not entries:
            return
        rows = [self._named(at, entry) for at, entry in enumerate(entries, self._length)]
        for column in _COLUMNS:
            self._parts[column.name].append(self._read(column, rows))
        metadata = [self._metadata_of(at, row) for at, row in enumerate(rows, self._length)]
        self._metadata.append(_page(map(_with_uids, metadata, rows)) if any(metadata) else None)
        self._length += len(rows)

    def _named(self, at: int, entry: Any) -> dict[str, Any]:
        if isinstance(entry, Mapping):
            return feed.named(entry)
        self._issues.append(_Issue(at, "", _shown(entry), "an entry of the change feed is an object"))
        return {}

    def _read(self, column: _Column, rows: Sequence[Mapping[str, Any]]) -> pa.Array:
        cells = []
        for at, row in enumerate(rows, self._length):
            value = row.get(column.source)
            cell = None if value is None else column.read(value)
            if cell is None and value is not None and value != "":
                self._issues.append(_Issue(at, column.name, _shown(value), f"{column.accepted} is accepted"))
            cells.append(cell)
        return pa.array(cells, column.arrow)

    def _metadata_of(self, at: int, row: Mapping[str, Any]) -> dict[str, Any]:
        """Give an entry's metadata, a copy; empty where it has none."""
        given = row.get("metadata")
        if given is not None and not isinstance(given, Mapping):
            self._issues.append(_Issue(at, "metadata", _shown(given), "an object is accepted"))
            return {}
        metadata = dict(given or {})
        for name, own in _uids_of(row).items():
            told = metadata.get(_TAG_OF[name])
            if isinstance(told, Mapping) and told.get("Value") not in (None, [], [own]):
                reason = "the metadata names another UID than its entry, which counts"
                self._issues.append(_Issue(at, name, _shown(told), reason))
        return metadata

    def finish(
        self,
        dtype_backend: DtypeBackend = "numpy_nullable",
        errors: OnBadValue = "coerce",
        attrs: Mapping[str, Any] | None = None,
    ) -> pd.DataFrame:
        """Make the table; `from_change_feed` has the arguments.

        Parameters
        ----------
        attrs : mapping, optional
            What the table is to carry in ``df.attrs["dicom"]`` beside the level: plain JSON.
        """
        brings_metadata = any(self._metadata)
        pages = list(map(self._whole_page, range(len(self._metadata)))) if brings_metadata else []
        typed = from_pages(pages, "instance", dtype_backend, errors, attrs)
        self._issues.sort()
        if errors == "raise" and self._issues:
            issue = self._issues[0]
            raise ValueRefused(issue.row, issue.column, "", issue.reason, issue.raw)
        cells = {column.name: self._cells(column, dtype_backend) for column in _COLUMNS}
        if brings_metadata:
            # The UIDs among them are the entries', or the metadata's where an entry lacks one.
            cells |= {str(name): typed[name].array for name in typed.columns}
        table = pd.DataFrame(cells, index=pd.RangeIndex(self._length), copy=False)
        table.attrs["dicom"] = about = dict(typed.attrs["dicom"])
        if self._issues:
            names = row_names(table, "instance")
            own = [[names[issue.row], issue.column, "", issue.raw, issue.reason] for issue in self._issues]
            about["issues"] = dumps(own + (noted(table, "issues") or []))
        return table

    def _whole_page(self, number: int) -> bytes:
        """Give a page of metadata, one object a row; entries without any are objects with their UIDs alone."""
        page = self._metadata[number]
        if page is not None:
            return page
        rows = zip(*(self._parts[name][number].to_pylist() for name in _UIDS), strict=True)
        return _page(_as_attributes(zip(_UIDS, row, strict=True)) for row in rows)

    def _cells(self, column: _Column, backend: DtypeBackend) -> Any:
        chunks = pa.chunked_array(self._parts[column.name] or [pa.array([], column.arrow)])
        dtype: Any = pd.ArrowDtype(column.arrow) if backend == "pyarrow" else column.nullable
        return dtype.__from_arrow__(chunks)


def _uids_of(row: Mapping[str, Any]) -> dict[str, str]:
    uids = {column.name: _text(row.get(column.source)) for column in _COLUMNS if column.name in _TAG_OF}
    return {name: uid for name, uid in uids.items() if uid is not None}


def _with_uids(metadata: Mapping[str, Any], row: Mapping[str, Any]) -> dict[str, Any]:
    return {**metadata, **_as_attributes(_uids_of(row).items())}


def _as_attributes(uids: Iterable[tuple[str, str | None]]) -> dict[str, Any]:
    return {_TAG_OF[name]: {"vr": "UI", "Value": [uid]} for name, uid in uids if uid is not None}


def _page(rows: Iterable[dict[str, Any]]) -> bytes:
    return dumps(list(rows)).encode("utf-8", "surrogatepass")


def is_of_feed(table: pd.DataFrame) -> bool:
    """Tell whether a table is one of the change feed, not one with a column of the user's called sequence."""
    return {"sequence", "action", "state"}.issubset(table.columns)


def with_own(joined: pd.DataFrame, tables: Sequence[pd.DataFrame], backend: DtypeBackend) -> pd.DataFrame:
    """Give a table of joined rows the columns and the issues of the feed that its parts have."""
    cells: dict[str, Any] = {}
    for column in _COLUMNS:
        dtype: Any = pd.ArrowDtype(column.arrow) if backend == "pyarrow" else column.nullable
        if column.name in joined.columns:
            cells[column.name] = joined[column.name]
        else:
            nothing = [pd.Series(pd.NA, index=part.index, dtype=dtype) for part in tables]
            parts = [part.get(column.name, empty) for part, empty in zip(tables, nothing, strict=True)]
            cells[column.name] = pd.concat(parts, ignore_index=True).astype(dtype)
    cells |= {str(name): joined[name] for name in joined.columns if name not in cells}
    table = pd.DataFrame(cells, index=joined.index)
    table.attrs["dicom"] = about = dict(joined.attrs["dicom"])
    names, own, start = row_names(table, "instance"), [], 0
    own_columns = {"", "metadata", *(column.name for column in _COLUMNS)}
    for part in tables:
        found = rows_by_name(part, "instance")
        for row, name, *rest in noted(part, "issues") or []:
            if name in own_columns:
                own += [[names[start + at], name, *rest] for at in found.get(row, ())]
        start += len(part)
    issues = own + (noted(joined, "issues") or [])
    if issues:
        about["issues"] = dumps(issues)
    return table


def latest(table: pd.DataFrame) -> pd.DataFrame:
    """Reduce changes to the last of each instance; the accessor's method documents it."""
    missing = [name for name in ("sequence", *_UIDS) if name not in table.columns]
    if missing:
        raise TableError(
            f"The table lacks the {words.columns(missing)}, which a table of the change feed has:"
            " client.change_feed().to_frame()."
        )
    ordered = table.sort_values("sequence", kind="stable", na_position="first")
    keys = [name for name in ("PartitionName", *_UIDS) if name in table.columns]
    # A change of nobody knows whom is nobody's last one; it stays.
    nameless = ordered[list(_UIDS)].isna().any(axis=1)
    return ordered[nameless | ~ordered.duplicated(keys, keep="last")]
