"""The route table and the ASGI application, nothing else."""

from __future__ import annotations

import logging
import re
import traceback
from http import HTTPStatus
from typing import TYPE_CHECKING, Final

from starlette.requests import ClientDisconnect

from dicomframe.service import changefeed, delete, operations, partitions, querytags, retrieve, search, store
from dicomframe.service.attributes import API_VERSIONS, ApiVersion
from dicomframe.service.call import Answer, Call
from dicomframe.service.faults import Fault, bad_request, not_found
from dicomframe.service.routing import Route, RouteTree, later
from dicomframe.service.sender import check_sender
from dicomframe.service.service import DEFAULT_PARTITION

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Receive, Scope, Send

    from dicomframe.service.service import Service

logger = logging.getLogger(__name__)

_STUDY: Final = "studies/{}"
_SERIES: Final = "studies/{}/series/{}"
_INSTANCE: Final = "studies/{}/series/{}/instances/{}"

ROUTES: Final = (
    Route("POST", "studies", store.store, makes_partition=True),
    Route("POST", _STUDY, store.store, makes_partition=True),
    Route("GET", _STUDY, retrieve.objects),
    Route("GET", _SERIES, retrieve.objects),
    Route("GET", _INSTANCE, retrieve.objects),
    Route("GET", f"{_STUDY}/metadata", retrieve.metadata),
    Route("GET", f"{_SERIES}/metadata", retrieve.metadata),
    Route("GET", f"{_INSTANCE}/metadata", retrieve.metadata),
    Route("GET", f"{_INSTANCE}/frames/{{}}", later("frames.frames")),
    Route("GET", f"{_INSTANCE}/frames/{{}}/rendered", later("rendering.rendered")),
    Route("GET", f"{_INSTANCE}/rendered", later("rendering.rendered")),
    Route("GET", f"{_INSTANCE}/thumbnail", later("rendering.thumbnail")),
    Route("GET", f"{_INSTANCE}/bulkdata/{{*}}", later("bulkdata.bulkdata")),
    Route("GET", "wado", later("wado_uri.wado")),
    Route("GET", "studies", search.studies),
    Route("GET", "series", search.series),
    Route("GET", "instances", search.instances),
    Route("GET", f"{_STUDY}/series", search.series),
    Route("GET", f"{_STUDY}/instances", search.instances),
    Route("GET", f"{_SERIES}/instances", search.instances),
    Route("DELETE", _STUDY, delete.delete),
    Route("DELETE", _SERIES, delete.delete),
    Route("DELETE", _INSTANCE, delete.delete),
    Route("GET", "operations/{}", operations.status),
    Route("GET", "workitems", later("workitems.search")),
    Route("POST", "workitems", later("workitems.create"), makes_partition=True),
    Route("GET", "workitems/{}", later("workitems.retrieve")),
    Route("POST", "workitems/{}", later("workitems.update")),
    Route("PUT", "workitems/{}/state", later("workitems.change_state")),
    Route("POST", "workitems/{}/cancelrequest", later("workitems.request_cancellation")),
    Route("POST", "studies/$bulkupdate", later("update.bulk_update"), versions=("v2",)),
    Route("POST", "export", later("export.export")),
    Route("GET", "extendedquerytags", querytags.list_all),
    Route("POST", "extendedquerytags", querytags.add),
    Route("GET", "extendedquerytags/{}", querytags.one),
    Route("PATCH", "extendedquerytags/{}", querytags.change),
    Route("DELETE", "extendedquerytags/{}", querytags.delete),
    Route("GET", "extendedquerytags/{}/errors", querytags.errors),
    Route("POST", "extendedquerytags/{}/reindex", querytags.reindex),
    Route("GET", "changefeed", changefeed.changes),
    Route("GET", "changefeed/latest", changefeed.latest),
    Route("GET", "partitions", partitions.listing),
    Route("GET", "api.yaml", later("openapi.describe")),
)

#: Routes that lie outside partitions.
WITHOUT_PARTITION: Final = {
    "changefeed",
    "extendedquerytags",
    "operations",
    "partitions",
    "api.yaml",
}
_PARTITION_NAME: Final = re.compile(r"[A-Za-z0-9_.\-]{1,64}")
_MOST_HEADER_BYTES: Final = 64 * 1024
_VERSIONS: Final[dict[str, ApiVersion]] = {version: version for version in API_VERSIONS}
_VERSION_HEADERS: Final = ((b"api-supported-versions", ", ".join(API_VERSIONS).encode()),)


class Dispatcher:
    """Every request to one service, from its admission to its answer.

    Parameters
    ----------
    service : Service
        What it serves.
    """

    def __init__(self, service: Service) -> None:
        self._service = service
        self._tree = RouteTree(ROUTES)
        self._default_partition = service.index.partition(DEFAULT_PARTITION) or 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        try:
            answer = await self._answer(scope, receive)
        except Fault as fault:
            answer = _refusing(fault)
        except ClientDisconnect:
            return
        except Exception as error:  # noqa: BLE001 - whatever it is, the client gets an answer
            _log(scope, error)
            answer = _refusing(
                Fault(HTTPStatus.INTERNAL_SERVER_ERROR, "InternalError", "The service failed; see its log.")
            )
        try:
            await answer.send(scope, receive, send, _VERSION_HEADERS)
        except FileNotFoundError:
            # Deleted while what stands before it was sent, here or by another process. Returning cuts the body off.
            logger.info("%s: what was still to be sent was deleted meanwhile", scope["method"])
        except Exception as error:  # noqa: BLE001 - the status is sent; only cutting the body off can tell now
            _log(scope, error)

    def admit(self, scope: Scope) -> None:
        """Raise a `Fault` where a request would not be looked at: for its headers, its sender or its token."""
        self._admit(scope)

    async def _answer(self, scope: Scope, receive: Receive) -> Answer:
        service = self._service
        self._admit(scope)
        version, partition_name, segments = self._split(scope["path"])
        route, uids, names = self._tree.find(version, scope["method"], segments)
        partition = self._default_partition
        if segments[0].lower() in WITHOUT_PARTITION:
            if partition_name:
                raise not_found(
                    f"{segments[0]} lies outside data partitions: leave partitions/{{name}} out of the path."
                )
        elif service.partitions:
            partition = await self._partition(partition_name, route)
        if route.handler is None:
            raise Fault(
                HTTPStatus.NOT_IMPLEMENTED,
                "NotBuilt",
                f"{route.method} {route.path} is part of the API, but this service does not have it yet.",
            )
        base = service.base_url or "http://{}:{}".format(*scope["server"])
        inner = f"/partitions/{partition_name}" if partition_name else ""
        call = Call(service, scope, receive, version, partition, uids, names, f"{base}/{version}", inner)
        return await route.handler(call)

    def _admit(self, scope: Scope) -> None:
        headers = scope["headers"]
        if sum(len(name) + len(value) for name, value in headers) > _MOST_HEADER_BYTES:
            raise Fault(
                HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE,
                "HeadersTooLarge",
                f"The headers are longer than {_MOST_HEADER_BYTES} bytes.",
            )
        check_sender(headers)
        self._service.admission.check(scope["method"], headers)

    def _split(self, path: str) -> tuple[ApiVersion, str, list[str]]:
        """Take a path apart into version, partition and the rest."""
        first, *segments = path.strip("/").split("/")
        version = _VERSIONS.get(first.lower())
        if version is None:
            raise not_found("There is no such route: paths start with /v1 or /v2.")
        if not segments or segments[0].lower() != "partitions":
            return version, "", segments
        if not self._service.partitions:
            raise bad_request("Data partitions are switched off; leave partitions/{name} out of the path.")
        return (version, segments[1], segments[2:]) if len(segments) > 1 else (version, "", segments)

    async def _partition(self, name: str, route: Route) -> int:
        if not _PARTITION_NAME.fullmatch(name):
            raise bad_request(
                "Data partitions are switched on: the path must name one, partitions/{name}, with 1 to 64 of"
                " A-Z, a-z, 0-9, '.', '-' and '_'."
            )
        service = self._service
        key = await service.offload.brief(service.index.partition, name)
        if key is None and route.makes_partition:
            key = await service.offload.lengthy(service.index.partition, name, create=True)
        if key is None:
            raise bad_request("There is no such data partition; storing into it makes it.")
        return key


def _log(scope: Scope, error: Exception) -> None:
    # Neither the query nor the error's own words: both may name a patient.
    place = "".join(traceback.format_tb(error.__traceback__))
    logger.error("%s failed with %s\n%s", scope["method"], type(error).__name__, place)


def _refusing(fault: Fault) -> Answer:
    return Answer(fault.status, fault.body(), {"Content-Type": "application/json"} | fault.headers)


def create_app(service: Service) -> ASGIApp:
    """Give the ASGI application of a service."""
    # Not within Starlette's own: its routing answers a path with a line break in it in its own way, with a bare 404.
    dispatcher = Dispatcher(service)
    if service.faults is None:
        return dispatcher
    from dicomframe.service.inject import Injector

    return Injector(dispatcher, service.faults, dispatcher.admit)
