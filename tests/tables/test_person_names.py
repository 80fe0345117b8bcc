"""Parts of names and ages, by column."""

from datetime import date

import pandas as pd
import pyarrow as pa
import pytest

import dicomframe as dfr
from dicomframe.errors import TableError


def study(uid, name):
    return {
        "0020000D": {"vr": "UI", "Value": [uid]},
        "00100010": {"vr": "PN", **({"Value": [name]} if name else {})},
    }


@pytest.fixture(params=["numpy_nullable", "pyarrow"])
def people(request):
    people = [
        study("1", {"Alphabetic": "Smith^Anna^Maria^Dr^PhD"}),
        study("2", {"Alphabetic": "Yamada^Tarou", "Ideographic": "山田^太郎", "Phonetic": "やまだ^たろう"}),
        study("3", {"Alphabetic": "Wang^XiaoDong", "Ideographic": "王^小東"}),
        study("4", {"Alphabetic": "Wang^XiaoDong"}),
        study("5", None),
        study("6", "Kim^Min=金^敏"),
    ]
    return dfr.from_json(people, dtype_backend=request.param)


@pytest.fixture
def names(people):
    return people["PatientName"]


def listed(series):
    return [None if value is pd.NA else value for value in series]


def test_components_of_the_alphabetic_group(names):
    assert listed(names.dicom.family_name) == ["Smith", "Yamada", "Wang", "Wang", None, "Kim"]
    assert listed(names.dicom.given_name)[:2] == ["Anna", "Tarou"]
    assert listed(names.dicom.middle_name)[:2] == ["Maria", None]
    assert listed(names.dicom.name_prefix)[:2] == ["Dr", None]
    assert listed(names.dicom.name_suffix)[:2] == ["PhD", None]
    assert names.dicom.family_name.dtype == "string"


IDEOGRAPHIC = [None, "山田^太郎", None, None, None, "金^敏"]


def test_other_groups_are_found_or_missing_but_never_somebody_elses(people):
    parts = people.dicom.names()
    assert listed(parts["ideographic"]) == IDEOGRAPHIC
    assert listed(parts["phonetic"]) == [None, "やまだ^たろう", None, None, None, None]
    assert listed(parts["family_name"]) == ["Smith", "Yamada", "Wang", "Wang", None, "Kim"]
    with pytest.raises(TableError, match="no column"):
        people.dicom.names("Nobody")


@pytest.mark.skipif(
    pd.__version__.startswith("2"), reason="columns carry their table's attrs from pandas 3 on"
)
def test_a_column_finds_them_itself(names):
    assert listed(names.dicom.ideographic) == IDEOGRAPHIC
    assert listed(names.sort_values(ascending=False).dicom.ideographic.dropna()) == ["山田^太郎", "金^敏"]


def test_a_column_without_its_tables_notes_says_so():
    bare = pd.Series(["Yamada^Tarou", None])
    with pytest.raises(TableError, match=r"df\.dicom\.names"):
        _ = bare.dicom.ideographic


def test_ages_in_years():
    ages = pd.Series(["042Y", "042y", "018M", "026W", "N-A", None, "730D"], dtype="string").dicom.years
    assert ages.dtype == "Float64"
    assert [None if age is pd.NA else round(age, 2) for age in ages] == [
        42.0,
        42.0,
        1.5,
        0.5,
        None,
        None,
        2.0,
    ]


NAMES = ["Smith^Anna", None]
#: Columns of another kind, by what the refusal says of them.
WRONG_FOR_NAMES = {
    "holds Int64": pd.Series([1, None], dtype="Int64"),
    "holds int64": pd.Series([1, 2]),
    "holds int64.pyarrow": pd.Series([1, None], dtype="int64[pyarrow]"),
    "holds datetime64": pd.Series(["2024-01-15", None], dtype="datetime64[s]"),
    "holds timedelta64": pd.Series([None], dtype="timedelta64[us]"),
    "holds bool": pd.Series([True]),
    "holds float": pd.Series([1.5, None]),
    "holds date and int": pd.Series([1, date(2024, 1, 15), "Smith"], dtype=object),
    "holds lists": pd.Series([["Smith^Anna"], None]),
    "'StudyDescription' is LO": pd.Series(["CT^Head"], name="StudyDescription"),
    "'PatientAge' is AS": pd.Series([None], name="PatientAge", dtype="string"),
}
WRONG_FOR_AGES = {
    **{said: column for said, column in WRONG_FOR_NAMES.items() if "is " not in said},
    "'PatientName' is PN": pd.Series(NAMES, name="PatientName", dtype="string"),
    "'who' holds no age": pd.Series(NAMES, name="who"),
    "This column holds no age": pd.Series(NAMES, dtype="category"),
}
NAME_PARTS = [
    "family_name",
    "given_name",
    "middle_name",
    "name_prefix",
    "name_suffix",
    "ideographic",
    "phonetic",
]


@pytest.mark.parametrize("part", NAME_PARTS)
@pytest.mark.parametrize("said", WRONG_FOR_NAMES)
def test_a_column_of_another_kind_has_no_names(said, part):
    with pytest.raises(TableError, match=f"{said}.*; {part} needs person names"):
        getattr(WRONG_FOR_NAMES[said].dicom, part)


@pytest.mark.parametrize("said", WRONG_FOR_AGES)
def test_a_column_of_another_kind_has_no_ages(said):
    with pytest.raises(TableError, match=f"{said}.*; years needs ages .* 042Y") as refusal:
        _ = WRONG_FOR_AGES[said].dicom.years
    assert "Smith" not in str(refusal.value)


def test_a_table_tells_that_a_column_holds_no_names(people):
    with pytest.raises(TableError, match=r"'StudyDate'.* needs person names"):
        people.dicom.names("StudyDate")


@pytest.mark.parametrize(
    "dtype", ["object", "string", "float64", "category", "string[pyarrow]", "null[pyarrow]"]
)
@pytest.mark.parametrize("count", [0, 2])
def test_a_column_without_values_is_missing(dtype, count):
    kind = pd.ArrowDtype(pa.null()) if dtype == "null[pyarrow]" else dtype
    column = pd.Series([None] * count, dtype=kind)
    assert listed(column.dicom.years) == listed(column.dicom.family_name) == [None] * count


def test_ages_that_are_none_are_missing_where_the_column_is_one_of_ages():
    ages = pd.Series(["N-A", "soon"], name="PatientAge", dtype="string")
    assert listed(ages.dicom.years) == [None, None]


def test_texts_in_any_column_that_can_hold_them():
    for dtype in ("object", "category"):
        assert listed(pd.Series(NAMES, dtype=dtype).dicom.family_name) == ["Smith", None]
        assert listed(pd.Series(["018M", None], dtype=dtype, name="age").dicom.years) == [1.5, None]
