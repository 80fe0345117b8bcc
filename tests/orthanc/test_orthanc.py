"""Our client against a DICOMweb server that somebody else wrote, with its habits.

The oracle is Orthanc's own REST API, and pydicom for what comes back.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from pydicom import dcmread
from pydicom.data import get_testdata_file

from dicomframe.client.backoff import Backoff
from dicomframe.client.client import Client
from dicomframe.dicom.paths import ResourcePath
from dicomframe.errors import BadRequestError, NotBuiltError, NotFoundError

pytestmark = pytest.mark.orthanc

NAMES = [
    "CT_small.dcm",
    "MR_small.dcm",
    "JPEG2000.dcm",
    "rtplan.dcm",
    "SC_rgb_rle_2frame.dcm",
    "waveform_ecg.dcm",
]
FILES = [Path(get_testdata_file(name, download=False)) for name in NAMES]
SERIES_OF = "1.2.826.0.77"


@pytest.fixture(scope="module")
def client(orthanc):
    with Client(orthanc.dicom_web, progress=False, backoff=Backoff(2, 0.01, 0.05)) as connected:
        yield connected


@pytest.fixture(scope="module")
def stored(client, tmp_path_factory):
    """Six real files of six studies, and a made series of 25 instances."""
    folder = tmp_path_factory.mktemp("series")
    made = dcmread(FILES[0])
    made.StudyInstanceUID, made.SeriesInstanceUID = SERIES_OF, f"{SERIES_OF}.1"
    made.PatientID, made.PatientName = "series", "Müller^Jürgen"
    made.SpecificCharacterSet = "ISO_IR 192"
    for number in range(25):
        made.SOPInstanceUID = made.file_meta.MediaStorageSOPInstanceUID = f"{SERIES_OF}.1.{number}"
        made.InstanceNumber = number
        made.save_as(folder / f"{number:02}.dcm", enforce_file_format=True)
    return client.store([*FILES, folder], batch_size=10)


def identity(dataset):
    return dataset.StudyInstanceUID, dataset.SeriesInstanceUID, dataset.SOPInstanceUID


# -- store -----------------------------------------------------------------------------------------------------------


def test_everything_is_stored(orthanc, stored):
    assert stored["status"].tolist() == ["stored"] * 31
    listed = orthanc.rest("/instances?expand")
    held = {instance["MainDicomTags"]["SOPInstanceUID"] for instance in listed}
    assert set(stored["SOPInstanceUID"]) <= held


def test_a_refused_instance_is_told_apart(client, stored, tmp_path):
    """Orthanc answers 400 with a JSON body and no Content-Type."""
    original = dcmread(FILES[0])
    table = client.store([FILES[0], FILES[1]], study_uid=original.StudyInstanceUID)
    assert table["status"].tolist()[0] in {"stored", "warning"}
    assert table["status"].tolist()[1] == "failed"
    assert table["code"][1] > 0
    assert table["reason"][1]


def test_what_is_no_dicom_has_a_row(client, stored, tmp_path):
    (tmp_path / "text").write_text("no DICOM")
    table = client.store([tmp_path / "text", FILES[0], tmp_path / "missing"])
    assert table["status"].tolist() == ["unreadable", "stored", "unreadable"]


# -- search ----------------------------------------------------------------------------------------------------------


def test_studies(client, stored):
    search = client.search_studies()
    table = search.to_frame()
    assert set(table["StudyInstanceUID"]) == set(stored["StudyInstanceUID"])
    assert search.completeness == "complete"
    assert len(search.issues) == 0
    for file in FILES:
        original = dcmread(file)
        row = table.set_index("StudyInstanceUID").loc[original.StudyInstanceUID]
        assert row["PatientID"] == original.PatientID
        assert row["PatientName"] == str(original.PatientName)
        assert f"{row['StudyDate']:%Y%m%d}" == original.StudyDate


@pytest.mark.parametrize(
    ("filters", "patients"),
    [
        ({"PatientName": "CompressedSamples^CT1"}, {"1CT1"}),
        ({"PatientName": "CompressedSamples^*"}, {"1CT1", "4MR1", "8NM1"}),
        ({"PatientName": "CompressedSamples^?T1"}, {"1CT1"}),
        ({"PatientID": ["1CT1", "4MR1", "nobody"]}, {"1CT1", "4MR1"}),
        ({"PatientID": ["1CT*", "?CT1"]}, {"1CT1"}),
        ({"StudyDate": "2004-01-19"}, {"1CT1", "series"}),
        ({"StudyDate": ("2004-01-01", "2004-01-31")}, {"1CT1", "series"}),
        ({"StudyDate": ("2004-01-20", "2004-12-31")}, {"4MR1", "8NM1"}),
        ({"ModalitiesInStudy": ["CT", "NM"]}, {"1CT1", "8NM1", "series"}),
        ({"PatientID": []}, set()),
        ({"PatientID": "nobody"}, set()),
        ({"00100020": "1CT1"}, {"1CT1"}),
    ],
)
def test_filters(client, stored, filters, patients):
    table = client.search_studies(**filters).to_frame()
    assert set(table["PatientID"].dropna()) == patients
    assert table["StudyInstanceUID"].is_unique


def test_values_that_the_server_does_not_decode(client, stored):
    """A caret and a comma must arrive literally."""
    assert len(client.search_studies(PatientName="CompressedSamples^CT1").to_frame()) == 1
    assert len(client.search_studies(PatientName="Comp,ressed").to_frame()) == 0


@pytest.mark.parametrize("page_size", [1, 7, 10, 25, 200])
@pytest.mark.parametrize("workers", [1, 6])
def test_paging_loses_and_doubles_nothing(orthanc, stored, page_size, workers):
    with Client(orthanc.dicom_web, progress=False, max_workers=workers) as client:
        search = client.search_instances(SERIES_OF, page_size=page_size)
        found = search.to_frame()["SOPInstanceUID"].tolist()
    assert sorted(found) == sorted(f"{SERIES_OF}.1.{number}" for number in range(25))
    assert search.completeness == "complete"


def test_limits(client, stored):
    search = client.search_instances(SERIES_OF, limit=10, page_size=4)
    assert (len(search.to_frame()), search.completeness) == (10, "truncated")
    exact = client.search_instances(SERIES_OF, limit=25, page_size=10)
    assert (len(exact.to_frame()), exact.completeness) == (25, "complete")


def test_series_and_instances(client, stored):
    series = client.search_series(SERIES_OF).to_frame()
    assert series["SeriesInstanceUID"].tolist() == [f"{SERIES_OF}.1"]
    assert series["Modality"].tolist() == ["CT"]
    one = client.search_instances(SERIES_OF, f"{SERIES_OF}.1", SOPInstanceUID=f"{SERIES_OF}.1.3").to_frame()
    assert one["SOPInstanceUID"].tolist() == [f"{SERIES_OF}.1.3"]
    everywhere = client.search_instances().to_frame()
    assert set(everywhere["SOPInstanceUID"]) == set(stored["SOPInstanceUID"])
    assert len(client.search_series("1.2.3.4").to_frame()) == 0


# -- retrieve --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("file", FILES, ids=NAMES)
def test_objects_come_back_as_they_were(client, stored, file):
    original = dcmread(file)
    study, series, instance = identity(original)
    [whole] = client.retrieve_study(study)
    [part] = client.retrieve_series(study, series)
    single = client.retrieve_instance(study, series, instance)
    for back in (whole, part, single):
        assert back == original
        assert back.file_meta.TransferSyntaxUID == original.file_meta.TransferSyntaxUID


def test_a_series_streams(client, stored):
    numbers = [int(dataset.InstanceNumber) for dataset in client.retrieve_series(SERIES_OF, f"{SERIES_OF}.1")]
    assert sorted(numbers) == list(range(25))
    middle = client.retrieve_representative(ResourcePath(SERIES_OF))
    assert middle.SeriesInstanceUID == f"{SERIES_OF}.1"


def test_metadata_equals_what_pydicom_reads(client, stored):
    for file in FILES:
        original = dcmread(file)
        table = client.retrieve_metadata(*identity(original))
        [row] = table.dicom.to_json()
        expected = original.to_json_dict(bulk_data_threshold=10**9)
        for tag in ("00080016", "00080018", "00100020", "0020000D", "00280010", "00180060"):
            if tag in expected:
                assert row[tag]["Value"] == expected[tag]["Value"], (file.name, tag)
    series = client.retrieve_metadata(SERIES_OF, keywords=["InstanceNumber", "KVP", "PatientName"])
    assert sorted(series["InstanceNumber"]) == list(range(25))
    assert set(series["PatientName"]) == {"Müller^Jürgen"}


def test_download(client, stored, tmp_path):
    studies = client.search_studies().to_frame()
    table = client.download(studies, tmp_path)
    assert table["status"].tolist() == ["saved"] * 31
    originals = {dcmread(file).SOPInstanceUID: file for file in FILES}
    for row in table.itertuples():
        if row.SOPInstanceUID in originals:
            assert Path(row.path).read_bytes()[128:] == originals[row.SOPInstanceUID].read_bytes()[128:]
    assert client.download(studies, tmp_path)["status"].tolist() == ["kept"] * 31


# -- what it lacks and refuses ----------------------------------------------------------------------------------------


def test_unknown_resources(client, stored):
    with pytest.raises(NotFoundError) as caught:
        list(client.retrieve_study("1.2.3.4.5.6.7"))
    assert "1.2.3.4.5.6.7" not in str(caught.value)
    assert caught.value.route == "GET /dicom-web/studies/1.2.3.4.5.6.7"
    with pytest.raises(NotFoundError):
        client.retrieve_metadata("1.2.3.4.5.6.7")


def test_deletion_is_not_offered(orthanc, client, stored):
    assert len(client.delete(SERIES_OF, dry_run=True)) == 25
    with pytest.raises(NotBuiltError) as caught:
        client.delete(SERIES_OF)
    assert caught.value.status == 405
    table = client.delete_many([SERIES_OF, f"{SERIES_OF}.9"])
    assert table["status"].tolist() == ["failed", "failed"]
    assert len(client.search_instances(SERIES_OF).to_frame()) == 25


def test_its_own_words_are_heard(client, stored):
    with pytest.raises(BadRequestError) as caught:
        client.session.request("GET", "studies", params=[("limit", "many")])
    assert len(caught.value.message) > 5


def test_what_was_stored_is_verified(client, stored, orthanc, tmp_path):
    """All are there again; one that Orthanc has lost in between is found to be missing."""
    again = client.store(FILES, verify=True)
    assert again["verified"].all()
    assert again["retrieve_url"].str.startswith("http").all()
    made = dcmread(FILES[0])
    made.StudyInstanceUID, made.SeriesInstanceUID = "1.2.826.0.99", "1.2.826.0.99.1"
    made.SOPInstanceUID = made.file_meta.MediaStorageSOPInstanceUID = "1.2.826.0.99.1.1"
    from dicomframe.client.verify import look_up

    address = ("1.2.826.0.99", "1.2.826.0.99.1", "1.2.826.0.99.1.1")
    assert look_up(client.session, [address])[address].is_there is False
    assert client.store(made, verify=True)["verified"].tolist() == [True]
    assert look_up(client.session, [address])[address].is_there is True


def test_the_doctor_finds_nothing_wrong(client, stored):
    """It is no Azure service: versions, feed and tags are skipped, not failed."""
    checks = client.doctor().set_index("check")["status"]
    assert checks[["url", "connection", "reading"]].tolist() == ["ok"] * 3
    assert checks[["versions", "change feed", "query tags"]].tolist() == ["skipped"] * 3
