"""Serving survives what happens to monitoring: in each test every client's reply is right."""

import fcntl
import gzip
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import requests
import yaml

from sidecar.records import JSON
from tests.e2e.rig import PATIENCE_S, Sidecar, environment, missing, program, run_command, sidecar, until
from tests.e2e.traffic import REQUESTS, nested, predict_many, predicting, table
from tests.e2e.upstreams import PREDICT, Model, digest, scripted

MIB = 1 << 20

PIPE_BYTES = 4096
"""The least that a pipe can hold."""

FAILURES = 60
"""Told one by one, as many as a minute has: several times what the pipe holds."""


def keeping(folder: Path, **options: object) -> list[str]:
    """The flags that capture every exchange into this folder."""
    sinks = yaml.safe_dump([{"kind": "jsonl", "path": str(folder), **options}], default_flow_style=True)
    return ["--capture-sample-ratio", "1", "--capture-sinks", sinks]


def lines(folder: Path) -> list[JSON]:
    """Everything captured; each line of each file parses."""
    return [json.loads(line) for file in folder.rglob("*.jsonl") for line in file.read_text().splitlines()]


def settled(running: Sidecar, exchanges: int) -> JSON:
    """The status when this many exchanges have come to their end: delivered, failed, or dropped on the way."""

    def look() -> JSON:
        status = running.status()
        sink, captures = status["sinks"][0], status["captures"]
        ended = sink["delivered"] + sink["failed"] + sink["dropped"] + sum(captures["dropped"].values())
        assert ended <= exchanges
        return status if ended == exchanges else None

    return until(look)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 256 KiB."""
    folder = tmp_path / "small"
    folder.mkdir()
    done = subprocess.run([program("mount"), "-t", "tmpfs", "-o", "size=256k", "none", folder], check=False)
    if done.returncode:
        missing("the right to mount")
    yield folder
    subprocess.run([program("umount"), "--lazy", folder], check=True)


def test_a_full_disk_and_one_that_has_room_again(first: Model, small_disk: Path) -> None:
    filler = small_disk / "filler"
    filler.write_bytes(bytes(200 << 10))
    captures = small_disk / "captures"

    with sidecar("--upstream", first.url, *keeping(captures)) as running:
        predict_many(running.url)
        full = settled(running, REQUESTS)["sinks"][0]
        kept = lines(captures)
        filler.unlink()
        predict_many(running.url, 20)
        again = settled(running, REQUESTS + 20)["sinks"][0]

    assert "No space left on device" in full["last_error"]
    assert full["failed"] > 0
    assert len(kept) == full["delivered"]
    assert again["failed"] == full["failed"]
    assert len(lines(captures)) == again["delivered"] == full["delivered"] + 20


def test_a_file_that_may_grow_no_further(first: Model, tmp_path: Path) -> None:
    with sidecar(
        "--upstream", first.url, *keeping(tmp_path / "captures"), command=[program("prlimit"), "--fsize=262144"]
    ) as running:
        predict_many(running.url)
        sink = settled(running, REQUESTS)["sinks"][0]

    assert "File too large" in sink["last_error"]
    assert sink["failed"] > 0
    assert len(lines(tmp_path)) == sink["delivered"] > 0


def test_a_folder_of_captures_that_is_removed_is_made_again(first: Model, tmp_path: Path) -> None:
    captures = tmp_path / "captures"

    with sidecar("--upstream", first.url, *keeping(captures)) as running:
        with predicting(running.url):
            for _ in range(5):
                until(lambda: list(captures.rglob("*.jsonl")))
                shutil.rmtree(captures, ignore_errors=True)
        until(lambda: not running.told("captures", "waiting"))
        removed = running.told("sinks", 0, "delivered")
        predict_many(running.url, 20)
        until(lambda: running.told("sinks", 0, "delivered") >= removed + 20)
        assert len(lines(captures)) >= 20


@pytest.mark.parametrize("trouble", ["a file", "no permission"])
def test_a_folder_that_cannot_be_written_costs_captures_only(first: Model, tmp_path: Path, trouble: str) -> None:
    captures = tmp_path / "captures"
    if trouble == "a file":
        captures.write_text("not a folder")
    else:
        captures = Path("/proc/captures")  # root could write into any folder that merely forbids it

    with sidecar("--upstream", first.url, *keeping(captures)) as running:
        predict_many(running.url)
        sink = settled(running, REQUESTS)["sinks"][0]
        assert running.ask("/v1/features").json()["variants"][0]["features"]

    assert (sink["delivered"], sink["failed"] + sink["dropped"]) == (0, REQUESTS)
    assert str(captures) in sink["last_error"]


def test_a_folder_replaced_by_a_file_and_back(first: Model, tmp_path: Path) -> None:
    captures = tmp_path / "captures"

    with sidecar("--upstream", first.url, *keeping(captures)) as running, predicting(running.url):
        until(lambda: running.told("sinks", 0, "delivered"))
        shutil.rmtree(captures, ignore_errors=True)
        until(lambda: _replaced(captures))
        until(lambda: running.told("sinks", 0, "failed"))
        captures.unlink()
        delivered = running.told("sinks", 0, "delivered")
        until(lambda: running.told("sinks", 0, "delivered") > delivered)


def _replaced(folder: Path) -> bool:
    """Whether there is a file in place of the folder; the sidecar may be quicker and make its folder again."""
    try:
        folder.write_text("not a folder")
    except IsADirectoryError:
        shutil.rmtree(folder, ignore_errors=True)
        return False
    return True


def test_a_killed_sidecar_leaves_whole_lines_and_the_next_one_goes_on(first: Model, tmp_path: Path) -> None:
    arguments = ["--upstream", first.url, *keeping(tmp_path)]
    body = table(100)  # a line longer than a page is written under a hidden name

    with sidecar(*arguments, code=-signal.SIGKILL) as running, requests.Session() as session:
        for _ in range(100):
            session.post(running.url, data=body, timeout=PATIENCE_S)
        delivered = until(lambda: running.told("sinks", 0, "delivered"))
        running.process.send(signal.SIGKILL)
        running.process.ends()
    assert len(lines(tmp_path)) in range(101)
    with sidecar(*arguments) as running:
        predict_many(running.url, 20)

    assert len(lines(tmp_path)) >= delivered + 20
    assert not [file for file in tmp_path.rglob("*") if file.suffix == ".part"]


def _bomb() -> bytes:
    """100 MiB in 100 KiB."""
    packer = zlib.compressobj(9, wbits=31)
    return b"".join([*(packer.compress(bytes(MIB)) for _ in range(100)), packer.flush()])


BODIES: dict[str, tuple[bytes, dict[str, str]]] = {
    "no json": (b"{" * 100, {}),
    "no text": (os.urandom(4096), {}),
    "nothing": (b"", {}),
    "another shape": (b'{"instances": {"a": 1}}', {}),
    "ragged": (b'{"instances": [[1, 2], [3], "x", null, {"a": [1]}]}', {}),
    "huge numbers": (b'{"instances": [[1e400, -1e400, 1' + b"0" * 5000 + b"]]}", {}),
    "NaN": (b'{"instances": [[NaN, Infinity, -Infinity]]}', {}),
    "surrogates": (rb'{"instances": [["\ud800", "\u0000"]]}', {}),
    "deep": (nested(100_000), {}),
    "large": (table(600_000), {}),
    "bomb": (_bomb(), {"Content-Encoding": "gzip"}),
    "no gzip": (b"\x1f\x8b" + bytes(100), {"Content-Encoding": "gzip"}),
    "cut gzip": (gzip.compress(table(1000))[:-20], {"Content-Encoding": "gzip"}),
    "unknown coding": (b"abc", {"Content-Encoding": "sdch"}),
}


@pytest.mark.parametrize("max_body_bytes", [MIB, 64 * MIB], ids=["1 MiB", "64 MiB"])
def test_bodies_that_nobody_can_read(first: Model, tmp_path: Path, max_body_bytes: int) -> None:
    large = ["--capture-max-body-bytes", str(max_body_bytes), "--capture-buffer-bytes", str(512 * MIB)]

    with sidecar("--upstream", first.url, *keeping(tmp_path), *large) as running:
        with predicting(running.url):
            for name, (body, headers) in BODIES.items():
                reply = requests.post(
                    f"{running.url}/v1/models/{name.replace(' ', '_')}:predict",
                    data=body,
                    headers={"Content-Type": "application/json", **headers},
                    timeout=PATIENCE_S,
                )
                assert (reply.json()["size"], reply.json()["sha256"]) == (len(body), digest(body)), name
        captures = until(lambda: _all_seen(running.told("captures")))

    too_large = {"too_large"} if max_body_bytes > MIB else set()
    assert captures["failures"].keys() == {"empty", "format", "json", "shape", "withheld"} | too_large
    assert captures["dropped"] == {}


def _all_seen(captures: JSON) -> JSON:
    """The counts when everything offered was captured or dropped."""
    return captures if captures["captured"] + sum(captures["dropped"].values()) == captures["offered"] else None


@pytest.mark.parametrize("protocol", ["http/protobuf", "grpc"])
def test_a_collector_that_is_away(first: Model, protocol: str) -> None:
    # A port that is taken, and on which nobody listens: a free one may become the sidecar's own.
    bound = socket.socket()
    bound.bind(("127.0.0.1", 0))
    variables = exporting(f"127.0.0.1:{bound.getsockname()[1]}", protocol) | {"OTEL_METRIC_EXPORT_TIMEOUT": "200"}

    with bound, sidecar("--upstream", first.url, variables=variables) as running:
        predict_many(running.url)
        exporter = until(lambda: (found := running.told("exporters", 0))["failed"] and found)
        predict_many(running.url)

    assert exporter["delivered"] == 0
    assert exporter["last_error"]
    assert running.process.said.count("metrics export fails") == 1


def test_a_collector_that_hangs(first: Model) -> None:
    def read_only(connection: socket.socket) -> None:
        while connection.recv(65536):
            pass

    with (
        scripted(read_only) as address,
        sidecar("--upstream", first.url, variables=exporting(address, "http/protobuf")) as running,
        predicting(running.url),
    ):
        exporter = until(lambda: (found := running.told("exporters", 0))["dropped"] and found)

    assert exporter["delivered"] == 0


def exporting(address: str, protocol: str) -> dict[str, str]:
    """The variables that send metrics there, twenty times a second."""
    return {
        "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://{address}",
        "OTEL_EXPORTER_OTLP_PROTOCOL": protocol,
        "OTEL_METRIC_EXPORT_INTERVAL": "50",
    }


def test_a_stderr_that_nobody_reads(first: Model) -> None:
    with unread("--upstream", first.url, "--log-format", "json", "--capture-sample-ratio", "1") as (process, url):
        with requests.Session() as session:
            for _ in range(FAILURES):
                reply = session.post(url + PREDICT, json={"instances": ["no row"]}, timeout=PATIENCE_S)
                assert reply.status_code == 500
        predict_many(url, 20)
        process.terminate()
        assert process.wait(PATIENCE_S) == 0
        assert process.stderr
        rest = [json.loads(line) for line in process.stderr]
    assert [line.get("event") for line in rest].count("sidecar.exchange.failed") > 1


@contextmanager
def unread(*arguments: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """A sidecar whose words are read until it monitors and then no more, through the least of pipes; and its URL."""
    command = run_command("--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0", *arguments)
    with subprocess.Popen(list(map(str, command)), stderr=subprocess.PIPE, env=environment(), text=True) as process:
        try:
            assert process.stderr
            fcntl.fcntl(process.stderr, fcntl.F_SETPIPE_SZ, PIPE_BYTES)
            said = ""
            while '"monitoring"' not in said:
                said += process.stderr.readline()
            yield process, f"http://{re.findall('serving on ([0-9.:]+)', said)[0]}"
        finally:
            process.kill()
