"""A small fraud model with everything around it, for what people look at: two versions, a reference, labels, groups.

Payments come from a generator with a seed of their own; the truth is drawn with them, so that labels can be told.
"""

import csv
import json
import math
import random
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import requests
from aiohttp import web

from sidecar.records import JSON
from tests.e2e.rig import PATIENCE_S, Sidecar, environment, sidecar, until, written
from tests.e2e.upstreams import served

PREDICT = "/v1/models/fraud:predict"
FEATURES = ("amount", "hour", "age_days", "distance_km", "merchant", "gender")
MERCHANTS = ("grocer", "travel", "games", "fuel")
BATCH = 50
TRAINING_ROWS = 4000
ALARMING = ("sequential", "performance", "rollback")
CHAMPION, CHALLENGER = "champion", "challenger"

Payment = dict[str, float | str]


def payment(rng: random.Random, *, shift: float = 0.0) -> Payment:
    """One of them; a shift is of the logarithm of its amount, in standard deviations."""
    return {
        "amount": round(math.exp(3.5 + 0.9 * (rng.gauss() + shift)), 2),
        "hour": rng.randrange(24),
        "age_days": round(rng.expovariate(1 / 400), 1),
        "distance_km": round(rng.expovariate(1 / 30), 2),
        "merchant": rng.choices(MERCHANTS, (5, 1, 2, 2))[0],
        "gender": rng.choice("fm"),
    }


def risk(asked: Payment) -> float:
    """The probability that it is fraud."""
    odds = -5.2 + 0.9 * math.log(float(asked["amount"])) + 0.02 * float(asked["distance_km"])
    odds += {"games": 1.2, "travel": 0.6}.get(str(asked["merchant"]), 0.0) - 0.001 * float(asked["age_days"])
    return 1 / (1 + math.exp(-odds))


class FraudModel:
    """Answers as well as it can be known, or with so much noise in its odds.

    Args:
        noise: Of a poorer version.
    """

    def __init__(self, noise: float = 0.0) -> None:
        self._noise, self._rng = noise, random.Random(5)

    def application(self) -> web.Application:
        application = web.Application(client_max_size=1 << 24)
        application.router.add_post(PREDICT, self._predict)
        return application

    async def _predict(self, request: web.Request) -> web.Response:
        rows = json.loads(await request.read())["instances"]
        return web.json_response({"predictions": [self._answer(row) for row in rows]})

    def _answer(self, row: Payment) -> JSON:
        share = risk(row)
        odds = math.log(share / (1 - share)) + self._noise * self._rng.gauss()
        probability = 1 / (1 + math.exp(-odds))
        return {"label": int(probability > 0.5), "probability": round(probability, 6)}


@dataclass
class Payments:
    """Sends payments, and tells later what they were."""

    running: Sidecar
    rng: random.Random = field(default_factory=lambda: random.Random(7))
    sent: int = 0
    _truths: list[tuple[str, list[int]]] = field(default_factory=list)

    def send(self, batches: int, *, shift: float = 0.0) -> None:
        """So many requests of BATCH rows."""
        for _ in range(batches):
            rows = [payment(self.rng, shift=shift) for _ in range(BATCH)]
            self.post(rows)

    def post(self, rows: Sequence[Payment], **headers: str) -> None:
        """One request."""
        self.sent += 1
        name = f"payment-{self.sent}"
        reply = requests.post(
            self.running.url + PREDICT,
            json={"instances": rows},
            headers={"x-request-id": name, "x-user": f"u{self.sent % 97}", **headers},
            timeout=PATIENCE_S,
        )
        assert reply.status_code == 200, reply.text
        self._truths.append((name, [int(self.rng.random() < risk(row)) for row in rows]))

    def tell(self) -> Sequence[JSON]:
        """Post what the payments were of which nothing was told yet; the labels."""
        labels, self._truths = [{"id": name, "label": truth} for name, truth in self._truths], []
        reply = requests.post(f"http://{self.running.admin}/v1/labels", json=labels, timeout=PATIENCE_S)
        assert reply.status_code == 200, reply.text
        return labels


@dataclass(frozen=True)
class Stage:
    """What is running.

    Args:
        folder: Of its state, captures and reference.
    """

    running: Sidecar
    payments: Payments
    folder: Path

    @property
    def page(self) -> str:
        return f"http://{self.running.admin}/"

    def order(self, command: str) -> None:
        """Of the rollout."""
        url = f"http://{self.running.admin}/v1/rollout"
        reply = requests.post(url, json={"order": command, "by": "ada"}, timeout=PATIENCE_S)
        assert reply.status_code == 200, reply.text

    def counted(self) -> None:
        """Wait until all rows that were sent are counted."""
        wanted = self.payments.sent * BATCH

        def look() -> bool:
            drift = self.running.ask("/v1/drift").json()
            return bool(sum(each["rows"] for each in drift["variants"]) >= wanted)

        until(look)


def learn(folder: Path) -> Path:
    """A reference of training data."""
    rng, data = random.Random(1), folder / "train.csv"
    with data.open("w", newline="") as file:
        table = csv.DictWriter(file, FEATURES)
        table.writeheader()
        table.writerows(payment(rng) for _ in range(TRAINING_ROWS))
    command = [sys.executable, "-m", "sidecar", "baseline", str(data), "-o", str(folder / "reference")]
    subprocess.run(command, env=environment(), check=True, capture_output=True, timeout=PATIENCE_S)
    return folder / "reference"


def configuration(folder: Path, champion: str, challenger: str, **more: JSON) -> JSON:
    """Everything that there is to look at."""
    return {
        "endpoint": "fraud",
        "state": str(folder / "state"),
        "variants": {
            CHAMPION: {"url": champion, "version": "1", "weight": 80},
            CHALLENGER: {"url": challenger, "version": "2", "weight": 20},
        },
        "capture": {
            "sample_ratio": 1.0,
            "headers": ["content-type", "x-user"],
            "sinks": [{"kind": "jsonl", "path": str(folder / "captures")}],
        },
        "payload": {"redact": ["/instances/*/card_number"]},
        "reference": {"path": str(folder / "reference")},
        "model": {"task": "binary", "prediction": "label", "probabilities": ["probability"], "positive": "1"},
        "monitors": [
            {"kind": "data", "window": {"rows": 1000, "panes": 5}},
            {"kind": "quality"},
            {"kind": "bias", "facets": [{"feature": "gender", "values": ["f"]}]},
        ],
        "experiment": {"name": "noise", "champion": CHAMPION, "measures": [{"kind": "quality"}, {"kind": "errors"}]},
        "alerts": {"rules": [{"check": each, "hold_s": 0} for each in ALARMING]},
        **more,
    }


@contextmanager
def fraud_stage(folder: Path, **more: JSON) -> Iterator[Stage]:
    """Two versions of the model behind a sidecar that knows what is usual.

    Args:
        more: Of the configuration.
    """
    learn(folder)
    with (
        served(FraudModel().application) as good,
        served(partial(FraudModel, 3.0)().application) as poor,
        sidecar("--config", written(folder / "sidecar.yaml", configuration(folder, good, poor, **more))) as running,
    ):
        running.ready()
        yield Stage(running, Payments(running), folder)
