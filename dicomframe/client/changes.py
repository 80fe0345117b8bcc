"""The new values of a bulk update: checked before anything is sent, and written as DICOM JSON (PS3.18 annex F)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import date, datetime, time, timedelta
from numbers import Integral, Real
from typing import Any, Final

from dicomframe.dicom import tags, values
from dicomframe.errors import QueryError

#: What the service updates: patient identification and demographics without sequences, and three of general study.
UPDATABLE: Final = (
    "PatientName", "PatientID", "TypeOfPatientID", "OtherPatientIDs", "OtherPatientNames", "PatientBirthName",
    "PatientMotherBirthName", "MedicalRecordLocator",
    "PatientAge", "PatientBirthDate", "PatientBirthTime", "PatientSex", "PatientSize", "PatientWeight",
    "PatientAddress", "PatientTelephoneNumbers", "PatientComments", "PatientReligiousPreference",
    "PatientSpeciesDescription", "PatientBreedDescription", "BreedRegistrationNumber", "QualityControlSubject",
    "Occupation", "EthnicGroup", "MilitaryRank", "BranchOfService", "CountryOfResidence", "RegionOfResidence",
    "ConfidentialityConstraintOnPatientDataDescription",
    "ResponsiblePerson", "ResponsiblePersonRole", "ResponsibleOrganization",
    "ReferringPhysicianName", "AccessionNumber", "StudyDescription",
)  # fmt: skip

_LONGEST: Final = {"CS": 16, "DS": 16, "LO": 64, "LT": 10_240, "SH": 16}
_LONGEST_NAME_GROUP: Final = 64
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f\\]")
_CONTROL_IN_PARAGRAPHS: Final = re.compile(r"[\x00-\x08\x0b\x0e-\x1f\x7f]")


def change_dataset(attributes: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Write new values as the data set that the service takes.

    Parameters
    ----------
    attributes : mapping
        Keyword, or eight hex digits, to the new value; a list where the attribute has several.

    Raises
    ------
    QueryError
        If there is none, or an attribute is unknown, cannot be updated, or does not allow its value. The message
        names the attribute and what is accepted, never the value.

    Examples
    --------
    >>> from datetime import date
    >>> change_dataset({"PatientBirthDate": date(1980, 2, 3), "PatientName": "New^Name"})["00100030"]
    {'vr': 'DA', 'Value': ['19800203']}
    """
    if not attributes:
        raise QueryError("Give at least one attribute with its new value: PatientName='New^Name'.")
    return dict(_attribute(name, value) for name, value in attributes.items())


def _attribute(name: str, value: Any) -> tuple[str, dict[str, Any]]:
    known = tags.attribute(name)
    if known.keyword not in UPDATABLE:
        raise QueryError(f"{known.column} cannot be updated. What can: {', '.join(UPDATABLE)}.")
    several = (
        list(value)
        if isinstance(value, list | tuple) and not isinstance(value, values.PersonName)
        else [value]
    )
    if not several:
        raise _nothing(known)
    if len(several) > 1 and not known.is_multiple:
        raise QueryError(f"{known.keyword} has one value only.")
    return known.tag, {"vr": known.vr, "Value": [_value(known, each) for each in several]}


def _value(known: tags.Attribute, value: Any) -> Any:
    if _is_nothing(value):
        raise _nothing(known)
    written = _WRITERS[known.vr](value) if known.vr in _WRITERS else _text(known.vr, value)
    if written is None:
        raise QueryError(f"{known.keyword} (VR {known.vr}) takes {_ACCEPTED[known.vr]}.")
    return written


def _nothing(known: tags.Attribute) -> QueryError:
    return QueryError(f"{known.keyword} cannot be updated to nothing: the service never takes a value away.")


def _is_nothing(value: Any) -> bool:
    """Whether it is None, blank, or NaN, NaT or NA, which are unlike themselves."""
    if value is None or (isinstance(value, str) and not value.strip(" \0^=")):
        return True
    try:
        return bool(value != value)  # noqa: PLR0124
    except TypeError:  # pandas' NA has no truth value
        return True


def _text(vr: str, value: Any) -> str | None:
    forbidden = _CONTROL_IN_PARAGRAPHS if vr == "LT" else _CONTROL
    if not isinstance(value, str) or len(value) > _LONGEST[vr] or forbidden.search(value):
        return None
    return value


def _code(value: Any) -> str | None:
    return value if isinstance(value, str) and re.fullmatch(r"[A-Z0-9 _]{1,16}", value) else None


def _age(value: Any) -> str | None:
    return value if isinstance(value, str) and re.fullmatch(r"[0-9]{3}[DWMY]", value) else None


def _name(value: Any) -> dict[str, str] | None:
    try:
        name = values.parse("PN", value)
    except ValueError:
        return None
    for group in name:
        if len(group) > _LONGEST_NAME_GROUP or group.count("^") > 4 or _CONTROL.search(group):
            return None
    written: dict[str, str] = values.format("PN", name)
    return written or None


def _date(value: Any) -> str | None:
    value = _python_moment(value)
    if isinstance(value, str):
        try:
            value = date.fromisoformat(value.strip())
        except ValueError:
            return None
    return str(values.format("DA", value)) if isinstance(value, date) else None


def _time(value: Any) -> str | None:
    value = _python_moment(value)
    if isinstance(value, datetime):
        value = value.time()
    if isinstance(value, time):
        value = timedelta(
            hours=value.hour, minutes=value.minute, seconds=value.second, microseconds=value.microsecond
        )
    if isinstance(value, timedelta):
        return values.format_time(value) if timedelta(0) <= value < timedelta(days=1) else None
    try:
        return values.format_time(values.parse("TM", value)) if isinstance(value, str) else None
    except ValueError:
        return None


def _python_moment(value: Any) -> Any:
    """Make Python's own of numpy's dates and times."""
    return value.item() if type(value).__module__ == "numpy" and hasattr(value, "item") else value


def _decimal(value: Any) -> float | int | None:
    if type(value).__name__ in {"bool", "bool_"}:
        return None
    if isinstance(value, str):
        try:
            value = values.parse("DS", value)
        except ValueError:
            return None
    if not isinstance(value, Real):
        return None
    number = int(value) if isinstance(value, Integral) else float(value)
    return number if len(repr(number)) <= _LONGEST["DS"] and "inf" not in repr(number) else None


_WRITERS: Final[dict[str, Any]] = {
    "AS": _age, "CS": _code, "DA": _date, "DS": _decimal, "PN": _name, "TM": _time,
}  # fmt: skip
_ACCEPTED: Final = {
    "AS": "three digits and one of D, W, M and Y, like 042Y",
    "CS": "1 to 16 upper-case letters, digits, spaces and underscores",
    "DA": "a date, or text like 2024-01-15 or 20240115",
    "DS": "a number that is written in at most 16 characters",
    "LO": "text of at most 64 characters without backslashes and control characters",
    "LT": "text of at most 10240 characters",
    "PN": "a name like Family^Given, each of its up to three groups of at most 64 characters and five components",
    "SH": "text of at most 16 characters without backslashes and control characters",
    "TM": "a time, or text like 10:30 or 103000",
}
