import resource
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from itertools import count
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings

from sidecar.errors import ConfigError, DeliveryError
from sidecar.ports import Store
from sidecar.records import Label
from sidecar.store.sqlite import FILE, Sqlite
from tests.store import contract
from tests.store.contract import NOW_S, Delivery, Limits, Open, Story, counts, label, pairs, prediction, settle

IN_MEMORY = Path("/dev/shm")
"""What is asked of many files is not asked of the disk."""


def opener(folder: Path | str) -> Open:
    def opened(limits: Limits) -> Sqlite:
        return Sqlite(str(folder), 0.0, keep_s=limits.keep_s, rows=limits.rows, wait_s=limits.wait_s)

    return opened


@contextmanager
def place() -> Iterator[Open]:
    with TemporaryDirectory(dir=IN_MEMORY if IN_MEMORY.is_dir() else None) as folder:
        yield opener(folder)


@pytest.mark.parametrize("case", contract.CASES, ids=lambda case: case.__name__)
def test_it_does_what_every_store_promises(case: Callable[[Open], None]) -> None:
    with place() as fresh:
        case(fresh)


@given(contract.stories())
@settings(max_examples=200)
def test_it_does_what_the_oracle_does(story: Story) -> None:
    with place() as fresh:
        contract.follow(fresh, story)


@given(contract.deliveries())
@settings(max_examples=100)
def test_what_is_joined_is_what_arrived_in_any_order(delivery: Delivery) -> None:
    with place() as fresh:
        contract.deliver(fresh, delivery)


def test_a_batch_may_be_of_any_size(tmp_path: Path) -> None:
    with closing(Sqlite(str(tmp_path))) as store:
        store.keep([prediction(f"e{n}", f"r{n}") for n in range(2000)], NOW_S)
        assert store.add([label(f"r{n}") for n in range(2100)], NOW_S) == ["joined"] * 2000 + ["waiting"] * 100
        assert len(store.joined(0, 5000)) == 2000
        store.keep([prediction(f"f{n}", f"r{n}") for n in range(2000, 2100)], NOW_S)
        assert store.counts == counts(predictions=2100, joined=2100)


def test_it_always_leads() -> None:
    assert Sqlite("").leads(NOW_S) is True


def test_to_make_one_touches_nothing(tmp_path: Path) -> None:
    Sqlite(str(tmp_path / "state")).close()
    assert list(tmp_path.iterdir()) == []


def test_a_closed_store_says_so(tmp_path: Path) -> None:
    store = Sqlite(str(tmp_path))
    store.keep([prediction("e")], NOW_S)
    store.close()
    with pytest.raises(DeliveryError, match=rf"{FILE}: the store is closed"):
        store.add([label("e")], NOW_S)


def test_room_is_made_for_more_than_one_batch(tmp_path: Path) -> None:
    """To let go of as many as came with every batch costs more."""
    with closing(Sqlite(str(tmp_path), rows=640)) as store:
        store.keep([prediction(f"e{n}") for n in range(641)], NOW_S)
        assert store.counts == counts(predictions=641, awaiting=630, missing=11)


def test_fewer_rows_than_before_are_reached_step_by_step(tmp_path: Path) -> None:
    with closing(Sqlite(str(tmp_path))) as store:
        store.keep([prediction(f"e{n}") for n in range(1500)], NOW_S)
    with closing(Sqlite(str(tmp_path), rows=10)) as store:
        store.keep([prediction("new")], NOW_S)
        assert store.counts == counts(predictions=1501, awaiting=1000, missing=501)
        settle(store, NOW_S)
        assert store.counts == counts(predictions=1501, awaiting=10, missing=1491)
        assert store.add([label("new"), label("e0"), label("e1488")], NOW_S) == ["joined", "waiting", "expired"]


def test_tidy_leaves_the_rest_to_its_next_call(tmp_path: Path) -> None:
    moments = count()
    with closing(Sqlite(str(tmp_path), 0.0, lambda: float(next(moments)), keep_s=1.0)) as store:
        store.keep([prediction(f"e{n}") for n in range(200)], NOW_S)
        left: list[int] = []
        while (awaiting := store.counts.awaiting) and len(left) < 10:
            left.append(awaiting)
            store.tidy(NOW_S + 1)
    assert left == [200, 136, 72, 8]


def test_columns_that_are_never_the_same_come_back_too(tmp_path: Path) -> None:
    """There is room for so many layouts; the rest stand in the documents."""
    kept = [replace(prediction(f"e{n}"), features=(f"a{n}", f"b{n}")) for n in range(300)]
    with closing(Sqlite(str(tmp_path))) as store:
        store.keep(kept, NOW_S)
        store.add([label(f"e{n}") for n in range(300)], NOW_S)
        assert [each.prediction for each in store.joined(0, 1000)] == kept


def test_a_name_is_not_kept_with_every_prediction(tmp_path: Path) -> None:
    names = tuple(f"a-very-long-name-of-a-column-{n}" for n in range(1000))
    with closing(Sqlite(str(tmp_path))) as store:
        store.keep([replace(prediction(f"e{n}"), features=names) for n in range(100)], NOW_S)
    assert (tmp_path / FILE).stat().st_size < 10 * len("".join(names))


@pytest.mark.parametrize("table", ["documents", "layouts", "pairs"])
def test_what_cannot_be_read_any_more_is_left_out(tmp_path: Path, table: str) -> None:
    with closing(Sqlite(str(tmp_path))) as store:
        store.keep([prediction("a"), prediction("b", version="4"), prediction("c", version="5")], NOW_S)
        store.add([label("a"), label("b"), label("c")], NOW_S)
    with closing(sqlite3.connect(tmp_path / FILE)) as raw, raw:
        raw.execute(f"UPDATE {table} SET document = X'FF' WHERE number < 3")
    with closing(Sqlite(str(tmp_path))) as store:
        for limit in (1, 10):
            assert [each.label.id for each in store.joined(0, limit)] == ["c"]
        store.keep([prediction("d")], NOW_S)
        assert store.add([label("d")], NOW_S) == ["joined"]
        assert [each.label.id for each in store.joined(0, 10)] == ["c", "d"]


def test_a_full_disk_is_told_loses_nothing_and_when_it_has_room_again_all_is_well(tmp_path: Path) -> None:
    with closing(Sqlite(str(tmp_path))) as store:
        store.keep([prediction("a"), prediction("b")], NOW_S)
        assert store.add([label("a")], NOW_S) == ["joined"]
        before = (store.counts, pairs(store))
        soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (4096, hard))
        try:
            new = replace(prediction("c"), features=("another", "layout"))
            acts: list[Callable[[], object]] = [
                lambda: store.keep([new], NOW_S),
                lambda: store.add([label("b"), label("x")], NOW_S),
                lambda: store.save("quality", b"", 1),
                lambda: store.tidy(NOW_S + 1e6),
            ]
            for act in acts * 2:
                with pytest.raises(DeliveryError, match=rf"{FILE}: .*, expected a whole file on a disk with room"):
                    act()
            during = (store.counts, pairs(store))
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        assert (during, store.read("quality")) == (before, None)
        store.keep([new], NOW_S)
        assert store.add([label("b"), label("x"), label("c")], NOW_S) == ["joined", "waiting", "joined"]
    with closing(Sqlite(str(tmp_path))) as store:
        assert store.joined(0, 10)[-1].prediction == new


def test_a_file_that_another_store_has_open_is_told_and_taken_once_it_is_free(tmp_path: Path) -> None:
    """The next sidecar starts while the last one drains."""
    with closing(Sqlite(str(tmp_path), 0.0)) as before, closing(Sqlite(str(tmp_path), 0.0)) as after:
        before.keep([prediction("e")], NOW_S)
        with pytest.raises(DeliveryError, match=r"database is locked, expected a whole file that no other process has"):
            after.add([label("e")], NOW_S)
        with pytest.raises(ConfigError, match=r"database is locked"):
            after.open()
        before.close()
        assert after.add([label("e")], NOW_S) == ["joined"]


def test_what_was_acknowledged_is_on_the_disk(tmp_path: Path) -> None:
    """No test can cut the power: SQLite's own word must do."""
    with closing(Sqlite(str(tmp_path))) as store:
        for act, level in ((lambda: store.keep([prediction("e")], NOW_S), 1), (lambda: store.add([], NOW_S), 2)):
            act()
            assert store._connection is not None
            assert store._connection.execute("PRAGMA synchronous").fetchone() == (level,)


WRITER = """
import sys
from itertools import count
from sidecar.records import Label, Prediction
from sidecar.store.sqlite import Sqlite

store = Sqlite(sys.argv[1])
for number in count():
    ids = [(f"event-{number}-{each}", f"request-{number}-{each}") for each in range(int(sys.argv[2]))]
    store.keep([Prediction(each, "a", "3", 0.0, 1.0, ("x",), [[1.0]], ("y",), [[1.0]]) for each in ids], 0.0)
    store.add([Label(name, (1,)) for each in ids for name in each], 0.0)
    print(number, flush=True)
"""


@pytest.mark.parametrize(("acknowledged", "size"), [(1, 1), (20, 7), (10, 300)])
def test_a_killed_process_loses_nothing_that_was_acknowledged(tmp_path: Path, acknowledged: int, size: int) -> None:
    command = [sys.executable, "-c", WRITER, str(tmp_path), str(size)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        for _ in range(acknowledged):
            process.stdout.readline()
        process.kill()
        rounds = acknowledged + len(process.stdout.read().splitlines())
    with closing(Sqlite(str(tmp_path))) as store:
        joined = [each.prediction.ids[0] for each in store.joined(0, 1_000_000)]
        counted = store.counts
        again = [Label(f"request-{n}-{each}", (1,)) for n in range(rounds) for each in range(size)]
        assert set(store.add(again, 0.0)) == {"duplicate"}
    expected = [f"event-{n}-{each}" for n in range(rounds + 1) for each in range(size)]
    assert joined == expected[: len(joined)]
    assert len(joined) in {rounds * size, (rounds + 1) * size}
    assert counted.labels["joined"] == counted.labels["duplicate"] == len(joined)
    assert counted.predictions - counted.awaiting == len(joined)


def test_it_is_a_store(tmp_path: Path) -> None:
    store: Store = Sqlite(str(tmp_path))
    store.close()
