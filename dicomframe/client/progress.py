"""A progress bar where somebody may be looking: in terminals and notebooks, after half a second. No patient text."""

from __future__ import annotations

import functools
import sys
import threading
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any, Literal, Protocol

from dicomframe.client.workers import Call, current_call, working_for
from dicomframe.dicom.quiet import FILTERS_LOCK
from dicomframe.errors import QueryError

Progress = bool | Literal["auto"]

_DELAY_SECONDS = 0.5
#: Seconds between two drawings.
_INTERVAL_SECONDS = 0.1


class Bar(Protocol):
    """As much of a bar as the verbs use; all of it from any thread."""

    def update(self, n: int = 1) -> Any:
        """Say that so many more are done."""

    def expect(self, n: int) -> None:
        """Say that so many more are to come, where that was not known from the start."""


class _NoBar:
    def update(self, n: int = 1) -> None:
        """Show nothing."""

    def expect(self, n: int) -> None:
        """Show nothing."""


class _LiveBar:
    """Counts what all threads report, and has one thread draw it: the one that began, which waits for the others.

    tqdm's widget in notebooks is made, and changed, by the thread that runs the cell.
    """

    def __init__(self, description: str, total: int | None, unit: str, *, shows_bytes: bool) -> None:
        self._description, self._unit, self._shows_bytes = description, unit, shows_bytes
        self._total = total
        self._lock = threading.Lock()
        self._done = 0
        self._bytes = 0
        self._thread = threading.get_ident()
        self._start = time.monotonic()
        self._drawn = self._start + _DELAY_SECONDS - _INTERVAL_SECONDS
        self._bar: Any = None

    def update(self, n: int = 1) -> None:
        with self._lock:
            self._done += n
        self.tick()

    def expect(self, n: int) -> None:
        with self._lock:
            self._total = (self._total or 0) + n

    def add_bytes(self, count: int) -> None:
        with self._lock:
            self._bytes += count
        self.tick()

    def tick(self) -> None:
        """Draw it, if this is the time and the thread to do so."""
        now = time.monotonic()
        if now - self._drawn >= _INTERVAL_SECONDS and threading.get_ident() == self._thread:
            self._drawn = now
            try:
                self._draw(now)
            except Exception:  # noqa: BLE001 - a closed terminal must not pass for a cut connection
                self._drawn = float("inf")

    def _draw(self, now: float) -> None:
        if self._bar is None:
            # It counts from the beginning, although it appears later; the delay keeps it from being drawn when made.
            self._bar = _kind()(
                total=self._total,
                desc=self._description,
                unit=self._unit,
                leave=False,
                mininterval=0,
                delay=1e-9,
                miniters=0,
            )
            self._bar.start_t = self._bar.last_print_t = self._bar.start_t - (now - self._start)
        if self._shows_bytes and self._bytes:
            rate = self._bytes / (now - self._start)
            self._bar.set_postfix_str(f"{_size(self._bytes)}, {_size(rate)}/s", refresh=False)
        if self._total != self._bar.total:
            _set_total(self._bar, self._total)
        self._bar.update(self._done - self._bar.n)

    def close(self) -> None:
        """Take it away."""
        if self._bar is not None:
            with suppress(Exception):  # see `tick`
                self._bar.close()


@functools.cache
def _kind() -> Any:
    """Give the kind of bar that fits; without ipywidgets it is drawn as text, which needs no warning."""
    with FILTERS_LOCK, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from tqdm.auto import tqdm

    class QuietBar(tqdm):  # type: ignore[type-arg]
        # No thread of tqdm's own that looks after bars: whoever waits draws them.
        monitor_interval = 0

    return QuietBar


def _set_total(bar: Any, total: int | None) -> None:
    """Tell a bar its total, which a notebook's widget learns only when it is made."""
    container = getattr(bar, "container", None)
    if container is not None and total:
        widget = container.children[1]
        widget.max, widget.bar_style, widget.layout.width = total, "", None
    bar.total = total


def _size(count: float) -> str:
    """Write a number of bytes.

    Examples
    --------
    >>> _size(999), _size(41_900_000)
    ('999 B', '41.9 MB')
    """
    if count < 999.5:
        return f"{count:.0f} B"
    count /= 1000
    for unit in ("kB", "MB", "GB"):
        if count < 999.95:
            return f"{count:.1f} {unit}"
        count /= 1000
    return f"{count:.1f} TB"


@contextmanager
def progress_bar(
    progress: Progress, description: str, total: int | None, unit: str, *, shows_bytes: bool = True
) -> Iterator[Bar]:
    """Have the block be one call of the user, which Ctrl-C ends with all of its workers, and show a bar meanwhile.

    Within another such block no second bar is shown.

    Parameters
    ----------
    progress : bool or "auto"
        ``"auto"``: only in a terminal or a notebook.
    description, unit : str
        What is being done, and to what.
    total : int, optional
        How many there are, if that is known.
    shows_bytes : bool
        Whether it shows how many bytes come and go, and how many a second.
    """
    if current_call() is not None:
        yield _NoBar()
        return
    if progress is False or (progress == "auto" and not is_watched()):
        with working_for(Call()):
            yield _NoBar()
        return
    bar = _LiveBar(description, total, unit, shows_bytes=shows_bytes)
    try:
        with working_for(Call(bar)):
            yield bar
    finally:
        bar.close()


def check_progress(progress: Any) -> Progress:
    """Give the argument back if it is one that is accepted."""
    if progress is True or progress is False or progress == "auto":
        return progress  # type: ignore[no-any-return]
    raise QueryError("progress must be True, False or 'auto'.")


def is_watched() -> bool:
    """Whether output goes to a terminal or a notebook."""
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython is not None else None
    if hasattr(shell, "kernel"):
        return True
    try:
        return sys.stderr.isatty()
    except (AttributeError, ValueError):
        return False
