"""Bad values for DICOM JSON: what dirty archives send where a VR does not allow it.

Each bad value is made from the good one where the kind allows that, so that a lesson can tell what was meant. UIDs
are never touched: with them rows would be lost, not values.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any, Final

_Attribute = dict[str, Any]


def _first(attribute: _Attribute) -> Any:
    values = attribute.get("Value")
    return values[0] if isinstance(values, list) and values else None


def _instead(attribute: _Attribute, value: Any) -> _Attribute:
    return attribute | {"Value": [value, *attribute["Value"][1:]]}


def _dashed(attribute: _Attribute) -> _Attribute:
    date = str(_first(attribute))
    return _instead(attribute, f"{date[:4]}-{date[4:6]}-{date[6:]}")


def _plain_name(attribute: _Attribute) -> _Attribute:
    name = _first(attribute)
    return _instead(attribute, name.get("Alphabetic", "") if isinstance(name, dict) else str(name))


#: Kinds of bad values: the VRs they strike, and how the attribute becomes bad.
KINDS: Final[dict[str, tuple[frozenset[str], Callable[[_Attribute], _Attribute]]]] = {
    "empty_number": (frozenset({"DS"}), lambda attribute: _instead(attribute, "")),
    "decimal_integer": (frozenset({"IS"}), lambda attribute: _instead(attribute, f"{_first(attribute)}.0")),
    "dashed_date": (frozenset({"DA"}), _dashed),
    "lower_age": (frozenset({"AS"}), lambda attribute: _instead(attribute, str(_first(attribute)).lower())),
    "null_value": (
        frozenset({"AS", "CS", "DA", "DS", "IS", "LO", "PN", "SH", "TM", "US"}),
        lambda attribute: attribute | {"Value": None},
    ),
    "plain_name": (frozenset({"PN"}), _plain_name),
    "text_number": (
        frozenset({"DS", "FD", "FL", "IS", "SL", "SS", "UL", "US"}),
        lambda attribute: _instead(attribute, str(_first(attribute))),
    ),
}


def spoil(row: dict[str, Any], kinds: tuple[str, ...], dice: random.Random) -> bool:
    """Make one value of a DICOM JSON object bad, in place.

    Parameters
    ----------
    row : dict
        The object.
    kinds : tuple of str
        Which kinds of badness, out of `KINDS`.
    dice : random.Random
        Chooses attribute and kind.

    Returns
    -------
    bool
        Whether there was a value to make bad.

    Examples
    --------
    >>> row = {"00080020": {"vr": "DA", "Value": ["20240115"]}}
    >>> spoil(row, ("dashed_date",), random.Random(1)), row
    (True, {'00080020': {'vr': 'DA', 'Value': ['2024-01-15']}})
    """
    choices = [
        (tag, kind)
        for tag, attribute in row.items()
        if isinstance(attribute, dict) and _first(attribute) is not None
        for kind in kinds
        if attribute.get("vr") in KINDS[kind][0]
    ]
    if not choices:
        return False
    tag, kind = dice.choice(choices)
    row[tag] = KINDS[kind][1](row[tag])
    return True
