"""What a lake says of itself, in the description of its table of changes: its format, and whose it is."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import orjson

from dicomframe.errors import LakeError
from dicomframe.lake.delta import Table, is_table

_FORMAT: Final = 1


def about(service: str) -> str:
    """Write it, as JSON.

    Examples
    --------
    >>> about("http://localhost/v2")
    '{"dicomframe lake":1,"service":"http://localhost/v2"}'
    """
    return orjson.dumps({"dicomframe lake": _FORMAT, "service": service}).decode()


def about_of(changes: Table, options: Mapping[str, str] | None) -> dict[str, Any]:
    """Read it.

    Parameters
    ----------
    changes : Table
        The table of changes.
    options : mapping, optional
        What the storage needs to know.

    Raises
    ------
    LakeError
        If there is no lake, or none of this version.
    """
    if not is_table(changes.uri, options):
        raise LakeError("There is no lake at that place; dfr.sync(client, folder) makes one.")
    try:
        found = orjson.loads(changes.open().metadata().description or "")
    except orjson.JSONDecodeError:
        found = None
    if not isinstance(found, dict) or found.get("dicomframe lake") != _FORMAT:
        raise LakeError("The table at that place is no lake of this version of dicomframe.")
    return found
