"""Whether those outside a group who are otherwise alike got another prediction: Clarify's counterfactual flip test.

https://docs.aws.amazon.com/sagemaker/latest/dg/clarify-post-training-bias-metric-ft.html
"""

import math

import numpy as np
from numpy.typing import NDArray

from sidecar.quality.bias import Facet
from sidecar.stats.moments import Counts, Flags, Floats

NEIGHBOURS = 5
"""As Clarify's open library has it; odd, so that equal votes are never split."""

FEW = 9
"""With no more favoured rows than these, as there, only the nearest one is asked."""

MAX_ROWS = 1000
"""Of each group that are compared."""

CHUNK = 256
"""Disfavoured rows at once: their distances to 1,000 others are 2 MB."""

FINENESS = float(1 << 24)
"""Distances are compared in steps of 2^-24 square deviations: coarser than rounding errors, finer than any meaning."""

FARTHEST = float(1 << 37)
"""In the same steps; squared distances beyond 8,192 are equal. With them a distance and a row's place fit 63 bits."""


def flip_test(facet: Facet, features: Floats) -> float:
    """FT = (F+ - F-) / nd.

    F+ are the disfavoured whom the model rejects, though most of their nearest favoured neighbours are accepted; F-
    those whom it accepts, though most of theirs are not. Neighbours are the nearest by Euclidean distance, the earlier
    row first of two that are as near; they vote by their weights. Features are standardised, since otherwise the one
    with the greatest unit decides alone (Clarify's open library leaves that to the caller); a missing value stands at
    its feature's mean.

    A majority is more extreme than the shares that it is made from: where features tell little about predictions, FT is
    off 0 though nobody is treated differently. Compare it with the reference's rather than with 0.

    Args:
        features: Numbers, without the facet and the label, shape (n, k); NaN where there is none.

    Returns:
        In [-1, 1]; NaN where a group is empty or there are no features.
    """
    places = compared(facet)
    favoured, disfavoured = places[~facet.disfavoured[places]], places[facet.disfavoured[places]]
    total = float(facet.weights[disfavoured].sum())
    if not len(favoured) or not total or not features.shape[1]:
        return math.nan
    space = _standardised(features[places])
    near = _nearest(space[~facet.disfavoured[places]], space[facet.disfavoured[places]])
    votes = facet.weights[favoured]
    accepting = np.where(facet.predicted[favoured], votes, 0.0)[near].sum(axis=1)
    counterfactual: Flags = 2 * accepting > votes[near].sum(axis=1)
    flipped = counterfactual.astype(np.float64) - facet.predicted[disfavoured]
    return float(flipped @ facet.weights[disfavoured]) / total


def compared(facet: Facet) -> NDArray[np.intp]:
    """The places of the rows that the test compares, in order: all of them, or `MAX_ROWS` of a group, evenly spread."""
    groups = (np.flatnonzero(~facet.disfavoured), np.flatnonzero(facet.disfavoured))
    return np.sort(np.concatenate([_thinned(group) for group in groups]))


def _thinned(places: NDArray[np.intp]) -> NDArray[np.intp]:
    rows = len(places)
    return places[np.arange(MAX_ROWS) * rows // MAX_ROWS] if rows > MAX_ROWS else places


def _standardised(values: Floats) -> Floats:
    """Deviations from the mean of each column, shape (n, k); 0 for what is missing and for columns that do not vary."""
    present = np.isfinite(values)
    # Numbers of up to 1e308 would overflow in a sum of squares.
    size = np.abs(np.where(present, values, 0.0)).max(axis=0)
    scaled = np.where(present, values, 0.0) / np.where(size > 0, size, 1.0)
    rows = np.maximum(present.sum(axis=0), 1)
    rest = np.where(present, scaled - scaled.sum(axis=0) / rows, 0.0)
    # Exactly 0 where a column does not vary, since what has the greatest size is then 1 or -1.
    std = np.sqrt((rest * rest).sum(axis=0) / rows)
    return rest / np.where(std > 0, std, 1.0)


def _nearest(favoured: Floats, disfavoured: Floats) -> Counts:
    """The places of the nearest favoured rows of each disfavoured one, shape (nd, NEIGHBOURS or 1), in no order."""
    rows = len(favoured)
    neighbours = NEIGHBOURS if rows > FEW else 1
    squares = (favoured * favoured).sum(axis=1)
    places = np.arange(rows)
    found = np.empty((len(disfavoured), neighbours), dtype=np.int64)
    for start in range(0, len(disfavoured), CHUNK):
        chunk = disfavoured[start : start + CHUNK]
        distances = chunk @ (-2 * favoured.T)
        distances += (chunk * chunk).sum(axis=1)[:, None]
        distances += squares
        distances *= FINENESS
        # A whole number that orders by distance first and then by place, so that nothing depends on rounding.
        steps = np.rint(np.clip(distances, 0.0, FARTHEST, out=distances), out=distances).astype(np.int64)
        keys = np.partition(steps * rows + places, neighbours - 1, axis=1)
        found[start : start + CHUNK] = keys[:, :neighbours] % rows
    return found
