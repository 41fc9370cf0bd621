from dataclasses import replace

import pytest

from sidecar.monitors.conformity import distances, drift_violations, findings, violation_event
from sidecar.records import Key
from sidecar.reference.checks import Violation
from sidecar.reference.constraints import Constraint, Constraints, Monitoring
from sidecar.stats.tally import Tally
from tests.detectors.rig import tally

STRICT = Monitoring(comparison_method="Simple")

# Of 100 rows each 10 and of 60 rows 24, 12, 6, 6, 12: the distribution functions are 0.3 apart after the first bin.
NUMBERS = tally([10, 20, 20, 20, 30]), tally([24, 12, 6, 6, 12])

# Shares of 0.5, 0.3, 0.2 and of 0.4, 0.3, 0.3.
TEXTS = tally([500, 300, 200], ordered=False), tally([40, 30, 30], ordered=False)


def constraint(name: str = "x", monitoring: Monitoring = STRICT) -> Constraint:
    return Constraint(name, "Fractional", 0.0, non_negative=False, domain=None, monitoring=monitoring)


def broken(pair: tuple[Tally, Tally], monitoring: Monitoring) -> list[Violation]:
    return drift_violations(Constraints([constraint(monitoring=monitoring)]), ["x"], *pair)


@pytest.mark.parametrize(
    ("pair", "monitoring", "value"),
    [
        (NUMBERS, STRICT, 0.3),
        # 0.3 - 1.8 sqrt((100 + 60) / (100 * 60)) = 0.006.
        (NUMBERS, replace(STRICT, comparison_method="Robust", comparison_threshold=0.005), 0.006061230),
        (TEXTS, replace(STRICT, comparison_threshold=0.09), 0.1),
        # Of categories the distance is not made smaller by what chance explains, and has a threshold of its own.
        (TEXTS, replace(STRICT, comparison_method="Robust", comparison_threshold=0.09), 0.1),
        (TEXTS, replace(STRICT, comparison_threshold=0.5, categorical_threshold=0.09), 0.1),
        # scipy.stats.chi2_contingency([[500, 300, 200], [40, 30, 30]], correction=False).
        (TEXTS, replace(STRICT, categorical_method="ChiSquared", comparison_threshold=0.05), 0.045056),
        (TEXTS, replace(STRICT, categorical_method="ChiSquared", categorical_threshold=0.05), 0.045056),
    ],
)
def test_distances_are_deequ_s(pair: tuple[Tally, Tally], monitoring: Monitoring, value: float) -> None:
    (found,) = broken(pair, monitoring)

    assert (found.feature, found.check, found.subject) == ("x", "baseline_drift_check", "features")
    assert found.value == pytest.approx(value, abs=1e-4)
    assert found.rows == pair[1].n[0]


@pytest.mark.parametrize(
    ("pair", "monitoring"),
    [
        (NUMBERS, replace(STRICT, comparison_threshold=0.31)),
        (NUMBERS, replace(STRICT, comparison_method="Robust", comparison_threshold=0.007)),
        (NUMBERS, replace(STRICT, comparison_threshold=0.31, categorical_threshold=0.0)),
        (TEXTS, replace(STRICT, comparison_threshold=0.0, categorical_threshold=0.11)),
        (TEXTS, replace(STRICT, categorical_method="ChiSquared", categorical_threshold=0.01)),
        (NUMBERS, replace(STRICT, evaluates=False)),
        (NUMBERS, replace(STRICT, compares=False)),
        ((NUMBERS[0], tally([0, 0, 0, 0, 0], missing=[60])), STRICT),
        ((tally([0, 0, 0, 0, 0], missing=[100]), NUMBERS[1]), STRICT),
        ((TEXTS[0], tally([0, 0, 0], ordered=False)), replace(STRICT, categorical_method="ChiSquared")),
    ],
)
def test_what_is_allowed_not_asked_for_or_not_known_is_no_violation(
    pair: tuple[Tally, Tally], monitoring: Monitoring
) -> None:
    assert broken(pair, monitoring) == []


def test_every_feature_has_its_own_strictness() -> None:
    reference, current = tally([50, 50], [50, 50], [50, 50]), tally([80, 20], [80, 20], [80, 20], missing=[0, 0, 7])
    strict, lax = STRICT, replace(STRICT, comparison_threshold=0.4)
    constraints = Constraints([constraint("c"), constraint("gone"), constraint("b", lax), constraint("a", strict)])

    found = drift_violations(constraints, ["a", "b", "c"], reference, current)

    assert [(each.feature, each.rows) for each in found] == [("c", 107), ("a", 100)]


def test_without_features_nothing_is_broken() -> None:
    assert drift_violations(Constraints([constraint()]), [], *NUMBERS) == []
    assert drift_violations(Constraints([]), ["x"], *NUMBERS) == []


def test_a_violation_says_what_it_saw_and_what_it_expected() -> None:
    by_chance = replace(STRICT, categorical_method="ChiSquared", categorical_threshold=0.05)

    assert broken(NUMBERS, STRICT)[0].description == "the distance (Simple) is 0.3, expected at most 0.1"
    assert broken(TEXTS, by_chance)[0].description == "the p-value of chi-squared is 0.0451, expected at least 0.05"


MISSING = Violation("a", "completeness_check", 0.5, 1.0, "half", rows=200)


def test_a_finding_holds_all_features_that_break_a_check() -> None:
    others = [
        MISSING._replace(feature="b\n", rows=300, description="less"),
        MISSING._replace(feature="score", subject="predictions"),
        MISSING._replace(check="data_type_check"),
    ]

    found = findings([MISSING, *others], variant="champion", version="3")

    assert [each.key for each in found] == [
        Key("data", "completeness_check", "champion", "features"),
        Key("data", "completeness_check", "champion", "predictions"),
        Key("data", "data_type_check", "champion", "features"),
    ]
    first = found[0]
    assert [(each.name, each.share, each.statistic, each.threshold, each.rows) for each in first.carriers] == [
        ("a", 0.5, 0.5, 1.0, 200),
        ("b\n", 0.5, 0.5, 1.0, 300),
    ]
    assert (first.version, first.rows, first.since_s) == ("3", 300, None)
    assert first.sentence == "features of champion break completeness_check: a: half; b\\n: less"
    assert findings([], variant="champion", version="3") == []


def test_a_sentence_names_a_few_of_many_features() -> None:
    many = [MISSING._replace(feature=f"x{place}") for place in range(7)]

    (found,) = findings(many, variant="champion", version="3")

    assert len(found.carriers) == 7
    assert found.sentence.endswith("x4: half; 2 more")


def test_a_violation_is_told_as_an_event() -> None:
    event = violation_event("champion", MISSING._replace(feature="a\ud800"), 5.0)

    assert (event.name, event.time_s, event.severity) == ("sidecar.violation", 5.0, "warning")
    assert event.body == "champion: a\\ud800 breaks completeness_check: half"
    assert event.attributes == {
        "feature_flag.result.variant": "champion",
        "sidecar.check": "completeness_check",
        "sidecar.column": "a\\ud800",
        "sidecar.value": 0.5,
        "sidecar.limit": 1.0,
        "sidecar.rows": 200,
    }


def test_distances_are_told_whether_they_are_allowed_or_not() -> None:
    loose = Constraints([constraint(monitoring=replace(STRICT, comparison_threshold=0.9)), constraint("gone")])
    chi = Constraints([constraint(monitoring=replace(STRICT, categorical_method="ChiSquared"))])
    assert distances(loose, ["x"], *NUMBERS) == {"x": pytest.approx(0.3)}
    assert distances(chi, ["x"], *TEXTS) == {"x": pytest.approx(0.045056, abs=1e-4)}
    assert distances(Constraints([constraint(monitoring=replace(STRICT, evaluates=False))]), ["x"], *NUMBERS) == {}
