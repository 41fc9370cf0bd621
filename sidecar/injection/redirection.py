"""The rules that lead a pod's inbound port to the sidecar, and how they get into the kernel.

Two chains of our own hang below those of the table `nat`. What comes from outside passes PREROUTING. What the pod asks
of itself passes OUTPUT; there the sidecar's own connections to the model server are let through, or they would come
back to it for ever. A set of rules is put in whole or not at all, and replaces the one of an earlier call.
"""

import subprocess
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

from sidecar.texts import shown

INBOUND, LOCAL = "SIDECAR_INBOUND", "SIDECAR_LOCAL"
JUMPS = {"PREROUTING": INBOUND, "OUTPUT": LOCAL}
"""Our chains by the one that leads there."""

WAIT_S = 5
"""For whoever holds the lock of the older iptables."""

LIMIT_S = 20.0
"""For one command."""

SHOWN = 300

Family = Literal["ipv4", "ipv6"]

PROGRAMS: dict[Family, tuple[str, ...]] = {
    "ipv4": ("iptables", "iptables-legacy"),
    "ipv6": ("ip6tables", "ip6tables-legacy"),
}
"""The system's own first; the other where the kernel does not know that one's tables."""


class Ended(NamedTuple):
    """How a command has ended: its exit code, 127 where there is no such program, and what it said."""

    code: int
    out: str
    err: str


Run = Callable[[Sequence[str], str], Ended]
"""Runs a command with this input."""


@dataclass(frozen=True, slots=True)
class Redirection:
    """What is led where.

    Args:
        ports: Of model servers.
        to: Where the sidecar listens.
        uid: As whom it runs.
    """

    ports: tuple[int, ...]
    to: int
    uid: int

    @property
    def rules(self) -> list[str]:
        """As iptables-restore reads them, without the jumps.

        Example:
            >>> Redirection((8080,), 15006, 1337).rules[-1]
            '-A SIDECAR_LOCAL -o lo -p tcp --dport 8080 -m owner ! --uid-owner 1337 -j REDIRECT --to-ports 15006'
        """
        lead = f"-j REDIRECT --to-ports {self.to}"
        return [
            *(f"-A {INBOUND} ! -i lo -p tcp --dport {port} {lead}" for port in self.ports),
            *(
                f"-A {LOCAL} -o lo -p tcp --dport {port} -m owner ! --uid-owner {self.uid} {lead}"
                for port in self.ports
            ),
        ]


def installing(redirection: Redirection, saved: str) -> str:
    """The input of `iptables-restore --noflush` that puts the rules in.

    Args:
        saved: What is there, as `iptables-save` tells it.
    """
    # To name a chain makes it where it is missing, and empties it where it is not.
    chains = [f":{chain} - [0:0]" for chain in JUMPS.values()]
    jumps = [f"-I {start} 1 -j {chain}" for start, chain in JUMPS.items() if not _count(saved, start, chain)]
    return _transaction([*chains, *redirection.rules, *jumps])


def removing(saved: str) -> str:
    """The input that takes them out; empty where there are none."""
    lines = saved.splitlines()
    jumps = [f"-D {start} -j {chain}" for start, chain in JUMPS.items() for _ in range(_count(saved, start, chain))]
    chains = [chain for chain in JUMPS.values() if any(line.startswith(f":{chain} ") for line in lines)]
    done = [*jumps, *(f"-F {chain}" for chain in chains), *(f"-X {chain}" for chain in chains)]
    return _transaction(done) if done else ""


def change(family: Family, make: Callable[[str], str], run: Run) -> str:
    """Change the rules of a family; returns why that cannot be, empty where it is done.

    Args:
        make: The input by what is there.
        run: Runs commands.
    """
    failures = []
    for program in PROGRAMS[family]:
        failure = _change(program, make, run)
        if not failure:
            return ""
        failures.append(failure)
    # What a program says tells more than that another one is missing.
    return next((each for each in failures if not each.endswith(_MISSING)), failures[0])


_MISSING = "no such program"


def _change(program: str, make: Callable[[str], str], run: Run) -> str:
    saved = run([f"{program}-save", "-t", "nat"], "")
    if saved.code:
        return _told(f"{program}-save", saved)
    text = make(saved.out)
    if not text:
        return ""
    done = run(command(program), text)
    return _told(f"{program}-restore", done) if done.code else ""


def command(program: str) -> list[str]:
    """What reads the rules."""
    return [f"{program}-restore", "--noflush", f"--wait={WAIT_S}"]


def _told(program: str, ended: Ended) -> str:
    lines = [line.strip() for line in (ended.err or ended.out).splitlines()]
    said = next((line for line in lines if line), f"exit code {ended.code}")
    return shown(f"{program}: {said}", SHOWN)


def _count(saved: str, start: str, chain: str) -> int:
    return saved.splitlines().count(f"-A {start} -j {chain}")


def _transaction(lines: Sequence[str]) -> str:
    return "\n".join(["*nat", *lines, "COMMIT", ""])


def run(command: Sequence[str], given: str) -> Ended:
    """The command, as a process."""
    try:
        done = subprocess.run(command, input=given, capture_output=True, text=True, timeout=LIMIT_S, check=False)
    except FileNotFoundError:
        return Ended(127, "", _MISSING)
    except (OSError, subprocess.TimeoutExpired) as error:
        return Ended(126, "", str(error))
    return Ended(done.returncode, done.stdout, done.stderr)
