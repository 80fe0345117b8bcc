"""A batch of changes into the tables of a lake, so that it may be done twice and counts once.

The order of the writes is the promise: instances, series, studies, and last the changes with the cursor. Whatever dies
in between, the next run begins at the cursor of the last batch that was appended, and does the same again: merges take
what is not older, so doing them again changes nothing.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from filelock import FileLock, Timeout

from dicomframe.client.feedcursor import Cursor
from dicomframe.client.following import EntryFollower
from dicomframe.client.progress import progress_bar
from dicomframe.dicom import feed
from dicomframe.errors import IssuesWarning, LakeError, NotFoundError, warn_caller
from dicomframe.lake.delta import OTHER_WRITER, is_one_of
from dicomframe.lake.rows import Item, Key, change_rows, entry_uids, group_rows, instance_rows
from dicomframe.tables.back import to_json

if TYPE_CHECKING:
    from dicomframe.client.client import Client
    from dicomframe.lake.delta import Name, Table

_GROUPED: Final = ("PartitionName", "StudyInstanceUID", "SeriesInstanceUID", "sequence", "timestamp", "json")
#: Seconds for which the service may be out of reach, when the lake only catches up and when it follows.
_PATIENCE, _LONG_PATIENCE = 60.0, 86_400.0


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
    follower = EntryFollower(
        client.session,
        Cursor.of(cursor if cursor is not None else 0),
        interval=interval,
        patience=_LONG_PATIENCE if follow else _PATIENCE,
        metadata=True,
        stop=stop,
        waits=follow,
    )
    count, is_claimed = 0, False
    # Not closed at the end: that would set the caller's own event.
    with progress_bar(progress, "Reading changes", None, "change") as bar:
        for entries in follower:
            if not is_claimed:
                _claim(tables, batch)
                is_claimed = True
            taken = _sync_batch(tables, client, entries, batch + 1, follower.cursor)
            batch += bool(taken)
            count += taken
            bar.update(len(entries))
    return count


def _claim(tables: Mapping[Name, Table], batch: int) -> None:
    """Keep all others from writing from here on, wherever they are.

    Raises
    ------
    LakeError
        If somebody wrote since the batch from which we go on, or is claiming the tables too.
    """
    number = tables["instance"].claim()
    for name in ("series", "study", "changes"):
        tables[name].claim(number)
    if tables["changes"].batch() != batch:
        raise LakeError(OTHER_WRITER)


def _sync_batch(
    tables: Mapping[Name, Table],
    client: Client,
    entries: Sequence[Any],
    batch: int,
    cursor: Mapping[str, Any],
) -> int:
    """Write a batch; give how many of its changes are of this lake: without any, nothing is written."""
    named = [feed.named(entry) for entry in entries if isinstance(entry, Mapping)]
    # The feed is of the whole service; what is in other partitions is no more this lake's than this client's.
    partition = client.url.rpartition("/partitions/")[2] if "/partitions/" in client.url else None
    ours = [entry for entry in named if partition is None or entry.get("partitionName") == partition]
    known = [(key, entry) for entry in ours if (key := entry_uids(entry)) is not None]
    if lost := len(entries) - len(named) + len(ours) - len(known):
        warn_caller(
            f"{lost} changes of the feed do not name an instance, and are not in the lake.", IssuesWarning
        )
    if not known:
        return 0  # the same is read again the next time, and costs little
    last = dict(known)  # in order of their numbers: the last one of each instance stays
    states = {key: _state(client, key, entry) for key, entry in last.items()}
    tables["instance"].merge(
        instance_rows({key: (last[key], state) for key, state in states.items() if state != {}})
    )
    studies = sorted({key[1] for key in last})
    instances = tables["instance"].read(_GROUPED, is_one_of("StudyInstanceUID", studies))
    tables["series"].merge(group_rows("series", instances, dict.fromkeys(key[:3] for key in last), batch))
    tables["study"].merge(group_rows("study", instances, dict.fromkeys(key[:2] for key in last), batch))
    tables["changes"].append(change_rows(ours, batch, cursor), batch)
    return len(ours)


def _state(client: Client, key: Key, entry: Mapping[str, Any]) -> Item | None:
    """Give what an instance holds after a change; None if it is gone, nothing (``{}``) if a later change will tell."""
    if str(entry.get("action")).lower() == "delete":
        return None
    if str(entry.get("state", "current")).lower() != "current":
        return {}
    metadata = entry.get("metadata")
    if isinstance(metadata, Mapping) and metadata:
        return metadata
    try:
        # A service may leave it out, of large objects or when it is busy.
        found = to_json(client.retrieve_metadata(key[1], key[2], key[3]))
    except NotFoundError:
        return {}
    return found[0] if found else {}


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
