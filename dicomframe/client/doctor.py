"""What stands between a client and its service, step by step: address, name, connection, TLS, token, permission.

Only reads, and each request is sent once. No check raises: what fails is a row that says what to do. Neither the token
nor anything of a patient is in the table, so that it can be sent to whoever helps.
"""

from __future__ import annotations

import re
import socket
import ssl
import textwrap
import time
from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal
from urllib.parse import urlsplit

from dicomframe.client.auth import SCOPE, audiences_of, claims, is_for_the_service, moment
from dicomframe.client.incoming import Answer
from dicomframe.client.outcomes import outcome_table
from dicomframe.client.pages import decode_rows
from dicomframe.client.session import Session
from dicomframe.errors import (
    DecodeError,
    DicomFrameError,
    NotBuiltError,
    NotFoundError,
    ServiceError,
    printable,
)

if TYPE_CHECKING:
    import pandas as pd

Status = Literal["ok", "warning", "failed", "skipped"]

COLUMNS = ("check", "status", "found", "advice")

_SECONDS_TO_CONNECT = 5.0
_DAY = 86_400
_WIDTH = 100
_MOST_WORDS = 400
# A certificate or token that ends so soon is worth a word.
_SOON_DAYS = 14
_SOON_MINUTES = 5
# The service refuses tokens that seem to be from the future, with five minutes of grace.
_MOST_SKEW = 60.0
_DICOM_HOST = ".dicom.azurehealthcareapis.com"
_AZURE_PATH = re.compile(r"/v[12](/partitions/[^/]+)?", re.IGNORECASE)
_VERSIONS = "api-supported-versions"
_NO_SERVICE = "Is the URL that of a DICOM service? Something else answers there."


@dataclass(frozen=True, slots=True)
class Finding:
    """What one check found.

    Parameters
    ----------
    check : str
        What was looked at.
    status : {"ok", "warning", "failed", "skipped"}
        How it is.
    found : str
        What was found.
    advice : str
        What to do; empty where nothing is.
    """

    check: str
    status: Status
    found: str
    advice: str = ""


def doctor(session: Session) -> pd.DataFrame:
    """Examine the way to a service; `dicomframe.client.client.Client.doctor` documents it."""
    findings = list(examine(session))
    rows = [{name: printable(getattr(finding, name)) for name in COLUMNS} for finding in findings]
    return outcome_table(rows, COLUMNS, session.base)


def as_text(findings: pd.DataFrame) -> str:
    """Write the table for a terminal: a line for each check, and one below it with what to do.

    Examples
    --------
    >>> import pandas as pd
    >>> row = {"check": "token", "status": "failed", "found": "none", "advice": "az login"}
    >>> print(as_text(pd.DataFrame([row])))
    failed   token        none
                          -> az login
    """
    lines = []
    for row in findings.fillna("").to_dict("records"):
        head = f"{row['status']:<8} {row['check']:<12} "
        lines.append(
            textwrap.fill(row["found"], _WIDTH, initial_indent=head, subsequent_indent=" " * len(head))
        )
        if row["advice"]:
            arrow = " " * len(head) + "-> "
            lines.append(
                textwrap.fill(row["advice"], _WIDTH, initial_indent=arrow, subsequent_indent=" " * len(arrow))
            )
    return "\n".join(lines)


def examine(session: Session) -> Iterator[Finding]:
    """Make all checks, in the order in which a request meets what they look at."""
    session = session.without_retries()
    yield _url(session)
    way = list(_way(session))
    yield from way
    is_open = all(finding.status != "failed" for finding in way)
    token, finding = _token(session)
    yield finding
    yield from _claims(session, token)
    if not is_open or finding.status == "failed":
        why = "there is no connection" if not is_open else "there is no token"
        for check in ("reading", "versions", "clock", "change feed", "query tags"):
            yield Finding(check, "skipped", why)
        return
    answer, finding = _reading(session)
    yield finding
    yield _versions(session, answer)
    yield _clock(answer)
    yield _route(session, "change feed", "changefeed/latest")
    yield _route(session, "query tags", "extendedquerytags")


# -- the way ---------------------------------------------------------------------------------------------------------


def _url(session: Session) -> Finding:
    address = session.address
    path = urlsplit(address.base).path
    if not address.origin.startswith("https://") and not address.is_loopback:
        return Finding(
            "url", "warning", address.base, "Use https://: over http everyone on the way reads along."
        )
    if address.is_azure and not address.host.endswith(_DICOM_HOST):
        return Finding(
            "url",
            "failed",
            f"{address.base} is another Azure health service's",
            f"A DICOM service's URL is https://<workspace>-<service>{_DICOM_HOST} (Azure portal, 'Service URL').",
        )
    if address.is_azure and not _AZURE_PATH.fullmatch(path):
        return Finding(
            "url", "warning", address.base, "Leave the path out: the version is added to the host's name."
        )
    return Finding("url", "ok", address.base)


def _way(session: Session) -> Iterator[Finding]:
    """Look at name, connection and TLS; each is skipped where the one before it failed."""
    if not session.is_direct:
        for check in ("name", "connection", "TLS"):
            yield Finding(check, "skipped", "requests go through a proxy, or stay within this process")
        return
    host = session.address.host
    parts = urlsplit(session.base)
    port = parts.port or {"http": 80, "https": 443}[parts.scheme]
    try:
        found = sorted({entry[4][0] for entry in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)})
    except (OSError, UnicodeError):
        yield Finding(
            "name",
            "failed",
            f"the host name {host} is unknown",
            "Check the URL's spelling, the network and, for a private endpoint, its DNS zone.",
        )
        yield from (Finding(check, "skipped", "the host is unknown") for check in ("connection", "TLS"))
        return
    named = f"{host} is {', '.join(map(str, found))}"
    yield (
        Finding("name", "skipped", "the URL holds an address")
        if found == [host]
        else Finding("name", "ok", named)
    )
    try:
        connection = socket.create_connection((host, port), _SECONDS_TO_CONNECT)
    except OSError as error:
        reason = error.strerror or str(error) or type(error).__name__
        yield Finding(
            "connection",
            "failed",
            f"no connection to port {port}: {reason}",
            "See whether the service runs, and whether a firewall stands between.",
        )
        yield Finding("TLS", "skipped", "there is no connection")
        return
    with closing(connection):
        yield Finding("connection", "ok", f"port {port} answers")
        yield (
            _tls(session, connection, host)
            if parts.scheme == "https"
            else Finding("TLS", "skipped", "the URL is http")
        )


def _tls(session: Session, connection: socket.socket, host: str) -> Finding:
    bundle = session.ca_bundle
    if bundle is None:
        return Finding("TLS", "warning", "certificates are not checked", "Leave verify=False out.")
    advice = (
        "verify= takes the path of the CA bundle to trust; behind a TLS proxy that is your organisation's."
    )
    try:
        folder = Path(bundle).is_dir()
        context = ssl.create_default_context(
            cafile=None if folder else bundle, capath=bundle if folder else None
        )
        with context.wrap_socket(connection, server_hostname=host) as secured:
            version, certificate = secured.version(), secured.getpeercert() or {}
    except ssl.SSLCertVerificationError as error:
        return Finding("TLS", "failed", f"the certificate is not trusted: {error.verify_message}", advice)
    except OSError as error:
        reason = getattr(error, "reason", "") or error.strerror or type(error).__name__
        return Finding(
            "TLS", "failed", f"no TLS connection: {reason}", "Check the URL: is it http after all?"
        )
    ends = str(certificate.get("notAfter", ""))
    days = int((ssl.cert_time_to_seconds(ends) - time.time()) // _DAY) if ends else _SOON_DAYS
    found = f"{version}, the certificate is good for {days} days"
    if days < _SOON_DAYS:
        return Finding("TLS", "warning", found, "Its owner must renew it.")
    return Finding("TLS", "ok", found)


# -- the token -------------------------------------------------------------------------------------------------------


def _token(session: Session) -> tuple[str | None, Finding]:
    if session.tokens is None:
        return None, Finding("token", "skipped", "no credential is configured, so none is sent")
    try:
        token = session.tokens.current()
    except DicomFrameError as error:
        message = " ".join((getattr(error, "message", "") or str(error)).split())
        cut = message if len(message) <= _MOST_WORDS else f"{message[:_MOST_WORDS]} ..."
        return None, Finding("token", "failed", cut, getattr(error, "hint", ""))
    return token, Finding("token", "ok", "the credential gave one")


def _claims(session: Session, token: str | None) -> Iterator[Finding]:
    """Look at what a token says of itself (RFC 7519): audience, end and roles."""
    said = claims(token) if token else {}
    if not said:
        why = "the token is no JWT, so it does not tell" if token else "there is no token"
        yield from (Finding(check, "skipped", why) for check in ("audience", "expiry", "roles"))
        return
    yield _audience(session, said)
    yield _expiry(said)
    roles = said.get("roles", said.get("scp"))
    listed = roles.split() if isinstance(roles, str) else roles if isinstance(roles, list) else []
    if listed:
        yield Finding("roles", "ok", ", ".join(map(str, listed))[:200])
    else:
        yield Finding("roles", "skipped", "the token names none; Azure looks role assignments up itself")


def _audience(session: Session, said: Mapping[str, Any]) -> Finding:
    audiences = audiences_of(said)
    if not audiences:
        return Finding("audience", "skipped", "the token names none")
    found = ", ".join(audiences)[:200]
    if is_for_the_service(audiences):
        return Finding("audience", "ok", found)
    advice = f"The token is for another service: ask for one with the scope {SCOPE}."
    return Finding("audience", "failed" if session.address.is_azure else "warning", found, advice)


def _expiry(said: Mapping[str, Any]) -> Finding:
    ends = said.get("exp")
    if not isinstance(ends, int | float):
        return Finding("expiry", "skipped", "the token does not say when it ends")
    left = (ends - time.time()) / 60
    if left <= 0:
        return Finding("expiry", "failed", f"ended at {moment(ends)}", "Get a new one: az login.")
    found = f"{left:.0f} minutes left, until {moment(ends)}"
    if left < _SOON_MINUTES:
        return Finding(
            "expiry", "warning", found, "A credential of azure-identity renews itself, a text does not."
        )
    return Finding("expiry", "ok", found)


# -- the service -----------------------------------------------------------------------------------------------------


def _asked(
    session: Session, route: str, *params: tuple[str, str]
) -> tuple[Answer | None, DicomFrameError | None]:
    """Send a request; give the answer, if one came, and the error, if it says no."""
    try:
        answer = session.request(
            "GET",
            route,
            params=params,
            headers={"Accept": "application/dicom+json, application/json"},
            accept_status=range(400, 600),
        )
    except DicomFrameError as error:
        return None, error
    return answer, session.error_of(answer) if answer.status >= 400 else None


def _said(error: DicomFrameError) -> tuple[str, str]:
    """Give what an error says and what to do about it, each on one line."""
    if not isinstance(error, ServiceError):
        return str(error), ""
    head = f"{error.status}{f' {error.code}' if error.code else ''}: {error.message or 'no reason was given'}"
    return head, error.hint


def _reading(session: Session) -> tuple[Answer | None, Finding]:
    answer, error = _asked(session, "studies", ("limit", "1"))
    if error is not None:
        return answer, Finding("reading", "failed", *_said(error))
    found = "a search for one study is answered"
    try:
        rows = decode_rows(answer.content) if answer is not None and answer.content.strip() else []
    except DecodeError as no_rows:
        return answer, Finding("reading", "failed", str(no_rows), _NO_SERVICE)
    return answer, Finding("reading", "ok", found if rows else f"{found}; there is none")


def _versions(session: Session, answer: Answer | None) -> Finding:
    stated = answer.headers.get(_VERSIONS, "") if answer is not None else ""
    if not stated:
        return Finding("versions", "skipped", "the server does not tell; it may be no Azure DICOM service")
    used = urlsplit(session.base).path.strip("/").partition("/")[0].lower()
    offered = [version.strip().lower() for version in stated.split(",")]
    if used in offered:
        return Finding("versions", "ok", f"{used} of {', '.join(offered)}")
    return Finding(
        "versions", "failed", f"{used or 'none'} of {', '.join(offered)}", "Choose with api_version=."
    )


def _clock(answer: Answer | None) -> Finding:
    stated = answer.headers.get("Date", "") if answer is not None else ""
    try:
        skew = time.time() - parsedate_to_datetime(stated).timestamp()
    except (ValueError, TypeError, OverflowError):
        return Finding("clock", "skipped", "the server does not tell its time")
    if abs(skew) <= _MOST_SKEW:
        return Finding("clock", "ok", "this machine and the server agree within a minute")
    way = "ahead of" if skew > 0 else "behind"
    return Finding(
        "clock",
        "warning",
        f"this machine is {abs(skew) / 60:.0f} minutes {way} the server",
        "Set the clock: tokens are refused, or renewed too late, by a wrong one.",
    )


def _route(session: Session, check: str, route: str) -> Finding:
    answer, error = _asked(session, route)
    if error is None:
        if answer is not None and answer.content.strip()[:1] not in {b"", b"[", b"{"}:
            return Finding(check, "failed", f"GET {route} is answered, but not with JSON", _NO_SERVICE)
        return Finding(check, "ok", f"GET {route} is answered")
    if isinstance(error, NotBuiltError | NotFoundError):
        return Finding(
            check, "warning" if session.address.is_azure else "skipped", "this server does not offer it"
        )
    return Finding(check, "failed", *_said(error))
