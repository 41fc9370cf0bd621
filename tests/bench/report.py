"""A report over millions of decoded rows of ten columns, two of them texts: rows a second, and peak memory.

    python -m tests.bench.report [--engine spark] [--rows 1,5,50] [--memory 4GiB] [--every 3600]

Rows lie in a folder as the Parquet sink leaves them, 24 hours of one variant; they are made by DuckDB, and deleted
afterwards. Each size is counted and judged in a process of its own, whose peak it is; with Spark, Java's is beside it.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from sidecar.monitors.data import Data
from sidecar.records import Table
from sidecar.reference.constraints import suggested
from sidecar.reference.folder import Reference
from sidecar.reference.learning import Learner
from tests.bench.table import print_table

MILLION = 1_000_000
NUMBERS = tuple(f"x{place}" for place in range(7))
COUNTRIES = ("at", "de", "ch", "fr")
START_S = 1_764_028_800

MAKE = """
COPY (
  SELECT to_timestamp({start} + i * 86400.0 / {rows}) AS time, uuid()::VARCHAR AS event_id, 'r' || i AS request_id,
    '' AS inference_id, 0::INTEGER AS row, '3' AS version, '/invocations' AS path, 200::INTEGER AS status,
    0.1::DOUBLE AS sample_ratio, {numbers}, (random())::DOUBLE AS prediction__score,
    ['at', 'de', 'ch', 'fr'][(1 + floor(4 * random()))::INTEGER] AS feature_text__country,
    ['yes', 'no'][(1 + floor(2 * random()))::INTEGER] AS prediction_text__label, 'champion' AS variant,
    strftime(make_timestamp((({start} + i * 86400.0 / {rows}) * 1e6)::BIGINT), '%Y-%m-%dT%H') AS hour
  FROM range({rows}) rows(i)
) TO '{folder}' (FORMAT parquet, PARTITION_BY (variant, hour), COMPRESSION zstd)
"""


def make(folder: Path, rows: int) -> None:
    """So many rows of uniform numbers, which no codec makes smaller."""
    import duckdb

    numbers = ", ".join(f"(100 * random())::DOUBLE AS feature__{name}" for name in NUMBERS)
    with duckdb.connect() as connection:
        connection.sql("SET preserve_insertion_order = false")
        connection.sql(MAKE.format(start=START_S, rows=rows, numbers=numbers, folder=folder))


def reference() -> Reference:
    """Of 20,000 rows like them."""
    rng, rows = np.random.default_rng(0), 20_000
    names = (*NUMBERS, "score", "country", "label")
    values = np.column_stack([100 * rng.random((rows, 7)), rng.random(rows), np.full((rows, 2), np.nan)])
    texts = {
        8: [COUNTRIES[each] for each in rng.integers(0, 4, rows)],
        9: [("yes", "no")[each] for each in rng.integers(0, 2, rows)],
    }
    learner = Learner()
    learner.update(Table(names, values, texts))
    profiles = learner.profiles()
    return Reference(profiles, suggested(profiles))


def measure(engine: str, folder: Path, memory: str, every_s: float) -> dict[str, float]:
    """Seconds, and MiB at the peak."""
    from sidecar.report.counting.engines import Settings, open_engine
    from sidecar.report.counting.judging import report

    opened = open_engine(engine, Settings(memory=memory, spill=folder.parent / "spill"))
    lines = opened.read(folder)
    began_s, cpu_s = time.perf_counter(), time.process_time()
    (found,) = report(lines, reference(), Data(), every_s=every_s)
    seconds = time.perf_counter() - began_s
    told = {"seconds": seconds, "cpu_s": time.process_time() - cpu_s, "rows": float(found.profiles.rows)}
    told |= {"peak_mib": _peak_mib(os.getpid()), "java_mib": _java_mib()}
    opened.close()
    return told


def _java_mib() -> float:
    """The peak of Java beside us; 0 where there is none."""
    import psutil

    return max((_peak_mib(child.pid) for child in psutil.Process().children(recursive=True)), default=0.0)


def _peak_mib(pid: int) -> float:
    """Of a process since it was started; what `getrusage` tells may be its parent's."""
    status = Path(f"/proc/{pid}/status").read_text()
    return max((int(line.split()[1]) / 1024 for line in status.splitlines() if line.startswith("VmHWM")), default=0.0)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--engine", default="duckdb")
    parser.add_argument("--rows", default="1,5,50", help="millions")
    parser.add_argument("--memory", default="")
    parser.add_argument("--every", type=float, default=3600.0)
    parser.add_argument("--folder", type=Path, help="of a run that measures")
    given = parser.parse_args()
    if given.folder:
        print(json.dumps(measure(given.engine, given.folder, given.memory, given.every)))
        return
    told = []
    for millions in map(float, given.rows.split(",")):
        with tempfile.TemporaryDirectory() as temporary:
            folder = Path(temporary, "rows")
            make(folder, int(millions * MILLION))
            size = sum(each.stat().st_size for each in folder.rglob("*.parquet"))
            own = [f"--engine={given.engine}", f"--memory={given.memory}", f"--every={given.every}"]
            command = [sys.executable, "-m", "tests.bench.report", f"--folder={folder}", *own]
            found = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)
        rates = [found["rows"] / found[name] for name in ("seconds", "cpu_s")]
        peaks = [f"{found[name]:.0f}" for name in ("peak_mib", "java_mib")]
        told.append([f"{millions:g}", f"{size / 1e6:.0f}", f"{found['seconds']:.1f}"])
        told[-1] += [*(f"{each:,.0f}" for each in rates), *peaks]
    heads = ["million rows", "MB", "s", "rows/s", "rows/CPU s", "peak MiB", "Java's"]
    print_table(f"a report by {given.engine}, 10 columns", heads, told)


if __name__ == "__main__":
    main()
