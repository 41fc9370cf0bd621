"""The dashboard in a real browser, before a real sidecar: every view with live data, and what people do in it."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests
from playwright.sync_api import Browser, Page, expect

from sidecar.records import JSON
from tests.e2e.browser import PHONE, Scheme, barriers, chromium, cut, fits, page_of, picture
from tests.e2e.fraud_stage import CHALLENGER, CHAMPION, Stage, fraud_stage, payment
from tests.e2e.rig import PATIENCE_S, sidecar, until
from tests.e2e.upstreams import Model

VIEWS = ("overview", "alerts", "features", "predictions", "quality", "bias", "versions", "captures", "sidecar")
ROLLOUT: JSON = {
    "champion": CHAMPION,
    "challenger": CHALLENGER,
    "steps": [20, 50],
    "pause_s": 3600,
    "min_rows": 100,
    "guardrails": [{"kind": "errors"}],
}
TOKEN = "open sesame".replace(" ", "-")

expect.set_options(timeout=8000)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as found:
        yield found


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    """Payments as usual, whose labels have come; then larger amounts."""
    with fraud_stage(tmp_path_factory.mktemp("fraud"), rollout=ROLLOUT) as found:
        found.order("start")
        found.payments.send(60)
        found.payments.tell()
        found.counted()
        found.payments.send(30, shift=1.0)
        found.counted()
        until(lambda: found.running.ask("/v1/alerts?state=firing").json()["alerts"])
        yield found


def opened(page: Page, stage: Stage, view: str) -> None:
    """Go to a view, until it shows what it has."""
    page.goto(f"{stage.page}#/{view}")
    expect(page.get_by_role("heading", level=1)).to_be_visible()
    expect(page.get_by_role("banner").get_by_role("status")).to_contain_text("live")
    expect(page.locator("[aria-busy=true]")).to_have_count(0)


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("view", [*VIEWS, "features/amount", "predictions/probability"])
def test_a_view_shows_live_data_to_everybody(browser: Browser, stage: Stage, view: str, scheme: Scheme) -> None:
    with page_of(browser, scheme=scheme) as page:
        opened(page, stage, view)
        picture(page, f"{view.replace('/', '-')}-{scheme}")

        assert barriers(page) == []
        assert cut(page) == []
        assert page.get_by_role("alert").count() == 0  # what cannot be shown says so there


@pytest.mark.parametrize("view", VIEWS)
def test_a_view_fits_a_phone(browser: Browser, stage: Stage, view: str) -> None:
    with page_of(browser, size=PHONE) as page:
        opened(page, stage, view)
        picture(page, f"{view}-phone")

        assert fits(page)


def test_the_headline_says_in_few_words_what_is_the_matter(browser: Browser, stage: Stage) -> None:
    with page_of(browser) as page:
        opened(page, stage, "overview")
        headline = page.locator(".headline")
        expect(headline).to_contain_text("champion (version 1) is not well: amount has drifted, since")
        assert len(headline.inner_text()) < 150
        first = page.get_by_role("region").filter(has=page.get_by_role("heading", level=2, name="version")).first
        expect(first.get_by_role("heading", level=2)).to_have_text("champion, version 1")
        expect(first).to_contain_text("What has moved")
        expect(first).to_contain_text("features of champion have drifted: amount (above")


def test_drift_appears_while_somebody_looks(browser: Browser, tmp_path: Path) -> None:
    with fraud_stage(tmp_path) as stage, page_of(browser) as page:
        stage.payments.send(20)
        stage.counted()
        opened(page, stage, "overview")
        main = page.get_by_role("main")
        expect(main).to_contain_text("champion (version 1) is well")
        expect(main).to_contain_text("alarm at 1")  # before there is any

        stage.payments.send(40, shift=1.0)

        expect(main).to_contain_text("amount")
        expect(main).to_contain_text("not well")
        page.get_by_role("navigation").get_by_role("link", name="Features").click()
        first = page.get_by_role("row").nth(1)
        expect(first).to_contain_text("amount")
        expect(first).to_contain_text("drift")


def test_an_alert_is_silenced(browser: Browser, stage: Stage) -> None:
    with page_of(browser) as page:
        opened(page, stage, "alerts")
        group = page.get_by_role("group", name=re.compile("Silence: .*champion")).first
        group.get_by_role("button", name="8 h").click()
        expect(group).to_contain_text("Channels are told nothing of it until")

        silenced = [each for each in stage.running.ask("/v1/alerts").json()["alerts"] if each["silenced_until"]]
        assert len(silenced) == 1

        group.get_by_role("button", name="End silence").click()
        expect(group.get_by_role("button", name="8 h")).to_be_visible()


def test_a_rollout_is_rolled_back(browser: Browser, stage: Stage) -> None:
    with page_of(browser) as page:
        opened(page, stage, "versions")
        page.get_by_role("button", name="Roll back").click()
        asked = page.get_by_role("dialog")
        asked.get_by_label(re.compile("Why")).fill("complaints")
        asked.get_by_role("button", name="Roll back").click()

        expect(page.get_by_role("main")).to_contain_text("rolled back")
        expect(page.get_by_role("main")).to_contain_text("complaints")

    told = stage.running.ask("/v1/routes").json()
    assert (told["rollout"]["phase"], told["shares"]) == ("rolled_back", {CHAMPION: 100.0, CHALLENGER: 0.0})


def test_a_table_is_sorted_by_keyboard(browser: Browser, stage: Stage) -> None:
    with page_of(browser) as page:
        opened(page, stage, "features")
        header = page.get_by_role("columnheader").first
        header.get_by_role("button").focus()
        page.keyboard.press("Enter")

        expect(header).to_have_attribute("aria-sort", re.compile("ascending|descending"))


def test_what_payloads_say_is_text(browser: Browser, stage: Stage) -> None:
    hostile = "<img src=x onerror=alert(1)>"
    stage.payments.post([{**payment(stage.payments.rng), "merchant": hostile}])
    with page_of(browser) as page:
        page.on("dialog", lambda _: pytest.fail("a payload was run"))
        opened(page, stage, "captures")
        page.get_by_role("searchbox").fill("onerror")
        expect(page.get_by_role("main")).to_contain_text("1 found")
        page.get_by_role("group").filter(has_text="POST").click()
        expect(page.get_by_role("main")).to_contain_text(hostile)

        assert page.locator("img").count() == 0


NAMES = ("__proto__", "constructor", "a/b?c#d%20%", "<img src=x onerror=alert(1)>", "nul\0esc\x1b[31m", "\u202eevil")


def test_names_out_of_payloads_are_shown_as_they_are_and_have_their_page(
    browser: Browser, first: Model, tmp_path: Path
) -> None:
    options = ("--reference", str(tmp_path), "--reference-learn-rows", "100", "--capture-sample-ratio", "1")
    with (
        sidecar("--upstream", first.url, "--monitors", "[{kind: data}]", *options) as running,
        page_of(browser) as page,
    ):
        running.ready()
        for _ in range(2):
            rows = [{name: each % 7 for name in NAMES} for each in range(100)]
            requests.post(f"{running.url}/v1/models/m:predict", json={"instances": rows}, timeout=PATIENCE_S)
            until(lambda: running.ask("/v1/reference").json()["features"])
        until(lambda: running.ask("/v1/drift").json()["variants"])
        page.goto(f"http://{running.admin}/#/features")
        links = page.get_by_role("row").get_by_role("link")
        expect(links).to_have_count(len(NAMES))
        expect(page.locator(".legend")).to_contain_text("100 rows so far")  # no whole window yet

        assert {each.inner_text() for each in links.all()} == {
            *NAMES[:4],
            r"nul\u0000esc\u001b[31m",
            r"\u202eevil",
        }
        for place in range(len(NAMES)):
            told = links.nth(place).inner_text()
            links.nth(place).click()
            expect(page.get_by_role("heading", level=1)).to_have_text(told)
            expect(page.get_by_role("heading", name="Statistics", exact=True)).to_be_visible()
            page.go_back()
        assert page.locator("img").count() == 0


def test_when_the_sidecar_is_gone_the_page_says_so(browser: Browser, first: Model) -> None:
    with browser.new_context() as context, context.new_page() as page:
        page.clock.install()
        with sidecar("--upstream", first.url) as running:
            running.ready()
            page.goto(f"http://{running.admin}/#/versions")
            status = page.get_by_role("banner").get_by_role("status")
            expect(status).to_contain_text("live")

        page.clock.run_for(10_000)  # what comes back at once is not told

        expect(status).to_contain_text("no connection")


def test_a_sidecar_that_watches_nothing_yet_says_what_to_do(browser: Browser, first: Model) -> None:
    with sidecar("--upstream", first.url) as running:
        running.ready()
        with page_of(browser) as page:
            for view in VIEWS:
                page.goto(f"http://{running.admin}/#/{view}")
                expect(page.get_by_role("heading", level=1)).to_be_visible()
                expect(page.locator("[aria-busy=true]")).to_have_count(0)
                assert barriers(page) == []
                if view not in {"overview", "versions"}:  # what serves is there from the start
                    expect(page.get_by_role("main").locator("code").first).to_be_visible()


def test_who_has_no_token_sees_nothing(browser: Browser, first: Model) -> None:
    with sidecar("--upstream", first.url, "--admin-token", TOKEN) as running, page_of(browser) as page:
        until(lambda: running.ask("/readyz").ok)
        page.goto(f"http://{running.admin}/")
        field = page.get_by_label("Token")
        field.fill("guessed")
        with page.expect_response("**/v1/session") as refused:
            page.get_by_role("button", name="Sign in").click()
        assert refused.value.status == 401
        expect(page.get_by_role("alert")).to_be_visible()

        field.fill(TOKEN)
        page.get_by_role("button", name="Sign in").click()
        expect(page.get_by_role("heading", level=1)).to_have_text("Overview")
        page.reload()
        expect(page.get_by_role("heading", level=1)).to_have_text("Overview")

        page.get_by_role("button", name="Sign out").click()
        expect(page.get_by_label("Token")).to_be_visible()
