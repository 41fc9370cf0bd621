import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from sidecar.config.reading import read
from sidecar.errors import ConfigError
from sidecar.monitors import MONITORS
from sidecar.monitors.bias import Bias, Comparing
from sidecar.monitors.groups import FacetOf
from sidecar.quality.reading import Reading, Task
from sidecar.records import JSON
from tests.monitors.test_compared import NOW_S, OLD, WOMEN, facet_of, metrics, same, simulated


def reading(task: Task = "binary", **changes: object) -> Callable[[], Reading]:
    return lambda: Reading(task=task, **changes)  # type: ignore[arg-type]  # of whatever field


def comparing(bias: Bias, task: Task = "binary") -> Comparing:
    return bias.compare(reading(task, classes=("cat", "dog", "fish") if task == "multiclass" else ()))


UNFAIR = Bias(facets=(OLD, WOMEN), allowed={"DPPL": (-0.1, 0.1)}, least_rows=20, confidence=0.95)


# Configuration


def faults_of(options: JSON) -> list[str]:
    """What the configuration's reader refuses."""
    document = {"upstream": "http://m:1", "monitors": [{"kind": "bias", **options}]}
    families = {"monitors": MONITORS, "capture.sinks": {}, "alerts.channels": {}, "labels": {}}
    return [f"{fault.path}: {fault.message}" for fault in read(document, families).faults]


AGE = {"feature": "age", "above": 40}


@pytest.mark.parametrize(
    ("options", "faults"),
    [
        ({"facets": [AGE]}, []),
        ({"facets": [AGE, {"feature": "age", "above": 60}, {"header": "x", "values": ["f"]}]}, []),
        ({"facets": [AGE], "allowed": {"DPPL": [-0.1, 0.1], "FT": [0, 0]}}, []),
        ({"facets": []}, ["monitors[0].facets: empty, expected at least one group"]),
        (
            {"facets": [AGE, {"above": 40}]},
            ["monitors[0].facets[1]: nothing named, expected one of feature, header and group"],
        ),
        ({"facets": [{"feature": "age"}]}, ["monitors[0].facets[0]: expected one of values, below and above"]),
        (
            {"facets": [AGE, {"group": "age", "above": 40.0}]},
            ["monitors[0].facets[1]: age (40, inf) a second time, expected each once"],
        ),
        (
            {"facets": [AGE], "allowed": {"AD": [0.1, -0.1]}},
            ["monitors[0].allowed.AD: expected a range, got 0.1 to -0.1"],
        ),
    ],
)
def test_what_is_wrong_with_the_options_is_said_with_its_path(options: JSON, faults: list[str]) -> None:
    assert faults_of(options) == faults


def test_unknown_metrics_and_keys_are_refused_with_their_path() -> None:
    (metric,) = faults_of({"facets": [AGE], "allowed": {"DPL2": [0, 1]}})
    (key,) = faults_of({"facets": [{**AGE, "abov": 1}]})
    (value,) = faults_of({"facets": [{"feature": "sex", "values": [1]}]})

    assert metric.startswith("monitors[0].allowed.DPL2: expected one of CI, DPL, KL")
    assert key.startswith("monitors[0].facets[0].abov: unknown")
    assert value.startswith("monitors[0].facets[0].values[0]: expected")


@pytest.mark.parametrize(
    ("task", "options", "fault"),
    [
        ("binary", {}, ""),
        ("binary", {"outcomes": ("0",)}, ""),
        ("binary", {"outcomes": ("approved",)}, "outcomes: approved is none, expected 1 or 0"),
        ("binary", {"outcome_above": 1.0}, "outcome_above: given, of classes; expected outcomes instead"),
        ("multiclass", {"outcomes": ("cat",)}, ""),
        ("multiclass", {"outcomes": ("not seen yet",)}, ""),
        ("multiclass", {}, "outcomes: missing; of more than two classes, expected the good ones"),
        ("regression", {"outcome_above": 0.0}, ""),
        ("regression", {}, "outcome_above: missing; of a regression, expected a number"),
        ("regression", {"outcome_above": float("nan")}, "outcome_above: missing; of a regression, expected a number"),
        ("regression", {"outcomes": ("1",)}, "outcomes: given, of a regression; expected outcome_above instead"),
    ],
)
def test_somebody_must_say_which_outcome_is_the_good_one(task: Task, options: dict[str, JSON], fault: str) -> None:
    told = ""
    try:
        comparing(Bias(facets=(OLD,), **options), task)
    except ConfigError as error:
        told = str(error)

    assert told == fault


def test_it_says_which_fields_of_requests_it_wants_and_what_it_may_find() -> None:
    bias = Bias(facets=(OLD, FacetOf(header="X-Sex", values=("f",)), FacetOf(group="senior", values=("1",))))

    assert (bias.headers, bias.checks) == (("x-sex",), ["bias_drift_check"])


# The reference


def analysis(folder: Path, facets: JSON) -> str:
    path = folder / "analysis.json"
    path.write_text(json.dumps({"post_training_bias_metrics": {"label": "y", "facets": facets}}))
    return str(path)


def group(value: JSON, **values: float | None) -> JSON:
    return {"value_or_threshold": value, "metrics": [{"name": name, "value": value} for name, value in values.items()]}


def test_a_reference_s_metrics_are_those_from_which_none_may_move_away(tmp_path: Path) -> None:
    path = analysis(tmp_path, {"age": [group("(0.0, 3.5]", DPPL=0.05, RD=None)], "x-sex": [group("m", DPPL=0.0)]})
    found = comparing(replace(UNFAIR, allowed=None, reference=path))
    found.take(simulated(1, 1000, unfair=1.0))
    found.assess(NOW_S)
    (finding,) = found.findings

    assert [(each.name, each.threshold) for each in finding.carriers] == [("DPPL of age (0, inf)", 0.05)]


def test_a_reference_that_cannot_be_used_is_refused(tmp_path: Path) -> None:
    broken, other = tmp_path / "broken.json", analysis(tmp_path, {"age": [group("(60.0, 90.0]", DPPL=0.05)]})
    broken.write_text("{")
    for path, fault in (
        (str(tmp_path / "none.json"), "reference: expected a file that can be read, got "),
        (str(broken), f"reference: {broken}: "),
        (other, f"reference: {other} has none of the groups of facets; it has age (60.0, 90.0]"),
    ):
        with pytest.raises(ConfigError) as error:
            comparing(replace(UNFAIR, reference=path))
        assert str(error.value).startswith(fault)


# At work


@pytest.mark.parametrize("task", ["binary", "multiclass", "regression"])
def test_every_task_has_its_good_outcome(task: Task) -> None:
    options = {"binary": {}, "multiclass": {"outcomes": ("cat", "fish")}, "regression": {"outcome_above": 10.0}}[task]
    found = comparing(Bias(facets=(OLD, WOMEN), strata="city", **options), task)  # type: ignore[arg-type]  # by task
    rows = simulated(2, 500, task)
    found.take(rows)
    found.assess(NOW_S)
    ((_, compared),) = found.versions

    for each in compared.groups:
        same(each.lifetime, metrics(facet_of(rows, each.facet, task)))
    outcome = {"binary": "1", "multiclass": "cat,fish", "regression": "(10, inf)"}[task]
    assert compared.judging.outcome == outcome


def test_versions_are_apart_and_the_latest_of_each_variant_is_told() -> None:
    found = comparing(UNFAIR)
    unfair, later = simulated(3, 600, unfair=1.0), simulated(4, 600)
    found.take(unfair)
    found.take(replace(unfair, variant="canary"))
    found.assess(NOW_S)
    assert [each.key.variant for each in found.findings] == ["champion", "canary"]

    found.take(replace(later, version="4", times_s=later.times_s + 1000))
    found.assess(NOW_S + 1000)
    assert [(each.key.variant, each.version) for each in found.findings] == [("canary", "3")]
    assert {tuple(key): each.labelled for key, each in found.versions} == {
        ("champion", "3"): 600,
        ("canary", "3"): 600,
        ("champion", "4"): 600,
    }


def test_it_goes_on_from_what_was_saved() -> None:
    found = comparing(UNFAIR)
    found.take(simulated(5, 600, unfair=1.0))
    other = comparing(UNFAIR)
    assert other.restore(found.state())
    for each in (found, other):
        each.take(simulated(6, 300))
        each.assess(NOW_S)

    assert other.findings == found.findings != []
    ((_, one),) = found.versions
    ((_, two),) = other.versions
    for group, twin in zip(one.groups, two.groups, strict=True):
        same(group.lifetime, twin.lifetime)
        assert group.rows == twin.rows


@pytest.mark.parametrize(
    ("changed", "goes_on"),
    [
        (replace(UNFAIR, allowed={"AD": (0.0, 0.0)}), True),
        (replace(UNFAIR, confidence=0.9, least_rows=50, rows=500, window_s=60.0), True),
        (replace(UNFAIR, facets=(WOMEN, OLD)), False),
        (replace(UNFAIR, strata="city"), False),
        (replace(UNFAIR, outcomes=("0",)), False),
        (replace(UNFAIR, allowed={"FT": (0.0, 0.0)}), False),
    ],
)
def test_what_is_allowed_may_change_and_the_rows_still_count(changed: Bias, goes_on: bool) -> None:
    found = comparing(UNFAIR)
    found.take(simulated(7, 600))
    other = comparing(changed)

    assert other.restore(found.state()) == goes_on
    assert [each.labelled for _, each in other.versions] == [600] * goes_on
    other.assess(NOW_S)


def test_a_state_that_is_damaged_is_left() -> None:
    found = comparing(UNFAIR)
    found.take(simulated(8, 50))
    state = bytearray(found.state())
    state[-1] ^= 1
    other = comparing(UNFAIR)

    assert not other.restore(bytes(state))
    assert not other.restore(b"")
    assert list(other.versions) == []


def test_fair_rows_break_nothing() -> None:
    """With the default confidence, in none of twenty weeks."""
    bias = Bias(facets=(OLD, WOMEN), allowed={"DPPL": (0.0, 0.0), "AD": (0.0, 0.0), "RD": (0.0, 0.0)})
    found = [comparing(bias) for _ in range(20)]
    for seed, each in enumerate(found):
        each.take(simulated(100 + seed, 2000))
        each.assess(NOW_S)

    assert sum(len(each.findings) for each in found) <= 1
    assert all(
        np.isfinite(group.window["DPPL"].low) for each in found for _, one in each.versions for group in one.groups
    )
