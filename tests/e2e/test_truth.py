"""Labels that come late, twice, to another sidecar, while one is killed: every one that was answered counts once."""

import json
import random
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType

import numpy as np
import pytest
import redis
import requests
import yaml
from sklearn.metrics import accuracy_score, confusion_matrix, f1_score, log_loss, recall_score, roc_auc_score

from sidecar.records import JSON
from tests.e2e.rig import PATIENCE_S, Sidecar, environment, refused, sidecar, until
from tests.e2e.test_drift import Receiver
from tests.e2e.upstreams import PREDICT, Model, served
from tests.store.redis_server import RedisServer

NAMES = ("age", "score")
OLD = 40.0
MEMBER = "x-member"
INFERENCE_ID = "X-Amzn-SageMaker-Inference-Id"
DURABLE = ("--appendonly", "yes", "--appendfsync", "always")


@dataclass
class Rows:
    """What was asked, answered and true, of all exchanges so far; one entry for each row."""

    ages: list[float] = field(default_factory=list)
    members: list[bool] = field(default_factory=list)
    scores: list[float] = field(default_factory=list)
    truths: list[int] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.truths)

    def quality(self) -> dict[str, float]:
        truths, scores = np.array(self.truths), np.array(self.scores)
        answers = scores >= 0.5
        return {
            "accuracy": accuracy_score(truths, answers),
            "recall": recall_score(truths, answers),
            "f1": f1_score(truths, answers),
            "auc": roc_auc_score(truths, scores),
            "log_loss": log_loss(truths, scores),
        }

    def bias(self, inside: Sequence[bool]) -> dict[str, float]:
        """Of a group against all others."""
        truths, answers, group = np.array(self.truths), np.array(self.scores) >= 0.5, np.array(inside)
        (_, fp), (fn, tp) = confusion_matrix(truths[~group], answers[~group])
        (_, fp_d), (fn_d, tp_d) = confusion_matrix(truths[group], answers[group])
        n, n_d = (~group).sum(), group.sum()
        return {
            "CI": (n - n_d) / (n + n_d),
            "DPL": (tp + fn) / n - (tp_d + fn_d) / n_d,
            "DPPL": (tp + fp) / n - (tp_d + fp_d) / n_d,
            "DI": ((tp_d + fp_d) / n_d) / ((tp + fp) / n),
            "RD": recall_score(truths[~group], answers[~group]) - recall_score(truths[group], answers[group]),
            "AD": accuracy_score(truths[~group], answers[~group]) - accuracy_score(truths[group], answers[group]),
            "TE": fn_d / fp_d - fn / fp,
        }


class Clients:
    """Ask a model, and learn what was true."""

    def __init__(self) -> None:
        self.rows = Rows()
        self._rng = random.Random(3)

    def ask(
        self, running: Sidecar, headers: Mapping[str, str] = MappingProxyType({}), *, count: int = 1
    ) -> tuple[requests.Response, list[int]]:
        """The reply to so many rows, and the truths; the model says the sum of a row."""
        ages = [self._rng.uniform(20, 60) for _ in range(count)]
        member = self._rng.random() < 0.5
        # The old are turned down, whatever is true.
        asked = [[age, self._rng.uniform(0.0, 0.55 if age > OLD else 1.0) - age] for age in ages]
        lines = {**headers, MEMBER: "yes" if member else "no"}
        reply = requests.post(running.url + PREDICT, json={"instances": asked}, headers=lines, timeout=PATIENCE_S)
        assert reply.status_code == 200
        scores = reply.json()["predictions"]
        truths = [int(self._rng.random() < min(max(score, 0.0), 1.0)) for score in scores]
        self.rows.ages += ages
        self.rows.members += [member] * count
        self.rows.scores += scores
        self.rows.truths += truths
        return reply, truths

    def told(self, running: Sidecar, *, count: int = 1) -> JSON:
        """A label, for an exchange of which nobody knows anything yet."""
        reply, truths = self.ask(running, count=count)
        return {"id": reply.headers["x-request-id"], "label": truths}


def settings(folder: Path, upstream: str, **more: JSON) -> Path:
    file = folder / "sidecar.yaml"
    document = {
        "upstream": upstream,
        "state": str(folder / "state"),
        "capture": {"sample_ratio": 1.0, "headers": ["content-type", MEMBER], "sinks": more.pop("sinks", [])},
        "payload": {"features": list(NAMES), "prediction": ["probability"]},
        "model": {"task": "binary"},
        "monitors": [
            {"kind": "data"},
            {"kind": "quality"},
            {
                "kind": "bias",
                "facets": [{"feature": "age", "above": OLD}, {"header": MEMBER, "values": ["yes"]}],
                "allowed": {"DPPL": [-0.1, 0.1]},
                "least_rows": 20,
            },
        ],
        "alerts": {"rules": [{"monitor": "bias", "hold_s": 0}], "channels": more.pop("channels", [])},
        **more,
    }
    file.write_text(yaml.safe_dump(document))
    return file


def post(running: Sidecar, labels: JSON) -> requests.Response:
    return requests.post(f"http://{running.admin}/v1/labels", json=labels, timeout=PATIENCE_S)


def posted(running: Sidecar, labels: Sequence[JSON]) -> list[str]:
    """What became of each."""
    reply = post(running, labels)
    assert reply.status_code == 200, reply.text
    return [each["status"] for each in reply.json()["labels"]]


def sent(running: Sidecar, source: Path) -> str:
    """What `sidecar labels` says."""
    command = [sys.executable, "-m", "sidecar", "labels", str(source), "--to", f"http://{running.admin}"]
    done = subprocess.run(command, env=environment(), capture_output=True, text=True, timeout=PATIENCE_S, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout + done.stderr


def version(running: Sidecar, page: str) -> JSON:
    """What a page says of the only version there is; None before there is one."""
    found = running.ask(page).json()["variants"]
    return found[0] if found else None


def labelled(running: Sidecar) -> int:
    found = version(running, "/v1/bias")
    return found["labelled"] if found else 0


def counted(running: Sidecar, rows: int) -> tuple[JSON, JSON]:
    """Quality and bias, when the metrics are of so many rows; they are worked out every ten seconds."""

    def look() -> tuple[JSON, ...]:
        graded, compared = version(running, "/v1/quality"), version(running, "/v1/bias")
        if graded is None or compared is None:
            return ()
        assert max(graded["labelled"], compared["labelled"]) <= rows
        lifetime = graded["lifetime"] and graded["lifetime"]["dataset"]["item_count"]
        groups = [group["rows"] + group["other_rows"] for group in compared["groups"]]
        return (graded, compared) if (lifetime, groups) == (rows, [rows, rows]) else ()

    graded, compared = until(look)
    return graded, compared


def assert_same(graded: JSON, compared: JSON, rows: Rows) -> None:
    expected = rows.quality()
    for part in ("window", "lifetime"):
        metrics = graded[part]["binary_classification_metrics"]
        found = {name: metrics[name]["value"] for name in expected}
        # Of all rows so far only the distribution of their scores is kept.
        assert found.pop("auc") == pytest.approx(expected["auc"], abs=1e-9 if part == "window" else 1e-3)
        assert found == pytest.approx({name: each for name, each in expected.items() if name != "auc"}, abs=1e-9)
    for facet, inside in (("age", [age > OLD for age in rows.ages]), (MEMBER, rows.members)):
        reports = (
            compared["lifetime"][name]["facets"] for name in ("pre_training_bias_metrics", "post_training_bias_metrics")
        )
        told = {metric["name"]: metric["value"] for each in reports for metric in each[facet][0]["metrics"]}
        expected = rows.bias(inside)
        assert {name: told[name] for name in expected} == pytest.approx(expected, abs=1e-9)


def kept(running: Sidecar, predictions: int) -> None:
    """Wait until so many have come into the store."""
    until(lambda: running.ask("/v1/quality").json()["labels"]["predictions"] == predictions)


def test_labels_by_every_id_and_every_way_agree_with_scikit_learn(first: Model, tmp_path: Path) -> None:
    captures, labels = tmp_path / "captures", tmp_path / "labels"
    labels.mkdir()
    clients = Clients()
    file = settings(tmp_path, first.url, sinks=[{"kind": "jsonl", "path": str(captures)}])
    with sidecar("--config", file) as running:
        by_request = [clients.told(running) for _ in range(60)]
        by_request += [clients.told(running, count=20) for _ in range(10)]
        by_inference = [
            (name, *clients.ask(running, {INFERENCE_ID: name})) for name in map("mine-{}".format, range(60))
        ]
        by_event = {
            f"asked-{number}": clients.ask(running, {"X-Request-Id": f"asked-{number}"}) for number in range(60)
        }
        exchanges = 190
        until(lambda: running.told("sinks", 0, "delivered") == exchanges)
        kept(running, exchanges)

        assert posted(running, by_request) == ["joined"] * 70
        assert posted(running, by_request) == ["duplicate"] * 70
        lines = [json.dumps({"id": name, "label": truths[0]}) for name, _, truths in by_inference]
        (tmp_path / "labels.jsonl").write_text("\n".join(lines))
        assert "60 joined" in sent(running, tmp_path / "labels.jsonl")
        (labels / "truth.jsonl").write_text("\n".join(ground_truths(captures, by_event)))
        assert "60 joined" in sent(running, labels)
        assert posted(running, [{"id": "nobody", "label": 1}]) == ["waiting"]

        until(lambda: labelled(running) == len(clients.rows) == 380)
    # Metrics are worked out every ten seconds, and at every start.
    with sidecar("--config", file) as running:
        assert_same(*counted(running, 380), clients.rows)


def ground_truths(captures: Path, asked: Mapping[str, tuple[requests.Response, list[int]]]) -> Iterator[str]:
    """SageMaker's lines, by the event ids of what was captured."""
    for file in captures.rglob("*.jsonl"):
        for line in file.read_text().splitlines():
            captured = json.loads(line)
            if found := asked.get(captured["sidecar"]["request_id"]):
                truth = {"data": str(found[1][0]), "encoding": "CSV"}
                event = {"eventId": captured["eventMetadata"]["eventId"]}
                yield json.dumps({"groundTruthData": truth, "eventMetadata": event, "eventVersion": "0"})


def test_a_label_that_was_answered_counts_once_whatever_is_killed(first: Model, tmp_path: Path) -> None:
    file, clients = settings(tmp_path, first.url), Clients()
    answered: list[JSON] = []
    with sidecar("--config", file, code=-9) as running:
        labels = [clients.told(running, count=3) for _ in range(300)]
        kept(running, 300)
        midway = threading.Event()

        def pour() -> None:
            for label in labels:
                try:
                    assert posted(running, [label]) == ["joined"]
                except requests.ConnectionError:
                    return
                answered.append(label)
                if len(answered) == 100:
                    midway.set()

        posting = threading.Thread(target=pour)
        posting.start()
        assert midway.wait(PATIENCE_S)
        running.process.kill()
        posting.join(PATIENCE_S)
    assert 100 <= len(answered) < 300

    with sidecar("--config", file) as running:
        counts = posted(running, labels)
        assert counts[: len(answered)] == ["duplicate"] * len(answered)
        # Of the one that was under way nobody knows.
        assert set(counts[len(answered) + 1 :]) == {"joined"}
        until(lambda: labelled(running) == len(clients.rows))
    with sidecar("--config", file) as running:
        assert_same(*counted(running, len(clients.rows)), clients.rows)


@pytest.fixture
def server() -> Iterator[RedisServer]:
    with RedisServer(*DURABLE) as found:
        yield found


def test_two_sidecars_on_one_redis_know_the_same_and_one_of_them_alerts(
    first: Model, second: Model, server: RedisServer, tmp_path: Path
) -> None:
    took, clients = Receiver(), Clients()
    folders = [tmp_path / name for name in ("one", "other")]
    for folder in folders:
        folder.mkdir()
    with served(took.application) as url:
        more: dict[str, JSON] = {
            "labels": {"kind": "redis", "url": server.url},
            "channels": [{"kind": "webhook", "url": f"{url}/hook"}],
        }
        files = [settings(folder, model.url, **more) for folder, model in zip(folders, (first, second), strict=True)]
        client = redis.Redis(unix_socket_path=str(server.socket))
        with sidecar("--config", files[0], code=-9) as leader:
            until(lambda: client.exists("{sidecar}:lease"))
            with sidecar("--config", files[1]) as follower:
                mine = [clients.told(leader, count=30) for _ in range(10)]
                others = [clients.told(follower, count=30) for _ in range(10)]
                kept(leader, 20)
                assert posted(leader, others) == ["joined"] * 10
                assert posted(follower, mine) == ["joined"] * 10
                assert posted(follower, others) == ["duplicate"] * 10

                for each in (leader, follower):
                    assert_same(*counted(each, 600), clients.rows)
                assert version(follower, "/v1/bias")["violations"]
                until(lambda: took.events)
                (alert,) = alerts(leader)
                assert alert["title"].startswith("Bias drift in variant default")
                assert alerts(follower) == []
                assert [event["data"]["id"] for event in took.events] == [alert["id"]]

                leader.process.kill()
                # As if the fifteen seconds had gone in which it may come back.
                client.delete("{sidecar}:lease")
                until(lambda: len(took.events) > 1)
                (again,) = alerts(follower)
                assert [event["data"]["id"] for event in took.events] == [alert["id"], again["id"]]
                assert again["title"] == alert["title"]


def alerts(running: Sidecar) -> list[JSON]:
    found: list[JSON] = running.ask("/v1/alerts").json()["alerts"]
    return found


def test_while_a_redis_is_stopped_requests_are_served_and_labels_refused(
    first: Model, server: RedisServer, tmp_path: Path
) -> None:
    clients = Clients()
    file = settings(tmp_path, first.url, labels={"kind": "redis", "url": server.url})
    with sidecar("--config", file) as running:
        labels = [clients.told(running) for _ in range(20)]
        kept(running, 20)
        assert posted(running, labels[:10]) == ["joined"] * 10
        until(lambda: labelled(running) == 10)

        server.kill()
        labels += [clients.told(running) for _ in range(20)]
        reply = post(running, labels[10:])
        assert (reply.status_code, reply.headers["Retry-After"]) == (503, "1")
        assert labelled(running) == 10
        assert running.ask("/readyz").status_code == 200

        server.start()
        kept(running, 40)
        assert posted(running, labels) == ["duplicate"] * 10 + ["joined"] * 30
        until(lambda: labelled(running) == 40)
        running.process.says("the store of labels works again")


def test_labels_that_nobody_wants_are_refused(first: Model) -> None:
    with sidecar("--upstream", first.url) as running:
        reply = post(running, [{"id": "r", "label": 1}])
        assert reply.status_code == 409
        assert "expected a monitor of kind quality or bias" in reply.text


def test_a_monitor_of_quality_needs_a_folder(tmp_path: Path) -> None:
    file = tmp_path / "sidecar.yaml"
    document = {"upstream": "http://127.0.0.1:9", "monitors": [{"kind": "quality"}], "model": {"task": "binary"}}
    file.write_text(yaml.safe_dump(document))

    code, words = refused("--config", file)

    assert code == 64
    assert any(line.startswith("state: missing; labels for quality are kept there") for line in words), words
