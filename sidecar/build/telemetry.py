"""The ways out of what is told: what the standard variables say of each signal, and the exporters."""

import logging
import os
from collections.abc import Callable, Mapping
from importlib import import_module
from typing import TYPE_CHECKING, NamedTuple, TypeVar

from sidecar.config import schema
from sidecar.config.telemetry import Scrape
from sidecar.errors import ConfigError, Fault
from sidecar.sinks.otlp import OtlpSettings, otlp_settings
from sidecar.sinks.otlp_logs import OtlpLogsSettings, otlp_logs, otlp_logs_settings
from sidecar.sinks.otlp_traces import OtlpTracesSettings, otlp_traces, otlp_traces_settings
from sidecar.sinks.otlp_variables import faults, misspelt
from sidecar.stats.traced import Tracing

if TYPE_CHECKING:
    from sidecar.reporting import Exporting
    from sidecar.scraping.scraper import Target

log = logging.getLogger(__name__)

T = TypeVar("T")


class Signals(NamedTuple):
    """What is exported; None for what nobody asked for."""

    metrics: OtlpSettings | None
    logs: OtlpLogsSettings | None
    traces: OtlpTracesSettings | None


def signals(environ: Mapping[str, str]) -> Signals:
    """Read the standard variables.

    Raises:
        ConfigError: Some say what we cannot do.
    """
    wrong: list[Fault] = []
    found = Signals(
        _read(otlp_settings, environ, wrong),
        _read(otlp_logs_settings, environ, wrong),
        _read(otlp_traces_settings, environ, wrong),
    )
    wrong += faults(environ) if any(found) else []
    if wrong:
        raise ConfigError(*dict.fromkeys(wrong))
    for name, meant in misspelt(environ).items():
        log.warning("%s is no variable of OpenTelemetry's; did you mean %s?", name, meant)
    return found


def _read(settings: Callable[[Mapping[str, str]], T], environ: Mapping[str, str], wrong: list[Fault]) -> T | None:
    try:
        return settings(environ)
    except ConfigError as error:
        wrong += error.faults
        return None


def load(asked: Signals) -> None:
    """Import the exporters: that takes 0.3 s, for which requests would wait when there is something to export."""
    # Read when it is imported: else it writes to stderr by itself, beside our log.
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")
    for settings, module in zip(asked, ("metric_exporter", "_log_exporter", "trace_exporter"), strict=True):
        if settings is not None:
            package = "grpc" if settings.protocol == "grpc" else "http"
            import_module(f"opentelemetry.exporter.otlp.proto.{package}.{module}")


def exporting(asked: Signals, tracing: Tracing | None, *, service: str, version: str, scheme: str) -> "Exporting":
    """The exporters.

    Args:
        tracing: Holds the traces to be exported.
        service: Our name, where OTEL_SERVICE_NAME does not say another.
        scheme: Over which clients come: `http` or `https`.
    """
    from sidecar.reporting import Exporting
    from sidecar.sinks.otlp import Otlp

    metrics, logs, traces = asked
    return Exporting(
        metrics=Otlp(metrics, service=service, version=version) if metrics else None,
        interval_s=metrics.interval_s if metrics else 0.0,
        exponential=metrics.exponential if metrics else False,
        logs=otlp_logs(logs, service=service, version=version) if logs else None,
        traces=otlp_traces(traces, tracing, service=service, version=version, scheme=scheme)
        if traces and tracing
        else None,
    )


def targets(scrapes: tuple[Scrape, ...], variants: Mapping[str, schema.Variant]) -> "list[Target]":
    """What is scraped; without a variant, what is of the only one. What is of none of these is not."""
    from sidecar.scraping.scraper import Target

    return [
        Target(
            url=each.url,
            variant=each.variant or next(iter(variants)),
            interval_s=each.interval_s,
            timeout_s=each.timeout_s,
            include=each.include,
        )
        for each in scrapes
        if each.variant is None or each.variant in variants
    ]
