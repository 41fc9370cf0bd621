import asyncio
import dataclasses
import logging
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager

import pytest
from msgspec.structs import replace

from sidecar import cataloguing as module
from sidecar.catalog.sqlite import Sqlite
from sidecar.cataloguing import Cataloguing
from sidecar.config.schema import Config
from sidecar.entries import Approval, Draft, Version
from sidecar.errors import ConfigError, DeliveryError, Fault, UnknownError
from sidecar.ports import Catalog
from tests.steering_rig import CHAMPION, PLAIN, ROLLED, ROLLOUT, Site, document, until

GROUP = "fraud"


class Shaky(Sqlite):
    """A catalogue that counts calls, and may be away, refuse, or hang."""

    def __init__(self) -> None:
        super().__init__()
        self.error: Exception | None = None
        self.gate = threading.Event()
        self.gate.set()
        self.calls: list[str] = []

    def mark(self, group: str) -> str:
        self._called("mark")
        return super().mark(group)

    def version(self, group: str, name: str) -> Version:
        self._called("version")
        return super().version(group, name)

    def deploy(self, *args: object, **named: object) -> None:
        self._called("deploy")
        super().deploy(*args, **named)  # type: ignore[arg-type]  # as they come

    def report(self, *args: object, **named: object) -> None:
        self._called("report")
        super().report(*args, **named)  # type: ignore[arg-type]  # as they come

    def _called(self, name: str) -> None:
        self.calls.append(name)
        self.gate.wait(10)
        if self.error is not None:
            raise self.error


class Office:
    """What keeps a catalogue of four versions in step with who serves."""

    def __init__(self, config: Config) -> None:
        self.site = Site(config)
        self.catalog = Shaky()
        self.live: dict[tuple[str, str], Mapping[str, float]] = {}
        for _ in range(4):
            self.catalog.register(GROUP, Draft(), by="ann", now_s=1.0)
        self.cataloguing = Cataloguing(
            self.catalog, GROUP, self.site.steering, live=lambda: self.live, wall_s=lambda: self.site.now_s
        )

    def decide(self, name: str, approval: Approval) -> None:
        self.catalog.decide(GROUP, name, approval, by="bob", why="it leaks", now_s=2.0)

    def serving(self, name: str) -> list[tuple[str, float]]:
        """Where a version serves now."""
        deployments = self.catalog.version(GROUP, name).deployments
        return [(each.variant, each.weight) for each in deployments if each.until_s is None]

    async def look(self) -> None:
        await self.cataloguing.look()


@asynccontextmanager
async def office(config: Config = PLAIN) -> AsyncIterator[Office]:
    made = Office(config)
    try:
        yield made
    finally:
        made.catalog.gate.set()
        await made.cataloguing.close()
        await made.site.close()


def run(scenario: Callable[[Office], Awaitable[None]], config: Config = PLAIN) -> None:
    async def within() -> None:
        async with office(config) as here:
            await scenario(here)

    asyncio.run(within())


def test_deployments_are_noted_once_per_change() -> None:
    async def scenario(here: Office) -> None:
        for _ in range(3):
            await here.look()
        assert here.catalog.calls.count("deploy") == 1
        assert (here.serving("3"), here.serving("4")) == ([("champion", 90)], [("challenger", 10)])
        await here.site.put(document(50, 50, version="2"))
        await here.look()
        await here.look()
        assert here.catalog.calls.count("deploy") == 2
        assert (here.serving("4"), here.serving("2")) == ([], [("challenger", 50)])
        (ended,) = here.catalog.version(GROUP, "4").deployments
        assert (ended.ended_by, ended.ended_why) == ("ann", "because")

    run(scenario)


def test_another_change_of_the_same_revision_is_noted_too() -> None:
    async def scenario(here: Office) -> None:
        await here.look()
        course = here.site.steering.course
        other = here.site.steering.routes.weighed({"champion": 1.0, "challenger": 3.0}).document
        here.site.steering.course = dataclasses.replace(course, routes=other, change=course.change._replace(time_s=7.0))
        await here.look()
        assert here.serving("4") == [("challenger", 75)]

    run(scenario)


def test_what_the_catalogue_knows_of_those_that_serve_is_there() -> None:
    async def scenario(here: Office) -> None:
        await here.look()
        assert {variant: version.number for variant, version in here.cataloguing.versions.items()} == {
            "champion": 3,
            "challenger": 4,
        }
        await here.site.put(document(50, 50, version="no-number"))
        await here.look()
        assert set(here.cataloguing.versions) == {"champion"}

    run(scenario)


def test_a_rejected_version_loses_its_traffic_to_the_latest_approved_one() -> None:
    three = {**PLAIN.variants, "third": replace(CHAMPION, url="http://c", version="2", weight=0)}

    async def scenario(here: Office) -> None:
        for name in ("2", "3"):
            here.decide(name, "approved")
        await here.look()
        here.decide("4", "rejected")
        await here.look()
        assert here.site.weights == {"champion": 100, "challenger": 0, "third": 0}
        await here.look()
        assert here.serving("3") == [("champion", 100)]
        here.decide("3", "rejected")
        await here.look()
        assert here.site.weights == {"champion": 0, "challenger": 0, "third": 100}
        assert here.cataloguing.findings == []

    run(scenario, replace(PLAIN, variants=three))


def test_a_rejected_challenger_rolls_the_rollout_back() -> None:
    async def scenario(here: Office) -> None:
        await here.site.look()
        await here.look()
        here.decide("4", "rejected")
        await here.look()
        assert here.site.challenger == 0
        assert here.site.steering.course.progress.phase == "rolled_back"

    run(scenario, replace(ROLLED, rollout=ROLLOUT))


def test_where_there_is_nothing_to_return_to_it_is_told_once_and_the_traffic_stays(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def scenario(here: Office) -> None:
        await here.look()
        here.decide("4", "rejected")
        await here.look()
        await here.site.weigh("3", 80)
        for _ in range(2):
            await here.look()
        assert here.site.challenger == 20
        (finding,) = here.cataloguing.findings
        assert finding.key == ("catalogue", "rejected", "challenger", "traffic")
        assert finding.sentence == (
            "challenger serves a version that was rejected: "
            "version 4 was rejected: it leaks, and no approved one is there to return to"
        )
        assert caplog.text.count("challenger serves on") == 1
        here.decide("3", "approved")
        await here.look()
        assert (here.site.challenger, here.cataloguing.findings) == (0, [])

    with caplog.at_level(logging.WARNING):
        run(scenario)


def test_what_cannot_be_put_in_force_is_told_and_the_next_look_goes_on() -> None:
    async def scenario(here: Office) -> None:
        here.decide("3", "approved")
        await here.look()
        here.decide("4", "rejected")
        here.site.unusable = True
        await here.look()
        assert "no such certificate" in here.cataloguing.findings[0].sentence
        here.site.unusable = False
        await here.site.weigh("3", 70)
        await here.look()
        assert here.site.challenger == 0

    run(scenario)


def test_a_variant_that_is_gone_has_no_finding() -> None:
    async def scenario(here: Office) -> None:
        here.decide("4", "rejected")
        await here.look()
        assert here.cataloguing.findings
        here.site.unusable = False
        await here.site.put({"variants": {"champion": {"url": "http://model:1", "version": "3"}}})
        assert here.cataloguing.findings == []
        await here.look()

    run(scenario)


@pytest.mark.parametrize(
    "error",
    [DeliveryError("it is away"), ConfigError(Fault("why", "is odd")), UnknownError("no such group")],
)
def test_while_the_catalogue_is_away_all_serve_on_and_it_is_told_once_and_caught_up_with(
    error: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    async def scenario(here: Office) -> None:
        here.catalog.error = error
        for percent in (20, 30):
            await here.site.weigh("4", percent)
            await here.look()
        assert here.site.challenger == 30
        here.catalog.error = None
        await here.look()
        assert here.serving("4") == [("challenger", 30)]
        assert [record.levelname for record in caplog.records] == ["ERROR", "INFO"]

    with caplog.at_level(logging.INFO, "sidecar.store.apart"):
        run(scenario)


def test_measurements_stand_beside_those_of_training() -> None:
    async def scenario(here: Office) -> None:
        here.live = {
            ("champion", "3"): {"requests": 7.0},
            ("challenger", "9"): {"requests": 1.0},
            ("x", ""): {"a": 1.0},
        }
        await here.look()
        await here.cataloguing._report()
        assert here.catalog.version(GROUP, "3").live == {"requests": 7.0}
        assert here.catalog.version(GROUP, "4").live == {}

    run(scenario)


def test_measurements_of_another_version_are_nobodys() -> None:
    async def scenario(here: Office) -> None:
        await here.look()
        here.live = {("challenger", "2"): {"requests": 7.0}}
        await here.site.put(document(50, 50, version="2"))
        await here.cataloguing._report()
        assert "report" not in here.catalog.calls
        await here.look()
        await here.cataloguing._report()
        assert here.catalog.version(GROUP, "2").live == {"requests": 7.0}

    run(scenario)


def test_a_measurement_that_is_refused_ends_nothing(caplog: pytest.LogCaptureFixture) -> None:
    async def scenario(here: Office) -> None:
        here.live = {("champion", "3"): {"requests": 7.0}}
        await here.look()
        here.catalog.error = ConfigError(Fault("live", "is odd"))
        await here.cataloguing._report()
        assert "measurements cannot be noted: live: is odd" in caplog.text
        here.catalog.error = None

    run(scenario)


def test_others_may_ask_it_too_and_get_what_it_raises() -> None:
    async def scenario(here: Office) -> None:
        assert await here.cataloguing.do(_groups) == [GROUP]
        with pytest.raises(UnknownError):
            await here.cataloguing.do(lambda catalog: catalog.version(GROUP, "99"))

    run(scenario)


def _groups(catalog: Catalog) -> list[str]:
    return catalog.groups()


def test_at_the_end_the_last_change_is_noted() -> None:
    async def scenario(here: Office) -> None:
        await here.look()
        await here.site.weigh("4", 40)
        closed = here.catalog
        await here.cataloguing.close()
        assert closed.calls.count("deploy") == 2

    async def within() -> None:
        here = Office(PLAIN)
        await scenario(here)
        await here.site.close()

    asyncio.run(within())


def test_a_catalogue_that_hangs_does_not_hold_up_the_end(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(module, "CLOSE_S", 0.01)

    async def within() -> None:
        here = Office(PLAIN)
        here.catalog.gate.clear()
        here.cataloguing.start()
        await until(lambda: here.catalog.calls)
        async with asyncio.timeout(5):
            await here.cataloguing.close()
        here.catalog.gate.set()
        await here.site.close()

    asyncio.run(within())
    assert "the catalogue does not answer; what it lacks is lost" in caplog.text


def test_once_started_it_looks_by_itself_whatever_the_catalogue_says(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "LOOK_S", 0.001)
    monkeypatch.setattr(module, "REPORT_S", 0.001)

    async def scenario(here: Office) -> None:
        here.live = {("champion", "3"): {"requests": 7.0}}
        here.catalog.error = UnknownError("nothing there")
        here.cataloguing.start()
        await until(lambda: here.catalog.calls.count("deploy") > 2)
        here.catalog.error = None
        await until(lambda: "report" in here.catalog.calls)

    run(scenario)
