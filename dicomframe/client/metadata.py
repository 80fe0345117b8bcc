"""The metadata of several resources in one table, and what such a table says of those that failed."""

from __future__ import annotations

import re
from collections.abc import Generator, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from dicomframe.client.outcomes import without_frames
from dicomframe.client.pages import decode_rows, read_page
from dicomframe.client.partial import give_back, read_until_interrupted, remaining
from dicomframe.client.progress import Bar, Progress, progress_bar
from dicomframe.client.retrieve import ORIGINAL
from dicomframe.client.session import Session
from dicomframe.client.workers import Workers, in_order
from dicomframe.dicom import tags
from dicomframe.dicom.paths import UID_KEYWORD_OF_LEVEL, ResourcePath
from dicomframe.errors import DicomFrameError, IncompleteRetrievalWarning, UnexpectedAnswerError, warn_caller

if TYPE_CHECKING:
    import pandas as pd

    from dicomframe.tables.schema import DtypeBackend, OnBadValue

_BEGINS_AS_ROWS = re.compile(rb"(?:\xef\xbb\xbf)?\s*\[\s*[{\]]")


def retrieve_metadata(
    session: Session,
    paths: Sequence[ResourcePath],
    keywords: Sequence[str] | None = None,
    dtype_backend: DtypeBackend = "numpy_nullable",
    errors: OnBadValue = "coerce",
    *,
    original: bool = False,
    progress: Progress = False,
) -> pd.DataFrame:
    """Make the table; `dicomframe.client.client.Client.collect_metadata` documents it."""
    from dicomframe.tables.convert import from_pages

    wanted = None if keywords is None else [tags.attribute(name) for name in _names(keywords)]
    failed: list[Failure] = []
    unit = paths[0].level if paths else "instance"
    with progress_bar(progress, "Retrieving metadata", len(paths), unit) as bar:
        table, interrupt = read_until_interrupted(
            lambda pages: from_pages(pages, "instance", dtype_backend, errors),
            _pages(session, paths, ORIGINAL if original else {}, failed, bar),
        )
    with remaining(interrupt):
        note_failures(table, session.base, "metadata", failed, len(paths))
        table = table if wanted is None else select_columns(table, wanted, dtype_backend)
    if interrupt is not None:
        give_back(session, interrupt, table)
    return table


def metadata_of(session: Session, path: ResourcePath) -> list[dict[str, Any]]:
    """Give the metadata of one resource as it came, an object an instance, without the cost of making a table.

    Raises
    ------
    ServiceError, TransportError, DecodeError
        If it cannot be had.
    """
    return decode_rows(_page(session, path, {}))


def _pages(
    session: Session, paths: Sequence[ResourcePath], more: Mapping[str, str], failed: list[Failure], bar: Bar
) -> Generator[bytes]:
    def page(path: ResourcePath) -> bytes | DicomFrameError:
        try:
            return _page(session, path, more)
        except DicomFrameError as error:
            return without_frames(error)

    width = session.max_workers
    with Workers(width, "metadata") as workers:
        for path, got in zip(paths, in_order(workers, page, paths, width), strict=True):
            bar.update()
            if isinstance(got, DicomFrameError):
                failed.append((path, got))
            else:
                yield got


def _page(session: Session, path: ResourcePath, more: Mapping[str, str]) -> bytes:
    headers = {"Accept": "application/dicom+json", **more}
    answer = session.request("GET", f"{path.url_path}/metadata", headers=headers)
    # An array that begins with an object is left to the table's reader, which reads it faster.
    if answer.content and not _BEGINS_AS_ROWS.match(answer.content):
        decode_rows(answer.content)
    if path.level == "instance":
        named = {uid.rstrip(" \0") for uid in read_page(answer.content, "instance", 1).uids}
        # Some servers leave it out.
        if not named <= {path.instance, ""}:
            raise UnexpectedAnswerError(
                200,
                f"GET /{path.url_path}/metadata",
                message="the server sent metadata of another SOPInstanceUID",
            )
    return answer.content


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
