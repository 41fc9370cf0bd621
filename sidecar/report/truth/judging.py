"""What labels say of captured traffic: joined with the rows by an engine, and judged by the live sidecar's monitors.

Rows reach the monitors in the order of their requests, as if every label had come at once; live they come in the order
of their labels. What all rows say is the same either way; windows and sequential tests follow the order.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
from msgspec.structs import asdict

from sidecar.admin.bias import bias
from sidecar.admin.quality import quality
from sidecar.config.schema import Model, Part
from sidecar.datasets.labels import Columns
from sidecar.errors import ConfigError, Fault
from sidecar.monitors import MONITORS
from sidecar.monitors.bias import Bias, Comparing
from sidecar.monitors.causes import Relation
from sidecar.monitors.quality import Grading, Quality
from sidecar.quality.outcomes import Outcomes
from sidecar.quality.reading import Reading
from sidecar.records import JSON, Finding, LabelCounts
from sidecar.reference.bias_files import BiasViolation, write_bias_violations
from sidecar.report.truth.assembling import times_of
from sidecar.report.truth.feeding import feed, layout_of, layouts_of, look_times, predict, rest_s, wanted
from sidecar.report.truth.history import History
from sidecar.report.truth.joining import Pairs, join, prepared
from sidecar.report.truth.labels import COLUMNS, Collected, collect
from sidecar.texts import encodable

if TYPE_CHECKING:
    from ibis import Table as Lines

ALWAYS = ("time", "version", "sample_ratio")
"""Columns of the rows that all monitors need."""


@dataclass(frozen=True, slots=True)
class Judged:
    """What labels say.

    Args:
        quality: What `/v1/quality` answers; None where nobody grades.
        bias: What `/v1/bias` does; None where nobody compares groups.
        findings: What holds at the end.
        files: SageMaker's, by variant and by name: `quality/statistics.json`, `bias/analysis.json`.
        history: What was known at every look: `History.document`.
        relations: Whether labels relate to inputs as they did, by variant.
        collected: What the files of labels held.
    """

    quality: JSON
    bias: JSON
    findings: Sequence[Finding]
    files: Mapping[str, Mapping[str, bytes]]
    history: JSON
    relations: Mapping[str, Relation]
    collected: Collected


@dataclass(frozen=True, slots=True)
class Monitors:
    """The monitors, and what became of labels: what the admin side's documents are made from."""

    grading: Grading | None
    comparing: Comparing | None
    counts: LabelCounts
    dropped: int = 0
    outcomes: Outcomes = field(default_factory=Outcomes)


def judged(  # noqa: PLR0913  # it is where all of this meets
    rows: "Lines",
    sources: Sequence[str | Path],
    judges: Sequence[Part],
    model: Model,
    *,
    work: Path,
    every_s: float = 3600.0,
    columns: Columns = COLUMNS,
) -> Judged:
    """Join rows with labels, and judge them.

    Args:
        rows: Decoded, on an engine.
        sources: Of labels: files, folders, `s3://…`.
        judges: The monitors of quality and bias, as they are configured.
        model: What the model does.
        work: Folder for what is made meanwhile, about as large as the labelled rows; empty.
        every_s: Between two looks at what the monitors say, of request time; more where those would be too many.
        columns: Of CSV files of labels.

    Raises:
        ConfigError: A monitor cannot work so; there is no label; or nobody said what the model does.
    """
    options = [MONITORS[part.kind](**part.options) for part in judges]
    grades = next((each for each in options if isinstance(each, Quality)), None)
    compares = next((each for each in options if isinstance(each, Bias)), None)
    grading, comparing = _begun(grades, compares, model)
    wants = wanted(grades, compares)
    layout = layout_of(rows.columns, wants)
    rows = prepared(rows)
    collected = collect(sources, work / "labels.parquet", groups=wants.groups, columns=columns)
    pairs = join(rows, collected, work, kept=[*ALWAYS, *layout.held])
    layouts, history = layouts_of(rows, layout), History(grading, comparing)
    first_s, last_s = _span(pairs)
    end_s = last_s + (grades.settle_s if grades else 0.0)
    feed(pairs, layouts, history.graders, look_times(first_s, end_s, every_s, rest_s(grades)), history.look)
    if grading is not None and grades is not None:
        predict(rows, layouts, grading, grades)
    history.look(end_s)
    monitors = Monitors(grading, comparing, pairs.counts)
    told = bias(monitors, comparing) if comparing else None
    return Judged(
        quality(monitors) if grading else None,
        told,
        history.findings,
        _files(grading, comparing, told),
        history.document(),
        grading.relations() if grading else {},
        collected,
    )


def _begun(grades: Quality | None, compares: Bias | None, model: Model) -> tuple[Grading | None, Comparing | None]:
    if model.task is None:
        raise ConfigError(Fault("model.task", "missing; labels need it, expected binary, multiclass or regression"))
    reading = partial(Reading, **asdict(model))
    with _placed("quality"):
        grading = grades.grade(reading) if grades else None
    with _placed("bias"):
        return grading, compares.compare(reading) if compares else None


@contextmanager
def _placed(kind: str) -> Iterator[None]:
    """Around a monitor's beginning: its faults are told with its kind."""
    try:
        yield
    except ConfigError as error:
        raise ConfigError(*(Fault(f"monitors ({kind}): {each.path}", each.message) for each in error.faults)) from None


def _span(pairs: Pairs) -> tuple[float, float]:
    """Unix times of the first joined request and the last; 0 where there is none."""
    ends = pairs.ends
    return (float(times_of(ends[0])[0]), float(times_of(ends[1])[0])) if ends else (0.0, 0.0)


def _files(grading: Grading | None, comparing: Comparing | None, told: JSON) -> dict[str, dict[str, bytes]]:
    """SageMaker's files of the latest version of each variant.

    Args:
        told: The document of bias.
    """
    found: dict[str, dict[str, bytes]] = {}
    for variant, named in grading.files() if grading else ():
        found.setdefault(encodable(variant), {}).update({f"quality/{name}": data for name, data in named.items()})
    latest = [tuple(map(encodable, key)) for key, _ in comparing.versions.latest()] if comparing else []
    for each in told["variants"] if told else ():
        if (each["name"], each["version"]) in latest:
            analysis = msgspec.json.format(msgspec.json.encode(each["window"]), indent=2) + b"\n"
            broken = write_bias_violations(BiasViolation(**violation) for violation in each["violations"])
            of_variant = found.setdefault(each["name"], {})
            of_variant |= {"bias/analysis.json": analysis, "bias/constraint_violations.json": broken}
    return found
