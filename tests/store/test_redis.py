import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from itertools import count
from pathlib import Path

import pytest
import redis
from hypothesis import given, settings

from sidecar.errors import ConfigError, DeliveryError
from sidecar.ports import Store
from sidecar.records import Joined, Label, LabelCounts, LabelStatus, Prediction
from sidecar.store.redis import LEASE_S, Redis
from tests.store import contract
from tests.store.contract import NOW_S, Add, Delivery, Limits, Open, Story, counts, label, pairs, prediction
from tests.store.redis_server import RedisServer

PREFIXES = (f"test-{number}" for number in count())
PATIENCE_S = 30.0
DURABLE = ("--appendonly", "yes", "--appendfsync", "always")


@pytest.fixture(scope="module")
def server() -> Iterator[RedisServer]:
    with RedisServer() as running:
        yield running


def opened(server: RedisServer, prefix: str, limits: Limits = Limits(), timeout_s: float = PATIENCE_S) -> Redis:  # noqa: B008
    return Redis(
        "",
        url=server.url,
        prefix=prefix,
        keep_s=limits.keep_s,
        rows=limits.rows,
        wait_s=limits.wait_s,
        timeout_s=timeout_s,
    )


def leading(store: Redis) -> Redis:
    assert store.leads(NOW_S)
    return store


def client(server: RedisServer) -> redis.Redis:
    """Somebody else who is connected to the server."""
    return redis.Redis(unix_socket_path=str(server.socket), protocol=2)


def keys(server: RedisServer) -> list[bytes]:
    found = client(server).keys("*")
    return [key for key in found if isinstance(key, bytes)]


@contextmanager
def place(server: RedisServer) -> Iterator[Open]:
    prefix = next(PREFIXES)
    yield lambda limits: leading(opened(server, prefix, limits))


@pytest.mark.parametrize("case", contract.CASES, ids=lambda case: case.__name__)
def test_it_does_what_every_store_promises(server: RedisServer, case: Callable[[Open], None]) -> None:
    with place(server) as fresh:
        case(fresh)


@given(contract.stories())
@settings(max_examples=50)
def test_it_does_what_the_oracle_does(server: RedisServer, story: Story) -> None:
    with place(server) as fresh:
        contract.follow(fresh, story)


def by_request(delivery: Delivery) -> Delivery:
    """Without the labels by event ids: of two that call one exchange by different ids the first stands, and what the
    second joins then depends on the order, as the oracle says.
    """
    steps = tuple(
        Add(tuple(each for each in step.labels if each.id.startswith("request-"))) if isinstance(step, Add) else step
        for step in delivery.steps
    )
    return replace(delivery, steps=steps)


@given(contract.deliveries().map(by_request))
@settings(max_examples=50)
def test_what_is_joined_is_what_arrived(server: RedisServer, delivery: Delivery) -> None:
    with place(server) as fresh:
        contract.deliver(fresh, delivery)


@dataclass
class Fleet:
    """Two sidecars that take turns, call by call; the first of them leads."""

    leader: Redis
    other: Redis
    calls: int = 0

    def next(self) -> Redis:
        self.calls += 1
        return (self.leader, self.other)[self.calls % 2]

    def keep(self, predictions: Sequence[Prediction], now_s: float) -> None:
        self.next().keep(predictions, now_s)

    def add(self, labels: Sequence[Label], now_s: float) -> list[LabelStatus]:
        return self.next().add(labels, now_s)

    def joined(self, after: int, limit: int) -> list[Joined]:
        return self.next().joined(after, limit)

    def tidy(self, now_s: float) -> None:
        self.next().tidy(now_s)

    def save(self, name: str, data: bytes, upto: int) -> None:
        self.leader.save(name, data, upto)

    def read(self, name: str) -> tuple[bytes, int] | None:
        return self.next().read(name)

    def leads(self, now_s: float) -> bool:
        return self.leader.leads(now_s)

    @property
    def counts(self) -> LabelCounts:
        return self.next().counts

    def close(self) -> None:
        self.leader.close()
        self.other.close()


@contextmanager
def shared(server: RedisServer) -> Iterator[Open]:
    prefix = next(PREFIXES)

    def fresh(limits: Limits) -> Store:
        return Fleet(leading(opened(server, prefix, limits)), opened(server, prefix, limits))

    yield fresh


@given(contract.stories())
@settings(max_examples=50)
def test_two_that_share_it_do_what_the_oracle_alone_does(server: RedisServer, story: Story) -> None:
    with shared(server) as fresh:
        contract.follow(fresh, story)


@given(contract.deliveries().map(by_request))
@settings(max_examples=50)
def test_what_two_join_is_what_arrived_at_either(server: RedisServer, delivery: Delivery) -> None:
    with shared(server) as fresh:
        contract.deliver(fresh, delivery)


PROCESS = """
import sys
from sidecar.records import Label, Prediction
from sidecar.store.redis import Redis

_, url, prefix, variant = sys.argv
store = Redis("", url=url, prefix=prefix, timeout_s=30.0)
print("ready", flush=True)
sys.stdin.readline()
for n in range(0, 400, 8):
    numbers = range(n, n + 8)
    store.keep([Prediction((f"{variant}-{i}", f"r{i}"), variant, "", 0, 1, (), [], (), [[i]]) for i in numbers], 1)
    # The other process posts the same labels, and keeps the same requests of another variant.
    statuses = store.add([Label(f"r{399 - i}", (variant,)) for i in numbers], 1)
    assert set(statuses) <= {"joined", "waiting", "duplicate"}, statuses
store.close()
"""


def test_two_processes_at_once_join_every_label_once_with_every_variant(server: RedisServer) -> None:
    prefix = next(PREFIXES)
    started = [
        subprocess.Popen(
            [sys.executable, "-c", PROCESS, server.url, prefix, variant],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            cwd=Path(__file__).parents[2],
        )
        for variant in "ab"
    ]
    for process in started:
        assert process.stdout
        assert process.stdout.readline() == b"ready\n"
    for process in started:
        assert process.stdin
        process.stdin.write(b"\n")
        process.stdin.flush()
    for process in started:
        process.communicate(timeout=PATIENCE_S)
        assert process.returncode == 0
    with closing(opened(server, prefix)) as store:
        read = store.joined(0, 10_000)
        expected = {(variant, f"r{n}") for variant in "ab" for n in range(400)}
        assert sorted((each.prediction.variant, each.label.id) for each in read) == sorted(expected)
        assert store.counts == counts(predictions=800, joined=400, duplicate=400)


def test_what_was_acknowledged_survives_the_death_of_the_server() -> None:
    with RedisServer(*DURABLE) as mortal, closing(leading(opened(mortal, "p"))) as store:
        store.keep([prediction("e", "r"), prediction("f", "s")], NOW_S)
        assert store.add([label("r"), label("t")], NOW_S) == ["joined", "waiting"]
        store.save("quality", b"1", 1)
        before = (store.counts, pairs(store))
        mortal.kill()
        mortal.start()
        assert (store.counts, pairs(store)) == before
        assert store.read("quality") == (b"1", 1)
        assert store.leads(NOW_S)
        assert store.add([label("r"), label("s"), label("t")], NOW_S) == ["duplicate", "joined", "duplicate"]


def test_a_server_that_has_forgotten_the_script_is_given_it_again(server: RedisServer) -> None:
    with closing(opened(server, next(PREFIXES))) as store:
        store.keep([prediction("r")], NOW_S)
        client(server).script_flush()
        assert store.add([label("r")], NOW_S) == ["joined"]


def test_one_leads_at_a_time(server: RedisServer) -> None:
    prefix = next(PREFIXES)
    with closing(opened(server, prefix)) as first, closing(opened(server, prefix)) as second:
        assert [first.leads(NOW_S), second.leads(NOW_S), first.leads(NOW_S + 1e6)] == [True, False, True]
        first.close()
        assert [second.leads(NOW_S), first.leads(NOW_S)] == [True, False]


def end_of_lease(server: RedisServer, prefix: str) -> None:
    """What its end by the server's clock does."""
    assert client(server).delete(f"{{{prefix}}}:lease") == 1


def test_a_lease_ends_by_the_clock_of_the_server(server: RedisServer) -> None:
    prefix = next(PREFIXES)
    with closing(opened(server, prefix)) as store:
        leading(store)
        assert client(server).pexpire(f"{{{prefix}}}:lease", 1000)
        leading(store)
        left_ms = client(server).pttl(f"{{{prefix}}}:lease")
        assert LEASE_S * 1000 - 5000 < left_ms <= LEASE_S * 1000


def test_another_goes_on_where_a_dead_leader_saved(server: RedisServer) -> None:
    prefix = next(PREFIXES)
    with closing(opened(server, prefix)) as dead, closing(opened(server, prefix)) as other:
        leading(dead).keep([prediction("r"), prediction("s")], NOW_S)
        dead.add([label("r"), label("s")], NOW_S)
        dead.save("quality", b"r", dead.joined(0, 1)[0].number)
        end_of_lease(server, prefix)
        assert other.leads(NOW_S)
        saved = other.read("quality")
        assert saved
        assert [each.label.id for each in other.joined(saved[1], 10)] == ["s"]


@pytest.mark.parametrize("successor", [True, False])
def test_who_has_lost_the_lease_saves_nothing(server: RedisServer, successor: bool) -> None:
    prefix = next(PREFIXES)
    with closing(opened(server, prefix)) as late, closing(opened(server, prefix)) as other:
        leading(late).save("quality", b"1", 1)
        end_of_lease(server, prefix)
        if successor:
            leading(other).save("quality", b"2", 2)
        with pytest.raises(DeliveryError, match="FENCED another sidecar leads, or nobody does"):
            late.save("quality", b"old", 1)
        assert other.read("quality") == ((b"2", 2) if successor else (b"1", 1))


def test_who_never_led_saves_nothing(server: RedisServer) -> None:
    with closing(opened(server, next(PREFIXES))) as store:
        with pytest.raises(DeliveryError, match="FENCED"):
            store.save("quality", b"1", 1)
        assert store.read("quality") is None


def test_a_leader_that_overslept_is_told_once_that_it_led_no_more(server: RedisServer) -> None:
    """Another may have led, saved and died meanwhile; who is told that it begins reads what was saved."""
    prefix = next(PREFIXES)
    with closing(leading(opened(server, prefix))) as store:
        end_of_lease(server, prefix)
        assert [store.leads(NOW_S) for _ in range(3)] == [False, True, True]


def test_all_keys_are_in_one_slot_of_a_cluster(server: RedisServer) -> None:
    prefix = next(PREFIXES)
    with closing(leading(opened(server, prefix, Limits(rows=1)))) as store:
        store.keep([prediction("a"), prediction("b"), prediction("c", "r"), prediction("c2", "r", variant="b")], NOW_S)
        store.add([label("r"), label("late")], NOW_S)
        store.save("quality", b"1", 0)
        ours = [key for key in keys(server) if f"{prefix}}}".encode() in key]
        assert {key.partition(b"}")[0] for key in ours} == {b"{" + prefix.encode()}
        assert len(ours) > 10


def test_memory_stays_bounded_however_many_come() -> None:
    limits = Limits(keep_s=100.0, rows=60, wait_s=10.0)
    with RedisServer() as own, closing(leading(opened(own, "p", limits))) as store:
        sizes = []
        for turn in range(24):
            now_s, n = NOW_S + turn * 20.0, turn * 50
            store.keep([prediction(f"e{i}", f"r{i}") for i in range(n, n + 50)], now_s)
            store.add([label(f"r{i}", metric=metric) for i in range(n, n + 30) for metric in ("", "click")], now_s)
            store.add([label(f"nobody-{i}") for i in range(n, n + 30)], now_s)
            read = store.joined(0, 10_000)
            store.save("quality", b"state", read[-1].number if turn % 3 else 0)
            store.tidy(now_s)
            sizes.append(sum(size(own, key) for key in keys(own)))
        assert max(sizes[12:]) <= max(sizes[:12])
        contract.settle(store, NOW_S + 1e6)
        store.save("quality", b"state", 10**9)
        contract.settle(store, NOW_S + 1e6)
        left = {key.partition(b":")[2] for key in keys(own)}
        assert left == {b"meta", b"counts", b"saved", b"places", b"lease"}


def size(server: RedisServer, key: bytes) -> int:
    """Members of it."""
    match client(server).type(key):
        case b"hash":
            return int(client(server).hlen(key))
        case b"zset":
            return int(client(server).zcard(key))
    return 1


def test_what_a_save_frees_goes_in_short_runs(server: RedisServer) -> None:
    """More than one run of the script may do; and back again, when somebody begins to read further behind."""
    limits = Limits()
    with place(server) as fresh, closing(fresh(limits)) as store:
        names = [str(n) for n in range(1000)]
        store.keep([prediction(name) for name in names], NOW_S)
        store.add([label(name) for name in names], NOW_S)
        read = store.joined(0, 1000)
        assert [each.label.id for each in read] == names
        store.save("quality", b"", read[-1].number)
        store.save("bias", b"", read[499].number)
        contract.settle(store, NOW_S + limits.keep_s)
        assert [told.id for _, _, told in pairs(store)] == names[500:]
        store.save("bias", b"", read[-1].number)
        contract.settle(store, NOW_S + limits.keep_s)
        assert pairs(store) == []


def test_what_came_just_now_stays_rather_than_what_was_joined_just_before(server: RedisServer) -> None:
    with place(server) as fresh, closing(fresh(Limits(rows=1))) as store:
        store.keep([prediction("r")], NOW_S)
        store.add([label("r")], NOW_S)
        store.keep([prediction("s")], NOW_S)
        assert store.add([label("r"), label("s")], NOW_S) == ["expired", "joined"]


def test_a_lower_bound_of_rows_holds_when_it_has_been_tidied(server: RedisServer) -> None:
    prefix = next(PREFIXES)
    with closing(opened(server, prefix)) as store:
        store.keep([prediction(str(n)) for n in range(1000)], NOW_S)
    with closing(opened(server, prefix, Limits(rows=10))) as store:
        store.tidy(NOW_S)
        assert store.counts == counts(predictions=1000, awaiting=10, missing=990)
        assert store.add([label("989"), label("990")], NOW_S) == ["expired", "joined"]


def test_a_call_lets_go_of_only_so_many(server: RedisServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sidecar.store.redis.MAX_RUNS", 1)
    with place(server) as fresh, closing(fresh(Limits(keep_s=1.0))) as store:
        store.keep([prediction(str(n)) for n in range(500)], NOW_S)
        missing = []
        for _ in range(4):
            store.tidy(NOW_S + 1)
            missing.append(store.counts.missing)
        assert missing == [200, 400, 500, 500]


def test_a_server_without_room_is_told_of_and_nothing_is_written() -> None:
    with RedisServer("--maxmemory", "64mb") as full, closing(opened(full, "p")) as store:
        store.keep([prediction("r")], NOW_S)
        client(full).config_set("maxmemory", 1)
        with pytest.raises(DeliveryError, match="answered OOM "):
            store.keep([prediction("s"), prediction("t")], NOW_S)
        client(full).config_set("maxmemory", 0)
        assert store.counts == counts(predictions=1, awaiting=1)


def test_what_a_later_sidecar_wrote_is_left_alone(server: RedisServer) -> None:
    prefix = next(PREFIXES)
    with closing(opened(server, prefix)) as store:
        store.keep([prediction("r")], NOW_S)
        client(server).hset(f"{{{prefix}}}:meta", "schema", 2)
        with pytest.raises(DeliveryError, match="SCHEMA 2 is that of a later sidecar, expected 1 at most"):
            store.add([label("r")], NOW_S)


def test_what_is_closed_while_the_server_is_down_is_closed() -> None:
    with RedisServer() as mortal:
        store = leading(opened(mortal, "p"))
        mortal.kill()
        store.close()
        with pytest.raises(DeliveryError, match="no connection: "):
            store.read("quality")


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (
            {"url": "http://redis"},
            "url: expected redis://host:port/number, rediss://host:port/number or unix:///path?db=number",
        ),
        ({"url": "redis://redis?socket_timeout=0"}, "url: options in its query, expected none but db and password"),
        (
            {"url": "redis://:secret@redis", "password_file": "/p"},
            "password_file: given beside a password in url; expected one of the two",
        ),
        ({"url": "redis://redis", "ca": "/ca"}, "ca: given, but url does not speak TLS; expected rediss://"),
        ({"url": "redis://redis", "prefix": "a{b}"}, "prefix: expected 1 to 64 letters, digits and any of _ . : -"),
    ],
)
def test_what_cannot_be_used_is_refused_before_anything_is_reached(options: dict[str, str], told: str) -> None:
    with pytest.raises(ConfigError) as refused:
        Redis("", **options)  # type: ignore[arg-type]  # a table of texts
    assert str(refused.value) == told


def test_a_client_of_redis_that_is_not_installed_is_told_of(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "redis", None)
    with pytest.raises(ConfigError, match=r"kind: redis is not installed, expected pip install 'sidecar\[redis\]'"):
        Redis("", url="redis://redis")


def test_the_password_is_not_shown() -> None:
    assert "secret" not in repr(Redis("", url="redis://:secret@redis"))
