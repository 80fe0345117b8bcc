"""A request as the handlers see it, and the answers they give."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl

import orjson
from starlette.requests import ClientDisconnect

from dicomframe.service.attributes import ApiVersion
from dicomframe.service.blobs import CHUNK_BYTES, StoredBytes
from dicomframe.service.faults import Fault, bad_request, not_found
from dicomframe.service.shortway import SHORT_WAY, ShortWay

if TYPE_CHECKING:
    from starlette.types import Receive, Scope, Send

    from dicomframe.service.service import Service

#: A short answer is sent sooner than a task that watches for the client's going could be set up.
_PIECES_UNWATCHED = 4


@dataclass(frozen=True, slots=True)
class Call:
    """One request.

    Parameters
    ----------
    service : Service
        What it is made to.
    scope, receive
        Of ASGI.
    version : {"v1", "v2"}
        The API version in its path.
    partition : int
        The partition's key.
    uids : tuple of str
        The UIDs in its path, from the study down.
    names : tuple of str
        The other names in its path, in their order: a list of frames, a tag, an operation's identifier.
    root : str
        What URLs in the answer start with, version included: ``http://127.0.0.1:8080/v2``.
    prefix : str
        The partition's part of URLs, ``/partitions/{name}`` or empty.
    """

    service: Service
    scope: Scope
    receive: Receive
    version: ApiVersion
    partition: int
    uids: tuple[str, ...]
    names: tuple[str, ...]
    root: str
    prefix: str = ""

    @property
    def base(self) -> str:
        """What URLs of studies start with, version and partition included."""
        return self.root + self.prefix

    def prefers(self, preference: str) -> bool:
        """Tell whether the request states a preference (RFC 7240), such as ``respond-async``."""
        stated = (self.header(b"prefer") or "").lower().split(",")
        return any(each.partition(";")[0].strip() == preference for each in stated)

    def header(self, name: bytes) -> str | None:
        """Give a header's value; of repeated ones, all with commas between. None where there is none."""
        values = [value for key, value in self.scope["headers"] if key == name]
        return b", ".join(values).decode("latin_1") if values else None

    def query(self) -> list[tuple[str, str]]:
        """Give the query's keys and values in their order."""
        try:
            return parse_qsl(
                self.scope["query_string"].decode("latin_1"),
                keep_blank_values=True,
                errors="strict",
                max_num_fields=200,
            )
        except ValueError:
            raise bad_request(
                "The query string cannot be read: percent-encoded UTF-8, at most 200 parameters."
            ) from None

    def refuse_query(self) -> None:
        """Raise a 400 if the request has query parameters."""
        names = sorted({name for name, _ in self.query()})
        if names:
            raise bad_request(f"This route takes no query parameters; it was given {', '.join(names)[:200]}.")

    def refuse_if_strict(self) -> None:
        """Raise a 404 if the service is strict, on a route that the reference has and the real service has not."""
        if self.service.strict:
            raise not_found("There is no such route.")

    async def body(self) -> AsyncIterator[bytes]:
        """Yield the body as it comes in.

        Raises
        ------
        ClientDisconnect
            If the client goes before it is complete.
        """
        more = True
        while more:
            message = await self.receive()
            if message["type"] == "http.disconnect":
                raise ClientDisconnect
            more = message.get("more_body", False)
            chunk = message.get("body", b"")
            if chunk:
                yield chunk

    async def json(self, most_bytes: int = 1 << 20) -> Any:
        """Read the body as JSON.

        Raises
        ------
        Fault
            413 if it is longer than `most_bytes`, 400 if it is no JSON.
        """
        content = bytearray()
        async for chunk in self.body():
            content += chunk
            if len(content) > most_bytes:
                raise Fault(
                    HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
                    "RequestTooLarge",
                    f"The body is larger than {most_bytes} bytes.",
                )
        try:
            return orjson.loads(content)
        except orjson.JSONDecodeError:
            raise bad_request("The body is no JSON.", "InvalidJson") from None


#: What is sent piece by piece: bytes, and whole stored files, which are closed when they are sent.
Pieces = AsyncGenerator[bytes | StoredBytes]


@dataclass(frozen=True, slots=True)
class Answer:
    """A response.

    Parameters
    ----------
    status : int
        The HTTP status.
    body : bytes or async generator
        What is sent; `Pieces` are streamed.
    headers : mapping
        Content-Length comes by itself where the body is bytes. Where it is given, stored files among the pieces may go
        the short way.
    """

    status: HTTPStatus = HTTPStatus.OK
    body: bytes | AsyncIterator[bytes] | Pieces = b""
    headers: Mapping[str, str] | None = None

    async def send(
        self, scope: Scope, receive: Receive, send: Send, more_headers: Iterable[tuple[bytes, bytes]] = ()
    ) -> None:
        """Send it."""
        headers = [
            *more_headers,
            *(
                (name.lower().encode("latin_1"), value.encode("latin_1"))
                for name, value in (self.headers or {}).items()
            ),
        ]
        whole = self.body if isinstance(self.body, bytes) else None
        if whole is not None and self.status not in {HTTPStatus.NO_CONTENT, HTTPStatus.NOT_MODIFIED}:
            headers.append((b"content-length", b"%d" % len(whole)))
        start = {"type": "http.response.start", "status": int(self.status), "headers": headers}
        if isinstance(self.body, bytes):
            await send(start)
            await send({"type": "http.response.body", "body": whole})
            return
        way: ShortWay | None = None
        if "Content-Length" in (self.headers or {}):
            way = scope.get("extensions", {}).get(SHORT_WAY)
        if way is not None:
            way.hold(back=True)
        try:
            await send(start)
            await _Streaming(scope, receive, send, way).run(self.body)
        finally:
            if way is not None:
                way.hold(back=False)


class _Streaming:
    """Sends piece by piece, giving other requests their turn; stops when the client has gone."""

    def __init__(self, scope: Scope, receive: Receive, send: Send, way: ShortWay | None) -> None:
        self._scope = scope
        self._receive = receive
        self._send = send
        self._way = way
        self._pieces = 0
        self._gone: asyncio.Task[None] | None = None

    async def run(self, body: AsyncIterator[bytes] | Pieces) -> None:
        """Send a body to its end."""
        try:
            async for piece in body:
                if isinstance(piece, bytes):
                    await self._send_bytes(piece)
                else:
                    with piece:
                        await self._send_file(piece)
                if self._has_gone:
                    return
        finally:
            if self._gone is not None:
                self._gone.cancel()
        await self._send({"type": "http.response.body"})

    async def _send_file(self, file: StoredBytes) -> None:
        place = 0
        while place < file.size and not self._has_gone:
            count = min(file.size - place, CHUNK_BYTES)
            sent = 0 if self._way is None else self._way.send(self._scope, file.fileno(), place, count)
            if sent:
                await self._give_way()
            else:
                chunk = file.read_at(place, count)
                if not chunk:
                    return  # it has become shorter; the server tells the client, whose Content-Length is not met
                await self._send_bytes(chunk)
                sent = len(chunk)
            place += sent

    async def _send_bytes(self, chunk: bytes) -> None:
        if chunk:
            await self._send({"type": "http.response.body", "body": chunk, "more_body": True})
            await self._give_way()

    @property
    def _has_gone(self) -> bool:
        return self._gone is not None and self._gone.done()

    async def _give_way(self) -> None:
        self._pieces += 1
        if self._pieces < _PIECES_UNWATCHED:
            return
        if self._gone is None:
            self._gone = asyncio.create_task(_disconnect(self._receive))
        await asyncio.sleep(0)


async def _disconnect(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


Handler = Callable[[Call], Awaitable[Answer]]
