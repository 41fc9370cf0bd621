import pytest

from sidecar.texts import counted, encodable, shown


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("größe °C", "größe °C"),
        ("a\nb", "a\\nb"),
        ("\ud800", "\\ud800"),
        ("\u202e", "\\u202e"),
        ("\x1b[31m", "\\x1b[31m"),
        ("", ""),
        ("x" * 8, "x" * 8),
        ("x" * 9, "x" * 7 + "…"),
        ("\n" * 8, "\\n\\n\\n\\…"),
    ],
)
def test_a_text_is_shown_on_one_line_and_cut(text: str, expected: str) -> None:
    assert shown(text, 8) == expected
    assert shown(text, 8).encode().decode() == expected


def test_only_what_cannot_be_encoded_is_escaped() -> None:
    assert encodable("\ud83d\n€") == "\\ud83d\n€"


def test_one_is_told_as_one() -> None:
    assert [counted(count, "row") for count in (0, 1, 2)] == ["no rows", "1 row", "2 rows"]
