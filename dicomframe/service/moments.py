"""Date-times (VR DT, PS3.5 section 6.2) as numbers that sort, and ranges of them taken apart."""

from __future__ import annotations

import re
from datetime import datetime, timedelta

_DATE_TIME = re.compile(
    r"(\d{4})(?:(\d\d)(?:(\d\d)(?:(\d\d)(?:(\d\d)(?:(\d\d)(?:\.(\d{1,6}))?)?)?)?)?)?([+-]\d{4})?", re.ASCII
)
_MICROSECOND = timedelta(microseconds=1)
_BEGINNING = datetime(1, 1, 1)  # noqa: DTZ001 - the beginning of a count
_DAY = timedelta(days=1)
#: What one of the last part given is long, from the hour on.
_LENGTH = {4: timedelta(hours=1), 5: timedelta(minutes=1), 6: timedelta(seconds=1)}


def date_time_bounds(text: str) -> tuple[int, int] | None:
    """Give the first and last microsecond that a date-time means; None where it is none.

    Parts left out mean all of the year, month, day, hour, minute or second. They are counted from the year 1, in UTC
    where the value has an offset and as they stand where it has none.

    Examples
    --------
    >>> first, last = date_time_bounds("2024011510")
    >>> last - first
    3599999999
    >>> date_time_bounds("20240115103000+0100") == date_time_bounds("20240115093000")
    True
    >>> date_time_bounds("20240230")
    """
    match = _DATE_TIME.fullmatch(text)
    if match is None:
        return None
    parts = [int(part) for part in match.groups()[:6] if part is not None]
    year, month, day, hour, minute, second = (*parts, *(1, 1, 1, 0, 0, 0)[len(parts) :])
    offset = _offset(match[8] or "+0000")
    if hour > 23 or minute > 59 or second > 60 or offset is None:
        return None
    try:
        start = datetime(year, month, day) + timedelta(hours=hour, minutes=minute, seconds=second)  # noqa: DTZ001
        length = _length(start, len(parts), match[7])
    except (ValueError, OverflowError):
        return None
    if match[7]:
        start += timedelta(microseconds=int(match[7].ljust(6, "0")))
    first = (start - _BEGINNING - offset) // _MICROSECOND
    return first, first + length // _MICROSECOND - 1


def split_range(text: str) -> tuple[str, str] | None:
    """Take a range of date-times apart; None where it is no range.

    A hyphen may also begin an offset from UTC; it does wherever that makes sense (PS3.5 table 6.2-1, DT).

    Examples
    --------
    >>> split_range("2023-2024"), split_range("20240115-0500"), split_range("20240115-0500-20240116")
    (('2023', '2024'), None, ('20240115-0500', '20240116'))
    """
    if date_time_bounds(text) is not None:
        return None
    for at in (place.start() for place in re.finditer("-", text)):
        low, high = text[:at], text[at + 1 :]
        if all(not part or date_time_bounds(part) for part in (low, high)):
            return low, high
    return None


def _offset(text: str) -> timedelta | None:
    minutes = int(text[1:3]) * 60 + int(text[3:])
    minutes = -minutes if text[0] == "-" else minutes
    return timedelta(minutes=minutes) if -12 * 60 <= minutes <= 14 * 60 and int(text[3:]) < 60 else None


def _length(start: datetime, parts: int, fraction: str | None) -> timedelta:
    if fraction:
        return timedelta(microseconds=10 ** (6 - len(fraction)))
    if parts in _LENGTH:
        return _LENGTH[parts]
    if parts == 3:
        return _DAY
    # To the same day of the next year, or the first of the next month.
    if parts == 2:
        return (start.replace(day=28) + 4 * _DAY).replace(day=1) - start if start.month < 12 else 31 * _DAY
    return (datetime(start.year, 12, 31) - start) + _DAY  # noqa: DTZ001
