"""The bytes of one data element -> its values as DICOM JSON has them (PS3.5 section 6.2, PS3.18 section F.2.3).

The quick half of `dicomjson.from_dataset`: no pydicom object is made for a value. Nothing here raises for dirty
text: a number that is none stays text, bytes that the character set does not have become U+FFFD.
"""

from __future__ import annotations

import math
import re
import struct
from collections.abc import Callable, Sequence
from decimal import Decimal

from dicomframe.dicom.tags import SINGLE_TEXT_VRS
from dicomframe.dicom.values import format_float

JsonValue = str | int | float | dict[str, str] | None
#: (value field, byte order as `struct` writes it, Python codecs of the character sets) -> JSON values.
Reader = Callable[[bytes, str, Sequence[str]], list[JsonValue]]

#: `struct` codes of the VRs with binary numbers.
NUMBER_CODES = {"FD": "d", "FL": "f", "SL": "i", "SS": "h", "SV": "q", "UL": "I", "US": "H", "UV": "Q"}

#: Spaces pad text, a null pads UIDs (PS3.5 section 6.2); both are met behind either.
PADDING = " \0"

_ESCAPE = b"\x1b"
_WHOLE = re.compile(r"[+-]?[0-9]{1,15}")
_DECIMAL = re.compile(r"[+-]?([0-9]+(\.[0-9]*)?|\.[0-9]+)([eE][+-]?[0-9]+)?")
_GROUPS = ("Alphabetic", "Ideographic", "Phonetic")


def decode(value: bytes, encodings: Sequence[str]) -> str:
    """Decode text of a data set.

    Parameters
    ----------
    value : bytes
        A value field, its backslashes included.
    encodings : sequence of str
        Python codecs of Specific Character Set (0008,0005), as ``pydicom.charset.convert_encodings`` gives them.

    Examples
    --------
    >>> decode("Müller".encode("latin-1"), ["iso8859"])
    'Müller'
    """
    if _ESCAPE in value:
        from pydicom.charset import decode_bytes
        from pydicom.valuerep import TEXT_VR_DELIMS

        return decode_bytes(value, encodings, TEXT_VR_DELIMS)
    if value.isascii():
        # In every character set of PS3.3 C.12.1.1.2, ASCII without escapes is ASCII.
        return value.decode("ascii")
    try:
        return value.decode(encodings[0])
    except (UnicodeDecodeError, LookupError):
        return value.decode("utf-8", "replace")


def number_of_text(text: str) -> JsonValue:
    """Turn one value of IS or DS into a JSON number; text that is none, or that a number would round, stays text.

    PS3.18 section F.2.3 allows both forms for these VRs.

    Examples
    --------
    >>> [number_of_text(text) for text in ("012", " 1.50", "2.5e3", "9007199254740993.0", "n/a", "")]
    [12, 1.5, 2500.0, '9007199254740993.0', 'n/a', None]
    """
    bare = text.strip(PADDING)
    if _WHOLE.fullmatch(bare):
        return int(bare)
    if not bare:
        return None
    if not _DECIMAL.fullmatch(bare):
        return bare
    number = float(bare)
    if len(bare) > 15 and (math.isinf(number) or Decimal(repr(number)) != Decimal(bare)):
        return bare
    return number


def person_name(text: str) -> JsonValue:
    """Turn one person name into its object of non-empty component groups (PS3.18 section F.2.2).

    Examples
    --------
    >>> person_name("Yamada^Tarou=山田^太郎")
    {'Alphabetic': 'Yamada^Tarou', 'Ideographic': '山田^太郎'}
    """
    groups = zip(_GROUPS, text.rstrip(PADDING).split("=", 2), strict=False)
    return {name: group for name, group in groups if group} or None


def _texts(value: bytes, _order: str, encodings: Sequence[str]) -> list[JsonValue]:
    return [part.rstrip(PADDING) or None for part in decode(value, encodings).split("\\")]


def _paragraphs(value: bytes, _order: str, encodings: Sequence[str]) -> list[JsonValue]:
    return [decode(value, encodings).rstrip(PADDING) or None]


def _ascii(value: bytes, _order: str, _encodings: Sequence[str]) -> list[JsonValue]:
    # Latin-1 takes every byte, so that nothing is lost of dirty ones.
    return [part.rstrip(PADDING) or None for part in value.decode("latin-1").split("\\")]


def _application_entities(value: bytes, _order: str, _encodings: Sequence[str]) -> list[JsonValue]:
    return [part.strip(PADDING) or None for part in value.decode("latin-1").split("\\")]


def _uris(value: bytes, _order: str, _encodings: Sequence[str]) -> list[JsonValue]:
    return [value.decode("latin-1").rstrip(PADDING) or None]


def _number_texts(value: bytes, _order: str, _encodings: Sequence[str]) -> list[JsonValue]:
    return [number_of_text(part) for part in value.decode("latin-1").split("\\")]


def _person_names(value: bytes, _order: str, encodings: Sequence[str]) -> list[JsonValue]:
    return [person_name(part) for part in decode(value, encodings).split("\\")]


def _tags(value: bytes, order: str, _encodings: Sequence[str]) -> list[JsonValue]:
    return [f"{group:04X}{element:04X}" for group, element in struct.iter_unpack(f"{order}HH", value)]


def _binary_numbers(code: str) -> Reader:
    size = struct.calcsize(f"<{code}")

    def read(value: bytes, order: str, _encodings: Sequence[str]) -> list[JsonValue]:
        numbers = struct.unpack(f"{order}{len(value) // size}{code}", value)
        return [format_float(number) for number in numbers] if code in "fd" else list(numbers)

    return read


#: By VR; each raises `struct.error` where the length does not fit the VR.
READERS: dict[str, Reader] = {
    **dict.fromkeys(("AS", "CS", "DA", "DT", "TM", "UI"), _ascii),
    **dict.fromkeys(("LO", "SH", "UC"), _texts),
    **dict.fromkeys(SINGLE_TEXT_VRS - {"UR"}, _paragraphs),
    **dict.fromkeys(("DS", "IS"), _number_texts),
    **{vr: _binary_numbers(code) for vr, code in NUMBER_CODES.items()},
    "AE": _application_entities,
    "AT": _tags,
    "PN": _person_names,
    "UR": _uris,
}
