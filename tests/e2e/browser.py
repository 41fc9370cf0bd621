"""A real browser, and what every page in it must keep to."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, ConsoleMessage, Page, Request, sync_playwright

from tests.e2e.rig import program

FLAGS = (
    "--no-sandbox",  # CI runs as root
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
WIDE, PHONE = (1280, 800), (360, 740)

PICTURES = os.environ.get("SIDECAR_PICTURES")
"""A folder for screenshots; none are made without it."""

Scheme = Literal["light", "dark"]


@contextmanager
def chromium() -> Iterator[Browser]:
    """Debian's."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program("chromium"), args=list(FLAGS))
        try:
            yield browser
        finally:
            browser.close()


@contextmanager
def page_of(browser: Browser, *, scheme: Scheme = "light", size: tuple[int, int] = WIDE) -> Iterator[Page]:
    """A page in which nothing goes wrong: no error is written or raised, and nothing is asked of anywhere else."""
    faults: list[str] = []
    context = browser.new_context(color_scheme=scheme, viewport={"width": size[0], "height": size[1]})
    page = context.new_page()

    def said(message: ConsoleMessage) -> None:
        # Of what is answered with 400 and above Chromium writes a line, though it is an answer, which views show.
        if message.type == "error" and "Failed to load resource" not in message.text:
            faults.append(message.text)

    def asked(request: Request) -> None:
        if not request.url.startswith(("http://127.0.0.1:", "data:", "blob:")):
            faults.append(request.url)

    page.on("console", said)
    page.on("pageerror", lambda error: faults.append(str(error)))
    page.on("request", asked)
    try:
        yield page
        assert faults == []
    finally:
        context.close()


def barriers(page: Page) -> list[str]:
    """What axe-core takes for serious or worse, each with the first place."""
    found = Axe().run(page).response["violations"]
    return [
        f"{each['id']}: {each['nodes'][0]['target']} {each['nodes'][0].get('failureSummary', '')}"
        for each in found
        if each["impact"] in {"serious", "critical"}
    ]


def fits(page: Page) -> bool:
    """Whether nothing sticks out to the side."""
    wide: int = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
    return wide <= 0


def cut(page: Page) -> list[str]:
    """Tables of which a part is out of sight, to be scrolled to."""
    found: list[str] = page.locator(".scroll").evaluate_all(
        "all => all.filter(each => each.scrollWidth > each.clientWidth).map(each => each.ariaLabel)"
    )
    return found


def picture(page: Page, name: str) -> None:
    """A screenshot, where these are wanted."""
    if PICTURES:
        page.screenshot(path=str(Path(PICTURES, f"{name}.png")), full_page=True)
