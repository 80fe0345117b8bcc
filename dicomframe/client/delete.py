"""DELETE of studies, series and instances, with one outcome each."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from dicomframe.client.operations import Operation, link_of
from dicomframe.client.outcomes import UID_COLUMNS, OnFailure, outcome_table
from dicomframe.client.partial import INTERRUPTED, keeping
from dicomframe.client.progress import Progress, progress_bar
from dicomframe.client.retrieve import Retriever
from dicomframe.client.session import Session
from dicomframe.client.workers import Workers, in_order
from dicomframe.dicom.paths import ResourcePath
from dicomframe.errors import DicomFrameError, NotFoundError

if TYPE_CHECKING:
    import pandas as pd

COLUMNS = (*UID_COLUMNS, "status", "error")


def delete_one(
    session: Session,
    path: ResourcePath,
    *,
    wait: bool = True,
    background: bool = False,
    progress: Progress = False,
) -> str:
    """Delete one resource; give ``"deleted"``, or ``"accepted"`` if it goes on without waiting.

    With ``background`` the service is asked to delete in an operation of its own (RFC 7240, respond-async).

    Raises
    ------
    NotFoundError
        If there is no such resource.
    ServiceError, TransportError
        If the service refuses or does not answer.
    """
    headers = {"Prefer": "respond-async"} if background else {}
    answer = session.request("DELETE", path.url_path, headers=headers, accept_status=(404,))
    if answer.status == 404:
        if answer.acted_before:
            # The first attempt's answer was lost on the way; its work was not.
            return "deleted"
        raise session.error_of(answer)
    if answer.status != 202:
        return "deleted"
    if not wait or link_of(answer) is None:
        return "accepted"
    Operation.of(session, answer, progress).wait()
    return "deleted"


def delete_many(
    session: Session,
    paths: Sequence[ResourcePath],
    *,
    dry_run: bool = False,
    wait: bool = True,
    background: bool = False,
    errors: OnFailure = "rows",
    progress: Progress = False,
) -> pd.DataFrame:
    """Delete several resources; `dicomframe.client.client.Client.delete_many` documents it."""
    paths = list(dict.fromkeys(paths))
    if dry_run:
        return _plan(session, paths, errors, progress)
    failures: list[DicomFrameError] = []
    # One deletion shows how far it is; of several, how many are done is shown.
    only_one = len(paths) == 1
    of_operation, of_all = (progress, False) if background and only_one else (False, progress)

    rows: dict[ResourcePath, dict[str, Any]] = {}
    begun: set[ResourcePath] = set()

    def delete(path: ResourcePath) -> None:
        begun.add(path)
        try:
            status = delete_one(session, path, wait=wait, background=background, progress=of_operation)
        except DicomFrameError as error:
            failures.append(error)
            rows[path] = _failed(path, error)
        else:
            rows[path] = _uids(path) | {"status": status}

    def table() -> pd.DataFrame:
        left = {path: {"status": "unknown" if path in begun else INTERRUPTED} for path in paths}
        found = [rows[path] if path in rows else _uids(path) | left[path] for path in paths]
        return outcome_table(found, COLUMNS, session.base)

    width = session.max_workers
    with keeping(session, table):
        if background and only_one:
            # Here, so that the operation's own bar can be shown.
            delete(paths[0])
        else:
            with (
                progress_bar(of_all, "Deleting", len(paths), "resource") as bar,
                Workers(width, "delete") as workers,
            ):
                for _ in in_order(workers, delete, paths, width):
                    bar.update()
    if failures and errors == "raise":
        raise failures[0]
    return table()


def _plan(
    session: Session, paths: Sequence[ResourcePath], errors: OnFailure, progress: Progress
) -> pd.DataFrame:
    """Search for the instances that would go; what cannot be looked up is a row, as in a deletion."""
    retriever = Retriever(session)
    failures: list[DicomFrameError] = []

    def plan(path: ResourcePath) -> list[dict[str, Any]]:
        try:
            listed = [
                {name: str(found.get(name, "")) for name in UID_COLUMNS} | {"status": "would go"}
                for found in retriever.instances_of(path)
            ]
        except DicomFrameError as error:
            failures.append(error)
            return [_failed(path, error)]
        found = [row for row in listed if path.instance in {None, row["SOPInstanceUID"]}]
        if not found:
            # As in a deletion; a search finds nothing without a word.
            absent = NotFoundError(404, f"GET /{path.url_path}", message="there are no such instances")
            failures.append(absent)
            return [_failed(path, absent)]
        return found

    width = session.max_workers
    planned: list[dict[str, Any]] = []

    def so_far() -> pd.DataFrame:
        return outcome_table(planned, COLUMNS, session.base)

    with (
        keeping(session, so_far),
        progress_bar(progress, "Looking", len(paths), "resource") as bar,
        Workers(width, "delete") as workers,
    ):
        for rows in in_order(workers, plan, paths, width):
            planned += rows
            bar.update()
    if failures and errors == "raise":
        raise failures[0]
    distinct = {tuple(row.get(name) for name in UID_COLUMNS): row for row in planned}
    return outcome_table(list(distinct.values()), COLUMNS, session.base)


def _uids(path: ResourcePath) -> dict[str, Any]:
    return dict(zip(UID_COLUMNS, path.uids, strict=False))


def _failed(path: ResourcePath, error: DicomFrameError) -> dict[str, Any]:
    uids = _uids(path)
    status = "absent" if isinstance(error, NotFoundError) else "failed"
    return {**uids, "status": status, "error": f"{type(error).__name__}: {' '.join(str(error).split())}"}
