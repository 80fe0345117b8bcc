"""Work that waits until its cause has come to rest."""

from __future__ import annotations

import asyncio
from collections.abc import Callable


class Later:
    """Calls a function once nothing has asked for it during a pause; at once where no event loop is running.

    Parameters
    ----------
    work : callable
        Is called without arguments.
    pause : float
        Seconds.
    """

    def __init__(self, work: Callable[[], None], pause: float) -> None:
        self._work = work
        self._pause = pause
        self._waiting: asyncio.TimerHandle | None = None

    def __call__(self) -> None:
        """Ask for it."""
        self.forget()
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            self._work()
        else:
            self._waiting = loop.call_later(self._pause, self._work)

    def forget(self) -> None:
        """Do without it."""
        if self._waiting is not None:
            self._waiting.cancel()
            self._waiting = None
