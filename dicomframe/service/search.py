"""GET of studies, series and instances by their attributes (QIDO-RS, PS3.18 section 10.6)."""

from __future__ import annotations

from collections.abc import Iterable
from http import HTTPStatus
from typing import Any

from dicomframe.dicom.paths import Level
from dicomframe.service import negotiation
from dicomframe.service.attributes import (
    COMPUTED,
    DEFAULT_ANSWER,
    LEVELS,
    MODALITIES_IN_STUDY,
    SERIES_UID,
    STUDY_UID,
)
from dicomframe.service.call import Answer, Call
from dicomframe.service.metadata import SEPARATOR, piece_of, pieces_of
from dicomframe.service.query import Query, read_query
from dicomframe.service.selection import Selection
from dicomframe.service.tagindex import Tag, has_errors, tags_of


async def studies(call: Call) -> Answer:
    """Search studies."""
    return await _search(call, "study")


async def series(call: Call) -> Answer:
    """Search all series, or those of one study."""
    return await _search(call, "series")


async def instances(call: Call) -> Answer:
    """Search all instances, or those of one study or series."""
    return await _search(call, "instance")


async def _search(call: Call, level: Level) -> Answer:
    # The reference searches studies without an Accept header, and nothing else.
    required = call.service.strict or level != "study"
    json_type = negotiation.json_type(call.header(b"accept"), required=required)
    levels = LEVELS[len(call.uids) : LEVELS.index(level) + 1]
    index, offload = call.service.index, call.service.offload
    query = read_query(
        call.query(), levels, strict=call.service.strict, extended=lambda: tags_of(index.reader)
    )
    default = frozenset().union(*(DEFAULT_ANSWER[call.version, each] for each in levels))
    extra = (query.include | {filtered.attribute.tag for filtered in query.filters}) - default
    computed = sorted(tag for tag in extra if COMPUTED.get(tag) in levels)
    picked = sorted(extra - COMPUTED.keys())
    private = [tag for tag in query.tags.values() if tag.creator]
    selection = _selection(call, level, query, computed=tuple(computed), newest_metadata=bool(picked))
    plan = await offload.brief(index.plan, selection)
    rows = await (offload.brief if plan.is_brief else offload.lengthy)(index.search, plan)
    headers = _about_errors(call, query)
    if not rows:
        return Answer(HTTPStatus.NO_CONTENT, headers=headers)
    fixed = _route_pieces(call.uids)
    if fixed or len(levels) > 1 or extra:
        objects = [_merged(row, len(levels), computed, picked, fixed, private) for row in rows]
    else:
        objects = [b"{%b}" % row[0] for row in rows]
    return Answer(body=b"[%b]" % b",".join(objects), headers={"Content-Type": json_type} | headers)


def _about_errors(call: Call, query: Query) -> dict[str, str]:
    """Name the tags, as the caller wrote them, of which some instances could not be indexed."""
    reader = call.service.index.reader
    erroneous = [name for name, tag in query.tags.items() if has_errors(reader, tag.key)]
    return {"erroneous-dicom-attributes": ",".join(erroneous)} if erroneous else {}


def _selection(
    call: Call, level: Level, query: Query, *, computed: tuple[bytes, ...], newest_metadata: bool
) -> Selection:
    study, series_uid, *_ = (*call.uids, None, None)
    return Selection(
        level,
        call.partition,
        call.version,
        study,
        series_uid,
        tuple(query.filters),
        query.limit,
        query.offset,
        computed,
        newest_metadata,
    )


def _route_pieces(uids: tuple[str, ...]) -> dict[bytes, bytes]:
    """Give the UIDs of the URL, which come back in every row."""
    return {
        tag: piece_of(int(tag, 16), "UI", [uid])
        for tag, uid in zip((STUDY_UID, SERIES_UID), uids, strict=False)
    }


def _merged(
    row: tuple[Any, ...],
    levels: int,
    computed: list[bytes],
    picked: list[bytes],
    fixed: dict[bytes, bytes],
    private: list[Tag],
) -> bytes:
    """Put one row's object together from its levels' answers, what was computed and what was picked."""
    pieces: dict[bytes, bytes] = {}
    if picked:
        newest = pieces_of(row[-2])
        # Private attributes stand in another block than their tag's path says, where the file's writer had it so.
        places = [place for tag in private if (place := tag.place_in(newest))]
        pieces = {tag: newest[tag] for tag in (*picked, *places) if tag in newest}
    for answer in row[:levels]:
        pieces.update(_taken_apart(answer))
    pieces |= fixed
    for tag, value in zip(computed, row[levels:], strict=False):
        pieces[tag] = _computed_piece(tag, value)
    return b"{%b}" % b",".join(pieces[tag] for tag in sorted(pieces))


def _taken_apart(answer: bytes) -> Iterable[tuple[bytes, bytes]]:
    return ((piece[1:9], piece) for piece in answer.split(SEPARATOR))


def _computed_piece(tag: bytes, value: str | int | None) -> bytes:
    number = int(tag, 16)
    if tag == MODALITIES_IN_STUDY:
        return piece_of(number, "CS", sorted(str(value)[1:-1].split("\\")) if value else [])
    return piece_of(number, "IS", [value])
