"""Whether an instance is taken: the rules of API versions 1 and 2, which differ.

Version 1 looks at the attributes that can be searched, those of extended query tags included, and refuses the
instance for any bad value among them.
Version 2 refuses for the UIDs and the PatientID only; any other bad value, nested ones included, is a warning,
and leaves the metadata and the index, not the file.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from dicomframe.service.attributes import PATIENT_ID, SEARCHABLE, ApiVersion
from dicomframe.service.header import Header
from dicomframe.service.metadata import Description, Pieces, Problem, describe
from dicomframe.service.tagindex import Tag, value_of
from dicomframe.service.validation import is_uid

#: Failure and warning reasons of the conformance statement.
VALIDATION_FAILED: Final = 43264
ALREADY_STORED: Final = 45070
DOES_NOT_MATCH_SOP_CLASS: Final = 45063
HAS_INVALID_VALUES: Final = 1

_SOP_CLASS: Final = 0x00080016
_UIDS: Final = {0x0020000D: "StudyInstanceUID", 0x0020000E: "SeriesInstanceUID", 0x00080018: "SOPInstanceUID"}
_PATIENT_ID: Final = int(PATIENT_ID, 16)
_SEARCHED: Final = {int(attribute.tag, 16): attribute for attribute in SEARCHABLE if attribute.is_core}


class Refusal(Exception):
    """An instance that is not taken.

    Parameters
    ----------
    reason : int
        The FailureReason.
    sop_class, instance : str
        Its UIDs, where they are known and valid.
    comments : tuple of str
        Why, in words.
    """

    def __init__(
        self, reason: int, sop_class: str = "", instance: str = "", comments: tuple[str, ...] = ()
    ) -> None:
        super().__init__(reason)
        self.reason = reason
        self.sop_class = sop_class
        self.instance = instance
        self.comments = comments


@dataclass(frozen=True, slots=True)
class Verdict:
    """An instance that is taken.

    Parameters
    ----------
    uids : tuple of str
        Study, series and SOP instance UID.
    sop_class : str
        Its SOP class UID.
    pieces, metadata
        What is kept of it as metadata.
    warning : int
        The WarningReason, 0 for none.
    comments : tuple of str
        What the warning is about.
    multiple_values : tuple of str
        Searched attributes with more than one value, of which only the first is indexed.
    """

    uids: tuple[str, str, str]
    sop_class: str
    pieces: Pieces
    metadata: bytes
    warning: int
    comments: tuple[str, ...]
    multiple_values: tuple[str, ...]


def judge(
    header: Header, version: ApiVersion, study_of_route: str | None, extended: Sequence[Tag] = ()
) -> Verdict:
    """Decide whether an instance is taken, and as what.

    Parameters
    ----------
    header : Header
        From `read_header`.
    version : {"v1", "v2"}
        Whose rules apply.
    study_of_route : str, optional
        The study that the request named.
    extended : sequence of Tag
        The extended query tags.

    Raises
    ------
    Refusal
        If it is not taken.
    """
    found = describe(header, drop_invalid=version != "v1")
    tagged = _not_indexable(found, extended)
    uids = tuple(found.text(tag) for tag in _UIDS)
    reasons = _missing(found, version) + _invalid(found.problems, version)
    if version == "v1":
        reasons += [text for text in map(str, tagged) if text not in reasons]
    else:
        found.problems += tagged
    if not reasons and study_of_route is not None and uids[0] != study_of_route:
        reasons = [_comment(0x0020000D, "The StudyInstanceUID is not the one that the request names.")]
    sop_class = found.text(_SOP_CLASS)
    if reasons:
        sop_class, instance = (uid if is_uid(uid) else "" for uid in (sop_class, uids[2]))
        raise Refusal(VALIDATION_FAILED, sop_class, instance, tuple(reasons))
    comments = () if version == "v1" else tuple(map(str, found.problems))
    if not found.text(_PATIENT_ID).rstrip("\0"):
        comments += (_comment(_PATIENT_ID, "The PatientID is empty."),)
    warning = DOES_NOT_MATCH_SOP_CLASS if header.implicit else HAS_INVALID_VALUES if comments else 0
    multiple = tuple(
        attribute.keyword for tag, attribute in _SEARCHED.items() if len(found.values.get(tag, ())) > 1
    ) + tuple(tag.keyword for tag in extended if len(found.values.get(_place(tag, found), ())) > 1)
    if version != "v1":
        found.drop_invalid(keep=_UIDS.keys())
    study, series, instance = uids
    return Verdict(
        (study, series, instance), sop_class, found.pieces, found.json(), warning, comments, multiple
    )


def _missing(found: Description, version: ApiVersion) -> list[str]:
    """Say which required attributes are missing; what is invalid is not repeated here."""
    invalid = {problem.tag for problem in found.problems}
    reasons = [
        _comment(tag, f"The {keyword} is missing or empty.")
        for tag, keyword in ({_SOP_CLASS: "SOPClassUID"} | _UIDS).items()
        if not found.text(tag) and tag not in invalid
    ]
    patient_id = found.text(_PATIENT_ID)
    if PATIENT_ID not in found.pieces and _PATIENT_ID not in invalid:
        reasons.append(
            _comment(_PATIENT_ID, "The PatientID is missing; it may be empty, but it must be there.")
        )
    elif patient_id.startswith("\0"):
        reasons.append(_comment(_PATIENT_ID, "The PatientID begins with a null."))
    elif version == "v1" and not patient_id and _PATIENT_ID not in invalid:
        reasons.append(_comment(_PATIENT_ID, "The PatientID is empty; version 1 does not take that."))
    return reasons


def _invalid(problems: list[Problem], version: ApiVersion) -> list[str]:
    """Say which bad values speak against the instance as a whole."""
    fatal = _SEARCHED.keys() if version == "v1" else _UIDS.keys() | {_PATIENT_ID}
    return [
        str(problem) for problem in problems if not problem.is_nested and problem.tag in fatal | {_SOP_CLASS}
    ]


def _not_indexable(found: Description, extended: Sequence[Tag]) -> list[Problem]:
    """Say which values the extended query tags cannot index; version 2 has left other bad values out already."""
    problems = ((tag, value_of(tag, found.pieces).problem) for tag in extended)
    return [
        Problem(_place(tag, found), text.removeprefix("The value ").removesuffix("."))
        for tag, text in problems
        if text
    ]


def _place(tag: Tag, found: Description) -> int:
    return int(tag.place_in(found.pieces) or tag.path, 16)


def _comment(tag: int, text: str) -> str:
    return f"({tag >> 16:04x},{tag & 0xFFFF:04x}) - {text}"
