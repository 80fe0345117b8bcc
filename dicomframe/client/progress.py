"""A progress bar where somebody may be looking: in terminals and notebooks, after half a second. No patient text."""

from __future__ import annotations

import functools
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Literal, Protocol

from dicomframe.dicom.quiet import FILTERS_LOCK
from dicomframe.errors import QueryError

Progress = bool | Literal["auto"]

_DELAY_SECONDS = 0.5


class Bar(Protocol):
    """As much of a bar as the verbs use."""

    def update(self, n: float = 1) -> Any:
        """Say that so many more are done."""

    def expect(self, n: int) -> None:
        """Say that so many more are to come, where that was not known from the start."""


class _NoBar:
    def update(self, n: float = 1) -> None:
        """Show nothing."""

    def expect(self, n: int) -> None:
        """Show nothing."""


@functools.cache
def _bar() -> Any:
    """Give the kind of bar that fits; without ipywidgets it is drawn as text, which needs no warning."""
    with FILTERS_LOCK, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from tqdm.auto import tqdm

    class ExpectingBar(tqdm):  # type: ignore[type-arg]
        def expect(self, n: int) -> None:
            self.total = (self.total or 0) + n
            self.refresh()

    return ExpectingBar


@contextmanager
def progress_bar(progress: Progress, description: str, total: int | None, unit: str) -> Iterator[Bar]:
    """Show a bar for the duration of a block.

    Parameters
    ----------
    progress : bool or "auto"
        ``"auto"``: only in a terminal or a notebook.
    description, unit : str
        What is being done, and to what.
    total : int, optional
        How many there are, if that is known.
    """
    if progress is False or (progress == "auto" and not is_watched()):
        yield _NoBar()
        return
    # delay hides the bars of short calls
    with _bar()(total=total, desc=description, unit=unit, delay=_DELAY_SECONDS, leave=False) as bar:
        yield bar


def check_progress(progress: Any) -> Progress:
    """Give the argument back if it is one that is accepted."""
    if progress is True or progress is False or progress == "auto":
        return progress  # type: ignore[no-any-return]
    raise QueryError("progress must be True, False or 'auto'.")


def is_watched() -> bool:
    """Whether output goes to a terminal or a notebook."""
    if "ipykernel" in sys.modules:
        return True
    try:
        return sys.stderr.isatty()
    except (AttributeError, ValueError):
        return False
