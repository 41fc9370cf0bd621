"""What the README says is what the code does."""

import re
from pathlib import Path
from typing import get_args

import pytest

import sidecar
from sidecar.alerts import CHANNELS
from sidecar.cli.lazy import FAMILIES
from sidecar.config.keys import table
from sidecar.config.loading import Source
from sidecar.detectors import DETECTORS
from sidecar.instruments import CLOUDWATCH, INSTRUMENTS
from sidecar.monitors import MONITORS
from sidecar.payload import DECODERS
from sidecar.routing.rollout import TRANSITIONS, Event, Phase
from sidecar.sinks import SINKS

PACKAGE = Path(sidecar.__file__).parent
README = (PACKAGE.parent / "README.md").read_text(encoding="utf-8")


def test_every_key_of_the_configuration_is_in_the_readme() -> None:
    assert table({path: FAMILIES[path] for path in FAMILIES if path != "payload.format"}) in README


@pytest.mark.parametrize("name", INSTRUMENTS)
def test_every_metric_is_in_the_readme(name: str) -> None:
    instrument = INSTRUMENTS[name]
    unit = f"`{instrument.unit}`" if instrument.unit else ""
    assert f"| `{name}` | {instrument.kind} | {unit} | {instrument.description} |" in README


@pytest.mark.parametrize("name", CLOUDWATCH)
def test_every_name_of_cloudwatch_is_in_the_readme(name: str) -> None:
    instrument = CLOUDWATCH[name]
    unit = f"`{instrument.unit}`" if instrument.unit else ""
    assert f"| `{name}` | {instrument.kind} | {unit} | {instrument.description} |" in README


@pytest.mark.parametrize("example", re.findall(r"```yaml\n(.*?)```", README, re.DOTALL))
def test_the_readmes_configurations_are_accepted(tmp_path: Path, example: str) -> None:
    file = tmp_path / "sidecar.yaml"
    file.write_text(example, encoding="utf-8")
    flags = {} if "variants:" in example else {"upstream": "http://127.0.0.1:8081"}

    Source(path=str(file), flags=flags).load(FAMILIES)


def test_the_rollouts_table_is_in_the_readme() -> None:
    events = get_args(Event)
    rows = [["", *(f"`{event}`" for event in events)], ["---"] * (len(events) + 1)]
    for phase in get_args(Phase):
        after = [TRANSITIONS.get((phase, event)) for event in events]
        rows.append([f"`{phase}`", *(f"`{each}`" if each else "·" for each in after)])
    assert "\n".join(f"| {' | '.join(row)} |" for row in rows) in README


def test_the_readmes_picture_shows_every_module() -> None:
    picture = README[README.index("```\nsidecar/\n") : README.index("Imports point down this picture")]
    shown = set(re.findall(r"\w+", picture))
    modules = {path.stem for path in (*PACKAGE.glob("*.py"), *PACKAGE.glob("*/"))} - {"__init__", "__pycache__"}
    assert modules - shown == set()


def test_the_readmes_commands_come_first() -> None:
    commands = re.findall(r"```sh\n(.*?)\n```", README, re.DOTALL)
    assert commands[0].endswith("sidecar demo --seconds 30")
    assert commands[1].endswith("pytest")


@pytest.mark.parametrize("family", [CHANNELS, DECODERS, DETECTORS, MONITORS, SINKS])
def test_every_registered_part_has_a_docstring(family: dict[str, type]) -> None:
    assert all((part.__doc__ or "").strip() for part in family.values())
