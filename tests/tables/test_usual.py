"""Structs take rows only where each attribute has the usual form; whatever they take, they read as dicts are read."""

import json

import orjson
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import dicomframe as dfr
from dicomframe.tables.usual import read_usual

SHAPE = {
    "0020000D": ("UI", {}),
    "00081030": ("LO", {}),
    "00200013": ("IS", {}),
    "00101030": ("DS", {}),
    "00080061": ("CS", {}),
    "00100010": ("PN", {}),
    "00080020": ("DA", {}),
}
UID = b'"0020000D":{"vr":"UI","Value":["1.2"]}'


@pytest.mark.parametrize(
    "members",
    [
        b'"00200014":{"vr":"IS","Value":[1]}',
        b'"0008103a":{"vr":"LO","Value":["a"]}',
        b'"StudyDescription":{"vr":"LO","Value":["a"]}',
        b'"00081030":{"vr":"SH","Value":["a"]}',
        b'"00081030":{"vr":null,"Value":["a"]}',
        b'"00081030":{"Value":["a"]}',
        b'"00081030":null',
        b'"00081030":["a"]',
        b'"00081030":{"vr":"LO","Value":"a"}',
        b'"00081030":{"vr":"LO","Value":null}',
        b'"00081030":{"vr":"LO","Value":[]}',
        b'"00081030":{"vr":"LO","Value":[null]}',
        b'"00081030":{"vr":"LO","Value":["a","b"]}',
        b'"00081030":{"vr":"LO","Value":[1]}',
        b'"00081030":{"vr":"LO","Value":["\xff"]}',
        b'"00081030":{"vr":"LO","Value":["\\ud800"]}',
        b'"00081030":{"vr":"LO","Value":["a"],"BulkDataURI":"x"}',
        b'"00081030":{"vr":"LO","BulkDataURI":"x"}',
        b'"00081030":{"vr":"LO","InlineBinary":"AA=="}',
        b'"00200013":{"vr":"IS","Value":[true]}',
        b'"00200013":{"vr":"IS","Value":[NaN]}',
        b'"00101030":{"vr":"DS","Value":[1e999]}',
        b'"00080061":{"vr":"CS","Value":["a",null]}',
        b'"00080061":{"vr":"CS","Value":"a"}',
        b'"00100010":{"vr":"PN","Value":["A^B"]}',
        b'"00100010":{"vr":"PN","Value":[{"Alphabetic":null}]}',
        b'"00081030":{"vr":"LO","Value":["a"]},"00081030":{"vr":"LO","Value":["b"]}',
        b'"00081030":{"vr":"LO","vr":"LO","Value":["a"]}',
    ],
)
def test_what_has_another_form_is_left_to_dicts(members):
    assert read_usual(b"[{" + UID + b"}]", SHAPE) is not None
    assert read_usual(b"[{" + UID + b"," + members + b"}]", SHAPE) is None


@pytest.mark.parametrize("text", [b"", b"{}", b"[null]", b"[1]", b"[{" + UID + b"}]]", b"[{" + UID + b"},]"])
def test_what_is_no_array_of_objects_is_left_to_dicts(text):
    assert read_usual(text, SHAPE) is None


def test_sequences_and_bulk_data_are_left_to_the_other_ways():
    assert read_usual(b"[]", SHAPE) is not None
    assert read_usual(b"[]", {**SHAPE, "00081140": ("SQ", {})}) is None
    assert read_usual(b"[]", {**SHAPE, "7FE00010": ("OW", {})}) is None


numbers = st.integers() | st.integers(-9, 9) | st.floats(allow_nan=False, allow_infinity=False)
texts = st.text(st.characters(codec="utf-8"), max_size=5)
values = {
    "UI": texts,
    "LO": texts,
    "IS": numbers | texts | st.integers(-9, 9).map(str),
    "DS": numbers | texts | st.floats().map(str),
    "PN": st.dictionaries(st.sampled_from(["Alphabetic", "Ideographic", "Phonetic", "Other"]), texts),
    "DA": texts | st.dates().map(lambda day: f"{day:%Y%m%d}"),
}
attributes = {
    tag: (
        st.builds(lambda listed: {"vr": "CS", "Value": listed}, st.lists(texts, max_size=3))
        if vr == "CS"
        else st.builds(lambda vr, one: {"vr": vr, "Value": [one]}, st.just(vr), values[vr])
    )
    | st.just({"vr": vr})
    for tag, (vr, _) in SHAPE.items()
}


@settings(deadline=None, max_examples=200)
@given(objects=st.lists(st.fixed_dictionaries({}, optional=attributes), max_size=6))
def test_structs_say_what_dicts_say(objects):
    """Whatever the values are, and in which rows they are: the same cells, issues and notes."""
    page = json.dumps(objects).encode()
    assert read_usual(page, SHAPE) is not None
    table, expected = dfr.from_json(page, "study"), dfr.from_json(json.loads(page), "study")
    pd.testing.assert_frame_equal(table, expected)
    pd.testing.assert_frame_equal(table.dicom.issues(), expected.dicom.issues())
    assert json.dumps(table.dicom.to_json()) == json.dumps(expected.dicom.to_json())


def test_a_tag_that_comes_late_sends_only_its_piece_to_dicts(monkeypatch):
    from dicomframe.tables import jsontext, tolerant

    monkeypatch.setattr(jsontext, "PIECE_BYTES", 2_000)
    dicts, structs = [], []
    read, read_structs = tolerant.TolerantReader.read, tolerant.TolerantReader.read_usual
    monkeypatch.setattr(
        tolerant.TolerantReader, "read", lambda self, rows, *rest: dicts.append(1) or read(self, rows, *rest)
    )
    monkeypatch.setattr(
        tolerant.TolerantReader,
        "read_usual",
        lambda self, *rest: structs.append(1) or read_structs(self, *rest),
    )
    objects = [{"0020000D": {"vr": "UI", "Value": [f"1.{at}"]}} for at in range(600)]
    objects[300]["00081030"] = {"vr": "LO", "Value": ["late"]}
    table = dfr.from_json(orjson.dumps(objects))
    assert len(dicts) == 1
    assert len(structs) > 3
    assert table["StudyDescription"].dropna().tolist() == ["late"]
    assert table.dicom.to_json() == objects
