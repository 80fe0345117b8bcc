"""The local service beside Orthanc: the same files, the same client, eight connections; then a mixed load.

``wrk`` (Debian) asks where a Python client would be the slowest part. CPU is that of the servers, a request.
"""

from __future__ import annotations

import random
import re
import statistics
import subprocess
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from http.client import HTTPConnection
from pathlib import Path
from urllib.parse import urlsplit

from canned_server import instance
from measure import Row, cpu_of, local_service
from orthanc_server import orthanc

_CONNECTIONS = 8


def wrk(url, seconds, accept):
    """Ask for a URL for so many seconds; give the requests a second."""
    said = subprocess.run(
        ["wrk", "-t1", f"-c{_CONNECTIONS}", f"-d{seconds}s", "-H", f"Accept: {accept}", url],
        check=True,
        capture_output=True,
        text=True,
        timeout=seconds + 30,
    ).stdout
    if "Non-2xx" in said:
        raise AssertionError(said)
    return float(re.search(r"Requests/sec: +([0-9.]+)", said)[1])


def body_of(file):
    return b"--x\r\nContent-Type: application/dicom\r\n\r\n" + file + b"\r\n--x--\r\n"


MULTIPART = 'multipart/related; type="application/dicom"; boundary=x'


class Caller:
    """One connection that is kept."""

    def __init__(self, url):
        self._parts = urlsplit(url)
        self._connection = HTTPConnection(self._parts.netloc, timeout=30)

    def __call__(self, method, route, body=None, accept="application/dicom+json"):
        headers = {"Accept": accept} | ({"Content-Type": MULTIPART} if body else {})
        self._connection.request(method, f"{self._parts.path}/{route}", body, headers)
        answer = self._connection.getresponse()
        answer.read()
        return answer.status


def store_all(url, files):
    caller = Caller(url)
    for file in files:
        status = caller("POST", "studies", body_of(file))
        assert status in {200, 202}, status


def together(works):
    """Run works in a thread each; give the seconds until the last is done. What one of them raises is raised."""
    with ThreadPoolExecutor(len(works)) as pool:
        began = time.perf_counter()
        for running in [pool.submit(work) for work in works]:
            running.result()
        return time.perf_counter() - began


def made(studies, size, series=1):
    """Make files of studies of their own; the UIDs of the benchmark's usual file are replaced, length kept."""
    template = instance(series, size)
    study = b"1.2.826.0.1.3680043.8.498.1"
    return [
        template.replace(study, b"1.2.826.0.1.3680043.8.%03d.%d" % (at // 10 + 100, at % 10))
        for at in range(studies)
    ]


#: By requests and their goals: what holds the service back.
LIMITS = {
    "retrieval of a 512 KB object": (
        "one event loop on one core, while Orthanc uses both. Of 0.2 to 0.28 ms CPU a request, half is the kernel's,"
        " which sends the file itself and wakes the client (sendfile alone: 0.07 to 0.14 ms beside the same client),"
        " 0.07 are admission, routing, the index and the answer, and the rest is uvicorn's reading of the request."
    ),
    "STOW": (
        "one event loop and the interpreter's lock, while Orthanc stores on both cores. Of 1.8 ms CPU a store, 0.23 are"
        " reading and judging the header in Python, 0.2 to 0.3 the index, and most of the others the kernel's:"
        " receiving, creating and writing the file, and waking threads."
    ),
}


def against_orthanc(seconds, studies, turns=3):
    """Throughput of both, in turns."""
    with (
        tempfile.TemporaryDirectory(prefix="dicomframe-bench-") as folder,
        local_service() as (ours, process),
        orthanc(Path(folder)) as (theirs, their_pid),
    ):
        urls = {"ours": f"{ours}/v2", "orthanc": f"{theirs}/dicom-web"}
        pids = {"ours": process.pid, "orthanc": their_pid}
        files = made(studies, 512 * 1024)
        for url in urls.values():
            store_all(url, files)
        study = "1.2.826.0.1.3680043.8.100.0"
        one = f"studies/{study}/series/{study}.1/instances/{study}.1.1"
        dicom = 'multipart/related; type="application/dicom"; transfer-syntax=*'
        json = "application/dicom+json"
        for work, route, accept, goal in (
            ("search of 100 rows", "studies?limit=100", json, 15),
            ("search of one row", f"studies?StudyInstanceUID={study}", json, 1.5),
            ("study metadata", f"studies/{study}/metadata", json, 1.3),
            ("retrieval of a 512 KB object", one, dicom, 3),
        ):
            rates = {name: [] for name in urls}
            busy = {name: [] for name in urls}
            for turn in range(turns):
                for name, url in urls.items():
                    before = cpu_of(pids[name])
                    rate = wrk(f"{url}/{route}", seconds, accept)
                    if turn:
                        rates[name].append(rate)
                        busy[name].append((cpu_of(pids[name]) - before) / (rate * seconds) * 1000)
            rate = {name: statistics.median(each) for name, each in rates.items()}
            load = {name: statistics.median(each) for name, each in busy.items()}
            said = {name: f"{rate[name]:.0f} a second at {load[name]:.2f} ms CPU" for name in urls}
            note = f"({said['ours']}; Orthanc {said['orthanc']})"
            yield Row(
                f"service against Orthanc: {work}",
                f"{_CONNECTIONS} connections",
                rate["ours"] / rate["orthanc"],
                "x",
                goal,
                True,
                note,
                LIMITS.get(work, ""),
            )
        yield _stow(urls, pids)


def _stow(urls, pids):
    rates = {name: [] for name in urls}
    busy = {name: [] for name in urls}
    number = 0
    for turn in range(3):
        for name, url in urls.items():
            number += 1
            files = [file.replace(b".8.1", b".8.%d" % (number + 1)) for file in made(96, 512 * 1024)]
            shares = [files[at::_CONNECTIONS] for at in range(_CONNECTIONS)]
            before = cpu_of(pids[name])
            taken = together([lambda share=share, url=url: store_all(url, share) for share in shares])
            if turn:
                rates[name].append(len(files) / taken)
                busy[name].append((cpu_of(pids[name]) - before) / len(files) * 1000)
    said = {
        name: f"{statistics.median(rates[name]):.0f} a second at {statistics.median(busy[name]):.2f} ms CPU"
        for name in urls
    }
    rate = {name: statistics.median(each) for name, each in rates.items()}
    note = f"({said['ours']}; Orthanc {said['orthanc']})"
    return Row(
        "service against Orthanc: STOW of 512 KB objects",
        f"{_CONNECTIONS} connections",
        rate["ours"] / rate["orthanc"],
        "x",
        1,
        True,
        note,
        LIMITS["STOW"],
    )


def mixed_load(seconds):
    """60 % searches, 30 % retrievals, 10 % stores of 500 KB, from eight connections."""
    with local_service() as (url, _):
        base = f"{url}/v2"
        store_all(base, made(100, 500 * 1024))
        more = made(1000, 500 * 1024)
        waits: list[float] = []
        until = time.perf_counter() + seconds

        def load(seed):
            chance = random.Random(seed)
            caller = Caller(base)
            at = 0
            while time.perf_counter() < until:
                study = f"1.2.826.0.1.3680043.8.{chance.randrange(100, 110)}.{chance.randrange(10)}"
                draw = chance.random()
                began = time.perf_counter()
                if draw < 0.6:
                    status = caller("GET", "studies?PatientID=P1&limit=20")
                elif draw < 0.9:
                    status = caller(
                        "GET",
                        f"studies/{study}/series/{study}.1/instances/{study}.1.1",
                        accept="application/dicom; transfer-syntax=*",
                    )
                else:
                    file = more[(at * _CONNECTIONS + seed) % len(more)].replace(
                        b".498.", b".%03d." % chance.randrange(999)
                    )
                    status = caller("POST", "studies", body_of(file))
                    at += 1
                    assert status in {200, 202, 409}, status
                    status = 200
                waits.append(time.perf_counter() - began)
                assert status == 200, status

        together([lambda seed=seed: load(seed) for seed in range(_CONNECTIONS)])
        size = f"{seconds:g} s"
        yield Row("service under a mixed load", size, len(waits) / seconds * 60, "a minute", 20_000, True)
        yield Row(
            "service under a mixed load, 99 of 100 within",
            size,
            sorted(waits)[int(len(waits) * 0.99)] * 1000,
            "ms",
            400,
        )


def rows(quick=False):
    """Give all rows, or the same at sizes that take a moment."""
    yield from against_orthanc(*((1, 5, 2) if quick else (5, 100)))
    yield from mixed_load(1 if quick else 20)
