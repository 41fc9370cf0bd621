import numpy as np
import pytest
from numpy.random import Generator, default_rng

from sidecar.quality.calibration import FOLDS, MIN_ROWS, Calibration
from sidecar.stats.moments import Counts, Floats


def two(p: Floats) -> Floats:
    return np.column_stack((1 - p, p))


def drawn(rng: Generator, rows: int, sureness: float) -> tuple[Floats, Counts, Floats]:
    """What a model says that multiplies its logits by `sureness`, what was true, and how likely that was."""
    logits = rng.normal(-0.5, 1.5, rows)
    true = 1 / (1 + np.exp(-logits))
    return 1 / (1 + np.exp(-sureness * logits)), (rng.random(rows) < true).astype(np.int64), true


@pytest.mark.parametrize("sureness", [0.4, 2.5])
def test_a_model_that_is_too_sure_or_not_enough_is_put_right(sureness: float) -> None:
    p, label, true = drawn(default_rng(1), 4_000, sureness)

    told = Calibration.learn(two(p), label, np.ones(4_000))(two(p))[:, 1]

    assert np.abs(told - true).mean() < 0.2 * np.abs(p - true).mean()
    assert np.abs(told - true).mean() < 0.03


def test_a_model_that_is_right_is_left_alone_or_nearly() -> None:
    p, label, true = drawn(default_rng(2), 4_000, 1.0)

    told = Calibration.learn(two(p), label, np.ones(4_000))(two(p))[:, 1]

    assert np.abs(told - true).mean() < 0.02


@pytest.mark.parametrize(
    ("rows", "positives"), [(0, 0), (1, 1), (MIN_ROWS - 1, 100), (1_000, 0), (1_000, 9), (1_000, 991), (1_000, 1_000)]
)
def test_with_too_few_rows_the_model_is_taken_at_its_word(rows: int, positives: int) -> None:
    p = np.linspace(0, 1, rows)
    asked = two(np.array([0.0, 0.3, 1.0]))

    calibration = Calibration.learn(two(p), (np.arange(rows) < positives).astype(np.int64), np.ones(rows))

    np.testing.assert_allclose(calibration(asked), asked)
    assert len(list(calibration.replicates(asked))) == 1


def test_several_classes_are_put_right_one_by_one_and_add_up_to_one() -> None:
    rng = default_rng(3)
    logits = rng.normal(0, 1.5, (5_000, 4))
    true = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    said = np.exp(2.5 * logits) / np.exp(2.5 * logits).sum(axis=1, keepdims=True)
    label = (rng.random((5_000, 1)) > np.cumsum(true, axis=1)).sum(axis=1)

    told = Calibration.learn(said, label, np.ones(5_000))(said)

    np.testing.assert_allclose(told.sum(axis=1), 1)
    assert np.abs(told - true).mean() < 0.5 * np.abs(said - true).mean()


def test_a_class_that_hardly_comes_is_taken_at_its_word_among_others() -> None:
    p, label, _ = drawn(default_rng(4), 2_000, 2.5)
    said = np.column_stack(((1 - p) * 0.999, p * 0.999, np.full(2_000, 0.001)))

    calibration = Calibration.learn(said, label, np.ones(2_000))

    assert [curve is None for curve in calibration.curves] == [False, False, True]


@pytest.mark.parametrize("bad", [np.nan, -0.1, 1.1, np.inf])
def test_rows_without_probabilities_teach_nothing(bad: float) -> None:
    p, label, _ = drawn(default_rng(5), 1_000, 2.0)
    said, spoilt = two(p), two(np.append(p, np.full(500, bad)))
    asked = two(np.linspace(0, 1, 11))

    clean = Calibration.learn(said, label, np.ones(1_000))
    spoiled = Calibration.learn(spoilt, np.append(label, np.ones(500, dtype=np.int64)), np.ones(1_500))

    assert spoiled(asked).tolist() == clean(asked).tolist()


@pytest.mark.parametrize("weight", [0.0, -1.0, np.nan, np.inf])
def test_rows_without_weight_teach_nothing(weight: float) -> None:
    p, label, _ = drawn(default_rng(6), 1_000, 2.0)
    asked = two(np.linspace(0, 1, 11))
    weights = np.append(np.ones(1_000), np.full(500, weight))

    clean = Calibration.learn(two(p), label, np.ones(1_000))
    more = Calibration.learn(
        two(np.append(p, np.full(500, 0.5))), np.append(label, np.ones(500, dtype=np.int64)), weights
    )

    assert more(asked).tolist() == clean(asked).tolist()


def test_only_the_ratio_of_weights_counts() -> None:
    p, label, _ = drawn(default_rng(7), 1_000, 2.0)
    asked = two(np.linspace(0, 1, 11))

    told = [Calibration.learn(two(p), label, np.full(1_000, weight))(asked) for weight in (1.0, 1e300, 1e-300)]

    np.testing.assert_allclose(told[1], told[0])
    np.testing.assert_allclose(told[2], told[0])


def test_weights_undo_an_uneven_sample() -> None:
    rng = default_rng(8)
    p, label, true = drawn(rng, 8_000, 2.0)
    share = np.where(label == 1, 0.9, 0.3)
    kept = rng.random(8_000) < share

    told = Calibration.learn(two(p[kept]), label[kept], 1 / share[kept])(two(p))[:, 1]

    assert np.abs(told - true).mean() < 0.03


def test_what_is_nan_stays_nan() -> None:
    p, label, _ = drawn(default_rng(9), 1_000, 2.0)
    calibration = Calibration.learn(two(p), label, np.ones(1_000))

    told = calibration(two(np.array([np.nan, 0.5])))

    assert np.isnan(told).tolist() == [[True, True], [False, False]]
    assert np.isnan(Calibration()(np.array([[np.nan, 0.5, 0.5], [0.0, 0.0, 0.0]]))).any(axis=1).all()


def test_a_jump_where_the_choice_is_made_is_kept() -> None:
    rng = default_rng(10)
    p = rng.random(4_000)
    label = (rng.random(4_000) < np.where(p < 0.5, 0.2, 0.8)).astype(np.int64)

    told = Calibration.learn(two(p), label, np.ones(4_000))(two(np.array([0.49, 0.5])))[:, 1]

    assert told[1] - told[0] > 0.35


@pytest.mark.parametrize("said", [0.0, 1e-9, 0.5, 1.0])
@pytest.mark.parametrize("share", [0.05, 0.5, 0.95])
def test_a_model_that_always_says_the_same_is_put_right(said: float, share: float) -> None:
    p = np.full(1_000, said)
    label = (np.arange(1_000) % 20 < 20 * share).astype(np.int64)

    told = Calibration.learn(two(p), label, np.ones(1_000))(two(np.array([said])))[0, 1]

    assert told == pytest.approx(share, abs=0.03)


def test_probabilities_of_zero_and_one_that_are_often_wrong_are_put_right() -> None:
    p = np.repeat([0.0, 1.0], 5_000)
    label = np.concatenate((np.arange(5_000) % 10 == 0, np.arange(5_000) % 10 != 0)).astype(np.int64)

    told = Calibration.learn(two(p), label, np.ones(10_000))(two(np.array([0.0, 1.0])))[:, 1]

    np.testing.assert_allclose(told, [0.1, 0.9], atol=0.01)


def test_the_replicates_are_as_far_apart_as_labels_are_few() -> None:
    spread = {}
    for rows in (500, 8_000):
        p, label, _ = drawn(default_rng(11), rows, 2.0)
        calibration = Calibration.learn(two(p), label, np.ones(rows))
        _, *replicates = calibration.replicates(two(np.array([0.7])))
        spread[rows] = float(np.std([each[0, 1] for each in replicates])) * (FOLDS - 1) ** 0.5

    assert 2 < spread[500] / spread[8_000] < 16


def test_other_classes_than_learned_are_refused() -> None:
    p, label, _ = drawn(default_rng(12), 1_000, 2.0)
    calibration = Calibration.learn(two(p), label, np.ones(1_000))

    with pytest.raises(ValueError, match="zip"):
        calibration(np.full((1, 3), 1 / 3))
