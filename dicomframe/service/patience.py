"""How long the server waits for slow clients: for a request's head, a body that trickles, an end that nobody reads.

uvicorn closes connections that are idle between requests, and nothing else: one that sends a byte now and then is held
for ever, and so is one that is closing, until its client has read the last byte. Whoever reads an answer slowly is not
cut off: a notebook may compute for minutes on one object of a stream. So the end of an answer waits for minutes, too.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final, NamedTuple

import uvicorn

#: uvicorn looks after itself so often.
_TICK_SECONDS: Final = 0.1
#: Looks at all connections within the shortest of the limits.
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
    end_seconds : float
        In which a client has to take so many bytes of what a connection that is closing still has for it.
    connections : int
        How many may be open at the same time; what comes beyond that is answered with 503.
    """

    head_seconds: float = 20.0
    body_seconds: float = 60.0
    body_bytes: int = 1024
    end_seconds: float = 600.0
    connections: int = 500


class _Due(NamedTuple):
    """What a connection's client has to do, within how many seconds, and a count of bytes that rises as it does."""

    what: object
    seconds: float
    moved: int


@dataclass(slots=True)
class _Wait:
    """What is waited for on a connection: since which look, and what the count of bytes was then."""

    what: object
    since: int
    moved: int


#: What is waited for where a connection is closing.
_END: Final = object()


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
        shortest = min(patience.head_seconds, patience.body_seconds, patience.end_seconds)
        self._ticks = max(1, round(shortest / _LOOKS / _TICK_SECONDS))
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
            due = self._due(connection)
            if due is None:
                continue
            wait = waits.get(connection)
            if (
                wait is None
                or wait.what is not due.what
                or due.moved - wait.moved >= self._patience.body_bytes
            ):
                wait = _Wait(due.what, self._looks, due.moved)
            self._waits[connection] = wait
            if (self._looks - wait.since) * self._ticks * _TICK_SECONDS >= due.seconds:
                connection.transport.abort()

    def _due(self, connection: Any) -> _Due | None:
        """Tell what a connection's client has to do; None if nothing is waited for."""
        transport, received = connection.transport, connection.received
        if transport.is_closing():  # nothing more is to come; the end of the answer may be on its way
            return _Due(_END, self._patience.end_seconds, -transport.get_write_buffer_size())
        cycle = connection.cycle
        if cycle is None or cycle.response_complete:
            # Between requests, uvicorn's own time limit runs. The cycle before, or none, stands for the head to come.
            is_idle = connection.timeout_keep_alive_task is not None
            return None if is_idle else _Due(cycle or connection, self._patience.head_seconds, received)
        is_waited_for = cycle.more_body and not connection.flow.read_paused
        return _Due(cycle.message_event, self._patience.body_seconds, received) if is_waited_for else None
