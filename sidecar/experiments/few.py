"""What few rows say: that a challenger is beyond its margin, by bounds that are exact from the first row on.

`pairs` needs some hundred rows of each variant before its normal limit is true. A challenger that fails every request
is not to have so many first.

**The test.** In each epoch the champion's m rows have a mean of a and come from a share p, the challenger's n have b
and come from q, and q is no greater than p + d. Then the rows are as likely as p and q make them, and no likelier than
the best such p and q would. A code that knows neither (Krichevsky and Trofimov's) makes n rows less likely than their
own best share does by a factor of 2 sqrt(n) at most. So

    ln E = sum over epochs of  min_p [ m kl(a | p) + n kl(b | p + d) ] - ln(m) / 2 - ln(n) / 2 - 2 ln 2,

with min_p = 0 where b <= a + d, is never above the logarithm of a martingale that begins at 1: E reaches 1 / wrong,
ever, with probability `wrong` at most (Ville). Rows may come in any order, and be dealt by any weights. Values between
0 and 1 are as good: (q'/q)^y ((1 - q')/(1 - q))^(1 - y) is convex in y, and so 1 at most on average.

**What it promises** is exact for rows that are independent and of one share within an epoch. A share that changes
meanwhile changes for both, as chance deals: tests/bench/verdicts.py has outages. Rows of users who come again depend on
each other; the n rows of a variant count for no more than as many of one each of its buckets as are as uneven,
(sum of rows)^2 / sum of rows^2: a user who fails twenty times is one who fails. The penalty stays that of all rows, so
that what is independent is judged no more boldly than exactly.

**What it takes**: at a budget of 0.001 (a tenth of 0.01), a margin of 0.01 and a champion that fails 0.5 %, one that
fails always is told after 3 rows at 99/1 and 95/5 and after 8 at 50/50 (4 and 13, 95 % of the time); one that fails
half of the time after 9 and 32; one that does a fifth of the time after 47 and 128. Of 2,000 experiments each at the
margin, with shares of 0.1 to 50 % and at these splits, none was told wrongly: the bound is not tight.

References:
    Wasserman, Ramdas, Balakrishnan, Universal inference, PNAS 2020: the likelihood over the best one of the null.
    Krichevsky, Trofimov, The performance of universal encoding, 1981.
    Turner, Gruenwald, Exact anytime-valid confidence intervals for contingency tables and beyond, arXiv 2203.09785.
"""

import math

import numpy as np

from sidecar.experiments.totals import Totals
from sidecar.stats.moments import Counts, Floats

HALVINGS = 50
"""Of the interval in which the best share is: to the last digit."""


def surely_beyond(champion: Totals, challenger: Totals, margin: float, *, wrong: float) -> bool:
    """Whether the challenger's mean exceeds the champion's by more than the margin, however few rows say so.

    Args:
        margin: In values, which are known to be in [0, most]; from 0 on.
        wrong: Probability, in (0, 1), that this is ever said where it is not so.

    Example:
        >>> variants = Totals(most=1.0), Totals(most=1.0)
        >>> for totals, rows, failed in zip(variants, (400, 4), (0.0, 1.0)):
        ...     totals.take(np.arange(rows, dtype=np.uint64), np.full(rows, failed))
        >>> surely_beyond(*variants, 0.01, wrong=0.0005)
        True
    """
    used = slice(champion.epoch + 1)
    m, n = (totals.counts[used].sum(axis=1).astype(np.float64) for totals in (champion, challenger))
    both = (m > 0) & (n > 0)
    m, n = m[both], n[both]
    if not len(m):
        return False
    a, b = (_means(totals, both) for totals in (champion, challenger))
    worth_m, worth_n = (worth(totals.counts[used].sum(axis=0)) for totals in (champion, challenger))
    least = least_nats(worth_m * m, a, worth_n * n, b, margin / champion.most)
    return float(least.sum() - penalty(m, n)) >= -math.log(wrong)


def least_nats(m: Floats, a: Floats, n: Floats, b: Floats, margin: float) -> Floats:
    """The least of m kl(a | p) + n kl(b | q) for shares q <= p + margin, of each epoch: all of shape (e,)."""
    out = np.zeros_like(m)
    beyond = b - a > margin
    if not beyond.any():
        return out
    m, a, n, b = (each[beyond] for each in (m, a, n, b))
    # The sum is convex in p, falls at a, and rises where p + margin is b.
    low, high = a, b - margin
    for _ in range(HALVINGS):
        p = (low + high) / 2
        q = p + margin
        rises = m * (p - a) * q * (1 - q) + n * (q - b) * p * (1 - p) > 0
        low, high = np.where(rises, low, p), np.where(rises, p, high)
    p = (low + high) / 2
    out[beyond] = m * divergence(a, p) + n * divergence(b, p + margin)
    return out


def penalty(*rows: Floats) -> float:
    """Nats for not knowing the shares: ln(n) / 2 + ln(2) of each number of rows."""
    return float(sum((np.log(n) / 2 + math.log(2)).sum() for n in rows))


def worth(counts: Counts) -> float:
    """As how many rows each counts where the rows of a bucket count as one: 1 where no bucket has two.

    Args:
        counts: Rows by bucket, not all 0.
    """
    rows = counts.astype(np.float64)
    return float(rows.sum() / (rows @ rows))


def divergence(told: Floats, share: Floats | float) -> Floats:
    """Nats by which each row of a share that was told is likelier than under another share: Kullback-Leibler.

    >>> divergence(np.array([0.0, 0.5, 1.0]), 0.5).round(3).tolist()
    [0.693, 0.0, 0.693]
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        less = np.where(told > 0, told * np.log(told / share), 0.0)
        more = np.where(told < 1, (1 - told) * (np.log1p(-told) - np.log1p(-np.asarray(share))), 0.0)
    out: Floats = np.maximum(less + more, 0.0)
    return out


def _means(totals: Totals, epochs: Floats) -> Floats:
    """Of the epochs, as parts of `most`."""
    used = slice(len(epochs))
    counts, sums = (kept[used][epochs].sum(axis=1) for kept in (totals.counts, totals.sums))
    # Rounding may leave a mean just outside.
    out: Floats = np.clip((totals.centre + sums / counts) / totals.most, 0.0, 1.0)
    return out
