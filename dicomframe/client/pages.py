"""One page of a search's answer: how many rows, which UIDs, and the bytes as they came.

The bytes go to the table's reader untouched. Counting rows and finding their UIDs must therefore cost little: a full
page without sequences is looked through with a regular expression, and only any other one is decoded.
"""

from __future__ import annotations

import json
import re
from collections.abc import Container
from dataclasses import dataclass
from functools import cache
from typing import Any

import orjson

from dicomframe.dicom.paths import UID_KEYWORD_OF_LEVEL, Level
from dicomframe.dicom.tags import attribute, find
from dicomframe.errors import DecodeError

_ONE_VALUE = json.JSONDecoder()
_FIRST_ROW = re.compile(r"[ \t\r\n]*\[[ \t\r\n]*(?=\{)")
_NEXT_ROW = re.compile(r"[ \t\r\n]*,[ \t\r\n]*(?=\{)")


@dataclass(frozen=True, slots=True)
class Page:
    """A page of rows.

    Parameters
    ----------
    content : bytes
        A JSON array of DICOM JSON objects; empty for no rows.
    uids : list of str
        Each row's UID at the level searched for; a row without one has an empty text.
    announces_more : bool
        Whether the server said that there are further results than these.
    """

    content: bytes
    uids: list[str]
    announces_more: bool = False

    def rows(self) -> list[Any]:
        """Decode the rows."""
        return decode_rows(self.content)

    def without(self, seen: Container[str], most: int | None = None) -> Page:
        """Give the page without rows whose UID was seen, and cut to a number of rows.

        Examples
        --------
        >>> page = Page(b'[{"a": 1}, {"a": 2}]', ["1.2", "1.3"])
        >>> page.without({"1.2"}).content
        b'[{"a": 2}]'
        """
        kept: list[int] = []
        own: set[str] = set()
        for at, uid in enumerate(self.uids):
            if not uid or (uid not in seen and uid not in own):
                own.add(uid)
                kept.append(at)
        kept = kept[:most]
        if len(kept) == len(self.uids):
            return self
        content = _without_first(self.content) if kept == list(range(1, len(self.uids))) else None
        if content is None:
            rows = self.rows()
            content = _encode_rows([rows[at] for at in kept]) if kept else b""
        return Page(content, [self.uids[at] for at in kept], self.announces_more)


def read_page(content: bytes, level: Level, asked: int, *, announces_more: bool = False) -> Page:
    """Find the rows' UIDs.

    Parameters
    ----------
    content : bytes
        The body: an array of objects, a single object, or nothing.
    level : {"study", "series", "instance"}
        What the rows are.
    asked : int
        How many rows were asked for.

    Raises
    ------
    DecodeError
        If it is no JSON array of objects.
    """
    if not content.strip():
        return Page(b"", [])
    key, pattern = _uid_pattern(level)
    # With a sequence in it, the pattern may have met a UID that is not the row's own. Without, only a row ends
    # with two braces; if there are as many rows as were asked for, each with one UID, nothing was misread.
    if b'"SQ"' not in content and b"{}" not in content:
        uids = pattern.findall(content)
        if len(uids) == asked == content.count(key) == content.count(b"}}"):
            return Page(content, [uid.decode("ascii", "replace") for uid in uids], announces_more)
    rows = decode_rows(content)
    return Page(content if rows else b"", [_uid_of(row, level) for row in rows], announces_more)


@cache
def _uid_pattern(level: Level) -> tuple[bytes, re.Pattern[bytes]]:
    key = f'"{attribute(UID_KEYWORD_OF_LEVEL[level]).tag}"'.encode()
    return key, re.compile(key + rb'\s*:\s*\{[^{}]*?"Value"\s*:\s*\[\s*"([^"\\]*)"')


def decode_rows(content: bytes) -> list[Any]:
    """Decode an answer's rows, also where they break JSON's finer rules.

    Raises
    ------
    DecodeError
        If it is no JSON array of objects.
    """
    content = content.removeprefix(b"\xef\xbb\xbf")
    try:
        rows = orjson.loads(content)
    except orjson.JSONDecodeError:
        try:
            rows = json.loads(content.decode("utf-8", "backslashreplace"), strict=False)
        except (ValueError, RecursionError):
            rows = None
    if isinstance(rows, dict) and any(find(key) is not None for key in rows):
        # One object instead of a list of one. An object without a single tag is something else: an error, say.
        rows = [rows]
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise DecodeError("The server's answer is no DICOM JSON: an array of objects was expected.")
    return rows


def _without_first(content: bytes) -> bytes | None:
    """Cut the first of several rows off, with no look at the others; None where that is not clear.

    Pages that are read ahead overlap by one row, so this is done for each of them.
    """
    try:
        text = content.decode()
        start = _FIRST_ROW.match(text)
        end = _ONE_VALUE.raw_decode(text, start.end())[1] if start else 0
    except (ValueError, RecursionError):
        return None
    comma = _NEXT_ROW.match(text, end) if end else None
    return f"[{text[comma.end() :]}".encode() if comma else None


def _encode_rows(rows: list[Any]) -> bytes:
    try:
        return orjson.dumps(rows)
    except TypeError:
        return json.dumps(rows).encode("utf-8", "surrogatepass")


def _uid_of(row: dict[str, Any], level: Level) -> str:
    tag = attribute(UID_KEYWORD_OF_LEVEL[level]).tag
    found = row.get(tag) or row.get(tag.lower())
    values = found.get("Value") if isinstance(found, dict) else None
    return str(values[0]).rstrip(" \0") if isinstance(values, list) and values and values[0] else ""
