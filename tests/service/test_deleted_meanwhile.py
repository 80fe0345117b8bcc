"""What is deleted while it is read, also by another process: gone, or an answer that is cut off, and no failure."""

from __future__ import annotations

import logging
from http.client import HTTPConnection, IncompleteRead

import numpy as np
import pytest

import dicomframe as dfr
from dicomframe.client import download
from dicomframe.service.index import Index
from dicomframe.service.server import Server
from dicomframe.service.service import Service

#: More than sockets and buffers hold on the way.
LARGE = bytes(8_000_000)


def large(dicom, uids):
    return dicom(uids) + b"\xe0\x7f\x10\x00OW\0\0" + len(LARGE).to_bytes(4, "little") + LARGE


@pytest.fixture
def two(tmp_path, caplog, capfd):
    """Give two services of one folder, as two processes have them; no log may name anything or show a failure."""
    with (
        caplog.at_level(logging.INFO),
        Server(Service.open(tmp_path / "data")) as one,
        Server(Service.open(tmp_path / "data")) as other,
    ):
        yield one, other
    words = caplog.text + "".join(capfd.readouterr())
    assert "Traceback" not in words
    assert "1.1.1" not in words


@pytest.mark.parametrize("deleter", [0, 1])
def test_a_stream_of_what_is_deleted_ends_as_one_that_is_cut_off(two, http_for, dicom, caplog, deleter):
    http = [http_for(None, server.url) for server in two]
    http[0].stored(*(large(dicom, f"1/1/{number}") for number in range(1, 4)))
    connection = HTTPConnection(two[0].url.removeprefix("http://"), timeout=300)
    connection.request("GET", "/v2/studies/1.1", headers={"Accept": "*/*"})
    response = connection.getresponse()
    assert response.status == 200
    response.read(1000)
    assert http[deleter]("DELETE", "studies/1.1").status == 204
    with pytest.raises(IncompleteRead):
        response.read()
    connection.close()
    assert "deleted meanwhile" in caplog.text
    assert http[0].get("studies/1.1").status == 404


def test_a_download_tells_which_rows_were_deleted_meanwhile(two, dicom, http_for, tmp_path, monkeypatch):
    http_for(None, two[0].url).stored(*(large(dicom, f"1/1/{number}") for number in range(1, 5)))
    other = http_for(None, two[1].url)
    save = download.Folder.save

    def save_and_delete(self, body, expected=None):
        for number in (2, 3):
            other("DELETE", f"studies/1.1/series/1.1.1/instances/1.1.1.{number}")
        return save(self, body, expected)

    monkeypatch.setattr(download.Folder, "save", save_and_delete)
    with dfr.connect(two[0].url, progress=False) as client:
        table = client.download("1.1", tmp_path / "files").set_index("SOPInstanceUID")
    assert table["status"].to_dict() == {
        "1.1.1.1": "saved",
        "1.1.1.2": "failed",
        "1.1.1.3": "failed",
        "1.1.1.4": "saved",
    }
    assert table["error"].dropna().str.startswith("NotFoundError: 404").tolist() == [True, True]


INSTANCE = "studies/1.1/series/1.1.1/instances/1.1.1.1"


@pytest.mark.parametrize(
    ("route", "accept"),
    [("studies/1.1", "*/*"), (INSTANCE, "*/*"), (f"{INSTANCE}/frames/1", "*/*"), (f"{INSTANCE}/rendered", "image/png"),
     (f"{INSTANCE}/thumbnail", "image/jpeg"), (f"{INSTANCE}/frames/1/rendered", "image/jpeg"),
     (f"{INSTANCE}/bulkdata/7FE00010", "*/*"),
     ("studies/1.1", 'multipart/related; type="application/dicom"; transfer-syntax=1.2.840.10008.1.2.4.90'),
     ("wado?requestType=WADO&studyUID=1.1&seriesUID=1.1.1&objectUID=1.1.1.1", "*/*")],
)  # fmt: skip
def test_what_is_deleted_between_two_looks_is_gone(http, image, route, accept, caplog):
    """The index says that it is there, and its file is gone."""
    http.stored(image(np.zeros((40, 40), np.uint16)))
    assert http("GET", route, {"Accept": accept}).status == 200
    http.service.blobs.path(1).unlink()
    assert http("GET", route, {"Accept": accept}).status == 404
    assert not [record for record in caplog.records if record.levelno >= logging.ERROR]


@pytest.mark.parametrize("path", ["studies/1.1", INSTANCE])
@pytest.mark.parametrize("what", ["update", "deletion"])
def test_metadata_and_their_etag_are_of_one_moment(two, http_for, dicom, monkeypatch, path, what):
    one, other = (http_for(None, server.url) for server in two)
    one.stored(dicom("1/1/1", PatientID="Old"))
    before = one.get(f"{path}/metadata")
    find = Index.find
    body = b'{"studyInstanceUids": ["1.1"], "changeDataset": {"00100020": {"vr": "LO", "Value": ["New"]}}}'

    def find_and_then(index, partition, uids):
        monkeypatch.undo()
        found = find(index, partition, uids)
        if what == "deletion":
            assert other("DELETE", "studies/1.1").status == 204
        else:
            begun = other("POST", "studies/$bulkUpdate", {"Content-Type": "application/json"}, body)
            while other.get(begun.headers["location"].partition("/v2/")[2]).status == 202:
                continue
        return found

    monkeypatch.setattr(Index, "find", find_and_then)
    during = one.get(f"{path}/metadata")
    assert (during.status, during.headers["etag"], during.body) == (200, before.headers["etag"], before.body)
    after = one.get(f"{path}/metadata")
    if what == "deletion":
        assert after.status == 404
    else:
        assert after.headers["etag"] != before.headers["etag"]
        assert after.values("00100020") == ["New"]
