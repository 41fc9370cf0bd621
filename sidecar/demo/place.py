"""Where everything of a demo is, and with what it is started."""

import json
import os
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

import yaml

from sidecar.demo import model
from sidecar.demo.children import Command, free_ports

HOLD_S, RESOLVE_S = 2.0, 5.0
"""Of the demo's alert rule: short, for a screen that somebody watches."""

FALSE_ALARMS_PER = 1_000_000
"""Rows in which one false alarm is allowed: the default, written out for who reads the demo's configuration."""

HOLD_ROWS = 100
"""The shifted features are found within 50 rows of each other, and belong into one alert: twice that at a low rate."""


@dataclass(frozen=True, slots=True)
class Place:
    """Folders, and `host:port` on the loopback.

    Args:
        folder: For all that has no other place.
        captures: Where the sidecar writes its captures.
        server: The model server.
        listener: The sidecar, in front of it.
        admin: The sidecar's admin side.
    """

    folder: Path
    captures: Path
    server: str
    listener: str
    admin: str

    @property
    def model(self) -> Path:
        """What MLServer serves."""
        return self.folder / "model"

    @property
    def rows(self) -> Path:
        """The rows that the model was trained on."""
        return self.folder / "training.csv"

    @property
    def reference(self) -> Path:
        """The folder of what is made of them."""
        return self.folder / "reference"

    @property
    def configuration(self) -> Path:
        """The sidecar's, where flags would be too many."""
        return self.folder / "sidecar.yaml"

    @property
    def secret(self) -> Path:
        """What the alerts are signed with."""
        return self.folder / "webhook.secret"

    @property
    def inference(self) -> str:
        """Where clients send rows."""
        return f"http://{self.listener}{model.PATH}"

    @property
    def server_ready(self) -> str:
        """Answers with 200 when the model is loaded."""
        return f"http://{self.server}/v2/models/{model.NAME}/ready"

    @property
    def sidecar_ready(self) -> str:
        """Answers with 200 when the sidecar is ready, its upstream included."""
        return f"http://{self.admin}/readyz"


def fresh_place(captures: Path | None) -> Place:
    """A new temporary folder, and ports that are free now.

    Args:
        captures: The folder for captures; None for one in the new folder.
    """
    folder = Path(tempfile.mkdtemp(prefix="sidecar-demo-"))
    addresses = (f"127.0.0.1:{port}" for port in free_ports(3))
    place = Place(folder, captures.resolve() if captures else folder / "captures", *addresses)
    place.model.mkdir()
    return place


def server_command(place: Place) -> Command:
    """MLServer, on what `model` has written."""
    program = "from mlserver.cli import main; main()"  # what its console script does
    return Command(
        name="MLServer",
        arguments=(sys.executable, "-c", program, "start", str(place.model)),
        folder=place.model,
        environment=_environment_without("MLSERVER_"),
        log=place.folder / "mlserver.log",
    )


def sidecar_command(place: Place) -> Command:
    """The sidecar before MLServer, as one would start it by hand."""
    flags = {
        "--upstream": f"http://{place.server}",
        "--listen": place.listener,
        "--admin": place.admin,
        "--capture-sample-ratio": "1",
        "--capture-sinks": json.dumps([{"kind": "jsonl", "path": str(place.captures)}]),
    }
    return _command(place, "sidecar", "run", *(word for flag in flags.items() for word in flag))


def reference_command(place: Place) -> Command:
    """What makes the reference of the training rows, as one would by hand."""
    return _command(place, "reference", "baseline", str(place.rows), "--output", str(place.reference))


def watching_command(place: Place) -> Command:
    """The sidecar before MLServer, with a reference and somebody to tell."""
    flags = ("--config", str(place.configuration), "--reference", str(place.reference))
    return _command(place, "sidecar", "run", *flags)


def write_configuration(place: Place, webhook: str, rate: float) -> None:
    """The configuration for `watching_command`.

    Args:
        webhook: Where alerts go.
        rate: Rows per second.
    """
    held_s = HOLD_ROWS / rate
    rule = {"check": "sequential", "hold_s": max(HOLD_S, held_s), "resolve_s": max(RESOLVE_S, held_s)}
    document = {
        "upstream": f"http://{place.server}",
        "listen": place.listener,
        "admin": place.admin,
        "capture": {"sample_ratio": 1.0, "sinks": [{"kind": "jsonl", "path": str(place.captures)}]},
        "monitors": [{"kind": "data", "false_alarms_per": FALSE_ALARMS_PER}],
        "alerts": {
            "rules": [rule],
            "channels": [{"kind": "webhook", "url": webhook, "secret_file": str(place.secret)}],
        },
    }
    place.configuration.write_text(yaml.safe_dump(document, sort_keys=False))


def _command(place: Place, name: str, *words: str) -> Command:
    """A command of `sidecar`."""
    return Command(
        name=name,
        arguments=(sys.executable, "-m", "sidecar", *words),
        folder=Path.cwd(),
        environment=_environment_without("SIDECAR_"),
        log=place.folder / f"{name}.log",
    )


def _environment_without(prefix: str) -> dict[str, str]:
    """This process's, without what would outweigh the demo's own settings."""
    return {name: value for name, value in os.environ.items() if not name.upper().startswith(prefix)}
