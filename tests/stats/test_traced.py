import random
from math import inf

import pytest
from opentelemetry.sdk.trace.sampling import Decision, ParentBased, TraceIdRatioBased

from sidecar.stats.traced import FAILED, SAMPLED, SLOW, Sampler, Tail, Traced, Tracing

NOT_SAMPLED = Sampler(0.0)


def tracing(sampler: Sampler = NOT_SAMPLED, tail: Tail | None = None, *, max_waiting: int = 10) -> Tracing:
    return Tracing(sampler, tail, max_waiting=max_waiting, max_batch=3, bits=random.Random(1).getrandbits)


def traced(reason: str = SAMPLED) -> Traced:
    return Traced(
        trace_id=b"1" * 32,
        parent_id=b"",
        server_id=b"2" * 16,
        client_id=b"3" * 16,
        reason=reason,
        request_id=b"r",
        method=b"GET",
        path=b"/",
        minor=1,
        route="",
        user_agent=b"",
        status=200,
        error_type="",
        cut=False,
        started_s=1e9,
        duration_s=1.0,
    )


@pytest.mark.parametrize("ratio", [0.0, 1e-12, 0.1, 0.5, 1 - 1e-12, 1.0])
def test_traces_are_sampled_as_the_sdk_samples_them(ratio: float) -> None:
    ours, theirs, chance = tracing(Sampler(ratio)), ParentBased(TraceIdRatioBased(ratio)), random.Random(2)
    bound = TraceIdRatioBased.get_bound_for_rate(ratio)
    edges = [bound - 1, bound, bound + 1, 0, (1 << 64) - 1]
    for trace_id in [chance.getrandbits(128) for _ in range(300)] + [each % (1 << 64) | 1 << 127 for each in edges]:
        expected = theirs.should_sample(None, trace_id, "").decision is Decision.RECORD_AND_SAMPLE
        assert ours.draws((b"%032x" % trace_id)[16:]) == expected


def test_ids_are_of_their_length_and_never_zero() -> None:
    for number in (0, 1, (1 << 64) - 1):
        ours = Tracing(NOT_SAMPLED, None, bits={64: number, 128: number}.__getitem__)
        assert (ours.fresh_trace(), ours.fresh_span()) == (b"%032x" % (number or 1), b"%016x" % (number or 1))


@pytest.mark.parametrize(
    ("tail", "failed", "duration_s", "reason"),
    [
        (None, True, 100.0, ""),
        (Tail(), True, 0.0, FAILED),
        (Tail(), False, 100.0, ""),
        (Tail(errors=False), True, 100.0, ""),
        (Tail(slow_s=1.0), False, 1.0, ""),
        (Tail(slow_s=1.0), False, 1.001, SLOW),
        (Tail(slow_s=1.0), True, 1.001, FAILED),
        (Tail(errors=False, slow_s=1.0), True, 1.001, SLOW),
        (Tail(slow_s=inf), False, 1e9, ""),
    ],
)
def test_the_tail_keeps_what_failed_or_was_slow(
    tail: Tail | None, failed: bool, duration_s: float, reason: str
) -> None:
    assert tracing(tail=tail).notable(failed=failed, duration_s=duration_s) == reason


def test_within_no_minute_the_tail_keeps_more_than_it_may() -> None:
    ours, chance, now_s, kept_s = tracing(tail=Tail(per_minute=7)), random.Random(3), 100.0, []
    for _ in range(5000):
        now_s += chance.expovariate(1.0)
        if ours.admits(chance.choice([FAILED, SLOW]), now_s):
            kept_s.append(now_s)
    assert all(later - earlier >= 60 for earlier, later in zip(kept_s, kept_s[7:], strict=False))
    assert len(kept_s) == pytest.approx(7 * (now_s - 100) / 60, rel=0.2)
    assert ours.dropped == {"tail_limit": 5000 - len(kept_s)}


def test_what_is_sampled_does_not_count_for_the_tail() -> None:
    ours = tracing(tail=Tail(per_minute=1))
    assert [ours.admits(reason, 5.0) for reason in (SAMPLED, FAILED, SAMPLED, FAILED)] == [True, True, True, False]


def test_beyond_its_bound_the_newest_is_dropped() -> None:
    ours = tracing(tail=Tail(per_minute=1), max_waiting=2)
    for _ in range(2):
        assert ours.admits(SAMPLED, 0.0)
        ours.take(traced())
    assert not ours.admits(SAMPLED, 0.0)
    assert not ours.admits(FAILED, 0.0)
    assert (len(ours.waiting), ours.kept, ours.dropped) == (2, {SAMPLED: 2}, {"queue_full": 2})
    ours.waiting.clear()
    assert ours.admits(FAILED, 0.0), "what found no room is not the tail's"


def test_whoever_exports_is_woken_by_the_first_of_a_batch_and_by_its_last() -> None:
    ours, rung = tracing(), []
    ours.take(traced())  # before anybody exports
    ours.waiting.clear()
    ours.ring = lambda: rung.append(len(ours.waiting))
    for _ in range(6):
        ours.take(traced())
    ours.waiting.clear()
    ours.take(traced())
    assert rung == [1, 3, 1]


def test_where_each_is_a_batch_it_is_both() -> None:
    ours, rung = Tracing(NOT_SAMPLED, None, max_batch=1, bits=random.Random(1).getrandbits), []
    ours.ring = lambda: rung.append(len(ours.waiting))
    ours.take(traced())
    assert rung == [1, 1]
