"""What the end-to-end tests stand on: real processes, whose words are read as they come.

Whatever a test did to a sidecar, leaving `sidecar(...)` proves that it ends as it should when told to, and that nothing
in it ended in a traceback.
"""

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NoReturn, TypeVar

import pytest
import requests
import yaml

from sidecar.records import JSON

T = TypeVar("T")

PATIENCE_S = 60.0
"""What takes longer hangs."""

LOOK_S = 0.01
"""Between two looks at what only a question can tell."""

_FOREIGN = re.compile(r"(OTEL_|SIDECAR_|ROTEL_).*|(https?|all|no)_proxy|SSL_CERT_.*|.*_CA_BUNDLE", re.IGNORECASE)


def environment(**more: str) -> dict[str, str]:
    """This process's variables without those that would lead what is under test elsewhere, and with these."""
    return {name: value for name, value in os.environ.items() if not _FOREIGN.fullmatch(name)} | more


def missing(what: str) -> NoReturn:
    """End a test that cannot run here: as a failure in CI, where a skip would pass for a success."""
    if os.environ.get("CI"):
        pytest.fail(f"{what} is missing")
    pytest.skip(f"{what} is missing")


def program(name: str) -> str:
    """Where a program of the system is."""
    found = shutil.which(name)
    if found is None:
        missing(name)
    return found


def until(look: Callable[[], T]) -> T:
    """What `look` returns, as soon as it is something."""
    deadline_s = time.monotonic() + PATIENCE_S
    while not (found := look()):
        assert time.monotonic() < deadline_s, f"waited {PATIENCE_S:g} s in vain, the last look found {found!r}"
        threading.Event().wait(LOOK_S)
    return found


def free_address() -> str:
    """An address that nobody listens on; for programs that cannot choose one and tell it."""
    with socket.create_server(("127.0.0.1", 0)) as found:
        return f"127.0.0.1:{found.getsockname()[1]}"


class Process:
    """A running program in a group of its own, and what it has said so far."""

    def __init__(self, command: Sequence[str | Path], variables: Mapping[str, str], folder: Path | None = None) -> None:
        self.process = subprocess.Popen(
            list(map(str, command)),
            env=variables,
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            start_new_session=True,
        )
        self._lines: list[str] = []
        self._ended = False
        self._news = threading.Condition()
        self._reading = threading.Thread(target=self._read, daemon=True)
        self._reading.start()

    def _read(self) -> None:
        assert self.process.stdout
        with self.process.stdout as output:
            for line in output:
                with self._news:
                    self._lines.append(line)
                    self._news.notify_all()
        with self._news:
            self._ended = True
            self._news.notify_all()

    @property
    def said(self) -> str:
        with self._news:
            return "".join(self._lines)

    def says(self, pattern: str, start: int = 0) -> re.Match[str]:
        """Wait for words that match, from this character on."""
        with self._news:
            found = self._news.wait_for(
                lambda: re.search(pattern, "".join(self._lines)[start:], re.MULTILINE) or self._ended, PATIENCE_S
            )
            assert isinstance(found, re.Match), f"never said {pattern!r}:\n{''.join(self._lines)}"
            return found

    def send(self, number: int) -> None:
        self.process.send_signal(number)

    def ends(self) -> int:
        """Wait for its end; the exit code."""
        code = self.process.wait(PATIENCE_S)
        self._reading.join(PATIENCE_S)
        return code

    def kill(self) -> None:
        with suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.ends()


@contextmanager
def running(
    command: Sequence[str | Path], variables: Mapping[str, str] | None = None, folder: Path | None = None
) -> Iterator[Process]:
    """A process that does not outlive the block."""
    process = Process(command, environment() if variables is None else variables, folder)
    try:
        yield process
    finally:
        process.kill()


class Sidecar:
    """A running sidecar."""

    def __init__(self, process: Process) -> None:
        self.process = process
        self.admin = process.says(r"admin on (\S+)$")[1]
        self.address = process.says(r"serving on (\S+)$")[1]

    @property
    def url(self) -> str:
        return f"http://{self.address}"

    @property
    def port(self) -> int:
        return int(self.address.rpartition(":")[2])

    def ask(self, path: str, **headers: str) -> requests.Response:
        """The admin side's reply."""
        return requests.get(f"http://{self.admin}{path}", headers=headers, timeout=PATIENCE_S)

    def status(self) -> JSON:
        return self.ask("/v1/status").json()

    def told(self, *path: str | int) -> JSON:
        """A value of `/v1/status`."""
        found = self.status()
        for step in path:
            found = found[step]
        return found

    def ready(self) -> None:
        until(lambda: self.ask("/readyz").status_code == 200)

    def connect(self) -> socket.socket:
        host, _, port = self.address.rpartition(":")
        return socket.create_connection((host, int(port)), PATIENCE_S)

    def reload(self, *, by: str = "configuration [0-9]+ in force") -> None:
        """Ask it to read its configuration again, and wait until it says so."""
        said = len(self.process.said)
        self.process.send(signal.SIGHUP)
        self.process.says(by, said)

    def stop(self) -> int:
        """Tell it to end; the exit code."""
        self.process.send(signal.SIGTERM)
        return self.process.ends()


def run_command(*arguments: str | Path) -> list[str | Path]:
    return [sys.executable, "-m", "sidecar", "run", *arguments]


@contextmanager
def sidecar(
    *arguments: str | Path,
    command: Sequence[str | Path] = (),
    code: int = 0,
    variables: Mapping[str, str] | None = None,
) -> Iterator[Sidecar]:
    """A running sidecar on ports of the kernel's choice.

    Args:
        arguments: Of `sidecar run`, after the addresses; a later flag outweighs an earlier one.
        command: Put before it.
        code: That it ends with.
        variables: Of its environment.
    """
    # A flag for each: most tests have no file.
    given = {str(each) for each in arguments}
    addresses = [each for flag in ("--listen", "--admin") if flag not in given for each in (flag, "127.0.0.1:0")]
    with running([*command, *run_command(*addresses, *arguments)], environment(**(variables or {}))) as process:
        found = Sidecar(process)
        yield found
        if process.process.poll() is None:
            found.stop()
        assert process.process.returncode == code, process.said
        assert "Traceback" not in process.said, process.said


def refused(*arguments: str | Path) -> tuple[int, list[str]]:
    """Exit code and words of a sidecar that does not start."""
    done = subprocess.run(
        run_command(*arguments), env=environment(), capture_output=True, text=True, timeout=PATIENCE_S, check=False
    )
    assert done.stdout == ""
    return done.returncode, done.stderr.splitlines()


def curl(*arguments: str | Path, body: bytes = b"") -> bytes:
    """What curl writes out."""
    done = subprocess.run(
        [program("curl"), "--silent", "--show-error", "--fail", "--max-time", f"{PATIENCE_S:g}", *arguments],
        input=body,
        capture_output=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def port_of(reply: requests.Response) -> int:
    """Our own port on the connection that a streamed reply comes on."""
    assert reply.raw.connection
    port: int = reply.raw.connection.sock.getsockname()[1]
    return port


def written(path: Path, document: object) -> Path:
    """A file of configuration, there whole or not at all."""
    fresh = path.with_suffix(".new")
    fresh.write_text(yaml.safe_dump(document))
    fresh.replace(path)
    return path
