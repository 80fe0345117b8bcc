"""Injected faults: a service that is slow, throttles, breaks off, drifts and sends bad values, as it is told to.

The application is wrapped only where a service is opened with ``faults=``, so that nothing else pays for it. What
strikes a request depends on the seed and on the request's number alone.
"""

from __future__ import annotations

import asyncio
import random
import threading
from collections.abc import Callable, Mapping
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import parse_qsl, urlencode

import orjson

from dicomframe.errors import QueryError
from dicomframe.service.call import Answer
from dicomframe.service.cutting import cut
from dicomframe.service.faultplan import (
    BadValues,
    Drift,
    FaultPlan,
    IgnoreOffset,
    Latency,
    Reset,
    Rule,
    ServerError,
    Throttle,
    Truncate,
    Withhold,
    segments_of,
    striking,
)
from dicomframe.service.faults import Fault, bad_request
from dicomframe.service.tampering import Cut, Spoiled, Withheld

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

#: The control route; it lies beside the versions, so that it never stands in the imitated API's way.
CONTROL: Final = "/_control/faults"
_MOST_CONTROL_BYTES: Final = 64 * 1024
#: So many searches' drifts are remembered.
_MOST_SEARCHES: Final = 1000
_SEARCHES: Final = frozenset({"studies", "series", "instances", "workitems"})


class Faults:
    """The faults of one service, which may be changed while it runs, from any thread.

    Parameters
    ----------
    settings : mapping
        What is injected at first; see `dicomframe.service.faultplan`.

    Raises
    ------
    QueryError
        If the settings are not understood.

    Examples
    --------
    >>> faults = Faults({"seed": 7})
    >>> faults.set(seed=7, throttle={"count": 2})
    >>> faults.counts
    {'throttle': 0}
    >>> faults.clear()
    """

    def __init__(self, settings: Mapping[str, Any]) -> None:
        self._lock = threading.Lock()
        self._begin(FaultPlan.parse(settings))

    def _begin(self, plan: FaultPlan) -> None:
        with self._lock:
            self._plan = plan
            self._requests = 0
            self._struck = [0] * len(plan.rules)
            self._moved: dict[tuple[str, str], int] = {}

    def set(self, **settings: Any) -> None:
        """Inject these faults and no others; requests are counted from 0 again.

        Parameters
        ----------
        **settings
            ``seed`` and the kinds of fault: ``set(seed=1, latency=0.2, throttle={"probability": 0.5})``.

        Raises
        ------
        QueryError
            If they are not understood; the faults stay what they were.

        Examples
        --------
        >>> faults = Faults({})
        >>> faults.set(seed=7, latency=0.2)
        >>> faults.settings["seed"]
        7
        """
        self._begin(FaultPlan.parse(settings))

    def clear(self) -> None:
        """Inject nothing more.

        Examples
        --------
        >>> faults = Faults({"latency": 0.2})
        >>> faults.clear()
        >>> faults.counts
        {}
        """
        self._begin(FaultPlan())

    @property
    def settings(self) -> dict[str, Any]:
        """What is injected, every setting written out."""
        return self._plan.settings()

    @property
    def counts(self) -> dict[str, int]:
        """How often each kind of fault has struck since the settings were made.

        Examples
        --------
        >>> Faults({"throttle": {"count": 2}}).counts
        {'throttle': 0}
        """
        with self._lock:
            found: dict[str, int] = {}
            for (name, _), struck in zip(self._plan.rules, self._struck, strict=True):
                found[name] = found.get(name, 0) + struck
            return found

    @property
    def requests(self) -> int:
        """How many requests have come since the settings were made."""
        return self._requests

    def __repr__(self) -> str:
        return f"Faults({self.counts})"

    def choose(self, method: str, path: str) -> list[Chosen]:
        """Throw the dice for the next request and give what is to strike it."""
        with self._lock:
            plan, number = self._plan, self._requests
            self._requests += 1
        chosen = []
        for place in striking(plan.rules, method, path):
            dice = plan.dice(number, place)
            rule = plan.rules[place][1]
            if dice.random() < rule.probability:
                chosen.append(Chosen(self, plan, place, rule, dice))
        return chosen

    def strikes(self, plan: FaultPlan, place: int) -> bool:
        """Note that a rule strikes; False if it has struck often enough, or is not in force any more."""
        with self._lock:
            count = plan.rules[place][1].count
            if plan is not self._plan or (count is not None and self._struck[place] >= count):
                return False
            self._struck[place] += 1
            return True

    def move(self, search: tuple[str, str], rows: int) -> None:
        """Move the rows of a search on by so many."""
        with self._lock:
            self._moved[search] = self._moved.pop(search, 0) + rows
            while len(self._moved) > _MOST_SEARCHES:
                del self._moved[next(iter(self._moved))]

    def moved(self, search: tuple[str, str], *, anew: bool) -> int:
        """Give how far the rows of a search have moved since it began; it begins `anew` with its first page."""
        with self._lock:
            if anew:
                self._moved.pop(search, None)
            return self._moved.get(search, 0)


class Chosen:
    """One rule for one request; it strikes when `strikes` is asked.

    Parameters
    ----------
    faults, plan, place
        Whose rule it is.
    rule : Rule
        The rule.
    dice : random.Random
        The request's own.
    """

    def __init__(self, faults: Faults, plan: FaultPlan, place: int, rule: Rule, dice: random.Random) -> None:
        self._faults = faults
        self._plan = plan
        self._place = place
        self.rule = rule
        self.dice = dice

    def strikes(self) -> bool:
        """Note that it strikes, if it still may."""
        return self._faults.strikes(self._plan, self._place)


class Injector:
    """An ASGI application with faults around it, and the control route beside it.

    Parameters
    ----------
    app : ASGI application
        What is struck.
    faults : Faults
        What strikes it.
    admit : callable
        Raises a `Fault` at a request for the control route that the service would not admit.
    """

    def __init__(self, app: ASGIApp, faults: Faults, admit: Callable[[Scope], None]) -> None:
        self._app = app
        self._faults = faults
        self._admit = admit

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, or fail it."""
        if scope["path"] == CONTROL:
            answer = await self._control(scope, receive)
            await answer.send(scope, receive, send)
            return
        chosen = self._faults.choose(scope["method"], scope["path"])
        scope = self._paged(scope, chosen)
        for latency in _of(chosen, Latency):
            if latency.strikes():
                rule: Any = latency.rule
                await asyncio.sleep(rule.seconds + rule.jitter * latency.dice.random())
        refusal = _refusal(chosen)
        if refusal is not None:
            await _answer_of(refusal).send(scope, receive, send)
            return
        if scope["method"] == "GET":
            send = _tampering(scope["path"], chosen, send)
        cutting = []
        for breaking in _of(chosen, Reset, Truncate):
            rule = breaking.rule
            if isinstance(rule, Truncate) or rule.when == "within":
                cutting.append(breaking)
            elif breaking.strikes():
                if rule.when == "after":
                    await self._app(scope, receive, _nowhere)
                await cut(scope, receive, reset=True)
                return
        if not cutting or scope["method"] == "HEAD":
            await self._app(scope, receive, send)
            return
        held = Cut(send, cutting)
        await self._app(scope, receive, held.send)
        if held.by is not None:
            await asyncio.sleep(0)  # uvloop writes at the end of its turn
            await cut(scope, receive, reset=isinstance(held.by, Reset))

    def _paged(self, scope: Scope, chosen: list[Chosen]) -> Scope:
        """Give the request with the offset that the drift, or its being ignored, makes of it."""
        segments = segments_of(scope["path"])
        if scope["method"] != "GET" or not segments or segments[-1] not in _SEARCHES:
            return scope
        pairs = parse_qsl(scope["query_string"].decode("latin_1"), keep_blank_values=True, encoding="latin_1")
        offset = next((value for key, value in pairs if key.lower() == "offset"), "")
        others = [pair for pair in pairs if pair[0].lower() != "offset"]
        search = (scope["path"], urlencode([pair for pair in others if pair[0].lower() != "limit"]))
        begins = not offset.isdecimal() or int(offset) == 0
        moved = self._faults.moved(search, anew=begins)
        if begins:
            return scope
        for drift in _of(chosen, Drift):
            if drift.strikes():
                rule: Any = drift.rule
                step = -rule.rows if rule.change == "insert" else rule.rows
                self._faults.move(search, step)
                moved += step
        ignores = any(each.strikes() for each in _of(chosen, IgnoreOffset))
        if not moved and not ignores:
            return scope
        real = [] if ignores else [("offset", str(max(0, int(offset) + moved)))]
        query = urlencode([*others, *real], encoding="latin_1")
        return {**scope, "query_string": query.encode()}

    async def _control(self, scope: Scope, receive: Receive) -> Answer:
        """Answer the control route: GET tells, PUT sets, DELETE clears."""
        try:
            self._admit(scope)
            if scope["method"] == "PUT":
                self._faults.set(**await _settings_in(receive))
            elif scope["method"] == "DELETE":
                self._faults.clear()
            elif scope["method"] != "GET":
                words = "The control route answers DELETE, GET, PUT."
                allowed = {"Allow": "DELETE, GET, PUT"}
                return _answer_of(
                    Fault(HTTPStatus.METHOD_NOT_ALLOWED, "MethodNotAllowed", words, headers=allowed)
                )
        except Fault as fault:
            return _answer_of(fault)
        except QueryError as error:
            return _answer_of(bad_request(str(error), "InvalidFaults"))
        state = {
            "settings": self._faults.settings,
            "counts": self._faults.counts,
            "requests": self._faults.requests,
        }
        return Answer(body=orjson.dumps(state), headers={"Content-Type": "application/json"})


def _tampering(path: str, chosen: list[Chosen], send: Send) -> Send:
    """Give a way to send that tampers with the DICOM JSON of an answer, where that is chosen."""
    for rule, holds, way in (
        (BadValues, _holds_rows, Spoiled),
        (Withhold, _holds_metadata, Withheld),
    ):
        first = next(_of(chosen, rule), None)
        if first is not None and holds(path):
            send = way(send, first).send
    return send


async def _settings_in(receive: Receive) -> dict[str, Any]:
    content = b""
    more = True
    while more:
        message = await receive()
        content += message.get("body", b"")
        more = message.get("more_body", False)
        if len(content) > _MOST_CONTROL_BYTES:
            raise Fault(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "RequestTooLarge", "The faults are too long.")
    try:
        settings = orjson.loads(content)
    except orjson.JSONDecodeError:
        raise bad_request("The body is no JSON.", "InvalidJson") from None
    if not isinstance(settings, dict):
        raise bad_request("The body must be an object with faults in it.", "InvalidFaults")
    return settings


def _of(chosen: list[Chosen], *kinds: type[Rule]) -> Any:
    return (each for each in chosen if isinstance(each.rule, kinds))


def _refusal(chosen: list[Chosen]) -> Fault | None:
    """Give the answer of the first rule that refuses the request."""
    for each in _of(chosen, Throttle, ServerError):
        if not each.strikes():
            continue
        rule = each.rule
        status = HTTPStatus(rule.status)
        if isinstance(rule, ServerError):
            return Fault(status, "InjectedError", "A fault was injected: the service failed.")
        headers = {} if rule.retry_after is None else {"Retry-After": str(rule.retry_after)}
        message = f"A fault was injected: {status.phrase.lower()}."
        return Fault(status, status.phrase.replace(" ", ""), message, headers=headers)
    return None


def _answer_of(fault: Fault) -> Answer:
    return Answer(fault.status, fault.body(), {"Content-Type": "application/json"} | fault.headers)


def _holds_rows(path: str) -> bool:
    """Tell whether a path is a search's or metadata's, whose answers hold DICOM JSON."""
    segments = segments_of(path)
    return bool(segments) and (segments[-1] in _SEARCHES or segments[-1] == "metadata")


def _holds_metadata(path: str) -> bool:
    """Tell whether a path is that of metadata, or of pages of the change feed."""
    segments = segments_of(path)
    return bool(segments) and segments[-1] in {"changefeed", "metadata"}


async def _nowhere(_: Message) -> None:
    """Let a message of the application be lost."""
