"""Values that real archives hold: none may raise, be lost or be changed silently."""

import numpy as np
import pandas as pd
import pytest
from pydicom import dcmread
from pydicom.data import get_testdata_file
from pydicom.datadict import keyword_for_tag
from pydicom.tag import Tag

import dicomframe as dfr
from dicomframe.errors import IssuesWarning, QueryError, TableError
from dicomframe.tables.schema import column_of

MISSING = object()

# tag, the attribute as servers send it, the cell, and the reason in the issues table (None: no issue).
CASES = [
    ("00080020", {"vr": "DA", "Value": ["16000101"]}, pd.Timestamp("1600-01-01").as_unit("s"), None),
    ("00080020", {"vr": "DA", "Value": ["00010101"]}, np.datetime64("0001-01-01", "s"), None),
    ("00080020", {"vr": "DA", "Value": ["2024.01.31"]}, pd.Timestamp("2024-01-31"), None),
    ("00080020", {"vr": "DA", "Value": ["2024-01-31"]}, MISSING, "YYYYMMDD"),
    ("00080020", {"vr": "DA", "Value": ["20240230"]}, MISSING, "calendar"),
    ("00080020", {"vr": "DA", "Value": [""]}, MISSING, None),
    ("00080020", {"vr": "DA", "Value": [None]}, MISSING, None),
    ("00080020", {"vr": "DA", "Value": []}, MISSING, None),
    ("00080020", {"vr": "DA", "Value": None}, MISSING, None),
    ("00080020", {"vr": "DA"}, MISSING, None),
    ("00080020", {"Value": ["20240131"]}, pd.Timestamp("2024-01-31"), None),
    ("00080020", {"vr": "DA", "Value": "20240131"}, pd.Timestamp("2024-01-31"), None),
    ("00080020", {"vr": "LO", "Value": ["20240131"]}, pd.Timestamp("2024-01-31"), None),
    ("00080020", {"vr": "DA", "Value": ["20240131", "20240201"]}, MISSING, "2 values"),
    ("00080030", {"vr": "TM", "Value": ["1030"]}, pd.Timedelta(hours=10, minutes=30), None),
    ("00080030", {"vr": "TM", "Value": ["103000.123456"]}, pd.Timedelta("10:30:00.123456"), None),
    ("00080030", {"vr": "TM", "Value": ["246000"]}, MISSING, "time"),
    ("0008002A", {"vr": "DT", "Value": ["20240131103000+0200"]}, pd.Timestamp("2024-01-31 08:30"), None),
    ("0008002A", {"vr": "DT", "Value": ["2024"]}, pd.Timestamp("2024-01-01"), None),
    ("00101010", {"vr": "AS", "Value": ["042Y"]}, "042Y", None),
    ("00101010", {"vr": "AS", "Value": ["042y"]}, "042y", None),
    ("00101010", {"vr": "AS", "Value": ["N-A"]}, "N-A", None),
    ("00101030", {"vr": "DS", "Value": ["70.123456789012345"]}, 70.123456789012345, None),
    ("00101030", {"vr": "DS", "Value": ["0.1234567890123456"]}, 0.1234567890123456, None),
    ("00101030", {"vr": "DS", "Value": [""]}, MISSING, None),
    ("00101030", {"vr": "DS", "Value": ["70 kg"]}, MISSING, "number"),
    ("00101030", {"vr": "DS", "Value": ["1e400"]}, MISSING, "too large"),
    ("00200013", {"vr": "IS", "Value": ["12"]}, 12, None),
    ("00200013", {"vr": "IS", "Value": [12.0]}, 12, None),
    ("00200013", {"vr": "IS", "Value": ["12.0"]}, 12, None),
    ("00200013", {"vr": "IS", "Value": [2.5]}, MISSING, "whole"),
    ("00200013", {"vr": "IS", "Value": [2**31]}, MISSING, "range"),
    ("00280010", {"vr": "US", "Value": [70000]}, MISSING, "range"),
    ("00100010", {"vr": "PN", "Value": ["Smith^Anna"]}, "Smith^Anna", None),
    ("00100010", {"vr": "PN", "Value": ["Yamada^Tarou=山田^太郎=やまだ^たろう"]}, "Yamada^Tarou", None),
    ("00100010", {"vr": "PN", "Value": [{"Ideographic": "山田^太郎"}]}, MISSING, None),
    ("00100010", {"vr": "PN", "Value": [{}]}, MISSING, None),
    ("00100010", {"vr": "PN", "Value": [7]}, MISSING, "name"),
    ("00100020", {"vr": "LO", "Value": [12345]}, "12345", None),
    ("00280030", {"vr": "DS", "Value": [0.5, None]}, [0.5, None], None),
    ("00280030", {"vr": "DS", "Value": ["0.50", "bad"]}, [0.5, None], "number"),
    ("00080008", {"vr": "CS", "Value": [None, "PRIMARY"]}, [None, "PRIMARY"], None),
    ("00081030", {"vr": "LO", "InlineBinary": "AAAA"}, MISSING, "InlineBinary"),
    ("00081030", {"vr": "LO", "BulkDataURI": "https://host/1"}, MISSING, "bulk"),
    ("00091001", {"vr": "FD", "Value": [2.5]}, [2.5], None),
    ("00091002", {"vr": "UN", "InlineBinary": "AAAA"}, MISSING, None),
    ("00280106", {"vr": "SS", "Value": [-5]}, -5, None),
    ("00280106", {"vr": "US", "Value": [65000]}, 65000, None),
    (
        "00081140",
        {
            "vr": "SQ",
            "Value": [
                {"00281201": {"vr": "OW", "InlineBinary": "AAAA"}, "00200013": {"vr": "IS", "Value": ["x"]}}
            ],
        },
        [{"RedPaletteColorLookupTableData": None, "InstanceNumber": None}],
        "InstanceNumber: ",
    ),
]


@pytest.mark.parametrize("backend", ["numpy_nullable", "pyarrow"])
@pytest.mark.parametrize("in_a_page", [True, False])
@pytest.mark.parametrize(
    ("tag", "attribute", "cell", "reason"), CASES, ids=[str(case[1])[:50] for case in CASES]
)
def test_dirty_values(tag, attribute, cell, reason, in_a_page, backend):
    import json

    objects = [
        {"0020000D": {"vr": "UI", "Value": ["1.1"]}},
        {"0020000D": {"vr": "UI", "Value": ["1.2"]}, tag: attribute},
    ]
    table = dfr.from_json(json.dumps(objects) if in_a_page else objects, "study", backend)
    column = column_of(tag, attribute.get("vr"))
    found = table[column.name].iloc[1]
    if cell is MISSING:
        assert found is None or found is pd.NA or found is pd.NaT
    elif isinstance(cell, np.datetime64):
        assert table[column.name].to_numpy(dtype="datetime64[s]")[1] == cell
    elif isinstance(cell, list):
        assert list(found) == cell
    else:
        assert found == cell
    issues = table.dicom.issues()
    if reason is None:
        assert len(issues) == 0
    else:
        [(uid, keyword, why)] = issues[["StudyInstanceUID", "keyword", "reason"]].itertuples(
            index=False, name=None
        )
        assert (uid, keyword) == ("1.2", column.name)
        assert reason in why
    assert table.dicom.to_json() == objects


def test_the_issues_table_is_typed_also_when_it_is_empty():
    clean = dfr.from_json([{"0020000D": {"vr": "UI", "Value": ["1"]}}]).dicom.issues()
    dirty = dfr.from_json([{"00080020": {"vr": "DA", "Value": ["soon"]}}]).dicom.issues()
    assert list(clean.columns) == [
        "StudyInstanceUID",
        "SeriesInstanceUID",
        "SOPInstanceUID",
        "keyword",
        "vr",
        "raw",
        "reason",
    ]
    assert clean.dtypes.to_dict() == dirty.dtypes.to_dict()
    assert dirty[["keyword", "vr", "raw"]].to_numpy().tolist() == [["StudyDate", "DA", "soon"]]


@pytest.mark.parametrize("name", ["CT_small.dcm", "MR_small.dcm", "rtplan.dcm", "reportsi.dcm", "liver.dcm"])
def test_real_headers_have_the_values_that_pydicom_sees(name):
    path = get_testdata_file(name, download=False)
    dataset = dcmread(path, stop_before_pixels=True)
    table = dfr.from_json([dataset.to_json_dict(bulk_data_threshold=10**9)])
    checked = 0
    for element in dataset:
        keyword = keyword_for_tag(Tag(element.tag))
        if not keyword or keyword not in table.columns or element.is_empty:
            continue
        cell = table.loc[0, keyword]
        if element.VR in {"DS", "FD", "FL", "IS", "US", "UL", "SS", "SL"}:
            expected = [float(one) for one in element.value] if element.VM > 1 else [float(element.value)]
            assert [float(one) for one in (cell if isinstance(cell, list) else [cell])] == expected
        elif element.VR == "SQ":
            assert len(cell) == len(element.value)
        elif element.VR == "DA" and element.VM == 1:
            assert f"{cell:%Y%m%d}" == str(element.value)
        elif element.VR in {"CS", "LO", "SH", "UI", "ST", "AS"} and element.VM == 1:
            assert (cell[0] if isinstance(cell, list) else cell) == str(element.value)
        else:
            continue
        checked += 1
    assert checked > 15
    assert len(table.dicom.issues()) == 0


def test_selection_costs_no_copy_of_notes():
    number = {"vr": "IS", "Value": ["1"]}
    table = dfr.from_json(
        [{"0020000D": {"vr": "UI", "Value": [str(at)]}, "00200013": number} for at in range(50)]
    )
    notes = table.attrs["dicom"]["notes"]
    assert table[table["StudyInstanceUID"] == "7"].attrs["dicom"]["notes"] is notes


def test_convert_dtypes_of_raw_frames_keeps_their_index():
    objects = [
        {"0020000D": {"vr": "UI", "Value": ["1.2"]}},
        {"00080020": {"vr": "DA", "Value": ["20240131"]}},
    ]
    raw = pd.DataFrame(objects, index=["a", "b"])
    typed = raw.dicom.convert_dtypes()
    assert list(typed.index) == ["a", "b"]
    assert typed["StudyDate"].dtype == "datetime64[s]"
    assert typed.dicom.to_json() == objects
    by_keyword = raw.rename(
        columns={"0020000D": "StudyInstanceUID", "00080020": "StudyDate"}
    ).dicom.convert_dtypes()
    pd.testing.assert_frame_equal(typed, by_keyword)


OBJECTS = [
    {
        "0020000D": {"vr": "UI", "Value": [f"1.{at}"]},
        "00080020": {"vr": "DA", "Value": ["soon"]},
        "00091001": {"vr": "FD", "Value": [2.5]},
        "00100010": {"vr": "PN", "Value": [{"Alphabetic": "A", "Ideographic": "B"}]},
    }
    for at in range(4)
]


@pytest.mark.parametrize("backend", ["numpy_nullable", "pyarrow"])
def test_a_typed_table_can_change_its_backend(backend):
    typed = dfr.from_json(OBJECTS)
    other = typed.dicom.convert_dtypes(backend)
    pd.testing.assert_frame_equal(other, dfr.from_json(OBJECTS, dtype_backend=backend))
    assert other.dicom.to_json() == OBJECTS


def test_concat_keeps_issues_and_the_way_back():
    first, second = dfr.from_json(OBJECTS[:2]), dfr.from_json(OBJECTS[2:])
    both = dfr.concat([first, second])
    assert both.dicom.to_json() == OBJECTS
    assert both.dicom.issues()["StudyInstanceUID"].tolist() == ["1.0", "1.1", "1.2", "1.3"]
    assert len(dfr.concat([])) == 0
    with pytest.raises(TableError, match="levels"):
        dfr.concat([first, dfr.from_json("[]", "series")])
    # pandas' own keeps the cells, and their JSON is still of the right kinds.
    bare = pd.concat([first, second], ignore_index=True).dicom.to_json()
    assert bare[3]["00091001"] == {"vr": "FD", "Value": [2.5]}
    assert bare[3]["0020000D"] == OBJECTS[3]["0020000D"]


def test_uids_as_the_index_are_still_uids():
    table = dfr.from_json(OBJECTS).set_index("StudyInstanceUID")
    assert table.dicom.to_json() == OBJECTS
    assert len(table.dicom.issues()) == 4


def test_changed_uids_are_told_because_originals_are_not_given_back():
    table = dfr.from_json(OBJECTS)
    pseudonyms = table.assign(StudyInstanceUID=["2.1", "2.2", "2.3", "2.4"])
    with pytest.warns(IssuesWarning, match="4 rows no longer have the UIDs"):
        rows = pseudonyms.dicom.to_json()
    assert rows[0]["00100010"] == {"vr": "PN", "Value": [{"Alphabetic": "A"}]}
    assert table.iloc[:1].dicom.to_json() == OBJECTS[:1], "a selection is no reason to warn"


def test_what_is_no_source_is_refused_in_words():
    with pytest.raises(QueryError, match="convert_dtypes"):
        dfr.from_json(pd.DataFrame({"x": [1]}))
    with pytest.raises(QueryError, match="not int"):
        dfr.from_json(5)
    doubled = pd.concat([dfr.from_json(OBJECTS)] * 2, axis=1)
    with pytest.raises(TableError, match="same name"):
        doubled.dicom.to_json()


@pytest.mark.parametrize("backend", ["numpy_nullable", "pyarrow"])
def test_several_names_in_a_cell_are_no_key(backend):
    other = {"vr": "PN", "Value": [{"Alphabetic": "A", "Ideographic": "B"}, {"Alphabetic": "C"}]}
    objects = [{"0020000D": {"vr": "UI", "Value": [uid]}} for uid in ("1.1", "1.2")]
    objects[1]["00101001"] = other
    table = dfr.from_json(objects, dtype_backend=backend)
    assert list(table.loc[1, "OtherPatientNames"]) == ["A", "C"]
    assert table.dicom.to_json() == objects
