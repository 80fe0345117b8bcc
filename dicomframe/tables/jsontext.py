"""JSON text to Python objects and back, without the changes that a quick parser makes on the way.

orjson turns whole numbers past 64 bits into floating-point ones, refuses NaN and halves of surrogate pairs, and keeps
only the last of members that stand twice. Where a text may hold such things, the standard library reads it.

A long array is read a piece at a time: the garbage collector goes again and again through containers that live long,
and costs several times the parsing then.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple, TypeVar

import orjson

#: Bytes and rows of an array that are decoded together, at least. Less costs more for each column, more costs memory
#: that is not used again, and the garbage collector's time where rows become dicts.
PIECE_BYTES = 64 * 1024
PIECE_ROWS = 12
#: More bytes than that are not taken at once, however long the rows are.
MOST_BYTES = 8 * 1024 * 1024

#: `shown` cuts a text to this length.
MOST_SHOWN = 200

#: To look for long numbers outside of texts: digits become 0 and what may stand before a number a comma.
_NUMBERS = bytes.maketrans(b"123456789[:", b"000000000,,")
_LONG_NUMBER = b"," + b"0" * 19
_FIRST_KEY = re.compile(rb'\s*\[\s*\{\s*("[^"\\]*")\s*:')
#: Under this key, which no JSON has, stand the earlier of members with the same name.
_TWICE = "\0twice"

Decoded = TypeVar("Decoded")


class Piece(NamedTuple):
    """Some rows of an array.

    Parameters
    ----------
    rows : list
        Decoded; of members that stand twice in an object, the last.
    twice : list of (int, str, object)
        The earlier ones: position of the row, name of the row's member in which it happened, and the value.
    """

    rows: list[Any]
    twice: list[tuple[int, str, Any]]


def dumps(value: Any) -> str:
    """Write JSON; also huge integers, NaN and lone surrogates."""
    try:
        text = orjson.dumps(value)
    except TypeError:
        text = b"null"
    # orjson writes NaN as null without a word.
    return json.dumps(value, separators=(",", ":")) if b"null" in text else text.decode()


_NO_UTF8 = re.compile("[\udc80-\udcff]")


def encodable(text: str) -> str:
    r"""Write out as its escape what no text may hold: half a surrogate pair, which JSON can spell, and bytes.

    A byte that is no UTF-8 comes as such a half (Python's ``surrogateescape``).

    Examples
    --------
    >>> print(encodable("M\udcfcller \ud83d"))
    M\xfcller \ud83d
    """
    if text.isascii():
        return text
    return _NO_UTF8.sub(_escape, text).encode("utf-8", "backslashreplace").decode()


def _escape(byte: re.Match[str]) -> str:
    return rf"\x{ord(byte[0]) - 0xDC00:02x}"


def shown(attribute: Any) -> str:
    """Give the value of an attribute where it has one, else the whole, as text of a bounded length for people."""
    value = attribute
    if isinstance(attribute, dict) and isinstance(attribute.get("Value"), list):
        value = attribute["Value"][0] if len(attribute["Value"]) == 1 else attribute["Value"]
    text = encodable(value if isinstance(value, str) else dumps(value))
    return text if len(text) <= MOST_SHOWN else f"{text[: MOST_SHOWN - 1]}…"


def loads(text: bytes) -> Any:
    """Read JSON; bytes that are no UTF-8 become lone surrogates, as with Python's ``surrogateescape``.

    Raises
    ------
    ValueError
        If it is no JSON.
    """
    if _LONG_NUMBER not in text.translate(_NUMBERS, b" -\t\r\n"):
        try:
            return orjson.loads(text)
        except orjson.JSONDecodeError:
            pass
    return _loads_slowly(text)


def _loads_slowly(text: bytes, **options: Any) -> Any:
    try:
        return json.loads(text.decode("utf-8", "surrogateescape"), strict=False, **options)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None


def between_rows(page: bytes) -> re.Pattern[bytes] | None:
    """Give what matches from the end of a row of an array into the beginning of the next, as far as it looks alike.

    Rows begin with the same key more often than not. Where a row does not, the match is a later one; where an item of a
    sequence does, what is cut there is no JSON, and the caller finds out.
    """
    first = _FIRST_KEY.match(page)
    return re.compile(rb"\}\s*,\s*\{\s*" + re.escape(first[1]) + rb"\s*:") if first else None


def first_row_length(page: bytes) -> int:
    """Give about how long an array's first row is; the whole page's length where that is not clear."""
    between = between_rows(page)
    end = between.search(page) if between is not None else None
    return end.start() if end is not None else len(page)


def cut(page: bytes, size: int, rows: int = 1) -> Iterator[tuple[int, int]]:
    """Give where an array may be cut: begin and end of some rows.

    The end is the position behind the last row, and for the rest of the array its end with the bracket. Each time it
    is at least so many bytes or rows, whichever is more, as long as rows are about as long as the first.
    """
    start = page.find(b"[") + 1
    between = between_rows(page) if len(page) > size else None
    first_end = between.search(page) if between is not None else None
    if between is not None and first_end is not None:
        size = min(max(size, rows * first_end.start()), MOST_BYTES)
        while (match := between.search(page, start + size)) is not None:
            yield start, match.start() + 1
            start = page.index(b"{", match.start())
    yield start, len(page)


def rows_between(page: bytes, start: int, stop: int) -> bytes:
    """Give the array of the rows between two positions that `cut` gave."""
    return b"".join((b"[", memoryview(page)[start:stop], b"" if stop == len(page) else b"]"))


def pieces(page: bytes, decode: Callable[[bytes], Decoded]) -> Iterator[Decoded]:
    """Decode an array, or one thing that is none, piece by piece.

    Parameters
    ----------
    page : bytes
        The JSON.
    decode : callable
        What makes something of an array of some rows, in the end by `decode_piece`.

    Raises
    ------
    ValueError
        If it is no JSON.
    """
    if not page.startswith(b"["):
        yield decode(page)
        return
    for start, stop in cut(page, PIECE_BYTES, PIECE_ROWS):
        try:
            piece = decode(rows_between(page, start, stop))
        except ValueError:
            if stop == len(page):
                raise
            # Not a place between rows after all, or no JSON: the rest in one go will tell.
            yield decode(rows_between(page, start, len(page)))
            return
        yield piece


def decode_piece(text: bytes) -> Piece:
    """Decode an array of some rows, and what stands in it twice.

    Raises
    ------
    ValueError
        If it is no JSON.
    """
    rows = loads(text)
    rows = rows if isinstance(rows, list) else [rows]
    found = text.count(b'"vr"')
    # Counting members is quick, and enough where nothing is nested.
    if found <= sum(len(row) for row in rows if type(row) is dict) or found <= sum(map(_count_vrs, rows)):
        return Piece(rows, [])
    rows = _loads_slowly(text, object_pairs_hook=_keep_twice)
    rows = rows if isinstance(rows, list) else [rows]
    return Piece(rows, [(at, name, raw) for at, row in enumerate(rows) for name, raw in _take_twice(row)])


def _count_vrs(row: Any) -> int:
    """Count the members called ``vr`` in a row, to compare with the text: fewer means that some stood twice."""
    if not isinstance(row, dict):
        return 0
    count = 0
    for attribute in row.values():
        if type(attribute) is dict and "vr" in attribute:
            count += 1
            if attribute["vr"] == "SQ" and type(attribute.get("Value")) is list:
                count += sum(map(_count_vrs, attribute["Value"]))
    return count


def _keep_twice(members: list[tuple[str, Any]]) -> dict[str, Any]:
    merged = dict(members)
    if len(merged) < len(members):
        last = {name: at for at, (name, _) in enumerate(members)}
        merged[_TWICE] = [(name, value) for at, (name, value) in enumerate(members) if at != last[name]]
    return merged


def _take_twice(value: Any, inside: str | None = None) -> Iterator[tuple[str, Any]]:
    """Take the earlier members out of a decoded value, and give them with the row's member that they are in."""
    if isinstance(value, dict):
        for name, earlier in value.pop(_TWICE, ()):
            for _ in _take_twice(earlier):
                pass
            yield inside or name, earlier
        for name, inner in value.items():
            yield from _take_twice(inner, inside or name)
    elif isinstance(value, list):
        for inner in value:
            yield from _take_twice(inner, inside)
