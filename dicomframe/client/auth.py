"""Tokens: from azure-identity, a text or a callable; cached, renewed in time, fetched once for many threads.

No token, and nothing that a credential holds, appears in a repr or a message.
"""

from __future__ import annotations

import base64
import binascii
import logging
import re
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Protocol, runtime_checkable

import orjson

from dicomframe.client.shielded import Secret
from dicomframe.client.urls import ServiceAddress
from dicomframe.errors import AuthenticationError, QueryError, printable

#: What a token for the service must be asked for.
SCOPE = "https://dicom.healthcareapis.azure.com/.default"

# The audiences that the service takes: its name, and the application behind the name.
_AUDIENCES = frozenset({SCOPE.removesuffix("/.default"), "75e725bf-66ce-4cea-9b9a-5c4caae57f33"})
# Seconds before its end that a token is renewed, unless it lives so shortly that this would be always.
_MARGIN = 300.0
# A text from a callable does not say how long it lives.
_UNKNOWN_LIFETIME = 300.0
_MOST_WORDS = 1500
_UNHEARD = logging.NullHandler()
_CHALLENGE = re.compile(r'(\w{1,40})="([^"]{0,4000})"')
# What a credential's exception may quote: JWTs, what is named a secret, queries of URLs, and text too random for words.
# Bounded, because the words are somebody else's.
_SECRETS = (
    (re.compile(r"eyJ[\w-]{5,}(?:\.[\w-]*){0,4}"), "<...>"),
    (re.compile(r"(?i)\b(bearer)\s+[^\s\"',;]{8,}"), r"\1 <...>"),
    (
        re.compile(
            r"(?i)\b(\w{0,20}(?:secret|password|pwd|assertion|token|sig|signature|key))([\"']?\s{0,2}[=:]\s{0,2}[\"']?)"
            r"(?=[^\s\"'&,;]{0,200}\d|[^\s\"'&,;]{16})[^\s\"'&,;]+"
        ),
        r"\1\2<...>",
    ),
    (re.compile(r"(https?://)[^\s/@]{1,200}@"), r"\1<...>@"),
    (re.compile(r"(https?://[^\s?\"']{1,500})\?[^\s\"']+"), r"\1?<...>"),
    (
        re.compile(
            r"(?<![\w~.-])(?=[\w~.-]{0,200}\d)(?=[\w~.-]{0,200}[A-Z])(?=[\w~.-]{0,200}[a-z])[\w~.-]{24,}"
        ),
        "<...>",
    ),
    (re.compile(r"\b[0-9a-fA-F]{32,}\b"), "<...>"),
)


@runtime_checkable
class TokenCredential(Protocol):
    """Anything with azure-identity's ``get_token``."""

    def get_token(self, *scopes: str, **kwargs: Any) -> Any:
        """Give an object with ``token`` and ``expires_on``."""


@dataclass(frozen=True, slots=True)
class _Token:
    text: str = field(repr=False)
    renew_at: float


class TokenSource:
    """The current token of a credential, for all threads of a client.

    Parameters
    ----------
    fetch : callable
        Gives a token as text, or an object with ``token`` and ``expires_on``.
    renewable : bool
        Whether another fetch may give another token.
    fetch_with_claims : callable, optional
        Gives a token that meets the claims of a challenge, past any cache of the credential's own.
    """

    def __init__(
        self,
        fetch: Callable[[], Any],
        *,
        renewable: bool = True,
        fetch_with_claims: Callable[[str], Any] | None = None,
    ) -> None:
        self._fetch = fetch
        self._fetch_with_claims = fetch_with_claims
        self._renewable = renewable
        self._lock = threading.Lock()
        self._token: _Token | None = None
        self._failures = 0
        self._failure: AuthenticationError | None = None

    def __repr__(self) -> str:
        return "TokenSource()"

    @property
    def latest(self) -> str:
        """The token that was sent last, to be kept out of messages; empty before the first."""
        return self._token.text if self._token else ""

    def current(self) -> str:
        """Give a token that is valid for a while yet.

        Raises
        ------
        AuthenticationError
            If the credential gives none.
        """
        token = self._token
        if token is not None and time.time() < token.renew_at:
            return token.text
        return self._renewed(lambda known: known is None or time.time() >= known.renew_at)

    def after_refusal(self, refused: str, challenge: str = "") -> str | None:
        """Give another token than the one that the service has just refused; None where there is no other.

        A credential that keeps its tokens would give the refused one again. As in azure-core, it is asked past its
        cache where the refusal's WWW-Authenticate names claims that the token lacks (continuous access evaluation).
        """
        if not self._renewable:
            return None
        wanted = claims_of_challenge(challenge)
        fetch, with_claims = self._fetch, self._fetch_with_claims
        if wanted and with_claims is not None:

            def fetch() -> Any:
                return with_claims(wanted)

        text = self._renewed(lambda known: known is None or known.text == refused, fetch)
        return None if text == refused else text

    def _renewed(
        self, is_stale: Callable[[_Token | None], bool], fetch: Callable[[], Any] | None = None
    ) -> str:
        failures = self._failures
        with self._lock:
            token = self._token
            if token is None or is_stale(token):
                if self._failures != failures and self._failure is not None:
                    # Another thread has just tried while this one waited; a second try would fail as slowly.
                    raise self._failure
                try:
                    token = self._token = _read(fetch or self._fetch)
                except AuthenticationError as error:
                    self._failures += 1
                    self._failure = error
                    raise
            return token.text


def token_source(credential: Any, address: ServiceAddress) -> TokenSource | None:
    """Make the source of tokens for what a caller gave as ``credential``.

    Parameters
    ----------
    credential : None, str, azure-identity credential or callable
        None is ``DefaultAzureCredential`` for the cloud service and no token at all for any other server.
    address : ServiceAddress
        Where the tokens would go.

    Raises
    ------
    QueryError
        If it is none of these, or the token would travel readable for everyone: plain http to another machine.
    """
    if credential is None and not address.is_azure:
        return None
    if not address.keeps_secrets:
        raise QueryError(
            "A token is sent over https only (or to this machine); plain http would show it to everyone on the way. "
            "Use an https:// URL, or no credential."
        )
    if credential is None:
        credential = _default_credential()
    if isinstance(credential, str):
        return _fixed(credential)
    if isinstance(credential, TokenCredential):
        return TokenSource(
            lambda: credential.get_token(SCOPE),
            fetch_with_claims=lambda wanted: credential.get_token(SCOPE, claims=wanted),
        )
    if callable(credential):
        return TokenSource(credential)
    raise QueryError(
        "credential must be an azure-identity credential, a token, a callable that returns one, or None; "
        f"not {type(credential).__name__}."
    )


def _fixed(credential: str) -> TokenSource:
    text = Secret(credential.strip().removeprefix("Bearer ").strip())
    if not text or not text.isascii() or not text.isprintable() or " " in text:
        raise QueryError("The token given as credential= is empty or holds characters that no token has.")
    return TokenSource(lambda: text, renewable=False)


def _default_credential() -> Any:
    from azure.identity import DefaultAzureCredential

    # What it says of each way to sign in stands in the error. Where nobody set up logging, Python would print it too.
    logging.getLogger("azure.identity").addHandler(_UNHEARD)
    return DefaultAzureCredential()


def _read(fetch: Callable[[], Any]) -> _Token:
    """Fetch a token and find how long it lives."""
    now = time.time()
    try:
        given = fetch()
    except Exception as error:  # noqa: BLE001 - credentials are the caller's code and raise what they like
        failure = _failure(error)
    else:
        text = given if isinstance(given, str) else getattr(given, "token", None)
        if isinstance(text, str) and text and text.isascii() and text.isprintable():
            ends = getattr(given, "expires_on", None) or claims(text).get("exp")
            lifetime = float(ends) - now if isinstance(ends, int | float) else _UNKNOWN_LIFETIME
            return _Token(Secret(text), now + lifetime - min(_MARGIN, max(lifetime, 0.0) / 5))
        failure = AuthenticationError(
            401,
            "",
            message="the credential gave no token",
            hint="A callable must return a token as text, without line breaks.",
        )
    # Raised out here, so that nothing of the credential's own exception, which may hold secrets, is chained.
    raise failure


def _failure(error: Exception) -> AuthenticationError:
    words = printable(without_secrets(" ".join(str(error).split())))
    return AuthenticationError(
        401,
        "",
        code=type(error).__name__,
        message=f"no token could be had from the credential: {words[:_MOST_WORDS] or 'it gave no reason'}",
        hint=(
            "Sign in with 'az login' (or set AZURE_TENANT_ID, AZURE_CLIENT_ID and a secret or certificate), and see "
            "that the identity has the role 'DICOM Data Reader' or 'DICOM Data Owner'. "
            f"Tokens are asked for with the scope {SCOPE}."
        ),
    )


def without_secrets(words: str) -> str:
    """Blot out of a credential's words what looks like a token, a secret or a query; identifiers (GUIDs) stay.

    Examples
    --------
    >>> without_secrets("AADSTS7000215: Invalid client secret 'abC8Q~dEf.Gh1-jKlMnOpQrStUvWxYz_2' of the app")
    "AADSTS7000215: Invalid client secret '<...>' of the app"
    """
    for pattern, shown in _SECRETS:
        words = pattern.sub(shown, words)
    return words


def claims_of_challenge(challenge: str) -> str:
    """Read the claims, as JSON text, that a WWW-Authenticate header says a token lacks; empty where it says nothing.

    Examples
    --------
    >>> claims_of_challenge('Bearer realm="", error="insufficient_claims", claims="eyJhIjoxfQ"')
    '{"a":1}'
    >>> claims_of_challenge('Bearer error="invalid_token"')
    ''
    """
    said = dict(_CHALLENGE.findall(challenge))
    encoded = said.get("claims", "")
    if said.get("error") != "insufficient_claims" or not encoded:
        return ""
    try:
        return base64.urlsafe_b64decode(encoded + "=" * (-len(encoded) % 4)).decode()
    except ValueError:
        return ""


def claims(token: str) -> dict[str, Any]:
    """Read the claims of a JWT without checking it; empty where the token is none."""
    try:
        middle = token.split(".")[1]
        read = orjson.loads(base64.urlsafe_b64decode(middle + "=" * (-len(middle) % 4)))
    except (IndexError, ValueError, binascii.Error):
        return {}
    return read if isinstance(read, dict) else {}


def what_is_wrong(token: str) -> str:
    """Say what a refused token's own claims show to be wrong with it, and what to do; empty where they show nothing.

    Examples
    --------
    >>> what_is_wrong("no JWT")
    ''
    """
    said = claims(token)
    ends = said.get("exp")
    if isinstance(ends, int | float) and ends < time.time():
        return f"The token ended at {moment(ends)}; get a new one (az login)."
    audiences = audiences_of(said)
    if audiences and not is_for_the_service(audiences):
        return f"The token is for another service ({audiences[0][:80]}); ask for one with the scope {SCOPE}."
    begins = said.get("nbf")
    if isinstance(begins, int | float) and begins > time.time():
        return f"The token is good only from {moment(begins)} on; see whether this machine's clock is right."
    return ""


def what_to_send(token: str, address: ServiceAddress) -> str:
    """Say what to send to a server that refused this token, or the lack of one; empty for Azure's, where one signs in.

    Examples
    --------
    >>> what_to_send("", ServiceAddress.parse("http://localhost:8080"))[:48]
    'No token was sent: give one as credential=; for '
    """
    if address.is_azure:
        return ""
    if token:
        return "Give a fresh token as credential=; for Azure's service behind this name, sign in (az login)."
    return (
        "No token was sent: give one as credential=; for Azure's service behind this name, DefaultAzureCredential()"
        " (az login)."
    )


def audiences_of(said: Mapping[str, Any]) -> list[str]:
    """Give the audiences that a token's claims name (RFC 7519 section 4.1.3): a text or a list of them."""
    audience = said.get("aud")
    listed = audience if isinstance(audience, list) else [audience]
    return [each for each in listed if isinstance(each, str) and each]


def is_for_the_service(audiences: Iterable[str]) -> bool:
    """Whether the cloud service takes tokens for one of these audiences."""
    return any(each.rstrip("/") in _AUDIENCES for each in audiences)


def moment(seconds: float) -> str:
    """Write a claim's time, in UTC.

    Examples
    --------
    >>> moment(1_705_329_000), moment(-1e20)
    ('2024-01-15 14:30 UTC', 'an impossible time')
    """
    try:
        return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%d %H:%M} UTC"
    except (ValueError, OverflowError, OSError):
        return "an impossible time"
