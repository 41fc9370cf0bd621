"""A folder of captures as SageMaker's data capture leaves one, made by hand; and the reference of the same data."""

import base64
import json
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from sidecar.records import JSON, Table
from sidecar.reference.constraints import suggested
from sidecar.reference.folder import Reference, write_folder
from sidecar.reference.learning import Learner

NAMES = ("amount", "age", "country")
BEGAN = datetime(2026, 11, 20, 8, tzinfo=UTC)
HOURS = 4
ROWS = 400
"""Of an hour."""


def reference(folder: Path) -> Path:
    """Of rows like those that come before anything has moved."""
    learner = Learner()
    amount, age, country = cells(5000, 0, moved=False)
    values = np.column_stack([amount, age, np.full(5000, np.nan)])
    learner.update(Table(NAMES, values, {2: country}))
    profiles = learner.profiles()
    write_folder(folder, Reference(profiles, suggested(profiles)))
    return folder


def cells(rows: int, seed: int, *, moved: bool) -> tuple[list[float], list[int], list[str]]:
    """An amount, which may have moved, an age and a country."""
    chance = np.random.default_rng(seed)
    amount = np.round(np.exp(chance.normal(4.8 if moved else 4.0, 0.5, size=rows)), 3)
    country = chance.choice(np.array(["de", "at", "ch"], dtype=object), size=rows, p=(0.5, 0.3, 0.2))
    return amount.tolist(), chance.integers(18, 90, size=rows).tolist(), country.tolist()


def captures(folder: Path, *, moved: bool, variant: str = "AllTraffic") -> Path:
    """Four hours of one variant: CSV of two rows and JSON of one by turns; moved since the third hour.

    The last line of each file is cut off, as one that is being written is.
    """
    for hour in range(HOURS):
        file = (
            folder / "fraud" / variant / BEGAN.strftime("%Y/%m/%d") / f"{BEGAN.hour + hour:02}" / "05-00-000-ab.jsonl"
        )
        file.parent.mkdir(parents=True)
        rows = list(zip(*cells(ROWS, hour + 1, moved=moved and hour >= 2), strict=True))
        lines = [json.dumps(each) for each in _lines(rows, hour)]
        file.write_text("\n".join([*lines, lines[0][:70]]) + "\n", encoding="utf-8")
    return folder


def _lines(rows: list[tuple[float, int, str]], hour: int) -> Iterator[JSON]:
    place = 0
    while place < len(rows):
        count = 1 if (place // 3) % 2 else 2
        some = rows[place : place + count]
        time_s = BEGAN.timestamp() + hour * 3600 + place * 3600 // len(rows)
        yield line(some, f"{hour}-{place}", time_s, encoding="JSON" if count == 1 else "CSV")
        place += count


def line(rows: list[tuple[float, int, str]], event_id: str, time_s: float, *, encoding: str) -> JSON:
    """A line of SageMaker's; CSV in base64, since a content type that it was not told of is kept so."""
    scores = [score(amount) for amount, _, _ in rows]
    if encoding == "JSON":
        asked = json.dumps({"instances": [dict(zip(NAMES, row, strict=True)) for row in rows]})
        answered = json.dumps({"predictions": [{"label": int(each > 0.5), "probability": each} for each in scores]})
        halves = [
            half("application/json", text, mode, "JSON") for text, mode in ((asked, "INPUT"), (answered, "OUTPUT"))
        ]
    else:
        asked = "\n".join(",".join(map(str, row)) for row in rows)
        answered = "\n".join(f"{int(each > 0.5)},{each}" for each in scores)
        halves = [half("text/csv", text, mode, "BASE64") for text, mode in ((asked, "INPUT"), (answered, "OUTPUT"))]
    return {
        "captureData": {"endpointInput": halves[0], "endpointOutput": halves[1]},
        "eventMetadata": {
            "eventId": event_id,
            "inferenceTime": datetime.fromtimestamp(time_s, UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        },
        "eventVersion": "0",
    }


def half(content_type: str, text: str, mode: str, encoding: str) -> JSON:
    data = base64.b64encode(text.encode()).decode() if encoding == "BASE64" else text
    return {"observedContentType": content_type, "mode": mode, "data": data, "encoding": encoding}


def score(amount: float) -> float:
    return round(float(1 / (1 + np.exp(-(amount - 60) / 20))), 6)


def labels(file: Path, folder: Path) -> Path:
    """SageMaker's ground truth of every exchange: what the model says, but for every tenth."""
    with file.open("w", encoding="utf-8") as opened:
        for number, each in enumerate(_answers(folder)):
            event_id, answers = each
            told = [1 - answer if number % 10 == 0 else answer for answer in answers]
            data = ",".join(map(str, told)) if len(told) == 1 else json.dumps(told)
            truth = {"data": data, "encoding": "CSV" if len(told) == 1 else "JSON"}
            entry = {"groundTruthData": truth, "eventMetadata": {"eventId": event_id}, "eventVersion": "0"}
            opened.write(json.dumps(entry) + "\n")
    return file


def _answers(folder: Path) -> Iterator[tuple[str, list[int]]]:
    for file in sorted(folder.rglob("*.jsonl")):
        for text in file.read_text(encoding="utf-8").splitlines()[:-1]:
            document = json.loads(text)
            output = document["captureData"]["endpointOutput"]
            if output["encoding"] == "JSON":
                answers = [each["label"] for each in json.loads(output["data"])["predictions"]]
            else:
                answers = [int(row[0]) for row in base64.b64decode(output["data"]).decode().splitlines()]
            yield document["eventMetadata"]["eventId"], answers
