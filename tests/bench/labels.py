"""The store of predictions and labels: `python -m tests.bench.labels [--rows 200000] [--folder DIR] [--core 1]`.

Thirty features, three ids. The store is full before anything is measured, so that every prediction that comes makes
another one leave, and one before that forgotten. All threads have one core: the store alone; and beside a thread that
never waits, which takes half of the core and keeps the interpreter for 5 ms whenever it gets it.
"""

import argparse
import gc
import os
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from functools import partial
from itertools import count
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory

from sidecar.records import Label, Prediction
from sidecar.store.sqlite import FILE, Sqlite
from tests.bench.table import at_least, at_most, print_table, print_verdicts

FEATURES = tuple(f"feature_{number}" for number in range(30))
KEPT, TOLD, READ = 256, 100, 1000
"""Predictions that come together, labels that do, pairs that are read together."""
ROUNDS = 60
NOW_S = 1_785_412_800.0
TARGET = 5000.0
TIDY_MS = 20.0


@dataclass
class Traffic:
    """Predictions, and labels of those that came last, in no order."""

    rng: Random
    numbers: Iterator[int]
    unlabelled: list[Prediction]

    def predictions(self) -> list[Prediction]:
        batch = [self._prediction() for _ in range(KEPT)]
        self.unlabelled = [*self.unlabelled, *batch][-ROUNDS * KEPT :]
        return batch

    def labels(self, size: int) -> list[Label]:
        self.rng.shuffle(self.unlabelled)
        return [Label(self.rng.choice(self.unlabelled.pop().ids), (1,)) for _ in range(size)]

    def _prediction(self) -> Prediction:
        name, number = f"{self.rng.getrandbits(128):032x}", next(self.numbers)
        return Prediction(
            ids=(f"event-{name}", f"request-{name}", f"mine-{number}"),
            variant="champion",
            version="3",
            time_s=NOW_S + number,
            weight=10.0,
            features=FEATURES,
            asked=[[self.rng.gauss(0, 1) for _ in FEATURES]],
            predictions=("label", "probability"),
            answered=[[1, self.rng.random()]],
            groups={"x-sex": "f"},
        )


@dataclass(frozen=True, slots=True)
class Figure:
    """Microseconds for one item, of wall and of processor, the longest call in milliseconds, bytes written for one."""

    wall_us: float
    cpu_us: float
    worst_ms: float
    written: float

    @property
    def row(self) -> tuple[str, str, str, str, str]:
        rate = 1e6 / self.wall_us
        return (
            f"{self.wall_us:.0f}",
            f"{rate:,.0f}",
            f"{self.cpu_us:.0f}",
            f"{self.worst_ms:.1f}",
            f"{self.written:,.0f}",
        )


def written_bytes() -> int:
    lines = Path("/proc/self/io").read_text(encoding="ascii").splitlines()
    return int(dict(line.split(": ") for line in lines)["write_bytes"])


def timed(calls: Sequence[Callable[[], object]], items: int) -> Figure:
    """What these calls take, `items` of something in each."""
    before, worst_s = written_bytes(), 0.0
    began_s, cpu_s = time.perf_counter(), time.thread_time()
    for call in calls:
        called_s = time.perf_counter()
        call()
        worst_s = max(worst_s, time.perf_counter() - called_s)
    wall_s, cpu_s = time.perf_counter() - began_s, time.thread_time() - cpu_s
    each = 1e6 / len(calls) / items
    return Figure(wall_s * each, cpu_s * each, worst_s * 1e3, (written_bytes() - before) / len(calls) / items)


@contextmanager
def busy() -> Iterator[None]:
    """A thread that never waits."""
    ended = threading.Event()

    def work() -> None:
        while not ended.is_set():
            pass

    thread = threading.Thread(target=work)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def measure(store: Sqlite, traffic: Traffic) -> dict[str, Figure]:
    batches = [traffic.predictions() for _ in range(ROUNDS)]
    labels = [traffic.labels(TOLD) for _ in range(ROUNDS)]
    single = [traffic.labels(1) for _ in range(200)]
    place = 0
    gc.collect()
    gc.freeze()  # what the bench itself holds is not the store's to be searched

    def read() -> None:
        nonlocal place
        place = store.joined(place, READ)[-1].number
        store.save("quality", b"", place)

    later_s = (NOW_S + number for number in count(604_800 * 3))
    return {
        f"keep, {KEPT} together": timed([partial(store.keep, each, NOW_S) for each in batches], KEPT),
        f"add, {TOLD} together": timed([partial(store.add, each, NOW_S) for each in labels], TOLD),
        f"read and save, {READ} together": timed([read] * (ROUNDS * TOLD // READ), READ),
        "add, one at a time": timed([partial(store.add, each, NOW_S) for each in single], 1),
        "tidy, nothing to do": timed([lambda: store.tidy(NOW_S)] * ROUNDS, 1),
        "tidy, all is too old": timed([lambda: store.tidy(next(later_s))] * ROUNDS, 1),
    }


def fill(store: Sqlite, traffic: Traffic) -> None:
    for _ in range(2 * store.rows // KEPT + 1):
        store.keep(traffic.predictions(), NOW_S)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=200_000)
    parser.add_argument("--folder", help="on the disk to be measured")
    parser.add_argument("--core", type=int, default=1)
    arguments = parser.parse_args()
    os.sched_setaffinity(0, {arguments.core})
    tables: list[dict[str, Figure]] = []
    for beside in (False, True):
        with TemporaryDirectory(dir=arguments.folder) as folder, closing(Sqlite(folder, rows=arguments.rows)) as store:
            traffic = Traffic(Random(1), count(), [])
            fill(store, traffic)
            if beside:
                with busy():
                    tables.append(measure(store, traffic))
            else:
                size = Path(folder, FILE).stat().st_size / arguments.rows
                tables.append(measure(store, traffic))
        title = f"{arguments.rows:,} predictions kept, {'beside a busy thread' if beside else 'alone'}"
        heads = ("", "µs each", "each s", "of processor, µs", "longest call, ms", "bytes written")
        print_table(title, heads, [(name, *figure.row) for name, figure in tables[-1].items()])
    kept, told, read, *_ = tables[-1].values()
    print_verdicts(
        [
            at_least("predictions written, beside a busy thread", 1e6 / kept.wall_us, TARGET, "/s"),
            at_least("labels joined and read back, likewise", 1e6 / (told.wall_us + read.wall_us), TARGET, "/s"),
            at_most("longest call of tidy, alone", tables[0]["tidy, all is too old"].worst_ms, TIDY_MS, "ms"),
            at_most("size of the file for a prediction", size, 2048.0, "bytes"),
        ]
    )


if __name__ == "__main__":
    main()
