import io
import json
import math

import pytest

from sidecar.cli.telling import document, fields_of, folded, moment, spelled, table, tell
from sidecar.entries import Decision, Draft, Version

Told = pytest.CaptureFixture[str]


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_table_is_tabs_where_there_is_no_terminal(capsys: Told) -> None:
    table(["name", "value"], [["a\tb\n", 0.1 + 0.2], ["", None]])

    assert capsys.readouterr().out == "name\tvalue\na\\tb\\n\t0.3\n\t\n"


def test_a_table_is_aligned_on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdout", screen := Terminal())
    monkeypatch.setenv("COLUMNS", "20")
    monkeypatch.setenv("TERM", "xterm")

    table(["name", "value"], [["a[red]", 0.5], ["long", "words that are folded"]])

    lines = screen.getvalue().splitlines()
    assert [line for line in lines if "name" not in line] == [
        "a[red]  0.5",
        "long    words that",
        "        are folded",
    ]


def test_a_text_is_folded_between_words_on_a_terminal_only(monkeypatch: pytest.MonkeyPatch) -> None:
    assert folded("some words that are folded", "  ") == "  some words that are folded"
    monkeypatch.setattr("sys.stdout", Terminal())
    monkeypatch.setenv("COLUMNS", "22")

    assert folded("some words that are folded", "  ") == "  some words that are\n  folded"


def test_a_terminal_is_not_obeyed() -> None:
    assert spelled("\x1b]0;title\x07 \u202e") == "\\x1b]0;title\\x07 \\u202e"


def test_what_the_encoding_lacks_is_escaped(monkeypatch: pytest.MonkeyPatch) -> None:
    written = io.BytesIO()
    monkeypatch.setattr("sys.stdout", io.TextIOWrapper(written, encoding="latin-1", write_through=True))

    tell("é └─ \ud800")

    assert written.getvalue() == b"\xe9 \\u2514\\u2500 \\ud800\n"


@pytest.mark.parametrize(
    ("time_s", "expected"),
    [
        (None, ""),
        (0.0, "1970-01-01T00:00:00Z"),
        (-1.0, "1969-12-31T23:59:59Z"),
        (1e300, "1e+300"),
        (math.nan, "nan"),
        (math.inf, "inf"),
        (1e12, "1e+12"),
    ],
)
def test_every_moment_can_be_told(time_s: float | None, expected: str) -> None:
    assert moment(time_s) == expected


def test_a_document_has_a_word_for_every_number(capsys: Told) -> None:
    document({"a": math.nan, "b": [math.inf], "c": "é"})

    assert json.loads(capsys.readouterr().out) == {"a": "NaN", "b": ["Infinity"], "c": "é"}


def test_a_version_is_told_with_its_approval() -> None:
    version = Version(
        group="m", number=1, draft=Draft(), registered_s=0.0, by="a", decisions=[Decision("rejected", 0.0, "b", "")]
    )

    told = fields_of(version)

    assert (told["group"], told["number"], told["approval"]) == ("m", 1, "rejected")
