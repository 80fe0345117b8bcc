"""The ASGI application called as a function: no socket, the same bytes.

The application runs on an event loop of its own in one thread, which ends when nobody holds the function or an answer;
the caller's thread hands it the request's body as it asks for it and takes the answer's body as it comes.
"""

from __future__ import annotations

import asyncio
import queue
import threading
import weakref
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import unquote

from dicomframe.errors import ConnectionFailed

if TYPE_CHECKING:
    from starlette.types import ASGIApp

Handled = tuple[int, dict[str, str], Iterator[bytes]]
Handle = Callable[[str, str, Mapping[str, str], Iterable[bytes]], Handled]

#: So many pieces of an answer wait for the caller before the application waits, too.
_PIECES_IN_FLIGHT = 16


def handler(app: ASGIApp, server: tuple[str, int] = ("127.0.0.1", 80)) -> Handle:
    """Give a function that answers requests by an ASGI application.

    Parameters
    ----------
    app : ASGI application
        Such as `Service.app`.
    server : (str, int)
        Host and port that the application believes to listen on.

    Returns
    -------
    callable
        ``handle(method, path_and_query, headers, body) -> (status, headers, body)``, for any thread. The bodies
        are iterators of bytes; the answer's must be read to its end or closed.

    Examples
    --------
    >>> from dicomframe.service.service import Service
    >>> with Service.open() as service:
    ...     status, _, body = handler(service.app)("GET", "/v2/studies", {"Accept": "*/*"}, [])
    >>> status
    204
    """
    thread = _LoopThread()

    def handle(
        method: str, path_and_query: str, headers: Mapping[str, str], body: Iterable[bytes]
    ) -> Handled:
        path, _, query = path_and_query.partition("?")
        scope = {
            "type": "http",
            "asgi": {"version": "3.0", "spec_version": "2.4"},
            "http_version": "1.1",
            "scheme": "http",
            "method": method.upper(),
            "path": unquote(path),
            "raw_path": path.encode(),
            "query_string": query.encode(),
            "root_path": "",
            "headers": [
                (name.lower().encode("latin_1"), value.encode("latin_1")) for name, value in headers.items()
            ],
            "server": server,
            "client": ("127.0.0.1", 0),
        }
        return _Exchange(app, thread, scope, body).begin()

    return handle


class _LoopThread:
    """An event loop in a thread of its own, which ends when nobody holds this: both cost the system open files."""

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        threading.Thread(target=_run, args=(self.loop,), name="dicomframe-inprocess", daemon=True).start()
        weakref.finalize(self, self.loop.call_soon_threadsafe, self.loop.stop).atexit = False


def _run(loop: asyncio.AbstractEventLoop) -> None:
    with asyncio.Runner(loop_factory=lambda: loop) as runner:
        runner.get_loop().run_forever()


class _Exchange(Iterator[bytes]):
    """One request and its answer, between the caller's thread and the loop's; iterating it reads the answer."""

    def __init__(
        self, app: ASGIApp, thread: _LoopThread, scope: dict[str, Any], body: Iterable[bytes]
    ) -> None:
        self._app = app
        self._thread = thread  # held until the answer has ended
        self._loop = thread.loop
        self._scope = scope
        self._body = iter(body)
        self._more = True
        self._events: queue.SimpleQueue[dict[str, Any]] = queue.SimpleQueue()
        # Of the loop's thread alone:
        self._given: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self._body_ended = False
        self._room = asyncio.Semaphore(_PIECES_IN_FLIGHT)

    def begin(self) -> Handled:
        """Run the application until its answer begins."""
        self._running = asyncio.run_coroutine_threadsafe(self._run(), self._loop)
        event = self._next_event()
        if event["type"] != "http.response.start":
            failure = ConnectionFailed("The service ended without an answer.")
            failure.may_have_arrived = True  # the application had the request, and may have done what it asks
            raise failure from event.get("error")
        headers = {name.decode("latin_1"): value.decode("latin_1") for name, value in event["headers"]}
        return event["status"], headers, self

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> bytes:
        while self._more:
            event = self._next_event()
            if event["type"] != "http.response.body":
                self._more = False
                raise ConnectionFailed("The answer was cut off.") from event.get("error")
            self._loop.call_soon_threadsafe(self._room.release)
            self._more = event.get("more_body", False)
            if event.get("body"):
                return bytes(event["body"])
        raise StopIteration

    def close(self) -> None:
        """Let the application go, whether its answer was read to the end or not."""
        if self._more:
            self._more = False
            self._running.cancel()

    def _next_event(self) -> dict[str, Any]:
        """Wait for the application's next word, serving its wish for the request's body meanwhile."""
        while (event := self._events.get())["type"] == "wants_body":
            try:
                chunk = next(self._body, None)
            except BaseException:
                self._give({"type": "http.disconnect"})
                raise
            self._give({"type": "http.request", "body": chunk or b"", "more_body": chunk is not None})
        return event

    def _give(self, message: dict[str, Any]) -> None:
        self._loop.call_soon_threadsafe(self._given.put_nowait, message)

    async def _run(self) -> None:
        error: BaseException | None = None
        try:
            await self._app(self._scope, self._receive, self._send)
        except Exception as raised:  # noqa: BLE001 - it is handed to the caller's thread
            error = raised
        finally:
            self._events.put({"type": "ended", "error": error})

    async def _receive(self) -> dict[str, Any]:
        if self._body_ended:
            await asyncio.get_running_loop().create_future()  # the caller does not go while the answer comes
        self._events.put({"type": "wants_body"})
        message = await self._given.get()
        self._body_ended = not message.get("more_body", False)
        return message

    async def _send(self, message: Any) -> None:
        if message["type"] == "http.response.body":
            await self._room.acquire()
        self._events.put(message)
