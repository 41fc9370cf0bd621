import re
from collections.abc import Iterable, Sequence
from itertools import product

import pytest
from hypothesis import given
from hypothesis.strategies import dictionaries, floats, integers, lists, none, sampled_from, tuples

from sidecar.config.schema import Ejection, Health
from sidecar.routing.availability import FIRST_RATIO, Availability, Settings, shares

SETTINGS = Settings(errors=2, connect_failures=3, eject_s=10.0, max_eject_s=60.0, return_s=20.0)
ONCE = Settings(errors=1, eject_s=10.0, max_eject_s=60.0, return_s=20.0)


def ejected_at(times: Iterable[float], settings: Settings = ONCE) -> Availability:
    """A variant that failed at these times."""
    availability = Availability(settings)
    for now_s in times:
        availability.failed("error", now_s)
    return availability


def looked_at(answers: str, settings: Settings = SETTINGS, now_s: float = 0.0) -> Availability:
    """A variant whose health was looked at: `+` is well, `-` is not."""
    availability = Availability(settings)
    for answer in answers:
        availability.probed(answer == "+", now_s)
    return availability


def first_ejection(outcomes: Iterable[str], settings: Settings) -> int | None:
    availability = Availability(settings)
    for number, outcome in enumerate(outcomes):
        if outcome == "s":
            availability.succeeded()
        elif availability.failed("error" if outcome == "e" else "connect", 0.0):
            return number
    return None


@pytest.mark.parametrize(
    ("errors", "connect_failures", "row"),
    [
        (2, 3, r"(e[^s]*){2}$|c{3}$"),
        (3, 1, r"(e[^s]*){3}$|c$"),
        (0, 2, r"c{2}$"),
        (2, 0, r"(e[^s]*){2}$"),
        (0, 0, r"(?!)"),
    ],
)
def test_so_many_failures_in_a_row_eject_and_no_fewer(errors: int, connect_failures: int, row: str) -> None:
    settings = Settings(errors=errors, connect_failures=connect_failures)
    for outcomes in product("sec", repeat=6):
        text = "".join(outcomes)
        expected = next((end for end in range(6) if re.search(row, text[: end + 1])), None)
        assert (text, first_ejection(outcomes, settings)) == (text, expected)


@pytest.mark.parametrize(
    ("now_s", "part", "state"),
    [
        (100.0, 0.0, "ejected"),
        (109.9, 0.0, "ejected"),
        (110.0, FIRST_RATIO, "coming_back"),
        (111.0, FIRST_RATIO, "coming_back"),
        (115.0, 0.25, "coming_back"),
        (129.0, 0.95, "coming_back"),
        (130.0, 1.0, "taking"),
        (1e9, 1.0, "taking"),
    ],
)
def test_an_ejected_variant_comes_back_bit_by_bit(now_s: float, part: float, state: str) -> None:
    availability = ejected_at([100.0])
    assert (availability.available(now_s), availability.state(now_s)) == (part, state)


def test_a_variant_that_has_not_failed_takes_all() -> None:
    availability = Availability(SETTINGS)
    assert (availability.available(0.0), availability.state(0.0), availability.ejections) == (1.0, "taking", 0)


def test_without_a_time_to_return_it_takes_all_at_once() -> None:
    availability = ejected_at([100.0], Settings(errors=1, eject_s=10.0, return_s=0.0))
    assert [availability.available(now_s) for now_s in (109.9, 110.0)] == [0.0, 1.0]


@pytest.mark.parametrize(
    ("times", "back_s"),
    [
        ([0.0], 10.0),
        ([0.0, 10.0], 30.0),
        ([0.0, 10.0, 30.0], 70.0),
        ([0.0, 10.0, 30.0, 70.0], 130.0),
        ([0.0, 10.0, 30.0, 70.0, 130.0], 190.0),
        ([0.0, 69.9], 89.9),
        ([0.0, 70.0], 80.0),
        ([0.0, 10.0, 90.0, 100.0], 120.0),
    ],
)
def test_each_ejection_is_twice_as_long_until_it_was_well_for_long(times: Sequence[float], back_s: float) -> None:
    availability = ejected_at(times)
    before, after = availability.available(back_s - 0.01), availability.available(back_s)
    assert (before, after, availability.ejections) == (0.0, FIRST_RATIO, len(times))


def test_a_limit_below_the_first_ejection_bounds_it_too() -> None:
    availability = ejected_at([0.0], Settings(errors=1, eject_s=100.0, max_eject_s=5.0))
    assert availability.state(5.0) == "coming_back"


def test_what_fails_while_it_is_ejected_has_no_consequence() -> None:
    availability = ejected_at([0.0, 1.0, 9.9])
    assert (availability.ejections, availability.state(10.0)) == (1, "coming_back")


def test_what_succeeds_while_it_is_ejected_does_not_bring_it_back() -> None:
    availability = ejected_at([0.0])
    availability.succeeded()
    assert availability.state(9.9) == "ejected"


def test_failures_before_an_ejection_do_not_count_after_it() -> None:
    availability = ejected_at([0.0, 0.0, 5.0], SETTINGS)
    answers = [availability.failed("connect", 11.0), availability.failed("error", 12.0)]
    assert answers == [False, False]


@pytest.mark.parametrize(("unhealthy_after", "healthy_after"), [(3, 2), (1, 1), (2, 4)])
def test_health_changes_after_so_many_answers_in_a_row(unhealthy_after: int, healthy_after: int) -> None:
    settings = Settings(unhealthy_after=unhealthy_after, healthy_after=healthy_after)
    for answers in product("+-", repeat=8):
        text = "".join(answers)
        healthy = True
        availability = Availability(settings)
        for end, answer in enumerate(text, 1):
            turned = text[:end].endswith(("-" * unhealthy_after) if healthy else ("+" * healthy_after))
            healthy ^= turned
            assert (text, availability.probed(answer == "+", 0.0)) == (text, turned)
        assert availability.healthy is healthy


def test_an_unhealthy_variant_takes_nothing_and_comes_back_bit_by_bit() -> None:
    availability = looked_at("---", now_s=100.0)
    assert (availability.available(1e9), availability.state(1e9)) == (0.0, "unhealthy")
    availability.probed(ok=True, now_s=200.0)
    assert availability.probed(ok=True, now_s=205.0)
    assert [availability.available(now_s) for now_s in (205.0, 215.0, 225.0)] == [FIRST_RATIO, 0.5, 1.0]


def test_what_fails_while_it_is_unhealthy_has_no_consequence() -> None:
    availability = looked_at("---", ONCE)
    assert not availability.failed("error", 1.0)
    assert availability.ejections == 0


def test_good_health_does_not_end_an_ejection() -> None:
    availability = ejected_at([0.0])
    for now_s in (1.0, 2.0, 3.0, 4.0, 5.0):
        availability.probed(now_s > 3.0, now_s)
    assert (availability.healthy, availability.state(9.9), availability.available(20.0)) == (True, "ejected", 0.5)


def test_failures_before_it_was_unhealthy_do_not_count_after_it() -> None:
    availability = ejected_at([0.0], SETTINGS)
    for answer in "---++":
        availability.probed(answer == "+", 1.0)
    assert not availability.failed("error", 2.0)


@pytest.mark.parametrize(("unhealthy_s", "eject_s"), [(69.0, 20.0), (70.0, 10.0)])
def test_an_ejection_long_before_it_was_unhealthy_is_forgotten(unhealthy_s: float, eject_s: float) -> None:
    availability = ejected_at([0.0])
    for answer in "---++":
        availability.probed(answer == "+", unhealthy_s)
    assert availability.failed("error", unhealthy_s)
    states = [availability.state(unhealthy_s + passed_s) for passed_s in (eject_s - 0.1, eject_s)]
    assert states == ["ejected", "coming_back"]


@given(lists(tuples(floats(0, 100), sampled_from(["s", "e", "c", "+", "-"])), max_size=60), floats(0, 100))
def test_whatever_happens_it_comes_back_in_time_and_never_falls_on_the_way(
    events: list[tuple[float, str]], later_s: float
) -> None:
    availability = Availability(SETTINGS)
    now_s = 0.0
    for passed_s, event in events:
        now_s += passed_s
        before = availability.available(now_s)
        if event in "+-":
            changed = availability.probed(event == "+", now_s)
        elif event == "s":
            availability.succeeded()
            changed = False
        else:
            changed = availability.failed("error" if event == "e" else "connect", now_s)
        assert changed or availability.available(now_s) == before
        assert 0.0 <= before <= 1.0
    assert availability.available(now_s) <= availability.available(now_s + later_s)
    assert availability.available(now_s + 60.0 + 20.0) == float(availability.healthy)


NAMES = ["a", "b", "c"]
GONE = ejected_at([0.0])
COMING = ejected_at([-15.0])
TAKING = Availability(SETTINGS)
UNHEALTHY = looked_at("---")


@pytest.mark.parametrize(
    ("a", "b", "weight_b", "fallback", "expected"),
    [
        (TAKING, TAKING, 1.0, None, {"a": 1.0, "b": 1.0}),
        (GONE, TAKING, 1.0, None, {"a": 0.0, "b": 1.0}),
        (GONE, COMING, 1.0, None, {"a": 0.0, "b": 0.25}),
        (GONE, UNHEALTHY, 1.0, None, {"a": 1.0, "b": 1.0}),
        (GONE, TAKING, 0.0, None, {"a": 1.0, "b": 1.0}),
        (GONE, UNHEALTHY, 0.0, None, {"a": 1.0, "b": 0.0}),
        (GONE, TAKING, 0.0, "b", {"a": 0.0, "b": 1.0}),
        (GONE, GONE, 0.0, "b", {"a": 1.0, "b": 1.0}),
    ],
)
def test_only_where_nobody_is_left_do_all_count(
    a: Availability, b: Availability, weight_b: float, fallback: str | None, expected: dict[str, float]
) -> None:
    assert shares({"a": a, "b": b}, {"a": 9.0, "b": weight_b}, 0.0, fallback=fallback) == expected


@given(
    dictionaries(sampled_from(NAMES), tuples(sampled_from([GONE, COMING, TAKING, UNHEALTHY]), integers(0, 2))),
    sampled_from(NAMES) | none(),
    floats(-5.0, 100.0),
)
def test_there_is_always_somebody_to_serve(
    variants: dict[str, tuple[Availability, int]], fallback: str | None, now_s: float
) -> None:
    availabilities = {name: availability for name, (availability, _) in variants.items()}
    weights = {name: float(weight) for name, (_, weight) in variants.items()}
    parts = shares(availabilities, weights, now_s, fallback=fallback)
    assert parts.keys() == variants.keys()
    serving = [name for name in parts if weights[name] or name == fallback]
    assert not serving or any(parts[name] for name in serving)


def test_the_settings_are_the_configuration_s() -> None:
    ejection, health = Ejection(), Health()
    expected = Settings(
        errors=ejection.errors,
        connect_failures=ejection.connect_failures,
        eject_s=ejection.eject_s,
        max_eject_s=ejection.max_eject_s,
        return_s=ejection.return_s,
        unhealthy_after=health.unhealthy_after,
        healthy_after=health.healthy_after,
    )
    assert Settings() == expected
