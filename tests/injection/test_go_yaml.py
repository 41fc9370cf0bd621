import json
import math
from typing import cast

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from sidecar.injection.go_yaml import dump_all, load_all
from sidecar.records import JSON

SCALARS: dict[str, JSON] = {
    "22:30": "22:30", "190:20:30": "190:20:30", "12:30:45": "12:30:45", "=": "=", "<<": "<<",
    "2024-01-01": "2024-01-01", "2024-01-01T00:00:00Z": "2024-01-01T00:00:00Z",
    "1e3": 1000, "1.0e3": 1000, "12e03": 12000, "1e+3": 1000, "1e": "1e", "1E400": "1E400", "1e22": 1e22,
    "-1e-7": -1e-7,
    "5.": 5, ".5": 0.5, ".5_0": 0.5, "-.5": -0.5, "+.5e-3": 0.0005, ".": ".", "+": "+", "..5": "..5", "1.2.3": "1.2.3",
    "0x1p-2": "0x1p-2", "Infinity": "Infinity", "NaN": "NaN", "1,000": "1,000", "-0.0": 0,
    "1_000": 1000, "1_": 1, "1__0": 10, "_1": "_1", "1_0.5": 10.5, "0x_1F": 31,
    "0b11": 3, "-0B11": -3, "0b2": "0b2", "0o17": 15, "+0O17": 15, "0644": 420, "0_7": 7, "08": 8, "00": 0,
    "-0x1F": -31, "0X1f": 31, "0x": "0x", "+5": 5, "++1": "++1", "1-2": "1-2", "1٣": "1٣",
    "18446744073709551615": 2**64 - 1, "18446744073709551616": 2.0**64, "-9223372036854775809": -(2.0**63),
    "0777777777777777777777777777": 7.777777777777778e26, "0xFFFFFFFFFFFFFFFFFF": "0xFFFFFFFFFFFFFFFFFF",
    "y": True, "Y": True, "yes": True, "on": True, "True": True, "n": False, "No": False, "OFF": False,
    "tRUE": "tRUE", "oN": "oN", "~": None, "Null": None, "NULL": None, "nULL": "nULL", "": None,
    "!!str 5": "5", '!!int "5"': 5, "!!float 5": 5, "!!bool yes": True, "!!binary aGk=": "hi", "!!null ~": None,
}  # fmt: skip
"""What `kubectl label --local -f - x=y -o json` (1.32) makes of each."""


@pytest.mark.parametrize(("text", "expected"), SCALARS.items())
def test_a_scalar_is_what_kubectl_takes_it_for(text: str, expected: JSON) -> None:
    (found,) = load_all(f"k: {text}\n")

    assert found == {"k": expected}
    assert type(found["k"]) is type(expected)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("{8080: a, on: b, 1.5: c, 0x10: d}", {"8080": "a", "true": "b", "1.5": "c", "16": "d"}),
        ("{2024-01-01: a, 1:2: b}", {"2024-01-01": "a", "1:2": "b"}),
        ("{a: 1, a: 2}", {"a": 2}),
        ("{a: 1, <<: {a: 2}}", {"a": 2}),
        ("{<<: {a: 2}, a: 1}", {"a": 1}),
        ("{<<: [{a: 1}, {a: 2, b: 2}]}", {"a": 1, "b": 2}),
        ("{<<: {<<: {a: 1}, b: 2}}", {"a": 1, "b": 2}),
        ('{"<<": 1}', {"<<": 1}),
        ("{a: , b: ''}", {"a": None, "b": ""}),
    ],
)
def test_keys_are_texts_and_the_later_one_counts(text: str, expected: JSON) -> None:
    assert load_all(text) == [expected]


@pytest.mark.parametrize(
    "text",
    [
        "a: [", "a: !!python/object:os.system {}", "a: !!set {b}", "a: !!int x", "a: !!bool x", "a: !!binary é",
        "a: !!binary /w==", "{~: a}", "{[a]: b}", "{<<: 1}", "{<<: [1]}", "[" * 1000, "&a {<<: *a}", "a: \x00",
    ],
)  # fmt: skip
def test_what_kubernetes_has_no_meaning_for_is_refused(text: str) -> None:
    with pytest.raises((yaml.YAMLError, ValueError, RecursionError)):
        load_all(text)


def test_json_is_read_as_json() -> None:
    document = {"a": "\U0001f600", "b": "\x7f", "c": [1.5, None, True], "d": "1e3", "e": "\u2028"}

    assert load_all(json.dumps(document, indent="\t")) == [document]
    assert load_all(json.dumps({"a": 1}) + "\n---\n" + json.dumps({"b": 2})) == [{"a": 1}, {"b": 2}]


TEXTS = (
    st.text()
    | st.sampled_from([text for text in SCALARS if text])
    | st.text("\n\r\t\x85\u2028 #:-'\"|>a0e.", max_size=12)
)
NUMBERS = st.integers(-(2**63), 2**64 - 1) | st.floats(allow_nan=False, allow_infinity=False)
VALUES: st.SearchStrategy[JSON] = st.recursive(
    st.none() | st.booleans() | NUMBERS | TEXTS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXTS, inner, max_size=4),
    max_leaves=12,
)


@given(st.lists(VALUES.filter(lambda value: value is not None), max_size=3))
def test_what_is_written_is_read_as_it_was(documents: list[JSON]) -> None:
    assert load_all(dump_all(documents)) == documents


@given(VALUES.filter(lambda value: value is not None))
def test_other_readers_read_the_same(document: JSON) -> None:
    (found,) = yaml.safe_load_all(dump_all([document]))

    assert _same(found, document)


def _same(found: object, expected: object) -> bool:
    if isinstance(expected, float):
        return math.isclose(cast("float", found), expected, rel_tol=0)
    if isinstance(expected, list):
        return len(cast("list[object]", found)) == len(expected) and all(
            map(_same, cast("list[object]", found), expected)
        )
    if isinstance(expected, dict):
        got = cast("dict[str, object]", found)
        return list(got) == list(expected) and all(map(_same, got.values(), expected.values()))
    return type(found) is type(expected) and found == expected
