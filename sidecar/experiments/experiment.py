"""An experiment: challengers beside a champion, by several measures, looked at whenever one likes.

**The budget.** `wrong` is the probability of any wrong verdict, of any challenger by any measure at any time. With c
challengers and m measures each of the c m comparisons gets wrong / (c m), and its interval misses, ever, with that
probability at most. Whether they depend on each other does not matter: the probability that any of them does is no
greater than the sum (Boole), which is `wrong`. A verdict or a breach is only wrong where its interval misses.
Saturation is no estimate, and takes no part of it; `drift` splits its own part again, among its bins. A tenth of each
part is for what few rows make plain (`few`): a breach, below `min_rows` too. The rest is the interval's.

**Late rows** are counted where their requests were dealt, see `Timeline`; for what that does to the intervals, see
`totals`.

Memory: 8 KiB for a mean, of each variant and time of constant weights (32 at most), ten times as much for `drift`;
what `durations` says for a quantile; 300 KB for users.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from typing import NamedTuple

import msgspec
import numpy as np

from sidecar.experiments import cautions
from sidecar.experiments.comparing import Comparison, comparison_of
from sidecar.experiments.guardrails import Guardrail, Saturation
from sidecar.experiments.load import Load
from sidecar.experiments.measures import Batch, Lost, Measure, Outcomes, Predicted, Replied, Served
from sidecar.experiments.settings import check, identity
from sidecar.experiments.standing import Standing
from sidecar.experiments.timeline import Timeline
from sidecar.experiments.users import Users
from sidecar.experiments.verdicts import (
    Decision,
    Guarded,
    Verdict,
    Word,
    guard_of,
    possible,
    sentence_of,
    word_of,
)
from sidecar.records import JSON
from sidecar.stats.keeping import Array, below, packed, sealed, unpacked, unsealed
from sidecar.stats.moments import Counts, Flags, Floats, Units

FEW = 0.1
"""Part of the budget of each comparison that is for few rows. A half would tell a challenger that fails always by one
row less, and make every interval wider by 4 %, where this does by 1."""

LAYOUT = 3
"""Of what is saved."""

DECISIONS: frozenset[Word] = frozenset({"better", "worse", "equivalent"})


class Rows(NamedTuple):
    """Rows of one variant, n of them; only of requests that the split assigned, and of no others.

    Args:
        units: Hashes of whom the split goes by, shape (n,).
        times_s: Unix time of each row's request, shape (n,): by which weights it was dealt.
    """

    variant: str
    units: Units
    times_s: Floats


@dataclass(slots=True)
class _Course:
    """What has happened so far, beside the values.

    Attributes:
        shares: Of the variants in their order, since the weights changed.
        late: Requests since the start that could not be placed.
        found: Rows with a finite value, by measure and variant.
        omitted: Rows without one, likewise.
        decided: First decisions, by measure and challenger.
        rules: By which they were made.
    """

    rules: str
    timeline: Timeline = field(default_factory=Timeline)
    shares: list[float] = field(default_factory=list)
    rows: dict[str, int] = field(default_factory=dict)
    late: int = 0
    found: dict[str, dict[str, int]] = field(default_factory=dict)
    omitted: dict[str, dict[str, int]] = field(default_factory=dict)
    decided: dict[str, dict[str, Decision]] = field(default_factory=dict)


class Experiment:
    """Compares challengers with a champion. All calls come from one thread.

    Rows of variants that do not take part are ignored. Another experiment has another name; under the same one rows
    still count when margins, `wrong` or `min_rows` have changed, while decisions are made anew.

    Args:
        challengers: At most 15.
        measures: At most 16, each name once.
        wrong: Probability of any wrong verdict, see above.
        min_rows: Of either variant, without which there is no verdict, and no word of a guardrail but a plain breach.

    Raises:
        ConfigError: A measure is there twice, or a price is missing; paths begin with `measures[0]`.
    """

    def __init__(
        self,
        name: str,
        champion: str,
        challengers: Sequence[str],
        measures: Sequence[Guardrail],
        *,
        wrong: float,
        min_rows: int,
    ) -> None:
        self._name = name
        self._variants = (champion, *challengers)
        check(self._variants, measures)
        self._measures = tuple(each for each in measures if not isinstance(each, Saturation))
        limits = [each for each in measures if isinstance(each, Saturation)]
        self._loads = {variant: Load(limit) for limit in limits for variant in challengers}
        self._budget = wrong
        self._wrong = wrong / max(len(challengers) * len(self._measures), 1)
        self._min_rows = min_rows
        about = [LAYOUT, name, self._variants, [identity(each) for each in self._measures]]
        self._belongs_to = sha256(repr(about).encode("utf-8", "backslashreplace")).digest()
        self._users = Users(len(self._variants))
        self._comparisons = self._fresh()
        self._course = _Course(rules=repr((self._measures, wrong, min_rows)))

    def begin(self, shares: Mapping[str, float], now_s: float) -> None:
        """Begin, or go on with other weights; with the same, as after a restart, they are seen to be still in force.

        To be called again and again: what was dealt between the last call with one set of weights and the first with
        the next is nobody's, if it comes after the latter.

        Args:
            shares: Weight of each variant, of any sum; what is not named has none.
            now_s: Unix time at which these are in force.

        Raises:
            ValueError: A weight is no number from 0 on.
        """
        weights = np.array([shares.get(variant, 0.0) for variant in self._variants])
        if not (np.isfinite(weights).all() and (weights >= 0).all()):
            raise ValueError(f"weights of {weights.tolist()}, expected finite ones from 0 on")
        whole = weights / (weights.sum() or 1.0)
        course = self._course
        if len(course.shares) and np.allclose(whole, course.shares, rtol=1e-9, atol=0):
            course.timeline.stay(now_s)
            return
        if len(course.shares):
            for each in self._comparisons:
                each.begin()
        self._users.begin(whole)
        course.shares = whole.tolist()
        course.timeline.begin(now_s)

    def served(self, rows: Rows, failed: Flags, durations_s: Floats) -> None:
        """Take requests that were served; see `Served`."""
        epochs = self._take(rows, Served(failed, durations_s))
        if epochs is None:
            return
        self._deal(rows, epochs)
        course, placed = self._course, epochs >= 0
        course.rows[rows.variant] = course.rows.get(rows.variant, 0) + int(placed.sum())
        course.late += int((~placed & (rows.times_s >= course.timeline.since_s)).sum())

    def spared(self, rows: Rows) -> None:
        """Take requests that a variant was spared while it came back.

        Their users are on its side as before: they count there, and in the sample ratio. Rows they are not: the variant
        did not serve them, and they have no values.
        """
        if rows.variant in self._variants:
            self._deal(rows, self._course.timeline.places(rows.times_s))

    def lost(self, rows: Rows, losses: Floats) -> None:
        """Take rows whose labels have come, with their losses in [0, 1]."""
        self._take(rows, Lost(losses))

    def outcomes(self, rows: Rows, metric: str, values: Floats) -> None:
        """Take what came of requests, by the name of the outcome."""
        self._take(rows, Outcomes(metric, values))

    def replied(self, rows: Rows, documents: Sequence[JSON], durations_s: Floats) -> None:
        """Take replies as parsed JSON, None where one is none, and how long they took."""
        self._take(rows, Replied(documents, durations_s))

    def predicted(self, rows: Rows, values: Floats) -> None:
        """Take the first number of each prediction."""
        self._take(rows, Predicted(values))

    def loaded(self, now_s: float, in_flight: Mapping[str, int]) -> None:
        """Note how many requests wait for each variant; whoever is not named has none."""
        for variant, load in self._loads.items():
            load.take(now_s, in_flight.get(variant, 0))

    def look(self, now_s: float) -> Standing:
        """Say how it stands; a decision that was not there before is from now on."""
        both = [
            self._judge(measure, comparison, challenger, now_s)
            for challenger in self._variants[1:]
            for measure, comparison in zip(self._measures, self._comparisons, strict=True)
        ]
        loads = [load.look(variant, now_s) for variant, load in self._loads.items()]
        course, verdicts = self._course, tuple(verdict for verdict, _ in both)
        return Standing(
            name=self._name,
            variants=self._variants,
            since_s=course.timeline.since_s,
            epoch_s=course.timeline.epoch_s,
            rows={variant: course.rows.get(variant, 0) for variant in self._variants},
            late=course.late,
            verdicts=verdicts,
            guards=(*(guarded for _, guarded in both), *loads),
            mismatch=self._users.mismatch,
            sides=self._users.sides,
            cautions=tuple(self._cautions(verdicts)),
            wrong=self._budget,
            min_rows=self._min_rows,
        )

    def state(self) -> bytes:
        """What is to be known after a restart; loads are not, which are there again at once."""
        parts = {"course": packed(self._course)}
        for prefix, state in self._states():
            parts |= {prefix + name: array for name, array in state.items()}
        return sealed(parts, self._belongs_to)

    def restore(self, state: bytes) -> bool:
        """Go on from a saved state; False, and nothing done, where it is of other settings, or damaged.

        To be called before `begin`.
        """
        parts = unsealed(state, self._belongs_to)
        if parts is None:
            return False
        users, comparisons, rules = Users(len(self._variants)), self._fresh(), self._course.rules
        try:
            course = unpacked(parts["course"], _Course)
            users.restore(below("users/", parts))
            for place, each in enumerate(comparisons):
                each.restore(below(f"{place}/", parts))
        except (KeyError, ValueError, msgspec.ValidationError):  # as another version of ours saves it
            return False
        if course.rules != rules:
            course.rules, course.decided = rules, {}
        self._users, self._comparisons, self._course = users, comparisons, course
        return True

    def _deal(self, rows: Rows, epochs: Counts) -> None:
        """Note whom the split gave to a variant."""
        # The sample ratio is of the weights of now: who was dealt before them says nothing of it.
        now = (epochs >= 0) & (epochs == self._course.timeline.epoch)
        self._users.take(self._variants.index(rows.variant), rows.units[now])

    def _take(self, rows: Rows, batch: Batch) -> Counts | None:
        """Count rows by all measures that ask for them.

        Returns:
            The epoch of each, -1 where nobody knows it; None where the variant takes no part.
        """
        if rows.variant not in self._variants:
            return None
        epochs = self._course.timeline.places(rows.times_s)
        kept = epochs >= 0
        for measure, comparison in zip(self._measures, self._comparisons, strict=True):
            values = measure.values(rows.variant, batch)
            if values is None:
                continue
            if values.shape != rows.units.shape:
                raise ValueError(f"{len(values)} values of {len(rows.units)} rows, expected one of each")
            known = kept & np.isfinite(values)
            name = measure.judged.name
            for counts, those in ((self._course.found, known), (self._course.omitted, kept & ~known)):
                by = counts.setdefault(name, {})
                by[rows.variant] = by.get(rows.variant, 0) + int(those.sum())
            comparison.take(rows.variant, rows.units[known], values[known], epochs[known])
        return epochs

    def _judge(
        self, measure: Measure, comparison: Comparison, challenger: str, now_s: float
    ) -> tuple[Verdict, Guarded]:
        judged, wrong = measure.judged, self._wrong * (1 - FEW)
        compared = possible(comparison.compare(challenger, wrong), judged)
        word = word_of(compared, judged, self._min_rows)
        plain = comparison.surely_beyond(challenger, self._wrong * FEW)
        guard = guard_of(compared, judged, self._min_rows, plain=plain)
        decided = self._course.decided.setdefault(judged.name, {})
        if word in DECISIONS and challenger not in decided:
            decided[challenger] = Decision(word, now_s)
        rows_to_go = 0.0 if word in DECISIONS else math.nan
        if word == "undecided":
            rows_to_go = comparison.rows_to_go(challenger, wrong)
        omitted = self._course.omitted.get(judged.name, {})
        verdict = Verdict(
            measure=judged.name,
            challenger=challenger,
            word=word,
            compared=compared,
            margin=judged.margin,
            relative=judged.relative,
            decided=decided.get(challenger),
            rows_to_go=rows_to_go,
            omitted=sum(omitted.get(each, 0) for each in (self._variants[0], challenger)),
            sentence=sentence_of(compared, judged, challenger, word),
        )
        return verdict, Guarded(judged.name, challenger, guard, sentence_of(compared, judged, challenger, guard))

    def _cautions(self, verdicts: Sequence[Verdict]) -> Iterator[str]:
        course = self._course
        yield from cautions.broken(self._variants, self._users.mismatch, self._users.sides)
        if course.timeline.since_s == course.timeline.epoch_s:
            yield from cautions.unserved(course.rows, dict(zip(self._variants, course.shares, strict=False)))
        for each in self._measures:
            name = each.judged.name
            found, omitted = course.found.get(name, {}), course.omitted.get(name, {})
            yield from cautions.silent(each.judged, course.rows, found, omitted)
        yield from cautions.stuck(verdicts)

    def _fresh(self) -> list[Comparison]:
        return [comparison_of(each.judged, self._variants) for each in self._measures]

    def _states(self) -> Iterator[tuple[str, Mapping[str, Array]]]:
        yield "users/", self._users.state()
        for place, each in enumerate(self._comparisons):
            yield f"{place}/", each.state()
