"""Alternatives of the sequential detector: what a feature's bins would hold after a shift, against what they hold now.

An alternative is a vector of likelihood ratios over the bins, up to a factor. Two families are fixed: a Gaussian
location or scale shift, read on the normal scores of the reference's ordered bins, so that it fits any shape up to a
monotone map; and one bin's odds multiplied by a factor: a category, an atom, a tail, what is missing.
"""

import math
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np

from sidecar.stats.moments import Flags, Floats

LOCATIONS = (0.07, 0.12, 0.2, 0.35, 0.6, 1.0, 1.8)
"""Mean shifts in standard deviations, both ways: a factor of 1.7 apart, which costs at most 7 % of the information."""

SCALES = (0.5, 0.7, 0.85, 1.15, 1.35, 1.8)
"""Factors of the standard deviation."""

ODDS = (0.5, 1.6, 4.0, 16.0)
"""Factors of one bin's odds; 1.6 turns a share of 10 % into 15 %."""

RARE = 0.001
"""The share of a bin below which there is less of a bet on its odds."""

MAX_RATIO = 50.0
"""No ratio is larger, nor smaller than its inverse: a single row is never worth more than 3.9 nats."""

PRIOR = {"location": 0.5, "scale": 0.15, "odds": 0.2, "free": 0.15}
"""How much of the bet goes to each family. Halving one costs 0.7 nats of some 17."""


@dataclass(frozen=True, slots=True)
class Tilts:
    """The fixed alternatives of ordered bins.

    Args:
        ratios: Shape (k, B, A); 1 in bins that are not ordered.
        names: Of the A alternatives.
    """

    ratios: Floats
    names: tuple[str, ...]


def gaussian_tilts(shares: Floats, ordered: Flags) -> Tilts:
    """Location and scale alternatives: the shifted normal's mass in each bin over the unshifted one's.

    Args:
        shares: Of the bins in the reference, shape (k, B).
        ordered: Bins that lie on the number line, in their order, shape (k, B).
    """
    location = np.array([0.0] * len(SCALES) + [sign * shift for shift in LOCATIONS for sign in (-1, 1)])
    scale = np.array([*SCALES, *[1.0] * (2 * len(LOCATIONS))])
    mass = np.where(ordered, shares, 0.0)
    below = np.cumsum(mass, axis=1) / np.maximum(mass.sum(axis=1, keepdims=True), np.finfo(np.float64).tiny)
    edges = _scores(np.pad(below, ((0, 0), (1, 0))))[:, :, None]
    plain = np.diff(_normal(edges), axis=1)
    shifted = np.diff(_normal((edges - location) / scale), axis=1)
    ratios = np.clip(shifted / np.where(plain > 0, plain, 1.0), 1 / MAX_RATIO, MAX_RATIO)
    return Tilts(
        ratios=np.where(ordered[:, :, None] & (plain > 0), ratios, 1.0),
        names=tuple(f"scale x{s:g}" if s != 1 else f"location {d:+g} sd" for d, s in zip(location, scale, strict=True)),
    )


def prior(shares: Floats, ordered: Flags, used: Flags, windows: int) -> Floats:
    """The weight of every alternative of every feature, in nats, in the order scale, location, odds, free.

    A bin that next to no row falls into has next to no bet on its odds: such a bet neither loses nor wins, and its
    evidence would grow by a row a row, of all such features alike, until they alarm together.

    Args:
        shares: Of the bins in the reference, shape (k, B).
        ordered: Bins on the number line, shape (k, B); a feature without any has no Gaussian alternatives.
        used: Bins that a row of the feature can fall into, shape (k, B).
        windows: How many free alternatives there are.

    Returns:
        Shape (k, A), with exp summing to 1 over A.
    """
    numeric = ordered.any(axis=1, keepdims=True)
    # A nat is worth more rows where a shift is small.
    locations = np.repeat(LOCATIONS, 2) ** -0.5
    even = used * np.minimum(shares / RARE, 1.0) / used.sum(axis=1, keepdims=True)
    spikes = np.repeat(even, len(ODDS), axis=1) / len(ODDS)
    weights = np.concatenate(
        (
            numeric * PRIOR["scale"] * np.full(len(SCALES), 1 / len(SCALES)),
            numeric * PRIOR["location"] * locations / locations.sum(),
            spikes * PRIOR["odds"],
            np.full((len(used), windows), PRIOR["free"] / windows),
        ),
        axis=1,
    )
    with np.errstate(divide="ignore"):
        nats: Floats = np.log(weights / weights.sum(axis=1, keepdims=True))
    return nats


_erfc = np.vectorize(math.erfc, otypes=[np.float64])
_inverse = np.vectorize(NormalDist().inv_cdf, otypes=[np.float64])


def _normal(z: Floats) -> Floats:
    out: Floats = 0.5 * _erfc(-z / math.sqrt(2))
    return out


def _scores(below: Floats) -> Floats:
    """The standard normal's quantiles of cumulated shares, infinite at both ends."""
    inside = (below > 0) & (below < 1 - 1e-12)
    ends = np.where(below <= 0, -np.inf, np.inf)
    out: Floats = np.where(inside, _inverse(np.where(inside, below, 0.5)), ends)
    return out
