"""What a version's first labelled rows were like: with it everything that comes later is compared.

A loss is in [0, 1]: of a classifier 1 for a wrong answer; of a regression the absolute error over SPREAD times the mean
one of these rows, at most 1. A target is what the relation between inputs and labels shows in: of a binary classifier
the label, of another whether the answer was right, of a regression the label between the extremes of these rows.
"""

from collections.abc import Sequence
from dataclasses import replace
from sys import float_info
from typing import NamedTuple

import numpy as np

from sidecar.monitors.pieces import merged
from sidecar.monitors.placing import placement
from sidecar.quality.answers import Amounts
from sidecar.quality.reading import Read, Reading
from sidecar.quality.relation import Labelled as Coded
from sidecar.quality.relation import Reference
from sidecar.records import Labelled, Table
from sidecar.reference.binning import bins_of
from sidecar.reference.learning import SKETCH_K, Learner
from sidecar.reference.profile import Profile, Profiles
from sidecar.reference.sketch import Sketch
from sidecar.stats.moments import Flags, Floats

SPREAD = 4.0
"""Of absolute errors that are normal, 0.14 % are greater than 4 times their mean: what is lost of the others' size."""

EXTREMES = (0.005, 0.995)
"""Quantiles between which a label of a regression counts."""

ROUNDING = 1e-9
"""Of the greatest label: what is less is no error, and labels that differ by less are equal."""

TINY = 1e-300
"""The least unit, where all labels are 0."""


class Scale(NamedTuple):
    """The units of a regression's losses and targets.

    Args:
        error: That counts as a whole loss.
        low: The label from which targets are counted.
        span: From there to where the target is 1.
    """

    error: float
    low: float
    span: float


class Yardstick:
    """The rows to compare with, and what follows from them.

    Attributes:
        rows: Of these, in as few pieces as there are sets of columns.
        bins: Of features, then of predictions.
        outputs: How many of the last columns are predictions.
        reference: What they make one expect.
        scale: The units of a regression; of a classifier from 0 to 1.
    """

    def __init__(self, rows: Sequence[Labelled], reading: Reading) -> None:
        self.rows = merged(rows)
        with np.errstate(over="ignore"):  # beyond the greatest number there is none, and nobody needs sums of such
            self.bins = bins_of(_profiles(self.rows))
        asked = {name for each in self.rows for name in each.features.names}
        self.outputs = sum(name not in asked for name in self.bins.names)
        reads = [reading.read(each) for each in self.rows]
        self.scale = _scale_of(reads)
        self._binary = reading.task == "binary"
        coded = [self.coded(each, read) for each, read in zip(self.rows, reads, strict=True)]
        self.reference = Reference.learn(_stacked(coded))

    def __len__(self) -> int:
        return len(self.reference.rows.loss)

    @property
    def even_rows(self) -> float:
        """Rows of equal weight that know a mean no better: what holds for the mean of so many holds for theirs."""
        weights = self.reference.rows.weights
        return float((weights / weights.max()).sum())

    @property
    def loss(self) -> float:
        """The mean loss of its rows."""
        rows = self.reference.rows
        return float(np.average(rows.loss, weights=rows.weights))

    def coded(self, rows: Labelled, read: Read) -> Coded:
        """Rows as they are compared: by the bins of their columns; those that say nothing are left out."""
        place = placement(self.bins.names, rows.features.names, rows.predictions.names)
        whole = place.rows(rows.features, rows.predictions)
        codes = self.bins.places(whole.values, whole.texts)[read.kept]
        answers = read.answers if read.answers is not None else read.amounts
        assert answers is not None
        return Coded(codes, losses_of(read, self.scale.error), self._targets(read), answers.weights)

    def _targets(self, read: Read) -> Floats:
        if read.answers is None:
            assert read.amounts is not None
            low, span = self.scale.low / 2, self.scale.span / 2
            return (np.clip(read.amounts.actual / 2, low, low + span) - low) / span
        if self._binary:
            return read.answers.actual.astype(np.float64)
        return 1.0 - losses_of(read, self.scale.error)


def losses_of(read: Read, scale: float) -> Floats:
    """The loss of rows that were read, shape (n,).

    Args:
        scale: Of the errors of a regression.
    """
    if read.answers is not None:
        wrong: Flags = read.answers.actual != read.answers.predicted
        return wrong.astype(np.float64)
    assert read.amounts is not None
    losses: Floats = np.minimum(_half_errors(read.amounts), scale / 2) / (scale / 2)
    return losses


def _profiles(rows: Sequence[Labelled]) -> Profiles:
    """Of features, then of predictions; a prediction that is called as a feature is left out."""
    asked, answered = Learner(), Learner()
    for each in rows:
        asked.update(each.features)
        answered.update(each.predictions)
    features = [_exact(each, [piece.features for piece in rows]) for each in asked.profiles().features]
    taken = {each.name for each in features}
    more = [_exact(each, [piece.predictions for piece in rows]) for each in answered.profiles().features]
    return Profiles(asked.rows, [*features, *(each for each in more if each.name not in taken)])


def _exact(profile: Profile, tables: Sequence[Table]) -> Profile:
    """With all of its numbers held: which of them a sketch drops is drawn by lot, and bins must be the same again."""
    if profile.numbers is None:
        return profile
    columns = [each.values[:, each.names.index(profile.name)] for each in tables if profile.name in each.names]
    numbers = np.concatenate(columns)
    held = np.sort(numbers[np.isfinite(numbers)]).tolist()
    return replace(profile, numbers=replace(profile.numbers, sketch=Sketch(SKETCH_K, [held])))


def _scale_of(reads: Sequence[Read]) -> Scale:
    """The units; by halves, since differences of the greatest numbers overflow."""
    amounts = [read.amounts for read in reads if read.amounts is not None]
    actual = np.concatenate([each.actual for each in amounts]) if amounts else np.empty(0)
    if not len(actual):
        return Scale(1.0, 0.0, 1.0)
    errors = np.concatenate([_half_errors(each) for each in amounts])
    least = max(ROUNDING * float(np.abs(actual).max()), TINY)
    error = 2 * SPREAD * float((errors / len(errors)).sum())
    low, high = (2 * each for each in np.quantile(actual / 2, EXTREMES).tolist())
    if high / 2 - low / 2 < least / 2:  # as good as constant: what is above shows, and what is below
        low, high = max(low - least, -float_info.max), min(high + least, float_info.max)
    return Scale(min(max(error, least), float_info.max), low, min(high - low, float_info.max))


def _half_errors(amounts: Amounts) -> Floats:
    halves: Floats = np.abs(amounts.predicted / 2 - amounts.actual / 2)
    return halves


def _stacked(coded: Sequence[Coded]) -> Coded:
    return Coded(
        np.concatenate([each.codes for each in coded]),
        np.concatenate([each.loss for each in coded]),
        np.concatenate([each.target for each in coded]),
        np.concatenate([each.weights for each in coded]),
    )
