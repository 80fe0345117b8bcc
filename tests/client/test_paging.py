"""Searches against archives that page as they like: nothing lost, nothing doubled, and an honest verdict."""

import json
import threading
import time
import warnings
from contextlib import suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dicomframe.client.client import Client
from dicomframe.client.pages import Page, decode_rows, read_page
from dicomframe.client.session import InProcessAdapter
from dicomframe.errors import BadRequestError, DecodeError, IncompleteSearchWarning, NotFoundError, QueryError

AZURE = {"api-supported-versions": "1.0, 2.0"}


def study(number, **more):
    return {
        "0020000D": {"vr": "UI", "Value": [f"1.2.{number}"]},
        "00100020": {"vr": "LO", "Value": [f"P{number}"]},
        **more,
    }


class Archive:
    """A server's search, in process, with as many bad habits as a test wants."""

    def __init__(self, count, *, cap=None, ignore_offset=False, ignore_limit=False, headers=None, refuse_after=None,
                 empty=204, rows=None, latency=0.0):  # fmt: skip
        self.rows = rows if rows is not None else [study(number) for number in range(count)]
        self.cap = cap
        self.ignore_offset = ignore_offset
        self.ignore_limit = ignore_limit
        self.headers = headers or {}
        self.refuse_after = refuse_after
        self.empty = empty
        self.latency = latency
        self.asked = []
        self.before = lambda _: None
        self._lock = threading.Lock()

    def __call__(self, method, target, headers, body):
        params = dict(pair.split("=") for pair in target.partition("?")[2].split("&"))
        limit, offset = int(params["limit"]), int(params["offset"])
        with self._lock:
            self.before(len(self.asked))
            self.asked.append((offset, limit))
            rows = list(self.rows)
        time.sleep(self.latency)
        if self.refuse_after is not None and offset >= self.refuse_after:
            return 400, {}, iter([b"offset too large"])
        end = (
            len(rows)
            if self.ignore_limit
            else min(limit, self.cap or limit) + (0 if self.ignore_offset else offset)
        )
        page = rows[0 if self.ignore_offset else offset : end]
        if not page and self.empty == 204:
            return 204, dict(self.headers), iter([])
        return (
            200,
            {"Content-Type": "application/dicom+json", **self.headers},
            iter([json.dumps(page).encode()]),
        )

    def connect(self, **options):
        return Client("http://127.0.0.1:80", adapter=InProcessAdapter(self), progress=False, **options)


def uids(table):
    return table["StudyInstanceUID"].tolist()


def expected(count):
    return [f"1.2.{number}" for number in range(count)]


HABITS = {
    "documented": {"headers": AZURE},
    "plain": {},
    "empty list": {"empty": 200},
    "capped": {"cap": 7},
    "ignores the limit": {"ignore_limit": True},
    "ignores both": {"ignore_limit": True, "ignore_offset": True},
}


@pytest.mark.parametrize("habit", HABITS)
@pytest.mark.parametrize("workers", [1, 4])
@settings(max_examples=15)
@given(count=st.integers(0, 60), page_size=st.integers(1, 25))
def test_every_row_once_and_in_order(habit, workers, count, page_size):
    archive = Archive(count, **HABITS[habit])
    search = archive.connect(max_workers=workers).search_studies(page_size=page_size)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", IncompleteSearchWarning)
        assert uids(search.to_frame()) == expected(count)
    if habit != "ignores both":
        assert search.completeness == "complete"
    assert len(archive.asked) <= count + 3 + workers


@settings(max_examples=60)
@given(count=st.integers(0, 40), page_size=st.integers(1, 15), limit=st.integers(1, 45), capped=st.booleans())
def test_limit_and_verdict(count, page_size, limit, capped):
    archive = Archive(count, cap=4 if capped else None)
    search = archive.connect(max_workers=3).search_studies(page_size=page_size, limit=limit)
    assert uids(search.to_frame()) == expected(min(count, limit))
    assert search.completeness == ("truncated" if count > limit else "complete")
    assert sum(min(asked, 15) for _, asked in archive.asked) <= (limit + 1) * 5 + 15 * 5
    assert all(asked <= page_size for _, asked in archive.asked)


def test_the_service_is_not_asked_after_a_short_page_and_others_are():
    documented = Archive(5, headers=AZURE)
    documented.connect().search_studies(page_size=10).to_frame()
    assert documented.asked == [(0, 10)]
    other = Archive(5)
    other.connect().search_studies(page_size=10).to_frame()
    assert other.asked == [(0, 10), (4, 10)]  # from its last row on


def test_the_limit_costs_one_row_more():
    archive = Archive(500, headers=AZURE)
    archive.connect().search_studies(limit=50).to_frame()
    assert archive.asked == [(0, 51)]


def test_a_search_is_not_sent_before_it_is_read():
    archive = Archive(1)
    search = archive.connect().search_studies()
    assert (archive.asked, repr(search)) == ([], "<Search for studies>")
    search.to_frame()
    assert archive.asked


# -- a server that ignores the offset ---------------------------------------------------------------------------------


@pytest.mark.parametrize("workers", [1, 8])
def test_an_ignored_offset_ends_the_reading(workers):
    archive = Archive(50, ignore_offset=True)
    search = archive.connect(max_workers=workers).search_studies(page_size=10)
    with pytest.warns(IncompleteSearchWarning):
        table = search.to_frame()
    assert uids(table) == expected(10)
    assert search.completeness == table.attrs["dicom"]["completeness"] == "drifted"
    assert len(archive.asked) <= 3 + workers + 2  # two more wait in the queue


def test_a_server_that_does_not_page_and_has_given_all_is_complete():
    archive = Archive(5, ignore_offset=True)
    search = archive.connect().search_studies(page_size=10)
    assert uids(search.to_frame()) == expected(5)
    assert search.completeness == "complete"


def test_rows_without_uids_do_not_loop_for_ever():
    archive = Archive(
        0, rows=[{"00100020": {"vr": "LO", "Value": [f"P{n}"]}} for n in range(10)], ignore_offset=True
    )
    with pytest.warns(IncompleteSearchWarning):
        assert len(archive.connect().search_studies(page_size=5).to_frame()) == 5
    assert len(archive.asked) < 15


# -- rows that move ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("workers", [1, 4])
@pytest.mark.parametrize("arriving", [1, 3, 10, 17])
def test_data_that_arrives_meanwhile_is_noticed_and_doubles_nothing(workers, arriving):
    """Newest first: what arrives pushes the others down."""
    archive = Archive(45, headers=AZURE)

    def arrive(requests):
        if requests == 1:
            archive.rows[:0] = [study(1000 + number) for number in range(arriving)]

    archive.before = arrive
    search = archive.connect(max_workers=workers).search_studies(page_size=10)
    with pytest.warns(IncompleteSearchWarning, match="Rows came twice"):
        table = search.to_frame()
    found = uids(table)
    assert len(found) == len(set(found))
    assert set(expected(45)) <= set(found)
    assert search.completeness == "drifted"


def test_an_endless_archive_is_bounded_by_the_limit():
    archive = Archive(20_000, headers=AZURE)
    table = archive.connect(max_workers=8).search_studies(page_size=100, limit=450).to_frame()
    assert uids(table) == expected(450)
    assert max(offset for offset, _ in archive.asked) <= 450


# -- the server's own end ---------------------------------------------------------------------------------------------


def test_a_server_that_refuses_to_go_further_is_said():
    archive = Archive(100, refuse_after=40)
    search = archive.connect(max_workers=4).search_studies(page_size=10)
    with pytest.warns(IncompleteSearchWarning, match="before its end"):
        assert uids(search.to_frame()) == expected(46)  # the last page began at 36, with the row before it
    assert search.completeness == "truncated"
    with pytest.raises(BadRequestError):
        Archive(100, refuse_after=0).connect().search_studies().to_frame()


def test_a_server_that_announces_more_than_it_gives():
    archive = Archive(
        10, headers={"Warning": "299 host: There are 90 additional results that can be requested"}
    )
    search = archive.connect().search_studies(page_size=20)
    with pytest.warns(IncompleteSearchWarning):
        search.to_frame()
    assert search.completeness == "truncated"


# -- several queries --------------------------------------------------------------------------------------------------


def by_patient(asked, as_json):
    """Answer with the studies whose patient's name begins as was asked."""
    params = asked.params
    names = {"1.2.1": "Anna", "1.2.2": "Annabel", "1.2.3": "Bert"}
    prefix = params.get("PatientName", "").rstrip("*")
    rows = [study(uid[4:]) for uid, name in names.items() if name.startswith(prefix)]
    offset, limit = int(params["offset"]), int(params["limit"])
    return as_json(rows[offset : offset + limit], api_supported_versions="2.0")


def test_lists_are_united_by_uid_without_a_false_alarm(serve, connect, as_json):
    site = serve(lambda asked: by_patient(asked, as_json))
    search = connect(site.url).search_studies(PatientName=["Anna*", "Annab*", "B*", "Q*"])
    assert uids(search.to_frame()) == expected(4)[1:]
    assert search.completeness == "complete"
    assert len(site.asked) == 4
    limited = connect(site.url).search_studies(PatientName=["Anna*", "B*"], limit=2)
    assert (uids(limited.to_frame()), limited.completeness) == (["1.2.1", "1.2.2"], "truncated")
    exact = connect(site.url).search_studies(PatientName=["Anna*", "Annab*"], limit=2)
    assert (uids(exact.to_frame()), exact.completeness) == (["1.2.1", "1.2.2"], "complete")


def test_an_empty_list_asks_nothing_and_is_typed(serve, connect, as_json):
    site = serve(as_json([]))
    client = connect(site.url)
    table = client.search_studies(PatientID=[]).to_frame()
    assert (len(table), site.asked) == (0, [])
    assert table.dtypes.equals(client.search_studies().to_frame().dtypes)
    assert str(table.dtypes["StudyDate"]) == "datetime64[s]"


def test_searches_are_collected(serve, connect, as_json):
    site = serve(lambda asked: by_patient(asked, as_json))
    client = connect(site.url)
    searches = [client.search_studies(PatientName=name) for name in ("Anna*", "B*", "Anna*")]
    assert uids(client.collect("study", searches)) == expected(4)[1:]
    assert len(site.asked) == 2
    assert len(client.collect("series", [])) == 0
    with pytest.raises(QueryError):
        client.collect("study", [*searches, client.search_series()])


# -- reading ----------------------------------------------------------------------------------------------------------


def test_pages_are_json_objects_without_doubles(serve, connect, as_json):
    archive = Archive(25, headers=AZURE)
    pages = list(archive.connect().search_studies(page_size=10).pages())
    assert [len(page) for page in pages] == [10, 9, 6]
    assert pages[0][0] == study(0)


def test_an_abandoned_search_stops_asking():
    archive = Archive(10_000, headers=AZURE, latency=0.01)
    pages = archive.connect(max_workers=4).search_studies(page_size=10).pages()
    next(pages)
    next(pages)
    pages.close()
    asked = len(archive.asked)
    time.sleep(0.1)
    assert len(archive.asked) == asked < 30


def test_pages_are_fetched_side_by_side():
    running, most, lock = [0], [0], threading.Lock()

    class Counting(Archive):
        def __call__(self, *asked):
            with lock:
                running[0] += 1
                most[0] = max(most[0], running[0])
            try:
                return super().__call__(*asked)
            finally:
                with lock:
                    running[0] -= 1

    archive = Counting(2000, headers=AZURE, latency=0.02)
    search = archive.connect(max_workers=8).search_studies(page_size=20)
    assert uids(search.to_frame()) == expected(2000)
    assert 1 < most[0] <= 8


def test_nothing_is_asked_far_behind_an_end_that_has_come():
    """Also where the pages before it have not: a request past the end is one more to wait for."""

    class SlowInPlaces(Archive):
        def __call__(self, method, target, headers, body):
            time.sleep({"9": 0.3, "27": 0.6}.get(target.rpartition("offset=")[2], 0))
            return super().__call__(method, target, headers, body)

    archive = SlowInPlaces(45)
    client = archive.connect(max_workers=3)
    table = client.search_studies(page_size=10).to_frame()
    assert uids(table) == expected(45)
    assert table.attrs["dicom"]["completeness"] == "complete"
    # Those that waited for a worker when the end came, and no more.
    assert max(offset for offset, _ in archive.asked) <= 45


def test_issues_and_completeness_read_the_search_if_need_be():
    bad = study(1) | {"00080020": {"vr": "DA", "Value": ["yesterday"]}}
    archive = Archive(0, rows=[bad])
    search = archive.connect().search_studies()
    assert search.issues["keyword"].tolist() == ["StudyDate"]
    asked = len(archive.asked)
    assert search.completeness == "complete"
    assert len(archive.asked) == asked
    assert archive.connect().search_studies().completeness == "complete"


def test_what_the_table_knows_of_its_search():
    client = Archive(3, headers=AZURE).connect()
    table = client.search_studies(PatientName="Smith*", fields="all").to_frame()
    known = table.attrs["dicom"]
    assert (known["service"], known["level"], known["filters"]) == (client.url, "study", ["PatientName"])
    assert "Smith" not in json.dumps(known) + repr(client.search_studies(PatientName="Smith*"))


@pytest.mark.parametrize("wrong", [{"limit": 0}, {"limit": -1}, {"limit": True}, {"limit": 2.5}, {"page_size": 0},
                                   {"page_size": "10"}])  # fmt: skip
def test_malformed_controls(wrong):
    with pytest.raises(QueryError):
        Archive(1).connect().search_studies(**wrong)


def test_errors_of_a_later_page_are_errors(serve, connect, reply, as_json):
    def answer(asked):
        if asked.params["offset"] == "0":
            return as_json([study(1), study(2)], api_supported_versions="2")
        return reply(404, b"gone")

    with pytest.raises(NotFoundError):
        connect(serve(answer).url).search_studies(page_size=2).to_frame()


# -- one page ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "content",
    [b"", b"[]", b" \n", b"[ ]", b"\xef\xbb\xbf[]"],
)
def test_no_rows(content):
    assert read_page(content, "study", 5).uids == []


@pytest.mark.parametrize(
    "content", [b"null", b"7", b'"x"', b"{broken", b"[1]", b"[null]", b"<html>", b"\xff\xfe"]
)
def test_what_is_no_page(content):
    with pytest.raises(DecodeError):
        read_page(content, "study", 5)


def test_a_single_object_is_a_page():
    assert read_page(json.dumps(study(7)).encode(), "study", 5).uids == ["1.2.7"]


attributes = st.fixed_dictionaries(
    {"vr": st.just("UI")}, optional={"Value": st.lists(st.none() | st.text(max_size=4), max_size=2)}
)
items = st.dictionaries(st.sampled_from(["0020000D", "00100020", "0020000d"]), attributes, max_size=2)
sequences = st.fixed_dictionaries({"vr": st.just("SQ"), "Value": st.lists(items, max_size=2)})
rows_of_any_kind = st.lists(
    st.dictionaries(
        st.sampled_from(["0020000D", "00081199", "00100020"]), attributes | sequences, max_size=3
    ),
    max_size=6,
)


@given(rows_of_any_kind, st.integers(1, 7))
def test_the_quick_look_finds_what_decoding_finds(rows, asked):
    """Nested UIDs, missing ones, empty ones: the regular expression must not be taken in."""
    page = read_page(json.dumps(rows, separators=(",", ":")).encode(), "study", asked)
    assert len(page.uids) == len(rows)
    for uid, row in zip(page.uids, rows, strict=True):
        values = row.get("0020000D", {}).get("Value") or []
        if row.get("0020000D", {}).get("vr") == "UI":
            assert uid == (values[0].rstrip(" \0") if values and values[0] else "")


@given(
    st.lists(st.sampled_from(["", "1", "2", "3", "4"]), max_size=8),
    st.sets(st.sampled_from("1234")),
    st.none() | st.integers(0, 5),
)
def test_without_keeps_the_first_of_each(listed, seen, most):
    page = Page(json.dumps([{"n": at} for at in range(len(listed))]).encode(), listed)
    kept = page.without(seen, most)
    wanted = [at for at, uid in enumerate(listed) if not uid or (uid not in seen and uid not in listed[:at])][
        :most
    ]
    assert [row["n"] for row in (decode_rows(kept.content) if kept.content else [])] == wanted
    assert kept.uids == [listed[at] for at in wanted]


@pytest.mark.parametrize("headers", [{}, AZURE])
@pytest.mark.parametrize("workers", [1, 4])
def test_rows_deleted_while_the_pages_are_read_are_noticed(workers, headers):
    archive = Archive(300, headers=headers)

    def delete_five(requests_before):
        if requests_before == 1:
            del archive.rows[10:15]

    archive.before = delete_five
    search = archive.connect(max_workers=workers).search_studies(page_size=100)
    with pytest.warns(IncompleteSearchWarning):
        found = uids(search.to_frame())
    assert len(found) < 300
    assert search.completeness == "drifted"


@pytest.mark.parametrize(
    "answer", [b'{"a": 1}', b'{"error": {"code": "X", "message": "no"}}', b'["a"]', b"7"]
)
def test_json_that_is_no_row_is_no_answer(answer):
    with pytest.raises(DecodeError):
        decode_rows(answer)


@given(
    st.lists(rows_of_any_kind.filter(bool).map(lambda rows: rows[0]), min_size=2, max_size=4), st.booleans()
)
def test_the_row_by_which_pages_overlap_is_cut_off_exactly(rows, indented):
    """The bytes behind it stay as they came: members that stand there twice, texts that look like the end of a row."""
    rows[1]["00081030"] = {"vr": "LO", "Value": ['}}, {"é"']}
    first = json.dumps(rows[0], indent=1 if indented else None)
    rest = '{"00080060":{"vr":"CS"},"00080060":{}},' + ",".join(json.dumps(row) for row in rows[1:]) + " ]\n"
    page = Page(f" [ {first} , {rest}".encode(), ["1", *map(str, range(2, len(rows) + 2))])
    assert page.without({"1"}).content == f"[{rest}".encode()


@pytest.mark.parametrize("content", [b'[{"a": 1} {"b": 2}]', b'[{"a": NaN}, {"b": "\xff"}]', b'{"a": 1}'])
def test_a_page_that_cannot_be_cut_is_decoded_or_refused(content):
    page = Page(content, ["1", "2"])
    with suppress(DecodeError, IndexError):
        assert decode_rows(page.without({"1"}).content) == [{"b": "\\xff"}]
