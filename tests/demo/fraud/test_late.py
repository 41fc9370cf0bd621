import numpy as np
import pytest

from sidecar.demo.fraud.late import BURST_S, LATE_S, NEVER_RATIO, TWICE_RATIO, Late, Truth

MANY = 4000
LAST_S = 2 * LATE_S[1]
"""After which all labels of second 0 have come, those that come twice as well."""


def late(count: int = MANY) -> Late:
    """With so many payments of second 0, the odd ones made after the change."""
    held = Late(np.random.default_rng(1))
    for number in range(count):
        held.take(Truth(f"p{number}", number % 3 == 0, changed=number % 2 == 1), 0.0)
    return held


def test_nothing_comes_before_its_time() -> None:
    assert late().due(LATE_S[0] - 0.01) == []


def test_labels_come_in_bursts() -> None:
    held = late()

    first, soon, later = held.due(5.0), held.due(5.0 + BURST_S - 0.01), held.due(5.0 + BURST_S)

    assert first
    assert later
    assert soon == []


def test_labels_come_out_of_order_once_or_twice_or_never() -> None:
    held = late()
    found = held.due(LAST_S)

    first, again = ([each.id for each in found if each.again is twice] for twice in (False, True))
    assert len(set(first)) == len(first) == held.first == MANY - held.never
    assert len(set(again)) == len(again) == held.again
    assert set(again) <= set(first)
    assert first != sorted(first, key=lambda name: int(name[1:]))
    assert held.never / MANY == pytest.approx(NEVER_RATIO, abs=0.02)  # four standard deviations, as the next
    assert held.again / held.first == pytest.approx(TWICE_RATIO, abs=0.015)


def test_a_label_is_what_was_taken() -> None:
    assert all(truth.fraud == (int(truth.id[1:]) % 3 == 0) for truth in late().due(LAST_S))


def test_a_repetition_does_not_come_before_its_label() -> None:
    held = late()
    seen: set[str] = set()
    for now_s in np.arange(0, LAST_S + BURST_S, BURST_S).tolist():
        found = held.due(now_s)
        assert {each.id for each in found if each.again} <= seen
        seen |= {each.id for each in found}


def test_labels_of_payments_after_the_change_are_counted() -> None:
    held = late()
    found = held.due(LAST_S)

    assert held.changed == sum(each.changed for each in found if not each.again)


def test_the_same_seed_is_as_late() -> None:
    assert late(50).due(LAST_S) == late(50).due(LAST_S)
