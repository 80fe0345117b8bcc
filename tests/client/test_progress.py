"""Progress bars where they are seen: a terminal, a notebook's kernel, and a pipe, in which there must be none."""

from __future__ import annotations

import gc
import inspect
import json
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from copy import deepcopy
from typing import Any

import pydicom
import pytest
from pydicom.data import get_testdata_file

from dicomframe.accessor import DicomTable
from dicomframe.client import progress
from dicomframe.client.changefeed import ChangeFeed
from dicomframe.client.client import Client
from dicomframe.client.progress import check_progress, progress_bar
from dicomframe.client.search import Search
from dicomframe.client.workers import Workers, current_call, in_order
from dicomframe.errors import QueryError

STUCK = 60.0
HIDDEN = "Doe^Hidden"
CT = pydicom.dcmread(get_testdata_file("CT_small.dcm", download=False))

# What a user runs: the calls that must show how far they are, each slow enough to be looked at.
CALLS = {
    "Searching instances": "client.search_instances('1.2.1', page_size=2).to_frame()",
    "Retrieving metadata": "table.dicom.metadata()",
    "Reading headers": "table.dicom.headers(['PatientName'])",
    "Downloading": "table.dicom.download(folder)",
    "Decoding": "table.dicom.pixels()",
    "Deleting": "table.dicom.delete()",
}
SCRIPT = """
import sys, tempfile
import dicomframe as dfr
client = dfr.connect(sys.argv[1], max_workers=2)
table = client.search_instances("1.2.1").to_frame()
with tempfile.TemporaryDirectory() as folder:
    for call in sys.argv[2:]:
        print("<<<", flush=True)
        exec(call)
        print(">>>", flush=True)
"""


@pytest.fixture
def slow(archive, reply):
    """Start an archive of ten instances that takes its time with each."""
    datasets = []
    for number in range(1, 11):
        dataset = deepcopy(CT)
        dataset.PatientName = HIDDEN
        dataset.StudyInstanceUID, dataset.SeriesInstanceUID = "1.2.1", "1.2.1.1"
        dataset.SOPInstanceUID = dataset.file_meta.MediaStorageSOPInstanceUID = f"1.2.1.1.{number}"
        datasets.append(dataset)
    state = {"pause": 0.2, "stuck_from": 99, "stuck": 0}

    def spoil(asked: Any) -> Any:
        number = int(asked.path.partition("/instances/")[2].partition("/")[0].rpartition(".")[2] or 0)
        if number >= state["stuck_from"]:
            state["stuck"] += 1
            return reply(200, b"late", {}, pause=STUCK)
        time.sleep(state["pause"] if number else 3 * state["pause"])
        return reply(204) if asked.method == "DELETE" else None

    site = archive(*datasets, spoil=spoil)
    site.state = state
    return site


def test_bars_in_a_terminal(slow):
    pexpect = pytest.importorskip("pexpect")
    child = pexpect.spawn(
        sys.executable, ["-c", SCRIPT, slow.url, *CALLS.values()], encoding="utf-8", timeout=120
    )
    child.setwinsize(40, 160)
    for title in CALLS:
        child.expect("<<<")
        child.expect(">>>")
        shown = child.before
        assert title in shown
        last = [line for line in shown.split("\r") if title in line][-1]
        # Rows, their rate, bytes and their rate; the total where it is known.
        rows = {
            "Searching instances": r" \d+row",
            "Reading headers": r" \d+instance",
            "Decoding": r" \d+instance",
        }
        assert re.search(rows.get(title, r" \d+/10 "), last), last
        assert re.search(r"\d(instance|row|resource)/s|s/(instance|row|resource)", last), last
        # A deletion's answers are empty.
        assert title == "Deleting" or re.search(r"\d [kM]?B, [\d.]+ [kM]?B/s", last), last
        assert "Hidden" not in shown
        assert "1.2.1" not in shown
        # One bar at a time, and none is left behind: the last thing drawn is an empty line.
        assert len(set(re.findall(r"([A-Z][a-z]+ ?[a-z]*):", shown))) == 1, shown
        assert not shown.rstrip("\r\n").rpartition("\r")[2].strip()
    child.expect(pexpect.EOF)
    child.close()
    assert child.exitstatus == 0


def test_none_in_a_pipe(slow):
    slow.state["pause"] = 0.1
    called = subprocess.run(
        [
            sys.executable,
            "-c",
            "import IPython, ipykernel, ipywidgets\n" + SCRIPT,
            slow.url,
            CALLS["Downloading"],
        ],
        capture_output=True,
        text=True,
        timeout=300,
        check=True,
    )
    assert called.stderr == ""
    assert called.stdout == "<<<\n>>>\n"


def test_ctrl_c_in_a_terminal(slow, tmp_path):
    pexpect = pytest.importorskip("pexpect")
    slow.state.update(pause=0.02, stuck_from=7)
    script = SCRIPT.replace(
        "tempfile.TemporaryDirectory()", f"__import__('contextlib').nullcontext({str(tmp_path)!r})"
    )
    child = pexpect.spawn(
        sys.executable, ["-c", script, slow.url, CALLS["Downloading"]], encoding="utf-8", timeout=120
    )
    child.setwinsize(40, 160)
    # Drawn while nothing comes.
    child.expect(r"Downloading: +60%.* 6/10 ")
    child.expect(r"Downloading: +60%.* 6/10 ")
    child.sendintr()
    child.expect("KeyboardInterrupt")
    child.expect("client.partial")
    child.expect(pexpect.EOF)
    child.close()
    # As any program that Ctrl-C ends, so that a shell's loop around it ends too.
    assert child.signalstatus == signal.SIGINT
    files = [each for each in tmp_path.rglob("*") if each.is_file() and each.suffix != ".jsonl"]
    assert sorted(file.name for file in files) == [f"1.2.1.1.{number}.dcm" for number in range(1, 7)]
    assert all(pydicom.dcmread(file).pixel_array.size for file in files)


@pytest.mark.slow  # a kernel takes seconds to start
@pytest.mark.filterwarnings(
    "ignore::pytest.PytestUnraisableExceptionWarning"
)  # jupyter_client leaves its event loop
def test_bars_and_interrupts_in_a_notebook(slow, tmp_path, monkeypatch):
    manager = pytest.importorskip("jupyter_client.manager")
    for name in ("IPYTHONDIR", "JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR", "JUPYTER_RUNTIME_DIR"):
        monkeypatch.setenv(name, str(tmp_path / name))
    slow.state.update(pause=0.1, stuck_from=7)
    kernel, client = manager.start_new_kernel(kernel_name="python3")
    try:
        outputs = run(client, f"import dicomframe as dfr\nclient = dfr.connect({slow.url!r}, max_workers=2)")
        assert not outputs

        def stop() -> None:
            until = time.monotonic() + 120
            while slow.state["stuck"] < 2 and time.monotonic() < until:
                time.sleep(0.02)
            time.sleep(1.2)
            kernel.interrupt_kernel()

        stopper = threading.Thread(target=stop)
        stopper.start()
        outputs = run(client, f"client.download('1.2.1', {str(tmp_path / 'files')!r})")
        stopper.join()
        errors = [each["content"] for each in outputs if each["msg_type"] == "error"]
        assert [each["ename"] for each in errors] == ["KeyboardInterrupt"]
        # The widget's view is displayed, and its texts change as bytes come in.
        displayed = [each["content"]["data"] for each in outputs if each["msg_type"] == "display_data"]
        assert any("application/vnd.jupyter.widget-view+json" in each for each in displayed)
        texts = json.dumps(
            [each["content"] for each in outputs if each["msg_type"].startswith("comm_")]
        ).replace("\\u2007", " ")
        assert "Downloading" in texts
        assert re.search(r" 6/10 .*\d [kM]B, \d+\.\d [kM]B/s", texts)
        assert re.search(r'"max": 10', texts)
        assert "Hidden" not in texts
        said = run(client, "print(client.partial['status'].value_counts().to_dict())")
        assert said[0]["content"]["text"] == "{'saved': 6, 'interrupted': 4}\n"
        slow.state["stuck_from"] = 99
        said = run(client, f"print(len(client.download('1.2.1', {str(tmp_path / 'files')!r})))")
        assert said[-1]["content"]["text"] == "10\n"
    finally:
        client.stop_channels()
        kernel.shutdown_kernel(now=True)
        gc.collect()


def run(client: Any, code: str) -> list[dict[str, Any]]:
    """Run a cell; give the messages that came of it."""
    asked = client.execute(code)
    outputs = []
    while True:
        message = client.get_iopub_msg(timeout=120)
        if message["parent_header"].get("msg_id") != asked:
            continue
        if message["msg_type"] == "status" and message["content"]["execution_state"] == "idle":
            return outputs
        if message["msg_type"] not in {"status", "execute_input"}:
            outputs.append(message)


# -- one bar, by itself ----------------------------------------------------------------------------------------------


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(progress, "time", clock)
    return clock


@pytest.fixture
def shown(capsys) -> Callable[[], str]:
    """Give what gives all that was written so far."""
    written: list[str] = []

    def all_of_it() -> str:
        written.append(capsys.readouterr().err)
        return "".join(written)

    return all_of_it


def test_nothing_is_shown_in_the_first_half_second(clock, shown):
    with progress_bar(True, "Storing", None, "instance") as bar:
        bar.expect(10)
        bar.update(4)
        clock.now += 0.49
        bar.update(2)
        assert shown() == ""
        clock.now += 0.02
        bar.update(1)
        assert "7/10" in shown()
    # What took no time at all was never shown.
    before = shown()
    with progress_bar(True, "Storing", None, "instance") as bar:
        bar.update(4)
    assert shown() == before


def test_a_bar_in_a_call_that_has_one_is_not_shown(clock, shown):
    with progress_bar(True, "Outer", 2, "instance"), progress_bar(True, "Inner", 2, "page") as inner:
        clock.now += 5
        inner.update()
        inner.expect(3)
    assert "Inner" not in shown()
    assert current_call() is None


def test_bytes_of_all_threads_are_summed(clock, shown):
    def work(_: int) -> None:
        for _ in range(1000):
            call = current_call()
            assert call is not None
            assert call.watcher is not None
            call.watcher.add_bytes(1000)
            bar.update()

    clock.now = 0.0
    with progress_bar(True, "Storing", 8000, "instance") as bar, Workers(4, "test") as workers:
        list(in_order(workers, work, range(8), 4))
        clock.now += 2
        bar.update(0)
        assert re.search(r" 8000/8000 .*8.0 MB, 4.0 MB/s", shown())


def test_only_the_thread_that_began_draws(clock, shown):
    with progress_bar(True, "Storing", 8, "instance") as bar:
        clock.now += 2
        thread = threading.Thread(target=bar.update)
        thread.start()
        thread.join()
        assert shown() == ""
        bar.update()
        assert "2/8" in shown()


def test_what_progress_may_be():
    assert [check_progress(each) for each in (True, False, "auto")] == [True, False, "auto"]
    with pytest.raises(QueryError):
        check_progress("yes")


@pytest.mark.parametrize(
    "call",
    [
        Search.to_frame,
        ChangeFeed.to_frame,
        # All but the stream, which whoever reads it can count.
        *(
            getattr(Client, name)
            for name in dir(Client)
            if name.startswith("collect") and name != "collect_datasets"
        ),
        Client.retrieve_metadata,
        Client.retrieve_headers,
        Client.download,
        Client.store,
        Client.delete,
        Client.delete_many,
        Client.update_studies,
        Client.export,
        Client.add_query_tags,
        Client.delete_query_tag,
        DicomTable.metadata,
        DicomTable.headers,
        DicomTable.pixels,
        DicomTable.frames,
        DicomTable.rendered,
        DicomTable.thumbnails,
        DicomTable.bulkdata,
        DicomTable.delete,
    ],
    ids=lambda call: call.__qualname__,
)
def test_long_calls_can_be_told_what_to_show(call):
    assert inspect.signature(call).parameters["progress"].default is None


def test_searches_show_what_their_client_was_told(serve, as_json, connect, clock, shown):
    def answer(_: Any) -> Any:
        clock.now += 1
        return as_json([{"0020000D": {"vr": "UI", "Value": ["1.2"]}}], api_supported_versions="2")

    client = connect(serve(answer).url, progress=True)
    for search in (client.search_studies(), client.search_workitems()):
        before = len(shown())
        search.to_frame()
        assert "Searching" in shown()[before:]
        before = len(shown())
        search.to_frame(progress=False)
        assert len(shown()) == before
    table = client.search_studies().to_frame(progress=False)
    before = len(shown())
    table.dicom.studies()
    assert "Searching studies" in shown()[before:]


def test_a_bar_that_cannot_be_drawn_stops_nothing(monkeypatch, serve, connect, as_json):
    from dicomframe.client import progress

    def broken(**_):
        raise BrokenPipeError

    monkeypatch.setattr(progress, "_kind", lambda: broken)
    monkeypatch.setattr(progress, "_INTERVAL_SECONDS", 0.0)
    monkeypatch.setattr(progress, "_DELAY_SECONDS", 0.0)
    row = {"0020000D": {"vr": "UI", "Value": ["1.2"]}}
    site = serve(lambda asked: as_json([row] if asked.params.get("offset", "0") == "0" else []))
    assert len(connect(site.url).search_studies().to_frame(progress=True)) == 1
