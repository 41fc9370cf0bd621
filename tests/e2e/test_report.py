"""`sidecar report` over what a real sidecar has captured: the figures that it told while it ran, out of its files."""

import json
import random
import re
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import pytest

from sidecar.records import JSON
from tests.e2e.fraud_stage import BATCH, CHALLENGER, CHAMPION, Payment, Payments, Stage, fraud_stage, payment
from tests.e2e.report_rig import flat, read, report, unequal
from tests.e2e.rig import program, until

VARIANTS = (CHAMPION, CHALLENGER)
CALM, MOVED = 14, 6
"""Requests to each variant."""

ROWS = (CALM + MOVED) * BATCH
"""Of each variant, and of its window: the latest whole one has all of them."""

DETECTORS = (
    "psi",
    "jensen_shannon",
    "wasserstein",
    "l_infinity",
    "missing",
    "new_categories",
    "kolmogorov_smirnov",
    "chi_squared",
    "mean_shift",
)

FIGURES = {
    "rows": "rows",
    "missing": "missing",
    "infinite": "infinite",
    "count": "count",
    "mean": "mean",
    "std": "std",
    "min": "minimum",
    "max": "maximum",
    "zero_ratio": "zero_ratio",
    "negative_ratio": "negative_ratio",
    "texts": "texts",
}
"""Of a column, as `/v1/features` calls them and as the report does; what is only nearly known, quantiles, aside."""


@dataclass(frozen=True)
class Seen:
    """What a sidecar has told, and where it has left its files.

    Args:
        live: Its answers, by path.
        moved: The moment before the first payment that was unusual.
    """

    folder: Path
    live: Mapping[str, JSON]
    metrics: str
    moved: str

    def of(self, path: str, variant: str) -> JSON:
        """What was told of one variant."""
        return by_name(self.live[path]["variants"])[variant]


def by_name(things: Sequence[JSON]) -> dict[str, JSON]:
    return {each["name"]: each for each in things}


def unusual(rng: random.Random) -> list[Payment]:
    """Greater amounts; some come without an hour, some from a merchant that nobody knows."""
    rows = [payment(rng, shift=1.5) for _ in range(BATCH)]
    for row in rows[::5]:
        del row["hour"]
    for row in rows[::8]:
        row["merchant"] = "casino"
    return rows


def send(payments: Payments) -> str:
    """To each variant what is usual, and then what is not; the moment between."""
    for variant in VARIANTS:
        for _ in range(CALM):
            payments.post([payment(payments.rng) for _ in range(BATCH)], **{"x-sidecar-variant": variant})
    moved = datetime.fromtimestamp(time.time(), UTC).isoformat()
    for variant in VARIANTS:
        for _ in range(MOVED):
            payments.post(unusual(payments.rng), **{"x-sidecar-variant": variant})
    return moved


def settled(stage: Stage) -> None:
    """Wait until all rows are in every answer."""

    def look() -> bool:
        paths = ("/v1/features", "/v1/drift", "/v1/quality", "/v1/bias")
        answers = [stage.running.ask(path).json()["variants"] for path in paths]
        if any({each["name"] for each in answer} != set(VARIANTS) for answer in answers):
            return False
        features, drift, quality, bias = answers
        counted = [each["features"][0]["lifetime"]["rows"] for each in features] + [each["rows"] for each in drift]
        graded = [each["lifetime"] and each["lifetime"]["dataset"]["item_count"] for each in quality]
        # Of the first facet, that every payment has.
        compared = [sum(each["groups"][0][rows] for rows in ("rows", "other_rows")) for each in bias if each["groups"]]
        return len(compared) == len(VARIANTS) and {*counted, *graded, *compared} == {ROWS}

    until(look)


@pytest.fixture(scope="module")
def seen(tmp_path_factory: pytest.TempPathFactory) -> Seen:
    """Two versions that got payments, and labels for all of them."""
    folder = tmp_path_factory.mktemp("seen")
    sinks = [{"kind": "jsonl", "path": str(folder / "lines")}, {"kind": "parquet", "path": str(folder / "rows")}]
    monitors = [
        {"kind": "data", "window": {"rows": ROWS, "panes": 1}, "detectors": [{"kind": kind} for kind in DETECTORS]},
        {"kind": "quality"},
        {"kind": "bias", "facets": [{"feature": "gender", "values": ["f"]}, {"feature": "hour", "below": 6}]},
    ]
    capture = {"sample_ratio": 1.0, "headers": ["content-type", "x-user"], "sinks": sinks}
    split = {"override_header": "x-sidecar-variant"}
    with fraud_stage(folder, capture=capture, split=split, monitors=monitors) as stage:
        moved = send(stage.payments)
        labels = stage.payments.tell()
        settled(stage)
        paths = ("/v1/features", "/v1/drift", "/v1/quality", "/v1/bias", "/v1/violations")
        live = {path: stage.running.ask(path).json() for path in paths}
        metrics = stage.running.ask("/metrics").text
    (folder / "labels.jsonl").write_text("".join(f"{json.dumps(each)}\n" for each in labels), encoding="utf-8")
    return Seen(folder, live, metrics, moved)


def how(seen: Seen) -> tuple[object, ...]:
    """The options of a report of all there is."""
    folder = seen.folder
    given = {"--reference": "reference", "--labels": "labels.jsonl", "--config": "sidecar.yaml"}
    return tuple(each for option, name in given.items() for each in (option, folder / name))


@dataclass(frozen=True)
class Reported:
    """A report, and SageMaker's files beside it."""

    document: JSON
    files: Path

    def of(self, variant: str) -> JSON:
        """What it says of one variant."""
        return by_name(self.document["variants"])[variant]


@pytest.fixture(
    scope="module",
    params=[("lines", "duckdb"), ("rows", "duckdb"), ("lines", "spark")],
    ids=["json-lines", "parquet", "spark"],
)
def reported(request: pytest.FixtureRequest, seen: Seen, tmp_path_factory: pytest.TempPathFactory) -> Reported:
    """The report over what a sink has left, by an engine."""
    sink, engine = request.param
    if engine == "spark":
        program("java")
    folder = tmp_path_factory.mktemp("reported")
    options = ("--engine", engine, "-o", folder / "r.json")
    said = report(seen.folder / sink, *how(seen), *options, code=3).out
    assert re.match(rf"{folder / 'r.json'}: 2,000 rows of 2 variants, \d+ findings, \d+ violations\n", said)
    return Reported(read(folder / "r.json"), folder / "r_files")


def columns(seen: Seen, variant: str) -> Iterator[tuple[str, JSON]]:
    """The columns that were told of live, by subject."""
    told = seen.of("/v1/features", variant)
    yield from ((subject, each) for subject in ("features", "predictions") for each in told[subject])


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("figure", FIGURES)
def test_of_every_column_the_same_is_reported_as_was_told_live(
    seen: Seen, reported: Reported, figure: str, variant: str
) -> None:
    told = {f"{subject}/{each['name']}": each["lifetime"][figure] for subject, each in columns(seen, variant)}
    found = {f"{each['subject']}/{each['name']}": each[FIGURES[figure]] for each in reported.of(variant)["columns"]}

    assert len(told) == 8
    assert unequal(told, found) == []


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("detector", DETECTORS)
def test_every_detector_says_what_it_said_live(seen: Seen, reported: Reported, detector: str, variant: str) -> None:
    told, found = (
        {each["name"]: each["statistics"][detector] for each in drift["columns"]}
        for drift in (seen.of("/v1/drift", variant), reported.of(variant)["drift"])
    )

    assert told.keys() == {"amount", "hour", "age_days", "distance_km", "merchant", "gender"}
    assert unequal(told, found) == []


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("figure", ["subject", "seen", "bins", "reference", "current", "current_rows", "current_whole"])
def test_the_bins_hold_the_shares_that_they_held_live(
    seen: Seen, reported: Reported, figure: str, variant: str
) -> None:
    told, found = (
        {each["name"]: each[figure] for each in drift["columns"]}
        for drift in (seen.of("/v1/drift", variant), reported.of(variant)["drift"])
    )

    assert unequal(told, found) == []


@pytest.mark.parametrize("variant", VARIANTS)
def test_the_rows_of_the_bins_are_those_of_the_exported_counter(seen: Seen, reported: Reported, variant: str) -> None:
    pattern = (
        rf'sidecar_drift_bin_rows_total{{[^}}]*variant="{variant}",sidecar_column="(\w+)",sidecar_bin="(.+)"}} (\d+)'
    )
    rows = {(column, each): int(count) for column, each, count in re.findall(pattern, seen.metrics)}

    for each in reported.of(variant)["drift"]["columns"]:
        counted = {label: rows.get((each["name"], label), 0) for label in each["bins"]}
        assert sum(rows[of] for of in rows if of[0] == each["name"]) == ROWS
        present = sum(counted.values())
        assert unequal([count / present for count in counted.values()], each["current"]) == []


@pytest.mark.parametrize("variant", VARIANTS)
def test_what_the_sequential_detector_finds_is_found_in_the_files(seen: Seen, reported: Reported, variant: str) -> None:
    told, found = (
        {each["name"] for each in drift["columns"] if each["drift"]}
        for drift in (seen.of("/v1/drift", variant), reported.of(variant)["drift"])
    )

    assert {"amount", "hour", "merchant"} == told == found


def test_the_same_constraints_are_broken(seen: Seen, reported: Reported) -> None:
    told = {
        (each["variant"], each["feature_name"], each["constraint_check_type"]): [each["value"], each["limit"]]
        for each in seen.live["/v1/violations"]["violations"]
    }
    found = {
        (variant, each["feature"], each["check"]): [each["value"], each["limit"]]
        for variant in VARIANTS
        for each in reported.of(variant)["violations"]
    }

    assert (CHAMPION, "amount", "baseline_drift_check") in told
    assert told.keys() == found.keys()
    assert all(unequal(told[each], found[each]) == [] for each in told)


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("rows", ["lifetime", "window"])
def test_quality_is_what_was_told_live(seen: Seen, reported: Reported, rows: str, variant: str) -> None:
    told = seen.of("/v1/quality", variant)[rows]
    found = by_name(reported.document["quality"]["variants"])[variant][rows]

    assert 0.5 < told["binary_classification_metrics"]["auc"]["value"] < 1.0
    # When it was worked out is another moment.
    assert unequal(told, found | {"dataset": {**found["dataset"], **_moments(told)}}) == []


def _moments(statistics: JSON) -> dict[str, JSON]:
    return {name: each for name, each in statistics["dataset"].items() if name.endswith("_time")}


def test_labels_became_what_they_became_live(seen: Seen, reported: Reported) -> None:
    assert unequal(seen.live["/v1/quality"]["labels"], reported.document["quality"]["labels"]) == []


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("rows", ["lifetime", "window", "groups"])
def test_bias_is_what_was_told_live(seen: Seen, reported: Reported, rows: str, variant: str) -> None:
    told = seen.of("/v1/bias", variant)[rows]
    found = by_name(reported.document["bias"]["variants"])[variant][rows]

    assert len(flat(told)) > 10
    assert unequal(told, found) == []


def test_before_anything_moved_the_code_is_0(seen: Seen, tmp_path: Path) -> None:
    options = (*how(seen), "-o", tmp_path / "r.json")

    report(seen.folder / "lines", *options, "--until", seen.moved)

    document = read(tmp_path / "r.json")
    assert (document["findings"], document["violated"]) == ([], False)
    assert [each["rows"] for each in document["variants"]] == [CALM * BATCH] * 2
    report(seen.folder / "lines", *options, "--since", seen.moved, code=3)
    assert [each["rows"] for each in read(tmp_path / "r.json")["variants"]] == [MOVED * BATCH] * 2
