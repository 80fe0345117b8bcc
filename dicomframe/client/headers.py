"""A few attributes of the objects themselves, for servers without metadata, or where the file is what counts.

An object's first bytes usually hold what is wanted; then the rest goes past unread. What `elements` does not wholly
understand is read by pydicom, as a whole. Both give the same JSON, of which the table is made.
"""

from __future__ import annotations

import struct
from collections.abc import Generator, Iterator, Sequence
from typing import TYPE_CHECKING, Any, BinaryIO

import orjson

from dicomframe.client.elements import HEAD_BYTES, Unusual, find_elements, text
from dicomframe.client.partial import give_back, read_until_interrupted, remaining
from dicomframe.client.progress import Progress, progress_bar
from dicomframe.client.retrieve import (
    Failure,
    ObjectBody,
    Retriever,
    note_failures,
    read_dataset,
    select_columns,
)
from dicomframe.client.workers import Workers, in_order
from dicomframe.dicom import tags
from dicomframe.dicom.dicomjson import from_dataset
from dicomframe.dicom.paths import UID_KEYWORD_OF_LEVEL, ResourcePath
from dicomframe.dicom.quiet import quiet
from dicomframe.dicom.rawvalues import READERS
from dicomframe.errors import DicomFrameError, QueryError, UnexpectedAnswerError

if TYPE_CHECKING:
    import pandas as pd

    from dicomframe.tables.schema import DtypeBackend, OnBadValue

_CHARACTER_SET = 0x00080005
_PIXEL_REPRESENTATION = 0x00280103
#: The character sets read here, with Python's codec; other text than ASCII is pydicom's in any other one.
_CODECS = {"": "iso8859", "ISO_IR 6": "iso8859", "ISO_IR 100": "latin_1", "ISO_IR 192": "utf8"}
_INSTANCE = "00080018"
_ESCAPE = b"\x1b"
#: Attributes that are remembered at a time, while the objects of one call are read.
_MOST_KNOWN = 10_000
#: Rows that become one page of JSON.
_ROWS_A_PAGE = 1_000

JsonRow = dict[str, Any]


class HeaderReader:
    """Reads the same few attributes of many objects, and their three UIDs.

    Parameters
    ----------
    wanted : sequence of Attribute
        Outside group 0002, which is not part of the data set.
    """

    def __init__(self, wanted: Sequence[tags.Attribute]) -> None:
        uids = [tags.attribute(keyword) for keyword in UID_KEYWORD_OF_LEVEL.values()]
        # By tag, in the order of the tags: its name in JSON, and the VR where the file does not say it.
        self._names = {
            int(each.tag, 16): (each.tag, "UN" if _is_private(each) else each.vr)
            for each in sorted({*uids, *wanted}, key=lambda each: each.tag)
        }
        self._known: dict[Any, dict[str, Any]] = {}
        self._sought = self._names.keys() | {_CHARACTER_SET}

    def read(self, body: ObjectBody) -> JsonRow:
        """Read one object's attributes as a DICOM JSON object; those that it does not have are not in it.

        Raises
        ------
        DecodeError, TruncatedBody
            If pydicom had to read it, and cannot.
        """
        peeked = _Peeked(body)
        try:
            return self.quick(peeked.head, is_whole=peeked.is_whole)
        except Unusual:
            return self.thorough(peeked)

    def quick(self, head: bytes, *, is_whole: bool) -> JsonRow:
        """Read from a file's first bytes.

        Raises
        ------
        Unusual
            If that might give anything else than pydicom.
        """
        found = find_elements(head, self._sought, is_whole=is_whole)
        character_set = found.elements.get(_CHARACTER_SET, (b"", b""))[1]
        row: JsonRow = {}
        for tag, element in found.elements.items():
            if tag not in self._names:
                continue
            # Most attributes are the same in object after object.
            key = tag, element, found.order, character_set
            known = self._known.get(key)
            if known is None:
                if len(self._known) >= _MOST_KNOWN:
                    self._known = {}
                known = self._known[key] = self._attribute(tag, *element, found.order, character_set)
            row[self._names[tag][0]] = known
        if "Value" not in row.get(_INSTANCE, {}):
            raise Unusual
        return row

    def _attribute(
        self, tag: int, letters: bytes, content: bytes, order: str, character_set: bytes
    ) -> dict[str, Any]:
        """Read one attribute, or raise `Unusual`."""
        vr = letters.decode() or self._names[tag][1]
        codec = _CODECS.get(text(character_set))
        reader = READERS.get(vr)
        if reader is None or _ESCAPE in content or not (codec or content.isascii()):
            raise Unusual
        try:
            values = reader(content, order, [codec or ""])
        except struct.error:
            raise Unusual from None
        return {"vr": vr, "Value": values} if content and values != [None] else {"vr": vr}

    def thorough(self, body: ObjectBody) -> JsonRow:
        """Read with pydicom."""
        with quiet():
            dataset = read_dataset(body)
            # What "US or SS" means is said by another attribute.
            kept = {*self._sought, _PIXEL_REPRESENTATION}
            for tag in list(dataset.keys()):
                if int(tag) not in kept and not _is_creator(int(tag)):
                    del dataset[tag]
            row = from_dataset(dataset, bulk="drop")
        return {name: row[name] for name, _ in self._names.values() if name in row}


def _is_private(attribute: tags.Attribute) -> bool:
    """Whether what a tag means depends on who made the file."""
    return int(attribute.tag[:4], 16) % 2 == 1


def _is_creator(tag: int) -> bool:
    return (tag >> 16) % 2 == 1 and 0x10 <= tag & 0xFFFF <= 0xFF


class _Peeked:
    """An object of which the first bytes were taken, and are still there for whoever reads it whole."""

    def __init__(self, body: ObjectBody) -> None:
        self._rest: Iterator[bytes | memoryview] = body.iter_bytes()
        self._taken: list[bytes] = []
        length = 0
        for piece in self._rest:
            # A copy, because the piece is gone when the next one comes.
            self._taken.append(bytes(piece))
            length += len(piece)
            if length >= HEAD_BYTES:
                break
        self.is_whole = length < HEAD_BYTES
        self.head = b"".join(self._taken)[:HEAD_BYTES]

    def iter_bytes(self) -> Iterator[bytes | memoryview]:
        """Yield the object's bytes, from the first one on."""
        yield from self._taken
        yield from self._rest

    def write_to(self, file: BinaryIO) -> int:
        """Write it to a file, give the number of bytes."""
        return sum(file.write(piece) for piece in self.iter_bytes())


def retrieve_headers(
    retriever: Retriever,
    paths: Sequence[ResourcePath],
    keywords: Sequence[str],
    dtype_backend: DtypeBackend = "numpy_nullable",
    errors: OnBadValue = "coerce",
    *,
    original: bool = False,
    progress: Progress = False,
) -> pd.DataFrame:
    """Make the table; `dicomframe.client.client.Client.retrieve_headers` documents it."""
    from dicomframe.tables.convert import from_pages

    wanted = _wanted(keywords)
    reader = HeaderReader(wanted)

    def pages_of(path: ResourcePath) -> list[bytes] | DicomFrameError:
        rows: list[JsonRow] = []
        pages = begun[path] = []
        try:
            for body in retriever.bodies(path, original=original):
                rows.append(_checked(reader.read(body), path))
                bar.update()
                if len(rows) == _ROWS_A_PAGE:
                    pages.append(orjson.dumps(rows))
                    rows = []
        except DicomFrameError as error:
            return error
        finally:
            pages.append(orjson.dumps(rows))
        return pages

    def all_pages() -> Generator[bytes]:
        width = retriever.session.max_workers
        try:
            with Workers(width, "headers") as workers:
                for path, got in zip(paths, in_order(workers, pages_of, paths, width), strict=True):
                    begun.pop(path, None)
                    if isinstance(got, DicomFrameError):
                        failed.append((path, got))
                    else:
                        yield from got
        except KeyboardInterrupt:
            for pages in begun.values():
                yield from pages
            raise

    failed: list[Failure] = []
    #: The pages of each resource that is not read to its end, which count if the call is interrupted.
    begun: dict[ResourcePath, list[bytes]] = {}
    with progress_bar(progress, "Reading headers", None, "instance") as bar:
        table, interrupt = read_until_interrupted(
            lambda pages: from_pages(pages, "instance", dtype_backend, errors), all_pages()
        )
    with remaining(interrupt):
        note_failures(table, retriever.session.base, "headers", failed, len(paths))
        table = select_columns(table, wanted, dtype_backend)
    if interrupt is not None:
        give_back(retriever.session, interrupt, table)
    return table


def _wanted(keywords: Sequence[str]) -> list[tags.Attribute]:
    wanted = [tags.attribute(name) for name in ([keywords] if isinstance(keywords, str) else keywords)]
    for each in wanted:
        if each.tag.startswith("0002"):
            raise QueryError(
                f"{each.column} belongs to the file meta information, not to the data set; retrieve the objects for it."
            )
    return wanted


def _checked(row: JsonRow, path: ResourcePath) -> JsonRow:
    """Give a row back if it is of what was asked for."""
    for keyword, uid in zip(UID_KEYWORD_OF_LEVEL.values(), path.uids, strict=False):
        found = row.get(tags.attribute(keyword).tag, {}).get("Value", [""])
        if found != [uid]:
            raise UnexpectedAnswerError(
                200, f"GET /{path.url_path}", message=f"the server sent an object of another {keyword}"
            )
    return row
