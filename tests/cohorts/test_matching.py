"""Filters on a table say what the service says: its own judgement, made by other code, is the oracle."""

from datetime import date

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

import dicomframe as dfr
from dicomframe.cohorts.matching import match_column
from dicomframe.errors import QueryError, TableError


def column(tag, vr, values):
    rows = [{tag: {"vr": vr, "Value": [value]} if value is not None else {"vr": vr}} for value in values]
    return dfr.from_json(rows)


@pytest.mark.parametrize(
    "filters",
    [
        {"PatientID": "df104*"},
        {"PatientID": "*12*"},
        {"PatientID": ["nobody", "*2"]},
        {"PatientID": "df10698?"},
        {"PatientName": "*a"},
        {"PatientName": "SMITH*"},
        {"PatientName": "lefevre*"},
        {"PatientName": "?o*"},
        {"StudyDate": "20240101-20241231"},
        {"StudyDate": ("2024-01-19", "2024-02-19")},
        {"StudyDate": (None, date(2023, 1, 1))},
        {"StudyDate": [(None, "20220601"), ("20250601", None)]},
        {"StudyDescription": "*ct*"},
        {"ModalitiesInStudy": "CT"},
        {"ModalitiesInStudy": ["MR", "US"]},
        {"AccessionNumber": "a24*"},
        {"PatientBirthDate": ("1900-01-01", "1970-01-01")},
        {"ReferringPhysicianName": "t*^*"},
    ],
    ids=lambda filters: "".join(filters) + str(len(str(filters))),
)
def test_a_table_is_filtered_as_the_service_filters(cohort_client, filters):
    everything = cohort_client.search_studies(fields=["ModalitiesInStudy"]).to_frame()
    (name, wanted), *_ = filters.items()
    ours = set(everything["StudyInstanceUID"][match_column(everything, name, wanted).yes])
    theirs = set(cohort_client.search_studies(**filters).to_frame()["StudyInstanceUID"])
    assert ours == theirs
    assert 0 < len(theirs) < len(everything)


WORDS = st.text(alphabet="aAäÄbß^ *?.[", min_size=1, max_size=5)


@given(st.lists(WORDS, min_size=1, max_size=8), WORDS)
def test_a_pattern_matches_as_a_reader_of_the_standard_would(values, pattern):
    def matches(value, rest):
        if not rest:
            return not value
        if rest[0] == "*":
            return any(matches(value[at:], rest[1:]) for at in range(len(value) + 1))
        return bool(value) and (rest[0] in {"?", value[0]}) and matches(value[1:], rest[1:])

    values = [value for value in values if value.strip()]
    if not pattern.strip() or not values:
        return
    table = pd.DataFrame({"StudyDescription": pd.array(values, dtype="string")})
    found = match_column(table, "StudyDescription", pattern)
    folded = [value.strip().casefold() for value in values]
    assert found.yes.tolist() == [matches(value, pattern.strip().casefold()) for value in folded]


@pytest.mark.parametrize("backend", ["numpy_nullable", "pyarrow"])
@pytest.mark.parametrize(
    ("tag", "vr", "values", "wanted", "yes", "unknown"),
    [
        ("00101010", "AS", ["017Y", "018Y", "216M", "N-A", None], (18, None), [1, 2], [3, 4]),
        ("00101010", "AS", ["017Y", "018Y"], "018y", [1], []),
        ("00101010", "AS", ["006M", "002Y"], (None, "012M"), [0], []),
        ("00200013", "IS", [1, 2, 3, None], (2, 3), [1, 2], [3]),
        ("00200013", "IS", [1, 2, 3], [1, "3"], [0, 2], []),
        ("00180050", "DS", [0.5, 1.25, 5], slice(None, 1.25), [0, 1], []),
        ("00080030", "TM", ["103000", "1030", "103000.5", None], "10:30", [0, 1], [3]),
        ("00080030", "TM", ["0900", "120000"], ("10:00", None), [1], []),
        ("0008002A", "DT", ["20240115103000", "20240115"], ("2024-01-15T10:00:00", None), [0], []),
        ("0008002A", "DT", ["20240115103000+0200"], ("2024-01-15T08:30:00", "2024-01-15T08:30:00"), [0], []),
        ("00080020", "DA", ["18800101", "20240115", None], date(1880, 1, 1), [0], [2]),
        ("00080020", "DA", ["20240115"], pd.Timestamp("2024-01-15 17:00"), [0], []),
        ("00080020", "DA", ["20240115"], np.datetime64("2024-01-15"), [0], []),
        ("00100040", "CS", ["F", "M", None], "f", [0], [2]),
        ("00100010", "PN", [{"Alphabetic": "Müller^Änne"}, {"Alphabetic": "Muller"}], "MULLER*", [0, 1], []),
        ("00080018", "UI", ["1.2.3", "1.2.30"], "1.2.3", [0], []),
    ],
)
def test_values_of_each_kind(backend, tag, vr, values, wanted, yes, unknown):
    rows = [{tag: {"vr": vr, "Value": [value]} if value is not None else {"vr": vr}} for value in values]
    table = dfr.from_json(rows, dtype_backend=backend)
    found = match_column(
        table, dfr.from_json(rows[:1]).columns[list(table.columns).index(_name(tag))], wanted
    )
    assert np.flatnonzero(found.yes).tolist() == yes
    assert np.flatnonzero(found.unknown).tolist() == unknown


def _name(tag):
    from dicomframe.dicom.tags import from_tag

    return from_tag(tag).column


@pytest.mark.parametrize("backend", ["numpy_nullable", "pyarrow"])
def test_one_of_several_values_is_enough(backend):
    rows = [
        {"00080008": {"vr": "CS", "Value": value}} for value in (["ORIGINAL", "PRIMARY"], ["DERIVED"], [])
    ]
    table = dfr.from_json(rows, dtype_backend=backend)
    found = match_column(table, "ImageType", ["primary", "x"])
    assert found.yes.tolist() == [True, False, False]
    assert found.unknown.tolist() == [False, False, True]


def test_columns_from_elsewhere_go_by_their_dtype():
    table = pd.DataFrame(
        {
            "died": pd.array([True, False, None], dtype="boolean"),
            "score": [1.5, 2.5, np.nan],
            "seen": pd.to_datetime(["2024-01-15 10:00", None, "2025-01-01 00:00"]),
            "site": ["Bonn", "bern", None],
            "plain": [True, False, True],
        }
    )
    assert match_column(table, "died", True).yes.tolist() == [True, False, False]
    assert match_column(table, "plain", False).yes.tolist() == [False, True, False]
    assert match_column(table, "died", True).unknown.tolist() == [False, False, True]
    assert match_column(table, "score", (2, None)).yes.tolist() == [False, True, False]
    assert match_column(table, "seen", ("2024-01-15", "2024-01-15")).yes.tolist() == [True, False, False]
    assert match_column(table, "site", "B?rn").yes.tolist() == [False, True, False]


@pytest.mark.parametrize(
    ("name", "wanted"),
    [
        ("PatientID", 7),
        ("PatientID", ""),
        ("PatientID", ("a", "b")),
        ("PatientID", None),
        ("PatientID", {"from": 1}),
        ("StudyDate", "yesterday"),
        ("StudyDate", ("2024-02-01", "2024-01-01")),
        ("StudyDate", (None, None)),
        ("StudyDate", (1, 2, 3)),
        ("StudyDate", slice(1, 2, 3)),
        ("StudyDate", 20240115),
        ("InstanceNumber", "one"),
        ("InstanceNumber", True),
        ("InstanceNumber", float("nan")),
        ("PatientAge", ("old", None)),
        ("ReferencedSeriesSequence", "x"),
        ("PixelData", "x"),
        ("died", "yes"),
    ],
)
def test_what_cannot_be_held_against_is_refused_without_the_value(name, wanted):
    table = dfr.from_json(
        [
            {
                "00100020": {"vr": "LO", "Value": ["P"]},
                "00080020": {"vr": "DA", "Value": ["20240115"]},
                "00200013": {"vr": "IS", "Value": [1]},
                "00101010": {"vr": "AS", "Value": ["018Y"]},
                "00081115": {"vr": "SQ", "Value": [{}]},
                "7FE00010": {"vr": "OW", "BulkDataURI": "x"},
            }
        ]
    ).assign(died=True)
    with pytest.raises(QueryError) as caught:
        match_column(table, name, wanted)
    said = str(caught.value)
    assert not any(word in said for word in ("yesterday", "'old'", "'one'"))


def test_a_column_that_is_not_there_or_there_twice():
    with pytest.raises(TableError, match="There is no column 'KVP'"):
        match_column(pd.DataFrame({"a": [1]}), "KVP", 1)
    with pytest.raises(TableError, match="several columns"):
        match_column(pd.DataFrame([[1, 2]], columns=["a", "a"]), "a", 1)


def test_an_empty_table():
    found = match_column(dfr.from_json([], level="study"), "StudyDate", "2024-01-15")
    assert (len(found.yes), len(found.unknown)) == (0, 0)
