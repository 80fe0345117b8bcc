"""Long operations: the answer 202 with a link, followed to its end."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Self

from dicomframe.client.incoming import Answer
from dicomframe.client.progress import Progress, progress_bar
from dicomframe.client.session import Session
from dicomframe.errors import OperationFailedError, QueryError, TimedOut, UnexpectedAnswerError, printable

if TYPE_CHECKING:
    import pandas as pd

#: What services write -> what is told here: the words of version 2 of the API.
_STATUS = {
    "notstarted": "notStarted",
    "running": "running",
    "succeeded": "succeeded",
    "completed": "succeeded",
    "failed": "failed",
    "canceled": "canceled",
    "cancelled": "canceled",
}
_ENDED = frozenset({"succeeded", "failed", "canceled"})
_FIRST_PAUSE = 0.2
_LONGEST_PAUSE = 5.0


def link_of(answer: Answer) -> str | None:
    """Give the link to the operation that an answer started; servers name it in one of two headers or the body."""
    link = answer.headers.get("Operation-Location") or answer.headers.get("Location")
    if link:
        return link
    body: Any = answer.json() if answer.content[:1] == b"{" else None
    href = body.get("href") if isinstance(body, dict) else None
    return href if isinstance(href, str) else None


class Operation:
    """A long operation of the service: reindexing, a bulk update, an export, a deletion in the background.

    Parameters
    ----------
    session : Session
        The way to the service.
    route : str
        Below the base, as ``operations/{id}``; or a URL that the server sent. The request goes to the session's
        address, whatever host a link names.
    progress : bool or "auto"
        Whether `wait` shows a bar.

    Examples
    --------
    >>> import dicomframe as dfr
    >>> with dfr.start_local() as local:
    ...     operation = local.connect().operation("0" * 32)
    ...     operation
    Operation('00000000000000000000000000000000')
    """

    def __init__(self, session: Session, route: str, progress: Progress = False) -> None:
        self._session = session
        self._route = session.local_route(route) if "://" in route else route
        self._progress = progress
        self._body: Mapping[str, Any] | None = None
        self._http_status = 0

    @classmethod
    def of(cls, session: Session, answer: Answer, progress: Progress = False) -> Self:
        """Give the operation that an answer with status 202 started.

        Raises
        ------
        UnexpectedAnswerError
            If the answer names none.
        """
        link = link_of(answer)
        if link is None:
            raise UnexpectedAnswerError(
                answer.status, answer.route, message="the answer names no operation to follow"
            )
        return cls(session, link, progress)

    def __repr__(self) -> str:
        status = f", {printable(self.status)}" if self._body is not None else ""
        return f"Operation({self.id!r}{status})"

    @property
    def id(self) -> str:
        """The identifier, for `Client.operation`.

        Examples
        --------
        >>> import dicomframe as dfr
        >>> with dfr.start_local() as local:
        ...     operation = local.connect().add_query_tags({"KVP": "Series"}).wait()
        ...     len(operation.id)
        32
        """
        return self._route.rstrip("/").rpartition("/")[2]

    @property
    def status(self) -> str:
        """How it stood when the service was last asked: notStarted, running, succeeded, failed or canceled.

        Examples
        --------
        >>> import dicomframe as dfr
        >>> with dfr.start_local() as local:
        ...     operation = local.connect().add_query_tags({"KVP": "Series"}).wait()
        ...     operation.status
        'succeeded'
        """
        said = str(self._known.get("status", "")).lower()
        if said:
            return _STATUS.get(said, said)
        return "running" if self._http_status == 202 else "succeeded"

    @property
    def done(self) -> bool:
        """Whether it had ended, well or badly, when the service was last asked.

        Examples
        --------
        >>> import dicomframe as dfr
        >>> with dfr.start_local() as local:
        ...     operation = local.connect().add_query_tags({"KVP": "Series"}).wait()
        ...     operation.done
        True
        """
        return self.status in _ENDED

    @property
    def type(self) -> str:
        """What it does: reindex, update, export or delete; empty where the service does not say.

        Examples
        --------
        >>> import dicomframe as dfr
        >>> with dfr.start_local() as local:
        ...     operation = local.connect().add_query_tags({"KVP": "Series"}).wait()
        ...     operation.type
        'reindex'
        """
        return str(self._known.get("type") or "")

    @property
    def percent(self) -> int:
        """How much was done when the service was last asked, in percent.

        Examples
        --------
        >>> import dicomframe as dfr
        >>> with dfr.start_local() as local:
        ...     operation = local.connect().add_query_tags({"KVP": "Series"}).wait()
        ...     operation.percent
        100
        """
        said = self._known.get("percentComplete")
        return min(max(int(said), 0), 100) if isinstance(said, int | float) else 100 * self.done

    @property
    def created(self) -> pd.Timestamp | None:
        """When it was asked for, UTC.

        Examples
        --------
        >>> import dicomframe as dfr
        >>> with dfr.start_local() as local:
        ...     operation = local.connect().add_query_tags({"KVP": "Series"}).wait()
        ...     operation.created <= operation.updated
        True
        """
        return self._time("createdTime")

    @property
    def updated(self) -> pd.Timestamp | None:
        """When it last changed, UTC.

        Examples
        --------
        >>> import dicomframe as dfr
        >>> with dfr.start_local() as local:
        ...     operation = local.connect().add_query_tags({"KVP": "Series"}).wait()
        ...     str(operation.updated.tz)
        'UTC'
        """
        return self._time("lastUpdatedTime")

    @property
    def resources(self) -> list[str]:
        """URLs of what it is about.

        Examples
        --------
        >>> import dicomframe as dfr
        >>> with dfr.start_local() as local:
        ...     operation = local.connect().add_query_tags({"KVP": "Series"}).wait()
        ...     [url.rpartition("/")[2] for url in operation.resources]
        ['00180060']
        """
        said = self._known.get("resources")
        return [str(each) for each in said] if isinstance(said, list) else []

    @property
    def results(self) -> dict[str, Any]:
        """What came of it, as the service says it; empty while it runs.

        Examples
        --------
        >>> import dicomframe as dfr
        >>> with dfr.start_local() as local:
        ...     operation = local.connect().add_query_tags({"KVP": "Series"}).wait()
        ...     operation.results
        {'instances': 0, 'errors': 0}
        """
        said = self._known.get("results")
        return dict(said) if isinstance(said, dict) else {}

    @property
    def _known(self) -> Mapping[str, Any]:
        if self._body is None:
            self.refresh()
        return self._body or {}

    def _time(self, name: str) -> pd.Timestamp | None:
        import pandas as pd

        moment = pd.to_datetime(pd.Series([self._known.get(name)]), utc=True, errors="coerce").iloc[0]
        return None if pd.isna(moment) else moment

    def refresh(self) -> Self:
        """Ask the service how it stands.

        Raises
        ------
        NotFoundError
            If the service knows no such operation.
        ServiceError, TransportError
            If the service refuses or does not answer.
        DecodeError, UnexpectedAnswerError
            If the answer is no state of an operation.

        Examples
        --------
        >>> import dicomframe as dfr
        >>> with dfr.start_local() as local:
        ...     operation = local.connect().add_query_tags({"KVP": "Series"}).wait()
        ...     operation.refresh().status
        'succeeded'
        """
        answer = self._session.request("GET", self._route, headers={"Accept": "application/json"})
        body = answer.json() or {}
        # Without a body the HTTP status tells; what is neither would pass for an operation that succeeded.
        if not isinstance(body, dict) or (body and not isinstance(body.get("status"), str)):
            raise UnexpectedAnswerError(
                answer.status, answer.route, message="the answer does not say how an operation stands"
            )
        self._body = body
        self._http_status = answer.status
        return self

    def wait(self, timeout: float = 600.0) -> Self:
        """Follow the operation to its end, with a progress bar in terminals and notebooks.

        Parameters
        ----------
        timeout : float
            Seconds to wait at most.

        Raises
        ------
        OperationFailedError
            If it failed or was cancelled; it carries the operation's id, type, status and results.
        TimedOut
            If it has not ended by then; it goes on at the service, and can be waited for again.

        Examples
        --------
        >>> import dicomframe as dfr
        >>> with dfr.start_local() as local:
        ...     local.connect().update_studies("1.2.3", PatientName="New^Name").wait(timeout=60).status
        'succeeded'
        """
        if not timeout >= 0:
            raise QueryError("timeout must be a number of seconds, 0 or more.")
        until = time.monotonic() + timeout
        pause = _FIRST_PAUSE
        shown = 0
        with progress_bar(self._progress, "Operation", 100, "%", shows_bytes=False) as bar:
            while not self.refresh().done:
                bar.update(max(self.percent - shown, 0))
                shown = max(shown, self.percent)
                if time.monotonic() + pause > until:
                    raise TimedOut(
                        f"The operation has not ended within {timeout:g} seconds; it goes on without us."
                    )
                time.sleep(pause)
                pause = min(pause * 1.5, _LONGEST_PAUSE)
            bar.update(100 - shown)
        if self.status != "succeeded":
            raise OperationFailedError(self.id, self.type, self.status, self.results)
        return self
