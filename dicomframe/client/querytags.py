"""Extended query tags: making attributes searchable, watching them, taking them away."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, Final

import orjson

from dicomframe.client.incoming import Answer
from dicomframe.client.operations import Operation, link_of
from dicomframe.client.outcomes import UID_COLUMNS, outcome_table
from dicomframe.client.progress import Progress
from dicomframe.client.searchability import CORE, LEVELS, forget_tags, list_tags, lower_names
from dicomframe.client.session import Session
from dicomframe.dicom import tags
from dicomframe.errors import (
    ConflictError,
    NotBuiltError,
    QueryError,
    UnexpectedAnswerError,
)

if TYPE_CHECKING:
    import pandas as pd

COLUMNS: Final = (
    "path",
    "keyword",
    "vr",
    "level",
    "status",
    "query_status",
    "errors",
    "operation_id",
    "private_creator",
)
ERROR_COLUMNS: Final = (*UID_COLUMNS, "created", "message", "partition")
#: VRs that a tag may have.
SUPPORTED_VRS: Final = tuple("AE AS CS DA DS DT FD FL IS LO PN SH SL SS TM UI UL US".split())

_ROUTE: Final = "extendedquerytags"
_JSON: Final = {"Accept": "application/json"}
_PAGE_SIZE: Final = 200
_ENTRY_NAMES: Final = {"path": "path", "vr": "vr", "level": "level", "privatecreator": "privateCreator"}
_EXAMPLES: Final = (
    'Accepted are {"BodyPartExamined": "Series"}, {"path": ..., "level": ..., "vr": ..., "privateCreator": ...},'
    " and a list of the latter."
)


# -- reading -----------------------------------------------------------------------------------------------------


def query_tags(session: Session) -> pd.DataFrame:
    """List the tags; `dicomframe.client.client.Client.query_tags` documents it."""
    return _table(session, list_tags(session))


def query_tag(session: Session, tag: str) -> pd.DataFrame:
    """Ask about one tag; `dicomframe.client.client.Client.query_tag` documents it."""
    return _table(session, [_one(session, _path(tag))])


def query_tag_errors(session: Session, tag: str) -> pd.DataFrame:
    """List a tag's errors; `dicomframe.client.client.Client.query_tag_errors` documents it."""
    import pandas as pd

    route = f"{_ROUTE}/{_path(tag)}/errors"
    found: list[dict[str, Any]] = []
    while True:
        params = [("limit", str(_PAGE_SIZE)), ("offset", str(len(found)))]
        answer = session.request("GET", route, params=params, headers=_JSON)
        page = answer.json() or []
        if not isinstance(page, list) or not all(isinstance(each, dict) for each in page):
            raise UnexpectedAnswerError(
                answer.status, answer.route, message="the answer is no list of errors"
            )
        fresh = [each for each in map(lower_names, page) if each not in found]
        found += fresh
        if len(page) < _PAGE_SIZE or not fresh:
            break
    names = (
        "studyinstanceuid",
        "seriesinstanceuid",
        "sopinstanceuid",
        "createdtime",
        "errormessage",
        "partitionname",
    )
    rows = [
        {column: each.get(name) for column, name in zip(ERROR_COLUMNS, names, strict=True)} for each in found
    ]
    table = outcome_table(rows, ERROR_COLUMNS, session.base)
    created = pd.to_datetime(table["created"], utc=True, errors="coerce", format="ISO8601")
    table["created"] = created.astype("datetime64[us, UTC]")
    return table


def _one(session: Session, path: str) -> dict[str, Any]:
    answer = session.request("GET", f"{_ROUTE}/{path}", headers=_JSON)
    return _tag_of(answer)


def _tag_of(answer: Answer) -> dict[str, Any]:
    tag = lower_names(answer.json())
    if not isinstance(tag.get("path"), str):
        raise UnexpectedAnswerError(
            answer.status, answer.route, message="the answer is no extended query tag"
        )
    return tag


def _table(session: Session, found: Iterable[Mapping[str, Any]]) -> pd.DataFrame:
    rows = []
    for tag in found:
        path = str(tag["path"]).upper()
        count = lower_names(tag.get("errors")).get("count")
        rows.append(
            {
                "path": path,
                "keyword": tags.from_tag(path).keyword,
                "vr": tag.get("vr"),
                "level": tag.get("level"),
                "status": tag.get("status"),
                "query_status": tag.get("querystatus"),
                "errors": count if isinstance(count, int) else 0,
                "operation_id": lower_names(tag.get("operation")).get("id"),
                "private_creator": tag.get("privatecreator"),
            }
        )
    return outcome_table(rows, COLUMNS, session.base, integers=("errors",))


# -- changing ----------------------------------------------------------------------------------------------------


def add_query_tags(session: Session, wanted: Any, progress: Progress = False) -> Operation:
    """Add tags; `dicomframe.client.client.Client.add_query_tags` documents it."""
    entries = entries_of(wanted)
    answer = session.request(
        "POST",
        _ROUTE,
        headers={"Content-Type": "application/json", **_JSON},
        body=orjson.dumps(entries),
        accept_status=(409,),
    )
    forget_tags(session)
    if answer.status == 409:
        # An attempt whose answer was lost may have started the very operation that is in the way now.
        own = _operation_on(session, entries, progress) if answer.acted_before else None
        if own is None:
            raise _conflict(session, answer)
        return own
    return Operation.of(session, answer, progress)


def reindex_query_tag(session: Session, tag: str, progress: Progress = False) -> Operation:
    """Index all instances anew; `dicomframe.client.client.Client.reindex_query_tag` documents it."""
    path = _path(tag)
    answer = session.request(
        "POST", f"{_ROUTE}/{path}/reindex", headers=_JSON, accept_status=(404, 405, 409, 501)
    )
    if answer.status == 409:
        raise _conflict(session, answer)
    if answer.status < 400:
        return Operation.of(session, answer, progress)
    answer.close()
    found = _one(session, path)
    running = lower_names(found.get("operation")).get("id")
    if isinstance(running, str):
        return Operation(session, f"operations/{running}", progress)
    name = tags.from_tag(path).column
    raise NotBuiltError(
        answer.status,
        answer.route,
        message=f"this service does not index anew by {name}; it did when the tag was added, and does so for each new"
        " instance",
        hint=f"Only deleting the tag and adding it again would: client.delete_query_tag({name!r}), then"
        " client.add_query_tags(...). Until the end of that it cannot be searched by, so it is not done unasked.",
    )


def update_query_tag(session: Session, tag: str, *, enabled: bool) -> pd.DataFrame:
    """Let a tag be searched or not; `dicomframe.client.client.Client.update_query_tag` documents it."""
    if not isinstance(enabled, bool):
        raise QueryError("enabled must be True or False.")
    answer = session.request(
        "PATCH",
        f"{_ROUTE}/{_path(tag)}",
        headers={"Content-Type": "application/json", **_JSON},
        body=orjson.dumps({"queryStatus": "Enabled" if enabled else "Disabled"}),
    )
    forget_tags(session)
    return _table(session, [_tag_of(answer)])


def delete_query_tag(
    session: Session, tag: str, *, wait: bool = True, background: bool = False, progress: Progress = False
) -> Operation | None:
    """Take a tag away; `dicomframe.client.client.Client.delete_query_tag` documents it."""
    headers = {"Prefer": "respond-async"} if background else {}
    answer = session.request("DELETE", f"{_ROUTE}/{_path(tag)}", headers=headers, accept_status=(404,))
    forget_tags(session)
    if answer.status == 404:
        if answer.acted_before:
            # The first attempt's answer was lost on the way; its work was not.
            return None
        raise session.error_of(answer)
    if answer.status != 202 or link_of(answer) is None:
        return None
    operation = Operation.of(session, answer, progress)
    return operation.wait() if wait else operation


def _conflict(session: Session, answer: Answer) -> ConflictError:
    """Make the error of a 409, with the way to the operation that is in the way."""
    link = answer.headers.get("Location", "")
    error = session.error_of(answer)
    assert isinstance(error, ConflictError)  # noqa: S101 - the class of 409
    if "operations/" in link:
        error.operation_id = link.rstrip("/").rpartition("/")[2]
        error.hint = (
            "Another operation on tags is running: wait for it, client.operation(error.operation_id).wait(), and try"
            " again."
        )
    return error


def _operation_on(session: Session, entries: list[dict[str, str]], progress: Progress) -> Operation | None:
    """Give the operation that adds just these tags, if one does."""
    present = {str(tag["path"]).upper(): tag for tag in list_tags(session)}
    running = {lower_names(present.get(entry["path"], {}).get("operation")).get("id") for entry in entries}
    identifier = running.pop()
    if running or not isinstance(identifier, str):
        return None
    return Operation(session, f"operations/{identifier}", progress)


# -- what a caller may give --------------------------------------------------------------------------------------


def entries_of(wanted: Any) -> list[dict[str, str]]:
    """Make the body of the request that adds tags, from what a caller gave.

    Raises
    ------
    QueryError
        If it names no attribute, or one that cannot or need not be added.

    Examples
    --------
    >>> entries_of({"BodyPartExamined": "series"})
    [{'path': '00180015', 'vr': 'CS', 'level': 'Series'}]
    """
    entries = [_entry(each) for each in _separate(wanted)]
    if not entries:
        raise QueryError(f"There is no tag to add. {_EXAMPLES}")
    paths = [entry["path"] for entry in entries]
    doubled = next((path for path in paths if paths.count(path) > 1), None)
    if doubled is not None:
        raise QueryError(f"{tags.from_tag(doubled).column} is given twice.")
    return entries


def _separate(wanted: Any) -> list[Mapping[str, Any]]:
    if isinstance(wanted, Mapping):
        if any(str(name).lower() == "path" for name in wanted):
            return [wanted]
        return [{"path": name, "level": level} for name, level in wanted.items()]
    if isinstance(wanted, str | bytes) or not isinstance(wanted, Iterable):
        raise QueryError(f"The tags to add are given with their levels. {_EXAMPLES}")
    listed = list(wanted)
    if not all(isinstance(each, Mapping) for each in listed):
        raise QueryError(f"Each tag is given with its level. {_EXAMPLES}")
    return listed


def _entry(given: Mapping[str, Any]) -> dict[str, str]:
    named = {
        _ENTRY_NAMES.get(str(name).lower(), ""): value for name, value in given.items() if value is not None
    }
    if "" in named or any(not isinstance(value, str) for value in named.values()):
        raise QueryError(
            f"A tag's path, level, vr and privateCreator are texts, and it has nothing else. {_EXAMPLES}"
        )
    key = tags.attribute(named.get("path", ""))
    if key.keyword in CORE:
        level = CORE[key.keyword]
        verb = f"search_{level if level == 'series' else 'studies' if level == 'study' else 'instances'}"
        raise QueryError(
            f"{key.keyword} is searchable already, at the level {level.capitalize()}, and needs no tag: leave it out,"
            f" and search by it with client.{verb}({key.keyword}=...). client.searchable() lists all that are."
        )
    level = named.get("level", "").lower()
    if level not in LEVELS:
        raise QueryError(f"{key.column} needs its level: 'Study', 'Series' or 'Instance'.")
    entry = {"path": key.tag, "vr": _vr(key, named.get("vr", "").upper()), "level": level.capitalize()}
    creator = named.get("privateCreator", "")
    needs_creator = key.is_private and not key.name
    if bool(creator) != needs_creator:
        raise QueryError(
            f"{key.column} is private: it needs its privateCreator."
            if needs_creator
            else f"{key.column} is no private attribute: it has no privateCreator."
        )
    return entry | ({"privateCreator": creator} if creator else {})


def _vr(key: tags.Attribute, given: str) -> str:
    allowed = key.vr.split(" or ") if key.name else list(SUPPORTED_VRS)
    supported = ", ".join(SUPPORTED_VRS)
    if not key.name and not given:
        raise QueryError(f"{key.column} is in no dictionary: it needs its vr, one of {supported}.")
    vr = given or next((each for each in allowed if each in SUPPORTED_VRS), allowed[0])
    if key.name and vr not in allowed:
        raise QueryError(f"{key.column} is of VR {key.vr}, not {vr[:8]!r}; leave the vr out.")
    if vr not in SUPPORTED_VRS:
        raise QueryError(
            f"{key.column} is of VR {vr[:8]}, which no service can search; supported are {supported}."
        )
    return vr


def _path(tag: Any) -> str:
    if not isinstance(tag, str):
        raise QueryError("A tag is named by its keyword or by eight hex digits.")
    return tags.attribute(tag).tag
