"""What a quick JSON parser drops or changes, and arrays that are read in pieces."""

import json

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import dicomframe as dfr
from dicomframe.errors import ValueRefused
from dicomframe.tables import jsontext, pages
from dicomframe.tables.jsontext import cut, decode_piece, loads, pieces, rows_between


def page_of(*attributes):
    rows = [f'{{"0020000D":{{"vr":"UI","Value":["1.2.{at}"]}},{text}}}' for at, text in enumerate(attributes)]
    return f"[{','.join(rows)}]".encode()


@pytest.mark.parametrize(
    ("attribute", "keyword", "value", "earlier"),
    [
        ('"00100020":{"vr":"LO","Value":["A"]},"00100020":{"vr":"LO","Value":["B"]}', "PatientID", "B", "A"),
        ('"00100020":{"vr":"LO","vr":"LO","Value":["B"]}', "PatientID", "B", "LO"),
        (
            '"00081140":{"vr":"SQ","Value":[{"00081155":{"vr":"UI","Value":["1"]},"00081155":{"vr":"UI","Value":["2"]}}]}',
            "ReferencedImageSequence",
            [{"ReferencedSOPInstanceUID": "2"}],
            "1",
        ),
    ],
)
def test_what_stands_twice_in_an_object_is_an_issue(attribute, keyword, value, earlier):
    page = page_of('"00080050":{"vr":"SH","Value":["X"]}', attribute)
    table = dfr.from_json(page)
    assert table.loc[1, keyword] == value
    found = table.dicom.issues()
    assert found[["StudyInstanceUID", "keyword", "raw"]].values.tolist() == [["1.2.1", keyword, earlier]]
    assert "twice" in found.loc[0, "reason"]
    assert table.dicom.to_json() == json.loads(page)


@pytest.mark.parametrize(
    ("vr", "tag", "number"),
    [
        ("DS", "00101030", 12345678901234567890),
        ("DS", "00101030", 2**53 + 1),
        ("IS", "00200013", 10**30),
        ("UV", "00082002", 2**64 - 1),
        ("DS", "00101030", -(2**53) - 1),
    ],
)
def test_whole_numbers_of_many_digits_keep_them(vr, tag, number):
    page = page_of(f'"{tag}":{{"vr":"{vr}","Value":[ {number} ]}}')
    given_back = dfr.from_json(page).dicom.to_json()[0][tag]["Value"][0]
    assert given_back == number
    assert type(given_back) is int


@pytest.mark.parametrize("token", ["NaN", "Infinity", "-Infinity"])
@pytest.mark.parametrize(("vr", "tag"), [("DS", "00101030"), ("FD", "00189073")])
def test_numbers_that_json_does_not_have_are_given_back(token, vr, tag):
    page = page_of(f'"{tag}":{{"vr":"{vr}","Value":[{token}]}}')
    table = dfr.from_json(page)
    assert json.dumps(table.dicom.to_json()[0][tag]["Value"]) == f"[{token}]"


def test_bytes_that_are_no_utf8_spoil_neither_the_page_nor_the_other_rows():
    page = page_of('"00081030":{"vr":"LO","Value":["?"]}', '"00081030":{"vr":"LO","Value":["山"]}')
    table = dfr.from_json(page.replace(b"?", b"M\xfcller"))
    assert table["StudyDescription"].tolist() == ["M\\xfcller", "山"]
    assert table.dicom.to_json()[0]["00081030"]["Value"] == [b"M\xfcller".decode("utf-8", "surrogateescape")]
    [reason] = table.dicom.issues()["reason"]
    assert "shown as escapes" in reason


@pytest.mark.parametrize(
    "vr_and_value", ['"LO","Value":["?","?"]', '"SH","Value":["?"]', '"PN","Value":[{"Alphabetic":"?"}]']
)
@pytest.mark.parametrize("odd", [b"M\xfcller", rb"half \ud83d"])
def test_a_text_that_is_shown_otherwise_than_it_came_is_an_issue(vr_and_value, odd):
    tag = {"LO": "00101000", "SH": "00080050", "PN": "00100010"}[vr_and_value[1:3]]
    page = page_of(f'"{tag}":{{"vr":{vr_and_value}}}').replace(b"?", odd)
    table = dfr.from_json(page)
    shown = str(table.iloc[0].tolist())
    assert "xfcller" in shown or "ud83d" in shown
    [reason] = table.dicom.issues()["reason"]
    assert "shown as escapes" in reason
    with pytest.raises(ValueRefused):
        dfr.from_json(page, errors="raise")


@pytest.mark.parametrize("odd", [b"2024\xfc", rb"2024\ud83d"])
def test_an_issue_with_a_value_that_is_no_text_can_be_shown(odd):
    table = dfr.from_json(page_of('"00080020":{"vr":"DA","Value":["?"]}').replace(b"?", odd))
    [raw] = table.dicom.issues()["raw"]
    assert raw.startswith("2024\\")


def test_the_word_null_inside_a_text_is_no_null(monkeypatch):
    monkeypatch.setattr(
        pages, "_read_refused", lambda *_: pytest.fail("the fast reader refused a clean page")
    )
    table = dfr.from_json(page_of('"00081030":{"vr":"LO","Value":["annulled"]}'))
    assert table.loc[0, "StudyDescription"] == "annulled"


# -- in pieces -------------------------------------------------------------------------------------------------------

keys = st.sampled_from(["00080005", "00080020", "00081140"])
leaves = st.text(max_size=6) | st.integers() | st.sampled_from(['},{"00080005":', "}]", '{"vr"', "\\"])
objects = st.recursive(
    st.dictionaries(keys, leaves, max_size=2),
    lambda inner: st.dictionaries(keys, st.lists(inner, max_size=3) | leaves, max_size=3),
    max_leaves=8,
)


@settings(deadline=None, max_examples=300)
@given(
    rows=st.lists(objects, min_size=1, max_size=20),
    size=st.integers(1, 80),
    indent=st.sampled_from([None, 1]),
)
def test_pieces_are_the_whole_wherever_it_is_cut(rows, size, indent):
    page = json.dumps(rows, indent=indent).encode()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(jsontext, "PIECE_BYTES", size)
        patch.setattr(jsontext, "PIECE_ROWS", 1)
        found = [row for piece in pieces(page, decode_piece) for row in piece.rows]
    assert found == rows


def test_a_page_is_cut_between_rows():
    page = json.dumps([{"00080005": {"vr": "CS", "Value": ["x" * 30]}} for _ in range(50)]).encode()
    places = list(cut(page, 300, 1))
    assert len(places) > 5
    assert [row for place in places for row in loads(rows_between(page, *place))] == json.loads(page)


def parts_of(monkeypatch, size):
    """Have pages read in parts of so many bytes."""
    for name, value in (("_TOGETHER_BYTES", size), ("_PART_BYTES", size), ("_ROWS", 1)):
        monkeypatch.setattr(pages, name, value)


def nested(count):
    """Make rows whose items begin with the same key as the rows do, so that a cut may fall inside of them."""
    item = {"00080005": {"vr": "CS", "Value": ["inner"]}, "00081155": {"vr": "UI", "Value": ["1.2"]}}
    return [
        {
            "00080005": {"vr": "CS", "Value": ["ISO_IR 192"]},
            "00081140": {"vr": "SQ", "Value": [item] * 5},
            "0020000D": {"vr": "UI", "Value": [f"1.2.{at}"]},
        }
        for at in range(count)
    ]


@pytest.mark.parametrize("indent", [None, 2])
def test_long_pages_are_read_in_parts_even_if_a_cut_falls_into_a_sequence(monkeypatch, indent):
    rows = nested(100)
    page = json.dumps(rows, indent=indent).encode()
    for size in range(2_000, 9_000, 1_531):
        parts_of(monkeypatch, size)
        table = dfr.from_json(page)
        assert table["StudyInstanceUID"].tolist() == [f"1.2.{at}" for at in range(100)]
        assert table.dicom.to_json() == rows


def test_a_long_page_that_breaks_off_is_refused_as_a_whole(monkeypatch):
    parts_of(monkeypatch, 5_000)
    page = orjson.dumps(nested(100))
    with pytest.raises(dfr.errors.DecodeError):
        dfr.from_json(page[:-40])


def test_dirty_rows_among_clean_ones_in_a_long_page(monkeypatch):
    parts_of(monkeypatch, 20_000)
    rows = [
        {
            "00080020": {"vr": "DA", "Value": ["20240131"]},
            "00200013": {"vr": "IS", "Value": [at if at % 97 else f"no {at}"]},
            "00280030": {"vr": "DS", "Value": [0.5, at]},
        }
        for at in range(2_000)
    ]
    for at, row in enumerate(rows):
        row["0020000D"] = {"vr": "UI", "Value": [f"1.2.{at}"]}
        if at % 501 == 7:
            del row["00080020"]
            row["00091001"] = {"vr": "LO", "Value": ["late"]}
            row["PatientID"] = {"vr": "LO", "Value": [f"P{at}"]}
    table = dfr.from_json(orjson.dumps(rows))
    assert table.dicom.to_json() == rows
    assert table["InstanceNumber"].isna().sum() == len(range(0, 2_000, 97))
    assert table["InstanceNumber"].dropna().tolist() == [at for at in range(2_000) if at % 97]
    assert table.dicom.issues()["raw"].tolist() == [f"no {at}" for at in range(0, 2_000, 97)]
    assert table["PatientID"].dropna().tolist() == [f"P{at}" for at in range(7, 2_000, 501)]
