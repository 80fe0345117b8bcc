"""Injected faults, seen from outside: as raw bytes over a socket, and in process."""

from __future__ import annotations

import http.client
import json
import socket
import subprocess
import sys
from contextlib import closing

import pytest

import dicomframe as dfr
from dicomframe.cli import main
from dicomframe.errors import ConnectionFailed, QueryError
from dicomframe.service.app import Dispatcher
from dicomframe.service.faultplan import FaultPlan, read_settings
from dicomframe.service.server import Server
from dicomframe.service.service import Service

CONTROL = "/_control/faults"


def fill(http, dicom):
    """Store three studies of two instances each."""
    http.stored(*[dicom(f"{study}/1/{one}") for study in (1, 2, 3) for one in (1, 2)])


@pytest.fixture(scope="module", params=["in process", "loopback"])
def filled(request, tmp_path_factory, http_for, dicom):
    opened = Service.open(tmp_path_factory.mktemp("faulty"), faults={})
    if request.param == "in process":
        with opened:
            http = http_for(opened)
            fill(http, dicom)
            yield http
    else:
        with Server(opened) as server:
            http = http_for(opened, server.url)
            fill(http, dicom)
            yield http


@pytest.fixture
def faulty(filled):
    """A service with three studies of two instances, whose faults are switched on by the test."""
    filled.service.faults.clear()
    yield filled
    filled.service.faults.clear()
    assert len(filled.get("instances").json) == 6


@pytest.fixture
def unhurt(tmp_path, http_for):
    """An empty service, in process, whose faults are switched on by the test."""
    with Service.open(tmp_path / "data", faults={}) as opened:
        yield http_for(opened)


@pytest.fixture(scope="module")
def listening(tmp_path_factory, http_for):
    with Server(Service.open(tmp_path_factory.mktemp("wire"), faults={})) as server:
        yield http_for(server._service, server.url)


@pytest.fixture
def wire(listening, dicom):
    """A service over loopback, and what comes back over a raw socket: the bytes, and whether RST ended them."""
    faults = listening.service.faults
    faults.clear()
    listening.store(dicom("1/1/1"), dicom("1/1/2"))
    host, port = listening.url.removeprefix("http://").split(":")

    def ask(target, method="GET", body=b""):
        with socket.create_connection((host, int(port)), timeout=60) as connection:
            connection.sendall(
                b"%b %b HTTP/1.1\r\nHost: x\r\nAccept: */*\r\nContent-Length: %d\r\n\r\n%b"
                % (method.encode(), target.encode(), len(body), body)
            )
            received = b""
            try:
                while piece := connection.recv(65536):
                    received += piece
            except ConnectionResetError:
                return received, True
            return received, False

    ask.faults = faults
    ask.http = listening
    yield ask
    faults.clear()


# -- how they are set ------------------------------------------------------------------------------


def test_without_faults_nothing_is_there(http, tmp_path):
    for method in ("GET", "PUT", "DELETE"):
        assert http(method, CONTROL).status == 404
    assert http.service.faults is None
    assert isinstance(http.service.app, Dispatcher)  # nothing round it
    with dfr.start_local(tmp_path / "local") as local, pytest.raises(QueryError, match=r"faults=\{\}"):
        _ = local.faults


def test_the_control_route(faulty):
    assert faulty.get(CONTROL).json == {"settings": {"seed": 0}, "counts": {}, "requests": 0}
    set_ = faulty("PUT", CONTROL, body=json.dumps({"seed": 7, "throttle": {"count": 1}}).encode())
    assert set_.status == 200
    assert set_.json["settings"]["throttle"] == [
        {"probability": 1.0, "count": 1, "method": None, "path": None, "status": 429, "retry_after": 1}
    ]
    assert [faulty.get("studies").status for _ in range(3)] == [429, 200, 200]
    assert faulty.get(CONTROL).json["counts"] == {"throttle": 1}
    assert faulty.get(CONTROL).json["requests"] == 3  # those for the control route are not counted
    assert faulty("DELETE", CONTROL).json["settings"] == {"seed": 0}
    assert faulty.get("studies").status == 200
    other = faulty("POST", CONTROL)
    assert (other.status, other.headers["allow"]) == (405, "DELETE, GET, PUT")


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"latencyy": 1}, "'latencyy' is no kind of fault; seed, latency, throttle"),
        ({"latency": "slow"}, "latency must be true, a number, or a mapping"),
        (
            {"latency": {"second": 1}},
            "no setting 'second'; probability, count, method, path, seconds, jitter",
        ),
        ({"latency": {"seconds": -1}}, "latency.seconds must be a number from 0 to 600"),
        ({"latency": {"seconds": True}}, "latency.seconds must be a number"),
        ({"throttle": {"status": 500}}, "throttle.status must be one of 429, 503"),
        ({"throttle": {"probability": 1.5}}, "throttle.probability must be a number from 0 to 1"),
        ({"throttle": 2}, "throttle.probability must be a number from 0 to 1"),
        ({"error": {"status": 403}}, "error.status must be one of 404, 500"),
        ({"reset": {"when": "never"}}, "reset.when must be one of before, after, within"),
        ({"reset": [True, {"count": 0}]}, "reset.count must be a whole number from 1"),
        ({"drift": {"change": None}}, "drift.change must be one of insert, remove"),
        ({"truncate": {"keep": 1}}, "truncate.keep must be a number from 0 to 0.999"),
        ({"bad_values": {"kinds": ["worse"]}}, "bad_values.kinds must be a list out of empty_number"),
        ({"bad_values": {"kinds": "plain_name"}}, "bad_values.kinds must be a list"),
        ({"error": {"method": "get"}}, "error.method must be one of GET"),
        ({"error": {"path": ""}}, "error.path must be a text"),
        ({"seed": "x"}, "seed must be a whole number"),
    ],
)
def test_settings_that_are_refused(unhurt, settings, words):
    unhurt.service.faults.set(latency=0)
    reply = unhurt("PUT", CONTROL, body=json.dumps(settings).encode())
    assert reply.status == 400
    assert words in reply.message
    assert list(unhurt.service.faults.settings) == ["seed", "latency"]  # they stay what they were
    with pytest.raises(QueryError):
        Service.open(faults=settings)


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b'"x"', b"x" * 70_000])
def test_bodies_that_are_refused(unhurt, body):
    assert unhurt("PUT", CONTROL, body=body).status in {400, 413}


def test_short_forms():
    plan = FaultPlan.parse({"latency": 0.5, "reset": True, "error": 0.25, "throttle": None, "drift": False})
    assert [(name, rule.probability) for name, rule in plan.rules] == [
        ("latency", 1.0),
        ("reset", 1.0),
        ("error", 0.25),
    ]
    assert plan.rules[0][1].seconds == 0.5
    assert FaultPlan.parse(plan.settings()) == plan


def test_the_control_route_demands_the_token(tmp_path, http_for):
    with Service.open(tmp_path, token="s3cret", faults={}) as service:
        http = http_for(service)
        assert http.get(CONTROL).status == 401
        assert http("PUT", CONTROL, body=b'{"reset": true}').status == 401
        assert http.get(CONTROL, authorization="Bearer s3cret").status == 200
        assert service.faults.settings == {"seed": 0}


def test_files_with_faults(tmp_path, capsys):
    (tmp_path / "faults.json").write_text('{"latency": [{"seconds": 1}, {"seconds": 2}]}')
    (tmp_path / "faults.toml").write_text("[[latency]]\nseconds = 1\n[[latency]]\nseconds = 2\n")
    assert read_settings(tmp_path / "faults.json") == read_settings(tmp_path / "faults.toml")
    for name, text, words in (
        ("bad.toml", "[latency", "cannot be read"),
        ("bad.json", "[]", "must be an object"),
        ("odd.json", '{"speed": 1}', "no kind of fault"),
        ("bytes.json", "\x00", "cannot be read"),
    ):
        (tmp_path / name).write_text(text)
        assert main(["serve", "--port", "0", "--faults", str(tmp_path / name)]) == 1
        assert words in capsys.readouterr().err


def test_serving_with_a_file_of_faults(tmp_path):
    (tmp_path / "faults.toml").write_text("[throttle]\nstatus = 503\nretry_after = 3\ncount = 1\n")
    command = [sys.executable, "-m", "dicomframe", "serve", "--port", "0", "--faults", "faults.toml"]
    with subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, text=True) as process:
        try:
            host = process.stdout.readline().strip().removeprefix("http://")
            with closing(http.client.HTTPConnection(host, timeout=300)) as connection:
                seen = []
                for path in ("/v2/studies", "/v2/studies", CONTROL):
                    connection.request("GET", path)
                    answer = connection.getresponse()
                    seen.append((answer.status, answer.getheader("Retry-After")))
                    body = answer.read()
        finally:
            process.terminate()
    assert seen == [(503, "3"), (204, None), (200, None)]
    assert json.loads(body)["counts"] == {"throttle": 1}


def test_the_same_seed_gives_the_same_faults(faulty):
    def statuses(seed):
        faulty.service.faults.set(seed=seed, throttle={"probability": 0.4}, error={"probability": 0.3})
        return [faulty.get("studies").status for _ in range(30)]

    first = statuses(1)
    assert set(first) == {200, 429, 500}
    assert statuses(1) == first
    assert statuses(2) != first


# -- what each does -----------------------------------------------------------------------------------


def test_latency(faulty):
    faulty.service.faults.set(latency={"seconds": 0.02, "jitter": 0.01, "method": "GET"})
    assert faulty.get("studies").status == 200
    assert faulty("DELETE", "studies/1.9").status == 404
    assert faulty.service.faults.counts == {"latency": 1}


@pytest.mark.parametrize("status", [429, 503])
def test_throttling(faulty, status):
    faulty.service.faults.set(throttle=[{"status": status, "retry_after": 7, "count": 2}])
    for _ in range(2):
        reply = faulty.get("studies")
        assert (reply.status, reply.headers["retry-after"]) == (status, "7")
        assert reply.json["error"]["code"] == {429: "TooManyRequests", 503: "ServiceUnavailable"}[status]
    assert faulty.get("studies").status == 200
    faulty.service.faults.set(throttle={"retry_after": None})
    assert "retry-after" not in faulty.get("studies").headers


@pytest.mark.parametrize("status", [404, 500, 502, 504])
def test_server_errors_do_nothing_of_what_was_asked(faulty, status):
    faulty.service.faults.set(error={"status": status, "method": "DELETE"})
    reply = faulty("DELETE", "studies/1.1")
    assert reply.status == status
    assert reply.json["error"]["code"] == "InjectedError"
    assert faulty.get("studies/1.1").status == 200


def test_filters(faulty):
    faults = faulty.service.faults
    for path, struck in (
        ("studies", True),
        ("/Studies/{}/metadata/", True),
        ("studies/1.1/metadata", True),
        ("studies/1.1/meta", False),
        ("studies/1.2", False),
        ("studies/1.1/metadata/x", False),
        ("series", False),
    ):
        faults.set(error={"path": path})
        assert (faulty.get("studies/1.1/metadata").status == 500) is struck, path
        assert (faulty.get("/v1/STUDIES/1.1/Metadata").status == 500) is struck, path
    faults.set(error={"method": "POST"})
    assert faulty.get("studies").status == 200


@pytest.mark.parametrize("when", ["before", "after", "within"])
def test_resets_in_process_and_over_a_socket(faulty, when):
    faulty.service.faults.set(reset={"when": when, "count": 1})
    with pytest.raises((ConnectionResetError, ConnectionFailed)):
        faulty.get("studies")
    assert faulty.service.faults.counts == {"reset": 1}
    assert len(faulty.get("studies").json) == 3


@pytest.mark.parametrize(("when", "gone"), [("before", False), ("after", True)])
def test_a_reset_on_the_wire(wire, when, gone):
    wire.faults.set(reset={"when": when, "method": "DELETE"})
    received, reset = wire("/v2/studies/1.1", "DELETE")
    assert (received, reset) == (b"", True)
    assert (wire.http.get("studies").status == 204) is gone  # whether it was done before the answer was lost


def test_a_reset_within_an_answer(wire):
    wire.faults.set(reset={"when": "within"})
    received, reset = wire("/v2/studies/1.1/metadata")
    head, _, body = received.partition(b"\r\n\r\n")
    length = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
    assert head.startswith(b"HTTP/1.1 200 OK")
    assert reset
    assert len(body) == length // 2


def test_a_reset_while_the_body_is_still_coming(wire, dicom, multipart):
    wire.faults.set(reset={"when": "before"})
    received, reset = wire("/v2/studies", "POST", multipart(dicom("9/9/9")) * 100)
    assert (received, reset) == (b"", True)


@pytest.mark.parametrize("route", ["/v2/studies/1.1/metadata", "/v2/studies/1.1"])
@pytest.mark.parametrize("framing", ["length", "chunked", None])
def test_truncated_bodies(wire, route, framing):
    whole, _ = _whole(wire, route)
    wire.faults.set(truncate={"keep": 0.25, "framing": framing})
    received, reset = wire(route)
    head, _, body = received.partition(b"\r\n\r\n")
    assert not reset
    if framing == "chunked":
        assert b"transfer-encoding: chunked" in head.lower()
        size, _, piece = body.partition(b"\r\n")
        assert int(size, 16) == len(whole) // 4
        assert not piece.endswith(b"0\r\n\r\n")
    else:
        assert b"content-length: %d\r\n" % len(whole) in head.lower() + b"\r\n"
        assert len(body) == len(whole) // 4


def _whole(wire, route):
    wire.faults.clear()
    reply = wire.http.get(route)
    return reply.body, reply.headers


def test_a_long_body_is_cut_without_being_held(tmp_path, http_for, dicom):
    with Server(Service.open(tmp_path, faults={})) as server:
        http = http_for(server._service, server.url)
        http.stored(*[dicom(f"1/1/{one}", raw={"7FE00010": ("OW", bytes(3_000_000))}) for one in range(1, 5)])
        for framing in ("length", "chunked"):
            server._service.faults.set(truncate={"framing": framing})
            with pytest.raises(Exception, match=r"IncompleteRead|bytes read"):
                http.get("studies/1.1")
        server._service.faults.clear()
        assert len(http.get("studies/1.1").body) > 12_000_000


def test_an_answer_without_a_body_is_not_cut(faulty):
    faulty.service.faults.set(truncate={}, reset={"when": "within"})
    assert faulty.search("studies", PatientID="nobody").status == 204
    assert faulty.service.faults.counts == {"truncate": 0, "reset": 0}


def test_cutting_logs_nothing(wire, caplog, capfd):
    for fault in ({"when": "before"}, {"when": "after"}, {"when": "within"}):
        wire.faults.set(reset=fault)
        wire("/v2/studies")
    wire.faults.set(truncate=True)
    wire("/v2/studies")
    assert (caplog.text, *capfd.readouterr()) == ("", "", "")


def pages(http, *more):
    return [http.search("studies", ("limit", 1), ("offset", at), *more).values("0020000D") for at in range(4)]


@pytest.mark.parametrize(
    ("drift", "expected"),
    [
        ({"change": "insert", "count": 1}, [["1.3"], ["1.3"], ["1.2"], ["1.1"]]),
        ({"change": "remove", "count": 1}, [["1.3"], ["1.1"], [], []]),
        ({"change": "insert"}, [["1.3"], ["1.3"], ["1.3"], ["1.3"]]),
        ({"change": "insert", "rows": 9}, [["1.3"], ["1.3"], ["1.3"], ["1.3"]]),
    ],
)
def test_paging_drift(faulty, drift, expected):
    faulty.service.faults.set(drift=drift)
    assert pages(faulty) == expected
    if "count" in drift:
        assert pages(faulty) == [["1.3"], ["1.2"], ["1.1"], []]  # the search began anew


def test_ignored_offset(faulty):
    faulty.service.faults.set(ignore_offset={"count": 2})
    assert pages(faulty) == [["1.3"], ["1.3"], ["1.3"], []]
    odd = faulty.get("studies?limit=1&offset=x&PatientName=%E4%BD%A0")
    assert odd.status == 400  # what is wrong stays wrong


def test_a_query_that_is_changed_keeps_its_values(faulty):
    faulty.service.faults.set(drift=True)
    found = faulty.search(
        "studies", ("offset", 1), ("PatientName", "D\u00f6e^John*"), ("PatientID", "PAT001")
    )
    assert found.status == 200  # names match without accents, as before
    assert len(found.json) == 3


@pytest.mark.parametrize(
    ("kind", "tag", "value"),
    [
        ("dashed_date", "00080020", ["2024-01-15"]),
        ("plain_name", "00100010", ["Doe^John"]),
        ("null_value", None, None),
    ],
)
def test_bad_values_in_a_search(faulty, kind, tag, value):
    faulty.service.faults.set(bad_values={"kinds": [kind], "share": 1})
    rows = faulty.search("studies", includefield=tag or "00080020").json
    spoiled = [
        attribute["Value"]
        for row in rows
        for name, attribute in row.items()
        if "Value" in attribute and (attribute["Value"] == value or (name == tag and value is None))
    ]
    assert spoiled
    assert all(row["0020000D"]["Value"] for row in rows)
    assert faulty.service.faults.counts == {"bad_values": 1}


@pytest.mark.parametrize(
    ("kind", "vr", "good", "bad"),
    [
        ("empty_number", "DS", ["1.5", "2"], ["", "2"]),
        ("decimal_integer", "IS", [3], ["3.0"]),
        ("dashed_date", "DA", ["20240115"], ["2024-01-15"]),
        ("lower_age", "AS", ["042Y"], ["042y"]),
        ("null_value", "LO", ["x"], None),
        ("plain_name", "PN", [{"Alphabetic": "A^B"}], ["A^B"]),
        ("text_number", "US", [512], ["512"]),
    ],
)
def test_each_kind_of_bad_value(kind, vr, good, bad):
    import random

    from dicomframe.service.baddata import spoil

    row = {"0020000D": {"vr": "UI", "Value": ["1.2"]}, "00091001": {"vr": vr, "Value": good}}
    assert spoil(row, (kind,), random.Random(0))
    assert row == {"0020000D": {"vr": "UI", "Value": ["1.2"]}, "00091001": {"vr": vr, "Value": bad}}
    for nothing in ({}, {"00091001": {"vr": vr}}, {"00091001": {"vr": "UI", "Value": ["1"]}}):
        assert not spoil(nothing, (kind,), random.Random(0))


def test_bad_values_in_metadata_and_nowhere_else(faulty):
    faulty.service.faults.set(bad_values={"share": 1})
    good = faulty.get("studies/1.1").body
    assert faulty.service.faults.counts == {"bad_values": 0}
    for route in ("studies/1.1/metadata", "studies/1.1/series/1.1.1/instances/1.1.1.1/metadata"):
        assert faulty.get(route).status == 200
    assert faulty.get("studies/9.9/metadata").status == 404
    assert faulty.service.faults.counts == {"bad_values": 2}
    assert faulty.get("studies/1.1").body.count(b"DICM") == good.count(b"DICM") == 2


def test_withheld_metadata(faulty):
    faulty.service.faults.set(withhold=True)
    assert faulty.get("studies/1.1/metadata").json == []
    assert faulty.get("studies/9.9/metadata").status == 404
    entries = faulty.get("changefeed").json
    assert entries
    assert not any("metadata" in entry for entry in entries)
    assert faulty.search("studies").json
    assert faulty.service.faults.counts == {"withhold": 2}
    faulty.service.faults.clear()
    assert all(entry["metadata"] for entry in faulty.get("changefeed").json)


def test_from_python(tmp_path):
    with dfr.start_local(tmp_path / "data", faults={"seed": 3, "error": {"count": 1}}) as local:

        def status():
            with closing(http.client.HTTPConnection(local.url.removeprefix("http://"))) as connection:
                connection.request("GET", "/v2/studies")
                return connection.getresponse().status

        assert status() == 500
        assert local.faults.counts == {"error": 1}
        assert status() == 204
        local.faults.set(throttle={"status": 503})
        assert status() == 503
        assert local.faults.requests == 1
        assert repr(local.faults) == "Faults({'throttle': 1})"
        local.faults.clear()
        assert status() == 204
