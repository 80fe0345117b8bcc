"""Killed processes, two processes on one folder, and many requests at the same time."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager
from http.client import HTTPException

import pytest

from dicomframe.service.index import Index
from dicomframe.service.service import Service

SERVE = """
import sys
from dicomframe.service.server import serve_forever
from dicomframe.service.service import Service
serve_forever(Service.open(sys.argv[1]), 0)
"""


@contextmanager
def process(folder):
    """A server process; give it and its URL."""
    started = subprocess.Popen(
        [sys.executable, "-c", SERVE, str(folder)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    try:
        url = started.stdout.readline().strip()
        assert url.startswith("http://127.0.0.1:")
        yield started, url
    finally:
        if started.poll() is None:
            started.kill()
        started.communicate()


@pytest.mark.parametrize("count", [2, 20, 50])
def test_kill_9_during_stores(tmp_path, http_for, dicom, count):
    acknowledged = {}
    stop = threading.Event()

    def feed(url, thread):
        http = http_for(None, url)
        number = 0
        while not stop.is_set():
            number += 1
            files = [
                dicom(f"{thread}/{number}/{place}", raw={"7FE00010": ("OW", os.urandom(200_000))})
                for place in (1, 2)
            ]
            try:
                reply = http.store(*files)
            except (OSError, HTTPException):  # the service was killed under it
                return
            if reply.status == 200:
                uids = [f"1.{thread}.{number}.{place}" for place in (1, 2)]
                acknowledged.update(zip(uids, files, strict=True))

    with process(tmp_path) as (server, url):
        threads = [threading.Thread(target=feed, args=(url, thread)) for thread in (1, 2, 3)]
        for thread in threads:
            thread.start()
        while len(acknowledged) < count and any(thread.is_alive() for thread in threads):
            time.sleep(0.001)
        server.send_signal(signal.SIGKILL)
        server.wait()
        stop.set()
        for thread in threads:
            thread.join()
    with Service.open(tmp_path) as service:
        http = http_for(service)
        indexed = []
        while (reply := http.get(f"instances?limit=200&offset={len(indexed)}")).status == 200:
            indexed += [(row["0020000D"], row["0020000E"], row["00080018"]) for row in reply.json]
        uids = [tuple(each["Value"][0] for each in row) for row in indexed]
        assert acknowledged.keys() <= {instance for _, _, instance in uids}
        assert len(acknowledged) >= count
        for study, series, instance in uids:
            path = f"studies/{study}/series/{series}/instances/{instance}"
            body = http.get(path, accept="application/dicom; transfer-syntax=*").body
            assert len(body) > 200_000  # whole, whether it was acknowledged or not
            if instance in acknowledged:
                assert body == bytes(128) + acknowledged[instance][128:]
                assert http.search("instances", SOPInstanceUID=instance).status == 200
        on_disk = [path for path in (tmp_path / "blobs").rglob("*") if path.is_file() and path.name != "lock"]
        assert len(on_disk) == len(uids)
        assert len(list((tmp_path / "blobs" / "incoming").iterdir())) == 1
        http.stored(dicom("9/9/9"))


def test_bytes_of_a_transaction_that_never_ended_are_swept(tmp_path, http_for, dicom):
    with Service.open(tmp_path) as service:
        http_for(service).stored(dicom())
        orphan = service.blobs.path(2)
        orphan.write_bytes(b"orphan")
        kept = service.blobs.path(1).read_bytes()
    with Service.open(tmp_path) as service:
        assert not orphan.exists()
        assert service.blobs.path(1).read_bytes() == kept


def test_bytes_of_deleted_instances_are_removed_later(tmp_path, http_for, dicom):
    with Service.open(tmp_path) as service:
        http_for(service).stored(dicom())
        default = service.index.partition("Microsoft.Default")
        assert service.index.delete(default, ["1.1"]) == [1]  # and then the process dies
        path = service.blobs.path(1)
        assert path.exists()
    with Service.open(tmp_path) as service:
        assert not path.exists()
        assert service.index.garbage() == []


def test_unfinished_files_of_the_living_are_left_alone(tmp_path):
    with Service.open(tmp_path) as first:
        writing = first.blobs.begin()
        writing.write(b"half")
        with Service.open(tmp_path), Service.open(tmp_path):
            assert writing.path.exists()
        assert writing.path.exists()
        with writing:
            pass


def test_two_processes_on_one_folder(tmp_path, http_for, dicom):
    with process(tmp_path) as (_, first_url), process(tmp_path) as (_, second_url):
        first, second = http_for(None, first_url), http_for(None, second_url)

        def feed(http, study):
            for number in range(20):
                http.stored(dicom(f"{study}/1/{number}"))

        with ThreadPoolExecutor() as pool:
            list(pool.map(feed, (first, second), (1, 2)))
        for http in (first, second):
            assert sorted(http.get("studies").values("0020000D")) == ["1.1", "1.2"]
            assert len(http.get("instances").json) == 40
        assert first.store(dicom("2/1/3")).status == 409
        assert second("DELETE", "studies/1.1").status == 204
        assert first.get("studies/1.1").status == 404
        etag = first.get("studies/1.2/metadata").headers["etag"]
        assert etag == second.get("studies/1.2/metadata").headers["etag"]


def test_many_processes_open_a_new_folder(tmp_path):
    code = "import sys; from dicomframe.service.service import Service; Service.open(sys.argv[1]).close()"
    with ExitStack() as stack:
        started = [
            stack.enter_context(
                subprocess.Popen([sys.executable, "-c", code, str(tmp_path / "new")], stderr=subprocess.PIPE)
            )
            for _ in range(6)
        ]
        ended = [(each.communicate(timeout=300)[1], each.returncode) for each in started]
    assert ended == [(b"", 0)] * 6


def test_opening_waits_for_a_process_that_is_just_making_the_index(tmp_path):
    # SQLite refuses at once here, whatever its timeout: see `Index._keep_a_log`.
    path = tmp_path / "index.sqlite"
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("CREATE TABLE taken (x)")
        other.execute("BEGIN IMMEDIATE")
        with (
            closing(sqlite3.connect(path, timeout=300)) as impatient,
            pytest.raises(sqlite3.OperationalError),
        ):
            impatient.execute("PRAGMA journal_mode = WAL")
        with ThreadPoolExecutor() as pool:
            opening = pool.submit(Index, path)
            with pytest.raises(TimeoutError):
                opening.result(timeout=0.2)
            other.execute("ROLLBACK")
            opening.result(timeout=300).close()


def test_parallel_stores_searches_and_deletes(anyhow, dicom):
    problems = []

    def store(thread):
        for number in range(15):
            reply = anyhow.store(dicom(f"{thread}/1/{number}"), dicom(f"{thread}/2/{number}"))
            if reply.status != 200:
                problems.append(reply)
            if number % 5 == 4 and anyhow("DELETE", f"studies/1.{thread}/series/1.{thread}.2").status != 204:
                problems.append(number)

    def read(_):
        for _ in range(40):
            reply = anyhow.search("instances", Modality="CT", limit=50)
            if reply.status not in {200, 204}:
                problems.append(reply)
            for row in reply.json[:2] if reply.body else []:
                answer = anyhow.get(f"studies/{row['0020000D']['Value'][0]}/metadata")
                if answer.status != 200 or not answer.json:
                    problems.append(answer)

    with ThreadPoolExecutor(6) as pool:
        list(
            pool.map(
                lambda work: work[0](work[1]), [(store, 1), (store, 2), (store, 3), (read, 0), (read, 1)]
            )
        )
    assert not problems
    assert len(anyhow.get("instances?limit=200").json) == 3 * 15
    assert len(anyhow.get("series").json) == 3


def test_the_same_instance_from_many_sides_is_stored_once(anyhow, dicom):
    with ThreadPoolExecutor(8) as pool:
        replies = list(pool.map(lambda _: anyhow.store(dicom()), range(16)))
    assert sorted(reply.status for reply in replies) == [200] + [409] * 15
    assert len(anyhow.get("instances").json) == 1
