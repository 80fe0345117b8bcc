"""Pages are read as they come: none is held longer than the few that are read together."""

import tracemalloc
from contextlib import suppress

import orjson
import pandas as pd
import pytest

from dicomframe.tables import arrow_reader, batch, convert, pages


def page_of(number, rows=200, **more):
    return orjson.dumps(
        [
            {
                "0020000D": {"vr": "UI", "Value": [f"1.2.{number}.{row}"]},
                "00081030": {"vr": "LO", "Value": ["x" * 100]},
                **more,
            }
            for row in range(rows)
        ]
    )


def test_pages_are_let_go_of(monkeypatch):
    monkeypatch.setattr(pages, "_TOGETHER_BYTES", 100_000)
    convert.from_pages([page_of(0)], "study")
    tracemalloc.start()
    try:
        table = convert.from_pages(map(page_of, range(100)), "study")
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert len(table) == 20_000
    # Arrow's memory is not Python's; what is traced is the text of the pages.
    assert peak < 0.5 * sum(len(page_of(number)) for number in range(100))


def test_whoever_writes_into_the_names_of_one_table_writes_into_no_other():
    """Tables of like pages share the making of their header; pandas before 3 lets `columns.values` be written to."""
    first, second = (convert.from_pages([page_of(0)], "study") for _ in range(2))
    names = list(first.columns)
    with suppress(ValueError):
        first.columns.values[0] = "Renamed"  # noqa: PD011 - as people do it
    assert first.columns.array is not second.columns.array
    assert list(second.columns) == list(convert.from_pages([page_of(0)], "study").columns) == names


@pytest.mark.parametrize("together", [1, 50_000, 10**9])
def test_the_groups_make_no_difference(monkeypatch, together):
    """A tag that comes late, one that goes, a bad value: the same table, however many pages are read at a time."""
    late, bad = {"00100010": {"vr": "PN", "Value": [{"Alphabetic": "A^B"}]}}, {"vr": "IS", "Value": ["x"]}
    several = [page_of(0), page_of(1, **late), b"", page_of(2, 3, **{"00200013": bad}), page_of(3), b"[]"]
    expected = convert.from_json([row for page in several if page for row in orjson.loads(page)], "study")
    monkeypatch.setattr(pages, "_TOGETHER_BYTES", together)
    table = convert.from_pages(iter(several), "study")
    pd.testing.assert_frame_equal(table, expected)
    pd.testing.assert_frame_equal(convert.issues(table), convert.issues(expected))
    assert table.dicom.to_json() == expected.dicom.to_json()


@pytest.mark.parametrize(("least", "times"), [(1, 3), (4 * 1024 * 1024, 0)])
def test_what_held_large_columns_goes_back_to_the_system(monkeypatch, least, times):
    """While they are copied, column by column; a small table's memory is kept, and used again."""
    released = []
    monkeypatch.setattr(batch, "_release", lambda: released.append(1))
    monkeypatch.setattr(batch, "_RELEASED_BYTES", least)
    monkeypatch.setattr(pages, "_TOGETHER_BYTES", 1)
    convert.from_pages([page_of(0)], "study")
    assert not released  # nothing was copied
    table = convert.from_pages(map(page_of, range(3)), "study")
    assert len(table) == 600
    assert len(released) >= times
    assert bool(released) == bool(times)


@pytest.mark.parametrize(("step", "times"), [(1, 1), (2, 0)])
def test_what_the_sample_saw_of_a_column_of_numbers_spares_arrow_an_attempt(monkeypatch, step, times):
    """A page with texts for numbers is read by Arrow once, one with both kinds not at all; the table is the same."""
    objects = orjson.loads(page_of(0, 40))
    for at, row in enumerate(objects):
        row["00200013"] = {"vr": "IS", "Value": [at if at % step else f"no number {at}"]}
    expected = convert.from_json(objects, "study")
    monkeypatch.setattr(pages, "_SMALL_BYTES", 0)
    calls, read = [], arrow_reader.pj.read_json
    monkeypatch.setattr(
        arrow_reader.pj, "read_json", lambda *args, **more: calls.append(1) or read(*args, **more)
    )
    table = convert.from_json(orjson.dumps(objects), "study")
    assert len(calls) == times
    pd.testing.assert_frame_equal(table, expected)
    pd.testing.assert_frame_equal(convert.issues(table), convert.issues(expected))
    assert table.attrs == expected.attrs
    assert table.dicom.to_json() == objects
