import json
import sys
from pathlib import Path

import pytest

from sidecar.demo.place import Place, fresh_place, server_command, sidecar_command


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path, tmp_path / "captures", "127.0.0.1:1", "127.0.0.1:2", "127.0.0.1:3")


def test_a_fresh_place_is_a_new_folder_and_three_addresses(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))

    one, other = fresh_place(None), fresh_place(None)

    assert one.folder != other.folder
    assert one.folder.parent == tmp_path
    assert one.model.is_dir()
    assert one.captures == one.folder / "captures"
    assert len({one.server, one.listener, one.admin}) == 3


def test_captures_go_where_the_user_says(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.chdir(tmp_path)

    assert fresh_place(Path("kept")).captures == tmp_path / "kept"


def test_addresses_are_told_as_urls(place: Place) -> None:
    assert place.inference == "http://127.0.0.1:2/v2/models/breast-cancer/infer"
    assert place.server_ready == "http://127.0.0.1:1/v2/models/breast-cancer/ready"
    assert place.sidecar_ready == "http://127.0.0.1:3/readyz"


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
