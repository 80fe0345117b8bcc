"""What the descriptions of routes are put together from: parameters, bodies, answers, schemas."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from dicomframe.service.attributes import ApiVersion
from dicomframe.service.negotiation import DICOM_JSON, JSON

Object = dict[str, Any]

#: The media types of results in DICOM JSON.
RESULT_TYPES: Final = (DICOM_JSON, JSON)
UID: Final[Object] = {"type": "string", "pattern": "^[0-9.]{0,63}[0-9]$"}
#: Bytes that JSON Schema has nothing to say of.
BYTES: Final[Object] = {}


@dataclass(frozen=True, slots=True)
class Variant:
    """As what a service is described.

    Parameters
    ----------
    version : {"v1", "v2"}
        The API version.
    strict, partitions, token : bool
        Its settings: whether it refuses the reference's extras, has data partitions, demands a token.
    """

    version: ApiVersion
    strict: bool = False
    partitions: bool = False
    token: bool = False


def schema(name: str) -> Object:
    """Refer to a schema of the components."""
    return {"$ref": f"#/components/schemas/{name}"}


def array_of(items: Object) -> Object:
    """Give the schema of an array."""
    return {"type": "array", "items": items}


def answer(words: str, types: Iterable[str] = (), content: Object | None = None, *headers: str) -> Object:
    """Describe an answer: what it means, its media types and their schema, and the names of its headers."""
    named = ("api-supported-versions", *headers)
    found: Object = {
        "description": words,
        "headers": {name: {"$ref": f"#/components/headers/{name}"} for name in named},
    }
    media = {each: {"schema": content} if content else {} for each in types}
    return found | ({"content": media} if media else {})


def refusals(*statuses: int) -> dict[str, Object]:
    """Give the answers that say no, by status."""
    return {str(status): {"$ref": f"#/components/responses/{status}"} for status in statuses}


def query(name: str, words: str, content: Object, *, required: bool = False) -> Object:
    """Describe a query parameter."""
    return {"name": name, "in": "query", "description": words, "required": required, "schema": content}


def header(name: str, words: str, content: Object) -> Object:
    """Describe a request header."""
    return {"name": name, "in": "header", "description": words, "required": False, "schema": content}


def paging(most: int, default: int) -> tuple[Object, Object]:
    """Describe limit and offset."""
    return (
        query(
            "limit", "The most rows.", {"type": "integer", "minimum": 1, "maximum": most, "default": default}
        ),
        query("offset", "How many rows to pass over.", OFFSET),
    )


OFFSET: Final[Object] = {"type": "integer", "minimum": 0, "maximum": 2**31 - 1, "default": 0}
ASYNC: Final = header("Prefer", "respond-async asks for an operation: 202.", {"type": "string"})


def body(types: Iterable[str], content: Object, *, required: bool = True) -> Object:
    """Describe a request body."""
    return {
        "required": required,
        "content": {each: {"schema": content} if content else {} for each in types},
    }


def operation(
    name: str,
    tag: str,
    summary: str,
    answers: Mapping[str, Object],
    *,
    parameters: Iterable[Object] = (),
    request: Object | None = None,
) -> Object:
    """Describe a route; the parameters of its path come from the path itself."""
    found: Object = {"operationId": name, "tags": [tag], "summary": summary}
    listed = list(parameters)
    if listed:
        found["parameters"] = listed
    if request is not None:
        found["requestBody"] = request
    return found | {"responses": dict(answers)}


#: An operation was begun.
ACCEPTED: Final = {
    "202": answer("An operation was begun.", [JSON], schema("Link"), "Location", "Operation-Location")
}

HEADERS: Final[Object] = {
    "api-supported-versions": {
        "description": "The versions of the API.",
        "required": True,
        "schema": {"type": "string"},
    },
    "Location": {"description": "Where to ask next.", "schema": {"type": "string"}},
    "Operation-Location": {"description": "Where the operation is.", "schema": {"type": "string"}},
    "Content-Location": {"description": "Where the work item is.", "schema": {"type": "string"}},
    "ETag": {"description": "Changes with the metadata; not quoted.", "schema": {"type": "string"}},
    "Warning": {"description": "What was done otherwise, or not.", "schema": {"type": "string"}},
    "erroneous-dicom-attributes": {
        "description": "The extended query tags searched by whose indexing had errors.",
        "schema": {"type": "string"},
    },
    "WWW-Authenticate": {"description": "The challenge.", "required": True, "schema": {"type": "string"}},
}

_REFUSALS: Final = {
    400: "The request is not understood; the message says what is accepted.",
    401: "The request has no valid token.",
    403: "The token may only read.",
    404: "There is no such thing.",
    406: "It cannot be sent in a form that the Accept header allows.",
    409: "It exists already, or the state of things does not allow it.",
    413: "The body is too large.",
    415: "The body is of a media type that is not accepted.",
    424: "What it depends on failed.",
}


def responses() -> Object:
    """Give the answers that say no, for the components."""
    found = {str(status): answer(words, [JSON], schema("Error")) for status, words in _REFUSALS.items()}
    found["401"]["headers"]["WWW-Authenticate"] = {"$ref": "#/components/headers/WWW-Authenticate"}
    return found


_TEXT: Final[Object] = {"type": "string"}
_COUNT: Final[Object] = {"type": "integer", "minimum": 0}
_MOMENT: Final[Object] = {"type": "string", "format": "date-time"}


def _object(properties: Object, *required: str, closed: bool = False) -> Object:
    found: Object = {"type": "object", "properties": properties}
    if required:
        found["required"] = list(required)
    return found | ({"additionalProperties": False} if closed else {})


SCHEMAS: Final[Object] = {
    "Attribute": _object(
        {
            "vr": {"type": "string", "pattern": "^[A-Z]{2}$"},
            "Value": {"type": ["array", "null"]},
            "InlineBinary": _TEXT,
            "BulkDataURI": _TEXT,
        },
        "vr",
    ),
    "DicomObject": {
        "description": "A DICOM JSON object (PS3.18 annex F): attributes by tag.",
        "type": "object",
        "patternProperties": {"^[0-9A-F]{8}$": {"$ref": "#/components/schemas/Attribute"}},
        "additionalProperties": False,
    },
    "Error": _object(
        {
            "error": _object(
                {
                    "code": _TEXT,
                    "message": _TEXT,
                    "details": array_of(_object({"code": _TEXT, "message": _TEXT}, "code", "message")),
                },
                "code",
                "message",
                "details",
            )
        },
        "error",
    ),
    "Link": _object({"id": _TEXT, "href": _TEXT}, "id", "href"),
    "Operation": _object(
        {
            "operationId": _TEXT,
            "type": _TEXT,
            "createdTime": _MOMENT,
            "lastUpdatedTime": _MOMENT,
            "status": {"enum": ["notStarted", "running", "succeeded", "completed", "failed", "canceled"]},
            "percentComplete": {"type": "integer", "minimum": 0, "maximum": 100},
            "resources": array_of(_TEXT),
            "results": {"type": "object"},
        },
        "operationId",
        "type",
        "status",
    ),
    "Change": _object(
        {
            "sequence": {"type": "integer", "minimum": 1},
            "partitionName": _TEXT,
            "studyInstanceUid": UID,
            "seriesInstanceUid": UID,
            "sopInstanceUid": UID,
            "action": {"enum": ["Create", "Update", "Delete"]},
            "timestamp": _MOMENT,
            "state": {"enum": ["Current", "Replaced", "Deleted"]},
            "filePath": _TEXT,
            "metadata": schema("DicomObject"),
        },
        "sequence",
        "studyInstanceUid",
        "seriesInstanceUid",
        "sopInstanceUid",
        "action",
        "timestamp",
        "state",
    ),
    "QueryTag": _object(
        {
            "path": {"type": "string", "pattern": "^[0-9A-F]{8}$"},
            "vr": {"type": "string", "pattern": "^[A-Z]{2}$"},
            "privateCreator": _TEXT,
            "level": {"enum": ["Study", "Series", "Instance"]},
            "status": {"enum": ["Adding", "Ready", "Deleting"]},
            "queryStatus": {"enum": ["Enabled", "Disabled"]},
            "errors": _object({"count": _COUNT, "href": _TEXT}, "count", "href"),
            "operation": schema("Link"),
        },
        "path",
        "vr",
        "level",
        "status",
        "queryStatus",
    ),
    "NewQueryTag": _object(
        {
            "path": {"type": "string", "description": "A keyword or eight hex digits."},
            "vr": {"enum": "AE AS CS DA DS DT FD FL IS LO PN SH SL SS TM UI UL US".split()},
            "privateCreator": _TEXT,
            "level": {"enum": ["Study", "Series", "Instance"]},
        },
        "path",
        "level",
        closed=True,
    ),
    "QueryTagError": _object(
        {
            "studyInstanceUid": UID,
            "seriesInstanceUid": UID,
            "sopInstanceUid": UID,
            "createdTime": _MOMENT,
            "errorMessage": _TEXT,
            "partitionName": _TEXT,
        },
        "sopInstanceUid",
        "errorMessage",
    ),
    "Update": _object(
        {
            "studyInstanceUids": array_of(UID) | {"minItems": 1, "maxItems": 50},
            "changeDataset": schema("DicomObject"),
        },
        "studyInstanceUids",
        "changeDataset",
        closed=True,
    ),
    "Export": _object(
        {
            "source": _object(
                {
                    "type": {"const": "identifiers"},
                    "settings": _object({"values": array_of(_TEXT) | {"minItems": 1}}, "values"),
                },
                "type",
                "settings",
            ),
            "destination": _object({"type": _TEXT, "settings": {"type": "object"}}, "type", "settings"),
        },
        "destination",
        closed=True,
    ),
    "Partition": _object(
        {"partitionKey": {"type": "integer"}, "partitionName": _TEXT, "createdDate": _MOMENT}, "partitionName"
    ),
}
