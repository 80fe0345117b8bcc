"""UPS-RS: work items, from the order to the report (PS3.18 section 11, PS3.4 annex CC)."""

from __future__ import annotations

import re
import uuid
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

import orjson

from dicomframe.client.answers import blot
from dicomframe.client.incoming import Answer
from dicomframe.client.pages import decode_rows
from dicomframe.client.progress import Progress
from dicomframe.client.query import build_workitem_queries
from dicomframe.client.search import Search
from dicomframe.client.session import Session
from dicomframe.client.workitemdata import data_set_of, private_texts, values_of
from dicomframe.dicom import tags
from dicomframe.dicom.dicomjson import Problem, to_dataset
from dicomframe.dicom.paths import check_uid
from dicomframe.errors import (
    BadRequestError,
    IssuesWarning,
    NotFoundError,
    QueryError,
    ServiceWarning,
    UnexpectedAnswerError,
    warn_caller,
)

if TYPE_CHECKING:
    from pydicom import Dataset

    from dicomframe.client.workitemdata import Given

#: What a work item may be changed to; SCHEDULED is what it begins with.
STATES = ("IN PROGRESS", "COMPLETED", "CANCELED")

#: The columns that a table of work items always has.
COLUMNS = (
    *(
        "SOPInstanceUID",
        "ProcedureStepState",
        "ProcedureStepLabel",
        "WorklistLabel",
        "ScheduledProcedureStepPriority",
    ),
    *(
        "ScheduledProcedureStepStartDateTime",
        "InputReadinessState",
        "PatientID",
        "PatientName",
        "StudyInstanceUID",
    ),
    *("ScheduledStationNameCodeSequence", "ReferencedRequestSequence"),
)

_JSON = "application/dicom+json"
_UID = "SOPInstanceUID"
_TRANSACTION = tags.attribute("TransactionUID").tag
_WARNING = re.compile(r'299\s+\S+\s+"([^"]*)"')


class TransactionUID(str):
    """The lock of a work item: who has it may change the item, and nobody else. It shows itself as dots.

    Examples
    --------
    >>> TransactionUID("2.25.1")
    TransactionUID('...')
    >>> str(TransactionUID("2.25.1")) == "2.25.1"
    True
    """

    __slots__ = ()

    def __repr__(self) -> str:
        return "TransactionUID('...')"


class WorkitemSearch(Search):
    """A search for work items that is sent when it is read, and again each time it is.

    `Client.search_workitems` makes it; `Search` documents it. A row is a work item, whose UID is its SOP Instance UID.
    """

    own_columns: ClassVar[Sequence[str] | None] = COLUMNS

    @classmethod
    def by(
        cls,
        session: Session,
        *,
        limit: int | None,
        page_size: int,
        progress: Progress = False,
        filters: Mapping[str, Any],
        **controls: Any,
    ) -> WorkitemSearch:
        """Make a search from what a caller gave; `dicomframe.client.query.build_workitem_queries` has the rest."""
        queries = build_workitem_queries(filters=filters, **controls)
        return cls(session, "instance", queries, limit=limit, page_size=page_size, progress=progress)

    def _check(self) -> None:
        """Work items are searched by a list of their own, which `build_workitem_queries` has checked."""

    @property
    def _plural(self) -> str:
        return "work items"


def create(session: Session, given: Given, uid: str | None = None) -> str:
    """Create a work item, give its UID; `Client.create_workitem` documents it."""
    data_set = data_set_of(given)
    if values_of(data_set, "TransactionUID"):
        raise QueryError("A new work item has no Transaction UID yet; claiming it gives it one.")
    data_set[_TRANSACTION] = {"vr": "UI"}
    named = [check_uid(each, _UID) for each in (uid, *values_of(data_set, _UID)[:1]) if each is not None]
    if len(set(named)) > 1:
        raise QueryError("uid is not the SOPInstanceUID of the work item; give one of them.")
    chosen = named[0] if named else _new_uid()
    answer = _send(session, "POST", f"workitems?{chosen}", data_set, accept_status=(409,))
    # A UID that was made here cannot be another's: the first attempt's answer was lost on the way.
    if answer.status == 409 and (named or not answer.acted_before):
        raise session.error_of(answer, list(private_texts(data_set)))
    return chosen


def retrieve(session: Session, uid: str) -> Dataset:
    """Retrieve a work item; `Client.retrieve_workitem` documents it."""
    uid = check_uid(uid, _UID)
    answer = session.request("GET", f"workitems/{uid}", headers={"Accept": _JSON})
    rows = decode_rows(answer.content) if answer.content.strip() else []
    if not rows:
        raise NotFoundError(404, answer.route, message="the server knows no such work item")
    problems: list[Problem] = []
    dataset = to_dataset(rows[0], problems=problems)
    if len(rows) > 1 or str(dataset.get(_UID, "")) != uid:
        raise UnexpectedAnswerError(answer.status, answer.route, message="the server sent another work item")
    # JSON is UTF-8, whatever character set it declares: that is no loss.
    lost = [problem.path for problem in problems if not problem.path.endswith("00080005")]
    if lost:
        warn_caller(
            f"Values of the work item could not be read and are empty: {', '.join(lost)[:400]}.",
            IssuesWarning,
        )
    return dataset


def update(session: Session, uid: str, changes: Given, transaction_uid: str | None = None) -> None:
    """Change attributes; `Client.update_workitem` documents it."""
    _update(session, check_uid(uid, _UID), data_set_of(changes), _checked_transaction(transaction_uid))


def _update(session: Session, uid: str, data_set: Mapping[str, Any], transaction_uid: str | None) -> None:
    lock = f"?{transaction_uid}" if transaction_uid else ""
    _send(session, "POST", f"workitems/{uid}{lock}", data_set, secret=transaction_uid)


def change_state(
    session: Session, uid: str, state: str, transaction_uid: str | None = None
) -> TransactionUID:
    """Claim, complete or cancel a work item; `Client.change_workitem_state` documents it."""
    uid = check_uid(uid, _UID)
    if not isinstance(state, str) or state.upper() not in STATES:
        raise QueryError(f"state must be one of {', '.join(map(repr, STATES))}.")
    given = _checked_transaction(transaction_uid)
    if given is None and state.upper() != "IN PROGRESS":
        raise QueryError(
            f"To make a work item {state.upper()} takes the transaction_uid that claiming it returned."
        )
    lock = given or _new_uid()
    request = data_set_of({"TransactionUID": lock, "ProcedureStepState": state.upper()})
    try:
        _send(session, "PUT", f"workitems/{uid}/state", request, secret=lock)
    except BadRequestError:
        if given is not None or not _is_ours(session, uid, lock):
            raise
    return TransactionUID(lock)


def _is_ours(session: Session, uid: str, lock: str) -> bool:
    """Whether a lock that was made here holds although the claim was refused: the first answer may have been lost."""
    try:
        _update(session, uid, {}, lock)
    except BadRequestError:
        return False
    return True


def cancel(
    session: Session, uid: str, reason: str | None, contact_uri: str | None, contact_name: str | None
) -> None:
    """Request the cancellation of a work item; `Client.cancel_workitem` documents it."""
    given = {"ReasonForCancellation": reason, "ContactURI": contact_uri, "ContactDisplayName": contact_name}
    request = data_set_of({keyword: value for keyword, value in given.items() if value is not None})
    _send(session, "POST", f"workitems/{check_uid(uid, _UID)}/cancelrequest", request)


def _send(
    session: Session,
    method: str,
    route: str,
    data_set: Mapping[str, Any],
    *,
    secret: str | None = None,
    accept_status: Sequence[int] = (),
) -> Answer:
    answer = session.request(
        method,
        route,
        headers={"Accept": _JSON, "Content-Type": _JSON},
        body=orjson.dumps([data_set]),
        accept_status=accept_status,
        private=[*private_texts(data_set), *([secret] if secret else [])],
    )
    match = _WARNING.search(answer.headers.get("Warning", ""))
    if match and answer.status < 300:
        words = blot(match[1], [*private_texts(data_set), *([secret] if secret else [])])
        warn_caller(f"The service says: {words}", ServiceWarning)
    return answer


def _checked_transaction(transaction_uid: str | None) -> str | None:
    return None if transaction_uid is None else check_uid(transaction_uid, "transaction_uid")


def _new_uid() -> str:
    """Make a UID of a random UUID (PS3.5 section B.2)."""
    return f"2.25.{uuid.uuid4().int}"
