"""A few attributes of the objects themselves, for servers without metadata, or where the file is what counts.

An object's first bytes usually hold what is wanted; then the rest goes past unread. What `elements` does not wholly
understand is read by pydicom, as a whole. Both give the same JSON, of which the table is made. It is text from the
start: an attribute that is the same in many objects is written once, and no row is held as Python objects.
"""

from __future__ import annotations

import struct
from collections.abc import Generator, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, BinaryIO

import orjson

from dicomframe.client.arriving import ObjectBody, read_dataset
from dicomframe.client.elements import HEAD_BYTES, ElementFinder, Unusual, text
from dicomframe.client.metadata import Failure, note_failures, select_columns
from dicomframe.client.outcomes import without_frames
from dicomframe.client.partial import give_back, read_until_interrupted, remaining
from dicomframe.client.progress import Progress, progress_bar
from dicomframe.client.retrieve import Retriever
from dicomframe.client.wholeness import is_cut_off
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
_INSTANCE, _SERIES = 0x00080018, 0x0020000E
_ESCAPE = b"\x1b"
#: Byte orders and character sets that are remembered at a time; a server may send any text for one.
_MOST_WRITERS = 100
#: Rows that become one page of JSON.
_ROWS_A_PAGE = 1_000

#: By tag, in order: an attribute's name and content as in a DICOM JSON object, ``"00280010":{"vr":"US","Value":[5]}``.
JsonRow = dict[int, bytes]


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
        self._finder = ElementFinder(self._names.keys() | {_CHARACTER_SET})
        # By what their bytes mean.
        self._writers: dict[tuple[str, bytes], _Writer] = {}

    def read(self, body: ObjectBody) -> JsonRow:
        """Read one object's attributes; those that it does not have are not in the row.

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
        elements, order = self._finder.find(head, is_whole=is_whole)
        character_set = elements.get(_CHARACTER_SET, (b"", b""))[1]
        if _CHARACTER_SET not in self._names:
            elements.pop(_CHARACTER_SET, None)
        row = self._writer(order, character_set).row(elements)
        if b"Value" not in row.get(_INSTANCE, b"") or (_SERIES not in row and is_cut_off(head, head)):
            raise Unusual
        return row

    def _writer(self, order: str, character_set: bytes) -> _Writer:
        writer = self._writers.get((order, character_set))
        if writer is None:
            if len(self._writers) >= _MOST_WRITERS:
                self._writers.clear()
            codec = _CODECS.get(text(character_set), "")
            writer = self._writers[order, character_set] = _Writer(self._names, order, codec)
        return writer

    def thorough(self, body: ObjectBody) -> JsonRow:
        """Read with pydicom."""
        with quiet():
            dataset = read_dataset(body)
            # What "US or SS" means is said by another attribute.
            kept = {*self._names, _CHARACTER_SET, _PIXEL_REPRESENTATION}
            for tag in list(dataset.keys()):
                if int(tag) not in kept and not _is_creator(int(tag)):
                    del dataset[tag]
            row = from_dataset(dataset, bulk="drop")
        return {tag: _json(name, row[name]) for tag, (name, _) in self._names.items() if name in row}


class _Writer:
    """Writes attributes as JSON, those of one byte order and character set.

    Parameters
    ----------
    names : mapping
        By tag: its name in JSON, and the VR where the file does not say it.
    order : str
        The byte order of numbers, as `struct` writes it.
    codec : str
        Python's for text; empty where only ASCII is read here.
    """

    def __init__(self, names: Mapping[int, tuple[str, str]], order: str, codec: str) -> None:
        self._names, self._order, self._codec = names, order, codec
        # By tag, what was written last.
        self._last: dict[int, tuple[tuple[bytes, bytes], bytes]] = {}

    def row(self, elements: Mapping[int, tuple[bytes, bytes]]) -> JsonRow:
        """Write elements, or raise `Unusual`."""
        last = self._last
        row: JsonRow = {}
        for tag, element in elements.items():
            # Most attributes are the same in object after object.
            before = last.get(tag)
            if before is None or before[0] != element:
                before = last[tag] = element, self._written(tag, *element)
            row[tag] = before[1]
        return row

    def _written(self, tag: int, letters: bytes, content: bytes) -> bytes:
        name, expected_vr = self._names[tag]
        vr = letters.decode() or expected_vr
        reader = READERS.get(vr)
        if reader is None or _ESCAPE in content or not (self._codec or content.isascii()):
            raise Unusual
        try:
            values = reader(content, self._order, [self._codec])
        except struct.error:
            raise Unusual from None
        return _json(name, {"vr": vr, "Value": values} if content and values != [None] else {"vr": vr})


def _json(name: str, attribute: dict[str, Any]) -> bytes:
    return b'"%b":%b' % (name.encode(), orjson.dumps(attribute))


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
        check = _Check(path)
        rows: list[bytes] = []
        pages = begun[path] = []
        try:
            for body in retriever.bodies(path, original=original):
                row = reader.read(body)
                check(row)
                rows.append(b"{%b}" % b",".join(row.values()))
                bar.update()
                if len(rows) == _ROWS_A_PAGE:
                    pages.append(_page(rows))
                    rows = []
        except DicomFrameError as error:
            return without_frames(error)
        finally:
            pages.append(_page(rows))
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


def _page(rows: list[bytes]) -> bytes:
    return b"[%b]" % b",".join(rows)


class _Check:
    """Refuses rows of other things than what was asked for."""

    def __init__(self, path: ResourcePath) -> None:
        self._path = path
        asked = zip(UID_KEYWORD_OF_LEVEL.values(), path.uids, strict=False)
        self._asked = [
            (int(each.tag, 16), _json(each.tag, {"vr": "UI", "Value": [uid]}), each.keyword, uid)
            for each, uid in ((tags.attribute(keyword), uid) for keyword, uid in asked)
        ]

    def __call__(self, row: JsonRow) -> None:
        for tag, usual, keyword, uid in self._asked:
            # Other text may still say the same, with another VR.
            if row.get(tag) != usual and _values(row, tag) != [uid]:
                raise UnexpectedAnswerError(
                    200,
                    f"GET /{self._path.url_path}",
                    message=f"the server sent an object of another {keyword}",
                )


def _values(row: JsonRow, tag: int) -> Any:
    """Give an attribute's values; of none an empty one."""
    if tag not in row:
        return [""]
    (attribute,) = orjson.loads(b"{%b}" % row[tag]).values()
    return attribute.get("Value", [""])
