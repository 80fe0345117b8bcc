"""Descriptions of the DICOMweb routes: store, retrieve, search, delete, work items, WADO-URI."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

from dicomframe.dicom.paths import Level
from dicomframe.service.attributes import LEVELS, MODALITIES_FILTER, SEARCHABLE
from dicomframe.service.negotiation import DICOM, DICOM_JSON, JSON, MULTIPART
from dicomframe.service.openapi.parts import (
    ACCEPTED,
    ASYNC,
    BYTES,
    RESULT_TYPES,
    UID,
    Object,
    Variant,
    answer,
    array_of,
    body,
    header,
    operation,
    paging,
    query,
    refusals,
    schema,
)

Describe = Callable[[Variant], Object]

_STUDY: Final = "studies/{}"
_SERIES: Final = "studies/{}/series/{}"
_INSTANCE: Final = "studies/{}/series/{}/instances/{}"
_RENDERED_TYPES: Final = ("image/jpeg", "image/png")
_OCTETS: Final = "application/octet-stream"
_ORIGINAL: Final = header(
    "msdicom-request-original",
    "true: the first version of what a bulk update has changed.",
    {"enum": ["true", "false"]},
)


_IF_NONE_MATCH: Final = header("If-None-Match", "An ETag of before.", {"type": "string"})


# -- store, retrieve, delete ------------------------------------------------------------------------------


def _store(name: str, where: str) -> Describe:
    def describe(_: Variant) -> Object:
        outcome = schema("DicomObject")
        return operation(
            name,
            "Store",
            f"Store instances{where}.",
            {
                "200": answer("All are stored.", RESULT_TYPES, outcome, "Warning"),
                "202": answer(
                    "Some are not stored, or some with warnings.", RESULT_TYPES, outcome, "Warning"
                ),
                "204": answer("There was nothing in the body."),
                "409": answer("None is stored.", RESULT_TYPES, outcome),
                **refusals(400, 406, 413, 415),
            },
            request=body((MULTIPART, DICOM), BYTES),
        )

    return describe


def _retrieve(level: Level) -> Describe:
    def describe(variant: Variant) -> Object:
        types = (MULTIPART, DICOM) if level == "instance" else (MULTIPART,)
        return operation(
            f"retrieve{level.title()}",
            "Retrieve",
            f"Retrieve the files of one {level}.",
            {
                "200": answer("The files.", types, BYTES, "ETag"),
                "304": answer("They are what If-None-Match names."),
                **refusals(400, 404, 406),
            },
            parameters=(_IF_NONE_MATCH, *_original(variant)),
        )

    return describe


def _metadata(level: Level) -> Describe:
    def describe(variant: Variant) -> Object:
        return operation(
            f"retrieve{level.title()}Metadata",
            "Retrieve",
            f"Retrieve the metadata of one {level}: attributes without bulk data.",
            {
                "200": answer("The metadata.", RESULT_TYPES, array_of(schema("DicomObject")), "ETag"),
                "304": answer("It is what If-None-Match names."),
                **refusals(400, 404, 406),
            },
            parameters=(_IF_NONE_MATCH, *_original(variant)),
        )

    return describe


def _original(variant: Variant) -> tuple[Object, ...]:
    return (_ORIGINAL,) if variant.version == "v2" else ()


def _delete(level: Level) -> Describe:
    def describe(_: Variant) -> Object:
        return operation(
            f"delete{level.title()}",
            "Delete",
            f"Delete one {level}.",
            {"204": answer("It is gone."), **ACCEPTED, **refusals(400, 404)},
            parameters=(ASYNC,),
        )

    return describe


# -- pixels and bulk data ---------------------------------------------------------------------------------


def _frames(_: Variant) -> Object:
    return operation(
        "retrieveFrames",
        "Retrieve",
        "Retrieve frames.",
        {
            "200": answer("The frames.", (MULTIPART, _OCTETS), BYTES),
            **refusals(400, 404, 406),
        },
    )


def _rendered(name: str, words: str) -> Describe:
    def describe(variant: Variant) -> Object:
        quality = {"type": "integer", "minimum": 1, "maximum": 100, "default": 100 if variant.strict else 90}
        parameters = [query("quality", "The quality of JPEG.", quality)]
        if not variant.strict:
            parameters += [
                query(
                    "window", "Centre and width, and perhaps a function: 40,400,linear.", {"type": "string"}
                ),
                query("viewport", "Columns and rows that it must fit in: 512,512.", {"type": "string"}),
            ]
        return operation(
            name,
            "Retrieve",
            words,
            {"200": answer("The picture.", _RENDERED_TYPES, BYTES), **refusals(400, 404, 406)},
            parameters=parameters,
        )

    return describe


def _bulkdata(_: Variant) -> Object:
    return operation(
        "retrieveBulkdata",
        "Retrieve",
        "Retrieve one attribute's bytes, as the BulkDataURI in metadata names them.",
        {
            "200": answer("The bytes.", (_OCTETS, MULTIPART), BYTES),
            **refusals(400, 404, 406),
        },
    )


def _wado(_: Variant) -> Object:
    return operation(
        "retrieveUri",
        "Retrieve",
        "Retrieve one instance as a file or a picture (WADO-URI).",
        {
            "200": answer("The file or picture.", (DICOM, *_RENDERED_TYPES), BYTES),
            **refusals(400, 404, 406),
        },
        parameters=(
            query("requestType", "WADO.", {"const": "WADO"}, required=True),
            query("studyUID", "Study Instance UID.", UID, required=True),
            query("seriesUID", "Series Instance UID.", UID, required=True),
            query("objectUID", "SOP Instance UID.", UID, required=True),
            query("contentType", "application/dicom, image/jpeg or image/png.", {"type": "string"}),
            query("transferSyntax", "In which the file is to be.", {"type": "string"}),
            query("frameNumber", "Which frame is to be drawn.", {"type": "integer", "minimum": 1}),
            query("rows", "The most rows of the picture.", {"type": "integer", "minimum": 1}),
            query("columns", "The most columns of the picture.", {"type": "integer", "minimum": 1}),
            query("windowCenter", "With windowWidth.", {"type": "number"}),
            query("windowWidth", "With windowCenter.", {"type": "number", "minimum": 1}),
            query("imageQuality", "The quality of JPEG.", {"type": "integer", "minimum": 1, "maximum": 100}),
        ),
    )


# -- search -----------------------------------------------------------------------------------------------

_RANGE: Final = {"DA": "^([0-9]{8}(-([0-9]{8})?)?|-[0-9]{8})$"}
_WORDS: Final = {
    "DA": "YYYYMMDD, or a range: a-b, a-, -b.",
    "TM": "HHMMSS, parts from the right left out, or a range: a-b, a-, -b.",
    "UI": "One UID.",
    "IS": "A whole number.",
}
_FUZZY: Final = query(
    "fuzzymatching", "Whether person names match by the beginnings of their words.", {"type": "boolean"}
)
_INCLUDE: Final = query(
    "includefield",
    "all, or keywords or tags with commas between them; it may be repeated.",
    {"type": "string", "minLength": 1},
)


def _search(name: str, level: Level, given: int = 0, where: str = "") -> Describe:
    """Describe a search of a level, with the UIDs of so many levels in the path."""

    def describe(variant: Variant) -> Object:
        plural = {"study": "studies", "series": "series", "instance": "instances"}[level]
        return operation(
            name,
            "Search",
            f"Search {plural}{where}. Extended query tags are filters, too.",
            {
                "200": answer(
                    "What was found, newest first.",
                    RESULT_TYPES,
                    array_of(schema("DicomObject")),
                    "erroneous-dicom-attributes",
                ),
                "204": answer("Nothing was found.", (), None, "erroneous-dicom-attributes"),
                **refusals(400, 406),
            },
            parameters=(
                *paging(200, 100),
                _FUZZY,
                _INCLUDE,
                *_filters(LEVELS[given : LEVELS.index(level) + 1], variant),
            ),
        )

    return describe


def _filters(levels: Sequence[Level], variant: Variant) -> list[Object]:
    return [
        query(
            attribute.keyword,
            _WORDS.get(attribute.vr, "" if variant.strict else "* and ? are wildcards."),
            _filter_schema(attribute.vr),
        )
        for attribute in (*SEARCHABLE, MODALITIES_FILTER)
        if attribute.level in levels and (attribute.is_core or not variant.strict)
    ]


def _filter_schema(vr: str) -> Object:
    if vr == "UI":
        return UID
    if vr == "IS":
        return {"type": "integer"}
    return {"type": "string", "pattern": _RANGE.get(vr, "^.*[^ ].*$")}


# -- work items -------------------------------------------------------------------------------------------

_WORKITEM: Final = array_of(schema("DicomObject")) | {"minItems": 1, "maxItems": 1}
_QUERY_UID: Final = "The UID is the query itself, without a name in front: ?1.2.3."


def _search_workitems(_: Variant) -> Object:
    names = (
        "PatientName",
        "PatientID",
        "ProcedureStepState",
        "StudyInstanceUID",
        "ScheduledProcedureStepStartDateTime",
        "ReferencedRequestSequence.AccessionNumber",
        "ReferencedRequestSequence.RequestedProcedureID",
        "ScheduledStationNameCodeSequence.CodeValue",
        "ScheduledStationClassCodeSequence.CodeValue",
        "ScheduledStationGeographicLocationCodeSequence.CodeValue",
    )
    return operation(
        "searchWorkitems",
        "Work items",
        "Search work items.",
        {
            "200": answer("What was found, newest first.", RESULT_TYPES, array_of(schema("DicomObject"))),
            "204": answer("Nothing was found."),
            **refusals(400, 406),
        },
        parameters=(
            *paging(200, 100),
            _FUZZY,
            _INCLUDE,
            *(query(name, "A filter.", {"type": "string", "minLength": 1}) for name in names),
        ),
    )


def _create_workitem(_: Variant) -> Object:
    return operation(
        "createWorkitem",
        "Work items",
        f"Make a work item. {_QUERY_UID}",
        {
            "201": answer("It is made.", (), None, "Location", "Content-Location"),
            **refusals(400, 406, 409, 413, 415),
        },
        request=body((DICOM_JSON, JSON), _WORKITEM),
    )


def _retrieve_workitem(_: Variant) -> Object:
    return operation(
        "retrieveWorkitem",
        "Work items",
        "Retrieve a work item, without its Transaction UID.",
        {"200": answer("The work item.", RESULT_TYPES, schema("DicomObject")), **refusals(400, 404, 406)},
    )


def _update_workitem(_: Variant) -> Object:
    return operation(
        "updateWorkitem",
        "Work items",
        f"Change attributes of a work item; its owner's Transaction UID goes with it. {_QUERY_UID}",
        {"200": answer("It is changed.", (), None, "Content-Location"), **refusals(400, 409, 413, 415)},
        request=body((DICOM_JSON, JSON), _WORKITEM),
    )


def _change_workitem_state(_: Variant) -> Object:
    return operation(
        "changeWorkitemState",
        "Work items",
        "Claim, complete or cancel a work item.",
        {
            "200": answer("It is so.", (DICOM_JSON,), {"type": "string"}, "Content-Location", "Warning"),
            **refusals(400, 404, 406, 409, 413, 415),
        },
        request=body((DICOM_JSON, JSON), _WORKITEM),
    )


def _cancel_workitem(_: Variant) -> Object:
    return operation(
        "requestCancellation",
        "Work items",
        "Ask for a work item to be canceled.",
        {
            "202": answer("It is canceled.", (DICOM_JSON,), {"type": "string"}),
            **refusals(400, 404, 409, 413, 415),
        },
        request=body((DICOM_JSON, JSON), _WORKITEM, required=False),
    )


DICOMWEB: Final[dict[tuple[str, str], Describe]] = {
    ("POST", "studies"): _store("storeInstances", ""),
    ("POST", _STUDY): _store("storeInstancesInStudy", " of one study"),
    ("GET", _STUDY): _retrieve("study"),
    ("GET", _SERIES): _retrieve("series"),
    ("GET", _INSTANCE): _retrieve("instance"),
    ("GET", f"{_STUDY}/metadata"): _metadata("study"),
    ("GET", f"{_SERIES}/metadata"): _metadata("series"),
    ("GET", f"{_INSTANCE}/metadata"): _metadata("instance"),
    ("GET", f"{_INSTANCE}/frames/{{}}"): _frames,
    ("GET", f"{_INSTANCE}/frames/{{}}/rendered"): _rendered(
        "renderFrame", "Retrieve a picture of one frame."
    ),
    ("GET", f"{_INSTANCE}/rendered"): _rendered("renderInstance", "Retrieve a picture of the first frame."),
    ("GET", f"{_INSTANCE}/thumbnail"): _rendered("retrieveThumbnail", "Retrieve a small picture."),
    ("GET", f"{_INSTANCE}/bulkdata/{{*}}"): _bulkdata,
    ("GET", "wado"): _wado,
    ("GET", "studies"): _search("searchStudies", "study"),
    ("GET", "series"): _search("searchSeries", "series"),
    ("GET", "instances"): _search("searchInstances", "instance"),
    ("GET", f"{_STUDY}/series"): _search("searchSeriesOfStudy", "series", 1, " of one study"),
    ("GET", f"{_STUDY}/instances"): _search("searchInstancesOfStudy", "instance", 1, " of one study"),
    ("GET", f"{_SERIES}/instances"): _search("searchInstancesOfSeries", "instance", 2, " of one series"),
    ("DELETE", _STUDY): _delete("study"),
    ("DELETE", _SERIES): _delete("series"),
    ("DELETE", _INSTANCE): _delete("instance"),
    ("GET", "workitems"): _search_workitems,
    ("POST", "workitems"): _create_workitem,
    ("GET", "workitems/{}"): _retrieve_workitem,
    ("POST", "workitems/{}"): _update_workitem,
    ("PUT", "workitems/{}/state"): _change_workitem_state,
    ("POST", "workitems/{}/cancelrequest"): _cancel_workitem,
}
