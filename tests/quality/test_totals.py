import math

import numpy as np
import pytest
from numpy.typing import NDArray

from sidecar.quality.answers import Amounts, Answers
from sidecar.quality.classification import confusion, quality
from sidecar.quality.curves import auc, average_precision, curves
from sidecar.quality.probabilities import calibration_error, ranking_of, rated, reliability
from sidecar.quality.regression import quality_of_amounts
from sidecar.quality.totals import AmountTotals, Arrays, ClassTotals

NAMES = ("0", "1", "2", "3", "4")
COUNTED = ("auc", "au_prc", "calibration_error")


def random_answers(
    seed: int, classes: int, *, n: int = 1000, digits: int = 15, missing: float = 0.1, rare: float = 1.0
) -> Answers:
    rng = np.random.default_rng(seed)
    probabilities = np.round(rng.dirichlet(np.append(np.ones(classes - 1), rare), size=n), digits)
    actual = np.where(rng.random(n) < 0.5, probabilities.argmax(axis=1), rng.integers(classes, size=n))
    predicted = probabilities.argmax(axis=1)
    probabilities[rng.random(n) < missing] = np.nan
    return Answers(NAMES[:classes], actual, predicted, probabilities, rng.exponential(size=n))


def part(answers: Answers, rows: slice, classes: int | None = None) -> Answers:
    probabilities = None if answers.probabilities is None else answers.probabilities[rows, :classes]
    return Answers(
        answers.classes[:classes], answers.actual[rows], answers.predicted[rows], probabilities, answers.weights[rows]
    )


def poured(answers: Answers, cuts: tuple[int, ...] = (0, 1, 1, 400)) -> ClassTotals:
    totals = ClassTotals(answers.classes)
    for start, end in zip(cuts, (*cuts[1:], None), strict=True):
        totals.add(part(answers, slice(start, end)))
    return totals


def without(scores: dict[str, float], names: tuple[str, ...] = COUNTED) -> dict[str, float]:
    return {name: score for name, score in scores.items() if name not in names}


@pytest.mark.parametrize("classes", [1, 2, 3, 5])
def test_totals_in_any_pieces_have_the_names_and_numbers_of_the_rows(classes: int) -> None:
    answers = random_answers(classes, classes)
    totals = poured(answers)

    scores, expected = totals.scores(), quality(answers)

    assert list(scores) == list(expected)
    assert without(scores) == pytest.approx(without(expected), rel=1e-9)
    np.testing.assert_allclose(totals.confusion, confusion(answers), rtol=1e-12)


@pytest.mark.parametrize("classes", [2, 4])
@pytest.mark.parametrize("digits", [1, 2, 3])
def test_probabilities_of_up_to_three_decimals_are_told_exactly(classes: int, digits: int) -> None:
    answers = random_answers(0, classes, digits=digits)

    assert poured(answers).scores() == pytest.approx(quality(answers), rel=1e-9)


@pytest.mark.parametrize("rare", [1.0, 0.1, 30.0])
def test_the_auc_is_off_by_no_more_than_half_the_pairs_that_share_a_bin(rare: float) -> None:
    answers = random_answers(1, 2, n=5000, rare=rare)
    totals = poured(answers)
    binned = totals.ranking()

    bound = float(binned.hits @ binned.misses / binned.hits.sum() / binned.misses.sum()) / 2
    off = abs(totals.scores()["auc"] - quality(answers)["auc"])

    assert off <= bound + 1e-12
    assert bound < 0.001


@pytest.mark.parametrize("rare", [1.0, 0.1, 30.0])
def test_what_bins_cost_is_little(rare: float) -> None:
    answers = random_answers(2, 2, n=5000, rare=rare)

    scores, expected = poured(answers).scores(), quality(answers)

    assert scores["au_prc"] == pytest.approx(expected["au_prc"], abs=2e-3)
    assert scores["calibration_error"] == pytest.approx(expected["calibration_error"], abs=2e-3)


def test_curves_and_reliability_come_from_the_ranking() -> None:
    answers = random_answers(3, 2, digits=2)
    binned, exact = poured(answers).ranking(), ranking_of(rated(answers))

    np.testing.assert_allclose(binned.probabilities, exact.probabilities, rtol=1e-9)
    np.testing.assert_allclose(curves(binned).recalls, curves(exact).recalls, atol=1e-9)
    np.testing.assert_allclose(reliability(binned).shares, reliability(exact).shares, atol=1e-9)
    assert auc(binned) == pytest.approx(auc(exact))
    assert average_precision(binned) == pytest.approx(average_precision(exact))
    assert calibration_error(binned) == pytest.approx(calibration_error(exact))


def test_probabilities_that_are_nearly_certain_have_bins_of_their_own() -> None:
    positive = np.array([1.0, 1 - 1e-15, 1 - 1e-12, 1 - 1e-6, 1e-6, 1e-9, 1.1e-12, 1e-12, 1e-15, 0.0])
    probabilities = np.column_stack([1 - positive, positive])
    some = np.arange(10) % 2
    answers = Answers(("0", "1"), some, some, probabilities, np.ones(10))

    assert poured(answers, (0,)).ranking().probabilities.tolist() == positive.tolist()


def test_no_two_probabilities_of_three_decimals_share_a_bin() -> None:
    positive = np.linspace(0, 1, 1001)
    none = np.zeros(1001, dtype=np.int64)

    totals = poured(Answers(("0", "1"), none, none, np.column_stack([1 - positive, positive]), np.ones(1001)))

    assert totals.ranking().probabilities.tolist() == positive[::-1].tolist()


def test_a_new_class_counts_as_if_it_had_always_been_there() -> None:
    answers = random_answers(4, 4, digits=3)
    early = np.arange(answers.actual.size) < 500
    assert answers.probabilities is not None
    probabilities = answers.probabilities.copy()
    probabilities[early, 2:] = 0.0
    actual, predicted = np.where(early, answers.actual % 2, answers.actual), np.where(early, 0, answers.predicted)
    whole = Answers(answers.classes, actual, predicted, probabilities, answers.weights)

    totals = ClassTotals(())
    totals.add(part(whole, slice(0, 500), classes=2))
    totals.add(part(whole, slice(500, None)))

    assert totals.classes == ("0", "1", "2", "3")
    assert totals.scores() == pytest.approx(quality(whole), rel=1e-9)


def test_after_a_second_class_the_positive_s_numbers_are_of_the_rows_since() -> None:
    first, since = random_answers(5, 1, n=50), random_answers(6, 2, digits=3)
    totals = ClassTotals(first.classes)
    totals.add(first)
    totals.add(since)

    scores, expected = totals.scores(), quality(since)

    assert {name: scores[name] for name in COUNTED} == pytest.approx({name: expected[name] for name in COUNTED})


@pytest.mark.parametrize("classes", [("0",), ("1", "0"), ("0", "x", "1"), ()])
def test_other_classes_are_refused_and_nothing_is_counted(classes: tuple[str, ...]) -> None:
    totals = poured(random_answers(7, 2))
    before = totals.scores()
    none = np.empty(0, dtype=np.int64)

    with pytest.raises(ValueError, match="classes: "):
        totals.add(Answers(classes, none, none, None, np.empty(0)))

    assert totals.scores() == before


@pytest.mark.parametrize("classes", [0, 1, 2, 3])
def test_without_rows_nothing_is_defined(classes: int) -> None:
    totals = ClassTotals(NAMES[:classes])
    none = np.empty(0, dtype=np.int64)
    totals.add(Answers(NAMES[:classes], none, none, None, np.empty(0)))

    assert all(math.isnan(score) for score in totals.scores().values())


def test_the_more_is_counted_the_memory_is_the_same() -> None:
    totals = poured(random_answers(8, 3))
    before = sum(array.nbytes for array in totals.arrays().values())

    totals.add(random_answers(9, 3))

    assert sum(array.nbytes for array in totals.arrays().values()) == before < 200_000


def random_amounts(seed: int, n: int = 1000) -> Amounts:
    rng = np.random.default_rng(seed)
    actual = 1e3 + rng.normal(size=n)
    return Amounts(actual, actual + rng.normal(size=n), rng.exponential(size=n))


@pytest.mark.parametrize("size", [1, 7, 1000])
def test_amounts_in_any_pieces_have_the_numbers_of_the_rows(size: int) -> None:
    amounts = random_amounts(0)
    totals = AmountTotals()
    for start in range(0, 1000, size):
        rows = slice(start, start + size)
        totals.add(Amounts(amounts.actual[rows], amounts.predicted[rows], amounts.weights[rows]))

    assert totals.scores() == pytest.approx(quality_of_amounts(amounts), rel=1e-9)


def test_equal_amounts_have_no_r2_however_many_are_added() -> None:
    totals = AmountTotals()
    for seed in range(20):
        weights = np.random.default_rng(seed).exponential(size=7)
        totals.add(Amounts(np.full(7, 0.1), np.full(7, 0.3), weights))

    scores = totals.scores()

    assert math.isnan(scores["r2"])
    assert scores["mae"] == pytest.approx(0.2)


def from_disk(arrays: Arrays) -> Arrays:
    """As a store gives them back: read-only."""
    return {name: np.frombuffer(array.tobytes()).reshape(array.shape) for name, array in arrays.items()}


def test_restored_class_totals_go_on_as_if_nothing_had_happened() -> None:
    totals, restored = poured(random_answers(10, 2)), ClassTotals(("0", "1"))

    restored.restore(from_disk(totals.arrays()))

    assert restored.scores() == totals.scores()
    totals.add(random_answers(11, 3))
    restored.add(random_answers(11, 3))
    assert restored.scores() == totals.scores()


def test_restored_amount_totals_go_on_as_if_nothing_had_happened() -> None:
    totals, restored = AmountTotals(), AmountTotals()
    totals.add(random_amounts(1))

    restored.restore(from_disk(totals.arrays()))

    assert restored.scores() == totals.scores()
    totals.add(random_amounts(2))
    restored.add(random_amounts(2))
    assert restored.scores() == totals.scores()


def test_what_was_taken_does_not_change_with_what_is_added() -> None:
    totals = poured(random_answers(12, 2))
    taken = totals.arrays()
    before = {name: array.copy() for name, array in taken.items()}

    totals.add(random_answers(13, 2))

    assert all((taken[name] == before[name]).all() for name in before)


@pytest.mark.parametrize("name", ["confusion", "sums", "positive", "predicted"])
def test_class_totals_of_another_shape_or_type_are_refused_and_nothing_changes(name: str) -> None:
    totals = poured(random_answers(14, 2))
    good, before = ClassTotals(("0", "1")).arrays(), totals.scores()

    worse: list[NDArray[np.generic]] = [good[name][:-1], good[name].astype(np.float32)]
    for bad in worse:
        with pytest.raises(ValueError, match=rf"{name}: .*expected float64 of shape"):
            totals.restore({**good, name: bad})
    with pytest.raises(KeyError, match=name):
        totals.restore({other: array for other, array in good.items() if other != name})

    assert totals.scores() == before


def test_amount_totals_of_another_shape_or_type_are_refused() -> None:
    totals = AmountTotals()

    worse: list[NDArray[np.generic]] = [np.zeros(4), np.zeros((5, 1)), np.zeros(5, dtype=np.int64)]
    for bad in worse:
        with pytest.raises(ValueError, match=r"errors: .*expected float64 of shape"):
            totals.restore({"errors": bad})
    with pytest.raises(KeyError, match="errors"):
        totals.restore({})
