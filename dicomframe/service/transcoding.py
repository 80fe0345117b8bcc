"""One DICOM file in another transfer syntax."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Final

from dicomframe.dicom.quiet import quiet
from dicomframe.service.header import EXPLICIT_BIG, EXPLICIT_LITTLE, IMPLICIT_LITTLE
from dicomframe.service.negotiation import AS_STORED, JPEG_2000_LOSSLESS
from dicomframe.service.stored_file import WORD_BYTES, StoredFile

# Every retrieval asks here whether there is anything to do. What does it needs numpy and pydicom.
if TYPE_CHECKING:
    from pydicom import DataElement, Dataset

    from dicomframe.service.pixels import Pixels

_UNCOMPRESSED: Final = {IMPLICIT_LITTLE, EXPLICIT_LITTLE, EXPLICIT_BIG}
#: What can be read; anything else is sent as it is stored or not at all.
READABLE: Final = _UNCOMPRESSED | {
    f"1.2.840.10008.1.2.{last}" for last in ("4.50", "4.57", "4.70", "4.90", "4.91", "5")
}
_WRITABLE: Final = {EXPLICIT_LITTLE, JPEG_2000_LOSSLESS}
#: They describe the fragments that were.
_OFFSET_TABLES: Final = ("ExtendedOffsetTable", "ExtendedOffsetTableLengths")


class CannotTranscode(Exception):
    """The pixels cannot be brought into the transfer syntax."""


def can_send(stored: str, wanted: str) -> bool:
    """Tell whether a file of one transfer syntax can be sent in another."""
    return wanted in {AS_STORED, stored} or (stored in READABLE and wanted in _WRITABLE)


def needs_transcoding(stored: str, wanted: str) -> bool:
    """Tell whether the bytes as stored will not do."""
    return wanted not in {AS_STORED, stored}


def transcoded(path: Path, wanted: str) -> bytes:
    """Give a file in another transfer syntax, its identity unchanged.

    Parameters
    ----------
    path : Path
        The file as stored.
    wanted : str
        Explicit VR Little Endian or JPEG 2000 lossless.

    Raises
    ------
    CannotTranscode
        If that fails.
    FileNotFoundError
        If the file is gone.
    """
    try:
        return _rewritten(path, wanted)
    except FileNotFoundError:
        raise
    except Exception:  # noqa: BLE001 - each decoder has errors of its own
        # Not chained: a decoder's words may repeat values of the file.
        raise CannotTranscode from None


def frame(pixels: Pixels, index: int, wanted: str) -> bytes:
    """Give one frame in a transfer syntax: its bytes in Pixel Data, without items and padding.

    Raises
    ------
    CannotDecode
        If that is impossible.
    """
    from dicomframe.service import jpeg2000
    from dicomframe.service.pixels import CannotDecode

    stored = pixels.file.transfer_syntax
    if not needs_transcoding(stored, wanted):
        return pixels.as_stored(index)
    if not can_send(stored, wanted):
        raise CannotDecode(f"The stored transfer syntax {stored} cannot be brought into {wanted}.")
    if wanted == EXPLICIT_LITTLE:
        return pixels.uncompressed(index)
    return jpeg2000.encode(pixels.decoded(index), pixels.layout)


def _rewritten(path: Path, wanted: str) -> bytes:
    from pydicom import dcmread, dcmwrite
    from pydicom.uid import UID

    from dicomframe.service.pixels import NoPixelData, Pixels

    file = StoredFile.open(path)
    stored = file.transfer_syntax
    try:
        pixels: Pixels | None = Pixels(file)
    except NoPixelData:
        pixels = None
    with quiet():
        dataset = dcmread(path)
        if file.header.implicit:
            # Some files leave VRs out against their transfer syntax; pydicom gives elements theirs when it is asked.
            for _ in dataset.iterall():
                pass
        if stored == EXPLICIT_BIG:
            dataset.walk(_swap)
    if pixels is not None and (stored not in _UNCOMPRESSED or wanted != EXPLICIT_LITTLE):
        _replace_pixels(dataset, pixels, wanted)
    out = BytesIO()
    with quiet():
        dataset.file_meta.TransferSyntaxUID = UID(wanted)
        dcmwrite(
            out, dataset, implicit_vr=False, little_endian=True, enforce_file_format=True, overwrite=True
        )
    return out.getvalue()


def _replace_pixels(dataset: Dataset, pixels: Pixels, wanted: str) -> None:
    from pydicom import DataElement
    from pydicom.encaps import encapsulate

    from dicomframe.service import jpeg2000

    frames, photometric = [], ""
    for index in range(pixels.count):
        decoded = pixels.decoded(index)
        photometric = decoded.photometric
        frames.append(
            pixels.packed(decoded) if wanted == EXPLICIT_LITTLE else jpeg2000.encode(decoded, pixels.layout)
        )
    with quiet():
        for keyword in _OFFSET_TABLES:
            if keyword in dataset:
                del dataset[keyword]
        if wanted == EXPLICIT_LITTLE:
            value = b"".join(frames)
            value += b"\0" * (len(value) % 2)
            vr = "OB" if pixels.layout.allocated <= 8 else "OW"
        else:
            value, vr = encapsulate(frames), "OB"
        dataset["PixelData"] = DataElement("PixelData", vr, value)
        dataset["PixelData"].is_undefined_length = wanted != EXPLICIT_LITTLE
        if pixels.layout.samples > 1:
            dataset.PhotometricInterpretation = photometric
            dataset.PlanarConfiguration = 0


def _swap(dataset: Dataset, element: DataElement) -> None:
    """Turn the words of a bulk value round; pydicom does that for numbers, not for bytes."""
    import numpy as np

    width = WORD_BYTES.get(element.VR)
    if width is None or not element.value:
        return
    if element.keyword == "PixelData":
        width = max(width, dataset.BitsAllocated // 8)
    element.value = np.frombuffer(element.value, f"u{width}").byteswap().tobytes()
