import logging
from collections.abc import Iterator

import pytest


@pytest.fixture(autouse=True)
def nothing_logged(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """No scenario makes the request path, a task or the loop complain."""
    yield
    assert [record for record in caplog.get_records("call") if record.levelno >= logging.WARNING] == []
