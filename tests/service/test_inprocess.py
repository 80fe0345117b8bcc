"""The application called as a function: both bodies stream, errors come back, threads do not mix."""

from __future__ import annotations

import gc
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from dicomframe.errors import ConnectionFailed
from dicomframe.service.inprocess import handler


async def echo(scope, receive, send):
    """Send the request's body back piece by piece, as it comes."""
    await send(
        {"type": "http.response.start", "status": 200, "headers": [(b"x-query", scope["query_string"])]}
    )
    more = True
    while more:
        message = await receive()
        more = message.get("more_body", False)
        await send({"type": "http.response.body", "body": message.get("body", b""), "more_body": more})


def test_both_bodies_stream():
    taken = []

    def body():
        for number in range(200):
            taken.append(number)
            yield b"%d," % number

    status, headers, answer = handler(echo)("POST", "/x?a=1", {}, body())
    assert (status, headers) == (200, {"x-query": "a=1"})
    assert len(taken) < 50  # the request is not read ahead of the answer without end
    assert next(answer) == b"0,"
    assert b"".join(answer).endswith(b"198,199,")


def test_an_answer_is_not_made_ahead_without_end():
    made = []

    async def endless(scope, receive, send):
        await send({"type": "http.response.start", "status": 200, "headers": []})
        while True:
            made.append(1)
            await send({"type": "http.response.body", "body": b"x", "more_body": True})

    _, _, answer = handler(endless)("GET", "/", {}, [])
    for _ in range(100):
        next(answer)
    assert len(made) <= 100 + 20
    answer.close()


def test_errors_of_the_application():
    async def early(scope, receive, send):
        raise ValueError("before the answer")

    async def late(scope, receive, send):
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"half", "more_body": True})
        raise ValueError("in the middle of it")

    with pytest.raises(ConnectionFailed, match="without an answer"):
        handler(early)("GET", "/", {}, [])
    _, _, answer = handler(late)("GET", "/", {}, [])
    assert next(answer) == b"half"
    with pytest.raises(ConnectionFailed, match="cut off"):
        next(answer)


def test_errors_of_the_request_body(http):
    def broken():
        yield b"--test\r\n"
        raise OSError("the disk is gone")

    handle = handler(http.service.app)
    headers = {"Content-Type": 'multipart/related; type="application/dicom"; boundary=test'}
    with pytest.raises(OSError, match="the disk is gone"):
        handle("POST", "/v2/studies", headers, broken())
    assert http.get("studies").status == 204


def test_many_threads(http, dicom):
    http.stored(*[dicom(f"{number}/1/1") for number in range(20)])
    with ThreadPoolExecutor(8) as pool:
        replies = list(pool.map(lambda n: http.get(f"studies/1.{n % 20}/metadata"), range(100)))
    assert [reply.json[0]["0020000D"]["Value"][0] for reply in replies] == [f"1.{n % 20}" for n in range(100)]


def test_the_loop_ends_with_who_holds_it():
    """Each keeps a thread and files of the system; a run of these tests had thousands of them open."""
    before = set(threading.enumerate())
    _, _, answer = handler(echo)("GET", "/", {}, (b"%d," % number for number in range(200)))
    (thread,) = [each for each in set(threading.enumerate()) - before if each.name == "dicomframe-inprocess"]
    gc.collect()
    assert b"".join(answer).endswith(b"198,199,")  # though the function is gone
    del answer
    gc.collect()
    thread.join(60)
    assert not thread.is_alive()
