"""The demos on real rows: without a plot, and with a shift that the sidecar is to find."""

import asyncio
import math
from contextlib import AsyncExitStack
from time import monotonic

import numpy as np

from sidecar.demo import model, rows
from sidecar.demo.place import sidecar_command, watching_command
from sidecar.demo.play import FALSE_ALARMS_PER, Play
from sidecar.demo.plot import Plot, phase_s
from sidecar.demo.stage import Cast, Options, Stage, Watched
from sidecar.records import JSON

FEATURES = ("mean radius", "mean texture", "mean smoothness", "worst area", "worst concavity")
"""Those that are shown, of 30."""

SEED = 0
"""Of the draws of rows."""

HOLD_S, RESOLVE_S = 2.0, 5.0
"""Of the demo's alert rule: short, for a screen that somebody watches."""

HOLD_ROWS = 100
"""The shifted features are found within 50 rows of each other, and belong into one alert: twice that at a low rate."""


async def plain(stage: Stage, _: AsyncExitStack, options: Options) -> Cast:
    """The kept back rows, again and again."""
    trained = await _trained(stage)
    sent = f"the {len(trained.rows)} kept back again and again; Ctrl-C ends it"
    introduction = [f"  client        sends {options.rate:g} rows/s, {sent}"]
    return Cast(rows.again(trained), sidecar_command(stage.place), FEATURES, introduction)


async def shift(stage: Stage, stack: AsyncExitStack, options: Options) -> Cast:
    """Rows drawn at random, shifted after a while."""
    trained = await _trained(stage)
    drawn = rows.Drawn(trained, np.random.default_rng(SEED))
    seen, length_s = len(trained.training), phase_s(options.seconds)
    end = "until Ctrl-C" if options.seconds is None else f"{options.seconds:g} s in all"
    play = Play(drawn, Plot(drawn.steps, length_s), stage.screen.say, monotonic)
    await asyncio.to_thread(rows.write_csv, trained, stage.place.rows)
    await stage.watch(stack, Watched(SECTIONS, rule(options.rate), play.receive))
    introduction = [
        f"  configuration {stage.place.configuration}",
        f"  client        sends {options.rate:g} rows/s, drawn at random from the {seen} training rows: until the",
        "                shift, nothing but chance is different from the reference; Ctrl-C ends it",
        f"  plot          {length_s:g} s of usual rows, {length_s:g} s of shifted ones, then usual ones again, {end}",
        f"  evidence      by chance alone it comes to about ln(rows), {math.log(1000):.1f} nats of 1,000 rows; the",
        f"                budget, one false alarm in {FALSE_ALARMS_PER:,} rows, says how much an alarm needs",
    ]
    return Cast(drawn, watching_command(stage.place), FEATURES, introduction, play)


SECTIONS: dict[str, JSON] = {"monitors": [{"kind": "data", "false_alarms_per": FALSE_ALARMS_PER}]}
"""Of the configuration: what is watched."""


def rule(rate: float) -> JSON:
    """Which findings become alerts.

    Args:
        rate: Rows per second.
    """
    held_s = HOLD_ROWS / rate
    return {"check": "sequential", "hold_s": max(HOLD_S, held_s), "resolve_s": max(RESOLVE_S, held_s)}


async def _trained(stage: Stage) -> model.Trained:
    """Train the model and leave it for the model server."""
    with stage.screen.waiting("training a scikit-learn model ..."):
        trained = await asyncio.to_thread(model.train, stage.place.model)
    model.write_settings(stage.place.model, model.NAME, stage.server_port)
    seen, kept_back = trained.training, len(trained.rows)
    stage.screen.say(
        f"trained a scikit-learn model on {len(seen)} real rows (breast cancer, {len(trained.features)} features); "
        f"it is right about {trained.accuracy:.1%} of the {kept_back} rows kept back"
    )
    return trained
