import json
import sys
from typing import Any

import numpy as np
import pytest

from sidecar.errors import ConfigError
from sidecar.records import Table
from sidecar.reference.constraints import Constraint, Constraints, Monitoring, suggested
from sidecar.reference.files import keeping, parse_constraints, parse_statistics, write_constraints, write_statistics
from sidecar.reference.learning import Learner
from sidecar.reference.profile import Numbers, Profile, Profiles

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
        (
            b'{"features": [{"name": "\xff"}]}',
            "f.json: 'utf-8' codec can't decode byte 0xff in position 0: invalid start byte, in a file of SageMaker's",
        ),
        (
            b'{"features": [], "x": ' + b"[" * 100_000,
            "f.json: maximum recursion depth exceeded while deserializing an object, in a file of SageMaker's",
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


@pytest.mark.parametrize("word", ["NaN", "Infinity", "-Infinity"])
def test_what_json_has_no_number_for_is_written_in_words(word: str) -> None:
    """The sum of numbers that are large enough is infinite; null would not be read back."""
    number = float(word)
    numbers = Numbers(mean=number, total=number, std=number, minimum=1.0, maximum=1.0, sketch=None)
    written = write_statistics(Profiles(2, [Profile("a", "Fractional", 2, 0, numbers=numbers)]))

    (feature,) = parse_statistics(written, "").features
    assert json.loads(written)["features"][0]["numerical_statistics"]["sum"] == word
    assert feature.numbers is not None
    np.testing.assert_equal([feature.numbers.mean, feature.numbers.total, feature.numbers.std], [number] * 3)


def test_the_largest_numbers_are_learned_written_and_read_back() -> None:
    learner = Learner()
    learner.update(Table(("a",), np.full((10, 1), sys.float_info.max)))

    (feature,) = parse_statistics(write_statistics(learner.profiles()), "").features
    assert feature.numbers is not None
    assert feature.numbers.total == np.inf


@pytest.mark.parametrize("numbers", [{}, {"minimum": None, "maximum": None}, {"minimum": -1.5}, {"maximum": 3}])
def test_ranges_are_read_and_written(numbers: dict[str, float | None]) -> None:
    fields = {"inferred_type": "Integral", "num_constraints": {"is_non_negative": False, **numbers}}
    constraints = parse_constraints(one_feature(**fields), "")

    (feature,) = constraints.features
    assert (feature.minimum, feature.maximum) == (numbers.get("minimum"), numbers.get("maximum"))
    assert parse_constraints(write_constraints(constraints), "") == constraints
    (written,) = json.loads(write_constraints(constraints))["features"]
    given = {name: bound for name, bound in numbers.items() if bound is not None}
    assert written["num_constraints"] == {"is_non_negative": False, **given}


THEIRS = {"since": [1, None, {"a": 2.5}]}


def extended(node: object, *, nameless: bool) -> object:
    """The document with a field of somebody else's in every object.

    Args:
        nameless: In members of lists that have no name too.
    """
    if isinstance(node, list):
        named = [nameless or not isinstance(each, dict) or "name" in each for each in node]
        return [extended(each, nameless=nameless) if ours else each for each, ours in zip(node, named, strict=True)]
    if isinstance(node, dict):
        return {**{name: extended(each, nameless=nameless) for name, each in node.items()}, "theirs": THEIRS}
    return node


def every_field() -> Constraints:
    whole = Monitoring(categorical_threshold=0.2)
    own = Monitoring(comparison_threshold=0.3, evaluates=False)
    return Constraints(
        [
            Constraint("n", "Integral", 1.0, non_negative=True, domain=None, monitoring=own, minimum=1, maximum=2),
            Constraint("s", "String", 0.5, non_negative=False, domain=["name", "x"], monitoring=whole),
        ],
        whole,
    )


def bare(*names: str) -> bytes:
    features = [
        Constraint(name, "Unknown", 0.0, non_negative=False, domain=None, monitoring=Monitoring()) for name in names
    ]
    return write_constraints(Constraints(features))


@pytest.mark.parametrize("new", [write_statistics(learned()), write_constraints(every_field())])
def test_what_we_do_not_know_is_kept_in_every_object_that_has_a_place(new: bytes) -> None:
    """A bucket has none: it has no name to be known by."""
    document = json.loads(new)

    kept = keeping(new, dumped(extended(document, nameless=True)))

    assert json.loads(kept) == extended(document, nameless=False)


@pytest.mark.parametrize("new", [write_statistics(learned()), write_constraints(every_field())])
def test_a_file_over_itself_is_itself(new: bytes) -> None:
    assert keeping(new, new) == new


def test_a_field_that_we_know_and_have_left_out_is_not_revived() -> None:
    older = json.loads(write_constraints(every_field()))
    older["features"][0]["monitoring_config_overrides"] = {"emit_metrics": "Disabled"}
    older["monitoring_config"] |= {"min_domain_mass": 0.5, "enable_comparisons": False}
    new = bare("n", "s")

    assert keeping(new, dumped(older)) == new


def test_a_feature_keeps_its_fields_wherever_it_stands_and_takes_them_along_when_it_goes() -> None:
    old = {"features": [{"name": "a", "note": 1}, {"name": "b", "note": 2}, 3, {"name": ["c"]}]}

    kept = json.loads(keeping(bare("b", "d", "c"), dumped(old)))

    assert [(each["name"], each.get("note")) for each in kept["features"]] == [("b", 2), ("d", None), ("c", None)]


def test_a_feature_may_be_called_as_a_field() -> None:
    new = bare("item_count", "dataset", "name", "features")
    old = json.loads(new)
    old["monitoring_config"]["emit_metrics"] = "Disabled"

    assert keeping(new, dumped(old)) == new


@pytest.mark.parametrize(
    "old",
    [
        b"",
        b"[1]",
        b'"x"',
        b"\xff",
        b'{"x": "\xff"}',
        b'{"x": NaN}',
        b"[" * 100_000,
        b'{"features": {"name": 1}, "monitoring_config": 3}',
        b'{"features": [1, null, [], {"name": null}]}',
    ],
)
def test_what_is_no_such_file_is_passed_over(old: bytes) -> None:
    new = write_constraints(every_field())

    assert keeping(new, old) == new
