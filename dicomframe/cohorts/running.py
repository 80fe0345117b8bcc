"""What a step does with the rows: those that stay, those that go and why, and of how many it cannot be said."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pandas as pd

from dicomframe.cohorts.joined import read_table, same_kind
from dicomframe.cohorts.matching import Mask, Matches, match_all
from dicomframe.cohorts.steps import Step
from dicomframe.dicom import tags
from dicomframe.dicom.paths import UID_KEYWORD_OF_LEVEL, Level
from dicomframe.errors import NoClientError, TableError
from dicomframe.tables.schema import TEXT_DTYPE

if TYPE_CHECKING:
    from dicomframe.cohorts.sources import Source

_WHY: Final = "why"
_MISSING, _UNREADABLE, _UNRETRIEVED = "is missing", "could not be read", "could not be retrieved"
_RANK: Final[Mapping[Level, int]] = {level: rank for rank, level in enumerate(UID_KEYWORD_OF_LEVEL)}


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a step left.

    Parameters
    ----------
    table : pandas.DataFrame
        The rows that stay.
    removed : pandas.DataFrame
        The rows that went, as they were in front of the step, with ``why``.
    issues : pandas.DataFrame
        The values that could not be read or retrieved, of all searches so far.
    unknown, unreadable : int
        Of how many rows it could not be said, and of how many of them because a value could not be read or retrieved.
    completeness : str or None
        Of a search: whether its rows are all there are.
    levels : mapping
        Of what each column tells: `levels_behind`'s.
    """

    table: pd.DataFrame
    removed: pd.DataFrame
    issues: pd.DataFrame
    unknown: int = 0
    unreadable: int = 0
    completeness: str | None = None
    levels: Mapping[str, Level] = field(default_factory=dict)


def levels_behind(
    step: Step, before: Mapping[str, Level], searched: Iterable[str] = (), joined: Iterable[str] = ()
) -> dict[str, Level]:
    """Tell of what each column behind a step tells: a study, a series or an instance.

    A search leaves behind what tells of something below its own level: a study has no one series number.

    Parameters
    ----------
    step : Step
        Which step.
    before : mapping
        The columns in front of it.
    searched, joined : iterable of str
        The columns that its search gave, or that it joined.
    """
    levels = dict(before)
    if step.action == "search":
        levels = {name: level for name, level in before.items() if _RANK[level] <= _RANK[step.level]}
        levels |= dict.fromkeys(searched, step.level)
        levels |= {uid: level for level, uid in UID_KEYWORD_OF_LEVEL.items() if uid in levels}
    levels |= {name: "instance" for name in step.metadata if name not in levels}
    if step.action == "join":
        # What is known of a patient is known of each study of theirs.
        level = max((before.get(name, step.level) for name in step.on), key=lambda each: _RANK[each])
        levels |= {name: level for name in joined if name not in levels}
    return levels


def run_step(step: Step, before: Outcome | None, source: Source | None) -> Outcome:
    """Do a step."""
    if step.action == "search":
        return _search(step, before, source)
    assert before is not None  # noqa: S101 - a first step is a search
    table, issues = before.table, before.issues
    if step.metadata:
        table, issues = _with_metadata(table, issues, step, source)
    work = {"keep": _filter, "without": _filter, "join": _join}.get(step.action, _one_each)
    outcome = work(step, table, issues)
    return replace(outcome, levels=levels_behind(step, before.levels, joined=outcome.table.columns))


def _search(step: Step, before: Outcome | None, source: Source | None) -> Outcome:
    if source is None:
        raise NoClientError(
            "This cohort has no client or lake to search; make it with dfr.cohort(client, ...)."
        )
    assert isinstance(step.filters, Mapping)  # noqa: S101 - `make_step` saw to it
    around = None if before is None else before.table
    found = source.search(step.level, around, step.filters, fuzzy=step.fuzzy, fields=step.fields)
    if before is None:
        searched = found.columns
        removed, issues = found.iloc[:0].assign(**{_WHY: _texts([])}), found.dicom.issues()
    else:
        issues = pd.concat([before.issues, found.dicom.issues()], ignore_index=True)
        keys = [name for name in _uid_columns(before.table) if name in found.columns]
        is_left = _is_in(before.table, found, keys)
        removed = _removed(before.table, ~is_left, np.where(is_left, "", f"no {step.level} was found"))
        more = levels_behind(step, before.levels).keys() - set(found.columns)
        above = before.table[[*keys, *(name for name in before.table.columns if name in more)]]
        searched = found.columns
        found = _merged(found, above.drop_duplicates(keys), keys)
    levels = levels_behind(step, {} if before is None else before.levels, searched)
    completeness = found.attrs.get("dicom", {}).get("completeness")
    return Outcome(found, removed, issues, completeness=completeness, levels=levels)


def _uid_columns(table: pd.DataFrame) -> list[str]:
    return [name for name in UID_KEYWORD_OF_LEVEL.values() if name in table.columns]


def _is_in(table: pd.DataFrame, other: pd.DataFrame, keys: list[str]) -> Mask:
    """Tell which rows' keys are among another table's."""
    return np.asarray(pd.MultiIndex.from_frame(table[keys]).isin(pd.MultiIndex.from_frame(other[keys])))


def _merged(table: pd.DataFrame, more: pd.DataFrame, keys: list[str]) -> pd.DataFrame:
    """Add columns to rows by their keys; there is one row of the other table for each, or none."""
    merged = table.merge(more, on=keys, how="left", validate="many_to_one")
    merged.attrs = dict(table.attrs)
    return merged


def _with_metadata(
    table: pd.DataFrame, issues: pd.DataFrame, step: Step, source: Source | None
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Read attributes of the rows' instances that the table does not have yet."""
    if source is None:
        raise NoClientError(
            "This cohort has no client or lake to read metadata of; make it with dfr.cohort(client, ...)."
        )
    lacking = [name for name in step.metadata if name not in table.columns]
    if not lacking or table.empty:
        return table.assign(**{name: _texts([pd.NA] * len(table)) for name in lacking}), issues
    read = source.metadata(table, lacking)
    keys = _uid_columns(read)
    more = [name for name in read.columns if name in lacking]
    merged = _merged(table, read[[*keys, *more]].drop_duplicates(keys), keys)
    failed = _failures(read.attrs["dicom"].get("failed", ()), lacking, issues)
    return merged, pd.concat([issues, read.dicom.issues(), failed], ignore_index=True)


def _failures(failed: Iterable[Mapping[str, str]], names: list[str], issues: pd.DataFrame) -> pd.DataFrame:
    """Give what could not be retrieved as issues, one for each attribute that was wanted of it."""
    rows = [
        {**each, "keyword": name, "vr": tags.attribute(name).vr, "reason": f"{_UNRETRIEVED}: {each['error']}"}
        for each in failed
        for name in names
    ]
    return pd.DataFrame(rows, columns=issues.columns).astype(issues.dtypes)


def _filter(step: Step, table: pd.DataFrame, issues: pd.DataFrame) -> Outcome:
    """Keep the rows that match, or those that do not."""
    filters = step.filters
    verdicts = {"": _asked(step, table)} if callable(filters) else match_all(table, filters)
    no = np.zeros(len(table), dtype=bool)
    unsaid = np.zeros(len(table), dtype=bool)
    for verdict in verdicts.values():
        no |= ~verdict.yes & ~verdict.unknown
        unsaid |= verdict.unknown
    unknown, yes = unsaid & ~no, ~unsaid & ~no
    goes = yes if step.action == "without" else no
    if step.action == "without":
        why = np.where(yes, f"{', '.join(name for name in verdicts if name) or 'the function'} matches", "")
    else:
        why = np.full(len(table), "", dtype=object)
        for name, verdict in verdicts.items():
            open_yet = (why == "") & ~verdict.yes & ~verdict.unknown
            why[open_yet] = f"{name or 'the function'} does not match"
    columns = {name: verdict.unknown for name, verdict in verdicts.items()}
    return _settled(step, table, issues, goes, unknown, why, columns)


def _asked(step: Step, table: pd.DataFrame) -> Matches:
    """Ask a function of the caller's which rows match."""
    assert callable(step.filters)  # noqa: S101 - for the type checker
    answer = step.filters(table.copy())
    if isinstance(answer, pd.Series) and not answer.index.equals(table.index):
        answer = ()
    said: Any
    try:
        said = pd.array(answer, dtype="boolean")
    except (TypeError, ValueError):
        said = ()
    if len(said) != len(table):
        raise TableError(
            f"The function of step {step.name!r} must give True, False or NA for each row of the table."
        )
    return Matches(said.fillna(value=False).to_numpy(dtype=bool), said.isna())


def _join(step: Step, table: pd.DataFrame, issues: pd.DataFrame) -> Outcome:
    """Add the columns of another table; rows without a partner go, or have none of it."""
    other = read_table(step)
    on = list(step.on)
    for each, whose in ((table, "the cohort"), (other, "the joined table")):
        if absent := [name for name in on if name not in each.columns]:
            raise TableError(f"Step {step.name!r}: {whose} has no column {absent[0][:64]!r} to join on.")
    if _WHY in other.columns:
        raise TableError(
            f"Step {step.name!r}: the joined table has a column {_WHY!r}, which tables of removed rows have."
        )
    if both := [name for name in other.columns if name in table.columns and name not in on]:
        raise TableError(
            f"Step {step.name!r}: the column {str(both[0])[:64]!r} is in both tables; rename it in the joined one."
        )
    other = other.dropna(subset=on).copy()  # pandas 2 warns of changes to what may be a part of another table
    for name in on:
        other[name] = same_kind(step, other[name], table[name])
    if doubles := int(other.duplicated(on).sum()):
        raise TableError(
            f"Step {step.name!r}: the joined table has {doubles:,} rows whose {', '.join(on)} stood in an earlier row;"
            " it must have one row each, or rows of the cohort would be doubled."
        )
    has_partner = _is_in(table, other, on)
    has_no_key = table[on].isna().any(axis=1).to_numpy(dtype=bool)
    joined = _merged(table, other.astype(_dtypes_with_gaps(other)), on)
    goes = ~has_partner & ~has_no_key & (step.how == "inner")
    unknown = has_no_key & (step.how == "inner")
    why = np.where(goes, "not in the joined table", "")
    columns = {name: table[name].isna().to_numpy(dtype=bool) for name in on}
    return _settled(step, joined, issues, goes, unknown, why, columns, before=table)


def _dtypes_with_gaps(table: pd.DataFrame) -> dict[Any, str]:
    """Give the dtypes in which whole numbers and truth values stay so where a row has no partner."""
    nullable = {"b": "boolean", "i": "Int64", "u": "UInt64"}
    return {
        name: nullable[dtype.kind]
        for name, dtype in table.dtypes.items()
        if isinstance(dtype, np.dtype) and dtype.kind in nullable
    }


def _one_each(step: Step, table: pd.DataFrame, issues: pd.DataFrame) -> Outcome:
    """Keep the first or last row of each patient, or of whatever else."""
    names = [*step.by, step.per]
    if absent := [name for name in names if name not in table.columns]:
        raise TableError(f"Step {step.name!r}: there is no column {absent[0][:64]!r} in the table.")
    gaps = {name: table[name].isna().to_numpy(dtype=bool) for name in names}
    unknown = np.logical_or.reduce(list(gaps.values()))
    known = table[~unknown].assign(_at=np.flatnonzero(~unknown))
    own = _uid_columns(table)[-1:]  # of those that are alike, always the same one
    try:
        ordered = known.sort_values(own, kind="stable")
        ordered = ordered.sort_values(list(step.by), ascending=step.action == "first", kind="stable")
    except TypeError:
        raise TableError(f"Step {step.name!r}: {', '.join(step.by)} has values that have no order.") from None
    chosen = ordered.drop_duplicates(step.per)["_at"].to_numpy()
    stays = np.zeros(len(table), dtype=bool)
    stays[chosen] = True
    goes = ~stays & ~unknown
    why = np.where(goes, f"not the {step.action} by {', '.join(step.by)}", "")
    return _settled(step, table, issues, goes, unknown, why, gaps)


def _settled(
    step: Step,
    table: pd.DataFrame,
    issues: pd.DataFrame,
    goes: Mask,
    unknown: Mask,
    why: Any,
    columns: Mapping[str, Mask],
    before: pd.DataFrame | None = None,
) -> Outcome:
    """Take the rows away that go, and say of each why; of those of which it cannot be said, as the step wants it."""
    unreadable = np.zeros(len(table), dtype=bool)
    why = np.asarray(why, dtype=object)
    for name, gap in columns.items():
        here = unknown & gap
        is_failure = issues["reason"].str.startswith(_UNRETRIEVED).fillna(value=False)
        bad = here & has_issue(table, issues[~is_failure], name)
        failed = here & has_issue(table, issues[is_failure], name)
        unreadable |= bad | failed
        empty = (
            table[name].isna().to_numpy(dtype=bool)
            if name in table.columns
            else np.zeros(len(table), dtype=bool)
        )
        says = np.select(
            [failed, bad, empty], [_UNRETRIEVED, _UNREADABLE, _MISSING], default="cannot be compared"
        )
        open_yet = here & (why == "")
        why[open_yet] = [f"{name or 'the answer'} {each if name else _MISSING}" for each in says[open_yet]]
    if step.missing == "raise" and unknown.any():
        raise TableError(
            f"Step {step.name!r} cannot say of {int(unknown.sum()):,} rows whether they belong, because values are"
            " missing; missing='drop' or 'keep' decides."
        )
    if step.missing == "drop":
        goes = goes | unknown
    return Outcome(
        table[~goes].reset_index(drop=True),
        _removed(table if before is None else before, goes, why),
        issues,
        int(unknown.sum()),
        int(unreadable.sum()),
    )


def has_issue(table: pd.DataFrame, issues: pd.DataFrame, name: str) -> Mask:
    """Tell which rows' value of a column could not be read, here or in the study or series above."""
    found = np.zeros(len(table), dtype=bool)
    listed = issues[issues["keyword"] == name] if name else issues.iloc[:0]
    # The deepest UID that an issue names is that of its row.
    for uid in reversed(_uid_columns(issues)):
        here = listed[listed[uid].notna()]
        if uid in table.columns:
            found |= table[uid].isin(here[uid].tolist()).to_numpy(dtype=bool)
        listed = listed[listed[uid].isna()]
    return found


def _removed(table: pd.DataFrame, goes: Mask, why: Any) -> pd.DataFrame:
    gone = table[goes].reset_index(drop=True)
    return gone.assign(**{_WHY: _texts(np.asarray(why, dtype=object)[goes])})


def _texts(values: Any) -> Any:
    return pd.array(list(values), dtype=TEXT_DTYPE)
