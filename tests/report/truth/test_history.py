import numpy as np

from sidecar.monitors.bias import Bias
from sidecar.monitors.groups import FacetOf
from sidecar.monitors.quality import Quality
from sidecar.monitors.training import Bound
from sidecar.quality.reading import Reading
from sidecar.report.truth.history import History
from tests.monitors.labelled import answers, rows


def reading() -> Reading:
    return Reading(task="binary")


def test_without_monitors_a_look_sees_nothing() -> None:
    history = History(None, None)
    history.look(5.0)

    assert history.document() == {"times_s": [5.0], "versions": [], "findings": []}
    assert history.findings == []


def test_scores_go_from_look_to_look_and_are_none_before_the_first_row() -> None:
    grading = Quality().grade(reading)
    history = History(grading, None)
    history.look(0.0)
    grading.take(answers([1, 0, 1, 1], [1, 0, 1, 0]))
    history.look(100.0)
    grading.take(answers([1, 0, 1, 1], [1, 0, 1, 1], begins_s=150.0))
    history.look(200.0)

    told = history.document()

    [version] = told["versions"]
    assert (version["name"], version["version"]) == ("champion", "3")
    assert version["rows"] == [0, 4, 8]
    assert version["scores"]["accuracy"] == [None, 0.75, 0.875]
    assert version["scores"]["auc"] == [None, None, None]


def test_a_finding_has_when_it_was_seen_first_and_last_and_whether_it_holds() -> None:
    grading = Quality(rows=200, alert_when={"accuracy": Bound(below=0.5)}).grade(reading)
    history = History(grading, None)
    wrong, right = [1.0] * 200, [0.0] * 200
    for begins_s, told in ((0.0, right), (1000.0, wrong), (2000.0, wrong), (3000.0, right)):
        grading.take(answers([0.0] * 200, told, begins_s=begins_s))
        history.look(begins_s + 500)

    found = [each for each in history.document()["findings"] if each["check"] == "LessThanThreshold"]

    assert [(each["first_s"], each["last_s"], each["holds"]) for each in found] == [(1500.0, 2500.0, False)]
    assert "accuracy" in found[0]["sentence"]


def test_groups_are_looked_at_too() -> None:
    unequal = Bias(facets=(FacetOf(feature="age", above=0.0),), allowed={"CI": (0.5, 1.0)}, least_rows=20)
    comparing = unequal.compare(reading)
    history = History(None, comparing)
    comparing.take(rows(np.random.default_rng(0), 500))

    history.look(500.0)

    assert [each.key.check for each in history.findings] == ["bias_drift_check"]
    assert [each["holds"] for each in history.document()["findings"]] == [True]
