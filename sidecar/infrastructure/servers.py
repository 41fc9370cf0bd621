"""Who serves at an address of this machine: the processes that hold a listening socket there, and their children.

Found by what Linux tells in /proc: the inodes of listening sockets, the processes with an open file that is one of
them, and everybody's parent. A server with workers may share one socket (its master opened it) or have one for each
worker (SO_REUSEPORT); both ways the topmost processes that hold one are the server, with all that descends from them.
"""

import sys
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, ip_address
from itertools import islice
from os import readlink, scandir
from pathlib import Path
from typing import NamedTuple

from sidecar.infrastructure.files import text_of

Address = IPv4Address | IPv6Address

MAX_FAMILY = 256
"""Processes of one server that are read; at 0.1 ms each the last one is 25 ms late."""

MAX_DESCRIPTORS = 4096
"""Of one process, lowest first, in which a listening socket is looked for: servers listen before they accept."""

LOOPBACK = (ip_address("127.0.0.1"), ip_address("::1"))

_LISTENS = "0A"
"""TCP_LISTEN, the tenth state in the kernel's `net/tcp_states.h`."""

_ZOMBIE = "Z"
_DEAD = frozenset("Xx")
"""The states in proc(5) of those that have ended."""

_ACCEPTS = 0x10000
"""__SO_ACCEPTCON, the flag of a listening Unix socket."""


class Process(NamedTuple):
    """A process, told from a later one of the same number by when it started, in ticks since the machine did."""

    pid: int
    started: int


class Known(NamedTuple):
    """What is known of a process from its number.

    Args:
        ended: It only waits for its parent to see that: a zombie.
    """

    parent: int
    started: int
    ended: bool = False


class Listener(NamedTuple):
    """A TCP socket that listens."""

    address: Address
    port: int
    inode: str


@dataclass(frozen=True, slots=True)
class Holders:
    """Which processes hold which sockets.

    Args:
        by_inode: Numbers of processes.
        forbidden: There are processes whose open files may not be looked at.
    """

    by_inode: Mapping[str, Collection[int]]
    forbidden: bool


def addresses_of(host: str, ours: Collection[Address]) -> tuple[Address, ...]:
    """The addresses of this machine that a host means; empty for another machine's, and for names.

    No name is looked up but `localhost`: it can take as long as a report may.

    Args:
        ours: The addresses of this machine's interfaces.
    """
    if host.lower() == "localhost":
        return LOOPBACK
    try:
        address = ip_address(host.strip("[]"))
    except ValueError:
        return ()
    return (address,) if address.is_loopback or address.is_unspecified or address in ours else ()


def listeners(proc: Path) -> list[Listener]:
    """All TCP sockets of this network namespace that listen."""
    return [each for name in ("tcp", "tcp6") for each in _listeners(text_of(proc / "net" / name) or "")]


def listening(sockets: Iterable[Listener], addresses: Collection[Address], port: int) -> set[str]:
    """Inodes of those that listen at a port of these addresses; of those bound to any address, if no other does."""
    at_port = [each for each in sockets if each.port == port]
    exact = {each.inode for each in at_port if each.address in addresses}
    return exact or {each.inode for each in at_port if each.address.is_unspecified}


def listening_unix(proc: Path, path: str) -> set[str]:
    """Inodes of the Unix sockets that listen at a path, which is the one that the server knows."""
    lines = (line.split(maxsplit=7) for line in (text_of(proc / "net" / "unix") or "").splitlines()[1:])
    return {words[6] for words in lines if len(words) == 8 and int(words[3], 16) & _ACCEPTS and words[7] == path}


def holders_of(proc: Path, inodes: Collection[str], pids: Iterable[int]) -> Holders:
    """Who of these processes holds which of these sockets."""
    links = {f"socket:[{inode}]": inode for inode in inodes}
    by_inode: dict[str, set[int]] = {inode: set() for inode in inodes}
    forbidden = False
    for pid in pids:
        try:
            for link in _open_files(proc / str(pid) / "fd"):
                if link in links:
                    by_inode[links[link]].add(pid)
        except PermissionError:
            forbidden = True
        except OSError:
            continue  # it has ended
    return Holders(by_inode, forbidden)


def everybody(proc: Path) -> dict[int, Known]:
    """All processes that can be seen, by number; who is dead is not there any more."""
    found: dict[int, Known] = {}
    try:
        names = [entry.name for entry in scandir(proc) if entry.name.isascii() and entry.name.isdecimal()]
    except OSError:
        return found
    for name in names:
        known = _known(text_of(proc / name / "stat") or "")
        if known is not None:
            found[int(name)] = known
    return found


def server_of(holders: Collection[int], table: Mapping[int, Known], own: int) -> tuple[Process, ...]:
    """The topmost of those that hold a socket.

    Of our own ancestors none is the server while there are others: with socket activation the first process of the
    machine holds everybody's sockets.

    Args:
        own: Our own number.
    """
    living = {pid for pid in holders if pid in table and pid != own}
    others = living.difference(_ancestors(own, table)) or living
    topmost = sorted(pid for pid in others if others.isdisjoint(_ancestors(pid, table)))
    return tuple(Process(pid, table[pid].started) for pid in topmost)


def family(server: Iterable[Process], table: Mapping[int, Known], own: int) -> list[int]:
    """A server's processes and their descendants, parents first, MAX_FAMILY at most; we and ours are not among them."""
    children: dict[int, list[int]] = {}
    for pid, known in table.items():
        children.setdefault(known.parent, []).append(pid)
    seen = {own, 0}
    members: list[int] = []
    waiting = [process.pid for process in server]
    while waiting and len(members) < MAX_FAMILY:
        generation = [pid for pid in waiting if pid not in seen]
        seen.update(generation)
        members += generation
        waiting = sorted(child for pid in generation for child in children.get(pid, ()))
    return members[:MAX_FAMILY]


def alive(table: Mapping[int, Known]) -> dict[int, Known]:
    """Those that have not ended."""
    return {pid: known for pid, known in table.items() if not known.ended}


def is_there(process: Process, table: Mapping[int, Known]) -> bool:
    """Another process of the same number is not."""
    known = table.get(process.pid)
    return known is not None and known.started == process.started


def living(server: Iterable[Process], table: Mapping[int, Known]) -> tuple[Process, ...]:
    """Those of a server's topmost processes that are there."""
    return tuple(each for each in server if is_there(each, table))


def _ancestors(pid: int, table: Mapping[int, Known]) -> set[int]:
    found: set[int] = set()
    # A table that is not read at once may hold a circle.
    while pid in table and (pid := table[pid].parent) not in found:
        found.add(pid)
    return found


def _known(stat: str) -> Known | None:
    """Of `pid (name) state ppid ... starttime ...`, the third, fourth and 22nd field; the name may hold anything."""
    fields = stat.rpartition(")")[2].split()
    if len(fields) < 20 or fields[0] in _DEAD:
        return None
    return Known(int(fields[1]), int(fields[19]), fields[0] == _ZOMBIE)


def _open_files(folder: Path) -> Iterator[str]:
    with scandir(folder) as entries:
        for entry in islice(entries, MAX_DESCRIPTORS):
            try:
                yield readlink(entry.path)
            except FileNotFoundError:
                continue  # it was closed


def _listeners(table: str) -> Iterator[Listener]:
    """Those in the text of /proc/net/tcp or tcp6."""
    for line in table.splitlines()[1:]:
        words = line.split(maxsplit=10)
        if len(words) >= 10 and words[3] == _LISTENS:
            address, _, port = words[1].partition(":")
            yield Listener(_address(address), int(port, 16), words[9])


def _address(digits: str) -> Address:
    """The kernel prints an address as words of 32 bits, each a number of its own byte order.

    Example:
        >>> _address("00000000000000000000000000000000"), _address("00000000")
        (IPv6Address('::'), IPv4Address('0.0.0.0'))
    """
    words = (int(digits[start : start + 8], 16) for start in range(0, len(digits), 8))
    packed = b"".join(word.to_bytes(4, sys.byteorder) for word in words)
    address = ip_address(packed)
    return getattr(address, "ipv4_mapped", None) or address
