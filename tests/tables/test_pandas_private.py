"""Of pandas' private names the package uses one, and does without it where a release drops or changes it."""

import pandas as pd
import pytest

import dicomframe as dfr

ROWS = [
    {
        "0020000D": {"vr": "UI", "Value": ["1.2"]},
        "00080020": {"vr": "DA", "Value": ["20240131"]},
        "00080061": {"vr": "CS", "Value": ["CT", "MR"]},
        "00100020": {"vr": "LO", "Value": ["0042"]},
        "00101030": {"vr": "DS", "Value": [70.5]},
    },
    {"0020000D": {"vr": "UI", "Value": ["1.3"]}},
]


def test_the_quick_way_is_there():
    """Without it tables are made all the same, with more memory: if this fails, take `_of_arrays`' first way out."""
    made = pd.DataFrame._from_arrays(
        [pd.array([1])], pd.Index(["a"]), pd.RangeIndex(1), verify_integrity=False
    )
    assert made["a"].tolist() == [1]


def dropped(patch):
    patch.delattr(pd.DataFrame, "_from_arrays")


def changed(patch):
    patch.setattr(pd.DataFrame, "_from_arrays", lambda arrays: pytest.fail("not with these arguments"))


@pytest.mark.parametrize("backend", ["numpy_nullable", "pyarrow"])
@pytest.mark.parametrize("away", [dropped, changed])
@pytest.mark.parametrize("rows", [ROWS, []], ids=["rows", "empty"])
def test_tables_are_the_same_without_it(monkeypatch, backend, away, rows):
    expected = dfr.from_json(rows, "study", backend)
    away(monkeypatch)
    table = dfr.from_json(rows, "study", backend)
    monkeypatch.undo()
    pd.testing.assert_frame_equal(table, expected)
    assert table.dicom.to_json() == rows
    for name in table.columns:
        table.loc[table.index[:1], name] = None  # every column can be written to
