import json
import math

from sidecar.records import Carrier, Finding, Key
from sidecar.report.telling.document import Breach, breaches, encoded, found, plain
from tests.report.documents import document, judged, variant


def test_what_json_cannot_hold_is_null_or_escaped() -> None:
    assert plain({"n": [math.nan, math.inf, 1.5, 2, True, None], "\ud800": ("ä", "\udc80")}) == {
        "n": [None, None, 1.5, 2, True, None],
        "\\ud800": ["ä", "\\udc80"],
    }


def test_the_document_is_json_and_reads_back_as_it_was() -> None:
    made = document(variant(), labels=True)
    assert json.loads(encoded(made)) == made


def test_violations_of_data_quality_and_bias_are_told_alike() -> None:
    quality, bias = judged()
    told = breaches([variant()], quality, bias)
    assert [(each.variant, each.about, each.check) for each in told] == [
        ("champion", "country", "categorical_values_check"),
        ("champion", "accuracy", "LessThanThreshold"),
        ("champion", "amount (0, inf): DPPL", "bias_drift_check"),
    ]
    assert all(each.description for each in told)
    assert told[0].rows == variant()["rows"]


def test_without_labels_there_are_those_of_the_data_alone() -> None:
    assert breaches([variant(moved=False)], None, None) == []
    assert [type(each) for each in breaches([variant()], None, None)] == [Breach]


def test_a_finding_is_told_with_its_cause_and_its_beginning() -> None:
    carrier = Carrier("amount", 1.0, 0.3, 0.25, "above 2: 1 % → 40 %", since_s=5.0)
    made = Finding(Key("data", "psi", "champion", "features"), "3", (carrier,), 9, 9, "drifted", "inputs", "they moved")
    assert found(made) == {
        "variant": "champion",
        "monitor": "data",
        "check": "psi",
        "subject": "features",
        "sentence": "drifted",
        "cause": "inputs",
        "reason": "they moved",
        "since_s": 5.0,
    }
