"""The demo of fraud without its processes: what it tells for many seeds, in seconds.

    python -m tests.demo.fraud.simulation [--runs 20] [--rate 50] [--seconds 90]

The real model, payments, lateness of labels, monitors, rules and plot; no sockets, no store, and time is counted.
"""

import argparse
import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter

import joblib
import numpy as np
import orjson
import pandas as pd
from sklearn.pipeline import Pipeline

from sidecar.admin.drift import drift
from sidecar.admin.quality import quality
from sidecar.alerts.document import document
from sidecar.alerts.rules import Rule, step
from sidecar.demo.admin import Admin
from sidecar.demo.fraud.late import Late, Truth
from sidecar.demo.fraud.model import train
from sidecar.demo.fraud.payments import FEATURES, TEXTS, Cell, Stream
from sidecar.demo.fraud.play import REFERENCE_ROWS, Play
from sidecar.demo.fraud.scene import HOLD_S, WINDOW_ROWS
from sidecar.demo.receiver import read_notice
from sidecar.monitors.causes import explained
from sidecar.monitors.data import Data, Following
from sidecar.monitors.quality import Quality
from sidecar.quality.outcomes import Outcomes
from sidecar.quality.reading import Reading
from sidecar.records import JSON, Alert, Label, LabelCounts, Labelled, LabelStatus, Table
from sidecar.reference.constraints import suggested
from sidecar.reference.folder import Reference
from sidecar.reference.learning import Learner

BEGAN_S = 1_700_000_000.0
ANSWERS = ("predict", "predict_proba_0", "predict_proba_1")


@dataclass(frozen=True, slots=True)
class Trained:
    """The model, and the reference of its training payments."""

    model: Pipeline
    reference: Reference


def trained() -> Trained:
    """As the demo trains it."""
    with TemporaryDirectory() as folder:
        rows = table(train(Path(folder)).rows)
        model = joblib.load(Path(folder, "model.joblib"))
    learner = Learner()
    learner.update(rows)
    profiles = learner.profiles()
    return Trained(model, Reference(profiles, suggested(profiles), rows))


def table(rows: Sequence[tuple[Cell, ...]]) -> Table:
    """Payments as the sidecar reads them."""
    columns = list(zip(*rows, strict=True))
    values = np.column_stack(
        [
            np.full(len(rows), np.nan) if name in TEXTS else np.array(column, dtype=np.float64)
            for name, column in zip(FEATURES, columns, strict=True)
        ]
    )
    return Table(
        FEATURES, values, {FEATURES.index(name): list(map(str, columns[FEATURES.index(name)])) for name in TEXTS}
    )


class Monitored(Admin):
    """The sidecar's monitors, asked as its admin side is."""

    def __init__(self, reference: Reference) -> None:
        self.following: Following = Data().follow(reference)
        self.grading = Quality(reference_rows=REFERENCE_ROWS, rows=WINDOW_ROWS).grade(partial(Reading, task="binary"))
        self.outcomes = Outcomes()
        self.comparing = None
        self.dropped = 0
        self.asked: dict[str, tuple[float, tuple[Cell, ...], list[float]]] = {}
        self.alerts: tuple[Alert, ...] = ()
        self.told: list[JSON] = []
        self.now_s = BEGAN_S
        self._joined = 0

    @property
    def counts(self) -> LabelCounts:
        """What became of predictions and labels."""
        return LabelCounts(len(self.asked), 0, {"joined": self._joined}, len(self.asked) + self._joined, 0, 0)

    async def add(self, labels: Sequence[Label]) -> list[LabelStatus]:
        """Nobody posts labels so."""
        raise NotImplementedError

    def refuse(self, count: int) -> None:
        """Nor malformed ones."""
        raise NotImplementedError

    def answer(
        self, payments: dict[str, tuple[Cell, ...]], answers: np.ndarray[tuple[int, int], np.dtype[np.float64]]
    ) -> None:
        """Take payments with what the model has answered."""
        asked, answered = table(list(payments.values())), Table(ANSWERS, answers)
        for watch in (self.following, self.grading):
            watch.count("default", "", asked, answered)
            watch.judge(self.now_s)
        for (name, cells), row in zip(payments.items(), answers.tolist(), strict=True):
            self.asked[name] = (self.now_s, cells, row)

    async def get(self, path: str) -> JSON:
        """What the admin side would answer."""
        told = drift(self.following) if path == "/v1/drift" else quality(self)
        return orjson.loads(orjson.dumps(told, option=orjson.OPT_SERIALIZE_NUMPY))

    async def post(self, path: str, document: JSON) -> JSON:  # noqa: ARG002  # there is one place
        """Join labels."""
        found = [(self.asked.pop(each["id"]), float(each["label"])) for each in document if each["id"] in self.asked]
        self._joined += len(found)
        if found:
            self.grading.take(
                Labelled(
                    "default",
                    "",
                    np.array([asked[0] for asked, _ in found]),
                    np.ones(len(found)),
                    table([asked[1] for asked, _ in found]),
                    Table(ANSWERS, np.array([asked[2] for asked, _ in found])),
                    Table(("label",), np.array([[label] for _, label in found])),
                    Table((), np.empty((len(found), 0))),
                )
            )
        return {"counts": {"joined": len(found), "duplicate": len(document) - len(found)}}

    def judge(self) -> None:
        """Look at what has been found, and tell of alerts."""
        self.grading.assess(self.now_s)
        found = explained([*self.following.findings, *self.grading.findings], self.grading.relations())
        self.alerts, told = step(self.alerts, found, [Rule(monitor="quality", hold_s=HOLD_S)], self.now_s)
        self.told += [document(alert, link="") for alert in told]


@dataclass(slots=True)
class Simulated:
    """One run of the demo.

    Attributes:
        said: What it told.
    """

    trained: Trained
    seed: int
    said: list[str] = field(default_factory=list)

    def run(self, rate: int, seconds: int) -> Play:
        """Play it to its end."""
        seeds = np.random.SeedSequence(self.seed).spawn(2)
        stream, late = Stream(np.random.default_rng(seeds[0])), Late(np.random.default_rng(seeds[1]))
        admin = Monitored(self.trained.reference)
        play = Play(stream, late, lambda *lines: self.said.extend(lines), lambda: admin.now_s)
        for second in range(seconds):
            admin.now_s = BEGAN_S + second
            changed, payments = stream.changed, {}
            for _ in range(rate):
                payment = next(stream)
                payments[f"{stream.drawn}"] = payment.cells
                late.take(Truth(f"{stream.drawn}", payment.fraud, changed), admin.now_s)
            shares = self.trained.model.predict_proba(pd.DataFrame(payments.values(), columns=list(FEATURES)))
            admin.answer(payments, np.column_stack([shares[:, 1] >= 0.5, shares]))
            admin.judge()
            asyncio.run(play.look(admin))
            for told in admin.told:
                play.receive(read_notice(told))
            admin.told.clear()
        return play


def main() -> None:
    """Play it for many seeds."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--runs", type=int, default=20)
    parser.add_argument("--rate", type=int, default=50)
    parser.add_argument("--seconds", type=int, default=90)
    chosen = parser.parse_args()
    model, shown = trained(), 0
    for seed in range(chosen.runs):
        began_s, run = perf_counter(), Simulated(model, seed)
        play = run.run(chosen.rate, chosen.seconds)
        faults = play.plot.faults()
        shown += not faults
        times = [line.split(" s:")[0].removeprefix(">>> ") for line in run.said if line.startswith(">>>")]
        print(seed, faults or "all shown", ", ".join(times), f"({perf_counter() - began_s:.1f} s)")
    print(f"{shown} of {chosen.runs}")


if __name__ == "__main__":
    main()
