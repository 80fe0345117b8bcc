"""Documents inside of DICOM objects: PDF, CDA, STL and others (PS3.3 A.45, C.24.2)."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from dicomframe.errors import DecodeError, QueryError
from dicomframe.images.reading import reading

if TYPE_CHECKING:
    from pydicom import Dataset

#: Media types of PS3.3 C.24.2, and what files of them are called. No other type names a file.
_SUFFIXES = {
    "application/pdf": ".pdf",
    "text/xml": ".xml",
    "application/sla": ".stl",
    "model/stl": ".stl",
    "model/obj": ".obj",
    "model/mtl": ".mtl",
}


@dataclass(frozen=True)
class Document:
    """A document that was in an object.

    Parameters
    ----------
    data : bytes
        The document, without the padding that DICOM adds.
    media_type : str
        MIME Type of Encapsulated Document (0042,0012), as the object tells it: ``"application/pdf"``.
    title : str
        Document Title (0042,0010). It may name a patient.
    uid : str
        SOP Instance UID.

    Examples
    --------
    `Client.retrieve_document` gives it.

    >>> Document(b"%PDF-1.7", "application/pdf", title="Report of DOE^JANE")
    Document(media_type='application/pdf')
    """

    data: bytes = field(repr=False)
    media_type: str
    title: str = field(default="", repr=False)
    uid: str = field(default="", repr=False)

    @property
    def suffix(self) -> str:
        """The ending of a file's name for the media type, ``".bin"`` for one that is not known.

        Examples
        --------
        >>> Document(b"%PDF-1.7", "application/pdf").suffix
        '.pdf'
        """
        return _SUFFIXES.get(self.media_type.split(";")[0].strip().lower(), ".bin")

    def save(self, path: str | Path) -> Path:
        """Write the document to a file, or into a folder under its SOP Instance UID; give the file's path.

        Raises
        ------
        QueryError
            If the file is there already.

        Examples
        --------
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     Document(b"%PDF-1.7", "application/pdf", uid="1.2.3").save(folder).name
        '1.2.3.pdf'
        """
        path = Path(path)
        if path.is_dir():
            is_uid = self.uid and set(self.uid) <= set("0123456789.")
            path = path / f"{self.uid if is_uid else 'document'}{self.suffix}"
        try:
            with path.open("xb") as file:
                file.write(self.data)
        except FileExistsError:
            raise QueryError("There is a file of this name already; it is left as it is.") from None
        return path


@reading("the document")
def document_of(ds: Dataset) -> Document:
    r"""Take the document out of an object.

    Parameters
    ----------
    ds : pydicom.Dataset
        With Encapsulated Document (0042,0011).

    Raises
    ------
    DecodeError
        If there is none, or it is shorter than its length says.

    Examples
    --------
    >>> from pydicom import Dataset
    >>> ds = Dataset()
    >>> ds.EncapsulatedDocument, ds.EncapsulatedDocumentLength = b"%PDF-1.7 \x00", 9
    >>> ds.MIMETypeOfEncapsulatedDocument = "application/pdf"
    >>> document_of(ds)
    Document(media_type='application/pdf')
    >>> document_of(ds).data
    b'%PDF-1.7 '
    """
    data = ds.get("EncapsulatedDocument")
    length = ds.get("EncapsulatedDocumentLength")
    if not isinstance(data, bytes) or not data:
        raise DecodeError("There is no encapsulated document in this object.")
    if length is not None and int(length) > len(data):
        raise DecodeError(f"The document is cut off: {len(data)} bytes of {int(length)} are there.")
    return Document(
        data=data if length is None else data[: int(length)],
        media_type=str(ds.get("MIMETypeOfEncapsulatedDocument") or "application/octet-stream"),
        title=str(ds.get("DocumentTitle") or ""),
        uid=str(ds.get("SOPInstanceUID") or ""),
    )
