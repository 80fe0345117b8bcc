"""GET of one bulk value of an instance (PS3.18 section 10.4), by the path of its attribute.

The path is a tag, as eight hex digits or a keyword, for an attribute of the data set. For one inside a sequence it is
``tag/item/tag``, as deep as needed, with items counted from 1: ``54000100/1/54001010`` is the Waveform Data of the
first item of the Waveform Sequence.

The real service has no such route, and its metadata names no bulk values. This one follows the standard: values come in
little-endian order, and with ``transfer-syntax=*`` in the file's; compressed Pixel Data comes decoded, all frames one
behind the other, and with ``transfer-syntax=*`` as it is stored, each frame a part.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING

from dicomframe.dicom.multipartwriter import closing, part_head
from dicomframe.dicom.tags import BINARY_VRS, find
from dicomframe.service import frames, negotiation, retrieve
from dicomframe.service.call import Answer, Call
from dicomframe.service.delete import missing
from dicomframe.service.faults import bad_request, not_acceptable, not_found
from dicomframe.service.negotiation import AS_STORED, MULTIPART, OCTETS, Wanted
from dicomframe.service.pixels import NATIVE, PIXEL_DATA, Pixels
from dicomframe.service.stored_file import StoredFile, swapped, word_bytes

if TYPE_CHECKING:
    from dicomframe.service.header import Raw
    from dicomframe.service.stored_file import Item

#: Bytes sent at a time: whole words of any width.
_CHUNK_BYTES = 1 << 20
_ITEM_NUMBER = re.compile(r"[1-9][0-9]{0,8}")
_TAG = re.compile(r"[0-9A-Fa-f]{8}|[A-Z][A-Za-z0-9]*")
_BITS_ALLOCATED = 0x00280100


async def bulkdata(call: Call) -> Answer:
    """Send one value; query parameters are ignored."""
    call.refuse_if_strict()
    wanted = negotiation.bulk(call.header(b"accept"))
    path = _path(call.names[0])
    (stored,) = await retrieve.find(call)
    try:
        file = await call.service.offload.lengthy(StoredFile.open, call.service.blobs.path(stored.version))
    except FileNotFoundError:
        raise missing("instance") from None
    item, raw = _value(file, path)
    if path == [PIXEL_DATA] and file.transfer_syntax not in NATIVE:
        return await _compressed(call, Pixels(file), wanted)
    width = 1
    if file.header.big_endian and wanted.transfer_syntax != AS_STORED:
        width = word_bytes(raw.vr)
        if path[-1] == PIXEL_DATA:
            width = max(width, item.whole(_BITS_ALLOCATED) // 8)
    return _send(file, raw, width, wanted)


async def _compressed(call: Call, pixels: Pixels, wanted: Wanted) -> Answer:
    everything = range(pixels.count)
    if wanted.transfer_syntax != AS_STORED:
        return await frames.send(call, pixels, everything, wanted, together=True)
    if not wanted.multipart and pixels.count > 1:
        raise not_acceptable(
            f'The compressed frames can be sent as {MULTIPART}; type="{OCTETS}"; transfer-syntax=* only; or decoded, as'
            f" {OCTETS}."
        )
    return await frames.send(call, pixels, everything, wanted)


def _send(file: StoredFile, raw: Raw, width: int, wanted: Wanted) -> Answer:
    content_type = f"{OCTETS}; transfer-syntax={frames.syntax_of(file, wanted)}"
    if not wanted.multipart:
        headers = {"Content-Type": content_type, "Content-Length": str(raw.end - raw.start)}
        return Answer(body=_chunks(file, raw, width), headers=headers)
    boundary = secrets.token_hex(16)
    head, foot = part_head(boundary, {"Content-Type": content_type}, first=True), closing(boundary)

    async def body() -> AsyncIterator[bytes]:
        yield head
        async for chunk in _chunks(file, raw, width):
            yield chunk
        yield foot

    headers = {
        "Content-Type": f'{MULTIPART}; type="{OCTETS}"; boundary={boundary}',
        "Content-Length": str(len(head) + raw.end - raw.start + len(foot)),
    }
    return Answer(body=body(), headers=headers)


async def _chunks(file: StoredFile, raw: Raw, width: int) -> AsyncIterator[bytes]:
    for start in range(raw.start, raw.end, _CHUNK_BYTES):
        yield swapped(file.data[start : min(start + _CHUNK_BYTES, raw.end)], width)


def _path(text: str) -> list[int]:
    """Read a path as tag numbers with item numbers between."""
    segments = text.split("/")
    tags, items = segments[::2], segments[1::2]
    known = [find(tag) if _TAG.fullmatch(tag) else None for tag in tags]
    if len(segments) % 2 == 0 or not all(known) or not all(map(_ITEM_NUMBER.fullmatch, items)):
        raise bad_request(
            "The path behind bulkdata must be a tag as eight hex digits or a keyword, such as PixelData; for a value in"
            " a sequence tag/item/tag, with items counted from 1, such as 54000100/1/54001010.",
            "InvalidBulkDataPath",
        )
    numbers = [int(attribute.tag, 16) for attribute in known if attribute is not None]
    return [number for pair in zip(numbers, [*map(int, items), 0], strict=True) for number in pair][:-1]


def _value(file: StoredFile, path: list[int]) -> tuple[Item, Raw]:
    item: Item = file
    for tag, number in zip(path[:-1:2], path[1::2], strict=True):
        items = item.items(tag)
        if number > len(items):
            raise not_found("The instance has no such sequence item.")
        item = items[number - 1]
    raw = item.raw(path[-1])
    if raw is None or raw.vr not in BINARY_VRS or raw.start == raw.end:
        raise not_found(
            f"The instance has no bulk value there; bulk are the VRs {', '.join(sorted(BINARY_VRS))}, all others are in"
            " its metadata."
        )
    return item, raw
