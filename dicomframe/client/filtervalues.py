"""One value that is searched for, as the text that a query holds (PS3.4 section C.2.2.2, PS3.5 section 6.2)."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import date, datetime, time, timedelta
from numbers import Integral, Real
from typing import Any

from dicomframe.dicom.paths import check_uid
from dicomframe.dicom.tags import FLOAT_VRS, INTEGER_VRS, Attribute
from dicomframe.dicom.words import a_kind
from dicomframe.errors import QueryError

#: Values of these VRs have an order that a query can use.
RANGE_VRS = frozenset({"DA", "DT", "TM"})

_DATE = r"(?:\d{8}|\d{4}-\d{2}-\d{2})"
_DATE_RANGE = re.compile(rf"({_DATE})?\s*-\s*({_DATE})?")
_TIME = re.compile(r"\d{2}(?::?\d{2}(?::?\d{2}(?:\.\d{1,6})?)?)?")
_TIME_RANGE = re.compile(r"([\d:.]+)?\s*-\s*([\d:.]+)?")
_DATETIME = re.compile(r"\d{4}(?:\d{2}){0,5}(?:\.\d{1,6})?(?:[+-]\d{4})?")
_DATETIME_RANGE = re.compile(r"(\d{8,14}(?:\.\d{1,6})?)?\s*-\s*(\d{8,14}(?:\.\d{1,6})?)?")
_INTEGER = re.compile(r"[+-]?\d{1,20}")
_DECIMAL = re.compile(r"[+-]?(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d+)?")
_CONTROL = re.compile(r"[\x00-\x1f\x7f\\]")


def format_value(key: Attribute, value: Any) -> str:
    """Format one value of an attribute.

    Raises
    ------
    QueryError
        If the attribute's VR does not allow it. The message names the attribute and what is accepted, not the value.

    Examples
    --------
    >>> from dicomframe.dicom.tags import attribute
    >>> format_value(attribute("StudyDate"), date(2024, 1, 15)), format_value(attribute("StudyDate"), "2024-01-15")
    ('20240115', '20240115')
    """
    if value is None or (not isinstance(value, str) and _is_missing(value)):
        raise _refusal(key, "nothing (None, NaT, NA); leave the filter out")
    if isinstance(value, str) and not value.strip():
        raise _refusal(key, "an empty text; leave the filter out")
    return _FORMATS.get(key.vr, _text)(key, value)


def format_range(key: Attribute, start: Any, end: Any) -> str:
    """Format a range, of which one end may be None for open.

    Raises
    ------
    QueryError
        If both ends are open, one is malformed, or they are in the wrong order.

    Examples
    --------
    >>> from dicomframe.dicom.tags import attribute
    >>> format_range(attribute("StudyDate"), "2024-01-01", None)
    '20240101-'
    """
    ends = ["" if end is None else _end(key, end) for end in (start, end)]
    if not any(ends):
        raise _refusal(key, "a range that is open at both ends; leave the filter out")
    # Without offsets the texts sort as the times do; with them, they need not.
    if all(ends) and ends[0] > ends[1] and not re.search(r"[+-]\d{4}$", ends[0] + ends[1]):
        raise QueryError(
            f"{key.column}: the range is reversed; give (start, end) with the earlier one first."
        )
    return "-".join(ends)


def _end(key: Attribute, value: Any) -> str:
    """Format one end of a range, which must be a single value."""
    text = format_value(key, value)
    if "-" in text and not (key.vr == "DT" and _DATETIME.fullmatch(text)):
        raise _refusal(key, "a range whose ends are ranges themselves")
    return text


def _is_missing(value: Any) -> bool:
    """Whether it is NaN, NaT or pandas' NA, which are unlike themselves."""
    try:
        return bool(value != value)  # noqa: PLR0124
    except TypeError:
        return True


def _refusal(key: Attribute, given: str) -> QueryError:
    return QueryError(f"{key.column} (VR {key.vr}) cannot be searched for {given}.")


def _date(key: Attribute, value: Any) -> str:
    if isinstance(value, str):
        text = value.strip()
        match = _DATE_RANGE.fullmatch(text)
        if match and not re.fullmatch(_DATE, text):
            return format_range(key, match[1], match[2])
        return _checked_date(key, text)
    moment = _moment(value)
    if not isinstance(moment, date):
        raise _refusal(key, f"{a_kind(value)}; give a date, or text like '2024-01-15' or '20240115'")
    return f"{moment.year:04}{moment.month:02}{moment.day:02}"


def _checked_date(key: Attribute, text: str) -> str:
    if re.fullmatch(_DATE, text):
        digits = text.replace("-", "")
        try:
            date(int(digits[:4]), int(digits[4:6]), int(digits[6:]))
        except ValueError:
            pass
        else:
            return digits
    raise _refusal(
        key,
        "a text that is no date; give one like '2024-01-15' or '20240115', or a range ('2024-01-01', '2024-12-31')",
    )


def _moment(value: Any) -> Any:
    """Make a datetime of numpy's."""
    if type(value).__module__ == "numpy":
        import pandas as pd

        try:
            return pd.Timestamp(value)
        except (ValueError, TypeError):
            return None
    return value


def _time(key: Attribute, value: Any) -> str:
    if isinstance(value, timedelta):
        if not timedelta(0) <= value < timedelta(days=1):
            raise _refusal(key, "a timedelta that is no time of day")
        # Sums through pandas' Timedelta too, which has no time of day of its own.
        value = (datetime(1, 1, 1) + timedelta(seconds=value.total_seconds())).time()  # noqa: DTZ001 - a time of day
    if isinstance(value, datetime):
        value = value.time()
    if isinstance(value, time):
        return f"{value:%H%M%S}{f'.{value.microsecond:06}' if value.microsecond else ''}"
    if isinstance(value, str):
        text = value.strip()
        if "-" in text and (match := _TIME_RANGE.fullmatch(text)):
            return format_range(key, match[1], match[2])
        digits = text.replace(":", "")
        if _TIME.fullmatch(text) and _in_day(digits):
            return digits
    raise _refusal(key, "that; give a time, or text like 10:30 or 103000")


def _in_day(digits: str) -> bool:
    whole = digits.partition(".")[0]
    limits = (23, 59, 60)
    return all(int(whole[at * 2 : at * 2 + 2]) <= limits[at] for at in range(len(whole) // 2))


def _datetime(key: Attribute, value: Any) -> str:
    moment = _moment(value)
    if isinstance(moment, str):
        text = moment.strip()
        if _DATETIME.fullmatch(text):
            return text
        if match := _DATETIME_RANGE.fullmatch(text):
            return format_range(key, match[1], match[2])
        try:
            moment = datetime.fromisoformat(text)
        except ValueError:
            moment = None
    if isinstance(moment, datetime):
        fraction = f".{moment.microsecond:06}" if moment.microsecond else ""
        return f"{moment.year:04}{moment:%m%d%H%M%S}{fraction}{moment:%z}"
    if isinstance(moment, date):
        return f"{moment.year:04}{moment:%m%d}"
    raise _refusal(key, "that; give a datetime, or text like 2024-01-15T10:30:00")


def _number(value: Any) -> float | int | None:
    """Give a number of Python's or numpy's; None for anything else, truth values included."""
    if type(value).__name__ in {"bool", "bool_"} or not isinstance(value, Real):
        return None
    return int(value) if isinstance(value, Integral) else float(value)


def _integer(key: Attribute, value: Any) -> str:
    number = _number(value)
    if number is not None and number == number // 1:
        return str(int(number))
    if isinstance(value, str) and _INTEGER.fullmatch(value.strip()):
        return value.strip()
    raise _refusal(key, "that; give a whole number")


def _decimal(key: Attribute, value: Any) -> str:
    number = _number(value)
    if number is not None and abs(number) != float("inf"):
        return repr(number)
    if isinstance(value, str) and _DECIMAL.fullmatch(value.strip()):
        return value.strip()
    raise _refusal(key, "that; give a number")


def _uid(key: Attribute, value: Any) -> str:
    return check_uid(value, key.column)


def _text(key: Attribute, value: Any) -> str:
    if not isinstance(value, str):
        raise _refusal(key, f"{a_kind(value)}; give text, in which * and ? are wildcards")
    if _CONTROL.search(value):
        raise _refusal(
            key, "a text with a backslash or control characters; for any of several values give a list"
        )
    return value


_FORMATS: dict[str, Callable[[Attribute, Any], str]] = {
    **dict.fromkeys(INTEGER_VRS, _integer),
    **dict.fromkeys(FLOAT_VRS, _decimal),
    "DA": _date,
    "DT": _datetime,
    "TM": _time,
    "UI": _uid,
}
