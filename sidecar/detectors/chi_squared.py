"""Pearson's chi-squared test of two windows of categories."""

from dataclasses import dataclass
from typing import Annotated

import numpy as np
from msgspec import Meta

from sidecar.detectors.tails import chi_squared_tail
from sidecar.detectors.verdict import unlikely
from sidecar.records import Comparison
from sidecar.stats.moments import Counts, Floats
from sidecar.stats.tally import Tally

FEW = 5.0
"""Expected rows below which a bin is small (Cochran, "Some methods for strengthening the common chi-squared tests",
Biometrics 10, 1954)."""

SMALL_SHARE = 0.2
"""Of bins that may be small."""

FEW_OF_TWO = 10.0
"""Expected rows that each of two bins needs (Yates, 1934)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ChiSquared:
    """Whether the categories of two windows have the same shares; says nothing of numbers.

    Assumes independent rows, and the window's shares are compared with those of both windows together, so that the
    reference is as uncertain as its rows are few. As in Deequ, small bins are put together until at most a fifth of
    them expects less than 5 rows; with two bins left each must expect 10, or there is no verdict. One look only.

    Args:
        alpha: The false discovery rate over the features of one look. SageMaker's `categorical_comparison_threshold`
            for `ChiSquared`, which it holds against the p-value of each feature alone.
    """

    alpha: Annotated[float, Meta(gt=0, lt=1)] = 0.001

    def check(self, reference: Tally, current: Tally) -> Comparison:
        """The statistic of each feature of categories, and its p-value."""
        found = [
            (np.nan, np.nan) if ordered else _test(past, now)
            for past, now, ordered in zip(reference.counts, current.counts, reference.ordered, strict=True)
        ]
        statistic, p_value = np.array(found).reshape(-1, 2).T
        return unlikely(statistic, p_value, self.alpha)


def _test(past: Counts, now: Counts) -> tuple[float, float]:
    """Statistic and p-value of one feature; NaN where there is no verdict."""
    table = np.stack([past, now]).astype(np.float64)
    table = table[:, table.sum(axis=0) > 0]
    if not table.sum(axis=1).all():
        return np.nan, np.nan
    table = _regrouped(table)
    if table.shape[1] < 2:
        return np.nan, np.nan
    expected = np.outer(table.sum(axis=1), table.sum(axis=0)) / table.sum()
    if table.shape[1] == 2 and expected.min() < FEW_OF_TWO:
        return np.nan, np.nan
    statistic = float(((table - expected) ** 2 / expected).sum())
    return statistic, chi_squared_tail(statistic, table.shape[1] - 1)


def _regrouped(table: Floats) -> Floats:
    """The two smallest bins put together, until few enough are small."""
    while table.shape[1] > 2:
        expected = np.outer(table.sum(axis=1), table.sum(axis=0)) / table.sum()
        if (expected.min(axis=0) < FEW).mean() <= SMALL_SHARE:
            break
        order = np.argsort(table.sum(axis=0), kind="stable")
        table = np.column_stack([table[:, order[:2]].sum(axis=1), table[:, order[2:]]])
    return table
