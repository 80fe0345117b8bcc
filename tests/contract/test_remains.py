"""What an export leaves behind and where it leads; files that are left; headers and numbers of any length."""

from __future__ import annotations

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

import dicomframe as dfr
from dicomframe.dicom.multipart import MediaType
from dicomframe.service.attributes import comparable
from dicomframe.service.destinations import destination_of
from dicomframe.service.faults import Fault
from dicomframe.service.inprocess import handler
from dicomframe.service.negotiation import ranges_of
from dicomframe.service.service import Service


class _Storage(BaseHTTPRequestHandler):
    """As much of Azure Blob Storage as an upload needs."""

    protocol_version = "HTTP/1.1"

    def do_PUT(self):
        self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self.server.targets.append(self.path)
        self.send_response(self.server.status)
        for name, value in {"Content-Length": "0", "ETag": "1", "Location": self.server.elsewhere}.items():
            self.send_header(name, value)
        self.end_headers()

    def log_message(self, *_):
        """Say nothing."""


@pytest.fixture
def storage():
    with ThreadingHTTPServer(("127.0.0.1", 0), _Storage) as server:
        server.targets, server.status, server.elsewhere = [], 201, ""
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()


def _export(service, storage):
    uri = f"http://127.0.0.1:{storage.server_port}/account/container?sv=1&sig=SECRET-SIG"
    body = {"destination": {"type": "azureblob", "settings": {"blobContainerUri": uri}}}
    json_body = [json.dumps(body).encode()]
    status, headers, answer = handler(service.app)(
        "POST", "/v2/export", {"Content-Type": "application/json"}, json_body
    )
    return status, headers, b"".join(answer)


def _files_with(folder, secret):
    return [path.name for path in folder.rglob("*") if path.is_file() and secret in path.read_bytes()]


def test_the_key_of_an_export_is_gone_with_it(tmp_path, storage):
    with Service.open(tmp_path / "service") as service:
        status, _, _ = _export(service, storage)
        assert status == 202
        service.operations.close()  # ends once the operation has
        assert any("sig=SECRET-SIG" in target for target in storage.targets)
    assert _files_with(tmp_path, b"SECRET-SIG") == []


def test_an_export_follows_no_redirection(tmp_path, storage):
    storage.status, storage.elsewhere = 307, "http://127.0.0.2:9/elsewhere"
    with Service.open(tmp_path / "service") as service:
        status, _, answer = _export(service, storage)
    assert status == 400
    assert b"SECRET" not in answer


@pytest.mark.parametrize(
    "settings",
    [
        {"blobContainerUri": "http://127.0.0.1:1\\\\@example.org/c"},
        {"blobContainerUri": "http://127.0.0.1 .example.org/c"},
        {"blobContainerUri": " http://127.0.0.1/c"},
        {"blobContainerUri": "http://127.0.0.1\t/c"},
        {"blobContainerUri": "http://127.0.0.1/c#part"},
        {"blobContainerUri": "http://2130706433/c"},
        {"blobContainerUri": "http://127.0.0.1.example.org/c"},
        {"blobContainerUri": "http://[::ffff:93.184.216.34]/c"},
        {"connectionString": "BlobEndpoint=http://127.0.0.1/a?sig=SECRET", "blobContainerName": "c"},
        {"connectionString": "BlobEndpoint=http://127.0.0.1/a", "blobContainerName": "c?sig=SECRET"},
        {"connectionString": "BlobEndpoint=http://127.0.0.1/a", "blobContainerName": "c#d"},
    ],
)
def test_destinations_that_may_lead_elsewhere_or_show_a_key(settings):
    with pytest.raises(Fault) as refused:
        destination_of({"type": "azureblob", "settings": settings}, None)
    assert refused.value.status == 400
    assert "SECRET" not in str(refused.value)


def test_a_folder_that_is_there_keeps_its_mode(tmp_path):
    folder = tmp_path / "shared"
    folder.mkdir()
    folder.chmod(0o750)
    with Service.open(folder):
        pass
    assert folder.stat().st_mode & 0o777 == 0o750


def test_a_temporary_service_leaves_nothing_behind(tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    with dfr.start_local() as local:
        assert list(tmp_path.iterdir())
        local.connect().search_studies().to_frame()
    assert list(tmp_path.iterdir()) == []


_LONG = 1_000_000


@pytest.mark.parametrize(
    "accept",
    [
        "," * _LONG,
        'a/b;x="' + ',"' * (_LONG // 2),
        '"' * _LONG,
        ";" * _LONG,
        "a/b," * (_LONG // 4),
        'a/b;c="' + "\\\\" * _LONG,
    ],
    ids=["commas", "quotes and commas", "quotes", "semicolons", "ranges", "backslashes"],
)
def test_a_header_of_any_length_is_read_in_one_pass(accept):
    # Takes an hour where what follows each comma is looked through anew.
    assert len(ranges_of(accept)) <= _LONG // 2
    assert len(MediaType.parse(accept).type) <= _LONG


@pytest.mark.parametrize("text", ["1" * 200_000 + "x", "1" * 100_000 + "." + "1" * 100_000 + "x"])
def test_a_number_of_any_length_is_read_in_one_pass(text):
    # Takes an hour where digits may be divided in several ways.
    assert comparable("DS", text) is None
    assert dfr.client.filtervalues._DECIMAL.fullmatch(text) is None


def test_commas_within_quotes_do_not_separate():
    accept = 'multipart/related; type="a,b"; q=0.5 , image/png,,"x'
    assert [(quality, media.type) for quality, media in ranges_of(accept)] == [
        (0.5, "multipart/related"),
        (1.0, "image/png"),
        (1.0, '"x'),
    ]
