import math
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.errors import PayloadError
from sidecar.payload.document import dump, parse, repeats_keys

Tree = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


@pytest.mark.parametrize(
    ("data", "value"),
    [
        (b"null", None),
        (b' {"a": [1, 2.5, "x", true]} ', {"a": [1, 2.5, "x", True]}),
        (b'{"a": 1, "a": 2}', {"a": 2}),
        (b"18446744073709551616", 2.0**64),
        ('"é"'.encode(), "é"),
        (b'["NaN"]', ["NaN"]),
        (b"[1, -Infinity, Infinity]", [1, -math.inf, math.inf]),
        (b'["\\ud83d\\ude00", Infinity]', ["\U0001f600", math.inf]),
    ],
)
def test_json_texts_are_read(data: bytes, value: object) -> None:
    assert parse(data) == value


def test_nan_tokens_are_read_as_tensorflow_serving_allows() -> None:
    instances = parse(b'{"instances": [[1.0, NaN]]}')["instances"]

    assert instances[0][0] == 1.0
    assert math.isnan(instances[0][1])


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"{",
        b"1,2",
        b"NaN,",
        b'{"a": NaN',
        b"[" * 100_000,
        b"[" * 100_000 + b"NaN" + b"]" * 100_000,
        b'{"a":' * 100_000,
        b"[" * 1025 + b"]" * 1025,
        b"1" * 5000,
        b"[NaN, " + b"1" * 5000 + b"]",
        b"1e400",
        b'"\xff"',
        b'["\xff", NaN]',
        b'"\\ud800"',
        b'["\\ud800", NaN]',
        b"\xef\xbb\xbf[1]",
        '{"a": 1}'.encode("utf-16"),
    ],
    ids=lambda data: repr(data[:20]),
)
def test_anything_else_is_a_payload_error(data: bytes) -> None:
    with pytest.raises(PayloadError) as raised:
        parse(data)

    assert raised.value.reason == "json"
    assert len(str(raised.value)) < 400


@given(st.binary() | st.text().map(str.encode) | st.text('[]{},:"\\uNaInfity01-.e ').map(str.encode))
def test_no_bytes_raise_anything_else(data: bytes) -> None:
    with suppress(PayloadError):
        parse(data)


@given(Tree)
def test_what_is_written_reads_as_the_same(tree: object) -> None:
    source = dump(tree, b"NaN")

    assert repr(parse(source)) == repr(tree)


def test_nan_tokens_survive_being_written() -> None:
    source = b'{"a": [NaN, Infinity, -Infinity, 1.5]}'

    assert dump(parse(source), source) == b'{"a":[NaN,Infinity,-Infinity,1.5]}'


def test_deep_documents_are_written_by_the_slower_writer() -> None:
    source = b"[" * 300 + b"]" * 300

    assert dump(parse(source), source) == source


def test_documents_too_deep_to_be_written_are_a_payload_error() -> None:
    tree: list[object] = []
    for _ in range(100_000):  # how deep is too deep depends on the Python
        tree = [tree]

    with pytest.raises(PayloadError) as raised:
        dump(tree, b"")

    assert raised.value.reason == "json"


@pytest.mark.parametrize(
    ("data", "repeats"),
    [
        (b"[1]", False),
        (b'{"a": 1, "b": {"a": 2}}', False),
        (b'{"a": 1, "a": 1}', True),
        (b'[{"b": {"a": 1, "\\u0061": 2}}]', True),
        (b'{"a": {"b": 1, "b": 2}, "a": {}}', True),
    ],
)
def test_repeated_keys_are_found_at_any_depth(data: bytes, repeats: bool) -> None:
    assert repeats_keys(data) is repeats


@pytest.mark.parametrize("data", [b"[" * 100_000, b"\xff", b"{"])
def test_repeated_keys_in_what_is_not_json_are_a_payload_error(data: bytes) -> None:
    with pytest.raises(PayloadError):
        repeats_keys(data)
