"""What the feed leaves out is asked for many at a time, and one instance that is not given keeps no other waiting."""

import threading

import pytest

import dicomframe as dfr
from dicomframe.client import progress
from dicomframe.client.metadata import metadata_of
from dicomframe.errors import IssuesWarning
from dicomframe.lake import syncing
from tests.lake.lakes import OF_FIRST, Died, assert_is_as_the_service, instance


@pytest.fixture
def many(service):
    """A service with forty instances in its first series."""
    service.store([instance(1, 1, number) for number in range(3, 41)])
    return service


class Gate:
    """Lets nobody ask for metadata before so many ask at once."""

    def __init__(self, monkeypatch, width):
        self.most, self._now = 0, 0
        self._changed, self._width = threading.Condition(), width
        monkeypatch.setattr(syncing, "metadata_of", self.ask)

    def ask(self, session, path):
        with self._changed:
            self._now += 1
            self.most = max(self.most, self._now)
            self._changed.notify_all()
            # Were they asked for one by one, the first would wait in vain.
            assert self._changed.wait_for(lambda: self.most >= self._width, timeout=60)
        try:
            return metadata_of(session, path)
        finally:
            with self._changed:
                self._now -= 1


def test_as_many_are_asked_for_at_once_as_the_client_may(local, many, tmp_path, monkeypatch):
    local.faults.set(withhold={"path": "changefeed"})
    gate = Gate(monkeypatch, many.max_workers)
    lake = dfr.sync(many, tmp_path)
    assert gate.most == many.max_workers
    assert_is_as_the_service(lake, many)


def test_as_many_are_asked_for_again_at_once(local, many, tmp_path, monkeypatch):
    local.faults.set(withhold=True)
    with pytest.warns(IssuesWarning, match="of 46 instances"):
        lake = dfr.sync(many, tmp_path)
    local.faults.clear()
    gate = Gate(monkeypatch, many.max_workers)
    assert lake.sync(many) == 0
    assert gate.most == many.max_workers
    assert_is_as_the_service(lake, many)


def test_what_was_found_stays_if_the_rest_is_broken_off(local, many, tmp_path, monkeypatch):
    local.faults.set(withhold=True)
    with pytest.warns(IssuesWarning):
        lake = dfr.sync(many, tmp_path)
    local.faults.clear()
    monkeypatch.setattr(syncing, "_MOST_AT_ONCE", 10)
    ends, left = syncing._end, [3]

    def dying(*given):
        left[0] -= 1
        if left[0] < 0:
            raise Died
        ends(*given)

    monkeypatch.setattr(syncing, "_end", dying)
    with pytest.raises(Died):
        lake.sync(many)
    assert len(lake.unread()) == 16
    monkeypatch.setattr(syncing, "_end", ends)
    lake.sync(many)
    assert_is_as_the_service(lake, many)
    assert lake.changes()["sequence"].tolist() == list(range(1, 47))


@pytest.mark.parametrize("status", [500, 503])
def test_one_that_always_fails_keeps_no_other_waiting(local, many, tmp_path, status):
    local.faults.set(withhold=True)
    with pytest.warns(IssuesWarning, match="of 46 instances"):
        lake = dfr.sync(many, tmp_path)
    local.faults.set(error={"path": OF_FIRST, "status": status})
    with pytest.warns(IssuesWarning, match="of 1 instances"):
        lake.sync(many)
    assert lake.unread()["SOPInstanceUID"].tolist() == ["1.2.1.1.1"]
    assert len(lake.to_frame("instance")) == 45


def test_a_service_that_gives_nothing_is_not_asked_for_all(local, many, tmp_path):
    local.faults.set(withhold=True)
    with pytest.warns(IssuesWarning):
        lake = dfr.sync(many, tmp_path)
    local.faults.set(error={"path": "studies", "status": 500})
    with pytest.warns(IssuesWarning, match="of 46 instances"):
        assert lake.sync(many) == 0
    assert local.faults.counts["error"] < 46


def test_it_tells_how_far_it_is(local, many, tmp_path, monkeypatch):
    shown = []

    class Told(progress._LiveBar):
        def __init__(self, description, total, unit, **named):
            super().__init__(description, total, unit, **named)
            self.row = [description, total, unit, 0]
            shown.append(self.row)

        def update(self, n=1):
            self.row[3] += n
            super().update(n)

    monkeypatch.setattr(progress, "_LiveBar", Told)
    monkeypatch.setattr(progress, "_DELAY_SECONDS", 1e6)
    local.faults.set(withhold=True)
    with pytest.warns(IssuesWarning):
        dfr.sync(many, tmp_path, progress=True)
    assert shown == [
        ["Reading changes", None, "change", 46],
        ["Asking for metadata again", 46, "instance", 46],
    ]
