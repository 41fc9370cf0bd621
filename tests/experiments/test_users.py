import math

import numpy as np
import pytest
from scipy.special import gammaln, logsumexp
from scipy.stats import chisquare

from sidecar.experiments.users import MAX_UNITS, Users, scattered
from sidecar.stats.moments import Floats, Units


def begun(*shares: float) -> Users:
    users = Users(len(shares))
    users.begin(np.array(shares))
    return users


def people(first: int, end: int) -> Units:
    return np.arange(first, end, dtype=np.uint64)


def evidence(counts: Floats, shares: Floats, size: float) -> float:
    """Lindon and Malek's formula, as it stands in their paper."""
    prior = size * shares
    told = gammaln(prior.sum()) - gammaln((prior + counts).sum()) + (gammaln(prior + counts) - gammaln(prior)).sum()
    return float(told - (counts * np.log(shares)).sum())


def test_the_evidence_is_that_of_the_paper_mixed_over_two_priors_and_multiplied_over_times() -> None:
    users = begun(0.7, 0.2, 0.1)
    for place, (first, end) in enumerate([(0, 600), (600, 900), (900, 1000)]):
        users.take(place, people(first, end))
    users.begin(np.array([1.0, 1.0, 2.0]))
    users.take(2, people(1000, 1100))

    paths = [
        evidence(np.array([600, 300, 100]), np.array([0.7, 0.2, 0.1]), size)
        + evidence(np.array([0, 0, 100]), np.array([0.25, 0.25, 0.5]), size)
        for size in (100.0, 10_000.0)
    ]
    told = users.mismatch
    assert told.nats == pytest.approx(logsumexp(paths) - math.log(2), rel=1e-9)
    assert told.p_value == pytest.approx(math.exp(-told.nats))
    assert (told.alarm, told.counts) == (True, (600, 300, 200))
    assert told.shares == pytest.approx((725 / 1100, 225 / 1100, 150 / 1100))


def test_no_user_says_nothing() -> None:
    users = begun(0.5, 0.5)

    assert (users.mismatch.p_value, users.mismatch.nats, users.mismatch.alarm) == (1.0, 0.0, False)
    assert np.isnan(users.mismatch.shares).all()
    assert users.sides.users == 0
    assert math.isnan(users.sides.crossed)
    assert math.isnan(users.sides.moved)


def test_an_alarm_stays_and_the_p_value_never_rises() -> None:
    users = begun(0.5, 0.5)
    users.take(0, people(0, 600))
    worst = users.mismatch
    users.take(1, people(600, 1200))

    assert worst.alarm
    assert users.mismatch.alarm
    assert users.mismatch.nats < 0
    assert users.mismatch.p_value == worst.p_value


def test_looking_after_every_batch_of_fair_splits_alarms_as_seldom_as_promised() -> None:
    rng = np.random.default_rng(11)
    alarms, low = 0, 0
    for _ in range(100):
        users = begun(0.9, 0.1)
        for start in range(0, 1500, 50):
            units = rng.integers(0, 1 << 63, 50, dtype=np.uint64)
            cut = rng.random(50) < (0.1 if start < 700 else 0.5)
            if start == 700:
                users.begin(np.array([0.5, 0.5]))
            users.take(0, units[~cut])
            users.take(1, units[cut])
            told = users.mismatch
        alarms += told.alarm
        low += told.p_value < 0.1

    # Of 100 at 0.001 and at 0.1: 0.1 and 10 are the most that is expected.
    assert alarms <= 1
    assert low <= 17


def test_a_split_that_loses_a_tenth_of_a_variant_s_users_is_found() -> None:
    rng = np.random.default_rng(12)
    users = begun(0.5, 0.5)
    for place, number in enumerate((10_000, 9_000)):
        users.take(place, rng.integers(0, 1 << 63, number, dtype=np.uint64))

    assert users.mismatch.alarm


def test_a_user_counts_once_however_often_the_weights_change() -> None:
    users = begun(0.5, 0.5)
    for _ in range(20):
        users.take(0, people(0, 120))
        users.take(1, people(120, 220))
        users.begin(np.array([0.5, 0.5]))

    # Twenty times the same deviation would be 2400 to 2000, and an alarm.
    assert users.mismatch.counts == (120, 100)
    assert not users.mismatch.alarm


def test_weights_of_an_earlier_time_do_not_judge_a_later_one() -> None:
    users = begun(0.99, 0.01)
    users.take(0, people(0, 990))
    users.take(1, people(990, 1000))
    users.begin(np.array([0.5, 0.5]))
    users.take(0, people(1000, 1500))
    users.take(1, people(1500, 2000))

    assert users.mismatch.p_value > 0.1


def test_who_comes_by_a_variant_without_weight_does_not_count() -> None:
    users = begun(1.0, 0.0)
    users.take(1, people(0, 100))

    assert users.mismatch.counts == (0, 0)
    assert users.mismatch.nats == 0.0
    assert users.sides.users == 100


def test_no_weights_at_all_are_no_error() -> None:
    users = begun(0.0, 0.0)
    users.take(1, people(0, 100))

    assert users.mismatch.p_value == 1.0


def test_who_is_on_two_sides_at_once_crossed_and_who_follows_the_weights_moved() -> None:
    users = begun(0.5, 0.5)
    users.take(0, people(0, 60))
    users.take(1, people(50, 100))
    users.begin(np.array([0.2, 0.8]))
    users.take(1, people(0, 30))

    assert users.sides == (100, 0.1, 0.3)


def test_who_crossed_is_not_told_as_moved_later_and_stays_told() -> None:
    users = begun(0.5, 0.5)
    users.take(0, people(0, 10))
    users.take(1, people(0, 10))
    for _ in range(2):
        users.begin(np.array([0.2, 0.8]))
        users.take(1, people(0, 10))

    assert users.sides == (10, 1.0, 0.0)


def test_whoever_was_away_for_a_while_has_moved_all_the_same() -> None:
    users = begun(0.5, 0.5)
    users.take(0, people(0, 10))
    for _ in range(3):
        users.begin(np.array([0.2, 0.8]))
    users.take(1, people(0, 5))

    assert users.sides == (10, 0.0, 0.5)


def test_the_sample_is_bounded_and_what_is_left_is_a_fair_one() -> None:
    users = begun(0.5, 0.5)
    # The split's own hash: the lower half of all numbers is one variant's.
    step = (1 << 64) // 100_000
    units = np.arange(100_000, dtype=np.uint64) * np.uint64(step)
    for start in range(0, 100_000, 4_000):
        part = units[start : start + 4_000]
        users.take(0, part[part < 1 << 63])
        users.take(1, part[part >= 1 << 63])

    held = users.seen[0]
    assert MAX_UNITS / 2 * 0.9 < len(users.keys) <= MAX_UNITS
    assert (np.diff(users.keys) > 0).all()
    assert chisquare([(held == 1).sum(), (held == 2).sum()]).pvalue > 0.01
    # The first ones had been counted while all were: the second half of the order is another variant's.
    assert sum(users.mismatch.counts) > MAX_UNITS


def test_who_was_forgotten_is_not_taken_for_new() -> None:
    users = begun(0.5, 0.5)
    users.take(0, people(0, 50_000))
    counts = users.mismatch.counts
    users.take(0, people(0, 50_000))

    assert users.mismatch.counts == counts


def test_batches_may_be_cut_anywhere() -> None:
    rng = np.random.default_rng(3)
    units = rng.integers(0, 500, 2_000, dtype=np.uint64)
    one, many = begun(0.5, 0.5), begun(0.5, 0.5)
    one.take(0, units)
    for part in np.array_split(units, 37):
        many.take(0, part)
    many.take(0, people(0, 0))

    assert many.mismatch == one.mismatch
    assert many.sides == one.sides


def test_a_state_goes_on_where_it_was() -> None:
    users = begun(0.5, 0.3, 0.2)
    users.take(2, people(0, 30_000))
    users.begin(np.array([0.4, 0.4, 0.2]))
    saved = {name: array.copy() for name, array in users.state().items()}
    other = Users(3)
    other.restore(saved)
    for each in (users, other):
        each.take(0, people(10_000, 40_000))

    assert other.mismatch == users.mismatch
    assert other.sides == users.sides


def test_a_state_of_another_number_of_variants_is_refused() -> None:
    with pytest.raises(ValueError, match="counts: of another shape"):
        Users(3).restore(begun(0.5, 0.5).state())


def test_hashes_are_even_whatever_the_units() -> None:
    low = scattered(people(0, 10_000))
    high = scattered(people(0, 10_000) << np.uint64(40))

    for hashes in (low, high):
        bins = np.bincount((hashes >> np.uint64(59)).astype(np.int64), minlength=16)
        assert chisquare(bins).pvalue > 0.001
