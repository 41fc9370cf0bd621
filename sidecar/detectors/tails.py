"""Tails of the distributions that tests compare with. scipy has them, and takes 105 MB and 3 s to import."""

from math import erfc, exp, lgamma, log, pi, sqrt

TERMS = 500
TINY = 1e-300
EPSILON = 1e-15


def kolmogorov_tail(x: float) -> float:
    """P(K > x) of Kolmogorov's distribution, the limit of sqrt(nm/(n+m)) times the two-sample distance.

    Two series for the same function: one converges fast for small x, one for large (Marsaglia, Tsang and Wang,
    "Evaluating Kolmogorov's distribution", Journal of Statistical Software 8(18), 2003).

    Example:
        >>> round(kolmogorov_tail(1.3580986), 6), kolmogorov_tail(0.0)
        (0.05, 1.0)
    """
    if x <= 0.15:
        return 1.0
    if x < 1:
        terms = (exp(-((2 * j - 1) ** 2) * pi**2 / (8 * x * x)) for j in range(1, 12))
        return 1 - sqrt(2 * pi) / x * sum(terms)
    signed = (exp(-2 * j * j * x * x) * (1 if j % 2 else -1) for j in range(1, 12))
    return 2 * sum(signed)


def chi_squared_tail(x: float, freedom: int) -> float:
    """P(X > x) of the chi-squared distribution: the regularised upper incomplete gamma function Q(freedom/2, x/2).

    By its series below a + 1 and by Lentz's continued fraction above (Numerical Recipes, 3rd edition, 6.2).

    Example:
        >>> round(chi_squared_tail(3.841458820694124, 1), 12), round(chi_squared_tail(18.307, 10), 4)
        (0.05, 0.05)
    """
    if x <= 0:
        return 1.0
    if freedom == 1:
        return erfc(sqrt(x / 2))
    a, y = freedom / 2, x / 2
    scale = exp(a * log(y) - y - lgamma(a)) if a * log(y) - y - lgamma(a) > -745 else 0.0
    if y < a + 1:
        term = total = 1 / a
        for step in range(1, TERMS):
            term *= y / (a + step)
            total += term
            if term < total * EPSILON:
                break
        return max(0.0, 1 - total * scale)
    b = y + 1 - a
    c, d = 1 / TINY, 1 / b
    fraction = d
    for step in range(1, TERMS):
        an = step * (a - step)
        b += 2
        d = 1 / _not_zero(an * d + b)
        c = _not_zero(b + an / c)
        fraction *= c * d
        if abs(c * d - 1) < EPSILON:
            break
    return scale * fraction


def _not_zero(x: float) -> float:
    return x if abs(x) > TINY else TINY
