"""A batch of changes into the tables of a lake, so that it may be done twice and counts once.

The order of the writes is the promise: instances, series, studies, and last the changes with the cursor. Whatever dies
in between, the next run begins at the cursor of the last batch that was appended, and does the same again: merges take
what is not older, so doing them again changes nothing.
"""

from __future__ import annotations

import contextlib
import random
import re
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import unquote

from filelock import FileLock, Timeout

from dicomframe.client.feedcursor import Cursor
from dicomframe.client.following import EntryFollower
from dicomframe.client.metadata import metadata_of
from dicomframe.client.progress import Bar, progress_bar
from dicomframe.client.workers import Workers, in_order
from dicomframe.dicom import feed
from dicomframe.dicom.paths import ResourcePath
from dicomframe.errors import (
    DecodeError,
    IssuesWarning,
    LakeError,
    NotFoundError,
    QueryError,
    ServiceError,
    ThrottledError,
    TransportError,
    UnavailableError,
    warn_caller,
)
from dicomframe.lake.delta import KEYS, OTHER_WRITER
from dicomframe.lake.rows import Item, Key, change_rows, entry_uids, group_rows, instance_rows, lower

if TYPE_CHECKING:
    from dicomframe.client.client import Client
    from dicomframe.lake.delta import Name, Table

_GROUPED: Final = ("PartitionName", "StudyInstanceUID", "SeriesInstanceUID", "sequence", "timestamp", "json")
#: Seconds for which the service may be out of reach, when the lake only catches up and when it follows.
_PATIENCE, _LONG_PATIENCE = 60.0, 86_400.0
#: The last change of instances that the service calls current, and does not give.
Unread = dict[Key, Mapping[str, Any]]
#: Stands for what such an instance holds: nothing that may be written.
UNREAD: Final[Item] = {}
#: So many instances that are asked for again are held, and written together.
_MOST_AT_ONCE: Final = 1_000
_UNREAD: Final = (
    "The service does not give the metadata of {} instances that its change feed calls current. The lake does not hold"
    " them, or holds them as they were; lake.unread() names them, and each sync asks for them again."
)


def sync_tables(
    tables: Mapping[Name, Table],
    client: Client,
    batch: int,
    cursor: Mapping[str, Any] | None,
    *,
    follow: bool,
    interval: float,
    stop: threading.Event | None,
    progress: Any,
) -> int:
    """Bring the tables up to date from the place where a batch ended, and keep them so; give the number of changes."""
    stop = stop or threading.Event()
    follower = EntryFollower(
        client.session,
        Cursor.of(cursor if cursor is not None else 0),
        interval=interval,
        patience=_LONG_PATIENCE if follow else _PATIENCE,
        metadata=True,
        stop=stop,
        waits=False,
    )
    unread = read_unread(tables, cursor)
    count, is_claimed = 0, False
    told: set[Key] = set()

    def claim_once() -> None:
        nonlocal is_claimed
        if not is_claimed:
            claim(tables, batch)
            is_claimed = True

    # Not closed at the end: that would set the caller's own event.
    while True:
        with progress_bar(progress, "Reading changes", None, "change") as bar:
            for entries in follower:
                claim_once()
                taken, unread = _sync_batch(tables, client, entries, batch + 1, follower.cursor, unread, bar)
                batch += bool(taken)
                count += taken
        # The feed ended with a reading of nothing new: what was deleted meanwhile was told of by then.
        with progress_bar(progress, "Asking for metadata again", len(unread), "instance") as bar:
            for found in _found(client, unread, bar):
                claim_once()
                batch += 1
                unread = {key: entry for key, entry in unread.items() if key not in found}
                _write(tables, found, batch)
                _end(tables, (), batch, follower.cursor, unread)
        if unread.keys() - told:
            told = set(unread)
            warn_caller(_UNREAD.format(len(unread)), IssuesWarning)
        if not follow or stop.wait(interval):
            return count


def claim(tables: Mapping[Name, Table], batch: int | None = None) -> None:
    """Keep all others from writing from here on, wherever they are.

    Raises
    ------
    LakeError
        If somebody wrote since the batch from which we go on, or is claiming the tables too.
    """
    number = tables["instance"].claim()
    for name in ("series", "study", "changes"):
        tables[name].claim(number)
    if batch is not None and tables["changes"].batch() != batch:
        raise LakeError(OTHER_WRITER)


def _sync_batch(
    tables: Mapping[Name, Table],
    client: Client,
    entries: Sequence[Any],
    batch: int,
    cursor: Mapping[str, Any],
    unread: Unread,
    bar: Bar,
) -> tuple[int, Unread]:
    """Write a batch; give how many of its changes are of this lake, and which instances could not be had so far.

    Without any change of this lake, nothing is written.
    """
    named = [feed.named(entry) for entry in entries if isinstance(entry, Mapping)]
    # Without a number it is neither earlier nor later than another change, nor can it be told from one that was read.
    named = [entry for entry in named if feed.sequence_of(entry) is not None]
    # The feed is of the whole service; what is in other partitions is no more this lake's than this client's.
    partition = partition_of(client.url)
    ours = [entry for entry in named if partition is None or entry.get("partitionName") == partition]
    known = [(key, entry) for entry in ours if (key := entry_uids(entry)) is not None]
    if lost := len(entries) - len(named) + len(ours) - len(known):
        warn_caller(
            f"{lost} changes of the feed name no instance or have no number, and are not in the lake.",
            IssuesWarning,
        )
    if not known:
        return 0, unread  # the same is read again the next time, and costs little
    last = dict(known)  # in order of their numbers: the last one of each instance stays
    bar.update(len(entries) - len(last))
    states = _states(client, last, bar)
    # A change that comes late settles nothing of a later one.
    unread = {key: last[key] for key, state in states.items() if state is UNREAD} | {
        key: entry for key, entry in unread.items() if key not in last or _number(last[key]) < _number(entry)
    }
    changed = {key: (last[key], state) for key, state in states.items() if state != {}}
    _write(tables, changed, batch, last)
    _end(tables, ours, batch, cursor, unread)
    return len(ours), unread


def _end(
    tables: Mapping[Name, Table],
    entries: Sequence[Mapping[str, Any]],
    batch: int,
    cursor: Mapping[str, Any],
    unread: Unread,
) -> None:
    """End a batch: from here on it counts."""
    place = {**cursor, "unread": sorted(map(_number, unread.values()))}
    tables["changes"].append(change_rows(entries, batch, place), batch)


def _write(
    tables: Mapping[Name, Table],
    changed: Mapping[Key, tuple[Mapping[str, Any], Item | None]],
    batch: int,
    touched: Iterable[Key] | None = None,
) -> None:
    """Write instances as they are now, and the series and studies of these and all that were touched."""
    keys = list(changed if touched is None else touched)
    tables["instance"].merge(instance_rows(changed))
    studies = sorted({key[1] for key in keys})
    instances = tables["instance"].read(_GROUPED, among=("StudyInstanceUID", studies))
    tables["series"].merge(group_rows("series", instances, dict.fromkeys(key[:3] for key in keys), batch))
    tables["study"].merge(group_rows("study", instances, dict.fromkeys(key[:2] for key in keys), batch))


def _states(client: Client, changes: Mapping[Key, Mapping[str, Any]], bar: Bar) -> dict[Key, Item | None]:
    """Give what instances hold after their last changes: `_told`, or else, many at a time, `_asked`."""
    states = {key: _told(entry) for key, entry in changes.items()}
    lacking = [key for key, state in states.items() if state is UNREAD]
    bar.update(len(states) - len(lacking))
    width = client.max_workers
    with Workers(width, "lake") as workers:
        answers = in_order(workers, lambda key: _asked(client, key), lacking, width)
        for key, state in zip(lacking, answers, strict=True):
            states[key] = state
            bar.update()
    return states


def _told(entry: Mapping[str, Any]) -> Item | None:
    """Give what an instance holds after a change; None if it is gone, nothing (``{}``) if a later change will tell.

    `UNREAD` if the change does not say.
    """
    if lower(entry.get("action")) == "delete":
        return None
    if lower(entry.get("state")) in {"replaced", "deleted"}:
        return {}
    metadata = entry.get("metadata")
    return metadata if isinstance(metadata, Mapping) and metadata else UNREAD


def _asked(client: Client, key: Key) -> Item:
    """Ask what an instance holds: a service may leave it out of its feed, of large objects or when it is busy.

    `UNREAD` if it calls it current, and does not give what it holds: it may have been deleted since the feed was read,
    of which the feed tells later on, or it is lost.
    """
    try:
        found = metadata_of(client.session, ResourcePath(key[1], key[2], key[3]))
    except (NotFoundError, QueryError):  # the latter at UIDs with which nothing can be asked for
        return UNREAD
    return found[0] if found and found[0] else UNREAD


def _found(client: Client, unread: Unread, bar: Bar) -> Iterator[dict[Key, tuple[Mapping[str, Any], Item]]]:
    """Ask again for what could not be had; whatever becomes of that, the lake goes on, and asks the next time.

    What was found is given some at a time, so that it need not all be held, and stays if the rest is broken off.
    """
    # In any order: some that fail each time must not keep the others from being asked for.
    keys = random.sample(list(unread), len(unread))
    width = client.max_workers
    out_of_reach = 0

    def ask(key: Key) -> Item | None:
        try:
            return _asked(client, key)
        except (TransportError, ThrottledError, UnavailableError):
            return None
        except (ServiceError, DecodeError):
            return UNREAD

    for start in range(0, len(keys), _MOST_AT_ONCE):
        part = keys[start : start + _MOST_AT_ONCE]
        found: dict[Key, tuple[Mapping[str, Any], Item]] = {}
        with Workers(width, "lake") as workers:
            for key, state in zip(part, in_order(workers, ask, part, width), strict=True):
                bar.update()
                out_of_reach = out_of_reach + 1 if state is None else 0
                if out_of_reach == width:
                    break  # nor would it give the others now
                if state:
                    found[key] = unread[key], state
        if found:
            yield found
        if out_of_reach == width:
            return


def read_unread(tables: Mapping[Name, Table], cursor: Mapping[str, Any] | None) -> Unread:
    """Give the changes, by instance, after which a lake could not get what it ought to hold."""
    numbers = [int(number) for number in (cursor or {}).get("unread", ())]
    if not numbers:
        return {}
    columns = [*KEYS["instance"], "sequence", "timestamp", "action", "state"]
    rows = tables["changes"].read(columns, among=("sequence", numbers))
    unread = {}
    for row in rows.to_pylist():
        uids = [row.pop(name) or "" for name in KEYS["instance"]]
        moment = row.pop("timestamp")
        unread[tuple(uids)] = row | {"timestamp": moment and moment.isoformat()}
    return unread


def _number(entry: Mapping[str, Any]) -> int:
    return feed.sequence_of(entry) or 0


def partition_of(url: str) -> str | None:
    """Give the data partition that a client's address names.

    Examples
    --------
    >>> partition_of("https://host/v2/Partitions/trial"), partition_of("https://host/v2")
    ('trial', None)
    """
    found = re.search(r"/partitions/([^/]+)/?$", url, re.IGNORECASE)
    return unquote(found[1]) if found else None


@contextlib.contextmanager
def only_writer(folder: str) -> Iterator[None]:
    """Keep other programs on this machine from writing to a lake in a folder meanwhile."""
    if "://" in folder:
        yield
        return
    lock = FileLock(Path(folder) / ".sync.lock", blocking=False)
    try:
        lock.acquire()
    except Timeout:
        raise LakeError(
            "Another program on this machine is writing to this lake; let one of them do it."
        ) from None
    with lock:
        yield
