"""Instances that are stored together: each for itself, whatever becomes of the others."""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from dicomframe.service.offload import Offload, Together


def test_one_whose_bytes_cannot_be_kept_does_not_undo_the_others(http, dicom, monkeypatch, tmp_path):
    keep = http.service.blobs.keep
    calls = []

    def fails_at_the_second(blob, version):
        calls.append(version)
        if len(calls) == 2:
            raise OSError("no space")
        keep(blob, version)

    monkeypatch.setattr(http.service.blobs, "keep", fails_at_the_second)
    files = [dicom(f"{study}/1/1") for study in (1, 2, 3)]
    assert http.store(*files).status == 500
    monkeypatch.undo()
    assert sorted(http.get("instances").values("00080018")) == ["1.1.1.1", "1.3.1.1"]
    assert calls == [1, 2, 2]  # the version of what was undone is given again
    assert len(http.get("changefeed").json) == 2
    for study in (1, 3):
        assert http.get(f"studies/1.{study}").status == 200
    assert http.get("studies/1.2").status == 404


def test_requests_that_wait_are_stored_in_one_transaction(http, dicom, monkeypatch):
    index = http.service.index
    rounds = []
    store = index.store
    monkeypatch.setattr(index, "store", lambda wanted: (rounds.append(len(wanted)), store(wanted))[1])
    with ThreadPoolExecutor(9) as pool, index.transaction():
        replies = [pool.submit(http.store, dicom(f"{study}/1/1")) for study in range(1, 9)]
        replies.append(pool.submit(http.store, dicom("1/1/1")))
        threading.Event().wait(1)
    assert sorted(reply.result().status for reply in replies) == [200] * 8 + [409]
    assert sum(rounds) == 9
    assert len(rounds) < 9


def test_a_failing_round_fails_those_in_it_and_not_the_next():
    offload = Offload()

    def work(items):
        if "bad" in items:
            raise ValueError("bad")
        return [KeyError(item) if item == "odd" else item for item in items]

    together = Together(offload, work)

    async def ask(*items):
        return await asyncio.gather(*(together(item) for item in items), return_exceptions=True)

    try:
        assert isinstance(asyncio.run(ask("bad"))[0], ValueError)
        good, odd = asyncio.run(ask("good", "odd"))
        assert good == "good"
        assert isinstance(odd, KeyError)
    finally:
        offload.close()


@pytest.mark.parametrize("fault", [SystemExit, list, lambda: [1, 2, 3], lambda: None])
def test_a_round_that_goes_wrong_in_any_way_is_the_last_of_none(fault):
    offload = Offload()
    faults = [fault]

    def work(items):
        if faults:
            made = faults.pop()()
            if isinstance(made, BaseException):
                raise made
            return made
        return items

    together = Together(offload, work)

    async def ask(item):
        return await asyncio.wait_for(together(item), 60)

    try:
        with pytest.raises((RuntimeError, TypeError, ValueError)):
            asyncio.run(ask("first"))
        assert asyncio.run(ask("second")) == "second"
    finally:
        offload.close()


def test_without_a_thread_nobody_waits():
    offload = Offload()
    together = Together(offload, list)
    offload.close()
    for item in ("first", "second"):
        with pytest.raises(RuntimeError):
            asyncio.run(asyncio.wait_for(together(item), 60))


def test_whoever_stops_waiting_stops_nobody_else():
    offload = Offload()
    begun, go = threading.Event(), threading.Event()

    def work(items):
        begun.set()
        go.wait(60)
        return items

    together = Together(offload, work)

    async def ask():
        first = asyncio.create_task(together("first"))
        await asyncio.to_thread(begun.wait, 60)
        others = [asyncio.create_task(together(item)) for item in ("second", "third")]
        await asyncio.sleep(0.05)
        first.cancel()
        others[0].cancel()
        await asyncio.sleep(0)
        go.set()
        return await asyncio.wait_for(others[1], 60)

    try:
        assert asyncio.run(ask()) == "third"
    finally:
        offload.close()
