"""How far a regression is from the truth: MAE, MSE, RMSE and R^2, from parts that merge."""

import math
from dataclasses import dataclass

import numpy as np

from sidecar.quality.answers import Amounts
from sidecar.stats.moments import Floats


@dataclass(frozen=True, slots=True)
class Errors:
    """What is known of some rows of a regression, without the rows; 0 throughout where there are none.

    No squares are kept, which overflow for values from 1e154 on.

    Args:
        weight: Of the rows.
        absolute: Mean distance of the predictions from the labels.
        root_mean_square: Of these distances.
        mean: Of the labels.
        deviation: Standard deviation of the labels (ddof = 0); exactly 0 where all are equal.
    """

    weight: float
    absolute: float
    root_mean_square: float
    mean: float
    deviation: float


NOTHING = Errors(0.0, 0.0, 0.0, 0.0, 0.0)


def errors_of(amounts: Amounts) -> Errors:
    """The errors of rows."""
    kept = amounts.weights > 0
    if not kept.any():
        return NOTHING
    actual, weights = amounts.actual[kept], amounts.weights[kept]
    weight = float(weights.sum())
    shares = weights / weight
    # Halves, here and below: the distance itself overflows between -1e308 and 1e308.
    halves = actual / 2 - amounts.predicted[kept] / 2
    constant = bool((actual == actual[0]).all())
    mean = float(actual[0]) if constant else _mean(actual, shares)
    return Errors(
        weight=weight,
        absolute=2 * _mean(np.abs(halves), shares),
        root_mean_square=2 * _root_mean_square(halves, shares),
        mean=mean,
        deviation=0.0 if constant else 2 * _root_mean_square(actual / 2 - mean / 2, shares),
    )


def merged(one: Errors, other: Errors) -> Errors:
    """The errors of both sets of rows (Chan, Golub and LeVeque, 1979, by roots of squares)."""
    if not one.weight or not other.weight:
        return one if one.weight else other
    weight = one.weight + other.weight
    old, new = one.weight / weight, other.weight / weight
    half = other.mean / 2 - one.mean / 2
    within = math.hypot(one.deviation * math.sqrt(old), other.deviation * math.sqrt(new))
    return Errors(
        weight=weight,
        absolute=one.absolute * old + other.absolute * new,
        root_mean_square=math.hypot(one.root_mean_square * math.sqrt(old), other.root_mean_square * math.sqrt(new)),
        mean=one.mean + half * new + half * new,
        deviation=math.hypot(within, half * (2 * math.sqrt(old * new))),
    )


def scores_of_errors(errors: Errors) -> dict[str, float]:
    """MAE, MSE, RMSE and R^2 under Model Monitor's names; NaN without rows.

    R^2 = 1 - MSE / variance of the labels, NaN where these are all equal. A number too great for a double is infinite,
    and R^2 is NaN beside such an RMSE.
    """
    if not errors.weight:
        return dict.fromkeys(("mae", "mse", "rmse", "r2"), math.nan)
    root = errors.root_mean_square
    ratio = root / errors.deviation if errors.deviation and math.isfinite(root) else math.nan
    return {"mae": errors.absolute, "mse": root * root, "rmse": root, "r2": 1.0 - ratio * ratio}


def quality_of_amounts(amounts: Amounts) -> dict[str, float]:
    """All of it for rows.

    Example:
        >>> labels, predictions = np.array([3.0, -0.5, 2.0, 7.0]), np.array([2.5, 0.0, 2.0, 8.0])
        >>> scores = quality_of_amounts(Amounts(labels, predictions, weights=np.ones(4)))
        >>> {name: round(score, 3) for name, score in scores.items()}
        {'mae': 0.5, 'mse': 0.375, 'rmse': 0.612, 'r2': 0.949}
    """
    return scores_of_errors(errors_of(amounts))


def _mean(values: Floats, shares: Floats) -> float:
    """The weighted mean, of values whose sum may overflow."""
    size = float(np.abs(values).max())
    return size * float(shares @ (values / size)) if size else 0.0


def _root_mean_square(values: Floats, shares: Floats) -> float:
    """The root of the weighted mean of squares, of values whose squares may overflow or vanish."""
    size = float(np.abs(values).max())
    if not size:
        return 0.0
    scaled = values / size
    return size * math.sqrt(float(shares @ (scaled * scaled)))
