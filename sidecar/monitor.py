"""Everything behind the request path, put together: the pipeline, the report of all metrics and its way out."""

import asyncio
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import NamedTuple

from sidecar import __version__, instruments
from sidecar.pipeline import Parts, Pipeline
from sidecar.proxy.tap import Tap
from sidecar.records import Metric, Report
from sidecar.sinks.otlp import Otlp
from sidecar.stats.traffic import Traffic
from sidecar.tasks import Tasks


class Places(NamedTuple):
    """Where requests come in and where they go, as metrics name it.

    Args:
        scheme: Of the listener: `http` or `https`.
        upstreams: Host and port by variant; port 0 for a Unix socket.
    """

    scheme: str
    upstreams: Mapping[str, tuple[str, int]]


class Monitor:
    """The monitor of one sidecar.

    Args:
        pipeline: Drains the tap.
        traffic: What the request path counts.
        tap: What it hands over.
        max_series: Label sets per metric.
        wall_s: The time of day, Unix seconds.
        exporter: Where reports go, and how often, in seconds; None where nobody asked for them.

    Attributes:
        places: To be set before the first report.
    """

    def __init__(
        self,
        pipeline: Pipeline,
        traffic: Traffic,
        tap: Tap,
        *,
        max_series: int,
        wall_s: Callable[[], float],
        exporter: tuple[Otlp, float] | None,
    ) -> None:
        self.pipeline = pipeline
        self.places = Places("http", {})
        self.started_s = wall_s()
        self._traffic = traffic
        self._tap = tap
        self._max_series = max_series
        self._wall_s = wall_s
        self._exporter = exporter
        self._tasks = Tasks()

    def start(self) -> None:
        """Begin to drain and to export."""
        self._tasks.start(self.pipeline.run())
        if self._exporter:
            self._tasks.start(self._export(*self._exporter))

    async def replace(self, parts: Parts, timeout_s: float) -> None:
        """Go on with other parts; sinks that are not among them are flushed and closed."""
        earlier, self.pipeline.parts = self.pipeline.parts, parts
        for delivery in set(earlier.deliveries) - set(parts.deliveries):
            await asyncio.to_thread(delivery.close, timeout_s)

    @property
    def exporter(self) -> Otlp | None:
        """Where reports go."""
        return self._exporter[0] if self._exporter else None

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
            *instruments.traffic_metrics(self._traffic, scheme=self.places.scheme, upstreams=self.places.upstreams),
            *instruments.capture_metrics(self.counts()),
            *instruments.sink_metrics(self.pipeline.parts.deliveries),
            *windows,
            *instruments.info_metrics(__version__),
        ]
        if self._exporter:
            metrics += instruments.export_metrics(self._exporter[0])
        return Report(self.started_s, self._wall_s(), metrics)

    async def _window_metrics(self) -> list[Metric]:
        """Those of the current windows, summed in a thread: a window of many features takes milliseconds."""
        snapshots = await self.pipeline.snapshots()
        now_s = self.pipeline.now_s()

        def metrics() -> list[Metric]:
            summaries = {key: snapshot.current(now_s) for key, snapshot in snapshots.items()}
            return instruments.window_metrics(summaries, max_series=self._max_series)

        return await asyncio.to_thread(metrics)

    async def close(self, timeout_s: float) -> None:
        """Work off what waits, and bring everything to where it goes."""
        await self._tasks.close()
        with suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                await self.pipeline.drain()
        closing = [asyncio.to_thread(delivery.close, timeout_s) for delivery in self.pipeline.parts.deliveries]
        if self._exporter:
            exporter, _ = self._exporter
            exporter.export(await self.report())
            closing.append(asyncio.to_thread(exporter.close, timeout_s))
        await asyncio.gather(*closing)

    async def _export(self, exporter: Otlp, interval_s: float) -> None:
        while True:
            await asyncio.sleep(interval_s)
            exporter.export(await self.report())
