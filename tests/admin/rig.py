import asyncio
import http.client
import socket
import weakref
from collections import Counter, deque
from collections.abc import Awaitable, Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from importlib.resources import files
from typing import NamedTuple, TypeVar

import msgspec
import numpy as np
import orjson
from jsonschema import Draft202012Validator

from sidecar.admin.server import application, start
from sidecar.admin.view import ConfigView, VariantView, View
from sidecar.alerts.alerting import Alerting
from sidecar.alerts.delivery import Deliveries
from sidecar.alerts.rules import Rule
from sidecar.alerts.store import Store
from sidecar.catalog import sqlite
from sidecar.cataloguing import Cataloguing
from sidecar.config.addresses import Address, SocketAddress
from sidecar.config.schema import Config, Shadow, Variant
from sidecar.exchange import Exchange
from sidecar.experiments.standing import Standing
from sidecar.explaining import Explaining
from sidecar.instruments import CaptureCounts
from sidecar.journal import Journal
from sidecar.monitors.attribution import Attribution
from sidecar.monitors.bias import Comparing
from sidecar.monitors.data import Data, Following, WindowSize
from sidecar.monitors.quality import Grading
from sidecar.monitors.shadowed import Shadowed
from sidecar.payload.decoding import Decoding
from sidecar.payload.reading import Reader
from sidecar.pipeline import Parts, Pipeline
from sidecar.ports import Channel
from sidecar.proxy.shadow import Counts
from sidecar.records import JSON, Alert, Body, Capture, Carrier, Finding, Key, Metric, Report, Table
from sidecar.reference.constraints import suggested
from sidecar.reference.folder import Reference
from sidecar.reference.learning import Learner
from sidecar.routing.availability import State
from sidecar.stats.history import History
from sidecar.stats.traffic import Labels, Traffic
from sidecar.stats.window import Window
from sidecar.steering import Judged, Steering
from sidecar.store.sqlite import Sqlite
from sidecar.truth import Truth
from sidecar.watching import Watching

OPENAPI = orjson.loads((files("sidecar.admin") / "openapi.json").read_bytes())
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
    waiting: int = 0
    failing: bool = False


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
    traffic.enter()
    traffic.serve("champion")
    traffic.tunnels["websocket"] += 2
    features, predictions = window(), window()
    names = ("amount", "country", "empty")
    values = np.array([[1.0, np.nan, np.nan], [2.5, np.nan, np.nan], [-np.inf, np.nan, np.nan]])
    features.update(names, values, {1: ["de", "fr", "\udc80"]}, 5.0)
    predictions.update(("score",), np.array([[0.25], [0.5], [0.75]]), {}, 5.0)
    return traffic, {("champion", "features"): features, ("champion", "predictions"): predictions}


async def one_metric() -> Report:
    return Report(0.0, 1.0, [Metric("m", "s", "What", "counter", [({"a": "b"}, 3)])])


NAMES = ("amount", "country")
WATCHED = Data(window=WindowSize(rows=100, panes=1))


def table(rows: int, *, shift: float = 0.0, names: tuple[str, ...] = NAMES) -> Table:
    """Rows of a number around `shift` and of a text."""
    values = np.full((rows, 2), np.nan)
    values[:, 0] = np.random.default_rng(rows).normal(shift, size=rows)
    return Table(names, values, {1: ["de", "fr"] * (rows // 2)})


def learned(names: tuple[str, ...] = NAMES) -> Reference:
    """Of a thousand rows."""
    learner = Learner()
    learner.update(table(1000, names=names))
    profiles = learner.profiles()
    return Reference(profiles, suggested(profiles))


def follow(following: Following, rows: int, *, shift: float = 0.0, names: tuple[str, ...] = NAMES) -> None:
    """Have some rows of the champion followed."""
    following.count("champion", "3", table(rows, shift=shift, names=names), Table((), np.empty((rows, 0))))
    following.judge(STARTED_S)


def alert(name: str = "0123456789abcdef", **changes: object) -> Alert:
    carrier = Carrier("amount", 1.0, 0.31, 0.25, "above 2: 1 % → 40 %", nats=15.0, needed_nats=13.8, rows=200)
    finding = Finding(Key("data", "sequential", "champion", "features"), "3", (carrier,), 200, 1000, "it has drifted")
    told = {"id": name, "state": "firing", "severity": "warning", "finding": finding, "pending_s": STARTED_S, **changes}
    return Alert(**told)  # type: ignore[arg-type]  # of whatever field


def undescribed(name: str, document: JSON) -> list[str]:
    """What a document has that the schema of this name does not allow, once it is JSON."""
    whole = {"components": OPENAPI["components"], "$ref": f"#/components/schemas/{name}"}
    written = orjson.loads(orjson.dumps(document))
    return [f"{error.json_path}: {error.message}" for error in Draft202012Validator(whole).iter_errors(written)]


class Nothing(deque[Exchange]):
    """A tap that nothing has passed."""

    def take(self) -> Exchange | None:
        return None


@dataclass
class Upstreams:
    """How those are who serve, as a test says."""

    known: dict[str, tuple[State, float]] = field(default_factory=lambda: {"champion": ("taking", 1.0)})
    ejections: dict[str, int] = field(default_factory=dict)
    shadowed: Counts = field(default_factory=Counts)

    @property
    def states(self) -> dict[str, tuple[State, float]]:
        return self.known


@dataclass
class Trials:
    """How experiments stand, as a test says."""

    standings: dict[str, Standing] = field(default_factory=dict)
    judged: Judged | None = None
    shadowed: Shadowed | None = None


GROUP = "fraud"
ROUTED = Config(
    variants={
        "champion": Variant(url="http://a:1", version="3", weight=90),
        "challenger": Variant(url="http://b:1", version="4", weight=10),
    }
)
"""Two versions that share the traffic."""
SHADOWED = msgspec.structs.replace(
    ROUTED,
    variants={**ROUTED.variants, "shadow": Variant(url="http://c:1", version="5", weight=0)},
    shadow=Shadow(variant="shadow", ratio=0.5),
)
"""The same, and copies to a third one."""


class Sidecar:
    """The state behind the admin side, as a test sets it: real parts, and counts that nothing has counted."""

    def __init__(
        self,
        *,
        reasons: Sequence[str] = (),
        report: Callable[[], Awaitable[Report]] = one_metric,
        monitor: Data | None = WATCHED,
        channels: Mapping[str, Channel] | None = None,
        config: Config = ROUTED,
        catalog: str = "",
    ) -> None:
        self.now_s = 10.0
        self.reasons = reasons
        self.refused = ""
        self.recent: deque[Capture] = deque(maxlen=50)
        self.variants = [VariantView("champion", "3", 9.0, "http://a:1")]
        self.exporters: list[Way] = []
        self.traffic = Traffic(max_series=10)
        self.report = report
        parts = Parts(Reader(max_inflated_bytes=1 << 20), Decoding({}), ())
        self.pipeline = Pipeline(Nothing(), parts, make_window=window, now_s=self.clock, wall_s=self.wall_s)
        self.store = Store(None)
        weakref.finalize(self, self.store.close)
        self.deliveries = Deliveries(self.store, channels or {}, now_s=self.wall_s, chance=lambda: 0.5)
        self.alerting = Alerting(
            [Rule()],
            store=self.store,
            deliveries=self.deliveries,
            link="http://here",
            wall_s=self.wall_s,
            tell=lambda _: None,
        )
        self.watching = Watching(
            self.pipeline, self.alerting, data=monitor, folder=None, wall_s=self.wall_s, tell=lambda _: None
        )

        self.history = History()
        self.prepared: list[Config] = []
        self.unusable = ""
        self.upstreams = Upstreams()
        self.trials: Trials | None = Trials()
        journal = Journal(None)
        weakref.finalize(self, journal.close)
        self.steering = Steering(config, journal, fleet=None, prepare=self.prepare, wall_s=self.wall_s)
        self.catalog = sqlite.Sqlite(catalog)
        self.cataloguing: Cataloguing | None = Cataloguing(
            self.catalog, GROUP, self.steering, live=dict, wall_s=self.wall_s
        )

    def prepare(self, config: Config) -> Callable[[], None]:
        """Note what is put in force; a file of it may be unusable."""
        if self.unusable:
            raise FileNotFoundError(self.unusable)
        return partial(self.prepared.append, config)

    def clock(self) -> float:
        return self.now_s

    def wall_s(self) -> float:
        return STARTED_S + self.now_s

    def watch(self, reference: Reference) -> Following:
        """Compare with this from now on."""
        following = self.watching.following = WATCHED.follow(reference)
        self.watching.reference = reference
        return following

    def judge(self, grading: Grading | None, comparing: Comparing | None, folder: str = "/nowhere") -> Truth:
        """Have these monitors of labels, with a store in a folder, which reading does not need."""
        store = Sqlite(folder)
        truth = Truth(self.pipeline, store, grading=grading, comparing=comparing, groups=(), wall_s=self.wall_s)
        self.watching.truth = truth
        return truth

    def explain(self, column: str) -> None:
        """Have the monitor of attributions, whose champion rests on another column than on this one by now."""
        monitor = Attribution(reference_rows=50, rows=50).attribute()
        for values in ((0.7, 0.1), (0.1, 0.7)):
            monitor.take(capture(), (column, "other"), np.tile(values, (50, 1)))
        monitor.assess(self.wall_s())
        self.watching.explaining = Explaining(
            self.pipeline,
            monitor,
            upstreams={},
            paused=lambda: False,
            wall_s=self.wall_s,
            rng=np.random.default_rng(0),
        )

    def view(self) -> View:
        return View(
            version="1.2.3",
            started_s=STARTED_S,
            wall_s=self.wall_s,
            clock=self.clock,
            not_ready=lambda: self.reasons,
            report=self.report,
            traffic=self.traffic,
            variants=lambda: self.variants,
            snapshots=self.pipeline.snapshots,
            watching=self.watching,
            recent=self.recent,
            counts=lambda: CaptureCounts(5, 4, Counter(buffer_full=1), 2048, 1, Counter(champion=40), Counter(json=2)),
            sinks=lambda: [Way("jsonl", 3, 1, 2, "full")],
            exporters=self.exporters,
            config=lambda: ConfigView(2, STARTED_S + 5, self.refused),
            steering=self.steering,
            upstreams=self.upstreams,
            trials=self.trials,
            cataloguing=self.cataloguing,
            history=self.history,
            link="",
        )


class Answer(NamedTuple):
    """A reply as it came."""

    status: int
    headers: dict[str, str]
    body: bytes

    def json(self) -> JSON:
        assert self.headers["content-type"] == "application/json"
        return orjson.loads(self.body)


CLIENTS = ThreadPoolExecutor(32, "client")
"""Not those threads that the server works in."""


class Client:
    """Asks over a real connection, from a thread, as any program would."""

    def __init__(self, host: str, port: int) -> None:
        self.host = host
        self.port = port

    async def get(self, path: str, method: str = "GET", **headers: str) -> Answer:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return await self._aside(path, method, named)

    async def post(self, path: str, document: JSON = None, body: bytes | None = None, **headers: str) -> Answer:
        named = {"Content-Type": "application/json", **{name.replace("_", "-"): each for name, each in headers.items()}}
        data = orjson.dumps(document) if body is None else body
        return await self._aside(path, "POST", named, data)

    async def put(self, path: str, document: JSON = None, body: bytes | None = None, **headers: str) -> Answer:
        named = {"Content-Type": "application/json", **{name.replace("_", "-"): each for name, each in headers.items()}}
        data = orjson.dumps(document) if body is None else body
        return await self._aside(path, "PUT", named, data)

    async def raw(self, *pieces: bytes) -> bytes:
        """Each piece is sent when the one before has had time to be read."""
        reader, writer = await asyncio.open_connection(self.host, self.port)
        for piece in pieces:
            writer.write(piece)
            await writer.drain()
            for _ in range(10):
                await asyncio.sleep(0)
        answer = await reader.read()
        writer.close()
        await writer.wait_closed()
        return answer

    async def leave(self, data: bytes) -> None:
        """Send this, and go away once it has had time to be read."""
        _, writer = await asyncio.open_connection(self.host, self.port)
        writer.write(data)
        await writer.drain()
        for _ in range(10):
            await asyncio.sleep(0)
        writer.transport.abort()
        for _ in range(10):
            await asyncio.sleep(0)

    async def aside(self, work: Callable[[], T]) -> T:
        """Do something in a thread, as any program would."""
        return await asyncio.get_running_loop().run_in_executor(CLIENTS, work)

    async def _aside(self, path: str, method: str, headers: dict[str, str], body: bytes | None = None) -> Answer:
        return await self.aside(partial(self._ask, path, method, headers, body))

    def _ask(self, path: str, method: str, headers: dict[str, str], body: bytes | None = None) -> Answer:
        connection = http.client.HTTPConnection(self.host, self.port, timeout=30)
        try:
            connection.request(method, path, body, headers)
            reply = connection.getresponse()
            return Answer(reply.status, {name.lower(): value for name, value in reply.getheaders()}, reply.read())
        finally:
            connection.close()


def faults(path: str, answer: Answer, method: str = "get") -> list[str]:
    """What the reply has that its description does not allow."""
    described = OPENAPI["paths"][path][method]["responses"][str(answer.status)]
    reference = described.get("$ref", "").removeprefix("#/components/responses/")
    described = OPENAPI["components"]["responses"][reference] if reference else described
    schema = described["content"]["application/json"]["schema"]
    whole = {"components": OPENAPI["components"], **schema}
    return [error.message for error in Draft202012Validator(whole).iter_errors(answer.json())]


def message(answer: Answer) -> str:
    """What an error says."""
    found: str = answer.json()["error"]["message"]
    return found


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
    """One that has served, counted, captured and copied."""
    sidecar = Sidecar(config=SHADOWED)
    sidecar.traffic, sidecar.pipeline.windows = busy()
    sidecar.variants = [VariantView("champion", "3", 9.0, "http://a:1"), VariantView("challenger", "", 1.0, "unix:/b")]
    sidecar.recent.extend([capture("r1"), capture("r2")])
    return sidecar
