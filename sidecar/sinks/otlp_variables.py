"""The variables that opentelemetry's exporters read by themselves, looked at before: they pass over what is wrong."""

import os
import re
from collections.abc import Callable, Mapping
from difflib import get_close_matches
from itertools import product

from sidecar.errors import Fault

_OF_EXPORTERS = "OTEL_EXPORTER_OTLP_"
_SIGNALS = ("", "METRICS_", "LOGS_", "TRACES_")
_COMPRESSIONS = ("none", "gzip", "deflate")
_URL = re.compile(r"https?://[^\s/?#]+\S*", re.IGNORECASE)
_PLACE = re.compile(r"[^\s/:]+:[0-9]{1,5}|\[[0-9a-f:]+\]:[0-9]{1,5}", re.IGNORECASE)
_PAIR = re.compile(r"\s*[^=\s]+\s*=.*", re.DOTALL)


def faults(environ: Mapping[str, str]) -> list[Fault]:
    """What is wrong with them, by their names; of headers, which may hold a token, never the value."""
    found = []
    spoken = {environ.get(f"{_OF_EXPORTERS}{signal}PROTOCOL", "").strip() for signal in _SIGNALS}
    checks: dict[str, Callable[[str], str]] = {
        "ENDPOINT": lambda text: _endpoint(text, grpc="grpc" in spoken),
        "HEADERS": _pairs,
        "COMPRESSION": _compression,
        "CERTIFICATE": _file,
        "CLIENT_CERTIFICATE": _file,
        "CLIENT_KEY": _file,
    }
    named = {f"{_OF_EXPORTERS}{signal}{what}": checks[what] for what, signal in product(checks, _SIGNALS)}
    for name, check in (*named.items(), ("OTEL_RESOURCE_ATTRIBUTES", _pairs)):
        text = environ.get(name, "").strip()
        if text and (expected := check(text)):
            found.append(Fault(name, expected))
    return found


def misspelt(environ: Mapping[str, str]) -> dict[str, str]:
    """Variables that nobody reads, and each time the one that was meant, by all appearances."""
    found = {}
    for name in environ:
        if name.startswith("OTEL_") and name not in KNOWN and (close := get_close_matches(name, KNOWN, 1, 0.9)):
            found[name] = close[0]
    return found


KNOWN = frozenset(
    {
        *(
            f"{_OF_EXPORTERS}{signal}{what}"
            for signal, what in product(
                _SIGNALS,
                (
                    "CERTIFICATE",
                    "CLIENT_CERTIFICATE",
                    "CLIENT_KEY",
                    "COMPRESSION",
                    "ENDPOINT",
                    "HEADERS",
                    "INSECURE",
                    "PROTOCOL",
                    "TIMEOUT",
                ),
            )
        ),
        *(f"OTEL_{signal}EXPORTER" for signal in _SIGNALS[1:]),
        *(f"OTEL_BLRP_{what}" for what in ("EXPORT_TIMEOUT", "MAX_EXPORT_BATCH_SIZE", "MAX_QUEUE_SIZE")),
        *(f"OTEL_BSP_{what}" for what in ("EXPORT_TIMEOUT", "MAX_EXPORT_BATCH_SIZE", "MAX_QUEUE_SIZE")),
        "OTEL_BLRP_SCHEDULE_DELAY",
        "OTEL_BSP_SCHEDULE_DELAY",
        "OTEL_EXPORTER_OTLP_METRICS_DEFAULT_HISTOGRAM_AGGREGATION",
        "OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE",
        "OTEL_METRIC_EXPORT_INTERVAL",
        "OTEL_METRIC_EXPORT_TIMEOUT",
        "OTEL_PROPAGATORS",
        "OTEL_RESOURCE_ATTRIBUTES",
        "OTEL_SDK_DISABLED",
        "OTEL_SERVICE_NAME",
        "OTEL_TRACES_SAMPLER",
        "OTEL_TRACES_SAMPLER_ARG",
    }
)
"""Those that hold here; others of OpenTelemetry mean nothing."""


def _endpoint(text: str, *, grpc: bool) -> str:
    if _URL.fullmatch(text) or (grpc and _PLACE.fullmatch(text)):
        return ""
    return f"expected http://host:port or https://host:port, got {text!r}"


def _pairs(text: str) -> str:
    wrong = [place for place, each in enumerate(text.split(","), start=1) if each.strip() and not _PAIR.fullmatch(each)]
    return f"expected name=value, or several with commas between them; number {wrong[0]} is none" if wrong else ""


def _compression(text: str) -> str:
    known = text.lower() in _COMPRESSIONS
    return "" if known else f"expected {' or '.join(_COMPRESSIONS)}, got {text!r}"


def _file(text: str) -> str:
    return "" if os.access(text, os.R_OK) else f"expected a file that can be read, got {text}"
