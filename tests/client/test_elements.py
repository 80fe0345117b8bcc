"""The walk over the first elements: with what was learnt from other objects it finds what it finds without."""

import io
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom import dcmread
from pydicom.data import get_testdata_file
from pydicom.dataelem import RawDataElement
from pydicom.uid import ImplicitVRLittleEndian

from dicomframe.client.elements import ElementFinder, Unusual, find_elements

SYNTAXES = {
    "1.2.840.10008.1.2": "<",
    "1.2.840.10008.1.2.1": "<",
    "1.2.840.10008.1.2.2": ">",
    "1.2.840.10008.1.2.4.70": "<",
}
TAGS = (
    0x00080008,
    0x00080016,
    0x00080018,
    0x00080060,
    0x00081115,
    0x00090010,
    0x00100020,
    0x00200013,
    0x00280010,
)
WANTED = frozenset({0x00080018, 0x00080060, 0x00081115, 0x00200013})
# Short ones and a long one, and a sequence whose item holds one element, with lengths and without.
CONTENTS = (
    (b"SH", b"AB"),
    (b"SH", b"CD"),
    (b"UI", b"1.23"),
    (b"UC", b"long"),
    (b"SQ", b"known"),
    (b"SQ", b"open"),
)


def element(tag, vr, value, order, *, implicit):
    """Write one element."""
    if vr == b"SQ":
        inner = element(0x00080100, b"SH", b"XY", order, implicit=implicit)
        item = struct.pack(order + "HHL", 0xFFFE, 0xE000, len(inner)) + inner
        if value == b"open":
            end = struct.pack(order + "HHL", 0xFFFE, 0xE00D, 0)
            item = struct.pack(order + "HHL", 0xFFFE, 0xE000, 0xFFFFFFFF) + inner + end
            value, length = item + struct.pack(order + "HHL", 0xFFFE, 0xE0DD, 0), 0xFFFFFFFF
        else:
            value, length = item, len(item)
    else:
        length = len(value)
    group, number = tag >> 16, tag & 0xFFFF
    if implicit:
        return struct.pack(order + "HHL", group, number, length) + value
    if vr in {b"SQ", b"UC"}:
        return struct.pack(order + "HH2sHL", group, number, vr, 0, length) + value
    return struct.pack(order + "HH2sH", group, number, vr, length) + value


def file_of(syntax, elements, instance):
    order, implicit = SYNTAXES[syntax], syntax == "1.2.840.10008.1.2"
    meta = b"".join(
        element(tag, b"UI", text.encode() + b"\0" * (len(text) % 2), "<", implicit=False)
        for tag, text in ((0x00020002, "1.2.3"), (0x00020003, instance), (0x00020010, syntax))
    )
    return (
        bytes(128)
        + b"DICM"
        + meta
        + b"".join(element(tag, *content, order, implicit=implicit) for tag, content in elements)
    )


def outcome(find, head, is_whole):
    try:
        return find(head, is_whole=is_whole)
    except Unusual:
        return None


def plain(head, *, is_whole):
    return find_elements(head, WANTED, is_whole=is_whole)


# Most tags of a series have one content; some objects lack a tag, or have another content there.
@st.composite
def series(draw, *, in_order=False):
    usual = {tag: draw(st.sampled_from(CONTENTS)) for tag in TAGS}
    files = []
    for number in range(draw(st.integers(2, 8))):
        changed = draw(
            st.dictionaries(st.sampled_from(TAGS), st.none() | st.sampled_from(CONTENTS), max_size=3)
        )
        elements = [(tag, content) for tag, content in sorted((usual | changed).items()) if content]
        if not in_order and draw(st.integers(0, 9)) == 0:
            elements = draw(st.permutations(elements))
        files.append(
            file_of(draw(st.sampled_from([*SYNTAXES, *["1.2.840.10008.1.2.1"] * 4])), elements, f"1.{number}")
        )
    return files


@given(series(), st.data())
def test_what_was_learnt_changes_nothing(files, data):
    finder = ElementFinder(WANTED)
    for content in [*files, *files]:
        kind = data.draw(st.sampled_from(["whole", "whole", "whole", "cut", "spoilt"]))
        head = content
        if kind == "cut":
            head = content[: data.draw(st.integers(0, len(content)))]
        elif kind == "spoilt":
            at = data.draw(st.integers(132, len(content) - 1))
            head = content[:at] + bytes([data.draw(st.integers(0, 255))]) + content[at + 1 :]
        is_whole = data.draw(st.booleans())
        assert outcome(finder.find, head, is_whole) == outcome(plain, head, is_whole)


@given(series(in_order=True))
def test_the_values_are_those_that_pydicom_finds(files):
    finder = ElementFinder(WANTED)
    for content in files:
        read = dcmread(io.BytesIO(content))
        try:
            found = finder.find(content, is_whole=True)
        except Unusual:
            # Without a VR nothing tells whether an element without a length is a sequence: it is pydicom's.
            assert read.file_meta.TransferSyntaxUID == ImplicitVRLittleEndian
            continue
        assert set(found.elements) == WANTED.intersection(map(int, read.keys()))
        for tag, (vr, value) in found.elements.items():
            raw = read.get_item(tag)
            if isinstance(raw, RawDataElement) and vr != b"SQ" and raw.length != 0xFFFFFFFF:
                assert raw.value == value


def test_a_series_is_stepped_over_in_stretches():
    """Elements that are the same again are not looked at one by one."""
    content = dcmread(get_testdata_file("CT_small.dcm", download=False))
    finder = ElementFinder(frozenset({0x00080018, 0x00280010}))
    buffers = []
    for number in range(6):
        content.SOPInstanceUID, content.InstanceNumber = f"1.2.{number}", number
        buffer = io.BytesIO()
        content.save_as(buffer, enforce_file_format=True)
        buffers.append(buffer.getvalue())
    steps = []
    for head in buffers:
        found = finder.find(head, is_whole=True)
        assert found == find_elements(head, frozenset({0x00080018, 0x00280010}), is_whole=True)
        steps.append(len(finder._walkers["1.2.840.10008.1.2.1"]._stretches))
    assert steps == [0, *[steps[1]] * 5]
    assert 2 <= steps[1] <= 4


def test_what_is_learnt_from_a_hostile_server_is_bounded():
    """Ever new tags do not fill the memory."""
    finder = ElementFinder(frozenset({0x7FFF0010}))
    for number in range(40):
        tags = range(0x00110000 + number * 0x20000, 0x00110000 + number * 0x20000 + 100)
        head = file_of("1.2.840.10008.1.2.1", [(tag, (b"SH", b"AB")) for tag in tags], "1.2")
        assert finder.find(head, is_whole=True).elements == {}
        walker = finder._walkers["1.2.840.10008.1.2.1"]
        assert len(walker._varying) <= 1_000


@pytest.mark.parametrize("syntax", SYNTAXES)
def test_stretches_do_not_hide_elements_out_of_order(syntax):
    usual = [(tag, (b"SH", b"AB")) for tag in TAGS[:4]]
    finder = ElementFinder(WANTED)
    for number in range(4):
        finder.find(file_of(syntax, [*usual, (TAGS[7], (b"SH", b"%02d" % number))], "1.2"), is_whole=True)
    twice = file_of(syntax, [*usual, *usual], "1.2")
    with pytest.raises(Unusual):
        finder.find(twice, is_whole=True)


@pytest.mark.parametrize(
    ("syntax", "is_one_stream"),
    [
        ("1.2.840.10008.1.2.1.99", True),  # Deflated Explicit VR
        ("1.2.840.10008.1.2.4.95", True),  # JPIP Referenced Deflate
        ("1.2.840.10008.1.2.4.205", True),  # JPIP HTJ2K Referenced Deflate
        ("1.2.840.10008.1.2.8.1", False),  # Deflated Image Frame: the frames are, the elements are not
    ],
)
def test_elements_are_not_sought_in_a_deflated_stream(syntax, is_one_stream):
    meta = element(0x00020010, b"UI", syntax.encode(), "<", implicit=False)
    content = bytes(128) + b"DICM" + meta + element(0x00080018, b"UI", b"1.23", "<", implicit=False)
    if is_one_stream:
        with pytest.raises(Unusual):
            find_elements(content, WANTED, is_whole=True)
    else:
        found = find_elements(content, WANTED, is_whole=True)
        assert found.elements == {0x00080018: (b"UI", b"1.23")}
