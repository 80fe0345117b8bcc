"""What a cell holds is written as it is, or refused: DICOM has fewer digits and smaller ranges than pandas."""

import datetime as dt
import io
import math
from decimal import Decimal

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

import dicomframe as dfr
from dicomframe.errors import TableError

MOMENT = pd.Timestamp("2024-01-31 10:30:00.123456789")
TIME = pd.Timedelta("10:30:00.123456789")


def written(keyword, cells):
    """What `to_json` writes of a column that a user put in."""
    cells = cells if isinstance(cells, pd.Series) else pd.Series(cells)
    rows = pd.DataFrame({keyword: cells}).dicom.to_json()
    return [next(iter(row.values())).get("Value") if row else None for row in rows]


def arrow(values, kind):
    return pd.Series(pd.arrays.ArrowExtensionArray(pa.array(values, kind)))


@pytest.mark.parametrize(
    ("keyword", "cells"),
    [
        ("AcquisitionDateTime", pd.Series([MOMENT])),
        ("AcquisitionDateTime", pd.Series([MOMENT], dtype=object)),
        ("AcquisitionDateTime", pd.Series([np.datetime64(MOMENT.value, "ns")], dtype=object)),
        ("AcquisitionDateTime", pd.Series([MOMENT], dtype="timestamp[ns][pyarrow]")),
        ("AcquisitionDateTime", pd.Series([MOMENT], dtype="category")),
        ("AcquisitionDateTime", pd.Series([MOMENT]).dt.tz_localize("Europe/Vienna")),
        ("AcquisitionDateTime", ["2024-01-31 10:30:00.123456789"]),
        ("AcquisitionDateTime", ["2024-01-31T10:30:00,1234567+01:00"]),
        ("ContentCreatorIdentificationCodeSequence", [[{"AcquisitionDateTime": MOMENT}]]),
        ("StudyTime", pd.Series([TIME])),
        ("StudyTime", pd.Series([TIME], dtype=object)),
        ("StudyTime", pd.Series([np.timedelta64(TIME.value, "ns")], dtype=object)),
        ("StudyTime", pd.Series([TIME], dtype="duration[ns][pyarrow]")),
        ("StudyTime", arrow([TIME.value], pa.time64("ns"))),
        ("StudyTime", ["10:30:00.123456789"]),
        ("StudyTime", [pd.Timedelta("-1ns")]),
        ("StudyTime", [pd.Timedelta("24h") + pd.Timedelta("1ns")]),
        ("StudyDate", pd.Series([pd.Timestamp("2024-01-31 00:00:00.000000001")])),
        ("StudyDate", pd.Series([pd.Timestamp("2024-01-31 00:00:00.000000001")], dtype=object)),
        ("StudyDate", ["2024-01-31 00:00:00.0000001"]),
    ],
    ids=lambda given: getattr(given, "dtype", given if isinstance(given, str) else "list"),
)
def test_nanoseconds_are_refused_and_not_cut_off(keyword, cells):
    table = pd.DataFrame({keyword: cells})
    with pytest.raises(TableError, match=f"{keyword} no longer holds what its VR"):
        table.dicom.to_json()
    typed = table.dicom.convert_dtypes()
    assert typed[keyword].isna().all()
    assert len(typed.dicom.issues()) == 1


def test_the_refusal_says_what_to_do():
    table = pd.DataFrame({"AcquisitionDateTime": [MOMENT]})
    with pytest.raises(TableError, match=r"\.dt\.floor\('us'\) cuts the nanoseconds off"):
        table.dicom.to_json()
    table["AcquisitionDateTime"] = table["AcquisitionDateTime"].dt.floor("us")
    assert written("AcquisitionDateTime", table["AcquisitionDateTime"]) == [["20240131103000.123456"]]
    assert written("StudyTime", pd.Series([TIME]).dt.floor("us")) == [["103000.123456"]]
    assert written("StudyTime", ["10:30:00.123456000"]) == [["103000.123456"]]


@pytest.mark.parametrize(
    ("given", "text"),
    [
        (pd.Series(["2024-01-31 10:30:00+01:00"]), "20240131103000+0100"),
        (pd.Series(["20240131103000+0100"]), "20240131103000+0100"),
        (pd.Series(["2024"]), "2024"),
        (pd.Series([pd.Timestamp("2024-01-31 10:30", tz="Asia/Kolkata")]), "20240131103000+0530"),
        (pd.Series([pd.Timestamp("2024-01-31 10:30", tz="UTC")], dtype=object), "20240131103000+0000"),
        # Before zones, offsets had seconds, which DICOM has no digits for.
        (pd.Series([pd.Timestamp("1880-01-01", tz="Europe/Vienna")]), "18791231225439+0000"),
    ],
    ids=range(6),
)
def test_a_moment_keeps_its_offset_and_precision(given, text):
    """Without its offset it would be that of the place where the picture was taken: another moment."""
    assert written("AcquisitionDateTime", given) == [[text]]
    typed = pd.DataFrame({"AcquisitionDateTime": given}).dicom.convert_dtypes()
    assert typed.dtypes["AcquisitionDateTime"] == "datetime64[us]"
    assert typed.dicom.to_json() == [{"0008002A": {"vr": "DT", "Value": [text]}}]


@pytest.mark.parametrize(
    ("keyword", "cells"),
    [
        ("AcquisitionDateTime", np.array(["20000-01-01"], "datetime64[s]")),
        ("StudyDate", np.array(["20000-01-01"], "datetime64[s]")),
        ("StudyTime", pd.Series([dt.time(10, 30, tzinfo=dt.UTC)])),
        ("InstanceNumber", [2**31]),
        ("Rows", [70_000]),
        ("Rows", [-1]),
        ("InstanceNumber", ["0x1F"]),
        ("SliceThickness", [math.inf]),
        ("SliceThickness", ["nan"]),
        ("SliceThickness", [2**53 + 1]),
        ("SliceThickness", pd.Series([2**53 + 1], dtype="Int64")),
        ("SliceThickness", ["9007199254740993"]),
        ("SliceThickness", [Decimal(2**53 + 1)]),
        ("RecommendedDisplayFrameRateInFloat", [1e39]),
        ("PatientID", [True]),
        ("PatientID", [dt.date(2024, 1, 1)]),
        ("PatientID", [pd.Timestamp("2024-01-01")]),
        ("PatientID", [b"0042"]),
        ("PatientID", [1e20]),
        ("PatientName", [7]),
        ("PatientName", [{"Alphabetic": "A", "Ideographic": "B"}]),
        ("FrameIncrementPointer", ["0018"]),
        ("PixelData", [b"bytes"]),
        ("PixelData", [5]),
        ("SmallestImagePixelValue", [70_000]),
        ("ProcedureCodeSequence", [[5]]),
        ("ProcedureCodeSequence", [[{"StudyDate": pd.Timestamp("2024-01-01 10:00")}]]),
        ("ProcedureCodeSequence", [[{"InstanceNumber": "x"}]]),
    ],
    ids=str,
)
def test_what_would_become_something_else_is_refused(keyword, cells):
    if keyword == "RecommendedDisplayFrameRateInFloat":
        keyword = "ExaminedBodyThickness"  # FL
    with pytest.raises(TableError, match=f"{keyword} no longer holds what its VR"):
        pd.DataFrame({keyword: pd.Series(cells)}).dicom.to_json()


def test_one_odd_cell_changes_no_other():
    """Cells are read one by one then, and mean the same."""
    names = pd.Series(["A^B=C=D", 7], dtype=object)
    typed = pd.DataFrame({"PatientName": names}).dicom.convert_dtypes()
    assert typed["PatientName"].tolist() == ["A^B=C=D", pd.NA]
    numbers = pd.Series([42.0, "x"], dtype=object)
    assert written("PatientID", numbers) == [["42"], ["x"]]
    assert written("PatientID", [42.0]) == [["42"]]


def test_a_decimal_is_its_number():
    assert written("SliceThickness", [Decimal("0.1"), Decimal("NaN")]) == [[0.1], None]
    assert written("SliceThickness", arrow([Decimal("0.1")], pa.decimal128(38, 20))) == [[0.1]]
    assert written("InstanceNumber", [Decimal(7)]) == [[7]]


def test_vrs_that_are_not_known_any_more_are_chosen_by_the_values():
    cells = {
        "SmallestImagePixelValue": [-5],
        "LargestImagePixelValue": [5],
        "00091001": ["mine"],
        "00091002": ["https://host/1"],
        "00091003": ["two\nlines"],
        "00091004": [[1, 2.5]],
        "00091005": [dt.date(2024, 1, 31)],
    }
    (row,) = pd.DataFrame(cells).dicom.to_json()
    assert {tag: attribute["vr"] for tag, attribute in row.items()} == {
        "00280106": "SS",
        "00280107": "US",
        "00091001": "LO",
        "00091002": "UN",
        "00091003": "UT",
        "00091004": "FD",
        "00091005": "DA",
    }
    assert row["00091001"]["Value"] == ["mine"]
    assert row["00091002"] == {"vr": "UN", "BulkDataURI": "https://host/1"}


def sequence(*items):
    return {"vr": "SQ", "Value": list(items)}


CODE = {"00080100": {"vr": "SH", "Value": ["1"]}, "00080104": {"vr": "LO", "Value": ["m"]}}
NOTED = {
    "00080030": {"vr": "TM", "Value": ["1030"]},
    "0008002A": {"vr": "DT", "Value": ["20240131103000+0100"]},
    "00080060": {"vr": "CS"},
    "00100010": {"vr": "PN", "Value": [{"Alphabetic": "Y^T", "Ideographic": "I"}]},
    "00080008": {"vr": "CS", "Value": ["A", "B"]},
    "0040A730": sequence({"00080020": {"vr": "DA", "Value": ["20240131"]}}),
}
PRIVATE = {"00091001": {"vr": "LO", "Value": ["mine"]}, "00280106": {"vr": "SS", "Value": [-5]}}


@pytest.mark.parametrize("backend", ["numpy_nullable", "pyarrow"])
@pytest.mark.parametrize("read_as", [None, "numpy_nullable", "pyarrow"])
def test_items_come_back_from_parquet(backend, read_as):
    """There, each item has the attributes of all, and lists are arrays."""
    items = [[CODE], [NOTED], [CODE, NOTED], [PRIVATE], [{}], []]
    rows = [
        {"0020000D": {"vr": "UI", "Value": [f"1.2.{at}"]}, "00081032": sequence(*each)}
        for at, each in enumerate(items)
    ]
    file = io.BytesIO()
    dfr.from_json(rows, dtype_backend=backend).to_parquet(file)
    read = pd.read_parquet(file, **({"dtype_backend": read_as} if read_as else {}))
    assert read.dicom.to_json() == rows


def test_an_item_that_was_edited_keeps_the_rest_of_it():
    rows = [{"0020000D": {"vr": "UI", "Value": ["1.2"]}, "00081032": sequence({**CODE, **PRIVATE})}]
    table = dfr.from_json(rows)
    table.loc[0, "ProcedureCodeSequence"][0]["CodeValue"] = "2"
    rows[0]["00081032"]["Value"][0]["00080100"]["Value"] = ["2"]
    assert table.dicom.to_json() == rows
