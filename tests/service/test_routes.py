"""Routes, versions, tokens, partitions, and what a hostile client sends."""

from __future__ import annotations

import logging
import socket
from urllib.parse import quote

import pytest

from dicomframe.service import app
from dicomframe.service.inprocess import handler
from dicomframe.service.service import Service


@pytest.mark.covers("fact 39")
def test_letter_case_does_not_matter(http, dicom):
    http.stored(dicom())
    assert http.get("/V2/Studies").status == 200
    assert http.get("/v2/STUDIES/1.1/Series/1.1.1/INSTANCES/1.1.1.1/Metadata").status == 200
    assert http.get("/v2/studies/").status == 200


@pytest.mark.covers("fact 40")
def test_versions_are_reported(http):
    for path in ("/v1/studies", "/v2/studies", "/v2/nothing", "/v2/changefeed"):
        assert http.get(path).headers["api-supported-versions"] == "v1, v2"


JSON = {"Content-Type": "application/dicom+json"}
MULTIPART = {"Content-Type": 'multipart/related; type="application/dicom"; boundary=test'}


@pytest.mark.covers("fact 38")
@pytest.mark.parametrize(
    ("method", "path", "headers", "body", "status", "code"),
    [
        ("GET", "studies?nonsense=1", {}, b"", 400, "UnknownQueryParameter"),
        ("GET", "studies?StudyDate=2024-01-15", {}, b"", 400, "RequestValidationError"),
        ("GET", "studies?limit=1&limit=1", {}, b"", 400, "DuplicateQueryParameter"),
        ("GET", "studies?includefield=nonsense", {}, b"", 400, "InvalidIncludeField"),
        ("GET", "studies/a/series", {}, b"", 400, "InvalidUid"),
        ("DELETE", "studies/a", {}, b"", 400, "InvalidUid"),
        ("DELETE", "studies/1.1?x=1", {}, b"", 400, "BadRequest"),
        ("POST", "studies", MULTIPART, b"garbage", 400, "InvalidMultipartBody"),
        ("POST", "studies/a", MULTIPART, b"", 400, "InvalidUid"),
        ("POST", "studies?x=1", MULTIPART, b"", 400, "BadRequest"),
        ("GET", "studies", {"Accept": "text/html"}, b"", 406, "NotAcceptable"),
        ("GET", "studies/1.1", {"Accept": "text/html"}, b"", 406, "NotAcceptable"),
        ("GET", "studies/1.1/metadata", {"Accept": "text/html"}, b"", 406, "NotAcceptable"),
        ("POST", "studies", MULTIPART | {"Accept": "text/html"}, b"", 406, "NotAcceptable"),
        ("GET", "workitems/1.2", {"Accept": "text/html"}, b"", 406, "NotAcceptable"),
        ("GET", "studies/1.9", {}, b"", 404, "NotFound"),
        ("DELETE", "studies/1.9", {}, b"", 404, "NotFound"),
        ("GET", "nothing", {}, b"", 404, "NotFound"),
        ("GET", "workitems/1.9", {}, b"", 404, "NotFound"),
        ("POST", "studies", {"Content-Type": "text/plain"}, b"x", 415, "UnsupportedMediaType"),
        ("POST", "workitems?1.2", {"Content-Type": "text/plain"}, b"[{}]", 415, "UnsupportedMediaType"),
        ("POST", "workitems?1.2", JSON, b"[" + b" " * (1 << 20) + b"]", 413, "RequestTooLarge"),
        ("POST", "workitems?1.2", JSON, b"{", 400, "InvalidJson"),
        ("POST", "workitems?1.2", JSON, b"[{}]", 400, "MissingOrForbiddenAttribute"),
        ("PUT", "studies", {}, b"", 405, "MethodNotAllowed"),
    ],
)  # fmt: skip
def test_every_refusal_has_the_references_shape(http, method, path, headers, body, status, code):
    for version in ("v1", "v2"):
        reply = http(method, f"/{version}/{path}", headers, body)
        assert reply.status == status
        assert reply.json["error"]["code"] == code
        assert len(reply.message) >= 20  # `message` checks the shape


@pytest.mark.parametrize("path", ["/", "/studies", "/v3/studies", "/v2", "/v2/", "/v2/nothing", "/v2//studies",
                                  "/v2/studies/1.1/nothing", "/v2/studies/1.1/series/1.2/metadata/x"])  # fmt: skip
def test_unknown_paths(http, path):
    reply = http.get(path)
    assert reply.status == 404
    assert "no such route" in reply.message


def test_what_is_not_built_says_so(service, http, monkeypatch):
    """No route of the table is left unbuilt; one that comes to be planned answers so."""
    assert [route.path for route in app.ROUTES if route.handler is None] == []
    monkeypatch.setattr(app, "ROUTES", (app.Route("GET", "planned/{}", versions=("v2",)),))
    planned = app.Dispatcher(service)
    status, _, body = handler(planned)("GET", "/v2/planned/1", {}, [])
    assert status == 501
    assert b"does not have it yet" in b"".join(body)
    status, _, body = handler(planned)("GET", "/v1/planned/1", {}, [])
    assert (status, b"no such route" in b"".join(body)) == (404, True)


@pytest.mark.covers("fact 39", "fact 51")
def test_bulk_update_is_of_version_2(http):
    assert http("POST", "/v2/studies/$bulkUpdate").status == 400
    assert http("POST", "/v1/studies/$bulkUpdate").status == 404


@pytest.mark.parametrize("method", ["PUT", "PATCH", "OPTIONS", "HEAD", "NONSENSE"])
def test_other_verbs(http, method):
    reply = http(method, "/v2/studies")
    assert reply.status == 405
    assert reply.headers["allow"] == "GET, POST"
    assert "GET, POST" in reply.message


MALFORMED = [
    "abc", "1.2.x", "1" * 65, "1.2.", "1 2", "1.2\0", "..", "%2E%2E", "1.2%2F..%2F..%2Fetc",
    "..%2f..%2fetc%2fpasswd", "%00", "1.2%0d%0aX: y", "\uff11.\uff12",
]  # fmt: skip


@pytest.mark.parametrize("uid", MALFORMED)
def test_malformed_uids(http, dicom, uid):
    http.stored(dicom())
    target = uid if "%" in uid else quote(uid)
    for route in (
        f"studies/{target}",
        f"studies/1.1/series/{target}",
        f"studies/1.1/series/1.1.1/instances/{target}",
    ):
        for method in ("GET", "DELETE"):
            reply = http(method, route)
            assert reply.status in {400, 404, 405}
            assert "x" not in reply.headers
    assert len(http.get("instances").json) == 1


@pytest.mark.parametrize("name", ["{}", "{*}", "{study}", "%7B%7D"])
def test_a_placeholder_is_no_wildcard(http, dicom, name):
    """A template that was not filled in must not mean the study above it, least of all in a deletion."""
    http.stored(dicom("1/1/1"), dicom("1/2/2"))
    for route in (
        f"studies/{name}",
        f"studies/1.1/series/{name}",
        f"studies/1.1/series/1.1.1/instances/{name}",
    ):
        for method in ("GET", "DELETE"):
            assert http(method, route).status == 400
    assert http.get(f"studies/{name}/metadata").status == 400
    assert http.get(f"operations/{name}").status == 404
    assert len(http.get("instances").json) == 2


def test_a_malformed_uid_is_explained(http):
    reply = http.get("studies/a/series")
    assert reply.status == 400
    assert "study UID" in reply.message
    assert "64 digits" in reply.message


def test_a_token_is_demanded(tmp_path, http_for, dicom):
    with Service.open(tmp_path, token="s3cret") as service:
        http = http_for(service)
        for given in (
            None,
            "",
            "Bearer",
            "Bearer wrong",
            "Basic s3cret",
            "s3cret",
            "Bearer s3cret2",
            "Bearer \xff",
        ):
            reply = http.get("studies", authorization=given)
            assert reply.status == 401
            assert reply.headers["www-authenticate"].startswith("Bearer")
            assert "s3cret" not in reply.message
        assert http.get("nothing").status == 401
        assert http.store(dicom()).status == 401
        assert http.get("studies", authorization="bearer s3cret").status == 204


@pytest.mark.covers("fact 53")
def test_partitions_switched_off(http):
    for path in ("/v2/partitions/a/studies", "/v2/partitions/a", "/v2/Partitions"):
        reply = http.get(path)
        assert reply.status == 400
        assert "switched off" in reply.message


@pytest.mark.covers("fact 53")
def test_partitions_keep_apart(tmp_path, http_for, dicom):
    with Service.open(tmp_path, partitions=True) as service:
        http = http_for(service)
        for path in (
            "/v2/studies",
            "/v2/partitions/a/studies",
            "/v2/partitions/b%20c/studies",
        ):
            assert http.get(path).status == 400
        assert "must name one" in http.get("/v2/studies").message
        assert "no such data partition" in http.get("/v2/partitions/a/studies").message
        first, second = (
            http_for(service, prefix="/v2/partitions/a"),
            http_for(service, prefix="/v2/partitions/b"),
        )
        first.stored(dicom())
        second.stored(dicom(PatientID="OTHER"))
        (item,) = first.store(dicom("1/1/2")).json["00081199"]["Value"]
        assert "/v2/partitions/a/studies/1.1/series/1.1.1/instances/" in item["00081190"]["Value"][0]
        assert second.get("instances").values("00100020") == ["OTHER"]
        assert second("DELETE", "studies/1.1").status == 204
        assert len(first.get("instances").json) == 2
        assert second.get("studies/1.1").status == 404


def test_huge_headers_are_refused(anyhow):
    reply = anyhow.get("studies", x_long="a" * 70_000)
    assert reply.status in {400, 431}


def test_a_failure_within_is_a_500_that_names_nobody(http, monkeypatch, caplog):
    words = "John"

    def broken(*_):
        raise RuntimeError("Doe^" + words)

    monkeypatch.setattr(http.service.index, "search", broken)
    with caplog.at_level(logging.DEBUG):
        reply = http.search("studies", PatientName="Doe")
    assert reply.status == 500
    assert "see its log" in reply.message
    assert "RuntimeError" in caplog.text
    assert "Doe^John" not in caplog.text


@pytest.mark.parametrize("garbage", [b"\0\1\2\3\r\n\r\n", b"GET\r\n\r\n", b"GET /v2/studies HTTP/9.9\r\n\r\n",
                                     b"GET /v2/studies?\xff\xfe HTTP/1.1\r\nHost: x\r\n\r\n",
                                     b"POST /v2/studies HTTP/1.1\r\nContent-Length: -1\r\n\r\n"])  # fmt: skip
def test_garbage_on_the_wire_harms_nobody(tmp_path, http_for, garbage):
    from dicomframe.service.server import Server

    with Server(Service.open(tmp_path)) as server:
        host, port = server.url.removeprefix("http://").split(":")
        with socket.create_connection((host, int(port)), timeout=60) as connection:
            connection.sendall(garbage)
            connection.shutdown(socket.SHUT_WR)
            answer = connection.recv(65536)
        assert answer == b"" or answer.startswith(b"HTTP/1.1 4")
        assert http_for(None, server.url).get("studies").status == 204
