import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sidecar.detectors.bounded import STATE as RISING_STATE
from sidecar.detectors.bounded import Rising
from sidecar.detectors.paired import STATE, Paired
from sidecar.stats.keeping import put_back, taken
from sidecar.stats.moments import Floats

EMPTY = np.empty(0)


def errors(rng: np.random.Generator, mean: float, rows: int) -> Floats:
    return (rng.random(rows) < mean).astype(np.float64)


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 1000),
    cuts=st.lists(st.tuples(st.integers(0, 200), st.integers(0, 200)), min_size=1, max_size=6),
)
def test_the_kth_loss_meets_the_kth_however_they_come(seed: int, cuts: list[tuple[int, int]]) -> None:
    rng = np.random.default_rng(seed)
    champion, challenger = rng.random(200), rng.random(200)
    paired, one, other = Paired(false_alarms_per=math.inf), 0, 0
    for a, b in sorted(cuts):
        paired.update(champion=champion[one : max(one, a)], challenger=challenger[other : max(other, b)])
        one, other = max(one, a), max(other, b)

    pairs = min(one, other)
    alone = Rising.residual(0.0, false_alarms_per=math.inf)
    alone.update((1 + (challenger[:pairs] - champion[:pairs])) / 2)
    np.testing.assert_allclose(paired.rising.wealth, alone.wealth)
    assert (paired.champions, paired.challengers, paired.dropped) == (one - pairs, other - pairs, 0)


def test_equals_never_alarm_whatever_happens_to_both() -> None:
    rng, alarms = np.random.default_rng(1), 0
    for _ in range(30):
        paired = Paired(false_alarms_per=2000)
        for mean in (0.1, 0.4, 0.05):
            alarms += paired.update(champion=errors(rng, mean, 300), challenger=errors(rng, mean, 300)).alarm

    assert alarms <= 30 * 900 / 2000


def test_a_challenger_that_is_worse_is_found_and_by_how_much() -> None:
    rng, paired = np.random.default_rng(2), Paired(tolerance=0.01, false_alarms_per=1e5)
    verdicts = [paired.update(champion=errors(rng, 0.1, 100), challenger=errors(rng, 0.2, 100)) for _ in range(12)]

    assert any(each.alarm for each in verdicts)
    assert verdicts[-1].away
    assert verdicts[-1].mean == pytest.approx(0.1, abs=0.04)


def test_worse_within_the_tolerance_is_not_worse() -> None:
    rng, paired = np.random.default_rng(3), Paired(tolerance=0.05, false_alarms_per=1e4)

    assert not any(
        paired.update(champion=errors(rng, 0.1, 100), challenger=errors(rng, 0.13, 100)).alarm for _ in range(50)
    )


def test_a_challenger_that_is_as_good_again_is_back() -> None:
    rng, paired = np.random.default_rng(4), Paired(false_alarms_per=1e4)
    paired.update(champion=errors(rng, 0.1, 500), challenger=errors(rng, 0.4, 500))
    verdict = paired.update(champion=errors(rng, 0.1, 1000), challenger=errors(rng, 0.1, 1000))

    assert (verdict.returned, verdict.away) == (True, False)


def test_losses_where_both_agree_are_no_evidence() -> None:
    paired = Paired(false_alarms_per=100)
    same = np.random.default_rng(5).random(5000)

    assert paired.update(champion=same, challenger=same).nats == -math.inf


def test_losses_that_differ_by_rounding_never_alarm() -> None:
    rng, paired = np.random.default_rng(7), Paired(false_alarms_per=100)
    same = rng.random(5000) * 0.9

    assert not paired.update(champion=same, challenger=same + rng.normal(0, 1e-7, 5000).clip(0)).alarm


def test_the_oldest_go_when_too_many_wait() -> None:
    paired = Paired(max_waiting=3)
    paired.update(champion=np.arange(10) / 10, challenger=EMPTY)

    assert paired.waiting.tolist() == [0.7, 0.8, 0.9]
    assert (paired.champions, paired.challengers, paired.dropped) == (3, 0, 7)


def test_who_is_ahead_may_change() -> None:
    paired = Paired(max_waiting=5)
    paired.update(champion=np.array([0.1, 0.2]), challenger=EMPTY)
    paired.update(champion=EMPTY, challenger=np.array([0.3, 0.4, 0.5]))

    assert paired.waiting.tolist() == [0.5, 0, 0, 0, 0]
    assert (paired.champions, paired.challengers) == (0, 1)


def test_rows_without_a_loss_are_left_out() -> None:
    paired = Paired()
    paired.update(champion=np.array([math.nan, 0.2]), challenger=np.array([0.3, math.nan, 0.4]))

    assert (paired.champions, paired.challengers) == (0, 1)
    assert paired.waiting[0] == 0.4


@pytest.mark.parametrize("bad", [[1.5], [-0.1], [math.inf]])
def test_a_loss_out_of_range_is_refused_and_changes_nothing(bad: list[float]) -> None:
    paired = Paired()
    with pytest.raises(ValueError, match="expected them in"):
        paired.update(champion=np.array([0.5]), challenger=np.array(bad))
    assert (paired.champions, paired.challengers) == (0, 0)


@pytest.mark.parametrize("options", [{"tolerance": 1.5}, {"false_alarms_per": 0.0}, {"max_waiting": 0}])
def test_a_detector_of_the_impossible_is_not_built(options: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="expected"):
        Paired(**options)  # type: ignore[arg-type]  # a table of cases


def test_a_saved_state_goes_on_as_if_nothing_had_happened() -> None:
    rng = np.random.default_rng(6)
    one, two = Paired(false_alarms_per=1000), Paired(false_alarms_per=1000)
    one.update(champion=errors(rng, 0.1, 250), challenger=errors(rng, 0.3, 200))
    put_back(two, STATE, "", taken(one, STATE, ""))
    put_back(two.rising, RISING_STATE, "", taken(one.rising, RISING_STATE, ""))

    later = {"champion": errors(rng, 0.1, 100), "challenger": errors(rng, 0.4, 300)}
    assert repr(two.update(**later)) == repr(one.update(**later))
    assert two.waiting.tolist() == one.waiting.tolist()
