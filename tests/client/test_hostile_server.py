"""What a server says is shown, never obeyed; what is asked of it is in no log; errors survive pickling."""

from __future__ import annotations

import copy
import inspect
import json
import logging
import pickle
import threading

import pytest

import dicomframe.errors
from dicomframe.client.answers import blot, error_of, read_words
from dicomframe.client.auth import TokenSource
from dicomframe.errors import (
    ConflictError,
    DicomFrameError,
    IncompleteRetrievalError,
    OperationFailedError,
    ServiceError,
    UnexpectedAnswerError,
    ValueRefused,
)

# Clears the screen, sets the window's title, turns the writing direction round, C1 control.
COMMANDS = "\x1b[2J\x1b]0;title\x07 \u202egnp \u2066x \x9b1m \x7f"


@pytest.mark.parametrize(
    "said",
    [
        {"error": {"code": COMMANDS, "message": COMMANDS, "details": [COMMANDS]}},
        {"title": COMMANDS, "detail": COMMANDS, "errors": {COMMANDS: [COMMANDS]}},
        {"00081197": {"Value": [COMMANDS]}, "00000902": {"Value": [COMMANDS]}},
        COMMANDS,
    ],
)
def test_words_of_a_server_do_not_command_the_terminal(said):
    error = error_of(404, "GET /v2/studies", "application/json", json.dumps(said).encode())
    assert "title" in str(error) or isinstance(said, dict)
    assert all(line.isprintable() for line in str(error).split("\n"))
    assert repr(error).isprintable()


def test_plain_text_and_letters_of_all_scripts():
    assert blot("Größe 山田 \x1b[31mred") == "Größe 山田 \\x1b[31mred"
    assert "\x1b" not in str(error_of(500, "GET /", "text/plain", COMMANDS.encode()))
    assert "\x1b" not in str(ServiceError(500, "GET /", message=COMMANDS, hint=COMMANDS))
    assert "\x1b" not in str(OperationFailedError("1", COMMANDS, COMMANDS, {}))


def test_doctor_and_operations_do_not_pass_commands_on(serve, connect, as_json):
    site = serve(lambda _: as_json({"error": {"message": COMMANDS}, "status": COMMANDS}, 400))
    table = connect(site.url, credential=None).doctor()
    assert all(text.isprintable() for text in table.fillna("").to_numpy().ravel())
    site = serve(lambda _: as_json({"status": COMMANDS}))
    assert repr(connect(site.url, credential=None).operation("1" * 32).refresh()).isprintable()


@pytest.mark.parametrize("depth", [100, 900, 5000])
@pytest.mark.parametrize("opening", ['{"x":', '{"error":{"details":', "["])
def test_nested_words_are_no_error_of_their_own(opening, depth):
    closing = "".join({"{": "}", "[": "]"}[each] for each in reversed(opening) if each in "{[")
    body = '{"00081197":' + opening * depth + "1" + closing * depth + "}"
    assert error_of(400, "GET /", "application/json", body.encode()).status == 400


def test_a_searched_name_is_blotted_as_it_stands_in_a_url():
    said = "No such thing: /v2/studies?PatientName=M%C3%BCller%5EJ%C3%B6rg"
    words = blot(said, ["Müller^Jörg*"])
    assert "ller" not in words
    assert "rg" not in words


@pytest.mark.parametrize("page", ["<title>" * 9000, "<title" * 10_000, "<title>" + "x" * 60_000])
def test_pages_without_an_end_have_no_title(page):
    # Takes minutes where the pattern has no bounds.
    assert read_words("text/html", f"<html>{page}".encode()).message == "an HTML page"


def test_errors_do_not_show_uids_in_their_repr():
    uid = "1.2.840.113619.7"
    assert uid not in repr(ServiceError(404, f"GET /v2/studies/{uid}"))
    assert uid not in repr(OperationFailedError("1", "update", "failed", {"studies": [uid]}))
    assert uid not in repr(IncompleteRetrievalError([{"StudyInstanceUID": uid, "error": "404"}], 2))
    assert uid not in repr(ValueRefused(1, "StudyInstanceUID", "UI", "it is too long", raw=uid))


def _made(kind):
    if issubclass(kind, ServiceError):
        return kind(404, "GET /v2/studies/1.2", "Code", "message", ["a", "b"], "hint")
    if kind is OperationFailedError:
        return kind("id", "update", "failed", {"studies": ["1.2"]})
    if kind is IncompleteRetrievalError:
        return kind([{"StudyInstanceUID": "1.2", "error": "404: gone"}], 2)
    if kind is ValueRefused:
        return kind(3, "PatientAge", "AS", "reason", raw="secret")
    return kind("message")


ERRORS = [
    kind
    for _, kind in inspect.getmembers(dicomframe.errors, inspect.isclass)
    if issubclass(kind, DicomFrameError | Warning)
]


@pytest.mark.parametrize("kind", ERRORS)
@pytest.mark.parametrize("through", [lambda e: pickle.loads(pickle.dumps(e)), copy.copy, copy.deepcopy])  # noqa: S301 - our own
def test_every_error_goes_to_another_process_whole(kind, through):
    error = _made(kind)
    error.may_have_arrived = True
    if kind is ConflictError:
        error.operation_id = "an operation"
    again = through(error)
    assert type(again) is kind
    assert (str(again), repr(again), vars(again)) == (str(error), repr(error), vars(error))


@pytest.mark.parametrize(
    ("location", "asked"),
    [
        ("/v2/elsewhere?PatientName=Smith John", "/v2/elsewhere?PatientName=Smith%20John"),
        ("/v2/elsewhere?a=\xe9\x7f", "/v2/elsewhere?a=%C3%A9%7F"),
        ("/v2/elsewhere?a=%5E^*#part", "/v2/elsewhere?a=%5E^*"),
        ("//elsewhere/at/all", None),
        ("http://[::1/elsewhere", None),
        ("http://127.0.0.1:99999/elsewhere", None),
        ("https://127.0.0.1/elsewhere", None),
        ("file:///etc/elsewhere", None),
    ],
)
def test_redirections_however_they_are_written(serve, connect, reply, location, asked):
    def answer(request):
        if "elsewhere" in request.target:
            return reply(200, b"[]")
        return reply(302, headers={"Location": location})

    site = serve(answer)
    session = connect(site.url, "secret-token").session
    if asked is None:
        with pytest.raises(UnexpectedAnswerError):
            session.request("GET", "studies")
        assert len(site.asked) == 1
    else:
        assert session.request("GET", "studies").content == b"[]"
        assert site.asked[-1].target == asked


@pytest.mark.parametrize("query", ["a=b c", "a=\xe9", "a=\x7f", "a=b\r\nX-Evil: 1"])
def test_links_with_letters_that_no_request_line_may_hold(serve, connect, reply, query):
    site = serve(reply(200, b"[]"))
    session = connect(site.url, "secret-token").session
    session.request("GET", session.local_route(f"{site.url}/v2/studies/1.2/metadata?{query}"))
    assert len(site.asked) == 1
    assert site.asked[0].target.isascii()
    assert " " not in site.asked[0].target
    assert "X-Evil" not in site.asked[0].headers


def test_no_log_of_any_library_holds_paths_queries_or_tokens(serve, connect, reply, caplog):
    caplog.set_level(logging.DEBUG)
    site = serve(
        lambda asked: reply(302, headers={"Location": "/v2/x"}) if "old" in asked.target else reply(404)
    )
    session = connect(site.url, "secret-token").session
    for route in ("studies/1.2.840.113619.7/metadata", "old/1.2.840.113619.7"):
        with pytest.raises(ServiceError):
            session.request("GET", route, params=[("PatientName", "Smith^Anna")])
    assert site.asked[0].target == "/v2/studies/1.2.840.113619.7/metadata?PatientName=Smith^Anna"
    assert "X-Dicomframe-Target" not in site.asked[0].headers
    assert "urllib3" in caplog.text
    for secret in ("1.2.840", "Smith", "secret-token"):
        assert secret not in caplog.text


def test_one_fetch_of_a_token_serves_threads_that_need_it_at_once():
    fetched = []

    def fetch():
        fetched.append(len(fetched))
        return f"token-{len(fetched)}"

    source = TokenSource(fetch)
    together = threading.Barrier(16)
    given = []

    def use():
        together.wait()
        first = source.current()
        given.append((first, source.after_refusal("token-1")))

    threads = [threading.Thread(target=use) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(given) == 16
    assert len(fetched) == 2
    assert {after for _, after in given} == {"token-2"}
