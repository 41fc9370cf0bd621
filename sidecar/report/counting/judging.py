"""What the rows of a table say: the live monitor's own verdicts, over counts that an engine has made.

Nothing is judged here that the live monitor does not judge: each slice of time is a batch to its sequential detector
and a pane, at least, of its windows; all rows together are its window in the end, and are held against the constraints.
What it needs whole rows for, how features depend on each other, is left to it.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import reduce as folded
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from sidecar.admin.drift import of_variant
from sidecar.errors import ConfigError, Fault
from sidecar.monitors.data import Data, Following
from sidecar.monitors.followed import Followed, Slice
from sidecar.records import JSON, Finding, Subject
from sidecar.reference.checks import Violation
from sidecar.reference.folder import Reference
from sidecar.reference.profile import Profiles
from sidecar.reference.sketch import Sketch
from sidecar.report.counting import questions
from sidecar.report.counting.facts import Facts, checked
from sidecar.report.counting.reducing import Asked, Reduced, reduce, work
from sidecar.report.counting.sources import sources
from sidecar.report.telling.document import plain
from sidecar.stats.categories import Texts
from sidecar.stats.moments import Floats
from sidecar.stats.summary import QUANTILES
from sidecar.stats.tally import Counted

if TYPE_CHECKING:
    from ibis import Table as Lines

HOUR_S = 3600.0

LEAST_ROWS = 200
"""That are compared with the reference as one window, unless windows are smaller live. Of fewer chance alone makes
some: of 50 rows without any drift PSI is 0.18 in ten bins, of 200 it is 0.05."""

TOP = 20
"""Texts of a column that are told; all of them are counted."""


@dataclass(frozen=True, slots=True)
class VariantReport:
    """What the rows of one variant say.

    Args:
        document: As `document.Variant` has it.
        profiles: What statistics.json says of all rows.
        violations: Of the constraints, by all rows together.
        findings: That hold after the last slice, or for all rows together.
        undated: Rows without a time, which are left out.
    """

    name: str
    document: JSON
    profiles: Profiles
    violations: Sequence[Violation]
    findings: Sequence[Finding]
    undated: int


class Past(NamedTuple):
    """A finding that held, and does not any more.

    Args:
        sentence: Of the slice with which most columns carried it: as it ends, fewer and fewer do.
        columns: Those, the greatest share first.
        from_s: The first row of the slice with which it began to hold.
        to_s: The last row of the last one with which it held.
    """

    check: str
    subject: Subject
    sentence: str
    columns: list[str]
    from_s: float
    to_s: float


def report(
    lines: "Lines",
    reference: Reference,
    options: Data,
    *,
    every_s: float = HOUR_S,
    only: Sequence[str] = (),
    stage: "Callable[[int], Callable[[int], None]]" = lambda _total: lambda _done: None,
) -> list[VariantReport]:
    """Judge all rows of a table, variant by variant.

    Args:
        lines: As an engine reads them, see `engines.Engine.read`.
        options: Of the monitor; `dependence` and `violations` are of no effect.
        every_s: Length of a slice of time; slices begin at its multiples in Unix time.
        only: These variants; all without any.
        stage: Takes how many rows will be read, every one as often as there are questions; gives what takes how many
            have been.

    Raises:
        ConfigError: There are too many slices, or a variant of `only` has no rows.
    """
    every_us = round(every_s * 1e6)
    if every_us < 1_000_000:
        raise ConfigError(Fault("every", f"{every_s:g} s, expected 1 s at least"))
    known = [each.name for each in reference.profiles.features]
    known += [each.name for each in reference.constraints.features]
    asked = sources(lines.columns, known)
    found = questions.variants(lines)
    if lost := [name for name in only if name not in found]:
        raise ConfigError(Fault("variant", f"no row of {lost[0]!r}, expected one of {', '.join(map(repr, found))}"))
    chosen = {name: rows for name, rows in found.items() if name in (only or found) and rows[0]}
    advance = stage(sum(dated for dated, _ in chosen.values()) * work(asked))
    following = replace(options, dependence=False, violations=None).follow(reference)
    least_rows = min(LEAST_ROWS, options.window.rows)
    reports = []
    for name, (_, undated) in chosen.items():
        own = Asked(questions.of_variant(lines, name), asked, len(found) == 1, every_us, advance)
        reports.append(_judged(name, undated, reduce(own, following.bins), following, least_rows))
    return reports


def _judged(name: str, undated: int, reduced: Reduced, following: Following, least_rows: int) -> VariantReport:
    followed = following.followed(name)
    slices = _Slices(following, followed)
    for each in reduced.slices:
        slices.add(each, followed.take(reduced.version, each))
    held = {each.key: each for each in followed.findings}
    if reduced.rows >= least_rows:
        followed.compare(folded(Counted.plus, slices.counted, Counted.nothing(following.bins.reference.shape)))
    standing = list((held | {each.key: each for each in followed.findings}).values())
    answered = max((each.rows for each in reduced.facts if each.subject == "predictions"), default=0)
    broken = following.violations(
        name, checked(reduced.facts, "features", reduced.rows), checked(reduced.facts, "predictions", answered)
    )
    told = {
        "name": name,
        "versions": reduced.versions,
        "rows": reduced.rows,
        "undated": undated,
        "requests": reduced.requests,
        "first_s": min((each.first_s for each in reduced.slices), default=None),
        "last_s": max((each.last_s for each in reduced.slices), default=None),
        "drift": of_variant(name, followed),
        "slices": slices.document(reduced),
        "columns": [_column(each) for each in reduced.facts],
        "violations": [each._asdict() for each in broken],
        "findings": [each.sentence for each in standing],
        "past": [each._asdict() for each in slices.past(reduced.slices[-1].last_s)],
    }
    profiles = Profiles(reduced.rows, [each.profile for each in reduced.facts])
    return VariantReport(name, plain(told), profiles, broken, standing, undated)


class _Slices:
    """What is said of a variant slice by slice.

    Attributes:
        counted: The rows of each slice that were judged.
        statistics: Of every column, shape (k,), by detector and slice.
        nats: The evidence, likewise.
        held: Findings, with the first and the last moment at which they held.
    """

    def __init__(self, following: Following, followed: Followed) -> None:
        self.counted: list[Counted] = []
        self.statistics: Mapping[str, list[Floats]] = {kind: [] for kind in following.detectors}
        self.nats: list[Floats] = []
        self.held: dict[tuple[str, Subject], Past] = {}
        self._following = following
        self._followed = followed

    def add(self, rows: Slice, counted: Counted) -> None:
        """See what was said of a slice: its rows were judged just now."""
        bins = self._following.bins
        current = bins.tally(counted)
        for kind, detector in self._following.detectors.items():
            self.statistics[kind].append(detector.check(bins.reference_tally, current).statistic)
        self.nats.append(self._followed.statistics().get("evidence_nats", np.full(len(bins.names), np.nan)))
        self.counted.append(counted)
        for each in self._followed.findings:
            key = each.key.check, each.key.subject
            past = self.held.get(key, Past(*key, "", [], rows.first_s, rows.last_s))
            if len(each.carriers) >= len(past.columns):
                past = past._replace(sentence=each.sentence, columns=[carrier.name for carrier in each.carriers])
            self.held[key] = past._replace(to_s=rows.last_s)

    def past(self, last_s: float) -> list[Past]:
        """The findings that are over, the first of them first."""
        return sorted((each for each in self.held.values() if each.to_s < last_s), key=lambda each: each.from_s)

    def document(self, reduced: Reduced) -> JSON:
        """What `document.Slices` has."""
        names = self._following.bins.names
        return {
            "times_s": reduced.starts_s.tolist(),
            "rows": [each.rows for each in reduced.slices],
            "statistics": {kind: _by_column(names, each) for kind, each in self.statistics.items()},
            "evidence_nats": _by_column(names, self.nats),
        }


def _by_column(names: Sequence[str], slices: Sequence[Floats]) -> dict[str, list[float]]:
    return dict(zip(names, np.array(slices).T.tolist(), strict=True)) if names else {}


def _column(facts: Facts) -> JSON:
    sketch, n = facts.sketch, facts.numbers
    return {
        "name": facts.name,
        "subject": facts.subject,
        "kind": facts.kind,
        "rows": facts.rows,
        "missing": facts.missing,
        "infinite": facts.infinite,
        "count": n,
        "mean": facts.mean,
        "std": facts.std,
        "minimum": facts.minimum,
        "maximum": facts.maximum,
        "zero_ratio": facts.zeros / n if n else None,
        "negative_ratio": facts.negatives / n if n else None,
        "quantiles": _quantiles(sketch) if sketch else None,
        "histogram": {"edges": facts.edges.tolist(), "counts": facts.histogram.tolist()} if n else None,
        "texts": _texts(facts.texts) if facts.texts else None,
    }


def _quantiles(sketch: Sketch) -> JSON:
    return {f"{ratio:g}": value for ratio, value in zip(QUANTILES, sketch.quantiles(QUANTILES).tolist(), strict=True)}


def _texts(texts: Texts) -> JSON:
    """As `/v1/features` has them."""
    return {
        "rows": texts.rows,
        "distinct": texts.distinct,
        "top": [{"value": value, "count": count} for value, count in texts.top[:TOP]],
        "other": texts.other + sum(count for _, count in texts.top[TOP:]),
        "length": {"min": texts.length_min, "mean": texts.length_mean, "max": texts.length_max},
    }
