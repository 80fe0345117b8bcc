"""The change feed and the list of partitions, by raw HTTP."""

import tempfile
from datetime import UTC, datetime, timedelta
from urllib.parse import quote

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dicomframe.service.bookmarks import Bookmarks
from dicomframe.service.selection import Place
from dicomframe.service.service import Service

UIDS = ("studyInstanceUid", "seriesInstanceUid", "sopInstanceUid")


def feed(http, query="", **parameters):
    pairs = "&".join(f"{name}={quote(str(value), safe='')}" for name, value in parameters.items())
    reply = http.get(f"changefeed?{query}{pairs}")
    assert reply.status == 200, reply.body
    assert reply.headers["content-type"] == "application/json"
    return reply.json


def sequences(entries):
    return [entry["sequence"] for entry in entries]


def write_changes(service, numbers, *, seconds=1, first=1_700_000_000):
    """Write changes of no instance straight into the index, with numbers of choice, one a second."""
    with service.index.transaction() as writer:
        writer.executemany(
            "INSERT INTO change (sequence, timestamp, action, partition, study, series, instance, version)"
            " VALUES (?, ?, 'Create', 1, '1.1', '1.1.1', '1.1.1.' || ?, ?)",
            [
                (number, (first + at * seconds) * 1_000_000, number, number)
                for at, number in enumerate(numbers)
            ],
        )


# -- entries and states ----------------------------------------------------------------------------------------------


@pytest.mark.covers("fact 43")
def test_an_entry(anyhow, dicom):
    before = datetime.now(UTC)
    anyhow.stored(dicom())
    (entry,) = feed(anyhow)
    metadata = entry.pop("metadata")
    moment = datetime.fromisoformat(entry.pop("timestamp"))
    assert before - timedelta(milliseconds=1) <= moment <= datetime.now(UTC)
    assert entry == {
        "sequence": 1,
        "partitionName": "Microsoft.Default",
        "studyInstanceUid": "1.1",
        "seriesInstanceUid": "1.1.1",
        "sopInstanceUid": "1.1.1.1",
        "action": "Create",
        "state": "Current",
    }
    assert metadata == anyhow.get("studies/1.1/metadata").json[0]


@pytest.mark.covers("fact 43")
@pytest.mark.parametrize("prefix", ["/v1", "/v2"])
def test_nothing_has_changed(http, prefix):
    reply = http.get(f"{prefix}/changefeed")
    assert (reply.status, reply.body) == (200, b"[]")
    reply = http.get(f"{prefix}/changefeed/latest")
    assert (reply.status, reply.body) == (204, b"")
    assert http.get(f"{prefix}/changefeed?offset=5").body == b"[]"


@pytest.mark.covers("fact 44")
@pytest.mark.parametrize("prefix", ["/v1", "/v2"])
def test_stored_deleted_and_stored_again(http, dicom, prefix):
    http.prefix = prefix

    def latest():
        entry = http.get("changefeed/latest").json
        return entry["sequence"], entry["action"], entry["state"], "metadata" in entry

    http.stored(dicom(PatientID="FIRST"))
    assert latest() == (1, "Create", "Current", True)
    http("DELETE", "studies/1.1")
    assert latest() == (2, "Delete", "Deleted", False)
    assert [entry["state"] for entry in feed(http)] == ["Deleted", "Deleted"]
    assert all("metadata" not in entry for entry in feed(http))
    http.stored(dicom(PatientID="SECOND"))
    assert latest() == (3, "Create", "Current", True)
    entries = feed(http)
    assert [entry["state"] for entry in entries] == ["Replaced", "Replaced", "Current"]
    assert [entry["action"] for entry in entries] == ["Create", "Delete", "Create"]
    assert [entry.get("metadata", {}).get("00100020") for entry in entries] == [
        None, None, {"vr": "LO", "Value": ["SECOND"]},
    ]  # fmt: skip


def test_a_strict_service_gives_replaced_entries_the_metadata_of_now(strict, dicom):
    strict.stored(dicom(PatientID="FIRST"))
    strict("DELETE", "studies/1.1")
    strict.stored(dicom(PatientID="SECOND"))
    entries = feed(strict)
    assert [entry["metadata"]["00100020"]["Value"] for entry in entries] == [["SECOND"]] * 3


def test_a_series_that_goes_is_one_entry_an_instance(http, dicom):
    http.stored(dicom("1/1/1"), dicom("1/1/2"), dicom("1/2/1"))
    http("DELETE", "studies/1.1/series/1.1.1")
    entries = feed(http)
    assert [entry["action"] for entry in entries] == ["Create"] * 3 + ["Delete"] * 2
    assert [entry["state"] for entry in entries] == ["Deleted", "Deleted", "Current", "Deleted", "Deleted"]
    assert len({entry["timestamp"] for entry in entries[3:]}) == 1


def test_the_same_instance_in_another_series_is_another(http, dicom):
    http.stored(dicom("1/1/1"), dicom("1/2/1", raw={"00080018": ("UI", "1.1.1.1")}))
    http("DELETE", "studies/1.1/series/1.1.1")
    assert [entry["state"] for entry in feed(http)] == ["Deleted", "Current", "Deleted"]


@pytest.mark.covers("fact 44")
def test_an_update_replaces(http, dicom):
    # As a bulk update leaves it: the instance has a new version, and a change says so.
    http.stored(dicom())
    with http.service.index.transaction() as writer:
        writer.execute("UPDATE instance SET version = 2")
        writer.execute(
            "INSERT INTO change (timestamp, action, partition, study, series, instance, version)"
            " SELECT timestamp + 1, 'Update', partition, study, series, instance, 2 FROM change"
        )
    entries = feed(http)
    assert [(entry["action"], entry["state"]) for entry in entries] == [
        ("Create", "Replaced"),
        ("Update", "Current"),
    ]
    assert ["metadata" in entry for entry in entries] == [False, True]


@pytest.mark.parametrize("name", ["includemetadata", "includeMetadata", "INCLUDEMETADATA"])
def test_without_metadata(http, dicom, name):
    http.stored(dicom())
    for path in ("changefeed", "changefeed/latest"):
        bare, full = (http.get(f"{path}?{name}={value}").json for value in ("False", "true"))
        entry, whole = (bare, full) if path.endswith("latest") else (bare[0], full[0])
        assert "metadata" not in entry
        assert "metadata" in whole


def test_accept_is_not_judged(http, dicom):
    http.stored(dicom())
    for accept in (None, "*/*", "application/json", "application/dicom+json", "image/jpeg"):
        reply = http.get("changefeed", accept=accept)
        assert (reply.status, reply.headers["content-type"]) == (200, "application/json")


def test_padding_of_uids_does_not_hide_an_instance(http, dicom):
    http.stored(dicom(raw={"00080018": ("UI", b"1.1.1.1\0\0")}))
    assert [entry["state"] for entry in feed(http)] == ["Current"]


MODEL_UIDS = st.sampled_from(
    [(study, series, instance) for study in "12" for series in "12" for instance in "12"]
)
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("store"), MODEL_UIDS),
        st.tuples(st.just("delete"), st.builds(lambda uids, depth: uids[:depth], MODEL_UIDS, st.integers(1, 3))),
    ),
    max_size=14,
)  # fmt: skip


@pytest.mark.covers("fact 44")
@settings(
    max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture]
)  # http_for gives a class
@given(steps=STEPS, version=st.sampled_from(["v1", "v2"]))
def test_states_are_those_of_a_plain_model(http_for, dicom, steps, version):
    log, present = [], {}
    with tempfile.TemporaryDirectory() as folder, Service.open(folder) as service:
        http = http_for(service, prefix=f"/{version}")
        for verb, uids in steps:
            if verb == "store":
                stored = http.store(dicom("/".join(uids))).status == 200
                assert stored == (uids not in present)
                if stored:
                    present[uids] = len(log)
                    log.append(("Create", uids))
            else:
                names = ["1." + ".".join(uids[: depth + 1]) for depth in range(len(uids))]
                path = "/".join(
                    f"{level}/{name}"
                    for level, name in zip(("studies", "series", "instances"), names, strict=False)
                )
                doomed = sorted(
                    (each for each in present if each[: len(uids)] == uids), key=present.__getitem__
                )
                assert http("DELETE", path).status == (204 if doomed else 404)
                log += [("Delete", each) for each in doomed]
                for each in doomed:
                    del present[each]
        entries = feed(http, limit=100)
    expected = []
    for number, (action, uids) in enumerate(log):
        state = "Deleted"
        if uids in present:
            state = "Current" if present[uids] == number else "Replaced"
        study, series, instance = uids
        expected.append(
            (
                number + 1,
                action,
                state,
                f"1.{study}",
                f"1.{study}.{series}",
                f"1.{study}.{series}.{instance}",
                state == "Current",
            )
        )
    assert [
        (entry["sequence"], entry["action"], entry["state"], *(entry[name] for name in UIDS), "metadata" in entry)
        for entry in entries
    ] == expected  # fmt: skip


# -- version 1 -------------------------------------------------------------------------------------------------------


@pytest.mark.covers("fact 41")
def test_offset_is_a_number_and_limit_a_span_of_numbers(v1):
    write_changes(v1.service, [*range(1, 21), *range(31, 41), 500])
    assert sequences(feed(v1)) == list(range(1, 11))
    assert sequences(feed(v1, offset=10)) == list(range(11, 21))
    assert sequences(feed(v1, offset=15)) == list(range(16, 21))
    assert feed(v1, offset=20) == []
    assert sequences(feed(v1, offset=20, limit=15)) == list(range(31, 36))
    assert sequences(feed(v1, offset=0, limit=100)) == [*range(1, 21), *range(31, 41)]
    assert feed(v1, offset=100, limit=100) == []
    assert sequences(feed(v1, offset=499, limit=1)) == [500]
    assert feed(v1, offset=2**63 - 1, limit=100) == []


@pytest.mark.parametrize(
    "query",
    ["limit=0", "limit=101", "limit=-1", "limit=x", "limit=", "offset=-1", "offset=1.5", "offset=92233720368547758070",
     "includemetadata=0", "includemetadata=true-ish", "includemetadata=", "offset=1&offset=2", "offset=1&OFFSET=2",
     "startTime=2024-01-15T14:30:00Z", "madeup=1", "limit=%EF%BC%91"],
)  # fmt: skip
def test_what_version_1_refuses(v1, query):
    reply = v1.get(f"changefeed?{query}")
    assert reply.status == 400
    name = query.partition("=")[0].lower()
    assert name in reply.message.lower()
    assert ("version 2" in reply.message) == (name == "starttime")


# -- version 2 -------------------------------------------------------------------------------------------------------


@pytest.mark.covers("fact 42")
def test_offset_counts_rows_within_a_window(http):
    write_changes(http.service, [*range(1, 151), *range(1000, 1250)])
    numbers = [*range(1, 151), *range(1000, 1250)]
    moment = {number: 1_700_000_000 + at for at, number in enumerate(numbers)}

    def at(number):
        return datetime.fromtimestamp(moment[number], UTC).isoformat()

    assert sequences(feed(http)) == numbers[:100]
    assert sequences(feed(http, limit=200)) == numbers[:200]
    assert sequences(feed(http, limit=200, offset=390)) == numbers[390:]
    assert feed(http, offset=400) == []
    assert sequences(feed(http, startTime=at(1000), endTime=at(1003))) == [1000, 1001, 1002]
    assert sequences(feed(http, startTime=at(1000), limit=2, offset=1)) == [1001, 1002]
    assert sequences(feed(http, endTime=at(3))) == [1, 2]
    assert feed(http, startTime=at(3), endTime=at(4).replace("+00:00", ".0000001Z")) != []
    assert sequences(feed(http, STARTTIME=at(1248))) == [1248, 1249]


@pytest.mark.covers("fact 42")
@pytest.mark.parametrize(
    ("start", "rows"),
    [("2023-11-14T22:13:20Z", 2), ("2023-11-14T22:13:20z", 2), ("2023-11-14 22:13:20Z", 2),
     ("2023-11-14T22:13:20.000Z", 2),
     ("2023-11-14T22:13:20.0000001Z", 1), ("2023-11-14T23:13:20+01:00", 2), ("2023-11-15T00:13:20+0200", 2),
     ("2023-11-14T14:13:20-08", 2), ("2023-11-14T22:13Z", 2), ("2023-11-14T22:14Z", 0), ("2023-11-15Z", 0),
     ("0001-01-01T00:00:00+14:00", 2), ("9999-12-31T23:59:59.9999999-14:00", 0)],
)  # fmt: skip
def test_times_in_any_zone(http, start, rows):
    write_changes(http.service, [1, 2])
    assert len(feed(http, startTime=start)) == rows


@pytest.mark.covers("fact 42")
@pytest.mark.parametrize(
    ("start", "end"),
    [("foo", "2023-05-03T10:58:00Z"), ("2023-05-03T10:58:00Z", "bar"), ("2023-05-03T10:58:00", "2023-05-03T11:00:00Z"),
     ("2023-05-03T10:58:00Z", "2023-05-03T11:00:00"), ("2023-05-03T10:58:00Z", "2023-05-03T10:58:00Z"),
     ("2023-05-03T10:59:00Z", "2023-05-03T10:58:00Z"), ("2023-05-03T10:58:00Z", "2023-05-03T11:58:00+01:00"),
     ("2023-13-03T10:58:00Z", "2024-05-03T10:58:00Z"), ("2023-02-29T10:58:00Z", "2024-05-03T10:58:00Z"),
     ("2023-05-03T10:58:00+15:00", "2024-05-03T10:58:00Z"), ("2023-05-03", "2024-05-03T10:58:00Z"),
     ("", "2024-05-03T10:58:00Z"),
     ("1683111480", "2024-05-03T10:58:00Z"), ("2023-W01-1T10:58:00Z", "2024-05-03T10:58:00Z")],
)  # fmt: skip
def test_windows_that_are_refused(http, start, end):
    reply = http.get(f"changefeed?startTime={quote(start, safe='')}&endTime={quote(end, safe='')}")
    assert reply.status == 400
    assert "Time" in reply.message


def test_a_plus_that_was_not_encoded_is_explained(http):
    reply = http.get("changefeed?startTime=2023-05-03T10:58:00+02:00")
    assert reply.status == 400
    assert "%2B" in reply.message


@pytest.mark.parametrize("query", ["limit=0", "limit=201", "offset=-1",
"startTime=2024-01-15T14:30:00Z&starttime=2024-01-15T14:30:00Z",
                                   "madeup=1", "includemetadata=1"])  # fmt: skip
def test_what_version_2_refuses(http, query):
    assert http.get(f"changefeed?{query}").status == 400


def test_latest_takes_metadata_or_not_and_nothing_else(http):
    for query in ("includemetadata=asdf", "offset=0"):
        assert http.get(f"changefeed/latest?{query}").status == 400
    assert http("POST", "changefeed").status == 405
    assert http.get("changefeed/1").status == 404


def test_a_strict_service_passes_over_unknown_parameters_as_the_real_one_does(strict, dicom):
    strict.stored(dicom())
    assert len(feed(strict, madeup=1)) == 1
    assert strict.get("/v1/changefeed?startTime=nonsense").status == 200
    assert strict.get("changefeed?startTime=nonsense").status == 400


def test_no_page_scans_the_feed(http):
    write_changes(http.service, range(1, 50))
    from dicomframe.service import changefeed

    window = changefeed._page_by_time({"offset": "40"})
    pages = [
        changefeed._page_by_sequence({"offset": "5"}),
        changefeed._page_by_time(
            {"startTime": "2023-11-14T22:13:20Z", "endTime": "2023-11-14T22:14:20Z"}
        ).page(),
        window.page(),
        window.page(Place(offset=39, key=40)),
        changefeed._LATEST,
    ]
    for page in pages:
        statement = changefeed._statement(page, changefeed._METADATA_OF_CURRENT)
        plan = http.service.index.reader.execute(f"EXPLAIN QUERY PLAN {statement}", page.values).fetchall()
        scans = [text for *_, text in plan if text.startswith("SCAN") and "page" not in text]
        assert all("COVERING INDEX change_timestamp" in text for text in scans), plan
    assert "change_timestamp (timestamp>?)" in str(plan_of(http, pages[3]))


def plan_of(http, page):
    return http.service.index.reader.execute(f"EXPLAIN QUERY PLAN {page.statement}", page.values).fetchall()


def test_a_page_begins_where_one_before_it_ended_whatever_is_written(http, dicom, monkeypatch):
    """Windows are read in turns, in pages that overlap and come out of order, while changes arrive."""
    write_changes(http.service, range(1, 101), seconds=0)  # all at one moment, as a series is deleted
    write_changes(http.service, range(105, 205), first=1_700_000_100)
    started = []
    nearest = Bookmarks.nearest

    def watched(bookmarks, search, offset):
        place = nearest(bookmarks, search, offset)
        started.append(place.offset if place else None)
        return place

    monkeypatch.setattr(Bookmarks, "nearest", watched)
    numbers = [*range(1, 101), *range(105, 205)]
    windows = ({}, {"startTime": "2023-11-14T22:15:05Z"}, {"endTime": "2023-11-14T22:16:00Z"})
    members = (numbers, numbers[105:], numbers[:160])
    for offset in (0, 20, 40, 39, 90, 60, 110, 130, 100, 300):
        for window, all_of_it in zip(windows, members, strict=True):
            found = sequences(feed(http, offset=offset, limit=20, includemetadata="false", **window))
            expected = all_of_it[offset : offset + 20]
            assert [number for number in found if number < 205] == expected, (window, offset)
        http.stored(dicom(f"1/1/{offset + 1}"))
    assert started[::3] == [None, 19, 39, 39, 59, 59, 109, 129, 79, 149]


# -- partitions ------------------------------------------------------------------------------------------------------


@pytest.fixture
def parted(tmp_path, http_for):
    with Service.open(tmp_path / "parted", partitions=True) as service:
        yield http_for(service)


@pytest.mark.covers("fact 53")
@pytest.mark.parametrize("version", ["v1", "v2"])
def test_the_list_of_partitions(parted, http_for, dicom, version):
    parted.prefix = f"/{version}"
    before = datetime.now(UTC)
    http_for(parted.service, prefix=f"/{version}/partitions/trial-1").stored(dicom())
    reply = parted.get("partitions")
    assert (reply.status, reply.headers["content-type"]) == (200, "application/json")
    default, trial = reply.json
    assert (default["partitionKey"], default["partitionName"]) == (1, "Microsoft.Default")
    assert (trial["partitionKey"], trial["partitionName"]) == (2, "trial-1")
    assert before - timedelta(seconds=1) <= datetime.fromisoformat(trial["createdDate"]) <= datetime.now(UTC)
    assert parted.get("partitions?x=1").status == 400
    assert parted("POST", "partitions").status == 405


@pytest.mark.covers("fact 53")
def test_switched_off_every_route_of_partitions_is_refused(http, dicom):
    http.stored(dicom())
    for method, path in (
        ("GET", "partitions"),
        ("GET", "partitions/a/studies"),
        ("POST", "partitions/a/studies"),
        ("DELETE", "partitions/Microsoft.Default/studies/1.1"),
        ("GET", "partitions/a/changefeed"),
        ("GET", "partitions/a/studies/1.1/metadata"),
        ("GET", "partitions/a/series"),
        ("GET", "partitions/a/workitems"),
    ):
        for version in ("v1", "v2"):
            reply = http(method, f"/{version}/{path}")
            assert reply.status == 400
            assert "switched off" in reply.message


@pytest.mark.covers("fact 53")
def test_switched_on_only_storing_makes_a_partition(parted, http_for, dicom):
    names = lambda: [each["partitionName"] for each in parted.get("partitions").json]  # noqa: E731
    for method, path in (
        ("GET", "studies"),
        ("GET", "series"),
        ("GET", "instances"),
        ("GET", "studies/1.1"),
        ("GET", "studies/1.1/metadata"),
        ("DELETE", "studies/1.1"),
    ):
        unnamed = parted(method, path)
        assert unnamed.status == 400
        assert "must name one" in unnamed.message
        unknown = parted(method, f"partitions/new/{path}")
        assert unknown.status == 400
        assert "no such data partition" in unknown.message
    assert names() == ["Microsoft.Default"]
    assert parted.store(dicom()).status == 400
    http_for(parted.service, prefix="/v2/partitions/new").stored(dicom())
    assert names() == ["Microsoft.Default", "new"]
    assert parted.get("partitions/Microsoft.Default/studies").status == 204


@pytest.mark.covers("fact 53")
def test_the_feed_is_the_whole_services(parted, http_for, dicom):
    first, second = (http_for(parted.service, prefix=f"/v2/partitions/{name}") for name in "ab")
    first.stored(dicom())
    second.stored(dicom())
    first("DELETE", "studies/1.1")
    assert [(entry["partitionName"], entry["state"]) for entry in feed(parted)] == [
        ("a", "Deleted"), ("b", "Current"), ("a", "Deleted"),
    ]  # fmt: skip
    for path in ("changefeed", "changefeed/latest", "partitions", "operations/1"):
        reply = first.get(path)
        assert reply.status == 404
        if path != "partitions":
            assert "outside data partitions" in reply.message


def test_reading_while_storing_shifts_no_page(http, dicom):
    http.stored(*(dicom(f"1/1/{number}") for number in range(30)))
    end = http.get("changefeed/latest").json["timestamp"]
    seen = []
    for offset in range(0, 40, 10):
        seen += sequences(feed(http, endTime=end, limit=10, offset=offset))
        http.stored(dicom(f"2/1/{offset + 1}"))
    assert seen == list(range(1, 30))
