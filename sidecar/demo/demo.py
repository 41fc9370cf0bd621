"""`sidecar demo`: a real model server, the sidecar before it, real rows sent at a rate, and what came of it."""

import asyncio
import math
from collections.abc import Iterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from time import monotonic

import aiohttp
import numpy as np
from rich.console import Console

from sidecar.demo import model, rows
from sidecar.demo.captures import tally
from sidecar.demo.children import LOOK_S, Child, Command, start
from sidecar.demo.client import Client
from sidecar.demo.ending import DemoError, is_set_within, stop_on_signals
from sidecar.demo.figures import Figures, read, read_drift
from sidecar.demo.place import (
    FALSE_ALARMS_PER,
    Place,
    fresh_place,
    reference_command,
    server_command,
    sidecar_command,
    watching_command,
    write_configuration,
)
from sidecar.demo.play import Play
from sidecar.demo.plot import Plot, phase_s
from sidecar.demo.receiver import Receiver, write_secret
from sidecar.demo.screen import Progress, Screen, summary
from sidecar.records import JSON
from sidecar.tasks import Tasks

EXTRA = ("joblib", "mlserver", "mlserver_sklearn", "sklearn")
"""What is imported of the extra `[demo]`."""

SETTLE_LOOKS = 20
"""For the last rows to be in the statistics, LOOK_S apart; the pipeline looks every 50 ms."""

WATCH_S = 0.25
"""Between two looks at what drifts: a dozen rows."""

RATE_S = 0.9
"""Of requests of which a rate is told, at least."""

SEED = 0
"""Of the draws of rows."""

LOOK_TIMEOUT = aiohttp.ClientTimeout(total=5.0)

FEATURES = ("mean radius", "mean texture", "mean smoothness", "worst area", "worst concavity")
"""Those that are shown, of 30; of predictions, all are."""


@dataclass(frozen=True, slots=True)
class Options:
    """What the user chose.

    Args:
        rate: Requests per second.
        seconds: Ends the demo; None is no end.
        captures: The folder for captures; None is a fresh one.
        drift: Watch for drift, and show one.
    """

    rate: float
    seconds: float | None
    captures: Path | None
    drift: bool = False


def run(options: Options) -> int:
    """Run the demo to its end; returns the exit code."""
    try:
        require(EXTRA)
        return asyncio.run(_run(options, Screen(Console())))
    except DemoError as error:
        Screen(Console(stderr=True)).say(f"sidecar demo: {error}")
        return 1


def require(modules: tuple[str, ...]) -> None:
    """Make sure that these modules are installed.

    Raises:
        DemoError: One is not.
    """
    missing = [name for name in modules if find_spec(name) is None]
    if missing:
        raise DemoError(f"{', '.join(missing)}: not installed, expected pip install 'sidecar[demo]'")


async def _run(options: Options, screen: Screen) -> int:
    place = fresh_place(options.captures)
    before = tally(place.captures)
    async with aiohttp.ClientSession() as session, AsyncExitStack() as stack:
        demo = Demo(place, screen, session, stop_on_signals())
        trained = await demo.train()
        play = await demo.prepare(stack, trained, options) if options.drift else None
        sidecar = watching_command(place) if play else sidecar_command(place)
        children = [
            await demo.start(stack, server_command(place), place.server_ready),
            await demo.start(stack, sidecar, place.sidecar_ready),
        ]
        screen.say(*_introduction(place, options, trained))
        last = await demo.send(rows.again(trained) if play is None else play.rows, play, options, children)
    screen.say(*summary(last, tally(place.captures).since(before), place.captures))
    return _judged(play.plot, place, screen) if play else 0


def _judged(plot: Plot, place: Place, screen: Screen) -> int:
    """Tell whether all that was promised has been seen; the exit code."""
    faults = plot.faults()
    screen.say(*plot.summary(), *(f"not shown   {fault}" for fault in faults))
    if faults:
        screen.say(f"logs        {place.folder}")
        return 1
    screen.say("            one alert, of exactly the shifted features; resolved after they were back")
    return 0


@dataclass(frozen=True, slots=True)
class Demo:
    """The steps of a demo, in their order.

    Args:
        place: Where everything is.
        screen: Where it is told.
        session: For all requests.
        stop: Set when the demo is to end.
    """

    place: Place
    screen: Screen
    session: aiohttp.ClientSession
    stop: asyncio.Event

    async def train(self) -> model.Trained:
        """Train the model and leave it for the model server."""
        with self.screen.waiting("training a scikit-learn model ..."):
            trained = await asyncio.to_thread(model.train, self.place.model)
        model.write_settings(self.place.model, int(self.place.server.rpartition(":")[2]))
        seen, kept_back = trained.training, len(trained.rows)
        self.screen.say(
            f"trained a scikit-learn model on {len(seen)} real rows (breast cancer, {len(trained.features)} features); "
            f"it is right about {trained.accuracy:.1%} of the {kept_back} rows kept back"
        )
        return trained

    async def prepare(self, stack: AsyncExitStack, trained: model.Trained, options: Options) -> Play:
        """Make a reference of the training rows, and a receiver of alerts that ends with `stack`.

        Raises:
            DemoError: There is no reference.
        """
        drawn = rows.Drawn(trained, np.random.default_rng(SEED))
        play = Play(drawn, Plot(drawn.steps, phase_s(options.seconds)), self.screen.say, monotonic)
        receiver = Receiver(write_secret(self.place.secret), play.receive)
        webhook = await stack.enter_async_context(receiver.listening())
        write_configuration(self.place, webhook, options.rate)
        await asyncio.to_thread(rows.write_csv, trained, self.place.rows)
        command = reference_command(self.place)
        child = await start(command)
        try:
            await child.done(self.stop)
        finally:
            await child.stop()
        self._require_going_on()
        self.screen.say(f"made a reference of the training rows: {command.log.read_text().strip()}")
        return play

    async def start(self, stack: AsyncExitStack, command: Command, ready: str) -> Child:
        """Start a child that ends with `stack`, and wait until it is ready.

        Raises:
            DemoError: It is not, or the demo is to end.
        """
        started_s = monotonic()
        with self.screen.waiting(f"starting {command.name} ..."):
            child = await start(command)
            stack.push_async_callback(child.stop)
            await child.ready(self.session, ready, self.stop)
        self._require_going_on()
        self.screen.say(f"started {command.name} in {monotonic() - started_s:.1f} s")
        return child

    async def send(
        self, bodies: Iterator[bytes], play: Play | None, options: Options, children: list[Child]
    ) -> Progress:
        """Send rows until told to stop, and show what the sidecar makes of them; returns the last of it.

        Raises:
            DemoError: A child ended.
        """
        client = Client(self.place.inference, bodies, options.rate, monotonic)
        if options.seconds is not None:
            asyncio.get_running_loop().call_later(options.seconds, self.stop.set)
        tasks, started_s = Tasks(), monotonic()
        if play:
            play.begin()
        try:
            sending = tasks.start(client.run(self.session, self.stop))
            await self._show(client, play, children)
            await sending
            elapsed_s = monotonic() - started_s
        finally:
            await tasks.close()
        figures = await self._settled(client.requests - client.errors)
        return Progress(elapsed_s, client.requests, client.errors, client.requests / elapsed_s, figures)

    async def _show(self, client: Client, play: Play | None, children: list[Child]) -> None:
        began_s = seen_s = monotonic()
        seen, rate = 0, 0.0
        with self.screen.live() as show:
            while not await is_set_within(self.stop, WATCH_S if play else self.screen.every_s):
                for child in children:
                    child.require_running()
                if play:
                    play.see(read_drift(await self._get("/v1/drift"), FALSE_ALARMS_PER))
                figures, now_s, requests = await self._look(), monotonic(), client.requests
                if now_s - seen_s >= RATE_S or not seen:
                    rate = (requests - seen) / (now_s - seen_s)
                    seen, seen_s = requests, now_s
                drift, phase = (play.drift, play.plot.phase) if play else (None, "")
                show(Progress(now_s - began_s, requests, client.errors, rate, figures, phase, drift))

    async def _settled(self, rows: int) -> Figures:
        for _ in range(SETTLE_LOOKS):
            if (figures := await self._look()).rows >= rows:
                return figures
            await asyncio.sleep(LOOK_S)
        return await self._look()

    async def _look(self) -> Figures:
        return read(await self._get("/v1/status"), await self._get("/v1/features"), FEATURES)

    async def _get(self, path: str) -> JSON:
        url = f"http://{self.place.admin}{path}"
        try:
            async with self.session.get(url, timeout=LOOK_TIMEOUT, raise_for_status=True) as reply:
                return await reply.json()
        except (aiohttp.ClientError, TimeoutError, ValueError) as error:
            raise DemoError(f"{url}: cannot be read ({error!r}), expected JSON") from None

    def _require_going_on(self) -> None:
        if self.stop.is_set():
            raise DemoError(f"stopped before the first request; logs are in {self.place.folder}")


def _introduction(place: Place, options: Options, trained: model.Trained) -> list[str]:
    lines = [
        "",
        f"  model server  http://{place.server}",
        f"  listener      {place.inference}",
        f"  admin page    http://{place.admin}/",
        f"  captures      {place.captures}, of every request (--capture-sample-ratio 1; the default is 0.1)",
        f"  logs          {place.folder}",
    ]
    if not options.drift:
        sent = f"the {len(trained.rows)} kept back again and again; Ctrl-C ends it"
        return [*lines, f"  client        sends {options.rate:g} rows/s, {sent}", ""]
    seen, length_s = len(trained.training), phase_s(options.seconds)
    return [
        *lines,
        f"  configuration {place.configuration}",
        f"  client        sends {options.rate:g} rows/s, drawn at random from the {seen} training rows: until the",
        "                shift, nothing but chance is different from the reference; Ctrl-C ends it",
        f"  plot          {length_s:g} s of usual rows, {length_s:g} s of shifted ones, then the usual ones again",
        f"  evidence      by chance alone it comes to about ln(rows), {math.log(1000):.1f} nats of 1,000 rows; the",
        f"                budget, one false alarm in {FALSE_ALARMS_PER:,} rows, says how much an alarm needs",
        "",
    ]
