from dataclasses import replace
from math import inf

import numpy as np
import pytest

from sidecar.monitors.graded import Graded, Terms
from sidecar.monitors.grades import EVERY_S, Grade, grade_findings, relation_of, segment_text
from sidecar.monitors.scored import Score
from sidecar.monitors.versions import VersionKey
from sidecar.quality.reading import Reading, Task
from sidecar.quality.segments import Segment
from sidecar.records import Finding
from sidecar.reference.quality_files import Limit
from tests.monitors.labelled import VERSION, answers, rows

KEY = VersionKey(*VERSION)
NOW_S = 5000.0


def made(task: Task = "binary", *, seconds: float = 1e9, positive: str = "1") -> Graded:
    testing = Terms(
        reference_rows=1000, stated_loss=None, tolerance=0.02, relation_tolerance=0.025, false_alarms_per=1e5
    )
    return Graded(testing, Reading(task=task, positive=positive), rows=3000, seconds=seconds)


def fallen(task: Task, moved: float = 1.0, n: int = 1500) -> Graded:
    one = made(task)
    one.take(rows(np.random.default_rng(1), 1000, task))
    one.take(rows(np.random.default_rng(2), n, task, moved=moved, begins_s=1000.0))
    one.assess(NOW_S)
    return one


def flat(task: Task, share: float) -> Graded:
    """Without features, from a tenth of wrong answers to this share of them."""
    one = made(task)
    for n, wrong in ((1000, 0.1), (1500, share)):
        rng = np.random.default_rng(n)
        label = rng.integers(2, size=n).astype(np.float64)
        one.take(answers(label.tolist(), np.where(rng.random(n) < wrong, 1 - label, label).tolist(), begins_s=float(n)))
    one.assess(NOW_S)
    return one


def other_labels(task: Task, *, positive: str = "1") -> Graded:
    """Without features; labels are others, and answers as good as they were, but for a multiclass model."""
    one = made(task, positive=positive)
    for n, share in ((1000, 0.5), (3000, 0.8)):
        rng = np.random.default_rng(n)
        label = rng.random(n) < share
        wrong = rng.random(n) < (1 - share if task == "multiclass" else 0.3)
        cells = [positive if each else "0" for each in label.tolist()]
        if task == "regression":
            one.take(answers((label * 2.0 + 3).tolist(), [4.0] * n, begins_s=float(n)))
        else:
            told = [positive if each else "0" for each in (label ^ wrong).tolist()]
            one.take(answers(cells, told, begins_s=float(n)))
    return one


def findings(graded: Graded, **limits: Limit) -> list[Finding]:
    return list(grade_findings(KEY, graded, Grade.of(graded, NOW_S), limits))


@pytest.mark.parametrize(
    ("graded", "sentence"),
    [
        (
            fallen("binary"),
            "champion has become worse: wrong answers 8 % → 22 %; it has more wrong answers than its inputs make one "
            "expect, by 14 points, along amount (> 1.13911: +83.6 points); "
            "wrong answers rose most where amount > 1.13911: 5 % → 88.3 %",
        ),
        (
            fallen("multiclass"),
            "champion has become worse: wrong answers 10.7 % → 25 %; it has more wrong answers than its inputs make "
            "one expect, by 13.6 points, along amount (> 1.13911: +86.1 points); wrong answers rose most where "
            "amount > 1.13911: 14 % → 100 %, amount (0.776818, 1.13911]: 8 % → 40.9 %",
        ),
        (
            fallen("regression", -4.0),
            "champion has become worse: mean error 0.7864 → 1.106; it has greater errors than its inputs make one "
            "expect, by 0.321, along amount (> 1.13911: +2.35); "
            "errors rose most where amount > 1.13911: 0.6894 → 3.038",
        ),
        (
            flat("binary", 0.25),
            "champion has become worse: wrong answers 9.3 % → 25.1 %; it has more wrong answers than its inputs make "
            "one expect, by 15.8 points",
        ),
        (other_labels("binary"), "champion has more labels '1' than its inputs make one expect, by 24.4 points"),
        (other_labels("regression"), "champion has higher labels than its inputs make one expect, by 0.557"),
    ],
)
def test_the_sentence_says_what_happened_and_where(graded: Graded, sentence: str) -> None:
    (finding,) = findings(graded)

    assert finding.sentence == sentence


@pytest.mark.parametrize("task", ["binary", "multiclass", "regression"])
def test_a_finding_has_carriers_whose_shares_add_up_and_evidence_beyond_what_is_needed(task: Task) -> None:
    (finding,) = findings(fallen(task, 3.0 if task == "regression" else 1.0))

    assert finding.key == ("quality", "performance", "champion", "quality")
    assert (finding.version, finding.reference_rows) == ("3", 1000)
    assert [each.name for each in finding.carriers] == ["amount"]
    assert sum(each.share for each in finding.carriers) == pytest.approx(1.0)
    first = finding.carriers[0]
    assert first.nats is not None
    assert first.needed_nats is not None
    assert first.nats >= first.needed_nats
    assert finding.since_s is not None
    assert 900 < finding.since_s < 1150
    assert 1000 < finding.rows <= 1600


def test_of_several_columns_the_evidence_is_told_with_the_first_and_the_shares_add_up() -> None:
    graded = fallen("binary")
    assert graded.decomposition is not None
    (one,) = graded.decomposition.loss.carriers
    two = (replace(one, share=0.75), replace(one, column=1, share=0.25, bin=0))
    graded.decomposition = replace(graded.decomposition, loss=replace(graded.decomposition.loss, carriers=two))

    (finding,) = findings(graded)

    assert [each.share for each in finding.carriers] == [0.75, 0.25]
    assert [each.nats is None for each in finding.carriers] == [False, True]
    assert f"along {finding.carriers[0].name} (" in finding.sentence


def test_without_a_comparison_the_sentence_says_what_is_known() -> None:
    graded = fallen("binary")
    graded.decomposition, graded.segments = None, ()

    (finding,) = findings(graded)

    assert "along" not in finding.sentence
    assert "where" not in finding.sentence
    assert sum(each.share for each in finding.carriers) == 1.0


def test_the_positive_class_is_called_by_its_name() -> None:
    (finding,) = findings(other_labels("binary", positive="fraud\n"))

    assert finding.sentence.startswith("champion has more labels 'fraud\\n' than its inputs make one expect, by ")


def test_while_nothing_is_found_there_is_nothing_to_tell() -> None:
    assert findings(made()) == []
    assert findings(fallen("binary", 0.0), accuracy=Limit(0.8, "LessThanThreshold")) == []


def test_a_metric_clearly_beyond_its_limit_is_a_finding_of_its_side() -> None:
    graded = fallen("binary", 0.0)
    found = findings(
        graded,
        accuracy=Limit(0.97, "LessThanThreshold"),
        f1=Limit(0.97, "LessThanThreshold"),
        log_loss=Limit(0.1, "GreaterThanThreshold"),
    )

    assert [each.key.check for each in found] == ["LessThanThreshold", "GreaterThanThreshold"]
    assert found[0].sentence == (
        "quality of champion is beyond its limits: accuracy is 0.9036, below 0.97; f1 is 0.8985, below 0.97"
    )
    assert found[1].sentence.startswith("quality of champion is beyond its limits: log_loss is 0.3")
    assert [(each.share, each.rows) for each in found[0].carriers] == [(0.5, 2500), (0.5, 2500)]
    assert found[0].rows == 2500


@pytest.mark.parametrize(
    ("score", "clear"),
    [
        (Score(0.89, 0.004), True),
        (Score(0.89, 0.006), False),
        (Score(0.89, 0.0), True),
        (Score(0.89, np.nan), False),
        (Score(np.nan, np.nan), False),
        (Score(0.91, 0.0), False),
    ],
)
def test_a_metric_that_chance_explains_is_a_violation_and_no_finding(score: Score, clear: bool) -> None:
    graded = fallen("binary", 0.0)
    limits = {"accuracy": Limit(0.9, "LessThanThreshold")}
    grade = Grade.of(graded, NOW_S)
    grade = replace(grade, window=replace(grade.window, scores={"accuracy": score}))

    assert bool(list(grade_findings(KEY, graded, grade, limits))) == clear
    assert bool(grade.violations(limits)) == (score.value < 0.9)


def test_of_few_rows_a_limit_says_nothing() -> None:
    one = made()
    one.take(answers([1.0] * 199, [0.0] * 199))

    assert findings(one, accuracy=Limit(0.9, "LessThanThreshold")) == []


def test_scores_are_worked_out_again_when_there_is_more_and_not_too_often() -> None:
    one = made()
    none = Grade.of(one, 0.0)
    assert not none.outdated(one, 100.0)

    one.take(answers([1.0], [1.0]))
    assert none.outdated(one, 0.1)

    grade = Grade.of(one, 0.0)
    assert not grade.outdated(one, 1e6)

    one.take(answers([1.0], [1.0]))
    assert [grade.outdated(one, now_s) for now_s in (EVERY_S - 0.1, EVERY_S, -1.0)] == [False, True, True]


@pytest.mark.parametrize(("rows", "classes", "times"), [(5000, 2, 1), (1_000_000, 2, 20), (5000, 100, 5)])
def test_what_takes_longer_is_worked_out_less_often(rows: int, classes: int, times: float) -> None:
    one = made()
    grade = Grade.of(one, 0.0)
    one.scored.labelled = 2 * rows
    grade = replace(grade, labelled=rows, window=replace(grade.window, rows=rows, classes=("c",) * classes))

    assert [grade.outdated(one, times * EVERY_S + late_s) for late_s in (-1.0, 0.0)] == [False, True]


def test_scores_are_worked_out_again_when_there_are_more_predictions_to_estimate_from() -> None:
    one = made()
    grade = Grade.of(one, 0.0)
    one.scored.predicted(rows(np.random.default_rng(1), 5).predictions, 1.0)

    assert grade.outdated(one, EVERY_S)
    assert not Grade.of(one, EVERY_S).outdated(one, 1e6)


def test_scores_are_worked_out_again_when_some_of_their_rows_have_become_too_old() -> None:
    one = made(seconds=100.0)
    one.take(answers([1.0, 1.0], [1.0, 1.0], begins_s=50.0))
    grade = Grade.of(one, 60.0)

    assert grade.stale_s == 150.0
    assert [grade.outdated(one, now_s) for now_s in (149.0, 150.0, 150.5)] == [False, False, True]
    assert Grade.of(one, 1000.0).stale_s == inf


def test_whether_the_relation_has_moved_is_known_with_the_parts_of_the_change() -> None:
    assert relation_of(made()) == (False, 0, 0.0, 0.0)

    relation = relation_of(fallen("binary"))
    assert relation.moved
    assert relation.rows == 1500
    assert relation.relation_z > 5


def test_a_segment_is_told_by_its_columns_and_what_became_of_it() -> None:
    graded = fallen("binary")
    assert graded.yardstick is not None
    bins = graded.yardstick.bins
    country = bins.names.index("country")
    segment = Segment((0, country), (20, bins.categories[country]["BR"]), 60, 70, 0.3125, 0.09, 5.0, 0.001)

    assert segment_text(bins, segment) == "amount missing and country 'BR': 9 % → 31.2 %"
    assert segment_text(bins, segment, 10.0) == "amount missing and country 'BR': 0.9 → 3.125"


def test_a_name_that_cannot_be_shown_is_escaped() -> None:
    graded = fallen("binary")
    assert graded.yardstick is not None
    names = tuple("amo\nunt" if name == "amount" else name for name in graded.yardstick.bins.names)
    graded.yardstick.bins = replace(graded.yardstick.bins, names=names)

    assert "amo\\nunt" in findings(graded)[0].sentence
    assert "\n" not in findings(graded)[0].sentence
