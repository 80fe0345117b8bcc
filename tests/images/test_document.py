"""Documents come out of their objects as they went in."""

import pytest
from pydicom import Dataset

from dicomframe.errors import DecodeError, QueryError
from dicomframe.images.document import document_of

PDF = b"%PDF-1.7\nwhatever"


def holding(**attributes):
    ds = Dataset()
    ds.SOPInstanceUID = "1.2.3"
    ds.DocumentTitle = "Report on Doe^Hidden"
    ds.MIMETypeOfEncapsulatedDocument = "application/pdf"
    ds.EncapsulatedDocument = PDF + bytes(len(PDF) % 2)
    ds.EncapsulatedDocumentLength = len(PDF)
    for keyword, value in attributes.items():
        setattr(ds, keyword, value)
    return ds


def test_a_document_is_saved_without_padding_and_over_nothing(tmp_path):
    document = document_of(holding())
    assert (document.data, document.media_type) == (PDF, "application/pdf")
    assert "Doe" not in repr(document)
    path = document.save(tmp_path)
    assert (path.name, path.read_bytes()) == ("1.2.3.pdf", PDF)
    with pytest.raises(QueryError, match="already"):
        document.save(tmp_path)
    assert document.save(tmp_path / "own.pdf").read_bytes() == PDF


@pytest.mark.parametrize(
    ("media_type", "suffix"),
    [
        ("text/XML", ".xml"),
        ("model/stl", ".stl"),
        ("application/x-sh", ".bin"),
        ("../../x", ".bin"),
        ("", ".bin"),
    ],
)
def test_what_an_object_says_names_no_file(media_type, suffix, tmp_path):
    document = document_of(holding(MIMETypeOfEncapsulatedDocument=media_type))
    assert document.save(tmp_path).name == f"1.2.3{suffix}"


def test_a_document_of_unknown_length_keeps_its_padding():
    ds = holding()
    del ds.EncapsulatedDocumentLength
    assert document_of(ds).data == PDF + bytes(len(PDF) % 2)


@pytest.mark.parametrize("attributes", [{"EncapsulatedDocument": None}, {"EncapsulatedDocumentLength": 999}])
def test_no_document_or_half_a_one(attributes):
    with pytest.raises(DecodeError):
        document_of(holding(**attributes))
