"""Ctrl-C in long calls: a real SIGINT while servers keep all waiting. What was done is there, and nobody hangs."""

from __future__ import annotations

import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from copy import deepcopy
from typing import Any

import pydicom
import pytest
from pydicom.data import get_testdata_file

from dicomframe.client.workers import Call, GivenUp, Workers, current_call, in_order, working_for
from dicomframe.dicom.paths import ResourcePath

#: Far longer than anybody would wait, and than `SOON`.
STUCK = 60.0
SOON = 15.0
CT = pydicom.dcmread(get_testdata_file("CT_small.dcm", download=False))


@contextmanager
def ctrl_c(when: Callable[[], bool]) -> Iterator[None]:
    """Send this thread a SIGINT as soon as something is so, while the block runs; it must end soon then."""
    over = threading.Event()
    main = threading.get_ident()
    sent: list[float] = []
    before = set(threading.enumerate())  # services of other tests in this process among them

    def watch() -> None:
        while not over.wait(0.01):
            if when():
                # A moment, so that whoever is to wait waits.
                over.wait(0.1)
                sent.append(time.monotonic())
                signal.pthread_kill(main, signal.SIGINT)
                return

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        yield
    finally:
        over.set()
        watcher.join()
    assert sent
    assert time.monotonic() - sent[0] < SOON
    left = set(threading.enumerate()) - before
    assert not [each.name for each in left if each.name.startswith("dicomframe-")]


def made(number: int, study: int = 1) -> pydicom.Dataset:
    dataset = deepcopy(CT)
    dataset.StudyInstanceUID = f"1.2.{study}"
    dataset.SeriesInstanceUID = f"1.2.{study}.1"
    dataset.SOPInstanceUID = dataset.file_meta.MediaStorageSOPInstanceUID = f"1.2.{study}.1.{number}"
    dataset.InstanceNumber = number
    return dataset


def path(number: int, study: int = 1) -> ResourcePath:
    return ResourcePath(f"1.2.{study}", f"1.2.{study}.1", f"1.2.{study}.1.{number}")


def number_of(asked: Any) -> int:
    """The number of the instance that a request names; 0 where it names none."""
    instance = asked.path.partition("/instances/")[2].partition("/")[0]
    return int(instance.rpartition(".")[2] or 0)


@pytest.fixture
def slow(archive, reply):
    """Start an archive of twelve instances, from the seventh on of which requests are not answered while it is slow."""
    state: dict[str, Any] = {"stuck": 0, "is_slow": True}

    def spoil(asked: Any) -> Any:
        if state["is_slow"] and number_of(asked) > 6:
            state["stuck"] += 1
            return reply(200, b"late", {}, pause=STUCK)
        return None

    site = archive(*[made(number) for number in range(1, 13)], spoil=spoil)
    site.state = state
    return site


# -- tables of what came ---------------------------------------------------------------------------------------------


def test_a_search_gives_the_rows_that_had_come(serve, as_json, connect):
    is_slow = True

    def answer(asked):
        offset, limit = int(asked.params["offset"]), int(asked.params["limit"])
        rows = [
            {"0020000D": {"vr": "UI", "Value": [f"1.2.{at}"]}}
            for at in range(offset, min(offset + limit, 95))
        ]
        late = as_json(rows, api_supported_versions="2")
        late.pause = STUCK if is_slow and offset >= 30 else 0
        return late

    site = serve(answer)
    client = connect(site.url, max_workers=4)
    search = client.search_studies(page_size=10)
    with ctrl_c(lambda: len(site.asked) >= 8), pytest.raises(KeyboardInterrupt) as caught:
        search.to_frame()
    table = caught.value.table
    # Each page begins with the row that the one before it ended with: 10 rows, and 9 three times.
    assert table["StudyInstanceUID"].tolist() == [f"1.2.{at}" for at in range(37)]
    assert table.attrs["dicom"]["completeness"] == search.completeness == "truncated"
    assert table.attrs["dicom"]["interrupted"] is True
    assert client.partial is table
    assert "client.partial" in caught.value.__notes__[0]
    asked = len(site.asked)
    assert len(search.issues) == 0
    assert len(site.asked) == asked
    # The client is as good as new, and so is the search.
    is_slow = False
    assert len(search.to_frame()) == 95
    assert search.completeness == "complete"
    client.close()
    assert client.partial is None


def test_an_interrupt_while_rows_are_read_into_the_table(serve, as_json, connect, monkeypatch):
    from dicomframe.tables import pages

    def answer(asked):
        offset = int(asked.params["offset"])
        rows = [{"0020000D": {"vr": "UI", "Value": [f"1.2.{offset + at}"]}} for at in range(10)]
        return as_json(rows, api_supported_versions="2")

    read = pages.read_fast
    groups: list[int] = []

    def read_two(pages, *arguments):
        groups.append(len(pages))
        if len(groups) == 3:
            signal.raise_signal(signal.SIGINT)
        return read(pages, *arguments)

    monkeypatch.setattr(pages, "read_fast", read_two)
    # Every page by itself, and by the fast reader.
    monkeypatch.setattr(pages, "_TOGETHER_BYTES", 1)
    monkeypatch.setattr(pages, "_SMALL_BYTES", 0)
    monkeypatch.setattr(pages, "_PART_BYTES", 1 << 20)
    client = connect(serve(answer).url, max_workers=2)
    with pytest.raises(KeyboardInterrupt):
        client.search_studies(page_size=10, limit=1000).to_frame()
    assert client.partial["StudyInstanceUID"].tolist() == [f"1.2.{at}" for at in range(19)]
    assert client.partial.attrs["dicom"]["completeness"] == "truncated"


def test_an_interrupted_loop_over_pages(serve, as_json, connect):
    def answer(asked):
        offset = int(asked.params["offset"])
        rows = [{"0020000D": {"vr": "UI", "Value": [f"1.2.{offset + at}"]}} for at in range(10)]
        late = as_json(rows, api_supported_versions="2")
        late.pause = STUCK if offset >= 20 else 0
        return late

    site = serve(answer)
    client = connect(site.url, max_workers=4)
    had = []
    with ctrl_c(lambda: len(site.asked) >= 6), pytest.raises(KeyboardInterrupt):
        had.extend(row for page in client.search_studies(page_size=10).pages() for row in page)
    assert len(had) == 28
    # A loop that is left waits for nobody either.
    begun = time.monotonic()
    for _ in client.search_studies(page_size=10).pages():
        break
    for page in (pages := client.search_studies(page_size=10).pages()):
        if page[0]["0020000D"]["Value"] == ["1.2.10"]:
            break
    pages.close()
    assert time.monotonic() - begun < SOON


def test_metadata_and_headers_of_the_resources_that_had_come(slow, connect):
    client = connect(slow.url, max_workers=3)
    paths = [path(number) for number in range(1, 13)]
    for call in (client.collect_metadata, client.collect_headers):
        slow.state["stuck"] = 0
        with ctrl_c(lambda: slow.state["stuck"] >= 3), pytest.raises(KeyboardInterrupt):
            call(paths, ["InstanceNumber"])
        assert client.partial["InstanceNumber"].tolist() == [1, 2, 3, 4, 5, 6]
        assert client.partial.attrs["dicom"]["service"] == client.url
    slow.state["is_slow"] = False
    assert len(client.collect_metadata(paths, [])) == 12


def test_headers_of_a_study_that_is_not_read_to_its_end(serve, reply, connect, tmp_path):
    from dicomframe.dicom.multipartwriter import MultipartWriter

    files = []
    for number in range(1, 9):
        made(number).save_as(tmp_path / f"{number}.dcm")
        files.append((tmp_path / f"{number}.dcm").read_bytes())
    body = MultipartWriter(files)
    answer = reply(200, b"".join(body), {"Content-Type": body.content_type}, pause_within=STUCK)
    site = serve(answer)
    client = connect(site.url)
    with ctrl_c(lambda: bool(site.asked)), pytest.raises(KeyboardInterrupt):
        client.retrieve_headers("1.2.1", keywords=["InstanceNumber"])
    # The half of the body that came, and no object of which the rest is missing.
    numbers = client.partial["InstanceNumber"].tolist()
    assert numbers == list(range(1, len(numbers) + 1))
    assert 3 <= len(numbers) <= 4


def test_changes_that_had_come(serve, as_json, connect):
    def entry(number):
        uids = {"studyInstanceUid": "1.2", "seriesInstanceUid": "1.3", "sopInstanceUid": f"1.4.{number}"}
        timestamp = f"2024-01-15T10:30:00.{number:04}000Z"
        return {"sequence": number, "action": "Create", "state": "Current", "timestamp": timestamp, **uids}

    def answer(asked):
        if asked.path.endswith("latest"):
            return as_json(entry(2000))
        offset = int(asked.params["offset"])
        late = as_json([entry(number) for number in range(offset + 1, min(offset + 200, 2000) + 1)])
        late.pause = STUCK if offset >= 600 else 0
        return late

    site = serve(answer)
    client = connect(site.url, max_workers=3)
    feed = client.change_feed()
    with ctrl_c(lambda: len(site.asked) >= 7), pytest.raises(KeyboardInterrupt):
        feed.to_frame()
    assert client.partial["sequence"].tolist() == list(range(1, 601))
    assert feed.cursor is None


# -- outcomes --------------------------------------------------------------------------------------------------------


def test_a_download_leaves_whole_files_and_goes_on_later(slow, connect, tmp_path):
    client = connect(slow.url, max_workers=3)
    with ctrl_c(lambda: slow.state["stuck"] >= 3), pytest.raises(KeyboardInterrupt):
        client.download(ResourcePath("1.2.1"), tmp_path, layout="{SOPInstanceUID}.dcm")
    table = client.partial
    assert table["status"].value_counts().to_dict() == {"saved": 6, "interrupted": 6}
    assert sorted(
        each.name for each in tmp_path.iterdir() if not each.name.startswith(".dicomframe-download")
    ) == [f"1.2.1.1.{number}.dcm" for number in range(1, 7)]
    for file in table["path"].dropna():
        assert pydicom.dcmread(file).pixel_array.shape == (128, 128)
    slow.state["is_slow"] = False
    # What is left, as the table names it; or all of it once more.
    left = table[table["status"] == "interrupted"]
    again = client.download(left, tmp_path, layout="{SOPInstanceUID}.dcm")
    assert again["status"].tolist() == ["saved"] * 6
    whole = client.download("1.2.1", tmp_path, layout="{SOPInstanceUID}.dcm")
    assert whole["status"].tolist() == ["kept"] * 12


def half_of(body: bytes, head: bytes) -> Iterator[str]:
    """Serve, to whoever connects, the first half of a body, and keep the connection open."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        kept = []

        def serve_one() -> None:
            with suppress(OSError):
                kept.append(server.accept()[0])
                kept[0].recv(65536)
                kept[0].sendall(head + body[: len(body) // 2])

        thread = threading.Thread(target=serve_one, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{server.getsockname()[1]}"
        thread.join()
        for each in kept:
            each.close()


@pytest.mark.parametrize("framing", ["Content-Length: {}", "Transfer-Encoding: chunked", "X-Nothing: {}"])
def test_a_file_that_is_coming_in_is_not_taken_for_whole(connect, tmp_path, framing):
    """Without a length, a connection that is cut here looks like the end of the body."""
    made(1).save_as(tmp_path / "1.dcm")
    body = (tmp_path / "1.dcm").read_bytes()
    head = f"HTTP/1.1 200 OK\r\nContent-Type: application/dicom\r\n{framing.format(len(body))}\r\n\r\n"
    if "chunked" in framing:
        body = b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body)
    folder = tmp_path / "downloads"
    with contextmanager(half_of)(body, head.encode()) as url:
        client = connect(url)
        with (
            ctrl_c(lambda: any(each.stat().st_size for each in folder.glob(".*.part"))),
            pytest.raises(KeyboardInterrupt),
        ):
            client.download(path(1), folder)
    assert client.partial["status"].tolist() == ["interrupted"]
    assert [each for each in folder.rglob("*") if each.is_file()] == []


def test_a_file_that_comes_over_tls(serve, reply, connect, certificate, tmp_path):
    public, tls = certificate
    made(1).save_as(tmp_path / "1.dcm")
    body = (tmp_path / "1.dcm").read_bytes()
    site = serve(reply(200, body, {"Content-Type": "application/dicom"}, pause_within=STUCK), tls)
    client = connect(site.url, verify=str(public))
    folder = tmp_path / "downloads"
    with ctrl_c(lambda: bool(list(folder.glob(".*.part")))), pytest.raises(KeyboardInterrupt):
        client.download(path(1), folder)
    assert client.partial["status"].tolist() == ["interrupted"]
    assert [each for each in folder.rglob("*") if each.is_file()] == []


def test_a_store_says_what_was_sent(serve, as_json, connect):
    lock = threading.Lock()
    count = 0

    def answer(asked):
        nonlocal count
        with lock:
            count += 1
        uid = asked.body.split(b"1.2.1.1.")[1]
        number = int(uid[:2].strip(b"\0 "))
        item = {
            "00081150": {"vr": "UI", "Value": [str(CT.SOPClassUID)]},
            "00081155": {"vr": "UI", "Value": [f"1.2.1.1.{number}"]},
        }
        answer = as_json({"00081199": {"vr": "SQ", "Value": [item]}})
        answer.pause = STUCK if number > 2 else 0
        return answer

    site = serve(answer)
    client = connect(site.url, max_workers=2)
    with ctrl_c(lambda: count >= 4), pytest.raises(KeyboardInterrupt):
        client.store([*(made(number) for number in range(1, 9)), "no-such-file"], batch_size=1)
    status = client.partial["status"].tolist()
    assert status[:4] == ["stored", "stored", "unknown", "unknown"]
    # The others were not read, or read and not sent.
    assert set(status[4:]) <= {"interrupted"}
    assert client.partial["SOPInstanceUID"].tolist()[:4] == [f"1.2.1.1.{number}" for number in range(1, 5)]
    assert len(site.asked) == 4


def test_deletions_say_what_is_not_known(serve, reply, connect):
    def answer(asked):
        return reply(204, pause=STUCK if number_of(asked) > 2 else 0)

    site = serve(answer)
    client = connect(site.url, max_workers=2)
    with ctrl_c(lambda: len(site.asked) >= 4), pytest.raises(KeyboardInterrupt):
        client.delete_many([path(number) for number in range(1, 7)])
    assert client.partial["status"].tolist() == ["deleted"] * 2 + ["unknown"] * 2 + ["interrupted"] * 2
    assert len(site.asked) == 4


def test_pixels_and_frames_that_had_come(slow, connect):
    client = connect(slow.url, max_workers=3)
    with ctrl_c(lambda: slow.state["stuck"] >= 3), pytest.raises(KeyboardInterrupt):
        client.collect_pixels([ResourcePath("1.2.1"), ResourcePath("1.2.99")])
    table = client.partial
    assert table["status"].tolist() == ["decoded"] * 6 + ["interrupted"] * 7
    assert table["pixels"].dropna().map(lambda cell: cell.shape).unique().tolist() == [(1, 128, 128)]
    assert table["StudyInstanceUID"].iloc[-1] == "1.2.99"
    slow.state["stuck"] = 0
    with ctrl_c(lambda: slow.state["stuck"] >= 3), pytest.raises(KeyboardInterrupt):
        client.collect_frames([path(number) for number in (1, 7, 8, 9, 10)])
    assert client.partial["status"].tolist() == ["decoded"] + ["interrupted"] * 4


def test_waiting_for_an_operation_can_be_taken_up_again(serve, as_json, connect):
    status = "running"
    site = serve(lambda _: as_json({"operationId": "a1", "status": status, "percentComplete": 10}))
    operation = connect(site.url).operation("a1")
    with ctrl_c(lambda: len(site.asked) >= 2), pytest.raises(KeyboardInterrupt):
        operation.wait()
    status = "succeeded"
    assert operation.wait().done


def test_a_throttled_call_does_not_wait_out_the_pause(serve, reply, connect):
    site = serve(reply(429, b"", {"Retry-After": "60"}))
    client = connect(site.url)
    with ctrl_c(lambda: bool(site.asked)), pytest.raises(KeyboardInterrupt):
        client.collect_metadata([path(number) for number in range(1, 4)])
    assert len(client.partial) == 0


# -- how it is done --------------------------------------------------------------------------------------------------


def test_a_call_that_was_given_up_sends_nothing_more():
    call = Call()
    call.give_up()
    with working_for(call), pytest.raises(GivenUp):
        call.sleep(STUCK)
    assert current_call() is None


def test_workers_finish_what_they_began_when_something_else_fails():
    done = []
    begun = threading.Barrier(3, timeout=SOON)

    def work(number):
        begun.wait()
        if number == 0:
            raise ValueError
        time.sleep(0.05)
        done.append(number)

    with pytest.raises(ValueError), Workers(3, "test") as workers:  # noqa: PT011 - ours
        list(in_order(workers, work, range(3), 3))
    assert sorted(done) == [1, 2]


def test_what_workers_raise_is_not_taken_for_waiting():
    def work(_):
        raise TimeoutError("mine")

    with Workers(1, "test") as workers, pytest.raises(TimeoutError, match="mine"):
        workers.result(work, 1)


def test_an_interrupt_stays_one_where_its_table_cannot_be_made():
    """With ``errors="raise"`` a bad value came in before it."""
    from dicomframe.client.partial import read_until_interrupted
    from dicomframe.tables.convert import from_pages

    def pages():
        yield b'[{"0020000D": {"vr": "UI", "Value": ["1.2"]}, "00200013": {"vr": "IS", "Value": ["one"]}}]'
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        read_until_interrupted(lambda came: from_pages(came, "study", errors="raise"), pages())


def test_a_connection_back_in_the_pool_is_not_cut(serve, connect, reply):
    """A call that has had all bytes of its answer, and not come back for their end, is another's neighbour."""
    client = connect(serve(reply(200, b"x" * 10, {"Content-Type": "application/dicom"})).url)
    call = Call()
    with working_for(call):
        answer = client.session.request("GET", "studies/1.2", stream=True)
        chunks = answer.iter_bytes()
        assert next(chunks) == b"x" * 10
    with working_for(Call()):
        other = client.session.request("GET", "studies/1.2", stream=True)
    call.give_up()
    assert other.content == b"x" * 10


def test_a_line_over_tls_within_tls_is_cut():
    from dicomframe.client.workers import Line

    ours, theirs = socket.socketpair()
    wrapped = type("Transport", (), {"socket": ours})()
    line = Line(Call())
    line.open(wrapped)
    line.cut()
    theirs.settimeout(SOON)
    assert theirs.recv(1) == b""
    ours.close()
    theirs.close()


def test_an_interrupt_that_python_made_another_error_of_is_one():
    """What Ctrl-C becomes where it comes between two lines of `threading.Condition`."""

    def interrupted():
        lock = threading.Lock()
        with lock:
            lock.release()
            raise KeyboardInterrupt

    call = Call()
    with pytest.raises(RuntimeError, match="release unlocked lock"):
        interrupted()
    with working_for(call), pytest.raises(KeyboardInterrupt), Workers(1, "interrupted"):
        interrupted()
    assert call.is_given_up
    with pytest.raises(RuntimeError, match="another"), Workers(1, "failing"):
        raise RuntimeError("another")
