"""Web pages of other sites cannot speak to the service through a browser on this machine; programs can."""

from __future__ import annotations

import json

import pytest

from dicomframe.service.service import Service


@pytest.fixture(scope="module")
def asked(tmp_path_factory, http_for):
    with Service.open(tmp_path_factory.mktemp("service"), faults={}) as service:
        yield http_for(service)


@pytest.mark.parametrize(
    "host",
    [
        None,
        "127.0.0.1:8080",
        "127.0.0.1",  # dicomweb-client leaves the port out
        "localhost:8080",
        "LOCALHOST",
        "localhost.:8080",
        "viewer.localhost",
        "[::1]:8080",
        "172.17.0.1:8080",  # addresses cannot be made to resolve elsewhere
        "host.docker.internal:8080",
        "dicom:8080",  # a container's name
        "workspace-service.dicom.azurehealthcareapis.com",  # in requests that were written for the real service
    ],
)
def test_hosts_that_are_answered(asked, host):
    assert asked("GET", "/v2/studies", {"Accept": "*/*", "Host": host}).status == 204


@pytest.mark.parametrize(
    "host",
    [
        "rebound.example.org:8080",
        "localhost.example.org",
        "127.0.0.1.example.org",
        "example.org#localhost",
        "localhost@example.org",
        "[::1",
        "0x7f.1",
    ],
)
@pytest.mark.parametrize("path", ["/v2/studies", "/_control/faults"])
def test_a_name_that_may_be_anybodys_is_refused(asked, host, path):
    reply = asked("GET", path, {"Accept": "*/*", "Host": host})
    assert reply.status == 421
    assert "host names" in reply.message


@pytest.mark.parametrize(
    "origin", ["http://localhost:3000", "http://127.0.0.1:8080", "http://[::1]", "https://a.localhost"]
)
def test_pages_of_this_machine_are_answered(asked, origin):
    assert asked("GET", "/v2/studies", {"Host": "127.0.0.1", "Origin": origin}).status == 204


@pytest.mark.parametrize(
    "origin",
    [
        "https://example.org",
        "http://localhost.example.org",
        "http://93.184.216.34",
        "null",
        "",
        "http://[",
        "file://",
    ],
)
def test_a_page_of_another_site_changes_nothing(asked, origin):
    headers = {"Host": "127.0.0.1:8080", "Origin": origin, "Content-Type": "text/plain"}
    faults = json.dumps({"server_error": {}}).encode()
    before = asked.service.faults.settings
    for method, path, body in (
        ("GET", "/v2/studies", b""),
        ("POST", "/v2/export", b"{}"),
        ("DELETE", "/v2/studies/1.2", b""),
        ("PUT", "/_control/faults", faults),
        ("DELETE", "/_control/faults", b""),
    ):
        assert asked(method, path, headers, body).status == 403
    assert asked.service.faults.settings == before
