import json
from collections.abc import Sequence

import numpy as np
import pytest

from sidecar.reference.checks import Violation, of_window, violations, write_violations
from sidecar.reference.constraints import Constraint, Constraints, Monitoring
from sidecar.reference.profile import Kind
from sidecar.stats.summary import Summary
from sidecar.stats.window import Window

NAN = np.nan


def window(values: Sequence[float], texts: Sequence[str | None] | None = None, name: str = "x") -> Summary:
    rolling = Window(rows=100, panes=10, seconds=60.0, max_features=8, max_categories=10)
    rolling.update((name,), np.array(values, dtype=np.float64).reshape(-1, 1), {0: texts} if texts else {}, 0.0)
    return rolling.snapshot().current(0.0)


def constraints(
    kind: Kind = "Fractional",
    completeness: float = 0.0,
    domain: Sequence[str] | None = None,
    *,
    non_negative: bool = False,
    minimum: float | None = None,
    maximum: float | None = None,
    **strictness: float,
) -> Constraints:
    monitoring = Monitoring(datatype_threshold=1.0, domain_threshold=1.0)
    own = Monitoring(**{"datatype_threshold": 1.0, "domain_threshold": 1.0, **strictness})  # type: ignore[arg-type]
    feature = Constraint(
        "x",
        kind,
        completeness,
        non_negative=non_negative,
        domain=domain,
        monitoring=own,
        minimum=minimum,
        maximum=maximum,
    )
    return Constraints([feature], monitoring)


def test_a_window_like_the_reference_breaks_nothing() -> None:
    allowed = constraints("String", 0.5, ["a", "b"])

    assert of_window(allowed, window([NAN] * 4, ["a", "b", "a", None])) == []
    assert of_window(constraints("Integral", 1.0, non_negative=True), window([0, 1, 2])) == []
    assert of_window(constraints("Fractional", 1.0), window([-1, 2, 0.5])) == []


@pytest.mark.parametrize(
    ("allowed", "values", "texts", "check", "value"),
    [
        (constraints(completeness=0.8), [1.0, NAN, 2.0, NAN], None, "completeness_check", 0.5),
        (constraints("Integral"), [1.0, 2.5, 3.0, 4.0], None, "data_type_check", 0.75),
        (constraints("Integral"), [1.0, NAN], [None, "x"], "data_type_check", 0.5),
        (constraints("Integral"), [1.0, np.inf], None, "data_type_check", 0.5),
        (constraints("Fractional"), [1.0, NAN], [None, "x"], "data_type_check", 0.5),
        (constraints(non_negative=True), [1.0, -0.5], None, "non_negative_check", -0.5),
        (constraints(minimum=0.5), [1.0, 0.25, NAN], None, "range_check", 0.25),
        (constraints(maximum=0.5), [1.0, 0.25, NAN], None, "range_check", 1.0),
        (constraints(minimum=0.0, maximum=0.5), [-1.0, 1.0], None, "range_check", -1.0),
        (constraints("String", minimum=0.0), [NAN, -1.0], ["x", None], "range_check", -1.0),
        (constraints("String", domain=["a"]), [NAN] * 4, ["a", "b", "a", "c"], "categorical_values_check", 0.5),
        (constraints("String", domain=[]), [NAN], ["a"], "categorical_values_check", 0.0),
    ],
)
def test_each_check_tells_what_it_saw(
    allowed: Constraints, values: list[float], texts: list[str | None] | None, check: str, value: float
) -> None:
    (found,) = of_window(allowed, window(values, texts))

    assert (found.feature, found.check, found.value) == ("x", check, value)
    assert (found.subject, found.rows) == ("features", len(values))


@pytest.mark.parametrize(
    ("allowed", "values", "texts"),
    [
        (constraints("Integral", datatype_threshold=0.75), [1.0, 2.5, 3.0, 4.0], None),
        (constraints("String", domain=["a"], domain_threshold=0.5), [NAN] * 4, ["a", "b", "a", "c"]),
        (constraints("Unknown"), [1.0, NAN], [None, "x"]),
        (constraints("String"), [1.0, NAN], [None, "x"]),
        (constraints("String", domain=["a"]), [NAN, NAN], [None, None]),
        (constraints(completeness=857 / 1000), [1.0] * 857 + [NAN] * 143, None),
        (constraints(minimum=0.25, maximum=1.0), [0.25, 1.0], None),
        (constraints("String", minimum=0.0, maximum=1.0), [NAN, NAN], ["x", None]),
        (constraints("String", domain=["z" * 300]), [NAN], ["z" * 300]),
    ],
)
def test_what_the_thresholds_allow_is_no_violation(
    allowed: Constraints, values: list[float], texts: list[str | None] | None
) -> None:
    assert of_window(allowed, window(values, texts)) == []


def test_columns_too_many_and_too_few_are_told() -> None:
    found = of_window(constraints(), window([1.0], name="y"))

    assert [(each.feature, each.check, each.rows) for each in found] == [
        ("y", "extra_column_check", 1),
        ("x", "missing_column_check", 1),
    ]


def test_a_range_says_which_end_is_passed() -> None:
    (below,) = of_window(constraints(minimum=0.5), window([0.25]))
    (above,) = of_window(constraints(maximum=0.5), window([1.0]))

    assert below.description == "the least is 0.25, expected none below 0.5"
    assert above.description == "the greatest is 1, expected none above 0.5"


def test_nothing_is_checked_where_nothing_is_known_or_wanted() -> None:
    off = Monitoring(evaluates=False)
    feature = Constraint("x", "Integral", 1.0, non_negative=True, domain=None, monitoring=off)

    assert of_window(constraints("Integral", 1.0), window([])) == []
    assert of_window(Constraints([feature], off), window([-1.5], name="y")) == []


def test_new_categories_are_named() -> None:
    (found,) = of_window(constraints("String", domain=["a"]), window([NAN] * 3, ["a", "b", "b"]))

    assert found.description == "33.33% of the texts are in the domain, expected at least 100.00%; new: 'b'"


def test_predictions_are_checked_where_they_have_constraints() -> None:
    monitoring = Monitoring(datatype_threshold=1.0)
    both = Constraints(
        [
            Constraint("x", "Integral", 1.0, non_negative=False, domain=None, monitoring=monitoring),
            Constraint("score", "Integral", 1.0, non_negative=False, domain=None, monitoring=monitoring),
        ],
        monitoring,
    )
    alone = Constraints(both.features[:1], monitoring)
    features, predictions = window([1, 2]), window([0.5, 1.0], name="score")

    assert [(each.feature, each.check, each.subject) for each in violations(both, features, predictions)] == [
        ("score", "data_type_check", "predictions")
    ]
    assert violations(alone, features, predictions) == []
    assert [each.check for each in violations(both, features, None)] == ["missing_column_check"]
    assert violations(both, None, None) == []


def test_a_prediction_that_is_called_as_a_feature_is_not_checked_in_its_place() -> None:
    allowed = constraints("Integral")

    assert violations(allowed, window([1, 2]), window([0.5])) == []
    assert [each.value for each in violations(allowed, window([0.5]), window([1, 2]))] == [0.0]
    assert [each.subject for each in violations(allowed, None, window([0.5]))] == ["predictions"]


def test_violations_are_written_in_sagemaker_s_shape() -> None:
    written = write_violations([("champion", Violation("x", "completeness_check", 0.5, 1.0, "half"))])

    assert json.loads(written) == {
        "violations": [
            {
                "feature_name": "x",
                "constraint_check_type": "completeness_check",
                "description": "half",
                "variant": "champion",
                "subject": "features",
                "value": 0.5,
                "limit": 1.0,
            }
        ]
    }
