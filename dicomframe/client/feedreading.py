"""The change feed, read once from one place to another: each change once, whatever arrives meanwhile.

Where the reading ends is settled before it begins: at the latest change that the service knows. What is stored while
the pages are read comes behind that place, so it neither shifts pages nor makes the reading endless.

The two versions of the API page differently. Version 1 pages by sequence number, and ``limit`` is a span of numbers:
an empty page may be a gap and means nothing. Version 2 counts rows in a window of time, and a short page is the last.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from dicomframe.client.feedcursor import MARGIN, Cursor
from dicomframe.client.session import Session
from dicomframe.client.workers import Workers, in_order
from dicomframe.dicom import feed
from dicomframe.errors import DecodeError, UnexpectedAnswerError

if TYPE_CHECKING:
    pass

ROUTE = "changefeed"
INCOMPLETE = (
    "The server's pages ended before the latest change that it names, or gave the same changes again and again; changes"
    " may be missing."
)
#: The most that ``limit`` may be: a span of numbers in version 1, rows in version 2.
MOST_V1 = 100
MOST_V2 = 200

_HEADERS = {"Accept": "application/json"}
_LAST_MOMENT = 253_402_300_799_999_999  # of the year 9999


def latest_entry(session: Session, *, metadata: bool = False) -> dict[str, Any] | None:
    """Ask for the latest change; None where nothing has changed yet.

    Raises
    ------
    DecodeError
        If the answer names no sequence number.
    """
    answer = session.request("GET", f"{ROUTE}/latest", params=_with_metadata(metadata), headers=_HEADERS)
    entries = feed.read_entries(answer.content)
    if not entries:
        return None
    entry = feed.named(entries[0]) if isinstance(entries[0], Mapping) else {}
    if feed.sequence_of(entry) is None:
        raise DecodeError("The server's latest change has no sequence number.")
    return entry


def cursor_now(session: Session) -> Cursor:
    """Give the place behind the latest change that there is."""
    entry = latest_entry(session)
    if entry is None:
        return Cursor()
    return Cursor(feed.sequence_of(entry) or 0, feed.microseconds_of(entry.get("timestamp")))


class Reading:
    """One reading of the feed, from a cursor to the latest change that there is when it begins.

    Parameters
    ----------
    session : Session
        The way to the service.
    cursor : Cursor
        Where to begin; it moves on as pages are given.
    end : int, optional
        Only changes before that time, in microseconds since 1970, UTC.
    metadata : bool
        Whether to ask for metadata.

    Attributes
    ----------
    is_complete : bool
        Whether, at the end, all was read as far as one can tell.
    """

    def __init__(
        self, session: Session, cursor: Cursor, *, end: int | None = None, metadata: bool = False
    ) -> None:
        self.cursor = cursor
        self.is_complete = True
        self._session = session
        self._end = end
        self._metadata = metadata
        self._last = 0
        self._before: list[Any] = []
        self._was_repeated = False

    def pages(self) -> Iterator[list[Any]]:
        """Yield what is new, page by page, none of them empty."""
        latest = latest_entry(self._session)
        self._last = feed.sequence_of(latest) or 0
        if self._last < self.cursor.sequence:
            raise UnexpectedAnswerError(
                200,
                f"GET /{ROUTE}/latest",
                message="the feed ends before the place from which it is to be read on",
                hint="It is the feed of another service, or of one that was set back; begin again without after=.",
            )
        if latest is None or (self._last == self.cursor.sequence and not self.cursor.missing):
            return
        moment = feed.microseconds_of(latest.get("timestamp"))
        read = self._by_sequence if api_version(self._session) == "v1" else self._by_time
        yield from filter(None, read(moment))
        has_latest = self.cursor.sequence >= self._last
        self.is_complete = has_latest if self._lies_within(moment) else not self._was_repeated

    def _lies_within(self, moment: int | None) -> bool:
        """Whether a time is one that is asked for; what has none that can be read is not left out."""
        start, end = self.cursor.start, self._end
        return moment is None or ((start is None or moment >= start) and (end is None or moment < end))

    def _fresh(self, page: list[Any]) -> list[Any]:
        """Give the entries that belong here and were not given before."""
        is_copy = bool(page) and page == self._before
        self._was_repeated |= is_copy
        self._before = page
        return [entry for entry in page if self._belongs(entry, is_copy=is_copy)]

    def _belongs(self, entry: Any, *, is_copy: bool) -> bool:
        sequence = feed.sequence_of(entry)
        moment = feed.microseconds_of(entry.get("timestamp")) if isinstance(entry, dict) else None
        if not self._lies_within(moment):
            return False
        if sequence is None:
            # It cannot be told from another, so it is kept, unless the whole page came twice.
            return not is_copy
        return sequence <= self._last and self.cursor.take(sequence, moment)

    def _ask(self, offset: int, limit: int, *window: tuple[str, str], metadata: bool = False) -> list[Any]:
        params = [*window, ("offset", str(offset)), ("limit", str(limit)), *_with_metadata(metadata)]
        answer = self._session.request("GET", ROUTE, params=params, headers=_HEADERS)
        return [
            feed.named(entry) if isinstance(entry, Mapping) else entry
            for entry in feed.read_entries(answer.content)
        ]

    # -- version 1: by sequence number ------------------------------------------------------------------------

    def _by_sequence(self, _latest_moment: int | None) -> Iterator[list[Any]]:
        place = self.cursor.place(MOST_V1)
        if self.cursor.sequence < 0 and self.cursor.start is not None:
            begin = self.cursor.start - MARGIN
            place = _first(self._last, lambda number: self._first_moment_after(number) >= begin)
        spans = ((at, min(MOST_V1, self._last - at)) for at in range(place, self._last, MOST_V1))
        width = self._session.max_workers
        with Workers(width, "feed") as workers:
            for page in in_order(workers, self._span, spans, width):
                yield self._fresh(page)
                if self._end is not None and _first_moment(page, -_LAST_MOMENT) >= self._end + MARGIN:
                    return

    def _span(self, span: tuple[int, int]) -> list[Any]:
        """Read a span of numbers; a server that gives fewer entries at a time is asked for the rest."""
        begin, size = span
        page = self._ask(begin, size, metadata=self._metadata)
        entries, newest = list(page), _newest(page)
        while begin < newest < span[0] + span[1] and page:
            begin, size = newest, span[0] + span[1] - newest
            page = self._ask(begin, size, metadata=self._metadata)
            entries += page
            newest = _newest(page)
        return entries

    def _first_moment_after(self, number: int) -> int:
        """Give the time of the first change after a number; after all times if it cannot be told."""
        for begin in range(number, self._last, MOST_V1):
            page = self._ask(begin, MOST_V1)
            if page:
                return _first_moment(page, _LAST_MOMENT)
        return _LAST_MOMENT

    # -- version 2: by window of time -------------------------------------------------------------------------

    def _by_time(self, latest_moment: int | None) -> Iterator[list[Any]]:
        begin = self.cursor.window_start()
        if self.cursor.sequence >= 0 and self.cursor.timestamp is None:
            begin = self._moment_of(self.cursor.sequence)
            if self.cursor.start is not None:
                begin = max(begin or self.cursor.start, self.cursor.start)
        # Late changes may lie a little behind the latest one; what is newer than that one is dropped.
        end = _LAST_MOMENT if latest_moment is None else min(latest_moment + MARGIN, _LAST_MOMENT)
        end = end if self._end is None else min(end, self._end)
        if begin is not None and begin >= end:
            return
        window = [("endTime", feed.iso(end))]
        if begin is not None:
            window.insert(0, ("startTime", feed.iso(begin)))
        yield from self._rows(tuple(window))

    def _rows(self, window: tuple[tuple[str, str], ...]) -> Iterator[list[Any]]:
        """Yield the pages of a window; several at a time as long as they are full."""

        def ask(offset: int) -> list[Any]:
            return self._ask(offset, MOST_V2, *window, metadata=self._metadata)

        page = ask(0)
        offset = len(page)
        yield self._fresh(page)
        if offset == MOST_V2:
            width = self._session.max_workers
            places = range(offset, self._most_rows, MOST_V2)
            with Workers(width, "feed") as workers:
                for page in in_order(workers, ask, places, width):
                    offset += len(page)
                    yield self._fresh(page)
                    if len(page) != MOST_V2 or self._was_repeated:
                        break
        while not self._is_last(page) and not self._was_repeated and offset < self._most_rows:
            page = ask(offset)
            offset += len(page)
            yield self._fresh(page)

    @property
    def _most_rows(self) -> int:
        """More rows than numbers there are not, whatever a server says; some are newer than the latest one."""
        return self._last + 1 + MOST_V2

    def _is_last(self, page: list[Any]) -> bool:
        """Whether no page follows: this one is empty; or it is short, and the latest change has come.

        That a short page is the last is documented, but a server may have shorter pages than it was asked for.
        """
        if not page:
            return True
        has_latest = self.cursor.sequence >= self._last
        return len(page) < MOST_V2 and has_latest

    def _moment_of(self, sequence: int) -> int | None:
        """Give a time shortly before the change with a number, for which version 2 has no parameter."""

        def is_beyond(offset: int) -> bool:
            entries = self._ask(offset, 1)
            number = feed.sequence_of(entries[0]) if entries else None
            return number is None or number > sequence

        rows_before = _first(sequence + 1, is_beyond)
        if rows_before == 0:
            return None
        moment = _first_moment(self._ask(rows_before - 1, 1), -_LAST_MOMENT)
        return None if moment == -_LAST_MOMENT else moment - MARGIN


def api_version(session: Session) -> str:
    """Tell which version of the API a session speaks, by its URL; version 2 where it does not say."""
    path = urlsplit(session.address.base_of(ROUTE)).path
    return "v1" if re.search(r"/v1(?:$|/)", path, re.IGNORECASE) else "v2"


def _with_metadata(wanted: bool) -> list[tuple[str, str]]:
    return [("includemetadata", "true" if wanted else "false")]


def _first_moment(entries: list[Any], otherwise: int) -> int:
    """Give the time of a page's first entry."""
    entry = entries[0] if entries and isinstance(entries[0], dict) else {}
    moment = feed.microseconds_of(entry.get("timestamp"))
    return otherwise if moment is None else moment


def _newest(entries: list[Any]) -> int:
    return max((feed.sequence_of(entry) or 0 for entry in entries), default=0)


def _first(count: int, is_beyond: Callable[[int], bool]) -> int:
    """Give the first number below a count that lies beyond something, by halving; the count if none does."""
    low, high = 0, count
    while low < high:
        middle = (low + high) // 2
        if is_beyond(middle):
            high = middle
        else:
            low = middle + 1
    return low
