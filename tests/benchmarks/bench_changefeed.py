"""A million changes: pages of the local service's feed, and the whole feed as a table.

Run it by itself: ``python tests/benchmarks/bench_changefeed.py [ROWS]``. A page of a million changes took 1 to
15 ms, the last one of the whole feed longest; 200,000 changes as a table took 7 s of CPU time of client and service.
"""

import sys
import tempfile
import time

from dicomframe.client.client import Client
from dicomframe.client.session import InProcessAdapter
from dicomframe.service.inprocess import handler
from dicomframe.service.service import Service

ROWS = int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000
PAGES = (
    "/v1/changefeed?offset={0}&limit=100",
    "/v1/changefeed/latest",
    "/v2/changefeed?limit=200",
    "/v2/changefeed?limit=200&offset={0}",
    "/v2/changefeed?limit=200&startTime=2023-11-14T22:20:20Z&endTime=2023-11-14T22:21:20Z",
)


def fill(service):
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
                for at in range(ROWS)
            ),
        )


def main():
    with tempfile.TemporaryDirectory() as folder, Service.open(folder) as service:
        fill(service)
        handle = handler(service.app)
        for path in (page.format(ROWS - 200) for page in PAGES):
            taken = []
            for _ in range(5):
                began = time.perf_counter()
                status, _, body = handle("GET", path, {}, [])
                assert status == 200
                assert b"".join(body)
                taken.append(time.perf_counter() - began)
            print(f"{min(taken) * 1000:8.2f} ms  {path}")
        client = Client("http://127.0.0.1:80", adapter=InProcessAdapter(handle), progress=False)
        began = time.process_time()
        table = client.change_feed().to_frame()
        assert table["sequence"].tolist() == list(range(1, ROWS + 1))
        print(
            f"{time.process_time() - began:8.2f} s   {len(table)} rows as a table, CPU time of client and service"
        )


if __name__ == "__main__":
    main()
