import math
from collections.abc import Callable

import numpy as np
import pytest

from sidecar.experiments.experiment import Experiment
from sidecar.experiments.guardrails import Drift, Saturation
from sidecar.experiments.measures import Cost, Errors, Latency, Quality
from sidecar.stats.moments import Floats
from tests.experiments.rig import EVERY, HALVES, VARIANTS, begun, errors, everything, experiment, rows, told, words


def test_each_measure_comes_to_its_verdict_and_each_guardrail_to_its_word() -> None:
    made, rng = begun(*EVERY), np.random.default_rng(1)
    everything(made, rng, 3000)
    for now_s in (2.0, 12.0):
        made.loaded(now_s, {"challenger": 9})
    standing = made.look(12.0)

    assert words(standing) == {
        "errors": "worse",
        "latency.mean": "worse",
        "latency.p90": "worse",
        "quality": "better",
        "outcome.click": "worse",
        "metric./score": "equivalent",
        "cost": "worse",
        "drift": "worse",
    }
    assert standing.words("challenger") == {
        "errors": "breach",
        "latency.mean": "breach",
        "latency.p90": "breach",
        "quality": "fine",
        "outcome.click": "breach",
        "metric./score": "fine",
        "cost": "breach",
        "drift": "breach",
        "saturation": "breach",
    }
    truth = {"errors": 0.05, "latency.mean": 0.5, "latency.p90": 0.5, "quality": -0.15, "outcome.click": -0.4}
    for verdict in standing.verdicts:
        if verdict.measure in truth:
            assert verdict.compared.low < truth[verdict.measure] < verdict.compared.high
    assert standing.rows == {"champion": 3000, "challenger": 3000}
    assert standing.cautions == ()


def test_a_cost_by_replies_counts_what_they_say() -> None:
    made = begun(Cost(pointer="/tokens", per_unit={"champion": 1.0, "challenger": 2.0}))
    rng = np.random.default_rng(2)
    for variant in VARIANTS:
        documents = [{"tokens": n} for n in rng.integers(90, 110, 500).tolist()]
        made.replied(rows(rng, variant, 502), [*documents, {}, None], np.full(502, 0.1))
    (verdict,) = made.look(2.0).verdicts

    assert verdict.compared.estimate == pytest.approx(1.0, abs=0.05)
    assert (verdict.word, verdict.omitted, verdict.compared.challenger_rows) == ("worse", 4, 500)


def test_too_few_rows_are_no_verdict() -> None:
    made = begun(Errors())
    errors(made, np.random.default_rng(3), (0.5, 0.5), 199)
    (verdict,) = made.look(2.0).verdicts

    assert (verdict.word, verdict.decided) == ("too_few", None)
    assert math.isnan(verdict.rows_to_go)
    assert made.look(2.0).words("challenger") == {"errors": "missing"}


def test_what_is_undecided_has_a_forecast_that_is_about_right() -> None:
    made, rng = begun(Errors(margin=0.0)), np.random.default_rng(4)
    errors(made, rng, (0.1, 0.12), 1500)
    (verdict,) = made.look(2.0).verdicts
    forecast = verdict.rows_to_go
    errors(made, rng, (0.1, 0.12), int(2 * forecast))

    assert verdict.word == "undecided"
    assert 100 < forecast < 1e5
    assert words(made.look(3.0)) == {"errors": "worse"}


def test_the_first_decision_stays_beside_the_word_of_now() -> None:
    made, rng = begun(Errors(margin=0.01)), np.random.default_rng(5)
    errors(made, rng, (0.01, 0.06), 2000)
    first = made.look(10.0).verdicts[0]
    errors(made, rng, (0.05, 0.0), 8000)
    then = made.look(20.0).verdicts[0]

    assert (first.word, first.decided) == ("worse", ("worse", 10.0))
    assert (then.word, then.decided) == ("better", ("worse", 10.0))


def test_the_budget_is_shared_by_challengers_and_measures() -> None:
    narrow, wide = (
        begun(Errors(), wrong=0.01),
        experiment(Errors(), Quality(), wrong=0.06, challengers=("challenger", "b", "c")),
    )
    wide.begin({**HALVES, "b": 1.0, "c": 1.0}, 0.0)
    for made in (narrow, wide):
        errors(made, np.random.default_rng(6), (0.1, 0.2), 1000)

    # 0.06 over 3 x 2 is 0.01 for each.
    assert wide.look(1.0).verdicts[0].compared == narrow.look(1.0).verdicts[0].compared


def test_saturation_takes_no_part_of_the_budget() -> None:
    alone, both = begun(Errors()), begun(Errors(), Saturation(in_flight=3))
    for made in (alone, both):
        errors(made, np.random.default_rng(6), (0.1, 0.2), 1000)

    assert both.look(1.0).verdicts == alone.look(1.0).verdicts


def test_two_alike_are_seldom_told_apart_however_often_one_looks() -> None:
    wrong = 0
    for seed in range(40):
        made, rng = begun(Errors(margin=0.0), Quality(margin=0.0), wrong=0.1), np.random.default_rng(seed)
        for _ in range(4):
            errors(made, rng, (0.1, 0.1), 150)
            for variant in VARIANTS:
                made.lost(rows(rng, variant, 150), rng.beta(1, 3, 150))
            standing = made.look(1.0)
        wrong += any(verdict.decided for verdict in standing.verdicts)

    assert wrong <= 8  # of 40 at 0.1


def test_the_same_weights_again_change_nothing() -> None:
    made, rng = begun(Errors()), np.random.default_rng(9)
    errors(made, rng, (0.1, 0.2), 500)
    made.begin({"champion": 0.5, "challenger": 0.5, "unknown": 7.0}, 50.0)

    assert made.look(60.0).epoch_s == 0.0


def test_before_it_has_begun_nothing_counts() -> None:
    made = experiment(*EVERY)
    everything(made, np.random.default_rng(10), 300)
    standing = made.look(5.0)

    assert set(words(standing).values()) == {"too_few"}
    assert standing.rows == {"champion": 0, "challenger": 0}
    assert (standing.since_s, standing.mismatch.p_value, standing.sides.users) == (math.inf, 1.0, 0)


def test_variants_that_take_no_part_are_ignored() -> None:
    made, rng = begun(*EVERY), np.random.default_rng(11)
    before = told(made.look(2.0))
    made.served(rows(rng, "shadow", 300), np.ones(300, dtype=np.bool_), np.ones(300))
    made.predicted(rows(rng, "shadow", 300), np.ones(300))
    made.loaded(2.0, {"shadow": 1000})

    assert told(made.look(2.0)) == before


def test_a_split_that_loses_users_and_users_who_cross_are_told() -> None:
    made, rng = begun(Errors()), np.random.default_rng(12)
    some = rows(rng, "champion", 1000)
    made.served(some, np.zeros(1000, dtype=np.bool_), np.ones(1000))
    made.served(some._replace(variant="challenger"), np.zeros(1000, dtype=np.bool_), np.ones(1000))
    standing = made.look(2.0)

    assert (standing.mismatch.alarm, standing.sides.crossed) == (True, 1.0)
    assert [caution[:19] for caution in standing.cautions] == ["the split does not ", "100.0% of the users"]


def test_requests_that_a_variant_is_spared_keep_the_sample_ratio_and_are_no_rows() -> None:
    made, rng = begun(*EVERY), np.random.default_rng(23)
    errors(made, rng, (0.0, 0.0), 1000)
    some = rows(rng, "champion", 1000)
    made.served(some, np.zeros(1000, dtype=np.bool_), np.full(1000, 0.1))
    before = made.look(2.0)
    made.spared(rows(rng, "challenger", 1000))
    made.spared(rows(rng, "shadow", 1000))
    made.spared(rows(rng, "challenger", 1000, time_s=-1.0))  # of before it began
    after = made.look(2.0)
    but_users = after._replace(mismatch=before.mismatch, sides=before.sides, cautions=before.cautions)

    assert (before.mismatch.counts, after.mismatch.counts) == ((2000, 1000), (2000, 2000))
    assert before.mismatch.nats > 0 > after.mismatch.nats
    assert told(but_users) == told(before)


def test_who_is_spared_and_then_served_is_on_one_side_and_counts_once() -> None:
    made, rng = begun(Errors()), np.random.default_rng(24)
    for variant in VARIANTS:
        some = rows(rng, variant, 500)
        made.spared(some)
        made.served(some, np.zeros(500, dtype=np.bool_), np.full(500, 0.1))
    standing = made.look(2.0)

    assert (standing.mismatch.counts, standing.sides) == ((500, 500), (1000, 0.0, 0.0))
    assert standing.rows == {"champion": 500, "challenger": 500}


def test_of_earlier_weights_who_is_spared_says_nothing_either() -> None:
    made, rng = begun(Errors()), np.random.default_rng(25)
    made.begin(HALVES, 5.0)
    made.begin({"champion": 90.0, "challenger": 10.0}, 6.0)
    made.spared(rows(rng, "challenger", 500, time_s=4.0))

    assert made.look(7.0).mismatch.counts == (0, 0)


def test_a_restart_in_the_middle_changes_nothing() -> None:
    one = begun(*EVERY)
    everything(one, np.random.default_rng(13), 700)
    one.look(2.0)
    one.begin({"champion": 20.0, "challenger": 80.0}, 3.0)
    everything(one, np.random.default_rng(14), 300, time_s=4.0)
    other = experiment(*EVERY)
    restored = other.restore(one.state())
    for made in (one, other):
        made.begin({"champion": 20.0, "challenger": 80.0}, 5.0)
        everything(made, np.random.default_rng(15), 700, time_s=6.0)
        everything(made, np.random.default_rng(16), 700, time_s=0.0)

    assert restored
    assert told(other.look(7.0)) == told(one.look(7.0))
    assert other.state() == one.state()


def test_a_restart_before_anything_happened_changes_nothing() -> None:
    one, other = experiment(*EVERY), experiment(*EVERY)

    assert other.restore(one.state())
    assert told(other.look(1.0)) == told(one.look(1.0))


@pytest.mark.parametrize(
    "make",
    [
        lambda: experiment(Errors(), name="y"),
        lambda: experiment(Errors(), Latency()),
        lambda: experiment(Latency(quantile=0.5)),
        lambda: experiment(Errors(), challengers=("other",)),
        lambda: experiment(Quality()),
    ],
)
def test_a_state_of_other_settings_is_left(make: Callable[[], Experiment]) -> None:
    made, rng = begun(Errors()), np.random.default_rng(16)
    errors(made, rng, (0.1, 0.2), 500)
    other = make()

    assert not other.restore(made.state())
    assert other.look(1.0).rows["champion"] == 0


def test_other_margins_keep_the_rows_and_decide_anew() -> None:
    made, rng = begun(Errors(margin=0.01)), np.random.default_rng(17)
    errors(made, rng, (0.1, 0.2), 2000)
    decided = made.look(1.0).verdicts[0].decided
    other = experiment(Errors(margin=0.5))
    restored = other.restore(made.state())
    (verdict,) = other.look(9.0).verdicts

    assert restored
    assert decided == ("worse", 1.0)
    assert (verdict.decided, verdict.compared.champion_rows) == (("equivalent", 9.0), 2000)


def test_a_damaged_state_is_left() -> None:
    made, rng = begun(*EVERY), np.random.default_rng(18)
    everything(made, rng, 600)
    state = made.state()
    before = told(made.look(2.0))
    for damaged in (b"", state[:100], state[:-1], state[:50] + bytes([state[50] ^ 1]) + state[51:]):
        assert not made.restore(damaged)

    assert told(made.look(2.0)) == before


@pytest.mark.parametrize(("what", "then"), [("users._STATE", ("keys", "seen")), ("experiment.LAYOUT", 1)])
def test_a_state_of_another_layout_is_left(what: str, then: object, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(f"sidecar.experiments.{what}", then)
        made = begun(Errors())
        errors(made, np.random.default_rng(22), (0.1, 0.2), 500)
        state = made.state()
    other = begun(Errors())

    assert not other.restore(state)
    assert other.look(1.0).rows == {"champion": 0, "challenger": 0}


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf, -1.0, 1e308])
def test_values_that_are_none_are_counted_and_spoil_nothing(bad: float) -> None:
    made, rng = begun(*EVERY), np.random.default_rng(19)
    everything(made, rng, 600)
    hostile: Floats = np.full(50, bad)
    for variant in VARIANTS:
        some = rows(rng, variant, 50)
        made.served(some, np.zeros(50, dtype=np.bool_), hostile)
        made.lost(some, hostile)
        made.replied(some, [{"score": bad}] * 25 + ["score"] * 25, hostile)
        if bad != -1.0:
            made.outcomes(some, "click", hostile)
            made.predicted(some, hostile)
    standing = made.look(2.0)

    omitted = {each.measure for each in standing.verdicts if each.omitted >= 100}
    # An error beyond all bounds is one.
    assert {"latency.mean", "cost", *(["quality"] if not bad > 0 else [])} <= omitted
    assert ("quality" in omitted) is not (bad > 0)
    assert all(np.isfinite(each.compared.estimate) for each in standing.verdicts)


def test_no_rows_at_all_are_no_error() -> None:
    made, rng = begun(*EVERY), np.random.default_rng(20)
    everything(made, rng, 0)

    assert set(words(made.look(2.0)).values()) == {"too_few"}


def test_rows_and_values_of_different_number_are_refused() -> None:
    made, rng = begun(Quality()), np.random.default_rng(21)
    with pytest.raises(ValueError, match="3 values of 4 rows"):
        made.lost(rows(rng, "champion", 4), np.zeros(3))


@pytest.mark.parametrize("weight", [math.nan, math.inf, -1.0])
def test_a_weight_that_is_none_is_refused(weight: float) -> None:
    with pytest.raises(ValueError, match="expected finite ones from 0 on"):
        begun(Errors()).begin({"champion": weight}, 1.0)


def test_nobody_has_any_weight_and_it_goes_on() -> None:
    made = begun(Errors())
    made.begin({}, 5.0)

    assert made.look(6.0).epoch_s == 5.0


def test_without_challengers_or_measures_there_is_nothing_to_say() -> None:
    assert experiment(Errors(), challengers=()).look(1.0).verdicts == ()
    assert experiment().look(1.0).guards == ()


def test_shares_of_few_rows_are_not_told_beyond_what_can_be() -> None:
    made, rng = begun(Errors(), Quality(), Drift(), min_rows=2), np.random.default_rng(1)
    errors(made, rng, (0.0, 1.0), 12)
    for variant, loss in zip(VARIANTS, (0.0, 1.0), strict=True):
        made.lost(rows(rng, variant, 12), np.full(12, loss))
        made.predicted(rows(rng, variant, 1050), np.full(1050, loss))
    verdicts = {each.measure: each for each in made.look(2.0).verdicts}

    assert {name: each.compared.high for name, each in verdicts.items()} == dict.fromkeys(verdicts, 1.0)
    assert verdicts["errors"].sentence.endswith(" to +100 points")


def test_the_budget_and_the_least_rows_are_told() -> None:
    standing = experiment(Errors(), Quality(), wrong=0.02, min_rows=300).look(1.0)

    assert (standing.wrong, standing.min_rows) == (0.02, 300)
