"""Points in time as a caller gives them, on the one clock that a service has: UTC."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, timedelta
from typing import Any

from dicomframe.errors import QueryError

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_DAY = re.compile(r"\d{4}-\d\d-\d\d")


def microseconds(value: Any, name: str, *, end: bool = False) -> int | None:
    """Give a point in time in microseconds since 1970, UTC.

    Parameters
    ----------
    value : datetime, date, pandas.Timestamp, str or None
        A time with its zone, or a day, which is one of UTC.
    name : str
        What the argument is called in messages.
    end : bool
        Whether a day stands for its end instead of its beginning.

    Raises
    ------
    QueryError
        If it is none of these, or a time without a zone: whose clock it is cannot be known, and a guess would be
        hours off without a word.

    Examples
    --------
    >>> microseconds("1970-01-01T01:00:00+01:00", "start"), microseconds("1970-01-01", "end", end=True)
    (0, 86400000000)
    """
    if value is None:
        return None
    moment = _parsed(value, name)
    if type(moment) is date:
        try:
            day = datetime(moment.year, moment.month, moment.day, tzinfo=UTC) + timedelta(days=int(end))
        except OverflowError:
            raise QueryError(f"{name} lies outside the years 1 to 9999.") from None
        return (day - _EPOCH) // timedelta(microseconds=1)
    if str(moment) == "NaT":
        raise QueryError(f"{name} is no time but its absence (NaT); leave it out for an open end.")
    if type(moment).__name__ == "datetime64":
        moment = moment.astype("datetime64[us]").item()
    if not isinstance(moment, datetime):
        raise QueryError(
            f"{name} must be a time with its zone, or a day, not {type(value).__name__}.{_hint(value)}"
        )
    if moment.tzinfo is None or moment.utcoffset() is None:
        raise QueryError(
            f"{name} lacks its time zone. The change feed keeps UTC: write 2024-01-15T14:30:00Z,"
            " datetime.now(datetime.UTC), or give the zone that you mean."
        )
    return (moment - _EPOCH) // timedelta(microseconds=1)


def _parsed(value: Any, name: str) -> Any:
    if not isinstance(value, str):
        return value
    text = value.strip()
    try:
        return date.fromisoformat(text) if _DAY.fullmatch(text) else datetime.fromisoformat(text)
    except ValueError:
        raise QueryError(
            f"{name} must be a time of ISO 8601 with its zone, such as 2024-01-15T14:30:00Z, or a day, 2024-01-15."
        ) from None


def _hint(value: Any) -> str:
    return " Sequence numbers are given as after=." if hasattr(value, "__index__") else ""
