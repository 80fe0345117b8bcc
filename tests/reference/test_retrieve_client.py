"""The user's reference, "WADO-RS (Retrieve)" and "Parallel Retrieve": its own requests, and ours beside them.

Each request is sent as the reference writes it, by the standard library or its own Python, to the local service; then
the client is called for the same thing and must give the same.
"""

import concurrent.futures
import gc
import http.client
import io
import json
from io import BytesIO
from urllib.parse import urlsplit

import numpy as np
import pytest
import requests
from PIL import Image
from pydicom import dcmread
from pydicom.data import get_testdata_file

import dicomframe as dfr
from dicomframe.dicom.parts import iter_parts
from dicomframe.errors import NotFoundError
from dicomframe.images.windowing import display

TOKEN = "token-of-the-reference"
NAMES = ["CT_small.dcm", "MR_small.dcm", "SC_rgb_rle_2frame.dcm", "waveform_ecg.dcm"]
CT, MR, RLE, ECG = range(4)


@pytest.fixture(scope="module")
def originals():
    return [dcmread(get_testdata_file(name, download=False)) for name in NAMES]


@pytest.fixture(scope="module")
def local(originals):
    with dfr.start_local(token=TOKEN) as service:
        client = service.connect(progress=False)
        assert client.store(originals)["status"].isin(["stored", "warning"]).all()
        yield service


@pytest.fixture(scope="module")
def client(local):
    with local.connect(progress=False) as connected:
        yield connected


@pytest.fixture
def get(local):
    """Give what sends a GET as the reference writes it; it gives the headers and the body of a 200."""

    def send(target, accept):
        connection = http.client.HTTPConnection(urlsplit(local.url).netloc, timeout=300)
        try:
            connection.request("GET", target, headers={"Accept": accept, "Authorization": f"Bearer {TOKEN}"})
            answer = connection.getresponse()
            body = answer.read()
        finally:
            connection.close()
        assert answer.status == 200, body[:300]
        return answer.headers, body

    return send


def uids(ds):
    return ds.StudyInstanceUID, ds.SeriesInstanceUID, ds.SOPInstanceUID


def route(ds):
    study, series, instance = uids(ds)
    return f"/v1/studies/{study}/series/{series}/instances/{instance}"


def parts(answer):
    headers, body = answer
    return [dcmread(BytesIO(part.read())) for part in iter_parts(headers["Content-Type"], [body])]


def picture(answer):
    headers, body = answer
    assert headers["Content-Type"].startswith("image/jpeg")
    return np.asarray(Image.open(io.BytesIO(body)))


@pytest.mark.covers("Retrieve Study")
def test_retrieve_study(get, client, originals):
    study = originals[CT].StudyInstanceUID
    theirs = parts(get(f"/v1/studies/{study}", 'multipart/related; type="application/dicom"'))
    ours = list(client.retrieve_study(study))
    assert theirs == ours == [originals[CT]]


@pytest.mark.covers("Retrieve Series")
def test_retrieve_series(get, client, originals):
    study, series, _ = uids(originals[MR])
    theirs = parts(get(f"/v1/studies/{study}/series/{series}", 'multipart/related; type="application/dicom"'))
    assert theirs == list(client.retrieve_series(study, series)) == [originals[MR]]


@pytest.mark.covers("Retrieve Instance")
def test_retrieve_instance(get, client, originals):
    _, body = get(route(originals[CT]), "application/dicom")
    assert dcmread(BytesIO(body)) == client.retrieve_instance(*uids(originals[CT])) == originals[CT]


@pytest.mark.covers("Retrieve Rendered Image (JPEG)")
def test_retrieve_rendered(get, client, originals):
    theirs = picture(get(f"{route(originals[CT])}/rendered", "image/jpeg"))
    ours = client.retrieve_rendered(*uids(originals[CT]))
    np.testing.assert_array_equal(ours, theirs)
    assert (ours.source, ours.media_type, ours.dtype) == ("server", "image/jpeg", np.uint8)


@pytest.mark.covers("Query Parameters for rendered: quality")
def test_rendered_quality(get, client, originals):
    """1 to 100, and 90 where nothing is said."""
    for query, quality in (("?quality=20", 20), ("?quality=100", 100), ("?quality=90", None)):
        theirs = picture(get(f"{route(originals[CT])}/rendered{query}", "image/jpeg"))
        np.testing.assert_array_equal(client.retrieve_rendered(*uids(originals[CT]), quality=quality), theirs)


@pytest.mark.covers("Query Parameters for rendered: window")
def test_rendered_window(get, client, originals):
    theirs = picture(get(f"{route(originals[CT])}/rendered?window=400,1500", "image/jpeg"))
    ours = client.retrieve_rendered(*uids(originals[CT]), window=(400, 1500))
    np.testing.assert_array_equal(ours, theirs)
    assert ours.source == "server"
    np.testing.assert_array_equal(client.retrieve_rendered(*uids(originals[CT]), window="bone"), theirs)
    assert np.abs(ours.astype(int) - display(originals[CT], window=(400, 1500))).mean() < 3


@pytest.mark.covers("Query Parameters for rendered: viewport")
def test_rendered_viewport(get, client, originals):
    theirs = picture(get(f"{route(originals[CT])}/rendered?viewport=512,512", "image/jpeg"))
    ours = client.retrieve_rendered(*uids(originals[CT]), viewport=(512, 512))
    assert theirs.shape == ours.shape == (512, 512)
    np.testing.assert_array_equal(ours, theirs)
    assert ours.source == "server"


@pytest.mark.covers("Retrieve Thumbnail")
def test_retrieve_thumbnail(get, client, originals):
    theirs = picture(get(f"{route(originals[CT])}/thumbnail", "image/jpeg"))
    ours = client.retrieve_thumbnail(*uids(originals[CT]))
    np.testing.assert_array_equal(ours, theirs)
    assert ours.source == "server"
    np.testing.assert_array_equal(client.retrieve_thumbnail(originals[CT].StudyInstanceUID), theirs)


@pytest.mark.covers("Retrieve Metadata Only")
def test_retrieve_metadata(get, client, originals):
    study = originals[CT].StudyInstanceUID
    _, body = get(f"/v1/studies/{study}/metadata", "application/dicom+json")
    table = client.retrieve_metadata(study)
    assert table.dicom.to_json() == json.loads(body)
    assert table["SOPInstanceUID"].tolist() == [originals[CT].SOPInstanceUID]


@pytest.mark.covers("Retrieve Bulk Data")
def test_retrieve_bulkdata(get, client, originals):
    for ds, path, expected in (
        (originals[CT], "7FE00010", originals[CT].PixelData),
        (originals[ECG], "54000100/1/54001010", originals[ECG].WaveformSequence[0].WaveformData),
    ):
        _, body = get(f"{route(ds)}/bulkdata/{path}", "application/octet-stream")
        ours = client.retrieve_bulkdata(*uids(ds), path)
        assert ours == body == expected
        assert ours.source == "server"
        assert client.retrieve_bulkdata(f"{route(ds)}/bulkdata/{path}") == expected


def retrieve_study(study_uid: str, base_url: str, token: str) -> list:
    """Retrieve all instances in a study."""
    response = requests.get(
        f"{base_url}/v1/studies/{study_uid}",
        headers={"Authorization": f"Bearer {token}", "Accept": 'multipart/related; type="application/dicom"'},
        stream=True,
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


@pytest.mark.covers("Python Retrieve Example")
def test_the_python_example(local, client, originals):
    study = originals[MR].StudyInstanceUID
    theirs = retrieve_study(study, local.url, TOKEN)
    assert [ds.SOPInstanceUID for ds in theirs] == [originals[MR].SOPInstanceUID]
    np.testing.assert_array_equal(theirs[0].pixel_array, originals[MR].pixel_array)
    assert list(client.retrieve_study(study)) == [originals[MR]]


def parallel_retrieve(study_uids: list, base_url: str, token: str, max_workers: int = 5):
    """Retrieve multiple studies in parallel."""
    with concurrent.futures.ThreadPoolExecutor(max_workers=max_workers) as executor:
        futures = {executor.submit(retrieve_study, uid, base_url, token): uid for uid in study_uids}

        results = {}
        for future in concurrent.futures.as_completed(futures):
            uid = futures[future]
            try:
                results[uid] = future.result()
            except Exception as e:  # noqa: BLE001 - the reference's own
                results[uid] = {"error": str(e)}

        return results


# The reference's own code leaves the connection of a refused request open; it is collected within this test.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning", "ignore::ResourceWarning")
@pytest.mark.covers("Parallel Retrieve")
def test_parallel_retrieve(local, client, originals, tmp_path):
    """Ours is a download: a row an instance, and what is whole is kept when it is called again."""
    studies = [ds.StudyInstanceUID for ds in originals]
    theirs = parallel_retrieve([*studies, "1.2.3.404"], local.url, TOKEN)
    gc.collect()
    assert "error" in theirs["1.2.3.404"]
    table = client.download([*studies, "1.2.3.404"], tmp_path, max_workers=5)
    assert table["status"].value_counts().to_dict() == {"saved": len(studies), "failed": 1}
    assert table.loc[table["status"] == "failed", "StudyInstanceUID"].tolist() == ["1.2.3.404"]
    for ds, path in zip(originals, table["path"], strict=False):
        assert [each.SOPInstanceUID for each in theirs[ds.StudyInstanceUID]] == [ds.SOPInstanceUID]
        assert dcmread(path) == ds
    by_table = client.search_studies().to_frame().dicom.download(tmp_path, max_workers=5)
    assert by_table["status"].tolist() == ["kept"] * len(studies)


@pytest.mark.covers("DICOMweb Standards Compliance: WADO-URI")
def test_wado_uri(get, client, originals):
    """The reference names it among the standards; PS3.18 section 9 says how it is asked."""
    study, series, instance = uids(originals[CT])
    query = f"/v1/wado?requestType=WADO&studyUID={study}&seriesUID={series}&objectUID={instance}"
    _, body = get(f"{query}&contentType=application/dicom", "*/*")
    assert dcmread(BytesIO(body)) == client.retrieve_uri(study, series, instance) == originals[CT]
    theirs = picture(get(f"{query}&contentType=image/jpeg&windowCenter=400&windowWidth=1500&rows=64", "*/*"))
    ours = client.retrieve_uri(study, series, instance, "image/jpeg", window="bone", viewport=(64, 64))
    np.testing.assert_array_equal(ours, theirs)
    with pytest.raises(NotFoundError):
        client.retrieve_uri("1.2", "1.3", "1.4")
