"""What all tests share: calm property tests, no configuration from outside, one service with the teaching cohort."""

import datetime as dt
import os
import signal
import subprocess
import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

import dicomframe as dfr

# On a developer's machine each run looks elsewhere; a change must not fail for what another one left to be found.
settings.register_profile("search", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("repeat", settings.get_profile("search"), derandomize=True)
settings.load_profile("repeat" if os.environ.get("CI") else "search")

# A shell starts what runs in its background with SIGINT ignored, and Python then leaves it so: no Ctrl-C would arrive.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(autouse=True)
def no_configuration(monkeypatch):
    """No test depends on where it is run."""
    monkeypatch.delenv("DICOMFRAME_URL", raising=False)


@pytest.fixture(scope="session")
def cohort_service():
    """Start a service with the teaching cohort in it, for tests that change nothing."""
    with dfr.start_local(samples=True) as local:
        yield local


@pytest.fixture
def cohort_client(cohort_service):
    """Connect to the service with the teaching cohort."""
    return cohort_service.connect()


@pytest.fixture
def clean_environment(monkeypatch, tmp_path):
    """No credential of whoever runs the tests: a home of its own, in which only ``bin`` has programs."""
    for name in list(os.environ):
        if name.startswith(("AZURE_", "IDENTITY_", "MSI_", "IMDS_")) or name.lower().endswith("_proxy"):
            monkeypatch.delenv(name)
    (tmp_path / "bin").mkdir()
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    return tmp_path


AZURITE = Path(__file__).parents[1] / "node_modules" / ".bin" / "azurite-blob"
# The emulator's account is the same on every machine, and published with it.
ACCOUNT = "devstoreaccount1"
ACCOUNT_KEY = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="


@dataclass
class Container:
    """An empty container in a private Azure Blob Storage."""

    endpoint: str
    name: str
    client: Any

    @property
    def url(self):
        return f"{self.endpoint}/{self.name}"

    @property
    def connection_string(self):
        return f"AccountName={ACCOUNT};AccountKey={ACCOUNT_KEY};BlobEndpoint={self.endpoint};"

    def sas(self, permission="racwdl"):
        """Give a token for this container that holds for an hour."""
        from azure.storage.blob import generate_container_sas

        until = dt.datetime.now(dt.UTC) + dt.timedelta(hours=1)
        return generate_container_sas(ACCOUNT, self.name, ACCOUNT_KEY, permission=permission, expiry=until)

    def blobs(self):
        return {
            blob.name: self.client.download_blob(blob.name).readall() for blob in self.client.list_blobs()
        }


@pytest.fixture(scope="session")
def blob_endpoint():
    """Run Azurite, Microsoft's emulator of Azure Storage, on a free port of loopback, in memory."""
    if not AZURITE.exists():
        reason = "Azurite is not installed: make azurite (needs npm)"
        if os.environ.get("CI") == "true":
            pytest.fail(reason)
        pytest.skip(reason)
    options = "--inMemoryPersistence --skipApiVersionCheck --disableTelemetry --silent"
    arguments = [AZURITE, "--blobHost", "127.0.0.1", "--blobPort", "0", *options.split()]
    with subprocess.Popen(arguments, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
        try:
            said = []
            for line in process.stdout:
                said.append(line)
                if "listens on " in line:
                    yield f"{line.rpartition(' ')[2].strip()}/{ACCOUNT}"
                    break
            else:
                pytest.fail(f"Azurite did not start: {''.join(said)}")
        finally:
            process.kill()


@pytest.fixture
def container(blob_endpoint):
    """Give an empty container."""
    from azure.storage.blob import ContainerClient

    name = f"test-{uuid.uuid4().hex}"
    credential = {"account_name": ACCOUNT, "account_key": ACCOUNT_KEY}
    with ContainerClient(blob_endpoint, name, credential=credential) as client:
        client.create_container()
        yield Container(blob_endpoint, name, client)
