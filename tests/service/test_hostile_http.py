"""What no client should send, byte by byte over a socket: no 500, no hanging, no word of it in a log."""

from __future__ import annotations

import logging
import socket
from contextlib import suppress
from http.client import HTTPConnection

import pytest

from dicomframe.service.server import Server
from dicomframe.service.service import Service


@pytest.fixture(scope="module")
def address(tmp_path_factory, multipart, dicom):
    """Start a service with one instance in it; give host and port."""
    with Server(Service.open(tmp_path_factory.mktemp("hostile"))) as server:
        host, port = server.url.removeprefix("http://").split(":")
        connection = HTTPConnection(host, int(port), timeout=300)
        kind = 'multipart/related; type="application/dicom"; boundary=test'
        connection.request("POST", "/v2/studies", multipart(dicom()), {"Content-Type": kind, "Accept": "*/*"})
        assert connection.getresponse().status == 200
        connection.close()
        yield host, int(port)


def read_on(connection, received):
    """Read until the other side closes; a TimeoutError carries what has come."""
    try:
        while piece := connection.recv(65536):
            received += piece
    except TimeoutError:
        raise TimeoutError(received) from None
    return received


@pytest.fixture
def send(address, caplog, capfd):
    """Send bytes and give all that comes back until the connection is closed; afterwards the service still answers."""

    def exchange(request):
        # Nothing at all may be what a service with too little time says to a client that has hung up.
        return attempt(request, 0.5) or attempt(request, 5)

    def attempt(request, patience):
        received = b""
        with socket.create_connection(address, timeout=patience) as connection:
            # A request that is cut off or refused early leaves bytes unread: then the connection is reset.
            with suppress(ConnectionResetError, BrokenPipeError):
                connection.sendall(request)
            with suppress(ConnectionResetError):
                try:
                    received = read_on(connection, received)
                except TimeoutError as waiting:  # for the rest of what is not whole
                    (received,) = waiting.args
                    connection.settimeout(10)
                    connection.shutdown(socket.SHUT_WR)
                    received = read_on(connection, received)
        return received

    with caplog.at_level(logging.INFO):
        yield exchange
    assert b"HTTP/1.1 200 OK" in exchange(get("/v2/studies"))
    words = caplog.text + "".join(capfd.readouterr())
    assert "Traceback" not in words
    assert "Secret" not in words


def get(target, *headers, method="GET", version="1.1", body=b""):
    lines = [
        f"{method} {target} HTTP/{version}",
        "Host: localhost",
        "Accept: */*",
        "Connection: close",
        *headers,
    ]
    return "\r\n".join([*lines, "", ""]).encode("latin_1") + body


def statuses(received):
    """The statuses of all answers that came back."""
    return [int(answer[:3]) for answer in received.split(b"HTTP/1.1 ")[1:]]


def is_refused(received):
    """Whether nothing but refusals of the client's fault came back, or nothing at all."""
    return all(400 <= status < 500 for status in statuses(received))


ROUTES = [
    "/v2/studies",
    "/v1/studies/1.1",
    "/v2/studies/1.1/metadata",
    "/v2/operations/1",
    "/v2/nothing",
    "/",
    "/v2",
]


@pytest.mark.parametrize(
    "method", ["HEAD", "OPTIONS", "TRACE", "PUT", "PATCH", "PROPFIND", "get", "M-SEARCH"]
)
@pytest.mark.parametrize("route", ROUTES)
def test_other_verbs(send, method, route):
    received = send(get(route, method=method))
    assert is_refused(received)
    if method == "HEAD":
        assert received.partition(b"\r\n\r\n")[2] == b""


@pytest.mark.parametrize("route", ["studies", "studies/1.1", "studies/1.1/metadata", "api.yaml"])
def test_allow_lists_what_a_route_answers(http, dicom, route):
    http.stored(dicom())
    reply = http("OPTIONS", f"/v2/{route}")
    assert reply.status == 405
    for method in ("GET", "POST", "PUT", "PATCH", "DELETE"):
        assert (http(method, f"/v2/{route}").status != 405) is (method in reply.headers["allow"].split(", "))


@pytest.mark.parametrize(
    ("target", "expected"),
    [
        ("*", 404),
        ("http://localhost/v2/studies", 200),  # absolute form (RFC 9112 section 3.2.2)
        ("http://elsewhere.example:9/v2/studies?PatientName=Secret", 204),
        ("http://localhost", 404),
        ("https://[::1]/v2/studies", 200),
        ("ftp://localhost/v2/studies", 200),
        ("//localhost/v2/studies", 404),
        ("/v2/studies#Secret", 200),
        ("/v2/studies?", 200),
        ("/v2/studies?#", 200),
        ("/v2/studies/../studies", 404),
        ("/v2/./studies", 404),
        ("/v2/studies;a=b", 404),
        ("/v2\\studies", 404),
    ],
)
def test_forms_of_the_target(send, target, expected):
    answers = statuses(send(get(target)))
    assert answers == [expected] or (answers and 400 <= answers[0] < 500)


@pytest.mark.parametrize(
    "target", ["localhost:80", "localhost", "", "v2/studies", "http://", "http:///v2", "://"]
)
@pytest.mark.parametrize("method", ["GET", "CONNECT"])
def test_targets_that_are_none(send, method, target):
    assert is_refused(send(get(target, method=method)))


TRAPS = ["%00", "%0a", "%0d%0aX-Evil:%201", "%2e%2e", "%2f", "%5c", "%zz", "%", "%2", "%c0%af", "%ff", "%ed%a0%80",
         "%u0041", "%25%30%30", "%f0%9f%92%a9", "%e2%80%ae", "1.1%00", "1.1%20", "%31%2e%31x", "${7*7}", "<script>",
         "'--", "{}", "{*}", "%ef%bc%91"]  # fmt: skip


@pytest.mark.parametrize("trap", TRAPS)
def test_percent_encoding_traps(send, trap):
    for target in (
        f"/v2/studies/{trap}",
        f"/v2/studies/1.1/series/{trap}/metadata",
        f"/v2/studies/1.1/series/1.1.1/instances/1.1.1.1/frames/{trap}",
        f"/v2/operations/{trap}",
        f"/{trap}/studies",
        f"/v2/{trap}",
        f"/v2/studies?{trap}",
        f"/v2/studies?PatientID={trap}&{trap}={trap}",
        f"/v2/studies?includefield={trap}",
        f"/v2/studies?limit={trap}",
    ):
        received = send(get(target))
        # An encoded slash is a slash: there is no segment behind it.
        allowed = {200, 204} if trap == "%2f" else {204}
        assert all(status in allowed or 400 <= status < 500 for status in statuses(received)), target
        assert b"\r\nX-Evil" not in received


def test_letters_may_be_encoded(send):
    assert statuses(send(get("/%76%32/%73tudies/%31%2e%31/metadata"))) == [200]


@pytest.mark.parametrize("length", [8_000, 70_000, 1_000_000])
def test_overlong_urls(send, length):
    for target in (
        f"/v2/studies/{'1' * length}",
        f"/v2/{'a/' * (length // 2)}",
        f"/v2/studies?PatientID={'a' * length}",
        f"/v2/studies?{'a=1&' * (length // 4)}",
        f"/v2/studies?includefield={'PatientID,' * (length // 10)}PatientID",
    ):
        assert all(status in {200, 204} or 400 <= status < 500 for status in statuses(send(get(target))))


@pytest.mark.parametrize(("number", "length"), [(100, 10), (10_000, 20), (1, 200_000), (100, 5_000)])
def test_too_many_headers(send, number, length):
    received = send(get("/v2/studies", *(f"X-{each}: {'a' * length}" for each in range(number))))
    if number * length > 64 * 1024:
        assert is_refused(received)
    else:
        assert statuses(received) == [200]


@pytest.mark.parametrize(
    "headers",
    [
        ["Accept: " + "*/*," * 5_000],
        ["Accept: ;;;,,,;q=x,*/*;q=-1;q=\xff"],
        ['Accept: multipart/related; type="application/dicom'],
        ["Accept: multipart/related; transfer-syntax=" + "1" * 10_000],
        ["Authorization: Bearer " + "a" * 10_000],
        ["If-None-Match: " + '"a",' * 5_000],
        ["Content-Type: multipart/related"],
        ["Prefer: respond-async, ,;=,"],
        ["X-Forwarded-For: Secret", "X-Forwarded-Host: elsewhere.example"],
        ["Upgrade: websocket", "Connection: Upgrade"],
        ["Upgrade: h2c", "Connection: Upgrade, HTTP2-Settings"],
        ["Expect: 100-continue"],
        ["Expect: something"],
        ["Range: bytes=0-1,5-"],
        ["X-Null: a\0b"],
        ["No colon"],
        [": no name"],
        [" folded"],
        ["Host: second.example"],
        ["Content-Length: 5", "Content-Length: 6"],
        ["Content-Length: 99999999999999999999999"],
        ["Content-Length: -1"],
        ["Content-Length: 0x10"],
        ["Transfer-Encoding: chunked", "Content-Length: 3"],
        ["Transfer-Encoding: gzip"],
    ],
)
@pytest.mark.parametrize("route", ["/v2/studies", "/v2/studies/1.1", "/v2/studies/1.1/metadata"])
def test_odd_headers(send, headers, route):
    for method in ("GET", "POST"):
        received = send(get(route, *headers, method=method))
        assert all(
            status in {100, 101, 200, 204, 304} or 400 <= status < 500 for status in statuses(received)
        ), headers
        assert 101 not in statuses(received)


@pytest.mark.parametrize(
    "body",
    [
        b"zz\r\n",
        b"5\r\nab",
        b"ffffffffffffffffff\r\n",
        b"-1\r\n",
        b"0\r\n\r\nGET /v2/x HTTP/1.1\r\n\r\n",
        b"1;a=b\r\nx\r\n0\r\n\r\n",
    ],
)
def test_odd_chunks(send, body):
    received = send(
        get(
            "/v2/studies",
            "Content-Type: application/dicom",
            "Transfer-Encoding: chunked",
            method="POST",
            body=body,
        )
    )
    assert is_refused(received)


@pytest.mark.parametrize("version", ["0.9", "1.0", "2.0", "1.2", "11", "x"])
def test_versions_of_http(send, version):
    answers = statuses(send(get("/v2/studies", version=version)))
    assert all(status == 200 or 400 <= status < 500 for status in answers)


def test_requests_in_a_row_on_one_connection(send):
    one = b"GET /v2/studies HTTP/1.1\r\nHost: x\r\nAccept: */*\r\n\r\n"
    bad = b"GET /v2/studies?limit=0 HTTP/1.1\r\nHost: x\r\nAccept: */*\r\n\r\n"
    assert statuses(send(one + bad + get("/v2/studies"))) == [200, 400, 200]
