"""Single values: what is accepted, refused and told, with pydicom as oracle for dates and times."""

import contextlib
import math
from datetime import UTC, date, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom.valuerep import DA, DT, TM

from dicomframe.dicom.tags import ALL_VRS
from dicomframe.dicom.values import INTEGER_RANGE, PersonName, age_in_years, parse
from dicomframe.dicom.values import format as format_value

TEXT_VRS = sorted("AE AS CS LO LT SH ST UC UI UN UR UT".split())
NAMES = ["Alphabetic", "Ideographic", "Phonetic"]


@pytest.mark.parametrize(
    ("vr", "raw", "expected"),
    [
        ("DA", "18800101", date(1880, 1, 1)),
        ("DA", "20240229", date(2024, 2, 29)),
        ("DA", "1993.08.22", date(1993, 8, 22)),
        ("DA", "20240115\0", date(2024, 1, 15)),
        ("TM", "07", timedelta(hours=7)),
        ("TM", "070907.0705 ", timedelta(hours=7, minutes=9, seconds=7, microseconds=70_500)),
        ("TM", "07:09:07", timedelta(hours=7, minutes=9, seconds=7)),
        ("TM", "235960", timedelta(days=1)),
        ("DT", "2024", datetime(2024, 1, 1)),  # noqa: DTZ001 - DT without an offset is naive
        ("DT", "20240115143000.5+0100", datetime(2024, 1, 15, 13, 30, 0, 500_000, tzinfo=UTC)),
        ("DT", "199609051450-0530", datetime(1996, 9, 5, 20, 20, tzinfo=UTC)),
        ("IS", "12", 12),
        ("IS", " +012 ", 12),
        ("IS", "12.0", 12),
        ("IS", 12.0, 12),
        ("SV", "-9223372036854775808", -(2**63)),
        ("UV", 2**64 - 1, 2**64 - 1),
        ("DS", "1.5e3", 1500.0),
        ("DS", ".5", 0.5),
        ("DS", 3, 3.0),
        ("FL", "0.25", 0.25),
        ("FD", "-Infinity", -math.inf),
        ("FL", "inf", math.inf),
        ("AT", "0020000d", "0020000D"),
        ("PN", "Smith^Anna", PersonName("Smith^Anna")),
        ("PN", "A=I=P", PersonName("A", "I", "P")),
        ("PN", {"Alphabetic": "A", "Ideographic": None, "Phonetic": "P"}, PersonName("A", "", "P")),
        ("PN", {"alphabetic": "A"}, PersonName("A")),
        ("LO", 12, "12"),
        ("UI", "1.2\0", "1.2\0"),
        ("SQ", {}, {}),
        ("ZZ", "an unknown VR is text", "an unknown VR is text"),
        *((vr, None, None) for vr in sorted(ALL_VRS)),
        *((vr, blank, None) for vr in sorted(ALL_VRS - set(TEXT_VRS)) for blank in ("", "  ", "\0")
          if vr not in {"OB", "OD", "OF", "OL", "OV", "OW"}),
        *((vr, "\x01 any text, of any length" * 99, "\x01 any text, of any length" * 99) for vr in TEXT_VRS),
    ],
)  # fmt: skip
def test_what_is_accepted(vr, raw, expected):
    value = parse(vr, raw)
    assert value == expected
    assert type(value) is type(expected)


@pytest.mark.parametrize(
    ("vr", "raw", "reason"),
    [
        ("DA", "20240230", "calendar"),
        ("DA", "00000101", "calendar"),
        ("DA", "2024-01-15", "YYYYMMDD"),
        ("DA", "2024", "YYYYMMDD"),
        ("DA", 20240115, "YYYYMMDD"),
        ("DA", "٢٠٢٤٠١١٥", "YYYYMMDD"),
        ("TM", "2400", "time of day"),
        ("TM", "noon", "HHMMSS"),
        ("TM", "\u0660\u0667", "HHMMSS"),
        ("DT", "\u0662\u0660\u0662\u0664", "YYYYMMDDHHMMSS"),
        ("IS", "\u0661\u0662", "number"),
        ("DS", "\u0661", "number"),
        ("DT", "20240115143000+1500", "offset"),
        ("DT", "20240115143000-1300", "offset"),
        ("DT", "99991231235960", "calendar"),
        ("DT", "2024-01-15T14:30:00", "YYYYMMDDHHMMSS"),
        ("IS", "2.5", "whole"),
        ("IS", 2.5, "whole"),
        ("IS", True, "true or false"),
        ("IS", 2**31, "range of IS"),
        ("IS", "1_000", "number"),
        ("IS", "1" * 5000, "finite|too large"),
        ("US", -1, "range of US"),
        ("US", [1], "a list"),
        ("UV", 1e19, "exact"),
        ("SV", math.nan, "finite"),
        ("FL", 1e39, "single precision"),
        ("DS", "1,5", "number"),
        ("DS", "NaN", "number"),
        ("DS", math.inf, "finite"),
        ("DS", 10**400, "finite"),
        ("DS", "1e999", "finite"),
        ("FD", "1e999", "finite"),
        ("FD", "nothing", "number"),
        ("AT", "0020,000D", "eight hex digits"),
        ("PN", "A=B=C=D", "three component groups"),
        ("PN", {"Alphabetic": 5}, "three component groups"),
        ("PN", {"Given": "Anna"}, "three component groups"),
        ("LO", {"Alphabetic": "A"}, "an object"),
        ("UI", False, "true or false"),
        ("SQ", "no item", "item of attributes"),
    ],
)
def test_what_is_refused_and_why(vr, raw, reason):
    with pytest.raises(ValueError, match=reason) as caught:
        parse(vr, raw)
    if isinstance(raw, str):
        assert raw not in str(caught.value), "values stay out of messages"


@pytest.mark.parametrize(
    ("vr", "raw"),
    [
        ("DA", "1993.08.22"),
        ("DA", "20240115 "),
        ("TM", "07"),
        ("TM", "0709"),
        ("TM", "070907.0"),
        ("TM", "123060"),
        ("DT", "2024"),
        ("DT", "202401"),
        ("DT", "2024011514"),
        ("DT", "20240115143000.5"),
        ("DT", "20240115143000-0000"),
        ("IS", "12"),
        ("IS", "12.0"),
        ("DS", "1.50"),
        ("DS", "0.1234567890123456789"),
        ("DS", 2**53 + 1),
        ("FD", "nan"),
        ("AT", "0020000d"),
        ("PN", "Smith^Anna"),
        ("PN", {"Alphabetic": "A", "Phonetic": ""}),
        ("LO", 12),
        ("DA", ""),
    ],
)
def test_that_a_value_says_more_than_its_python_form_is_told(vr, raw):
    assert format_value(vr, parse(vr, raw)) != raw


@pytest.mark.parametrize(
    ("vr", "raw"),
    [
        ("DA", "20240115"),
        ("TM", "235960"),
        ("TM", "070907.070500"),
        ("DT", "20240115143000.500000+0100"),
        ("DT", "20240115143000-0330"),
        ("FD", "NaN"),
        ("FL", "-Infinity"),
        ("DS", 1.5),
        ("IS", 7),
        ("PN", {"Alphabetic": "A", "Ideographic": "I", "Phonetic": "P"}),
        ("PN", {"Phonetic": "P"}),
        ("LT", "  two\\parts \r\n"),
    ],
)
def test_that_nothing_is_told_of_a_canonical_value(vr, raw):
    assert format_value(vr, parse(vr, raw)) == raw


offsets = st.integers(-12 * 60, 14 * 60).map(lambda minutes: timezone(timedelta(minutes=minutes)))
python_values = st.one_of(
    st.tuples(st.just("DA"), st.dates()),
    st.tuples(st.just("DT"), st.datetimes(timezones=st.none() | offsets)),
    st.tuples(st.just("TM"), st.timedeltas(timedelta(0), timedelta(days=1) - timedelta(microseconds=1))),
    st.sampled_from(sorted(INTEGER_RANGE)).flatmap(
        lambda vr: st.tuples(st.just(vr), st.integers(*INTEGER_RANGE[vr]))
    ),
    st.tuples(st.just("DS"), st.floats(allow_nan=False, allow_infinity=False)),
    st.tuples(st.just("FD"), st.floats(allow_nan=False)),
    st.tuples(st.just("PN"), st.builds(PersonName, *3 * [st.text("abc^", max_size=5)])),
    st.tuples(st.sampled_from(TEXT_VRS), st.text()),
)


@given(python_values)
def test_formatted_values_are_read_again(pair):
    vr, value = pair
    raw = format_value(vr, value)
    again = parse(vr, raw)
    assert again == value
    assert format_value(vr, again) == raw
    if isinstance(value, datetime):
        assert again.utcoffset() == value.utcoffset()


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: (
        st.lists(inner, max_size=2)
        | st.dictionaries(st.text(max_size=3) | st.sampled_from(NAMES), inner, max_size=2)
    ),
    max_leaves=4,
)


@given(vr=st.sampled_from(sorted(ALL_VRS)), raw=json_values)
def test_any_json_value_is_read_or_refused(vr, raw):
    # Any other exception than ValueError fails the test.
    with contextlib.suppress(ValueError):
        format_value(vr, parse(vr, raw))


@given(st.dates(date(1, 1, 1)))
def test_dates_are_as_pydicom_reads_them(day):
    text = f"{day.year:04}{day.month:02}{day.day:02}"
    assert parse("DA", text) == DA(text)


@given(st.times(), st.integers(0, 6))
def test_times_are_as_pydicom_reads_them(moment, fraction):
    text = moment.strftime("%H%M%S") + (f".{moment.microsecond:06}"[: fraction + 1] if fraction else "")
    oracle = TM(text)
    assert parse("TM", text) == timedelta(
        hours=oracle.hour, minutes=oracle.minute, seconds=oracle.second, microseconds=oracle.microsecond
    )


@given(st.datetimes(timezones=st.none() | offsets), st.sampled_from([4, 6, 8, 10, 12, 14]))
def test_date_times_are_as_pydicom_reads_them(moment, length):
    text = f"{moment.year:04}{moment:%m%d%H%M%S}"[:length] + (moment.strftime("%z") if moment.tzinfo else "")
    oracle = DT(text)
    assert parse("DT", text) == oracle
    assert parse("DT", text).utcoffset() == oracle.utcoffset()


@pytest.mark.parametrize(
    ("text", "years"),
    [
        ("042Y", 42.0),
        ("042y", 42.0),
        ("018M", 1.5),
        ("000D", 0.0),
        ("052W", 0.9965776865),
        ("365D", 0.9993155373),
        (" 7Y", 7.0),
        ("N-A", None),
        ("", None),
        ("042", None),
        ("0042Y", None),
        ("\u0660\u0664\u0662Y", None),
    ],
)
def test_ages_in_years(text, years):
    assert age_in_years(text) == (None if years is None else pytest.approx(years))
