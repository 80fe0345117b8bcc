"""Plain data as YAML text: block style, with scalars as JSON writes them, which YAML 1.2 reads alike."""

from __future__ import annotations

import json
import re
from typing import Any

# What needs no quotes in YAML, neither as a key nor as a value; words that mean something else are quoted.
_PLAIN = re.compile(r"[A-Za-z/$][A-Za-z0-9/$._+-]*(?: [A-Za-z0-9/$._+(-][A-Za-z0-9/$._+()-]*)*")
_MEANING = {"true", "false", "null", "yes", "no", "on", "off", "y", "n"}


def to_yaml(value: Any) -> str:
    """Write mappings, lists, texts, numbers, booleans and null.

    Examples
    --------
    >>> print(to_yaml({"openapi": "3.1.0", "tags": [{"name": "Search"}], "paths": {}}), end="")
    openapi: "3.1.0"
    tags:
      - name: Search
    paths: {}
    """
    return "".join(f"{line}\n" for line in _lines(value))


def _lines(value: Any) -> list[str]:
    lines: list[str] = []
    if isinstance(value, dict):
        for key, each in value.items():
            name = _scalar(key)
            if isinstance(each, dict | list) and each:
                lines += [f"{name}:", *(f"  {line}" for line in _lines(each))]
            else:
                lines.append(f"{name}: {_scalar(each)}")
    else:
        for each in value:
            if isinstance(each, dict | list) and each:
                first, *rest = _lines(each)
                lines += [f"- {first}", *(f"  {line}" for line in rest)]
            else:
                lines.append(f"- {_scalar(each)}")
    return lines


def _scalar(value: Any) -> str:
    if isinstance(value, str) and _PLAIN.fullmatch(value) and value.lower() not in _MEANING:
        return value
    return json.dumps(value, ensure_ascii=False)
