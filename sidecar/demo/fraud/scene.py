"""What `sidecar demo --fraud` brings onto the stage: the model, the payments, their labels, and who is to be told."""

import asyncio
from contextlib import AsyncExitStack
from time import monotonic

import numpy as np

from sidecar.demo import model as served
from sidecar.demo.fraud import model
from sidecar.demo.fraud.late import LATE_S, Late
from sidecar.demo.fraud.payments import FEATURES, Stream
from sidecar.demo.fraud.play import REFERENCE_ROWS, Play
from sidecar.demo.fraud.plot import QUIET_ROWS
from sidecar.demo.fraud.requests import Requests
from sidecar.demo.place import Place, watching_command
from sidecar.demo.play import FALSE_ALARMS_PER
from sidecar.demo.stage import Cast, Options, Stage, Watched
from sidecar.records import JSON

SHOWN = ("amount", "hour", "payments_day", "chip")
"""Features that are shown."""

SEED = 1
"""Of the payments that are sent, and of how late their labels are."""

WINDOW_ROWS = 500
"""Labelled rows of which quality is told: ten seconds of them."""

HOLD_S = 12.0
"""Of the alert rule: the sidecar compares with its reference every 10 s, and then knows where quality has fallen."""


async def fraud(stage: Stage, stack: AsyncExitStack, options: Options) -> Cast:
    """Payments, and their labels late."""
    trained = await _trained(stage)
    seeds = np.random.SeedSequence(SEED).spawn(2)
    payments, late = (Stream(np.random.default_rng(seeds[0])), Late(np.random.default_rng(seeds[1])))
    play = Play(payments, late, stage.screen.say, monotonic)
    await asyncio.to_thread(model.write_csv, trained, stage.place.rows)
    await stage.watch(stack, Watched(sections(stage.place), {"monitor": "quality", "hold_s": HOLD_S}, play.receive))
    least_s, most_s = LATE_S
    introduction = [
        f"  configuration {stage.place.configuration}",
        f"  client        sends {options.rate:g} payments/s, simulated: real ones with their fraud are in no package",
        f"  labels        come {least_s:g} to {most_s:g} s late, in bursts and out of order; some twice, some never",
        f"  plot          {REFERENCE_ROWS} labelled payments as the reference of quality, {QUIET_ROWS} more of the",
        "                same; then other payments are fraud, while payments come as before: concept drift, and no",
        "                drift of inputs",
        "  estimate      of quality without labels: it does not see concept drift until labels tell it",
    ]
    return Cast(Requests(payments, late, monotonic), watching_command(stage.place), SHOWN, introduction, play)


def sections(place: Place) -> dict[str, JSON]:
    """Of the configuration: what is watched."""
    return {
        "monitors": [
            {"kind": "data", "false_alarms_per": FALSE_ALARMS_PER},
            {"kind": "quality", "reference_rows": REFERENCE_ROWS, "rows": WINDOW_ROWS},
        ],
        "model": {"task": "binary"},
        "state": str(place.state),
    }


async def _trained(stage: Stage) -> model.Trained:
    """Train the model and leave it for the model server."""
    with stage.screen.waiting("training a scikit-learn model ..."):
        trained = await asyncio.to_thread(model.train, stage.place.model)
    served.write_settings(stage.place.model, model.NAME, stage.server_port)
    stage.screen.say(
        f"trained a scikit-learn model on {model.TRAINING_ROWS} simulated card payments ({len(FEATURES)} features, "
        f"{trained.fraud:.1%} fraud); it is right about {trained.accuracy:.1%} of {model.KEPT_BACK_ROWS} others"
    )
    return trained
