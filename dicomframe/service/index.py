"""The index: what is stored, in SQLite (WAL). The only module that opens a database.

One writer connection behind a lock, one reader connection a thread; several processes may open one folder.
Everything that belongs together, the change row included, is written in one transaction that holds the write
lock from its start, so versions rise in the order of commits.

What is written and read within a transaction stands in `service/rows.py`, and in the modules of what it is about: they
work on connections that come from here.
"""

from __future__ import annotations

import sqlite3
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from dicomframe.errors import DicomFrameError
from dicomframe.service import rows
from dicomframe.service.bookmarks import Bookmarks
from dicomframe.service.matching import Filter, has_phrase
from dicomframe.service.rows import NewInstance, Stored
from dicomframe.service.schema import MIGRATIONS, SCHEMA_NUMBER, statements
from dicomframe.service.selection import NARROW, Place, Selection, probes, to_sql

#: What other modules run their own statements on: `Index.reader`, or the writer of `Index.transaction`.
Connection = sqlite3.Connection

#: How long a writer waits for another process's transaction, in milliseconds.
_BUSY_TIMEOUT = 60_000
#: How long it waits where SQLite itself does not, before it asks again, in seconds.
_ASK_AGAIN = 0.005
_CACHE_KIB = 64 * 1024
#: Up to so many keys or rows passed over, a search is brief.
_BRIEF_KEYS = 300
_BRIEF_OFFSET = 10_000


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
        self._keep_a_log()
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

    def _keep_a_log(self) -> None:
        """Write ahead to a log, so that readers and the writer do not wait for each other.

        SQLite does not wait here, as it does elsewhere, when another process is just opening or closing the same file:
        each would wait for the other to let go. So it is asked again, as long as any other work would wait.
        """
        latest = time.monotonic() + _BUSY_TIMEOUT / 1000
        while True:
            try:
                self._writer.execute("PRAGMA journal_mode = WAL")
            except sqlite3.OperationalError as problem:
                if problem.sqlite_errorcode != sqlite3.SQLITE_BUSY or time.monotonic() > latest:
                    raise
                time.sleep(_ASK_AGAIN)
            else:
                return

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
                    "INSERT OR IGNORE INTO partition (name, created) VALUES (?, ?)",
                    (name, rows.microseconds()),
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
                    rows.store(writer, new)
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
            return rows.delete(writer, partition, uids)

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
        return rows.find_instances(self.reader, partition, uids)

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
