import json
from collections.abc import Sequence
from threading import Thread

import numpy as np
import pytest
from hypothesis import given
from hypothesis.strategies import permutations

from sidecar.monitors import shadowed
from sidecar.monitors.shadowed import MAX_CELLS, PANE_PAIRS, PANES, Shadowed
from sidecar.monitors.versions import VersionKey
from sidecar.records import Body, Capture, Rows
from sidecar.routing.table import POINTS, points

Item = tuple[Capture, Rows]

CHAMPION, CHALLENGER = VersionKey("champion", "3"), VersionKey("challenger", "4")


def answer(
    request_id: str,
    predicted: object = 0.5,
    *,
    copy: bool = False,
    whose: VersionKey | None = None,
    status: int = 200,
    error_type: str = "",
    started_s: float = 1000.0,
    body: bytes = b"{}",
    rows: Sequence[list[object]] | None = None,
) -> Item:
    """An exchange of the champion, or of its shadow, with one prediction unless told otherwise."""
    variant, version = whose or (CHALLENGER if copy else CHAMPION)
    answered = [[predicted]] if rows is None else rows
    capture = Capture(
        request_id=request_id,
        inference_id="",
        variant=variant,
        version=version,
        method="POST",
        path="/invocations",
        route="/invocations",
        status=status,
        error_type=error_type,
        started_s=started_s,
        duration_s=0.2 if copy else 0.11,
        first_byte_s=0.1,
        overhead_s=0.0 if copy else 0.01,
        sample_ratio=1.0,
        headers={"request": {}, "reply": {}},
        request=Body("application/json", body),
        reply=Body("application/json", b"{}"),
        shadow=copy,
    )
    names = ("prediction",) if len(answered[0]) == 1 else tuple(f"p{at}" for at in range(len(answered[0])))
    return capture, Rows(("x",), [[1.0]] * len(answered), names, answered)


def copied(request_id: str, predicted: object = 0.5, **other: object) -> Item:
    return answer(request_id, predicted, copy=True, **other)  # type: ignore[arg-type]  # the test names them


def settled(*items: Item, ratio: float = 1.0) -> Shadowed:
    found = Shadowed("challenger", ratio=ratio)
    found.offer(items)
    found.settle()
    return found


@pytest.mark.parametrize("first", [False, True])
def test_an_answer_and_its_copy_are_compared_whichever_comes_first(first: bool) -> None:
    items = [answer("a", 0.5), copied("a", 0.75)]
    found = settled(*(items if first else reversed(items)))
    (comparison,) = found.comparisons.values()
    told = comparison.lifetime.told()

    assert list(found.comparisons) == [(CHALLENGER, CHAMPION)]
    assert (told["pairs"], told["rows"], told["equal_ratio"]) == (1, 1, 0.0)
    assert told["columns"][0]["mean_distance"] == 0.25
    assert told["seconds"]["difference"]["mean"] == pytest.approx(0.1)
    assert found.told()["waiting"] == 0


@given(permutations([*(answer(f"r{at}", at) for at in range(6)), *(copied(f"r{at}", at) for at in range(6))]))
def test_pairs_are_found_in_any_order(items: list[Item]) -> None:
    found = settled(*items)
    (comparison,) = found.comparisons.values()

    assert (comparison.lifetime.rows, comparison.lifetime.equal) == (6, 6)


def test_requests_of_one_id_are_told_apart_by_their_bodies() -> None:
    found = settled(
        answer("same", 1.0, body=b"one"),
        answer("same", 2.0, body=b"two"),
        copied("same", 2.0, body=b"two"),
        copied("same", 1.0, body=b"one"),
    )

    assert found.comparisons[CHALLENGER, CHAMPION].lifetime.equal == 2


def test_of_two_that_cannot_be_told_apart_the_later_one_waits() -> None:
    found = settled(answer("a", 1.0), answer("a", 2.0), copied("a", 2.0))

    assert found.comparisons[CHALLENGER, CHAMPION].lifetime.equal == 1
    assert found.unpaired == {"original": 1, "shadow": 0}


def test_a_new_version_begins_anew_on_either_side() -> None:
    newer, newest = VersionKey("challenger", "5"), VersionKey("champion", "4")
    found = settled(
        *(answer("a"), copied("a", 0.9)),
        *(answer("b"), copied("b", 0.5, whose=newer)),
        *(answer("c", whose=newest), copied("c", 0.5, whose=newer)),
    )
    told = found.told()["comparisons"]

    assert list(found.comparisons) == [(CHALLENGER, CHAMPION), (newer, CHAMPION), (newer, newest)]
    assert [(each["version"], each["original"]["version"]) for each in told] == [("5", "4"), ("5", "3"), ("4", "3")]
    assert [each["lifetime"]["equal_ratio"] for each in told] == [1.0, 1.0, 0.0]


def test_the_number_of_comparisons_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shadowed, "MAX_COMPARISONS", 2)
    found = Shadowed("challenger")
    for version in ("4", "5", "4", "6"):
        found.offer([answer(version), copied(version, whose=VersionKey("challenger", version))])
        found.settle()

    assert [key[0].version for key in found.comparisons] == ["4", "6"]


def test_those_that_are_not_copied_do_not_wait() -> None:
    found = settled(*(answer(f"id-{at}") for at in range(1000)), answer("own", whose=CHALLENGER), ratio=0.1)
    expected = sum(points(b"id-%d" % at)[1] < 0.1 * POINTS for at in range(1000))

    assert found.told()["waiting"] == expected
    assert 50 < expected < 150


def test_what_is_followed_can_change() -> None:
    found = settled(answer("a"), ratio=0.0)
    found.follow("rival", 1.0, 10.0)
    found.offer([answer("b"), answer("c", whose=VersionKey("rival", "1"))])
    found.settle()

    assert (found.told()["variant"], found.told()["waiting"]) == ("rival", 1)


def test_what_waits_too_long_is_given_up_and_counted() -> None:
    found = Shadowed("challenger", max_age_s=10.0)
    found.offer([answer("a"), copied("b"), answer("c", started_s=1009.0)])
    found.offer([answer("d", started_s=1010.5)])
    found.settle()

    assert (found.unpaired, found.dropped) == ({"original": 1, "shadow": 1}, 0)
    assert found.told()["waiting"] == 2


def test_what_comes_late_waits_as_long_as_others() -> None:
    found = settled(answer("now", started_s=2000.0), copied("now"), answer("late", started_s=1.0))
    found.offer([answer("next", started_s=2001.0)])
    found.settle()

    assert (found.told()["waiting"], found.unpaired["original"]) == (2, 0)


def test_a_clock_that_goes_back_gives_up_nothing() -> None:
    found = Shadowed("challenger", max_age_s=10.0)
    found.offer([answer("a"), answer("b", started_s=1.0), copied("b", started_s=1.0), copied("a")])
    found.settle()

    assert found.comparisons[CHALLENGER, CHAMPION].lifetime.pairs == 2


@pytest.mark.parametrize(("bound", "value"), [("MAX_WAITING", 3), ("MAX_BYTES", 7000)])
def test_of_too_many_that_wait_the_oldest_go(bound: str, value: int, monkeypatch: pytest.MonkeyPatch) -> None:
    found = Shadowed("challenger")
    monkeypatch.setattr(shadowed, bound, value)
    for at in range(5):
        found.offer([answer(f"r{at}")])
        found.settle()
    found.offer([copied("r0"), copied("r4")])
    found.settle()

    assert (found.dropped, found.unpaired) == (0, {"original": 2, "shadow": 0})
    assert found.comparisons[CHALLENGER, CHAMPION].lifetime.pairs == 1
    assert found.told()["waiting"] == 3


def test_of_too_many_that_are_put_aside_the_newest_are_dropped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shadowed, "MAX_BYTES", 10_000)
    found = Shadowed("challenger")
    for at in range(100):
        found.offer([answer(f"r{at}"), copied(f"r{at}")])
    dropped = found.dropped
    found.settle()
    found.offer([answer("after"), copied("after")])
    found.settle()

    assert 195 <= dropped < 200
    assert found.dropped == dropped
    assert found.comparisons[CHALLENGER, CHAMPION].lifetime.pairs == (200 - dropped) // 2 + 1


def test_a_client_that_left_says_nothing_of_the_model() -> None:
    found = settled(answer("a", status=0, error_type="client_closed"), copied("a"))

    assert (found.unanswered, found.comparisons) == (1, {})


STATUSES = {
    "both well": (200, "", 200, "", "both_ok_ratio"),
    "one fails": (200, "", 502, "connect_failed", "only_original_ok_ratio"),
    "one is cut": (200, "", 200, "total_timeout", "only_original_ok_ratio"),
    "the other fails": (500, "", 204, "", "only_shadow_ok_ratio"),
    "both fail": (422, "", 422, "", "neither_ok_ratio"),
    "one has none": (0, "", 500, "", "neither_ok_ratio"),
}


@pytest.mark.parametrize(
    ("status", "error_type", "other", "other_type", "share"), STATUSES.values(), ids=STATUSES.keys()
)
def test_statuses_agree_or_not(status: int, error_type: str, other: int, other_type: str, share: str) -> None:
    found = settled(answer("a", status=status, error_type=error_type), copied("a", status=other, error_type=other_type))

    assert found.comparisons[CHALLENGER, CHAMPION].lifetime.told()["statuses"][share] == 1.0


def test_of_large_answers_a_part_is_compared() -> None:
    rows: list[list[object]] = [[float(at), 1.0] for at in range(MAX_CELLS)]
    wide: list[list[object]] = [[1.0] * (2 * MAX_CELLS)]
    many, one = (
        settled(answer("a", rows=rows), copied("a", rows=rows)),
        settled(answer("a", rows=wide), copied("a", rows=wide)),
    )

    assert many.comparisons[CHALLENGER, CHAMPION].lifetime.rows == MAX_CELLS // 2
    assert one.comparisons[CHALLENGER, CHAMPION].lifetime.rows == 1


@pytest.mark.parametrize("size", [7, 100, 256, 2400])
def test_of_late_is_the_last_thousand_whatever_comes_at_once(size: int) -> None:
    found, total = Shadowed("challenger"), 2250
    items = [(answer(f"r{at}", 0.5), copied(f"r{at}", 0.5 if at < 1200 else 0.9)) for at in range(total)]
    for start in range(0, total, size):
        found.offer([item for both in items[start : start + size] for item in both])
        found.settle()
    comparison = found.comparisons[CHALLENGER, CHAMPION]

    assert (comparison.lifetime.pairs, comparison.lifetime.equal) == (total, 1200)
    assert PANE_PAIRS * (PANES - 1) <= comparison.rolling().pairs <= PANE_PAIRS * PANES
    assert comparison.rolling().equal == 0


def test_times_of_the_first_and_the_last_pair_are_told() -> None:
    found = settled(*(answer("b", started_s=1005.0), copied("b")), *(answer("a", started_s=1001.0), copied("a")))
    (told,) = found.told()["comparisons"]

    assert (told["since_s"], told["last_s"]) == (1001.0, 1005.0)


def test_what_is_told_is_json_whatever_it_holds() -> None:
    strange = VersionKey("\ud800", "\udfff")
    items = [answer("\ud800", float("nan")), copied("\ud800", "\ud801", whose=strange)]
    found = Shadowed("\ud800")
    found.offer(items)
    found.settle()

    told = json.dumps(found.told(), ensure_ascii=False, allow_nan=False).encode()
    assert json.loads(told)["comparisons"][0]["lifetime"]["rows"] == 1


def test_offering_while_another_thread_compares_loses_nothing() -> None:
    found = Shadowed("challenger")
    done: list[bool] = []

    def settle() -> None:
        while not done:
            found.settle()

    thread = Thread(target=settle)
    thread.start()
    for at in range(3000):
        found.offer([answer(f"r{at}"), copied(f"r{at}")])
        json.dumps(found.told())
    done.append(True)
    thread.join()
    found.settle()

    assert (found.comparisons[CHALLENGER, CHAMPION].lifetime.pairs, found.dropped) == (3000, 0)


def test_a_challenger_is_seen_for_what_it_is() -> None:
    """Right labels of both differ in a tenth; the shadow's probability is off by noise of 0.05."""
    rng = np.random.default_rng(3)
    found = Shadowed("challenger")
    for at in range(2000):
        probability = float(rng.random())
        other = probability + float(rng.normal(0, 0.05))
        label = "yes" if rng.random() < 0.5 else "no"
        flipped = label if rng.random() < 0.9 else {"yes": "no", "no": "yes"}[label]
        found.offer([answer(f"r{at}", rows=[[label, probability]]), copied(f"r{at}", rows=[[flipped, other]])])
    found.settle()
    told = found.told()["comparisons"][0]["rolling"]
    (column,) = told["columns"]

    assert (column["name"], told["equal_ratio"]) == ("p1", 0.0)
    assert column["mean_distance"] == pytest.approx(0.05 * (2 / np.pi) ** 0.5, rel=0.1)
    assert {each["texts"] for each in told["examples"]} == {1}
