import json
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.config.documents import DEPTH, parse_yaml
from sidecar.errors import ConfigError

DOCUMENTS: list[tuple[str, object]] = [
    ("", None),
    ("# only a comment", None),
    ("a: 1\nb: [x, {c: ~}]", {"a": 1, "b": ["x", {"c": None}]}),
    ("version: '3'", {"version": "3"}),
    ("version: !!str 3", {"version": "3"}),
    ("8080: x", {"8080": "x"}),
    ("a: |\n  two\n  lines\n", {"a": "two\nlines\n"}),
    ("when: 2024-99-99", {"when": "2024-99-99"}),
    ("a: &unused 1", {"a": 1}),
    ('{"json": [1.5, true]}', {"json": [1.5, True]}),
]
REFUSED = [
    ("a: [", "line 2: not YAML: did not find expected node content"),
    ("a: 1\n b: 2", "line 2: not YAML: mapping values are not allowed in this context"),
    ("a: \x01", "not YAML: unacceptable character #x0001: control characters are not allowed"),
    ("a: &x 1\nb: *x", "line 2: the alias *x; write the value out"),
    ("a: &a [*a]", "line 1: the alias *a; write the value out"),
    ("a: !!python/object:os.system x", "line 1: the tag tag:yaml.org,2002:python/object:os.system; expected none"),
    ("a: !!timestamp 2024-99-99", "line 1: the tag tag:yaml.org,2002:timestamp; expected none"),
    ("a: !!set {b}", "line 1: the tag tag:yaml.org,2002:set; expected none"),
    ("a: 1\n---\nb: 2", "line 2: a second document; expected one"),
    ("[a]: 1", "line 1: a key that is not a text"),
    ("a: 1\nb: {c: 1, d: 2, c: 3}\na: 2",
     "b.c: line 2: given again, expected once\na: line 3: given again, expected once"),
    ("[" * 100_000, f"line 1: nested too deeply; expected at most {DEPTH} levels"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "document"), DOCUMENTS)
def test_documents_are_read_as_yaml_1_2(text: str, document: object) -> None:
    assert parse_yaml(text) == document


@pytest.mark.parametrize(("text", "message"), REFUSED)
def test_what_is_refused_says_where(text: str, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_yaml(text)

    assert str(caught.value) == message


# What YAML does not take as it is, or reads as a line end.
texts = st.text(
    st.characters(exclude_categories=["Cc", "Cs", "Cn", "Zl", "Zp"], exclude_characters="\ufeff"), max_size=20
)
plain = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**17), 10**17)
    | st.floats(allow_nan=False, allow_infinity=False)
    | texts,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4),
    max_leaves=10,
)


@given(plain)
def test_what_json_writes_is_read_back(value: object) -> None:
    assert parse_yaml(json.dumps(value, ensure_ascii=False)) == value


@given(st.text(alphabet="ab:[]{}-&*!|>'\"#%@ \n0.~?,", max_size=40))
def test_any_text_is_a_document_or_a_config_error(text: str) -> None:
    with suppress(ConfigError):
        parse_yaml(text)
