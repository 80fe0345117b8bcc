"""The change feed and the data partitions: what happens in the service as a whole."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from dicomframe.client import feedreading
from dicomframe.client.changefeed import ChangeFeed
from dicomframe.client.facade.base import ClientBase
from dicomframe.client.feedcursor import Cursor
from dicomframe.client.following import ChangeFollower
from dicomframe.client.instants import microseconds
from dicomframe.client.partitions import partitions
from dicomframe.errors import QueryError

if TYPE_CHECKING:
    import threading

    import pandas as pd

    from dicomframe.tables.schema import DtypeBackend


class WatchVerbs(ClientBase):
    """Reading and following the change feed; listing partitions."""

    def change_feed(
        self,
        start: Any = None,
        end: Any = None,
        metadata: bool = False,
        *,
        after: int | Mapping[str, Any] | None = None,
    ) -> ChangeFeed:
        """Read what was stored, updated and deleted; nothing is sent until the feed is read.

        The feed is the whole service's: with data partitions it tells of all of them, whichever this client is for.

        Parameters
        ----------
        start, end : datetime, date, pandas.Timestamp or str, optional
            Changes from the start on, before the end; times need a zone, days are days of UTC and an ending day counts
            in full. By default from the beginning to the latest change there is when the reading begins.
        metadata : bool
            Whether to bring the metadata of instances that are there, as further columns.
        after : int or mapping, optional
            Only changes after a sequence number, or after a ``cursor`` that was saved.

        Returns
        -------
        ChangeFeed
            With ``pages()``, ``to_frame()`` and ``cursor``; it can be looped over.

        Raises
        ------
        QueryError
            If an argument is malformed, a time has no zone, or the start does not lie before the end.

        Examples
        --------
        >>> import dicomframe as dfr
        >>> with dfr.start_local() as local:
        ...     local.connect().change_feed(start="2024-01-01", end="2024-01-31").to_frame().empty
        True
        """
        cursor, stop = Cursor.of(after), microseconds(end, "end", end=True)
        _begin(cursor, start)
        if stop is not None and cursor.start is not None and stop <= cursor.start:
            raise QueryError("start must lie before end.")
        return ChangeFeed(self.session, cursor, end=stop, metadata=metadata, progress=self.progress)

    def latest_change(
        self, metadata: bool = False, dtype_backend: DtypeBackend = "numpy_nullable"
    ) -> pd.DataFrame:
        """Give the latest change.

        Parameters
        ----------
        metadata : bool
            Whether to bring the instance's metadata, if it is still there.
        dtype_backend : {"numpy_nullable", "pyarrow"}
            Which family of dtypes the columns get.

        Returns
        -------
        pandas.DataFrame
            One row as in `ChangeFeed.to_frame`, or none where nothing has changed yet.

        Examples
        --------
        >>> import dicomframe as dfr
        >>> with dfr.start_local() as local:
        ...     len(local.connect().latest_change())
        0
        """
        from dicomframe.tables.feed import FeedTable

        entry = feedreading.latest_entry(self.session, metadata=metadata)
        table = FeedTable()
        table.add([] if entry is None else [entry])
        return table.finish(dtype_backend, attrs={"service": self.url})

    def follow_changes(
        self,
        interval: float = 30,
        *,
        start: Any = None,
        after: int | Mapping[str, Any] | None = None,
        metadata: bool = False,
        patience: float = 3600,
        dtype_backend: DtypeBackend = "numpy_nullable",
        stop: threading.Event | None = None,
    ) -> ChangeFollower:
        """Follow the change feed: loop over it, and each turn brings a table of new changes, never an empty one.

        Each change comes once, ordered by number. It waits through throttling and restarts of the server.

        Parameters
        ----------
        interval : float
            Seconds between questions while nothing happens.
        start : datetime, date, pandas.Timestamp or str, optional
            From which time on; as for `change_feed`.
        after : int or mapping, optional
            After which sequence number, or a ``cursor`` that was saved; 0 is the beginning. With neither `start` nor
            `after`: what happens from now on.
        metadata : bool
            Whether to bring the metadata of instances that are there.
        patience : float
            Seconds for which the server may be out of reach before the last error is raised.
        dtype_backend : {"numpy_nullable", "pyarrow"}
            Which family of dtypes the columns get.
        stop : threading.Event, optional
            Ends the loop when it is set; so does ``close()``.

        Returns
        -------
        ChangeFollower
            An iterator of tables with ``cursor`` and ``close()``.

        Raises
        ------
        QueryError
            If an argument is malformed.
        ServiceError, TransportError
            If the latest change cannot be asked for, with neither `start` nor `after`.

        Examples
        --------
        >>> import dicomframe as dfr
        >>> from dicomframe.samples import real_files
        >>> with dfr.start_local() as local:
        ...     client = local.connect()
        ...     changes = client.follow_changes(interval=1)
        ...     outcome = client.store(real_files()[:1])
        ...     next(changes)["action"].tolist()
        ['create']
        """
        if isinstance(interval, bool) or not isinstance(interval, int | float) or not 0 <= interval < 1e6:
            raise QueryError("interval must be a number of seconds, 0 or more.")
        if isinstance(patience, bool) or not isinstance(patience, int | float) or not patience >= 0:
            raise QueryError("patience must be a number of seconds, 0 or more.")
        cursor = Cursor.of(after)
        _begin(cursor, start)
        if start is None and after is None:
            cursor = feedreading.cursor_now(self.session)
        return ChangeFollower(
            self.session,
            cursor,
            interval=interval,
            patience=patience,
            metadata=metadata,
            dtype_backend=dtype_backend,
            stop=stop,
        )

    def partitions(self) -> pd.DataFrame:
        """List the service's data partitions.

        Returns
        -------
        pandas.DataFrame
            One row a partition: ``PartitionName``, as in the change feed; ``key`` (Int64); ``created``
            (datetime64[us, UTC]).

        Raises
        ------
        BadRequestError
            If the service has them switched off.

        Examples
        --------
        >>> import dicomframe as dfr
        >>> with dfr.start_local(partitions=True) as local:
        ...     local.connect().partitions()["PartitionName"].tolist()
        ['Microsoft.Default']
        """
        return partitions(self.session)


def _begin(cursor: Cursor, start: Any) -> None:
    """Put what was given as ``start`` into a cursor; one that was saved has its own, which stays."""
    moment = microseconds(start, "start")
    if moment is not None:
        cursor.start = moment
