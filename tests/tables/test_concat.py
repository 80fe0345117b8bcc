"""`dfr.concat` keeps the columns that users made themselves, as `pandas.concat` does."""

import pandas as pd
import pytest

import dicomframe as dfr
from dicomframe.errors import TableError

LARGE = 2**53 + 1  # no float


def table(*uids, **own):
    rows = [
        {"0020000D": {"vr": "UI", "Value": [uid]}, "00200013": {"vr": "IS", "Value": ["one"]}} for uid in uids
    ]
    return dfr.from_json(rows).assign(**own)


def test_own_columns_come_behind_those_of_dicom():
    one = table("1", "2", arm=["a", "b"], score=[0.5, None])
    other = table("3", note=["late"], arm=["c"])
    other["StudyDate"] = pd.Timestamp("2024-01-15")
    joined = dfr.concat([one[["arm", *one.columns[:-2], "score"]], other])
    assert list(joined.columns[-3:]) == ["arm", "score", "note"]
    assert "StudyDate" in joined.columns[:-3]
    alone = pd.concat([one[["arm", "score"]], other[["arm", "note"]]], ignore_index=True)
    pd.testing.assert_frame_equal(joined[["arm", "score", "note"]], alone[["arm", "score", "note"]])
    assert joined["StudyInstanceUID"].tolist() == ["1", "2", "3"]
    assert len(joined.dicom.issues()) == 3
    assert len(joined.dicom.to_json()) == 3


def test_as_convert_dtypes_keeps_them():
    one = table("1", arm=["a"], when=pd.Timestamp("2024-01-15", tz="UTC"), kind=pd.Categorical(["x"]))
    pd.testing.assert_frame_equal(dfr.concat([one]), one.dicom.convert_dtypes())
    both = dfr.concat([one, one])
    assert both["when"].dtype == one["when"].dtype
    assert both["kind"].dtype == "category"


def test_no_value_is_changed_where_a_table_lacks_the_column():
    one = table("1", number=[LARGE], of=[True], small=pd.array([200], dtype="uint8"))
    joined = dfr.concat([one, table("2")])
    assert joined["number"].tolist() == [LARGE, pd.NA]
    assert joined["of"].tolist() == [True, pd.NA]
    assert joined.dtypes[["number", "of", "small"]].astype(str).tolist() == ["Int64", "boolean", "UInt8"]
    assert dfr.concat([one, one])["number"].dtype == one["number"].dtype
    assert dfr.concat([one, table()])["number"].dtype == one["number"].dtype


def test_tables_without_rows_or_indexes_of_their_own():
    assert "arm" in dfr.concat([table(arm=[]), table("1")]).columns
    one = table("1", "2", arm=["a", "b"]).set_index(pd.Index([7, 7]))
    assert dfr.concat([one, one.iloc[::-1]])["arm"].tolist() == ["a", "b", "b", "a"]
    assert len(dfr.concat([])) == 0
    assert dfr.concat([table("1", **{"1": 5}).rename(columns={"1": 1})])[1].tolist() == [5]


def test_a_column_called_sequence_makes_no_change_feed():
    joined = dfr.concat([table("1", sequence=["T1"]), table("2")])
    assert "timestamp" not in joined.columns
    assert joined["sequence"].fillna("").tolist() == ["T1", ""]


def test_own_columns_of_a_change_feed():
    entry = {"sequence": 1, "studyInstanceUid": "1.2", "action": "create", "state": "current"}
    joined = dfr.concat([dfr.from_change_feed([entry]).assign(seen=True), dfr.from_change_feed([entry])])
    assert joined.columns[-1] == "seen"
    assert joined["seen"].tolist() == [True, pd.NA]
    assert joined["sequence"].tolist() == [1, 1]


def test_two_columns_of_one_name_are_refused():
    one = table("1", arm=["a"])
    with pytest.raises(TableError, match="same name"):
        dfr.concat([pd.concat([one, one[["arm"]]], axis=1)])
