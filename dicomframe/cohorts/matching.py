"""The filters of a search, applied to the columns of a typed table (PS3.4 section C.2.2.2, as the service matches).

Text matches without regard to case, and may hold ``*`` and ``?``; person names match without accents as well. Ranges
are inclusive and, because nothing has to fit into a query here, numbers and ages have them too. A value that is
missing, or that cannot be compared, is neither a match nor none: callers are told.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, date, datetime, timedelta
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd

from dicomframe.client.filtervalues import RANGE_VRS, format_value
from dicomframe.dicom import tags
from dicomframe.dicom.values import age_in_years, parse
from dicomframe.dicom.words import did_you_mean
from dicomframe.errors import QueryError, TableError

Mask = npt.NDArray[np.bool_]
#: Whether one value matches; None where that cannot be said.
Test = Callable[[Any], bool | None]

_NUMBERS: Final = tags.INTEGER_VRS | tags.FLOAT_VRS
_NO_FILTERS: Final = tags.BINARY_VRS | {"SQ"}


class Matches(NamedTuple):
    """Which rows match, and of which that cannot be said.

    Parameters
    ----------
    yes, unknown : ndarray of bool, shape (rows,)
        No row is both.
    """

    yes: Mask
    unknown: Mask


def match_column(table: pd.DataFrame, name: str, wanted: Any) -> Matches:
    """Hold a column against what its values must be.

    Parameters
    ----------
    table : pandas.DataFrame
        A typed table; columns that are no attributes, joined from elsewhere, are held against by their dtype.
    name : str
        The column.
    wanted : object
        As in a search: a value, text with wildcards, a range ``(low, high)`` with None for an open end, or a list, of
        which any may match.

    Raises
    ------
    TableError
        If there is no such column.
    QueryError
        If its values cannot be held against that. The message names the column, never the value.

    Examples
    --------
    >>> import dicomframe as dfr
    >>> table = dfr.from_json([{"00101010": {"vr": "AS", "Value": [age]}} for age in ("017Y", "042Y", "N-A")])
    >>> found = match_column(table, "PatientAge", (18, None))
    >>> found.yes.tolist(), found.unknown.tolist()
    ([False, True, False], [False, False, True])
    """
    if name not in table.columns:
        advice = did_you_mean(name, table.columns) or (
            f" Ask the search for it (fields=[{name[:64]!r}]), or read it in a step of instances"
            f" (metadata=[{name[:64]!r}])."
        )
        raise TableError(f"There is no column {name[:64]!r} in the table.{advice}")
    if (table.columns == name).sum() > 1:
        raise TableError(f"There are several columns {name[:64]!r}; keep one.")
    column = table[name]
    test = _test(column, name, wanted)
    # A cell may hold several values, of which one must match.
    values = column.reset_index(drop=True).explode()
    codes, distinct = pd.factorize(values)
    verdicts = [test(value) for value in distinct]
    yes = np.array([verdict is True for verdict in verdicts] + [False], dtype=bool)[codes]
    no = np.array([verdict is False for verdict in verdicts] + [False], dtype=bool)[codes]
    rows = values.index.to_numpy()
    any_yes, any_no = np.zeros(len(table), dtype=bool), np.zeros(len(table), dtype=bool)
    any_yes[rows[yes]] = True
    any_no[rows[no]] = True
    return Matches(any_yes, ~any_yes & ~any_no)


def match_all(table: pd.DataFrame, filters: Mapping[str, Any]) -> dict[str, Matches]:
    """Hold several columns against their filters, one verdict each."""
    return {name: match_column(table, name, wanted) for name, wanted in filters.items()}


def as_range(wanted: Any) -> tuple[Any, Any] | None:
    """Give both ends of a range; None for what is none.

    Examples
    --------
    >>> as_range((18, None)), as_range(slice(1, 5)), as_range([1, 5])
    ((18, None), (1, 5), None)
    """
    if isinstance(wanted, slice):
        if wanted.step is not None:
            raise QueryError("A slice is a range from start to stop; it has no step.")
        wanted = (wanted.start, wanted.stop)
    if not isinstance(wanted, tuple):
        return None
    if len(wanted) != 2:
        raise QueryError("A tuple is a range (low, high); for any of several values give a list.")
    if wanted[0] is None and wanted[1] is None:
        raise QueryError("A range that is open at both ends filters nothing; leave it out.")
    return wanted[0], wanted[1]


def as_list(wanted: Any) -> list[Any] | None:
    """Give the values of a list, set, array or column; None for a single one."""
    if isinstance(wanted, str | bytes | tuple | slice | Mapping) or getattr(wanted, "ndim", None) == 0:
        return None
    return list(wanted) if isinstance(wanted, Iterable) else None


def _test(column: pd.Series[Any], name: str, wanted: Any) -> Test:
    several = as_list(wanted)
    if several is None:
        return _single_test(column, name, wanted)
    tests = [_single_test(column, name, each) for each in several]

    def any_of(value: Any) -> bool | None:
        verdicts = [test(value) for test in tests]
        return True if True in verdicts else None if None in verdicts else False

    return any_of


def _single_test(column: pd.Series[Any], name: str, wanted: Any) -> Test:
    vr = _vr_of(column, name)
    if vr in _NO_FILTERS:
        raise QueryError(f"{name[:64]} (VR {vr}) holds no values to filter by.")
    if isinstance(wanted, Mapping) or wanted is None:
        raise QueryError(
            f"{name[:64]} cannot be filtered by that; give a value, a range (low, high) or a list."
        )
    if vr == "bool":
        return _truth(name, wanted)
    if vr == "AS" and not isinstance(wanted, str):
        return _between(_ages(name, wanted), age_in_years)
    if vr in _NUMBERS:
        return _between(_ends(wanted, lambda end: _number(name, end)), float)
    if vr in RANGE_VRS:
        return _between(_moments(name, vr, wanted), _COMPARABLE[vr])
    if as_range(wanted) is not None:
        raise QueryError(f"{name[:64]} is text, which has no ranges; give text with * and ?, or a list.")
    return _text(name, vr, wanted)


def _vr_of(column: pd.Series[Any], name: str) -> str:
    """Give how the values compare: by the dictionary, or, of a column from elsewhere, by its dtype."""
    known = tags.find(name)
    is_number = pd.api.types.is_numeric_dtype(column.dtype) and not pd.api.types.is_bool_dtype(column.dtype)
    if known is not None and (not known.vr_is_open or set(known.vr.split(" or ")) <= _NO_FILTERS):
        return known.vr.partition(" or ")[0]
    if pd.api.types.is_bool_dtype(column.dtype):
        return "bool"
    if is_number:
        return "FD"
    return "DA" if pd.api.types.is_datetime64_any_dtype(column.dtype) else "LO"


def _ends(wanted: Any, read: Callable[[Any], Any]) -> tuple[Any, Any]:
    """Read both ends of a range; a single value is both."""
    ends = as_range(wanted)
    low, high = (wanted, wanted) if ends is None else ends
    found: tuple[Any, Any] = (None if low is None else read(low), None if high is None else read(high))
    if None not in found and found[0] > found[1]:
        raise QueryError("The range is reversed; give (low, high) with the lower end first.")
    return found


def _between(ends: tuple[Any, Any], read: Callable[[Any], Any]) -> Test:
    low, high = ends

    def test(value: Any) -> bool | None:
        try:
            read_value = read(value)
        except (TypeError, ValueError):
            return None
        if read_value is None:
            return None
        return (low is None or low <= read_value) and (high is None or read_value <= high)

    return test


def _number(name: str, value: Any) -> float:
    try:
        number = float(value)
    except (TypeError, ValueError):
        number = float("nan")
    if isinstance(value, bool | np.bool_) or number != number:  # noqa: PLR0124 - not a number
        raise QueryError(f"{name[:64]} holds numbers; give a number, a range of them or a list.")
    return number


def _ages(name: str, wanted: Any) -> tuple[Any, Any]:
    """Read ages: numbers are years, texts are as DICOM writes them."""

    def years(end: Any) -> float:
        if isinstance(end, str):
            found = age_in_years(end)
            if found is None:
                raise QueryError(f"{name[:64]} holds ages; give years, or text like 018Y, 006M.")
            return found
        return _number(name, end)

    return _ends(wanted, years)


def _moments(name: str, vr: str, wanted: Any) -> tuple[Any, Any]:
    """Read dates or times as a search does, texts of ranges included."""
    known = tags.find(name)
    key = known if known is not None and known.vr == vr else tags.attribute("StudyDate")

    def moment(end: Any) -> Any:
        try:
            return _COMPARABLE[vr](parse(vr, format_value(key, end)))
        except ValueError:
            raise QueryError(
                f"{name[:64]} cannot be filtered by that; give a date or time, or text of one."
            ) from None

    if isinstance(wanted, str) and vr != "DT":
        text = format_value(key, wanted)
        if "-" in text:
            low, _, high = text.partition("-")
            wanted = (low or None, high or None)
    return _ends(wanted, moment)


def _day(value: Any) -> date | None:
    if isinstance(value, datetime):  # pandas' Timestamp, too
        return value.date()
    return value if isinstance(value, date) else None


def _time_of_day(value: Any) -> timedelta | None:
    return value if isinstance(value, timedelta) else None


def _instant(value: Any) -> datetime | None:
    """Give a moment without its offset, in UTC where it has one, as the column has it."""
    if not isinstance(value, datetime):
        return datetime(value.year, value.month, value.day) if isinstance(value, date) else None  # noqa: DTZ001
    return value.astimezone(UTC).replace(tzinfo=None) if value.tzinfo is not None else value


_COMPARABLE: Final[dict[str, Callable[[Any], Any]]] = {"DA": _day, "TM": _time_of_day, "DT": _instant}


def _truth(name: str, wanted: Any) -> Test:
    if not isinstance(wanted, bool | np.bool_):
        raise QueryError(f"{name[:64]} holds truth values; give True or False.")
    return lambda value: bool(value) == bool(wanted)


def _text(name: str, vr: str, wanted: Any) -> Test:
    if not isinstance(wanted, str):
        raise QueryError(f"{name[:64]} holds text; give text, in which * and ? are wildcards, or a list.")
    if not wanted.strip():
        raise QueryError(f"{name[:64]} cannot be filtered by an empty text; leave the filter out.")
    fold = fold_name if vr == "PN" else fold_text
    wanted = re.sub(r"\*+", "*", wanted)  # many of them mean one, and would take a regular expression long
    pieces = (".*" if char == "*" else "." if char == "?" else re.escape(char) for char in fold(wanted))
    pattern = re.compile("".join(pieces), re.DOTALL)
    return lambda value: pattern.fullmatch(fold(value)) is not None if isinstance(value, str) else None


def fold_text(text: str) -> str:
    """Bring text to the form in which it is compared: without regard to case or padding, with accents.

    Examples
    --------
    >>> fold_text(" Thorax ") == fold_text("THORAX")
    True
    """
    return unicodedata.normalize("NFC", text.strip(" \0")).casefold()


def fold_name(text: str) -> str:
    """Bring a person name to the form in which it is compared: without case, accents and empty last components.

    Examples
    --------
    >>> fold_name("Müller^Anna^^") == fold_name("MULLER^ANNA")
    True
    """
    bare = unicodedata.normalize("NFKD", text.rstrip(" \0^"))
    return "".join(char for char in bare if not unicodedata.combining(char)).strip(" ").casefold()
