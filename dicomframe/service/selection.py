# ruff: noqa: S608 - statements are put together from the names in this module and in attributes.py
"""A search as one SQL statement, and which way it goes through the tables.

There are four ways to a page of rows, newest first:

- *below* a study or series that the route names: its rows, by the index that has them in their order;
- *gather*: the keys that the narrowest filter's index leads to, then the other filters, sorted;
- *follow*: the index of an extended query tag's values, which has the rows of one value in their order;
- *walk*: the rows from the newest on, until the page is full. Reading a table in its order costs a tenth of a
  microsecond a row, so it is the way whenever no filter is narrow.
"""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass
from typing import NamedTuple

from dicomframe.dicom.paths import Level
from dicomframe.service.attributes import (
    LEVELS,
    MODALITIES_FILTER,
    MODALITIES_IN_STUDY,
    SEARCHABLE,
    SERIES_INSTANCES,
    STUDY_INSTANCES,
    ApiVersion,
)
from dicomframe.service.matching import (
    ALIAS,
    Clause,
    Equal,
    Filter,
    Parameter,
    can_use_index,
    clause_of,
    clauses_of,
)

#: A filter that leads to fewer keys than this is narrow.
NARROW = 5_000


@dataclass(frozen=True, slots=True)
class Selection:
    """What a search asks of the index.

    Parameters
    ----------
    level : str
        Level of the rows.
    partition : int
        The partition's key.
    version : str
        Whose default answer is wanted.
    study, series : str, optional
        UIDs that the route names.
    filters : tuple of Filter
        All must pass.
    limit, offset : int
        Which rows, newest first.
    computed : tuple of bytes
        Tags of computed attributes that are wanted too.
    newest_metadata : bool
        Whether the metadata of each row's newest instance is wanted too.
    """

    level: Level
    partition: int
    version: ApiVersion
    study: str | None = None
    series: str | None = None
    filters: tuple[Filter, ...] = ()
    limit: int = 100
    offset: int = 0
    computed: tuple[bytes, ...] = ()
    newest_metadata: bool = False

    @property
    def rows(self) -> Hashable:
        """What decides which rows there are, and nothing of which of them are wanted, or what of them."""
        return self.level, self.partition, self.study, self.series, self.filters

    @property
    def levels(self) -> tuple[Level, ...]:
        """The levels whose attributes a row has: those that the route's UIDs do not settle, down to its own."""
        first = 0 if self.study is None else 1 if self.series is None else 2
        return LEVELS[first : LEVELS.index(self.level) + 1]


class Place(NamedTuple):
    """A row of a search: how many stand in front of it, and its key."""

    offset: int
    key: int


def probes(selection: Selection) -> list[tuple[Filter, Clause]]:
    """Write, for each filter that an index serves, a statement that counts its keys, up to `NARROW`."""
    if selection.study is not None:
        return []
    found = []
    for filtered in selection.filters:
        if can_use_index(filtered.test):
            sql, parameters = _keys_of(filtered, selection.partition)
            found.append((filtered, (f"SELECT count(*) FROM ({sql} LIMIT {NARROW})", parameters)))
    return found


def to_sql(selection: Selection, narrow: Filter | None, start: Place | None = None) -> Clause:
    """Write a selection as one statement.

    Its columns are the default answers of `Selection.levels`, then the computed attributes in their order, then
    the newest metadata if it is wanted, and last the row's key.

    Parameters
    ----------
    selection : Selection
        What is wanted.
    narrow : Filter, optional
        The filter to gather from; without one, the way is below, follow or walk.
    start : Place, optional
        A row that is known to stand at or in front of the offset: the way begins at it, not at the newest row.
    """
    keys, parameters = _page(selection, narrow, start)
    columns = [f"{ALIAS[level]}j.{selection.version}" for level in selection.levels]
    joins = "".join(
        f" JOIN {level}_json {ALIAS[level]}j ON {ALIAS[level]}j.key = hit.{level}"
        for level in selection.levels
    )
    columns += [_COMPUTED_COLUMN[tag] for tag in selection.computed]
    if selection.newest_metadata:
        columns.append(_NEWEST_METADATA[selection.level])
    columns.append(f"hit.{selection.level}")
    return (
        f"SELECT {', '.join(columns)} FROM ({keys}) hit{joins} ORDER BY hit.{selection.level} DESC",
        parameters,
    )


_COMPUTED_COLUMN = {
    MODALITIES_IN_STUDY: "(SELECT modalities FROM study WHERE key = hit.study)",
    STUDY_INSTANCES: "(SELECT count(*) FROM instance WHERE study = hit.study)",
    SERIES_INSTANCES: "(SELECT count(*) FROM instance WHERE series = hit.series)",
}
_NEWEST_METADATA = {
    "instance": "(SELECT metadata FROM instance_json WHERE key = hit.instance)",
} | {
    level: "(SELECT metadata FROM instance_json JOIN instance USING (key)"
    f" WHERE {level} = hit.{level} ORDER BY version DESC LIMIT 1)"
    for level in ("study", "series")
}
_KEY_COLUMNS: dict[Level, str] = {
    "study": "t.key AS study",
    "series": "s.key AS series, s.study AS study",
    "instance": "i.key AS instance, i.series AS series, i.study AS study",
}
_MODALITY = next(attribute for attribute in SEARCHABLE if attribute.keyword == "Modality")
_STUDY_OF_ROUTE = "(SELECT key FROM study WHERE partition = ? AND uid = ?)"


def _page(selection: Selection, narrow: Filter | None, start: Place | None) -> Clause:
    """Select the keys of one page: narrow tables only, so that an offset costs little."""
    own = ALIAS[selection.level]
    hint, order, source = "", f"{own}.key", ""
    followed = None if narrow is not None else _followed(selection)
    if selection.study is not None:
        first = _below(selection)
    elif narrow is not None:
        # They are few, and sorted is quicker than to look for them among all.
        first, order = _among(selection, narrow), f"+{own}.key"
    elif followed is not None:
        source, order, narrow = "tag_value x CROSS JOIN ", "x.owner", followed
        first = _following(selection, followed)
    else:
        # Without filters the index of the partition's keys is quickest; with some, the table in its own order.
        hint = " NOT INDEXED" if selection.filters else ""
        first = f"{own}.partition = ?", [selection.partition]
    clauses = [first, *(clause_of(filtered) for filtered in selection.filters if filtered is not narrow)]
    offset = selection.offset
    if start is not None:
        clauses.append((f"{order} <= ?", [start.key]))
        offset -= start.offset
    levels = {filtered.attribute.level for filtered in selection.filters}
    sql = (
        f"SELECT {_KEY_COLUMNS[selection.level]} FROM {source}{_tables(selection.level, levels, hint)}"
        f" WHERE {' AND '.join(sql for sql, _ in clauses)} ORDER BY {order} DESC LIMIT ? OFFSET ?"
    )
    return sql, [value for _, values in clauses for value in values] + [selection.limit, offset]


def _tables(level: Level, needed: set[Level], hint: str) -> str:
    """Join upwards, in this order: each row of the level leads to one series and one study."""
    own = ALIAS[level]
    tables = f"{level} {own}{hint}"
    if "series" in needed and level == "instance":
        tables += " CROSS JOIN series s ON s.key = i.series"
    if "study" in needed and level != "study":
        tables += f" CROSS JOIN study t ON t.key = {own}.study"
    return tables


def _below(selection: Selection) -> Clause:
    own = ALIAS[selection.level]
    values: list[Parameter] = [selection.partition, selection.study or ""]
    if selection.series is None:
        return f"{own}.study = {_STUDY_OF_ROUTE}", values
    return (
        f"{own}.series = (SELECT key FROM series WHERE study = {_STUDY_OF_ROUTE} AND uid = ?)",
        [*values, selection.series],
    )


def _among(selection: Selection, narrow: Filter) -> Clause:
    level = narrow.attribute.level
    column = "key" if level == selection.level else level
    sql, parameters = _keys_of(narrow, selection.partition)
    return f"{ALIAS[selection.level]}.{column} IN ({sql})", parameters


def _followed(selection: Selection) -> Filter | None:
    """Give a filter by one value of an extended query tag of the rows' own level."""
    if selection.study is not None:
        return None
    candidates = (each for each in selection.filters if each.attribute.level == selection.level)
    return next(
        (
            each
            for each in candidates
            if each.attribute.extended and isinstance(each.test, Equal) and each.attribute.vr != "PN"
        ),
        None,
    )


def _following(selection: Selection, followed: Filter) -> Clause:
    [(sql, values)] = clauses_of(followed)
    return (
        f"{ALIAS[selection.level]}.key = x.owner AND x.tag = ? AND x.partition = ? AND {sql}",
        [followed.attribute.extended, selection.partition, *values],
    )


def _keys_of(filtered: Filter, partition: int) -> Clause:
    """Select the keys that a filter's index leads to, those of studies for ModalitiesInStudy."""
    level, key = filtered.attribute.level, "key"
    if filtered.attribute is MODALITIES_FILTER:
        level, key, filtered = "series", "study", Filter(_MODALITY, filtered.test)
    alias = ALIAS[level]
    source = f"SELECT {alias}.{key} FROM {level} {alias} WHERE {alias}.partition = ?"
    first: list[Parameter] = [partition]
    if filtered.attribute.extended:
        source = "SELECT x.owner FROM tag_value x WHERE x.tag = ? AND x.partition = ?"
        first = [filtered.attribute.extended, partition]
    selects = [(f"{source} AND {sql}", [*first, *values]) for sql, values in clauses_of(filtered)]
    return " UNION ALL ".join(sql for sql, _ in selects), [value for _, values in selects for value in values]
