from collections.abc import Iterable, Sequence
from dataclasses import asdict

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sidecar.monitors import graded, pieces
from sidecar.monitors.graded import BLOCK_ROWS, COMPARED_ROWS, EVERY_S, LEAST_ROWS, Graded, mean_of
from sidecar.quality.reading import Reading, Task
from sidecar.records import Labelled
from sidecar.stats.columns import Cells
from sidecar.stats.moments import Floats
from tests.monitors.labelled import answers, column, cut, labelled, rows
from tests.monitors.rig import NAN, nothing, of, same

LEARNED = 400
TESTS: tuple[graded.Test, ...] = ("worse", "loss", "up", "down")


def made(
    task: Task = "binary",
    *,
    learned: int = LEARNED,
    stated: float | None = None,
    tolerance: float = 0.02,
    relation: float = 0.01,
    rows_per_alarm: float = 1e4,
) -> Graded:
    testing = graded.Terms(
        reference_rows=learned,
        stated_loss=stated,
        tolerance=tolerance,
        relation_tolerance=relation,
        false_alarms_per=rows_per_alarm,
    )
    return Graded(testing, Reading(task=task), rows=1000, seconds=1e9)


def fed(one: Graded, batches: Iterable[Labelled]) -> Graded:
    for each in batches:
        one.take(each)
    return one


def history(task: Task = "binary", *, moved: float = 1.0, seed: int = 1) -> Labelled:
    """1,100 rows; from the 600th on the relation is another."""
    rng = np.random.default_rng(seed)
    return fused(rows(rng, 600, task), rows(rng, 500, task, moved=moved, begins_s=600.0))


def fused(*parts: Labelled) -> Labelled:
    (whole,) = pieces.merged(parts)
    return whole


def right(n: int, wrong: int, *, begins_s: float = 0.0) -> Labelled:
    """Answers of which every so many-th is wrong; 0 for none."""
    told = [0.0 if wrong and place % wrong == 0 else 1.0 for place in range(n)]
    return answers([1.0] * n, told, begins_s=begins_s)


def told(one: Graded) -> list[tuple[float, ...]]:
    """All that the tests say, but when it began."""
    found = [one.standing(test) for test in TESTS]
    return [
        (each.verdict.nats, each.verdict.away, each.verdict.rows, each.verdict.mean, each.limit)
        for each in found
        if each
    ]


def alarmed(one: Graded) -> bool:
    return one.worse is not None


def compared(one: Graded) -> tuple[object, list[object]]:
    return one.decomposition and asdict(one.decomposition), [asdict(each) for each in one.segments]


def began(one: Graded) -> list[float | None]:
    return [standing.since_s if (standing := one.standing(test)) else None for test in TESTS]


def test_the_first_rows_are_what_it_is_compared_with_and_no_test_reads_them() -> None:
    one = made()
    first, second, others = cut(history(), [LEARNED - 1, 1])
    one.take(first)
    assert (one.yardstick, one.learned, one.tested, one.standing("worse")) == (None, LEARNED - 1, 0, None)
    assert np.isnan(one.loss_before)

    one.take(second)
    assert one.yardstick is not None
    assert (one.learned, one.tested, one.standing("worse")) == (LEARNED, 0, None)

    one.take(others)
    assert (one.learned, one.tested) == (LEARNED, 700)
    assert one.moved is not None
    assert one.scored.labelled == 1100


@pytest.mark.parametrize("task", ["binary", "multiclass", "regression"])
def test_in_what_batches_rows_come_makes_no_difference(task: Task) -> None:
    whole = history(task, moved=4.0 if task == "regression" else 1.0)
    expected = fed(made(task), [whole])
    expected.assess(0.0)
    assert expected.worse or expected.moved

    @settings(max_examples=10)
    @given(st.lists(st.integers(1, 400), max_size=8))
    def check(sizes: list[int]) -> None:
        found = fed(made(task), cut(whole, sizes))
        found.assess(0.0)
        np.testing.assert_allclose(told(found), told(expected), rtol=1e-9)
        assert (found.loss_before, found.learned, found.tested) == (expected.loss_before, LEARNED, 700)
        np.testing.assert_equal(compared(found), compared(expected))

    check()


def test_single_rows_are_judged_as_batches_are() -> None:
    whole = history()
    one, expected = fed(made(), cut(whole, [500] + [1] * 600)), fed(made(), [whole])

    np.testing.assert_allclose(told(one), told(expected), rtol=1e-9)


def test_rows_that_say_nothing_are_no_part_of_anything() -> None:
    """Whatever their share: a yardstick of few rows would be a bad one."""
    whole = history()
    n = len(whole.times_s)
    mixed = answers([1.0, NAN, 1.0], [NAN, 1.0, NAN])
    holes = labelled(
        of(
            np.repeat(whole.features.values, 2, axis=0),
            *whole.features.names,
            texts={2: [cell for cell in whole.features.texts[2] for _ in range(2)]},
        ),
        of(np.repeat(whole.predictions.values, 2, axis=0), *whole.predictions.names),
        column([cell for label in whole.labels.values[:, 0].tolist() for cell in (label, NAN)], "label"),
    )
    one, expected = fed(made(), [mixed, *cut(holes, [7, 900])]), fed(made(), [whole])

    assert one.learned == LEARNED
    assert one.scored.labelled == n
    np.testing.assert_allclose(told(one), told(expected), rtol=1e-9)


def test_rows_that_are_wrong_more_often_are_found_and_it_is_over_when_they_are_not() -> None:
    one = fed(made(), [right(LEARNED, 10), right(100, 10)])
    assert not alarmed(one)

    one.take(right(400, 3))
    assert one.worse is not None
    assert mean_of(one.worse, "worse") == pytest.approx(1 / 3, abs=0.05)

    one.take(right(4000, 10))
    assert not alarmed(one)


def test_what_was_stated_at_training_time_is_what_must_be_held() -> None:
    """A version that was bad from its first row on has a yardstick that is as bad."""
    stated, learned = (fed(made(stated=loss), [right(LEARNED, 4), right(500, 4)]) for loss in (0.05, None))

    assert (stated.loss_before, learned.loss_before) == (0.05, 0.25)
    assert stated.worse is not None
    assert learned.worse is None


def test_of_a_regression_the_stated_error_is_in_the_unit_of_labels() -> None:
    one = fed(made("regression", stated=0.8), [rows(np.random.default_rng(1), LEARNED, "regression")])

    assert one.loss_before == pytest.approx(0.25, abs=0.02)
    assert (
        fed(made("regression", stated=1e9), [rows(np.random.default_rng(1), LEARNED, "regression")]).loss_before == 1.0
    )


@pytest.mark.parametrize(("wrong", "later"), [(0, 0), (1, 1), (1, 0)])
def test_a_model_that_is_always_right_or_always_wrong_is_nothing_new_while_it_stays_so(wrong: int, later: int) -> None:
    one = fed(made(), [right(LEARNED, wrong), right(3000, later)])
    one.assess(0.0)

    assert (one.worse, one.moved is None or later != wrong) == (None, True)


def test_a_model_that_was_always_right_and_no_longer_is_is_found() -> None:
    assert fed(made(tolerance=0.0, stated=0.0), [right(LEARNED, 0), right(61, 2)]).worse is not None


def test_rows_count_for_as_many_as_they_stand_for() -> None:
    """A tenth of them for ten each, and only these are ever wrong."""
    rng = np.random.default_rng(1)

    def some(n: int, share: float) -> Labelled:
        rare = rng.random(n) < 0.1
        wrong = rare & (rng.random(n) < share)
        return labelled(
            nothing(n),
            of((~wrong).astype(np.float64), "answer"),
            of(np.ones(n), "label"),
            weights=np.where(rare, 10.0, 1.0),
        )

    one = fed(made(), [some(2000, 0.1)])
    assert one.loss_before == pytest.approx(0.05, abs=0.03)
    assert fed(one, [some(4000, 0.1)]).worse is None
    assert fed(one, [some(4000, 0.8)]).worse is not None


def test_the_relation_has_moved_where_labels_are_others_though_no_more_answers_are_wrong() -> None:
    rng = np.random.default_rng(1)

    def some(n: int, positive: float) -> Labelled:
        """A model that says no always, and is right or not as chance has it."""
        label = rng.random(n) < positive
        answer = np.where(rng.random(n) < 0.3, ~label, label)
        return labelled(nothing(n), of(answer.astype(np.float64), "verdict"), of(label.astype(np.float64), "label"))

    one = fed(made(learned=1000), [some(1000, 0.5), some(3000, 0.8)])

    assert one.worse is None
    assert one.moved is not None
    assert one.moved[0] == "up"


def test_when_a_change_began_is_known_though_labels_come_late_and_out_of_order() -> None:
    """Labels are on their way for 100 s on average; the relation moved with the requests of 3,000 s."""
    for seed in range(5):
        rng = np.random.default_rng(seed)
        whole = fused(rows(rng, 3000), rows(rng, 2000, moved=1.0, begins_s=3000.0))
        one = made(learned=1000)
        for batch in cut(pieces.at(whole, np.argsort(whole.times_s + rng.exponential(100, 5000))), [64] * 80):
            one.take(batch)
            if standing := one.worse or (one.moved and one.moved[1]):
                break
        assert standing
        assert standing.since_s is not None
        assert 2700 < standing.since_s < 3300


def test_when_a_change_began_is_told_the_same_as_long_as_it_lasts() -> None:
    one, told_s = made(), set()
    for batch in cut(fused(history(), right_rows(3000)), [50] * 100):
        one.take(batch)
        if one.worse:
            told_s.add(one.worse.since_s)

    assert len(told_s) == 1
    assert 500 < told_s.pop() < 700  # type: ignore[operator]  # it is known


def right_rows(n: int) -> Labelled:
    return rows(np.random.default_rng(9), n, moved=1.0, begins_s=1100.0)


def test_a_change_in_the_very_first_rows_has_a_beginning_too() -> None:
    one = fed(made(stated=0.0, tolerance=0.0), [right(LEARNED, 0), right(BLOCK_ROWS - 1, 1, begins_s=500.0)])

    assert one.worse is not None
    assert one.worse.since_s == 500.0


def test_it_is_compared_when_there_are_enough_rows_and_something_new_and_not_too_often() -> None:
    parts = cut(history(), [LEARNED, LEAST_ROWS - 1, 1, 100, 100])
    one = fed(made(), parts[:2])
    one.assess(0.0)
    assert compared(one) == (None, [])

    one.take(parts[2])
    one.assess(1.0)
    first = one.decomposition
    assert first is not None

    one.take(parts[3])
    one.assess(EVERY_S)
    assert one.decomposition is first

    one.assess(1.0 + EVERY_S)
    second = one.decomposition
    assert second is not first

    one.assess(100.0)
    assert one.decomposition is second


def test_a_clock_that_was_set_back_keeps_nothing_from_being_compared() -> None:
    parts = cut(history(), [LEARNED + LEAST_ROWS, 10])
    one = fed(made(), parts[:1])
    one.assess(1e9)
    before = one.decomposition
    one.take(parts[1])
    one.assess(5.0)

    assert one.decomposition is not before


def test_what_carries_the_change_is_a_feature_and_not_the_answer() -> None:
    one = fed(
        made(learned=1000), [rows(np.random.default_rng(1), 1000), rows(np.random.default_rng(2), 1500, moved=1.0)]
    )
    one.assess(0.0)

    assert one.decomposition is not None
    assert one.yardstick is not None
    names = one.yardstick.bins.names
    assert [names[each.column] for each in one.decomposition.target.carriers] == ["amount"]
    assert names[one.segments[0].columns[0]] == "amount"


def test_features_may_come_and_go_and_change_their_type() -> None:
    one = fed(made(), [history()])
    n = 300
    other = labelled(
        of(np.full((n, 2), NAN), "amount", "new", texts={0: ["text"] * n, 1: ["x"] * n}),
        column(["1"] * n, "answer"),
        column([1.0] * n, "label"),
        begins_s=2000.0,
    )
    one.take(other)
    one.assess(0.0)

    assert one.tested == 700 + n
    assert one.decomposition is not None


def test_memory_is_bounded() -> None:
    one = made()
    for place in range(60):
        one.take(rows(np.random.default_rng(place), 500, begins_s=500.0 * place))

    state = one.state()
    assert len(state["recent.times_s"]) <= 1.25 * COMPARED_ROWS
    assert sum(part.nbytes for part in state.values()) < 2e6


@pytest.mark.parametrize("upto", [0, 1, 250, LEARNED - 1, LEARNED, LEARNED + 3, 700, 860, 1000, 1100])
@pytest.mark.parametrize("task", ["binary", "regression"])
def test_it_goes_on_from_its_state_at_any_moment(task: Task, upto: int) -> None:
    whole = fused(history(task), rows(np.random.default_rng(3), 600, task, begins_s=1100.0))
    parts = cut(whole, [upto, 150]) if upto else [pieces.at(whole, np.arange(0)), *cut(whole, [150])]
    one = fed(made(task), parts[:1])
    again = made(task)
    again.restore(one.state())

    for batch in [None, *parts[1:]]:
        for each in (one, again):
            if batch is not None:
                each.take(batch)
            each.assess(0.0 if batch is None else len(batch.times_s) * EVERY_S)
        np.testing.assert_equal(told(again), told(one))
        assert began(again) == began(one)
        assert (again.learned, again.tested, again.scored.labelled) == (one.learned, one.tested, one.scored.labelled)
        np.testing.assert_equal(compared(again), compared(one))


def test_it_goes_on_after_an_alarm_until_the_change_is_over() -> None:
    one = fed(made(), [right(LEARNED, 10), right(400, 3)])
    again = made()
    again.restore(one.state())
    ends: list[Sequence[bool]] = [[bool(fed(each, [right(20, 10)]).worse) for _ in range(100)] for each in (one, again)]

    assert ends[0] == ends[1]
    assert ends[0][0]
    assert not ends[0][-1]


STATE = fed(made(), [history()]).state()


@pytest.mark.parametrize("missing", sorted(STATE))
def test_a_state_without_one_of_its_parts_is_refused(missing: str) -> None:
    with pytest.raises(KeyError):
        made().restore({name: part for name, part in STATE.items() if name != missing})


def test_labels_of_neither_class_count_for_nothing_and_are_known_after_a_restart() -> None:
    slips = answers(["frud", 7.0, "frud"], [0.0, 1.0, 1.0], begins_s=50.0)
    one, plain, again = made(), made(), made()
    for batch in cut(history(), [300, 300]):
        plain.take(batch)
        one.take(batch)
        one.take(slips)
    again.restore(one.state())

    assert (again.unknown, one.unknown) == ({"frud": 6, "7": 3}, {"frud": 6, "7": 3})
    assert (told(one), one.scored.labelled) == (told(plain), plain.scored.labelled)


def test_the_state_is_of_arrays_as_they_are() -> None:
    again = made()
    again.restore(STATE)

    for name, part in again.state().items():
        same(part, STATE[name])


def coins(n: int, *, weights: Floats | None = None, seed: int = 1) -> Labelled:
    """Rows of a model that is sure of nothing, and right as often as it says."""
    rng = np.random.default_rng(seed)
    told, label = np.full(n, 0.5), (rng.random(n) < 0.5).astype(np.float64)
    return labelled(nothing(n), column(told.tolist(), "score"), column(label.tolist(), "label"), weights=weights)


def test_with_few_rows_to_expect_it_from_the_relation_may_be_farther_off() -> None:
    """A mean of 200 coins is as uncertain as 0.035: whoever takes it at its word is sure to find a change."""
    alarms = sum(
        fed(made(learned=200, rows_per_alarm=1e9, relation=0.03), cut(coins(20_000, seed=seed), [])).moved is not None
        for seed in range(12)
    )

    assert alarms == 0


@pytest.mark.parametrize("test", ["loss", "up", "down"])
def test_from_many_rows_the_relation_may_be_as_far_off_as_was_asked_for(test: graded.Test) -> None:
    one = fed(made(learned=graded.EXPECTED_ROWS, relation=0.03), [coins(graded.EXPECTED_ROWS + 1)])

    standing = one.standing(test)
    assert standing is not None
    assert 2 * standing.limit - 1 == pytest.approx(0.03)


def test_a_few_heavy_rows_make_a_mean_as_uncertain_as_few_rows() -> None:
    weights = np.ones(2001)
    weights[:50] = 100.0
    one, plain = (fed(made(learned=2000), [coins(2001, weights=each)]) for each in (weights, None))

    assert one.yardstick is not None
    assert plain.yardstick is not None
    assert one.yardstick.even_rows == pytest.approx(69.5)
    assert plain.yardstick.even_rows == 2000
    for test in TESTS:
        heavy, even = one.standing(test), plain.standing(test)
        assert heavy is not None
        assert even is not None
        assert heavy.limit > even.limit + 0.05


def test_wide_rows_and_long_texts_are_not_kept_whole() -> None:
    n, wide = 4, 300
    texts: dict[int, Cells] = {0: ["x" * 100_000] * n, wide - 1: ["y"] * n}
    asked = of(np.full((n, wide), NAN), *(f"f{place}" for place in range(wide)), texts=texts)
    told: dict[int, Cells] = {0: ["z" * 100_000] * n}
    one = made()
    one.take(labelled(asked, of(np.full(n, NAN), "answer", texts=told), column(["1"] * n, "label")))

    assert sum(part.nbytes for name, part in one.state().items() if name.startswith("rows.")) < 25_000


def test_how_things_stand_may_be_asked_while_rows_are_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    one = fed(made(), [right(LEARNED, 20), right(1, 0)])
    asked: list[int] = []

    def ago_s(_: Graded, rows: int) -> float:
        asked.append(rows)
        if len(asked) == 1:  # here the rows are taken, and the alarm has just been given
            one.standing("worse")
        return 17.0

    monkeypatch.setattr(Graded, "_ago_s", ago_s)
    one.take(right(200, 2))

    assert one.worse is not None
    assert (len(asked) > 1, one.worse.since_s) == (True, 17.0)
