import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Coroutine
from contextlib import asynccontextmanager, suppress
from functools import partial
from pathlib import Path

import pytest
from msgspec.structs import replace

from sidecar import helm
from sidecar.config.schema import Config, Experiment, Shadow, Variant
from sidecar.errors import ConfigError, ConflictError, DeliveryError, SidecarError, UnknownError
from sidecar.journal import Journal
from sidecar.ports import Kept
from sidecar.records import Event
from sidecar.routing.course import decode, encode
from sidecar.routing.rollout import Command, percent
from sidecar.steering import Judged, Steering
from tests.steering_rig import (
    ALIASED,
    BREACH,
    CHALLENGER,
    FINE,
    NOTHING,
    PLAIN,
    ROLLED,
    ROLLOUT,
    STOOD,
    Place,
    Site,
    document,
    until,
    versions,
    weights,
)

NEWER = replace(ROLLED, variants={**ROLLED.variants, "challenger": replace(CHALLENGER, weight=30)})
ANY = tuple(replace(each, catalog=ALIASED.catalog) for each in (ROLLED, NEWER, replace(ALIASED, rollout=ROLLOUT)))
ORDERS: tuple[Command, ...] = ("start", "hold", "resume", "promote", "rollback")
MANUAL = replace(ROLLED, rollout=replace(ROLLOUT, start="manual"))


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(helm, "JOIN_S", 0.001)


@asynccontextmanager
async def site(
    config: Config = PLAIN, folder: Path | None = None, fleet: Place | None = None, now_s: float = 1000.0
) -> AsyncIterator[Site]:
    made = Site(config, folder, fleet, now_s)
    try:
        yield await made.began()
    finally:
        await made.close()


def test_at_first_the_configuration_says_who_serves() -> None:
    async def scenario() -> None:
        async with site() as here:
            assert here.weights == {"champion": 90, "challenger": 10}
            ((revision, change),) = here.journal.changes(10)
            assert (revision, change) == (1, (1000.0, "configuration", "routes", "the first"))

    asyncio.run(scenario())


def _unkept(here: Site) -> str:
    return here.steering.unkept


# What people ask for


Ask = Callable[[Site], Awaitable[None]]
REFUSED: list[tuple[Config, Ask, type[SidecarError], str]] = [
    (PLAIN, lambda here: here.weigh("b", 5), UnknownError, "'b' is no variant or version of one; expected one of "),
    (PLAIN, lambda here: here.weigh("", 5), UnknownError, "'' is no variant or version of one"),
    (PLAIN, lambda here: here.promote("9"), UnknownError, "challenger \\(version 4\\)"),
    (Config(upstream="http://m"), lambda here: here.promote("default"), UnknownError, "the configuration has no var"),
    (PLAIN, lambda here: here.weigh("challenger", 100.1), ConfigError, "^percent: expected a number from 0 to 100, "),
    (PLAIN, lambda here: here.weigh("challenger", -1), ConfigError, "^percent: .* got -1$"),
    (PLAIN, lambda here: here.weigh("challenger", float("nan")), ConfigError, "^percent: .* got nan$"),
    (PLAIN, lambda here: here.weigh("challenger", float("inf")), ConfigError, "^percent: .* got inf$"),
    (PLAIN, lambda here: here.weigh("challenger", 5, 2), ConflictError, "^revision 1 is in force, expected 2: look"),
    (PLAIN, lambda here: here.put(document(0, 0)), ConfigError, "^variants: no weight above 0"),
    (PLAIN, lambda here: here.put(document(-1, 1)), ConfigError, "^variants.champion.weight: expected a number >= 0"),
    (PLAIN, lambda here: here.put(document(float("nan"), 1)), ConfigError, "^variants.champion.weight: expected"),
    (PLAIN, lambda here: here.put({}), ConfigError, "^upstream: missing"),
    (PLAIN, lambda here: here.put([]), ConfigError, "expected a mapping of variants, split, shadow"),
    (
        PLAIN,
        lambda here: here.put({**document(), "zzz": 1}),
        ConfigError,
        "^zzz: unknown key; expected one of variants",
    ),
    (PLAIN, lambda here: here.put(document(), 0), ConflictError, "^revision 1 is in force, expected 0"),
    (PLAIN, lambda here: here.roll_back(), ConflictError, "^nothing to roll back to: there are no earlier routes$"),
    (PLAIN, lambda here: here.roll_back("4"), ConflictError, "^cannot rollback 4: there is no rollout$"),
    (PLAIN, lambda here: here.promote(None), ConflictError, "^cannot promote anything: there is no rollout$"),
    (MANUAL, lambda here: here.roll_back(), ConflictError, "^cannot rollback version 4: it has not begun"),
    (MANUAL, lambda here: here.promote(None), ConflictError, "^cannot promote version 4: it has not begun"),
    (MANUAL, lambda here: here.promote("champion"), ConflictError, "^cannot promote champion: the rollout is of chal"),
    (MANUAL, lambda here: here.weigh("challenger", 5), ConflictError, "^the weights of champion and challenger are th"),
    (MANUAL, lambda here: here.weigh("3", 5), ConflictError, "expected start, hold, resume, promote or rollback$"),
    (MANUAL, lambda here: here.put(document(90, 10)), ConflictError, "^the weights of champion and challenger are the"),
    (MANUAL, lambda here: here.put(document(0, 0)), ConfigError, "^variants: no weight above 0"),
]


@pytest.mark.parametrize(("config", "ask", "kind", "text"), REFUSED)
def test_what_is_refused_is_told_and_changes_nothing(
    config: Config, ask: Ask, kind: type[SidecarError], text: str
) -> None:
    async def scenario() -> None:
        async with site(config) as here:
            before = here.state
            with pytest.raises(kind, match=text):
                await ask(here)
            assert here.state == before

    asyncio.run(scenario())


def test_a_version_behind_two_variants_names_neither() -> None:
    two = {"a": CHALLENGER, "b": CHALLENGER}

    async def scenario() -> None:
        async with site(replace(PLAIN, variants=two)) as here:
            with pytest.raises(UnknownError, match=r"'4' is no variant"):
                await here.promote("4")

    asyncio.run(scenario())


def test_a_weight_is_a_part_of_all_and_the_others_share_the_rest() -> None:
    three = {**PLAIN.variants, "third": Variant(url="http://c", weight=30)}

    async def scenario() -> None:
        async with site(replace(PLAIN, variants=three)) as here:
            await here.weigh("4", 20)
            assert here.weights == {"champion": 60, "challenger": 20, "third": 20}
            await here.weigh("third", 100)
            assert here.weights == {"champion": 0, "challenger": 0, "third": 100}
            with pytest.raises(ConflictError, match="no other variant has a weight above 0, so third has all"):
                await here.weigh("third", 50)
            await here.weigh("challenger", 0)
            assert here.weights == {"champion": 0, "challenger": 0, "third": 100}

    asyncio.run(scenario())


def test_a_promotion_without_a_rollout_can_be_taken_back_once() -> None:
    async def scenario() -> None:
        async with site() as here:
            await here.promote("challenger")
            assert here.weights == {"champion": 0, "challenger": 100}
            await here.roll_back()
            assert here.weights == {"champion": 90, "challenger": 10}
            with pytest.raises(ConflictError, match="nothing to roll back to"):
                await here.roll_back()
            told = [(revision, change.who, change.what, change.why) for revision, change in here.journal.changes(2)]
            assert told == [(3, "ann", "rolled back", "too slow"), (2, "ann", "promoted challenger", "")]

    asyncio.run(scenario())


def test_of_two_writers_at_once_the_second_is_told() -> None:
    async def scenario() -> None:
        async with site() as here:
            both = await asyncio.gather(
                here.put(document(50, 50), 1), here.put(document(10, 90), 1), return_exceptions=True
            )
            assert [type(each) for each in both] == [type(None), ConflictError]
            assert here.weights == {"champion": 50, "challenger": 50}
            assert here.steering.course.revision == 2

    asyncio.run(scenario())


def test_routes_that_do_not_fit_the_rest_of_the_configuration_are_refused() -> None:
    async def scenario() -> None:
        trial = Experiment(name="t", champion="champion")
        async with site(replace(PLAIN, experiment=trial)) as here:
            before = here.state
            with pytest.raises(ConfigError, match=r"^experiment.champion: champion is no variant, expected one of a"):
                await here.put({"variants": {"a": {"url": "http://a"}, "b": {"url": "http://b"}}})
            assert here.state == before

    asyncio.run(scenario())


def test_what_cannot_be_kept_does_not_happen() -> None:
    async def scenario() -> None:
        async with site() as here:
            here.journal.full = True
            before = here.state
            for ask in (here.put(document(50, 50)), here.weigh("4", 50), here.promote("4")):
                with pytest.raises(DeliveryError, match="no room"):
                    await ask
            with pytest.raises(DeliveryError, match="no room"):
                await here.steering.declare(replace(PLAIN, shadow=Shadow(variant="challenger", ratio=1)))
            assert here.state == before
            assert here.steering.effective == PLAIN

    asyncio.run(scenario())


def test_what_cannot_be_prepared_does_not_happen_and_is_not_kept() -> None:
    async def scenario() -> None:
        async with site() as here:
            await here.weigh("4", 50)
            here.unusable = True
            before = here.state
            for ask in (here.put(document(50, 51)), here.weigh("4", 51), here.promote("4"), here.roll_back()):
                with pytest.raises(OSError, match="no such certificate"):
                    await ask
            assert here.state == before

    asyncio.run(scenario())


def test_a_rollback_takes_effect_before_it_can_be_kept() -> None:
    async def scenario() -> None:
        async with site() as here:
            await here.promote("4")
            here.journal.full = True
            await here.roll_back()
            assert here.weights == {"champion": 90, "challenger": 10}
            assert here.steering.unkept == "no room"
            await here.steering.look(None)
            assert here.steering.unkept == "no room"
            here.journal.full = False
            await here.steering.look(None)
            assert here.steering.unkept == ""
            assert [change.what for _, change in here.journal.changes(1)] == ["rolled back"]

    asyncio.run(scenario())


def test_another_change_keeps_what_could_not_be_kept() -> None:
    async def scenario() -> None:
        async with site() as here:
            await here.promote("4")
            here.journal.full = True
            await here.roll_back()
            here.journal.full = False
            await here.weigh("4", 30)
            assert here.steering.unkept == ""

    asyncio.run(scenario())


# The rollout


def test_a_rollout_begins_by_itself_and_goes_on_step_by_step_to_all_of_the_traffic() -> None:
    async def scenario() -> None:
        async with site(ROLLED) as here:
            assert here.weights == {"champion": 100, "challenger": 0}
            seen = []
            for _ in range(5):
                await here.look(after_s=10)
                seen.append(here.challenger)
            assert seen == [5, 50, 100, 100, 100]
            whos = {change.who for _, change in here.journal.changes(3)}
            assert whos == {"rollout"}

    asyncio.run(scenario())


def test_a_rollout_that_is_not_ready_does_not_begin() -> None:
    async def scenario() -> None:
        async with site(ROLLED) as here:
            before = here.state
            await here.look(Judged(0, NOTHING, ready=False))
            assert here.state == before

    asyncio.run(scenario())


def test_without_data_a_step_is_held() -> None:
    async def scenario() -> None:
        async with site(ROLLED) as here:
            await here.look()
            for judged in (Judged(1000, NOTHING, ready=True), Judged(49, FINE.words, ready=True)):
                await here.look(judged, after_s=1000)
                assert here.challenger == 5

    asyncio.run(scenario())


def test_a_breach_rolls_back_in_one_look() -> None:
    async def scenario() -> None:
        async with site(ROLLED) as here:
            await here.look()
            await here.look(BREACH)
            assert here.weights == {"champion": 100, "challenger": 0}
            ((_, change),) = here.journal.changes(1)
            assert change[1:] == ("rollout", "rolled_back: champion 100, challenger 0", "breach at 5 %: errors")
            before = here.state
            await here.look(after_s=1e6)
            assert here.state == before

    asyncio.run(scenario())


def test_a_breach_takes_effect_before_it_can_be_kept_and_though_a_file_is_gone(tmp_path: Path) -> None:
    pem = tmp_path / "ca.pem"
    pem.write_text("pem")
    secure = {"url": "https://model:2", "version": "4", "weight": 5, "tls": {"ca": str(pem)}}
    routes = document(95, 5)

    async def scenario() -> None:
        async with site(ROLLED) as here:
            await here.look()
            await here.put({"variants": {**routes["variants"], "challenger": secure}})
            here.journal.full = True
            pem.unlink()
            await here.look(BREACH)
            assert here.challenger == 0
            assert here.steering.unkept == "no room"
            assert here.steering.effective.variants["challenger"].weight == 0
            here.journal.full = False
            await here.look()
            assert here.steering.unkept == ""

    asyncio.run(scenario())


def test_a_breach_is_judged_again_where_it_could_not_be_put_in_force() -> None:
    async def scenario() -> None:
        async with site(ROLLED) as here:
            await here.look()
            here.unusable = True
            with pytest.raises(OSError, match="certificate"):
                await here.look(BREACH)
            assert here.steering.course.progress.phase == "stepping"
            here.unusable = False
            await here.look(BREACH)
            assert here.challenger == 0

    asyncio.run(scenario())


def test_orders_of_a_rollout_move_it() -> None:
    async def scenario() -> None:
        async with site(MANUAL) as here:
            await here.look(after_s=1000)
            assert here.challenger == 0
            for command, expected in (("start", 5), ("hold", 5), ("resume", 5), ("promote", 100), ("rollback", 0)):
                await here.steering.order(command, "4", revision=None, by="ann", why="")  # type: ignore[arg-type]  # one
                assert here.challenger == expected
            await here.steering.order("start", None, revision=here.steering.course.revision, by="ann", why="again")
            assert here.challenger == 5

    asyncio.run(scenario())


def test_routes_may_change_beside_the_rollout_and_its_weights_may_not() -> None:
    async def scenario() -> None:
        async with site(ROLLED) as here:
            await here.look()
            third = {"third": {"url": "http://c", "weight": 100}}
            told = document(95, 5)
            await here.put({**told, "split": {"salt": "x"}})
            assert (here.gateways[-1].split.salt, here.challenger) == ("x", 5)
            await here.put({"variants": {**document(47.5, 2.5)["variants"], **third}})
            assert here.weights == {"champion": 47.5, "challenger": 2.5, "third": 100}
            before = here.state
            for champion, challenger in ((90, 10), (0, 10), (100, 0)):
                with pytest.raises(ConflictError, match="are the rollout's"):
                    await here.put(document(champion, challenger))
            assert here.state == before
            await here.weigh("third", 0)
            assert here.weights == {"champion": 95, "challenger": 5, "third": 0}

    asyncio.run(scenario())


def test_all_to_a_third_variant_would_leave_the_rollout_nothing_to_deal() -> None:
    async def scenario() -> None:
        three = {**ROLLED.variants, "third": Variant(url="http://c")}
        async with site(replace(ROLLED, variants=three)) as here:
            before = here.state
            with pytest.raises(ConfigError, match=r"^variants: champion and challenger have no weight"):
                await here.weigh("third", 100)
            assert here.state == before

    asyncio.run(scenario())


def test_another_version_behind_the_challenger_waits_and_begins_anew() -> None:
    async def scenario() -> None:
        async with site(ROLLED) as here:
            await here.look()
            begun_s = here.steering.course.begun_s
            await here.put(document(95, 5, version="5"))
            assert (here.steering.course.progress.phase, here.challenger) == ("waiting", 0)
            await here.look(BREACH, after_s=1)
            assert (here.steering.course.progress.phase, here.challenger) == ("stepping", 5)
            assert here.steering.course.begun_s == begun_s + 1

    asyncio.run(scenario())


def test_another_version_after_a_rollback_begins_anew_by_itself() -> None:
    async def scenario() -> None:
        async with site(ROLLED) as here:
            await here.look()
            await here.look(BREACH)
            await here.put(document(100, 0, version="5"))
            await here.look()
            assert (here.steering.course.progress.version, here.challenger) == ("5", 5)

    asyncio.run(scenario())


@pytest.mark.parametrize("total", [1.0, 100.0, 0.3, 1e9, 1e-9])
@pytest.mark.parametrize("percent", [1.0, 5.0, 33.3, 50.0, 99.9])
def test_routes_as_they_are_told_can_be_put_back(total: float, percent: float) -> None:
    config = replace(
        ROLLED,
        variants={"champion": replace(CHALLENGER, version="3", weight=total), "challenger": CHALLENGER},
        rollout=replace(ROLLOUT, steps=(percent,)),
    )
    config = replace(config, variants={**config.variants, "challenger": replace(CHALLENGER, weight=0)})

    async def scenario() -> None:
        async with site(config) as here:
            await here.look()
            told = here.weights
            for _ in range(3):
                await here.put(here.steering.routes.document, here.steering.course.revision)
            assert here.weights == told
            assert here.steering.course.progress.phase == "stepping"

    asyncio.run(scenario())


# What the catalogue says


def test_a_rejected_challenger_is_rolled_back() -> None:
    async def scenario() -> None:
        async with site(ROLLED) as here:
            await here.look()
            await here.steering.reject("challenger", None, "4", why="it leaks")
            assert here.challenger == 0
            ((_, change),) = here.journal.changes(1)
            assert (change.who, change.why) == ("catalogue", "version 4 was rejected: it leaks")

    asyncio.run(scenario())


def test_a_rejected_champion_gives_way_to_an_approved_challenger_and_to_nobody_else() -> None:
    async def scenario() -> None:
        async with site(ROLLED) as here:
            await here.look()
            before = here.state
            with pytest.raises(
                ConflictError, match=r"^version 3 was rejected, and no approved one is there to return to"
            ):
                await here.steering.reject("champion", None, "3", why="")
            assert here.state == before
            await here.steering.reject("champion", "challenger", "3", why="")
            assert here.weights == {"champion": 0, "challenger": 100}
            await here.look(after_s=100)
            assert here.weights == {"champion": 0, "challenger": 100}

    asyncio.run(scenario())


def test_without_a_rollout_all_of_it_goes_to_the_approved_one_and_not_back() -> None:
    async def scenario() -> None:
        async with site() as here:
            await here.weigh("4", 20)
            await here.steering.reject("challenger", "champion", "4", why="")
            assert here.weights == {"champion": 100, "challenger": 0}
            with pytest.raises(ConflictError, match="nothing to roll back to"):
                await here.roll_back()
            with pytest.raises(ConflictError, match="there is no variant gone any more"):
                await here.steering.reject("champion", "gone", "3", why="")

    asyncio.run(scenario())


# Restarts


def test_a_course_that_was_kept_goes_on_at_every_point(tmp_path: Path) -> None:
    async def scenario() -> None:
        now_s = 1000.0
        for expected in (5, 50, 50, 0, 0):
            async with site(ROLLED, tmp_path, now_s=now_s) as here:
                course = here.steering.course
                await here.look(BREACH if expected == 0 else FINE, after_s=10 if expected != 50 or now_s < 1020 else 1)
                now_s = here.now_s
                assert here.challenger == expected
                last = here.steering.course
            again = Site(ROLLED, tmp_path)
            assert again.steering.course == last
            assert again.weights == weights(again.steering.effective) == here.weights
            assert course.revision <= last.revision
            await again.close()

    asyncio.run(scenario())


def test_a_restart_with_nothing_new_notes_nothing(tmp_path: Path) -> None:
    async def scenario() -> None:
        for _ in range(3):
            async with site(ROLLED, tmp_path) as here:
                await here.steering.look(None)
                assert len(here.journal.changes(10)) == 1

    asyncio.run(scenario())


def test_what_was_put_outlives_a_restart_unless_the_configuration_has_changed(tmp_path: Path) -> None:
    other = replace(PLAIN, variants={**PLAIN.variants, "challenger": replace(CHALLENGER, weight=20)})

    async def scenario() -> None:
        async with site(PLAIN, tmp_path) as here:
            await here.put(document(50, 50))
        async with site(PLAIN, tmp_path) as here:
            assert here.challenger == 50
        async with site(other, tmp_path) as here:
            assert here.challenger == 20
            await until(lambda: len(here.journal.changes(10)) == 3)
            assert here.journal.changes(1)[0][0] == 3
            await here.roll_back()
            assert here.challenger == 50
        async with site(PLAIN, tmp_path) as here:
            assert here.challenger == 10

    asyncio.run(scenario())


def test_a_rollout_that_the_configuration_begins_to_want_is_a_change(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with site(PLAIN, tmp_path):
            pass
        async with site(ROLLED, tmp_path) as here:
            await until(lambda: len(here.journal.changes(10)) == 2)
            assert (here.steering.course.revision, here.challenger) == (2, 0)
            assert here.journal.changes(1)[0][1].what == "rollout"
            await here.steering.declare(PLAIN)
            assert here.steering.course.revision == 3

    asyncio.run(scenario())


def test_what_cannot_be_read_or_does_not_fit_is_left(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with site(PLAIN, tmp_path) as here:
            await here.put(document(50, 50))
            await here.put({"variants": {"other": {"url": "http://a"}}})
            for bad in (b"", b"{}", b"[1]", b"\xff", b'{"revision": "x"}'):
                here.journal.add(4, here.steering.course.change, bad)
        trial = Experiment(name="t", champion="champion")
        async with site(replace(PLAIN, experiment=trial), tmp_path) as here:
            assert here.challenger == 50
            await until(lambda: here.journal.changes(1)[0][0] == 5)
            assert here.journal.changes(1)[0][1].what == "routes of revision 2"

    asyncio.run(scenario())


def test_where_nothing_fits_the_configuration_begins_with_a_revision_of_its_own(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    made = Site()
    journal.add(7, made.steering.course.change, b"?")
    journal.close()

    async def scenario() -> None:
        await made.close()
        async with site(PLAIN, tmp_path) as here:
            assert here.steering.course.revision == 8

    asyncio.run(scenario())


def test_a_journal_that_cannot_be_read_keeps_nobody_from_serving(caplog: pytest.LogCaptureFixture) -> None:
    journal = Journal(None)
    journal.close()
    here = Steering(PLAIN, journal, fleet=None, prepare=lambda _: lambda: None, wall_s=lambda: 1.0)
    assert here.effective == PLAIN
    assert "how all stood cannot be read" in caplog.text


# Another configuration


def test_another_configuration_changes_the_routes_only_where_its_own_are_others() -> None:
    async def scenario() -> None:
        async with site() as here:
            await here.put(document(50, 50))
            await here.steering.declare(replace(PLAIN, endpoint="another"))
            assert (here.gateways[-1].endpoint, here.challenger) == ("another", 50)
            assert here.steering.course.revision == 2
            await here.steering.declare(replace(PLAIN, variants={"only": CHALLENGER}))
            assert here.weights == {"only": 10}
            await here.steering.declare(PLAIN)
            assert here.weights == {"champion": 90, "challenger": 10}
            assert here.steering.course.revision == 4

    asyncio.run(scenario())


def test_a_configuration_that_the_routes_in_force_do_not_fit_is_refused() -> None:
    async def scenario() -> None:
        async with site() as here:
            await here.put({"variants": {"other": {"url": "http://a"}}})
            before = here.state
            with pytest.raises(ConfigError, match=r"experiment.champion: champion is no variant"):
                await here.steering.declare(replace(PLAIN, experiment=Experiment(name="t", champion="champion")))
            assert here.state == before
            await here.weigh("other", 100)

    asyncio.run(scenario())


# Versions that are said by aliases


def test_until_it_is_known_what_an_alias_means_it_stands_for_itself() -> None:
    async def scenario() -> None:
        async with site(ALIASED) as here:
            assert versions(here.gateways[-1]) == {"champion": "@champion", "challenger": "@challenger"}
            await here.steering.resolve(STOOD)
            assert versions(here.gateways[-1]) == {"champion": "3", "challenger": "4"}
            assert versions(here.steering.effective) == versions(here.gateways[-1])
            (revision, change), _ = here.journal.changes(9)
            told = "variants.champion.version: 3 (@champion), variants.challenger.version: 4 (@challenger)"
            assert (revision, change) == (2, (1000.0, "catalogue", told, "as the alias says"))
            assert dict(here.steering.aliases) == {"champion": "@champion", "challenger": "@challenger"}

    asyncio.run(scenario())


def test_what_an_alias_means_already_is_no_change() -> None:
    async def scenario() -> None:
        async with site(ALIASED) as here:
            await here.steering.resolve(STOOD)
            before = here.state
            for meant in (STOOD, {}, {"@other": "9"}):
                await here.steering.resolve(meant)
            assert here.state == before

    asyncio.run(scenario())


def test_who_has_won_is_noted_and_nobodys_version_changes_by_it_then_or_later() -> None:
    async def scenario() -> None:
        async with site(ALIASED) as here:
            await here.steering.resolve(STOOD)
            for _ in range(2):
                await here.steering.resolve({**STOOD, "@champion": "4"})
            assert here.steering.course.revision == 3
            assert here.steering.course.change.what == "@champion: 3 → 4, which challenger serves"
            for meant in ({"@champion": "4", "@challenger": "5"}, {"@champion": "4", "@challenger": "5"}):
                await here.steering.resolve(meant)
                assert versions(here.gateways[-1]) == {"champion": "3", "challenger": "5"}

    asyncio.run(scenario())


def test_routes_by_alias_are_told_and_put_as_they_were_written() -> None:
    async def scenario() -> None:
        async with site(ALIASED) as here:
            await here.steering.resolve(STOOD)
            await here.weigh("4", 30)
            told = dict(here.steering.course.routes)
            await here.put(told, 3)
            assert here.steering.course.revision == 3
            assert told["variants"]["challenger"]["version"] == "@challenger"
            assert here.challenger == 30
            await here.put(document(70, 30, version="@challenger"))
            assert versions(here.gateways[-1]) == {"champion": "3", "challenger": "4"}

    asyncio.run(scenario())


def test_a_rollout_begins_anew_with_the_version_to_which_an_alias_was_moved() -> None:
    async def scenario() -> None:
        async with site(replace(ALIASED, rollout=ROLLOUT)) as here:
            await here.steering.resolve(STOOD)
            await here.look()
            await here.look(after_s=10)
            assert (here.challenger, here.steering.course.progress.version) == (50, "4")
            await here.steering.resolve({**STOOD, "@challenger": "5"})
            assert (here.challenger, here.steering.course.progress.phase) == (0, "waiting")
            await here.look()
            assert (here.challenger, here.steering.course.progress.version) == (5, "5")

    asyncio.run(scenario())


def test_what_an_alias_means_outlives_a_restart(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with site(ALIASED, tmp_path) as here:
            await here.steering.resolve(STOOD)
        async with site(ALIASED, tmp_path) as here:
            assert versions(here.gateways[0]) == {"champion": "3", "challenger": "4"}
            assert here.steering.course.revision == 2

    asyncio.run(scenario())


def test_two_of_a_fleet_that_follow_an_alias_at_once_make_one_change() -> None:
    async def scenario() -> None:
        place = Place()
        async with site(ALIASED, fleet=place) as one, site(ALIASED, fleet=place) as two:
            await asyncio.gather(one.steering.resolve(STOOD), two.steering.resolve(STOOD))
            assert one.steering.course == two.steering.course
            assert (one.steering.course.revision, len(place.writes)) == (2, 2)
            assert versions(two.gateways[-1]) == versions(one.gateways[-1]) == {"champion": "3", "challenger": "4"}

    asyncio.run(scenario())


def test_a_version_that_cannot_be_put_in_force_or_kept_is_told_and_changes_nothing() -> None:
    async def scenario() -> None:
        async with site(ALIASED) as here:
            before = here.state
            here.unusable = True
            with pytest.raises(OSError, match="no such certificate"):
                await here.steering.resolve(STOOD)
            here.unusable, here.journal.full = False, True
            with pytest.raises(DeliveryError, match="no room"):
                await here.steering.resolve(STOOD)
            assert here.state == before

    asyncio.run(scenario())


def test_an_alias_without_a_catalogue_that_has_some_is_refused_and_nothing_is_changed() -> None:
    async def scenario() -> None:
        async with site(PLAIN) as here:
            before = here.state
            with pytest.raises(
                ConfigError, match=r"^variants\.challenger\.version: @challenger, and the catalogue \(sqlite"
            ):
                await here.put(document(version="@challenger"))
            assert here.state == before
        async with site(ALIASED) as here:
            await here.steering.resolve(STOOD)
            before = here.state
            with pytest.raises(ConfigError, match="has no aliases"):
                await here.steering.declare(replace(ALIASED, catalog=PLAIN.catalog))
            assert here.state == before

    asyncio.run(scenario())


# While something is being kept


@asynccontextmanager
async def keeping(here: Site, work: Coroutine[object, object, object]) -> AsyncIterator[asyncio.Task[object]]:
    """While this waits for the journal, which keeps it in the end, or finds itself full."""
    here.journal.hold()
    task = asyncio.create_task(work)
    await until(here.journal.asked.is_set)
    try:
        yield task
    finally:
        here.journal.let.set()
        await asyncio.wait([task])


def test_a_rollback_stays_though_the_reload_that_it_came_into_fails() -> None:
    async def scenario() -> None:
        async with site(ROLLED) as here:
            await here.look()
            here.journal.full = True
            async with keeping(here, here.steering.declare(NEWER)) as reload:
                order = asyncio.create_task(here.roll_back())
                await until(lambda: here.challenger == 0)
            assert isinstance(reload.exception(), DeliveryError)
            await order
            assert (here.steering.course.progress.phase, here.challenger) == ("rolled_back", 0)
            assert here.steering.effective.variants == here.gateways[-1].variants

    asyncio.run(scenario())


def test_until_another_rollout_is_kept_there_is_none() -> None:
    variants = {"champion": PLAIN.variants["champion"], "rival": CHALLENGER}
    other = replace(PLAIN, variants=variants, rollout=replace(ROLLOUT, challenger="rival"))

    async def scenario() -> None:
        async with site(PLAIN) as here:
            async with keeping(here, here.steering.declare(other)):
                assert (here.steering.plan, here.steering.effective) == (None, PLAIN)
                here.steering.heed(BREACH)
                with pytest.raises(ConflictError, match="nothing to roll back to"):
                    await here.roll_back()
            assert here.steering.plan is not None
            assert here.steering.plan.challenger == "rival"

    asyncio.run(scenario())


def test_a_breach_is_heeded_while_a_configuration_without_the_rollout_is_being_kept() -> None:
    plain = replace(PLAIN, variants={**PLAIN.variants, "challenger": replace(CHALLENGER, weight=20)})

    async def scenario() -> None:
        async with site(ROLLED) as here:
            await here.look()
            async with keeping(here, here.steering.declare(plain)):
                here.steering.heed(BREACH)
                assert here.challenger == 0

    asyncio.run(scenario())


def test_what_was_judged_before_a_new_start_says_nothing_of_it() -> None:
    async def scenario() -> None:
        async with site(MANUAL) as here:
            order = partial(here.steering.order, name=None, revision=None, by="ann", why="")
            await order("start")
            await here.look(BREACH)
            here.now_s += 100
            async with keeping(here, order("start")):
                look = asyncio.create_task(here.look(BREACH))
                await asyncio.sleep(0)
            await look
            assert here.steering.course.progress.phase == "stepping"

    asyncio.run(scenario())


def test_whoever_goes_back_meanwhile_has_the_last_word_at_the_gateway() -> None:
    """What was prepared before that is of connections that are closed by then."""

    async def scenario() -> None:
        async with site(PLAIN) as here:
            await here.put(document(50, 50))
            prepared = len(here.prepared)
            async with keeping(here, here.weigh("challenger", 30)):
                back = asyncio.create_task(here.roll_back())
                await until(lambda: here.challenger == 10)
            await back
            # The weight came first, and what went back went back to before that.
            assert [weights(each)["challenger"] for each in here.prepared[prepared:]] == [30, 10, 50]
            assert here.gateways[-2:] == here.prepared[-2:]

    asyncio.run(scenario())


# What the catalogue says of the challenger


@pytest.mark.parametrize(
    ("rejected", "percent"), [(None, 0), ((), 5), ({("challenger", "4")}, 0), ({("challenger", "3")}, 5)]
)
def test_a_rollout_begins_by_itself_only_where_its_version_may_serve(
    rejected: Collection[tuple[str, str]] | None, percent: float
) -> None:
    async def scenario() -> None:
        async with site(ROLLED) as here:
            here.steering.rejected = rejected
            await here.look()
            assert here.challenger == percent

    asyncio.run(scenario())


def test_a_rollout_does_not_begin_before_it_is_known_what_its_alias_means() -> None:
    async def scenario() -> None:
        async with site(replace(ALIASED, rollout=ROLLOUT)) as here:
            await here.look()
            assert here.challenger == 0
            await here.steering.resolve(STOOD)
            await here.look()
            assert (here.challenger, here.steering.course.progress.version) == (5, "4")

    asyncio.run(scenario())


def test_another_version_behind_a_variant_is_not_the_one_that_was_rejected() -> None:
    async def scenario() -> None:
        async with site(PLAIN) as here:
            here.steering.rejected = {("challenger", "4")}
            with pytest.raises(ConflictError, match="version 4 of challenger was rejected"):
                await here.weigh("challenger", 20)
            await here.put(document(100, 0, version="5"))
            await here.weigh("challenger", 20)
            assert here.challenger == 20

    asyncio.run(scenario())


# The fleet


def test_what_was_breached_before_is_nothing_against_a_later_start() -> None:
    """Where one was cut off, and its breach could not be told."""

    async def scenario() -> None:
        place, cut = Place(), Place()
        async with site(MANUAL, fleet=place) as one:
            await one.steering.order("start", None, revision=None, by="ann", why="")
            cut.kept = place.kept
            async with site(MANUAL, fleet=cut) as two:
                await until(lambda: two.challenger == 5)
                cut.down = True
                await two.look(BREACH)
                await one.look(BREACH)
                for each in (one, two):
                    each.now_s += 600
                await one.steering.order("start", None, revision=None, by="ann", why="")
                cut.down, cut.kept = False, place.kept
                await until(lambda: two.challenger == 5)
                await two.look(FINE)
                assert two.steering.course == one.steering.course

    asyncio.run(scenario())


def test_the_first_of_a_fleet_writes_and_the_second_follows() -> None:
    async def scenario() -> None:
        place = Place()
        async with site(PLAIN, fleet=place) as one:
            await one.put(document(50, 50))
            async with site(PLAIN, fleet=place) as two:
                await until(lambda: two.challenger == 50)
                await two.put(document(40, 60), 2)
                await until(lambda: one.challenger == 60)
                assert len(place.writes) == 3
                await until(lambda: one.journal.changes(9)[0][0] == 3)
                assert one.journal.changes(9)[0] == two.journal.changes(9)[0]

    asyncio.run(scenario())


def test_a_breach_at_one_rolls_back_both() -> None:
    async def scenario() -> None:
        place = Place()
        async with site(ROLLED, fleet=place) as one, site(ROLLED, fleet=place) as two:
            await one.look()
            await until(lambda: two.challenger == 5)
            await two.look(BREACH)
            assert two.challenger == 0
            await until(lambda: one.challenger == 0)
            await one.look()
            assert one.steering.course == two.steering.course

    asyncio.run(scenario())


def test_who_is_not_first_makes_no_other_step_by_what_it_knew_of_the_last() -> None:
    steps = replace(ROLLOUT, steps=(5, 20, 50), pause_s=0)

    async def scenario() -> None:
        place = Place()
        config = replace(ROLLED, rollout=steps)
        async with site(config, fleet=place) as one, site(config, fleet=place) as two:
            await one.look()
            await until(lambda: two.challenger == 5)
            await asyncio.gather(one.look(), two.look(after_s=1))
            await until(lambda: one.steering.course == two.steering.course)
            assert one.challenger == two.challenger == 20

    asyncio.run(scenario())


def test_who_is_not_first_follows_and_goes_back_all_the_same() -> None:
    async def scenario() -> None:
        place = Place()
        async with site(ROLLED, fleet=place) as one, site(ROLLED, fleet=place) as two:
            await asyncio.gather(one.look(), two.look())
            await until(lambda: one.steering.course == two.steering.course)
            assert one.steering.course.progress.phase == "stepping"
            await asyncio.gather(one.look(after_s=10), two.look(BREACH, after_s=10))
            await until(lambda: one.challenger == two.challenger == 0)
            assert decode(place.writes[-1]).progress.phase == "rolled_back"

    asyncio.run(scenario())


def test_whoever_asks_and_is_not_first_is_told_and_the_fleets_routes_are_in_force() -> None:
    async def scenario() -> None:
        place = Place()
        async with site(PLAIN, fleet=place) as one:
            other = Site(PLAIN, fleet=Place())
            theirs = await other.steering.put(document(30, 70), revision=None, by="bob", why="")
            assert isinstance(other.fleet, Place)
            await until(lambda: place.kept)
            place.before_write = lambda: place.put(other.fleet.writes[-1])
            with pytest.raises(ConflictError, match="somebody else was first"):
                await one.put(document(50, 50))
            assert one.challenger == 70
            assert one.steering.course == theirs
            await other.close()

    asyncio.run(scenario())


@pytest.mark.parametrize("trouble", ["down", "refusing"])
def test_a_rollback_takes_effect_though_the_fleet_cannot_be_told_and_is_told_later(trouble: str) -> None:
    async def scenario() -> None:
        place = Place()
        async with site(ROLLED, fleet=place) as one, site(ROLLED, fleet=place) as two:
            await one.look()
            await until(lambda: two.challenger == 5)
            setattr(place, trouble, True)
            with pytest.raises(DeliveryError):
                await one.put(document(95, 5, version="5"))
            await one.roll_back()
            assert (one.challenger, two.challenger) == (0, 5)
            assert one.steering.unkept
            await one.look()
            # Meanwhile another goes on.
            assert place.kept is not None
            place.put(place.kept.document)
            await one.look()
            assert one.challenger == 0
            setattr(place, trouble, False)
            await one.look()
            await until(lambda: two.challenger == 0)
            assert one.steering.unkept == ""
            assert one.steering.course == two.steering.course

    asyncio.run(scenario())


def test_a_journal_that_is_full_does_not_part_a_sidecar_from_its_fleet() -> None:
    async def scenario() -> None:
        place = Place()
        async with site(PLAIN, fleet=place) as one, site(PLAIN, fleet=place) as two:
            two.journal.full = True
            await two.put(document(50, 50))
            await until(lambda: one.challenger == 50)
            assert (two.challenger, two.steering.unkept) == (50, "no room")
            await one.put(document(40, 60))
            await until(lambda: two.challenger == 60)
            two.journal.full = False
            await two.steering.look(None)
            assert two.steering.unkept == ""
            assert two.journal.changes(1) == one.journal.changes(1)

    asyncio.run(scenario())


def test_an_answer_that_was_lost_is_no_conflict() -> None:
    async def scenario() -> None:
        place = Place()
        async with site(ROLLED, fleet=place) as here:
            await here.look()
            place.losing = True
            await here.roll_back()
            await here.look()
            assert here.steering.unkept == ""
            assert [decode(each).revision for each in place.writes] == [1, 2, 3]

    asyncio.run(scenario())


def test_who_starts_with_an_older_configuration_follows_and_with_a_newer_one_declares_it() -> None:
    newer = replace(PLAIN, variants={**PLAIN.variants, "challenger": replace(CHALLENGER, weight=30)})

    async def scenario() -> None:
        place = Place()
        async with site(PLAIN, fleet=place) as old, site(newer, fleet=place) as new:
            await until(lambda: old.challenger == 30)
            assert new.challenger == 30
            async with site(PLAIN, fleet=place) as late:
                await until(lambda: late.challenger == 30)
                assert len(place.writes) == 2
                # One that only lags behind the others does not take them back.
                await late.steering.declare(replace(PLAIN, endpoint="another"))
                assert late.challenger == 30
                assert len(place.writes) == 2
            assert old.steering.course.declared == new.steering.course.declared

    asyncio.run(scenario())


def test_two_that_reload_the_same_configuration_at_once_agree() -> None:
    newer = replace(PLAIN, variants={**PLAIN.variants, "challenger": replace(CHALLENGER, weight=30)})

    async def scenario() -> None:
        place = Place()
        async with site(PLAIN, fleet=place) as one, site(PLAIN, fleet=place) as two:
            await asyncio.gather(one.steering.declare(newer), two.steering.declare(newer))
            await until(lambda: one.steering.course == two.steering.course)
            assert (one.challenger, two.challenger, len(place.writes)) == (30, 30, 2)
            await asyncio.gather(one.steering.declare(PLAIN), two.steering.declare(PLAIN))
            await until(lambda: one.steering.course == two.steering.course)
            assert (one.challenger, two.challenger, len(place.writes)) == (10, 10, 3)

    asyncio.run(scenario())


def test_a_fleet_that_cannot_be_read_leaves_the_configuration_in_force_and_is_joined_later() -> None:
    newer = replace(PLAIN, variants={**PLAIN.variants, "challenger": replace(CHALLENGER, weight=30)})

    async def scenario() -> None:
        place = Place()
        async with site(PLAIN, fleet=place) as old:
            await until(lambda: place.writes)
            await old.put(document(50, 50))
            place.down = True
            same, new = Site(PLAIN, fleet=place), Site(newer, fleet=place)
            for here in (same, new):
                here.steering.start()
                await until(partial(_unkept, here))
            assert (same.challenger, new.challenger) == (10, 30)
            await new.steering.look(None)
            place.down = False
            await until(lambda: old.challenger == same.challenger == new.challenger == 30)
            await until(lambda: not same.steering.unkept)
            assert len(place.writes) == 3
            await same.close()
            await new.close()

    asyncio.run(scenario())


def test_routes_of_the_fleet_that_do_not_fit_here_are_told_and_not_overwritten(
    caplog: pytest.LogCaptureFixture,
) -> None:
    trial = replace(PLAIN, experiment=Experiment(name="t", champion="champion"))

    async def scenario() -> None:
        place = Place()
        async with site(PLAIN, fleet=place) as one, site(trial, fleet=place) as two:
            await one.put({"variants": {"only": {"url": "http://a"}}})
            await until(lambda: "cannot be used here" in two.steering.unkept)
            assert two.weights == {"champion": 90, "challenger": 10}
            with pytest.raises(DeliveryError, match="the fleet's routes cannot be used here"):
                await two.weigh("4", 20)
            assert two.weights == {"champion": 90, "challenger": 10}
            await two.steering.look(None)
            assert len(place.writes) == 2
            assert caplog.text.count("cannot be used here") == 1
            await two.steering.declare(PLAIN)
            assert two.weights == {"only": 1}
            assert two.steering.unkept == ""

    asyncio.run(scenario())


def test_who_starts_where_the_fleets_routes_mean_nothing_to_it_serves_its_own() -> None:
    async def scenario() -> None:
        place = Place()
        place.put(b"what a later version writes")
        here = Site(PLAIN, fleet=place)
        here.steering.start()
        await until(lambda: here.steering.unkept)
        assert here.challenger == 10
        assert len(place.writes) == 1
        await here.close()

    asyncio.run(scenario())


def test_a_place_that_has_lost_everything_is_filled_again(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with site(PLAIN, tmp_path, fleet=Place()) as here:
            await here.put(document(50, 50))
        place = Place()
        async with site(PLAIN, tmp_path, fleet=place) as here:
            await until(lambda: place.writes)
            assert decode(place.writes[0]) == here.steering.course
            assert here.challenger == 50
            place.kept = None
            with pytest.raises(ConflictError):
                await here.put(document(40, 60))
            await here.put(document(40, 60))
            assert here.challenger == 60

    asyncio.run(scenario())


def test_what_was_followed_outlives_a_restart_without_the_fleet(tmp_path: Path) -> None:
    async def scenario() -> None:
        place = Place()
        async with site(ROLLED, tmp_path, fleet=place) as one, site(ROLLED, fleet=place) as two:
            await one.look()
            await until(lambda: two.challenger == 5)
            await two.look(BREACH)
            await until(lambda: one.journal.changes(1) == two.journal.changes(1))
        place.down = True
        again = Site(ROLLED, tmp_path, fleet=place)
        assert again.challenger == 0
        await again.close()

    asyncio.run(scenario())


class Slow(Place):
    """Tells of a change when it is allowed to."""

    def __init__(self) -> None:
        super().__init__()
        self.gate = asyncio.Event()
        self.told = 0

    async def changed(self, mark: str | None) -> Kept:
        kept = await super().changed(mark)
        self.told += 1
        await self.gate.wait()
        return kept


def test_news_that_is_older_than_what_was_written_since_is_no_news() -> None:
    async def scenario() -> None:
        place = Slow()
        async with site(PLAIN, fleet=place) as here:
            await here.put(document(50, 50))
            await until(lambda: place.told)
            await here.put(document(40, 60))
            place.gate.set()
            await until(lambda: here.steering.course.revision == 3)
            await asyncio.sleep(0.01)
            assert [weights(each)["challenger"] for each in here.gateways] == [10, 50, 60]

    asyncio.run(scenario())


def test_a_breach_that_cannot_be_told_stays_in_force_whatever_the_fleet_says() -> None:
    async def scenario() -> None:
        place = Place()
        async with site(ROLLED, fleet=place) as here:
            await here.look()
            place.refusing = True
            await here.look(BREACH)
            assert place.kept is not None
            place.put(place.kept.document)
            await asyncio.sleep(0.01)
            assert [weights(each)["challenger"] for each in here.gateways] == [0, 5, 0]
            place.refusing = False
            await here.steering.look(None)
            assert decode(place.writes[-1]).progress.phase == "rolled_back"

    asyncio.run(scenario())


def test_who_reloads_what_the_fleet_has_left_behind_follows() -> None:
    first, second, third = (
        replace(PLAIN, variants={**PLAIN.variants, "challenger": replace(CHALLENGER, weight=weight)})
        for weight in (1, 2, 3)
    )

    async def scenario() -> None:
        place = Place()
        async with site(first, fleet=place) as late, site(first, fleet=place) as early:
            await early.steering.declare(second)
            await early.steering.declare(third)
            await until(lambda: late.challenger == 3)
            await late.steering.declare(second)
            assert (late.challenger, len(place.writes)) == (3, 3)
            await late.steering.declare(third)
            assert (late.challenger, len(place.writes)) == (3, 3)

    asyncio.run(scenario())


def test_a_configuration_that_never_comes_first_is_refused_and_all_is_as_before() -> None:
    async def scenario() -> None:
        place = Place()
        async with site(PLAIN, fleet=place) as here:
            await until(lambda: place.kept)
            theirs = _later(place.writes[-1])

            def others() -> None:
                place.put(theirs)
                place.before_write = others

            place.before_write = others
            with pytest.raises(ConflictError, match="somebody else was first"):
                await here.steering.declare(replace(PLAIN, endpoint="x", variants={"only": CHALLENGER}))
            place.before_write = None
            assert here.steering.effective.endpoint == PLAIN.endpoint
            assert here.gateways[-1] == here.steering.effective
            await until(lambda: here.weights == {"champion": 1, "challenger": 2})

    asyncio.run(scenario())


def _later(kept: bytes) -> bytes:
    """The same course, a revision later, with other weights."""
    course = decode(kept)
    return encode(course.after(course.change, routes=document(1, 2)))


async def _ask(here: Site, all_of_them: list[Site], chance: random.Random) -> None:
    """Something of all that may be asked, or go wrong."""
    assert here.fleet is not None
    version = f"{chance.randrange(1000)}"
    kind = chance.choice(("look", "look", "order", "order", "version", "alias", "declare", "all", "fleet", "journal"))
    if kind == "look":
        await here.look(chance.choice((FINE, FINE, BREACH)), after_s=chance.choice((0, 1, 11)))
    elif kind == "order":
        command = chance.choice(ORDERS)
        await here.steering.order(command, None, revision=None, by="ann", why="")
    elif kind == "version":
        told = weights(here.steering.effective)
        said = chance.choice((version, "@challenger"))
        await here.put(document(told["champion"], told["challenger"], said))
    elif kind == "alias":
        await here.steering.resolve({"@champion": chance.choice("3456"), "@challenger": version})
    elif kind == "declare":
        await here.steering.declare(chance.choice(ANY))
    elif kind == "all":
        await asyncio.gather(*(each.look(chance.choice((FINE, BREACH))) for each in all_of_them))
    elif kind == "fleet":
        here.fleet.down, here.fleet.refusing, here.fleet.losing = (chance.random() < 0.3 for _ in range(3))
    else:
        here.journal.full = not here.journal.full


@pytest.mark.parametrize("seed", range(5))
def test_whatever_happens_what_is_in_force_is_what_the_rollout_gives_and_in_the_end_all_agree(seed: int) -> None:
    async def scenario() -> None:
        chance, place = random.Random(seed), Place()
        sites = [Site(chance.choice(ANY), fleet=place) for _ in range(3)]
        for each in sites:
            each.steering.start()
        for _ in range(60):
            with suppress(SidecarError):
                await _ask(chance.choice(sites), sites, chance)
            await asyncio.sleep(0)
            for each in sites:
                assert each.weights == weights(each.steering.effective)
                assert versions(each.gateways[-1]) == versions(each.steering.effective)
                assert each.steering.plan is not None
                given = percent(each.steering.plan, each.steering.course.progress)
                assert each.challenger / sum(each.weights.values()) * 100 == pytest.approx(given)
        place.down = place.refusing = place.losing = False
        for each in sites:
            each.journal.full = False
            await each.steering.look(None)
        await until(lambda: all(each.steering.course == sites[0].steering.course for each in sites))
        assert place.kept is not None
        assert decode(place.kept.document) == sites[0].steering.course
        for each in sites:
            await each.steering.look(None)
            assert each.journal.changes(1)[0][0] == each.steering.course.revision
            assert each.steering.unkept == ""
            await each.close()

    asyncio.run(scenario())


# What is told as events


@asynccontextmanager
async def telling(config: Config = PLAIN, fleet: Place | None = None) -> AsyncIterator[tuple[Site, list[Event]]]:
    here, events = Site(config, fleet=fleet), list[Event]()
    here.steering.telling(events.append)
    try:
        yield await here.began(), events
    finally:
        await here.close()


def _named(events: list[Event]) -> list[tuple[object, ...]]:
    return [
        (each.name, each.attributes["sidecar.change.who"], each.attributes["sidecar.routes.after"]) for each in events
    ]


def test_every_change_is_told_once_when_it_is_in_force() -> None:
    async def scenario() -> None:
        async with telling() as (here, events):
            await here.weigh("challenger", 25)
            with pytest.raises(ConflictError):
                await here.weigh("challenger", 30, revision=1)
            await here.weigh("challenger", 25)
            await here.look()
            assert _named(events) == [
                ("sidecar.routes.changed", "configuration", "champion (version 3) 90 %, challenger (version 4) 10 %"),
                ("sidecar.routes.changed", "ann", "champion (version 3) 75 %, challenger (version 4) 25 %"),
            ]

    asyncio.run(scenario())


def test_a_rollout_is_told_step_by_step_and_its_end_as_a_warning() -> None:
    async def scenario() -> None:
        async with telling(ROLLED) as (here, events):
            await here.look()
            await here.look(after_s=10)
            await here.look(BREACH)
        assert [(each.attributes["sidecar.rollout.phase"], each.severity) for each in events] == [
            ("waiting", "info"),
            ("stepping", "info"),
            ("stepping", "info"),
            ("rolled_back", "warning"),
        ]
        assert {each.name for each in events} == {"sidecar.rollout"}
        assert [each.attributes["sidecar.rollout.percent"] for each in events] == [0.0, 5.0, 50.0, 0.0]

    asyncio.run(scenario())


def test_a_rollback_that_cannot_be_kept_is_told_all_the_same_and_once() -> None:
    async def scenario() -> None:
        async with telling(ROLLED) as (here, events):
            await here.look()
            here.journal.full = True
            await here.look(BREACH)
            await here.look(BREACH)
            assert [each.severity for each in events] == ["info", "info", "warning"]
            here.journal.full = False
            await here.look(BREACH)
            assert len(events) == 3

    asyncio.run(scenario())


def test_what_could_not_be_kept_did_not_happen_and_is_not_told() -> None:
    async def scenario() -> None:
        async with telling() as (here, events):
            here.journal.full = True
            with pytest.raises(DeliveryError):
                await here.weigh("challenger", 25)
            assert len(events) == 1

    asyncio.run(scenario())


def test_after_a_restart_only_what_is_new_is_told(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with site(folder=tmp_path) as here:
            await here.weigh("challenger", 25)
        again = Site(folder=tmp_path)
        events: list[Event] = []
        again.steering.telling(events.append)
        again.steering.start()
        await again.look()
        await again.close()
        assert events == []
        other = Site(NEWER, tmp_path)
        other.steering.telling(events.append)
        other.steering.start()
        await other.close()
        assert [each.attributes["sidecar.routes.before"] for each in events] == [
            "champion (version 3) 75 %, challenger (version 4) 25 %"
        ]

    asyncio.run(scenario())


def test_what_another_of_the_fleet_orders_is_told_here_too() -> None:
    async def scenario() -> None:
        place = Place()
        async with telling(fleet=place) as (_, events), site(fleet=place) as other:
            await other.weigh("challenger", 40)
            await until(lambda: len(events) == 2)
            assert _named(events)[-1][1:] == ("ann", "champion (version 3) 60 %, challenger (version 4) 40 %")

    asyncio.run(scenario())


def test_a_configuration_that_is_refused_leaves_what_was_told_true() -> None:
    async def scenario() -> None:
        async with telling() as (here, events):
            here.unusable = True
            with pytest.raises(OSError, match="no such certificate"):
                await here.steering.declare(NEWER)
            assert len(events) == 1

    asyncio.run(scenario())
