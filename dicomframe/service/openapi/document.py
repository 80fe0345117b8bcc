"""The whole description: every route of the table that has a handler, in the service's words."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable
from typing import Final

from dicomframe._version import __version__
from dicomframe.service.openapi.dicomweb import DICOMWEB
from dicomframe.service.openapi.managing import MANAGING
from dicomframe.service.openapi.parts import HEADERS, SCHEMAS, UID, Object, Variant, refusals, responses
from dicomframe.service.routing import Route

#: What describes a route, by its verb and path in the route table.
DESCRIPTIONS: Final = DICOMWEB | MANAGING

#: What only the user's reference has: a strict service answers 404 there, so it is not described.
EXTRAS: Final = frozenset(
    {
        ("GET", "studies/{}/series/{}/instances/{}/thumbnail"),
        ("GET", "studies/{}/series/{}/instances/{}/bulkdata/{*}"),
        ("GET", "wado"),
        ("POST", "extendedquerytags/{}/reindex"),
    }
)

#: How the segments of a path that are names are called, by the segment before them.
_NAMES: Final = {
    "studies": ("study", "Study Instance UID", UID),
    "series": ("series", "Series Instance UID", UID),
    "instances": ("instance", "SOP Instance UID", UID),
    "workitems": ("workitem", "the work item's UID", UID),
    "frames": (
        "frames",
        "frame numbers from 1, with commas between them",
        {"type": "string", "pattern": "^[1-9][0-9]{0,6}(,[1-9][0-9]{0,6})*$"},
    ),
    "frames rendered": ("frame", "a frame number from 1", {"type": "string", "pattern": "^[1-9][0-9]{0,6}$"}),
    "bulkdata": (
        "path",
        "where in the instance the bulk data is: a tag, or tags and item numbers with slashes between them",
        {"type": "string", "minLength": 1},
    ),
    "extendedquerytags": ("tag", "a keyword or eight hex digits", {"type": "string", "minLength": 1}),
    "operations": ("operation", "the operation's identifier", {"type": "string", "minLength": 1}),
    "partitions": (
        "partition",
        "the data partition",
        {"type": "string", "pattern": "^[A-Za-z0-9_.-]{1,64}$"},
    ),
}


def document(
    routes: Iterable[Route], without_partition: Collection[str], variant: Variant, root: str
) -> Object:
    """Describe a service.

    Parameters
    ----------
    routes : iterable of Route
        The route table; those without a handler are left out.
    without_partition : collection of str
        The first segments of the paths that lie outside partitions.
    variant : Variant
        As what it is described.
    root : str
        The URL that the paths stand behind.

    Returns
    -------
    dict
        An OpenAPI 3.1 document.
    """
    paths: Object = {}
    for route in routes:
        if route.handler is None or variant.version not in route.versions:
            continue
        if variant.strict and (route.method, route.path) in EXTRAS:
            continue
        outside = route.path.partition("/")[0] in without_partition
        path = route.path if outside or not variant.partitions else f"partitions/{{}}/{route.path}"
        template, parameters = _template(path)
        described = dict(DESCRIPTIONS[route.method, route.path](variant))
        described["parameters"] = [*parameters, *described.get("parameters", ())]
        if not described["parameters"]:
            del described["parameters"]
        if variant.partitions and not outside:
            described["responses"] = refusals(400) | described["responses"]
        if variant.token:
            also = refusals(401) if route.method == "GET" else refusals(401, 403)
            described["responses"] = described["responses"] | also
        paths.setdefault(template, {})[route.method.lower()] = described
    found: Object = {
        "openapi": "3.1.0",
        "info": {
            "title": "dicomframe local DICOM service",
            "version": variant.version,
            "summary": "DICOMweb, change feed, extended query tags and operations as Azure's DICOM service has them.",
            "description": f"dicomframe {__version__}. Letter case does not matter in paths, except in names.",
            "license": {"name": "MIT", "identifier": "MIT"},
        },
        "servers": [{"url": root}],
        "paths": paths,
        "components": {"schemas": SCHEMAS, "headers": HEADERS, "responses": responses()},
    }
    if variant.token:
        found["components"]["securitySchemes"] = {"token": {"type": "http", "scheme": "bearer"}}
        found["security"] = [{"token": []}]
    return found


def _template(path: str) -> tuple[str, list[Object]]:
    """Name the segments of a path that are names, and describe them."""
    segments = path.split("/")
    parameters: list[Object] = []
    for place, segment in enumerate(segments):
        if re.fullmatch(r"\{\*?\}", segment):
            # A list of frames can be retrieved, one frame rendered.
            before, *behind = segments[place - 1], *segments[place + 1 :]
            name, words, content = _NAMES.get(" ".join([before, *behind]), _NAMES[before])
            segments[place] = f"{{{name}}}"
            parameters.append(
                {"name": name, "in": "path", "description": words, "required": True, "schema": content}
            )
    return "/" + "/".join(segments), parameters
