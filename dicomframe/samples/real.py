"""Real DICOM files that come inside installed packages; nothing is ever downloaded."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

#: Packages that carry DICOM files, and the folder inside each. `pydicom-data` installs itself as `data_store`.
_HOMES = (("pydicom", "data"), ("data_store", "data"))

#: Patient IDs in pydicom's own files whose images are worth showing first: a CT of the skull base, an MR of the liver,
#: ultrasound of a lymph node and of a heart. (A list: a search takes it to mean any of them.)
SHOWN_REAL_PATIENTS = ["JXD191021006", "021234567", "13US1", "204"]


def real_files() -> list[Path]:
    """Give the real DICOM files of the installed `pydicom` package and, if it is installed, of `pydicom-data`.

    Returns
    -------
    list of pathlib.Path
        Sorted by package and path: images, reports, plans, waveforms and media directories in many transfer syntaxes
        and character sets, some of them damaged on purpose. A file counts if it has the prefix of PS3.10, or is named
        ``.dcm`` (some lack the prefix).

    Notes
    -----
    Both packages are MIT-licensed. ``pip install "dicomframe[samples]"`` brings `pydicom-data`.

    Examples
    --------
    >>> len(real_files()) > 150
    True
    """
    found: list[Path] = []
    for package, folder in _HOMES:
        spec = find_spec(package)
        if spec is None or not spec.submodule_search_locations:
            continue
        home = Path(next(iter(spec.submodule_search_locations))) / folder
        found.extend(path for path in sorted(home.rglob("*"), key=lambda path: path.parts) if _is_dicom(path))
    return found


def _is_dicom(path: Path) -> bool:
    if not path.is_file():
        return False
    if path.suffix.lower() == ".dcm":
        return True
    with path.open("rb") as file:
        return file.read(132)[128:] == b"DICM"
