import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.errors import ConfigError, PayloadError
from sidecar.payload.document import parse
from sidecar.payload.grid import MAX_ROWS
from sidecar.payload.redacting import REDACTED, Redaction

DOCUMENT = {
    "instances": [{"card": "4111", "age": 7, "tags": ["a", "b"]}, {"card": {"number": 1}}, {"age": 8}],
    "a/b": 1,
    "m~n": 2,
    "~1": 3,
    "": 4,
    "0": 5,
    "*": 6,
}


@pytest.mark.parametrize(
    ("pattern", "path"),
    [
        ("/instances/0/card", ["instances", 0, "card"]),
        ("/instances/1/card", ["instances", 1, "card"]),
        ("/instances/1/card/number", ["instances", 1, "card", "number"]),
        ("/instances/0/tags/1", ["instances", 0, "tags", 1]),
        ("/instances/0/tags", ["instances", 0, "tags"]),
        ("/a~1b", ["a/b"]),
        ("/m~0n", ["m~n"]),
        ("/~01", ["~1"]),
        ("/", [""]),
        ("/0", ["0"]),
    ],
)
def test_one_place_is_replaced_and_nothing_else(pattern: str, path: list[str | int]) -> None:
    data, document = Redaction([pattern]).apply("application/json", json.dumps(DOCUMENT).encode())

    expected = json.loads(json.dumps(DOCUMENT))
    node = expected
    for key in path[:-1]:
        node = node[key]
    node[path[-1]] = REDACTED
    assert document == expected
    assert json.loads(data) == expected


def test_a_star_stands_for_every_element_and_member() -> None:
    redaction = Redaction(["/instances/*/card", "/meta/*"])
    source = b'{"instances": [{"card": "1"}, {"card": 2}, 3], "meta": {"a": 1, "b": [2]}}'

    data, _ = redaction.apply("application/json", source)

    assert data == (
        b'{"instances":[{"card":"[redacted]"},{"card":"[redacted]"},3],"meta":{"a":"[redacted]","b":"[redacted]"}}'
    )


def test_the_empty_pointer_is_the_whole_body() -> None:
    assert Redaction([""]).apply("application/json", b"[1]") == (b'"[redacted]"', REDACTED)


@pytest.mark.parametrize(
    "pattern", ["/b", "/a/9", "/a/00", "/a/-", "/a/+0", "/a/x", "/a/0/b", "/s/0", "/a/\N{ARABIC-INDIC DIGIT ZERO}"]
)
def test_bytes_stay_as_they_are_where_nothing_matches(pattern: str) -> None:
    source = b'{"a" : [ 1 ], "s": "b", "t": "\\u0062"}'

    assert Redaction([pattern]).apply("application/json", source) == (source, parse(source))


@pytest.mark.parametrize(
    "source",
    [
        b'{"a": {"card": "4111"}, "a": {"x": 2}}',
        b'{"a": {"\\u0063ard": "4111"}, "a": {"x": 2}}',
        b'{"a": {"card": "4111", "card": "4112"}}',
    ],
)
def test_a_repeated_key_hides_nothing(source: bytes) -> None:
    data, _ = Redaction(["/a/card"]).apply("application/json", source)

    assert b"411" not in data


def test_nan_tokens_survive() -> None:
    source = b'{"card": 1, "x": [NaN, -Infinity]}'

    assert Redaction(["/card"]).apply("", source)[0] == b'{"card":"[redacted]","x":[NaN,-Infinity]}'


def test_each_line_of_json_lines_is_its_own_document() -> None:
    source = b'{"card": 1}\n\n{"x": 1 }\n{"card": 2}\n'

    data, document = Redaction(["/card"]).apply("application/x-ndjson", source)

    assert data == b'{"card":"[redacted]"}\n\n{"x": 1 }\n{"card":"[redacted]"}\n'
    assert document is None


@pytest.mark.parametrize("data", [b"1,2,3", b'{"card": 1', b"\x00\x01", b"[" * 2000, b'{"x":1}\n{"card":2}'])
def test_what_is_not_json_is_a_payload_error(data: bytes) -> None:
    with pytest.raises(PayloadError):
        Redaction(["/card"]).apply("application/json", data)


def test_more_lines_than_are_decoded_are_a_payload_error() -> None:
    with pytest.raises(PayloadError):
        Redaction(["/card"]).apply("application/jsonlines", b"\n" * (MAX_ROWS + 1))


@pytest.mark.parametrize("pattern", ["card", "$.card", "/a~2", "/a~", "a/~1"])
def test_what_is_not_a_pointer_is_told_with_its_position(pattern: str) -> None:
    with pytest.raises(ConfigError) as raised:
        Redaction(["/fine~0~1", pattern])

    assert raised.value.faults[0].path == "[1]"
    assert repr(pattern) in raised.value.faults[0].message


Keys = st.sampled_from(["a", "b", "0", "1", "*", "a/b", "~"])
Secret = "4111-1111"
Trees = st.recursive(st.just(Secret) | st.integers(), lambda x: st.lists(x, max_size=3) | st.dictionaries(Keys, x))


def _escape(key: str) -> str:
    return key.replace("~", "~0").replace("/", "~1")


@given(st.dictionaries(Keys, Trees), st.lists(Keys.filter(lambda key: key != "*"), min_size=1, max_size=4))
def test_nothing_below_a_matched_member_remains(document: dict[str, object], path: list[str]) -> None:
    pattern = "".join("/" + _escape(key) for key in path)

    _, redacted = Redaction([pattern]).apply("", json.dumps(document).encode())

    node = redacted
    for key in path:
        if isinstance(node, list):
            node = node[int(key)] if key.isdigit() and int(key) < len(node) else REDACTED
        else:
            node = node.get(key, REDACTED) if isinstance(node, dict) else REDACTED
    assert node == REDACTED
