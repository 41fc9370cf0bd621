"""Metrics to an OpenTelemetry collector: through the SDK's own exporters, on a thread of its own.

The standard variables rule. Without OTEL_METRICS_EXPORTER and without an OTEL_EXPORTER_OTLP[_METRICS]_ENDPOINT nothing
is exported: a sidecar that nobody gave a collector does not knock at localhost:4318 every minute.

While an export goes on at most one report waits, and a later one replaces it. Reports are cumulative, so that a lost
one costs nothing but its moment.

A metric that cannot be encoded is left out, for the exporters refuse a report whole: what a model server or a column is
called must not cost the others.
"""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING

from sidecar.errors import ConfigError, Fault
from sidecar.records import Metric, Report
from sidecar.sinks.growth import Past, tell
from sidecar.sinks.otlp_data import metrics_data
from sidecar.sinks.otlp_resource import resource
from sidecar.sinks.otlp_sending import Exporters, Sending
from sidecar.sinks.otlp_settings import Exporter, Protocol, exporters, number, protocol, timeout_s
from sidecar.texts import shown

if TYPE_CHECKING:
    from opentelemetry.sdk.metrics.export import MetricExporter, MetricsData
    from opentelemetry.sdk.resources import Resource

log = logging.getLogger(__name__)

INTERVAL_MS = 60_000.0
"""The default of OpenTelemetry's specification."""

MAX_WORDS = 200
"""Of what the encoder says."""

AGGREGATIONS = ("explicit_bucket_histogram", "base2_exponential_bucket_histogram")
"""Its words for histograms; the first is its default."""


@dataclass(frozen=True, slots=True)
class OtlpSettings:
    """What the standard variables say of metrics.

    Args:
        exporters: At least one.
        interval_s: Between reports.
        timeout_s: For one export, retries included.
        delta: What only grows is told as differences. Those that a failed export should have told are in the next; if
            the collector took what it did not acknowledge, it counts that twice.
        exponential: Durations are told in exponential buckets; reports are to be made so.
    """

    exporters: tuple[Exporter, ...]
    protocol: Protocol
    interval_s: float
    timeout_s: float
    delta: bool
    exponential: bool = False


def otlp_settings(environ: Mapping[str, str]) -> OtlpSettings | None:
    """Read the standard variables; None where nothing is to be exported.

    Raises:
        ConfigError: A variable says what we cannot do.
    """
    # What Prometheus reads is at /metrics whatever the variable says.
    if not (asked := exporters(environ, "METRICS", elsewhere=("prometheus",))):
        return None
    return OtlpSettings(
        asked,
        protocol(environ, "METRICS"),
        number(environ, "OTEL_METRIC_EXPORT_INTERVAL", INTERVAL_MS) / 1000,
        timeout_s(environ, "METRICS", limit="OTEL_METRIC_EXPORT_TIMEOUT"),
        _delta(environ),
        _exponential(environ),
    )


def _delta(environ: Mapping[str, str]) -> bool:
    name = "OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE"
    text = environ.get(name, "").strip()
    if text.lower() not in {"", "cumulative", "delta", "lowmemory"}:
        raise ConfigError(Fault(name, f"expected cumulative, delta or lowmemory, got {text!r}"))
    return text.lower() in {"delta", "lowmemory"}


def _exponential(environ: Mapping[str, str]) -> bool:
    name = "OTEL_EXPORTER_OTLP_METRICS_DEFAULT_HISTOGRAM_AGGREGATION"
    text = environ.get(name, "").strip()
    if text.lower() not in {"", *AGGREGATIONS}:
        raise ConfigError(Fault(name, f"expected {' or '.join(AGGREGATIONS)}, got {text!r}"))
    return text.lower() == AGGREGATIONS[1]


class Otlp:
    """Exports reports, the latest first of all, and never waits for the collector.

    Args:
        service: Our name, where OTEL_SERVICE_NAME does not say another.
        version: Ours.
    """

    name = "otlp"

    def __init__(self, settings: OtlpSettings, *, service: str, version: str) -> None:
        self._sender = _Sender(settings, service, version)
        self._sending = Sending[Report](self._sender, name=self.name, what="metrics")

    @property
    def delivered(self) -> int:
        """Reports that the collector took."""
        return self._sending.delivered

    @property
    def dropped(self) -> int:
        """Never sent: reports, as a later one came or the time to close was over; metrics that cannot be encoded."""
        return self._sending.dropped + self._sender.omitted

    @property
    def failed(self) -> int:
        """Reports that the collector did not take."""
        return self._sending.failed

    @property
    def last_error(self) -> str:
        """Why, the last time; empty before the first."""
        return self._sending.last_error

    @property
    def waiting(self) -> int:
        """Reports that wait to be sent: one, or none."""
        return self._sending.waiting

    @property
    def failing(self) -> bool:
        """Whether the latest report was not taken."""
        return self._sending.failing

    def export(self, report: Report) -> None:
        """Queue the report, in place of one that still waits."""
        self._sending.put(report)

    def close(self, timeout_s: float) -> None:
        """Export what waits; what is not exported within `timeout_s` is given up."""
        self._sending.close(timeout_s)


class _Sender:
    """Remembers what the collector knows by the last report that it took: differences are differences from that.

    Attributes:
        omitted: Metrics that could not be encoded, of all reports.
    """

    def __init__(self, settings: OtlpSettings, service: str, version: str) -> None:
        self.omitted = 0
        self._omitting = False
        self._delta = settings.delta
        self._service = service
        self._version = version
        self._past = Past()
        self._exporters: Exporters[MetricsData] = Exporters(
            lambda: [_exporter(name, settings) for name in settings.exporters]
        )
        self.close = self._exporters.close

    @cached_property
    def _resource(self) -> "Resource":
        return resource(service=self._service, version=self._version)

    def send(self, batch: Sequence[Report]) -> bool:
        """Whether every exporter took it, the one report that there is."""
        (report,) = batch
        refusal: Exception | None = None
        try:
            if self._export(report):
                self._omitting = False
                return True
        except Exception as error:  # noqa: BLE001 - raised again, unless what cannot be encoded is the reason
            refusal = error
        # Of that one exporter raises what the encoder has to say, and another one says that it has failed.
        if sound := self._sound(report):
            return self._export(sound)
        if refusal is not None:
            raise refusal
        return False

    def _export(self, report: Report) -> bool:
        told, past = tell(report, self._past, delta=self._delta)
        data = metrics_data(told, report.time_s, self._resource, self._version, delta=self._delta)
        if taken := self._exporters.export(data):
            self._past = past
        return taken

    def _sound(self, report: Report) -> Report | None:
        """The report without what cannot be encoded; None where that is nothing, or all of it. Says so once."""
        problems = [self._problem(report, metric) for metric in report.metrics]
        told = list(zip(report.metrics, problems, strict=True))
        broken = [(metric.name, problem) for metric, problem in told if problem]
        sound = [metric for metric, problem in told if not problem]
        if not broken or not any(metric.points for metric in sound):
            return None
        self.omitted += len(broken)
        if not self._omitting:
            name, problem = broken[0]
            log.warning(
                "metrics export: %d metrics cannot be encoded and are left out: %s: %s",
                len(broken),
                shown(name, 80),
                problem,
            )
        self._omitting = True
        return replace(report, metrics=sound)

    def _problem(self, report: Report, metric: Metric) -> str:
        """Why the metric cannot be encoded, found out by doing so; empty where it can."""
        from opentelemetry.exporter.otlp.proto.common.metrics_encoder import encode_metrics

        try:
            told, _ = tell(replace(report, metrics=[metric]), self._past, delta=self._delta)
            encode_metrics(metrics_data(told, report.time_s, self._resource, self._version, delta=self._delta))
        except Exception as error:  # noqa: BLE001 - whatever it is, the others are to go on
            # Before the last line the encoder tells all of the metric.
            return shown(str(error).rpartition("\n")[2] or type(error).__name__, MAX_WORDS)
        return ""


def _exporter(name: Exporter, settings: OtlpSettings) -> "MetricExporter":
    if name == "console":
        from opentelemetry.sdk.metrics.export import ConsoleMetricExporter

        return ConsoleMetricExporter()
    if settings.protocol == "grpc":
        from opentelemetry.exporter.otlp.proto.grpc.metric_exporter import OTLPMetricExporter as Grpc

        return Grpc(timeout=settings.timeout_s)
    from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter as Http

    return Http(timeout=settings.timeout_s)
