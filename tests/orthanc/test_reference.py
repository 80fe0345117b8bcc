"""What the user's reference shows of plain DICOMweb, against Orthanc: its requests as they are written, then ours.

The reference's base path is ``/v1``, Orthanc's is ``/dicom-web``; nothing else is changed. What Orthanc lacks (fuzzy
matching, ``includefield=all``, deletion, thumbnails, and all that is Azure's own) is listed in ``docs/servers.md``.
"""

from __future__ import annotations

import io
from http.client import HTTPConnection
from urllib.parse import urlsplit

import numpy as np
import orjson
import pytest
from PIL import Image
from pydicom import dcmread
from pydicom.data import get_testdata_file

from dicomframe.client.client import Client
from dicomframe.dicom.parts import iter_parts

pytestmark = pytest.mark.orthanc

STUDY_TAG, SERIES_TAG, INSTANCE_TAG = "0020000D", "0020000E", "00080018"
PATIENTS = [("PAT1001", "Smith^Anna", "20240115"), ("PAT2001", "Smith^Bert", "20240131"),
            ("PAT3001", "Blacksmith^Cleo", "20230601"), ("OTHER", "Jones^Dan", "20240210")]  # fmt: skip


def file_of(number, patient, name, date):
    ct = dcmread(get_testdata_file("CT_small.dcm", download=False))
    ct.StudyInstanceUID, ct.SeriesInstanceUID = f"1.2.9.{number}", f"1.2.9.{number}.1"
    ct.SOPInstanceUID = ct.file_meta.MediaStorageSOPInstanceUID = f"1.2.9.{number}.1.1"
    ct.PatientID, ct.PatientName, ct.StudyDate = patient, name, date
    ct.PatientBirthDate, ct.AccessionNumber, ct.ReferringPhysicianName = (
        "19800203",
        f"A{number}",
        "House^Greg",
    )
    buffer = io.BytesIO()
    ct.save_as(buffer, enforce_file_format=True)
    return buffer.getvalue()


FILES = [file_of(number, *each) for number, each in enumerate(PATIENTS, 1)]


@pytest.fixture(scope="module")
def ask(orthanc):
    def send(method, route, body=None, **headers):
        parts = urlsplit(orthanc.dicom_web)
        connection = HTTPConnection(parts.netloc, timeout=300)
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        connection.request(method, f"{parts.path}/{route}", body, named)
        answer = connection.getresponse()
        content = answer.read()
        connection.close()
        return answer.status, dict(answer.getheaders()), content

    return send


@pytest.fixture(scope="module")
def client(orthanc):
    with Client(orthanc.dicom_web, progress=False) as connected:
        yield connected


def stow(*files):
    parts = [b"--myboundary\r\nContent-Type: application/dicom\r\n\r\n" + file for file in files]
    return b"\r\n".join(parts) + b"\r\n--myboundary--"


STOW = {
    "Content_Type": 'multipart/related; type="application/dicom"; boundary=myboundary',
    "Accept": "application/dicom+json",
}


@pytest.fixture(scope="module")
def stored(ask, client):
    """Store one, two, and one to its study, as the reference writes it; then all of them as we do."""
    said = []
    for route, files in (("studies", FILES[:1]), ("studies", FILES[1:3]), ("studies/1.2.9.4", FILES[3:])):
        status, _, body = ask("POST", route, stow(*files), **STOW)
        said.append((status, orjson.loads(body)))
    return said, client.store(FILES)


def test_storing(stored):
    said, table = stored
    for status, answer in said:
        assert status == 200
        assert not answer.get("00081198", {}).get("Value")
    uids = [item["00081155"]["Value"][0] for _, answer in said for item in answer["00081199"]["Value"]]
    assert uids == [f"1.2.9.{number}.1.1" for number in (1, 2, 3, 4)]
    assert set(table["status"]) <= {"stored", "exists", "warning"}


@pytest.mark.parametrize(
    ("query", "filters"),
    [
        ("PatientName=Smith*&StudyDate=20240101-20240131",
         {"PatientName": "Smith*", "StudyDate": ("2024-01-01", "2024-01-31")}),
        ("PatientName=Smith*", {"PatientName": "Smith*"}),
        ("PatientName=*Smith*", {"PatientName": "*Smith*"}),
        ("PatientID=PAT?001", {"PatientID": "PAT?001"}),
        ("StudyDate=20240115", {"StudyDate": "2024-01-15"}),
        ("StudyDate=20240101-20240131", {"StudyDate": ("2024-01-01", "2024-01-31")}),
        ("StudyDate=-20240115", {"StudyDate": (None, "2024-01-15")}),
        ("StudyDate=20240101-", {"StudyDate": ("2024-01-01", None)}),
        ("PatientName=Smith*&StudyDate=20240101-20240131&ModalitiesInStudy=CT&limit=50",
         {"PatientName": "Smith*", "StudyDate": ("2024-01-01", "2024-01-31"), "ModalitiesInStudy": "CT", "limit": 50}),
        ("offset=0&limit=100&fuzzymatching=false&includefield=all", {"fields": "all", "limit": 100}),
    ],
)  # fmt: skip
def test_searching_studies(ask, client, stored, query, filters):
    status, _, body = ask("GET", f"studies?{query}", Accept="application/dicom+json")
    theirs = {row[STUDY_TAG]["Value"][0] for row in orjson.loads(body)}
    assert status == 200
    assert theirs & {f"1.2.9.{number}" for number in (1, 2, 3, 4)}
    assert set(client.search_studies(**filters).to_frame()["StudyInstanceUID"]) == theirs


@pytest.mark.parametrize(
    ("keyword", "value"),
    [("AccessionNumber", "A1"), ("ReferringPhysicianName", "House^Greg"), ("PatientBirthDate", "19800203"),
     ("StudyID", "1CT1"), ("StudyDescription", "e?1"), ("StudyTime", "072730"), ("StudyInstanceUID", "1.2.9.1")],
)  # fmt: skip
def test_each_filter_of_the_study_level(ask, client, stored, keyword, value):
    status, _, body = ask("GET", f"studies?{keyword}={value}", Accept="application/dicom+json")
    theirs = {row[STUDY_TAG]["Value"][0] for row in orjson.loads(body)}
    assert (status, "1.2.9.1" in theirs) == (200, True)
    assert set(client.search_studies(**{keyword: value}).to_frame()["StudyInstanceUID"]) == theirs


def test_searching_series_and_instances(ask, client, stored):
    for route, tag, ours in (
        ("studies/1.2.9.1/series?Modality=CT", SERIES_TAG, client.search_series("1.2.9.1", Modality="CT")),
        ("studies/1.2.9.1/series?Modality=MR", SERIES_TAG, client.search_series("1.2.9.1", Modality="MR")),
        (
            "studies/1.2.9.1/series?SeriesNumber=1",
            SERIES_TAG,
            client.search_series("1.2.9.1", SeriesNumber=1),
        ),
        (
            "studies/1.2.9.1/series/1.2.9.1.1/instances",
            INSTANCE_TAG,
            client.search_instances("1.2.9.1", "1.2.9.1.1"),
        ),
    ):
        status, _, body = ask("GET", route, Accept="application/dicom+json")
        assert status == 200
        theirs = [row[tag]["Value"][0] for row in orjson.loads(body)]
        column = "SeriesInstanceUID" if tag == SERIES_TAG else "SOPInstanceUID"
        assert ours.to_frame()[column].tolist() == theirs


@pytest.mark.parametrize("route", ["studies/1.2.9.1", "studies/1.2.9.1/series/1.2.9.1.1"])
def test_retrieving(ask, client, stored, route):
    status, headers, body = ask("GET", route, Accept='multipart/related; type="application/dicom"')
    assert status == 200
    (theirs,) = [part.read() for part in iter_parts(headers["Content-Type"], [body])]
    uids = route.split("/")[1::2]
    (ours,) = client.retrieve_study(*uids) if len(uids) == 1 else client.retrieve_series(*uids)
    assert ours == dcmread(io.BytesIO(theirs)) == dcmread(io.BytesIO(FILES[0]))


def test_retrieving_an_instance(ask, client, stored):
    """``Accept: application/dicom`` alone is 400 at Orthanc; ours asks in a way that it understands."""
    route = "studies/1.2.9.1/series/1.2.9.1.1/instances/1.2.9.1.1.1"
    assert ask("GET", route, Accept="application/dicom")[0] == 400
    assert client.retrieve_instance("1.2.9.1", "1.2.9.1.1", "1.2.9.1.1.1") == dcmread(io.BytesIO(FILES[0]))


def test_retrieving_metadata(ask, client, stored):
    status, _, body = ask("GET", "studies/1.2.9.1/metadata", Accept="application/dicom+json")
    assert status == 200
    (theirs,) = orjson.loads(body)
    table = client.retrieve_metadata("1.2.9.1")
    assert table["SOPInstanceUID"].tolist() == theirs[INSTANCE_TAG]["Value"]
    assert table["Rows"].tolist() == theirs["00280010"]["Value"]


def test_rendered(ask, client, stored):
    route = "studies/1.2.9.1/series/1.2.9.1.1/instances/1.2.9.1.1.1/rendered"
    status, _, body = ask("GET", f"{route}?quality=90", Accept="image/jpeg")
    assert status == 200
    theirs = np.asarray(Image.open(io.BytesIO(body)))
    ours = client.retrieve_rendered("1.2.9.1", "1.2.9.1.1", "1.2.9.1.1.1", quality=90)
    assert ours.source == "server"
    np.testing.assert_array_equal(ours, theirs)
