"""PyPI's dicomweb-client, written by others, against the service over loopback."""

from __future__ import annotations

import io
import urllib.request

import numpy as np
import pydicom
import pytest
from dicomweb_client import DICOMwebClient
from PIL import Image
from pydicom.data import get_testdata_file
from pydicom.encaps import generate_frames
from requests import HTTPError

from dicomframe.service.server import Server
from dicomframe.service.service import Service

EXPLICIT = "1.2.840.10008.1.2.1"
JPEG_2000 = "1.2.840.10008.1.2.4.90"


@pytest.fixture(params=["v1", "v2"])
def client(request, tmp_path):
    with Server(Service.open(tmp_path)) as server:
        yield DICOMwebClient(f"{server.url}/{request.param}")


def uids(dataset):
    return dataset.StudyInstanceUID, dataset.SeriesInstanceUID, dataset.SOPInstanceUID


@pytest.mark.covers("route POST studies")
def test_store(client, datasets):
    answer = client.store_instances(datasets)
    assert len(answer.ReferencedSOPSequence) == len(datasets)
    assert {item.ReferencedSOPInstanceUID for item in answer.ReferencedSOPSequence} == {
        dataset.SOPInstanceUID for dataset in datasets
    }
    assert not getattr(answer, "FailedSOPSequence", [])
    with pytest.raises(HTTPError, match="409"):
        client.store_instances(datasets[:1])


@pytest.mark.covers("fact 58")
def test_store_without_a_preamble(client, datasets):
    ct = datasets[0]
    del ct.preamble
    client.store_instances([ct])
    assert client.retrieve_instance(*uids(ct)).PixelData == ct.PixelData


@pytest.mark.covers("fact 57", "route POST studies/{}")
def test_store_to_a_study(client, datasets):
    ct = datasets[0]
    answer = client.store_instances([ct], study_instance_uid=ct.StudyInstanceUID)
    # The client's Host header lacks the port: URLs do not come from it.
    assert answer.RetrieveURL == f"{client.base_url}/studies/{ct.StudyInstanceUID}"
    (item,) = answer.ReferencedSOPSequence
    assert item.RetrieveURL.startswith(f"{answer.RetrieveURL}/series/")
    with urllib.request.urlopen(item.RetrieveURL) as found:
        assert found.status == 200


@pytest.mark.covers("fact 57")
def test_the_host_header_lacks_the_port(client):
    """The habit itself, so that the test above goes on showing what it says."""
    seen = []
    client._session.hooks["response"].append(lambda answer, **_: seen.append(answer.request.headers["Host"]))
    client.search_for_studies()
    assert seen == ["127.0.0.1"]


@pytest.mark.covers(
    "route GET studies",
    "route GET series",
    "route GET instances",
    "route GET studies/{}/series",
    "route GET studies/{}/instances",
    "route GET studies/{}/series/{}/instances",
)
def test_search(client, datasets):
    client.store_instances(datasets)
    ct = datasets[0]
    (study,) = client.search_for_studies(search_filters={"PatientID": ct.PatientID})
    assert study["0020000D"]["Value"] == [ct.StudyInstanceUID]
    (study,) = client.search_for_studies(
        fuzzymatching=True, search_filters={"PatientName": "compressedsamples ct"}
    )
    assert pydicom.Dataset.from_json(study).PatientName == ct.PatientName
    assert len(client.search_for_studies(limit=2)) == 2
    assert len(client.search_for_studies(get_remaining=True, limit=2)) == 4
    (study,) = client.search_for_studies(
        fields=["NumberOfStudyRelatedInstances"],
        search_filters={"StudyDate": ct.StudyDate, "ModalitiesInStudy": "CT"},
    )
    assert study["00201208"]["Value"] == [1]
    (series,) = client.search_for_series(ct.StudyInstanceUID)
    assert series["0020000E"]["Value"] == [ct.SeriesInstanceUID]
    (instance,) = client.search_for_instances(ct.StudyInstanceUID, ct.SeriesInstanceUID)
    assert instance["00080018"]["Value"] == [ct.SOPInstanceUID]
    assert len(client.search_for_series(search_filters={"Modality": "CT"})) == 1
    assert len(client.search_for_instances()) == 4
    (instance,) = client.search_for_instances(ct.StudyInstanceUID)
    assert instance["0020000E"]["Value"] == [ct.SeriesInstanceUID]
    assert len(client.search_for_series(get_remaining=True, limit=1)) == 4
    assert len(client.search_for_instances(get_remaining=True, limit=3, offset=1)) == 3
    assert client.search_for_studies(search_filters={"PatientID": "nobody"}) == []
    with pytest.raises(HTTPError, match="400"):
        client.search_for_studies(search_filters={"Rows": 512})


@pytest.mark.covers(
    "route GET studies/{}",
    "route GET studies/{}/series/{}",
    "route GET studies/{}/series/{}/instances/{}",
)
def test_retrieve(client, datasets):
    client.store_instances(datasets)
    for dataset in datasets:
        for stored in (
            *client.retrieve_study(dataset.StudyInstanceUID, media_types=(("application/dicom", "*"),)),
            *client.retrieve_series(*uids(dataset)[:2], media_types=(("application/dicom", "*"),)),
            client.retrieve_instance(*uids(dataset), media_types=(("application/dicom", "*"),)),
        ):
            assert stored == dataset
            assert stored.file_meta.TransferSyntaxUID == dataset.file_meta.TransferSyntaxUID
    jpeg = datasets[3]
    decoded = client.retrieve_instance(*uids(jpeg), media_types=(("application/dicom", EXPLICIT),))
    assert decoded.file_meta.TransferSyntaxUID == EXPLICIT
    assert (decoded.pixel_array == jpeg.pixel_array).all()
    with pytest.raises(HTTPError, match="404"):
        client.retrieve_instance("1.2", "1.3", "1.4")


def test_iterate(client, datasets):
    client.store_instances(datasets)
    (dataset,) = client.iter_study(datasets[0].StudyInstanceUID)
    assert dataset.SOPInstanceUID == datasets[0].SOPInstanceUID
    (dataset,) = client.iter_series(*uids(datasets[0])[:2])
    assert dataset.SOPInstanceUID == datasets[0].SOPInstanceUID


@pytest.mark.covers(
    "route GET studies/{}/metadata",
    "route GET studies/{}/series/{}/metadata",
    "route GET studies/{}/series/{}/instances/{}/metadata",
)
def test_metadata(client, datasets):
    client.store_instances(datasets)
    for dataset in datasets:
        for rows in (
            client.retrieve_study_metadata(dataset.StudyInstanceUID),
            client.retrieve_series_metadata(*uids(dataset)[:2]),
            [client.retrieve_instance_metadata(*uids(dataset))],
        ):
            (row,) = rows
            header = pydicom.Dataset.from_json(row)
            assert header.SOPInstanceUID == dataset.SOPInstanceUID
            assert header.PatientName == dataset.PatientName
            assert header.get("Rows") == dataset.get("Rows")
            assert "PixelData" not in header


@pytest.mark.covers("fact 22", "route GET studies/{}/series/{}/instances/{}/frames/{}")
def test_frames(client, datasets):
    two = pydicom.dcmread(get_testdata_file("SC_rgb_rle_2frame.dcm"))
    client.store_instances([*datasets, two])
    ct, _, ecg, jpeg = datasets
    octets = (("application/octet-stream", EXPLICIT),)
    for dataset in (ct, jpeg):
        (stored,) = generate_frames(jpeg.PixelData) if dataset is jpeg else [ct.PixelData]
        # Without media types the client accepts anything: the frames come as they are stored.
        for media_types, expected in ((None, stored), (octets, dataset.pixel_array.tobytes())):
            for frame in (
                *client.retrieve_instance_frames(*uids(dataset), [1], media_types=media_types),
                *client.iter_instance_frames(*uids(dataset), [1], media_types=media_types),
            ):
                assert frame.rstrip(b"\0") == expected.rstrip(b"\0")
    frames = client.retrieve_instance_frames(*uids(two), [2, 1], media_types=octets)
    assert frames == [frame.tobytes() for frame in two.pixel_array[::-1]]
    assert list(client.iter_instance_frames(*uids(two), [1, 2], media_types=octets)) == frames[::-1]
    (frame,) = client.retrieve_instance_frames(*uids(ct), [1], media_types=(("image/jp2", JPEG_2000),))
    assert frame.startswith((b"\xff\x4f\xff\x51", b"\0\0\0\x0cjP  "))
    for dataset, number, status in ((ct, 2, 404), (ct, 0, 400), (ecg, 1, 404)):
        with pytest.raises(HTTPError, match=str(status)):
            client.retrieve_instance_frames(*uids(dataset), [number])


@pytest.mark.covers(
    "fact 17",
    "route GET studies/{}/series/{}/instances/{}/rendered",
    "route GET studies/{}/series/{}/instances/{}/frames/{}/rendered",
)
def test_rendered(client, datasets):
    two = pydicom.dcmread(get_testdata_file("SC_rgb_rle_2frame.dcm"))
    client.store_instances([*datasets, two])
    ct, _, ecg, _ = datasets
    for media_type in ("image/jpeg", "image/png"):
        picture = Image.open(
            io.BytesIO(client.retrieve_instance_rendered(*uids(ct), media_types=(media_type,)))
        )
        assert picture.get_format_mimetype() == media_type
        assert picture.size == (ct.Columns, ct.Rows)
    sizes = [
        len(
            client.retrieve_instance_rendered(
                *uids(ct), media_types=("image/jpeg",), params={"quality": quality}
            )
        )
        for quality in (10, 95)
    ]
    assert sizes[0] < sizes[1]
    for number in (1, 2):
        data = client.retrieve_instance_frames_rendered(*uids(two), [number], media_types=("image/png",))
        assert (np.asarray(Image.open(io.BytesIO(data)).convert("RGB")) == two.pixel_array[number - 1]).all()
    with pytest.raises(HTTPError, match="404"):
        client.retrieve_instance_rendered(*uids(ecg), media_types=("image/jpeg",))
    # Without media types the client accepts anything, which is the one thing that this route refuses.
    with pytest.raises(HTTPError, match="406"):
        client.retrieve_instance_rendered(*uids(ct))
    # The service renders instances and frames, no series.
    with pytest.raises(HTTPError, match="404"):
        client.retrieve_series_rendered(*uids(ct)[:2], media_types=("image/jpeg",))


@pytest.mark.covers("route GET studies/{}/series/{}/instances/{}/bulkdata/{*}")
def test_bulk_data(client, datasets):
    client.store_instances(datasets)
    ct, _, ecg, _ = datasets
    url = "{}/studies/{}/series/{}/instances/{}/bulkdata/".format(client.base_url, *uids(ct))
    octets = (("application/octet-stream", EXPLICIT),)
    for media_types in (None, octets):
        for found in (
            client.retrieve_bulkdata(f"{url}7FE00010", media_types=media_types),
            client.iter_bulkdata(f"{url}7FE00010", media_types=media_types),
        ):
            assert b"".join(found) == ct.PixelData
    waveform = "{}/studies/{}/series/{}/instances/{}/bulkdata/54000100/1/54001010".format(
        client.base_url, *uids(ecg)
    )
    assert b"".join(client.retrieve_bulkdata(waveform)) == ecg.WaveformSequence[0].WaveformData
    with pytest.raises(HTTPError, match="404"):
        client.retrieve_bulkdata(f"{url}7FE00008")


@pytest.mark.covers(
    "route DELETE studies/{}",
    "route DELETE studies/{}/series/{}",
    "route DELETE studies/{}/series/{}/instances/{}",
)
def test_delete(client, datasets):
    client.store_instances(datasets)
    ct, mr, dose, _ = datasets
    client.delete_instance(*uids(ct))
    client.delete_series(*uids(mr)[:2])
    client.delete_study(dose.StudyInstanceUID)
    assert len(client.search_for_instances()) == 1
    with pytest.raises(HTTPError, match="404"):
        client.delete_study(dose.StudyInstanceUID)


def test_frames_and_pictures(client, datasets):
    client.store_instances(datasets)
    for dataset in datasets[:2]:
        (frame,) = client.retrieve_instance_frames(
            *uids(dataset), [1], media_types=(("application/octet-stream", EXPLICIT),)
        )
        assert frame == dataset.PixelData
        for media_type, beginning in (("image/jpeg", b"\xff\xd8\xff"), ("image/png", b"\x89PNG")):
            picture = client.retrieve_instance_rendered(*uids(dataset), media_types=(media_type,))
            assert picture.startswith(beginning)
