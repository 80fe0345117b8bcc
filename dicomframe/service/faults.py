"""HTTP faults: a status, the user's reference body ``{"error": {"code", "message", "details"}}``, headers.

Messages say what was wrong and what is accepted. They may repeat names of parameters and attributes, never a
value that could identify a patient.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from http import HTTPStatus

import orjson


class Fault(Exception):
    """An answer that says no.

    Parameters
    ----------
    status : int
        The HTTP status.
    code : str
        A name for the kind of fault, in CamelCase.
    message : str
        What was wrong and what is accepted.
    details : sequence of (str, str)
        Code and message of each single thing that was wrong.
    headers : mapping
        Headers of the answer.
    """

    def __init__(
        self,
        status: HTTPStatus,
        code: str,
        message: str,
        details: Sequence[tuple[str, str]] = (),
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message
        self.details = details
        self.headers = dict(headers or {})

    def body(self) -> bytes:
        """Give the JSON that is sent."""
        details = [{"code": code, "message": message} for code, message in self.details]
        return orjson.dumps({"error": {"code": self.code, "message": self.message, "details": details}})


def bad_request(message: str, code: str = "BadRequest", details: Sequence[tuple[str, str]] = ()) -> Fault:
    """Give a 400."""
    return Fault(HTTPStatus.BAD_REQUEST, code, message, details)


def not_found(message: str) -> Fault:
    """Give a 404."""
    return Fault(HTTPStatus.NOT_FOUND, "NotFound", message)


def not_acceptable(message: str) -> Fault:
    """Give a 406."""
    return Fault(HTTPStatus.NOT_ACCEPTABLE, "NotAcceptable", message)


def unsupported_media_type(message: str) -> Fault:
    """Give a 415."""
    return Fault(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "UnsupportedMediaType", message)
