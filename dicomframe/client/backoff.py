"""When to try again, and after how long. Pure, so that it is tested without waiting."""

from __future__ import annotations

import random
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

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
