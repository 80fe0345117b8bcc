"""From a path to a route: a tree of segments, without regard to letter case."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from http import HTTPStatus
from importlib import import_module
from typing import TYPE_CHECKING, NamedTuple

from dicomframe.service.attributes import API_VERSIONS, ApiVersion
from dicomframe.service.faults import Fault, bad_request, not_found
from dicomframe.service.validation import is_uid

if TYPE_CHECKING:
    from dicomframe.service.call import Answer, Call, Handler

_UID_NAMES = {"studies": "study", "series": "series", "instances": "SOP instance"}


@dataclass(frozen=True, slots=True)
class Route:
    """One verb and path; without a handler it answers 501.

    Parameters
    ----------
    method, path : str
        What it answers; ``{}`` stands for any one segment, which must be a UID where the segment before it is
        ``studies``, ``series`` or ``instances``. ``{*}`` at the end stands for one or more segments.
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


def later(name: str) -> Handler:
    """Give a handler whose module is loaded with its first request, so that a service starts without numpy.

    Parameters
    ----------
    name : str
        Module and function, ``"frames.frames"``.
    """
    module, _, function = name.partition(".")

    async def handler(call: Call) -> Answer:
        handle: Handler = getattr(import_module(f"dicomframe.service.{module}"), function)
        return await handle(call)

    return handler


@dataclass(slots=True)
class _Node:
    """One step into a path: what may follow, and what is answered here by version and method."""

    children: dict[str, _Node] = field(default_factory=dict)
    # Not among the children: a request may spell the wildcards out, too, and there they are names like any other.
    any_one: _Node | None = None
    rest: _Node | None = None
    routes: dict[tuple[str, str], Route] = field(default_factory=dict)

    def below(self, segment: str) -> _Node:
        """Give the node that a segment of a route leads to; make it if it is missing."""
        if segment == "{}":
            self.any_one = self.any_one or _Node()
            return self.any_one
        if segment == "{*}":
            self.rest = self.rest or _Node()
            return self.rest
        return self.children.setdefault(segment, _Node())


class Found(NamedTuple):
    """A path's route, the UIDs in the path from the study down, and the other names in it, in their order."""

    route: Route
    uids: tuple[str, ...]
    names: tuple[str, ...]


class RouteTree:
    """Routes by their segments.

    Parameters
    ----------
    routes : iterable of Route
        All there are.
    """

    def __init__(self, routes: Iterable[Route]) -> None:
        self._root = _Node()
        for route in routes:
            node = self._root
            for segment in route.path.split("/"):
                node = node.below(segment)
            for version in route.versions:
                node.routes[version, route.method] = route

    def find(self, version: ApiVersion, method: str, segments: Sequence[str]) -> Found:
        """Find the route of a path.

        Parameters
        ----------
        version : {"v1", "v2"}
            The path's version.
        method : str
            The request's verb.
        segments : sequence of str
            The path behind version and partition. Letter case matters in the names in it only.

        Raises
        ------
        Fault
            404 if there is none, 405 if it does not answer the verb, 400 if a UID is malformed.
        """
        node = self._root
        uids: list[str] = []
        names: list[str] = []
        before = ""
        for place, segment in enumerate(segments):
            lower = segment.lower()
            child = node.children.get(lower)
            if child is None and segment:
                if node.any_one is None and node.rest is not None:
                    names.append("/".join(segments[place:]))
                    node = node.rest
                    break
                child = node.any_one
                if before in _UID_NAMES:
                    uids.append(_checked(segment, before))
                else:
                    names.append(segment)
            if child is None:
                raise not_found("There is no such route.")
            node, before = child, lower
        known = node.routes
        route = known.get((version, method))
        if route is not None:
            return Found(route, tuple(uids), tuple(names))
        methods = sorted(known_method for known_version, known_method in known if known_version == version)
        if not methods:
            raise not_found("There is no such route.")
        raise Fault(
            HTTPStatus.METHOD_NOT_ALLOWED,
            "MethodNotAllowed",
            f"This route answers {', '.join(methods)}, not {method[:20]}.",
            headers={"Allow": ", ".join(methods)},
        )


def _checked(uid: str, collection: str) -> str:
    if not is_uid(uid):
        raise bad_request(
            f"The {_UID_NAMES[collection]} UID in the path is malformed: 1 to 64 digits and dots are accepted, with"
            " a digit at the end.",
            "InvalidUid",
        )
    return uid
