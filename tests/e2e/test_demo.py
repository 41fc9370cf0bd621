import json
import os
import re
import shlex
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from sidecar.demo.rows import SHIFTED

DEMO = (sys.executable, "-m", "sidecar", "demo")
LIMIT_S = 120.0


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    return {**os.environ, "TMPDIR": str(tmp_path)}


def _left_behind(folder: Path) -> list[str]:
    """Processes that were started with a path of this demo."""
    running = [process.info["cmdline"] or [] for process in psutil.process_iter(["cmdline"])]
    return [" ".join(words) for words in running if any(str(folder) in word for word in words)]


def test_a_demo_shows_a_real_model_and_leaves_its_captures_only(tmp_path: Path, environment: dict[str, str]) -> None:
    captures = tmp_path / "kept"

    done = subprocess.run(
        [*DEMO, "--seconds", "5", "--rate", "20", "--captures", str(captures)],
        env=environment,
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
        check=False,
    )

    assert (done.returncode, done.stderr) == (0, "")
    summary = dict(re.findall(r"^(\w[\w ]+?)  +(.*)$", done.stdout, re.MULTILINE))
    requests, errors = map(int, re.findall(r"(\d+) in .*, (\d+) errors", summary["requests"])[0])
    assert requests > 0
    assert errors == 0
    assert re.fullmatch(r"p50 \d.*s, p99 \d.*s", summary["duration"])
    assert summary["statistics"] == f"of {requests} rows"
    assert summary["captures"] == f"{requests:,} lines in 1 file, kept in {captures}"
    assert "mean radius: mean 1" in done.stdout
    lines = [json.loads(line) for file in captures.rglob("*.jsonl") for line in file.read_text().splitlines()]
    assert {_outputs(line) for line in lines} == {("predict", "predict_proba")}
    assert _left_behind(tmp_path) == []


def _outputs(line: dict[str, dict[str, dict[str, str]]]) -> tuple[str, ...]:
    reply = json.loads(line["captureData"]["endpointOutput"]["data"])
    return tuple(output["name"] for output in reply["outputs"])


def test_a_demo_that_is_ended_while_it_starts_leaves_no_process(tmp_path: Path, environment: dict[str, str]) -> None:
    with subprocess.Popen(DEMO, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as demo:
        assert demo.stdout is not None
        while "starting MLServer" not in demo.stdout.readline():
            assert demo.poll() is None
        demo.send_signal(signal.SIGTERM)
        _, error = demo.communicate(timeout=LIMIT_S)

    assert demo.returncode == 1
    assert error.startswith("sidecar demo: stopped before the first request; logs are in ")
    assert _left_behind(tmp_path) == []


def test_a_demo_of_drift_shows_one_alert_of_the_shifted_features_and_its_end(
    tmp_path: Path, environment: dict[str, str]
) -> None:
    done = subprocess.run(
        [*DEMO, "--drift", "--seconds", "24", "--rate", "100"],
        env=environment,
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
        check=False,
    )

    assert (done.returncode, done.stderr) == (0, ""), done.stdout
    events = re.findall(
        r"^>>> [\d.]+ s: (from now on|the sidecar has found|ALERT \w+|nothing)", done.stdout, re.MULTILINE
    )
    assert events == [
        *("from now on", "the sidecar has found", "ALERT firing"),
        *("from now on", "nothing", "ALERT resolved"),
    ]
    firing, resolved = re.findall(
        r"^    ((?:Resolved: )?Data drift in variant default): (.*)$", done.stdout, re.MULTILINE
    )
    assert (firing[0], sorted(firing[1].split(", "))) == ("Data drift in variant default", sorted(SHIFTED))
    assert resolved[0] == "Resolved: Data drift in variant default"
    assert set(resolved[1].split(", ")) <= set(SHIFTED)
    summary = dict(re.findall(r"^(\w[\w ]+?)  +(.*)$", done.stdout, re.MULTILINE))
    (rows,) = map(int, re.findall(r"^within (\d+) rows", summary["found"]))
    assert rows < 300
    assert summary["notices"] == "1 firing, 1 resolved"
    assert "not shown" not in summary
    assert _left_behind(tmp_path) == []
    assert _reported(summary["report"], tmp_path) == int(summary["statistics"].split()[1])


def _reported(command: str, folder: Path) -> int:
    """The rows of the report that the demo says how to make; it finds what the demo has shown, and that it is over."""
    _, *words = shlex.split(command)
    made = [sys.executable, "-m", "sidecar", *words, "-o", "report.json"]
    done = subprocess.run(made, cwd=folder, capture_output=True, text=True, timeout=LIMIT_S, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    (variant,) = json.loads((folder / "report.json").read_text(encoding="utf-8"))["variants"]
    assert {name for each in variant["past"] for name in SHIFTED if name in each["sentence"]} == set(SHIFTED)
    assert (folder / "report.html").exists()
    rows: int = variant["rows"]
    return rows


def test_a_demo_of_fraud_shows_concept_drift_once_and_calls_the_retraining(
    tmp_path: Path, environment: dict[str, str]
) -> None:
    done = subprocess.run(
        [*DEMO, "--fraud", "--seconds", "70", "--rate", "60"],
        env=environment,
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
        check=False,
    )

    assert (done.returncode, done.stderr) == (0, ""), done.stdout
    events = re.findall(
        r"^>>> [\d.]+ s: (600 labelled payments|from now on|the sidecar has found|ALERT \w+)", done.stdout, re.MULTILINE
    )
    assert events == ["600 labelled payments", "from now on", "the sidecar has found", "ALERT firing"]
    summary = dict(re.findall(r"^(\w[\w ]+?)  +(.*)$", done.stdout, re.MULTILINE))
    assert summary["alert"].startswith("Concept drift in variant default: ")
    assert summary["cause"].startswith("labels are not what the inputs make one expect, ")
    (labels,) = map(int, re.findall(r"^with (\d+) labels of payments since the change", summary["found"]))
    assert labels < 1000
    assert float(summary["right"].split()[0]) < 95
    assert summary["webhook"] == "called once, its signature right"
    assert "not shown" not in summary
    assert _left_behind(tmp_path) == []
