"""Attributes of the DICOM dictionary: keyword, tag, VR and VM (PS3.6), private tags, did-you-mean.

The dictionary is pydicom's; it is loaded at the first look-up, so that importing this module costs nothing.

Examples
--------
>>> attribute("PatientName")
Attribute(tag='00100010', keyword='PatientName', vr='PN', vm='1', name="Patient's Name", retired=False)
>>> attribute("0020000d").keyword
'StudyInstanceUID'
>>> suggest("PatientsName")[0]
'PatientName'
"""

from __future__ import annotations

import difflib
import re
from dataclasses import dataclass
from functools import cache, lru_cache

from dicomframe.errors import QueryError

#: Every value representation of PS3.5 section 6.2.
ALL_VRS = frozenset(
    "AE AS AT CS DA DS DT FD FL IS LO LT OB OD OF OL OV OW PN SH SL SQ SS ST SV TM UC UI UL UN UR US UT UV".split()
)
#: VRs whose values DICOM JSON carries as numbers (PS3.18 table F.2.3-1).
INTEGER_VRS = frozenset({"IS", "SL", "SS", "SV", "UL", "US", "UV"})
FLOAT_VRS = frozenset({"DS", "FD", "FL"})
#: VRs whose values are bytes: InlineBinary or BulkDataURI instead of Value.
BINARY_VRS = frozenset({"OB", "OD", "OF", "OL", "OV", "OW", "UN"})
#: VRs that hold one text in which a backslash is no separator (PS3.5 section 6.2).
SINGLE_TEXT_VRS = frozenset({"LT", "ST", "UR", "UT"})

_HEX_TAG = re.compile(r"\(?\s*([0-9A-Fa-f]{4})\s*,?\s*([0-9A-Fa-f]{4})\s*\)?")


@dataclass(frozen=True, slots=True)
class Attribute:
    """One attribute of the dictionary, or a tag that is in none.

    Parameters
    ----------
    tag : str
        Eight upper-case hex digits, as DICOM JSON has them.
    keyword : str
        The keyword of PS3.6; empty for private, unknown and repeating-group tags.
    vr : str
        The value representation; ``"US or SS"`` and the like where the dictionary leaves a choice, ``"UN"``
        for tags it does not know.
    vm : str
        The value multiplicity as the dictionary writes it: ``"1"``, ``"1-n"``, ``"2-2n"``.
    name : str
        The name of PS3.6.
    retired : bool
        Whether the standard has retired it.
    """

    tag: str
    keyword: str
    vr: str
    vm: str
    name: str
    retired: bool = False

    @property
    def column(self) -> str:
        """The table column's name: the keyword, or the eight hex digits where there is none."""
        return self.keyword or self.tag

    @property
    def is_private(self) -> bool:
        """Whether the group is odd (PS3.5 section 7.8)."""
        return int(self.tag[3], 16) % 2 == 1

    @property
    def is_multiple(self) -> bool:
        """Whether the dictionary allows more than one value."""
        return self.vm != "1"

    @property
    def vr_is_open(self) -> bool:
        """Whether only the data can tell the VR: the dictionary leaves a choice or does not know the tag."""
        return " or " in self.vr or self.name == ""


@cache
def _by_tag() -> dict[str, Attribute]:
    from pydicom.datadict import DicomDictionary

    return {
        f"{number:08X}": Attribute(f"{number:08X}", keyword, vr, vm, name or "Retired-blank", bool(retired))
        for number, (vr, vm, name, retired, keyword) in DicomDictionary.items()
        if vr != "NONE"
    }


@cache
def _by_keyword() -> dict[str, Attribute]:
    return {known.keyword: known for known in _by_tag().values() if known.keyword}


@cache
def _keyword_of_lower_case() -> dict[str, str]:
    return {keyword.lower(): keyword for keyword in _by_keyword()}


@lru_cache(maxsize=65_536)
def from_tag(tag: str) -> Attribute:
    """Give the attribute of eight upper-case hex digits, known or not.

    Repeating groups (overlays 60xx, curves 50xx) take VR and VM from the dictionary but have no keyword here,
    because sixteen tags would share it.

    Examples
    --------
    >>> from_tag("60023000").vr, from_tag("60023000").column
    ('OB or OW', '60023000')
    >>> from_tag("00091001").vr_is_open
    True
    """
    known = _by_tag().get(tag)
    if known is not None:
        return known
    from pydicom.datadict import get_entry

    try:
        vr, vm, name, retired, _ = get_entry(int(tag, 16))
    except KeyError:
        is_creator = int(tag[3], 16) % 2 == 1 and tag[4:6] == "00" and int(tag[6:], 16) >= 0x10
        if is_creator:
            return Attribute(tag, "", "LO", "1", "Private Creator")
        return Attribute(tag, "", "UN", "1-n", "")
    return Attribute(tag, "", vr, vm, name, bool(retired))


def find(name: str) -> Attribute | None:
    """Give the attribute that a keyword or eight hex digits name, or None.

    Keywords are case-sensitive, as they are for the service. ``"00100010"``, ``"0010,0010"`` and
    ``"(0010,0010)"`` are taken in any letter case.
    """
    known = _by_keyword().get(name)
    if known is not None:
        return known
    match = _HEX_TAG.fullmatch(name)
    return from_tag((match[1] + match[2]).upper()) if match else None


def attribute(name: str) -> Attribute:
    """Give the attribute that a keyword or eight hex digits name.

    Raises
    ------
    QueryError
        If it names none; the message suggests the nearest keywords.
    """
    known = find(name)
    if known is None:
        nearest = suggest(name)
        advice = f" Did you mean {' or '.join(map(repr, nearest))}?" if nearest else ""
        raise QueryError(
            f"{name[:64]!r} is no DICOM keyword.{advice} A keyword of PS3.6 or eight hex digits are accepted."
        )
    return known


def suggest(name: str, count: int = 3) -> list[str]:
    """Give the keywords that look most like a misspelt one, best first."""
    by_lower = _keyword_of_lower_case()
    bare = re.sub(r"[^a-z0-9]", "", name.lower())
    if bare in by_lower:
        return [by_lower[bare]]
    return [by_lower[hit] for hit in difflib.get_close_matches(bare, by_lower, n=count, cutoff=0.7)]
