"""A service to ask, in process and over loopback, and DICOM files written byte by byte."""

from __future__ import annotations

import json
import struct
from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from http.client import HTTPConnection
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

import pytest

from dicomframe.service.inprocess import handler
from dicomframe.service.server import Server
from dicomframe.service.service import Service

MULTIPART = 'multipart/related; type="application/dicom"; boundary=test'


@dataclass
class Reply:
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def message(self) -> str:
        """All words of an error, and a check of its shape."""
        error = self.json["error"]
        assert set(error) == {"code", "message", "details"}
        assert self.headers["content-type"] == "application/json"
        return " ".join([error["message"], *(detail["message"] for detail in error["details"])])

    def values(self, tag: str) -> list[Any]:
        """The first value of an attribute in each row."""
        return [row.get(tag, {}).get("Value", [None])[0] for row in self.json] if self.body else []


class Http:
    """Requests to one service."""

    def __init__(self, service: Service, url: str = "", prefix: str = "/v2") -> None:
        self.service = service
        self.prefix = prefix
        self.url = url
        self._handle = None if url else handler(service.app)

    def __call__(
        self, method: str, path: str, headers: Mapping[str, str | None] | None = None, body: bytes = b""
    ) -> Reply:
        target = path if path.startswith("/") else f"{self.prefix}/{path}"
        sent = {"Accept": "*/*"} | dict(headers or {})
        real = {name: value for name, value in sent.items() if value is not None}
        if self._handle is not None:
            pieces = [body[at : at + 65536] for at in range(0, len(body), 65536)]
            status, given, answer = self._handle(method, target, real, pieces)
            return Reply(status, given, b"".join(answer))
        with closing(HTTPConnection(urlsplit(self.url).netloc, timeout=300)) as connection:
            connection.request(method, target, body or None, real)
            response = connection.getresponse()
            given = {name.lower(): value for name, value in response.getheaders()}
            return Reply(response.status, given, response.read())

    def get(self, path: str, **headers: str | None) -> Reply:
        return self("GET", path, _names(headers))

    def search(self, route: str, *pairs: tuple[str, Any], **filters: Any) -> Reply:
        everything = [*pairs, *filters.items()]
        query = "&".join(f"{quote(str(key))}={quote(str(value))}" for key, value in everything)
        return self("GET", f"{route}?{query}")

    def store(self, *files: bytes, study: str = "", **headers: str | None) -> Reply:
        sent = {"Content-Type": MULTIPART} | _names(headers)
        return self("POST", f"studies/{study}".rstrip("/"), sent, multipart(*files))

    def stored(self, *files: bytes) -> None:
        reply = self.store(*files)
        assert reply.status in {200, 202}, reply.body
        assert "00081198" not in reply.json


def _names(headers: Mapping[str, str | None]) -> dict[str, str | None]:
    return {name.replace("_", "-").title(): value for name, value in headers.items()}


def multipart(
    *files: bytes, head: bytes = b"Content-Type: application/dicom\r\n", boundary: bytes = b"test"
) -> bytes:
    parts = [b"--%b\r\n%b\r\n%b\r\n" % (boundary, head, file) for file in files]
    return b"".join(parts) + b"--%b--\r\n" % boundary


def element(tag: str, vr: str, value: bytes | list[dict[str, tuple[str, Any]]]) -> bytes:
    if isinstance(value, list):
        items = [b"".join(element(*each, raw) for each, raw in _sorted(item)) for item in value]
        value = b"".join(struct.pack("<HHL", 0xFFFE, 0xE000, len(item)) + item for item in items)
    numbers = struct.pack("<HH", int(tag[:4], 16), int(tag[4:], 16))
    value += b"" if len(value) % 2 == 0 else (b"\0" if vr in {"UI", "OB", "UN"} else b" ")
    if vr in {"OB", "OD", "OF", "OL", "OV", "OW", "SQ", "SV", "UC", "UN", "UR", "UT", "UV"}:
        return numbers + vr.encode() + b"\0\0" + struct.pack("<L", len(value)) + value
    return numbers + vr.encode() + struct.pack("<H", len(value)) + value


def _sorted(attributes: Mapping[str, tuple[str, Any]]) -> list[tuple[tuple[str, str], Any]]:
    return [
        ((tag, vr), value.encode() if isinstance(value, str) else value)
        for tag, (vr, value) in sorted(attributes.items())
    ]


STANDARD: dict[str, tuple[str, Any]] = {
    "00080005": ("CS", "ISO_IR 192"),
    "00080016": ("UI", "1.2.840.10008.5.1.4.1.1.2"),
    "00080020": ("DA", "20240115"),
    "00080030": ("TM", "101530"),
    "00080050": ("SH", "A1"),
    "00080060": ("CS", "CT"),
    "00080090": ("PN", "House^Gregory"),
    "00081030": ("LO", "Head routine"),
    "0008103E": ("LO", "Axial 5 mm"),
    "00081090": ("LO", "Scanner One"),
    "00100010": ("PN", "Doe^John"),
    "00100020": ("LO", "PAT001"),
    "00100030": ("DA", "19800203"),
    "00100040": ("CS", "M"),
    "00200010": ("SH", "ST1"),
    "00200011": ("IS", "3"),
    "00200013": ("IS", "1"),
    "00280010": ("US", struct.pack("<H", 2)),
    "00280011": ("US", struct.pack("<H", 2)),
    "00280100": ("US", struct.pack("<H", 16)),
    "00400244": ("DA", "20240116"),
    "7FE00010": ("OW", bytes(range(8))),
}

TAG_OF = {
    "PatientName": ("00100010", "PN"),
    "PatientID": ("00100020", "LO"),
    "PatientBirthDate": ("00100030", "DA"),
    "AccessionNumber": ("00080050", "SH"),
    "ReferringPhysicianName": ("00080090", "PN"),
    "StudyDate": ("00080020", "DA"),
    "StudyTime": ("00080030", "TM"),
    "StudyDescription": ("00081030", "LO"),
    "StudyID": ("00200010", "SH"),
    "Modality": ("00080060", "CS"),
    "SeriesNumber": ("00200011", "IS"),
    "SeriesDescription": ("0008103E", "LO"),
    "ManufacturerModelName": ("00081090", "LO"),
    "PerformedProcedureStepStartDate": ("00400244", "DA"),
    "StudyInstanceUID": ("0020000D", "UI"),
    "SeriesInstanceUID": ("0020000E", "UI"),
    "SOPInstanceUID": ("00080018", "UI"),
}


def dicom(uids: str = "1/1/1", /, *, raw: Mapping[str, Any] | None = None, syntax: str = "1.2.840.10008.1.2.1",
          meta: bool = True, **attributes: str | bytes | None) -> bytes:  # fmt: skip
    """A file of explicit VR; ``"1/2/3"`` is study 1.1, series 1.1.2, instance 1.1.2.3. None leaves an attribute out."""
    study, series, instance = uids.split("/")
    given = dict(STANDARD)
    given["0020000D"] = ("UI", f"1.{study}")
    given["0020000E"] = ("UI", f"1.{study}.{series}")
    given["00080018"] = ("UI", f"1.{study}.{series}.{instance}")
    for keyword, value in attributes.items():
        tag, vr = TAG_OF[keyword]
        if value is None:
            del given[tag]
        else:
            given[tag] = (vr, value)
    for tag, pair in (raw or {}).items():
        if pair is None:
            del given[tag]
        else:
            given[tag] = pair
    body = b"".join(element(*each, value) for each, value in _sorted(given))
    if not meta:
        return body
    head = element("00020010", "UI", syntax.encode())
    head = element("00020000", "UL", struct.pack("<L", len(head))) + head
    return bytes(range(128)) + b"DICM" + head + body


@pytest.fixture(name="dicom", scope="session")
def _dicom() -> Any:
    return dicom


@pytest.fixture(name="multipart", scope="session")
def _multipart() -> Any:
    return multipart


@pytest.fixture
def service(tmp_path: Path) -> Iterator[Service]:
    with Service.open(tmp_path / "data") as opened:
        yield opened


@pytest.fixture(params=["in process", "loopback"])
def anyhow(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Http]:
    """The same contract, called as a function and spoken over a socket."""
    opened = Service.open(tmp_path / "data")
    if request.param == "in process":
        with opened:
            yield Http(opened)
    else:
        with Server(opened) as server:
            yield Http(opened, server.url)


@pytest.fixture
def http(service: Service) -> Http:
    return Http(service)


@pytest.fixture
def v1(service: Service) -> Http:
    return Http(service, prefix="/v1")


@pytest.fixture
def strict(tmp_path: Path) -> Iterator[Http]:
    with Service.open(tmp_path / "strict", strict=True) as opened:
        yield Http(opened)


@pytest.fixture(scope="session")
def http_for() -> type[Http]:
    return Http


@pytest.fixture
def stepped(tmp_path: Path) -> Iterator[Http]:
    """A service whose operations report twice that they run, and are done when they are next asked for."""
    with Service.open(tmp_path / "stepped", operation_polls=2) as opened:
        yield Http(opened)


@pytest.fixture
def stored_at() -> Any:
    """Store one file and give the path of its instance."""

    def store(http: Http, file: bytes | Path) -> str:
        data = file if isinstance(file, bytes) else file.read_bytes()
        reply = http("POST", "studies", {"Content-Type": "application/dicom"}, data)
        assert reply.status in {200, 202}, reply.body
        url: str = reply.json["00081199"]["Value"][0]["00081190"]["Value"][0]
        return "/" + url.split("/", 3)[3]

    return store


@pytest.fixture
def image(dicom: Any) -> Any:
    """A file whose pixels are an array (rows, columns) or (frames, rows, columns), with more attributes as given."""

    def build(values: Any, /, *, uids: str = "1/1/1", **raw: Any) -> bytes:
        frames = values if values.ndim == 3 else values[None]
        bits = values.dtype.itemsize * 8
        given = {
            "00280002": ("US", struct.pack("<H", 1)),
            "00280004": ("CS", "MONOCHROME2"),
            "00280008": ("IS", str(len(frames))),
            "00280010": ("US", struct.pack("<H", frames.shape[1])),
            "00280011": ("US", struct.pack("<H", frames.shape[2])),
            "00280100": ("US", struct.pack("<H", bits)),
            "00280101": ("US", struct.pack("<H", bits)),
            "00280102": ("US", struct.pack("<H", bits - 1)),
            "00280103": ("US", struct.pack("<H", values.dtype.kind == "i")),
            "7FE00010": ("OB" if bits == 8 else "OW", values.tobytes()),
        }
        more = {name.removeprefix("_"): value for name, value in raw.items()}
        return dicom(uids, raw=given | more)

    return build
