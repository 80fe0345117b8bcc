"""GET of frames (WADO-RS, PS3.18 section 10.4), and sending pixel data frame by frame."""

from __future__ import annotations

import re
import secrets
from collections.abc import AsyncIterator, Sequence

from dicomframe.dicom.multipartwriter import closing, part_head
from dicomframe.service import negotiation, retrieve, transcoding
from dicomframe.service.call import Answer, Call
from dicomframe.service.delete import missing
from dicomframe.service.faults import Fault, bad_request, not_acceptable, not_found
from dicomframe.service.header import DEFLATED_LITTLE, EXPLICIT_LITTLE
from dicomframe.service.negotiation import MULTIPART, Wanted
from dicomframe.service.pixels import CannotDecode, NoPixelData, Pixels
from dicomframe.service.stored_file import StoredFile

_NUMBER = re.compile(r"[0-9]{1,9}")
#: So much is made before the status is sent, so that what fails can still be told; larger answers stream.
_BYTES_AHEAD = 16 << 20


async def frames(call: Call) -> Answer:
    """Send frames of an instance by their numbers, in the order of the list; query parameters are ignored."""
    several = "," in call.names[0]
    wanted = negotiation.frames(call.header(b"accept"), several=several, strict=call.service.strict)
    numbers = numbers_of(call.names[0])
    pixels = await open_pixels(call)
    check_numbers(numbers, pixels.count)
    return await send(call, pixels, [number - 1 for number in numbers], wanted)


async def open_pixels(call: Call) -> Pixels:
    """Open the image that the path names.

    Raises
    ------
    Fault
        404 if there is no such instance, or no pixel data in it.
    """
    (stored,) = await retrieve.find(call)
    path = call.service.blobs.path(stored.version)
    try:
        return await call.service.offload.lengthy(Pixels.open, path)
    except FileNotFoundError:
        raise missing("instance") from None
    except NoPixelData:
        raise not_found("The instance has no pixel data, so it has no frames.") from None


def check_numbers(numbers: Sequence[int], count: int) -> None:
    """Raise a 404 if a frame is beyond the end."""
    if max(numbers) > count:
        raise not_found(
            f"The instance has {count} frame{'s' * (count > 1)}; a frame that is asked for is beyond them."
        )


def cannot_decode(problem: CannotDecode) -> Fault:
    """Give the 406 for pixels that cannot be sent in the form asked for."""
    return not_acceptable(f"{problem} The bytes as stored can be had with transfer-syntax=*.")


async def send(
    call: Call, pixels: Pixels, indices: Sequence[int], wanted: Wanted, *, together: bool = False
) -> Answer:
    """Send frames, each as a part of its own.

    Parameters
    ----------
    call : Call
        The request.
    pixels : Pixels
        The image.
    indices : sequence of int
        Its frames, from 0.
    wanted : Wanted
        How.
    together : bool
        Whether they go into one part, one behind the other.

    Raises
    ------
    Fault
        406 if one cannot be brought into that form.
    """
    part_type = f"{wanted.media_type}; transfer-syntax={syntax_of(pixels.file, wanted)}"
    boundary = secrets.token_hex(16) if wanted.multipart else ""
    headers = {"Content-Type": part_type}
    if boundary:
        headers = {"Content-Type": f'{MULTIPART}; type="{wanted.media_type}"; boundary={boundary}'}

    async def pieces() -> AsyncIterator[bytes]:
        for place, index in enumerate(indices):
            frame = await call.service.offload.lengthy(
                transcoding.frame, pixels, index, wanted.transfer_syntax
            )
            if boundary and (place == 0 or not together):
                yield part_head(boundary, {"Content-Type": part_type}, first=place == 0)
            yield frame
        if boundary:
            yield closing(boundary)

    try:
        return Answer(body=await ahead(pieces()), headers=headers)
    except CannotDecode as problem:
        raise cannot_decode(problem) from None


def syntax_of(file: StoredFile, wanted: Wanted) -> str:
    """Give the transfer syntax that the values of a file are sent in."""
    if wanted.transfer_syntax != negotiation.AS_STORED:
        return wanted.transfer_syntax
    # A data set is deflated as a whole; what is taken out of it is not.
    return EXPLICIT_LITTLE if file.transfer_syntax == DEFLATED_LITTLE else file.transfer_syntax


async def ahead(pieces: AsyncIterator[bytes]) -> bytes | AsyncIterator[bytes]:
    """Make a body before its answer begins: wholly if it is small, otherwise its first megabytes."""
    made: list[bytes] = []
    size = 0
    async for piece in pieces:
        made.append(piece)
        size += len(piece)
        if size > _BYTES_AHEAD:
            return _after(made, pieces)
    return b"".join(made)


async def _after(made: Sequence[bytes], rest: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    for piece in made:
        yield piece
    async for piece in rest:
        yield piece


def numbers_of(listed: str) -> list[int]:
    """Read a list of frame numbers from the path.

    Raises
    ------
    Fault
        400 if one is none, or below 1.
    """
    texts = listed.split(",")
    if not all(_NUMBER.fullmatch(text) for text in texts) or any(int(text) < 1 for text in texts):
        raise bad_request(
            "The frames in the path must be numbers from 1 on, with commas between, such as frames/1 or frames/1,2.",
            "InvalidFrames",
        )
    return [int(text) for text in texts]
