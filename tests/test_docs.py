"""What the README says is what the code does."""

import re
from pathlib import Path

import pytest

import sidecar
from sidecar.cli.lazy import FAMILIES
from sidecar.config.keys import table
from sidecar.config.loading import Source
from sidecar.instruments import INSTRUMENTS
from sidecar.payload import DECODERS
from sidecar.sinks import SINKS

PACKAGE = Path(sidecar.__file__).parent
README = (PACKAGE.parent / "README.md").read_text(encoding="utf-8")


def test_every_key_of_the_configuration_is_in_the_readme() -> None:
    assert table({"capture.sinks": FAMILIES["capture.sinks"]}) in README


@pytest.mark.parametrize("name", INSTRUMENTS)
def test_every_metric_is_in_the_readme(name: str) -> None:
    instrument = INSTRUMENTS[name]
    unit = f"`{instrument.unit}`" if instrument.unit else ""
    assert f"| `{name}` | {instrument.kind} | {unit} | {instrument.description} |" in README


def test_the_readmes_configuration_is_accepted(tmp_path: Path) -> None:
    example = re.search(r"```yaml\n(.*?)```", README, re.DOTALL)
    assert example
    file = tmp_path / "sidecar.yaml"
    file.write_text(example[1], encoding="utf-8")
    config = Source(path=str(file)).load(FAMILIES)
    assert list(config.variants) == ["champion", "challenger"]


def test_the_readmes_picture_shows_every_module() -> None:
    picture = README[README.index("```\nsidecar/\n") : README.index("Imports point down this picture")]
    shown = set(re.findall(r"\w+", picture))
    modules = {path.stem for path in (*PACKAGE.glob("*.py"), *PACKAGE.glob("*/"))} - {"__init__", "__pycache__"}
    assert modules - shown == set()


def test_the_readmes_commands_come_first() -> None:
    commands = re.findall(r"```sh\n(.*?)\n```", README, re.DOTALL)
    assert commands[0].endswith("sidecar demo --seconds 30")
    assert commands[1].endswith("pytest")


@pytest.mark.parametrize("family", [DECODERS, SINKS])
def test_every_registered_part_has_a_docstring(family: dict[str, type]) -> None:
    assert all((part.__doc__ or "").strip() for part in family.values())
