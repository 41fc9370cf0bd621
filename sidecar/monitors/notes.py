"""What is odd about how a version's rows are read, for whoever wonders at its numbers."""

from collections.abc import Iterator

from sidecar.monitors.graded import Graded
from sidecar.monitors.grades import Grade
from sidecar.texts import shown

ENOUGH = 100
"""Labelled rows among which either class of two should be."""

NAME_LENGTH = 80

TOLD = 5
"""Columns, or labels, that are named."""


def notes(graded: Graded, grade: Grade | None) -> list[str]:
    """In words; empty where nothing is odd."""
    return [*_columns(graded), *_unknown(graded), *(_classes(graded, grade) if grade is not None else ())]


def _columns(graded: Graded) -> Iterator[str]:
    reading = graded.reading
    if reading.seen is None:
        return
    named = (
        ("model.prediction", reading.prediction),
        *(("model.probabilities", name) for name in reading.probabilities),
    )
    for key, name in named:
        if name and name not in reading.seen:
            yield f"{key}: replies have no column {shown(name, NAME_LENGTH)}, but {_listed(reading.seen)}"
    if reading.task != "regression" and not reading.reads[1]:
        yield "replies have no probabilities: AUC, log loss and estimates take a column of them (model.probabilities)"


def _unknown(graded: Graded) -> Iterator[str]:
    if graded.unknown:
        told = [f"{shown(label, NAME_LENGTH)} ({count})" for label, count in graded.unknown.most_common(TOLD)]
        named = ", ".join(told) + (", …" if len(graded.unknown) > TOLD else "")
        odd = "no numbers" if graded.reading.task == "regression" else "of neither class"
        yield f"labels that are {odd} are left out, {graded.unknown.total()} so far: {named}"


def _classes(graded: Graded, grade: Grade) -> Iterator[str]:
    reading, matrix = graded.reading, grade.lifetime.confusion
    if reading.task != "binary" or grade.lifetime.rows < ENOUGH:
        return
    for place, word in ((1, "is"), (0, "is not")):
        if not matrix[place].any():
            positive = shown(reading.positive, NAME_LENGTH)
            yield f"no label of {grade.lifetime.rows} {word} of the positive class {positive} (model.positive)"


def _listed(names: tuple[str, ...]) -> str:
    return ", ".join(shown(name, NAME_LENGTH) for name in names[:TOLD]) + (", …" if len(names) > TOLD else "") or "none"
