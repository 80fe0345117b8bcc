"""What the tests of the user's reference share: its HTTP blocks, sent over a socket as they are written."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from http.client import HTTPResponse
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import urlsplit

import pytest


@dataclass
class Said:
    """An answer."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    def values(self, tag: str) -> list[Any]:
        """The first value of an attribute in each row, in order."""
        rows = self.json if self.body else []
        return sorted(row.get(tag, {}).get("Value", [None])[0] for row in rows)


def send(url: str, block: str, names: Mapping[str, str | bytes] | None = None) -> Said:
    """Send a block's request: its first line, its headers, its body; nothing but what HTTP itself needs is added.

    Parameters
    ----------
    url : str
        Where to: scheme, host and port.
    block : str
        As it stands in the reference.
    names : mapping
        What its placeholders stand for, braces included.
    """
    raw = block.strip("\n").replace("\n", "\r\n").encode()
    for name, value in (names or {}).items():
        raw = raw.replace(name.encode(), value if isinstance(value, bytes) else value.encode())
    head, _, body = raw.partition(b"\r\n\r\n")
    first, *headers = head.split(b"\r\n")
    if not first.endswith(b" HTTP/1.1"):
        first += b" HTTP/1.1"
    given = {line.partition(b":")[0].lower() for line in headers}
    netloc = urlsplit(url).netloc
    if b"host" not in given:
        headers.append(b"Host: " + netloc.encode())
    if body:
        headers.append(b"Content-Length: %d" % len(body))
    host, _, port = netloc.partition(":")
    with closing(socket.create_connection((host, int(port)), 30)) as connection:
        connection.sendall(b"\r\n".join([first, *headers, b"Connection: close", b"", body]))
        response = HTTPResponse(connection, method=first.split()[0].decode())
        response.begin()
        content = response.read()
        return Said(response.status, {name.lower(): value for name, value in response.getheaders()}, content)


@pytest.fixture(scope="session")
def as_written() -> Callable[..., Said]:
    return send


@pytest.fixture(scope="session")
def executed() -> Callable[..., dict[str, Any]]:
    """Give what runs a Python block of the reference, in a scope of names, and gives the scope back."""

    def run(block: str, **scope: Any) -> dict[str, Any]:
        exec(compile(block, "reference", "exec"), scope)  # noqa: S102 - the block is what is tested
        return scope

    return run


@pytest.fixture
def serve_reply() -> Callable[..., Any]:
    """Give what serves one body to every request, on loopback."""

    @contextmanager
    def serving(
        body: bytes, status: int = 200, content_type: str = "application/dicom+json", **headers: str
    ) -> Iterator[str]:
        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def answer(self) -> None:
                self.rfile.read(int(self.headers.get("Content-Length") or 0))
                self.send_response(status)
                given = {name.replace("_", "-"): value for name, value in headers.items()}
                for name, value in {
                    "Content-Type": content_type,
                    "Content-Length": str(len(body)),
                    **given,
                }.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(body)

            do_GET = do_POST = do_DELETE = answer  # noqa: N815 - the standard library's names

            def log_message(self, *_: object) -> None:
                """Say nothing."""

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            server.server_close()
            thread.join()

    return serving
