import math

import numpy as np
import pytest
from scipy.stats import t as student

from sidecar.quality.bias import UNBIASED, Facet, post_training, pre_training
from sidecar.quality.flipping import compared, flip_test
from sidecar.quality.ranges import UNKNOWN, Measured, breaks, measured, no_farther, violation

NAN, INF = math.nan, math.inf


def drawn(rng: np.random.Generator, rows: int, gap: float = 0.1) -> Facet:
    disfavoured = rng.random(rows) < 0.4
    actual = rng.random(rows) < 0.5
    predicted = rng.random(rows) < 0.4 + 0.3 * actual - gap * disfavoured
    return Facet(disfavoured, actual, predicted, np.ones(rows), rng.integers(3, size=rows))


def around(value: float, deviation: float = 0.01) -> Measured:
    return Measured(value, value - 2 * deviation, value + 2 * deviation, deviation)


def test_every_metric_has_its_value_within_its_interval() -> None:
    rng = np.random.default_rng(1)
    given, features = drawn(rng, 600), rng.normal(size=(600, 2))

    told = measured(given, least_rows=30, features=features)

    expected = {**pre_training(given), **post_training(given), "FT": flip_test(given, features)}
    assert set(told) == set(UNBIASED)
    assert {name: metric.value for name, metric in told.items()} == expected
    for metric in told.values():
        assert metric.low <= metric.value <= metric.high
        assert metric.high - metric.low == pytest.approx(2 * student.ppf(0.975, 19) * metric.deviation, rel=1e-3)


def test_without_features_the_flip_test_is_unknown() -> None:
    assert measured(drawn(np.random.default_rng(2), 400), least_rows=30)["FT"] is UNKNOWN


def test_the_flip_test_s_interval_is_that_of_the_rows_it_compares() -> None:
    rng = np.random.default_rng(8)
    rows, predicted, features = np.arange(1200), rng.random(1200) < 0.5, rng.normal(size=(1200, 1))
    given = Facet(rows % 12 == 0, predicted, predicted, np.ones(1200))
    kept = compared(given)

    told = measured(given, least_rows=30, features=features)["FT"]

    assert len(kept) == 1100
    assert told == measured(given.at(kept), least_rows=30, features=features[kept])["FT"]


@pytest.mark.parametrize(("least_rows", "known"), [(40, True), (41, False)])
def test_a_group_of_too_few_rows_is_unknown_not_a_verdict(least_rows: int, known: bool) -> None:
    rng = np.random.default_rng(3)
    rows = np.arange(400)
    given = Facet(rows < 40, rng.random(400) < 0.5, rng.random(400) < 0.5, np.full(400, 9.0))

    for each in (given, Facet(~given.disfavoured, given.actual, given.predicted, given.weights)):
        told = measured(each, least_rows=least_rows)

        assert math.isfinite(told["DPPL"].value) == known
        assert math.isfinite(told["GE"].deviation) == known


def test_no_rows_are_unknown_whatever_the_least() -> None:
    nobody = np.zeros(0, dtype=bool)

    assert measured(Facet(nobody, nobody, nobody, np.zeros(0)), least_rows=0) == dict.fromkeys(UNBIASED, UNKNOWN)
    assert not breaks(UNKNOWN, (-0.1, 0.1))


def test_an_undefined_replicate_leaves_the_interval_unknown_but_not_the_value() -> None:
    rng = np.random.default_rng(4)
    given = drawn(rng, 400)
    # A single false positive among the disfavoured: leave it out, and TE is undefined.
    predicted = np.where(given.disfavoured, given.actual, given.predicted)
    predicted[np.flatnonzero(given.disfavoured & ~given.actual)[0]] = True

    told = measured(Facet(given.disfavoured, given.actual, predicted, given.weights), least_rows=30)["TE"]

    assert math.isfinite(told.value)
    assert math.isnan(told.low)
    assert not breaks(told, (10, 20))


@pytest.mark.parametrize("name", ["DPL", "KL", "CDDL", "DPPL", "DI", "RD", "AD", "TE", "CDDPL", "GE", "FT"])
def test_deviations_are_those_of_fresh_samples(name: str) -> None:
    rng = np.random.default_rng(5)

    told = []
    for _ in range(40):
        given = drawn(rng, 500)
        told.append(measured(given, least_rows=30, features=rng.normal(size=(500, 1)) if name == "FT" else None)[name])

    spread = np.std([metric.value for metric in told])
    assert np.mean([metric.deviation for metric in told]) == pytest.approx(spread, rel=0.35)


@pytest.mark.parametrize("confidence", [0.5, 0.9, 0.99, 0.999, 0.9999])
def test_the_reach_of_an_interval_is_student_s(confidence: float) -> None:
    metric = measured(drawn(np.random.default_rng(6), 300), least_rows=1, confidence=confidence)["DPPL"]

    expected = student.ppf((1 + confidence) / 2, 19) * metric.deviation
    assert metric.high - metric.value == pytest.approx(expected, rel=0.005)


@pytest.mark.parametrize(
    ("metric", "allowed", "broken"),
    [
        (around(0.05), (-0.1, 0.1), False),
        (around(0.13), (-0.1, 0.1), True),
        (around(-0.13), (-0.1, 0.1), True),
        (around(0.11), (-0.1, 0.1), False),
        (around(0.12), (-0.1, 0.1), False),
        (around(0.2), (-INF, 0.1), True),
        (around(0.2), (-0.1, INF), False),
        (around(5.0, 10.0), (-0.1, 0.1), False),
        (Measured(0.25, 0.125, 0.375, 0.0625), (-0.1, 0.125), False),
        (Measured(0.25, 0.125, 0.375, 0.0625), (0.375, 1.0), False),
        (Measured(0.2, 0.2, 0.2, 0.0), (-0.1, 0.1), True),
        (Measured(0.2, NAN, NAN, NAN), (-0.1, 0.1), False),
        (UNKNOWN, (-0.1, 0.1), False),
        (around(0.2), (NAN, NAN), False),
    ],
)
def test_a_range_is_broken_only_by_the_whole_interval(
    metric: Measured, allowed: tuple[float, float], broken: bool
) -> None:
    assert breaks(metric, allowed) is broken


@pytest.mark.parametrize(
    ("name", "reference", "allowed"),
    [
        ("DPPL", 0.1, (-0.1, 0.1)),
        ("DPPL", -0.1, (-0.1, 0.1)),
        ("KL", 0.0, (0.0, 0.0)),
        ("TE", INF, (-INF, INF)),
        ("DI", 0.8, (0.8, 1.25)),
        ("DI", 1.25, (0.8, 1.25)),
        ("DI", 1.0, (1.0, 1.0)),
        ("DI", 0.0, (0.0, INF)),
        ("DI", INF, (0.0, INF)),
    ],
)
def test_no_farther_than_the_reference_is_allowed_on_either_side(
    name: str, reference: float, allowed: tuple[float, float]
) -> None:
    assert no_farther(name, reference) == pytest.approx(allowed)


@pytest.mark.parametrize("name", ["DPPL", "DI"])
def test_an_unknown_reference_forbids_nothing(name: str) -> None:
    assert not breaks(around(0.9), no_farther(name, NAN))


def test_a_violation_says_what_was_seen_and_what_was_expected() -> None:
    told = violation("gender", "f", "DPPL", around(0.25), (-0.1, 0.1))

    assert (told.facet, told.facet_value, told.metric, told.value) == ("gender", "f", "DPPL", 0.25)
    assert told.limit == "-0.1 to 0.1"
    expected = "Value 0.25 does not meet the constraint requirement: between 0.23 and 0.27, expected -0.1 to 0.1"
    assert told.description == expected


def test_quiet_traffic_rarely_breaks_its_range_and_bias_is_seen() -> None:
    rng = np.random.default_rng(7)

    fair = [measured(drawn(rng, 800, gap=0.0), least_rows=30)["DPPL"] for _ in range(60)]
    unfair = [measured(drawn(rng, 800, gap=0.3), least_rows=30)["DPPL"] for _ in range(20)]

    assert sum(breaks(metric, (0.0, 0.0)) for metric in fair) <= 9
    assert sum(breaks(metric, (-0.05, 0.05)) for metric in fair) == 0
    assert all(breaks(metric, (-0.1, 0.1)) for metric in unfair)
