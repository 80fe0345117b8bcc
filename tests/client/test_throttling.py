"""When the server throttles: one is told to wait, all wait, and a download comes to its end."""

import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom import dcmread
from pydicom.data import get_testdata_file

from dicomframe.client import progress as progress_module
from dicomframe.client.backoff import Backoff, Pause
from dicomframe.errors import QueryError

STUDY = "1.2.826.0.1"


class Clock:
    """Time that passes only while somebody sleeps."""

    def __init__(self):
        self.now = 100.0
        self.slept = []

    def __call__(self):
        return self.now

    def sleep(self, seconds):
        self.slept.append(seconds)
        self.now += seconds


# -- the pause itself ------------------------------------------------------------------------------------------------


@given(st.lists(st.floats(0, 1000), min_size=1))
def test_the_longest_wait_counts(waits):
    clock = Clock()
    pause = Pause(clock, clock.sleep)
    for seconds in waits:
        pause.extend(seconds)
    assert pause.remaining == pytest.approx(max(waits))
    pause.wait()
    assert clock.now >= 100 + max(waits) - 1e-9
    assert pause.remaining == 0


def test_a_pause_that_is_extended_while_somebody_waits():
    clock = Clock()

    def sleep(seconds):
        clock.sleep(seconds)
        if len(clock.slept) < 3:
            pause.extend(5)

    pause = Pause(clock, sleep)
    pause.extend(1)
    pause.wait()
    assert clock.slept == [1, 5, 5]


def test_without_a_pause_nobody_waits():
    clock = Clock()
    Pause(clock, clock.sleep).wait(60)
    assert clock.slept == []


def test_not_all_come_back_at_once():
    came = set()
    for _ in range(50):
        clock = Clock()
        pause = Pause(clock, clock.sleep)
        pause.extend(1)
        pause.wait(0.5)
        assert 101 <= clock.now <= 101.5
        came.add(clock.now)
    assert len(came) > 40


# -- requests --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "headers", "holds_the_others"),
    [
        (429, {"Retry-After": "30"}, True),
        (503, {"Retry-After": "30"}, True),
        (429, {}, True),
        (503, {}, False),
    ],
)
def test_one_workers_throttling_holds_the_others(serve, connect, reply, status, headers, holds_the_others):
    site = serve(lambda _: reply(status, b"", headers) if len(site.asked) == 1 else reply(200, b"[]"))
    client = connect(site.url, backoff=Backoff(3, first=20.0))
    clock = Clock()
    throttled, released = threading.Event(), threading.Event()
    asked_when_held = []

    def sleep(seconds):
        if threading.current_thread() is first:
            throttled.set()
            assert released.wait(60)
        else:
            asked_when_held.append(len(site.asked))
            clock.sleep(seconds)

    client.session._pause = Pause(clock, sleep)
    first = threading.Thread(target=client.session.request, args=("GET", "studies"))
    first.start()
    assert throttled.wait(60)
    client.session.request("GET", "series")
    # The second request was held before it went out, or not at all.
    assert asked_when_held == ([1] if holds_the_others else [])
    assert [asked.path for asked in site.asked] == ["/v2/studies", "/v2/series"]
    clock.now += 1000
    released.set()
    first.join(10)
    assert [asked.path for asked in site.asked] == ["/v2/studies", "/v2/series", "/v2/studies"]


# -- downloads -------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def ten():
    datasets = []
    for number in range(10):
        ds = dcmread(get_testdata_file("CT_small.dcm", download=False))
        ds.StudyInstanceUID, ds.SeriesInstanceUID = STUDY, f"{STUDY}.1"
        ds.SOPInstanceUID = ds.file_meta.MediaStorageSOPInstanceUID = f"{STUDY}.1.{number}"
        datasets.append(ds)
    return datasets


@pytest.mark.parametrize("status", [429, 503])
def test_a_download_from_a_server_that_throttles(archive, connect, reply, ten, tmp_path, status):
    """Every instance is refused once, with a Retry-After; then all come."""
    refused = set()
    lock = threading.Lock()

    def spoil(asked):
        with lock:
            if asked.target in refused:
                return None
            refused.add(asked.target)
        return reply(status, b"slow down", {"Retry-After": "0.005"})

    table = connect(archive(*ten, spoil=spoil).url, max_workers=4).download(STUDY, tmp_path)
    assert table["status"].tolist() == ["saved"] * 10
    assert len(list(tmp_path.rglob("*.dcm"))) == 10


def test_a_download_that_is_throttled_for_good_is_taken_up_again(archive, connect, reply, ten, tmp_path):
    calm = threading.Event()

    def spoil(asked):
        uid = asked.path.rpartition("/")[2]
        is_busy = not calm.is_set() and uid.startswith(STUDY) and int(uid[-1]) % 2
        return reply(429, b"slow down", {"Retry-After": "0.002"}) if is_busy else None

    client = connect(archive(*ten, spoil=spoil).url, max_workers=4)
    table = client.download(STUDY, tmp_path).set_index("SOPInstanceUID").sort_index()
    assert table["status"].tolist() == ["saved", "failed"] * 5
    assert table["error"].dropna().str.contains("ThrottledError: 429: slow down").all()
    assert not list(tmp_path.rglob("*.part"))
    calm.set()
    again = client.download(STUDY, tmp_path).set_index("SOPInstanceUID").sort_index()
    assert again["status"].tolist() == ["kept", "saved"] * 5


@pytest.mark.parametrize("workers", [1, 3])
def test_workers_are_bounded(archive, connect, ten, tmp_path, workers):
    running, most = set(), []
    lock, enough, too_many = threading.Lock(), threading.Event(), threading.Event()

    def spoil(asked):
        if "/instances/" in asked.path:
            with lock:
                running.add(asked.path)
                most.append(len(running))
                if len(running) == workers:
                    enough.set()
                if len(running) > workers:
                    too_many.set()
                is_early = len(most) <= workers
            enough.wait(60)  # so many do run at the same time
            too_many.wait(0.05 if is_early else 0)  # and while they do, no other begins
            with lock:
                running.discard(asked.path)

    table = connect(archive(*ten, spoil=spoil).url).download(STUDY, tmp_path, max_workers=workers)
    assert table["status"].tolist() == ["saved"] * 10
    assert max(most) == workers


@pytest.mark.parametrize("workers", [0, -1, "4", 1.5, True])
def test_numbers_of_workers_that_are_none(connect, tmp_path, workers):
    with pytest.raises(QueryError, match="max_workers"):
        connect("http://127.0.0.1:9").download(STUDY, tmp_path / "out", max_workers=workers)
    assert not (tmp_path / "out").exists()


def test_the_bar_knows_how_many_are_to_come_and_names_nobody(
    archive, connect, ten, tmp_path, monkeypatch, capsys
):
    monkeypatch.setattr(progress_module, "_DELAY_SECONDS", 0)
    connect(archive(*ten).url).download(STUDY, tmp_path, progress=True)
    shown = capsys.readouterr().err
    assert "/10" in shown
    assert "Downloading" in shown
    assert STUDY not in shown
