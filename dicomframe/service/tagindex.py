"""Extended query tags in the index: which there are, and the values that a search by them looks at.

A tag's value belongs to a study, series or instance; of a study or series it is that of the instance stored last, as
for the attributes that are always searched. All of this runs on connections that `index.Index` gives.
"""

# ruff: noqa: S608 - statements are put together from the names in this module
from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal, NamedTuple

import orjson

from dicomframe.dicom import tags
from dicomframe.dicom.paths import Level
from dicomframe.service.attributes import Comparable, Searchable, columns_of
from dicomframe.service.metadata import Pieces, pieces_of
from dicomframe.service.validation import reason_against

if TYPE_CHECKING:
    from dicomframe.service.index import Connection

Status = Literal["Adding", "Ready", "Deleting"]

#: Instances that are indexed in one transaction: others can write in between.
BATCH: Final = 200
_BATCH_OF_VALUES: Final = 20_000
_BINARY_WHOLE_NUMBERS: Final = frozenset({"SL", "SS", "UL", "US"})
_UNFINISHED: Final = "SELECT id FROM operation WHERE status IN ('notStarted', 'running')"


@dataclass(frozen=True, slots=True)
class Tag:
    """One extended query tag.

    Parameters
    ----------
    key : int
        Of its row.
    path : str
        Eight upper-case hex digits.
    vr, creator : str
        Value representation; private creator, empty for standard attributes.
    level : str
        Whose values it has.
    status : {"Adding", "Ready", "Deleting"}
        Only values of ready ones can be searched.
    enabled : bool
        Whether searches may use it: not after an error, until somebody says so.
    operation : str
        The identifier of an operation on it that has not ended; empty otherwise.
    """

    key: int
    path: str
    vr: str
    creator: str
    level: Level
    status: Status
    enabled: bool
    operation: str

    @property
    def keyword(self) -> str:
        """The keyword, or the path where there is none."""
        return tags.from_tag(self.path).column

    def searchable(self) -> Searchable:
        """Give the attribute that a search may filter by."""
        return Searchable(
            self.path.encode(), self.keyword, self.vr, self.level, "value", is_core=False, extended=self.key
        )

    def place_in(self, pieces: Pieces) -> bytes | None:
        """Give the tag under which a data set has the attribute; None where it has it not.

        A private attribute stands in whichever block its creator has reserved (PS3.5 section 7.8.1).
        """
        path = self.path.encode()
        if not self.creator:
            return path if path in pieces else None
        group, element = path[:4], path[6:]
        for tag, piece in pieces.items():
            if tag[:6] == group + b"00" and tag[6:] >= b"10" and _first(tag, piece)[1] == self.creator:
                place = group + tag[6:] + element
                return place if place in pieces else None
        return None


class Value(NamedTuple):
    """What the index is told of one instance's value of one tag, and what is wrong with it."""

    columns: Mapping[str, Comparable | None]
    problem: str = ""

    @property
    def is_missing(self) -> bool:
        """Whether there is nothing to search by."""
        return all(value is None for value in self.columns.values())


_NOTHING: Final = Value({})


def value_of(tag: Tag, pieces: Pieces) -> Value:
    """Read a tag's value from an instance's metadata; only the first of several is searched."""
    place = tag.place_in(pieces)
    if place is None:
        return _NOTHING
    vr, first = _first(place, pieces[place])
    if first is None:
        return _NOTHING
    problem = problem_with(tag, vr, first)
    if problem:
        return Value({}, problem)
    columns = columns_of(tag.vr, "value", first)
    if tag.vr == "DT" and columns["value"] is None and str(first).strip(" \0"):
        return Value({}, "The value must be a moment of the calendar.")
    return Value(columns)


def problem_with(tag: Tag, vr: str, first: object) -> str:
    """Say why a value, as DICOM JSON has it, cannot be indexed; empty where it can. The value is not repeated."""
    if vr != tag.vr and not {vr, tag.vr} <= _BINARY_WHOLE_NUMBERS:
        return f"The value is of VR {vr}, the extended query tag of {tag.vr}."
    if isinstance(first, dict):
        groups = [str(first.get(name, "")) for name in ("Alphabetic", "Ideographic", "Phonetic")]
        reason = reason_against(vr, "=".join(groups).rstrip("="))
    elif vr == "DS" and not isinstance(first, str):
        reason = ""  # a number is one, however long its text would be
    else:
        reason = reason_against(vr, str(first))
    return f"The value {reason}." if reason else ""


def _first(tag: bytes, piece: bytes) -> tuple[str, object]:
    attribute = orjson.loads(b"{%b}" % piece)[tag.decode()]
    values = attribute.get("Value")
    return attribute["vr"], values[0] if values else None


# -- tags ----------------------------------------------------------------------------------------------------

_COLUMNS: Final = (
    "key, path, vr, creator, level, status, enabled,"
    f" CASE WHEN operation IN ({_UNFINISHED}) THEN operation ELSE '' END"
)


def tags_of(connection: Connection, condition: str = "TRUE", parameters: Sequence[object] = ()) -> list[Tag]:
    """Give the tags that meet a condition on the table ``tag``, in the order in which they were added."""
    rows = connection.execute(
        f"SELECT {_COLUMNS} FROM tag WHERE {condition} ORDER BY key", tuple(parameters)
    ).fetchall()
    return [
        Tag(key, path, vr, creator, level, status, bool(enabled), operation)
        for key, path, vr, creator, level, status, enabled, operation in rows
    ]


def find_tag(connection: Connection, path: str) -> Tag | None:
    """Give a tag by its path."""
    return next(iter(tags_of(connection, "path = ?", (path,))), None)


def indexed_tags(connection: Connection) -> list[Tag]:
    """Give the tags whose values are kept up to date."""
    return tags_of(connection, "status IN ('Adding', 'Ready')")


def error_counts(connection: Connection) -> dict[int, int]:
    """Give, for each tag that has some, how many instances could not be indexed."""
    return dict(connection.execute("SELECT tag, count(*) FROM tag_error GROUP BY tag").fetchall())


def has_errors(connection: Connection, key: int) -> bool:
    """Tell whether some instances could not be indexed by a tag."""
    return connection.execute("SELECT 1 FROM tag_error WHERE tag = ? LIMIT 1", (key,)).fetchone() is not None


def insert_tag(writer: Connection, path: str, vr: str, creator: str, level: Level, operation: str) -> None:
    """Write a tag down whose values are still to be indexed."""
    writer.execute(
        "INSERT INTO tag (path, vr, creator, level, status, enabled, operation) VALUES (?, ?, ?, ?, 'Adding', 1, ?)",
        (path, vr, creator, level, operation),
    )


def change_tag(writer: Connection, key: int, **values: object) -> None:
    """Set columns of a tag."""
    assignments = ", ".join(f"{name} = ?" for name in values)
    writer.execute(f"UPDATE tag SET {assignments} WHERE key = ?", (*values.values(), key))


def errors_of(
    connection: Connection, key: int, limit: int, offset: int
) -> list[tuple[str, str, str, int, str, str]]:
    """Give a tag's errors, oldest instance first: its three UIDs, when (microseconds), why, the partition's name."""
    return connection.execute(
        "SELECT t.uid, s.uid, i.uid, e.created, e.message, p.name"
        " FROM tag_error e JOIN instance i ON i.key = e.instance"
        " JOIN series s ON s.key = i.series JOIN study t ON t.key = i.study JOIN partition p ON p.key = i.partition"
        " WHERE e.tag = ? ORDER BY e.instance LIMIT ? OFFSET ?",
        (key, limit, offset),
    ).fetchall()


# -- values --------------------------------------------------------------------------------------------------


def add_instance(writer: Connection, keys: Mapping[Level, int], pieces: Pieces) -> None:
    """Index an instance that has just been stored: it is the newest of its study and series."""
    _index(writer, indexed_tags(writer), keys, pieces, keys["instance"])


def refresh(writer: Connection, level: Level, key: int, pieces: Pieces, version: int) -> None:
    """Take the values of a study, series or instance from the metadata of the newest instance that is left of it."""
    for tag in indexed_tags(writer):
        if tag.level == level:
            _put(writer, tag, key, value_of(tag, pieces), version, is_newest=True)


def forget(writer: Connection, level: Level, key: int) -> None:
    """Take away the values of a study, series or instance that is gone."""
    writer.execute(
        "DELETE FROM tag_value WHERE owner = ? AND tag IN (SELECT key FROM tag WHERE level = ?)", (key, level)
    )
    if level == "instance":
        writer.execute("DELETE FROM tag_error WHERE instance = ?", (key,))


def index_batch(writer: Connection, wanted: Sequence[Tag], after: int) -> tuple[int, int]:
    """Index the next instances, in the order in which they were stored.

    Parameters
    ----------
    writer : Connection
        Of a transaction.
    wanted : sequence of Tag
        What to index.
    after : int
        The key of the last instance that was indexed.

    Returns
    -------
    (int, int)
        The key of the last instance that is indexed now, and how many were; none at the end.
    """
    rows = writer.execute(
        "SELECT i.key, i.study, i.series, j.metadata, i.version FROM instance i JOIN instance_json j USING (key)"
        " WHERE i.key > ? ORDER BY i.key LIMIT ?",
        (after, BATCH),
    ).fetchall()
    for key, study, series, metadata, version in rows:
        keys: dict[Level, int] = {"study": study, "series": series, "instance": key}
        _index(writer, wanted, keys, pieces_of(metadata), version)
    return (rows[-1][0], len(rows)) if rows else (after, 0)


def forget_tag(writer: Connection, key: int) -> bool:
    """Take away some of a tag's values; tell whether that was all, and the tag is gone."""
    gone = writer.execute(
        "DELETE FROM tag_value WHERE tag = ? AND owner IN (SELECT owner FROM tag_value WHERE tag = ? LIMIT ?)",
        (key, key, _BATCH_OF_VALUES),
    ).rowcount
    if gone == _BATCH_OF_VALUES:
        return False
    forget_errors(writer, key)
    writer.execute("DELETE FROM tag WHERE key = ?", (key,))
    return True


def forget_errors(writer: Connection, key: int) -> None:
    """Take away what was noted about instances that could not be indexed."""
    writer.execute("DELETE FROM tag_error WHERE tag = ?", (key,))


def _index(
    writer: Connection, wanted: Iterable[Tag], keys: Mapping[Level, int], pieces: Pieces, version: int
) -> None:
    for tag in wanted:
        value = value_of(tag, pieces)
        _put(writer, tag, keys[tag.level], value, version)
        if value.problem:
            writer.execute(
                "INSERT OR REPLACE INTO tag_error (tag, instance, created, message) VALUES (?, ?, ?, ?)",
                (tag.key, keys["instance"], time.time_ns() // 1000, value.problem),
            )
            change_tag(writer, tag.key, enabled=0)


def _put(
    writer: Connection, tag: Tag, owner: int, value: Value, version: int, *, is_newest: bool = False
) -> None:
    """Write a value, unless a newer instance of the owner has written one.

    What is missing in an instance takes nothing away from its study or series, as with the core attributes.
    """
    if value.is_missing:
        if tag.level == "instance":
            writer.execute("DELETE FROM tag_value WHERE tag = ? AND owner = ?", (tag.key, owner))
        return
    cells = [value.columns.get(name) for name in ("value", "value_groups", "value_words")]
    writer.execute(
        "INSERT INTO tag_value (tag, owner, partition, value, value_groups, value_words, version)"
        f" SELECT ?, key, partition, ?, ?, ?, ? FROM {tag.level} WHERE key = ?"
        " ON CONFLICT (tag, owner) DO UPDATE SET value = excluded.value, value_groups = excluded.value_groups,"
        " value_words = excluded.value_words, version = excluded.version"
        " WHERE ? OR excluded.version >= tag_value.version",
        (tag.key, *cells, version, owner, is_newest),
    )
