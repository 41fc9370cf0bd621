from dataclasses import replace
from itertools import product

import pytest

from sidecar.monitors.causes import CLEAR, Relation, cause_of, explained
from sidecar.records import Carrier, Finding, Key, Subject

AMOUNT = Carrier("amount", 0.6, 1.0, 0.3, "above 120: 20 % → 55 %")
AGE = Carrier("age", 0.4, 1.0, 0.3, "below 30: 20 % → 55 %")
MISSING = Carrier("country", 0.4, 1.0, 0.3, "missing: 0 % → 80 %", fault="missing")
STILL, MOVED = Relation(moved=False, rows=800), Relation(moved=True, rows=800)
UNTESTED = Relation(moved=False, rows=0)


def finding(
    *carriers: Carrier,
    monitor: str = "data",
    check: str = "sequential",
    subject: Subject = "features",
    variant: str = "a",
) -> Finding:
    return Finding(Key(monitor, check, variant, subject), "3", carriers or (AMOUNT,), 800, 1000, "it moved")


FALLEN = finding(
    Carrier("loss", 1.0, 0.2, 0.1, "5 % → 20 %"), monitor="quality", check="performance", subject="quality"
)


@pytest.mark.parametrize(
    ("inputs", "relation", "cause", "reason"),
    [
        ([], None, "", ""),
        ([], STILL, "", ""),
        ([], UNTESTED, "", ""),
        (
            [],
            MOVED,
            "relation",
            "labels are not what the inputs make one expect, and no input is known to have moved",
        ),
        (
            [AMOUNT],
            None,
            "inputs",
            "inputs moved: amount; without labels nobody can tell whether the relation has moved too",
        ),
        (
            [AMOUNT],
            UNTESTED,
            "inputs",
            "inputs moved: amount; labels do not tell yet whether the relation has moved too",
        ),
        (
            [AMOUNT, AGE],
            STILL,
            "inputs",
            "inputs moved: amount, age; given these, the labels of 800 rows are as expected",
        ),
        (
            [AMOUNT, AGE],
            MOVED,
            "both",
            "inputs moved (amount, age), and labels are not what even these inputs make one expect",
        ),
        ([MISSING], None, "pipeline", "the pipeline that brings the values broke: country (values are missing)"),
        (
            [AMOUNT, MISSING],
            MOVED,
            "pipeline",
            "the pipeline that brings the values broke: country (values are missing)",
        ),
        # By the parts of the change of the loss, where no detector has found anything.
        ([], STILL._replace(inputs_z=CLEAR - 0.1, relation_z=-1.0), "", ""),
        (
            [],
            STILL._replace(inputs_z=4.2, relation_z=-1.0),
            "inputs",
            "of the change, what inputs explain is 4.2 standard errors",
        ),
        (
            [],
            STILL._replace(inputs_z=1.0, relation_z=-4.25),
            "relation",
            "of the change, what inputs do not explain is 4.2 standard errors",
        ),
        ([], STILL._replace(inputs_z=5.0, relation_z=5.0), "relation", None),
    ],
)
def test_the_cause_is_told_from_both_sides(
    inputs: list[Carrier], relation: Relation | None, cause: str, reason: str | None
) -> None:
    found = cause_of(inputs, (), relation)

    assert found[0] == cause
    assert reason is None or found[1] == reason


@pytest.mark.parametrize("fault", ["missing", "type", "range", "categories"])
def test_every_fault_has_words(fault: str) -> None:
    cause, reason = cause_of([Carrier("amount", 1.0, 1.0, 0.3, "", fault=fault)], (), MOVED)

    assert cause == "pipeline"
    assert reason.startswith("the pipeline that brings the values broke: amount (")


def test_many_inputs_are_counted_and_names_are_shown_on_one_line() -> None:
    carriers = [Carrier(f"f\n{number}" * 20, 0.1, 1.0, 0.3, "") for number in range(7)]
    reason = cause_of(carriers, (), None)[1]

    assert reason.count("…") == 5
    assert ", 2 more;" in reason
    assert "\n" not in reason


def test_a_cause_is_told_of_what_moved_and_of_what_has_become_worse() -> None:
    told = explained([finding(), FALLEN], {"a": MOVED})

    assert [each.cause for each in told] == ["both", "both"]
    assert told[0].reason == told[1].reason
    assert [(each.key, each.carriers) for each in told] == [(each.key, each.carriers) for each in (finding(), FALLEN)]


def test_inputs_of_every_detector_with_a_budget_count() -> None:
    pair = Carrier("amount ~ age", 1.0, 0.4, 0.0, "correlation 0.02 → 0.61")
    told = explained([finding(), finding(pair, check="dependence")], {})

    assert {each.reason.split(";")[0] for each in told} == {"inputs moved: amount, amount ~ age"}


@pytest.mark.parametrize(
    "other",
    [
        finding(check="psi"),
        finding(check="data_type_check"),
        finding(monitor="bias", check="bias_drift_check", subject="groups"),
    ],
)
def test_other_findings_are_untouched_and_tell_nothing_of_inputs(other: Finding) -> None:
    told = explained([other, FALLEN], {"a": MOVED})

    assert told[0] is other
    assert told[1].cause == "relation"


def test_what_was_explained_before_keeps_its_cause() -> None:
    """As what fired before a restart, when nobody knows yet what labels say."""
    before = replace(FALLEN, cause="relation", reason="as it was")

    assert explained([before, finding()], {}) == [before, *explained([finding()], {})]


def test_each_variant_has_its_own_cause() -> None:
    findings = [finding(variant=variant) for variant in "abc"]
    told = explained(findings, {"a": MOVED, "b": STILL})

    assert [each.cause for each in told] == ["both", "inputs", "inputs"]
    assert told[2].reason.endswith("without labels nobody can tell whether the relation has moved too")


def test_nothing_found_is_nothing_told() -> None:
    assert explained([], {"a": MOVED}) == []


def test_a_reason_comes_with_every_cause_and_none_without() -> None:
    carriers: list[list[Carrier]] = [[], [AMOUNT], [MISSING]]

    told = [cause_of(inputs, (), relation) for inputs, relation in product(carriers, (None, STILL, MOVED, UNTESTED))]

    assert all(bool(cause) == bool(reason) for cause, reason in told)


def test_answers_that_moved_while_inputs_did_not_are_another_model_s() -> None:
    amount, answer = (Carrier(name, 1.0, 1.0, 0.3, "") for name in ("amount", "probability"))

    assert cause_of([], [answer], MOVED) == (
        "model",
        "the model answers otherwise (probability), and no input is known to have moved: is it another one?",
    )
    assert cause_of([amount], [answer], MOVED)[0] == "both"
    assert cause_of([], [answer], None) == ("", "")
