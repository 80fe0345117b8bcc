"""What hostile servers and pages must not bring about: commands to a terminal, requests from pages, endless work."""

import copy
import logging
import stat
from http.client import HTTPConnection
from urllib.parse import urlsplit

import pytest

import dicomframe as dfr
from dicomframe.client.answers import blot, read_words
from dicomframe.errors import NotFoundError, OperationFailedError, ServiceError
from dicomframe.service.negotiation import ranges_of

HOSTILE = "gone\x1b[2J\x07 \u202ekcab \x9b31m"


@pytest.mark.parametrize(
    "error",
    [
        NotFoundError(
            404, "GET /v2/studies/1.2.3", code=HOSTILE, message=HOSTILE, details=[HOSTILE], hint=HOSTILE
        ),
        OperationFailedError("a", HOSTILE, HOSTILE, {}),
    ],
)
def test_a_servers_words_command_no_terminal(error):
    for said in (str(error), repr(error)):
        assert all(line.isprintable() for line in said.splitlines()), repr(said)
        assert "1.2.3" not in said
    assert blot(HOSTILE).isprintable()


def test_long_words_of_a_server_are_read_in_one_pass():
    """Each of these took a time that grew with the square of its length."""
    assert "wwww" in blot("w" * 60_000)
    assert read_words("text/html", b"<title" * 10_000).message.startswith("an HTML page")
    assert len(ranges_of('a/b;x="' * 10_000)) <= 10_000
    assert [media.type for _, media in ranges_of('a/b;x="1,2", c/d')] == ["a/b", "c/d"]
    assert isinstance(read_words("application/json", b"[" * 60_000), object)


@pytest.fixture(scope="module")
def local():
    with dfr.start_local() as started:
        yield started


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 204),
        ({"Host": "localhost"}, 204),
        ({"Host": "[::1]:80"}, 204),
        ({"Host": "workspace-dicom.dicom.azurehealthcareapis.com"}, 204),
        ({"Origin": "http://localhost:8888"}, 204),
        ({"Host": "rebound.example.org"}, 421),
        ({"Origin": "https://example.org"}, 403),
        ({"Origin": "null"}, 403),
        ({"Host": "rebound.example.org", "Origin": "http://rebound.example.org"}, 421),
    ],
)
def test_pages_of_other_sites_are_not_answered(local, headers, status):
    connection = HTTPConnection(urlsplit(local.url).netloc, timeout=300)
    connection.request("GET", "/v2/studies", headers={"Accept": "application/dicom+json", **headers})
    answer = connection.getresponse()
    body = answer.read()
    connection.close()
    assert answer.status == status
    assert b"web page" in body or status == 204


def test_folders_that_are_made_are_their_users_alone(tmp_path):
    folder = tmp_path / "archive"
    with dfr.start_local(folder):
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700


def test_debug_logs_hold_no_query(local, caplog):
    with caplog.at_level(logging.DEBUG), local.connect() as client:
        client.search_studies(PatientName="Secretname^*").to_frame()
    assert "Secretname" not in caplog.text


def test_errors_of_a_service_are_copied_whole():
    error = ServiceError(400, "GET /v2/studies", "Code", "words", ["one"], "do this")
    again = copy.deepcopy(error)
    assert (str(again), again.details) == (str(error), error.details)
    failed = OperationFailedError("id", "update", "failed", {"a": 1})
    assert copy.deepcopy(failed).results == {"a": 1}
