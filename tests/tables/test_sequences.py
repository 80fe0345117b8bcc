"""Sequences: items of all rows are read at once, and must be what they are one by one."""

import json
from datetime import date, datetime, timedelta

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import dicomframe as dfr
from dicomframe.errors import DecodeError
from dicomframe.tables import arrow_reader
from dicomframe.tables.convert import from_pages


def text(vr, *values):
    return {"vr": vr, "Value": list(values)}


LEAVES = {
    "00080020": st.sampled_from(
        [text("DA", "20240131"), text("DA", "2024"), text("DA", "18800101"), {"vr": "DA"}]
    ),
    "0008002A": st.sampled_from([text("DT", "20240131103000"), text("DT", "20240131103000+0100")]),
    "00080030": st.sampled_from([text("TM", "103000"), text("TM", "1030"), text("TM", "103000.250000")]),
    "00080008": st.sampled_from([text("CS", "A", "B"), text("CS", "A"), {"vr": "CS"}]),
    "00081150": st.sampled_from(
        [text("UI", "1.2"), {"vr": "UI"}, text("UI", "1.2", "1.3"), {"vr": "UI", "Value": []}]
    ),
    "00100010": st.sampled_from(
        [text("PN", {"Alphabetic": "A^B"}), text("PN", {"Alphabetic": "Y", "Phonetic": "y"})]
    ),
    "00101030": st.sampled_from([text("DS", 70.5), text("DS", 70), text("DS")]),
    "00200013": st.sampled_from([text("IS", 7), text("IS", 2**40), text("SH", "x")]),
    "00280106": st.sampled_from([text("SS", -5), text("US", 5)]),
    "00091001": st.sampled_from([text("LO", "private"), {"vr": "UN", "InlineBinary": "AAAA"}]),
    "00189810": st.sampled_from(
        [{"vr": "OB", "BulkDataURI": "https://host/1"}, {"vr": "OB", "InlineBinary": "AA=="}]
    ),
}


def items(depth):
    deeper = {"00081140": items(depth - 1)} if depth else {}
    item = st.fixed_dictionaries({}, optional=LEAVES | deeper)
    return st.lists(item, max_size=3).map(lambda found: text("SQ", *found)) | st.just({"vr": "SQ"})


rows = st.lists(st.fixed_dictionaries({}, optional={"00081140": items(2), "00081115": items(1)}), max_size=6)


@settings(deadline=None, max_examples=300)
@given(rows=rows, backend=st.sampled_from(["numpy_nullable", "pyarrow"]))
def test_items_read_at_once_are_what_they_are_one_by_one(rows, backend):
    for at, row in enumerate(rows):
        row["0020000D"] = text("UI", f"1.2.{at}")
    rows = json.loads(json.dumps(rows))
    at_once = from_pages([orjson.dumps(rows)], "study", backend)
    singly = dfr.from_json(rows, "study", backend)
    assert at_once.to_dict("list").keys() == singly.to_dict("list").keys()
    for name in ("ReferencedImageSequence", "ReferencedSeriesSequence"):
        if name in at_once:
            assert at_once[name].tolist() == singly[name].tolist()
    # Members of a raw text may stand in another order.
    ours, theirs = (table.dicom.issues().drop(columns="raw") for table in (at_once, singly))
    assert ours.equals(theirs)
    assert at_once.dicom.to_json() == rows


def test_a_record_has_python_values_under_keywords():
    item = {
        "00080020": text("DA", "18800101"),
        "0008002A": text("DT", "20240131103000"),
        "00080030": text("TM", "103000"),
        "00080008": text("CS", "A", "B"),
        "00081150": {"vr": "UI"},
        "00100010": text("PN", {"Alphabetic": "A^B"}),
        "00101030": text("DS", 70.5),
        "00200013": text("IS", 7),
        "00081140": text("SQ", {"00081155": text("UI", "1.2")}),
    }
    expected = {
        "StudyDate": date(1880, 1, 1),
        "AcquisitionDateTime": datetime(2024, 1, 31, 10, 30),  # noqa: DTZ001 - naive, as the columns are
        "StudyTime": timedelta(hours=10, minutes=30),
        "ImageType": ["A", "B"],
        "ReferencedSOPClassUID": None,
        "PatientName": "A^B",
        "PatientWeight": 70.5,
        "InstanceNumber": 7,
        "ReferencedImageSequence": [{"ReferencedSOPInstanceUID": "1.2"}],
    }
    table = dfr.from_json(orjson.dumps([{"00081115": text("SQ", item, {})}]))
    assert table.loc[0, "ReferencedSeriesSequence"] == [expected, {}]


def test_usual_items_need_no_judge(monkeypatch):
    monkeypatch.setattr(arrow_reader, "read_attribute", lambda *_: pytest.fail("an item was read singly"))
    row = {"00081115": text("SQ", {"00081155": text("UI", "1.2"), "00080020": {"vr": "DA"}}, {})}
    table = dfr.from_json(orjson.dumps([row, {}, {"00081115": {"vr": "SQ"}}]))
    assert table.dicom.to_json() == [row, {}, {"00081115": {"vr": "SQ"}}]


def nested(depth):
    return "[" + '{"00400275":{"vr":"SQ","Value":[' * depth + "{}" + "]}}" * depth + "]"


def test_deeply_nested_sequences_are_read():
    assert len(dfr.from_json(nested(100))) == 1


def all_or_our_error(depth):
    try:
        return dfr.from_json(nested(depth)).dicom.to_json() == json.loads(nested(depth))
    except DecodeError as error:
        return "nested" in str(error) or "JSON" in str(error)


# About where Python's own limit lies: 330 in 3.11, 498 in 3.12; 3.13 reads them all.
@pytest.mark.parametrize("depth", [320, 335, 500])
def test_near_the_limit_nested_sequences_are_all_there_or_the_error_is_ours(depth):
    assert all_or_our_error(depth)


# Past the limits of orjson and of every Python.
@pytest.mark.parametrize("depth", [5000, 50_000])
def test_however_deeply_sequences_are_nested_the_error_is_ours(depth):
    with pytest.raises(DecodeError, match=r"nested|JSON"):
        dfr.from_json(nested(depth))
