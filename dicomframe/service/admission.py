"""Who may do what: the bearer tokens that a service takes, and what it answers to any other.

The answers have the shape of the real service's: 401 with a challenge (RFC 6750 section 3) where the token is missing,
ended or for another service, 403 where the identity is known and lacks the role. No answer repeats a token.
"""

from __future__ import annotations

import base64
import secrets
import time
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Any, Final

import orjson

from dicomframe.errors import DicomFrameError
from dicomframe.service.faults import Fault

#: The audiences of the real service: its name, and the application behind the name.
AUDIENCES: Final = frozenset(
    {"https://dicom.healthcareapis.azure.com", "75e725bf-66ce-4cea-9b9a-5c4caae57f33"}
)
#: The verbs for which the role of a reader is enough.
_READING: Final = frozenset({"GET", "HEAD", "OPTIONS"})
_SCHEME: Final = b"bearer"


class Admission:
    """The tokens of one service.

    Parameters
    ----------
    token : str, optional
        Admits to everything, as the role DICOM Data Owner does.
    read_only_token : str, optional
        Admits to reading, as the role DICOM Data Reader does. Without `token` nobody may write.

    Raises
    ------
    DicomFrameError
        If one is empty or both are the same.

    Examples
    --------
    >>> Admission("owner", "reader").check("GET", [(b"authorization", b"Bearer reader")])
    >>> try:
    ...     Admission("owner", "reader").check("DELETE", [(b"authorization", b"Bearer reader")])
    ... except Fault as fault:
    ...     print(fault)
    This token may only read, as with the role 'DICOM Data Reader'; DELETE needs the role 'DICOM Data Owner'.
    """

    def __init__(self, token: str | None = None, read_only_token: str | None = None) -> None:
        if any(not isinstance(each, str | None) for each in (token, read_only_token)):
            raise DicomFrameError("A token is a text.")
        if "" in {token, read_only_token}:
            raise DicomFrameError(
                "An empty token admits nobody; leave it out, or give one with characters in it."
            )
        if token is not None and token == read_only_token:
            raise DicomFrameError("token= and read_only_token= are the same; a token has one role.")
        self._may_write = {
            each.encode(): may_write
            for each, may_write in ((token, True), (read_only_token, False))
            if each is not None
        }

    @property
    def demands_token(self) -> bool:
        """Whether requests must carry a token."""
        return bool(self._may_write)

    def check(self, method: str, headers: Iterable[tuple[bytes, bytes]]) -> None:
        """Let a request pass.

        Parameters
        ----------
        method : str
            Its verb.
        headers : iterable of (bytes, bytes)
            Names in lower case and values.

        Raises
        ------
        Fault
            401 if it has no valid token, 403 if its token may only read.
        """
        if not self._may_write:
            return
        given = next((value for name, value in headers if name == b"authorization"), b"")
        scheme, _, token = given.partition(b" ")
        token = token.strip()
        if scheme.lower() != _SCHEME or not token:
            raise _unauthorized("The request has no token: send the header 'Authorization: Bearer <token>'.")
        # All are compared, each in a time that does not depend on where they differ.
        roles = [role for known, role in self._may_write.items() if secrets.compare_digest(token, known)]
        if not roles:
            raise _unauthorized("The token is not valid here.", "")
        wrong = _what_is_wrong(_claims(token))
        if wrong:
            raise _unauthorized(f"{wrong}; get a new one for https://dicom.healthcareapis.azure.com.", wrong)
        if method not in _READING and not roles[0]:
            raise Fault(
                HTTPStatus.FORBIDDEN,
                "Forbidden",
                "This token may only read, as with the role 'DICOM Data Reader';"
                f" {method[:20]} needs the role 'DICOM Data Owner'.",
            )


def _unauthorized(message: str, description: str | None = None) -> Fault:
    """Give a 401; its challenge names an error only where a token was sent (RFC 6750 section 3.1)."""
    challenge = "Bearer"
    if description is not None:
        challenge += ' error="invalid_token"'
    if description:
        challenge += f', error_description="{description}"'
    return Fault(HTTPStatus.UNAUTHORIZED, "Unauthorized", message, headers={"WWW-Authenticate": challenge})


def _claims(token: bytes) -> Mapping[str, Any]:
    """Read the claims of a JWT; empty where the token is none. It is one that the service was started with."""
    try:
        middle = token.split(b".")[1]
        claims = orjson.loads(base64.urlsafe_b64decode(middle + b"=" * (-len(middle) % 4)))
    except (IndexError, ValueError):
        return {}
    return claims if isinstance(claims, dict) else {}


def _what_is_wrong(claims: Mapping[str, Any]) -> str:
    """Say what the real service would refuse a token for; empty where it would take it."""
    ends, audience = claims.get("exp"), claims.get("aud")
    if isinstance(ends, int | float) and ends <= time.time():
        # A year past 9999 cannot be here: it would not lie behind.
        return f"The token expired at '{datetime.fromtimestamp(max(ends, 0), UTC):%m/%d/%Y %H:%M:%S}'"
    audiences = audience if isinstance(audience, list) else [] if audience is None else [audience]
    if audiences and not AUDIENCES & {str(each).rstrip("/") for each in audiences}:
        return "The audience of the token is another service"
    return ""
