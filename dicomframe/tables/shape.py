"""Which tags are in the data, and with which VR: what a schema is made of.

The shape is learnt from a sample of the rows, so that the fast reader can be told what to expect. What the sample did
not show makes that reader refuse, never drop: then the shape is learnt from all rows.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

import orjson

from dicomframe.dicom.tags import ALL_VRS

#: By tag: the VR named first in the data, and for a sequence the shape of its items.
Shape = dict[str, tuple[str | None, "Shape"]]

_TAG = re.compile(r"[0-9A-F]{8}")
#: Where a row may end and the next begin.
_BETWEEN_ROWS = re.compile(rb"\}\s*,\s*\{")
#: Bytes at the beginning and the end of a page that are looked at.
SAMPLE_BYTES = 32 * 1024
_MOST_TRIES = 24


def learn(shape: Shape, rows: Iterable[Any]) -> None:
    """Add the tags of some rows to a shape; what has not the form of an attribute is left to the tolerant reader."""
    for row in rows:
        if not isinstance(row, dict):
            continue
        for key, attribute in row.items():
            if isinstance(attribute, dict):
                _learn_attribute(shape, key, attribute)


def _learn_attribute(shape: Shape, tag: str, attribute: Mapping[str, Any]) -> None:
    known = shape.get(tag)
    if known is None:
        if not _TAG.fullmatch(tag):
            return
        vr = attribute.get("vr")
        known = shape[tag] = (vr if isinstance(vr, str) and vr in ALL_VRS else None, {})
    if known[0] == "SQ":
        items = attribute.get("Value")
        if isinstance(items, list):
            learn(known[1], items)


def sample(pages: Iterable[bytes]) -> Shape:
    """Learn a shape from the first and last rows of each page."""
    shape: Shape = {}
    for page in pages:
        for rows in _rows_at_the_ends(page):
            learn(shape, rows)
    return shape


def _rows_at_the_ends(page: bytes) -> Iterable[list[Any]]:
    if len(page) <= 2 * SAMPLE_BYTES:
        yield _loads(page)
        return
    head, tail = page[:SAMPLE_BYTES], page[-SAMPLE_BYTES:]
    cuts = [match.start() + 1 for match in _BETWEEN_ROWS.finditer(head)]
    for cut in cuts[: -_MOST_TRIES - 1 : -1]:
        rows = _loads(head[:cut] + b"]")
        if rows:
            yield rows
            break
    for match in list(_BETWEEN_ROWS.finditer(tail))[:_MOST_TRIES]:
        rows = _loads(b"[" + tail[match.end() - 1 :])
        if rows:
            yield rows
            break


def _loads(text: bytes) -> list[Any]:
    try:
        rows = orjson.loads(text)
    except orjson.JSONDecodeError:
        return []
    return rows if isinstance(rows, list) else [rows]
