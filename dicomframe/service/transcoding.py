"""One DICOM file in another transfer syntax."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path
from typing import Final

from dicomframe.service.header import EXPLICIT_BIG, EXPLICIT_LITTLE, IMPLICIT_LITTLE
from dicomframe.service.negotiation import AS_STORED, JPEG_2000_LOSSLESS

_UNCOMPRESSED: Final = {IMPLICIT_LITTLE, EXPLICIT_LITTLE, EXPLICIT_BIG}
#: What can be read; anything else is sent as it is stored or not at all.
READABLE: Final = _UNCOMPRESSED | {
    f"1.2.840.10008.1.2.{last}" for last in ("4.50", "4.57", "4.70", "4.90", "4.91", "5")
}
_WRITABLE: Final = {EXPLICIT_LITTLE}


class CannotTranscode(Exception):
    """The pixels cannot be brought into the transfer syntax."""


def can_send(stored: str, wanted: str) -> bool:
    """Tell whether a file of one transfer syntax can be sent in another."""
    return wanted in {AS_STORED, stored} or (stored in READABLE and wanted in _WRITABLE)


def needs_transcoding(stored: str, wanted: str) -> bool:
    """Tell whether the bytes as stored will not do."""
    return wanted not in {AS_STORED, stored}


def transcode(path: Path, wanted: str) -> bytes:
    """Give a file in another transfer syntax.

    Raises
    ------
    CannotTranscode
        If its pixels cannot be decoded.
    """
    from pydicom import dcmread, dcmwrite
    from pydicom.uid import ExplicitVRLittleEndian

    if wanted == JPEG_2000_LOSSLESS:
        raise CannotTranscode
    dataset = dcmread(path)
    stored = str(dataset.file_meta.TransferSyntaxUID)
    if stored not in _UNCOMPRESSED:
        try:
            dataset.decompress(generate_instance_uid=False)
        except Exception as error:
            raise CannotTranscode from error
    out = BytesIO()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dcmwrite(out, dataset, implicit_vr=False, little_endian=True, enforce_file_format=True, overwrite=True)
    return out.getvalue()
