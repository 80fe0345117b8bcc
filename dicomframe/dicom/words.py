"""Words of messages: what was given, which columns, and what somebody may have meant."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence

from dicomframe.dicom import tags


def a_kind(given: object) -> str:
    """Name what something is, with its article.

    Examples
    --------
    >>> a_kind(20240115), a_kind(1.2), a_kind({})
    ('an int', 'a float', 'a dict')
    """
    name = type(given).__name__
    return f"{'an' if name[0].lower() in 'aeiou' else 'a'} {name}"


def columns(names: Sequence[str]) -> str:
    """List columns.

    Examples
    --------
    >>> columns(["Modality"]), columns(["a", "b", "c"])
    ("column 'Modality'", "columns 'a', 'b' and 'c'")
    """
    *most, last = [repr(name[:64]) for name in names]
    return f"columns {', '.join(most)} and {last}" if most else f"column {last}"


def did_you_mean(name: str, among: Iterable[object]) -> str:
    """Ask for the name that looks most like a misspelt one; empty where none does, or where it is a right keyword.

    Examples
    --------
    >>> did_you_mean("scaner", ["month", "scanner"]), did_you_mean("x", ["month"])
    (" Did you mean 'scanner'?", '')
    """
    if tags.find(name) is not None:
        return ""
    by_lower = {each.lower(): each for each in among if isinstance(each, str)}
    nearest = difflib.get_close_matches(name.lower(), by_lower, n=1, cutoff=0.7)
    return f" Did you mean {by_lower[nearest[0]]!r}?" if nearest else ""
