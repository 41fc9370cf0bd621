"""The model servers behind the upstreams' addresses, looked for now and then and remembered between."""

from collections.abc import Mapping, Sequence
from ipaddress import ip_address
from pathlib import Path
from typing import NamedTuple

import psutil

from sidecar.infrastructure.servers import (
    Address,
    Known,
    Listener,
    Process,
    addresses_of,
    holders_of,
    listeners,
    listening,
    listening_unix,
    living,
    server_of,
)

RETRY_S = 30.0
"""Between two looks for one that is not there: a look reads who has which file open, of everybody."""

RENEW_S = 300.0
"""So old may an answer be: another process may have taken over the address while the former still lives."""

Place = tuple[str, int]
"""Host and port; a path that begins with `/`, and 0, for a Unix socket."""

ELSEWHERE = "elsewhere"
"""The reason where nobody need be found: the upstream is not on this machine, or goes by a name."""


class Found(NamedTuple):
    """What is known of the server at a place.

    Args:
        server: Its topmost processes; none where it was not found.
        reason: Why it was not: `not_found`, `forbidden` or `elsewhere`; empty where it was.
        looked_s: When that was found out.
    """

    place: Place
    server: tuple[Process, ...]
    reason: str
    looked_s: float


class Search:
    """Remembers servers by the names of their variants.

    Args:
        proc: Where the kernel tells of processes.
        own: Our own process.
    """

    def __init__(self, proc: Path, own: int) -> None:
        self._proc = proc
        self._own = own
        self._found: dict[str, Found] = {}

    def found(self, places: Mapping[str, Place], table: Mapping[int, Known], now_s: float) -> Mapping[str, Found]:
        """The servers that live, by the same names; one look for all that are to be looked for.

        Args:
            table: Everybody.
            now_s: By a clock that does not go back.
        """
        due = {name: place for name, place in places.items() if self._is_due(name, place, table, now_s)}
        kept = {name: self._found[name] for name in places if name not in due}
        self._found = kept | (self._look(due, table, now_s) if due else {})
        return {name: _with_the_living(self._found[name], table) for name in places}

    def _is_due(self, name: str, place: Place, table: Mapping[int, Known], now_s: float) -> bool:
        before = self._found.get(name)
        if before is None or before.place != place:
            return True
        whole = bool(before.server) and living(before.server, table) == before.server
        return now_s - before.looked_s >= (RENEW_S if whole else RETRY_S)

    def _look(self, places: Mapping[str, Place], table: Mapping[int, Known], now_s: float) -> dict[str, Found]:
        ours = own_addresses()
        tcp = listeners(self._proc)
        sockets = {name: self._sockets(place, ours, tcp) for name, place in places.items()}
        sought = {inode for inodes in sockets.values() for inode in inodes or ()}
        holders = holders_of(self._proc, sought, table) if sought else None
        found: dict[str, Found] = {}
        for name, place in places.items():
            inodes = sockets[name]
            if inodes is None:
                found[name] = Found(place, (), ELSEWHERE, now_s)
                continue
            pids = {pid for inode in inodes for pid in holders.by_inode[inode]} if holders else set()
            server = server_of(pids, table, self._own)
            missed = "forbidden" if inodes and holders and holders.forbidden else "not_found"
            found[name] = Found(place, server, "" if server else missed, now_s)
        return found

    def _sockets(self, place: Place, ours: Sequence[Address], tcp: Sequence[Listener]) -> set[str] | None:
        """Inodes of those that listen there; None where that is no place of this machine."""
        host, port = place
        if host.startswith("/"):
            return listening_unix(self._proc, host)
        addresses = addresses_of(host, ours)
        return listening(tcp, addresses, port) if addresses else None


def own_addresses() -> list[Address]:
    """Those of this network namespace's interfaces."""
    try:
        interfaces = psutil.net_if_addrs()
    except OSError:
        return []
    texts = (each.address.partition("%")[0] for addresses in interfaces.values() for each in addresses)
    return [address for text in texts if (address := _address(text)) is not None]


def _address(text: str) -> Address | None:
    """None for those of the link layer."""
    try:
        return ip_address(text)
    except ValueError:
        return None


def _with_the_living(found: Found, table: Mapping[int, Known]) -> Found:
    server = living(found.server, table)
    return found._replace(server=server, reason=found.reason if server or found.reason else "not_found")
