"""A search's filters as SQL text and parameters (PS3.4 C.2.2.2 matching, as the service does it).

Nothing here speaks to a database. Values always travel as parameters; column names come from `attributes`.
"""

# ruff: noqa: S608 - statements are put together from the names in this module and in attributes.py
from __future__ import annotations

import re
from dataclasses import dataclass

from dicomframe.dicom.paths import Level
from dicomframe.service.attributes import (
    COMPUTED,
    LEVELS,
    MODALITIES_FILTER,
    MODALITIES_IN_STUDY,
    NAME_COLUMNS,
    STUDY_INSTANCES,
    ApiVersion,
    Searchable,
    fold_name,
    fold_text,
    words_of,
)

#: Greater than any text that starts with the one before it: no character of Unicode comes after this one.
_LAST = "\U0010ffff"
_ALIAS: dict[Level, str] = {"study": "t", "series": "s", "instance": "i"}

Parameter = str | int
Clause = tuple[str, list[Parameter]]


@dataclass(frozen=True, slots=True)
class Equal:
    """Matches a value that is the same once both are brought to comparable form."""

    value: str | int


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


@dataclass(frozen=True, slots=True)
class Selection:
    """What a search asks of the index.

    Parameters
    ----------
    level : str
        Level of the rows.
    partition : int
        The partition's key.
    version : str
        Whose default answer is wanted.
    study, series : str, optional
        UIDs that the route names.
    filters : tuple of Filter
        All must pass.
    limit, offset : int
        Which rows, newest first.
    computed : tuple of bytes
        Tags of computed attributes that are wanted too.
    newest_metadata : bool
        Whether the metadata of each row's newest instance is wanted too.
    """

    level: Level
    partition: int
    version: ApiVersion
    study: str | None = None
    series: str | None = None
    filters: tuple[Filter, ...] = ()
    limit: int = 100
    offset: int = 0
    computed: tuple[bytes, ...] = ()
    newest_metadata: bool = False

    @property
    def levels(self) -> tuple[Level, ...]:
        """The levels whose attributes a row has: those that the route's UIDs do not settle, down to its own."""
        first = 0 if self.study is None else 1 if self.series is None else 2
        return LEVELS[first : LEVELS.index(self.level) + 1]


def to_sql(selection: Selection) -> Clause:
    """Write a selection as one statement.

    Its columns are the default answers of `Selection.levels`, then the computed attributes in their order, then
    the newest metadata.
    """
    keys, parameters = _keys(selection)
    columns = [f"{_ALIAS[level]}j.{selection.version}" for level in selection.levels]
    joins = "".join(
        f" JOIN {level}_json {_ALIAS[level]}j ON {_ALIAS[level]}j.key = hit.{level}"
        for level in selection.levels
    )
    columns += [_COMPUTED_COLUMN[tag] for tag in selection.computed]
    if selection.newest_metadata:
        columns.append(_NEWEST_METADATA[selection.level])
    return (
        f"SELECT {', '.join(columns)} FROM ({keys}) hit{joins} ORDER BY hit.{selection.level} DESC",
        parameters,
    )


_COMPUTED_COLUMN = {
    MODALITIES_IN_STUDY: "(SELECT group_concat(DISTINCT modality) FROM series WHERE study = hit.study)",
    STUDY_INSTANCES: "(SELECT count(*) FROM instance WHERE study = hit.study)",
} | {
    tag: "(SELECT count(*) FROM instance WHERE series = hit.series)"
    for tag, level in COMPUTED.items()
    if level == "series"
}
_NEWEST_METADATA = {
    "instance": "(SELECT metadata FROM instance_json WHERE key = hit.instance)",
} | {
    level: "(SELECT metadata FROM instance_json JOIN instance USING (key)"
    f" WHERE {level} = hit.{level} ORDER BY version DESC LIMIT 1)"
    for level in ("study", "series")
}


def _keys(selection: Selection) -> Clause:
    """Select the keys of one page: narrow tables only, so that an offset costs little."""
    own = _ALIAS[selection.level]
    needed = {_ALIAS[filtered.attribute.level] for filtered in selection.filters} | {own}
    needed |= {alias for alias, uid in (("t", selection.study), ("s", selection.series)) if uid is not None}
    clauses: list[Clause] = [(f"{own}.partition = ?", [selection.partition])]
    if selection.study is not None:
        clauses.append(("t.partition = ? AND t.uid = ?", [selection.partition, selection.study]))
    if selection.series is not None:
        clauses.append(("s.uid = ?", [selection.series]))
    clauses += [_clause(filtered) for filtered in selection.filters]
    sql = (
        f"SELECT {_key_columns(selection.level)} FROM {_tables(selection.level, needed)}"
        f" WHERE {' AND '.join(sql for sql, _ in clauses)} ORDER BY {own}.key DESC LIMIT ? OFFSET ?"
    )
    return sql, [value for _, values in clauses for value in values] + [selection.limit, selection.offset]


def _key_columns(level: Level) -> str:
    return {
        "study": "t.key AS study",
        "series": "s.key AS series, s.study AS study",
        "instance": "i.key AS instance, i.series AS series, i.study AS study",
    }[level]


def _tables(level: Level, needed: set[str]) -> str:
    own = _ALIAS[level]
    tables = f"{level} {own}"
    if "s" in needed and own != "s":
        tables += f" JOIN series s ON s.key = {own}.series"
    if "t" in needed and own != "t":
        tables += f" JOIN study t ON t.key = {'s' if 's' in needed else own}.study"
    return tables


def _clause(filtered: Filter) -> Clause:
    attribute, test = filtered.attribute, filtered.test
    if attribute is MODALITIES_FILTER:
        sql, parameters = _test("m.modality", test)
        return f"EXISTS (SELECT 1 FROM series m WHERE m.study = t.key AND {sql})", parameters
    column = f"{_ALIAS[attribute.level]}.{attribute.column}"
    if attribute.vr == "PN":
        return _name_test(column, test)
    return _test(column, test)


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
        return f"{column} GLOB ?", [glob]
    return f"({column} >= ? AND {column} < ? AND {column} GLOB ?)", [prefix, prefix + _LAST, glob]


def _name_test(column: str, test: Test) -> Clause:
    groups, words = (pattern.format(column) for pattern in NAME_COLUMNS)
    if isinstance(test, Phrase):
        # The pattern sifts quickly; the function decides whether the words follow one another.
        pattern = "".join(f"* {word}" for word in test.words) + "*"
        if len(test.words) == 1:
            return f"{words} GLOB ?", [pattern]
        return f"({words} GLOB ? AND has_phrase({words}, ?))", [pattern, " ".join(test.words)]
    text = test.pattern if isinstance(test, Wildcard) else str(test.value) if isinstance(test, Equal) else ""
    if "=" in text:
        # All groups were given, so all must match as they stand.
        alphabetic, _, others = text.partition("=")
        sql, parameters = _test(column, Wildcard(alphabetic))
        return f"({sql} AND {groups} GLOB ?)", [*parameters, f"={others.replace('[', '[[]')}="]
    sql, parameters = _test(column, test)
    one_group = text.replace("[", "[[]") if isinstance(test, Wildcard) else re.sub(r"[*?[]", r"[\g<0>]", text)
    return f"({sql} OR ({groups} IS NOT NULL AND {groups} GLOB ?))", [*parameters, f"*={one_group}=*"]


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
