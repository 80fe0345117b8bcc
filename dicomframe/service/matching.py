"""A search's filters as SQL text and parameters (PS3.4 C.2.2.2 matching, as the service does it).

Nothing here speaks to a database. Values always travel as parameters; column names come from `attributes`.
"""

# ruff: noqa: S608 - statements are put together from the names in this module and in attributes.py
from __future__ import annotations

import re
from dataclasses import dataclass

from dicomframe.dicom.paths import Level
from dicomframe.service.attributes import (
    MODALITIES_FILTER,
    NAME_COLUMNS,
    Searchable,
    fold_name,
    fold_text,
    words_of,
)

#: Greater than any text that starts with the one before it: no character of Unicode comes after this one.
_LAST = "\U0010ffff"
#: A parameter right behind GLOB has SQLite plan the statement anew each time; an expression has not.
_PATTERN = "(?||'')"
#: What statements call the table of a level.
ALIAS: dict[Level, str] = {"study": "t", "series": "s", "instance": "i"}

Parameter = str | int | float
Clause = tuple[str, list[Parameter]]


@dataclass(frozen=True, slots=True)
class Equal:
    """Matches a value that is the same once both are brought to comparable form."""

    value: str | int | float


@dataclass(frozen=True, slots=True)
class Between:
    """Matches a number within two bounds, both inclusive; None leaves one open."""

    low: int | None
    high: int | None


@dataclass(frozen=True, slots=True)
class Wildcard:
    """Matches text with ``*`` for any characters and ``?`` for one; the text is in comparable form."""

    pattern: str


@dataclass(frozen=True, slots=True)
class Phrase:
    """Matches person names in which words that start with these follow one another."""

    words: tuple[str, ...]


Test = Equal | Between | Wildcard | Phrase


@dataclass(frozen=True, slots=True)
class Filter:
    """One attribute and the test that its values must pass."""

    attribute: Searchable
    test: Test


def clauses_of(filtered: Filter) -> list[Clause]:
    """Write a filter as SQL conditions of which one must hold, each of which an index may serve.

    They speak of the tables as `ALIAS` names them, and of an extended query tag's values as ``x``.
    """
    attribute, test = filtered.attribute, filtered.test
    if attribute is MODALITIES_FILTER:
        return [_modalities_test(test)]
    column = f"{'x' if attribute.extended else ALIAS[attribute.level]}.{attribute.column}"
    return column_clauses(column, attribute.vr, test)


def column_clauses(column: str, vr: str, test: Test) -> list[Clause]:
    """Write the test of one column as SQL conditions of which one must hold."""
    return _name_tests(column, test) if vr == "PN" else [_test(column, test)]


def clause_of(filtered: Filter) -> Clause:
    """Write a filter as one SQL condition."""
    clauses = clauses_of(filtered)
    sql = " OR ".join(sql for sql, _ in clauses)
    parameters = [value for _, values in clauses for value in values]
    extended = filtered.attribute.extended
    if extended:
        owner = f"{ALIAS[filtered.attribute.level]}.key"
        sql = f"EXISTS (SELECT 1 FROM tag_value x WHERE x.tag = ? AND x.owner = {owner} AND ({sql}))"
        parameters.insert(0, extended)
    return f"({sql})", parameters


def can_use_index(test: Test) -> bool:
    """Tell whether an index leads to the values that pass, instead of all values being looked at."""
    return not isinstance(test, Phrase) and not (
        isinstance(test, Wildcard) and test.pattern[:1] in {"*", "?"}
    )


def _modalities_test(test: Test) -> Clause:
    if isinstance(test, Equal):
        return "instr(t.modalities, ?)", [f"\\{test.value}\\"]
    sql, parameters = _test("m.modality", test)
    return f"EXISTS (SELECT 1 FROM series m WHERE m.study = t.key AND {sql})", parameters


def _test(column: str, test: Test) -> Clause:
    match test:
        case Equal(value):
            return f"{column} = ?", [value]
        case Between(low, high):
            bounds = [(f"{column} {sign} ?", bound) for sign, bound in ((">=", low), ("<=", high))]
            given = [(sql, bound) for sql, bound in bounds if bound is not None]
            return " AND ".join(sql for sql, _ in given), [bound for _, bound in given]
        case Wildcard(pattern):
            return _glob(column, pattern)
        case Phrase():
            raise AssertionError(f"{column} holds no names")


def _glob(column: str, pattern: str) -> Clause:
    """Match a pattern; what stands before its first wildcard bounds the part of the index that is read."""
    prefix = re.split(r"[*?]", pattern, maxsplit=1)[0]
    glob = pattern.replace("[", "[[]")
    if not prefix:
        return f"{column} GLOB {_PATTERN}", [glob]
    return f"({column} >= ? AND {column} < ? AND {column} GLOB {_PATTERN})", [prefix, prefix + _LAST, glob]


def _name_tests(column: str, test: Test) -> list[Clause]:
    groups, words = (pattern.format(column) for pattern in NAME_COLUMNS)
    match test:
        case Phrase(starts):
            # The pattern sifts quickly; the function decides whether the words follow one another.
            sift: Clause = (f"{words} GLOB {_PATTERN}", ["".join(f"* {start}" for start in starts) + "*"])
            if len(starts) == 1:
                return [sift]
            return [(f"{sift[0]} AND has_phrase({words}, ?)", [*sift[1], " ".join(starts)])]
        case Equal(value):
            name, literal = str(value), re.compile(r"[*?[]")
        case Wildcard(pattern):
            name, literal = pattern, re.compile(r"\[")
        case Between():
            raise AssertionError(f"{column} holds names")
    alphabetic, equals, others = name.partition("=")
    sql, parameters = _test(column, type(test)(alphabetic))
    escaped = literal.sub(r"[\g<0>]", others if equals else name)
    if equals and not alphabetic:
        sql, parameters = f"{column} IS NULL AND {groups} IS NOT NULL", []
    if equals:  # all groups were given, so all must match as they stand
        return [(f"{sql} AND {groups} GLOB {_PATTERN}", [*parameters, f"={escaped}="])]
    return [(sql, parameters), (f"{groups} IS NOT NULL AND {groups} GLOB {_PATTERN}", [f"*={escaped}=*"])]


def has_phrase(words: str | None, phrase: str) -> bool:
    """Tell whether words that start with those of the phrase follow one another.

    Examples
    --------
    >>> has_phrase(" doe john", "do jo"), has_phrase(" doe mary john", "do jo"), has_phrase(" doe john", "ohn")
    (True, False, False)
    """
    listed, wanted = (words or "").split(), phrase.split()
    return any(
        all(word.startswith(start) for word, start in zip(listed[at:], wanted, strict=False))
        for at in range(len(listed) - len(wanted) + 1)
    )


def phrase_of(text: str) -> Phrase:
    """Give the words of a fuzzy value; there may be none."""
    return Phrase(tuple(words_of(fold_name(text))))


def wildcard_of(attribute: Searchable, text: str) -> Wildcard:
    """Give a pattern in the comparable form of an attribute's values."""
    if attribute.vr == "PN":
        return Wildcard(fold_name(text))
    bare = text.strip(" ")
    return Wildcard(
        bare.upper() if attribute.vr == "CS" else bare if attribute.vr == "UI" else fold_text(bare)
    )
