"""Reading all pages of a search: several at a time, in order, each row once, and a verdict on whether that is all.

A search has no snapshot on the server: rows that arrive while it is paged through push others down, so that those come
twice (they are dropped, and the verdict is "drifted"); and servers differ in what they do with ``limit`` and
``offset``. The service documents that a short page is the last one; any other server is asked once more.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator
from dataclasses import dataclass, field
from typing import Literal

from dicomframe.client.pages import Page, read_page
from dicomframe.client.query import Query
from dicomframe.client.session import Session
from dicomframe.client.workers import Workers, in_order
from dicomframe.dicom.paths import UID_KEYWORD_OF_LEVEL, Level
from dicomframe.errors import BadRequestError

Completeness = Literal["complete", "truncated", "drifted"]

#: The answers of the service, and of the local one, carry this.
_VERSION_HEADER = "api-supported-versions"
#: With it, the service names attributes that it could not index for all instances.
_ERRONEOUS_HEADER = "erroneous-dicom-attributes"

#: Pages that wait for a worker: who has brought one, goes for the next while those before it are made a table of.
_QUEUED = 2


@dataclass(slots=True)
class Findings:
    """What was noticed while reading.

    Parameters
    ----------
    drifted : bool
        Rows moved, or the server's paging cannot be trusted.
    capped : bool
        The server ended the search before its end.
    limited : bool
        There are more rows than the caller's limit.
    interrupted : bool
        The reading was broken off.
    erroneous : list of str
        Attributes searched by that the service could not index for all instances.
    settled : dict of str to dict
        UID keyword to row's UID to the UID that the route searched below names; servers may leave it out of rows.
    """

    drifted: bool = False
    capped: bool = False
    limited: bool = False
    interrupted: bool = False
    erroneous: list[str] = field(default_factory=list)
    settled: dict[str, dict[str, str]] = field(default_factory=dict)

    @property
    def completeness(self) -> Completeness:
        """The verdict; the gravest finding counts."""
        if self.drifted:
            return "drifted"
        return "truncated" if self.capped or self.limited or self.interrupted else "complete"


@dataclass(slots=True)
class Reader:
    """Reads the pages of queries.

    Parameters
    ----------
    session : Session
        The way to the service.
    level : {"study", "series", "instance"}
        What the rows are.
    page_size : int
        Rows to ask for at a time.
    limit : int, optional
        The most rows wanted, of all queries together.
    width : int, optional
        The most requests at a time; by default the session's.
    """

    session: Session
    level: Level
    page_size: int
    limit: int | None = None
    findings: Findings = field(default_factory=Findings)
    width: int | None = None

    def read(self, queries: list[Query]) -> Generator[Page]:
        """Yield the queries' pages in order, each UID once in all."""
        seen: set[str] = set()
        rows = 0
        for page in self._read_all(queries):
            fresh = page
            if len(queries) > 1:
                # What is twice in one query, its run has dropped.
                fresh = page.without(seen)
                seen.update(fresh.uids)
            if self.limit is not None and rows + len(fresh.uids) > self.limit:
                self.findings.limited = True
                fresh = fresh.without((), self.limit - rows)
            rows += len(fresh.uids)
            if fresh.uids:
                yield fresh
            if self.findings.limited:
                return

    def _read_all(self, queries: list[Query]) -> Iterator[Page]:
        width = self.width or self.session.max_workers
        if len(queries) == 1:
            yield from self._read_query(queries[0], width)
        elif queries:
            # Each query is read by one worker from beginning to end, because most have one page.
            with Workers(width, "search") as workers:
                for pages in in_order(
                    workers, lambda query: list(self._read_query(query, 1)), queries, width
                ):
                    yield from pages

    def _read_query(self, query: Query, width: int) -> Iterator[Page]:
        """Yield the pages of one query; more than one at a time once a full page shows that there are more."""
        # One row more than the limit tells whether there are more.
        wanted = None if self.limit is None else self.limit + 1
        run = _Run(self, query, wanted)
        if width == 1:
            while not run.is_at_end:
                yield from run.take(run.fetch(run.next_place()))
            return
        # Also a page by itself is fetched by a worker: who waits for it here can show how long, and be interrupted.
        # Who bounds the requests at a time, bounds what is asked for in vain.
        ahead = width + (_QUEUED if self.width is None else 0)
        with Workers(width, "search") as workers:
            yield from run.take(workers.result(run.fetch, run.next_place()))
            if run.is_regular():
                for found in in_order(workers, run.fetch, run.places_ahead(), ahead):
                    yield from run.take(found)
                    if not run.is_regular():
                        break
            while not run.is_at_end:
                yield from run.take(workers.result(run.fetch, run.next_place()))


@dataclass(frozen=True, slots=True)
class _Place:
    """Where a page begins, how many rows are asked for, and whether the first of them was the last one before."""

    offset: int
    asked: int
    overlaps: bool = False


@dataclass(frozen=True, slots=True)
class _Found:
    """What came for a place; no page where the server refuses to go that far."""

    place: _Place
    page: Page | None


class _Run:
    """The progress of one query: where it stands, what was seen, whether the server plays by the rules."""

    def __init__(self, reader: Reader, query: Query, wanted: int | None) -> None:
        self._reader = reader
        self._query = query
        self._wanted = wanted
        self._seen: set[str] = set()
        self._offset = 0
        self._last: Page | None = None
        self._last_was_short = False
        self._repeats = 0
        self._documented = False
        self.is_at_end = False
        self._regular = True
        # Set by workers: a page has come, if not yet its turn, behind which there is nothing to ask for ahead of time.
        self._met_end = False

    def is_regular(self) -> bool:
        """Whether every page so far was full, so that the places of the next ones are known."""
        return self._regular

    def next_place(self) -> _Place:
        """Give where the next page begins, after all that came."""
        return self._place(self._offset, len(self._seen))

    def places_ahead(self) -> Iterator[_Place]:
        """Give where the pages to come begin, if all are full."""
        offset = self._offset
        while not self._met_end and (self._wanted is None or offset < self._wanted):
            place = self._place(offset, offset)
            yield place
            offset = place.offset + place.asked

    def _place(self, offset: int, rows: int) -> _Place:
        """Give the page after so many rows. It begins with the row before it, if pages are long enough.

        That row shows whether the archive stands still: rows that are deleted while the pages are read pull the
        ones behind them forward, past the place where the next page begins, and nothing else would tell.
        """
        size = self._reader.page_size
        overlaps = offset > 0 and size > 1 and bool(self._last and self._last.uids[-1])
        if self._wanted is not None:
            size = min(size, self._wanted - rows + overlaps)
        return _Place(offset - overlaps, size, overlaps)

    def fetch(self, place: _Place) -> _Found:
        """Ask for a page."""
        params = (*self._query.params, ("limit", str(place.asked)), ("offset", str(place.offset)))
        try:
            answer = self._reader.session.request(
                "GET",
                self._query.route,
                params=params,
                headers={"Accept": "application/dicom+json"},
                private=self._query.private,
            )
        except BadRequestError:
            if place.offset == 0:
                raise
            self._met_end = True
            return _Found(place, None)
        if _VERSION_HEADER in answer.headers:
            self._documented = True
        named = [name.strip() for name in answer.headers.get(_ERRONEOUS_HEADER, "").split(",")]
        erroneous = self._reader.findings.erroneous
        erroneous += [name for name in named if name and name not in erroneous]
        warning = answer.headers.get("Warning", "")
        more = warning.startswith("299") and "additional" in warning.lower()
        page = read_page(answer.content, self._reader.level, place.asked, announces_more=more)
        self._met_end |= len(page.uids) < place.asked
        for keyword, above in _settled_by(self._query.route):
            self._reader.findings.settled.setdefault(keyword, {}).update(dict.fromkeys(page.uids, above))
        return _Found(place, page)

    def take(self, found: _Found) -> Iterator[Page]:
        """Judge the page at the current place; give what is new in it, if anything is."""
        page = found.page
        if page is None or not page.uids:
            self._reader.findings.drifted |= page is not None and found.place.overlaps
            self._end(capped=page is None or bool(self._last and self._last.announces_more))
            return
        is_copy = self._last is not None and page.content == self._last.content
        fresh = Page(b"", []) if is_copy else page.without(self._seen)
        repeated = len(page.uids) - len(fresh.uids)
        if self._joins(found.place, page) and repeated == 1:
            if not fresh.uids:
                self._end(capped=bool(self._last and self._last.announces_more))
                return
        elif (repeated or found.place.overlaps) and not self._take_repeats(fresh):
            return
        self._seen.update(fresh.uids)
        self._last = page
        self._offset = found.place.offset + len(page.uids)
        self._last_was_short = len(page.uids) < found.place.asked
        if len(page.uids) != found.place.asked:
            # The places ahead were reckoned for full pages.
            self._regular = False
        reached = self._wanted is not None and len(self._seen) >= self._wanted
        if reached or (self._last_was_short and self._documented):
            self._end(capped=False)
        if fresh.uids:
            yield fresh

    def _joins(self, place: _Place, page: Page) -> bool:
        """Whether a page begins with the row that the one before it ended with, as it should."""
        return place.overlaps and self._last is not None and page.uids[0] == self._last.uids[-1]

    def _take_repeats(self, fresh: Page) -> bool:
        """Judge a page with rows that came before, or that does not join them; false if the reading is over."""
        if fresh.uids:
            self._reader.findings.drifted = True
            self._repeats = 0
            return True
        if self._last_was_short:
            # Fewer rows than asked for, and the same again: a server that does not page, and has given all.
            self._end(capped=False)
            return False
        self._reader.findings.drifted = True
        self._repeats += 1
        if self._repeats == 1:
            # New rows may have pushed a whole page down. Once more, then the server ignores the offset.
            return True
        self._end(capped=False)
        return False

    def _end(self, *, capped: bool) -> None:
        self._reader.findings.capped |= capped
        self.is_at_end = True
        self._regular = False


def _settled_by(route: str) -> list[tuple[str, str]]:
    """Give the UIDs that a route names, by keyword.

    Examples
    --------
    >>> _settled_by("studies/1.2/series/1.3/instances"), _settled_by("studies")
    ([('StudyInstanceUID', '1.2'), ('SeriesInstanceUID', '1.3')], [])
    """
    return list(zip(UID_KEYWORD_OF_LEVEL.values(), route.split("/")[1::2], strict=False))
