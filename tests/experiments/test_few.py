import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize_scalar
from scipy.special import betaln

from sidecar.experiments.experiment import Rows
from sidecar.experiments.few import divergence, least_nats, penalty, surely_beyond, worth
from sidecar.experiments.measures import Errors
from sidecar.experiments.sequences import contrast
from sidecar.experiments.standing import Standing
from sidecar.experiments.totals import BUCKETS, Totals
from tests.bench.arms import Running
from tests.bench.rollbacks import nats
from tests.experiments.rig import GUARDED, experiment, rows, words


def failing(failed: int, rows: int, *, users: int = 1 << 62, seed: int = 1, most: float = 1.0) -> Totals:
    made, rng = Totals(most=most), np.random.default_rng(seed)
    values = rng.permutation(np.concatenate((np.full(failed, most), np.zeros(rows - failed))))
    made.take(rng.integers(0, users, rows, dtype=np.uint64), values)
    return made


@pytest.mark.parametrize("champion", [failing(0, 20), failing(4, 380), failing(2, 1980), failing(20, 1980)])
def test_twenty_failures_of_twenty_requests_are_enough_at_every_split(champion: Totals) -> None:
    assert surely_beyond(champion, failing(20, 20, seed=2), 0.01, wrong=0.0005)


def test_fewer_are_enough_where_the_champion_is_known_and_none_is_too_few() -> None:
    told = [surely_beyond(failing(0, 400), failing(n, n, seed=2), 0.01, wrong=0.0005) for n in range(6)]

    assert told == [False, False, False, True, True, True]


@pytest.mark.parametrize("most", [1.0, 5.0])
def test_what_fails_no_more_than_the_margin_allows_is_not_told(most: float) -> None:
    champion, challenger = failing(100, 1000, most=most), failing(20, 100, seed=2, most=most)

    assert not surely_beyond(champion, challenger, 0.1 * most, wrong=0.5)
    assert surely_beyond(champion, failing(60, 100, seed=2, most=most), 0.1 * most, wrong=0.001)


def test_a_user_who_fails_twenty_times_is_one_who_fails() -> None:
    assert not surely_beyond(failing(0, 1000), failing(20, 20, users=1, seed=2), 0.01, wrong=0.01)


def test_without_rows_of_both_in_one_epoch_nothing_is_told() -> None:
    champion, challenger = failing(0, 1000), Totals(most=1.0)
    for each in (champion, challenger):
        each.begin()
    challenger.take(np.arange(50, dtype=np.uint64), np.ones(50))

    assert not surely_beyond(champion, challenger, 0.01, wrong=0.5)
    assert not surely_beyond(Totals(most=1.0), Totals(most=1.0), 0.01, wrong=0.5)


def test_hours_are_not_mixed() -> None:
    # Everybody fails in the second hour, in which the challenger has most of its rows.
    champion, challenger = failing(0, 5000), failing(0, 10, seed=2)
    for each, number in ((champion, 50), (challenger, 150)):
        each.begin()
        each.take(np.arange(number, dtype=np.uint64), np.ones(number))

    assert challenger.mean > champion.mean + 0.9
    assert not surely_beyond(champion, challenger, 0.01, wrong=0.5)


def test_values_between_nought_and_one_are_told_by_their_mean() -> None:
    champion, challenger = failing(100, 1000), Totals(most=1.0)
    challenger.take(np.arange(60, dtype=np.uint64), np.full(60, 0.7))

    assert surely_beyond(champion, challenger, 0.1, wrong=0.001)
    assert not surely_beyond(champion, challenger, 0.6, wrong=0.5)


@settings(max_examples=60, deadline=None)
@given(
    st.floats(1, 1e6),
    st.floats(0, 1),
    st.floats(1, 1e6),
    st.floats(0, 1),
    st.sampled_from([0.0, 1e-6, 0.01, 0.3, 0.999]),
)
def test_the_least_nats_are_those_of_the_best_shares(m: float, a: float, n: float, b: float, margin: float) -> None:
    def nats(p: float) -> float:
        return float(m * divergence(np.array(a), p) + n * divergence(np.array(b), min(p + margin, 1.0)))

    told = float(least_nats(np.array([m]), np.array([a]), np.array([n]), np.array([b]), margin)[0])

    if b <= a + margin:
        assert told == 0.0
        return
    found = minimize_scalar(nats, bounds=(a, b - margin), method="bounded", options={"xatol": 1e-13})
    assert told <= nats(float(found.x)) * (1 + 1e-7) + 1e-6
    assert told >= 0


@pytest.mark.parametrize("rows", [1, 2, 3, 10, 100, 10_000])
def test_the_code_that_knows_no_share_loses_no_more_than_the_penalty(rows: int) -> None:
    failed = np.linspace(0, rows, 501)
    code = betaln(failed + 0.5, rows - failed + 0.5) - math.log(math.pi)
    best = rows * (divergence(failed / rows, 0.5) - math.log(2))

    assert (best - code <= penalty(np.array([float(rows)])) + 1e-9).all()


def test_rows_of_a_bucket_count_as_one() -> None:
    assert worth(np.array([1, 1, 0, 1])) == 1.0
    assert worth(np.full(8, 5)) == pytest.approx(1 / 5)
    assert worth(np.array([20] + [0] * (BUCKETS - 1))) == pytest.approx(1 / 20)


@pytest.mark.parametrize(("split", "share"), [(0.01, 0.02), (0.01, 0.5), (0.5, 0.1)])
def test_at_the_margin_it_is_seldom_told_however_often_one_looks(split: float, share: float) -> None:
    rng, told = np.random.default_rng(5), 0
    for _ in range(30):
        variants = Totals(most=1.0), Totals(most=1.0)
        for _ in range(20):
            for each, n, p in zip(variants, (round(10 / split) - 10, 10), (share, share + 0.01), strict=True):
                each.take(rng.integers(0, 1 << 62, n, dtype=np.uint64), (rng.random(n) < p).astype(np.float64))
            told += surely_beyond(*variants, 0.01, wrong=0.05)
    assert told == 0


def test_a_challenger_that_fails_always_and_slowly_is_a_breach_after_twenty_rows() -> None:
    made, rng = experiment(*GUARDED, wrong=0.01), np.random.default_rng(3)
    made.begin({"champion": 99.0, "challenger": 1.0}, 0.0)
    slow = {"champion": np.zeros(1980, dtype=np.bool_), "challenger": np.ones(20, dtype=np.bool_)}
    for variant, each in slow.items():
        made.served(rows(rng, variant, len(each)), each, rng.lognormal(-3, 0.3, len(each)))
        made.lost(rows(rng, variant, len(each)), each.astype(np.float64))
        made.predicted(rows(rng, variant, len(each)), rng.normal(9.0 * each, 1))
    failing = made.look(2.0)
    for variant, each in slow.items():
        made.served(rows(rng, variant, len(each)), ~(each | True), rng.lognormal(-3, 0.3, len(each)) * (1 + 9 * each))
    slower = made.look(3.0)

    assert words(failing) == dict.fromkeys(("errors", "latency.p99", "quality", "drift"), "too_few")
    assert failing.words("challenger") == {
        "errors": "breach",
        "latency.p99": "missing",
        "quality": "breach",
        "drift": "breach",
    }
    assert failing.guards[0].sentence.endswith("% of requests against 0 %: breach, as 20 rows make plain")
    assert slower.words("challenger")["latency.p99"] == "breach"


@pytest.mark.parametrize("min_rows", [5, 200])
def test_what_few_rows_make_plain_is_plain_whatever_rows_a_verdict_takes(min_rows: int) -> None:
    made, rng = experiment(Errors(margin=0.01), wrong=0.01, min_rows=min_rows), np.random.default_rng(3)
    made.begin({"champion": 99.0, "challenger": 1.0}, 0.0)
    for variant, failed in (("champion", np.zeros(1000, dtype=np.bool_)), ("challenger", np.arange(14) % 2 > 0)):
        made.served(rows(rng, variant, len(failed)), failed, np.ones(len(failed)))

    assert made.look(1.0).words("challenger") == {"errors": "breach"}


def test_few_rows_have_a_tenth_of_the_budget_and_the_interval_the_rest() -> None:
    champion, challenger = failing(0, 400), failing(2, 2, seed=2)
    enough = next(
        wrong for wrong in np.geomspace(1e-4, 0.5, 200) if surely_beyond(champion, challenger, 0.01, wrong=wrong)
    )
    told = [always_failing(float(enough) * times, 2) for times in (9.5, 10.1)]

    assert [standing.words("challenger")["errors"] for standing in told] == ["missing", "breach"]
    interval = contrast(champion, failing(40, 40, seed=2), wrong=0.05 * 0.9)
    assert always_failing(0.05, 40).verdicts[0].compared[:2] == interval[:2]


def always_failing(wrong: float, number: int) -> Standing:
    """Of the same rows as those of `failing`."""
    made = experiment(Errors(margin=0.01), wrong=wrong)
    made.begin({"champion": 99.0, "challenger": 1.0}, 0.0)
    for variant, seed, failed, n in (("champion", 1, 0, 400), ("challenger", 2, number, number)):
        rng = np.random.default_rng(seed)
        rng.permutation(n)
        some = Rows(variant, rng.integers(0, 1 << 62, n, dtype=np.uint64), np.ones(n))
        made.served(some, np.full(n, failed > 0), np.ones(n))
    return made.look(1.0)


def test_the_simulation_judges_as_it_does() -> None:
    rng, running = np.random.default_rng(8), Running(3, 1.0)
    made = [(Totals(most=1.0), Totals(most=1.0)) for _ in range(3)]
    for _ in range(600):
        arms, buckets = rng.random(3) < 0.1, rng.integers(BUCKETS, size=3)
        values = (rng.random(3) < np.where(arms, (0.1, 0.5, 0.9), 0.01)).astype(np.float64)
        running.take(arms, buckets, values)
        for pair, arm, bucket, value in zip(made, arms.tolist(), buckets, values, strict=True):
            pair[arm].take(np.array([bucket], dtype=np.uint64), np.array([value]))

    for pair, told in zip(made, nats(running, 0.01).tolist(), strict=True):
        wrong = math.exp(-max(told, 0.1))
        assert surely_beyond(*pair, 0.01, wrong=min(wrong * 1.001, 0.999)) is (told > 0.1)
        assert not surely_beyond(*pair, 0.01, wrong=wrong * 0.999)
