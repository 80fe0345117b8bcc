"""When to try again, and after how long. Clock and sleep can be given, so that it is tested without waiting."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

from dicomframe.client import workers

#: Answers that a later attempt may turn into a good one (PS3.18 section 8.4.2 has 503; Azure throttles with 429).
RETRIED_STATUS = frozenset({429, 502, 503, 504})


@dataclass(frozen=True, slots=True)
class Backoff:
    """Exponential back-off with full jitter, and the server's own wish above it.

    Parameters
    ----------
    retries : int
        How often a request is sent again at most.
    first : float
        Seconds: the first wait is between 0 and this, each later range twice as wide.
    most : float
        Seconds that a range does not exceed.
    most_asked : float
        Seconds. A server that asks for a longer wait than this gets no further attempt: sooner would be
        against its wish, and later than anyone expects a call to take.
    """

    retries: int = 5
    first: float = 0.5
    most: float = 30.0
    most_asked: float = 120.0

    def wait(self, attempt: int, retry_after: str | None = None) -> float | None:
        """Give the seconds to wait after the attempt of this number (from 0); None to give up.

        Examples
        --------
        >>> 2.0 <= Backoff().wait(0, "2") <= 2.5
        True
        >>> Backoff(retries=1).wait(1) is None
        True
        """
        if attempt >= self.retries:
            return None
        jitter = random.uniform(0, min(self.most, self.first * 2**attempt))  # noqa: S311 - no secret
        asked = seconds_of(retry_after)
        if asked is None:
            return jitter
        # A little on top, so that all waiting workers do not come back in the same moment.
        return None if asked > self.most_asked else asked + min(jitter, self.first)


class Pause:
    """The wait that a server has asked for, of all who send requests to it.

    A server that tells one worker to wait is busy for the others as well: requests that they send meanwhile are refused
    at best, and keep it busy at worst.

    Parameters
    ----------
    clock, sleep : callable
        As `time.monotonic` and `time.sleep`; by default nobody sleeps longer than the call that the thread works for.

    Examples
    --------
    >>> pause = Pause(clock=lambda: 100.0)
    >>> pause.extend(2.5)
    >>> pause.remaining
    2.5
    """

    def __init__(
        self, clock: Callable[[], float] = time.monotonic, sleep: Callable[[float], None] = workers.sleep
    ) -> None:
        self._clock = clock
        self._sleep = sleep
        self._until = 0.0
        self._lock = threading.Lock()

    @property
    def remaining(self) -> float:
        """Seconds until requests may go out again."""
        return max(self._until - self._clock(), 0.0)

    def extend(self, seconds: float) -> None:
        """Have all wait for so many seconds from now, or for longer if that was asked before."""
        with self._lock:
            self._until = max(self._until, self._clock() + seconds)

    def wait(self, most_jitter: float = 0.0) -> None:
        """Wait until the pause is over, also if it is extended meanwhile; not all come back in the same moment."""
        while (seconds := self.remaining) > 0:
            self._sleep(seconds + random.uniform(0, most_jitter))  # noqa: S311 - no secret

    def sleep(self, seconds: float) -> None:
        """Wait alone."""
        self._sleep(seconds)


def seconds_of(retry_after: str | None) -> float | None:
    """Read a Retry-After value (RFC 9110 section 10.2.3): seconds or an HTTP date; None where it is neither.

    Examples
    --------
    >>> seconds_of("3"), seconds_of("Wed, 21 Oct 2015 07:28:00 GMT"), seconds_of("soon")
    (3.0, 0.0, None)
    """
    text = (retry_after or "").strip()
    try:
        return max(0.0, float(text)) if text.replace(".", "", 1).isdecimal() else _seconds_until(text)
    except (ValueError, TypeError, OverflowError):
        return None


def _seconds_until(http_date: str) -> float:
    when = parsedate_to_datetime(http_date)
    if when.tzinfo is None:
        when = when.replace(tzinfo=UTC)
    return max(0.0, (when - datetime.now(UTC)).total_seconds())
