import asyncio
import logging
import threading
from collections import deque
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import numpy as np
import pytest

from sidecar.alerts.alerting import Alerting
from sidecar.alerts.delivery import Deliveries
from sidecar.alerts.rules import Rule
from sidecar.alerts.store import Store
from sidecar.monitors.data import Data
from sidecar.monitors.learning import Learning
from sidecar.monitors.quality import Quality
from sidecar.payload import DECODERS
from sidecar.payload.decoding import Decoding
from sidecar.payload.reading import Reader
from sidecar.pipeline import Parts, Pipeline
from sidecar.records import Event, Finding, Label
from sidecar.reference.constraints import Constraints, Monitoring
from sidecar.reference.folder import Reference, read_folder, write_folder
from sidecar.reference.profile import Profiles
from sidecar.stats.window import Window
from sidecar.trace_context import Trace, current, under
from sidecar.truth import Truth
from sidecar.watching import STATE, Watching, learning_event
from tests.monitors.rig import of, reference_of
from tests.store.oracle import Oracle
from tests.test_pipeline import Waiting, exchange
from tests.test_truth import UNEQUAL, Shared, reading

NAMES = ("feature_0", "feature_1")
NOW_S = 1e9
PATIENCE_S = 10.0


def learned(names: tuple[str, ...] = NAMES, seed: int = 0) -> Reference:
    return reference_of(of(np.random.default_rng(seed).normal(size=(2000, len(names))), *names))


REFERENCE = learned()


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("LOOK_S", "CHECK_S", "SAVE_S"):
        monkeypatch.setattr(f"sidecar.watching.{name}", 0.001)
    for name in ("KEEP_S", "READ_S", "SAVE_S", "GRACE_S"):
        monkeypatch.setattr(f"sidecar.truth.{name}", 0.001)


class Site:
    """What watches, with the real parts around it."""

    def __init__(self, store: Store, data: Data | None, folder: Path | None) -> None:
        self.events: list[Event] = []
        self.store = store
        self.now_s = NOW_S
        self.queue = Waiting()
        self._rng = np.random.default_rng(1)
        self.pipeline = Pipeline(
            self.queue,
            Parts(Reader(max_inflated_bytes=1 << 24), Decoding(DECODERS), ()),
            make_window=lambda: Window(rows=1000, panes=10, seconds=1e9, max_features=100, max_categories=10),
            now_s=lambda: self.now_s,
            wall_s=lambda: self.now_s,
        )
        self.alerting = Alerting(
            [Rule(check="sequential", hold_s=0, resolve_s=0), Rule(check="*_check", hold_s=0, resolve_s=0)],
            store=store,
            deliveries=Deliveries(store, {}, now_s=lambda: self.now_s, chance=lambda: 0.5),
            link="",
            wall_s=lambda: self.now_s,
            tell=self.tell,
        )
        self.watching = Watching(
            self.pipeline, self.alerting, data=data, folder=folder, wall_s=lambda: self.now_s, tell=self.tell
        )

    def tell(self, event: Event) -> None:
        self.events.append(event)

    async def send(self, batches: int, shift: float = 0.0, variant: str = "champion") -> None:
        """Batches of 100 rows, of which the first feature is shifted by so many standard deviations."""
        for _ in range(batches):
            self.now_s += 1.0
            rows = self._rng.normal((shift, 0.0), size=(100, 2)).tolist()
            asked = exchange({"instances": rows}, self._rng.normal(size=100).tolist())
            self.queue.append(asked._replace(variant=variant))
            await self.pipeline.drain()

    @property
    def states(self) -> list[str]:
        return [alert.state for alert in self.alerting.alerts]


@asynccontextmanager
async def site(
    reference: Reference | None = REFERENCE,
    *,
    data: Data | None = Data(),  # noqa: B008  (it never changes)
    store: Store | None = None,
    folder: Path | None = None,
    learn_rows: int | None = None,
) -> AsyncIterator[Site]:
    found = Site(store or Store(None), data, folder)
    await found.alerting.start()
    await found.watching.start(reference, learn_rows, None)
    try:
        yield found
    finally:
        await found.watching.close(1.0)
    assert not found.pipeline.failures


def rows_of(reference: Reference | None) -> int:
    return reference.profiles.rows if reference else 0


async def until(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while not condition():  # noqa: ASYNC110  (the real parts tell nobody)
            await asyncio.sleep(0.001)


def test_a_drift_becomes_an_alert_that_is_resolved_when_it_is_over() -> None:
    async def scenario() -> list[str]:
        async with site() as here:
            await here.send(20)
            await here.send(5, shift=1.0)
            await until(lambda: here.states == ["firing"])
            (alert,) = here.alerting.alerts
            assert [carrier.name for carrier in alert.finding.carriers] == ["feature_0"]
            assert alert.finding.version == "3"
            await here.send(10)
            await until(lambda: here.states == ["resolved"])
            alerts = [event for event in here.events if event.name == "sidecar.alert"]
            return [str(event.attributes["sidecar.alert.state"]) for event in alerts]

    assert asyncio.run(scenario()) == ["firing", "resolved"]


def test_without_a_reference_nothing_is_compared_and_no_alert_is_touched(tmp_path: Path) -> None:
    """What nobody can see is not over."""

    async def scenario() -> None:
        async with site(store=Store(tmp_path)) as here:
            await here.send(5, shift=2.0)
            await until(lambda: here.states == ["firing"])
        async with site(None, store=Store(tmp_path)) as here:
            await here.send(5)
            assert (here.watching.following, await here.watching.violations()) == (None, {})
        assert here.states == ["firing"]

    asyncio.run(scenario())


def test_without_a_monitor_a_reference_is_only_known() -> None:
    async def scenario() -> None:
        async with site(data=None) as here:
            await here.send(5, shift=2.0)
            assert (here.watching.watches, here.watching.following) == (False, None)
            assert here.watching.reference == REFERENCE
            assert here.pipeline.watches == []

    asyncio.run(scenario())


# Learning


def test_a_reference_is_learned_kept_and_compared_with(tmp_path: Path) -> None:
    folder = tmp_path / "reference"

    async def scenario() -> None:
        async with site(None, learn_rows=1000, folder=folder) as here:
            assert here.watching.learning is not None
            await here.send(9)
            assert here.watching.learning.learner.rows == 900
            await here.send(1)
            await until(lambda: here.watching.following)
            await until((folder / "constraints.json").exists)
            await here.send(5, shift=2.0)
            await until(lambda: here.states == ["firing"])
        assert here.watching.learning is None

    asyncio.run(scenario())

    kept = read_folder(folder, "")
    assert kept is not None
    assert kept.profiles.rows == 1000
    assert [profile.name for profile in kept.profiles.features] == [*NAMES, "prediction"]


def test_who_asks_for_a_reference_and_when_it_is_in_force_are_told(caplog: pytest.LogCaptureFixture) -> None:
    trace = Trace("0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331", 1)
    under_which: list[Trace | None] = []

    async def scenario() -> list[Event]:
        async with site() as here:
            tell = here.watching._tell

            def traced(event: Event) -> None:
                under_which.append(current())
                tell(event)

            here.watching._tell = traced
            with under(trace):
                here.watching.learn(300, 60.0, "champion")
            await here.send(3)
            await until(lambda: here.watching.learning is None)
            return [event for event in here.events if event.name == "sidecar.reference"]

    with caplog.at_level(logging.INFO, "sidecar.watching"):
        events = asyncio.run(scenario())
    assert [event.body for event in events] == [
        "a reference is in force: of 2000 rows",
        "a reference is learned: of 300 rows or 60 s",
        "a reference is in force: of 300 rows",
    ]
    assert [dict(event.attributes) for event in events[1:]] == [
        {
            "sidecar.reference.state": "learning",
            "sidecar.reference.rows": 300,
            "sidecar.reference.learn_s": 60.0,
            "feature_flag.result.variant": "champion",
        },
        {
            "sidecar.reference.state": "in_force",
            "sidecar.reference.rows": 300,
            "sidecar.reference.features": 3,
        },
    ]
    assert under_which[0] == trace
    said = [record.getMessage() for record in caplog.records if hasattr(record, "event_name")]
    assert said == [event.body for event in events]


@pytest.mark.parametrize(("rows", "seconds", "words"), [(5, None, "5 rows"), (None, 0.5, "0.5 s")])
def test_how_much_is_learned_is_told_as_it_was_asked(rows: int | None, seconds: float | None, words: str) -> None:
    event = learning_event(rows, seconds, None, 1.5)
    assert (event.time_s, event.body) == (1.5, f"a reference is learned: of {words}")
    assert len(event.attributes) == 2


def test_what_has_been_learned_when_it_ends_is_not_lost(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with site(None, learn_rows=500, folder=tmp_path) as here:
            await here.send(5)

    asyncio.run(scenario())

    assert read_folder(tmp_path, "") is not None


def test_who_stops_while_a_reference_is_taken_up_does_not_lose_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Closing cancels what is under way, and does it again."""
    begun = threading.Event()
    profiles = Learning.profiles

    def noticed(learning: Learning) -> Profiles:
        begun.set()
        return profiles(learning)

    monkeypatch.setattr(Learning, "profiles", noticed)

    async def scenario() -> None:
        async with site(None, learn_rows=500, folder=tmp_path) as here:
            await here.send(5)
            await until(begun.is_set)

    asyncio.run(scenario())

    assert read_folder(tmp_path, "") is not None


def test_a_reference_that_cannot_be_kept_is_in_force(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "file").touch()

    async def scenario() -> None:
        async with site(None, learn_rows=500, folder=tmp_path / "file") as here:
            await here.send(5)
            await until(lambda: here.watching.following)

    asyncio.run(scenario())

    (error,) = [record.getMessage() for record in caplog.records if record.levelno >= logging.ERROR]
    assert error.startswith("the learned reference is in force, but cannot be kept: ")


def test_how_strict_checks_are_holds_on_when_a_reference_is_learned_anew() -> None:
    strict = Monitoring(comparison_threshold=0.7)
    mild = Reference(REFERENCE.profiles, Constraints([], strict))

    async def scenario() -> None:
        async with site(mild) as here:
            await here.send(2)
            here.watching.learn(500, None)
            assert len(here.pipeline.watches) == 2
            await here.send(5, shift=3.0)
            await until(lambda: here.watching.reference is not mild)
            assert here.watching.reference is not None
            assert here.watching.reference.constraints.monitoring == strict
            await here.send(10, shift=3.0)
            assert here.watching.following is not None
            await until(lambda: len(here.pipeline.watches) == 1)
            assert here.watching.following.findings == []

    asyncio.run(scenario())


def test_another_reference_may_be_asked_for_while_one_is_taken_up(monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario() -> None:
        async with site() as here:
            loop, profiles = asyncio.get_running_loop(), Learning.profiles

            def interrupted(learning: Learning) -> Profiles:
                monkeypatch.undo()
                asyncio.run_coroutine_threadsafe(asked(), loop).result()
                return profiles(learning)

            async def asked() -> None:
                here.watching.learn(700, None)

            monkeypatch.setattr(Learning, "profiles", interrupted)
            here.watching.learn(200, None)
            await here.send(2)
            await until(lambda: here.watching.reference is not REFERENCE)
            assert here.watching.learning is not None
            await here.send(7)
            await until(lambda: here.watching.learning is None)
            await until(lambda: rows_of(here.watching.reference) == 700)

    asyncio.run(scenario())


# Evidence


def test_evidence_survives_a_restart(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with site(store=Store(tmp_path)) as here:
            await here.send(5, shift=1.0)
            await until(lambda: here.states == ["firing"])
            (before,) = here.alerting.alerts
        async with site(store=Store(tmp_path)) as here:
            assert here.watching.following is not None
            assert here.watching.following.variants["champion"].rows == 500
            await here.send(1, shift=1.0)
            (after,) = here.alerting.alerts
            assert (after.id, after.state) == (before.id, "firing")
            await here.send(10)
            await until(lambda: here.states == ["resolved"])

    asyncio.run(scenario())


def test_evidence_of_another_reference_is_left(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)

    async def scenario() -> None:
        async with site(store=Store(tmp_path)) as here:
            await here.send(5, shift=1.0)
        async with site(learned(seed=9), store=Store(tmp_path)) as here:
            assert here.watching.following is not None
            assert here.watching.following.variants == {}

    asyncio.run(scenario())

    assert "the evidence so far is of another reference or of other settings, and is left" in caplog.messages


def test_evidence_that_was_damaged_is_left(tmp_path: Path) -> None:
    async def scenario() -> None:
        store = Store(tmp_path)
        store.save(STATE, b"no such thing")
        async with site(store=store) as here:
            assert here.watching.following is not None
            assert here.watching.following.variants == {}

    asyncio.run(scenario())


def test_other_constraints_go_on_with_the_evidence() -> None:
    async def scenario() -> None:
        async with site() as here:
            await here.send(5, shift=1.0)
            await until(lambda: here.states == ["firing"])
            await here.watching.adopt(Reference(REFERENCE.profiles, Constraints([], Monitoring(evaluates=False))))
            assert here.watching.following is not None
            assert here.watching.following.variants["champion"].rows == 500
            await here.send(1, shift=1.0)
            assert here.states == ["firing"]

    asyncio.run(scenario())


def test_another_reference_begins_anew() -> None:
    async def scenario() -> None:
        async with site() as here:
            await here.send(5, shift=1.0)
            await until(lambda: here.states == ["firing"])
            await here.watching.adopt(learned(seed=9))
            await until(lambda: here.states == ["resolved"])

    asyncio.run(scenario())


def test_of_two_references_at_once_the_last_is_compared_with() -> None:
    first, last = learned(("feature_1",)), learned(("feature_0",))

    async def scenario() -> None:
        async with site() as here:
            await asyncio.gather(here.watching.adopt(first), here.watching.adopt(last))
            assert here.watching.reference == last
            await here.send(1)
            assert here.watching.following is not None
            assert [column.name for column in here.watching.following.columns("champion")] == ["feature_0"]

    asyncio.run(scenario())


def test_evidence_is_saved_even_where_the_last_look_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("sidecar.watching.LOOK_S", 1e9)
    monkeypatch.setattr("sidecar.watching.SAVE_S", 1e9)

    class Deaf(Site):
        def tell(self, event: Event) -> None:
            if event.name == "sidecar.alert":
                raise RuntimeError(event.name)

    async def scenario() -> None:
        here = Deaf(Store(tmp_path), Data(), None)
        await here.alerting.start()
        await here.watching.start(REFERENCE, None, None)
        await here.send(5, shift=2.0)
        await here.watching.close(1.0)
        assert here.pipeline.failures == {"internal": 1}

    asyncio.run(scenario())
    store = Store(tmp_path)
    saved = store.read(STATE)
    store.close()

    assert saved is not None
    assert Data().follow(REFERENCE).restore(saved)
    assert "a fault behind the request path" in caplog.text


# Constraints


def test_what_breaks_the_constraints_is_told_once_and_alarms_until_it_is_over() -> None:
    strict = learned((*NAMES, "prediction", "gone"))

    async def scenario() -> tuple[list[str], list[str]]:
        async with site(strict) as here:
            await here.send(3)
            await until(lambda: [alert.finding.rows for alert in here.alerting.alerts] == [300])
            (alert,) = here.alerting.alerts
            assert (alert.state, alert.finding.version) == ("firing", "3")
            assert alert.finding.key.check == "missing_column_check"
            assert [(each.feature, each.rows) for each in here.watching.broken["champion"]] == [("gone", 300)]
            await here.watching.adopt(REFERENCE)
            await until(lambda: here.states == ["resolved"])
            await here.watching.adopt(strict)
            await until(lambda: here.states.count("firing"))
            names = [event.name for event in here.events]
            return names, [str(each.body) for each in here.events if each.name == "sidecar.violation"]

    names, bodies = asyncio.run(scenario())
    assert names.count("sidecar.violation") == 2
    assert bodies == ["champion: gone breaks missing_column_check: no row has the column"] * 2


def test_every_variant_is_checked() -> None:
    strict = learned((*NAMES, "gone"))

    async def scenario() -> None:
        async with site(strict) as here:
            await here.send(1)
            await here.send(1, variant="canary")
            broken = await here.watching.violations()
            assert {variant: [each.feature for each in found] for variant, found in broken.items()} == {
                "canary": ["gone"],
                "champion": ["gone"],
            }

    asyncio.run(scenario())


def test_violations_are_written_where_that_is_asked_for(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    data = Data(violations=str(tmp_path / "violations"))

    async def scenario() -> None:
        async with site(learned((*NAMES, "gone")), data=data) as here:
            await here.send(1)
            await until(lambda: list(tmp_path.rglob("constraint_violations.json")))

    asyncio.run(scenario())

    assert not [record for record in caplog.records if record.name == "sidecar.watching"]


def test_a_disk_that_takes_no_violations_is_told_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "file").touch()
    looks = deque[int](maxlen=1)

    async def scenario() -> None:
        async with site(learned((*NAMES, "gone")), data=Data(violations=str(tmp_path / "file"))) as here:
            await here.send(1)
            await until(lambda: caplog.records)
            before = here.watching.broken
            await until(lambda: here.watching.broken is not before)
            after = here.watching.broken
            await until(lambda: here.watching.broken is not after)
            looks.append(1)

    asyncio.run(scenario())

    assert looks
    told = [record.getMessage() for record in caplog.records if record.name == "sidecar.watching"]
    assert [each.partition(":")[0] for each in told] == ["violations cannot be written"]


def test_a_folder_and_what_was_learned_from_it_are_the_same(tmp_path: Path) -> None:
    """Else every reload would begin to compare anew."""

    async def scenario() -> Reference | None:
        async with site(None, learn_rows=300, folder=tmp_path) as here:
            await here.send(3)
            await until(lambda: here.watching.following)
        return here.watching.reference

    reference = asyncio.run(scenario())
    kept = read_folder(tmp_path, "")

    assert kept is not None
    assert reference is not None
    assert (kept.profiles, kept.constraints) == (reference.profiles, reference.constraints)
    write_folder(tmp_path, kept)
    assert read_folder(tmp_path, "") == kept


def test_a_sample_of_other_columns_is_told(caplog: pytest.LogCaptureFixture) -> None:
    odd = Reference(REFERENCE.profiles, REFERENCE.constraints, of(np.zeros((300, 1)), "elsewhere"))

    async def test() -> None:
        async with site(odd) as found:
            await found.send(3)

    asyncio.run(test())
    assert "the sample has none of the reference's columns: their dependence is not watched" in caplog.messages


# Labels


@asynccontextmanager
async def labelled_site(
    store: Store, labels: Shared, data: Data | None = None, quality: Quality | None = None
) -> AsyncIterator[Site]:
    """With a monitor of bias, by ages above 40; and of the data, or of quality."""
    found = Site(store, data, None)
    found.watching.truth = Truth(
        found.pipeline,
        labels,
        grading=quality.grade(reading) if quality else None,
        comparing=UNEQUAL.compare(reading),
        groups=(),
        wall_s=lambda: found.now_s,
    )
    await found.alerting.start()
    await found.watching.start(AGES if data else None, None, None)
    try:
        yield found
    finally:
        await found.watching.close(1.0)
    assert not found.pipeline.failures


AGES = reference_of(of(np.random.default_rng(2).uniform(20, 60, size=2000), "age"))


async def ask(here: Site, name: str, ages: Sequence[float], answers: Sequence[int], truths: Sequence[int]) -> None:
    """An exchange and its labels."""
    assert here.watching.truth is not None
    asked = exchange({"instances": [{"age": age} for age in ages]}, list(answers))
    here.queue.append(asked._replace(request_id=name, started_s=here.now_s))
    await here.pipeline.drain()
    await here.watching.truth.add([Label(name, tuple(truths))])


async def turn_down_the_old(here: Site) -> None:
    ages = np.random.default_rng(3).uniform(20, 60, size=400)
    accepted = (ages < 40).astype(int).tolist()
    await ask(here, "unfair", ages.tolist(), accepted, accepted)
    await until(lambda: here.states == ["firing"])


def test_what_labels_say_becomes_an_alert_that_goes_on_over_a_restart(tmp_path: Path) -> None:
    """Also while the store cannot tell what was found before."""
    labels = Oracle()

    async def scenario() -> None:
        async with labelled_site(Store(tmp_path), Shared(labels)) as here:
            await turn_down_the_old(here)
            (before,) = here.alerting.alerts
            assert before.finding.key == ("bias", "bias_drift_check", "champion", "groups")
        away = Shared(labels)
        away.break_down()
        async with labelled_site(Store(tmp_path), away) as here:
            await until(lambda: away.calls.count("read") > 2)
            looks = Looks(here)
            await looks.more(3)
            assert here.states == ["firing"]
            away.broken = {}
            assert here.watching.truth is not None
            await until(lambda: here.watching.truth and here.watching.truth.leading)
            await looks.more(3)
            (after,) = here.alerting.alerts
            assert (after.id, after.state) == (before.id, "firing")

    asyncio.run(scenario())


class Looks:
    """How often alerts were judged."""

    def __init__(self, here: Site) -> None:
        self._here = here
        self._judge = here.alerting.judge
        self._count = 0
        here.alerting.judge = self._judged  # type: ignore[method-assign]  # counted on the way

    async def _judged(self, findings: Sequence[Finding]) -> None:
        await self._judge(findings)
        self._count += 1

    async def more(self, looks: int) -> None:
        wanted = self._count + looks
        await until(lambda: self._count >= wanted)


def test_who_does_not_lead_has_no_alerts_of_labels(tmp_path: Path) -> None:
    async def scenario() -> None:
        labels = Shared(Oracle())
        async with labelled_site(Store(tmp_path), labels) as here:
            await turn_down_the_old(here)
            labels.leader = False
            await until(lambda: here.states == ["resolved"])
            labels.leader = True
            await until(lambda: sorted(here.states) == ["firing", "resolved"])

    asyncio.run(scenario())


def test_alerts_of_labels_of_a_variant_that_is_gone_are_over() -> None:
    async def scenario() -> None:
        async with labelled_site(Store(None), Shared(Oracle())) as here:
            await turn_down_the_old(here)
            await here.watching.retain({"other"})
            await until(lambda: here.states == ["resolved"])

    asyncio.run(scenario())


def test_what_fires_of_labels_is_untouched_by_what_the_data_monitor_cannot_know() -> None:
    """And the other way round: each monitor's alerts are its own."""

    async def scenario() -> None:
        async with labelled_site(Store(None), Shared(Oracle()), Data()) as here:
            await turn_down_the_old(here)
            await ask(here, "older", [58.0] * 200, [0] * 200, [0] * 200)
            await until(lambda: len(here.states) == 2)
            found = {alert.finding.key.monitor: alert.finding for alert in here.alerting.alerts}
            assert set(found) == {"data", "bias"}
            assert found["bias"].cause == ""
            assert found["data"].cause == "inputs"
            assert found["data"].reason == (
                "inputs moved: age; without labels nobody can tell whether the relation has moved too"
            )

    asyncio.run(scenario())


def test_with_a_monitor_of_quality_labels_tell_whether_the_relation_has_moved() -> None:
    async def scenario() -> None:
        async with labelled_site(Store(None), Shared(Oracle()), Data(), Quality(reference_rows=200)) as here:
            rng = np.random.default_rng(4)
            for number, (low, high) in enumerate([(20, 60)] * 5 + [(20, 39)] * 3):
                ages = rng.uniform(low, high, size=200)
                answers = (ages < 40).astype(int)
                truths = np.where(rng.random(200) < 0.1, 1 - answers, answers)
                await ask(here, f"r{number}", ages.tolist(), answers.tolist(), truths.tolist())
            expected = "inputs moved: age; given these, the labels of 1,400 rows are as expected"
            await until(lambda: expected in {alert.finding.reason for alert in here.alerting.alerts})

    asyncio.run(scenario())
