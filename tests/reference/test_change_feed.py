"""The section "Change Feed" of the reference, request by request, and best practice 4."""

import http.client
import json
from urllib.parse import urlsplit

import pandas as pd
import pytest
from pydicom.data import get_testdata_file

import dicomframe as dfr

CT = get_testdata_file("CT_small.dcm", download=False)
MR = get_testdata_file("MR_small.dcm", download=False)

EXAMPLE = """
[{
  "sequence": 1,
  "studyInstanceUid": "1.2.3.4.5",
  "seriesInstanceUid": "1.2.3.4.5.1",
  "sopInstanceUid": "1.2.3.4.5.1.1",
  "action": "Create",
  "timestamp": "2024-01-15T14:30:00.000Z",
  "state": "Current",
  "metadata": {
    "00080020": { "vr": "DA", "Value": ["20240115"] }
  }
}]
"""


@pytest.fixture
def local():
    with dfr.start_local() as started:
        yield started


def ask(local, method, path, **headers):
    connection = http.client.HTTPConnection(urlsplit(local.url).netloc, timeout=300)
    try:
        connection.request(method, path, headers=headers)
        response = connection.getresponse()
        return response.status, response.read()
    finally:
        connection.close()


def get_changes(local):
    status, body = ask(local, "GET", "/v1/changefeed?offset=0&limit=100", Accept="application/dicom+json")
    assert status == 200
    return json.loads(body)


@pytest.mark.covers("Change Feed")
@pytest.mark.covers("Get Changes")
def test_get_changes(local):
    assert get_changes(local) == []
    local.connect().store([CT, MR])
    assert [entry["sequence"] for entry in get_changes(local)] == [1, 2]
    for version in ("v1", "v2"):
        table = local.connect(api_version=version).change_feed().to_frame()
        assert table["sequence"].tolist() == [1, 2]


@pytest.mark.covers("Response Format")
def test_response_format(local):
    client = local.connect()
    client.store([CT])
    (expected,) = json.loads(EXAMPLE)
    (entry,) = get_changes(local)
    assert expected.keys() <= entry.keys()
    assert all(type(entry[name]) is type(value) for name, value in expected.items())
    assert (entry["sequence"], entry["action"], entry["state"]) == (1, "Create", "Current")
    assert entry["timestamp"].endswith("Z")
    assert entry["metadata"]["00080020"] == {"vr": "DA", "Value": ["20040119"]}
    uids = client.search_instances().to_frame().loc[0]
    assert [entry["studyInstanceUid"], entry["seriesInstanceUid"], entry["sopInstanceUid"]] == [
        uids["StudyInstanceUID"], uids["SeriesInstanceUID"], uids["SOPInstanceUID"],
    ]  # fmt: skip


@pytest.mark.covers("Response Format")
def test_the_documented_response_becomes_a_table():
    table = dfr.from_change_feed(EXAMPLE)
    row = table.loc[0]
    assert row[["sequence", "StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID", "action", "state"]].tolist() == [
        1, "1.2.3.4.5", "1.2.3.4.5.1", "1.2.3.4.5.1.1", "create", "current",
    ]  # fmt: skip
    assert row["timestamp"] == pd.Timestamp("2024-01-15T14:30:00Z")
    assert row["StudyDate"] == pd.Timestamp("2024-01-15")
    assert table.dicom.issues().empty


@pytest.mark.covers("Action Types")
def test_action_create_is_a_new_instance_stored(local):
    local.connect().store([CT])
    assert [entry["action"] for entry in get_changes(local)] == ["Create"]
    assert local.connect().latest_change()["action"].tolist() == ["create"]


@pytest.mark.covers("Action Types")
def test_action_delete_is_an_instance_deleted(local):
    client = local.connect()
    client.store([CT])
    study = client.search_studies().to_frame().loc[0, "StudyInstanceUID"]
    assert ask(local, "DELETE", f"/v1/studies/{study}")[0] == 204
    create, delete = get_changes(local)
    assert (create["action"], create["state"]) == ("Create", "Deleted")
    assert (delete["action"], delete["state"]) == ("Delete", "Deleted")
    assert "metadata" not in create
    assert "metadata" not in delete
    assert client.latest_change()[["action", "state"]].to_numpy().tolist() == [["delete", "deleted"]]


@pytest.mark.covers("Get Latest Sequence")
def test_get_latest_sequence(local):
    assert ask(local, "GET", "/v1/changefeed/latest") == (204, b"")
    client = local.connect()
    assert client.latest_change().empty
    client.store([CT, MR])
    status, body = ask(local, "GET", "/v1/changefeed/latest")
    assert status == 200
    assert json.loads(body)["sequence"] == 2
    assert client.latest_change()["sequence"].tolist() == [2]


@pytest.mark.covers("Best Practices: Monitor Change Feed")
def test_monitor_change_feed(local):
    """Track changes for sync rather than polling searches: a copy that is kept by following equals a search."""
    client = local.connect()
    changes = client.follow_changes(interval=0.01)
    copy = set()
    for act in (
        lambda: client.store([CT]),
        lambda: client.store([MR]),
        lambda: client.delete(client.search_studies(PatientID="1CT1").to_frame().loc[0, "StudyInstanceUID"]),
        lambda: client.store([CT]),
    ):
        act()
        for change in next(changes).itertuples():
            (copy.add if change.action == "create" else copy.discard)(change.SOPInstanceUID)
        assert copy == set(client.search_instances().to_frame()["SOPInstanceUID"])
