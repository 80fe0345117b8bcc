"""A DICOM JSON object -> a pydicom ``Dataset``, attribute by attribute (PS3.18 annex F).

`dicomjson.to_dataset` is the way in. Nothing of an attribute is dropped in silence: what a data set cannot hold
becomes a `Problem`.
"""

from __future__ import annotations

import base64
import binascii
import re
import struct
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from dicomframe.dicom import values
from dicomframe.dicom.rawvalues import NUMBER_CODES, READERS
from dicomframe.dicom.tags import ALL_VRS, BINARY_VRS, SINGLE_TEXT_VRS, from_tag
from dicomframe.errors import DecodeError

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

_TAG = re.compile(r"[0-9A-Fa-f]{8}")
#: Sequences nested deeper than this are an attack.
_MOST_LEVELS = 64
#: As many characters as a value of DS may have (PS3.5 table 6.2-1).
_MOST_DS_CHARACTERS = 16
#: VRs of fixed-size values, among which no place can stay empty.
_FIXED_SIZE_VRS = frozenset({*NUMBER_CODES, "AT"})


class Problem(NamedTuple):
    """A value that a data set could not keep as the JSON had it.

    Parameters
    ----------
    path : str
        Where: ``"00400275[0].00400007"``, items and values counted from 0.
    vr : str
        The VR it was read by.
    reason : str
        Why, in words, without the value.
    """

    path: str
    vr: str
    reason: str


class JsonReader:
    """Reads objects into data sets.

    Parameters
    ----------
    problems : list
        Gets what could not be kept.
    bulk : callable, optional
        Gives the bytes at an address.
    """

    def __init__(self, problems: list[Problem], bulk: Callable[[str], bytes] | None) -> None:
        self._problems = problems
        self._bulk = bulk

    def data_set(
        self, obj: Mapping[str, Any], inherited: Sequence[str] = ("ascii",), path: str = "", level: int = 0
    ) -> Dataset:
        """Read one object.

        Parameters
        ----------
        obj : mapping
            The object.
        inherited : sequence of str
            Python codecs of the data set around it.
        path : str
            Where it stands, with a dot at the end; empty at the top.
        level : int
            How deep it stands.
        """
        from pydicom.dataset import Dataset, FileMetaDataset

        if level > _MOST_LEVELS:
            raise DecodeError(f"Sequences are nested deeper than {_MOST_LEVELS} levels.")
        ds, meta = Dataset(), FileMetaDataset()
        encodings = _declared_encodings(obj, inherited)
        for key, attribute in sorted(obj.items()):
            here = f"{path}{key[:64]}"
            if not _TAG.fullmatch(key) or not isinstance(attribute, Mapping):
                self._note(here, "", "a tag of eight hex digits with an object behind it is accepted")
            elif key.startswith("0002") and level:
                self._note(here, "", "file meta information is accepted at the top only")
            elif not key.endswith("0000"):  # group lengths are counted anew by whoever writes the data set
                target = meta if key.startswith("0002") else ds
                self._add(target, key.upper(), attribute, encodings, here, level)
        if len(meta):
            ds.file_meta = meta
        if not all(_can_encode(text, encodings) for text in _texts(obj)):
            ds.SpecificCharacterSet = "ISO_IR 192"
            reason = "the declared character set lacks characters of the text: it became ISO_IR 192 (UTF-8)"
            self._note(f"{path}00080005", "CS", reason)
        return ds

    def _note(self, path: str, vr: str, reason: str) -> None:
        self._problems.append(Problem(path, vr, reason))

    def _add(
        self,
        ds: Dataset,
        tag: str,
        attribute: Mapping[str, Any],
        encodings: Sequence[str],
        path: str,
        level: int,
    ) -> None:
        from pydicom.config import IGNORE
        from pydicom.dataelem import DataElement, empty_value_for_VR

        vr = self._vr(tag, attribute, path)
        value: object
        try:
            if vr in BINARY_VRS:
                value = self._binary(attribute)
            elif vr == "SQ":
                value = self._items(attribute, encodings, path, level)
            else:
                value = self._values(vr, attribute, encodings, path)
            value = empty_value_for_VR(vr) if value in (None, "", b"", []) else value
            element = DataElement(int(tag, 16), vr, value, validation_mode=IGNORE)
        except DecodeError:
            raise
        except ValueError as error:
            self._note(path, vr, str(error))
            element = DataElement(int(tag, 16), vr, empty_value_for_VR(vr))
        ds.add(element)

    def _vr(self, tag: str, attribute: Mapping[str, Any], path: str) -> str:
        """Give the VR: the JSON's, else the dictionary's, else one that the values fit."""
        given = attribute.get("vr")
        if isinstance(given, str) and given in ALL_VRS:
            return given
        known = from_tag(tag).vr
        if known in ALL_VRS and known != "UN":
            vr = known
        elif not _listed(attribute):
            vr = "UN"
        elif "US" in known:
            is_signed = any(isinstance(value, int) and value < 0 for value in _listed(attribute))
            vr = "SS" if is_signed and "SS" in known else "US"
        else:
            vr = _vr_that_fits(_listed(attribute))
        if given is not None or known == "UN":
            what = "has no VR" if given is None else "has a VR that PS3.5 does not know"
            self._note(path, vr, f"the attribute {what}; it was read as {vr}")
        return vr

    def _binary(self, attribute: Mapping[str, Any]) -> bytes:
        if _listed(attribute):
            raise ValueError("InlineBinary or BulkDataURI is accepted for this VR, not Value")
        return self._bytes_of(attribute)

    def _bytes_of(self, attribute: Mapping[str, Any]) -> bytes:
        """Give the bytes that stand inline or at an address; none where there is neither."""
        inline = _single(attribute.get("InlineBinary"))
        if inline is not None:
            try:
                return base64.b64decode("".join(inline.split()), validate=True)
            except (AttributeError, ValueError, binascii.Error):
                raise ValueError("InlineBinary is no base64 text") from None
        address = _single(attribute.get("BulkDataURI"))
        if address is None:
            return b""
        if self._bulk is None or not isinstance(address, str):
            raise ValueError("only the address of its bytes is given, and nothing to fetch them with")
        return self._bulk(address)

    def _items(
        self, attribute: Mapping[str, Any], encodings: Sequence[str], path: str, level: int
    ) -> list[Dataset]:
        if "InlineBinary" in attribute or "BulkDataURI" in attribute:
            raise ValueError("items are accepted for a sequence, not bytes")
        items = []
        for at, item in enumerate(_listed(attribute)):
            here = f"{path}[{at}]"
            if item is not None and not isinstance(item, Mapping):
                self._note(here, "SQ", "an item of attributes is accepted; it was left empty")
                item = None  # noqa: PLW2901 - what follows must see the item as it will be
            items.append(self.data_set(item or {}, encodings, f"{here}.", level + 1))
        return items

    def _values(self, vr: str, attribute: Mapping[str, Any], encodings: Sequence[str], path: str) -> object:
        """Give what `DataElement` takes for a VR with values."""
        listed = _listed(attribute)
        content = b"" if listed else self._bytes_of(attribute)
        if content:
            # Any VR may come as bytes where its values are many (PS3.18 section F.2.7).
            try:
                listed = list(READERS[vr](content, "<", encodings))
            except struct.error:
                raise ValueError("its bytes are no whole number of values") from None
        kept = [self._value(vr, raw, f"{path}[{at}]" if at else path) for at, raw in enumerate(listed)]
        if vr in _FIXED_SIZE_VRS and None in kept:
            if any(value is not None for value in kept):
                raise ValueError("no place among its values can stay empty")
            return None
        if vr in SINGLE_TEXT_VRS and len(kept) > 1:
            self._note(path, vr, "the VR holds one text; its values were joined by backslashes")
            return "\\".join(str(value or "") for value in kept)
        texts_or_numbers = ["" if value is None else value for value in kept]
        return texts_or_numbers[0] if len(texts_or_numbers) == 1 else texts_or_numbers

    def _value(self, vr: str, raw: object, path: str) -> Any:
        """Turn one value into what `DataElement` takes; None for null and for what cannot be kept."""
        try:
            if vr == "AT":
                tag = values.parse(vr, raw)
                return None if tag is None else int(tag, 16)
            if vr in _FIXED_SIZE_VRS:
                return values.parse(vr, raw)
            if vr in {"DS", "IS"}:
                return self._number_text(vr, raw, path)
            if vr == "PN":
                return self._person_name(raw, path)
            text = values.parse("LO", raw)  # any text is kept: a data set may hold dirty dates, too
        except ValueError as error:
            self._note(path, vr, str(error))
            return None
        if text is not None and "\\" in text and vr not in SINGLE_TEXT_VRS:
            self._note(path, vr, "a backslash in it separates values in a data set")
        return text

    def _number_text(self, vr: str, raw: object, path: str) -> str | None:
        """Give IS and DS as text: the text that came, digit for digit, or the shortest of a number."""
        number = values.parse("DS", raw)
        if number is None:
            return None
        if isinstance(raw, str):
            return raw.strip(" \0")
        if (
            isinstance(raw, float)
            and (vr == "IS" or len(repr(raw)) > _MOST_DS_CHARACTERS)
            and raw.is_integer()
        ):
            raw = int(raw)
        text = repr(raw)
        if vr == "IS" or len(text) <= _MOST_DS_CHARACTERS:
            return text
        from pydicom.valuerep import format_number_as_ds

        text = format_number_as_ds(number)
        if float(text) != number:
            self._note(path, vr, f"it was rounded to the {_MOST_DS_CHARACTERS} characters that DS has")
        return text

    def _person_name(self, raw: object, path: str) -> str | None:
        name = values.parse("PN", raw)
        if name is None:
            return None
        if any(character in group for group in name for character in "\\="):
            self._note(path, "PN", "a backslash or equals sign in it separates names or groups in a data set")
        return "=".join(name).rstrip("=")


def _listed(attribute: Mapping[str, Any]) -> list[Any]:
    value = attribute.get("Value")
    return value if isinstance(value, list) else [] if value is None else [value]


def _single(value: Any) -> Any:
    """Take the first of a list: PS3.18 section F.4 itself once showed InlineBinary in one."""
    return (value[0] if value else None) if isinstance(value, list) else value


def _vr_that_fits(listed: Sequence[object]) -> str:
    """Give a VR that can hold values of which nothing else is known."""
    first = next((value for value in listed if value is not None), None)
    if isinstance(first, Mapping):
        return "PN" if {"Alphabetic", "Ideographic", "Phonetic"} & set(first) else "SQ"
    if isinstance(first, bool) or not isinstance(first, int | float | str):
        return "UN"
    return "UC" if isinstance(first, str) else "FD" if isinstance(first, float) else "SV"


def _declared_encodings(obj: Mapping[str, Any], inherited: Sequence[str]) -> Sequence[str]:
    """Give the Python codecs of Specific Character Set (0008,0005); unknown terms have none."""
    declared = obj.get("00080005")
    if not isinstance(declared, Mapping):
        return inherited
    from pydicom.charset import python_encoding

    terms = [str(term or "").strip() for term in _listed(declared)] or [""]
    is_default = {"", "ISO_IR 6", "ISO 2022 IR 6"}
    codecs = ["ascii" if term in is_default else python_encoding.get(term) for term in terms]
    return [codec for codec in codecs if codec is not None]


def _texts(obj: Mapping[str, Any]) -> Iterator[str]:
    """Yield the texts of an object that are more than ASCII, those of its items excepted."""
    for attribute in obj.values():
        for value in _listed(attribute) if isinstance(attribute, Mapping) else ():
            groups = value.values() if isinstance(value, Mapping) else (value,)
            yield from (group for group in groups if isinstance(group, str) and not group.isascii())


def _can_encode(text: str, encodings: Sequence[str]) -> bool:
    """Tell whether each character is in one of the character sets; code extensions can switch between them."""
    return all(any(_has(codec, character) for codec in encodings) for character in set(text))


def _has(codec: str, character: str) -> bool:
    try:
        character.encode(codec)
    except UnicodeEncodeError:
        return False
    return True
