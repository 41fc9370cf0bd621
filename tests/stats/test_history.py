import threading
from math import inf, nan

import numpy as np
import pytest

from sidecar.stats.history import GRAINS, MAX_SERIES, History, Key

RATE = Key("traffic", "champion", "requests_per_s")
PSI = Key("drift", "champion", "psi")
DAY_S = 86_400.0


def put(history: History, key: Key, now_s: float, *values: float, names: tuple[str, ...] = ("",)) -> None:
    history.put(key, names, np.array(values), now_s, mean=key == RATE)


def test_nothing_is_known_of_what_was_never_put() -> None:
    assert History().past("drift", "champion", "amount", now_s=50.0) == ([], {})


def test_a_step_that_was_left_out_has_no_number() -> None:
    history = History()
    for now_s in (5.0, 15.0, 35.0):
        put(history, PSI, now_s, now_s)

    times_s, series = history.past("drift", "champion", "", now_s=55.0)

    assert times_s == [10.0, 20.0, 30.0, 40.0, 50.0]
    np.testing.assert_array_equal(series["psi"], [5.0, 15.0, nan, 35.0, nan])


def test_the_step_of_now_is_told_once_it_has_a_number() -> None:
    history = History()
    put(history, PSI, 5.0, 1.0)
    before = history.past("drift", "champion", "", now_s=12.0)
    put(history, PSI, 15.0, 2.0)
    after = history.past("drift", "champion", "", now_s=16.0)
    assert (before, after) == (([10.0], {"psi": [1.0]}), ([10.0, 16.0], {"psi": [1.0, 2.0]}))


def test_of_one_step_the_last_value_stays() -> None:
    history = History()
    put(history, PSI, 11.0, 1.0)
    put(history, PSI, 19.0, 0.1)
    assert history.past("drift", "champion", "", now_s=19.0) == ([19.0], {"psi": [0.1]})


def test_a_step_of_the_day_has_the_mean_of_rates_and_the_last_of_others() -> None:
    history = History()
    for now_s, value in ((0.0, 1.0), (10.0, nan), (20.0, 3.0), (300.0, 7.0)):
        put(history, RATE, now_s, value)
        put(history, PSI, now_s, value)

    rates, statistics = (history.past(of, "champion", "", now_s=301.0, span="day") for of in ("traffic", "drift"))

    assert rates == ([300.0, 301.0], {"requests_per_s": [2.0, 7.0]})
    assert statistics == ([300.0, 301.0], {"psi": [3.0, 7.0]})


def test_a_mean_of_nothing_is_no_number() -> None:
    history = History()
    put(history, RATE, 0.0, nan)
    assert np.isnan(history.past("traffic", "champion", "", now_s=0.0, span="day").series["requests_per_s"]).all()


@pytest.mark.parametrize("span", ["hour", "day"])
def test_what_is_older_than_the_span_is_gone(span: str) -> None:
    grain = GRAINS[span]  # type: ignore[index]  # both are spans
    history = History()
    for step in range(grain.steps + 3):
        put(history, PSI, step * grain.step_s, float(step))

    now_s = (grain.steps + 2.5) * grain.step_s
    times_s, series = history.past("drift", "champion", "", now_s=now_s, span=span)  # type: ignore[arg-type]

    assert (len(times_s), times_s[0], times_s[-1]) == (grain.steps, 4 * grain.step_s, now_s)
    assert series["psi"] == [float(step) for step in range(3, grain.steps + 3)]


def test_a_clock_that_goes_back_neither_fails_nor_tells_the_future() -> None:
    history = History()
    put(history, PSI, 1000.0, 1.0)
    put(history, PSI, 500.0, 2.0)
    assert history.past("drift", "champion", "", now_s=500.0) == ([500.0], {"psi": [2.0]})


@pytest.mark.parametrize(
    ("value", "told"),
    [(inf, nan), (-inf, nan), (nan, nan), (1e300, 3.4028235e38), (-1e300, -3.4028235e38), (0.1, 0.1), (1e-7, 1e-7)],
)
def test_what_is_no_number_is_none_and_what_is_too_large_the_largest(value: float, told: float) -> None:
    history = History()
    put(history, PSI, 0.0, value)
    np.testing.assert_array_equal(history.past("drift", "champion", "", now_s=0.0).series["psi"], [told])


def test_what_keeps_its_name_keeps_its_past() -> None:
    history = History()
    put(history, PSI, 0.0, 1.0, 2.0, names=("a", "b"))
    put(history, PSI, 10.0, 3.0, 4.0, 5.0, names=("b", "c", "a"))

    told = {name: history.past("drift", "champion", name, now_s=10.0).series["psi"] for name in "abc"}

    assert (told["a"], told["b"]) == ([1.0, 5.0], [2.0, 3.0])
    np.testing.assert_array_equal(told["c"], [nan, 4.0])


def test_all_series_of_a_name_come_on_one_line_of_times() -> None:
    history = History()
    put(history, PSI, 0.0, 1.0)
    put(history, PSI._replace(series="evidence_nats"), 10.0, 2.0)
    times_s, series = history.past("drift", "champion", "", now_s=12.0)
    assert times_s == [10.0, 12.0]
    np.testing.assert_array_equal(series["psi"], [1.0, nan])
    np.testing.assert_array_equal(series["evidence_nats"], [nan, 2.0])


def test_without_a_version_the_one_that_was_put_last_is_told() -> None:
    history, quality = History(), Key("quality", "champion", "value")
    for version, value in (("3", 1.0), ("4", 2.0), ("3", 3.0)):
        put(history, quality._replace(version=version), 0.0, value)
    told = [history.past("quality", None, "", now_s=0.0, version=each).series for each in (None, "4", "5")]
    assert told == [{"value": [3.0]}, {"value": [2.0]}, {}]


def test_variants_are_kept_apart() -> None:
    history = History()
    put(history, PSI, 0.0, 1.0)
    assert history.past("drift", "challenger", "", now_s=0.0).series == {}


def test_beyond_the_bound_nothing_is_kept_and_that_is_counted() -> None:
    history = History(max_series=5)
    put(history, PSI, 0.0, *range(10), names=tuple("abcdefghij"))
    put(history, RATE, 0.0, 1.0)

    assert (history.series, history.omitted) == (5, 7)
    assert history.past("drift", "champion", "d", now_s=0.0).series == {"psi": [3.0]}
    assert history.past("drift", "champion", "e", now_s=0.0).series == {}


def test_wide_vectors_leave_room_for_others() -> None:
    history = History()
    wide = tuple(map(str, range(2 * MAX_SERIES)))
    put(history, PSI, 0.0, *range(len(wide)), names=wide)
    put(history, RATE, 0.0, 1.0)

    assert history.past("traffic", "champion", "", now_s=0.0).series == {"requests_per_s": [1.0]}
    assert history.series < MAX_SERIES


def test_what_nothing_is_put_of_for_a_day_makes_room() -> None:
    history = History(max_series=2)
    put(history, PSI, 0.0, 1.0)
    for now_s in (10.0, DAY_S + 10.0):
        put(history, RATE, now_s, 1.0)
    assert (history.series, history.omitted) == (2, 0)
    assert history.past("traffic", "champion", "", now_s=DAY_S + 10).series == {"requests_per_s": [1.0]}


def test_a_name_that_is_no_unicode_is_asked_for_by_its_escape() -> None:
    history = History()
    put(history, PSI, 0.0, 1.0, 2.0, names=("a\ud800", "a\\ud800"))
    assert history.past("drift", "champion", "a\\ud800", now_s=0.0).series == {"psi": [1.0]}


def test_at_its_bound_it_takes_no_more_than_twelve_megabytes() -> None:
    bytes_a_series = sum(grain.steps * np.dtype(np.float32).itemsize for grain in GRAINS.values())
    assert MAX_SERIES * bytes_a_series < 12e6


def test_it_may_be_put_and_read_by_several_threads() -> None:
    history = History(max_series=1000)
    errors: list[BaseException] = []

    def work(name: str) -> None:
        try:
            for step in range(200):
                put(history, PSI._replace(variant=f"{name}{step % 7}"), 10.0 * step, 1.0, names=(name, str(step % 3)))
                history.past("drift", None, name, now_s=10.0 * step)
        except BaseException as error:  # noqa: BLE001  # to be told by the test
            errors.append(error)

    threads = [threading.Thread(target=work, args=(name,)) for name in "abcd"]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert errors == []
