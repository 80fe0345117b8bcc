"""The reference's section "Delete Operations", its requests as they are written, then the same with the client."""

from __future__ import annotations

import json
from http.client import HTTPConnection
from urllib.parse import urlsplit

import pytest
from pydicom import dcmread
from pydicom.data import get_testdata_file

import dicomframe as dfr
from dicomframe.client import operations
from dicomframe.errors import AuthenticationError, NotFoundError

TOKEN = "a-token"
STUDY, SERIES, INSTANCE = "1.2.826.0.8", "1.2.826.0.8.1", "1.2.826.0.8.1.1"
BLOCKS = {
    "Delete Study": "DELETE /v1/studies/{studyInstanceUID}\nAuthorization: Bearer {token}",
    "Delete Series": "DELETE /v1/studies/{studyInstanceUID}/series/{seriesInstanceUID}",
    "Delete Instance": "DELETE /v1/studies/{studyUID}/series/{seriesUID}/instances/{instanceUID}",
}
UIDS = {
    "{studyInstanceUID}": STUDY,
    "{seriesInstanceUID}": SERIES,
    "{studyUID}": STUDY,
    "{seriesUID}": SERIES,
    "{instanceUID}": INSTANCE,
    "{token}": TOKEN,
}
DEPTH = {"Delete Study": 1, "Delete Series": 2, "Delete Instance": 3}
#: The instances that are left by each, of two in each of two series.
LEFT = {"Delete Study": 0, "Delete Series": 2, "Delete Instance": 3}


def send(local, lines, **more):
    """Send a request written as in the reference; its Authorization stands for all blocks of the section."""
    for name, value in UIDS.items():
        lines = lines.replace(name, value)
    request, *headers = lines.splitlines()
    given = {"Authorization": f"Bearer {TOKEN}"} | dict(header.split(": ", 1) for header in headers) | more
    connection = HTTPConnection(urlsplit(local.url).netloc, timeout=300)
    connection.request(*request.split(" ")[:2], headers=given)
    answer = connection.getresponse()
    found = answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read()
    connection.close()
    return found


def fill(client):
    def made():
        for series in (1, 2):
            for number in (1, 2):
                one = dcmread(get_testdata_file("CT_small.dcm", download=False))
                one.StudyInstanceUID, one.SeriesInstanceUID = STUDY, f"{STUDY}.{series}"
                one.SOPInstanceUID = one.file_meta.MediaStorageSOPInstanceUID = f"{STUDY}.{series}.{number}"
                yield one

    assert set(client.store(made())["status"]) == {"stored"}


@pytest.fixture(scope="module")
def started():
    with dfr.start_local(token=TOKEN, operation_polls=2) as local:
        yield local


@pytest.fixture
def stepped(started, monkeypatch):
    monkeypatch.setattr(operations, "_FIRST_PAUSE", 0.005)
    client = started.connect()
    client.delete_many(client.search_studies().to_frame())
    fill(client)
    return started


@pytest.mark.covers("Delete Study", "Delete Series", "Delete Instance")
@pytest.mark.parametrize("block", BLOCKS)
def test_the_blocks(stepped, block):
    """As written, the answer is the real service's: 204 at once; and 404 when there is nothing any more."""
    client = stepped.connect()
    assert send(stepped, BLOCKS[block])[0] == 204
    assert len(client.search_instances().to_frame()) == LEFT[block]
    status, _, body = send(stepped, BLOCKS[block])
    assert (status, set(json.loads(body)["error"])) == (404, {"code", "message", "details"})
    assert send(stepped, BLOCKS[block], Authorization="Bearer other")[0] == 401


@pytest.mark.covers("Delete Study", "Delete Series", "Delete Instance")
@pytest.mark.parametrize("block", BLOCKS)
def test_the_blocks_with_the_client(stepped, block):
    client = stepped.connect()
    uids = (STUDY, SERIES, INSTANCE)[: DEPTH[block]]
    assert len(client.delete(*uids, dry_run=True)) == 4 - LEFT[block]
    assert client.delete(*uids)["status"].tolist() == ["deleted"]
    assert len(client.search_instances().to_frame()) == LEFT[block]
    with pytest.raises(NotFoundError):
        client.delete(*uids)
    with pytest.raises(AuthenticationError):
        dfr.connect(stepped.url, credential="other").delete(*uids)


@pytest.mark.covers("Delete operations are asynchronous", "Note", "Handle Async Operations")
@pytest.mark.parametrize("block", BLOCKS)
def test_the_note(stepped, block):
    """Asked for it, the service deletes in an operation, and its Operation-Location header has the status."""
    client = stepped.connect()
    status, headers, body = send(stepped, BLOCKS[block], Prefer="respond-async")
    link = headers["operation-location"]
    assert (status, json.loads(body)["href"]) == (202, link)
    path = urlsplit(link).path
    seen = [send(stepped, f"GET {path}") for _ in range(3)]
    assert [(status, json.loads(said)["status"]) for status, _, said in seen] == [
        (202, "running"),
        (202, "running"),
        (200, "completed"),
    ]
    assert json.loads(seen[-1][2])["results"] == {"instancesDeleted": 4 - LEFT[block]}
    assert len(client.search_instances().to_frame()) == LEFT[block]
    assert send(stepped, BLOCKS[block], Prefer="respond-async")[0] == 404


@pytest.mark.covers("Delete operations are asynchronous", "Note", "Handle Async Operations")
def test_the_note_with_the_client(stepped):
    client = stepped.connect(progress=False)
    assert client.delete(STUDY, SERIES, background=True, wait=False)["status"].tolist() == ["accepted"]
    assert len(client.search_instances().to_frame()) == 4
    assert client.delete(STUDY, background=True)["status"].tolist() == ["deleted"]
    assert len(client.search_instances().to_frame()) == 0
