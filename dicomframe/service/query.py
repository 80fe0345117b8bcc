"""A search's query string, read strictly: what is unknown, doubled or empty is refused, never passed over."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from dicomframe.dicom import tags
from dicomframe.dicom.paths import Level
from dicomframe.service.attributes import (
    ALL_ANSWER,
    MODALITIES_FILTER,
    NUMBER_VRS,
    SEARCHABLE,
    WHOLE_NUMBER_VRS,
    Searchable,
    comparable,
    time_number,
)
from dicomframe.service.faults import Fault, bad_request
from dicomframe.service.matching import Between, Equal, Filter, Phrase, Test, phrase_of, wildcard_of
from dicomframe.service.moments import date_time_bounds, split_range
from dicomframe.service.tagindex import Tag
from dicomframe.service.validation import is_date, is_uid

DEFAULT_LIMIT = 100
MOST_ROWS = 200
MOST_OFFSET = 2**31 - 1
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
#: The reference's code for a request whose values are wrong.
VALIDATION_ERROR = "RequestValidationError"
#: Dates that identify a patient.
_IDENTIFYING = {"PatientBirthDate"}
#: Digits and the signs that people put between them.
_LIKE_A_MOMENT = re.compile(r"[0-9][0-9\-/.:, TZ]{0,39}")
#: VRs that are searched by range, and how one value of them is written.
_SHAPES = {
    "DA": "YYYYMMDD",
    "DT": "YYYYMMDDHHMMSS.FFFFFF&ZZXX",
    "TM": "HHMMSS.FFFFFF",
}
_KINDS = {"DA": "Date", "DT": "DateTime", "TM": "Time"}


@dataclass(slots=True)
class Query:
    """What a query string asks for.

    Parameters
    ----------
    filters : list of Filter
        All must pass.
    include : set of bytes
        Tags that are wanted beside the default ones.
    limit, offset : int
        Which rows.
    tags : dict
        The extended query tags among the filters, by the name that the caller wrote.
    """

    filters: list[Filter] = field(default_factory=list)
    include: set[bytes] = field(default_factory=set)
    limit: int = DEFAULT_LIMIT
    offset: int = 0
    tags: dict[str, Tag] = field(default_factory=dict)


def read_query(
    pairs: Sequence[tuple[str, str]],
    levels: Sequence[Level],
    *,
    strict: bool,
    extended: Callable[[], Sequence[Tag]] = tuple,
) -> Query:
    """Read a search's query string.

    Parameters
    ----------
    pairs : sequence of (str, str)
        Keys and values, decoded.
    levels : sequence of str
        The levels whose attributes may be filtered by.
    strict : bool
        Whether the reference's extras (wildcards and four more filters) are refused.
    extended : callable
        Gives the extended query tags; it is called only if a filter is nothing else.

    Raises
    ------
    Fault
        400 if anything in it is not understood; the message says what is accepted.
    """
    return _Reader(levels, strict, extended).read(pairs)


class _Reader:
    def __init__(self, levels: Sequence[Level], strict: bool, extended: Callable[[], Sequence[Tag]]) -> None:
        self._strict = strict
        self._extended = extended
        self._levels = levels
        known = [*SEARCHABLE, MODALITIES_FILTER]
        self._filters = {
            attribute.keyword: attribute
            for attribute in known
            if attribute.level in levels and (attribute.is_core or not strict)
        }
        self._by_tag = {attribute.tag.decode(): attribute for attribute in self._filters.values()}

    def read(self, pairs: Sequence[tuple[str, str]]) -> Query:
        """Read controls first: whether matching is fuzzy decides how names are read."""
        query = Query()
        controls: dict[str, str] = {}
        filters: dict[str, tuple[Searchable, str]] = {}
        for key, value in pairs:
            name = key.lower()
            if name == "includefield":
                self._include(query, value)
            elif name in {"limit", "offset", "fuzzymatching"}:
                if name in controls:
                    raise doubled(name)
                controls[name] = value
            else:
                attribute = self._attribute(query, key)
                if attribute.keyword in filters:
                    raise doubled(attribute.keyword)
                filters[attribute.keyword] = (attribute, value)
        query.limit = whole_number(controls, "limit", DEFAULT_LIMIT, 1, MOST_ROWS)
        query.offset = whole_number(controls, "offset", 0, 0, MOST_OFFSET)
        fuzzy = truth(controls)
        query.filters = [
            Filter(attribute, self._test(attribute, value, fuzzy=fuzzy))
            for attribute, value in filters.values()
        ]
        self._settle_all(query)
        return query

    def _attribute(self, query: Query, key: str) -> Searchable:
        attribute = self._filters.get(key) or self._by_tag.get(key.upper())
        if attribute is not None:
            return attribute
        extended = self._extended()
        for tag in extended:
            if key in {tag.keyword, tag.path} or key.upper() == tag.path:
                query.tags[key] = self._usable(tag)
                return tag.searchable()
        known = tags.find(key)
        if known is None:
            advice = ", ".join(tags.suggest(key)) if key.isascii() and key.isalnum() else ""
            reason = f"{key[:64]!r} is no attribute{f' (did you mean {advice}?)' if advice else ''}."
        else:
            reason = f"{known.column} cannot be searched by here."
        accepted = [*self._filters, *(tag.keyword for tag in extended if self._is_usable(tag))]
        raise bad_request(
            f"{reason} Accepted are limit, offset, fuzzymatching, includefield, and the attributes"
            f" {', '.join(accepted)}; keywords are case-sensitive.",
            "UnknownQueryParameter",
        )

    def _is_usable(self, tag: Tag) -> bool:
        return tag.level in self._levels and tag.status == "Ready" and tag.enabled

    def _usable(self, tag: Tag) -> Tag:
        """Give the tag back if this search may use it now."""
        if self._is_usable(tag):
            return tag
        if tag.level not in self._levels:
            reason = f"is an extended query tag of the level {tag.level}, which this route does not search"
        elif tag.status == "Adding":
            reason = "is an extended query tag that is still being indexed"
        elif tag.status == "Deleting":
            reason = "is an extended query tag that is being deleted"
        else:
            reason = (
                "is an extended query tag that is disabled: some instances may not be indexed. Its errors tell which;"
                ' PATCH {"queryStatus": "Enabled"} lets it be searched nevertheless'
            )
        raise bad_request(f"{tag.keyword} {reason}.", "TagNotSearchable")

    def _include(self, query: Query, value: str) -> None:
        for name in value.split(","):
            bare = name.strip()
            if bare.lower() == "all":
                query.include.add(b"all")
                continue
            known = tags.find(bare) if bare else None
            if known is None or (known.name == "" and not known.is_private):
                raise bad_request(
                    f"includefield: {bare[:64]!r} is no attribute; 'all', or case-sensitive keywords or eight hex"
                    " digits with commas between are accepted.",
                    "InvalidIncludeField",
                )
            query.include.add(known.tag.encode())

    def _settle_all(self, query: Query) -> None:
        if b"all" not in query.include:
            return
        if len(query.include) > 1:
            raise bad_request(
                "includefield=all stands alone; no other field is accepted beside it.", "InvalidIncludeField"
            )
        query.include = {tag for level in self._levels for tag in ALL_ANSWER[level]}

    def _test(self, attribute: Searchable, value: str, *, fuzzy: bool) -> Test:
        text = value.rstrip("\0").strip(" ")
        if not text:
            raise _refused(attribute, "has no value; leave it out instead")
        if _CONTROL.search(text):
            raise _refused(attribute, "must not hold control characters")
        if attribute.vr in _SHAPES:
            return _moment(attribute, text)
        if attribute.vr == "UI":
            if not is_uid(text):
                raise _refused(attribute, "must be one UID of at most 64 digits and dots")
            return Equal(text)
        if attribute.vr == "PN" and fuzzy:
            return _phrase(attribute, text)
        if not self._strict and attribute.vr not in NUMBER_VRS and ("*" in text or "?" in text):
            return wildcard_of(attribute, text)
        form = comparable(attribute.vr, text)
        if form is None:
            whole = attribute.vr in WHOLE_NUMBER_VRS
            raise _refused(attribute, f"must be a {'whole ' * whole}number")
        return Equal(form)


def _phrase(attribute: Searchable, text: str) -> Phrase:
    if '"' in text:
        raise _refused(attribute, "must not hold '\"' when matching is fuzzy")
    phrase = phrase_of(text)
    if not phrase.words:
        raise _refused(attribute, "must hold a word when matching is fuzzy")
    return phrase


def _moment(attribute: Searchable, text: str) -> Test:
    """Read a date or time, or a range of them."""
    low_text, high_text = _ends(attribute.vr, text)
    bounds = []
    for part, latest in ((low_text, False), (high_text, True)):
        bound = _bound(attribute.vr, part, latest=latest)
        if bound is None and part:
            raise _misspelt_moment(attribute, text)
        bounds.append(bound)
    low, high = bounds
    if low is None and high is None:
        raise _refused(attribute, "has a range without bounds; give at least one", "InvalidRange")
    if low is not None and high is not None and low > high:
        raise _refused(attribute, "has a range whose end lies before its start", "InvalidRange")
    if low == high and low is not None:
        return Equal(low)
    return Between(low, high)


def _ends(vr: str, text: str) -> tuple[str, str]:
    """Take a range apart; a single value is both ends of one."""
    if vr == "DT":
        return split_range(text) or (text, text)
    low, hyphen, high = text.partition("-")
    return low, high if hyphen else low


def _bound(vr: str, text: str, *, latest: bool) -> int | None:
    if vr == "DA":
        return int(text) if is_date(text) else None
    if vr == "DT":
        bounds = date_time_bounds(text)
        return None if bounds is None else bounds[latest]
    number = time_number(text)
    if number is None or not latest:
        return number
    # A time of few digits means all of that hour, minute or second.
    digits = len(text.replace(".", ""))
    filled = text.replace(".", "") + "595999999999"[digits - 2 : 10] if digits < 12 else text.replace(".", "")
    return int(filled[:12])


def whole_number(controls: dict[str, str], name: str, default: int, least: int, most: int) -> int:
    """Read a control that is a whole number."""
    text = controls.get(name)
    if text is None:
        return default
    if not (re.fullmatch(r"[0-9]{1,10}", text) and least <= int(text) <= most):
        raise bad_request(f"{name} must be a whole number from {least} to {most}.", VALIDATION_ERROR)
    return int(text)


def truth(controls: dict[str, str]) -> bool:
    """Read whether matching is fuzzy."""
    text = controls.get("fuzzymatching", "false").lower()
    if text not in {"true", "false"}:
        raise bad_request("fuzzymatching must be true or false.", VALIDATION_ERROR)
    return text == "true"


def doubled(name: str) -> Fault:
    """Give the 400 for what is given twice."""
    return bad_request(f"{name} is given twice; once is accepted.", "DuplicateQueryParameter")


def _refused(attribute: Searchable, reason: str, code: str = "InvalidValue") -> Fault:
    return bad_request(
        f"Invalid {attribute.keyword}",
        VALIDATION_ERROR,
        [(code, f"{attribute.keyword} {reason}.")],
    )


def _misspelt_moment(attribute: Searchable, text: str) -> Fault:
    """Refuse a date or time in the words of the user's reference, which repeat what was received.

    A date of a study identifies nobody by itself, and who sees it knows at once what is wrong. A date of birth, and
    whatever is no date at all, may identify a patient: those are not repeated.
    """
    kind = _KINDS[attribute.vr]
    identifies = attribute.extended or attribute.keyword in _IDENTIFYING
    is_shown = not identifies and _LIKE_A_MOMENT.fullmatch(text)
    message = f"Expected {_SHAPES[attribute.vr]}, " + (
        f"received: {text}" if is_shown else "or a range of that: a-b, a- or -b"
    )
    return bad_request(
        f"Invalid {attribute.keyword} format", VALIDATION_ERROR, [(f"Invalid{kind}Format", message)]
    )
