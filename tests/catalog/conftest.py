"""What several files of tests share."""

from collections.abc import Iterator

import pytest

from tests.catalog.mlflow_server import MlflowServer


@pytest.fixture(scope="session")
def mlflow() -> Iterator[MlflowServer]:
    """One for the session: it takes some seconds, up to half a minute, to start."""
    with MlflowServer() as running:
        yield running
