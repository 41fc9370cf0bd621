import copy

import jsonpatch
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.injection.patching import Add, apply
from sidecar.records import JSON

DOCUMENT: JSON = {"a": {"b/c~d": [1, {"e": []}]}, "f": []}


@pytest.mark.parametrize(
    "path",
    [
        ("g",),
        ("a",),
        ("a", "new"),
        ("a", "b/c~d", "0"),
        ("a", "b/c~d", "2"),
        ("a", "b/c~d", "-"),
        ("a", "b/c~d", "1", "e", "-"),
        ("a", "b/c~d", "1", "e"),
        ("f", "0"),
    ],
)
def test_it_does_what_rfc_6902_says(path: tuple[str, ...]) -> None:
    patch = Add(path, {"new": 1})

    assert apply(DOCUMENT, [patch]) == jsonpatch.apply_patch(DOCUMENT, [patch.document])


@given(st.lists(st.tuples(st.sampled_from(["0", "-"]), st.integers()), max_size=6))
def test_operations_follow_each_other(places: list[tuple[str, int]]) -> None:
    patch = [Add(("f", place), value) for place, value in places]

    assert apply(DOCUMENT, patch) == jsonpatch.apply_patch(DOCUMENT, [each.document for each in patch])


def test_the_document_given_stays_and_what_stands_in_it_twice_changes_once() -> None:
    shared: JSON = {"x": 1}
    document = {"one": shared, "two": shared}
    before = copy.deepcopy(document)

    assert apply(document, [Add(("one", "y"), 2)]) == {"one": {"x": 1, "y": 2}, "two": {"x": 1}}
    assert document == before
