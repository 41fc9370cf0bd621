"""Metrics to an OpenTelemetry collector: through the SDK's own exporters, on a thread of its own.

The standard variables rule. Without OTEL_METRICS_EXPORTER and without an OTEL_EXPORTER_OTLP[_METRICS]_ENDPOINT nothing
is exported: a sidecar that nobody gave a collector does not knock at localhost:4318 every minute.

An export takes as long as the collector pleases, up to a limit; meanwhile at most one report waits, and a later one
replaces it. Reports are cumulative, so that a lost one costs nothing but its moment.
"""

import logging
import os
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from typing import TYPE_CHECKING, Literal

from sidecar.errors import ConfigError, Fault
from sidecar.records import Report
from sidecar.sinks.otlp_data import metrics_data, resource_attributes

if TYPE_CHECKING:
    from opentelemetry.sdk.metrics.export import MetricExporter
    from opentelemetry.sdk.resources import Resource

log = logging.getLogger(__name__)

Exporter = Literal["otlp", "console"]
Protocol = Literal["http/protobuf", "grpc"]

# The defaults of OpenTelemetry's specification.
INTERVAL_MS = 60_000.0
EXPORT_TIMEOUT_MS = 30_000.0
REQUEST_TIMEOUT_S = 10.0


@dataclass(frozen=True, slots=True)
class OtlpSettings:
    """What the standard variables say.

    Args:
        exporters: At least one.
        interval_s: Between reports.
        timeout_s: For one export, retries included.
        delta: What only grows is told as differences. Those that a failed export should have told are in the next; if
            the collector took what it did not acknowledge, it counts that twice.
    """

    exporters: tuple[Exporter, ...]
    protocol: Protocol
    interval_s: float
    timeout_s: float
    delta: bool


def otlp_settings(environ: Mapping[str, str]) -> OtlpSettings | None:
    """Read the standard variables; None where nothing is to be exported. Empty ones count as absent.

    OTEL_EXPORTER_OTLP_TIMEOUT is in seconds, as opentelemetry-python reads it, and OTEL_METRIC_EXPORT_TIMEOUT, in
    milliseconds, is its upper limit. Endpoints, headers, compression and certificates are the exporters' own concern.

    Raises:
        ConfigError: A variable says what we cannot do.
    """
    exporters = _exporters(environ)
    if not exporters or environ.get("OTEL_SDK_DISABLED", "").strip().lower() == "true":
        return None
    request_s = _number(environ, "OTEL_EXPORTER_OTLP_TIMEOUT", REQUEST_TIMEOUT_S)
    request_s = _number(environ, "OTEL_EXPORTER_OTLP_METRICS_TIMEOUT", request_s)
    return OtlpSettings(
        exporters,
        _protocol(environ),
        _number(environ, "OTEL_METRIC_EXPORT_INTERVAL", INTERVAL_MS) / 1000,
        min(request_s, _number(environ, "OTEL_METRIC_EXPORT_TIMEOUT", EXPORT_TIMEOUT_MS) / 1000),
        _delta(environ),
    )


def _exporters(environ: Mapping[str, str]) -> tuple[Exporter, ...]:
    name = "OTEL_METRICS_EXPORTER"
    exporters: list[Exporter] = []
    if not (text := environ.get(name, "")):
        endpoints = ("OTEL_EXPORTER_OTLP_METRICS_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
        return ("otlp",) if any(environ.get(each) for each in endpoints) else ()
    for word in map(str.strip, text.split(",")):
        if word in {"otlp", "console"}:
            exporters.append("otlp" if word == "otlp" else "console")
        # What Prometheus reads is at /metrics whatever this variable says.
        elif word not in {"none", "prometheus"}:
            raise ConfigError(Fault(name, f"expected otlp, console, prometheus or none, got {word!r}"))
    return tuple(exporters)


def _protocol(environ: Mapping[str, str]) -> Protocol:
    name = "OTEL_EXPORTER_OTLP_METRICS_PROTOCOL"
    if not environ.get(name):
        name = "OTEL_EXPORTER_OTLP_PROTOCOL"
    text = environ.get(name, "").strip()
    if text in {"", "http/protobuf"}:
        return "http/protobuf"
    if text != "grpc":
        raise ConfigError(Fault(name, f"expected http/protobuf or grpc, got {text!r}"))
    if find_spec("opentelemetry.exporter.otlp.proto.grpc") is None:
        raise ConfigError(Fault(name, "grpc needs the extra of that name: expected `pip install sidecar[grpc]`"))
    return "grpc"


def _number(environ: Mapping[str, str], name: str, default: float) -> float:
    text = environ.get(name, "").strip()
    try:
        number = float(text) if text else default
    except ValueError:
        number = float("nan")
    if not 0 < number < float("inf"):
        raise ConfigError(Fault(name, f"expected a number above 0, got {text!r}"))
    return number


def _delta(environ: Mapping[str, str]) -> bool:
    name = "OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE"
    text = environ.get(name, "").strip()
    if text.lower() not in {"", "cumulative", "delta", "lowmemory"}:
        raise ConfigError(Fault(name, f"expected cumulative, delta or lowmemory, got {text!r}"))
    return text.lower() in {"delta", "lowmemory"}


class Otlp:
    """Exports reports, the latest first of all, and never waits for the collector.

    Args:
        service: Our name, where OTEL_SERVICE_NAME does not say another.
        version: Ours.

    Attributes:
        delivered: Reports that the collector took.
        dropped: Reports that never were sent: a later one came while they waited, or the time to close was over.
        failed: Reports that the collector did not take.
        last_error: Why, the last time; empty before the first.
    """

    name = "otlp"

    def __init__(self, settings: OtlpSettings, *, service: str, version: str) -> None:
        self.delivered = self.dropped = self.failed = 0
        self.last_error = ""
        self._failing = False
        self._waiting: Report | None = None
        self._closing = False
        self._turn = threading.Condition()
        self._sender = _Sender(settings, service, version)
        self._thread = threading.Thread(target=self._run, name="otlp", daemon=True)
        self._thread.start()

    def export(self, report: Report) -> None:
        """Queue the report, in place of one that still waits."""
        with self._turn:
            if self._closing or self._waiting is not None:
                self.dropped += 1
            if not self._closing:
                self._waiting = report
                self._turn.notify()

    def close(self, timeout_s: float) -> None:
        """Export what waits; what is not exported within `timeout_s` is given up."""
        with self._turn:
            self._closing = True
            self._turn.notify()
        self._thread.join(timeout_s)
        if self._thread.is_alive():
            log.warning("metrics export: not done within %g s of closing, given up", timeout_s)
            self._sender.close()
        with self._turn:
            self.dropped += self._waiting is not None
            self._waiting = None

    def _run(self) -> None:
        with _Words() as words:
            while (report := self._next()) is not None:
                words.first = ""
                try:
                    error = "" if self._sender.send(report) else words.first or "the exporter did not say why"
                except Exception as unexpected:  # noqa: BLE001 - the exporters' own mistakes; the next report may do better
                    error = repr(unexpected)
                self._count(error)
            self._sender.close()

    def _next(self) -> Report | None:
        """The report that waits, when there is one; None at the end."""
        with self._turn:
            self._turn.wait_for(lambda: self._waiting is not None or self._closing)
            report, self._waiting = self._waiting, None
            return report

    def _count(self, error: str) -> None:
        """A change is worth a line in the log, a state is not."""
        if error and not self._failing:
            log.warning("metrics export fails: %s", error)
        elif self._failing and not error:
            log.info("metrics export works again")
        self._failing = bool(error)
        self.last_error = error or self.last_error
        self.failed += self._failing
        self.delivered += not self._failing


class _Sender:
    """Opentelemetry's exporters, made when the first report is there: to import them takes 0.3 s."""

    def __init__(self, settings: OtlpSettings, service: str, version: str) -> None:
        self._settings = settings
        self._service = service
        self._version = version
        self._exporters: list[MetricExporter] = []
        self._resource: Resource | None = None
        self._before: Report | None = None
        self._closed = False

    def send(self, report: Report) -> bool:
        """Whether every exporter took it."""
        from opentelemetry.sdk.metrics.export import MetricExportResult

        resource = self._resource = self._resource or _resource(self._service, self._version)
        if not self._exporters:
            self._exporters = [_exporter(name, self._settings) for name in self._settings.exporters]
        data = metrics_data(report, resource, self._version, delta=self._settings.delta, before=self._before)
        taken = all([exporter.export(data) is MetricExportResult.SUCCESS for exporter in self._exporters])
        if taken:
            self._before = report
        return taken

    def close(self) -> None:
        """End retries, which else go on for as long as an export may take."""
        if not self._closed:
            self._closed = True
            for exporter in self._exporters:
                exporter.shutdown()


def _resource(service: str, version: str) -> "Resource":
    from opentelemetry.sdk.resources import OTELResourceDetector, Resource

    # What is given to `create` wins over the variables, and has to yield to them.
    said = OTELResourceDetector().detect().attributes
    ours = resource_attributes(os.environ, service=service, version=version)
    return Resource.create({name: value for name, value in ours.items() if name not in said})


def _exporter(name: Exporter, settings: OtlpSettings) -> "MetricExporter":
    if name == "console":
        from opentelemetry.sdk.metrics.export import ConsoleMetricExporter

        return ConsoleMetricExporter()
    if settings.protocol == "grpc":
        from opentelemetry.exporter.otlp.proto.grpc.metric_exporter import OTLPMetricExporter as Grpc

        return Grpc(timeout=settings.timeout_s)
    from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter as Http

    return Http(timeout=settings.timeout_s)


class _Words(logging.Handler):
    """Takes what opentelemetry says, every retry of every export, off the log; keeps the first words of one export."""

    def __init__(self) -> None:
        super().__init__()
        self.first = ""
        self._from = logging.getLogger("opentelemetry")

    def emit(self, record: logging.LogRecord) -> None:
        self.first = self.first or record.getMessage()

    def __enter__(self) -> "_Words":
        self._from.addHandler(self)
        self._from.propagate = False
        return self

    def __exit__(self, *_: object) -> None:
        self._from.removeHandler(self)
        self._from.propagate = True
