"""What the end-to-end tests of `sidecar report` stand on: the command as a process, and a folder of SageMaker's own."""

import base64
import json
import math
import random
import subprocess
import sys
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import NamedTuple

import pytest

from sidecar.records import JSON
from tests.e2e.rig import environment

PATIENCE_S = 300.0
"""Spark begins slowly."""


Flat = dict[str, JSON]


class Said(NamedTuple):
    """What the command has said."""

    out: str
    err: str


def command(*arguments: object) -> list[str]:
    return [sys.executable, "-m", "sidecar", *map(str, arguments)]


def report(*arguments: object, code: int = 0, **variables: str) -> Said:
    """What the command says, which ends with this exit code and nothing like a fault of its own."""
    done = subprocess.run(
        command("report", *arguments),
        env=environment(**variables),
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
    )
    assert (done.returncode, "Traceback" in done.stderr) == (code, False), done.stdout + done.stderr
    return Said(done.stdout, done.stderr)


def read(path: Path) -> JSON:
    return json.loads(path.read_text(encoding="utf-8"))


def flat(document: JSON, path: str = "") -> Flat:
    """Every leaf of a document by its path; what is not defined is None, whether NaN or null says so."""
    if isinstance(document, dict):
        parts = ((f"{path}/{name}", each) for name, each in document.items())
    elif isinstance(document, list):
        parts = ((f"{path}/{place}", each) for place, each in enumerate(document))
    else:
        return {path: None if isinstance(document, float) and math.isnan(document) else document}
    return {name: leaf for below, part in parts for name, leaf in flat(part, below).items()}


def unequal(told: JSON, reported: JSON) -> list[tuple[str, JSON, JSON]]:
    """The leaves that differ, with what either says; numbers are equal within 1e-9."""
    one, other = flat(told), flat(reported)
    return [
        (path, one.get(path, "none"), other.get(path, "none"))
        for path in sorted(one.keys() | other.keys())
        if not same(one.get(path, "none"), other.get(path, "none"))
    ]


def same(one: JSON, other: JSON) -> bool:
    numbers = [isinstance(each, int | float) and not isinstance(each, bool) for each in (one, other)]
    return bool(one == pytest.approx(other, rel=1e-9, abs=1e-12)) if all(numbers) else bool(one == other)


NAMES = ("amount", "age", "country")
ANSWERS = ("label", "probability")
COUNTRIES = ("de", "at", "ch")
BEGAN = datetime(2026, 11, 20, 8, tzinfo=UTC)
HOURS = 4
EVENTS = 120
"""Of an hour."""

Row = tuple[float, int, str]


class Event(NamedTuple):
    """An invocation of the endpoint.

    Args:
        id: SageMaker's own.
        inference_id: The client's; empty of every other one.
    """

    id: str
    inference_id: str
    time: datetime
    rows: Sequence[Row]
    truths: Sequence[int]


def events(*, moved: bool) -> Iterator[Event]:
    """Of four hours, one to three rows each; in the last two amounts are others, if they move."""
    rng = random.Random(11)
    for number in range(HOURS * EVENTS):
        time = BEGAN + timedelta(seconds=number * 3600 // EVENTS)
        greater = 1.0 if moved and number >= HOURS * EVENTS // 2 else 0.0
        rows = [row(rng, greater) for _ in range(1 + number % 3)]
        truths = [int(rng.random() < score(each)) for each in rows]
        yield Event(f"event-{number}", f"client-{number}" if number % 2 else "", time, rows, truths)


def row(rng: random.Random, greater: float = 0.0) -> Row:
    """Amounts are greater in Germany."""
    country = rng.choice(COUNTRIES)
    return round(rng.gauss(4.0 + greater + (0.5 if country == "de" else 0.0), 0.5), 4), rng.randrange(18, 90), country


def score(asked: Row) -> float:
    return round(min(0.99, max(0.01, (asked[0] - 2) / 5)), 4)


def train(folder: Path) -> Path:
    """The reference of the same data before anything has moved."""
    rng, data = random.Random(12), folder / "train.csv"
    data.write_text("\n".join([",".join(NAMES), *(",".join(map(str, row(rng))) for _ in range(4000))]) + "\n")
    made = command("baseline", data, "-o", folder / "reference")
    subprocess.run(made, env=environment(), check=True, capture_output=True, timeout=PATIENCE_S)
    return folder / "reference"


def capture(folder: Path, *, moved: bool = True) -> list[Event]:
    """SageMaker's data capture of an endpoint, in CSV, JSON and base64 by turns; the events."""
    told = list(events(moved=moved))
    for event in told:
        file = folder / "credit" / "AllTraffic" / f"{event.time:%Y/%m/%d/%H}" / "05-00-000-3f1c.jsonl"
        file.parent.mkdir(parents=True, exist_ok=True)
        with file.open("a", encoding="utf-8") as opened:
            opened.write(json.dumps(_line(event)) + "\n")
    return told


def _line(event: Event) -> JSON:
    number = int(event.id.rpartition("-")[2])
    encoding = ("CSV", "JSON", "BASE64")[number // 3 % 3]
    answers = [(int(score(each) > 0.5), score(each)) for each in event.rows]
    if encoding == "JSON":
        asked = json.dumps({"instances": [dict(zip(NAMES, each, strict=True)) for each in event.rows]})
        answered = json.dumps({"predictions": [dict(zip(ANSWERS, each, strict=True)) for each in answers]})
    else:
        asked, answered = ("\n".join(",".join(map(str, each)) for each in half) for half in (event.rows, answers))
    metadata = {"eventId": event.id, "inferenceTime": f"{event.time:%Y-%m-%dT%H:%M:%SZ}"}
    return {
        "captureData": {
            "endpointInput": half("INPUT", asked, encoding),
            "endpointOutput": half("OUTPUT", answered, encoding),
        },
        "eventMetadata": metadata | ({"inferenceId": event.inference_id} if event.inference_id else {}),
        "eventVersion": "0",
    }


def half(mode: str, text: str, encoding: str) -> JSON:
    """What was asked, or answered."""
    kind = "application/json" if encoding == "JSON" else "text/csv"
    data = base64.b64encode(text.encode()).decode() if encoding == "BASE64" else text
    return {"observedContentType": kind, "mode": mode, "data": data, "encoding": encoding}


def ground_truth(folder: Path, told: Sequence[Event]) -> Path:
    """SageMaker's ground truth, by the hour in which it came: a day later, and all in one."""
    file = folder / f"{BEGAN + timedelta(days=1):%Y/%m/%d/%H}" / "truth.jsonl"
    file.parent.mkdir(parents=True)
    with file.open("w", encoding="utf-8") as opened:
        for event in told:
            data = {"data": ",".join(map(str, event.truths)), "encoding": "CSV"}
            metadata = {"eventId": event.inference_id or event.id}
            opened.write(json.dumps({"groundTruthData": data, "eventMetadata": metadata, "eventVersion": "0"}) + "\n")
    return folder
