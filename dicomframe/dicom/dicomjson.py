"""A pydicom ``Dataset`` <-> a DICOM JSON object (PS3.18 annex F).

Both directions bear what real files and servers hold. `from_dataset` reads the bytes that pydicom has not converted
yet itself, which makes it many times as quick as ``Dataset.to_json_dict``. `to_dataset` takes what
``Dataset.from_json`` raises on, and tells what it could not keep.

How `from_dataset` departs from pydicom, each time towards the standard: an empty sequence has no ``Value``, empty
values among others are null, empty component groups of a name are left out, group lengths are left out, numbers
that are not finite are words (JSON has no number for them).

Examples
--------
>>> ds = to_dataset({"00100010": {"vr": "PN", "Value": [{"Alphabetic": "Smith^Anna"}]}})
>>> str(ds.PatientName)
'Smith^Anna'
>>> from_dataset(ds)
{'00100010': {'vr': 'PN', 'Value': [{'Alphabetic': 'Smith^Anna'}]}}
"""

from __future__ import annotations

import base64
import struct
from array import array
from collections.abc import Callable, Mapping, MutableSequence, Sequence
from typing import TYPE_CHECKING, Any, Literal

from dicomframe.dicom.jsonreader import JsonReader, Problem
from dicomframe.dicom.rawvalues import PADDING, READERS, JsonValue, number_of_text, person_name
from dicomframe.dicom.tags import ALL_VRS, BINARY_VRS, INTEGER_VRS, from_tag
from dicomframe.dicom.values import format_float
from dicomframe.errors import DecodeError

if TYPE_CHECKING:
    from pydicom.dataelem import DataElement, RawDataElement
    from pydicom.dataset import Dataset

__all__ = ["BulkAddress", "Path", "Problem", "from_dataset", "to_dataset"]

#: Where an element stands: tags as eight hex digits, and item numbers from 0 between them.
Path = tuple[str | int, ...]
#: Gives the address of an element's bytes, or None to have them inline. The element may still be raw; ``tag``,
#: ``VR`` and ``value`` are there in either case.
BulkAddress = Callable[["DataElement | RawDataElement", Path], "str | None"]

_JsonObject = dict[str, Any]
_PIXEL_REPRESENTATION = 0x00280103
#: What encapsulated pixel data begins with (PS3.5 section A.4).
_ITEM = b"\xfe\xff\x00\xe0"
#: `array` codes of the words that a big-endian data set holds the other way round.
_WORD_CODES = {"OW": "H", "OF": "I", "OL": "I", "OD": "Q", "OV": "Q"}


def from_dataset(ds: Dataset, *, bulk: Literal["drop", "inline"] | BulkAddress = "inline") -> _JsonObject:
    """Turn a data set into a DICOM JSON object.

    Parameters
    ----------
    ds : pydicom.Dataset
        Its file meta information (group 0002) is not part of the JSON.
    bulk : {"drop", "inline"} or callable
        What becomes of OB, OD, OF, OL, OV, OW and UN: left out, as the service does in metadata; base64, in little
        endian byte order; or the address that ``bulk(element, path)`` gives (None: inline).

    Returns
    -------
    dict
        Plain JSON, text in Unicode, attributes in ascending order. ``SpecificCharacterSet`` is kept as it is stored,
        although JSON itself is always UTF-8.

    Raises
    ------
    DecodeError
        If a sequence is damaged, or an element that was set by hand holds what its VR cannot have.

    Examples
    --------
    >>> from pydicom import Dataset
    >>> ds = Dataset()
    >>> ds.Rows, ds.ImagePositionPatient = 512, ["0", "-1.50", "2e2"]
    >>> from_dataset(ds)
    {'00200032': {'vr': 'DS', 'Value': [0, -1.5, 200.0]}, '00280010': {'vr': 'US', 'Value': [512]}}
    """
    return _Writer(bulk).data_set(ds, (), signed=False)


def to_dataset(
    obj: Mapping[str, Any],
    *,
    problems: list[Problem] | None = None,
    bulk: Callable[[str], bytes] | None = None,
) -> Dataset:
    """Turn a DICOM JSON object into a data set, as far as it can be.

    What the JSON lacks is made good: a missing VR comes from the dictionary, a single value stands for a list, a
    person name may be plain text. Numbers given as text (IS, DS) keep their text. Where the declared character set
    lacks a character, it becomes UTF-8, so that the data set can be written.

    Parameters
    ----------
    obj : mapping
        One object, with eight hex digits as keys.
    problems : list, optional
        Gets a `Problem` for each value that could not be kept as it was. Its place in a list then stays empty.
    bulk : callable, optional
        Gives the bytes at a BulkDataURI. Without it such an attribute is empty, and a problem.

    Raises
    ------
    DecodeError
        If it is no object at all, or nested deeper than any data set.

    Examples
    --------
    >>> problems = []
    >>> ds = to_dataset({"00280010": {"Value": ["512"]}, "00280011": {"vr": "US", "Value": [-1]}}, problems=problems)
    >>> ds.Rows, ds.Columns
    (512, None)
    >>> problems
    [Problem(path='00280011', vr='US', reason='it lies outside 0 to 65535, the range of US')]
    """
    if not isinstance(obj, Mapping):
        raise DecodeError(f"A DICOM JSON object is needed, not {type(obj).__name__}.")
    return JsonReader([] if problems is None else problems, bulk).data_set(obj)


class _Writer:
    def __init__(self, bulk: Literal["drop", "inline"] | BulkAddress) -> None:
        self._bulk_rule = bulk

    def data_set(self, ds: Dataset, path: Path, *, signed: bool) -> _JsonObject:
        encodings = _encodings(ds)
        signed = _is_signed(ds, inherited=signed)
        written: _JsonObject = {}
        for tag, element in list(ds.items()):
            if tag & 0xFFFF == 0:
                continue  # group lengths are left out (PS3.18 section F.2.2)
            name = "%08X" % tag  # noqa: UP031 - half the time of an f-string for pydicom's tags
            if element.is_raw:
                attribute = self._raw(ds, name, element, encodings, path, signed)
            else:
                attribute = self._converted(ds, name, element, path, signed)
            if attribute is not None:
                written[name] = attribute
        names = sorted(written)
        return written if names == list(written) else {name: written[name] for name in names}

    def _raw(
        self, ds: Dataset, name: str, element: Any, encodings: Sequence[str], path: Path, signed: bool
    ) -> _JsonObject | None:
        """Write an element that pydicom has not converted yet, from its bytes."""
        content = element.value or b""
        vr = element.VR
        if vr is None or vr == "UN":
            vr = _known_vr(ds, name)
        if len(vr) > 2:
            vr = _chosen_vr(vr, content, signed)
        reader = READERS.get(vr)
        if vr == "SQ" or (element.value is None and element.length):  # a sequence, or bytes left in the file
            return self._converted(ds, name, _convert(ds, name), path, signed)
        if reader is None:
            if vr not in ALL_VRS:
                vr = "UN"  # of a later edition of the standard than pydicom's
            if not element.is_little_endian:
                content = _swapped(vr, content)
            return self._bytes(name, vr, content, element, path)
        try:
            values = reader(content, "<" if element.is_little_endian else ">", encodings)
        except struct.error:
            return self._bytes(name, "UN", content, element, path)
        return {"vr": vr, "Value": values} if content and values != [None] else {"vr": vr}

    def _converted(
        self, ds: Dataset, name: str, element: Any, path: Path, signed: bool
    ) -> _JsonObject | None:
        """Write an element that holds Python values."""
        value: Any = element.value
        vr = str(element.VR)
        if len(vr) > 2:
            vr = _chosen_vr(vr, value, signed)
        if vr == "SQ":
            items = [
                self.data_set(item, (*path, name, at), signed=signed) for at, item in enumerate(value or ())
            ]
            return {"vr": "SQ", "Value": items} if items else {"vr": "SQ"}
        if vr in BINARY_VRS:
            if value is not None and not isinstance(value, bytes):
                raise DecodeError(f"{name} has VR {vr} and must hold bytes, not {type(value).__name__}.")
            if ds.original_encoding[1] is False:
                value = _swapped(vr, value or b"")
            return self._bytes(name, vr, value or b"", element, path)
        several = isinstance(value, MutableSequence | tuple)
        try:
            values = [_json_value(vr, one) for one in (value if several else [value])]
        except (TypeError, ValueError, OverflowError):
            raise DecodeError(f"{name} holds a value that its VR {vr} cannot have.") from None
        return {"vr": vr, "Value": values} if values not in ([], [None]) else {"vr": vr}

    def _bytes(
        self, name: str, vr: str, content: bytes, element: DataElement | RawDataElement, path: Path
    ) -> _JsonObject | None:
        if self._bulk_rule == "drop":
            return None
        if not content:
            return {"vr": vr}
        address = None if self._bulk_rule == "inline" else self._bulk_rule(element, (*path, name))
        if address is not None:
            return {"vr": vr, "BulkDataURI": address}
        return {"vr": vr, "InlineBinary": base64.b64encode(content).decode("ascii")}


def _encodings(ds: Dataset) -> Sequence[str]:
    """Give the Python codecs of the bytes in a data set; one that was made by hand has none, and needs none."""
    found = ds.original_character_set
    if not found and any(element.is_raw for element in ds.values()):
        from pydicom.charset import convert_encodings

        found = convert_encodings(ds.get("SpecificCharacterSet"))
    return [found] if isinstance(found, str) else found


def _is_signed(ds: Dataset, *, inherited: bool) -> bool:
    """Tell what "US or SS" means here: items follow the data set around them (PS3.3 section C.7.6.3.1)."""
    return bool(ds[_PIXEL_REPRESENTATION].value) if _PIXEL_REPRESENTATION in ds else inherited


def _known_vr(ds: Dataset, name: str) -> str:
    """Give the dictionary's VR of an element that was read without one; it may be a choice."""
    from pydicom.datadict import private_dictionary_VR

    known = from_tag(name)
    if not known.is_private or known.vr != "UN":
        return known.vr
    tag = int(name, 16)
    creator = ds.get(tag & 0xFFFF0000 | tag >> 8 & 0xFF) if tag & 0xFF00 else None
    try:
        return private_dictionary_VR(tag, str(creator.value)) if creator is not None else "UN"
    except KeyError:
        return "UN"


def _chosen_vr(choices: str, value: object, signed: bool) -> str:
    """Decide between the VRs that the dictionary leaves open, as PS3.5 annex A does."""
    is_binary = isinstance(value, bytes) and len(value) > 2
    if "US" not in choices or (is_binary and "OW" in choices):
        return "OB" if isinstance(value, bytes) and value.startswith(_ITEM) else "OW"
    return "SS" if signed and "SS" in choices else "US"


def _convert(ds: Dataset, name: str) -> DataElement:
    """Let pydicom convert an element; what it stumbles over is damage."""
    try:
        return ds[int(name, 16)]
    except (ValueError, TypeError, KeyError, OSError, NotImplementedError, RecursionError, struct.error):
        raise DecodeError(f"The sequence or value of {name} is damaged.") from None


def _swapped(vr: str, content: bytes) -> bytes:
    """Turn words of a big-endian data set round: JSON has no transfer syntax to say so."""
    code = _WORD_CODES.get(vr)
    if code is None or len(content) % array(code).itemsize:
        return content
    words = array(code, content)
    words.byteswap()
    return words.tobytes()


def _json_value(vr: str, value: Any) -> JsonValue:
    if value is None:
        return None
    if vr in {"IS", "DS"}:
        return number_of_text(str(value))
    if vr in INTEGER_VRS:
        return int(value)
    if vr in {"FL", "FD"}:
        return format_float(float(value))
    if vr == "AT":
        return f"{int(value):08X}"
    text = str(value)
    return person_name(text) if vr == "PN" else text.rstrip(PADDING) or None
