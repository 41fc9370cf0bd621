import json
import os
import re
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console

from sidecar.demo.children import Command
from sidecar.demo.demo import judged, require, run
from sidecar.demo.ending import DemoError
from sidecar.demo.place import Place
from sidecar.demo.screen import Screen
from sidecar.demo.stage import Options

PROGRAM = """
import http.server, json, os, signal, sys, threading

settings = json.loads(sys.argv[1])

class Answers(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        kind = "ready" if "ready" in self.path else self.path
        self.answer(settings.get("statuses", {}).get(kind, 200), settings.get(self.path, {}))
        if kind == "ready" and "ends_when_ready" in settings:
            os._exit(settings["ends_when_ready"])
        self.tell(kind)

    def do_POST(self):
        self.rfile.read(int(self.headers["content-length"]))
        self.answer(200, {})
        self.tell("row")

    def tell(self, kind):
        if number := settings.get("signals", {}).pop(kind, None):
            os.kill(os.getppid(), number)

    def answer(self, status, document):
        text = json.dumps(document).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(text)))
        self.send_header("X-Request-Id", "given")
        self.end_headers()
        self.wfile.write(text)
        self.wfile.flush()

    def log_message(self, *words):
        pass

servers = [http.server.ThreadingHTTPServer(("127.0.0.1", port), Answers) for port in settings["ports"]]
for server in servers[1:]:
    threading.Thread(target=server.serve_forever).start()
servers[0].serve_forever()
"""
"""Stands for both children; it tells its parent signals when told to."""

TIMES = {"p50": 0.004, "p99": 0.008}
WINDOW = {"rows": 7, "missing": 0, "mean": 14.1, "std": 3.5, "quantiles": {"0.5": 13.0}}
STATUS = {
    "variants": [{"duration_s": TIMES, "overhead_s": TIMES}],
    "captures": {"rows": {"default": 7}, "dropped": {}},
}
FEATURES = {"variants": [{"features": [{"name": "mean radius", "window": WINDOW}], "predictions": []}]}
DRIFT = {"variants": [{"rows": 7, "columns": [{"name": "mean radius", "drift": None, "evidence_nats": 2.5}]}]}
QUALITY = {"labels": {"awaiting": 40, "posted": {}}, "variants": []}

Play = Callable[..., int]


def _port(address: str) -> int:
    return int(address.rpartition(":")[2])


def _command(name: str, place: Place, **settings: object) -> Command:
    arguments = (sys.executable, "-c", PROGRAM, json.dumps(settings))
    return Command(name, arguments, place.folder, dict(os.environ), place.folder / f"{name}.log")


@pytest.fixture
def play(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Play:
    """Runs the demo with children that do as they are told; `server` and `sidecar` are their settings."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.setattr("sidecar.demo.screen.LINES_EVERY_S", 0.02)
    monkeypatch.setattr("sidecar.demo.stage.SETTLE_LOOKS", 1)

    def play(
        seconds: float | None = None,
        server: dict[str, object] | None = None,
        sidecar: dict[str, object] | None = None,
        *,
        drift: bool = False,
        fraud: bool = False,
    ) -> int:
        def server_command(place: Place) -> Command:
            return _command("server", place, ports=[_port(place.server)], **(server or {}))

        def sidecar_command(place: Place) -> Command:
            told = {"/v1/status": STATUS, "/v1/features": FEATURES, "/v1/drift": DRIFT, "/v1/quality": QUALITY}
            told |= sidecar or {}
            return _command("sidecar", place, ports=[_port(place.listener), _port(place.admin)], **told)

        monkeypatch.setattr("sidecar.demo.demo.server_command", server_command)
        monkeypatch.setattr("sidecar.demo.scenes.sidecar_command", sidecar_command)
        monkeypatch.setattr("sidecar.demo.scenes.watching_command", sidecar_command)
        monkeypatch.setattr("sidecar.demo.fraud.scene.watching_command", sidecar_command)
        return run(Options(rate=1000.0, seconds=seconds, captures=None, drift=drift, fraud=fraud))

    return play


def test_a_demo_ends_after_its_time_with_a_summary(
    play: Play, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    assert play(seconds=0.2) == 0

    out, err = capsys.readouterr()
    (folder,) = tmp_path.iterdir()
    assert "started server in " in out
    assert f"captures      {folder}/captures" in out
    assert re.search(r"^  dashboard     http://127\.0\.0\.1:\d+/$", out, re.MULTILINE)
    assert "sidecar report" not in out  # there is no reference
    assert " | p50 4.0 ms, p99 8.0 ms | of it the sidecar's 4.0 ms, 8.0 ms | mean radius: mean 14.1" in out
    assert out.splitlines()[-2:] == [
        "statistics  of 7 rows",
        f"captures    no lines in no files, kept in {folder}/captures",
    ]
    assert err == ""


@pytest.mark.parametrize("number", [2, 15])
def test_a_signal_ends_a_demo_with_a_summary(number: int, play: Play, capsys: pytest.CaptureFixture[str]) -> None:
    assert play(sidecar={"signals": {"/v1/status": number}}) == 0

    assert "\nstatistics  of 7 rows\n" in capsys.readouterr().out


def test_a_signal_ends_a_demo_that_has_not_begun(play: Play, capsys: pytest.CaptureFixture[str]) -> None:
    assert play(server={"statuses": {"ready": 503}, "signals": {"ready": 15}}) == 1

    assert capsys.readouterr().err.startswith("sidecar demo: stopped before the first request; logs are in ")


def test_a_child_that_ends_ends_the_demo(play: Play, capsys: pytest.CaptureFixture[str]) -> None:
    assert play(server={"ends_when_ready": 4}) == 1

    assert capsys.readouterr().err.startswith("sidecar demo: server: ended with exit code 4; the end of its log, ")


def test_rows_that_all_arrived_are_not_waited_for(play: Play, capsys: pytest.CaptureFixture[str]) -> None:
    captures = {"rows": {"default": 10**9}, "dropped": {}}

    assert play(seconds=0.1, sidecar={"/v1/status": {**STATUS, "captures": captures}}) == 0
    assert "\nstatistics  of 1000000000 rows\n" in capsys.readouterr().out


def test_an_admin_side_that_fails_ends_the_demo(play: Play, capsys: pytest.CaptureFixture[str]) -> None:
    assert play(sidecar={"statuses": {"/v1/features": 500}}) == 1

    assert "/v1/features: cannot be read (" in capsys.readouterr().err


def test_what_is_installed_is_not_missed() -> None:
    require(("json", "os"))

    with pytest.raises(DemoError, match=r"^no_such_module, nor_this: not installed, expected pip install 'sidecar"):
        require(("json", "no_such_module", "nor_this"))


def test_what_the_report_needs_is_told_where_it_is_not_installed(
    play: Play, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sidecar.demo.stage.WATCH_S", 0.02)
    monkeypatch.setattr("sidecar.demo.demo.REPORT_EXTRA", ("no_such_module",))

    play(seconds=0.1, drift=True)

    assert " -o report.html\n            which needs pip install 'sidecar[report]'\n" in capsys.readouterr().out


def test_a_demo_of_drift_that_nobody_finds_has_failed(
    play: Play, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.setattr("sidecar.demo.stage.WATCH_S", 0.02)

    assert play(seconds=0.8, drift=True) == 1

    (folder,) = tmp_path.iterdir()
    out, err = capsys.readouterr()
    assert f"{folder}/reference: 341 rows of 30 columns (30 Fractional)\n" in out
    assert " s of shifted ones, then usual ones again, 0.8 s in all\n" in out
    assert f"\nreport      sidecar report {folder}/captures --reference {folder}/reference --config " in out
    assert " | usual rows | no drift; most evidence: mean radius 2.5 of 13.8 nats\n" in out
    assert " s: from now on 3 features are higher by 1 standard deviation: mean texture (+4.27), " in out
    assert out.splitlines()[-5:] == [
        "notices     0 firing, 0 resolved",
        "not shown   0 notices of a firing alert, expected 1",
        "not shown   the demo ended before the rows were as usual again",
        "not shown   0 notices of a resolved alert, expected 1",
        f"logs        {folder}",
    ]
    assert err == ""


def test_a_demo_of_drift_goes_on_until_it_is_told_to_end(play: Play, capsys: pytest.CaptureFixture[str]) -> None:
    assert play(sidecar={"signals": {"/v1/features": 2}}, drift=True) == 1

    assert "15 s of usual rows, 15 s of shifted ones, then usual ones again, until Ctrl-C\n" in capsys.readouterr().out


def test_a_reference_that_cannot_be_made_ends_the_demo(
    play: Play, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def command(place: Place) -> Command:
        return replace(_command("reference", place), arguments=(sys.executable, "-c", "raise SystemExit('no disk')"))

    monkeypatch.setattr("sidecar.demo.stage.reference_command", command)

    assert play(seconds=0.2, drift=True) == 1
    assert capsys.readouterr().err.splitlines()[1:] == ["  no disk"]


def test_a_demo_of_fraud_that_nobody_finds_has_failed(
    play: Play, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.setattr("sidecar.demo.stage.WATCH_S", 0.02)

    assert play(seconds=0.4, fraud=True) == 1

    (folder,) = tmp_path.iterdir()
    out, err = capsys.readouterr()
    assert f"{folder}/reference: 6000 rows of 8 columns (6 Fractional, 2 String)\n" in out
    assert (
        " | learning what is usual | 0 labels joined, 40 awaited | 0 of 600 for the reference | inputs: no drift" in out
    )
    assert (
        "\nnot shown   the demo ended before fraud changed, with 0 of 600 labelled payments of the reference\n" in out
    )
    assert out.splitlines()[-1] == f"logs        {folder}"
    assert err == ""


def test_a_demo_whose_plot_was_seen_has_succeeded(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    class Seen:
        shown = "all of it"

        def summary(self) -> list[str]:
            return ["found       soon"]

        def faults(self) -> list[str]:
            return []

    place = Place(tmp_path, tmp_path, "iris", "127.0.0.1:1", "127.0.0.1:2", "127.0.0.1:3")

    assert judged(Seen(), place, Screen(Console())) == 0
    assert capsys.readouterr().out == "found       soon\n            all of it\n"
