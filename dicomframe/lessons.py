"""``dicomframe lab``: the lessons in a JupyterLab, in a folder of the user's own."""

from __future__ import annotations

import importlib.util
import re
import subprocess
import sys
from pathlib import Path
from typing import Final

from dicomframe.errors import DicomFrameError

#: A link to a guide, which does not come along: it would lead nowhere.
_TO_A_GUIDE: Final = re.compile(r"\[(?P<words>[^\[\]]+)\]\(\.\./(?P<guide>docs/[\w-]+\.md)[^)]*\)")
#: Where the notebooks are: in an installed package, or in a clone of the repository.
_PLACES: Final = (Path(__file__).parent / "notebooks", Path(__file__).parents[1] / "notebooks")


def copy_lessons(folder: Path) -> list[Path]:
    """Copy the lessons into a folder; a notebook that is there stays as it is, with what was done in it.

    Parameters
    ----------
    folder : pathlib.Path
        Made if it is not there.

    Returns
    -------
    list of pathlib.Path
        The notebooks that were copied.

    Raises
    ------
    DicomFrameError
        If this installation has no lessons.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     first, again = copy_lessons(Path(folder)), copy_lessons(Path(folder))
    >>> first[0].name, again
    ('01-first-look.ipynb', [])
    """
    lessons = next((sorted(place.glob("[0-9]*.ipynb")) for place in _PLACES if place.is_dir()), [])
    if not lessons:
        raise DicomFrameError(
            "This installation has no lessons; they are in the folder notebooks of the repository."
        )
    folder.mkdir(parents=True, exist_ok=True)
    missing = [lesson for lesson in lessons if not (folder / lesson.name).exists()]
    for lesson in missing:
        text = _TO_A_GUIDE.sub(_named, lesson.read_text(encoding="utf-8"))
        (folder / lesson.name).write_text(text, encoding="utf-8")
    return [folder / lesson.name for lesson in missing]


def _named(link: re.Match[str]) -> str:
    where = f"`{link['guide']}` in the repository"
    return where if link["words"] == link["guide"] else f"{link['words']} ({where})"


def run(folder: Path, options: list[str]) -> int:
    """Copy the lessons and open them in JupyterLab, which answers this machine only, until it is ended.

    Parameters
    ----------
    folder : pathlib.Path
        Where the lessons go, and JupyterLab begins.
    options : list of str
        More for ``jupyter lab``.

    Returns
    -------
    int
        JupyterLab's exit code.

    Raises
    ------
    DicomFrameError
        If JupyterLab is not installed.
    """
    if importlib.util.find_spec("jupyterlab") is None:
        raise DicomFrameError("This needs JupyterLab: pip install 'dicomframe[notebook,samples]'.")
    copied = copy_lessons(folder)
    number = f"{len(copied)} lesson{'s' * (len(copied) != 1)}"
    print(f"{folder}: {number} copied" if copied else f"{folder}: the lessons are there")
    begin = [str(folder / "01-first-look.ipynb")] if (folder / "01-first-look.ipynb").exists() else []
    command = [
        sys.executable,
        "-m",
        "jupyterlab",
        "--ServerApp.ip=127.0.0.1",
        f"--ServerApp.root_dir={folder.resolve()}",
    ]
    process = subprocess.Popen([*command, *options, *begin])  # noqa: S603 - our own words, and the user's
    while True:
        try:
            return process.wait()
        except KeyboardInterrupt:
            # The same key press reached JupyterLab, which asks whether it is meant.
            continue
