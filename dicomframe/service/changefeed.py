"""The change feed: what was stored, updated and deleted, in its order, and how each of it stands now.

Version 1 pages by sequence number: ``offset`` is the last number seen, ``limit`` a span of numbers. Version 2 takes
the rows of a window of time, ``[startTime, endTime)``, and counts rows. The feed is the whole service's and lies
outside partitions. Its Accept header is not judged: the real service sends JSON whatever is asked for, and the user's
reference asks for ``application/dicom+json``.

A change's state is never stored: it follows from which version of the instance there is now.

Changes are only ever added, behind all others in time and in number. So where a page of a window ended, it ends for
good, and the next one begins there, whatever was written meanwhile: no page counts the rows in front of it again.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final

import orjson

from dicomframe.service.call import Answer, Call
from dicomframe.service.faults import bad_request
from dicomframe.service.selection import Place

if TYPE_CHECKING:
    from dicomframe.service.index import Index

_LARGEST: Final = 2**63 - 1
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
#: Passing over more rows than that takes longer than a hop into a thread.
_BRIEF_OFFSET: Final = 10_000
#: What each version takes; its default for ``limit`` and the most of it.
_PARAMETERS: Final[Mapping[str, tuple[str, ...]]] = {
    "v1": ("offset", "limit", "includemetadata"),
    "v2": ("startTime", "endTime", "offset", "limit", "includemetadata"),
}
_WINDOW: Final = ("starttime", "endtime")
_LIMITS: Final[Mapping[str, tuple[int, int]]] = {"v1": (10, 100), "v2": (100, 200)}
# A fraction may be finer than what is stored.
_MOMENT: Final = re.compile(
    r"(\d{4}-\d\d-\d\d)(?:[T ](\d\d:\d\d(?::\d\d)?)(?:\.(\d{1,9}))?)? ?(Z|[+-]\d\d(?::?\d\d)?)",
    re.IGNORECASE | re.ASCII,
)

# Three look-ups by unique keys for each row of a page find the version that there is now.
_ROWS: Final = """
SELECT c.sequence, p.name, c.study, c.series, c.instance, c.action, c.timestamp, c.version, i.version, {metadata}
FROM ({page}) AS page CROSS JOIN change AS c ON c.sequence = page.sequence
JOIN partition AS p ON p.key = c.partition
LEFT JOIN study AS s ON s.partition = c.partition AND s.uid = c.study
LEFT JOIN series AS r ON r.study = s.key AND r.uid = c.series
LEFT JOIN instance AS i ON i.series = r.key AND i.uid = c.instance
{join}
ORDER BY {order}
"""
_METADATA_OF_CURRENT: Final = "LEFT JOIN instance_json AS j ON j.key = i.key AND i.version = c.version"
# The real service gives a replaced entry the metadata of what is there now, against its documents.
_METADATA_OF_ANY: Final = "LEFT JOIN instance_json AS j ON j.key = i.key"


@dataclass(frozen=True, slots=True)
class Page:
    """Which changes are asked for: a selection of sequence numbers, its values, and the order of the rows."""

    statement: str
    values: tuple[int, ...]
    order: str = "c.sequence"


@dataclass(frozen=True, slots=True)
class Window:
    """So many rows behind so many others, of the changes from one time to another in microseconds since 1970, UTC."""

    start: int | None
    end: int | None
    offset: int
    limit: int

    def page(self, begin: Place | None = None) -> Page:
        """Select the rows, counted from one that is known to stand at or in front of the offset, if one is."""
        first = ("timestamp >= ?", self.start) if begin is None else (_FROM, begin.key)
        bounds = [(test, value) for test, value in (first, ("timestamp < ?", self.end)) if value is not None]
        where = f"WHERE {' AND '.join(test for test, _ in bounds)} " if bounds else ""
        statement = f"SELECT sequence FROM change {where}ORDER BY timestamp, sequence LIMIT ? OFFSET ?"  # noqa: S608
        offset = self.offset - (begin.offset if begin else 0)
        return Page(
            statement, (*(value for _, value in bounds), self.limit, offset), "c.timestamp, c.sequence"
        )


_FROM: Final = "(timestamp, sequence) >= (SELECT timestamp, sequence FROM change WHERE sequence = ?)"
_LATEST: Final = Page("SELECT max(sequence) AS sequence FROM change", ())


async def changes(call: Call) -> Answer:
    """Answer a page of changes: 200, with ``[]`` where there are none."""
    given = _parameters(call, _PARAMETERS[call.version])
    page = _page_by_sequence(given) if call.version == "v1" else _page_by_time(given)
    entries = await _read(call, page, metadata=_flag(given))
    return Answer(HTTPStatus.OK, b"[%b]" % b",".join(entries), {"Content-Type": "application/json"})


async def latest(call: Call) -> Answer:
    """Answer the change with the highest sequence number: 200, or 204 where nothing has changed yet."""
    given = _parameters(call, ("includemetadata",))
    entries = await _read(call, _LATEST, metadata=_flag(given))
    if not entries:
        return Answer(HTTPStatus.NO_CONTENT)
    return Answer(HTTPStatus.OK, entries[0], {"Content-Type": "application/json"})


# -- what is asked for ----------------------------------------------------------------------------------------


def _parameters(call: Call, known: tuple[str, ...]) -> dict[str, str]:
    """Give the parameters, whose names are read in any letter case; unknown ones are refused by a lenient service.

    The real service passes over unknown ones, ``startTime`` in version 1 included, and so gives other rows than were
    asked for without a word.
    """
    names = {name.lower(): name for name in known}
    given: dict[str, str] = {}
    for written, value in call.query():
        name = names.get(written.lower())
        if name in given:
            raise bad_request(f"The parameter {name} is given twice.")
        if name is not None:
            given[name] = value
        elif not call.service.strict:
            hint = " Windows of time are part of version 2." if written.lower() in _WINDOW else ""
            raise bad_request(
                f"{call.version} of this route takes {', '.join(known)}; it was given {written[:64]!r}.{hint}"
            )
    return given


def _page_by_sequence(given: Mapping[str, str]) -> Page:
    offset, limit = _number(given, "offset", 0, 0, _LARGEST), _limit(given, "v1")
    statement = "SELECT sequence FROM change WHERE sequence > ? AND sequence <= ?"
    return Page(statement, (offset, min(offset + limit, _LARGEST)))


def _page_by_time(given: Mapping[str, str]) -> Window:
    start, end = _moment(given, "startTime"), _moment(given, "endTime")
    if start is not None and end is not None and end <= start:
        raise bad_request("startTime must lie before endTime.", "InvalidTimeRange")
    offset, limit = _number(given, "offset", 0, 0, _LARGEST), _limit(given, "v2")
    return Window(_microseconds(start), _microseconds(end), offset, limit)


def _microseconds(moment: int | None) -> int | None:
    # Stored times are whole microseconds, so both ends of the window round up.
    return None if moment is None else -(-moment // 1000)


def _limit(given: Mapping[str, str], version: str) -> int:
    default, most = _LIMITS[version]
    return _number(given, "limit", default, 1, most)


def _number(given: Mapping[str, str], name: str, default: int, least: int, most: int) -> int:
    text = given.get(name)
    if text is None:
        return default
    if not re.fullmatch(r"[0-9]{1,19}", text) or not least <= int(text) <= most:
        raise bad_request(f"{name} must be a whole number from {least} to {most}.")
    return int(text)


def _flag(given: Mapping[str, str]) -> bool:
    text = given.get("includemetadata", "true").lower()
    if text not in {"true", "false"}:
        raise bad_request("includemetadata must be true or false.")
    return text == "true"


def _moment(given: Mapping[str, str], name: str) -> int | None:
    """Read a date and time with its zone, in nanoseconds since 1970, UTC."""
    text = given.get(name)
    if text is None:
        return None
    parts = _MOMENT.fullmatch(text.strip())
    try:
        day, clock, fraction, zone = parts.groups() if parts else ("", "", "", "Z")
        local = datetime.fromisoformat(f"{day}T{clock or '00:00'}+00:00")
        ahead = _zone_minutes(zone)
    except ValueError:
        raise bad_request(
            f"{name} must be a date and time with its zone, such as 2024-01-15T14:30:00Z or"
            " 2024-01-15T14:30:00-05:00; the + of an offset is written %2B in a URL.",
            "InvalidTime",
        ) from None
    seconds = (local - _EPOCH) // timedelta(seconds=1) - ahead * 60
    return seconds * 10**9 + int((fraction or "0").ljust(9, "0"))


def _zone_minutes(zone: str) -> int:
    if zone.upper() == "Z":
        return 0
    hours, minutes = int(zone[1:3]), int(zone[3:].lstrip(":") or 0)
    if hours > 14 or minutes > 59:
        raise ValueError
    return (hours * 60 + minutes) * (-1 if zone[0] == "-" else 1)


# -- what is answered -----------------------------------------------------------------------------------------


async def _read(call: Call, asked: Page | Window, *, metadata: bool) -> list[bytes]:
    index, offload = call.service.index, call.service.offload
    join = (_METADATA_OF_ANY if call.service.strict else _METADATA_OF_CURRENT) if metadata else ""
    is_brief = isinstance(asked, Page) or asked.offset <= _BRIEF_OFFSET
    rows = await (offload.brief if is_brief else offload.lengthy)(_fetch, index, asked, join)
    return [_entry(row) for row in rows]


def _fetch(index: Index, asked: Page | Window, join: str) -> list[tuple[Any, ...]]:
    if isinstance(asked, Page):
        return index.reader.execute(_statement(asked, join), asked.values).fetchall()
    places, window = index.feed_bookmarks, (asked.start, asked.end)
    page = asked.page(places.nearest(window, asked.offset))
    rows = index.reader.execute(_statement(page, join), page.values).fetchall()
    if rows:
        places.add(window, Place(asked.offset + len(rows) - 1, rows[-1][0]))
    return rows


def _statement(page: Page, join: str) -> str:
    metadata = "j.metadata" if join else "NULL"
    return _ROWS.format(page=page.statement, order=page.order, join=join, metadata=metadata)


def _entry(row: tuple[Any, ...]) -> bytes:
    sequence, partition, study, series, instance, action, timestamp, version, version_now, metadata = row
    entry = orjson.dumps(
        {
            "sequence": sequence,
            "partitionName": partition,
            "studyInstanceUid": study,
            "seriesInstanceUid": series,
            "sopInstanceUid": instance,
            "action": action,
            "timestamp": iso(timestamp),
            "state": _state(version, version_now),
        }
    )
    # The metadata is JSON already.
    return entry if metadata is None else b'%b,"metadata":%b}' % (entry[:-1], metadata)


def _state(version: int, version_now: int | None) -> str:
    """Tell how a change's version stands, given the version of the instance that there is now."""
    if version_now is None:
        return "Deleted"
    return "Current" if version_now == version else "Replaced"


def iso(microseconds: int) -> str:
    """Write a time in microseconds since 1970, UTC, as the API does.

    Examples
    --------
    >>> iso(1_705_329_000_000_001)
    '2024-01-15T14:30:00.000001Z'
    """
    moment = _EPOCH + timedelta(microseconds=microseconds)
    return moment.isoformat(timespec="microseconds").replace("+00:00", "Z")
