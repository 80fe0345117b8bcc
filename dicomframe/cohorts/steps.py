"""One step of a cohort as data: what is done with the rows, checked when it is made and not when it is run."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal, get_args

from dicomframe.client.query import build_queries
from dicomframe.cohorts.matching import as_list
from dicomframe.dicom import tags
from dicomframe.dicom.paths import Level
from dicomframe.errors import QueryError

if TYPE_CHECKING:
    import pandas as pd

Action = Literal["search", "keep", "without", "join", "first", "last"]
How = Literal["inner", "left"]
OnMissing = Literal["drop", "keep", "raise"]
#: What says which rows stay: a filter for each column, or a function of the table that gives a column of truth values.
Filters = Mapping[str, Any] | Callable[["pd.DataFrame"], Any]

_LONGEST_NAME: Final = 200


@dataclass(frozen=True, slots=True)
class Step:
    """One step.

    Parameters
    ----------
    name : str
        What it is called in tables and figures; unique in its cohort.
    action : str
        What it does.
    level : {"study", "series", "instance"}
        What a row is behind it.
    filters : mapping or callable
        Of a search, or which rows stay, or go.
    fuzzy : bool
        Of a search.
    fields : tuple of str
        Of a search.
    metadata : tuple of str
        Attributes that are read from the instances first.
    table : pandas.DataFrame or path, optional
        What is joined.
    on : tuple of str
        The columns joined on.
    how : {"inner", "left"}
        Whether rows without a partner go.
    by : tuple of str
        Of which columns the first or last value is kept.
    per : str
        Of whom one row is kept.
    missing : {"drop", "keep", "raise"}
        What becomes of rows of which it cannot be said.
    """

    name: str
    action: Action
    level: Level
    filters: Filters = field(default_factory=dict)
    fuzzy: bool = False
    fields: tuple[str, ...] = ()
    metadata: tuple[str, ...] = ()
    table: pd.DataFrame | str | Path | None = None
    on: tuple[str, ...] = ()
    how: How = "inner"
    by: tuple[str, ...] = ()
    per: str = "PatientID"
    missing: OnMissing = "drop"


def make_step(
    name: str,
    before: Level | None,
    *,
    level: Level | None = None,
    keep: Filters | None = None,
    without: Filters | None = None,
    join: pd.DataFrame | str | Path | None = None,
    on: str | Sequence[str] | None = None,
    how: How = "inner",
    first: str | Sequence[str] | None = None,
    last: str | Sequence[str] | None = None,
    per: str = "PatientID",
    metadata: str | Sequence[str] = (),
    fields: str | Sequence[str] = (),
    fuzzy: bool = False,
    missing: OnMissing | None = None,
    filters: Mapping[str, Any] | None = None,
) -> Step:
    """Make a step from what `Cohort.step` was given; ``before`` is the level of the rows in front of it.

    Raises
    ------
    QueryError
        If the arguments do not say one thing.
    """
    if not isinstance(name, str) or not name.strip() or len(name) > _LONGEST_NAME:
        raise QueryError(
            f"A step needs a name of at most {_LONGEST_NAME} characters, for tables and figures."
        )
    _check_choice("level", level, (None, *get_args(Level)))
    _check_choice("how", how, get_args(How))
    _check_choice("missing", missing, (None, *get_args(OnMissing)))
    searches = before is None or (level is not None and level != before)
    here: Level = level or before or "study"
    if callable(keep) and filters:
        raise QueryError("A step keeps by a function or by attributes, not by both.")
    kept: Filters = _held(keep if callable(keep) else {**(keep or {}), **(filters or {})})
    given: dict[Action, Any] = {
        "search": searches or None,
        "keep": kept or None,
        "without": without,
        "join": join,
        "first": first,
        "last": last,
    }
    if searches:
        if callable(kept):
            raise QueryError(
                "A search asks the service for attributes; keep by a function in a step behind it."
            )
        given["keep"] = None
    said = [action for action, value in given.items() if value is not None]
    if len(said) != 1:
        what = ", ".join(said) if said else "nothing"
        raise QueryError(
            f"A step does one thing, so that its rows can be counted; this one says {what}. A search (level= and"
            " attributes) is one, so are attributes to keep by, without=, join=, first= and last=."
        )
    (action,) = said
    if action != "search" and (fuzzy or fields):
        raise QueryError("fuzzy= and fields= belong to a search, a step that names a new level.")
    for each in filters or ():
        tags.attribute(each)
    if action == "search" and isinstance(kept, Mapping):
        build_queries(here, filters=kept, fuzzy=fuzzy, fields=list(_names(fields)) or None)
    names = tuple(tags.attribute(each).column for each in _names(metadata))
    if names and (here != "instance" or action == "search"):
        raise QueryError(
            "metadata= is read from instances: search them first, in a step with level='instance'."
        )
    if (action == "join") != bool(on):
        raise QueryError("join= needs on=, the columns to join on, and on= needs join=.")
    if join is not None and not (isinstance(join, str | Path) or hasattr(join, "columns")):
        raise QueryError(
            f"join= is a table or the path of a .csv or .parquet file, not {type(join).__name__}."
        )
    return Step(
        name,
        action,
        here,
        filters=kept if action in {"search", "keep"} else _held(without or {}),
        fuzzy=fuzzy,
        fields=tuple(_names(fields)),
        metadata=names,
        table=join if join is None or isinstance(join, str | Path) else join.copy(),
        on=tuple(_names(on or ())),
        how=how,
        by=tuple(_names(first or last or ())),
        per=per,
        missing=missing or ("keep" if action == "without" else "drop"),
    )


def _held(filters: Filters) -> Filters:
    """Take hold of filters: a step does not change when a list that it was given does, nor run out."""
    if callable(filters):
        return filters
    several = {name: as_list(value) for name, value in filters.items()}
    return {name: value if several[name] is None else several[name] for name, value in filters.items()}


def _names(given: str | Sequence[str]) -> list[str]:
    return [given] if isinstance(given, str) else list(given)


def _check_choice(name: str, given: Any, choices: Sequence[Any]) -> None:
    if given not in choices:
        accepted = ", ".join(repr(choice) for choice in choices if choice is not None)
        raise QueryError(f"{name}= is one of {accepted}.")
