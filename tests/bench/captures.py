"""`sidecar report` over captures as the sidecar writes them: from JSON Lines to the page, with all labels or none.

    python -m tests.bench.captures [--bytes 1e9] [--engine spark]

Captures of 30 features, two of them texts, one row each, in files of an hour of one variant; they are made in the
temporary folder, and deleted afterwards. The command runs as a process: what it takes is that of all its processes
together, the greatest sum of their resident sets that a look every 50 ms has seen.
"""

import argparse
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import orjson
import psutil

from sidecar.records import Body, Capture, Table
from sidecar.reference.constraints import suggested
from sidecar.reference.folder import Reference, write_folder
from sidecar.reference.learning import Learner
from sidecar.sinks.capture_lines import file_place, line
from sidecar.stats.moments import Floats
from tests.bench.table import print_table

NUMBERS = tuple(f"feature_{place}" for place in range(28))
TEXTS = ("merchant", "country")
MERCHANTS, COUNTRIES = np.array(["grocer", "travel", "games", "fuel"]), np.array(["at", "de", "ch"])
START_S = 1_764_028_800
HOURS = 24
BATCH = 1000
LOOK_S = 0.05

CONFIGURATION = "model: {task: binary, prediction: label, probabilities: [probability], positive: '1'}\n"


class Batch(NamedTuple):
    """Some rows: numbers of shape (n, 28), and texts beside them."""

    numbers: Floats
    texts: list[list[str]]

    @classmethod
    def drawn(cls, rng: np.random.Generator, rows: int) -> "Batch":
        """So many."""
        numbers = np.exp(rng.normal(3.0, 1.0, size=(rows, len(NUMBERS)))).round(3)
        return cls(numbers, [rng.choice(each, rows).tolist() for each in (MERCHANTS, COUNTRIES)])


def reference(folder: Path) -> None:
    """Of 20,000 rows like them."""
    batch = Batch.drawn(np.random.default_rng(0), 20_000)
    values = np.hstack([batch.numbers, np.full((20_000, len(TEXTS)), np.nan)])
    learner = Learner()
    learner.update(
        Table((*NUMBERS, *TEXTS), values, {len(NUMBERS) + place: each for place, each in enumerate(batch.texts)})
    )
    profiles = learner.profiles()
    write_folder(folder, Reference(profiles, suggested(profiles)))


def lines(rng: np.random.Generator, hour: int, first: int) -> Iterator[tuple[bytes, bytes]]:
    """Captures of an hour, without end, each with its label."""
    number = first
    while True:
        batch, chance = Batch.drawn(rng, BATCH), rng.random((BATCH, 2)).round(6).tolist()
        for row, texts, (probability, luck) in zip(
            batch.numbers.tolist(), zip(*batch.texts, strict=True), chance, strict=True
        ):
            asked = orjson.dumps({"instances": [dict(zip((*NUMBERS, *TEXTS), (*row, *texts), strict=True))]})
            answered = {"predictions": [{"label": int(probability > 0.5), "probability": probability}]}
            made = capture(number, START_S + hour * 3600 + (number - first) % 3600, asked, orjson.dumps(answered))
            yield line(made), orjson.dumps({"id": made.request_id, "label": int(luck < probability)}) + b"\n"
            number += 1


def capture(number: int, time_s: float, asked: bytes, answered: bytes) -> Capture:
    return Capture(
        request_id=f"request-{number:010}",
        inference_id="",
        variant="champion",
        version="3",
        method="POST",
        path="/v1/models/fraud:predict",
        route="/v1/models/{model}:predict",
        status=200,
        error_type="",
        started_s=time_s + number % 1000 / 1000,
        duration_s=0.003,
        first_byte_s=0.002,
        overhead_s=0.0001,
        sample_ratio=1.0,
        headers={"request": {"content-type": "application/json"}, "reply": {"content-type": "application/json"}},
        request=Body("application/json", asked),
        reply=Body("application/json", answered),
    )


def make(folder: Path, size_bytes: float) -> tuple[int, int]:
    """Captures and their labels; how many bytes and rows they are."""
    rng, total, rows = np.random.default_rng(1), 0, 0
    with (folder / "labels.jsonl").open("wb") as labels:
        for hour in range(HOURS):
            path = folder / "captures" / "fraud" / file_place("champion", START_S + hour * 3600.0, hour)
            path.parent.mkdir(parents=True)
            with path.open("wb") as file:
                for told, label in lines(rng, hour, rows):
                    total += file.write(told)
                    labels.write(label)
                    rows += 1
                    if total >= size_bytes * (hour + 1) / HOURS:
                        break
    return total, rows


def measure(command: list[str]) -> tuple[float, float]:
    """Seconds that it takes, and MiB at the peak of all its processes."""
    began_s, peak = time.perf_counter(), 0
    process = psutil.Popen(command, stdout=subprocess.DEVNULL)
    while process.poll() is None:
        peak = max(peak, resident(process))
        time.sleep(LOOK_S)
    if process.returncode not in {0, 3}:
        raise SystemExit(f"{' '.join(command)} ended with {process.returncode}")
    return time.perf_counter() - began_s, peak / (1 << 20)


def resident(process: psutil.Process) -> int:
    """Bytes of a process and all below it."""
    total = 0
    try:
        for each in (process, *process.children(recursive=True)):
            total += each.memory_info().rss
    except psutil.NoSuchProcess:  # it has just ended
        pass
    return total


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--bytes", type=float, default=1e9)
    parser.add_argument("--engine", default="duckdb")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="captures-") as temporary:
        folder = Path(temporary)
        reference(folder / "reference")
        (folder / "sidecar.yaml").write_text(CONFIGURATION)
        total, rows = make(folder, given.bytes)
        print(f"{total / 1e6:,.0f} MB of {rows:,} rows, {psutil.cpu_count()} cores, load {psutil.getloadavg()[0]:.1f}")
        report = [sys.executable, "-m", "sidecar", "report", str(folder / "captures"), "--engine", given.engine]
        report += ["--reference", str(folder / "reference"), "--config", str(folder / "sidecar.yaml")]
        report += ["-o", str(folder / "r.html"), "-o", str(folder / "r.json")]
        kept = ["--work", str(folder / "work")]
        runs = {
            "from captures": [],
            "from captures, with labels": ["--labels", str(folder / "labels.jsonl"), *kept],
            "again, nothing new": kept,
            "again, with labels": ["--labels", str(folder / "labels.jsonl"), *kept],
        }
        told = []
        for name, options in runs.items():
            seconds, peak_mib = measure([*report, *options])
            told.append(
                [name, f"{seconds:.1f}", f"{total / 1e6 / seconds:.1f}", f"{rows / seconds:,.0f}", f"{peak_mib:.0f}"]
            )
        print_table(f"a report by {given.engine}, 30 features", ["run", "s", "MB/s", "rows/s", "peak MiB"], told)


if __name__ == "__main__":
    main()
