import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from pyarrow import dataset, parquet

from sidecar.errors import ConfigError, DeliveryError
from sidecar.ports import Gathering, RowSink
from sidecar.records import Capture, Rows
from sidecar.sinks import parquet as module
from sidecar.sinks.parquet import FLUSH_S, SLACK_RATIO, Parquet
from tests.sinks.test_rows import CAPTURE, NOON_S

HOUR_S = 3600.0
PATIENCE_S = 60.0


def item(value: object = 1.0, **fields: object) -> tuple[Capture, Rows]:
    return CAPTURE._replace(**fields), Rows(("a",), [[value]])  # type: ignore[arg-type]  # each as it is called


def found(root: Path) -> list[str]:
    return sorted(str(path.relative_to(root)) for path in root.rglob("*.parquet"))


def values(root: Path) -> list[float]:
    return sorted(dataset.dataset(root, partitioning="hive").to_table(["feature__a"])["feature__a"].to_pylist())


class Clock:
    def __init__(self) -> None:
        self.now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


def test_it_is_a_sink_of_rows_that_gathers(tmp_path: Path) -> None:
    sink = Parquet(path=str(tmp_path))

    assert (isinstance(sink, RowSink), isinstance(sink, Gathering)) == (True, True)


def test_rows_lie_by_endpoint_variant_and_utc_hour(tmp_path: Path) -> None:
    sink = Parquet(path=str(tmp_path), endpoint="fraud")
    sink.export_rows([item(1), item(2, variant="challenger", started_s=NOON_S + 13 * HOUR_S + 59.25)])
    sink.close()

    first, second = found(tmp_path)
    assert first.startswith("fraud/variant=challenger/hour=2026-07-31T01/00-59-250-000002-")
    assert second.startswith("fraud/variant=champion/hour=2026-07-30T12/00-00-250-000001-")
    assert values(tmp_path / "fraud") == [1.0, 2.0]


def test_building_the_sink_touches_nothing(tmp_path: Path) -> None:
    sink = Parquet(path=str(tmp_path / "rows"))
    sink.tend()
    sink.close()

    assert list(tmp_path.iterdir()) == []


def test_impossible_options_are_refused_all_at_once() -> None:
    with pytest.raises(ConfigError) as caught:
        Parquet(path="", buffer_bytes=0, max_total_bytes=-1)
    assert [fault.path for fault in caught.value.faults] == ["buffer_bytes", "max_total_bytes", "path"]


def test_without_pyarrow_it_is_told_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "find_spec", lambda _: None)

    with pytest.raises(ConfigError, match=r"kind: parquet needs pyarrow: pip install 'sidecar\[report\]'"):
        Parquet(path="/rows")


def test_its_options_are_checked_without_anything_heavy() -> None:
    code = (
        "import sys; from sidecar.sinks import SINKS; SINKS['parquet'](path='/rows');"
        "print(sorted({'numpy', 'pyarrow'} & set(sys.modules)))"
    )

    assert subprocess.run([sys.executable, "-c", code], check=True, capture_output=True).stdout == b"[]\n"


def test_rows_become_a_file_when_they_have_waited_long_enough(tmp_path: Path) -> None:
    clock = Clock()
    sink = Parquet(path=str(tmp_path), clock=clock)
    sink.export_rows([item()])
    clock.now_s = FLUSH_S - 0.1
    sink.tend()
    before = (sink.taken, sink.gathered, sink.gathered_bytes > 0)
    clock.now_s = FLUSH_S
    sink.tend()

    assert (before, sink.taken, sink.gathered, sink.gathered_bytes) == ((0, 1, True), 1, 0, 0)


def test_busy_rows_become_files_though_nobody_tends_them(tmp_path: Path) -> None:
    clock = Clock()
    sink = Parquet(path=str(tmp_path), clock=clock)
    sink.export_rows([item(1)])
    clock.now_s = FLUSH_S
    sink.export_rows([item(2)])

    assert (sink.taken, sink.gathered) == (2, 0)


def test_a_full_disk_is_told_and_what_is_lost_is_counted(tmp_path: Path) -> None:
    (tmp_path / "sidecar").write_bytes(b"")
    sink = Parquet(path=str(tmp_path))
    sink.export_rows([item(1), item(2)])

    with pytest.raises(DeliveryError, match=r"sidecar: .*, expected a folder with room to write in"):
        sink.close()
    assert (sink.taken, sink.gathered, sink.lost) == (0, 0, 2)


def test_the_oldest_files_go_first_and_are_counted(tmp_path: Path) -> None:
    clock = Clock()
    old = Parquet(path=str(tmp_path))
    old.export_rows([item(0, started_s=NOON_S - HOUR_S)])
    old.close()
    (size,) = (path.stat().st_size for path in tmp_path.rglob("*.parquet"))
    limit = 10 * size
    sink = Parquet(path=str(tmp_path), clock=clock, max_total_bytes=limit)
    for number in range(1, 31):
        sink.export_rows([item(number, started_s=NOON_S + number * HOUR_S, variant=f"v{number % 2}")])
        clock.now_s += FLUSH_S
        sink.tend()
        assert sum(path.stat().st_size for path in tmp_path.rglob("*.parquet")) <= limit

    kept = values(tmp_path / "sidecar")
    assert kept == [float(number) for number in range(31 - len(kept), 31)]
    assert (sink.deleted_files, len(kept) >= 10 * (1 - SLACK_RATIO) - 2) == (31 - len(kept), True)
    assert len(list((tmp_path / "sidecar").rglob("hour=*"))) == len(kept)


def test_what_others_put_there_is_left_alone(tmp_path: Path) -> None:
    theirs = tmp_path / "sidecar" / "variant=v" / "hour=2026-07-30T12" / "theirs.parquet"
    theirs.parent.mkdir(parents=True)
    theirs.write_bytes(bytes(1 << 20))
    sink = Parquet(path=str(tmp_path), max_total_bytes=1)
    sink.export_rows([item()])
    sink.close()

    assert (theirs.exists(), sink.deleted_files, len(found(tmp_path))) == (True, 0, 2)


KILLED = """
import sys
from sidecar.records import Rows
from sidecar.sinks.parquet import Parquet
from tests.sinks.test_rows import CAPTURE
sink = Parquet(path=sys.argv[1], flush_s=1e-9)
for number in range(10**9):
    sink.export_rows([(CAPTURE, Rows(("a",), [[number]]))] * 64)
    print(flush=True)
"""


def test_a_kill_leaves_nothing_that_a_reader_cannot_read(tmp_path: Path) -> None:
    """It is killed while it writes one file after the other; whatever moment that hits, each that is there is whole."""
    for number in range(3):
        child = subprocess.Popen([sys.executable, "-c", KILLED, str(tmp_path)], stdout=subprocess.PIPE)
        assert child.stdout is not None
        for _ in range(5 + 7 * number):
            child.stdout.readline()
        os.kill(child.pid, signal.SIGKILL)
        child.communicate(timeout=PATIENCE_S)
    rows = [parquet.read_table(path, partitioning=None).num_rows for path in tmp_path.rglob("*.parquet")]

    assert (len(rows) >= 5 + 12 + 19, set(rows)) == (True, {64})


def test_the_next_process_goes_on_where_a_killed_one_was(tmp_path: Path) -> None:
    hidden = tmp_path / ".sidecar"
    hidden.mkdir()
    (hidden / "dead").write_bytes(b"PAR1 and then the power")
    sink = Parquet(path=str(tmp_path))
    sink.export_rows([item()])
    sink.close()

    assert (list(hidden.iterdir()), values(tmp_path / "sidecar")) == ([], [1.0])
