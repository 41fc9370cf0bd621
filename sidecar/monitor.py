"""Everything behind the request path, put together: the pipeline, the report of all metrics and its way out."""

import asyncio
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import NamedTuple, Protocol

from sidecar import __version__, instruments
from sidecar.admin.prometheus import metric_name
from sidecar.infrastructure.reader import Infrastructure
from sidecar.pipeline import Parts
from sidecar.proxy.shadow import Counts
from sidecar.proxy.tap import Tap
from sidecar.records import Metric, Report
from sidecar.routing.availability import State
from sidecar.routing.rollout import percent
from sidecar.scraping.scraper import Scraping
from sidecar.sinks.otlp import Otlp
from sidecar.sinks.otlp_logs import OtlpLogs
from sidecar.sinks.otlp_traces import OtlpTraces
from sidecar.stats.served import Served
from sidecar.stats.traced import Tracing
from sidecar.stats.traffic import Traffic
from sidecar.tasks import Tasks
from sidecar.watching import Watching


class Arms(Protocol):
    """How the variants are, and what becomes of their requests."""

    @property
    def served(self) -> Served:
        """Requests that an experiment weighs."""
        ...

    @property
    def shadowed(self) -> Counts:
        """What became of copies."""
        ...

    @property
    def ejections(self) -> Mapping[str, int]:
        """How often each variant was ejected."""
        ...

    @property
    def states(self) -> Mapping[str, tuple[State, float]]:
        """How each variant was when the traffic was last dealt, and the part of its traffic that it may take since."""
        ...


class Places(NamedTuple):
    """Where requests come in and where they go, as metrics name it.

    Args:
        scheme: Of the listener: `http` or `https`.
        upstreams: Host and port by variant; port 0 for a Unix socket.
    """

    scheme: str
    upstreams: Mapping[str, tuple[str, int]]


class Exporting(NamedTuple):
    """Where reports, events and traces go.

    Args:
        metrics: None where nobody asked for them; likewise the other two.
        interval_s: Between reports.
        exponential: Reports have durations in exponential buckets too.
    """

    metrics: Otlp | None
    interval_s: float
    exponential: bool
    logs: OtlpLogs | None
    traces: OtlpTraces | None

    @property
    def outlets(self) -> list[instruments.Outlet]:
        """Those that there are."""
        return [each for each in (self.metrics, self.logs, self.traces) if each is not None]


class Beside(NamedTuple):
    """What is told beside what traffic and rows say, and how much of all.

    Args:
        max_series: Label sets per metric.
        itself: How the sidecar does, now.
        tracing: What became of traces; None where there are none.
        infrastructure: None where nobody wants it.
        scraping: What model servers offer.
        endpoint: Whose metrics are told under CloudWatch's names too; empty for none.
    """

    max_series: int
    itself: Callable[[], instruments.Itself]
    tracing: Tracing | None
    infrastructure: Infrastructure | None
    scraping: Scraping
    endpoint: str


class Monitor:
    """The monitor of one sidecar.

    Args:
        watching: Knows what the rows say; its pipeline drains the tap.
        traffic: What the request path counts.
        tap: What it hands over.
        wall_s: The time of day, Unix seconds.
        exporting: Where it all goes.
        beside: What else is told.

    Attributes:
        places: To be set before the first report; likewise the next.
        upstreams: How the variants are.
    """

    def __init__(
        self,
        watching: Watching,
        traffic: Traffic,
        tap: Tap,
        *,
        wall_s: Callable[[], float],
        exporting: Exporting,
        beside: Beside,
    ) -> None:
        self.watching = watching
        self.pipeline = watching.pipeline
        self.exporting = exporting
        self.beside = beside
        self.places = Places("http", {})
        self.upstreams: Arms | None = None
        self.started_s = wall_s()
        self._traffic = traffic
        self._tap = tap
        self._wall_s = wall_s
        self._tasks = Tasks()

    def start(self) -> None:
        """Begin to drain and to export."""
        self._tasks.start(self.pipeline.run())
        if self.exporting.metrics:
            self._tasks.start(self._export(self.exporting.metrics, self.exporting.interval_s))

    async def replace(self, parts: Parts, timeout_s: float) -> None:
        """Go on with other parts; sinks that are not among them are flushed and closed."""
        earlier, self.pipeline.parts = self.pipeline.parts, parts
        for delivery in set(earlier.deliveries) - set(parts.deliveries):
            await asyncio.to_thread(delivery.close, timeout_s)

    def counts(self) -> instruments.CaptureCounts:
        """What became of exchanges so far."""
        pipeline, tap = self.pipeline, self._tap
        return instruments.CaptureCounts(
            tap.offered, pipeline.captured, tap.dropped, tap.held_bytes, len(tap), pipeline.rows, pipeline.failures
        )

    async def report(self) -> Report:
        """All metrics as they are now."""
        windows = await self._window_metrics()
        metrics = [
            *instruments.traffic_metrics(
                self._traffic,
                scheme=self.places.scheme,
                upstreams=self.places.upstreams,
                exponential=self.exporting.exponential,
            ),
            *instruments.capture_metrics(self.counts()),
            *instruments.sink_metrics(self.pipeline.parts.deliveries),
            *windows,
            *self._version_metrics(),
            *await self._label_metrics(),
            *await self._attribution_metrics(),
            *instruments.export_metrics(self.exporting.outlets),
            *instruments.alert_metrics(self.watching.alerting.alerts, self.watching.alerting.outlets),
            *instruments.info_metrics(__version__),
            *instruments.trace_metrics(self.beside.tracing),
            *instruments.itself_metrics(self.beside.itself()),
        ]
        return Report(self.started_s, self._wall_s(), await asyncio.to_thread(self._with_others, metrics))

    def _with_others(self, metrics: list[Metric]) -> list[Metric]:
        """These, and what is read or said anew for a report: in a thread, it takes milliseconds."""
        infrastructure, surviving = self.beside.infrastructure, self.pipeline.surviving
        with surviving:
            metrics += instruments.custom_metrics(self.pipeline.parts.custom)
        if infrastructure is not None:
            with surviving:
                metrics += instruments.infrastructure_metrics(infrastructure.read())
        if self.beside.endpoint:
            with surviving:
                metrics += self._renamed(metrics)
        with surviving:
            metrics += instruments.scrape_metrics(self.beside.scraping.scrapers, beside=metrics, name_of=metric_name)
        return metrics

    def _renamed(self, metrics: list[Metric]) -> list[Metric]:
        """These under CloudWatch's names."""
        watching, limit = self.watching, self.beside.max_series
        monitors = instruments.Monitors(
            watching.following,
            watching.truth.comparing if watching.truth else None,
            watching.explaining.monitor if watching.explaining else None,
        )
        return instruments.cloudwatch_metrics(metrics, monitors, endpoint=self.beside.endpoint, max_series=limit)

    def _version_metrics(self) -> list[Metric]:
        """Who serves, and what experiments say."""
        upstreams, trials = self.upstreams, self.watching.trials
        if upstreams is None or trials is None:
            return []
        steering = trials.steering
        available = {name: part for name, (_, part) in upstreams.states.items()}
        dropped = upstreams.served.dropped + (trials.weighing.dropped if trials.weighing else 0)
        share = percent(steering.plan, steering.course.progress) if steering.plan else None
        return [
            *instruments.routing_metrics(steering.routes.variants, available, upstreams.ejections, self._traffic),
            *instruments.shadow_metrics(upstreams.shadowed),
            *instruments.experiment_metrics(trials.standings, dropped, share),
        ]

    async def _label_metrics(self) -> list[Metric]:
        """What labels say, where a monitor wants them."""
        truth, limit = self.watching.truth, self.beside.max_series
        if truth is None:
            return []
        return await asyncio.to_thread(
            lambda: [
                *instruments.label_metrics(truth.counts, truth.dropped, truth.outcomes, max_series=limit),
                *instruments.quality_metrics(truth.grading, max_series=limit),
                *instruments.bias_metrics(truth.comparing, max_series=limit),
            ]
        )

    async def _attribution_metrics(self) -> list[Metric]:
        """What attributions say, where a monitor wants them."""
        explaining = self.watching.explaining
        if explaining is None:
            return []
        return await asyncio.to_thread(instruments.attribution_metrics, explaining.monitor, explaining.calls)

    async def _window_metrics(self) -> list[Metric]:
        """Those of the current windows and their drift, made in a thread: many features take milliseconds."""
        snapshots = await self.pipeline.snapshots()
        now_s = self.pipeline.now_s()

        def metrics() -> list[Metric]:
            summaries = {key: snapshot.current(now_s) for key, snapshot in snapshots.items()}
            watching, limit = self.watching, self.beside.max_series
            return [
                *instruments.window_metrics(summaries, max_series=limit),
                *(instruments.value_metrics(snapshots, max_series=limit) if self.exporting.metrics else ()),
                *instruments.watch_metrics(
                    watching.following, watching.broken, max_series=limit, variants=tuple(self.places.upstreams)
                ),
            ]

        return await asyncio.to_thread(metrics)

    async def close(self, timeout_s: float) -> None:
        """Work off what waits, and bring everything to where it goes."""
        await self._tasks.close()
        with suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                await self.pipeline.drain()
        await self.watching.close(timeout_s)
        await self.beside.scraping.close()
        closing = [asyncio.to_thread(delivery.close, timeout_s) for delivery in self.pipeline.parts.deliveries]
        if self.exporting.metrics:
            self.exporting.metrics.export(await self.report())
            closing.append(asyncio.to_thread(self.exporting.metrics.close, timeout_s))
        closing += [
            asyncio.to_thread(each.close, timeout_s)
            for each in (self.exporting.logs, self.exporting.traces)
            if each is not None
        ]
        await asyncio.gather(*closing)
        if self.beside.infrastructure is not None:
            self.beside.infrastructure.close()

    async def _export(self, exporter: Otlp, interval_s: float) -> None:
        while True:
            await asyncio.sleep(interval_s)
            exporter.export(await self.report())
