"""How far a reader of the change feed has come, in a form that can be saved and handed back in.

A sequence number alone is not enough: a service gives numbers before it commits, so a change with a lower number may
show up after one with a higher. The cursor therefore remembers which numbers were missing around the newest ones; such
a latecomer is new, and any other number that is not above the newest has been seen.

Examples
--------
>>> cursor = Cursor()
>>> [cursor.take(number, 0) for number in (1, 2, 5, 2, 4)]
[True, True, True, False, True]
>>> cursor.missing
[Gap(first=3, last=3, noticed=0)]
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple, Self

from dicomframe.dicom.feed import iso, microseconds_of
from dicomframe.errors import QueryError

#: Microseconds: how much later than its neighbours a change may show up and still be found.
MARGIN = 30_000_000
#: So many numbers before the first change that was seen may come late.
_BEFORE_THE_FIRST = 1_000


class Gap(NamedTuple):
    """Numbers that were missing, from the first to the last, when a change of that time was seen."""

    first: int
    last: int
    noticed: int | None


@dataclass(slots=True)
class Cursor:
    """A place in the feed.

    Parameters
    ----------
    sequence : int
        The highest number that was seen; -1 for none.
    timestamp : int, optional
        The latest time that was seen, in microseconds since 1970, UTC.
    missing : list of Gap
        Numbers below it that may still show up.
    start : int, optional
        Changes before that time are none of this reader's business.
    """

    sequence: int = -1
    timestamp: int | None = None
    missing: list[Gap] = field(default_factory=list)
    start: int | None = None

    @classmethod
    def of(cls, after: Any) -> Self:
        """Read what a caller gave: None, a sequence number, or a cursor that was saved.

        Raises
        ------
        QueryError
            If it is none of them.
        """
        if after is None:
            return cls()
        if isinstance(after, Mapping):
            return cls._of_saved(after)
        if isinstance(after, bool) or not hasattr(after, "__index__") or int(after) < 0:
            raise QueryError(
                "after must be a sequence number, 0 for the beginning, or a cursor that was saved; for times there are"
                " start= and end=."
            )
        return cls(sequence=int(after)) if int(after) else cls()

    @classmethod
    def _of_saved(cls, saved: Mapping[str, Any]) -> Self:
        try:
            sequence = saved["sequence"]
            gaps = [Gap(int(first), int(last), _moment(at)) for first, last, at in saved["missing"]]
            if isinstance(sequence, bool) or not isinstance(sequence, int):
                raise TypeError  # noqa: TRY301 - the same as any other malformed part
            return cls(sequence, _moment(saved["timestamp"]), gaps, _moment(saved["start"]))
        except (KeyError, TypeError, ValueError):
            raise QueryError(
                "after is no cursor of a change feed; hand in what cursor gave, unchanged, or a sequence number."
            ) from None

    def saved(self) -> dict[str, Any]:
        """Give it as plain JSON."""
        return {
            "sequence": self.sequence,
            "timestamp": _written(self.timestamp),
            "missing": [[gap.first, gap.last, _written(gap.noticed)] for gap in self.missing],
            "start": _written(self.start),
        }

    def copy(self) -> Self:
        """Give one that goes its own way."""
        return replace(self, missing=list(self.missing))

    def take(self, sequence: int, timestamp: int | None) -> bool:
        """Say that a change was seen; tell whether it is new."""
        if sequence > self.sequence:
            first = self.sequence + 1 if self.sequence >= 0 else max(1, sequence - _BEFORE_THE_FIRST)
            self.sequence = sequence
            if timestamp is not None:
                self.timestamp = max(timestamp, self.timestamp or timestamp)
            if first < sequence:
                self.missing.append(Gap(first, sequence - 1, timestamp))
                self._forget()
            return True
        for at, gap in enumerate(self.missing):
            if gap.first <= sequence <= gap.last:
                parts = (gap._replace(last=sequence - 1), gap._replace(first=sequence + 1))
                self.missing[at : at + 1] = [part for part in parts if part.first <= part.last]
                return True
        return False

    def _forget(self) -> None:
        """Give up numbers that would have shown up by now."""
        if self.timestamp is not None:
            oldest = self.timestamp - MARGIN
            self.missing = [gap for gap in self.missing if gap.noticed is None or gap.noticed >= oldest]

    def window_start(self) -> int | None:
        """Give from which time on to read (version 2), so that nothing late is missed; None for the beginning."""
        if self.timestamp is None:
            return self.start
        return max(self.timestamp - MARGIN, self.start if self.start is not None else self.timestamp - MARGIN)

    def place(self, span: int) -> int:
        """Give after which number to read (version 1), so that nothing late is missed, at most a span back."""
        late = min((gap.first - 1 for gap in self.missing), default=self.sequence)
        return max(late, self.sequence - span, 0)


def _moment(text: Any) -> int | None:
    if text is None:
        return None
    moment = microseconds_of(text)
    if moment is None:
        raise ValueError
    return moment


def _written(moment: int | None) -> str | None:
    return None if moment is None else iso(moment)
