"""Sinks whose servers stall under load: `python -m tests.bench.stall [--minutes 10] [--rate 500]`.

One sidecar captures every request to an object store, a receiver of CloudEvents and a Kafka at once. After a minute of
peace all three are stopped (SIGSTOP: connections are still accepted, nothing is answered), and after the stall go on.
wrk loads the sidecar at about the rate; a single error at a client ends the measurement.
"""

import argparse
import signal
import sys
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import psutil
import yaml

from sidecar.records import JSON
from tests.bench.load import CONNECTIONS, Load, Wrk
from tests.bench.proxy import upstream_nginx
from tests.bench.rig import RigError
from tests.bench.table import at_most, print_table, print_verdicts
from tests.e2e.kafka import broker
from tests.e2e.rig import Process, Sidecar, running, sidecar
from tests.e2e.s3 import BUCKET, s3

MINUTE_S = 60
FILLING = 1
"""Minutes in which what waits grows to its bound."""


@dataclass(frozen=True, slots=True)
class Minute:
    """What was seen in one.

    Args:
        name: `peace`, `stall 1`, …
        rss_mib: Resident memory of the sidecar at its end.
        sinks: What became of captures so far, by sink.
    """

    name: str
    load: Load
    rss_mib: float
    sinks: Mapping[str, JSON]


@dataclass(frozen=True, slots=True)
class Places:
    """The servers, and the sinks that bring captures there."""

    processes: list[Process]
    sinks: list[JSON]
    variables: Mapping[str, str]

    def send(self, number: int) -> None:
        for each in self.processes:
            each.send(number)


@contextmanager
def places(folder: Path) -> Iterator[Places]:
    with ExitStack() as stack:
        store = stack.enter_context(s3())
        receiver = stack.enter_context(running([sys.executable, "-m", "tests.e2e.event_receiver"]))
        kafka = stack.enter_context(broker(folder))
        sinks: list[JSON] = [
            {"kind": "objects", "url": f"s3://{BUCKET}/stall", "flush_s": 10},
            {"kind": "cloudevents", "url": receiver.says(r"receiving on (\S+)")[1]},
            {"kind": "kafka", "brokers": kafka.address, "topic": "captures"},
        ]
        yield Places([store.process, receiver, kafka.process], sinks, store.variables)


def minute(name: str, served: Sidecar, wrk: Wrk, seconds: int) -> Minute:
    load = wrk.small(served.port, seconds)
    rss = psutil.Process(served.process.process.pid).memory_info().rss
    found = Minute(name, load, rss / (1 << 20), {each["name"]: each for each in served.status()["sinks"]})
    print(f"{name}: {found.rss_mib:.1f} MiB, p99 {load.p99_ms:.1f} ms", file=sys.stderr)
    return found


def measured(minutes: int, rate: int, seconds: int) -> list[Minute]:
    with ExitStack() as stack:
        folder = Path(stack.enter_context(TemporaryDirectory()))
        (folder / "kafka").mkdir()
        (folder / "nginx").mkdir()
        upstream = stack.enter_context(upstream_nginx(folder / "nginx"))
        found = stack.enter_context(places(folder / "kafka"))
        sinks = yaml.safe_dump(found.sinks, default_flow_style=True, width=10_000)
        flags = ["--upstream", f"http://127.0.0.1:{upstream}", "--capture-sample-ratio", "1", "--capture-sinks", sinks]
        served = stack.enter_context(sidecar(*flags, variables=found.variables))
        wrk = Wrk(folder, pause_ms=round(1000 * CONNECTIONS / rate))
        seen = [minute("peace", served, wrk, seconds)]
        found.send(signal.SIGSTOP)
        seen += [minute(f"stall {number + 1}", served, wrk, seconds) for number in range(minutes)]
        found.send(signal.SIGCONT)
        return [*seen, minute("after", served, wrk, seconds)]


def told(seen: list[Minute]) -> None:
    names = list(seen[0].sinks)
    heads = ("minute", "requests/s", "p50 ms", "p99 ms", "errors", "RSS MiB", *(f"{name}: d/f/x" for name in names))
    rows = [
        [
            each.name,
            f"{each.load.requests / each.load.duration_s:.0f}",
            f"{each.load.p50_ms:.2f}",
            f"{each.load.p99_ms:.1f}",
            str(each.load.errors),
            f"{each.rss_mib:.1f}",
            *(f"{one['delivered']}/{one['failed']}/{one['dropped']}" for one in each.sinks.values()),
        ]
        for each in seen
    ]
    print_table("captures by sink: d delivered, f failed, x dropped before the sink", heads, rows)
    flat = [each.rss_mib for each in seen[1 + FILLING : -1]]
    if flat:
        grown = max(flat) - seen[FILLING].rss_mib
        print_verdicts([at_most("growth of memory once the queues are full", grown, 10, "MiB")])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=int, default=10, help="of the stall")
    parser.add_argument("--rate", type=int, default=500, help="requests per second")
    parser.add_argument("--seconds", type=int, default=MINUTE_S, help="of a minute, to try this out")
    options = parser.parse_args()
    try:
        told(measured(options.minutes, options.rate, options.seconds))
    except RigError as error:
        sys.exit(f"stall: {error}")


if __name__ == "__main__":
    main()
