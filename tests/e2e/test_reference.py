"""A reference learned from captured traffic, and kept or broken by the traffic after it."""

import subprocess
import sys
from pathlib import Path

import requests
import yaml

from tests.e2e.rig import PATIENCE_S, Sidecar, environment, sidecar, until
from tests.e2e.upstreams import PREDICT, Model


def predict(running: Sidecar, rows: list[list[float]]) -> None:
    reply = requests.post(running.url + PREDICT, json={"instances": rows}, timeout=PATIENCE_S)
    assert reply.json()["predictions"] == [sum(row) for row in rows]


def broken(running: Sidecar) -> set[tuple[str, str]]:
    found = running.ask("/v1/violations").json()["violations"]
    return {(each["feature_name"], each["constraint_check_type"]) for each in found}


def test_a_reference_of_captured_traffic_tells_what_changes(first: Model, tmp_path: Path) -> None:
    captures, reference = tmp_path / "captures", tmp_path / "reference"
    sinks = yaml.safe_dump([{"kind": "jsonl", "path": str(captures)}], default_flow_style=True)
    usual: list[list[float]] = [[number, number / 2] for number in range(50)]
    with sidecar("--upstream", first.url, "--capture-sample-ratio", "1", "--capture-sinks", sinks) as running:
        predict(running, usual)
    command = [sys.executable, "-m", "sidecar", "baseline", "--captures", str(captures), "-o", str(reference)]
    done = subprocess.run(command, env=environment(), capture_output=True, text=True, timeout=PATIENCE_S, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == f"{reference}: 50 rows of 3 columns (2 Fractional, 1 Integral)\n"

    with sidecar("--upstream", first.url, "--capture-sample-ratio", "1", "--reference", reference) as running:
        predict(running, usual)
        until(lambda: running.told("captures", "rows").get("default") == 50)
        until(lambda: running.ask("/v1/features").json()["variants"])
        assert broken(running) == set()

        predict(running, [[-0.5, 1.0]])
        until(lambda: broken(running) != set())
        assert broken(running) == {("feature_0", "data_type_check"), ("feature_0", "non_negative_check")}


def test_without_a_reference_there_is_nothing_to_break(first: Model) -> None:
    with sidecar("--upstream", first.url) as running:
        running.ready()
        reply = running.ask("/v1/violations")

    assert reply.status_code == 404
    assert "reference.path" in reply.text
