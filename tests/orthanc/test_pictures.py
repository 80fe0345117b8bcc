"""Frames, pictures, bulk data and WADO-URI of a server that somebody else wrote, with its habits.

The oracle is pydicom, which decodes the files that were stored.
"""

from __future__ import annotations

from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from pydicom import dcmread
from pydicom.data import get_testdata_file

from dicomframe.client.backoff import Backoff
from dicomframe.client.client import Client
from dicomframe.errors import (
    DecodeError,
    NotBuiltError,
    NotFoundError,
    ServiceError,
    UnexpectedAnswerError,
)
from dicomframe.images.pixels import pixels
from dicomframe.images.windowing import display

pytestmark = pytest.mark.orthanc

CT, J2K, RLE, ECG, PALETTE, YBR = (
    "CT_small.dcm",
    "JPEG2000.dcm",
    "SC_rgb_rle_2frame.dcm",
    "waveform_ecg.dcm",
    "examples_palette.dcm",
    "SC_ybr_full_422_uncompressed.dcm",
)
UNKNOWN = ("1.2.3", "1.2.3.4", "1.2.3.4.5")


def file(name):
    return Path(get_testdata_file(name, download=False))


def uids(name):
    ds = dcmread(file(name))
    return ds.StudyInstanceUID, ds.SeriesInstanceUID, ds.SOPInstanceUID


@pytest.fixture(scope="module")
def client(orthanc):
    with Client(orthanc.dicom_web, progress=False, backoff=Backoff(2, 0.01, 0.05)) as connected:
        stored = connected.store([file(name) for name in (CT, J2K, RLE, ECG, PALETTE, YBR)])
        assert stored["status"].isin(["stored", "exists"]).all()
        yield connected


# -- frames ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", [CT, J2K, RLE, PALETTE, YBR])
def test_frames_are_those_of_the_file(client, name):
    expected = pixels(dcmread(file(name)))
    found = client.retrieve_frames(*uids(name))
    assert len(found) == len(expected)
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_array_equal(one, other)
        assert one.dtype == other.dtype


def test_frames_in_any_order(client):
    first, second = pixels(dcmread(file(RLE)))
    found = client.retrieve_frames(*uids(RLE), frames=[2, 1, 2])
    for one, other in zip(found, [second, first, second], strict=True):
        np.testing.assert_array_equal(one, other)


def test_frames_that_are_not_there(client):
    with pytest.raises(NotFoundError, match="2 frames; there is no frame 3"):
        client.retrieve_frames(*uids(RLE), frames=[1, 3])
    with pytest.raises(NotFoundError):
        client.retrieve_frames(*UNKNOWN, frames=1)
    with pytest.raises(DecodeError, match="no pixel data"):
        client.retrieve_frames(*uids(ECG))


# -- rendered --------------------------------------------------------------------------------------------------------


def test_it_renders(client):
    picture = client.retrieve_rendered(*uids(CT), media_type="image/png")
    assert (picture.source, picture.shape, picture.dtype) == ("server", (128, 128), np.uint8)
    colour = client.retrieve_rendered(*uids(RLE), frame=2, quality=90)
    assert (colour.source, colour.media_type, colour.shape) == ("server", "image/jpeg", (100, 100, 3))


def test_a_window_is_spelled_as_it_wants(client):
    """It refuses two numbers with 400, and takes the function as a third."""
    window = (200, 800)
    picture = client.retrieve_rendered(*uids(CT), window=window, media_type="image/png")
    assert picture.source == "server"
    expected = display(dcmread(file(CT)), window=window)
    assert np.abs(picture.astype(int) - expected).max() <= 2
    assert not np.array_equal(picture, client.retrieve_rendered(*uids(CT), media_type="image/png"))


def test_a_viewport_is_filled_up_with_black(client):
    picture = client.retrieve_rendered(*uids(CT), viewport=(40, 64))
    assert (picture.source, picture.shape) == ("server", (64, 40))
    assert picture[:11].max() < 10 > picture[-11:].max()


def test_what_it_cannot_decode_is_drawn_here(client):
    picture = client.retrieve_rendered(*uids(J2K), viewport=(64, 64), window="brain")
    assert picture.source == "local"
    assert "400" in picture.reason
    ds = dcmread(file(J2K))
    assert picture.shape == (64, round(64 * ds.Columns / ds.Rows))


def test_thumbnails_it_lacks_are_scaled_renderings(client):
    picture = client.retrieve_thumbnail(*uids(PALETTE))
    assert picture.source == "server"
    assert "404" in picture.reason
    assert max(picture.shape[:2]) == 200
    by_study = client.retrieve_thumbnail(uids(CT)[0])
    np.testing.assert_array_equal(by_study, client.retrieve_thumbnail(*uids(CT)))
    assert client.retrieve_thumbnail(*uids(J2K)).source == "local"


@pytest.mark.parametrize("verb", ["retrieve_rendered", "retrieve_thumbnail"])
def test_pictures_of_nothing(client, verb):
    with pytest.raises(NotFoundError):
        getattr(client, verb)(*UNKNOWN)
    with pytest.raises(DecodeError, match="no pixel data"):
        getattr(client, verb)(*uids(ECG))
    with pytest.raises(NotFoundError, match="no frame 9"):
        getattr(client, verb)(*uids(RLE), frame=9)


# -- bulk data -------------------------------------------------------------------------------------------------------


def test_bulk_data_by_its_own_uris(client):
    """It refuses ``Accept: application/octet-stream`` alone, and answers in multipart."""
    original = dcmread(file(CT))
    [row] = client.session.request("GET", f"studies/{uids(CT)[0]}/metadata").json()
    uri = row["00431029"]["BulkDataURI"]
    found = client.retrieve_bulkdata(uri)
    assert (found, found.source) == (original[0x00431029].value, "server")
    elsewhere = uri.replace("127.0.0.1", "inside.example")
    assert client.retrieve_bulkdata(elsewhere) == found
    with pytest.raises(UnexpectedAnswerError):
        client.retrieve_bulkdata("http://127.0.0.1/etc/passwd")


def test_bulk_data_by_path_comes_from_the_object(client, tmp_path):
    """It has ``bulk``, not ``bulkdata``."""
    original = dcmread(file(ECG)).WaveformSequence[1].WaveformData
    found = client.retrieve_bulkdata(*uids(ECG), "WaveformSequence/2/WaveformData")
    assert (found, found.source) == (original, "local")
    assert "404" in found.reason
    written = client.retrieve_bulkdata(*uids(ECG), "54000100/2/54001010", file=tmp_path / "ecg")
    assert (tmp_path / "ecg").read_bytes() == original
    assert (written.length, written.source) == (len(original), "local")
    with pytest.raises(NotFoundError, match="no such element"):
        client.retrieve_bulkdata(*uids(ECG), "PixelData")
    with pytest.raises(NotFoundError):
        client.retrieve_bulkdata(*UNKNOWN, "PixelData")


def test_its_item_numbers_are_ours(client):
    base = f"studies/{uids(ECG)[0]}/series/{uids(ECG)[1]}/instances/{uids(ECG)[2]}"
    original = dcmread(file(ECG)).WaveformSequence[1].WaveformData
    assert client.retrieve_bulkdata(f"{base}/bulk/54000100/2/54001010") == original


def test_compressed_pixel_data_is_decompressed(client):
    """It sends fragments as parts; we give the pixels, as Explicit VR Little Endian has them."""
    base = f"studies/{uids(J2K)[0]}/series/{uids(J2K)[1]}/instances/{uids(J2K)[2]}"
    sink = BytesIO()
    written = client.retrieve_bulkdata(f"{base}/bulk/7fe00010", file=sink)
    assert "compressed" in written.reason
    assert sink.getvalue() == pixels(dcmread(file(J2K))).tobytes()


# -- WADO-URI --------------------------------------------------------------------------------------------------------


def test_wado_uri(client):
    back = client.retrieve_uri(*uids(CT), wado_url="/wado")
    assert back == dcmread(file(CT))
    for kind in ("image/jpeg", "image/png"):
        picture = client.retrieve_uri(*uids(CT), kind, wado_url="/wado")
        assert (picture.media_type, picture.shape) == (kind, (128, 128))
    with pytest.raises(NotFoundError):
        client.retrieve_uri(*UNKNOWN, wado_url="/wado")
    with pytest.raises(ServiceError):
        client.retrieve_uri(*uids(ECG), "image/jpeg", wado_url="/wado")
    with pytest.raises(NotBuiltError, match="wado_url="):
        client.retrieve_uri(*uids(CT))


# -- tables ----------------------------------------------------------------------------------------------------------


def test_tables_of_everything(client):
    studies = client.search_studies().to_frame()
    table = studies.dicom.thumbnails()
    assert len(table) == len(studies)
    by_study = table.set_index("StudyInstanceUID")
    assert by_study.loc[uids(ECG)[0], "status"] == "failed"
    assert "no pixel data" in by_study.loc[uids(ECG)[0], "error"]
    assert by_study.loc[uids(CT)[0], "picture"].shape == (128, 128)
    ecg = studies[studies["StudyInstanceUID"] == uids(ECG)[0]].dicom.bulkdata("WaveformData")
    originals = [item.WaveformData for item in dcmread(file(ECG)).WaveformSequence]
    assert ecg["data"].tolist() == originals
    assert ecg["path"].tolist() == ["54000100/1/54001010", "54000100/2/54001010"]
    assert ecg["status"].tolist() == ["retrieved"] * 2
