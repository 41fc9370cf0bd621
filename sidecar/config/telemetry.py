"""The keys below `telemetry` and `log`: what is exported beside what we know anyhow, and how our log reads."""

from typing import Annotated, Literal

from msgspec import Meta, Struct

from sidecar.config.values import END, FieldName, Name, Pointer, Seconds

# OpenTelemetry's grammar of instrument names, in lower case.
MetricName = Annotated[
    str,
    Meta(
        pattern=r"^[a-z][a-z0-9_./-]{0,254}" + END,
        extra={"expected": "a metric's name of up to 255 lower-case letters, digits, `_`, `.`, `-` or `/`"},
    ),
]
AttributeName = Annotated[
    str,
    Meta(
        pattern=r"^[a-z][a-z0-9_.]{0,62}" + END,
        extra={"expected": "an attribute's name of up to 63 lower-case letters, digits, `_` or `.`"},
    ),
]
ScrapeUrl = Annotated[
    str,
    Meta(
        pattern=r"^https?://[A-Za-z0-9._~:\[\]-]+(/[!-~]*)?" + END,
        max_length=2048,
        extra={"expected": "http://host:port/path or https://host:port/path"},
    ),
]


class Attribute(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What tells the series of a custom metric apart: exactly one of `header` and `pointer` says where it stands."""

    name: Annotated[AttributeName, Meta(description="The attribute's name.")]
    values: Annotated[
        tuple[Annotated[str, Meta(max_length=256)], ...],
        Meta(min_length=1, max_length=100, description="Its values; any other one is told as _OTHER."),
    ]
    header: Annotated[FieldName | None, Meta(description="Header field that holds it.")] = None
    pointer: Annotated[Pointer | None, Meta(description="JSON pointer to it in the body; no *.")] = None
    # What the client asks for tells requests apart.
    of: Annotated[Literal["request", "reply"], Meta(description="Whose header or body.")] = "request"


class CustomMetric(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A metric of the user's own, read from captured exchanges: exactly one of `header` and `pointer` says where."""

    name: Annotated[MetricName, Meta(description="Its name; none of ours.")]
    kind: Annotated[
        Literal["value", "counter", "histogram"],
        Meta(description="Its latest value, the sum of its values, or how they are spread."),
    ]
    header: Annotated[FieldName | None, Meta(description="Header field that holds a number.")] = None
    pointer: Annotated[Pointer | None, Meta(description="JSON pointer to one in the body; * for each of several.")] = (
        None
    )
    # What a model says of its work.
    of: Annotated[Literal["request", "reply"], Meta(description="Whose header or body.")] = "reply"
    unit: Annotated[str, Meta(max_length=63, description="In UCUM, as in s, By or {token}.")] = ""
    description: Annotated[str, Meta(max_length=1024, description="What it means.")] = ""
    # OpenTelemetry's default for any histogram.
    bounds: Annotated[
        tuple[float, ...], Meta(max_length=100, description="Upper bounds of a histogram's buckets, ascending.")
    ] = (0.0, 5.0, 10.0, 25.0, 50.0, 75.0, 100.0, 250.0, 500.0, 750.0, 1000.0, 2500.0, 5000.0, 7500.0, 10000.0)
    attributes: Annotated[tuple[Attribute, ...], Meta(max_length=8, description="What tells its series apart.")] = ()


class Scrape(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Metrics that a model server offers to Prometheus, forwarded with its variant and version."""

    url: Annotated[ScrapeUrl, Meta(description="Where they are.")]
    # Most sidecars have one.
    variant: Annotated[Name | None, Meta(description="Whose they are; needed where there are several variants.")] = None
    # Prometheus' own.
    interval_s: Annotated[Seconds, Meta(description="Between two looks.")] = 15.0
    timeout_s: Annotated[Seconds, Meta(description="For one answer.")] = 5.0
    include: Annotated[
        tuple[Annotated[str, Meta(max_length=256)], ...],
        Meta(min_length=1, max_length=100, description="Names that are forwarded; * and ? stand for anything."),
    ] = ("*",)


class Tail(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Traces that are kept although the sampler left them out."""

    # What one looks for.
    errors: Annotated[bool, Meta(description="Requests that failed: 5xx, or no whole reply.")] = True
    slow_s: Annotated[Seconds | None, Meta(description="Requests that took longer.")] = None
    # One a second: enough to see what is wrong, whatever is.
    per_minute: Annotated[int, Meta(ge=1, le=100_000, description="Kept so at most.")] = 60


class Telemetry(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is exported; where it goes, the standard OTEL_* variables say."""

    # Half of the 2000 attribute sets per instrument at which OpenTelemetry's SDKs fold.
    max_series: Annotated[
        int, Meta(ge=16, le=100_000, description="Label sets per metric; later ones are folded into other.")
    ] = 1000
    # The sampler decides.
    tail: Annotated[Tail | None, Meta(description="Traces kept although the sampler left them out.")] = None
    # What one asks first when a model is slow; it costs some reads of /proc a report.
    infrastructure: Annotated[
        bool, Meta(description="CPU, memory, files, network and GPU of the sidecar and of the model server.")
    ] = True
    # Only the user knows where.
    scrape: Annotated[
        tuple[Scrape, ...], Meta(max_length=16, description="Prometheus metrics of model servers, forwarded.")
    ] = ()
    metrics: Annotated[
        tuple[CustomMetric, ...], Meta(max_length=100, description="Metrics of your own, from headers and bodies.")
    ] = ()
    # Names for people who move; twice the series.
    cloudwatch_names: Annotated[
        bool, Meta(description="Also tell drift, quality and bias under Model Monitor's CloudWatch names.")
    ] = False


class Log(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The sidecar's own log, on stderr."""

    # People read it first.
    format: Annotated[Literal["text", "json"], Meta(description="Lines for people, or JSON Lines.")] = "text"
    level: Annotated[
        Literal["debug", "info", "warning", "error"], Meta(description="The least severity that is logged.")
    ] = "info"
