"""The reference's "Authentication": its commands and its Python, against stand-ins on loopback, then ours."""

import json
import os
import shutil
import stat
import subprocess
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

import pytest
import requests

import dicomframe as dfr

RESOURCE = "https://dicom.healthcareapis.azure.com"
TOKEN = "a-token-for-the-service"

AZURE_CLI = r"""
TOKEN=$(az account get-access-token \
  --resource "https://dicom.healthcareapis.azure.com" \
  --query accessToken -o tsv)
"""

MANAGED_IDENTITY = r"""
curl -s "http://169.254.169.254/metadata/identity/oauth2/token?\
api-version=2018-02-01&resource=https://dicom.healthcareapis.azure.com" \
  -H "Metadata: true" | jq -r '.access_token'
"""

PYTHON = """
from azure.identity import DefaultAzureCredential

credential = DefaultAzureCredential()
dicom_url = "https://workspace-dicom.dicom.azurehealthcareapis.com"

token = credential.get_token("https://dicom.healthcareapis.azure.com/.default")
headers = {
    "Authorization": f"Bearer {token.token}",
    "Content-Type": "application/dicom"
}
"""

# As much of the Azure CLI as the command needs: --query of one key, as tab-separated values or JSON.
AZ = """#!/bin/sh
[ "$1 $2" = "account get-access-token" ] || exit 2
while [ $# -gt 0 ]; do
  case "$1" in
    --resource) resource="$2" ;; --query) query="$2" ;; -o|--output) output="$2" ;;
  esac
  shift
done
[ "$resource" = "https://dicom.healthcareapis.azure.com" ] || { echo "AADSTS500011" >&2; exit 1; }
if [ "$query $output" = "accessToken tsv" ]; then echo "TOKEN"
else echo '{"accessToken": "TOKEN", "expiresOn": "2099-01-01 00:00:00.000000", "expires_on": 4070908800}'; fi
"""


@pytest.fixture(scope="module")
def local():
    with dfr.start_local(token=TOKEN) as service:
        yield service


@pytest.fixture
def az(clean_environment):
    program = clean_environment / "bin" / "az"
    program.write_text(AZ.replace("TOKEN", TOKEN))
    program.chmod(program.stat().st_mode | stat.S_IXUSR)


@pytest.fixture
def identity_endpoint():
    """A managed identity's endpoint; also a proxy, so that a request to 169.254.169.254 comes here."""
    asked = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            target = urlsplit(self.path)
            asked.append((target.netloc, target.path, parse_qs(target.query).get("resource"), self.headers))
            body = json.dumps(
                {
                    "access_token": TOKEN,
                    "expires_in": "3600",
                    "expires_on": str(int(time.time()) + 3600),
                    "resource": RESOURCE,
                    "token_type": "Bearer",
                }
            ).encode()
            self.send_response(200 if self.headers["Metadata"] or self.headers["X-IDENTITY-HEADER"] else 400)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_):
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}", asked
    server.shutdown()
    server.server_close()
    thread.join()


def shell(script, **environment):
    done = subprocess.run(
        ["/bin/bash", "-c", script], capture_output=True, text=True, timeout=300, check=True,
        env=os.environ | environment,
    )  # fmt: skip
    return done.stdout.strip()


def reads(local, token):
    answer = requests.get(
        f"{local.url}/v2/studies", headers={"Authorization": f"Bearer {token}", "Accept": "*/*"}, timeout=300
    )
    return answer.status_code == 204


@pytest.mark.covers("Get Access Token: Azure CLI")
def test_get_access_token_with_the_azure_cli(local, az, monkeypatch):
    token = shell(AZURE_CLI + 'echo "$TOKEN"')
    assert token == TOKEN
    assert reads(local, token)
    assert not reads(local, "another")

    monkeypatch.setenv("AZURE_TOKEN_CREDENTIALS", "AzureCliCredential")
    from azure.identity import DefaultAzureCredential

    with DefaultAzureCredential() as credential:
        assert local.connect(credential=credential).search_studies().completeness == "complete"


@pytest.mark.covers("Get Access Token: managed identity")
@pytest.mark.skipif(not (shutil.which("curl") and shutil.which("jq")), reason="curl and jq are needed")
def test_get_access_token_with_a_managed_identity(local, identity_endpoint, monkeypatch):
    url, asked = identity_endpoint
    token = shell(MANAGED_IDENTITY, http_proxy=url, no_proxy="")
    assert token == TOKEN
    assert reads(local, token)
    assert asked[0][:3] == ("169.254.169.254", "/metadata/identity/oauth2/token", [RESOURCE])

    monkeypatch.setenv("AZURE_POD_IDENTITY_AUTHORITY_HOST", url)
    monkeypatch.setenv("AZURE_TOKEN_CREDENTIALS", "ManagedIdentityCredential")
    from azure.identity import DefaultAzureCredential

    with DefaultAzureCredential() as credential:
        assert local.connect(credential=credential).search_studies().completeness == "complete"


@pytest.mark.covers("Python Authentication")
def test_python_authentication(executed, local, identity_endpoint, clean_environment, monkeypatch):
    url, asked = identity_endpoint
    monkeypatch.setenv("IDENTITY_ENDPOINT", f"{url}/msi/token")
    monkeypatch.setenv("IDENTITY_HEADER", "header")
    monkeypatch.setenv("AZURE_TOKEN_CREDENTIALS", "ManagedIdentityCredential")
    scope = executed(PYTHON)
    assert scope["headers"] == {"Authorization": f"Bearer {TOKEN}", "Content-Type": "application/dicom"}
    assert requests.get(f"{local.url}/v1/studies", headers=scope["headers"], timeout=300).status_code == 204

    # Ours: nothing but the URL of the cloud service, or the same credential for another.
    with dfr.connect(scope["dicom_url"]) as client:
        assert client.session.tokens.current() == TOKEN
    client = local.connect(credential=scope["credential"])
    assert client.search_studies().completeness == "complete"
    assert {each[2][0] for each in asked if each[2]} == {RESOURCE}
    scope["credential"].close()
