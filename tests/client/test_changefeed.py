"""The change feed read and followed: each change once, whatever a server does and whatever arrives meanwhile."""

import datetime as dt
import json
import threading
import warnings
from contextlib import closing
from urllib.parse import unquote

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import dicomframe as dfr
from dicomframe.client.backoff import Backoff
from dicomframe.client.client import Client
from dicomframe.client.feedcursor import Cursor, Gap
from dicomframe.client.feedreading import api_version
from dicomframe.client.session import InProcessAdapter
from dicomframe.dicom.feed import iso, microseconds_of, read_entries
from dicomframe.errors import (
    BadRequestError,
    DecodeError,
    IncompleteSearchWarning,
    NotFoundError,
    QueryError,
    TableError,
    ThrottledError,
    TransportError,
    UnavailableError,
    UnexpectedAnswerError,
    ValueRefused,
)

AZURE = {"api-supported-versions": "1.0, 2.0"}
SECOND = 1_000_000
#: The time of a change with number 0.
BEGINNING = 1_700_000_000 * SECOND

DTYPES = {
    "sequence": "Int64",
    "PartitionName": "string",
    "StudyInstanceUID": "string",
    "SeriesInstanceUID": "string",
    "SOPInstanceUID": "string",
    "action": "string",
    "timestamp": "datetime64[us, UTC]",
    "state": "string",
    "file_path": "string",
}


def change(number, *, seconds=None, **more):
    return {
        "sequence": number,
        "partitionName": "Microsoft.Default",
        "studyInstanceUid": "1.2",
        "seriesInstanceUid": "1.2.1",
        "sopInstanceUid": f"1.2.1.{number}",
        "action": "Create",
        "timestamp": iso(BEGINNING + (number if seconds is None else seconds) * SECOND),
        "state": "Current",
        **more,
    }


class FeedServer:
    """A service's change feed, in process, in both versions, with as many bad habits as a test wants.

    What it does right it does in plain lists, independently of the local service.
    """

    def __init__(
        self, rows, *, version="v2", cap=None, ignore_offset=False, headers=AZURE, spell=lambda row: row
    ):
        self.rows = list(rows)
        self.version = version
        self.cap = cap
        self.ignore_offset = ignore_offset
        self.headers = headers
        self.spell = spell
        self.latest = None
        self.asked = []
        self.before = lambda _: None
        self._lock = threading.Lock()

    def __call__(self, method, target, headers, body):
        path, _, query = target.partition("?")
        params = {name: unquote(value) for name, value in (pair.split("=") for pair in query.split("&"))}
        with self._lock:
            assert len(self.asked) < 3_000, "it asks for ever"
            answer = self.before(len(self.asked))
            self.asked.append((path, params))
            rows = list(self.rows)
        if answer is not None:
            return answer
        assert path.startswith(f"/{self.version}/changefeed")
        if path.endswith("/latest"):
            known = [row for row in rows if isinstance(row, dict)]
            found = self.latest or max(known, key=lambda row: int(row["sequence"]), default=None)
            return self.reply(None if found is None else self.spell(found))
        page = getattr(self, f"page_{self.version}")(rows, params)
        return self.reply([self.spell(row) if isinstance(row, dict) else row for row in page])

    def page_v1(self, rows, params):
        offset = 0 if self.ignore_offset else int(params["offset"])
        limit = int(params["limit"])
        assert 1 <= limit <= 100
        found = [row for row in rows if isinstance(row, dict) and offset < row["sequence"] <= offset + limit]
        return sorted(found, key=lambda row: row["sequence"])[: self.cap]

    def page_v2(self, rows, params):
        limit = int(params["limit"])
        offset = 0 if self.ignore_offset else int(params["offset"])
        assert 1 <= limit <= 200
        start, end = (microseconds_of(params.get(name, "")) for name in ("startTime", "endTime"))
        assert start is None or end is None or start < end
        place = lambda row: microseconds_of(row["timestamp"]) if isinstance(row, dict) else None  # noqa: E731
        within = [
            row
            for row in rows
            if (at := place(row)) is None or ((start is None or at >= start) and (end is None or at < end))
        ]
        within.sort(key=lambda row: (place(row) or 0, row["sequence"] if isinstance(row, dict) else 0))
        return within[offset : offset + min(limit, self.cap or limit)]

    def reply(self, body, status=200):
        if body is None:
            return 204, dict(self.headers), iter([])
        return status, {"Content-Type": "application/json", **self.headers}, iter([json.dumps(body).encode()])

    def connect(self, **options):
        options = {"retries": 0, "progress": False, "api_version": self.version} | options
        return Client("http://127.0.0.1:80", adapter=InProcessAdapter(self), **options)

    def pages_asked(self):
        return [params for path, params in self.asked if not path.endswith("latest")]


def numbers(table):
    return table["sequence"].tolist()


@pytest.fixture(params=["v1", "v2"])
def version(request):
    return request.param


@pytest.fixture
def local(tmp_path):
    with dfr.start_local(tmp_path / "service") as started:
        yield started


@pytest.fixture
def make_files():
    """Give what makes small DICOM files of a study."""
    import io

    from pydicom import dcmread
    from pydicom.data import get_testdata_file

    source = dcmread(get_testdata_file("MR_small.dcm", download=False))
    del source.PixelData

    def make(count, study="1.2.3", first=1):
        files = []
        for number in range(first, first + count):
            source.StudyInstanceUID, source.SeriesInstanceUID = study, f"{study}.1"
            source.SOPInstanceUID = source.file_meta.MediaStorageSOPInstanceUID = f"{study}.1.{number}"
            buffer = io.BytesIO()
            source.save_as(buffer, enforce_file_format=True)
            files.append(buffer.getvalue())
        return files

    return make


# -- from_change_feed ------------------------------------------------------------------------------------------------


def test_an_empty_feed_has_the_same_dtypes():
    empty, full = dfr.from_change_feed("[]"), dfr.from_change_feed([change(1)])
    assert {name: str(dtype) for name, dtype in empty.dtypes.items()} == DTYPES
    assert {name: str(dtype) for name, dtype in full.dtypes.items()} == DTYPES
    for nothing in (b"", b"null", b"{}", [], "  "):
        assert dfr.from_change_feed(nothing).empty
    arrow = dfr.from_change_feed([change(1)], dtype_backend="pyarrow")
    assert (arrow.dtypes == dfr.from_change_feed([], dtype_backend="pyarrow").dtypes).all()
    assert str(arrow.dtypes["timestamp"]) == "timestamp[us, tz=UTC][pyarrow]"
    assert all(isinstance(dtype, pd.ArrowDtype) for dtype in arrow.dtypes)


@pytest.mark.covers("fact 43")
@pytest.mark.parametrize(
    "spell", [str, str.upper, str.lower, lambda name: name[0].upper() + name[1:], lambda name: name.replace("Uid",
    "UID")]
)  # fmt: skip
def test_letter_case_does_not_matter(spell):
    entry = {
        **change(7, seconds=0, state="REPLACED", action="delete", filePath="a/b.dcm"),
        "ETag": 5,
        "nested": {"sequence": 9},
    }
    row = {spell(name): value for name, value in entry.items()}
    for page in ([row], json.dumps([row]), json.dumps([row]).encode(), row, [json.dumps([row]).encode()]):
        table = dfr.from_change_feed(page)
        assert list(table.columns) == list(DTYPES)
        assert table.loc[0].tolist() == [
            7, "Microsoft.Default", "1.2", "1.2.1", "1.2.1.7", "delete", pd.Timestamp("2023-11-14T22:13:20Z"),
            "replaced", "a/b.dcm",
        ]  # fmt: skip
        assert table.dicom.issues().empty
        assert table.dicom.level == "instance"


def test_a_name_that_stands_there_twice_counts_once():
    table = dfr.from_change_feed('[{"Sequence": null, "sequence": 3, "SEQUENCE": 4}]')
    assert numbers(table) == [3]


@pytest.mark.parametrize(
    ("text", "moment"),
    [("2024-01-15T14:30:00.000Z", "2024-01-15T14:30:00Z"), ("2024-01-15T14:30:00.1234567+00:00",
     "2024-01-15T14:30:00.123456Z"),
     ("2024-01-15T14:30:00.5", "2024-01-15T14:30:00.500000Z"), ("2024-01-15T14:30:00+0530", "2024-01-15T09:00:00Z"),
     ("2024-01-15 14:30-05", "2024-01-15T19:30:00Z"), ("0001-01-01T00:00:00Z", "0001-01-01T00:00:00Z")],
)  # fmt: skip
def test_timestamps(text, moment):
    table = dfr.from_change_feed([change(1, timestamp=text)])
    assert table["timestamp"][0].isoformat().replace("+00:00", "Z") == moment
    assert table.dicom.issues().empty


BAD = [
    ("sequence", "abc"), ("sequence", -1), ("sequence", 1.5), ("sequence", True), ("sequence", 2**64),
    ("sequence", [1]),
    ("timestamp", "yesterday"), ("timestamp", 1700000000), ("timestamp", "2024-13-01T00:00:00Z"),
    ("timestamp", "2024-01-15"), ("timestamp", "2024-01-15T14:30:00+99:00"), ("action", "Purge"), ("action", 0),
    ("state", {"a": 1}), ("state", "current-ish"), ("studyInstanceUid", 12), ("sopInstanceUid", ["1.2"]),
    ("partitionName", 1), ("filePath", {}), ("metadata", "text"), ("metadata", [1]),
]  # fmt: skip


@pytest.mark.parametrize(("name", "value"), BAD)
def test_a_bad_value_is_missing_and_reported(name, value):
    page = [change(1), change(2, **{name: value}), change(3)]
    table = dfr.from_change_feed(page)
    assert {column: str(dtype) for column, dtype in table.dtypes.items()} == DTYPES
    (issue,) = table.dicom.issues().to_dict("records")
    assert issue["raw"] == (value if isinstance(value, str) else json.dumps(value, separators=(",", ":")))
    assert "is accepted" in issue["reason"]
    if issue["keyword"] != "metadata":
        assert table[issue["keyword"]].isna().tolist() == [False, True, False] or name == "filePath"
    if value != 2**64:  # a number too long for a quick reader, which shows it as 1.8e19
        assert dfr.from_change_feed(json.dumps(page)).dicom.issues().to_dict("records") == [issue]
    with pytest.raises(ValueRefused, match=f"Row 1, {issue['keyword']}"):
        dfr.from_change_feed(page, errors="raise")


def test_what_is_no_entry_keeps_its_row():
    table = dfr.from_change_feed([change(1), 5, None, "x", [1], change(2)])
    assert numbers(table) == [1, pd.NA, pd.NA, pd.NA, pd.NA, 2]
    assert table.dicom.issues()["raw"].tolist() == ["5", "null", "x", "[1]"]


@pytest.mark.parametrize(
    "page", ["<html>", "{", "[1", '"text"', "5", '{"error": {"code": "x"}}', b"\xff\xfe"]
)
def test_other_pages_are_refused(page):
    with pytest.raises(DecodeError, match="change feed"):
        dfr.from_change_feed(page)


def test_other_arguments_are_refused():
    for page in (5, None, pd.DataFrame()):
        with pytest.raises(QueryError):
            dfr.from_change_feed(page)
    with pytest.raises(QueryError, match="dtype_backend"):
        dfr.from_change_feed([], dtype_backend="polars")
    with pytest.raises(QueryError, match="errors"):
        dfr.from_change_feed([], errors="ignore")


def test_odd_texts_do_no_harm():
    page = b'[{"sequence": 1, "sopInstanceUid": "1.2\\ud800", "action": "\xff", "state": NaN}]'
    table = dfr.from_change_feed(page)
    assert table.loc[0, "SOPInstanceUID"] == "1.2\\ud800"
    assert table.dicom.issues()["keyword"].tolist() == ["action", "state"]


METADATA = {
    "00080020": {"vr": "DA", "Value": ["20240115"]},
    "00100010": {"vr": "PN", "Value": [{"Alphabetic": "Doe^John", "Ideographic": "王^五"}]},
    "00200013": {"vr": "IS", "Value": ["one"]},
}


@pytest.mark.parametrize("backend", ["numpy_nullable", "pyarrow"])
def test_metadata_becomes_typed_columns(backend):
    deleted = change(2, sopInstanceUid="1.2.1.1", action="Delete")
    page = [change(1), deleted, change(3, metadata=METADATA), change(4, metadata={}), 5]
    pages = [json.dumps(page[:2]).encode(), json.dumps(page[2:]).encode()]
    for given_page in (page, pages):
        table = dfr.from_change_feed(given_page, dtype_backend=backend)
        assert list(table.columns[:9]) == list(DTYPES)
        assert list(table.columns[9:]) == ["StudyDate", "PatientName", "InstanceNumber"]
        assert table["StudyDate"].notna().tolist() == [False, False, True, False, False]
        assert table["StudyDate"][2] == pd.Timestamp("2024-01-15")
        assert table["PatientName"].dicom.ideographic.tolist()[2] == "王^五"
        issues = table.dicom.issues()
        assert sorted(issues["raw"]) == ["5", "one"]
        assert issues.set_index("raw").loc["one", "SOPInstanceUID"] == "1.2.1.3"
        uids = {"0020000D": "1.2", "0020000E": "1.2.1", "00080018": "1.2.1.3"}
        assert table.dicom.to_json()[2] == METADATA | {
            tag: {"vr": "UI", "Value": [uid]} for tag, uid in uids.items()
        }


def test_metadata_of_another_instance_is_reported_and_the_entrys_uid_counts():
    strange = {"00080018": {"vr": "UI", "Value": ["9.9"]}}
    table = dfr.from_change_feed([change(1, metadata=strange)])
    assert table["SOPInstanceUID"].tolist() == ["1.2.1.1"]
    assert table.dicom.issues()[["keyword", "raw"]].to_numpy().tolist() == [["SOPInstanceUID", "9.9"]]


def test_metadata_gives_uids_that_the_entry_lacks():
    page = [{"sequence": 1, "metadata": {"00080018": {"vr": "UI", "Value": ["1.5"]}}}, change(2)]
    assert dfr.from_change_feed(page)["SOPInstanceUID"].tolist() == ["1.5", "1.2.1.2"]


# -- latest ----------------------------------------------------------------------------------------------------------


def test_latest_keeps_the_last_change_of_each_instance():
    def of(number, instance, action, state, partition="a"):
        return change(
            number, sopInstanceUid=f"1.2.1.{instance}", action=action, state=state, partitionName=partition
        )

    page = [of(5, 1, "Create", "Current"), of(1, 1, "Create", "Replaced"), of(2, 2, "Create", "Deleted"),
            of(3, 1, "Delete", "Replaced"), of(4, 2, "Delete", "Deleted"), of(6, 2, "Create", "Current",
            "b")]  # fmt: skip
    table = dfr.from_change_feed(page)
    table.attrs["dicom"]["service"] = "http://somewhere/v2"
    last = table.dicom.latest()
    assert last[["sequence", "state"]].to_numpy().tolist() == [[4, "deleted"], [5, "current"], [6, "current"]]
    assert last.index.tolist() == [4, 0, 5]
    assert last.attrs == table.attrs
    assert (last.dtypes == table.dtypes).all()
    without = table.drop(columns="PartitionName").dicom.latest()
    assert numbers(without) == [5, 6]


def test_latest_keeps_issues_and_what_has_no_number_or_uid():
    page = [change("x", seconds=0, sopInstanceUid="1.5"), change(2, sopInstanceUid="1.5", action="Purge"),
            change(3, sopInstanceUid=None),
            change(4, sopInstanceUid=7), change("y", seconds=0, sopInstanceUid="1.6")]  # fmt: skip
    last = dfr.from_change_feed(page).dicom.latest()
    assert sorted(last.index) == [1, 2, 3, 4]
    assert sorted(last.dicom.issues()["raw"]) == ["7", "Purge", "y"]


def test_latest_of_another_table():
    with pytest.raises(TableError, match="lacks the column 'sequence'"):
        dfr.from_json("[]", level="instance").dicom.latest()
    assert dfr.from_change_feed([]).dicom.latest().empty


# -- reading ---------------------------------------------------------------------------------------------------------


@pytest.mark.covers("fact 41", "fact 42")
@pytest.mark.parametrize("count", [0, 1, 99, 100, 101, 200, 201, 1000])
def test_the_whole_feed(version, count):
    server = FeedServer([change(number) for number in range(1, count + 1)], version=version)
    client = server.connect()
    feed = client.change_feed()
    table = feed.to_frame()
    assert numbers(table) == list(range(1, count + 1))
    assert {name: str(dtype) for name, dtype in table.dtypes.items()} == DTYPES
    assert table.attrs["dicom"] == {"service": client.url, "level": "instance"}
    assert [entry["sequence"] for entry in feed] == numbers(table)
    assert all(params["includemetadata"] == "false" for params in server.pages_asked())
    assert len(client.change_feed(after=feed.cursor).to_frame()) == 0


@pytest.mark.covers("fact 41")
def test_gaps_longer_than_a_span_do_not_end_version_1():
    rows = [change(number, seconds=at) for at, number in enumerate([5, 6, 450, 451, 1200])]
    server = FeedServer(rows, version="v1")
    assert numbers(server.connect().change_feed().to_frame()) == [5, 6, 450, 451, 1200]


def test_a_short_page_is_the_last_of_version_2():
    server = FeedServer([change(number) for number in range(1, 51)])
    server.connect().change_feed().to_frame()
    assert len(server.pages_asked()) == 1


def test_metadata_is_asked_for(version):
    server = FeedServer([change(1, metadata=METADATA)], version=version)
    table = server.connect().change_feed(metadata=True).to_frame()
    assert server.pages_asked()[0]["includemetadata"] == "true"
    assert table["PatientName"].tolist() == ["Doe^John"]


@pytest.mark.parametrize("cap", [1, 7, 50])
@pytest.mark.parametrize("headers", [AZURE, {}])
def test_a_server_with_shorter_pages(version, cap, headers):
    rows = [change(number) for number in range(1, 131)]
    table = FeedServer(rows, version=version, cap=cap, headers=headers).connect().change_feed().to_frame()
    assert sorted(numbers(table)) == list(range(1, 131))


@pytest.mark.parametrize("headers", [AZURE, {}])
@pytest.mark.parametrize("count", [150, 200, 500])
def test_an_ignored_offset_ends_with_a_warning(version, headers, count):
    rows = [change(number) for number in range(1, count + 1)]
    server = FeedServer(rows, version=version, ignore_offset=True, headers=headers)
    given_at_once = 100 if version == "v1" else 200
    if count <= given_at_once:
        assert len(server.connect().change_feed().to_frame()) == count
    else:
        with pytest.warns(IncompleteSearchWarning, match="may be missing"):
            table = server.connect().change_feed().to_frame()
        assert numbers(table) == list(range(1, given_at_once + 1))
    assert len(server.asked) < 30


def test_garbage_without_numbers_does_not_go_on_forever(version):
    server = FeedServer([change(500)], version=version)
    server.page_v1 = server.page_v2 = lambda rows, params: [{"nonsense": 1}, 5] * 100
    with pytest.warns(IncompleteSearchWarning):
        table = server.connect().change_feed().to_frame()
    assert len(table) == 200
    assert table["sequence"].isna().all()
    assert len(server.asked) < 20


def test_ever_new_garbage_ends_as_well():
    server = FeedServer([change(500)], headers={})
    server.page_v2 = lambda rows, params: [
        {"sopInstanceUid": f"1.{params['offset']}.{at}"} for at in range(200)
    ]
    with pytest.warns(IncompleteSearchWarning):
        assert len(server.connect().change_feed().to_frame()) >= 500
    assert len(server.asked) < 20


def test_repeated_rows_come_once(version):
    rows = [change(number // 2 + 1, seconds=number // 2) for number in range(300)]
    table = FeedServer(rows, version=version).connect().change_feed().to_frame()
    assert numbers(table) == list(range(1, 151))


def test_a_page_with_garbage_in_it():
    rows = [change(1), 5, change(2, timestamp="soon"), {"madeUp": 1}, change(3)]
    server = FeedServer([], version="v2")
    server.latest = change(3)
    server.page_v2 = lambda _, params: rows if params["offset"] == "0" else []
    table = server.connect().change_feed().to_frame()
    assert numbers(table) == [1, pd.NA, 2, pd.NA, 3]
    assert table.dicom.issues()["raw"].tolist() == ["5", "soon"]


@pytest.mark.parametrize("spell", [str.upper, str.lower])
def test_names_in_another_case_and_numbers_as_text(version, spell):
    def respell(row):
        return {spell(name): str(value) if name == "sequence" else value for name, value in row.items()}

    rows = [change(number) for number in range(1, 351)]
    server = FeedServer(rows, version=version, spell=respell)
    assert numbers(server.connect().change_feed().to_frame()) == list(range(1, 351))
    assert server.connect().latest_change()["sequence"].tolist() == [350]


@pytest.mark.covers("fact 41", "fact 42")
@pytest.mark.parametrize("per_page", [1, 40])
def test_what_arrives_while_pages_are_read_shifts_nothing(version, per_page):
    server = FeedServer([change(number) for number in range(1, 701)], version=version)

    def arrive(_):
        last = len(server.rows)
        server.rows += [change(last + at) for at in range(1, per_page + 1)]

    server.before = arrive
    feed = server.connect(max_workers=3).change_feed()
    table = feed.to_frame()
    first = 700 + per_page
    assert numbers(table) == list(range(1, first + 1))
    server.before = lambda _: None
    rest = server.connect().change_feed(after=feed.cursor).to_frame()
    assert numbers(table) + numbers(rest) == list(range(1, len(server.rows) + 1))


@settings(max_examples=60)
@given(data=st.data(), version=st.sampled_from(["v1", "v2"]))
def test_windows_are_those_of_a_plain_list(data, version):
    gaps = data.draw(st.lists(st.integers(1, 130), max_size=40))
    steps = data.draw(st.lists(st.integers(0, 40), min_size=len(gaps), max_size=len(gaps)))
    rows, number, second = [], 0, 0
    for gap, step in zip(gaps, steps, strict=True):
        number, second = number + gap, second + step
        rows.append(change(number, seconds=second))
    moments = st.none() | st.integers(-1, second + 1)
    start, end = data.draw(moments), data.draw(moments)
    after = data.draw(st.integers(0, number))
    if start is not None and end is not None and end <= start:
        start = None
    instant = lambda at: None if at is None else dt.datetime.fromtimestamp(BEGINNING / 1e6 + at, dt.UTC)  # noqa: E731
    server = FeedServer(rows, version=version, cap=data.draw(st.sampled_from([None, 3])))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        table = server.connect().change_feed(instant(start), instant(end), after=after).to_frame()
    expected = [
        row["sequence"]
        for row in rows
        if row["sequence"] > after
        and (start is None or microseconds_of(row["timestamp"]) >= BEGINNING + start * SECOND)
        and (end is None or microseconds_of(row["timestamp"]) < BEGINNING + end * SECOND)
    ]
    assert numbers(table) == expected


def test_a_place_in_a_long_feed_is_found_with_few_questions(version):
    server = FeedServer([change(number) for number in range(1, 5_001)], version=version)
    client = server.connect()
    assert numbers(client.change_feed(after=4_990).to_frame()) == list(range(4_991, 5_001))
    assert len(server.asked) < 25
    server.asked.clear()
    start = dt.datetime.fromtimestamp(BEGINNING / 1e6 + 4_990, dt.UTC)
    assert numbers(client.change_feed(start=start).to_frame()) == list(range(4_990, 5_001))
    assert len(server.asked) < 25


@pytest.mark.parametrize(
    ("start", "rows"),
    [("2023-11-14T22:13:22Z", 2), (dt.datetime(2023, 11, 14, 22, 13, 22, tzinfo=dt.UTC), 2), ("2023-11-15", 0),
     ("2023-11-14", 3),
     (dt.date(2023, 11, 14), 3), (pd.Timestamp("2023-11-14T23:13:23+01:00"), 1),
     (pd.Timestamp("2023-11-14T22:13:22.000000001Z"), 2)],
)  # fmt: skip
def test_ways_to_say_when(version, start, rows):
    client = FeedServer([change(number) for number in (1, 2, 3)], version=version).connect()
    assert len(client.change_feed(start=start).to_frame()) == rows


def test_a_day_as_the_end_counts_in_full(version):
    client = FeedServer([change(1), change(2, seconds=86_400)], version=version).connect()
    assert numbers(client.change_feed(end="2023-11-14").to_frame()) == [1]
    assert numbers(client.change_feed("2023-11-14", dt.date(2023, 11, 15)).to_frame()) == [1, 2]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [({"start": dt.datetime.fromisoformat("2024-01-15T00:00:00")}, "time zone"),
     ({"end": "2024-01-15T14:30:00"}, "time zone"),
     ({"start": pd.NaT}, "leave it out"), ({"start": pd.Timestamp("2024-01-15")}, "time zone"),
     ({"start": pd.Timestamp("2024-01-15").to_datetime64()}, "time zone"),
     ({"start": 17}, "after="), ({"start": "soon"}, "ISO 8601"), ({"start": "2024-02-30"}, "ISO 8601"),
     ({"end": 1.5}, "float"),
     ({"start": "2024-01-15", "end": "2024-01-14"}, "before end"),
     ({"start": "2024-01-15T00:00:00Z", "end": "2024-01-15T00:00:00Z"}, "before end"),
     ({"after": -1}, "after"), ({"after": True}, "after"), ({"after": "5"}, "after"),
     ({"after": {"sequence": 5}}, "no cursor"),
     ({"after": {"sequence": "5", "timestamp": None, "missing": [], "start": None}}, "no cursor"),
     ({"after": {"sequence": 5, "timestamp": "soon", "missing": [], "start": None}}, "no cursor"),
     ({"end": dt.date.max}, "years")],
)  # fmt: skip
def test_malformed_arguments(arguments, words):
    client = FeedServer([]).connect()
    with pytest.raises(QueryError, match=words):
        client.change_feed(**arguments)
    if "end" not in arguments:
        with pytest.raises(QueryError, match=words):
            client.follow_changes(**arguments)


def test_reprs_say_what_is_read():
    client = FeedServer([change(5)]).connect()
    assert repr(client.change_feed()) == "<Change feed>"
    feed = client.change_feed("2024-01-15", after=7)
    assert repr(feed) == "<Change feed after 7 from 2024-01-15T00:00:00.000000Z>"
    with client.follow_changes() as changes:
        assert repr(changes) == "<Changes after 5, every 30 s>"
    assert repr(changes) == "<Changes after 5, ended>"


@pytest.mark.parametrize(
    ("reply", "error"),
    [((500, {}, b"x"), UnavailableError), ((404, {}, b"x"), NotFoundError), ((400, {}, b"no"), BadRequestError),
     ((200, {"Content-Type": "text/html"}, b"<html>"), UnexpectedAnswerError), ((200, {}, b"<xml/>"), DecodeError),
     ((200, {}, b'{"error": "no"}'), DecodeError), ((200, {}, b'["x"]'), DecodeError),
     ((200, {}, b'[{"action": "Create"}]'), DecodeError)],
)  # fmt: skip
def test_other_answers(version, reply, error):
    server = FeedServer([change(1)], version=version)
    status, headers, body = reply
    server.before = lambda _: (status, headers, iter([body]))
    client = server.connect()
    for call in (client.change_feed().to_frame, client.latest_change, client.follow_changes):
        with pytest.raises(error):
            call()


def test_a_stopped_server(version):
    client = dfr.connect("http://127.0.0.1:9", api_version=version, retries=0)
    for call in (
        client.change_feed().to_frame,
        client.latest_change,
        client.follow_changes,
        client.partitions,
    ):
        with pytest.raises(TransportError):
            call()


def test_a_feed_that_was_set_back_is_noticed(version):
    server = FeedServer([change(3)], version=version)
    for after in (7, {"sequence": 7, "timestamp": iso(BEGINNING), "missing": [], "start": None}):
        with pytest.raises(UnexpectedAnswerError, match="begin again"):
            server.connect().change_feed(after=after).to_frame()
    with pytest.raises(UnexpectedAnswerError, match="ends before"):
        next(server.connect().follow_changes(after=7))


def test_the_latest_change(version):
    server = FeedServer([], version=version)
    client = server.connect()
    empty = client.latest_change()
    assert empty.empty
    assert {name: str(dtype) for name, dtype in empty.dtypes.items()} == DTYPES
    server.rows = [change(1), change(2, metadata=METADATA)]
    latest = client.latest_change(metadata=True)
    assert (numbers(latest), latest["PatientName"].tolist()) == ([2], ["Doe^John"])
    assert latest.attrs["dicom"]["service"] == client.url
    assert server.asked[-1][1] == {"includemetadata": "true"}


# -- cursors ---------------------------------------------------------------------------------------------------------


@given(st.lists(st.tuples(st.integers(1, 60), st.integers(0, 5)), max_size=80))
def test_a_cursor_takes_each_number_once_and_survives_being_saved(seen):
    cursor, taken = Cursor.of(0), []
    for number, seconds in seen:
        saved = json.loads(json.dumps(cursor.saved()))
        assert Cursor.of(saved) == cursor
        if Cursor.of(saved).take(number, seconds * SECOND):
            taken.append(number)
        cursor.take(number, seconds * SECOND)
    assert len(taken) == len(set(taken))
    assert set(taken) == {number for number, _ in seen}


def test_numbers_that_stay_missing_are_given_up():
    cursor = Cursor(5, 0)
    cursor.take(8, 0)
    assert cursor.missing == [Gap(6, 7, 0)]
    cursor.take(9, 31 * SECOND)
    cursor.take(11, 31 * SECOND)
    assert cursor.missing == [Gap(10, 10, 31 * SECOND)]
    assert not cursor.take(6, 0)


# -- following -------------------------------------------------------------------------------------------------------


def test_following_begins_now_or_where_it_is_told(version):
    server = FeedServer([change(number) for number in (1, 2, 3)], version=version)
    client = server.connect()
    with closing(client.follow_changes(interval=0.001)) as changes:
        server.rows += [change(4), change(5)]
        table = next(changes)
    assert numbers(table) == [4, 5]
    assert {name: str(dtype) for name, dtype in table.dtypes.items()} == DTYPES
    assert numbers(next(client.follow_changes(after=0))) == [1, 2, 3, 4, 5]
    assert numbers(next(client.follow_changes(after=3))) == [4, 5]
    begin = dt.datetime.fromtimestamp(BEGINNING / 1e6 + 2, dt.UTC)
    changes = client.follow_changes(interval=0.001, start=begin)
    assert numbers(next(changes)) == [2, 3, 4, 5]
    again = client.follow_changes(interval=0.001, after=json.loads(json.dumps(changes.cursor)))
    server.rows.append(change(6))
    assert numbers(next(again)) == [6]


def test_following_an_empty_feed(version):
    server = FeedServer([], version=version)
    changes = server.connect().follow_changes(interval=0.001)
    server.before = lambda asked: server.rows.append(change(1)) if asked == 3 else None
    assert numbers(next(changes)) == [1]
    saved = server.connect().follow_changes(after=FeedServer([]).connect().follow_changes().cursor)
    assert numbers(next(saved)) == [1]


def test_a_quiet_feed_costs_one_small_question_a_turn(version):
    server = FeedServer([change(1)], version=version)
    changes = server.connect().follow_changes(interval=0.001)
    server.before = lambda asked: changes.close() if asked > 10 else None
    assert list(changes) == []
    assert all(path.endswith("latest") for path, _ in server.asked)


def test_a_wait_is_broken_off(version):
    stop = threading.Event()
    changes = FeedServer([change(1)], version=version).connect().follow_changes(interval=600, stop=stop)
    timer = threading.Timer(0.02, stop.set)
    timer.start()
    assert list(changes) == []
    timer.join()
    changes.close()


def test_a_long_backlog_comes_in_several_tables_in_order(version, monkeypatch):
    monkeypatch.setattr("dicomframe.client.following.MOST_ROWS", 300)
    server = FeedServer([change(number) for number in range(1, 1001)], version=version)
    changes = server.connect().follow_changes(interval=0.001, after=0)
    tables, cursors = [], []
    while sum(map(len, tables)) < 1000:
        tables.append(next(changes))
        cursors.append(changes.cursor)
    assert len(tables) > 2
    assert [number for table in tables for number in numbers(table)] == list(range(1, 1001))
    resumed = server.connect().follow_changes(interval=0.001, after=cursors[0])
    assert numbers(next(resumed))[0] == numbers(tables[0])[-1] + 1


def test_a_change_that_shows_up_late_comes_late_and_once(version):
    server = FeedServer([change(1), change(2)], version=version)
    changes = server.connect().follow_changes(interval=0.001, after=0)
    assert numbers(next(changes)) == [1, 2]
    server.rows.append(change(5, seconds=2))
    assert numbers(next(changes)) == [5]
    # Committed later than number 5, with a lower number and an earlier time.
    server.rows += [change(4, seconds=1), change(6, seconds=1)]
    assert numbers(next(changes)) == [4, 6]
    resumed = server.connect().follow_changes(interval=0.001, after=changes.cursor)
    server.rows += [change(3, seconds=2)]
    assert numbers(next(resumed)) == [3]
    server.rows += [change(7)]
    assert numbers(next(resumed)) == [7]


def test_throttling_and_restarts_are_waited_out(version, caplog):
    server = FeedServer([change(number) for number in range(1, 451)], version=version)
    troubles = {0: 429, 2: 503, 3: 500, 5: 502, 9: 504}
    server.before = lambda asked: (troubles[asked], {}, iter([b"busy"])) if asked in troubles else None
    seen = []
    with closing(server.connect().follow_changes(interval=0.0005, after=0)) as changes:
        while len(seen) < 450:
            seen += numbers(next(changes))
    assert seen == list(range(1, 451))
    assert "out of reach" in caplog.text


def test_a_server_that_keeps_changes_back_is_told_of(version):
    rows = [change(number, seconds=0) for number in range(1, 301)]
    server = FeedServer(rows, version=version, ignore_offset=True)
    changes = server.connect().follow_changes(interval=0.001, after=0)
    given_at_once = 100 if version == "v1" else 200
    assert numbers(next(changes)) == list(range(1, given_at_once + 1))
    server.before = lambda asked: changes.close() if asked > 12 else None
    with pytest.warns(IncompleteSearchWarning, match="may be missing"):
        assert list(changes) == []
    server.ignore_offset = False
    resumed = server.connect().follow_changes(interval=0.001, after=changes.cursor)
    assert numbers(next(resumed)) == list(range(given_at_once + 1, 301))


@pytest.mark.parametrize(
    ("url", "spoken"),
    [("http://h", "v2"), ("http://h/v1", "v1"), ("http://h/V1/", "v1"), ("http://h/gate/v1/partitions/a", "v1"),
     ("http://h/v2", "v2"), ("http://h/dicom-web", "v2"), ("http://h/v10", "v2")],
)  # fmt: skip
def test_the_version_is_told_by_the_url(url, spoken):
    assert api_version(Client(url).session) == spoken


def test_tables_that_were_followed_become_one(version):
    server = FeedServer([change(1), change(2)], version=version)
    client = server.connect()
    changes = client.follow_changes(interval=0.001, after=0)
    tables = [next(changes)]
    server.rows.append(change(3, sopInstanceUid="1.2.1.1", action="Delete", state="Deleted"))
    tables.append(next(changes))
    whole = pd.concat(tables, ignore_index=True)
    assert (whole.dtypes == tables[0].dtypes).all()
    assert whole.dicom.latest()[["sequence", "action"]].to_numpy().tolist() == [[2, "create"], [3, "delete"]]


def test_patience_ends(version):
    server = FeedServer([change(1)], version=version)
    changes = server.connect().follow_changes(interval=0.001, after=0, patience=0)
    server.before = lambda _: (429, {}, iter([b"no"]))
    with pytest.raises(ThrottledError):
        next(changes)
    server.before = lambda _: None
    assert numbers(next(changes)) == [1]


def test_a_refusal_is_raised_at_once_and_loses_nothing(version):
    server = FeedServer([change(number) for number in range(1, 301)], version=version)
    changes = server.connect(max_workers=1).follow_changes(interval=0.001, after=0)
    server.before = lambda asked: (403, {}, iter([b"no"])) if asked == 2 else None
    with pytest.raises(dfr.errors.PermissionDeniedError):
        next(changes)
    assert numbers(next(changes)) == list(range(1, 301))


@pytest.mark.parametrize("options", [{"interval": -1}, {"interval": "30"}, {"interval": float("nan")},
{"interval": True},
                                     {"patience": -1}, {"patience": None}])  # fmt: skip
def test_malformed_controls(options):
    with pytest.raises(QueryError, match=next(iter(options))):
        FeedServer([]).connect().follow_changes(**options)


# -- with the local service ------------------------------------------------------------------------------------------


@pytest.mark.covers("fact 44")
def test_what_happened_is_told(local, make_files, version):
    client = local.connect(api_version=version)
    client.store(make_files(2))
    client.delete("1.2.3", "1.2.3.1", "1.2.3.1.2")
    client.store(make_files(2))
    table = client.change_feed(metadata=True).to_frame()
    assert table[["sequence", "SOPInstanceUID", "action", "state"]].to_numpy().tolist() == [
        [1, "1.2.3.1.1", "create", "current"],
        [2, "1.2.3.1.2", "create", "replaced"],
        [3, "1.2.3.1.2", "delete", "replaced"],
        [4, "1.2.3.1.2", "create", "current"],
    ]
    assert table["PatientID"].tolist() == ["4MR1", pd.NA, pd.NA, "4MR1"]
    now = pd.Timestamp.now("UTC")
    assert (table["timestamp"].between(now - pd.Timedelta(minutes=5), now)).all()
    last = table.dicom.latest()
    assert numbers(last) == [1, 4]


def test_a_table_of_the_feed_leads_to_its_instances(local, make_files, tmp_path):
    client = local.connect()
    client.store(make_files(3))
    client.delete("1.2.3", "1.2.3.1", "1.2.3.1.3")
    last = client.change_feed().to_frame().dicom.latest()
    there = last[last["state"] == "current"]
    assert there.dicom.level == "instance"
    assert there.dicom.metadata(["PatientID"])["PatientID"].tolist() == ["4MR1", "4MR1"]
    outcome = last.dicom.download(tmp_path / "files")
    assert outcome["status"].value_counts().to_dict() == {"saved": 2, "failed": 1}
    assert there.dicom.delete()["status"].tolist() == ["deleted", "deleted"]
    assert client.change_feed().to_frame().dicom.latest()["state"].unique().tolist() == ["deleted"]


def test_readers_lose_and_double_nothing_while_others_store(local, make_files, version):
    client = local.connect(api_version=version)
    files = make_files(120)
    client.store(files[:30])
    changes = client.follow_changes(interval=0.005, after=0)
    parts = [files[start : start + 9] for start in range(30, 120, 9)]
    writer = threading.Thread(target=lambda: [client.store(part, progress=False) for part in parts])
    writer.start()
    followed, read = [], []
    while len(followed) < 120:
        followed += numbers(next(changes))
        read.append(numbers(client.change_feed().to_frame()))
    writer.join()
    assert followed == list(range(1, 121))
    assert all(found == list(range(1, len(found) + 1)) for found in read)
    assert len(read[-1]) >= len(read[0])


def test_a_follower_survives_a_restart_of_the_service(tmp_path, make_files):
    with dfr.start_local(tmp_path / "service") as local:
        port = int(local.url.rpartition(":")[2])
        client = Client(local.url, backoff=Backoff(retries=0), progress=False)
        client.store(make_files(2))
        changes = client.follow_changes(interval=0.01, after=0)
        assert numbers(next(changes)) == [1, 2]
    restarted = []

    def restart():
        restarted.append(dfr.start_local(tmp_path / "service", port=port))
        restarted[0].connect().store(make_files(1, first=3))

    timer = threading.Timer(0.05, restart)
    timer.start()
    try:
        assert numbers(next(changes)) == [3]
    finally:
        timer.join()
        restarted[0].stop()


# -- partitions ------------------------------------------------------------------------------------------------------


@pytest.mark.covers("fact 53")
def test_partitions_are_listed(make_files):
    with dfr.start_local(partitions=True) as local:
        trial = local.connect(partition="trial")
        trial.store(make_files(1))
        table = trial.partitions()
        assert table["PartitionName"].tolist() == ["Microsoft.Default", "trial"]
        assert table["key"].tolist() == [1, 2]
        assert {name: str(dtype) for name, dtype in table.dtypes.items()} == {
            "PartitionName": "string", "key": "Int64", "created": "datetime64[us, UTC]",
        }  # fmt: skip
        local.connect(partition="other").store(make_files(1))
        feed = trial.change_feed().to_frame().merge(trial.partitions(), on="PartitionName")
        assert feed["key"].tolist() == [2, 3]
        assert numbers(trial.change_feed().to_frame().dicom.latest()) == [1, 2]
        with pytest.raises(BadRequestError, match="no such data partition"):
            local.connect(partition="unknown").search_studies().to_frame()


@pytest.mark.covers("fact 53")
def test_partitions_switched_off(local):
    with pytest.raises(BadRequestError, match=r"switched off[\s\S]*there are none to list"):
        local.connect().partitions()
    with pytest.raises(BadRequestError, match=r"switched off[\s\S]*connect without partition="):
        local.connect(partition="a").partitions()
    with pytest.raises(BadRequestError, match="switched off"):
        local.connect(partition="a").search_studies().to_frame()


@pytest.mark.parametrize(
    ("body", "rows"),
    [(b'[{"PartitionKey": 1, "PartitionName": "a", "CreatedDate": "2024-01-15T14:30:00.1234567+00:00"}]', 1),
     (b'[{"key": "1", "name": "a", "created": "2024-01-15T15:30:00.1234567+01:00"}]', 1), (b"[]", 0), (b"", 0),
     (b"null", 0)],
)  # fmt: skip
def test_other_services_partitions(serve, connect, reply, body, rows):
    site = serve(reply(200 if body else 204, body, {"Content-Type": "application/json"}))
    table = connect(site.url).partitions()
    assert len(table) == rows
    assert [str(dtype) for dtype in table.dtypes] == ["string", "Int64", "datetime64[us, UTC]"]
    if rows:
        assert table.loc[0].tolist() == ["a", 1, pd.Timestamp("2024-01-15T14:30:00.123456Z")]
    assert site.asked[0].path == "/v2/partitions"


@pytest.mark.parametrize("body", [b"[1]", b"{}", b'"x"', b"<p>"])
def test_a_list_of_partitions_that_is_none(serve, connect, reply, body):
    site = serve(reply(200, body, {"Content-Type": "application/json"}))
    with pytest.raises(DecodeError):
        connect(site.url).partitions()


def test_entries_are_read_whole():
    assert read_entries(b'\xef\xbb\xbf [{"sequence": 1}]') == [{"sequence": 1}]


@pytest.mark.parametrize("moment", ["0001-01-01T00:00:00+05:00", "9999-12-31T23:59:59-05:00"])
def test_a_time_whose_offset_leads_out_of_the_calendar_is_an_issue(moment):
    table = dfr.from_change_feed([{"sequence": 1, "timestamp": moment}])
    assert table["timestamp"].isna().all()
    assert table.dicom.issues()["raw"].tolist() == [moment]
