"""A look at an upstream's health: a GET over the pool's own connections, so that it meets what requests meet."""

import asyncio
from urllib.parse import quote

from sidecar.errors import UpstreamError
from sidecar.proxy.pool import Pool
from sidecar.proxy.upstream import Connection
from sidecar.wire.body import Reader
from sidecar.wire.message import ReplyHead

BODY_LIMIT_BYTES = 64 * 1024
"""Of an answer; what says more costs its connection. Status pages are a few KiB."""

_SAFE = "/%:?#[]@!$&'()*+,;=-._~"
"""What a path may hold as it is (RFC 3986); everything else would end the request line or make it malformed."""


async def probe(pool: Pool, path: str, timeout_s: float) -> bool:
    """Whether the upstream answers 2xx, and to the end of its answer.

    Args:
        path: What to ask for; a query may follow.
        timeout_s: For all of it, connecting included; the pool's own limits hold too.
    """
    target = quote(path, safe=_SAFE).encode()
    data = b"GET %b HTTP/1.1\r\nHost: %b\r\nUser-Agent: sidecar\r\nAccept: */*\r\n\r\n" % (target, pool.authority)
    try:
        async with asyncio.timeout(timeout_s):
            return 200 <= await _status(pool, data) < 300
    except (UpstreamError, TimeoutError):
        return False


async def _status(pool: Pool, data: bytes) -> int:
    """The answer's status; over a new connection where the upstream has given up the idle one."""
    connection = pool.take()
    if connection is not None:
        try:
            return await _Look().status(connection, data)
        except UpstreamError as error:
            if error.error_type != "reset":
                raise
    return await _Look().status(await pool.connect(), data)


class _Look:
    """What its connection talks to; it reads the answer and keeps nothing but the status."""

    to_head = False
    sent = True
    wants_upgrade = False

    def __init__(self) -> None:
        self._connection: Connection | None = None
        self._answered: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self._status = 0
        self._left_bytes = BODY_LIMIT_BYTES

    async def status(self, connection: Connection, data: bytes) -> int:
        """The answer's status, once all of it has come; its connection is in the pool again then, or closed.

        Raises:
            UpstreamError: There is no answer, or not all of it.
        """
        self._connection = connection
        connection.send(self, data)
        try:
            return await self._answered
        finally:
            self._leave()

    def informational(self, head: ReplyHead) -> None:
        """The answer is still to come."""

    def reply_begins(self, head: ReplyHead, payload: bytes, reader: Reader, read_s: float) -> None:  # noqa: ARG002 - as a request has it
        self._status = head.status
        self.reply_goes_on(payload, reader)

    def reply_goes_on(self, payload: bytes, reader: Reader) -> None:
        self._left_bytes -= len(payload)
        if reader.done:
            # The connection is another's already.
            self._connection = None
        elif self._left_bytes < 0:
            self._leave()
        else:
            return
        if not self._answered.done():
            self._answered.set_result(self._status)

    def upgraded(self, head: ReplyHead, transport: asyncio.Transport, early: bytes, read_s: float) -> None:
        """Never comes: no upgrade was wanted."""

    def failed(self, error: UpstreamError) -> None:
        self._connection = None
        if not self._answered.done():
            self._answered.set_exception(error)

    def upstream_full(self, *, full: bool) -> None:
        """A request of a few lines waits for nobody."""

    def _leave(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()
