"""The route table and the ASGI application, nothing else."""

from __future__ import annotations

import logging
import re
import secrets
import traceback
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import TYPE_CHECKING, Final, get_args

from starlette.requests import ClientDisconnect

from dicomframe.service import delete, retrieve, search, store
from dicomframe.service.attributes import API_VERSIONS, ApiVersion
from dicomframe.service.call import Answer, Call, Handler
from dicomframe.service.faults import Fault, bad_request, not_found
from dicomframe.service.service import DEFAULT_PARTITION
from dicomframe.service.validation import is_uid

if TYPE_CHECKING:
    from starlette.types import Receive, Scope, Send

    from dicomframe.service.service import Service

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Route:
    """One verb and path; without a handler it answers 501.

    Parameters
    ----------
    method, path : str
        What it answers; ``{}`` stands for any one segment, which must be a UID where the segment before it is
        ``studies``, ``series`` or ``instances``.
    handler : callable, optional
        What answers it.
    versions : tuple of str
        The API versions that have it.
    makes_partition : bool
        Whether it makes the partition that it names.
    """

    method: str
    path: str
    handler: Handler | None = None
    versions: tuple[ApiVersion, ...] = API_VERSIONS
    makes_partition: bool = False


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
    Route("GET", "studies", search.studies),
    Route("GET", "series", search.series),
    Route("GET", "instances", search.instances),
    Route("GET", f"{_STUDY}/series", search.series),
    Route("GET", f"{_STUDY}/instances", search.instances),
    Route("GET", f"{_SERIES}/instances", search.instances),
    Route("DELETE", _STUDY, delete.delete),
    Route("DELETE", _SERIES, delete.delete),
    Route("DELETE", _INSTANCE, delete.delete),
    # Not built yet.
    Route("GET", f"{_INSTANCE}/frames/{{}}"),
    Route("GET", f"{_INSTANCE}/frames/{{}}/rendered"),
    Route("GET", f"{_INSTANCE}/rendered"),
    Route("GET", f"{_INSTANCE}/thumbnail"),
    Route("GET", f"{_INSTANCE}/bulkdata/{{}}"),
    Route("GET", "changefeed"),
    Route("GET", "changefeed/latest"),
    Route("GET", "extendedquerytags"),
    Route("POST", "extendedquerytags"),
    Route("GET", "extendedquerytags/{}"),
    Route("PATCH", "extendedquerytags/{}"),
    Route("DELETE", "extendedquerytags/{}"),
    Route("GET", "extendedquerytags/{}/errors"),
    Route("POST", "extendedquerytags/{}/reindex"),
    Route("GET", "operations/{}"),
    Route("POST", "studies/$bulkupdate", versions=("v2",)),
    Route("POST", "export"),
    Route("GET", "partitions"),
    Route("GET", "workitems"),
    Route("POST", "workitems"),
    Route("GET", "workitems/{}"),
    Route("POST", "workitems/{}"),
    Route("PUT", "workitems/{}/state"),
    Route("POST", "workitems/{}/cancelrequest"),
    Route("GET", "wado"),
    Route("GET", "api.yaml"),
)

#: Routes that lie outside partitions.
_WITHOUT_PARTITION: Final = {
    "changefeed",
    "extendedquerytags",
    "operations",
    "export",
    "partitions",
    "api.yaml",
}
_PARTITION_NAME: Final = re.compile(r"[A-Za-z0-9_.\-]{1,64}")
_UID_NAMES: Final = {"studies": "study", "series": "series", "instances": "SOP instance"}
_MOST_HEADER_BYTES: Final = 64 * 1024


@dataclass(slots=True)
class _Node:
    """One step into a path: what may follow, and what is answered here by version and method."""

    children: dict[str, _Node] = field(default_factory=dict)
    routes: dict[tuple[str, str], Route] = field(default_factory=dict)


def _tree() -> _Node:
    root = _Node()
    for route in ROUTES:
        node = root
        for segment in route.path.split("/"):
            node = node.children.setdefault(segment, _Node())
        for version in route.versions:
            node.routes[version, route.method] = route
    return root


class App:
    """The ASGI application of one service.

    Parameters
    ----------
    service : Service
        What it serves.
    """

    def __init__(self, service: Service) -> None:
        self._service = service
        self._tree = _tree()
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
            # Neither the query nor the error's own words: both may name a patient.
            place = "".join(traceback.format_tb(error.__traceback__))
            logger.error("%s failed with %s\n%s", scope["method"], type(error).__name__, place)  # noqa: TRY400
            answer = _refusing(
                Fault(HTTPStatus.INTERNAL_SERVER_ERROR, "InternalError", "The service failed; see its log.")
            )
        await answer.send(send)

    async def _answer(self, scope: Scope, receive: Receive) -> Answer:
        service = self._service
        self._admit(scope)
        version, partition_name, segments = self._split(scope["path"])
        route, uids = self._find(version, scope["method"], segments)
        partition = self._default_partition
        if service.partitions and segments[0].lower() not in _WITHOUT_PARTITION:
            partition = await self._partition(partition_name, route)
        if route.handler is None:
            raise Fault(
                HTTPStatus.NOT_IMPLEMENTED,
                "NotBuilt",
                f"{route.method} {route.path} is part of the API, but this service does not have it yet.",
            )
        base = service.base_url or "http://{}:{}".format(*scope["server"])
        inner = f"/partitions/{partition_name}" if partition_name else ""
        call = Call(service, scope, receive, version, partition, uids, f"{base}/{version}{inner}")
        answer = await route.handler(call)
        headers = {"api-supported-versions": ", ".join(API_VERSIONS), **(answer.headers or {})}
        return Answer(answer.status, answer.body, headers)

    def _admit(self, scope: Scope) -> None:
        headers = scope["headers"]
        if sum(len(name) + len(value) for name, value in headers) > _MOST_HEADER_BYTES:
            raise Fault(
                HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE,
                "HeadersTooLarge",
                f"The headers are longer than {_MOST_HEADER_BYTES} bytes.",
            )
        if self._service.token is None:
            return
        given = next((value for name, value in headers if name == b"authorization"), b"")
        scheme, _, token = given.partition(b" ")
        if scheme.lower() != b"bearer" or not secrets.compare_digest(
            token.strip(), self._service.token.encode()
        ):
            raise Fault(
                HTTPStatus.UNAUTHORIZED,
                "Unauthorized",
                "The request has no valid token: send the header 'Authorization: Bearer <token>'.",
                headers={"WWW-Authenticate": "Bearer"},
            )

    def _split(self, path: str) -> tuple[ApiVersion, str, list[str]]:
        """Take a path apart into version, partition and the rest."""
        first, *segments = path.strip("/").split("/")
        version = next((known for known in get_args(ApiVersion) if known == first.lower()), None)
        if version is None:
            raise not_found("There is no such route: paths start with /v1 or /v2.")
        if len(segments) < 2 or segments[0].lower() != "partitions":
            return version, "", segments
        if not self._service.partitions:
            raise bad_request("Data partitions are switched off; leave partitions/{name} out of the path.")
        return version, segments[1], segments[2:]

    def _find(self, version: ApiVersion, method: str, segments: list[str]) -> tuple[Route, tuple[str, ...]]:
        """Find the route of a path; letter case does not matter, but in what the path names."""
        node: _Node | None = self._tree
        uids: list[str] = []
        before = ""
        for segment in segments:
            assert node is not None  # noqa: S101 - for mypy: the loop ends where there is none
            lower = segment.lower()
            following = node.children.get(lower)
            if following is None and segment:
                following = node.children.get("{}")
                if following is not None and before in _UID_NAMES:
                    uids.append(_checked(segment, before))
            node, before = following, lower
            if node is None:
                break
        known = {} if node is None else node.routes
        route = known.get((version, method))
        if route is not None:
            return route, tuple(uids)
        methods = sorted(method for of_version, method in known if of_version == version)
        if not methods:
            raise not_found("There is no such route.")
        raise Fault(
            HTTPStatus.METHOD_NOT_ALLOWED,
            "MethodNotAllowed",
            f"This route answers {', '.join(methods)}, not {method[:20]}.",
            headers={"Allow": ", ".join(methods)},
        )

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


def _refusing(fault: Fault) -> Answer:
    return Answer(fault.status, fault.body(), {"Content-Type": "application/json"} | fault.headers)


def _checked(uid: str, collection: str) -> str:
    if not is_uid(uid):
        raise bad_request(
            f"The {_UID_NAMES[collection]} UID in the path is malformed: 1 to 64 digits and dots are accepted, with"
            " a digit at the end.",
            "InvalidUid",
        )
    return uid


def create_app(service: Service) -> App:
    """Give the ASGI application of a service."""
    return App(service)
