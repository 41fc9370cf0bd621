"""nginx, Envoy and the sidecar side by side: `python -m tests.bench.proxy [--rounds 5] [--seconds 4] [--large]`.

Every proxy has one core for itself in turn, and is loaded as far as it goes, or less with `--pause-ms`: CPU time per
request is what compares.
The rounds are interleaved, so that whatever else the machine does meets all of them. A figure is the median of its
rounds.
"""

import argparse
import contextlib
import statistics
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import astuple, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import psutil

from tests.bench.contestants import (
    ALL_NAME,
    CONTESTANTS,
    ENVOY_NAME,
    JUDGING_NAME,
    NGINX_NAME,
    SHADOWING_NAME,
    SIDECAR_NAME,
    TELLING_NAME,
    WATCHING_NAME,
    Contestant,
    Place,
    another,
    launched,
    started,
    upstream_command,
)
from tests.bench.load import Load, Wrk
from tests.bench.rig import LOAD_CORE, RigError, Running, await_reply, free_port, running, take_load_core
from tests.bench.table import Verdict, at_least, at_most, print_table, print_verdicts

WARM_UP_S = 1
STARTS = 5
LARGE = ("nginx", "envoy", "sidecar")


@dataclass(frozen=True, slots=True)
class Figures:
    """One round of one proxy, or the medians of its rounds.

    Args:
        cpu_us: CPU time per request, what it did after the last one included.
        proxy_core: The proxy's share of its core while it was loaded.
        idle_mb: Resident memory before any load; `rss_mb` is that after it, `peak_mb` the most there was.
        load_core: How busy the load's core was: at 1 it is the load that is measured.
    """

    cpu_us: float
    rate: float
    p50_ms: float
    p99_ms: float
    idle_mb: float
    rss_mb: float
    peak_mb: float
    proxy_core: float
    load_core: float


@dataclass(frozen=True, slots=True)
class Stand:
    """A contestant at work, with its resident memory before any."""

    name: str
    process: Running
    place: Place
    idle_mb: float


def measure(stand: Stand, run: Callable[[int], Load]) -> Figures:
    """One round."""
    process = stand.process
    process.forget_peak()
    cpu_s, load_core_s = process.cpu_s(), busy_s(LOAD_CORE)
    load = run(stand.place.listen)
    loaded_s, load_core_s = process.cpu_s() - cpu_s, busy_s(LOAD_CORE) - load_core_s
    process.settle()
    return Figures(
        cpu_us=(process.cpu_s() - cpu_s) / load.requests * 1e6,
        rate=load.requests / load.duration_s,
        p50_ms=load.p50_ms,
        p99_ms=load.p99_ms,
        idle_mb=stand.idle_mb,
        rss_mb=process.rss_bytes() / 1e6,
        peak_mb=process.peak_rss_bytes() / 1e6,
        proxy_core=loaded_s / load.duration_s,
        load_core=load_core_s / load.duration_s,
    )


def busy_s(core: int) -> float:
    """Seconds for which a core has done anything, for anyone."""
    times = psutil.cpu_times(percpu=True)[core]
    return sum(times) - times.idle - times.iowait - times.guest - times.guest_nice


def interleaved(stands: Sequence[Stand], rounds: int, run: Callable[[int], Load]) -> dict[str, Figures]:
    """The medians of every contestant over `rounds` rounds of A B C A B C."""
    seen: dict[str, list[Figures]] = {stand.name: [] for stand in stands}
    for number in range(rounds):
        for stand in stands:
            figures = measure(stand, run)
            seen[stand.name].append(figures)
            print(f"round {number + 1}  {stand.name:13} {figures.cpu_us:9.1f} µs", file=sys.stderr)
    return {name: medians(rows) for name, rows in seen.items()}


def medians(rows: Sequence[Figures]) -> Figures:
    """Column by column."""
    return Figures(*(statistics.median(column) for column in zip(*map(astuple, rows), strict=True)))


@contextlib.contextmanager
def stands(contestants: Sequence[Contestant], upstream: int) -> Iterator[list[Stand]]:
    """All of the contestants that can be started, at once; the others are named and left out."""
    with contextlib.ExitStack() as stack:
        found = []
        for contestant in contestants:
            try:
                process, place = stack.enter_context(started(contestant, upstream))
            except RigError as error:
                print(f"{contestant.name} is left out: {error}", file=sys.stderr)
                continue
            process.settle()
            found.append(Stand(contestant.name, process, place, process.rss_bytes() / 1e6))
        if not found:
            raise RigError("no proxy could be started")
        yield found


@contextlib.contextmanager
def upstream_nginx(folder: Path) -> Iterator[int]:
    """The port of an nginx on the load's core that answers with a small reply."""
    place = Place(folder, free_port(), 0, 0)
    with running(upstream_command(place), LOAD_CORE, folder / "log") as process:
        await_reply(place.listen, process)
        yield place.listen


@contextlib.contextmanager
def upstream_bulk(folder: Path) -> Iterator[int]:
    """The port of an upstream of large bodies on the load's core."""
    port = free_port()
    with running([sys.executable, "-m", "tests.bench.bulk", str(port)], LOAD_CORE, folder / "log") as process:
        await_reply(port, process)
        yield port


def small_bodies(
    contestants: Sequence[Contestant], folder: Path, rounds: int, seconds: int, pause_ms: int
) -> list[Verdict]:
    """Requests of 700 bytes with 30 features: CPU time, rate, latency, memory."""
    wrk = Wrk(folder, pause_ms)
    with upstream_nginx(folder) as upstream, stands(contestants, upstream) as found:
        for stand in found:
            wrk.small(stand.place.listen, WARM_UP_S)
            stand.process.settle()
        result = interleaved(found, rounds, lambda port: wrk.small(port, seconds))
    pause = f", pauses of {pause_ms} ms" if pause_ms else ""
    print_figures(f"700-byte requests{pause}, {rounds} rounds of {seconds} s, medians", "CPU µs/request", result)
    return [
        at_most("CPU per request, defaults", ratio(result, SIDECAR_NAME, ENVOY_NAME), 0.45, "of envoy"),
        at_most("CPU per request, defaults", ratio(result, SIDECAR_NAME, NGINX_NAME), 2.0, "of nginx"),
        at_most("CPU per request, metrics, a tenth traced", ratio(result, TELLING_NAME, ENVOY_NAME), 0.45, "of envoy"),
        at_most("CPU per request, defaults, watching", ratio(result, WATCHING_NAME, ENVOY_NAME), 0.65, "of envoy"),
        at_most("CPU per request, quality and bias too", ratio(result, JUDGING_NAME, ENVOY_NAME), 0.65, "of envoy"),
        at_most("CPU per request, two variants, shadow", ratio(result, SHADOWING_NAME, ENVOY_NAME), 0.6, "of envoy"),
        at_most("CPU per request, all captured", ratio(result, ALL_NAME, ENVOY_NAME), 0.6, "of envoy"),
        at_most("resident memory, all captured", result[ALL_NAME].rss_mb if ALL_NAME in result else None, 90, "MB"),
    ]


def ratio(result: dict[str, Figures], ours: str, theirs: str) -> float | None:
    """CPU time of one over that of the other; None unless both were measured."""
    return result[ours].cpu_us / result[theirs].cpu_us if ours in result and theirs in result else None


def large_bodies(contestants: Sequence[Contestant], folder: Path, rounds: int, seconds: int) -> list[Verdict]:
    """Bodies of 10 MiB up and down: throughput and memory."""
    wrk, verdicts = Wrk(folder), []
    with upstream_bulk(folder) as upstream, stands([c for c in contestants if c.name in LARGE], upstream) as found:
        for title, run in (("upload", wrk.upload), ("download", wrk.download)):
            result = interleaved(found, rounds, lambda port, run=run: run(port, seconds))  # type: ignore[misc]  # bound now
            print_figures(f"10 MiB {title}, {rounds} rounds of {seconds} s, medians", "CPU µs/body", result)
            ours, nginx = result.get(SIDECAR_NAME), result.get(NGINX_NAME)
            share = ours.rate / nginx.rate if ours and nginx else None
            growth_mb = ours.peak_mb - ours.idle_mb if ours else None
            verdicts.append(at_least(f"throughput, 10 MiB {title}", share, 0.5, "of nginx"))
            verdicts.append(at_most(f"growth of memory, 10 MiB {title}", growth_mb, 20, "MB"))  # capture.buffer_bytes
    return verdicts


def starts(contestants: Sequence[Contestant], folder: Path) -> list[Verdict]:
    """Seconds from spawning a proxy to the first 200 through it."""
    with upstream_nginx(folder) as upstream:
        seen = {contestant.name: start_s(contestant, upstream) for contestant in contestants}
    print_table("start to the first 200, median of 5", ("proxy", "s"), [(n, f"{s:.3f}") for n, s in seen.items() if s])
    return [at_most("start to serving, defaults", seen.get(SIDECAR_NAME), 0.5, "s")]


def start_s(contestant: Contestant, upstream: int) -> float | None:
    """The median of five starts; None if it does not start."""
    seen = []
    for _ in range(STARTS):
        begun_s = time.perf_counter()
        try:
            with launched(contestant, upstream) as (process, place):
                await_reply(place.listen, process, b"200")
                seen.append(time.perf_counter() - begun_s)
        except RigError:
            return None
    return statistics.median(seen)


def print_figures(title: str, cost: str, result: dict[str, Figures]) -> None:
    """One line a proxy, its cost also as a multiple of nginx's and of Envoy's."""
    heads = (
        "proxy",
        cost,
        "of nginx",
        "of envoy",
        "per s",
        "p50 ms",
        "p99 ms",
        "idle MB",
        "RSS MB",
        "peak MB",
        "its core",
        "load's core",
    )
    rows = []
    for name, f in result.items():
        ratios = (f"{r:.2f}" if (r := ratio(result, name, base)) else "" for base in (NGINX_NAME, ENVOY_NAME))
        times, memory = (
            (f"{f.p50_ms:.2f}", f"{f.p99_ms:.2f}"),
            (f"{f.idle_mb:.1f}", f"{f.rss_mb:.1f}", f"{f.peak_mb:.1f}"),
        )
        cores = (f"{f.proxy_core:.0%}", f"{f.load_core:.0%}")
        rows.append((name, f"{f.cpu_us:.1f}", *ratios, f"{f.rate:.0f}", *times, *memory, *cores))
    print_table(title, heads, rows)


def main() -> int:
    """Exit code 1 if the measurement could not be made."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.proxy", description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=int, default=4)
    parser.add_argument("--only", action="append", choices=list(CONTESTANTS), metavar="NAME")
    parser.add_argument("--large", action="store_true", help="also bodies of 10 MiB")
    parser.add_argument("--pause-ms", type=int, default=0, help="of a connection between a reply and its next request")
    parser.add_argument("--also", metavar="NAME=CHECKOUT", help="another checkout's sidecar, compiled or not")
    options = parser.parse_args()
    chosen = [CONTESTANTS[name] for name in options.only or CONTESTANTS]
    if options.also:
        chosen += another(*options.also.split("=", 1))
    try:
        take_load_core()
        with TemporaryDirectory(prefix="bench-") as name:
            verdicts = small_bodies(chosen, Path(name), options.rounds, options.seconds, options.pause_ms)
            if options.large:
                verdicts += large_bodies(chosen, Path(name), options.rounds, options.seconds)
            verdicts += starts(chosen, Path(name))
    except RigError as error:
        print(f"tests.bench.proxy: {error}", file=sys.stderr)
        return 1
    print_verdicts(verdicts)
    return 0


if __name__ == "__main__":
    sys.exit(main())
