"""Where everything of a demo is, and with what it is started."""

import json
import os
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from sidecar.demo import model
from sidecar.demo.children import Command, free_ports


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
    return Command(
        name="sidecar",
        arguments=(sys.executable, "-m", "sidecar", "run", *(word for flag in flags.items() for word in flag)),
        folder=Path.cwd(),
        environment=_environment_without("SIDECAR_"),
        log=place.folder / "sidecar.log",
    )


def _environment_without(prefix: str) -> dict[str, str]:
    """This process's, without what would outweigh the demo's own settings."""
    return {name: value for name, value in os.environ.items() if not name.upper().startswith(prefix)}
