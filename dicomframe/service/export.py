"""POST of export: files of studies, series and instances to a blob container or a folder.

Each instance becomes ``{operation}/results/{study}/{series}/{instance}.dcm``; what could not be exported is told in
``{operation}/errors.log``, one JSON object a line. An export that is resumed after a kill writes the same names again.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

import orjson

from dicomframe.service import operations
from dicomframe.service.call import Answer, Call
from dicomframe.service.destinations import CannotPut, destination_of, lower_case
from dicomframe.service.faults import bad_request
from dicomframe.service.operations import OperationFailed
from dicomframe.service.validation import is_uid

if TYPE_CHECKING:
    from dicomframe.service.destinations import Destination
    from dicomframe.service.operations import Job, Operation
    from dicomframe.service.rows import Stored
    from dicomframe.service.service import Service

#: After so many files in a row that the destination did not take, the rest is not tried.
_HOPELESS: Final = 5
_SECONDS_A_REPORT: Final = 0.5


async def export(call: Call) -> Answer:
    """Begin an export: 202 and an operation, or 400 for a source or destination that cannot be used."""
    call.refuse_query()
    body = lower_case(await call.json(16 << 20))
    if not {"destination"} <= body.keys() <= {"source", "destination"}:
        raise bad_request("The body must be an object with source and destination.")
    identifiers = _identifiers(body.get("source"))
    destination = destination_of(body["destination"], call.service.export_root)
    payload = {
        "partition": call.partition,
        "identifiers": identifiers,
        "destination": body["destination"],
    }
    operation = await call.service.offload.lengthy(_start, call.service, payload, destination)
    return operations.accepted(call, operation)


def _start(service: Service, payload: Mapping[str, Any], destination: Destination) -> Operation:
    """Begin with an empty error log, as the real service does: what cannot be written is told at once."""
    with service.index.transaction() as writer:
        operation = service.operations.insert(writer, "export", payload)
    try:
        destination.put(_log_of(operation.id), b"")
    except CannotPut as error:
        with service.index.transaction() as writer:
            writer.execute("DELETE FROM operation WHERE id = ?", (operation.id,))
        raise bad_request(f"The destination cannot be used: {error}") from None
    service.operations.schedule(operation)
    return operation


def _log_of(operation: str) -> str:
    return f"{operation}/errors.log"


def _identifiers(source: Any) -> list[str] | None:
    """Read ``study[/series[/instance]]`` texts; None, for everything, where no source is given."""
    if source is None:
        return None
    fields = lower_case(source)
    settings = lower_case(fields.get("settings"))
    values = settings.get("values")
    if str(fields.get("type", "")).lower() != "identifiers" or not isinstance(values, list) or not values:
        raise bad_request("The source must be of type identifiers, its settings a list of values.")
    for value in values:
        uids = value.split("/") if isinstance(value, str) else []
        if not 1 <= len(uids) <= 3 or not all(map(is_uid, uids)):
            raise bad_request(
                "An identifier is study[/series[/instance]], each a UID of at most 64 digits and dots.",
                "InvalidIdentifier",
            )
    return list(dict.fromkeys(values))


def work(service: Service, job: Job) -> Mapping[str, Any]:
    """Write file after file to the destination."""
    destination = destination_of(job.payload["destination"], service.export_root)
    return _Export(service, job, destination).run()


class _Export:
    """One export, and how far it has come."""

    def __init__(self, service: Service, job: Job, destination: Destination) -> None:
        self._service = service
        self._job = job
        self._partition: int = job.payload["partition"]
        self._destination = destination
        self._errors: list[bytes] = []
        self._exported = self._skipped = 0
        self._refused_in_a_row = 0
        self._reported = time.monotonic()

    def run(self) -> Mapping[str, Any]:
        """Export everything; give the results."""
        found = list(self._instances())
        for number, stored in enumerate(found):
            if time.monotonic() - self._reported > _SECONDS_A_REPORT:
                self._reported = time.monotonic()
                self._job.report(100 * number // len(found))
            self._export(stored)
            if self._refused_in_a_row >= _HOPELESS:
                untried = len(found) - number - 1
                self._note("", f"The destination takes nothing; {untried} more were not tried.", untried)
                break
        is_logged = self._write_log()
        results = {
            "exported": self._exported,
            "skipped": self._skipped,
            "errorHref": self._destination.href(_log_of(self._job.id)),
        }
        if not is_logged or self._refused_in_a_row >= _HOPELESS:
            raise OperationFailed(results)
        return results

    def _instances(self) -> Iterator[Stored]:
        """Yield each instance once, however many identifiers name it."""
        index = self._service.index
        identifiers = self._job.payload["identifiers"]
        if identifiers is None:
            rows = index.reader.execute(
                "SELECT uid FROM study WHERE partition = ? ORDER BY key", (self._partition,)
            )
            identifiers = [uid for (uid,) in rows.fetchall()]
        seen: set[int] = set()
        for identifier in identifiers:
            found = index.find(self._partition, identifier.split("/"))
            if not found:
                self._note(identifier, "There is no such study, series or instance.")
            for stored in found:
                if stored.key not in seen:
                    seen.add(stored.key)
                    yield stored

    def _export(self, stored: Stored) -> None:
        try:
            try:
                self._put(stored)
            except FileNotFoundError:
                # A new version may have come in the place of this one.
                newest = self._service.index.find(self._partition, stored.uids)
                if not newest:
                    raise
                self._put(newest[0])
        except FileNotFoundError:
            self._note("/".join(stored.uids), "The instance was deleted before it was exported.")
        except CannotPut as error:
            self._refused_in_a_row += 1
            self._note("/".join(stored.uids), str(error))
        else:
            self._refused_in_a_row = 0
            self._exported += 1

    def _put(self, stored: Stored) -> None:
        name = f"{self._job.id}/results/{'/'.join(stored.uids)}.dcm"
        self._destination.put(name, self._service.blobs.path(stored.version))

    def _note(self, identifier: str, error: str, skipped: int = 1) -> None:
        self._skipped += skipped
        now = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        self._errors.append(orjson.dumps({"timestamp": now, "identifier": identifier, "error": error}))

    def _write_log(self) -> bool:
        try:
            self._destination.put(_log_of(self._job.id), b"".join(line + b"\n" for line in self._errors))
        except CannotPut:
            return False
        return True
