"""What a model answered beside what was true: the rows that every measure of quality is made from."""

from dataclasses import dataclass

from sidecar.stats.moments import Counts, Floats


@dataclass(frozen=True, slots=True)
class Answers:
    """n rows of a classifier.

    Args:
        classes: The C classes; of two the positive one is the second.
        actual: The place of each row's label in `classes`, shape (n,).
        predicted: Likewise of what the model chose.
        probabilities: What it gave each class, shape (n, C), NaN where a row has none; None where no row has any.
        weights: Rows of the traffic that each row stands for, shape (n,).
    """

    classes: tuple[str, ...]
    actual: Counts
    predicted: Counts
    probabilities: Floats | None
    weights: Floats


@dataclass(frozen=True, slots=True)
class Amounts:
    """n rows of a regression; all of shape (n,), finite.

    Args:
        weights: As in `Answers`.
    """

    actual: Floats
    predicted: Floats
    weights: Floats
