"""Dates and times of whole columns, against the standard library and against the reader of single values."""

from datetime import date, datetime, timedelta

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dicomframe.tables.cells import read_value
from dicomframe.tables.moments import read_moments
from dicomframe.tables.schema import column_of

EPOCH = datetime(1970, 1, 1)  # noqa: DTZ001 - naive, as the columns are
COLUMNS = {"date": column_of("00080020"), "datetime": column_of("0008002A"), "time": column_of("00080030")}
texts = st.text(st.sampled_from("0123456789.+ :/é\0"), max_size=22) | st.sampled_from(
    "00000101 00010101 99991231 20240229 20230229 20240001 20240100 20241301 103000 240000 235960 006000 103000.000000"
    " 103000.000001 103000.5 1030000000000 20240131103000 20240131103000.250000 20240131103000.000000 20240131240000"
    " 20240131103000+0100 99991231235959.999999 00010101000000".split()
)


@settings(max_examples=250)
@given(kind=st.sampled_from(list(COLUMNS)), column=st.lists(texts, max_size=12), skip=st.integers(0, 3))
def test_what_is_read_at_once_is_what_is_read_one_by_one(kind, column, skip):
    # A slice, because a column may begin in the middle of its buffers.
    found = read_moments(kind, pa.array(["20240101"] * skip + column, pa.string()).slice(skip))
    single = [read_value(COLUMNS[kind], text) for text in column]
    for value, exact, expected in zip(found.values.tolist(), found.exact.tolist(), single, strict=True):
        if exact:
            assert expected.exact
            assert value == expected.value
        else:
            assert value == 0


@given(days=st.lists(st.dates(), min_size=1, max_size=20))
def test_all_days_of_the_calendar_are_read_at_once(days):
    found = read_moments("date", pa.array([f"{day.year:04}{day:%m%d}" for day in days]))
    assert found.exact.all()
    assert [date(1970, 1, 1) + timedelta(seconds=value) for value in found.values.tolist()] == days


@given(moments=st.lists(st.datetimes(), min_size=1, max_size=20))
def test_all_moments_are_read_at_once_whether_with_a_fraction_or_without(moments):
    written = [
        f"{one.year:04}{one:%m%d%H%M%S}" + (f".{one.microsecond:06}" if one.microsecond else "")
        for one in moments
    ]
    found = read_moments("datetime", pa.array(written))
    assert found.exact.all()
    assert [EPOCH + timedelta(microseconds=value) for value in found.values.tolist()] == moments


@pytest.mark.parametrize("kind", list(COLUMNS))
def test_no_rows_are_no_moments(kind):
    found = read_moments(kind, pa.array([], pa.string()))
    assert len(found.values) == len(found.exact) == 0
