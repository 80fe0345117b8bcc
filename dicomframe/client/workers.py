"""Threads that send requests side by side for one call, and end soon after that call is interrupted.

A thread that waits for a server cannot be interrupted in Python. So each call knows the sockets on which its threads
wait: Ctrl-C shuts them, and what was waiting fails at once. What must not be taken for an outcome then, neither a cut
answer nor one that seems to have ended, becomes `GivenUp`.
"""

from __future__ import annotations

import socket
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import contextmanager, suppress
from types import TracebackType
from typing import Any, Protocol, TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")

#: Seconds after which whoever waits for a worker draws its progress bar again.
_TICK = 0.1
#: Seconds that an interrupted call gives its threads to end. Only a connection or a token that is still being asked for
#: takes longer; such a thread ends by itself, and sends nothing more.
_GRACE = 1.0


class GivenUp(BaseException):
    """Ends the work for a call that was interrupted; no Exception, so that nobody takes it for an outcome."""


class Watcher(Protocol):
    """What is told how a call goes on: a progress bar."""

    def add_bytes(self, count: int) -> None:
        """Say that so many more bytes were sent or received."""

    def tick(self) -> None:
        """Show what there is to show."""


class Call:
    """One call of the user: whether it was given up, the connections that it waits for, and who watches it.

    Parameters
    ----------
    watcher : Watcher, optional
        Told of bytes by all of its threads.
    """

    def __init__(self, watcher: Watcher | None = None) -> None:
        self.watcher = watcher
        self._given_up = threading.Event()
        self._lock = threading.Lock()
        self._lines: set[Line] = set()

    @property
    def is_given_up(self) -> bool:
        """Whether nobody wants its results any more."""
        return self._given_up.is_set()

    def give_up(self) -> None:
        """Have all of its threads end."""
        self._given_up.set()
        with self._lock:
            for line in self._lines:
                line.cut()

    def check(self) -> None:
        """Go on only if it was not given up."""
        if self._given_up.is_set():
            raise GivenUp

    def sleep(self, seconds: float) -> None:
        """Wait, unless it is given up meanwhile."""
        if self._given_up.wait(seconds):
            raise GivenUp

    def add(self, line: Line) -> None:
        """Take a line among those that are cut when it is given up."""
        with self._lock:
            self._lines.add(line)
            if self._given_up.is_set():
                line.cut()

    def remove(self, line: Line) -> None:
        """Leave a line alone: its connection may be another call's from now on."""
        with self._lock:
            self._lines.discard(line)


class Line:
    """The connection of one request, from its opening to the end of the answer.

    Parameters
    ----------
    call : Call
        Whom the request is for.
    """

    def __init__(self, call: Call) -> None:
        self.call = call
        self._socket: socket.socket | None = None

    def open(self, connected: socket.socket | None) -> None:
        """Say over which socket the request goes."""
        if connected is not None:
            self._socket = connected
            self.call.add(self)

    def cut(self) -> None:
        """Break off whatever waits for the socket."""
        below: Any = self._socket
        # TLS within TLS, through a proxy: what urllib3 gives then stands on a socket and is none.
        while below is not None and not isinstance(below, socket.socket):
            below = getattr(below, "socket", None)
        if below is not None:
            with suppress(OSError):
                # Not TLS's own shutdown, which would have the other thread read what comes as if it were plain.
                socket.socket.shutdown(below, socket.SHUT_RDWR)

    def close(self) -> None:
        """Forget the connection: the answer has ended."""
        self.call.remove(self)


class _Here(threading.local):
    call: Call | None = None
    line: Line | None = None


_here = _Here()


def current_call() -> Call | None:
    """Give the call that this thread works for; None where nobody has begun one."""
    return _here.call


def current_line() -> Line | None:
    """Give the line of the request that this thread is sending."""
    return _here.line


@contextmanager
def working_for(call: Call) -> Iterator[Call]:
    """Have this thread, and the workers that it starts, work for a call."""
    before, _here.call = _here.call, call
    try:
        yield call
    except KeyboardInterrupt:
        call.give_up()
        raise
    finally:
        _here.call = before


@contextmanager
def line_for(call: Call | None) -> Iterator[Line | None]:
    """Open the line of a request that this thread sends; it stays open with the answer unless sending fails."""
    line = None if call is None else Line(call)
    before, _here.line = _here.line, line
    try:
        yield line
    except BaseException:
        if line is not None:
            line.close()
        raise
    finally:
        _here.line = before


def sleep(seconds: float) -> None:
    """Wait as `time.sleep`, but no longer than the call that this thread works for."""
    call = _here.call
    if call is None:
        time.sleep(seconds)
    else:
        call.sleep(seconds)


def tell_bytes(count: int) -> None:
    """Tell whoever watches this thread's call that so many bytes were sent or received.

    Raises
    ------
    GivenUp
        If the call was given up meanwhile.
    """
    call = _here.call
    if call is not None:
        call.check()
        if call.watcher is not None:
            call.watcher.add_bytes(count)


class Workers(ThreadPoolExecutor):
    """Threads that work for the call of the thread that starts them, or for one of their own.

    At the end of the block they finish what they have begun. If the block is interrupted, they are given up.

    Parameters
    ----------
    width : int
        How many.
    name : str
        What for, in one word; shown in the threads' names.
    """

    def __init__(self, width: int, name: str) -> None:
        shared = current_call()
        self._is_own = shared is None
        self._call = shared or Call()
        # Some may wait in the queue behind those under way.
        self._begun: deque[Future[Any]] = deque(maxlen=2 * width)
        super().__init__(
            width,
            thread_name_prefix=f"dicomframe-{name}",
            initializer=_enter,
            initargs=(self._call,),
        )

    def note(self, begun: Future[Any]) -> None:
        """Remember what may be under way when the work is given up."""
        self._begun.append(begun)

    def result(self, work: Callable[[Item], Result], item: Item) -> Result:
        """Have a worker do one thing and wait for it."""
        return next(in_order(self, work, [item], 1))

    def tick(self) -> None:
        """Have the watcher show how far it is."""
        if self._call.watcher is not None:
            self._call.watcher.tick()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool | None:
        """Wait for the threads; if that is interrupted, or nobody wants their results any more, not for long."""
        interrupt = _interrupt_behind(error)
        # A generator that is closed by whoever read it needs no more pages, but its call may go on.
        if interrupt is not None or (kind is GeneratorExit and self._is_own):
            self._call.give_up()
        try:
            if not self._call.is_given_up:
                self.shutdown(cancel_futures=True)
        except KeyboardInterrupt:
            self._call.give_up()
            raise
        finally:
            if self._call.is_given_up:
                self.shutdown(wait=False, cancel_futures=True)
                wait([each for each in self._begun if not each.done()], timeout=_GRACE)
        if interrupt is not None and interrupt is not error:
            raise interrupt from None
        return None


def _interrupt_behind(error: BaseException | None) -> KeyboardInterrupt | None:
    """Give the interrupt that an error is, or that became one in Python's own locks.

    They are written in Python: Ctrl-C between two of their lines leaves a lock as it should not be, and the next line
    raises RuntimeError for it.
    """
    if isinstance(error, RuntimeError):
        error = error.__context__
    return error if isinstance(error, KeyboardInterrupt) else None


def _enter(call: Call) -> None:
    _here.call = call


def in_order(
    workers: ThreadPoolExecutor, work: Callable[[Item], Result], items: Iterable[Item], width: int
) -> Iterator[Result]:
    """Yield results in the order of the items, with no more than ``width`` of them under way or waiting.

    When the iterator is closed early, what has not begun is given up.
    """
    pending: deque[Future[Result]] = deque()
    source = iter(items)
    try:
        for item in source:
            future = workers.submit(work, item)
            pending.append(future)
            if isinstance(workers, Workers):
                workers.note(future)
            if len(pending) >= width:
                yield _result(workers, pending.popleft())
        while pending:
            yield _result(workers, pending.popleft())
    finally:
        for future in pending:
            future.cancel()


def _result(workers: ThreadPoolExecutor, future: Future[Result]) -> Result:
    if isinstance(workers, Workers):
        while not future.done() and wait([future], timeout=_TICK).not_done:
            workers.tick()
        workers.tick()
    return future.result()
