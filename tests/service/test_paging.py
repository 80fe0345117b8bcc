"""Pages far into the rows: begun at a bookmark or counted from the newest row, they are the same."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dicomframe.service.bookmarks import Bookmarks
from dicomframe.service.matching import ALIAS
from dicomframe.service.selection import Place, Selection, to_sql
from dicomframe.service.service import Service

TAGGED = {"path": "00181030", "vr": "LO", "level": "Instance"}
SEARCHES = [
    "studies",
    "series",
    "instances",
    "series?Modality=CT",
    "instances?Modality=CT",
    "instances?StudyDescription=a*",
    "instances?00181030=knee",
    "instances?00181030=knee&Modality=CT",
    "studies/1.1/instances",
    "studies/1.1/series/1.1.1/instances",
    "studies/1.1/series",
]
NUMBERS = st.integers(1, 3)
STORES = st.tuples(
    st.just("store"), NUMBERS, NUMBERS, st.integers(1, 9), st.sampled_from(["CT", "MR"]), st.sampled_from(["a", "b"])
)  # fmt: skip
DELETES = st.tuples(st.just("delete"), NUMBERS, NUMBERS, st.integers(1, 9), st.integers(1, 3))
PAGES = st.tuples(st.just("page"), st.integers(0, 1000), st.integers(1, 6))
STEPS = st.lists(st.tuples(st.booleans(), st.one_of(STORES, DELETES, PAGES, PAGES)), min_size=10, max_size=40)


def page(http, search, offset, limit):
    sign = "&" if "?" in search else "?"
    reply = http.get(f"{search}{sign}offset={offset}&limit={limit}")
    assert reply.status in {200, 204}, reply.body
    return reply.json if reply.body else []


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(search=st.sampled_from(SEARCHES), steps=STEPS)
def test_pages_are_those_of_the_moment_whatever_is_written(search, steps, http_for, dicom):
    """Two services on one folder: what one writes, the other's bookmarks must not outlive."""
    with tempfile.TemporaryDirectory() as folder, Service.open(folder) as one, Service.open(folder) as two:
        both = [http_for(one), http_for(two)]
        body = json.dumps([TAGGED]).encode()
        both[0]("POST", "extendedquerytags", {"Content-Type": "application/json"}, body)

        def file(study, series, instance, modality="CT", described="a"):
            raw = {"00181030": ("LO", "knee" if instance % 2 else "hip")}
            return dicom(
                f"{study}/{series}/{instance}", Modality=modality, StudyDescription=described, raw=raw
            )

        both[0].stored(*(file(1 + at % 3, 1 + at % 2, at) for at in range(10, 30)))
        for is_second, (what, *how) in steps:
            http = both[is_second]
            if what == "store":
                assert http.store(file(*how)).status in {200, 202, 409}
            elif what == "delete":
                study, series, instance, depth = how
                parts = [f"studies/1.{study}", f"series/1.{study}.{series}"]
                parts.append(f"instances/1.{study}.{series}.{instance}")
                assert http("DELETE", "/".join(parts[:depth])).status in {204, 404}
            else:
                place, limit = how
                # A search's first page has no bookmark: all rows, and the page out of them.
                everything = page(http, search, 0, 200)
                offset = place % (len(everything) + 1)
                assert page(http, search, offset, limit) == everything[offset : offset + limit]


def test_all_ways_through_the_tables_begin_at_bookmarks(http, dicom, monkeypatch):
    """Each search is read page by page, in overlapping pages out of order, and never counts from the newest row."""
    body = json.dumps([TAGGED]).encode()
    http("POST", "extendedquerytags", {"Content-Type": "application/json"}, body)
    http.stored(
        *(
            dicom(f"1/{1 + at % 2}/{at}", StudyDescription="a", raw={"00181030": ("LO", "knee")})
            for at in range(60)
        )
    )
    started = []
    nearest = Bookmarks.nearest

    def watched(bookmarks, search, offset):
        started.append((offset, nearest(bookmarks, search, offset)))
        return started[-1][1]

    monkeypatch.setattr(Bookmarks, "nearest", watched)
    monkeypatch.setattr("dicomframe.service.offload._THREADS", 1)
    for search in (each for each in SEARCHES if each.endswith("instances") or each.startswith("instances?")):
        everything = page(http, search, 0, 200)
        started.clear()
        for offset in (9, 18, 27, 4, 36, 31, 45, 54, 58, 70):
            assert page(http, search, offset, 10) == everything[offset : offset + 10]
        known = [place.offset if place else None for _, place in started]
        if len(everything) == 60 and not search.startswith("instances?0"):
            assert known == [None, 18, 27, None, 36, 27, 45, 54, 54, 59], search


@pytest.mark.parametrize(("level", "series"), [("series", None), ("instance", None), ("instance", "1.1.1")])
@pytest.mark.parametrize("start", [None, Place(offset=4, key=9)])
def test_a_page_of_a_large_study_neither_sorts_nor_scans_it(service, level, series, start):
    selection = Selection(level, 1, "v2", "1.1", series, limit=5, offset=9)
    plan = service.index.reader.execute(*explained(to_sql(selection, None, start))).fetchall()
    below = [text for *_, text in plan if f" {ALIAS[level]} USING" in text]
    assert below, plan
    assert all("_newest_of_" in text for text in below), plan
    # The page's own few rows are put into order once more.
    assert sum("ORDER BY" in text for *_, text in plan) <= 1, plan


def explained(clause):
    sql, values = clause
    return f"EXPLAIN QUERY PLAN {sql}", values


def test_threads_that_share_a_search_get_their_own_pages(service, http_for, dicom):
    """As the client asks: pages that overlap by a row, many at a time, out of order, while others store."""
    http = http_for(service)
    http.stored(*(dicom(f"1/{1 + at % 3}/{at}") for at in range(200)))
    everything = page(http, "studies/1.1/instances", 0, 200)
    done = threading.Event()

    def others():
        number = 0
        while not done.is_set():
            number += 1
            http.stored(dicom(f"2/1/{number}"))

    writer = threading.Thread(target=others)
    writer.start()
    try:
        with ThreadPoolExecutor(8) as pool:
            offsets = [9 * at for at in range(22)] * 4
            pages = list(pool.map(lambda offset: page(http, "studies/1.1/instances", offset, 10), offsets))
    finally:
        done.set()
        writer.join()
    assert pages == [everything[offset : offset + 10] for offset in offsets]


def test_what_another_process_writes_ends_bookmarks(tmp_path, http_for, dicom):
    delete = (
        "import sys; from dicomframe.service.service import Service; from dicomframe.service.inprocess import handler\n"
        "with Service.open(sys.argv[1]) as service:\n"
        "    path = '/v2/studies/1.1/series/1.1.1/instances/1.1.1.15'\n"
        "    assert handler(service.app)('DELETE', path, {}, [])[0] == 204\n"
    )
    with Service.open(tmp_path) as service:
        http = http_for(service)
        http.stored(*(dicom(f"1/1/{at}") for at in range(20)))
        before = page(http, "instances", 0, 200)
        assert page(http, "instances", 8, 4) == before[8:12]
        subprocess.run([sys.executable, "-c", delete, str(tmp_path)], check=True, env=os.environ, timeout=60)
        after = page(http, "instances", 0, 200)
        assert len(after) == 19
        assert page(http, "instances", 12, 4) == after[12:16] != before[12:16]


def test_bookmarks_are_few():
    bookmarks = Bookmarks(1)
    for search in range(100):
        for offset in range(100):
            bookmarks.add(search, Place(offset, 1000 - offset))
    known = {search for search in range(100) if bookmarks.nearest(search, 1000)}
    assert known == set(range(84, 100))
    assert bookmarks.nearest(99, 35) is None
    assert bookmarks.nearest(99, 36) == Place(36, 964)


@pytest.mark.parametrize("offset", [0, 5])
def test_a_page_behind_the_last_row_is_empty(http, dicom, offset):
    http.stored(dicom())
    assert page(http, "instances", 1 + offset, 10) == []
