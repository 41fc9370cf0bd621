"""What a model's answers rest on: carried by its replies, or found by few calls of our own; changed, found, told."""

import json
import random
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests
import yaml
from aiohttp import web

from sidecar.records import JSON
from tests.e2e.rig import PATIENCE_S, Sidecar, refused, sidecar, until
from tests.e2e.upstreams import PREDICT, served

NAMES = ("amount", "age", "hour")
RULES = [{"monitor": "attribution", "hold_s": 0, "resolve_s": 0}]


class Linear:
    """A linear model that explains its answers, and tells our calls from clients'."""

    def __init__(self) -> None:
        self.url = ""
        self.weights = (0.7, 0.5, 0.05)
        self.calls = 0
        self.requests = 0
        self.slow = threading.Event()

    def application(self) -> web.Application:
        application = web.Application()
        application.router.add_post(PREDICT, self._predict)
        return application

    async def _predict(self, request: web.Request) -> web.Response:
        rows = json.loads(await request.read())["instances"]
        if "x-sidecar-explanation" in request.headers:
            self.calls += 1
            if self.slow.is_set():
                return web.Response(status=503)
        else:
            self.requests += 1
        added = [[weight * cell for weight, cell in zip(self.weights, row, strict=True)] for row in rows]
        return web.json_response(
            {
                "predictions": [sum(each) for each in added],
                "why": [dict(zip(NAMES, each, strict=True)) for each in added],
            }
        )


@pytest.fixture
def linear() -> Iterator[Linear]:
    found = Linear()
    with served(found.application) as url:
        found.url = url
        yield found


def settings(folder: Path, upstream: str, monitor: JSON, **more: JSON) -> Path:
    document = {
        "upstream": upstream,
        "capture": {"sample_ratio": 1.0},
        "payload": {"features": list(NAMES)},
        "monitors": [{"kind": "attribution", **monitor}],
        "alerts": {"rules": RULES},
        **more,
    }
    file = folder / "sidecar.yaml"
    file.write_text(yaml.safe_dump(document))
    return file


def send(running: Sidecar, count: int) -> None:
    rng = random.Random(count)
    for _ in range(count):
        rows = [[rng.gauss() for _ in NAMES] for _ in range(10)]
        reply = requests.post(running.url + PREDICT, json={"instances": rows}, timeout=PATIENCE_S)
        assert reply.status_code == 200


def after(running: Sidecar) -> bool:
    """Once there is more to explain."""
    send(running, 2)
    return True


def told(running: Sidecar) -> JSON:
    """What is known of the only version; None before there is one."""
    found = running.ask("/v1/attribution").json()["variants"]
    return found[0] if found else None


def test_what_replies_carry_is_ranked_and_a_change_is_an_alert_that_outlives_a_restart(
    linear: Linear, tmp_path: Path
) -> None:
    monitor = {"pointer": "/why", "reference_rows": 500, "rows": 500}
    file = settings(tmp_path, linear.url, monitor, state=str(tmp_path / "state"))
    with sidecar("--config", file) as running:
        send(running, 100)
        until(lambda: (found := told(running)) and found["ranking"])
        assert told(running)["ranking"]["ndcg"] > 0.99
        assert told(running)["violations"] == []

        linear.weights = (0.05, 0.5, 0.7)
        send(running, 50)
        (alert,) = until(lambda: running.ask("/v1/alerts?state=firing").json()["alerts"])
        assert (alert["monitor"], alert["check"]) == ("attribution", "feature_attribution_drift_check")
        assert {"amount", "hour"} <= {each["name"] for each in alert["features"]}
        assert "mean |attribution|" in json.dumps(alert)
        assert told(running)["violations"][0]["constraint_check_type"] == "feature_attribution_drift_check"
        assert linear.calls == 0
    with sidecar("--config", file) as running:
        until(lambda: (found := told(running)) and found["ranking"])
        assert told(running)["ranking"]["drifted"]
        assert [each["id"] for each in running.ask("/v1/alerts?state=firing").json()["alerts"]] == [alert["id"]]


def test_calls_of_our_own_explain_and_are_no_traffic(linear: Linear, tmp_path: Path) -> None:
    reference = {"path": str(tmp_path / "reference"), "learn_rows": 200}
    monitor = {"calls_per_minute": 600, "reference_rows": 50, "rows": 50}
    file = settings(tmp_path, linear.url, monitor, reference=reference)
    document = yaml.safe_load(file.read_text())
    document["monitors"].append({"kind": "data"})
    file.write_text(yaml.safe_dump(document))
    with sidecar("--config", file) as running:
        send(running, 30)
        until(lambda: running.ask("/v1/reference").json()["rows"])
        until(lambda: after(running) and linear.calls >= 5)
        values = until(lambda: (found := told(running)) and found["rows"] and found)["reference"]["analysis"]
        assert running.told("captures", "offered") == linear.requests
        assert list(values["explanations"]["kernel_shap"]) == ["label0"]
        assert running.ask("/v1/attribution").json()["calls"]["failed"] == 0

        linear.slow.set()
        until(lambda: after(running) and running.ask("/v1/attribution").json()["calls"]["failed"])
        assert running.told("captures", "offered") == linear.requests


def test_without_the_monitor_nothing_is_called_and_nothing_known(linear: Linear) -> None:
    with sidecar("--upstream", linear.url) as running:
        send(running, 5)
        assert running.ask("/v1/attribution").status_code == 404
        assert linear.calls == 0


def test_a_reference_that_is_none_is_refused_by_its_place(tmp_path: Path) -> None:
    file = settings(tmp_path, "http://127.0.0.1:1", {"reference": str(tmp_path / "none.json")})
    code, words = refused("--config", file)
    assert code != 0
    assert any("monitors[0].reference: expected a file that can be read" in line for line in words)
