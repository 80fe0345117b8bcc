"""Text in its character set; pydicom is the oracle."""

from __future__ import annotations

import pytest
from pydicom.charset import convert_encodings, decode_bytes

from dicomframe.service.charset import codec_of, decode

DELIMITERS = {"\\", "^", "="}


@pytest.mark.parametrize(
    ("terms", "raw"),
    [
        (["ISO_IR 100"], b"Buc^J\xe9r\xf4me"),
        (["ISO_IR 144"], b"\xbb\xee\xda\xe1\x65\xdc\xd1\xe3\xe0\xd3"),
        (["ISO_IR 192"], "王^小東".encode()),
        (["GB18030"], "王^小东".encode("gb18030")),
        (["ISO_IR 13"], b"\xd4\xcf\xc0\xde^\xc0\xdb\xb3"),
        (["", "ISO 2022 IR 87"], b"Yamada^Tarou=\x1b$B;3ED\x1b(B^\x1b$BB@O:\x1b(B"),
        (
            ["ISO 2022 IR 13", "ISO 2022 IR 87"],
            b"\xd4\xcf\xc0\xde^\xc0\xdb\xb3=\x1b$B;3ED\x1b(J^\x1b$BB@O:\x1b(J",
        ),
        (["", "ISO 2022 IR 149"], b"Hong^Gildong=\x1b$)C\xfb\xf3^\x1b$)C\xd1\xce\xd4\xd7"),
        (["", "ISO 2022 IR 159"], b"\x1b$(D0d0e\x1b(B"),
    ],
)
def test_text_equals_pydicoms(terms, raw):
    encodings = convert_encodings([term or "ISO_IR 6" for term in terms])
    text, whole = decode(raw, codec_of(terms))
    assert whole
    assert text == decode_bytes(raw, encodings, DELIMITERS)


@pytest.mark.parametrize(
    "spelling", ["ISO_IR 100", "ISO IR 100", "iso_ir 100", "ISO-IR 100", "ISO 2022 IR 100", "ISO2022IR100"]
)
def test_spellings(spelling):
    assert codec_of([spelling]) == "latin_1"


@pytest.mark.parametrize(
    ("raw", "text"),
    [
        (b"J\xe9\x1b-L\xbb\xee\xda^J\xe9", "JéЛюк^Jé"),
        (b"\x1b-F\xc4\xe9\\J\xe9", "Δι\\Jé"),
        (b"Zhang^XiaoDong=\x1b$)A\xd5\xc5^\x1b$)A\xd0\xa1\xb6\xab", "Zhang^XiaoDong=张^小东"),
    ],
)
def test_a_delimiter_puts_the_first_set_back(raw, text):
    """PS3.5 section 6.1.2.5.3; pydicom lets the last set go on."""
    assert decode(raw, codec_of(["ISO 2022 IR 100", "ISO 2022 IR 144"])) == (text, True)


def test_what_cannot_be_decoded_is_told():
    assert decode(b"\xff\xfe", "utf_8") == ("\ufffd\ufffd", False)
    assert decode(b"\x1b$B\xff", "utf_8")[1] is False
    assert codec_of(["ISO_IR 999"]) == codec_of([]) == "latin_1"
    assert decode(b"\xe9", codec_of([])) == ("é", True)


def test_undecodable_text_is_a_warning(http, dicom):
    reply = http.store(dicom(PatientName=b"M\xfcller"))  # declared as UTF-8
    assert reply.status == 202
    assert "(0010,0010)" in reply.body.decode()
    assert "00100010" not in http.get("studies").json[0]
