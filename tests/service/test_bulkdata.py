"""GET of bulk values by the path of their attribute."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path

import numpy as np
import pydicom
import pytest
from pydicom.data import get_testdata_file
from pydicom.encaps import generate_frames

from dicomframe.dicom.parts import iter_parts

INSTANCE = "studies/1.1/series/1.1.1/instances/1.1.1.1"
EXPLICIT = "1.2.840.10008.1.2.1"
OCTETS = "application/octet-stream"
RELATED = f'multipart/related; type="{OCTETS}"'


def real(name):
    return Path(get_testdata_file(name))


def parts(reply):
    assert reply.status == 200, reply.body
    return [
        (part.content_type, part.read()) for part in iter_parts(reply.headers["content-type"], [reply.body])
    ]


@pytest.mark.parametrize("accept", [OCTETS, "*/*", None, "application/*", f"image/png, {OCTETS};q=0.1"])
@pytest.mark.parametrize("path", ["PixelData", "7FE00010", "7fe00010"])
def test_a_value_as_a_single_part(anyhow, dicom, accept, path):
    anyhow.stored(dicom())
    reply = anyhow.get(f"{INSTANCE}/bulkdata/{path}", accept=accept)
    assert (reply.status, reply.body) == (200, bytes(range(8)))
    assert reply.headers["content-type"] == f"{OCTETS}; transfer-syntax={EXPLICIT}"
    assert reply.headers["content-length"] == "8"


@pytest.mark.parametrize(
    "accept",
    [
        RELATED,
        f"{RELATED}; transfer-syntax=*",
        'multipart/related; type="*/*"',
        f"*/*, {OCTETS};q=0, {RELATED};q=0.1",
    ],
)
def test_a_value_as_multipart(http, dicom, accept):
    http.stored(dicom())
    reply = http.get(f"{INSTANCE}/bulkdata/PixelData", accept=accept)
    assert parts(reply) == [(f"{OCTETS}; transfer-syntax={EXPLICIT}", bytes(range(8)))]
    assert int(reply.headers["content-length"]) == len(reply.body)


@pytest.mark.covers("fact 18")
@pytest.mark.parametrize(
    "accept",
    [
        "image/jpeg",
        'multipart/related; type="image/jp2"',
        f"{OCTETS}; transfer-syntax=1.2.3",
        "application/dicom",
        f"{OCTETS};q=0, */*",  # a wildcard does not undo that
        f"application/*, {OCTETS};q=0",
    ],
)
def test_what_is_not_accepted(http, dicom, accept):
    http.stored(dicom())
    for instance in (INSTANCE, "studies/9/series/9/instances/9"):
        reply = http.get(f"{instance}/bulkdata/PixelData", accept=accept)
        assert reply.status == 406
        assert OCTETS in reply.message


def test_values_inside_sequences(http, stored_at):
    ds = pydicom.dcmread(real("waveform_ecg.dcm"))
    route = f"{stored_at(http, real('waveform_ecg.dcm'))}/bulkdata"
    for number, item in enumerate(ds.WaveformSequence, 1):
        for path in (f"54000100/{number}/54001010", f"WaveformSequence/{number}/WaveformData"):
            assert http.get(f"{route}/{path}").body == item.WaveformData
    assert http.get(f"{route}/54000100/{len(ds.WaveformSequence) + 1}/54001010").status == 404
    assert http.get(f"{route}/54000100/1/54000100/1/54001010").status == 404


def test_every_bulk_vr_comes_and_is_not_in_the_metadata(http, dicom):
    bulk = {f"0009{n:04X}": (vr, b"12345678") for n, vr in enumerate("OB OD OF OL OV OW UN".split(), 0x1001)}
    http.stored(dicom(raw=bulk | {"00090010": ("LO", "MINE")}))
    (row,) = http.get(f"{INSTANCE}/metadata").json
    for tag in bulk:
        assert http.get(f"{INSTANCE}/bulkdata/{tag}").body == b"12345678"
        assert tag not in row


def test_words_of_big_endian_files(http, stored_at):
    """In little-endian order, as the metadata's numbers are; with transfer-syntax=* as they are in the file."""
    path = real("MR_small_bigendian.dcm")
    ds = pydicom.dcmread(path)
    width = {"OB": 1, "OW": 2}[ds["PixelData"].VR]
    assert width == 2
    route = f"{stored_at(http, path)}/bulkdata/PixelData"
    stored = http.get(route, accept=f"{OCTETS}; transfer-syntax=*")
    assert stored.body == ds.PixelData
    assert stored.headers["content-type"] == f"{OCTETS}; transfer-syntax=1.2.840.10008.1.2.2"
    turned = np.frombuffer(ds.PixelData, ">u2").astype("<u2").tobytes()
    assert http.get(route).body == turned


@pytest.mark.parametrize("name", ["emri_small_RLE.dcm", "JPGLosslessP14SV1_1s_1f_8b.dcm"])
def test_compressed_pixel_data(http, stored_at, name):
    ds = pydicom.dcmread(real(name))
    count = int(ds.get("NumberOfFrames") or 1)
    route = f"{stored_at(http, real(name))}/bulkdata/PixelData"
    decoded = ds.pixel_array.tobytes()
    assert http.get(route).body == decoded
    assert parts(http.get(route, accept=RELATED)) == [(f"{OCTETS}; transfer-syntax={EXPLICIT}", decoded)]
    frames = list(generate_frames(ds.PixelData, number_of_frames=count))
    given = parts(http.get(route, accept=f"{RELATED}; transfer-syntax=*"))
    assert given == [
        (f"{OCTETS}; transfer-syntax={ds.file_meta.TransferSyntaxUID}", frame) for frame in frames
    ]
    single = http.get(route, accept=f"{OCTETS}; transfer-syntax=*")
    if count == 1:
        assert single.body == frames[0]
    else:
        assert single.status == 406
        assert "multipart" in single.message


def test_a_large_value_streams_whole(http, dicom):
    content = np.random.default_rng(0).bytes((3 << 20) + 2)
    http.stored(dicom(raw={"7FE00010": ("OW", content)}))
    assert http.get(f"{INSTANCE}/bulkdata/PixelData").body == content


def test_a_deflated_file(http, stored_at):
    ds = pydicom.dcmread(real("image_dfl.dcm"))
    reply = http.get(
        f"{stored_at(http, real('image_dfl.dcm'))}/bulkdata/PixelData", accept=f"{OCTETS}; transfer-syntax=*"
    )
    assert reply.body == ds.PixelData
    assert reply.headers["content-type"] == f"{OCTETS}; transfer-syntax={EXPLICIT}"


@pytest.mark.parametrize(
    "path",
    ["pixeldata", "NoSuchKeyword", "7FE0001", "7FE000100", "54000100/1", "54000100/0/54001010", "54000100/-1/54001010",
     "54000100/x/54001010", "54000100/1/54001010/1", "(7FE0,0010)", "5400%2C0100"],
)  # fmt: skip
def test_malformed_paths(http, dicom, path):
    http.stored(dicom())
    reply = http.get(f"{INSTANCE}/bulkdata/{path}")
    assert reply.status == 400
    assert "counted from 1" in reply.message


def test_what_is_not_there(http, dicom, strict):
    http.stored(dicom(), dicom("1/1/2", raw={"7FE00010": ("OW", b"")}))
    for path in ("WaveformData", "PatientName", "54000100", "54000100/1/54001010", "00020102"):
        reply = http.get(f"{INSTANCE}/bulkdata/{path}")
        assert reply.status == 404, path
    assert "bulk" in http.get(f"{INSTANCE}/bulkdata/PatientName").message
    assert http.get("studies/1.1/series/1.1.1/instances/1.1.1.2/bulkdata/PixelData").status == 404
    assert http.get("studies/1.1/series/1.1.1/instances/9/bulkdata/PixelData").status == 404
    http.service.blobs.remove([1])
    assert http.get(f"{INSTANCE}/bulkdata/PixelData").status == 404
    strict.stored(dicom())
    assert strict.get(f"{INSTANCE}/bulkdata/PixelData").status == 404


def test_values_of_implicit_files(http, stored_at):
    """VRs come from the dictionary there; look-up tables of one among several VRs count as bulk."""
    ds = pydicom.dcmread(real("MR_small_implicit.dcm"))
    route = stored_at(http, real("MR_small_implicit.dcm"))
    assert http.get(f"{route}/bulkdata/PixelData").body == ds.PixelData


def test_transcoded_and_bulk_agree(http, stored_at):
    route = stored_at(http, real("SC_rgb_rle_2frame.dcm"))
    sent = pydicom.dcmread(BytesIO(http.get(route, accept="application/dicom").body))
    assert http.get(f"{route}/bulkdata/PixelData").body == sent.PixelData
