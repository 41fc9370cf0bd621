"""What all demos have in common: the steps, in their order, and what is shown while requests are sent."""

import asyncio
from collections.abc import Callable, Iterator, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from time import monotonic
from typing import NamedTuple, Protocol

import aiohttp

from sidecar.demo.admin import Admin
from sidecar.demo.children import LOOK_S, Child, Command, start
from sidecar.demo.client import Client, Request
from sidecar.demo.ending import DemoError, is_set_within
from sidecar.demo.figures import Figures, read
from sidecar.demo.place import Place, reference_command, write_configuration
from sidecar.demo.receiver import Received, Receiver, write_secret
from sidecar.demo.screen import NO_SCENE, Progress, Scene, Screen
from sidecar.records import JSON
from sidecar.tasks import Tasks

SETTLE_LOOKS = 20
"""For the last rows to be in the statistics, LOOK_S apart; the pipeline looks every 50 ms."""

WATCH_S = 0.25
"""Between two looks at what drifts: a dozen rows."""

RATE_S = 0.9
"""Of requests of which a rate is told, at least."""


@dataclass(frozen=True, slots=True)
class Options:
    """What the user chose.

    Args:
        rate: Requests per second.
        seconds: Ends the demo; None is no end.
        captures: The folder for captures; None is a fresh one.
        drift: Watch for drift, and show one.
        fraud: Watch quality, and show concept drift.
    """

    rate: float
    seconds: float | None
    captures: Path | None
    drift: bool = False
    fraud: bool = False


class Plot(Protocol):
    """What is to be seen, and whether it was."""

    @property
    def shown(self) -> str:
        """What has been shown where there is no fault."""

    def summary(self) -> list[str]:
        """What came of it."""

    def faults(self) -> list[str]:
        """What ought to have been seen, and was not, or not so."""


class Playing(Protocol):
    """A plot at work while requests are sent."""

    @property
    def plot(self) -> Plot:
        """Decides what is next."""

    def begin(self) -> None:
        """The first request is sent now."""

    async def look(self, admin: Admin) -> Scene:
        """See what the sidecar says, and go on.

        Raises:
            DemoError: It does not say it.
        """


@dataclass(frozen=True, slots=True)
class Cast:
    """What one demo brings onto the stage.

    Args:
        requests: What the client sends, without an end.
        sidecar: What is started in front of the model server.
        features: Those that are shown; of predictions, all are.
        introduction: What is told before the first request, besides where everything is.
        playing: What goes on meanwhile; None for nothing.
    """

    requests: Iterator[Request]
    sidecar: Command
    features: Sequence[str]
    introduction: Sequence[str]
    playing: Playing | None = None


class Watched(NamedTuple):
    """What the sidecar is to watch, as its configuration has it.

    Args:
        sections: Of monitors, and what these need.
        rule: Which findings become alerts.
        receive: Is told of them.
    """

    sections: dict[str, JSON]
    rule: JSON
    receive: Callable[[Received], None]


@dataclass(frozen=True, slots=True)
class Stage:
    """The steps of a demo.

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

    @property
    def admin(self) -> Admin:
        """The sidecar's admin side."""
        return Admin(self.session, self.place.admin)

    @property
    def server_port(self) -> int:
        """Of the model server."""
        return int(self.place.server.rpartition(":")[2])

    async def watch(self, stack: AsyncExitStack, watched: Watched) -> None:
        """Make a reference of the training rows, which are in their file, and a receiver that ends with `stack`.

        Raises:
            DemoError: There is no reference.
        """
        receiver = Receiver(write_secret(self.place.secret), watched.receive)
        webhook = await stack.enter_async_context(receiver.listening())
        write_configuration(self.place, webhook, watched.sections, watched.rule)
        command = reference_command(self.place)
        child = await start(command)
        try:
            await child.done(self.stop)
        finally:
            await child.stop()
        self._require_going_on()
        self.screen.say(f"made a reference of the training rows: {command.log.read_text().strip()}")

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

    async def send(self, cast: Cast, options: Options, children: list[Child]) -> Progress:
        """Send requests until told to stop, and show what the sidecar makes of them; returns the last of it.

        Raises:
            DemoError: A child ended.
        """
        client = Client(self.place.inference, cast.requests, options.rate, monotonic)
        if options.seconds is not None:
            asyncio.get_running_loop().call_later(options.seconds, self.stop.set)
        tasks, started_s = Tasks(), monotonic()
        if cast.playing:
            cast.playing.begin()
        try:
            sending = tasks.start(client.run(self.session, self.stop))
            await self._show(client, cast, children)
            await sending
            elapsed_s = monotonic() - started_s
        finally:
            await tasks.close()
        figures = await self._settled(client.requests - client.errors)
        return Progress(elapsed_s, client.requests, client.errors, client.requests / elapsed_s, figures)

    async def _show(self, client: Client, cast: Cast, children: list[Child]) -> None:
        began_s = seen_s = monotonic()
        seen, rate = 0, 0.0
        with self.screen.live() as show:
            while not await is_set_within(self.stop, WATCH_S if cast.playing else self.screen.every_s):
                for child in children:
                    child.require_running()
                scene = await cast.playing.look(self.admin) if cast.playing else NO_SCENE
                figures, now_s, requests = await self._look(cast.features), monotonic(), client.requests
                if now_s - seen_s >= RATE_S or not seen:
                    rate = (requests - seen) / (now_s - seen_s)
                    seen, seen_s = requests, now_s
                show(Progress(now_s - began_s, requests, client.errors, rate, figures, scene))

    async def _settled(self, rows: int) -> Figures:
        for _ in range(SETTLE_LOOKS):
            if (figures := await self._look(())).rows >= rows:
                return figures
            await asyncio.sleep(LOOK_S)
        return await self._look(())

    async def _look(self, features: Sequence[str]) -> Figures:
        return read(await self.admin.get("/v1/status"), await self.admin.get("/v1/features"), features)

    def _require_going_on(self) -> None:
        if self.stop.is_set():
            raise DemoError(f"stopped before the first request; logs are in {self.place.folder}")
