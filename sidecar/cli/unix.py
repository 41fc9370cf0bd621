"""HTTP over a socket in the file system, where the admin side may be."""

import socket
from http.client import HTTPConnection


class UnixConnection(HTTPConnection):
    """To a socket in the file system.

    Args:
        path: Of the socket.
        timeout_s: Of each step.
    """

    def __init__(self, path: str, timeout_s: float) -> None:
        super().__init__("localhost", timeout=timeout_s)
        self._path = path

    def connect(self) -> None:
        """Connect."""
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)
