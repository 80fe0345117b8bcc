"""The reference's "Best Practices", as far as they concern searching, storing, retrieving and retrying.

Each is what a client does when it is told nothing else. The others are shown with the change feed, the extended query
tags and the operations.
"""

import io
import json
import threading
import tracemalloc
from contextlib import closing
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import SimpleNamespace
from urllib.parse import parse_qs, urlsplit

import pytest
from pydicom import dcmread
from pydicom.data import get_testdata_file

import dicomframe as dfr
from dicomframe.client import backoff, session
from dicomframe.client.client import Client
from dicomframe.client.session import InProcessAdapter
from dicomframe.client.sources import encode_dataset
from dicomframe.dicom.parts import iter_parts
from dicomframe.errors import UnavailableError
from dicomframe.service.inprocess import handler
from dicomframe.service.service import Service

CT = get_testdata_file("CT_small.dcm", download=False)
STUDY = "1.2.826.0.70"
MEGABYTE = 1 << 20


def made(number, study=STUDY, pixels=b"\0\0"):
    dataset = dcmread(CT)
    dataset.StudyInstanceUID, dataset.SeriesInstanceUID = study, f"{study}.1"
    dataset.SOPInstanceUID = dataset.file_meta.MediaStorageSOPInstanceUID = f"{study}.1.{number}"
    dataset.PixelData = pixels
    return dataset


@pytest.fixture
def watched(tmp_path):
    """A client with nothing configured, and each request that it makes of a service in this process."""
    asked = []
    with Service.open(tmp_path / "service") as service:
        handle = handler(service.app)

        def watch(method, target, headers, body):
            content = b"".join(body)
            asked.append(SimpleNamespace(method=method, target=target, headers=headers, body=content))
            return handle(method, target, headers, [content])

        yield Client("http://127.0.0.1:80", adapter=InProcessAdapter(watch)), asked


@pytest.mark.covers("Best Practices: Use Pagination")
def test_use_pagination(watched):
    """1: ``offset`` and ``limit`` stand in every search, and all pages make one table."""
    client, asked = watched
    client.store([encode_dataset(made(1, f"1.2.826.0.71.{number}")) for number in range(250)])
    asked.clear()
    search = client.search_studies()
    assert len(search.to_frame()) == 250
    assert search.completeness == "complete"
    queries = [parse_qs(urlsplit(each.target).query) for each in asked]
    assert all(query["limit"] and query["offset"] for query in queries)
    assert {int(query["limit"][0]) for query in queries} == {200}
    assert min(int(query["offset"][0]) for query in queries) == 0
    assert len(queries) >= 2


@pytest.mark.covers("Best Practices: Batch Uploads")
def test_batch_uploads(watched):
    """2: 50 instances a request."""
    client, asked = watched
    table = client.store([encode_dataset(made(number)) for number in range(120)])
    assert table["status"].tolist() == ["stored"] * 120
    sizes = [len(list(iter_parts(each.headers["Content-Type"], [each.body]))) for each in asked]
    assert sorted(sizes) == [20, 50, 50]
    asked.clear()
    assert len(
        client.store([encode_dataset(made(number, "1.2.826.0.72")) for number in range(120)], batch_size=100)
    )
    assert len(asked) == 2


@pytest.mark.covers("Best Practices: Stream Large Studies")
def test_stream_large_studies(tmp_path):
    """3: a study of 100 MB is stored, retrieved and saved in a fraction of its size, client and service together."""
    count, size = 25, 4 * MEGABYTE
    paths = []
    for number in range(count):
        paths.append(tmp_path / f"{number}.dcm")
        made(number, pixels=bytes([number]) * size).save_as(paths[-1], enforce_file_format=True)
    with dfr.start_local(tmp_path / "service") as local:
        client = local.connect(max_workers=1, progress=False)
        # What is imported at first use is no part of what is measured.
        client.store(CT)
        list(client.retrieve_study(dcmread(CT).StudyInstanceUID))
        tracemalloc.start()
        try:
            assert client.store(paths)["status"].tolist() == ["stored"] * count
            _, stored = tracemalloc.get_traced_memory()
            tracemalloc.reset_peak()
            seen = [dataset.PixelData[0] for dataset in client.retrieve_study(STUDY)]
            _, retrieved = tracemalloc.get_traced_memory()
            tracemalloc.reset_peak()
            saved = client.download(STUDY, tmp_path / "out")
            _, downloaded = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
    assert sorted(seen) == list(range(count))
    assert saved["status"].tolist() == ["saved"] * count
    assert saved["bytes"].sum() > count * size
    # Of the study's 100 MB a few instances at most are held.
    assert max(stored, retrieved, downloaded) < 7 * size, [
        each // MEGABYTE for each in (stored, retrieved, downloaded)
    ]


@pytest.fixture
def busy():
    """Serve 503 so many times, then success; note the bodies that came."""
    servers = []

    def start(times, **headers):
        bodies = []

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def answer(self):
                bodies.append(self.rfile.read(int(self.headers.get("Content-Length") or 0)))
                status = 503 if len(bodies) <= times else 200
                content = b"busy" if status == 503 else _stored(bodies[-1], self.headers["Content-Type"])
                self.send_response(status)
                for name, value in {"Content-Length": str(len(content)), **headers}.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(content)

            do_GET = do_POST = answer  # noqa: N815 - the standard library's names

            def log_message(self, *_):
                """Say nothing."""

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        servers.append(server)
        return f"http://127.0.0.1:{server.server_port}", bodies

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


def _stored(body, content_type):
    if not body:
        return b"[]"
    uids = [dcmread(io.BytesIO(part.read())).SOPInstanceUID for part in iter_parts(content_type, [body])]
    items = [{"00081155": {"vr": "UI", "Value": [uid]}} for uid in uids]
    return json.dumps({"00081199": {"vr": "SQ", "Value": items}}).encode()


@pytest.fixture
def waits(monkeypatch):
    """The waits between attempts, noted instead of waited; the longest that chance allows."""
    noted = []
    monkeypatch.setattr(
        session, "Pause", lambda: backoff.Pause(clock=lambda: float(sum(noted)), sleep=noted.append)
    )
    monkeypatch.setattr(backoff.random, "uniform", lambda _, most: most)
    return noted


@pytest.mark.covers("Best Practices: Implement Retry Logic")
def test_implement_retry_logic(busy, waits):
    """7: 503 is tried again, five times, each wait up to twice as long as the one before."""
    url, bodies = busy(5)
    with closing(dfr.connect(url)) as client:
        assert client.search_studies().to_frame().empty
    assert waits == [0.5, 1.0, 2.0, 4.0, 8.0]
    assert len(bodies) == 6

    url, bodies = busy(100)
    with closing(dfr.connect(url)) as client, pytest.raises(UnavailableError, match="try again later"):
        client.search_studies().to_frame()
    assert len(bodies) == 6


@pytest.mark.covers("Best Practices: Implement Retry Logic")
def test_what_the_server_asks_for_is_waited(busy, waits):
    url, _ = busy(2, **{"Retry-After": "3"})
    with closing(dfr.connect(url)) as client:
        client.search_studies().to_frame()
    # Up to half a second by chance on top, twice: for this request, and so that not all workers come back at once.
    assert waits == [4.0, 4.0]


@pytest.mark.covers("Best Practices: Implement Retry Logic")
def test_a_store_that_is_tried_again_sends_its_whole_body_again(busy, waits, tmp_path):
    url, bodies = busy(2)
    path = tmp_path / "large.dcm"
    made(1, pixels=bytes(3 * MEGABYTE)).save_as(path, enforce_file_format=True)
    with closing(dfr.connect(url)) as client:
        assert client.store([path, made(2)])["status"].tolist() == ["stored", "stored"]
    assert len(bodies) == 3
    assert len(bodies[0]) > 3 * MEGABYTE
    assert bodies[0] == bodies[1] == bodies[2]
