"""The reference's "DICOMweb Standards Compliance": each standard's resources, as the local service answers them."""

import io

import pytest
import requests
from pydicom import dcmread
from pydicom.data import get_testdata_file

import dicomframe as dfr
from dicomframe.dicom.parts import iter_parts

CT = get_testdata_file("CT_small.dcm", download=False)
DICOM = 'multipart/related; type="application/dicom"; transfer-syntax=*'


@pytest.fixture(scope="module")
def local():
    with dfr.start_local() as service:
        yield service


@pytest.fixture(scope="module")
def file():
    return dcmread(CT)


def ask(local, path, accept="application/dicom+json", **options):
    return requests.request(
        **{"method": "GET", "url": f"{local.url}/v2/{path}", "headers": {"Accept": accept}, "timeout": 30}
        | options
    )


@pytest.mark.covers("DICOMweb Standards Compliance: STOW-RS")
def test_stow_rs(local, file):
    """Studies and one study are what can be stored to (PS3.18 table 10.5.1-1)."""
    with open(CT, "rb") as body:  # noqa: PTH123 - a stream, as a user would
        headers = {"Accept": "application/dicom+json", "Content-Type": "application/dicom"}
        said = requests.post(f"{local.url}/v2/studies", data=body, headers=headers, timeout=300)
    assert said.status_code == 200
    again = local.connect().store(CT, study_uid=file.StudyInstanceUID)
    assert again["status"].tolist() == ["exists"]


@pytest.mark.covers("DICOMweb Standards Compliance: WADO-RS")
def test_wado_rs(local, file):
    """Study, series and instance, and the metadata of each (PS3.18 table 10.4.1-1)."""
    client = local.connect()
    client.store(CT)
    study = f"studies/{file.StudyInstanceUID}"
    series = f"{study}/series/{file.SeriesInstanceUID}"
    instance = f"{series}/instances/{file.SOPInstanceUID}"
    for path in (study, series, instance):
        said = ask(local, path, DICOM)
        parts = [part.read() for part in iter_parts(said.headers["Content-Type"], [said.content])]
        assert [dcmread(io.BytesIO(part)).PixelData for part in parts] == [file.PixelData]
        [metadata] = ask(local, f"{path}/metadata").json()
        assert metadata["00080018"]["Value"] == [file.SOPInstanceUID]
    uids = (file.StudyInstanceUID, file.SeriesInstanceUID, file.SOPInstanceUID)
    assert next(client.retrieve_study(*uids[:1])) == next(client.retrieve_series(*uids[:2]))
    assert client.retrieve_instance(*uids).PixelData == file.PixelData
    assert client.retrieve_metadata(*uids)["KVP"].tolist() == [120.0]


@pytest.mark.covers("DICOMweb Standards Compliance: QIDO-RS")
def test_qido_rs(local, file):
    """Studies, series and instances, everywhere and below (PS3.18 table 10.6.1-1)."""
    client = local.connect()
    client.store(CT)
    study = f"studies/{file.StudyInstanceUID}"
    for path in (
        "studies",
        "series",
        "instances",
        f"{study}/series",
        f"{study}/instances",
        f"{study}/series/{file.SeriesInstanceUID}/instances",
    ):
        assert len(ask(local, path).json()) == 1, path
    for search in (client.search_studies(), client.search_series(), client.search_instances()):
        assert len(search.to_frame()) == 1
