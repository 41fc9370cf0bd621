"""`sidecar demo`: a real model server, the sidecar before it, rows sent at a rate, and what came of it."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from importlib.util import find_spec
from typing import NamedTuple

import aiohttp
from rich.console import Console

from sidecar.demo import model, scenes
from sidecar.demo.captures import tally
from sidecar.demo.ending import DemoError, stop_on_signals
from sidecar.demo.fraud import model as fraud_model
from sidecar.demo.fraud.scene import fraud
from sidecar.demo.place import Place, fresh_place, report_words, server_command
from sidecar.demo.screen import Screen, summary
from sidecar.demo.stage import Cast, Options, Plot, Stage

EXTRA = ("joblib", "mlserver", "mlserver_sklearn", "sklearn")
"""What is imported of the extra `[demo]`."""

REPORT_EXTRA = ("duckdb", "ibis", "jinja2", "obstore", "pyarrow")
"""What is imported of the extra `[report]`."""


class Demo(NamedTuple):
    """One of them.

    Args:
        name: Its model's.
        set_up: Makes everything but the two servers.
    """

    name: str
    set_up: Callable[[Stage, AsyncExitStack, Options], Awaitable[Cast]]


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
    demo = _chosen(options)
    place = fresh_place(demo.name, options.captures)
    before = tally(place.captures)
    async with aiohttp.ClientSession() as session, AsyncExitStack() as stack:
        stage = Stage(place, screen, session, stop_on_signals())
        cast = await demo.set_up(stage, stack, options)
        children = [
            await stage.start(stack, server_command(place), place.server_ready),
            await stage.start(stack, cast.sidecar, place.sidecar_ready),
        ]
        screen.say(*_introduction(place), *cast.introduction, "")
        last = await stage.send(cast, options, children)
    screen.say(*summary(last, tally(place.captures).since(before), place.captures), *_report(place))
    return judged(cast.playing.plot, place, screen) if cast.playing else 0


def _chosen(options: Options) -> Demo:
    if options.fraud:
        return Demo(fraud_model.NAME, fraud)
    return Demo(model.NAME, scenes.shift if options.drift else scenes.plain)


def judged(plot: Plot, place: Place, screen: Screen) -> int:
    """Tell whether all that was promised has been seen; the exit code."""
    faults = plot.faults()
    screen.say(*plot.summary(), *(f"not shown   {fault}" for fault in faults))
    screen.say(f"logs        {place.folder}" if faults else f"            {plot.shown}")
    return 1 if faults else 0


def _report(place: Place) -> list[str]:
    """How to read all of it once more; there is nothing to compare with without a reference."""
    if not place.reference.exists():
        return []
    lacking = any(find_spec(name) is None for name in REPORT_EXTRA)
    needs = ["            which needs pip install 'sidecar[report]'"] if lacking else []
    return [f"report      {report_words(place)}", *needs]


def _introduction(place: Place) -> list[str]:
    return [
        "",
        f"  model server  http://{place.server}",
        f"  listener      {place.inference}",
        f"  dashboard     {place.dashboard}",
        f"  captures      {place.captures}, of every request (--capture-sample-ratio 1; the default is 0.1)",
        f"  logs          {place.folder}",
    ]
