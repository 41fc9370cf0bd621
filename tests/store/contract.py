"""What every store promises, as functions of a place in which it can be opened; each store's own test file calls them.

`CASES` are single promises; `stories` and `follow` a property: whatever happens in whatever order, the store says and
holds what the oracle does.
"""

import math
import threading
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, closing
from dataclasses import dataclass, field, replace
from itertools import count

from hypothesis import strategies as st

from sidecar.ports import Store
from sidecar.records import Joined, Label, LabelCounts, LabelStatus, Prediction, Scalar
from tests.store.oracle import Oracle

NOW_S = 1_785_412_800.0
"""2026-07-30T12:00:00Z."""


@dataclass(frozen=True, slots=True)
class Limits:
    """The options that every store has."""

    keep_s: float = 604_800.0
    rows: int = 200_000
    wait_s: float = 3600.0


Open = Callable[[Limits], Store]
"""Opens the store of one place; again after it was closed, or was not."""
Fresh = Callable[[], AbstractContextManager[Open]]
"""Makes a place with nothing in it."""


def prediction(
    *ids: str, variant: str = "a", rows: int = 1, version: str = "3", time_s: float = NOW_S, weight: float = 1.0
) -> Prediction:
    return Prediction(
        ids=ids,
        variant=variant,
        version=version,
        time_s=time_s,
        weight=weight,
        features=("age", "city"),
        asked=[[float(row), f"{ids}"] for row in range(rows)],
        predictions=("probability",),
        answered=[[row / 4] for row in range(rows)],
        groups={"x-sex": "f"},
    )


def label(name: str, *values: float | str, metric: str = "") -> Label:
    return Label(name, values or (1,), metric, {"age": 30})


def pairs(store: Store, after: int = 0) -> list[tuple[tuple[str, ...], str, Label]]:
    """Ids, variant and label of everything that was joined behind this place."""
    return [(each.prediction.ids, each.prediction.variant, each.label) for each in store.joined(after, 1_000_000)]


def settle(store: Store, now_s: float) -> None:
    """Tidies until there is nothing more to be let go of: a call does only so much."""
    before = None
    while before != (before := store.counts):
        store.tidy(now_s)


def counts(**changes: int) -> LabelCounts:
    """Zero but for these: `joined=1, awaiting=2`."""
    statuses: tuple[LabelStatus, ...] = ("joined", "duplicate", "unknown", "expired", "malformed")
    labels: dict[LabelStatus, int] = {status: changes.pop(status, 0) for status in statuses}
    others = {name: changes.pop(name, 0) for name in ("awaiting", "waiting", "predictions", "missing", "repeated")}
    assert not changes
    return LabelCounts(labels=labels, **others)


def an_empty_store_has_nothing(fresh: Open) -> None:
    with closing(fresh(Limits())) as store:
        assert (store.counts, store.joined(0, 10), store.read("quality")) == (counts(), [], None)
        store.keep([], NOW_S)
        assert store.add([], NOW_S) == []
        store.tidy(NOW_S)
        assert store.counts == counts()


def a_label_joins_by_any_id(fresh: Open) -> None:
    with closing(fresh(Limits())) as store:
        store.keep([prediction(f"event-{n}", f"request-{n}", f"mine-{n}") for n in range(3)], NOW_S)
        labels = [label("mine-2"), label("event-0"), label("request-1")]
        assert store.add(labels, NOW_S) == ["joined", "joined", "joined"]
        assert [each.label for each in store.joined(0, 10)] == labels
        assert [each.prediction.ids[0] for each in store.joined(0, 10)] == ["event-2", "event-0", "event-1"]
        assert store.counts == counts(predictions=3, joined=3)


def what_was_joined_comes_back_as_it_was(fresh: Open) -> None:
    kept = replace(prediction("e", "r", rows=3), weight=4.0, time_s=NOW_S + 1 / 3)
    told = Label("r", (1, "ja", None), "", {"sex": "f", "age": 30.5, "vip": True, "none": None})
    with closing(fresh(Limits())) as store:
        store.keep([kept], NOW_S)
        assert store.add([told], NOW_S) == ["joined"]
        [pair] = store.joined(0, 10)
    assert plain(pair) == plain(Joined(pair.number, kept, told))


def plain(pair: Joined) -> str:
    """All of a pair but its number, NaN equal to itself, lists to tuples, 1 not to 1.0 or True."""
    kept, told = pair.prediction, pair.label
    rows = [[list(row) for row in cells] for cells in (kept.asked, kept.answered)]
    return repr(
        (
            (kept.ids, kept.variant, kept.version, kept.time_s, kept.weight, kept.features, kept.predictions),
            (rows, dict(kept.groups), told.id, told.values, told.metric, dict(told.groups)),
        )
    )


ODD: tuple[Scalar, ...] = (
    "\ud800\0é",
    "",
    math.nan,
    math.inf,
    -math.inf,
    -0.0,
    0,
    True,
    None,
    2**63,
    2**80,
    -(2**64),
    5e-324,
    "\U0001f600",
)


def odd_cells_come_back_as_they_were(fresh: Open) -> None:
    names = ("\ud800", "a\0b")
    kept = Prediction(
        ids=("\udfff", "\0", ""),
        variant="\ud801",
        version="",
        time_s=NOW_S,
        weight=math.inf,
        features=names,
        asked=[[cell, cell] for cell in ODD],
        predictions=(),
        answered=[[] for _ in ODD],
        groups={"\ud800": "\udfff"},
    )
    told = Label("\udfff", ODD, "\ud802", {"\ud800": math.nan})
    with closing(fresh(Limits())) as store:
        store.keep([kept], NOW_S)
        assert store.add([told, replace(told, id="")], NOW_S) == ["joined", "duplicate"]
        [pair] = store.joined(0, 10)
    assert plain(pair) == plain(Joined(pair.number, kept, told))


def a_label_counts_once_whatever_its_value(fresh: Open) -> None:
    with closing(fresh(Limits())) as store:
        store.keep([prediction("e", "r")], NOW_S)
        assert store.add([label("r", 1), label("r", 0), label("r", 1)], NOW_S) == ["joined", "duplicate", "duplicate"]
        assert store.add([label("r", 1), label("e", 0), label("e", 0, 0)], NOW_S) == ["duplicate"] * 3
        assert pairs(store) == [(("e", "r"), "a", label("r", 1))]
        assert store.counts == counts(predictions=1, joined=1, duplicate=5)


def a_label_that_comes_first_waits(fresh: Open) -> None:
    with closing(fresh(Limits())) as store:
        assert store.add([label("r", 1), label("r", 0)], NOW_S) == ["waiting", "duplicate"]
        assert store.counts == counts(waiting=1, duplicate=1)
        store.keep([prediction("e", "r")], NOW_S)
        assert pairs(store) == [(("e", "r"), "a", label("r", 1))]
        assert store.counts == counts(predictions=1, joined=1, duplicate=1)
        assert store.add([label("r", 1)], NOW_S) == ["duplicate"]


def of_two_labels_that_wait_by_two_ids_the_first_stands(fresh: Open) -> None:
    with closing(fresh(Limits())) as store:
        assert store.add([label("r", 1), label("e", 0)], NOW_S) == ["waiting", "waiting"]
        store.keep([prediction("e", "r")], NOW_S)
        assert pairs(store) == [(("e", "r"), "a", label("r", 1))]
        assert store.counts == counts(predictions=1, joined=1, duplicate=1)


def a_label_of_another_number_of_values_is_malformed_and_not_kept(fresh: Open) -> None:
    with closing(fresh(Limits())) as store:
        assert store.add([label("late", 1, 2)], NOW_S) == ["waiting"]
        store.keep([prediction("e", rows=2), prediction("late")], NOW_S)
        assert store.add([label("e", 1), label("e", 1, 2, 3), Label("e", ())], NOW_S) == ["malformed"] * 3
        assert store.counts == counts(predictions=2, awaiting=2, malformed=4)
        assert store.add([label("e", 1, 2), label("late", 1)], NOW_S) == ["joined", "joined"]


def outcomes_join_and_leave_the_prediction_unlabelled(fresh: Open) -> None:
    with closing(fresh(Limits())) as store:
        store.keep([prediction("e", "r")], NOW_S)
        clicks = [label("e", 1, metric="click"), label("r", 9.5, metric="amount"), label("r", 0, metric="click")]
        assert store.add(clicks, NOW_S) == ["joined", "joined", "duplicate"]
        assert store.counts == counts(predictions=1, awaiting=1, joined=2, duplicate=1)
        assert store.add([label("r")], NOW_S) == ["joined"]
        assert store.counts == counts(predictions=1, joined=3, duplicate=1)
        assert [told for _, _, told in pairs(store)] == [*clicks[:2], label("r")]


def a_label_joins_the_prediction_of_every_variant(fresh: Open) -> None:
    """Shadow traffic: one request, answered by several variants, also by those that are slower than the label."""
    with closing(fresh(Limits())) as store:
        store.keep([prediction("e-a", "r"), prediction("e-b", "r", variant="b")], NOW_S)
        assert store.add([label("r")], NOW_S) == ["joined"]
        store.keep([prediction("e-c", "r", variant="c")], NOW_S)
        assert [variant for _, variant, _ in pairs(store)] == ["a", "b", "c"]
        assert store.add([label("r", 0)], NOW_S) == ["duplicate"]
        assert store.counts == counts(predictions=3, joined=1, duplicate=1)


def a_label_by_an_event_id_is_of_one_variant(fresh: Open) -> None:
    with closing(fresh(Limits())) as store:
        store.keep([prediction("e-a", "r")], NOW_S)
        assert store.add([label("e-a", 1)], NOW_S) == ["joined"]
        store.keep([prediction("e-b", "r", variant="b")], NOW_S)
        assert store.counts == counts(predictions=2, awaiting=1, joined=1)
        assert store.add([label("r", 0)], NOW_S) == ["joined"]
        store.keep([prediction("e-c", "r", variant="c")], NOW_S)
        assert [(variant, told.values) for _, variant, told in pairs(store)] == [("a", (1,)), ("b", (0,)), ("c", (0,))]


def what_was_malformed_for_one_variant_stands_for_the_other(fresh: Open) -> None:
    with closing(fresh(Limits())) as store:
        store.keep([prediction("e-a", "r"), prediction("e-b", "r", variant="b", rows=2)], NOW_S)
        assert store.add([label("r", 1), label("r", 1, 1)], NOW_S) == ["joined", "duplicate"]
        assert store.counts == counts(predictions=2, awaiting=1, joined=1, duplicate=1)


def a_prediction_that_is_there_is_left(fresh: Open) -> None:
    first, again = prediction("e", "r", version="3"), prediction("e2", "r", version="4")
    with closing(fresh(Limits())) as store:
        store.keep([first, again], NOW_S)
        store.keep([again, first], NOW_S)
        assert store.add([label("e2"), label("r")], NOW_S) == ["waiting", "joined"]
        assert [each.prediction.version for each in store.joined(0, 10)] == ["3"]
        assert store.counts == counts(predictions=1, repeated=3, joined=1, waiting=1)


def what_is_read_goes_on_where_it_stopped(fresh: Open) -> None:
    with closing(fresh(Limits())) as store:
        store.keep([prediction(str(n)) for n in range(5)], NOW_S)
        store.add([label(str(n)) for n in range(5)], NOW_S)
        after, read = 0, []
        while batch := store.joined(after, 2):
            read.append([each.label.id for each in batch])
            numbers = [each.number for each in batch]
            assert numbers == sorted(numbers)
            assert numbers[0] > after
            after = batch[-1].number
        assert read == [["0", "1"], ["2", "3"], ["4"]]
        assert (store.joined(after, 2), store.joined(0, 0)) == ([], [])


def a_save_is_what_was_saved_last(fresh: Open) -> None:
    with closing(fresh(Limits())) as store:
        store.save("a", b"\0\xff", 1)
        store.save("b", b"", 0)
        store.save("a", b"2", 7)
        assert (store.read("a"), store.read("b"), store.read("c")) == ((b"2", 7), (b"", 0), None)


def a_label_waits_no_longer_than_it_may(fresh: Open) -> None:
    with closing(fresh(Limits(wait_s=10.0))) as store:
        store.add([label("r")], NOW_S)
        store.add([label("s")], NOW_S + 1)
        settle(store, NOW_S + 9.9)
        assert store.counts == counts(waiting=2)
        settle(store, NOW_S + 10)
        assert store.counts == counts(waiting=1, unknown=1)
        store.keep([prediction("e", "r"), prediction("f", "s")], NOW_S + 10)
        assert store.counts == counts(predictions=2, awaiting=1, joined=1, unknown=1)


def a_label_that_may_not_wait_is_unknown(fresh: Open) -> None:
    with closing(fresh(Limits(wait_s=0.0))) as store:
        assert store.add([label("r"), label("r")], NOW_S) == ["unknown", "unknown"]
        store.keep([prediction("r")], NOW_S)
        assert store.counts == counts(predictions=1, awaiting=1, unknown=2)


def a_label_without_room_is_unknown(fresh: Open) -> None:
    with closing(fresh(Limits(rows=2))) as store:
        statuses = store.add([label("r"), label("s"), label("t"), label("r")], NOW_S)
        assert statuses == ["waiting", "waiting", "unknown", "duplicate"]
        assert store.counts == counts(waiting=2, unknown=1, duplicate=1)


def a_prediction_without_a_label_is_missing_and_a_late_label_expired(fresh: Open) -> None:
    with closing(fresh(Limits(keep_s=100.0))) as store:
        store.keep([prediction("e", "r")], NOW_S)
        settle(store, NOW_S + 99.9)
        assert store.counts == counts(predictions=1, awaiting=1)
        settle(store, NOW_S + 100)
        assert store.counts == counts(predictions=1, missing=1)
        assert store.add([label("r"), label("e"), label("x")], NOW_S + 100) == ["expired", "expired", "waiting"]
        store.keep([prediction("e", "r")], NOW_S + 100)
        assert store.counts == counts(predictions=1, missing=1, expired=2, waiting=1, repeated=1)


def the_gone_are_forgotten_in_time(fresh: Open) -> None:
    with closing(fresh(Limits(keep_s=100.0))) as store:
        store.keep([prediction("e", "r")], NOW_S)
        settle(store, NOW_S + 199)
        assert store.add([label("r")], NOW_S + 199) == ["expired"]
        settle(store, NOW_S + 200)
        assert store.add([label("r")], NOW_S + 200) == ["waiting"]
        store.keep([prediction("e", "r")], NOW_S + 200)
        assert store.counts == counts(predictions=2, missing=1, expired=1, joined=1)


def no_more_are_kept_than_there_may_be(fresh: Open) -> None:
    with closing(fresh(Limits(rows=3))) as store:
        for n in range(10):
            store.keep([prediction(str(n))], NOW_S)
        assert store.counts == counts(predictions=10, awaiting=3, missing=7)
        statuses = store.add([label(str(n)) for n in range(10)], NOW_S)
        assert statuses == [*["waiting"] * 3, "unknown", *["expired"] * 3, *["joined"] * 3]


def what_is_labelled_and_read_leaves_first(fresh: Open) -> None:
    with closing(fresh(Limits(rows=4))) as store:
        store.save("quality", b"", 0)
        store.keep([prediction(name) for name in "abcd"], NOW_S)
        store.add([label("b"), label("c"), label("a", metric="click")], NOW_S)
        store.save("quality", b"", store.joined(0, 1)[0].number)
        store.keep([prediction("e")], NOW_S)  # b leaves: labelled and read
        assert store.counts == counts(predictions=5, awaiting=3, joined=3)
        store.keep([prediction("f")], NOW_S)  # then d, though a and c came before: they are still to be read
        assert store.counts == counts(predictions=6, awaiting=3, joined=3, missing=1)
        assert [told.id for _, _, told in pairs(store)] == ["c", "a"]


def what_is_labelled_and_read_leaves_before_what_is_older(fresh: Open) -> None:
    with closing(fresh(Limits(rows=2))) as store:
        store.keep([prediction("a"), prediction("b")], NOW_S)
        store.add([label("b")], NOW_S)
        store.save("quality", b"", store.joined(0, 1)[0].number)
        store.keep([prediction("c")], NOW_S)
        assert store.add([label("b"), label("a")], NOW_S) == ["expired", "joined"]


def what_was_read_and_is_not_labelled_is_as_old_as_it_was(fresh: Open) -> None:
    with closing(fresh(Limits(rows=2))) as store:
        store.keep([prediction("a"), prediction("b")], NOW_S)
        store.add([label("a", metric="click")], NOW_S)
        store.save("quality", b"", store.joined(0, 1)[0].number)
        store.keep([prediction("c")], NOW_S)
        assert store.add([label("a"), label("b")], NOW_S) == ["expired", "joined"]


def what_was_read_in_part_is_still_to_be_read(fresh: Open) -> None:
    with closing(fresh(Limits(keep_s=100.0))) as store:
        store.keep([prediction("r")], NOW_S)
        store.add([label("r"), label("r", metric="click")], NOW_S)
        first, last = (each.number for each in store.joined(0, 10))
        store.save("quality", b"", first)
        settle(store, NOW_S + 150)
        assert [told.metric for _, _, told in pairs(store, first)] == ["click"]
        store.save("quality", b"", last)
        settle(store, NOW_S + 150)
        assert pairs(store) == []


def what_is_forgotten_of_one_variant_is_known_of_the_other(fresh: Open) -> None:
    with closing(fresh(Limits(keep_s=100.0))) as store:
        store.keep([prediction("e-a", "r")], NOW_S)
        store.keep([prediction("e-b", "r", variant="b")], NOW_S + 150)
        settle(store, NOW_S + 200)
        assert store.add([label("e-a"), label("r"), label("e-b")], NOW_S + 200) == ["waiting", "joined", "duplicate"]


def of_two_labels_of_other_variants_the_first_stands(fresh: Open) -> None:
    with closing(fresh(Limits())) as store:
        for n in range(8):
            names = [f"r{n}", f"s{n}"]
            store.keep([prediction(names[0]), prediction(names[1], variant="b")], NOW_S)
            first, second = names if n % 2 else names[::-1]
            assert store.add([label(first, 1), label(second, 0)], NOW_S) == ["joined", "joined"]
            store.keep([prediction(*names, variant="c")], NOW_S)
            assert pairs(store)[-1] == (tuple(names), "c", label(first, 1))


def what_nobody_reads_leaves_too(fresh: Open) -> None:
    """A name that saved once and never came back must not fill the store for good."""
    with closing(fresh(Limits(rows=4))) as store:
        store.save("gone", b"", 0)
        for n in range(20):
            store.keep([prediction(str(n))], NOW_S)
            assert store.add([label(str(n))], NOW_S) == ["joined"]
        assert [told.id for _, _, told in pairs(store)] == ["16", "17", "18", "19"]
        assert store.counts == counts(predictions=20, joined=20)


def what_is_to_be_read_does_not_leave_by_age(fresh: Open) -> None:
    with closing(fresh(Limits(keep_s=100.0))) as store:
        store.save("quality", b"", 0)
        store.save("bias", b"", 0)
        store.keep([prediction("r"), prediction("s")], NOW_S)
        store.add([label("r"), label("s", metric="click")], NOW_S)
        last = store.joined(0, 10)[-1].number
        store.save("quality", b"", last)
        settle(store, NOW_S + 150)
        assert len(pairs(store)) == 2
        assert store.add([label("r")], NOW_S + 150) == ["duplicate"]
        store.save("bias", b"", last)
        settle(store, NOW_S + 150)
        assert pairs(store) == []
        assert store.counts == counts(predictions=2, joined=2, duplicate=1, missing=1)
        assert store.add([label("r"), label("s")], NOW_S + 150) == ["expired", "expired"]


def who_has_never_saved_holds_nothing_back(fresh: Open) -> None:
    with closing(fresh(Limits(keep_s=100.0))) as store:
        store.keep([prediction("r")], NOW_S)
        store.add([label("r")], NOW_S)
        settle(store, NOW_S + 150)
        assert len(pairs(store)) == 1  # nobody has saved: nothing has been read
        assert store.read("bias") is None
        store.save("quality", b"", store.joined(0, 1)[0].number)
        settle(store, NOW_S + 150)
        assert pairs(store) == []


def two_threads_at_once_join_every_label_once(fresh: Open) -> None:
    with closing(fresh(Limits())) as store:
        statuses: list[LabelStatus] = []

        def keep() -> None:
            for n in range(0, 60, 3):
                store.keep([prediction(f"e{i}", f"r{i}") for i in range(n, n + 3)], NOW_S)

        def add() -> None:
            for n in range(60):
                statuses.extend(store.add([label(f"r{n}"), label(f"e{n}")], NOW_S))

        threads = [threading.Thread(target=work) for work in (keep, add, add)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert sorted(ids[0] for ids, _, _ in pairs(store)) == sorted(f"e{n}" for n in range(60))
        assert len(statuses) == 240
        assert store.counts == counts(predictions=60, joined=60, duplicate=180)


def all_of_it_is_there_after_a_restart(fresh: Open) -> None:
    with closing(fresh(Limits(rows=3))) as store:
        store.keep([prediction(name, f"r{name}") for name in "abcd"], NOW_S)
        store.add([label("b"), label("c", metric="click"), label("a"), label("x"), label("b", 1, 2)], NOW_S)
        store.save("quality", b"1", store.joined(0, 1)[0].number)
        before = (store.counts, store.joined(0, 10), store.read("quality"))
    with closing(fresh(Limits(rows=3))) as store:
        assert (store.counts, store.joined(0, 10), store.read("quality")) == before
        assert store.add([label("ra"), label("rb"), label("rc"), label("x")], NOW_S) == [
            "expired",
            "duplicate",
            "joined",
            "duplicate",
        ]
        store.keep([prediction("x"), prediction("c", variant="b")], NOW_S)
        known = [(variant, told.id, told.metric) for _, variant, told in pairs(store)]
        assert known == [("a", "c", "click"), ("a", "rc", ""), ("a", "x", ""), ("b", "c", "click")]


def a_store_that_is_closed_can_be_closed_again(fresh: Open) -> None:
    store = fresh(Limits())
    store.close()
    store.close()


CASES: tuple[Callable[[Open], None], ...] = (
    an_empty_store_has_nothing,
    a_label_joins_by_any_id,
    what_was_joined_comes_back_as_it_was,
    odd_cells_come_back_as_they_were,
    a_label_counts_once_whatever_its_value,
    a_label_that_comes_first_waits,
    of_two_labels_that_wait_by_two_ids_the_first_stands,
    a_label_of_another_number_of_values_is_malformed_and_not_kept,
    outcomes_join_and_leave_the_prediction_unlabelled,
    a_label_joins_the_prediction_of_every_variant,
    a_label_by_an_event_id_is_of_one_variant,
    what_was_malformed_for_one_variant_stands_for_the_other,
    a_prediction_that_is_there_is_left,
    what_is_read_goes_on_where_it_stopped,
    a_save_is_what_was_saved_last,
    a_label_waits_no_longer_than_it_may,
    a_label_that_may_not_wait_is_unknown,
    a_label_without_room_is_unknown,
    a_prediction_without_a_label_is_missing_and_a_late_label_expired,
    the_gone_are_forgotten_in_time,
    no_more_are_kept_than_there_may_be,
    what_is_labelled_and_read_leaves_first,
    what_is_labelled_and_read_leaves_before_what_is_older,
    what_was_read_and_is_not_labelled_is_as_old_as_it_was,
    what_was_read_in_part_is_still_to_be_read,
    what_is_forgotten_of_one_variant_is_known_of_the_other,
    of_two_labels_of_other_variants_the_first_stands,
    what_nobody_reads_leaves_too,
    what_is_to_be_read_does_not_leave_by_age,
    who_has_never_saved_holds_nothing_back,
    two_threads_at_once_join_every_label_once,
    all_of_it_is_there_after_a_restart,
    a_store_that_is_closed_can_be_closed_again,
)
"""`@pytest.mark.parametrize("case", contract.CASES, ids=lambda case: case.__name__)`."""


@dataclass(frozen=True, slots=True)
class Keep:
    predictions: tuple[Prediction, ...]


@dataclass(frozen=True, slots=True)
class Add:
    labels: tuple[Label, ...]


@dataclass(frozen=True, slots=True)
class Read:
    """A monitor reads on, at most so much, and may save that it has."""

    name: str
    limit: int
    saves: bool


@dataclass(frozen=True, slots=True)
class Tidy:
    """So many seconds later."""

    passed_s: float


@dataclass(frozen=True, slots=True)
class Restart:
    """What readers had read and not saved, they read again."""


Step = Keep | Add | Read | Tidy | Restart
Story = tuple[Limits, list[Step]]

NAMES = ("quality", "bias")
REQUESTS = st.integers(0, 5)
VARIANTS = st.sampled_from("abc")


@st.composite
def _predictions(draw: st.DrawFn) -> Prediction:
    """An exchange with the ids that exchanges have; what the client calls it, it may call another one too."""
    request, variant = draw(REQUESTS), draw(VARIANTS)
    ids = [f"event-{request}-{variant}", f"request-{request}", *draw(st.sampled_from([[], [], ["mine-0"], ["mine-1"]]))]
    return prediction(*ids, variant=variant, rows=draw(st.sampled_from([1, 1, 1, 2])))


@st.composite
def _labels(draw: st.DrawFn) -> Label:
    request = draw(REQUESTS)
    ids = [f"request-{request}"] * 3 + [f"event-{request}-{draw(VARIANTS)}", "mine-0", "mine-1", "nobody"]
    values = draw(st.lists(st.integers(0, 1), min_size=1, max_size=2))
    return Label(draw(st.sampled_from(ids)), tuple(values), draw(st.sampled_from(["", "", "click"])))


STEPS = st.one_of(
    st.lists(_predictions(), min_size=1, max_size=4).map(lambda each: Keep(tuple(each))),
    st.lists(_labels(), min_size=1, max_size=4).map(lambda each: Add(tuple(each))),
    st.builds(Read, st.sampled_from(NAMES), st.integers(1, 3), st.booleans()),
    st.builds(Tidy, st.sampled_from([1.0, 30.0, 70.0])),
    st.just(Restart()),
)


def stories() -> st.SearchStrategy[Story]:
    limits = st.builds(
        Limits,
        keep_s=st.sampled_from([100.0, 1e6]),
        rows=st.sampled_from([3, 100]),
        wait_s=st.sampled_from([0.0, 60.0]),
    )
    return st.tuples(limits, st.lists(STEPS, max_size=30))


@dataclass
class _Followed:
    """A store, and how far each name has read in it."""

    store: Store
    places: dict[str, int] = field(default_factory=lambda: dict.fromkeys(NAMES, 0))

    def read(self, step: Read) -> list[str]:
        read = self.store.joined(self.places[step.name], step.limit)
        if read:
            self.places[step.name] = read[-1].number
        if step.saves:
            self.save(step.name)
        return [plain(each) for each in read]

    def save(self, name: str) -> None:
        self.store.save(name, name.encode(), self.places[name])

    def saved(self) -> list[tuple[bytes, int] | None]:
        return [self.store.read(name) for name in NAMES]

    def rewind(self) -> None:
        """To where each name had saved."""
        self.places = {name: saved[1] for name, saved in zip(NAMES, self.saved(), strict=True) if saved}


def follow(fresh: Open, story: Story) -> None:
    """Holds the store against the oracle, step by step; every name saves once at the start."""
    limits, steps = story
    oracle = _Followed(Oracle(limits.keep_s, limits.rows, limits.wait_s))
    followed = _Followed(fresh(limits))
    try:
        for each in (oracle, followed):
            for name in NAMES:
                each.save(name)
        now_s = NOW_S
        for step in steps:
            now_s += step.passed_s if isinstance(step, Tidy) else 0.5
            if isinstance(step, Restart):
                before = followed.saved()
                followed.store.close()
                followed.store = fresh(limits)
                assert followed.saved() == before
                followed.rewind()
                oracle.rewind()
            assert _said(followed, step, now_s) == _said(oracle, step, now_s)
            assert followed.store.counts == oracle.store.counts
        assert _rest(followed) == _rest(oracle)
    finally:
        followed.store.close()


def _said(followed: _Followed, step: Step, now_s: float) -> Sequence[str]:
    match step:
        case Keep(predictions):
            followed.store.keep(predictions, now_s)
        case Add(labels):
            return followed.store.add(labels, now_s)
        case Read():
            return followed.read(step)
        case Tidy():
            settle(followed.store, now_s)
        case Restart():
            pass
    return []


def _rest(followed: _Followed) -> list[list[str]]:
    """What each name has still to read."""
    return [followed.read(Read(name, 1_000_000, saves=False)) for name in NAMES]


@dataclass(frozen=True, slots=True)
class Delivery:
    """Predictions and labels as they arrive: any order, any number of times, some never."""

    predictions: tuple[Prediction, ...]
    labels: tuple[Label, ...]
    steps: tuple[Keep | Add, ...]


@st.composite
def deliveries(draw: st.DrawFn) -> Delivery:
    """Every exchange has one truth and one outcome, posted by any of its ids.

    Those of several variants are posted either by what they share or by what they do not: a label that was a duplicate
    for one variant, by another id, is of no effect for one that comes later.
    """
    numbers = range(draw(st.integers(1, 6)))
    kept = [prediction(f"event-{n}-{v}", f"request-{n}", variant=v) for n in numbers for v in "ab"[: 1 + n % 2]]
    told = []
    for n, metric in [(n, metric) for n in numbers for metric in ("", "click")]:
        shared, own = [f"request-{n}"], [each.ids[0] for each in kept if each.ids[1] == f"request-{n}"]
        ids = shared + own if len(own) == 1 else draw(st.sampled_from([shared, own]))
        told += [Label(name, (n % 3,), metric) for name in ids]
    arrivals = st.one_of(
        st.lists(st.sampled_from(kept), min_size=1, max_size=4).map(lambda each: Keep(tuple(each))),
        st.lists(st.sampled_from(told), min_size=1, max_size=4).map(lambda each: Add(tuple(each))),
    )
    return Delivery(tuple(kept), tuple(told), tuple(draw(st.lists(arrivals, max_size=20))))


def deliver(fresh: Open, delivery: Delivery) -> None:
    """What is joined in the end is what arrived at all, whatever the order: no oracle is asked."""
    with closing(fresh(Limits())) as store:
        moments = count(NOW_S)
        for step in delivery.steps:
            if isinstance(step, Keep):
                store.keep(step.predictions, next(moments))
            else:
                store.add(step.labels, next(moments))
        kept = {each for step in delivery.steps if isinstance(step, Keep) for each in _keys(step.predictions)}
        told = [each for step in delivery.steps if isinstance(step, Add) for each in step.labels]
        joined = Counter((ids[0], each.metric, each.values) for ids, _, each in pairs(store))
        expected = {(ids[0], each.metric, each.values) for ids in kept for each in told if each.id in ids}
        assert joined == dict.fromkeys(expected, 1)
        labels = {(each.id, each.metric) for each in told if not any(each.id in ids for ids in kept)}
        assert store.counts.waiting == len(labels)


def _keys(predictions: Sequence[Prediction]) -> list[tuple[str, ...]]:
    return [each.ids for each in predictions]
