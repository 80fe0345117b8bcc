"""One step and, once it is done, what it left."""

from __future__ import annotations

import html
import threading
from collections.abc import Iterable
from typing import TYPE_CHECKING

from dicomframe.cohorts.steps import Step

if TYPE_CHECKING:
    from dicomframe.cohorts.running import Outcome
    from dicomframe.cohorts.sources import Source


class Stage:
    """One step and, once it is done, what it left; cohorts that begin alike share it.

    Parameters
    ----------
    step : Step
        The step.
    """

    def __init__(self, step: Step) -> None:
        self.step = step
        self.outcome: Outcome | None = None
        self._lock = threading.Lock()

    def do(self, before: Outcome | None, source: Source | None) -> Outcome:
        """Do the step with the rows that the one in front of it left, unless it is done."""
        from dicomframe.cohorts.running import run_step

        with self._lock:
            if self.outcome is None:
                self.outcome = run_step(self.step, before, source)
            return self.outcome


def counts_html(counts: Iterable[tuple[str, str]]) -> str:
    """Write each step's name and how many rows it left as a table of HTML.

    Examples
    --------
    >>> "<td style='text-align:left'>&lt;b&gt;</td><td>3</td>" in counts_html([("<b>", "3")])
    True
    """
    rows = "".join(
        f"<tr><td style='text-align:left'>{html.escape(name)}</td><td>{count}</td></tr>"
        for name, count in counts
    )
    return f"<table><thead><tr><th style='text-align:left'>step</th><th>rows</th></tr></thead>{rows}</table>"
