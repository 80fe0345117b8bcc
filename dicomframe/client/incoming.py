"""A service's answer, of which the body may still be coming in."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import closing
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

import orjson

from dicomframe.client.answers import MOST_ERROR_BYTES
from dicomframe.client.broken import BROKEN, error_of_broken
from dicomframe.client.chunked import Response
from dicomframe.client.unpacking import encodings_of, unpacked
from dicomframe.client.urls import ServiceAddress
from dicomframe.client.workers import Line, tell_bytes
from dicomframe.errors import DecodeError

if TYPE_CHECKING:
    from dicomframe.client.transport import HttpResponse

#: Bytes of an answer read at a time. More of them cost less to write to files, and two such pieces are in memory.
CHUNK_BYTES = 1024 * 1024
#: A compressed answer may unpack to so many bytes in any case, and to more only if so few times what came: a few KB can
#: be made to unpack to GBs, while metadata of thousands of like instances were seen to shrink to a 145th.
ALWAYS_UNPACKED = 64 * 1024 * 1024
MOST_GROWTH = 200


class Answer:
    """A service's answer, of which the body may still be coming in; also a context manager.

    Attributes
    ----------
    status : int
        The HTTP status.
    headers : mapping of str to str
        By name in any letter case.
    route : str
        Verb and path of the request.
    attempts : int
        How often the request was sent.
    acted_before : bool
        Whether an attempt before this one may have had its effect: its connection was cut, or a gateway gave up on it.
        A refusal, a redirect or a throttled attempt has had none.
    """

    def __init__(
        self, response: HttpResponse, route: str, address: ServiceAddress, line: Line | None = None
    ) -> None:
        self._response = response
        self._address = address
        self._line = line
        self._content: bytes | None = None
        self.status: int = response.status_code
        self.headers: Mapping[str, str] = response.headers
        self.route = route
        self.attempts = 1
        self.acted_before = False

    @property
    def content_type(self) -> str:
        """The Content-Type as the server wrote it, empty where there is none."""
        return self.headers.get("Content-Type", "")

    @property
    def is_short(self) -> bool:
        """Whether the body is known to be no longer than a server's words."""
        length = self.headers.get("Content-Length", "")
        return length.isdecimal() and int(length) <= MOST_ERROR_BYTES and not self._is_encoded

    @property
    def content(self) -> bytes:
        """The whole body."""
        if self._content is None:
            self._content = b"".join(self.iter_bytes())
        return self._content

    def iter_bytes(self, chunk_bytes: int = CHUNK_BYTES) -> Iterator[bytes]:
        """Yield the body as it comes in, and give the connection back at its end.

        Raises
        ------
        TruncatedBody
            If it ends before the length that was announced, or before what is packed in it does.
        DecodeError
            If it is packed with what is not unpacked here, damaged, or unpacks to far more than came.
        ConnectionFailed, TimedOut
            If the connection is cut, or nothing comes for longer than the time limit.
        """
        if self._content is not None:
            yield self._content
            return
        raw = self._response.raw
        try:
            encodings = encodings_of(self.headers)
        except DecodeError:
            # Nobody reads it, and with its end the connection would not come back.
            self.close()
            raise
        # read1 gives what has come; read would wait for a full chunk, and lose what came of the last one.
        with closing(self._read(lambda: raw.read1(chunk_bytes, decode_content=False))) as pieces:
            yield from self._unpacked(pieces, encodings)

    def _unpacked(self, pieces: Iterator[bytes], encodings: Sequence[str]) -> Iterator[bytes]:
        """Unpack what is packed; refuse what is made to fill the memory."""
        if not encodings:
            yield from pieces
            return
        came = size = 0

        def counted() -> Iterator[bytes]:
            nonlocal came
            for piece in pieces:
                came += len(piece)
                yield piece

        for content in unpacked(counted(), encodings):
            size += len(content)
            if size > ALWAYS_UNPACKED and size > MOST_GROWTH * came:
                raise DecodeError(
                    f"The answer unpacks to more than {MOST_GROWTH} times its size, as no DICOM data do; it was given"
                    " up."
                )
            yield content

    def fill(self, room: Callable[[], memoryview]) -> Generator[int]:
        """Put the body as it comes in where the caller has room, and yield how many bytes; else as `iter_bytes`.

        Parameters
        ----------
        room : callable
            Gives the place for the next bytes.
        """
        raw = self._response.raw
        response = getattr(raw, "_original_response", None)
        if self._content is not None or self._is_encoded or not isinstance(response, Response):
            for piece in self.iter_bytes():
                left = memoryview(piece)
                while left:
                    place = room()
                    size = min(len(place), len(left))
                    place[:size] = left[:size]
                    left = left[size:]
                    yield size
            return

        def read() -> bytes:
            response.room = place = room()
            read1: bytes = raw.read1(len(place), decode_content=False)
            return read1

        for piece in self._read(read):
            yield len(piece)

    @property
    def _is_encoded(self) -> bool:
        is_usual = self.headers.get("Transfer-Encoding", "").lower() in {"", "chunked"}
        return "Content-Encoding" in self.headers or not is_usual

    def _read(self, read: Callable[[], bytes]) -> Generator[bytes]:
        broken: Exception | None = None
        try:
            while chunk := read():
                tell_bytes(len(chunk))
                yield chunk
        except BROKEN as error:
            broken = error
        finally:
            self.close()
        # The end of what was cut here looks like the end of the body.
        tell_bytes(0)
        # Raised out here: the library's exception, with all it knows of the request, is not chained.
        if broken is not None:
            raise error_of_broken(broken, self._address)

    def json(self) -> Any:
        """Read the body as JSON; an empty one is None.

        Raises
        ------
        DecodeError
            If it is no JSON.
        """
        if not self.content.strip():
            return None
        try:
            return orjson.loads(self.content)
        except orjson.JSONDecodeError as error:
            problem = (
                f"The answer to {self.route.partition(' ')[0]} is no JSON: {error.msg} at byte {error.pos}."
            )
        raise DecodeError(problem)

    def close(self) -> None:
        """Give up what has not been read."""
        if self._line is not None:
            self._line.close()
        self._response.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"Answer({self.status}, {self.route.partition(' ')[0]})"
