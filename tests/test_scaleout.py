"""Past one machine: parts of days give what one search gives, in processes of their own too, and carry no secret."""

import pickle
import sys
from datetime import date

import pandas as pd
import pytest
from pydicom import dcmread, examples

import dicomframe as dfr
from dicomframe.errors import DicomFrameError, IncompleteRetrievalWarning, QueryError

scaleout = dfr.scaleout
ALL = ("2022-01-01", "2025-12-31")


@pytest.fixture
def women(cohort_client):
    return (
        dfr.cohort(cohort_client)
        .step(
            "CT and MR",
            fields=["PatientSex", "PatientAge", "ModalitiesInStudy"],
            ModalitiesInStudy=["CT", "MR"],
        )
        .step("women", PatientSex="F")
        .step("series", level="series", Modality=["CT", "MR"])
    )


def test_all_parts_are_the_whole(women):
    table = scaleout.search(women, ALL, days=200)
    whole = women.to_frame()
    assert table.npartitions == 8
    found = table.compute(scheduler="threads")
    assert sorted(found["SeriesInstanceUID"]) == sorted(whole["SeriesInstanceUID"])
    assert found.dtypes.equals(table.dtypes)
    one = found.sort_values("SeriesInstanceUID", ignore_index=True)
    other = whole.sort_values("SeriesInstanceUID", ignore_index=True)
    assert set(one.pop("completeness")) == {"complete"}
    assert one.pop("unreadable").isna().all()
    pd.testing.assert_frame_equal(one, other[one.columns].astype(one.dtypes))


def test_in_processes_of_their_own(women):
    table = scaleout.search(women, ("2024-01-01", "2024-12-31"), days=180)
    found = table.compute(scheduler="processes", num_workers=2)
    whole = women.to_frame()
    assert len(found) == whole["StudyDate"].dt.year.eq(2024).sum()


def test_a_part_with_nothing_has_the_same_columns(cohort_client):
    table = scaleout.search(
        dfr.cohort(cohort_client).step("all", fields=["PatientSex"]), ("1990-01-01", "1990-01-02")
    )
    found = table.compute(scheduler="sync")
    assert len(found) == 0
    assert found.dtypes.equals(table.dtypes)
    assert str(found.dtypes["StudyDate"]) == "timestamp[s][pyarrow]"


def test_metadata_and_joined_columns_are_there(cohort_client, tmp_path):
    ids = cohort_client.search_studies().to_frame()["PatientID"].unique()
    pd.DataFrame({"PatientID": ids[::2], "died": [True, False] * (len(ids[::2]) // 2)}).to_csv(
        tmp_path / "o.csv", index=False
    )
    slices = (
        dfr.cohort(cohort_client)
        .step("CT", ModalitiesInStudy="CT")
        .step("with an outcome", join=tmp_path / "o.csv", on="PatientID")
        .step("series", level="series", Modality="CT")
        .step("slices", level="instance")
        .step("thin", metadata=["SliceThickness"], SliceThickness=(None, 5))
    )
    found = scaleout.search(slices, ("2024-01-01", "2024-12-31"), days=200).compute(scheduler="sync")
    assert len(found) == slices.to_frame()["StudyDate"].dt.year.eq(2024).sum()
    assert found["died"].notna().all()
    assert (found["SliceThickness"] <= 5).all()


def test_what_could_not_be_read_is_named(monkeypatch):
    with dfr.start_local() as local:
        client = local.connect(progress=False)
        file = dcmread(examples.get_path("ct"))
        file.StudyDate = "20240115"
        for number in (1, 2):
            file.StudyInstanceUID, file.SeriesInstanceUID = f"1.2.{number}", f"1.2.{number}.1"
            file.SOPInstanceUID = file.file_meta.MediaStorageSOPInstanceUID = f"1.2.{number}.1.1"
            client.store([file])
        slices = (
            dfr.cohort(client)
            .step("all")
            .step("slices", level="instance")
            .step("later", metadata=["KVP"], KVP=(1, None), missing="keep")
        )
        retrieve = type(client).collect_metadata

        def after_a_deletion(self, *given, **named):
            client.delete("1.2.2")
            return retrieve(self, *given, **named)

        table = scaleout.search(slices, ALL, days=2000)
        monkeypatch.setattr(type(client), "collect_metadata", after_a_deletion)
        with pytest.warns(IncompleteRetrievalWarning):
            found = table.compute(scheduler="sync")
    assert found.sort_values("StudyInstanceUID")["unreadable"].fillna("").tolist() == ["", "KVP"]


def test_columns_that_do_not_go_up_are_in_no_part(women):
    up = women.step("studies", level="study")
    table = scaleout.search(up, ALL, days=2000)
    assert "PatientSex" in table.columns
    assert not {"SeriesInstanceUID", "Modality"} & set(table.columns)
    found = table.compute(scheduler="sync")
    assert sorted(found["StudyInstanceUID"]) == sorted(up.to_frame()["StudyInstanceUID"])
    assert found["PatientSex"].notna().all()


def test_a_joined_column_hides_none_of_the_parts(women, tmp_path):
    (tmp_path / "o.csv").write_text("PatientID,completeness\n1,2\n")
    with pytest.raises(QueryError, match="'completeness'"):
        scaleout.search(women.step("joined", join=tmp_path / "o.csv", on="PatientID"), ALL)


def test_ranges_are_taken_as_given(women):
    parts = [("2024-01-01", "2024-03-31"), (date(2023, 1, 1), pd.Timestamp("2023-12-31"))]
    table = scaleout.search(women, parts)
    assert table.npartitions == 2
    assert set(table.compute(scheduler="sync")["StudyDate"].dt.year) <= {2023, 2024}


def test_a_recipe_needs_its_address(women):
    recipe = women.to_yaml()
    found = scaleout.search(recipe, ALL, days=2000, url=women.client.url).compute(scheduler="sync")
    assert len(found) == len(women.to_frame())
    with pytest.raises(QueryError, match="url= is needed"):
        scaleout.search(recipe, ALL)


def test_no_secret_travels(women):
    with pytest.raises(QueryError, match="a function"):
        scaleout.search(women, ALL, credential="token-of-mine")
    with pytest.raises(QueryError, match="a function"):
        scaleout.map_in_pandas(lambda client, table: table, "http://127.0.0.1:1", credential="token-of-mine")
    with dfr.start_local(token="token-of-mine") as local:
        client = local.connect(progress=False)
        table = scaleout.search(dfr.cohort(client).step("all"), ALL)
        assert b"token-of-mine" not in pickle.dumps(table.__dask_graph__())


def the_token():
    return "token-of-mine"


def test_each_worker_asks_for_its_own_token():
    with dfr.start_local(token="token-of-mine") as local:
        made = dfr.cohort(local.connect(progress=False)).step("all")
        table = scaleout.search(made, ALL, days=2000, credential=the_token)
        assert len(table.compute(scheduler="sync")) == 0
        with pytest.raises(dfr.errors.AuthenticationError):
            scaleout.search(made, ALL, days=2000).compute(scheduler="sync")


@pytest.mark.parametrize(
    ("steps", "message"),
    [
        ([], "no steps"),
        ([{"StudyDate": "2024-01-01"}], "says StudyDate itself"),
        ([{}, {"first": "StudyDate"}], "needs all of its rows"),
        ([{"fields": "all"}], "not known before"),
        ([{}, {"keep": lambda table: table["PatientID"].notna()}], "no recipe can hold"),
    ],
)
def test_what_cannot_be_cut_by_days(cohort_client, steps, message):
    made = dfr.cohort(cohort_client)
    for number, step in enumerate(steps):
        made = made.step(str(number), **step)
    with pytest.raises(QueryError, match=message):
        scaleout.search(made, ALL)


@pytest.mark.parametrize(
    "dates",
    [
        ("2024-02-01", "2024-01-01"),
        ("yesterday", "2024-01-01"),
        (),
        [("2024-01-01", "2024-01-31"), ("2024-01-31", "2024-02-28")],
        [1],
    ],
)
def test_what_are_no_ranges_of_days(women, dates):
    with pytest.raises(QueryError):
        scaleout.search(women, dates)


@pytest.mark.parametrize("days", [0, True, 1.5])
def test_what_is_no_number_of_days(women, days):
    with pytest.raises(QueryError, match="days="):
        scaleout.search(women, ALL, days=days)


def test_without_dask(women, monkeypatch):
    monkeypatch.setitem(sys.modules, "dask.dataframe", None)
    with pytest.raises(DicomFrameError, match=r"dicomframe\[dask\]"):
        scaleout.search(women, ALL)


def test_one_client_does_all_tables_of_a_task(cohort_client):
    studies = cohort_client.search_studies(limit=6).to_frame()
    clients = []

    def count(client, table):
        clients.append(client)
        return table.dicom.use(client).dicom.series().groupby("StudyInstanceUID", as_index=False).size()

    function = scaleout.map_in_pandas(count, cohort_client.url)
    found = pd.concat(function([studies.iloc[:3].copy(), studies.iloc[3:].copy()]))
    assert len(found) == 6
    assert len(set(map(id, clients))) == 1


@pytest.mark.parametrize(
    "dates",
    [(20240101, 20241231), (2024.0, 2025.0), ("2024-01-01", None), (pd.NaT, "2024-01-01"), (None, None)],
    ids=["numbers", "floats", "open", "nat", "none"],
)
def test_what_is_no_day_is_refused(dates):
    """A number would be nanoseconds since 1970: a day in which no study is found, without a word."""
    with pytest.raises(QueryError, match="range"):
        dfr.scaleout.search(dfr.cohort().step("all"), dates, url="http://127.0.0.1:1")


def test_ranges_reach_to_the_end_of_the_calendar():
    table = dfr.scaleout.search(
        dfr.cohort().step("all"), ("9999-12-01", "9999-12-31"), days=20, url="http://127.0.0.1:1"
    )
    assert table.npartitions == 2
