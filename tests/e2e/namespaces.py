"""Network namespaces for the end-to-end tests: where clients are, and pods that they reach over a wire."""

import ctypes
import os
import subprocess
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import TypeVar

from tests.e2e.rig import PATIENCE_S, missing, program

T = TypeVar("T")

CLONE_NEWNET = 0x40000000
CLIENTS = 16


def as_user(uid: int) -> list[str]:
    """What runs a command as this user.

    It may read what root may: nothing says that another user can read this interpreter, or this folder.
    """
    reading = ["--inh-caps", "+dac_override", "--ambient-caps", "+dac_override"]
    return [program("setpriv"), "--reuid", str(uid), "--regid", str(uid), "--clear-groups", *reading]


def done(*command: str | Path) -> str:
    """What a command says that has to succeed."""
    ended = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE_S, check=False)
    assert ended.returncode == 0, f"{' '.join(map(str, command))}: {ended.stdout}{ended.stderr}"
    return ended.stdout


class Namespace:
    """A network of its own, and threads that live in it.

    Args:
        name: As `ip netns` has it.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self._threads = ThreadPoolExecutor(CLIENTS, initializer=self._enter)

    @property
    def command(self) -> list[str]:
        """What runs a command here."""
        return [program("ip"), "netns", "exec", self.name]

    def run(self, *command: str | Path) -> str:
        return done(*self.command, *command)

    def start(self, work: Callable[[], T]) -> Future[T]:
        """Work for a thread whose sockets are in this network."""
        return self._threads.submit(work)

    def here(self, work: Callable[[], T]) -> T:
        """What it returns."""
        return self.start(work).result(PATIENCE_S)

    def close(self) -> None:
        self._threads.shutdown()

    def _enter(self) -> None:
        with open(f"/run/netns/{self.name}", "rb") as opened:
            if ctypes.CDLL(None, use_errno=True).setns(opened.fileno(), CLONE_NEWNET):
                raise OSError(ctypes.get_errno(), "setns")


@dataclass(frozen=True)
class Pod:
    """A pod's network, and its addresses."""

    network: Namespace
    addresses: tuple[str, str]


@dataclass
class Wires:
    """Clients' network, with a wire to each pod."""

    clients: Namespace
    _stack: ExitStack
    _numbers: Iterator[int] = field(default_factory=lambda: count(1))

    def pod(self) -> Pod:
        """Another one."""
        number = next(self._numbers)
        network = self._stack.enter_context(_namespace(f"{self.clients.name}-{number}"))
        ours, theirs = f"veth{number}", "eth0"
        peer = ["type", "veth", "peer", "name", theirs, "netns", network.name]
        _ip("-n", self.clients.name, "link", "add", ours, *peer)
        for side, end, last in ((self.clients.name, ours, 1), (network.name, theirs, 2)):
            _ip("-n", side, "addr", "add", f"10.77.{number}.{last}/24", "dev", end)
            # Without `nodad` an address is of no use for a second.
            _ip("-n", side, "addr", "add", f"fd77:{number}::{last}/64", "dev", end, "nodad")
            _ip("-n", side, "link", "set", end, "up")
        return Pod(network, (f"10.77.{number}.2", f"fd77:{number}::2"))


@contextmanager
def wires() -> Iterator[Wires]:
    """Clients' network, without pods yet."""
    if os.geteuid():
        missing("root, who may make network namespaces,")
    with ExitStack() as stack:
        yield Wires(stack.enter_context(_namespace(f"clients{os.getpid()}")), stack)


@contextmanager
def _namespace(name: str) -> Iterator[Namespace]:
    added = subprocess.run([program("ip"), "netns", "add", name], capture_output=True, text=True, check=False)
    if added.returncode:
        missing(f"the right to make network namespaces ({added.stderr.strip()})")
    network = Namespace(name)
    try:
        _ip("-n", name, "link", "set", "lo", "up")
        yield network
    finally:
        network.close()
        _ip("netns", "del", name)


def _ip(*arguments: str) -> None:
    done(program("ip"), *arguments)


def sidecar_command(pod: Pod, uid: int) -> Sequence[str]:
    """What runs a command in a pod as this user."""
    return [*pod.network.command, *as_user(uid)]
