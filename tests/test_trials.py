import asyncio
import logging
import threading
from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import numpy as np
import pytest
from msgspec.structs import replace

from sidecar import trials as module
from sidecar.build import monitoring
from sidecar.config.schema import (
    Config,
    Experiment,
    Part,
    Shadow,
    Split,
    Sticky,
    Timeouts,
    Variant,
)
from sidecar.errors import ConfigError, Fault
from sidecar.monitors.weighing import Weighing
from sidecar.payload import DECODERS
from sidecar.payload.decoding import Decoding
from sidecar.payload.reading import Reader
from sidecar.pipeline import Parts, Pipeline
from sidecar.routing.availability import State
from sidecar.stats.served import Outcome, Served
from sidecar.stats.traffic import Labels, Traffic
from sidecar.trials import STEP, TOLD_S, Sources, Trials
from tests.monitors.test_weighing import joined
from tests.steering_rig import PLAIN, ROLLED, ROLLOUT, Site, document, until
from tests.test_pipeline import Waiting, exchange, make_window

ERRORS = Part(kind="errors", options={"margin": 0.05})
GUARDED = replace(ROLLED, rollout=replace(ROLLOUT, guardrails=(ERRORS,)))
EVEN = {name: replace(variant, weight=50) for name, variant in PLAIN.variants.items()}
TRIAL = Experiment(name="t", champion="champion", measures=(ERRORS,))
TRIED = replace(PLAIN, variants=EVEN, experiment=TRIAL)


@dataclass
class Bench:
    """Trials with the real parts around them; requests come by hand.

    Attributes:
        saved: What is known after a restart, by name.
        states: How the variants are.
        unmade: What variants are weighed by cannot be made.
    """

    site: Site
    saved: dict[str, bytes] = field(default_factory=dict)
    states: dict[str, tuple[State, float]] = field(default_factory=dict)
    well: Collection[str] = ("champion", "challenger")
    unmade: bool = False
    served: Served = field(default_factory=Served)
    queue: Waiting = field(default_factory=Waiting)
    traffic: Traffic = field(default_factory=lambda: Traffic(max_series=10))

    def __post_init__(self) -> None:
        self._rng = np.random.default_rng(7)
        parts = Parts(Reader(max_inflated_bytes=1 << 20), Decoding(DECODERS), ())
        self.pipeline = Pipeline(
            self.queue, parts, make_window=make_window, now_s=lambda: self.site.now_s, wall_s=lambda: self.site.now_s
        )
        sources = Sources(self.served, self.traffic, lambda: self.states, lambda: self.well, lambda: self.site.now_s)
        self.trials = Trials(self.pipeline, self.site.steering, sources, truth=None, make=self.make, read=self.read)

    def make(self, config: Config, begun_s: float) -> Weighing | None:
        if self.unmade:
            raise ConfigError(Fault("rollout.guardrails[0]", "is odd"))
        return monitoring.weighing(config, begun_s)

    async def read(self, name: str) -> bytes | None:
        return self.saved.get(name)

    async def save(self) -> None:
        self.saved |= await self.trials.state()

    def serve(self, rows: int, *, wrong: float = 0.0, variant: str = "challenger", late_s: float = 0.0) -> None:
        """So many requests of each variant, all right but for this share of one's."""
        for name in ("champion", "challenger"):
            failed = self._rng.random(rows) < (wrong if name == variant else 0.0)
            for each in failed:
                unit = int(self._rng.integers(1, 1 << 63))
                self.served.add(Outcome(name, unit, bool(each), self.site.now_s - late_s, 0.1))

    def clicked(self, rows: int, asked_s: float) -> None:
        """Outcomes of so many requests of each variant."""
        assert self.trials.weighing is not None
        for name in ("champion", "challenger"):
            units = self._rng.integers(1, 1 << 63, size=rows)
            self.trials.weighing.join(
                [
                    joined(name, index % 2, metric="click", unit=int(unit), time_s=asked_s)
                    for index, unit in enumerate(units)
                ]
            )

    async def look(self, after_s: float = 1.0) -> None:
        self.site.now_s += after_s
        await self.trials.look()

    async def tried(self, rows: int, *, wrong: float = 0.0, after_s: float = 1.0) -> None:
        """A look at so many requests, all of this very moment."""
        self.site.now_s += after_s
        self.serve(rows, wrong=wrong)
        await self.look(0)

    @property
    def challenger(self) -> float:
        return self.site.challenger

    @property
    def phase(self) -> str:
        return self.site.steering.course.progress.phase


@asynccontextmanager
async def bench(config: Config = GUARDED, saved: dict[str, bytes] | None = None) -> AsyncIterator[Bench]:
    site = await Site(config).began()
    made = Bench(site, saved or {})
    try:
        yield made
    finally:
        await made.trials.close()
        await site.close()
    assert not made.pipeline.failures


def test_a_challenger_as_good_is_promoted_step_by_step() -> None:
    async def scenario() -> None:
        async with bench() as here:
            await here.look()
            seen = []
            for _ in range(3):
                for _ in range(3):
                    await here.tried(400, after_s=5)
                seen.append(here.challenger)
            assert seen == [50, 100, 100]
            assert (here.phase, here.trials.findings) == ("promoted", [])

    asyncio.run(scenario())


def test_a_breach_rolls_back_within_one_look_and_is_told_for_a_while() -> None:
    async def scenario() -> None:
        async with bench() as here:
            await here.look()
            assert here.challenger == 5
            await here.tried(400, wrong=0.5)
            assert here.site.weights == {"champion": 100, "challenger": 0}
            (finding,) = here.trials.findings
            assert finding.key == ("rollout", "rollback", "challenger", "traffic")
            assert finding.sentence == (
                "challenger was rolled back, champion serves: breach at 5 %: errors "
                "(challenger errs in 51.5 % of requests against 0 %: breach, +41.6 to +61.4 points)"
            )
            assert finding.at_s == here.site.steering.course.progress.changed_s
            assert [carrier.name for carrier in finding.carriers] == ["errors"]
            assert (finding.version, finding.rows, finding.reference_rows) == ("4", 400, 400)
            await here.look(TOLD_S + 1)
            assert here.trials.findings == []
            assert here.challenger == 0

    asyncio.run(scenario())


def test_a_rollback_by_somebody_is_told_in_their_words() -> None:
    async def scenario() -> None:
        async with bench() as here:
            await here.look()
            await here.site.roll_back()
            (finding,) = here.trials.findings
            assert [(each.name, each.sentence) for each in finding.carriers] == [("ann", "too slow")]

    asyncio.run(scenario())


def test_nothing_begins_before_both_servers_have_answered() -> None:
    async def scenario() -> None:
        async with bench() as here:
            here.well = ("champion",)
            await here.look()
            assert here.phase == "waiting"
            here.well = ("champion", "challenger")
            await here.look()
            assert here.phase == "stepping"

    asyncio.run(scenario())


def test_without_data_the_rollout_holds_however_long() -> None:
    async def scenario() -> None:
        async with bench() as here:
            for _ in range(5):
                await here.look(1e5)
            assert (here.phase, here.challenger) == ("stepping", 5)
            assert here.trials.judged is not None
            assert here.trials.judged.words == {"errors": "missing"}

    asyncio.run(scenario())


@pytest.mark.parametrize("state", [("ejected", 0.0), ("returning", 0.5)])
def test_a_challenger_that_is_away_is_not_given_more(state: tuple[State, float]) -> None:
    async def scenario() -> None:
        async with bench() as here:
            await here.look()
            here.states["challenger"] = state
            for _ in range(3):
                await here.tried(400, after_s=10)
            assert here.challenger == 5
            here.states.clear()
            await here.tried(400)
            assert here.challenger == 50

    asyncio.run(scenario())


def test_rows_of_before_the_weights_changed_take_no_part() -> None:
    async def scenario() -> None:
        async with bench() as here:
            await here.look()
            await here.look()
            here.serve(400, wrong=1.0, late_s=100)
            await here.look()
            assert (here.phase, here.challenger) == ("stepping", 5)
            standing = here.trials.standings["rollout"]
            assert (standing.late, standing.rows) == (0, {"champion": 0, "challenger": 0})

    asyncio.run(scenario())


def test_each_step_wants_rows_of_its_own() -> None:
    async def scenario() -> None:
        async with bench() as here:
            await here.look()
            await here.tried(400)
            await here.tried(400, after_s=10)
            assert here.challenger == 50
            await here.tried(49, after_s=20)
            assert here.challenger == 50
            await here.tried(1)
            assert here.challenger == 100

    asyncio.run(scenario())


def test_each_step_wants_values_of_its_own_for_every_guardrail_however_late_they_come() -> None:
    clicks = Part(kind="outcome", options={"metric": "click", "better": "higher"})
    guarded = replace(GUARDED, rollout=replace(ROLLOUT, guardrails=(ERRORS, clicks)), state="/tmp")

    async def scenario() -> None:
        async with bench(guarded) as here:
            await here.look()
            await here.tried(400, after_s=20)
            assert here.challenger == 5
            here.clicked(200, asked_s=here.site.now_s)
            await here.tried(400, after_s=20)
            assert here.challenger == 50
            for _ in range(3):
                await here.tried(400, after_s=20)
                assert here.challenger == 50
            # Of requests of the step before, too.
            here.clicked(200, asked_s=here.site.now_s - 70)
            await here.tried(1)
            assert here.challenger == 100

    asyncio.run(scenario())


def test_another_version_forgets_the_breach_of_the_one_before() -> None:
    async def scenario() -> None:
        async with bench() as here:
            await here.look()
            await here.tried(400, wrong=0.5)
            await here.site.put(document(100, 0, version="5"))
            await here.look()
            assert (here.phase, here.challenger) == ("stepping", 5)
            assert here.trials.standings["rollout"].rows == {"champion": 0, "challenger": 0}
            await here.look()
            await here.tried(400)
            await here.tried(400, after_s=10)
            assert here.challenger == 50

    asyncio.run(scenario())


def test_a_rollout_begun_anew_forgets_the_breach_before() -> None:
    async def scenario() -> None:
        async with bench() as here:
            await here.look()
            await here.tried(400, wrong=0.5)
            await here.save()
            await here.site.steering.order("start", None, revision=None, by="ann", why="it is mended")
            for _ in range(3):
                await here.tried(400)
            assert (here.phase, here.challenger) == ("stepping", 5)

    asyncio.run(scenario())


def test_saved_and_restored_at_any_look_is_never_having_stopped() -> None:
    async def scenario(restarts: bool) -> list[object]:
        told: list[object] = []
        site, saved = await Site(GUARDED).began(), dict[str, bytes]()
        here = Bench(site, saved)
        rng = np.random.default_rng(3)
        for _ in range(14):
            for _ in range(30):
                for name, wrong in (("champion", 0.01), ("challenger", 0.02)):
                    unit = int(rng.integers(1, 1 << 63))
                    here.served.add(Outcome(name, unit, bool(rng.random() < wrong), site.now_s, 0.1))
            await here.look(3)
            if restarts:
                await here.save()
                here = Bench(site, here.saved)
            told.append((site.weights, site.steering.course.progress))
        await site.close()
        return told

    def run(restarts: bool) -> list[object]:
        return asyncio.run(scenario(restarts))

    assert run(restarts=True) == run(restarts=False)


def test_what_was_saved_of_another_step_or_damaged_begins_the_step_anew() -> None:
    async def scenario() -> None:
        async with bench() as here:
            await here.look()
            await here.tried(30)
            await here.save()
            for odd in (b"", b"?", b'[1.0,{"":3}]', b'["a"]'):
                again = Bench(here.site, {**here.saved, STEP: odd})
                await again.look(0)
                assert again.trials.judged is not None
                assert again.trials.judged.rows == 0
            again = Bench(here.site, here.saved)
            await again.look(0)
            assert again.trials.judged is not None
            assert again.trials.judged.rows == 30

    asyncio.run(scenario())


def test_other_margins_go_on_with_the_same_rows() -> None:
    async def scenario() -> None:
        async with bench() as here:
            await here.look()
            await here.tried(40)
            other = replace(ROLLOUT, guardrails=(ERRORS,), min_rows=70)
            await here.site.steering.declare(replace(GUARDED, rollout=other))
            await here.tried(40)
            assert here.trials.judged is not None
            assert here.trials.judged.rows == 80
            assert here.trials.standings["rollout"].rows["challenger"] == 80

    asyncio.run(scenario())


def test_another_champion_wants_the_steps_rows_again() -> None:
    async def scenario() -> None:
        async with bench() as here:
            await here.look()
            await here.tried(400)
            told = document(95, 5)
            told["variants"]["champion"]["version"] = "3.1"
            await here.site.put(told)
            await here.tried(30)
            assert here.trials.judged is not None
            assert here.trials.judged.rows >= 0
            assert here.challenger == 5

    asyncio.run(scenario())


def test_what_cannot_be_weighed_is_told_and_the_rollout_holds(caplog: pytest.LogCaptureFixture) -> None:
    async def scenario() -> None:
        async with bench() as here:
            here.unmade = True
            for _ in range(3):
                await here.tried(400, after_s=100)
            assert (here.challenger, here.phase) == (5, "stepping")
            assert here.trials.standings == {}
            assert (
                caplog.text.count("variants cannot be weighed: rollout.guardrails[0]: is odd") == 2
            )  # before it began, and after
            assert here.served.take() == []

    with caplog.at_level(logging.ERROR):
        asyncio.run(scenario())


def test_a_change_while_it_is_judged_is_not_judged_by_what_was_before() -> None:
    async def scenario() -> None:
        async with bench() as here:
            await here.look()
            await here.tried(400, wrong=0.5)
            assert here.phase == "rolled_back"
            gate = threading.Event()
            loop = asyncio.get_running_loop()
            busy = loop.create_task(here.pipeline.between(gate.wait))
            await asyncio.sleep(0)
            looking = loop.create_task(here.look())
            await asyncio.sleep(0.01)
            await here.site.steering.order("start", None, revision=None, by="ann", why="it is mended")
            gate.set()
            await asyncio.gather(busy, looking)
            assert here.phase == "stepping"
            await here.look()
            assert here.phase == "stepping"

    asyncio.run(scenario())


@pytest.mark.parametrize("key", ["experiment.measures", "rollout.guardrails"])
def test_a_measure_that_cannot_be_used_is_named_by_its_key(key: str) -> None:
    priced = Part(kind="cost", options={"per_request": {"champion": 1.0}})
    config = {
        "experiment.measures": replace(TRIED, experiment=replace(TRIAL, measures=(ERRORS, priced))),
        "rollout.guardrails": replace(GUARDED, rollout=replace(ROLLOUT, guardrails=(ERRORS, priced, ERRORS))),
    }[key]
    with pytest.raises(ConfigError) as caught:
        monitoring.weighing(config, 0.0)
    paths = [fault.path for fault in caught.value.faults]
    assert paths[0].startswith(f"{key}[1].per_request")
    assert paths[1:] == ([f"{key}[2]"] if key.startswith("rollout") else [])


# Experiments


def test_an_experiment_tells_who_is_worse() -> None:
    async def scenario() -> None:
        async with bench(TRIED) as here:
            await here.look()
            for _ in range(5):
                await here.tried(400, wrong=0.5)
            (finding,) = here.trials.findings
            assert finding.key == ("experiment", "errors", "challenger", "traffic")
            assert finding.version == "4"
            assert (finding.rows, finding.reference_rows) == (2000, 2000)
            assert here.trials.judged is None
            assert here.site.weights == {"champion": 50, "challenger": 50}

    asyncio.run(scenario())


def test_an_experiment_whose_split_is_broken_says_so() -> None:
    async def scenario() -> None:
        async with bench(TRIED) as here:
            await here.look()
            for unit in range(1, 3000):
                here.served.add(
                    Outcome(
                        "challenger" if unit % 5 else "champion",
                        unit,
                        failed=False,
                        time_s=here.site.now_s,
                        duration_s=1.0,
                    )
                )
            await here.look()
            (finding,) = here.trials.findings
            assert finding.key == ("experiment", "mismatch", "champion", "traffic")

    asyncio.run(scenario())


def test_without_experiment_and_rollout_nothing_is_weighed_and_what_was_unkept_is_kept() -> None:
    async def scenario() -> None:
        async with bench(PLAIN) as here:
            await here.site.promote("4")
            here.site.journal.full = True
            await here.site.roll_back()
            await here.tried(10)
            assert (here.trials.weighing, here.served.take()) == (None, [])
            assert here.site.steering.unkept == "no room"
            here.site.journal.full = False
            await here.look()
            assert here.site.steering.unkept == ""
            assert await here.trials.state() == {}

    asyncio.run(scenario())


def test_an_experiment_that_begins_at_run_time_is_fed_and_one_that_ends_is_not() -> None:
    async def scenario() -> None:
        async with bench(PLAIN) as here:
            await here.look()
            assert here.pipeline.keeps == []
            await here.site.steering.declare(TRIED)
            await here.look()
            assert len(here.pipeline.keeps) == 1
            await here.site.steering.declare(PLAIN)
            await here.look()
            assert (here.pipeline.keeps, here.trials.standings) == ([], {})

    asyncio.run(scenario())


def test_a_shadow_is_compared_and_takes_no_part_in_the_rollout() -> None:
    async def scenario() -> None:
        async with bench(replace(GUARDED, shadow=Shadow(variant="challenger", ratio=1))) as here:
            await here.look()
            for variant, shadow in (("champion", False), ("challenger", True)):
                asked = exchange({"instances": [[1.0]]}, [0.5])
                here.queue.append(asked._replace(variant=variant, shadow=shadow, unit=7, started_s=here.site.now_s))
            await here.pipeline.drain()
            await here.look()
            assert here.trials.shadowed is not None
            assert here.trials.standings["rollout"].rows == {"champion": 0, "challenger": 0}
            assert len(here.pipeline.keeps) == 2

    asyncio.run(scenario())


def test_an_original_waits_for_its_copy_as_long_as_that_may_take() -> None:
    async def scenario() -> None:
        shadow, timeouts = Shadow(variant="challenger", ratio=1), Timeouts(first_byte_s=300, idle_s=600, total_s=800)
        async with bench(replace(GUARDED, shadow=shadow, timeouts=timeouts)) as here:
            await here.look()
            for later_s in (0, 800, 900):
                asked = exchange({"instances": [[1.0]]}, [0.5])
                began_s = here.site.now_s + later_s
                here.queue.append(asked._replace(request_id=f"r{later_s}", variant="champion", started_s=began_s))
                await here.pipeline.drain()
                await here.look()
                assert here.trials.shadowed is not None
                assert here.trials.shadowed.unpaired["original"] == (later_s == 900)

    asyncio.run(scenario())


MIRRORED = replace(
    TRIED,
    variants={**EVEN, "candidate": Variant(url="http://model:3", version="5", weight=0)},
    shadow=Shadow(variant="candidate", ratio=0.5),
)


def test_a_mere_shadow_is_no_challenger() -> None:
    async def scenario() -> None:
        async with bench(MIRRORED) as here:
            await here.tried(400)
            standing = here.trials.standings["experiment"]
            assert (standing.variants, standing.cautions) == (("champion", "challenger"), ())
            assert {each.challenger for each in standing.verdicts} == {"challenger"}

    asyncio.run(scenario())


def test_a_shadow_that_gets_a_weight_is_a_challenger_and_no_row_of_others_is_lost() -> None:
    async def scenario() -> None:
        async with bench(MIRRORED) as here:
            await here.tried(400)
            await here.tried(400)
            await here.site.steering.weigh("candidate", 10, revision=None, by="ann", why="")
            await here.tried(400)
            standing = here.trials.standings["experiment"]
            assert standing.variants == ("champion", "challenger", "candidate")
            assert standing.rows["champion"] >= 400

    asyncio.run(scenario())


def test_who_has_served_is_told_of_though_it_only_shadows_by_now() -> None:
    async def scenario() -> None:
        async with bench(MIRRORED) as here:
            await here.look()
            for percent in (10, 0):
                await here.site.steering.weigh("candidate", percent, revision=None, by="ann", why="")
                await here.look()
                here.served.add(Outcome("candidate", 1 + percent, failed=False, time_s=here.site.now_s, duration_s=0.1))
                await here.look(0)
            standing = here.trials.standings["experiment"]
            assert standing.rows["candidate"] == 2
            assert standing.cautions == ("candidate: at a weight of 0 there are no requests to compare by",)

    asyncio.run(scenario())


def test_the_challenger_of_a_rollout_may_be_a_shadow_without_a_weight() -> None:
    waiting = replace(ROLLOUT, guardrails=(ERRORS,), start="manual")
    shadow = Shadow(variant="challenger", ratio=1)

    async def scenario() -> None:
        async with bench(replace(TRIED, rollout=waiting, shadow=shadow)) as here:
            await here.look()
            assert here.challenger == 0
            assert here.trials.standings["experiment"].variants == ("champion",)
            standing = here.trials.standings["rollout"]
            assert (standing.variants, standing.cautions) == (("champion", "challenger"), ())

    asyncio.run(scenario())


@pytest.mark.parametrize("shadow", [None, Shadow(variant="candidate", ratio=0.5)])
def test_a_challenger_without_a_weight_is_told_if_it_was_meant(shadow: Shadow | None) -> None:
    named = replace(TRIAL, challengers=("challenger", "candidate"))

    async def scenario() -> None:
        async with bench(replace(MIRRORED, experiment=named, shadow=shadow)) as here:
            await here.tried(400)
            standing = here.trials.standings["experiment"]
            assert standing.variants == ("champion", "challenger", "candidate")
            assert standing.cautions == ("candidate: at a weight of 0 there are no requests to compare by",)

    asyncio.run(scenario())


def test_an_experiment_of_a_champion_and_its_shadow_alone_says_so() -> None:
    variants = {"champion": EVEN["champion"], "candidate": MIRRORED.variants["candidate"]}

    async def scenario() -> None:
        async with bench(replace(MIRRORED, variants=variants)) as here:
            await here.look()
            standing = here.trials.standings["experiment"]
            assert (standing.variants, standing.verdicts) == (("champion",), ())
            assert standing.cautions == (
                "no challenger has a weight: there is nothing to compare; /v1/shadow tells of copies",
            )

    asyncio.run(scenario())


STICKY = Split(sticky=Sticky(header="x-user-id"))
LABELS = Labels("champion", "3", "POST", "/", 200, "")


@pytest.mark.parametrize(("split", "told"), [(STICKY, True), (Split(), False)])
def test_requests_without_a_user_are_told_while_users_are_to_stay(split: Split, told: bool) -> None:
    async def scenario() -> None:
        async with bench(replace(TRIED, split=split)) as here:
            here.traffic.unkeyed = 5000  # of before there was anything to weigh, as the next
            for _ in range(5000):
                here.traffic.series(LABELS).add(0.1, 0.1, 0.0, 1, 1)
            await here.look()
            assert [*here.trials.standings["experiment"].cautions] == []
            for _ in range(600):
                here.traffic.series(LABELS).add(0.1, 0.1, 0.0, 1, 1)
            here.traffic.unkeyed += 150
            await here.look()
            cautions = here.trials.standings["experiment"].cautions
            assert [each.partition(" lack")[0] for each in cautions] == (["25.0% of the requests"] if told else [])
            assert here.trials.findings == []

    asyncio.run(scenario())


def test_once_started_it_looks_by_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "LOOK_S", 0.001)

    async def scenario() -> None:
        async with bench() as here:
            here.trials.start()
            await until(lambda: here.challenger == 5)
            here.serve(400, wrong=0.5)
            await until(lambda: here.challenger == 0)

    asyncio.run(scenario())
