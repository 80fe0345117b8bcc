"""Both versions of the API side by side, reported on every answer, in any letter case."""

from __future__ import annotations

import pytest

from dicomframe.service.app import ROUTES
from dicomframe.service.service import Service

ANSWERS = [
    (200, "GET", "studies", {}),
    (204, "GET", "studies?PatientID=nobody", {}),
    (304, "GET", "studies/1.1/metadata", {"If-None-Match": "*"}),
    (400, "GET", "studies/x", {}),
    (400, "GET", "studies?limit=0", {}),
    (404, "GET", "nothing", {}),
    (404, "GET", "studies/1.9", {}),
    (400, "GET", "studies/1.1%0A/metadata", {}),
    (405, "PUT", "studies", {}),
    (405, "HEAD", "studies", {}),
    (405, "OPTIONS", "studies", {}),
    (406, "GET", "studies", {"Accept": "text/html"}),
    (415, "POST", "studies", {"Content-Type": "text/plain"}),
    (409, "POST", "studies", {"Content-Type": "application/dicom"}),
    (431, "GET", "studies", {"X-Long": "a" * 60_000, "X-Longer": "a" * 6_000}),
]


@pytest.mark.covers("fact 40")
@pytest.mark.parametrize("version", ["v1", "v2"])
@pytest.mark.parametrize(("status", "method", "path", "headers"), ANSWERS)
def test_every_answer_names_the_versions(http, dicom, version, status, method, path, headers):
    http.stored(dicom())
    reply = http(method, f"/{version}/{path}", headers)
    assert (reply.status, reply.headers["api-supported-versions"]) == (status, "v1, v2")


@pytest.mark.covers("fact 40")
def test_refusals_and_failures_name_them_too(tmp_path, http_for, monkeypatch):
    with Service.open(tmp_path, token="s3cret") as service:
        http = http_for(service)
        assert http.get("studies").headers["api-supported-versions"] == "v1, v2"
        monkeypatch.setattr(service.index, "search", lambda *_: 1 / 0)
        reply = http.get("studies", authorization="Bearer s3cret")
        assert (reply.status, reply.headers["api-supported-versions"]) == (500, "v1, v2")


@pytest.mark.covers("fact 38")
@pytest.mark.parametrize(
    ("status", "method", "path", "headers"),
    [answer for answer in ANSWERS if answer[0] >= 400 and answer[0] != 409 and answer[1] != "HEAD"],
)
def test_refusals_have_the_shape_of_the_reference(http, dicom, status, method, path, headers):
    http.stored(dicom())
    reply = http(method, f"/v2/{path}", headers)
    assert reply.status == status
    assert reply.message


def addressed(path):
    """A path of the route table with UIDs in it."""
    for name, uid in (("studies", "1.1"), ("series", "1.1.1"), ("instances", "1.1.1.1"), ("frames", "1")):
        path = path.replace(f"{name}/{{}}", f"{name}/{uid}")
    return path.replace("{}", "1").replace("{*}", "7FE00010")


@pytest.mark.covers("fact 39")
@pytest.mark.parametrize("route", ROUTES, ids=lambda route: f"{route.method} {route.path}")
def test_letter_case_does_not_matter_in_any_route(http, route):
    path = f"/{route.versions[-1]}/{addressed(route.path)}"
    replies = [http(route.method, each) for each in (path, path.upper(), path.title())]
    assert len({reply.status for reply in replies}) == 1
    assert all("no such route" not in reply.body.decode("latin_1") for reply in replies)


def test_what_one_version_stores_the_other_has(http, v1, dicom):
    http.stored(dicom("1/1/1"))
    v1.stored(dicom("2/1/1"))
    for client in (http, v1):
        assert sorted(client.get("studies").values("0020000D")) == ["1.1", "1.2"]
        for study in ("1.1", "1.2"):
            assert client.get(f"studies/{study}").status == 200
    assert v1("DELETE", "studies/1.1").status == 204
    assert http.get("studies/1.1").status == 404


@pytest.mark.parametrize("route", [route for route in ROUTES if len(route.versions) == 1])
def test_a_route_of_one_version_is_a_404_in_the_other(http, route):
    (version,) = route.versions
    other = "v1" if version == "v2" else "v2"
    assert http(route.method, f"/{other}/{addressed(route.path)}").status == 404
    assert http(route.method, f"/{version}/{addressed(route.path)}").status != 404


def test_urls_in_answers_are_of_the_version_that_was_asked(http, v1, dicom):
    for client, study, version in ((http, 1, "v2"), (v1, 2, "v1")):
        (item,) = client.store(dicom(f"{study}/1/1")).json["00081199"]["Value"]
        assert f"/{version}/studies/1.{study}/" in item["00081190"]["Value"][0]
