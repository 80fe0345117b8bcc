"""`dfr.concat` of tables of the change feed forgets neither their own columns nor what could not be read."""

import pandas as pd
import pytest

import dicomframe as dfr


def entry(number, **more):
    return {
        "sequence": number,
        "studyInstanceUid": "1.2",
        "seriesInstanceUid": "1.2.3",
        "sopInstanceUid": f"1.2.3.{number % 2}",
        "action": "Create",
        "state": "Current",
        "timestamp": "2024-01-15T14:30:00Z",
    } | more


METADATA = {"00100020": {"vr": "LO", "Value": ["A"]}, "00200013": {"vr": "IS", "Value": ["one"]}}


@pytest.mark.parametrize("backend", ["numpy_nullable", "pyarrow"])
def test_as_if_read_in_one_go(backend):
    pages = [
        [entry(1, action="Invent"), entry(2)],
        [entry(3, metadata=METADATA)],
        [],
        [entry(4, timestamp="soon")],
    ]
    whole = dfr.from_change_feed([one for page in pages for one in page], backend)
    joined = dfr.concat([dfr.from_change_feed(page, backend) for page in pages], backend)
    pd.testing.assert_frame_equal(joined, whole, check_like=True)
    order = ["row", "keyword"] if "row" in whole.dicom.issues() else ["keyword", "raw"]
    one, other = (table.dicom.issues().sort_values(order, ignore_index=True) for table in (joined, whole))
    pd.testing.assert_frame_equal(one, other)
    assert len(one) == 3
    assert joined.dicom.latest()["sequence"].tolist() == [3, 4]


def test_beside_an_ordinary_table():
    joined = dfr.concat([dfr.from_change_feed([entry(1)]), dfr.from_json([METADATA], "instance")])
    assert joined["sequence"].tolist() == [1, pd.NA]
    assert joined["PatientID"].tolist() == [pd.NA, "A"]
