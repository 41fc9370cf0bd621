import json
import shlex
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from sidecar.__main__ import main
from sidecar.demo.place import (
    Place,
    fresh_place,
    reference_command,
    report_words,
    server_command,
    sidecar_command,
    watching_command,
    write_configuration,
)
from sidecar.demo.receiver import write_secret


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path, tmp_path / "captures", "breast-cancer", "127.0.0.1:1", "127.0.0.1:2", "127.0.0.1:3")


def test_a_fresh_place_is_a_new_folder_and_three_addresses(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))

    one, other = fresh_place("iris", None), fresh_place("iris", None)

    assert one.folder != other.folder
    assert one.folder.parent == tmp_path
    assert one.model.is_dir()
    assert one.captures == one.folder / "captures"
    assert len({one.server, one.listener, one.admin}) == 3


def test_captures_go_where_the_user_says(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.chdir(tmp_path)

    assert fresh_place("iris", Path("kept")).captures == tmp_path / "kept"


def test_addresses_are_told_as_urls(place: Place) -> None:
    assert place.inference == "http://127.0.0.1:2/v2/models/breast-cancer/infer"
    assert place.server_ready == "http://127.0.0.1:1/v2/models/breast-cancer/ready"
    assert place.sidecar_ready == "http://127.0.0.1:3/readyz"
    assert place.dashboard == "http://127.0.0.1:3/"


def test_the_report_is_told_as_one_would_type_it(place: Place) -> None:
    words = shlex.split(report_words(replace(place, captures=Path("/tmp/my captures"))))

    assert words[:3] == ["sidecar", "report", "/tmp/my captures"]
    assert dict(zip(words[3::2], words[4::2], strict=True)) == {
        "--reference": str(place.reference),
        "--config": str(place.configuration),
        "--every": "5s",
        "-o": "report.html",
    }


def test_the_sidecar_is_started_as_one_would_by_hand(place: Place) -> None:
    command = sidecar_command(place)

    words = list(command.arguments)
    assert words[:4] == [sys.executable, "-m", "sidecar", "run"]
    flags = dict(zip(words[4::2], words[5::2], strict=True))
    assert json.loads(flags.pop("--capture-sinks")) == [{"kind": "jsonl", "path": str(place.captures)}]
    assert flags == {
        "--upstream": "http://127.0.0.1:1",
        "--listen": "127.0.0.1:2",
        "--admin": "127.0.0.1:3",
        "--capture-sample-ratio": "1",
    }


def test_the_user_s_own_settings_do_not_reach_the_demo(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SIDECAR_CONFIG", "mine.yaml")
    monkeypatch.setenv("MLSERVER_HTTP_PORT", "80")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:4")

    assert "SIDECAR_CONFIG" not in sidecar_command(place).environment
    assert sidecar_command(place).environment["OTEL_EXPORTER_OTLP_ENDPOINT"] == "http://127.0.0.1:4"
    assert "MLSERVER_HTTP_PORT" not in server_command(place).environment


def test_the_reference_is_made_as_one_would_by_hand(place: Place) -> None:
    words = list(reference_command(place).arguments)

    assert words == [
        *[sys.executable, "-m", "sidecar", "baseline", f"{place.folder}/training.csv"],
        *["--output", f"{place.folder}/reference"],
    ]


def test_with_a_reference_the_sidecar_is_started_on_a_file(place: Place) -> None:
    words = list(watching_command(place).arguments)

    assert words[3:] == ["run", "--config", f"{place.folder}/sidecar.yaml", "--reference", f"{place.folder}/reference"]


def test_the_configuration_holds_what_is_watched_and_who_is_told(place: Place) -> None:
    write_configuration(place, "http://127.0.0.1:4/", {"monitors": [{"kind": "data"}]}, {"monitor": "data"})

    document = yaml.safe_load(place.configuration.read_text())
    assert document["monitors"] == [{"kind": "data"}]
    assert document["alerts"] == {
        "rules": [{"monitor": "data"}],
        "channels": [{"kind": "webhook", "url": "http://127.0.0.1:4/", "secret_file": str(place.secret)}],
    }
    assert document["capture"]["sample_ratio"] == 1.0


def test_the_configuration_is_one_that_the_sidecar_takes(place: Place, capsys: pytest.CaptureFixture[str]) -> None:
    write_secret(place.secret)
    write_configuration(place, "http://127.0.0.1:4/", {"state": str(place.state)}, {"check": "sequential"})

    assert main(["check", "--config", str(place.configuration)]) == 0
    assert capsys.readouterr().err == ""
