"""Which attributes the service searches and answers, by level and API version; how their values are compared.

The tables here are the conformance statement's. A study's, series' and instance's row in the index is made from
the stored metadata by `Row.of`, and only there.
"""

from __future__ import annotations

import math
import re
import struct
import unicodedata
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Literal, NamedTuple, Self

import orjson

from dicomframe.dicom.paths import Level
from dicomframe.service.metadata import SEPARATOR, Pieces
from dicomframe.service.moments import date_time_bounds
from dicomframe.service.validation import is_date, is_time

ApiVersion = Literal["v1", "v2"]
#: A value in the form in which it is compared.
Comparable = str | int | float
API_VERSIONS: Final[tuple[ApiVersion, ...]] = ("v1", "v2")
LEVELS: Final[tuple[Level, ...]] = ("study", "series", "instance")

STUDY_UID: Final = b"0020000D"
SERIES_UID: Final = b"0020000E"
INSTANCE_UID: Final = b"00080018"
PATIENT_ID: Final = b"00100020"
MODALITIES_IN_STUDY: Final = b"00080061"
STUDY_INSTANCES: Final = b"00201208"
SERIES_INSTANCES: Final = b"00201209"
#: Not in any file: computed from the index when asked for by name.
COMPUTED: Final[dict[bytes, Level]] = {
    MODALITIES_IN_STUDY: "study",
    STUDY_INSTANCES: "study",
    SERIES_INSTANCES: "series",
}


@dataclass(frozen=True, slots=True)
class Searchable:
    """An attribute that a search may filter by.

    Parameters
    ----------
    tag : bytes
        Eight hex digits.
    keyword, vr : str
        From the dictionary.
    level : str
        Whose rows it belongs to.
    column : str
        Its column in the index; person names have two more, see `NAME_COLUMNS`.
    is_core : bool
        Whether the real service searches it; the others are those that the reference shows beyond that.
    extended : int
        The key of the extended query tag that it is, 0 where it is none. The values of tags stand in a table of their
        own, in columns that are named as if ``column`` were ``value``.
    """

    tag: bytes
    keyword: str
    vr: str
    level: Level
    column: str
    is_core: bool = True
    extended: int = 0


SEARCHABLE: Final = (
    Searchable(STUDY_UID, "StudyInstanceUID", "UI", "study", "uid"),
    Searchable(b"00100010", "PatientName", "PN", "study", "patient_name"),
    Searchable(PATIENT_ID, "PatientID", "LO", "study", "patient_id"),
    Searchable(b"00100030", "PatientBirthDate", "DA", "study", "patient_birth_date"),
    Searchable(b"00080050", "AccessionNumber", "SH", "study", "accession_number"),
    Searchable(b"00080090", "ReferringPhysicianName", "PN", "study", "referring_physician_name"),
    Searchable(b"00080020", "StudyDate", "DA", "study", "study_date"),
    Searchable(b"00081030", "StudyDescription", "LO", "study", "study_description"),
    Searchable(b"00080030", "StudyTime", "TM", "study", "study_time", is_core=False),
    Searchable(b"00200010", "StudyID", "SH", "study", "study_id", is_core=False),
    Searchable(SERIES_UID, "SeriesInstanceUID", "UI", "series", "uid"),
    Searchable(b"00080060", "Modality", "CS", "series", "modality"),
    Searchable(b"00400244", "PerformedProcedureStepStartDate", "DA", "series", "procedure_start_date"),
    Searchable(b"00081090", "ManufacturerModelName", "LO", "series", "manufacturer_model_name"),
    Searchable(b"00200011", "SeriesNumber", "IS", "series", "series_number", is_core=False),
    Searchable(b"0008103E", "SeriesDescription", "LO", "series", "series_description", is_core=False),
    Searchable(INSTANCE_UID, "SOPInstanceUID", "UI", "instance", "uid"),
)
#: Filters a study by any of its series; it has no column of its own.
MODALITIES_FILTER: Final = Searchable(MODALITIES_IN_STUDY, "ModalitiesInStudy", "CS", "study", "modality")

#: The columns beside a person name's own: its ideographic and phonetic groups, and the words of all groups.
NAME_COLUMNS: Final = ("{}_groups", "{}_words")


def _tags(text: str) -> frozenset[bytes]:
    return frozenset(text.encode().split())


#: What a search answers when it is not asked for more.
DEFAULT_ANSWER: Final[dict[tuple[ApiVersion, Level], frozenset[bytes]]] = {
    ("v1", "study"): _tags(
        "00080005 00080020 00080030 00080050 00080056 00080090 00080201 00100010 00100020 00100030 00100040"
        " 0020000D 00200010"
    ),
    ("v2", "study"): _tags("00080020 00080050 00080090 00081030 00100010 00100020 00100030 0020000D"),
    ("v1", "series"): _tags("00080005 00080060 00080201 0008103E 0020000E 00400244 00400245 00400275"),
    ("v2", "series"): _tags("00080060 00081090 0020000E 00400244"),
    ("v1", "instance"): _tags(
        "00080005 00080016 00080018 00080056 00080201 00200013 00280008 00280010 00280011 00280100"
    ),
    ("v2", "instance"): _tags("00080018"),
}
#: What ``includefield=all`` adds to it. The fields that only v2 answers by default are among them: all is all.
ALL_ANSWER: Final[dict[Level, frozenset[bytes]]] = {
    "study": _tags(
        "00080005 00080030 00080056 00080063 00080201 00081032 00081060 00081080 00081110 00100040 00101010 00101020"
        " 00101030 00102180 001021B0 00200010 00081030"
    ),
    "series": _tags(
        "00080005 00080201 00200011 00200060 00080021 00080031 0008103E 00400245 00400275 00081090"
    ),
    "instance": _tags("00080005 00080016 00080056 00080201 00200013 00280008 00280010 00280011 00280100"),
}


def fold_text(text: str) -> str:
    """Bring text to the form in which it is compared: without case, with accents, without padding."""
    return unicodedata.normalize("NFC", text.rstrip(" \0").lstrip(" ")).casefold()


def fold_name(text: str) -> str:
    """Bring a person name to the form in which it is compared: without case, accents and empty end components.

    Examples
    --------
    >>> fold_name("Müller^Anna^^^")
    'muller^anna'
    """
    bare = unicodedata.normalize("NFKD", text.rstrip(" \0^"))
    return "".join(char for char in bare if not unicodedata.combining(char)).strip(" ").casefold()


def words_of(folded_name: str) -> list[str]:
    """Give the words of a folded person name, for fuzzy matching."""
    return re.findall(r"\w+", folded_name)


def time_number(text: str) -> int | None:
    """Give a TM value as a number that sorts: HHMMSSFFFFFF; parts left out count as zero."""
    if not is_time(text):
        return None
    whole, _, fraction = text.partition(".")
    return int(whole.ljust(6, "0") + fraction.ljust(6, "0"))


def comparable(vr: str, text: str) -> Comparable | None:
    """Bring one value to the form that its index column holds; None where it has none."""
    bare = text.strip(" \0")
    if not bare:
        return None
    return _COMPARABLE.get(vr, fold_text)(bare)


def _date_number(text: str) -> int | None:
    return int(text) if is_date(text) else None


def _whole_number(text: str) -> int | None:
    return int(text) if re.fullmatch(r"[+-]?[0-9]{1,12}", text) else None


def _number(text: str) -> float | None:
    if not re.fullmatch(r"[+-]?([0-9]+(\.[0-9]*)?|\.[0-9]+)([eE][+-]?[0-9]+)?", text):
        return None
    number = float(text)
    return number if math.isfinite(number) else None


def _single_precision(text: str) -> float | None:
    """Give what single precision holds of a number, so that 0.1 finds the FL value that was written as 0.1."""
    number = _number(text)
    try:
        return None if number is None else float(struct.unpack("f", struct.pack("f", number))[0])
    except OverflowError:
        return None


def _date_time_number(text: str) -> int | None:
    bounds = date_time_bounds(text)
    return None if bounds is None else bounds[0]


#: VRs whose values are compared as numbers.
WHOLE_NUMBER_VRS: Final = frozenset({"IS", "SL", "SS", "UL", "US"})
NUMBER_VRS: Final = WHOLE_NUMBER_VRS | {"DS", "FD", "FL"}

_COMPARABLE: dict[str, Callable[[str], Comparable | None]] = {
    **dict.fromkeys(WHOLE_NUMBER_VRS, _whole_number),
    "CS": str.upper,
    "DA": _date_number,
    "DS": _number,
    "DT": _date_time_number,
    "FD": _number,
    "FL": _single_precision,
    "PN": fold_name,
    "TM": time_number,
    "UI": str,
}


class Row(NamedTuple):
    """One study, series or instance as the index keeps it."""

    columns: dict[str, Comparable | None]
    answers: tuple[bytes, ...]

    @classmethod
    def of(cls, level: Level, pieces: Pieces) -> Self:
        """Make the row of one level from an instance's metadata.

        Parameters
        ----------
        level : str
            The level.
        pieces : dict
            From `metadata.Description.pieces` or `metadata.pieces_of`.

        Returns
        -------
        Row
            `answers` holds, for each of `API_VERSIONS`, the default answer's attributes without braces.
        """
        columns: dict[str, Comparable | None] = {}
        for attribute in _SEARCHABLE_AT[level]:
            columns |= columns_of(attribute.vr, attribute.column, first_value(pieces, attribute.tag))
        answers = tuple(
            SEPARATOR.join(pieces[tag] for tag in wanted if tag in pieces)
            for wanted in _SORTED_ANSWERS[level]
        )
        return cls(columns, answers)

    def keeping(self, level: Level, older: Row) -> Row:
        """Give this row with the older one's values of searched attributes that this one has none of.

        What is missing, empty or invalid in a later instance takes nothing away from its study or series.
        """
        kept: dict[str, Comparable | None] = {}
        tags: set[bytes] = set()
        for attribute in _SEARCHABLE_AT[level]:
            columns = _column_names(attribute.vr, attribute.column)
            if attribute.is_core and all(self.columns[name] is None for name in columns):
                kept |= {name: older.columns[name] for name in columns}
                tags.add(attribute.tag)
        if all(value is None for value in kept.values()):
            return self
        answers = tuple(
            _with_pieces(new, old, tags) for new, old in zip(self.answers, older.answers, strict=True)
        )
        return Row(self.columns | kept, answers)


def first_value(pieces: Pieces, tag: bytes) -> object:
    """Give an attribute's first value from the metadata, None where there is none."""
    piece = pieces.get(tag)
    if piece is None:
        return None
    values = orjson.loads(b"{%b}" % piece)[tag.decode()].get("Value")
    return values[0] if values else None


def _column_names(vr: str, name: str) -> tuple[str, ...]:
    return (name, *(pattern.format(name) for pattern in NAME_COLUMNS)) if vr == "PN" else (name,)


def columns_of(vr: str, name: str, value: object) -> dict[str, Comparable | None]:
    """Give the index's columns for one value of DICOM JSON: one, or three for a person name."""
    if vr != "PN":
        return {name: None if value is None else comparable(vr, str(value))}
    groups = value if isinstance(value, dict) else {}
    folded = [fold_name(groups.get(group, "")) for group in ("Alphabetic", "Ideographic", "Phonetic")]
    other = "".join(f"={group}" for group in folded[1:] if group)
    words = [word for group in folded for word in words_of(group)]
    more = (f"{other}=" if other else None, " " + " ".join(words) if words else None)
    return dict(zip(_column_names(vr, name), (folded[0] or None, *more), strict=True))


def _with_pieces(target: bytes, source: bytes, tags: set[bytes]) -> bytes:
    """Give an answer with some attributes taken from another answer, as far as that has them."""
    by_tag = {piece[1:9]: piece for piece in target.split(SEPARATOR) if piece}
    by_tag |= {piece[1:9]: piece for piece in source.split(SEPARATOR) if piece[1:9] in tags}
    return SEPARATOR.join(by_tag[key] for key in sorted(by_tag))


_SEARCHABLE_AT = {
    level: [attribute for attribute in SEARCHABLE if attribute.level == level] for level in LEVELS
}
_SORTED_ANSWERS = {
    level: [sorted(DEFAULT_ANSWER[version, level]) for version in API_VERSIONS] for level in LEVELS
}
