"""A local service with a few small objects."""

import pytest

import dicomframe as dfr
from tests.lake.lakes import instance


@pytest.fixture
def local():
    with dfr.start_local(faults={}) as started:
        yield started


@pytest.fixture
def service(local):
    with local.connect(progress=False) as client:
        client.store(
            [instance(study, series, number) for study in (1, 2) for series in (1, 2) for number in (1, 2)]
        )
        yield client
