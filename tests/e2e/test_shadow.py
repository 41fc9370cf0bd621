"""A shadow on a real model server: what it says is told, and nobody feels that it is there."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from sidecar.records import JSON
from sidecar.routing.table import POINTS, points
from tests.e2e.rig import Sidecar, sidecar, until
from tests.e2e.versions_clients import Answer, Clients
from tests.e2e.versions_models import Data, Server, servers, train_versions
from tests.e2e.versions_rig import CHALLENGER, CHAMPION, settings

RATIO = 0.5
CONCURRENCY = 8
SOON_S = 20.0
"""A copy that hangs would hold its original up for a minute."""


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Data:
    return train_versions(tmp_path_factory.mktemp("versions"))


@pytest.fixture(scope="module")
def lasting(data: Data) -> Iterator[list[Server]]:
    with servers((data.good, "1"), (data.poor, "2")) as found:
        yield found


@pytest.fixture
def running(lasting: list[Server], tmp_path: Path) -> Iterator[Sidecar]:
    """Half of the requests are copied to a poor version."""
    for each in lasting:
        each.revive()
    shadow = {"variant": CHALLENGER, "ratio": RATIO, "concurrency": CONCURRENCY}
    # Only that its standing tells when exchanges are looked at.
    trial = {"name": "any", "champion": CHAMPION}
    file = settings(tmp_path, lasting[0].url, lasting[1].url, shadow=shadow, experiment=trial)
    with sidecar("--config", file) as found:
        until(lambda: (reply := found.ask("/v1/experiments")).ok and reply.json()["experiments"])
        yield found


def copied(answers: list[Answer]) -> list[Answer]:
    """Those whose requests are to be copied: their ids say so."""
    return [each for each in answers if points(each.request_id.encode())[1] < RATIO * POINTS]


def copies(found: Sidecar) -> JSON:
    return found.ask("/v1/shadow").json()


def unfelt(answers: list[Answer]) -> bool:
    """Whether the champion has answered all of them well, and soon."""
    took_s = max(each.ended_s - each.begun_s for each in answers)
    return {(each.status, each.variant) for each in answers} == {(200, CHAMPION)} and took_s < SOON_S


def test_a_shadow_that_answers_otherwise_is_told_of(data: Data, running: Sidecar) -> None:
    clients = Clients(data)
    for _ in range(20):
        # No more at a time than there is room for.
        clients.ask(running, 1)
        until(lambda: copies(running)["in_flight"] == 0)

    asked = copied(clients.answers)
    until(lambda: copies(running)["comparisons"] and compared(running)["pairs"] == len(asked))
    columns = {each["name"]: each for each in compared(running)["columns"]}
    differing = sum(data.differs(each.row) for each in asked)
    assert columns["predict"]["mean_distance"] == pytest.approx(differing / len(asked))
    assert compared(running)["statuses"]["both_ok_ratio"] == 1.0
    assert copies(running)["sent"] == len(asked)
    assert unfelt(clients.answers)


def compared(found: Sidecar) -> JSON:
    (comparison,) = copies(found)["comparisons"]
    return comparison["lifetime"]


def test_a_shadow_that_hangs_and_dies_is_not_felt(data: Data, lasting: list[Server], running: Sidecar) -> None:
    clients, shadow = Clients(data), lasting[1]

    shadow.fails(hangs=True)
    waiting = copied(clients.ask(running, 20))
    hung = copies(running)
    shadow.kill()
    until(lambda: copies(running)["in_flight"] == 0)
    clients.ask(running, 20)
    until(lambda: copies(running)["in_flight"] == 0)
    gone = copies(running)

    assert hung["in_flight"] == CONCURRENCY
    assert hung["shed"] == {"concurrency": len(waiting) - CONCURRENCY}
    assert sum(gone["failed"].values()) == gone["sent"]
    assert gone["sent"] + sum(gone["shed"].values()) == len(copied(clients.answers))
    assert unfelt(clients.answers)
