"""What must hold for what is exported beside what we know anyhow: scrapes, and metrics of the user's own."""

import re
from collections.abc import Iterator, Set
from itertools import pairwise
from math import isfinite

from sidecar.config.addresses import parse_upstream
from sidecar.config.reading import nearest
from sidecar.config.schema import Config
from sidecar.config.telemetry import Attribute, CustomMetric
from sidecar.errors import Fault
from sidecar.prometheus_names import RESERVED, label_name, sample_names

OURS = ("sidecar", "http", "process", "container", "system", "hw", "otel")
"""First words of the names of metrics that we tell."""

OUR_ATTRIBUTES = ("sidecar", "feature_flag", "le", "quantile")
"""First words of the names of attributes that are ours, or a bucket's."""

_F = ("f0_5", "f1", "f2")
_COMPARED = tuple(f"{weighted}{name}" for weighted in ("", "weighted_") for name in ("recall", "precision", *_F))
SCORES = frozenset(
    {
        *(f"{name}{rival}" for name in ("accuracy", *_COMPARED) for rival in ("", "_best_constant_classifier")),
        *(f"{truth}_{answer}_rate" for truth in ("true", "false") for answer in ("positive", "negative")),
        *("auc", "au_prc", "log_loss", "brier_score", "calibration_error", "mae", "mse", "rmse", "r2"),
    }
)
"""What metrics of quality are called in CloudWatch."""

SERVING = frozenset(
    {
        *("invocations", "invocation4xxerrors", "invocation5xxerrors", "invocationmodelerrors"),
        *("modellatency", "overheadlatency"),
    }
)
"""What metrics of requests are called there, in lower case: OpenTelemetry does not tell names apart by their case."""

MONITORING = ("feature_", "bias_metric_")
"""What the names of other metrics begin with there."""

_FOREIGN = re.compile(r"[^a-z0-9]")


def scrapes(config: Config) -> Iterator[Fault]:
    """That it is known whose metrics are scraped."""
    variants = set(config.variants) or {"default"}
    seen: set[tuple[str, str | None]] = set()
    for place, scrape in enumerate(config.telemetry.scrape):
        path, name = f"telemetry.scrape[{place}]", scrape.variant
        known = ", ".join(sorted(variants))
        if name is None and len(variants) > 1:
            yield Fault(f"{path}.variant", f"missing where there are several variants, expected one of {known}")
        elif name is not None and name not in variants:
            yield Fault(f"{path}.variant", f"{name} is no variant, expected one of {known}{nearest(name, variants)}")
        if (scrape.url, name) in seen:
            yield Fault(f"{path}.url", "the same a second time, expected each once")
        seen.add((scrape.url, name))
        try:
            parse_upstream("/".join(scrape.url.split("/", 3)[:3]))
        except ValueError as error:
            yield Fault(f"{path}.url", str(error))


def metrics(config: Config) -> Iterator[Fault]:
    """That metrics of the user's own can be read, and told beside ours."""
    never = set(config.payload.redact_headers)
    taken: set[str] = set()
    for place, metric in enumerate(config.telemetry.metrics):
        path = f"telemetry.metrics[{place}]"
        yield from _source(path, metric, never)
        yield from _name(path, metric, taken)
        if config.telemetry.cloudwatch_names and _is_in_cloudwatch(metric.name):
            told = f"{metric.name} is a name in CloudWatch, which telemetry.cloudwatch_names tells"
            yield Fault(f"{path}.name", f"{told}; expected another one")
        yield from _bounds(path, metric)
        yield from _attributes(path, metric, never)
        taken |= _names(metric)


def _source(path: str, of: CustomMetric | Attribute, never: Set[str]) -> Iterator[Fault]:
    if (of.header is None) == (of.pointer is None):
        told = "neither header nor pointer" if of.header is None else "header beside pointer"
        yield Fault(path, f"{told}; expected one of the two")
    if of.header is not None and of.header.lower() in never:
        yield Fault(f"{path}.header", f"{of.header} is among payload.redact_headers, expected another one")


def _name(path: str, metric: CustomMetric, taken: Set[str]) -> Iterator[Fault]:
    if (first := _FOREIGN.split(metric.name)[0]) in OURS:
        yield Fault(f"{path}.name", f"{metric.name}, and {first} begins names of ours; expected another one")
    names = _names(metric)
    if not taken.isdisjoint(names) or not RESERVED.isdisjoint(names):
        yield Fault(
            f"{path}.name", f"{metric.name} is what another one is called, here or in Prometheus; expected each once"
        )


def _names(metric: CustomMetric) -> frozenset[str]:
    """Those that it has in Prometheus, and its own: marked, for another one's there may be the same."""
    return sample_names(metric.name, metric.unit, metric.kind) | {f"{metric.name} here"}


def _is_in_cloudwatch(name: str) -> bool:
    translated = label_name(name)
    return translated in SCORES or translated in SERVING or translated.startswith(MONITORING)


def _bounds(path: str, metric: CustomMetric) -> Iterator[Fault]:
    if not all(map(isfinite, metric.bounds)) or any(low >= high for low, high in pairwise(metric.bounds)):
        told = ", ".join(map("{:g}".format, metric.bounds))
        yield Fault(f"{path}.bounds", f"{told}; expected them finite and ascending")


def _attributes(path: str, metric: CustomMetric, never: Set[str]) -> Iterator[Fault]:
    taken: set[str] = set()
    for place, attribute in enumerate(metric.attributes):
        here, name = f"{path}.attributes[{place}]", label_name(attribute.name)
        yield from _source(here, attribute, never)
        if attribute.pointer is not None and "*" in attribute.pointer.split("/"):
            yield Fault(f"{here}.pointer", f"{attribute.pointer} names many values; expected one without *")
        if any(name == word or name.startswith(f"{word}_") for word in OUR_ATTRIBUTES):
            yield Fault(f"{here}.name", f"{attribute.name} is a name of ours, expected another one")
        if name in taken:
            yield Fault(f"{here}.name", f"{attribute.name} a second time, expected each once")
        taken.add(name)
