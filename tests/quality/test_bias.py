from collections.abc import Mapping
from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
from fairlearn.metrics import (
    MetricFrame,
    demographic_parity_difference,
    demographic_parity_ratio,
    selection_rate,
    true_negative_rate,
    true_positive_rate,
)
from scipy.spatial.distance import jensenshannon
from scipy.stats import entropy
from sklearn.metrics import accuracy_score, precision_score

from sidecar.quality.bias import MEANING, UNBIASED, Facet, post_training, pre_training
from sidecar.stats.moments import Counts, Floats

NAN = float("nan")

# Of each group: label and prediction are (0, 0), (0, 1), (1, 0), (1, 1).
Table = tuple[tuple[int, int, int, int], tuple[int, int, int, int]]


def facet(table: Table, weights: Floats | None = None) -> Facet:
    """Favoured rows, then disfavoured ones."""
    rows = np.repeat(np.arange(8), np.array(table).ravel())
    return Facet(rows >= 4, rows % 4 >= 2, rows % 2 == 1, np.ones(len(rows)) if weights is None else weights)


def all_of(facet: Facet) -> dict[str, float]:
    return {**pre_training(facet), **post_training(facet)}


def drawn(seed: int, rows: int = 300, classes: int = 3) -> Facet:
    rng = np.random.default_rng(seed)
    labels = rng.integers(classes, size=rows)
    disfavoured = rng.random(rows) < rng.uniform(0.2, 0.8)
    predicted = rng.random(rows) < 0.2 + 0.2 * labels - 0.1 * disfavoured
    weights = rng.integers(1, 5, size=rows).astype(np.float64)
    return Facet(disfavoured, labels == classes - 1, predicted, weights, rng.integers(3, size=rows), labels)


def nan_names(told: Mapping[str, float]) -> set[str]:
    return {name for name, value in told.items() if np.isnan(value)}


# Worked by hand. Favoured: 100 rows, TN 30, FP 10, FN 20, TP 40. Disfavoured: 50 rows, TN 24, FP 6, FN 12, TP 8.
BY_HAND: dict[str, Fraction] = {
    "CI": Fraction(100 - 50, 150),
    "DPL": Fraction(60, 100) - Fraction(20, 50),
    "TVD": Fraction(1, 2) * (abs(Fraction(40, 100) - Fraction(30, 50)) + abs(Fraction(60, 100) - Fraction(20, 50))),
    "KS": Fraction(1, 5),
    "DPPL": Fraction(50, 100) - Fraction(14, 50),
    "DI": Fraction(14, 50) / Fraction(50, 100),
    "DCAcc": Fraction(60, 50) - Fraction(20, 14),
    "DCR": Fraction(30, 36) - Fraction(40, 50),
    "RD": Fraction(40, 60) - Fraction(8, 20),
    "SD": Fraction(24, 30) - Fraction(30, 40),
    "AD": Fraction(70, 100) - Fraction(32, 50),
    "DAR": Fraction(40, 50) - Fraction(8, 14),
    "DRR": Fraction(24, 36) - Fraction(30, 50),
    "TE": Fraction(12, 6) - Fraction(20, 10),
    # Benefits: 0 for 32 rows, 1 for 102, 2 for 16; their mean is 134 / 150.
    "GE": (Fraction(102 + 4 * 16, 150) / Fraction(134, 150) ** 2 - 1) / 2,
}


def test_a_table_worked_by_hand_gives_these_fractions() -> None:
    told = all_of(facet(((30, 10, 20, 40), (24, 6, 12, 8))))

    assert {name: float(value) for name, value in BY_HAND.items()} == pytest.approx(
        {name: told[name] for name in BY_HAND}, abs=1e-12
    )
    assert told["LP"] == pytest.approx(2**0.5 / 5, abs=1e-12)


# The examples of Clarify's documentation, with rows that have its counts; TE as its library has it.
@pytest.mark.parametrize(
    ("table", "name", "expected"),
    [
        (((20, 0, 0, 80), (70, 0, 0, 30)), "KL", 0.8 * np.log(0.8 / 0.3) + 0.2 * np.log(0.2 / 0.7)),
        (((30, 0, 10, 60), (20, 10, 0, 20)), "DCAcc", 70 / 60 - 20 / 30),
        (((40, 10, 0, 50), (10, 0, 10, 30)), "DCAcc", 50 / 60 - 40 / 30),
        (((50, 0, 10, 40), (30, 10, 0, 10)), "DCR", 40 / 30 - 50 / 60),
        (((60, 10, 0, 30), (20, 0, 10, 20)), "DCR", 20 / 30 - 70 / 60),
        (((43, 6, 8, 43), (21, 2, 5, 22)), "AD", 0.0),
        (((43, 6, 8, 43), (21, 2, 5, 22)), "TE", 5 / 2 - 8 / 6),
    ],
)
def test_the_documented_examples_come_out(table: Table, name: str, expected: float) -> None:
    assert all_of(facet(table))[name] == pytest.approx(expected, abs=1e-12)


def test_of_three_labels_the_most_unequal_one_counts_for_ks() -> None:
    # Rejected, wait-listed, accepted: 40 %, 40 %, 20 % of the favoured, 20 %, 10 %, 70 % of the others.
    labels = np.repeat([0, 1, 2, 0, 1, 2], [40, 40, 20, 20, 10, 70])
    given = Facet(np.arange(200) >= 100, labels == 2, labels == 2, np.ones(200), labels=labels)

    told = pre_training(given)

    assert told["KS"] == pytest.approx(0.5)
    assert told["TVD"] == pytest.approx(0.5)
    assert told["LP"] == pytest.approx((0.2**2 + 0.3**2 + 0.5**2) ** 0.5)
    assert told["DPL"] == pytest.approx(-0.5)


def test_a_disparity_that_strata_explain_vanishes_within_them() -> None:
    # Simpson's paradox: in both departments men and women are admitted alike, 80 % and 20 %.
    women = np.repeat([False, False, True, True, False, False, True, True], [64, 16, 16, 4, 4, 16, 16, 64])
    admitted = np.repeat([True, False, True, False, True, False, True, False], [64, 16, 16, 4, 4, 16, 16, 64])
    departments = np.repeat([7, 3], 100)
    given = Facet(women, admitted, ~admitted, np.ones(200), departments)

    assert pre_training(given)["CDDL"] == pytest.approx(0.0, abs=1e-12)
    assert pre_training(replace(given, strata=np.zeros(200, dtype=np.int64)))["CDDL"] == pytest.approx(0.68 - 0.32)
    assert post_training(replace(given, strata=np.zeros(200, dtype=np.int64)))["CDDPL"] == pytest.approx(0.32 - 0.68)


def test_strata_weigh_by_their_rows_and_those_of_one_outcome_say_nothing() -> None:
    # First: 2 of 3 rejected are disfavoured, 1 of 3 accepted; second: 1 of 1, and 0 of 1; third: all accepted.
    disfavoured = np.array([1, 1, 0, 1, 0, 0, 1, 0, 1, 1, 0], dtype=bool)
    accepted = np.array([0, 0, 0, 1, 1, 1, 0, 1, 1, 1, 1], dtype=bool)
    strata = np.array([0, 0, 0, 0, 0, 0, 5, 5, 9, 9, 9])

    told = pre_training(Facet(disfavoured, accepted, accepted, np.ones(11), strata))

    assert told["CDDL"] == pytest.approx(float((6 * (Fraction(2, 3) - Fraction(1, 3)) + 2 * 1) / 8), abs=1e-12)


@pytest.mark.parametrize("seed", range(4))
def test_metrics_are_fairlearn_s_and_scikit_learn_s(seed: int) -> None:
    given = drawn(seed)
    table = (given.actual.astype(int), given.predicted.astype(int))
    options = {"sensitive_features": given.disfavoured, "sample_params": {"sample_weight": given.weights}}

    def apart(metric: object, actual: Counts, predicted: Counts) -> float:
        by_group = MetricFrame(metrics=metric, y_true=actual, y_pred=predicted, **options).by_group
        return float(by_group[False] - by_group[True])

    told = all_of(given)

    flipped = (1 - table[0], 1 - table[1])
    assert {
        "DPL": apart(selection_rate, table[0], table[0]),
        "DPPL": apart(selection_rate, *table),
        "RD": apart(true_positive_rate, *table),
        "SD": -apart(true_negative_rate, *table),
        "AD": apart(accuracy_score, *table),
        "DAR": apart(precision_score, *table),
        "DRR": -apart(precision_score, *flipped),
    } == pytest.approx({name: told[name] for name in ("DPL", "DPPL", "RD", "SD", "AD", "DAR", "DRR")}, abs=1e-9)
    parity = {"sensitive_features": given.disfavoured, "sample_weight": given.weights}
    assert demographic_parity_difference(*table, **parity) == pytest.approx(abs(told["DPPL"]), abs=1e-9)
    assert demographic_parity_ratio(*table, **parity) == pytest.approx(min(told["DI"], 1 / told["DI"]), abs=1e-9)


@pytest.mark.parametrize("seed", range(8))
def test_distances_between_labels_are_scipy_s(seed: int) -> None:
    given = drawn(seed, classes=5)
    assert given.labels is not None
    counts = [
        np.bincount(given.labels[group], weights=given.weights[group], minlength=5)
        for group in (~given.disfavoured, given.disfavoured)
    ]

    told = pre_training(given)

    assert told["KL"] == pytest.approx(entropy(*counts), abs=1e-9)
    assert told["JS"] == pytest.approx(jensenshannon(*counts) ** 2, abs=1e-9)


@pytest.mark.parametrize("seed", range(4))
def test_a_weight_is_as_good_as_copies(seed: int) -> None:
    given = drawn(seed)
    copies = given.at(np.repeat(np.arange(300), given.weights.astype(int)))

    assert all_of(given) == pytest.approx(all_of(replace(copies, weights=np.ones(copies.weights.size))), abs=1e-9)


def test_swapping_the_groups_turns_the_signs() -> None:
    given = drawn(3)
    told, turned = all_of(given), all_of(replace(given, disfavoured=~given.disfavoured))

    names = ["CI", "DPL", "CDDL", "DPPL", "DCAcc", "DCR", "RD", "SD", "AD", "DAR", "DRR", "TE", "CDDPL"]
    assert [turned[name] for name in names] == pytest.approx([-told[name] for name in names], abs=1e-12)
    assert [turned[name] for name in ("JS", "LP", "TVD", "KS", "GE")] == pytest.approx(
        [told[name] for name in ("JS", "LP", "TVD", "KS", "GE")], abs=1e-12
    )
    assert turned["DI"] == pytest.approx(1 / told["DI"])


def test_two_groups_that_are_alike_are_without_bias() -> None:
    one = (7, 3, 2, 5)
    told = all_of(replace(facet((one, one)), strata=np.zeros(34, dtype=np.int64)))
    without = {name: value for name, value in UNBIASED.items() if name not in {"FT", "GE"}}

    assert {name: told[name] for name in without} == without
    assert post_training(facet(((5, 0, 0, 5), (2, 0, 0, 1))))["GE"] == UNBIASED["GE"]


# Of the two groups (TN, FP, FN, TP); what is undefined beside CDDL and CDDPL, which need strata.
@pytest.mark.parametrize(
    ("table", "undefined"),
    [
        (((3, 2, 1, 4), (2, 1, 1, 3)), set()),
        (((3, 2, 1, 4), (2, 0, 1, 3)), {"TE"}),
        (((3, 0, 0, 4), (2, 0, 0, 3)), {"TE"}),
        (((3, 0, 1, 0), (2, 1, 1, 3)), {"DI", "DCAcc", "DAR", "TE"}),
        (((3, 2, 1, 4), (2, 0, 1, 0)), {"DCAcc", "DAR", "TE"}),
        (((0, 2, 0, 4), (2, 1, 1, 3)), {"DCR", "DRR"}),
        (((0, 0, 1, 4), (2, 1, 1, 3)), {"SD", "TE"}),
        (((3, 2, 1, 4), (0, 0, 1, 3)), {"SD", "TE", "KL"}),
        (((3, 2, 0, 0), (2, 1, 1, 3)), {"RD"}),
        (((3, 2, 1, 4), (2, 1, 0, 0)), {"RD", "KL"}),
        (((0, 0, 3, 0), (0, 0, 2, 0)), {"DI", "DCAcc", "SD", "DAR", "TE", "GE"}),
        (((3, 2, 1, 4), (0, 0, 0, 0)), set(MEANING) - {"GE", "FT"}),
        (((0, 0, 0, 0), (3, 2, 1, 4)), set(MEANING) - {"GE", "FT"}),
        (((0, 0, 0, 0), (0, 0, 0, 0)), set(MEANING) - {"FT"}),
    ],
)
def test_a_zero_denominator_leaves_a_metric_undefined(table: Table, undefined: set[str]) -> None:
    told = all_of(facet(table))

    assert nan_names(told) == undefined | {"CDDL", "CDDPL"}
    assert not np.isinf(list(told.values())).any()


def test_rows_of_no_weight_are_no_rows() -> None:
    given = replace(drawn(5), weights=np.where(drawn(5).disfavoured, 0.0, 1.0))

    assert nan_names(all_of(given)) == set(MEANING) - {"GE", "FT"}


def test_a_ratio_too_large_to_tell_is_undefined() -> None:
    rows = facet(((0, 1, 1, 1), (0, 1, 1, 1)), np.array([1e-300, 1e300, 1.0, 1.0, 1e300, 1.0]))

    assert np.isnan(post_training(rows)["TE"])


def test_strata_of_one_outcome_only_leave_the_disparity_undefined() -> None:
    given = replace(facet(((3, 0, 0, 4), (2, 0, 0, 3))), strata=np.repeat([0, 1, 0, 1], [3, 4, 2, 3]))

    assert nan_names(all_of(given)) >= {"CDDL", "CDDPL"}


def test_every_metric_has_its_name_and_its_value_without_bias() -> None:
    told = all_of(drawn(1))

    assert set(MEANING) == set(UNBIASED) == {*told, "FT"}
    assert all(text.endswith(f" ({name})") for name, text in MEANING.items())
    assert {name for name, value in UNBIASED.items() if value} == {"DI"}
    assert not nan_names(told)
