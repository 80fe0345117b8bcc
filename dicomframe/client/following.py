"""Following the change feed: tables of what is new, as it comes, for as long as one wants."""

from __future__ import annotations

import logging
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Generic, Self, TypeVar

from dicomframe.client.feedcursor import Cursor
from dicomframe.client.feedreading import INCOMPLETE, Reading
from dicomframe.client.session import Session
from dicomframe.dicom.feed import sequence_of
from dicomframe.errors import (
    IncompleteSearchWarning,
    ThrottledError,
    TransportError,
    TruncatedBody,
    UnavailableError,
    warn_caller,
)

if TYPE_CHECKING:
    import pandas as pd

    from dicomframe.tables.schema import DtypeBackend

logger = logging.getLogger(__name__)

#: What passes: the server is busy, restarting or out of reach.
PASSING = (TransportError, ThrottledError, UnavailableError, TruncatedBody)
#: Rows of one table at most, give or take a page: a long backlog comes in several tables.
MOST_ROWS = 5_000
#: Seconds between attempts while a server cannot be reached: the first, then twice as long each time, up to the last.
_FIRST_PAUSE = 1.0
_LONGEST_PAUSE = 300.0


Given = TypeVar("Given")


class Following(ABC, Generic[Given]):
    """An iterator of what is made of new changes, which waits for the next ones; also a context manager.

    It is for one thread; `close` may be called from any.

    Parameters
    ----------
    session : Session
        The way to the service.
    cursor : Cursor
        After which place to begin.
    interval : float
        Seconds between questions while nothing happens.
    patience : float
        Seconds for which a server may be out of reach.
    metadata : bool
        Whether to ask for the metadata of instances that are there.
    stop : threading.Event, optional
        Ends it when it is set.
    waits : bool
        Whether it waits for more when all is read; otherwise it ends then.
    """

    def __init__(
        self,
        session: Session,
        cursor: Cursor,
        *,
        interval: float,
        patience: float,
        metadata: bool,
        stop: threading.Event | None = None,
        waits: bool = True,
    ) -> None:
        self._session = session
        self._cursor = cursor
        self._interval = interval
        self._patience = patience
        self._metadata = metadata
        self._waits = waits
        self._stop = stop or threading.Event()
        self._reading: Reading | None = None
        self._pages: Iterator[list[Any]] = iter(())

    @property
    def cursor(self) -> dict[str, Any]:
        """Where to go on after the changes given so far: plain JSON for ``after=``, also in another process.

        Save it when you have dealt with them, and each change is dealt with exactly once, or, if the process dies in
        between, once more.

        Examples
        --------
        >>> import dicomframe as dfr
        >>> with dfr.start_local() as local:
        ...     following = local.connect().follow_changes()
        ...     sorted(following.cursor)
        ['missing', 'sequence', 'start', 'timestamp']
        """
        return self._cursor.saved()

    def close(self) -> None:
        """End it: a wait is broken off, and the next table is not given any more. Further calls do nothing.

        Examples
        --------
        >>> import dicomframe as dfr
        >>> with dfr.start_local() as local:
        ...     following = local.connect().follow_changes()
        >>> following.close()
        >>> list(following)
        []
        """
        self._stop.set()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        state = "ended" if self._stop.is_set() else f"every {self._interval:g} s"
        return f"<Changes after {max(self._cursor.sequence, 0)}, {state}>"

    def __iter__(self) -> Self:
        return self

    @abstractmethod
    def _given(self, entries: list[Any]) -> Given:
        """Make of changes, ordered by number, what is given."""

    def __next__(self) -> Given:
        """Give the next changes, ordered by number, as soon as there are any.

        Raises
        ------
        StopIteration
            After `close`; or when all is read, if it does not wait.
        TransportError, ThrottledError, UnavailableError
            If the server was out of reach for longer than ``patience``.
        ServiceError, DecodeError
            If it refuses, or answers what is no change feed. Nothing is lost: the next call asks again.

        Warns
        -----
        IncompleteSearchWarning
            If the server names a later change and does not give it.
        """
        failed_since: float | None = None
        pause = min(_FIRST_PAUSE, self._interval)
        while not self._stop.is_set():
            try:
                entries = self._next_entries()
            except PASSING as error:
                failed_since = failed_since or time.monotonic()
                if time.monotonic() - failed_since >= self._patience:
                    raise
                reason = (str(error).splitlines() or [""])[0]
                logger.warning(
                    "The change feed is out of reach; asking again. %s: %s", type(error).__name__, reason
                )
                self._stop.wait(pause)
                pause = min(pause * 2, _LONGEST_PAUSE)
                continue
            if entries:
                entries.sort(key=lambda entry: sequence_of(entry) or 0)
                return self._given(entries)
            if not self._waits:
                break
            failed_since, pause = None, min(_FIRST_PAUSE, self._interval)
            self._stop.wait(self._interval)
        raise StopIteration

    def _next_entries(self) -> list[Any]:
        """Gather some pages of the reading under way, else of a new one; none if there is nothing new."""
        if self._reading is None:
            self._reading = Reading(self._session, self._cursor.copy(), metadata=self._metadata)
            self._pages = self._reading.pages()
        entries: list[Any] = []
        try:
            for page in self._pages:
                entries += page
                if len(entries) >= MOST_ROWS:
                    break
            else:
                # Read to its end. What a server keeps back this time may come the next, unless nothing comes.
                if not entries and not self._reading.is_complete:
                    warn_caller(INCOMPLETE, IncompleteSearchWarning)
                self._cursor, self._reading = self._reading.cursor, None
                return entries
        except BaseException:
            # Begin again where the last table ended.
            self._reading = None
            raise
        self._cursor = self._reading.cursor.copy()
        return entries


class EntryFollower(Following[list[Any]]):
    """Gives lists of changes under the names that the service documents; `Following` has the arguments."""

    def _given(self, entries: list[Any]) -> list[Any]:
        return entries


class ChangeFollower(Following["pd.DataFrame"]):
    """Gives tables of changes; `Client.follow_changes` makes it.

    Parameters
    ----------
    dtype_backend : {"numpy_nullable", "pyarrow"}
        Of the tables.
    **options
        As for `Following`.

    Examples
    --------
    >>> import dicomframe as dfr
    >>> from pydicom import dcmread, examples
    >>> with dfr.start_local() as local:
    ...     client = local.connect(progress=False)
    ...     stored = client.store([dcmread(examples.get_path("ct"))])
    ...     with client.follow_changes(after=0) as following:
    ...         next(following)["action"].tolist()
    ['create']
    """

    def __init__(
        self, session: Session, cursor: Cursor, *, dtype_backend: DtypeBackend, **options: Any
    ) -> None:
        super().__init__(session, cursor, **options)
        self._dtype_backend = dtype_backend

    def _given(self, entries: list[Any]) -> pd.DataFrame:
        from dicomframe.tables.feed import FeedTable

        table = FeedTable()
        table.add(entries)
        return table.finish(self._dtype_backend, attrs={"service": self._session.base})
