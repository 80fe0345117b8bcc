"""WADO: documents and bulk data taken out of objects."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from dicomframe.client.bulkdata import BulkData, BulkRetriever, Written
from dicomframe.client.elementpaths import ElementPath
from dicomframe.client.facade.base import ClientBase
from dicomframe.dicom.paths import ResourcePath
from dicomframe.errors import QueryError

if TYPE_CHECKING:
    from dicomframe.images.document import Document


class UnpackVerbs(ClientBase):
    """Retrieval of single elements of objects: encapsulated documents, bulk data (PS3.18 section 10.4)."""

    _bulkdata: BulkRetriever

    def retrieve_document(self, study_uid: str, series_uid: str, instance_uid: str) -> Document:
        r"""Retrieve the document that an object encapsulates: a PDF, CDA or STL file (PS3.3 C.24.2).

        Parameters
        ----------
        study_uid, series_uid, instance_uid : str
            The instance.

        Returns
        -------
        Document
            ``data``, bytes without DICOM's padding; ``media_type``; ``title``; ``save(path)`` writes a file.

        Raises
        ------
        QueryError
            If a UID is malformed.
        NotFoundError
            If there is no such instance.
        DecodeError
            If it encapsulates no document.

        Examples
        --------
        >>> import dicomframe as dfr
        >>> from pydicom import dcmread, examples
        >>> report = dcmread(examples.get_path("ct"))
        >>> del report.PixelData
        >>> report.EncapsulatedDocument, report.EncapsulatedDocumentLength = b"%PDF-1.7 \x00", 9
        >>> report.MIMETypeOfEncapsulatedDocument = "application/pdf"
        >>> uids = report.StudyInstanceUID, report.SeriesInstanceUID, report.SOPInstanceUID
        >>> with dfr.start_local() as local:
        ...     client = local.connect()
        ...     stored = client.store([report])
        ...     client.retrieve_document(*uids).data
        b'%PDF-1.7 '
        """
        from dicomframe.images.document import document_of

        return document_of(self._retriever.instance(ResourcePath(study_uid, series_uid, instance_uid)))

    def retrieve_bulkdata(
        self,
        uri: str,
        series_uid: str | None = None,
        instance_uid: str | None = None,
        path: str | None = None,
        *,
        file: str | Path | BinaryIO | None = None,
    ) -> BulkData | Written:
        """Retrieve the bytes of one element (PS3.18 section 10.4.1.1.5).

        Parameters
        ----------
        uri : str
            A BulkDataURI as metadata hold it, absolute or relative. Whatever host it names, only this service is
            asked. Or, with the three others, the study's UID.
        series_uid, instance_uid : str, optional
            The instance, instead of a URI.
        path : str, optional
            The element in it, by tag or keyword; inside sequences with the items' numbers, from 1:
            ``"WaveformSequence/1/WaveformData"``, ``"54000100/1/54001010"``.
        file : path or binary file, optional
            Where the bytes go, bit by bit, instead of into memory. A file has its name only once it is whole.

        Returns
        -------
        BulkData or Written
            The element's value as ``bytes``, in little endian, pixel data decompressed; or, with ``file``, the number
            of bytes written (``length``). ``source`` is ``"local"`` where the server has no bulk data, or only
            compressed ones, and the element was taken from the whole instance; ``reason`` says why.

        Raises
        ------
        QueryError
            If a UID or the path is malformed.
        NotFoundError
            If there is no such instance, or no such element in it.
        UnexpectedAnswerError
            If the URI leads out of this service, or the answer is of no use.

        Examples
        --------
        >>> import dicomframe as dfr
        >>> from pydicom import dcmread, examples
        >>> ct = dcmread(examples.get_path("ct"))
        >>> with dfr.start_local() as local:
        ...     client = local.connect()
        ...     stored = client.store([ct])
        ...     uids = ct.StudyInstanceUID, ct.SeriesInstanceUID, ct.SOPInstanceUID
        ...     len(client.retrieve_bulkdata(*uids, "PixelData"))
        32768
        """
        if (series_uid, instance_uid, path) == (None, None, None):
            return self._bulkdata.by_uri(uri, file)
        if None in {series_uid, instance_uid, path}:
            raise QueryError("Give a BulkDataURI alone, or all of study, series, instance and path.")
        return self._bulkdata.by_path(
            ResourcePath(uri, series_uid, instance_uid), ElementPath.parse(path), file
        )
