"""Tokens: azure-identity itself against endpoints on loopback, texts, callables, threads, time and failure."""

import base64
import json
import os
import stat
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace
from urllib.parse import unquote

import pytest

from dicomframe.client import auth
from dicomframe.client.auth import SCOPE, TokenSource, token_source, what_is_wrong
from dicomframe.client.urls import ServiceAddress
from dicomframe.errors import AuthenticationError, QueryError

LOCAL = ServiceAddress.parse("http://127.0.0.1:1")
AZURE = ServiceAddress.parse("https://ws.dicom.azurehealthcareapis.com")


def jwt(**claims):
    parts = [{"alg": "none"}, claims]
    encoded = [base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=").decode() for part in parts]
    return f"{encoded[0]}.{encoded[1]}.c2lnbmF0dXJl"


@pytest.fixture
def clean_environment(monkeypatch, tmp_path):
    """No credential of whoever runs the tests, and a home without any."""
    for name in list(os.environ):
        if name.startswith(("AZURE_", "IDENTITY_", "MSI_", "IMDS_")) or name.lower().endswith("_proxy"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    return tmp_path


# -- which credential ------------------------------------------------------------------------------------------------


def test_no_credential_is_no_token_but_for_the_cloud_service(monkeypatch):
    made = []
    monkeypatch.setattr(auth, "_default_credential", lambda: made.append(1) or (lambda: "t"))
    assert token_source(None, LOCAL) is None
    assert token_source(None, ServiceAddress.parse("https://orthanc.example/dicom-web")) is None
    assert token_source(None, AZURE).current() == "t"
    assert made == [1]


def test_a_token_does_not_travel_in_the_clear():
    with pytest.raises(QueryError, match="https"):
        token_source("token", ServiceAddress.parse("http://hospital.example"))
    assert token_source("token", LOCAL).current() == "token"


@pytest.mark.parametrize("credential", ["", "  ", "two words", "line\nbreak", "ümlaut", 5, object()])
def test_what_is_no_credential(credential):
    with pytest.raises(QueryError) as caught:
        token_source(credential, LOCAL)
    assert "ümlaut" not in str(caught.value)


def test_a_header_given_as_token_is_understood():
    assert token_source("Bearer abc.def", LOCAL).current() == "abc.def"


def test_nothing_shows_a_token():
    source = token_source("secret-token", LOCAL)
    source.current()
    assert "secret-token" not in repr(source) + repr(vars(source))


# -- caching ---------------------------------------------------------------------------------------------------------


def test_many_threads_cause_one_fetch():
    fetched = []

    def fetch():
        fetched.append(threading.get_ident())
        time.sleep(0.05)
        return SimpleNamespace(token=f"t{len(fetched)}", expires_on=time.time() + 3600)

    source = TokenSource(fetch)
    with ThreadPoolExecutor(16) as workers:
        tokens = list(workers.map(lambda _: source.current(), range(64)))
    assert set(tokens) == {"t1"}
    assert len(fetched) == 1


def test_many_threads_wait_for_one_failure():
    tried = []

    def fetch():
        tried.append(1)
        time.sleep(0.2)
        raise RuntimeError("no network")

    source = TokenSource(fetch)
    barrier = threading.Barrier(8)

    def ask(_):
        barrier.wait()
        with pytest.raises(AuthenticationError):
            source.current()

    with ThreadPoolExecutor(8) as workers:
        list(workers.map(ask, range(8)))
    assert len(tried) == 1
    with pytest.raises(AuthenticationError):
        source.current()
    assert len(tried) == 2


@pytest.mark.parametrize(
    ("lifetime", "age", "fetches"),
    [(3600, 0, 1), (3600, 3250, 1), (3600, 3350, 2), (60, 40, 1), (60, 50, 2), (-5, 0, 2)],
)
def test_tokens_are_renewed_before_they_end(monkeypatch, lifetime, age, fetches):
    now = [1_700_000_000.0]
    monkeypatch.setattr(auth.time, "time", lambda: now[0])
    fetched = []
    source = TokenSource(
        lambda: fetched.append(1) or SimpleNamespace(token=f"t{len(fetched)}", expires_on=now[0] + lifetime)
    )
    source.current()
    now[0] += age
    assert source.current() == f"t{fetches}"


def test_a_text_from_a_callable_lives_as_long_as_its_claims_say(monkeypatch):
    now = [1_700_000_000.0]
    monkeypatch.setattr(auth.time, "time", lambda: now[0])
    made = []
    source = TokenSource(lambda: made.append(1) or jwt(exp=now[0] + 3600, n=len(made)))
    first = source.current()
    now[0] += 3000
    assert source.current() == first
    now[0] += 500
    assert source.current() != first
    opaque = TokenSource(lambda: made.append(1) or f"opaque{len(made)}")
    first = opaque.current()
    now[0] += 200
    assert opaque.current() == first
    now[0] += 200
    assert opaque.current() != first


# -- at the service --------------------------------------------------------------------------------------------------


def test_a_refused_token_is_renewed_once(serve, connect, reply):
    site = serve(
        lambda asked: (
            reply(200, b"[]") if asked.headers["Authorization"] == "Bearer t2" else reply(401, b"expired")
        )
    )
    made = []
    client = connect(site.url, lambda: made.append(1) or f"t{len(made)}")
    assert client.session.request("GET", "studies").json() == []
    assert [asked.headers["Authorization"] for asked in site.asked] == ["Bearer t1", "Bearer t2"]
    with pytest.raises(AuthenticationError):
        connect(serve(reply(401)).url, lambda: made.append(1) or f"t{len(made)}").session.request(
            "GET", "studies"
        )


def test_many_threads_renew_a_refused_token_once(serve, connect, reply):
    made = []
    site = serve(
        lambda asked: (
            reply(401) if asked.headers["Authorization"] == "Bearer t1" else reply(200, b"[]", pause=0.01)
        )
    )
    session = connect(site.url, lambda: made.append(1) or f"t{len(made)}").session
    with ThreadPoolExecutor(8) as workers:
        answers = list(workers.map(lambda _: session.request("GET", "studies").status, range(32)))
    assert set(answers) == {200}
    assert len(made) == 2


def test_a_fixed_token_is_not_tried_twice(serve, connect, reply):
    site = serve(reply(401, b"no"))
    ended = jwt(exp=1_500_000_000, aud="https://dicom.healthcareapis.azure.com")
    with pytest.raises(AuthenticationError, match="ended at 2017-07-14") as caught:
        connect(site.url, ended).session.request("GET", "studies")
    assert len(site.asked) == 1
    assert ended not in str(caught.value)


def test_what_a_token_says_about_its_own_refusal():
    later = time.time() + 3600
    assert "another service (https://management.azure.com/)" in what_is_wrong(
        jwt(exp=later, aud="https://management.azure.com/")
    )
    assert what_is_wrong(jwt(exp=later, aud="https://dicom.healthcareapis.azure.com/")) == ""
    assert what_is_wrong(jwt(exp=later, aud="75e725bf-66ce-4cea-9b9a-5c4caae57f33")) == ""
    for odd in ("", "a.b", "a.!!.c", jwt(), "a." + base64.urlsafe_b64encode(b"[1]").decode() + ".c"):
        assert what_is_wrong(odd) == ""


# -- failing credentials ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("given", [None, 7, "", SimpleNamespace(token=None), SimpleNamespace()])
def test_a_callable_that_gives_no_token(given):
    with pytest.raises(AuthenticationError, match="no token"):
        TokenSource(lambda: given).current()


def test_a_failing_credential_says_what_to_do(serve, connect, reply):
    site = serve(reply(200, b"[]"))

    def fail():
        raise ValueError("the vault is closed")

    with pytest.raises(AuthenticationError, match="vault is closed") as caught:
        connect(site.url, fail).session.request("GET", "studies")
    assert all(word in str(caught.value) for word in ("az login", "DICOM Data Reader", SCOPE))
    assert caught.value.__context__ is None
    assert site.asked == []


# -- azure-identity itself -------------------------------------------------------------------------------------------


def token_endpoint(reply, made, lifetime=86_400):
    """Answer as App Service's managed identity endpoint does."""

    def answer(asked):
        made.append(asked)
        body = {
            "access_token": jwt(exp=int(time.time()) + lifetime, n=len(made)),
            "expires_on": str(int(time.time()) + lifetime),
            "resource": "https://dicom.healthcareapis.azure.com",
            "token_type": "Bearer",
        }
        return reply(200, json.dumps(body).encode(), {"Content-Type": "application/json"})

    return answer


def test_managed_identity(serve, connect, reply, clean_environment, monkeypatch):
    made = []
    endpoint = serve(token_endpoint(reply, made))
    monkeypatch.setenv("IDENTITY_ENDPOINT", f"{endpoint.url}/msi/token")
    monkeypatch.setenv("IDENTITY_HEADER", "secret")
    monkeypatch.setenv("AZURE_TOKEN_CREDENTIALS", "ManagedIdentityCredential")
    from azure.identity import DefaultAzureCredential

    site = serve(reply(200, b"[]"))
    with DefaultAzureCredential() as credential:
        session = connect(site.url, credential).session
        with ThreadPoolExecutor(4) as workers:
            list(workers.map(lambda _: session.request("GET", "studies"), range(8)))
    assert len(made) == 1
    assert unquote(made[0].query).split("resource=")[1].startswith("https://dicom.healthcareapis.azure.com")
    assert len({asked.headers["Authorization"] for asked in site.asked}) == 1
    assert auth.claims(site.asked[0].headers["Authorization"].removeprefix("Bearer "))["n"] == 1


def test_azure_cli(serve, connect, reply, clean_environment, monkeypatch):
    folder = clean_environment / "bin"
    folder.mkdir()
    program = folder / "az"
    told = {"accessToken": jwt(exp=int(time.time()) + 3600), "expires_on": int(time.time()) + 3600}
    program.write_text(f"#!/bin/sh\necho \"$@\" >> '{clean_environment}/asked'\necho '{json.dumps(told)}'\n")
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")
    from azure.identity import AzureCliCredential

    site = serve(reply(200, b"[]"))
    connect(site.url, AzureCliCredential()).session.request("GET", "studies")
    assert "https://dicom.healthcareapis.azure.com" in (clean_environment / "asked").read_text()
    assert site.asked[0].headers["Authorization"] == f"Bearer {told['accessToken']}"


def test_nobody_is_signed_in(serve, connect, reply, clean_environment, monkeypatch):
    monkeypatch.setenv("AZURE_TOKEN_CREDENTIALS", "AzureCliCredential")
    from azure.identity import DefaultAzureCredential

    with pytest.raises(AuthenticationError, match="az login") as caught:
        connect(serve(reply(200)).url, DefaultAzureCredential()).session.request("GET", "studies")
    assert caught.value.status == 401
