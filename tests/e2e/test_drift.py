"""Traffic that drifts, and comes back: found, named, told once, over."""

import json
import random
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests
import yaml
from aiohttp import web

from sidecar.records import JSON
from tests.e2e.conftest import Collector
from tests.e2e.rig import PATIENCE_S, Sidecar, environment, sidecar, until
from tests.e2e.upstreams import PREDICT, Model, served

NAMES = ("amount", "age", "hour")
BATCH = 100


class Receiver:
    """Takes CloudEvents, and keeps them."""

    def __init__(self) -> None:
        self.events: list[JSON] = []

    def application(self) -> web.Application:
        application = web.Application()
        application.router.add_post("/hook", self._take)
        return application

    async def _take(self, request: web.Request) -> web.Response:
        assert request.content_type == "application/cloudevents+json"
        self.events.append(json.loads(await request.read()))
        return web.Response()

    @property
    def told(self) -> list[tuple[str, list[str]]]:
        """State and features of each."""
        return [
            (event["data"]["state"], sorted(each["name"] for each in event["data"]["features"]))
            for event in self.events
        ]


class Clients:
    """Rows from a generator of their own."""

    def __init__(self, running: Sidecar) -> None:
        self._running = running
        self._rng = random.Random(7)

    def send(self, batches: int, *, shift: float = 0.0) -> None:
        """Batches of rows; a shift is of `amount` and `age`, in standard deviations."""
        for _ in range(batches):
            reply = requests.post(self._running.url + PREDICT, json={"instances": self.rows(shift)}, timeout=PATIENCE_S)
            assert reply.status_code == 200

    def rows(self, shift: float) -> list[list[float]]:
        return [usual(self._rng, shift) for _ in range(BATCH)]


def usual(rng: random.Random, shift: float = 0.0) -> list[float]:
    return [100 + 20 * (rng.gauss() + shift), 40 + 10 * (rng.gauss() + shift), float(rng.randrange(24))]


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of 5,000 rows of training data."""
    folder = tmp_path_factory.mktemp("training")
    data, rng = folder / "train.csv", random.Random(1)
    lines = [",".join(NAMES), *(",".join(map(str, usual(rng))) for _ in range(5000))]
    data.write_text("\n".join(lines) + "\n")
    command = [sys.executable, "-m", "sidecar", "baseline", str(data), "-o", str(folder / "reference")]
    done = subprocess.run(command, env=environment(), capture_output=True, text=True, timeout=PATIENCE_S, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    return folder / "reference"


@pytest.fixture
def reference(trained: Path, tmp_path: Path) -> Path:
    """A copy of it, which a sidecar may write over."""
    shutil.copytree(trained, tmp_path / "reference")
    return tmp_path / "reference"


@pytest.fixture
def receiver() -> Iterator[tuple[Receiver, str]]:
    found = Receiver()
    with served(found.application) as url:
        yield found, f"{url}/hook"


def settings(folder: Path, upstream: str | None, **more: JSON) -> Path:
    """A configuration file; alerts fire after a second, and are resolved after another."""
    file = folder / "sidecar.yaml"
    document = {
        "upstream": upstream,
        "capture": {"sample_ratio": 1.0},
        "payload": {"features": list(NAMES), "prediction": ["sum"]},
        "alerts": {
            "rules": [{"check": "sequential", "hold_s": 1, "resolve_s": 1}],
            "channels": more.pop("channels", []),
        },
        **more,
    }
    file.write_text(yaml.safe_dump(document))
    return file


def drifting(running: Sidecar) -> set[str]:
    variants = running.ask("/v1/drift").json()["variants"]
    return {column["name"] for variant in variants for column in variant["columns"] if column["drift"]}


def firing(running: Sidecar) -> list[JSON]:
    found: list[JSON] = running.ask("/v1/alerts?state=firing").json()["alerts"]
    return found


def test_a_drift_is_told_once_with_the_features_that_carry_it_and_is_over_when_they_are_back(
    first: Model, reference: Path, receiver: tuple[Receiver, str], tmp_path: Path
) -> None:
    took, url = receiver
    file = settings(tmp_path, first.url, reference={"path": str(reference)}, channels=[{"kind": "webhook", "url": url}])
    with sidecar("--config", file) as running:
        clients = Clients(running)
        clients.send(40)
        until(lambda: running.told("captures", "rows").get("default") == 4000)
        assert drifting(running) == set()

        clients.send(20, shift=0.8)
        until(lambda: drifting(running) == {"amount", "age"})
        until(lambda: took.told)
        assert took.told == [("firing", ["age", "amount"])]
        (alert,) = firing(running)
        assert alert == took.events[0]["data"]
        assert alert["subject"] == "features"

        clients.send(20)
        until(lambda: drifting(running) == set())
        until(lambda: len(took.told) > 1)

    assert took.told == [("firing", ["age", "amount"]), ("resolved", ["age", "amount"])]
    assert [event["id"] for event in took.events] == [f"{alert['id']}-1", f"{alert['id']}-2"]


def test_evidence_and_alerts_survive_a_restart(first: Model, reference: Path, tmp_path: Path) -> None:
    file = settings(tmp_path, first.url, reference={"path": str(reference)}, state=str(tmp_path / "state"))
    with sidecar("--config", file) as running:
        clients = Clients(running)
        clients.send(5, shift=0.8)
        until(lambda: firing(running))
        (before,) = firing(running)

    with sidecar("--config", file) as running:
        until(lambda: running.ask("/v1/drift").json()["variants"])
        assert drifting(running) == {"amount", "age"}
        (after,) = firing(running)
        assert after["id"] == before["id"]
        clients = Clients(running)
        clients.send(20)
        until(lambda: not firing(running))
        states = [alert["state"] for alert in running.ask("/v1/alerts").json()["alerts"]]
        assert states == ["resolved"]


def test_a_silenced_alert_is_told_to_nobody(
    first: Model, reference: Path, receiver: tuple[Receiver, str], tmp_path: Path
) -> None:
    took, url = receiver
    channels = [{"kind": "webhook", "url": url}]
    rules = {"rules": [{"check": "sequential", "hold_s": 2, "resolve_s": 0}], "channels": channels}
    file = settings(tmp_path, first.url, reference={"path": str(reference)}, alerts=rules)
    with sidecar("--config", file) as running:
        clients = Clients(running)
        clients.send(5, shift=0.8)
        (alert,) = until(lambda: running.ask("/v1/alerts").json()["alerts"])
        assert alert["state"] == "pending"
        silence = f"http://{running.admin}/v1/alerts/{alert['id']}/silence"
        reply = requests.post(silence, json={"seconds": 3600}, timeout=PATIENCE_S)
        assert reply.json()["silenced_until"] is not None
        until(lambda: firing(running))
        clients.send(20)
        until(lambda: not firing(running))

    assert took.told == []


def test_a_reference_is_learned_from_the_first_rows_and_kept(first: Model, tmp_path: Path) -> None:
    folder = tmp_path / "learned"
    learned = {"path": str(folder), "learn_rows": 3000}
    file = settings(tmp_path, first.url, reference=learned)
    with sidecar("--config", file) as running:
        clients = Clients(running)
        assert running.told("reference", "learning", "of") == 3000
        clients.send(30)
        until(lambda: running.told("reference", "rows") >= 3000)
        assert running.told("reference", "learning") is None
        until((folder / "constraints.json").exists)
        clients.send(10)
        until(lambda: running.told("captures", "rows")["default"] == 4000)
        assert drifting(running) == set()
        clients.send(10, shift=0.8)
        # The sum of the three is what this model predicts.
        until(lambda: drifting(running) == {"amount", "age", "sum"})

    with sidecar("--config", file) as running:
        assert running.told("reference", "features") == [*NAMES, "sum"]
        assert running.told("reference", "learning") is None


def test_the_traffic_of_now_becomes_the_reference_on_request(first: Model, reference: Path, tmp_path: Path) -> None:
    file = settings(tmp_path, first.url, reference={"path": str(reference)})
    with sidecar("--config", file) as running:
        clients = Clients(running)
        clients.send(5, shift=0.8)
        until(lambda: drifting(running) == {"amount", "age"})
        asked = requests.post(f"http://{running.admin}/v1/reference", json={"rows": 2000}, timeout=PATIENCE_S)
        assert (asked.status_code, asked.json()["learning"]) == (202, {"rows": 0, "of": 2000})
        clients.send(20, shift=0.8)
        until(lambda: running.told("reference", "rows") == 2000)
        clients.send(20, shift=0.8)
        until(lambda: running.told("captures", "rows")["default"] == 4500)
        assert drifting(running) == set()
        clients.send(20)
        until(lambda: drifting(running) == {"amount", "age", "sum"})


def test_a_changed_reference_is_taken_up_and_a_broken_one_refused(
    first: Model, reference: Path, tmp_path: Path
) -> None:
    file = settings(tmp_path, first.url, reference={"path": str(reference)})
    with sidecar("--config", file) as running:
        running.ready()
        statistics = reference / "statistics.json"
        whole = statistics.read_text()
        statistics.write_text(whole[:1000])
        running.process.says("configuration refused.*statistics.json")
        statistics.write_text(whole.replace('"amount"', '"price"'))
        running.process.says("reference of 5000 rows in force")
        assert running.told("reference", "features") == ["price", "age", "hour"]


def test_a_reference_for_another_model_is_told_as_such_and_wakes_nobody(
    first: Model, reference: Path, tmp_path: Path
) -> None:
    file = settings(tmp_path, first.url, reference={"path": str(reference)}, payload={"features": ["x", "y", "z"]})
    with sidecar("--config", file) as running:
        clients = Clients(running)
        clients.send(10)
        until(lambda: running.told("captures", "rows").get("default") == 1000)
        until(lambda: running.ask("/v1/features").json()["variants"])
        found = running.ask("/v1/violations").json()["violations"]
        assert {(each["feature_name"], each["constraint_check_type"]) for each in found} == {
            *((name, "missing_column_check") for name in NAMES),
            *((name, "extra_column_check") for name in ("x", "y", "z")),
        }
        assert drifting(running) == set()
        assert firing(running) == []


def test_values_of_another_type_and_new_columns_are_told_and_disturb_nothing(
    first: Model, reference: Path, tmp_path: Path
) -> None:
    file = settings(tmp_path, first.url, reference={"path": str(reference)}, payload={"features": [*NAMES, "weight"]})
    with sidecar("--config", file) as running:
        clients = Clients(running)
        wrong = [["much", age, hour, None] for _, age, hour in clients.rows(0.0)]
        # The model server takes offence at texts; that is its own affair, and shown to the client as it is.
        assert requests.post(running.url + PREDICT, json={"instances": wrong}, timeout=PATIENCE_S).status_code == 500
        for _ in range(3):
            requests.post(running.url + PREDICT, json={"instances": wrong}, timeout=PATIENCE_S)
        requests.post(running.url + PREDICT, json={"instances": [[1.0], [1.0, 2.0]]}, timeout=PATIENCE_S)
        requests.post(running.url + PREDICT, data=b"{]", timeout=PATIENCE_S)

        until(lambda: drifting(running) == {"amount"})
        until(lambda: running.ask("/v1/violations").json()["violations"])
        found = running.ask("/v1/violations").json()["violations"]
        assert {(each["feature_name"], each["constraint_check_type"]) for each in found} >= {
            ("amount", "data_type_check"),
            ("weight", "extra_column_check"),
        }
        assert sum(running.told("captures", "failures").values()) >= 2
        assert "internal" not in running.told("captures", "failures")


def test_drift_alerts_and_violations_reach_a_collector(
    first: Model, reference: Path, collector: Collector, tmp_path: Path
) -> None:
    variables = {
        "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://{collector.addresses['http/protobuf']}",
        "OTEL_METRIC_EXPORT_INTERVAL": "200",
    }
    file = settings(tmp_path, first.url, reference={"path": str(reference)}, payload={"features": [*NAMES[:2], "x"]})
    with sidecar("--config", file, variables=variables) as running:
        clients = Clients(running)
        clients.send(5, shift=0.8)
        until(lambda: firing(running))
        collector.process.says(r"EventName: sidecar\.alert\nBody: Str\(Data drift in variant default: a\w+, a\w+\)")
        collector.process.says(r"EventName: sidecar\.violation\nBody: Str\(default: hour breaks missing_column_check")
        for name in ("sidecar.drift.evidence", "sidecar.drift.columns", "sidecar.violations", "sidecar.alerts"):
            collector.process.says(rf"-> Name: {re.escape(name)}$")


def test_an_alert_of_a_variant_that_is_removed_is_over(
    first: Model, second: Model, reference: Path, tmp_path: Path
) -> None:
    both = {"one": {"url": first.url}, "two": {"url": second.url, "weight": 0}}
    file = settings(tmp_path, None, reference={"path": str(reference)}, variants=both)
    with sidecar("--config", file) as running:
        clients = Clients(running)
        clients.send(5, shift=0.8)
        until(lambda: firing(running))
        settings(tmp_path, None, reference={"path": str(reference)}, variants={"two": {"url": second.url}})
        until(lambda: not firing(running))
        assert [alert["state"] for alert in running.ask("/v1/alerts").json()["alerts"]] == ["resolved"]
