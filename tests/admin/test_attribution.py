from collections import Counter

import numpy as np
import pytest
from jsonschema import Draft202012Validator

from sidecar.admin.attribution import attribution
from sidecar.monitors.attribution import Attributing, Attribution
from sidecar.records import JSON
from tests.admin.rig import OPENAPI, capture


class Site:
    """What brings attributions, as a test sets it."""

    def __init__(self, *, name: str = "amount") -> None:
        self.monitor: Attributing = Attribution(reference_rows=50, rows=50).attribute()
        self.calls = Counter(made=3, failed=1, skipped=0)
        self.left_out = 7
        self._names = (name, "age")

    def take(self, rows: int, *values: float) -> "Site":
        self.monitor.take(capture(), self._names, np.tile(values, (rows, 1)))
        self.monitor.assess(1e9)
        return self


def told(site: Site) -> JSON:
    found = attribution(site)
    schema = {"components": OPENAPI["components"], **OPENAPI["components"]["schemas"]["Attribution"]}
    assert [error.message for error in Draft202012Validator(schema).iter_errors(found)] == []
    return found


def test_before_the_first_row_there_are_counts_alone() -> None:
    assert told(Site()) == {
        "calls": {"made": 3, "failed": 1, "skipped": 0},
        "unread": 0,
        "left_out": 7,
        "variants": [],
    }


def test_a_reference_that_is_being_learned_is_told() -> None:
    (variant,) = told(Site().take(10, 0.3, 0.1))["variants"]
    assert (variant["name"], variant["version"], variant["rows"]) == ("champion", "3", 10)
    assert (variant["reference"]["learned"], variant["reference"]["needed_rows"], variant["ranking"]) == (
        False,
        50,
        None,
    )


def test_a_ranking_that_is_no_longer_the_references_is_told_in_sagemakers_shapes() -> None:
    (variant,) = told(Site().take(50, 0.75, 0.125).take(50, 0.0, 0.5))["variants"]
    analysis = {"version": "1.0", "explanations": {"kernel_shap": {"label0": {"global_shap_values": {}}}}}
    shap = analysis["explanations"]["kernel_shap"]["label0"]  # type: ignore[index]  # as written above
    shap["global_shap_values"] = {"amount": 0.0, "age": 0.5}
    assert variant["window"] == {"rows": 50, "needed_rows": 50, "analysis": analysis}
    assert variant["ranking"]["drifted"]
    assert variant["ranking"]["moved"][0] == {
        "name": "age",
        "rank": 1,
        "reference_rank": 2,
        "attribution": 0.5,
        "reference_attribution": 0.125,
    }
    (violation,) = variant["violations"]
    assert violation["constraint_check_type"] == "feature_attribution_drift_check"
    assert violation["label"] == "label0"


@pytest.mark.parametrize("name", ["\ud800", "x" * 10_000])
def test_any_name_of_a_feature_can_be_told(name: str) -> None:
    (variant,) = told(Site(name=name).take(50, 0.75, 0.125).take(50, 0.125, 0.75))["variants"]
    assert variant["ranking"]["moved"][0]["name"].encode()


def test_attributions_of_nothing_but_0_are_told() -> None:
    (variant,) = told(Site().take(100, 0.0, 0.0))["variants"]
    assert (variant["ranking"]["ndcg"], variant["ranking"]["drifted"]) == (None, False)
