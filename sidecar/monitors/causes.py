"""What has moved: inputs, the relation of labels to them, both; or is it the model, or the pipeline of the values?

Each side has evidence of its own, within a budget of false alarms: of inputs the detectors of the data monitor, of the
relation the tests of labels against what the inputs make one expect. A cause is told of what has been found, never
found by itself.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple

from sidecar.monitors.faults import WORDS
from sidecar.monitors.telling import MAX_TEXT, NAMED
from sidecar.records import Carrier, Finding, Subject
from sidecar.texts import shown

INPUTS = ("sequential", "dependence")
"""The checks of the data monitor that keep a budget of false alarms."""

CLEAR = 3.0
"""Standard errors from which on a part of a change is one: of what has been found already, so seldom looked at."""


class Relation(NamedTuple):
    """Whether labels relate to inputs as they did.

    Args:
        moved: They do not.
        rows: Labelled rows that this is known from.
        inputs_z: What moved inputs did to the loss, in standard errors; 0 where nobody has compared.
        relation_z: Likewise the relation.
    """

    moved: bool
    rows: int
    inputs_z: float = 0.0
    relation_z: float = 0.0


def explained(findings: Sequence[Finding], relations: Mapping[str, Relation]) -> list[Finding]:
    """The findings, each with its cause, where somebody can tell it; one that has a cause keeps it.

    Args:
        relations: By variant; empty where no labels are watched.
    """
    moved: dict[tuple[str, Subject], list[Carrier]] = {}
    for finding in findings:
        if finding.key.monitor == "data" and finding.key.check in INPUTS:
            moved.setdefault((finding.key.variant, finding.key.subject), []).extend(finding.carriers)
    return [_explained(each, moved, relations.get(each.key.variant)) for each in findings]


def _explained(
    finding: Finding, moved: Mapping[tuple[str, Subject], Sequence[Carrier]], relation: Relation | None
) -> Finding:
    about = finding.key.monitor == "quality" or (finding.key.subject == "features" and finding.key.check in INPUTS)
    if finding.cause or not about:
        return finding
    inputs, answers = (moved.get((finding.key.variant, subject), ()) for subject in ("features", "predictions"))
    cause, reason = cause_of(inputs, answers, relation)
    return replace(finding, cause=cause, reason=reason)


def cause_of(inputs: Sequence[Carrier], answers: Sequence[Carrier], relation: Relation | None) -> tuple[str, str]:
    """What has moved, and how that is known.

    A model is a function: while inputs stay, its answers do, whatever becomes of labels. Where they have not, it is not
    the model that it was.

    Args:
        inputs: The features that have drifted.
        answers: The predictions that have.
        relation: None where no labels are watched.

    Example:
        >>> amount = Carrier("amount", 1.0, 0.3, 0.0025, "above 120: 20 % → 55 %")
        >>> cause_of([amount], [], Relation(moved=False, rows=800))
        ('inputs', 'inputs moved: amount; given these, the labels of 800 rows are as expected')
        >>> cause_of([], [], Relation(moved=True, rows=800))[0]
        'relation'
    """
    broken = [each for each in inputs if each.fault]
    if broken:
        return "pipeline", "the pipeline that brings the values broke: " + _listed(
            f"{shown(each.name, MAX_TEXT)} ({WORDS[each.fault]})" for each in broken
        )
    names = _listed(shown(each.name, MAX_TEXT) for each in inputs)
    if answers and not inputs and relation is not None:
        told = _listed(shown(each.name, MAX_TEXT) for each in answers)
        return "model", f"the model answers otherwise ({told}), and no input is known to have moved: is it another one?"
    if relation is not None and relation.moved:
        if inputs:
            return "both", f"inputs moved ({names}), and labels are not what even these inputs make one expect"
        return "relation", "labels are not what the inputs make one expect, and no input is known to have moved"
    if inputs:
        return "inputs", f"inputs moved: {names}; {_labels_say(relation)}"
    return _by_parts(relation)


def _labels_say(relation: Relation | None) -> str:
    if relation is None:
        return "without labels nobody can tell whether the relation has moved too"
    if not relation.rows:
        return "labels do not tell yet whether the relation has moved too"
    return f"given these, the labels of {relation.rows:,} rows are as expected"


def _by_parts(relation: Relation | None) -> tuple[str, str]:
    """Where no detector has found a cause, the greater part of the change of the loss, if it is clear."""
    if relation is None or max(abs(relation.inputs_z), abs(relation.relation_z)) < CLEAR:
        return "", ""
    if abs(relation.relation_z) >= abs(relation.inputs_z):
        return (
            "relation",
            f"of the change, what inputs do not explain is {abs(relation.relation_z):.1f} standard errors",
        )
    return "inputs", f"of the change, what inputs explain is {abs(relation.inputs_z):.1f} standard errors"


def _listed(names: Iterable[str]) -> str:
    told = list(names)
    more = [f"{len(told) - NAMED} more"] if len(told) > NAMED else []
    return ", ".join(told[:NAMED] + more)
