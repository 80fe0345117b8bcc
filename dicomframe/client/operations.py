"""Long operations: the answer 202 with a link, followed to its end."""

from __future__ import annotations

import time
from typing import Any

from dicomframe.client.session import Answer, Session
from dicomframe.errors import OperationFailedError, TimedOut

_ENDED_WELL = frozenset({"succeeded", "completed"})
_ENDED_BADLY = frozenset({"failed", "canceled", "cancelled"})
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


def wait_for(session: Session, link: str, timeout: float = 600.0) -> None:
    """Follow an operation to its end.

    Parameters
    ----------
    session : Session
        The way to the service; the request goes to its address, whatever host the link names.
    link : str
        The operation's URL.
    timeout : float
        Seconds to wait at most.

    Raises
    ------
    OperationFailedError
        If it failed or was cancelled.
    TimedOut
        If it has not ended by then.
    """
    route = session.local_route(link)
    until = time.monotonic() + timeout
    pause = _FIRST_PAUSE
    while True:
        answer = session.request("GET", route, headers={"Accept": "application/json"})
        body = answer.json() if answer.content[:1] == b"{" else {}
        status = str(body.get("status", "")).lower()
        if status in _ENDED_BADLY:
            raise OperationFailedError(f"The operation ended as {status}.")
        if status in _ENDED_WELL or (answer.status == 200 and not status) or answer.status == 204:
            return
        if time.monotonic() + pause > until:
            raise TimedOut(f"The operation has not ended within {timeout:g} seconds; it goes on without us.")
        time.sleep(pause)
        pause = min(pause * 1.5, _LONGEST_PAUSE)
