import math
from collections.abc import Mapping, Sequence

import numpy as np
import pytest

from sidecar.payload.assembling import tabulate
from sidecar.quality import reading
from sidecar.quality.answers import Answers
from sidecar.quality.reading import Reading, class_of
from sidecar.records import Labelled, Scalar, Table
from sidecar.stats.moments import Floats

NAN = math.nan


def labelled(labels: Sequence[Scalar], answers: Mapping[str, Sequence[Scalar]]) -> Labelled:
    n = len(labels)
    columns = [list(column) for column in answers.values()]
    replies = [[column[row] for column in columns] for row in range(n)]
    return Labelled(
        "champion",
        "3",
        times_s=np.arange(n, dtype=np.float64),
        weights=np.arange(1.0, n + 1),
        features=Table((), np.empty((n, 0))),
        predictions=tabulate(tuple(answers), replies) if answers else Table((), np.empty((n, 0))),
        labels=tabulate(("label",), [[label] for label in labels]),
        groups=Table((), np.empty((n, 0))),
    )


def answers(found: reading.Read) -> Answers:
    assert found.answers is not None
    return found.answers


def told(probabilities: Floats | None) -> object:
    return None if probabilities is None else probabilities.tolist()


def binary(labels: Sequence[Scalar], replies: Mapping[str, Sequence[Scalar]], **options: object) -> Answers:
    return answers(Reading(task="binary", **options).read(labelled(labels, replies)))  # type: ignore[arg-type]


@pytest.mark.parametrize("true", [1, 1.0, "1", True])
@pytest.mark.parametrize("said", [1, 1.0, "1", True])
def test_a_class_is_the_same_however_it_is_written(true: Scalar, said: Scalar) -> None:
    found = binary([true, 0], {"label": [said, 0]})

    assert (found.classes, found.actual.tolist(), found.predicted.tolist()) == (("0", "1"), [1, 0], [1, 0])


@pytest.mark.parametrize("positive", ["1", "true", "True"])
def test_of_two_classes_true_is_1_as_csv_of_pandas_has_it(positive: str) -> None:
    found = binary(["True", "False", True, False, "true", 1, 0], {"label": [1, 0, 1, 0, 1, 1, 0]}, positive=positive)

    assert found.actual.tolist() == [1, 0, 1, 0, 1, 1, 0]
    assert found.predicted.tolist() == [1, 0, 1, 0, 1, 1, 0]


def test_one_column_of_numbers_between_0_and_1_is_the_probability() -> None:
    found = binary([1, 0], {"prediction": [0.7, 0.4]})

    assert (found.predicted.tolist(), told(found.probabilities)) == ([1, 0], [[pytest.approx(0.3), 0.7], [0.6, 0.4]])


def test_of_two_numbers_that_add_up_to_1_the_second_is_the_probability() -> None:
    found = binary([1, 0], {"prediction_0": [0.25, 0.5], "prediction_1": [0.75, 0.5]}, threshold=0.6)

    assert (found.predicted.tolist(), told(found.probabilities)) == ([1, 0], [[0.25, 0.75], [0.5, 0.5]])


def test_a_column_called_probability_is_it_and_another_one_the_answer() -> None:
    found = binary(["fraud", "ok"], {"decision": ["fraud", "ok"], "fraud_prob": [0.2, 0.9]}, positive="fraud")

    assert (found.classes, found.predicted.tolist()) == (("0", "fraud"), [1, 0])
    assert told(found.probabilities) == [[0.8, 0.2], [pytest.approx(0.1), 0.9]]


def test_of_two_columns_called_probabilities_neither_is_the_answer() -> None:
    found = binary([1, 0], {"predict_proba_0": [0.0, 0.6], "predict_proba_1": [1.0, 0.4]})

    assert (found.predicted.tolist(), told(found.probabilities)) == ([1, 0], [[0.0, 1.0], [0.6, 0.4]])


def test_named_columns_are_taken() -> None:
    replies: dict[str, list[Scalar]] = {"score_old": [0.9, 0.9], "p": [0.1, 0.8], "out": [0, 1]}
    found = binary([0, 1], replies, prediction="out", probabilities=("p",))

    assert (found.predicted.tolist(), told(found.probabilities)) == ([0, 1], [[0.9, 0.1], [pytest.approx(0.2), 0.8]])


def test_rows_without_a_label_or_an_answer_are_left_out_and_weights_go_with_the_others() -> None:
    found = binary([1, None, 0, 1], {"label": [1, 1, None, 0]})

    assert (found.actual.tolist(), found.predicted.tolist(), found.weights.tolist()) == ([1, 1], [1, 0], [1.0, 4.0])


def test_a_number_that_is_no_probability_is_none() -> None:
    found = binary([1, 0, 1], {"label": [1, 0, 1], "prob": [1.5, None, 0.5]})

    np.testing.assert_equal(told(found.probabilities), [[NAN, NAN], [NAN, NAN], [0.5, 0.5]])


def test_a_column_that_is_not_there_says_nothing() -> None:
    assert binary([1], {"label": [1]}, prediction="other").actual.tolist() == []


def test_classes_are_added_as_they_come_and_keep_their_places() -> None:
    reader = Reading(task="multiclass")
    first = answers(reader.read(labelled(["cat", "dog"], {"label": ["cat", "cat"]})))
    second = answers(reader.read(labelled(["cow", "cat"], {"label": ["dog", "cow"]})))

    assert (first.classes, first.actual.tolist(), first.predicted.tolist()) == (("cat", "dog"), [0, 1], [0, 0])
    assert (second.classes, second.actual.tolist(), second.predicted.tolist()) == (
        ("cat", "dog", "cow"),
        [2, 0],
        [1, 2],
    )


def test_shares_of_several_classes_choose_the_greatest() -> None:
    reader = Reading(task="multiclass", classes=("a", "b", "c"))
    found = answers(reader.read(labelled(["c", "a"], {"x": [0.2, 0.5], "y": [0.2, 0.4], "z": [0.6, 0.1]})))

    assert (found.actual.tolist(), found.predicted.tolist()) == ([2, 0], [2, 0])
    assert told(found.probabilities) == [[0.2, 0.2, 0.6], [0.5, 0.4, 0.1]]


def test_shares_without_names_are_of_the_classes_0_1_and_so_on() -> None:
    replies = {"prediction_0": [0.2, 0.5], "prediction_1": [0.2, 0.4], "prediction_2": [0.6, 0.1]}
    found = answers(Reading(task="multiclass").read(labelled([2, 1], replies)))

    assert found.classes[found.actual[0]] == found.classes[found.predicted[0]] == "2"
    assert [found.classes[place] for place in found.actual] == ["2", "1"]


def test_beyond_the_limit_of_classes_they_are_other(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading, "MAX_CLASSES", 3)
    labels = ["a", "b", "c", "d", "a"]
    found = answers(Reading(task="multiclass").read(labelled(labels, {"label": labels})))

    assert ([found.classes[place] for place in found.actual], len(found.classes)) == (
        ["a", "b", "other", "other", "a"],
        3,
    )


def test_amounts_are_numbers_on_both_sides() -> None:
    rows = labelled([1.5, "much", None, 2.0, "7"], {"prediction": [1.0, 2.0, 3.0, math.inf, None]})
    read = Reading(task="regression").read(rows)
    found = read.amounts

    assert found is not None
    assert (found.actual.tolist(), found.predicted.tolist(), found.weights.tolist()) == ([1.5], [1.0], [1.0])
    assert read.unknown == ["much"]


@pytest.mark.parametrize(
    ("positive", "answers", "labels", "unknown"),
    [
        ("fraud", ["ok", "fraud"], ["ok", "frud", "fraud", 7, "Ok"], ["frud", "7", "Ok"]),
        ("1", [0, 1], [0, 7, 1, "frud", 0.5], ["7", "frud", "0.5"]),
        ("1", [-1, 1], [-1, 0, True, "false", 2], ["2"]),
        ("0", [1, 0], ["1", False, 1.0, 0, "no"], ["no"]),
        ("False", [True, False], ["True", "FALSE", 1, 0, 2], ["2"]),
    ],
)
def test_of_two_classes_a_label_of_neither_is_no_negative(
    positive: str, answers: list[Scalar], labels: list[Scalar], unknown: list[str]
) -> None:
    replies = [answers[place % 2] for place in range(len(labels))]
    read = Reading(task="binary", positive=positive).read(labelled(labels, {"label": replies}))

    assert read.unknown == unknown
    assert len(read.kept) == len(labels) - len(unknown)


def test_a_label_of_neither_class_is_known_by_what_was_answered_and_labelled_before() -> None:
    reader = Reading(task="binary", positive="fraud")
    reader.read(labelled(["ok"], {"label": ["ok"]}))

    assert reader.read(labelled(["frud"], {"label": ["fraud"]})).unknown == ["frud"]
    assert reader.read(labelled(["frud"], {"label": [None]})).unknown == []


@pytest.mark.parametrize("replies", [{"label": ["ok", "fraud"]}, {"probability": [0.1, 0.9]}])
def test_labels_that_call_the_other_class_in_words_of_their_own_are_negatives(replies: dict[str, list[Scalar]]) -> None:
    found = binary(["legitimate", "fraud"], replies, positive="fraud")

    assert found.actual.tolist() == [0, 1]


def test_whether_a_reader_has_met_odd_labels_is_no_part_of_its_settings() -> None:
    reader = Reading(task="binary", prediction="label")
    reader.read(labelled([1], {"label": [1]}))
    same = repr(reader)
    reader.read(labelled([0, 3], {"label": [5, 0]}))

    assert repr(reader) == same


def test_of_more_classes_a_new_one_is_missed_and_not_left_out() -> None:
    read = Reading(task="multiclass", classes=("cat", "dog")).read(labelled(["cow"], {"label": ["cat"]}))

    assert (answers(read).actual.tolist(), answers(read).predicted.tolist(), read.unknown) == ([2], [0], [])


def test_replies_without_columns_say_nothing() -> None:
    for task in ("binary", "multiclass", "regression"):
        assert Reading(task=task).read(labelled([1.0], {})).kept.tolist() == []


@pytest.mark.parametrize(("number", "text"), [(3.0, "3"), (-0.0, "0"), (1e300, str(int(1e300))), (math.inf, "inf")])
def test_a_number_names_a_class(number: float, text: str) -> None:
    assert class_of(number) == text


def test_of_more_classes_than_are_told_apart_the_answer_is_still_the_likeliest(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading, "MAX_CLASSES", 3)
    replies = {"a": [0.1, 0.4, 0.0], "b": [0.1, 0.1, 0.1], "c": [0.5, 0.3, 0.3], "d": [0.3, 0.2, 0.6]}
    found = answers(Reading(task="multiclass").read(labelled([2, 0, 3], replies)))

    assert found.classes == ("0", "1", "other")
    assert (found.predicted.tolist(), found.actual.tolist()) == ([2, 0, 2], [2, 0, 2])
    assert found.probabilities is not None
    np.testing.assert_allclose(found.probabilities, [[0.1, 0.1, 0.8], [0.4, 0.1, 0.5], [0.0, 0.1, 0.9]])


def test_so_many_names_of_the_other_class_are_known_and_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading, "MAX_CLASSES", 2)
    reader = Reading(task="binary", positive="yes")
    replies: list[Scalar] = ["a", "b", "c", "yes"]
    reader.read(labelled(replies, {"label": replies}))

    assert reader.read(labelled(replies, {"label": ["d", "d", "d", "d"]})).unknown == ["c"]
