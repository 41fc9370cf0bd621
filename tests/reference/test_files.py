import json
from typing import Any

import numpy as np
import pytest

from sidecar.errors import ConfigError
from sidecar.records import Table
from sidecar.reference.constraints import Constraint, Constraints, Monitoring, suggested
from sidecar.reference.files import parse_constraints, parse_statistics, write_constraints, write_statistics
from sidecar.reference.learning import Learner
from sidecar.reference.profile import Profiles

# As SageMaker lays it out: fields that we do not know, numbers in words, a sketch of three levels.
STATISTICS = {
    "version": 0.0,
    "dataset": {"item_count": 9, "origin": "s3"},
    "features": [
        {
            "name": "amount",
            "inferred_type": "Fractional",
            "numerical_statistics": {
                "common": {"num_present": 9, "num_missing": 0},
                "mean": 4.0,
                "sum": 36,
                "std_dev": "NaN",
                "min": 0.0,
                "max": 8.0,
                "distribution": {
                    "kll": {
                        "buckets": [{"lower_bound": 0.0, "upper_bound": 8.0, "count": 9.0}],
                        "sketch": {"parameters": {"c": 0.64, "k": 2048.0}, "data": [[0.0], [3.0, 1.0], [8]]},
                    }
                },
            },
        },
        {
            "name": "country",
            "inferred_type": "String",
            "string_statistics": {
                "common": {"num_present": 8, "num_missing": 1},
                "distinct_count": 2.0,
                "distribution": {
                    "categorical": {"buckets": [{"value": "at", "count": 3}, {"value": "de", "count": 5}]}
                },
            },
        },
        {"name": "empty", "inferred_type": "Unknown"},
    ],
}


def dumped(document: object) -> bytes:
    return json.dumps(document).encode()


def learned() -> Profiles:
    rng = np.random.default_rng(5)
    learner = Learner()
    for _ in range(7):
        values = np.column_stack([rng.normal(size=900), rng.integers(0, 5, 900), np.full((900, 2), np.nan)])
        learner.update(Table(("f", "i", "s", "u"), values, {2: ["x", "y", None] * 300}))
    return learner.profiles()


def test_statistics_of_sagemaker_are_read() -> None:
    profiles = parse_statistics(dumped(STATISTICS), "statistics.json")

    amount, country, empty = profiles.features
    assert profiles.rows == 9
    assert amount.numbers is not None
    assert amount.numbers.sketch is not None
    assert np.isnan(amount.numbers.std)
    assert (amount.numbers.total, amount.numbers.sketch.n) == (36.0, 9)
    assert amount.numbers.sketch.quantiles([0.1, 0.5, 1.0]).tolist() == [0.0, 3.0, 8.0]
    assert country.categories is not None
    assert (list(country.categories.counts.items()), country.missing) == ([("de", 5), ("at", 3)], 1)
    assert (empty.kind, empty.present, empty.missing) == ("Unknown", 0, 9)


def test_what_is_written_is_read_back() -> None:
    profiles = learned()
    constraints = suggested(profiles)

    assert parse_statistics(write_statistics(profiles), "") == profiles
    assert parse_constraints(write_constraints(constraints), "") == constraints


def test_statistics_are_written_in_sagemaker_s_shape() -> None:
    written = json.loads(write_statistics(learned()))

    number, _, text, _ = written["features"]
    kll = number["numerical_statistics"]["distribution"]["kll"]
    assert list(written) == ["version", "dataset", "features"]
    assert list(number["numerical_statistics"]) == ["common", "mean", "sum", "std_dev", "min", "max", "distribution"]
    assert len(kll["buckets"]) == 10
    assert sum(bucket["count"] for bucket in kll["buckets"]) == 6300
    assert kll["sketch"]["parameters"] == {"c": 0.64, "k": 2048}
    assert sum(len(level) << i for i, level in enumerate(kll["sketch"]["data"])) == 6300
    assert text["string_statistics"]["distribution"]["categorical"]["buckets"] == [
        {"value": "x", "count": 2100},
        {"value": "y", "count": 2100},
    ]


def one_feature(**fields: object) -> bytes:
    return dumped({"features": [{"name": "a", "inferred_type": "String", "completeness": 1.0, **fields}]})


def test_constraints_of_sagemaker_are_read() -> None:
    document = {
        "version": 0.0,
        "features": [
            {
                "name": "amount",
                "inferred_type": "Integral",
                "completeness": 0.5,
                "num_constraints": {"is_non_negative": True},
            },
            {"name": "country", "inferred_type": "String", "string_constraints": {"domains": ["at", "de"]}},
        ],
        "monitoring_config": {
            "evaluate_constraints": "Enabled",
            "emit_metrics": "Disabled",
            "datatype_check_threshold": 1.0,
            "domain_content_threshold": 0.9,
            "distribution_constraints": {
                "perform_comparison": "Enabled",
                "comparison_threshold": 0.2,
                "comparison_method": "Simple",
                "categorical_drift_method": "ChiSquared",
            },
        },
    }
    whole = Monitoring(
        emits=False,
        datatype_threshold=1.0,
        domain_threshold=0.9,
        comparison_threshold=0.2,
        comparison_method="Simple",
        categorical_method="ChiSquared",
    )

    assert parse_constraints(dumped(document), "") == Constraints(
        [
            Constraint("amount", "Integral", 0.5, non_negative=True, domain=None, monitoring=whole),
            Constraint("country", "String", 0.0, non_negative=False, domain=["at", "de"], monitoring=whole),
        ],
        whole,
    )


@pytest.mark.parametrize(
    "fields",
    [
        {"monitoringConfigOverrides": {"distribution_constraints": {"comparison_threshold": 0.5}}},
        {"monitoring_config_overrides": {"distribution_constraints": {"comparison_threshold": 0.5}}},
        {
            "string_constraints": {
                "monitoring_config_overrides": {"distribution_constraints": {"comparison_threshold": 0.5}}
            }
        },
        {
            "string_constraints": {
                "monitoringConfigOverrides": {"distribution_constraints": {"comparison_threshold": 0.5}}
            }
        },
    ],
)
def test_overrides_are_read_in_every_place_and_spelling(fields: dict[str, Any]) -> None:
    constraints = parse_constraints(one_feature(**fields), "")

    assert constraints.features[0].monitoring == Monitoring(comparison_threshold=0.5)
    assert constraints.monitoring == Monitoring()


@pytest.mark.parametrize(
    ("config", "monitoring"),
    [
        ({}, Monitoring()),
        ({"enable_comparisons": False}, Monitoring(compares=False)),
        ({"min_domain_mass": 0.7}, Monitoring(domain_threshold=0.7)),
        ({"min_domain_mass": 0.7, "domain_content_threshold": 0.8}, Monitoring(domain_threshold=0.8)),
        (
            {"enable_comparisons": False, "distribution_constraints": {"perform_comparison": "Enabled"}},
            Monitoring(compares=True),
        ),
    ],
)
def test_older_spellings_count_where_there_is_no_newer_one(config: dict[str, Any], monitoring: Monitoring) -> None:
    assert parse_constraints(dumped({"features": [], "monitoring_config": config}), "").monitoring == monitoring


def test_a_feature_s_override_says_what_differs() -> None:
    whole = Monitoring(comparison_threshold=0.2)
    own = Monitoring(comparison_threshold=0.2, comparison_method="Simple", evaluates=False)
    constraints = Constraints(
        [Constraint("a", "Integral", 1.0, non_negative=False, domain=None, monitoring=own)], whole
    )

    written = write_constraints(constraints)

    assert json.loads(written)["features"][0]["monitoringConfigOverrides"] == {
        "evaluate_constraints": "Disabled",
        "distribution_constraints": {"comparison_method": "Simple"},
    }
    assert parse_constraints(written, "") == constraints


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "f.json: Input data was truncated, in a file of SageMaker's"),
        (b"[]", "f.json: Expected `object`, got `array`, in a file of SageMaker's"),
        (b'{"features": 3}', "f.json: Expected `array`, got `int` - at `$.features`, in a file of SageMaker's"),
        (
            one_feature(inferred_type="Decimal"),
            "f.json: Invalid enum value 'Decimal' - at `$.features[0].inferred_type`, in a file of SageMaker's",
        ),
        (
            dumped({"features": [{"name": "a"}, {"name": "a"}]}),
            "f.json: $.features[1].name: 'a' a second time, expected each name once",
        ),
    ],
)
def test_a_broken_file_is_named_with_the_field(data: bytes, message: str) -> None:
    with pytest.raises(ConfigError) as raised:
        parse_constraints(data, "f.json")

    assert str(raised.value) == message


def kll(**sketch: object) -> bytes:
    statistics = {"common": {"num_present": 1, "num_missing": 0}, "distribution": {"kll": {"sketch": sketch}}}
    feature = {"name": "a", "inferred_type": "Fractional", "numerical_statistics": statistics}
    return dumped({"dataset": {"item_count": 1}, "features": [feature]})


@pytest.mark.parametrize(
    ("data", "field"),
    [
        (kll(parameters={"c": 0.64, "k": 0}, data=[[1.0]]), "sketch.parameters.k"),
        (kll(parameters={"c": 0.64, "k": 200}, data=[[1.0]] * 100), "sketch.data"),
        (dumped({"dataset": {"item_count": -1}, "features": []}), "$.dataset.item_count"),
    ],
)
def test_a_number_that_cannot_be_is_refused_by_its_field(data: bytes, field: str) -> None:
    with pytest.raises(ConfigError) as raised:
        parse_statistics(data, "s.json")

    assert str(raised.value).startswith("s.json: ")
    assert field in str(raised.value)
