"""Stored files that the kernel sends: the same bytes as by the usual way, whatever the client does."""

from __future__ import annotations

import os
import socket
import sys
import time
from http.client import HTTPConnection, IncompleteRead

import pytest

from dicomframe.service.protocol import ServiceProtocol
from dicomframe.service.server import Server
from dicomframe.service.service import Service
from dicomframe.service.shortway import ShortWay

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the short way is Linux' own")
ONE = "/v2/studies/1.1/series/1.1.1/instances/1.1.1.1"
SINGLE = {"Accept": "application/dicom; transfer-syntax=*"}


@pytest.fixture
def sent(monkeypatch):
    """How many bytes went the short way, call by call."""
    counts = []
    send = ShortWay.send

    def counted(*args):
        counts.append(send(*args))
        return counts[-1]

    monkeypatch.setattr(ShortWay, "send", counted)
    return counts


@pytest.fixture
def server(tmp_path):
    with Server(Service.open(tmp_path)) as server:
        yield server


def fetched(server, route=ONE, headers=SINGLE):
    connection = HTTPConnection(server.url.removeprefix("http://"), timeout=60)
    try:
        connection.request("GET", route, headers=headers)
        return connection.getresponse().read()
    finally:
        connection.close()


@pytest.mark.parametrize("size", [0, 1000, 524_288, 5_000_001])
def test_both_ways_send_the_same(server, http_for, dicom, sent, monkeypatch, size):
    file = dicom(raw={"7FE00010": ("OW", os.urandom(size + size % 2))})
    http_for(None, server.url).stored(file)
    assert fetched(server) == bytes(128) + file[128:]
    assert sum(sent) > 0
    monkeypatch.setattr(ShortWay, "send", lambda *_: 0)
    assert fetched(server) == bytes(128) + file[128:]


def test_a_client_that_reads_slowly_gets_all(server, http_for, dicom, sent):
    file = dicom(raw={"7FE00010": ("OW", os.urandom(30_000_000))})
    http_for(None, server.url).stored(file)
    host, port = server.url.removeprefix("http://").split(":")
    with socket.socket() as slow:
        slow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
        slow.settimeout(60)
        slow.connect((host, int(port)))
        slow.sendall(
            f"GET {ONE} HTTP/1.1\r\nHost: x\r\nAccept: {SINGLE['Accept']}\r\nConnection: close\r\n\r\n".encode()
        )
        time.sleep(0.2)
        received = b"".join(iter(lambda: slow.recv(1 << 20), b""))
    assert received.partition(b"\r\n\r\n")[2] == bytes(128) + file[128:]
    assert 0 in sent  # the connection was full


def test_requests_that_do_not_wait_for_answers(server, http_for, dicom):
    file = dicom(raw={"7FE00010": ("OW", os.urandom(300_000))})
    http_for(None, server.url).stored(file)
    host, port = server.url.removeprefix("http://").split(":")
    ask = f"GET {ONE} HTTP/1.1\r\nHost: x\r\nAccept: {SINGLE['Accept']}\r\n"
    with socket.create_connection((host, int(port)), timeout=60) as client:
        client.sendall(f"{ask}\r\n{ask}\r\n{ask}Connection: close\r\n\r\n".encode())
        received = b"".join(iter(lambda: client.recv(1 << 20), b""))
    assert received.count(b"HTTP/1.1 200") == 3
    assert received.count(bytes(128) + file[128:]) == 3


def test_bytes_of_one_answer_are_not_counted_for_the_next(server, http_for, dicom, sent, monkeypatch):
    """The cycle of a request that waits for its turn is the connection's already, whatever it expects till then."""
    complete = ServiceProtocol.on_headers_complete

    def expecting_much(self):
        complete(self)
        self.cycle.expected_content_length = 1 << 40

    monkeypatch.setattr(ServiceProtocol, "on_headers_complete", expecting_much)
    test_requests_that_do_not_wait_for_answers(server, http_for, dicom)
    assert 0 in sent


def test_a_file_that_becomes_shorter_is_cut_off(server, http_for, dicom, monkeypatch, caplog):
    http = http_for(None, server.url)
    http.stored(dicom(raw={"7FE00010": ("OW", bytes(200_000))}))
    send = ShortWay.send

    def shortened(self, scope, file, offset, count):
        path = server._service.blobs.path(1)
        os.truncate(path, 100_000)
        return send(self, scope, file, offset, count)

    monkeypatch.setattr(ShortWay, "send", shortened)
    with pytest.raises(IncompleteRead):
        fetched(server)
    assert "1.1" not in caplog.text
