"""The service's description of itself, and the service held to it by schemathesis, which others wrote."""

from __future__ import annotations

import dataclasses
import json
import re
from contextlib import suppress

import pytest
import requests
import schemathesis
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.errors import Unsatisfiable
from openapi_spec_validator import validate
from schemathesis.checks import load_all_checks, not_a_server_error
from schemathesis.specs.openapi import checks

from dicomframe.service.app import ROUTES, WITHOUT_PARTITION
from dicomframe.service.openapi.document import DESCRIPTIONS, EXTRAS, document
from dicomframe.service.openapi.parts import Variant
from dicomframe.service.openapi.yaml import to_yaml
from dicomframe.service.server import Server
from dicomframe.service.service import Service

VARIANTS = [
    Variant(version, strict, partitions, token)
    for version in ("v1", "v2")
    for strict, partitions, token in ((False, False, False), (True, True, True), (False, True, False))
]


# -- the description --------------------------------------------------------------------------------------------


def test_every_route_is_described_and_nothing_else():
    assert {(route.method, route.path) for route in ROUTES} == set(DESCRIPTIONS)


def all_routes():
    """The table as it is when everything in it has a handler."""

    async def handler(_):
        raise AssertionError

    return [dataclasses.replace(route, handler=route.handler or handler) for route in ROUTES]


@pytest.mark.parametrize("variant", VARIANTS, ids=str)
@pytest.mark.parametrize("routes", [ROUTES, all_routes()], ids=["built", "all"])
def test_it_is_valid(routes, variant):
    described = document(routes, WITHOUT_PARTITION, variant, "http://127.0.0.1:1/v2")
    validate(described)
    assert yaml.safe_load(to_yaml(described)) == described
    names = [operation["operationId"] for path in described["paths"].values() for operation in path.values()]
    assert len(names) == len(set(names))


def served(http, version, **headers):
    reply = http.get(f"/{version}/api.yaml", **headers)
    assert reply.status == 200
    assert reply.headers["content-type"] == "application/yaml"
    return yaml.safe_load(reply.body)


@pytest.mark.covers("route GET api.yaml")
@pytest.mark.parametrize("version", ["v1", "v2"])
def test_it_is_served_and_has_what_has_a_handler(anyhow, version):
    described = served(anyhow, version)
    assert described["info"]["version"] == version
    assert described["servers"][0]["url"].endswith(f"/{version}")
    listed = {
        (method.upper(), path.count("/"), path.split("/")[1])
        for path, methods in described["paths"].items()
        for method in methods
    }
    built = {
        (route.method, route.path.count("/") + 1, route.path.split("/")[0])
        for route in ROUTES
        if route.handler is not None and version in route.versions
    }
    assert listed == built
    assert sum(len(methods) for methods in described["paths"].values()) == sum(
        route.handler is not None and version in route.versions for route in ROUTES
    )


def test_it_differs_by_version_and_setting(tmp_path, http_for):
    routes = all_routes()
    v1 = document(routes, WITHOUT_PARTITION, Variant("v1"), "")
    v2 = document(routes, WITHOUT_PARTITION, Variant("v2"), "")
    assert "/studies/$bulkupdate" in v2["paths"]
    assert "/studies/$bulkupdate" not in v1["paths"]

    def parameters(described, path):
        return {each["name"] for each in described["paths"][path]["get"]["parameters"]}

    assert parameters(v2, "/changefeed") - parameters(v1, "/changefeed") == {"startTime", "endTime"}
    with Service.open(tmp_path, strict=True, partitions=True, token="s3cret") as service:
        http = http_for(service)
        assert http.get("/v2/api.yaml").status == 401
        described = served(http, "v2", authorization="Bearer s3cret")
    assert "s3cret" not in str(described)
    assert described["security"] == [{"token": []}]
    search = described["paths"]["/partitions/{partition}/studies"]["get"]
    assert {"StudyID", "StudyTime"}.isdisjoint(each["name"] for each in search["parameters"])
    assert "401" in search["responses"]
    assert "/operations/{operation}" in described["paths"]


@pytest.mark.parametrize(
    "value",
    ["", "yes", "No", "null", "1", "1.0", "a: b", "- a", "#", "a #b", "'", '"', "ä", "a\nb", "{}", "*", " a", "a ",
     "3.1.0", "2024-01-15", "0x1", "~", "a:", ":a", "a-", "$ref", "/a/{b}", "%", "@", "`", "!", "&", "|", ">"],
)  # fmt: skip
def test_texts_stay_texts(value):
    for data in ({"key": value}, {value: 1}, [value], {"a": [{value: value}, [value, []], {}]}):
        assert yaml.safe_load(to_yaml(data)) == data


# -- the service held to it ---------------------------------------------------------------------------------------


@schemathesis.serializer("application/dicom", "multipart/related")
def as_it_is(ctx, value):
    """Send generated values as bytes: no JSON Schema tells what a DICOM file is."""
    return value if isinstance(value, bytes) else json.dumps(value, default=str).encode()


CHECKS = [
    not_a_server_error,
    checks.status_code_conformance,
    checks.content_type_conformance,
    checks.response_headers_conformance,
    checks.response_schema_conformance,
]
REAL = {
    "study": "1.1",
    "series": "1.1.1",
    "instance": "1.1.1.1",
    "frames": "1",
    "frame": "1",
    "partition": "a",
    "path": "7FE00010",
    "tag": "00200010",
}
#: A service that is as the user's reference has it, in both versions, and one with all that can be switched on.
STRICT = "v2, strict, with partitions and a token"
BUILT = [
    pytest.param(name, route, id=f"{name} {route.method} {route.path}")
    for route in ROUTES
    if route.handler is not None
    for name in ("v1", "v2", STRICT)
    if name[:2] in route.versions and not (name == STRICT and (route.method, route.path) in EXTRAS)
]
KIND = 'multipart/related; type="application/dicom"; boundary=test'


@pytest.fixture(scope="module")
def running(tmp_path_factory, multipart, dicom):
    """Start both services with one instance; give their descriptions by name, and what puts the instance back."""
    load_all_checks()
    body = multipart(dicom())
    folder = tmp_path_factory.mktemp("openapi")
    token = {"Authorization": "Bearer s3cret"}
    strict = Service.open(folder / "strict", strict=True, partitions=True, token="s3cret")
    with Server(Service.open(folder / "lenient")) as lenient, Server(strict) as all_on:
        studies = [f"{lenient.url}/v2/studies", f"{all_on.url}/v2/partitions/a/studies"]

        def fill():
            for url in studies:
                sent = {"Content-Type": KIND, "Accept": "*/*", **token}
                assert requests.post(url, data=body, headers=sent, timeout=60).status_code in {200, 409}

        fill()
        from_url = schemathesis.openapi.from_url
        described = {version: from_url(f"{lenient.url}/{version}/api.yaml") for version in ("v1", "v2")}
        described[STRICT] = from_url(f"{all_on.url}/v2/api.yaml", headers=token)
        yield described, fill


@pytest.mark.parametrize(("name", "route"), BUILT)
def test_the_service_does_what_it_says(running, name, route):
    described, fill = running
    operation = next(
        each
        for path, operations in described[name].items()
        for method, each in operations.items()
        if method.upper() == route.method and same(path, route.path)
    )
    for mode in schemathesis.GenerationMode:

        @settings(
            max_examples=5,
            derandomize=True,
            database=None,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        )
        @given(case=operation.as_strategy(generation_mode=mode), is_real=st.booleans())
        def hold(case, is_real):
            if is_real:
                case.path_parameters = {
                    name: REAL.get(name, value) for name, value in (case.path_parameters or {}).items()
                }
            headers = {"Authorization": "Bearer s3cret"} if name == STRICT else {}
            case.call_and_validate(checks=CHECKS, headers=headers, timeout=60)

        if mode is schemathesis.GenerationMode.NEGATIVE:
            with suppress(Unsatisfiable):  # where anything is good data, none is bad
                hold()
        else:
            hold()
    if route.method == "DELETE":
        fill()


def same(path, route):
    """Whether a path of the description is a path of the route table."""
    bare = re.sub(r"\{[a-z]+\}", "{}", path).removeprefix("/partitions/{}").removeprefix("/")
    return bare == route.replace("{*}", "{}")
