"""The session against servers that throttle, cut, stall, lie and send people elsewhere."""

import gzip
import logging
import os
import pickle
import socket
import subprocess
import sys
import threading
import time
import tracemalloc

import pytest

from dicomframe.client import incoming
from dicomframe.client.backoff import Backoff
from dicomframe.client.session import InProcessAdapter, Session
from dicomframe.dicom.multipartwriter import MultipartWriter
from dicomframe.errors import (
    AuthenticationError,
    BadRequestError,
    ConflictError,
    ConnectionFailed,
    DecodeError,
    NotAcceptableError,
    NotBuiltError,
    NotFoundError,
    PermissionDeniedError,
    QueryError,
    ServiceError,
    ThrottledError,
    TimedOut,
    TooLargeError,
    TruncatedBody,
    UnavailableError,
    UnexpectedAnswerError,
)


@pytest.fixture
def session_at(connect):
    return lambda url, *args, **options: connect(url, *args, **options).session


def in_turn(*replies):
    """Answer with each of the replies, the last one for ever."""
    left = list(replies)
    return lambda _: left.pop(0) if len(left) > 1 else left[0]


@pytest.mark.parametrize("status", [429, 502, 503, 504])
def test_busy_servers_are_asked_again(serve, session_at, reply, status):
    site = serve(in_turn(reply(status), reply(status), reply(200, b"[]")))
    answer = session_at(site.url).request("GET", "studies")
    assert (answer.json(), answer.attempts, len(site.asked)) == ([], 3, 3)


@pytest.mark.parametrize(
    ("status", "kind", "attempts"),
    [(400, BadRequestError, 1), (401, AuthenticationError, 1), (403, PermissionDeniedError, 1), (404, NotFoundError, 1),
     (405, NotBuiltError, 1), (406, NotAcceptableError, 1), (409, ConflictError, 1), (410, NotFoundError, 1),
     (413, TooLargeError, 1), (415, NotAcceptableError, 1), (418, ServiceError, 1), (429, ThrottledError, 4),
     (500, UnavailableError, 1), (501, NotBuiltError, 1), (503, UnavailableError, 4)],
)  # fmt: skip
def test_each_status_is_its_own_error(serve, session_at, reply, status, kind, attempts):
    site = serve(reply(status, b'{"error": {"code": "C", "message": "M", "details": []}}'))
    with pytest.raises(ServiceError) as caught:
        session_at(site.url).request("GET", "studies", params=[("PatientID", "x1")])
    assert type(caught.value) is kind
    assert (caught.value.status, caught.value.code, caught.value.message) == (status, "C", "M")
    assert caught.value.route == "GET /v2/studies"
    assert len(site.asked) == attempts


def test_retry_after_is_honoured(serve, session_at, reply):
    site = serve(in_turn(reply(429, headers={"Retry-After": "1"}), reply(200, b"[]")))
    begin = time.monotonic()
    session_at(site.url).request("GET", "studies")
    assert time.monotonic() - begin >= 1


def test_a_server_that_asks_for_an_hour_gets_no_second_request(serve, session_at, reply):
    site = serve(reply(503, b"maintenance", {"Retry-After": "3600"}))
    with pytest.raises(UnavailableError, match="maintenance"):
        session_at(site.url).request("GET", "studies")
    assert len(site.asked) == 1


def test_the_whole_body_is_sent_again(serve, session_at, reply, tmp_path):
    file = tmp_path / "large"
    file.write_bytes(b"0123456789abcdef" * 200_000)
    body = MultipartWriter([file, b"small"])
    site = serve(in_turn(reply(503), reply(reset=True), reply(200)))
    session_at(site.url).request("POST", "studies", body=body, headers={"Content-Type": body.content_type})
    bodies = [asked.body for asked in site.asked]
    assert len(bodies) == 3
    assert bodies[0] == bodies[1] == bodies[2] == b"".join(body)
    assert {asked.headers["Content-Length"] for asked in site.asked} == {str(len(body))}
    assert not any("Transfer-Encoding" in asked.headers for asked in site.asked)


def test_resets_are_retried_and_then_said(serve, session_at, reply):
    site = serve(in_turn(reply(reset=True), reply(reset=True), reply(200, b"[]")))
    assert session_at(site.url).request("GET", "studies").attempts == 3
    dead = serve(reply(reset=True))
    with pytest.raises(ConnectionFailed, match="cut"):
        session_at(dead.url).request("GET", "studies")
    assert len(dead.asked) == 4


def test_a_cut_body_is_asked_for_again_or_is_an_error(serve, session_at, reply):
    whole = b"[" + b'{"a": 1},' * 500 + b"{}]"
    site = serve(in_turn(reply(200, whole, send_only=100), reply(200, whole)))
    assert session_at(site.url).request("GET", "studies").content == whole
    always = serve(reply(200, whole, send_only=100))
    with pytest.raises(TruncatedBody):
        session_at(always.url).request("GET", "studies")
    assert len(always.asked) == 4


def test_a_cut_stream_is_an_error_not_a_short_result(serve, session_at, reply):
    site = serve(reply(200, b"x" * 100_000, send_only=70_000))
    answer = session_at(site.url).request("GET", "studies/1.2", stream=True)
    got = bytearray()
    with pytest.raises(TruncatedBody):
        got.extend(byte for chunk in answer.iter_bytes(1000) for byte in chunk)
    assert len(got) <= 70_000
    assert len(site.asked) == 1


@pytest.mark.parametrize("ending", [b"", b"5\r\nab"])
def test_a_cut_chunked_body_is_an_error(serve, session_at, reply, ending):
    raw = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n" + ending
    with pytest.raises(TruncatedBody):
        session_at(serve(reply(raw=raw)).url, backoff=Backoff(0)).request("GET", "studies")


def test_a_damaged_compression_is_an_error(serve, session_at, reply):
    site = serve(reply(200, b"no gzip at all", {"Content-Encoding": "gzip"}))
    with pytest.raises(DecodeError):
        session_at(site.url).request("GET", "studies")
    packed = serve(reply(200, gzip.compress(b"[1]"), {"Content-Encoding": "gzip"}))
    assert session_at(packed.url).request("GET", "studies").json() == [1]


def test_what_unpacks_without_end_is_given_up(serve, session_at, reply, monkeypatch):
    monkeypatch.setattr(incoming, "ALWAYS_UNPACKED", 1024 * 1024)
    zeros = bytes(8 * 1024 * 1024)
    bomb = gzip.compress(zeros, 9)
    assert len(zeros) > incoming.MOST_GROWTH * len(bomb)
    session = session_at(serve(reply(200, bomb, {"Content-Encoding": "gzip"})).url)
    with pytest.raises(DecodeError, match="200 times"):
        session.request("GET", "studies")
    answer = session.request("GET", "studies", stream=True)
    size = 0
    with pytest.raises(DecodeError, match="200 times"):
        size += sum(map(len, answer.iter_bytes()))
    # What is large by itself, and shrinks as metadata do, is read: a hundred times smaller.
    row = b'{"0020000D": {"vr": "UI", "Value": ["1.2.840.113619.2.30.1.1762295590.1623.978668949.886"]}}, '
    rows = b"".join(row.replace(b"886", b"%d" % number) for number in range(40_000))
    packed = gzip.compress(rows, 1)
    assert 10 < len(rows) / len(packed) < incoming.MOST_GROWTH
    real = session_at(serve(reply(200, packed, {"Content-Encoding": "gzip"})).url)
    assert real.request("GET", "studies").content == rows


def test_of_an_error_no_more_is_unpacked_than_its_words(serve, session_at, reply):
    bomb = gzip.compress(b"no " * 40_000_000, 1)
    site = serve(reply(404, bomb, {"Content-Encoding": "gzip"}))
    session = session_at(site.url)
    tracemalloc.start()
    try:
        with pytest.raises(NotFoundError, match="no no no"):
            session.request("GET", "studies")
        assert tracemalloc.get_traced_memory()[1] < 20_000_000
    finally:
        tracemalloc.stop()


def test_silence_before_and_within_the_answer(serve, session_at, reply):
    for slow in (reply(200, b"[]", pause=2), reply(200, b"x" * 1000, pause_within=2)):
        with pytest.raises(TimedOut, match="silent"):
            session_at(serve(slow).url, timeout=(30, 0.2)).request("GET", "studies")


def test_a_slow_but_steady_answer_is_no_timeout(serve, session_at, reply):
    site = serve(reply(200, b"x" * 1000, pause=3, pause_within=3))
    assert len(session_at(site.url, timeout=(30, 5.5)).request("GET", "studies").content) == 1000


def test_nobody_there(session_at):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
        begin = time.monotonic()
        with pytest.raises(ConnectionFailed, match="Nobody answers"):
            session_at(f"http://127.0.0.1:{port}").request("GET", "studies")
    with pytest.raises(ConnectionFailed, match="unknown"):
        session_at("http://no-such-host.invalid").request("GET", "studies")
    assert time.monotonic() - begin < 30


def test_a_server_that_speaks_something_else(serve, session_at, reply):
    with pytest.raises(ConnectionFailed, match="does not speak HTTP"):
        session_at(serve(reply(raw=b"SSH-2.0-OpenSSH\r\n\r\n")).url).request("GET", "studies")
    plain = serve(reply(200))
    with pytest.raises(ConnectionFailed, match="TLS"):
        session_at(plain.url.replace("http:", "https:")).request("GET", "studies")


def test_a_web_page_is_not_an_answer(serve, session_at, reply):
    page = b"<html><head><title>Sign in to your account</title></head></html>"
    site = serve(reply(200, page, {"Content-Type": "text/html; charset=utf-8"}))
    with pytest.raises(UnexpectedAnswerError, match="Sign in to your account") as caught:
        session_at(site.url).request("GET", "studies")
    assert caught.value.status == 200
    refused = serve(reply(409, page, {"Content-Type": "text/html"}))
    with pytest.raises(ConflictError):
        session_at(refused.url).request("POST", "studies", accept_status=[409])


def test_accepted_statuses_are_answers(serve, session_at, reply):
    answer = session_at(serve(reply(409, b"{}")).url).request("POST", "studies", accept_status=[409])
    assert (answer.status, answer.json()) == (409, {})


@pytest.mark.parametrize("content", [b"", b"  \n"])
def test_nothing_is_no_json_and_no_error(serve, session_at, reply, content):
    assert session_at(serve(reply(200, content)).url).request("GET", "studies").json() is None


def test_garbage_is_no_json(serve, session_at, reply):
    with pytest.raises(DecodeError, match="no JSON"):
        session_at(serve(reply(200, b"{]")).url).request("GET", "studies").json()


def test_the_query_goes_out_as_it_is_written(serve, session_at, reply):
    site = serve(reply(200, b"[]"))
    session_at(site.url).request(
        "GET", "studies", params=[("PatientName", "Müller^J?*,x y&=%5E+"), ("limit", "5")]
    )
    assert site.asked[0].target == "/v2/studies?PatientName=M%C3%BCller^J?*,x%20y%26%3D%255E%2B&limit=5"
    assert not any("query" in name.lower() for name in site.asked[0].headers)


def test_redirects_stay_at_home(serve, session_at, reply):
    elsewhere = serve(reply(200, b"[]"))
    here = serve(
        lambda asked: (
            reply(200, b"[]") if asked.path == "/v2/other" else reply(302, headers={"Location": target[0]})
        )
    )
    session = session_at(here.url, "secret-token")
    target = ["/v2/other"]
    assert session.request("GET", "studies").json() == []
    assert here.asked[-1].headers["Authorization"] == "Bearer secret-token"
    target[0] = f"{elsewhere.url}/v2/studies"
    with pytest.raises(UnexpectedAnswerError, match="redirects elsewhere"):
        session.request("GET", "studies", params=[("PatientName", "Smith")])
    assert elsewhere.asked == []
    target[0] = "/v2/studies"
    with pytest.raises(UnexpectedAnswerError):
        session.request("GET", "studies")


def test_proxies_and_netrc_do_not_stand_between_this_machine_and_itself(
    serve, session_at, reply, monkeypatch, tmp_path
):
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login anna password hunter2\n")
    netrc.chmod(0o600)
    monkeypatch.setenv("NETRC", str(netrc))
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    monkeypatch.delenv("NO_PROXY", raising=False)
    monkeypatch.delenv("no_proxy", raising=False)
    site = serve(reply(200, b"[]"))
    assert session_at(site.url).request("GET", "studies").json() == []
    assert "Authorization" not in site.asked[0].headers


def test_a_proxy_is_used_for_other_machines(serve, session_at, reply, monkeypatch):
    proxy = serve(reply(200, b"[7]"))
    monkeypatch.setenv("http_proxy", proxy.url)
    for name in ("HTTP_PROXY", "NO_PROXY", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
    answer = session_at("http://hospital.invalid/dicom-web").request(
        "GET", "studies", params=[("PatientID", "a^b")]
    )
    assert answer.json() == [7]
    assert proxy.asked[0].target == "http://hospital.invalid/dicom-web/studies?PatientID=a^b"


@pytest.mark.parametrize(
    "options", [{"retries": -1}, {"max_workers": 0}, {"timeout": (0, 1)}, {"verify": "no/such/bundle.pem"}]
)
def test_malformed_arguments(options):
    with pytest.raises(QueryError):
        Session("https://host", **options)


@pytest.mark.parametrize("kind", ["refused", "reset", "status", "html", "cut", "garbage"])
def test_no_secret_in_errors_logs_and_reprs(serve, session_at, reply, caplog, kind):
    replies = {
        "reset": reply(reset=True),
        "status": reply(400, b"Smith^Anna with token secret-token and 1.2.840.113619.2 is wrong: smith"),
        "html": reply(200, b"<html>", {"Content-Type": "text/html"}),
        "cut": reply(200, b"x" * 100, send_only=5),
        "garbage": reply(raw=b"x\r\n\r\n"),
    }
    url = serve(replies[kind]).url if kind in replies else "http://127.0.0.1:9"
    session = session_at(url, "secret-token")
    caplog.set_level(logging.DEBUG)
    with pytest.raises(Exception) as caught:  # noqa: PT011 - of every kind
        session.request("GET", "studies", params=[("PatientName", "Smith^Anna")], private=["Smith^Anna"])
    # The test's own source lines stand in a traceback; only the error's own words count.
    said = (
        str(caught.value) + repr(caught.value) + repr(caught.value.__context__) + repr(caught.value.__cause__)
    )
    said += caplog.text + repr(session) + repr(vars(session))
    for secret in ("secret-token", "Smith", "Anna", "1.2.840", "PatientName="):
        assert secret not in said


def test_service_errors_can_be_pickled():
    error = NotFoundError(404, "GET /v2/studies/1.2", "Code", "message", ["a"], "hint")
    again = pickle.loads(pickle.dumps(error))  # noqa: S301 - our own bytes
    assert (str(again), again.status, again.details) == (str(error), 404, ("a",))


def test_connections_are_kept_and_shared(serve, session_at, reply):
    ports = set()
    site = serve(reply(200, b"[]"))
    original = site._server.finish_request

    def remember(request, address):
        ports.add(address[1])
        original(request, address)

    site._server.finish_request = remember
    session = session_at(site.url, max_workers=4)
    threads = [
        threading.Thread(target=lambda: [session.request("GET", "studies") for _ in range(20)])
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(site.asked) == 80
    assert len(ports) <= 8


def test_a_body_that_fails_is_not_a_cut_connection(serve, session_at, reply, tmp_path):
    file = tmp_path / "file"
    file.write_bytes(b"x" * 5_000_000)
    body = MultipartWriter([file])
    file.unlink()
    site = serve(reply(200))
    with pytest.raises(FileNotFoundError):
        session_at(site.url).request("POST", "studies", body=body)
    assert len(site.asked) <= 1


def test_the_in_process_transport_streams_both_ways():
    seen = {}

    def handle(method, target, headers, body):
        seen.update(method=method, target=target, headers=headers, chunks=[len(chunk) for chunk in body])
        return 200, {"Content-Type": "application/octet-stream"}, iter([b"one", b"two"])

    session = Session("http://127.0.0.1:80", adapter=InProcessAdapter(handle))
    answer = session.request(
        "POST", "studies", params=[("a", "b^c")], body=MultipartWriter([b"x" * 10, b"y"])
    )
    assert answer.content == b"onetwo"
    assert answer.headers["content-type"] == "application/octet-stream"
    assert (seen["method"], seen["target"]) == ("POST", "/v2/studies?a=b^c")
    assert len(seen["chunks"]) > 1


@pytest.mark.skipif(not hasattr(os, "fork"), reason="processes are not forked here")
def test_a_forked_process_has_connections_of_its_own(serve, as_json):
    # Over one that it shared, each would read what the other asked for: pixels do not say whose they are.
    site = serve(as_json([]))
    code = (
        "import os, sys\n"
        "from dicomframe.client.session import Session\n"
        "session = Session(sys.argv[1])\n"
        "session.request('GET', 'studies')\n"
        "child = os.fork()\n"
        "session.request('GET', 'studies')\n"
        "if not child:\n"
        "    os._exit(0)\n"
        "os.waitpid(child, 0)\n"
        "session.request('GET', 'studies')\n"
    )
    subprocess.run([sys.executable, "-c", code, site.url], check=True, timeout=300)
    ports = [asked.port for asked in site.asked]
    assert sorted(ports.count(port) for port in set(ports)) == [1, 3]
