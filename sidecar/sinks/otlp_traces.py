"""Traces to an OpenTelemetry collector: through the SDK's own exporters, on a thread of its own.

The standard variables rule. Without OTEL_TRACES_EXPORTER and without an OTEL_EXPORTER_OTLP[_TRACES]_ENDPOINT there are
no traces, and requests keep the context that they came with.

The request path wakes the thread at most twice a batch, not for each trace: a thread that wakes wants the interpreter,
and takes it from the requests.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from sidecar.errors import ConfigError, Fault
from sidecar.sinks.otlp_resource import resource
from sidecar.sinks.otlp_sending import AGAIN_S, Exporters, Sending
from sidecar.sinks.otlp_settings import Exporter, Protocol, batches, exporters, protocol, timeout_s
from sidecar.sinks.otlp_span_exporters import span_exporter
from sidecar.sinks.otlp_spans import add_spans, without_spans
from sidecar.sinks.otlp_waiting import Bounds, Filled
from sidecar.stats.traced import Sampler, Traced, Tracing

if TYPE_CHECKING:
    from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
    from opentelemetry.sdk.resources import Resource

# The defaults of OpenTelemetry's specification.
DELAY_MS = 5_000.0
SAMPLER = "parentbased_always_on"

SPANS = 2
"""Of a request, at most: the variables count spans, we count traces."""

RATIOS: Mapping[str, float | None] = {"always_on": 1.0, "always_off": 0.0, "traceidratio": None}
"""By the sampler's word; None where OTEL_TRACES_SAMPLER_ARG says it."""

PARENT_BASED = "parentbased_"

PROPAGATORS = ("tracecontext", "baggage")
"""That we know. Of these the second changes nothing: `baggage` is passed on as any other field is."""


@dataclass(frozen=True, slots=True)
class OtlpTracesSettings:
    """What the standard variables say of traces.

    Args:
        exporters: At least one.
        timeout_s: For one export, retries included.
        delay_s: From the first trace of a batch to its export, unless the batch is full before.
        max_waiting: Traces that wait; what comes beyond is dropped.
        max_batch: Traces of one export, at most `max_waiting`.
        sampler: Which are sampled.
        propagates: Requests carry trace context.
    """

    exporters: tuple[Exporter, ...]
    protocol: Protocol
    timeout_s: float
    delay_s: float
    max_waiting: int
    max_batch: int
    sampler: Sampler
    propagates: bool


def otlp_traces_settings(environ: Mapping[str, str]) -> OtlpTracesSettings | None:
    """Read the standard variables; None where nothing is to be exported.

    Raises:
        ConfigError: A variable says what we cannot do.
    """
    if not (asked := exporters(environ, "TRACES")):
        return None
    delay_s, max_waiting, max_batch = batches(environ, "BSP", DELAY_MS)
    return OtlpTracesSettings(
        asked,
        protocol(environ, "TRACES"),
        timeout_s(environ, "TRACES", limit="OTEL_BSP_EXPORT_TIMEOUT"),
        delay_s,
        max(1, max_waiting // SPANS),
        max(1, max_batch // SPANS),
        _sampler(environ),
        _propagates(environ),
    )


def _sampler(environ: Mapping[str, str]) -> Sampler:
    name = "OTEL_TRACES_SAMPLER"
    text = environ.get(name, "").strip()
    word = text.lower() or SAMPLER
    parent_based = word.startswith(PARENT_BASED)
    word = word.removeprefix(PARENT_BASED)
    if word not in RATIOS:
        known = ", ".join(RATIOS)
        raise ConfigError(Fault(name, f"expected {known}, or {PARENT_BASED} before one of them, got {text!r}"))
    ratio = RATIOS[word]
    return Sampler(_ratio(environ) if ratio is None else ratio, parent_based)


def _ratio(environ: Mapping[str, str]) -> float:
    name = "OTEL_TRACES_SAMPLER_ARG"
    text = environ.get(name, "").strip()
    try:
        found = float(text or "1")
    except ValueError:
        found = float("nan")
    if not 0 <= found <= 1:
        raise ConfigError(Fault(name, f"expected a number from 0 to 1, got {text!r}"))
    return found


def _propagates(environ: Mapping[str, str]) -> bool:
    name = "OTEL_PROPAGATORS"
    words = [word.strip().lower() for word in (environ.get(name, "").strip() or ",".join(PROPAGATORS)).split(",")]
    for word in words:
        if word not in {*PROPAGATORS, "none"}:
            raise ConfigError(Fault(name, f"expected {', '.join(PROPAGATORS)} or none, got {word!r}"))
    return PROPAGATORS[0] in words and "none" not in words


def otlp_traces(
    settings: OtlpTracesSettings, tracing: Tracing, *, service: str, version: str, scheme: str
) -> Sending[Traced]:
    """Exports traces, in order, and never waits for the collector.

    Args:
        tracing: Whose. What was taken of those that wait and not delivered waits again, beside as many as may wait.
        service: Our name, where OTEL_SERVICE_NAME does not say another.
        version: Ours.
        scheme: Over which clients come: `http` or `https`.
    """
    sending = Sending(
        _Sender(settings, _Whose(service, version, scheme)),
        name="otlp-traces",
        what="traces",
        bounds=Bounds(settings.max_waiting, settings.max_batch, settings.delay_s, AGAIN_S),
        filled=Filled(tracing.waiting, lambda: tracing.dropped["queue_full"]),
    )
    tracing.ring = sending.ring
    # What came while nobody listened has rung in vain.
    sending.ring()
    return sending


@dataclass(frozen=True, slots=True)
class _Whose:
    """What all spans have in common."""

    service: str
    version: str
    scheme: str


class _Sender:
    """Traces on their way to the exporters."""

    def __init__(self, settings: OtlpTracesSettings, whose: _Whose) -> None:
        self._whose = whose
        self._exporters: Exporters[ExportTraceServiceRequest] = Exporters(
            lambda: [
                span_exporter(name, settings.protocol, timeout_s=settings.timeout_s, resource=self._resource)
                for name in settings.exporters
            ]
        )
        self.close = self._exporters.close

    @cached_property
    def _resource(self) -> "Resource":
        return resource(service=self._whose.service, version=self._whose.version)

    @cached_property
    def _empty(self) -> "ExportTraceServiceRequest":
        return without_spans(self._resource, self._whose.version)

    def send(self, batch: Sequence[Traced]) -> bool:
        """Whether every exporter took them."""
        told = type(self._empty)()
        told.CopyFrom(self._empty)
        add_spans(told, batch, scheme=self._whose.scheme)
        return self._exporters.export(told)
