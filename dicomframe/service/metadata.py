"""A header's elements as DICOM JSON (PS3.18 annex F), value by value, with what is wrong about each.

The JSON is made as bytes, one piece an attribute, because bytes are what is stored and sent: metadata and
search answers are joins of pieces. Pieces are joined by `SEPARATOR`, which cannot occur within one.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Container, Iterable
from dataclasses import dataclass, field

import orjson

from dicomframe.dicom.tags import SINGLE_TEXT_VRS
from dicomframe.service.charset import codec_of, decode
from dicomframe.service.header import Elements, Header, Raw
from dicomframe.service.validation import reason_against

#: Between the attributes of one object: legal JSON, and never inside an attribute, where line ends are escaped.
SEPARATOR = b",\n"

_CHARACTER_SET = 0x00080005
_PIXEL_REPRESENTATION = 0x00280103
#: VRs whose text the Specific Character Set governs (PS3.5 section 6.1.2.3).
_IN_CHARACTER_SET = frozenset("LO LT PN SH ST UC UT".split())
_NUMBERS = {"FD": "d", "FL": "f", "SL": "i", "SS": "h", "SV": "q", "UL": "I", "US": "H", "UV": "Q"}
_JSON_NUMBER = re.compile(r"-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?")
_GROUPS = ("Alphabetic", "Ideographic", "Phonetic")

Values = list[str | int | float]
Pieces = dict[bytes, bytes]


@dataclass(frozen=True, slots=True)
class Problem:
    """One value that its VR does not allow, of the data set itself or of a sequence item in it."""

    tag: int
    reason: str
    is_nested: bool = False

    def __str__(self) -> str:
        return f"({self.tag >> 16:04x},{self.tag & 0xFFFF:04x}) - The value {self.reason}."


@dataclass(slots=True)
class Description:
    """A data set as the service keeps it.

    Parameters
    ----------
    pieces : dict
        Eight hex digits -> ``"ggggeeee":{"vr":...}``, both as bytes, top level only.
    values : dict
        Tag number -> values of the top level's attributes that are no sequences; text is without padding
        spaces, with its nulls; IS and DS are text.
    problems : list of Problem
        What is wrong, in file order.
    """

    pieces: Pieces = field(default_factory=dict)
    values: dict[int, Values] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)

    def text(self, tag: int) -> str:
        """Give an attribute's first value as text, empty where there is none."""
        values = self.values.get(tag)
        return str(values[0]) if values else ""

    def drop_invalid(self, keep: Container[int]) -> None:
        """Take away the top level's element of each tag that a problem names.

        A bad nested element, too, takes away the top level's element of the same tag; the real service does
        that. The tags in `keep` stay.
        """
        for problem in self.problems:
            if problem.tag not in keep:
                self.pieces.pop(b"%08X" % problem.tag, None)

    def json(self) -> bytes:
        """Give the data set as one DICOM JSON object."""
        return b"{" + SEPARATOR.join(self.pieces[tag] for tag in sorted(self.pieces)) + b"}"


def describe(header: Header, *, drop_invalid: bool) -> Description:
    """Turn a header into DICOM JSON without bulk values and group lengths.

    Parameters
    ----------
    header : Header
        From `read_header`.
    drop_invalid : bool
        Whether values that their VR does not allow are left out, as from v2 on.
    """
    found = Description()
    describer = _Describer(header, found.problems, drop_invalid)
    describer.data_set(header.elements, codec_of([]), found.pieces, found.values)
    return found


def pieces_of(stored: bytes) -> Pieces:
    r"""Take the JSON of `Description.json` apart: eight hex digits -> piece.

    Examples
    --------
    >>> pieces_of(b'{"00080060":{"vr":"CS"},\n"00100010":{"vr":"PN"}}')[b"00100010"]
    b'"00100010":{"vr":"PN"}'
    """
    inner = stored[1:-1]
    return {piece[1:9]: piece for piece in inner.split(SEPARATOR)} if inner else {}


def piece_of(tag: int, vr: str, values: Iterable[object] = ()) -> bytes:
    """Write one attribute of text or whole numbers."""
    listed = list(values)
    value = b',"Value":' + orjson.dumps(listed) if listed else b""
    return b'"%08X":{"vr":"%b"%b}' % (tag, vr.encode(), value)


class _Describer:
    def __init__(self, header: Header, problems: list[Problem], drop_invalid: bool) -> None:
        self._order = ">" if header.big_endian else "<"
        self._implicit = header.implicit
        self._problems = problems
        self._drop_invalid = drop_invalid
        self._depth = 0

    def data_set(self, elements: Elements, codec: str, pieces: Pieces, values: dict[int, Values]) -> None:
        declared = elements.get(_CHARACTER_SET)
        if declared is not None and isinstance(declared.value, bytes):
            codec = codec_of(_split(declared.value.decode("latin_1")))
        signed = elements.get(_PIXEL_REPRESENTATION)
        is_signed = signed is not None and signed.value in {b"\1\0", b"\0\1"}
        for tag, raw in elements.items():
            if raw.value is None or tag & 0xFFFF == 0 or (self._implicit and tag >> 16 & 1):
                continue  # bulk, group length (PS3.18 F.2.2), and private ones that only a dictionary could read
            if isinstance(raw.value, list):
                items = [self._item(item, codec) for item in raw.value]
                value = b',"Value":[%b]' % b",".join(items) if items else b""
                name = b"%08X" % tag
                pieces[name] = b'"%b":{"vr":"SQ"%b}' % (name, value)
            else:
                self._element(tag, _settled(raw, is_signed), codec, pieces, values)

    def _item(self, item: Elements, codec: str) -> bytes:
        pieces: Pieces = {}
        self._depth += 1
        self.data_set(item, codec, pieces, {})
        self._depth -= 1
        return b"{%b}" % b",".join(pieces.values())

    def _element(self, tag: int, raw: Raw, codec: str, pieces: Pieces, values: dict[int, Values]) -> None:
        vr, content = raw.vr, raw.value
        assert isinstance(content, bytes)  # noqa: S101 - for mypy: sequences and bulk were dealt with
        if vr in _NUMBERS or vr == "AT":
            read, reason = self._numbers(vr, content)
        else:
            read, reason = _texts(vr, content, codec)
        if reason:
            self._problems.append(Problem(tag, reason, is_nested=self._depth > 0))
            if self._drop_invalid:
                return
        values[tag] = read
        value = b',"Value":[%b]' % _json_values(vr, read) if read else b""
        name = b"%08X" % tag
        pieces[name] = b'"%b":{"vr":"%b"%b}' % (name, vr.encode(), value)

    def _numbers(self, vr: str, content: bytes) -> tuple[Values, str]:
        code = "HH" if vr == "AT" else _NUMBERS[vr]
        size = struct.calcsize(f"{self._order}{code}")
        if len(content) % size:
            return [], f"must be a multiple of {size} bytes long"
        numbers = struct.iter_unpack(f"{self._order}{code}", content)
        if vr == "AT":
            return [f"{group:04X}{element:04X}" for group, element in numbers], ""
        return [number for (number,) in numbers], ""


def _settled(raw: Raw, is_signed: bool) -> Raw:
    if " or " not in raw.vr:
        return raw
    return Raw("SS" if is_signed else "US", raw.value)


def _split(text: str) -> list[str]:
    return [part.strip(" \0") for part in text.split("\\")]


def _texts(vr: str, content: bytes, codec: str) -> tuple[Values, str]:
    if vr in _IN_CHARACTER_SET:
        text, whole = decode(content, codec)
    else:
        text, whole = content.decode("latin_1"), True
    padding = " \0" if vr == "UI" else " "
    split = [text] if vr in SINGLE_TEXT_VRS else text.split("\\")
    parts = [part.rstrip(padding) for part in split]
    if parts == [""]:
        return [], ""
    reason = next(filter(None, (reason_against(vr, part) for part in parts)), "")
    return list(parts), reason or ("" if whole else "must be text of the declared character set")


def _json_values(vr: str, values: Values) -> bytes:
    if vr in {"DS", "IS"}:
        return b",".join(_json_number(str(value)) for value in values)
    if vr == "PN":
        return b",".join(_json_name(str(value)) for value in values)
    if vr in {"FD", "FL"}:
        return b",".join(map(_json_float, values))
    return orjson.dumps([None if value == "" else value for value in values])[1:-1]


def _json_number(text: str) -> bytes:
    """Write IS and DS as numbers, digit for digit where JSON allows it; what is no number stays text."""
    bare = text.strip(" \0")
    if _JSON_NUMBER.fullmatch(bare):
        return bare.encode()
    if not bare:
        return b"null"
    try:
        number = float(bare)
    except ValueError:
        return orjson.dumps(text)
    return _json_float(number) if not bare.lstrip("+-").isdigit() else str(int(bare)).encode()


def _json_float(number: object) -> bytes:
    # JSON has no NaN and no infinities; as text they are at least not lost.
    text = orjson.dumps(number)
    return text if text != b"null" else orjson.dumps(str(number))


def _json_name(text: str) -> bytes:
    groups = {name: group for name, group in zip(_GROUPS, text.split("="), strict=False) if group.strip(" ")}
    return orjson.dumps(groups) if groups else b"null"
