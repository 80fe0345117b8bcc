"""azure-identity itself, against endpoints on loopback, with the local service as the resource server.

Nothing of azure-identity is replaced: it speaks HTTP to a managed identity's endpoint, https to an authority whose
certificate it must trust, and runs a program called ``az``.
"""

import base64
import json
import re
import stat
import time
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import parse_qs, unquote

import pytest
from azure.identity import (
    AzureCliCredential,
    ClientSecretCredential,
    DefaultAzureCredential,
    ManagedIdentityCredential,
)
from pydicom.data import get_testdata_file

import dicomframe as dfr
from dicomframe.client.auth import SCOPE
from dicomframe.client.client import Client
from dicomframe.errors import AuthenticationError, PermissionDeniedError

CT = get_testdata_file("CT_small.dcm", download=False)
RESOURCE = "https://dicom.healthcareapis.azure.com"
SECRET = "s3cret-of-the-application"


def jwt(**claims):
    parts = ({"alg": "none", "typ": "JWT"}, claims)
    encoded = [base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=").decode() for part in parts]
    return f"{encoded[0]}.{encoded[1]}.c2lnbmF0dXJl"


def in_an_hour():
    return int(time.time()) + 3600


OWNER = jwt(exp=in_an_hour(), aud=RESOURCE, oid="owner")
READER = jwt(exp=in_an_hour(), aud=RESOURCE, oid="reader")


@pytest.fixture(scope="module")
def local():
    with dfr.start_local(token=OWNER, read_only_token=READER) as service:
        yield service


@pytest.fixture(autouse=True)
def nobody_is_signed_in(clean_environment):
    """Each test signs in by itself."""


# -- ways to sign in -------------------------------------------------------------------------------------------------


@pytest.fixture
def app_service(serve, reply, monkeypatch):
    """Answer as the managed identity endpoint of App Service does."""

    def sign_in(token, **about):
        def answer(asked):
            assert asked.headers["X-IDENTITY-HEADER"] == "header"
            body = {"access_token": token, "expires_on": str(in_an_hour()), "resource": RESOURCE, **about}
            return reply(200, json.dumps(body).encode(), {"Content-Type": "application/json"})

        site = serve(answer)
        monkeypatch.setenv("IDENTITY_ENDPOINT", f"{site.url}/msi/token")
        monkeypatch.setenv("IDENTITY_HEADER", "header")
        monkeypatch.setenv("AZURE_TOKEN_CREDENTIALS", "ManagedIdentityCredential")
        return lambda: [parse_qs(asked.query)["resource"][0] for asked in site.asked]

    return sign_in


@pytest.fixture
def imds(serve, reply, monkeypatch):
    """Answer as a virtual machine's metadata endpoint does."""

    def sign_in(token):
        def answer(asked):
            assert asked.path == "/metadata/identity/oauth2/token"
            if "Metadata" not in asked.headers:  # azure-identity looks first whether anybody is there
                return reply(400, b'{"error": "invalid_request"}', {"Content-Type": "application/json"})
            body = {
                "access_token": token, "expires_in": "3600", "expires_on": str(in_an_hour()),
                "not_before": str(int(time.time())), "resource": RESOURCE, "token_type": "Bearer",
            }  # fmt: skip
            return reply(200, json.dumps(body).encode(), {"Content-Type": "application/json"})

        site = serve(answer)
        monkeypatch.setenv("AZURE_POD_IDENTITY_AUTHORITY_HOST", site.url)
        monkeypatch.setenv("AZURE_TOKEN_CREDENTIALS", "ManagedIdentityCredential")
        return lambda: [
            unquote(parse_qs(asked.query)["resource"][0])
            for asked in site.asked
            if "Metadata" in asked.headers
        ]

    return sign_in


@pytest.fixture
def azure_cli(clean_environment, monkeypatch):
    """A program called ``az`` that gives tokens in turn, the last one again and again."""

    def sign_in(*tokens, fails=""):
        folder = clean_environment / "tokens"
        folder.mkdir(exist_ok=True)
        for number, token in enumerate(tokens):
            told = {
                "accessToken": token,
                "expiresOn": "2099-01-01 00:00:00.000000",
                "expires_on": in_an_hour(),
            }
            (folder / str(number)).write_text(json.dumps(told))
        log = clean_environment / "az.log"
        program = clean_environment / "bin" / "az"
        lines = [
            "#!/bin/sh",
            f'echo "$@" >> "{log}"',
            f'[ -z "{fails}" ] || {{ echo "{fails}" >&2; exit 1; }}',
            f'at=0; while read -r _; do at=$((at+1)); done < "{log}"',
            f"[ $at -le {len(tokens)} ] || at={len(tokens)}",
            f'read -r told < "{folder}/$((at-1))" || true; echo "$told"',
        ]
        program.write_text("\n".join(lines))
        program.chmod(program.stat().st_mode | stat.S_IXUSR)
        monkeypatch.setenv("AZURE_TOKEN_CREDENTIALS", "AzureCliCredential")

        def resources():
            asked = log.read_text().splitlines() if log.exists() else []
            return [line.split("--resource ")[1].split()[0] for line in asked]

        return resources

    return sign_in


@pytest.fixture
def authority(serve, reply, certificate, monkeypatch):
    """Answer as the Entra authority does: its configuration, and tokens for a secret or a federated token."""

    def sign_in(token, fails=None):
        def answer(asked):
            if asked.path.endswith("/.well-known/openid-configuration"):
                base = f"{site.url}/tenant"
                body = {
                    "token_endpoint": f"{base}/oauth2/v2.0/token",
                    "authorization_endpoint": f"{base}/oauth2/v2.0/authorize",
                    "issuer": f"{base}/v2.0",
                }
            else:
                assert asked.path == "/tenant/oauth2/v2.0/token"
                given.append(parse_qs(asked.body.decode()))
                body = fails or {"token_type": "Bearer", "expires_in": 3599, "access_token": token}
            return reply(
                401 if "error" in body else 200,
                json.dumps(body).encode(),
                {"Content-Type": "application/json"},
            )

        given = []
        bundle, tls = certificate
        site = serve(answer, tls)
        monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(bundle))
        monkeypatch.setenv("AZURE_AUTHORITY_HOST", site.url)
        monkeypatch.setenv("AZURE_TENANT_ID", "tenant")
        monkeypatch.setenv("AZURE_CLIENT_ID", "application")
        return site.url, given

    return sign_in


def search_in_many_threads(client):
    with ThreadPoolExecutor(8) as workers:
        tables = list(workers.map(lambda _: client.search_studies().to_frame(), range(16)))
    assert len({len(table) for table in tables}) == 1


# -- each credential, by itself and through DefaultAzureCredential ---------------------------------------------------


@pytest.mark.parametrize("kind", [ManagedIdentityCredential, DefaultAzureCredential])
@pytest.mark.parametrize("where", ["app_service", "imds"])
def test_managed_identity(local, request, where, kind):
    asked = request.getfixturevalue(where)(OWNER)
    with kind() as credential:
        client = local.connect(credential=credential)
        search_in_many_threads(client)
        assert client.store(CT)["status"].isin(["stored", "exists"]).all()
    assert asked() == [RESOURCE]


@pytest.mark.parametrize("kind", [AzureCliCredential, DefaultAzureCredential])
def test_azure_cli(local, azure_cli, kind):
    asked = azure_cli(OWNER)
    with kind() as credential:
        search_in_many_threads(local.connect(credential=credential))
    assert asked() == [RESOURCE]


def test_client_secret(local, authority):
    url, given = authority(OWNER)
    with ClientSecretCredential(
        "tenant", "application", SECRET, authority=url, disable_instance_discovery=True
    ) as credential:
        client = local.connect(credential=credential)
        search_in_many_threads(client)
        assert SECRET not in repr(client) + repr(client.session.tokens)
    assert [(each["scope"], each["client_secret"]) for each in given] == [([SCOPE], [SECRET])]


def test_client_secret_in_the_environment(local, authority, monkeypatch):
    _, given = authority(OWNER)
    monkeypatch.setenv("AZURE_CLIENT_SECRET", SECRET)
    monkeypatch.setenv("AZURE_TOKEN_CREDENTIALS", "EnvironmentCredential")
    with DefaultAzureCredential(disable_instance_discovery=True) as credential:
        search_in_many_threads(local.connect(credential=credential))
    assert [each["grant_type"] for each in given] == [["client_credentials"]]


def test_workload_identity(local, authority, monkeypatch, tmp_path):
    _, given = authority(OWNER)
    (tmp_path / "federated").write_text("federated-token")
    monkeypatch.setenv("AZURE_FEDERATED_TOKEN_FILE", str(tmp_path / "federated"))
    monkeypatch.setenv("AZURE_TOKEN_CREDENTIALS", "WorkloadIdentityCredential")
    with DefaultAzureCredential(disable_instance_discovery=True) as credential:
        search_in_many_threads(local.connect(credential=credential))
    assert [each["client_assertion"] for each in given] == [["federated-token"]]


def test_the_cloud_service_takes_the_default_credential_by_itself(app_service):
    """``dfr.connect("https://…azurehealthcareapis.com")`` without any credential; only its token is looked at."""
    asked = app_service(OWNER)
    with dfr.connect("https://workspace-dicom.dicom.azurehealthcareapis.com") as client:
        assert client.session.tokens.current() == OWNER
    assert asked() == [RESOURCE]


def test_a_text_and_a_callable(local):
    for credential in (OWNER, f"Bearer {OWNER}", lambda: OWNER):
        assert local.connect(credential=credential).search_studies().completeness == "complete"


# -- time ------------------------------------------------------------------------------------------------------------


def test_a_token_that_the_service_refuses_is_fetched_anew_once(local, azure_cli):
    """The first token has ended on the service's side; ``az`` gives another when it is asked again."""
    asked = azure_cli(jwt(exp=in_an_hour(), aud=RESOURCE, oid="revoked"), OWNER)
    client = local.connect(credential=AzureCliCredential())
    search_in_many_threads(client)
    assert asked() == [RESOURCE, RESOURCE]
    asked = azure_cli("revoked-1", "revoked-2")
    before = len(asked())
    with pytest.raises(AuthenticationError):
        local.connect(credential=AzureCliCredential()).search_studies().to_frame()
    assert len(asked()) == before + 2


def test_tokens_are_renewed_before_they_end(serve, reply, connect, monkeypatch):
    """A token that would still be taken is renewed when its end is near; until then it is not asked for again."""
    issued = []

    def endpoint(asked):
        issued.append(jwt(exp=int(time.time()) + 7200, n=len(issued)))
        body = {"access_token": issued[-1], "expires_on": str(int(time.time()) + 7200)}
        return reply(200, json.dumps(body).encode(), {"Content-Type": "application/json"})

    monkeypatch.setenv("IDENTITY_ENDPOINT", f"{serve(endpoint).url}/msi/token")
    monkeypatch.setenv("IDENTITY_HEADER", "header")
    resource = serve(reply(200, b"[]"))
    with ManagedIdentityCredential() as credential:
        client = connect(resource.url, credential)
        client.session.request("GET", "studies")
        client.session.request("GET", "studies")
        assert len(issued) == 1
        # Four minutes before its end, for us and for azure-identity, which keeps tokens of its own.
        later = time.time() + 7200 - 240
        monkeypatch.setattr(time, "time", lambda: later)
        client.session.request("GET", "studies")
    assert len(issued) == 2
    sent = [asked.headers["Authorization"].removeprefix("Bearer ") for asked in resource.asked]
    assert sent == [issued[0], issued[0], issued[1]]


# -- what goes wrong -------------------------------------------------------------------------------------------------


def refused(client, *words):
    with pytest.raises(AuthenticationError) as caught:
        client.search_studies().to_frame()
    assert caught.value.status == 401
    said = str(caught.value)
    assert all(word in said for word in words), said
    return said


def test_a_token_for_another_service(azure_cli):
    token = jwt(exp=in_an_hour(), aud="https://management.azure.com")
    azure_cli(token)
    with dfr.start_local(token=token) as local:
        said = refused(local.connect(credential=AzureCliCredential()), "https://management.azure.com", SCOPE)
    assert token not in said


def test_a_token_that_has_ended(azure_cli):
    token = jwt(exp=1_705_329_000, aud=RESOURCE)
    azure_cli(token)
    with dfr.start_local(token=token) as local:
        said = refused(
            local.connect(credential=AzureCliCredential()), "ended at 2024-01-15 14:30 UTC", "az login"
        )
    assert token not in said


def test_no_credential_at_all(local):
    refused(dfr.connect(local.url), "no token", "az login")


def test_nobody_is_signed_in(local, monkeypatch):
    monkeypatch.setenv("AZURE_TOKEN_CREDENTIALS", "AzureCliCredential")
    with DefaultAzureCredential() as credential:
        refused(local.connect(credential=credential), "az login", "DICOM Data Reader", SCOPE)


def test_the_cli_says_please_run_az_login(local, azure_cli):
    azure_cli(fails="ERROR: Please run 'az login' to setup account.")
    refused(local.connect(credential=AzureCliCredential()), "az login", "CredentialUnavailableError")


def test_a_wrong_secret(local, authority):
    url, _ = authority(
        "",
        fails={
            "error": "invalid_client",
            "error_description": "AADSTS7000215: Invalid client secret provided.",
        },
    )
    credential = ClientSecretCredential(
        "tenant", "application", SECRET, authority=url, disable_instance_discovery=True
    )
    said = refused(local.connect(credential=credential), "AADSTS7000215", "DICOM Data Owner")
    assert SECRET not in said


def test_an_authority_that_is_not_trusted(local, authority, monkeypatch):
    url, given = authority(OWNER)
    monkeypatch.delenv("REQUESTS_CA_BUNDLE")
    credential = ClientSecretCredential(
        "tenant", "application", SECRET, authority=url, disable_instance_discovery=True, retry_total=0
    )
    said = refused(local.connect(credential=credential), "certificate")
    assert SECRET not in said
    assert given == []


@pytest.mark.parametrize(
    ("status", "body"),
    [(500, b"oops"), (400, b'{"error": "invalid_request"}'), (200, b"no JSON"), (200, b"{}")],
)
def test_an_endpoint_that_fails(local, serve, reply, monkeypatch, status, body):
    site = serve(reply(status, body, {"Content-Type": "application/json"}))
    monkeypatch.setenv("IDENTITY_ENDPOINT", site.url)
    monkeypatch.setenv("IDENTITY_HEADER", "header")
    credential = ManagedIdentityCredential(retry_total=0)
    said = refused(local.connect(credential=credential), "no token could be had", "az login")
    assert re.search(r"Error", said)


def test_a_reader_may_not_store(local, app_service):
    app_service(READER)
    with DefaultAzureCredential() as credential:
        client: Client = local.connect(credential=credential)
        client.search_studies().to_frame()
        with pytest.raises(PermissionDeniedError, match="DICOM Data Owner") as caught:
            client.store(CT)
    assert READER not in str(caught.value)


def test_no_token_in_what_is_logged(local, app_service, caplog):
    app_service(OWNER)
    with caplog.at_level("DEBUG"), DefaultAzureCredential() as credential:
        local.connect(credential=credential).search_studies(PatientName="Secret^Person").to_frame()
    assert OWNER not in caplog.text
    assert "Secret" not in caplog.text
