"""A work item search's query string, read as strictly as that of a study search."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from dicomframe.dicom import tags
from dicomframe.service.attributes import comparable, fold_name, fold_text
from dicomframe.service.datetimes import Interval, interval_of
from dicomframe.service.faults import Fault, bad_request
from dicomframe.service.matching import Between, Equal, Test, Wildcard, phrase_of
from dicomframe.service.query import DEFAULT_LIMIT, MOST_OFFSET, MOST_ROWS, doubled, truth, whole_number
from dicomframe.service.validation import is_uid
from dicomframe.service.workitemindex import SEARCHABLE, WorkitemAttribute, WorkitemFilter
from dicomframe.service.workitemrules import TRANSACTION_UID

_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f]")
_BY_TAGS: Final = {attribute.tags: attribute for attribute in SEARCHABLE}

#: Attributes that every answer has, where they are there (return key types 1, 2 and 1C of PS3.4 table CC.2.5-3).
DEFAULT_ANSWER: Final = frozenset(
    "00080005 00080016 00080018 00081080 00081084 00100010 00100020 00100021 00100024 00100030 00100040 00101002"
    " 0020000D 00380010 00380014 00400400 00404005 00404010 00404011 00404018 00404021 00404025 00404026 00404027"
    " 00404034 00404041 0040A370 00741000 00741002 00741200 00741202 00741204 00741210 00741216 00741224".split()
)


@dataclass(slots=True)
class WorkitemQuery:
    """What a query string asks for.

    Parameters
    ----------
    filters : list of WorkitemFilter
        All must pass.
    include : set of str
        Tags wanted beside the default ones.
    everything : bool
        Whether all attributes are wanted.
    limit, offset : int
        Which rows, newest first.
    """

    filters: list[WorkitemFilter] = field(default_factory=list)
    include: set[str] = field(default_factory=set)
    everything: bool = False
    limit: int = DEFAULT_LIMIT
    offset: int = 0

    def wants(self, tag: str) -> bool:
        """Tell whether an attribute belongs into the answer."""
        return tag != TRANSACTION_UID and (self.everything or tag in DEFAULT_ANSWER or tag in self.include)


def read_workitem_query(pairs: Sequence[tuple[str, str]], *, strict: bool) -> WorkitemQuery:
    """Read a search's query string.

    Parameters
    ----------
    pairs : sequence of (str, str)
        Keys and values, decoded.
    strict : bool
        Whether wildcards are refused.

    Raises
    ------
    Fault
        400 if anything in it is not understood; the message says what is accepted.
    """
    query = WorkitemQuery()
    controls: dict[str, str] = {}
    filters: dict[str, tuple[WorkitemAttribute, str]] = {}
    for key, value in pairs:
        name = key.lower()
        if name == "includefield":
            _include(query, value)
        elif name in {"limit", "offset", "fuzzymatching"}:
            if name in controls:
                raise doubled(name)
            controls[name] = value
        else:
            attribute = _attribute(key)
            if attribute.path in filters:
                raise doubled(attribute.path)
            filters[attribute.path] = (attribute, value)
    if query.everything and query.include:
        raise bad_request(
            "includefield=all stands alone; no other field is accepted beside it.", "InvalidIncludeField"
        )
    query.limit = whole_number(controls, "limit", DEFAULT_LIMIT, 1, MOST_ROWS)
    query.offset = whole_number(controls, "offset", 0, 0, MOST_OFFSET)
    fuzzy = truth(controls)
    for attribute, value in filters.values():
        query.filters.append(WorkitemFilter(attribute, _test(attribute, value, fuzzy=fuzzy, strict=strict)))
        query.include.add(attribute.tags[:8])
    return query


def _attribute(key: str) -> WorkitemAttribute:
    found = [tags.find(part) for part in key.split(".")]
    number = ".".join(known.tag for known in found if known is not None)
    if None not in found and number in _BY_TAGS:
        return _BY_TAGS[number]
    reason = "is no attribute" if None in found else "cannot be searched by here"
    raise bad_request(
        f"{key[:64]!r} {reason}. Accepted are limit, offset, fuzzymatching, includefield, and the attributes"
        f" {', '.join(attribute.path for attribute in SEARCHABLE)}; keywords are case-sensitive.",
        "UnknownQueryParameter",
    )


def _include(query: WorkitemQuery, value: str) -> None:
    for name in value.split(","):
        bare = name.strip()
        if bare.lower() == "all":
            query.everything = True
            continue
        known = tags.find(bare) if bare else None
        if known is None or (known.name == "" and not known.is_private):
            raise bad_request(
                f"includefield: {bare[:64]!r} is no attribute at the top level; 'all', or case-sensitive keywords or"
                " eight hex digits with commas between are accepted.",
                "InvalidIncludeField",
            )
        query.include.add(known.tag)


def _test(attribute: WorkitemAttribute, value: str, *, fuzzy: bool, strict: bool) -> Test:
    text = value.rstrip("\0").strip(" ")
    if not text:
        raise _refused(attribute, "has no value; leave it out instead")
    if _CONTROL.search(text):
        raise _refused(attribute, "must not hold control characters")
    if attribute.vr == "DT":
        return _moments(attribute, text)
    if attribute.vr == "UI":
        if not is_uid(text):
            raise _refused(attribute, "must be one UID of at most 64 digits and dots")
        return Equal(text)
    if attribute.vr == "PN" and fuzzy:
        phrase = phrase_of(text)
        if '"' in text or not phrase.words:
            raise _refused(attribute, "must hold a word, and no '\"', when matching is fuzzy")
        return phrase
    if not strict and ("*" in text or "?" in text):
        fold = {"PN": fold_name, "CS": str.upper}.get(attribute.vr, fold_text)
        return Wildcard(fold(text))
    form = comparable(attribute.vr, text)
    if form is None:
        raise _refused(attribute, "has no value that could be compared")
    return Equal(form)


def _moments(attribute: WorkitemAttribute, text: str) -> Between:
    """Read a DT value or a range of them; a hyphen may begin an offset, or part the ends of a range."""
    whole = interval_of(text)
    if whole is not None:
        return Between(whole.first, whole.last)
    for at in (match.start() for match in re.finditer("-", text)):
        low, high = text[:at], text[at + 1 :]
        ends = [interval_of(end) if end else None for end in (low, high)]
        if (low or high) and all(
            bool(end) == (read is not None) for end, read in zip((low, high), ends, strict=True)
        ):
            return _between(attribute, *ends)
    raise _refused(
        attribute,
        "must be written YYYYMMDDHHMMSS.FFFFFF&ZZXX, parts from the right left out, or as a range of that: a-b, a- or"
        " -b, with at least one end",
    )


def _between(attribute: WorkitemAttribute, low: Interval | None, high: Interval | None) -> Between:
    if low is not None and high is not None and low.first > high.last:
        raise _refused(attribute, "has a range whose end lies before its start")
    return Between(low.first if low else None, high.last if high else None)


def _refused(attribute: WorkitemAttribute, reason: str) -> Fault:
    return bad_request(
        f"Invalid {attribute.path}.",
        "RequestValidationError",
        [("InvalidValue", f"{attribute.path} {reason}.")],
    )
