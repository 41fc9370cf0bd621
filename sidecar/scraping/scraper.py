"""Looks at what model servers offer to Prometheus, again and again; what the latest look found stands until the next.

A look that fails leaves nothing: what was true before is not told again. The request path shares the interpreter with
the reading, which is why one page at a time is read, in a thread that gives way between lines.
"""

import asyncio
import logging
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from time import sleep
from typing import TYPE_CHECKING

from sidecar.errors import PayloadError
from sidecar.scraping.exposition import Page, families
from sidecar.scraping.fetching import fetch, session
from sidecar.scraping.patterns import included
from sidecar.scraping.points import Gathering, Scraped
from sidecar.tasks import Tasks

if TYPE_CHECKING:
    from aiohttp import ClientSession

log = logging.getLogger(__name__)

BREATH_S = 0.0001
"""Slept between lines: a shorter one is over before another thread has woken up to take the interpreter."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """What is looked at.

    Args:
        variant: Whose metrics they are.
        interval_s: Between two looks.
        timeout_s: For one answer; and for the reading of it.
        include: Names that are wanted; `*` and `?` stand for anything.
    """

    url: str
    variant: str
    interval_s: float
    timeout_s: float
    include: tuple[str, ...] = ("*",)


class Scraper:
    """One target, and what the latest look at it found.

    Args:
        http: Where connections come from.
        reading: Held while a page is read.
        version_of: The build behind a variant, now.
        max_series: Points that are kept of one look.
        now_s: A clock that does not go back.

    Attributes:
        scraped: None before the first look, and after one that failed.
        up: None before the first look.
        duration_s: Of the latest look; NaN before there was one.
        failures: Looks that failed, by reason: those of `fetch` and `families`, or `internal`.
    """

    def __init__(
        self,
        target: Target,
        reading: asyncio.Lock,
        *,
        version_of: Callable[[str], str],
        max_series: int,
        now_s: Callable[[], float],
    ) -> None:
        self.target = target
        self.scraped: Scraped | None = None
        self.up: bool | None = None
        self.duration_s = float("nan")
        self.failures: Counter[str] = Counter()
        self._reading = reading
        self._version_of = version_of
        self._include = included(target.include)
        self._max_series = max_series
        self._now_s = now_s

    async def run(self, http: "ClientSession") -> None:
        """Look until cancelled."""
        while True:
            began_s = self._now_s()
            await self.look(http)
            await asyncio.sleep(max(0.0, self.target.interval_s - (self._now_s() - began_s)))

    async def look(self, http: "ClientSession") -> None:
        """Look once."""
        began_s = self._now_s()
        try:
            page = await fetch(http, self.target.url, self.target.timeout_s)
            async with self._reading:
                scraped = await asyncio.to_thread(self._read, page)
        except PayloadError as error:
            self.failures[error.reason] += 1
            self._found(None, str(error))
        except Exception as unexpected:  # noqa: BLE001 - a fault of ours: what was found before is no more true for it
            self.failures["internal"] += 1
            self._found(None, self._untold(repr(unexpected)))
        else:
            self._found(scraped, "")
        self.duration_s = self._now_s() - began_s

    def _read(self, page: Page) -> Scraped:
        target = self.target
        version = self._version_of(target.variant)
        gathering = Gathering(target.variant, version, include=self._include, max_series=self._max_series)
        for family in families(page, partial(self._breathe, self._now_s() + target.timeout_s)):
            gathering.add(family)
        return gathering.scraped()

    def _breathe(self, end_s: float) -> None:
        if self._now_s() > end_s:
            raise PayloadError("timeout", f"exposition: not read within {self.target.timeout_s:g} s")
        sleep(BREATH_S)

    def _found(self, scraped: Scraped | None, problem: str) -> None:
        up, self.scraped = scraped is not None, scraped
        if up == self.up:
            return
        # The URL's query may hold a token.
        place = self.target.url.partition("?")[0]
        if not up:
            log.warning("metrics of %s at %s: %s", self.target.variant, place, problem)
        elif self.up is False:
            log.info("metrics of %s at %s are there again", self.target.variant, place)
        self.up = up

    def _untold(self, text: str) -> str:
        """The text without the URL's query, which may hold a token."""
        query = self.target.url.partition("?")[2]
        return text.replace(query, "…") if query else text


class Scraping:
    """All targets.

    Args:
        version_of: The build behind a variant, now; called from a thread.
        max_series: Points that are kept of one look at one target.
        now_s: A clock that does not go back; called from a thread, too.

    Attributes:
        scrapers: One for each target, in their order.
    """

    def __init__(self, *, version_of: Callable[[str], str], max_series: int, now_s: Callable[[], float]) -> None:
        self.scrapers: Sequence[Scraper] = ()
        self._make = partial(Scraper, version_of=version_of, max_series=max_series, now_s=now_s)
        self._reading = asyncio.Lock()
        self._tasks = Tasks()
        self._running: Mapping[Target, asyncio.Task[None]] = {}
        self._http: ClientSession | None = None

    def aim(self, targets: Sequence[Target]) -> None:
        """Look at these from now on; those that were there before go on as they were. Wants a running loop."""
        if targets and self._http is None:
            self._http = session()
        before = {each.target: each for each in self.scrapers}
        wanted = dict.fromkeys(targets)
        for target in before.keys() - wanted.keys():
            self._running[target].cancel()
        self.scrapers = [before.get(each) or self._make(each, self._reading) for each in wanted]
        self._running = {
            each.target: self._running.get(each.target) or self._tasks.start(each.run(self._http))
            for each in self.scrapers
            if self._http is not None
        }

    async def close(self) -> None:
        """Stop looking."""
        await self._tasks.close()
        if self._http is not None:
            await self._http.close()
