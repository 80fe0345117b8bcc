"""The reference's section "WADO-RS (Retrieve)" and the WADO-URI of its list of standards: requests as written."""

from __future__ import annotations

import email
import io
import json
from collections.abc import Iterator
from http.client import HTTPConnection, HTTPResponse
from io import BytesIO
from pathlib import Path
from urllib.parse import urlsplit

import numpy as np
import pydicom
import pytest
import requests
from PIL import Image
from pydicom import dcmread
from pydicom.data import get_testdata_file

import dicomframe as dfr
from dicomframe.local import LocalService

TOKEN = "eyJ0.a.b"
SECTION = "WADO-RS (Retrieve)"
FILES = ("CT_small.dcm", "MR_small_RLE.dcm", "examples_ybr_color.dcm", "waveform_ecg.dcm")


@pytest.fixture(scope="module")
def local() -> Iterator[LocalService]:
    with dfr.start_local(token=TOKEN) as started:
        yield started


@pytest.fixture(scope="module")
def datasets(local: LocalService) -> dict[str, pydicom.Dataset]:
    """Stored by the service's own route; the client is not in it."""
    found = {}
    for name in FILES:
        data = Path(get_testdata_file(name)).read_bytes()
        headers = {"Authorization": f"Bearer {TOKEN}", "Content-Type": "application/dicom"}
        assert (
            requests.post(f"{local.url}/v1/studies", data=data, headers=headers, timeout=300).status_code
            == 200
        )
        found[name] = dcmread(BytesIO(data))
    return found


def send(local: LocalService, lines: str, *uids: str) -> tuple[HTTPResponse, bytes]:
    """Send a request written as in the reference, with UIDs in place of what stands in braces, in their order."""
    request, *headers = [line.strip() for line in lines.strip().splitlines()]
    method, target = request.split(" ", 1)
    for uid in uids:
        begin, end = target.index("{"), target.index("}")
        target = target[:begin] + uid + target[end + 1 :]
    given = dict(header.split(": ", 1) for header in headers)
    given = {"Authorization": "Bearer {token}"} | given
    given = {name: value.replace("{token}", TOKEN) for name, value in given.items()}
    connection = HTTPConnection(urlsplit(local.url).netloc, timeout=300)
    connection.request(method, target, headers=given)
    response = connection.getresponse()
    body = response.read()
    connection.close()
    return response, body


def uids_of(ds: pydicom.Dataset) -> tuple[str, str, str]:
    return str(ds.StudyInstanceUID), str(ds.SeriesInstanceUID), str(ds.SOPInstanceUID)


def objects_in(response: HTTPResponse, body: bytes) -> list[pydicom.Dataset]:
    """Take a multipart body apart by the standard library's parser."""
    kind = response.getheader("Content-Type")
    message = email.message_from_bytes(f"Content-Type: {kind}\r\n\r\n".encode() + body)
    assert message.get_content_type() == "multipart/related"
    return [dcmread(BytesIO(part.get_payload(decode=True))) for part in message.get_payload()]


@pytest.mark.covers("Retrieve Study")
def test_retrieve_study(local: LocalService, datasets: dict[str, pydicom.Dataset]) -> None:
    """Without a transfer syntax it comes decoded, in Explicit VR Little Endian."""
    for name in FILES:
        study, _, instance = uids_of(datasets[name])
        response, body = send(
            local,
            """
            GET /v1/studies/{studyInstanceUID}
            Accept: multipart/related; type="application/dicom"
            Authorization: Bearer {token}
            """,
            study,
        )
        assert response.status == 200
        (ds,) = objects_in(response, body)
        assert ds.SOPInstanceUID == instance
        assert ds.file_meta.TransferSyntaxUID == "1.2.840.10008.1.2.1"


@pytest.mark.covers("Retrieve Series")
def test_retrieve_series(local: LocalService, datasets: dict[str, pydicom.Dataset]) -> None:
    study, series, instance = uids_of(datasets["MR_small_RLE.dcm"])
    response, body = send(
        local,
        """
        GET /v1/studies/{studyInstanceUID}/series/{seriesInstanceUID}
        Accept: multipart/related; type="application/dicom"
        """,
        study,
        series,
    )
    assert response.status == 200
    (ds,) = objects_in(response, body)
    assert ds.SOPInstanceUID == instance
    assert np.array_equal(ds.pixel_array, datasets["MR_small_RLE.dcm"].pixel_array)


@pytest.mark.covers("Retrieve Instance")
def test_retrieve_instance(local: LocalService, datasets: dict[str, pydicom.Dataset]) -> None:
    response, body = send(
        local,
        """
        GET /v1/studies/{studyInstanceUID}/series/{seriesInstanceUID}/instances/{sopInstanceUID}
        Accept: application/dicom
        """,
        *uids_of(datasets["CT_small.dcm"]),
    )
    assert response.status == 200
    assert dcmread(BytesIO(body)) == datasets["CT_small.dcm"]


RENDERED = """
    GET /v1/studies/{studyUID}/series/{seriesUID}/instances/{instanceUID}/rendered%s
    Accept: image/jpeg
    """


@pytest.mark.covers("Retrieve Rendered Image (JPEG)")
@pytest.mark.parametrize("name", FILES[:3])
def test_retrieve_rendered(local: LocalService, datasets: dict[str, pydicom.Dataset], name: str) -> None:
    response, body = send(local, RENDERED % "", *uids_of(datasets[name]))
    assert (response.status, response.getheader("Content-Type")) == (200, "image/jpeg")
    picture = Image.open(io.BytesIO(body))
    assert picture.format == "JPEG"
    assert picture.size == (datasets[name].Columns, datasets[name].Rows)


@pytest.mark.covers("Retrieve Rendered Image (JPEG): quality")
def test_rendered_quality(local: LocalService, datasets: dict[str, pydicom.Dataset]) -> None:
    """JPEG quality (1-100, default 90)."""
    uids = uids_of(datasets["CT_small.dcm"])
    sizes = [len(send(local, RENDERED % f"?quality={quality}", *uids)[1]) for quality in (1, 90, 100)]
    assert sizes == sorted(set(sizes))
    assert len(send(local, RENDERED % "", *uids)[1]) == sizes[1]
    for bad in ("0", "101"):
        assert send(local, RENDERED % f"?quality={bad}", *uids)[0].status == 400


@pytest.mark.covers("Retrieve Rendered Image (JPEG): window")
def test_rendered_window(local: LocalService, datasets: dict[str, pydicom.Dataset]) -> None:
    """Window center/width (e.g., "400,1500")."""
    ds = datasets["CT_small.dcm"]
    _, body = send(local, RENDERED % "?window=400,1500&quality=100", *uids_of(ds))
    hounsfield = ds.pixel_array * float(ds.RescaleSlope) + float(ds.RescaleIntercept)
    expected = np.clip(((hounsfield - 399.5) / 1499 + 0.5) * 255, 0, 255)
    assert np.abs(np.asarray(Image.open(io.BytesIO(body))) - expected).mean() < 1
    assert send(local, RENDERED % "?window=400", *uids_of(ds))[0].status == 400


@pytest.mark.covers("Retrieve Rendered Image (JPEG): viewport")
def test_rendered_viewport(local: LocalService, datasets: dict[str, pydicom.Dataset]) -> None:
    """Output size (e.g., "512,512"): the picture fits in it, its proportions kept."""
    for name, size in (("CT_small.dcm", (512, 512)), ("examples_ybr_color.dcm", (512, 384))):
        _, body = send(local, RENDERED % "?viewport=512,512", *uids_of(datasets[name]))
        assert Image.open(io.BytesIO(body)).size == size


@pytest.mark.covers("Retrieve Thumbnail")
def test_retrieve_thumbnail(local: LocalService, datasets: dict[str, pydicom.Dataset]) -> None:
    response, body = send(
        local,
        """
        GET /v1/studies/{studyUID}/series/{seriesUID}/instances/{instanceUID}/thumbnail
        Accept: image/jpeg
        """,
        *uids_of(datasets["examples_ybr_color.dcm"]),
    )
    assert (response.status, response.getheader("Content-Type")) == (200, "image/jpeg")
    assert Image.open(io.BytesIO(body)).size == (200, 150)


@pytest.mark.covers("Retrieve Metadata Only")
def test_retrieve_metadata(local: LocalService, datasets: dict[str, pydicom.Dataset]) -> None:
    ds = datasets["waveform_ecg.dcm"]
    response, body = send(
        local,
        """
        GET /v1/studies/{studyInstanceUID}/metadata
        Accept: application/dicom+json
        """,
        str(ds.StudyInstanceUID),
    )
    assert (response.status, response.getheader("Content-Type")) == (200, "application/dicom+json")
    (row,) = json.loads(body)
    assert row["00080018"] == {"vr": "UI", "Value": [str(ds.SOPInstanceUID)]}
    assert "54001010" not in row["54000100"]["Value"][0]


@pytest.mark.covers("Retrieve Bulk Data")
def test_retrieve_bulk_data(local: LocalService, datasets: dict[str, pydicom.Dataset]) -> None:
    for name, path in (("CT_small.dcm", "7FE00010"), ("waveform_ecg.dcm", "54000100/1/54001010")):
        ds = datasets[name]
        response, body = send(
            local,
            """
            GET /v1/studies/{studyUID}/series/{seriesUID}/instances/{instanceUID}/bulkdata/{path}
            Accept: application/octet-stream
            """,
            *uids_of(ds),
            path,
        )
        assert response.status == 200
        assert response.getheader("Content-Type").startswith("application/octet-stream")
        assert body == (ds.PixelData if name == "CT_small.dcm" else ds.WaveformSequence[0].WaveformData)


# fmt: off
def retrieve_study(study_uid: str, base_url: str, token: str) -> list:
    """Retrieve all instances in a study."""
    response = requests.get(
        f"{base_url}/v1/studies/{study_uid}",
        headers={
            "Authorization": f"Bearer {token}",
            "Accept": 'multipart/related; type="application/dicom"'
        },
        stream=True
    )

    # Parse multipart response
    instances = []
    content_type = response.headers.get("Content-Type")
    boundary = content_type.split("boundary=")[1].split(";")[0]

    for part in response.content.split(f"--{boundary}".encode()):
        if b"application/dicom" in part:
            # Extract DICOM data
            dicom_start = part.find(b"\r\n\r\n") + 4
            if dicom_start > 4:
                dcm = dcmread(BytesIO(part[dicom_start:]))
                instances.append(dcm)

    return instances
# fmt: on


@pytest.mark.covers("Python Retrieve Example")
def test_the_python_example(local: LocalService, datasets: dict[str, pydicom.Dataset]) -> None:
    """`retrieve_study` above is the reference's own code, to the letter."""
    for name in FILES:
        ds = datasets[name]
        (found,) = retrieve_study(str(ds.StudyInstanceUID), local.url, TOKEN)
        assert found.SOPInstanceUID == ds.SOPInstanceUID
        assert found.get("PatientName") == ds.get("PatientName")


@pytest.mark.covers("DICOMweb Standards Compliance: WADO-URI")
def test_wado_uri(local: LocalService, datasets: dict[str, pydicom.Dataset]) -> None:
    """Legacy single-instance retrieval; the reference shows no request, so this is PS3.18 section 9's."""
    study, series, instance = uids_of(datasets["CT_small.dcm"])
    query = f"requestType=WADO&studyUID={study}&seriesUID={series}&objectUID={instance}"
    response, body = send(local, f"GET /v1/wado?{query}&contentType=application/dicom\nAccept: */*")
    assert response.status == 200
    assert dcmread(BytesIO(body)) == datasets["CT_small.dcm"]
    response, body = send(local, f"GET /v1/wado?{query}\nAccept: */*")
    assert response.getheader("Content-Type") == "image/jpeg"
    assert Image.open(io.BytesIO(body)).size == (128, 128)


@pytest.mark.covers(f"{SECTION}: errors")
def test_what_is_not_there(local: LocalService, datasets: dict[str, pydicom.Dataset]) -> None:
    """In the reference's error shape, for each of its routes."""
    report = uids_of(datasets["waveform_ecg.dcm"])
    for route in ("", "/rendered", "/thumbnail", "/metadata", "/bulkdata/PixelData", "/frames/1"):
        accept = "image/jpeg" if route in {"/rendered", "/thumbnail"} else "*/*"
        lines = f"GET /v1/studies/{{s}}/series/{{s}}/instances/{{i}}{route}\nAccept: {accept}"
        for uids in (report, ("1.2", "1.3", "1.4")):
            if uids == report and route in {"", "/metadata"}:
                continue
            response, body = send(local, lines, *uids)
            assert response.status == 404
            assert set(json.loads(body)["error"]) == {"code", "message", "details"}
