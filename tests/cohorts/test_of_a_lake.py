"""A cohort of a lake is that of its service: the same steps, rows, counts and reasons, without asking it."""

from datetime import UTC, datetime

import pandas as pd
import pytest
from pydicom import dcmread, examples

import dicomframe as dfr
from dicomframe.errors import IssuesWarning, LakeError, QueryError


@pytest.fixture(scope="module")
def both(tmp_path_factory):
    """Give a client of the teaching cohort, which is closed, so to speak, and a lake of it."""
    with dfr.start_local(samples=True) as local, local.connect(progress=False) as client:
        yield client, dfr.sync(client, tmp_path_factory.mktemp("lake"))


COHORTS = {
    "studies": [{"name": "all"}],
    "series": [{"name": "all", "level": "series"}],
    "instances": [{"name": "all", "level": "instance", "fields": ["PatientSex"]}],
    "filters of a search": [
        {
            "name": "one",
            "ModalitiesInStudy": ["CT", "MR"],
            "StudyDate": ("2010-01-01", None),
            "fields": ["PatientSex"],
        },
        {"name": "two", "PatientName": "*a*", "PatientSex": "F"},
    ],
    "attributes of the study at the series": [
        {
            "name": "some CT",
            "level": "series",
            "Modality": "CT",
            "PatientName": "*a*",
            "StudyDate": ("2000-01-01", None),
        }
    ],
    "down, up and down": [
        {"name": "studies", "fields": ["PatientAge", "PatientSex"]},
        {"name": "adults", "PatientAge": (18, None)},
        {"name": "first", "first": "StudyDate"},
        {"name": "series", "level": "series", "Modality": ["CT", "MR", "US"]},
        {"name": "slices", "level": "instance", "fields": ["InstanceNumber"]},
        {"name": "studies again", "level": "study", "fields": ["StudyID"]},
        {"name": "CT", "level": "series", "Modality": "CT"},
    ],
    "metadata": [
        {"name": "CT", "level": "instance", "Modality": "CT"},
        {"name": "by voltage", "metadata": ["SliceThickness", "KVP"], "KVP": (100, None)},
    ],
    "nothing": [{"name": "nobody", "PatientID": "nobody at all"}, {"name": "s", "level": "series"}],
}


def made(source, steps):
    cohort = dfr.cohort(source)
    for step in steps:
        cohort = cohort.step(**step)
    return cohort


def ordered(table):
    uids = [name for name in ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID") if name in table]
    return table.sort_values(uids, ignore_index=True)


def assert_holds(ours, theirs):
    """The same rows, with the columns of a search; the lake's instances have their series' default ones too."""
    assert set(ours.columns) - set(theirs.columns) <= {"PerformedProcedureStepStartDate"}
    pd.testing.assert_frame_equal(ordered(ours)[theirs.columns.tolist()], ordered(theirs))


@pytest.mark.parametrize("steps", COHORTS.values(), ids=COHORTS)
def test_it_is_that_of_the_service(both, steps):
    client, lake = both
    theirs, ours = made(client, steps), made(lake, steps)
    pd.testing.assert_frame_equal(ours.flow(), theirs.flow())
    assert_holds(ours.to_frame(), theirs.to_frame())
    for step in steps:
        assert_holds(ours.removed(step["name"]), theirs.removed(step["name"]))
    assert ours.to_frame().attrs["dicom"]["service"] == client.url
    assert ours.client is None
    assert len(ours.to_frame()) > 0 or steps[0]["name"] == "nobody"


def test_the_service_is_not_asked(both, tmp_path, monkeypatch):
    client, lake = both
    theirs = made(client, COHORTS["metadata"]).to_frame()

    def asked(*_, **__):
        raise AssertionError

    monkeypatch.setattr("dicomframe.client.session.Session.request", asked)
    ours = dfr.cohort(dfr.open_lake(lake.folder), made(lake, COHORTS["metadata"]).to_yaml()).to_frame()
    assert sorted(ours["SOPInstanceUID"]) == sorted(theirs["SOPInstanceUID"])


def test_all_fields(both):
    _, lake = both
    found = dfr.cohort(lake).step("all", level="instance", fields="all").to_frame()
    assert set(lake.to_frame("instance").columns) <= set(found.columns)


def test_what_only_a_service_has_is_refused(both):
    client, lake = both
    cases = {
        "fuzzy= is the service's own": {"fuzzy": True, "PatientName": "smith"},
        "does not hold KVP of a study; search instances": {"fields": ["KVP"]},
        "does not hold SliceThickness of a series": {"level": "series", "fields": ["SliceThickness"]},
    }
    for message, step in cases.items():
        with pytest.raises(QueryError, match=message):
            dfr.cohort(lake).step("step", **step).to_frame()
    for wrong in ("recipe.yaml", dfr.cohort(), 7):
        with pytest.raises(QueryError, match="of a client or of a lake"):
            dfr.cohort(wrong)
    for source in (client, None):
        with pytest.raises(QueryError, match="as_of= is for a lake"):
            dfr.cohort(source, as_of=datetime.now(UTC))
    with pytest.raises(QueryError, match="no time zone"):
        dfr.cohort(lake, as_of=datetime.now(UTC).replace(tzinfo=None)).step("all").to_frame()
    with pytest.raises(QueryError, match="number of a version is of one table"):
        dfr.cohort(lake, as_of=1).step("all").to_frame()


def instance(study, number):
    dataset = dcmread(examples.get_path("ct"))
    dataset.StudyInstanceUID, dataset.SeriesInstanceUID = f"1.2.{study}", f"1.2.{study}.1"
    dataset.SOPInstanceUID = dataset.file_meta.MediaStorageSOPInstanceUID = f"1.2.{study}.1.{number}"
    return dataset


def test_it_is_of_one_moment(tmp_path):
    with dfr.start_local() as local, local.connect(progress=False) as client:
        client.store([instance(1, 1), instance(2, 1)])
        lake = dfr.sync(client, tmp_path)
        first = dfr.cohort(lake).step("all")
        assert len(first.to_frame()) == 2
        then = datetime.now(UTC)
        client.store([instance(3, 1), instance(1, 2)])
        client.delete("1.2.2")
        lake.sync(client)
        # A step that is done later sees what the first one saw.
        later = first.step("slices", level="instance").to_frame()
        assert sorted(later["SOPInstanceUID"]) == ["1.2.1.1.1", "1.2.2.1.1"]
        slices = dfr.cohort(lake).step("all", level="instance")
        assert sorted(slices.to_frame()["SOPInstanceUID"]) == ["1.2.1.1.1", "1.2.1.1.2", "1.2.3.1.1"]
        before = dfr.cohort(lake, as_of=then).step("all").step("slices", level="instance")
        assert sorted(before.to_frame()["SOPInstanceUID"]) == ["1.2.1.1.1", "1.2.2.1.1"]


def test_rows_of_several_partitions_are_not_mixed(tmp_path):
    with dfr.start_local(partitions=True) as local:
        clients = [dfr.connect(local.url, partition=name, progress=False) for name in "ab"]
        for number, client in enumerate(clients):
            client.store([instance(number, 1)])
        lake = dfr.sync(dfr.connect(local.url, progress=False), tmp_path)
        assert len(dfr.cohort(lake).step("all").to_frame()) == 2
        clients[1].store([instance(0, 1)])
        lake.sync(dfr.connect(local.url, progress=False))
        with pytest.raises(LakeError, match="a study in several partitions"):
            dfr.cohort(lake).step("all").to_frame()


def test_a_lake_that_lacks_something_says_so(tmp_path):
    with dfr.start_local(faults={"withhold": True}) as local, local.connect(progress=False) as client:
        client.store([instance(1, 1)])
        with pytest.warns(IssuesWarning, match="of 1 instances"):
            lake = dfr.sync(client, tmp_path)
        cohort = dfr.cohort(lake).step("all")
        assert cohort.flow()["completeness"].tolist() == ["truncated"]
        assert len(cohort.to_frame()) == 0
        then = datetime.now(UTC)
        local.faults.clear()
        lake.sync(client)
        assert dfr.cohort(lake).step("all").flow()["completeness"].tolist() == ["complete"]
        # What it lacked at a time, it still lacked then.
        assert dfr.cohort(lake, as_of=then).step("all").flow()["completeness"].tolist() == ["truncated"]


def test_values_that_could_not_be_read_are_told(tmp_path):
    with dfr.start_local() as local, local.connect(progress=False) as client:
        file = instance(1, 1)
        client.store([file])
        lake = dfr.sync(client, tmp_path)
        bad = '{"0020000D":{"vr":"UI","Value":["1.2.1"]},"00080020":{"vr":"DA","Value":["yesterday"]}}'
        lake.delta("study").update(updates={"json": f"'{bad}'"})
        cohort = dfr.cohort(lake).step("all").step("dated", StudyDate=("2000-01-01", None))
        assert cohort.removed("dated")["why"].tolist() == ["StudyDate could not be read"]
        assert cohort.issues()["keyword"].tolist() == ["StudyDate"]
