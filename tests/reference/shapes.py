"""SageMaker Model Monitor's files as JSON Schemas, from the fields that its documentation lists, and no others.

https://docs.aws.amazon.com/sagemaker/latest/dg/model-monitor-byoc-statistics.html and the pages beside it.
"""

from sidecar.records import JSON

NUMBER = {"anyOf": [{"type": "number"}, {"enum": ["NaN", "Infinity", "-Infinity"]}]}
COUNT = {"type": "integer", "minimum": 0}
TEXT = {"type": "string"}
SWITCH = {"enum": ["Enabled", "Disabled"]}
SHARE = {"type": "number", "minimum": 0, "maximum": 1}


def an_object(required: dict[str, JSON], optional: dict[str, JSON] | None = None) -> JSON:
    """One of these properties and no others."""
    return {
        "type": "object",
        "properties": {**required, **(optional or {})},
        "required": list(required),
        "additionalProperties": False,
    }


def a_list(items: JSON, **more: JSON) -> JSON:
    return {"type": "array", "items": items, **more}


COMMON = an_object({"num_present": COUNT, "num_missing": COUNT})
BUCKET = an_object({"lower_bound": NUMBER, "upper_bound": NUMBER, "count": NUMBER})
KLL = an_object(
    {
        "buckets": a_list(BUCKET, minItems=10, maxItems=10),
        "sketch": an_object({"parameters": an_object({"c": NUMBER, "k": NUMBER}), "data": a_list(a_list(NUMBER))}),
    }
)
NUMERICAL = an_object(
    {
        "common": COMMON,
        **dict.fromkeys(("mean", "sum", "std_dev", "min", "max"), NUMBER),
        "distribution": an_object({"kll": KLL}),
    }
)
CATEGORY = an_object({"value": TEXT, "count": COUNT})
TEXTS = an_object(
    {
        "common": COMMON,
        "distinct_count": NUMBER,
        "distribution": an_object({"categorical": an_object({"buckets": a_list(CATEGORY)})}),
    }
)
STATISTICS: JSON = an_object(
    {
        "version": {"const": 0.0},
        "dataset": an_object({"item_count": COUNT}),
        "features": a_list(
            {
                "oneOf": [
                    an_object(
                        {"name": TEXT, "inferred_type": {"enum": ["Fractional", "Integral"]}},
                        {"numerical_statistics": NUMERICAL, "common": COMMON},
                    ),
                    an_object({"name": TEXT, "inferred_type": {"const": "String"}, "string_statistics": TEXTS}),
                    an_object({"name": TEXT, "inferred_type": {"const": "Unknown"}, "common": COMMON}),
                ]
            }
        ),
    }
)
"""A feature without any finite number has nothing but its counts, for which no page has a place; we put them beside."""

DISTRIBUTION = an_object(
    {
        "perform_comparison": SWITCH,
        "comparison_threshold": SHARE,
        "comparison_method": {"enum": ["Simple", "Robust"]},
    },
    {"categorical_comparison_threshold": SHARE, "categorical_drift_method": {"enum": ["LInfinity", "ChiSquared"]}},
)
CONSTRAINTS: JSON = an_object(
    {
        "version": {"const": 0.0},
        "features": a_list(
            an_object(
                {
                    "name": TEXT,
                    "inferred_type": {"enum": ["Integral", "Fractional", "String", "Unknown"]},
                    "completeness": SHARE,
                },
                {
                    "num_constraints": an_object({"is_non_negative": {"type": "boolean"}}),
                    "string_constraints": an_object({"domains": a_list(TEXT)}),
                    "monitoringConfigOverrides": {"type": "object"},
                },
            )
        ),
        "monitoring_config": an_object(
            {
                "evaluate_constraints": SWITCH,
                "emit_metrics": SWITCH,
                "datatype_check_threshold": SHARE,
                "domain_content_threshold": SHARE,
                "distribution_constraints": DISTRIBUTION,
            }
        ),
    }
)
