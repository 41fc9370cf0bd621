import itertools

from hypothesis import given
from hypothesis import strategies as st

from sidecar.monitors.calls import MAX_BACKOFF_S, Budget


def calls_of(per_minute: int, steps_s: list[float], *, start_s: float = 0.0, well: bool = True) -> list[float]:
    """When calls were made by somebody who tries after each of these steps."""
    budget, now_s, made = Budget(per_minute, start_s), start_s, []
    for step_s in steps_s:
        now_s += step_s
        if budget.take(now_s):
            made.append(now_s)
            budget.ended(well=well)
    return made


@given(st.integers(1, 600), st.lists(st.floats(0, 40), max_size=200), st.floats(0, 1e9))
def test_no_minute_has_more_calls_than_the_budget(per_minute: int, steps_s: list[float], start_s: float) -> None:
    made = calls_of(per_minute, steps_s, start_s=start_s)
    for place, first_s in enumerate(made):
        assert sum(each - first_s < 60 for each in made[place:]) <= per_minute


def test_an_eager_caller_gets_what_the_budget_allows_and_evenly() -> None:
    made = calls_of(6, [0.1] * 6000)
    assert len(made) == 59
    assert all(9.9 < later - earlier < 10.2 for earlier, later in itertools.pairwise(made))


def test_the_first_call_waits_as_if_one_had_just_been_made() -> None:
    """So a process that is started again and again stays within it, too."""
    budget = Budget(6, 100.0)
    assert not budget.take(109.9)
    assert 0 < budget.due_s(109.9) < 0.2
    assert budget.due_s(110.1) == 0
    assert budget.take(110.1)
    assert not budget.take(110.2)


def test_after_failures_gaps_grow_until_a_call_succeeds() -> None:
    made = calls_of(600, [0.05] * 40_000, well=False)
    gaps = [later - earlier for earlier, later in itertools.pairwise(made)]
    assert all(0.99 * 2**place <= gap <= 2**place + 1.1 for place, gap in enumerate(gaps[:9], 1))
    assert max(gaps) < MAX_BACKOFF_S + 1

    budget = Budget(60, 0.0)
    budget.ended(well=False)
    assert budget.due_s(0.5) > 1
    budget.ended(well=True)
    assert budget.due_s(0.5) < 0.6


def test_a_clock_that_stands_or_goes_back_allows_nothing() -> None:
    budget = Budget(60, 1000.0)
    assert not budget.take(1000.0)
    assert not budget.take(10.0)
    assert budget.take(1002.0)
