"""What is kept of the values of a measure, and how a challenger's are compared with the champion's."""

from collections.abc import Mapping, Sequence
from math import isnan
from typing import Protocol

from sidecar.experiments import few, quantiles
from sidecar.experiments.bins import Bins
from sidecar.experiments.durations import STATE as DURATIONS_STATE
from sidecar.experiments.durations import Durations
from sidecar.experiments.epochs import restore, state_of
from sidecar.experiments.pairs import compared as paired
from sidecar.experiments.sequences import Interval, contrast, ratio, rows_to_go
from sidecar.experiments.totals import STATE as TOTALS_STATE
from sidecar.experiments.totals import Totals
from sidecar.experiments.verdicts import Compared, Judged
from sidecar.stats.keeping import Array
from sidecar.stats.moments import Counts, Floats, Units


class Comparison(Protocol):
    """The values of one measure, of all variants."""

    def begin(self) -> None:
        """Weights change."""
        ...

    def take(self, variant: str, units: Units, values: Floats, epochs: Counts) -> None:
        """Take rows.

        Args:
            units: Hashes of whom the split goes by, shape (n,).
            values: Finite, shape (n,).
            epochs: In which the requests were dealt, as `Totals` counts them, shape (n,).
        """
        ...

    def compare(self, challenger: str, wrong: float) -> Compared:
        """What is known of a challenger.

        Args:
            wrong: Probability that the interval ever misses.
        """
        ...

    def surely_beyond(self, challenger: str, wrong: float) -> bool:
        """Whether the challenger is worse by more than the margin, by a bound that is exact for few rows.

        Args:
            wrong: Probability that this is ever said where it is not so.
        """
        ...

    def rows_to_go(self, challenger: str, wrong: float) -> float:
        """Further rows of both together until there is a word; NaN where nobody knows."""
        ...

    def state(self) -> dict[str, Array]:
        """All of it."""
        ...

    def restore(self, state: Mapping[str, Array]) -> None:
        """Go on from a state.

        Raises:
            KeyError: A part of it is missing.
            ValueError: It is no such state.
        """
        ...


class Means:
    """Compares means.

    Args:
        variants: The champion first.
    """

    def __init__(self, judged: Judged, variants: Sequence[str]) -> None:
        self._judged = judged
        self._champion = variants[0]
        self._totals = {variant: Totals(most=judged.most) for variant in variants}

    def begin(self) -> None:
        """Weights change."""
        for totals in self._totals.values():
            totals.begin()

    def take(self, variant: str, units: Units, values: Floats, epochs: Counts) -> None:
        """Take rows."""
        self._totals[variant].take(units, values, epochs)

    def compare(self, challenger: str, wrong: float) -> Compared:
        """Over all times of constant weights; the means are weighted as in the difference."""
        ours, theirs = self._totals[self._champion], self._totals[challenger]
        means = _means(ours, theirs)
        if self._judged.relative:
            interval = _relative(ratio(ours, theirs, wrong=wrong), means[0])
        else:
            interval = contrast(ours, theirs, wrong=wrong)
        return Compared(*interval[:3], *means, ours.rows, theirs.rows)

    def surely_beyond(self, challenger: str, wrong: float) -> bool:
        """Of shares; what has no bounds may have had no large value yet."""
        judged = self._judged
        if judged.relative or isnan(judged.most) or judged.better == "higher":
            return False
        return few.surely_beyond(self._totals[self._champion], self._totals[challenger], judged.margin, wrong=wrong)

    def rows_to_go(self, challenger: str, wrong: float) -> float:
        """Until 0 is excluded, or all that matters on either side."""
        pair = self._totals[self._champion], self._totals[challenger]
        margin, estimate = self._judged.margin, self.compare(challenger, wrong).estimate
        different = rows_to_go(*pair, wrong=wrong)
        if not abs(estimate) < margin:
            return different
        if self._judged.relative:
            # A factor below 0 is none.
            ends = [rows_to_go(*pair, factor=1 + end, wrong=wrong) for end in (-margin, margin) if end > -1]
        else:
            ends = [rows_to_go(*pair, excluding=end, wrong=wrong) for end in (-margin, margin)]
        return min(different, max(ends))

    def state(self) -> dict[str, Array]:
        """All of it."""
        return state_of(self._totals, TOTALS_STATE)

    def restore(self, state: Mapping[str, Array]) -> None:
        """Go on from a state."""
        restore(self._totals, TOTALS_STATE, state)


class Quantiles:
    """Compares a quantile of durations.

    Args:
        share: Of the durations that do not exceed it.
        margin: Part of the champion's that does not matter.
        variants: The champion first.
    """

    def __init__(self, share: float, margin: float, variants: Sequence[str]) -> None:
        self._share, self._margin = share, margin
        self._champion = variants[0]
        self._durations = {variant: Durations() for variant in variants}

    def begin(self) -> None:
        """Weights change."""
        for durations in self._durations.values():
            durations.begin()

    def take(self, variant: str, units: Units, values: Floats, epochs: Counts) -> None:
        """Take rows."""
        self._durations[variant].take(units, values, epochs)

    def compare(self, challenger: str, wrong: float) -> Compared:
        """The ratio, over all times of constant weights."""
        ours, theirs = self._durations[self._champion], self._durations[challenger]
        interval = _relative(quantiles.ratio_of_quantiles(ours, theirs, self._share, wrong=wrong), 1.0)
        return Compared(*interval[:3], ours.quantile(self._share), theirs.quantile(self._share), ours.rows, theirs.rows)

    def surely_beyond(self, challenger: str, wrong: float) -> bool:
        """By how many rows of the challenger are slower than that allows."""
        pair = self._durations[self._champion], self._durations[challenger]
        return quantiles.surely_beyond(*pair, self._share, margin=self._margin, wrong=wrong)

    def rows_to_go(self, challenger: str, wrong: float) -> float:
        """Until the ratio is known to be on one side of 1, or within the margin."""
        pair = self._durations[self._champion], self._durations[challenger]
        return quantiles.rows_to_go(*pair, self._share, margin=self._margin, wrong=wrong)

    def state(self) -> dict[str, Array]:
        """All of it."""
        return state_of(self._durations, DURATIONS_STATE)

    def restore(self, state: Mapping[str, Array]) -> None:
        """Go on from a state."""
        restore(self._durations, DURATIONS_STATE, state)


def comparison_of(judged: Judged, variants: Sequence[str]) -> Comparison:
    """What keeps the values of a measure.

    Args:
        variants: The champion first.
    """
    if judged.quantile is not None:
        return Quantiles(judged.quantile, judged.margin, variants)
    return Bins(judged, variants) if judged.binned else Means(judged, variants)


def _relative(interval: Interval, champion: float) -> Interval:
    """A ratio as the change by parts of the champion's value; up is up, also from below 0."""
    estimate, low, high = interval.estimate - 1, interval.low - 1, interval.high - 1
    if champion < 0:
        return Interval(-estimate, -high, -low, interval.rows)
    return Interval(estimate, low, high, interval.rows)


def _means(champion: Totals, challenger: Totals) -> tuple[float, float]:
    """Of the rows that are compared; of all rows where none are."""
    pair = paired(champion, challenger)
    if pair is None:
        return champion.mean, challenger.mean
    return float(pair.champion.centre + pair.champion.excess), float(pair.challenger.centre + pair.challenger.excess)
