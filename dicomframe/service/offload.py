"""Where work runs: on the event loop or in a thread. The one place that decides it.

A hop into a thread and back costs more than most reads take, so `brief` work runs where it is; `lengthy` work
(writes, which wait for the disk and for other writers; pydicom; scans) must not keep the other requests waiting.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Generic, ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")
W = TypeVar("W")

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

    def start(self, work: Callable[[], None]) -> None:
        """Have work done in a thread, and do not wait for it."""
        self._threads.submit(work)

    def close(self) -> None:
        """Wait for what is running and end the threads."""
        self._threads.shutdown()


class Together(Generic[W, T]):
    """Work that costs less when it is done for several at once: what comes while a round runs makes the next one.

    Parameters
    ----------
    offload : Offload
        Has the thread that it is done in; one at a time, so that the threads do not get into each other's way.
    work : callable
        Gives a result, or an exception, for each item that it is given.
    """

    def __init__(self, offload: Offload, work: Callable[[Sequence[W]], Sequence[T | Exception]]) -> None:
        self._offload = offload
        self._work = work
        self._lock = threading.Lock()
        self._waiting: list[tuple[W, Future[T]]] = []
        self._is_running = False

    async def __call__(self, item: W) -> T:
        """Do it for one item; give its result or raise its exception."""
        future: Future[T] = Future()
        with self._lock:
            self._waiting.append((item, future))
            begins, self._is_running = not self._is_running, True
        if begins:
            try:
                self._offload.start(self._run)
            except RuntimeError as error:  # there is no thread, or none any more
                self._give_up(error)
        return await asyncio.wrap_future(future)

    def _give_up(self, error: RuntimeError) -> None:
        with self._lock:
            taken, self._waiting = self._waiting, []
            self._is_running = False
        for _, future in taken:
            if future.set_running_or_notify_cancel():
                future.set_exception(error)

    def _run(self) -> None:
        while True:
            with self._lock:
                taken, self._waiting = self._waiting, []
                self._is_running = bool(taken)
            if not taken:
                return
            # Once it has begun, nobody who stops waiting can take it back.
            taken = [(item, future) for item, future in taken if future.set_running_or_notify_cancel()]
            results: Sequence[T | Exception]
            try:
                made = self._work([item for item, _ in taken])
                results = [result for _, result in zip(taken, made, strict=True)]
            except BaseException as error:  # noqa: BLE001 - of whatever kind, nobody waits for the round in vain
                # Raised in a task, what is no Exception would end the event loop.
                failure = (
                    error if isinstance(error, Exception) else RuntimeError("Work for several was ended.")
                )
                results = [failure] * len(taken)
            for (_, future), result in zip(taken, results, strict=True):
                if isinstance(result, Exception):
                    future.set_exception(result)
                else:
                    future.set_result(result)
