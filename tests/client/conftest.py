"""Small real HTTP servers on loopback that behave, or misbehave, as a test tells them."""

from __future__ import annotations

import json
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from dicomframe.client.backoff import Backoff
from dicomframe.client.client import Client

#: Waits of milliseconds, so that retries can be tested without patience.
QUICK = Backoff(retries=3, first=0.005, most=0.01)


@dataclass
class Asked:
    """A request as it came in."""

    method: str
    target: str
    headers: dict[str, str]
    body: bytes

    @property
    def path(self) -> str:
        return self.target.partition("?")[0]

    @property
    def query(self) -> str:
        return self.target.partition("?")[2]

    @property
    def params(self) -> dict[str, str]:
        return dict(pair.split("=", 1) for pair in self.query.split("&") if pair)


@dataclass
class Reply:
    """What a server is to answer, and what it is to do wrong."""

    status: int = 200
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)
    send_only: int | None = None  # so many bytes of the body, then the connection ends
    reset: bool = False  # cut before any answer, by RST
    pause: float = 0.0  # seconds before the answer begins
    pause_within: float = 0.0  # seconds in the middle of the body
    raw: bytes | None = None  # instead of HTTP


def json_reply(data: Any, status: int = 200, **headers: str) -> Reply:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Reply(status, json.dumps(data).encode(), {"Content-Type": "application/dicom+json", **named})


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: _Server

    def _answer(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        asked = Asked(self.command, self.path, dict(self.headers.items()), body)
        with self.server.lock:
            self.server.asked.append(asked)
        reply = self.server.answer(asked)
        time.sleep(reply.pause)
        if reply.reset:
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.connection.close()
        elif reply.raw is not None:
            self.wfile.write(reply.raw)
        else:
            self._send(reply)
        if reply.reset or reply.raw is not None or reply.send_only is not None:
            self.close_connection = True

    do_GET = do_POST = do_PUT = do_DELETE = _answer  # noqa: N815 - the standard library's names

    def _send(self, reply: Reply) -> None:
        self.send_response(reply.status)
        for name, value in {"Content-Length": str(len(reply.body)), **reply.headers}.items():
            self.send_header(name, value)
        self.end_headers()
        body = reply.body[: reply.send_only]
        half = len(body) // 2
        if reply.pause_within:
            self.wfile.write(body[:half])
            self.wfile.flush()
            time.sleep(reply.pause_within)
            body = body[half:]
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Say nothing."""

    # A connection that is gone is part of these tests.

    def handle(self) -> None:
        with suppress(OSError, ValueError):
            super().handle()

    def finish(self) -> None:
        with suppress(OSError, ValueError):
            super().finish()


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, answer: Callable[[Asked], Reply]) -> None:
        self.answer = answer
        self.asked: list[Asked] = []
        self.lock = threading.Lock()
        super().__init__(("127.0.0.1", 0), _Handler)

    def shutdown_request(self, request: Any) -> None:
        with suppress(OSError):
            super().shutdown_request(request)


class Site:
    """A running server and what it was asked."""

    def __init__(self, answer: Callable[[Asked], Reply]) -> None:
        self._server = _Server(answer)
        self.asked = self._server.asked
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)
        self._thread.start()

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


@pytest.fixture
def serve() -> Iterator[Callable[[Callable[[Asked], Reply] | Reply], Site]]:
    """Give what starts a server that answers by a function, or always the same."""
    sites: list[Site] = []

    def start(handle: Callable[[Asked], Reply] | Reply) -> Site:
        site = Site(handle if callable(handle) else lambda _: handle)
        sites.append(site)
        return site

    yield start
    for site in sites:
        site.stop()


@pytest.fixture
def connect() -> Iterator[Callable[..., Client]]:
    """Give what connects a client that retries quickly."""
    clients: list[Client] = []

    def make(url: str, credential: Any = None, **options: Any) -> Client:
        client = Client(url, credential, **{"backoff": QUICK, "progress": False, **options})
        clients.append(client)
        return client

    yield make
    for client in clients:
        client.close()


@pytest.fixture
def reply() -> type[Reply]:
    return Reply


@pytest.fixture
def as_json() -> Callable[..., Reply]:
    return json_reply
