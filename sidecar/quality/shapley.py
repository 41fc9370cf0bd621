"""What each feature adds to a model's answer to one row, from answers alone: sampled Shapley values.

One begins with a row of the background and puts the explained row's values in its place, one feature after another in
a random order; what the answer changes by is what that feature adds, behind those before it. The mean over background
rows, each with an order of its own, estimates the Shapley values of the model with the background's distribution for
features that are not known (interventional), without bias; they add up to the answer minus the background's mean one.

References:
    Štrumbelj and Kononenko, "Explaining prediction models and individual predictions with feature contributions",
    2014, algorithm 1; Lundberg and Lee, "A Unified Approach to Interpreting Model Predictions", 2017.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.random import Generator

from sidecar.stats.moments import Counts, Floats


class Plan(NamedTuple):
    """What to ask a model.

    Args:
        rows: m (d + 1) rows of k cells: for each of m background rows the steps from it to the explained one.
        orders: Which of the d features changes at each step, shape (m, d).
    """

    rows: list[list[object]]
    orders: Counts


def plan(row: Sequence[object], columns: Sequence[int], background: Sequence[Sequence[object]], rng: Generator) -> Plan:
    """The rows that explain one row.

    Args:
        row: Its k cells.
        columns: The d positions among them that are explained; what stands elsewhere stays.
        background: m rows of d cells.
        rng: Chooses the orders.
    """
    orders = np.array([rng.permutation(len(columns)) for _ in background], dtype=np.int64)
    rows: list[list[object]] = []
    for other, order in zip(background, orders.tolist(), strict=True):
        current = list(row)
        for column, cell in zip(columns, other, strict=True):
            current[column] = cell
        rows.append(current)
        for place in order:
            current = list(current)
            current[columns[place]] = row[columns[place]]
            rows.append(current)
    return Plan(rows, orders)


def attributions(orders: Counts, answers: Floats) -> Floats:
    """The Shapley values, shape (d,).

    Args:
        orders: Of the plan.
        answers: To its rows, shape (m (d + 1),).

    Example:
        >>> asked = plan([3.0, 5.0], [0, 1], [[1.0, 1.0], [2.0, 0.0]], np.random.default_rng(0))
        >>> attributions(asked.orders, np.array([10 * first + last for first, last in asked.rows]))
        array([15. ,  4.5])
    """
    m, d = orders.shape
    added = np.empty((m, d))
    # The difference of the largest doubles is infinite: whoever asks leaves what is not finite.
    with np.errstate(over="ignore", invalid="ignore"):
        np.put_along_axis(added, orders, np.diff(answers.reshape(m, d + 1), axis=1), axis=1)
        values: Floats = added.mean(axis=0)
    return values
