"""One value of DICOM JSON <-> one Python value, by its VR (PS3.5 section 6.2, PS3.18 annex F).

`parse` accepts what real servers send: numbers as text, text as numbers, dates in the old dotted form, person names
as plain text. It refuses only what the VR gives no meaning to, with the reason in words and never with the value.
Whether a value says more than its Python form can hold (a partial date-time, ``"1.50"``) is told by
``format(vr, parse(vr, raw)) != raw``. Blank text and null are no value (None), text VRs excepted: their text stays as
it is, of any length and with any characters, because a table must show what the archive holds.

=====================================  ==========================================================
VR                                     Python value
=====================================  ==========================================================
AE AS CS LO LT SH ST UC UI UN UR UT    `str`
AT                                     `str` of eight upper-case hex digits
DA                                     `datetime.date`
DT                                     `datetime.datetime`; aware where an offset is given
TM                                     `datetime.timedelta` since midnight
IS SL SS SV UL US UV                   `int` within the VR's range
DS FD FL                               `float`
PN                                     `PersonName`
=====================================  ==========================================================
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from datetime import date, datetime, timedelta, timezone
from typing import Any, NamedTuple, TypeVar

from dicomframe.dicom.tags import FLOAT_VRS, INTEGER_VRS

#: Smallest and largest integer of each VR (PS3.5 table 6.2-1).
INTEGER_RANGE: dict[str, tuple[int, int]] = {
    "IS": (-(2**31), 2**31 - 1),
    "SL": (-(2**31), 2**31 - 1),
    "SS": (-(2**15), 2**15 - 1),
    "SV": (-(2**63), 2**63 - 1),
    "UL": (0, 2**32 - 1),
    "US": (0, 2**16 - 1),
    "UV": (0, 2**64 - 1),
}

# ASCII digits only: to Python, digits of other scripts are digits too.
_DATE = re.compile(r"(\d{4})(\d\d)(\d\d)|(\d{4})\.(\d\d)\.(\d\d)", re.ASCII)
_TIME = re.compile(
    r"(\d\d)(?:(\d\d)(?:(\d\d)(?:\.(\d{1,6}))?)?)?|(\d\d):(\d\d)(?::(\d\d)(?:\.(\d{1,6}))?)?", re.ASCII
)
_DATE_TIME = re.compile(
    r"(\d{4})(?:(\d\d)(?:(\d\d)(?:(\d\d)(?:(\d\d)(?:(\d\d)(?:\.(\d{1,6}))?)?)?)?)?)?([+-]\d{4})?", re.ASCII
)
_INTEGER = re.compile(r"[+-]?\d{1,20}", re.ASCII)
_DECIMAL = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d+)?", re.ASCII)
_TAG = re.compile(r"[0-9A-Fa-f]{8}")
_AGE = re.compile(r"(\d{1,3})([DWMY])", re.IGNORECASE | re.ASCII)
#: What pads a value: spaces, and nulls, which the service keeps in its metadata.
_PADDING = " \0"
Moment = TypeVar("Moment", date, datetime)

_YEARS_OF_AGE_UNIT = {"D": 1 / 365.25, "W": 7 / 365.25, "M": 1 / 12, "Y": 1.0}


class PersonName(NamedTuple):
    """The three component groups of a person name (PS3.5 section 6.2.1), empty where there is none."""

    alphabetic: str = ""
    ideographic: str = ""
    phonetic: str = ""


def parse(vr: str, raw: object) -> Any:
    """Turn one JSON value into its Python value.

    Parameters
    ----------
    vr : str
        Two letters; an unknown one is read as text.
    raw : object
        One value out of an attribute's ``Value``.

    Returns
    -------
    object
        See the table at the top of the module; None for null, and for blank text where the VR is no text.

    Raises
    ------
    ValueError
        If the VR gives the value no meaning. The message says what is accepted and never holds the value.

    Examples
    --------
    >>> parse("DA", "18800101"), parse("IS", "12"), parse("DS", 0.5)
    (datetime.date(1880, 1, 1), 12, 0.5)
    >>> parse("PN", {"Alphabetic": "Yamada^Tarou", "Ideographic": "山田^太郎"}).ideographic
    '山田^太郎'
    """
    if raw is None:
        return None
    parser = _PARSERS.get(vr)
    if parser is None:
        return _text(raw)
    if isinstance(raw, str):
        raw = raw.strip(_PADDING)
        if not raw:
            return None
    return parser(vr, raw)


def format(vr: str, value: Any) -> Any:  # noqa: A001 - the pair of parse
    """Turn a Python value back into its JSON value, in the form that the standard prefers.

    Examples
    --------
    >>> format("DA", date(1880, 1, 1)), format("TM", timedelta(hours=7, microseconds=50))
    ('18800101', '070000.000050')
    >>> format("PN", PersonName("Smith^Anna"))
    {'Alphabetic': 'Smith^Anna'}
    """
    formatter = _FORMATTERS.get(vr)
    return value if formatter is None or value is None else formatter(value)


def age_in_years(text: str) -> float | None:
    """Give an age (AS) in years, or None where it is none; a small unit letter is understood.

    Examples
    --------
    >>> age_in_years("042Y"), age_in_years("018M"), age_in_years("N-A")
    (42.0, 1.5, None)
    """
    match = _AGE.fullmatch(text.strip())
    return int(match[1]) * _YEARS_OF_AGE_UNIT[match[2].upper()] if match else None


def _refuse(accepted: str, raw: object) -> ValueError:
    """Make the error for a value of the wrong JSON type, or that is not written as it must be."""
    return ValueError(f"{accepted} is accepted, not {_JSON_KINDS.get(type(raw), 'this')}")


def _text(raw: object) -> str:
    if isinstance(raw, str):
        return raw
    if isinstance(raw, bool) or not isinstance(raw, int | float):
        raise _refuse("text", raw)
    return str(raw)


def _integer(vr: str, raw: object) -> int:
    if isinstance(raw, bool):
        raise _refuse("a whole number", raw)
    if isinstance(raw, int):
        number = raw
    elif isinstance(raw, str) and _INTEGER.fullmatch(raw):
        number = int(raw)
    else:
        number = _whole(_float(vr, raw))
    low, high = INTEGER_RANGE[vr]
    if not low <= number <= high:
        raise ValueError(f"it lies outside {low} to {high}, the range of {vr}")
    return number


def _whole(number: float) -> int:
    if not number.is_integer():
        raise ValueError("it is no whole number")
    if abs(number) > 2**53:
        raise ValueError("it is a whole number too large to be exact in the form it is written in")
    return int(number)


def _float(vr: str, raw: object) -> float:
    if isinstance(raw, bool) or not isinstance(raw, str | int | float):
        raise _refuse("a number", raw)
    if isinstance(raw, str):
        if vr in _BINARY_FLOAT_VRS and raw.lower() in _NON_FINITE:
            return _NON_FINITE[raw.lower()]
        if not _DECIMAL.fullmatch(raw):
            raise _refuse("a number", raw)
    try:
        number = float(raw)
    except OverflowError:
        number = math.inf
    if not math.isfinite(number) and (vr not in _BINARY_FLOAT_VRS or not isinstance(raw, float)):
        raise ValueError("it is no finite number, or one too large for a floating-point number")
    if vr == "FL" and LARGEST_FL < abs(number) < math.inf:
        raise ValueError("it is too large for FL, which has single precision")
    return number


def _date(_vr: str, raw: object) -> date:
    match = _DATE.fullmatch(raw) if isinstance(raw, str) else None
    if match is None:
        raise _refuse("a date of the form YYYYMMDD", raw)
    year, month, day = (int(part) for part in match.groups() if part is not None)
    try:
        return date(year, month, day)
    except ValueError:
        raise _no_such_day() from None


def _time(_vr: str, raw: object) -> timedelta:
    match = _TIME.fullmatch(raw) if isinstance(raw, str) else None
    if match is None:
        raise _refuse("a time of the form HHMMSS.FFFFFF", raw)
    return _time_of_day(match.groups()[:4] if match[1] else match.groups()[4:])


def _time_of_day(parts: Sequence[str | None]) -> timedelta:
    """Add hours, minutes, seconds and the digits of a fraction up; 60 is a leap second (PS3.5 table 6.2-1)."""
    hours, minutes, seconds = (int(part or 0) for part in parts[:3])
    if hours > 23 or minutes > 59 or seconds > 60:
        raise ValueError("it is no time of day")
    micro = int((parts[3] or "").ljust(6, "0"))
    return timedelta(hours=hours, minutes=minutes, seconds=seconds, microseconds=micro)


def _date_time(_vr: str, raw: object) -> datetime:
    match = _DATE_TIME.fullmatch(raw) if isinstance(raw, str) else None
    if match is None:
        raise _refuse("a date-time of the form YYYYMMDDHHMMSS.FFFFFF&ZZXX", raw)
    year, month, day = (int(part or 1) for part in match.groups()[:3])
    within_day = _time_of_day(match.groups()[3:7])
    zone = _zone(match[8]) if match[8] else None
    try:
        return datetime(year, month, day, tzinfo=zone) + within_day
    except (ValueError, OverflowError):
        raise _no_such_day() from None


def _no_such_day() -> ValueError:
    return ValueError("there is no such day in the calendar")


def _zone(offset: str) -> timezone:
    minutes = int(offset[1:3]) * 60 + int(offset[3:])
    minutes = -minutes if offset[0] == "-" else minutes
    if int(offset[3:]) > 59 or not -12 * 60 <= minutes <= 14 * 60:
        raise ValueError("its offset from UTC lies outside -1200 to +1400")
    return timezone(timedelta(minutes=minutes))


def _tag(_vr: str, raw: object) -> str:
    if isinstance(raw, str) and _TAG.fullmatch(raw):
        return raw.upper()
    raise _refuse("a tag of eight hex digits", raw)


def _person_name(_vr: str, raw: object) -> PersonName:
    if isinstance(raw, str) and raw.count("=") <= 2:
        return PersonName(*raw.split("="))
    if isinstance(raw, Mapping):
        groups = {str(name).lower(): group or "" for name, group in raw.items()}
        if all(name in PersonName._fields and isinstance(group, str) for name, group in groups.items()):
            return PersonName(**groups)
    raise _refuse("a person name of up to three component groups", raw)


def _item(_vr: str, raw: object) -> Mapping[str, Any]:
    if isinstance(raw, Mapping):
        return raw
    raise _refuse("an item of attributes", raw)


_JSON_KINDS: dict[type, str] = {
    dict: "an object",
    list: "a list",
    bool: "true or false",
    int: "this number",
    float: "this number",
    str: "this text",
}
#: The largest number of single precision.
LARGEST_FL = (2 - 2**-23) * 2.0**127
_BINARY_FLOAT_VRS = frozenset({"FL", "FD"})
#: JSON has no number for these and PS3.18 gives no other form; the hosted service writes the capitalised words.
_NON_FINITE = {
    "nan": math.nan,
    "inf": math.inf,
    "infinity": math.inf,
    "-inf": -math.inf,
    "-infinity": -math.inf,
}


def format_time(value: timedelta) -> str:
    """Give a time since midnight as TM: ``HHMMSS``, with six digits of fraction where there is one."""
    seconds, micro = value.days * 86_400 + value.seconds, value.microseconds
    # A leap second of 23:59:60 counts as the end of the day.
    hours, minutes = min(seconds // 3600, 23), 59 if seconds >= 86_400 else seconds // 60 % 60
    text = f"{hours:02}{minutes:02}{seconds - hours * 3600 - minutes * 60:02}"
    return f"{text}.{micro:06}" if micro else text


def format_date_time(value: datetime) -> str:
    """Give a date-time as DT: ``YYYYMMDDHHMMSS``, with fraction and offset where there are such."""
    text = f"{value.year:04}{value.month:02}{value.day:02}{value.hour:02}{value.minute:02}{value.second:02}"
    if value.microsecond:
        text += f".{value.microsecond:06}"
    offset = value.utcoffset()
    if offset is None:
        return text
    minutes = round(offset.total_seconds() / 60)
    return f"{text}{'-' if minutes < 0 else '+'}{abs(minutes) // 60:02}{abs(minutes) % 60:02}"


def _format_person_name(value: PersonName) -> dict[str, str]:
    names = ("Alphabetic", "Ideographic", "Phonetic")
    return {name: group for name, group in zip(names, value, strict=True) if group}


def format_float(value: float) -> float | str:
    """Give a number for JSON, as a word where it is not finite."""
    if math.isfinite(value):
        return value
    return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"


_PARSERS: dict[str, Callable[[str, object], Any]] = {
    **dict.fromkeys(INTEGER_VRS, _integer),
    **dict.fromkeys(FLOAT_VRS, _float),
    "AT": _tag,
    "DA": _date,
    "DT": _date_time,
    "PN": _person_name,
    "SQ": _item,
    "TM": _time,
}
_FORMATTERS: dict[str, Callable[[Any], Any]] = {
    **dict.fromkeys(FLOAT_VRS, format_float),
    "DA": lambda value: f"{value.year:04}{value.month:02}{value.day:02}",
    "DT": format_date_time,
    "PN": _format_person_name,
    "TM": format_time,
}
