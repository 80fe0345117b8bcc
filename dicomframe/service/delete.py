"""DELETE of studies, series and instances; as an operation where the request prefers that."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from dicomframe.dicom.paths import Level
from dicomframe.service import operations
from dicomframe.service.attributes import LEVELS
from dicomframe.service.call import Answer, Call
from dicomframe.service.faults import Fault, not_found

if TYPE_CHECKING:
    from dicomframe.service.operations import Job
    from dicomframe.service.service import Service


async def delete(call: Call) -> Answer:
    """Take a study, series or instance away: 204, or 404 where there is none.

    ``Prefer: respond-async`` gives 202 and an operation, as the reference describes it; the real service, and so a
    strict one, deletes at once all the same.
    """
    call.refuse_query()
    service = call.service
    if call.prefers("respond-async") and not service.strict:
        if not service.index.find(call.partition, call.uids):
            raise missing(LEVELS[len(call.uids) - 1])
        payload = {"partition": call.partition, "uids": list(call.uids)}
        operation = await service.offload.lengthy(service.operations.start, "delete", payload)
        return operations.accepted(call, operation)
    if not await service.offload.lengthy(_delete, service, call.partition, call.uids):
        raise missing(LEVELS[len(call.uids) - 1])
    return Answer(HTTPStatus.NO_CONTENT)


def work(service: Service, job: Job) -> Mapping[str, Any]:
    """Delete in the background; what another request has deleted meanwhile is no error."""
    return {"instancesDeleted": _delete(service, job.payload["partition"], job.payload["uids"])}


def missing(level: Level) -> Fault:
    """Give the 404 for what is not there, or not any more."""
    return not_found(f"The specified {level} cannot be found.")


def _delete(service: Service, partition: int, uids: Sequence[str]) -> int:
    versions = service.index.delete(partition, uids)
    service.blobs.remove(versions)
    service.index.forget(versions)
    return len(versions)
