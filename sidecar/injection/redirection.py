"""The rules that lead a pod's inbound port to the sidecar, and how they get into the kernel.

Two chains of our own hang below those of the table `nat`. What comes from outside passes PREROUTING. What the pod asks
of itself passes OUTPUT; there the sidecar's own connections to the model server are let through, or they would come
back to it for ever. A set of rules is put in whole or not at all, and replaces the one of an earlier call.

Where it cannot be put in, that has failed, and the pod with it: it is one that never served, whoever rolls it out sees
why, and the pods before it go on. One that came up all the same would pass for watched, with its variants and shadows
left out.
"""

import subprocess
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Literal, NamedTuple

from sidecar.texts import shown

INBOUND, LOCAL = "SIDECAR_INBOUND", "SIDECAR_LOCAL"
JUMPS = {"PREROUTING": INBOUND, "OUTPUT": LOCAL}
"""Our chains by the one that leads there."""

INSTALLED = "\n".join(
    line for start, chain in JUMPS.items() for line in (f":{chain} - [0:0]", f"-A {start} -j {chain}")
)
"""What iptables-save tells of one call, as far as it is needed to undo it."""

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
"""The system's own first; the other where the kernel does not know that one's tables.

That one takes NET_RAW beside NET_ADMIN, and a file to lock: /run/xtables.lock, or what XTABLES_LOCKFILE names.
"""


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
    # Out and in again: whoever has come first in the meantime might take the connections.
    jumps = [f"-I {start} 1 -j {chain}" for start, chain in JUMPS.items()]
    return _transaction([*chains, *redirection.rules, *_jumps_out(saved), *jumps])


def removing(saved: str) -> str:
    """The input that takes them out; empty where there are none."""
    lines = saved.splitlines()
    chains = [chain for chain in JUMPS.values() if any(line.startswith(f":{chain} ") for line in lines)]
    done = [*_jumps_out(saved), *(f"-F {chain}" for chain in chains), *(f"-X {chain}" for chain in chains)]
    return _transaction(done) if done else ""


def _jumps_out(saved: str) -> list[str]:
    lines = saved.splitlines()
    return [
        f"-D {start} -j {chain}" for start, chain in JUMPS.items() for _ in range(lines.count(f"-A {start} -j {chain}"))
    ]


def install(redirection: Redirection, family: Family, run: Run) -> str:
    """Put the rules of a family in; returns why that cannot be, empty where it is done.

    Args:
        run: Runs commands.
    """
    failures = []
    for program in PROGRAMS[family]:
        # Whoever asks for a table has the kernel make it.
        failure = _change(program, ["-t", "nat"], partial(installing, redirection), run)
        if not failure:
            return ""
        failures.append(failure)
    return _said(failures) or failures[0]


def remove(family: Family, run: Run) -> str:
    """Take them out, whichever program has put them in; returns what is in the way, empty where none is left."""
    failures = [_change(program, [], removing, run) for program in PROGRAMS[family]]
    # A program that is missing has put nothing in, but one there must be.
    nobody = all(each.endswith(_MISSING) for each in failures)
    return failures[0] if nobody else _said(failures)


_MISSING = "no such program"


def _said(failures: Sequence[str]) -> str:
    """What programs say: it tells more than that another one is missing."""
    return "; ".join(each for each in failures if each and not each.endswith(_MISSING))


def _change(program: str, which: Sequence[str], make: Callable[[str], str], run: Run) -> str:
    saved = run([f"{program}-save", *which], "")
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
