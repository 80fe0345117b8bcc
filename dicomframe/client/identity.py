"""Which instance a file holds, from its header alone."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from dicomframe.errors import DecodeError

_TAGS = {"sop_class": 0x00080016, "instance": 0x00080018, "study": 0x0020000D, "series": 0x0020000E}


@dataclass(frozen=True, slots=True)
class Identity:
    """The UIDs of an instance; a missing one is empty."""

    study: str = ""
    series: str = ""
    instance: str = ""
    sop_class: str = ""


def read_identity(source: Path | BinaryIO) -> Identity:
    """Read the UIDs of a DICOM file (PS3.10); pixels and other large values are not touched.

    Raises
    ------
    DecodeError
        If it is no DICOM file, or one without a SOP Instance UID, such as a DICOMDIR.
    OSError
        If it cannot be read.
    """
    from pydicom import dcmread
    from pydicom.errors import InvalidDicomError

    tags = list(_TAGS.values())
    problem = "this is no DICOM file"
    for force in (False, True):
        try:
            if not isinstance(source, Path):
                source.seek(0)
            dataset = dcmread(source, stop_before_pixels=True, specific_tags=tags, force=force)
            # The raw bytes: pydicom would judge the values, and warn.
            found = {name: _uid(dataset.get_item(tag)) for name, tag in _TAGS.items()}
        except InvalidDicomError:
            # Some writers leave the preamble out (pydicom itself does); it may be DICOM all the same.
            continue
        except OSError:
            raise
        except Exception as error:  # noqa: BLE001 - pydicom raises many kinds on damaged files
            problem = f"the DICOM header is damaged ({type(error).__name__})"
            break
        if found["instance"] and (found["sop_class"] or not force):
            return Identity(**found)
        if not force:
            problem = "it has no SOP Instance UID; a DICOMDIR is not an instance"
            break
    raise DecodeError(problem)


def _uid(element: object) -> str:
    value = getattr(element, "value", None)
    if isinstance(value, bytes):
        value = value.decode("ascii", "replace")
    return str(value).strip(" \0") if value else ""
