import html
import re

import pytest
from markdown_it import MarkdownIt

from sidecar.report.telling.markdown import CUT, MAX_BYTES, MAX_ROWS, escaped, markdown
from tests.report.documents import HOSTILE, NAMES, document, variant


def rendered(text: str) -> str:
    """As GitHub would show it, more or less; HTML within it is shown as it is."""
    return str(MarkdownIt("commonmark").enable("table").render(text))


def test_what_matters_is_told_in_tables() -> None:
    text = markdown(document(variant(), labels=True))
    assert text.startswith("## 🔴 Something is not as it was\n\n- champion: 2 of 4 columns have drifted")
    assert "| country | 'br': 4.83 % → 34.8 % | 2026-11-19 10:06 UTC | 34.4 % | psi" in text
    assert "| country | categorical_values_check | champion |" in text
    assert "champion 3: 1,200 labelled rows: recall 0.5418" in text
    assert "gender f: CI 0" in text


def test_where_all_is_well_there_are_no_tables() -> None:
    text = markdown(document(variant(moved=False)))
    assert text.startswith("## 🟢 All is as it was\n")
    assert "|" not in text


def test_what_is_over_is_no_green_light_and_is_told() -> None:
    made = variant(moved=False)
    made["past"] = [
        {
            "check": "psi",
            "subject": "features",
            "sentence": "they|drifted",
            "columns": [],
            "from_s": 0.0,
            "to_s": 3600.0,
        }
    ]
    text = markdown(document(made))
    assert text.startswith("## 🟡 Something was not as it was, and is over\n")
    assert "| they&#124;drifted | psi | 1970-01-01 00:00 UTC to 1970-01-01 01:00 UTC |" in text


@pytest.mark.parametrize(
    "name",
    [
        HOSTILE,
        "a|b",
        "a\\|b",
        "[x](http://e.com)",
        "![x](y)",
        "**b**",
        "`c`",
        "&lt;i&gt;",
        "$x^2$",
        "_a_",
        "~~s~~",
        "a\nb",
    ],
)
def test_a_name_is_shown_as_it_is_and_does_nothing(name: str) -> None:
    page = rendered(markdown(document(variant(names=(name, *NAMES[1:])))))
    for mark in ("<img", "<script", "<em", "<strong", "<code", "<a ", "<i>", "<s>"):
        assert mark not in page
    assert len(set(re.findall(r"<tr>(.*?)</tr>", page, re.DOTALL))) > 3
    assert all(row.count("<td") in {0, 4, 5} for row in re.findall(r"<tr>(.*?)</tr>", page, re.DOTALL))


def test_nobody_is_mentioned_and_nothing_linked() -> None:
    shown = html.unescape(escaped("@all fixes #12 and a@b.c"))
    assert re.search(r"@\w|#\w", shown) is None
    assert re.search(r"://|www\.", escaped("http://e.com www.e.com WWW.e.com"), re.IGNORECASE) is None


def test_a_word_with_an_underscore_stays_readable() -> None:
    assert escaped("psi of data_type_check in _x_") == "psi of data_type_check in &#95;x&#95;"


def test_a_table_says_how_many_rows_it_leaves_out() -> None:
    made = document(variant())
    made["variants"][0]["violations"] *= MAX_ROWS + 5
    text = markdown(made)
    assert text.count("| categorical_values_check |") == MAX_ROWS
    assert "\n5 more.\n" in text


def test_of_many_variants_the_first_are_told() -> None:
    assert "2 more variants in the page and in the JSON." in markdown(document(*[variant(moved=False)] * 10))


def test_it_fits_into_a_comment_whatever_the_names_are() -> None:
    names = tuple(letter + "@" * 200 for letter in "abcd")
    made = document(*[variant("@" * 60, names=names)] * 8)
    for each in made["variants"]:
        each["violations"] *= 1000
        each["drift"]["columns"] *= 30
    text = markdown(made)
    assert len(text.encode()) <= MAX_BYTES
    assert text.endswith(CUT)
