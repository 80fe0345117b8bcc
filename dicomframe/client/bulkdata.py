"""Bulk data (PS3.18 section 10.4.1.1.5): the bytes of one element, by their URI or by the element's path.

The bytes are those of Explicit VR Little Endian: little endian, pixel data decompressed, all frames one behind the
other. Where the server has no route for them (the cloud service has none), or sends compressed fragments, the instance
is retrieved and the element taken from it; the result says so.
"""

from __future__ import annotations

import base64
import re
import secrets
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Final, Self, cast

from dicomframe.client.arriving import SPOOL_BYTES
from dicomframe.client.elementpaths import ElementPath, decoded_content_of, places_in, places_in_json
from dicomframe.client.frames import NATIVE, REFUSALS
from dicomframe.client.incoming import Answer
from dicomframe.client.pages import decode_rows
from dicomframe.client.retrieve import Retriever
from dicomframe.dicom.multipart import MediaType
from dicomframe.dicom.parts import iter_parts
from dicomframe.dicom.paths import ResourcePath
from dicomframe.errors import (
    BadRequestError,
    DecodeError,
    NotAcceptableError,
    NotFoundError,
    QueryError,
    ServiceError,
    TransportError,
    TruncatedBody,
    UnexpectedAnswerError,
)

#: What is asked for, one after the other, until a server has it.
ACCEPTS: Final = (
    "application/octet-stream",
    'multipart/related; type="application/octet-stream"',
    "*/*",
)

_ELEMENT_IN_ROUTE: Final = re.compile(r"^(.*/instances/[^/]+)/bulk(?:data)?/([^?]+)", re.IGNORECASE)


class BulkData(bytes):
    """An element's bytes, which remember where they came from.

    Parameters
    ----------
    content : bytes
        The element's value field, as it is in Explicit VR Little Endian.
    source : {"server", "local"}
        Whether the server sent these bytes alone, or they were taken from the instance here.
    reason : str
        Why they were taken from the instance.
    """

    source: str
    reason: str

    def __new__(cls, content: bytes, source: str = "server", reason: str = "") -> Self:
        """Make it of bytes."""
        made = super().__new__(cls, content)
        made.source, made.reason = source, reason
        return made


@dataclass(frozen=True, slots=True)
class Written:
    """Bulk data that went to a file.

    Parameters
    ----------
    length : int
        Bytes written.
    source, reason : str
        As for `BulkData`.
    """

    length: int
    source: str
    reason: str = ""


class BulkRetriever:
    """Retrieval of bulk data from one service; it remembers which Accept header the server understands.

    Parameters
    ----------
    retriever : Retriever
        Where whole objects come from.
    """

    def __init__(self, retriever: Retriever) -> None:
        self._retriever = retriever
        self._session = retriever.session
        self._accept = 0
        self._lacks = ""

    def by_uri(self, uri: Any, file: str | Path | BinaryIO | None = None) -> BulkData | Written:
        """Retrieve what a BulkDataURI of this service names.

        Raises
        ------
        QueryError
            If it is no text.
        UnexpectedAnswerError
            If it leads out of this service.
        """
        if not isinstance(uri, str) or not uri.strip():
            raise QueryError("Give a BulkDataURI from metadata, or the three UIDs and an element's path.")
        route = self._session.local_route(uri)
        element = _ELEMENT_IN_ROUTE.search(route)
        return self._retrieve(route, element, file)

    def by_path(
        self, path: ResourcePath, element: ElementPath, file: str | Path | BinaryIO | None = None
    ) -> BulkData | Written:
        """Retrieve one element of an instance."""
        route = f"{path.url_path}/bulkdata/{element}"
        return self._retrieve(route, _ELEMENT_IN_ROUTE.search(route), file)

    def _retrieve(
        self, route: str, element: re.Match[str] | None, file: str | Path | BinaryIO | None
    ) -> BulkData | Written:
        reason = self._lacks
        if not reason or element is None:
            try:
                return self._from_server(route, file)
            except ServiceError as error:
                if element is None or not (error.status in REFUSALS or isinstance(error, _Compressed)):
                    raise
                reason = f"the server answered {error.status} to bulk data"
                if isinstance(error, _Compressed):
                    reason = "the server sends this element compressed"
                elif error.status in {405, 501}:
                    self._lacks = reason
        content = self._from_object(ResourcePath.parse(element[1]), element[2])
        if file is None:
            return BulkData(content, "local", reason)
        with _opened(file) as target:
            target.write(content)
        return Written(len(content), "local", reason)

    def _from_server(self, route: str, file: str | Path | BinaryIO | None) -> BulkData | Written:
        """Fetch from the server; once more if it comes cut off, because nothing else retries a stream."""
        try:
            return self._fetch(route, file)
        except (TransportError, TruncatedBody):
            return self._fetch(route, file)

    def _fetch(self, route: str, file: str | Path | BinaryIO | None) -> BulkData | Written:
        with self._ask(route) as answer:
            if file is None:
                return BulkData(b"".join(_single_part(answer)))
            with _opened(file) as target:
                return Written(sum(target.write(chunk) for chunk in _single_part(answer)), "server")

    def _ask(self, route: str) -> Answer:
        for at in range(self._accept, len(ACCEPTS)):
            headers = {"Accept": ACCEPTS[at], "Accept-Encoding": "identity"}
            try:
                answer = self._session.request("GET", route, headers=headers, stream=True)
            except (BadRequestError, NotAcceptableError) as error:
                refusal = error
            else:
                self._accept = at
                return answer
        raise refusal

    def _from_object(self, path: ResourcePath, text: str) -> bytes:
        element = ElementPath.parse(text)
        content = decoded_content_of(self._retriever.instance(path), element)
        if content is None:
            raise NotFoundError(
                404, f"GET /{path.url_path}/bulkdata/{element}", message="the instance has no such element"
            )
        return content

    def find(self, path: ResourcePath, tag: str) -> list[tuple[ElementPath, BulkData]]:
        """Retrieve an attribute of an instance wherever it stands, also inside sequences, in the object's order.

        Raises
        ------
        NotFoundError
            If there is no such instance, or the attribute is nowhere in it.
        """
        found = [
            (element, self._of_json(attribute, path, element))
            for element, attribute in self._in_metadata(path, tag)
        ]
        if not found:
            # Metadata leave bulk data out, or there are none.
            dataset = self._retriever.instance(path)
            reason = "the metadata do not say where the element is"
            found = [
                (element, BulkData(decoded_content_of(dataset, element) or b"", "local", reason))
                for element in places_in(dataset, tag)
            ]
        if not found:
            raise NotFoundError(404, f"GET /{path.url_path}", message="the instance has no such element")
        return found

    def _of_json(self, attribute: dict[str, Any], path: ResourcePath, element: ElementPath) -> BulkData:
        if "InlineBinary" in attribute:
            try:
                return BulkData(base64.b64decode(attribute["InlineBinary"], validate=True))
            except (ValueError, TypeError):
                raise DecodeError("The server's InlineBinary is no base64.") from None
        uri = attribute.get("BulkDataURI")
        found = self.by_uri(uri) if uri else self.by_path(path, element)
        assert isinstance(found, BulkData)  # noqa: S101 - no file was given
        return found

    def _in_metadata(self, path: ResourcePath, tag: str) -> list[tuple[ElementPath, dict[str, Any]]]:
        headers = {"Accept": "application/dicom+json"}
        try:
            answer = self._session.request("GET", f"{path.url_path}/metadata", headers=headers)
        except ServiceError as error:
            if error.status not in REFUSALS:
                raise
            return []
        rows = decode_rows(answer.content)
        return list(places_in_json(rows[0], tag)) if rows else []


# What tells something in words; no element's value is of such a type.
_WORDS = frozenset({"text/plain", "text/html", "application/json", "application/dicom+json"})


class _Compressed(UnexpectedAnswerError):
    """Compressed pixel data, of which the server sends frames or fragments."""


def _single_part(answer: Answer) -> Iterator[bytes | memoryview]:
    """Yield the bytes of the one thing in an answer.

    Raises
    ------
    UnexpectedAnswerError
        If there is nothing in it, or more.
    """
    media = MediaType.parse(answer.content_type).type
    _refuse_words(answer, media)
    if not media.startswith("multipart/"):
        _refuse_compressed(answer, answer.content_type)
        yield from answer.iter_bytes()
        return
    parts = iter_parts(answer.content_type, answer.iter_bytes())
    first = next(parts, None)
    if first is None:
        raise UnexpectedAnswerError(answer.status, answer.route, message="the answer holds no bulk data")
    _refuse_words(answer, MediaType.parse(first.content_type).type)
    _refuse_compressed(answer, first.content_type)
    length = 0
    for piece in first.iter_bytes():
        length += len(piece)
        yield piece
    announced = first.headers.get("content-length", "")
    if announced.isdecimal() and length < int(announced):
        raise TruncatedBody("The server sent bulk data that are shorter than they say.")
    if next(parts, None) is not None:
        raise _Compressed(answer.status, answer.route, message="the element comes in several parts")


def _refuse_words(answer: Answer, media: str) -> None:
    if media in _WORDS:
        raise UnexpectedAnswerError(
            answer.status, answer.route, message=f"the answer is of type {media!r}, not bulk data"
        )


def _refuse_compressed(answer: Answer, content_type: str) -> None:
    media = MediaType.parse(content_type)
    syntax = media.parameters.get("transfer-syntax", "")
    if syntax not in {"", "*", *NATIVE} or media.type.startswith("image/"):
        raise _Compressed(answer.status, answer.route, message="the element comes compressed")


@contextmanager
def _opened(file: str | Path | BinaryIO) -> Iterator[BinaryIO]:
    """Open what gets the bytes only once they are whole: a file its name, one that is open already its content."""
    if not isinstance(file, str | Path):
        with tempfile.SpooledTemporaryFile(SPOOL_BYTES) as spool:
            yield cast("BinaryIO", spool)
            spool.seek(0)
            shutil.copyfileobj(spool, file)
        return
    target = Path(file)
    part = target.with_name(f".dicomframe-{secrets.token_hex(8)}.part")
    try:
        with part.open("xb") as opened:
            yield opened
        part.replace(target)
    finally:
        part.unlink(missing_ok=True)
