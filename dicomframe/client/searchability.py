"""What can be searched, at which level, and why not: told before the service is asked for rows.

The attributes that are always searchable are those of the service's conformance statement. Anything else must be an
extended query tag. Only a filter that is none of the first costs a request, for the list of tags; what was found
searchable once is not asked about again, and what was not is asked about each time, because somebody may have added it.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final
from weakref import WeakKeyDictionary

from dicomframe.client.filtervalues import RANGE_VRS
from dicomframe.client.outcomes import outcome_table
from dicomframe.client.query import Query
from dicomframe.client.session import Session
from dicomframe.dicom import tags
from dicomframe.dicom.paths import Level
from dicomframe.errors import (
    DicomFrameError,
    QueryError,
    ServiceError,
    UnexpectedAnswerError,
    UnsearchableWarning,
    warn_caller,
)

if TYPE_CHECKING:
    import pandas as pd

LEVELS: Final[tuple[Level, ...]] = ("study", "series", "instance")
#: Searchable on every service that keeps to the conformance statement.
CORE: Final[Mapping[str, Level]] = {
    "StudyInstanceUID": "study",
    "PatientName": "study",
    "PatientID": "study",
    "PatientBirthDate": "study",
    "AccessionNumber": "study",
    "ReferringPhysicianName": "study",
    "StudyDate": "study",
    "StudyDescription": "study",
    "ModalitiesInStudy": "study",
    "SeriesInstanceUID": "series",
    "Modality": "series",
    "PerformedProcedureStepStartDate": "series",
    "ManufacturerModelName": "series",
    "SOPInstanceUID": "instance",
}
#: Searchable on the local service; on the cloud service only as extended query tags.
REFERENCE: Final[Mapping[str, Level]] = {
    "StudyTime": "study",
    "StudyID": "study",
    "SeriesNumber": "series",
    "SeriesDescription": "series",
}
COLUMNS: Final = ("keyword", "tag", "vr", "level", "source", "ranges", "wildcards", "fuzzy", "status")
NEEDS_TAG: Final = "needs a tag"

_WILDCARD_VRS: Final = frozenset("AE AS CS LO PN SH".split())
_MOST_TAGS: Final = 200
# The server has no such route, or nothing that this client could read there.
_ABSENT: Final = (400, 404, 405, 406, 410, 415, 501)


class Listing:
    """What a service said when it was asked for its extended query tags.

    Parameters
    ----------
    tags : list of dict
        As it wrote them, the names in lower case.
    is_offered : bool
        Whether the service has extended query tags at all.
    is_known : bool
        Whether it told.
    """

    def __init__(
        self, found: Sequence[dict[str, Any]] = (), *, is_offered: bool = True, is_known: bool = True
    ) -> None:
        self.tags = {str(tag["path"]).upper(): tag for tag in found}
        self.is_offered = is_offered
        self.is_known = is_known


class _Known:
    """What is remembered of one service."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.searchable: dict[str, Level] = {}
        self.is_offered = True


_known: WeakKeyDictionary[Session, _Known] = WeakKeyDictionary()


def forget_tags(session: Session) -> None:
    """Forget what was found searchable: tags have changed."""
    _known.pop(session, None)


def list_tags(session: Session) -> list[dict[str, Any]]:
    """Ask for all extended query tags; the names in them are in lower case.

    Raises
    ------
    ServiceError, TransportError
        If the service refuses or does not answer.
    UnexpectedAnswerError
        If its answer is no list of tags.
    """
    found: list[dict[str, Any]] = []
    while True:
        answer = session.request(
            "GET",
            "extendedquerytags",
            params=[("limit", str(_MOST_TAGS)), ("offset", str(len(found)))],
            headers={"Accept": "application/json"},
        )
        page = [lower_names(each) for each in answer.json() or []] if answer.content[:1] in b"[" else None
        if page is None or not all(isinstance(each.get("path"), str) for each in page):
            raise UnexpectedAnswerError(answer.status, answer.route, message="the answer is no list of tags")
        # A server that does not know offset gives the same page again.
        found += (fresh := [each for each in page if each not in found])
        if len(page) < _MOST_TAGS or not fresh:
            return found


def lower_names(said: Any) -> dict[str, Any]:
    """Give a JSON object with its names in lower case; services differ in how they write them."""
    return {str(name).lower(): value for name, value in said.items()} if isinstance(said, dict) else {}


def level_of(tag: Mapping[str, Any]) -> Level | None:
    """Give the level of a tag as a service wrote it."""
    said = str(tag.get("level", "")).lower()
    return next((level for level in LEVELS if level == said), None)


def check_searchable(session: Session, queries: Iterable[Query]) -> None:
    """Refuse filters that the service does not search by, before anything is asked for.

    Raises
    ------
    QueryError
        If a filter is not searchable at its query's level. The message tells what is, and how to add the attribute.

    Warns
    -----
    UnsearchableWarning
        If the service does not tell which tags it has.
    """
    in_question = list(
        dict.fromkeys(
            (key, levels)
            for levels, names in {
                (_levels_of(query), tuple(name for name, _ in query.params)) for query in queries
            }
            for key in filter(None, map(tags.find, names))
            if not _is_always_searchable(session, key.keyword, levels)
        )
    )
    if not in_question:
        return
    known = _known.setdefault(session, _Known())
    with known.lock:
        if not known.is_offered or all(
            known.searchable.get(key.tag) in levels for key, levels in in_question
        ):
            return
        listing = _ask(session)
        known.is_offered = listing.is_offered or session.address.is_azure
        known.searchable = {
            path: level
            for path, tag in listing.tags.items()
            if (level := level_of(tag)) and not _why_not(tag, LEVELS)
        }
    if not known.is_offered:
        return
    for key, levels in in_question:
        _judge(session, key, levels, listing)


def _judge(session: Session, key: tags.Attribute, levels: tuple[Level, ...], listing: Listing) -> None:
    tag = listing.tags.get(key.tag)
    if tag is not None:
        reason = _why_not(tag, levels)
    elif not listing.is_known and key.keyword not in CORE:
        warn_caller(
            f"{key.column} may not be searchable here: the service does not tell which extended query tags it has.",
            UnsearchableWarning,
        )
        return
    else:
        reason = _what_to_do(key, levels)
    if reason:
        names = [
            *_always(session, levels),
            *(_name(path) for path, each in listing.tags.items() if not _why_not(each, levels)),
        ]
        raise QueryError(f"{key.column} {reason} Searchable here are {', '.join(names)}.")


def _why_not(tag: Mapping[str, Any], levels: Sequence[Level]) -> str:
    """Say why a tag cannot be searched by now; empty where it can."""
    level = level_of(tag)
    name = _name(str(tag["path"]).upper())
    if level not in levels:
        return f"is an extended query tag of the level {level}, which this search does not look at."
    status = str(tag.get("status", "Ready"))
    if status == "Adding":
        return "is an extended query tag that is still being indexed: wait for its operation, see client.query_tags()."
    if status != "Ready":
        return f"is an extended query tag that cannot be searched by: it is {status.lower()}."
    if str(tag.get("querystatus", "Enabled")) != "Enabled":
        return (
            "is an extended query tag that is disabled, because some instances could not be indexed:"
            f" client.query_tag_errors({name!r}) tells which, and client.update_query_tag({name!r}, enabled=True)"
            " lets it be searched nevertheless."
        )
    return ""


def _what_to_do(key: tags.Attribute, levels: tuple[Level, ...]) -> str:
    own = CORE.get(key.keyword)
    if own is not None:
        search = {"study": "search_studies", "series": "search_series", "instance": "search_instances"}[own]
        above = LEVELS.index(own) < LEVELS.index(levels[0])
        there = f"{search}{' without study_uid=' * (above and own != 'study')}"
        return f"belongs to the level {own}, which this search does not look at: use {there}."
    level = REFERENCE.get(key.keyword, levels[-1]).capitalize()
    add = (
        f"client.add_query_tags({{{key.keyword!r}: {level!r}}})"
        if key.keyword
        else f'client.add_query_tags({{"path": {key.tag!r}, "vr": ..., "level": {level!r}, "privateCreator": ...}})'
    )
    return f"is not searchable in this service. To make it so: {add}.wait()"


def _listing(session: Session) -> Listing:
    """List the tags, none where the server has no such thing."""
    try:
        return Listing(list_tags(session))
    except UnexpectedAnswerError:
        return Listing(is_offered=False, is_known=False)
    except ServiceError as error:
        if error.status not in _ABSENT:
            raise
        return Listing(is_offered=False, is_known=False)


def _ask(session: Session) -> Listing:
    """List the tags for a search, which must not fail because of them."""
    try:
        return _listing(session)
    except DicomFrameError:
        return Listing(is_known=False)


def _levels_of(query: Query) -> tuple[Level, ...]:
    """Give the levels whose attributes a route filters by: those that its UIDs do not settle."""
    segments = query.route.split("/")
    own = {"studies": 0, "series": 1, "instances": 2}.get(segments[-1], 2)
    return LEVELS[len(segments) // 2 : own + 1]


def _is_always_searchable(session: Session, keyword: str, levels: Sequence[Level]) -> bool:
    return keyword in _always(session, levels)


def _always(session: Session, levels: Sequence[Level]) -> list[str]:
    known = dict(CORE) if session.address.is_azure else {**CORE, **REFERENCE}
    return [keyword for keyword, level in known.items() if level in levels]


def _name(path: str) -> str:
    return tags.from_tag(path).column


def searchable(session: Session, level: Level | None = None) -> pd.DataFrame:
    """List what can be searched by; `dicomframe.client.client.Client.searchable` documents it."""
    if level is not None and level not in LEVELS:
        raise QueryError("level must be 'study', 'series' or 'instance'.")
    listing = _listing(session)
    is_azure = session.address.is_azure
    rows = [_row(tags.attribute(keyword), own, "core", "Ready") for keyword, own in CORE.items()]
    rows += [
        _row(tags.attribute(keyword), own, "reference", NEEDS_TAG if is_azure else "Ready")
        for keyword, own in REFERENCE.items()
        if not is_azure or tags.attribute(keyword).tag not in listing.tags
    ]
    listed = {(row["tag"], row["level"]) for row in rows}
    for path, tag in listing.tags.items():
        own = level_of(tag) or "study"
        if (path, own) not in listed:
            disabled = str(tag.get("querystatus", "Enabled")) != "Enabled"
            status = str(tag.get("status", ""))
            vr = str(tag.get("vr") or tags.from_tag(path).vr)
            shown = "Disabled" if disabled and status == "Ready" else status
            rows.append(_row(tags.from_tag(path), own, "extended", shown, vr))
    last = LEVELS.index(level) if level else len(LEVELS)
    rows = [row for row in rows if LEVELS.index(row["level"]) <= last]
    rows.sort(key=lambda row: LEVELS.index(row["level"]))
    table = outcome_table(rows, COLUMNS, session.base)
    for name, vrs in (
        ("ranges", RANGE_VRS),
        ("wildcards", () if is_azure else _WILDCARD_VRS),
        ("fuzzy", ("PN",)),
    ):
        table[name] = table["vr"].isin(vrs).astype("boolean")
    return table


def _row(key: tags.Attribute, level: Level, source: str, status: str, vr: str = "") -> dict[str, Any]:
    return {
        "keyword": key.keyword,
        "tag": key.tag,
        "vr": vr or key.vr,
        "level": level,
        "source": source,
        "status": status,
    }
