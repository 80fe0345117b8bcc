"""What a search sends, without sending it."""

import datetime as dt
import itertools

import numpy as np
import pandas as pd
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from dicomframe.client.query import MOST_QUERIES, Query, build_queries
from dicomframe.errors import QueryError


def sent(level="study", **filters):
    """Give the parameters of the one query that filters make."""
    [query] = build_queries(level, filters=filters)
    return dict(query.params)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("2024-01-15", "20240115"),
        ("20240115", "20240115"),
        (" 20240115 ", "20240115"),
        (dt.date(2024, 1, 15), "20240115"),
        (dt.datetime(2024, 1, 15, 23, 59), "20240115"),  # noqa: DTZ001
        (pd.Timestamp("2024-01-15"), "20240115"),
        (pd.Timestamp("2024-01-15", tz="Asia/Tokyo"), "20240115"),
        (np.datetime64("2024-01-15"), "20240115"),
        (np.datetime64("2024-01-15T10:00:00", "ns"), "20240115"),
        (dt.date(987, 1, 2), "09870102"),
        ("20240101-20240131", "20240101-20240131"),
        ("2024-01-01-2024-01-31", "20240101-20240131"),
        ("20240101 - 20240131", "20240101-20240131"),
        ("20240101-", "20240101-"),
        ("-2024-01-31", "-20240131"),
        (("2024-01-01", "2024-01-31"), "20240101-20240131"),
        ((dt.date(2024, 1, 1), None), "20240101-"),
        ((None, pd.Timestamp("2024-01-31")), "-20240131"),
        (slice("2024-01-01", None), "20240101-"),
        (("20240101", "20240101"), "20240101-20240101"),
    ],
)
def test_dates(value, text):
    assert sent(StudyDate=value) == {"StudyDate": text}


@pytest.mark.parametrize(
    "value",
    ["", " ", "-", "yesterday", "2024", "2024-13-01", "20240230", "2024*", "15.01.2024", "20240115-20240116-",
     ("2024-02-01", "2024-01-31"), ("20240201-20240301", None), (None, None), ("2024-01-01",), ("a", "b"),
     (1, 2, 3), slice("2024-01-01", "2024-02-01", 7), 20240115, 2024.0, True, None, pd.NaT, pd.NA, float("nan"),
     (pd.NaT, "2024-01-01"), ("", "2024-01-01"), dt.time(1), b"20240115", {"a": 1}, "20240201-20240101"],
)  # fmt: skip
def test_dates_that_are_refused(value):
    with pytest.raises(QueryError, match="StudyDate"):
        build_queries("study", filters={"StudyDate": value})


@given(st.dates(), st.dates())
def test_a_range_is_refused_exactly_when_it_is_reversed(start, end):
    if start <= end:
        text = sent(StudyDate=(start, end))["StudyDate"]
        assert [dt.datetime.strptime(part, "%Y%m%d").date() for part in text.split("-")] == [start, end]  # noqa: DTZ007
    else:
        with pytest.raises(QueryError, match="reversed"):
            sent(StudyDate=(start, end))


@pytest.mark.parametrize(
    ("value", "text"),
    [("10:30", "1030"), ("103000", "103000"), ("10:30:15.25", "103015.25"), (dt.time(9, 5), "090500"),
     (dt.time(9, 5, 1, 20), "090501.000020"), (dt.timedelta(hours=9), "090000"), (pd.Timedelta("09:00:01"), "090001"),
     ((dt.time(9), dt.time(12)), "090000-120000"), ("0900-1200", "0900-1200"), (("23", None), "23-"),
     ("235960", "235960")],
)  # fmt: skip
def test_times(value, text):
    assert sent(StudyTime=value) == {"StudyTime": text}


@pytest.mark.parametrize("value", ["25", "1061", "noon", dt.timedelta(days=2), 9, ("12", "09"), "1:30", "-"])
def test_times_that_are_refused(value):
    with pytest.raises(QueryError, match="StudyTime"):
        sent(StudyTime=value)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (dt.datetime(2024, 1, 15, 10, 30), "20240115103000"),  # noqa: DTZ001
        (dt.datetime(2024, 1, 15, 10, 30, 0, 5, tzinfo=dt.UTC), "20240115103000.000005+0000"),
        ("2024-01-15T10:30:00", "20240115103000"),
        ("20240115-20240116", "20240115-20240116"),
        ("20240115103000-0500", "20240115103000-0500"),
        (dt.date(2024, 1, 15), "20240115"),
        ((dt.date(2024, 1, 15), None), "20240115-"),
    ],
)
def test_datetimes(value, text):
    assert sent(AcquisitionDateTime=value) == {"AcquisitionDateTime": text}


@pytest.mark.parametrize("value", ["soon", 5, ("2025", "2024")])
def test_datetimes_that_are_refused(value):
    with pytest.raises(QueryError):
        sent(AcquisitionDateTime=value)


@pytest.mark.parametrize(
    ("keyword", "value", "text"),
    [("SeriesNumber", 3, "3"), ("SeriesNumber", "3", "3"), ("SeriesNumber", 3.0, "3"), ("Rows", np.int64(512), "512"),
     ("PatientWeight", 70.5, "70.5"), ("PatientWeight", "70.5", "70.5"), ("PatientWeight", 70, "70"),
     ("KVP", np.float64(1e-7), "1e-07"), ("PatientName", "Smith^J?hn*", "Smith^J?hn*"),
     ("PatientName", "Yamada^Tarou=山田", "Yamada^Tarou=山田"),
     ("PatientAge", "042Y", "042Y"), ("StudyInstanceUID", "1.2.3 ", "1.2.3"), ("SmallestImagePixelValue", "5", "5"),
     ("00091001", "private", "private")],
)  # fmt: skip
def test_other_values(keyword, value, text):
    assert sent(**{keyword: value}) == {keyword: text}


@pytest.mark.parametrize(
    ("keyword", "value"),
    [("SeriesNumber", 2.5), ("SeriesNumber", True), ("SeriesNumber", "two"), ("Rows", None), ("SeriesNumber", np.True_),
     ("PatientWeight", "heavy"), ("PatientWeight", float("inf")), ("PatientName", 5), ("PatientName", b"Smith"),
     ("PatientName", "a\\b"), ("PatientName", "a\nb"), ("PatientID", ("a", "b")), ("PatientID", slice("a", "b")),
     ("PatientID", ["a", None]), ("PatientID", pd.NA), ("PatientID", {"a": 1}), ("StudyInstanceUID", "1.2/../3"),
     ("StudyInstanceUID", "1.2*"), ("StudyInstanceUID", "."), ("PixelData", "x"), ("ReferencedStudySequence", "x"),
     ("SeriesNumber", (1, 5))],
)  # fmt: skip
def test_other_values_that_are_refused(keyword, value):
    with pytest.raises(QueryError, match=keyword):
        sent(**{keyword: value})


@given(st.text(min_size=1))
def test_text_goes_out_as_it_is_or_is_refused(text):
    assume(text.strip())
    try:
        assert sent(PatientID=text) == {"PatientID": text}
    except QueryError as error:
        assert "\\" in text or any(character < " " or character == "\x7f" for character in text)
        # The value may identify someone; words of the message itself are not it.
        assert len(text) < 4 or text not in str(error)  # noqa: PT017


# -- names -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "advice"),
    [("PatientsName", "PatientName"), ("patientName", "PatientName"), ("patient_name", "PatientName"),
     ("limt", "limit"), ("pagesize", "page_size"), ("Modalities", "Modalit"), ("0010001", "keyword"),
     ("fuzzymatching", "fuzzy")],
)  # fmt: skip
def test_unknown_names_get_advice(name, advice):
    with pytest.raises(QueryError, match=advice):
        sent(**{name: "x"})


def test_tags_by_number_become_keywords():
    assert sent(**{"00100020": "a"}) == {"PatientID": "a"}
    assert sent(**{"0010,0020": "a"}) == {"PatientID": "a"}
    assert sent(**{"0009100a": "a"}) == {"0009100A": "a"}
    with pytest.raises(QueryError, match="twice"):
        sent(**{"00100020": "a", "PatientID": "b"})
    with pytest.raises(QueryError):
        build_queries("study", filters={5: "x"})


def test_controls():
    [query] = build_queries("study", filters={}, fuzzy=True, fields=["PatientAge", "00100040", "PatientAge"])
    assert query.params == (
        ("fuzzymatching", "true"), ("includefield", "PatientAge"), ("includefield", "PatientSex"),
    )  # fmt: skip
    [query] = build_queries("study", filters={}, fields=["PatientAge", "all"])
    assert query.params == (("includefield", "all"),)
    for wrong in ({"fuzzy": "yes"}, {"fields": ["Nonsense"]}, {"fields": [5]}):
        with pytest.raises(QueryError):
            build_queries("study", filters={}, **wrong)


# -- lists -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "several",
    [["CT", "MR", "CT"], {"CT": 0, "MR": 0}.keys(), pd.Series(["CT", "MR"]), np.array(["CT", "MR"]),
     pd.Index(["CT", "MR"]), pd.Categorical(["CT", "MR"]), pd.array(["CT", "MR"], dtype="string"),
     (each for each in ["CT", "MR"])],
)  # fmt: skip
def test_a_list_means_any_of(several):
    queries = build_queries("study", filters={"ModalitiesInStudy": several})
    assert [dict(query.params)["ModalitiesInStudy"] for query in queries] == ["CT", "MR"]


@given(st.lists(st.integers(0, 50), max_size=5), st.lists(st.sampled_from("abc"), max_size=4))
def test_lists_make_every_combination_once(numbers, letters):
    queries = build_queries("series", filters={"SeriesNumber": numbers, "PatientID": letters})
    made = [(dict(query.params)["SeriesNumber"], dict(query.params)["PatientID"]) for query in queries]
    expected = itertools.product(dict.fromkeys(map(str, numbers)), dict.fromkeys(letters))
    assert made == list(expected)


def test_nothing_matches_an_empty_list():
    assert build_queries("study", filters={"PatientID": []}) == []


def test_lists_of_ranges_and_nested_lists():
    queries = build_queries("study", filters={"StudyDate": [("2024-01-01", "2024-01-31"), ["2024-03-01"]]})
    assert [query.params[0][1] for query in queries] == ["20240101-20240131", "20240301"]


def test_too_many_combinations_are_a_mistake():
    with pytest.raises(QueryError, match="combinations"):
        build_queries("study", filters={"SeriesNumber": range(200), "Rows": range(MOST_QUERIES // 100)})


# -- where -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("level", "uids", "routes"),
    [
        ("study", {}, ["studies"]),
        ("series", {}, ["series"]),
        ("series", {"study_uid": "1.2"}, ["studies/1.2/series"]),
        ("series", {"study_uid": ["1.2", "1.3", "1.2"]}, ["studies/1.2/series", "studies/1.3/series"]),
        ("instance", {}, ["instances"]),
        ("instance", {"study_uid": "1.2"}, ["studies/1.2/instances"]),
        ("instance", {"study_uid": "1.2", "series_uid": "1.2.3"}, ["studies/1.2/series/1.2.3/instances"]),
        ("instance", {"study_uid": []}, []),
    ],
)
def test_routes(level, uids, routes):
    assert [query.route for query in build_queries(level, filters={}, **uids)] == routes


def test_a_series_without_its_study_is_a_filter():
    assert build_queries("instance", filters={}, series_uid="1.2") == [
        Query("instances", (("SeriesInstanceUID", "1.2"),))
    ]


@pytest.mark.parametrize(
    "arguments",
    [
        {"study_uid": "1.2", "filters": {"StudyInstanceUID": "1.2"}},
        {"study_uid": "1.2", "filters": {"0020000D": "1.2"}},
        {"series_uid": "1.2", "filters": {"SeriesInstanceUID": "1.2"}},
        {"study_uid": "../etc", "filters": {}},
        {"study_uid": 5, "filters": {}},
        {"study_uid": ["1.2", None], "filters": {}},
    ],
)
def test_uids_that_are_refused(arguments):
    with pytest.raises(QueryError):
        build_queries("instance", **arguments)


def test_what_may_identify_someone_is_marked():
    [query] = build_queries(
        "study",
        filters={"PatientName": "Smith", "PatientBirthDate": "19800101", "StudyDate": "20240101",
                 "AccessionNumber": "A1", "ModalitiesInStudy": "CT"},
    )  # fmt: skip
    assert query.private == ("Smith", "19800101", "A1")


def test_a_table_stands_for_its_uids_and_for_no_list_of_values():
    table = pd.DataFrame({"StudyInstanceUID": ["1.2", "1.3", "1.2"], "SeriesInstanceUID": ["1", "2", "3"]})
    queries = build_queries("series", study_uid=table, filters={})
    assert [query.route for query in queries] == ["studies/1.2/series", "studies/1.3/series"]
    assert build_queries("series", study_uid=table.head(0), filters={}) == []
    [query] = build_queries("instance", study_uid="1.2", series_uid=table.head(1), filters={})
    assert query.route == "studies/1.2/series/1/instances"
    for refused in (
        {"study_uid": table[["SeriesInstanceUID"]], "filters": {}},
        {"study_uid": pd.concat([table, table], axis=1), "filters": {}},
        {"filters": {"PatientID": table}},
    ):
        with pytest.raises(QueryError):
            build_queries("series", **refused)


def test_fields_that_are_no_list():
    with pytest.raises(QueryError, match="fields must be"):
        build_queries("study", filters={}, fields=5)
