"""What OpenTelemetry's names of metrics and attributes are in Prometheus.

https://opentelemetry.io/docs/specs/otel/compatibility/prometheus_and_openmetrics/
"""

import re

UNITS = {
    "d": "days",
    "h": "hours",
    "min": "minutes",
    "s": "seconds",
    "ms": "milliseconds",
    "us": "microseconds",
    "ns": "nanoseconds",
    "By": "bytes",
    "KiBy": "kibibytes",
    "MiBy": "mebibytes",
    "GiBy": "gibibytes",
    "Cel": "celsius",
    "J": "joules",
    "W": "watts",
    "V": "volts",
    "A": "amperes",
    "g": "grams",
    "m": "meters",
    "Hz": "hertz",
    "%": "percent",
}
"""Units of UCUM, and the words that the collector's translation has for them. Units in braces are notes and go. `1` is
not among them: a gauge of that unit is a `_ratio` to some and not to others."""

RESERVED = frozenset({"target_info", "otel_scope_info"})
"""Metrics in which exporters say whose metrics the others are."""

_OF_HISTOGRAM = ("", "_bucket", "_sum", "_count")
_FOREIGN = re.compile(r"[^a-zA-Z0-9_]")
_FOREIGN_IN_NAME = re.compile(r"[^a-zA-Z0-9_:]")


def family_name(name: str, unit: str, kind: str) -> str:
    """The name of a metric: of a counter its sample's, of a histogram what its samples' begin with.

    Example:
        >>> family_name("http.server.request.duration", "s", "histogram")
        'http_server_request_duration_seconds'
        >>> family_name("sidecar.tunnels", "{tunnel}", "counter")
        'sidecar_tunnels_total'
        >>> family_name("vllm:inter_token_latency_seconds", "s", "histogram")
        'vllm:inter_token_latency_seconds'
        >>> family_name("cost.total", "", "counter")
        'cost_total'
    """
    translated, word = _FOREIGN_IN_NAME.sub("_", name), UNITS.get(unit, "")
    total = "_total" if kind == "counter" else ""
    translated = translated.removesuffix(total)
    return (translated if not word or translated.endswith(f"_{word}") else f"{translated}_{word}") + total


def sample_names(name: str, unit: str, kind: str) -> frozenset[str]:
    """All names that a metric takes.

    Example:
        >>> sorted(sample_names("wait", "s", "histogram"))
        ['wait_seconds', 'wait_seconds_bucket', 'wait_seconds_count', 'wait_seconds_sum']
    """
    family = family_name(name, unit, kind)
    return frozenset(family + suffix for suffix in (_OF_HISTOGRAM if kind == "histogram" else ("",)))


def label_name(name: str) -> str:
    """The name of an attribute.

    Example:
        >>> label_name("http.route")
        'http_route'
    """
    return _FOREIGN.sub("_", name)
