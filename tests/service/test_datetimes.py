"""Values of DT as intervals."""

import pytest

from dicomframe.service.datetimes import interval_of


@pytest.mark.parametrize(
    "text",
    ["", "20", "202413", "20240230", "2024011524", "202401151060", "20240115103061", "20240115103000.", "2024-01-15",
     "20240115103000+1500", "20240115103000+01", "0000", "20240115103000.1234567"],
)  # fmt: skip
def test_what_is_no_moment(text):
    assert interval_of(text) is None


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("2024", 366 * 86400), ("2023", 365 * 86400), ("202402", 29 * 86400), ("9999", 365 * 86400), ("20240115", 86400),
     ("2024011510", 3600), ("202401151030", 60), ("20240115103000", 1), ("20240115103060", 1),
     ("20240115103000.5", 0.1), ("20240115103000.123456", 1e-6), ("0001+1400", 365 * 86400)],
)  # fmt: skip
def test_how_long_a_moment_is(text, seconds):
    first, last = interval_of(text)
    assert last - first + 1 == round(seconds * 1_000_000)
