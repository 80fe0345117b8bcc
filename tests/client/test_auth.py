"""Tokens: texts, callables, threads, time and failure; azure-identity itself is in test_azure_identity.py."""

import base64
import copy
import json
import pickle
import socket
import threading
import time
import traceback
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace

import pytest

import dicomframe as dfr
from dicomframe.client import auth
from dicomframe.client.auth import (
    SCOPE,
    TokenSource,
    claims_of_challenge,
    token_source,
    what_is_wrong,
    without_secrets,
)
from dicomframe.client.urls import ServiceAddress
from dicomframe.errors import AuthenticationError, DicomFrameError, QueryError

LOCAL = ServiceAddress.parse("http://127.0.0.1:1")
AZURE = ServiceAddress.parse("https://ws.dicom.azurehealthcareapis.com")


def jwt(**claims):
    parts = [{"alg": "none"}, claims]
    encoded = [base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=").decode() for part in parts]
    return f"{encoded[0]}.{encoded[1]}.c2lnbmF0dXJl"


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
        time.sleep(3)  # by then the others wait, on a slow machine too
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


def test_who_waited_takes_the_token_that_came_after_a_failure():
    tries = []

    def fetch():
        tries.append("")
        if len(tries) == 1:
            raise OSError
        return "good"

    source = TokenSource(fetch)
    lock = source._lock

    class Waiting:
        """What happens while a thread waits for the lock: another one fails, a third one has its token."""

        def __enter__(self):
            source._lock = lock
            with pytest.raises(AuthenticationError):
                source.current()
            assert source.current() == "good"
            lock.acquire()

        def __exit__(self, *_):
            lock.release()

    source._lock = Waiting()
    assert source.current() == "good"
    assert len(tries) == 2


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
    assert "another service (https://a.example)" in what_is_wrong(jwt(exp=later, aud=["https://a.example"]))
    assert "from 2096-10-02 07:06 UTC on" in what_is_wrong(jwt(nbf=4_000_000_000))
    assert "an impossible time" in what_is_wrong(jwt(exp=-1e30))
    assert what_is_wrong(jwt(exp=later, aud="https://dicom.healthcareapis.azure.com/")) == ""
    assert what_is_wrong(jwt(aud=["https://a.example", "https://dicom.healthcareapis.azure.com"])) == ""
    assert what_is_wrong(jwt(exp=later, aud="75e725bf-66ce-4cea-9b9a-5c4caae57f33")) == ""
    for odd in ("", "a.b", "a.!!.c", jwt(), "a." + base64.urlsafe_b64encode(b"[1]").decode() + ".c"):
        assert what_is_wrong(odd) == ""


@pytest.mark.parametrize(
    ("challenge", "word"),
    [
        (
            'Bearer error="invalid_token", error_description="The token expired at \'01/15/2024\'"',
            "expired at",
        ),
        ("Bearer", "the server gave no reason"),
        ('Bearer error="' + "x" * 5000, "the server gave no reason"),
    ],
)
def test_a_refusal_without_a_body_speaks_through_its_challenge(serve, connect, reply, challenge, word):
    site = serve(reply(401, b"", {"WWW-Authenticate": challenge}))
    with pytest.raises(AuthenticationError, match=word) as caught:
        connect(site.url, "opaque-token").session.request("GET", "studies")
    assert "az login" in str(caught.value)
    assert "opaque-token" not in str(caught.value)


class KeepsTokens:
    """As azure-identity's credentials: what was given is given again, unless claims are asked for."""

    def __init__(self):
        self.asked = []

    def get_token(self, *scopes, **options):
        self.asked.append((scopes, options))
        return SimpleNamespace(token="new" if "claims" in options else "old", expires_on=time.time() + 3600)


def test_a_credential_is_asked_past_its_cache_where_claims_are_missing(serve, connect, reply):
    wanted = '{"access_token":{"nbf":{"essential":true,"value":"1700000000"}}}'
    encoded = base64.urlsafe_b64encode(wanted.encode()).decode().rstrip("=")
    challenge = f'Bearer realm="", error="insufficient_claims", claims="{encoded}"'
    site = serve(
        lambda asked: (
            reply(200, b"[]")
            if asked.headers["Authorization"] == "Bearer new"
            else reply(401, b"", {"WWW-Authenticate": challenge})
        )
    )
    credential = KeepsTokens()
    client = connect(site.url, credential)
    assert client.session.request("GET", "studies").status == 200
    assert credential.asked == [((SCOPE,), {}), ((SCOPE,), {"claims": wanted})]
    # The new one is kept.
    assert client.session.request("GET", "studies").status == 200
    assert len(credential.asked) == 2
    # One try, if the service takes that one neither.
    never = serve(reply(401, b"", {"WWW-Authenticate": challenge}))
    with pytest.raises(AuthenticationError):
        connect(never.url, KeepsTokens()).session.request("GET", "studies")
    assert len(never.asked) == 2


@pytest.mark.parametrize(
    "challenge", ["", "Bearer", 'Bearer error="insufficient_claims", claims="\xff!"', "x" * 9000]
)
def test_no_claims_in_a_challenge(challenge):
    assert claims_of_challenge(challenge) == ""


SECRET = "abC8Q~dEf.Gh1-jKlMnOpQrStUvWxYz_2"


@pytest.mark.parametrize(
    "words",
    [
        f"Invalid client secret provided: {SECRET}",
        f"client_secret={SECRET}&grant_type=client_credentials",
        '{"access_token": "' + SECRET + '"}',
        f"sent Authorization: Bearer {SECRET}",
        "POST https://login.microsoftonline.com/t/token?code=" + SECRET,
        f"https://user:{SECRET}@vault.example/x failed",
        f"AccountKey={SECRET};EndpointSuffix=x",
        "assertion " + jwt(sub="x", oid="y"),
        "password: hunter2hunter2",
    ],
)
def test_secrets_in_a_credentials_words(words):
    shown = without_secrets(words)
    assert "<...>" in shown
    for secret in (SECRET, jwt(sub="x", oid="y"), "hunter2"):
        assert secret not in shown


@pytest.mark.parametrize(
    "words",
    [
        "AADSTS7000215: Invalid client secret provided. Ensure the secret being sent is the client secret value.",
        "Trace ID: 3a2b1c00-1111-2222-3333-444455556666 Timestamp: 2024-01-15 10:30:00Z",
        "DefaultAzureCredential failed to retrieve a token from the included credentials. EnvironmentCredential: no",
        "ManagedIdentityCredential authentication unavailable, no response from the IMDS endpoint.",
        "https://login.microsoftonline.com/72f988bf-86f1-41af-91ab-2d7cd011db47/oauth2/v2.0/token gave 400",
        "Failed to get token: connection refused; see https://aka.ms/azsdk/python/identity/troubleshoot",
    ],
)
def test_what_helps_is_kept(words):
    assert without_secrets(words) == words


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


class Holder:
    """Gives its token by a method, as azure-identity's credentials do."""

    def get_token(self, *_scopes, **_options):
        return type("Given", (), {"token": TOKEN_OF_THE_TEST, "expires_on": time.time() + 3600})()


TOKEN_OF_THE_TEST = "a-token-of-nobody-1"


@pytest.mark.parametrize(
    "credential", [TOKEN_OF_THE_TEST, lambda: TOKEN_OF_THE_TEST, Holder()], ids=["text", "callable", "azure"]
)
def test_no_variable_of_a_traceback_shows_a_token(credential, serve, reply):
    def failed(call):
        with pytest.raises(DicomFrameError) as caught:
            call()
        # The test's own frames know it, of course.
        frames = list(traceback.walk_tb(caught.value.__traceback__))
        ours = [frame.f_locals for frame, _ in frames if "test_auth" not in frame.f_code.co_filename]
        assert ours
        assert caught.value.__context__ is None or caught.value.__suppress_context__
        return repr([{name: repr(value) for name, value in each.items()} for each in ours])

    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{nobody.getsockname()[1]}"
        client = dfr.connect(url, credential, retries=0)
        assert TOKEN_OF_THE_TEST not in failed(lambda: client.search_studies().to_frame())
    server = serve(lambda _asked: reply(500, b"{}"))
    client = dfr.connect(server.url, credential, retries=0)
    assert TOKEN_OF_THE_TEST not in failed(lambda: client.search_studies().to_frame())
    for wrong in ({"api_version": "v3"}, {"retries": -1}, {"progress": "x"}):
        assert TOKEN_OF_THE_TEST not in failed(lambda wrong=wrong: dfr.connect(url, credential, **wrong))


def test_a_client_is_not_pickled_and_says_so():
    client = dfr.connect("http://127.0.0.1:1", "x")
    with pytest.raises(TypeError, match=r"neither pickled nor copied in depth.*dfr\.connect"):
        pickle.dumps(client)
    with pytest.raises(TypeError, match="neither pickled nor copied in depth"):
        copy.deepcopy(client)


def test_a_copy_of_a_client_shares_its_connections():
    client = dfr.connect("http://127.0.0.1:1", "x", progress=True)
    other = copy.copy(client)
    other.progress = False
    assert other.session is client.session
    assert (repr(other), client.progress) == (repr(client), True)


@pytest.mark.parametrize(
    "options",
    [
        {"timeout": 5},
        {"timeout": None},
        {"timeout": (1,)},
        {"timeout": "55"},
        {"timeout": (0, 1)},
        {"max_workers": "8"},
        {"max_workers": 0},
        {"max_workers": 1.5},
        {"retries": "5"},
        {"retries": -1},
        {"partition": 5},
        {"url": "https://a b"},
        {"url": "https://a\tb\u00a0c"},
    ],
    ids=str,
)
def test_malformed_options_of_a_connection_are_refused(options):
    with pytest.raises(QueryError):
        dfr.connect(**{"url": "http://127.0.0.1:1", **options})
