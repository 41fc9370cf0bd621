"""The report: all metrics as they are at one moment, gathered from whoever knows them.

A part that fails leaves out its own metrics, and no other's.
"""

import asyncio
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import NamedTuple, Protocol

from sidecar import __version__, instruments
from sidecar.infrastructure.reader import Infrastructure
from sidecar.proxy.shadow import Counts
from sidecar.proxy.tap import Tap
from sidecar.records import Event, Metric, Report
from sidecar.routing.availability import State
from sidecar.routing.rollout import percent
from sidecar.scraping.scraper import Scraping
from sidecar.sinks.otlp import Otlp
from sidecar.sinks.otlp_sending import Sending
from sidecar.stats.served import Served
from sidecar.stats.traced import Traced, Tracing
from sidecar.stats.traffic import Traffic
from sidecar.stats.window import Snapshot
from sidecar.watching import Watching

Part = Callable[[], Sequence[Metric]]
"""Tells some metrics."""


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
    logs: Sending[Event] | None
    traces: Sending[Traced] | None

    @property
    def outlets(self) -> list[instruments.ExportOutlet]:
        """Those that there are."""
        return [each for each in (self.metrics, self.logs, self.traces) if each is not None]

    async def close(self, timeout_s: float) -> None:
        """Bring away what waits; what is not within `timeout_s` is given up."""
        known = (self.metrics, self.logs, self.traces)
        await asyncio.gather(*(asyncio.to_thread(each.close, timeout_s) for each in known if each is not None))


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


class Reporting:
    """Makes reports.

    Args:
        watching: Knows what the rows say.
        traffic: What the request path counts.
        tap: What it hands over.
        wall_s: The time of day, Unix seconds.
        exporting: Where reports go.
        beside: What else is told.

    Attributes:
        places: To be set before the first report; likewise the next.
        upstreams: How the variants are.
        started_s: Unix time since which all is counted.
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
        self.places = Places("http", {})
        self.upstreams: Arms | None = None
        self.started_s = wall_s()
        self.exporting = exporting
        self.beside = beside
        self._watching = watching
        self._pipeline = watching.pipeline
        self._traffic = traffic
        self._tap = tap
        self._wall_s = wall_s

    async def report(self) -> Report:
        """All metrics as they are now: what is counted on the event loop there, what takes milliseconds in a thread."""
        metrics = self._gathered(self._quick())
        traffic = Traffic(max_series=self.beside.max_series)
        for _ in self._traffic.copied_to(traffic):
            await asyncio.sleep(0)
        snapshots = await self._pipeline.snapshots()
        now_s = self._pipeline.now_s()
        metrics += await asyncio.to_thread(self._gathered, self._slow(traffic, snapshots, now_s))
        metrics += await asyncio.to_thread(self._gathered, self._over(metrics))
        return Report(self.started_s, self._wall_s(), metrics)

    def counts(self) -> instruments.CaptureCounts:
        """What became of exchanges so far."""
        pipeline, tap = self._pipeline, self._tap
        return instruments.CaptureCounts(
            tap.offered, pipeline.captured, tap.dropped, tap.held_bytes, len(tap), pipeline.rows, pipeline.failures
        )

    def _gathered(self, parts: Iterator[Part]) -> list[Metric]:
        metrics: list[Metric] = []
        for part in parts:
            with self._pipeline.surviving:
                metrics += part()
        return metrics

    def _quick(self) -> Iterator[Part]:
        watching, beside, exporting = self._watching, self.beside, self.exporting
        yield lambda: instruments.capture_metrics(self.counts())
        yield lambda: instruments.sink_metrics(self._pipeline.parts.deliveries)
        yield self._version_metrics
        yield lambda: instruments.export_metrics(exporting.outlets)
        yield lambda: instruments.alert_metrics(watching.alerting.alerts, watching.alerting.outlets)
        yield lambda: instruments.info_metrics(__version__)
        yield lambda: instruments.trace_metrics(beside.tracing)
        yield lambda: instruments.itself_metrics(beside.itself())

    def _slow(self, traffic: Traffic, snapshots: Mapping[tuple[str, str], Snapshot], now_s: float) -> Iterator[Part]:
        """What is summed or read anew."""
        limit, truth, explaining = self.beside.max_series, self._watching.truth, self._watching.explaining
        infrastructure = self.beside.infrastructure
        yield lambda: instruments.traffic_metrics(
            traffic,
            scheme=self.places.scheme,
            upstreams=self.places.upstreams,
            exponential=self.exporting.exponential,
        )
        yield lambda: instruments.window_metrics(
            {key: snapshot.current(now_s) for key, snapshot in snapshots.items()}, max_series=limit
        )
        if self.exporting.metrics:
            yield lambda: instruments.value_metrics(snapshots, max_series=limit)
        yield lambda: instruments.watch_metrics(
            self._watching.following, self._watching.broken, max_series=limit, variants=tuple(self.places.upstreams)
        )
        if truth is not None:
            yield lambda: instruments.label_metrics(truth.counts, truth.dropped, truth.outcomes, max_series=limit)
            yield lambda: instruments.quality_metrics(truth.grading, max_series=limit)
            yield lambda: instruments.bias_metrics(truth.comparing, max_series=limit)
        if explaining is not None:
            yield lambda: instruments.attribution_metrics(explaining.monitor, explaining.calls)
        yield lambda: instruments.custom_metrics(self._pipeline.parts.custom)
        if infrastructure is not None:
            yield lambda: instruments.infrastructure_metrics(infrastructure.read())

    def _over(self, metrics: list[Metric]) -> Iterator[Part]:
        """What is told of all others, or must not have a name of theirs."""
        renamed: list[Metric] = []
        if self.beside.endpoint:
            with self._pipeline.surviving:
                renamed += self._renamed(metrics)
        yield lambda: renamed
        yield lambda: instruments.scrape_metrics(self.beside.scraping.scrapers, beside=[*metrics, *renamed])

    def _renamed(self, metrics: list[Metric]) -> list[Metric]:
        """These under CloudWatch's names."""
        watching, limit = self._watching, self.beside.max_series
        monitors = instruments.Monitors(
            watching.following,
            watching.truth.comparing if watching.truth else None,
            watching.explaining.monitor if watching.explaining else None,
        )
        return instruments.cloudwatch_metrics(metrics, monitors, endpoint=self.beside.endpoint, max_series=limit)

    def _version_metrics(self) -> list[Metric]:
        """Who serves, and what experiments say."""
        upstreams, trials = self.upstreams, self._watching.trials
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
