"""Descriptions of the service's own routes: feed, extended query tags, operations, bulk update, export, partitions."""

from __future__ import annotations

from typing import Final

from dicomframe.service.negotiation import DICOM_JSON, JSON
from dicomframe.service.openapi.dicomweb import Describe
from dicomframe.service.openapi.parts import (
    ACCEPTED,
    ASYNC,
    Object,
    Variant,
    answer,
    array_of,
    body,
    operation,
    paging,
    query,
    refusals,
    schema,
)

_MOMENT: Final = "^[0-9]{4}-[01][0-9]-[0-3][0-9]T[0-2][0-9]:[0-5][0-9]:[0-5][0-9]Z$"
_METADATA: Final = query(
    "includemetadata", "Whether entries carry metadata.", {"type": "boolean", "default": True}
)
_BUSY: Final = {
    "409": {
        "description": "It exists already, or another reindexing is running: Location tells where.",
        "headers": answer("", (), None, "Location")["headers"],
        "content": {JSON: {"schema": schema("Error")}, "text/plain": {"schema": {"type": "string"}}},
    }
}


def _changes(variant: Variant) -> Object:
    v1 = variant.version == "v1"
    window = [
        query(name, words, {"type": "string", "pattern": _MOMENT})
        for name, words in (
            ("startTime", "The first moment, with its time zone."),
            ("endTime", "The moment before which it ends, with its time zone."),
        )
    ]
    limit, offset = paging(*((100, 10) if v1 else (200, 100)))
    if v1:
        limit = limit | {"description": "A span of sequence numbers: gaps make the page shorter."}
        offset = offset | {"description": "The last sequence number that was seen."}
    return operation(
        "readChangeFeed",
        "Change feed",
        "Read changes: by sequence number." if v1 else "Read changes: those of a window of time.",
        {
            "200": answer("The changes; none is an empty array.", [JSON], array_of(schema("Change"))),
            **refusals(400),
        },
        parameters=([] if v1 else window) + [limit, offset, _METADATA],
    )


def _latest(_: Variant) -> Object:
    return operation(
        "readLatestChange",
        "Change feed",
        "Read the change with the highest sequence number.",
        {
            "200": answer("The change.", [JSON], schema("Change")),
            "204": answer("Nothing has changed yet."),
            **refusals(400),
        },
        parameters=[_METADATA],
    )


def _tags(_: Variant) -> Object:
    return operation(
        "listQueryTags",
        "Extended query tags",
        "List the tags that were made searchable.",
        {"200": answer("The tags, oldest first.", [JSON], array_of(schema("QueryTag"))), **refusals(400)},
        parameters=paging(200, 100),
    )


def _add_tags(variant: Variant) -> Object:
    listed = array_of(schema("NewQueryTag")) | {"minItems": 1, "maxItems": 128}
    content = listed if variant.strict else {"oneOf": [listed, schema("NewQueryTag")]}
    return operation(
        "addQueryTags",
        "Extended query tags",
        "Make attributes searchable, and index what is stored by them.",
        {**ACCEPTED, **refusals(400, 413, 415), **_BUSY},
        request=body([JSON], content),
    )


def _tag(_: Variant) -> Object:
    return operation(
        "retrieveQueryTag",
        "Extended query tags",
        "Tell about one tag.",
        {"200": answer("The tag.", [JSON], schema("QueryTag")), **refusals(400, 404)},
    )


def _change_tag(_: Variant) -> Object:
    content: Object = {
        "type": "object",
        "properties": {"queryStatus": {"enum": ["Enabled", "Disabled"]}},
        "required": ["queryStatus"],
        "additionalProperties": False,
    }
    return operation(
        "updateQueryTag",
        "Extended query tags",
        "Let a tag be searched, or not.",
        {"200": answer("The tag as it is now.", [JSON], schema("QueryTag")), **refusals(400, 404, 413, 415)},
        request=body([JSON], content),
    )


def _delete_tag(_: Variant) -> Object:
    return operation(
        "deleteQueryTag",
        "Extended query tags",
        "Take a tag and its values away.",
        {"204": answer("It is gone."), **ACCEPTED, **refusals(400, 404)},
        parameters=[ASYNC],
    )


def _tag_errors(_: Variant) -> Object:
    return operation(
        "listQueryTagErrors",
        "Extended query tags",
        "List the instances that a tag could not index, and why.",
        {"200": answer("The errors.", [JSON], array_of(schema("QueryTagError"))), **refusals(400, 404)},
        parameters=paging(200, 100),
    )


def _reindex(_: Variant) -> Object:
    return operation(
        "reindexQueryTag",
        "Extended query tags",
        "Index all instances by one tag once more.",
        {**ACCEPTED, **refusals(400, 404), **_BUSY},
    )


def _operation(_: Variant) -> Object:
    return operation(
        "retrieveOperation",
        "Operations",
        "Tell how an operation stands.",
        {
            "200": answer("It has ended.", [JSON], schema("Operation")),
            "202": answer("It has not ended yet.", [JSON], schema("Operation"), "Location"),
            **refusals(404),
        },
    )


def _bulk_update(_: Variant) -> Object:
    found = operation(
        "updateStudies",
        "Update",
        "Change patient attributes in whole studies.",
        {**ACCEPTED, **refusals(409, 413, 415)},
        request=body([JSON], schema("Update")),
    )
    found["responses"]["400"] = {
        "description": "The request is not understood, or attributes cannot be updated so.",
        "headers": answer("")["headers"],
        "content": {JSON: {"schema": schema("Error")}, DICOM_JSON: {"schema": schema("DicomObject")}},
    }
    return found


def _export(_: Variant) -> Object:
    return operation(
        "exportInstances",
        "Export",
        "Write files to a blob container or a folder.",
        {**ACCEPTED, **refusals(400, 413)},
        request=body([JSON], schema("Export")),
    )


def _partitions(_: Variant) -> Object:
    return operation(
        "listPartitions",
        "Partitions",
        "List the data partitions; 400 where they are switched off.",
        {
            "200": answer("The partitions.", [JSON], array_of(schema("Partition"))),
            "204": answer("There is none."),
            **refusals(400),
        },
    )


def _api(_: Variant) -> Object:
    return operation(
        "describeApi",
        "Description",
        "Give this description.",
        {"200": answer("OpenAPI 3.1.", ["application/yaml"], {"type": "object"})},
    )


MANAGING: Final[dict[tuple[str, str], Describe]] = {
    ("GET", "changefeed"): _changes,
    ("GET", "changefeed/latest"): _latest,
    ("GET", "extendedquerytags"): _tags,
    ("POST", "extendedquerytags"): _add_tags,
    ("GET", "extendedquerytags/{}"): _tag,
    ("PATCH", "extendedquerytags/{}"): _change_tag,
    ("DELETE", "extendedquerytags/{}"): _delete_tag,
    ("GET", "extendedquerytags/{}/errors"): _tag_errors,
    ("POST", "extendedquerytags/{}/reindex"): _reindex,
    ("GET", "operations/{}"): _operation,
    ("POST", "studies/$bulkupdate"): _bulk_update,
    ("POST", "export"): _export,
    ("GET", "partitions"): _partitions,
    ("GET", "api.yaml"): _api,
}
