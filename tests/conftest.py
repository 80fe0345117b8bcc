"""What all tests share: calm property tests, no configuration from outside, one service with the teaching cohort."""

import pytest
from hypothesis import HealthCheck, settings

import dicomframe as dfr

settings.register_profile("dicomframe", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("dicomframe")


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
