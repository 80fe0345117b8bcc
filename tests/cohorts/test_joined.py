"""Tables that are joined: no identifier and no key changes, and a file that is none says so without quoting it."""

import pandas as pd
import pytest

import dicomframe as dfr
from dicomframe.errors import QueryError, TableError


@pytest.fixture(scope="module")
def everybody():
    with dfr.start_local(samples=True) as local, local.connect(progress=False) as client:
        cohort = dfr.cohort(client).step("all")
        cohort.to_frame()
        yield cohort


def joined(cohort, table, on="PatientID", how="inner"):
    return cohort.step("joined", join=table, on=on, how=how).to_frame()


def test_identifiers_of_files_keep_their_zeros(everybody, tmp_path):
    """Also those that are not joined on."""
    first, second = everybody.to_frame()["PatientID"].unique()[:2]
    file = tmp_path / "arms.csv"
    file.write_text(f"PatientID,insurance,weight\n{first},0042,70.5\n{second},1.10,\n")
    table = joined(everybody, file).set_index("PatientID")
    assert set(table["insurance"]) == {"0042", "1.10"}
    assert table.dtypes["weight"] == "Float64"


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", r"cannot be read as \.csv"),
        (b"PatientID,arm\nSecret,1,2\n", "in no line more values than names"),
        (b"PatientID,arm\nSecret,1\nx,1,2\n", "in no line more values than names"),
        ("PatientID,arm\nM\u00fcller,1\n".encode("latin-1"), "no UTF-8"),
        (b"PatientID;arm\nSecret;1\n", "has no column 'PatientID'"),
    ],
    ids=["empty", "labels", "ragged", "latin", "semicolons"],
)
def test_files_that_are_none_say_so(everybody, tmp_path, content, words):
    """pandas takes the first values of longer lines for labels: each name would stand over its neighbour's values."""
    file = tmp_path / "arms.csv"
    file.write_bytes(content)
    with pytest.raises(TableError, match=words) as caught:
        joined(everybody, file)
    assert "Secret" not in str(caught.value)
    (tmp_path / "arms.parquet").write_bytes(content)
    with pytest.raises(TableError, match=r"cannot be read as \.parquet"):
        joined(everybody, tmp_path / "arms.parquet")


@pytest.mark.parametrize(
    "change",
    [
        lambda days: days.astype("datetime64[ns]") + pd.Timedelta("1ms"),
        lambda days: days.dt.tz_localize("UTC"),
    ],
    ids=["fraction", "zone"],
)
def test_keys_that_would_change_are_refused(everybody, change):
    """A moment cut to whole seconds would be found among days."""
    days = everybody.to_frame()["StudyDate"].drop_duplicates().reset_index(drop=True)
    assert len(joined(everybody, pd.DataFrame({"StudyDate": days, "x": 1}), "StudyDate")) > 0
    with pytest.raises(TableError, match="values that this cannot hold"):
        joined(everybody, pd.DataFrame({"StudyDate": change(days), "x": 1}), "StudyDate")


def test_what_is_no_table_and_a_name_that_stands_twice(everybody):
    table = pd.DataFrame({"PatientID": ["a"], "arm": ["b"]})
    with pytest.raises(TableError, match="two columns of the joined table have one name"):
        joined(everybody, table[["PatientID", "arm", "arm"]])
    with pytest.raises(QueryError, match="join= is a table or the path"):
        joined(everybody, table["PatientID"])
