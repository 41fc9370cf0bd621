"""From rows whose labels have come to what measures take: which column of a reply says what.

A class is a text. A whole number is the text of its digits: the label `1`, the label `"1"` and the answer
1.0 are of one class. A row without a label, or without an answer, says nothing, and is left out.

Of two classes the other one needs no name: whatever is not positive is of it. But where labels do call it as the model
does, or 0 beside 1, a label that is called otherwise is a slip or another model's, and no negative: it is left out too,
and told. Of more classes a new one is a class like any other, and one that the model misses.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

import numpy as np

from sidecar.quality.answers import Amounts, Answers
from sidecar.records import Labelled, Table
from sidecar.stats.columns import Cells
from sidecar.stats.moments import Counts, Flags, Floats

Task = Literal["binary", "multiclass", "regression"]

MAX_CLASSES = 100
"""Classes that are told apart; what comes later is OTHER."""

OTHER = "other"
TRUTHS = ("0", "1")
"""Two classes that need nobody to name them."""

NEGATIVE = "0"
"""What all is called that is not of the positive class, where the positive one is not called so."""

UNKNOWN = -2
"""The place of a label of neither class of two."""

PROBABILITY = ("prob", "score")
"""What the name of a column of probabilities has in it, where nobody has named one."""


class Read(NamedTuple):
    """What some rows say.

    Args:
        kept: The rows that say anything, by position: those with a label and an answer.
        answers: Of those, of a classifier; None for a regression.
        amounts: Of those, of a regression; None for a classifier.
        unknown: The labels for which rows with an answer were left out: of neither class of two; of a regression, those
            that are no numbers.
    """

    kept: Counts
    answers: Answers | None
    amounts: Amounts | None
    unknown: Sequence[str] = ()


class Answered(NamedTuple):
    """What replies say, labels or not.

    Args:
        told: The rows with an answer, shape (n,).
        predicted: The place of the class, shape (n,); -1 without an answer.
        probabilities: Shape (n, C); None where the replies have none.
    """

    told: Flags
    predicted: Counts
    probabilities: Floats | None


class Columns(NamedTuple):
    """Where a reply's columns are: positions; -1 and empty where there is none."""

    prediction: int
    probabilities: tuple[int, ...]


@dataclass(slots=True, kw_only=True)
class Reading:
    """Reads the rows of one version.

    Args:
        task: What the model does.
        prediction: The column of its answer; empty for the first that is no probability.
        probabilities: The columns of its probabilities: of the positive class, or one for each of `classes`; empty for
            those whose name has `prob` or `score` in it, or else for all, where there are as many numbers as classes.
        positive: The positive class of two.
        threshold: The least probability with which the answer is the positive class, where a reply has no answer.
        classes: Of a classifier of more than two, in the order of its probabilities. Others are added as they come.

    Attributes:
        seen: The columns of the replies that came last; None before the first.
        reads: Which of them was taken for the answer, and which for probabilities.
    """

    task: Task
    prediction: str = ""
    probabilities: tuple[str, ...] = ()
    positive: str = "1"
    threshold: float = 0.5
    classes: tuple[str, ...] = ()
    seen: tuple[str, ...] | None = field(init=False, default=None)
    reads: tuple[str | None, tuple[str, ...]] = field(init=False, default=(None, ()))
    _order: tuple[str, ...] = field(init=False)
    # Of two classes: what the other one is called, so far, and whether labels call it so. No part of the settings.
    _others: set[str] = field(init=False, repr=False, default_factory=set)
    _called: bool = field(init=False, repr=False, default=False)

    def __post_init__(self) -> None:
        self._order = self.classes
        if self.task == "binary":
            if (positive := _truth(self.positive)) in TRUTHS:
                self._others = set(TRUTHS) - {positive}
            negative = NEGATIVE if self.positive != NEGATIVE else "1"
            self.classes = (negative, self.positive)

    def read(self, rows: Labelled) -> Read:
        """What the rows say; those without a label, or without an answer, are left out."""
        if self.task == "regression":
            return self._amounts(rows)
        said = self.answered(rows.predictions)  # first: columns of shares name the classes in their own order
        texts = texts_of(rows.labels, 0)
        labels = self._sides(texts) if self.task == "binary" else self._places(texts)
        kept = np.flatnonzero(said.told & (labels >= 0))
        probabilities = None if said.probabilities is None else said.probabilities[kept]
        if probabilities is not None and probabilities.shape[1] < len(self.classes):
            # A class that came with a label only now: the model gives it nothing.
            more = np.zeros((len(kept), len(self.classes) - probabilities.shape[1]))
            probabilities = np.column_stack([probabilities, more])
        answers = Answers(self.classes, labels[kept], said.predicted[kept], probabilities, rows.weights[kept])
        return Read(kept, answers, None, _those(texts, said.told & (labels == UNKNOWN)))

    def answered(self, predictions: Table) -> Answered:
        """What a classifier's replies say."""
        columns = self.columns(predictions)
        places, values = self._shares(predictions, columns)
        probabilities = self._by_class(places, values)
        if columns.prediction >= 0:
            texts = texts_of(predictions, columns.prediction)
            predicted = self._places(texts)
            self._hear(texts)
        elif probabilities is None:
            predicted = np.full(len(predictions.values), -1)
        elif self.task == "binary":
            positive = probabilities[:, 1]
            predicted = np.where(np.isnan(positive), -1, positive >= self.threshold)
        else:  # by column: of many classes that are OTHER together none need be the likeliest
            known = np.where(np.isnan(values), -1.0, values)
            predicted = np.where((known >= 0).any(axis=1), places[known.argmax(axis=1)], -1)
        return Answered(predicted >= 0, predicted.astype(np.int64), probabilities)

    def columns(self, predictions: Table) -> Columns:
        """Which columns of these replies say what."""
        found = self._found(predictions)
        self.seen = names = predictions.names
        answer = names[found.prediction] if found.prediction >= 0 else None
        self.reads = answer, tuple(names[place] for place in found.probabilities)
        return found

    def _found(self, predictions: Table) -> Columns:
        names = predictions.names
        places = {name: place for place, name in enumerate(names)}
        chosen = tuple(places[name] for name in self.probabilities if name in places)
        if not self.probabilities and self.task != "regression":
            chosen = self._guessed(predictions)
        if self.prediction:
            return Columns(places.get(self.prediction, -1), chosen)
        return Columns(next((place for place in range(len(names)) if place not in chosen), -1), chosen)

    def _guessed(self, predictions: Table) -> tuple[int, ...]:
        """The columns that are probabilities, where nobody has named any."""
        names, wanted = predictions.names, len(self.classes)
        called = tuple(
            place
            for place, name in enumerate(names)
            if name != self.prediction and any(part in name.casefold() for part in PROBABILITY)
        )
        if called:
            return called  # of two classes the last one counts, and the other is no answer either
        whole = predictions.values
        shares = not predictions.texts and len(names) > 1 and _are_shares(whole)
        if self.task == "multiclass":
            return tuple(range(len(names))) if shares and len(names) >= wanted else ()
        if len(names) == 2 and shares:
            return (0, 1)
        alone = len(names) == 1 and not predictions.texts and self.positive == "1" and not self.prediction
        return (0,) if alone and _are_probabilities(whole[:, 0]) else ()

    def _shares(self, predictions: Table, columns: Columns) -> tuple[Counts, Floats]:
        """The columns of probabilities, shape (n, m), and the class of each, shape (m,); m may be 0."""
        values = predictions.values[:, list(columns.probabilities)]
        values = np.where((values >= 0) & (values <= 1), values, np.nan)
        if self.task == "binary":
            return np.array([1]), values[:, -1:]
        named = self._order or tuple(map(str, range(values.shape[1])))
        places = [self._place(name) for name in named[: values.shape[1]]]
        return np.array(places, dtype=np.int64), values[:, : len(places)]

    def _by_class(self, places: Counts, values: Floats) -> Floats | None:
        """Shape (n, C); None without a column."""
        if not values.shape[1]:
            return None
        if self.task == "binary":
            return np.column_stack([1 - values, values])
        by_class = np.zeros((len(values), len(self.classes)))
        np.add.at(by_class.T, places, values.T)  # several may be of the class OTHER
        return np.minimum(by_class, 1.0)

    def _amounts(self, rows: Labelled) -> Read:
        column = self.columns(rows.predictions).prediction
        actual = rows.labels.values[:, 0]
        predicted = rows.predictions.values[:, column] if column >= 0 else np.full(len(actual), np.nan)
        kept = np.flatnonzero(np.isfinite(actual) & np.isfinite(predicted))
        unknown = _those(texts_of(rows.labels, 0), np.isfinite(predicted) & ~np.isfinite(actual))
        return Read(kept, None, Amounts(actual[kept], predicted[kept], rows.weights[kept]), unknown)

    def _hear(self, answers: Cells) -> None:
        """Learn what the model calls the other class of two."""
        if self.task == "binary" and len(self._others) < MAX_CLASSES:
            new = {_truth(text) for text in answers if text is not None} - {_truth(self.positive)} - self._others
            self._others.update(sorted(new)[: MAX_CLASSES - len(self._others)])

    def _sides(self, texts: Cells) -> Counts:
        """Of two classes the place of each label; below 0 of those that are of neither."""
        labels = [None if text is None else _truth(text) for text in texts]
        self._called = self._called or not self._others.isdisjoint(labels)
        places: dict[str | None, int] = dict.fromkeys(labels, UNKNOWN if self._called else 0)
        places |= dict.fromkeys(self._others, 0)
        places |= {_truth(self.positive): 1, None: -1}
        return np.array([places[label] for label in labels], dtype=np.int64)

    def _places(self, texts: Cells) -> Counts:
        return np.array([-1 if text is None else self._place(text) for text in texts], dtype=np.int64)

    def _place(self, text: str) -> int:
        """The place of a class; one that is new gets the next."""
        if self.task == "binary":
            return int(_truth(text) == _truth(self.positive))
        try:
            return self.classes.index(text)
        except ValueError:
            if len(self.classes) >= MAX_CLASSES:
                return self._place(OTHER) if text != OTHER and OTHER in self.classes else len(self.classes) - 1
            self.classes = (*self.classes, OTHER if len(self.classes) == MAX_CLASSES - 1 else text)
            return len(self.classes) - 1


def _truth(text: str) -> str:
    """What pandas writes as `True` is JSON's true, and that is 1; likewise of 0."""
    return {"true": "1", "false": "0"}.get(text.lower(), text) if len(text) <= len("false") else text


def _those(texts: Cells, wanted: Flags) -> list[str]:
    """The texts at these places."""
    return [text for place in np.flatnonzero(wanted).tolist() if (text := texts[place]) is not None]


def texts_of(table: Table, column: int) -> Cells:
    """The cells of a column as texts, numbers as `class_of` has them; None where there is nothing."""
    values = table.values[:, column].tolist()
    texts: Sequence[str | None] = table.texts.get(column) or [None] * len(values)
    return [text if text is not None else class_of(value) for text, value in zip(texts, values, strict=True)]


def class_of(value: float) -> str | None:
    """The class that a number names; None for what is no number.

    Example:
        >>> class_of(1.0), class_of(0.5), class_of(float("nan"))
        ('1', '0.5', None)
    """
    if np.isnan(value):
        return None
    return str(int(value)) if np.isfinite(value) and value == int(value) else repr(value)


def _are_probabilities(values: Floats) -> bool:
    known = values[~np.isnan(values)]
    return bool(((known >= 0) & (known <= 1)).all())


def _are_shares(values: Floats) -> bool:
    """Whether the rows are shares that add up to 1."""
    known = values[~np.isnan(values).any(axis=1)]
    return len(known) > 0 and bool((known >= 0).all() and (np.abs(known.sum(axis=1) - 1) < 1e-3).all())
