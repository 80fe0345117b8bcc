"""The rows of studies, series and instances: how they are found, written, brought up to date and taken away.

Each function works on the connection that it is given, within its transaction: `Index` decides when one begins and
ends.

A row's key is the version of the instance that made it, so "newest first" is the order of keys. Tables that are
searched are narrow; the JSON that is sent stands in tables of its own (``*_json``), read for the rows of one page only.
"""

# ruff: noqa: S608 - statements are put together from the names in this module and in attributes.py
from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from dicomframe.dicom.paths import Level
from dicomframe.service import tagindex
from dicomframe.service.attributes import API_VERSIONS, Row
from dicomframe.service.metadata import Pieces, pieces_of
from dicomframe.service.schema import COLUMNS

if TYPE_CHECKING:
    from dicomframe.service.index import Connection

_ANSWERS = ", ".join(API_VERSIONS)
#: By the number of UIDs.
_FIND = {
    len(tests): "SELECT t.uid, s.uid, i.uid, i.key, i.version, i.transfer_syntax"
    " FROM study t JOIN series s ON s.study = t.key JOIN instance i ON i.series = s.key"
    f" WHERE t.partition = ? AND {' AND '.join(tests)} ORDER BY i.version"
    for tests in (["t.uid = ?"], ["t.uid = ?", "s.uid = ?"], ["t.uid = ?", "s.uid = ?", "i.uid = ?"])
}
#: What a row stands below; there it is the only one of its UID.
_PARENTS: dict[Level, str] = {"study": "partition", "series": "study", "instance": "series"}
_FORGET_ORIGINAL = "DELETE FROM original WHERE key = ? RETURNING version"


class Stored(NamedTuple):
    """Where one instance is."""

    key: int
    uids: tuple[str, str, str]
    version: int
    transfer_syntax: str


@dataclass(frozen=True, slots=True)
class NewInstance:
    """What the index is told of an instance that is to be stored.

    Parameters
    ----------
    partition : int
        The partition's key.
    uids : tuple of str
        Study, series and SOP instance UID.
    transfer_syntax : str
        Of the file.
    pieces : dict
        The metadata's attributes.
    metadata : bytes
        The same as one DICOM JSON object.
    keep_bytes : callable
        Is called with the version, within the transaction, when nothing speaks against the instance any more; it must
        put the bytes in place. Only then is the transaction committed.
    """

    partition: int
    uids: tuple[str, str, str]
    transfer_syntax: str
    pieces: Pieces
    metadata: bytes
    keep_bytes: Callable[[int], None]


class AlreadyStored(Exception):
    """The instance is there: same study, series and SOP instance UID."""


def find_instances(connection: Connection, partition: int, uids: Sequence[str]) -> list[Stored]:
    """Give the instances of a study, series or instance, oldest first; `Index.find` has the rest."""
    rows = connection.execute(_FIND[len(uids)], (partition, *uids))
    return [Stored(row[3], row[:3], *row[4:]) for row in rows]


def store(writer: Connection, new: NewInstance) -> None:
    """Write the rows of an instance, and bring those of its study and series up to date."""
    partition = new.partition
    study_uid, series_uid, uid = new.uids
    study = _key(writer, "study", partition, study_uid)
    series = None if study is None else _key(writer, "series", study, series_uid)
    if series is not None and _key(writer, "instance", series, uid) is not None:
        raise AlreadyStored
    rows = {level: Row.of(level, new.pieces) for level in COLUMNS}
    (version,) = writer.execute("UPDATE counter SET version = version + 1 RETURNING version").fetchone()
    study = _keep_row(writer, "study", study, {"partition": partition}, rows["study"], version)
    series = _keep_row(
        writer, "series", series, {"study": study, "partition": partition}, rows["series"], version
    )
    writer.execute(
        "INSERT INTO instance (key, partition, study, series, uid, version, transfer_syntax)"
        " VALUES (?, ?, ?, ?, ?, ?, ?)",
        (version, partition, study, series, uid, version, new.transfer_syntax),
    )
    writer.execute(
        f"INSERT INTO instance_json (key, {_ANSWERS}, metadata) VALUES (?, ?, ?, ?)",
        (version, *rows["instance"].answers, new.metadata),
    )
    tagindex.add_instance(writer, {"study": study, "series": series, "instance": version}, new.pieces)
    log_changes(writer, "Create", partition, [(*new.uids, version)])
    new.keep_bytes(version)


def delete(writer: Connection, partition: int, uids: Sequence[str]) -> list[int]:
    """Take the rows of a study, series or instance away; `Index.delete` has the rest."""
    doomed = find_instances(writer, partition, uids)
    parents: dict[Level, set[int]] = {"series": set(), "study": set()}
    for key in (stored.key for stored in doomed):
        series, study = writer.execute("SELECT series, study FROM instance WHERE key = ?", (key,)).fetchone()
        parents["series"].add(series)
        parents["study"].add(study)
        _delete_row(writer, "instance", key)
    for level, keys in parents.items():
        for key in keys:
            refresh_row(writer, level, key)
    log_changes(writer, "Delete", partition, [(*stored.uids, stored.version) for stored in doomed])
    versions = [stored.version for stored in doomed]
    for stored in doomed:
        versions += (version for (version,) in writer.execute(_FORGET_ORIGINAL, (stored.key,)))
    writer.executemany("INSERT INTO garbage VALUES (?)", [(version,) for version in versions])
    return versions


def _key(writer: Connection, level: Level, parent: int, uid: str) -> int | None:
    """Give the key of a study, series or instance below its parent; None if it is not there."""
    row = writer.execute(
        f"SELECT key FROM {level} WHERE {_PARENTS[level]} = ? AND uid = ?", (parent, uid)
    ).fetchone()
    return None if row is None else int(row[0])


def _keep_row(
    writer: Connection, level: Level, key: int | None, parents: dict[str, int], row: Row, version: int
) -> int:
    """Bring the row of a study or series up to date, or make it where it has no key yet; give its key."""
    if key is not None:
        _change_row(writer, level, key, row)
        return key
    columns = {"key": version, **parents, **row.columns}
    writer.execute(
        f"INSERT INTO {level} ({', '.join(columns)}) VALUES ({_marks(columns)})",
        tuple(columns.values()),
    )
    writer.execute(
        f"INSERT INTO {level}_json (key, {_ANSWERS}) VALUES ({_marks(API_VERSIONS)}, ?)",
        (version, *row.answers),
    )
    return version


def _change_row(writer: Connection, level: Level, key: int, row: Row) -> None:
    names = COLUMNS[level]
    found = writer.execute(
        f"SELECT {', '.join(names)}, {_ANSWERS} FROM {level} JOIN {level}_json USING (key) WHERE key = ?",
        (key,),
    ).fetchone()
    older = Row(dict(zip(names, found, strict=False)), tuple(found[len(names) :]))
    row = row.keeping(level, older)
    if row == older:
        return
    for table, values in (
        (level, row.columns),
        (f"{level}_json", dict(zip(API_VERSIONS, row.answers, strict=True))),
    ):
        assignments = ", ".join(f"{name} = ?" for name in values)
        writer.execute(f"UPDATE {table} SET {assignments} WHERE key = ?", (*values.values(), key))


def refresh_row(writer: Connection, level: Level, key: int) -> None:
    """Take a study's or series' values from the newest instance that is left, or take the row away."""
    newest = writer.execute(
        f"SELECT metadata, version FROM instance JOIN instance_json USING (key) WHERE {level} = ?"
        " ORDER BY version DESC LIMIT 1",
        (key,),
    ).fetchone()
    if newest is None:
        _delete_row(writer, level, key)
    else:
        pieces = pieces_of(newest[0])
        _change_row(writer, level, key, Row.of(level, pieces))
        tagindex.refresh(writer, level, key, pieces, newest[1])


def _delete_row(writer: Connection, level: Level, key: int) -> None:
    for table in (level, f"{level}_json"):
        writer.execute(f"DELETE FROM {table} WHERE key = ?", (key,))
    tagindex.forget(writer, level, key)


def log_changes(
    writer: Connection, action: str, partition: int, changed: Sequence[tuple[str, str, str, int]]
) -> None:
    """Write rows of the change feed: each the three UIDs and the version that the change made or took away."""
    (last,) = writer.execute("SELECT max(timestamp) FROM change").fetchone()
    # A clock that is set back must not put a change before the ones that readers of the feed have passed.
    now = max(microseconds(), last or 0)
    writer.executemany(
        "INSERT INTO change (timestamp, action, partition, study, series, instance, version)"
        " VALUES (?, ?, ?, ?, ?, ?, ?)",
        [(now, action, partition, *each) for each in changed],
    )


def _marks(names: Sequence[str] | dict[str, Any]) -> str:
    return ", ".join("?" * len(names))


def microseconds() -> int:
    """Give the time since 1970, UTC."""
    return time.time_ns() // 1000
