import math
from collections.abc import Mapping

import numpy as np
import pytest

from sidecar.experiments.cautions import broken, silent, unkeyed, unserved, weightless
from sidecar.experiments.experiment import Experiment
from sidecar.experiments.guardrails import Drift, Guardrail
from sidecar.experiments.measures import Cost, Errors, Latency, Measure, Metric, Outcome, Quality
from sidecar.experiments.users import Mismatch, Sides
from tests.experiments.rig import EVERY, HALVES, PRICES, VARIANTS, begun, errors, everything, experiment, rows

FAIR = Mismatch(0.5, 0.1, alarm=False, counts=(500, 500), shares=(0.5, 0.5))
CALM = Sides(1000, 0.001, 0.2)
FEE = Metric(pointer="/fee", better="lower")


def said(made: Experiment) -> list[str]:
    return list(made.look(2.0).cautions)


# The split


def test_a_fair_split_and_users_who_stay_need_no_caution() -> None:
    assert list(broken(VARIANTS, FAIR, CALM)) == []


def test_lost_users_and_crossing_ones_are_told() -> None:
    lost = Mismatch(1e-5, 11.5, alarm=True, counts=(600, 400), shares=(0.5, 0.5))

    assert list(broken(VARIANTS, lost, Sides(1000, 0.034, 0.0))) == [
        "the split does not keep its shares (champion 60.0% in place of 50.0%, challenger 40.0% in place of 50.0%): "
        "users of a variant are lost, trust no verdict",
        "3.4% of the users are seen with several variants at a time: differences look smaller",
    ]


def test_one_of_few_users_is_no_share() -> None:
    assert list(broken(VARIANTS, FAIR, Sides(99, 0.5, 0.0))) == []
    assert list(broken(VARIANTS, FAIR, Sides(0, math.nan, math.nan))) == []


@pytest.mark.parametrize(
    ("requests", "without", "share"),
    [(0, 0, ""), (1000, 99, ""), (20_000, 200, ""), (1000, 120, "12.0%"), (0, 100, "100.0%"), (150, 200, "100.0%")],
)
def test_requests_without_their_user_are_told_as_a_share(requests: int, without: int, share: str) -> None:
    told = f"{share} of the requests lack the user that split.sticky goes by: each counts as a user of its own, "

    assert list(unkeyed(requests, without)) == (
        [f"{told}so that users' checks and intervals say less"] if share else []
    )


@pytest.mark.parametrize("weights", [{"champion": 1.0}, {"champion": 1.0, "challenger": 0.0}])
def test_who_has_no_weight_gets_nothing_to_compare(weights: Mapping[str, float]) -> None:
    assert list(weightless(VARIANTS, weights)) == ["challenger: at a weight of 0 there are no requests to compare by"]
    assert list(weightless(VARIANTS, HALVES)) == []


def test_without_challengers_that_is_told() -> None:
    assert list(weightless(("champion",), HALVES)) == [
        "no challenger has a weight: there is nothing to compare; /v1/shadow tells of copies"
    ]


@pytest.mark.parametrize(("share", "told"), [(0.5, True), (0.1, True), (0.09, False), (0.0, False)])
def test_who_never_gets_his_share_is_told_once_it_is_no_chance(share: float, told: bool) -> None:
    found = list(unserved({"champion": 2000}, {"champion": 1 - share, "challenger": share}))

    assert bool(found) is told
    if found:
        assert found[0].startswith(f"challenger had none of 2,000 requests at {share:.1%} of the split")


def test_all_traffic_of_one_user_is_told() -> None:
    made = begun(Errors())
    made.served(
        rows(np.random.default_rng(1), "champion", 500)._replace(units=np.full(500, 7, dtype=np.uint64)),
        np.zeros(500, dtype=np.bool_),
        np.ones(500),
    )

    assert said(made) == [
        "challenger had none of 500 requests at 50.0% of the split: they are of very few users, "
        "or not for the split to deal"
    ]


def test_requests_of_before_the_weights_changed_are_nobodys_due() -> None:
    made, rng = experiment(Errors()), np.random.default_rng(1)
    made.begin({"champion": 1.0}, 0.0)
    made.served(rows(rng, "champion", 5000), np.zeros(5000, dtype=np.bool_), np.ones(5000))
    made.begin(HALVES, 2.0)

    assert said(made) == []


# What is looked for


@pytest.mark.parametrize("count", [199, 200])
def test_a_pointer_that_finds_nothing_is_told_when_it_is_no_chance(count: int) -> None:
    made, rng = begun(FEE), np.random.default_rng(2)
    made.replied(rows(rng, "champion", count), [{"fees": 1}, None] * (count // 2) + [{}] * (count % 2), np.ones(count))
    made.served(rows(rng, "champion", count), np.zeros(count, dtype=np.bool_), np.ones(count))

    assert [each for each in said(made) if "metric" in each] == (
        ["metric./fee was found in 0 of 200 replies of champion"] if count == 200 else []
    )


def test_a_pointer_that_finds_something_in_one_variant_only_is_told_of_the_other() -> None:
    made, rng = begun(FEE), np.random.default_rng(2)
    for variant, document in zip(VARIANTS, ({"fee": 1.0}, {"amount": 1.0}), strict=True):
        made.served(rows(rng, variant, 2000), np.zeros(2000, dtype=np.bool_), np.ones(2000))
        made.replied(rows(rng, variant, 400), [document] * 400, np.ones(400))

    assert said(made) == ["metric./fee was found in 0 of 400 replies of challenger"]


def test_one_value_is_enough_to_be_quiet() -> None:
    made, rng = begun(FEE), np.random.default_rng(2)
    for variant in VARIANTS:
        made.served(rows(rng, variant, 2000), np.zeros(2000, dtype=np.bool_), np.ones(2000))
        made.replied(rows(rng, variant, 400), [{"fee": 1}, *[None] * 399], np.ones(400))

    assert said(made) == []


@pytest.mark.parametrize(
    ("measure", "expected"),
    [
        (Quality(), "quality: no label has come of 2,000 requests of champion and challenger"),
        (
            Outcome(metric="click", better="higher"),
            "outcome.click: no outcome has come of 2,000 requests of champion and challenger",
        ),
        (FEE, "metric./fee: no reply has come of 2,000 requests of champion and challenger"),
        (
            Cost(pointer="/n", per_unit=PRICES),
            "cost: no reply has come of 2,000 requests of champion and challenger",
        ),
        (Drift(), "drift: no prediction has come of 2,000 requests of champion and challenger"),
        (Errors(), None),
        (Cost(per_request=PRICES), None),
    ],
)
def test_a_measure_of_which_nothing_comes_at_all_is_told(measure: Guardrail, expected: str | None) -> None:
    made, rng = begun(measure), np.random.default_rng(3)
    errors(made, rng, (0.1, 0.1), 999)
    early = said(made)
    errors(made, rng, (0.1, 0.1), 1)

    assert (early, said(made)) == ([], [expected] if expected else [])


def test_a_variant_that_always_fails_has_no_latency_and_that_is_told() -> None:
    made, rng = begun(Latency()), np.random.default_rng(4)
    errors(made, rng, (0.0, 1.0), 300)

    assert said(made) == ["latency.mean was found in 0 of 300 requests of challenger"]


def test_measures_that_find_what_they_look_for_need_no_caution() -> None:
    made, rng = begun(*EVERY), np.random.default_rng(1)
    everything(made, rng, 3000)

    assert said(made) == []


def test_rows_of_nobodys_weights_are_not_looked_at() -> None:
    made, rng = begun(FEE), np.random.default_rng(5)
    errors(made, rng, (0.1, 0.1), 500)
    made.replied(rows(rng, "champion", 400, time_s=-5.0), [None] * 400, np.ones(400))

    assert said(made) == []


def test_what_was_looked_for_is_known_after_a_restart() -> None:
    made, rng = begun(FEE, Quality()), np.random.default_rng(6)
    errors(made, rng, (0.1, 0.1), 2000)
    made.lost(rows(rng, "champion", 5), np.zeros(5))
    made.replied(rows(rng, "champion", 300), [None] * 300, np.ones(300))
    other = experiment(FEE, Quality())

    assert other.restore(made.state())
    assert (
        said(other)
        == said(made)
        == [
            "metric./fee was found in 0 of 300 replies of champion",
            "metric./fee: no reply has come of 2,000 requests of challenger",
            "quality: no label has come of 2,000 requests of challenger",
        ]
    )


@pytest.mark.parametrize("measure", [Errors(), Quality(), FEE, Drift(), Cost(per_request=PRICES)])
def test_nothing_is_said_of_nothing(measure: Measure) -> None:
    assert list(silent(measure.judged, {}, {}, {})) == []


# What will never be known


def test_a_ratio_to_nothing_is_told() -> None:
    made, rng = begun(FEE), np.random.default_rng(7)
    for variant in VARIANTS:
        made.replied(rows(rng, variant, 300), [{"fee": 0}] * 300, np.ones(300))

    assert said(made) == ["metric./fee: of the champion it is 0, and challenger's is no part of that"]


def test_of_a_few_rows_it_is_too_early_to_say_so() -> None:
    made, rng = begun(Errors(margin=0.0), Latency(), FEE, min_rows=1), np.random.default_rng(8)
    for variant in VARIANTS:
        some = rows(rng, variant, 199)
        some.units[:] = 5
        made.served(some, np.zeros(199, dtype=np.bool_), np.ones(199))
        made.replied(some, [{"fee": 0}] * 199, np.ones(199))

    assert [each for each in said(made) if "shares" not in each and "seen with" not in each] == []


def test_what_no_number_of_rows_decides_is_told() -> None:
    fine, never = Latency(quantile=0.9, margin_ratio=0.1), Latency(quantile=0.5, margin_ratio=0.001)
    made, rng = begun(fine, never), np.random.default_rng(9)
    for variant in VARIANTS:
        made.served(rows(rng, variant, 400), np.zeros(400, dtype=np.bool_), np.full(400, 0.1))

    assert [each for each in said(made) if "decide" in each] == [
        "latency.p50 of challenger: no more rows like these decide, a wider margin would"
    ]


@pytest.mark.parametrize("seed", range(5))
def test_what_is_alike_and_undecided_is_not_said_to_be_so_for_ever(seed: int) -> None:
    made, rng = begun(Errors(), Latency(), Latency(quantile=0.99)), np.random.default_rng(seed)
    for _ in range(8):
        errors(made, rng, (0.01, 0.01), 100)

        assert said(made) == []


def test_one_user_with_most_rows_is_told_with_all_that_he_spoils() -> None:
    made, rng = begun(Errors(), Latency(), Latency(quantile=0.9), Quality()), np.random.default_rng(8)
    for variant in VARIANTS:
        some = rows(rng, variant, 400)
        some.units[:300] = 5
        made.served(some, np.zeros(400, dtype=np.bool_), rng.random(400))
        made.lost(rows(rng, variant, 400), rng.random(400))

    assert [each for each in said(made) if "shares" not in each and "seen with" not in each] == [
        "errors, latency.mean, latency.p90 of challenger: more than half of its rows or of the champion's are of one "
        "user, which says nothing of others"
    ]
