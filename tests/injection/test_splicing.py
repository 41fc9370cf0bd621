import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sidecar.injection.go_yaml import dump_all, load_all, parts
from sidecar.injection.patching import Add, apply
from sidecar.injection.splicing import spliced, written
from sidecar.records import JSON

FIRST = Add(("l", "0"), {"new": [1]})
SECOND = Add(("l", "1"), {"newer": "x y"})
LAST = Add(("l", "-"), {"end": True})
BESIDE = Add(("k",), {"a": ["b"]})
PATCHES = ([FIRST], [LAST], [BESIDE], [FIRST, SECOND, LAST, BESIDE])

PLAIN = {
    "indentless": "# c\nl:\n# of one\n- name: a # b\n- name: c\n",
    "indented": "l: # c\n\n  - name: a\n    b: {c: d} # e\n",
    "with more behind": "l:\n- 1\nz: 2 # three\n# four\n",
    "without a last line break": "z: 1\nl:\n- a: 1",
    "in JSON": '{"l": [1, {"a": 2}], "z": {}}',
    "in JSON over lines": '{\n  "l": [\n    1\n  ],\n  "z": "\\ud83d\\ude00"\n}\n',
    "of a short list": "z: 1\nl: [a, b]  # c\n",
    "begun": "---\nl:\n- a\n",
    "ended": "l:\n- a\n...\n",
    "with an empty last one": "l:\n- a\n-\n",
    "with a null behind": "l:\n- 1\nz:\n",
    "with a block of text": "l:\n- |\n  a\n  b\n\n# c\nz: 1\n",
    "with a folded text at the end": "l:\n- a\nz: >-\n  b\n  c\n",
    "with a text over lines": "l:\n- a\nz: b\n  c # d\n",
    "as others write": "l:\n-   a\n-   b:   1\n",
    "with another of its kind": "l:\n- 1\nz: &a {b: 1}\ny: *a\n",
}

OBSCURE = {
    "null": "l:\nz: 1\n",
    "of an alias": "z: &a\n- 1\nl: *a\n",
    "merged": "z: &a {l: [1]}\n<<: *a\n",
    "twice": "l: [1]\nl: [2]\n",
    "with a key of its own line": "? l\n: - 1\n",
    "tagged": "l: !!seq\n- 1\n",
    "shared": "l: &a\n- 1\nz: *a\n",
}


@pytest.mark.parametrize("patch", PATCHES)
@pytest.mark.parametrize("name", PLAIN)
def test_what_is_put_in_is_there_and_nothing_else_has_changed(name: str, patch: list[Add]) -> None:
    text = PLAIN[name]
    changed = spliced(text, patch)

    assert load_all(changed) == [apply(each, patch) for each in load_all(text)]
    rest = iter(changed)
    assert all(character in rest for character in text), "every character is there, in its order"


@pytest.mark.parametrize("patch", PATCHES)
@pytest.mark.parametrize("name", OBSCURE)
def test_where_the_place_is_not_plain_the_document_is_written_anew(name: str, patch: list[Add]) -> None:
    text = f"# ours\n{OBSCURE[name]}"
    (document,) = load_all(text)
    if not document.get("l"):
        patch = [BESIDE, Add(("l",), [1])]
    changed = written(parts(text), [patch])

    assert load_all(changed) == [apply(document, patch)]
    assert changed.startswith("# ours\n")


@pytest.mark.parametrize("text", ["l:\n", "l: []\nz: 1\n", "{l: null}\n"])
def test_a_key_that_holds_nothing_is_not_said_twice(text: str) -> None:
    assert written(parts(text), [[Add(("l",), [1])]]).count("l:") == 1


def test_a_document_written_anew_leaves_the_others_in_peace() -> None:
    before, obscure, after = "a: 1 # b\n", "---\n# c\nl: &a\n- 1\nz: *a\n", "--- # d\ne: { f: 1 }\n"
    changed = written(parts(before + obscure + after), [[], [LAST], []])

    assert changed.startswith(f"{before}---\n# c\nl:\n- 1\n")
    assert changed.endswith(after)
    assert [
        each["a" if place == 0 else "e" if place else "l"] for place, each in enumerate(load_all(changed)) if place != 1
    ]


@pytest.mark.parametrize("second", ["--- {l: &a [1], z: *a}\n", "---\n\nl: &a [1]\nz: *a", "%YAML 1.1\n---\nl: [1]\n"])
def test_documents_stay_apart(second: str) -> None:
    text = f"a: 1\n...\n{second}"
    changed = written(parts(text), [[], [LAST]])

    assert [each.document for each in parts(changed)] == [{"a": 1}, apply(parts(text)[1].document, [LAST])]


def test_empty_documents_stay_and_do_not_count() -> None:
    text = "---\n# none\n---\nl: [1]\n---\n"
    changed = written(parts(text), [[], [LAST], []])

    assert changed == '---\n# none\n---\nl: [1, {"end": true}]\n---\n'


SCALARS = st.none() | st.booleans() | st.integers(-5, 5) | st.text("ab:#-|> \n\"'{}[],&*", max_size=6)
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("abc", min_size=1), inner, max_size=3)
)


@settings(max_examples=40)
@given(st.dictionaries(st.sampled_from("ayz"), VALUES), st.lists(VALUES, min_size=1, max_size=3), VALUES)
def test_whatever_a_document_is_the_outcome_is_the_patched_one(others: JSON, items: list[JSON], value: JSON) -> None:
    document = {"l": items} | others
    patch = [Add(("l", "0"), value), Add(("l", "-"), value), Add(("k",), value)]
    text = dump_all([document])

    assert load_all(written(parts(text), [patch])) == [apply(document, patch)]


@pytest.mark.parametrize("text", ["", "# none\n", "7\n", "{}\n", "a: [", "a: 1\n---\nb: 2\n"])
def test_what_has_no_place_for_it_is_told_by_nothing(text: str) -> None:
    assert spliced(text, [BESIDE]) == ""
