"""A million changes: pages of the local service's feed, and the whole feed as a table.

The feed is filled directly, because what is measured is reading it.
"""

from __future__ import annotations

import tempfile
import time

from measure import Row, cpu

from dicomframe.client.client import Client
from dicomframe.client.session import InProcessAdapter
from dicomframe.service.inprocess import handler
from dicomframe.service.service import Service

_PAGES = (
    ("one page, far in, v1", "/v1/changefeed?offset={0}&limit=100"),
    ("the latest change", "/v1/changefeed/latest"),
    ("the first page, v2", "/v2/changefeed?limit=200"),
    ("one page, far in, v2", "/v2/changefeed?limit=200&offset={0}"),
    (
        "a page of one minute",
        "/v2/changefeed?limit=200&startTime=2023-11-14T22:20:20Z&endTime=2023-11-14T22:21:20Z",
    ),
)


def fill(service, changes):
    """Write so many changes, one a millisecond."""
    with service.index.transaction() as writer:
        writer.executemany(
            "INSERT INTO change (timestamp, action, partition, study, series, instance, version)"
            " VALUES (?, 'Create', 1, ?, ?, ?, ?)",
            (
                (
                    1_700_000_000_000_000 + at * 1000,
                    f"1.2.{at // 100}",
                    f"1.2.{at // 100}.1",
                    f"1.2.{at}.1.1",
                    at,
                )
                for at in range(changes)
            ),
        )


def rows(quick=False):
    """Give all rows, or the same at a size that takes a moment."""
    changes = 1_000 if quick else 1_000_000
    size = f"{changes:,} changes"
    with tempfile.TemporaryDirectory(prefix="dicomframe-bench-") as folder, Service.open(folder) as service:
        fill(service, changes)
        handle = handler(service.app)
        for what, route in _PAGES:
            taken = []
            for _ in range(5):
                began = time.perf_counter()
                status, _, body = handle("GET", route.format(changes - 200), {}, [])
                assert status == 200
                assert b"".join(body)
                taken.append(time.perf_counter() - began)
            yield Row(f"change feed: {what}", size, min(taken) * 1000, "ms")
        client = Client("http://127.0.0.1:80", adapter=InProcessAdapter(handle), progress=False)
        tables = []
        seconds = cpu(lambda: tables.append(client.change_feed().to_frame()))
        assert tables[0]["sequence"].tolist() == list(range(1, changes + 1))
        yield Row("change feed to one table, client and service", size, seconds, "s CPU")
