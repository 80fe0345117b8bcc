"""Clients that trickle, and that open connections without end: they are cut off, and nobody else is."""

from __future__ import annotations

import logging
import socket
import time
from contextlib import ExitStack

import pytest

from dicomframe.service import protocol
from dicomframe.service.patience import Patience
from dicomframe.service.server import Server
from dicomframe.service.service import Service

QUICK = Patience(head_seconds=1.2, body_seconds=2.4, body_bytes=100, connections=30)
#: What a machine that is busy with other tests may add.
SPARE = 30
HEAD = (
    b"POST /v2/studies HTTP/1.1\r\nHost: localhost\r\nAccept: application/dicom+json\r\n"
    b'Content-Type: multipart/related; type="application/dicom"; boundary=test\r\nContent-Length: %d\r\n\r\n'
)


@pytest.fixture(scope="module")
def service(tmp_path_factory):
    """Give a service that is not patient."""
    with Server(Service.open(tmp_path_factory.mktemp("patience")), patience=QUICK) as server:
        yield server


@pytest.fixture
def connect(service, caplog, capfd):
    """Give what opens a connection; nothing that a client sent may be in a log."""
    host, port = service.url.removeprefix("http://").split(":")
    with ExitStack() as stack, caplog.at_level(logging.INFO):

        def opened():
            connection = stack.enter_context(socket.create_connection((host, int(port)), timeout=SPARE))
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            return connection

        yield opened
    words = caplog.text + "".join(capfd.readouterr())
    assert "Secret" not in words
    assert "Traceback" not in words


def trickled(connection, data, pause, began=None):
    """Send byte after byte until the other side closes; give the seconds that it took, None if it never did."""
    began = began or time.monotonic()
    connection.setblocking(False)
    for at in range(len(data)):
        try:
            connection.send(data[at : at + 1])
            if connection.recv(1) == b"":
                break
        except BlockingIOError:
            pass
        except OSError:
            break
        time.sleep(pause)
    else:
        return None
    return time.monotonic() - began


def exchange(connection, request):
    connection.sendall(request)
    return connection.recv(65536).partition(b"\r\n")[0]


#: With rows or without, as the tests before have left it.
FOUND = (b"HTTP/1.1 200 OK", b"HTTP/1.1 204 No Content")
SEARCH = b"GET /v2/studies HTTP/1.1\r\nHost: localhost\r\nAccept: */*\r\n\r\n"


def test_a_head_that_trickles(connect):
    head = b"GET /v2/studies?PatientName=Secret HTTP/1.1\r\nX: " + b"x" * 1000
    began = time.monotonic()  # before the service's own clock begins
    assert QUICK.head_seconds <= trickled(connect(), head, 0.05, began) < QUICK.head_seconds + SPARE


def test_a_second_head_that_trickles(connect):
    connection = connect()
    assert exchange(connection, SEARCH) in FOUND
    assert trickled(connection, b"GET /v2/studies HTTP/1.1\r\nX: " + b"x" * 1000, 0.02) is not None


def test_a_connection_on_which_nothing_comes(connect):
    connection = connect()
    assert connection.recv(1) == b""


def test_a_body_that_trickles(connect):
    connection = connect()
    began = time.monotonic()
    connection.sendall(HEAD % 100_000)
    assert (
        QUICK.body_seconds <= trickled(connection, b"Secret" * 1000, 0.05, began) < QUICK.body_seconds + SPARE
    )


def test_a_body_that_comes_slowly_is_waited_for(connect):
    """More than the least in each while, for longer than any of the limits."""
    connection = connect()
    body = b"--test\r\n\r\n" + b"no DICOM" * 400 + b"\r\n--test--"
    connection.sendall(HEAD % len(body))
    began = time.monotonic()
    for at in range(0, len(body), 160):
        connection.sendall(body[at : at + 160])
        time.sleep(0.3)
    assert time.monotonic() - began > 2 * QUICK.body_seconds
    assert connection.recv(100).startswith(b"HTTP/1.1 409")


def test_a_connection_that_is_used_again_is_not_cut_off(connect):
    connection = connect()
    began = time.monotonic()
    while time.monotonic() - began < 4 * QUICK.head_seconds:
        assert exchange(connection, SEARCH) in FOUND
        time.sleep(0.05)


def test_who_reads_slowly_is_not_cut_off(connect, service, dicom, multipart):
    pixels = b"\0" * 8_000_000
    body = multipart(
        dicom(StudyInstanceUID="1.77")
        + b"\xe0\x7f\x10\x00OW\0\0"
        + len(pixels).to_bytes(4, "little")
        + pixels
    )
    connection = connect()
    connection.sendall(HEAD % len(body) + body)
    assert connection.recv(65536).startswith(b"HTTP/1.1 200")
    slow = connect()
    slow.sendall(
        b"GET /v2/studies/1.77 HTTP/1.1\r\nHost: localhost\r\nAccept: */*\r\nConnection: close\r\n\r\n"
    )
    time.sleep(2 * QUICK.body_seconds)
    received = 0
    while piece := slow.recv(1 << 20):
        received += len(piece)
    assert received > len(pixels)


@pytest.mark.parametrize("closes", [b"Connection: close\r\n", b""])
def test_who_reads_the_end_of_an_answer_slowly_is_not_cut_off(
    connect, service, dicom, multipart, monkeypatch, closes
):
    """The server has nothing more to write; what it wrote is still on its way."""
    monkeypatch.setattr(protocol, "_WRITE_BUFFER_BYTES", 1 << 30)  # all of it is the end
    pixels = b"\0" * 12_000_000
    file = dicom(StudyInstanceUID="1.78") + b"\xe0\x7f\x10\x00OW\0\0" + len(pixels).to_bytes(4, "little")
    body = multipart(file + pixels)
    connection = connect()
    connection.sendall(HEAD % len(body) + body)
    assert connection.recv(65536)[9:12] in {b"200", b"409"}
    host, port = service.url.removeprefix("http://").split(":")
    with socket.socket() as slow:
        slow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
        slow.settimeout(SPARE)
        slow.connect((host, int(port)))
        slow.sendall(
            b"GET /v2/studies/1.78 HTTP/1.1\r\nHost: localhost\r\nAccept: */*\r\n" + closes + b"\r\n"
        )
        received = b""
        for _ in range(8):
            received += slow.recv(4096)
            time.sleep(QUICK.head_seconds / 2)
        while len(received) < len(file) + len(pixels):
            piece = slow.recv(1 << 20)
            assert piece
            received += piece


@pytest.mark.parametrize("closes", [b"Connection: close\r\n", b""])
def test_who_never_reads_the_end_of_an_answer_is_cut_off(tmp_path, dicom, multipart, monkeypatch, closes):
    """Closed by the request's own wish, or because it was idle for too long: the connection is not held for ever."""
    monkeypatch.setattr(protocol, "_WRITE_BUFFER_BYTES", 1 << 30)  # all of it is the end
    pixels = b"\0" * 12_000_000
    file = dicom(StudyInstanceUID="1.79") + b"\xe0\x7f\x10\x00OW\0\0" + len(pixels).to_bytes(4, "little")
    body = multipart(file + pixels)
    with Server(Service.open(tmp_path), patience=Patience(end_seconds=0.5)) as server:
        host, port = server.url.removeprefix("http://").split(":")
        with socket.create_connection((host, int(port)), timeout=SPARE) as connection:
            connection.sendall(HEAD % len(body) + body)
            assert connection.recv(65536).startswith(b"HTTP/1.1 200")
        with socket.socket() as deaf:
            deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
            deaf.connect((host, int(port)))
            deaf.sendall(
                b"GET /v2/studies/1.79 HTTP/1.1\r\nHost: localhost\r\nAccept: */*\r\n" + closes + b"\r\n"
            )
            assert deaf.recv(1, socket.MSG_PEEK)  # the answer is on its way
            open_ones = server._uvicorn.server_state.connections
            deadline = time.monotonic() + 6 * SPARE  # it is idle for 5 seconds before it is closed
            while open_ones:
                assert time.monotonic() < deadline
                time.sleep(0.05)


def test_many_connections_that_nobody_uses_do_not_keep_others_out_for_long(connect):
    held = [connect() for _ in range(QUICK.connections + 10)]
    assert exchange(connect(), SEARCH) == b"HTTP/1.1 503 Service Unavailable"
    deadline = time.monotonic() + SPARE
    while True:
        with connect() as another:
            if exchange(another, SEARCH) in FOUND:
                break
        assert time.monotonic() < deadline
        time.sleep(0.1)
    assert all(connection.recv(1) == b"" for connection in held)


def test_patience_by_default_is_longer_than_a_hitch():
    usual = Patience()
    assert min(usual.head_seconds, usual.body_seconds) >= 20
    assert usual.end_seconds >= 300
    assert usual.connections >= 200
