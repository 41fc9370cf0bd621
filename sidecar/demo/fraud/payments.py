"""The demo's card payments, and which of them are fraud: simulated, since no package carries real ones.

What is published of real card fraud has its columns made unrecognisable, and nobody may pass it on within a package.
Here a payment has eight features, some of which depend on others, and these decide the probability that it is fraud:
about one payment in nine, so that a minute of them is enough. Every draw is seeded.

When fraudsters change their way, that probability becomes another function of the features. The payments themselves
are drawn as before, and as many are fraud: the relation moves, and the inputs do not.
"""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from sidecar.stats.moments import Floats

Texts = npt.NDArray[np.str_]
Cell = float | str

COUNTRIES = ("AT", "CH", "DE", "FR", "IT", "US")
COUNTRY_SHARES = (0.3, 0.15, 0.25, 0.12, 0.1, 0.08)

CATEGORIES = ("groceries", "fuel", "restaurant", "clothing", "travel", "electronics")
CATEGORY_SHARES = (0.34, 0.14, 0.22, 0.14, 0.06, 0.1)
CATEGORY_ODD_SHARES = (0.05, 0.05, 0.05, 0.2, 0.3, 0.35)
CATEGORY_EUR = (25.0, 50.0, 35.0, 60.0, 180.0, 120.0)
"""Median amounts."""

ODD_RATIO = 0.12
"""Of the payments: large ones at night, without a chip, far from home. Most of them are fraud, until that changes."""

LUCK = 0.01
"""Probability of fraud that no feature tells of."""

USUAL, LEFT = 0.93, 0.2
"""Probability of fraud where a payment looks as fraud usually does: at first, and when fraudsters do otherwise."""

SMALL, SMALL_EUR, DAY = 0.75, 20.0, (8, 19)
"""That of small payments with a chip by day, then; below how many euros these are, and from which hour to which."""

CHUNK_ROWS = 256


class Payments(NamedTuple):
    """Payments by column, each of shape (n,).

    Args:
        amount: In euros.
        hour: Of the day, from 0 to 23.
        country: Of the shop, as the next.
        category: What it sells.
        device_days: Since this terminal or telephone was first seen with the card.
        payments_day: With the card in the last 24 hours.
        distance_km: From its last payment.
        chip: 1 where a chip was read, 0 where somebody typed numbers.
    """

    amount: Floats
    hour: Floats
    country: Texts
    category: Texts
    device_days: Floats
    payments_day: Floats
    distance_km: Floats
    chip: Floats


FEATURES = Payments._fields
TEXTS = ("country", "category")


class Payment(NamedTuple):
    """One of them.

    Args:
        cells: In the order of FEATURES.
        fraud: 1 where it is fraud, else 0; which is known later.
    """

    cells: tuple[Cell, ...]
    fraud: int


def drawn(rng: np.random.Generator, n: int) -> Payments:
    """Payments as they come, at any time."""
    odd = rng.random(n) < ODD_RATIO
    category = np.where(
        odd, rng.choice(len(CATEGORIES), n, p=CATEGORY_ODD_SHARES), rng.choice(len(CATEGORIES), n, p=CATEGORY_SHARES)
    )
    amount = np.array(CATEGORY_EUR)[category] * rng.lognormal(0, 0.7, n) * np.where(odd, 2.5, 1.0)
    return Payments(
        amount=amount.round(2),
        hour=np.floor(np.where(odd, rng.normal(25, 3, n), rng.normal(14.5, 4, n)) % 24),
        country=rng.choice(COUNTRIES, n, p=COUNTRY_SHARES),
        category=np.array(CATEGORIES)[category],
        device_days=rng.exponential(np.where(odd, 20.0, 400.0)).round(1),
        payments_day=rng.poisson(np.where(odd, 6.0, 2.0)).astype(np.float64),
        distance_km=rng.lognormal(np.where(odd, 5.5, 2.0), 1.0).round(1),
        chip=(rng.random(n) < np.where(odd, 0.05, 0.75)).astype(np.float64),
    )


def probabilities(payments: Payments, *, changed: bool) -> Floats:
    """Of fraud, shape (n,).

    Args:
        changed: Fraudsters have changed their way.
    """
    alike = _likeness(payments)
    if not changed:
        return LUCK + USUAL * alike
    by_day = (payments.hour >= DAY[0]) & (payments.hour < DAY[1])
    small = by_day & (payments.chip == 1) & (payments.amount < SMALL_EUR)
    return LUCK + LEFT * alike + np.where(small, SMALL, 0.0)


def _likeness(payments: Payments) -> Floats:
    """How much a payment looks as fraud usually does, from 0 to 1."""
    night = (payments.hour < 6) | (payments.hour >= 20)
    score = (
        0.9 * np.log(payments.amount / 100)
        + 1.2 * night
        + 1.8 * (1 - payments.chip)
        + 0.9 * np.log1p(payments.distance_km / 50)
        + 0.35 * payments.payments_day
        - 0.5 * np.log1p(payments.device_days / 20)
    )
    out: Floats = 1 / (1 + np.exp(-2.0 * (score - 5.0)))
    return out


class Stream:
    """Payments without an end.

    Args:
        rng: Draws.

    Attributes:
        drawn: Payments so far.
        changed: Fraudsters have changed their way.
    """

    def __init__(self, rng: np.random.Generator) -> None:
        self._rng = rng
        self._rows: list[tuple[Cell, ...]] = []
        self._chances: list[tuple[float, float]] = []
        self.drawn = 0
        self.changed = False

    def __iter__(self) -> "Stream":
        """It is its own iterator: what is drawn is counted."""
        return self

    def __next__(self) -> Payment:
        """The next payment."""
        if not self._rows:
            self._draw()
        self.drawn += 1
        cells, chances = self._rows.pop(), self._chances.pop()
        return Payment(cells, int(self._rng.random() < chances[self.changed]))

    def _draw(self) -> None:
        """Some hundred, for the speed of numpy."""
        payments = drawn(self._rng, CHUNK_ROWS)
        self._rows = rows(payments)
        usual, changed = (probabilities(payments, changed=each).tolist() for each in (False, True))
        self._chances = list(zip(usual, changed, strict=True))


def rows(payments: Payments) -> list[tuple[Cell, ...]]:
    """One tuple for each payment, of plain numbers and texts."""
    return list(zip(*(column.tolist() for column in payments), strict=True))
