"""What there is to tell of a version's quality: its scores, as they were worked out last, and what was found."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from math import inf, isfinite, isnan

from sidecar.monitors.causes import Relation
from sidecar.monitors.graded import Graded, Standing, Test, mean_of
from sidecar.monitors.scored import Estimated, Score, Scores
from sidecar.monitors.telling import MAX_TEXT, labels
from sidecar.monitors.versions import VersionKey
from sidecar.quality.reading import Task
from sidecar.quality.segments import Segment
from sidecar.records import Carrier, Finding, Key
from sidecar.reference.binning import BINS, Bins
from sidecar.reference.quality_files import Limit, QualityViolation, quality_violations
from sidecar.texts import shown

EVERY_S = 10.0
"""Between two times that scores are worked out: about a tenth of a second for 5,000 rows."""

MOST_CELLS = 100_000
"""Rows times classes of a window, beyond which that is done less often: a million rows of two take eleven seconds."""

SURE = 2.0
"""Standard errors by which a metric must lie beyond its limit to be a finding; a violation needs none."""

SEGMENTS = 3
"""That a sentence names."""

MEANS: Mapping[Task, Mapping[Test, str]] = {
    "binary": {"loss": "more wrong answers", "up": "more labels {positive}", "down": "fewer labels {positive}"},
    "multiclass": {"loss": "more wrong answers"},
    "regression": {"loss": "greater errors", "up": "higher labels", "down": "lower labels"},
}
"""Than the inputs make one expect."""


@dataclass(frozen=True, slots=True)
class Grade:
    """The scores of a version.

    Args:
        window: Of the latest labelled rows.
        lifetime: Of all of them.
        estimated: Of the latest predictions, labels or not; None without probabilities.
        labelled: Rows at that time.
        answered: Predictions at that time.
        made_s: Unix time of that.
        stale_s: From when on some of it is too old.
    """

    window: Scores
    lifetime: Scores
    estimated: Estimated | None
    labelled: int
    answered: int
    made_s: float
    stale_s: float

    @classmethod
    def of(cls, graded: Graded, now_s: float) -> "Grade":
        """Work out."""
        scored = graded.scored
        window, estimated = scored.window(now_s), scored.estimated(now_s)
        oldest_s = [window.first_s] if window.rows else []
        oldest_s += [estimated.first_s] if estimated else []
        stale_s = min(oldest_s, default=inf) + scored.seconds
        return cls(window, scored.lifetime(), estimated, scored.labelled, scored.answered, now_s, stale_s)

    def outdated(self, graded: Graded, now_s: float) -> bool:
        """Whether it is to be worked out again: there may be more, or some is too old by now."""
        if not self.labelled and graded.scored.labelled:
            return True  # whoever has just posted the first labels looks for what they say
        known = (self.labelled, self.answered) == (graded.scored.labelled, graded.scored.answered)
        cells = self.window.rows * max(1, len(self.window.classes))
        every_s = EVERY_S * max(1.0, cells / MOST_CELLS)
        return not (known and now_s <= self.stale_s) and not 0 <= now_s - self.made_s < every_s

    def violations(self, limits: Mapping[str, Limit]) -> list[QualityViolation]:
        """The scores of the window that are beyond their limits, as Model Monitor has it."""
        return quality_violations(self.window.scores, limits)


def relation_of(graded: Graded) -> Relation:
    """Whether labels relate to inputs as they did when the yardstick was made."""
    parts = graded.decomposition.loss if graded.decomposition else None
    return Relation(
        moved=graded.moved is not None,
        rows=graded.tested,
        inputs_z=_known(parts.inputs.z) if parts else 0.0,
        relation_z=_known(parts.relation.z) if parts else 0.0,
    )


def grade_findings(
    key: VersionKey, graded: Graded, grade: Grade | None, limits: Mapping[str, Limit]
) -> Iterator[Finding]:
    """What holds of a version: what its tests say, as one finding, and the metrics beyond their limits."""
    worse, moved = graded.worse, graded.moved
    if worse or moved:
        yield _fallen(key, graded, worse, moved)
    if grade is not None:
        yield from _beyond(key, grade, limits)


def segment_text(bins: Bins, segment: Segment, error: float | None = None) -> str:
    """A slice and what became of it: `amount > 120 and country 'BR': 9 % → 31 %`.

    Args:
        error: Of a regression, the error that counts as a whole loss.
    """
    where = " and ".join(
        _where(bins, column, place) for column, place in zip(segment.columns, segment.bins, strict=True)
    )
    return f"{where}: {_change(segment.reference_loss, segment.loss, error)}"


def _fallen(key: VersionKey, graded: Graded, worse: Standing | None, moved: tuple[Test, Standing] | None) -> Finding:
    carriers: tuple[Carrier, ...] = ()
    told = f"{key.variant} has"
    if worse:
        what, change = _loss_change(graded, worse.verdict.mean)
        carriers = (_carrier(what, 1.0, worse, (worse.verdict.mean, worse.limit), change),)
        told += f" become worse: {what} {change}"
    if moved:
        test, standing = moved
        what, by = _meant(graded, test), _amount(graded, test, mean_of(standing, test))
        measured = mean_of(standing, test), 2 * standing.limit - 1
        columns = tuple(_columns(graded, test, standing, measured[1]))
        carriers = columns or carriers or (_carrier(what, 1.0, standing, measured, by),)
        along = f", along {', '.join(f'{_name(each.name)} ({each.sentence})' for each in columns)}" if columns else ""
        told += f"{'; it has' if worse else ''} {what} than its inputs make one expect, by {by}{along}"
    return Finding(
        Key("quality", "performance", key.variant, "quality"),
        key.version,
        carriers,
        rows=max(each.rows for each in carriers),
        reference_rows=graded.learned,
        sentence=f"{told}{_most(graded)}",
    )


def _loss_change(graded: Graded, after: float) -> tuple[str, str]:
    """What the loss is, and from where it went to where."""
    error = _whole_error(graded)
    return "wrong answers" if error is None else "mean error", _change(graded.loss_before, after, error)


def _change(before: float, after: float, error: float | None) -> str:
    if error is None:
        return f"{_percent(before)} → {_percent(after)}"
    return f"{before * error:.4g} → {after * error:.4g}"


def _whole_error(graded: Graded) -> float | None:
    """Of a regression, the error that counts as a whole loss; at that, losses stop."""
    return graded.yardstick.scale.error if graded.yardstick and graded.reading.task == "regression" else None


def _meant(graded: Graded, test: Test) -> str:
    return MEANS[graded.reading.task][test].format(positive=f"'{shown(graded.reading.positive, MAX_TEXT)}'")


def _amount(graded: Graded, test: Test, mean: float, sign: str = "") -> str:
    """How far a residual is off, in the unit of what it is of."""
    if graded.reading.task != "regression" or graded.yardstick is None:
        return f"{100 * (mean if sign else abs(mean)):{sign}.3g} points"
    scale = graded.yardstick.scale
    return f"{(mean if sign else abs(mean)) * (scale.error if test == 'loss' else scale.span):{sign}.3g}"


def _columns(graded: Graded, test: Test, standing: Standing, limit: float) -> Iterator[Carrier]:
    """The columns along which the relation has moved; evidence, which is of all together, is told with the first."""
    parts = graded.decomposition
    if parts is None or graded.yardstick is None:
        return
    bins = graded.yardstick.bins
    for place, each in enumerate((parts.loss if test == "loss" else parts.target).carriers):
        told = f"{_bin(bins, each.column, each.bin)}: {_amount(graded, test, each.after, '+')}"
        carrier = _carrier(bins.names[each.column], each.share, standing, (each.after, limit), told)
        yield carrier if not place else replace(carrier, nats=None, needed_nats=None)


def _beyond(key: VersionKey, grade: Grade, limits: Mapping[str, Limit]) -> Iterator[Finding]:
    """The metrics that are clearly beyond their limits, a finding for each side."""
    clear = [each for each in grade.violations(limits) if _is_clear(each, grade.window.scores[each.metric_name])]
    for side, word in (("LessThanThreshold", "below"), ("GreaterThanThreshold", "above")):
        those = [each for each in clear if each.constraint_check_type == side]
        if those:
            carriers = tuple(
                Carrier(
                    each.metric_name,
                    1 / len(those),
                    each.value,
                    each.threshold,
                    f"{each.value:.4g}, {word} {each.threshold:.4g}",
                    rows=grade.window.rows,
                )
                for each in those
            )
            told = "; ".join(f"{each.name} is {each.sentence}" for each in carriers)
            sentence = f"quality of {key.variant} is beyond its limits: {told}"
            yield Finding(
                Key("quality", side, key.variant, "quality"), key.version, carriers, grade.window.rows, 0, sentence
            )


def _is_clear(violation: QualityViolation, score: Score) -> bool:
    """Whether chance does not explain it; where nobody knows the deviation, it may."""
    return abs(violation.value - violation.threshold) > SURE * score.deviation


def _carrier(name: str, share: float, standing: Standing, measured: tuple[float, float], sentence: str) -> Carrier:
    verdict = standing.verdict
    return Carrier(
        name,
        share,
        *measured,
        sentence=sentence,
        nats=verdict.nats if isfinite(verdict.nats) else None,
        needed_nats=verdict.needed,
        since_s=standing.since_s,
        rows=verdict.rows,
    )


def _most(graded: Graded) -> str:
    """Where the loss rose most, for people; empty where nobody can tell."""
    if not graded.segments or graded.yardstick is None:
        return ""
    bins, error = graded.yardstick.bins, _whole_error(graded)
    told = [segment_text(bins, each, error) for each in graded.segments[:SEGMENTS]]
    return f"; {'wrong answers' if error is None else 'errors'} rose most where {', '.join(told)}"


def _where(bins: Bins, column: int, place: int) -> str:
    return f"{_name(bins.names[column])} {_bin(bins, column, place)}"


def _name(name: str) -> str:
    return shown(name, MAX_TEXT)


def _bin(bins: Bins, column: int, place: int) -> str:
    """A bin that rows fall into, in words."""
    if place == BINS:
        return "missing"
    named = labels(bins, column)
    return named[place] if place < len(named) else "elsewhere"


def _percent(share: float) -> str:
    return f"{100 * share:.3g} %"


def _known(z: float) -> float:
    return 0.0 if isnan(z) else z
