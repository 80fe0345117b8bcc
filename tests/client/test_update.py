"""Bulk update from the client: plans, checks, batches, originals."""

from __future__ import annotations

import json
from datetime import date, time

import numpy as np
import pandas as pd
import pydicom
import pytest
from pydicom.dataset import Dataset, FileMetaDataset

import dicomframe as dfr
from dicomframe.client.changes import UPDATABLE, change_dataset
from dicomframe.client.operations import Operation
from dicomframe.client.update import BulkOperation
from dicomframe.dicom import tags
from dicomframe.dicom.paths import ResourcePath
from dicomframe.errors import (
    BadRequestError,
    ConflictError,
    ConnectionFailed,
    NoClientError,
    NotFoundError,
    OperationFailedError,
    QueryError,
    TableError,
    TimedOut,
    UnexpectedAnswerError,
)


def dataset(study, series=1, instance=1, **values):
    made = Dataset()
    made.SOPClassUID = "1.2.840.10008.5.1.4.1.1.7"
    made.StudyInstanceUID, made.SeriesInstanceUID = f"1.{study}", f"1.{study}.{series}"
    made.SOPInstanceUID = f"1.{study}.{series}.{instance}"
    made.PatientName, made.PatientID, made.Modality = "Old^Name", f"P{study}", "OT"
    for keyword, value in values.items():
        setattr(made, keyword, value)
    made.file_meta = FileMetaDataset()
    made.file_meta.TransferSyntaxUID = "1.2.840.10008.1.2.1"
    return made


@pytest.fixture
def local():
    with dfr.start_local() as running:
        yield running


@pytest.fixture
def client(local):
    connected = local.connect(progress=False)
    connected.store([dataset(1, instance=1), dataset(1, instance=2), dataset(2)])
    return connected


# -- what it does --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("what", ["table", "uid", "uids", "instances", "path"])
def test_an_update_of_studies(client, what):
    studies = {
        "table": client.search_studies(StudyInstanceUID="1.1").to_frame(),
        "instances": client.search_instances("1.1").to_frame(),
        "uid": "1.1",
        "uids": ["1.1", "1.1"],
        "path": ResourcePath("1.1"),
    }[what]
    operation = client.update_studies(studies, PatientName="New^Name", PatientBirthDate=date(1980, 2, 3))
    assert isinstance(operation, Operation)
    assert "New" not in repr(operation)
    operation.wait()
    assert (operation.type, operation.status) == ("update", "succeeded")
    assert operation.results == {"studyUpdated": 1, "studyFailed": 0, "instanceUpdated": 2, "errors": []}
    table = client.search_studies().to_frame().set_index("StudyInstanceUID")
    assert table.PatientName.to_dict() == {"1.1": "New^Name", "1.2": "Old^Name"}
    assert table.loc["1.1", "PatientBirthDate"] == pd.Timestamp("1980-02-03")


@pytest.mark.covers("fact 52")
def test_originals_are_retrieved_at_all_levels(client, tmp_path):
    client.update_studies("1.1", PatientName="New^Name").wait()
    for original, name in ((False, "New^Name"), (True, "Old^Name")):
        found = [
            *client.retrieve_study("1.1", original=original),
            *client.retrieve_series("1.1", "1.1.1", original=original),
            client.retrieve_instance("1.1", "1.1.1", "1.1.1.2", original=original),
            *client.retrieve(ResourcePath("1.1"), original=original),
        ]
        assert [str(each.PatientName) for each in found] == [name] * 7
        for uids in (["1.1"], ["1.1", "1.1.1"], ["1.1", "1.1.1", "1.1.1.1"]):
            assert set(client.retrieve_metadata(*uids, original=original).PatientName) == {name}
        table = client.collect_metadata([ResourcePath("1.1"), ResourcePath("1.2")], original=original)
        assert table.PatientName.tolist() == [name, name, "Old^Name"]
        # Into the same folder: a file of the other version is not taken for this one.
        for status in ("saved", "kept"):
            files = client.download("1.1", tmp_path, original=original)
            assert files.status.tolist() == [status] * 2
            assert [str(pydicom.dcmread(path).PatientName) for path in files.path] == [name] * 2
        # As one instance alone too, which is fetched in another way.
        one = client.download(ResourcePath("1.1", "1.1.1", "1.1.1.1"), tmp_path / name, original=original)
        assert str(pydicom.dcmread(one.path[0]).PatientName) == name


def test_the_accessor(client):
    table = client.search_series("1.2").to_frame()
    plan = table.dicom.update(PatientID="NEW", dry_run=True)
    assert plan[["before", "after", "changes"]].to_numpy().tolist() == [["P2", "NEW", True]]
    table.dicom.update(PatientID="NEW").wait()
    assert client.search_studies(PatientID="NEW").to_frame().StudyInstanceUID.tolist() == ["1.2"]
    with pytest.raises(NoClientError):
        pd.DataFrame({"StudyInstanceUID": ["1.1"]}).dicom.update(PatientID="NEW")


def test_a_dry_run_tells_before_and_after_and_changes_nothing(client):
    plan = client.update_studies(
        ["1.1", "1.9", "1.2"],
        PatientName={"Alphabetic": "Old^Name"},
        PatientWeight=70,
        PatientAge="042Y",
        dry_run=True,
    )
    assert plan.columns.tolist() == ["StudyInstanceUID", "keyword", "before", "after", "changes", "error"]
    assert [str(dtype) for dtype in plan.dtypes] == ["string"] * 4 + ["boolean", "string"]
    first = plan[plan.StudyInstanceUID == "1.1"].set_index("keyword")
    assert first.changes.to_dict() == {"PatientName": False, "PatientWeight": True, "PatientAge": True}
    assert first.before.fillna("-").to_dict() == {
        "PatientName": "Old^Name",
        "PatientWeight": "-",
        "PatientAge": "-",
    }
    assert first.after.to_dict() == {"PatientName": "Old^Name", "PatientWeight": "70", "PatientAge": "042Y"}
    absent = plan[plan.StudyInstanceUID == "1.9"]
    assert absent.changes.isna().all()
    assert set(absent.error) == {"there is no such study"}
    assert plan.StudyInstanceUID.drop_duplicates().tolist() == ["1.1", "1.9", "1.2"]
    assert client.retrieve_metadata("1.1").columns.isin(["PatientAge"]).sum() == 0


def test_a_dry_run_of_no_studies_is_typed(client):
    empty = client.search_studies(PatientID="nobody").to_frame()
    plan = client.update_studies(empty, PatientID="X", dry_run=True)
    assert len(plan) == 0
    assert [str(dtype) for dtype in plan.dtypes] == ["string"] * 4 + ["boolean", "string"]
    with pytest.raises(QueryError, match="no studies"):
        client.update_studies(empty, PatientID="X")


# -- more than fifty -------------------------------------------------------------------------------------------------


def test_more_than_fifty_studies_go_one_operation_after_the_other():
    with dfr.start_local(operation_polls=1) as local:
        client = local.connect(progress=False)
        client.store([dataset(number) for number in range(1, 104)])
        table = client.search_studies(limit=None).to_frame()
        assert len(table) == 103
        bulk = client.update_studies(table, PatientName="New^Name")
        assert isinstance(bulk, BulkOperation)
        assert (bulk.status, bulk.done, len(bulk.operations), bulk.type) == ("running", False, 1, "update")
        seen = [bulk.percent]
        while not bulk.refresh().done:
            seen.append(bulk.percent)
        assert seen == sorted(seen)
        assert (bulk.status, bulk.percent, len(bulk.operations)) == ("succeeded", 100, 3)
        assert bulk.results == {"studyUpdated": 103, "studyFailed": 0, "instanceUpdated": 103, "errors": []}
        assert bulk.id.count(",") == 2
        assert "3 of 3" in repr(bulk)
        assert bulk.wait() is bulk
        assert set(client.search_studies(limit=None).to_frame().PatientName) == {"New^Name"}


class Service:
    """A service that updates nothing and answers as it is told."""

    def __init__(self, as_json, ends, refusals=()):
        self.as_json, self.ends, self.refusals = as_json, list(ends), list(refusals)
        self.begun = []

    def __call__(self, asked):
        if asked.method == "POST":
            if self.refusals and len(self.begun) == 1:
                return self.as_json({"error": {"code": "Busy", "message": "running"}}, self.refusals.pop())
            self.begun.append(json.loads(asked.body)["studyInstanceUids"])
            number = len(self.begun)
            return self.as_json({"id": f"{number}", "href": f"http://inside/v2/operations/{number}"}, 202)
        number = int(asked.path.rpartition("/")[2])
        status = self.ends[number - 1]
        results = {
            "studyUpdated": 1,
            "studyFailed": int(status == "failed"),
            "errors": [status] * (status == "failed"),
        }
        return self.as_json({"status": status, "type": "update", "percentComplete": 100, "results": results})


def test_a_failed_operation_does_not_stop_the_others(serve, connect, as_json):
    service = Service(as_json, ["failed", "completed"])
    bulk = connect(serve(service).url).update_studies([f"1.{n}" for n in range(51)], PatientID="X")
    with pytest.raises(OperationFailedError) as caught:
        bulk.wait()
    assert bulk.status == "failed"
    assert [len(uids) for uids in service.begun] == [50, 1]
    assert caught.value.results == {
        "studyUpdated": 2,
        "studyFailed": 1,
        "instanceUpdated": 0,
        "errors": ["failed"],
    }


def test_waiting_bears_an_update_of_somebody_else(serve, connect, as_json):
    service = Service(as_json, ["completed", "completed"], refusals=[409])
    bulk = connect(serve(service).url).update_studies([f"1.{n}" for n in range(51)], PatientID="X")
    assert bulk.wait().results["studyUpdated"] == 2
    service = Service(as_json, ["completed", "completed"], refusals=[409] * 9)
    bulk = connect(serve(service).url).update_studies([f"1.{n}" for n in range(51)], PatientID="X")
    with pytest.raises(ConflictError):
        bulk.refresh()
    with pytest.raises(TimedOut):
        bulk.wait(timeout=0)
    with pytest.raises(QueryError):
        bulk.wait(timeout=float("nan"))


# -- what it refuses ---------------------------------------------------------------------------------------------------


def test_what_can_be_updated_is_what_the_local_service_updates():
    from dicomframe.service.update import UPDATABLE as OF_THE_SERVICE

    assert set(UPDATABLE) == OF_THE_SERVICE
    assert len(UPDATABLE) == 35


GOOD = {
    "AS": "042Y", "CS": "F", "DA": "1980-02-03", "DS": 70.5, "LO": "Text", "LT": "a\r\nb", "PN": "A^B=C=D", "SH": "S",
    "TM": "10:30",
}  # fmt: skip


def test_each_attribute_goes_through_service_and_pydicom(client):
    vr_of = {keyword: tags.attribute(keyword).vr for keyword in UPDATABLE}
    client.update_studies("1.2", **{keyword: GOOD[vr] for keyword, vr in vr_of.items()}).wait()
    read = client.retrieve_instance("1.2", "1.2.1", "1.2.1.1")
    for keyword, vr in vr_of.items():
        wanted = {"DA": "19800203", "TM": "1030"}.get(vr, str(GOOD[vr]))
        assert str(read[keyword].value).startswith(wanted), keyword


@pytest.mark.parametrize(
    ("attributes", "words"),
    [
        ({}, "at least one attribute"),
        ({"PatientsName": "X^Y"}, "Did you mean 'PatientName'"),
        ({"StudyInstanceUID": "1.2"}, "cannot be updated. What can: PatientName, "),
        ({"00100010": None}, "never takes a value away"),
        ({"PatientName": ""}, "never takes a value away"),
        ({"PatientName": "^^"}, "never takes a value away"),
        ({"PatientName": pd.NA}, "never takes a value away"),
        ({"PatientBirthDate": pd.NaT}, "never takes a value away"),
        ({"PatientWeight": float("nan")}, "never takes a value away"),
        ({"OtherPatientIDs": []}, "never takes a value away"),
        ({"OtherPatientIDs": ["A", None]}, "never takes a value away"),
        ({"PatientName": ["A^B", "C^D"]}, "one value only"),
        ({"PatientName": "Secret^Name" * 9}, "up to three groups"),
        ({"PatientName": 5}, "up to three groups"),
        ({"PatientName": "Secret\\Name"}, "up to three groups"),
        ({"PatientID": 12345}, "at most 64 characters"),
        ({"PatientID": "Secret" * 11}, "at most 64 characters"),
        ({"PatientID": "Secret\\B"}, "without backslashes"),
        ({"AccessionNumber": "Secret" * 3}, "at most 16 characters"),
        ({"PatientBirthDate": "03.02.1980"}, "2024-01-15"),
        ({"PatientBirthDate": "20240230"}, "2024-01-15"),
        ({"PatientBirthTime": "25:00"}, "10:30"),
        ({"PatientSex": "weiblich"}, "upper-case"),
        ({"PatientAge": "42"}, "042Y"),
        ({"PatientWeight": True}, "16 characters"),
        ({"PatientWeight": float("inf")}, "16 characters"),
        ({"PatientWeight": 1 / 3}, "16 characters"),
        ({"PatientWeight": "heavy"}, "16 characters"),
    ],
)
def test_bad_values_are_refused_before_anything_is_sent(serve, connect, reply, attributes, words):
    site = serve(reply(500))
    client = connect(site.url)
    for dry_run in (False, True):
        with pytest.raises(QueryError) as caught:
            client.update_studies("1.1", dry_run=dry_run, **attributes)
        assert words in str(caught.value)
        assert "Secret" not in str(caught.value)
    assert site.asked == []


@pytest.mark.parametrize(
    ("keyword", "value", "written"),
    [
        ("PatientBirthDate", date(1880, 1, 1), "18800101"),
        ("PatientBirthDate", pd.Timestamp("1980-02-03 10:00"), "19800203"),
        ("PatientBirthDate", np.datetime64("1980-02-03"), "19800203"),
        ("PatientBirthDate", "19800203", "19800203"),
        ("PatientBirthTime", time(10, 30), "103000"),
        ("PatientBirthTime", pd.Timedelta(hours=10), "100000"),
        ("PatientBirthTime", "1030", "103000"),
        ("PatientWeight", np.float32(70.5), 70.5),
        ("PatientWeight", np.int64(70), 70),
        ("PatientWeight", "70.5", 70.5),
        (
            "PatientName",
            {"Alphabetic": "A^B", "Ideographic": "山"},
            {"Alphabetic": "A^B", "Ideographic": "山"},
        ),
        ("PatientName", "A^B=山", {"Alphabetic": "A^B", "Ideographic": "山"}),
        ("00100020", "X", "X"),
    ],
)
def test_values_are_written_in_the_form_of_their_vr(keyword, value, written):
    (attribute,) = change_dataset({keyword: value}).values()
    assert attribute["Value"] == [written]
    assert change_dataset({"OtherPatientIDs": ["A", "B"]})["00101000"] == {"vr": "LO", "Value": ["A", "B"]}


@pytest.mark.parametrize(
    ("studies", "error"),
    [
        ("not a uid", QueryError),
        ([], QueryError),
        (["1.1", "a b"], QueryError),
        (5, QueryError),
        ([5], QueryError),
        (ResourcePath("1.1", "1.2"), QueryError),
        (pd.DataFrame({"PatientID": ["1"]}), TableError),
        (pd.DataFrame({"StudyInstanceUID": ["1.1", None]}), TableError),
        (pd.DataFrame({"StudyInstanceUID": []}), QueryError),
    ],
)
def test_bad_studies_are_refused_before_anything_is_sent(serve, connect, reply, studies, error):
    site = serve(reply(500))
    with pytest.raises(error):
        connect(site.url).update_studies(studies, PatientID="X")
    assert site.asked == []


@pytest.mark.covers("fact 51")
def test_a_server_without_bulk_update_is_explained(local):
    with pytest.raises(NotFoundError, match="version 2"):
        local.connect(api_version="v1").update_studies("1.1", PatientID="X")


@pytest.mark.covers("fact 51")
def test_a_refused_attribute_is_told_without_values(serve, connect, as_json):
    comment = "DICOM100: (0010,0010) - 'Secret^Name' of 1.2.840.1 is not allowed"
    said = {"00741048": {"vr": "SQ", "Value": [{"00000902": {"vr": "LO", "Value": [comment]}}]}}
    client = connect(serve(as_json(said, 400)).url)
    with pytest.raises(BadRequestError) as caught:
        client.update_studies("1.2.840.1", PatientName="Secret^Name")
    assert "(0010,0010)" in str(caught.value)
    assert "Secret" not in str(caught.value)
    assert "1.2.840" not in str(caught.value)


def test_one_at_a_time_is_explained():
    with dfr.start_local(operation_polls=3) as local:
        client = local.connect(progress=False)
        first = client.update_studies("1.1", PatientID="X")
        with pytest.raises(ConflictError, match="Another update is running") as caught:
            client.update_studies("1.1", PatientID="X")
        assert first.id in str(caught.value)


def test_stopped_and_odd_servers(serve, connect, reply, as_json):
    site = serve(reply(200))
    site.stop()
    with pytest.raises(ConnectionFailed):
        connect(site.url).update_studies("1.1", PatientID="X")
    for odd in (
        reply(200, b"<html></html>", {"Content-Type": "text/html"}),
        as_json({}, 202),
        as_json([], 202),
    ):
        with pytest.raises(UnexpectedAnswerError):
            connect(serve(odd).url).update_studies("1.1", PatientID="X")
    plan = connect(serve(reply(200, b"garbage")).url).update_studies("1.1", PatientID="X", dry_run=True)
    assert plan.changes.isna().all()
    assert plan.error.notna().all()


def test_nothing_of_a_name_is_shown(client, capsys, caplog):
    caplog.set_level("DEBUG")
    loud = client.update_studies(["1.1"], PatientName="Secret^Name", progress=True)
    loud.wait()
    shown = capsys.readouterr()
    assert "Secret" not in shown.out + shown.err + caplog.text + repr(loud)
