"""The index: what is stored, in SQLite (WAL). The only module that speaks SQL to a database.

One writer connection behind a lock, one reader connection a thread; several processes may open one folder.
Everything that belongs together, the change row included, is written in one transaction that holds the write
lock from its start, so versions rise in the order of commits.

A row's key is the version of the instance that made it, so "newest first" is the order of keys. Tables that are
searched are narrow; the JSON that is sent stands in tables of its own (``*_json``), read for the rows of one
page only.
"""

# ruff: noqa: S608 - statements are put together from the names in this module and in attributes.py
from __future__ import annotations

import sqlite3
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from dicomframe.dicom.paths import Level
from dicomframe.errors import DicomFrameError
from dicomframe.service import tagindex
from dicomframe.service.attributes import API_VERSIONS, Row
from dicomframe.service.bookmarks import Bookmarks
from dicomframe.service.matching import Filter, has_phrase
from dicomframe.service.metadata import Pieces, pieces_of
from dicomframe.service.schema import COLUMNS, MIGRATIONS, SCHEMA_NUMBER, statements
from dicomframe.service.selection import NARROW, Place, Selection, probes, to_sql

#: What other modules run their own statements on: `Index.reader`, or the writer of `Index.transaction`.
Connection = sqlite3.Connection

#: How long a writer waits for another process's transaction, in milliseconds.
_BUSY_TIMEOUT = 60_000
_CACHE_KIB = 64 * 1024
#: Up to so many keys or rows passed over, a search is brief.
_BRIEF_KEYS = 300
_BRIEF_OFFSET = 10_000
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


class Plan(NamedTuple):
    """How a search goes through the tables, and whether that takes a millisecond or less.

    Parameters
    ----------
    selection : Selection
        What is searched.
    narrow : Filter, optional
        The filter to gather from.
    is_brief : bool
        Whether it is.
    """

    selection: Selection
    narrow: Filter | None
    is_brief: bool


class AlreadyStored(Exception):
    """The instance is there: same study, series and SOP instance UID."""


class Index:
    """What is stored in one folder. Methods may be called from any thread.

    Parameters
    ----------
    path : Path
        The database file; it is made if it is missing.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._write_lock = threading.Lock()
        self._local = threading.local()
        self._connections: list[sqlite3.Connection] = []
        self._writer = self._connect()
        self._writer.execute("PRAGMA journal_mode = WAL")
        with self.transaction() as writer:
            (number,) = writer.execute("PRAGMA user_version").fetchone()
            for statement in statements() if number == 0 else MIGRATIONS.get(number, ()):
                writer.execute(statement)
            if number == 0 or number in MIGRATIONS:
                number = SCHEMA_NUMBER
                writer.execute(f"PRAGMA user_version = {number}")
        if number != SCHEMA_NUMBER:
            self.close()
            raise DicomFrameError(
                f"The folder's index has schema {number}, this version reads {SCHEMA_NUMBER}: take another folder."
            )

    def close(self) -> None:
        """Close all connections; no other method may be running."""
        for connection in self._connections:
            connection.close()
        self._connections.clear()

    def _connect(self) -> sqlite3.Connection:
        connection = sqlite3.connect(
            self._path, timeout=_BUSY_TIMEOUT / 1000, isolation_level=None, check_same_thread=False
        )
        self._connections.append(connection)
        # NORMAL: a killed process loses nothing; a power cut may lose the last commits, never consistency.
        # secure_delete: what is deleted is overwritten, values of patients as well as an export's key to its container;
        # it is the default of some builds only.
        for pragma in (
            "synchronous = NORMAL",
            "secure_delete = ON",
            f"cache_size = -{_CACHE_KIB}",
            "temp_store = MEMORY",
        ):
            connection.execute(f"PRAGMA {pragma}")
        connection.create_function("has_phrase", 2, has_phrase, deterministic=True)
        return connection

    @property
    def reader(self) -> sqlite3.Connection:
        """The connection for reading that belongs to the calling thread."""
        reader: sqlite3.Connection | None = getattr(self._local, "reader", None)
        if reader is None:
            reader = self._local.reader = self._connect()
            reader.execute("PRAGMA query_only = ON")
        return reader

    @contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """Write, alone among all processes: all of the block or nothing of it."""
        with self._write_lock:
            self._writer.execute("BEGIN IMMEDIATE")
            try:
                yield self._writer
                self._writer.execute("COMMIT")
            except BaseException:
                if self._writer.in_transaction:  # SQLite ends it itself when the disk is full
                    self._writer.execute("ROLLBACK")
                raise

    # -- partitions ------------------------------------------------------------------------------------------

    def partition(self, name: str, *, create: bool = False) -> int | None:
        """Give a partition's key, None where there is none by that name."""
        row = self.reader.execute("SELECT key FROM partition WHERE name = ?", (name,)).fetchone()
        if row is None and create:
            with self.transaction() as writer:
                writer.execute(
                    "INSERT OR IGNORE INTO partition (name, created) VALUES (?, ?)", (name, _microseconds())
                )
                row = writer.execute("SELECT key FROM partition WHERE name = ?", (name,)).fetchone()
        return None if row is None else int(row[0])

    # -- write -----------------------------------------------------------------------------------------------

    def store(self, wanted: Sequence[NewInstance]) -> list[Exception | None]:
        """Index instances in one transaction, which costs as much as several of them.

        Parameters
        ----------
        wanted : sequence of NewInstance
            One that cannot be stored does not keep the others from it.

        Returns
        -------
        list of Exception or None
            What went wrong with each: `AlreadyStored` if it is there.
        """
        problems: list[Exception | None] = []
        with self.transaction() as writer:
            for new in wanted:
                writer.execute("SAVEPOINT one")
                problem = None
                try:
                    _store(writer, new)
                except Exception as error:
                    if not writer.in_transaction:
                        raise  # SQLite has ended it: nothing of it is stored
                    problem = error
                    writer.execute("ROLLBACK TO one")
                writer.execute("RELEASE one")
                problems.append(problem)
        return problems

    def delete(self, partition: int, uids: Sequence[str]) -> list[int]:
        """Take a study, series or instance out of the index; give the versions whose bytes may go.

        They stay noted as garbage until `forget` is called.

        Parameters
        ----------
        partition : int
            The partition's key.
        uids : sequence of str
            One to three UIDs, from the study down.
        """
        with self.transaction() as writer:
            doomed = find_instances(writer, partition, uids)
            parents: dict[Level, set[int]] = {"series": set(), "study": set()}
            for key in (stored.key for stored in doomed):
                series, study = writer.execute(
                    "SELECT series, study FROM instance WHERE key = ?", (key,)
                ).fetchone()
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

    def garbage(self) -> list[int]:
        """Give the versions whose bytes should be gone."""
        return [version for (version,) in self.reader.execute("SELECT version FROM garbage")]

    def forget(self, versions: Sequence[int]) -> None:
        """Say that the bytes of deleted versions are gone."""
        if versions:
            with self.transaction() as writer:
                writer.executemany(
                    "DELETE FROM garbage WHERE version = ?", [(version,) for version in versions]
                )

    @contextmanager
    def standstill(self) -> Iterator[int]:
        """Keep every process from writing; give the newest version that is committed."""
        with self.transaction() as writer:
            yield writer.execute("SELECT version FROM counter").fetchone()[0]

    # -- read ------------------------------------------------------------------------------------------------

    def find(self, partition: int, uids: Sequence[str]) -> list[Stored]:
        """Give the instances of a study, series or instance, oldest first.

        Parameters
        ----------
        partition : int
            The partition's key.
        uids : sequence of str
            One to three UIDs, from the study down.
        """
        return find_instances(self.reader, partition, uids)

    @contextmanager
    def snapshot(self) -> Iterator[Connection]:
        """Read the archive as it stands at one moment: no write of another thread is seen half."""
        reader = self.reader
        reader.execute("BEGIN")
        try:
            yield reader
        finally:
            reader.execute("COMMIT")

    def metadata(self, key: int) -> bytes | None:
        """Give an instance's metadata as DICOM JSON; None if it is gone."""
        row = self.reader.execute("SELECT metadata FROM instance_json WHERE key = ?", (key,)).fetchone()
        return None if row is None else bytes(row[0])

    def plan(self, selection: Selection) -> Plan:
        """Find the way to a search's rows."""
        counted = [
            (self.reader.execute(*probe).fetchone()[0], filtered) for filtered, probe in probes(selection)
        ]
        keys, narrow = min(counted, key=lambda each: each[0], default=(NARROW, None))
        if keys == NARROW:
            narrow = None
        is_brief = (
            selection.study is not None
            or (narrow is not None and keys <= _BRIEF_KEYS)
            or (not selection.filters and selection.offset <= _BRIEF_OFFSET)
        )
        return Plan(selection, narrow, is_brief)

    def search(self, plan: Plan) -> list[tuple[Any, ...]]:
        """Give the rows of a search; `selection.to_sql` names their columns."""
        selection = plan.selection
        if not selection.offset:
            return self.reader.execute(*to_sql(selection, plan.narrow)).fetchall()
        # The version of the data that this connection sees, and the rows, as of one moment. It changes with every
        # commit of another connection, in whatever process; a reader makes none itself.
        with self.snapshot() as reader:
            (version,) = reader.execute("PRAGMA data_version").fetchone()
            bookmarks = self._bookmarks(version)
            start = bookmarks.nearest(selection.rows, selection.offset)
            rows = reader.execute(*to_sql(selection, plan.narrow, start)).fetchall()
        if rows:
            bookmarks.add(selection.rows, Place(selection.offset + len(rows) - 1, rows[-1][-1]))
        return rows

    @property
    def feed_bookmarks(self) -> Bookmarks:
        """The calling thread's bookmarks in the change feed, which no write makes untrue."""
        bookmarks: Bookmarks | None = getattr(self._local, "feed_bookmarks", None)
        if bookmarks is None:
            bookmarks = self._local.feed_bookmarks = Bookmarks(version=0)
        return bookmarks

    def _bookmarks(self, version: int) -> Bookmarks:
        """Give the calling thread's bookmarks, none of them older than the data that its reader sees.

        Each thread has its own, so that they need no lock and are as true as its reader: pages of one search that
        several threads share are still found by each of them in one walk through the rows, all pages together.
        """
        bookmarks: Bookmarks | None = getattr(self._local, "bookmarks", None)
        if bookmarks is None or bookmarks.version != version:
            bookmarks = self._local.bookmarks = Bookmarks(version)
        return bookmarks


def find_instances(connection: sqlite3.Connection, partition: int, uids: Sequence[str]) -> list[Stored]:
    """Give the instances of a study, series or instance, oldest first; `Index.find` has the rest."""
    rows = connection.execute(_FIND[len(uids)], (partition, *uids))
    return [Stored(row[3], row[:3], *row[4:]) for row in rows]


def _store(writer: sqlite3.Connection, new: NewInstance) -> None:
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


def _key(writer: sqlite3.Connection, level: Level, parent: int, uid: str) -> int | None:
    """Give the key of a study, series or instance below its parent; None if it is not there."""
    row = writer.execute(
        f"SELECT key FROM {level} WHERE {_PARENTS[level]} = ? AND uid = ?", (parent, uid)
    ).fetchone()
    return None if row is None else int(row[0])


def _keep_row(
    writer: sqlite3.Connection, level: Level, key: int | None, parents: dict[str, int], row: Row, version: int
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


def _change_row(writer: sqlite3.Connection, level: Level, key: int, row: Row) -> None:
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


def refresh_row(writer: sqlite3.Connection, level: Level, key: int) -> None:
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


def _delete_row(writer: sqlite3.Connection, level: Level, key: int) -> None:
    for table in (level, f"{level}_json"):
        writer.execute(f"DELETE FROM {table} WHERE key = ?", (key,))
    tagindex.forget(writer, level, key)


def log_changes(
    writer: sqlite3.Connection, action: str, partition: int, changed: Sequence[tuple[str, str, str, int]]
) -> None:
    """Write rows of the change feed: each the three UIDs and the version that the change made or took away."""
    (last,) = writer.execute("SELECT max(timestamp) FROM change").fetchone()
    # A clock that is set back must not put a change before the ones that readers of the feed have passed.
    now = max(_microseconds(), last or 0)
    writer.executemany(
        "INSERT INTO change (timestamp, action, partition, study, series, instance, version)"
        " VALUES (?, ?, ?, ?, ?, ?, ?)",
        [(now, action, partition, *each) for each in changed],
    )


def _marks(names: Sequence[str] | dict[str, Any]) -> str:
    return ", ".join("?" * len(names))


def _microseconds() -> int:
    return time.time_ns() // 1000
