"""The cohort that users hold: steps, and what became of the rows at each of them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from dicomframe.cohorts.recipe import from_yaml, to_yaml
from dicomframe.cohorts.sources import source_of
from dicomframe.cohorts.stage import Stage, counts_html
from dicomframe.cohorts.steps import Filters, How, OnMissing, Step, make_step
from dicomframe.errors import QueryError, TableError

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

    from dicomframe.client.client import Client
    from dicomframe.cohorts.running import Outcome
    from dicomframe.cohorts.sources import Source
    from dicomframe.dicom.paths import Level
    from dicomframe.lake.lake import Lake

_COUNTED: Final = {
    "patients": "PatientID",
    "studies": "StudyInstanceUID",
    "series": "SeriesInstanceUID",
    "instances": "SOPInstanceUID",
}
#: From best to worst: a cohort is as complete as its worst search.
_COMPLETENESS: Final = ("complete", "truncated", "drifted")


def cohort(
    source: Client | Lake | None = None,
    recipe: str | Path | None = None,
    *,
    as_of: datetime | None = None,
) -> Cohort:
    """Begin a cohort: who is in a study, step by step, with a count of who is not and why.

    Parameters
    ----------
    source : Client or Lake, optional
        The service or lake to search; not needed to write a recipe. A lake is read as it is at the first step.
    recipe : str or pathlib.Path, optional
        Steps that `Cohort.to_yaml` wrote, as text, or a file with them.
    as_of : datetime, optional
        Read the lake as it was at that time, which must have a time zone.

    Returns
    -------
    Cohort
        Without steps, or with the recipe's. Nothing is asked yet.

    Raises
    ------
    QueryError
        If the recipe is none, or the source is neither.

    Examples
    --------
    >>> import dicomframe as dfr
    >>> with dfr.start_local(samples=True) as local:
    ...     adults = (
    ...         dfr.cohort(local.connect(progress=False))
    ...         .step("CT and MR studies", ModalitiesInStudy=["CT", "MR"], fields=["PatientSex"])
    ...         .step("women", PatientSex="F")
    ...     )
    ...     flow = adults.flow()
    >>> flow["step"].tolist(), bool(flow["rows"].is_monotonic_decreasing)
    (['CT and MR studies', 'women'], True)
    """
    made = Cohort(source_of(source, as_of))
    for arguments in from_yaml(recipe) if recipe is not None else ():
        made = made.step(**arguments)
    return made


class Cohort:
    """Steps that choose studies, series or instances, and the rows behind each; made by `dicomframe.cohort`.

    A cohort never changes: `step` gives a new one, which shares what was already done. Each step is done once, when a
    result is first wanted.

    Examples
    --------
    >>> import dicomframe as dfr
    >>> cohort = dfr.cohort().step("CT", ModalitiesInStudy="CT").step("Women", PatientSex="F")
    >>> cohort, [step.name for step in cohort.steps], cohort.client
    (<Cohort CT: not done yet; Women: not done yet>, ['CT', 'Women'], None)
    """

    def __init__(self, source: Client | Source | None = None, stages: Sequence[Stage] = ()) -> None:
        self._source = source_of(source)
        self._stages = tuple(stages)

    def step(
        self,
        name: str,
        level: Level | None = None,
        *,
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
        **filters: Any,
    ) -> Cohort:
        """Add a step, which does one thing.

        - The first step, and each that names another ``level``, **searches**: the service is asked for what matches
          the attributes, below (or above) the rows so far. What is known of a row's study stays with it; what tells of
          a series or an instance does not go up to its study.
        - Attributes alone **keep** the rows that match all of them. Values are given as to a search; numbers and ages
          (in years) may be ranges too. ``keep`` takes columns with other names, or a function of the table.
        - ``without`` takes away the rows that match.
        - ``join`` adds the columns of another table, such as outcomes from a clinical database.
        - ``first`` and ``last`` keep one row of each patient.

        Parameters
        ----------
        name : str
            What the step is called in tables and figures.
        level : {"study", "series", "instance"}, optional
            What a row is from here on; "study" in the first step.
        keep, without : mapping or callable, optional
            What columns must be, or must not all be; or a function that takes the table and gives True, False or NA for
            each row.
        join : pandas.DataFrame or path of a .csv or .parquet file, optional
            Has one row for each value of ``on``.
        on : str or list of str, optional
            The columns to join on. Those of files are read as text.
        how : {"inner", "left"}
            Whether rows without a partner go.
        first, last : str or list of str, optional
            The columns that order the rows; of rows that are alike, the one whose UID sorts first.
        per : str
            Of what to keep one row each.
        metadata : list of str, optional
            Attributes to read from the instances first.
        fields, fuzzy
            Of a search, as in `Client.search_studies`.
        missing : {"drop", "keep", "raise"}, optional
            What becomes of rows of which it cannot be said, because a value is missing or could not be read. They go
            by default, but not from ``without``; the flow counts them in any case.
        **filters
            Attributes by keyword.

        Raises
        ------
        QueryError
            If the arguments do not say one thing, or the name is taken.

        Examples
        --------
        >>> import dicomframe as dfr
        >>> with dfr.start_local(samples=True) as local:
        ...     chosen = (
        ...         dfr.cohort(local.connect(progress=False))
        ...         .step("all studies")
        ...         .step("first study of each patient", first="StudyDate")
        ...         .step("their CT series", level="series", Modality="CT")
        ...     )
        ...     chosen.to_frame()["Modality"].unique().tolist()
        ['CT']
        """
        if any(each.name == name for each in self.steps):
            raise QueryError(f"There is a step {name[:64]!r} already; names tell steps apart.")
        step = make_step(
            name,
            self.steps[-1].level if self.steps else None,
            level=level,
            keep=keep,
            without=without,
            join=join,
            on=on,
            how=how,
            first=first,
            last=last,
            per=per,
            metadata=metadata,
            fields=fields,
            fuzzy=fuzzy,
            missing=missing,
            filters=filters,
        )
        return Cohort(self._source, (*self._stages, Stage(step)))

    @property
    def client(self) -> Client | None:
        """The client it searches with; None for a lake's, or one without."""
        return getattr(self._source, "client", None)

    @property
    def steps(self) -> tuple[Step, ...]:
        """The steps, first to last."""
        return tuple(stage.step for stage in self._stages)

    def to_frame(self) -> pd.DataFrame:
        """Give the rows that are in the cohort; what has not been done yet is done now.

        Returns
        -------
        pandas.DataFrame
            A typed table. ``df.attrs["dicom"]["completeness"]`` is that of the worst of the searches.

        Raises
        ------
        TableError
            If there are no steps, or a step speaks of a column that is not there.
        NoClientError
            If there is no client or lake to search.
        QueryError, ServiceError, TransportError, DecodeError
            If a search fails; the steps before it are kept, and not done again.

        Examples
        --------
        >>> import dicomframe as dfr
        >>> with dfr.start_local() as local:
        ...     len(dfr.cohort(local.connect()).step("all studies").to_frame())
        0
        """
        table = self._done().table.copy()
        said = [outcome.completeness for outcome in self._outcomes() if outcome.completeness is not None]
        worst = max(said, key=_COMPLETENESS.index)
        table.attrs["dicom"] = {**table.attrs.get("dicom", {}), "completeness": worst}
        return table

    def flow(self) -> pd.DataFrame:
        """Count what each step left: the attrition table.

        Returns
        -------
        pandas.DataFrame
            One row a step: ``step``, ``action``, ``level``; ``rows`` behind it and how many rows it ``removed``; of how
            many it was ``unknown`` whether they belong, and how many of those because a value was ``unreadable`` or
            could not be retrieved; distinct ``patients`` (by PatientID), ``studies``, ``series`` and ``instances``,
            missing where the table does not know them; and ``completeness`` of a search.

        Examples
        --------
        >>> import dicomframe as dfr
        >>> with dfr.start_local(samples=True) as local:
        ...     found = dfr.cohort(local.connect(progress=False)).step("all").step("CR", level="series", Modality="CR")
        ...     flow = found.flow()
        >>> flow[["step", "action", "level"]].values.tolist()
        [['all', 'search', 'study'], ['CR', 'search', 'series']]
        """
        import pandas as pd

        self._done()
        rows = []
        for step, outcome in zip(self.steps, self._outcomes(), strict=True):
            table = outcome.table
            counts = {
                name: table[column].nunique() if column in table.columns else None
                for name, column in _COUNTED.items()
            }
            rows.append(
                {
                    "step": step.name,
                    "action": step.action,
                    "level": step.level,
                    "rows": len(table),
                    "removed": len(outcome.removed),
                    "unknown": outcome.unknown,
                    "unreadable": outcome.unreadable,
                    **counts,
                    "completeness": outcome.completeness,
                }
            )
        texts = dict.fromkeys(("step", "action", "level", "completeness"), "string")
        numbers = dict.fromkeys(("rows", "removed", "unknown", "unreadable", *_COUNTED), "Int64")
        return pd.DataFrame(rows).astype({**texts, **numbers})

    def removed(self, name: str) -> pd.DataFrame:
        """Give the rows that a step took away, as they were in front of it, with the reason in ``why``.

        Parameters
        ----------
        name : str
            The step's.

        Raises
        ------
        QueryError
            If there is no such step.

        Examples
        --------
        >>> import dicomframe as dfr
        >>> with dfr.start_local(samples=True) as local:
        ...     chosen = dfr.cohort(local.connect(progress=False)).step("all").step("none", PatientID="no such patient")
        ...     chosen.removed("none")["why"].unique().tolist()
        ['PatientID does not match']
        """
        self._done()
        for step, outcome in zip(self.steps, self._outcomes(), strict=True):
            if step.name == name:
                return outcome.removed.copy()
        raise QueryError(
            f"There is no step {str(name)[:64]!r}; the steps are {[step.name for step in self.steps]}."
        )

    def issues(self) -> pd.DataFrame:
        """Give the values that could not be read or retrieved in all steps, with the UIDs of their rows.

        Examples
        --------
        >>> import dicomframe as dfr
        >>> with dfr.start_local() as local:
        ...     len(dfr.cohort(local.connect()).step("all studies").issues())
        0
        """
        return self._done().issues.copy()

    def to_yaml(self) -> str:
        """Write the steps down, to keep them beside a paper and to do them again: ``dfr.cohort(client, recipe)``.

        The text holds what is filtered by, names and identifiers included, and nothing of the rows.

        Raises
        ------
        QueryError
            If a step keeps by a function or joins a table in memory.

        Examples
        --------
        >>> import dicomframe as dfr
        >>> print(dfr.cohort().step("CT of January", ModalitiesInStudy="CT", StudyDate=("2024-01-01", None)).to_yaml())
        cohort: 1
        steps:
        - name: CT of January
          level: study
          keep:
            ModalitiesInStudy: CT
            StudyDate:
              from: '2024-01-01'
        <BLANKLINE>
        """
        return to_yaml(self.steps)

    def plot(self) -> Figure:
        """Draw the flow as publications show it: a box a step, and beside the arrows how many went and why.

        Returns
        -------
        matplotlib.figure.Figure

        Examples
        --------
        >>> import dicomframe as dfr
        >>> with dfr.start_local(samples=True) as local:
        ...     women = dfr.cohort(local.connect(progress=False)).step("all", fields=["PatientSex"])
        ...     figure = women.step("women", PatientSex="F").plot()
        >>> figure.savefig("/dev/null", format="png")
        """
        from dicomframe.images.plots.flow import draw_flow

        flow = self.flow()
        reasons = [outcome.removed["why"].value_counts() for outcome in self._outcomes()]
        return draw_flow(flow, [dict(zip(each.index, each.tolist(), strict=True)) for each in reasons])

    def _done(self) -> Outcome:
        """Do what has not been done yet."""
        outcome: Outcome | None = None
        for stage in self._stages:
            outcome = stage.do(outcome, self._source)
        if outcome is None:
            raise TableError("This cohort has no steps yet; cohort.step(name, ...) adds one.")
        return outcome

    def _outcomes(self) -> list[Outcome]:
        """Give the outcomes of the steps that were done."""
        return [stage.outcome for stage in self._stages if stage.outcome is not None]

    def _counts(self) -> list[tuple[str, str]]:
        """Give each step's name and how many rows it left, for people."""
        return [
            (stage.step.name, f"{len(stage.outcome.table):,}" if stage.outcome else "not done yet")
            for stage in self._stages
        ]

    def __repr__(self) -> str:
        said = "; ".join(f"{name}: {count}" for name, count in self._counts())
        return f"<Cohort {said or 'without steps'}>"

    def _repr_html_(self) -> str:
        return counts_html(self._counts())
