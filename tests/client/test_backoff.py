"""How long to wait, without waiting."""

from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dicomframe.client.backoff import Backoff, seconds_of


@given(st.integers(0, 40))
def test_full_jitter_stays_in_its_range(attempt):
    backoff = Backoff(retries=50, first=0.5, most=30)
    wait = backoff.wait(attempt)
    assert 0 <= wait <= min(30, 0.5 * 2**attempt)


def test_jitter_varies_and_grows():
    waits = [Backoff(retries=10).wait(5) for _ in range(200)]
    assert len(set(waits)) > 150
    assert max(waits) > 10


def test_retries_end():
    assert Backoff(retries=2).wait(1) is not None
    assert Backoff(retries=2).wait(2) is None
    assert Backoff(retries=0).wait(0, "0") is None


def test_retry_after_is_a_lower_bound():
    assert 3 <= Backoff().wait(0, "3") <= 3.5
    date = format_datetime(datetime.now(UTC) + timedelta(seconds=10), usegmt=True)
    assert 8 <= Backoff().wait(0, date) <= 10.5


def test_a_wait_that_nobody_would_sit_out_is_given_up():
    assert Backoff().wait(0, "3600") is None


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("0", 0), ("2.5", 2.5), (" 7 ", 7), ("-3", None), ("soon", None), ("", None), (None, None), ("\u0661", 1),
     ("Wed, 21 Oct 2015 07:28:00 GMT", 0), ("Wed, 99 Oct 2015", None), ("1" * 400, float("inf"))],
)  # fmt: skip
def test_retry_after_values(text, seconds):
    assert seconds_of(text) == seconds
