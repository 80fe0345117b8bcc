"""Values of DT (PS3.5 table 6.2-1) as intervals of time, so that they can be compared and searched by.

A value says as much as it has digits: ``2024`` is the whole year. One without an offset is taken as UTC.
"""

from __future__ import annotations

import calendar
import datetime as dt
import re
from typing import Final, NamedTuple

_PATTERN: Final = re.compile(
    r"(\d{4})(?:(\d{2})(?:(\d{2})(?:(\d{2})(?:(\d{2})(?:(\d{2})(?:\.(?P<fraction>\d{1,6}))?)?)?)?)?)?"
    r"(?P<offset>[+-](?:0\d|1[0-4])[0-5]\d)?",
    re.ASCII,
)
_START: Final = dt.datetime(1, 1, 1)  # noqa: DTZ001 - offsets are reckoned apart, so that no year is out of range
_SECOND: Final = 1_000_000
_MINUTE: Final = 60 * _SECOND
_HOUR: Final = 60 * _MINUTE
_DAY: Final = 24 * _HOUR


class Interval(NamedTuple):
    """The first and last microsecond since the year 1, UTC, that a value stands for."""

    first: int
    last: int


def interval_of(text: str) -> Interval | None:
    """Read one value of DT; None if it is none.

    Examples
    --------
    >>> day = interval_of("20240115")
    >>> (day.last - day.first + 1) // 3_600_000_000
    24
    >>> interval_of("20240115103000+0100") == interval_of("20240115093000")
    True
    """
    match = _PATTERN.fullmatch(text)
    if match is None:
        return None
    given = [int(group) for group in match.groups()[:6] if group]
    year, month, day, hour, minute, second = [*given, *(0, 1, 1, 0, 0, 0)[len(given) :]]
    if second > 60:
        return None
    try:
        whole_minute = dt.datetime(year, month, day, hour, minute) - _START  # noqa: DTZ001
    except ValueError:
        return None
    # Second 60, a leap second, is the one after 59.
    first = whole_minute // dt.timedelta(microseconds=1) + second * _SECOND - _offset(match["offset"])
    days = {1: 366 if calendar.isleap(year) else 365, 2: calendar.monthrange(year, month)[1]}
    length = days.get(len(given), 1) * {4: _HOUR, 5: _MINUTE, 6: _SECOND}.get(len(given), _DAY)
    fraction = match["fraction"] or ""
    if fraction:
        first += int(fraction.ljust(6, "0"))
        length = 10 ** (6 - len(fraction))
    return Interval(first, first + length - 1)


def _offset(text: str | None) -> int:
    if not text:
        return 0
    size = int(text[1:3]) * _HOUR + int(text[3:]) * _MINUTE
    return -size if text[0] == "-" else size
