"""One DICOM file in another transfer syntax."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Final

from dicomframe.service.header import EXPLICIT_BIG, EXPLICIT_LITTLE, IMPLICIT_LITTLE
from dicomframe.service.negotiation import AS_STORED

if TYPE_CHECKING:
    from pydicom import DataElement, Dataset

_UNCOMPRESSED: Final = {IMPLICIT_LITTLE, EXPLICIT_LITTLE, EXPLICIT_BIG}
#: What can be read; anything else is sent as it is stored or not at all.
READABLE: Final = _UNCOMPRESSED | {
    f"1.2.840.10008.1.2.{last}" for last in ("4.50", "4.57", "4.70", "4.90", "4.91", "5")
}
_WRITABLE: Final = {EXPLICIT_LITTLE}
#: Bytes in a word of the bulk VRs (PS3.5 table 6.2-1).
_WORD_BYTES: Final = {"OD": 8, "OF": 4, "OL": 4, "OV": 8, "OW": 2}


class CannotTranscode(Exception):
    """The pixels cannot be brought into the transfer syntax."""


def can_send(stored: str, wanted: str) -> bool:
    """Tell whether a file of one transfer syntax can be sent in another."""
    return wanted in {AS_STORED, stored} or (stored in READABLE and wanted in _WRITABLE)


def needs_transcoding(stored: str, wanted: str) -> bool:
    """Tell whether the bytes as stored will not do."""
    return wanted not in {AS_STORED, stored}


def to_explicit_little(path: Path) -> bytes:
    """Give a file in Explicit VR Little Endian, its pixels decoded.

    Raises
    ------
    CannotTranscode
        If that fails.
    FileNotFoundError
        If the file is gone.
    """
    try:
        return _rewritten(path)
    except FileNotFoundError:
        raise
    except Exception:  # noqa: BLE001 - each decoder has errors of its own
        # Not chained: a decoder's words may repeat values of the file.
        raise CannotTranscode from None


def _rewritten(path: Path) -> bytes:
    from pydicom import dcmread, dcmwrite
    from pydicom.uid import ExplicitVRLittleEndian

    dataset = dcmread(path)
    stored = str(dataset.file_meta.TransferSyntaxUID)
    if stored not in _UNCOMPRESSED and "PixelData" in dataset:
        dataset.decompress(generate_instance_uid=False)
    if stored == EXPLICIT_BIG:
        dataset.walk(_swap)
    out = BytesIO()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dcmwrite(out, dataset, implicit_vr=False, little_endian=True, enforce_file_format=True, overwrite=True)
    return out.getvalue()


def _swap(dataset: Dataset, element: DataElement) -> None:
    """Turn the words of a bulk value round; pydicom does that for numbers, not for bytes."""
    import numpy as np

    width = _WORD_BYTES.get(element.VR)
    if width is None or not element.value:
        return
    if element.keyword == "PixelData":
        width = max(width, dataset.BitsAllocated // 8)
    element.value = np.frombuffer(element.value, f"u{width}").byteswap().tobytes()
