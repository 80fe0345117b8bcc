"""Transports: HTTP whose targets go out as they are written, or a function in this process instead of a server.

The target is put on the request line behind the back of urllib3, which would encode ``^`` again (Orthanc does not
decode it) and logs targets at debug level (paths hold UIDs, queries hold names of patients).
"""

from __future__ import annotations

import functools
import os
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any
from urllib.parse import urljoin

import requests
from requests.adapters import BaseAdapter, HTTPAdapter
from requests.structures import CaseInsensitiveDict

from dicomframe.client.chunked import Response
from dicomframe.client.outgoing import OutgoingBody, send_file
from dicomframe.client.urls import ServiceAddress
from dicomframe.client.workers import Line, current_line
from dicomframe.dicom.multipartwriter import FilePiece
from dicomframe.errors import QueryError

#: What `dicomframe.client.incoming.Answer` reads from.
HttpResponse = requests.Response

_TARGET_HEADER = "X-Dicomframe-Target"
_FORKED_LOCK = threading.Lock()


def environment(address: ServiceAddress, verify: bool | str) -> tuple[dict[str, str], bool | str]:
    """Read proxies and CA bundle from the environment; nothing stands between this machine and itself."""
    if address.is_loopback:
        return {}, verify
    merged = requests.Session().merge_environment_settings(address.base, {}, None, None, None)
    proxies = {scheme: proxy for scheme, proxy in merged["proxies"].items() if proxy}
    return proxies, merged["verify"] if verify is True and merged["verify"] is not None else verify


class DirectAdapter(HTTPAdapter):
    """requests' pooled HTTP with targets that go out as they are and stay out of urllib3's sight and log."""

    def init_poolmanager(self, connections: int, maxsize: int, block: bool = False, **options: Any) -> None:
        """Make the pools, of connections that take the target from the private header."""
        super().init_poolmanager(connections, maxsize, block, **options)
        self.poolmanager.pool_classes_by_scheme = _direct_pools(self.poolmanager)
        self._options = {"connections": connections, "maxsize": maxsize, "block": block, **options}
        self._process = os.getpid()

    def proxy_manager_for(self, proxy: str, **options: Any) -> Any:
        """Give the pools behind a proxy, likewise."""
        manager = super().proxy_manager_for(proxy, **options)
        manager.pool_classes_by_scheme = _direct_pools(manager)
        return manager

    def send(self, request: requests.PreparedRequest, *args: Any, **options: Any) -> requests.Response:
        """Send over a connection of this process.

        One that was forked off shares the sockets of the one before it, and would read the answers to its requests.
        """
        if self._process != os.getpid():
            with _FORKED_LOCK:
                if self._process != os.getpid():
                    self.proxy_manager = {}
                    self.init_poolmanager(**self._options)
        return super().send(request, *args, **options)

    def request_url(self, request: requests.PreparedRequest, proxies: Any) -> str:
        """Give what urllib3 is to see of the target: the root, of the server if a proxy must know which."""
        target = super().request_url(request, proxies)
        return "/" if target.startswith("/") else urljoin(target, "/")

    def add_headers(self, request: requests.PreparedRequest, **options: Any) -> None:
        """Put the target into the private header."""
        request.headers[_TARGET_HEADER] = super().request_url(request, options.get("proxies"))


def _direct_pools(manager: Any) -> dict[str, type]:
    return {scheme: _direct_pool(pool) for scheme, pool in manager.pool_classes_by_scheme.items()}


@functools.cache
def _direct_pool(pool: type) -> type:
    """Make a connection pool class whose connections take the target from the private header.

    They tell the line of the request which socket they are, so that an interrupted call does not wait for it; back in
    the pool, they are no longer that call's. Their answers are read by `dicomframe.client.chunked.Response`.
    """

    class DirectConnection(pool.ConnectionCls):  # type: ignore[misc, name-defined]
        response_class = Response
        line: Line | None = None

        def connect(self) -> None:
            super().connect()
            self._tell()

        def _tell(self) -> None:
            self.line = current_line()
            if self.line is not None:
                self.line.open(self.sock)

        def request(
            self, method: str, url: str, body: Any = None, headers: Any = None, **options: Any
        ) -> None:
            sent = dict(headers or {})
            self._tell()
            if isinstance(body, OutgoingBody):
                body = body.pieces()
            super().request(method, sent.pop(_TARGET_HEADER, url), body, sent, **options)

        def send(self, data: Any) -> None:
            if isinstance(data, FilePiece):
                send_file(self.sock, data)
            else:
                super().send(data)

    class DirectPool(pool):  # type: ignore[misc]
        ConnectionCls = DirectConnection

        def _put_conn(self, connection: Any) -> None:
            # That may be before whoever reads the answer has had its last bytes.
            if connection is not None and connection.line is not None:
                connection.line.close()
                connection.line = None
            super()._put_conn(connection)

    return DirectPool


Handler = Callable[
    [str, str, Mapping[str, str], Iterable[bytes]], tuple[int, Mapping[str, str], Iterator[bytes]]
]


class InProcessAdapter(BaseAdapter):
    """A transport that calls a function instead of a server: the same client, without sockets.

    Parameters
    ----------
    handle : callable
        ``handle(method, path_and_query, headers, body)`` gives status, headers and an iterator of the body's bytes.
    """

    def __init__(self, handle: Handler) -> None:
        super().__init__()
        self._handle = handle

    def send(self, request: requests.PreparedRequest, *_: Any, **__: Any) -> requests.Response:
        """Call the function and wrap what it gives."""
        body: Any = request.body
        chunks: Iterable[bytes] = () if body is None else [body] if isinstance(body, bytes) else body
        target = "/" + (request.url or "").split("/", 3)[3]
        status, headers, content = self._handle(
            request.method or "GET", target, dict(request.headers), chunks
        )
        response = requests.Response()
        response.status_code = status
        response.headers = CaseInsensitiveDict(headers)
        response.url = request.url or ""
        response.request = request
        response.raw = _RawChunks(content)
        return response

    def close(self) -> None:
        """Nothing is kept open."""


class _RawChunks:
    """As much of urllib3's response as is read here."""

    def __init__(self, chunks: Iterator[bytes]) -> None:
        self._chunks = chunks

    def read1(self, *_: Any, **__: Any) -> bytes:
        """Give the next bytes that are not empty."""
        return next(filter(None, self._chunks), b"")

    def close(self) -> None:
        """Give up what has not been read."""
        close = getattr(self._chunks, "close", None)
        if close is not None:
            close()

    def release_conn(self) -> None:
        """There is no connection to give back."""


def check_limits(retries: Any, max_workers: Any, timeout: Any) -> None:
    """Refuse limits of a session that are none.

    Examples
    --------
    >>> check_limits(5, 8, (5, 60))
    """
    for name, value, least in (("retries", retries, 0), ("max_workers", max_workers, 1)):
        if not isinstance(value, int) or isinstance(value, bool) or value < least:
            raise QueryError(f"{name} must be a whole number, at least {least}.")
    is_pair = isinstance(timeout, tuple | list) and len(timeout) == 2
    if not is_pair or not all(isinstance(each, int | float) and each > 0 for each in timeout):
        raise QueryError(
            "timeout must be two numbers of seconds above 0, to wait for a connection and for the next bytes of an "
            "answer, such as (5, 60)."
        )
