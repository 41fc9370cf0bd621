"""How unequally labels and predictions treat a group: the bias metrics of SageMaker Clarify, under its names.

The group is the disfavoured one, d; all other rows are the favoured one, a. A metric is undefined, NaN, where a group
has no rows or a denominator is zero. Clarify's open library says 0 for 0 / 0 and infinity for x / 0 there (of TE, too,
where nobody was a false positive), and passes over the labels that only one of the groups has; the definitions that it
documents do neither.

https://docs.aws.amazon.com/sagemaker/latest/dg/clarify-measure-data-bias.html
https://docs.aws.amazon.com/sagemaker/latest/dg/clarify-measure-post-training-bias.html
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from sidecar.stats.moments import Counts, Flags, Floats

MEANING: Mapping[str, str] = MappingProxyType(
    {
        "CI": "Class Imbalance (CI)",
        "DPL": "Difference in Positive Proportions in Labels (DPL)",
        "KL": "Kullback-Liebler Divergence (KL)",
        "JS": "Jensen-Shannon Divergence (JS)",
        "LP": "L-p Norm (LP)",
        "TVD": "Total Variation Distance (TVD)",
        "KS": "Kolmogorov-Smirnov Distance (KS)",
        "CDDL": "Conditional Demographic Disparity in Labels (CDDL)",
        "DPPL": "Difference in Positive Proportions in Predicted Labels (DPPL)",
        "DI": "Disparate Impact (DI)",
        "DCAcc": "Difference in Conditional Acceptance (DCAcc)",
        "DCR": "Difference in Conditional Rejection (DCR)",
        "RD": "Recall Difference (RD)",
        "SD": "Specificity Difference (SD)",
        "AD": "Accuracy Difference (AD)",
        "DAR": "Difference in Acceptance Rates (DAR)",
        "DRR": "Difference in Rejection Rates (DRR)",
        "TE": "Treatment Equality (TE)",
        "CDDPL": "Conditional Demographic Disparity in Predicted Labels (CDDPL)",
        "GE": "Generalized Entropy (GE)",
        "FT": "Flip Test (FT)",
    }
)
"""What Clarify's analysis.json calls each metric, its spelling of Leibler's name included."""

UNBIASED: Mapping[str, float] = MappingProxyType({name: 1.0 if name == "DI" else 0.0 for name in MEANING})
"""What each metric is without bias: DI is the only ratio."""

DISTANCES = ("KL", "JS", "LP", "TVD", "KS")
"""Those between the distributions of the labels of the two groups."""


@dataclass(frozen=True, slots=True)
class Facet:
    """n rows, divided into one group and all others; every array has shape (n,).

    Args:
        disfavoured: The row belongs to the group.
        actual: Its label is the positive outcome, such as a loan that was granted.
        predicted: Likewise of what the model said.
        weights: Rows of the traffic that each row stands for, 0 and up.
        strata: Within which groups are compared by CDDL and CDDPL, as whole numbers; None where there are none.
        labels: The class of each label, as a whole number, where there are more than two; None for `actual`.
    """

    disfavoured: Flags
    actual: Flags
    predicted: Flags
    weights: Floats
    strata: Counts | None = None
    labels: Counts | None = None

    def at(self, places: NDArray[np.intp]) -> "Facet":
        """The rows at these places."""
        return Facet(
            self.disfavoured[places],
            self.actual[places],
            self.predicted[places],
            self.weights[places],
            None if self.strata is None else self.strata[places],
            None if self.labels is None else self.labels[places],
        )


class _Group(NamedTuple):
    """The rows of one group, weighted, by label and prediction: `false_positives` are wrongly accepted."""

    true_negatives: float
    false_positives: float
    false_negatives: float
    true_positives: float

    @property
    def rows(self) -> float:
        return self.negatives + self.positives

    @property
    def positives(self) -> float:
        return self.true_positives + self.false_negatives

    @property
    def negatives(self) -> float:
        return self.true_negatives + self.false_positives

    @property
    def accepted(self) -> float:
        return self.true_positives + self.false_positives

    @property
    def rejected(self) -> float:
        return self.true_negatives + self.false_negatives


def pre_training(facet: Facet) -> dict[str, float]:
    """The metrics of labels alone.

    With n rows, n(1) positive labels and P(y) the share of label y, of the favoured and the disfavoured:

        CI = (na - nd) / (na + nd)          DPL = na(1)/na - nd(1)/nd
        KL = sum Pa ln(Pa / Pd)             JS = (KL(Pa, P) + KL(Pd, P)) / 2, P = (Pa + Pd) / 2
        LP = sqrt(sum (Pa - Pd)^2)          TVD = sum |Pa - Pd| / 2          KS = max |Pa - Pd|

    and CDDL is the mean over strata, by their rows, of nd(0)/n(0) - nd(1)/n(1) within each. KL is in nats; it is
    undefined where the favoured have a label that the disfavoured have not, since it is infinite. A stratum with one
    outcome only says nothing about who gets which, and is left out of the mean.

    Example:
        >>> yes = np.repeat([True, False, True, False], [80, 20, 30, 70])
        >>> told = pre_training(Facet(np.arange(200) >= 100, yes, yes, np.ones(200)))
        >>> f"DPL {told['DPL']:.2f}, KL {told['KL']:.2f}"
        'DPL 0.50, KL 0.53'
    """
    favoured, disfavoured = _groups(facet)
    both = favoured.rows > 0 and disfavoured.rows > 0
    return {
        "CI": (favoured.rows - disfavoured.rows) / (favoured.rows + disfavoured.rows) if both else math.nan,
        "DPL": _ratio(favoured.positives, favoured.rows) - _ratio(disfavoured.positives, disfavoured.rows),
        **(_distances(facet) if both else dict.fromkeys(DISTANCES, math.nan)),
        "CDDL": _conditional_disparity(facet, facet.actual) if both else math.nan,
    }


def post_training(facet: Facet) -> dict[str, float]:
    """The metrics of predictions, most of them beside labels.

    With n' of predictions where n is of labels, and TP, FP, TN, FN of the favoured and the disfavoured:

        DPPL = n'a(1)/na - n'd(1)/nd                        DI = (n'd(1)/nd) / (n'a(1)/na)
        DCAcc = na(1)/n'a(1) - nd(1)/n'd(1)                 DCR = nd(0)/n'd(0) - na(0)/n'a(0)
        RD = TPa/na(1) - TPd/nd(1)                          SD = TNd/nd(0) - TNa/na(0)
        AD = (TPa + TNa)/na - (TPd + TNd)/nd                DAR = TPa/n'a(1) - TPd/n'd(1)
        DRR = TNd/n'd(0) - TNa/n'a(0)                       TE = FNd/FPd - FNa/FPa

    CDDPL is CDDL of predictions. GE = sum ((b/m)^2 - 1) / (2n) over all rows, whatever their group, with the benefit
    b = prediction - label + 1 and its mean m; it is undefined where all are false negatives. FT needs features, and
    is in `flipping`.
    """
    favoured, disfavoured = _groups(facet)
    acceptance, disfavoured_acceptance = (_ratio(group.accepted, group.rows) for group in (favoured, disfavoured))
    both = favoured.rows > 0 and disfavoured.rows > 0
    return {
        "DPPL": acceptance - disfavoured_acceptance,
        "DI": _ratio(disfavoured_acceptance, acceptance),
        "DCAcc": _ratio(favoured.positives, favoured.accepted) - _ratio(disfavoured.positives, disfavoured.accepted),
        "DCR": _ratio(disfavoured.negatives, disfavoured.rejected) - _ratio(favoured.negatives, favoured.rejected),
        "RD": _ratio(favoured.true_positives, favoured.positives)
        - _ratio(disfavoured.true_positives, disfavoured.positives),
        "SD": _ratio(disfavoured.true_negatives, disfavoured.negatives)
        - _ratio(favoured.true_negatives, favoured.negatives),
        "AD": _ratio(favoured.true_positives + favoured.true_negatives, favoured.rows)
        - _ratio(disfavoured.true_positives + disfavoured.true_negatives, disfavoured.rows),
        "DAR": _ratio(favoured.true_positives, favoured.accepted)
        - _ratio(disfavoured.true_positives, disfavoured.accepted),
        "DRR": _ratio(disfavoured.true_negatives, disfavoured.rejected)
        - _ratio(favoured.true_negatives, favoured.rejected),
        "TE": _ratio(disfavoured.false_negatives, disfavoured.false_positives)
        - _ratio(favoured.false_negatives, favoured.false_positives),
        "CDDPL": _conditional_disparity(facet, facet.predicted) if both else math.nan,
        "GE": _generalized_entropy(favoured, disfavoured),
    }


def _groups(facet: Facet) -> tuple[_Group, _Group]:
    """The favoured and the disfavoured."""
    cell = 4 * facet.disfavoured.astype(np.int64) + 2 * facet.actual + facet.predicted
    counts = np.bincount(cell, weights=facet.weights, minlength=8).tolist()
    return _Group(*counts[:4]), _Group(*counts[4:])


def _ratio(part: float, whole: float) -> float:
    ratio = part / whole if whole else math.nan
    return ratio if math.isfinite(ratio) else math.nan


def _distances(facet: Facet) -> dict[str, float]:
    """Those between the labels of two groups that both have rows."""
    labels, codes = np.unique(facet.actual if facet.labels is None else facet.labels, return_inverse=True)
    cell = codes + len(labels) * facet.disfavoured
    counts = np.bincount(cell, weights=facet.weights, minlength=2 * len(labels)).reshape(2, -1)
    favoured, disfavoured = counts / counts.sum(axis=1, keepdims=True)
    mean = (favoured + disfavoured) / 2
    apart = np.abs(favoured - disfavoured)
    return {
        "KL": _divergence(favoured, disfavoured),
        "JS": (_divergence(favoured, mean) + _divergence(disfavoured, mean)) / 2,
        "LP": float(np.linalg.norm(apart)),
        "TVD": float(apart.sum() / 2),
        "KS": float(apart.max()),
    }


def _divergence(p: Floats, q: Floats) -> float:
    """Kullback and Leibler's of p from q, in nats; NaN where it is infinite."""
    has = p > 0
    if not q[has].all():
        return math.nan
    # Of equal distributions it may come out a rounding error below zero.
    return max(float((p[has] * np.log(p[has] / q[has])).sum()), 0.0)


def _conditional_disparity(facet: Facet, outcomes: Flags) -> float:
    """The mean over strata of the share of the disfavoured among the rejected less that among the accepted."""
    if facet.strata is None:
        return math.nan
    strata, codes = np.unique(facet.strata, return_inverse=True)
    cell = 4 * codes + 2 * outcomes + facet.disfavoured
    counts = np.bincount(cell, weights=facet.weights, minlength=4 * len(strata)).reshape(-1, 2, 2)
    counts = counts[(counts.sum(axis=2) > 0).all(axis=1)]
    if not len(counts):
        return math.nan
    shares = counts[:, :, 1] / counts.sum(axis=2)
    return float(np.average(shares[:, 0] - shares[:, 1], weights=counts.sum(axis=(1, 2))))


def _generalized_entropy(favoured: _Group, disfavoured: _Group) -> float:
    """Half the squared coefficient of variation of the benefits: the index for alpha = 2, as a sum of squares."""
    missed, right, given = (
        favoured.false_negatives + disfavoured.false_negatives,
        favoured.true_negatives + favoured.true_positives + disfavoured.true_negatives + disfavoured.true_positives,
        favoured.false_positives + disfavoured.false_positives,
    )
    rows = missed + right + given
    mean = _ratio(right + 2 * given, rows)
    squares = missed * mean**2 + right * (1 - mean) ** 2 + given * (2 - mean) ** 2
    return _ratio(squares, 2 * rows * mean**2)
