import pytest

from sidecar.payload.pointers import at, keys, parse_pointer
from sidecar.records import JSON

DOCUMENT = {"rows": [{"a": 1}, {"b": {"a/b": 2, "": 3}}], "~": [4, 5]}


@pytest.mark.parametrize(
    ("pattern", "found"),
    [
        ("", [DOCUMENT]),
        ("/rows/0/a", [1]),
        ("/rows/*", [{"a": 1}, {"b": {"a/b": 2, "": 3}}]),
        ("/rows/*/a", [1]),
        ("/rows/1/b/a~1b", [2]),
        ("/rows/1/b/", [3]),
        ("/~0/*", [4, 5]),
        ("/~0/01", []),
        ("/~0/2", []),
        ("/rows/a", []),
        ("/rows/0/a/0", []),
        ("/nothing/*/here", []),
    ],
)
def test_a_pattern_finds_what_it_matches_in_order(pattern: str, found: list[JSON]) -> None:
    assert at(DOCUMENT, parse_pointer(pattern)) == found


@pytest.mark.parametrize("pattern", ["rows", "/a~", "/a~2", "a/b"])
def test_what_is_no_pointer_is_refused(pattern: str) -> None:
    with pytest.raises(ValueError, match="expected a JSON pointer"):
        parse_pointer(pattern)


def test_a_scalar_has_no_keys() -> None:
    assert list(keys(1, "*")) == list(keys("text", "0")) == []
