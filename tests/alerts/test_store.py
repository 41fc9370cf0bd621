import math
import resource
import sqlite3
import stat
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sidecar.alerts.store import FILE, MAX_AGE_S, OUTBOX, SCHEMA, SET_BACK_S, Pending, Store
from sidecar.errors import ConfigError, DeliveryError
from sidecar.records import Alert, Carrier, Finding, Key, Notice
from sidecar.sqlite_file import BROKEN

NOW_S = 1_785_412_800.0
"""2026-07-30T12:00:00Z."""
CARRIER = Carrier("age", 1.0, 0.31, 0.25, "age: PSI 0.31", nats=12.5, p_value=None, since_s=NOW_S - 60, rows=2000)
FINDING = Finding(Key("data", "psi", "champion", "features"), "3", (CARRIER,), 2000, 10_000, "age has drifted")
ALERT = Alert(id="a" * 16, state="firing", severity="warning", finding=FINDING, pending_s=NOW_S, fired_s=NOW_S, told=1)


def alert(name: str, **changes: object) -> Alert:
    return replace(ALERT, id=name, **changes)  # type: ignore[arg-type]  # of whatever field


def notice(name: str, number: int = 1) -> Notice:
    return Notice(f"{name}-{number}", alert(name, told=number), NOW_S, "http://here/", 3600.0)


def post(store: Store, *notices: Notice, channels: tuple[str, ...] = ("hook",), now_s: float = NOW_S) -> int:
    return store.commit([], notices, channels, now_s)


def due(store: Store, channel: str = "hook", now_s: float = NOW_S) -> Pending:
    pending = store.due(channel, now_s)
    assert pending
    return pending


def sent(store: Store, channel: str = "hook", now_s: float = NOW_S) -> list[str]:
    """Takes what is due, in the order in which it is given out."""
    ids = []
    while pending := store.due(channel, now_s):
        ids.append(pending.notice.id)
        store.sent(pending)
    return ids


@pytest.fixture
def store() -> Iterator[Store]:
    with closing(Store(None)) as opened:
        yield opened


def test_what_was_committed_is_there_after_a_restart(tmp_path: Path) -> None:
    alerts, notices = [alert("b"), alert("a", state="resolved", gone_s=NOW_S)], [notice("b"), notice("b", 2)]
    with closing(Store(tmp_path)) as before:
        before.commit(alerts, notices, ["hook", "slack"], NOW_S)
        before.save("data/champion", b"\0\xff")
    with closing(Store(tmp_path)) as after:
        assert after.load() == alerts
        assert due(after) == Pending(1, notices[0], 0)
        assert (sent(after, "hook"), sent(after, "slack")) == (["b-1", "b-2"], ["b-1", "b-2"])
        assert after.read("data/champion") == b"\0\xff"


def test_an_empty_store_has_nothing(store: Store) -> None:
    found = (store.load(), store.due("hook", NOW_S), store.next_due_s("hook"), store.waiting("hook"), store.read("a"))
    assert found == ([], None, None, 0, None)


def test_alerts_are_those_of_the_last_commit_in_the_order_in_which_they_came(store: Store) -> None:
    store.commit([alert("a"), alert("b"), alert("c")], [], [], NOW_S)
    later = [alert("d"), alert("c", told=5), alert("a")]
    store.commit(later, [], [], NOW_S)
    assert store.load() == [alert("a"), alert("c", told=5), alert("d")]


def test_what_is_not_a_number_and_not_unicode_comes_back_as_it_was(store: Store) -> None:
    odd = Carrier("\ud800\0é", 1.0, math.nan, math.inf, "'\"\\", nats=-math.inf, p_value=math.nan)
    store.commit([alert("a", finding=replace(FINDING, carriers=(odd,)))], [], [], NOW_S)
    [loaded] = store.load()
    assert repr(loaded.finding.carriers[0]) == repr(odd)


def test_numpys_scalars_come_back_as_pythons(store: Store) -> None:
    odd = replace(CARRIER, name=np.str_("age"), statistic=np.float64(0.5))
    finding = Finding(FINDING.key, "3", (odd,), np.int64(3), 1, "")  # type: ignore[arg-type]  # what mypy would stop
    store.commit([alert("a", finding=finding)], [], [], NOW_S)
    finding = store.load()[0].finding
    [carrier] = finding.carriers
    assert [type(each) for each in (carrier.name, carrier.statistic, finding.rows)] == [str, float, int]


texts = st.text(st.characters(exclude_categories=[]))
numbers = st.floats()


@settings(max_examples=60)
@given(texts, texts, numbers, st.none() | numbers, st.integers(0, 2**63))
def test_every_alert_comes_back_as_it_was(
    name: str, sentence: str, statistic: float, nats: float | None, rows: int
) -> None:
    carrier = Carrier(name, 1.0, statistic, statistic, sentence, nats=nats, rows=rows)
    kept = alert("a", finding=replace(FINDING, carriers=(carrier,), sentence=sentence), pending_s=statistic)
    with closing(Store(None)) as store:
        store.commit([kept], [Notice("a-1", kept, statistic, name, statistic)], ["hook"], NOW_S)
        assert repr((store.load(), due(store).notice.alert)) == repr(([kept], kept))


@pytest.mark.parametrize("document", ["{", "7", '{"id": 7}', "", b"\xff", b'{"id": "\xff"}'])
def test_what_this_version_cannot_read_is_left_out_and_counted(tmp_path: Path, document: str | bytes) -> None:
    with closing(Store(tmp_path)) as store:
        store.commit([alert("a"), alert("b")], [notice("a"), notice("b")], ["hook"], NOW_S)
    with closing(sqlite3.connect(tmp_path / FILE)) as raw, raw:
        raw.execute("UPDATE alerts SET document = CAST(? AS TEXT) WHERE id = 'a'", (document,))
        raw.execute("UPDATE outbox SET document = CAST(? AS TEXT) WHERE alert = 'a'", (document,))
    with closing(Store(tmp_path)) as store:
        assert (store.load(), store.unreadable) == ([alert("b")], 1)
        assert (due(store).notice.id, store.dropped, store.waiting("hook")) == ("b-1", {"hook": 1}, 1)


def test_fields_of_a_later_version_are_ignored_and_missing_ones_have_their_defaults(tmp_path: Path) -> None:
    with closing(Store(tmp_path)) as store:
        store.commit([alert("a", told=0)], [], [], NOW_S)
    with closing(sqlite3.connect(tmp_path / FILE)) as raw, raw:
        raw.execute("UPDATE alerts SET document = json_set(json_remove(document, '$.told'), '$.later', 1)")
    with closing(Store(tmp_path)) as store:
        assert (store.load(), store.unreadable) == ([alert("a", told=0)], 0)


def test_a_state_is_what_was_saved_last(store: Store) -> None:
    store.save("a", b"1")
    store.save("b", b"")
    store.save("a", b"2")
    assert (store.read("a"), store.read("b"), store.read("c")) == (b"2", b"", None)


def test_notices_go_out_in_the_order_of_their_commits(store: Store) -> None:
    for number in range(1, 4):
        post(store, notice("a", number), notice("b", number))
    assert sent(store) == ["a-1", "b-1", "a-2", "b-2", "a-3", "b-3"]


def test_a_channel_has_its_own_outbox(store: Store) -> None:
    post(store, notice("a"), channels=("hook", "slack"))
    assert sent(store, "hook") == ["a-1"]
    assert (store.waiting("hook"), store.waiting("slack"), store.waiting("mail")) == (0, 1, 0)


def test_what_is_not_acknowledged_is_given_out_again(store: Store) -> None:
    post(store, notice("a"))
    assert [due(store), due(store)] == [Pending(1, notice("a"), 0)] * 2


def test_a_retry_holds_back_its_own_alert_and_no_other(store: Store) -> None:
    post(store, notice("a", 1), notice("a", 2), notice("b", 1))
    store.failed(due(store), NOW_S + 30)
    assert (sent(store), store.next_due_s("hook")) == (["b-1"], NOW_S + 30)
    assert sent(store, now_s=NOW_S + 29.9) == []
    assert due(store, now_s=NOW_S + 30).attempts == 1
    assert sent(store, now_s=NOW_S + 30) == ["a-1", "a-2"]


def test_what_has_been_due_for_longest_comes_first_so_that_none_starves(store: Store) -> None:
    post(store, notice("a"), notice("b"), notice("c"))
    for pause_s in (1, 2):
        store.failed(due(store), NOW_S + pause_s)
    assert sent(store, now_s=NOW_S + 10) == ["c-1", "a-1", "b-1"]


def test_attempts_and_due_times_survive_a_restart(tmp_path: Path) -> None:
    with closing(Store(tmp_path)) as before:
        post(before, notice("a"))
        before.failed(due(before), NOW_S + 1)
        before.failed(due(before, now_s=NOW_S + 1), NOW_S + 5)
    with closing(Store(tmp_path)) as after:
        assert (after.due("hook", NOW_S + 4), after.next_due_s("hook")) == (None, NOW_S + 5)
        assert due(after, now_s=NOW_S + 5).attempts == 2


def test_a_clock_that_is_set_back_holds_no_notice_for_ever(store: Store) -> None:
    post(store, notice("a"))
    store.failed(due(store), NOW_S + SET_BACK_S)
    assert store.due("hook", NOW_S) is None
    assert due(store, now_s=NOW_S - 1).notice.id == "a-1"


def test_a_new_channel_is_told_at_once_what_the_old_one_did_not_take(store: Store) -> None:
    post(store, notice("a"), notice("b"), channels=("hook", "slack"))
    for channel in ("hook", "slack"):
        store.failed(due(store, channel), NOW_S + 100)
    store.hasten("hook")
    assert due(store).attempts == 0
    assert (sent(store, "hook"), sent(store, "slack")) == (["a-1", "b-1"], ["b-1"])


def test_a_full_outbox_drops_the_oldest_of_its_channel_and_counts_them(store: Store) -> None:
    post(store, notice("z"), channels=("slack",))
    assert post(store, *(notice("a", number) for number in range(OUTBOX))) == 0
    assert post(store, *(notice("b", number) for number in range(3)), channels=("hook", "slack")) == 3
    assert (store.waiting("hook"), store.waiting("slack"), due(store).notice.id) == (OUTBOX, 4, "a-3")
    assert store.dropped == {"hook": 3, "slack": 0}


def test_more_notices_at_once_than_an_outbox_holds_leave_the_newest(store: Store) -> None:
    assert post(store, *(notice("a", number) for number in range(OUTBOX + 5))) == 5
    assert (store.waiting("hook"), due(store).notice.id) == (OUTBOX, "a-5")


def test_what_nobody_took_for_a_day_is_given_up_and_counted(store: Store) -> None:
    post(store, notice("a"), notice("b"))
    post(store, notice("c"), now_s=NOW_S + 1)
    assert due(store, now_s=NOW_S + MAX_AGE_S).notice.id == "a-1"
    assert due(store, now_s=NOW_S + MAX_AGE_S + 0.5).notice.id == "c-1"
    assert (store.dropped, store.waiting("hook")) == ({"hook": 2}, 1)


def test_channels_that_are_no_more_lose_their_notices(store: Store) -> None:
    post(store, notice("a"), notice("b"), channels=("hook", "slack", "mail"))
    assert store.retain(["hook", "new"]) == 4
    assert [store.waiting(channel) for channel in ("hook", "slack", "mail")] == [2, 0, 0]
    assert (store.dropped["slack"], store.dropped["mail"], store.dropped["hook"]) == (2, 2, 0)


def test_a_commit_that_is_repeated_posts_nothing_twice(store: Store) -> None:
    for _ in range(2):
        store.commit([alert("a")], [notice("a")], ["hook", "slack"], NOW_S)
    assert (store.load(), sent(store, "hook"), sent(store, "slack")) == ([alert("a")], ["a-1"], ["a-1"])


def test_what_was_dropped_meanwhile_is_acknowledged_without_harm_to_others(store: Store) -> None:
    post(store, notice("a"))
    pending = due(store)
    store.retain([])
    post(store, notice("b"))
    store.sent(pending)
    store.failed(pending, NOW_S + 100)
    assert sent(store) == ["b-1"]


def test_a_commit_that_fails_changes_nothing(store: Store) -> None:
    store.commit([alert("a")], [notice("a")], ["hook"], NOW_S)
    with pytest.raises(UnicodeEncodeError):
        store.commit([alert("b")], [notice("b")], ["hook", "\ud800"], NOW_S)
    assert (store.load(), sent(store), store.dropped) == ([alert("a")], ["a-1"], {"hook": 0})


def test_what_is_no_alert_is_refused_before_anything_is_written(store: Store) -> None:
    store.commit([alert("a")], [], [], NOW_S)
    with pytest.raises(TypeError, match=r"object is no text and no number"):
        store.commit([alert("b", told=object())], [], [], NOW_S)
    assert store.load() == [alert("a")]


def test_a_full_disk_is_told_loses_nothing_and_when_it_has_room_again_all_is_well(tmp_path: Path) -> None:
    with closing(Store(tmp_path)) as store:
        store.commit([alert("a")], [notice("a")], ["hook"], NOW_S)
        soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (4096, hard))
        try:
            for _ in range(2):
                with pytest.raises(DeliveryError, match=rf"{FILE}: .*, expected a whole file on a disk with room"):
                    store.commit([], [notice("b")], ["hook"], NOW_S)
            with pytest.raises(DeliveryError, match="expected a whole file on a disk with room"):
                store.sent(due(store))
            during = (store.load(), store.waiting("hook"), store.dropped)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        assert during == ([alert("a")], 1, {"hook": 0})
        store.commit([alert("b")], [notice("b")], ["hook"], NOW_S)
        assert (store.load(), sent(store)) == ([alert("b")], ["a-1", "b-1"])


def test_a_closed_store_says_so(store: Store) -> None:
    store.close()
    store.close()
    with pytest.raises(DeliveryError, match=r"^memory: Cannot operate on a closed database"):
        store.load()


def test_many_threads_lose_nothing(tmp_path: Path) -> None:
    store = Store(tmp_path)

    def work(name: str) -> None:
        for number in range(5):
            post(store, notice(name, number))
            store.save(name, str(number).encode())

    threads = [threading.Thread(target=work, args=(name,)) for name in "abcd"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    ids = sent(store)
    assert sorted(ids) == sorted(f"{name}-{number}" for name in "abcd" for number in range(5))
    assert [[each for each in ids if each[0] == name] for name in "ab"] == [
        [f"{name}-{number}" for number in range(5)] for name in "ab"
    ]
    assert store.read("d") == b"4"
    store.close()


WRITER = """
import sys
from pathlib import Path
from sidecar.alerts.store import Store
from sidecar.records import Alert, Finding, Key, Notice

store = Store(Path(sys.argv[1]))
finding = Finding(Key("data", "psi", "champion", "features"), "3", (), 1, 1, "x" * int(sys.argv[2]))
for number in range(10_000):
    alert = Alert(id="a", state="firing", severity="info", finding=finding, pending_s=0.0, told=number)
    store.commit([alert], [Notice(f"a-{number}", alert, 0.0, "", 1.0)], ["hook"], 0.0)
    store.save("state", str(number).encode())
    print(number, flush=True)
"""


@pytest.mark.parametrize(("acknowledged", "size"), [(1, 10), (37, 20_000)])
def test_a_killed_process_loses_nothing_that_was_acknowledged(tmp_path: Path, acknowledged: int, size: int) -> None:
    command = [sys.executable, "-c", WRITER, str(tmp_path), str(size)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        for _ in range(acknowledged):
            process.stdout.readline()
        process.kill()
        last = acknowledged - 1 + len(process.stdout.read().rstrip("\n").splitlines())
    with closing(Store(tmp_path)) as store:
        [loaded] = store.load()
        ids = sent(store, now_s=0.0)
        assert int(store.read("state") or b"-1") in {last, last + 1}
    assert ids == [f"a-{number}" for number in range(len(ids))]
    assert (loaded.told, len(ids) - loaded.told) == (max(loaded.told, last), 1)


def test_the_folder_is_made_and_nobody_else_may_read_it(tmp_path: Path) -> None:
    folder = tmp_path / "var" / "state"
    with closing(Store(folder)) as store:
        store.save("a", b"1")
        modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in (folder, *folder.iterdir())}
    assert modes == {"state": 0o700, FILE: 0o600, f"{FILE}-wal": 0o600}


def test_a_folder_that_is_there_keeps_its_mode(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    Store(tmp_path).close()
    assert stat.S_IMODE(tmp_path.stat().st_mode) == 0o755


def refused(path: Path) -> str:
    """What the store says of this folder."""
    with pytest.raises(ConfigError) as caught:
        Store(path, busy_s=0.0)
    [fault] = caught.value.faults
    assert fault.path == "state"
    return fault.message


def test_a_file_that_is_open_already_is_refused_and_its_owner_keeps_it(tmp_path: Path) -> None:
    with closing(Store(tmp_path)) as store:
        for _ in range(2):
            said = refused(tmp_path)
            expected = "database is locked, expected a whole file that no other process has open"
            assert said == f"{tmp_path / FILE}: {expected}"
        assert post(store, notice("a")) == 0
    with closing(Store(tmp_path)) as store:
        assert sent(store) == ["a-1"]


def test_a_file_that_another_process_has_open_is_refused(tmp_path: Path) -> None:
    command = [sys.executable, "-c", WRITER, str(tmp_path), "10"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        process.stdout.readline()
        said = refused(tmp_path)
        process.kill()
    assert "database is locked" in said


def test_a_file_of_another_application_is_refused_and_left_alone(tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / FILE)) as other:
        other.execute("CREATE TABLE theirs (x)")
        other.commit()
    before = (tmp_path / FILE).read_bytes()
    assert refused(tmp_path) == f"{tmp_path / FILE}: another application's file, expected one of ours or none"
    assert [path.read_bytes() for path in tmp_path.iterdir()] == [before]


def test_a_file_of_a_later_schema_is_refused(tmp_path: Path) -> None:
    Store(tmp_path).close()
    with closing(sqlite3.connect(tmp_path / FILE)) as raw:
        raw.execute(f"PRAGMA user_version = {SCHEMA + 1}")
    assert refused(tmp_path).endswith(f"schema {SCHEMA + 1}, expected at most {SCHEMA}: a later sidecar wrote it")


@pytest.mark.parametrize(
    ("at", "damage", "said"),
    [
        (0, b"mine", "file is not a database"),
        (2 * 4096, b"\xff" * 4096 * 20, "the file is broken"),
        (-1, b"", "malformed"),
    ],
    ids=["no database", "broken pages", "cut"],
)
def test_a_damaged_file_is_put_aside_and_another_begun(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, at: int, damage: bytes, said: str
) -> None:
    """A sidecar that does not start serves nobody."""
    with closing(Store(tmp_path)) as store:
        store.commit([alert(str(number)) for number in range(100)], [], [], NOW_S)
    with (tmp_path / FILE).open("r+b") as file:
        if at < 0:
            file.truncate(3 * 4096)
        else:
            file.seek(at)
            file.write(damage)
    whole = (tmp_path / FILE).read_bytes()

    with closing(Store(tmp_path)) as store:
        assert store.load() == []
        store.commit([alert("a")], [], [], NOW_S)
        assert [each.id for each in store.load()] == ["a"]

    assert (tmp_path / f"{FILE}{BROKEN}").read_bytes() == whole
    (record,) = caplog.records
    assert said in record.getMessage()


def test_a_file_where_the_folder_should_be_is_told(tmp_path: Path) -> None:
    path = tmp_path / "state"
    path.write_text("in the way")
    assert refused(path) == f"{path}: File exists, expected a folder to write in"


def test_a_folder_where_the_file_should_be_is_told(tmp_path: Path) -> None:
    (tmp_path / FILE).mkdir()
    assert "unable to open database file, expected a whole file" in refused(tmp_path)


def test_a_folder_that_may_not_be_made_is_told() -> None:
    assert refused(Path("/proc/state")) == "/proc/state: No such file or directory, expected a folder to write in"


def test_a_path_that_can_be_none_is_told() -> None:
    assert "embedded null byte" in refused(Path("a\0b"))


def test_a_process_that_died_while_it_made_the_file_leaves_one_that_is_made_anew(tmp_path: Path) -> None:
    (tmp_path / FILE).touch()
    with closing(Store(tmp_path)) as store:
        assert store.load() == []


def test_a_notice_waits_for_its_channels_only() -> None:
    store = Store(None)
    told = replace(notice("a"), channels=("slack", "webhook[1]"))
    store.commit([], [told], ["webhook[0]", "webhook[1]", "slack[2]"], NOW_S)

    assert [store.waiting(channel) for channel in ("webhook[0]", "webhook[1]", "slack[2]")] == [0, 1, 1]
    found = store.due("slack[2]", NOW_S)
    assert found is not None
    assert found.notice == told
