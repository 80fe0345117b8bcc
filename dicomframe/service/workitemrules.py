"""What work items must hold, and how they go from state to state (PS3.4 annex CC).

The requirements are table CC.2.5-3 of PS3.4 as the service applies it: conditional ones count as optional. The
transitions are table CC.1.1-2, with the codes that the standard gives to refusals and warnings.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, Literal, NamedTuple, cast

from dicomframe.service.faults import Fault, bad_request
from dicomframe.service.workitembody import DataSet, name_of, text_of, values_of

State = Literal["SCHEDULED", "IN PROGRESS", "COMPLETED", "CANCELED"]
#: What a request wants a state to become; ``REQUEST CANCEL`` is another's wish, not the performer's act.
Wish = Literal["IN PROGRESS", "COMPLETED", "CANCELED", "REQUEST CANCEL"]

TRANSACTION_UID: Final = "00081195"
SOP_CLASS_UID: Final = "00080016"
SOP_INSTANCE_UID: Final = "00080018"
STATE: Final = "00741000"
MODIFIED: Final = "00404010"
WORKLIST_LABEL: Final = "00741202"
PROGRESS: Final = "00741002"
CANCELLATION_TIME: Final = "00404052"
CANCELLATION_REASON: Final = "00741238"
DISCONTINUATION: Final = "0074100E"
COMMUNICATIONS: Final = "00741008"
CONTACT_URI: Final = "0074100A"
CONTACT_NAME: Final = "0074100C"

#: Unified Procedure Step - Push, the SOP class that work items are created in.
PUSH: Final = "1.2.840.10008.5.1.4.34.6.1"

# What must be so of an attribute. Filled: there, with a value. There: it may be empty. If there: not empty.
_FILLED, _THERE, _FILLED_IF_THERE, _EMPTY, _NOT_ALLOWED = (
    "filled",
    "there",
    "filled if there",
    "empty",
    "not allowed",
)


class _Rule(NamedTuple):
    need: str
    items: Mapping[str, _Rule] | None = None


_Rules = Mapping[str, _Rule]
_OPTIONAL: Final = ""

_CODE: Final[_Rules] = {"00080104": _Rule(_FILLED)}
_SOP: Final[_Rules] = {"00081150": _Rule(_FILLED), "00081155": _Rule(_FILLED)}
_INSTANCES: Final[_Rules] = {"0040E020": _Rule(_FILLED), "00081199": _Rule(_FILLED, _SOP)}
_CONTENT_ITEM: Final[_Rules] = {"0040A040": _Rule(_FILLED), "0040A043": _Rule(_FILLED, _CODE)}
_HUMAN_PERFORMER: Final[_Rules] = {
    "00404009": _Rule(_FILLED, _CODE),
    "00404037": _Rule(_FILLED),
    "00404036": _Rule(_FILLED),
}
_PATIENT_ID_QUALIFIERS: Final[_Rules] = {
    "00400032": _Rule(_THERE),
    "00400035": _Rule(_THERE),
    "00400036": _Rule(_THERE),
    "00400039": _Rule(_THERE, _CODE),
    "0040003A": _Rule(_THERE, _CODE),
}
_REQUEST: Final[_Rules] = {
    "0020000D": _Rule(_FILLED),
    "00080050": _Rule(_THERE),
    "00080051": _Rule(_THERE),
    "00400026": _Rule(_THERE),
    "00400027": _Rule(_THERE),
    "00401001": _Rule(_THERE),
    "00321060": _Rule(_THERE),
    "00321064": _Rule(_THERE, _CODE),
}

_ON_CREATION: Final[_Rules] = {
    TRANSACTION_UID: _Rule(_EMPTY),
    "00741200": _Rule(_FILLED),  # ScheduledProcedureStepPriority
    "00741204": _Rule(_FILLED),  # ProcedureStepLabel
    "00741210": _Rule(_THERE, _CONTENT_ITEM),  # ScheduledProcessingParametersSequence
    "00404025": _Rule(_THERE, _CODE),  # ScheduledStationNameCodeSequence
    "00404026": _Rule(_THERE, _CODE),  # ScheduledStationClassCodeSequence
    "00404027": _Rule(_THERE, _CODE),  # ScheduledStationGeographicLocationCodeSequence
    "00404034": _Rule(_OPTIONAL, _HUMAN_PERFORMER),  # ScheduledHumanPerformersSequence
    "00404005": _Rule(_FILLED),  # ScheduledProcedureStepStartDateTime
    "00404011": _Rule(_FILLED_IF_THERE),  # ExpectedCompletionDateTime
    "00404018": _Rule(_THERE, _CODE),  # ScheduledWorkitemCodeSequence
    "00400400": _Rule(_THERE),  # CommentsOnTheScheduledProcedureStep
    "00404041": _Rule(_FILLED),  # InputReadinessState
    "00404021": _Rule(_THERE, _INSTANCES),  # InputInformationSequence
    "00100010": _Rule(_THERE),  # PatientName
    "00100021": _Rule(_THERE),  # IssuerOfPatientID
    "00100024": _Rule(_THERE, _PATIENT_ID_QUALIFIERS),  # IssuerOfPatientIDQualifiersSequence
    "00101002": _Rule(_THERE, {"00100020": _Rule(_FILLED)}),  # OtherPatientIDsSequence
    "00100030": _Rule(_THERE),  # PatientBirthDate
    "00100040": _Rule(_THERE),  # PatientSex
    "00380010": _Rule(_THERE),  # AdmissionID
    "00380014": _Rule(_THERE),  # IssuerOfAdmissionIDSequence
    "00081080": _Rule(_THERE),  # AdmittingDiagnosesDescription
    "00081084": _Rule(_THERE, _CODE),  # AdmittingDiagnosesCodeSequence
    "0040A370": _Rule(_THERE, _REQUEST),  # ReferencedRequestSequence
    "00741224": _Rule(_OPTIONAL, _SOP),  # ReplacedProcedureStepSequence
    STATE: _Rule(_FILLED),
    PROGRESS: _Rule(_EMPTY),  # nothing in it may be set yet
    "00741216": _Rule(_EMPTY),  # UnifiedProcedureStepPerformedProcedureSequence, likewise
}

_ON_UPDATE: Final[_Rules] = {
    tag: _Rule(_NOT_ALLOWED)
    for tag in (
        *(
            TRANSACTION_UID,
            SOP_CLASS_UID,
            SOP_INSTANCE_UID,
            STATE,
            "00100010",
            "00100020",
            "00100021",
            "00100024",
        ),
        *("00100030", "00100040", "00380010", "00380014", "00081080", "00081084", "0040A370", "00741224"),
    )
} | {
    "00741200": _Rule(_FILLED_IF_THERE),
    "00741204": _Rule(_FILLED_IF_THERE),
    WORKLIST_LABEL: _Rule(_FILLED_IF_THERE),
    "00404005": _Rule(_FILLED_IF_THERE),
    "00404011": _Rule(_FILLED_IF_THERE),
    "00404018": _Rule(_FILLED_IF_THERE, _CODE),
    "00400400": _Rule(_FILLED_IF_THERE),
    "00404041": _Rule(_FILLED_IF_THERE),
    "00741210": _Rule(_OPTIONAL, _CONTENT_ITEM),
    "00404025": _Rule(_OPTIONAL, _CODE),
    "00404026": _Rule(_OPTIONAL, _CODE),
    "00404027": _Rule(_OPTIONAL, _CODE),
    "00404034": _Rule(_OPTIONAL, _HUMAN_PERFORMER),
    "00404021": _Rule(_OPTIONAL, _INSTANCES),
    "00741216": _Rule(_OPTIONAL, {"00404033": _Rule(_THERE, _INSTANCES)}),  # OutputInformationSequence
}

_IN_BOTH_FINAL_STATES: Final = {
    tag: _Rule(_FILLED)
    for tag in (SOP_CLASS_UID, SOP_INSTANCE_UID, "00741200", MODIFIED, "00404005", "00404041", STATE)
}
_FINALLY: Final[Mapping[str, _Rules]] = {
    "COMPLETED": _IN_BOTH_FINAL_STATES
    | {
        # UnifiedProcedureStepPerformedProcedureSequence
        "00741216": _Rule(
            _FILLED,
            {
                "00404028": _Rule(_FILLED),  # PerformedStationNameCodeSequence
                "00404050": _Rule(_FILLED),  # PerformedProcedureStepStartDateTime
                "00404019": _Rule(_FILLED),  # PerformedWorkitemCodeSequence
                "00404051": _Rule(_FILLED),  # PerformedProcedureStepEndDateTime
                "00404033": _Rule(_FILLED),  # OutputInformationSequence
            },
        )
    },
    "CANCELED": _IN_BOTH_FINAL_STATES
    | {PROGRESS: _Rule(_FILLED, {CANCELLATION_TIME: _Rule(_FILLED), DISCONTINUATION: _Rule(_FILLED)})},
}


def check_creation(data_set: DataSet) -> None:
    """Raise a 400 if a data set lacks what a new work item must have, or has what it must not."""
    _check(data_set, _ON_CREATION)
    if text_of(data_set, STATE) != "SCHEDULED":
        raise bad_request(
            f"{name_of(STATE)} of a new work item must be SCHEDULED (C309); the state route changes it.",
            "InvalidProcedureStepState",
        )


def check_update(changes: DataSet) -> None:
    """Raise a 400 if changes touch what may not change, or empty what may not be empty."""
    _check(changes, _ON_UPDATE)


def check_final(data_set: DataSet, state: str) -> None:
    """Raise a 400 if a work item lacks what it must have in a final state (PS3.4 section CC.2.5.1.1)."""
    _check(data_set, _FINALLY.get(state, {}), f" before the work item can become {state}; update it first")


def _check(data_set: DataSet, rules: _Rules, when: str = "") -> None:
    wrong = _violations(data_set, rules, "", when)
    if wrong:
        raise bad_request(
            "The data set does not meet the requirements of PS3.4 table CC.2.5-3.",
            "MissingOrForbiddenAttribute",
            [("Requirement", each) for each in wrong],
        )


def _violations(data_set: DataSet, rules: _Rules, path: str, when: str) -> list[str]:
    wrong = []
    for tag, rule in rules.items():
        name = f"{path}{name_of(tag)}"
        is_there = tag in data_set
        is_filled = any(value not in {None, ""} for value in _substance(data_set, tag))
        if rule.need == _NOT_ALLOWED and is_there:
            wrong.append(f"{name} must not be there: this request cannot set it.")
        elif rule.need == _FILLED and not is_filled:
            wrong.append(f"{name} must be there with a value{when}.")
        elif rule.need == _FILLED_IF_THERE and is_there and not is_filled:
            wrong.append(f"{name} must not be empty; leave it out to keep it as it is.")
        elif rule.need in {_THERE, _EMPTY} and not is_there:
            wrong.append(f"{name} must be there; it {'must' if rule.need == _EMPTY else 'may'} be empty.")
        elif rule.need == _EMPTY and is_filled:
            wrong.append(f"{name} must be empty.")
        elif rule.items:
            for at, item in enumerate(values_of(data_set, tag)):
                wrong += _violations(item, rule.items, f"{name}[{at}].", when)
    return wrong


def _substance(data_set: DataSet, tag: str) -> list[object]:
    """Give an attribute's values; items and names count as something, whatever is in them."""
    return [True if isinstance(value, dict) else value for value in values_of(data_set, tag)]


class Transition(NamedTuple):
    """What comes of a wish: the standard's code (empty: it is granted) and its words."""

    code: str = ""
    words: str = ""

    @property
    def is_refused(self) -> bool:
        """Whether nothing may change; warnings change nothing either, but refuse nothing."""
        return self.code.startswith("C")

    @property
    def reason(self) -> str:
        """The words with the code."""
        return f"{self.words.removesuffix('.')} ({self.code})."


GRANTED: Final = Transition()
_WORDS: Final = {
    "B304": "The UPS is already in the requested state of CANCELED.",
    "B306": "The UPS is already in the requested state of COMPLETED.",
    "C300": "The UPS may no longer be updated.",
    "C302": "The UPS is already IN PROGRESS.",
    "C310": "The UPS is not yet in the IN PROGRESS state.",
    "C311": "The UPS is already COMPLETED.",
    "C312": "The UPS is IN PROGRESS, and its performer cannot be contacted; the performer may cancel it.",
}
#: What becomes of each wish, in the order of `_STATES`.
_STATES: Final = ("SCHEDULED", "IN PROGRESS", "COMPLETED", "CANCELED")
_TABLE: Final[Mapping[str, tuple[str, str, str, str]]] = {
    "IN PROGRESS": ("", "C302", "C300", "C300"),
    "COMPLETED": ("C310", "", "B306", "C300"),
    "CANCELED": ("C310", "", "C300", "B304"),
    "REQUEST CANCEL": ("", "C312", "C311", "B304"),
}


def transition(state: State, wish: Wish) -> Transition:
    """Tell what comes of a wish in a state (PS3.4 table CC.1.1-2; the Transaction UID has been found right).

    Examples
    --------
    >>> transition("SCHEDULED", "IN PROGRESS") == GRANTED
    True
    >>> transition("SCHEDULED", "COMPLETED")
    Transition(code='C310', words='The UPS is not yet in the IN PROGRESS state.')
    """
    code = _TABLE[wish][_STATES.index(state)]
    return Transition(code, _WORDS[code]) if code else GRANTED


def wish_of(request: DataSet) -> tuple[Wish, str]:
    """Read a change of state: the state wanted and the Transaction UID.

    Raises
    ------
    Fault
        400 if one of them is missing, or the state is none that can be asked for.
    """
    missing = [tag for tag in (TRANSACTION_UID, STATE) if not text_of(request, tag)]
    if missing:
        raise bad_request(
            f"A change of state needs {' and '.join(map(name_of, missing))}.", "MissingOrForbiddenAttribute"
        )
    wanted = text_of(request, STATE)
    if wanted not in {"IN PROGRESS", "COMPLETED", "CANCELED"}:
        raise bad_request(
            f"{name_of(STATE)} may be changed to IN PROGRESS, COMPLETED or CANCELED.",
            "InvalidProcedureStepState",
        )
    return cast("Wish", wanted), text_of(request, TRANSACTION_UID)


def wrong_transaction(words: str) -> Fault:
    """Give the 400 for a Transaction UID that is missing, wrong or out of place; it never repeats one."""
    return bad_request(f"{words} (C301).", "IncorrectTransactionUid")
