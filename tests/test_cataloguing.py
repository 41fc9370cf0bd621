import asyncio
import dataclasses
import logging
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Literal, cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from sidecar import cataloguing as module
from sidecar.catalog import CATALOGS
from sidecar.catalog.sqlite import Sqlite
from sidecar.cataloguing import Cataloguing
from sidecar.config.rules import ALIASING
from sidecar.config.schema import Config
from sidecar.entries import Approval, Draft, Version
from sidecar.errors import ConfigError, DeliveryError, Fault, SidecarError, UnknownError
from sidecar.ports import Catalog, Serving
from sidecar.routing.course import encode
from sidecar.routing.rollout import Command
from tests.catalog.test_mlflow_deploying import Server
from tests.steering_rig import ALIASED, CHAMPION, PLAIN, ROLLED, ROLLOUT, Place, Site, document, until, versions

GROUP = "fraud"


class Shaky(Sqlite):
    """A catalogue that counts calls, and may be away, or hang, or refuse just one kind of call."""

    def __init__(self) -> None:
        super().__init__()
        self.error: Exception | None = None
        self.refusing = ""
        self.reading: Callable[[], None] | None = None
        self.gate = threading.Event()
        self.gate.set()
        self.calls: list[str] = []

    def mark(self, group: str) -> str:
        self._called("mark")
        return super().mark(group)

    def version(self, group: str, name: str) -> Version:
        self._called("version")
        if self.reading is not None:
            self.reading()
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
        if self.refusing == name:
            raise DeliveryError("answered 403: it refuses our credentials")


class Registry(Shaky):
    """One with aliases, which it moves as MLflow's does.

    Attributes:
        server: Has the aliases.
        moving: What somebody else does just after a deployment was noted.
    """

    def __init__(self) -> None:
        super().__init__()
        self.server = Server(tags={number: {} for number in range(1, 6)})
        self.noted = 0
        self.moving: Callable[[], None] | None = None

    @property
    def aliases(self) -> dict[str, int]:
        return self.server.aliases

    def mark(self, group: str) -> str:
        return f"{super().mark(group)} {sorted(self.aliases.items())}"

    def version(self, group: str, name: str) -> Version:
        if name.startswith("@"):
            name = str(self.aliases.get(name[1:], name))
        return super().version(group, name)

    def deploy(self, *args: object, **named: object) -> None:
        super().deploy(*args, **named)
        _, serving = args
        self.noted += 1
        self.server.deploy(
            self.noted, {each.variant: (each.version, each.weight) for each in cast("list[Serving]", serving)}
        )
        if self.moving is not None:
            self.moving()


class Office:
    """What keeps a catalogue of five versions in step with who serves."""

    def __init__(self, config: Config, fleet: Place | None = None) -> None:
        self.site = Site(config, fleet=fleet)
        self.catalog = Registry()
        self.live: dict[tuple[str, str], Mapping[str, float]] = {}
        for _ in range(5):
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

    @property
    def versions(self) -> dict[str, str]:
        """In force at the gateway."""
        return versions(self.site.gateways[-1])

    @property
    def written(self) -> dict[str, str]:
        """The versions as people have said them."""
        return {name: str(each["version"]) for name, each in self.site.steering.course.routes["variants"].items()}

    async def look(self) -> None:
        await self.cataloguing.look()

    async def settle(self) -> None:
        """Look until there is nothing more to be done."""
        for _ in range(9):
            seen = len(self.catalog.calls)
            await self.look()
            if self.catalog.calls[seen:] == ["mark"]:
                return
        raise AssertionError("it goes on for ever")


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
    async def scenario() -> None:
        place = Place()
        here = Office(PLAIN, place)
        await here.site.began()
        await here.look()
        course = here.site.steering.course
        other = here.site.steering.routes.weighed({"champion": 1.0, "challenger": 3.0}).document
        place.put(encode(dataclasses.replace(course, routes=other, change=course.change._replace(time_s=7.0))))
        await until(lambda: here.site.challenger == 3)
        assert here.site.steering.course.revision == course.revision
        await here.look()
        assert here.serving("4") == [("challenger", 75)]
        await here.cataloguing.close()
        await here.site.close()

    asyncio.run(scenario())


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
        assert here.site.challenger == 0, "whether it may serve is not known yet"
        await here.look()
        await here.site.look()
        assert here.site.challenger == 5
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
        await here.look()
        assert (here.site.challenger, here.cataloguing.findings) == (0, [])

    run(scenario)


def test_who_may_only_read_the_catalogue_takes_the_traffic_from_a_rejected_version_all_the_same(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def scenario(here: Office) -> None:
        here.catalog.refusing = "deploy"
        here.decide("3", "approved")
        await here.look()
        assert here.site.challenger == 10
        here.decide("4", "rejected")
        await here.look()
        assert here.site.challenger == 0
        assert {variant: version.number for variant, version in here.cataloguing.versions.items()} == {
            "champion": 3,
            "challenger": 4,
        }
        await here.look()
        read = here.catalog.calls.count("version")
        await here.look()
        assert here.catalog.calls.count("version") == read
        here.catalog.refusing = ""
        await here.look()
        assert here.serving("3") == [("champion", 100)]

    with caplog.at_level(logging.INFO, "sidecar.store.apart"):
        run(scenario)
    assert [record.getMessage() for record in caplog.records] == [
        "deployments cannot be noted: answered 403: it refuses our credentials",
        "the catalogue works again",
    ]


def test_a_rejected_version_is_nobodys_champion_for_a_moment() -> None:
    async def scenario(here: Office) -> None:
        here.catalog.aliases.update(champion=3, challenger=4)
        await here.settle()
        here.decide("3", "approved")
        await here.site.promote("4")
        here.decide("4", "rejected")
        here.catalog.moving = lambda: noted.append(here.catalog.aliases["champion"])
        noted: list[int] = []
        await here.settle()
        assert set(noted) == {3}

    run(scenario, ALIASED)


def test_who_comes_while_the_catalogue_is_asked_of_another_keeps_the_traffic() -> None:
    async def scenario(here: Office) -> None:
        here.decide("3", "approved")
        here.decide("4", "rejected")
        asked, answered = threading.Event(), threading.Event()

        def read() -> None:
            asked.set()
            answered.wait(10)

        here.catalog.reading = read
        look = asyncio.create_task(here.look())
        await until(asked.is_set)
        await here.site.put(document(50, 50, version="2"))
        answered.set()
        await look
        assert here.site.weights == {"champion": 50, "challenger": 50}
        await here.settle()
        assert (here.site.challenger, here.cataloguing.findings) == (50, [])

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
        await here.settle()
        here.live = {("challenger", "2"): {"requests": 7.0}}
        await here.site.put(document(50, 50, version="2"))
        await here.cataloguing._report()
        assert "report" not in here.catalog.calls
        here.catalog.refusing = "deploy"
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
        await until(lambda: here.catalog.calls.count("mark") > 2)
        here.catalog.error = None
        await until(lambda: "report" in here.catalog.calls)

    run(scenario)


def test_a_fault_of_the_catalogue_ends_no_looking_and_is_told_with_its_trace_once(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(module, "LOOK_S", 0.001)

    async def scenario(here: Office) -> None:
        here.catalog.error = ValueError("year 0 is out of range")
        here.cataloguing.start()
        await until(lambda: here.catalog.calls.count("mark") > 2)
        here.catalog.error = None
        here.decide("3", "approved")
        here.decide("4", "rejected")
        await until(lambda: here.site.challenger == 0)

    run(scenario)
    assert caplog.text.count("the catalogue cannot be followed: ValueError('year 0 is out of range')") == 1
    # Of ours: whatever earlier tests have left behind may be told of at any moment.
    traced = [each for each in caplog.records if each.name.startswith("sidecar") and each.exc_info]
    assert [each.name for each in traced] == [module.__name__]


def test_a_fault_at_the_end_keeps_nobody_from_ending() -> None:
    async def within() -> None:
        here = Office(PLAIN)
        here.catalog.error = ValueError("odd")
        await here.cataloguing.close()
        await here.site.close()

    asyncio.run(within())


# Aliases


def test_the_catalogue_with_aliases_is_one_that_there_is() -> None:
    assert ALIASING in CATALOGS


def test_variants_follow_their_aliases() -> None:
    async def scenario(here: Office) -> None:
        here.catalog.aliases.update(champion=3, challenger=4)
        assert here.versions == {"champion": "@champion", "challenger": "@challenger"}
        await here.settle()
        assert here.versions == {"champion": "3", "challenger": "4"}
        assert (here.serving("3"), here.serving("4")) == ([("champion", 90)], [("challenger", 10)])
        here.catalog.aliases["challenger"] = 5
        await here.settle()
        assert here.versions == {"champion": "3", "challenger": "5"}
        assert (here.serving("4"), here.serving("5")) == ([], [("challenger", 10)])
        (begun,) = here.catalog.version(GROUP, "5").deployments
        assert (begun.by, begun.why, begun.replaced) == ("catalogue", "as the alias says", "4")
        assert {variant: version.number for variant, version in here.cataloguing.versions.items()} == {
            "champion": 3,
            "challenger": 5,
        }
        assert (here.cataloguing.findings, here.cataloguing.unknown) == ([], {})

    run(scenario, ALIASED)


def test_who_wins_is_the_champion_and_nobodys_version_changes() -> None:
    async def scenario(here: Office) -> None:
        here.catalog.aliases.update(champion=3, challenger=4)
        await here.settle()
        for order, champion in ((here.site.promote("4"), 4), (here.site.roll_back(), 4), (here.site.promote("3"), 3)):
            await order
            await here.settle()
            assert here.catalog.aliases["champion"] == champion
            assert here.versions == {"champion": "3", "challenger": "4"}

    run(scenario, ALIASED)


def test_in_the_next_round_each_is_followed_when_it_is_moved() -> None:
    async def scenario(here: Office) -> None:
        here.catalog.aliases.update(champion=3, challenger=4)
        await here.settle()
        await here.site.promote("4")
        await here.settle()
        here.catalog.aliases["challenger"] = 5
        await here.settle()
        assert here.versions == {"champion": "3", "challenger": "5"}
        for number in (3, 4):
            here.catalog.aliases["champion"] = number
            await here.settle()
        assert here.versions == {"champion": "4", "challenger": "5"}

    run(scenario, ALIASED)


BY_NUMBER = replace(ALIASED, variants={**ALIASED.variants, "challenger": PLAIN.variants["challenger"]})


async def renamed(site: Site, version: str) -> None:
    """Put another version behind the challenger, by its number."""
    told = site.steering.course.routes["variants"]
    await site.put({"variants": {**told, "challenger": {**told["challenger"], "version": version}}})


def test_where_the_sidecar_itself_has_moved_an_alias_nobody_follows_it_later() -> None:
    async def scenario(here: Office) -> None:
        here.catalog.aliases.update(champion=3)
        await here.settle()
        await here.site.promote("challenger")
        await here.settle()
        assert here.catalog.aliases["champion"] == 4
        await renamed(here.site, "5")
        await here.settle()
        assert here.versions == {"champion": "3", "challenger": "5"}
        here.catalog.aliases["champion"] = 2
        await here.settle()
        assert here.versions == {"champion": "2", "challenger": "5"}

    run(scenario, BY_NUMBER)


def test_what_the_sidecar_has_moved_it_has_seen_before_anybody_changes_who_serves() -> None:
    async def scenario(here: Office) -> None:
        here.catalog.aliases.update(champion=3)
        await here.settle()
        await here.site.promote("challenger")
        await here.look()
        assert here.catalog.aliases["champion"] == 4
        await renamed(here.site, "5")
        await here.settle()
        assert here.versions == {"champion": "3", "challenger": "5"}

    run(scenario, BY_NUMBER)


def test_after_a_restart_it_is_known_which_move_was_seen(tmp_path: Path) -> None:
    async def scenario() -> None:
        first = Site(BY_NUMBER, tmp_path)
        for meant in ("3", "4"):
            await first.steering.resolve({"@champion": meant})
        await first.close()
        second = Site(BY_NUMBER, tmp_path)
        await renamed(second, "5")
        await second.steering.resolve({"@champion": "4"})
        assert versions(second.gateways[-1]) == {"champion": "3", "challenger": "5"}
        await second.close()

    asyncio.run(scenario())


def test_in_a_fleet_all_know_which_move_was_seen() -> None:
    async def scenario() -> None:
        place = Place()
        one, two = [await Site(BY_NUMBER, fleet=place).began() for _ in range(2)]
        await one.steering.resolve({"@champion": "3"})
        await one.steering.resolve({"@champion": "4"})
        await until(lambda: two.steering.course.revision == 3)
        await renamed(two, "5")
        await two.steering.resolve({"@champion": "4"})
        await until(lambda: one.steering.course == two.steering.course)
        await one.steering.resolve({"@champion": "4"})
        assert versions(one.gateways[-1]) == versions(two.gateways[-1]) == {"champion": "3", "challenger": "5"}
        await one.close()
        await two.close()

    asyncio.run(scenario())


Step = tuple[Literal["weigh", "order", "decide", "name"], str, float]
STEPS = st.one_of(
    st.tuples(
        st.just("weigh"), st.sampled_from(["champion", "challenger", "third"]), st.sampled_from([0.0, 5.0, 60.0, 100.0])
    ),
    st.tuples(
        st.just("order"),
        st.sampled_from(["promote", "rollback", "start", "hold", "resume"]),
        st.sampled_from([0.0, 1.0]),
    ),
    st.tuples(st.just("decide"), st.sampled_from("12345"), st.sampled_from([0.0, 1.0])),
    st.tuples(st.just("name"), st.sampled_from("12345"), st.just(0.0)),
)
THIRD = {**ALIASED.variants, "third": replace(CHAMPION, url="http://model:3", version="2", weight=0)}
WITH_THIRD = replace(ALIASED, variants=THIRD)
PLACES = st.dictionaries(st.sampled_from(["champion", "challenger"]), st.integers(1, 5))


async def taken(here: Office, step: Step) -> None:
    kind, name, number = step
    commands: dict[str, Command] = {each: each for each in ("promote", "rollback", "start", "hold", "resume")}
    with suppress(SidecarError):
        if kind == "weigh":
            await here.site.weigh(name, number)
        elif kind == "name":
            await renamed(here.site, name)
        elif kind == "order":
            whom = "challenger" if number and name == "promote" else None
            await here.site.steering.order(commands[name], whom, revision=None, by="ann", why="")
        else:
            here.decide(name, "approved" if number else "rejected")


@settings(max_examples=20)
@given(
    st.sampled_from([ALIASED, WITH_THIRD, replace(ALIASED, rollout=ROLLOUT), replace(WITH_THIRD, rollout=ROLLOUT)]),
    PLACES,
    st.lists(STEPS, max_size=8),
)
def test_what_the_sidecar_does_to_aliases_itself_never_changes_a_version(
    config: Config, aliases: dict[str, int], steps: list[Step]
) -> None:
    async def scenario(here: Office) -> None:
        here.catalog.aliases.update(aliases)
        await here.settle()
        for step in steps:
            before = {name: version for name, version in here.versions.items() if not version.startswith("@")}
            written = here.written
            await taken(here, step)
            await here.site.look(after_s=11)
            await here.settle()
            same = [name for name in before if written[name] == here.written[name]]
            assert [here.versions[name] for name in same] == [before[name] for name in same]

    run(scenario, config)


def test_an_alias_that_is_not_there_is_told_once_and_the_version_stays(caplog: pytest.LogCaptureFixture) -> None:
    async def scenario(here: Office) -> None:
        here.catalog.aliases["champion"] = 3
        await here.settle()
        assert here.versions == {"champion": "3", "challenger": "@challenger"}
        (finding,) = here.cataloguing.findings
        assert (finding.key, finding.version) == (("catalogue", "alias", "challenger", "traffic"), "@challenger")
        assert finding.sentence == (
            "challenger is to follow @challenger: fraud has no such alias in the catalogue; its version is not known"
        )
        here.catalog.aliases["challenger"] = 4
        await here.settle()
        assert here.cataloguing.findings == []
        del here.catalog.aliases["champion"]
        for percent in (20, 30):
            await here.site.weigh("4", percent)
            await here.settle()
        assert here.versions == {"champion": "3", "challenger": "4"}
        (finding,) = here.cataloguing.findings
        assert finding.sentence.endswith("version 3 stays")
        await here.site.put({"variants": {"challenger": {"url": "http://model:2", "version": "@challenger"}}})
        assert here.cataloguing.findings == []

    with caplog.at_level(logging.INFO, module.__name__):
        run(scenario, ALIASED)
    told = "fraud has no such alias in the catalogue"
    assert [record.getMessage() for record in caplog.records] == [
        f"challenger is to follow @challenger: {told}; its version is not known",
        f"champion is to follow @champion: {told}; version 3 stays",
    ]


def test_while_the_catalogue_is_away_versions_are_as_they_were() -> None:
    async def scenario(here: Office) -> None:
        here.catalog.aliases.update(champion=3, challenger=4)
        await here.settle()
        before, here.catalog.error = here.site.state, DeliveryError("it is away")
        here.catalog.aliases["challenger"] = 5
        await here.look()
        assert (here.site.state, here.cataloguing.findings) == (before, [])
        here.catalog.error = None
        await here.settle()
        assert here.versions == {"champion": "3", "challenger": "5"}

    run(scenario, ALIASED)


def test_a_version_that_cannot_be_put_in_force_is_told_once_and_tried_again(caplog: pytest.LogCaptureFixture) -> None:
    async def scenario(here: Office) -> None:
        here.catalog.aliases.update(champion=3, challenger=4)
        await here.settle()
        here.site.unusable = True
        here.catalog.aliases["challenger"] = 5
        for _ in range(3):
            await here.look()
        assert here.versions == {"champion": "3", "challenger": "4"}
        here.site.unusable = False
        await here.settle()
        assert here.versions == {"champion": "3", "challenger": "5"}

    run(scenario, ALIASED)
    assert caplog.text.count("versions cannot follow their aliases: no such certificate") == 1


def test_an_alias_that_is_moved_while_a_deployment_is_noted_is_followed() -> None:
    async def scenario(here: Office) -> None:
        here.catalog.aliases.update(champion=3, challenger=4)
        await here.settle()
        await here.site.weigh("4", 20)
        here.catalog.moving = partial(here.catalog.aliases.update, challenger=5)
        await here.look()
        here.catalog.moving = None
        await here.settle()
        assert here.versions == {"champion": "3", "challenger": "5"}

    run(scenario, ALIASED)


def test_a_rejected_version_to_which_an_alias_goes_is_taken_from_the_traffic() -> None:
    async def scenario(here: Office) -> None:
        here.catalog.aliases.update(champion=3, challenger=4)
        here.decide("3", "approved")
        here.decide("5", "rejected")
        await here.settle()
        here.catalog.aliases["challenger"] = 5
        await here.settle()
        assert (here.versions["challenger"], here.site.challenger) == ("5", 0)

    run(scenario, ALIASED)


def test_a_version_that_is_not_in_the_catalogue_is_told_once_and_alarms_nobody(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def scenario(here: Office) -> None:
        assert here.cataloguing.unknown == {}
        await here.site.put(document(50, 50, version="v4"))
        for percent in (60, 70):
            await here.settle()
            assert (here.cataloguing.unknown, here.cataloguing.findings) == ({"challenger": "v4"}, [])
            await here.site.weigh("3", percent)
        await here.site.put(document(50, 50))
        assert here.cataloguing.unknown == {}
        await here.settle()

    with caplog.at_level(logging.INFO, module.__name__):
        run(scenario)
    assert [(record.levelname, record.getMessage()) for record in caplog.records] == [
        ("INFO", "version v4 of fraud, behind challenger, is not in the catalogue: nothing is noted of it")
    ]
