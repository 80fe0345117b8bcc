"""What all tests share: calm property tests, no configuration from outside, one service with the teaching cohort."""

import os

import pytest
from hypothesis import HealthCheck, settings

import dicomframe as dfr

# On a developer's machine each run looks elsewhere; a change must not fail for what another one left to be found.
settings.register_profile("search", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("repeat", settings.get_profile("search"), derandomize=True)
settings.load_profile("repeat" if os.environ.get("CI") else "search")


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
