"""The report as a document: what its JSON is, and what its page and its Markdown are made from.

    {
      "made_s": Unix time, "sidecar": version, "command": as it was typed,
      "inputs": {"sources": [...], "files": n, "rows": n, "skipped": {reason: lines, replies or labels}},
      "reference": {"path": ..., "rows": n, "features": n},
      "every_s": length of a slice of time, "engine": its name and version, "seconds": that it took,
      "settings": {"monitors", "model", "features", "predictions", "since_s", "until_s"},
      "variants": [{
        "name", "versions", "rows", "requests", "first_s", "last_s",
        "drift": one variant of /v1/drift, of all rows,
        "slices": {"times_s", "rows", "statistics": {check: {column: [...]}}, "evidence_nats": {column: [...]}},
        "columns": [{"name", "subject", "kind", "rows", "missing", "mean", "std", "minimum", "maximum", ...}],
        "violations": [{"feature", "check", "value", "limit", "description", "subject", "rows"}],
        "findings": [sentence, ...], "past": [{"check", "subject", "sentence", "columns", "from_s", "to_s"}],
        "undated": rows without a time, which are left out
      }],
      "quality": what /v1/quality answers, or null, "bias": what /v1/bias does, or null,
      "history": {"times_s", "versions": [{"name", "version", "rows", "scores": {metric: [...]}}], "findings"}, or null,
      "findings": [{"variant", "monitor", "check", "subject", "sentence", "cause", "reason", "since_s"}],
      "violated": whether there is a finding, or a violation
    }

What is not defined is null: a number is always a finite one. A moment is Unix time; a length of time ends in `_s`.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple, TypedDict

import msgspec

from sidecar.records import JSON, Finding
from sidecar.texts import encodable


class Statistic(TypedDict):
    """What a detector of two windows says of a column."""

    statistic: float | None
    limit: float | None
    p_value: float | None
    drifted: bool


class Change(TypedDict):
    """What has changed, as the sequential detector tells it."""

    text: str
    moved_ratio: float
    information_nats: float
    evidence_nats: float
    needed_nats: float
    since_s: float
    rows: int


class DriftColumn(TypedDict):
    """One column of the reference, and what all rows say of it; shares are None where no row had a value.

    `current_whole` says that these are the shares of a whole window: of fewer rows nothing is made.
    """

    name: str
    subject: str
    seen: bool
    evidence_nats: float | None
    drift: Change | None
    statistics: dict[str, Statistic]
    bins: list[str]
    reference: list[float | None]
    current: list[float | None] | None
    current_rows: int
    current_whole: bool


class DriftPart(TypedDict):
    """One variant of `/v1/drift`."""

    name: str
    version: str
    rows: int
    findings: list[str]
    columns: list[DriftColumn]


class Slices(TypedDict):
    """What each slice of time says; every list is as long as `times_s`, which are the slices' beginnings."""

    times_s: list[float]
    rows: list[int]
    statistics: dict[str, dict[str, list[float | None]]]
    evidence_nats: dict[str, list[float | None]]


class Broken(TypedDict):
    """A constraint of the data that is not kept."""

    feature: str
    check: str
    value: float | None
    limit: float | None
    description: str
    subject: str
    rows: int


class Past(TypedDict):
    """A finding that held from one moment to another, and is over."""

    check: str
    subject: str
    sentence: str
    columns: list[str]
    from_s: float
    to_s: float


class Variant(TypedDict):
    """All that the rows of one variant say.

    `findings` hold in the end; `past` ones did before, and are told without being a violation. `columns` are what the
    engine tells of each column, which grows with it: they are read by name.
    """

    name: str
    versions: list[str]
    rows: int
    requests: float
    first_s: float | None
    last_s: float | None
    drift: DriftPart
    slices: Slices
    columns: list[dict[str, JSON]]
    violations: list[Broken]
    findings: list[str]
    past: list[Past]
    undated: int


class Found(TypedDict):
    """A finding, in a sentence; `cause` is empty where nobody can tell it."""

    variant: str
    monitor: str
    check: str
    subject: str
    sentence: str
    cause: str
    reason: str
    since_s: float | None


class Inputs(TypedDict):
    """What was read."""

    sources: list[str]
    files: int
    rows: int
    skipped: dict[str, int]


class ReferencePart(TypedDict):
    """What all was compared with."""

    path: str
    rows: int
    features: int


class Document(TypedDict):
    """The report."""

    made_s: float
    sidecar: str
    command: str
    seconds: float
    engine: str
    every_s: float
    settings: JSON
    inputs: Inputs
    reference: ReferencePart
    variants: list[Variant]
    quality: JSON
    bias: JSON
    history: JSON
    findings: list[Found]
    violated: bool


class Breach(NamedTuple):
    """A violation of whatever kind, as it is told.

    Args:
        about: The column, metric or group.
        rows: That it was seen in; None where that is not told.
    """

    variant: str
    about: str
    check: str
    description: str
    rows: int | None


def found(finding: Finding) -> Found:
    """A finding as the document has it."""
    return {
        "variant": finding.key.variant,
        "monitor": finding.key.monitor,
        "check": finding.key.check,
        "subject": finding.key.subject,
        "sentence": finding.sentence,
        "cause": finding.cause,
        "reason": finding.reason,
        "since_s": finding.since_s,
    }


def breaches(variants: Sequence[Variant], quality: JSON, bias: JSON) -> list[Breach]:
    """All violations: of the data, of what the model's quality may be, of what groups may differ by."""
    of_data = [
        Breach(variant["name"], each["feature"], each["check"], each["description"], each["rows"])
        for variant in variants
        for each in variant["violations"]
    ]
    return [*of_data, *_of_labels(quality), *_of_labels(bias)]


def _of_labels(document: JSON) -> Iterator[Breach]:
    for version in (document or {}).get("variants", []):
        for each in version["violations"]:
            group = f"{each['facet']} {each['facet_value']}: " if "facet" in each else ""
            about, check = group + each["metric_name"], each["constraint_check_type"]
            yield Breach(version["name"], about, check, each["description"], None)


def plain(value: object) -> JSON:
    r"""What JSON and UTF-8 can hold: a number that is none is null, a lone surrogate its escape.

    Example:
        >>> plain({"a\ud800": (1, float("nan"), None)})
        {'a\\ud800': [1, None, None]}
    """
    match value:
        case str():
            return value if value.isascii() else encodable(value)
        case float():
            return float(value) if math.isfinite(value) else None
        case Mapping():
            return {encodable(str(name)): plain(each) for name, each in value.items()}
        case list() | tuple():
            return [plain(each) for each in value]
    return value


def encoded(document: Document) -> bytes:
    """The document as JSON, on one line."""
    return msgspec.json.encode(document) + b"\n"
