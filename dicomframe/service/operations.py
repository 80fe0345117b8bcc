"""Long operations: reindexing, bulk update, export, deletion in the background.

An operation's row is written before the request that starts it is answered. The work is done by one thread, one
operation after the other, so that it never delays a request and never runs against itself. Under ``polls`` nothing
runs by itself: an operation reports that it is running so many times and is done when it is next asked for, so that
tests and lessons see the same states on every run.

What each type of operation does stands in the module of its verb and is listed in `service/work.py`.
"""

from __future__ import annotations

import logging
import time
import traceback
import uuid
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final

import orjson

from dicomframe.service.attributes import ApiVersion
from dicomframe.service.call import Answer, Call
from dicomframe.service.faults import not_found

if TYPE_CHECKING:
    from dicomframe.service.index import Connection
    from dicomframe.service.service import Service

logger = logging.getLogger(__name__)

_UNFINISHED: Final = ("notStarted", "running")
#: Stands in the place of how often it was asked for, once its work has begun.
_BEGUN: Final = -1
_COLUMNS: Final = "id, type, created, updated, status, percent, polls, payload, resources, results"


class OperationFailed(Exception):
    """Work that ended in failure; `results` tells what was done and why not all.

    Parameters
    ----------
    results : mapping
        JSON that the operation answers with.
    """

    def __init__(self, results: Mapping[str, Any]) -> None:
        super().__init__("The operation failed.")
        self.results = results


@dataclass(frozen=True, slots=True)
class Job:
    """An operation as its work sees it.

    Parameters
    ----------
    id, type : str
        Of the operation.
    payload : mapping
        What the request that started it wants done.
    report : callable
        Tells how much is done, in percent.
    """

    id: str
    type: str
    payload: Mapping[str, Any]
    report: Callable[[int], None]


#: Does an operation's work and gives its results. It may be run again after the process was killed.
Work = Callable[["Service", Job], Mapping[str, Any]]


@dataclass(slots=True)
class Operation:
    """One row of the operation table; times in microseconds since 1970, UTC."""

    id: str
    type: str
    created: int
    updated: int
    status: str
    percent: int
    polls: int
    payload: dict[str, Any] = field(default_factory=dict)
    resources: list[str] = field(default_factory=list)
    results: dict[str, Any] | None = None

    @classmethod
    def of(cls, row: tuple[Any, ...]) -> Operation:
        """Read a row whose columns are `_COLUMNS`."""
        return cls(*row[:7], *(orjson.loads(text) for text in row[7:]))

    def body(self, version: ApiVersion) -> dict[str, Any]:
        """Give the JSON that is answered; v1 says completed where v2 says succeeded."""
        status = "completed" if version == "v1" and self.status == "succeeded" else self.status
        body = {
            "operationId": self.id,
            "type": self.type,
            "createdTime": iso_time(self.created),
            "lastUpdatedTime": iso_time(self.updated),
            "status": status,
            "percentComplete": self.percent,
            "resources": self.resources,
            "results": self.results,
        }
        return {name: value for name, value in body.items() if value is not None}


class Operations:
    """The operations of one service.

    Parameters
    ----------
    service : Service
        What they work on.
    polls : int, optional
        How often an operation reports that it is running before it does its work; by default work begins at once, in
        the background.
    """

    def __init__(self, service: Service, polls: int | None = None) -> None:
        self._service = service
        self._polls = polls
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="dicomframe-operations")

    def start(self, type_: str, payload: Mapping[str, Any], *, resources: tuple[str, ...] = ()) -> Operation:
        """Write an operation down and have it done.

        Parameters
        ----------
        type_ : str
            A key of `service.work.WORK`.
        payload : mapping
            JSON for its work.
        resources : tuple of str
            URLs of what it is about.
        """
        with self._service.index.transaction() as writer:
            operation = self.insert(writer, type_, payload, resources=resources)
        self.schedule(operation)
        return operation

    def insert(
        self,
        writer: Connection,
        type_: str,
        payload: Mapping[str, Any],
        *,
        resources: tuple[str, ...] = (),
    ) -> Operation:
        """Write an operation down within a transaction of the caller's, who calls `schedule` after it."""
        now = _microseconds()
        operation = Operation(
            uuid.uuid4().hex, type_, now, now, "notStarted", 0, 0, dict(payload), list(resources)
        )
        texts = (orjson.dumps(each) for each in (operation.payload, operation.resources, None))
        writer.execute(
            f"INSERT INTO operation ({_COLUMNS}, owner) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",  # noqa: S608
            (operation.id, type_, now, now, "notStarted", 0, 0, *texts, self._service.blobs.owner),
        )
        return operation

    def schedule(self, operation: Operation) -> None:
        """Have an operation's work done, unless it waits to be asked for."""
        if self._polls is None:
            self._thread.submit(self._run, operation)

    def run(self, operation: Operation) -> Operation:
        """Do an operation's work now, in the calling thread, and give it as it ended."""
        self._run(operation)
        return self.find(operation.id) or operation

    def find(self, identifier: str) -> Operation | None:
        """Give an operation as it stands."""
        row = self._service.index.reader.execute(
            f"SELECT {_COLUMNS} FROM operation WHERE id = ?",  # noqa: S608
            (_bare(identifier),),
        ).fetchone()
        return None if row is None else Operation.of(row)

    def poll(self, identifier: str) -> Operation | None:
        """Give an operation as it stands to a client that asks after it, which moves it on under ``polls``."""
        operation = self.find(identifier)
        if operation is None or operation.status not in _UNFINISHED:
            return operation
        self.resume()
        if self._polls is None or operation.polls == _BEGUN:
            return operation
        polls = operation.polls + 1
        if polls > self._polls:
            self._run(operation)
        else:
            percent = 100 * polls // (self._polls + 1)
            self._change(operation.id, unless_begun=True, status="running", polls=polls, percent=percent)
        return self.find(identifier)

    def running(self, type_: str) -> Operation | None:
        """Give the oldest operation of a type that has not ended."""
        row = self._service.index.reader.execute(
            f"SELECT {_COLUMNS} FROM operation WHERE type = ? AND status IN (?, ?) ORDER BY created",  # noqa: S608
            (type_, *_UNFINISHED),
        ).fetchone()
        return None if row is None else Operation.of(row)

    def resume(self) -> None:
        """Take over what processes that are gone have left unfinished, if no other process has."""
        service = self._service
        rows = service.index.reader.execute(
            f"SELECT owner, {_COLUMNS} FROM operation WHERE status IN (?, ?) ORDER BY created",  # noqa: S608
            _UNFINISHED,
        ).fetchall()
        for owner, *row in rows:
            if not service.blobs.is_alive(owner):
                with service.index.transaction() as writer:
                    claimed = writer.execute(
                        # It may have ended since, and its process after it.
                        "UPDATE operation SET owner = ?, polls = max(polls, 0)"
                        " WHERE id = ? AND owner = ? AND status IN (?, ?)",
                        (service.blobs.owner, row[0], owner, *_UNFINISHED),
                    ).rowcount
                if claimed:
                    self.schedule(Operation.of(tuple(row)))

    def close(self) -> None:
        """Let the running operation end; those that wait are resumed by other processes, or at the next start."""
        self._thread.shutdown(cancel_futures=True)

    def _run(self, operation: Operation) -> None:
        from dicomframe.service.work import WORK

        identifier = operation.id
        owner = self._service.blobs.owner
        # Another thread or process may have begun it, or even done it.
        if not self._change(identifier, unless_begun=True, status="running", polls=_BEGUN, owner=owner):
            return

        def report(percent: int) -> None:
            self._change(identifier, percent=percent)

        job = Job(identifier, operation.type, operation.payload, report)
        try:
            results, status = WORK[operation.type](self._service, job), "succeeded"
        except OperationFailed as failed:
            results, status = failed.results, "failed"
        except Exception as error:  # noqa: BLE001 - whatever it is, the operation ends
            # Its words may repeat values of patients; the kind and the place do not.
            place = "".join(traceback.format_tb(error.__traceback__))
            logger.error("Operation %s failed with %s\n%s", operation.type, type(error).__name__, place)  # noqa: TRY400
            results, status = {"errors": ["The operation failed; see the service's log."]}, "failed"
        # What was wanted may hold names of patients or a key to a destination: it is not kept for longer than needed.
        self._change(identifier, status=status, percent=100, results=orjson.dumps(results), payload="{}")

    def _change(self, identifier: str, *, unless_begun: bool = False, **values: Any) -> bool:
        """Set columns of an operation; tell whether that was done."""
        values["updated"] = _microseconds()
        assignments = ", ".join(f"{name} = ?" for name in values)
        condition = f" AND polls <> {_BEGUN} AND status IN {_UNFINISHED}" if unless_begun else ""
        with self._service.index.transaction() as writer:
            changed = writer.execute(
                f"UPDATE operation SET {assignments} WHERE id = ?{condition}",  # noqa: S608
                (*values.values(), identifier),
            )
            return changed.rowcount > 0


async def status(call: Call) -> Answer:
    """Tell how an operation stands: 202 while it runs, 200 when it has ended, 404 where there is none."""
    service = call.service
    operation = await service.offload.lengthy(service.operations.poll, call.names[0])
    if operation is None:
        raise not_found("There is no such operation.")
    running = operation.status in _UNFINISHED
    headers = {"Content-Type": "application/json"}
    if running:
        headers["Location"] = href(call, operation)
    return Answer(
        HTTPStatus.ACCEPTED if running else HTTPStatus.OK, orjson.dumps(operation.body(call.version)), headers
    )


def accepted(call: Call, operation: Operation) -> Answer:
    """Give the 202 for an operation that has begun, with the reference's header and the real service's."""
    link = href(call, operation)
    headers = {"Content-Type": "application/json", "Location": link, "Operation-Location": link}
    return Answer(HTTPStatus.ACCEPTED, orjson.dumps({"id": operation.id, "href": link}), headers)


def href(call: Call, operation: Operation) -> str:
    """Give an operation's URL; it lies outside partitions."""
    return f"{call.root}/operations/{operation.id}"


def _bare(identifier: str) -> str:
    """Operations are named with or without hyphens."""
    return identifier.replace("-", "").lower()


def _microseconds() -> int:
    return time.time_ns() // 1000


def iso_time(microseconds: int) -> str:
    """Write microseconds since 1970 as the service writes times, in UTC."""
    return (
        datetime.fromtimestamp(microseconds / 1e6, UTC)
        .isoformat(timespec="microseconds")
        .replace("+00:00", "Z")
    )
