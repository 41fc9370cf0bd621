"""What is known of all features over some rows: the numbers that are shown, exported and compared."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from sidecar.stats.buckets import Exponential
from sidecar.stats.categories import Texts
from sidecar.stats.moments import Counts, Floats
from sidecar.stats.pane import Pane

QUANTILES = (0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99)

BINS = 10
"""Of the histogram of equal widths: as many as SageMaker's statistics.json has."""


@dataclass(frozen=True, slots=True)
class Summary:
    """The statistics of k features. NaN, never 0, where there is nothing to tell.

    Args:
        names: Length k, in the order in which they first appeared.
        rows: Rows seen; a row without a feature's column counts, as missing for that feature.
        missing: Rows with neither number nor text, shape (k,).
        infinite: Rows with an infinity, which is in none of the following, shape (k,).
        count: Rows with a finite number, shape (k,).
        mean: Shape (k,).
        std: Standard deviation of the population (ddof = 0, as SageMaker's), shape (k,).
        minimum: Exact, shape (k,).
        maximum: Exact, shape (k,).
        zero_ratio: Zeros per `count`, shape (k,).
        negative_ratio: Numbers below zero per `count`, shape (k,).
        integral: Finite numbers without a fraction, shape (k,).
        quantiles: At QUANTILES, shape (k, 7); see `Exponential.quantiles` for their error. Whole numbers where
            every number of the feature was one.
        edges: Of BINS bins of equal width from minimum to maximum, shape (k, BINS + 1).
        histogram: About how many numbers lie in each bin, shape (k, BINS); a row adds up to `count`.
        exponential: The buckets that quantiles and histogram were read from.
        texts: By feature; those that have had a text.
    """

    names: tuple[str, ...]
    rows: int
    missing: Counts
    infinite: Counts
    count: Counts
    mean: Floats
    std: Floats
    minimum: Floats
    maximum: Floats
    zero_ratio: Floats
    negative_ratio: Floats
    integral: Counts
    quantiles: Floats
    edges: Floats
    histogram: Counts
    exponential: Exponential
    texts: Mapping[int, Texts]


def summarise(names: tuple[str, ...], pane: Pane) -> Summary:
    """The summary of what a pane of len(names) features has seen; later rows do not change it."""
    moments = pane.moments
    count, known = moments.count.copy(), moments.count > 0
    exponential = pane.histogram.exponential(moments)
    texts = {feature: categories.texts() for feature, categories in pane.categories.items()}
    with_text = np.zeros(len(names), dtype=np.int64)
    with_text[list(texts)] = [text.rows for text in texts.values()]
    quantiles = exponential.quantiles(QUANTILES)
    edges, histogram = exponential.density(BINS)
    whole = (moments.integral == count)[:, None]
    return Summary(
        names=names,
        rows=moments.rows,
        missing=moments.rows - count - moments.infinite - with_text,
        infinite=moments.infinite.copy(),
        count=count,
        mean=np.where(known, moments.mean, np.nan),
        std=np.where(known, moments.std, np.nan),
        minimum=exponential.minimum,
        maximum=exponential.maximum,
        zero_ratio=_ratio(moments.zeros, count),
        negative_ratio=_ratio(moments.negatives, count),
        integral=moments.integral.copy(),
        quantiles=np.where(whole, np.rint(quantiles), quantiles),
        edges=edges,
        histogram=histogram,
        exponential=exponential,
        texts=texts,
    )


def _ratio(part: Counts, whole: Counts) -> Floats:
    ratio: Floats = np.divide(part, whole, out=np.full(whole.shape, np.nan), where=whole > 0)
    return ratio
