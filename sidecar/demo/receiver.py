"""The demo's webhook receiver: what a user's own would do with the notices of a webhook channel."""

import base64
import hmac
import os
import secrets
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from time import time_ns

import orjson
from aiohttp import web

from sidecar.alerts.webhook import signature
from sidecar.records import JSON

TOLERANCE_S = 300
"""Between the time of a signature and now, as the libraries of Standard Webhooks have it."""

KEY_BYTES = 32


@dataclass(frozen=True, slots=True)
class Received:
    """A notice as it came.

    Args:
        alert: The id of the alert, which its later notices share.
        state: `firing` or `resolved`.
        title: In a line.
        text: In some sentences.
        features: The names.
        cause: What has moved; empty where nobody knows.
        reason: How that is known.
    """

    alert: str
    state: str
    title: str
    text: str
    features: tuple[str, ...]
    cause: str = ""
    reason: str = ""


def write_secret(file: Path) -> bytes:
    """A new key, and the file that tells it to the channel, which nobody else may read."""
    key = secrets.token_bytes(KEY_BYTES)
    with open(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as out:
        out.write(b"whsec_" + base64.b64encode(key) + b"\n")
    return key


class Receiver:
    """Takes notices that are signed as they should be, each once however often it comes.

    Args:
        key: Of the signatures.
        tell: Is told of each notice.
        clock: Unix time in nanoseconds.
    """

    def __init__(self, key: bytes, tell: Callable[[Received], None], clock: Callable[[], int] = time_ns) -> None:
        self._key = key
        self._tell = tell
        self._clock = clock
        self._ids: set[str] = set()

    @asynccontextmanager
    async def listening(self) -> AsyncIterator[str]:
        """Its address, on a port of the kernel's choice."""
        application = web.Application()
        application.router.add_post("/", self._take)
        runner = web.AppRunner(application, access_log=None, shutdown_timeout=1.0)
        await runner.setup()
        try:
            await web.TCPSite(runner, "127.0.0.1", 0).start()
            yield f"http://127.0.0.1:{runner.addresses[0][1]}/"
        finally:
            await runner.cleanup()

    async def _take(self, request: web.Request) -> web.Response:
        body = await request.read()
        notice_id = request.headers.get("webhook-id", "")
        if not self._is_signed(request, notice_id, body):
            return web.Response(status=401)
        if notice_id not in self._ids:  # delivery is at least once
            self._ids.add(notice_id)
            self._tell(read_notice(orjson.loads(body)["data"]))
        return web.Response(status=204)

    def _is_signed(self, request: web.Request, notice_id: str, body: bytes) -> bool:
        sent = request.headers.get("webhook-timestamp", "")
        if not (sent.isascii() and sent.isdigit()):
            return False
        if abs(int(sent) - self._clock() // 1_000_000_000) > TOLERANCE_S:
            return False
        expected = signature(self._key, notice_id, int(sent), body).encode()
        given = request.headers.get("webhook-signature", "").encode("utf-8", "surrogateescape").split()
        return any(hmac.compare_digest(expected, each) for each in given)


def read_notice(data: JSON) -> Received:
    """What a webhook's event has in it."""
    features = tuple(feature["name"] for feature in data["features"])
    return Received(data["id"], data["state"], data["title"], data["text"], features, data["cause"], data["reason"])
