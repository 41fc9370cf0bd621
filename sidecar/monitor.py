"""Everything behind the request path, put together: the pipeline, the report of all metrics and its way out."""

import asyncio
from collections.abc import Coroutine
from contextlib import suppress

from sidecar.pipeline import Parts
from sidecar.reporting import Reporting
from sidecar.sinks.otlp import Otlp
from sidecar.tasks import Tasks
from sidecar.watching import Watching


class Monitor:
    """The monitor of one sidecar.

    Args:
        watching: Knows what the rows say; its pipeline drains the tap.
        reporting: Tells of it all.
    """

    def __init__(self, watching: Watching, reporting: Reporting) -> None:
        self.watching = watching
        self.pipeline = watching.pipeline
        self.reporting = reporting
        self._tasks = Tasks()

    def start(self) -> None:
        """Begin to drain and to export."""
        exporting = self.reporting.exporting
        self._tasks.start(self.pipeline.run())
        if exporting.metrics:
            self._tasks.start(self._export(exporting.metrics, exporting.interval_s))

    async def replace(self, parts: Parts, timeout_s: float) -> None:
        """Go on with other parts; sinks that are not among them are flushed and closed."""
        earlier, self.pipeline.parts = self.pipeline.parts, parts
        for delivery in set(earlier.deliveries) - set(parts.deliveries):
            await asyncio.to_thread(delivery.close, timeout_s)

    async def close(self, timeout_s: float) -> None:
        """Work off what waits, and bring everything to where it goes; a fault of one part keeps no other from it."""
        await self._tasks.close()
        await self._ended(self._drained(timeout_s))
        await self._ended(self.watching.close(timeout_s))
        await self._ended(self.reporting.beside.scraping.close())
        exporting, infrastructure = self.reporting.exporting, self.reporting.beside.infrastructure
        if exporting.metrics:
            await self._ended(self._exported(exporting.metrics))
        closing = [asyncio.to_thread(each.close, timeout_s) for each in self.pipeline.parts.deliveries]
        await asyncio.gather(*map(self._ended, (*closing, exporting.close(timeout_s))))
        if infrastructure is not None:
            infrastructure.close()

    async def _ended(self, work: Coroutine[object, object, None]) -> None:
        with self.pipeline.surviving:
            await work

    async def _drained(self, timeout_s: float) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                await self.pipeline.drain()

    async def _exported(self, exporter: Otlp) -> None:
        exporter.export(await self.reporting.report())

    async def _export(self, exporter: Otlp, interval_s: float) -> None:
        while True:
            await asyncio.sleep(interval_s)
            await self._ended(self._exported(exporter))
