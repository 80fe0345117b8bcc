"""Every error and warning that dicomframe raises, in one tree.

::

    DicomFrameError
     +-- QueryError (ValueError)          unknown keyword, malformed UID, reversed date range: nothing was sent
     +-- TableError (AttributeError)      this table cannot do that: a column is missing, the level is wrong
     +-- NoClientError                    the table does not know which service it came from
     +-- DecodeError (ValueError)         DICOM, JSON, a multipart body or pixels that cannot be read
     |    +-- ValueRefused                one value that its VR does not allow (only with errors="raise")
     |    +-- TruncatedBody               a body that ended before its closing boundary or length
     +-- TransportError                   no answer came
     |    +-- ConnectionFailed            nobody listens, the name is unknown, the connection was cut
     |    +-- TimedOut                    the server went silent
     +-- ServiceError                     an answer came, and it says no
     |    +-- BadRequestError             400
     |    +-- AuthenticationError         401, or no token could be had
     |    +-- PermissionDeniedError       403
     |    +-- NotFoundError               404, 410
     |    +-- NotAcceptableError          406, 415
     |    +-- ConflictError               409
     |    +-- TooLargeError               413
     |    +-- ThrottledError              429
     |    +-- NotBuiltError               405, 501
     |    +-- UnavailableError            500, 502, 503, 504
     |    +-- UnexpectedAnswerError       a status or body no DICOM service should send (an HTML page, say)
     +-- OperationFailedError             a long operation ended in failure
     +-- FolderError                      a folder or file of this machine cannot be written
     +-- LakeError                        a lake cannot be read or written, or is another service's
     +-- IncompleteRetrievalError         a stream of many resources gave what it could, and not all

    DicomFrameWarning (UserWarning)
     +-- IncompleteSearchWarning          a search may have missed rows
     +-- IncompleteRetrievalWarning       of several resources, some could not be retrieved
     +-- ErroneousAttributesWarning       the service could not index some instances by what was searched for
     +-- UnsearchableWarning              a filter may be one that the service does not search by
     +-- IssuesWarning                    values became missing; see the issues table
     +-- ServiceWarning                   the service did what was asked, and has something to say about it

Messages never hold a token, a query string or a patient's name. UIDs stay out of messages too: they stand in
attributes (``route``) and in tables, which are the user's own.
"""

from __future__ import annotations

import sys
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

_PACKAGE = str(Path(__file__).parent)


def printable(text: str) -> str:
    r"""Write out what would command a terminal instead of being shown by it: control, escape and direction characters.

    Examples
    --------
    >>> print(printable("gone\x1b[2J \u202ekcab"))
    gone\x1b[2J \u202ekcab
    """
    if text.isprintable():
        return text
    return "".join(each if each.isprintable() else ascii(each)[1:-1] for each in text)


class DicomFrameError(Exception):
    """The root of all errors that dicomframe raises on purpose.

    Attributes
    ----------
    may_have_arrived : bool
        Whether the request may have reached the service, and had its effect, although no answer came back.
    """

    may_have_arrived: bool = False


class QueryError(DicomFrameError, ValueError):
    """A request that was refused before it was sent: it could not mean what it says."""


class TableError(DicomFrameError, AttributeError):
    """A table that lacks what the method needs (an ``AttributeError``, so that ``hasattr`` works)."""


class NoClientError(DicomFrameError):
    """A table whose service is unknown or not connected; ``df.dicom.use(client)`` tells it."""


class DecodeError(DicomFrameError, ValueError):
    """Bytes that are not what they should be: DICOM, DICOM JSON, multipart or pixels."""


class ValueRefused(DecodeError):
    """One value that its value representation does not allow, met under ``errors="raise"``.

    Parameters
    ----------
    row : int
        The row's position.
    keyword, vr : str
        Of the attribute; empty where the whole row is no object.
    reason : str
        What is wrong, and what is accepted.
    raw : str
        The value as it came, cut to a bounded length. It may identify a patient, so the message does not hold it.
    """

    def __init__(self, row: int, keyword: str, vr: str, reason: str, raw: str = "") -> None:
        self.row, self.keyword, self.vr, self.reason, self.raw = row, keyword, vr, reason, raw
        super().__init__(row, keyword, vr, reason)

    def __str__(self) -> str:
        where = f"{self.keyword} ({self.vr})" if self.keyword else "the object"
        return f"Row {self.row}, {where}: {self.reason}."


class TruncatedBody(DecodeError):
    """A body that was cut off; nothing of its last part may be trusted."""


class TransportError(DicomFrameError):
    """No usable answer came back over the network."""


class ConnectionFailed(TransportError):
    """Nobody listens there, the name is unknown, or the connection was cut."""


class TimedOut(TransportError, TimeoutError):
    """The server did not answer, or stopped in the middle, for longer than the timeout."""


class ServiceError(DicomFrameError):
    """The service answered with an error.

    Parameters
    ----------
    status : int
        The HTTP status.
    route : str
        Verb and path of the request, without host and query: ``"GET /v2/studies"``.
    code : str
        The server's own code or problem type, empty where it gave none.
    message : str
        The server's own words, empty where it gave none.
    details : sequence of str
        Further messages of the server, one a line.
    hint : str
        What to do about it.

    Examples
    --------
    >>> print(NotFoundError(404, "GET /v2/studies/1.2", message="The specified study cannot be found."))
    404: The specified study cannot be found.
    """

    def __init__(
        self,
        status: int,
        route: str,
        code: str = "",
        message: str = "",
        details: Sequence[str] = (),
        hint: str = "",
    ) -> None:
        self.status = status
        self.route = route
        self.code = code
        self.message = message
        self.details = tuple(details)
        self.hint = hint
        super().__init__(status, route, code, message, self.details, hint)

    def __str__(self) -> str:
        head = f"{self.status}{f' {self.code}' if self.code else ''}: {self.message or 'the server gave no reason'}"
        lines = [head, *(f"  - {detail}" for detail in self.details)]
        if self.hint:
            lines.append(self.hint)
        # What a server says is shown, never obeyed.
        return "\n".join(map(printable, lines))

    def __repr__(self) -> str:
        # Not the arguments: the route among them holds UIDs, and a log may hold the repr.
        return f"{type(self).__name__}({str(self)!r})"


class BadRequestError(ServiceError):
    """400: the server did not understand, or refuses, what was asked."""


class AuthenticationError(ServiceError):
    """401, or no token could be had from the credential (status 401 then, too)."""


class PermissionDeniedError(ServiceError):
    """403: the identity is known and lacks the role."""


class NotFoundError(ServiceError):
    """404 or 410: there is no such resource."""


class NotAcceptableError(ServiceError):
    """406 or 415: the representation asked for or sent is not one the server has."""


class ConflictError(ServiceError):
    """409: it exists already, or the state does not allow it.

    Attributes
    ----------
    operation_id : str
        The operation that stands in the way, for `Client.operation`; empty where it is none.
    """

    operation_id: str = ""


class TooLargeError(ServiceError):
    """413: the request body is larger than the server takes."""


class ThrottledError(ServiceError):
    """429: too many requests, and the retries are used up."""


class NotBuiltError(ServiceError):
    """405 or 501: the server does not have this operation."""


class UnavailableError(ServiceError):
    """500, 502, 503, 504: the server cannot answer now, and the retries are used up."""


class UnexpectedAnswerError(ServiceError):
    """A status or a body that no DICOM service should send, such as an HTML page with status 200."""


class OperationFailedError(DicomFrameError):
    """A long operation of the service ended in failure.

    Parameters
    ----------
    operation_id, type_, status : str
        Which it was, what it was to do, and how it ended: failed or canceled.
    results : mapping
        The service's own words. They may name studies, so the message does not hold them.
    """

    def __init__(self, operation_id: str, type_: str, status: str, results: Mapping[str, Any]) -> None:
        self.operation_id, self.type, self.status, self.results = operation_id, type_, status, results
        super().__init__(operation_id, type_, status, results)

    def __str__(self) -> str:
        what = f"The {printable(self.type)} operation" if self.type else "The operation"
        return (
            f"{what} ended as {printable(self.status)}; the error's results tell what the service says of it."
        )

    def __repr__(self) -> str:
        return f"OperationFailedError({str(self)!r})"


class FolderError(DicomFrameError, OSError):
    """A folder or a file of this machine cannot be written: no room, no permission; the service is not to blame."""


class LakeError(DicomFrameError):
    """A lake cannot be read or written, belongs to another service, or is written by another program."""


class IncompleteRetrievalError(DicomFrameError):
    """Ends a stream of the objects of many resources, of which some could not be retrieved; the others were given.

    Parameters
    ----------
    failed : sequence of dict
        Of each failure, in order: the UIDs of the resource that was asked for, by keyword, and ``error``, why.
    count : int
        How many resources were asked for.

    Examples
    --------
    >>> print(IncompleteRetrievalError([{"StudyInstanceUID": "1.2.3", "error": "404: gone"}], 5))
    Of 5 resources, 1 could not be retrieved whole; the error's failed tells which, and why.
    """

    def __init__(self, failed: Sequence[Mapping[str, str]], count: int) -> None:
        self.failed, self.count = [dict(each) for each in failed], count
        super().__init__(failed, count)

    def __str__(self) -> str:
        # An entry for each object that cannot be read: several may be of the same study.
        resources = {tuple(value for name, value in each.items() if name != "error") for each in self.failed}
        return (
            f"Of {self.count} resources, {len(resources)} could not be retrieved whole; the error's failed tells"
            " which, and why."
        )

    def __repr__(self) -> str:
        # Not the arguments, which hold UIDs.
        return f"IncompleteRetrievalError({str(self)!r})"


class DicomFrameWarning(UserWarning):
    """The root of all warnings that dicomframe gives."""


class IncompleteSearchWarning(DicomFrameWarning):
    """A search whose rows may not be all there are."""


class IncompleteRetrievalWarning(DicomFrameWarning):
    """Of several resources, some could not be retrieved: the others' rows or objects are there."""


class ErroneousAttributesWarning(DicomFrameWarning):
    """A search by attributes that the service could not index for all instances: those are not among the rows."""


class UnsearchableWarning(DicomFrameWarning):
    """A search by an attribute that the service may not search by; it could not be found out beforehand."""


class IssuesWarning(DicomFrameWarning):
    """Values that became missing because they could not be read; the issues table names each."""


class ServiceWarning(DicomFrameWarning):
    """The service did what was asked, and has something to say about it (HTTP header ``Warning: 299``)."""


def warn_caller(message: str, category: type[DicomFrameWarning]) -> None:
    """Warn at the line, outside of this package, that called into it, however deep the call is."""
    level, frame = 2, sys._getframe(1)  # noqa: SLF001 - what inspect.currentframe calls
    while frame.f_back is not None and frame.f_code.co_filename.startswith(_PACKAGE):
        level, frame = level + 1, frame.f_back
    warnings.warn(message, category, stacklevel=level)


#: Which error an HTTP status becomes; anything else is a plain `ServiceError`.
ERROR_OF_STATUS: dict[int, type[ServiceError]] = {
    400: BadRequestError,
    401: AuthenticationError,
    403: PermissionDeniedError,
    404: NotFoundError,
    405: NotBuiltError,
    406: NotAcceptableError,
    409: ConflictError,
    410: NotFoundError,
    413: TooLargeError,
    415: NotAcceptableError,
    429: ThrottledError,
    500: UnavailableError,
    501: NotBuiltError,
    502: UnavailableError,
    503: UnavailableError,
    504: UnavailableError,
}
