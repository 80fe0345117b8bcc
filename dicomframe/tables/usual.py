"""Rows of which every attribute has the usual form, decoded straight into structs: no dict for each attribute.

What has the usual form is written into the structs' types, so that the decoder itself checks it: tags that are known,
the column's own VR and nothing beside it, one value where the column holds one, and of a kind that JSON may have there.
What a value *says* is not judged here. Rows with anything else are given as None, and read as dicts.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache, lru_cache
from itertools import chain
from operator import attrgetter
from typing import Any, Literal, NamedTuple

import msgspec

from dicomframe.tables.schema import Column, Kind, column_of
from dicomframe.tables.shape import Shape

#: What a value of each kind may be in JSON. Numbers may be spelt as texts, in this or that row; that is judged later.
_JSON_TYPE: dict[Kind, Any] = {
    "text": str,
    "name": dict[str, str],
    "integer": int | float | str,
    "float": int | float | str,
    "date": str,
    "datetime": str,
    "time": str,
}
#: Structs hold no cycles, and there are thousands of them: the garbage collector need not know them.
_OPTIONS: Any = {"gc": False, "forbid_unknown_fields": True}


class Found(NamedTuple):
    """An attribute in some rows.

    Parameters
    ----------
    values : list
        For each row that has one, in the order of the rows: the ``Value``, and its only value where the column holds
        one a row.
    absent, empty : sequence of int
        The rows that do not have the attribute, and those in which it has no ``Value``; by position, ascending.
    """

    values: list[Any]
    absent: Sequence[int] = ()
    empty: Sequence[int] = ()


class UsualRows(NamedTuple):
    """Some rows, attribute by attribute.

    Parameters
    ----------
    length : int
        How many rows.
    found : dict of str to Found
        By tag; what is absent in all rows is not here.
    """

    length: int
    found: dict[str, Found]


def is_plain(shape: Shape) -> bool:
    """Tell whether a shape is without sequences and bulk data, which have many forms."""
    return all(column_of(tag, vr).kind in _JSON_TYPE for tag, (vr, _) in shape.items())


def read_usual(text: bytes, shape: Shape) -> UsualRows | None:
    """Decode an array of rows; give None if not all attributes have the usual form, or one may stand there twice."""
    if not is_plain(shape):
        return None
    decode, columns = _plan(tuple([(tag, vr) for tag, (vr, _) in shape.items()]))
    try:
        rows = decode(text)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    found = {column.tag: _find(rows, column) for column in columns}
    count = sum(len(rows) - len(one.absent) for one in found.values())
    # Of members with the same name the decoder keeps the last.
    if count != text.count(b'"vr"'):
        return None
    return UsualRows(len(rows), {tag: one for tag, one in found.items() if len(one.absent) < len(rows)})


def _find(rows: Sequence[Any], column: Column) -> Found:
    try:
        # Quicker than to look first, and right for most columns.
        listed = list(map(attrgetter(f"t{column.tag}.Value"), rows))
        if not column.multiple or None not in listed:
            return Found(_values(listed, column))
    except (AttributeError, TypeError):  # absent or empty in some rows
        pass
    attributes = list(map(attrgetter(f"t{column.tag}"), rows))
    return Found(
        _values([one.Value for one in attributes if one is not None and one.Value is not None], column),
        [at for at, one in enumerate(attributes) if one is None],
        [at for at, one in enumerate(attributes) if one is not None and one.Value is None],
    )


def _values(listed: list[Any], column: Column) -> list[Any]:
    return listed if column.multiple else list(chain.from_iterable(listed))


@lru_cache(maxsize=64)
def _plan(
    attributes: tuple[tuple[str, str | None], ...],
) -> tuple[Callable[[bytes], list[Any]], list[Column]]:
    """Make the decoder of rows of some shape: at first, that takes as long as to decode a page of 200 rows."""
    columns = [column_of(tag, vr) for tag, vr in attributes]
    row = msgspec.defstruct(
        "Row",
        [(f"t{column.tag}", _attribute(column.vr, column.kind, column.multiple), None) for column in columns],
        rename={f"t{column.tag}": column.tag for column in columns},
        **_OPTIONS,
    )
    return msgspec.json.Decoder(list[row]).decode, columns  # type: ignore[valid-type]


@cache
def _attribute(vr: str, kind: Kind, multiple: bool) -> Any:
    one = _JSON_TYPE[kind]
    values: Any = list.__class_getitem__(one) if multiple else tuple.__class_getitem__(one)
    fields: list[tuple[str, Any, Any]] = [("vr", Literal[vr], msgspec.NODEFAULT), ("Value", values, None)]
    return msgspec.defstruct("Attribute", fields, **_OPTIONS)
