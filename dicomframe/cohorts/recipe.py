"""A cohort's steps as YAML, to keep beside a paper and to run again; and back."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from datetime import date, datetime, time
from pathlib import Path
from typing import Any, ClassVar, Final

import yaml

from dicomframe.cohorts.matching import as_list, as_range
from dicomframe.cohorts.steps import Step
from dicomframe.errors import QueryError

_VERSION: Final = 1
#: A recipe is written by hand or by us; anything longer is neither.
_MOST_CHARACTERS: Final = 1_000_000
#: The arguments of `Cohort.step` that a recipe may hold.
_ARGUMENTS: Final = frozenset(
    "name level keep without join on how first last per metadata fields fuzzy missing".split()
)


def to_yaml(steps: Iterable[Step]) -> str:
    """Write steps down.

    Raises
    ------
    QueryError
        If a step keeps by a function or joins a table in memory, which no text can hold.
    """
    whole = {"cohort": _VERSION, "steps": [_entry(step) for step in steps]}
    return str(yaml.dump(whole, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=100))


def from_yaml(recipe: str | Path) -> list[dict[str, Any]]:
    """Read a recipe, or a file with one, as the arguments of `Cohort.step`, a step each.

    Raises
    ------
    QueryError
        If it is none; the message says what was wrong, without the values.
    OSError
        If the file cannot be read.
    """
    folder = recipe.parent if isinstance(recipe, Path) else None
    try:
        text = recipe.read_text(encoding="utf-8") if isinstance(recipe, Path) else recipe
    except UnicodeDecodeError:
        raise QueryError("The recipe is no UTF-8 text.") from None
    if len(text) > _MOST_CHARACTERS:
        raise QueryError(f"A recipe has at most {_MOST_CHARACTERS:,} characters.")
    try:
        read = yaml.load(text, Loader=_Loader)  # noqa: S506 - a SafeLoader
    except (ValueError, TypeError, RecursionError):
        raise QueryError("The recipe is no YAML that a recipe can be. cohort.to_yaml() writes one.") from None
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f" (line {mark.line + 1})" if mark is not None else ""
        raise QueryError(f"The recipe is no YAML{where}. cohort.to_yaml() writes one.") from None
    if (
        not isinstance(read, dict)
        or read.keys() != {"cohort", "steps"}
        or not isinstance(read["steps"], list)
    ):
        raise QueryError("A recipe has cohort: and steps:, a list; cohort.to_yaml() writes one.")
    if read["cohort"] != _VERSION:
        raise QueryError(f"The recipe is of another version; this one reads version {_VERSION}.")
    return [_arguments(entry, number, folder) for number, entry in enumerate(read["steps"], 1)]


class _Dumper(yaml.SafeDumper):
    """Plain YAML that says each value where it stands."""

    def ignore_aliases(self, data: Any) -> bool:  # noqa: ARG002 - PyYAML's signature
        return True


class _Loader(yaml.SafeLoader):
    """YAML in which text is what looks like text, a key stands once, and no value stands for another one.

    By YAML 1.1 ``on`` and ``no`` are truth values, ``007`` is 7 and ``10:30`` is 630: an identifier, a sex or a time
    that somebody writes without quotes would change silently. Aliases can make an endless value of a short text.
    """

    yaml_implicit_resolvers: ClassVar[dict[str, Any]] = {}  # type: ignore[misc]

    def compose_node(self, parent: Any, index: Any) -> Any:
        if self.check_event(yaml.AliasEvent):
            mark = self.peek_event().start_mark  # type: ignore[no-untyped-call]
            raise yaml.constructor.ConstructorError(None, None, "aliases", mark)
        return super().compose_node(parent, index)

    def construct_mapping(self, node: Any, deep: bool = False) -> dict[Any, Any]:
        keys = [key.value for key, _ in node.value]
        if len(set(keys)) < len(keys):
            raise yaml.constructor.ConstructorError(None, None, "a key twice", node.start_mark)
        return super().construct_mapping(node, deep)


for _tag, _pattern, _first in (
    ("bool", r"true|false|True|False", "tTfF"),
    ("int", r"[-+]?(?:0|[1-9][0-9]*)", "-+0123456789"),
    ("float", r"[-+]?[0-9]+\.[0-9]*(?:[eE][-+][0-9]+)?", "-+0123456789"),
    ("null", r"null|~|", ["n", "~", ""]),
    ("timestamp", r"[0-9]{4}-[0-9]{2}-[0-9]{2}", "0123456789"),
):
    _Loader.add_implicit_resolver(f"tag:yaml.org,2002:{_tag}", re.compile(rf"^(?:{_pattern})$"), list(_first))


def _entry(step: Step) -> dict[str, Any]:
    if callable(step.filters):
        raise QueryError(f"Step {step.name!r} keeps by a function, which no recipe can hold; use attributes.")
    filters = {name: _written(step, value) for name, value in step.filters.items()}
    entry: dict[str, Any] = {"name": step.name}
    if step.action == "search":
        entry |= {"level": step.level, "keep": filters, "fuzzy": step.fuzzy, "fields": list(step.fields)}
    elif step.action in {"keep", "without"}:
        entry[step.action] = filters
    elif step.action == "join":
        if not isinstance(step.table, str | Path):
            raise QueryError(
                f"Step {step.name!r} joins a table in memory, which no recipe can hold; join a .csv or .parquet file."
            )
        entry |= {"join": Path(step.table).as_posix(), "on": list(step.on), "how": step.how}
    else:
        entry |= {step.action: list(step.by), "per": step.per}
    entry["metadata"] = list(step.metadata)
    if step.action != "search":
        entry["missing"] = step.missing
    return {name: value for name, value in entry.items() if value not in ([], {}, False)}


def _written(step: Step, value: Any) -> Any:
    """Give a filter's value as YAML holds it."""
    if (several := as_list(value)) is not None:
        return [_written(step, each) for each in several]
    if (ends := as_range(value)) is not None:
        return {
            name: _written(step, end)
            for name, end in zip(("from", "to"), ends, strict=True)
            if end is not None
        }
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, time):
        return value.isoformat()
    if hasattr(value, "item"):  # numpy's
        value = value.item()
    if isinstance(value, str | bool | int | float | date):
        return value
    raise QueryError(f"Step {step.name!r} filters by a {type(value).__name__}, which no recipe can hold.")


def _arguments(entry: Any, number: int, folder: Path | None) -> dict[str, Any]:
    if not isinstance(entry, dict) or not isinstance(entry.get("name"), str):
        raise QueryError(f"Step {number} of the recipe has no name:, in quotes if it is a number.")
    if unknown := sorted(str(key) for key in entry.keys() - _ARGUMENTS):
        raise QueryError(
            f"Step {number} of the recipe has {unknown[0][:64]!r}, which is none of {', '.join(sorted(_ARGUMENTS))}."
        )
    if not isinstance(entry.get("fuzzy", False), bool):
        raise QueryError(f"Step {number} of the recipe: fuzzy: is true or false.")
    arguments = dict(entry)
    for which in ("keep", "without"):
        if which in entry:
            if not isinstance(entry[which], dict):
                raise QueryError(f"Step {number} of the recipe: {which}: is attributes and their values.")
            arguments[which] = {str(name): _read(value, number) for name, value in entry[which].items()}
    if "join" in entry:
        arguments["join"] = Path(folder or "") / str(entry["join"])
    return arguments


def _read(value: Any, number: int) -> Any:
    if isinstance(value, list):
        return [_read(each, number) for each in value]
    if isinstance(value, Mapping):
        if not value or value.keys() - {"from", "to"}:
            raise QueryError(f"Step {number} of the recipe: a range has from: and to:, or one of them.")
        return (value.get("from"), value.get("to"))
    return value
