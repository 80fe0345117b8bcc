"""Small real HTTP servers on loopback that behave, or misbehave, as a test tells them."""

from __future__ import annotations

import io
import json
import socket
import ssl
import struct
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import pytest

from dicomframe.client.backoff import Backoff
from dicomframe.client.client import Client
from dicomframe.dicom.dicomjson import from_dataset

#: Waits of milliseconds, so that retries can be tested without patience.
QUICK = Backoff(retries=3, first=0.005, most=0.01)


@dataclass
class Asked:
    """A request as it came in."""

    method: str
    target: str
    headers: dict[str, str]
    body: bytes
    port: int = 0  # the client's: what came over one connection has the same

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
        asked = Asked(self.command, self.path, dict(self.headers.items()), body, self.client_address[1])
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

    def __init__(self, answer: Callable[[Asked], Reply], tls: ssl.SSLContext | None = None) -> None:
        self._server = _Server(answer)
        if tls is not None:
            self._server.socket = tls.wrap_socket(self._server.socket, server_side=True)
        self.asked = self._server.asked
        self.url = f"http{'s' * (tls is not None)}://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)
        self._thread.start()

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


@pytest.fixture
def serve() -> Iterator[Callable[..., Site]]:
    """Give what starts a server that answers by a function, or always the same."""
    sites: list[Site] = []

    def start(handle: Callable[[Asked], Reply] | Reply, tls: ssl.SSLContext | None = None) -> Site:
        site = Site(handle if callable(handle) else lambda _: handle, tls)
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


def make_certificate(folder: Path, days: int = 30) -> tuple[Path, ssl.SSLContext]:
    """Make a certificate for 127.0.0.1; give the file that a client may trust and what a server needs."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "dicomframe tests")])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=60))
        .not_valid_after(now + timedelta(days=days, hours=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    public, private = folder / "certificate.pem", folder / "key.pem"
    public.write_bytes(made.public_bytes(serialization.Encoding.PEM))
    private.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(public, private)
    return public, context


@pytest.fixture
def certificate(tmp_path: Path) -> tuple[Path, ssl.SSLContext]:
    return make_certificate(tmp_path)


@pytest.fixture
def certificate_for() -> Callable[..., tuple[Path, ssl.SSLContext]]:
    return make_certificate


class Archive:
    """A server that holds objects; `spoil` may answer in its place, and sees each request first."""

    def __init__(self, datasets: list[Any], spoil: Callable[[Asked], Reply | None]) -> None:
        self._datasets = {str(dataset.SOPInstanceUID): dataset for dataset in datasets}
        self._spoil = spoil

    def __call__(self, asked: Asked) -> Reply:
        spoilt = self._spoil(asked)
        if spoilt is not None:
            return spoilt
        *_, kind = asked.path.split("/")
        if kind == "instances":
            rows = [_address(dataset) for dataset in self._datasets.values()]
            offset, limit = int(asked.params["offset"]), int(asked.params["limit"])
            return json_reply(rows[offset : offset + limit], api_supported_versions="2")
        uid = asked.path.partition("/instances/")[2].partition("/")[0]
        dataset = self._datasets.get(uid)
        if dataset is None:
            return Reply(404, b"no such instance")
        if kind == "metadata":
            return json_reply([from_dataset(dataset, bulk="drop")])
        if kind == uid:
            buffer = io.BytesIO()
            dataset.save_as(buffer)
            return Reply(200, buffer.getvalue(), {"Content-Type": "application/dicom"})
        return Reply(501, b"not here")


def _address(dataset: Any) -> dict[str, Any]:
    named = {
        "0020000D": dataset.StudyInstanceUID,
        "0020000E": dataset.SeriesInstanceUID,
        "00080018": dataset.SOPInstanceUID,
    }
    rows = {tag: {"vr": "UI", "Value": [str(uid)]} for tag, uid in named.items()}
    return rows | {"00200013": {"vr": "IS", "Value": [int(dataset.get("InstanceNumber") or 0)]}}


@pytest.fixture
def archive(serve: Any) -> Callable[..., Site]:
    """Give what starts a server that holds data sets and, without `spoil`, has objects, metadata and search only."""
    return lambda *datasets, spoil=lambda _: None: serve(Archive(list(datasets), spoil))
