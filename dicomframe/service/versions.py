"""Versions of instances: the newest, which the index's rows describe, and the first, which updates leave alone.

Whatever lies between is kept by nobody. All functions work over a connection of the index.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

from dicomframe.service import tagindex
from dicomframe.service.attributes import Row
from dicomframe.service.blobs import NewBlob
from dicomframe.service.index import Connection
from dicomframe.service.metadata import Description, Pieces
from dicomframe.service.rows import Stored, log_changes, refresh_row


class Replacement(NamedTuple):
    """A new version of an instance, whole and not yet in its place."""

    stored: Stored
    blob: NewBlob
    pieces: Pieces


def originals(connection: Connection, found: Sequence[Stored]) -> list[Stored]:
    """Give the first versions of instances; of one that was never updated, the only one."""
    firsts = []
    for stored in found:
        row = connection.execute("SELECT version FROM original WHERE key = ?", (stored.key,)).fetchone()
        firsts.append(stored if row is None else stored._replace(version=row[0]))
    return firsts


def original_metadata(connection: Connection, key: int) -> bytes | None:
    """Give the metadata of an instance's first version as DICOM JSON; None if the instance is gone."""
    (metadata,) = connection.execute(
        # One statement, so that an update cannot come in between.
        "SELECT coalesce((SELECT metadata FROM original WHERE key = ?1),"
        " (SELECT metadata FROM instance_json WHERE key = ?1))",
        (key,),
    ).fetchone()
    return None if metadata is None else bytes(metadata)


def replace(
    writer: Connection,
    partition: int,
    replacements: Sequence[Replacement],
    keep_bytes: Callable[[NewBlob, int], None],
) -> tuple[int, list[int]]:
    """Put new versions in the place of those that they were made of.

    Parameters
    ----------
    writer : Connection
        Of a transaction: all of it is done or nothing.
    partition : int
        The partition's key.
    replacements : sequence of Replacement
        Those whose instance was deleted or replaced meanwhile are passed over.
    keep_bytes : callable
        Puts the bytes of a version in place.

    Returns
    -------
    replaced : int
        How many were.
    garbage : list of int
        Versions between the first and the new one, noted as garbage until `Index.forget` is called.
    """
    changed: list[tuple[str, str, str, int]] = []
    garbage: list[int] = []
    parents: set[tuple[int, int]] = set()
    for stored, blob, pieces in replacements:
        row = writer.execute(
            "SELECT series, study FROM instance WHERE key = ? AND version = ?", (stored.key, stored.version)
        ).fetchone()
        if row is None:
            continue
        parents.add(row)
        is_first = writer.execute(
            "INSERT OR IGNORE INTO original SELECT key, ?, metadata FROM instance_json WHERE key = ?",
            (stored.version, stored.key),
        ).rowcount
        if not is_first:
            garbage.append(stored.version)
        (version,) = writer.execute("UPDATE counter SET version = version + 1 RETURNING version").fetchone()
        writer.execute("UPDATE instance SET version = ? WHERE key = ?", (version, stored.key))
        writer.execute(
            "UPDATE instance_json SET v1 = ?, v2 = ?, metadata = ? WHERE key = ?",
            (*Row.of("instance", pieces).answers, Description(pieces).json(), stored.key),
        )
        tagindex.refresh(writer, "instance", stored.key, pieces, version)
        keep_bytes(blob, version)
        changed.append((*stored.uids, version))
    for series, study in parents:
        refresh_row(writer, "series", series)
        refresh_row(writer, "study", study)
    log_changes(writer, "Update", partition, changed)
    writer.executemany("INSERT INTO garbage VALUES (?)", [(version,) for version in garbage])
    return len(changed), garbage
