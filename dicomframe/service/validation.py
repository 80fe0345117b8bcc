"""Which values a VR allows (PS3.5 table 6.2-1), judged as the service judges them when a file is stored.

A value is judged without its padding: trailing spaces, and trailing nulls, which the service accepts and keeps.
"""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Callable

#: UIDs may have leading zeros, as real ones do; anything but digits and dots may not be in them.
UID = re.compile(r"[0-9.]*[0-9]")

_CONTROL = re.compile(r"[\x00-\x1f\x7f\\]")
_CONTROL_IN_PARAGRAPHS = re.compile(r"[\x00-\x08\x0b\x0e-\x1f\x7f]")
_DECIMAL = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d+)?", re.ASCII)
_TIME = re.compile(r"([01]\d|2[0-3])([0-5]\d(([0-5]\d|60)(\.\d{1,6})?)?)?", re.ASCII)
_DATE_TIME = re.compile(
    r"\d{4}((0[1-9]|1[0-2])((0[1-9]|[12]\d|3[01])(([01]\d|2[0-3])([0-5]\d(([0-5]\d|60)(\.\d{1,6})?)?)?)?)?)?"
    r"([+-](0\d|1[0-4])[0-5]\d)?",
    re.ASCII,
)

#: The characters of RFC 3986 section 2.
_URI = re.compile(r"[A-Za-z0-9\-._~:/?#\[\]@!$&'()*+,;=%]*")
#: As long as a value of 32-bit length may be.
_UNBOUNDED = 2**32 - 2

_Rule = Callable[[str], str]


def reason_against(vr: str, value: str) -> str:
    r"""Say why a VR does not allow a value; empty where it does, and for VRs without a rule.

    Parameters
    ----------
    vr : str
        The value representation.
    value : str
        One value. The answer never repeats it: it may name a patient.

    Examples
    --------
    >>> reason_against("DA", "20240230")
    'must be a date of the calendar written YYYYMMDD'
    >>> reason_against("LO", "CT 1\0")
    ''
    """
    rule = _RULES.get(vr)
    bare = value.rstrip(" \0")
    return rule(bare) if rule is not None and bare else ""


def is_date(text: str) -> bool:
    """Tell whether a text is a date of the calendar written YYYYMMDD."""
    if len(text) != 8 or not (text.isascii() and text.isdigit()):
        return False
    try:
        dt.date(int(text[:4]), int(text[4:6]), int(text[6:]))
    except ValueError:
        return False
    return True


def is_time(text: str) -> bool:
    """Tell whether a text is a time written HHMMSS.FFFFFF, parts from the right left out."""
    return _TIME.fullmatch(text) is not None


def is_uid(text: str) -> bool:
    """Tell whether a text is a UID as the service takes them: 1 to 64 digits and dots, a digit at the end."""
    return len(text) <= 64 and UID.fullmatch(text) is not None


def _text(longest: int, *, paragraphs: bool = False) -> _Rule:
    forbidden = _CONTROL_IN_PARAGRAPHS if paragraphs else _CONTROL

    def rule(value: str) -> str:
        if len(value) > longest:
            return f"must have at most {longest} characters"
        return "must not hold control characters or a backslash" if forbidden.search(value) else ""

    return rule


def _pattern(pattern: str | re.Pattern[str], reason: str) -> _Rule:
    match = re.compile(pattern).fullmatch
    return lambda value: "" if match(value.strip(" ")) else reason


def _date(value: str) -> str:
    return "" if is_date(value) else "must be a date of the calendar written YYYYMMDD"


def _uid(value: str) -> str:
    return "" if is_uid(value) else "must be a UID of at most 64 digits and dots that ends with a digit"


def _decimal(value: str) -> str:
    if len(value) <= 16 and _DECIMAL.fullmatch(value.strip(" ")):
        return ""
    return "must be a decimal number of at most 16 characters"


def _integer(value: str) -> str:
    bare = value.strip(" ")
    if len(value) <= 12 and re.fullmatch(r"[+-]?[0-9]+", bare) and -(2**31) <= int(bare) < 2**31:
        return ""
    return "must be a whole number from -2147483648 to 2147483647 of at most 12 characters"


def _uri(value: str) -> str:
    return "" if _URI.fullmatch(value) else "must hold the characters of a URI only, and no space in front"


def _person_name(value: str) -> str:
    groups = value.split("=")
    if len(groups) > 3:
        return "must have at most 3 component groups"
    if any(len(group) > 64 for group in groups):
        return "must have at most 64 characters in each component group"
    if any(group.count("^") > 4 for group in groups):
        return "must have at most 5 components in each component group"
    return "must not hold control characters or a backslash" if _CONTROL.search(value) else ""


_RULES: dict[str, _Rule] = {
    "AE": _text(16),
    "AS": _pattern(r"[0-9]{3}[DWMY]", "must be three digits and one of D, W, M and Y"),
    "CS": _pattern(
        r"[A-Z0-9 _]{0,16}", "must be at most 16 upper-case letters, digits, spaces and underscores"
    ),
    "DA": _date,
    "DS": _decimal,
    "DT": _pattern(_DATE_TIME, "must be written YYYYMMDDHHMMSS.FFFFFF&ZZXX, parts from the right left out"),
    "IS": _integer,
    "LO": _text(64),
    "LT": _text(10_240, paragraphs=True),
    "PN": _person_name,
    "SH": _text(16),
    "ST": _text(1_024, paragraphs=True),
    "TM": _pattern(_TIME, "must be a time written HHMMSS.FFFFFF, parts from the right left out"),
    "UC": _text(_UNBOUNDED),
    "UI": _uid,
    "UR": _uri,
    "UT": _text(_UNBOUNDED, paragraphs=True),
}
