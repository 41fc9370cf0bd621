"""What holds for the end-to-end tests."""

import os
from collections.abc import Iterator

import pytest

from tests.e2e.rig import environment
from tests.e2e.upstreams import Model, model


@pytest.fixture(autouse=True, scope="session")
def _no_proxy_between() -> Iterator[None]:
    """Clients that heed the environment's proxies connect to where they are told here."""
    with pytest.MonkeyPatch.context() as patch:
        for name in set(os.environ) - set(environment()):
            patch.delenv(name)
        yield


@pytest.fixture
def first() -> Iterator[Model]:
    """A model server."""
    with model("first") as found:
        yield found


@pytest.fixture
def second() -> Iterator[Model]:
    """Another one."""
    with model("second") as found:
        yield found
