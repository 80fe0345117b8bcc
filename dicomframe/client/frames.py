"""Single frames (WADO-RS, PS3.18 section 10.4.1.1.6), decoded from the bytes as they are stored.

The server is asked for the frames alone, because the object around them may be large. Where it has no such route,
refuses, or sends bytes that only the object explains (a palette that metadata leave out, colours that were perhaps
converted on the way), the object itself is retrieved: the arrays are the same.
"""

from __future__ import annotations

import operator
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from dicomframe.client.incoming import Answer
from dicomframe.client.pages import decode_rows
from dicomframe.client.retrieve import Retriever
from dicomframe.dicom.dicomjson import to_dataset
from dicomframe.dicom.multipart import MediaType
from dicomframe.dicom.parts import iter_parts
from dicomframe.dicom.paths import ResourcePath
from dicomframe.errors import (
    BadRequestError,
    NotAcceptableError,
    NotFoundError,
    QueryError,
    ServiceError,
    UnexpectedAnswerError,
)

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from pydicom import Dataset

#: What is asked for, one after the other, until a server has it.
ACCEPTS: Final = (
    'multipart/related; type="application/octet-stream"; transfer-syntax=*',
    'multipart/related; type="application/octet-stream"',
    "application/octet-stream; transfer-syntax=*",
    "*/*",
)
#: More frames than this are not asked for at once: each number makes the URL longer.
FRAMES_AT_ONCE: Final = 64
#: How servers say that they do not do what was asked; 500 is Orthanc's for syntaxes that it cannot decode.
REFUSALS: Final = frozenset({400, 404, 405, 406, 410, 415, 500, 501})

_EXPLICIT_LITTLE: Final = "1.2.840.10008.1.2.1"
NATIVE: Final = frozenset({"1.2.840.10008.1.2", _EXPLICIT_LITTLE, "1.2.840.10008.1.2.2"})
#: The transfer syntax of a media type that comes without one (PS3.18 table 8.7.3-2).
_SYNTAX_OF_TYPE: Final = {
    "image/dicom-rle": "1.2.840.10008.1.2.5",
    "image/jls": "1.2.840.10008.1.2.4.80",
    "image/jp2": "1.2.840.10008.1.2.4.90",
    "image/jpeg": "1.2.840.10008.1.2.4.70",
    "image/jphc": "1.2.840.10008.1.2.4.201",
    "image/jpx": "1.2.840.10008.1.2.4.92",
    "image/jxl": "1.2.840.10008.1.2.4.112",
}
_OCTETS: Final = "application/octet-stream"


class FrameRetriever:
    """Retrieval of frames from one service; it remembers which Accept header the server understands.

    Parameters
    ----------
    retriever : Retriever
        Where whole objects come from.
    """

    def __init__(self, retriever: Retriever) -> None:
        self._retriever = retriever
        self._session = retriever.session
        self._accept = 0

    def frames(self, path: ResourcePath, frames: Any = None) -> list[NDArray[Any]]:
        """Give the frames asked for; `dicomframe.client.client.Client.retrieve_frames` documents it."""
        wanted = check_frames(frames)
        image = self._image(path)
        if image is None or _needs_its_object(image):
            return self._of_object(path, wanted)
        from dicomframe.images.pixels import frame_count

        count = frame_count(image)
        _check_count(path, wanted, count)
        numbers = wanted or tuple(range(1, count + 1))
        decoded: dict[int, NDArray[Any]] = {}
        distinct = sorted(set(numbers))
        for start in range(0, len(distinct), FRAMES_AT_ONCE):
            some = distinct[start : start + FRAMES_AT_ONCE]
            found = self._ask(replace(path, frames=tuple(some)), image)
            if found is None:
                return self._of_object(path, wanted)
            decoded.update(zip(some, found, strict=True))
        return [decoded[number] for number in numbers]

    def _image(self, path: ResourcePath) -> Dataset | None:
        """Give the image's attributes, None where the server has no metadata for it."""
        headers = {"Accept": "application/dicom+json"}
        try:
            answer = self._session.request("GET", f"{path.url_path}/metadata", headers=headers)
        except ServiceError as error:
            if error.status not in REFUSALS:
                raise
            # Whether the instance is there at all, its retrieval will tell.
            return None
        rows = decode_rows(answer.content)
        return to_dataset(rows[0]) if rows else None

    def _ask(self, path: ResourcePath, image: Dataset) -> list[NDArray[Any]] | None:
        """Ask for frames in the way that this server understands; None if it has none for us."""
        for at in range(self._accept, len(ACCEPTS)):
            headers = {"Accept": ACCEPTS[at], "Accept-Encoding": "identity"}
            try:
                answer = self._session.request("GET", path.url_path, headers=headers)
            except (BadRequestError, NotAcceptableError):
                continue
            except ServiceError as error:
                if error.status not in REFUSALS:
                    raise
                return None
            self._accept = at
            return _decoded(answer, path.frames, image)
        return None

    def _of_object(self, path: ResourcePath, wanted: Sequence[int]) -> list[NDArray[Any]]:
        """Decode frames from the object itself."""
        from dicomframe.images.pixels import frame_count, frame_pixels, pixels

        dataset = self._retriever.instance(path)
        if not wanted:
            return list(pixels(dataset))
        _check_count(path, wanted, frame_count(dataset))
        return [frame_pixels(dataset, number - 1) for number in wanted]


def _decoded(answer: Answer, numbers: Sequence[int], image: Dataset) -> list[NDArray[Any]] | None:
    """Decode the frames of an answer; None where its bytes are not enough to tell what they mean.

    Raises
    ------
    UnexpectedAnswerError
        If there are fewer or more frames in it than were asked for, or others.
    """
    from dicomframe.images.pixels import decode_frame

    decoded = []
    for content_type, data in _bodies(answer, numbers):
        syntax = _syntax(content_type, answer.content_type)
        if not _is_clear(syntax, data, image):
            return None
        decoded.append(decode_frame(data, image, syntax or _EXPLICIT_LITTLE))
    if len(decoded) != len(numbers):
        raise _unexpected(answer, f"{len(decoded)} frames came, {len(numbers)} were asked for")
    return decoded


def _bodies(answer: Answer, numbers: Sequence[int]) -> Iterator[tuple[str, bytes]]:
    """Yield each frame's content type and bytes, as they come in."""
    media = MediaType.parse(answer.content_type)
    if not media.type.startswith("multipart/"):
        if media.type not in {_OCTETS, "", *_SYNTAX_OF_TYPE}:
            raise _unexpected(answer, f"the answer is of type {media.type[:80]!r}, no frame")
        yield answer.content_type, b"".join(answer.iter_bytes())
        return
    for at, part in enumerate(iter_parts(answer.content_type, answer.iter_bytes())):
        place = part.headers.get("content-location", "").rpartition("/frames/")[2]
        if at < len(numbers) and place.isdecimal() and int(place) != numbers[at]:
            raise _unexpected(answer, "the server sent another frame than the one asked for")
        yield part.content_type, part.read()


def _syntax(of_part: str, of_answer: str) -> str:
    """Give the transfer syntax that a part, or else the whole answer, declares; empty where neither does."""
    part, whole = MediaType.parse(of_part), MediaType.parse(of_answer)
    for media in (part, whole):
        syntax = media.parameters.get("transfer-syntax", "")
        if syntax and syntax != "*":
            return syntax
    kinds = (part.type, whole.parameters.get("type", "").lower())
    return next((_SYNTAX_OF_TYPE[kind] for kind in kinds if kind in _SYNTAX_OF_TYPE), "")


def _needs_its_object(image: Dataset) -> bool:
    """Whether frames cannot be read with what the metadata hold: size, or the palette that is bulk data."""
    if any(image.get(name) is None for name in ("Rows", "Columns", "BitsAllocated")):
        return True
    return str(image.get("PhotometricInterpretation", "")).startswith("PALETTE")


def _is_clear(syntax: str, data: bytes, image: Dataset) -> bool:
    """Whether the bytes can mean only one thing.

    Native bytes of another length than the attributes call for are of another image, or compressed after all.
    A server that decompresses colour on the way converts it to RGB or does not, and interleaves it or does not; the
    metadata go on to describe what is stored.
    """
    from dicomframe.images.pixels import frame_bytes

    if syntax and syntax not in NATIVE:
        return True
    if not 0 <= len(data) - frame_bytes(image) <= 1:
        return False
    if int(image.BitsAllocated) == 1 and int(image.Rows) * int(image.Columns) % 8:
        # In the object, such frames begin in the middle of a byte.
        return False
    is_colour = int(image.get("SamplesPerPixel") or 1) > 1
    converts = str(image.get("PhotometricInterpretation", "")) != "RGB" or image.get("PlanarConfiguration")
    return not (is_colour and converts) and syntax != "1.2.840.10008.1.2.2"


def _unexpected(answer: Answer, message: str) -> ServiceError:
    return UnexpectedAnswerError(answer.status, answer.route, message=message)


def check_frames(frames: Any) -> tuple[int, ...]:
    """Give frame numbers as a tuple; empty for all.

    Raises
    ------
    QueryError
        If one is no whole number from 1 on, or none is named.

    Examples
    --------
    >>> check_frames(3), check_frames([2, 1]), check_frames(None)
    ((3,), (2, 1), ())
    """
    if frames is None:
        return ()
    is_list = hasattr(frames, "__iter__") and not isinstance(frames, str | bytes)
    numbers = tuple(check_frame(frame) for frame in (frames if is_list else [frames]))
    if not numbers:
        raise QueryError("frames= names no frame; leave it out for all.")
    return numbers


def check_frame(frame: Any) -> int:
    """Give a frame number back if it is one: a whole number from 1 on."""
    try:
        number = 0 if isinstance(frame, bool) else operator.index(frame)
    except TypeError:
        number = 0
    if number < 1:
        raise QueryError("Frame numbers are whole numbers, and the first frame is 1.")
    return number


def _check_count(path: ResourcePath, wanted: Sequence[int], count: int) -> None:
    beyond = next((number for number in wanted if number > count), None)
    if beyond is not None:
        raise no_such_frame(path, beyond, count)


def no_such_frame(path: ResourcePath, number: int, count: int) -> NotFoundError:
    """Give the error of a frame beyond an image's last one."""
    message = f"the image has {count} frame{'s' * (count != 1)}; there is no frame {number}"
    return NotFoundError(404, f"GET /{path.url_path}/frames/{number}", message=message)
