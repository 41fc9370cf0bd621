import asyncio
import logging
import threading
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from sidecar import truth
from sidecar.errors import DeliveryError
from sidecar.monitors.bias import Bias, Comparing
from sidecar.monitors.compared import Compared
from sidecar.monitors.groups import FacetOf
from sidecar.monitors.quality import Grading, Quality
from sidecar.payload import DECODERS
from sidecar.payload.decoding import Decoding
from sidecar.payload.reading import Reader
from sidecar.pipeline import Parts, Pipeline
from sidecar.ports import Store
from sidecar.quality.bias import Facet, post_training, pre_training
from sidecar.quality.reading import Reading
from sidecar.records import Finding, Joined, Label, LabelCounts, Labelled, LabelStatus, Prediction
from sidecar.stats.window import Window
from sidecar.store.sqlite import Sqlite
from sidecar.truth import STATE, Truth
from tests.store.oracle import Oracle
from tests.test_pipeline import Seen, Waiting, exchange

NOW_S = 1e9
PATIENCE_S = 30.0
HEADER = "x-member"
OF_AGE = FacetOf(feature="age", above=40.0)
MEMBERS = FacetOf(header=HEADER, values=("yes",))
UNEQUAL = Bias(facets=(OF_AGE, MEMBERS), allowed={"DPPL": (-0.1, 0.1)}, least_rows=20)


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("KEEP_S", "READ_S", "SAVE_S", "GRACE_S"):
        monkeypatch.setattr(truth, name, 0.001)


class Shared:
    """A store as one of those sees it that share it, each in a thread of its own; and what may happen to that.

    Attributes:
        broken: Calls of these names raise this.
        gate: Calls wait while it is shut.
        leader: What `leads` says.
        calls: Their names.
    """

    _one_at_a_time = threading.Lock()

    def __init__(self, inner: Store) -> None:
        self.inner = inner
        self.broken: dict[str, Callable[[], Exception]] = {}
        self.gate = threading.Event()
        self.gate.set()
        self.leader = True
        self.calls: list[str] = []

    def break_down(self, *names: str) -> None:
        every = ("keep", "add", "joined", "tidy", "save", "read", "leads", "counts", "close")
        self.broken = dict.fromkeys(names or every, lambda: DeliveryError("the store is away"))

    def _called(self, name: str) -> None:
        self.calls.append(name)
        assert self.gate.wait(PATIENCE_S)
        if name in self.broken:
            raise self.broken[name]()

    def keep(self, predictions: Sequence[Prediction], now_s: float) -> None:
        self._called("keep")
        with self._one_at_a_time:
            self.inner.keep(predictions, now_s)

    def add(self, labels: Sequence[Label], now_s: float) -> list[LabelStatus]:
        self._called("add")
        with self._one_at_a_time:
            return self.inner.add(labels, now_s)

    def joined(self, after: int, limit: int) -> list[Joined]:
        self._called("joined")
        with self._one_at_a_time:
            return self.inner.joined(after, limit)

    def tidy(self, now_s: float) -> None:
        self._called("tidy")
        with self._one_at_a_time:
            self.inner.tidy(now_s)

    def save(self, name: str, data: bytes, upto: int) -> None:
        self._called("save")
        with self._one_at_a_time:
            self.inner.save(name, data, upto)

    def read(self, name: str) -> tuple[bytes, int] | None:
        self._called("read")
        with self._one_at_a_time:
            return self.inner.read(name)

    def leads(self, now_s: float) -> bool:
        self._called("leads")
        return self.leader and now_s > 0

    @property
    def counts(self) -> LabelCounts:
        self._called("counts")
        with self._one_at_a_time:
            return self.inner.counts

    def close(self) -> None:
        self._called("close")


class Site:
    """What joins labels, with the real parts around it.

    Args:
        store: Of predictions.
        bias: What to compare.
        quality: Whether to grade as well.
        reading: Reads rows.
    """

    def __init__(
        self, store: Store, bias: Bias | None, *, quality: Quality | None, reading: Callable[[], Reading]
    ) -> None:
        self.now_s = NOW_S
        self._waiting = Waiting()
        self.pipeline = Pipeline(
            self._waiting,
            Parts(Reader(max_inflated_bytes=1 << 24, headers=(HEADER,)), Decoding(DECODERS), ()),
            make_window=lambda: Window(rows=1000, panes=10, seconds=1e9, max_features=100, max_categories=10),
            now_s=lambda: self.now_s,
            wall_s=lambda: self.now_s,
        )
        self.truth = Truth(
            self.pipeline,
            store,
            grading=quality.grade(reading) if quality else None,
            comparing=bias.compare(reading) if bias else None,
            groups=bias.headers if bias else (),
            wall_s=lambda: self.now_s,
        )

    async def send(
        self,
        name: str,
        ages: Sequence[float] = (30.0,),
        answers: Sequence[float] | None = None,
        *,
        member: str = "",
        status: int = 200,
        sample_ratio: float = 1.0,
    ) -> None:
        """An exchange of this request id: ages, and what the model answers; by default 1 to all."""
        told = [1] * len(ages) if answers is None else list(answers)
        lines = f"{HEADER}: {member}\r\n".encode() if member else b""
        asked = exchange({"instances": [{"age": age} for age in ages]}, told, status=status, lines=lines)
        self._waiting.append(asked._replace(request_id=name, started_s=self.now_s, sample_ratio=sample_ratio))
        await self.pipeline.drain()

    async def label(self, name: str, *values: float | str, metric: str = "", **groups: str) -> LabelStatus:
        (status,) = await self.truth.add([Label(name, values or (1,), metric, groups)])
        return status

    @property
    def rows(self) -> int:
        """Labelled rows that the monitor of bias has taken."""
        assert self.truth.comparing is not None
        return sum(each.labelled for _, each in self.truth.comparing.versions)

    async def counts(self, rows: int) -> None:
        await until(lambda: self.rows == rows)

    async def has_looked(self) -> None:
        """Whatever was joined by now has been read."""
        store = self.truth.store
        assert isinstance(store, Shared)
        looks = store.calls.count("tidy")
        await until(lambda: store.calls.count("tidy") > looks + 1)


def reading() -> Reading:
    return Reading(task="binary")


@asynccontextmanager
async def site(
    store: Store,
    bias: Bias | None = UNEQUAL,
    *,
    quality: Quality | None = None,
    failures: Mapping[str, int] | None = None,
) -> AsyncIterator[Site]:
    """Args: failures: Of the pipeline, at the end."""
    found = Site(store, bias, quality=quality, reading=reading)
    await found.truth.start()
    try:
        yield found
    finally:
        await found.truth.close()
    assert found.pipeline.failures == (failures or {})


async def until(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while not condition():  # noqa: ASYNC110  (the real parts tell nobody)
            await asyncio.sleep(0.001)


def has_kept(store: Store, predictions: int) -> bool:
    return store.counts.predictions == predictions


def same(found: Mapping[str, float], expected: Mapping[str, float]) -> None:
    assert found.keys() == expected.keys()
    np.testing.assert_allclose(list(found.values()), list(expected.values()), rtol=1e-9, atol=1e-12)


def messages(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.name in {"sidecar.truth", "sidecar.store.apart"}]


def compared(here: Site) -> Compared:
    assert here.truth.comparing is not None
    (found,) = [each for _, each in here.truth.comparing.versions]
    return found


# Predictions


def test_predictions_reach_the_store_in_batches() -> None:
    store = Shared(Oracle())

    async def scenario() -> None:
        async with site(store) as here:
            store.gate.clear()
            for number in range(300):
                await here.send(f"r{number}")
            store.calls.clear()
            store.gate.set()
            await until(lambda: store.inner.counts.predictions == 300)

    asyncio.run(scenario())

    assert store.calls.count("keep") <= 3


def test_a_prediction_is_kept_with_its_rows_its_weight_and_its_groups() -> None:
    store = Shared(Oracle())

    async def scenario() -> None:
        async with site(store) as here:
            await here.send("r", [30.0, 50.0], [0, 1], member="yes", sample_ratio=0.1)
            await here.send("no", member="no")
            await here.send("unsaid")

    asyncio.run(scenario())

    store.inner.add([Label("r", (1, 0)), Label("no", (1,)), Label("unsaid", (1,))], NOW_S)
    first, second, third = (pair.prediction for pair in store.inner.joined(0, 10))
    assert first.ids[1:] == ("r",)
    assert (first.variant, first.version, first.time_s) == ("champion", "3", NOW_S)
    assert first.weight == pytest.approx(10)
    assert (first.features, first.asked) == (("age",), [[30.0], [50.0]])
    assert (first.predictions, first.answered) == (("prediction",), [[0], [1]])
    assert [each.groups for each in (first, second, third)] == [{HEADER: "yes"}, {HEADER: "no"}, {}]


def test_what_has_no_answer_or_an_error_is_not_kept() -> None:
    store = Shared(Oracle())

    async def scenario() -> None:
        async with site(store, failures={"rows": 1, "status": 2}) as here:
            await here.send("error", status=500)
            await here.send("refused", status=422)
            await here.send("fewer", [1.0, 2.0], [1])
            await here.send("r")

    asyncio.run(scenario())

    assert store.inner.counts.predictions == 1


def test_what_does_not_fit_into_the_queue_is_dropped_and_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(truth, "WAITING_BYTES", 10_000)
    store = Shared(Oracle())

    async def scenario() -> tuple[int, int]:
        async with site(store) as here:
            store.gate.clear()
            for number in range(20):
                await here.send(f"r{number}")
            store.gate.set()
            await until(lambda: store.inner.counts.predictions + here.truth.dropped == 20)
            dropped = here.truth.dropped
            await here.send("later")
            await until(lambda: store.inner.counts.predictions == 21 - dropped)
            return dropped, here.pipeline.rows["champion"]

    dropped, rows = asyncio.run(scenario())

    assert 10 < dropped < 20
    assert rows == 21


def test_a_store_that_fails_gets_its_predictions_later_and_refuses_labels(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    store = Shared(Oracle())

    async def scenario() -> None:
        async with site(store) as here:
            await here.send("before")
            await until(lambda: store.inner.counts.predictions == 1)
            assert await here.label("before") == "joined"
            store.break_down()
            await here.send("meanwhile")
            with pytest.raises(DeliveryError, match="the store is away"):
                await here.label("meanwhile")
            await until(lambda: len(messages(caplog)) >= 2)
            tries = store.calls.count("keep")
            await until(lambda: store.calls.count("keep") > tries + 2)
            assert here.pipeline.rows["champion"] == 2
            store.broken = {}
            await until(lambda: store.inner.counts.predictions == 2)
            assert await here.label("meanwhile") == "joined"
            await here.counts(2)
            await until(lambda: messages(caplog)[-1] == "the store of labels works again")

    asyncio.run(scenario())

    told = messages(caplog)
    assert set(told[:-1]) <= {
        f"{what}: the store is away"
        for what in (
            "predictions cannot be kept",
            "labels cannot be read",
            "the store cannot be tidied",
            "what labels say cannot be saved",
        )
    }
    assert len(told) == len(set(told))


def test_while_a_store_blocks_rows_are_counted_and_judged_and_posts_are_bounded() -> None:
    store = Shared(Oracle())
    watch = Seen()

    async def scenario() -> list[str]:
        async with site(store) as here:
            here.pipeline.watches = [watch]
            store.gate.clear()
            posts = [asyncio.ensure_future(here.label(f"r{number}")) for number in range(truth.ADDING + 3)]
            for number in range(50):
                await here.send(f"r{number}")
            assert here.pipeline.rows["champion"] == 50
            assert watch.judged[-1][0] == 50
            refused = [str(post.exception()) for post in posts if post.done()]
            waiting = [post for post in posts if not post.done()]
            store.gate.set()
            assert len(await asyncio.gather(*waiting)) == truth.ADDING
            await here.counts(truth.ADDING)
            return refused

    assert asyncio.run(scenario()) == [f"{truth.ADDING} others wait for the store already"] * 3


def test_predictions_that_nobody_can_write_hold_back_no_others() -> None:
    store = Shared(Oracle())
    store.broken = {"keep": ZeroDivisionError}

    async def scenario() -> None:
        async with site(store, failures={"internal": 1}) as here:
            await here.send("bad")
            await until(lambda: here.truth.dropped == 1)
            store.broken = {}
            await here.send("good")
            await until(lambda: store.inner.counts.predictions == 1)

    asyncio.run(scenario())


# Labels


def test_every_row_of_an_exchange_has_its_label() -> None:
    ages, labels, answers = [30.0, 50.0, 60.0], [1, 0, 1], [1, 1, 0]

    async def scenario() -> Mapping[str, float]:
        async with site(Shared(Oracle())) as here:
            await here.send("r", ages, answers, sample_ratio=0.5)
            await until(lambda: here.truth.store.counts.predictions)
            assert await here.label("r", 1, 0) == "malformed"
            assert await here.label("r", *labels) == "joined"
            await here.counts(3)
            await until(lambda: compared(here).groups)
            return compared(here).groups[0].lifetime

    expected = Facet(np.array(ages) > 40, np.array(labels) == 1, np.array(answers) == 1, np.full(3, 2.0))
    same(asyncio.run(scenario()), {**pre_training(expected), **post_training(expected)})


def test_a_label_may_come_first_and_twice() -> None:
    async def scenario() -> None:
        async with site(Shared(Oracle())) as here:
            assert await here.label("r") == "waiting"
            await here.send("r")
            await here.counts(1)
            assert await here.label("r", 0) == "duplicate"
            await here.has_looked()
            assert here.rows == 1

    asyncio.run(scenario())


def test_groups_come_with_requests_and_with_labels() -> None:
    bias = Bias(facets=(MEMBERS, FacetOf(group="senior", values=("true",)), OF_AGE))

    async def scenario() -> list[tuple[int, int]]:
        async with site(Shared(Oracle()), bias) as here:
            for number, (age, member, senior) in enumerate(
                [(30.0, "yes", "true"), (50.0, "no", ""), (60.0, "", "false"), (20.0, "", "true")]
            ):
                await here.send(f"r{number}", [age], member=member)
                await here.label(f"r{number}", 1, **({"senior": senior} if senior else {}))
            await here.counts(4)
            here.now_s += 100
            await until(lambda: sum(compared(here).groups[-1].rows if compared(here).groups else ()) == 4)
            return [group.rows for group in compared(here).groups]

    assert asyncio.run(scenario()) == [(1, 1), (2, 1), (2, 2)]


def test_outcomes_are_measured_apart_from_labels_and_survive_a_restart(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with site(Sqlite(str(tmp_path))) as here:
            await here.send("r")
            await here.send("s", sample_ratio=0.25)
            assert await here.label("r", 12.5, metric="amount") in {"joined", "waiting"}
            assert await here.label("s", 2.5, metric="amount") in {"joined", "waiting"}
            await until(lambda: here.truth.outcomes.by and here.truth.outcomes.by[key].values == 2)
            assert here.rows == 0
            await here.label("r", 1)
            await here.counts(1)
            assert set(here.truth.outcomes.by) == {key}
        async with site(Sqlite(str(tmp_path))) as here:
            assert here.truth.outcomes.by[key].values == 2
            assert here.truth.outcomes.by[key].mean == pytest.approx((12.5 + 4 * 2.5) / 5)

    key = ("champion", "3", "amount")
    asyncio.run(scenario())


def test_both_monitors_take_the_same_rows() -> None:
    async def scenario() -> None:
        async with site(Shared(Oracle()), quality=Quality()) as here:
            await here.send("r", [1.0, 2.0], [1, 0])
            await here.label("r", 1, 1)
            await here.counts(2)
            assert here.truth.grading is not None
            (graded,) = [each for _, each in here.truth.grading.versions]
            assert graded.scored.labelled == 2

    asyncio.run(scenario())


def test_a_monitor_that_fails_disturbs_no_other_and_gets_nothing_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(_: Grading, __: Labelled) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(Grading, "take", broken)

    async def scenario() -> None:
        async with site(Shared(Oracle()), quality=Quality(), failures={"internal": 1}) as here:
            await here.send("r")
            await here.label("r")
            await here.has_looked()
            await here.has_looked()
            assert here.rows == 1

    asyncio.run(scenario())


def test_a_pair_of_another_number_of_labels_than_rows_is_left_out() -> None:
    """No store joins them."""
    oracle = Oracle()
    store = Shared(oracle)

    async def scenario() -> None:
        async with site(store) as here:
            await here.send("odd", [1.0, 2.0])
            await here.send("even")
            await until(lambda: store.inner.counts.predictions == 2)
            await here.label("odd", 1, 1)
            await here.label("even")
            await here.counts(1)

    def joined(after: int, limit: int) -> list[Joined]:
        pairs = Oracle.joined(oracle, after, limit)
        return [each._replace(label=replace(each.label, values=(1,))) for each in pairs]

    oracle.joined = joined  # type: ignore[method-assign]  # a store with a fault
    asyncio.run(scenario())


def test_exchanges_with_thousands_of_rows_are_read_few_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(truth, "BATCH_CELLS", 100)
    limits: list[int] = []
    store = Shared(Oracle())

    async def scenario() -> None:
        async with site(store) as here:
            store.break_down("joined")
            for number in range(80):
                await here.send(f"r{number}", [1.0] * 25)
                await here.label(f"r{number}", *[1] * 25)
            await until(lambda: store.inner.counts.labels["joined"] == 80)
            limits.clear()
            store.broken = {}
            await here.counts(80 * 25)

    real = Shared.joined

    def joined(self: Shared, after: int, limit: int) -> list[Joined]:
        limits.append(limit)
        return real(self, after, limit)

    monkeypatch.setattr(Shared, "joined", joined)
    asyncio.run(scenario())

    assert limits[0] <= truth.BATCH // 8  # fewer and fewer, while the store was away
    assert set(limits[1:9]) == {1}


def test_pairs_that_are_too_many_to_come_in_time_are_asked_for_in_smaller_numbers() -> None:
    store = Shared(Oracle())
    real = store.inner.joined

    def joined(after: int, limit: int) -> list[Joined]:
        if limit > 4:
            raise DeliveryError("no answer in time")
        return real(after, limit)

    async def scenario() -> None:
        async with site(store) as here:
            for number in range(30):
                await here.send(f"r{number}")
                await here.label(f"r{number}", 1)
            await here.counts(30)

    store.inner.joined = joined  # type: ignore[method-assign]  # a slow one
    asyncio.run(scenario())


# Restarts


def killed(store: Shared) -> None:
    """As the store sees it: nothing more comes."""
    store.break_down()


def test_what_came_since_it_was_saved_is_read_again_once(tmp_path: Path) -> None:
    """Killed between saving and reading."""
    inner = Sqlite(str(tmp_path))

    async def scenario() -> None:
        store = Shared(inner)
        async with site(store) as here:
            for number in range(3):
                await here.send(f"r{number}")
                await here.label(f"r{number}")
            await here.counts(3)
            saves = store.calls.count("save")
            await until(lambda: store.calls.count("save") >= saves + 2)
            store.break_down("save")
            for number in range(3, 8):
                await here.send(f"r{number}")
                await here.label(f"r{number}")
            await here.counts(8)
            killed(store)
        saved = inner.read(STATE)
        assert saved is not None
        assert saved[1] == 3
        async with site(Shared(inner)) as here:
            await here.counts(8)
            await here.has_looked()
            assert here.rows == 8
        async with site(Shared(inner)) as here:
            await here.has_looked()
            assert here.rows == 8

    asyncio.run(scenario())
    inner.close()


def test_whatever_happens_every_pair_counts_once(tmp_path: Path) -> None:
    """Predictions, labels, repetitions and restarts in any order, some of them sudden."""
    rng = np.random.default_rng(5)
    inner = Sqlite(str(tmp_path))
    names, truths = [f"r{number}" for number in range(60)], rng.integers(2, size=60)
    ages, answers = rng.uniform(20, 60, size=60), rng.integers(2, size=60)
    steps: list[tuple[str, int]] = [(kind, number) for number in range(60) for kind in ("send", "label", "label")]
    rng.shuffle(steps)

    async def scenario() -> Mapping[str, float]:
        sent = 0
        for part in np.array_split(np.arange(len(steps)), 6):
            store = Shared(inner)
            async with site(store) as here:
                for kind, number in (steps[each] for each in part):
                    if kind == "send":
                        await here.send(names[number], [float(ages[number])], [int(answers[number])])
                        sent += 1
                    else:
                        await here.label(names[number], int(truths[number]))
                await until(partial(has_kept, inner, sent))
                if rng.random() < 0.5:
                    killed(store)
        async with site(Shared(inner)) as here:
            await here.counts(60)
            await here.has_looked()
            await until(lambda: compared(here).groups)
            return compared(here).groups[0].lifetime

    expected = Facet(ages > 40, truths == 1, answers == 1, np.ones(60))
    same(asyncio.run(scenario()), {**pre_training(expected), **post_training(expected)})
    inner.close()


def test_what_was_saved_comes_later_where_the_store_cannot_tell_it_at_the_start(tmp_path: Path) -> None:
    inner = Sqlite(str(tmp_path))

    async def scenario() -> None:
        async with site(Shared(inner)) as here:
            await here.send("r")
            await here.label("r")
            await here.counts(1)
        store = Shared(inner)
        store.break_down()
        async with site(store) as here:
            assert here.truth.findings is None
            await until(lambda: store.calls.count("read") > 3)
            assert (here.truth.leading, here.rows) == (None, 0)
            assert "save" not in store.calls
            store.broken = {}
            await here.counts(1)
            await until(lambda: here.truth.findings == [])

    asyncio.run(scenario())
    inner.close()


def test_a_start_does_not_wait_for_a_store_that_hangs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(truth, "START_S", 0.01)
    store = Shared(Oracle())
    store.gate.clear()

    async def scenario() -> None:
        async with site(store) as here:
            assert here.truth.findings is None
            await here.send("r")
            store.gate.set()
            await until(lambda: store.inner.counts.predictions == 1)

    asyncio.run(scenario())


def test_what_was_saved_and_is_damaged_is_left(caplog: pytest.LogCaptureFixture) -> None:
    store = Shared(Oracle())
    store.inner.save(STATE, b"no such thing", 0)

    async def scenario() -> None:
        async with site(store) as here:
            await here.send("r")
            await here.label("r")
            await here.counts(1)

    asyncio.run(scenario())

    assert messages(caplog) == ["what was known of labels: everything is damaged, or of other settings, and left"]


def test_a_monitor_of_other_settings_begins_anew_and_the_other_goes_on(caplog: pytest.LogCaptureFixture) -> None:
    store = Shared(Oracle())

    async def scenario() -> None:
        async with site(store, quality=Quality()) as here:
            await here.send("r")
            await here.label("r")
            await here.counts(1)
        async with site(store, Bias(facets=(MEMBERS,)), quality=Quality()) as here:
            await here.send("s")
            await here.label("s")
            await here.counts(1)
            assert here.truth.grading is not None
            (graded,) = [each for _, each in here.truth.grading.versions]
            assert graded.scored.labelled == 2

    asyncio.run(scenario())

    assert messages(caplog) == ["what was known of labels: bias is damaged, or of other settings, and left"]


# Who leads


async def break_the_range(here: Site) -> None:
    """As many rows as it takes: the old ones are all turned down."""
    await here.send("many", [30.0, 50.0] * 150, [1, 0] * 150)
    await here.label("many", *[1, 0] * 150)
    await here.counts(300)


def test_who_does_not_lead_finds_nothing_and_saves_nothing() -> None:
    store = Shared(Oracle())
    store.leader = False

    async def scenario() -> list[Finding] | None:
        async with site(store) as here:
            await break_the_range(here)
            await until(lambda: compared(here).violations)
            await here.has_looked()
            assert here.truth.findings == []
            assert store.inner.read(STATE) is None
            store.leader = True
            await until(lambda: here.truth.findings)
            await until(lambda: store.inner.read(STATE))
            return here.truth.findings

    (finding,) = asyncio.run(scenario()) or []
    assert finding.key == ("bias", "bias_drift_check", "champion", "groups")
    assert finding.sentence == "champion treats groups unequally: DPPL of age (40, inf) (1, expected -0.1 to 0.1)"


def test_who_has_not_read_everything_does_not_say_what_is_over(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(truth, "LOOK_BATCHES", 1)
    monkeypatch.setattr(truth, "BATCH", 8)
    store = Shared(Oracle())
    known: list[bool] = []
    real = Comparing.take

    def take(self: Comparing, rows: Labelled) -> None:
        known.append(followers[0].truth.leading is not None)
        real(self, rows)

    monkeypatch.setattr(Comparing, "take", take)
    followers: list[Site] = []

    async def scenario() -> None:
        for number in range(20):
            store.inner.keep([prediction(f"r{number}")], NOW_S)
            store.inner.add([Label(f"r{number}", (1,))], NOW_S)
        here = Site(store, UNEQUAL, quality=None, reading=reading)
        followers.append(here)
        await here.truth.start()
        await here.counts(20)
        await until(lambda: here.truth.leading)
        await here.truth.close()

    asyncio.run(scenario())

    assert len(known) > 3
    assert not any(known)


def prediction(name: str) -> Prediction:
    return Prediction(
        ids=(name,),
        variant="champion",
        version="3",
        time_s=NOW_S,
        weight=1.0,
        features=("age",),
        asked=[[30.0]],
        predictions=("prediction",),
        answered=[[1]],
    )


def test_who_was_away_goes_on_from_where_the_others_are() -> None:
    """Of the pairs that they have read and saved meanwhile, some may be gone."""
    inner = Oracle()
    one, other = Shared(inner), Shared(inner)
    other.leader = False

    async def scenario() -> None:
        async with site(one) as here, site(other) as there:
            for number in range(20):
                if number == 4:
                    await there.counts(4)
                    other.break_down()
                    inner.rows = 3
                await here.send(f"r{number}")
                await until(partial(has_kept, one, number + 1))
                await here.label(f"r{number}")
                await here.counts(number + 1)
            await until(lambda: (one.read(STATE) or (b"", 0))[1] == 20)
            assert len(one.joined(0, 100)) == 3
            there.now_s += 2 * truth.GAP_S
            other.broken = {}
            await there.counts(20)
            await there.has_looked()
            assert there.rows == here.rows == 20

    asyncio.run(scenario())


def test_who_was_away_and_is_further_on_than_what_was_saved_goes_on_by_itself() -> None:
    """What was saved may be of other settings: then the same pairs would count twice."""
    inner = Oracle()
    one, other = Shared(inner), Shared(inner)
    other.leader = False

    async def scenario() -> None:
        async with site(one) as here, site(other, Bias(facets=(MEMBERS,))) as there:
            await until(lambda: one.read(STATE))
            one.break_down("save")
            for number in range(5):
                await here.send(f"r{number}")
                await here.label(f"r{number}")
            await there.counts(5)
            reads = other.calls.count("read")
            there.now_s += 2 * truth.GAP_S
            await until(lambda: other.calls.count("read") > reads)
            await there.has_looked()
            assert there.rows == 5

    asyncio.run(scenario())


def test_what_is_to_be_saved_waits_for_others_to_read_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    """What has been saved need not be kept any longer; at the end nothing waits."""
    monkeypatch.setattr(truth, "GRACE_S", 1e6)
    store = Shared(Oracle())

    async def scenario() -> None:
        async with site(store) as here:
            await until(lambda: here.truth.leading)
            await here.send("r")
            await here.label("r")
            await here.counts(1)
            await here.has_looked()
            assert "save" not in store.calls

    asyncio.run(scenario())

    assert (store.read(STATE) or (b"", 0))[1] == 1


def test_two_that_share_a_store_know_the_same_whoever_made_the_prediction() -> None:
    inner = Oracle()
    one, other = Shared(inner), Shared(inner)
    other.leader = False

    async def scenario() -> None:
        async with site(one) as here, site(other) as there:
            for number in range(20):
                made, told = (here, there) if number % 2 else (there, here)
                await made.send(f"r{number}")
                await told.label(f"r{number}")
            await here.counts(20)
            await there.counts(20)
            here.now_s = there.now_s = NOW_S + 100
            await until(lambda: sum(compared(here).groups[0].rows if compared(here).groups else ()) == 20)
            await until(lambda: sum(compared(there).groups[0].rows if compared(there).groups else ()) == 20)
            for group, twin in zip(compared(here).groups, compared(there).groups, strict=True):
                same(group.lifetime, twin.lifetime)

    asyncio.run(scenario())


def test_a_store_that_was_emptied_is_read_from_its_beginning(caplog: pytest.LogCaptureFixture) -> None:
    """As a Redis that keeps nothing on a disk comes back."""
    store = Shared(Oracle())

    async def scenario() -> None:
        async with site(store) as here:
            for number in range(5):
                await here.send(f"r{number}")
                await here.label(f"r{number}")
            await here.counts(5)
            await here.has_looked()
            store.inner = Oracle()
            await here.send("later")
            await here.label("later")
            await here.counts(6)

    asyncio.run(scenario())

    assert messages(caplog) == ["the store of labels has been emptied, and is read from its beginning"]


# The end


def test_at_the_end_everything_comes_into_the_store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("KEEP_S", "READ_S", "SAVE_S"):
        monkeypatch.setattr(truth, name, 1e6)

    async def scenario() -> tuple[bytes, int] | None:
        async with site(Sqlite(str(tmp_path))) as here:
            await until(lambda: here.truth.leading)
            for number in range(5):
                await here.send(f"r{number}")
                await here.label(f"r{number}")
        with pytest.raises(DeliveryError, match="this sidecar is stopping"):
            await here.label("r")
        assert here.pipeline.keeps == []
        store = Sqlite(str(tmp_path))
        saved = store.read(STATE)
        store.close()
        return saved

    saved = asyncio.run(scenario())

    assert saved is not None
    assert saved[1] == 5


def test_who_is_stopped_while_pairs_are_taken_does_not_take_them_again(monkeypatch: pytest.MonkeyPatch) -> None:
    store = Shared(Oracle())
    begun, go_on = threading.Event(), threading.Event()
    real = Comparing.take

    def take(self: Comparing, rows: Labelled) -> None:
        begun.set()
        assert go_on.wait(PATIENCE_S)
        real(self, rows)

    monkeypatch.setattr(Comparing, "take", take)

    async def scenario() -> int:
        async with site(store) as here:
            await here.send("r")
            await here.label("r")
            await until(begun.is_set)
            asyncio.get_running_loop().call_later(0.01, go_on.set)
        return here.rows

    assert asyncio.run(scenario()) == 1
    assert store.inner.read(STATE) is not None


def test_a_store_that_hangs_at_the_end_is_not_waited_for(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(truth, "CLOSE_S", 0.02)
    store = Shared(Oracle())

    async def scenario() -> None:
        async with site(store) as here:
            store.gate.clear()
            await here.send("r")
        store.gate.set()

    asyncio.run(scenario())

    assert messages(caplog) == [
        "the store of labels does not answer; what it lacks is lost",
        "1 predictions could not be kept, and are lost",
    ]


def test_who_never_started_can_be_closed() -> None:
    asyncio.run(Site(Shared(Oracle()), UNEQUAL, quality=None, reading=reading).truth.close())


def test_malformed_labels_that_never_came_to_the_store_are_counted_too() -> None:
    async def scenario() -> int:
        async with site(Shared(Oracle())) as here:
            here.truth.refuse(3)
            return here.truth.counts.labels["malformed"]

    assert asyncio.run(scenario()) == 3
