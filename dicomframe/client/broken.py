"""What broke a request, as one of our errors. The one place that knows the exceptions of urllib3.

requests and urllib3 wrap exceptions round one another, and their messages hold the request's URL; ours never do.
"""

from __future__ import annotations

import http.client
from collections.abc import Iterator

from urllib3 import exceptions as faults

from dicomframe.client.urls import ServiceAddress
from dicomframe.errors import ConnectionFailed, DicomFrameError, TimedOut, TruncatedBody

#: What is raised when a request or a body breaks off. The exceptions of `requests` are OSErrors.
BROKEN = (faults.HTTPError, OSError)

#: Which error the first matching cause becomes, and its message; the order matters, because causes come wrapped.
_ERRORS: tuple[tuple[tuple[type[BaseException], ...], type[DicomFrameError], str], ...] = (
    (
        (faults.ProxyError,),
        ConnectionFailed,
        "The proxy on the way to {host} refused; check HTTPS_PROXY and NO_PROXY.",
    ),
    (
        (faults.NameResolutionError,),
        ConnectionFailed,
        "The host name {host} is unknown; check the URL.",
    ),
    (
        (faults.NewConnectionError,),
        ConnectionFailed,
        "Nobody answers at {origin}; check the URL, and whether the service runs.",
    ),
    (
        (faults.SSLError,),
        ConnectionFailed,
        "No trusted TLS connection to {host} could be made; verify= takes the path of the CA bundle to trust.",
    ),
    (
        (faults.ConnectTimeoutError,),
        TimedOut,
        "{host} did not take a connection in time; check the URL and the network.",
    ),
    (
        (faults.TimeoutError, TimeoutError),
        TimedOut,
        "{host} went silent for longer than the time limit; a larger timeout= may help.",
    ),
    (
        (ConnectionError,),
        ConnectionFailed,
        "The connection to {host} was cut.",
    ),
    (
        (http.client.IncompleteRead,),
        TruncatedBody,
        "The answer was cut off: it ended before its announced length.",
    ),
    (
        (http.client.HTTPException,),
        ConnectionFailed,
        "{origin} does not speak HTTP; check the URL, its port, and http against https.",
    ),
    (
        # "Response ended prematurely", of a chunked body; while sending, something named above is always inside.
        (faults.ProtocolError,),
        TruncatedBody,
        "The answer was cut off: it ended before its last chunk.",
    ),
)

#: How OpenSSL names an answer that is no TLS at all.
_NO_TLS = "WRONG_VERSION_NUMBER"

#: With these, no connection stood, and nothing of the request arrived.
_NEVER_STOOD = (
    faults.ConnectTimeoutError,
    faults.NameResolutionError,
    faults.NewConnectionError,
    faults.ProxyError,
    faults.SSLError,
)


def error_of_broken(error: BaseException, address: ServiceAddress) -> DicomFrameError:
    """Give our error for what a request or a body broke with."""
    if isinstance(error, DicomFrameError):
        return error
    causes = list(_causes(error))
    if any(isinstance(cause, faults.SSLError) and _NO_TLS in str(cause) for cause in causes):
        return ConnectionFailed(
            f"{address.host} does not speak TLS at that port; a server of plain http has a URL that starts with http://."
        )
    for kinds, ours, message in _ERRORS:
        if any(isinstance(cause, kinds) for cause in causes):
            failure = ours(message.format(host=address.host, origin=address.origin))
            failure.may_have_arrived = not any(isinstance(cause, _NEVER_STOOD) for cause in causes)
            return failure
    return ConnectionFailed(f"The request to {address.host} failed ({type(error).__name__}).")


def is_cut(error: BaseException) -> bool:
    """Whether a connection that stood was lost, so that the same request may succeed over another."""
    if isinstance(error, DicomFrameError):
        return isinstance(error, TruncatedBody | ConnectionFailed)
    causes = list(_causes(error))
    if any(isinstance(cause, _NEVER_STOOD) for cause in causes):
        return False
    return any(isinstance(cause, ConnectionError | http.client.IncompleteRead) for cause in causes)


def _causes(error: BaseException) -> Iterator[BaseException]:
    """Walk through the wrapping exceptions from the outside in."""
    found: BaseException | None = error
    while found is not None:
        yield found
        held = (getattr(found, "reason", None), *found.args)
        found = next((each for each in held if isinstance(each, BaseException)), None)
