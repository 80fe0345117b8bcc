"""Which tags are in the data, and with which VR: what a schema is made of.

The shape is learnt from a sample of the rows, so that the fast reader can be told what to expect. What the sample did
not show makes that reader refuse, never drop: then the shape is learnt from all rows.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import orjson

from dicomframe.dicom import tags
from dicomframe.tables.jsontext import between_rows, rows_between
from dicomframe.tables.schema import column_of

#: By tag: the VR named first in the data, and for a sequence the shape of its items.
Shape = dict[str, tuple[str | None, "Shape"]]

_TAG = re.compile(r"[0-9A-F]{8}")
#: One row is looked at for each so many bytes of a page, up to a number, all rows of a short one; and so many pages.
_BYTES_PER_ROW = 64 * 1024
_SHORT_PAGE = 16 * 1024
_MOST_ROWS = 16
_MOST_PAGES = 16


def learn(shape: Shape, rows: Iterable[Any]) -> None:
    """Add the tags of some rows to a shape, those under keywords and oddly written tags as well."""
    without_vr: dict[str, None] = {}
    is_flat = _is_flat(shape)
    for row in rows:
        if not isinstance(row, dict) or (is_flat and row.keys() <= shape.keys()):
            continue
        for key, attribute in row.items():
            known = shape.get(key)
            if known is None or known[0] == "SQ":
                _learn_attribute(shape, key, attribute, without_vr)
        is_flat = _is_flat(shape)
    for tag in without_vr:
        shape.setdefault(tag, (None, {}))


def _is_flat(shape: Shape) -> bool:
    return not any(vr == "SQ" for vr, _ in shape.values())


def _learn_attribute(shape: Shape, key: str, attribute: Any, without_vr: dict[str, None]) -> None:
    tag = _tag_of(key)
    if tag is None:
        return
    given: Mapping[str, Any] = attribute if isinstance(attribute, dict) else {}
    known = shape.get(tag)
    if known is None:
        vr = given.get("vr")
        if not isinstance(vr, str) or vr not in tags.ALL_VRS:
            without_vr[tag] = None
            return
        known = shape[tag] = (vr, {})
    if known[0] == "SQ":
        items = given.get("Value")
        if isinstance(items, list):
            learn(known[1], items)


def _tag_of(key: str) -> str | None:
    if _TAG.fullmatch(key):
        return key
    found = tags.find(key)
    return found.tag if found is not None else None


def sample(
    pages: Sequence[bytes], shape: Shape | None = None, numbers: dict[str, set[type]] | None = None
) -> Shape:
    """Learn a shape, or more of one, from rows here and there.

    Parameters
    ----------
    pages : sequence of bytes
        JSON arrays.
    shape : Shape, optional
        What is known; it grows.
    numbers : dict of str to set of type, optional
        Gets, by tag of a column of numbers, what the first values in the sampled rows are in Python.
    """
    shape = {} if shape is None else shape
    step = -(-len(pages) // _MOST_PAGES) or 1
    for page in {id(page): page for page in (*pages[:1], *pages[::step], *pages[-1:])}.values():
        rows = list(_some_rows(page))
        learn(shape, rows)
        if numbers is not None:
            _look_at_numbers(shape, rows, numbers)
    return shape


def _look_at_numbers(shape: Shape, rows: Sequence[Any], numbers: dict[str, set[type]]) -> None:
    tags_of_numbers = [
        tag for tag, (vr, _) in shape.items() if column_of(tag, vr).kind in {"integer", "float"}
    ]
    for row in rows:
        for tag in tags_of_numbers:
            attribute = row.get(tag) if isinstance(row, dict) else None
            values = attribute.get("Value") if isinstance(attribute, dict) else None
            if isinstance(values, list) and values:
                numbers.setdefault(tag, set()).add(type(values[0]))


def _some_rows(page: bytes) -> Iterator[Any]:
    between = between_rows(page) if len(page) > _SHORT_PAGE else None
    first_end = between.search(page) if between is not None else None
    if between is None or first_end is None:
        yield from _loads(page)
        return
    yield from _loads(rows_between(page, page.find(b"[") + 1, first_end.start() + 1))
    count = min(1 + len(page) // _BYTES_PER_ROW, _MOST_ROWS)
    # The last place is before the last row, if that is no longer than the first.
    last = max(len(page) - 2 * first_end.start(), 0)
    for number in range(1, count + 1):
        match = between.search(page, last * number // count)
        if match is None:
            break
        start = page.index(b"{", match.start())
        end = between.search(page, start)
        yield from _loads(rows_between(page, start, end.start() + 1 if end else len(page)))


def _loads(text: bytes) -> list[Any]:
    try:
        rows = orjson.loads(text)
    except orjson.JSONDecodeError:
        return []
    return rows if isinstance(rows, list) else [rows]
