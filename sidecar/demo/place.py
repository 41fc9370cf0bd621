"""Where everything of a demo is, and with what it is started."""

import json
import os
import shlex
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import yaml

from sidecar.demo.children import Command, free_ports
from sidecar.records import JSON


@dataclass(frozen=True, slots=True)
class Place:
    """Folders, and `host:port` on the loopback.

    Args:
        folder: For all that has no other place.
        captures: Where the sidecar writes its captures.
        name: The model's.
        server: The model server.
        listener: The sidecar, in front of it.
        admin: The sidecar's admin side.
    """

    folder: Path
    captures: Path
    name: str
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
    def state(self) -> Path:
        """What the sidecar is to know after a restart, and predictions that await their labels."""
        return self.folder / "state"

    @property
    def secret(self) -> Path:
        """What the alerts are signed with."""
        return self.folder / "webhook.secret"

    @property
    def dashboard(self) -> str:
        """The page that a browser shows."""
        return f"http://{self.admin}/"

    @property
    def inference(self) -> str:
        """Where clients send rows."""
        return f"http://{self.listener}/v2/models/{self.name}/infer"

    @property
    def server_ready(self) -> str:
        """Answers with 200 when the model is loaded."""
        return f"http://{self.server}/v2/models/{self.name}/ready"

    @property
    def sidecar_ready(self) -> str:
        """Answers with 200 when the sidecar is ready, its upstream included."""
        return f"http://{self.admin}/readyz"


def fresh_place(name: str, captures: Path | None) -> Place:
    """A new temporary folder, and ports that are free now.

    Args:
        name: The model's.
        captures: The folder for captures; None for one in the new folder.
    """
    folder = Path(tempfile.mkdtemp(prefix="sidecar-demo-"))
    addresses = (f"127.0.0.1:{port}" for port in free_ports(3))
    place = Place(folder, captures.resolve() if captures else folder / "captures", name, *addresses)
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


def report_words(place: Place) -> str:
    """The command for a report of what was captured, to be typed by hand; slices of time as short as its demo."""
    words = ("sidecar", "report", place.captures, "--reference", place.reference, "--config", place.configuration)
    return shlex.join([*map(str, words), "--every", "5s", "-o", "report.html"])


def write_configuration(place: Place, webhook: str, sections: Mapping[str, JSON], rule: JSON) -> None:
    """The configuration for `watching_command`.

    Args:
        webhook: Where alerts go.
        sections: What is watched.
        rule: Which findings become alerts.
    """
    document = {
        "upstream": f"http://{place.server}",
        "listen": place.listener,
        "admin": place.admin,
        "capture": {"sample_ratio": 1.0, "sinks": [{"kind": "jsonl", "path": str(place.captures)}]},
        **sections,
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
