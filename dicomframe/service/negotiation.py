"""Which representation a request accepts (RFC 9110 section 12.5.1, PS3.18 section 8.7), as the service reads it.

Where the real service refuses what the user's reference shows (to store or to search studies without an Accept
header, to retrieve a study without a transfer syntax), that is served by default and refused by a strict service.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from dicomframe.dicom.multipart import MediaType
from dicomframe.service.faults import bad_request, not_acceptable
from dicomframe.service.header import EXPLICIT_LITTLE

AS_STORED: Final = "*"
JPEG_2000_LOSSLESS: Final = "1.2.840.10008.1.2.4.90"
DICOM: Final = "application/dicom"
DICOM_JSON: Final = "application/dicom+json"
JSON: Final = "application/json"
MULTIPART: Final = "multipart/related"
OCTETS: Final = "application/octet-stream"
JPEG_2000: Final = "image/jp2"
JPEG: Final = "image/jpeg"
PNG: Final = "image/png"

#: What may be asked for; the bytes as stored go before everything else of the same quality.
_SYNTAXES: Final = (AS_STORED, EXPLICIT_LITTLE, JPEG_2000_LOSSLESS)
#: Media type of a frame -> its transfer syntaxes; the first is meant where none is named.
_FRAME_SYNTAXES: Final = {
    OCTETS: (EXPLICIT_LITTLE, AS_STORED),
    JPEG_2000: (JPEG_2000_LOSSLESS,),
    "*/*": (AS_STORED, EXPLICIT_LITTLE),
}
_BULK_SYNTAXES: Final = (EXPLICIT_LITTLE, AS_STORED)
# What stands between commas; one within quotes does not separate. It takes a header of any length in one pass.
_RANGE = re.compile(r'(?:[^",]+|"[^"]*(?:"|$))+')

# Clients send the same few headers again and again. A header is 64 KiB at most.
_remembered = functools.lru_cache(maxsize=64)


@dataclass(frozen=True, slots=True)
class Wanted:
    """How objects, frames or bulk values are to be sent.

    Parameters
    ----------
    transfer_syntax : str
        `AS_STORED` or a UID.
    multipart : bool
        Whether as parts of a multipart body.
    media_type : str
        Of the whole body, or of each part.
    """

    transfer_syntax: str
    multipart: bool
    media_type: str = DICOM


def ranges_of(accept: str) -> list[tuple[float, MediaType]]:
    """Take an Accept header apart: quality and media range, in the header's order; refused ones left out."""
    return [(quality, media) for quality, media in _all_ranges(accept) if quality > 0]


def _all_ranges(accept: str) -> list[tuple[float, MediaType]]:
    ranges = []
    for text in _RANGE.findall(accept):
        media = MediaType.parse(text)
        if not media.type:
            continue
        try:
            quality = float(media.parameters.get("q", "1"))
        except ValueError:
            quality = 0.0
        ranges.append((quality, media))
    return ranges


def _preferred(accept: str, offers: Sequence[str]) -> str | None:
    """Give the type on offer that a header likes best; None if it takes none of them.

    The range that names a type most closely decides on it, so that ``application/json;q=0`` is not undone by ``*/*``.
    """
    ranges = list(enumerate(_all_ranges(accept)))
    choices = []
    for offer in offers:
        for name in (offer, f"{offer.partition('/')[0]}/*", "*/*"):
            found = [(-quality, place) for place, (quality, media) in ranges if media.type == name]
            if found:
                choices.append((*min(found), offer))
                break
    liked = [choice for choice in choices if choice[0] < 0]
    return min(liked, key=lambda choice: choice[:2])[2] if liked else None


@_remembered
def json_type(accept: str | None, *, required: bool) -> str:
    """Decide as which JSON type search results, metadata and store answers are sent.

    Parameters
    ----------
    accept : str, optional
        The header.
    required : bool
        Whether the request must have it.

    Raises
    ------
    Fault
        406 if the request accepts none of them.
    """
    if not accept:
        if required:
            raise not_acceptable(f"The request has no Accept header; send 'Accept: {DICOM_JSON}'.")
        return DICOM_JSON
    preferred = _preferred(accept, (DICOM_JSON, JSON))
    if preferred is None:
        raise not_acceptable(f"This can be sent as {DICOM_JSON} only; the Accept header does not allow that.")
    return preferred


@_remembered
def objects(accept: str | None, *, single: bool, strict: bool) -> Wanted:
    """Decide how objects are sent.

    Parameters
    ----------
    accept : str, optional
        The header.
    single : bool
        Whether one instance is asked for: only that may be sent without multipart.
    strict : bool
        Whether the real service's refusals apply.

    Raises
    ------
    Fault
        406 if the request accepts nothing that the service can send.
    """
    if not accept and strict:
        raise not_acceptable(f'The request has no Accept header; {MULTIPART}; type="{DICOM}" is accepted.')
    choices = [
        (-quality, _SYNTAXES.index(wanted.transfer_syntax), place, wanted)
        for place, (quality, media) in enumerate(ranges_of(accept or "*/*"))
        if (wanted := _wanted(media, single=single)) is not None
    ]
    if strict and not single:
        choices = [choice for choice in choices if choice[3].transfer_syntax == AS_STORED]
    if not choices:
        forms = f'{MULTIPART}; type="{DICOM}"' + (f" or {DICOM}" if single else "")
        syntaxes = AS_STORED if strict and not single else ", ".join(_SYNTAXES)
        raise not_acceptable(
            f"Objects can be sent as {forms}, with transfer-syntax={syntaxes}; the Accept header allows none."
        )
    return min(choices, key=lambda choice: choice[:3])[3]


def frames(accept: str | None, *, several: bool, strict: bool) -> Wanted:
    """Decide how frames are sent.

    Parameters
    ----------
    accept : str, optional
        The header.
    several : bool
        Whether more than one frame is asked for: they are sent as multipart only.
    strict : bool
        Whether the real service's refusals apply.

    Raises
    ------
    Fault
        406 if the request accepts nothing that the service can send, 400 if it accepts several frames as a single
        part only.
    """
    if not accept and strict:
        raise not_acceptable(f'The request has no Accept header; {MULTIPART}; type="{OCTETS}" is accepted.')
    choices = [
        (-quality, _SYNTAXES.index(wanted.transfer_syntax), place, wanted)
        for place, (quality, media) in enumerate(ranges_of(accept or "*/*"))
        if (wanted := _wanted_frames(media)) is not None
    ]
    if not choices:
        raise not_acceptable(
            f'Frames can be sent as {MULTIPART}; type="{OCTETS}" with transfer-syntax={EXPLICIT_LITTLE} or *, as'
            f' {MULTIPART}; type="{JPEG_2000}" with transfer-syntax={JPEG_2000_LOSSLESS}, or one frame as {OCTETS};'
            " the Accept header allows none."
        )
    if several:
        choices = [choice for choice in choices if choice[3].multipart]
    if not choices:
        raise bad_request(
            f'Several frames can be sent as {MULTIPART}; type="{OCTETS}" only; a single part holds one frame.'
        )
    return min(choices, key=lambda choice: choice[:3])[3]


def bulk(accept: str | None) -> Wanted:
    """Decide how a bulk value is sent; the real service has no such route, so PS3.18 section 10.4 rules.

    Raises
    ------
    Fault
        406 if the request accepts nothing that the service can send.
    """
    refused = {media.type for quality, media in _all_ranges(accept or "") if quality <= 0}
    # A wildcard does not undo what the header refuses by its name.
    single = {OCTETS, "application/*", "*/*"} if OCTETS not in refused else set()
    for _, media in sorted(ranges_of(accept or "*/*"), key=lambda each: -each[0]):
        inner = media.parameters.get("type", "").lower()
        is_multipart = media.type in {MULTIPART, "multipart/*"} and inner in {OCTETS, "*/*", ""}
        syntax = media.parameters.get("transfer-syntax", EXPLICIT_LITTLE)
        if (is_multipart or media.type in single) and syntax in _BULK_SYNTAXES:
            return Wanted(syntax, is_multipart, OCTETS)
    raise not_acceptable(
        f'Bulk data can be sent as {OCTETS} or {MULTIPART}; type="{OCTETS}", with transfer-syntax={EXPLICIT_LITTLE} or'
        " *; the Accept header allows neither."
    )


def picture(accept: str | None) -> str:
    """Decide as which media type a rendered image is sent.

    Without an Accept header it is JPEG. Otherwise the header must name one type: the real service refuses two, and
    ``*/*``.

    Raises
    ------
    Fault
        406 if it names another, or several.
    """
    if not accept:
        return JPEG
    ranges = ranges_of(accept)
    if len(_RANGE.findall(accept)) == len(ranges) == 1 and ranges[0][1].type in {JPEG, PNG}:
        return ranges[0][1].type
    raise not_acceptable(
        f"A rendered image is sent as {JPEG} or {PNG}; the Accept header must name one of them and no other type, or"
        " be left out."
    )


def thumbnail(accept: str | None) -> str:
    """Decide as which media type a thumbnail is sent; the usual rules hold, and JPEG is what anything means.

    Raises
    ------
    Fault
        406 if the request accepts neither JPEG nor PNG.
    """
    preferred = _preferred(accept or "*/*", (JPEG, PNG))
    if preferred is None:
        raise not_acceptable(f"A thumbnail is sent as {JPEG} or {PNG}; the Accept header allows neither.")
    return preferred


def _wanted(media: MediaType, *, single: bool) -> Wanted | None:
    inner = media.parameters.get("type", "").lower()
    is_multipart = media.type in {MULTIPART, "multipart/*"} and inner in {DICOM, "*/*", ""}
    if media.type == "*/*" or (is_multipart and inner == "*/*"):
        syntax = media.parameters.get("transfer-syntax", AS_STORED)
        return Wanted(syntax, multipart=True) if syntax in _SYNTAXES else None
    if not is_multipart and not (single and media.type in {DICOM, "application/*"}):
        return None
    # An absent transfer syntax means Explicit VR Little Endian, not "as stored".
    syntax = media.parameters.get("transfer-syntax", EXPLICIT_LITTLE)
    return Wanted(syntax, is_multipart) if syntax in _SYNTAXES else None


def _wanted_frames(media: MediaType) -> Wanted | None:
    is_multipart = media.type in {MULTIPART, "multipart/*", "*/*"}
    inner = media.parameters.get("type", OCTETS).lower()
    kind = inner if is_multipart and media.type != "*/*" else media.type
    syntaxes = _FRAME_SYNTAXES.get(kind, ())
    syntax = media.parameters.get("transfer-syntax", next(iter(syntaxes), ""))
    if syntax not in syntaxes or (kind == JPEG_2000 and not is_multipart):
        return None
    return Wanted(syntax, is_multipart, OCTETS if kind == "*/*" else kind)
