"""The change feed's entries as they come over the wire: read without regard to the letter case of their names.

Documents and servers write ``sopInstanceUid``, ``SopInstanceUid`` and ``SOPInstanceUID``; here it is always the first.

Examples
--------
>>> entry = named({"Sequence": "7", "SopInstanceUid": "1.2.3", "Action": "Create", "madeUp": 1})
>>> entry
{'sequence': '7', 'sopInstanceUid': '1.2.3', 'action': 'Create'}
>>> sequence_of(entry)
7
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import orjson

from dicomframe.errors import DecodeError

#: The properties of an entry, in the service's order.
NAMES: Final = (
    "sequence",
    "partitionName",
    "studyInstanceUid",
    "seriesInstanceUid",
    "sopInstanceUid",
    "action",
    "timestamp",
    "state",
    "filePath",
    "metadata",
)
#: The values of two of them, in the letter case that they have in tables.
ACTIONS: Final = ("create", "update", "delete")
STATES: Final = ("current", "replaced", "deleted")

_BY_LOWER: Final = {name.lower(): name for name in NAMES}
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MOMENT: Final = re.compile(
    r"(\d{4}-\d\d-\d\d[T ]\d\d:\d\d(?::\d\d)?)(?:\.(\d+))?\s*(Z|[+-]\d\d(?::?\d\d)?)?",
    re.IGNORECASE | re.ASCII,
)
_LARGEST: Final = 2**63 - 1
#: The first and last moment of the calendar, in microseconds since 1970.
_FIRST: Final = -62_135_596_800_000_000
_LAST: Final = 253_402_300_799_999_999


def read_entries(content: bytes) -> list[Any]:
    """Decode a page of the feed.

    Parameters
    ----------
    content : bytes
        The body: an array, a single entry, ``null`` or nothing.

    Returns
    -------
    list
        The entries as they came. What is no object is left in, for the table to report.

    Raises
    ------
    DecodeError
        If it is no JSON, or JSON of another kind.
    """
    content = content.removeprefix(b"\xef\xbb\xbf").strip()
    if not content:
        return []
    try:
        entries = orjson.loads(content)
    except orjson.JSONDecodeError:
        try:
            entries = json.loads(content.decode("utf-8", "surrogateescape"), strict=False)
        except (ValueError, RecursionError):
            head = "It looks like a web page." if content[:1] == b"<" else "The text breaks JSON's grammar."
            raise DecodeError(
                f"A page of the change feed was expected, an array of objects. {head}"
            ) from None
    if entries is None or entries == {}:
        return []
    if isinstance(entries, dict) and not _BY_LOWER.keys().isdisjoint(map(str.lower, entries)):
        return [entries]
    if not isinstance(entries, list):
        raise DecodeError("A page of the change feed was expected, an array of objects; other JSON came.")
    return entries


def named(entry: Mapping[str, Any]) -> dict[str, Any]:
    """Give an entry's known properties under the service's own names; unknown ones and nulls are left out."""
    found: dict[str, Any] = {}
    for written, value in entry.items():
        name = written if written in NAMES else _BY_LOWER.get(written.lower())
        if name is not None and value is not None:
            found.setdefault(name, value)
    return found


def sequence_of(entry: Any) -> int | None:
    """Give the sequence number of an entry from `named`; None where it has none that can be read."""
    value = entry.get("sequence") if isinstance(entry, dict) else None
    if isinstance(value, str):
        value = int(value) if re.fullmatch(r"\s*[0-9]{1,19}\s*", value, re.ASCII) else None
    elif isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= _LARGEST:
        return None
    return value


def microseconds_of(value: Any) -> int | None:
    """Read a timestamp as whole microseconds since 1970, UTC; None where it is none.

    Without a zone it is UTC, which is what the service documents. What is finer than a microsecond is cut off.

    Examples
    --------
    >>> microseconds_of("1970-01-01T00:00:01.1234567Z"), microseconds_of("1970-01-01T01:00:00+01:00")
    (1123456, 0)
    """
    parts = _MOMENT.fullmatch(value.strip()) if isinstance(value, str) else None
    if parts is None:
        return None
    clock, fraction, zone = parts.groups()
    try:
        local = datetime.fromisoformat(f"{clock}+00:00")
    except ValueError:
        return None
    ahead = 0
    if zone and zone.upper() != "Z":
        ahead = int(zone[1:3]) * 60 + int(zone[3:].lstrip(":") or 0)
        if ahead > 24 * 60:
            return None
        ahead = -ahead if zone[0] == "-" else ahead
    seconds = (local - _EPOCH) // timedelta(seconds=1) - ahead * 60
    found = seconds * 1_000_000 + int((fraction or "0")[:6].ljust(6, "0"))
    return found if _FIRST <= found <= _LAST else None  # its offset may lead out of the calendar


def iso(microseconds: int) -> str:
    """Write a time in microseconds since 1970 as ISO 8601 in UTC.

    Examples
    --------
    >>> iso(1_123_456)
    '1970-01-01T00:00:01.123456Z'
    """
    moment = _EPOCH + timedelta(microseconds=microseconds)
    return moment.isoformat(timespec="microseconds").replace("+00:00", "Z")
