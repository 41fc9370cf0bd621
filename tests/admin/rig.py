import asyncio
import http.client
import socket
from collections import Counter, deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import NamedTuple, TypeVar

import numpy as np
import orjson

from sidecar.admin.server import application, start
from sidecar.admin.view import ConfigView, VariantView, View
from sidecar.config.addresses import Address, SocketAddress
from sidecar.instruments import CaptureCounts
from sidecar.records import JSON, Body, Capture, Metric, Report
from sidecar.reference.constraints import Constraints
from sidecar.stats.traffic import Labels, Traffic
from sidecar.stats.window import Snapshot, Window

T = TypeVar("T")

LOOPBACK = SocketAddress("127.0.0.1", 0)
STARTED_S = 1_700_000_000.0


@dataclass
class Way:
    """A sink's counts."""

    name: str
    delivered: int = 0
    dropped: int = 0
    failed: int = 0
    last_error: str = ""


def capture(request_id: str = "r1", data: bytes = b"{}", status: int = 200) -> Capture:
    return Capture(
        request_id=request_id,
        inference_id="",
        variant="champion",
        version="3",
        method="POST",
        path="/v1/models/m:predict",
        route="/v1/models/{model}:predict",
        status=status,
        error_type="",
        started_s=STARTED_S + 1,
        duration_s=0.02,
        first_byte_s=0.015,
        overhead_s=0.0001,
        sample_ratio=0.1,
        headers={"request": {"content-type": "application/json"}, "reply": {}},
        request=Body("application/json", data),
        reply=Body("application/json", b"", "redact"),
    )


def window() -> Window:
    return Window(rows=100, panes=10, seconds=60.0, max_features=8, max_categories=30)


def busy() -> tuple[Traffic, dict[tuple[str, str], Window]]:
    """Some traffic of two variants, one refusal, and windows of the champion."""
    traffic = Traffic(max_series=100)
    fast = Labels("champion", "3", "POST", "/infer", 200, "")
    for duration_s in (0.01, 0.02, 0.03, 0.5):
        traffic.series(fast).add(duration_s, duration_s / 2, 0.0001, 700, 90)
    traffic.series(Labels("champion", "3", "POST", "/infer", 502, "connect_failed")).add(0.3, 0.0, 0.0002, 700, 60)
    traffic.series(Labels("challenger", "", "GET", "", 404, "")).add(0.004, 0.003, 0.0001, 0, 20)
    traffic.series(Labels("", "", "_OTHER", "", 400, "bad_request")).add(0.0, 0.0, 0.0, 0, 0)
    traffic.enter("champion")
    traffic.tunnels["websocket"] += 2
    features, predictions = window(), window()
    names = ("amount", "country", "empty")
    values = np.array([[1.0, np.nan, np.nan], [2.5, np.nan, np.nan], [-np.inf, np.nan, np.nan]])
    features.update(names, values, {1: ["de", "fr", "\udc80"]}, 5.0)
    predictions.update(("score",), np.array([[0.25], [0.5], [0.75]]), {}, 5.0)
    return traffic, {("champion", "features"): features, ("champion", "predictions"): predictions}


async def one_metric() -> Report:
    return Report(0.0, 1.0, [Metric("m", "s", "What", "counter", [({"a": "b"}, 3)])])


@dataclass
class Sidecar:
    """The state behind the admin side, as a test sets it."""

    now_s: float = 10.0
    reasons: list[str] = field(default_factory=list)
    recent: deque[Capture] = field(default_factory=lambda: deque(maxlen=50))
    variants: list[VariantView] = field(default_factory=lambda: [VariantView("champion", "3", 9.0, "http://a:1")])
    exporter: Way | None = None
    traffic: Traffic = field(default_factory=lambda: Traffic(max_series=10))
    windows: dict[tuple[str, str], Window] = field(default_factory=dict)
    constraints: Constraints | None = None
    report: Callable[[], Awaitable[Report]] = one_metric

    async def snapshots(self) -> dict[tuple[str, str], Snapshot]:
        return {key: window.snapshot() for key, window in self.windows.items()}

    def view(self) -> View:
        return View(
            version="1.2.3",
            started_s=STARTED_S,
            wall_s=lambda: STARTED_S + self.now_s,
            clock=lambda: self.now_s,
            not_ready=lambda: self.reasons,
            report=self.report,
            traffic=self.traffic,
            variants=lambda: self.variants,
            snapshots=self.snapshots,
            constraints=self.constraints,
            recent=self.recent,
            counts=lambda: CaptureCounts(5, 4, Counter(buffer_full=1), 2048, 1, Counter(champion=40), Counter(json=2)),
            sinks=lambda: [Way("jsonl", 3, 1, 2, "full")],
            exporter=self.exporter,
            config=lambda: ConfigView(2, STARTED_S + 5, ""),
        )


class Answer(NamedTuple):
    """A reply as it came."""

    status: int
    headers: dict[str, str]
    body: bytes

    def json(self) -> JSON:
        assert self.headers["content-type"] == "application/json"
        return orjson.loads(self.body)


class Client:
    """Asks over a real connection, from a thread, as any program would."""

    def __init__(self, host: str, port: int) -> None:
        self._host = host
        self._port = port

    async def get(self, path: str, method: str = "GET", **headers: str) -> Answer:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return await asyncio.to_thread(self._get, path, method, named)

    async def raw(self, data: bytes) -> bytes:
        reader, writer = await asyncio.open_connection(self._host, self._port)
        writer.write(data)
        answer = await reader.read()
        writer.close()
        await writer.wait_closed()
        return answer

    def _get(self, path: str, method: str, headers: dict[str, str]) -> Answer:
        connection = http.client.HTTPConnection(self._host, self._port, timeout=30)
        try:
            connection.request(method, path, headers=headers)
            reply = connection.getresponse()
            return Answer(reply.status, {name.lower(): value for name, value in reply.getheaders()}, reply.read())
        finally:
            connection.close()


def asking(
    sidecar: Sidecar, ask: Callable[[Client], Awaitable[T]], *, token: str | None = None, address: Address = LOOPBACK
) -> T:
    """What `ask` finds out from an admin server of its own."""

    async def run() -> T:
        bound = socket.create_server((LOOPBACK.host, 0))
        runner = await start(application(sidecar.view(), token=token, address=address), bound)
        try:
            return await ask(Client(*runner.addresses[0][:2]))
        finally:
            await runner.cleanup()

    return asyncio.run(run())


def busy_sidecar() -> Sidecar:
    """One that has served, counted and captured."""
    traffic, windows = busy()
    variants = [VariantView("champion", "3", 9.0, "http://a:1"), VariantView("challenger", "", 1.0, "unix:/b")]
    return Sidecar(traffic=traffic, windows=windows, variants=variants, recent=deque([capture("r1"), capture("r2")]))
