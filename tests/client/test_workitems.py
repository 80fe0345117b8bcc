"""The worklist through the client: over loopback, in process, and against servers that misbehave."""

import datetime as dt
import json

import pandas as pd
import pytest
from pydicom import Dataset

import dicomframe as dfr
from dicomframe.client.client import Client
from dicomframe.client.session import InProcessAdapter
from dicomframe.client.workitemdata import data_set_of, new_workitem
from dicomframe.errors import (
    BadRequestError,
    ConflictError,
    ConnectionFailed,
    DecodeError,
    IssuesWarning,
    NotAcceptableError,
    NotFoundError,
    QueryError,
    ServiceWarning,
    TableError,
    UnexpectedAnswerError,
)
from dicomframe.service.inprocess import handler
from dicomframe.service.service import Service

START = dt.datetime(2024, 1, 15, 10, 30)  # noqa: DTZ001 - work items are scheduled in local time
CODE = {"CodeValue": "CT1", "CodingSchemeDesignator": "99X", "CodeMeaning": "Scanner 1"}
PERFORMED = {
    "UnifiedProcedureStepPerformedProcedureSequence": [
        {
            "PerformedStationNameCodeSequence": [CODE],
            "PerformedProcedureStepStartDateTime": START,
            "PerformedWorkitemCodeSequence": [CODE],
            "PerformedProcedureStepEndDateTime": START + dt.timedelta(minutes=9),
            "OutputInformationSequence": [
                {
                    "TypeOfInstances": "DICOM",
                    "ReferencedSOPSequence": [
                        {"ReferencedSOPClassUID": "1.2", "ReferencedSOPInstanceUID": "1.3"}
                    ],
                }
            ],
        }
    ]
}
STOPPED = {
    "ProcedureStepProgressInformationSequence": [
        {"ProcedureStepCancellationDateTime": START, "ProcedureStepDiscontinuationReasonCodeSequence": [CODE]}
    ]
}


def item(**attributes):
    return new_workitem(
        **{"ProcedureStepLabel": "Read chest CT", "ScheduledProcedureStepStartDateTime": START} | attributes
    )


@pytest.fixture(scope="module")
def local():
    with dfr.start_local() as running:
        yield running


@pytest.fixture
def client(local):
    return local.connect()


@pytest.fixture(params=["v1", "v2", "in process"])
def fresh(request, tmp_path):
    if request.param == "in process":
        with Service.open(tmp_path) as service:
            yield Client("http://127.0.0.1:80", adapter=InProcessAdapter(handler(service.app)))
    else:
        with dfr.start_local(tmp_path) as running:
            yield Client(running.url, api_version=request.param)


def test_from_order_to_report(fresh):
    uid = fresh.create_workitem(item(PatientName="Müller^Anna", PatientID="PAT001"))
    assert uid.startswith("2.25.")
    found = fresh.retrieve_workitem(uid)
    assert isinstance(found, Dataset)
    assert (found.PatientName, found.ProcedureStepState) == ("Müller^Anna", "SCHEDULED")
    assert "TransactionUID" not in found

    lock = fresh.change_workitem_state(uid, "IN PROGRESS")
    with pytest.raises(BadRequestError, match="C301"):
        fresh.update_workitem(uid, {"ProcedureStepLabel": "Read again"})
    fresh.update_workitem(uid, {"ProcedureStepLabel": "Read again"}, lock)
    with pytest.raises(BadRequestError) as refused:
        fresh.change_workitem_state(uid, "COMPLETED", lock)
    assert any("UnifiedProcedureStepPerformedProcedureSequence" in each for each in refused.value.details)
    fresh.update_workitem(uid, PERFORMED, lock)
    assert fresh.change_workitem_state(uid, "completed", str(lock)) == lock
    assert fresh.retrieve_workitem(uid).ProcedureStepLabel == "Read again"
    with pytest.warns(ServiceWarning, match="already in the requested state of COMPLETED"):
        fresh.change_workitem_state(uid, "COMPLETED", lock)
    with pytest.raises(ConflictError, match="COMPLETED"):
        fresh.cancel_workitem(uid)


def test_an_owner_stops(client):
    uid = client.create_workitem(item())
    lock = client.change_workitem_state(uid, "IN PROGRESS", "1.2.3.9")
    assert lock == "1.2.3.9"
    with pytest.raises(ConflictError, match="cannot be contacted"):
        client.cancel_workitem(uid)
    client.update_workitem(uid, STOPPED, lock)
    client.change_workitem_state(uid, "CANCELED", lock)
    assert client.retrieve_workitem(uid).ProcedureStepState == "CANCELED"


def test_a_request_to_cancel(client):
    uid = client.create_workitem(item())
    client.cancel_workitem(uid, "Wrong patient", contact_uri="tel:1", contact_name="Ward 3")
    (progress,) = client.retrieve_workitem(uid).ProcedureStepProgressInformationSequence
    assert progress.ReasonForCancellation == "Wrong patient"
    assert progress.ProcedureStepCommunicationsURISequence[0].ContactDisplayName == "Ward 3"
    with pytest.raises(ConflictError, match="already in the requested state of CANCELED"):
        client.cancel_workitem(uid)


# -- search ----------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def worklist():
    with dfr.start_local() as running:
        client = running.connect()
        for number in range(5):
            client.create_workitem(
                item(
                    PatientName=f"Doe^John {number}",
                    PatientID=f"PAT{number}",
                    StudyInstanceUID=f"1.2.{number}",
                    ScheduledProcedureStepStartDateTime=START + dt.timedelta(days=number),
                    ScheduledStationNameCodeSequence=[{**CODE, "CodeValue": f"CT{number % 2}"}],
                    ReferencedRequestSequence=[{"StudyInstanceUID": "1.9", "AccessionNumber": f"A{number}"}],
                ),
                uid=f"1.2.100.{number}",
            )
        client.change_workitem_state("1.2.100.3", "IN PROGRESS")
        yield client


def found(search):
    return sorted(int(uid[-1]) for uid in search.to_frame()["SOPInstanceUID"])


def test_the_table_is_typed_and_has_its_columns_when_empty(worklist):
    full = worklist.search_workitems().to_frame()
    empty = worklist.search_workitems(PatientID="nobody").to_frame()
    assert len(full) == 5
    assert len(empty) == 0
    assert full[empty.columns].dtypes.equals(empty.dtypes)
    assert "SeriesInstanceUID" not in full
    assert str(full.dtypes["ScheduledProcedureStepStartDateTime"]) == "datetime64[us]"
    assert full["ScheduledProcedureStepStartDateTime"].min() == pd.Timestamp(START)
    assert full["PatientName"].iloc[0] == "Doe^John 4"
    assert full["ReferencedRequestSequence"].iloc[0][0]["AccessionNumber"] == "A4"
    assert full.dicom.issues().empty
    assert full.dicom.to_json()[0]["00741000"] == {"vr": "CS", "Value": ["SCHEDULED"]}
    arrow = worklist.search_workitems().to_frame(dtype_backend="pyarrow")
    assert str(arrow.dtypes["ProcedureStepState"]) == "string[pyarrow]"


def test_filters_of_every_kind(worklist):
    search = worklist.search_workitems
    assert found(search(PatientName="doe^john 1")) == [1]
    assert found(search(PatientName="jo", fuzzy=True)) == [0, 1, 2, 3, 4]
    assert found(search(PatientID=["PAT1", "PAT2", "PAT1"])) == [1, 2]
    assert found(search(PatientID="PAT*")) == [0, 1, 2, 3, 4]
    assert found(search(ProcedureStepState="IN PROGRESS")) == [3]
    assert found(search(StudyInstanceUID="1.2.4")) == [4]
    assert found(search(ScheduledProcedureStepStartDateTime=(START, START + dt.timedelta(days=1)))) == [0, 1]
    assert found(search(ScheduledProcedureStepStartDateTime=(dt.date(2024, 1, 18), None))) == [3, 4]
    assert found(search(ScheduledProcedureStepStartDateTime=START)) == [0]
    assert found(search(**{"ReferencedRequestSequence.AccessionNumber": ["A0", "A4"]})) == [0, 4]
    assert found(search(**{"00404025.00080100": "CT1", "ProcedureStepState": "SCHEDULED"})) == [1]
    assert found(search(limit=2)) == [3, 4]


def test_pages_join_and_say_whether_they_are_all(worklist):
    search = worklist.search_workitems(page_size=2)
    assert found(search) == [0, 1, 2, 3, 4]
    assert search.completeness == "complete"
    limited = worklist.search_workitems(limit=3, page_size=2)
    assert (len(limited.to_frame()), limited.completeness) == (3, "truncated")


def test_a_repr_names_filters_and_no_values(worklist):
    nested = {"ReferencedRequestSequence.AccessionNumber": "SECRET"}
    search = worklist.search_workitems(PatientID="SECRET", limit=5, **nested)
    assert repr(search) == (
        "<Search for work items by PatientID, ReferencedRequestSequence.AccessionNumber, at most 5>"
    )
    assert search.to_frame().attrs["dicom"]["filters"] == [
        "PatientID",
        "ReferencedRequestSequence.AccessionNumber",
    ]


def test_further_fields(worklist):
    worklist.update_workitem("1.2.100.0", {"PatientComments": "quiet"})
    assert "PatientComments" not in worklist.search_workitems().to_frame()
    for fields in ("PatientComments", "all"):
        table = worklist.search_workitems(fields=fields).to_frame()
        assert table["PatientComments"].dropna().tolist() == ["quiet"]


@pytest.mark.parametrize(
    ("filters", "words"),
    [
        ({"PatientsName": "X"}, "PatientName"),
        ({"ReferencedRequestSequence": "X"}, "VR SQ"),
        ({"ReferencedRequestSequence.Nonsense": "X"}, "no DICOM keyword"),
        ({"PatientName.CodeValue": "X"}, "no DICOM keyword"),
        ({"ReferencedRequestSequence.AccessionNumber": "X", "0040A370.00080050": "Y"}, "given twice"),
        ({"ScheduledProcedureStepStartDateTime": "soon"}, "give a datetime"),
        ({"PatientID": ""}, "empty text"),
        ({"limits": 5}, "no control"),
    ],
)
def test_filters_that_cannot_be_searched_for(client, filters, words):
    with pytest.raises(QueryError, match=words):
        client.search_workitems(**filters)


def test_a_filter_that_the_service_does_not_search_by(client):
    with pytest.raises(BadRequestError, match="cannot be searched by here"):
        client.search_workitems(Modality="CT").to_frame()


def test_a_table_of_work_items_is_none_of_instances(worklist, tmp_path):
    with pytest.raises(TableError, match="SeriesInstanceUID"):
        worklist.download(worklist.search_workitems().to_frame(), tmp_path)


# -- what is given in ------------------------------------------------------------------------------------------------


def test_a_dataset_json_and_keywords_are_the_same(client):
    json_form = item(PatientName="Doe^John", PatientBirthDate=dt.date(1980, 2, 3), PatientID="P")
    dataset = Dataset.from_json(json.dumps(json_form))
    dataset.ScheduledStationNameCodeSequence = []
    assert data_set_of(dataset) == json_form
    uids = [client.create_workitem(given) for given in (dataset, json_form)]
    first, second = (client.retrieve_workitem(uid) for uid in uids)
    for each in (first, second):
        del each.SOPInstanceUID, each.ScheduledProcedureStepModificationDateTime
    assert first == second
    assert first.PatientBirthDate == "19800203"


def test_every_kind_of_value():
    made = data_set_of(
        {
            "PatientBirthDate": "1980-02-03", "StudyTime": dt.time(10, 30), "PatientName": "A^B=山田", "Rows": 5,
            "ScheduledProcedureStepStartDateTime": dt.datetime(2024, 1, 15, tzinfo=dt.UTC), "PatientWeight": "70.5",
            "OtherPatientNames": ["A^B", "C^D"], "EncapsulatedDocument": b"ab", "AccessionNumber": "",
            "CommentsOnTheScheduledProcedureStep": "a\nb", "StudyInstanceUID": "1.2", "00100040": "F",
            "PatientSize": None, "InstanceNumber": "7", "ReferencedRequestSequence": [{"AccessionNumber": "A"}, {}],
        }
    )  # fmt: skip
    assert {tag: attribute.get("Value", attribute.get("InlineBinary")) for tag, attribute in made.items()} == {
        "00080030": ["103000"], "00080050": None, "00100010": [{"Alphabetic": "A^B", "Ideographic": "山田"}],
        "00100030": ["19800203"], "00100040": ["F"], "00101001": [{"Alphabetic": "A^B"}, {"Alphabetic": "C^D"}],
        "00101020": None, "00101030": [70.5], "0020000D": ["1.2"], "00200013": [7], "00280010": [5],
        "00400400": ["a\nb"],
        "00404005": ["20240115000000+0000"], "0040A370": [{"00080050": {"vr": "SH", "Value": ["A"]}}, {}],
        "00420011": "YWI=",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (5, "Dataset, DICOM JSON"),
        ([{}], "Dataset, DICOM JSON"),
        (pd.DataFrame(), "Dataset, DICOM JSON"),
        ({"PatientsName": "X"}, "PatientName"),
        ({5: "X"}, "keyword or eight hex digits"),
        ({"PatientID": 5}, "must be text"),
        ({"PatientID": "X", "00100020": "Y"}, "given twice"),
        ({"PatientBirthDate": "soon"}, "no date"),
        ({"ScheduledProcedureStepStartDateTime": "2023-2024"}, "offset"),
        ({"ScheduledProcedureStepStartDateTime": "20230101-20240101"}, "date-time"),
        ({"StudyInstanceUID": "not one"}, "StudyInstanceUID must be"),
        ({"Rows": "many"}, "whole number"),
        ({"ReferencedRequestSequence": ["A1"]}, "Dataset, DICOM JSON"),
        ({"EncapsulatedDocument": "text"}, "must be bytes"),
    ],
)
def test_what_is_no_work_item(client, given, words):
    with pytest.raises(QueryError, match=words):
        client.create_workitem(given)
    with pytest.raises(QueryError, match=words):
        client.update_workitem("1.2.3", given)


def test_what_a_new_work_item_needs():
    with pytest.raises(QueryError, match="needs ProcedureStepLabel and ScheduledProcedureStepStartDateTime"):
        new_workitem(PatientID="P")
    assert item(ScheduledProcedureStepPriority="HIGH")["00741200"]["Value"] == ["HIGH"]


def test_uids_of_work_items(client):
    given = item()
    with pytest.raises(QueryError, match="SOPInstanceUID"):
        client.create_workitem(given | data_set_of({"SOPInstanceUID": "1.2.50"}), uid="1.2.51")
    with pytest.raises(QueryError, match="no Transaction UID yet"):
        client.create_workitem(given | data_set_of({"TransactionUID": "1.2.50"}))
    assert client.create_workitem(given | data_set_of({"SOPInstanceUID": "1.2.52"})) == "1.2.52"
    assert client.create_workitem(given, "1.2.53") == "1.2.53"
    with pytest.raises(ConflictError, match="WorkitemExists"):
        client.create_workitem(given, "1.2.53")


@pytest.mark.parametrize("uid", ["", "a/b", None, 5, "1" * 65, "."])
def test_malformed_uids(client, uid):
    for call in (client.retrieve_workitem, client.cancel_workitem, lambda uid: client.update_workitem(uid, {}),
                 lambda uid: client.change_workitem_state(uid, "IN PROGRESS")):  # fmt: skip
        with pytest.raises(QueryError, match="SOPInstanceUID must be"):
            call(uid)


def test_unknown_uids(client):
    for call in (client.retrieve_workitem, client.cancel_workitem,
                 lambda uid: client.change_workitem_state(uid, "IN PROGRESS")):  # fmt: skip
        with pytest.raises(NotFoundError, match="no such work item"):
            call("1.2.999")
    with pytest.raises(BadRequestError, match="no such work item"):
        client.update_workitem("1.2.999", {})


def test_malformed_changes_of_state(client):
    for state in ("SCHEDULED", "DONE", None):
        with pytest.raises(QueryError, match="'IN PROGRESS', 'COMPLETED', 'CANCELED'"):
            client.change_workitem_state("1.2.3", state)
    for state in ("COMPLETED", "CANCELED"):
        with pytest.raises(QueryError, match="claiming it returned"):
            client.change_workitem_state("1.2.3", state)
    with pytest.raises(QueryError, match="transaction_uid must be"):
        client.update_workitem("1.2.3", {}, "not one")


# -- secrets ---------------------------------------------------------------------------------------------------------


def test_a_lock_does_not_show_itself(client, caplog):
    uid = client.create_workitem(item())
    with caplog.at_level("DEBUG"):
        lock = client.change_workitem_state(uid, "IN PROGRESS")
        client.update_workitem(uid, {"ProcedureStepLabel": "x"}, lock)
        with pytest.raises(BadRequestError) as refused:
            client.update_workitem(uid, {"ProcedureStepLabel": ""}, lock)
        with pytest.raises(BadRequestError) as other:
            client.change_workitem_state(uid, "IN PROGRESS", lock)
    # pytest listens to uvicorn's access log, which the service has switched off.
    logged = "".join(record.getMessage() for record in caplog.records if record.name != "uvicorn.access")
    said = logged + "".join(f"{error.value}{error.value!r}{vars(error.value)}" for error in (refused, other))
    assert str(lock) not in said + repr(lock) + repr([lock])
    assert json.loads(json.dumps(lock)) == str(lock)


def test_a_server_that_repeats_what_it_was_sent(serve, connect, reply):
    def answer(asked):
        words = json.dumps(f"Bad: {asked.target} {json.loads(asked.body or b'null')}").encode()
        return reply(400, words, {"Content-Type": "application/dicom+json"})

    client = connect(serve(answer).url)
    secrets = {"PatientName": "Secret^Name", "PatientID": "IDENTIFIER", "ProcedureStepLabel": "Label"}
    for call in (lambda: client.update_workitem("1.2.3", secrets, "1.2.3.4.5.6"),
                 lambda: client.create_workitem(secrets),
                 lambda: client.change_workitem_state("1.2.3", "COMPLETED", "1.2.3.4.5.6"),
                 lambda: client.search_workitems(PatientID="IDENTIFIER").to_frame()):  # fmt: skip
        with pytest.raises(BadRequestError, match="Bad:") as refused:
            call()
        assert all(
            word not in str(refused.value) for word in ("Secret", "IDENTIFIER", "1.2.3.4.5.6", "2.25.")
        )


# -- servers that differ, or misbehave -------------------------------------------------------------------------------


def test_what_is_sent(serve, connect, reply):
    site = serve(reply(200))
    client = connect(site.url)
    client.create_workitem({"PatientID": "P"}, "1.2.3")
    client.update_workitem("1.2.3", {"PatientComments": "x"}, "9.9")
    client.change_workitem_state("1.2.3", "IN PROGRESS", "9.9")
    client.cancel_workitem("1.2.3", "why")
    sent = [
        (asked.method, asked.target, asked.headers["Content-Type"], json.loads(asked.body))
        for asked in site.asked
    ]
    kind = "application/dicom+json"
    assert sent == [
        ("POST", "/v2/workitems?1.2.3", kind,
         [{"00081195": {"vr": "UI"}, "00100020": {"vr": "LO", "Value": ["P"]}}]),
        ("POST", "/v2/workitems/1.2.3?9.9", kind, [{"00104000": {"vr": "LT", "Value": ["x"]}}]),
        ("PUT", "/v2/workitems/1.2.3/state", kind,
         [{"00081195": {"vr": "UI", "Value": ["9.9"]}, "00741000": {"vr": "CS", "Value": ["IN PROGRESS"]}}]),
        ("POST", "/v2/workitems/1.2.3/cancelrequest", kind, [{"00741238": {"vr": "LT", "Value": ["why"]}}]),
    ]  # fmt: skip


@pytest.mark.parametrize("as_list", [True, False])
def test_a_work_item_may_come_alone_or_as_an_array(serve, connect, as_json, as_list):
    found = data_set_of({"SOPInstanceUID": "1.2.3", "PatientName": "Müller^A"})
    client = connect(serve(as_json([found] if as_list else found)).url)
    assert client.retrieve_workitem("1.2.3").PatientName == "Müller^A"


def test_answers_to_a_retrieval_that_are_none(serve, connect, as_json, reply):
    def retrieve(answer):
        return connect(serve(answer).url).retrieve_workitem("1.2.3")

    with pytest.raises(NotFoundError, match="no such work item"):
        retrieve(reply(204))
    with pytest.raises(UnexpectedAnswerError, match="another work item"):
        retrieve(as_json(data_set_of({"SOPInstanceUID": "1.2.4"})))
    with pytest.raises(DecodeError, match="no DICOM JSON"):
        retrieve(reply(200, b"garbage", {"Content-Type": "application/dicom+json"}))
    with pytest.raises(UnexpectedAnswerError, match="HTML"):
        retrieve(reply(200, b"<html><title>Sign in</title></html>", {"Content-Type": "text/html"}))
    with pytest.raises(NotAcceptableError):
        retrieve(reply(415, b"", {}))


def test_values_that_cannot_be_read_are_told_of(serve, connect, as_json):
    found = data_set_of({"SOPInstanceUID": "1.2.3"}) | {"00280010": {"vr": "US", "Value": [-1]}}
    client = connect(serve(as_json(found)).url)
    with pytest.warns(IssuesWarning, match="00280010"):
        assert client.retrieve_workitem("1.2.3").Rows is None


def test_a_stopped_server(serve, connect, reply):
    site = serve(reply(200))
    client = connect(site.url)
    site.stop()
    with pytest.raises(ConnectionFailed):
        client.create_workitem(item())
    with pytest.raises(ConnectionFailed):
        client.change_workitem_state("1.2.3", "IN PROGRESS")


class Forgetful:
    """Does what it is asked, but its first answer is lost on the way."""

    def __init__(self, handle, reply, method, path):
        self.handle, self.reply, self.lost = handle, reply, False
        self.method, self.path = method, path

    def __call__(self, asked):
        status, headers, body = self.handle(asked.method, asked.target, asked.headers, [asked.body])
        content = b"".join(body)
        if (asked.method, self.lost) == (self.method, False) and asked.path.endswith(self.path):
            self.lost = True
            return self.reply(reset=True)
        kept = {name: value for name, value in headers.items() if name != "content-length"}
        return self.reply(status, content, kept)


def test_a_lost_answer_to_a_creation(tmp_path, serve, connect, reply):
    with Service.open(tmp_path) as service:
        client = connect(serve(Forgetful(handler(service.app), reply, "POST", "/workitems")).url)
        uid = client.create_workitem(item())
        assert client.retrieve_workitem(uid).ProcedureStepState == "SCHEDULED"
        assert len(client.search_workitems().to_frame()) == 1


def test_a_lost_answer_to_a_claim(tmp_path, serve, connect, reply):
    with Service.open(tmp_path) as service:
        client = connect(serve(Forgetful(handler(service.app), reply, "PUT", "/state")).url)
        uid = client.create_workitem(item())
        lock = client.change_workitem_state(uid, "IN PROGRESS")
        client.update_workitem(uid, PERFORMED, lock)
        client.change_workitem_state(uid, "COMPLETED", lock)
        with pytest.raises(BadRequestError):
            client.change_workitem_state(uid, "IN PROGRESS")


def test_partitions(tmp_path):
    with dfr.start_local(tmp_path, partitions=True) as running:
        first, second = (Client(running.url, partition=name) for name in "ab")
        uid = first.create_workitem(item(PatientID="FIRST"))
        with pytest.raises(BadRequestError, match="no such data partition"):
            second.search_workitems().to_frame()
        second.create_workitem(item(PatientID="SECOND"), uid)
        assert first.search_workitems().to_frame()["PatientID"].tolist() == ["FIRST"]
