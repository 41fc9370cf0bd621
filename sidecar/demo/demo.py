"""`sidecar demo`: a real model server, the sidecar before it, real rows sent at a rate, and what came of it."""

import asyncio
from contextlib import AsyncExitStack
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from time import monotonic

import aiohttp
from rich.console import Console

from sidecar.demo import model
from sidecar.demo.captures import tally
from sidecar.demo.children import LOOK_S, Child, Command, start
from sidecar.demo.client import Client
from sidecar.demo.ending import DemoError, is_set_within, stop_on_signals
from sidecar.demo.figures import Figures, read
from sidecar.demo.place import Place, fresh_place, server_command, sidecar_command
from sidecar.demo.screen import Progress, Screen, summary
from sidecar.records import JSON
from sidecar.tasks import Tasks

EXTRA = ("joblib", "mlserver", "mlserver_sklearn", "sklearn")
"""What is imported of the extra `[demo]`."""

SETTLE_LOOKS = 20
"""For the last rows to be in the statistics, LOOK_S apart; the pipeline looks every 50 ms."""

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
    """

    rate: float
    seconds: float | None
    captures: Path | None


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
        children = [
            await demo.start(stack, server_command(place), place.server_ready),
            await demo.start(stack, sidecar_command(place), place.sidecar_ready),
        ]
        last = await demo.send(trained, options, children)
    screen.say(*summary(last, tally(place.captures).since(before), place.captures))
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
        seen, kept_back = trained.trained_on, len(trained.rows)
        self.screen.say(
            f"trained a scikit-learn model on {seen} real rows (breast cancer, {len(trained.features)} features); "
            f"it is right about {trained.accuracy:.1%} of the {kept_back} rows kept back"
        )
        return trained

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
        if self.stop.is_set():
            raise DemoError(f"stopped before the first request; logs are in {self.place.folder}")
        self.screen.say(f"started {command.name} in {monotonic() - started_s:.1f} s")
        return child

    async def send(self, trained: model.Trained, options: Options, children: list[Child]) -> Progress:
        """Send rows until told to stop, and show what the sidecar makes of them; returns the last of it.

        Raises:
            DemoError: A child ended.
        """
        self.screen.say(*_introduction(self.place, options.rate, len(trained.rows)))
        bodies = [model.body(trained.features, row) for row in trained.rows]
        client = Client(self.place.inference, bodies, options.rate, monotonic)
        if options.seconds is not None:
            asyncio.get_running_loop().call_later(options.seconds, self.stop.set)
        tasks, started_s = Tasks(), monotonic()
        try:
            sending = tasks.start(client.run(self.session, self.stop))
            await self._show(client, children)
            await sending
            elapsed_s = monotonic() - started_s
        finally:
            await tasks.close()
        figures = await self._settled(client.requests - client.errors)
        return Progress(elapsed_s, client.requests, client.errors, client.requests / elapsed_s, figures)

    async def _show(self, client: Client, children: list[Child]) -> None:
        began_s = seen_s = monotonic()
        seen = 0
        with self.screen.live() as show:
            while not await is_set_within(self.stop, self.screen.every_s):
                for child in children:
                    child.require_running()
                figures, now_s, requests = await self._look(), monotonic(), client.requests
                rate = (requests - seen) / (now_s - seen_s)
                show(Progress(now_s - began_s, requests, client.errors, rate, figures))
                seen, seen_s = requests, now_s

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


def _introduction(place: Place, rate: float, rows: int) -> tuple[str, ...]:
    return (
        "",
        f"  model server  http://{place.server}",
        f"  listener      {place.inference}",
        f"  admin page    http://{place.admin}/",
        f"  captures      {place.captures}, of every request (--capture-sample-ratio 1; the default is 0.1)",
        f"  logs          {place.folder}",
        f"  client        sends {rate:g} rows/s, the {rows} kept back again and again; Ctrl-C ends it",
        "",
    )
