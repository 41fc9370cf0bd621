import math
from functools import partial

import numpy as np
import pytest

from sidecar.monitors import pieces
from sidecar.monitors.yardstick import SPREAD, Yardstick, losses_of
from sidecar.quality.answers import Amounts, Answers
from sidecar.quality.reading import Read, Reading
from sidecar.quality.relation import Labelled as Coded
from sidecar.records import Labelled
from sidecar.reference.binning import BINS
from sidecar.stats.moments import Floats
from tests.monitors.labelled import answers, column, cut, labelled, rows
from tests.monitors.rig import NAN, nothing, of, same

BINARY, MULTICLASS, REGRESSION = (partial(Reading, task=task) for task in ("binary", "multiclass", "regression"))
HUGE = float(np.finfo(np.float64).max)


def made(whole: Labelled, reading: Reading) -> tuple[Yardstick, Coded]:
    yardstick = Yardstick([whole], reading)
    return yardstick, yardstick.coded(whole, reading.read(whole))


def coded(yardstick: Yardstick, whole: Labelled, reading: Reading) -> Coded:
    return yardstick.coded(whole, reading.read(whole))


def regression(labels: Floats, told: Floats, reading: Reading) -> tuple[Yardstick, Coded]:
    return made(answers(labels.tolist(), told.tolist()), reading)


def test_a_wrong_answer_is_a_loss_of_1() -> None:
    yardstick, found = made(answers([1, 1, 0, 0], [1, 0, 0, 1]), BINARY())

    assert found.loss.tolist() == [0.0, 1.0, 0.0, 1.0]
    assert yardstick.loss == 0.5
    assert len(yardstick) == 4


def test_rows_count_for_as_many_as_they_stand_for() -> None:
    whole = labelled(nothing(2), column([1, 0], "answer"), column([1, 1], "label"), weights=np.array([3.0, 1.0]))

    assert Yardstick([whole], BINARY()).loss == 0.25


def test_the_target_of_two_classes_is_the_label_and_of_more_whether_the_answer_was_right() -> None:
    whole = answers(["1", "0", "1"], ["1", "1", "1"])

    assert made(whole, BINARY())[1].target.tolist() == [1.0, 0.0, 1.0]
    assert made(whole, MULTICLASS())[1].target.tolist() == [1.0, 0.0, 1.0]


def test_of_a_multiclass_model_the_target_stays_what_it_is_when_a_third_class_comes() -> None:
    reading = MULTICLASS()
    yardstick, found = made(answers(["a", "b", "a"], ["a", "a", "a"]), reading)
    later = coded(yardstick, answers(["b", "c"], ["b", "b"]), reading)

    assert found.target.tolist() == [1.0, 0.0, 1.0]
    assert later.target.tolist() == [1.0, 0.0]


def test_the_loss_of_a_regression_is_the_error_by_what_is_usual() -> None:
    yardstick, found = regression(np.array([0.0, 0.0, 0.0, 100.0]), np.array([1.0, -1.0, 2.0, 100.0]), REGRESSION())

    assert yardstick.scale.error == SPREAD * 1.0
    assert found.loss.tolist() == [0.25, 0.25, 0.5, 0.0]


def test_the_target_of_a_regression_is_the_label_between_the_extremes() -> None:
    labels = np.arange(1001.0)
    yardstick, found = regression(labels, labels + 1, REGRESSION())

    assert (yardstick.scale.low, yardstick.scale.span) == (5.0, 990.0)
    same(found.target, np.clip((labels - 5) / 990, 0, 1))


def test_of_a_regression_that_was_never_wrong_rounding_is_no_loss_and_an_error_is_one() -> None:
    reading = REGRESSION()
    labels = np.linspace(1, 100, 300)
    yardstick, found = regression(labels, labels, reading)
    later = coded(yardstick, answers([50.0, 50.0], [50.0 + 1e-12, 51.0]), reading)

    assert found.loss.max() == 0
    assert later.loss[0] < 0.001
    assert later.loss[1] == 1


@pytest.mark.parametrize("constant", [0.0, 5.0, -5.0, HUGE, -HUGE])
def test_of_labels_that_were_all_equal_higher_and_lower_ones_show(constant: float) -> None:
    reading = REGRESSION()
    yardstick, found = regression(np.full(300, constant), np.zeros(300), reading)
    higher, lower = min(constant * 1.5 + 1, HUGE), max(constant * 1.5 - 1, -HUGE)
    other = {5.0: (higher, 2.0), -5.0: (-2.0, lower)}.get(constant, (HUGE, -HUGE))
    later = coded(yardstick, answers(other, [0.0, 0.0]), reading)

    assert np.ptp(found.target) == 0
    assert later.target[0] >= found.target[0] >= later.target[1]
    assert later.target[0] > later.target[1]


def test_labels_that_were_all_equal_but_for_rounding_are_no_other_ones() -> None:
    reading = REGRESSION()
    yardstick, found = regression(np.full(300, 0.3), np.full(300, 0.2), reading)
    later = coded(yardstick, answers([0.1 + 0.2], [0.2]), reading)

    assert abs(later.target[0] - found.target[0]) < 0.001


@pytest.mark.parametrize("size", [HUGE, 1e300, 1e-300, 5e-324])
def test_numbers_of_any_size_have_losses_and_targets_from_0_to_1(size: float) -> None:
    rng = np.random.default_rng(1)
    reading = REGRESSION()
    yardstick, found = regression(rng.uniform(-1, 1, 300) * size, rng.uniform(-1, 1, 300) * size, reading)
    later = coded(yardstick, answers([HUGE, -HUGE, 0.0], [-HUGE, HUGE, 5e-324]), reading)

    for each in (found, later):
        for values in (each.loss, each.target):
            assert ((values >= 0) & (values <= 1)).all()


def test_bins_are_of_features_then_of_predictions_and_of_two_called_alike_the_feature_counts() -> None:
    rng = np.random.default_rng(1)
    asked, told = rng.normal(size=(300, 2)), np.column_stack([rng.integers(2, size=300), rng.random(300)])
    whole = labelled(of(asked, "score", "age"), of(told, "answer", "score"), column([1.0] * 300, "label"))
    yardstick, found = made(whole, BINARY())

    assert yardstick.bins.names == ("score", "age", "answer")
    assert yardstick.outputs == 1
    assert abs(np.corrcoef(found.codes[:, 0], asked[:, 0])[0, 1]) > 0.9


def test_features_that_come_go_and_change_their_type_are_missing_or_other() -> None:
    rng = np.random.default_rng(1)
    whole, reading = rows(rng, 300), BINARY()
    yardstick, _ = made(whole, reading)
    amount, age, country = (yardstick.bins.names.index(name) for name in ("amount", "age", "country"))
    other = labelled(
        of(np.array([[NAN, 7.0, 1.0]]), "amount", "country", "new", texts={0: ["12"]}),
        whole.predictions.__class__(("answer",), np.array([[1.0]])),
        column([1.0], "label"),
    )
    found = coded(yardstick, other, reading)

    assert found.codes.shape == (1, len(yardstick.bins.names))
    assert (found.codes[0, amount], found.codes[0, age]) == (BINS, BINS)
    assert found.codes[0, country] == yardstick.bins.new[country]


def test_without_features_there_is_a_yardstick_all_the_same() -> None:
    yardstick, found = made(answers([1, 0, 1], [1, 1, 1]), BINARY())

    assert yardstick.bins.names == ("answer",)
    assert yardstick.outputs == 1
    assert found.codes.shape == (3, 1)


def test_rows_of_other_columns_are_part_of_it() -> None:
    one = labelled(column([1.0, 2.0], "a"), column([1, 1], "answer"), column([1, 0], "label"))
    other = labelled(column([3.0], "b"), column([0], "answer"), column([0], "label"))
    yardstick = Yardstick([one, other, one], BINARY())

    assert len(yardstick) == 5
    assert yardstick.bins.names == ("a", "b", "answer")
    assert yardstick.loss == 0.4


@pytest.mark.parametrize("reading", [BINARY, REGRESSION])
def test_it_is_the_same_again_from_the_same_rows(reading: partial[Reading]) -> None:
    """A sketch of so many rows drops some by lot: what follows after a restart must be what followed before."""
    whole = rows(np.random.default_rng(1), 6000, reading.keywords["task"])
    one, other = Yardstick(cut(whole, [100, 7, 2000]), reading()), Yardstick([whole], reading())

    same(one.bins.edges, other.bins.edges)
    assert (one.reference.rows.codes == other.reference.rows.codes).all()
    same(one.reference.loss.effects.table, other.reference.loss.effects.table)


def test_rows_of_equal_or_endless_numbers_are_binned() -> None:
    values = np.array([[HUGE, np.inf], [HUGE, -np.inf], [-HUGE, np.inf], [-HUGE, NAN]] * 60)
    whole = labelled(of(values, "a", "b"), column([1.0] * 240, "answer"), column([1.0] * 240, "label"))

    _, found = made(whole, BINARY())

    assert ((found.codes >= 0) & (found.codes <= BINS)).all()


def test_a_few_rows_are_enough() -> None:
    whole = rows(np.random.default_rng(1), 5)

    assert [len(Yardstick([pieces.at(whole, np.arange(n))], BINARY())) for n in (1, 5)] == [1, 5]


def test_losses_are_wrong_answers_or_errors_by_their_scale() -> None:
    places = np.array([0, 1, 1])
    answers = Answers(("0", "1"), places, np.array([0, 0, 1]), None, np.ones(3))
    amounts = Amounts(np.array([1.0, 2.0, 3.0]), np.array([1.0, 4.0, math.pi * 10]), np.ones(3))

    assert losses_of(Read(places, answers, None), 1.0).tolist() == [0.0, 1.0, 0.0]
    assert losses_of(Read(places, None, amounts), 4.0).tolist() == [0.0, 0.5, 1.0]


def test_the_greatest_errors_are_a_whole_loss() -> None:
    amounts = Amounts(np.array([1e308, -1e308]), np.array([-1e308, -1e308]), np.ones(2))

    assert losses_of(Read(np.arange(2), None, amounts), 1e-300).tolist() == [1.0, 0.0]
