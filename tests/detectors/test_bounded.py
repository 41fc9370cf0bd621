import itertools
import math
from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from scipy.stats import binom, norm

from sidecar.detectors.bounded import (
    BETS,
    LEAST_LIMIT,
    LOG_SHARES,
    MOST_BET,
    STATE,
    Ending,
    Rising,
    Verdict,
    bet_sizes,
    limit_of,
)
from sidecar.stats.keeping import put_back, taken
from sidecar.stats.moments import Floats

EMPTY = np.empty(0)


def errors(rng: np.random.Generator, mean: float, rows: int) -> Floats:
    return (rng.random(rows) < mean).astype(np.float64)


def alarmed(rng: np.random.Generator, mean: float = 0.15, budget: float = 1e4) -> tuple[Rising, int]:
    """A detector that has just found an error rate of `mean` above 0.10, and the rows that it took."""
    detector, rows = Rising(limit=0.1, false_alarms_per=budget), 20
    while not detector.update(errors(rng, mean, 20)).away:
        rows += 20
    return detector, rows


@dataclass
class ByHand:
    """The rise, row by row, as it is written down: M <- (M + 1) L, and of each bet the best beginning."""

    sizes: Floats
    limit: float

    def __post_init__(self) -> None:
        self.wealth = np.zeros(BETS)
        self.scores = np.zeros(BETS)
        self.rows = np.zeros(BETS)

    def update(self, value: float) -> tuple[float, int]:
        payoff = 1 + self.sizes * (value - self.limit)
        self.wealth = (self.wealth + (value != self.limit)) * payoff
        self.scores = self.scores + np.log(payoff)
        self.rows = np.where(self.scores > 0, self.rows + 1, 0)
        self.scores = np.maximum(self.scores, 0)
        nats = math.log(float(np.exp(LOG_SHARES) @ self.wealth))
        return nats, int(self.rows[self.scores.argmax()])


@pytest.mark.parametrize("limit", [0.02, 0.1, 0.5, 0.9])
def test_the_evidence_is_what_it_says_by_hand(limit: float) -> None:
    values = np.random.default_rng(1).random(300) ** 2
    detector = Rising(limit=limit, false_alarms_per=math.inf)
    by_hand = ByHand(detector.sizes, limit)

    for value in values.tolist():
        expected = by_hand.update(value)
        verdict = detector.update(np.array([value]))
        assert verdict.nats == pytest.approx(expected[0], abs=1e-9)
        assert verdict.rows == expected[1]


@pytest.mark.parametrize(("values", "chances"), [((0.0, 1.0), (0.75, 0.25)), ((0.0, 0.3, 0.6), (0.5, 0.1, 0.4))])
def test_the_expected_evidence_at_the_limit_is_the_number_of_rows(
    values: tuple[float, ...], chances: tuple[float, ...]
) -> None:
    limit, rows, mean = float(np.dot(values, chances)), 5, 0.0
    for some in itertools.product(range(len(values)), repeat=rows):
        verdict = Rising(limit=limit, false_alarms_per=math.inf).update(np.array([values[each] for each in some]))
        mean += math.exp(verdict.nats) * math.prod(chances[each] for each in some)

    assert mean == pytest.approx(rows)


def test_the_expected_evidence_of_weighted_rows_is_the_number_of_rows() -> None:
    """Errors are always kept, of what is right 1 in 4: of 0.1 errors in the traffic 0.1 / 0.325 are kept."""
    kept, rows, mean = 0.1 / 0.325, 8, 0.0
    for some in itertools.product((0.0, 1.0), repeat=rows):
        values = np.array(some)
        detector = Rising(limit=0.1, false_alarms_per=math.inf, max_weight=4)
        verdict = detector.update(values, np.where(values == 1, 1.0, 4.0))
        mean += math.exp(verdict.nats) * kept ** values.sum() * (1 - kept) ** (rows - values.sum())

    assert mean == pytest.approx(rows)


@settings(max_examples=25, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    risen=st.floats(0.1, 0.9),
    cuts=st.lists(st.integers(0, 1500), max_size=8),
    weighted=st.booleans(),
)
@example(seed=1, risen=0.8, cuts=[128, 256, 257], weighted=True)
def test_how_rows_are_cut_into_batches_changes_nothing(
    seed: int, risen: float, cuts: list[int], weighted: bool
) -> None:
    rng = np.random.default_rng(seed)
    values = np.concatenate((errors(rng, 0.1, 300), errors(rng, risen, 600), rng.random(600) * 0.2))
    weights = rng.integers(0, 5, 1500).astype(float) if weighted else np.ones(1500)
    whole, cut = (Rising(limit=0.1, false_alarms_per=1000) for _ in range(2))

    one = whole.update(values, weights)
    places = [0, *sorted(cuts), 1500]
    verdicts = [cut.update(values[a:b], weights[a:b]) for a, b in itertools.pairwise(places)]

    assert (any(each.alarm for each in verdicts), any(each.returned for each in verdicts)) == (one.alarm, one.returned)
    for name in STATE:
        np.testing.assert_allclose(getattr(cut, name), getattr(whole, name), rtol=1e-7, atol=1e-9)


def test_false_alarms_stay_within_the_budget_at_every_look() -> None:
    rng, alarms, rows, budget = np.random.default_rng(2), 0, 0, 500
    while rows < 60_000:
        detector = Rising(limit=0.1, false_alarms_per=budget)
        while not detector.away:
            size = int(10 ** rng.uniform(0, 3))
            values = errors(rng, 0.1, size)
            # The place of the alarm, so that the rows behind it do not count as quiet ones.
            alarm = detector.update(values).alarm
            rows += size - detector.ending.rows if alarm else size
        alarms += 1

    assert alarms <= rows / budget


def test_a_test_begun_once_keeps_its_level_and_is_as_quick_as_a_fixed_sample() -> None:
    """The evidence line of the accuracy that falls from 0.90 to 0.85; tests/bench/worsening.py says more."""
    before, after, level = 0.1, 0.15, 0.01
    spread = norm.isf(level) * math.sqrt(before * 0.9) + norm.ppf(0.8) * math.sqrt(after * 0.85)
    fixed = (spread / (after - before)) ** 2
    assert rejected(before, before, level, 3000)[-1] <= level
    assert 1 + (1 - rejected(before, after, level, 3000)).sum() <= 1.5 * fixed


def rejected(limit: float, mean: float, level: float, rows: int) -> Floats:
    """The probability of a rejection by each row, exactly: by recursion over the number of errors."""
    sizes = bet_sizes(limit, 1e4)
    won, lost = np.log1p(sizes * (1 - limit)), np.log1p(-sizes * limit)
    alive, told = np.ones(1), []
    for row in range(1, rows + 1):
        alive = np.append(alive, 0.0) * (1 - mean) + np.append(0.0, alive) * mean
        late = np.arange(len(alive))[-2:, None]
        enough = np.logaddexp.reduce(LOG_SHARES + late * won + (row - late) * lost, axis=1) >= -math.log(level)
        alive = alive[: len(alive) - int(enough.sum())]
        told.append(1 - alive.sum())
    return np.array(told)


def test_a_fall_of_accuracy_is_seen_soon_after_quiet_rows() -> None:
    rng = np.random.default_rng(4)
    delays: list[int] = []
    while len(delays) < 40:
        detector = Rising(limit=0.1, false_alarms_per=1e5)
        if not detector.update(errors(rng, 0.1, 2000)).alarm:
            rows = 20
            while not detector.update(errors(rng, 0.15, 20)).alarm:
                rows += 20
            delays.append(rows)

    assert np.mean(delays) <= 1.5 * 603  # a fixed sample of level 0.001 and power 0.8


def test_the_beginning_and_the_mean_are_near_the_truth() -> None:
    rng, told = np.random.default_rng(5), []
    for _ in range(20):
        detector = Rising(limit=0.12, false_alarms_per=1e6)
        detector.update(errors(rng, 0.1, 2000))
        rows = 0
        while not (verdict := detector.update(errors(rng, 0.2, 20))).alarm:
            rows += 20
        told.append((verdict.rows / (rows + 20), verdict.mean))

    ratio, mean = np.median(told, axis=0)
    assert 0.7 < ratio < 1.3
    assert 0.18 < mean < 0.24


def test_while_it_lasts_rows_and_mean_go_on_and_the_evidence_stays() -> None:
    detector = Rising(limit=0.1, false_alarms_per=100)
    first = detector.update(np.ones(30))
    last = detector.update(np.tile([1.0, 0.0], 100))

    assert (first.alarm, last.alarm, last.away) == (True, False, True)
    assert last.nats == first.nats
    assert last.rows == 230
    assert last.mean == pytest.approx(130 / 230)


def test_a_return_is_seen_in_about_as_many_rows_as_the_rise() -> None:
    rng, rise, back = np.random.default_rng(6), [], []
    for _ in range(20):
        detector, rows = alarmed(rng, budget=1e6)
        rise.append(rows)
        while not detector.update(errors(rng, 0.15, 1000)).away:
            pass
        rows = 40
        while not detector.update(errors(rng, 0.1, 40)).returned:
            rows += 40
        back.append(rows)

    assert 0.3 < np.mean(back) / np.mean(rise) < 1.5


def test_a_lasting_rise_is_seldom_taken_for_over() -> None:
    rng = np.random.default_rng(7)
    ended = 0
    for _ in range(20):
        detector, _ = alarmed(rng)
        ended += sum(detector.update(errors(rng, 0.15, 200)).returned for _ in range(50))

    assert ended <= 20  # one in 10,000 rows


@pytest.mark.parametrize("mean", [0.13, 0.2, 0.6])
def test_who_gets_worse_or_only_a_little_better_is_not_back(mean: float) -> None:
    rng = np.random.default_rng(8)
    detector, _ = alarmed(rng, mean=0.14, budget=1e6)
    detector.update(errors(rng, 0.14, 5000))

    assert not detector.update(errors(rng, max(mean, 0.14), 5000)).returned


def test_what_counts_as_back_stays_above_the_limit() -> None:
    ending = Ending(0.1)
    ending.start(np.array([20, 20, 8, 6.0]))
    ending.certain = np.array([5000, 5000, -10, 400.0])
    ending.take(np.full(128, 0.9), np.ones(128), np.zeros((128, 4)))

    assert 0.1 < ending.level < 0.2


def test_after_the_end_evidence_begins_anew() -> None:
    detector = Rising(limit=0.1, false_alarms_per=100)
    detector.update(np.ones(50))
    over = detector.update(np.zeros(200))

    assert (over.returned, over.away, over.rows) == (True, False, 0)
    assert math.isnan(over.mean)
    assert over.nats < 3
    assert detector.update(np.ones(50)).alarm


def test_a_rise_and_its_end_in_one_batch_are_both_told() -> None:
    verdict = Rising(limit=0.1, false_alarms_per=100).update(np.concatenate((np.ones(50), np.zeros(200))))

    assert (verdict.alarm, verdict.returned, verdict.away) == (True, True, False)


def test_losses_that_hardly_scatter_are_seen_and_end_as_soon() -> None:
    rng, detector = np.random.default_rng(9), Rising.residual(0.0, false_alarms_per=1e6)

    def residuals(mean: float, rows: int) -> Floats:
        values: Floats = (1 + np.clip(rng.normal(mean, 0.1, rows), -1, 1)) / 2
        return values

    assert not detector.update(residuals(0.0, 5000)).alarm
    assert detector.update(residuals(0.05, 700)).alarm
    detector.update(residuals(0.05, 300))
    assert detector.update(residuals(0.0, 700)).returned


def test_rows_at_the_limit_itself_are_no_evidence() -> None:
    detector = Rising.residual(0.0, false_alarms_per=50)
    still = detector.update(np.full(1000, 0.5))
    assert (still.nats, still.rows, still.alarm) == (-math.inf, 0, False)

    detector.update(np.array([1.0, 1.0]))
    nats = detector.nats
    assert detector.update(np.full(1000, 0.5)).nats == pytest.approx(nats)


@pytest.mark.parametrize("limit", [0.0, 1e-9, 1e-3, 0.5, 0.999, 1.0])
@pytest.mark.parametrize("budget", [1.0, 100.0, 1e6, 1e300, math.inf])
def test_no_limit_and_no_budget_is_too_extreme(limit: float, budget: float) -> None:
    rng = np.random.default_rng(10)
    detector = Rising(limit=limit, false_alarms_per=budget)
    for values in (np.zeros(300), np.ones(300), rng.random(300), errors(rng, 0.5, 300), np.zeros(300)):
        verdict = detector.update(values, rng.random(300))
        assert not math.isnan(verdict.nats)
        assert math.isnan(verdict.mean) == (verdict.rows == 0)
    assert limit < 1 or not detector.update(np.ones(5000)).alarm


def test_long_streams_neither_overflow_nor_wear_out() -> None:
    rng, detector = np.random.default_rng(11), Rising(limit=0.1, false_alarms_per=1e6)
    for _ in range(5):
        detector.update(np.zeros(10_000))
    assert detector.update(errors(rng, 0.3, 400)).alarm
    detector.update(np.ones(20_000))
    assert detector.update(np.zeros(1000)).returned
    assert np.isfinite(Rising(limit=0.1, false_alarms_per=math.inf).update(np.ones(20_000)).nats)


def test_a_constant_weight_is_no_weight() -> None:
    values = np.random.default_rng(12).random(200)
    plain, weighted = (
        Rising(limit=0.4, false_alarms_per=math.inf),
        Rising(limit=0.4, false_alarms_per=math.inf, max_weight=7),
    )

    one, other = plain.update(values), weighted.update(values, np.full(200, 7.0))

    assert other == pytest.approx(one)


def test_a_greater_weight_than_expected_is_the_greatest_from_then_on() -> None:
    values, weights = np.array([1.0, 1.0, 0.0, 1.0]), np.array([1.0, 2.0, 1.0, 0.0])
    detector = Rising(limit=0.1, false_alarms_per=math.inf)
    verdict = detector.update(values, weights)

    same = Rising(limit=0.1, false_alarms_per=math.inf).update(np.array([1.0, 1.0, 0.05]))
    assert verdict.nats == pytest.approx(same.nats)
    assert detector.max_weight == 2
    assert verdict.mean == pytest.approx(3 / 4)


def test_rows_without_a_value_are_left_out() -> None:
    some = Rising(limit=0.1).update(np.array([1.0, math.nan, 0.0]), np.array([1.0, math.nan, 1.0]))

    assert some == Rising(limit=0.1).update(np.array([1.0, 0.0]), np.ones(2))


def test_no_rows_say_how_things_are() -> None:
    detector = Rising(limit=0.1, false_alarms_per=100)
    assert repr(detector.update(EMPTY)) == repr(
        Verdict(-math.inf, math.log(100), alarm=False, away=False, returned=False, rows=0, mean=math.nan)
    )
    told = detector.update(np.ones(50))
    assert detector.update(EMPTY) == told._replace(alarm=False)


@pytest.mark.parametrize(
    ("values", "weights", "told"),
    [
        ([0.5, 1.5], None, "values from 0.5 to 1.5"),
        ([-0.1], None, "values from -0.1"),
        ([math.inf], None, "expected them in"),
        ([0.5], [-1.0], "weights from -1.0"),
        ([0.5], [math.nan], "weights from nan"),
        ([0.5], [math.inf], "weights from inf"),
        ([0.5], [1.0, 1.0], "shapes"),
        ([[0.5]], None, "shapes"),
    ],
)
def test_what_is_out_of_range_is_refused_and_changes_nothing(
    values: list[float], weights: list[float] | None, told: str
) -> None:
    detector = Rising(limit=0.1)
    with pytest.raises(ValueError, match=told):
        detector.update(np.array(values), None if weights is None else np.array(weights))
    assert detector.update(EMPTY).nats == -math.inf


@pytest.mark.parametrize(
    "options",
    [{"limit": -0.1}, {"limit": 1.1}, {"limit": math.nan}, {"false_alarms_per": 0.5}, {"false_alarms_per": math.nan},
     {"max_weight": 0.0}, {"max_weight": math.inf}],
)  # fmt: skip
def test_a_detector_of_the_impossible_is_not_built(options: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="expected"):
        Rising(**{"limit": 0.1} | options)


@pytest.mark.parametrize("rows", [40, 400])
def test_a_saved_state_goes_on_as_if_nothing_had_happened(rows: int) -> None:
    rng = np.random.default_rng(13)
    one, two = (Rising(limit=0.1, false_alarms_per=1000) for _ in range(2))
    one.update(errors(rng, 0.3, rows), rng.random(rows) * 3)
    put_back(two, STATE, "", taken(one, STATE, ""))

    assert one.away == (rows == 400)
    later = errors(rng, 0.05, 500)
    assert repr(two.update(later)) == repr(one.update(later))


def test_bets_reach_from_what_matters_to_what_a_single_row_cannot_ruin() -> None:
    for limit, rows in itertools.product([LEAST_LIMIT, 0.1, 0.5, 0.99, 1.0], [1.0, 1e4, math.inf]):
        sizes = bet_sizes(limit, rows)
        assert sizes[-1] == pytest.approx(MOST_BET / limit)
        assert (np.diff(sizes) > 0).all()
        assert sizes[0] > 0


def test_a_stated_mean_has_only_its_tolerance() -> None:
    assert limit_of(0.1, tolerance=0.02) == pytest.approx(0.12)
    assert limit_of(0.99, tolerance=0.02) == 1
    assert limit_of(0.0) == 0


@pytest.mark.parametrize(("mean", "rows", "confidence"), [(0.1, 1000, 0.95), (0.0, 50, 0.9), (0.5, 10, 0.999)])
def test_a_reference_s_mean_is_bounded_where_its_divergence_says(mean: float, rows: int, confidence: float) -> None:
    upper = limit_of(mean, rows, confidence=confidence)
    terms = [a * math.log(a / b) for a, b in ((mean, upper), (1 - mean, 1 - upper)) if a > 0]

    assert rows * sum(terms) == pytest.approx(-math.log(1 - confidence))


@pytest.mark.parametrize(("mean", "rows"), [(0.02, 100), (0.1, 1000), (0.5, 30), (0.97, 200)])
def test_a_reference_s_bound_holds_as_often_as_it_says(mean: float, rows: int) -> None:
    wrong = np.arange(rows + 1)
    bounds = np.array([limit_of(each / rows, rows, confidence=0.9) for each in wrong])

    assert binom.pmf(wrong, rows, mean)[bounds < mean].sum() <= 0.1
    assert bounds[-1] == 1


@pytest.mark.parametrize(
    "bad", [{"mean": 1.1}, {"mean": math.nan}, {"tolerance": -0.1}, {"rows": -1}, {"confidence": 1.0}]
)
def test_a_limit_of_the_impossible_is_refused(bad: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="expected"):
        limit_of(**({"mean": 0.1} | bad))
