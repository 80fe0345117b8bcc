"""Work items over HTTP, fact by fact (azure-dicom-behaviour.md 53 to 56, PS3.18 section 11, PS3.4 annex CC)."""

from __future__ import annotations

import json

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, invariant, rule
from pydicom.datadict import dictionary_VR, tag_for_keyword

from dicomframe.service.datetimes import interval_of
from dicomframe.service.service import Service

JSON = "application/dicom+json"


def tag(keyword):
    return f"{tag_for_keyword(keyword):08X}"


def data_set(**attributes):
    """DICOM JSON from keywords, written for these tests alone; None or an empty list leaves an attribute empty."""
    written = {}
    for keyword, value in attributes.items():
        vr = dictionary_VR(tag_for_keyword(keyword))
        values = value if isinstance(value, list) else [] if value is None else [value]
        if vr == "PN":
            values = [{"Alphabetic": name} for name in values]
        written[tag(keyword)] = {"vr": vr, "Value": values} if values else {"vr": vr}
    return written


def code(value, meaning="Meaning"):
    return data_set(CodeValue=value, CodingSchemeDesignator="99X", CodeMeaning=meaning)


def request_item(accession="A1", procedure="P1"):
    return data_set(
        StudyInstanceUID="1.2.9", AccessionNumber=accession, IssuerOfAccessionNumberSequence=None,
        OrderPlacerIdentifierSequence=None, OrderFillerIdentifierSequence=None, RequestedProcedureID=procedure,
        RequestedProcedureDescription=None, RequestedProcedureCodeSequence=None,
    )  # fmt: skip


def workitem(**changes):
    given = {
        "TransactionUID": None,
        "ScheduledProcedureStepPriority": "MEDIUM",
        "ProcedureStepLabel": "Read chest CT",
        "WorklistLabel": "Chest",
        "ScheduledProcessingParametersSequence": None,
        "ScheduledStationNameCodeSequence": [code("CT1")],
        "ScheduledStationClassCodeSequence": None,
        "ScheduledStationGeographicLocationCodeSequence": None,
        "ScheduledProcedureStepStartDateTime": "20240115103000",
        "ScheduledWorkitemCodeSequence": None,
        "CommentsOnTheScheduledProcedureStep": None,
        "InputReadinessState": "READY",
        "InputInformationSequence": None,
        "StudyInstanceUID": "1.2.9",
        "PatientName": "Müller^Anna",
        "PatientID": "PAT001",
        "IssuerOfPatientID": None,
        "IssuerOfPatientIDQualifiersSequence": None,
        "OtherPatientIDsSequence": None,
        "PatientBirthDate": None,
        "PatientSex": None,
        "AdmissionID": None,
        "IssuerOfAdmissionIDSequence": None,
        "AdmittingDiagnosesDescription": None,
        "AdmittingDiagnosesCodeSequence": None,
        "ReferencedRequestSequence": [request_item()],
        "ProcedureStepState": "SCHEDULED",
        "ProcedureStepProgressInformationSequence": None,
        "UnifiedProcedureStepPerformedProcedureSequence": None,
    } | changes
    return data_set(**{keyword: value for keyword, value in given.items() if value != "left out"})


PERFORMED = data_set(
    UnifiedProcedureStepPerformedProcedureSequence=[
        data_set(
            PerformedStationNameCodeSequence=[code("CT1")],
            PerformedProcedureStepStartDateTime="20240115103100",
            PerformedWorkitemCodeSequence=[code("READ")],
            PerformedProcedureStepEndDateTime="20240115104500",
            OutputInformationSequence=[
                data_set(
                    TypeOfInstances="DICOM",
                    StudyInstanceUID="1.2.9",
                    SeriesInstanceUID="1.2.9.1",
                    ReferencedSOPSequence=[
                        data_set(ReferencedSOPClassUID="1.2.840.10008.5.1.4.1.1.88.11", ReferencedSOPInstanceUID="1.9")
                    ],
                )
            ],
        )
    ]
)  # fmt: skip
CANCELED = data_set(
    ProcedureStepProgressInformationSequence=[
        data_set(
            ProcedureStepCancellationDateTime="20240115104000",
            ProcedureStepDiscontinuationReasonCodeSequence=[code("110513")],
        )
    ]
)


def send(http, method, path, body, content_type=JSON, **headers):
    content = body if isinstance(body, bytes) else json.dumps([body]).encode()
    return http(method, path, {"Content-Type": content_type, **headers}, content)


def create(http, uid="1.2.3", **changes):
    return send(http, "POST", f"workitems?{uid}", workitem(**changes))


def change_state(http, state, transaction="9.9", uid="1.2.3"):
    return send(
        http, "PUT", f"workitems/{uid}/state", data_set(TransactionUID=transaction, ProcedureStepState=state)
    )


def update(http, changes, transaction="", uid="1.2.3"):
    return send(http, "POST", f"workitems/{uid}{'?' if transaction else ''}{transaction}", changes)


def cancel(http, request=None, uid="1.2.3"):
    return send(http, "POST", f"workitems/{uid}/cancelrequest", request or {})


def state_of(http, uid="1.2.3"):
    return http.get(f"workitems/{uid}").json[tag("ProcedureStepState")]["Value"][0]


# -- create and retrieve ---------------------------------------------------------------------------------------------


@pytest.mark.covers("fact 54", "fact 55")
@pytest.mark.parametrize("version", ["/v1", "/v2"])
def test_what_is_created_can_be_retrieved_without_its_transaction_uid(anyhow, version):
    anyhow.prefix = version
    reply = create(anyhow)
    assert (reply.status, reply.body) == (201, b"")
    assert reply.headers["location"].endswith(f"{version}/workitems/1.2.3")
    assert reply.headers["content-location"] == reply.headers["location"]
    found = anyhow.get("workitems/1.2.3")
    assert (found.status, found.headers["content-type"]) == (200, JSON)
    sent = workitem()
    assert found.json.pop(tag("SOPClassUID"))["Value"] == ["1.2.840.10008.5.1.4.34.6.1"]
    assert found.json[tag("SOPInstanceUID")]["Value"] == ["1.2.3"]
    assert interval_of(found.json[tag("ScheduledProcedureStepModificationDateTime")]["Value"][0])
    assert tag("TransactionUID") not in found.json
    assert {key: found.json[key] for key in sent if key != tag("TransactionUID")} == {
        key: value for key, value in sent.items() if key != tag("TransactionUID")
    }
    again = create(anyhow)
    assert again.status == 409
    assert "already" in again.message


def test_the_uid_may_stand_in_the_body(http):
    assert send(http, "POST", "workitems", workitem(SOPInstanceUID="1.2.4")).status == 201
    assert http.get("workitems/1.2.4").status == 200
    differing = send(http, "POST", "workitems?1.2.5", workitem(SOPInstanceUID="1.2.4"))
    assert differing.status == 400
    assert "not the one in the query" in differing.message
    missing = send(http, "POST", "workitems", workitem())
    assert missing.status == 400
    assert "workitems?1.2.3" in missing.message


@pytest.mark.covers("fact 54")
@pytest.mark.parametrize(
    "query", ["1.2.x", "AffectedSOPInstanceUID=1.2.3", "1.2.3&1.2.4", "1.2.3=x", "1" * 65]
)
def test_a_query_that_is_no_uid_alone_is_refused(http, query):
    reply = send(http, "POST", f"workitems?{query}", workitem())
    assert reply.status == 400
    assert "UID alone" in reply.message
    assert http.get("workitems").status == 204


@pytest.mark.parametrize(
    "content_type", ["application/json", "application/dicom+xml", "application/dicom", ""]
)
def test_another_content_type_is_415(http, content_type):
    assert create(http).status == 201
    for method, path in (("POST", "workitems?1.2.4"), ("POST", "workitems/1.2.3"), ("PUT", "workitems/1.2.3/state"),
                         ("POST", "workitems/1.2.3/cancelrequest")):  # fmt: skip
        reply = send(http, method, path, workitem(), content_type)
        assert reply.status == 415
        assert JSON in reply.message


@pytest.mark.covers("fact 54")
@pytest.mark.parametrize("body", [b"", b"{}", b"[]", b"[1]", b"[{},{}]", b"null", b'"x"'])
def test_bodies_are_arrays_of_one_data_set(http, body):
    assert create(http).status == 201
    for method, path in (("POST", "workitems?1.2.4"), ("POST", "workitems/1.2.3"), ("PUT", "workitems/1.2.3/state"),
                         ("POST", "workitems/1.2.3/cancelrequest")):  # fmt: skip
        reply = send(http, method, path, body)
        assert reply.status == 400
        assert "array of exactly one" in reply.message or "no JSON" in reply.message


def test_a_huge_body_is_413(http):
    assert send(http, "POST", "workitems?1.2.3", b"[" + b" " * (1 << 20) + b"]").status == 413


@pytest.mark.covers("fact 55")
def test_the_transaction_uid_must_be_there_and_empty(http):
    missing = create(http, TransactionUID="left out")
    assert missing.status == 400
    assert "TransactionUID (0008,1195) must be there; it must be empty" in missing.message
    filled = create(http, TransactionUID="1.2")
    assert filled.status == 400
    assert "TransactionUID (0008,1195) must be empty" in filled.message


FILLED = ("ScheduledProcedureStepPriority", "ProcedureStepLabel", "ScheduledProcedureStepStartDateTime",
          "InputReadinessState", "ProcedureStepState")  # fmt: skip
OPTIONAL = ("WorklistLabel", "PatientID", "StudyInstanceUID")


TYPE_2 = (
    "ScheduledProcessingParametersSequence ScheduledStationNameCodeSequence ScheduledStationClassCodeSequence"
    " ScheduledStationGeographicLocationCodeSequence ScheduledWorkitemCodeSequence CommentsOnTheScheduledProcedureStep"
    " InputInformationSequence PatientName IssuerOfPatientID IssuerOfPatientIDQualifiersSequence"
    " OtherPatientIDsSequence PatientBirthDate PatientSex AdmissionID IssuerOfAdmissionIDSequence"
    " AdmittingDiagnosesDescription AdmittingDiagnosesCodeSequence ReferencedRequestSequence"
    " ProcedureStepProgressInformationSequence UnifiedProcedureStepPerformedProcedureSequence"
).split()


@pytest.mark.parametrize("keyword", ["TransactionUID", *TYPE_2])
def test_attributes_of_type_2_must_be_there(http, keyword):
    reply = create(http, **{keyword: "left out"})
    assert reply.status == 400
    assert f"{keyword} (" in reply.message
    assert "must be there" in reply.message
    assert create(http, **{keyword: None}).status == 201


@pytest.mark.parametrize("keyword", FILLED)
def test_attributes_of_type_1_must_have_a_value(http, keyword):
    for value in ("left out", None):
        reply = create(http, **{keyword: value})
        assert reply.status == 400
        assert f"{keyword} (" in reply.message
        assert "with a value" in reply.message


def test_optional_attributes_may_be_left_out(http):
    assert create(http, **dict.fromkeys(OPTIONAL, "left out")).status == 201
    assert http.get("workitems/1.2.3").json[tag("WorklistLabel")]["Value"] == ["worklist"]


@pytest.mark.parametrize("state", ["IN PROGRESS", "COMPLETED", "CANCELED", "scheduled", "DONE"])
def test_a_new_work_item_is_scheduled(http, state):
    reply = create(http, ProcedureStepState=state)
    assert reply.status == 400
    assert "SCHEDULED (C309)" in reply.message or "upper-case" in reply.message


def test_everything_that_is_wrong_is_said_at_once(http):
    reply = create(http, ProcedureStepLabel="left out", PatientName="left out")
    assert len(reply.json["error"]["details"]) == 2


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"ScheduledStationNameCodeSequence": [data_set(CodeValue="X")]},
         "ScheduledStationNameCodeSequence (0040,4025)[0].CodeMeaning (0008,0104) must be there with a value"),
        ({"ReferencedRequestSequence": [data_set(StudyInstanceUID="1.2")]},
         "ReferencedRequestSequence (0040,A370)[0].AccessionNumber (0008,0050) must be there; it may be empty"),
        ({"InputInformationSequence": [data_set(TypeOfInstances="DICOM", ReferencedSOPSequence=[data_set(
            ReferencedSOPClassUID="1.2")])]}, "ReferencedSOPInstanceUID (0008,1155) must be there"),
        ({"UnifiedProcedureStepPerformedProcedureSequence": [{}]}, "must be empty"),
        ({"ProcedureStepProgressInformationSequence": [data_set(ProcedureStepProgress=5)]}, "must be empty"),
        ({"ScheduledHumanPerformersSequence": [data_set(HumanPerformerName="A^B")]}, "HumanPerformerCodeSequence"),
    ],
)  # fmt: skip
def test_requirements_hold_within_sequences(http, changes, words):
    reply = create(http, **changes)
    assert reply.status == 400
    assert words in reply.message
    assert "A^B" not in reply.message


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"00100020": {"vr": "SH", "Value": ["X"]}}, "must have the VR LO"),
        ({"00100020": {"Value": ["X"]}}, "must be an object with a VR"),
        ({"00100020": "X"}, "must be an object with a VR"),
        ({"PatientID": {"vr": "LO", "Value": ["X"]}}, "eight hex digits"),
        ({"00020010": {"vr": "UI"}}, "eight hex digits"),
        ({"00100020": {"vr": "LO", "Value": "X"}}, "array named Value"),
        ({"00100020": {"vr": "LO", "Value": [5]}}, "must hold text"),
        ({"00100020": {"vr": "LO", "Value": ["X" * 65]}}, "at most 64 characters"),
        ({"00100020": {"vr": "LO", "BulkDataURI": "http://x"}}, "BulkDataURI is not accepted"),
        ({"00100010": {"vr": "PN", "Value": ["Secret^Name"]}}, "person names as objects"),
        ({"00100010": {"vr": "PN", "Value": [{"Alphabetic": "a=b"}]}}, "person names as objects"),
        ({"00100010": {"vr": "PN", "Value": [{"Alphabetic": "a^b^c^d^e^f"}]}}, "at most 5 components"),
        ({"00100030": {"vr": "DA", "Value": ["2024-01-15"]}}, "YYYYMMDD"),
        ({"00404005": {"vr": "DT", "Value": ["soon"]}}, "YYYYMMDDHHMMSS"),
        ({"0020000D": {"vr": "UI", "Value": ["1.2.x"]}}, "must be a UID"),
        ({"00280010": {"vr": "US", "Value": [70000]}}, "from 0 to 65535"),
        ({"00280010": {"vr": "US", "Value": [True]}}, "from 0 to 65535"),
        ({"00741004": {"vr": "DS", "Value": ["much"]}}, "decimal number"),
        ({"00741004": {"vr": "DS", "Value": [50.5]}}, ""),
        ({"00200013": {"vr": "IS", "Value": [1.5]}}, "whole number"),
        ({"00189073": {"vr": "FD", "Value": ["1"]}}, "must hold numbers"),
        ({"00720026": {"vr": "AT", "Value": ["0010"]}}, "eight hex digits"),
        ({"00720026": {"vr": "AT", "Value": ["00100010"]}}, ""),
        ({"00420011": {"vr": "OB", "InlineBinary": "!"}}, "base64"),
        ({"00420011": {"vr": "OB", "InlineBinary": "AAA="}}, ""),
        ({"00404018": {"vr": "SQ", "Value": ["x"]}}, "must be a data set"),
        ({"00091001": {"vr": "LO", "Value": ["private", None]}}, ""),
    ],
)  # fmt: skip
def test_values_are_judged_by_their_vr(http, change, words):
    reply = send(http, "POST", "workitems?1.2.3", workitem() | change)
    assert reply.status == (400 if words else 201)
    if words:
        assert words in reply.message
        assert "Secret" not in reply.message
    else:
        ((key, value),) = change.items()
        assert http.get("workitems/1.2.3").json[key] == value


def test_depth_and_doubled_tags_are_bounded(http):
    deep = {"00404018": {"vr": "SQ", "Value": [{}]}}
    for _ in range(40):
        deep = {"00404018": {"vr": "SQ", "Value": [deep]}}
    assert "nested deeper" in send(http, "POST", "workitems?1.2.3", workitem() | deep).message
    doubled = json.dumps([workitem()])[:-2] + ', "0040a370": {"vr": "SQ"}}]'
    assert "given twice" in send(http, "POST", "workitems?1.2.3", doubled.encode()).message


def test_what_is_not_there_is_404(http):
    reply = http.get("workitems/1.2.3")
    assert reply.status == 404
    assert "no such work item" in reply.message
    malformed = http.get("workitems/1.2.x")
    assert malformed.status == 400
    assert "malformed" in malformed.message


@pytest.mark.covers("fact 16")
def test_work_items_are_read_with_an_accept_header(http, strict):
    for each in (http, strict):
        assert create(each).status == 201
        assert each.get("workitems/1.2.3", accept=None).status == 406
        assert each.get("workitems", accept=None).status == 406
        assert each.get("workitems/1.2.3", accept="*/*").status == 200
        refused = each.get("workitems/1.2.3", accept="application/dicom+xml")
        assert refused.status == 406
        assert JSON in refused.message
    assert send(strict, "POST", "workitems?1.2.4", workitem(), Accept="text/plain").status == 406


# -- update ----------------------------------------------------------------------------------------------------------


def test_an_update_replaces_attributes_whole(http):
    create(http, ScheduledStationNameCodeSequence=[code("CT1"), code("CT2")])
    before = http.get("workitems/1.2.3").json
    reply = update(
        http, data_set(ProcedureStepLabel="Read again", ScheduledStationNameCodeSequence=[code("CT3")])
    )
    assert (reply.status, reply.body) == (200, b"")
    assert reply.headers["content-location"].endswith("/v2/workitems/1.2.3")
    assert "warning" not in reply.headers
    after = http.get("workitems/1.2.3").json
    assert after[tag("ProcedureStepLabel")]["Value"] == ["Read again"]
    assert after[tag("ScheduledStationNameCodeSequence")]["Value"] == [code("CT3")]
    modified = tag("ScheduledProcedureStepModificationDateTime")
    assert after.pop(modified)["Value"] >= before.pop(modified)["Value"]
    changed = {tag("ProcedureStepLabel"), tag("ScheduledStationNameCodeSequence")}
    assert {key for key in after if after[key] != before[key]} == changed
    assert http.search("workitems", ("ScheduledStationNameCodeSequence.CodeValue", "CT1")).status == 204
    assert http.search("workitems", ("ScheduledStationNameCodeSequence.CodeValue", "CT3")).status == 200


@pytest.mark.covers("fact 56")
def test_updating_an_unknown_work_item_is_400(http, strict):
    for each in (http, strict):
        reply = update(each, data_set(ProcedureStepLabel="x"), uid="1.2.99")
        assert reply.status == 400
        assert "no such work item" in reply.message


def test_whose_work_item_it_is_decides_who_may_update_it(http):
    changes = data_set(ProcedureStepLabel="x")
    create(http)
    too_early = update(http, changes, "9.9")
    assert (too_early.status, "nobody's yet" in too_early.message) == (400, True)
    change_state(http, "IN PROGRESS")
    for wrong in ("", "9.8"):
        reply = update(http, changes, wrong)
        assert (reply.status, "C301" in reply.message) == (400, True)
        assert reply.headers["warning"].startswith("299 127.0.0.1")
        assert "9.9" not in reply.body.decode() + str(reply.headers)
    assert update(http, changes, "9.9").status == 200
    assert update(http, PERFORMED, "9.9").status == 200
    assert change_state(http, "COMPLETED").status == 200
    final = update(http, changes, "9.9")
    assert (final.status, "COMPLETED already" in final.message) == (400, True)


@pytest.mark.parametrize(
    "changes",
    [data_set(ProcedureStepState="COMPLETED"), data_set(TransactionUID="9.9"), data_set(SOPInstanceUID="1.2.4"),
     data_set(PatientName="New^Name"), data_set(PatientID="X"), data_set(ReferencedRequestSequence=[request_item()])],
)  # fmt: skip
def test_an_update_cannot_set_what_is_not_its_own(http, changes):
    create(http)
    reply = update(http, changes)
    assert reply.status == 400
    assert "must not be there" in reply.message
    assert "New^Name" not in reply.message


@pytest.mark.parametrize(
    "keyword", ["ProcedureStepLabel", "ScheduledProcedureStepStartDateTime", "InputReadinessState"]
)
def test_an_update_cannot_empty_what_needs_a_value(http, keyword):
    create(http)
    reply = update(http, data_set(**{keyword: None}))
    assert reply.status == 400
    assert f"{keyword} (" in reply.message
    assert "must not be empty" in reply.message


# -- state -----------------------------------------------------------------------------------------------------------


@pytest.mark.covers("fact 56")
def test_from_scheduled_to_completed(anyhow):
    create(anyhow)
    assert change_state(anyhow, "IN PROGRESS").status == 200
    assert state_of(anyhow) == "IN PROGRESS"
    early = change_state(anyhow, "COMPLETED")
    assert early.status == 400
    assert (
        "UnifiedProcedureStepPerformedProcedureSequence (0074,1216) must be there with a value"
        in early.message
    )
    assert "update it first" in early.message
    assert update(anyhow, PERFORMED, "9.9").status == 200
    reply = change_state(anyhow, "COMPLETED")
    assert (reply.status, reply.body) == (200, b"")
    assert state_of(anyhow) == "COMPLETED"
    twice = change_state(anyhow, "COMPLETED")
    assert twice.status == 200
    assert twice.headers["warning"].endswith('"The UPS is already in the requested state of COMPLETED."')
    assert twice.json == "The UPS is already in the requested state of COMPLETED."
    for state in ("IN PROGRESS", "CANCELED"):
        assert "C300" in change_state(anyhow, state).message


@pytest.mark.covers("fact 56")
@pytest.mark.parametrize(
    "keyword",
    ["PerformedStationNameCodeSequence", "PerformedProcedureStepStartDateTime", "PerformedWorkitemCodeSequence",
     "PerformedProcedureStepEndDateTime", "OutputInformationSequence"],
)  # fmt: skip
def test_a_performed_procedure_must_be_whole(http, keyword):
    create(http)
    change_state(http, "IN PROGRESS")
    (item,) = PERFORMED[tag("UnifiedProcedureStepPerformedProcedureSequence")]["Value"]
    # Its output may be empty while the work goes on, but must be named.
    short = {key: value for key, value in item.items() if key != tag(keyword)} | data_set(
        OutputInformationSequence=None
    )
    assert update(http, data_set(UnifiedProcedureStepPerformedProcedureSequence=[short]), "9.9").status == 200
    reply = change_state(http, "COMPLETED")
    assert reply.status == 400
    assert f"[0].{keyword} (" in reply.message
    assert state_of(http) == "IN PROGRESS"


def test_an_owner_cancels_with_reasons(http):
    create(http)
    change_state(http, "IN PROGRESS")
    early = change_state(http, "CANCELED")
    assert (early.status, "ProcedureStepProgressInformationSequence" in early.message) == (400, True)
    assert update(http, CANCELED, "9.9").status == 200
    assert change_state(http, "CANCELED").status == 200
    assert state_of(http) == "CANCELED"
    twice = change_state(http, "CANCELED")
    assert (twice.status, "already in the requested state of CANCELED" in twice.headers["warning"]) == (
        200,
        True,
    )


def test_transitions_that_are_none(http):
    create(http)
    for state in ("COMPLETED", "CANCELED"):
        reply = change_state(http, state)
        assert (reply.status, "C310" in reply.message) == (400, True)
    assert change_state(http, "IN PROGRESS").status == 200
    again = change_state(http, "IN PROGRESS")
    assert (again.status, "already IN PROGRESS (C302)" in again.message) == (400, True)
    other = change_state(http, "COMPLETED", "9.8")
    assert (other.status, "C301" in other.message, "9.9" in other.message) == (400, True, False)


@pytest.mark.parametrize(
    ("request_", "words"),
    [(data_set(ProcedureStepState="IN PROGRESS"), "needs TransactionUID"),
     (data_set(TransactionUID="9.9"), "needs ProcedureStepState"),
     ({}, "needs TransactionUID (0008,1195) and ProcedureStepState"),
     (data_set(TransactionUID="9.9", ProcedureStepState="SCHEDULED"), "IN PROGRESS, COMPLETED or CANCELED"),
     (data_set(TransactionUID="9.x", ProcedureStepState="IN PROGRESS"), "must be a UID")],
)  # fmt: skip
def test_a_malformed_change_of_state(http, request_, words):
    create(http)
    reply = send(http, "PUT", "workitems/1.2.3/state", request_)
    assert reply.status == 400
    assert words in reply.message
    assert state_of(http) == "SCHEDULED"


def test_an_unknown_work_item_has_no_state(http):
    reply = change_state(http, "IN PROGRESS")
    assert (reply.status, "no such work item" in reply.message) == (404, True)
    assert send(http, "PUT", "workitems/1.2.3/state?9.9", {}).status == 400


# -- cancel ----------------------------------------------------------------------------------------------------------


@pytest.mark.covers("fact 56")
def test_cancelling_twice_is_409_with_a_warning(anyhow):
    create(anyhow)
    reason = data_set(ReasonForCancellation="Wrong patient", ContactURI="tel:1", ContactDisplayName="Ward 3")
    reply = cancel(anyhow, reason)
    assert reply.status == 202
    assert isinstance(reply.json, str)
    found = anyhow.get("workitems/1.2.3").json
    (progress,) = found[tag("ProcedureStepProgressInformationSequence")]["Value"]
    assert progress[tag("ReasonForCancellation")]["Value"] == ["Wrong patient"]
    (contact,) = progress[tag("ProcedureStepCommunicationsURISequence")]["Value"]
    assert contact[tag("ContactDisplayName")]["Value"] == ["Ward 3"]
    assert interval_of(progress[tag("ProcedureStepCancellationDateTime")]["Value"][0])
    assert progress[tag("ProcedureStepDiscontinuationReasonCodeSequence")]["Value"]
    assert state_of(anyhow) == "CANCELED"
    twice = cancel(anyhow)
    assert twice.status == 409
    assert twice.headers["warning"].startswith("299 ")
    assert twice.headers["warning"].endswith('"The UPS is already in the requested state of CANCELED."')
    assert "already in the requested state of CANCELED" in twice.message


def test_only_what_nobody_has_claimed_is_cancelled_on_request(http):
    assert cancel(http).status == 404
    create(http)
    change_state(http, "IN PROGRESS")
    reply = cancel(http)
    assert (reply.status, "cannot be contacted" in reply.message) == (409, True)
    assert state_of(http) == "IN PROGRESS"
    update(http, PERFORMED, "9.9")
    change_state(http, "COMPLETED")
    reply = cancel(http)
    assert (reply.status, "already COMPLETED" in reply.message) == (409, True)


# -- search ----------------------------------------------------------------------------------------------------------


@pytest.fixture
def worklist(http):
    create(http, "1.2.1", PatientName="Müller^Anna", PatientID="PAT001",
           ScheduledProcedureStepStartDateTime="20240115103000",
           ReferencedRequestSequence=[request_item("A1", "P1"), request_item("A2", "P2")],
           ScheduledStationNameCodeSequence=[code("CT1")], ScheduledStationClassCodeSequence=[code("CT")])  # fmt: skip
    create(http, "1.2.2", PatientName="Doe^John", PatientID="PAT002", StudyInstanceUID="1.2.10",
           ScheduledProcedureStepStartDateTime="20240116090000+0100", ReferencedRequestSequence=[request_item("A3")],
           ScheduledStationNameCodeSequence=[code("MR1")],
           ScheduledStationGeographicLocationCodeSequence=[code("EAST"), code("WEST")],
           CommentsOnTheScheduledProcedureStep="Early", PatientComments="quiet")  # fmt: skip
    create(http, "1.2.3", PatientName=None, PatientID="pat003", StudyInstanceUID="1.2.11",
           ScheduledProcedureStepStartDateTime="202402", ScheduledStationNameCodeSequence=None)  # fmt: skip
    change_state(http, "IN PROGRESS", uid="1.2.2")
    return http


@pytest.mark.parametrize(
    ("filters", "found"),
    [
        ({}, "3 2 1"),
        ({"PatientName": "muller^anna"}, "1"),
        ({"00100010": "Müller*"}, "1"),
        ({"PatientName": "jo", "fuzzymatching": "true"}, "2"),
        ({"PatientName": "do jo", "FuzzyMatching": "TRUE"}, "2"),
        ({"PatientName": "ohn", "fuzzymatching": "true"}, ""),
        ({"PatientID": "pat001"}, "1"),
        ({"PatientID": "PAT00?"}, "3 2 1"),
        ({"PatientID": "PAT001", "ProcedureStepState": "IN PROGRESS"}, ""),
        ({"ProcedureStepState": "IN PROGRESS"}, "2"),
        ({"00741000": "scheduled"}, "3 1"),
        ({"StudyInstanceUID": "1.2.10"}, "2"),
        ({"ReferencedRequestSequence.AccessionNumber": "a2"}, "1"),
        ({"0040A370.00080050": "A3"}, "2"),
        ({"0040a370.AccessionNumber": "A?"}, "3 2 1"),
        ({"ReferencedRequestSequence.RequestedProcedureID": "P2"}, "1"),
        ({"ScheduledStationNameCodeSequence.CodeValue": "CT1"}, "1"),
        ({"00404026.00080100": "CT"}, "1"),
        ({"ScheduledStationGeographicLocationCodeSequence.CodeValue": "West"}, "2"),
        ({"ScheduledProcedureStepStartDateTime": "20240115"}, "1"),
        ({"ScheduledProcedureStepStartDateTime": "20240115103000"}, "1"),
        ({"ScheduledProcedureStepStartDateTime": "20240115103001"}, ""),
        ({"ScheduledProcedureStepStartDateTime": "20240116080000"}, "2"),
        ({"ScheduledProcedureStepStartDateTime": "20240115-20240116"}, "2 1"),
        ({"ScheduledProcedureStepStartDateTime": "20240116-"}, "3 2"),
        ({"ScheduledProcedureStepStartDateTime": "-20240115"}, "1"),
        ({"ScheduledProcedureStepStartDateTime": "2024"}, "3 2 1"),
        ({"ScheduledProcedureStepStartDateTime": "20240116090000+0100-20240116090000+0100"}, "2"),
        ({"ScheduledProcedureStepStartDateTime": "20240116030000-0500-20240301"}, "3 2"),
        ({"limit": 2}, "3 2"),
        ({"limit": 2, "offset": 1}, "2 1"),
        ({"offset": 3}, ""),
    ],
)  # fmt: skip
def test_searching(worklist, filters, found):
    reply = worklist.search("workitems", *filters.items())
    assert reply.status == (200 if found else 204)
    assert reply.values(tag("SOPInstanceUID")) == [f"1.2.{each}" for each in found.split()]


def test_what_a_search_answers(worklist):
    rows = worklist.search("workitems").json
    assert all(tag("TransactionUID") not in row for row in rows)
    assert tag("PatientComments") not in rows[1]
    default = {tag(keyword) for keyword in ("SOPClassUID", "PatientID", "ProcedureStepState", "WorklistLabel",
                                            "ReferencedRequestSequence", "StudyInstanceUID")}  # fmt: skip
    assert default <= rows[1].keys()
    more = worklist.search("workitems", IncludeField="PatientComments").json
    assert more[1][tag("PatientComments")]["Value"] == ["quiet"]
    everything = worklist.search("workitems", includefield="ALL").json
    assert everything[1] == worklist.get("workitems/1.2.2").json


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ("Modality=CT", "cannot be searched by here"),
        ("patientid=X", "case-sensitive"),
        ("PatientsName=X", "is no attribute"),
        ("ScheduledStationNameCodeSequence=X", "cannot be searched by here"),
        ("0040A370.0040A370.00080050=X", "cannot be searched by here"),
        ("AccessionNumber=X", "cannot be searched by here"),
        ("PatientID=", "has no value"),
        ("PatientID=X&00100020=Y", "given twice"),
        ("limit=0", "from 1 to 200"),
        ("limit=201", "from 1 to 200"),
        ("limit=1&Limit=2", "given twice"),
        ("offset=-1", "from 0 to"),
        ("fuzzymatching=yes", "true or false"),
        ("StudyInstanceUID=1.x", "must be one UID"),
        ("ScheduledProcedureStepStartDateTime=-", "at least one end"),
        ("ScheduledProcedureStepStartDateTime=soon", "YYYYMMDDHHMMSS"),
        ("ScheduledProcedureStepStartDateTime=2025-2024", "before its start"),
        ("ScheduledProcedureStepStartDateTime=20240230", "YYYYMMDDHHMMSS"),
        ("includefield=Nonsense", "is no attribute"),
        ("includefield=0040A370.00080050", "top level"),
        ("includefield=all&includefield=PatientID", "stands alone"),
        ("PatientName=%22&fuzzymatching=true", "must hold a word"),
    ],
)
def test_a_search_that_is_not_understood_is_400(http, query, words):
    reply = http.get(f"workitems?{query}")
    assert reply.status == 400
    assert words in reply.message


def test_wildcards_are_characters_under_strict(strict):
    create(strict)
    assert strict.search("workitems", PatientID="PAT*").status == 204
    assert strict.search("workitems", PatientID="PAT001").status == 200


# -- partitions, durability ------------------------------------------------------------------------------------------


@pytest.mark.covers("fact 53")
def test_adding_a_work_item_makes_its_partition(tmp_path, http_for):
    with Service.open(tmp_path, partitions=True) as service:
        first, second = (http_for(service, prefix=f"/v2/partitions/{name}") for name in "ab")
        for path in ("workitems", "workitems/1.2.3"):
            assert first.get(path).status == 400
        assert "no such data partition" in cancel(first).message
        assert create(first).headers["location"].endswith("/v2/partitions/a/workitems/1.2.3")
        assert create(second, PatientID="OTHER").status == 201
        assert first.search("workitems").values(tag("PatientID")) == ["PAT001"]
        assert second.search("workitems").values(tag("PatientID")) == ["OTHER"]
        assert create(http_for(service)).status == 400


def test_work_items_outlive_the_service(tmp_path, http_for):
    with Service.open(tmp_path) as service:
        create(http_for(service))
        change_state(http_for(service), "IN PROGRESS")
    with Service.open(tmp_path) as service:
        assert state_of(http_for(service)) == "IN PROGRESS"
        assert change_state(http_for(service), "COMPLETED", "9.8").status == 400
        assert update(http_for(service), PERFORMED, "9.9").status == 200


def test_only_one_of_many_claims_wins(http):
    from concurrent.futures import ThreadPoolExecutor

    create(http)
    with ThreadPoolExecutor(8) as workers:
        replies = list(workers.map(lambda n: change_state(http, "IN PROGRESS", f"9.{n}"), range(16)))
    assert sorted(reply.status for reply in replies) == [200] + [400] * 15


# -- any order of requests -------------------------------------------------------------------------------------------


class Worklist(RuleBasedStateMachine):
    """Whatever is asked in whatever order, the service agrees with a model written down from the standard's table."""

    http = None  # set by the test
    run = 0

    uids = Bundle("uids")

    def __init__(self):
        super().__init__()
        type(self).run += 1
        self.model = {}  # uid -> [state, transaction, performed, reasons]

    @rule(target=uids, number=st.integers(1, 2))
    def create(self, number):
        uid = f"2.{self.run}.{number}"
        assert create(self.http, uid).status == (409 if uid in self.model else 201)
        self.model.setdefault(uid, ["SCHEDULED", "", False, False])
        return uid

    @rule(uid=uids, state=st.sampled_from(["IN PROGRESS", "COMPLETED", "CANCELED"]),
          transaction=st.sampled_from(["9.1", "9.2"]))  # fmt: skip
    def change_state(self, uid, state, transaction):
        now, owner, performed, reasons = self.model[uid]
        reply = change_state(self.http, state, transaction, uid)
        if owner and owner != transaction:
            expected = 400
        elif now == "SCHEDULED":
            expected = 200 if state == "IN PROGRESS" else 400
        elif now == "IN PROGRESS":
            expected = 200 if (state, True) in {("COMPLETED", performed), ("CANCELED", reasons)} else 400
        else:
            expected = 200 if state == now else 400
            assert (expected == 200) == ("already in the requested state" in reply.headers.get("warning", ""))
        assert reply.status == expected
        assert ("C301" in reply.body.decode()) == bool(owner and owner != transaction)
        assert ("C300" in reply.body.decode()) == (
            owner in {"", transaction} and now in {"COMPLETED", "CANCELED"} and state != now
        )
        if expected == 200 and now in {"SCHEDULED", "IN PROGRESS"}:
            self.model[uid][:2] = [state, transaction]

    @rule(
        uid=uids, transaction=st.sampled_from(["", "9.1", "9.2"]), what=st.sampled_from([PERFORMED, CANCELED])
    )
    def update(self, uid, transaction, what):
        now, owner, *_ = self.model[uid]
        may = now in {"SCHEDULED", "IN PROGRESS"} and transaction == owner
        assert update(self.http, what, transaction, uid).status == (200 if may else 400)
        if may:
            self.model[uid][2 if what is PERFORMED else 3] = True

    @rule(uid=uids)
    def cancel(self, uid):
        was_free = self.model[uid][0] == "SCHEDULED"
        assert cancel(self.http, uid=uid).status == (202 if was_free else 409)
        if was_free:
            self.model[uid][0] = "CANCELED"

    @invariant()
    def agrees(self):
        for uid, (state, *_) in self.model.items():
            assert state_of(self.http, uid) == state


def test_any_order_of_requests(http):
    from hypothesis.stateful import run_state_machine_as_test

    run_state_machine_as_test(
        type("Bound", (Worklist,), {"http": http}), settings=settings(max_examples=60, stateful_step_count=20)
    )
