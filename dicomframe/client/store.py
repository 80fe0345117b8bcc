"""STOW-RS: many instances in batches, in parallel, with one outcome each (PS3.18 section 10.5)."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from dicomframe.client.outcomes import UID_COLUMNS, OnFailure, outcome_table, without_frames
from dicomframe.client.partial import INTERRUPTED, keeping
from dicomframe.client.progress import Progress, progress_bar
from dicomframe.client.session import Session
from dicomframe.client.sources import Item, iter_items
from dicomframe.client.stow import Outcome, is_stow_answer, read_outcomes, study_url
from dicomframe.client.verify import Address, judged, look_up
from dicomframe.client.workers import Workers, in_order
from dicomframe.dicom.multipartwriter import MultipartWriter
from dicomframe.dicom.paths import check_uid
from dicomframe.errors import DecodeError, DicomFrameError, QueryError, ServiceError, TooLargeError

if TYPE_CHECKING:
    import pandas as pd

#: Instances in a request; the service's own advice is 50 to 100.
BATCH_SIZE = 50
#: Bytes in a request, unless one instance alone is larger: what is lost when a connection is cut.
BATCH_BYTES = 128 * 1024 * 1024

COLUMNS = ("path", *UID_COLUMNS, "status", "code", "reason", "warnings", "retrieve_url")

# A refused request may still carry the outcome of each instance (Orthanc: 400; the service: 409).
_SPEAKING_STATUS = (400, 409, 415, 422)
# What errors="raise" raises for.
_BAD = frozenset({"failed", "unreadable", "unknown", "missing"})
# What an interrupted call leaves.
_UNKNOWN = Outcome(
    "unknown", reason="the call was interrupted while it was being sent; store it again, it is not doubled"
)
_NOT_SENT = Outcome(INTERRUPTED, reason="not sent, because the call was interrupted")
_TORN = "the file changed while it was being sent: what is stored may be neither what it was nor what it is"
# After so many whole requests that failed, with none that went well, the rest is not tried.
_HOPELESS = 3


@dataclass(slots=True)
class _State:
    """What the workers share."""

    failures: list[DicomFrameError] = field(default_factory=list)
    has_worked: bool = False
    study_url: str = ""
    lock: threading.Lock = field(default_factory=threading.Lock)

    def note(self, failure: DicomFrameError | None) -> None:
        with self.lock:
            if failure is None:
                self.has_worked = True
            else:
                self.failures.append(without_frames(failure))

    @property
    def hopeless(self) -> DicomFrameError | None:
        """Why it is useless to go on, if it is."""
        return self.failures[0] if not self.has_worked and len(self.failures) >= _HOPELESS else None


class Storer:
    """Stores instances in one service.

    Parameters
    ----------
    session : Session
        The way to the service.
    study_uid : str, optional
        The study that all instances must belong to.
    """

    def __init__(self, session: Session, study_uid: str | None = None) -> None:
        self._session = session
        self._route = "studies" if study_uid is None else f"studies/{check_uid(study_uid, 'study_uid')}"
        self.state = _State()

    def send(self, batch: Sequence[Item]) -> list[Outcome]:
        """Send one request; in halves where the server finds it too large or a file cannot be read.

        Whatever happens, each item has an outcome.
        """
        hopeless = self.state.hopeless
        if hopeless is not None:
            return [_failed(hopeless, "not sent, because all requests before failed: ")] * len(batch)
        try:
            outcomes = self._post(batch)
        except (TooLargeError, OSError) as error:
            # Our own errors for a lost connection are OSErrors too (TimedOut is a TimeoutError).
            if len(batch) > 1 and (
                isinstance(error, TooLargeError) or not isinstance(error, DicomFrameError)
            ):
                middle = len(batch) // 2
                return self.send(batch[:middle]) + self.send(batch[middle:])
            if not isinstance(error, DicomFrameError):
                return [Outcome("unreadable", reason=error.strerror or str(error))]
            failure: DicomFrameError = error
        except DicomFrameError as error:
            failure = error
        else:
            self.state.note(None)
            return outcomes
        self.state.note(failure)
        return [_failed(failure)] * len(batch)

    def _post(self, batch: Sequence[Item]) -> list[Outcome]:
        body = MultipartWriter([item.body for item in batch if item.body is not None])
        answer = self._session.request(
            "POST",
            self._route,
            headers={"Content-Type": body.content_type, "Accept": "application/dicom+json"},
            body=body,
            accept_status=_SPEAKING_STATUS,
        )
        if answer.status >= 400 and not is_stow_answer(answer.content):
            raise self._session.error_of(answer)
        self.state.study_url = study_url(answer.content) or self.state.study_url
        outcomes = read_outcomes(
            answer.content, batch, attempts=answer.attempts if answer.acted_before else 1
        )
        # The kernel sends files without a copy: what is written to one on its way may go with it.
        return [
            _torn(outcome) if changed else outcome
            for outcome, changed in zip(outcomes, body.changed(), strict=True)
        ]


class _Upload:
    """What was given to be stored, and what became of each thing so far."""

    def __init__(self, storer: Storer) -> None:
        self.items: list[Item] = []
        self._storer = storer
        self._outcomes: dict[int, Outcome] = {}
        self._begun: set[int] = set()

    def readable(self, items: Iterable[Item]) -> Iterator[Item]:
        """Pass what can be sent."""
        for item in items:
            self.items.append(item)
            if item.problem:
                self._outcomes[item.number] = Outcome("unreadable", reason=item.problem)
            else:
                yield item

    def send(self, batch: Sequence[Item]) -> int:
        """Send one request; give the number of its items."""
        self._begun.update(item.number for item in batch)
        for item, outcome in zip(batch, self._storer.send(batch), strict=True):
            self._outcomes[item.number] = outcome
            # The bytes of what is done are not held any longer.
            item.body = None
        return len(batch)

    def rows(self) -> list[tuple[Item, Outcome]]:
        """Give all that was read, in the order given; what has no outcome was interrupted."""
        return [(item, self._outcomes.get(item.number) or self._left(item)) for item in self.items]

    def _left(self, item: Item) -> Outcome:
        return _UNKNOWN if item.number in self._begun else _NOT_SENT


def _failed(error: DicomFrameError, before: str = "") -> Outcome:
    code = error.status if isinstance(error, ServiceError) else None
    # No answer came, so nobody here knows what the service did with it.
    status = "unknown" if error.may_have_arrived and not before else "failed"
    return Outcome(status, code, f"{before}{type(error).__name__}: {' '.join(str(error).split())}")


def _torn(outcome: Outcome) -> Outcome:
    if outcome.status not in {"stored", "warning"}:
        return outcome
    return replace(outcome, status="warning", reason="; ".join(filter(None, [outcome.reason, _TORN])))


def batches(items: Iterable[Item], most_items: int, most_bytes: int = BATCH_BYTES) -> Iterator[list[Item]]:
    """Group items so that no group exceeds either number; an item larger than that goes alone."""
    batch: list[Item] = []
    size = 0
    for item in items:
        if batch and (len(batch) >= most_items or size + item.size > most_bytes):
            yield batch
            batch, size = [], 0
        batch.append(item)
        size += item.size
    if batch:
        yield batch


def distinct(items: Iterable[Item], again: list[Item]) -> Iterator[Item]:
    """Pass each instance once, and put its further copies aside, to be sent when the first has its outcome.

    An answer names instances, not parts: of two copies in one request, one of them damaged, it could not be told which
    was stored. And of two requests at a time the service may refuse both.

    Parameters
    ----------
    items : iterable of Item
        What is to be sent.
    again : list of Item
        Where the copies go.
    """
    seen: set[str] = set()
    for item in items:
        if item.uids.instance in seen:
            again.append(item)
        else:
            seen.add(item.uids.instance)
            yield item


def store(
    session: Session,
    sources: Any,
    *,
    study_uid: str | None = None,
    batch_size: int = BATCH_SIZE,
    verify: bool = False,
    errors: OnFailure = "rows",
    progress: Progress = False,
) -> pd.DataFrame:
    """Store instances; `dicomframe.client.client.Client.store` documents it."""
    if isinstance(batch_size, bool) or not isinstance(batch_size, int) or batch_size < 1:
        raise QueryError("batch_size must be a whole number from 1.")
    if not isinstance(verify, bool):
        raise QueryError("verify must be True or False.")
    storer = Storer(session, study_uid)
    upload = _Upload(storer)

    def partial() -> pd.DataFrame:
        return _table(upload.rows(), None, session.base, storer.state.study_url)

    width = session.max_workers
    presence: list[bool | None] = []
    with keeping(session, partial):
        with (
            progress_bar(progress, "Storing", None, "instance") as bar,
            Workers(width, "store") as workers,
        ):
            waiting: Iterable[Item] = upload.readable(iter_items(sources))
            while waiting:
                again: list[Item] = []
                sent = batches(distinct(waiting, again), batch_size)
                for count in in_order(workers, upload.send, sent, width):
                    bar.update(count)
                waiting = again
        _raise_if_vain(storer.state)
        rows = upload.rows()
        if verify:
            there = look_up(session, [_address(item) for item, _ in rows], progress)
            judgements = [judged(outcome, _address(item), there) for item, outcome in rows]
            rows = [(item, outcome) for item, (outcome, _) in zip(upload.items, judgements, strict=True)]
            presence = [is_there for _, is_there in judgements]
    if errors == "raise":
        _raise_for_any(storer.state, rows)
    return _table(rows, presence if verify else None, session.base, storer.state.study_url)


def _address(item: Item) -> Address:
    return item.uids.study, item.uids.series, item.uids.instance


def _table(
    rows: Sequence[tuple[Item, Outcome]], presence: Sequence[bool | None] | None, service: str, url: str
) -> pd.DataFrame:
    import pandas as pd

    table = outcome_table([_row(*row) for row in rows], COLUMNS, service, ["code"])
    if presence is not None:
        table["verified"] = pd.array(presence, dtype="boolean")
    if url:
        table.attrs["dicom"]["retrieve_url"] = url
    return table


def _raise_if_vain(state: _State) -> None:
    """Raise if not one request can have had an effect: then nothing was stored, and a table would only hide why."""
    if state.failures and not state.has_worked and not any(each.may_have_arrived for each in state.failures):
        raise state.failures[0]


def _raise_for_any(state: _State, rows: Sequence[tuple[Item, Outcome]]) -> None:
    if state.failures:
        raise state.failures[0]
    bad = [outcome for _, outcome in rows if outcome.status in _BAD]
    if bad:
        raise DecodeError(
            f"{len(bad)} of {len(rows)} were not stored, the first because: {bad[0].reason}. "
            "errors='rows' gives the table with each outcome."
        )


def _row(item: Item, outcome: Outcome) -> dict[str, Any]:
    return {
        "path": item.path,
        **dict(zip(UID_COLUMNS, (item.uids.study, item.uids.series, item.uids.instance), strict=True)),
        "status": outcome.status,
        "code": outcome.code,
        "reason": outcome.reason,
        "warnings": outcome.warnings,
        "retrieve_url": outcome.url,
    }
