from time import process_time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.scraping.patterns import included


@pytest.mark.parametrize(
    ("pattern", "name", "expected"),
    [
        ("*", "", True),
        ("?", "", False),
        ("*_total", "a_total", True),
        ("*_total", "a_total_total", True),
        ("*_total", "a_totals", False),
        ("a*a", "a", False),
        ("a*a", "aa", True),
        ("a*b?d*e", "a.bbd.b.de", True),
        ("a*b?d*e", "a.bb.e", False),
        ("**", "a\nb", True),
        ("a.c", "abc", False),
        ("[ab]*]", "[ab]x]", True),
        ("[!a]", "b", False),
        ("\\*", "\\x", True),
    ],
)
def test_a_pattern_is_of_stars_and_question_marks_alone(pattern: str, name: str, expected: bool) -> None:
    assert included([pattern])(name) is expected


@given(st.text("a*?", max_size=6), st.text("ab", max_size=8))
def test_patterns_match_what_they_would_if_all_ways_were_tried(pattern: str, name: str) -> None:
    def matches(pattern: str, name: str) -> bool:
        if not pattern:
            return not name
        if pattern[0] == "*":
            return any(matches(pattern[1:], name[start:]) for start in range(len(name) + 1))
        return bool(name) and pattern[0] in ("?", name[0]) and matches(pattern[1:], name[1:])

    assert included([pattern])(name) is matches(pattern, name)


def test_no_name_can_hold_up_the_matching() -> None:
    """Of the time that trying all ways would take, 14 s, not a thousandth."""
    wanted = included(["*_*_*_*_total", "*?_*?_*?_*?_*x_*y"])
    began_s = process_time()
    assert not wanted("a_" * 400 + "x")
    assert process_time() - began_s < 0.01
