"""GET of one instance by query parameters, WADO-URI (PS3.18 section 9): the object itself, or a picture of it.

Names and values of parameters are in the standard's own letter case. The real service has no such route.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Final

from dicomframe.service import negotiation, rendering, retrieve
from dicomframe.service.call import Answer, Call
from dicomframe.service.delete import missing
from dicomframe.service.faults import bad_request, not_acceptable
from dicomframe.service.header import EXPLICIT_LITTLE
from dicomframe.service.negotiation import AS_STORED, DICOM, JPEG, PNG, Wanted
from dicomframe.service.pixels import NoPixelData, Pixels
from dicomframe.service.validation import is_uid

_UIDS: Final = ("studyUID", "seriesUID", "objectUID")
#: Of pictures only (PS3.18 section 9.4).
_OF_PICTURES: Final = ("frameNumber", "windowCenter", "windowWidth", "rows", "columns", "imageQuality")
#: What would change the answer and is not done here: leaving it out silently could mislead, or show a name.
_NOT_OFFERED: Final = ("anonymize", "annotation", "region", "presentationUID", "presentationSeriesUID")
_PARAMETERS: Final = ("requestType", "contentType", "transferSyntax", *_UIDS, *_OF_PICTURES, *_NOT_OFFERED)
_FRAME_NUMBER = re.compile(r"[1-9][0-9]{0,8}")


async def wado(call: Call) -> Answer:
    """Send an instance as a DICOM file, or a frame of it as JPEG or PNG."""
    call.refuse_if_strict()
    given = rendering.single_values(call, _PARAMETERS)
    _check(given)
    call = replace(call, uids=tuple(given[name] for name in _UIDS))
    wanted = _wanted_types(given)
    if not wanted:
        wanted = [await _default_type(call, given)]
    if wanted[0] != DICOM:
        return await rendering.send(call, _rendering(given, wanted[0]), _frame_of(given))
    of_pictures = [name for name in _OF_PICTURES if name in given]
    if of_pictures:
        raise bad_request(f"A DICOM object is asked for; {', '.join(of_pictures)} are for images only.")
    # PS3.18 section 9.3: without a transferSyntax, Explicit VR Little Endian.
    syntax = given.get("transferSyntax", EXPLICIT_LITTLE)
    if syntax != AS_STORED and not is_uid(syntax):
        raise bad_request("The transferSyntax must be a UID, or * for the bytes as stored.")
    return await retrieve.send(call, await retrieve.find(call), Wanted(syntax, multipart=False))


def _check(given: Mapping[str, str]) -> None:
    if given.get("requestType") != "WADO":
        raise bad_request("The query must have requestType=WADO.")
    absent = [name for name in _UIDS if not given.get(name)]
    if absent:
        raise bad_request(f"The query must name one instance: {', '.join(absent)} missing.")
    for name in _UIDS:
        if not is_uid(given[name]):
            raise bad_request(
                f"The {name} is malformed: 1 to 64 digits and dots are accepted, with a digit at the end.",
                "InvalidUid",
            )
    refused = [name for name in _NOT_OFFERED if name in given]
    if refused:
        raise bad_request(f"This service does not offer {', '.join(refused)}; leave that out of the query.")


def _wanted_types(given: Mapping[str, str]) -> list[str]:
    """Give the types of contentType that can be sent, the most wanted first; an empty list if it is not given."""
    text = given.get("contentType")
    if text is None:
        return []
    ranges = sorted(negotiation.ranges_of(text), key=lambda each: -each[0])
    types = [media.type for _, media in ranges if media.type in {DICOM, JPEG, PNG}]
    if not types:
        raise not_acceptable(
            f"An instance can be sent as {DICOM}, {JPEG} or {PNG}; contentType names none of them."
        )
    return types


async def _default_type(call: Call, given: Mapping[str, str]) -> str:
    """Give JPEG for an image of one frame, or where a frame is named, else DICOM."""
    if "frameNumber" in given:
        return JPEG
    if "transferSyntax" in given:
        return DICOM
    (stored,) = await retrieve.find(call)
    try:
        pixels = await call.service.offload.lengthy(Pixels.open, call.service.blobs.path(stored.version))
    except NoPixelData:
        return DICOM
    except FileNotFoundError:
        raise missing("instance") from None
    return JPEG if pixels.count == 1 else DICOM


def _rendering(given: Mapping[str, str], media_type: str) -> rendering.Rendering:
    if "transferSyntax" in given:
        raise bad_request("An image is asked for; transferSyntax is for DICOM objects only.")
    window = None
    if "windowCenter" in given or "windowWidth" in given:
        window = rendering.window_of(f"{given.get('windowCenter', '')},{given.get('windowWidth', '')}")
    viewport = None
    if "rows" in given or "columns" in given:
        # Either may be left out; then the other alone decides the size.
        most = str(rendering.MOST_SIDE)
        viewport = rendering.viewport_of(f"{given.get('columns', most)},{given.get('rows', most)}")
    quality = rendering.quality_of(given.get("imageQuality"), rendering.QUALITY)
    return rendering.Rendering(media_type, quality, window, viewport)


def _frame_of(given: Mapping[str, str]) -> int:
    text = given.get("frameNumber", "1")
    if not _FRAME_NUMBER.fullmatch(text):
        raise bad_request("The frameNumber must be a whole number from 1 on.")
    return int(text)
