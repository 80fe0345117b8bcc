"""One test body, two transports: the client over loopback and in process must behave the same."""

import datetime as dt

import pandas as pd
import pytest
from pydicom import dcmread
from pydicom.data import get_testdata_file

import dicomframe as dfr
from dicomframe.client.client import Client
from dicomframe.client.session import InProcessAdapter
from dicomframe.errors import (
    AuthenticationError,
    BadRequestError,
    ConnectionFailed,
    NotFoundError,
    QueryError,
)
from dicomframe.service.inprocess import handler
from dicomframe.service.service import Service


@pytest.fixture(params=["loopback", "in process"])
def client(request, tmp_path):
    if request.param == "loopback":
        with dfr.start_local(tmp_path / "service") as local:
            yield local.connect()
    else:
        with Service.open(tmp_path / "service") as service:
            yield Client("http://127.0.0.1:80", adapter=InProcessAdapter(handler(service.app)))


CT = get_testdata_file("CT_small.dcm", download=False)
MR = get_testdata_file("MR_small.dcm", download=False)


def test_store_search_retrieve_and_delete(client):
    outcome = client.store([CT, MR])
    assert outcome["status"].tolist() == ["stored", "stored"]

    studies = client.search_studies().to_frame()
    assert sorted(studies["PatientID"]) == ["1CT1", "4MR1"]
    assert studies.attrs["dicom"]["completeness"] == "complete"
    [path] = studies.loc[studies["PatientID"] == "1CT1", "StudyInstanceUID"]

    series = client.search_series(path).to_frame()
    assert series["Modality"].tolist() == ["CT"]
    instances = client.search_instances(path).to_frame()
    original = dcmread(CT)
    assert instances["SOPInstanceUID"].tolist() == [original.SOPInstanceUID]

    [retrieved] = client.retrieve_study(path)
    assert retrieved.PixelData == original.PixelData
    one = client.retrieve_instance(path, series["SeriesInstanceUID"][0], original.SOPInstanceUID)
    assert one == retrieved

    headers = client.retrieve_metadata(path, keywords=["KVP", "SliceThickness"])
    assert headers[["KVP", "SliceThickness"]].to_numpy().tolist() == [[120.0, 5.0]]

    would_go = client.delete(path, dry_run=True)
    assert would_go["SOPInstanceUID"].tolist() == [original.SOPInstanceUID]
    assert len(client.search_studies().to_frame()) == 2
    gone = client.delete(path)
    assert len(gone) >= 1
    assert client.search_studies().to_frame()["PatientID"].tolist() == ["4MR1"]
    with pytest.raises(NotFoundError):
        list(client.retrieve_study(path))


def test_filters_of_every_kind(client):
    client.store([CT, MR])
    found = {
        "wildcard": client.search_studies(PatientName="Compressed*CT?"),
        "range": client.search_studies(StudyDate=("2004-01-01", dt.date(2004, 12, 31))),
        "open range": client.search_studies(StudyDate=(None, "20041231")),
        "slice": client.search_studies(StudyDate=slice("2004-01-19", "2004-01-19")),
        "timestamp": client.search_studies(StudyDate=pd.Timestamp("2004-01-19")),
        "any of": client.search_studies(ModalitiesInStudy=["CT", "MR"]),
        "any of, doubled": client.search_studies(PatientID=["1CT1", "1CT1", "4MR1"]),
        "limit": client.search_studies(limit=1),
    }
    rows = {name: len(search.to_frame()) for name, search in found.items()}
    assert rows == {
        "wildcard": 1,
        "range": 2,
        "open range": 2,
        "slice": 1,
        "timestamp": 1,
        "any of": 2,
        "any of, doubled": 2,
        "limit": 1,
    }
    assert found["limit"].completeness == "truncated"


def test_storing_again_and_storing_nothing_readable(client, tmp_path):
    assert client.store([CT])["status"].tolist() == ["stored"]
    again = client.store([CT])
    assert again["status"].tolist() == ["exists"]
    assert again["code"].tolist() == [45070]
    text = tmp_path / "notes.txt"
    text.write_text("no DICOM")
    empty = tmp_path / "empty.dcm"
    empty.touch()
    mixed = client.store([text, MR, empty, tmp_path / "missing.dcm"])
    assert mixed["status"].tolist()[1] == "stored"
    assert set(mixed["status"].drop(1)) == {"unreadable"}
    assert mixed["reason"].drop(1).str.len().gt(10).all()
    (tmp_path / "folder").mkdir()
    nothing = client.store(tmp_path / "folder")
    assert nothing["status"].tolist() == ["unreadable"]
    assert "folder" in nothing["reason"][0]
    assert nothing.dtypes.to_dict() == mixed.dtypes.to_dict()


@pytest.mark.parametrize(
    ("ask", "words"),
    [
        (lambda client: client.search_studies(PatientsName="A"), "PatientName"),
        (
            lambda client: client.search_studies(StudyDate=("2024-02-01", "2024-01-01")),
            "before|after|reversed|end",
        ),
        (lambda client: client.search_studies(StudyDate="soon"), "date"),
        (lambda client: client.retrieve_study("../../etc"), "characters"),
        (lambda client: client.delete("1.2/series/1"), "characters"),
    ],
)
def test_bad_requests_are_refused_before_they_are_sent(client, ask, words):
    with pytest.raises(QueryError, match=words):
        list(ask(client) or ())


def test_unknown_things_and_refused_filters(client):
    with pytest.raises(NotFoundError) as caught:
        client.delete("1.2.3")
    assert caught.value.status == 404
    assert "1.2.3" not in str(caught.value)
    with pytest.raises(QueryError, match="Rows is not searchable"):
        client.search_studies(Rows=512).to_frame()
    with pytest.raises(BadRequestError):
        client.session.request("GET", "studies", params=[("Rows", "512")])


def test_no_service_and_no_token(tmp_path):
    with dfr.start_local(tmp_path / "service", token="secret-token") as local:
        url = local.url
        with pytest.raises(AuthenticationError) as caught:
            dfr.connect(url, retries=0).search_studies().to_frame()
        assert "secret-token" not in str(caught.value)
        assert local.connect().search_studies().to_frame().empty
        assert "secret-token" not in repr(local.connect())
    with pytest.raises(ConnectionFailed):
        dfr.connect(url, retries=0).search_studies().to_frame()
