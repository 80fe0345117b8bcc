"""A part of the change feed, as pages, as changes or as one typed table, and where the next reading is to begin."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from contextlib import closing
from typing import TYPE_CHECKING, Any

from dicomframe.client.feedcursor import Cursor
from dicomframe.client.feedreading import INCOMPLETE, Reading
from dicomframe.client.partial import keeping
from dicomframe.client.progress import Progress, check_progress, progress_bar
from dicomframe.client.session import Session
from dicomframe.dicom import feed
from dicomframe.errors import IncompleteSearchWarning, warn_caller

if TYPE_CHECKING:
    import pandas as pd

    from dicomframe.tables.schema import DtypeBackend, OnBadValue


class ChangeFeed:
    """A part of the change feed, asked for when it is read, and again each time it is.

    `Client.change_feed` makes it.

    Parameters
    ----------
    session : Session
        The way to the service.
    cursor : Cursor
        After which place to read.
    end : int, optional
        Only changes before that time, in microseconds since 1970, UTC.
    metadata : bool
        Whether to ask for the metadata of instances that are there.
    progress : bool or "auto"
        Whether `to_frame` shows a bar.

    Examples
    --------
    >>> import dicomframe as dfr
    >>> with dfr.start_local() as local:
    ...     feed = local.connect().change_feed()
    ...     feed, len(feed.to_frame())
    (<Change feed>, 0)
    """

    def __init__(
        self,
        session: Session,
        cursor: Cursor,
        *,
        end: int | None,
        metadata: bool,
        progress: Progress = False,
    ) -> None:
        self._progress = progress
        self.session = session
        self._from = cursor
        self._end = end
        self._metadata = metadata
        self._cursor: Cursor | None = None

    def __repr__(self) -> str:
        said = f" after {self._from.sequence}" * (self._from.sequence >= 0)
        for word, moment in (("from", self._from.start), ("to", self._end)):
            said += f" {word} {feed.iso(moment)}" if moment is not None else ""
        return f"<Change feed{said}>"

    def pages(self) -> Generator[list[Any]]:
        """Yield the changes page by page, in the service's order.

        Yields
        ------
        list of dict
            At least one change each, under the names that the service documents (``sequence``, ``sopInstanceUid``, …).
            An entry that is no object is left in.

        Raises
        ------
        ServiceError, TransportError, DecodeError
            If a page cannot be had.

        Warns
        -----
        IncompleteSearchWarning
            If the server ends before its own latest change.

        Examples
        --------
        >>> import dicomframe as dfr
        >>> with dfr.start_local(samples=True) as local:
        ...     feed = local.connect().change_feed()
        ...     page = next(feed.pages())
        >>> page[0]["sequence"], page[0]["action"]
        (1, 'Create')
        """
        reading = Reading(self.session, self._from.copy(), end=self._end, metadata=self._metadata)
        yield from reading.pages()
        self._cursor = reading.cursor
        if not reading.is_complete:
            warn_caller(INCOMPLETE, IncompleteSearchWarning)

    def __iter__(self) -> Iterator[Any]:
        """Yield the changes one by one; see `pages`."""
        for page in self.pages():
            yield from page

    def to_frame(
        self,
        dtype_backend: DtypeBackend = "numpy_nullable",
        errors: OnBadValue = "coerce",
        *,
        progress: bool | str | None = None,
    ) -> pd.DataFrame:
        """Read it into one typed table, one row a change; `dicomframe.from_change_feed` has columns and arguments.

        Parameters
        ----------
        dtype_backend, errors
            As for `dicomframe.from_change_feed`.
        progress : bool or "auto", optional
            Whether a bar is shown, by default as the client was told.

        Returns
        -------
        pandas.DataFrame
            With the same dtypes when nothing has changed.

        Raises
        ------
        ServiceError, TransportError, DecodeError
            If a page cannot be had.
        KeyboardInterrupt
            If it is interrupted: with the changes so far as its ``table``; ``after=`` the last of their numbers is
            where to go on.

        Warns
        -----
        IncompleteSearchWarning
            If the server ends before its own latest change.

        Examples
        --------
        >>> import dicomframe as dfr
        >>> with dfr.start_local(samples=True) as local:
        ...     feed = local.connect().change_feed()
        ...     changes = feed.to_frame()
        >>> changes["action"].unique().tolist()
        ['create']
        """
        from dicomframe.tables.feed import FeedTable

        table = FeedTable()

        def finish() -> pd.DataFrame:
            return table.finish(dtype_backend, errors, {"service": self.session.base})

        shown = self._progress if progress is None else check_progress(progress)
        with (
            keeping(self.session, finish),
            progress_bar(shown, "Reading the change feed", None, "change") as bar,
            closing(self.pages()) as pages,
        ):
            for page in pages:
                table.add(page)
                bar.update(len(page))
        return finish()

    @property
    def cursor(self) -> dict[str, Any] | None:
        """Where the last complete reading ended, as plain JSON for ``after=``; None before there was one.

        Examples
        --------
        >>> import dicomframe as dfr
        >>> with dfr.start_local(samples=True) as local:
        ...     feed = local.connect().change_feed()
        ...     before, changes, after = feed.cursor, feed.to_frame(), feed.cursor
        >>> before is None, after is None
        (True, False)
        """
        return None if self._cursor is None else self._cursor.saved()
