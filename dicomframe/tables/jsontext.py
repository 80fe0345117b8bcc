"""JSON text to Python objects and back, without the changes that a quick parser makes on the way.

orjson turns whole numbers past 64 bits into floating-point ones, and refuses NaN and halves of surrogate pairs. Where
a text may hold such things, the standard library reads it.
"""

from __future__ import annotations

import json
import re
from typing import Any

import orjson

_HUGE_NUMBER = re.compile(rb"[\[,:]\s*-?\d{19}")
_NO_UTF8 = re.compile("[\udc80-\udcff]")


def _escape(byte: re.Match[str]) -> str:
    return rf"\\x{ord(byte[0]) - 0xDC00:02x}"


def dumps(value: Any) -> str:
    """Write JSON; also huge integers, NaN and lone surrogates."""
    try:
        text = orjson.dumps(value).decode()
    except TypeError:
        text = "null"
    # orjson writes NaN as null, too.
    return json.dumps(value, separators=(",", ":")) if "null" in text else text


def loads(text: bytes) -> Any:
    """Read JSON; bytes that are no UTF-8 come out as backslash escapes.

    Raises
    ------
    ValueError
        If it is no JSON.
    """
    if not _HUGE_NUMBER.search(text):
        try:
            return orjson.loads(text)
        except orjson.JSONDecodeError:
            pass
    try:
        return json.loads(_NO_UTF8.sub(_escape, text.decode("utf-8", "surrogateescape")), strict=False)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
