"""One DICOM JSON attribute -> one cell: the judgement that the fast and the tolerant reader share.

A reading says three things: the cell's value (in the form that Arrow takes), whether the cell says exactly what the
attribute said, and what was wrong. What a cell does not say exactly is kept as a note; what was wrong is an issue.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Any, NamedTuple, Self

from dicomframe.dicom import tags
from dicomframe.dicom.values import PersonName, format, parse  # noqa: A004 - the pair's own name
from dicomframe.tables.jsontext import encodable
from dicomframe.tables.schema import Column, Kind, column_of

_EPOCH = datetime(1970, 1, 1)  # noqa: DTZ001 - naive on purpose: the columns are naive UTC
_EPOCH_DAY = date(1970, 1, 1).toordinal()
_MICROSECOND = timedelta(microseconds=1)
_LARGEST_INT64 = 2**63 - 1
#: Below it, every whole number is a floating-point number, and no other whole number is read as the same one.
LARGEST_EXACT = 2.0**53
_ABSENT: Any = object()


class Reading(NamedTuple):
    """What became of one attribute.

    Parameters
    ----------
    value : object
        The cell's value in the form that the column's Arrow type takes, None where it is missing.
    exact : bool
        Whether the attribute can be rebuilt from the value alone.
    reason : str, optional
        Why something could not be read.
    """

    value: Any
    exact: bool
    reason: str | None = None


class Spelt(int):
    """A date-time's cell, and the text that says more than it: an offset, or that only the year is known.

    Parameters
    ----------
    value : int
        The cell.
    text : str
        DICOM's text.
    """

    text: str

    def __new__(cls, value: int, text: str) -> Self:
        """Make one."""
        made = super().__new__(cls, value)
        made.text = text
        return made


def _encode_date(value: date) -> int:
    return (value.toordinal() - _EPOCH_DAY) * 86_400


def _encode_datetime(value: datetime) -> int:
    if value.tzinfo is not None:
        try:
            value = value.astimezone(UTC).replace(tzinfo=None)
        except OverflowError:
            raise ValueError("it lies outside the years 1 to 9999 in UTC") from None
    return (value - _EPOCH) // _MICROSECOND


def _encode_time(value: timedelta) -> int:
    return value // _MICROSECOND


def _encode_integer(value: int) -> int:
    if value > _LARGEST_INT64:
        raise ValueError("it is larger than Int64 holds")
    return value


def _encode_float(value: float) -> float | None:
    # pandas has one way to say "not a number", and it is missing; the note keeps the difference.
    return None if math.isnan(value) else value


def _encode_name(value: PersonName) -> str | None:
    return encodable(value.alphabetic) or None


#: Why a text is not as it came; it is there all the same.
_NO_TEXT = "it holds bytes that are no UTF-8, or halves of characters; they are shown as escapes"


#: Python value -> what Arrow takes; kinds that are not named here are taken as they are.
ENCODERS: dict[Kind, Callable[[Any], Any]] = {
    "date": _encode_date,
    "datetime": _encode_datetime,
    "float": _encode_float,
    "integer": _encode_integer,
    "name": _encode_name,
    "text": encodable,
    "time": _encode_time,
}


def decode(kind: Kind, value: Any) -> Any:
    """Turn what Arrow holds back into the Python value that `dicomframe.dicom.values.format` takes."""
    if kind == "date":
        return date.fromordinal(value // 86_400 + _EPOCH_DAY)
    if kind == "datetime":
        return _EPOCH + value * _MICROSECOND
    if kind == "time":
        return value * _MICROSECOND
    if kind == "name":
        return PersonName(value)
    return value


def read_value(column: Column, raw: object) -> Reading:
    """Read one value of an attribute's ``Value``, not null.

    Examples
    --------
    >>> read_value(column_of("00200013"), "12")
    Reading(value=12, exact=False, reason=None)
    >>> read_value(column_of("00080020"), "2024-01-15").reason
    'a date of the form YYYYMMDD is accepted, not this text'
    """
    try:
        value = parse(column.vr, raw)
        encoder = ENCODERS.get(column.kind)
        encoded = value if encoder is None or value is None else encoder(value)
    except ValueError as error:
        return Reading(None, False, str(error))
    if encoded is None:
        return Reading(None, False)
    if column.kind == "name":
        back = format(column.vr, value)
        reason = None if encoded == value.alphabetic else _NO_TEXT
        return Reading(encoded, back == raw == {"Alphabetic": encoded}, reason)
    reason = _NO_TEXT if column.kind == "text" and encoded != value else None
    back = format(column.vr, decode(column.kind, encoded))
    return Reading(encoded, (type(back) is type(raw) and back == raw) or _same_number(back, raw), reason)


def _same_number(one: object, other: object) -> bool:
    # 1 and 1.0 are the same JSON number.
    return isinstance(one, int | float) and isinstance(other, int | float) and one == other


def read_attribute(column: Column, attribute: object) -> Reading:
    """Read an attribute of DICOM JSON (PS3.18 section F.2.2), whatever a server made of it.

    Parameters
    ----------
    column : Column
        The column that the cell is for.
    attribute : object
        What stands at the tag; an object with ``vr`` and ``Value``, if all is well.

    Returns
    -------
    Reading
        Its ``reason`` is None for an attribute that is merely empty.
    """
    if not isinstance(attribute, dict):
        reason = None if attribute is None else "an attribute is an object with vr and Value"
        return Reading(None, False, reason)
    as_expected = attribute.get("vr") == column.vr
    values = attribute.get("Value", _ABSENT)
    if values is _ABSENT:
        return _read_without_value(column, attribute, as_expected)
    as_expected = as_expected and len(attribute) == 2
    if not isinstance(values, list):
        # One value instead of a list of one, or null instead of none.
        values, as_expected = ([] if values is None else [values]), False
    if column.kind == "records":
        reading = _read_items(values)
    elif column.kind == "bulk":
        reading = Reading(
            None, False, "a bulk VR has InlineBinary or BulkDataURI, not Value" if values else None
        )
    elif column.multiple:
        reading = _read_list(column, values)
    elif not values or values == [None]:
        reading = Reading(None, False)
    elif len(values) > 1:
        reading = Reading(None, False, f"{len(values)} values where the dictionary allows one")
    else:
        reading = read_value(column, values[0])
    return reading if as_expected else reading._replace(exact=False)


def _read_without_value(column: Column, attribute: Mapping[str, Any], as_expected: bool) -> Reading:
    uri = attribute.get("BulkDataURI")
    if column.kind == "bulk" and isinstance(uri, str) and uri:
        text = encodable(uri)
        return Reading(text, as_expected and len(attribute) == 2 and text == uri)
    if uri is not None:
        return Reading(None, False, "its value is bulk data, to be fetched from the BulkDataURI")
    # Inline binary is in order for a bulk VR; only the note holds it.
    misplaced = "InlineBinary" in attribute and column.kind != "bulk"
    reason = "it has InlineBinary, which its VR does not allow" if misplaced else None
    return Reading(None, as_expected and len(attribute) == 1, reason)


def _read_list(column: Column, values: Sequence[object]) -> Reading:
    if not values:
        return Reading(None, False)
    readings = [Reading(None, False) if raw is None else read_value(column, raw) for raw in values]
    reasons = [reading.reason for reading in readings if reading.reason]
    return Reading(
        [reading.value for reading in readings],
        all(reading.exact for reading in readings),
        reasons[0] if reasons else None,
    )


def _read_items(items: Sequence[object]) -> Reading:
    """Read a sequence's items into records by keyword, nested as they are."""
    records: list[dict[str, Any]] = []
    reasons: list[str] = []
    exact = True
    for item in items:
        record: dict[str, Any] = {}
        records.append(record)
        if not isinstance(item, dict):
            exact = False
            if item is not None:
                reasons.append("an item of a sequence is an object of attributes")
            continue
        for key, attribute in item.items():
            known = tags.find(key)
            if known is None:
                exact = False
                reasons.append("a key in an item is neither a tag nor a keyword")
                continue
            vr = attribute.get("vr") if isinstance(attribute, dict) else None
            inner = column_of(known.tag, vr if isinstance(vr, str) else None)
            reading = read_attribute(inner, attribute)
            record[inner.name] = plain(inner, reading.value)
            exact = exact and reading.exact and known.tag == key and not known.vr_is_open
            if reading.reason:
                reasons.append(f"{inner.name}: {reading.reason}")
    return Reading(records, exact, "; ".join(sorted(set(reasons))) or None)


def plain(column: Column, value: Any) -> Any:
    """Give a nested value in the form that users meet in a record: dates and numbers as Python has them."""
    if value is None or column.kind in {"records", "bulk", "name"} or isinstance(value, Spelt):
        return value
    if column.multiple:
        return [one if one is None or isinstance(one, Spelt) else decode(column.kind, one) for one in value]
    return decode(column.kind, value)
