"""GET of objects and metadata (WADO-RS, PS3.18 section 10.4)."""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator, Mapping, Sequence
from http import HTTPStatus

from dicomframe.dicom.multipartwriter import closing, part_head
from dicomframe.service import negotiation, transcoding, versions
from dicomframe.service.attributes import LEVELS
from dicomframe.service.blobs import StoredBytes
from dicomframe.service.call import Answer, Call, Pieces
from dicomframe.service.delete import missing
from dicomframe.service.faults import Fault, bad_request, not_acceptable
from dicomframe.service.index import Connection
from dicomframe.service.negotiation import DICOM, MULTIPART, Wanted
from dicomframe.service.rows import Stored

#: Metadata is sent in pieces of this many instances.
_INSTANCES_AT_ONCE = 100
#: What was found a moment ago may have been replaced by an update: looked up again, it is there. A study that is
#: updated without a pause is not looked up for ever.
_LOOK_UPS = 10


async def objects(call: Call) -> Answer:
    """Send a study's, series' or instance's files, with the ETag of their metadata: 200, 304, 404, 406.

    Query parameters are ignored, as the real service does.
    """
    single = len(call.uids) == 3
    wanted = negotiation.objects(call.header(b"accept"), single=single, strict=call.service.strict)
    for _ in range(_LOOK_UPS):
        found = await find_versions(call)
        tag = _tag(call, found)
        if _matches(call.header(b"if-none-match"), tag):
            return Answer(HTTPStatus.NOT_MODIFIED)
        try:
            return await send(call, found, wanted, {"ETag": tag})
        except Fault as fault:
            if fault.status != HTTPStatus.NOT_FOUND:
                raise
    raise missing(LEVELS[len(call.uids) - 1])


async def send(
    call: Call, found: Sequence[Stored], wanted: Wanted, headers: Mapping[str, str] | None = None
) -> Answer:
    """Send objects that were found.

    Raises
    ------
    Fault
        406 if one cannot be brought into the transfer syntax, 404 if they are gone.
    """
    syntax = wanted.transfer_syntax
    if not all(transcoding.can_send(stored.transfer_syntax, syntax) for stored in found):
        raise not_acceptable(
            "An object's stored transfer syntax cannot be brought into the one asked for; ask for the bytes as"
            " stored with transfer-syntax=*."
        )
    content_type, heads, end = _frame(found, wanted)
    headers = {"Content-Type": content_type, **(headers or {})}
    try:
        # What can fail for the first object, fails before a status is sent.
        others = sum(call.service.blobs.size(stored.version) for stored in found[1:])
        first = await _object(call, found[0], syntax)
        if isinstance(first, StoredBytes) and not any(
            transcoding.needs_transcoding(stored.transfer_syntax, syntax) for stored in found
        ):
            headers["Content-Length"] = str(first.size + others + sum(map(len, heads)) + len(end))
    except FileNotFoundError:
        raise missing(LEVELS[len(call.uids) - 1]) from None
    except transcoding.CannotTranscode:
        raise not_acceptable(
            "The pixels of an object cannot be decoded; ask for the bytes as stored with transfer-syntax=*."
        ) from None
    return Answer(body=_body(call, first, found, syntax, heads, end), headers=headers)


async def find(call: Call) -> list[Stored]:
    """Find the instances that the path names.

    Raises
    ------
    Fault
        404 if there are none.
    """
    return await call.service.offload.brief(_find, call)


async def find_versions(call: Call) -> list[Stored]:
    """Find instances in the version that the request asks for: the newest, or the first."""
    return await call.service.offload.brief(_find_versions, call)


def _find(call: Call) -> list[Stored]:
    found = call.service.index.find(call.partition, call.uids)
    if not found:
        raise missing(LEVELS[len(call.uids) - 1])
    return found


def _find_versions(call: Call) -> list[Stored]:
    found = _find(call)
    return versions.originals(call.service.index.reader, found) if _wants_original(call) else found


def _wants_original(call: Call) -> bool:
    """Read ``msdicom-request-original``, which asks for what was stored before all bulk updates."""
    said = call.header(b"msdicom-request-original")
    if not said:
        return False
    said = said.strip().lower()
    if said not in {"true", "false"}:
        raise bad_request("The header msdicom-request-original must be true or false.")
    return said == "true"


async def _object(call: Call, stored: Stored, syntax: str) -> bytes | StoredBytes:
    """Give an object in a transfer syntax: the file itself, or what is made of it."""
    blobs, offload = call.service.blobs, call.service.offload
    if transcoding.needs_transcoding(stored.transfer_syntax, syntax):
        return await offload.lengthy(transcoding.transcoded, blobs.path(stored.version), syntax)
    return await offload.brief(blobs.open, stored.version)


async def _body(
    call: Call,
    first: bytes | StoredBytes,
    found: Sequence[Stored],
    syntax: str,
    heads: Sequence[bytes],
    end: bytes,
) -> Pieces:
    """Yield the body: each object behind its head, then the end."""
    yield heads[0]
    yield first
    for stored, head in zip(found[1:], heads[1:], strict=True):
        yield head
        yield await _object(call, stored, syntax)
    yield end


def _frame(found: Sequence[Stored], wanted: Wanted) -> tuple[str, list[bytes], bytes]:
    """Give the Content-Type, what stands in front of each object and what behind the last: nothing if it is alone."""
    types = [_part_type(stored, wanted) for stored in found]
    if not wanted.multipart:
        return types[0], [b""], b""
    boundary = secrets.token_hex(16)
    heads = [
        part_head(boundary, {"Content-Type": each}, first=place == 0) for place, each in enumerate(types)
    ]
    return f'{MULTIPART}; type="{DICOM}"; boundary={boundary}', heads, closing(boundary)


def _part_type(stored: Stored, wanted: Wanted) -> str:
    syntax = wanted.transfer_syntax
    return f"{DICOM}; transfer-syntax={stored.transfer_syntax if syntax == negotiation.AS_STORED else syntax}"


async def metadata(call: Call) -> Answer:
    """Send the metadata of a study, series or instance as one JSON array, with an ETag."""
    json_type = negotiation.json_type(call.header(b"accept"), required=True)
    found, items = await call.service.offload.brief(_find_with_metadata, call)
    tag = _tag(call, found)
    if _matches(call.header(b"if-none-match"), tag):
        return Answer(HTTPStatus.NOT_MODIFIED)
    headers = {"Content-Type": json_type, "ETag": tag}
    if items:
        return Answer(body=b"[%b]" % b",".join(items), headers=headers)
    return Answer(body=_metadata_pages(call, found), headers=headers)


def _find_with_metadata(call: Call) -> tuple[list[Stored], list[bytes]]:
    """Find instances and read their metadata as of one moment, unless they are many, or need not be sent.

    An ETag says which versions there are; with the metadata of others it would be wrong for good.
    """
    with call.service.index.snapshot() as reader:
        found = _find_versions(call)
        is_known = _matches(call.header(b"if-none-match"), _tag(call, found))
        if is_known or len(found) > _INSTANCES_AT_ONCE:
            return found, []
        return found, _metadata(call, reader, found)


async def _metadata_pages(call: Call, found: Sequence[Stored]) -> AsyncIterator[bytes]:
    before = b"["
    for start in range(0, len(found), _INSTANCES_AT_ONCE):
        page = found[start : start + _INSTANCES_AT_ONCE]
        items = await call.service.offload.brief(_metadata_of_page, call, page)
        if items:
            yield before + b",".join(items)
            before = b","
    yield b"]" if before == b"," else b"[]"


def _metadata_of_page(call: Call, page: Sequence[Stored]) -> list[bytes]:
    with call.service.index.snapshot() as reader:
        return _metadata(call, reader, page)


def _metadata(call: Call, reader: Connection, found: Sequence[Stored]) -> list[bytes]:
    if _wants_original(call):
        items = [versions.original_metadata(reader, stored.key) for stored in found]
    else:
        items = [call.service.index.metadata(stored.key) for stored in found]
    return [item for item in items if item is not None]


def _tag(call: Call, found: Sequence[Stored]) -> str:
    newest = max(stored.version for stored in found)
    tag = f"{newest}" if len(call.uids) == 3 else f"{newest}-{len(found)}"
    # Some instances may be newer than the update of the others: then the numbers alone do not tell.
    return tag + "-original" if _wants_original(call) else tag


def _matches(if_none_match: str | None, tag: str) -> bool:
    given = (each.strip().removeprefix("W/").strip('"') for each in (if_none_match or "").split(","))
    return any(each in {tag, "*"} for each in given)
