"""The clients that others wrote, and real files for them."""

from __future__ import annotations

import base64
import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pydicom
import pytest
from pydicom.data import get_testdata_file

DCMJS = Path(__file__).parent / "dcmjs"


@pytest.fixture
def datasets():
    names = ("CT_small.dcm", "MR_small.dcm", "waveform_ecg.dcm", "JPEG2000.dcm")
    return [pydicom.dcmread(get_testdata_file(name)) for name in names]


class Refused(RuntimeError):
    """What the client threw, and the status that it met."""

    def __init__(self, message: str, status: int | None) -> None:
        super().__init__(f"{status}: {message}")
        self.status = status


class Dcmjs:
    """dcmjs' dicomweb-client in a process of its own; its methods are called by their names."""

    def __init__(self, node: str) -> None:
        self._process = subprocess.Popen(
            [node, "client.mjs"], cwd=DCMJS, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def call(self, url: str, method: str, **options: Any) -> Any:
        """Call a method; bytes go in and come out as bytes."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        request = {"url": url, "method": method, "options": _wrapped(options)}
        self._process.stdin.write(f"{json.dumps(request)}\n")
        self._process.stdin.flush()
        outcome = json.loads(self._process.stdout.readline(), object_hook=_unwrapped)
        if "error" in outcome:
            raise Refused(**outcome["error"])
        return outcome["value"]

    def close(self) -> None:
        self._process.communicate(timeout=60)


def _wrapped(value: Any) -> Any:
    if isinstance(value, bytes):
        return {"bytes": base64.b64encode(value).decode()}
    if isinstance(value, dict):
        return {name: _wrapped(each) for name, each in value.items()}
    return [_wrapped(each) for each in value] if isinstance(value, list) else value


def _unwrapped(found: dict[str, Any]) -> Any:
    return base64.b64decode(found["bytes"]) if found.keys() == {"bytes"} else found


@pytest.fixture(scope="session")
def dcmjs() -> Iterator[Dcmjs]:
    node = shutil.which("node") or shutil.which("nodejs")
    if node is None or not (DCMJS / "node_modules" / "dicomweb-client").exists():
        reason = "dcmjs' dicomweb-client is not installed: make node-packages, which needs Node.js and npm"
        if os.environ.get("CI") == "true":
            pytest.fail(reason)
        pytest.skip(reason)
    client = Dcmjs(node)
    try:
        yield client
    finally:
        client.close()
