import numpy as np
import pytest
from numpy.random import Generator, default_rng
from scipy import stats

from sidecar.quality.powered import MIN_LABELS, Labels, powered, student
from sidecar.stats.moments import Floats

NONE = np.empty(0)


def equal(loss: Floats, estimated: Floats) -> Labels:
    return Labels(loss, estimated, np.ones(len(loss)))


def draw(rng: Generator, rows: int, correlation: float) -> tuple[Floats, Floats]:
    """Losses with mean 0.3, and estimates of them that are 1 too high on average."""
    estimated = rng.normal(size=rows)
    noise = rng.normal(size=rows)
    return 0.3 + correlation * estimated + np.sqrt(1 - correlation**2) * noise, 1 + estimated


@pytest.mark.parametrize(("labels", "rows"), [(30, 1_000), (100, 100), (200, 5_000)])
@pytest.mark.parametrize("correlation", [-0.5, 0.0, 0.9])
def test_an_interval_of_95_percent_has_the_mean_93_times_of_100_or_more(
    labels: int, rows: int, correlation: float
) -> None:
    rng = default_rng(labels)
    inside = 0
    for _ in range(1_000):
        told = powered(equal(*draw(rng, labels, correlation)), draw(rng, rows, correlation)[1], np.ones(rows))
        inside += told.low <= 0.3 <= told.high

    assert 930 <= inside <= 980


def test_labels_of_a_sample_that_is_not_uniform_are_weighted_back() -> None:
    rng = default_rng(5)
    inside, values = 0, []
    for _ in range(600):
        loss, estimated = draw(rng, 400, 0.8)
        share = np.where(estimated > 1, 0.4, 0.1)
        kept = rng.random(400) < share
        rest = draw(rng, 4_000, 0.8)[1]
        told = powered(Labels(loss[kept], estimated[kept], 1 / share[kept]), rest, np.ones(4_000))
        inside += told.low <= 0.3 <= told.high
        values.append(told.value)

    assert inside >= 0.93 * 600
    assert np.mean(values) == pytest.approx(0.3, abs=0.01)


def test_it_is_never_much_wider_than_labels_alone() -> None:
    rng = default_rng(6)
    ratios = []
    for _ in range(500):
        labels = equal(*draw(rng, int(rng.integers(20, 200)), rng.uniform(-1, 1)))
        rows = int(rng.integers(2, 2_000))
        told, alone = powered(labels, rng.normal(size=rows), np.ones(rows)), powered(labels, NONE, NONE)
        ratios.append((told.high - told.low) / (alone.high - alone.low))

    assert max(ratios) < 1.05


def test_a_good_estimate_is_worth_many_labels() -> None:
    rng = default_rng(7)
    labels, rest = equal(*draw(rng, 100, 0.95)), draw(rng, 10_000, 0.95)[1]

    told, alone = powered(labels, rest, np.ones(10_000)), powered(labels, NONE, NONE)

    assert told.deviation < 0.5 * alone.deviation
    assert told.tuning > 0.8


def test_its_number_is_that_of_the_paper() -> None:
    rng = default_rng(8)
    loss, estimated = draw(rng, 50, 0.7)
    rest = draw(rng, 300, 0.7)[1]
    covariance = np.cov(loss, estimated)

    told = powered(equal(loss, estimated), rest, np.ones(300))

    # PPI++ takes one variance of the estimate; here each sample's own stands for its part.
    noise = covariance[1, 1] / 50 * 50 / 49 + rest.var(ddof=1) / 300 * 300 / 299
    tuning = covariance[0, 1] / 50 * 50 / 49 / noise
    assert told.tuning == pytest.approx(tuning)
    assert told.value == pytest.approx(loss.mean() + tuning * (rest.mean() - estimated.mean()))


def test_without_other_rows_it_is_the_mean_of_the_labels_with_student_s_interval() -> None:
    loss = default_rng(9).normal(size=40)

    told = powered(equal(loss, np.zeros(40)), NONE, NONE)

    error = loss.std(ddof=1) / 40**0.5 * (40 / 39) ** 0.5
    low, high = stats.t.interval(0.95, 39, loc=loss.mean(), scale=error)
    assert [told.value, told.low, told.high] == pytest.approx([loss.mean(), low, high], abs=1e-6)
    assert told.tuning == 0.0


def test_an_estimate_that_never_moves_is_of_no_use_and_no_harm() -> None:
    loss = default_rng(10).normal(size=40)

    told = powered(equal(loss, np.full(40, 0.5)), np.full(1_000, 0.5), np.ones(1_000))

    assert told == powered(equal(loss, np.full(40, 0.5)), NONE, NONE)


def test_with_too_few_labels_there_is_a_value_but_no_interval() -> None:
    loss = np.arange(float(MIN_LABELS - 1))

    told = powered(equal(loss, loss), np.arange(100.0), np.ones(100))

    assert told.value == loss.mean()
    assert np.isnan([told.deviation, told.low, told.high]).all()
    assert told.tuning == 0.0


def test_one_label_is_a_value() -> None:
    told = powered(equal(np.array([0.4]), np.array([0.5])), np.array([0.6]), np.ones(1))

    assert told.value == 0.4
    assert np.isnan(told.deviation)


def test_without_labels_nothing_is_known() -> None:
    told = powered(equal(NONE, NONE), np.arange(100.0), np.ones(100))

    assert np.isnan([told.value, told.deviation, told.low, told.high]).all()


def test_a_label_that_outweighs_all_others_is_one_label() -> None:
    weights = np.append(np.full(99, 1e-12), 1.0)

    told = powered(Labels(np.arange(100.0), np.arange(100.0), weights), np.arange(100.0), np.ones(100))

    assert told.value == pytest.approx(99.0)
    assert np.isnan(told.deviation)


def test_rows_that_are_no_numbers_or_without_weight_are_left_out() -> None:
    rng = default_rng(11)
    loss, estimated = draw(rng, 50, 0.7)
    rest = draw(rng, 300, 0.7)[1]
    spoilt = Labels(
        np.append(loss, [np.nan, 1.0, 1.0, 1.0]),
        np.append(estimated, [1.0, np.inf, 1.0, 1.0]),
        np.append(np.ones(50), [1.0, 1.0, 0.0, np.nan]),
    )

    told = powered(spoilt, np.append(rest, [np.nan, 9.0, 9.0]), np.append(np.ones(300), [1.0, -1.0, np.inf]))

    assert told == powered(equal(loss, estimated), rest, np.ones(300))


@pytest.mark.parametrize("weight", [1e-150, 1e150, 1e300])
def test_only_the_ratio_of_weights_counts(weight: float) -> None:
    rng = default_rng(12)
    (loss, estimated), rest = draw(rng, 50, 0.7), draw(rng, 300, 0.7)[1]

    told = powered(Labels(loss, estimated, np.full(50, weight)), rest, np.full(300, weight))

    expected = powered(equal(loss, estimated), rest, np.ones(300))
    assert (told.value, told.low, told.high) == pytest.approx((expected.value, expected.low, expected.high))


@pytest.mark.parametrize("confidence", [0.0, 1.0, -0.5, 95.0, float("nan")])
def test_a_confidence_that_is_none_is_refused(confidence: float) -> None:
    with pytest.raises(ValueError, match="confidence"):
        powered(equal(np.ones(20), np.ones(20)), NONE, NONE, confidence)


def test_losses_that_never_differ_are_known_exactly() -> None:
    told = powered(equal(np.full(20, 0.25), np.linspace(0, 1, 20)), np.linspace(0, 1, 99), np.ones(99))

    assert (told.value, told.low, told.high) == pytest.approx((0.25, 0.25, 0.25))
    assert told.deviation == pytest.approx(0.0, abs=1e-12)


@pytest.mark.parametrize("share", [0.025, 0.5, 0.9, 0.95, 0.975, 0.995])
@pytest.mark.parametrize("freedom", [8, 12.5, 40, 1e6])
def test_the_quantile_is_student_s(share: float, freedom: float) -> None:
    assert student(share, freedom) == pytest.approx(stats.t.ppf(share, freedom), abs=1e-3)
