import json
from collections.abc import Callable, Sequence
from math import inf, nan

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.config.telemetry import Attribute, CustomMetric
from sidecar.exchange import Exchange, Message
from sidecar.payload.custom import MAX_VALUES, OTHER, Custom, Tally, buckets
from sidecar.payload.reading import UNREAD, Documents, Reader
from sidecar.records import JSON

COST = CustomMetric(name="cost", kind="counter", header="X-Cost")
TOKENS = CustomMetric(name="tokens", kind="counter", pointer="/usage/tokens")
SCORES = CustomMetric(name="scores", kind="histogram", pointer="/predictions/*", bounds=(0.0, 0.5, 1.0))
LATEST = CustomMetric(name="queue", kind="value", header="x-queue")
TENANT = Attribute(name="tenant", header="X-Tenant", values=("a", "b"))
PLAN = Attribute(name="plan", pointer="/plan", values=("free", "true", "3", "1.5"))
OF_TENANT = CustomMetric(name="cost", kind="counter", header="X-Cost", attributes=(TENANT, PLAN))

MakeExchange = Callable[..., Exchange]


def message(document: JSON = None, *fields: str, body: bytes | None = None, media: str = "application/json") -> Message:
    lines = "".join(f"{field}\r\n" for field in (f"Content-Type: {media}", *fields)).encode("latin-1")
    data = json.dumps(document).encode() if body is None else body
    return Message(lines, [data] if data else [])


def feed(
    custom: Custom,
    *exchanges: Exchange,
    redact: Sequence[str] = (),
    bodies: bool = True,
) -> list[Documents]:
    """The documents that decoding would get."""
    reader = Reader(max_inflated_bytes=1 << 20, redact=redact)
    return [custom.count(each, *reader.read(each), bodies=bodies) for each in exchanges]


def only(custom: Custom) -> Tally:
    (tally,) = custom.tallies
    return tally


def totals(tally: Tally) -> dict[tuple[str | None, ...], float]:
    return {key: series.total for key, series in tally.series.items()}


def test_a_counter_adds_what_all_exchanges_would_have(make_exchange: MakeExchange) -> None:
    custom = Custom([COST], max_series=10)
    exchanges = [make_exchange(message(), message(None, f"x-cost: {cost}")) for cost in ("1.5", "2", ".25", "+1.e1")]
    feed(custom, *exchanges, make_exchange(message(), message(None, "x-cost: 1"))._replace(sample_ratio=1.0))
    assert totals(only(custom)) == {("champion", "3"): pytest.approx(10 * 13.75 + 1, rel=1e-12)}
    assert (only(custom).failures, only(custom).omitted) == (0, 0)


def test_the_latest_value_stays(make_exchange: MakeExchange) -> None:
    custom = Custom([LATEST], max_series=10)
    feed(custom, *(make_exchange(message(), message(None, f"X-Queue: {each}")) for each in ("7", "-3", "x")))
    assert totals(only(custom)) == {("champion", "3"): -3.0}
    assert only(custom).failures == 1


def test_series_are_told_apart_by_variant_version_and_the_known_values(make_exchange: MakeExchange) -> None:
    custom = Custom([OF_TENANT], max_series=100)
    reply = message(None, "X-Cost: 1")
    asked: list[tuple[Message, tuple[str | None, str | None]]] = [
        (message({"plan": "free"}, "x-tenant: a"), ("a", "free")),
        (message({"plan": "gold"}, "x-tenant: c"), (OTHER, OTHER)),
        (message({"plan": True}, "x-tenant: a", "x-tenant: b"), (OTHER, "true")),
        (message({"plan": 3}), (None, "3")),
        (message({"plan": 1.5}), (None, "1.5")),
        (message({"plan": None}), (None, None)),
        (message({"plan": {"free": 1}}), (None, OTHER)),
        (message([]), (None, None)),
    ]
    feed(custom, *(make_exchange(request, reply) for request, _ in asked))
    feed(custom, make_exchange(message({"plan": "free"}), reply)._replace(variant="rival", version=""))
    expected = dict.fromkeys((("champion", "3", *values) for _, values in asked), 10.0)
    expected["champion", "3", None, None] = 20.0
    assert totals(only(custom)) == expected | {("rival", "", None, "free"): 10.0}


@pytest.mark.parametrize(
    "text", ["", "x", "1,5", "1_0", "nan", "inf", "Infinity", "1e999", "0x10", "1 2", "--1", "1e", "٣", "9" * 41, "-1"]
)
def test_a_field_that_is_no_number_of_its_kind_is_counted(text: str, make_exchange: MakeExchange) -> None:
    custom = Custom([COST], max_series=10)
    lines = f"x-cost: {text}\r\n".encode()
    feed(custom, make_exchange(message(), Message(lines, [])))
    assert (totals(only(custom)), only(custom).failures) == ({}, 1)


@pytest.mark.parametrize("value", ["3", True, None, [1], {"a": 1}, nan, inf, -1, "[redacted]"])
def test_what_is_no_number_of_its_kind_in_a_document_is_counted(value: JSON, make_exchange: MakeExchange) -> None:
    custom = Custom([TOKENS], max_series=10)
    feed(custom, make_exchange(message(), message({"usage": {"tokens": value}})))
    assert (totals(only(custom)), only(custom).failures) == ({}, 1)


def test_integers_beyond_a_double_are_counted_as_no_numbers(make_exchange: MakeExchange) -> None:
    custom = Custom([TOKENS], max_series=10)
    body = b'{"a": NaN, "usage": {"tokens": ' + b"9" * 400 + b"}}"
    feed(custom, make_exchange(message(), message(body=body)))
    assert only(custom).failures == 1


@pytest.mark.parametrize(
    "reply",
    [
        message({"usage": {}}),
        message({"usage": 3}),
        message([]),
        message(None, body=b""),
        message(None, body=b"{"),
        message(None, body=b"3"),
        message(None, body=b"3", media="text/plain"),
        message({"usage": {"tokens": 3}}, media="text/csv"),
        message({"usage": {"tokens": 3}}, media="application/x-ndjson"),
        message({"usage": {"tokens": 3}})._replace(truncated=True),
        message({"usage": {"tokens": 3}}, "Content-Encoding: br"),
    ],
)
def test_where_nothing_is_there_nothing_is_counted(reply: Message, make_exchange: MakeExchange) -> None:
    custom = Custom([TOKENS, COST], max_series=10)
    feed(custom, make_exchange(message(), reply))
    assert [(totals(each), each.failures, each.omitted) for each in custom.tallies] == [({}, 0, 0)] * 2


def test_each_of_several_values_counts(make_exchange: MakeExchange) -> None:
    custom = Custom([SCORES], max_series=10)
    reply = message({"predictions": [-1, 0, 0.25, 0.5, 0.75, 7, "x"]})
    feed(custom, make_exchange(message(), reply)._replace(sample_ratio=0.5))
    (series,) = only(custom).series.values()
    told = buckets(series, SCORES.bounds)
    assert (told.bounds, told.counts, told.total) == (SCORES.bounds, [4, 4, 2, 2], 15.0)
    assert only(custom).failures == 1


@given(st.lists(st.tuples(st.integers(0, 3), st.floats(0.01, 1.0)), max_size=60))
def test_counts_are_whole_never_fall_and_are_never_off_by_more_than_a_half(drawn: list[tuple[int, float]]) -> None:
    custom = Custom([SCORES], max_series=10)
    exact, before = [0.0] * 4, [0] * 4
    for bucket, ratio in drawn:
        reply = message({"predictions": [[0.0, 0.5, 1.0, 2.0][bucket]]})
        exchange = Exchange("r", "v", "", "POST", b"/", "", 200, "", message(), reply, 0, 0, 0, 0, ratio)
        feed(custom, exchange)
        exact[bucket] += 1 / ratio
        (series,) = only(custom).series.values()
        counts = list(buckets(series, SCORES.bounds).counts)
        assert all(after >= earlier for earlier, after in zip(before, counts, strict=True))
        assert all(abs(count - weight) <= 0.5 + 1e-9 for count, weight in zip(counts, exact, strict=True))
        before = counts


def test_series_beyond_the_limit_are_counted(make_exchange: MakeExchange) -> None:
    custom = Custom([OF_TENANT], max_series=2)
    reply = message(None, "X-Cost: 1")
    feed(custom, *(make_exchange(message({}, f"x-tenant: {each}"), reply) for each in ("a", "b", "c", "a")))
    assert totals(only(custom)) == {("champion", "3", "a", None): 20.0, ("champion", "3", "b", None): 10.0}
    assert only(custom).omitted == 1


def test_values_beyond_the_bound_of_one_exchange_are_counted(make_exchange: MakeExchange) -> None:
    custom = Custom([SCORES], max_series=2)
    feed(custom, make_exchange(message(), message({"predictions": [1] * (MAX_VALUES + 3)}))._replace(sample_ratio=1.0))
    assert (totals(only(custom)), only(custom).omitted) == ({("champion", "3"): float(MAX_VALUES)}, 3)


def test_a_sum_stays_a_number(make_exchange: MakeExchange) -> None:
    custom = Custom([COST], max_series=2)
    feed(custom, *(make_exchange(message(), message(None, f"x-cost: {each}")) for each in ("1", "1e308", "1")))
    assert (totals(only(custom)), only(custom).failures) == ({("champion", "3"): 20.0}, 1)


def test_a_count_goes_as_far_as_a_double_counts(make_exchange: MakeExchange) -> None:
    """However small the ratio is: what the protocol has no number for would cost all other metrics of a report."""
    custom = Custom([SCORES], max_series=10)
    reply = message({"predictions": [0.25, 2.0]})
    for ratio in (1.0, 2.0**-54, 1e-30, 5e-324):
        feed(custom, make_exchange(message(), reply)._replace(sample_ratio=ratio))
    (series,) = only(custom).series.values()
    assert buckets(series, SCORES.bounds).counts == [0, 1, 0, 1]
    assert (series.total, only(custom).failures) == (2.25, 6)


def test_an_exchange_without_a_ratio_counts_for_itself(make_exchange: MakeExchange) -> None:
    custom = Custom([COST], max_series=2)
    feed(custom, make_exchange(message(), message(None, "x-cost: 3"))._replace(sample_ratio=0.0))
    assert totals(only(custom)) == {("champion", "3"): 3.0}


def test_what_is_redacted_never_comes_out(make_exchange: MakeExchange) -> None:
    secret = CustomMetric(name="card", kind="value", pointer="/card", of="request")
    told = CustomMetric(name="tokens", kind="counter", pointer="/usage/tokens", attributes=(PLAN,))
    custom = Custom([secret, told], max_series=10)
    request, reply = message({"card": 4111, "plan": "free"}), message({"usage": {"tokens": 3}})
    feed(custom, make_exchange(request, reply), redact=["/card", "/plan"])
    assert [totals(each) for each in custom.tallies] == [{}, {("champion", "3", OTHER): 30.0}]
    assert custom.tallies[0].failures == 1


def test_fields_that_are_never_kept_are_not_read(make_exchange: MakeExchange) -> None:
    custom = Custom([OF_TENANT], max_series=10, redact_headers=["X-TENANT"])
    feed(custom, make_exchange(message({}, "x-tenant: a"), message(None, "x-cost: 1")))
    assert list(only(custom).series) == [("champion", "3", None, None)]


def test_a_body_is_parsed_once_and_only_where_it_is_asked_for(make_exchange: MakeExchange) -> None:
    exchange = make_exchange(message({"a": 1}), message({"usage": {"tokens": 3}}))
    assert feed(Custom([COST], max_series=1), exchange) == [UNREAD]
    assert feed(Custom([TOKENS], max_series=1), exchange) == [Documents(None, {"usage": {"tokens": 3}})]
    assert feed(Custom([OF_TENANT], max_series=1), exchange) == [Documents({"a": 1}, None)]
    assert feed(Custom([TOKENS], max_series=1), exchange, bodies=False) == [UNREAD]


def test_a_metric_that_has_not_changed_goes_on(make_exchange: MakeExchange) -> None:
    exchange = make_exchange(message(), message({"usage": {"tokens": 3}}, "x-cost: 1"))
    earlier = Custom([COST, TOKENS], max_series=10)
    feed(earlier, exchange)
    changed = CustomMetric(name="tokens", kind="value", pointer="/usage/tokens")
    later = Custom([changed, COST], max_series=10, earlier=earlier)
    feed(later, exchange)
    assert [totals(each) for each in later.tallies] == [{("champion", "3"): 3.0}, {("champion", "3"): 20.0}]
