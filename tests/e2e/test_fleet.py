"""Sidecars that share their routes through Kubernetes: one sees a breach, all go back; without the API all serve on."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import requests

from sidecar.records import JSON
from tests.e2e.rig import PATIENCE_S, Process, Sidecar, environment, running, sidecar, until
from tests.e2e.versions_clients import Clients
from tests.e2e.versions_models import ROOT, Data, Server, servers, train_versions
from tests.e2e.versions_rig import CHALLENGER, CHAMPION, plan, routes, settings, told

ERRORS: JSON = {"kind": "errors", "margin": 0.05}


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Data:
    return train_versions(tmp_path_factory.mktemp("versions"))


@pytest.fixture(scope="module")
def lasting(data: Data) -> Iterator[list[Server]]:
    with servers((data.good, "1"), (data.good, "2")) as found:
        yield found


@pytest.fixture
def pair(lasting: list[Server]) -> list[Server]:
    for each in lasting:
        each.revive()
    return lasting


class Cluster:
    """An API server, and the configurations of the pods at it.

    Args:
        folder: Of all that is kept.
    """

    def __init__(self, process: Process, folder: Path, pair: list[Server]) -> None:
        self.process = process
        self._url = process.says(r"(https://\S+)")[1]
        self._folder = folder
        self._pair = pair

    @contextmanager
    def again(self) -> Iterator[None]:
        """Another API server in its place."""
        with api_server(self._folder, int(self._url.rpartition(":")[2])) as process:
            process.says("https://")
            yield

    def pod(self, name: str) -> Path:
        """The configuration of a pod."""
        (self._folder / name).mkdir(exist_ok=True)
        shared = {"kind": "kubernetes", "name": "routing", "api": self._url, "credentials": str(self._folder)}
        # It stays at its step, whatever comes by.
        course = plan(ERRORS, steps=[50], pause_s=3600)
        champion, challenger = self._pair
        return settings(self._folder / name, champion.url, challenger.url, rollout=course, fleet=shared)


@contextmanager
def api_server(folder: Path, port: int = 0) -> Iterator[Process]:
    command: list[str | Path] = [sys.executable, "-m", "tests.kubernetes.api_server", folder, "--port", str(port)]
    with running(command, environment(), ROOT) as process:
        yield process


@pytest.fixture
def cluster(pair: list[Server], tmp_path: Path) -> Iterator[Cluster]:
    with api_server(tmp_path) as process:
        yield Cluster(process, tmp_path, pair)


def order(found: Sidecar, command: str) -> requests.Response:
    asked = {"order": command, "by": "ann", "why": "to see"}
    return requests.post(f"http://{found.admin}/v1/rollout", json=asked, timeout=PATIENCE_S)


def stands(found: Sidecar) -> tuple[int, str, JSON]:
    """Revision, phase and shares."""
    document = routes(found)
    return document["revision"], document["rollout"]["phase"], document["shares"]


def together(*pods: Sidecar, phase: str) -> None:
    """Wait until the rollout is there for all, and all stand alike."""
    until(lambda: {told(each)["phase"] for each in pods} == {phase} and len({str(stands(each)) for each in pods}) == 1)


def test_a_breach_that_one_sidecar_sees_rolls_all_back(data: Data, cluster: Cluster, pair: list[Server]) -> None:
    clients, others = Clients(data), Clients(data, names="mn")
    with sidecar("--config", cluster.pod("one")) as one, sidecar("--config", cluster.pod("other")) as other:
        together(one, other, phase="stepping")
        pair[1].fails(status=500)
        with clients.asking(one):
            together(one, other, phase="rolled_back")
        others.ask(other, 20)

        assert told(other)["reason"].startswith("breach at 50 %: errors (")
    assert others.statuses == {200: 40}
    assert others.served == {(CHAMPION, "1")}


def test_without_the_api_server_all_serve_on_and_a_rollback_is_told_later(data: Data, cluster: Cluster) -> None:
    clients = Clients(data)
    with sidecar("--config", cluster.pod("one")) as one, sidecar("--config", cluster.pod("other")) as other:
        together(one, other, phase="stepping")
        cluster.process.kill()
        clients.ask(one, 20)
        clients.ask(other, 20)
        before = stands(one)
        assert order(one, "hold").status_code == 503
        assert stands(one) == before
        back = order(one, "rollback").json()
        assert {each.variant for each in clients.ask(one, 10)} == {CHAMPION}
        assert told(other)["phase"] == "stepping"

        # What it had kept is lost.
        with cluster.again():
            together(one, other, phase="rolled_back")
            until(lambda: not routes(one)["unkept"])
    assert back["unkept"]
    assert clients.statuses.keys() == {200}
    assert clients.served == {(CHAMPION, "1"), (CHALLENGER, "2")}


def test_a_sidecar_that_starts_follows_the_fleet(cluster: Cluster) -> None:
    with sidecar("--config", cluster.pod("one")) as one:
        with sidecar("--config", cluster.pod("other")) as other:
            together(one, other, phase="stepping")
        assert order(one, "rollback").status_code == 200
        with sidecar("--config", cluster.pod("other")) as other, sidecar("--config", cluster.pod("third")) as third:
            together(one, other, third, phase="rolled_back")
            assert order(third, "start").status_code == 200
            together(one, other, third, phase="stepping")
