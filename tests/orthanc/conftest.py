"""A private Orthanc for the tests of this folder: a real DICOMweb server that somebody else wrote."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

PLUGIN = Path("/usr/share/orthanc/plugins/libOrthancDicomWeb.so")


@dataclass(frozen=True)
class Orthanc:
    """A running server."""

    root: str

    @property
    def dicom_web(self) -> str:
        return f"{self.root}/dicom-web"

    def rest(self, path: str, method: str = "GET") -> object:
        """Ask Orthanc's own API, which is the oracle: it is not DICOMweb."""
        request = urllib.request.Request(f"{self.root}{path}", method=method)
        with urllib.request.urlopen(request, timeout=10) as answer:
            body = answer.read()
        return json.loads(body) if body else None


def _orthanc() -> str:
    program = shutil.which("Orthanc", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
    if program and PLUGIN.exists():
        return program
    reason = "Orthanc is not installed: apt-get install orthanc orthanc-dicomweb"
    if os.environ.get("CI") == "true":
        pytest.fail(reason)
    pytest.skip(reason)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _start(program: str, folder: Path) -> tuple[subprocess.Popen[bytes], str]:
    """Start it on a free port; another one takes the port in between now and then, hence the attempts."""
    for attempt in range(5):
        port = _free_port()
        settings = folder / f"orthanc{attempt}.json"
        settings.write_text(
            json.dumps(
                {
                    "Name": "dicomframe-test",
                    "StorageDirectory": str(folder / "db"),
                    "IndexDirectory": str(folder / "db"),
                    "Plugins": [str(PLUGIN)],
                    "HttpServerEnabled": True,
                    "HttpPort": port,
                    "HttpBindAddresses": ["127.0.0.1"],
                    "RemoteAccessAllowed": False,
                    "AuthenticationEnabled": False,
                    "DicomServerEnabled": False,
                    "OverwriteInstances": True,
                    "SyncStorageArea": False,
                    "SaveJobs": False,
                    "StableAge": 1,
                    "DefaultEncoding": "Utf8",
                    "DicomWeb": {
                        "Enable": True,
                        "Root": "/dicom-web/",
                        "EnableWado": True,
                        "WadoRoot": "/wado",
                        "Ssl": False,
                    },
                }
            )
        )
        with (folder / "orthanc.log").open("ab") as log:
            process = subprocess.Popen([program, str(settings)], stdout=log, stderr=log)
        root = f"http://127.0.0.1:{port}"
        if _is_ready(process, f"{root}/dicom-web/studies"):
            return process, root
        process.kill()
        process.wait()
    pytest.fail(f"Orthanc did not start: {(folder / 'orthanc.log').read_text()[-2000:]}")


def _is_ready(process: subprocess.Popen[bytes], url: str) -> bool:
    until = time.monotonic() + 120
    while time.monotonic() < until and process.poll() is None:
        try:
            with urllib.request.urlopen(url, timeout=30) as answer:
                return bool(answer.status == 200)
        except (urllib.error.URLError, OSError):
            time.sleep(0.05)
    return False


@pytest.fixture(scope="session")
def orthanc(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Orthanc]:
    process, root = _start(_orthanc(), tmp_path_factory.mktemp("orthanc"))
    try:
        yield Orthanc(root)
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
