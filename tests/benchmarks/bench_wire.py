"""Paging, retrieval and storing against answers made beforehand, beside PyPI's dicomweb-client and a raw socket."""

from __future__ import annotations

import re
import shutil
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
    "the kernel's work alone is more than the goal: see the row of the raw socket that is read and written to "
    "files. For 157 MB, receiving takes 30 to 40 ms of CPU, and writing as many bytes from memory to 300 new "
    "files 70, on ext4 as on tmpfs; `splice`, which copies nothing to the program, took 2.9 (tmpfs) and 3.5 "
    "times (ext4) the read, `recv_into` and `write` with pieces of 1 MiB 3.2 and 4.3. On ext4 it is twice that "
    "where many files were deleted a moment ago: it passes over their places (perf: `recently_deleted`). On "
    "top come 20 ms to find the boundaries and 55 ms, whatever the sizes, to list 300 instances, read their "
    "UIDs, name files once they are whole, and write the ledger and the table. The best seen of 300 files: 8.4 "
    "times on ext4 on a busy machine, 6.4 on tmpfs."
)
CHUNKED_LIMIT = (
    "as with a known length; and the chunks have to be put together, one more copy, with some lines of Python "
    "for each."
)
AGAINST_PEER_LIMIT = (
    "dicomweb-client keeps the objects in memory and writes no file; here more than half is the kernel's work "
    "for files."
)
HEADER_LIMIT = (
    "of about 65 µs an object, a third is the walk over its 28 elements, a quarter its values, a quarter to "
    "receive it and find its boundary, the rest its row and the table. Fewer elements cannot be looked at: "
    "where one begins, only the one before it tells."
)
STORE_LIMIT = (
    "more than half of the CPU is the kernel's, to read 157 MB from files and to send them (65 of 120 ms); "
    "most of the rest is opening 300 files and reading their UIDs. `sendfile` would spare two copies, but not "
    "over TLS."
)
STORE_WALL_LIMIT = (
    "five sixths of the time the canned server itself is at work (0.20 of 0.24 s), as it is for the other "
    "client."
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


def raw_save(url, path, folder, parts):
    """Read an answer from a socket and write it to as many files as it has parts: the kernel's share of a download."""
    host = urlsplit(url)
    folder.mkdir(parents=True)
    buffer = memoryview(bytearray(1 << 20))
    with socket.create_connection((host.hostname, host.port)) as connection:
        connection.sendall(f"GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
        size = None
        for number in range(parts):
            with (folder / str(number)).open("xb", buffering=0) as file:
                written = 0
                while (size is None or written < size) and (count := connection.recv_into(buffer)):
                    size = size or int(re.search(rb"Content-Length: (\d+)", buffer[:512])[1]) / parts
                    written += file.write(buffer[:count])


def retrieval(parts=300, size=512 * 1024, rounds=3):
    """A study to disk."""
    label = f"{parts} x {size // 1024} KiB"
    for chunked in (False, True):
        with canned("study", "--parts", parts, "--bytes", size, *["--chunked"] * chunked) as (url, _):
            client = dfr.connect(url, progress=False)
            peer = foreign(f"{url}/v2")
            folder = Path(tempfile.mkdtemp(prefix="dicomframe-bench-"))

            def emptied(work, folder=folder):
                # To take the files away again is no part of a download.
                taken = cpu(work)
                shutil.rmtree(folder, ignore_errors=True)
                return taken

            def ours(client=client, folder=folder):
                assert len(client.download(STUDY, folder)) == parts

            def saved(url=url, folder=folder, parts=parts):
                raw_save(url, f"/v2/studies/{STUDY}", folder, parts)

            works = {
                "raw": lambda url=url: raw_read(url, f"/v2/studies/{STUDY}"),
                **({} if chunked else {"saved": saved}),
                "ours": ours,
                "theirs": lambda peer=peer: peer.retrieve_study(STUDY),
            }
            times = medians(works, rounds, emptied)
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
            if not chunked:
                yield Row(
                    "raw socket read and written to files, against only read",
                    label,
                    times["saved"] / times["raw"],
                    "x CPU",
                )
                yield Row(
                    "study to disk, against a raw socket read and written to files",
                    label,
                    times["ours"] / times["saved"],
                    "x CPU",
                )
                yield Row(
                    "study to disk, peak memory above idle",
                    label,
                    _peak_of_download(url, folder) / 1e6,
                    "MB",
                    10,
                )
            shutil.rmtree(folder, ignore_errors=True)


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
