"""Which faults a service injects: the kinds there are, their settings, and how those are read and checked.

The settings are plain data, the same in Python, JSON and TOML: ``{"seed": 7, "latency": {"seconds": 0.2}}``. Under
each kind stands one mapping, or a list of them, or ``true`` for the defaults, or one number: the seconds of a latency,
the probability of anything else. `docs/faults.md` shows what each does to a client.
"""

from __future__ import annotations

import json
import math
import random
import tomllib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, field, fields
from http import HTTPStatus
from pathlib import Path
from typing import Any, Final, Self

from dicomframe.errors import QueryError
from dicomframe.service.attributes import API_VERSIONS
from dicomframe.service.baddata import KINDS

#: The methods that a fault may be narrowed to.
METHODS: Final = ("GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS")


@dataclass(frozen=True, slots=True)
class _Accepts:
    """What a setting may be: how it is said, and how it is told."""

    words: str
    allows: Callable[[Any], bool]


def _number(least: float, most: float) -> _Accepts:
    return _Accepts(
        f"a number from {least:g} to {most:g}",
        lambda value: _is_number(value) and least <= value <= most,
    )


def _whole(least: int, most: int) -> _Accepts:
    return _Accepts(
        f"a whole number from {least} to {most}",
        lambda value: isinstance(value, int) and not isinstance(value, bool) and least <= value <= most,
    )


def _one_of(*choices: Any) -> _Accepts:
    return _Accepts(
        f"one of {', '.join(map(str, choices))}",
        lambda value: isinstance(value, str | int) and not isinstance(value, bool) and value in choices,
    )


def _or_none(accepts: _Accepts) -> _Accepts:
    return _Accepts(f"{accepts.words}, or null", lambda value: value is None or accepts.allows(value))


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _setting(default: Any, accepts: _Accepts) -> Any:
    return field(default=default, metadata={"accepts": accepts})


_TEXT: Final = _Accepts("a text", lambda value: isinstance(value, str) and bool(value))
_KINDS: Final = _Accepts(
    f"a list out of {', '.join(KINDS)}",
    lambda value: (
        isinstance(value, list | tuple)
        and bool(value)
        and all(isinstance(each, str) and each in KINDS for each in value)
    ),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """A kind of fault, and when it strikes.

    Parameters
    ----------
    probability : float
        How likely it strikes a request that it fits, 0 to 1.
    count : int, optional
        How often it strikes at most; by default without end.
    method : str, optional
        The only verb that it strikes.
    path : str, optional
        The beginning of the paths that it strikes, in whole segments behind version and partition, without regard to
        letter case; ``{}`` stands for any one segment: ``studies/{}/metadata``.
    """

    probability: float = _setting(1.0, _number(0, 1))
    count: int | None = _setting(None, _or_none(_whole(1, 10**9)))
    method: str | None = _setting(None, _or_none(_one_of(*METHODS)))
    path: str | None = _setting(None, _or_none(_TEXT))

    def fits(self, method: str, segments: list[str]) -> bool:
        """Tell whether a request is one that it may strike; `segments` are its path's, see `segments_of`."""
        if self.method is not None and method != self.method:
            return False
        if self.path is None:
            return True
        wanted = [each.lower() for each in self.path.split("/") if each]
        return len(segments) >= len(wanted) and all(
            asked in (given, "{}") for given, asked in zip(segments, wanted, strict=False)
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Latency(Rule):
    """The answer begins late.

    Parameters
    ----------
    seconds : float
        How late.
    jitter : float
        Up to so many seconds more.
    """

    seconds: float = _setting(0.1, _number(0, 600))
    jitter: float = _setting(0.0, _number(0, 600))


@dataclass(frozen=True, slots=True, kw_only=True)
class Throttle(Rule):
    """Too many requests: the request is not looked at.

    Parameters
    ----------
    status : {429, 503}
        How the service says so.
    retry_after : int, optional
        The seconds in the ``Retry-After`` header; None sends none.
    """

    status: int = _setting(429, _one_of(429, 503))
    retry_after: int | None = _setting(1, _or_none(_whole(0, 3600)))


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerError(Rule):
    """The service fails, and does nothing of what was asked.

    Parameters
    ----------
    status : int
        Any of the server errors of HTTP, 500 to 511; or 404, as if it had nothing at that address.
    """

    status: int = _setting(500, _one_of(404, *(each.value for each in HTTPStatus if each >= 500)))


@dataclass(frozen=True, slots=True, kw_only=True)
class Reset(Rule):
    """The connection is reset (TCP RST).

    Parameters
    ----------
    when : {"before", "after", "within"}
        Before anything is done; after all is done, so that the answer is lost; or within the answer's body.
    """

    when: str = _setting("before", _one_of("before", "after", "within"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Truncate(Rule):
    """The body ends too soon, and the connection is closed as if all were well.

    Parameters
    ----------
    keep : float
        The part of the body that is sent, 0 to 1, of its first megabyte at most.
    framing : {"length", "chunked"}, optional
        Whether the body is sent with a ``Content-Length`` or in chunks; by default as the answer has it.
    """

    keep: float = _setting(0.5, _number(0, 0.999))
    framing: str | None = _setting(None, _or_none(_one_of("length", "chunked")))


@dataclass(frozen=True, slots=True, kw_only=True)
class Drift(Rule):
    """Between two pages of a search, rows come in or go, so that later pages repeat rows or pass some over.

    Strikes searches with an ``offset`` above 0. What has moved once stays moved for the later pages, until the search
    begins anew.

    Parameters
    ----------
    change : {"insert", "remove"}
        ``insert``: the later pages repeat rows. ``remove``: they pass rows over.
    rows : int
        How many rows come or go at a time.
    """

    change: str = _setting("insert", _one_of("insert", "remove"))
    rows: int = _setting(1, _whole(1, 200))


@dataclass(frozen=True, slots=True, kw_only=True)
class IgnoreOffset(Rule):
    """A search takes no notice of ``offset`` and sends its first page again, as some archives do."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BadValues(Rule):
    """Search results and metadata hold values that their VR does not allow, as those of dirty archives do.

    Parameters
    ----------
    kinds : list of str
        Which, out of `dicomframe.service.baddata.KINDS`.
    share : float
        How likely each row gets a bad value, 0 to 1.
    """

    kinds: tuple[str, ...] = _setting(tuple(KINDS), _KINDS)
    share: float = _setting(0.2, _number(0, 1))


@dataclass(frozen=True, slots=True, kw_only=True)
class Withhold(Rule):
    """Metadata is left out: entries of the change feed come without it, and what asks for it is given none."""


#: The kinds of fault by their names in the settings.
RULES: Final[dict[str, type[Rule]]] = {
    "latency": Latency,
    "throttle": Throttle,
    "error": ServerError,
    "reset": Reset,
    "truncate": Truncate,
    "drift": Drift,
    "ignore_offset": IgnoreOffset,
    "bad_values": BadValues,
    "withhold": Withhold,
}


@dataclass(frozen=True, slots=True)
class FaultPlan:
    """All that is injected.

    Parameters
    ----------
    seed : int
        Where the dice start. The same seed and the same sequence of requests give the same faults.
    rules : tuple of (str, Rule)
        Name and rule, in the order of the settings.

    Examples
    --------
    >>> plan = FaultPlan.parse({"seed": 7, "throttle": {"probability": 0.5, "count": 3}})
    >>> plan.settings()["throttle"][0]["status"]
    429
    """

    seed: int = 0
    rules: tuple[tuple[str, Rule], ...] = ()

    @classmethod
    def parse(cls, settings: Mapping[str, Any]) -> Self:
        """Read settings.

        Raises
        ------
        QueryError
            If there is anything in them that is not understood; the message says what is accepted.
        """
        if not isinstance(settings, Mapping):
            raise QueryError(f"Faults are a mapping with the keys seed, {', '.join(RULES)}.")
        seed = settings.get("seed", 0)
        if not isinstance(seed, int) or isinstance(seed, bool):
            raise QueryError("faults: seed must be a whole number.")
        rules = []
        for name, given in settings.items():
            if name == "seed":
                continue
            if name not in RULES:
                raise QueryError(
                    f"faults: {str(name)[:40]!r} is no kind of fault; seed, {', '.join(RULES)} are accepted."
                )
            for each in given if isinstance(given, list | tuple) else [given]:
                rule = _rule(name, each)
                if rule is not None:
                    rules.append((name, rule))
        return cls(seed, tuple(rules))

    def settings(self) -> dict[str, Any]:
        """Give the settings in full, as JSON has them."""
        found: dict[str, Any] = {"seed": self.seed}
        for name, rule in self.rules:
            found.setdefault(name, []).append(asdict(rule))
        return found

    def dice(self, request: int, rule: int) -> random.Random:
        """Give the dice of one rule for one request, by their numbers from 0."""
        return random.Random(f"{self.seed}/{request}/{rule}")  # noqa: S311 - it must repeat


def _rule(name: str, given: Any) -> Rule | None:
    kind = RULES[name]
    if given is None or given is False:
        return None
    if given is True:
        return kind()
    if _is_number(given):
        given = {"seconds" if kind is Latency else "probability": given}
    known = {each.name: each.metadata["accepts"] for each in fields(kind)}
    if not isinstance(given, Mapping):
        raise QueryError(
            f"faults: {name} must be true, a number, or a mapping (or a list of them) with the keys"
            f" {', '.join(known)}."
        )
    for key, value in given.items():
        if key not in known:
            raise QueryError(
                f"faults: {name} has no setting {str(key)[:40]!r}; {', '.join(known)} are accepted."
            )
        if not known[key].allows(value):
            raise QueryError(f"faults: {name}.{key} must be {known[key].words}.")
    values: dict[str, Any] = {
        key: tuple(value) if isinstance(value, list) else value for key, value in given.items()
    }
    return kind(**values)


def read_settings(path: str | Path) -> dict[str, Any]:
    """Read settings from a JSON file, or a TOML file where the name ends with ``.toml``.

    Raises
    ------
    QueryError
        If the file is neither.
    """
    place = Path(path)
    try:
        text = place.read_text(encoding="utf-8")
        found = tomllib.loads(text) if place.suffix.lower() == ".toml" else json.loads(text)
    except (ValueError, UnicodeDecodeError) as error:
        raise QueryError(f"The faults in {place} cannot be read: {error}.") from None
    if not isinstance(found, dict):
        raise QueryError(f"The faults in {place} must be an object with the keys seed, {', '.join(RULES)}.")
    return found


def segments_of(path: str) -> list[str]:
    """Give a path's segments behind version and partition, in lower case.

    Examples
    --------
    >>> segments_of("/v2/partitions/a/Studies/1.2")
    ['studies', '1.2']
    """
    segments = [segment for segment in path.lower().split("/") if segment]
    if segments and segments[0] in API_VERSIONS:
        segments = segments[1:]
    if len(segments) > 2 and segments[0] == "partitions":
        segments = segments[2:]
    return segments


def striking(rules: Iterable[tuple[str, Rule]], method: str, path: str) -> list[int]:
    """Give the places of the rules that a request fits."""
    segments = segments_of(path)
    return [place for place, (_, rule) in enumerate(rules) if rule.fits(method, segments)]
