"""Tables as users leave them: edited, merged, read from a text file. No value changes silently, none is lost."""

import datetime as dt
import io

import numpy as np
import pandas as pd
import pytest

import dicomframe as dfr
from dicomframe.errors import TableError, ValueRefused

STUDY = {
    "00080020": {"vr": "DA", "Value": ["20240131"]},
    "00080030": {"vr": "TM", "Value": ["001530"]},
    "00080061": {"vr": "CS", "Value": ["CT", "MR"]},
    "00100010": {"vr": "PN", "Value": [{"Alphabetic": "Smith^Anna"}]},
    "00100020": {"vr": "LO", "Value": ["0042"]},
    "0020000D": {"vr": "UI", "Value": ["1.2"]},
}


def written(keyword, cells):
    """What `to_json` writes of a column that a user put in."""
    cells = cells if isinstance(cells, pd.Series) else pd.Series(cells)
    rows = pd.DataFrame({keyword: cells}).dicom.to_json()
    return [next(iter(row.values()))["Value"][0] if row else None for row in rows]


@pytest.mark.parametrize(
    "cells",
    [
        [20240131],
        [20240131.0],
        ["20240131"],
        ["2024-01-31"],
        [dt.date(2024, 1, 31)],
        [dt.datetime(2024, 1, 31)],  # noqa: DTZ001 - a naive day is the case
        pd.Series([20240131], dtype="Int64"),
        pd.Series([20240131], dtype="int64[pyarrow]"),
        pd.Series(["2024-01-31"], dtype="string"),
        pd.Series(["2024-01-31"], dtype="category"),
        pd.Series([pd.Timestamp("2024-01-31")], dtype=object),
        pd.to_datetime(pd.Series(["2024-01-31"])).dt.tz_localize("Europe/Vienna"),
        pd.to_datetime(pd.Series(["2024-01-31"])).dt.tz_localize("America/New_York"),
        pd.Series([pd.Timestamp("2024-01-31", tz="Europe/Vienna")], dtype=object),
        np.array(["2024-01-31"], "datetime64[ns]"),
    ],
    ids=lambda cells: f"{type(cells[0]).__name__}-{getattr(cells, 'dtype', 'list')}",
)
def test_a_day_is_that_day_however_it_is_written(cells):
    assert written("StudyDate", cells) == ["20240131"]


@pytest.mark.parametrize(
    ("keyword", "cells"),
    [
        ("StudyDate", [5]),
        ("InstanceNumber", [pd.Timedelta("1s")]),
        ("InstanceNumber", [pd.Timestamp("2024-01-31")]),
        ("InstanceNumber", [True]),
        ("SliceThickness", [True]),
        ("StudyTime", [pd.Timedelta("25h")]),
        ("StudyTime", [pd.Timedelta("-1s")]),
        ("StudyTime", ["1 days 01:00:00"]),
        ("StudyDate", [20240131.5]),
        ("StudyDate", [True]),
        ("StudyDate", ["31.01.2024"]),
        ("StudyDate", [pd.Timestamp("2024-01-31 10:30")]),
        ("StudyDate", [pd.Timedelta("1D")]),
        ("StudyTime", [1530]),  # 15:30:00, or 00:15:30 without its zeros
        ("StudyTime", [pd.Timestamp("2024-01-31 10:30")]),
        ("AcquisitionDateTime", [20240131]),
        ("InstanceNumber", [1.5]),
        ("InstanceNumber", ["one"]),
        ("ModalitiesInStudy", ["['CT', 'MR']"]),
        ("ProcedureCodeSequence", ["[{'CodeValue': '1'}]"]),
        ("PatientID", [["a", "b"]]),
    ],
)
def test_what_a_vr_does_not_allow_is_refused_and_never_guessed(keyword, cells):
    table = pd.DataFrame({keyword: cells})
    with pytest.raises(TableError, match=f"{keyword} no longer holds what its VR"):
        table.dicom.to_json()
    typed = table.dicom.convert_dtypes()
    assert typed[keyword].isna().all()
    assert typed.dicom.issues()["raw"].str.contains(str(cells[0]), regex=False).all()
    with pytest.raises(ValueRefused):
        table.dicom.convert_dtypes(errors="raise")


def test_times_of_day_and_moments():
    assert written("StudyTime", ["0 days 00:15:30"]) == ["001530"]
    assert written("StudyTime", ["00:15:30"]) == ["001530"]
    assert written("StudyTime", ["001530"]) == ["001530"]
    assert written("StudyTime", [dt.time(0, 15, 30)]) == ["001530"]
    assert written("StudyTime", [pd.Timedelta("15min30s"), None]) == ["001530", None]
    assert written("AcquisitionDateTime", ["2024-01-31 10:30:00.5"]) == ["20240131103000.500000"]


@pytest.mark.parametrize("backend", ["numpy_nullable", "pyarrow"])
def test_a_typed_table_comes_back_from_a_text_file(backend):
    table = dfr.from_json([STUDY, {"0020000D": {"vr": "UI", "Value": ["1.3"]}}], dtype_backend=backend)
    table = table.drop(columns="ModalitiesInStudy").assign(arm=["a", "b"])
    text = io.StringIO(table.to_csv(index=False))
    read = pd.read_csv(text, dtype={"PatientID": "string"}).dicom.convert_dtypes(dtype_backend=backend)
    pd.testing.assert_frame_equal(
        read.drop(columns="arm"), table.drop(columns="arm"), check_index_type=False, check_column_type=False
    )
    assert read["arm"].tolist() == ["a", "b"]
    assert read.dicom.issues().empty


def test_a_merged_table_is_converted_by_its_values():
    table = dfr.from_json([STUDY])
    merged = table.merge(pd.DataFrame({"PatientID": ["0042"], "arm": ["a"]}), on="PatientID")
    typed = merged.dicom.convert_dtypes()
    assert typed.dtypes["StudyDate"] == "datetime64[s]"
    assert typed.dicom.to_json() == [STUDY]
    assert typed["arm"].tolist() == ["a"]


def test_own_columns_of_a_typed_table_stay():
    typed = dfr.from_json([STUDY]).assign(arm="a").set_index(pd.Index(["row"])).dicom.convert_dtypes()
    assert typed.loc["row", "arm"] == "a"
    assert typed.dicom.to_json() == [STUDY]


def test_an_empty_table_of_values_keeps_its_level():
    table = dfr.from_json([], level="instance")
    table.attrs.clear()
    assert table.dicom.convert_dtypes().dicom.level == "instance"


def test_names_of_several_levels_are_refused_rather_than_left_out():
    table = dfr.from_json([STUDY])
    table.columns = pd.MultiIndex.from_product([["a"], table.columns])
    with pytest.raises(TableError, match="several levels"):
        table.dicom.to_json()
    with pytest.raises(TableError, match="several levels"):
        table.dicom.convert_dtypes()


def test_the_schema_of_a_table_with_doubled_columns():
    table = dfr.from_json([STUDY])[["StudyDate", "StudyDate"]]
    assert table.dicom.schema["values"].tolist() == [1, 1]


def test_concat_takes_a_list_of_tables():
    with pytest.raises(TableError, match="Give a list"):
        dfr.concat(dfr.from_json([STUDY]))
    with pytest.raises(TableError, match="Give a list"):
        dfr.concat(["a"])


def test_cells_of_numpy_among_others():
    assert written("StudyDate", pd.Series([np.datetime64("NaT"), "20240131"], dtype=object)) == [
        None,
        "20240131",
    ]
    assert written("StudyTime", pd.Series([np.timedelta64("NaT"), "0101"], dtype=object)) == [None, "010100"]
    days = pd.Series([np.datetime64("2024-01-31")], dtype=object)
    assert written("AcquisitionDateTime", days) == ["20240131000000"]


def test_a_leap_second_is_a_time_of_day():
    assert written("StudyTime", [pd.Timedelta("24h")]) == ["235960"]


@pytest.mark.parametrize(
    ("name", "cell"), [("note", {"by": "me"}), ("note", {"vr": "me"}), ("PatientComments", {"by": "me"})]
)
def test_objects_in_a_column_make_no_json_of_the_others(name, cell):
    merged = dfr.from_json([STUDY]).assign(**{name: [cell]})
    merged.attrs.clear()
    typed = merged.dicom.convert_dtypes()
    assert typed["StudyInstanceUID"].tolist() == ["1.2"]
    assert len(typed.dicom.issues()) == (name == "PatientComments")
