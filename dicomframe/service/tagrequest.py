"""What a request wants done with extended query tags, read strictly: which tags to add, or which one is meant."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, Final

from dicomframe.dicom import tags
from dicomframe.dicom.paths import Level
from dicomframe.service.attributes import MODALITIES_FILTER, SEARCHABLE
from dicomframe.service.faults import Fault, bad_request
from dicomframe.service.validation import reason_against

#: VRs whose values can be searched.
SUPPORTED_VRS: Final = tuple("AE AS CS DA DS DT FD FL IS LO PN SH SL SS TM UI UL US".split())
LEVEL_NAMES: Final[dict[Level, str]] = {"study": "Study", "series": "Series", "instance": "Instance"}

_LEVELS: Final = {name.lower(): level for level, name in LEVEL_NAMES.items()}
_HEX: Final = re.compile(r"[0-9A-Fa-f]{8}")
_TAKEN: Final = ("path", "vr", "privatecreator", "level")
#: A tag that was listed may be sent back to add it again; what the service says of it is passed over.
_PASSED_OVER: Final = {"status", "querystatus", "errors", "operation"}
_CORE: Final = {attribute.tag.decode() for attribute in (*SEARCHABLE, MODALITIES_FILTER) if attribute.is_core}
_SHAPE: Final = (
    '{"path": keyword or eight hex digits, "level": "Study", "Series" or "Instance", "vr", "privateCreator"}'
)


@dataclass(frozen=True, slots=True)
class NewTag:
    """A tag that is to be added."""

    path: str
    vr: str
    creator: str
    level: Level


def path_of(name: str) -> str:
    """Give the eight hex digits of a keyword or of hex digits.

    Raises
    ------
    Fault
        400 if it is neither.
    """
    if _HEX.fullmatch(name):
        return name.upper()
    known = tags.find(name) if name.isalnum() else None
    if known is None:
        near = ", ".join(tags.suggest(name)) if name.isascii() and name.isalnum() else ""
        raise bad_request(
            f"{name[:64]!r} is no attribute{f' (did you mean {near}?)' if near else ''}; a case-sensitive keyword or"
            " eight hex digits are accepted.",
            "InvalidTagPath",
        )
    return known.tag


def read_new_tags(body: Any, *, strict: bool) -> list[NewTag]:
    """Read the body of a POST.

    Parameters
    ----------
    body : JSON
        An array of objects; a single object, as the user's reference shows it, unless strict.
    strict : bool
        Whether only what the real service takes is taken.

    Raises
    ------
    Fault
        400 if anything in it is not accepted; the message says what is.
    """
    if isinstance(body, dict) and not strict:
        body = [body]
    if not isinstance(body, list) or not body:
        raise bad_request(f"The body must be an array of one or more tags: [{_SHAPE}].", "InvalidBody")
    found = [_new_tag(each, strict=strict) for each in body]
    paths = [tag.path for tag in found]
    doubled = next((path for path in paths if paths.count(path) > 1), None)
    if doubled is not None:
        raise bad_request(f"{_name(doubled)} is in the body twice; once is accepted.", "DuplicateTag")
    return found


def read_query_status(body: Any) -> bool:
    """Read the body of a PATCH: whether the tag may be searched.

    Raises
    ------
    Fault
        400 if it is anything but that.
    """
    given = {str(name).lower(): value for name, value in body.items()} if isinstance(body, dict) else {}
    status = given.get("querystatus")
    if set(given) != {"querystatus"} or str(status).lower() not in {"enabled", "disabled"}:
        raise bad_request(
            'The body must be {"queryStatus": "Enabled"} or {"queryStatus": "Disabled"}.', "InvalidBody"
        )
    return str(status).lower() == "enabled"


def _new_tag(entry: Any, *, strict: bool) -> NewTag:
    if not isinstance(entry, dict):
        raise bad_request(f"Each tag must be an object: {_SHAPE}.", "InvalidBody")
    given = {name.lower(): value for name, value in entry.items() if value is not None}
    unknown = sorted(given.keys() - set(_TAKEN) - _PASSED_OVER)
    if unknown:
        raise bad_request(f"A tag has no {unknown[0][:64]!r}; its shape is {_SHAPE}.", "InvalidBody")
    if any(not isinstance(given.get(name, ""), str) for name in _TAKEN):
        raise bad_request(f"A tag's path, level, vr and privateCreator are texts: {_SHAPE}.", "InvalidBody")
    if not given.get("path", "").strip():
        raise bad_request(f"A tag needs its path: {_SHAPE}.", "InvalidBody")
    path = path_of(given["path"].strip())
    if path in _CORE:
        raise _refused(path, "is always searchable; it need not be added", "AlreadySearchable")
    level = _LEVELS.get(given.get("level", "").strip().lower())
    if level is None:
        raise _refused(path, "needs its level: Study, Series or Instance", "InvalidLevel")
    creator = _creator(path, given.get("privatecreator", "").strip())
    return NewTag(path, _vr(path, given.get("vr", "").strip().upper(), strict=strict), creator, level)


def _creator(path: str, creator: str) -> str:
    known = tags.from_tag(path)
    if not known.is_private or known.name:
        # A private creator's own element, (gggg,00bb), belongs to nobody either.
        if creator:
            raise _refused(
                path, "is no private attribute and takes no privateCreator", "InvalidPrivateCreator"
            )
        return ""
    if not creator:
        raise _refused(path, "is private and needs its privateCreator", "InvalidPrivateCreator")
    if reason_against("LO", creator):
        raise _refused(path, "needs a privateCreator of at most 64 characters (LO)", "InvalidPrivateCreator")
    return creator


def _vr(path: str, vr: str, *, strict: bool) -> str:
    known = tags.from_tag(path)
    supported = [each for each in SUPPORTED_VRS if each != "DS" or not strict]
    if vr and vr not in tags.ALL_VRS:
        raise _refused(path, f"has a vr that is none; supported are {', '.join(supported)}", "InvalidVr")
    allowed = known.vr.split(" or ") if known.name else [vr]
    if vr and vr not in allowed:
        raise _refused(path, f"is of VR {known.vr}, not {vr}; leave the vr out", "InvalidVr")
    chosen = vr or next((each for each in allowed if each in supported), allowed[0])
    if not chosen:
        raise _refused(
            path, f"is in no dictionary and needs its vr, one of {', '.join(supported)}", "InvalidVr"
        )
    if chosen not in supported:
        raise _refused(
            path,
            f"is of VR {chosen}, which cannot be searched; supported are {', '.join(supported)}",
            "UnsupportedVr",
        )
    return chosen


def _name(path: str) -> str:
    keyword = tags.from_tag(path).keyword
    return f"{keyword} ({path})" if keyword else path


def _refused(path: str, reason: str, code: str) -> Fault:
    return bad_request(f"{_name(path)} {reason}.", code)
