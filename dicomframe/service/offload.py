"""Where work runs: on the event loop or in a thread. The one place that decides it.

A hop into a thread and back costs more than most reads take, so `brief` work runs where it is; `lengthy` work
(writes, which wait for the disk and for other writers; pydicom; scans) must not keep the other requests waiting.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")

_THREADS = 4


class Offload:
    """A few threads, and the decision what needs one."""

    def __init__(self) -> None:
        self._threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="dicomframe-service")

    async def brief(self, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Do what takes a millisecond or less: look-ups by key, reading or writing one chunk of a file."""
        return work(*args, **kwargs)

    async def lengthy(self, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Do what may take longer."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._threads, lambda: work(*args, **kwargs))

    def close(self) -> None:
        """Wait for what is running and end the threads."""
        self._threads.shutdown()
