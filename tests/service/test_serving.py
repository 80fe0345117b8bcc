"""The server's life: ready soon, gone soon, on loopback only."""

from __future__ import annotations

import logging
import signal
import socket
import subprocess
import sys
import time
from http.client import HTTPConnection

import pytest

from dicomframe.errors import DicomFrameError
from dicomframe.service.server import Server
from dicomframe.service.service import Service

SERVE = """
from dicomframe.service.server import serve_forever
from dicomframe.service.service import Service
serve_forever(Service.open(), 0)
"""


def test_ready_when_started_and_gone_when_stopped(tmp_path, http_for):
    server = Server(Service.open(tmp_path))
    server.start()
    assert http_for(None, server.url).get("studies").status == 204
    idle = HTTPConnection(server.url.removeprefix("http://"), timeout=60)
    idle.request("GET", "/v2/studies")
    idle.getresponse().read()
    began = time.perf_counter()
    server.stop()
    assert time.perf_counter() - began < 30  # although a connection is kept alive
    idle.close()
    with pytest.raises(OSError, match=r"refused|reset"):
        http_for(None, server.url).get("studies")
    server.stop()


def test_a_request_that_hangs_does_not_hold_the_server(tmp_path):
    server = Server(Service.open(tmp_path))
    server.start()
    host, port = server.url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port))) as slow:
        slow.sendall(
            b"POST /v2/studies HTTP/1.1\r\nHost: x\r\nContent-Type: application/dicom\r\nContent-Length: 99\r\n\r\n"
        )
        time.sleep(0.1)
        began = time.perf_counter()
        server.stop()
        assert time.perf_counter() - began < 30


def test_a_taken_port_is_explained(tmp_path):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with (
            Service.open(tmp_path) as service,
            pytest.raises(DicomFrameError, match=f"Port {port} .* choose another"),
        ):
            Server(service, port)


def test_only_this_machine_is_answered(tmp_path):
    with Server(Service.open(tmp_path)) as server:
        assert server._socket.getsockname()[0] == "127.0.0.1"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_serving_as_a_process(number):
    started = subprocess.Popen(
        [sys.executable, "-c", SERVE], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    url = started.stdout.readline().strip()
    connection = HTTPConnection(url.removeprefix("http://"), timeout=60)
    connection.request("GET", "/v2/studies?PatientName=Secret", headers={"Accept": "*/*"})
    assert connection.getresponse().status == 204
    started.send_signal(number)
    out, errors = started.communicate(timeout=60)
    connection.close()
    assert (started.returncode, out, errors) == (0, "", "")


def test_no_request_is_logged(tmp_path, http_for, caplog, capfd):
    with caplog.at_level(logging.DEBUG), Server(Service.open(tmp_path)) as server:
        http_for(None, server.url).search("studies", PatientName="Secret^Name")
        http_for(None, server.url).search("studies", PatientNam="Secret^Name")
    assert "Secret" not in caplog.text + "".join(capfd.readouterr())


def test_a_temporary_folder_goes_with_its_service(http_for, dicom):
    service = Service.open()
    http_for(service).stored(dicom())
    folder = service._temporary
    assert folder.is_dir()
    service.close()
    assert not folder.exists()


def test_what_was_stored_is_there_again(tmp_path, http_for, dicom):
    with Service.open(tmp_path) as service:
        http_for(service).stored(dicom())
    with Server(Service.open(tmp_path)) as server:
        assert http_for(None, server.url).get("instances").values("00080018") == ["1.1.1.1"]


def test_an_index_of_another_schema_is_refused(tmp_path):
    import sqlite3

    Service.open(tmp_path).close()
    with sqlite3.connect(tmp_path / "index.sqlite") as connection:
        connection.execute("PRAGMA user_version = 99")
    connection.close()
    with pytest.raises(DicomFrameError, match="99"):
        Service.open(tmp_path)


def test_an_index_of_an_older_schema_is_brought_up_to_date(tmp_path, http_for, dicom):
    import sqlite3

    def tables(path):
        connection = sqlite3.connect(path / "index.sqlite")
        found = connection.execute("SELECT type, name, sql FROM sqlite_schema ORDER BY name").fetchall()
        connection.close()
        return [(kind, name, sql and sql.rstrip(";")) for kind, name, sql in found]

    with Service.open(tmp_path / "old") as service:
        http_for(service).stored(dicom())
    connection = sqlite3.connect(tmp_path / "old" / "index.sqlite")
    for name in ("series_newest_of_study", "instance_newest_of_study", "instance_newest_of_series"):
        connection.execute(f"DROP INDEX {name}")
    connection.execute("PRAGMA user_version = 2")
    connection.close()
    Service.open(tmp_path / "new").close()
    with Service.open(tmp_path / "old") as service:
        assert http_for(service).get("studies/1.1/instances").values("00080018") == ["1.1.1.1"]
    assert tables(tmp_path / "old") == tables(tmp_path / "new")


def test_starting_needs_no_heavy_package():
    code = (
        "import sys; from dicomframe.service.server import Server; from dicomframe.service.service import Service;"
        "server = Server(Service.open()); server.start(); server.stop();"
        "heavy = 'pandas', 'numpy', 'pydicom', 'requests', 'matplotlib', 'filelock', 'tomllib';"
        "print([name for name in heavy if name in sys.modules])"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert out.strip() == "[]"


def test_a_client_that_goes_is_not_served_on(tmp_path, http_for, dicom, monkeypatch):
    service = Service.open(tmp_path)
    read = []
    opened = service.blobs.open
    monkeypatch.setattr(service.blobs, "open", lambda version: (read.append(version), opened(version))[1])
    with Server(service) as server:
        http = http_for(None, server.url)
        for number in range(60):
            http.stored(dicom(f"1/1/{number}", raw={"7FE00010": ("OW", bytes(1_000_000))}))
        host, port = server.url.removeprefix("http://").split(":")
        with socket.create_connection((host, int(port))) as client:
            client.sendall(b"GET /v2/studies/1.1 HTTP/1.1\r\nHost: x\r\nAccept: */*\r\n\r\n")
            client.recv(1000)
        time.sleep(0.3)
        assert 1 <= len(read) < 50
        assert http.get("studies").status == 200


def test_a_slow_client_does_not_hold_the_others_up(tmp_path, http_for, dicom):
    with Server(Service.open(tmp_path)) as server:
        http = http_for(None, server.url)
        for number in range(20):
            http.stored(dicom(f"1/1/{number}", raw={"7FE00010": ("OW", bytes(1_000_000))}))
        host, port = server.url.removeprefix("http://").split(":")
        with socket.create_connection((host, int(port))) as slow:
            slow.sendall(b"GET /v2/studies/1.1 HTTP/1.1\r\nHost: x\r\nAccept: */*\r\n\r\n")
            slow.recv(1000)
            began = time.perf_counter()
            for _ in range(20):
                assert http.get("studies").status == 200
            assert time.perf_counter() - began < 30
            received = 1000
            while received < 20_000_000:
                received += len(slow.recv(1 << 20))
