"""``df.dicom`` on tables of a real (local) service, and on tables that lack what it needs."""

import matplotlib.figure
import numpy as np
import pandas as pd
import pytest
from pydicom.data import get_testdata_file

import dicomframe as dfr
from dicomframe.errors import NoClientError, QueryError, TableError


@pytest.fixture
def smiths(cohort_client):
    return cohort_client.search_studies(
        PatientName="Smith*", StudyDate=("2024-01-01", "2024-01-31"), ModalitiesInStudy="CT", limit=50
    ).to_frame()


def test_the_references_example_query_finds_studies(smiths):
    assert len(smiths) >= 3
    assert smiths["PatientName"].str.startswith("Smith").all()
    assert smiths["StudyDate"].between("2024-01-01", "2024-01-31").all()
    assert smiths.dicom.level == "study"


def test_a_table_goes_down_and_up_the_levels(smiths):
    series = smiths.dicom.series()
    assert series.dicom.level == "series"
    assert set(series["StudyInstanceUID"]) == set(smiths["StudyInstanceUID"])
    ct = series[series["Modality"] == "CT"].head(1)
    instances = ct.dicom.instances()
    assert len(instances) >= 24
    assert instances.dicom.level == "instance"
    assert (
        instances.head(3).dicom.instances()["SOPInstanceUID"].tolist()
        == instances.head(3)["SOPInstanceUID"].tolist()
    )
    back = instances.dicom.studies()
    assert back["StudyInstanceUID"].tolist() == ct["StudyInstanceUID"].tolist()
    assert set(instances.dicom.series()["SeriesInstanceUID"]) == set(ct["SeriesInstanceUID"])


def test_filters_apply_below(smiths):
    assert len(smiths.dicom.series(Modality="MR")) == 0
    assert smiths.dicom.series(Modality="MR").dtypes["SeriesInstanceUID"] == "string"


def test_metadata_has_the_columns_asked_for(smiths):
    headers = smiths.head(1).dicom.metadata(["KVP", "ImagePositionPatient"])
    assert headers["KVP"].dtype == "Float64"
    assert len(headers) >= 24
    assert all(len(position) == 3 for position in headers["ImagePositionPatient"])
    everything = smiths.head(1).dicom.metadata()
    assert len(everything.columns) > 40


def test_datasets_and_pixels(smiths):
    instances = smiths.head(1).dicom.series().head(1).dicom.instances().head(2)
    datasets = list(instances.dicom.datasets())
    assert [dataset.SOPInstanceUID for dataset in datasets] == instances["SOPInstanceUID"].tolist()
    decoded = instances.dicom.pixels(modality_lut=True)
    assert decoded["status"].tolist() == ["decoded", "decoded"]
    first = decoded.loc[0, "pixels"]
    assert first.shape == (1, datasets[0].Rows, datasets[0].Columns)
    assert first.min() == pytest.approx(np.min(datasets[0].pixel_array * 1.0) + datasets[0].RescaleIntercept)


def test_download_writes_what_was_stored(smiths, tmp_path):
    series = smiths.head(1).dicom.series().head(1)
    report = series.dicom.download(tmp_path)
    assert len(report) == len(list(tmp_path.rglob("*.dcm"))) >= 24
    again = series.dicom.download(tmp_path)
    assert len(again) == len(report)


def test_plot_draws_one_picture_a_row_and_says_what_it_leaves_out(smiths):
    figure = smiths.dicom.plot(columns=2, most=2)
    assert isinstance(figure, matplotlib.figure.Figure)
    texts = " ".join(text.get_text() for text in figure.findobj(lambda artist: hasattr(artist, "get_text")))
    assert f"{len(smiths) - 2} further rows" in texts
    assert "Smith" not in texts
    named = smiths.head(1).dicom.plot(titles="PatientName")
    texts = " ".join(text.get_text() for text in named.findobj(lambda artist: hasattr(artist, "get_text")))
    assert smiths["PatientName"][0] in texts
    with pytest.raises(TableError, match="titles"):
        smiths.dicom.plot(titles="Nothing")


def test_plot_shows_why_a_row_has_no_picture(smiths):
    ghost = smiths.head(1).copy()
    ghost["StudyInstanceUID"] = "1.2.3.4"
    figure = ghost.dicom.plot()
    texts = " ".join(text.get_text() for text in figure.findobj(lambda artist: hasattr(artist, "get_text")))
    assert "404: there are no instances" in texts


def test_delete_by_table_changes_only_what_it_names():
    with dfr.start_local() as local:
        client = local.connect()
        client.store([get_testdata_file(name, download=False) for name in ("CT_small.dcm", "MR_small.dcm")])
        studies = client.search_studies().to_frame()
        ct = studies[studies["PatientID"] == "1CT1"]
        assert len(ct.dicom.delete(dry_run=True)) == 1
        assert len(client.search_studies().to_frame()) == 2
        both = pd.concat([ct, ct.assign(StudyInstanceUID="1.2.3.404")]).dicom.use(client)
        outcome = both.dicom.delete()
        assert len(outcome) == 2
        assert outcome["error"].notna().sum() == 1
        assert client.search_studies().to_frame()["PatientID"].tolist() == ["4MR1"]


def test_a_table_finds_the_client_that_made_it_in_passing(cohort_service):
    studies = dfr.connect(cohort_service.url).search_studies(limit=1).to_frame()
    assert len(studies.dicom.series()) >= 1


def test_parquet_keeps_the_way_to_the_service(smiths, tmp_path):
    smiths.to_parquet(tmp_path / "smiths.parquet")
    again = pd.read_parquet(tmp_path / "smiths.parquet")
    assert len(again.head(1).dicom.series()) >= 1
    assert again.dicom.to_json() == smiths.dicom.to_json()


@pytest.mark.parametrize(
    ("table", "error", "words"),
    [
        (pd.DataFrame({"x": [1]}), TableError, "StudyInstanceUID"),
        (pd.DataFrame({"SeriesInstanceUID": ["1.2"]}), TableError, "StudyInstanceUID"),
        (pd.DataFrame({"StudyInstanceUID": ["1.2", None]}), TableError, "dropna"),
        (
            pd.DataFrame({"StudyInstanceUID": ["1.2"], "SOPInstanceUID": ["1.3"]}),
            TableError,
            "SeriesInstanceUID",
        ),
        (pd.DataFrame({"StudyInstanceUID": ["../x"]}), QueryError, "characters"),
    ],
)
def test_tables_that_lack_something(cohort_client, table, error, words):
    table.dicom.use(cohort_client)
    for verb in (
        table.dicom.instances,
        table.dicom.metadata,
        lambda: list(table.dicom.datasets()),
        table.dicom.plot,
        table.dicom.delete,
    ):
        with pytest.raises(error, match=words):
            verb()


def test_an_empty_table_gives_empty_tables(cohort_client, tmp_path):
    nobody = cohort_client.search_studies(PatientID="nobody").to_frame()
    assert nobody.dicom.series().empty
    assert nobody.dicom.series()["Modality"].dtype == "string"
    assert nobody.dicom.metadata(["KVP"])["KVP"].dtype == "Float64"
    assert nobody.dicom.download(tmp_path).empty
    assert nobody.dicom.delete().empty
    assert nobody.dicom.pixels().empty
    assert list(nobody.dicom.datasets()) == []


def test_a_table_without_a_service_says_what_to_do():
    table = dfr.from_json([{"0020000D": {"vr": "UI", "Value": ["1.2"]}}])
    with pytest.raises(NoClientError, match=r"df\.dicom\.use"):
        table.dicom.series()
    table.attrs["dicom"]["service"] = "http://127.0.0.1:9/nowhere"
    with pytest.raises(NoClientError, match="connect"):
        table.dicom.series()


def test_the_accessor_costs_nothing_to_make():
    table = pd.DataFrame({"x": [1]})
    assert table.dicom.issues().empty
    with pytest.raises(TableError):
        _ = table.dicom.level
    assert not hasattr(table.dicom, "level")


def test_doubled_uid_columns_are_refused(smiths):
    doubled = pd.concat([smiths, smiths[["StudyInstanceUID"]]], axis=1)
    for verb in (doubled.dicom.series, doubled.dicom.metadata, doubled.dicom.delete):
        with pytest.raises(TableError, match="several columns StudyInstanceUID"):
            verb()


def test_uids_in_the_index_are_found_out(smiths):
    indexed = smiths.set_index("StudyInstanceUID")
    with pytest.raises(TableError, match="reset_index"):
        indexed.dicom.series()
    with pytest.raises(TableError, match="reset_index"):
        _ = indexed.dicom.level


def test_only_a_client_is_a_client(smiths):
    with pytest.raises(QueryError, match=r"dfr\.connect\(\) gives, not str"):
        smiths.dicom.use("http://127.0.0.1")
