import pytest

from sidecar.records import LabelStatus
from sidecar.store.joining import TRUTH, Board, Known, Told


def told(name: str, size: int = 1, metric: str = TRUTH, document: bytes = b"") -> Told:
    return Told(name, metric, size, document)


def board(*predictions: tuple[str, Known], room: int = 0) -> Board:
    fresh = Board(last=0, room=room)
    for name, known in predictions:
        fresh.meet(name, known)
    return fresh


@pytest.mark.parametrize(
    ("label", "status"),
    [
        (told("a"), "joined"),
        (told("a", size=2), "malformed"),
        (told("a", size=0), "malformed"),
        (told("gone"), "expired"),
        (told("gone", size=2), "expired"),
        (told("both"), "joined"),
        (told("nobody"), "unknown"),
    ],
)
def test_what_becomes_of_a_label(label: Told, status: LabelStatus) -> None:
    here, gone = Known(1, b"a", 1), Known(2, b"b", 1, gone=True)
    known = board(("a", here), ("gone", gone), ("both", here), ("both", gone))
    assert known.add(label) == status
    assert [pair.prediction for pair in known.joined] == ([1] if status == "joined" else [])
    assert known.labels == {status: 1}


def test_a_prediction_that_is_met_twice_is_joined_once() -> None:
    here = Known(1, b"a", 1)
    known = board(("a", here), ("a", here))
    assert (known.add(told("a")), len(known.joined)) == ("joined", 1)


def test_labels_wait_while_there_is_room_and_are_not_counted_yet() -> None:
    known = board(room=1)
    assert [known.add(told(name)) for name in ("a", "a", "b")] == ["waiting", "duplicate", "unknown"]
    assert (known.begun, known.labels) == ([told("a")], {"duplicate": 1, "unknown": 1})


def test_what_waits_is_joined_in_the_order_in_which_it_came_and_waits_no_more() -> None:
    known = Board(last=7)
    known.waiting = {
        "r": {TRUTH: (3, told("r")), "click": (1, told("r", metric="click"))},
        "e": {TRUTH: (2, told("e", document=b"first"))},
        "other": {TRUTH: (4, told("other"))},
    }
    fresh = Known(1, b"a", 1)
    assert known.keep(["e", "r"], fresh)
    assert [(pair.number, pair.told.metric) for pair in known.joined] == [(8, "click"), (9, TRUTH)]
    assert (known.resolved, known.labels) == ([1, 2, 3], {"joined": 2, "duplicate": 1})
    assert (fresh.pairs[TRUTH].told.document, list(known.waiting)) == (b"first", ["other"])


def test_what_joined_another_variant_joins_this_one_by_an_id_that_both_have() -> None:
    known = board(("r", Known(1, b"a", 1)), ("e", Known(2, b"b", 1)))
    known.add(told("r", document=b"r"))
    known.add(told("e"))
    fresh = Known(3, b"c", 1)
    assert known.keep(["r"], fresh)
    assert [pair.told.document for pair in fresh.pairs.values()] == [b"r"]
    assert known.labels == {"joined": 2}


@pytest.mark.parametrize("gone", [False, True])
def test_a_prediction_of_a_variant_that_has_one_of_its_ids_is_left(gone: bool) -> None:
    known = board(("r", Known(1, b"a", 1, gone=gone)))
    assert [known.keep(["e", "r"], Known(2, variant, 1)) for variant in (b"a", b"b", b"b")] == [False, True, False]
