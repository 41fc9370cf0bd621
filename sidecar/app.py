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
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING

import uvloop

from sidecar import __version__
from sidecar.build import monitoring, serving, telemetry
from sidecar.config.addresses import parse_address
from sidecar.config.fingerprints import fingerprints
from sidecar.config.schema import Config
from sidecar.errors import ConfigError, Fault, SidecarError
from sidecar.proxy.gateway import Gateway
from sidecar.proxy.listener import Listener
from sidecar.proxy.tap import Tap
from sidecar.sinks.own_log import OwnLog, configuration_event, configure
from sidecar.stats.traffic import Traffic
from sidecar.steering import Steering
from sidecar.tasks import Tasks
from sidecar.upstreams import Means, Upstreams

if TYPE_CHECKING:
    from aiohttp.web import Application, AppRunner

    from sidecar.admin.view import View
    from sidecar.monitor import Monitor
    from sidecar.reference.folder import Reference
    from sidecar.reporting import Exporting
    from sidecar.stats.history import History
    from sidecar.watching import Watching

log = logging.getLogger(__name__)

WATCH_S = 1.0
"""Between two looks at the configuration's files, a stat each. (A watcher by inotify takes 16 MB of memory.)"""

FLUSH_S = 4.0
"""For captures and metrics to be brought away after the last request."""

SWITCH_S = 0.0005
"""How long another thread may keep the interpreter from the request path; Python's own value is 5 ms."""

GC_ALLOCATIONS = 50_000
"""Between two looks for cycles among young objects: requests make none, and captures waiting are no garbage."""

TOLD = {"event_name": "sidecar.configuration"}
"""Of lines of the log that an event tells too."""

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
    "catalog",
    "fleet",
    "state",
    "telemetry",
    "log",
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
    own = configure(format=config.log.format, level=config.log.level, stream=sys.stderr)
    sys.setswitchinterval(SWITCH_S)
    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            return runner.run(App(config, load, files, own).run())
    except (ConfigError, OSError):
        raise
    except Exception:
        # Where lines are JSON this is one too; Python would write text.
        log.critical("ended by a fault", exc_info=True)
        return 1
    finally:
        own.close()


@dataclass(slots=True)
class Revisions:
    """What became of configurations.

    Args:
        number: Of the one in force; the first is 1.
        loaded_s: Unix time since when it is.
        refusal: Why the latest one was refused; empty where it was taken up.
        refused: How many were.
    """

    number: int
    loaded_s: float
    refusal: str = ""
    refused: int = 0


class App:
    """The running sidecar."""

    def __init__(self, config: Config, load: Callable[[], Config], files: Sequence[str], own: OwnLog) -> None:
        self._own = own
        self._load = load
        self._files = (*files, *serving.tls_files(config.tls), *monitoring.reference_files(config.reference))
        self._revisions = Revisions(1, wall_s())
        self._reloading = asyncio.Lock()
        self._stop = asyncio.Event()
        self._tasks = Tasks()
        self._traffic = Traffic(max_series=config.telemetry.max_series)
        self._tap = Tap(buffer_bytes=config.capture.buffer_bytes)
        self._tls = serving.listener_tls(config.tls)
        self._signals = telemetry.signals(os.environ)
        self._tracing = serving.tracing(self._signals.traces, config.telemetry.tail, random.getrandbits)
        means = Means(self._traffic, self._tap, self._tasks, fresh_id, time.monotonic, wall_s, self._tracing)
        self._steering = Steering(
            config,
            serving.journal(config.state),
            fleet=monitoring.fleet(config.fleet),
            prepare=self._rerouting,
            wall_s=wall_s,
        )
        self._steering.telling(own.tell)
        _tell_weights(config, self._steering)
        config = self._config = self._steering.effective
        self._upstreams = Upstreams(config, means)
        monitoring.check_rules(config)
        self._reference_seen = fingerprints(monitoring.reference_files(config.reference))
        self._reference = monitoring.reference(config.reference)
        # One in memory can wait until requests are served.
        self._store = monitoring.store(config.state) if config.state else None
        self._graders = monitoring.graders(config)
        self._attributing = monitoring.attributing(config.monitors)
        monitoring.weighing(config, 0.0)
        self._token = serving.admin_token(config.admin_token, config.admin_token_file)
        self._listener = Listener(self._upstreams.gateway)
        self._upstreams.put = self._put
        self._monitor: Monitor | None = None
        self._exporting: Exporting | None = None
        self._admin: AppRunner | None = None

    async def run(self) -> int:
        """Serve until told to stop; returns the exit code."""
        config = self._config
        with (
            serving.bind(parse_address(config.listen), "listen") as listen_socket,
            serving.bind(parse_address(config.admin), "admin") as admin_socket,
        ):
            self._heed_signals()
            await self._listener.open(listen_socket, tls=self._tls)
            log.info("admin on %s", serving.address_of(admin_socket))
            log.info("serving on %s", serving.address_of(listen_socket))
            watching = self._tasks.start(self._watch())
            self._tasks.start(self._upstreams.watch())
            self._steering.start()
            begun = self._tasks.start(self._begin_monitoring(admin_socket))
            await self._stop.wait()
            log.info("stopping: no new connections; requests in flight may finish")
            watching.cancel()
            await self._listener.drain(self._config.timeouts.drain_s)
            await asyncio.wait({begun}, timeout=FLUSH_S)
            if self._monitor is not None:
                await self._monitor.close(FLUSH_S)
            elif self._exporting is not None:
                await self._exporting.close(FLUSH_S)
            if self._admin is not None:
                await self._admin.cleanup()
            await self._upstreams.close()
            await self._steering.close()
            await self._tasks.close()
        return 0

    def _rerouting(self, config: Config) -> Callable[[], None]:
        """Make what another configuration's routes need, and give what puts them in force. See `Upstreams.prepare`."""
        put = self._upstreams.prepare(config)
        watching = self._monitor.watching if self._monitor is not None else None
        explaining = watching.explaining if watching is not None else None
        variants = serving.variants_of(config.upstream, config.variants)
        others = _places(config) != _places(self._config)
        explained = {}
        if others and explaining is not None:
            explained = monitoring.explained(explaining.monitor.options.url, variants)
        if others and self._monitor is not None:
            monitoring.weighing(config, 0.0)  # a variant may lack what a measure needs of it

        def reroute() -> None:
            put()
            self._config = config
            if others and explaining is not None:
                explaining.upstreams = explained
            if self._monitor is not None:
                reporting = self._monitor.reporting
                reporting.places = monitoring.places(config.tls, variants)
                reporting.beside.scraping.aim(telemetry.targets(config.telemetry.scrape, variants))
                self._tasks.start(self._monitor.watching.retain(variants))

        return reroute

    def _put(self, gateway: Gateway) -> None:
        self._listener.gateway = gateway

    # Monitoring

    async def _begin_monitoring(self, admin_socket: socket.socket) -> None:
        """Load in a thread what serving does not wait for, then start it; where that fails, say so and serve on."""
        app = None
        try:
            await asyncio.to_thread(load_monitoring)
            await asyncio.to_thread(telemetry.load, self._signals)
            app = await self._monitored(admin_socket)
        except Exception:
            log.exception("monitoring could not begin; serving goes on")
            self._monitor = None
        from sidecar.admin.server import start, unmonitored

        self._admin = await start(unmonitored(self._not_ready) if app is None else app, admin_socket)
        gc.collect()
        gc.freeze()
        gc.set_threshold(GC_ALLOCATIONS)
        log.info("monitoring" if self._monitor is not None else "not monitoring")

    async def _monitored(self, admin_socket: socket.socket) -> "Application":
        """Begin to monitor; what the admin side answers."""
        from sidecar.admin.server import application
        from sidecar.assembly import Made, Served, beside, watching
        from sidecar.chronicle import Chronicle
        from sidecar.monitor import Monitor
        from sidecar.reporting import Reporting

        config, exporting = self._config, self._opened()
        served = Served(
            self._traffic,
            self._tap,
            self._upstreams,
            self._steering,
            self._tracing,
            self._tasks,
            lambda: self._listener.draining,
            wall_s,
        )
        watches = watching(
            config,
            served,
            Made(self._store, self._graders, self._attributing),
            admin=serving.address_of(admin_socket),
            tell=self._own.tell,
        )
        reporting = Reporting(
            watches,
            self._traffic,
            self._tap,
            wall_s=wall_s,
            exporting=exporting,
            beside=beside(config, served, watches.pipeline, self._own, self._revisions),
        )
        monitor = self._monitor = Monitor(watches, reporting)
        reporting.upstreams = self._upstreams
        # Not those of the beginning: there may be others since.
        variants = serving.variants_of(self._config.upstream, self._config.variants)
        reporting.places = monitoring.places(config.tls, variants)
        await monitor.watching.alerting.start()
        await monitor.watching.start(self._reference, config.reference.learn_rows, config.reference.learn_s)
        monitor.start()
        chronicle = Chronicle(watches, self._traffic, wall_s=wall_s)
        self._tasks.start(chronicle.run())
        view = self._view(monitor, chronicle.history)
        return application(view, token=self._token, address=parse_address(config.admin))

    def _opened(self) -> "Exporting":
        """The ways to the collector, from now on also of what is logged."""
        config = self._config
        scheme = "https" if config.tls else "http"
        names = {"service": config.endpoint, "version": __version__, "scheme": scheme}
        found = self._exporting = telemetry.exporting(self._signals, self._tracing, **names)
        self._own.export(found.logs.put if found.logs else None)
        return found

    def _view(self, monitor: "Monitor", history: "History") -> "View":
        from sidecar.admin.view import ConfigView, VariantView, View

        pipeline = monitor.pipeline
        return View(
            version=__version__,
            started_s=monitor.reporting.started_s,
            wall_s=wall_s,
            clock=pipeline.now_s,
            not_ready=self._not_ready,
            report=monitor.reporting.report,
            traffic=self._traffic,
            variants=lambda: [
                VariantView(name, variant.version, variant.weight, variant.url)
                for name, variant in serving.variants_of(self._config.upstream, self._config.variants).items()
            ],
            snapshots=pipeline.snapshots,
            watching=monitor.watching,
            recent=pipeline.recent,
            counts=monitor.reporting.counts,
            sinks=lambda: pipeline.parts.deliveries,
            exporters=monitor.reporting.exporting.outlets,
            config=lambda: ConfigView(self._revisions.number, self._revisions.loaded_s, self._revisions.refusal),
            steering=self._steering,
            upstreams=self._upstreams,
            trials=monitor.watching.trials,
            cataloguing=monitor.watching.cataloguing,
            history=history,
            link=self._config.alerts.link or "",
        )

    def _not_ready(self) -> list[str]:
        reasons = ["stopping"] if self._listener.draining else []
        return reasons if self._upstreams.answering else [*reasons, "no upstream answers"]

    # Signals and reloading

    def _heed_signals(self) -> None:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._end, number)
        loop.add_signal_handler(signal.SIGHUP, lambda: self._tasks.start(self._reload_once()))

    def _end(self, number: int) -> None:
        if self._stop.is_set():
            self._own.close()
            os._exit(128 + number)
        self._stop.set()

    async def _watch(self) -> None:
        """Reload when a file changes."""
        seen = fingerprints(self._files)
        while True:
            await asyncio.sleep(WATCH_S)
            now = fingerprints(self._files)
            if now != seen and await self._reload():
                seen = now

    async def _reload(self) -> bool:
        """Go over to the configuration as it is now; False where that may be possible later."""
        try:
            # One at a time: of two, the one that read the older file could end last.
            async with self._reloading:
                config = await asyncio.to_thread(self._load)
                monitoring.check_rules(config)
                monitoring.check_labels(self._graders, config)
                monitoring.weighing(config, 0.0)
                reference = await asyncio.to_thread(monitoring.reference, config.reference)
                await self._replace(config)
                if self._monitor is not None:
                    await self._compare_with(reference, self._monitor.watching)
        except (SidecarError, OSError) as error:
            if str(error) != self._revisions.refusal:
                told = "; ".join(str(error).splitlines())
                log.error("configuration refused, the earlier one stays: %s", told, extra=TOLD)  # noqa: TRY400  (the trace says nothing)
                self._refuse(str(error))
            return isinstance(error, ConfigError)
        except Exception as error:
            log.exception("a fault while reloading, the earlier configuration stays")
            self._refuse(f"a fault of the sidecar: {error}")
        return True

    def _refuse(self, why: str) -> None:
        revisions = self._revisions
        revisions.refusal, revisions.refused = why, revisions.refused + 1
        self._own.tell(configuration_event(revisions.number, wall_s(), why))

    async def _reload_once(self) -> None:
        await self._reload()

    async def _compare_with(self, reference: "Reference | None", watching: "Watching") -> None:
        """Go over to the reference in its folder, if that has changed."""
        seen = fingerprints(monitoring.reference_files(self._config.reference))
        if reference is not None and seen != self._reference_seen:
            self._reference_seen = seen
            with watching.pipeline.surviving:
                await watching.adopt(reference)
                log.info("reference of %d rows in force", reference.profiles.rows)

    async def _replace(self, config: Config) -> None:
        """Go over to another configuration, all of it or nothing.

        Args:
            config: As the file and its like have it: the routes in force may be others.

        Raises:
            ConfigError: It changes what holds for the life of the process.
            OSError: A certificate cannot be loaded.
            SidecarError: Its routes cannot be kept.
        """
        earlier = self._config
        fixed = [key for key in FIXED if getattr(config, key) != getattr(earlier, key)]
        if fixed:
            raise ConfigError(*(Fault(key, "cannot change while running; expected a restart") for key in fixed))
        if self._tls is not None and config.tls is not None:
            # A certificate without its key would be refused, and yet spoil the context in use: another goes first.
            serving.listener_tls(config.tls)
        await self._steering.declare(config)
        _tell_weights(config, self._steering)
        if self._tls is not None and config.tls is not None:
            self._tls.load_cert_chain(config.tls.cert, config.tls.key)
        if self._monitor is not None:
            same_sinks = config.capture.sinks == earlier.capture.sinks
            kept = self._monitor.pipeline.parts.deliveries if same_sinks else ()
            from sidecar.assembly import parts

            await self._monitor.replace(parts(config, kept, self._monitor.pipeline.parts.custom), FLUSH_S)
            await self._monitor.watching.alerting.replace(
                monitoring.rules(config.alerts), monitoring.channels(config.alerts.channels)
            )
        self._tap.resize(config.capture.buffer_bytes)
        self._revisions.refusal = ""
        self._revisions.number, self._revisions.loaded_s = self._revisions.number + 1, wall_s()
        log.info("configuration %d in force", self._revisions.number, extra=TOLD)
        self._own.tell(configuration_event(self._revisions.number, wall_s()))


def load_monitoring() -> None:
    """Import what serving does not need: numpy, aiohttp and what builds on them."""
    for name in ("sidecar.admin.server", "sidecar.assembly"):
        import_module(name)


def _places(config: Config) -> object:
    """Where the variants are."""
    return config.upstream, [(name, each.url, each.tls) for name, each in config.variants.items()]


def _tell_weights(config: Config, steering: Steering) -> None:
    """Say which weights of the file are not in force: who edits these would wait for nothing.

    Args:
        config: As the file and its like have it.
    """
    wanted, weights = ({name: each.weight for name, each in of.variants.items()} for of in (config, steering.effective))
    others = [
        f"{name} {_percent(weights, name)} (file: {_percent(wanted, name)})"
        for name in wanted
        if name in weights and _percent(weights, name) != _percent(wanted, name)
    ]
    if others:
        own = f"those of revision {steering.course.revision}, not the configuration's"
        told = own if steering.plan is None else "set by the rollout, not by the configuration"
        log.info("weights are %s: %s", told, ", ".join(others))


def _percent(weights: Mapping[str, float], name: str) -> str:
    return f"{100 * weights[name] / (sum(weights.values()) or 1.0):.4g} %"


def fresh_id() -> bytes:
    """A request id: 32 hexadecimal digits."""
    return b"%032x" % random.getrandbits(128)


def wall_s() -> float:
    """The time of day, Unix seconds."""
    return time.time_ns() / 1e9
