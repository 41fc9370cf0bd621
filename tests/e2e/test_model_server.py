"""A real model server, MLServer with a scikit-learn classifier, behind the sidecar."""

import json
import statistics
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests

from sidecar.demo.model import NAME, Trained, body, train, write_settings
from sidecar.records import JSON
from tests.e2e.rig import PATIENCE_S, Sidecar, environment, free_address, running, sidecar, until

ROWS = 40
PATH = f"/v2/models/{NAME}/infer"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("model")


@pytest.fixture(scope="module")
def trained(folder: Path) -> Trained:
    return train(folder)


@pytest.fixture(scope="module")
def mlserver(folder: Path, trained: Trained) -> Iterator[str]:
    """Its URL."""
    assert trained.accuracy > 0.9
    address = free_address()
    write_settings(folder, NAME, int(address.rpartition(":")[2]))
    script = "import sys; from mlserver.cli import main; sys.argv = ['mlserver', 'start', '.']; main()"
    with running([sys.executable, "-c", script], environment(), folder) as process:

        def ready() -> bool:
            assert process.process.poll() is None, process.said
            try:
                return requests.get(f"http://{address}/v2/models/{NAME}/ready", timeout=PATIENCE_S).ok
            except requests.ConnectionError:
                return False

        until(ready)
        yield f"http://{address}"


@pytest.fixture(scope="module")
def captures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("captures")


@pytest.fixture(scope="module")
def between(mlserver: str, captures: Path) -> Iterator[Sidecar]:
    sinks = json.dumps([{"kind": "jsonl", "path": str(captures)}])
    with sidecar("--upstream", mlserver, "--capture-sample-ratio", "1", "--capture-sinks", sinks) as found:
        yield found


def infer(url: str, trained: Trained, row: int) -> requests.Response:
    return requests.post(
        url + PATH,
        data=body(trained.features, trained.rows[row]),
        headers={"Content-Type": "application/json", "x-request-id": f"row-{row}"},
        timeout=PATIENCE_S,
    )


def test_a_model_is_watched_while_it_serves(mlserver: str, between: Sidecar, trained: Trained, captures: Path) -> None:
    between.ready()
    direct = [infer(mlserver, trained, row).json()["outputs"] for row in range(ROWS)]
    replies = [infer(between.url, trained, row) for row in range(ROWS)]

    assert [reply.json()["outputs"] for reply in replies] == direct
    until(lambda: between.told("captures", "rows") == {"default": ROWS})
    _features_are_those_of_the_rows(between.ask("/v1/features").json(), trained, direct)
    metrics = between.ask("/metrics").text.splitlines()
    series = [line for line in metrics if line.startswith("http_server_request_duration_seconds_count{")]
    answered = [line for line in series if 'http_response_status_code="200"' in line]
    assert [line.rpartition(" ")[2] for line in answered] == [str(ROWS)]
    assert 'http_route="/v2/models/{model}/infer"' in answered[0]
    until(lambda: between.told("sinks", 0, "delivered") == between.told("captures", "offered"))
    _captures_are_what_was_sent(captures, trained, replies)


def _features_are_those_of_the_rows(told: JSON, trained: Trained, direct: list[JSON]) -> None:
    variant = told["variants"][0]
    columns = {column["name"]: column["window"] for column in variant["features"]}
    assert list(columns) == list(trained.features)
    for number, name in enumerate(trained.features):
        values = [row[number] for row in trained.rows[:ROWS]]
        assert (columns[name]["rows"], columns[name]["missing"]) == (ROWS, 0)
        assert columns[name]["mean"] == pytest.approx(statistics.fmean(values), rel=1e-9)
        assert (columns[name]["min"], columns[name]["max"]) == (min(values), max(values))
    predicted = {column["name"]: column["window"] for column in variant["predictions"]}
    labels = [output["data"][0] for outputs in direct for output in outputs if output["name"] == "predict"]
    assert predicted["predict"]["mean"] == pytest.approx(statistics.fmean(labels))


def _captures_are_what_was_sent(captures: Path, trained: Trained, replies: list[requests.Response]) -> None:
    lines = [json.loads(line) for file in captures.rglob("*.jsonl") for line in file.read_text().splitlines()]
    found = {line["sidecar"]["request_id"]: line["captureData"] for line in lines}
    assert len(lines) == len(found)
    for row, reply in enumerate(replies):
        capture = found[f"row-{row}"]
        assert capture["endpointInput"]["data"] == body(trained.features, trained.rows[row]).decode()
        assert capture["endpointOutput"]["data"] == reply.text
        assert {half["encoding"] for half in capture.values()} == {"JSON"}


def test_what_the_model_refuses_is_refused_in_its_own_words(mlserver: str, between: Sidecar) -> None:
    refusals = [
        requests.post(url + path, data=data, headers={"Content-Type": "application/json"}, timeout=PATIENCE_S)
        for path, data in ((PATH, "{"), (PATH, '{"inputs": []}'), ("/v2/models/none/infer", "{}"))
        for url in (mlserver, between.url)
    ]

    said = [(reply.status_code, reply.text) for reply in refusals]
    assert said[::2] == said[1::2]
    assert all(status >= 400 for status, _ in said)
