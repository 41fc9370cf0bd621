from pathlib import Path

import pytest

from sidecar.__main__ import main
from sidecar.demo.fraud.model import NAME
from sidecar.demo.fraud.payments import FEATURES
from sidecar.demo.fraud.scene import HOLD_S, SHOWN, sections
from sidecar.demo.place import Place, write_configuration
from sidecar.demo.receiver import write_secret
from tests.demo.fraud.simulation import Simulated, Trained, trained


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path, tmp_path / "captures", NAME, "127.0.0.1:1", "127.0.0.1:2", "127.0.0.1:3")


@pytest.fixture(scope="module")
def model() -> Trained:
    return trained()


def test_the_configuration_is_one_that_the_sidecar_takes(place: Place, capsys: pytest.CaptureFixture[str]) -> None:
    write_secret(place.secret)
    write_configuration(place, "http://127.0.0.1:4/", sections(place), {"monitor": "quality", "hold_s": HOLD_S})

    assert main(["check", "--config", str(place.configuration)]) == 0
    assert capsys.readouterr().err == ""


def test_what_is_shown_are_features() -> None:
    assert set(SHOWN) <= set(FEATURES)


def test_all_that_is_promised_is_seen_in_a_simulation(model: Trained) -> None:
    run = Simulated(model, seed=1)

    play = run.run(rate=60, seconds=60)

    assert play.plot.faults() == []
    assert [line.partition(" s: ")[2].split()[:2] for line in run.said if line.startswith(">>>")] == [
        ["600", "labelled"],
        ["from", "now"],
        ["the", "sidecar"],
        ["ALERT", "firing,"],
    ]
    assert any(line.startswith("    Concept drift in variant default") for line in run.said)
