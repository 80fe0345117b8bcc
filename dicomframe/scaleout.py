"""Past one machine: a cohort's searches as a Dask table, a part a range of days; work on tables for Spark.

What travels to the workers is data: an address, a recipe, days. Tokens do not: each worker asks for its own.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import date, timedelta
from numbers import Number
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from dicomframe.cohorts.cohort import Cohort, cohort
from dicomframe.cohorts.stage import Stage
from dicomframe.cohorts.steps import Step
from dicomframe.dicom import tags
from dicomframe.errors import DicomFrameError, QueryError

if TYPE_CHECKING:
    import dask.dataframe as dd
    import pandas as pd

    from dicomframe.client.client import Client
    from dicomframe.dicom.paths import Level

__all__ = ["map_in_pandas", "search"]

#: What says how to come by a token: nothing (DefaultAzureCredential on Azure), or a function that each worker calls.
Credential = Callable[[], Any] | None
Days = tuple[date, date]
#: Texts beside the recipe's columns: what the table of a search says of itself, which no Dask table can.
_OF_ROWS: Final = ("completeness", "unreadable")

#: Steps that need all rows of a patient, who may have studies in several ranges of days.
_NOT_BY_DAYS: Final = frozenset({"first", "last"})


def search(
    recipe: Cohort | str | Path,
    dates: Iterable[Any] | tuple[Any, Any],
    *,
    url: str | None = None,
    credential: Credential = None,
    days: int = 31,
    **options: Any,
) -> dd.DataFrame:
    """Do a cohort's steps for ranges of days, as a Dask table with a part for each range.

    Nothing is asked of the service before the table computes.

    Parameters
    ----------
    recipe : Cohort, str or pathlib.Path
        The steps, or YAML that `Cohort.to_yaml` wrote. The first step must leave StudyDate open.
    dates : (first, last) or iterable of (first, last)
        The days of the studies, both ends included: a range, cut into parts of ``days`` days, or the parts.
    url : str, optional
        The service; by default the cohort's.
    credential : callable, optional
        Called on each worker, gives what `dicomframe.connect` takes. A token itself is refused: it would travel with
        each task, and be seen wherever tasks are.
    days : int
        Of a part.
    **options
        More for `dicomframe.connect`, such as ``partition`` or ``max_workers``.

    Returns
    -------
    dask.dataframe.DataFrame
        The columns that the steps ask for, the same in every part, with the ``pyarrow`` dtypes, which travel well;
        ``completeness``, of the search that the row is from; and ``unreadable``, the attributes of the row whose values
        came and could not be read or retrieved, with a comma between them, or missing.
        Studies without a date are in no part.

    Raises
    ------
    QueryError
        If the recipe cannot be cut by days or joins a column ``completeness`` or ``unreadable``, the ranges overlap or
        are no ranges, or a token is given.
    DicomFrameError
        If the extra is not installed.

    Examples
    --------
    >>> import dicomframe as dfr
    >>> with dfr.start_local(samples=True) as local:
    ...     women = dfr.cohort(local.connect()).step("all", fields=["PatientSex"]).step("women", PatientSex="F")
    ...     table = dfr.scaleout.search(women, ("2024-01-01", "2024-12-31"), days=92)
    ...     table.npartitions, table.compute(scheduler="sync")["PatientSex"].unique().tolist()
    (4, ['F'])
    """
    frames = _dask()
    made = recipe if isinstance(recipe, Cohort) else cohort(None, recipe)
    if credential is not None and not callable(credential):
        raise QueryError(
            "credential= is a function that gives one on each worker; a token would travel with each task."
        )
    if url is None:
        if made.client is None:
            raise QueryError("url= is needed: this cohort has no client that says where the service is.")
        url = made.client.url
    steps = made.steps
    _check(steps)
    text = made.to_yaml()
    parts = _parts(dates, days)
    made_of_parts: dd.DataFrame = frames.from_map(
        _part,
        parts,
        meta=_meta(steps),
        enforce_metadata=True,
        label="dicom-search",
        recipe=text,
        url=url,
        credential=credential,
        options=options,
    )
    return made_of_parts


def map_in_pandas(
    work: Callable[[Client, pd.DataFrame], pd.DataFrame],
    url: str,
    *,
    credential: Credential = None,
    **options: Any,
) -> Callable[[Iterable[pd.DataFrame]], Iterator[pd.DataFrame]]:
    """Make of work on a table and a client what Spark's ``mapInPandas`` takes.

    Parameters
    ----------
    work : callable
        Takes a client and a table, gives a table with the columns that ``mapInPandas`` is told.
    url : str
        The service.
    credential : callable, optional
        Called on each worker, gives what `dicomframe.connect` takes.
    **options
        More for `dicomframe.connect`.

    Returns
    -------
    callable
        From tables to tables, with one client for all tables of a task. It may be given to Dask's ``map_partitions``
        as well, one table at a time in a list.

    Raises
    ------
    QueryError
        If a token is given.

    Examples
    --------
    >>> import dicomframe as dfr
    >>> def count(client, table):
    ...     found = table.dicom.use(client).dicom.series()
    ...     return found.groupby("StudyInstanceUID", as_index=False).size()
    >>> with dfr.start_local(samples=True) as local:
    ...     client = local.connect(progress=False)
    ...     studies = client.search_studies(limit=3).to_frame()
    ...     function = dfr.scaleout.map_in_pandas(count, client.url, progress=False)
    ...     [len(table) for table in function([studies])]
    [3]
    """
    if credential is not None and not callable(credential):
        raise QueryError(
            "credential= is a function that gives one on each worker; a token would travel with each task."
        )

    def apply(tables: Iterable[pd.DataFrame]) -> Iterator[pd.DataFrame]:
        with _connect(url, credential, options) as client:
            for table in tables:
                yield work(client, table)

    return apply


def _dask() -> Any:
    try:
        import dask.dataframe
    except ImportError:
        raise DicomFrameError("This needs Dask: pip install 'dicomframe[dask]'.") from None
    return dask.dataframe


def _connect(url: str, credential: Credential, options: Mapping[str, Any]) -> Client:
    from dicomframe.local import connect

    return connect(url, credential() if credential is not None else None, **{"progress": False, **options})


def _check(steps: Sequence[Step]) -> None:
    if not steps:
        raise QueryError("The cohort has no steps.")
    if "StudyDate" in steps[0].filters if isinstance(steps[0].filters, Mapping) else False:
        raise QueryError(f"The first step, {steps[0].name!r}, says StudyDate itself; leave it to dates=.")
    if whole := next((step for step in steps if step.action in _NOT_BY_DAYS), None):
        raise QueryError(
            f"Step {whole.name!r} keeps one row of each {whole.per}, which needs all of its rows: do that at the end."
        )


def _parts(dates: Any, days: int) -> list[Days]:
    """Cut days into ranges that do not overlap."""
    if isinstance(days, bool) or not isinstance(days, int) or days < 1:
        raise QueryError("days= is a whole number from 1 on.")
    given = list(dates)
    if len(given) == 2 and not any(isinstance(each, tuple | list) for each in given):
        first, last = _ordered(given)
        starts = range(0, (last - first).days + 1, days)
        whole = (last - first).days
        return [
            (first + timedelta(start), first + timedelta(min(start + days - 1, whole))) for start in starts
        ]
    parts = [_ordered(each) for each in given]
    in_order = sorted(parts)
    if not parts or any(one[1] >= other[0] for one, other in itertools.pairwise(in_order)):
        raise QueryError(
            "dates= is a range (first, last), or ranges that do not overlap: a study would be found twice."
        )
    return parts


def _ordered(ends: Any) -> Days:
    from pandas import Timestamp, isnull

    try:
        ends = list(ends)
        # Of a number, pandas makes nanoseconds since 1970: 20240131 would be a day in which nothing is found.
        if any(isnull(end) or isinstance(end, Number) for end in ends):
            raise ValueError  # noqa: TRY301 - the same as any other that is no day
        first, last = (Timestamp(end).date() for end in ends)
    except (TypeError, ValueError):
        raise QueryError(
            "dates= is a range (first, last) of days, such as ('2024-01-01', '2024-12-31'), or several of them."
        ) from None
    if first > last:
        raise QueryError("A range of days is reversed; give (first, last).")
    return first, last


def _part(
    days: Days, *, recipe: str, url: str, credential: Credential, options: Mapping[str, Any]
) -> pd.DataFrame:
    """Do the steps for a range of days; what a worker runs."""
    import pandas as pd

    steps = cohort(None, recipe).steps
    meta = _meta(steps)
    with _connect(url, credential, options) as client:
        done = Cohort(client, _for_days(steps, days))
        found, issues = done.to_frame(), done.issues()
    found = found.assign(
        completeness=found.attrs["dicom"]["completeness"], unreadable=_unreadable(found, issues)
    )
    nothing = [name for name in meta.columns if name not in found.columns]
    found = found.assign(**{name: pd.Series(pd.NA, found.index, dtype=meta[name].dtype) for name in nothing})
    found = found[list(meta.columns)].astype(meta.dtypes.to_dict())
    found.attrs = {}
    return found


def _unreadable(table: pd.DataFrame, issues: pd.DataFrame) -> pd.Series[Any]:
    """Name the attributes of each row that could not be read."""
    import pandas as pd

    from dicomframe.cohorts.running import has_issue

    listed = set(issues["keyword"].dropna())
    masks = {name: has_issue(table, issues, name) for name in table.columns if name in listed}
    names = [", ".join(name for name, mask in masks.items() if mask[at]) for at in range(len(table))]
    return pd.Series([each or pd.NA for each in names], table.index, dtype="string")


def _for_days(steps: Sequence[Step], days: Days) -> list[Stage]:
    """Give the same steps for some days only."""
    first, *others = steps
    assert isinstance(first.filters, Mapping)  # noqa: S101 - a search has no others
    begin = replace(first, filters={**first.filters, "StudyDate": days})
    return [Stage(step) for step in (begin, *others)]


def _meta(steps: Sequence[Step]) -> pd.DataFrame:
    """Give the columns that the steps ask for, empty: what each part has, whatever is found."""
    import pandas as pd
    import pyarrow as pa

    from dicomframe.cohorts.joined import read_table
    from dicomframe.cohorts.running import levels_behind
    from dicomframe.tables.schema import LEVEL_KEYWORDS, column_of

    levels: dict[str, Level] = {}
    joined: dict[str, Any] = {}
    for step in steps:
        if "all" in step.fields:
            raise QueryError("fields='all' gives columns that are not known before; name the attributes.")
        if step.action == "join":
            table = read_table(step).convert_dtypes(dtype_backend="pyarrow")
            joined |= {str(name): dtype for name, dtype in table.dtypes.items() if name not in step.on}
        levels = levels_behind(step, levels, [*LEVEL_KEYWORDS[step.level], *step.fields], joined)
    dtypes = {
        name: joined[name] if name in joined else column_of(tags.attribute(name).tag).dtype("pyarrow")
        for name in levels
    }
    if both := [name for name in _OF_ROWS if name in dtypes]:
        raise QueryError(f"A joined table has a column {both[0]!r}, which the parts have; rename it.")
    dtypes |= dict.fromkeys(_OF_ROWS, pd.ArrowDtype(pa.string()))
    return pd.DataFrame({name: pd.Series([], dtype=dtype) for name, dtype in dtypes.items()})
