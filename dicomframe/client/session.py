"""One service's connections: retry, time limits, tokens and errors.

Three things go round requests' own ways. The query is put on the request line as it is written (see
`dicomframe.client.transport`). Answers are always streamed, so that a cut body is met in one place. And neither netrc
nor cookies are looked at.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import quote, urldefrag, urljoin, urlsplit

import requests
from requests.adapters import BaseAdapter, HTTPAdapter

from dicomframe._version import __version__
from dicomframe.client.answers import MOST_ERROR_BYTES, error_of, hint_of_route
from dicomframe.client.auth import TokenSource, token_source, what_is_wrong, what_to_send
from dicomframe.client.backoff import RETRIED_STATUS, Backoff, Pause
from dicomframe.client.broken import BROKEN, error_of_broken, is_cut
from dicomframe.client.incoming import Answer
from dicomframe.client.outgoing import OutgoingBody
from dicomframe.client.shielded import Secret, shielded
from dicomframe.client.transport import DirectAdapter, InProcessAdapter, check_limits, environment
from dicomframe.client.urls import ServiceAddress, encode_query
from dicomframe.client.workers import current_call, line_for, tell_bytes
from dicomframe.errors import (
    DecodeError,
    DicomFrameError,
    QueryError,
    ServiceError,
    TransportError,
    UnexpectedAnswerError,
)

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["InProcessAdapter", "Session"]

# Printable ASCII: what may stand on a request line. A server's links may hold more.
_SENT_AS_IT_IS = "".join(map(chr, range(0x21, 0x7F)))
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_MOST_REDIRECTS = 5
#: A range that nobody asked for, or, in older editions of the standard, those objects that could be had as asked for.
_PARTIAL = 206
#: What a gateway says when it knows nothing of what became of the request.
_GATEWAY_GAVE_UP = frozenset({502, 504})


class Session:
    """The way to one service, for many threads.

    Parameters
    ----------
    url : str
        ``https://host`` gets the version and the partition; a URL with a path of its own is taken whole.
    credential : optional
        See `dicomframe.client.auth.token_source`.
    api_version : {"v2", "v1"}
        The version of the API.
    partition : str, optional
        The data partition.
    timeout : (float, float)
        Seconds to wait for a connection, and for the next bytes of an answer.
    retries : int
        How often a request is sent again after 429, 502, 503, 504 or a cut connection.
    verify : bool or str
        Whether TLS certificates are checked, or the path of a CA bundle.
    max_workers : int
        How many connections are kept.
    adapter : requests.adapters.BaseAdapter, optional
        Another transport than HTTP, such as `InProcessAdapter`.
    backoff : Backoff, optional
        How long to wait between attempts; ``retries`` is its own then.

    Raises
    ------
    QueryError
        If an argument is malformed, or the credential's token would go over plain http to another machine.
    """

    def __init__(
        self,
        url: str,
        credential: Any = None,
        *,
        api_version: str = "v2",
        partition: str | None = None,
        timeout: tuple[float, float] = (5, 60),
        retries: int = 5,
        verify: bool | str = True,
        max_workers: int = 8,
        adapter: BaseAdapter | None = None,
        backoff: Backoff | None = None,
    ) -> None:
        # Whoever lists the variables of a traceback is not shown the token.
        credential = shielded(credential)
        check_limits(retries, max_workers, timeout)
        if isinstance(verify, str) and not Path(verify).exists():
            raise QueryError("verify= names a CA bundle that does not exist.")
        self.address = ServiceAddress.parse(url, api_version, partition)
        self.max_workers = max_workers
        self._tokens: TokenSource | None = token_source(credential, self.address)
        self._timeout = (float(timeout[0]), float(timeout[1]))
        self._backoff = backoff or Backoff(retries)
        self._pause = Pause()
        #: The table of what the last interrupted call had done; see `dicomframe.client.partial`.
        self.partial: pd.DataFrame | None = None
        self._adapter = adapter or DirectAdapter(pool_connections=1, pool_maxsize=max_workers)
        self._proxies, self._verify = environment(self.address, verify)

    @property
    def base(self) -> str:
        """The URL in front of ``/studies``."""
        return self.address.base

    def __repr__(self) -> str:
        return f"Session({getattr(self, 'address', None) and self.base!r})"

    @property
    def tokens(self) -> TokenSource | None:
        """The source of its tokens; None where none is sent."""
        return self._tokens

    @property
    def ca_bundle(self) -> str | None:
        """The file or folder of the authorities whose TLS certificates are trusted; None where none is checked."""
        if isinstance(self._verify, str):
            return self._verify
        return str(requests.utils.DEFAULT_CA_BUNDLE_PATH) if self._verify else None

    @property
    def is_direct(self) -> bool:
        """Whether requests go straight to the host: over HTTP and without a proxy."""
        scheme = urlsplit(self.base).scheme
        return isinstance(self._adapter, HTTPAdapter) and not {scheme, "all"} & self._proxies.keys()

    def without_retries(self) -> Self:
        """Give a session of the same connections and tokens that sends each request once."""
        other = copy.copy(self)
        other._backoff = Backoff(0)  # noqa: SLF001 - of this very class
        return other

    def close(self) -> None:
        """Close the connections that are kept; the session makes new ones if it is used again."""
        self._adapter.close()

    def local_route(self, url: str) -> str:
        """Give the route of a URL that the server sent; see `ServiceAddress.local_route`."""
        return self.address.local_route(url)

    def request(
        self,
        method: str,
        route: str,
        *,
        params: Sequence[tuple[str, str]] = (),
        headers: Mapping[str, str] | None = None,
        body: bytes | Iterable[bytes] | None = None,
        stream: bool = False,
        accept_status: Sequence[int] = (),
        private: Sequence[str] = (),
        base: str | None = None,
    ) -> Answer:
        """Send a request, again where that may help, and give its answer.

        Parameters
        ----------
        method, route : str
            The verb, and the path below the base; a query that stands in it is sent as it is.
        params : sequence of (str, str)
            Query parameters, not encoded.
        headers : mapping, optional
            Further headers.
        body : bytes or iterable of bytes, optional
            An iterable must have a length and be good for more than one iteration.
        stream : bool
            Whether the caller reads the body bit by bit. Otherwise it is read here, and a cut one is asked for again.
        accept_status : sequence of int
            Statuses from 400 on that are answers to the caller, not errors.
        private : sequence of str
            What must not stand in an error message: the values searched for.
        base : str, optional
            The URL in front of the route, for a resource that lies elsewhere on the same server.

        Raises
        ------
        ServiceError
            If the service says no; the subclass tells which no.
        TransportError, TruncatedBody
            If no whole answer came.
        QueryError
            If `base` is at another server.
        """
        if base is not None and not self.address.has(base):
            raise QueryError(f"Requests, and tokens, go only to {self.address.origin}.")
        call = _Call(base or self.address.base_of(route), method, route, params, headers or {}, body)
        answer = self._with_retries(call, () if stream else accept_status, whole=not stream)
        if answer.status == _PARTIAL:
            answer.close()
            raise UnexpectedAnswerError(
                answer.status,
                answer.route,
                message="the server sends only a part of what was asked for",
                hint="All of it was asked for. Ask for less at a time: single instances, or smaller pages of a search.",
            )
        if answer.status < 300 or answer.status in accept_status:
            if "text/html" not in answer.content_type.lower():
                return answer
            kind: type[ServiceError] | None = UnexpectedAnswerError if answer.status < 300 else None
        else:
            kind = UnexpectedAnswerError if answer.status < 400 else None
        raise self.error_of(answer, private, kind)

    def _with_retries(self, call: _Call, accept_status: Sequence[int], *, whole: bool) -> Answer:
        waits = sent = redirects = 0
        tell_bytes(0)
        renewed = acted = False
        url = call.url
        while True:
            self._pause.wait(self._backoff.first)
            token = self._tokens.current() if self._tokens else None
            result = self._attempt(call, url, token, accept_status, whole=whole)
            sent += 1
            if isinstance(result, Answer):
                result.attempts, result.acted_before = sent, acted
                if result.status == 401 and not renewed:
                    try:
                        renewed = self._has_other_token(token, result)
                    except BaseException:
                        result.close()
                        raise
                    if renewed:
                        result.close()
                        continue
                target = self._redirect(result, call, url)
                if target and redirects < _MOST_REDIRECTS:
                    redirects += 1
                    url = target
                    result.close()
                    continue
            wait = self._wait(result, waits)
            if wait is None:
                if isinstance(result, Answer):
                    return result
                raise call.failure() or error_of_broken(result, self.address)
            if isinstance(result, Answer):
                acted = acted or result.status in _GATEWAY_GAVE_UP
                result.close()
            else:
                acted = True
            if _asks_all_to_wait(result):
                self._pause.extend(wait)
            else:
                self._pause.sleep(wait)
            waits += 1

    def _has_other_token(self, refused: str | None, answer: Answer) -> bool:
        challenge = answer.headers.get("WWW-Authenticate", "")
        return bool(self._tokens and refused and self._tokens.after_refusal(refused, challenge))

    def _wait(self, result: Answer | Exception, waits: int) -> float | None:
        """Give the seconds until the request is worth another attempt, None if it is not."""
        if isinstance(result, Answer):
            if result.status not in RETRIED_STATUS:
                return None
            return self._backoff.wait(waits, result.headers.get("Retry-After"))
        return self._backoff.wait(waits) if is_cut(result) else None

    def _attempt(
        self, call: _Call, url: str, token: str | None, accept_status: Sequence[int], *, whole: bool
    ) -> Answer | Exception:
        """Send once; give the answer, or what broke."""
        user = current_call()
        try:
            with line_for(user) as line:
                response = self._adapter.send(
                    call.prepared(url, token),
                    stream=True,
                    timeout=self._timeout,
                    verify=self._verify,
                    proxies=self._proxies,
                )
            answer = Answer(response, call.route, self.address, line)
            # Of an error no more is read than its words, by `error_of`; but a short one leaves its connection usable.
            if whole and (answer.status < 400 or answer.status in accept_status or answer.is_short):
                _ = answer.content
        except (*BROKEN, TransportError, DecodeError) as error:
            if user is not None:
                # What broke was broken off here, if the call was given up.
                user.check()
            return error
        return answer

    def _redirect(self, answer: Answer, call: _Call, url: str) -> str | None:
        """Give where a redirect leads, if it stays here; the token and the query go nowhere else."""
        location = answer.headers.get("Location")
        if answer.status not in _REDIRECTS or not location:
            return None
        try:
            target = urldefrag(urljoin(url, location)).url
        except ValueError:
            return None
        if not self.address.has(target) or not (
            call.method in {"GET", "HEAD"} or answer.status in {307, 308}
        ):
            return None
        return target

    def error_of(
        self, answer: Answer, private: Sequence[str] = (), kind: type[ServiceError] | None = None
    ) -> ServiceError:
        """Read an answer's words, as far as they come, and make the error of it.

        Parameters
        ----------
        answer : Answer
            It is closed.
        private : sequence of str
            What must not stand in the message.
        kind : type, optional
            The error's class, where it is not the status's.
        """
        body = b""
        try:
            for chunk in answer.iter_bytes():
                body += chunk
                if len(body) >= MOST_ERROR_BYTES:
                    break
        except DicomFrameError:
            # The status says enough; the words are lost.
            body = b""
        finally:
            answer.close()
        token = self._tokens.latest if self._tokens else ""
        hint = hint_of_route(answer.status, answer.route)
        if answer.status < 300:
            hint = "Is the URL that of a DICOM service? A sign-in page or a proxy may have answered in its place."
        elif answer.status in _REDIRECTS:
            hint = "It redirects elsewhere, which is not followed; give the URL that it redirects to, if you trust it."
        elif answer.status == 401:
            hint = what_is_wrong(token) or what_to_send(token, self.address)
        return error_of(
            answer.status,
            answer.route,
            answer.content_type,
            body[:MOST_ERROR_BYTES],
            hint=hint,
            private=[*private, token],
            kind=kind,
            challenge=answer.headers.get("WWW-Authenticate", ""),
        )


def _asks_all_to_wait(result: Answer | Exception) -> bool:
    """Whether a server is throttling, rather than failing at this one request."""
    return isinstance(result, Answer) and (result.status == 429 or "Retry-After" in result.headers)


class _Call:
    """One request, in the form that each attempt makes anew."""

    def __init__(
        self,
        base: str,
        method: str,
        route: str,
        params: Sequence[tuple[str, str]],
        headers: Mapping[str, str],
        body: bytes | Iterable[bytes] | None,
    ) -> None:
        self._path, _, query = route.lstrip("/").partition("?")
        self._query = "&".join(filter(None, [query, encode_query(params)]))
        self._headers = {
            "User-Agent": f"dicomframe/{__version__}",
            "Accept-Encoding": "gzip",
            **headers,
        }
        self._body = body if body is None or isinstance(body, bytes) else OutgoingBody(body)
        self.method = method
        self.url = f"{base}/{self._path}{'?' * bool(self._query)}{self._query}"
        self.route = f"{method} {urlsplit(base).path}/{self._path}"

    def prepared(self, url: str, token: str | None) -> requests.PreparedRequest:
        headers = self._headers | ({"Authorization": Secret(f"Bearer {token}")} if token else {})
        prepared = requests.PreparedRequest()
        # requests would quote the query again: it is set behind its back.
        path, _, query = url.partition("?")
        prepared.prepare(self.method, path, headers, data=self._body)
        prepared.url = f"{prepared.url}?{quote(query, safe=_SENT_AS_IT_IS)}" if query else prepared.url
        return prepared

    def failure(self) -> OSError | None:
        """Why the body could not be read, where that is what broke the request."""
        return self._body.failure if isinstance(self._body, OutgoingBody) else None
