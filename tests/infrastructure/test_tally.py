from dataclasses import dataclass

from hypothesis import given
from hypothesis import strategies as st

from sidecar.infrastructure.tally import Life, Tally

NAN = float("nan")


@dataclass(frozen=True, slots=True)
class Seen:
    grown: float
    level: float = 0.0


def told(tally: Tally, value: float, life: Life = Life("first"), subject: str = "model") -> float:  # noqa: B008
    return tally.since(subject, life, Seen(value), ["grown"]).grown


def test_counting_begins_when_a_subject_is_first_seen() -> None:
    tally = Tally()
    assert [told(tally, value) for value in (1000.0, 1000.0, 1003.0)] == [0.0, 0.0, 3.0]


def test_other_fields_are_told_as_they_are() -> None:
    assert Tally().since("model", Life(1), Seen(5.0, 7.0), ["grown"]) == Seen(0.0, 7.0)


def test_within_a_life_what_is_told_never_falls() -> None:
    tally = Tally()
    assert [told(tally, value) for value in (10.0, 15.0, 12.0, 16.0)] == [0.0, 5.0, 5.0, 6.0]


def test_what_begins_anew_without_a_sign_goes_on_from_what_was_told() -> None:
    tally = Tally()
    values = [told(tally, value, Life("", resets=True)) for value in (10.0, 15.0, 15.0, 3.0, 4.0, 1.0)]
    assert values == [0.0, 5.0, 5.0, 8.0, 9.0, 10.0]


def test_after_a_restart_what_is_read_is_all_new() -> None:
    tally = Tally()
    first = [told(tally, value) for value in (10.0, 15.0)]
    second = [told(tally, value, Life("second")) for value in (2.0, 3.0)]
    assert first + second == [0.0, 5.0, 7.0, 8.0]


def test_of_one_that_was_there_before_only_what_comes_is_new() -> None:
    tally = Tally()
    told(tally, 10.0)
    old = Life("older", fresh=False)
    assert [told(tally, value, old) for value in (9000.0, 9001.0)] == [0.0, 1.0]


def test_what_is_undefined_stays_so_and_changes_nothing() -> None:
    tally = Tally()
    values = [told(tally, value) for value in (10.0, NAN, 12.0)]
    assert str(values) == "[0.0, nan, 2.0]"


def test_whoever_is_forgotten_begins_again() -> None:
    tally = Tally()
    for subject in ("model", "other"):
        told(tally, 1.0, subject=subject)
    tally.keep({"other"})
    assert [told(tally, 5.0), told(tally, 5.0, subject="other")] == [0.0, 4.0]


@given(st.lists(st.tuples(st.integers(0, 3), st.floats(0, 1e12), st.booleans(), st.booleans()), max_size=30))
def test_whatever_is_read_what_is_told_never_falls(readings: list[tuple[int, float, bool, bool]]) -> None:
    tally = Tally()
    values = [told(tally, value, Life(life, fresh=fresh, resets=resets)) for life, value, fresh, resets in readings]
    assert values == sorted(values)
