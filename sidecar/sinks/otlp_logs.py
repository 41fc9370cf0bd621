"""Events to an OpenTelemetry collector as log records: through the SDK's own exporters, on a thread of its own.

The standard variables rule. Without OTEL_LOGS_EXPORTER and without an OTEL_EXPORTER_OTLP[_LOGS]_ENDPOINT nothing is
exported.

An event is told once, so that each counts: while an export goes on they wait, and so they do while the collector is
away, the oldest to be sent first. Of one that stays away the cost is a full queue.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from sidecar.records import Event
from sidecar.sinks.otlp_data import log_records
from sidecar.sinks.otlp_resource import resource
from sidecar.sinks.otlp_sending import AGAIN_S, Exporters, Sending
from sidecar.sinks.otlp_settings import Exporter, Protocol, batches, exporters, protocol, timeout_s
from sidecar.sinks.otlp_waiting import Bounds

if TYPE_CHECKING:
    from opentelemetry.sdk._logs import ReadableLogRecord
    from opentelemetry.sdk._logs.export import LogRecordExporter
    from opentelemetry.sdk.resources import Resource

# The default of OpenTelemetry's specification.
DELAY_MS = 1_000.0


@dataclass(frozen=True, slots=True)
class OtlpLogsSettings:
    """What the standard variables say of log records.

    Args:
        exporters: At least one.
        timeout_s: For one export, retries included.
        delay_s: From the first event of a batch to its export, unless the batch is full before.
        max_waiting: Events that wait; what comes beyond takes the place of the oldest.
        max_batch: Events of one export, at most `max_waiting`.
    """

    exporters: tuple[Exporter, ...]
    protocol: Protocol
    timeout_s: float
    delay_s: float
    max_waiting: int
    max_batch: int


def otlp_logs_settings(environ: Mapping[str, str]) -> OtlpLogsSettings | None:
    """Read the standard variables; None where nothing is to be exported.

    Raises:
        ConfigError: A variable says what we cannot do.
    """
    if not (asked := exporters(environ, "LOGS")):
        return None
    return OtlpLogsSettings(
        asked,
        protocol(environ, "LOGS"),
        timeout_s(environ, "LOGS", limit="OTEL_BLRP_EXPORT_TIMEOUT"),
        *batches(environ, "BLRP", DELAY_MS),
    )


def otlp_logs(settings: OtlpLogsSettings, *, service: str, version: str) -> Sending[Event]:
    """Exports events, in order, and never waits for the collector; takes them from any thread.

    Args:
        service: Our name, where OTEL_SERVICE_NAME does not say another.
        version: Ours.
    """
    return Sending(
        _Sender(settings, service, version),
        name="otlp-logs",
        what="events",
        bounds=Bounds(settings.max_waiting, settings.max_batch, settings.delay_s, AGAIN_S),
    )


class _Sender:
    """Events on their way to the exporters."""

    def __init__(self, settings: OtlpLogsSettings, service: str, version: str) -> None:
        self._service = service
        self._version = version
        self._exporters: Exporters[Sequence[ReadableLogRecord]] = Exporters(
            lambda: [_exporter(name, settings) for name in settings.exporters]
        )
        self.close = self._exporters.close

    @cached_property
    def _resource(self) -> "Resource":
        return resource(service=self._service, version=self._version)

    def send(self, batch: Sequence[Event]) -> bool:
        """Whether every exporter took them."""
        return self._exporters.export(log_records(batch, self._resource, self._version))


def _exporter(name: Exporter, settings: OtlpLogsSettings) -> "LogRecordExporter":
    if name == "console":
        from opentelemetry.sdk._logs.export import ConsoleLogRecordExporter

        return ConsoleLogRecordExporter()
    if settings.protocol == "grpc":
        from opentelemetry.exporter.otlp.proto.grpc._log_exporter import OTLPLogExporter as Grpc

        return Grpc(timeout=settings.timeout_s)
    from opentelemetry.exporter.otlp.proto.http._log_exporter import OTLPLogExporter as Http

    return Http(timeout=settings.timeout_s)
