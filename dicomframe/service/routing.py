"""From a path to a route: a tree of segments, without regard to letter case."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from http import HTTPStatus

from dicomframe.service.attributes import API_VERSIONS, ApiVersion
from dicomframe.service.call import Handler
from dicomframe.service.faults import Fault, bad_request, not_found
from dicomframe.service.validation import is_uid

_UID_NAMES = {"studies": "study", "series": "series", "instances": "SOP instance"}


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


@dataclass(slots=True)
class _Node:
    """One step into a path: what may follow, and what is answered here by version and method."""

    children: dict[str, _Node] = field(default_factory=dict)
    routes: dict[tuple[str, str], Route] = field(default_factory=dict)


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
                node = node.children.setdefault(segment, _Node())
            for version in route.versions:
                node.routes[version, route.method] = route

    def find(
        self, version: ApiVersion, method: str, segments: Iterable[str]
    ) -> tuple[Route, tuple[str, ...]]:
        """Find the route of a path; give it and the UIDs in the path.

        Parameters
        ----------
        version : {"v1", "v2"}
            The path's version.
        method : str
            The request's verb.
        segments : iterable of str
            The path behind version and partition. Letter case matters in the names in it only.

        Raises
        ------
        Fault
            404 if there is none, 405 if it does not answer the verb, 400 if a UID is malformed.
        """
        node: _Node | None = self._root
        uids: list[str] = []
        before = ""
        for segment in segments:
            lower = segment.lower()
            node, is_name = _step(node, lower) if segment else (None, False)
            if node is None:
                raise not_found("There is no such route.")
            if is_name and before in _UID_NAMES:
                uids.append(_checked(segment, before))
            before = lower
        known = node.routes if node is not None else {}
        route = known.get((version, method))
        if route is not None:
            return route, tuple(uids)
        methods = sorted(known_method for known_version, known_method in known if known_version == version)
        if not methods:
            raise not_found("There is no such route.")
        raise Fault(
            HTTPStatus.METHOD_NOT_ALLOWED,
            "MethodNotAllowed",
            f"This route answers {', '.join(methods)}, not {method[:20]}.",
            headers={"Allow": ", ".join(methods)},
        )


def _step(node: _Node | None, lower: str) -> tuple[_Node | None, bool]:
    """Go one segment on; tell whether it is a name of the request's, not of the API's."""
    if node is None:
        return None, False
    following = node.children.get(lower)
    return (following, False) if following is not None else (node.children.get("{}"), True)


def _checked(uid: str, collection: str) -> str:
    if not is_uid(uid):
        raise bad_request(
            f"The {_UID_NAMES[collection]} UID in the path is malformed: 1 to 64 digits and dots are accepted, with"
            " a digit at the end.",
            "InvalidUid",
        )
    return uid
