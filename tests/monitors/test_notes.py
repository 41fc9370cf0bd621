from collections.abc import Mapping, Sequence

import numpy as np
import pytest

from sidecar.monitors.grades import Grade
from sidecar.monitors.notes import notes
from sidecar.monitors.quality import Quality
from sidecar.payload.assembling import tabulate
from sidecar.quality.reading import Reading
from sidecar.records import Labelled, Scalar, Table


def told(reading: Reading, labels: Sequence[Scalar], replies: Mapping[str, Sequence[Scalar]]) -> list[str]:
    n = len(labels)
    nothing = Table((), np.empty((n, 0)))
    columns = list(replies.values())
    answers = tabulate(tuple(replies), [[column[row] for column in columns] for row in range(n)])
    graded = Quality().grade(lambda: reading).versions.of("champion", "3", 0.0)
    table = tabulate(("label",), [[label] for label in labels])
    graded.take(Labelled("champion", "3", np.zeros(n), np.ones(n), nothing, answers, table, nothing))
    return notes(graded, Grade.of(graded, 0.0))


BOTH: list[Scalar] = [0, 1] * 100
SHARES: list[Scalar] = [0.2, 0.7] * 100


def test_nothing_is_odd_about_labels_of_both_classes_and_a_probability() -> None:
    assert told(Reading(task="binary"), BOTH, {"probability": SHARES}) == []


def test_a_positive_class_that_never_comes_is_told() -> None:
    reading = Reading(task="binary", positive="yes", prediction="answer", probabilities=("p",))

    assert told(reading, BOTH, {"answer": BOTH, "p": SHARES}) == [
        "no label of 200 is of the positive class yes (model.positive)"
    ]


@pytest.mark.parametrize("task", ["binary", "multiclass"])
def test_columns_that_never_came_and_missing_probabilities_are_told(task: str) -> None:
    reading = Reading(task=task, probabilities=("proba",))  # type: ignore[arg-type]

    assert told(reading, BOTH, {"answer": BOTH}) == [
        "model.probabilities: replies have no column proba, but answer",
        "replies have no probabilities: AUC, log loss and estimates take a column of them (model.probabilities)",
    ]


def test_labels_of_neither_class_are_told() -> None:
    labels: list[Scalar] = [*BOTH, "frud", "frud", 7]

    assert told(Reading(task="binary"), labels, {"probability": [*SHARES, 0.5, 0.5, 0.5]}) == [
        "labels that are of neither class are left out, 3 so far: frud (2), 7 (1)"
    ]


def test_of_many_labels_of_neither_class_a_few_are_named() -> None:
    labels: list[Scalar] = [*BOTH, *(f"slip {number}" for number in range(30))]

    assert told(Reading(task="binary"), labels, {"probability": [*SHARES, *[0.5] * 30]}) == [
        "labels that are of neither class are left out, 30 so far: "
        "other (10), slip 0 (1), slip 1 (1), slip 2 (1), slip 3 (1), …"
    ]


def test_labels_of_a_regression_that_are_no_numbers_are_told() -> None:
    assert told(Reading(task="regression"), [1.5, "much"], {"answer": [1.0, 2.0]}) == [
        "labels that are no numbers are left out, 1 so far: much (1)"
    ]


def test_a_regression_has_none() -> None:
    assert told(Reading(task="regression"), [1.5] * 200, {"answer": [1.0] * 200}) == []


def test_before_the_first_row_there_is_nothing_to_tell() -> None:
    graded = Quality().grade(lambda: Reading(task="binary")).versions.of("champion", "3", 0.0)

    assert notes(graded, None) == []
