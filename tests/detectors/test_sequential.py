import copy
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from sidecar.detectors.betting import log_likelihood_ratios
from sidecar.detectors.sequential import Change, Sequential, State
from sidecar.records import Table
from sidecar.reference.binning import bins_of
from sidecar.reference.learning import Learner
from sidecar.stats.moments import Counts, Floats
from tests.detectors.rig import GAUSSIAN, build, equal_bins, shifted


@pytest.mark.parametrize("kind", ["continuous", "category", "tied"])
def test_quiet_rows_stay_within_a_tight_budget(kind: str) -> None:
    rng = np.random.default_rng(1)
    shares = np.r_[8.0, np.ones(11)] if kind == "tied" else 1 / np.arange(1, 13) ** 2
    alarms = 0
    for _ in range(20):
        if kind == "continuous":
            edges = np.sort(rng.random((20, 1000)), axis=1)[:, 83:-1:83]
            reference, p = (
                np.tile(np.diff(np.r_[0, np.arange(84, 1000, 83), 1000]), (20, 1)),
                np.diff(np.pad(edges, ((0, 0), (1, 1)), constant_values=(0, 1))),
            )
        else:
            p = np.tile(shares / shares.sum(), (20, 1))
            reference = rng.multinomial(1000, p)
        detector = build(reference, ordered=np.full(p.shape, kind != "category"), false_alarms_per=2_000)
        alarms += sum(len(detector.update(rng.multinomial(100, p)).changes) for _ in range(200))
    assert alarms <= 20 * 200 * 100 / 2_000


def test_bins_that_stay_empty_do_not_make_all_features_alarm_together() -> None:
    """A bet on an empty bin neither loses nor wins: its evidence would grow with the rows, of every feature alike."""
    rng = np.random.default_rng(5)
    shares = np.r_[np.full(5, 0.2), 0.0, 0.0]
    reference = np.tile(10_000 * shares, (20, 1)).astype(np.int64)
    detector = build(reference, ordered=np.zeros(reference.shape, dtype=np.bool_), false_alarms_per=10_000)
    named = [len(detector.update(rng.multinomial(200, np.tile(shares, (20, 1)))).changes) for _ in range(1500)]
    assert sum(named) <= 30
    assert max(named) <= 2


def test_features_that_are_constant_never_alarm() -> None:
    """A bet on what cannot change neither loses nor wins: its evidence would grow with the rows."""
    reference = np.tile([1000, 0, 0], (6, 1))
    detector = build(reference, ordered=np.tile([True, True, False], (6, 1)), false_alarms_per=2000)
    assert not any(detector.update(np.tile([200, 0, 0], (6, 1))).alarms.any() for _ in range(300))
    assert detector.update(np.tile([100, 100, 0], (6, 1))).alarms.all()


@pytest.mark.parametrize(
    ("shift", "scale", "rows"), [(0.3, 1.0, 1100), (0.5, 1.0, 400), (1.0, 1.0, 100), (0, 1.3, 900), (0, 0.7, 500)]
)
def test_a_shift_is_seen_soon(shift: float, scale: float, rows: int) -> None:
    rng, delays = np.random.default_rng(2), []
    for _ in range(15):
        detector, seen = build(equal_bins(), false_alarms_per=20_000_000), 0
        while not detector.update(rng.multinomial(10, shifted(shift, scale=scale))[None]).alarms[0]:
            seen += 10
        delays.append(seen + 10)
    assert np.median(delays) <= rows


def test_only_the_shifted_feature_is_named() -> None:
    rng = np.random.default_rng(3)
    detector = build(equal_bins(k=20))
    quiet = np.full((20, 10), 0.1)
    drifted = quiet.copy()
    drifted[7] = shifted(0.5)
    assert not any(detector.update(rng.multinomial(100, quiet)).alarms.any() for _ in range(100))
    named = {change.feature for _ in range(10) for change in detector.update(rng.multinomial(100, drifted)).changes}
    assert named == {7}


def test_the_features_of_a_learned_reference_are_watched() -> None:
    rng, learner = np.random.default_rng(13), Learner()

    def table(rows: int, shift: float = 0.0, new: float = 0.0) -> Table:
        values = np.column_stack([rng.normal(shift, 1, rows), rng.integers(0, 3, rows), np.full(rows, np.nan)])
        texts = [("x", "y", "z")[int(p > 0.6) + int(p > 1 - new)] for p in rng.random(rows)]
        return Table(("amount", "items", "country"), values, {2: texts})

    learner.update(table(5000))
    bins = bins_of(learner.profiles())
    detector = Sequential(reference=bins.trusted, ordered=bins.ordered, used=bins.used)

    def named(**options: float) -> set[str]:
        batches = (table(100, **options) for _ in range(30))
        evidences = [detector.update(bins.count(each.values, each.texts).counts) for each in batches]
        return {bins.names[change.feature] for evidence in evidences for change in evidence.changes}

    assert named() == set()
    assert named(shift=0.5) == {"amount"}
    assert named(new=0.1) == {"country"}


def test_a_shape_that_no_tilt_resembles_is_seen() -> None:
    rng, detector = np.random.default_rng(4), build(equal_bins(), false_alarms_per=20_000_000)
    comb = 0.1 * (1 + 0.3 * (-1.0) ** np.arange(10))
    changes = [c for _ in range(100) for c in detector.update(rng.multinomial(50, comb)[None]).changes]
    assert changes[0].alternative.startswith("free")


def first_change(
    detector: Sequential, shares: Floats, rng: np.random.Generator, quiet: int = 20_000, n: int = 20
) -> tuple[int, Change]:
    p = np.full((1, detector.reference.shape[1]), 1 / detector.reference.shape[1])
    for _ in range(quiet // 100):
        detector.update(rng.multinomial(100, p))
    seen = 0
    while True:
        seen += n
        evidence = detector.update(rng.multinomial(n, shares)[None])
        if evidence.changes:
            return seen, evidence.changes[0]


def test_the_onset_and_the_size_are_near_the_truth() -> None:
    rng, told = np.random.default_rng(5), []
    for _ in range(15):
        seen, change = first_change(build(equal_bins(), false_alarms_per=20_000_000), shifted(0.5), rng, quiet=2000)
        told.append((change.rows / seen, change.moved))
    ratio, moved = np.median(told, axis=0)
    assert 0.6 < ratio < 1.4
    assert moved == pytest.approx(0.5 * np.abs(shifted(0.5) - 0.1).sum(), abs=0.06)


def test_the_alternative_is_named() -> None:
    rng = np.random.default_rng(6)
    _, change = first_change(build(equal_bins()), shifted(0.6), rng, quiet=1000)
    assert change.alternative in {"location +0.35 sd", "location +0.6 sd", "location +1 sd"}


def test_rows_of_the_change_leave_the_urn_and_evidence_begins_anew() -> None:
    rng, detector = np.random.default_rng(7), build(equal_bins())
    before = detector.state.urn.sum()
    _, change = first_change(detector, shifted(1.0), rng, quiet=1000)
    state = detector.state
    assert np.isneginf(state.wealth).all()
    removed = before + state.seen.sum() - state.urn.sum()
    assert change.rows <= removed <= change.rows + 200
    assert (state.urn > 0).all()


def test_a_lasting_change_alarms_again() -> None:
    rng, detector = np.random.default_rng(8), build(equal_bins())
    alarms = sum(detector.update(rng.multinomial(50, shifted(0.5))[None]).alarms[0] for _ in range(100))
    assert alarms >= 10


def test_a_lasting_change_does_not_become_the_reference() -> None:
    rng, detector = np.random.default_rng(12), build(equal_bins())
    alarms = [detector.update(rng.multinomial(50, shifted(0.5))[None]).alarms[0] for _ in range(2000)]
    assert sum(alarms[-500:]) >= 0.8 * sum(alarms[:500])
    assert detector.state.urn.sum() < 11_000


def test_one_batch_by_hand() -> None:
    """Two categories, 60 and 40 in the reference, 1 row of the second: the odds x4 of bin 1."""
    detector = build(np.array([[60, 40]]), ordered=np.zeros((1, 2), dtype=np.bool_), tolerance=0.0)
    detector.update(np.array([[0, 1]]))
    p, x = 40.5 / 101, 1 / 101
    mu = 1 + 3 * p
    variance = 9 * p * (1 - p) / mu**2
    cost = x * variance / (2 * (1 - x * (4 / mu - 1)))
    assert detector.state.wealth[0, GAUSSIAN + 4 + 2] == pytest.approx(math.log(4 / mu) - cost)


def test_a_start_is_added_for_every_row() -> None:
    detector = build(equal_bins())
    detector.update(np.full((1, 10), 2))
    first = detector.state.wealth.copy()
    urn, free = detector.state.urn.copy(), np.ones((1, 3, 10))
    batch = np.full((1, 10), 3)
    gains = log_likelihood_ratios(detector.fixed, urn, free, batch.astype(float), detector.tolerance)[0]
    detector.update(batch)
    expected = np.log(np.exp(first) + 30) + gains
    np.testing.assert_allclose(detector.state.wealth[:, :-3], expected[:, :-3])


def test_no_rows_are_no_evidence() -> None:
    detector = build(equal_bins())
    assert np.isneginf(detector.update(np.zeros((1, 10), dtype=np.int64)).nats[0])
    nats = detector.update(np.arange(10)[None]).nats
    assert detector.update(np.zeros((1, 10), dtype=np.int64)).nats == nats


def test_features_are_independent_and_may_be_of_unequal_width() -> None:
    rng = np.random.default_rng(9)
    narrow, wide = build(equal_bins(bins=5)), build(equal_bins(bins=10))
    reference = np.array([[2000] * 5 + [0] * 5, [1000] * 10])
    both = build(reference, ordered=reference > 0, used=reference > 0)
    for _ in range(5):
        one, two = rng.multinomial(40, [0.2] * 5), rng.multinomial(30, [0.1] * 10)
        nats = both.update(np.array([[*one, 0, 0, 0, 0, 0], two])).nats
        apart = [narrow.update(one[None]).nats[0], wide.update(two[None]).nats[0]]
    np.testing.assert_allclose(nats, apart)


def test_a_saved_state_goes_on_as_if_nothing_had_happened() -> None:
    rng = np.random.default_rng(10)
    one, two = build(equal_bins(k=3)), build(equal_bins(k=3))
    for _ in range(20):
        one.update(rng.multinomial(50, [0.1] * 10, size=3))
    two.state = State(**{name: copy.copy(getattr(one.state, name)) for name in State.__slots__})
    batch = rng.multinomial(50, [0.1] * 10, size=3)
    np.testing.assert_array_equal(two.update(batch).nats, one.update(batch).nats)


@settings(max_examples=60, deadline=None)
@given(arrays(np.int64, (4, 2, 6), elements=st.integers(0, 300)), arrays(np.int64, (2, 6), elements=st.integers(0, 50)))
def test_any_counts_give_numbers(batches: Counts, reference: Counts) -> None:
    detector = build(reference)
    for batch in batches:
        assert not np.isnan(detector.update(batch).nats).any()
        assert (detector.state.urn > 0).all()
