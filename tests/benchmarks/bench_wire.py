"""Paging, retrieval and storing against answers made beforehand, beside PyPI's dicomweb-client and a raw socket.

Each download goes into a folder of its own, whose files are emptied once the time is taken, and deleted when all rounds
are over. Deleting them at once would be billed to the next round: ext4 gives no inode to a new file that was deleted
in the last minutes, and passes over each of them. Keeping them whole was dearer still (0.54 s in the kernel instead of
0.13), probably because new memory was used for each round's files.
"""

from __future__ import annotations

import itertools
import os
import socket
import statistics
import tempfile
import time
from pathlib import Path
from urllib.parse import urlsplit

from canned_server import STUDY, instance
from measure import Row, canned, cpu, cpu_of, medians, python, wall

import dicomframe as dfr

# What holds back the rows that miss their goals, from cProfile, os.times and trials of the bare system calls.
DISK_LIMIT = (
    "the kernel's work alone is more than the goal: a raw socket that is read and written to files takes 3.1 to 8.2 "
    "times the plain read (see its row), and a download 1.1 to 1.9 times that, most for "
    "50 files (both from three runs). Of 160 to 200 ms for 157 MB in 300 "
    "files, the kernel has more than half: 30 ms to receive, 50 to write, 10 to make the files and 5 to name them "
    "(perf). To find the boundaries takes 13 to 20 ms, and the UIDs, path and row of a file together 20 µs, 6 ms in "
    "all. Measured on a machine that others used as well."
)
CHUNKED_LIMIT = (
    "as with a known length; and the chunks are put together in the buffer that they came into, 20 ms to move "
    "157 MB and 5 for the 2,400 lines between them."
)
AGAINST_PEER_LIMIT = (
    "at the edge of the goal: dicomweb-client keeps the objects in memory and writes no file; more than half of a "
    "download is the kernel's work, most of it for files. 50 files of 2 KiB take 7 ms in all, 1 such file 4.3 (two "
    "requests of 0.8, the table 1.4, the rest threads and folders): of 30 to 40 ms for 50 of 512 KiB the goal would "
    "leave no more than the kernel takes."
)
HEADER_LIMIT = (
    "of 40 to 48 µs an object, the kernel's receiving takes 6 to 8, to find its boundaries and hand it on 8, its first "
    "bytes 1.5, the walk over its elements 7, its values and row 9 (11 before what was written last was compared), "
    "the table 6, each measured alone. What was once told to show only in the whole call was those parts, underrated: "
    "perf finds two thirds of it in Python's own loop, and a call has one garbage collection, of the youngest "
    "objects, and 30 changes of thread."
)
STORE_LIMIT = (
    "the kernel's share: `sendfile` of 300 such files over loopback and nothing else takes 50 to 60 ms of CPU "
    "(25 to 85, with how often the server has to be woken: two fifths of perf's samples), where the goal is about "
    "73. Files of 2 KiB tell what the rest costs: 5 ms for 50 of them, 1 to look at them and read their UIDs, 0.5 "
    "for the table, the others for the request, its thread, and seven system calls a file."
)
STORE_WALL_LIMIT = (
    "50 files are one request over one connection: sending and the server's reading take turns. Requests of 4, 8 or "
    "16 MB side by side took no less time over loopback (24, 19 and 17 ms beside 15), and more CPU. 300 files, in six "
    "requests at a time, are past the goal."
)
PAGING_LIMIT = (
    "100 pages overlap by a row each, so 101 have rows and one more is empty, which tells a server without the"
    " service's version header that this was all: for 8 workers at least 14 waits of 50 ms, the first page by itself"
    " and 13 rounds. Beside 100 waits that is 7.1 times, plus what dicomweb-client's own work adds to its time. Up to"
    " six requests past the end are under way when it comes, and are waited for: they can make a fifteenth round."
)


def foreign(url):
    from dicomweb_client import DICOMwebClient

    return DICOMwebClient(url)


def paging(pages=100, rounds=3, delay=0.05):
    """100 pages of 200 rows, each of which takes the server 50 ms."""
    with canned("pages", "--pages", pages, "--delay", delay) as (url, _):
        peer = foreign(f"{url}/v2")
        whole = 200 * pages

        def theirs():
            assert len(peer.search_for_studies(limit=200, get_remaining=True)) == whole

        def ours(workers):
            client = dfr.connect(url, max_workers=workers, progress=False)

            def read():
                found = client.search_studies().to_frame()
                assert (len(found), found["StudyInstanceUID"].nunique()) == (whole, whole)

            return read

        times = medians({"theirs": theirs, "8": ours(8), "16": ours(16)}, rounds, wall)
        size = f"{pages} pages"
        for workers, goal in (("8", 7), ("16", 11)):
            yield Row(
                f"paging, {workers} workers, against dicomweb-client",
                size,
                times["theirs"] / times[workers],
                "x",
                goal,
                True,
                limit=PAGING_LIMIT,
            )


def raw_read(url, path):
    """Read an answer from a socket into one buffer, used again and again: the least that reading can cost."""
    host = urlsplit(url)
    buffer = memoryview(bytearray(1 << 20))
    with socket.create_connection((host.hostname, host.port)) as connection:
        connection.sendall(f"GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
        got = 0
        while count := connection.recv_into(buffer):
            got += count
    return got


def raw_save(url, path, folder, parts, size):
    """Read an answer from a socket and write it to as many files as it has parts: the kernel's share of a download."""
    host = urlsplit(url)
    folder.mkdir(parents=True)
    buffer = memoryview(bytearray(1 << 20))
    came = buffer[:0]
    with socket.create_connection((host.hostname, host.port)) as connection:
        connection.sendall(f"GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
        for number in range(parts):
            with (folder / str(number)).open("xb", buffering=0) as file:
                left = size
                while left and (came or (came := buffer[: connection.recv_into(buffer)])):
                    written = file.write(came[:left])
                    left -= written
                    came = came[written:]
        # Boundaries and the like, which are no file's.
        while connection.recv_into(buffer):
            pass


def emptied(folder):
    for path in folder.rglob("*"):
        if path.is_file():
            os.truncate(path, 0)


def retrieval(parts=300, size=512 * 1024, rounds=5):
    """A study to disk."""
    label = f"{parts} x {size // 1024} KiB"
    file_size = len(instance(1, size))
    for chunked in (False, True):
        with (
            canned("study", "--parts", parts, "--bytes", size, *["--chunked"] * chunked) as (url, _),
            tempfile.TemporaryDirectory(prefix="dicomframe-bench-") as top,
        ):
            client = dfr.connect(url, progress=False)
            peer = foreign(f"{url}/v2")
            path = f"/v2/studies/{STUDY}"
            folders = (Path(top) / str(number) for number in itertools.count())

            def to_folder(work, folders=folders):
                def timed():
                    folder = next(folders)
                    taken = cpu(lambda: work(folder))
                    emptied(folder)
                    return taken

                return timed

            def ours(folder, client=client):
                assert (client.download(STUDY, folder)["status"] == "saved").sum() == parts

            works = {
                "raw": lambda url=url, path=path: cpu(lambda: raw_read(url, path)),
                "saved": to_folder(
                    lambda folder, url=url, path=path: raw_save(url, path, folder, parts, file_size)
                ),
                "ours": to_folder(ours),
                "theirs": lambda peer=peer: cpu(lambda: peer.retrieve_study(STUDY)),
            }
            times = medians(works, rounds, lambda work: work())
            kind = "chunked" if chunked else "with its length"
            yield Row(
                f"study to disk, {kind}, against a raw socket",
                label,
                times["ours"] / times["raw"],
                "x CPU",
                4 if chunked else 2.5,
                limit=CHUNKED_LIMIT if chunked else DISK_LIMIT,
            )
            yield Row(
                f"study to disk, {kind}, against retrieve_study",
                label,
                times["theirs"] / times["ours"],
                "x CPU",
                4,
                True,
                limit=AGAINST_PEER_LIMIT,
            )
            yield Row(
                f"raw socket read and written to files, {kind}, against only read",
                label,
                times["saved"] / times["raw"],
                "x CPU",
            )
            yield Row(
                f"study to disk, {kind}, against a raw socket read and written to files",
                label,
                times["ours"] / times["saved"],
                "x CPU",
            )
            if not chunked:
                yield Row(
                    "study to disk, peak memory above idle",
                    label,
                    _peak_of_download(url, top) / 1e6,
                    "MB",
                    10,
                )


HEADERS = (
    "PatientID StudyDate Modality Manufacturer InstanceNumber SliceThickness Rows Columns BitsStored"
    " PhotometricInterpretation"
).split()


def headers(parts=2000, size=20 * 1024, rounds=3):
    """A study of small objects to a table of ten attributes, with equal values."""
    import pandas as pd

    with canned("study", "--parts", parts, "--bytes", size) as (url, _):
        client = dfr.connect(url, progress=False)
        peer = foreign(f"{url}/v2")
        read = {}

        def ours():
            read["ours"] = client.retrieve_headers(STUDY, keywords=HEADERS)

        def theirs():
            found = [[getattr(each, name) for name in HEADERS] for each in peer.iter_study(STUDY)]
            read["theirs"] = pd.DataFrame(found, columns=HEADERS)

        times = medians({"theirs": theirs, "ours": ours}, rounds)
        for name in HEADERS:
            text = read["ours"][name].dt.strftime("%Y%m%d") if name == "StudyDate" else read["ours"][name]
            assert text.tolist() == [
                float(value) if name == "SliceThickness" else value for value in read["theirs"][name]
            ], name
        label = f"{parts:,} x {size // 1024} KiB"
        yield Row(
            "study to a table of 10 attributes, against iter_study",
            label,
            times["theirs"] / times["ours"],
            "x CPU",
            8,
            True,
            limit=HEADER_LIMIT,
        )


_DOWNLOAD = """
import json, sys
from measure import forget_peak, peak_bytes
import dicomframe as dfr
url, folder, study = sys.argv[1:]
client = dfr.connect(url, progress=False)
client.download(study, folder + "/warm")
forget_peak()
before = peak_bytes()
client.download(study, folder + "/real")
print(json.dumps({"peak": peak_bytes() - before}))
"""


def _peak_of_download(url, folder):
    return python(_DOWNLOAD, url, folder, STUDY)["peak"]


def storing(files=300, size=512 * 1024, rounds=3):
    """Files to a server that reads them and says that they are stored."""
    label = f"{files} x {size // 1024} KiB"
    import pydicom

    with tempfile.TemporaryDirectory(prefix="dicomframe-bench-") as folder, canned("stow") as (url, server):
        paths = []
        for number in range(files):
            paths.append(Path(folder) / f"{number}.dcm")
            paths[-1].write_bytes(instance(number, size))
        client = dfr.connect(url, progress=False)
        peer = foreign(f"{url}/v2")
        taken = {"ours": ([], []), "theirs": ([], [])}

        def ours():
            assert (client.store(paths)["status"] == "stored").all()

        def theirs():
            peer.store_instances([pydicom.dcmread(path) for path in paths])

        for number in range(rounds + 1):
            for name, work in (("ours", ours), ("theirs", theirs)):
                began, busy = time.perf_counter(), time.process_time()
                work()
                if number:
                    taken[name][0].append(time.process_time() - busy)
                    taken[name][1].append(time.perf_counter() - began)
        busy = {name: statistics.median(each[0]) for name, each in taken.items()}
        lasted = {name: statistics.median(each[1]) for name, each in taken.items()}
        for taken, unit, goal, limit in (
            (busy, "x CPU", 8, STORE_LIMIT),
            (lasted, "x wall", 4, STORE_WALL_LIMIT),
        ):
            yield Row(
                "storing, against store_instances",
                label,
                taken["theirs"] / taken["ours"],
                unit,
                goal,
                True,
                limit=limit,
            )
        yield Row(
            "storing, peak memory above idle", label, python(_STORE, url, folder)["peak"] / 1e6, "MB", 8
        )
        assert cpu_of(server.pid) > 0


_STORE = """
import json, sys
from measure import forget_peak, peak_bytes
import dicomframe as dfr
url, folder = sys.argv[1:]
client = dfr.connect(url, progress=False)
client.store(folder)
forget_peak()
before = peak_bytes()
client.store(folder)
print(json.dumps({"peak": peak_bytes() - before}))
"""


def rows(quick=False):
    """Give all rows, or the same at sizes that take a moment."""
    if quick:
        yield from paging(4, 1, 0.0)
        yield from retrieval(5, 8192, 1)
        yield from headers(5, 8192, 1)
        yield from storing(5, 8192, 1)
        return
    yield from paging()
    yield from retrieval(50)
    yield from retrieval()
    yield from headers()
    yield from storing(50)
    yield from storing()
