"""Where in a folder downloaded files go: paths made of UIDs, which come from a server and are not to be trusted."""

from __future__ import annotations

import os
import re
from string import Formatter

from dicomframe.client.identity import Identity
from dicomframe.client.outcomes import UID_COLUMNS
from dicomframe.dicom.paths import check_uid
from dicomframe.errors import QueryError

DEFAULT_LAYOUT = "{StudyInstanceUID}/{SeriesInstanceUID}/{SOPInstanceUID}.dcm"
#: In it, the sizes of the files that were finished: how a whole file is told from one that another program cut short.
LEDGER = ".dicomframe-download.jsonl"

_BAD_IN_PATH = re.compile(r'[\x00-\x1f<>:"|?*\\]')
# Names of devices, whatever their suffix, and names whose last dots and spaces would be dropped: on Windows they are
# not the files that they seem to be.
_BAD_ON_WINDOWS = re.compile(
    r"(?:CON|PRN|AUX|NUL|CONIN\$|CONOUT\$|(?:COM|LPT)[0-9\xb9\xb2\xb3])(?:\..*)?|.*[. ]", re.IGNORECASE
)
#: Bytes of one name in a path, on common file systems.
_MOST_NAME_BYTES = 255


class Layout:
    """Where in the folder an instance's file goes.

    Parameters
    ----------
    text : str
        A path with ``{StudyInstanceUID}``, ``{SeriesInstanceUID}`` and ``{SOPInstanceUID}`` in it, the last one
        always: two instances must not share a file. Nothing else may be filled in, because names and identifiers
        of patients do not belong into paths.

    Raises
    ------
    QueryError
        If it is not so, or leads out of the folder.
    """

    #: Whether names must be such that Windows takes them as they are.
    on_windows = os.name == "nt"

    def __init__(self, text: str = DEFAULT_LAYOUT) -> None:
        try:
            pieces = list(Formatter().parse(text))
        except (ValueError, TypeError):
            raise QueryError("layout= is no path with {...} in it.") from None
        fields = [name for _, name, _, _ in pieces if name is not None]
        if any(name not in UID_COLUMNS for name in fields) or any(
            spec or turn for _, _, spec, turn in pieces
        ):
            raise QueryError(f"layout= may hold only {', '.join(f'{{{name}}}' for name in UID_COLUMNS)}.")
        if "SOPInstanceUID" not in fields:
            raise QueryError(
                "layout= must hold {SOPInstanceUID}, so that each instance has a file of its own."
            )
        literal = "".join(literal for literal, *_ in pieces)
        steps = text.split("/")
        is_odd = any(not step or step.startswith(".") or self._is_other_on_windows(step) for step in steps)
        if is_odd or _BAD_IN_PATH.search(literal):
            raise QueryError("layout= must be a path inside the folder, with '/' between plain names.")
        self._text = text

    def path_of(self, uids: Identity) -> str:
        """Give the path, relative to the folder; the UIDs are checked, because a server may send anything.

        Raises
        ------
        QueryError
            If a UID is malformed, or makes a name that is hidden, too long or, on Windows, not this file's.
        """
        values = (uids.study, uids.series, uids.instance)
        path = self._text.format(
            **{name: check_uid(uid, name) for name, uid in zip(UID_COLUMNS, values, strict=True)}
        )
        for step in path.split("/"):
            if (
                step.startswith(".")
                or len(step.encode()) > _MOST_NAME_BYTES
                or self._is_other_on_windows(step)
            ):
                raise QueryError(
                    "The UIDs do not make a file name that is safe here; another layout= may do."
                )
        return path

    def _is_other_on_windows(self, step: str) -> bool:
        return self.on_windows and _BAD_ON_WINDOWS.fullmatch(step) is not None
