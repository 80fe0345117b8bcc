"""DELETE of studies, series and instances."""

from __future__ import annotations

from http import HTTPStatus

from dicomframe.dicom.paths import Level
from dicomframe.service.attributes import LEVELS
from dicomframe.service.call import Answer, Call
from dicomframe.service.faults import Fault, not_found


async def delete(call: Call) -> Answer:
    """Take a study, series or instance away: 204, or 404 where there is none."""
    call.refuse_query()
    if not await call.service.offload.lengthy(_delete, call):
        raise missing(LEVELS[len(call.uids) - 1])
    return Answer(HTTPStatus.NO_CONTENT)


def missing(level: Level) -> Fault:
    """Give the 404 for what is not there, or not any more."""
    return not_found(f"The specified {level} cannot be found.")


def _delete(call: Call) -> bool:
    service = call.service
    versions = service.index.delete(call.partition, call.uids)
    service.blobs.remove(versions)
    service.index.forget(versions)
    return bool(versions)
