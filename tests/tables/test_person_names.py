"""Parts of names and ages, by column."""

import pandas as pd
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
