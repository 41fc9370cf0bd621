import math
import time
from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.random import Generator, default_rng
from sklearn.metrics import accuracy_score, f1_score, precision_score, recall_score, roc_auc_score

from sidecar.quality.answers import Answers
from sidecar.quality.calibration import Calibration
from sidecar.quality.classification import quality
from sidecar.quality.estimated import Estimate, estimate, expected_confusion
from sidecar.stats.moments import Counts, Floats

AS_SAID = Calibration()
BINARY = ["accuracy", "precision", "recall", "f1", "auc"]
MULTICLASS = ["accuracy", "weighted_recall", "weighted_precision", "weighted_f1"]


def two(p: Floats) -> Floats:
    return np.column_stack((1 - p, p))


def drawn(rng: Generator, rows: int, sureness: float = 1.0) -> tuple[Floats, Counts]:
    logits = rng.normal(-1, 1.5, rows)
    label = (rng.random(rows) < 1 / (1 + np.exp(-logits))).astype(np.int64)
    return 1 / (1 + np.exp(-sureness * logits)), label


def values(told: dict[str, Estimate]) -> dict[str, float]:
    return {name: each.value for name, each in told.items()}


def of_labels(probabilities: Floats, label: Counts, predicted: Counts, weights: Floats) -> dict[str, float]:
    classes = tuple(str(number) for number in range(probabilities.shape[1]))
    return quality(Answers(classes, label, predicted, probabilities, weights))


def test_two_classes_by_hand() -> None:
    p, predicted = np.array([0.9, 0.6, 0.3, 0.2]), np.array([1, 1, 0, 0])

    told = values(estimate(two(p), predicted, AS_SAID, np.ones(4)))

    # TP = 0.9 + 0.6, FP = 0.1 + 0.4, FN = 0.3 + 0.2, TN = 0.7 + 0.8.
    assert told | {"auc": 0.0} == pytest.approx(
        {"accuracy": 0.75, "precision": 0.75, "recall": 0.75, "f1": 0.75, "auc": 0}
    )
    # Pairs in order: 0.9 (0.4 + 0.7 + 0.8) + 0.6 (0.7 + 0.8) + 0.3 0.8; in the wrong order: the same mirrored.
    right, wrong = 1.71 + 0.9 + 0.24, 0.1 * (0.6 + 0.3 + 0.2) + 0.4 * (0.3 + 0.2) + 0.7 * 0.2
    assert told["auc"] == pytest.approx(right / (right + wrong))


def test_the_matrix_is_that_of_the_expected_rows() -> None:
    said = np.array([[0.7, 0.2, 0.1], [0.1, 0.5, 0.4], [0.0, 0.0, 1.0]])

    matrix = expected_confusion(said, np.array([0, 1, 1]), AS_SAID, np.array([1.0, 2.0, 10.0]))

    np.testing.assert_allclose(matrix, [[0.7, 0.2, 0.0], [0.2, 1.0, 0.0], [0.1, 0.8 + 10.0, 0.0]])


@pytest.mark.parametrize("classes", [2, 3, 5])
def test_a_model_that_is_sure_is_scored_as_if_its_word_were_the_label(classes: int) -> None:
    rng = default_rng(classes)
    label, predicted, weights = rng.integers(0, classes, 60), rng.integers(0, classes, 60), rng.exponential(size=60)
    said = np.eye(classes)[label]

    told = estimate(said, predicted, AS_SAID, weights)

    truth = of_labels(said, label, predicted, weights)
    assert values(told) == pytest.approx({name: truth[name] for name in told}, rel=1e-9)
    assert [each.deviation for each in told.values()] == pytest.approx([0.0] * len(told), abs=1e-7)


@pytest.mark.parametrize("weights", [[1.0] * 5, [1.0, 3.0, 0.5, 2.0, 1.0]])
def test_pairs_and_cells_are_the_means_over_all_ways_that_labels_may_fall(weights: list[float]) -> None:
    p, w = np.array([0.1, 0.4, 0.4, 0.7, 0.95]), np.array(weights)
    predicted = (p >= 0.5).astype(np.int64)
    right = pairs = hits = 0.0
    for fallen in product([0, 1], repeat=5):
        label = np.array(fallen)
        chance = float(np.prod(np.where(label, p, 1 - p)))
        mass = chance * float(w[label == 1].sum() * w[label == 0].sum())
        pairs += mass
        right += mass * (float(roc_auc_score(label, p, sample_weight=w)) if mass else 0.0)
        hits += chance * float(w[(label == 1) & (predicted == 1)].sum())

    told = estimate(two(p), predicted, AS_SAID, w)

    assert told["auc"].value == pytest.approx(right / pairs, rel=1e-12)
    assert expected_confusion(two(p), predicted, AS_SAID, w)[1, 1] == pytest.approx(hits, rel=1e-12)


@pytest.mark.parametrize(("classes", "weighted"), [(2, False), (2, True), (4, True)])
def test_the_deviation_is_that_of_labels_drawn_again_and_again(classes: int, weighted: bool) -> None:
    rng = default_rng(3)
    said = rng.dirichlet(np.ones(classes), 300)
    weights = rng.choice([1.0, 6.0], 300) if weighted else np.ones(300)
    predicted = said.argmax(axis=1)
    runs = []
    for _ in range(400):
        label = (rng.random((300, 1)) > np.cumsum(said, axis=1)).sum(axis=1)
        runs.append(of_labels(said, label, predicted, weights))

    told = estimate(said, predicted, AS_SAID, weights)

    for name, each in told.items():
        again = np.array([run[name] for run in runs])
        assert each.value == pytest.approx(again.mean(), abs=0.2 * each.deviation)
        assert each.deviation == pytest.approx(again.std(), rel=0.15)


@pytest.mark.parametrize(("labels", "rows", "sureness"), [(1_000, 300, 1.5), (1_000, 300, 1.0)])
def test_an_interval_of_95_percent_has_the_realised_number_about_as_often(
    labels: int, rows: int, sureness: float
) -> None:
    rng = default_rng(labels)
    inside: dict[str, int] = dict.fromkeys(BINARY, 0)
    for _ in range(40):
        p, label = drawn(rng, labels, sureness)
        calibration = Calibration.learn(two(p), label, np.ones(labels))
        p, label = drawn(rng, rows, sureness)
        predicted = (p >= 0.5).astype(np.int64)
        truth = of_labels(two(p), label, predicted, np.ones(rows))
        for name, each in estimate(two(p), predicted, calibration, np.ones(rows)).items():
            low, high = each.interval()
            inside[name] += low <= truth[name] <= high

    assert min(inside.values()) >= 0.85 * 40


def test_a_model_too_sure_of_itself_is_seen_through() -> None:
    rng = default_rng(4)
    p, label = drawn(rng, 5_000, 3.0)
    calibration = Calibration.learn(two(p), label, np.ones(5_000))
    p, label = drawn(rng, 5_000, 3.0)
    predicted = (p >= 0.5).astype(np.int64)
    truth = {
        "accuracy": accuracy_score(label, predicted),
        "precision": precision_score(label, predicted),
        "recall": recall_score(label, predicted),
        "f1": f1_score(label, predicted),
        "auc": roc_auc_score(label, p),
    }

    told = values(estimate(two(p), predicted, calibration, np.ones(5_000)))
    naive = values(estimate(two(p), predicted, AS_SAID, np.ones(5_000)))

    assert told == pytest.approx(truth, abs=0.03)
    assert min(naive[name] - truth[name] for name in BINARY) > 0.05


def test_concept_drift_goes_unseen() -> None:
    rng = default_rng(5)
    p, label = drawn(rng, 2_000)
    calibration = Calibration.learn(two(p), label, np.ones(2_000))
    predicted = (p >= 0.5).astype(np.int64)

    told = estimate(two(p), predicted, calibration, np.ones(2_000))["accuracy"]

    turned_round = float(accuracy_score(1 - label, predicted))
    assert told.value > turned_round + 0.3


def test_few_labels_make_it_less_certain() -> None:
    rng = default_rng(6)
    p, _ = drawn(rng, 5_000, 2.0)
    deviations = {}
    for labels in (300, 10_000):
        said, label = drawn(rng, labels, 2.0)
        calibration = Calibration.learn(two(said), label, np.ones(labels))
        told = estimate(two(p), (p >= 0.5).astype(np.int64), calibration, np.ones(5_000))
        deviations[labels] = told["f1"].deviation

    assert deviations[300] > 2 * deviations[10_000]


@pytest.mark.parametrize(("classes", "names"), [(2, BINARY), (3, MULTICLASS)])
def test_of_no_rows_nothing_is_known(classes: int, names: list[str]) -> None:
    told = estimate(np.empty((0, classes)), np.empty(0, dtype=np.int64), AS_SAID, np.empty(0))

    assert list(told) == names
    assert np.isnan([(each.value, each.deviation) for each in told.values()]).all()
    assert np.isnan([each.interval() for each in told.values()]).all()


@pytest.mark.parametrize(
    ("p", "predicted", "undefined"),
    [
        ([0.2, 0.3], [0, 0], {"precision"}),
        ([0.0, 0.0], [0, 0], {"precision", "recall", "f1", "auc"}),
        ([0.0, 0.0], [1, 1], {"recall", "auc"}),
        ([1.0, 1.0], [1, 1], {"auc"}),
        ([0.5], [1], {"auc"}),
    ],
)
def test_a_quotient_without_rows_to_divide_by_is_undefined(
    p: list[float], predicted: list[int], undefined: set[str]
) -> None:
    told = estimate(two(np.array(p)), np.array(predicted), AS_SAID, np.ones(len(p)))

    assert {name for name, each in told.items() if math.isnan(each.value)} == undefined
    assert {name for name, each in told.items() if math.isnan(each.deviation)} == undefined


def test_a_class_that_is_never_predicted_counts_as_of_precision_0() -> None:
    said = np.array([[0.8, 0.2, 0.0], [0.3, 0.7, 0.0], [0.2, 0.2, 0.6]])

    told = values(estimate(said, np.array([0, 1, 1]), AS_SAID, np.ones(3)))

    assert told["weighted_precision"] == pytest.approx((1.3 * 0.8 + 1.1 * 0.9 / 2) / 3)


@pytest.mark.parametrize("bad", [np.nan, -0.5, 1.5, np.inf])
def test_rows_without_probabilities_or_weight_are_left_out(bad: float) -> None:
    p, _ = drawn(default_rng(7), 100)
    weights = np.ones(103)
    weights[100:102] = [0.0, np.nan]
    spoilt = two(np.append(p, [0.5, 0.5, bad]))
    predicted = np.append((p >= 0.5).astype(np.int64), [1, 1, 1])

    told = estimate(spoilt, predicted, AS_SAID, weights)

    assert told == estimate(two(p), predicted[:100], AS_SAID, np.ones(100))


@given(st.lists(st.tuples(st.sampled_from([0.0, 1e-12, 0.25, 0.5, 1.0]), st.integers(0, 1)), max_size=12))
def test_whatever_is_defined_lies_between_0_and_1(rows: list[tuple[float, int]]) -> None:
    p, predicted = np.array([each[0] for each in rows]), np.array([each[1] for each in rows], dtype=np.int64)

    told = estimate(two(p), predicted, AS_SAID, np.ones(len(rows)))

    for each in told.values():
        assert math.isnan(each.value) or -1e-12 <= each.value <= 1 + 1e-12
        assert math.isnan(each.value) == math.isnan(each.deviation)


@pytest.mark.parametrize("weight", [1e-300, 1e-3, 1e300])
def test_only_the_ratio_of_weights_counts(weight: float) -> None:
    p, _ = drawn(default_rng(8), 200)
    predicted = (p >= 0.5).astype(np.int64)

    told = estimate(two(p), predicted, AS_SAID, np.full(200, weight))

    expected = estimate(two(p), predicted, AS_SAID, np.ones(200))
    for name in BINARY:
        assert told[name].value == pytest.approx(expected[name].value)
        assert told[name].deviation == pytest.approx(expected[name].deviation)


def test_an_interval_ends_at_0_and_1() -> None:
    low, high = Estimate(0.99, 0.02).interval()

    assert [low, high] == pytest.approx([0.99 - 1.959964 * 0.02, 1.0])
    assert list(Estimate(0.01, 0.02).interval(0.5)) == pytest.approx([0.0, 0.01 + 0.6744898 * 0.02])


def test_ten_thousand_rows_take_milliseconds() -> None:
    p, label = drawn(default_rng(9), 10_000, 1.5)
    calibration = Calibration.learn(two(p), label, np.ones(10_000))
    predicted = (p >= 0.5).astype(np.int64)

    assert min(_took(two(p), predicted, calibration) for _ in range(7)) < 0.02


def _took(said: Floats, predicted: Counts, calibration: Calibration) -> float:
    began = time.process_time()
    estimate(said, predicted, calibration, np.ones(len(said)))
    return time.process_time() - began
