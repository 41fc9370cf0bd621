import json
import math

import pytest

from sidecar.errors import ConfigError
from sidecar.records import JSON
from sidecar.reference.bias_files import (
    Analysis,
    Attribution,
    AttributionViolation,
    BiasMetric,
    BiasReport,
    BiasViolation,
    GroupBias,
    analysis_document,
    parse_analysis,
    parse_attribution_violations,
    parse_bias_violations,
    write_analysis,
    write_attribution_violations,
    write_bias_violations,
)

# As Clarify lays it out: a field that we do not know, an older name, a number in words, a metric that failed.
ANALYSIS: JSON = {
    "version": "1.0",
    "post_training_bias_metrics": {
        "label": "target",
        "facets": {
            "city": [
                {
                    "value_or_threshold": "(100.0, 2278.0]",
                    "metrics": [
                        {"name": "AD", "description": "Accuracy Difference (AD)", "value": 0.0087},
                        {"name": "DCA", "description": "Difference in Conditional Acceptance (DCA)", "value": -0.3},
                        {"name": "DI", "description": "Disparate Impact (DI)", "value": "Infinity"},
                        {"name": "TE", "description": "Treatment Equality (TE)", "value": "-Infinity"},
                        {"name": "CDDPL", "description": "", "value": None, "error": "Group variable is empty"},
                    ],
                },
                {"value_or_threshold": 0, "metrics": []},
            ],
            "gender": [{"value_or_threshold": "f", "metrics": [{"name": "DPPL", "value": 1}]}],
        },
        "label_value_or_threshold": "(1.0, 130.2]",
    },
    "explanations": {
        "kernel_shap": {
            "label0": {"global_shap_values": {"age": 0.02, "income": 0.01}, "expected_value": 0.5},
            "label1": {"global_shap_values": {"age": None}},
        },
        "pdp": [],
    },
}


def dumped(document: JSON) -> bytes:
    return json.dumps(document).encode()


def values(report: BiasReport | None) -> dict[tuple[str, str, str], float]:
    assert report is not None
    return {
        (group.facet, group.value_or_threshold, metric.name): metric.value
        for group in report.groups
        for metric in group.metrics
    }


def test_clarify_s_analysis_is_read() -> None:
    read = parse_analysis(dumped(ANALYSIS), "analysis.json")

    assert read.pre_training is None
    assert read.post_training is not None
    assert (read.post_training.label, read.post_training.label_value_or_threshold) == ("target", "(1.0, 130.2]")
    assert [group.value_or_threshold for group in read.post_training.groups] == ["(100.0, 2278.0]", "0", "f"]
    assert values(read.post_training) == pytest.approx(
        {
            ("city", "(100.0, 2278.0]", "AD"): 0.0087,
            ("city", "(100.0, 2278.0]", "DCAcc"): -0.3,
            ("city", "(100.0, 2278.0]", "DI"): math.inf,
            ("city", "(100.0, 2278.0]", "TE"): -math.inf,
            ("city", "(100.0, 2278.0]", "CDDPL"): math.nan,
            ("gender", "f", "DPPL"): 1.0,
        },
        nan_ok=True,
    )
    assert read.attributions["label0"] == Attribution({"age": 0.02, "income": 0.01}, 0.5)
    assert math.isnan(read.attributions["label1"].values["age"])
    assert math.isnan(read.attributions["label1"].expected_value)


def test_what_is_written_is_clarify_s_and_reads_the_same() -> None:
    read = parse_analysis(dumped(ANALYSIS), "analysis.json")
    again = write_analysis(read)

    document = json.loads(again)
    assert list(document) == ["version", "post_training_bias_metrics", "explanations"]
    assert document["version"] == "1.0"
    report = document["post_training_bias_metrics"]
    first = report["facets"]["city"][0]["metrics"]
    assert [metric["value"] for metric in first] == [0.0087, -0.3, "Infinity", "-Infinity", None]
    assert document["explanations"]["kernel_shap"]["label0"] == ANALYSIS["explanations"]["kernel_shap"]["label0"]
    assert document["explanations"]["kernel_shap"]["label1"] == {"global_shap_values": {"age": None}}
    assert write_analysis(parse_analysis(again, "again")) == again


def test_what_is_in_the_file_can_be_had_without_it() -> None:
    read = parse_analysis(dumped(ANALYSIS), "mine")

    assert analysis_document(read) == json.loads(write_analysis(read))


def test_a_reference_of_labels_alone_has_no_other_section() -> None:
    group = GroupBias("gender", "f", (BiasMetric("CI", "Class Imbalance (CI)", 0.25),))
    before = Analysis(pre_training=BiasReport("target", "1", (group,)))

    assert json.loads(write_analysis(before)) == {
        "version": "1.0",
        "pre_training_bias_metrics": {
            "label": "target",
            "facets": {
                "gender": [
                    {
                        "value_or_threshold": "f",
                        "metrics": [{"name": "CI", "description": "Class Imbalance (CI)", "value": 0.25}],
                    }
                ]
            },
            "label_value_or_threshold": "1",
        },
    }
    assert parse_analysis(write_analysis(before), "mine") == before
    assert parse_analysis(b"{}", "empty") == Analysis()


def test_numbers_as_python_writes_them_are_read() -> None:
    report = {"label": 0, "facets": {"age": [{"value_or_threshold": 40.5, "metrics": [{"name": "KL", "value": 0}]}]}}
    data = dumped({"pre_training_bias_metrics": report}).replace(b'"value": 0', b'"value": NaN')
    endless = data.replace(b"NaN", b"-Infinity")

    assert math.isnan(values(parse_analysis(data, "x").pre_training)["age", "40.5", "KL"])
    assert values(parse_analysis(endless, "x").pre_training)["age", "40.5", "KL"] == -math.inf


REPORT: JSON = {"label": "y", "facets": {"age": [{"value_or_threshold": "1", "metrics": [{"name": "CI"}]}]}}
SECTION = dumped({"pre_training_bias_metrics": REPORT})


@pytest.mark.parametrize(
    ("data", "told"),
    [
        (b"", "Input data was truncated"),
        (b"{", "Input data was truncated"),
        (b'{"a": NaN', "malformed"),
        (b"[NaN]", "Expected `object`, got `array`"),
        (b'{"version": "\xff"}', "utf-8"),
        (b'{"a": NaN, "version": "\\ud800"}', "malformed"),
        (b'{"a":' * 100_000, "recursion"),
        (dumped({"post_training_bias_metrics": []}), "$.post_training_bias_metrics"),
        (dumped({"post_training_bias_metrics": {"label": "y"}}), "missing required field `facets`"),
        (SECTION.replace(b"[", b'{"0": [', 1).replace(b"]}}}", b"]}}}}"), "$.pre_training_bias_metrics.facets"),
        (SECTION.replace(b'"CI"', b'"CI", "value": "much"'), "Invalid enum value"),
        (SECTION.replace(b'"CI"', b"7"), "metrics[0].name"),
        (SECTION.replace(b'"CI"', b'"CI", "value": NaN}, {"name": 7'), "metrics[1].name"),
        (dumped({"explanations": {"kernel_shap": {"label0": {}}}}), "global_shap_values"),
    ],
)
def test_a_file_of_another_shape_is_refused_with_its_path_and_field(data: bytes, told: str) -> None:
    with pytest.raises(ConfigError) as refused:
        parse_analysis(data, "ref/analysis.json")

    fault = refused.value.faults[0]
    assert fault.path == "ref/analysis.json"
    assert told.lower() in fault.message.lower()


def test_bias_violations_are_sagemaker_s() -> None:
    # The documented example.
    document = {
        "version": "1.0",
        "violations": [
            {
                "facet": "Age",
                "facet_value": "40",
                "metric_name": "CI",
                "constraint_check_type": "bias_drift_check",
                "description": "Value 0.0751544567666083 does not meet the constraint requirement",
            }
        ],
    }
    found = [
        BiasViolation(
            facet="Age",
            facet_value="40",
            metric_name="CI",
            description="Value 0.0751544567666083 does not meet the constraint requirement",
        )
    ]

    assert json.loads(write_bias_violations(found)) == document
    assert list(json.loads(write_bias_violations(found))["violations"][0]) == list(document["violations"][0])
    assert parse_bias_violations(dumped({**document, "more": 1}), "x") == found
    assert parse_bias_violations(write_bias_violations([]), "x") == []


def test_attribution_violations_are_sagemaker_s() -> None:
    # The documented example.
    document = {
        "version": "1.0",
        "violations": [
            {
                "label": "label0",
                "metric_name": "shap",
                "constraint_check_type": "feature_attribution_drift_check",
                "description": "Feature attribution drift 0.7639720923277322 exceeds threshold 0.9",
            }
        ],
    }
    found = [
        AttributionViolation(
            label="label0", description="Feature attribution drift 0.7639720923277322 exceeds threshold 0.9"
        )
    ]

    assert json.loads(write_attribution_violations(found)) == document
    assert list(json.loads(write_attribution_violations(found))["violations"][0]) == list(document["violations"][0])
    assert parse_attribution_violations(dumped(document), "x") == found


def test_violations_of_another_monitor_are_refused() -> None:
    other = dumped({"violations": [{"feature_name": "x", "constraint_check_type": "completeness_check"}]})

    for parse in (parse_bias_violations, parse_attribution_violations):
        with pytest.raises(ConfigError, match=r"violations\[0\]"):
            parse(other, "constraint_violations.json")
