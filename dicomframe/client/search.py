"""QIDO-RS: searches that are sent when they are read (PS3.18 section 10.6)."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from dicomframe.client.paging import Completeness, Findings, Reader
from dicomframe.client.partial import give_back, read_until_interrupted, remaining
from dicomframe.client.progress import Progress, check_progress, progress_bar
from dicomframe.client.query import Query, build_queries
from dicomframe.client.searchability import check_searchable
from dicomframe.client.session import Session
from dicomframe.dicom import tags
from dicomframe.dicom.paths import Level
from dicomframe.errors import ErroneousAttributesWarning, IncompleteSearchWarning, QueryError, warn_caller

if TYPE_CHECKING:
    import pandas as pd

    from dicomframe.tables.schema import DtypeBackend, OnBadValue

#: Rows asked for at a time: the most that the service takes.
PAGE_SIZE = 200

#: What a user of pandas, who takes a search for its table, is told.
_NO_TABLE_YET = ": it is a question, which search.to_frame() sends and reads into a table."


class Search:
    """A search that is sent when it is read, and again each time it is.

    `Client.search_studies`, `Client.search_series` and `Client.search_instances` make it.

    Parameters
    ----------
    session : Session
        The way to the service.
    level : {"study", "series", "instance"}
        What a row is.
    queries : sequence of Query
        Their rows are united; each UID comes once.
    limit : int, optional
        The most rows in all; by default all there are.
    page_size : int
        Rows to ask for at a time. The service takes at most 200; a server may return fewer.
    progress : bool or "auto"
        Whether `to_frame` shows a bar.

    Examples
    --------
    >>> import dicomframe as dfr
    >>> with dfr.start_local() as local:
    ...     search = local.connect().search_studies(PatientName="Smith*", limit=10)
    ...     search, search.to_frame().empty, search.completeness
    (<Search for studies by PatientName, at most 10>, True, 'complete')
    """

    #: The columns that its tables always have, where they are not the level's.
    own_columns: ClassVar[Sequence[str] | None] = None

    def __init__(
        self,
        session: Session,
        level: Level,
        queries: Sequence[Query],
        *,
        limit: int | None = None,
        page_size: int = PAGE_SIZE,
        progress: Progress = False,
    ) -> None:
        self._progress = progress
        self.level = level
        self.session = session
        self.queries = list(queries)
        self.limit = _count(limit, "limit") if limit is not None else None
        self.page_size = _count(page_size, "page_size")
        #: The most requests at a time; by default the session's.
        self.width: int | None = None
        self._completeness: Completeness | None = None
        self._issues: pd.DataFrame | None = None

    @classmethod
    def of(
        cls,
        session: Session,
        level: Level,
        *,
        limit: int | None,
        page_size: int,
        progress: Progress = False,
        **arguments: Any,
    ) -> Search:
        """Make a search from what a caller gave; `dicomframe.client.query.build_queries` has the rest."""
        queries = build_queries(level, **arguments)
        return cls(session, level, queries, limit=limit, page_size=page_size, progress=progress)

    @classmethod
    def united(cls, searches: Sequence[Search]) -> Search:
        """Make one search of several of one level and service; the first one's limit and page size hold."""
        first = searches[0]
        if any(each.level != first.level for each in searches):
            raise QueryError("Only searches of one level can be united.")
        queries = list(dict.fromkeys(query for each in searches for query in each.queries))
        return cls(
            first.session,
            first.level,
            queries,
            limit=first.limit,
            page_size=first.page_size,
            progress=first._progress,  # noqa: SLF001 - of this very class
        )

    def __repr__(self) -> str:
        keywords = self.keywords
        by = f" by {', '.join(keywords)}" if keywords else ""
        most = f", at most {self.limit}" if self.limit is not None else ""
        return f"<Search for {self._plural}{by}{most}>"

    if not TYPE_CHECKING:  # a type checker is to see which attributes there are

        def __getattr__(self, name):
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}{_NO_TABLE_YET}")

        def __getitem__(self, key):
            raise TypeError(f"{type(self).__name__!r} object has neither columns nor rows{_NO_TABLE_YET}")

    @property
    def _plural(self) -> str:
        return {"study": "studies", "series": "series", "instance": "instances"}[self.level]

    @property
    def keywords(self) -> list[str]:
        """The attributes that are filtered by.

        Examples
        --------
        >>> import dicomframe as dfr
        >>> with dfr.start_local() as local:
        ...     local.connect().search_studies(PatientID="1", StudyDate="20240115").keywords
        ['PatientID', 'StudyDate']
        """
        names = (name for query in self.queries for name, _ in query.params)
        return list(dict.fromkeys(name for name in names if tags.find(name.partition(".")[0])))

    def pages(self) -> Iterator[list[dict[str, Any]]]:
        """Yield the rows page by page, as DICOM JSON objects (PS3.18 annex F).

        Yields
        ------
        list of dict
            At least one row each; rows that the server gave twice are dropped.

        Raises
        ------
        ServiceError, TransportError, DecodeError
            If a page cannot be had.
        QueryError
            If the service does not search by a filter at this level.

        Examples
        --------
        >>> import dicomframe as dfr
        >>> with dfr.start_local(samples=True) as local:
        ...     pages = local.connect().search_studies(limit=3, page_size=2).pages()
        ...     [len(page) for page in pages]
        [2, 1]
        """
        reader = self._reader()
        for page in reader.read(self.queries):
            yield page.rows()
        self._judge(reader.findings)

    def to_frame(
        self,
        dtype_backend: DtypeBackend = "numpy_nullable",
        errors: OnBadValue = "coerce",
        *,
        progress: bool | str | None = None,
    ) -> pd.DataFrame:
        """Read all pages into one typed table, with a progress bar in terminals and notebooks.

        Parameters
        ----------
        dtype_backend : {"numpy_nullable", "pyarrow"}
            Which family of dtypes the columns get; `dicomframe.tables.schema` has the list.
        errors : {"coerce", "raise"}
            Whether a value that its VR does not allow becomes missing and one row of `issues`, or raises.
        progress : bool or "auto", optional
            By default the client's.

        Returns
        -------
        pandas.DataFrame
            One row a study, series or instance: the level's own columns, the same for an empty result, and what else
            came. UIDs of studies and series searched below are there also where the server leaves them out of its
            rows. ``df.attrs["dicom"]`` names the service, the attributes filtered by and the completeness.

        Raises
        ------
        ServiceError, TransportError, DecodeError
            If a page cannot be had.
        QueryError
            If the service does not search by a filter at this level; it is asked only about what is not always
            searchable.
        ValueRefused
            With ``errors="raise"``, at the first bad value.
        KeyboardInterrupt
            If it is interrupted: with the table of the rows so far as its ``table``, which ``client.partial`` is as
            well; its completeness is ``"truncated"``.

        Warns
        -----
        IncompleteSearchWarning
            If rows moved while they were read, or the server ended before its end.
        ErroneousAttributesWarning
            If the service could not index some instances by an attribute searched by; ``df.attrs["dicom"]`` names
            it under ``erroneous_attributes``.
        UnsearchableWarning
            If it could not be found out whether the service searches by a filter.

        Examples
        --------
        >>> import dicomframe as dfr
        >>> with dfr.start_local(samples=True) as local:
        ...     df = local.connect().search_series(Modality="CT", limit=2).to_frame()
        >>> df["Modality"].tolist()
        ['CT', 'CT']
        """
        from dicomframe.tables.convert import from_pages, issues
        from dicomframe.tables.notes import settle

        shown = self._progress if progress is None else check_progress(progress)
        with progress_bar(shown, f"Searching {self._plural}", None, "row") as bar:
            reader = self._reader()

            def contents() -> Generator[bytes]:
                for page in reader.read(self.queries):
                    bar.update(len(page.uids))
                    yield page.content

            # Pages become columns as they come in: all of them as text would be larger than the table.
            table, interrupt = read_until_interrupted(
                lambda pages: from_pages(pages, self.level, dtype_backend, errors, keywords=self.own_columns),
                contents(),
            )
        reader.findings.interrupted = interrupt is not None
        with remaining(interrupt):
            about: dict[str, Any] = {
                "service": self.session.base,
                "filters": self.keywords,
                "completeness": self._judge(reader.findings),
            }
            if reader.findings.erroneous:
                about["erroneous_attributes"] = reader.findings.erroneous
            table.attrs["dicom"] = about | table.attrs["dicom"]
            settle(table, self.level, reader.findings.settled)
            self._issues = issues(table)
        if interrupt is not None:
            give_back(self.session, interrupt, table)
        return table

    @property
    def issues(self) -> pd.DataFrame:
        """The values that could not be read, of the last `to_frame`; it is called if it has not been.

        Examples
        --------
        >>> import dicomframe as dfr
        >>> with dfr.start_local(samples=True) as local:
        ...     len(local.connect().search_studies(limit=3).issues)
        0
        """
        if self._issues is None:
            self.to_frame()
        if self._issues is None:  # pragma: no cover - to_frame sets it or raises
            raise AssertionError
        return self._issues

    @property
    def completeness(self) -> Completeness:
        """Whether the rows of the last reading are all there are; the search is read if it has not been.

        - ``"complete"``: all rows that match.
        - ``"truncated"``: there are more, past the limit or past what the server gives, or the reading was interrupted.
        - ``"drifted"``: rows moved while they were read, or the server's paging cannot be trusted; some may be
          missing.

        Examples
        --------
        >>> import dicomframe as dfr
        >>> with dfr.start_local(samples=True) as local:
        ...     local.connect().search_studies().completeness
        'complete'
        """
        if self._completeness is None:
            self.to_frame()
        return self._completeness or "complete"

    def _check(self) -> None:
        """Refuse what the service cannot search by, before it is asked."""
        check_searchable(self.session, self.queries)

    def _reader(self) -> Reader:
        self._check()
        return Reader(self.session, self.level, self.page_size, self.limit, width=self.width)

    def _judge(self, findings: Findings) -> Completeness:
        self._completeness = findings.completeness
        if findings.erroneous:
            warn_caller(
                f"Some instances could not be indexed by {', '.join(findings.erroneous)}, and may be missing from the"
                f" rows; client.query_tag_errors({findings.erroneous[0]!r}) tells which.",
                ErroneousAttributesWarning,
            )
        if findings.drifted:
            message = (
                "Rows came twice while the search was read page by page: data arrived meanwhile, or the server ignores "
                "the offset. Some rows may be missing; search again, or narrow it."
            )
        elif findings.capped:
            message = "The server ended the search before its end; narrow it, for example by dates."
        else:
            return findings.completeness
        warn_caller(message, IncompleteSearchWarning)
        return findings.completeness


def _count(value: Any, name: str) -> int:
    if isinstance(value, bool) or not hasattr(value, "__index__") or int(value) < 1:
        advice = "; leave it out to have all rows" if name == "limit" else ""
        raise QueryError(f"{name} must be a whole number from 1{advice}.")
    return int(value)
