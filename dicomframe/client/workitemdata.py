"""What callers give for a work item -> the data set that is sent, as DICOM JSON (PS3.18 annex F).

A pydicom Dataset, DICOM JSON, or attributes by keyword with Python values are taken; sequences are lists of the same.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

from dicomframe.client.filtervalues import format_value
from dicomframe.dicom import tags, values
from dicomframe.dicom.dicomjson import from_dataset
from dicomframe.dicom.rawvalues import person_name
from dicomframe.errors import DecodeError, QueryError

if TYPE_CHECKING:
    from pydicom import Dataset

    # At run time pydicom is imported where it is needed.
    Given: TypeAlias = Dataset | Mapping[str, Any]

_TAG = re.compile(r"[0-9A-Fa-f]{8}")
_MOMENT_VRS = frozenset({"DA", "DT", "TM"})

#: What a new work item needs a value for (PS3.4 table CC.2.5-3, type 1), and what it gets where none is given.
_DEFAULTS = {
    "InputReadinessState": "READY",
    "ProcedureStepState": "SCHEDULED",
    "ScheduledProcedureStepPriority": "MEDIUM",
}
_NEEDED = ("ProcedureStepLabel", "ScheduledProcedureStepStartDateTime")
#: What must be there and may be empty (type 2): of the work item, and of the items of its sequences.
_MAY_BE_EMPTY = (
    "TransactionUID ScheduledProcessingParametersSequence ScheduledStationNameCodeSequence"
    " ScheduledStationClassCodeSequence ScheduledStationGeographicLocationCodeSequence ScheduledWorkitemCodeSequence"
    " CommentsOnTheScheduledProcedureStep InputInformationSequence PatientName PatientID IssuerOfPatientID"
    " IssuerOfPatientIDQualifiersSequence OtherPatientIDsSequence PatientBirthDate PatientSex AdmissionID"
    " IssuerOfAdmissionIDSequence AdmittingDiagnosesDescription AdmittingDiagnosesCodeSequence"
    " ReferencedRequestSequence ProcedureStepProgressInformationSequence"
    " UnifiedProcedureStepPerformedProcedureSequence"
).split()
_MAY_BE_EMPTY_IN_ITEMS = {
    "ReferencedRequestSequence": (
        "AccessionNumber IssuerOfAccessionNumberSequence OrderPlacerIdentifierSequence OrderFillerIdentifierSequence"
        " RequestedProcedureID RequestedProcedureDescription RequestedProcedureCodeSequence"
    ).split(),
    "IssuerOfPatientIDQualifiersSequence": (
        "UniversalEntityID IdentifierTypeCode AssigningFacilitySequence AssigningJurisdictionCodeSequence"
        " AssigningAgencyOrDepartmentCodeSequence"
    ).split(),
}


def new_workitem(**attributes: Any) -> dict[str, Any]:
    """Make a work item that a service takes: what must be there and is not given is there and empty.

    Parameters
    ----------
    **attributes
        By keyword, with Python values; a sequence is a list of mappings. ``ProcedureStepLabel`` and
        ``ScheduledProcedureStepStartDateTime`` are needed. Priority is ``"MEDIUM"`` and input ``"READY"`` unless given.

    Returns
    -------
    dict
        DICOM JSON, for `Client.create_workitem` (PS3.4 table CC.2.5-3, types 1 and 2).

    Raises
    ------
    QueryError
        If one of the two is missing, something is no keyword, or a value is none that its VR can have.

    Examples
    --------
    >>> import datetime as dt
    >>> item = new_workitem(
    ...     ProcedureStepLabel="Read chest CT",
    ...     ScheduledProcedureStepStartDateTime=dt.datetime(2024, 1, 15, 10, 30),
    ...     PatientName="Smith^Anna",
    ...     ReferencedRequestSequence=[{"StudyInstanceUID": "1.2.3", "AccessionNumber": "A1"}],
    ... )
    >>> item["00404005"], item["00741000"]["Value"], item["00100040"]
    ({'vr': 'DT', 'Value': ['20240115103000']}, ['SCHEDULED'], {'vr': 'CS'})
    """
    made = data_set_of({**dict.fromkeys(_MAY_BE_EMPTY), **_DEFAULTS, **attributes})
    missing = [keyword for keyword in _NEEDED if not values_of(made, keyword)]
    if missing:
        raise QueryError(f"A work item needs {' and '.join(missing)}.")
    for sequence, keywords in _MAY_BE_EMPTY_IN_ITEMS.items():
        for item in values_of(made, sequence):
            for keyword in keywords:
                known = tags.attribute(keyword)
                item.setdefault(known.tag, {"vr": known.vr})
    return made


def data_set_of(given: Given) -> dict[str, Any]:
    """Turn what a caller gave into DICOM JSON.

    Raises
    ------
    QueryError
        If it is none of the three, something is no keyword, or a value is none that its VR can have. Messages name
        the attribute and what is accepted, not the value.

    Examples
    --------
    >>> data_set_of({"PatientName": "Doe^John", "PatientID": None})
    {'00100010': {'vr': 'PN', 'Value': [{'Alphabetic': 'Doe^John'}]}, '00100020': {'vr': 'LO'}}
    """
    from pydicom import Dataset

    if isinstance(given, Dataset):
        return _from_pydicom(given)
    if isinstance(given, Mapping):
        if given and all(_TAG.fullmatch(str(key)) and _is_json(value) for key, value in given.items()):
            return {str(key).upper(): dict(value) for key, value in given.items()}
        return _from_keywords(given)
    raise QueryError(
        "A pydicom Dataset, DICOM JSON, or a mapping of keywords to values is accepted, not"
        f" {type(given).__name__}."
    )


def values_of(data_set: Mapping[str, Any], keyword: str) -> list[Any]:
    """Give an attribute's values, none where it is missing or empty."""
    found = data_set.get(tags.attribute(keyword).tag)
    listed = found.get("Value") if isinstance(found, Mapping) else None
    return listed if isinstance(listed, list) else []


def private_texts(data_set: Mapping[str, Any]) -> Iterator[str]:
    """Yield the texts that may tell who somebody is: names, and all that describes the patient."""
    for tag, attribute in data_set.items():
        for value in attribute.get("Value") or ():
            if isinstance(value, Mapping) and attribute.get("vr") == "SQ":
                yield from private_texts(value)
            elif isinstance(value, Mapping):
                yield from (str(group) for group in value.values() if group)
            elif isinstance(value, str) and (
                tag.startswith("0010") or attribute.get("vr") in {"SH", "LO", "UI"}
            ):
                yield value


def _is_json(value: Any) -> bool:
    return isinstance(value, Mapping) and "vr" in value


def _from_pydicom(dataset: Dataset) -> dict[str, Any]:
    try:
        return from_dataset(dataset)
    except DecodeError as error:
        raise QueryError(f"The Dataset cannot be sent as JSON. {error}") from None


def _from_keywords(given: Mapping[str, Any]) -> dict[str, Any]:
    made: dict[str, Any] = {}
    for name, value in given.items():
        if not isinstance(name, str):
            raise QueryError("Attributes are named by keyword or eight hex digits.")
        key = tags.attribute(name)
        if key.tag in made:
            raise QueryError(f"{key.column} is given twice, by keyword and by number.")
        made[key.tag] = _attribute(key, value)
    return dict(sorted(made.items()))


def _attribute(key: tags.Attribute, value: Any) -> dict[str, Any]:
    vr = key.vr.split(" or ")[0]
    if vr in tags.BINARY_VRS:
        if not isinstance(value, bytes | None):
            raise QueryError(f"{key.column} (VR {vr}) must be bytes.")
        return {"vr": vr, "InlineBinary": base64.b64encode(value).decode()} if value else {"vr": vr}
    listed = list(value) if _is_list(value) else [value]
    read = [_value(key, vr, each) for each in listed if not (each is None or each == "")]
    return {"vr": vr, "Value": read} if read else {"vr": vr}


def _is_list(value: Any) -> bool:
    return isinstance(value, Sequence) and not isinstance(value, str | bytes)


def _value(key: tags.Attribute, vr: str, value: Any) -> Any:
    if vr == "SQ":
        return data_set_of(value)
    if vr == "PN":
        return person_name(_text(key, str(value)))
    if vr in tags.INTEGER_VRS:
        return int(format_value(key, value))
    if vr in tags.FLOAT_VRS:
        return float(format_value(key, value))
    if vr in _MOMENT_VRS:
        text = format_value(key, value)
        try:
            values.parse(vr, text)
        except ValueError as error:
            raise QueryError(f"{key.column} (VR {vr}): {error}.") from None
        return text
    return format_value(key, value) if vr == "UI" else _text(key, value)


def _text(key: tags.Attribute, value: Any) -> str:
    if not isinstance(value, str):
        raise QueryError(f"{key.column} (VR {key.vr}) must be text, not {type(value).__name__}.")
    return value
