"""The reference's section "Extended Query Tags": its requests as they are written, then the same with the client."""

from __future__ import annotations

import json
import threading
from http.client import HTTPConnection
from io import BytesIO
from urllib.parse import urlsplit

import pytest
from pydicom import dcmread, dcmwrite
from pydicom.data import get_testdata_file

import dicomframe as dfr
from dicomframe.errors import NotBuiltError, NotFoundError, QueryError

#: One attribute of each VR that the section lists: its keyword, level, value in the files, and what finds it.
BULLETS = {
    "DA": ("AcquisitionDate", "Instance", "20240115", "20240101-20240131"),
    "TM": ("AcquisitionTime", "Instance", "103000.5", "1030-1031"),
    "DT": ("AcquisitionDateTime", "Instance", "20240115103000", "20240115-20240116"),
    "PN": ("OperatorsName", "Series", "Smith^Anna", "Smith*"),
    "LO": ("InstitutionName", "Study", "General Hospital", "general hospital"),
    "SH": ("StationName", "Series", "CT-2", "CT*"),
    "UI": ("FrameOfReferenceUID", "Series", "1.2.3.4", "1.2.3.4"),
    "CS": ("BodyPartExamined", "Series", "HEAD", "HEAD"),
    "IS": ("InstanceNumber", "Instance", "12", "12"),
    "DS": ("PatientWeight", "Study", "70.5", "70.50"),
    "AS": ("PatientAge", "Study", "042Y", "042Y"),
    "AE": ("ScheduledStationAETitle", "Instance", "CTAE", "CTAE"),
}
ROUTES = {"Study": "studies", "Series": "series", "Instance": "instances"}


def send(local, lines, body=b""):
    """Send a request whose head is written as in the reference; give status, headers in lower case, and body."""
    request, *headers = [line.strip() for line in lines.strip().splitlines()]
    method, target = request.split(" ")[:2]
    connection = HTTPConnection(urlsplit(local.url).netloc, timeout=300)
    connection.request(method, target, body or None, dict(header.split(": ", 1) for header in headers))
    answer = connection.getresponse()
    found = answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read()
    connection.close()
    return found


def follow(local, headers):
    """Poll the Operation-Location to the operation's end, as best practice 6 says."""
    path = urlsplit(headers["operation-location"]).path
    for _ in range(2000):
        status, _, body = send(local, f"GET {path}")
        if status == 200:
            return json.loads(body)
        assert status == 202
        threading.Event().wait(0.005)
    raise AssertionError


def file(number):
    made = dcmread(get_testdata_file("CT_small.dcm", download=False))
    made.StudyInstanceUID = f"1.2.826.0.9.{number}"
    made.SeriesInstanceUID = f"1.2.826.0.9.{number}.1"
    made.SOPInstanceUID = made.file_meta.MediaStorageSOPInstanceUID = f"1.2.826.0.9.{number}.1.1"
    for keyword, *_, value, _asked in BULLETS.values():
        setattr(made, keyword, value if number == 1 else None)
    written = BytesIO()
    dcmwrite(written, made)
    return written.getvalue()


@pytest.fixture(scope="module")
def filled():
    with dfr.start_local() as service:
        for number in (1, 2):
            status, *_ = send(service, "POST /v1/studies\nContent-Type: application/dicom", file(number))
            assert status == 200
        yield service


@pytest.fixture
def local(filled):
    yield filled
    client = filled.connect()
    for path in client.query_tags()["path"]:
        client.delete_query_tag(path)


@pytest.mark.covers("List Extended Query Tags")
def test_list_extended_query_tags(local):
    status, headers, body = send(local, "GET /v1/extendedquerytags")
    assert (status, headers["content-type"], json.loads(body)) == (200, "application/json", [])
    client = local.connect()
    client.add_query_tags({"PatientAge": "Study"}).wait()
    _, _, body = send(local, "GET /v1/extendedquerytags")
    assert [tag["path"] for tag in json.loads(body)] == ["00101010"] == client.query_tags()["path"].tolist()


@pytest.mark.covers("Add Extended Query Tag")
def test_the_sample_of_add_extended_query_tag_is_refused_in_clear_words(local):
    """The section's own sample adds a sequence, which no service can search: both sides name what they take."""
    sample = b"""{
  "path": "00101002",
  "level": "Study",
  "vr": "SQ"
}"""
    status, _, body = send(local, "POST /v1/extendedquerytags\nContent-Type: application/json", sample)
    said = json.loads(body)["error"]
    assert (status, set(said)) == (400, {"code", "message", "details"})
    with pytest.raises(QueryError) as caught:
        local.connect().add_query_tags(json.loads(sample))
    for message in (said["message"], str(caught.value)):
        assert "OtherPatientIDsSequence" in message
        assert "SQ" in message
        assert all(f" {vr}" in message for vr in BULLETS)


@pytest.mark.covers("Add Extended Query Tag")
def test_add_extended_query_tag(local):
    """The sample's shape, one object, with an attribute that can be searched; then an array; then the client."""
    sample = b'{"path": "00101010", "level": "Study", "vr": "AS"}'
    head = "POST /v1/extendedquerytags\nContent-Type: application/json"
    status, headers, body = send(local, head, sample)
    assert (status, json.loads(body)["href"]) == (202, headers["operation-location"])
    assert follow(local, headers)["status"] == "completed"
    status, headers, _ = send(local, head, b'[{"path": "BodyPartExamined", "level": "Series"}]')
    assert status == 202
    follow(local, headers)
    client = local.connect()
    assert (
        client.add_query_tags({"path": "00100040", "level": "Study", "vr": "CS"}).wait().status == "succeeded"
    )
    assert client.query_tags()["status"].tolist() == ["Ready"] * 3


@pytest.mark.covers("Supported VR Types")
@pytest.mark.parametrize("vr", BULLETS)
def test_supported_vr_types(local, vr):
    """Added, indexed for what is stored, and searched by: over the wire, then with the client."""
    keyword, level, _, asked = BULLETS[vr]
    entry = json.dumps({"path": keyword, "level": level, "vr": vr}).encode()
    status, headers, _ = send(local, "POST /v1/extendedquerytags\nContent-Type: application/json", entry)
    assert status == 202
    assert follow(local, headers)["results"] == {"instances": 2, "errors": 0}
    target = f"/v1/{ROUTES[level]}?{keyword}={asked.replace(' ', '%20')}"
    status, _, body = send(local, f"GET {target}\nAccept: application/dicom+json")
    assert (status, [row["0020000D"]["Value"] for row in json.loads(body)]) == (200, [["1.2.826.0.9.1"]])
    client = local.connect()
    assert client.query_tag(keyword)["vr"].tolist() == [vr]
    search = {
        "Study": client.search_studies,
        "Series": client.search_series,
        "Instance": client.search_instances,
    }
    table = search[level](**{keyword: asked}).to_frame()
    assert table["StudyInstanceUID"].tolist() == ["1.2.826.0.9.1"]
    assert keyword in table.columns


@pytest.mark.covers("Reindex Studies")
def test_reindex_studies(local):
    client = local.connect()
    client.add_query_tags({"PatientAge": "Study"}).wait()
    for path in ("00101010", "PatientAge"):
        status, headers, _ = send(local, f"POST /v1/extendedquerytags/{path}/reindex")
        assert status == 202
        assert follow(local, headers)["type"] == "reindex"
    assert client.reindex_query_tag("PatientAge").wait().results == {"instances": 2, "errors": 0}
    assert len(client.search_studies(PatientAge="042Y").to_frame()) == 1
    assert send(local, "POST /v1/extendedquerytags/00100040/reindex")[0] == 404
    with pytest.raises(NotFoundError):
        client.reindex_query_tag("PatientSex")


@pytest.mark.covers("Reindex Studies")
def test_the_real_service_has_no_such_route():
    with dfr.start_local(strict=True) as strict:
        client = strict.connect()
        client.add_query_tags({"PatientAge": "Study"}).wait()
        assert send(strict, "POST /v1/extendedquerytags/00101010/reindex")[0] == 404
        with pytest.raises(NotBuiltError, match="when the tag was added"):
            client.reindex_query_tag("PatientAge")


@pytest.mark.covers("Index Extended Tags")
def test_tags_added_first_need_no_reindexing():
    """Best practice 5: what is stored after the tag is searchable as soon as it is stored."""
    with dfr.start_local() as empty:
        client = empty.connect()
        operation = client.add_query_tags({"PatientAge": "Study"}).wait()
        assert operation.results == {"instances": 0, "errors": 0}
        send(empty, "POST /v1/studies\nContent-Type: application/dicom", file(1))
        assert send(empty, "GET /v1/studies?PatientAge=042Y\nAccept: application/dicom+json")[0] == 200
        assert len(client.search_studies(PatientAge="042Y").to_frame()) == 1


@pytest.mark.covers("Handle Async Operations")
def test_operations_are_polled_for_reindexing():
    """Best practice 6, with states that repeat: the Operation-Location tells how far the reindexing is."""
    with dfr.start_local(operation_polls=2) as stepped:
        body = b'{"path": "PatientAge", "level": "Study"}'
        _, headers, _ = send(stepped, "POST /v1/extendedquerytags\nContent-Type: application/json", body)
        path = urlsplit(headers["operation-location"]).path
        seen = [send(stepped, f"GET {path}") for _ in range(3)]
        assert [(status, json.loads(text)["percentComplete"]) for status, _, text in seen] == [
            (202, 33),
            (202, 66),
            (200, 100),
        ]
        operation = stepped.connect(progress=False).add_query_tags({"PatientSex": "Study"})
        steps = []
        while not operation.refresh().done:
            steps.append((operation.status, operation.percent))
        assert steps == [("running", 33), ("running", 66)]
        assert operation.status == "succeeded"


def test_numbers_of_binary_vrs_are_searched_too(local):
    """The real service takes six VRs more than the section lists."""
    client = local.connect()
    client.add_query_tags({"Rows": "Instance", "RecommendedDisplayFrameRateInFloat": "Instance"}).wait()
    assert len(client.search_instances(Rows=128).to_frame()) == 2
