"""Pages of DICOM JSON to batches: which are read together, which in parts, and by which of the two readers.

The fast reader takes what is clean, many pages at a time; what it refuses, and a small page by itself, the tolerant one
reads, piece by piece: as structs where each attribute has the usual form, else as dicts.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

from dicomframe.dicom.paths import Level
from dicomframe.errors import DecodeError
from dicomframe.tables.arrow_reader import read_fast
from dicomframe.tables.batch import Batch
from dicomframe.tables.jsontext import (
    Decoded,
    Piece,
    cut,
    decode_piece,
    first_row_length,
    pieces,
    rows_between,
)
from dicomframe.tables.readings import Refused
from dicomframe.tables.schema import Column, columns_for
from dicomframe.tables.shape import Shape, learn, sample
from dicomframe.tables.tolerant import TolerantReader
from dicomframe.tables.usual import UsualRows, is_plain, read_usual

_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
#: Pages are read together up to so many bytes or rows or so much of what was read before, whichever is most, and a
#: longer page in parts: the fast reader keeps copies while it reads, and each column costs something each time.
_GROUP_BYTES = 512 * 1024
_GROUP_SHARE = 16
_PART_BYTES = 2 * 1024 * 1024
_ROWS = 1_000
#: A single page of up to so many bytes is read by rows at once: what Arrow costs each time is more than what it spares.
_SMALL_BYTES = 256 * 1024
#: More bytes than that are not read together, however long the rows are.
_TOGETHER_BYTES = 4 * 1024 * 1024


def _trim(page: bytes) -> bytes:
    """Make an array of what a server sent: no byte order mark, no white space, a single object as a list of one."""
    page = page.removeprefix(_BYTE_ORDER_MARK).strip()
    return b"[" + page + b"]" if page.startswith(b"{") else page


def read_pages(pages: Iterable[bytes], shape: Shape) -> Iterator[Batch]:
    """Read pages, many at a time if they are clean; else each by itself, so that a dirty one does not slow the others.

    The shape grows while they are read; the VR that a column has at its first sight, it keeps.
    """
    for group in _groups(filter(None, map(_trim, pages))):
        numbers: dict[str, set[type]] = {}
        sample(group, shape, numbers)
        if len(group) == 1 and len(group[0]) > _TOGETHER_BYTES:
            yield from _read_in_parts(group[0], shape)
        else:
            yield from _read_together(group, shape, numbers)


def _groups(pages: Iterable[bytes]) -> Iterator[list[bytes]]:
    """Give pages together up to a number of bytes, a longer one by itself."""
    waiting: list[bytes] = []
    size = most = before = 0
    for page in pages:
        if waiting and size + len(page) > most:
            yield waiting
            before += size
            waiting, size = [], 0
        if not waiting:
            most = max(_GROUP_BYTES, _ROWS * first_row_length(page), before // _GROUP_SHARE)
            most = min(most, _TOGETHER_BYTES)
        waiting.append(page)
        size += len(page)
    if waiting:
        yield waiting


def _read_in_parts(page: bytes, shape: Shape) -> Iterator[Batch]:
    """Read a long page without a copy of the whole."""
    for start, stop in cut(page, _PART_BYTES, _ROWS):
        try:
            yield from _read_together([rows_between(page, start, stop)], shape)
        except DecodeError:
            if stop == len(page):
                raise
            # Not a place between rows after all, or no JSON: the rest in one go will tell.
            yield from _read_together([rows_between(page, start, len(page))], shape)
            return


def _read_together(
    pages: Sequence[bytes], shape: Shape, numbers: Mapping[str, set[type]] | None = None
) -> Iterator[Batch]:
    """Read pages; what was seen of their numbers counts for all of them together, not for one or a part."""
    if not pages:
        return
    if len(pages) == 1 and len(pages[0]) <= _SMALL_BYTES and is_plain(shape):
        yield _read_by_rows(pages[0], shape)
        return
    try:
        yield read_fast(pages, shape, columns_of(shape), numbers)
    except Refused as refusal:
        if len(pages) == 1:
            yield from _read_refused(pages[0], shape, refusal)
        else:
            for page in pages:
                yield from _read_together([page], shape)


def _read_refused(page: bytes, shape: Shape, refusal: Refused) -> Iterator[Batch]:
    """Learn all tags and try once more, if it was for an unknown one; else read piece by piece."""
    if refusal.unexpected:
        for piece in _pieces(page, decode_piece):
            learn(shape, piece.rows)
        try:
            yield read_fast([page], shape, columns_of(shape))
        except Refused:
            pass
        else:
            return
    yield _read_by_rows(page, shape)


def _read_by_rows(page: bytes, shape: Shape) -> Batch:
    """Read a page piece by piece, as structs where all has the usual form."""
    reader = TolerantReader()
    columns = columns_of(shape)
    is_usual = True

    def decode(text: bytes) -> UsualRows | Piece:
        return (read_usual(text, shape) if is_usual else None) or decode_piece(text)

    for piece in _pieces(page, decode):
        if isinstance(piece, UsualRows):
            reader.read_usual(piece, columns)
            continue
        known = len(shape)
        learn(shape, piece.rows)
        if len(shape) > known:
            columns = columns_of(shape)
        else:
            # It was something else than a new tag, which the next pieces may have as well.
            is_usual = False
        reader.read(piece.rows, columns, piece.twice)
    return reader.finish()


def columns_of(
    shape: Shape, level: Level = "study", keywords: Sequence[str] | None = None
) -> dict[str, Column]:
    """Give the columns of a table of some shape: those of its level, or others, and every tag that was seen."""
    return columns_for(level, {tag: vr for tag, (vr, _) in shape.items()}, keywords)


def _pieces(page: bytes, decode: Callable[[bytes], Decoded]) -> Iterator[Decoded]:
    try:
        yield from pieces(page, decode)
    except ValueError:
        head = "It looks like a web page." if page[:1] == b"<" else "The text breaks JSON's grammar."
        raise DecodeError(f"DICOM JSON was expected, an array of objects. {head}") from None
