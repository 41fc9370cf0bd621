"""The bias monitor: for whom the model has become unfair, by the labels that come."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from math import isfinite
from pathlib import Path
from typing import Annotated

from msgspec import Meta

from sidecar.errors import ConfigError, Fault
from sidecar.monitors.compared import Compared, Judging
from sidecar.monitors.groups import FacetOf
from sidecar.monitors.versions import Versions
from sidecar.quality.bias import MEANING
from sidecar.quality.reading import Reading
from sidecar.records import Finding, Labelled
from sidecar.reference.bias_files import GroupBias, parse_analysis
from sidecar.stats.keeping import Array, below, sealed, unsealed

KIND = "bias"


@dataclass(frozen=True, slots=True, kw_only=True)
class Bias:
    """Compares groups: what the model answers them, and how often it is right about them.

    Args:
        facets: The groups, each against all others.
        outcomes: The labels that are the good outcome; by default the model's positive class.
        outcome_above: Or the number above which a label or answer of a regression is.
        strata: Feature, or key of groups, within whose values CDDL and CDDPL compare.
        allowed: Least and greatest value of each metric, by its short name: `DPPL: [-0.1, 0.1]`.
        reference: Clarify's analysis.json, from which no metric may move away farther from no bias.
        confidence: With which an interval holds the metric; it breaks its range when the whole interval does.
        least_rows: Of either group, without which nothing is known.
        rows: Labelled rows of the window, the latest by the time of their request.
        window_s: Age at which they leave it.
    """

    facets: tuple[FacetOf, ...]
    outcomes: tuple[str, ...] = ()
    outcome_above: float | None = None
    strata: str = ""
    allowed: dict[str, tuple[float, float]] | None = None
    reference: Annotated[str, Meta(min_length=1)] | None = None
    confidence: Annotated[float, Meta(ge=0.5, lt=1)] = 0.999
    least_rows: Annotated[int, Meta(ge=2, le=1_000_000)] = 100
    rows: Annotated[int, Meta(ge=200, le=1_000_000)] = 10_000
    window_s: Annotated[float, Meta(gt=0, le=366 * 86_400)] = 604_800.0

    def __post_init__(self) -> None:
        faults = [*self._faults_of_facets()]
        if not self.facets:
            faults.append(Fault("facets", "empty, expected at least one group"))
        for name, (low, high) in (self.allowed or {}).items():
            if name not in MEANING:
                faults.append(Fault(f"allowed.{name}", f"expected one of {', '.join(MEANING)}"))
            elif not low <= high:
                faults.append(Fault(f"allowed.{name}", f"expected a range, got {low:g} to {high:g}"))
        if faults:
            raise ConfigError(*faults)

    def _faults_of_facets(self) -> Iterator[Fault]:
        told: set[tuple[str, str]] = set()
        for place, each in enumerate(self.facets):
            if problem := each.fault():
                yield Fault(f"facets[{place}]", problem)
            elif (each.name, each.value) in told:
                # Alerts, metrics and files tell groups apart by these two.
                yield Fault(f"facets[{place}]", f"{each.name} {each.value} a second time, expected each once")
            else:
                told.add((each.name, each.value))

    @property
    def checks(self) -> list[str]:
        """What a finding may be called after."""
        return ["bias_drift_check"]

    @property
    def headers(self) -> tuple[str, ...]:
        """The fields of requests that it wants."""
        return tuple(each.name for each in self.facets if each.header)

    def compare(self, reading: Callable[[], Reading]) -> "Comparing":
        """Begin to watch.

        Args:
            reading: Makes what reads the rows of a version.

        Raises:
            ConfigError: The reference cannot be used, or nobody said which outcome is the good one.
        """
        return Comparing(self, reading, _reference(self.reference, self.facets))


class Comparing:
    """The bias monitor at work.

    Attributes:
        versions: What is known of each, by variant and version.
    """

    def __init__(self, options: Bias, reading: Callable[[], Reading], reference: Sequence[GroupBias]) -> None:
        reads = reading()
        if fault := _fault_of_outcomes(options, reads):
            raise ConfigError(fault)
        self._judging = Judging(
            facets=options.facets,
            outcomes=frozenset(options.outcomes or ((reads.positive,) if reads.task == "binary" else ())),
            outcome_above=options.outcome_above,
            strata=options.strata,
            allowed=options.allowed or {},
            reference=reference,
            confidence=options.confidence,
            least_rows=options.least_rows,
        )
        judging = self._judging
        # What is allowed may change, and the rows so far still count; but neighbours are not kept where nobody asks.
        flipping = any("FT" in judging.limits(facet) for facet in judging.facets)
        means = [KIND, judging.facets, sorted(judging.outcomes), judging.outcome_above, judging.strata, reads, flipping]
        self._belongs_to = sha256(repr(means).encode("utf-8", "backslashreplace")).digest()
        self.versions = Versions(lambda: Compared(judging, reading(), rows=options.rows, seconds=options.window_s))

    @property
    def findings(self) -> Sequence[Finding]:
        """What holds now, of the latest version of each variant."""
        return [finding for key, each in self.versions.latest() for finding in each.findings(*key)]

    def take(self, rows: Labelled) -> None:
        """Take rows whose labels have come."""
        self.versions.of(rows.variant, rows.version, float(rows.times_s.max())).take(rows)

    def assess(self, now_s: float) -> None:
        """Compare groups anew where labels have come."""
        self.versions.until(now_s)
        for _, each in self.versions:
            each.assess(now_s)

    def state(self) -> bytes:
        """What is to be known after a restart."""
        return sealed(self.versions.arrays(Compared.state), self._belongs_to)

    def restore(self, state: bytes) -> bool:
        """Go on from a saved state; False, and nothing done, where it is of other settings, or damaged."""
        parts: Mapping[str, Array] | None = unsealed(state, self._belongs_to)
        return parts is not None and self.versions.restore(parts, lambda each, name: each.restore(below(name, parts)))


def _fault_of_outcomes(options: Bias, reading: Reading) -> Fault | None:
    """Why nobody can tell which outcome is the good one; None where somebody can."""
    unknown = [name for name in options.outcomes if name not in reading.classes]
    if reading.task == "regression":
        if options.outcomes:
            return Fault("outcomes", "given, of a regression; expected outcome_above instead")
        if options.outcome_above is None or not isfinite(options.outcome_above):
            return Fault("outcome_above", "missing; of a regression, expected a number")
    elif options.outcome_above is not None:
        return Fault("outcome_above", "given, of classes; expected outcomes instead")
    elif reading.task == "multiclass" and not options.outcomes:
        return Fault("outcomes", "missing; of more than two classes, expected the good ones")
    elif reading.task == "binary" and unknown:
        # To a classifier of two all is either its positive class, or the other one.
        return Fault("outcomes", f"{unknown[0]} is none, expected {' or '.join(reversed(reading.classes))}")
    return None


def _reference(path: str | None, facets: Sequence[FacetOf]) -> Sequence[GroupBias]:
    """The groups of Clarify's file.

    Raises:
        ConfigError: It cannot be read, or has none of these.
    """
    if path is None:
        return ()
    try:
        found = parse_analysis(Path(path).read_bytes(), path)
    except OSError as error:
        message = f"expected a file that can be read, got {path}: {error.strerror}"
        raise ConfigError(Fault("reference", message)) from error
    except ConfigError as error:
        raise ConfigError(*(Fault("reference", str(fault)) for fault in error.faults)) from None
    reports = (found.pre_training, found.post_training)
    groups = [group for report in reports if report is not None for group in report.groups]
    if not any(facet.is_called(group.facet, group.value_or_threshold) for facet in facets for group in groups):
        told = ", ".join(dict.fromkeys(f"{group.facet} {group.value_or_threshold}" for group in groups)) or "none"
        raise ConfigError(Fault("reference", f"{path} has none of the groups of facets; it has {told[:500]}"))
    return groups
