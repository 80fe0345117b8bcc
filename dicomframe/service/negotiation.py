"""Which representation a request accepts (RFC 9110 section 12.5.1, PS3.18 section 8.7), as the service reads it.

Where the real service refuses what the user's reference shows (no Accept header at all, a study without a
transfer syntax), that is served by default and refused by a strict service.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from dicomframe.dicom.multipart import MediaType
from dicomframe.service.faults import not_acceptable
from dicomframe.service.header import EXPLICIT_LITTLE

AS_STORED: Final = "*"
JPEG_2000_LOSSLESS: Final = "1.2.840.10008.1.2.4.90"
DICOM: Final = "application/dicom"
DICOM_JSON: Final = "application/dicom+json"
JSON: Final = "application/json"
MULTIPART: Final = "multipart/related"

#: What may be asked for; the bytes as stored go before everything else of the same quality.
_SYNTAXES: Final = (AS_STORED, EXPLICIT_LITTLE, JPEG_2000_LOSSLESS)
# A comma within quotes does not separate.
_COMMA = re.compile(r',(?=(?:[^"]*"[^"]*")*[^"]*$)')


@dataclass(frozen=True, slots=True)
class Wanted:
    """How objects are to be sent.

    Parameters
    ----------
    transfer_syntax : str
        `AS_STORED` or a UID.
    multipart : bool
        Whether as parts of a multipart body.
    """

    transfer_syntax: str
    multipart: bool


def ranges_of(accept: str) -> list[tuple[float, MediaType]]:
    """Take an Accept header apart: quality and media range, in the header's order; refused ones left out."""
    ranges = []
    for text in _COMMA.split(accept):
        media = MediaType.parse(text)
        if not media.type:
            continue
        try:
            quality = float(media.parameters.get("q", "1"))
        except ValueError:
            quality = 0.0
        if quality > 0:
            ranges.append((quality, media))
    return ranges


def json_type(accept: str | None, *, strict: bool) -> str:
    """Decide as which JSON type search results, metadata and store answers are sent.

    Raises
    ------
    Fault
        406 if the request accepts none of them.
    """
    if not accept:
        if strict:
            raise not_acceptable(f"The request has no Accept header; {DICOM_JSON} is accepted.")
        return DICOM_JSON
    for _, media in sorted(ranges_of(accept), key=lambda each: -each[0]):
        if media.type in {"*/*", "application/*", DICOM_JSON}:
            return DICOM_JSON
        if media.type == JSON:
            return JSON
    raise not_acceptable(f"This can be sent as {DICOM_JSON} only; the Accept header does not allow that.")


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


def _wanted(media: MediaType, *, single: bool) -> Wanted | None:
    if media.type == "*/*":
        return Wanted(AS_STORED, multipart=True)
    inner = media.parameters.get("type", "").lower()
    is_multipart = media.type in {MULTIPART, "multipart/*"} and inner in {DICOM, ""}
    if not is_multipart and not (single and media.type in {DICOM, "application/*"}):
        return None
    # An absent transfer syntax means Explicit VR Little Endian, not "as stored".
    syntax = media.parameters.get("transfer-syntax", EXPLICIT_LITTLE)
    return Wanted(syntax, is_multipart) if syntax in _SYNTAXES else None
