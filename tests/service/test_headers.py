"""Headers read from bytes: pydicom is the oracle; hostile bytes end in a DecodeError and nothing else."""

from __future__ import annotations

import json
import struct
import warnings
import zlib
from pathlib import Path

import pydicom
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom.data import get_testdata_files

from dicomframe.errors import DecodeError
from dicomframe.service.header import read_header
from dicomframe.service.metadata import describe, pieces_of
from dicomframe.service.validation import reason_against

BULK = set("OB OD OF OL OV OW UN".split())
FILES = sorted(path for path in map(Path, get_testdata_files()) if path.is_file())


def comparable(data_set):
    """What both sides must agree on: no bulk, no group lengths, padding and empty values aside."""
    return {
        tag: (element["vr"], values)
        for tag, element in data_set.items()
        if element["vr"] not in BULK and not tag.endswith("0000")
        for values in [[plain(element["vr"], value) for value in element.get("Value") or []]]
        for values in [values if any(value is not None for value in values) else []]
    }


def plain(vr, value):
    if isinstance(value, dict) and vr == "SQ":
        return comparable(value)
    if isinstance(value, dict):
        return {name: text.strip(" \0") for name, text in value.items() if text} or None
    if isinstance(value, str):
        return value.strip(" \0") or None
    return float(value) if vr in {"DS", "IS", "FL", "FD"} and value is not None else value


def test_metadata_equals_pydicoms():
    compared = 0
    for path in FILES:
        try:
            header = read_header(path.read_bytes())
        except DecodeError:
            continue
        found = describe(header, drop_invalid=False)
        mine = json.loads(found.json())
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            theirs = pydicom.dcmread(path).to_json_dict(
                bulk_data_threshold=1 << 40, suppress_invalid_tags=True
            )
        mine, theirs = comparable(mine), comparable(json.loads(json.dumps(theirs)))
        if header.implicit:
            theirs = {tag: value for tag, value in theirs.items() if int(tag[3], 16) % 2 == 0}
        # What pydicom refuses to convert, it leaves out; UN of private tags may be a sequence to it.
        invalid = {f"{problem.tag:08X}" for problem in found.problems}
        left_out = {
            tag for tag, (vr, _) in mine.items() if tag not in theirs and (vr == "SQ" or tag in invalid)
        }
        private = {tag for tag in theirs if tag not in mine and int(tag[3], 16) % 2}
        assert {tag: value for tag, value in mine.items() if tag not in left_out} == {
            tag: value for tag, value in theirs.items() if tag not in private
        }, path.name
        assert len(left_out | private) <= 4
        compared += 1
    assert compared > 220


def test_pieces_are_the_attributes(dicom):
    stored = describe(read_header(dicom(StudyDescription="a,\nb\\c")), drop_invalid=False).json()
    pieces = pieces_of(stored)
    assert json.loads(b"{%b}" % b",".join(pieces.values())) == json.loads(stored)
    assert list(pieces) == [tag.encode() for tag in json.loads(stored)]
    assert pieces_of(b"{}") == {}


CUT = "CT_small MR_small_implicit MR_small_bigendian rtplan image_dfl JPEG2000 UN_sequence SC_rgb_rle_2frame".split()


@pytest.mark.parametrize("name", CUT)
def test_no_cut_goes_unnoticed(name):
    """Every prefix is refused, or is a shorter file of whole elements."""
    data = next(path for path in FILES if path.stem == name).read_bytes()
    whole = read_header(data).elements
    for cut in sorted({*range(132, min(len(data), 3000), 13), len(data) - 9, len(data) - 1}):
        try:
            part = read_header(data[:cut]).elements
        except DecodeError:
            continue
        assert part == dict(list(whole.items())[: len(part)])
        assert len(part) < len(whole) or cut >= len(data) - 9


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=300))
def test_random_bytes(body):
    for last in (b"\0", b".1\0", b".2\0", b".1.99"):
        syntax = b"1.2.840.10008.1.2" + last
        meta = b"\x02\x00\x10\x00UI" + struct.pack("<H", len(syntax)) + syntax
        try:
            header = read_header(bytes(128) + b"DICM" + meta + body)
        except DecodeError:
            continue
        json.loads(describe(header, drop_invalid=True).json())


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_damaged_files(dicom, data):
    """Real structure with bytes overwritten: read or refused, and always JSON."""
    file = bytearray(
        dicom(raw={"00081140": ("SQ", [{"00081150": ("UI", "1.2")}, {"00081155": ("UI", "1.3")}])})
    )
    for _ in range(data.draw(st.integers(1, 4))):
        file[data.draw(st.integers(132, len(file) - 1))] = data.draw(st.integers(0, 255))
    try:
        header = read_header(bytes(file))
    except DecodeError:
        return
    json.loads(describe(header, drop_invalid=False).json())


def test_a_small_file_cannot_grow_without_end(monkeypatch):
    monkeypatch.setattr("dicomframe.service.header._ALWAYS_INFLATED", 1 << 20)
    deflater = zlib.compressobj(wbits=-15)
    packed = deflater.compress(bytes(1 << 22)) + deflater.flush()
    syntax = b"1.2.840.10008.1.2.1.99"
    meta = b"\x02\x00\x10\x00UI" + struct.pack("<H", len(syntax)) + syntax
    with pytest.raises(DecodeError, match="grows past"):
        read_header(bytes(128) + b"DICM" + meta + packed)
    with pytest.raises(DecodeError, match="cut off"):
        read_header(bytes(128) + b"DICM" + meta + packed[:100])


def test_nesting_has_a_limit():
    body = b""
    for _ in range(80):
        item = struct.pack("<HHL", 0xFFFE, 0xE000, len(body)) + body
        body = struct.pack("<HH", 8, 0x1140) + b"SQ\0\0" + struct.pack("<L", len(item)) + item
    meta = b"\x02\x00\x10\x00UI\x14\x001.2.840.10008.1.2.1\0"
    with pytest.raises(DecodeError, match="nested deeper"):
        read_header(bytes(128) + b"DICM" + meta + body)


@pytest.mark.parametrize(
    ("vr", "good", "bad"),
    [
        ("AE", ["STORE_SCP", "a" * 16], ["a" * 17, "a\nb"]),
        ("AS", ["042Y", "003M"], ["42Y", "042y", "0042Y"]),
        ("CS", ["CT", "A_1 B"], ["ct", "A-B", "A" * 17]),
        ("DA", ["20240229", "00010101"], ["20230229", "2023", "2023-01-01", "20231301"]),
        ("DS", ["1", "-1.5e-3", ".5", "1.", " 2"], ["1,5", "x", "1" * 17, "1e", "--1"]),
        ("DT", ["2024", "20240229101530.123456+0100"], ["24", "20241301", "20240101+9900"]),
        ("IS", ["12", "-2147483648", "+7"], ["1.0", "2147483648", "a", "0" * 13]),
        ("LO", ["a" * 64, "é"], ["a" * 65, "a\tb"]),
        ("LT", ["a\r\nb", "x" * 10_240], ["x" * 10_241, "a\0b"]),
        ("PN", ["A^B^C^D^E=F=G", ""], ["a" * 65, "A^B^C^D^E^F", "a=b=c=d", "a\nb"]),
        ("SH", ["a" * 16], ["a" * 17]),
        ("ST", ["a\nb"], ["a" * 1025]),
        ("TM", ["10", "1015", "101530", "235960.999999"], ["1", "24", "1060", "10:15", "101530."]),
        ("UI", ["1.2.3", "0.01"], ["1.2.", "a", "1" * 65]),
        ("UT", ["anything\0"], []),
    ],
)
def test_rules_of_each_vr(vr, good, bad):
    for value in good:
        assert reason_against(vr, value) == ""
        assert reason_against(vr, value + "\0") == ""
    for value in bad:
        assert reason_against(vr, value).startswith("must")


def test_more_elements_and_items_than_any_object_has(monkeypatch):
    from dicomframe.service import header

    head = FILES[0].read_bytes()[:132] + bytes.fromhex("0200100055491400")
    head += b"1.2.840.10008.1.2.1\0"
    empty = bytes.fromhex("feff00e000000000")

    def sequence(count):
        items = empty * count
        return head + bytes.fromhex("40007502") + b"SQ\0\0" + struct.pack("<L", len(items)) + items

    monkeypatch.setattr(header, "_MOST_NODES", 1000)
    assert len(read_header(sequence(900)).elements[0x00400275].value) == 900
    with pytest.raises(DecodeError, match="more than 1000 elements"):
        read_header(sequence(1100))
    # The same within what is read as implicit, and in elements without values.
    unknown = sequence(1100).replace(b"SQ\0\0", b"UN\0\0")
    with pytest.raises(DecodeError, match="more than 1000 elements"):
        read_header(unknown)
    elements = b"".join(struct.pack("<HH", 0x0011, number) + b"LO\0\0" for number in range(1100))
    with pytest.raises(DecodeError, match="more than 1000 elements"):
        read_header(head + elements)
