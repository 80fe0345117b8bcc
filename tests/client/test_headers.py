"""A few attributes of the objects themselves: the quick reader against pydicom, and the verb against the service."""

import io
import warnings
from pathlib import Path

import orjson
import pandas as pd
import pydicom.data
import pytest
from pydicom import Dataset, dcmread
from pydicom.data import get_testdata_file
from pydicom.uid import ImplicitVRLittleEndian

import dicomframe as dfr
from dicomframe.client.elements import HEAD_BYTES, Unusual
from dicomframe.client.headers import HeaderReader
from dicomframe.dicom import tags
from dicomframe.dicom.dicomjson import from_dataset
from dicomframe.errors import (
    DecodeError,
    DicomFrameError,
    NotFoundError,
    QueryError,
    TruncatedBody,
    UnexpectedAnswerError,
)

# One of each kind: texts, names, dates, numbers as text and in binary, an open VR, sequences, private, bulk, unknown.
KEYWORDS = (
    "SOPInstanceUID StudyInstanceUID SeriesInstanceUID SpecificCharacterSet ImageType StudyDate StudyTime"
    " AccessionNumber Modality Manufacturer InstitutionName ReferringPhysicianName StudyDescription PatientName"
    " PatientID PatientAge PatientComments SliceThickness ImagePositionPatient PixelSpacing InstanceNumber"
    " FrameIncrementPointer Rows Columns BitsStored WindowCenter SmallestImagePixelValue RescaleSlope"
    " ReferencedStudySequence DerivationCodeSequence 00090010 00091001 00191002 00431029 PixelData"
).split()
WANTED = [tags.attribute(name) for name in KEYWORDS]
# The sequences and bulk data send every file that has them to pydicom, so the quick reader needs a list of its own.
SIMPLE = [each for each in WANTED if "Sequence" not in each.keyword and each.keyword != "PixelData"]
# What every file has in a form that needs no judgement.
PLAIN = [each for each in SIMPLE if each.keyword and each.keyword != "SmallestImagePixelValue"]


class Bytes:
    """An object that comes in pieces, each of which is gone when the next one comes."""

    def __init__(self, content, size):
        self._content, self._size = content, size

    def iter_bytes(self):
        for at in range(0, len(self._content), self._size):
            piece = memoryview(bytearray(self._content[at : at + self._size]))
            yield piece
            piece[:] = bytes(len(piece))

    def write_to(self, file):
        return sum(file.write(piece) for piece in self.iter_bytes())


def as_json(row):
    """Give a row as the DICOM JSON object that becomes part of a page."""
    return orjson.loads(b"{%b}" % b",".join(row.values()))


def real_files():
    return sorted(Path(pydicom.data.__file__).parent.rglob("*.dcm"))


def by_pydicom(content, wanted):
    """Give what pydicom reads, or None where it reads no instance."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            dataset = dcmread(io.BytesIO(content), force=content[:2] in {b"\x02\0", b"\x08\0", b"\0\x08"})
            row = from_dataset(dataset, bulk="drop")
        except Exception:  # noqa: BLE001 - broken on purpose, some of them
            return None
    return {each.tag: row[each.tag] for each in wanted if each.tag in row} if "00080018" in row else None


@pytest.mark.parametrize("wanted", [WANTED, SIMPLE, SIMPLE[:3]], ids=["all", "simple", "uids"])
@pytest.mark.parametrize("size", [1 << 18, 1000])
def test_all_real_files_have_the_values_that_pydicom_reads(wanted, size):
    reader = HeaderReader(wanted)
    quick = compared = 0
    for file in real_files():
        content = file.read_bytes()
        expected = by_pydicom(content, wanted)
        try:
            found = as_json(reader.read(Bytes(content, size)))
        except DicomFrameError:
            found = None
        if expected is not None and found is not None:
            assert found == expected, file.name
            compared += 1
        try:
            row = as_json(reader.quick(content[:HEAD_BYTES], is_whole=len(content) < HEAD_BYTES))
        except Unusual:
            continue
        quick += 1
        assert row == expected, file.name
    assert compared > 90
    assert quick > (5 if wanted is WANTED else 60)


@pytest.mark.parametrize("name", ["CT_small.dcm", "MR_small_implicit.dcm", "MR_small_bigendian.dcm"])
def test_a_file_cut_anywhere_is_never_read_differently(name):
    """Whatever the quick reader takes of a cut file stands whole in what is there."""
    content = Path(get_testdata_file(name, download=False)).read_bytes()
    reader = HeaderReader(PLAIN)
    whole = reader.quick(content, is_whole=True)
    taken = 0
    for cut in range(3000):
        try:
            row = reader.quick(content[:cut], is_whole=True)
        except Unusual:
            continue
        taken += 1
        assert row.items() <= whole.items()
        assert set(row) == {tag for tag in whole if tag <= max(row)}
    assert taken > 10


def spoilt(change):
    dataset = dcmread(get_testdata_file("CT_small.dcm", download=False))
    change(dataset)
    buffer = io.BytesIO()
    dataset.save_as(buffer, enforce_file_format=True)
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("charset", "is_quick"),
    [
        (None, True),
        ("ISO_IR 100", True),
        ("ISO_IR 192", True),
        ("ISO_IR 144", False),
        ("\\ISO 2022 IR 87", False),
    ],
)
def test_character_sets(charset, is_quick):
    def change(dataset):
        dataset.SpecificCharacterSet = (charset or "").split("\\")
        raw = {"ISO_IR 192": "Müller^é".encode(), "\\ISO 2022 IR 87": b"Y=\x1b$B;3ED\x1b(B"}
        dataset.add_new("PatientComments", "LT", raw.get(charset, "Äß".encode("latin-1")))

    content = spoilt(change)
    reader = HeaderReader(PLAIN)
    assert as_json(reader.read(Bytes(content, 999))) == by_pydicom(content, PLAIN)
    if is_quick:
        reader.quick(content[:HEAD_BYTES], is_whole=len(content) < HEAD_BYTES)
    else:
        with pytest.raises(Unusual):
            reader.quick(content[:HEAD_BYTES], is_whole=len(content) < HEAD_BYTES)


def test_a_header_past_the_first_bytes_goes_to_pydicom():
    def change(dataset):
        dataset.add_new(0x00091010, "LO", "PRIVATE")
        dataset.add_new(0x00091011, "OB", b"\0" * 100_000)

    content = spoilt(change)
    reader = HeaderReader(PLAIN)
    with pytest.raises(Unusual):
        reader.quick(content[:HEAD_BYTES], is_whole=False)
    assert as_json(reader.read(Bytes(content, 4096))) == by_pydicom(content, PLAIN)


@pytest.mark.parametrize("content", [b"", b"no DICOM at all" * 100, bytes(200)])
def test_what_is_no_object_is_an_error(content):
    with pytest.raises(DecodeError):
        HeaderReader(PLAIN).read(Bytes(content, 64))


# -- the verb --------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def local():
    names = ("CT_small.dcm", "MR_small_implicit.dcm", "MR_small.dcm", "rtplan.dcm", "liver_1frame.dcm")
    with dfr.start_local() as service:
        files = [get_testdata_file(name, download=False) for name in names]
        assert set(service.connect(progress=False).store(files)["status"]) <= {"stored", "warning", "exists"}
        yield service


def test_the_table_has_the_metadatas_values(local):
    """Where the service has metadata too, both ways give one table."""
    client = local.connect(progress=False)
    keywords = [each.column for each in PLAIN][3:]
    studies = client.search_studies().to_frame()
    assert len(studies) >= 4
    found = studies.dicom.headers(keywords)
    expected = studies.dicom.metadata(keywords)
    assert list(found) == list(expected)
    pd.testing.assert_frame_equal(found, expected)
    one = found.iloc[0]
    alone = client.retrieve_headers(
        one["StudyInstanceUID"], one["SeriesInstanceUID"], one["SOPInstanceUID"], keywords=keywords
    )
    pd.testing.assert_frame_equal(alone, found.head(1))
    assert alone.attrs["dicom"]["service"] == client.url


def test_bad_input(local):
    client = local.connect(progress=False)
    study = client.search_studies().to_frame()["StudyInstanceUID"].iloc[0]
    with pytest.raises(QueryError, match="UID"):
        client.retrieve_headers("no uid", keywords=["Rows"])
    with pytest.raises(QueryError, match="Rowz"):
        client.retrieve_headers(study, keywords=["Rowz"])
    with pytest.raises(QueryError, match="file meta"):
        client.retrieve_headers(study, keywords=["TransferSyntaxUID"])
    with pytest.raises(NotFoundError):
        client.retrieve_headers("1.2.3.4", keywords=["Rows"])
    empty = client.search_studies().to_frame().head(0).dicom.headers(["Rows"])
    assert (len(empty), str(empty["Rows"].dtype)) == (0, "Int64")


def test_an_object_of_another_study_is_refused(serve, connect, reply):
    content = Path(get_testdata_file("CT_small.dcm", download=False)).read_bytes()
    client = connect(serve(lambda asked: reply(200, content, {"Content-Type": "application/dicom"})).url)
    with pytest.raises(UnexpectedAnswerError, match="another StudyInstanceUID"):
        client.retrieve_headers("1.2.3", keywords=["Rows"])


def test_an_object_cut_off_in_front_of_its_uids_gives_no_row():
    """Also where an element ends just there."""
    content = Path(get_testdata_file("MR_small.dcm", download=False)).read_bytes()
    end = content.index(b"\x20\x00\x0d\x00UI")
    for kept in (0, 140, 200, end, content.index(b"\x20\x00\x0e\x00UI")):
        with pytest.raises(TruncatedBody, match="cut off"):
            HeaderReader([tags.attribute("PatientID")]).read(Bytes(content[:kept], 1 << 20))


def test_implicit_objects_without_sequences_are_read_quickly():
    made = Dataset()
    made.SOPClassUID, made.SOPInstanceUID, made.Rows = "1.2.840.10008.5.1.4.1.1.2", "1.2.3", 5
    buffer = io.BytesIO()
    made.file_meta = pydicom.dataset.FileMetaDataset()
    made.file_meta.TransferSyntaxUID = ImplicitVRLittleEndian
    made.save_as(buffer, enforce_file_format=True)
    row = HeaderReader([tags.attribute("Rows")]).quick(buffer.getvalue(), is_whole=True)
    assert as_json(row) == {
        "00080018": {"vr": "UI", "Value": ["1.2.3"]},
        "00280010": {"vr": "US", "Value": [5]},
    }
