import base64
import hashlib
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, sync_playwright

from sidecar.errors import ConfigError
from sidecar.report.telling.charts import MAX_COLUMNS
from sidecar.report.telling.page import MAX_CARDS, MAX_ROWS, page
from tests.report.documents import HOSTILE, NAMES, SLICES, document, variant

QUIET = "--no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking --disable-sync"
SERIOUS = {"serious", "critical"}


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path="/usr/bin/chromium", args=QUIET.split())
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def whole() -> str:
    """Of two variants and their labels."""
    return page(document(variant(), variant("challenger", moved=False), labels=True))


def opened(chromium: Browser, tmp_path: Path, text: str, **settings: object) -> tuple[Page, list[str]]:
    """The page as people open it, from a disk; and what it complains about, or asks of anybody else."""
    file = tmp_path / "report.html"
    file.write_text(text, encoding="utf-8")
    shown = chromium.new_page(**settings)  # type: ignore[arg-type]  # playwright's own
    said: list[str] = []
    shown.on("console", lambda message: said.append(message.text))
    shown.on("pageerror", lambda error: said.append(str(error)))
    shown.on("request", lambda request: said.extend([] if request.url.startswith("file:") else [request.url]))
    shown.goto(file.as_uri())
    return shown, said


def sections(text: str) -> list[str]:
    return re.findall(r'<h2 id="([\w-]+)"', text)


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [360, 1200])
def test_the_page_is_drawn_without_complaint_and_anybody_can_read_it(
    chromium: Browser, tmp_path: Path, whole: str, scheme: str, width: int
) -> None:
    viewport = {"width": width, "height": 900}
    shown, said = opened(chromium, tmp_path, whole, color_scheme=scheme, viewport=viewport)

    assert shown.locator(".uplot canvas").count() == whole.count("<figure data-course")
    assert shown.evaluate("document.documentElement.scrollWidth") == width
    found = Axe().run(shown).response["violations"]
    assert [each["id"] for each in found if each["impact"] in SERIOUS] == []
    assert said == []
    shown.close()


def test_without_a_script_all_of_it_is_there(chromium: Browser, tmp_path: Path, whole: str) -> None:
    shown, said = opened(chromium, tmp_path, whole, java_script_enabled=False)
    assert shown.locator("svg.course:visible").count() == whole.count("<figure data-course")
    assert shown.get_by_text("2 of 4 columns have drifted").is_visible()
    assert said == []
    shown.close()


def test_columns_that_no_row_has_a_value_of_are_shown_beside_what_they_were() -> None:
    gone = variant()
    for column in gone["drift"]["columns"]:
        column["current"] = [None] * len(column["reference"])
    assert page(document(gone)).count('aria-label="no rows"') == len(NAMES)


def test_on_paper_the_still_pictures_stand_for_the_drawn_ones(chromium: Browser, tmp_path: Path, whole: str) -> None:
    shown, _ = opened(chromium, tmp_path, whole)
    assert shown.locator("svg.course:visible").count() == 0
    shown.emulate_media(media="print")
    assert shown.locator("svg.course:visible").count() == whole.count("<figure data-course")
    shown.close()


def test_nothing_of_a_payload_becomes_markup_or_runs(chromium: Browser, tmp_path: Path) -> None:
    made = document(variant(HOSTILE, names=(HOSTILE, *NAMES[1:])))
    made["inputs"]["skipped"] = {HOSTILE: 1}
    made["command"] = HOSTILE
    shown, said = opened(chromium, tmp_path, page(made))
    assert shown.locator("img").count() == 0
    assert shown.locator("script").count() == 3
    assert shown.get_by_role("heading", name="</script><img src=x").count() > 0
    assert "\u202e" not in shown.content()
    assert said == []
    shown.close()


def test_the_policy_lets_nothing_else_run_and_nothing_be_fetched(chromium: Browser, tmp_path: Path, whole: str) -> None:
    more = '<script>window.ran = 1</script><img src="http://127.0.0.1:1/x" onerror="window.ran = 2"></body>'
    shown, said = opened(chromium, tmp_path, whole.replace("</body>", more))
    assert shown.evaluate("window.ran") is None
    assert len([each for each in said if "Content Security Policy" in each]) >= 2
    shown.close()


def test_the_policy_names_the_digests_of_what_is_in_the_page(whole: str) -> None:
    inline = re.findall(r"<(?:script|style)>(.*?)</(?:script|style)>", whole, re.DOTALL)
    digests = [base64.b64encode(hashlib.sha256(each.encode()).digest()).decode() for each in inline]
    (policy,) = re.findall(r'http-equiv="Content-Security-Policy" content="([^"]*)"', whole)
    assert len(inline) == 3
    assert all(f"&#39;sha256-{digest}&#39;" in policy for digest in digests)
    assert "unsafe" not in policy


def test_the_page_is_one_file_that_begins_as_a_page_does(whole: str) -> None:
    assert whole.startswith("<!doctype html>\n")
    assert re.findall(r'(?:src|href)="(?!#)[^"]*"', whole) == []


def test_the_parts_are_in_the_order_of_what_one_asks(whole: str) -> None:
    assert sections(whole) == [
        "verdict-title",
        "findings",
        "drifted",
        "time",
        "quality",
        "bias",
        "constraints",
        "columns",
        "made",
    ]
    assert all(f'href="#{each}"' in whole for each in sections(whole)[1:])


def test_where_all_is_well_the_page_says_so_and_has_no_part_for_what_there_is_not() -> None:
    text = page(document(variant(moved=False)))
    assert "All is as it was" in text
    assert "no column has drifted" in text
    assert "all are kept" in text
    assert not {"findings", "quality", "bias"} & set(sections(text))


def test_what_is_over_is_told_with_its_beginning_and_its_end() -> None:
    made = variant(moved=False)
    made["past"] = [
        {
            "check": "psi",
            "subject": "features",
            "sentence": "they drifted",
            "columns": [],
            "from_s": 0.0,
            "to_s": 3600.0,
        }
    ]
    text = page(document(made))
    assert "they drifted" in text
    assert "1970-01-01 00:00 UTC to 1970-01-01 01:00 UTC" in text
    assert "▲ Something was not as it was, and is over" in text
    assert "All is as it was" not in text


def test_without_a_row_there_is_a_page_too() -> None:
    assert "There is no row that could be read" in page(document())


def test_the_courses_are_in_the_page_as_data(whole: str) -> None:
    (data,) = re.findall(r'<script type="application/json" id="courses">(.*?)</script>', whole, re.DOTALL)
    courses = msgspec.json.decode(data)
    of_columns = ["psi", "evidence in nats"] * 2
    assert [each["label"] for each in courses] == ["rows", *of_columns, "rows", "accuracy", "auc"]
    assert {len(each["times"]) for each in courses[:6]} == {SLICES}
    assert {each["group"] for each in courses} == {0, 1, 2}
    assert courses[1]["limit"] == 0.25


def test_a_page_of_a_thousand_columns_that_drifted_is_bounded() -> None:
    made = variant()
    drifted = next(each for each in made["drift"]["columns"] if each["drift"])
    made["drift"]["columns"] = [{**drifted, "name": f"column {place}"} for place in range(1000)]
    made["slices"]["statistics"]["psi"] = {f"column {place}": [1.0] * SLICES for place in range(1000)}
    made["violations"] *= 1000
    text = page(document(made))
    assert text.count('<article class="card">') == MAX_CARDS
    assert text.count("<figure data-course") == 1 + MAX_COLUMNS
    assert text.count("<code>categorical_values_check</code>") == MAX_ROWS
    assert "980 more have drifted" in text
    assert "800 more are in the JSON" in text
    assert len(text) < 5_000_000


def test_without_what_it_is_made_with_the_user_is_told_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "jinja2", None)
    with pytest.raises(ConfigError, match=r"pip install 'sidecar\[report\]'"):
        page(document())
