"""Evidence of many features together: which of them carry the drift, with a bound on the share named wrongly.

An e-value is a statistic with an expectation of at most 1 where nothing has changed (Vovk & Wang 2021). E-values are in
nats here, the natural logarithm, and what is said of them holds under any dependence between the features.
"""

import math

import numpy as np

from sidecar.stats.moments import Counts, Flags, Floats


def e_bh(nats: Floats, level: float) -> Flags:
    """Features that e-BH names: those with the r largest e-values, r the greatest for which these reach k / (r level).

    The expected share of the unchanged among those named is at most `level`: an unchanged feature i is named along
    with r - 1 others only if e_i r level / k >= 1, so that its part 1 / r of the share is at most e_i level / k.

    This is for e-values at one time, fixed or a stopping time of all features' rows together. It is wrong for maxima
    over time (Tavyrikov, Goeman, de Heide, arXiv 2501.19360): pass those through `adjusted` first.

    Args:
        nats: Logarithms of the e-values, shape (k,); NaN is never named.
        level: Of the false discovery rate, above 0; `Sequential` says what 1 means for it.

    References:
        Wang & Ramdas, False discovery rate control with e-values, arXiv 2009.02824.

    Example:
        >>> e_bh(np.log([50.0, 1.0, 45.0, 30.0]), level=0.1)
        array([ True, False,  True,  True])
    """
    known = np.where(np.isnan(nats), -np.inf, nats)
    order = np.argsort(-known, kind="stable")
    ranks = np.arange(1, len(known) + 1)
    return _up_to_the_last(known[order] >= np.log(len(known) / (ranks * level)), order)


def benjamini_hochberg(p_values: Floats, level: float) -> Flags:
    """Features with the r smallest p-values, r the greatest for which these are at most r level / k.

    The expected share of the unchanged among those named is at most `level`, for features that are independent or
    whose statistics rise together; under any other dependence at most level (1 + 1/2 + ... + 1/k). Where nothing has
    changed, that is the probability to name any.

    Args:
        p_values: Shape (any,); NaN is never named and does not count among the k.
        level: Of the false discovery rate.

    References:
        Benjamini & Hochberg, Controlling the false discovery rate, Journal of the Royal Statistical Society B 57, 1995;
        Benjamini & Yekutieli, The control of the false discovery rate in multiple testing under dependency, Annals of
        Statistics 29, 2001.

    Example:
        >>> benjamini_hochberg(np.array([0.024, 0.9, 0.001, 0.02, np.nan]), level=0.04)
        array([ True, False,  True,  True, False])
    """
    order = np.argsort(p_values, kind="stable")  # NaN comes last
    known = max(1, int(np.count_nonzero(~np.isnan(p_values))))
    ranks = np.arange(1, len(p_values) + 1)
    return _up_to_the_last(p_values[order] <= ranks * level / known, order)


def adjusted(nats: Floats) -> Floats:
    """E-values, in nats, out of the running maxima of e-processes.

    The adjuster is A(e) = ln 2 e^2 / ((1 + e) ln(1 + e)^2) for e >= 1, else 0. It increases, and the integral of
    A(e) / e^2 over (1, inf) is 1, which makes A of a maximum over time an e-value (Dawid et al. 2011). It costs about
    2 ln ln e nats, where the common sqrt(e) - 1 costs half of them.

    Args:
        nats: Logarithms of the greatest values so far of e-processes, shape (k,).

    References:
        Dawid, de Rooij, Shafer, Shen, Vereshchagin, Vovk, Insuring against loss of evidence in game-theoretic
        probability, 2011; Tavyrikov, Goeman, de Heide, Carefree multiple testing with e-processes, arXiv 2501.19360:
        e-BH of adjusted maxima controls the rate at all times at once.

    Example:
        >>> adjusted(np.array([-1.0, 2.0, 10.0])).round(2)
        array([ -inf, -0.  ,  5.03])
    """
    one_more = np.logaddexp(0.0, np.maximum(nats, 0.0))
    worth = math.log(math.log(2)) + 2 * nats - one_more - 2 * np.log(one_more)
    out: Floats = np.where(nats >= 0, worth, -np.inf)
    return out


def _up_to_the_last(passing: Flags, order: Counts) -> Flags:
    """The features that come, in this order, no later than the last one that passes; shape (k,)."""
    places = np.flatnonzero(passing)
    named = np.zeros(len(order), dtype=np.bool_)
    named[order[: places[-1] + 1 if places.size else 0]] = True
    return named
