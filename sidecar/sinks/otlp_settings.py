"""The standard variables that OpenTelemetry has for every signal: where to, over what, for how long.

Empty ones count as absent. Endpoints, headers, compression and certificates are the exporters' own concern.
"""

import threading
from collections.abc import Mapping
from importlib.util import find_spec
from typing import Literal

from sidecar.errors import ConfigError, Fault

Signal = Literal["METRICS", "LOGS", "TRACES"]
Exporter = Literal["otlp", "console"]
Protocol = Literal["http/protobuf", "grpc"]

# The defaults of OpenTelemetry's specification.
EXPORT_TIMEOUT_MS = 30_000.0
REQUEST_TIMEOUT_S = 10.0
MAX_WAITING = 2_048
MAX_BATCH = 512


def exporters(environ: Mapping[str, str], signal: Signal, *, elsewhere: tuple[str, ...] = ()) -> tuple[Exporter, ...]:
    """Where a signal goes; empty where nobody asked for it.

    Without OTEL_{signal}_EXPORTER that is where OTEL_EXPORTER_OTLP[_{signal}]_ENDPOINT says, and nowhere without one.

    Args:
        elsewhere: Words for ways that are not an exporter's: they are known, and nothing is exported for them.

    Raises:
        ConfigError: The variable says what we cannot do.
    """
    name = f"OTEL_{signal}_EXPORTER"
    found: list[Exporter] = []
    if not (text := environ.get(name, "")):
        endpoints = (f"OTEL_EXPORTER_OTLP_{signal}_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
        found += ["otlp"] if any(environ.get(each) for each in endpoints) else []
    for word in map(str.strip, text.split(",") if text else ()):
        if word in {"otlp", "console"}:
            found.append("otlp" if word == "otlp" else "console")
        elif word not in {"none", *elsewhere}:
            known = ", ".join(("otlp", "console", *elsewhere))
            raise ConfigError(Fault(name, f"expected {known} or none, got {word!r}"))
    disabled = environ.get("OTEL_SDK_DISABLED", "").strip().lower() == "true"
    return () if disabled else tuple(found)


def protocol(environ: Mapping[str, str], signal: Signal) -> Protocol:
    """What the `otlp` exporter speaks.

    Raises:
        ConfigError: The variable says what we cannot do, here and now.
    """
    name = f"OTEL_EXPORTER_OTLP_{signal}_PROTOCOL"
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


def timeout_s(environ: Mapping[str, str], signal: Signal, *, limit: str) -> float:
    """For one export, retries included.

    OTEL_EXPORTER_OTLP[_{signal}]_TIMEOUT is in seconds, as opentelemetry-python reads it.

    Args:
        limit: The variable that is its upper limit, in milliseconds.

    Raises:
        ConfigError: A variable is no time.
    """
    request_s = number(environ, "OTEL_EXPORTER_OTLP_TIMEOUT", REQUEST_TIMEOUT_S)
    request_s = number(environ, f"OTEL_EXPORTER_OTLP_{signal}_TIMEOUT", request_s)
    return min(request_s, number(environ, limit, EXPORT_TIMEOUT_MS) / 1000)


def batches(environ: Mapping[str, str], processor: Literal["BSP", "BLRP"], delay_ms: float) -> tuple[float, int, int]:
    """What a batch processor's variables say: seconds to wait for a batch, most that wait, most of one export.

    Args:
        delay_ms: Where nobody says.

    Raises:
        ConfigError: A variable is no number, or a batch is more than may wait.
    """
    max_waiting = count(environ, f"OTEL_{processor}_MAX_QUEUE_SIZE", MAX_WAITING)
    name = f"OTEL_{processor}_MAX_EXPORT_BATCH_SIZE"
    max_batch = count(environ, name, min(MAX_BATCH, max_waiting))
    if max_batch > max_waiting:
        raise ConfigError(
            Fault(name, f"expected at most OTEL_{processor}_MAX_QUEUE_SIZE, {max_waiting}, got {max_batch}")
        )
    delay_s = number(environ, f"OTEL_{processor}_SCHEDULE_DELAY", delay_ms) / 1000
    # No thread can wait longer, and nobody will.
    return min(delay_s, threading.TIMEOUT_MAX), max_waiting, max_batch


def number(environ: Mapping[str, str], name: str, default: float) -> float:
    """A variable's number, above 0.

    Raises:
        ConfigError: It is none.
    """
    text = environ.get(name, "").strip()
    try:
        found = float(text) if text else default
    except ValueError:
        found = float("nan")
    if not 0 < found < float("inf"):
        raise ConfigError(Fault(name, f"expected a number above 0, got {text!r}"))
    return found


def count(environ: Mapping[str, str], name: str, default: int) -> int:
    """A variable's whole number, above 0.

    Raises:
        ConfigError: It is none.
    """
    text = environ.get(name, "").strip()
    try:
        found = int(text) if text else default
    except ValueError:
        found = 0
    if found <= 0:
        raise ConfigError(Fault(name, f"expected a whole number above 0, got {text!r}"))
    return found
