"""The ways out: what sinks, exporters and channels made of what they were given."""

from collections.abc import Sequence
from typing import Protocol

from sidecar.instruments.table import metric
from sidecar.records import Attributes, Metric


class Outlet(Protocol):
    """A way out, with what it made of what it was given."""

    @property
    def name(self) -> str:
        """Unique among its kind."""
        ...

    @property
    def delivered(self) -> int:
        """Taken."""
        ...

    @property
    def dropped(self) -> int:
        """Never sent."""
        ...

    @property
    def failed(self) -> int:
        """Sent, and not taken."""
        ...

    @property
    def last_error(self) -> str:
        """Why, the last time; empty before the first."""
        ...

    @property
    def waiting(self) -> int:
        """Not sent yet."""
        ...


class ExportOutlet(Outlet, Protocol):
    """A way out to a collector."""

    @property
    def failing(self) -> bool:
        """Whether the latest attempt failed."""
        ...


class SinkOutlet(Outlet, Protocol):
    """A way out that keeps files."""

    @property
    def deleted_files(self) -> int:
        """Deleted to make room for later ones."""
        ...

    @property
    def waiting_bytes(self) -> int:
        """What waits, in memory."""
        ...


def sink_metrics(sinks: Sequence[SinkOutlet]) -> list[Metric]:
    """What became of captures, by sink."""
    named: list[tuple[Attributes, SinkOutlet]] = [({"sidecar.sink": sink.name}, sink) for sink in sinks]
    return [
        *outlet_metrics("sidecar.sink", named),
        metric("sidecar.sink.held", [(at, sink.waiting_bytes) for at, sink in named]),
        metric("sidecar.sink.deleted", [(at, sink.deleted_files) for at, sink in named]),
    ]


def export_metrics(exporters: Sequence[Outlet]) -> list[Metric]:
    """What became of the reports before this one, and of events."""
    return outlet_metrics("sidecar.export", [({"sidecar.exporter": each.name}, each) for each in exporters])


def outlet_metrics(prefix: str, outlets: Sequence[tuple[Attributes, Outlet]]) -> list[Metric]:
    """The counts of each, under names that begin so."""
    return [
        metric(f"{prefix}.delivered", [(at, outlet.delivered) for at, outlet in outlets]),
        metric(f"{prefix}.dropped", [(at, outlet.dropped) for at, outlet in outlets]),
        metric(f"{prefix}.failed", [(at, outlet.failed) for at, outlet in outlets]),
        metric(f"{prefix}.waiting", [(at, outlet.waiting) for at, outlet in outlets]),
    ]
