"""A series as a volume over loopback: in parallel, with each failure named, and against a sort by hand."""

from __future__ import annotations

import numpy as np
import pytest

import dicomframe as dfr
from dicomframe.errors import DecodeError, NotFoundError, QueryError, ServiceError, TableError
from tests.images.series import ROOT, numbered, put, series


@pytest.fixture
def local():
    with dfr.start_local(faults={}) as local:
        yield local


def sorted_by_hand(client, row):
    """Give a CT series' values in Hounsfield units and positions, sorted by pydicom and numpy alone."""
    objects = list(client.retrieve_series(row["StudyInstanceUID"], row["SeriesInstanceUID"]))
    objects.sort(key=lambda ds: float(ds.ImagePositionPatient[2]))
    values = np.stack(
        [ds.pixel_array * float(ds.RescaleSlope) + float(ds.RescaleIntercept) for ds in objects]
    )
    return values, np.array([ds.ImagePositionPatient for ds in objects], float)


def test_a_series_of_the_cohort_is_as_sorted_by_hand(cohort_client):
    table = cohort_client.search_series(Modality="CT").to_frame()
    row = table.iloc[0]
    values, positions = sorted_by_hand(cohort_client, row)
    volume = cohort_client.retrieve_volume(row["StudyInstanceUID"], row["SeriesInstanceUID"])
    assert np.array_equal(volume.array, values)
    assert volume.array.dtype == np.int16
    assert volume.problems.empty
    assert np.allclose(volume.slices[["x", "y", "z"]], positions)
    places = np.zeros((len(values), 3))
    places[:, 0] = np.arange(len(values))
    assert np.allclose(volume.to_mm(places), positions, atol=1e-3)
    # The same by the row, and by its instances in another order.
    assert np.array_equal(table.iloc[:1].dicom.volume().array, values)
    instances = table.iloc[:1].dicom.instances().sample(frac=1, random_state=3)
    assert np.array_equal(instances.dicom.volume().array, values)
    kept = instances["SOPInstanceUID"].isin(volume.slices["SOPInstanceUID"][2:5])
    assert np.array_equal(instances[kept].dicom.volume().array, values[2:5])


def test_uptake_values_of_the_cohort(cohort_client):
    table = cohort_client.search_series(Modality="PT").to_frame()
    volume = table.iloc[:1].dicom.volume(suv=True)
    plain = table.iloc[:1].dicom.volume()
    assert (volume.unit, plain.unit) == ("g/ml", "Bq/ml")
    first = next(cohort_client.retrieve_series(*table.loc[0, ["StudyInstanceUID", "SeriesInstanceUID"]]))
    tracer = first.RadiopharmaceuticalInformationSequence[0]

    def seconds(time):
        return int(time[:2]) * 3600 + int(time[2:4]) * 60 + float(time[4:])

    passed = seconds(first.SeriesTime) - seconds(tracer.RadiopharmaceuticalStartTime)
    dose = float(tracer.RadionuclideTotalDose) * 0.5 ** (passed / float(tracer.RadionuclideHalfLife))
    assert np.allclose(volume.array, plain.array * (float(first.PatientWeight) * 1000 / dose), rtol=1e-5)
    assert 2 < volume.array.max() < 100  # as in people
    pixels = table.iloc[:1].dicom.pixels(suv=True)
    assert set(pixels["unit"]) == {"g/ml"}
    assert set(pixels["status"]) == {"decoded"}
    ct = cohort_client.search_series(Modality="CT", limit=1).to_frame()
    with pytest.raises(DecodeError, match="PET"):
        ct.dicom.volume(suv=True)
    assert set(ct.dicom.pixels(suv=True)["status"]) == {"failed"}


def test_an_instance_that_does_not_come_is_named_and_its_place_filled(local):
    client = local.connect(retries=0)
    datasets = series(numbered(6))
    client.store(datasets)
    lost = str(datasets[2].SOPInstanceUID)
    local.faults.set(error={"status": 500, "path": f"studies/{ROOT}.1/series/{ROOT}.1.1/instances/{lost}"})
    volume = client.retrieve_volume(f"{ROOT}.1", f"{ROOT}.1.1")
    assert volume.problems["what"].tolist() == ["failed", "missing slices"]
    assert volume.problems["SOPInstanceUID"][0] == lost
    assert "500" in volume.problems["detail"][0]
    assert volume.slices["filled"].tolist() == [False, False, True, False, False, False]
    assert np.array_equal(volume.array[3:], numbered(6)[3:])
    local.faults.set(error={"status": 500})
    with pytest.raises(ServiceError):
        client.retrieve_volume(f"{ROOT}.1", f"{ROOT}.1.1")


def test_an_instance_that_is_not_there_is_named(local):
    client = local.connect()
    datasets = series(numbered(4))
    client.store(datasets)
    uids = [str(ds.SOPInstanceUID) for ds in datasets]
    volume = client.retrieve_volume(f"{ROOT}.1", f"{ROOT}.1.1", [*uids, f"{ROOT}.404"])
    assert np.array_equal(volume.array, numbered(4))
    assert volume.problems["SOPInstanceUID"].tolist() == [f"{ROOT}.404"]
    with pytest.raises(NotFoundError):
        client.retrieve_volume(f"{ROOT}.1", f"{ROOT}.1.1", [f"{ROOT}.404"])


def test_which_of_several_series_must_be_said(local):
    client = local.connect()
    other = [put(ds, SeriesInstanceUID=f"{ROOT}.1.2") for ds in series(numbered(3), first=70)]
    client.store(series(numbered(3)))
    assert client.search_studies().to_frame().dicom.volume().shape[0] == 3  # its only series
    client.store(other)
    for table in (client.search_studies(), client.search_series(), client.search_instances()):
        with pytest.raises(TableError, match="of 2 series"):
            table.to_frame().dicom.volume()
    chosen = client.search_instances(SeriesInstanceUID=f"{ROOT}.1.2").to_frame()
    assert chosen.dicom.volume().shape[0] == 3


@pytest.mark.parametrize(
    "wrong", [{"stack": 0}, {"stack": True}, {"stack": "1"}, {"instance_uids": []}, {"instance_uids": "1.2"}]
)
def test_bad_arguments_are_refused_before_anything_is_sent(wrong):
    client = dfr.connect("http://127.0.0.1:9")  # nobody listens
    with pytest.raises(QueryError):
        client.retrieve_volume("1.2", "1.2.3", **wrong)
