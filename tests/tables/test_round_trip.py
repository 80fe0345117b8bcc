"""What comes in goes out again, whatever it was; and both readers see the same."""

import json

import numpy as np
import orjson
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import dicomframe as dfr
from dicomframe.dicom.tags import ALL_VRS
from dicomframe.errors import DecodeError, QueryError, ValueRefused
from dicomframe.tables import pages
from dicomframe.tables.arrow_reader import read_fast
from dicomframe.tables.cells import read_attribute
from dicomframe.tables.convert import from_pages
from dicomframe.tables.jsontext import dumps
from dicomframe.tables.readings import Refused
from dicomframe.tables.schema import column_of, columns_for
from dicomframe.tables.shape import sample
from dicomframe.tables.tolerant import TolerantReader, read_tolerant

BACKENDS = ["numpy_nullable", "pyarrow"]

# Tags of every kind: VM one and many, open VR, private, creator, repeating group, sequence, bulk.
TAGS = """
    00080005 00080008 00080016 00080018 00080020 0008002A 00080030 00080050 00080061 00080090 00081030 00081032
    00081140 00091001 00090010 00100010 00100020 00100030 00101001 00101010 00101020 0020000D 0020000E 00200013
    00200032 00280009 00280010 00280030 00280106 00281050 00282112 00720026 0040A160 00080119 60003000 7FE00010
    0066002B 00186044 00720082
""".split()

words = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=8)
numbers = st.integers(-(2**70), 2**70) | st.floats(allow_nan=False, allow_infinity=False)
SPELLINGS = """
    20240131 18800101 2024.01.31 20241301 2024 202401 1030 103000 103000.123456 10:30 246060 20240131103000+0200
    20240131103000.5 042Y 042y N-A 12 12.0 1.50 1e3 -7 0x10 NaN inf 00280010 1.2.840.10008 A=B=C Smith^Anna A\\B
    3.141592653589793 0.1234567890123456 999999999999999999999
""".split()
dicom_texts = st.sampled_from(["", " ", " 12 ", *SPELLINGS])
names = st.fixed_dictionaries(
    {}, optional={"Alphabetic": words, "Ideographic": words | st.none(), "Phonetic": words, "Other": words}
)
scalars = st.none() | st.booleans() | numbers | words | dicom_texts | names


def items(depth):
    return st.lists(rows(depth - 1, max_size=3) | st.none() | words, max_size=2) if depth else st.nothing()


def attributes(depth):
    values = st.lists(scalars, max_size=3) | items(depth)
    return st.fixed_dictionaries(
        {},
        optional={
            "vr": st.sampled_from(sorted(ALL_VRS))
            | st.sampled_from(["XX", "", "pn"])
            | st.none()
            | st.integers(),
            "Value": values | scalars,
            "InlineBinary": st.sampled_from(["AAAA", ""]),
            "BulkDataURI": st.sampled_from(["https://host/bulk/1", ""]),
            "Unknown": scalars,
        },
    )


def rows(depth=2, max_size=6):
    keys = st.sampled_from(TAGS) | st.sampled_from(["PatientID", "0008002a", "nonsense", "Rows", ""])
    return st.dictionaries(keys, attributes(depth) | scalars, max_size=max_size)


def with_uids(objects):
    for at, row in enumerate(objects):
        if isinstance(row, dict):
            row["0020000D"] = {"vr": "UI", "Value": [f"1.2.{at}"]}
    return objects


dirty = st.lists(rows() | st.none() | words, max_size=4)
patient = settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.too_slow])


@patient
@given(objects=dirty, backend=st.sampled_from(BACKENDS))
def test_whatever_comes_in_is_given_back(objects, backend):
    given_objects = with_uids(json.loads(json.dumps(objects)))
    for source in (given_objects, json.dumps(given_objects), json.dumps(given_objects, indent=1).encode()):
        table = dfr.from_json(source, level="study", dtype_backend=backend)
        assert table.dicom.to_json() == given_objects
        assert len(table) == len(given_objects)


@patient
@given(objects=dirty, data=st.data())
def test_notes_find_their_rows_after_selection_and_sorting(objects, data):
    objects = with_uids([row for row in objects if isinstance(row, dict)])
    table = dfr.from_json(objects, level="study")
    order = data.draw(st.permutations(range(len(objects))))
    kept = order[: data.draw(st.integers(0, len(objects)))]
    chosen = table.iloc[kept].reset_index(drop=True)
    assert chosen.dicom.to_json() == [objects[at] for at in kept]
    uids = {f"1.2.{at}" for at in kept}
    assert set(chosen.dicom.issues()["StudyInstanceUID"]) <= uids


# -- clean data: both readers must agree ---------------------------------------------------------------------------

ints = {"00200013": (-5, 5), "00280010": (0, 65535)}
CLEAN = {
    "00080005": ("CS", st.sampled_from(["ISO_IR 100", "ISO_IR 192"])),
    "00080020": ("DA", st.dates().map(lambda day: f"{day:%Y%m%d}".zfill(8))),
    "0008002A": (
        "DT",
        st.sampled_from(["20240131103000", "20240131103000.5", "2024", "20240131103000-0500", "bad"]),
    ),
    "00080030": ("TM", st.sampled_from(["103000", "1030", "103000.25", "99"])),
    "00081030": ("LO", words.filter(bool)),
    "00100010": ("PN", st.sampled_from([{"Alphabetic": "A^B"}, {"Alphabetic": "Y^T", "Ideographic": "山"}])),
    "00101020": ("DS", st.floats(-1e6, 1e6) | st.integers(-5, 5)),
    "00200013": ("IS", st.integers(-(2**31), 2**31 - 1)),
    "00280010": ("US", st.integers(0, 65535)),
    "00091001": ("FD", st.floats(-1e6, 1e6)),
    "00280009": ("AT", st.just("00181063")),
    "00081140": ("SQ", st.just({"00081155": {"vr": "UI", "Value": ["1.2"]}, "00081150": {"vr": "UI"}})),
    "7FE00010": ("OW", None),
}
MANY = {
    "00080061": ("CS", words.filter(bool)),
    "00280030": ("DS", st.floats(0, 9)),
    "00200032": ("DS", st.floats(0, 9)),
}


def clean_attribute(vr, values, sizes):
    if values is None:
        return st.sampled_from(
            [{"vr": vr}, {"vr": vr, "BulkDataURI": "https://host/1"}, {"vr": vr, "InlineBinary": "AAAA"}]
        )
    filled = st.lists(values, min_size=sizes[0], max_size=sizes[1]).map(
        lambda value: {"vr": vr, "Value": value}
    )
    return filled | st.just({"vr": vr})


clean_rows = st.lists(
    st.fixed_dictionaries(
        {},
        optional={
            **{tag: clean_attribute(vr, values, (1, 1)) for tag, (vr, values) in CLEAN.items()},
            **{tag: clean_attribute(vr, values, (1, 3)) for tag, (vr, values) in MANY.items()},
        },
    ),
    min_size=1,
    max_size=6,
).map(with_uids)


def assert_all_readers_agree(page, objects, backend):
    """Arrow is asked first only if the page is not small; from objects the tolerant reader makes no structs."""
    tolerant = dfr.from_json(objects, "study", backend)
    for small in (0, len(page)):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(pages, "_SMALL_BYTES", small)
            table = from_pages([page], "study", backend)
        pd.testing.assert_frame_equal(table, tolerant)
        pd.testing.assert_frame_equal(table.dicom.issues(), tolerant.dicom.issues())
        assert table.dicom.to_json() == tolerant.dicom.to_json() == objects


@patient
@given(
    objects=clean_rows.filter(lambda found: b"null" not in orjson.dumps(found)),
    backend=st.sampled_from(BACKENDS),
)
def test_the_fast_reader_takes_clean_pages_and_sees_what_the_tolerant_one_sees(objects, backend):
    page = orjson.dumps(objects)
    shape = sample([page])
    read_fast(
        [page], shape, columns_for("study", {tag: vr for tag, (vr, _) in shape.items()})
    )  # raises no Refused
    assert_all_readers_agree(page, objects, backend)


NUMBERS = {"00200013": "IS", "00101030": "DS", "00280010": "US", "00189073": "FD", "00720082": "SV"}
spelt_rows = st.lists(
    st.fixed_dictionaries(
        {},
        optional={
            tag: st.builds(
                lambda vr, text: {"vr": vr, "Value": [text]}, st.just(vr), dicom_texts | st.text(max_size=4)
            )
            for tag, vr in NUMBERS.items()
        },
    ),
    min_size=1,
    max_size=6,
).map(with_uids)


@patient
@given(
    objects=spelt_rows.filter(lambda found: b"null" not in json.dumps(found).encode()),
    backend=st.sampled_from(BACKENDS),
)
def test_both_readers_see_the_same_in_numbers_that_are_written_as_texts(objects, backend):
    page = orjson.dumps(objects)
    shape = sample([page])
    columns = columns_for("study", {tag: vr for tag, (vr, _) in shape.items()})
    if not any(columns[tag].multiple for tag in shape):
        read_fast([page], shape, columns)  # raises no Refused
    assert_all_readers_agree(page, objects, backend)


JUDGED = {
    "LO": "00100020",
    "IS": "00200013",
    "DS": "00101030",
    "DA": "00080020",
    "TM": "00080030",
    "DT": "0008002A",
}


@patient
@given(
    vr=st.sampled_from(list(JUDGED)),
    raws=st.lists(
        scalars | st.text(max_size=3) | st.sampled_from(["20240131", 7, 7.5, "\ud800"]), max_size=8
    ),
)
def test_a_column_is_read_as_each_of_its_values_by_itself(vr, raws):
    tag = JUDGED[vr]
    column = column_of(tag, vr)
    attributes = [{"vr": vr, "Value": [raw]} for raw in raws]
    batch = read_tolerant([{tag: attribute} for attribute in attributes], {tag: column})
    readings = [read_attribute(column, attribute) for attribute in attributes]
    if raws:
        expected = pa.array([reading.value for reading in readings], column.arrow_type)
        assert batch.cells[tag].equals(expected)
    noted = [row for row, reading in enumerate(readings) if not reading.exact]
    assert sorted(batch.notes) == [(row, tag, dumps(attributes[row])) for row in noted]
    assert sorted((row, reason) for row, _, _, reason in batch.issues) == [
        (row, reading.reason) for row, reading in enumerate(readings) if reading.reason is not None
    ]


def test_a_column_of_numbers_and_texts_is_read_by_the_tolerant_reader():
    objects = with_uids([{"00200013": {"vr": "IS", "Value": [it]}} for it in (1, "2", "x", 2.5, 3, "1.0")])
    table = dfr.from_json(orjson.dumps(objects))
    assert table["InstanceNumber"].tolist() == [1, 2, pd.NA, pd.NA, 3, 1]
    assert table.dicom.issues()["raw"].tolist() == ["x", "2.5"]
    assert table.dicom.to_json() == objects


def test_a_dirty_page_does_not_keep_the_others_from_the_fast_reader(monkeypatch):
    seen = []
    read = TolerantReader.read
    monkeypatch.setattr(
        TolerantReader, "read", lambda self, rows, *rest: seen.append(len(rows)) or read(self, rows, *rest)
    )
    several = [
        orjson.dumps([{"0020000D": {"vr": "UI", "Value": [f"1.{page}.{row}"]}} for row in range(3)])
        for page in range(4)
    ]
    several[2] = (
        several[2]
        .replace(b'["1.2.1"]', b'"1.2.1"')
        .replace(b"}]", b',"00200013":{"vr":"IS","Value":["12"]}}]')
    )
    table = from_pages(several, "study")
    assert seen == [3]
    assert table["StudyInstanceUID"].tolist() == [f"1.{page}.{row}" for page in range(4) for row in range(3)]
    assert table.loc[8, "InstanceNumber"] == 12
    assert table.dicom.to_json()[8]["00200013"]["Value"] == ["12"]


def test_an_attribute_that_the_sample_did_not_show_is_not_dropped():
    objects = [
        {"0020000D": {"vr": "UI", "Value": [f"1.{at}"]}, "00081030": {"vr": "LO", "Value": ["x" * 40]}}
        for at in range(3000)
    ]
    objects[1500]["00189073"] = {"vr": "FD", "Value": [2.5]}
    objects[1501]["00081032"] = {"vr": "SQ", "Value": [{"00080100": {"vr": "SH", "Value": ["C"]}}]}
    page = orjson.dumps(objects)
    shape = sample([page])
    with pytest.raises(Refused):
        read_fast([page], shape, columns_for("study", {tag: vr for tag, (vr, _) in shape.items()}))
    table = dfr.from_json(page)
    assert table.loc[1500, "AcquisitionDuration"] == 2.5
    assert table.loc[1501, "ProcedureCodeSequence"] == [{"CodeValue": "C"}]
    assert table.dicom.to_json() == objects


@pytest.mark.parametrize("page", [b"", b"  ", b"[]", b"\xef\xbb\xbf[]", b"\n[\n]\n"])
@pytest.mark.parametrize("level", ["study", "series", "instance"])
@pytest.mark.parametrize("backend", BACKENDS)
def test_an_empty_answer_has_the_dtypes_of_a_full_one(page, level, backend):
    row = {
        "0020000D": {"vr": "UI", "Value": ["1"]},
        "00080020": {"vr": "DA", "Value": ["20240101"]},
        "00400244": {"vr": "DA", "Value": ["20240101"]},
        "00100010": {"vr": "PN", "Value": [{"Alphabetic": "A"}]},
    }
    empty = dfr.from_json(page, level, backend)
    full = dfr.from_json([row], level, backend)
    assert empty.dtypes.to_dict() == full.dtypes[list(empty.columns)].to_dict()
    both = pd.concat([empty, full])
    assert both.dtypes[list(empty.columns)].to_dict() == empty.dtypes.to_dict()
    assert empty.dicom.to_json() == []
    assert len(empty.dicom.issues()) == 0


def test_a_single_object_and_text_with_odd_encodings_are_taken():
    assert dfr.from_json(b'{"0020000D": {"vr": "UI", "Value": ["1.2"]}}').loc[0, "StudyInstanceUID"] == "1.2"
    lone = dfr.from_json('[{"00081030": {"vr": "LO", "Value": ["\\ud800x"]}}]')
    assert lone.loc[0, "StudyDescription"] == "\\ud800x"
    assert lone.dicom.to_json() == [{"00081030": {"vr": "LO", "Value": ["\ud800x"]}}]
    not_utf8 = dfr.from_json(b'[{"00081030": {"vr": "LO", "Value": ["M\xfcller"]}}]')
    assert not_utf8.loc[0, "StudyDescription"] == "M\\xfcller"
    nan = dfr.from_json(b'[{"00101020": {"vr": "DS", "Value": [NaN]}}]')
    assert nan["PatientSize"].isna().all()
    assert np.isnan(nan.dicom.to_json()[0]["00101020"]["Value"][0])


@pytest.mark.parametrize(
    ("source", "words"),
    [(b"<html><body>Sign in</body></html>", "web page"), (b"[{]", "grammar"), (b"not json", "grammar")],
)
def test_what_is_no_json_is_refused_in_words(source, words):
    with pytest.raises(DecodeError, match=words):
        dfr.from_json(source)


@pytest.mark.parametrize("options", [{"level": "patient"}, {"dtype_backend": "numpy"}, {"errors": "ignore"}])
def test_unknown_options_are_named_with_what_is_accepted(options):
    with pytest.raises(QueryError, match="must be one of"):
        dfr.from_json("[]", **options)


def test_raise_names_the_row_and_the_reason_but_not_the_value():
    page = '[{"00100010": {"vr": "PN", "Value": ["A=B=C=Secret"]}}]'
    with pytest.raises(ValueRefused, match=r"Row 0, PatientName \(PN\)") as caught:
        dfr.from_json(page, errors="raise")
    assert "Secret" not in str(caught.value)
    assert "Secret" in caught.value.raw
    assert (caught.value.row, caught.value.keyword, caught.value.vr) == (0, "PatientName", "PN")


@pytest.mark.parametrize("backend", BACKENDS)
def test_every_cell_can_be_set(backend):
    raws = {"DA": "20240131", "TM": "103000", "DT": "20240131103000", "IS": 3, "DS": 1.5, "LO": "one"}
    row = {JUDGED[vr]: {"vr": vr, "Value": [raw]} for vr, raw in raws.items()}
    table = dfr.from_json(orjson.dumps([row, row]), "study", backend)
    for name in (column_of(tag).name for tag in row):
        value = table.loc[1, name]
        table.loc[0, name] = pd.NA
        table.loc[0, name] = value
        assert table.loc[0, name] == value


def test_tables_of_the_same_columns_share_no_header():
    one, other = dfr.from_json("[]"), dfr.from_json("[]")
    one.columns.name = "keyword"
    assert other.columns.name is None
    assert dfr.from_json("[]").columns.name is None


def test_an_edited_cell_gives_its_new_value_and_the_others_what_came_in():
    objects = with_uids(
        [{"00200013": {"vr": "IS", "Value": ["07"]}, "00100020": {"vr": "LO"}} for _ in range(2)]
    )
    table = dfr.from_json(objects)
    table.loc[0, "InstanceNumber"] = 8
    table.loc[0, "PatientID"] = "P1"
    assert table.dicom.to_json() == [
        {**objects[0], "00200013": {"vr": "IS", "Value": [8]}, "00100020": {"vr": "LO", "Value": ["P1"]}},
        objects[1],
    ]


@pytest.mark.parametrize("backend", BACKENDS)
def test_parquet_keeps_values_issues_and_the_way_back(tmp_path, backend):
    objects = with_uids(
        [
            {
                "00080020": {"vr": "DA", "Value": ["15000102"]},
                "00080030": {"vr": "TM", "Value": ["1030"]},
                "00280030": {"vr": "DS", "Value": [0.5, 0.25]},
                "00200013": {"vr": "IS", "Value": ["many"]},
                "00081140": {"vr": "SQ", "Value": [{"00081155": {"vr": "UI", "Value": ["1.2"]}}]},
            },
            {
                "00100010": {"vr": "PN", "Value": [{"Alphabetic": "A", "Phonetic": "B"}]},
                "00081140": {"vr": "SQ"},
            },
        ]
    )
    table = dfr.from_json(objects, dtype_backend=backend)
    table.to_parquet(tmp_path / "table.parquet")
    again = pd.read_parquet(
        tmp_path / "table.parquet", **({"dtype_backend": backend} if backend == "pyarrow" else {})
    )
    assert again.dicom.to_json() == objects
    assert again.dicom.issues()["raw"].tolist() == ["many"]
