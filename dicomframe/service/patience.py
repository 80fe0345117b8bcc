"""How long the server waits for slow clients: for a request's head, and for a body that only trickles.

uvicorn closes connections that are idle between requests, and nothing else: one that sends a byte now and then is held
for ever. Whoever reads an answer slowly is not cut off: a notebook may compute for minutes on one object of a stream.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import uvicorn

#: uvicorn looks after itself so often.
_TICK_SECONDS: Final = 0.1
#: Looks at all connections within the shorter of the two limits.
_LOOKS: Final = 10


@dataclass(frozen=True, slots=True)
class Patience:
    """Limits for clients.

    Parameters
    ----------
    head_seconds : float
        In which a connection that was opened, or on which a head has begun, has to bring a whole head.
    body_seconds : float
        In which so many bytes of a body have to come.
    body_bytes : int
        How many.
    connections : int
        How many may be open at the same time; what comes beyond that is answered with 503.
    """

    head_seconds: float = 20.0
    body_seconds: float = 60.0
    body_bytes: int = 1024
    connections: int = 500


@dataclass(slots=True)
class _Wait:
    """What is waited for on a connection: since which look, and how many bytes had come by then."""

    what: object
    since: int
    received: int


def counting(protocol: type[Any]) -> type[Any]:
    """Give a protocol of uvicorn's that counts the bytes of bodies that come in."""

    class Counting(protocol):  # type: ignore[misc]  # whichever it is
        received = 0

        def on_body(self, body: bytes) -> None:
            self.received += len(body)
            super().on_body(body)

    return Counting


class PatientServer(uvicorn.Server):
    """uvicorn, with an eye on slow clients.

    Parameters
    ----------
    config : uvicorn.Config
        Its protocol is one that counts.
    patience : Patience
        The limits.
    """

    def __init__(self, config: uvicorn.Config, patience: Patience) -> None:
        super().__init__(config)
        self._patience = patience
        shorter = min(patience.head_seconds, patience.body_seconds)
        self._ticks = max(1, round(shorter / _LOOKS / _TICK_SECONDS))
        self._looks = 0
        self._waits: dict[Any, _Wait] = {}

    async def on_tick(self, counter: int) -> bool:
        """Look at the connections now and then."""
        if counter % self._ticks == 0:
            self._look()
        return await super().on_tick(counter)

    def _look(self) -> None:
        # Looks are counted, not seconds: while the service itself is busy, no client is late.
        self._looks += 1
        waits, self._waits = self._waits, {}
        connections: list[Any] = list(self.server_state.connections)
        for connection in connections:
            what, limit = self._waits_for(connection)
            if what is None:
                continue
            wait = waits.get(connection)
            if (
                wait is None
                or wait.what is not what
                or connection.received - wait.received >= self._patience.body_bytes
            ):
                wait = _Wait(what, self._looks, connection.received)
            self._waits[connection] = wait
            if (self._looks - wait.since) * self._ticks * _TICK_SECONDS >= limit:
                connection.transport.abort()

    def _waits_for(self, connection: Any) -> tuple[object | None, float]:
        """Tell what a connection's client has to bring, and within how many seconds."""
        if (
            connection.transport.is_closing()
        ):  # nothing more is to come; the end of the answer may be on its way
            return None, 0.0
        cycle = connection.cycle
        if cycle is None or cycle.response_complete:
            # Between requests, uvicorn's own time limit runs. The cycle before, or none, stands for the head to come.
            is_idle = connection.timeout_keep_alive_task is not None
            return (None if is_idle else (cycle or connection)), self._patience.head_seconds
        is_waited_for = cycle.more_body and not connection.flow.read_paused
        return (cycle.message_event if is_waited_for else None), self._patience.body_seconds
