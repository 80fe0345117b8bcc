"""Facets of a table: which rows a choice lets pass, and how many rows each value has. Without widgets.

A facet knows one question that is asked of each row. Rows without a value are a choice of their own, so that none is
lost because something was not recorded.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any, Final, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from dicomframe.errors import QueryError
from dicomframe.tables.person_names import readable_ages

Mask = NDArray[np.bool_]

#: How rows without a value are named among a facet's values.
MISSING: Final = "(missing)"
#: Values of one facet that are listed, the most frequent first; rarer ones can be chosen from Python.
MOST_VALUES: Final = 200


@dataclass(frozen=True)
class Facet:
    """One question to each row.

    Parameters
    ----------
    name : str
        What users call it: ``"modality"``.
    label : str
        What stands beside the control.
    kind : {"values", "range", "words"}
        A choice among values, a lowest and a highest value, or words to find.
    columns : tuple of str
        Where the answer stands: the first of them that a table has, or, for words and scanners, all of them.
    """

    name: str
    label: str
    kind: Literal["values", "range", "words"]
    columns: tuple[str, ...]

    def columns_in(self, table: pd.DataFrame) -> list[str]:
        """Give those of the columns that a table has and that are looked at."""
        there = [name for name in self.columns if name in table.columns]
        if self.name == "ages" and not there and _BIRTH in table.columns:
            # The age at the study, which the tables of a search have all that is needed for.
            return [_BIRTH, *(name for name in _DATES if name in table.columns)][:2]
        return there if self.name in {"scanner", "description"} else there[:1]


_BIRTH: Final = "PatientBirthDate"
_DATES: Final = ("StudyDate", "SeriesDate", "PerformedProcedureStepStartDate")
FACETS: Final = (
    Facet("modality", "Modality", "values", ("Modality", "ModalitiesInStudy")),
    Facet("dates", "Study date", "range", _DATES),
    Facet("sex", "Sex", "values", ("PatientSex",)),
    Facet("ages", "Age, years", "range", ("PatientAge",)),
    Facet("scanner", "Scanner", "values", ("Manufacturer", "ManufacturerModelName")),
    Facet(
        "description",
        "Description",
        "words",
        ("StudyDescription", "SeriesDescription", "ProtocolName", "BodyPartExamined"),
    ),
)


class Choices:
    """A choice among values; a row with several values (``ModalitiesInStudy``) has each of them.

    Parameters
    ----------
    facet : Facet
        The question.
    table : pandas.DataFrame
        The rows.
    """

    def __init__(self, facet: Facet, table: pd.DataFrame) -> None:
        self.facet = facet
        texts = [_texts(first_column(table, name)) for name in facet.columns_in(table)]
        values = texts[0]
        for more in texts[1:]:
            values = _joined(values, more)
        listed = values.map(lambda value: isinstance(value, list))
        exploded = values.explode() if listed.any() else values
        exploded = exploded.where(exploded.notna() & (exploded != ""), MISSING)
        self._rows: NDArray[np.intp] = exploded.index.to_numpy()
        self._codes, names = pd.factorize(exploded)
        self.values: list[str] = [str(name) for name in names]
        self._count = len(table)
        order = np.argsort(-np.bincount(self._codes, minlength=len(names)), kind="stable").tolist()
        # Rows without a value are never too few to be listed.
        self._listed = [
            at for place, at in enumerate(order) if place < MOST_VALUES or self.values[at] == MISSING
        ]

    @property
    def unlisted(self) -> int:
        """How many values are too rare to be listed."""
        return len(self.values) - len(self._listed)

    def mask(self, chosen: Sequence[str]) -> Mask:
        """Tell which rows have one of the chosen values; without a choice all pass."""
        passing = np.ones(self._count, bool)
        if chosen:
            codes = [at for at, value in enumerate(self.values) if value in set(chosen)]
            passing[:] = False
            passing[self._rows[np.isin(self._codes, codes)]] = True
        return passing

    def counts(self, among: Mask, chosen: Sequence[str] = ()) -> dict[str, int]:
        """Count the rows of each value among some of the rows: the most frequent of all rows first, then the chosen."""
        inside = np.bincount(self._codes[among[self._rows]], minlength=len(self.values))
        listed = [self.values[at] for at in self._listed]
        count_of = dict(zip(self.values, inside.tolist(), strict=True))
        return {value: count_of[value] for value in dict.fromkeys([*listed, *chosen])}


class Span:
    """A lowest and a highest value, both included.

    Attributes
    ----------
    missing : ndarray of bool, shape (rows,)
        Which rows have no value.
    """

    def __init__(self, facet: Facet, table: pd.DataFrame) -> None:
        self.facet = facet
        first, *rest = (first_column(table, name) for name in facet.columns_in(table))
        if facet.name != "ages":
            self._values = _days(first).astype("datetime64[s]")
        elif first.name == _BIRTH:
            self._values = _years_between(_days(first), _days(rest[0]))
        else:
            years = first if pd.api.types.is_numeric_dtype(first) else readable_ages(first)
            self._values = years.to_numpy(dtype="float64", na_value=np.nan)
        self.missing: Mask = np.isnan(self._values) if facet.name == "ages" else np.isnat(self._values)
        there = self._values[~self.missing]
        self.lowest: Any = there.min().item() if len(there) else None
        self.highest: Any = there.max().item() if len(there) else None

    @property
    def missing_count(self) -> int:
        """How many rows have no value."""
        return int(self.missing.sum())

    def mask(self, lowest: Any, highest: Any, *, missing: bool) -> Mask:
        """Tell which rows lie between two values, or have none where such rows are to pass."""
        kind: Callable[[Any], Any] = float if self.facet.name == "ages" else np.datetime64
        passing = ~self.missing
        with np.errstate(invalid="ignore"):
            if lowest is not None:
                passing &= self._values >= kind(lowest)
            if highest is not None:
                # A day is meant to its end.
                passing &= self._values < kind(highest) + 1
        return passing | (self.missing & missing)


class Words:
    """Words to be found in any of some texts, in any order, whatever their case."""

    def __init__(self, facet: Facet, table: pd.DataFrame) -> None:
        self.facet = facet
        texts = [_texts(first_column(table, name)).fillna("").astype(str) for name in facet.columns_in(table)]
        joined = texts[0]
        for more in texts[1:]:
            joined = joined + " " + more
        # The same text stands in many rows: each is read once.
        self._codes, names = pd.factorize(joined)
        self._texts = [str(name).casefold() for name in names]

    def mask(self, wanted: str) -> Mask:
        """Tell which rows have all the words."""
        words = wanted.casefold().split()
        found = np.array([all(word in text for word in words) for text in self._texts], dtype=bool)
        return found[self._codes]


def as_values(name: str, given: Any, known: Sequence[str]) -> tuple[str, ...]:
    """Check a choice of values that a caller gave."""
    values = () if given is None else (given,) if isinstance(given, str) else tuple(given)
    unknown = [str(value) for value in values if value not in known]
    if unknown:
        shown = ", ".join(map(repr, list(known)[:20]))
        raise QueryError(f"{name}= has a value that no row has: {unknown[0][:64]!r}. There are: {shown}.")
    return values


def as_range(name: str, given: Any) -> tuple[Any, Any]:
    """Check a range that a caller gave: two values, None for an open end."""
    if given is None:
        return None, None
    try:
        lowest, highest = given
        if name == "ages":
            return tuple(None if each is None else float(each) for each in (lowest, highest))  # type: ignore[return-value]
        return _day(lowest), _day(highest)
    except (TypeError, ValueError):
        wanted = "numbers of years" if name == "ages" else "days"
        raise QueryError(f"{name}= is a pair of {wanted}, None for an open end.") from None


def _day(given: Any) -> date | None:
    return None if given is None else pd.Timestamp(given).date()


def first_column(table: pd.DataFrame, name: str) -> pd.Series[Any]:
    """Give a column; the first of that name, where a joined table has two."""
    return table.iloc[:, list(table.columns).index(name)]


def _days(column: pd.Series[Any]) -> NDArray[np.datetime64]:
    """Give dates as days; what is no date is missing."""
    dates = pd.Series(column.array)
    if pd.api.types.is_integer_dtype(dates.dtype):
        # As files of comma-separated values have them: 20240131.
        dates = dates.astype("string")
    if not isinstance(dates.dtype, np.dtype) or dates.dtype.kind != "M":
        dates = pd.to_datetime(dates.astype(object), errors="coerce", format="mixed")
    if getattr(dates.dt, "tz", None) is not None:
        dates = dates.dt.tz_localize(None)
    return dates.to_numpy().astype("datetime64[D]")


def _years_between(births: NDArray[np.datetime64], dates: NDArray[np.datetime64]) -> NDArray[np.float64]:
    """Give the birthdays from birth to a date, NaN where either is missing."""
    ages = np.full(len(births), np.nan)
    known = ~(np.isnat(births) | np.isnat(dates))
    born, then = births[known], dates[known]
    months = (then.astype("datetime64[M]") - born.astype("datetime64[M]")).astype(np.int64)
    day_of = [(each - each.astype("datetime64[M]")).astype(np.int64) for each in (born, then)]
    ages[known] = (months - (day_of[1] < day_of[0])) // 12
    return ages


def _texts(column: pd.Series[Any]) -> pd.Series[Any]:
    """Give a column as Python objects over the rows' places: texts and lists of them; missing ones as None."""
    values = column.astype(object).reset_index(drop=True)
    values = values.map(lambda each: list(each) if isinstance(each, np.ndarray | tuple) else each)
    is_list = values.map(lambda each: isinstance(each, list))
    return values.where(is_list | values.notna(), None)


def _joined(first: pd.Series[Any], second: pd.Series[Any]) -> pd.Series[Any]:
    both = (first.fillna("").astype(str) + " " + second.fillna("").astype(str)).str.strip()
    return both.astype(object)
