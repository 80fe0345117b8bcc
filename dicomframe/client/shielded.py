"""Texts that do not show themselves: tokens on their way from the caller to the Authorization header."""

from __future__ import annotations

from typing import Any


class Secret(str):
    """A text whose repr does not tell it: tracebacks that list local variables, and loggers of them, show reprs.

    Examples
    --------
    >>> Secret("abc"), f"Bearer {Secret('abc')}"
    (<secret>, 'Bearer abc')
    """

    __slots__ = ()

    def __repr__(self) -> str:
        return "<secret>"


def shielded(credential: Any) -> Any:
    """Give a credential back, a text as one that does not show itself.

    Examples
    --------
    >>> shielded("abc"), shielded(None)
    (<secret>, None)
    """
    return Secret(credential) if isinstance(credential, str) else credential
