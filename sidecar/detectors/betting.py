"""Bets of the sequential detector: likelihood ratios of a batch that gain nothing, on average, while nothing changes.

**The null.** The shares of a feature's bins are not known; m reference rows are. If the feature is continuous and the
edges are order statistics of the reference, then the masses of the bins *are* Dirichlet(alpha), alpha the reference's
counts plus one in all, whatever the distribution (Wilks 1962): live rows are a Polya urn, that begins with
alpha and learns from every row. An alternative v, ratios over the bins, bets on a batch with counts c of n rows, given
the urn before it, a = sum(alpha), p = alpha / a, mu = p @ v, d = v / mu - 1 and x = n / a, with

    L = prod(v ** c) / mu ** n * prod((1 - x d) ** alpha),        max(x d) < 1.

**E[L | past] <= 1.** Let q be the unknown shares, e = q @ v / mu - 1, and G a Gamma(a) variable independent of q: then
G q are independent Gamma(alpha), and E[prod(v ** c)] / mu ** n = E[(1 + e)^n] <= E[exp(n e)] = E[exp(x a e)]
<= E[(1 - x e)^-a] = E[exp(x e G)] = prod((1 - x d) ** -alpha).

The code uses -ln(1 - y) <= y + y^2 / (2 (1 - Y)) for y <= Y < 1, whose first term cancels over the bins:
ln L = c @ ln v - n ln mu - n x Var_p(d) / (2 (1 - Y)) with Y = max(x d). The last term is the price of the reference's
uncertainty. An alternative with Y > SIT_OUT does not bet on this batch: its rows are too many for so small an urn.
"""

from dataclasses import dataclass

import numpy as np

from sidecar.detectors.tilts import MAX_RATIO, ODDS, Tilts, gaussian_tilts, prior
from sidecar.stats.moments import Flags, Floats

WINDOWS = np.array([300.0, 2000.0, 10000.0])
"""Rows over which the free alternatives learn what the bins hold now; a change unlike any tilt shows after as many."""

SIT_OUT = 0.75
"""The largest Y at which an alternative still bets."""


@dataclass(frozen=True, slots=True)
class Fixed:
    """What follows from the reference alone.

    Args:
        used: Bins that a row can fall into, shape (k, B).
        tilts: The Gaussian alternatives, G of them.
        log_ratios: The logarithms of their v, shape (k, B, G).
        powers: v, v^2 and |v - 1| side by side, shape (k, B, 3 G).
        largest: Of v over the bins, shape (k, G).
        weights: Of all A alternatives, in nats, shape (k, A): Gaussian, odds of each bin, free.
    """

    used: Flags
    tilts: Tilts
    log_ratios: Floats
    powers: Floats
    largest: Floats
    weights: Floats


@dataclass(frozen=True, slots=True)
class Bets:
    """Some alternatives and a batch; each field of shape (k, as many as there are).

    Args:
        gain: c @ ln v.
        mean: p @ v.
        variance: Of v under p.
        largest: Of v over the bins.
        spread: p @ |v - 1|.
    """

    gain: Floats
    mean: Floats
    variance: Floats
    largest: Floats
    spread: Floats


def fixed_bets(urn: Floats, ordered: Flags, used: Flags) -> Fixed:
    """The alternatives against what the urn, shape (k, B), holds at first."""
    shares = urn / urn.sum(axis=1, keepdims=True)
    tilts = gaussian_tilts(shares, ordered)
    v = tilts.ratios
    return Fixed(
        used=used,
        tilts=tilts,
        log_ratios=np.log(v),
        powers=np.concatenate((v, v**2, np.abs(v - 1)), axis=2),
        largest=v.max(axis=1),
        weights=prior(shares, ordered, used, len(WINDOWS)),
    )


def free_ratios(recent: Floats, urn: Floats, used: Flags, rows: Floats) -> Floats:
    """What each window has seen over what the urn holds, shrunk as if one row a bin had come from the urn.

    Args:
        recent: Counts before this batch that fade over WINDOWS rows, shape (k, W, B).
        urn: alpha, shape (k, B).
        used: As in `Fixed`.
        rows: n of this batch, shape (k, 1).

    Returns:
        v of the free alternatives, shape (k, W, B).
    """
    total = urn.sum(axis=1, keepdims=True)
    shrink = used.sum(axis=1)[:, None, None]
    p = np.where(used, urn, 1.0)[:, None] / total[:, :, None]
    ratios = (recent / p + shrink) / (recent.sum(axis=2, keepdims=True) + shrink)
    out: Floats = np.clip(ratios, 1 / MAX_RATIO, _bearable(rows, total)[:, :, None])
    return out


def log_likelihood_ratios(
    fixed: Fixed, urn: Floats, free: Floats, batch: Floats, tolerance: float, least: float = 0.0
) -> tuple[Floats, Flags]:
    """The logarithm of L for every alternative, and which of them bet on this batch at all; each of shape (k, A).

    Who bets is known before the rows: it depends on the urn, on what came before, and on how many rows there are.

    Args:
        fixed: The alternatives that do not change.
        urn: alpha, shape (k, B).
        free: v of those that do, shape (k, W, B).
        batch: Counts, shape (k, B).
        tolerance: Relative change of a share that is still the null.
        least: The relative variance under p below which a bet is none.
    """
    total = urn.sum(axis=1, keepdims=True)
    p = urn / total
    parts = (_gaussian_bets(fixed, p, batch), _odds_bets(p, batch, total), _free_bets(free, p, batch))
    gain, mean, variance, largest, spread = (
        np.concatenate([getattr(part, name) for part in parts], axis=1) for name in Bets.__slots__
    )
    rows = batch.sum(axis=1, keepdims=True)
    # Not below the greatest mean within the tolerance: sum p h (v - 1) for |h| <= tolerance with sum p h = 0.
    reach = mean + tolerance * spread
    x = rows / total
    y = x * (largest - mean) / reach
    cost = rows * (np.log(reach) + x * variance / (2 * reach**2 * (1 - np.minimum(y, SIT_OUT))))
    out: Floats = np.where(y <= SIT_OUT, gain - cost, 0.0)
    bets: Flags = (y <= SIT_OUT) & (variance > least * reach**2)
    return out, bets


def describe(fixed: Fixed, free: Floats, feature: int, index: int) -> tuple[Floats, str]:
    """The ratios, shape (B,), and the name of one alternative by its place among all A."""
    bins, gaussian = free.shape[2], len(fixed.tilts.names)
    if index < gaussian:
        return fixed.tilts.ratios[feature, :, index], fixed.tilts.names[index]
    if index < gaussian + bins * len(ODDS):
        place, which = divmod(index - gaussian, len(ODDS))
        ratios = np.ones(bins)
        ratios[place] = ODDS[which]
        return ratios, f"odds of bin {place} x{ODDS[which]:g}"
    window = index - gaussian - bins * len(ODDS)
    return free[feature, window], f"free over {WINDOWS[window]:g} rows"


def _gaussian_bets(fixed: Fixed, p: Floats, batch: Floats) -> Bets:
    mean, square, spread = np.split(np.matmul(p[:, None], fixed.powers)[:, 0], 3, axis=1)
    gain = np.matmul(batch[:, None], fixed.log_ratios)[:, 0]
    return Bets(gain, mean, np.maximum(square - mean**2, 0), fixed.largest, spread)


def _odds_bets(p: Floats, batch: Floats, total: Floats) -> Bets:
    """One bin's odds times each of ODDS, as far as the urn bears them: v is 1 elsewhere."""
    odds = np.minimum(ODDS, _bearable(batch.sum(axis=1, keepdims=True), total))[:, None]
    shape = (len(p), -1)
    gain = (batch[:, :, None] * np.log(odds)).reshape(shape)
    more = (p[:, :, None] * (odds - 1)).reshape(shape)
    variance = ((p * (1 - p))[:, :, None] * (odds - 1) ** 2).reshape(shape)
    largest = np.tile(np.maximum(odds[:, 0], 1), p.shape[1])
    return Bets(gain, 1 + more, variance, largest, np.abs(more))


def _free_bets(v: Floats, p: Floats, batch: Floats) -> Bets:
    shares = p[:, :, None]
    mean = np.matmul(v, shares)[:, :, 0]
    variance = np.maximum(np.matmul(v**2, shares)[:, :, 0] - mean**2, 0)
    spread = np.matmul(np.abs(v - 1), shares)[:, :, 0]
    return Bets(np.matmul(np.log(v), batch[:, :, None])[:, :, 0], mean, variance, v.max(axis=2), spread)


def _bearable(rows: Floats, total: Floats) -> Floats:
    """The largest ratio that keeps Y at about a half: a small urn cannot tell a rare bin from an empty one."""
    out: Floats = np.minimum(MAX_RATIO, 1 + 0.5 * total / np.maximum(rows, 1))
    return out
