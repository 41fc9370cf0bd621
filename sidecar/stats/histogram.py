"""Exponential histograms of k features at once, as OpenTelemetry's data model defines them.

Bucket i at scale s holds the magnitudes in (base^i, base^(i + 1)] with base = 2^(2^-s); positive and negative numbers
have buckets of their own and share one scale per feature. Zeros are counted apart, by `Moments`.
https://opentelemetry.io/docs/specs/otel/metrics/data-model/#exponentialhistogram

The scale is the finest at which the range seen fits into MAX_SIZE buckets. It depends on the range alone and every
coarser bucket is a union of finer ones, so that merging equals having seen all rows, bucket by bucket.

Bucket i lives in slot i mod RING: a range that grows moves nothing, and equal scales merge by adding.
"""

from dataclasses import dataclass

import numpy as np

from sidecar.stats.buckets import MAX_SCALE, MAX_SIZE, Exponential
from sidecar.stats.moments import Counts, Floats, Moments

RING_BITS = 8
RING = 1 << RING_BITS
"""Slots of a range: the next power of two above MAX_SIZE, so that modulo is a mask."""

NOTHING_LOW = 1 << 40
NOTHING_HIGH = -(1 << 40)
"""The range of indices of a feature without numbers: beyond every index there is."""

MIN_NORMAL = float(np.finfo(np.float64).smallest_normal)
MANTISSA_BITS = 52
MANTISSA = (1 << MANTISSA_BITS) - 1
EXPONENT_BIAS = 1023
ONE = EXPONENT_BIAS << MANTISSA_BITS


@dataclass(frozen=True, slots=True)
class Packed:
    """The buckets of a histogram that are not empty: what a closed pane keeps.

    Args:
        low: The least index in use at MAX_SCALE, positive and negative, shape (2, k).
        high: The greatest index in use, likewise.
        slots: Positions in the flattened ring of shape (2, k, RING).
        counts: What stands there.
    """

    low: Counts
    high: Counts
    slots: np.typing.NDArray[np.unsignedinteger]
    counts: np.typing.NDArray[np.unsignedinteger]


class Histogram:
    """Exponential histograms of the numbers of k features, zeros excepted; takes batches and other histograms."""

    __slots__ = ("_high", "_low", "_ring", "_shift")

    def __init__(self, k: int) -> None:
        self._low: Counts = np.full((2, k), NOTHING_LOW, dtype=np.int64)
        self._high: Counts = np.full((2, k), NOTHING_HIGH, dtype=np.int64)
        self._shift: Counts = np.zeros(k, dtype=np.int64)
        self._ring: Counts = np.zeros((2, k, RING), dtype=np.int64)

    def update(self, values: Floats) -> None:
        """Add the finite numbers of one batch, shape (n, j) with j <= k: the first j features."""
        if not values.size:
            return
        columns = np.ascontiguousarray(values.T)
        k = len(columns)
        indices = bucket_indices(np.abs(columns))
        signs = [(columns > 0) & (columns < np.inf), (columns < 0) & (columns > -np.inf)]
        if not signs[1].any():
            del signs[1]
        low, high = np.full((2, k), NOTHING_LOW), np.full((2, k), NOTHING_HIGH)
        for sign, chosen in enumerate(signs):
            low[sign] = np.where(chosen, indices, NOTHING_LOW).min(axis=1)
            high[sign] = np.where(chosen, indices, NOTHING_HIGH).max(axis=1)
        self._stretch(low, high)
        slots = ((indices >> self._shift[:k, None]) & (RING - 1)) + np.arange(k)[:, None] * RING
        for sign, chosen in enumerate(signs):
            self._ring[sign, :k] += np.bincount(slots[chosen], minlength=k * RING).reshape(k, RING)

    def merge(self, other: Packed) -> None:
        """Add what another histogram has seen of the first features; as if its rows had come here."""
        self._stretch(other.low, other.high)
        self._pour(other, np.arange(other.low.shape[1]))

    def _stretch(self, low: Counts, high: Counts) -> None:
        """Extend the ranges of the first features to (low, high), and coarsen what no longer fits."""
        k = low.shape[1]
        low, high = np.minimum(low, self._low[:, :k]), np.maximum(high, self._high[:, :k])
        shift = _shifts(low, high)
        used = (self._high[:, :k] != NOTHING_HIGH).any(axis=0)
        coarser = np.flatnonzero(used & (shift != self._shift[:k]))
        standing = self._packed(coarser) if coarser.size else None
        self._low[:, :k], self._high[:, :k], self._shift[:k] = low, high, shift
        if standing is not None:
            self._ring[:, coarser] = 0
            self._pour(standing, coarser)

    def _pour(self, packed: Packed, into: Counts) -> None:
        """Add packed buckets to those of the features `into`, whose scale is as coarse or coarser."""
        slots = packed.slots.astype(np.int64)
        rows, slots = slots >> RING_BITS, slots & (RING - 1)
        finer = _shifts(packed.low, packed.high)
        first = (packed.low >> finer).ravel()[rows]
        indices = first + ((slots - first) & (RING - 1))
        coarse = indices >> np.tile(self._shift[into] - finer, 2)[rows]
        starts = np.concatenate((into, into + self._shift.size)) * RING
        np.add.at(self._ring.reshape(-1), starts[rows] + (coarse & (RING - 1)), packed.counts.astype(np.int64))

    def packed(self) -> Packed:
        """What has been seen so far, compact; it does not change when this does."""
        return self._packed(slice(None))

    def _packed(self, features: Counts | slice) -> Packed:
        flat = self._ring[:, features].ravel()
        slots = np.flatnonzero(flat != 0)
        counts = flat[slots]
        return Packed(
            low=self._low[:, features].copy(),
            high=self._high[:, features].copy(),
            slots=slots.astype(np.min_scalar_type(flat.size)),
            counts=counts.astype(np.min_scalar_type(counts.max(initial=0))),
        )

    def exponential(self, moments: Moments) -> Exponential:
        """The buckets in their order, to be read or exported; zeros and extremes come from the same rows' moments."""
        offsets = np.where(self._low == NOTHING_LOW, 0, self._low >> self._shift)
        known = moments.count > 0
        slots = (offsets[:, :, None] + np.arange(MAX_SIZE)) & (RING - 1)
        return Exponential(
            scale=MAX_SCALE - self._shift,
            zeros=moments.zeros.copy(),
            offsets=offsets,
            counts=np.take_along_axis(self._ring, slots, axis=2),
            minimum=np.where(known, moments.minimum, np.nan),
            maximum=np.where(known, moments.maximum, np.nan),
        )


def bucket_indices(magnitudes: Floats) -> Counts:
    """The bucket of each magnitude at MAX_SCALE; anything for what is not a positive number.

    Exponent and mantissa are taken apart, so that powers of two, which bound buckets at every scale, are exact.
    Subnormal numbers count as the least normal one, as the data model permits.
    """
    bits = np.maximum(magnitudes, MIN_NORMAL).view(np.int64)
    mantissa = ((bits & MANTISSA) | ONE).view(np.float64)
    within = np.ceil(np.log2(mantissa) * (1 << MAX_SCALE)).astype(np.int64)
    indices: Counts = (((bits >> MANTISSA_BITS) - EXPONENT_BIAS) << MAX_SCALE) + within - 1
    return indices


def _shifts(low: Counts, high: Counts) -> Counts:
    """By how many steps of scale, shape (k,), the ranges of indices (2, k) must be coarsened to fit into MAX_SIZE."""
    # The least s with (high - low) >> s < MAX_SIZE; as both ends are rounded down, one step more may be due.
    span = np.maximum(high - low, 0)
    shift: Counts = np.maximum(np.frexp(span / MAX_SIZE)[1], 0).astype(np.int64)
    shift += (high >> shift) - (low >> shift) >= MAX_SIZE
    widest: Counts = shift.max(axis=0)
    return widest
