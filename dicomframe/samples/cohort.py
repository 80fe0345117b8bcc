"""The teaching cohort as DICOM files: made anew, byte for byte the same, whenever it is asked for."""

from __future__ import annotations

import io
import struct
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from dicomframe.samples.plan import PROTOCOLS, Study, studies, uid_of

if TYPE_CHECKING:
    from pydicom import Dataset

    from dicomframe.samples.headers import Values

IMPLEMENTATION_UID = uid_of("implementation")


def cohort(wanted: Iterable[Study] | None = None) -> Iterator[Dataset]:
    """Make the instances of the teaching cohort, one after the other.

    Parameters
    ----------
    wanted : iterable of Study, optional
        Some of `studies`; by default all.

    Yields
    ------
    pydicom.Dataset
        With file meta information and preamble, ready to be stored or saved. Studies come in the order of their
        dates, slices in the order of their numbers. All people are invented, all images computed; each run gives the
        same bytes.

    Examples
    --------
    >>> first = next(cohort())
    >>> first.PatientID[:2], first.file_meta.TransferSyntaxUID.name
    ('DF', 'Explicit VR Little Endian')
    """
    from pydicom import dcmread

    for _, content in cohort_files(wanted):
        yield dcmread(io.BytesIO(content))


def write_cohort(folder: str | Path, wanted: Iterable[Study] | None = None) -> list[Path]:
    """Write the teaching cohort as Part 10 files.

    Parameters
    ----------
    folder : str or pathlib.Path
        Made if it is not there. Files of the same names are replaced.
    wanted : iterable of Study, optional
        Some of `studies`; by default all.

    Returns
    -------
    list of pathlib.Path
        ``folder/PatientID/date-study-modality-series/number.dcm``, one an instance.

    Examples
    --------
    >>> import tempfile
    >>> from dicomframe.samples import studies
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     len(write_cohort(folder, [study for study in studies() if study.modality == "CT"][:1]))
    24
    """
    paths = []
    for name, content in cohort_files(wanted):
        path = Path(folder, name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        paths.append(path)
    return paths


def cohort_files(wanted: Iterable[Study] | None = None) -> Iterator[tuple[str, bytes]]:
    """Make the teaching cohort as Part 10 files in memory.

    Parameters
    ----------
    wanted : iterable of Study, optional
        Some of `studies`; by default all.

    Yields
    ------
    (str, bytes)
        A relative path with forward slashes, and the file's content.
    """
    from dicomframe.samples.acquisition import instances
    from dicomframe.samples.headers import series_header
    from dicomframe.samples.series import SERIES

    for study in studies() if wanted is None else wanted:
        for number, key in enumerate(PROTOCOLS[study.protocol].series, start=1):
            plan = SERIES[key]
            header = series_header(study, plan, number, study.modality)
            shared: dict[int, bytes] = {}
            for own, picture in instances(study, plan, header):
                shared = shared or _encoded(header)
                folder = f"{study.patient.patient_id}/{study.start:%Y%m%d}-{study.study_id}-{study.modality}-{number}"
                yield (
                    f"{folder}/{int(str(own['InstanceNumber'])):04d}.dcm",
                    _part10(header, shared, own, picture),
                )


def _encoded(header: Dataset) -> dict[int, bytes]:
    """Encode each element of a data set as Explicit VR Little Endian."""
    from pydicom.filebase import DicomBytesIO
    from pydicom.filewriter import write_data_element

    found = {}
    for element in header:
        buffer = DicomBytesIO()
        buffer.is_little_endian, buffer.is_implicit_VR = True, False
        write_data_element(buffer, element, ["utf_8"])
        found[int(element.tag)] = buffer.getvalue()
    return found


@cache
def _tag_and_vr(keyword: str) -> tuple[int, bytes]:
    from pydicom.datadict import dictionary_VR, tag_for_keyword

    tag = tag_for_keyword(keyword)
    assert tag is not None, keyword  # noqa: S101 - the keywords are literals of this package
    return tag, dictionary_VR(tag).encode()


def _encoded_text(attributes: dict[str, Values]) -> dict[int, bytes]:
    """Encode the few attributes of one instance, all of short text or US; pydicom takes ten times as long."""
    found = {}
    for keyword, value in attributes.items():
        tag, vr = _tag_and_vr(keyword)
        text = value if isinstance(value, str) else "\\".join(value)
        raw = struct.pack("<H", int(text)) if vr == b"US" else text.encode()
        raw += (b"\0" if vr == b"UI" else b" ") * (len(raw) % 2)
        found[tag] = struct.pack("<HH2sH", tag >> 16, tag & 0xFFFF, vr, len(raw)) + raw
    return found


def _part10(
    header: Dataset, shared: dict[int, bytes], own: dict[str, Values], picture: NDArray[Any]
) -> bytes:
    """Put a file together (PS3.10 section 7.1): preamble, meta information, elements in the order of their tags."""
    elements = shared | _encoded_text(own)
    body = b"".join(elements[tag] for tag in sorted(elements))
    return b"".join((_meta(str(header.SOPClassUID), str(own["SOPInstanceUID"])), body, _pixel_data(picture)))


def _meta(sop_class: str, sop_instance: str) -> bytes:
    from pydicom.uid import ExplicitVRLittleEndian

    def text(element: int, vr: bytes, value: str) -> bytes:
        padding = b"\0" if vr == b"UI" else b" "
        raw = value.encode() + padding * (len(value) % 2)
        return struct.pack("<HH2sH", 0x0002, element, vr, len(raw)) + raw

    group = b"".join(
        (
            struct.pack("<HH2sHI", 0x0002, 0x0001, b"OB", 0, 2) + b"\x00\x01",
            text(0x0002, b"UI", sop_class),
            text(0x0003, b"UI", sop_instance),
            text(0x0010, b"UI", str(ExplicitVRLittleEndian)),
            text(0x0012, b"UI", IMPLEMENTATION_UID),
            text(0x0013, b"SH", "DICOMFRAME"),
        )
    )
    return b"\0" * 128 + b"DICM" + struct.pack("<HH2sHI", 0x0002, 0x0000, b"UL", 4, len(group)) + group


def _pixel_data(picture: NDArray[Any]) -> bytes:
    vr = b"OB" if picture.dtype == np.uint8 else b"OW"
    raw = np.ascontiguousarray(picture, dtype=picture.dtype.newbyteorder("<")).tobytes()
    raw += b"\0" * (len(raw) % 2)
    return struct.pack("<HH2sHI", 0x7FE0, 0x0010, vr, 0, len(raw)) + raw
