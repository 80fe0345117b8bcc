"""Extended query tags: attributes that are made searchable (the service's own API beside DICOMweb)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final

import orjson

from dicomframe.service import operations, tagindex
from dicomframe.service.call import Answer, Call
from dicomframe.service.faults import Fault, bad_request, not_found
from dicomframe.service.tagindex import Tag
from dicomframe.service.tagrequest import LEVEL_NAMES, NewTag, path_of, read_new_tags, read_query_status

if TYPE_CHECKING:
    from dicomframe.service.index import Connection
    from dicomframe.service.operations import Job, Operation
    from dicomframe.service.service import Service

#: How many tags there may be, in all partitions together.
MOST_TAGS: Final = 128
#: The types of operations on tags.
REINDEXING: Final = "reindex"
DELETION: Final = "deleteExtendedQueryTag"

_DEFAULT_LIMIT: Final = 100
_MOST_ROWS: Final = 200
_JSON: Final = {"Content-Type": "application/json"}


class _Running(Exception):
    """Another reindexing has not ended yet."""

    def __init__(self, operation: Operation) -> None:
        super().__init__("Another reindexing runs.")
        self.operation = operation


# -- routes ------------------------------------------------------------------------------------------------------


async def list_all(call: Call) -> Answer:
    """List the tags, oldest first; none is an empty array."""
    limit, offset = _page(call)
    counts = await _error_counts(call)
    listed = tagindex.tags_of(call.service.index.reader)[offset : offset + limit]
    return _answer([_body(call, tag, counts) for tag in listed])


async def one(call: Call) -> Answer:
    """Tell about one tag."""
    call.refuse_query()
    counts = await _error_counts(call)
    return _answer(_body(call, _tag(call), counts))


async def errors(call: Call) -> Answer:
    """List the instances that a tag could not index, and why."""
    limit, offset = _page(call)
    tag = _tag(call)
    rows = await call.service.offload.lengthy(
        lambda: tagindex.errors_of(call.service.index.reader, tag.key, limit, offset)
    )
    listed = [
        {
            "studyInstanceUid": study,
            "seriesInstanceUid": series,
            "sopInstanceUid": instance,
            "createdTime": operations.iso_time(created),
            "errorMessage": message,
            "partitionName": partition,
        }
        for study, series, instance, created, message, partition in rows
    ]
    return _answer(listed)


async def add(call: Call) -> Answer:
    """Add tags: 202 and the operation that indexes what is stored, or 409 while another one does."""
    call.refuse_query()
    wanted = read_new_tags(await call.json(), strict=call.service.strict)
    return await _start(call, lambda: _add(call, wanted))


async def reindex(call: Call) -> Answer:
    """Index all instances by one tag once more: an extra that the user's reference shows, 404 where strict."""
    call.refuse_query()
    if call.service.strict:
        raise not_found("There is no such route.")
    path = _path(call)
    return await _start(call, lambda: _reindex(call, path))


async def change(call: Call) -> Answer:
    """Let a tag be searched, or not."""
    call.refuse_query()
    enabled = read_query_status(await call.json())
    path = _path(call)

    def write() -> Tag:
        with call.service.index.transaction() as writer:
            tagindex.change_tag(writer, _known(tagindex.find_tag(writer, path)).key, enabled=int(enabled))
            return _known(tagindex.find_tag(writer, path))

    tag = await call.service.offload.lengthy(write)
    return _answer(_body(call, tag, await _error_counts(call)))


async def delete(call: Call) -> Answer:
    """Take a tag and its values away: 204, or 202 and an operation with ``Prefer: respond-async``."""
    call.refuse_query()
    path, offload = _path(call), call.service.offload
    operation = await offload.lengthy(_begin_deletion, call, path)
    service_operations = call.service.operations
    if call.prefers("respond-async") and not call.service.strict:
        service_operations.schedule(operation)
        return operations.accepted(call, operation)
    ended = await offload.lengthy(service_operations.run, operation)
    if ended.status != "succeeded":
        raise Fault(
            HTTPStatus.INTERNAL_SERVER_ERROR, "InternalError", "The deletion failed; see the service's log."
        )
    return Answer(HTTPStatus.NO_CONTENT)


# -- work --------------------------------------------------------------------------------------------------------


def reindex_work(service: Service, job: Job) -> Mapping[str, Any]:
    """Index all stored instances, in batches between which others can write; it may be run again from its start."""
    index = service.index
    paths = job.payload["tags"]
    with index.transaction() as writer:
        tags = [tag for path in paths if (tag := tagindex.find_tag(writer, path))]
        for tag in tags:
            tagindex.forget_errors(writer, tag.key)
    (newest,) = index.reader.execute("SELECT coalesce(max(key), 0) FROM instance").fetchone()
    last, done = 0, 0
    while True:
        with index.transaction() as writer:
            last, count = tagindex.index_batch(writer, tags, last)
        if not count:
            break
        done += count
        job.report(min(100 * last // max(newest, 1), 99))
    with index.transaction() as writer:
        for tag in tags:
            tagindex.change_tag(writer, tag.key, status="Ready", operation="")
        counts = tagindex.error_counts(writer)
    return {"instances": done, "errors": sum(counts.get(tag.key, 0) for tag in tags)}


def delete_work(service: Service, job: Job) -> Mapping[str, Any]:
    """Take away a tag's values, many at a time, and in the end the tag."""
    gone = False
    while not gone:
        with service.index.transaction() as writer:
            tag = tagindex.find_tag(writer, job.payload["tag"])
            gone = tag is None or tagindex.forget_tag(writer, tag.key)
    return {}


# -- steps -------------------------------------------------------------------------------------------------------


async def _start(call: Call, begin: Callable[[], Operation]) -> Answer:
    """Have an operation written down and begun, unless another reindexing runs."""
    offload = call.service.offload
    await offload.lengthy(call.service.operations.resume)
    try:
        operation = await offload.lengthy(begin)
    except _Running as running:
        link = operations.href(call, running.operation)
        text = f"Another reindexing is running: follow it at {link}, then try again."
        # In text, as the real service says it.
        headers = {"Content-Type": "text/plain; charset=utf-8", "Location": link}
        return Answer(HTTPStatus.CONFLICT, text.encode(), headers)
    call.service.operations.schedule(operation)
    return operations.accepted(call, operation)


def _add(call: Call, wanted: Sequence[NewTag]) -> Operation:
    service = call.service
    with service.index.transaction() as writer:
        present = {tag.path: tag for tag in tagindex.tags_of(writer)}
        there = [present[tag.path].keyword for tag in wanted if tag.path in present]
        if there:
            raise Fault(
                HTTPStatus.CONFLICT,
                "TagAlreadyExists",
                f"{', '.join(there)} {'is' if len(there) == 1 else 'are'} an extended query tag already.",
            )
        if len(present) + len(wanted) > MOST_TAGS:
            raise bad_request(
                f"There may be {MOST_TAGS} extended query tags; there are {len(present)}, and {len(wanted)} more are"
                " asked for. Delete some first.",
                "TooManyTags",
            )
        operation = _insert(call, writer, REINDEXING, {"tags": [tag.path for tag in wanted]})
        for tag in wanted:
            tagindex.insert_tag(writer, tag.path, tag.vr, tag.creator, tag.level, operation.id)
    return operation


def _reindex(call: Call, path: str) -> Operation:
    with call.service.index.transaction() as writer:
        tag = _known(tagindex.find_tag(writer, path))
        if tag.status == "Deleting":
            raise _busy(tag)
        operation = _insert(call, writer, REINDEXING, {"tags": [path]})
        tagindex.change_tag(writer, tag.key, operation=operation.id)
    return operation


def _begin_deletion(call: Call, path: str) -> Operation:
    with call.service.index.transaction() as writer:
        tag = _known(tagindex.find_tag(writer, path))
        if tag.operation:
            raise _busy(tag)
        payload = {"tag": path}
        operation = call.service.operations.insert(writer, DELETION, payload, resources=(_url(call, path),))
        tagindex.change_tag(writer, tag.key, status="Deleting", operation=operation.id)
    return operation


def _insert(call: Call, writer: Connection, type_: str, payload: dict[str, list[str]]) -> Operation:
    running = call.service.operations.running(type_)
    if running is not None:
        raise _Running(running)
    urls = tuple(_url(call, path) for path in payload["tags"])
    return call.service.operations.insert(writer, type_, payload, resources=urls)


def _busy(tag: Tag) -> Fault:
    """Give the 400 with which the real service refuses to touch a tag that is not ready."""
    doing = "being deleted" if tag.status == "Deleting" else "being indexed"
    return bad_request(f"{tag.keyword} is {doing}; wait for the operation's end.", "TagBusy")


def _path(call: Call) -> str:
    return path_of(call.names[0])


def _tag(call: Call) -> Tag:
    return _known(tagindex.find_tag(call.service.index.reader, _path(call)))


def _known(tag: Tag | None) -> Tag:
    if tag is None:
        raise not_found("There is no such extended query tag.")
    return tag


def _page(call: Call) -> tuple[int, int]:
    found = {"limit": _DEFAULT_LIMIT, "offset": 0}
    bounds = {"limit": (1, _MOST_ROWS), "offset": (0, 2**31 - 1)}
    seen: set[str] = set()
    for key, value in call.query():
        name = key.lower()
        if name not in found or name in seen:
            raise bad_request("Accepted are limit and offset, each once.", "UnknownQueryParameter")
        low, high = bounds[name]
        if not (value.isascii() and value.isdigit() and len(value) <= 10 and low <= int(value) <= high):
            raise bad_request(f"{name} must be a whole number from {low} to {high}.", "InvalidQueryParameter")
        seen.add(name)
        found[name] = int(value)
    return found["limit"], found["offset"]


async def _error_counts(call: Call) -> dict[int, int]:
    # There may be as many errors as instances.
    return await call.service.offload.lengthy(lambda: tagindex.error_counts(call.service.index.reader))


def _url(call: Call, path: str) -> str:
    return f"{call.root}/extendedquerytags/{path}"


def _body(call: Call, tag: Tag, error_counts: Mapping[int, int]) -> dict[str, Any]:
    body: dict[str, Any] = {
        "path": tag.path,
        "vr": tag.vr,
        "privateCreator": tag.creator or None,
        "level": LEVEL_NAMES[tag.level],
        "status": tag.status,
        "queryStatus": "Enabled" if tag.enabled else "Disabled",
    }
    if tag.key in error_counts:
        body["errors"] = {"count": error_counts[tag.key], "href": f"{_url(call, tag.path)}/errors"}
    if tag.operation:
        body["operation"] = {"id": tag.operation, "href": f"{call.root}/operations/{tag.operation}"}
    return {name: value for name, value in body.items() if value is not None}


def _answer(body: object) -> Answer:
    return Answer(body=orjson.dumps(body), headers=_JSON)
