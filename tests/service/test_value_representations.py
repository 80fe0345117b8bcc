"""Every VR of PS3.5 table 6.2-1: what a store takes as it is and what it warns of; pydicom's second opinion."""

from __future__ import annotations

import struct
import warnings

import pytest
from pydicom.config import RAISE
from pydicom.valuerep import VALIDATORS, validate_value

from dicomframe.dicom.tags import ALL_VRS, BINARY_VRS

LONG = "x" * 2000

#: VR -> an attribute that is not searched, values that are allowed, values that are not. Of bulk VRs the bytes are not
#: looked at, and two bytes, the least that a file can hold, are a whole SS or US.
TABLE: dict[str, tuple[str, list[str | bytes], list[str | bytes]]] = {
    "AE": ("00080054", ["AET", " AET ", "A" * 16, "A\\B", ""], ["A" * 17, "A\nB", "A\x01"]),
    "AS": ("00101010", ["018M", "042Y", "001D", "012W", ""], ["42Y", "0042Y", "042y", "042", "42 years"]),
    "AT": ("00280009", [b"\x18\x00\x63\x10", b"\x18\x00\x63\x10" * 2, b""], [b"\x18\x00", b"\x18\x00\x63\x10\x00\x00"]),
    "CS": ("00080008", ["ORIGINAL", "A_1 B", "A\\B\\", "A" * 16, ""], ["original", "A" * 17, "A-B", "Ä", "A\\b"]),
    "DA": ("00080022", ["20240229", "19000101", ""],
           ["20230229", "2024-01-15", "2024.01.15", "202401", "20241301", "20240115-20240116", "yesterday"]),
    "DS": ("00180050", ["1", "-1.5", "+.5", "1.", " 1.5 ", "1e5", "-1.2E-10", "1234567890.12345", "1\\2", ""],
           ["1,5", "12345678901234567", "abc", "1.5mm", "--1", "1e", "NaN", "Infinity", "0x10"]),
    "DT": ("0008002A", ["2024", "202401", "20240115", "2024011510", "20240115103000.123456+0100", "20240115-0500", ""],
           ["2024-01-15", "20241301", "2024011525", "20240115103000.1234567", "20240115103000+1560", "now"]),
    "FD": ("00189073", [struct.pack("<d", 1.5), struct.pack("<2d", 1, 2), b""], [b"\0" * 4, b"\0" * 10]),
    "FL": ("00089459", [struct.pack("<f", 1.5), b""], [b"\0\0", b"\0" * 6]),
    "IS": ("00200012", ["1", "-1", "+5", " 12 ", "2147483647", "-2147483648", "1\\2", ""],
           ["1.0", "2147483650", "1e3", "abc", "1234567890123", "--1", "0x10"]),
    "LO": ("00080070", ["Maker", "x" * 64, "Größe", "a\\b", "'quoted'; --", ""],
           ["x" * 65, "a\nb", "a\x07b", "a\x00b"]),
    "LT": ("00104000", ["two\r\nlines", "back\\slash", "x" * 10240, "a\tb", ""], ["x" * 10241, "a\x00b", "a\x07b"]),
    "OB": ("00420011", [b"\0\1", b"odd", b""], []),
    "OD": ("7FE00009", [bytes(8), b""], []),
    "OF": ("7FE00008", [bytes(4), b""], []),
    "OL": ("00660040", [bytes(4), b""], []),
    "OV": ("7FE00001", [bytes(8), b""], []),
    "OW": ("00281201", [bytes(2), b""], []),
    "PN": ("00081050",
           ["Doe^John", "A^B^C^D^E", "Yamada^Tarou=山田^太郎=やまだ^たろう", "x" * 64, "A^B\\C^D", "Doe^^^^", ""],
           ["A^B^C^D^E^F", "A=B=C=D", "x" * 65, "A\nB", "A=" + "x" * 65, "a\x00b"]),
    "SH": ("00081010", ["STATION", "x" * 16, "Größe", "a\\b", ""], ["x" * 17, "a\nb", "a\x00b"]),
    "SL": ("00186020", [struct.pack("<i", -5), b""], [b"\0\0", b"\0" * 6]),
    "SQ": ("00081032", [b""], []),
    "SS": ("00189219", [struct.pack("<h", -5), struct.pack("<2h", 1, 2), b""], []),
    "ST": ("00080081", ["two\r\nlines", "back\\slash", "x" * 1024, ""], [LONG, "a\x00b", "a\x07b"]),
    "SV": ("00720082", [struct.pack("<q", -(2**63)), b""], [b"\0" * 4, b"\0" * 12]),
    "TM": ("00080032", ["10", "1030", "103000", "103000.123456", "235960", ""],
           ["24", "1060", "10:30", "103061", "103000.1234567", "noon", "1", "103000-"]),
    "UC": ("00080119", [LONG, "Größe", "a\\b", ""], ["a\nb", "a\x00b"]),
    "UI": ("00080014", ["1.2.3", "1." + "2" * 62, "1.02.3", "1.2\\1.3", ""], ["1.2.x", "1." + "2" * 63, "1.2.", "abc"]),
    "UL": ("00081161", [struct.pack("<L", 5), b""], [b"\0\0", b"\0" * 6]),
    "UN": ("00091001", [b"\0\1", b"anything", b""], []),
    "UR": ("00080120", ["https://host/a?b=%20", "urn:oid:1.2.3", "x" * 5000, ""],
           [" https://host", "a b", "ä", "a\nb", "<a>"]),
    "US": ("00280002", [struct.pack("<H", 3), struct.pack("<2H", 1, 2), b""], []),
    "UT": ("0040A160", [LONG, "two\r\nlines", "back\\slash", ""], ["a\x00b", "a\x07b"]),
    "UV": ("00720083", [struct.pack("<Q", 2**64 - 1), b""], [b"\0" * 4, b"\0" * 12]),
}  # fmt: skip

GOOD = [(vr, value) for vr, (_, good, _) in TABLE.items() for value in good]
BAD = [(vr, value) for vr, (*_, bad) in TABLE.items() for value in bad]


def raw(vr, value):
    return {TABLE[vr][0]: (vr, value.encode() if isinstance(value, str) else value)}


def ids(pairs):
    return [f"{vr} {value[:24]!r}" for vr, value in pairs]


def test_every_vr_is_in_the_table():
    assert TABLE.keys() == ALL_VRS


@pytest.mark.parametrize(("vr", "value"), GOOD, ids=ids(GOOD))
def test_what_a_vr_allows(http, dicom, vr, value):
    tag = TABLE[vr][0]
    reply = http.store(dicom(raw=raw(vr, value)))
    assert reply.status == 200, reply.body
    (item,) = reply.json["00081199"]["Value"]
    assert item["00741048"] == {"vr": "SQ"}
    (metadata,) = http.get("studies/1.1/metadata").json
    assert (tag in metadata) == (vr not in BINARY_VRS)
    if tag in metadata:
        assert metadata[tag]["vr"] == vr
        assert ("Value" in metadata[tag]) == bool(value)


@pytest.mark.covers("fact 5", "fact 6", "fact 8")
@pytest.mark.parametrize(("vr", "value"), BAD, ids=ids(BAD))
def test_what_a_vr_does_not_allow(http, v1, dicom, vr, value):
    tag = TABLE[vr][0]
    file = dicom(raw=raw(vr, value))
    reply = http.store(file)
    assert reply.status == 202
    (item,) = reply.json["00081199"]["Value"]
    assert item["00081196"]["Value"] == [1]
    ((comment,),) = [each["00000902"]["Value"] for each in item["00741048"]["Value"]]
    assert comment.startswith(f"DICOM100: ({tag[:4].lower()},{tag[4:].lower()}) - The value must ")
    text = value if isinstance(value, str) else ""
    assert len(text) < 4 or text not in comment
    assert tag not in http.get("studies/1.1/metadata").json[0]
    kept = http.get(
        "studies/1.1/series/1.1.1/instances/1.1.1.1", accept="application/dicom; transfer-syntax=*"
    )
    assert kept.body == bytes(128) + file[128:]
    assert http("DELETE", "studies/1.1").status == 204
    assert v1.store(file).status == 200  # version 1 looks at what is searched only
    assert tag in http.get("studies/1.1/metadata").json[0]


#: Where pydicom judges otherwise, and why the service's judgement stands.
DIFFERENCES = {
    ("DA", "20240115-20240116"): "a range is a query's, not a file's",
    ("TM", "103000-"): "a range is a query's, not a file's",
    ("DA", "20230229"): "pydicom does not look into the calendar",
    ("DT", "20240115103000+1560"): "pydicom does not look at the offset",
    ("IS", "2147483650"): "pydicom looks at length and characters only",
    **{("UI", value): "real UIDs have leading zeros (fact 12)" for value in ("1.02.3",)},
    **{("LO", value): "pydicom looks at lengths only" for value in ("a\nb", "a\x07b", "a\x00b")},
    **{("LT", value): "pydicom looks at lengths only" for value in ("a\x00b", "a\x07b")},
    **{("ST", value): "pydicom looks at lengths only" for value in ("a\x00b", "a\x07b")},
    **{("SH", value): "pydicom looks at lengths only" for value in ("a\nb", "a\x00b")},
    **{
        ("PN", value): "pydicom looks at lengths and groups only"
        for value in ("A\nB", "a\x00b", "A^B^C^D^E^F")
    },
}


@pytest.mark.parametrize(
    ("vr", "value", "allowed"),
    [(vr, value, allowed) for allowed, pairs in ((True, GOOD), (False, BAD)) for vr, value in pairs
     if isinstance(value, str) and value and vr in VALIDATORS],
)  # fmt: skip
def test_pydicoms_opinion(vr, value, allowed):
    several = value.split("\\") if vr not in {"LT", "ST", "UR"} else [value]
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            for each in several:
                validate_value(vr, each, RAISE)
        opinion = True
    except (ValueError, UserWarning):
        opinion = False
    assert (opinion == allowed) == ((vr, value) not in DIFFERENCES)
