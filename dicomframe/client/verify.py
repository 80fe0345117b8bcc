"""Whether instances are there: what a service said it stored, looked up afterwards by searching for it.

The instances of each series are listed (QIDO-RS, PS3.18 section 10.6), the newest first as the service lists them, and
only until all that are sought have been met: of a large series to which a few were added, one page is read.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from dicomframe.client.paging import Reader
from dicomframe.client.progress import Progress, progress_bar
from dicomframe.client.query import build_queries
from dicomframe.client.search import PAGE_SIZE
from dicomframe.client.session import Session
from dicomframe.client.stow import Outcome
from dicomframe.client.workers import Workers, in_order
from dicomframe.errors import DicomFrameError, NotFoundError

#: UIDs of study, series and instance.
Address = tuple[str, str, str]


@dataclass(frozen=True, slots=True)
class Presence:
    """Whether an instance is there.

    Parameters
    ----------
    is_there : bool or None
        None where it could not be found out.
    problem : str
        Why it could not.
    """

    is_there: bool | None = None
    problem: str = ""


_NOT_ASKED = Presence()


def look_up(
    session: Session, wanted: Iterable[Address], progress: Progress = False
) -> dict[Address, Presence]:
    """Find out which instances a service has.

    Parameters
    ----------
    session : Session
        The way to the service, data partition included.
    wanted : iterable of (str, str, str)
        UIDs of study, series and instance; those that lack one are not asked for.
    progress : bool or "auto"
        Whether a bar is shown.

    Returns
    -------
    dict
        An entry for each that was asked for; what fails is noted in it, never raised.
    """
    by_series: defaultdict[tuple[str, str], set[str]] = defaultdict(set)
    for study, series, instance in wanted:
        if study and series and instance:
            by_series[study, series].add(instance)

    def find(series: tuple[str, str]) -> dict[Address, Presence]:
        sought = by_series[series]
        try:
            present = _present(session, *series, sought)
        except DicomFrameError as error:
            problem = f"{type(error).__name__}: {' '.join(str(error).split())}"
            return {(*series, uid): Presence(None, problem) for uid in sought}
        return {(*series, uid): Presence(uid in present) for uid in sought}

    found: dict[Address, Presence] = {}
    width = session.max_workers
    with (
        progress_bar(progress, "Verifying", len(by_series), "series") as bar,
        Workers(width, "verify") as workers,
    ):
        for each in in_order(workers, find, by_series, width):
            found |= each
            bar.update(1)
    return found


def _present(session: Session, study: str, series: str, sought: set[str]) -> set[str]:
    """Give those of the instances sought that the series has."""
    missing = set(sought)
    # One worker a series: the series themselves are read side by side.
    reader = Reader(session, "instance", PAGE_SIZE, width=1)
    try:
        for page in reader.read(build_queries("instance", filters={}, study_uid=study, series_uid=series)):
            missing.difference_update(page.uids)
            if not missing:
                break
        if reader.findings.completeness != "complete":
            # Rows moved while they were listed, or the server ended early: those left are asked for by name.
            for uid in sorted(missing):
                named = build_queries(
                    "instance", filters={"SOPInstanceUID": uid}, study_uid=study, series_uid=series
                )
                for page in Reader(session, "instance", 1, limit=1, width=1).read(named):
                    missing.difference_update(page.uids)
    except NotFoundError:
        # Some servers answer so for a study or series that they do not have.
        return sought - missing
    return sought - missing


def judged(
    outcome: Outcome, address: Address, presences: Mapping[Address, Presence]
) -> tuple[Outcome, bool | None]:
    """Bring what the service said of an instance together with whether it is there.

    Parameters
    ----------
    outcome : Outcome
        What it said.
    address : (str, str, str)
        Which instance.
    presences : mapping
        What `look_up` gave.

    Returns
    -------
    (Outcome, bool or None)
        The outcome, which is ``"missing"`` where it was said to be stored and is not there, and whether it is there.

    Examples
    --------
    >>> absent = {("1", "2", "3"): Presence(False)}
    >>> judged(Outcome("stored"), ("1", "2", "3"), absent)[0].status
    'missing'
    """
    presence = presences.get(address, _NOT_ASKED)
    status, reason = outcome.status, outcome.reason
    if presence.is_there is None:
        if presence.problem:
            reason = _and(reason, f"could not be verified: {presence.problem}")
    elif presence.is_there and status == "unknown":
        status, reason = "stored", f"it is there, although {reason}" if reason else "it is there"
    elif not presence.is_there and status in {"stored", "warning", "exists"}:
        reason = _and(f"the service said {status!r}, but does not list it; store it again", reason)
        status = "missing"
    elif not presence.is_there and status == "unknown":
        status, reason = "failed", _and(reason, "it is not there")
    return replace(outcome, status=status, reason=reason), presence.is_there


def _and(first: str, second: str) -> str:
    return "; ".join(filter(None, [first, second]))
