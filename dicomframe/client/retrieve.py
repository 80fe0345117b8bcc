"""WADO-RS: objects and metadata, as they are stored (PS3.18 section 10.4).

Without a transfer syntax in the Accept header the service transcodes to Explicit VR Little Endian; ``*`` asks for the
bytes as stored, at all three levels. Servers that know no such parameter are asked without it.
"""

from __future__ import annotations

import re
import tempfile
from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from mmap import ACCESS_READ, mmap
from typing import IO, TYPE_CHECKING, Any, BinaryIO, Protocol, cast

from dicomframe.client.elements import HEAD_BYTES
from dicomframe.client.identity import may_lack_preamble
from dicomframe.client.incoming import Answer
from dicomframe.client.outcomes import without_frames
from dicomframe.client.pages import decode_rows
from dicomframe.client.partial import give_back, read_until_interrupted, remaining
from dicomframe.client.progress import Bar, Progress, progress_bar
from dicomframe.client.search import Search
from dicomframe.client.session import Session
from dicomframe.client.wholeness import CUT_OFF, ends_with_pixels, is_cut_off
from dicomframe.client.workers import Workers, in_order
from dicomframe.dicom import tags
from dicomframe.dicom.multipart import MediaType
from dicomframe.dicom.parts import fill_parts
from dicomframe.dicom.paths import UID_KEYWORD_OF_LEVEL, Level, ResourcePath
from dicomframe.errors import (
    BadRequestError,
    DecodeError,
    DicomFrameError,
    IncompleteRetrievalWarning,
    NotAcceptableError,
    NotBuiltError,
    NotFoundError,
    TruncatedBody,
    UnexpectedAnswerError,
    warn_caller,
)

if TYPE_CHECKING:
    import pandas as pd
    from pydicom import Dataset

    from dicomframe.tables.schema import DtypeBackend, OnBadValue

#: What is asked for, one after the other, until a server has it.
ACCEPTS = (
    'multipart/related; type="application/dicom"; transfer-syntax=*',
    'multipart/related; type="application/dicom"',
    "application/dicom; transfer-syntax=*",
    "*/*",
)
#: Asks for the first version of what was updated in bulk; servers that know no such header ignore it.
ORIGINAL = {"msdicom-request-original": "true"}
#: Objects up to this size are held in memory while they are read, larger ones in a temporary file.
SPOOL_BYTES = 32 * 1024 * 1024

_BEGINS_AS_ROWS = re.compile(rb"(?:\xef\xbb\xbf)?\s*\[\s*[{\]]")

# A study is shown by an image of it, if it has any.
_NOT_PICTURES = frozenset(
    {"AU", "DOC", "ECG", "HD", "KO", "PLAN", "PR", "REG", "RTPLAN", "RTRECORD", "RTSTRUCT", "RWV", "SR"}
)


class ObjectBody(Protocol):
    """One DICOM object that is still coming in."""

    def iter_bytes(self) -> Iterator[bytes | memoryview]:
        """Yield its bytes as they come in."""

    def write_to(self, file: BinaryIO) -> int:
        """Write it to a file, give the number of bytes."""


class WholeBody:
    """An answer that is one object, without multipart.

    Parameters
    ----------
    answer : Answer
        Its body is still to be read.
    """

    def __init__(self, answer: Answer) -> None:
        self._answer = answer

    def iter_bytes(self) -> Iterator[bytes]:
        """Yield its bytes as they come in."""
        return self._answer.iter_bytes()

    def write_to(self, file: BinaryIO) -> int:
        """Write it to a file, give the number of bytes."""
        length = 0
        for chunk in self._answer.iter_bytes():
            file.write(chunk)
            length += len(chunk)
        return length


class Listing(list[dict[str, Any]]):
    """Rows of a search.

    Attributes
    ----------
    is_whole : bool
        Whether they are known to be all there are: the server may have ended before, or rows may have moved.
    """

    is_whole: bool = True


class Retriever:
    """Retrieval from one service; it remembers which Accept header the server understands.

    Parameters
    ----------
    session : Session
        The way to the service.
    """

    def __init__(self, session: Session) -> None:
        self.session = session
        self._accept = 0

    def bodies(self, path: ResourcePath, *, original: bool = False) -> Iterator[ObjectBody]:
        """Yield the objects of a study, series or instance as they come in.

        Each is valid until the next is asked for; memory is bounded by the chunk.

        Parameters
        ----------
        path : ResourcePath
            What to retrieve.
        original : bool
            Whether the first version is wanted of what was updated since.

        Raises
        ------
        NotFoundError
            If there is no such resource.
        TruncatedBody
            If the answer ends before its end; what came before is whole.
        ServiceError, TransportError
            If the service refuses or the connection is cut.
        """
        with self._ask(path, ORIGINAL if original else {}) as answer:
            media = MediaType.parse(answer.content_type)
            if media.type.startswith("multipart/"):
                yield from fill_parts(answer.content_type, answer.fill)
            elif media.type in {"application/dicom", "application/octet-stream"}:
                yield WholeBody(answer)
            else:
                raise UnexpectedAnswerError(
                    answer.status,
                    answer.route,
                    message=f"the answer is of type {media.type[:80] or 'none'!r}, not DICOM",
                )

    def _ask(self, path: ResourcePath, more: Mapping[str, str]) -> Answer:
        """Ask in the way that this server understands; find that out at the first refusal."""
        first = self._accept
        for at in range(first, len(ACCEPTS)):
            headers = {"Accept": ACCEPTS[at], "Accept-Encoding": "identity", **more}
            try:
                answer = self.session.request("GET", path.url_path, headers=headers, stream=True)
            except (NotAcceptableError, BadRequestError) as error:
                refusal = error
            else:
                self._accept = at
                return answer
        raise refusal

    def objects(self, path: ResourcePath, *, original: bool = False) -> Iterator[Dataset]:
        """Yield the objects as Datasets, one at a time.

        Raises
        ------
        UnexpectedAnswerError
            If the server sends an object of another study, series or instance.
        """
        for body in self.bodies(path, original=original):
            yield checked(read_dataset(body), path)

    def instance(self, path: ResourcePath, *, original: bool = False) -> Dataset:
        """Retrieve the one object of an instance."""
        found: Dataset | None = None
        # Read to the end of the answer, so that its connection can be used again.
        for body in self.bodies(path, original=original):
            found = checked(read_dataset(body), path) if found is None else found
        if found is not None:
            return found
        raise NotFoundError(404, f"GET /{path.url_path}", message="the answer holds no object")

    def metadata(
        self,
        paths: Sequence[ResourcePath],
        keywords: Sequence[str] | None = None,
        dtype_backend: DtypeBackend = "numpy_nullable",
        errors: OnBadValue = "coerce",
        *,
        original: bool = False,
        progress: Progress = False,
    ) -> pd.DataFrame:
        """Retrieve the metadata of several resources into one table, one row an instance."""
        from dicomframe.tables.convert import from_pages

        wanted = None if keywords is None else [tags.attribute(name) for name in _names(keywords)]
        failed: list[Failure] = []
        unit = paths[0].level if paths else "instance"
        with progress_bar(progress, "Retrieving metadata", len(paths), unit) as bar:
            table, interrupt = read_until_interrupted(
                lambda pages: from_pages(pages, "instance", dtype_backend, errors),
                self._metadata_pages(paths, ORIGINAL if original else {}, failed, bar),
            )
        with remaining(interrupt):
            note_failures(table, self.session.base, "metadata", failed, len(paths))
            table = table if wanted is None else select_columns(table, wanted, dtype_backend)
        if interrupt is not None:
            give_back(self.session, interrupt, table)
        return table

    def _metadata_pages(
        self, paths: Sequence[ResourcePath], more: Mapping[str, str], failed: list[Failure], bar: Bar
    ) -> Generator[bytes]:
        def page(path: ResourcePath) -> bytes | DicomFrameError:
            try:
                return self._metadata_page(path, more)
            except DicomFrameError as error:
                return without_frames(error)

        width = self.session.max_workers
        with Workers(width, "metadata") as workers:
            for path, got in zip(paths, in_order(workers, page, paths, width), strict=True):
                bar.update()
                if isinstance(got, DicomFrameError):
                    failed.append((path, got))
                else:
                    yield got

    def _metadata_page(self, path: ResourcePath, more: Mapping[str, str]) -> bytes:
        headers = {"Accept": "application/dicom+json", **more}
        answer = self.session.request("GET", f"{path.url_path}/metadata", headers=headers)
        # An array that begins with an object is left to the table's reader, which reads it faster.
        if answer.content and not _BEGINS_AS_ROWS.match(answer.content):
            decode_rows(answer.content)
        return answer.content

    def instances_of(
        self, path: ResourcePath, fields: Sequence[str] = (), width: int | None = None
    ) -> Listing:
        """Search the instances of a study or series; each a mapping from keyword to its first value.

        Parameters
        ----------
        path : ResourcePath
            The study or series.
        fields : sequence of str
            Further attributes to ask for.
        width : int, optional
            The most requests at a time; by default the session's.
        """
        try:
            return self._below(path, "instance", fields, width)
        except (NotFoundError, NotBuiltError):
            # Some servers list instances below a series only.
            series = self._below(path, "series") if path.level == "study" else Listing()
            if not series:
                raise
        below = [ResourcePath(path.study, row["SeriesInstanceUID"]) for row in series]
        listings = [series, *(self._below(each, "instance", fields, width) for each in below)]
        listed = Listing(row for each in listings[1:] for row in each)
        listed.is_whole = all(each.is_whole for each in listings)
        return listed

    def _below(
        self, path: ResourcePath, level: Level, fields: Sequence[str] = (), width: int | None = None
    ) -> Listing:
        search = Search.of(
            self.session,
            level,
            filters={},
            study_uid=path.study,
            series_uid=path.series,
            fields=list(fields),
            limit=None,
            page_size=200,
        )
        search.width = width
        rows = [_first_values(row) for page in search.pages() for row in page]
        listed = Listing(
            {"StudyInstanceUID": path.study, "SeriesInstanceUID": path.series, **row} for row in rows
        )
        listed.is_whole = search.completeness == "complete"
        return listed

    def representative(self, path: ResourcePath) -> Dataset:
        """Retrieve the instance that stands for a resource; see `representative_path`."""
        return self.instance(self.representative_path(path))

    def representative_path(self, path: ResourcePath) -> ResourcePath:
        """Find the instance that stands for a resource: the middle one, of a study's largest series of pictures.

        Raises
        ------
        NotFoundError
            If there is no instance.
        """
        if path.level == "instance":
            return path
        rows = self.instances_of(path, fields=["InstanceNumber", "Modality"])
        series: dict[str, list[dict[str, Any]]] = {}
        for row in rows:
            series.setdefault(str(row.get("SeriesInstanceUID") or ""), []).append(row)
        if not series:
            raise NotFoundError(404, f"GET /{path.url_path}", message="there are no instances")
        chosen = max(
            series.values(), key=lambda each: (each[0].get("Modality") not in _NOT_PICTURES, len(each))
        )
        chosen.sort(key=_instance_number)
        row = chosen[len(chosen) // 2]
        if not (row.get("SeriesInstanceUID") and row.get("SOPInstanceUID")):
            raise DecodeError("The server's list of instances lacks their UIDs.")
        return ResourcePath(path.study, row["SeriesInstanceUID"], row["SOPInstanceUID"])


def checked(dataset: Dataset, path: ResourcePath) -> Dataset:
    """Give the Dataset back if it is what was asked for."""
    for keyword, uid in zip(UID_KEYWORD_OF_LEVEL.values(), path.uids, strict=False):
        if str(dataset.get(keyword, "")).rstrip(" \0") != uid:
            raise UnexpectedAnswerError(
                200, f"GET /{path.url_path}", message=f"the server sent an object of another {keyword}"
            )
    return dataset


def _is_cut_off(file: IO[bytes], size: int) -> bool:
    """Whether an object ends in the middle of something; pydicom may read it without a word, or without its pixels."""
    file.seek(0)
    head = file.read(HEAD_BYTES)
    if ends_with_pixels(head, size):
        return False
    file.seek(0)
    if size <= SPOOL_BYTES:
        return is_cut_off(head, file.read())
    # What is in a file need not be brought into memory.
    with mmap(file.fileno(), 0, access=ACCESS_READ) as content:
        return is_cut_off(head, content)


def _is_last_short(dataset: Dataset) -> bool:
    """Whether the last element is shorter than it says, which shows also where the encoding is unusual."""
    from pydicom.dataelem import RawDataElement

    last: Any = dataset.get_item(max(dataset.keys())) if len(dataset) else None
    if isinstance(last, RawDataElement) and last.value is not None and last.length != 0xFFFFFFFF:
        return len(last.value) < last.length
    return False


def read_dataset(body: ObjectBody) -> Dataset:
    """Read one object into a Dataset.

    Raises
    ------
    DecodeError
        If it is no DICOM.
    TruncatedBody
        If it was cut off.
    """
    from pydicom import dcmread
    from pydicom.errors import InvalidDicomError

    with tempfile.SpooledTemporaryFile(SPOOL_BYTES) as file:
        size = body.write_to(cast("BinaryIO", file))
        if _is_cut_off(file, size):
            raise TruncatedBody(CUT_OFF)
        file.seek(0)
        force = may_lack_preamble(file.read(2))
        file.seek(0)
        try:
            dataset = dcmread(file, force=force)
        except InvalidDicomError:
            problem = "The server sent something that is no DICOM object."
        except Exception as error:  # noqa: BLE001 - pydicom raises many kinds on damaged objects
            problem = f"The server sent an object that cannot be read ({type(error).__name__})."
        else:
            # The temporary file goes; nothing of the data set is still to be read from it.
            dataset.buffer = None
            dataset.filename = None
            if _is_last_short(dataset):
                raise TruncatedBody(CUT_OFF)
            if "SOPInstanceUID" in dataset:
                return dataset
            problem = "The server sent an object without a SOP Instance UID."
    raise DecodeError(problem)


#: What was asked for, and why it did not come.
Failure = tuple[ResourcePath, DicomFrameError]


def note_failures(table: pd.DataFrame, service: str, what: str, failed: list[Failure], count: int) -> None:
    """Tell a table of several resources its service, and which of them failed.

    Raises
    ------
    DicomFrameError
        The first failure, if all of them failed.
    """
    if failed and len(failed) == count:
        raise failed[0][1]
    about: dict[str, Any] = {"service": service}
    if failed:
        about["failed"] = failures_in_words(failed)
        warn_caller(
            f"The {what} of {len(failed)} of {count} resources could not be retrieved;"
            ' df.attrs["dicom"]["failed"] tells which, and why.',
            IncompleteRetrievalWarning,
        )
    table.attrs["dicom"] = about | table.attrs["dicom"]


def failures_in_words(failed: Iterable[Failure]) -> list[dict[str, str]]:
    """Give each failure's UIDs, by keyword, and its ``error``."""
    return [
        {**dict(zip(UID_KEYWORD_OF_LEVEL.values(), path.uids, strict=False)), "error": str(error)}
        for path, error in failed
    ]


def _names(keywords: Sequence[str]) -> Iterable[str]:
    return [keywords] if isinstance(keywords, str) else keywords


def select_columns(
    table: pd.DataFrame, wanted: Sequence[tags.Attribute], dtype_backend: DtypeBackend
) -> pd.DataFrame:
    """Select the UIDs and the columns asked for; one that no instance has is there and empty."""
    import pandas as pd

    from dicomframe.tables.schema import columns_for

    names = list(dict.fromkeys([*UID_KEYWORD_OF_LEVEL.values(), *(each.column for each in wanted)]))
    chosen = table[[name for name in names if name in table.columns]].copy()
    made = columns_for("instance", {each.tag: None for each in wanted})
    for each in wanted:
        if each.column not in chosen.columns:
            dtype = made[each.tag].dtype(dtype_backend)
            chosen[each.column] = pd.Series([None] * len(table), index=table.index, dtype=dtype)
    return chosen[names]


def _first_values(row: dict[str, Any]) -> dict[str, Any]:
    found = {}
    for tag, attribute in row.items():
        values = attribute.get("Value") if isinstance(attribute, dict) else None
        known = tags.find(tag)
        if known and isinstance(values, list) and values:
            found[known.column] = values[0]
    return found


def _instance_number(row: dict[str, Any]) -> tuple[float, str]:
    try:
        number = float(row.get("InstanceNumber") or 0)
    except (TypeError, ValueError):
        number = 0.0
    return number, str(row.get("SOPInstanceUID"))
