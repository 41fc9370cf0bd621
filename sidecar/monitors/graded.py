"""One version of one variant, as the quality monitor follows it: has it become worse, and what has moved.

Four sequential tests read every labelled row that comes after those of the yardstick: one asks whether the mean loss
has risen; three whether loss or target are other than the inputs make one expect: more loss, a higher target, a lower
one. The four share the budget of false alarms, the first with half of it.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from math import inf, nan, sqrt
from statistics import NormalDist
from typing import Literal, NamedTuple

import numpy as np

from sidecar.detectors import bounded
from sidecar.detectors.bounded import Rising, Verdict, limit_of
from sidecar.monitors import pieces
from sidecar.monitors.drift import Moments
from sidecar.monitors.scored import Scored
from sidecar.monitors.yardstick import Yardstick
from sidecar.quality.ledger import Ledger
from sidecar.quality.reading import OTHER, Read, Reading
from sidecar.quality.relation import Decomposition, decompose
from sidecar.quality.relation import Labelled as Coded
from sidecar.quality.segments import Segment, segments
from sidecar.records import Labelled
from sidecar.stats.keeping import Array, below, packed, put_back, taken, unpacked
from sidecar.stats.moments import Floats

CONFIDENCE = 0.99
"""Of the upper bound of the yardstick's own mean loss, which is an estimate."""

COMPARED_ROWS = 4000
"""Of now, that are compared with the yardstick's to tell causes apart, at most: a tenth of a second's work."""

LEAST_ROWS = 200
"""Without which they are not."""

EXPECTED_ROWS = 2000
"""Of the yardstick, from which what is expected is as near as `relation_tolerance` allows for; fewer are less sure."""

EVERY_S = 10.0
"""Between two such comparisons."""

BLOCK_ROWS = 8
"""Whose middle time dates them all: labels come late, and not in the order of their requests."""

UNKNOWN_LABELS = 20
"""That are told apart; a label may be any text."""

RECENT = ("codes", "loss", "target", "weights")
"""The columns of these rows."""

Test = Literal["worse", "loss", "up", "down"]
RELATION: tuple[Test, ...] = ("loss", "up", "down")


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """On what terms versions are followed.

    Args:
        reference_rows: Labelled rows that the yardstick is made of.
        stated_loss: The mean loss at training time; None where the yardstick's own counts.
        tolerance: How much greater the mean loss may be.
        relation_tolerance: How far mean residuals may be from 0: what is expected is an estimate, from EXPECTED_ROWS or
            more; from fewer it is raised by what these are less sure of.
        false_alarms_per: Labelled rows of a version.
    """

    reference_rows: int
    stated_loss: float | None
    tolerance: float
    relation_tolerance: float
    false_alarms_per: float


class Standing(NamedTuple):
    """What a test says.

    Args:
        verdict: Of the latest rows.
        limit: What the mean may be, on the scale of the values that it was given.
        since_s: Unix time of the request with which the change most likely began; None where there is none.
    """

    verdict: Verdict
    limit: float
    since_s: float | None


@dataclass(slots=True)
class Graded:
    """Follows a version.

    Args:
        testing: How.
        reading: Reads its rows.
        rows: Of the windows of scores.
        seconds: Their age.

    Attributes:
        scored: Its quality.
        yardstick: What it is compared with; None while that is learned.
        decomposition: What moved between the yardstick and now, when last compared.
        segments: Where the loss rose most, likewise.
        unknown: Rows by labels that name none of two classes, or no number; left out of everything else.
    """

    testing: Terms
    reading: Reading
    rows: int
    seconds: float
    scored: Scored = field(init=False)
    yardstick: Yardstick | None = None
    decomposition: Decomposition | None = None
    segments: Sequence[Segment] = ()
    unknown: Counter[str] = field(default_factory=Counter)
    _learning: list[Labelled] = field(default_factory=list)
    _tests: dict[Test, Rising] = field(default_factory=dict)
    _verdicts: dict[Test, Verdict] = field(default_factory=dict)
    _moments: Moments = field(default_factory=Moments)
    # When those began that are not over: as it was known at the alarm, since older moments are remembered less exactly.
    _since_s: dict[Test, float] = field(default_factory=dict)
    # Of the rows behind the last whole block of `_moments`.
    _times_s: Floats = field(default_factory=lambda: np.empty(0))
    _recent: Ledger = field(init=False)
    _compared_s: float = -inf
    _changed: bool = False

    def __post_init__(self) -> None:
        self.scored = Scored(self.reading, self.rows, self.seconds)
        self._recent = Ledger(rows=COMPARED_ROWS, seconds=inf)

    @property
    def loss_before(self) -> float:
        """The mean loss that later ones are compared with; NaN before there is one."""
        if self.yardstick is None:
            return nan
        stated = self.testing.stated_loss
        return self.yardstick.loss if stated is None else min(stated / self.yardstick.scale.error, 1.0)

    @property
    def learned(self) -> int:
        """Rows that the yardstick has, or will have."""
        return len(self.yardstick) if self.yardstick else sum(len(each.times_s) for each in self._learning)

    @property
    def tested(self) -> int:
        """Rows that the tests have read."""
        return self._moments.rows + len(self._times_s)

    def take(self, rows: Labelled) -> None:
        """Take rows whose labels have come."""
        read = self.reading.read(rows)
        for label in read.unknown:
            self.unknown[label if label in self.unknown or len(self.unknown) < UNKNOWN_LABELS else OTHER] += 1
        if len(read.kept) < len(rows.times_s):
            rows = pieces.at(rows, read.kept)  # the others say nothing: they are not what the yardstick is made of
            read = self.reading.read(rows)
        if not len(read.kept):
            return
        self.scored.take(rows.times_s, read)
        self._changed = True
        if self.yardstick is not None:
            self._test(rows, read, self.yardstick)
            return
        mine, others = pieces.first(rows, self.testing.reference_rows - self.learned)
        self._learning.append(pieces.lean(mine))
        if self.learned >= self.testing.reference_rows:
            yardstick = Yardstick(self._learning, self.reading)
            self._begin(yardstick)
            if len(others.times_s):
                self._test(others, self.reading.read(others), yardstick)

    def assess(self, now_s: float) -> None:
        """Compare with the yardstick, where there is anything new and the last time is long enough ago."""
        due = self._changed and not 0 <= now_s - self._compared_s < EVERY_S
        if due and self.yardstick is not None and len(self._recent) >= LEAST_ROWS:
            self._compared_s, self._changed = now_s, False
            now = self._now()
            self.decomposition = decompose(self.yardstick.reference, now, self.yardstick.outputs)
            self.segments = segments(self.yardstick.reference.rows, now, self.yardstick.outputs)

    def standing(self, test: Test) -> Standing | None:
        """What a test says; None before its first row."""
        verdict = self._verdicts.get(test)
        if verdict is None:
            return None
        since_s = self._ago_s(verdict.rows) if verdict.rows else None
        return Standing(verdict, self._tests[test].limit, self._since_s[test] if verdict.away else since_s)

    @property
    def worse(self) -> Standing | None:
        """The test of the mean loss, if it has given an alarm that is not over."""
        return self._away("worse")

    @property
    def moved(self) -> tuple[Test, Standing] | None:
        """Of the tests of the relation the one with the most evidence, of those that have given such an alarm."""
        away = [(name, found) for name in RELATION if (found := self._away(name))]
        return max(away, key=lambda each: each[1].verdict.nats, default=None)

    def state(self) -> dict[str, Array]:
        """What is to be known after a restart."""
        parts = {f"scored.{name}": part for name, part in self.scored.state().items()}
        rows = self.yardstick.rows if self.yardstick else self._learning
        parts |= {f"rows.{name}": part for name, part in pieces.state(pieces.merged(rows)).items()}
        parts |= {"ready": np.array(self.yardstick is not None)}
        parts |= {"unknown": packed(dict(self.unknown))}
        parts |= {"moments": packed(self._moments), "times_s": self._times_s, "since_s": packed(self._since_s)}
        parts |= {f"recent.{name}": part for name, part in self._recent.state().items()}
        for name, test in self._tests.items():
            parts |= taken(test, bounded.STATE, f"test.{name}.")
        return parts

    def restore(self, state: Mapping[str, Array]) -> None:
        """Go on from a state.

        Raises:
            KeyError: A part of it is missing.
            ValueError: A part of it is of another shape, or cannot be read.
        """
        self.scored.restore(below("scored.", state))
        rows = pieces.restored(below("rows.", state))
        if bool(state["ready"]):
            self._begin(Yardstick(rows, self.reading))
        else:
            self._learning = rows
        self._moments, self._times_s = unpacked(state["moments"], Moments), state["times_s"]
        self._since_s = unpacked(state["since_s"], dict[Test, float])
        self._recent.restore(below("recent.", state), RECENT)
        self.unknown = Counter(unpacked(state["unknown"], dict[str, int]))
        for name, test in self._tests.items():
            put_back(test, bounded.STATE, f"test.{name}.", state)
            if self.tested:
                self._verdicts[name] = test.update(np.empty(0))
        self._changed = True

    def _away(self, test: Test) -> Standing | None:
        found = self.standing(test)
        return found if found and found.verdict.away else None

    def _begin(self, yardstick: Yardstick) -> None:
        """Compare with these rows from now on."""
        self.yardstick, self._learning = yardstick, []
        testing, heaviest = self.testing, float(yardstick.reference.rows.weights.max(initial=1.0))
        estimated = yardstick.even_rows if testing.stated_loss is None else 0
        limit = limit_of(self.loss_before, estimated, tolerance=testing.tolerance, confidence=CONFIDENCE)
        rows = testing.false_alarms_per
        before = yardstick.reference
        loss = self._relation_tolerance(yardstick, before.rows.loss - before.loss.cross_fitted)
        target = self._relation_tolerance(yardstick, before.rows.target - before.target.cross_fitted)
        self._tests = {"worse": Rising(limit=limit, false_alarms_per=2 * rows, max_weight=heaviest)}
        relation = dict(zip(RELATION, (loss, target, target), strict=True))
        if self.reading.task == "multiclass":
            relation = {"loss": loss}  # the target says no more: it is whether the answer was right
        for name, tolerance in relation.items():
            self._tests[name] = Rising.residual(
                tolerance, false_alarms_per=2 * len(relation) * rows, max_weight=heaviest
            )

    def _relation_tolerance(self, yardstick: Yardstick, rest: Floats) -> float:
        """What a mean residual may be.

        Args:
            rest: What its rows are more than expected.
        """
        fewer = 1 / sqrt(yardstick.even_rows) - 1 / sqrt(EXPECTED_ROWS)
        doubt = NormalDist().inv_cdf(CONFIDENCE) * float(rest.std()) * max(fewer, 0.0)
        return min(self.testing.relation_tolerance + doubt, 1.0)

    def _test(self, rows: Labelled, read: Read, yardstick: Yardstick) -> None:
        coded = yardstick.coded(rows, read)
        before = self.tested
        self._date(rows.times_s[read.kept])
        loss = coded.loss - yardstick.reference.loss(coded.codes)
        target = coded.target - yardstick.reference.target(coded.codes)
        values: dict[Test, Floats] = {
            "worse": coded.loss,
            "loss": (1 + loss) / 2,
            "up": (1 + target) / 2,
            "down": (1 - target) / 2,
        }
        for name, test in self._tests.items():
            verdict = test.update(values[name], coded.weights)
            if verdict.alarm:
                self._since_s[name] = self._ago_s(verdict.rows)
            # Last: another thread may ask at any time how things stand.
            self._verdicts[name] = verdict
        columns: dict[str, Array] = {"codes": coded.codes.astype(np.int8), "loss": coded.loss}
        columns |= {"target": coded.target, "weights": coded.weights}
        # In the order in which they came: late labels are news too.
        self._recent.add(np.arange(before, self.tested, dtype=np.float64), columns)

    def _date(self, times_s: Floats) -> None:
        """Remember when rows were asked for, whatever batches they came in."""
        times_s = np.concatenate([self._times_s, times_s])
        whole = len(times_s) // BLOCK_ROWS * BLOCK_ROWS
        for time_s in np.median(times_s[:whole].reshape(-1, BLOCK_ROWS), axis=1).tolist() if whole else ():
            self._moments.add(BLOCK_ROWS, time_s)
        self._times_s = times_s[whole:].copy()

    def _ago_s(self, rows: int) -> float:
        """About when the last `rows` rows began."""
        if not self._moments.rows:
            return float(self._times_s[0])
        return self._moments.ago_s(max(rows - len(self._times_s), 0))

    def _now(self) -> Coded:
        """The rows since the likeliest beginning of a change; the latest ones, where there is none."""
        columns = self._recent.current(0.0)[1]
        standing = self.worse or (self.moved[1] if self.moved else None)
        rows = max(LEAST_ROWS, standing.verdict.rows) if standing else COMPARED_ROWS
        codes, *others = (columns[name][-rows:] for name in RECENT)
        return Coded(codes.astype(np.int64), *others)


def mean_of(standing: Standing, test: Test) -> float:
    """The mean that a test has seen since the change, on the scale of losses or of residuals; NaN of none."""
    mean = standing.verdict.mean
    return mean if test == "worse" else 2 * mean - 1
