"""The composition root: the only module that sees the whole configuration.

Order of starting: bind, serve, and only then load what monitors; the tap holds what passes meanwhile. Order of
stopping: not ready, no new connections, requests in flight finish, captures and metrics are flushed, exit.
"""

import asyncio
import gc
import logging
import os
import random  # noqa: TID251  (chance comes in here)
import signal
import socket
import sys
import time
from collections.abc import Callable, Sequence
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

import uvloop

from sidecar import __version__, build
from sidecar.config.addresses import parse_address
from sidecar.config.fingerprints import fingerprints
from sidecar.config.schema import Config
from sidecar.errors import ConfigError, Fault
from sidecar.proxy.gateway import Gateway, Sampling
from sidecar.proxy.listener import Listener
from sidecar.proxy.tap import Tap
from sidecar.routing import table as routing
from sidecar.routing.templates import Templates
from sidecar.sinks.otlp import otlp_settings
from sidecar.sinks.otlp_logs import otlp_logs_settings
from sidecar.stats.traffic import Traffic
from sidecar.tasks import Tasks

if TYPE_CHECKING:
    from aiohttp.web import AppRunner

    from sidecar.admin.view import View
    from sidecar.explaining import Explaining
    from sidecar.monitor import Monitor
    from sidecar.pipeline import Parts, Pipeline
    from sidecar.records import Event
    from sidecar.reference.folder import Reference
    from sidecar.sinks.delivery import Delivery
    from sidecar.truth import Truth
    from sidecar.watching import Watching

log = logging.getLogger(__name__)

DEFAULT = "default"
"""The variant that `upstream` stands for."""

WATCH_S = 1.0
"""Between two looks at the configuration's files, a stat each. (A watcher by inotify takes 16 MB of memory.)"""

PROBE_S, UNREADY_PROBE_S = 5.0, 0.5
"""Between two looks at whether an upstream answers, while it does and while none does."""

FLUSH_S = 4.0
"""For captures and metrics to be brought away after the last request."""

SWITCH_S = 0.0005
"""How long another thread may keep the interpreter from the request path; Python's own value is 5 ms."""

INFLATION = 8
"""How many times `capture.max_body_bytes` a compressed body may inflate to."""

GC_ALLOCATIONS = 50_000
"""Between two looks for cycles among young objects: requests make none, and captures waiting are no garbage."""

FIXED = (
    "listen",
    "admin",
    "admin_token",
    "admin_token_file",
    "endpoint",
    "tls",
    "statistics",
    "reference",
    "model",
    "monitors",
    "labels",
    "state",
    "telemetry",
)
"""Keys that hold for the life of the process."""


def run(config: Config, load: Callable[[], Config], files: Sequence[str]) -> int:
    """Serve until told to stop; returns the exit code.

    Args:
        config: To begin with.
        load: Reads the configuration again.
        files: What it is read from; watched for changes.

    Raises:
        ConfigError: A part of the configuration cannot be used.
        OSError: An address cannot be bound.
    """
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s", stream=sys.stderr)
    sys.setswitchinterval(SWITCH_S)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(App(config, load, files).run())


class App:
    """The running sidecar."""

    def __init__(self, config: Config, load: Callable[[], Config], files: Sequence[str]) -> None:
        self._config = config
        self._load = load
        self._files = (*files, *build.tls_files(config.tls), *build.reference_files(config.reference))
        self._revision, self._loaded_s, self._refusal = 1, wall_s(), ""
        self._reloading = asyncio.Lock()
        self._stop = asyncio.Event()
        self._answering = False
        self._tasks = Tasks()
        self._traffic = Traffic(max_series=config.telemetry.max_series)
        self._tap = Tap(buffer_bytes=config.capture.buffer_bytes)
        self._tls = build.listener_tls(config.tls)
        variants = build.variants_of(config.upstream, config.variants)
        build.check_rules(config.alerts, config.monitors, variants)
        self._reference_seen = fingerprints(build.reference_files(config.reference))
        self._reference = build.reference(config.reference)
        # One in memory can wait until requests are served.
        self._store = build.store(config.state) if config.state else None
        self._graders = build.graders(config.monitors, config.model, config.capture.headers)
        self._attributing = build.attributing(config.monitors)
        self._token = build.admin_token(config.admin_token, config.admin_token_file)
        self._metrics, self._logs = otlp_settings(os.environ), otlp_logs_settings(os.environ)
        self._listener = Listener(self._gateway(config))
        self._monitor: Monitor | None = None
        self._admin: AppRunner | None = None

    async def run(self) -> int:
        """Serve until told to stop; returns the exit code."""
        config = self._config
        with (
            build.bind(parse_address(config.listen), "listen") as listen_socket,
            build.bind(parse_address(config.admin), "admin") as admin_socket,
        ):
            self._heed_signals()
            await self._listener.open(listen_socket, tls=self._tls)
            log.info("admin on %s", build.address_of(admin_socket))
            log.info("serving on %s", build.address_of(listen_socket))
            watching = self._tasks.start(self._watch())
            self._tasks.start(self._probe())
            monitoring = self._tasks.start(self._begin_monitoring(admin_socket))
            await self._stop.wait()
            log.info("stopping: no new connections; requests in flight may finish")
            watching.cancel()
            await self._listener.drain(self._config.timeouts.drain_s)
            await asyncio.wait({monitoring}, timeout=FLUSH_S)
            if self._monitor is not None:
                await self._monitor.close(FLUSH_S)
            if self._admin is not None:
                await self._admin.cleanup()
            await self._tasks.close()
        return 0

    def _gateway(self, config: Config) -> Gateway:
        variants, limits = build.variants_of(config.upstream, config.variants), build.request_limits(config.limits)
        timeouts = build.request_timeouts(config.timeouts)
        return Gateway(
            table=routing.RoutingTable(
                [routing.Variant(name, variant.version, variant.weight) for name, variant in variants.items()]
            ),
            templates=Templates(config.routes),
            pools={name: build.pool(variant, timeouts, limits) for name, variant in variants.items()},
            timeouts=timeouts,
            limits=limits,
            sampling=Sampling(
                ratio=config.capture.sample_ratio,
                all_errors=config.capture.errors == "always",
                max_body_bytes=config.capture.max_body_bytes,
            ),
            request_ids=config.headers.request_id,
            server_timing=config.headers.server_timing,
            traffic=self._traffic,
            tap=self._tap,
            tasks=self._tasks,
            fresh_id=fresh_id,
            wall_s=wall_s,
        )

    # Monitoring

    async def _begin_monitoring(self, admin_socket: socket.socket) -> None:
        """Load in a thread what serving does not wait for, then start it."""
        await asyncio.to_thread(load_monitoring)
        from sidecar.admin.server import application, start
        from sidecar.monitor import Exporting, Monitor
        from sidecar.sinks.otlp import Otlp
        from sidecar.sinks.otlp_logs import OtlpLogs

        config = self._config
        names = {"service": config.endpoint, "version": __version__}
        exporting = Exporting(
            Otlp(self._metrics, **names) if self._metrics else None,
            self._metrics.interval_s if self._metrics else 0.0,
            OtlpLogs(self._logs, **names) if self._logs else None,
        )
        monitor = self._monitor = Monitor(
            self._watching(config, build.address_of(admin_socket), exporting.logs.emit if exporting.logs else _untold),
            self._traffic,
            self._tap,
            max_series=config.telemetry.max_series,
            wall_s=wall_s,
            exporting=exporting,
        )
        monitor.places = build.places(config.tls, build.variants_of(config.upstream, config.variants))
        await monitor.watching.alerting.start()
        await monitor.watching.start(self._reference, config.reference.learn_rows, config.reference.learn_s)
        monitor.start()
        app = application(
            self._view(monitor),
            token=self._token,
            address=parse_address(config.admin),
        )
        self._admin = await start(app, admin_socket)
        gc.collect()
        gc.freeze()
        gc.set_threshold(GC_ALLOCATIONS)
        log.info("monitoring")

    def _watching(self, config: Config, admin: str, tell: Callable[["Event"], None]) -> "Watching":
        """What the rows pass, from the tap to the alerts.

        Args:
            admin: Where the admin side is bound.
            tell: Takes events.
        """
        from sidecar.alerts.alerting import Alerting
        from sidecar.alerts.delivery import Deliveries
        from sidecar.pipeline import Pipeline
        from sidecar.watching import Watching

        pipeline = Pipeline(
            self._tap,
            self._parts(config, ()),
            make_window=build.window(config.statistics),
            now_s=time.monotonic,
            wall_s=wall_s,
        )
        store = self._store or build.store(None)
        deliveries = Deliveries(store, build.channels(config.alerts.channels), now_s=wall_s, chance=random.random)
        alerting = Alerting(
            build.rules(config.alerts),
            store=store,
            deliveries=deliveries,
            link=build.alerts_link(config.alerts.link, admin),
            wall_s=wall_s,
            tell=tell,
        )
        folder = Path(config.reference.path) if config.reference.path else None
        data = build.data_monitor(config.monitors)
        watching = Watching(pipeline, alerting, data=data, folder=folder, wall_s=wall_s, tell=tell)
        watching.truth = self._truth(pipeline, config)
        watching.explaining = self._explaining(pipeline, config)
        return watching

    def _truth(self, pipeline: "Pipeline", config: Config) -> "Truth | None":
        """What joins labels, where a monitor wants them."""
        if self._graders is None:
            return None
        from sidecar.truth import Truth

        grading, comparing, headers = self._graders
        store = build.label_store(config.labels, config.state)
        return Truth(pipeline, store, grading=grading, comparing=comparing, groups=headers, wall_s=wall_s)

    def _explaining(self, pipeline: "Pipeline", config: Config) -> "Explaining | None":
        """What brings attributions to the monitor that wants them, where there is one."""
        if self._attributing is None:
            return None
        import numpy as np

        from sidecar.explaining import Explaining

        return Explaining(
            pipeline,
            self._attributing,
            upstreams=build.explained(
                self._attributing.options.url, build.variants_of(config.upstream, config.variants)
            ),
            paused=lambda: self._listener.draining,
            wall_s=wall_s,
            rng=np.random.default_rng(random.getrandbits(64)),
        )

    def _view(self, monitor: "Monitor") -> "View":
        from sidecar.admin.view import ConfigView, VariantView, View

        pipeline = monitor.pipeline
        return View(
            version=__version__,
            started_s=monitor.started_s,
            wall_s=wall_s,
            clock=pipeline.now_s,
            not_ready=self._not_ready,
            report=monitor.report,
            traffic=self._traffic,
            variants=lambda: [
                VariantView(name, variant.version, variant.weight, variant.url)
                for name, variant in build.variants_of(self._config.upstream, self._config.variants).items()
            ],
            snapshots=pipeline.snapshots,
            watching=monitor.watching,
            recent=pipeline.recent,
            counts=monitor.counts,
            sinks=lambda: pipeline.parts.deliveries,
            exporters=monitor.exporting.outlets,
            config=lambda: ConfigView(self._revision, self._loaded_s, self._refusal),
        )

    def _parts(self, config: Config, deliveries: Sequence["Delivery"]) -> "Parts":
        """What exchanges pass.

        Args:
            config: Says what.
            deliveries: To go on with; without any, the configuration's sinks are made.
        """
        from sidecar.payload import DECODERS
        from sidecar.payload.decoding import Decoding
        from sidecar.payload.reading import Reader
        from sidecar.pipeline import Parts

        capture, payload = config.capture, config.payload
        return Parts(
            Reader(
                max_inflated_bytes=INFLATION * capture.max_body_bytes,
                redact=payload.redact,
                redact_headers=payload.redact_headers,
                headers=capture.headers,
            ),
            Decoding(DECODERS, format=payload.format, features=payload.features, prediction=payload.prediction),
            deliveries or build.sinks(capture.sinks, config.endpoint, capture.buffer_bytes),
        )

    async def _probe(self) -> None:
        """Keep an eye on whether any upstream with a share of the traffic takes connections."""
        while True:
            gateway = self._listener.gateway
            pools = [gateway.pools[variant.name] for variant in gateway.table.variants if variant.weight]
            self._answering = any([await each.answers() for each in pools])
            await asyncio.sleep(PROBE_S if self._answering else UNREADY_PROBE_S)

    def _not_ready(self) -> list[str]:
        reasons = ["stopping"] if self._listener.draining else []
        return reasons if self._answering else [*reasons, "no upstream answers"]

    # Signals and reloading

    def _heed_signals(self) -> None:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._end, number)
        loop.add_signal_handler(signal.SIGHUP, lambda: self._tasks.start(self._reload()))

    def _end(self, number: int) -> None:
        if self._stop.is_set():
            os._exit(128 + number)
        self._stop.set()

    async def _watch(self) -> None:
        """Reload when a file changes."""
        seen = fingerprints(self._files)
        while True:
            await asyncio.sleep(WATCH_S)
            now = fingerprints(self._files)
            if now != seen:
                seen = now
                await self._reload()

    async def _reload(self) -> None:
        try:
            # One at a time: of two, the one that read the older file could end last.
            async with self._reloading:
                config = await asyncio.to_thread(self._load)
                variants = build.variants_of(config.upstream, config.variants)
                build.check_rules(config.alerts, config.monitors, variants)
                build.check_headers(self._graders, config.capture.headers)
                reference = await asyncio.to_thread(build.reference, config.reference)
                await self._replace(config)
                if self._monitor is not None:
                    await self._compare_with(reference, self._monitor.watching)
        except (ConfigError, OSError) as error:
            self._refusal = str(error)
            log.error("configuration refused, the earlier one stays: %s", "; ".join(self._refusal.splitlines()))  # noqa: TRY400  (the trace says nothing)

    async def _compare_with(self, reference: "Reference | None", watching: "Watching") -> None:
        """Go over to the reference in its folder, if that has changed."""
        seen = fingerprints(build.reference_files(self._config.reference))
        if reference is not None and seen != self._reference_seen:
            self._reference_seen = seen
            with watching.pipeline.surviving:
                await watching.adopt(reference)
                log.info("reference of %d rows in force", reference.profiles.rows)

    async def _replace(self, config: Config) -> None:
        """Go over to another configuration, all of it or nothing.

        Raises:
            ConfigError: It changes what holds for the life of the process.
            OSError: A certificate cannot be loaded.
        """
        earlier = self._config
        fixed = [key for key in FIXED if getattr(config, key) != getattr(earlier, key)]
        if fixed:
            raise ConfigError(*(Fault(key, "cannot change while running; expected a restart") for key in fixed))
        gateway = self._gateway(config)
        if self._tls is not None and config.tls is not None:
            # A certificate without its key would be refused, and yet spoil the context in use: another goes first.
            build.listener_tls(config.tls)
            self._tls.load_cert_chain(config.tls.cert, config.tls.key)
        if self._monitor is not None:
            if (explaining := self._monitor.watching.explaining) is not None:
                variants = build.variants_of(config.upstream, config.variants)
                explaining.upstreams = build.explained(explaining.monitor.options.url, variants)
            same_sinks = config.capture.sinks == earlier.capture.sinks
            kept = self._monitor.pipeline.parts.deliveries if same_sinks else ()
            await self._monitor.replace(self._parts(config, kept), FLUSH_S)
            await self._monitor.watching.alerting.replace(
                build.rules(config.alerts), build.channels(config.alerts.channels)
            )
            variants = build.variants_of(config.upstream, config.variants)
            await self._monitor.watching.retain(variants)
            self._monitor.places = build.places(config.tls, variants)
        before, self._listener.gateway = self._listener.gateway, gateway
        for old in before.pools.values():
            old.close()
        self._tap.resize(config.capture.buffer_bytes)
        self._config, self._refusal = config, ""
        self._revision, self._loaded_s = self._revision + 1, wall_s()
        log.info("configuration %d in force", self._revision)


def load_monitoring() -> None:
    """Import what serving does not need: numpy, aiohttp and what builds on them."""
    for name in ("sidecar.admin.server", "sidecar.alerts.store", "sidecar.monitor", "sidecar.payload"):
        import_module(name)


def _untold(event: "Event") -> None:
    """Where nobody asked for events."""


def fresh_id() -> bytes:
    """A request id: 32 hexadecimal digits."""
    return b"%032x" % random.getrandbits(128)


def wall_s() -> float:
    """The time of day, Unix seconds."""
    return time.time_ns() / 1e9
