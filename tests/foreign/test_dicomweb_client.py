"""PyPI's dicomweb-client, written by others, against the service over loopback."""

from __future__ import annotations

import pydicom
import pytest
from dicomweb_client import DICOMwebClient
from pydicom.data import get_testdata_file
from requests import HTTPError

from dicomframe.service.server import Server
from dicomframe.service.service import Service

EXPLICIT = "1.2.840.10008.1.2.1"


@pytest.fixture(params=["v1", "v2"])
def client(request, tmp_path):
    with Server(Service.open(tmp_path)) as server:
        yield DICOMwebClient(f"{server.url}/{request.param}")


@pytest.fixture
def datasets():
    names = ("CT_small.dcm", "MR_small.dcm", "waveform_ecg.dcm", "JPEG2000.dcm")
    return [pydicom.dcmread(get_testdata_file(name)) for name in names]


def uids(dataset):
    return dataset.StudyInstanceUID, dataset.SeriesInstanceUID, dataset.SOPInstanceUID


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


def test_store_to_a_study(client, datasets):
    ct = datasets[0]
    answer = client.store_instances([ct], study_instance_uid=ct.StudyInstanceUID)
    assert answer.RetrieveURL.endswith(f"/studies/{ct.StudyInstanceUID}")


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
    assert client.search_for_studies(search_filters={"PatientID": "nobody"}) == []
    with pytest.raises(HTTPError, match="400"):
        client.search_for_studies(search_filters={"Rows": 512})


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
