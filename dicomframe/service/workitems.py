"""Work items: create, retrieve, update, change of state, request of cancellation, search (UPS-RS, PS3.18 section 11).

Where the real service's code and its conformance statement differ, its code is followed: updating an unknown work
item is 400, and what a request could not do comes in a ``Warning: 299`` header, too.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import replace
from http import HTTPStatus
from typing import Any, Final

import orjson

from dicomframe.service import negotiation, workitemindex
from dicomframe.service.call import Answer, Call
from dicomframe.service.faults import Fault, bad_request, not_found
from dicomframe.service.negotiation import DICOM_JSON
from dicomframe.service.validation import is_uid
from dicomframe.service.workitembody import DataSet, name_of, read_data_set, text_of, values_of
from dicomframe.service.workitemindex import Workitem
from dicomframe.service.workitemquery import read_workitem_query
from dicomframe.service.workitemrules import (
    CANCELLATION_REASON,
    CANCELLATION_TIME,
    COMMUNICATIONS,
    CONTACT_NAME,
    CONTACT_URI,
    DISCONTINUATION,
    MODIFIED,
    PROGRESS,
    PUSH,
    SOP_CLASS_UID,
    SOP_INSTANCE_UID,
    STATE,
    TRANSACTION_UID,
    WORKLIST_LABEL,
    Transition,
    check_creation,
    check_final,
    check_update,
    transition,
    wish_of,
    wrong_transaction,
)

#: What a work item's list is called where its creator does not say.
_DEFAULT_LABEL: Final = "worklist"
#: Context group 9300: why a procedure was discontinued, where nobody says why.
_UNSPECIFIED: Final = {
    "00080100": {"vr": "SH", "Value": ["110513"]},
    "00080102": {"vr": "SH", "Value": ["DCM"]},
    "00080104": {"vr": "LO", "Value": ["Discontinued for unspecified reason"]},
}


async def create(call: Call) -> Answer:
    """Make a work item: 201, 400, 409 if its UID is taken, 415."""
    negotiation.json_type(call.header(b"accept"), required=call.service.strict)
    uid = _query_uid(call, "work item's")
    data_set = await read_data_set(call)
    given = text_of(data_set, SOP_INSTANCE_UID)
    if uid and given and uid != given:
        raise bad_request(
            f"The {name_of(SOP_INSTANCE_UID)} in the body is not the one in the query.", "InvalidUid"
        )
    uid = uid or given
    if not is_uid(uid):
        raise bad_request(
            "The work item's UID is missing or malformed: give it as the query, workitems?1.2.3, or as"
            f" {name_of(SOP_INSTANCE_UID)} in the body.",
            "InvalidUid",
        )
    check_creation(data_set)
    data_set[SOP_CLASS_UID] = _attribute("UI", PUSH)
    data_set[SOP_INSTANCE_UID] = _attribute("UI", uid)
    data_set[MODIFIED] = _attribute("DT", _now())
    if not text_of(data_set, WORKLIST_LABEL):
        data_set[WORKLIST_LABEL] = _attribute("LO", _DEFAULT_LABEL)
    await call.service.offload.lengthy(_insert, call, uid, data_set)
    link = f"{call.base}/workitems/{uid}"
    return Answer(HTTPStatus.CREATED, headers={"Location": link, "Content-Location": link})


def _insert(call: Call, uid: str, data_set: DataSet) -> None:
    with call.service.index.transaction() as writer:
        if workitemindex.find(writer, call.partition, uid) is not None:
            raise Fault(
                HTTPStatus.CONFLICT, "WorkitemExists", "There is a work item with this UID already (0111)."
            )
        workitemindex.keep(writer, call.partition, Workitem(data_set))


async def retrieve(call: Call) -> Answer:
    """Give a work item as one DICOM JSON object, without its Transaction UID: 200, 404."""
    json_type = negotiation.json_type(call.header(b"accept"), required=True)
    call.refuse_query()
    uid = _path_uid(call)
    workitem = await call.service.offload.brief(
        workitemindex.find, call.service.index.reader, call.partition, uid
    )
    if workitem is None:
        raise _unknown()
    return Answer(body=orjson.dumps(workitem.data_set), headers={"Content-Type": json_type})


async def update(call: Call) -> Answer:
    """Change attributes: 200; 400 also for a work item that is unknown or final, or another's."""
    uid = _path_uid(call)
    transaction_uid = _query_uid(call, "transaction's")
    changes = await read_data_set(call)
    try:
        await call.service.offload.lengthy(_update, call, uid, transaction_uid, changes)
    except Fault as fault:
        raise _warning(call, fault) from None
    return Answer(headers={"Content-Location": f"{call.base}/workitems/{uid}"})


def _update(call: Call, uid: str, transaction_uid: str, changes: DataSet) -> None:
    with call.service.index.transaction() as writer:
        workitem = workitemindex.find(writer, call.partition, uid)
        if workitem is None:
            raise bad_request("There is no such work item (C307).", "WorkitemNotFound")
        if workitem.state in {"COMPLETED", "CANCELED"}:
            raise bad_request(
                f"The work item is {workitem.state} already and may no longer be updated (C300).",
                "WorkitemIsFinal",
            )
        if workitem.state == "SCHEDULED" and transaction_uid:
            raise wrong_transaction(
                "The work item is SCHEDULED and nobody's yet; leave the Transaction UID out of the query"
            )
        if workitem.state == "IN PROGRESS" and transaction_uid != workitem.transaction_uid:
            raise wrong_transaction(
                "The work item is IN PROGRESS; give its owner's Transaction UID as the query, workitems/{uid}?1.2.3"
            )
        check_update(changes)
        data_set = workitem.data_set | changes | {MODIFIED: _attribute("DT", _now())}
        workitemindex.keep(writer, call.partition, replace(workitem, data_set=data_set))


async def change_state(call: Call) -> Answer:
    """Claim, complete or cancel: 200, with a warning where it is so already; 400, 404."""
    negotiation.json_type(call.header(b"accept"), required=call.service.strict)
    call.refuse_query()
    uid = _path_uid(call)
    request = await read_data_set(call)
    try:
        outcome = await call.service.offload.lengthy(_change_state, call, uid, request)
    except Fault as fault:
        raise _warning(call, fault) from None
    headers = {"Content-Location": f"{call.base}/workitems/{uid}"}
    if not outcome.code:
        return Answer(headers=headers)
    return _message(HTTPStatus.OK, outcome.words, headers | _warning_header(call, outcome.words))


def _change_state(call: Call, uid: str, request: DataSet) -> Transition:
    wish, transaction_uid = wish_of(request)
    with call.service.index.transaction() as writer:
        workitem = workitemindex.find(writer, call.partition, uid)
        if workitem is None:
            raise _unknown()
        if workitem.transaction_uid and workitem.transaction_uid != transaction_uid:
            raise wrong_transaction("The Transaction UID is not the one of the work item's owner")
        outcome = transition(workitem.state, wish)
        if outcome.is_refused:
            raise bad_request(outcome.reason, "InvalidStateTransition")
        if not outcome.code:
            data_set = workitem.data_set | {STATE: _attribute("CS", wish), MODIFIED: _attribute("DT", _now())}
            check_final(data_set, wish)
            workitemindex.keep(writer, call.partition, Workitem(data_set, transaction_uid))
    return outcome


async def request_cancellation(call: Call) -> Answer:
    """Cancel what nobody has claimed: 202; 404; 409 with a warning for every other state."""
    call.refuse_query()
    uid = _path_uid(call)
    request = await read_data_set(call)
    outcome = await call.service.offload.lengthy(_cancel, call, uid, request)
    if outcome.code:
        fault = Fault(HTTPStatus.CONFLICT, "InvalidStateTransition", outcome.reason)
        fault.headers |= _warning_header(call, outcome.words)
        raise fault
    return _message(HTTPStatus.ACCEPTED, "The work item is canceled, as was requested.", {})


def _cancel(call: Call, uid: str, request: DataSet) -> Transition:
    with call.service.index.transaction() as writer:
        workitem = workitemindex.find(writer, call.partition, uid)
        if workitem is None:
            raise _unknown()
        outcome = transition(workitem.state, "REQUEST CANCEL")
        if not outcome.code:
            data_set = workitem.data_set | {
                STATE: _attribute("CS", "CANCELED"),
                MODIFIED: _attribute("DT", _now()),
                PROGRESS: _attribute("SQ", _progress(request)),
            }
            workitemindex.keep(writer, call.partition, replace(workitem, data_set=data_set))
    return outcome


def _progress(request: DataSet) -> DataSet:
    """Give the item of progress information that says when, why and on whose wish a work item was canceled."""
    contact = {tag: request[tag] for tag in (CONTACT_URI, CONTACT_NAME) if tag in request}
    item: DataSet = {CANCELLATION_TIME: _attribute("DT", _now())}
    item |= {CANCELLATION_REASON: request[CANCELLATION_REASON]} if CANCELLATION_REASON in request else {}
    item |= {COMMUNICATIONS: _attribute("SQ", contact)} if contact else {}
    reasons = values_of(request, DISCONTINUATION) or [_UNSPECIFIED]
    return item | {DISCONTINUATION: {"vr": "SQ", "Value": reasons}}


async def search(call: Call) -> Answer:
    """Search work items: 200, 204, 400."""
    json_type = negotiation.json_type(call.header(b"accept"), required=True)
    query = read_workitem_query(call.query(), strict=call.service.strict)
    found = await call.service.offload.lengthy(
        lambda: workitemindex.search(
            call.service.index.reader, call.partition, query.filters, query.limit, query.offset
        )
    )
    if not found:
        return Answer(HTTPStatus.NO_CONTENT)
    rows = [{tag: each for tag, each in data_set.items() if query.wants(tag)} for data_set in found]
    return Answer(body=orjson.dumps(rows), headers={"Content-Type": json_type})


def _path_uid(call: Call) -> str:
    uid = call.names[0]
    if not is_uid(uid):
        raise bad_request(
            "The work item's UID in the path is malformed: 1 to 64 digits and dots are accepted, with a digit at the"
            " end.",
            "InvalidUid",
        )
    return uid


def _query_uid(call: Call, whose: str) -> str:
    """Give the UID that is the query itself, as its first parameter's name; empty where there is no query."""
    pairs = call.query()
    if not pairs:
        return ""
    if len(pairs) > 1 or pairs[0][1] or not is_uid(pairs[0][0]) or pairs[0][0] == TRANSACTION_UID:
        raise bad_request(
            f"The query of this route is the {whose} UID alone, without a name in front: ?1.2.3.",
            "InvalidUid",
        )
    return pairs[0][0]


def _unknown() -> Fault:
    return not_found("There is no such work item (C307).")


def _attribute(vr: str, value: Any) -> dict[str, Any]:
    return {"vr": vr, "Value": [value]}


def _now() -> str:
    return dt.datetime.now(dt.UTC).strftime("%Y%m%d%H%M%S.%f+0000")


def _message(status: HTTPStatus, words: str, headers: dict[str, str]) -> Answer:
    return Answer(status, orjson.dumps(words), {"Content-Type": DICOM_JSON} | headers)


def _warning(call: Call, fault: Fault) -> Fault:
    """Give a refusal its words as a warning, too, as the real service does."""
    fault.headers |= _warning_header(call, fault.message)
    return fault


def _warning_header(call: Call, words: str) -> dict[str, str]:
    host = call.base.split("/")[2]
    return {"Warning": f'299 {host}: "{words}"'}
