import socket
from pathlib import Path

import pytest
import requests

from tests.e2e.rig import (
    PATIENCE_S,
    Sidecar,
    environment,
    free_address,
    refused,
    run_command,
    running,
    sidecar,
    until,
    written,
)
from tests.e2e.upstreams import Model, model


def test_each_fault_of_a_bad_file_is_a_line(tmp_path: Path) -> None:
    file = written(
        tmp_path / "sidecar.yaml",
        {"upstreem": "http://m", "listen": "8080", "capture": {"sample_ratio": 2}, "timeouts": {"connect_s": "soon"}},
    )

    code, lines = refused("--config", file)

    assert code == 64
    assert len(lines) == 5
    for path, words in {
        "upstreem": "upstream",
        "upstream": "missing",
        "listen": "host:port",
        "capture.sample_ratio": "2",
        "timeouts.connect_s": "soon",
    }.items():
        assert any(line.startswith(f"{path}: ") and words in line for line in lines), (path, lines)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--no-such-flag"], "no-such-flag"),
        (["--upstream", "http://m", "--admin", "0.0.0.0:9901"], "admin_token_file"),
        (["--upstream", "http://m", "--capture-sinks", "[{kind: jsonn}]"], "jsonl"),
        (["--upstream", "ftp://m"], "http://host:port"),
        ([], "upstream"),
    ],
    ids=["flag", "open admin", "sink", "scheme", "nothing"],
)
def test_bad_flags_are_refused_before_any_port_is_bound(arguments: list[str], words: str) -> None:
    code, lines = refused(*arguments)

    assert code == 64
    assert len(lines) == 1
    assert words in lines[0]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (None, "expected a folder with statistics.json and constraints.json"),
        ('{"features": [{"name": 3}]}', "$.features[0].name"),
    ],
    ids=["none", "broken"],
)
def test_a_reference_that_cannot_be_read_is_refused(tmp_path: Path, text: str | None, words: str) -> None:
    if text is not None:
        (tmp_path / "constraints.json").write_text(text)

    code, lines = refused("--upstream", "http://m", "--reference", str(tmp_path))

    assert code == 64
    assert len(lines) == 1
    assert lines[0].startswith("reference.path: ")
    assert words in lines[0]


@pytest.mark.parametrize("which", ["--listen", "--admin"])
def test_a_port_that_is_taken_is_one_line_and_code_1(which: str) -> None:
    other = "--admin" if which == "--listen" else "--listen"
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        code, lines = refused("--upstream", "http://127.0.0.1:1", which, address, other, "127.0.0.1:0")

    assert code == 1
    assert len(lines) == 1
    assert lines[0].lower() == f"cannot start: {which[2:]}: {address}: address already in use"


def test_it_is_ready_when_an_upstream_answers_and_not_before() -> None:
    address = free_address()

    with sidecar("--upstream", f"http://{address}") as running:
        early = running.ask("/readyz")
        failed = requests.get(running.url, timeout=PATIENCE_S)
        assert running.ask("/healthz").status_code == 200
        with model(port=int(address.rpartition(":")[2])):
            until(lambda: running.ask("/readyz").status_code == 200)
            assert requests.get(running.url, timeout=PATIENCE_S).status_code == 200

    assert (early.status_code, early.json()) == (503, {"ready": False, "reasons": ["no upstream answers"]})
    assert (failed.status_code, failed.json()["error"]["type"]) == (502, "connect_failed")
    assert failed.json()["request_id"] == failed.headers["x-request-id"]


def test_the_admin_side_beyond_loopback_wants_its_token(tmp_path: Path, first: Model) -> None:
    token = tmp_path / "token"
    token.write_text("secret\n")

    with sidecar("--upstream", first.url, "--admin", "0.0.0.0:0", "--admin-token-file", token) as running:
        asked = {
            path: [running.ask(path, **headers).status_code for headers in ({}, {"Authorization": "Bearer secret"})]
            for path in ("/v1/status", "/metrics", "/", "/healthz")
        }
        wrong = running.ask("/v1/status", Authorization="Bearer Secret")

    assert asked == {"/v1/status": [401, 200], "/metrics": [401, 200], "/": [200, 200], "/healthz": [200, 200]}
    assert wrong.status_code == 401
    assert "secret" not in running.process.said


def test_environment_and_flags_configure_as_the_file_does(tmp_path: Path, first: Model) -> None:
    file = written(tmp_path / "sidecar.yaml", {"upstream": "http://127.0.0.1:1", "endpoint": "by-file"})
    variables = {"SIDECAR_UPSTREAM": "http://127.0.0.1:2", "SIDECAR_HEADERS__SERVER_TIMING": "false"}

    with sidecar("--config", file, "--upstream", first.url, variables=variables) as running:
        reply = requests.get(running.url, timeout=PATIENCE_S)

    assert reply.status_code == 200
    assert "Server-Timing" not in reply.headers


def weighed(folder: Path, champion: float, challenger: float, **more: object) -> Path:
    """A configuration with two variants that nobody has to answer for."""
    variants = {
        name: {"url": "http://127.0.0.1:1", "weight": weight}
        for name, weight in (("champion", champion), ("challenger", challenger))
    }
    return written(folder / "sidecar.yaml", {"variants": variants, "state": str(folder / "state"), **more})


def test_weights_that_are_the_rollouts_and_not_the_files_are_told_once(tmp_path: Path) -> None:
    rollout = {"champion": "champion", "challenger": "challenger", "steps": [5, 50], "start": "manual"}
    with sidecar("--config", weighed(tmp_path, 90, 10, rollout=rollout)) as running:
        running.process.says("serving on")
        said = running.process.said

    expected = "weights are set by the rollout, not by the configuration: "
    assert said.count(f"{expected}challenger 0 % (file: 10 %), champion 100 % (file: 90 %)\n") == 1


def test_weights_that_somebody_has_changed_since_are_told_with_the_revision(tmp_path: Path) -> None:
    file = weighed(tmp_path, 9, 1)
    with sidecar("--config", file) as running:
        running.process.says("monitoring$")
        asked = {"variant": "challenger", "percent": 50, "by": "ann"}
        assert requests.post(f"http://{running.admin}/v1/routes/weight", json=asked, timeout=PATIENCE_S).ok
        first = running.process.said
    with sidecar("--config", file) as running:
        running.process.says("serving on")
        again = running.process.said

    assert "weights are" not in first
    assert "weights are those of revision 2, not the configuration's: challenger 50 % (file: 10 %)" in again


def test_where_monitoring_cannot_begin_serving_goes_on_and_health_is_told(first: Model) -> None:
    # What opentelemetry refuses when it is imported.
    variables = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:9", "OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT": "x"}
    command = run_command("--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0", "--upstream", first.url)
    with running(command, environment(**variables)) as process:
        found = Sidecar(process)
        process.says("monitoring could not begin")
        found.ready()

        assert requests.get(found.url, timeout=PATIENCE_S).json()["model"] == "first"
        assert [found.ask(path).status_code for path in ("/healthz", "/readyz", "/metrics")] == [200, 200, 503]
        assert found.stop() == 0
