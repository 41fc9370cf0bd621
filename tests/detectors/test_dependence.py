import copy
import math
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.random import Generator, default_rng

from sidecar.detectors.dependence import BINS, MAX_ROWS, MIN_ROWS, SLOTS, Association, Dependence
from sidecar.detectors.sequential import Sequential
from sidecar.detectors.windows import BLOCK, LEVELS
from sidecar.records import Table
from sidecar.reference.binning import bins_of
from sidecar.reference.learning import Learner
from sidecar.stats.columns import Cells
from sidecar.stats.moments import Floats

NAN = np.nan
Batch = tuple[Floats, dict[int, Cells]]


def drawn(rng: Generator, n: int, rho: float = 0.0, k: int = 8) -> Floats:
    """The third and the sixth correlate; the others are independent."""
    rows = rng.normal(size=(n, k))
    rows[:, 5] = rho * rows[:, 2] + math.sqrt(1 - rho**2) * rows[:, 5]
    return rows


def build(rho: float = 0.0, m: int = 3000, false_alarms_per: float = 1e6) -> Dependence:
    return Dependence(values=drawn(default_rng(1), m, rho), texts={}, false_alarms_per=false_alarms_per)


def first_change(detector: Dependence, rng: Generator, rho: float, limit: int = 3000) -> tuple[int, Association]:
    for seen in range(32, limit + 1, 32):
        verdict = detector.update(drawn(rng, 32, rho), {})
        if verdict.changes:
            assert verdict.away
            return seen, verdict.changes[0]
    raise AssertionError("no alarm")


def quiet(detector: Dependence, rng: Generator, rows: int, rho: float = 0.0) -> None:
    for _ in range(rows // 100):
        assert not detector.update(drawn(rng, 100, rho), {}).changes


def as_it_is(rows: Floats) -> Batch:
    return rows, {}


def tied(rows: Floats) -> Batch:
    values = np.where(rows < 0.3, 0.0, np.rint(2 * rows))
    values[np.roll(rows, 1, axis=1) > 1.6] = NAN
    return values, {}


def worded(rows: Floats) -> Batch:
    values = np.tan(rows)
    values[:, 2] = NAN
    texts: dict[int, Cells] = {2: ["abc"[int(x > 0) + int(x > 1)] for x in rows[:, 2].tolist()]}
    return values, texts


@pytest.mark.parametrize("shape", [as_it_is, tied, worded])
def test_quiet_rows_stay_within_a_tight_budget(shape: Callable[[Floats], Batch]) -> None:
    rng, alarms = default_rng(2), 0
    for _ in range(4):
        values, texts = shape(drawn(rng, 400, 0.6))
        detector = Dependence(values=values, texts=texts, false_alarms_per=100)
        alarms += sum(len(detector.update(*shape(drawn(rng, 25, 0.6))).changes) for _ in range(160))
    assert alarms <= 4 * 160 * 25 / 100


def test_scores_made_by_chance_alone_stay_within_the_budget_too() -> None:
    """They are rare of themselves; here all stages have one. Tested on half A, they would alarm twice too often."""
    rng, alarms = default_rng(3), 0
    for _ in range(12):
        detector = Dependence(values=drawn(rng, 400, 0.6), texts={}, false_alarms_per=1000)
        detector.contrasts.threshold = 1.5
        alarms += sum(len(detector.update(drawn(rng, 25, 0.6), {}).changes) for _ in range(60))
    assert alarms <= 12 * 60 * 25 / 1000


@pytest.mark.parametrize(("before", "after", "rows"), [(0.0, 0.5, 450), (0.0, 0.8, 250), (0.8, 0.0, 250)])
def test_a_changed_dependence_is_seen_soon_and_named(before: float, after: float, rows: int) -> None:
    delays = []
    for seed in range(5):
        rng, detector = default_rng((3, seed)), build(before)
        quiet(detector, rng, int(rng.integers(500, 1500)), before)
        seen, change = first_change(detector, rng, after)
        assert change.pairs[0].features == (2, 5)
        assert change.pairs[0].squares == (False, False)
        assert change.pairs[0].before == pytest.approx(before, abs=0.1)
        assert abs(change.pairs[0].after - before) > 0.2
        delays.append(seen)
    assert np.median(delays) <= rows


def test_a_dependence_without_correlation_is_seen() -> None:
    rng, detector = default_rng(4), build()
    quiet(detector, rng, 1000)
    changes: tuple[Association, ...] = ()
    while not changes:
        rows = drawn(rng, 32)
        rows[:, 5] = (rows[:, 2] ** 2 - 1) / math.sqrt(2) * 0.9 + rows[:, 5] * math.sqrt(0.19)
        changes = detector.update(rows, {}).changes
    assert changes[0].pairs[0].features == (2, 5)
    assert changes[0].pairs[0].squares == (True, False)


def test_a_category_that_goes_with_another_is_seen() -> None:
    rng = default_rng(5)

    def rows(n: int, rho: float) -> Batch:
        normal = drawn(rng, n, rho, k=6)
        words: dict[int, Cells] = {
            column: ["abcd"[int(x > 0) + int(x > 0.7) + int(x > 1.3)] for x in normal[:, column].tolist()]
            for column in (2, 5)
        }
        return np.where(np.isin(np.arange(6), (2, 5)), NAN, normal), words

    values, texts = rows(2000, 0.0)
    detector = Dependence(values=values, texts=texts)
    changes = [change for _ in range(40) for change in detector.update(*rows(50, 0.7)).changes]
    assert changes[0].pairs[0].features == (2, 5)


def test_features_one_by_one_show_nothing_of_it() -> None:
    rng, learner, sample = default_rng(6), Learner(), drawn(default_rng(1), 3000)
    learner.update(Table(tuple("abcdefgh"), sample))
    bins = bins_of(learner.profiles())
    univariate = Sequential(reference=bins.trusted, ordered=bins.ordered, used=bins.used)
    detector, seen = Dependence(values=sample, texts={}), 0
    for _ in range(60):
        rows = drawn(rng, 50, 0.8)
        seen += len(detector.update(rows, {}).changes)
        assert not univariate.update(bins.count(rows, {}).counts).alarms.any()
    assert seen


@pytest.mark.parametrize(("shift", "scale"), [(0.5, 1.0), (3.0, 1.0), (0.0, 0.5)])
def test_a_margin_that_moves_is_none_of_its_business(shift: float, scale: float) -> None:
    rng, detector = default_rng(7), build(0.5)
    for _ in range(40):
        rows = drawn(rng, 100, 0.5)
        rows[:, 0] = shift + scale * rows[:, 0]
        assert not detector.update(rows, {}).changes


def test_it_is_away_until_it_has_returned() -> None:
    rng, detector = default_rng(8), build()
    first_change(detector, rng, 0.7)
    lasting = [detector.update(drawn(rng, 50, 0.7), {}) for _ in range(40)]
    assert all(verdict.away and not verdict.returned for verdict in lasting)
    assert sum(len(verdict.changes) for verdict in lasting) >= 3
    after = [detector.update(drawn(rng, 50), {}) for _ in range(40)]
    assert sum(verdict.returned for verdict in after) == 1
    assert not after[-1].away


def test_what_the_alarm_says_is_near_the_truth() -> None:
    rng, detector = default_rng(9), build()
    quiet(detector, rng, 1200)
    seen, change = first_change(detector, rng, 0.8)
    assert 0.5 < change.rows / seen < 2.5
    assert change.nats >= math.log(1e6)
    assert change.before.sum() == pytest.approx(1)
    assert change.after.sum() == pytest.approx(1)
    assert change.after[-1] > 2 * change.before[-1]
    assert 0.15 < change.moved < 0.7


def test_an_alarm_ends_every_stage() -> None:
    rng, detector = default_rng(10), build()
    detector.update(drawn(rng, BLOCK, 0.8), {})
    assert detector.state.stages
    while not detector.update(drawn(rng, 20, 0.8), {}).changes:
        pass
    assert len(detector.state.stages) <= 2
    assert detector.evidence.state.wealth.max() == -math.inf


def test_stages_begin_at_fixed_numbers_of_rows_and_last_two_windows() -> None:
    rng, detector = default_rng(11), build(false_alarms_per=math.inf)
    for blocks in range(1, 2**LEVELS + 1):
        detector.update(drawn(rng, BLOCK, 0.8), {})
        due = [level for level in range(LEVELS) if blocks % 2**level == 0]
        for level in range(LEVELS):
            slot = 2 * level + (blocks >> level & 1)
            begun = detector.evidence.state.seen[slot] - detector.evidence.state.restarted[slot]
            assert (begun.sum() == 0) == (level in due or blocks < 2**level)
    assert len(detector.state.stages) == SLOTS
    assert [detector.state.stages[2 * level].learned for level in range(LEVELS)] == [
        BLOCK << level for level in range(LEVELS)
    ]


def test_half_b_tells_nothing_to_the_scores() -> None:
    """The guarantee stands on it."""
    sample = drawn(default_rng(1), 1000)
    held_out = default_rng(0).permutation(1000)[500:]
    other = sample.copy()
    other[held_out] = default_rng(2).exponential(size=(500, 8))
    one, two = (Dependence(values=values, texts={}, false_alarms_per=math.inf) for values in (sample, other))

    np.testing.assert_array_equal(one.scores.table, two.scores.table)
    np.testing.assert_array_equal(one.scores.edges, two.scores.edges)
    np.testing.assert_array_equal(one.contrasts.precision, two.contrasts.precision)
    rows = drawn(default_rng(3), 2 * BLOCK, 0.6)
    for detector in (one, two):
        detector.update(rows, {})
    assert one.state.stages.keys() == two.state.stages.keys()
    for slot, stage in one.state.stages.items():
        np.testing.assert_array_equal(stage.contrast.directions, two.state.stages[slot].contrast.directions)


def test_a_stage_s_evidence_is_the_sequential_detector_s_from_its_beginning() -> None:
    rng, detector = default_rng(15), build(false_alarms_per=math.inf)
    for _ in range(3):
        detector.update(drawn(rng, BLOCK, 0.8), {})
    stage = detector.state.stages[1]
    assert stage.learned == BLOCK
    rows = drawn(rng, 50, 0.8)
    chance = default_rng((detector.seed, detector.state.slices)).random(50)
    reference = detector.evidence.reference[:1]
    every = np.ones(reference.shape, dtype=np.bool_)
    alone = Sequential(reference=reference, ordered=every, used=every, false_alarms_per=math.inf, tolerance=0.0)
    alone.state.urn[0] = detector.urn
    alone.update(stage.count(detector.scores.score(rows, {}), chance)[None])
    verdict = detector.update(rows, {})

    np.testing.assert_allclose(detector.evidence.state.wealth[1], alone.state.wealth[0])
    np.testing.assert_array_equal(detector.evidence.state.urn[1], alone.state.urn[0])
    nats = np.logaddexp.reduce(detector.evidence.state.wealth + detector.evidence.fixed.weights, axis=1)
    assert verdict.nats == pytest.approx(nats.max() - math.log(SLOTS))


def test_half_b_falls_into_the_bins_as_the_urn_says() -> None:
    detector = build(m=1003)
    detector.update(drawn(default_rng(3), BLOCK, 0.8), {})
    (stage,) = detector.state.stages.values()
    counts = stage.count(detector.held_out, detector.chance)

    np.testing.assert_array_equal(counts + np.eye(BINS, dtype=np.int64)[-1], detector.urn)


def test_equal_rows_are_parted_by_chance_alone() -> None:
    """Two values a feature: four different rows, and ten bins of equal mass none the less."""
    rng = default_rng(12)

    def rows(n: int, rho: float) -> Floats:
        return np.sign(drawn(rng, n, rho)[:, [2, 5]])

    detector = Dependence(values=rows(2000, 0.0), texts={})
    detector.update(rows(300, 0.9), {})
    stage = detector.state.stages[max(detector.state.stages)]
    counts = stage.count(detector.scores.score(rows(10_000, 0.0), {}), rng.random(10_000))
    assert counts.min() > 600
    assert counts.max() < 1400


def test_a_saved_state_goes_on_as_if_nothing_had_happened() -> None:
    rng, one, two = default_rng(13), build(), build()
    first_change(one, rng, 0.7)
    for _ in range(5):
        one.update(drawn(rng, 90, 0.3), {})
    two.state = copy.deepcopy(one.state)
    two.evidence.state = copy.deepcopy(one.evidence.state)
    two.returning = copy.deepcopy(one.returning)
    for _ in range(5):
        rows = drawn(rng, 90, 0.4)
        expected, found = one.update(rows, {}), two.update(rows, {})
        assert (expected.nats, expected.away, expected.returned) == (found.nats, found.away, found.returned)


def test_large_batches_are_taken_in_slices() -> None:
    rows = drawn(default_rng(14), 6000, 0.6)
    whole = build().update(rows, {})
    assert whole.changes
    assert whole.changes[0].pairs[0].features == (2, 5)


def test_no_rows_are_no_evidence() -> None:
    detector = build()
    verdict = detector.update(np.empty((0, 8)), {})
    assert (verdict.nats, verdict.changes, verdict.away, verdict.returned) == (-math.inf, (), False, False)


def test_no_more_of_the_sample_is_used_than_needed() -> None:
    detector = Dependence(values=drawn(default_rng(1), MAX_ROWS + 500), texts={})
    assert len(detector.held_out) == MAX_ROWS // 2
    assert detector.contrasts.rows == MAX_ROWS // 2


@pytest.mark.parametrize("shape", [(MIN_ROWS - 1, 3), (MIN_ROWS, 0)])
def test_a_sample_that_tells_nothing_is_refused(shape: tuple[int, int]) -> None:
    with pytest.raises(ValueError, match=r"^a sample of shape .* expected at least 200 rows and a feature$"):
        Dependence(values=np.ones(shape), texts={})


odd = st.sampled_from([NAN, math.inf, -math.inf, 0.0, 1.0, -1e308, 1e308, 5e-324])


@settings(max_examples=10, deadline=None)
@given(st.lists(st.lists(odd, min_size=3, max_size=3), min_size=MIN_ROWS, max_size=MIN_ROWS), st.integers(0, 400))
def test_any_cells_give_an_answer(cells: list[list[float]], rows: int) -> None:
    values = np.array(cells)
    detector = Dependence(values=values, texts={2: [None, "a"] * (MIN_ROWS // 2)})
    live = np.resize(values[::-1], (rows, 3))
    for _ in range(3):
        assert not math.isnan(detector.update(live, {0: ["x"] * rows, 2: ["a"] * rows}).nats)
