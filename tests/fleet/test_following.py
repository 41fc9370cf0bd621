import asyncio
import json
import logging
from dataclasses import replace
from pathlib import Path

import pytest
import trustme
from aiohttp import web

from sidecar.errors import DeliveryError
from sidecar.fleet.following import RETRY_MAX_S, RETRY_MIN_S, Pace, retry_s, version_of
from sidecar.kubernetes.access import MAX_OBJECT_BYTES
from sidecar.ports import Kept
from tests.fleet.rig import NAME, OBJECT, Cluster, Waits, cluster
from tests.kubernetes.store import Refusal
from tests.proxy.rig import SHORT_S, on_both_loops, until


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


async def new_watch(found: Cluster, task: "asyncio.Task[Kept]") -> None:
    """Return when the watch has ended and another one begun."""
    begun = found.verbs.count("watch")
    await until(lambda: (found.verbs.count("watch") > begun and found.server.watches) or task.done())


@on_both_loops
async def test_a_watch_begins_at_the_lists_version_not_at_the_objects(tmp_path: Path, authority: trustme.CA) -> None:
    async with cluster(tmp_path, authority) as found:
        mark = found.put("old")
        found.server.store.pass_by(5000)
        found.server.store.forget()
        async with found.following(mark) as waiting:
            now = found.put("new")
            assert await waiting == Kept(b"new", now)
    (_, _, query), *_ = [each for each in found.server.asked if "watch" in each[2]]
    assert query == {
        "fieldSelector": f"metadata.name={NAME}",
        "watch": "1",
        "resourceVersion": "6001",
        "allowWatchBookmarks": "true",
        "timeoutSeconds": "180",
    }
    assert found.waits.times_s == []


@on_both_loops
async def test_a_watch_whose_time_is_over_goes_on_from_its_bookmark(tmp_path: Path, authority: trustme.CA) -> None:
    async with cluster(tmp_path, authority) as found:
        mark = found.put("old")
        async with found.following(mark) as waiting:
            found.server.store.pass_by(5000)
            found.server.bookmark()
            found.server.store.forget()
            found.server.end_watches()
            await new_watch(found, waiting)
            now = found.put("new")
            assert await waiting == Kept(b"new", now)
        assert (found.verbs, found.waits.times_s) == (["GET", "watch", "watch"], [0.5])


@on_both_loops
async def test_a_watch_that_has_told_nothing_is_followed_by_a_list(tmp_path: Path, authority: trustme.CA) -> None:
    async with cluster(tmp_path, authority) as found:
        mark = found.put("old")
        async with found.following(mark) as waiting:
            found.server.end_watches()
            await new_watch(found, waiting)
            now = found.put("new")
            assert await waiting == Kept(b"new", now)
        assert found.verbs == ["GET", "watch", "GET", "watch"]


@on_both_loops
async def test_the_server_ends_a_watch_after_the_time_asked_for(tmp_path: Path, authority: trustme.CA) -> None:
    async with cluster(tmp_path, authority, Pace(watch_s=20)) as found:
        found.server.second_s = SHORT_S / 30
        async with found.following(None) as waiting:
            await new_watch(found, waiting)
            assert (found.verbs[:4], found.waits.times_s[:1]) == (["GET", "watch", "GET", "watch"], [1.0])


@on_both_loops
async def test_what_happened_between_two_watches_is_told(tmp_path: Path, authority: trustme.CA) -> None:
    async with cluster(tmp_path, authority) as found:
        mark = found.put("old")
        async with found.following(mark) as waiting:
            found.server.bookmark()
            found.server.end_watches()
            await until(lambda: not found.server.watches)
            now = found.put("new")
            assert await waiting == Kept(b"new", now)


@on_both_loops
async def test_what_happened_before_a_list_is_told(tmp_path: Path, authority: trustme.CA) -> None:
    async with cluster(tmp_path, authority) as found:
        mark = found.put("old")
        async with found.following(mark) as waiting:
            found.server.end_watches()
            await until(lambda: not found.server.watches)
            now = found.put("new")
            assert await waiting == Kept(b"new", now)


@pytest.mark.parametrize("by_status", [False, True])
@on_both_loops
async def test_what_the_server_has_forgotten_is_listed_anew(
    by_status: bool, tmp_path: Path, authority: trustme.CA, caplog: pytest.LogCaptureFixture
) -> None:
    async with cluster(tmp_path, authority) as found:
        found.server.gone_by_status = by_status
        mark = found.put("old")
        async with found.following(mark) as waiting:
            found.server.bookmark()
            found.server.store.pass_by(5000)
            found.server.store.forget()
            found.server.end_watches()
            await until(lambda: found.verbs.count("watch") == 3 and found.server.watches)
            now = found.put("new")
            assert await waiting == Kept(b"new", now)
        assert found.verbs == ["GET", "watch", "watch", "GET", "watch"]
    assert caplog.records == []


@on_both_loops
async def test_an_event_cut_in_its_middle_is_told_by_the_next_look(tmp_path: Path, authority: trustme.CA) -> None:
    async with cluster(tmp_path, authority) as found:
        mark = found.put("old")
        async with found.following(mark) as waiting:
            found.server.cut = True
            now = found.put("new")
            assert await waiting == Kept(b"new", now)
        assert found.verbs == ["GET", "watch", "GET"]


@on_both_loops
async def test_events_may_come_in_any_pieces(tmp_path: Path, authority: trustme.CA) -> None:
    async with cluster(tmp_path, authority) as found:
        found.server.piece_bytes = 7
        mark = found.put("\u00e9\n" * 20)
        async with found.following(mark) as waiting:
            found.server.bookmark()
            now = found.put("\U0001f600\n" * 20)
            assert await waiting == Kept("\U0001f600\n".encode() * 20, now)
        assert (found.verbs, found.waits.times_s) == (["GET", "watch"], [])


@on_both_loops
async def test_a_server_that_wants_to_be_left_alone_is(tmp_path: Path, authority: trustme.CA) -> None:
    async with cluster(tmp_path, authority) as found:
        mark = found.put("old")
        found.server.refusals += [
            Refusal(429, "slow down", retry_after_s=7).response,
            Refusal(503, "restarting", retry_after_s=86400).response,
            Refusal(500, "etcd is gone").response,
            web.Response(status=502, text="<html>", headers={"Retry-After": "Wed, 21 Oct 2026 07:28:00 GMT"}),
        ]
        async with found.following(mark) as waiting:
            now = found.put("new")
            assert await waiting == Kept(b"new", now)
        assert found.waits.times_s == [7 + 1.0, 60 + 2.0, 4.0, 8.0]


@on_both_loops
async def test_a_watch_that_fails_says_when_to_come_back(tmp_path: Path, authority: trustme.CA) -> None:
    async with cluster(tmp_path, authority) as found:
        mark = found.put("old")
        async with found.following(mark) as waiting:
            status = Refusal(504, "Too large resource version", reason="Timeout", retry_after_s=3).status
            found.server.say(json.dumps({"type": "ERROR", "object": status}).encode() + b"\n")
            await new_watch(found, waiting)
            now = found.put("new")
            assert await waiting == Kept(b"new", now)
        assert (found.verbs, found.waits.times_s) == (["GET", "watch", "GET", "watch"], [3 + 1.0])


@on_both_loops
async def test_a_watch_refused_halfway_is_followed_by_a_list(tmp_path: Path, authority: trustme.CA) -> None:
    async with cluster(tmp_path, authority) as found:
        mark = found.put("old")
        async with found.following(mark) as waiting:
            found.server.bookmark()
            gone = Refusal(410, "too old resource version").status
            found.server.say(json.dumps({"type": "ERROR", "object": gone}).encode() + b"\n")
            await new_watch(found, waiting)
            now = found.put("new")
            assert await waiting == Kept(b"new", now)
        assert found.verbs == ["GET", "watch", "GET", "watch"]


@pytest.mark.parametrize(
    "rubbish",
    [
        b"<html>\n",
        b"[]\n",
        b"{}\n",
        b'{"type":"MODIFIED","object":7}\n',
        b'{"type":"MODIFIED","object":{"metadata":{}}}\n',
        b'{"type":"SYNC","object":{}}\n',
        b'{"type":"ERROR","object":{}}\n',
        b'{"type":"ERROR","object":{"code":"x","details":7}}\n',
        b"\xff\n",
        b"[" * 5000 + b"\n",
        b"x" * (MAX_OBJECT_BYTES + 1),
    ],
    ids=range(11),
)
@on_both_loops
async def test_rubbish_ends_a_watch_and_nothing_else(rubbish: bytes, tmp_path: Path, authority: trustme.CA) -> None:
    async with cluster(tmp_path, authority) as found:
        mark = found.put("old")
        async with found.following(mark) as waiting:
            found.server.say(rubbish)
            await new_watch(found, waiting)
            now = found.put("new")
            assert await waiting == Kept(b"new", now)
        assert (found.verbs, found.waits.times_s) == (["GET", "watch", "GET", "watch"], [1.0])


@on_both_loops
async def test_blank_lines_are_nothing(tmp_path: Path, authority: trustme.CA) -> None:
    async with cluster(tmp_path, authority) as found:
        mark = found.put("old")
        async with found.following(mark) as waiting:
            found.server.say(b"\r\n\n")
            now = found.put("new")
            assert await waiting == Kept(b"new", now)
        assert found.verbs == ["GET", "watch"]


@on_both_loops
async def test_a_token_that_is_replaced_is_the_next_ones(tmp_path: Path, authority: trustme.CA) -> None:
    async with cluster(tmp_path, authority) as found:
        mark = found.put("old")
        async with found.following(mark) as waiting:
            found.server.token = "another"
            found.server.end_watches()
            await until(lambda: len(found.waits.times_s) >= 3)
            (tmp_path / "token").write_text("another")
            await new_watch(found, waiting)
            now = found.put("new")
            assert await waiting == Kept(b"new", now)


@on_both_loops
async def test_a_missing_file_is_waited_for(
    tmp_path: Path, authority: trustme.CA, caplog: pytest.LogCaptureFixture
) -> None:
    async with cluster(tmp_path, authority) as found:
        mark = found.put("old")
        (tmp_path / "namespace").rename(tmp_path / "elsewhere")
        waiting = asyncio.get_running_loop().create_task(found.pod.changed("another"))
        await until(lambda: len(found.waits.times_s) >= 2)
        (tmp_path / "elsewhere").rename(tmp_path / "namespace")
        assert await waiting == Kept(b"old", mark)
    assert [each.getMessage() for each in caplog.records] == [
        f"routing is not followed: {tmp_path}/namespace: No such file or directory, expected a file that can be read"
    ]


@on_both_loops
async def test_a_server_that_restarts_is_found_again(
    tmp_path: Path, authority: trustme.CA, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    async with cluster(tmp_path, authority) as found:
        mark = found.put("old")
        async with found.following(mark) as waiting:
            await found.server.stop()
            await until(lambda: len(found.waits.times_s) >= 4)
            await found.server.start()
            await new_watch(found, waiting)
            now = found.put("new")
            assert await waiting == Kept(b"new", now)
        said = [each.getMessage().partition(":")[0] for each in caplog.records if each.name.startswith("sidecar")]
    assert said == ["routing is not followed", "routing is followed again"]
    assert found.waits.times_s[:4] == [1.0, 2.0, 4.0, 8.0]


@on_both_loops
async def test_a_store_put_back_to_an_earlier_state_is_followed(tmp_path: Path, authority: trustme.CA) -> None:
    async with cluster(tmp_path, authority) as found:
        found.put("old")
        kept = dict(found.server.store.objects[OBJECT])
        found.server.store.pass_by(100)
        mark = found.put("new")
        async with found.following(mark) as waiting:
            found.server.store.objects[OBJECT] = kept
            found.server.store.revision = found.server.store.forgotten = 1050
            found.server.store.history.clear()
            found.server.end_watches()
            assert await waiting == Kept(b"old", "1001")


@on_both_loops
async def test_a_connection_that_is_dead_at_its_other_end_is_left(tmp_path: Path, authority: trustme.CA) -> None:
    async with cluster(tmp_path, authority, Pace(watch_s=0.01, grace_s=SHORT_S - 1)) as found:
        mark = found.put("old")
        found.server.deaf = True
        async with found.following(mark) as waiting:
            found.server.deaf = False
            now = found.put("new")
            assert await waiting == Kept(b"new", now)
        assert found.waits.times_s[:1] == [1.0]


@on_both_loops
async def test_a_server_that_is_silent_is_asked_again(tmp_path: Path, authority: trustme.CA) -> None:
    async with cluster(tmp_path, authority, Pace(call_s=SHORT_S)) as found:
        mark = found.put("old")
        found.server.silent = True
        waiting = asyncio.get_running_loop().create_task(found.pod.changed(None))
        await until(lambda: found.waits.times_s)
        found.server.silent = False
        assert await waiting == Kept(b"old", mark)


@on_both_loops
async def test_a_watch_that_does_not_begin_is_left_in_time(tmp_path: Path, authority: trustme.CA) -> None:
    async with cluster(tmp_path, authority, Pace(call_s=SHORT_S)) as found:
        mark = found.put("old")
        found.server.unwatchable = True
        waiting = asyncio.get_running_loop().create_task(found.pod.changed(mark))
        await until(lambda: found.waits.times_s)
        now = found.put("new")
        assert await waiting == Kept(b"new", now)


@on_both_loops
async def test_a_server_that_ends_every_watch_at_once_is_asked_ever_more_rarely(
    tmp_path: Path, authority: trustme.CA
) -> None:
    waits = Waits(most=8)
    async with cluster(tmp_path, authority) as found:
        found.server.second_s = 0.0
        pod = replace(found.pod, pace=replace(found.pod.pace, wait=waits))
        waiting = asyncio.get_running_loop().create_task(pod.changed(None))
        await until(lambda: len(waits.times_s) == 8)
        waiting.cancel()
    assert waits.times_s == [1.0, 2.0, 4.0, 8.0, 15.0, 15.0, 15.0, 15.0]


@on_both_loops
async def test_watches_that_last_are_no_failures(tmp_path: Path, authority: trustme.CA) -> None:
    waits = Waits(most=4)
    clock = iter(range(0, 10**6, 180))
    async with cluster(tmp_path, authority) as found:
        found.server.second_s = 0.0
        pod = replace(found.pod, pace=replace(found.pod.pace, wait=waits, clock=lambda: float(next(clock))))
        waiting = asyncio.get_running_loop().create_task(pod.changed(None))
        await until(lambda: len(waits.times_s) == 4)
        waiting.cancel()
    assert waits.times_s == [0.5, 0.5, 0.5, 0.5]


@pytest.mark.parametrize("failures", [0, 1, 5, 100, 10**6])
@pytest.mark.parametrize("chance", [0.0, 0.5, 0.999999])
def test_no_wait_is_too_short_or_too_long(failures: int, chance: float) -> None:
    assert RETRY_MIN_S <= retry_s(failures, chance) <= RETRY_MAX_S


@pytest.mark.parametrize(
    "found", [{}, {"metadata": None}, {"metadata": {}}, {"metadata": {"resourceVersion": ""}}, {"metadata": "x"}]
)
def test_what_has_no_version_is_none_of_kubernetes(found: dict[str, object]) -> None:
    with pytest.raises(DeliveryError, match="an object without metadata"):
        version_of(found)
