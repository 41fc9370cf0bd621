from collections.abc import Mapping, Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.monitors.scored import Score, Scored, Scores
from sidecar.quality.answers import Answers
from sidecar.quality.classification import quality
from sidecar.quality.reading import Reading, Task
from sidecar.quality.regression import quality_of_amounts
from sidecar.records import Labelled, Table
from tests.monitors.labelled import answers, column, cut, labelled, rows
from tests.monitors.rig import NAN, nothing, of

NOW_S = 1e4
WHOLE: Mapping[Task, Labelled] = {
    task: rows(np.random.default_rng(1), 300, task) for task in ("binary", "multiclass", "regression")
}


def scored(reading: Reading, *batches: Labelled, rows: int = 1000, seconds: float = 1e6) -> Scored:
    made = Scored(reading, rows, seconds)
    for each in batches:
        made.take(each.times_s, reading.read(each))
    return made


def near(found: Mapping[str, Score], expected: Mapping[str, Score]) -> None:
    """Equal up to rounding, which depends on how rows were cut into batches."""
    assert found.keys() == expected.keys()
    for name, each in expected.items():
        np.testing.assert_allclose(found[name], each, rtol=1e-9, atol=1e-12, err_msg=name)


def matrix(scores: Scores) -> dict[tuple[str, str], float]:
    names = scores.classes
    table = scores.confusion.tolist()
    return {(names[i], names[j]): table[i][j] for i in range(len(names)) for j in range(len(names)) if table[i][j]}


def sure(labels: Sequence[float], shares: Sequence[float]) -> Labelled:
    """Of a model that says how probable the positive class is, and no more."""
    return labelled(nothing(len(labels)), column(shares, "probability"), column(labels, "label"))


@pytest.mark.parametrize("task", ["binary", "multiclass", "regression"])
def test_in_what_batches_rows_come_makes_no_difference(task: Task) -> None:
    whole = WHOLE[task]
    expected = scored(Reading(task=task), whole)

    @given(st.lists(st.integers(1, 120), max_size=5))
    def check(sizes: list[int]) -> None:
        found = scored(Reading(task=task), *cut(whole, sizes))
        for mine, its in (
            (found.window(NOW_S), expected.window(NOW_S)),
            (found.lifetime(), expected.lifetime()),
        ):
            near(mine.scores, its.scores)
            assert matrix(mine) == matrix(its)
            assert (mine.rows, mine.curves is None, mine.reliability is None) == (
                its.rows,
                its.curves is None,
                its.reliability is None,
            )

    check()


def test_the_scores_are_those_of_the_rows() -> None:
    read = Reading(task="binary").read(WHOLE["binary"]).answers
    amounts = Reading(task="regression").read(WHOLE["regression"]).amounts
    assert read is not None
    assert amounts is not None
    known: dict[Task, Mapping[str, float]] = {"binary": quality(read), "regression": quality_of_amounts(amounts)}
    for task, expected in known.items():
        one = scored(Reading(task=task), WHOLE[task])
        assert {name: each.value for name, each in one.window(NOW_S).scores.items()} == expected
        assert one.lifetime().scores.keys() == expected.keys()


def test_the_window_is_of_the_latest_rows_by_the_time_of_their_request_however_late_labels_come() -> None:
    late, early = answers([1, 1], [0, 0], begins_s=0.0), answers([1, 0, 1], [1, 0, 1], begins_s=50.0)
    one = scored(Reading(task="binary"), early, late, rows=3)

    window = one.window(100.0)
    assert (window.rows, window.first_s, window.last_s) == (3, 50.0, 52.0)
    assert window.scores["accuracy"].value == 1.0
    assert one.lifetime().scores["accuracy"].value == 0.6
    assert one.lifetime().rows == 5


def test_rows_leave_the_window_with_age_and_stay_in_the_totals() -> None:
    one = scored(Reading(task="binary"), answers([1, 0], [1, 1], begins_s=10.0), seconds=30.0)

    assert [one.window(now_s).rows for now_s in (20.0, 40.5, 41.5)] == [2, 1, 0]
    window = one.window(41.5)
    assert np.isnan([window.first_s, window.last_s, *(each.value for each in window.scores.values())]).all()
    assert one.lifetime().rows == 2


@pytest.mark.parametrize("task", ["binary", "multiclass", "regression"])
def test_before_the_first_row_everything_is_undefined(task: Task) -> None:
    one = scored(Reading(task=task))

    for scores in (one.window(0.0), one.lifetime()):
        assert scores.rows == 0
        assert all(np.isnan(each.value) for each in scores.scores.values())
        assert (scores.curves, scores.reliability) == (None, None)
    assert one.estimated(0.0) is None


def test_deviations_are_told_from_200_rows_on() -> None:
    one = scored(Reading(task="binary"), WHOLE["binary"])

    assert 0.005 < one.window(NOW_S).scores["accuracy"].deviation < 0.05
    assert np.isnan(scored(Reading(task="binary"), cut(WHOLE["binary"], [199])[0]).window(NOW_S).scores["f1"].deviation)


def test_a_class_may_come_later() -> None:
    shares = of(np.array([[0.7, 0.3], [0.2, 0.8]]), "prob_a", "prob_b")
    reading = Reading(task="multiclass", classes=("a", "b"))
    first = labelled(nothing(2), shares, column(["a", "b"], "label"))
    one = scored(reading, first, labelled(nothing(2), shares, column(["a", "c"], "label")))

    for scores in (one.window(NOW_S), one.lifetime()):
        assert scores.classes == ("a", "b", "c")
        assert matrix(scores) == {("a", "a"): 2.0, ("b", "b"): 1.0, ("c", "b"): 1.0}
        assert scores.scores["accuracy"].value == 0.75
        assert np.isfinite(scores.scores["brier_score"].value)


def test_probabilities_may_come_and_go() -> None:
    without, given_ = answers([1, 0, 1], [1, 0, 0]), sure([1, 0, 1], [0.9, 0.2, 0.4])
    only = scored(Reading(task="binary"), given_)
    both = scored(Reading(task="binary", prediction="answer"), without, given_, without)

    for mine, its in ((both.window(NOW_S), only.window(NOW_S)), (both.lifetime(), only.lifetime())):
        assert mine.rows == 9
        assert mine.scores["log_loss"].value == pytest.approx(its.scores["log_loss"].value)
        assert mine.scores["accuracy"].value == pytest.approx(2 / 3)
        assert mine.curves is not None


def test_what_is_always_0_or_1_is_an_answer_and_no_probability() -> None:
    one = scored(Reading(task="binary"), answers([1, 0, 1], [1, 0, 0]))
    one.predicted(column([1, 0], "answer"), 1.0)

    for scores in (one.window(NOW_S), one.lifetime()):
        assert scores.scores["accuracy"].value == pytest.approx(2 / 3)
        assert np.isnan([scores.scores[name].value for name in ("auc", "log_loss", "brier_score")]).all()
        assert (scores.curves, scores.reliability) == (None, None)
    assert one.estimated(2.0) is None


def test_a_probability_of_1_counts_as_one_once_it_is_known_that_these_are_probabilities() -> None:
    labels, shares = [1.0, 1.0, 0.0], [1.0, 0.9, 0.0]
    whole = sure(labels, shares)
    expected = quality(
        Answers(
            ("0", "1"),
            np.array([1, 1, 0]),
            np.array([1, 1, 0]),
            np.array([[1 - share, share] for share in shares]),
            np.ones(3),
        )
    )["brier_score"]

    for batches in ([whole], cut(whole, [1, 1])):
        one = scored(Reading(task="binary"), *batches)
        assert one.window(NOW_S).scores["brier_score"].value == pytest.approx(expected)
        assert one.lifetime().scores["brier_score"].value == pytest.approx(expected)


def test_a_window_without_probabilities_has_no_curves_though_there_were_some() -> None:
    reading = Reading(task="binary", prediction="answer")
    one = scored(reading, sure([1, 0], [0.9, 0.2]), answers([1, 0], [1, 0], begins_s=100.0), rows=2)

    assert one.window(200.0).curves is None
    assert one.lifetime().curves is not None


def predictions(rng: np.random.Generator, n: int) -> Table:
    return rows(rng, n).predictions


def test_quality_is_estimated_from_predictions_whose_labels_have_not_come() -> None:
    one = scored(Reading(task="binary"), rows(np.random.default_rng(1), 1000))
    one.predicted(predictions(np.random.default_rng(2), 500), 2000.0)
    found = one.estimated(2001.0)

    assert found is not None
    assert (found.rows, found.first_s, found.calibrated_on, one.answered) == (500, 2000.0, 1000, 500)
    assert found.estimates["accuracy"].value == pytest.approx(0.9, abs=0.03)
    assert found.accuracy is not None
    assert found.accuracy.value == pytest.approx(0.9, abs=0.03)


def test_without_labels_a_model_is_taken_at_its_word() -> None:
    one = scored(Reading(task="binary"))
    one.predicted(of(np.array([[1, 0.9], [0, 0.2]]), "answer", "score"), 5.0)
    found = one.estimated(6.0)

    assert found is not None
    assert found.estimates["accuracy"].value == pytest.approx(0.85)
    assert found.accuracy is None


def test_predictions_leave_the_window_too() -> None:
    one = scored(Reading(task="binary"), seconds=30.0)
    one.predicted(of(np.array([[1, 0.9]]), "answer", "score"), 5.0)

    assert [one.estimated(now_s) is None for now_s in (30.0, 36.0)] == [False, True]


@pytest.mark.parametrize(
    ("task", "replies"),
    [("regression", column([1.0], "answer")), ("binary", nothing(1)), ("binary", column(["yes"], "answer"))],
)
def test_of_replies_without_probabilities_nothing_is_estimated(task: Task, replies: Table) -> None:
    one = scored(Reading(task=task))
    one.predicted(replies, 1.0)

    assert one.estimated(2.0) is None


@pytest.mark.parametrize("labels", [[1.0] * 300, [0.0] * 300])
@pytest.mark.parametrize("told", [[1.0] * 300, [0.0] * 300])
def test_of_one_class_only_what_is_undefined_is_nan(labels: Sequence[float], told: Sequence[float]) -> None:
    whole = labelled(
        nothing(300), of(np.column_stack([told, np.full(300, 0.4)]), "answer", "score"), column(labels, "label")
    )
    one = scored(Reading(task="binary"), whole)
    one.predicted(whole.predictions, 1.0)

    for scores in (one.window(NOW_S), one.lifetime()):
        assert scores.scores["accuracy"].value == float(labels == told)
        assert np.isnan(scores.scores["auc"].value)
    assert one.estimated(2.0) is not None


def test_classes_that_only_predictions_had_so_far_are_part_of_the_state() -> None:
    one = scored(Reading(task="multiclass"), answers(["a"], ["b"]))
    one.predicted(of(np.array([[NAN, 0.5]]), "answer", "prob_c", texts={0: ["d"]}), 1.0)
    again = scored(Reading(task="multiclass"))
    again.restore(one.state())

    for each in (one, again):
        each.take(np.array([5.0]), each.reading.read(answers(["c"], ["d"])))
    assert again.reading.classes == one.reading.classes
    assert matrix(again.lifetime()) == matrix(one.lifetime())


@pytest.mark.parametrize("task", ["binary", "multiclass", "regression"])
@pytest.mark.parametrize("count", [0, 1, 150])
def test_it_goes_on_from_its_state(task: Task, count: int) -> None:
    parts = cut(WHOLE[task], [count]) if count else [WHOLE[task]]
    one = scored(Reading(task=task), *parts[: min(count, 1)])
    one.predicted(WHOLE[task].predictions, 100.0)
    again = scored(Reading(task=task))
    again.restore(one.state())

    for each in (one, again):
        each.take(parts[-1].times_s, each.reading.read(parts[-1]))
    assert (again.labelled, again.answered) == (one.labelled, one.answered)
    for mine, its in ((again.window(NOW_S), one.window(NOW_S)), (again.lifetime(), one.lifetime())):
        np.testing.assert_equal(dict(mine.scores), dict(its.scores))
        assert matrix(mine) == matrix(its)
    np.testing.assert_equal(again.estimated(NOW_S), one.estimated(NOW_S))


@pytest.mark.parametrize("missing", sorted(scored(Reading(task="binary"), WHOLE["binary"]).state()))
def test_a_state_without_one_of_its_parts_is_refused(missing: str) -> None:
    state = scored(Reading(task="binary"), WHOLE["binary"]).state()
    del state[missing]

    with pytest.raises(KeyError):
        scored(Reading(task="binary")).restore(state)


def test_memory_is_bounded() -> None:
    one = scored(Reading(task="binary"), rows=200)
    rng = np.random.default_rng(1)
    for begins_s in range(0, 5000, 50):
        batch = rows(rng, 50, begins_s=begins_s)
        one.take(batch.times_s, one.reading.read(batch))
        one.predicted(batch.predictions, float(begins_s))

    state = one.state()
    assert one.labelled == one.answered == 5000
    assert max(len(state[name]) for name in ("window.times_s", "predictions.times_s")) <= 250


def test_no_row_is_better_than_none() -> None:
    one = scored(Reading(task="binary"), answers([NAN, 1.0], [1.0, NAN]))

    assert one.labelled == 0
    assert one.window(NOW_S).rows == 0
