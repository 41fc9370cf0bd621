import asyncio
import json
import math
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest

from sidecar.admin.bias import bias
from sidecar.admin.quality import quality
from sidecar.config.schema import Model, Part
from sidecar.errors import ConfigError
from sidecar.monitors.bias import Bias
from sidecar.monitors.groups import FacetOf
from sidecar.monitors.quality import Quality
from sidecar.monitors.training import Bound
from sidecar.records import JSON
from sidecar.report.counting.engines import quiet
from sidecar.report.truth.judging import judged
from tests.report.truth_rig import START_S, Item, item, read_rows, rows_of, work, write_lines, write_rows
from tests.store.oracle import Oracle
from tests.test_truth import HEADER, MEMBERS, OF_AGE, Shared, Site, reading, until


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    with quiet():
        yield


BINARY = Model(task="binary")
TOLD = FacetOf(group="region", values=("north",))
UNEQUAL = {"facets": (OF_AGE, MEMBERS, TOLD), "allowed": {"DPPL": (-0.1, 0.1)}, "least_rows": 20}
JUDGES = (Part(kind="quality", options={"reference_rows": 200}), Part(kind="bias", options=UNEQUAL))


def alike(found: JSON, expected: JSON, place: str = "") -> None:
    if isinstance(expected, dict):
        assert found.keys() == expected.keys(), place
        for name in expected:
            alike(found[name], expected[name], f"{place}.{name}")
    elif isinstance(expected, list):
        assert len(found) == len(expected), place
        for number, each in enumerate(expected):
            alike(found[number], each, f"{place}[{number}]")
    elif isinstance(expected, float) and not isinstance(found, bool):
        assert math.isclose(found, expected, rel_tol=1e-9, abs_tol=1e-12), (place, found, expected)
    else:
        assert found == expected, place


async def lived(rng: np.random.Generator, exchanges: int) -> tuple[list[Item], list[JSON], JSON, JSON]:
    """Traffic through the live parts with its labels, late and in any order; what they hold of it at the end."""
    items: list[Item] = []
    options: dict[str, JSON] = UNEQUAL
    here = Site(Shared(Oracle()), Bias(**options), quality=Quality(reference_rows=200), reading=reading)
    here.pipeline.keeps.append(items.extend)
    await here.truth.start()
    labels: list[JSON] = []
    for number in range(exchanges):
        ages = rng.integers(20, 70, int(rng.integers(1, 4))).astype(float).tolist()
        answers = np.round(rng.random(len(ages)), 3).tolist()
        ratio = 0.5 if number % 3 else 1.0
        await here.send(f"r{number}", ages, answers, member=("", "yes", "no")[number % 3], sample_ratio=ratio)
        truths = (rng.random(len(ages)) < answers).astype(int).tolist()
        region = ["north", "south"][int(rng.integers(2))]
        labels.append({"id": f"r{number}", "label": truths, "groups": {"region": region}})
        here.now_s += 1.0
    rng.shuffle(labels)
    labels = labels[: exchanges - 10]
    await until(lambda: here.truth.store.counts.predictions == exchanges)
    for label in labels:
        assert await here.label(label["id"], *label["label"], **label["groups"]) == "joined"
    await here.counts(sum(len(label["label"]) for label in labels))
    here.now_s += 100.0
    await here.has_looked()
    found = quality(here.truth), bias(here.truth, here.truth.comparing)  # type: ignore[arg-type]  # there is one
    await here.truth.close()
    return items, labels, *found


def test_a_report_says_of_captures_what_the_live_sidecar_said(tmp_path: Path) -> None:
    items, labels, of_quality, of_groups = asyncio.run(lived(np.random.default_rng(7), 300))
    rows = rows_of(tmp_path, items)

    found = judged(rows, [write_lines(tmp_path / "l.jsonl", labels)], JUDGES, BINARY, work=work(tmp_path))

    assert found.quality["labels"] == of_quality["labels"]
    for mine, live in zip(found.quality["variants"], of_quality["variants"], strict=True):
        alike(mine["lifetime"]["binary_classification_metrics"], live["lifetime"]["binary_classification_metrics"])
        alike(mine["window"]["binary_classification_metrics"], live["window"]["binary_classification_metrics"])
        assert mine["labelled"] == live["labelled"]
    for mine, live in zip(found.bias["variants"], of_groups["variants"], strict=True):
        alike(mine, live)


def scored(number: int, rng: np.random.Generator, **more: JSON) -> tuple[Item, JSON]:
    """A request of one row, and its label: of a score that is right about itself."""
    age, score = float(rng.normal(40, 10)), round(float(rng.random()), 3)
    made = item(number, ((age,),), ((score,),), **more)
    return made, {"id": f"r{number}", "label": int(rng.random() < score)}


def test_looks_are_kept_with_scores_and_rows_so_far(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    pairs = [scored(number * 60, rng) for number in range(600)]
    source = write_lines(tmp_path / "l.jsonl", [label for _, label in pairs])

    found = judged(rows_of(tmp_path, [each for each, _ in pairs]), [source], JUDGES, BINARY, work=work(tmp_path))

    times_s, [version] = found.history["times_s"], found.history["versions"]
    assert len(times_s) == 11
    assert times_s[-1] == START_S + 599 * 60
    assert all(time_s % 3600 == 0 for time_s in times_s[:-1])
    assert version["rows"] == sorted(version["rows"])
    assert version["rows"][-1] == found.quality["variants"][0]["labelled"] == 600
    assert all(len(values) == 11 for values in version["scores"].values())
    last = found.quality["variants"][0]["window"]["binary_classification_metrics"]["accuracy"]["value"]
    assert version["scores"]["accuracy"][-1] == last


def test_a_model_that_became_worse_is_found_with_when_it_was_seen(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    items, labels = [], []
    for number in range(4000):
        right = rng.random() < (0.95 if number < 2000 else 0.6)
        items.append(item(number * 10, ((float(rng.normal(40, 10)),),), ((1.0,),)))
        labels.append({"id": f"r{number * 10}", "label": int(right)})
    source = write_lines(tmp_path / "l.jsonl", labels)
    judges = [Part(kind="quality", options={"reference_rows": 500})]

    found = judged(rows_of(tmp_path, items), [source], judges, BINARY, work=work(tmp_path))

    [finding] = [each for each in found.findings if each.key.check == "performance"]
    assert "become worse" in finding.sentence
    assert finding.since_s is not None
    assert START_S + 18_000 < finding.since_s < START_S + 25_000
    [told] = [each for each in found.history["findings"] if each["check"] == "performance"]
    assert START_S + 20_000 < told["first_s"] < START_S + 30_000
    assert (told["last_s"], told["holds"]) == (START_S + 39_990, True)
    assert found.bias is None


def test_files_are_sagemakers_by_variant(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    pairs = [scored(number, rng, variant=("a", "b")[number % 2]) for number in range(600)]
    source = write_lines(tmp_path / "l.jsonl", [label for _, label in pairs])
    bias_of_age = {"facets": (OF_AGE,), "allowed": {"CI": (0.5, 1.0)}}
    judges = (
        Part(kind="quality", options={"alert_when": {"accuracy": Bound(below=0.99)}}),
        Part(kind="bias", options=bias_of_age),
    )

    found = judged(rows_of(tmp_path, [each for each, _ in pairs]), [source], judges, BINARY, work=work(tmp_path))

    assert sorted(found.files) == ["a", "b"]
    assert set(found.files["a"]) == {
        "quality/statistics.json",
        "quality/constraint_violations.json",
        "bias/analysis.json",
        "bias/constraint_violations.json",
    }
    told = {name: json.loads(data) for name, data in found.files["a"].items()}
    assert told["quality/statistics.json"] == found.quality["variants"][0]["window"]
    assert told["bias/analysis.json"] == found.bias["variants"][0]["window"]
    assert told["quality/constraint_violations.json"]["violations"][0]["metric_name"] == "accuracy"
    assert told["bias/constraint_violations.json"]["violations"][0]["metric_name"] == "CI"


def test_quality_is_estimated_of_answers_without_labels(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    pairs = [scored(number, rng) for number in range(1000)]
    source = write_lines(tmp_path / "l.jsonl", [label for _, label in pairs[:600]])

    found = judged(rows_of(tmp_path, [each for each, _ in pairs]), [source], JUDGES, BINARY, work=work(tmp_path))

    estimated = found.quality["variants"][0]["estimated"]
    assert (estimated["rows"], estimated["calibrated_on"]) == (1000, 600)
    assert estimated["scores"]["accuracy"]["value"] == pytest.approx(0.75, abs=0.05)


def test_versions_that_answer_in_other_columns_are_each_read_in_their_own(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    items, labels = [], []
    for number in range(400):
        truth, hit = int(rng.integers(2)), rng.random() < 0.9
        answer = truth if hit else 1 - truth
        new = number >= 200
        names, cells = (("verdict",), (answer,)) if new else (("label", "score"), (answer, abs(answer - 0.2)))
        items.append(item(number, answered=(cells,), predictions=names, version="4" if new else "3"))
        labels.append({"id": f"r{number}", "label": truth})
    source = write_lines(tmp_path / "l.jsonl", labels)

    found = judged(rows_of(tmp_path, items), [source], [Part(kind="quality")], BINARY, work=work(tmp_path))

    reads = {each["version"]: each["reads"] for each in found.quality["variants"]}
    assert reads == {
        "3": {"prediction": "label", "probabilities": ["score"]},
        "4": {"prediction": None, "probabilities": ["verdict"]},
    }
    assert [each["labelled"] for each in found.quality["variants"]] == [200, 200]


def test_a_regression_is_judged_with_ground_truth_of_sagemakers(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    items = [item(number, answered=((float(number % 7),),)) for number in range(300)]
    errors = rng.normal(size=300)
    labels = [
        {
            "groundTruthData": {"data": str(number % 7 + error), "encoding": "CSV"},
            "eventMetadata": {"eventId": items[number][0].event_id},
            "eventVersion": "0",
        }
        for number, error in enumerate(errors.tolist())
    ]
    source = write_lines(tmp_path / "l.jsonl", labels)

    found = judged(
        rows_of(tmp_path, items), [source], [Part(kind="quality")], Model(task="regression"), work=work(tmp_path)
    )

    lifetime = found.quality["variants"][0]["lifetime"]["regression_metrics"]
    assert lifetime["mae"]["value"] == pytest.approx(float(np.abs(errors).mean()), rel=1e-9)
    assert lifetime["rmse"]["value"] == pytest.approx(float(np.sqrt((errors**2).mean())), rel=1e-9)


def test_groups_are_compared_where_nobody_grades_and_of_two_versions_the_later_has_files(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    pairs = [scored(number, rng, version="3" if number < 200 else "4") for number in range(400)]
    source = write_lines(tmp_path / "l.jsonl", [label for _, label in pairs])
    judges = [Part(kind="bias", options={"facets": (OF_AGE,)})]

    found = judged(rows_of(tmp_path, [each for each, _ in pairs]), [source], judges, BINARY, work=work(tmp_path))

    assert found.quality is None
    assert [each["labelled"] for each in found.bias["variants"]] == [200, 200]
    assert json.loads(found.files["champion"]["bias/analysis.json"]) == found.bias["variants"][1]["window"]
    assert len(found.history["times_s"]) == 1


def test_rows_that_settle_first_count_in_the_end(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    pairs = [scored(number * 60, rng) for number in range(300)]
    source = write_lines(tmp_path / "l.jsonl", [label for _, label in pairs])
    judges = [Part(kind="quality", options={"settle_s": 7200.0})]

    found = judged(rows_of(tmp_path, [each for each, _ in pairs]), [source], judges, BINARY, work=work(tmp_path))

    assert found.quality["variants"][0]["labelled"] == 300
    assert found.history["times_s"][-1] == START_S + 299 * 60 + 7200


def test_where_no_label_joins_nothing_is_said_and_labels_are_counted(tmp_path: Path) -> None:
    source = write_lines(
        tmp_path / "l.jsonl", [{"id": "nobody", "label": 1}, {"id": "r0"}, {"id": "r0", "metric": "click", "value": 1}]
    )

    found = judged(rows_of(tmp_path, [item(0)]), [source], JUDGES, BINARY, work=work(tmp_path))

    assert found.quality["labels"]["posted"]["unknown"] == 1
    assert found.quality["labels"]["posted"]["malformed"] == 1
    assert found.collected.outcomes == 1
    assert len(found.collected.faults) == 1
    assert list(found.findings) == []
    assert found.bias["variants"] == []


@pytest.mark.parametrize(
    ("judges", "model", "told"),
    [
        (JUDGES, Model(), "model.task: missing; labels need it, expected binary, multiclass or regression"),
        ([Part(kind="bias", options={"facets": (OF_AGE,)})], Model(task="multiclass"), "monitors (bias): outcomes"),
        ([Part(kind="quality", options={"reference": "/nowhere"})], BINARY, "monitors (quality): reference"),
    ],
)
def test_monitors_that_cannot_work_so_are_refused_by_kind(
    tmp_path: Path, judges: Sequence[Part], model: Model, told: str
) -> None:
    rows = rows_of(tmp_path, [item(0)])

    with pytest.raises(ConfigError) as caught:
        judged(rows, [tmp_path / "l.jsonl"], judges, model, work=work(tmp_path))

    assert told in str(caught.value)


@pytest.mark.usefixtures("spark")
def test_spark_says_the_same(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    pairs = [scored(number * 30, rng, headers={HEADER: ("yes", "no")[number % 2]}) for number in range(300)]
    folder = write_rows(tmp_path / "rows", [each for each, _ in pairs])
    source = write_lines(tmp_path / "l.jsonl", [label for _, label in pairs])
    found = []
    for engine in ("duckdb", "spark"):
        own = tmp_path / engine
        own.mkdir()
        found.append(judged(read_rows(folder, engine), [source], JUDGES, BINARY, work=work(own)))

    ours, theirs = found
    alike(theirs.quality, ours.quality)
    alike(theirs.bias, ours.bias)
    assert theirs.files == ours.files
    assert theirs.history == ours.history
