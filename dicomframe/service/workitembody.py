"""Reading the body of a work item request: an array of one data set in DICOM JSON (PS3.18 annex F), strictly.

The service keeps work items as JSON and writes no DICOM file of them, so what comes in is judged here or nowhere.
Messages name an attribute and what it may be, never its value.
"""

from __future__ import annotations

import base64
import re
from typing import Any, Final

from dicomframe.dicom import tags
from dicomframe.dicom.multipart import MediaType
from dicomframe.service.call import Call
from dicomframe.service.faults import Fault, bad_request, unsupported_media_type
from dicomframe.service.negotiation import DICOM_JSON
from dicomframe.service.validation import reason_against

#: One data set: eight upper-case hex digits -> ``{"vr": ..., "Value": [...]}``.
DataSet = dict[str, dict[str, Any]]

_TAG: Final = re.compile(r"[0-9A-Fa-f]{8}")
_GROUPS: Final = ("Alphabetic", "Ideographic", "Phonetic")
_MOST_LEVELS: Final = 16
_RANGES: Final = {
    "SL": (-(2**31), 2**31 - 1),
    "SS": (-(2**15), 2**15 - 1),
    "SV": (-(2**63), 2**63 - 1),
    "UL": (0, 2**32 - 1),
    "US": (0, 2**16 - 1),
    "UV": (0, 2**64 - 1),
}


async def read_data_set(call: Call) -> DataSet:
    """Read the one data set of a request's body.

    Raises
    ------
    Fault
        415 if the Content-Type is another, 413 if the body is too large, 400 if it is no array of one data set or
        something in that is malformed.
    """
    if MediaType.parse(call.header(b"content-type") or "").type != DICOM_JSON:
        raise unsupported_media_type(
            f"The body of a work item request must have the Content-Type {DICOM_JSON}."
        )
    body = await call.json()
    if not isinstance(body, list) or len(body) != 1 or not isinstance(body[0], dict):
        raise bad_request(
            "The body must be a JSON array of exactly one data set: [{...}], or [{}] where nothing is to be said.",
            "InvalidDataSet",
        )
    return _data_set(body[0], "", 0)


def values_of(data_set: DataSet, tag: str) -> list[Any]:
    """Give an attribute's values, none where it is missing or empty."""
    return list(data_set.get(tag, {}).get("Value", ()))


def text_of(data_set: DataSet, tag: str) -> str:
    """Give an attribute's first value as text without padding, empty where there is none."""
    values = values_of(data_set, tag)
    return str(values[0]).strip(" \0") if values and values[0] is not None else ""


def name_of(tag: str) -> str:
    """Give an attribute's keyword and number, as messages name it."""
    keyword = tags.from_tag(tag).keyword
    number = f"({tag[:4]},{tag[4:]})"
    return f"{keyword} {number}" if keyword else number


def _data_set(given: dict[str, Any], path: str, level: int) -> DataSet:
    if level > _MOST_LEVELS:
        raise _refused(path, f"is nested deeper than {_MOST_LEVELS} sequences")
    read: DataSet = {}
    for key, attribute in given.items():
        if not _TAG.fullmatch(key) or key.startswith("0002"):
            raise bad_request(
                f"Attributes are named by eight hex digits outside group 0002; {path or 'the data set'} has another"
                " key.",
                "InvalidDataSet",
            )
        tag = key.upper()
        if tag in read:
            raise _refused(f"{path}{name_of(tag)}", "is given twice")
        read[tag] = _attribute(tag, attribute, f"{path}{name_of(tag)}", level)
    return dict(sorted(read.items()))


def _attribute(tag: str, attribute: Any, path: str, level: int) -> dict[str, Any]:
    if not isinstance(attribute, dict) or attribute.get("vr") not in tags.ALL_VRS:
        raise _refused(path, 'must be an object with a VR: {"vr": ..., "Value": [...]}')
    vr = str(attribute["vr"])
    known = tags.from_tag(tag)
    accepted = known.vr.split(" or ")
    if known.name and not known.is_private and vr not in accepted:
        raise _refused(path, f"must have the VR {' or '.join(accepted)}")
    unknown = attribute.keys() - {"vr", "Value", "InlineBinary"}
    if unknown or {"Value", "InlineBinary"} <= attribute.keys():
        raise _refused(
            path, "may hold either Value or InlineBinary beside its vr; a BulkDataURI is not accepted"
        )
    if vr in tags.BINARY_VRS:
        return _binary(attribute, vr, path)
    values = attribute.get("Value", [])
    if not isinstance(values, list) or "InlineBinary" in attribute:
        raise _refused(path, "must hold its values in an array named Value")
    if all(value is None for value in values):
        return {"vr": vr}
    read = [
        _value(vr, value, f"{path}[{at}]" if vr == "SQ" else path, level) for at, value in enumerate(values)
    ]
    return {"vr": vr, "Value": read}


def _binary(attribute: dict[str, Any], vr: str, path: str) -> dict[str, Any]:
    inline = attribute.get("InlineBinary", "")
    if "Value" in attribute or not _is_base64(inline):
        raise _refused(path, "must hold base64 named InlineBinary")
    return {"vr": vr, "InlineBinary": inline} if inline else {"vr": vr}


def _is_base64(inline: Any) -> bool:
    try:
        base64.b64decode(inline, validate=True)
    except (ValueError, TypeError):
        return False
    return isinstance(inline, str)


def _value(vr: str, value: Any, path: str, level: int) -> Any:
    if vr == "SQ":
        if not isinstance(value, dict):
            raise _refused(path, "must be a data set, because it is an item of a sequence")
        return _data_set(value, f"{path}.", level + 1)
    if value is None:
        return None
    reason = _reason_against(vr, value)
    if reason:
        raise _refused(path, reason)
    return value


def _reason_against(vr: str, value: Any) -> str:
    if vr in _RANGES or vr in {"FL", "FD"}:
        return _reason_against_number(vr, value)
    if vr == "PN":
        return _reason_against_name(value)
    if vr in {"DS", "IS"} and _is_number(value):
        return "" if vr == "DS" else reason_against("IS", repr(value))
    if not isinstance(value, str):
        return "must hold text"
    if vr == "AT":
        return "" if _TAG.fullmatch(value) else "must hold tags of eight hex digits"
    return reason_against(vr, value)


def _reason_against_number(vr: str, value: Any) -> str:
    if vr not in _RANGES:
        return "" if _is_number(value) else "must hold numbers"
    low, high = _RANGES[vr]
    is_fit = _is_number(value) and isinstance(value, int) and low <= value <= high
    return "" if is_fit else f"must hold whole numbers from {low} to {high}"


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _reason_against_name(value: Any) -> str:
    if (
        not isinstance(value, dict)
        or value.keys() - set(_GROUPS)
        or not all(isinstance(group, str) and "=" not in group for group in value.values())
    ):
        return f"must hold person names as objects of {', '.join(_GROUPS)}"
    return reason_against("PN", "=".join(value.get(group, "") for group in _GROUPS).rstrip("="))


def _refused(path: str, reason: str) -> Fault:
    return bad_request(
        "The data set of the work item is invalid.",
        "InvalidDataSet",
        [("InvalidAttribute", f"{path} {reason}.")],
    )
