"""Bulk update (``studies/$bulkUpdate``, version 2 of the service's API): new values in whole studies."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final, Self

import orjson

from dicomframe.client.addresses import addresses_of
from dicomframe.client.changes import change_dataset
from dicomframe.client.operations import Operation
from dicomframe.client.partial import keeping
from dicomframe.client.progress import Progress, progress_bar
from dicomframe.client.search import Search
from dicomframe.client.session import Session
from dicomframe.client.workers import Workers, in_order
from dicomframe.dicom import tags
from dicomframe.errors import (
    ConflictError,
    DicomFrameError,
    NotAcceptableError,
    NotBuiltError,
    NotFoundError,
    OperationFailedError,
    QueryError,
    ServiceError,
    TableError,
    TimedOut,
)

if TYPE_CHECKING:
    import pandas as pd

#: The service's limit on studies in one update.
MOST_STUDIES: Final = 50
_ROUTE: Final = "studies/$bulkUpdate"
_FIRST_PAUSE: Final = 0.1
_LONGEST_PAUSE: Final = 5.0
_COUNTS: Final = ("studyUpdated", "studyFailed", "instanceUpdated")

Dataset = Mapping[str, Mapping[str, Any]]


def update_studies(
    session: Session, studies: Any, attributes: Mapping[str, Any], progress: Progress = False
) -> Operation | BulkOperation:
    """Begin an update; `dicomframe.client.client.Client.update_studies` documents it."""
    dataset = change_dataset(attributes)
    uids = studies_of(studies)
    if not uids:
        raise QueryError("There are no studies to update.")
    if len(uids) <= MOST_STUDIES:
        return _submit(session, uids, dataset, progress)
    return BulkOperation(session, uids, dataset, progress)


def studies_of(what: Any) -> list[str]:
    """Give the UIDs of the studies that a caller means; an update changes whole studies.

    Raises
    ------
    QueryError
        If it names no studies, or what lies below a study, or a UID is malformed.
    TableError
        If a table lacks StudyInstanceUID, or a row's.
    """
    if hasattr(what, "columns"):
        if "StudyInstanceUID" not in what.columns:
            raise TableError("The table has no column StudyInstanceUID; its studies cannot be found without.")
        what = what[["StudyInstanceUID"]]
    paths = addresses_of(what)
    if any(path.level != "study" for path in paths):
        raise QueryError("An update changes whole studies: give study UIDs, not series or instances.")
    return list(dict.fromkeys(path.study for path in paths))


def _submit(session: Session, uids: Sequence[str], dataset: Dataset, progress: Progress) -> Operation:
    body = orjson.dumps({"studyInstanceUids": list(uids), "changeDataset": dataset})
    headers = {"Content-Type": "application/json", "Accept": "application/json"}
    private = [*uids, *_texts(dataset)]
    try:
        answer = session.request("POST", _ROUTE, headers=headers, body=body, private=private)
    except (NotAcceptableError, NotBuiltError, NotFoundError) as error:
        raise _with_hint(
            error, "This server has no bulk update: it is part of version 2 of the Azure DICOM service's API."
        ) from None
    except ConflictError as error:
        raise _with_hint(
            error, "Another update is running. Wait for it, client.operation(id).wait(), and try again."
        ) from None
    return Operation.of(session, answer, progress)


def _with_hint(error: ServiceError, hint: str) -> ServiceError:
    return type(error)(error.status, error.route, error.code, error.message, error.details, hint)


def _texts(dataset: Dataset) -> list[str]:
    """Give the new values as texts that an error message must not hold."""
    texts = []
    for attribute in dataset.values():
        for value in attribute["Value"]:
            texts += [str(each) for each in (value.values() if isinstance(value, dict) else [value])]
    return texts


class BulkOperation:
    """An update of more studies than the service takes at once: one operation after the other.

    The next is begun when the one before it has ended and this is asked how it stands (`refresh`, `wait`); nothing
    goes on without being asked. An operation that fails does not stop the others.

    Parameters
    ----------
    session : Session
        The way to the service.
    uids : sequence of str
        The studies.
    dataset : mapping
        The new values, as DICOM JSON.
    progress : bool or "auto"
        Whether `wait` shows a bar.

    Attributes
    ----------
    operations : list of Operation
        Those that have begun, in order.
    """

    type = "update"

    def __init__(
        self, session: Session, uids: Sequence[str], dataset: Dataset, progress: Progress = False
    ) -> None:
        self._session = session
        self._dataset = dataset
        self._progress = progress
        batches = [list(uids[start : start + MOST_STUDIES]) for start in range(0, len(uids), MOST_STUDIES)]
        self._batches = len(batches)
        self._waiting = batches[1:]
        self.operations = [_submit(session, batches[0], dataset, progress)]

    def __repr__(self) -> str:
        return f"BulkOperation({len(self.operations)} of {self._batches} operations begun)"

    @property
    def id(self) -> str:
        """The identifiers of the operations that have begun, with commas between."""
        return ",".join(operation.id for operation in self.operations)

    @property
    def status(self) -> str:
        """How it stands: running; or, when all have ended, succeeded or failed."""
        if not self.done:
            return "running"
        return "succeeded" if all(each.status == "succeeded" for each in self.operations) else "failed"

    @property
    def done(self) -> bool:
        """Whether all operations had ended when the service was last asked."""
        return not self._waiting and self.operations[-1].done

    @property
    def percent(self) -> int:
        """How much was done when the service was last asked, in percent."""
        ended = len(self.operations) - 1
        return (100 * ended + self.operations[-1].percent) // self._batches

    @property
    def results(self) -> dict[str, Any]:
        """What came of it so far: the sums over all operations, and all their errors."""
        each = [operation.results for operation in self.operations]
        counts: dict[str, Any] = {
            name: sum(int(results.get(name) or 0) for results in each) for name in _COUNTS
        }
        return counts | {"errors": [text for results in each for text in results.get("errors") or ()]}

    def refresh(self) -> Self:
        """Ask the service how it stands; begin the next operation if the last one has ended.

        Raises
        ------
        ServiceError, TransportError
            If the service refuses or does not answer; what has not begun begins at the next `refresh`.
        """
        last = self.operations[-1]
        if not last.done:
            last.refresh()
        if last.done and self._waiting:
            self.operations.append(_submit(self._session, self._waiting[0], self._dataset, self._progress))
            del self._waiting[0]
        return self

    def wait(self, timeout: float = 3600.0) -> Self:
        """Follow all operations to their ends, with a progress bar in terminals and notebooks.

        Parameters
        ----------
        timeout : float
            Seconds to wait at most.

        Raises
        ------
        OperationFailedError
            If one failed, when all have ended; it carries the results of all.
        TimedOut
            If they have not ended by then. What has not begun does not begin without `wait` or `refresh`.
        """
        if not timeout >= 0:
            raise QueryError("timeout must be a number of seconds, 0 or more.")
        until = time.monotonic() + timeout
        pause, begun, shown = _FIRST_PAUSE, len(self.operations), 0
        with progress_bar(self._progress, "Updating", 100, "%", shows_bytes=False) as bar:
            while not self._step().done:
                bar.update(max(self.percent - shown, 0))
                shown = max(shown, self.percent)
                if time.monotonic() + pause > until:
                    raise TimedOut(
                        f"The updates have not ended within {timeout:g} seconds; wait for them again."
                    )
                time.sleep(pause)
                pause = _FIRST_PAUSE if len(self.operations) > begun else min(pause * 1.5, _LONGEST_PAUSE)
                begun = len(self.operations)
            bar.update(100 - shown)
        if self.status != "succeeded":
            raise OperationFailedError(self.id, self.type, self.status, self.results)
        return self

    def _step(self) -> Self:
        """Refresh; where somebody else's update is in the way, come back later."""
        with suppress(ConflictError):
            self.refresh()
        return self


PLAN_COLUMNS: Final = ("StudyInstanceUID", "keyword", "before", "after", "changes", "error")


def plan(
    session: Session, studies: Any, attributes: Mapping[str, Any], progress: Progress = False
) -> pd.DataFrame:
    """Tell what an update would change, from a search; `Client.update_studies` documents the table."""
    import pandas as pd

    from dicomframe.tables.schema import TEXT_DTYPE

    dataset = change_dataset(attributes)
    uids = studies_of(studies)
    width = session.max_workers
    rows: list[dict[str, Any]] = []

    def table() -> pd.DataFrame:
        cells = {
            name: pd.array(
                [row.get(name, pd.NA) for row in rows],
                dtype=pd.BooleanDtype() if name == "changes" else TEXT_DTYPE,
            )
            for name in PLAN_COLUMNS
        }
        made = pd.DataFrame(cells)
        made.attrs["dicom"] = {"service": session.base}
        return made

    with (
        keeping(session, table),
        progress_bar(progress, "Looking", len(uids), "study") as bar,
        Workers(width, "update") as workers,
    ):
        for of_study in in_order(workers, lambda uid: _plan_rows(session, uid, dataset), uids, width):
            rows += of_study
            bar.update()
    return table()


def _plan_rows(session: Session, uid: str, dataset: Dataset) -> list[dict[str, Any]]:
    found: dict[str, Any] | None = None
    problem = ""
    try:
        search = Search.of(
            session, "study", filters={"StudyInstanceUID": uid}, fields=list(dataset), limit=1, page_size=1
        )
        found = next((row for page in search.pages() for row in page), None)
    except DicomFrameError as error:
        problem = f"{type(error).__name__}: {' '.join(str(error).split())}"
    if found is None:
        problem = problem or "there is no such study"
    rows = []
    for tag, attribute in dataset.items():
        row: dict[str, Any] = {"StudyInstanceUID": uid, "keyword": tags.from_tag(tag).keyword}
        after = _shown(attribute)
        if found is None:
            rows.append(row | {"after": after, "error": problem})
            continue
        before = _shown(found.get(tag) or {})
        rows.append(
            row | {"after": after, "changes": before != after} | ({"before": before} if before else {})
        )
    return rows


def _shown(attribute: Mapping[str, Any]) -> str:
    """Give an attribute's values as text: backslashes between values, equals signs between groups of a name."""
    listed = attribute.get("Value")
    return "\\".join(_shown_value(value) for value in listed) if isinstance(listed, list) else ""


def _shown_value(value: Any) -> str:
    if isinstance(value, dict):
        groups = (str(value.get(name) or "") for name in ("Alphabetic", "Ideographic", "Phonetic"))
        return "=".join(groups).rstrip("=").rstrip(" \0")
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return "" if value is None else str(value).rstrip(" \0")
