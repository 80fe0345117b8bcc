"""npm's dicomweb-client of dcmjs, written by others, against the service over loopback."""

from __future__ import annotations

import io
import urllib.request
from functools import partial
from pathlib import Path

import numpy as np
import pydicom
import pytest
from PIL import Image
from pydicom.data import get_testdata_file

from dicomframe.service.server import Server
from dicomframe.service.service import Service

NAMES = ("CT_small.dcm", "MR_small.dcm", "waveform_ecg.dcm", "JPEG2000.dcm", "SC_rgb_rle_2frame.dcm")


@pytest.fixture(scope="module", params=["v1", "v2"])
def client(request, tmp_path_factory, dcmjs):
    """Give what calls the client's methods against a service with real files in it, stored by the client itself."""
    with Server(Service.open(tmp_path_factory.mktemp("dcmjs"))) as server:
        call = partial(dcmjs.call, f"{server.url}/{request.param}")
        answer = call("storeInstances", datasets=[path(name).read_bytes() for name in NAMES])
        call.stored = answer
        yield call


def path(name):
    return Path(get_testdata_file(name))


def read(data):
    return pydicom.dcmread(io.BytesIO(data))


def uids(dataset):
    return {
        "studyInstanceUID": dataset.StudyInstanceUID,
        "seriesInstanceUID": dataset.SeriesInstanceUID,
        "sopInstanceUID": dataset.SOPInstanceUID,
    }


def at(dataset, level):
    return dict(list(uids(dataset).items())[:level])


@pytest.fixture(scope="module")
def files():
    return [pydicom.dcmread(path(name)) for name in NAMES]


CT, MR, ECG, JPEG_2000, TWO_FRAMES = range(5)


@pytest.mark.covers("route POST studies", "route POST studies/{}")
def test_store(client, files, tmp_path, dcmjs):
    assert isinstance(client.stored, str | dict)
    with Server(Service.open(tmp_path)) as server:
        store = partial(dcmjs.call, f"{server.url}/v2", "storeInstances")
        ct = path(NAMES[CT]).read_bytes()
        store(datasets=[ct], studyInstanceUID=str(files[CT].StudyInstanceUID))
        with pytest.raises(RuntimeError, match="409"):
            store(datasets=[ct])
        with pytest.raises(RuntimeError, match="409"):
            store(datasets=[path(NAMES[MR]).read_bytes()], studyInstanceUID="1.2.3")


@pytest.mark.covers(
    "route GET studies",
    "route GET series",
    "route GET instances",
    "route GET studies/{}/series",
    "route GET studies/{}/instances",
    "route GET studies/{}/series/{}/instances",
)
def test_search(client, files):
    ct = files[CT]
    (study,) = client("searchForStudies", queryParams={"PatientID": ct.PatientID})
    assert study["0020000D"]["Value"] == [ct.StudyInstanceUID]
    assert len(client("searchForStudies")) == len(NAMES)
    assert len(client("searchForStudies", queryParams={"limit": 2, "offset": 1})) == 2
    assert client("searchForStudies", queryParams={"PatientID": "nobody"}) == []
    (series,) = client("searchForSeries", **at(ct, 1))
    assert series["0020000E"]["Value"] == [ct.SeriesInstanceUID]
    assert len(client("searchForSeries", queryParams={"Modality": "CT"})) == 1
    for level in (1, 2):
        (instance,) = client("searchForInstances", **at(ct, level))
        assert instance["00080018"]["Value"] == [ct.SOPInstanceUID]
    assert len(client("searchForInstances")) == len(NAMES)
    with pytest.raises(RuntimeError, match="400"):
        client("searchForStudies", queryParams={"Rows": 512})


@pytest.mark.covers(
    "route GET studies/{}/metadata",
    "route GET studies/{}/series/{}/metadata",
    "route GET studies/{}/series/{}/instances/{}/metadata",
)
def test_metadata(client, files):
    for dataset in files:
        for level, method in enumerate(("Study", "Series", "Instance"), 1):
            (row,) = client(f"retrieve{method}Metadata", **at(dataset, level))
            header = pydicom.Dataset.from_json(row)
            assert header.SOPInstanceUID == dataset.SOPInstanceUID
            assert header.get("PatientName") == dataset.get("PatientName")
            assert header.get("Rows") == dataset.get("Rows")


@pytest.mark.covers(
    "route GET studies/{}",
    "route GET studies/{}/series/{}",
    "route GET studies/{}/series/{}/instances/{}",
)
def test_retrieve(client, files):
    for dataset in files:
        for level, method in enumerate(("Study", "Series", "Instance"), 1):
            # A study and a series are lists of instances, an instance is itself.
            found = client(f"retrieve{method}", **at(dataset, level))
            decoded = read(found if level == 3 else found[0])
            assert decoded.file_meta.TransferSyntaxUID == "1.2.840.10008.1.2.1"
            if "PixelData" in dataset:
                assert (decoded.pixel_array == dataset.pixel_array).all()
    for level, method in enumerate(("Study", "Series", "Instance"), 1):
        with pytest.raises(RuntimeError, match="404"):
            client(f"retrieve{method}", **(at(files[0], level) | {"studyInstanceUID": "1.2"}))


@pytest.mark.covers("route GET studies/{}/series/{}/instances/{}/frames/{}")
def test_frames(client, files):
    for dataset in (files[CT], files[MR], files[JPEG_2000]):
        (frame,) = client("retrieveInstanceFrames", **uids(dataset), frameNumbers=[1])
        pixels = np.frombuffer(frame, dataset.pixel_array.dtype).reshape(dataset.pixel_array.shape)
        assert (pixels == dataset.pixel_array).all()
    both = client("retrieveInstanceFrames", **uids(files[TWO_FRAMES]), frameNumbers=[2, 1])
    expected = files[TWO_FRAMES].pixel_array
    for frame, pixels in zip(both, expected[::-1], strict=True):
        assert frame == pixels.tobytes()
    jpeg_2000 = [{"mediaType": "image/jp2", "transferSyntaxUID": "1.2.840.10008.1.2.4.90"}]
    (frame,) = client("retrieveInstanceFrames", **uids(files[CT]), frameNumbers=[1], mediaTypes=jpeg_2000)
    assert frame.startswith((b"\xff\x4f\xff\x51", b"\0\0\0\x0cjP  "))
    with pytest.raises(RuntimeError, match="404"):
        client("retrieveInstanceFrames", **uids(files[CT]), frameNumbers=[2])
    with pytest.raises(RuntimeError, match="404"):
        client("retrieveInstanceFrames", **uids(files[ECG]), frameNumbers=[1])


@pytest.mark.covers(
    "fact 17",
    "route GET studies/{}/series/{}/instances/{}/rendered",
    "route GET studies/{}/series/{}/instances/{}/thumbnail",
    "route GET studies/{}/series/{}/instances/{}/frames/{}/rendered",
)
def test_pictures(client, files):
    ct, two = files[CT], files[TWO_FRAMES]

    def picture(method, dataset, **options):
        (data,) = client(method, **uids(dataset), **options)
        return Image.open(io.BytesIO(data))

    drawn = picture("retrieveInstanceRendered", ct)
    assert (drawn.format, drawn.size) == ("JPEG", (ct.Columns, ct.Rows))
    png = [{"mediaType": "image/png"}]
    assert picture("retrieveInstanceRendered", ct, mediaTypes=png).format == "PNG"
    small = picture("retrieveInstanceRendered", ct, mediaTypes=png, queryParams={"viewport": "64,64"})
    assert small.size == (64, 64)
    assert picture("retrieveInstanceThumbnail", ct).format == "JPEG"
    frames = [
        picture("retrieveInstanceFramesRendered", two, frameNumbers=[number], mediaTypes=png)
        for number in (1, 2)
    ]
    assert (np.asarray(frames[0].convert("RGB")) == two.pixel_array[0]).all()
    assert (np.asarray(frames[1].convert("RGB")) == two.pixel_array[1]).all()
    with pytest.raises(RuntimeError, match="404"):
        client("retrieveInstanceRendered", **uids(files[ECG]))
    with pytest.raises(RuntimeError, match="406"):
        client("retrieveInstanceRendered", **uids(ct), mediaTypes=[{"mediaType": "image/gif"}])


@pytest.mark.covers("route GET studies/{}/series/{}/instances/{}/bulkdata/{*}")
def test_bulk_data(client, files):
    for dataset in (files[CT], files[MR]):
        (row,) = client("retrieveInstanceMetadata", **uids(dataset))
        url = row.get("7FE00010", {}).get("BulkDataURI") or client.args[0] + (
            f"/studies/{dataset.StudyInstanceUID}/series/{dataset.SeriesInstanceUID}"
            f"/instances/{dataset.SOPInstanceUID}/bulkdata/7FE00010"
        )
        (data,) = client("retrieveBulkData", BulkDataURI=url)
        assert data == dataset.PixelData
    with pytest.raises(RuntimeError, match="404"):
        client("retrieveBulkData", BulkDataURI=url.replace("7FE00010", "7FE00008"))


@pytest.mark.covers("route GET wado")
def test_wado_uri(client, files):
    url = client("buildInstanceWadoURIUrl", **uids(files[CT]))
    base, query = url.split("?")
    with urllib.request.urlopen(f"{base}/wado?{query}") as answer:
        assert read(answer.read()).PixelData == files[CT].PixelData
