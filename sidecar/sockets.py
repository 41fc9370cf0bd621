"""Sockets to listen on, by their addresses."""

import os
import socket
import stat
from contextlib import suppress

from sidecar.config.addresses import Address, SocketAddress


def listening(address: Address) -> socket.socket:
    """A socket that listens; `[::]` is every address of both families, as far as the kernel knows them.

    Raises:
        OSError: The address is taken, or is not ours.
    """
    return _tcp(address.host, address.port) if isinstance(address, SocketAddress) else _unix(address.path)


def _tcp(host: str, port: int) -> socket.socket:
    # `create_server` by itself would take those of IPv6 only.
    both = host == "::" and socket.has_dualstack_ipv6()
    known = "0.0.0.0" if host == "::" and not both else host
    family, _, _, _, where = socket.getaddrinfo(known, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
    return socket.create_server(where[:2], family=family, dualstack_ipv6=both)


def _unix(path: str) -> socket.socket:
    _remove_stale(path)
    found = socket.socket(socket.AF_UNIX)
    try:
        found.bind(path)
        found.listen()
    except OSError:
        found.close()
        raise
    return found


def _remove_stale(path: str) -> None:
    """Remove the Unix socket that a process which is gone has left; nothing where it is not one, or is served."""
    with socket.socket(socket.AF_UNIX) as probe, suppress(FileNotFoundError):
        try:
            probe.connect(path)
        except ConnectionRefusedError:
            if stat.S_ISSOCK(os.stat(path).st_mode):
                os.unlink(path)
