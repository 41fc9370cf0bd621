"""One kept HTTP connection to one server: requests go out one after another, and are told apart by what may help."""

import select
import ssl
from collections.abc import Mapping
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from typing import NamedTuple
from urllib.parse import urlsplit

from sidecar.errors import DeliveryError

MAX_REPLY_BYTES = 64 * 1024
"""Of a longer reply the connection is given up: what it says beside its status means nothing to us."""


class Answer(NamedTuple):
    """What a server said.

    Args:
        status: 0 where no answer came.
        retry_after: The field's value; empty without one.
        problem: Why none came.
    """

    status: int
    retry_after: str = ""
    problem: str = ""


class KeptConnection:
    """Opened by its first request, and anew by the next one after whatever closed it. Of one thread.

    No proxy of the environment is asked, no redirect followed.

    Args:
        url: http://host:port/path or https://; without user and fragment.
        ca: PEM file of the authorities trusted instead of the system's; read at each connection.
        timeout_s: To connect; and again at most for each silence of the server.
    """

    def __init__(self, url: str, *, ca: str | None, timeout_s: float) -> None:
        split = urlsplit(url)
        self._tls = split.scheme == "https"
        self._host = split.hostname or ""
        self._port = split.port or (443 if self._tls else 80)
        self._path = (split.path or "/") + (f"?{split.query}" if split.query else "")
        self._ca = ca
        self._timeout_s = timeout_s
        self._connection: HTTPConnection | None = None
        self.authority = split.netloc

    def post(self, body: bytes, fields: Mapping[str, str]) -> Answer:
        """Send a body once.

        Args:
            fields: Of the head, beside Host and Content-Length; in Latin-1, without line ends.

        Raises:
            DeliveryError: The file of authorities cannot be used.
        """
        if self._connection is None or _over(self._connection):
            self.close()
            self._connection = self._opened()
        try:
            self._connection.request("POST", self._path, body, dict(fields))
            reply = self._connection.getresponse()
            rest = reply.read(MAX_REPLY_BYTES)
            if len(rest) == MAX_REPLY_BYTES:
                self.close()
            return Answer(reply.status, reply.getheader("Retry-After", ""))
        except (OSError, HTTPException) as error:
            self.close()
            return Answer(0, problem=_told(error))

    def close(self) -> None:
        """Let go of it."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _opened(self) -> HTTPConnection:
        if not self._tls:
            return HTTPConnection(self._host, self._port, timeout=self._timeout_s)
        try:
            context = ssl.create_default_context(cafile=self._ca)
        except (OSError, ValueError) as error:
            reason = error.strerror if isinstance(error, OSError) else str(error)
            raise DeliveryError(f"ca {self._ca}: {reason}, expected a PEM file of authorities") from error
        return HTTPSConnection(self._host, self._port, timeout=self._timeout_s, context=context)


def _over(connection: HTTPConnection) -> bool:
    """Whether it is closed, or has something to read that nobody asked for: what is sent there would be lost."""
    if connection.sock is None:
        return True
    poll = select.poll()
    poll.register(connection.sock, select.POLLIN)
    return bool(poll.poll(0))


def _told(error: Exception) -> str:
    match error:
        case ssl.SSLCertVerificationError():
            return f"its certificate is not trusted: {error.verify_message}"
        case TimeoutError():
            return "no answer in time"
        case ConnectionError() if error.strerror is None:
            return "closed the connection without an answer"
        case OSError():
            return error.strerror or type(error).__name__
        case _:
            return "answered with something that is not HTTP"
