"""The quality of one version: of the window and of all rows so far, realised, and estimated before the labels come."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import NamedTuple

import numpy as np

from sidecar.quality.answers import Amounts, Answers
from sidecar.quality.calibration import Calibration
from sidecar.quality.classification import confusion, quality, scores_of
from sidecar.quality.curves import Curves, Ranking, curves
from sidecar.quality.deviations import deviations
from sidecar.quality.estimated import Estimate, estimate
from sidecar.quality.ledger import Ledger
from sidecar.quality.powered import Labels, Powered, powered
from sidecar.quality.probabilities import Reliability, ranking_of, rated, reliability
from sidecar.quality.reading import Read, Reading
from sidecar.quality.regression import quality_of_amounts
from sidecar.quality.totals import AmountTotals, ClassTotals
from sidecar.records import Table
from sidecar.stats.keeping import Array, below, packed, unpacked
from sidecar.stats.moments import Counts, Floats


class Score(NamedTuple):
    """A number of quality.

    Args:
        value: NaN where it is undefined.
        deviation: Its standard error; NaN below 200 rows.
    """

    value: float
    deviation: float


@dataclass(frozen=True, slots=True)
class Scores:
    """What some rows say.

    Args:
        rows: That have a label and an answer.
        first_s: Unix time of the first request; NaN without rows, as the next.
        last_s: Of the last.
        scores: By the names that Model Monitor has, and further ones.
        classes: Of the matrix; none of a regression.
        confusion: Weight by label and answer, shape (C, C).
        curves: Of two classes with probabilities.
        reliability: Likewise.
    """

    rows: int
    first_s: float
    last_s: float
    scores: Mapping[str, Score]
    classes: tuple[str, ...]
    confusion: Floats
    curves: Curves | None
    reliability: Reliability | None


@dataclass(frozen=True, slots=True)
class Estimated:
    """What is expected of rows whose labels may not have come.

    Args:
        rows: Predictions in the window.
        first_s: Unix time of the first.
        calibrated_on: Labelled rows that the calibration was learned from.
        estimates: By name; blind to concept drift.
        accuracy: From the labels that there are, corrected by what is estimated of all rows; None without either.
    """

    rows: int
    first_s: float
    calibrated_on: int
    estimates: Mapping[str, Estimate]
    accuracy: Powered | None


@dataclass(slots=True)
class Scored:
    """Scores the rows of one version.

    Args:
        reading: Reads them.
        rows: Of the windows.
        seconds: Their age.

    Attributes:
        labelled: Rows so far that say anything.
        answered: Predictions so far of which quality can be estimated.
    """

    reading: Reading
    rows: int
    seconds: float
    labelled: int = 0
    answered: int = 0
    # Whether what looks like probabilities has ever been anything but 0 or 1: else they are answers as numbers.
    _confident: bool = False
    _totals: ClassTotals | AmountTotals = field(init=False)
    _window: Ledger = field(init=False)
    _predictions: Ledger = field(init=False)

    def __post_init__(self) -> None:
        regression = self.reading.task == "regression"
        self._totals = AmountTotals() if regression else ClassTotals(self.reading.classes)
        self._window = Ledger(rows=self.rows, seconds=self.seconds)
        self._predictions = Ledger(rows=self.rows, seconds=self.seconds)

    def take(self, times_s: Floats, read: Read) -> None:
        """Take labelled rows.

        Args:
            times_s: Of their requests, shape (n,), those that say nothing included.
        """
        self.labelled += len(read.kept)
        if read.amounts is not None:
            assert isinstance(self._totals, AmountTotals)
            self._totals.add(read.amounts)
            columns: dict[str, Array] = {"actual": read.amounts.actual, "predicted": read.amounts.predicted}
            weights = read.amounts.weights
        else:
            assert read.answers is not None
            assert isinstance(self._totals, ClassTotals)
            answers, weights = read.answers, read.answers.weights
            self._confident = self._confident or _are_confident(answers.probabilities)
            self._totals.add(answers)
            columns = {"actual": answers.actual, "predicted": answers.predicted}
            columns["probabilities"] = _probabilities(answers)
        self._window.add(times_s[read.kept], {**columns, "weights": weights})

    def predicted(self, predictions: Table, now_s: float) -> None:
        """Take predictions, labels or not; of a regression nothing can be estimated."""
        if self.reading.task == "regression" or not predictions.names:
            return
        said = self.reading.answered(predictions)
        if said.probabilities is None:
            return
        kept = np.flatnonzero(said.told)
        self.answered += len(kept)
        columns = {"predicted": said.predicted[kept], "probabilities": said.probabilities[kept]}
        self._predictions.add(np.full(len(kept), now_s), columns)

    def window(self, now_s: float) -> Scores:
        """What the window says."""
        times_s, columns = self._window.current(now_s)
        ends = (float(times_s[0]), float(times_s[-1])) if len(times_s) else (np.nan, np.nan)
        if self.reading.task == "regression":
            amounts = _amounts(columns)
            scores = _scored(
                quality_of_amounts(amounts),
                deviations(lambda kept: quality_of_amounts(_at(amounts, kept)), len(times_s)),
            )
            return Scores(len(times_s), *ends, scores, (), np.empty((0, 0)), None, None)
        answers = self._answers(columns)
        scores = _scored(quality(answers), deviations(lambda kept: quality(_kept(answers, kept)), len(times_s)))
        ranking = ranking_of(rated(answers)) if self._confident and len(answers.classes) == 2 else None
        return Scores(
            len(times_s),
            *ends,
            scores,
            answers.classes,
            confusion(answers),
            *_drawn(ranking),
        )

    def lifetime(self) -> Scores:
        """What all rows so far say; scores without deviations."""
        values, totals = self._totals.scores(), self._totals
        if isinstance(totals, AmountTotals):
            scores = _scored(values, dict.fromkeys(values, np.nan))
            return Scores(self.labelled, np.nan, np.nan, scores, (), np.empty((0, 0)), None, None)
        if not self._confident:
            values |= dict.fromkeys(values.keys() - scores_of(totals.confusion).keys(), np.nan)
        ranking = totals.ranking() if len(totals.classes) == 2 and self._confident else None
        scores = _scored(values, dict.fromkeys(values, np.nan))
        return Scores(self.labelled, np.nan, np.nan, scores, totals.classes, totals.confusion, *_drawn(ranking))

    def estimated(self, now_s: float) -> Estimated | None:
        """What is expected of the predictions of the window; None where they have no probabilities."""
        times_s, columns = self._predictions.current(now_s)
        if not len(times_s) or not (self._confident or _are_confident(columns["probabilities"])):
            return None
        labelled = self._answers(self._window.current(now_s)[1])
        known = labelled.probabilities
        wide = len(self.reading.classes)
        shares, chosen = _wide(columns["probabilities"], wide), columns["predicted"]
        if known is None:
            known = np.full((len(labelled.actual), wide), np.nan)
        calibration = Calibration.learn(known, labelled.actual, labelled.weights)
        weights = np.ones(len(times_s))
        found = estimate(shares, chosen, calibration, weights)
        accuracy = self._powered(calibration, labelled, (shares, chosen))
        return Estimated(len(times_s), float(times_s[0]), len(labelled.actual), found, accuracy)

    def _powered(
        self, calibration: Calibration, labelled: Answers, predictions: tuple[Floats, Counts]
    ) -> Powered | None:
        if labelled.probabilities is None or not len(labelled.actual):
            return None
        expected = _chosen(calibration(labelled.probabilities), labelled.predicted)
        right = (labelled.actual == labelled.predicted).astype(np.float64)
        everywhere = _chosen(calibration(predictions[0]), predictions[1])
        return powered(Labels(right, expected, labelled.weights), everywhere, np.ones(len(everywhere)))

    def state(self) -> dict[str, Array]:
        """What is to be known after a restart."""
        parts = {name: np.array(getattr(self, name)) for name in ("labelled", "answered", "_confident")}
        parts |= {"classes": packed(self.reading.classes)}
        parts |= {f"totals.{name}": array for name, array in self._totals.arrays().items()}
        parts |= {f"window.{name}": array for name, array in self._window.state().items()}
        return parts | {f"predictions.{name}": array for name, array in self._predictions.state().items()}

    def restore(self, state: Mapping[str, Array]) -> None:
        """Go on from a state.

        Raises:
            KeyError: A part of it is missing.
            ValueError: A part of it is of another shape, likewise msgspec's ValidationError.
        """
        self.labelled, self.answered = int(state["labelled"]), int(state["answered"])
        self._confident = bool(state["_confident"])
        self.reading.classes = unpacked(state["classes"], tuple[str, ...])
        if isinstance(self._totals, ClassTotals):
            # Predictions may have named more classes than the rows that were counted had.
            self._totals = ClassTotals(self.reading.classes[: len(state["totals.confusion"])])
        self._totals.restore(below("totals.", state))
        shares = () if self.reading.task == "regression" else ("probabilities",)
        self._window.restore(below("window.", state), ("actual", "predicted", *shares, "weights"))
        self._predictions.restore(below("predictions.", state), ("predicted", *shares))

    def _answers(self, columns: Mapping[str, Array]) -> Answers:
        """The rows of the window; without any, none."""
        classes = self.reading.classes
        if not columns:
            nothing = np.empty(0, dtype=np.int64)
            return Answers(classes, nothing, nothing, None, np.empty(0))
        answers = Answers(
            classes,
            columns["actual"],
            columns["predicted"],
            _wide(columns["probabilities"], len(classes)),
            columns["weights"],
        )
        return answers if self._confident else replace(answers, probabilities=None)


def _are_confident(probabilities: Floats | None) -> bool:
    """Whether any of them is neither 0 nor 1."""
    return probabilities is not None and bool(((probabilities > 0) & (probabilities < 1)).any())


def _drawn(ranking: Ranking | None) -> tuple[Curves | None, Reliability | None]:
    """What is drawn of it, where it has a row."""
    if ranking is None or not len(ranking.hits):
        return None, None
    return curves(ranking), reliability(ranking)


def _probabilities(answers: Answers) -> Floats:
    if answers.probabilities is not None:
        return answers.probabilities
    return np.full((len(answers.actual), len(answers.classes)), np.nan)


def _wide(probabilities: Floats, classes: int) -> Floats:
    """With a column for every class: those that came later had no probability."""
    return np.pad(probabilities, ((0, 0), (0, classes - probabilities.shape[1])))


def _amounts(columns: Mapping[str, Array]) -> Amounts:
    if not columns:
        return Amounts(np.empty(0), np.empty(0), np.empty(0))
    return Amounts(columns["actual"], columns["predicted"], columns["weights"])


def _at(amounts: Amounts, kept: Array) -> Amounts:
    return Amounts(amounts.actual[kept], amounts.predicted[kept], amounts.weights[kept])


def _kept(answers: Answers, kept: Array) -> Answers:
    probabilities = None if answers.probabilities is None else answers.probabilities[kept]
    return Answers(answers.classes, answers.actual[kept], answers.predicted[kept], probabilities, answers.weights[kept])


def _scored(values: Mapping[str, float], errors: Mapping[str, float]) -> dict[str, Score]:
    return {name: Score(value, errors[name]) for name, value in values.items()}


def _chosen(probabilities: Floats, predicted: Counts) -> Floats:
    """The probability of the class that was chosen, shape (n,)."""
    return probabilities[np.arange(len(predicted)), predicted]
