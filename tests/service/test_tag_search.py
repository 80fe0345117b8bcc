"""Searching by extended query tags: every VR, level and way of asking, against a matcher written without the code."""

from __future__ import annotations

import calendar
import json
import re
import struct
import threading
import unicodedata
from datetime import UTC, datetime, timedelta
from fractions import Fraction

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dicomframe.service import matching, selection
from dicomframe.service.service import Service

WORDS = ["Ann", "ann", "Änn", "Smith", "Smi", "O'Neil", "de[x]", "x%y", "a_b"]
TEXTS = ["Ann", "ann b", "Änn", "x%y", "de[x]", "Smith", "a_b c"]
NAMES = ["Smith^Ann", "smith^änn", "Smi^Ann^Mary", "O'Neil^Ann", "Yamada^Tarou=山田^太郎", "=山田^太郎"]
DECIMALS = ["1", "1.0", "0.1", "-25", "-2.5e1", "70.25"]
INTEGERS = ["0", "1", "+1", "-7", "40000"]
DATES = ["20200229", "20240115", "20240116"]
TIMES = ["07", "0730", "073000", "073000.5", "235959"]
MOMENTS = ["2023", "202401", "20240115", "202401151030", "20240115103000.5", "20240115103000+0100",
           "20240115093000", "20240115103000-0500"]  # fmt: skip
UIDS = ["1.2.3", "1.2.30", "1.2.300"]
DAY = ("20240115", "20240116")

#: keyword: (tag, VR, level, values in files, values to ask for)
TAGS = {
    "ScheduledStationAETitle": ("00400001", "AE", "Instance", ["CT1", "ct1", "MR 2"], ["CT1", "mr*", "?T1"]),
    "PatientAge": ("00101010", "AS", "Study", ["042Y", "043Y", "006M"], ["042Y", "042y", "04*"]),
    "BodyPartExamined": ("00180015", "CS", "Series", ["HEAD", "NECK", "HEAD_2"], ["HEAD", "head", "?E*"]),
    "AcquisitionDate": ("00080022", "DA", "Instance", DATES, [*DATES, "20240101-", "-20240115", "20240115-20240116"]),
    "PatientWeight": ("00101030", "DS", "Study", DECIMALS, [*DECIMALS, "1.00", "2"]),
    "AcquisitionDateTime": ("0008002A", "DT", "Instance", MOMENTS,
                            [*MOMENTS, "2023-2024", "-20240115", "20240115-", "20240115103000-0500-2025",
                             "20240115093000-20240115103000+0100"]),
    "AcquisitionDuration": ("00189073", "FD", "Instance", ["0.1", "1", "-25"], DECIMALS),
    "RecommendedDisplayFrameRateInFloat": ("00089459", "FL", "Series", ["0.1", "1", "-25"], DECIMALS),
    "InstanceNumber": ("00200013", "IS", "Instance", INTEGERS, [*INTEGERS, "2"]),
    "InstitutionName": ("00080080", "LO", "Study", TEXTS, [*TEXTS, "ANN*", "*[x]", "a?b*"]),
    "OperatorsName": ("00081070", "PN", "Series", NAMES, ["smith^ann", "smi*", "*ann", "山田*", "=山田^太郎"]),
    "StationName": ("00081010", "SH", "Series", TEXTS, [*TEXTS, "*n*"]),
    "ReferencePixelX0": ("00186020", "SL", "Instance", ["-70000", "1"], ["-70000", "1", "2"]),
    "TagAngleSecondAxis": ("00189219", "SS", "Instance", ["-7", "1"], ["-7", "+1", "2"]),
    "AcquisitionTime": ("00080032", "TM", "Instance", TIMES, [*TIMES, "07-0730", "0730-", "-073000"]),
    "FrameOfReferenceUID": ("00200052", "UI", "Series", UIDS, UIDS),
    "RegionFlags": ("00186016", "UL", "Instance", ["0", "4000000000"], ["0", "4000000000"]),
    "Rows": ("00280010", "US", "Study", ["2", "65535"], ["2", "65535"]),
    "00111001": ("00111001", "LO", "Series", TEXTS, [*TEXTS, "ann*"]),
}  # fmt: skip
LEVELS = ["Study", "Series", "Instance"]
CODES = {"FD": "<d", "FL": "<f", "SL": "<i", "SS": "<h", "UL": "<L", "US": "<H"}

INSTANCES = st.lists(
    st.tuples(
        st.integers(1, 3),
        st.integers(1, 2),
        st.fixed_dictionaries({name: st.sampled_from([*each[3], None]) for name, each in TAGS.items()}),
        st.sampled_from(["10", "2A"]),
    ),
    min_size=1,
    max_size=7,
)
#: One value to ask for by each tag, and two tags to ask by at once.
QUERIES = st.tuples(
    st.fixed_dictionaries({name: st.sampled_from(each[4]) for name, each in TAGS.items()}),
    st.lists(st.sampled_from(sorted(TAGS)), min_size=2, max_size=2, unique=True),
)
UID_TAGS = ["0020000D", "0020000E", "00080018"]


# -- what should match, in plain Python --------------------


def plain(text, *, accents):
    if not accents:
        text = "".join(c for c in unicodedata.normalize("NFKD", text) if not unicodedata.combining(c))
    return text.casefold()


def like(value, pattern, *, accents=True):
    regex = "".join({"*": ".*", "?": "."}.get(c, re.escape(c)) for c in plain(pattern, accents=accents))
    return re.fullmatch(regex, plain(value, accents=accents), re.DOTALL) is not None


def name_matches(value, pattern):
    groups = [*value.split("="), "", ""][:3]
    if "=" in pattern:
        return groups[1:] == [*pattern.split("=")[1:], ""] and like(groups[0], pattern.split("=")[0])
    return any(group and like(group, pattern, accents=False) for group in groups)


def span(text):
    """First and last microsecond of a date-time, by the calendar of the standard library."""
    digits, fraction, zone = re.fullmatch(r"(\d+)(?:\.(\d+))?([+-]\d{4})?", text).groups()
    numbers = [int(digits[:4]), *(int(digits[at : at + 2]) for at in range(4, len(digits), 2))]
    least, most = [1, 1, 1, 0, 0, 0], [1, 12, 31, 23, 59, 59]
    first = datetime(*numbers, *least[len(numbers) :], tzinfo=UTC)
    last = [*numbers, *most[len(numbers) :]]
    if len(numbers) < 3:
        last[2] = calendar.monthrange(*last[:2])[1]
    last = datetime(*last, 999999, tzinfo=UTC)
    if fraction:
        first += timedelta(microseconds=int(fraction.ljust(6, "0")))
        last = last.replace(microsecond=int(fraction.ljust(6, "9")))
    if zone:
        sign = 1 if zone[0] == "+" else -1
        shift = sign * timedelta(hours=int(zone[1:3]), minutes=int(zone[3:]))
        first, last = first - shift, last - shift
    return first, last


def moment_matches(value, wanted):
    start = span(value)[0]
    match = re.fullmatch(r"([\d.]+(?:[+-]\d{4})?)?-([\d.]+(?:[+-]\d{4})?)?", wanted)
    whole = re.fullmatch(r"[\d.]+([+-](0\d|1[0-4])\d\d)?", wanted)
    if whole or not match:
        low, high = span(wanted)
        return low <= start <= high
    low, high = match.groups()
    return (not low or span(low)[0] <= start) and (not high or start <= span(high)[1])


def number_of_time(text, filler):
    digits = text.replace(".", "")
    return int(digits + ("000000000000" if filler == "0" else "xx5959999999"[:12])[len(digits) :])


def time_matches(value, wanted):
    low, hyphen, high = wanted.partition("-")
    high = high if hyphen else low
    start = number_of_time(value, "0")
    return (not low or number_of_time(low, "0") <= start) and (not high or start <= number_of_time(high, "9"))


def date_matches(value, wanted):
    low, hyphen, high = wanted.partition("-")
    high = high if hyphen else low
    return (not low or low <= value) and (not high or value <= high)


def matches(vr, value, wanted):
    if value is None:
        return False
    if vr in {"DS", "FD", "FL", "IS", "SL", "SS", "UL", "US"}:
        return Fraction(value) == Fraction(wanted)
    tests = {"DA": date_matches, "DT": moment_matches, "PN": name_matches, "TM": time_matches}
    return tests.get(vr, like)(value, wanted)


# -- the service --------------------


def encoded(vr, value):
    if vr in CODES:
        return struct.pack(CODES[vr], float(value) if vr in {"FD", "FL"} else int(value))
    return value


def file_of(dicom, place, number, values, block):
    study, series = place
    raw = {"00280010": None}
    if values["InstanceNumber"] is None:
        raw["00200013"] = None
    for name, value in values.items():
        if value is None:
            continue
        tag, vr = TAGS[name][:2]
        if name == "00111001":
            raw[f"001100{block}"] = ("LO", "ACME")
            tag = f"0011{block}01"
        raw[tag] = (vr, encoded(vr, value))
    return dicom(f"{study}/{series}/{number}", raw=raw)


def post(http, entries):
    reply = http("POST", "extendedquerytags", body=json.dumps(entries).encode())
    assert reply.status == 202, reply.body
    path = f"operations/{reply.json['id']}"
    for _ in range(2000):
        if http.get(path).status == 200:
            return
        threading.Event().wait(0.005)
    raise AssertionError


ENTRIES = [
    {"path": name, "level": each[2]} | ({"vr": each[1], "privateCreator": "ACME"} if name == each[0] else {})
    for name, each in TAGS.items()
]


@pytest.fixture(scope="module")
def tagged(tmp_path_factory):
    with Service.open(tmp_path_factory.mktemp("tagged")) as service:
        yield service


def expected(instances, gone, query, depth):
    """The UIDs of a level that pass, newest first."""
    paths = [(study, series, number) for number, (study, series, *_) in enumerate(instances)]

    def value(name, owner):
        """The latest value that came; after a deletion that of the newest instance left, if it has one."""
        own = [path[2] for path in paths if path[: len(owner)] == owner]
        came = [each for number in own if (each := instances[number][2][name]) is not None]
        if gone in own:
            newest = instances[[number for number in own if number != gone][-1]][2][name]
            return newest if newest is not None else (came or [None])[-1]
        return (came or [None])[-1]

    def passes(path):
        owners = {name: path[: 1 + LEVELS.index(TAGS[name][2])] for name in query}
        return all(
            matches(TAGS[name][1], value(name, owners[name]), wanted) for name, wanted in query.items()
        )

    # The order is that in which studies, series and instances first came.
    order = list(dict.fromkeys(path[: depth + 1] for path in paths))
    found = {path[: depth + 1] for path in paths if path[2] != gone and passes(path)}
    return [".".join(map(str, (1, *path))) for path in reversed(order) if path in found]


def check(http, instances, gone, query):
    """Compare one query at all levels; tell whether anything was found."""
    deepest = max(LEVELS.index(TAGS[name][2]) for name in query)
    wanted = []
    for depth, route in enumerate(("studies", "series", "instances")):
        reply = http.search(route, **query)
        if depth < deepest:
            assert reply.status == 400
            continue
        wanted = expected(instances, gone, query, depth)
        assert reply.values(UID_TAGS[depth]) == wanted, query
        paged = http.search(route, **query, limit=1, offset=1)
        assert paged.values(UID_TAGS[depth]) == wanted[1:2]
    return bool(wanted)


def prepare(http, dicom, instances, *, tags_first):
    """Store instances in an empty service, before or after the tags are added."""
    for uid in http.get("studies").values("0020000D"):
        assert http("DELETE", f"studies/{uid}").status == 204
    present = [tag["path"] for tag in http.get("extendedquerytags?limit=200").json]
    if not tags_first:
        for path in present:
            assert http("DELETE", f"extendedquerytags/{path}").status == 204
    elif not present:
        post(http, ENTRIES)
    http.stored(*(file_of(dicom, each[:2], n, *each[2:]) for n, each in enumerate(instances)))
    if not tags_first:
        post(http, ENTRIES)


@pytest.mark.covers("Extended Query Tags")
def test_search_equals_brute_force(tagged, dicom, http_for):
    http = http_for(tagged)
    hits = dict.fromkeys(TAGS, 0)

    @settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.too_slow])
    @given(INSTANCES, QUERIES, st.booleans(), st.integers(0, 12))
    def run(instances, queries, tags_first, gone):
        prepare(http, dicom, instances, tags_first=tags_first)
        if gone < len(instances):
            study, series, *_ = instances[gone]
            uid = f"1.{study}.{series}"
            assert http("DELETE", f"studies/1.{study}/series/{uid}/instances/{uid}.{gone}").status == 204
        values, together = queries
        for name, wanted in values.items():
            hits[name] += check(http, instances, gone, {name: wanted})
        check(http, instances, gone, {name: values[name] for name in together})

    run()
    assert min(hits.values()) > 0, hits


# -- one by one --------------------


def tag(http, keyword, level, **more):
    post(http, [{"path": keyword, "level": level, **more}])


@pytest.mark.parametrize(
    ("keyword", "value", "words"),
    [
        ("PatientWeight", "heavy", "must be a number"),
        ("PatientWeight", "7*", "must be a number"),
        ("InstanceNumber", "1.5", "must be a whole number"),
        ("Rows", "2?", "must be a whole number"),
        ("FrameOfReferenceUID", "1.2.*", "one UID"),
        ("AcquisitionDate", "2024-01-15", "YYYYMMDD"),
        ("AcquisitionDate", "-", "without bounds"),
        ("AcquisitionDateTime", "yesterday", "YYYYMMDDHHMMSS.FFFFFF&ZZXX"),
        ("AcquisitionDateTime", "20240230", "YYYYMMDDHHMMSS.FFFFFF&ZZXX"),
        ("AcquisitionDateTime", "-", "without bounds"),
        ("AcquisitionDateTime", "2024-2023", "end lies before its start"),
        ("AcquisitionTime", "25", "HHMMSS"),
        ("InstitutionName", "", "no value"),
    ],
)
@pytest.mark.covers("fact 37")
def test_values_that_are_refused(tagged, http_for, keyword, value, words):
    http = http_for(tagged)
    if not http.get("extendedquerytags").json:
        post(http, ENTRIES)
    reply = http.search("instances", **{keyword: value})
    assert reply.status == 400
    assert words in reply.message


@pytest.mark.covers("fact 29")
def test_by_keyword_and_by_number_is_twice(http):
    tag(http, "PatientAge", "Study")
    assert http.search("studies", PatientAge="042Y", **{"00101010": "042Y"}).status == 400
    assert "PatientAge" in http.search("studies", PatientsAge="042Y").message


@pytest.mark.covers("fact 30")
def test_levels_are_strict_below_a_study(http, dicom):
    tag(http, "PatientAge", "Study")
    tag(http, "Rows", "Instance")
    http.stored(dicom("1/1/1", raw={"00101010": ("AS", "042Y")}), dicom("1/1/2"), dicom("2/1/1"))
    assert http.search("studies/1.1/instances", Rows=2).values("00080018") == ["1.1.1.2", "1.1.1.1"]
    assert http.search("studies/1.1/series/1.1.1/instances", Rows=2, limit=1).values("00080018") == [
        "1.1.1.2"
    ]
    assert http.search("studies/1.1/series/1.1.1/instances", Rows=3).status == 204
    refused = http.search("studies/1.1/instances", PatientAge="042Y")
    assert refused.status == 400
    assert "level study" in refused.message


def test_wildcards_are_refused_when_strict(strict, dicom):
    tag(strict, "InstitutionName", "Study")
    strict.stored(
        dicom("1/1/1", raw={"00080080": ("LO", "Ward *")}), dicom("2/1/1", raw={"00080080": ("LO", "Ward 1")})
    )
    assert strict.search("studies", InstitutionName="Ward *").values("0020000D") == ["1.1"]


def test_what_the_reference_searches_needs_a_tag_when_strict(strict, http, dicom):
    assert http.search("studies", StudyID="ST1").status == 204
    assert strict.search("studies", StudyID="ST1").status == 400
    for each in (strict, http):
        tag(each, "StudyID", "Study")
        tag(each, "SeriesDescription", "Study")
        each.stored(dicom("1/1/1"))
        assert each.search("studies", StudyID="ST1").status == 200
        # At another level than its own, too.
        assert each.search("studies", SeriesDescription="Axial 5 mm").status == 200
    assert strict.search("series", SeriesDescription="Axial*").status == 204


def test_names_match_fuzzily_too(http, dicom):
    tag(http, "OperatorsName", "Series")
    http.stored(
        dicom("1/1/1", raw={"00081070": ("PN", "Doe^Jöhn")}),
        dicom("2/1/1", raw={"00081070": ("PN", "Smith^Ann")}),
    )
    found = http.search("series", OperatorsName="do jo", fuzzymatching="true")
    assert found.values("0020000D") == ["1.1"]
    assert found.json[0]["00081070"]["Value"] == [{"Alphabetic": "Doe^Jöhn"}]
    assert http.search("series", OperatorsName="ohn", fuzzymatching="true").status == 204


@pytest.mark.covers("fact 10")
def test_trailing_nulls_do_not_matter(http, dicom):
    tag(http, "InstitutionName", "Study")
    http.stored(dicom("1/1/1", raw={"00080080": ("LO", "Ward 1\0\0")}))
    assert http.search("studies", InstitutionName="Ward 1").status == 200


def test_a_private_attribute_comes_back_from_whichever_block_it_is_in(http, dicom):
    tag(http, "00111001", "Series", vr="LO", privateCreator="ACME")
    http.stored(
        dicom("1/1/1", raw={"00110010": ("LO", "OTHER"), "00111001": ("LO", "no"),
                            "00110011": ("LO", "ACME"), "00111101": ("LO", "yes")}),
        dicom("2/1/1", raw={"00110010": ("LO", "OTHER"), "00111001": ("LO", "yes")}),
    )  # fmt: skip
    found = http.search("series", **{"00111001": "yes"})
    assert found.values("0020000D") == ["1.1"]
    assert found.json[0]["00111101"]["Value"] == ["yes"]


@pytest.mark.covers("fact 32")
def test_tags_can_be_included_and_combined_with_other_filters(http, dicom):
    tag(http, "PatientAge", "Study")
    http.stored(
        *(
            dicom(f"{n}/1/1", PatientID=f"P{n}", raw={"00101010": ("AS", f"{40 + n % 2:03}Y")})
            for n in range(1, 7)
        )
    )
    assert http.search("studies", PatientAge="040Y", PatientID="P4").values("0020000D") == ["1.4"]
    assert http.search("studies", PatientID="P4", includefield="PatientAge").values("00101010") == ["040Y"]
    assert http.search("studies", PatientAge="041Y", limit=2, offset=1).values("0020000D") == ["1.3", "1.1"]


@pytest.mark.parametrize("narrow", [5_000, 1])
@pytest.mark.parametrize("levels", ["Study", "Series", "Instance"])
def test_every_way_through_the_tables_finds_the_same(http, dicom, monkeypatch, narrow, levels):
    """Gathered where few rows match, followed or walked where many do."""
    monkeypatch.setattr(selection, "NARROW", narrow)
    monkeypatch.setattr("dicomframe.service.index.NARROW", narrow)
    tag(http, "PatientAge", levels)
    http.stored(*(dicom(f"{n}/1/1", raw={"00101010": ("AS", f"{40 + n % 2:03}Y")}) for n in range(1, 7)))
    for wanted in ("041Y", "?41Y", "041*"):
        for route, depth in (("studies", 1), ("series", 2), ("instances", 3)):
            if depth <= ["Study", "Series", "Instance"].index(levels):
                continue
            found = http.search(route, PatientAge=wanted, limit=2, offset=1)
            assert found.values("0020000D") == ["1.3", "1.1"]


@pytest.mark.parametrize("level", ["study", "series", "instance"])
def test_the_index_serves_it(http, level):
    tag(http, "PatientAge", level)
    tag(http, "OperatorsName", level)
    from dicomframe.service.tagindex import tags_of

    reader = http.service.index.reader
    age, name = (each.searchable() for each in tags_of(reader))
    tests = [
        (age, matching.Equal("042y")),
        (age, matching.Wildcard("04*")),
        (name, matching.Equal("smith^ann")),
        (name, matching.Wildcard("smi*")),
    ]
    for attribute, test in tests:
        filtered = matching.Filter(attribute, test)
        asked = selection.Selection(level, 1, "v2", filters=(filtered,))
        plans = [*(clause for _, clause in selection.probes(asked)), selection.to_sql(asked, filtered)]
        for sql, parameters in plans:
            steps = [row[3] for row in reader.execute(f"EXPLAIN QUERY PLAN {sql}", parameters)]
            assert any("tag_value_searched (tag=? AND partition=? AND value" in step for step in steps), steps
            assert not any(step.startswith(("SCAN x", "SCAN tag_value")) for step in steps), steps
