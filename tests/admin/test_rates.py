import math

from sidecar.admin.rates import SPAN_S, Rate, Rates, Tally


def test_the_first_look_tells_the_rate_since_the_start() -> None:
    rates = Rates(100.0)
    assert rates.look(104.0, {"a": Tally(20, 2), "b": Tally()}) == {"a": Rate(5.0, 0.5, 4.0), "b": Rate(0.0, 0.0, 4.0)}


def test_no_time_no_rate() -> None:
    rate = Rates(1.0).look(1.0, {"a": Tally(3, 0)})["a"]
    assert math.isnan(rate.requests_per_s)
    assert math.isnan(rate.errors_per_s)


def test_looked_at_every_second_the_rate_is_that_of_the_last_ten() -> None:
    rates = Rates(0.0)
    for second in range(1, 31):
        requests = second if second <= 15 else 15 + 7 * (second - 15)
        last = rates.look(float(second), {"a": Tally(requests)})
    assert last == {"a": Rate(7.0, 0.0, SPAN_S)}


def test_looked_at_more_often_the_past_stays_short() -> None:
    rates = Rates(0.0)
    for tenth in range(1, 1001):
        last = rates.look(tenth / 10, {"a": Tally(tenth)})
    assert round(last["a"].requests_per_s, 6) == 10.0
    assert len(rates._past) <= SPAN_S + 2


def test_looked_at_rarely_the_rate_is_that_since_the_last_look() -> None:
    rates = Rates(0.0)
    rates.look(5.0, {"a": Tally(1000)})
    assert rates.look(305.0, {"a": Tally(1300)}) == {"a": Rate(1.0, 0.0, 300.0)}


def test_a_variant_that_comes_later_starts_at_nothing() -> None:
    rates = Rates(0.0)
    rates.look(1.0, {"a": Tally(5)})
    assert rates.look(12.0, {"b": Tally(22)}) == {"b": Rate(2.0, 0.0, 11.0)}
