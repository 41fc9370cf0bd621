"""The quality of a model over its whole life, in memory that does not grow: what is counted instead of the rows.

Numbers have the names that they have from rows (`quality`, `quality_of_amounts`) and equal these up to rounding, but
for AUC, curves and calibration: they come from counts of the probabilities in 4,096 bins, whose rows are taken for
equal. That moves the AUC by at most half the share of the pairs of a row that came true and one that did not which
share a bin, and calibration by the rows at the borders of its 10 bins. Probabilities of up to three decimals are exact:
no two of them share a bin.
"""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from sidecar.quality.answers import Amounts, Answers
from sidecar.quality.classification import confusion, scores_of
from sidecar.quality.curves import Ranking
from sidecar.quality.probabilities import (
    SMALLEST,
    Losses,
    losses,
    positives,
    predictions,
    rated,
    scores_of_probabilities,
)
from sidecar.quality.regression import NOTHING, Errors, errors_of, merged, scores_of_errors
from sidecar.stats.moments import Flags, Floats

BINS = 1 << 12

Arrays = dict[str, Floats]


class ClassTotals:
    """All that a classifier has answered, counted; about 200 kB and the matrix of confusion.

    Classes may be added behind the ones there are: what came before counts as if they had had no probability then.
    Two sets of bins are kept, since two classes are told by the positive one and any other number by the predicted one.
    The positive one's hold rows only from when there were exactly two classes.

    Args:
        classes: As in `Answers`.
    """

    __slots__ = ("_confusion", "_positive", "_predicted", "_sums", "classes")

    def __init__(self, classes: tuple[str, ...]) -> None:
        self.classes = classes
        self._confusion: Floats = np.zeros((len(classes), len(classes)))
        # Weight, log loss and squared errors, as in Losses.
        self._sums: Floats = np.zeros(3)
        # By bin: weight of hits, of misses, and the weighted sum of the probabilities.
        self._positive: Floats = np.zeros((3, BINS))
        self._predicted: Floats = np.zeros((3, BINS))

    def add(self, answers: Answers) -> None:
        """Count rows.

        Raises:
            ValueError: Their classes do not begin with those there are.
        """
        self._grow(answers.classes)
        self._confusion += confusion(answers)
        rows = rated(answers)
        sums = losses(rows)
        self._sums += (sums.weight, sums.log, sums.squared)
        self._predicted += _counts(*predictions(rows), rows.weights)
        if len(self.classes) == 2:
            self._positive += _counts(*positives(rows), rows.weights)

    def _grow(self, classes: tuple[str, ...]) -> None:
        known = len(self.classes)
        if classes[:known] != self.classes:
            raise ValueError(f"classes: {classes}, expected {self.classes} and any behind them")
        self._confusion = np.pad(self._confusion, (0, len(classes) - known))
        self.classes = classes

    @property
    def confusion(self) -> Floats:
        """The weight of all rows of each label and each prediction, as `confusion` gives it of rows."""
        return self._confusion.copy()

    def ranking(self) -> Ranking:
        """All rows as `ranking_of` gives them, those of one bin at their mean: for curves and reliability."""
        bins = self._positive if len(self.classes) == 2 else self._predicted
        hits, misses, sums = bins[:, bins[0] + bins[1] > 0][:, ::-1]
        return Ranking(sums / (hits + misses), hits, misses)

    def scores(self) -> dict[str, float]:
        """What `quality` gives of all rows."""
        weight, log, squared = self._sums.tolist()
        told = scores_of_probabilities(len(self.classes), Losses(weight, log, squared), self.ranking())
        return scores_of(self._confusion) | told

    def arrays(self) -> Arrays:
        """What to save over a restart, beside `classes`."""
        return {
            "confusion": self._confusion.copy(),
            "sums": self._sums.copy(),
            "positive": self._positive.copy(),
            "predicted": self._predicted.copy(),
        }

    def restore(self, arrays: Mapping[str, NDArray[np.generic]]) -> None:
        """What was saved, of the same classes.

        Raises:
            KeyError: One is missing.
            ValueError: One is of another shape or type; then nothing has changed.
        """
        saved = {name: _like(arrays[name], old, name) for name, old in self.arrays().items()}
        self._confusion, self._sums = saved["confusion"], saved["sums"]
        self._positive, self._predicted = saved["positive"], saved["predicted"]


class AmountTotals:
    """All that a regression has answered, as moments."""

    __slots__ = ("_errors",)

    def __init__(self) -> None:
        self._errors = NOTHING

    def add(self, amounts: Amounts) -> None:
        """Count rows."""
        self._errors = merged(self._errors, errors_of(amounts))

    def scores(self) -> dict[str, float]:
        """What `quality_of_amounts` gives of all rows."""
        return scores_of_errors(self._errors)

    def arrays(self) -> Arrays:
        """What to save over a restart."""
        errors = self._errors
        return {
            "errors": np.array([errors.weight, errors.absolute, errors.root_mean_square, errors.mean, errors.deviation])
        }

    def restore(self, arrays: Mapping[str, NDArray[np.generic]]) -> None:
        """What was saved.

        Raises:
            KeyError: It is missing.
            ValueError: It is of another shape or type.
        """
        self._errors = Errors(*_like(arrays["errors"], self.arrays()["errors"], "errors").tolist())


def _counts(probabilities: Floats, came_true: Flags, weights: Floats) -> Floats:
    """The rows by bin, shape (3, BINS): weight of hits, of misses, weighted sum of the probabilities."""
    places = np.minimum((_positions(probabilities) * BINS).astype(np.int64), BINS - 1)
    columns = np.where(came_true, weights, 0.0), np.where(came_true, 0.0, weights), weights * probabilities
    return np.stack([np.bincount(places, weights=column, minlength=BINS) for column in columns])


def _positions(probabilities: Floats) -> Floats:
    """Where among the bins each lies, from 0 to 1: the mean of two rising scales.

    The angle asin(sqrt(p)), on which shares are equally sure everywhere, keeps bins narrower than 0.0008; the log-odds
    keep them within 4 % of p, and of 1 - p, down to 2e-16, since a model may rank rows by what it is sure of.
    """
    inside = np.clip(probabilities, SMALLEST, 1.0 - SMALLEST)
    log_odds = np.log(inside) - np.log1p(-inside)
    angle = np.arcsin(np.sqrt(probabilities))
    positions: Floats = 0.25 - log_odds / (4 * np.log(SMALLEST)) + angle / np.pi
    return positions


def _like(new: NDArray[np.generic], old: Floats, name: str) -> Floats:
    if new.shape != old.shape or new.dtype != old.dtype:
        raise ValueError(f"{name}: {new.dtype} of shape {new.shape}, expected {old.dtype} of shape {old.shape}")
    return np.array(new, dtype=np.float64)
