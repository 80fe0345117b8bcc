"""Downloads that can be broken off and taken up again: what is whole is kept, what is missing is fetched."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dicomframe.client.arriving import Arriving
from dicomframe.client.folder import Folder, Saved
from dicomframe.client.identity import Identity
from dicomframe.client.layout import DEFAULT_LAYOUT, Layout
from dicomframe.client.outcomes import UID_COLUMNS, OnFailure, explain, outcome_table, without_frames
from dicomframe.client.partial import INTERRUPTED, keeping
from dicomframe.client.progress import Bar, Progress, progress_bar
from dicomframe.client.retrieve import Retriever
from dicomframe.client.wholeness import CUT_OFF
from dicomframe.client.workers import Workers, in_order
from dicomframe.dicom.paths import ResourcePath
from dicomframe.errors import (
    DecodeError,
    DicomFrameError,
    FolderError,
    NotFoundError,
    QueryError,
    ServiceError,
    TransportError,
    TruncatedBody,
    UnexpectedAnswerError,
)

if TYPE_CHECKING:
    import pandas as pd

COLUMNS = (*UID_COLUMNS, "path", "status", "bytes", "error")

# Requests at a time for the list of a study's instances. Most have few pages, and what is asked for past the last one
# is in vain; the objects take so much longer that nobody waits for the list.
_LISTING_WIDTH = 2
_DIFFERENT = (
    "the server sent different objects with the same UIDs; all are kept, none under the usual name: see the files"
    " beside this one"
)
#: The UIDs of a study, a series and an instance: the same SOP Instance UID may be in two series.
Key = tuple[str, str, str]


@dataclass(slots=True)
class Job:
    """One resource asked for, and how it went.

    Parameters
    ----------
    path : ResourcePath
        The resource.
    rows : dict
        A row of the result by UIDs.
    missing : list of Identity
        Instances that are still to be fetched, each by itself.
    expected : list of Identity
        The instances that there are, as far as is known.
    is_listed : bool
        Whether the server could say which instances there are.
    failures : list of Exception
        What went wrong while all of it came in one answer.
    to_blame : dict
        Why the rows that tell of a failure do so, by UIDs.
    """

    path: ResourcePath
    rows: dict[Key, dict[str, Any]] = field(default_factory=dict)
    missing: list[Identity] = field(default_factory=list)
    expected: list[Identity] = field(default_factory=list)
    is_listed: bool = False
    failures: list[Exception] = field(default_factory=list)
    to_blame: dict[Key | None, Exception] = field(default_factory=dict)

    def has(self, uids: Identity) -> bool:
        """Whether an instance's outcome is known."""
        return _key(uids) in self.rows

    def note(
        self,
        uids: Identity,
        status: str,
        path: str | None = None,
        size: int | None = None,
        blame: Exception | None = None,
        remark: str = "",
    ) -> None:
        """Write down an instance's outcome, and why it is not what was asked for, or what else there is to say."""
        key = _key(uids)
        # What came whole after all is nobody's fault any more.
        self.to_blame.pop(key, None)
        if blame is not None:
            self.to_blame[key] = without_frames(blame)
        self.rows[key] = {
            **dict(zip(UID_COLUMNS, key, strict=True)),
            "path": path,
            "status": status,
            "bytes": size,
            "error": " ".join(filter(None, (explain(blame) if blame else "", remark))),
        }

    def note_saved(self, uids: Identity, saved: Saved) -> None:
        """Write down the outcome of an object whose file is there, whole or not."""
        blame: Exception | None = None
        if saved.status == "damaged":
            blame = TruncatedBody(CUT_OFF)
        elif saved.status == "ambiguous":
            blame = UnexpectedAnswerError(200, f"GET /{self.path.url_path}", message=_DIFFERENT)
        self.note(uids, saved.status, saved.path, saved.size, blame, saved.remark)

    def so_far(self) -> list[dict[str, Any]]:
        """Give the rows of a download that was interrupted, with those of what was not begun."""
        known = [_key(uids) for uids in self.expected]
        # Where nobody knows yet what there is, the resource itself.
        left = [key for key in known if key not in self.rows] if known else [self.path.uids]
        missing = [dict(zip(UID_COLUMNS, uids, strict=False)) | {"status": INTERRUPTED} for uids in left]
        return [*self.rows.values(), *missing]

    def all_rows(self) -> list[dict[str, Any]]:
        """Give the instances' rows, and one for the resource itself if nobody knows what else there was."""
        rows = list(self.rows.values())
        if rows and (self.is_listed or not self.failures):
            return rows
        if not self.failures:
            self.failures.append(
                NotFoundError(404, f"GET /{self.path.url_path}", message="no instances were found")
            )
        self.to_blame[None] = self.failures[-1]
        uids = dict(zip(UID_COLUMNS, self.path.uids, strict=False))
        return [*rows, {**uids, "status": "failed", "error": explain(self.failures[-1])}]


def _key(uids: Identity) -> Key:
    return uids.study, uids.series, uids.instance


class Downloader:
    """Brings objects into a folder.

    Parameters
    ----------
    retriever : Retriever
        Where they come from.
    folder : Folder
        Where they go.
    bar : Bar
        Told of each instance that is done.
    width : int, optional
        How many requests run at the same time; by default as many as the session's.
    original : bool
        Whether first versions are wanted.
    overwrite : bool
        Whether to fetch also what is there already.
    """

    def __init__(
        self,
        retriever: Retriever,
        folder: Folder,
        bar: Bar,
        width: int | None = None,
        *,
        original: bool = False,
        overwrite: bool = False,
    ) -> None:
        self._retriever = retriever
        self._overwrite = overwrite
        self._original = original
        self._folder = folder
        self._bar = bar
        self._width = width or retriever.session.max_workers
        # Where it was not, what is kept is still looked for.
        self._was_writable = folder.failure is None

    def run(self, jobs: Sequence[Job]) -> None:
        """Bring all; what fails is in the rows."""
        width = self._width
        with Workers(width, "download") as workers:
            for _ in in_order(workers, self._bring, jobs, width):
                continue
            # What is left is spread over all workers, however few studies it comes from.
            left = [(job, uids) for job in jobs for uids in job.missing]
            for _ in in_order(workers, lambda pair: self._fetch(*pair), left, width):
                continue

    def _bring(self, job: Job) -> None:
        """Keep what is whole; take a study or series in one answer where all of it is missing."""
        path = job.path
        if self._folder.failure is not None and self._was_writable and path.level != "instance":
            # Not even a list is asked for any more.
            job.failures.append(self._folder.failure)
            return
        if path.level == "instance":
            expected = [Identity(path.study, path.series or "", path.instance or "")]
        else:
            expected = self._instances(job)
        job.expected = expected
        self._bar.expect(len(expected))
        for uids in expected:
            self._keep(job, uids)
        missing = [uids for uids in expected if not job.has(uids)]
        # Where there may be more than is listed, all are asked for: nobody can name the others.
        if path.level != "instance" and (not job.is_listed or len(missing) == len(expected) != 1):
            self._stream(job)
        job.missing = [uids for uids in missing if not job.has(uids)]

    def _keep(self, job: Job, uids: Identity) -> None:
        found = None if self._overwrite else self._folder.whole_file(uids)
        if found is not None:
            job.note(uids, "kept", *found)
            self._bar.update()

    def _instances(self, job: Job) -> list[Identity]:
        """Ask which instances there are; a server that cannot tell is asked for the objects themselves."""
        try:
            rows = self._retriever.instances_of(job.path, width=_LISTING_WIDTH)
            listed = [
                Identity(job.path.study, *(str(row[name]).rstrip(" \0") for name in UID_COLUMNS[1:]))
                for row in rows
            ]
        except (DicomFrameError, KeyError):
            return []
        job.is_listed = bool(listed) and rows.is_whole
        return listed

    def _stream(self, job: Job) -> None:
        try:
            self._folder.check_writable()
            for body in self._retriever.bodies(job.path, original=self._original):
                # Another worker may have met the end of the disk.
                self._folder.check_writable()
                arriving = Arriving(body)
                try:
                    saved = self._folder.save(arriving, job.path)
                except (DecodeError, QueryError) as error:
                    # Behind an object that came and cannot be used, the others follow; behind a cut they do not.
                    if not arriving.is_whole:
                        raise
                    job.failures.append(without_frames(error))
                    continue
                # What came damaged is fetched once more by itself, if it will be missed.
                if not (saved.status == "damaged" and job.is_listed):
                    is_new = not job.has(saved.uids)
                    job.note_saved(saved.uids, saved)
                    if is_new:
                        self._bar.update()
        except DicomFrameError as error:
            job.failures.append(without_frames(error))

    def _fetch(self, job: Job, uids: Identity) -> None:
        """Fetch one instance; once more if it comes cut or broken, because nothing else retries a stream."""
        damaged: Saved | None = None
        # Its own: the other workers note theirs meanwhile.
        blame: Exception | None = None
        for _ in range(2):
            try:
                saved = self._fetch_once(uids)
            except (TransportError, DecodeError) as broken:
                blame = broken
            except (ServiceError, FolderError, QueryError) as refused:
                blame = refused
                break
            else:
                if saved.status != "damaged":
                    job.note_saved(uids, saved)
                    break
                damaged = saved
        if not job.has(uids):
            if damaged is not None:
                job.note_saved(uids, damaged)
            else:
                job.note(uids, "failed", blame=blame)
        self._bar.update()

    def _fetch_once(self, uids: Identity) -> Saved:
        saved: Saved | None = None
        other: Exception | None = None
        path = ResourcePath(uids.study, uids.series, uids.instance)
        self._folder.check_writable()
        for body in self._retriever.bodies(path, original=self._original):
            arriving = Arriving(body)
            try:
                came = self._folder.save(arriving, path)
            except (DecodeError, QueryError) as error:
                if not arriving.is_whole:
                    raise
                other = without_frames(error)
            else:
                saved = came
        if saved is None:
            raise other or DecodeError("the answer holds no object")
        if other is not None:
            told = f"The answer held something else as well, which is not kept: {explain(other)}."
            saved = saved._replace(remark=f"{told} {saved.remark}".rstrip())
        return saved


def download(
    retriever: Retriever,
    paths: Sequence[ResourcePath],
    folder: str | Path,
    *,
    layout: str = DEFAULT_LAYOUT,
    original: bool = False,
    overwrite: bool = False,
    errors: OnFailure = "rows",
    progress: Progress = False,
    max_workers: int | None = None,
) -> pd.DataFrame:
    """Save objects as files; `dicomframe.client.client.Client.download` documents it."""
    is_number = isinstance(max_workers, int) and not isinstance(max_workers, bool)
    if max_workers is not None and (not is_number or max_workers < 1):
        raise QueryError("max_workers= is a whole number from 1 on.")
    if not isinstance(overwrite, bool):
        raise QueryError("overwrite must be True or False.")
    target = Folder(folder, Layout(layout), original=original)
    jobs = [Job(path) for path in dict.fromkeys(paths)]

    def table(rows: Iterable[dict[str, Any]]) -> pd.DataFrame:
        distinct = {tuple(row.get(name) for name in UID_COLUMNS): row for row in rows}
        return outcome_table(list(distinct.values()), COLUMNS, retriever.session.base, ["bytes"])

    with (
        keeping(retriever.session, lambda: table(row for job in jobs for row in job.so_far())),
        closing(target),
        progress_bar(progress, "Downloading", None, "instance") as bar,
    ):
        Downloader(retriever, target, bar, max_workers, original=original, overwrite=overwrite).run(jobs)
    made = table(row for job in jobs for row in job.all_rows())
    if errors == "raise" and (blame := [each for job in jobs for each in job.to_blame.values()]):
        raise blame[0]
    return made
