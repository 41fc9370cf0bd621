"""What holds for the end-to-end tests."""

import os
import re
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.e2e.rig import Process, environment, free_address, missing, program, running
from tests.e2e.upstreams import Model, model

ALERTMANAGER = "route: {receiver: nobody}\nreceivers: [{name: nobody}]\n"


@pytest.fixture(autouse=True, scope="session")
def _no_proxy_between() -> Iterator[None]:
    """Clients that heed the environment's proxies connect to where they are told here."""
    with pytest.MonkeyPatch.context() as patch:
        for name in set(os.environ) - set(environment()):
            patch.delenv(name)
        yield


@pytest.fixture
def first() -> Iterator[Model]:
    """A model server."""
    with model("first") as found:
        yield found


@pytest.fixture
def second() -> Iterator[Model]:
    """Another one."""
    with model("second") as found:
        yield found


class Collector(NamedTuple):
    """A running collector and its addresses by protocol."""

    process: Process
    addresses: dict[str, str]


@pytest.fixture
def collector() -> Iterator[Collector]:
    found = find_spec("rotel")
    if found is None or not found.submodule_search_locations:
        missing("rotel")
    agent = Path(found.submodule_search_locations[0], "rotel-agent")
    addresses = {"grpc": free_address(), "http/protobuf": free_address()}
    command: list[str | Path] = [
        agent, "start", "--exporter", "blackhole", "--debug-log", "metrics", "--debug-log", "logs",
        "--debug-log-verbosity", "detailed",
        "--otlp-grpc-endpoint", addresses["grpc"], "--otlp-http-endpoint", addresses["http/protobuf"],
    ]  # fmt: skip
    with running(command, environment()) as process:
        if re.search("libpython.*cannot open shared object", _beginning(process)):
            missing("libpython3.11")
        yield Collector(process, addresses)


def _beginning(process: Process) -> str:
    process.says("Starting Rotel|error while loading")
    return process.said


@pytest.fixture
def alertmanager(tmp_path: Path) -> Iterator[str]:
    """A running Alertmanager's URL."""
    address, file = free_address(), tmp_path / "alertmanager.yaml"
    file.write_text(ALERTMANAGER)
    command: list[str | Path] = [
        program("prometheus-alertmanager"), f"--config.file={file}", f"--storage.path={tmp_path}",
        f"--web.listen-address={address}", "--web.route-prefix=/prefix", "--cluster.listen-address=",
    ]  # fmt: skip
    with running(command, environment()) as process:
        process.says("Listening on|TLS is disabled")
        yield f"http://{address}/prefix"
