"""Reading a STOW-RS answer: which of the instances sent was stored, and why not (PS3.18 section 10.5.3.2)."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from dicomframe.client.reasons import EXISTS_ALREADY, meaning_of_failure, meaning_of_warning
from dicomframe.client.sources import Item

_STORED = "00081199"
# FailedSOPSequence, and the failures that a server could not tie to an instance.
_FAILED = ("00081198", "0008119A")
_INSTANCE = "00081155"
_RETRIEVE_URL = "00081190"
_FAILURE_REASON = "00081197"
_WARNING_REASON = "00081196"
_FAILED_ATTRIBUTES = "00741048"
_COMMENT = "00000902"


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one instance.

    Parameters
    ----------
    status : str
        ``"stored"``, ``"warning"`` (stored, with one), ``"exists"``, ``"failed"``, ``"unreadable"`` (never sent) or
        ``"unknown"`` (sent, and the answer does not speak of it).
    code : int or None
        The failure or warning reason.
    reason : str
        What that means.
    warnings : str
        What the server says about single attributes.
    url : str
        Where the server says the instance can be retrieved.
    """

    status: str
    code: int | None = None
    reason: str = ""
    warnings: str = ""
    url: str = ""


def is_stow_answer(content: bytes) -> bool:
    """Whether a body is a STOW-RS answer, whatever Content-Type it came with."""
    return any(tag in _read(content) for tag in (_STORED, *_FAILED))


def read_outcomes(content: bytes, items: Sequence[Item], *, attempts: int = 1) -> list[Outcome]:
    """Give the outcome of each item, in their order.

    Parameters
    ----------
    content : bytes
        The answer's body.
    items : sequence of Item
        What was sent in the request.
    attempts : int
        How often it was sent: "exists already" may then be the first attempt's own doing.
    """
    answer = _read(content)
    waiting: dict[str, deque[int]] = {}
    for at, item in enumerate(items):
        waiting.setdefault(item.uids.instance, deque()).append(at)
    found: dict[int, Outcome] = {}
    nameless: list[Outcome] = []
    said = [(entry, _stored(entry)) for entry in _entries(answer, _STORED)]
    said += [(entry, _failed(entry, attempts)) for tag in _FAILED for entry in _entries(answer, tag)]
    for entry, outcome in said:
        places = waiting.get(str(_first(entry, _INSTANCE) or "").rstrip(" \0"))
        if places:
            found[places.popleft()] = outcome
        elif outcome.status == "failed":
            nameless.append(outcome)
    left = [at for at in range(len(items)) if at not in found]
    if len(nameless) == len(left):
        # A part that the server could not read has no UIDs; if there are as many as are left, they are these.
        found.update(zip(left, nameless, strict=True))
    unknown = Outcome("unknown", reason="the server's answer does not speak of this instance")
    return [found.get(at, unknown) for at in range(len(items))]


def study_url(content: bytes) -> str:
    """Give the RetrieveURL (0008,1190) of the whole study, where an answer has one.

    Examples
    --------
    >>> study_url(b'{"00081190": {"vr": "UR", "Value": ["https://host/v2/studies/1.2"]}}')
    'https://host/v2/studies/1.2'
    """
    return _url(_read(content))


def _read(content: bytes) -> Mapping[str, Any]:
    try:
        answer = orjson.loads(content)
    except orjson.JSONDecodeError:
        return {}
    if isinstance(answer, list):
        answer = answer[0] if answer else {}
    return answer if isinstance(answer, dict) else {}


def _entries(data: Mapping[str, Any], tag: str) -> Iterator[Mapping[str, Any]]:
    attribute = data.get(tag)
    values = attribute.get("Value") if isinstance(attribute, dict) else None
    yield from (entry for entry in values or () if isinstance(entry, dict))


def _first(entry: Mapping[str, Any], tag: str) -> Any:
    attribute = entry.get(tag)
    values = attribute.get("Value") if isinstance(attribute, dict) else None
    return values[0] if isinstance(values, list) and values else None


def _code(entry: Mapping[str, Any], tag: str) -> int | None:
    value = _first(entry, tag)
    return (
        int(value)
        if isinstance(value, int | float) or (isinstance(value, str) and value.isdecimal())
        else None
    )


def _url(data: Mapping[str, Any]) -> str:
    url = _first(data, _RETRIEVE_URL)
    return url if isinstance(url, str) else ""


def _comments(entry: Mapping[str, Any]) -> str:
    said = (_first(item, _COMMENT) for item in _entries(entry, _FAILED_ATTRIBUTES))
    return "; ".join(str(comment) for comment in said if comment)


def _stored(entry: Mapping[str, Any]) -> Outcome:
    code, comments = _code(entry, _WARNING_REASON), _comments(entry)
    url = _url(entry)
    if code is None and not comments:
        return Outcome("stored", url=url)
    return Outcome("warning", code, meaning_of_warning(code) if code is not None else "stored", comments, url)


def _failed(entry: Mapping[str, Any], attempts: int) -> Outcome:
    code, comments = _code(entry, _FAILURE_REASON), _comments(entry)
    if code != EXISTS_ALREADY:
        return Outcome(
            "failed", code, meaning_of_failure(code) if code is not None else "no reason given", comments
        )
    reason = meaning_of_failure(code)
    if attempts > 1:
        reason += f"; the request was sent {attempts} times, so an earlier attempt may have stored it"
    return Outcome("exists", code, reason, comments)
