"""Tokens that the local service takes: an owner's, a reader's, ended ones and other services' ones."""

import base64
import json
import time

import pytest

from dicomframe.errors import DicomFrameError
from dicomframe.service.admission import Admission
from dicomframe.service.faults import Fault
from dicomframe.service.service import Service

AUDIENCE = "https://dicom.healthcareapis.azure.com"
LATER = 4_000_000_000


def jwt(**claims):
    parts = ({"alg": "none", "typ": "JWT"}, claims)
    return (
        ".".join(base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=").decode() for part in parts)
        + "."
    )


@pytest.fixture
def guarded(tmp_path, http_for):
    with Service.open(tmp_path, token="own", read_only_token="read") as service:
        yield http_for(service)


def test_a_reader_reads_and_changes_nothing(guarded, dicom):
    stored = guarded.store(dicom(), authorization="Bearer own")
    assert stored.status == 200
    assert guarded.get("studies", authorization="Bearer read").status == 200
    assert guarded.get("studies/1.1", authorization="Bearer read").status == 200
    for method, path in (
        ("POST", "studies"),
        ("DELETE", "studies/1.1"),
        ("PUT", "workitems/1.2/state"),
        ("PATCH", "extendedquerytags/00101002"),
        ("POST", "no-such-route"),
    ):
        reply = guarded(method, path, {"Authorization": "Bearer read"})
        assert reply.status == 403, method
        assert all(word in reply.message for word in (method, "DICOM Data Reader", "DICOM Data Owner"))
        assert reply.json["error"]["code"] == "Forbidden"
        assert "www-authenticate" not in reply.headers
    assert guarded.get("studies", authorization="Bearer own").json
    assert guarded("DELETE", "studies/1.1", {"Authorization": "Bearer own"}).status == 204


def test_with_a_readers_token_alone_nobody_writes(tmp_path, http_for, dicom):
    with Service.open(tmp_path, read_only_token="read") as service:
        http = http_for(service)
        assert http.get("studies").status == 401
        assert http.get("studies", authorization="Bearer read").status == 204
        assert http.store(dicom(), authorization="Bearer read").status == 403


@pytest.mark.parametrize(
    ("given", "challenge"),
    [
        (None, "Bearer"),
        ("", "Bearer"),
        ("Bearer", "Bearer"),
        ("Bearer  ", "Bearer"),
        ("Basic own", "Bearer"),
        ("Bearer other", 'Bearer error="invalid_token"'),
        ("Bearer ow", 'Bearer error="invalid_token"'),
    ],
)
def test_the_challenge_of_a_refusal(guarded, given, challenge):
    reply = guarded.get("studies", authorization=given)
    assert (reply.status, reply.headers["www-authenticate"]) == (401, challenge)
    assert reply.json["error"]["code"] == "Unauthorized"
    assert not {"own", "ow", "other"} & set(reply.message.split())


def test_an_ended_token_is_refused_although_it_is_the_right_one(tmp_path, http_for):
    ended = jwt(exp=1_705_329_000, aud=AUDIENCE)
    with Service.open(tmp_path, token=ended) as service:
        reply = http_for(service).get("studies", authorization=f"Bearer {ended}")
    assert reply.status == 401
    assert reply.headers["www-authenticate"] == (
        'Bearer error="invalid_token", error_description="The token expired at \'01/15/2024 14:30:00\'"'
    )
    assert "expired" in reply.message
    assert ended not in str(reply)


@pytest.mark.parametrize(
    ("audience", "status"),
    [
        (AUDIENCE, 204),
        (AUDIENCE + "/", 204),
        ("75e725bf-66ce-4cea-9b9a-5c4caae57f33", 204),
        (["https://other.example", AUDIENCE], 204),
        (None, 204),
        ("https://management.azure.com", 401),
        (["https://other.example"], 401),
    ],
)
def test_a_token_for_another_service(tmp_path, http_for, audience, status):
    token = jwt(exp=LATER, **({} if audience is None else {"aud": audience}))
    with Service.open(tmp_path, token=token) as service:
        reply = http_for(service).get("studies", authorization=f"Bearer {token}")
    assert reply.status == status
    if status == 401:
        assert "audience" in reply.headers["www-authenticate"]


def test_a_token_ends_while_the_service_runs(monkeypatch):
    token = jwt(exp=int(time.time()) + 60)
    admission = Admission(token)
    headers = [(b"authorization", f"Bearer {token}".encode())]
    admission.check("GET", headers)
    now = time.time()
    monkeypatch.setattr("dicomframe.service.admission.time.time", lambda: now + 61)
    with pytest.raises(Fault, match="expired"):
        admission.check("GET", headers)


@pytest.mark.parametrize("odd", ["a.b.c", "a.W10.c", "..", "a.!!.c", jwt(exp="soon"), jwt(aud=None)])
def test_odd_texts_are_ordinary_tokens(odd):
    Admission(odd).check("DELETE", [(b"authorization", f"Bearer {odd}".encode())])


@pytest.mark.parametrize("tokens", [("",), (None, ""), ("same", "same")])
def test_tokens_that_make_no_sense(tokens):
    with pytest.raises(DicomFrameError):
        Admission(*tokens)
