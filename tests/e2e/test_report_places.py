"""`sidecar report` over what others have left: SageMaker's folders, a bucket, and what is hardly a capture at all."""

import json
import os
import random
import re
import signal
import subprocess
from collections.abc import Mapping, Sequence
from datetime import timedelta
from pathlib import Path
from statistics import fmean, pstdev
from typing import NamedTuple

import obstore
import pytest
from obstore.store import from_url

from sidecar.records import JSON
from sidecar.reference.bias_files import parse_analysis, parse_bias_violations
from sidecar.reference.files import parse_statistics
from sidecar.reference.quality_files import read_quality_statistics
from tests.e2e.report_rig import (
    ANSWERS,
    BEGAN,
    EVENTS,
    HOURS,
    NAMES,
    PATIENCE_S,
    Event,
    Row,
    capture,
    command,
    ground_truth,
    half,
    read,
    report,
    row,
    train,
    unequal,
)
from tests.e2e.rig import environment, running, until, written
from tests.e2e.s3 import BUCKET, s3

ROWS = HOURS * EVENTS * 2
NAMED = tuple(each for name in NAMES for each in ("--feature", name))
ANSWERED = tuple(each for name in ANSWERS for each in ("--prediction", name))

SCALAR = {"value": float, "standard_deviation": (float, "NaN")}
"""A number may be told by its word where there is none."""

RATES = (
    "recall",
    "precision",
    "accuracy",
    "true_positive_rate",
    "true_negative_rate",
    "false_positive_rate",
    "false_negative_rate",
    "auc",
    "f0_5",
    "f1",
    "f2",
    *(f"{name}_best_constant_classifier" for name in ("recall", "precision", "accuracy", "f0_5", "f1", "f2")),
)
COMMON = {"num_present": int, "num_missing": int}
KLL = {
    "buckets": [{"lower_bound": float, "upper_bound": float, "count": float}],
    "sketch": {"parameters": {"c": float, "k": float}, "data": [[float]]},
}
NUMBERS = {
    "common": COMMON,
    **dict.fromkeys(("mean", "sum", "std_dev", "min", "max"), float),
    "distribution": {"kll": KLL},
}
TEXTS = {
    "common": COMMON,
    "distinct_count": float,
    "distribution": {"categorical": {"buckets": [{"value": str, "count": int}]}},
}
FEATURES = (
    {"name": str, "inferred_type": str, "numerical_statistics": NUMBERS},
    {"name": str, "inferred_type": str, "string_statistics": TEXTS},
)
METRICS = {
    "label": str,
    "label_value_or_threshold": str,
    "facets": {
        "country": [{"value_or_threshold": str, "metrics": [{"name": str, "description": str, "value": (float, None)}]}]
    },
}
BROKEN = {"metric_name": str, "constraint_check_type": str, "description": str}

FILES: Mapping[str, object] = {
    "statistics.json": {"version": float, "dataset": {"item_count": int}, "features": [FEATURES]},
    "constraint_violations.json": {
        "violations": [{"feature_name": str, "constraint_check_type": str, "description": str}]
    },
    "quality/statistics.json": {
        "version": float,
        "dataset": {"item_count": int},
        "binary_classification_metrics": {
            **dict.fromkeys(RATES, SCALAR),
            "confusion_matrix": {"0": {"0": int, "1": int}, "1": {"0": int, "1": int}},
            "receiver_operating_characteristic_curve": {
                "false_positive_rates": [float],
                "true_positive_rates": [float],
            },
            "precision_recall_curve": {"precisions": [float], "recalls": [float]},
        },
    },
    "quality/constraint_violations.json": {"violations": [BROKEN]},
    "bias/analysis.json": {
        "version": str,
        "pre_training_bias_metrics": METRICS,
        "post_training_bias_metrics": METRICS,
    },
    "bias/constraint_violations.json": {"version": str, "violations": [{"facet": str, "facet_value": str, **BROKEN}]},
}
"""The names and types that SageMaker documents, of every file that its monitors leave of a run."""


def lacking(shape: object, told: JSON, path: str = "") -> list[str]:
    """What a document has not, or has as something else.

    Args:
        shape: A type or a value; parts by name; of a list its one kind of part; or several of all these, any of which
            will do.
    """
    match shape, told:
        case tuple(), _:
            return min((lacking(each, told, path) for each in shape), key=len)
        case dict(), dict():
            return [each for name, part in shape.items() for each in lacking(part, told.get(name), f"{path}/{name}")]
        case list(), [_, *_]:
            return [each for place, part in enumerate(told) for each in lacking(shape[0], part, f"{path}/{place}")]
        case type(), _:
            kinds = (int, float) if shape is float else (shape,)
            right = isinstance(told, kinds) and not isinstance(told, bool)
        case _:
            right = told == shape
    return [] if right else [path]


class Captured(NamedTuple):
    """A folder of SageMaker's, with its reference, ground truth and configuration."""

    folder: Path
    events: Sequence[Event]

    @property
    def rows(self) -> list[Row]:
        return [row for event in self.events for row in event.rows]

    @property
    def options(self) -> tuple[object, ...]:
        given = {"--reference": "reference", "--labels": "truth", "--config": "sidecar.yaml"}
        return (*NAMED, *ANSWERED, *(each for option, name in given.items() for each in (option, self.folder / name)))


@pytest.fixture(scope="module")
def captured(tmp_path_factory: pytest.TempPathFactory) -> Captured:
    folder = tmp_path_factory.mktemp("sagemaker")
    train(folder)
    told = capture(folder / "captures")
    ground_truth(folder / "truth", told)
    limits = {"accuracy": {"threshold": 0.99, "comparison_operator": "LessThanThreshold"}}
    (folder / "quality").mkdir()
    (folder / "quality" / "constraints.json").write_text(
        json.dumps({"version": 0.0, "binary_classification_constraints": limits})
    )
    facets = [{"feature": "country", "values": ["de"]}]
    written(
        folder / "sidecar.yaml",
        {
            "model": {"task": "binary", "prediction": "label", "probabilities": ["probability"], "positive": "1"},
            "monitors": [
                {"kind": "quality", "reference": str(folder / "quality")},
                {"kind": "bias", "facets": facets, "allowed": {"DPPL": [-0.01, 0.01]}},
            ],
        },
    )
    return Captured(folder, told)


def test_a_folder_of_sagemaker_s_is_reported_with_all_of_its_files(captured: Captured, tmp_path: Path) -> None:
    said = report(captured.folder / "captures", *captured.options, "-o", tmp_path / "r.json", code=3)

    assert said.err == ""
    assert re.search(r": 960 rows of 1 variant, \d+ findings?, \d+ violations\n.*: 6 files of SageMaker's\n", said.out)
    files = {name: tmp_path / "r_files" / "AllTraffic" / name for name in FILES}
    assert sorted(files.values()) == sorted((tmp_path / "r_files").rglob("*.json"))
    assert {name: lacking(FILES[name], read(path)) for name, path in files.items()} == {name: [] for name in FILES}


def test_its_files_say_what_the_captures_hold(captured: Captured, tmp_path: Path) -> None:
    report(captured.folder / "captures", *captured.options, "-o", tmp_path / "r.json", code=3)
    folder, rows = tmp_path / "r_files" / "AllTraffic", captured.rows

    profiles = parse_statistics((folder / "statistics.json").read_bytes(), "")
    amount, age, country, label, probability = profiles.features
    assert (profiles.rows, amount.name, age.name, country.name) == (ROWS, *NAMES)
    assert (label.name, probability.name) == ANSWERS
    assert amount.numbers is not None
    assert amount.numbers.mean == pytest.approx(fmean(each[0] for each in rows), rel=1e-9)
    assert amount.numbers.std == pytest.approx(pstdev(each[0] for each in rows), rel=1e-9)
    assert age.kind == "Integral"
    assert country.categories is not None
    countries = [each[2] for each in rows]
    assert country.categories.counts == {each: countries.count(each) for each in set(countries)}

    (metrics,) = read_quality_statistics((folder / "quality" / "statistics.json").read_bytes(), "").values()
    answers = [int(each[0] > 4.5) for each in rows]
    truths = [truth for event in captured.events for truth in event.truths]
    right = fmean(answer == truth for answer, truth in zip(answers, truths, strict=True))
    assert metrics["accuracy"][0] == pytest.approx(right, rel=1e-9)

    analysis = parse_analysis((folder / "bias" / "analysis.json").read_bytes(), "")
    assert analysis.post_training is not None
    bias = {each.name: each.value for each in analysis.post_training.groups[0].metrics}
    of, others = (
        [answer for answer, each in zip(answers, rows, strict=True) if (each[2] == "de") == inside]
        for inside in (True, False)
    )
    assert bias["DPPL"] == pytest.approx(fmean(others) - fmean(of), rel=1e-9)
    (broken,) = parse_bias_violations((folder / "bias" / "constraint_violations.json").read_bytes(), "")
    assert (broken.facet, broken.facet_value, broken.metric_name) == ("country", "de", "DPPL")


def test_captures_reference_and_labels_may_lie_in_a_bucket(captured: Captured, tmp_path: Path) -> None:
    here, there = tmp_path / "here.json", tmp_path / "there.json"
    report(captured.folder / "captures", *captured.options, "-o", here, code=3)
    options = tuple(
        f"s3://{BUCKET}/{each.name}" if isinstance(each, Path) and each.is_dir() else each for each in captured.options
    )
    with s3() as store, pytest.MonkeyPatch.context() as patch:
        for name, value in store.variables.items():
            patch.setenv(name, value)
        bucket = from_url(f"s3://{BUCKET}", client_options={"allow_http": True})
        for path in captured.folder.rglob("*.json*"):
            obstore.put(bucket, str(path.relative_to(captured.folder)), path.read_bytes())

        report(f"s3://{BUCKET}/captures", *options, "-o", there, code=3, **store.variables)

    documents: list[JSON] = [read(each) for each in (here, there)]
    for document in documents:
        assert document.pop("reference")["rows"] == 4000
        for name in ("made_s", "seconds", "command", "inputs"):
            del document[name]
    assert unequal(*documents) == []


def test_interrupted_it_goes_on_where_it_was(captured: Captured, tmp_path: Path) -> None:
    """Interrupted once some files are decoded, and not all."""
    folder, work, output = tmp_path / "captures", tmp_path / "work", tmp_path / "r.json"
    line = next((captured.folder / "captures").rglob("*.jsonl")).read_text(encoding="utf-8")
    for number in range(8):
        file = folder / f"{number}.jsonl"
        file.parent.mkdir(exist_ok=True)
        file.write_text(line * 400, encoding="utf-8")
    reference = ("--reference", captured.folder / "reference")
    wanted = ("report", folder, *reference, *NAMED, *ANSWERED, "--work", work, "-o", output)

    with running(command(*wanted), environment()) as process:
        until(lambda: (work / "pieces.jsonl").exists() and (work / "pieces.jsonl").stat().st_size)
        os.kill(process.process.pid, signal.SIGINT)
        assert process.ends() == 130
        assert re.search(r"^interrupted; what was decoded is in .*: the same command goes on from there$", process.said)
    decoded = {path: path.stat().st_mtime_ns for path in (work / "rows").rglob("*.parquet")}
    kept = len((work / "pieces.jsonl").read_text(encoding="utf-8").splitlines())
    assert kept > 0
    assert not output.exists()

    report(*wanted[1:], code=3)

    assert read(output)["inputs"]["rows"] == 8 * 400 * 240
    again = {path: path.stat().st_mtime_ns for path in (work / "rows").rglob("*.parquet")}
    assert len(decoded.items() & again.items()) >= kept


def test_where_nothing_can_be_read_a_line_says_so(captured: Captured, tmp_path: Path) -> None:
    folder, output = captured.folder, tmp_path / "r.json"
    for name, data in {
        "noise": random.Random(1).randbytes(4096),
        "words": b"none\n{}\n[]\n",
        "table": b"amount,age\n1,2\n",
    }.items():
        (tmp_path / name).mkdir()
        (tmp_path / name / ("a.csv" if name == "table" else "a.jsonl")).write_bytes(data)
    (tmp_path / "empty").mkdir()
    reference = ("--reference", folder / "reference")

    for places, told in (
        ((tmp_path / "empty", *reference), "no file, expected such as end with .jsonl"),
        ((tmp_path / "table", *reference), "no file, expected such as end with .jsonl"),
        ((tmp_path / "noise", *reference), r"no row that can be read; passed over: \d+ \(line\)"),
        ((tmp_path / "words", *reference), r"no row that can be read; passed over: 3 \(line\)"),
        ((tmp_path / "nowhere", *reference), "No such file or directory, expected captures"),
        ((folder / "captures", "--reference", tmp_path / "empty"), "there is neither"),
        ((folder / "captures", "--reference", tmp_path / "nowhere"), "is no folder, expected one with statistics.json"),
        ((folder / "captures", "--reference", folder / "quality"), "missing required field `features`"),
    ):
        said = report(*places, "-o", output, code=64)
        assert re.search(told, said.err)
        assert len(said.err.splitlines()) == 1
    assert not output.exists()


def exchanges(
    folder: Path, rows: Sequence[Mapping[str, JSON]], answers: Sequence[JSON] = (), step_s: float = 1
) -> Path:
    """Captures of one variant, whose name is hardly one, of a row each.

    Args:
        answers: By turns; replies were not captured without any.
        step_s: From one to the next.
    """
    file = folder / "api" / "odd" / "2026/11/20/08/00-00-000-aa.jsonl"
    file.parent.mkdir(parents=True)
    with file.open("w", encoding="utf-8") as opened:
        for number, row in enumerate(rows):
            time = BEGAN + timedelta(seconds=number * step_s)
            halves = {"endpointInput": half("INPUT", json.dumps({"instances": [row]}), "JSON")}
            if answers:
                answer = json.dumps({"predictions": [answers[number % len(answers)]]})
                halves["endpointOutput"] = half("OUTPUT", answer, "JSON")
            metadata = {"eventId": f"event-{number}", "inferenceTime": f"{time:%Y-%m-%dT%H:%M:%SZ}"}
            line = {"captureData": halves, "eventMetadata": metadata, "sidecar": {"variant": "a/b c"}}
            opened.write(json.dumps(line) + "\n")
    return folder


def test_captures_of_another_model_are_told_column_by_column(captured: Captured, tmp_path: Path) -> None:
    rows = [{"width": float(number), "height": 1} for number in range(300)]
    places = (exchanges(tmp_path / "captures", rows, [0.5]), "--reference", captured.folder / "reference")

    said = report(*places, "-o", tmp_path / "r.json", "-o", tmp_path / "r.html", "-o", tmp_path / "r.md", code=3)

    assert "300 rows of 1 variant, no findings, 5 violations" in said.out
    (variant,) = read(tmp_path / "r.json")["variants"]
    assert {(each["feature"], each["check"]) for each in variant["violations"]} == {
        *((name, "missing_column_check") for name in NAMES),
        *((name, "extra_column_check") for name in ("width", "height")),
    }


def test_captures_without_replies_are_judged_by_what_was_asked(captured: Captured, tmp_path: Path) -> None:
    rng = random.Random(3)
    rows = [dict(zip(NAMES, row(rng), strict=True)) for _ in range(600)]
    places = (exchanges(tmp_path / "captures", rows, step_s=-60), "--reference", captured.folder / "reference")

    said = report(*places, "-o", tmp_path / "r.json", "-o", tmp_path / "r.html")

    assert said.err == "passed over: 600 (reply: empty)\n"
    (variant,) = read(tmp_path / "r.json")["variants"]
    assert (variant["name"], variant["rows"], len(variant["slices"]["rows"])) == ("a/b c", 600, 11)
    assert {each["subject"] for each in variant["columns"]} == {"features"}
    assert sorted(path.name for path in (tmp_path / "r_files").iterdir() if path.is_dir()) == ["a%2Fb%20c"]


def test_one_row_is_too_little_to_find_anything_in(captured: Captured, tmp_path: Path) -> None:
    rows = [{"amount": 4.0, "age": 30, "country": "de"}]
    places = (exchanges(tmp_path / "captures", rows, [1]), "--reference", captured.folder / "reference")

    report(*places, "-o", tmp_path / "r.json", "-o", tmp_path / "r.md")

    assert "1 row, too few to compare; nothing is known yet" in (tmp_path / "r.md").read_text(encoding="utf-8")


ODD_NAMES = (
    '"; drop table rows; --',
    "it's",
    "row",
    "time",
    "variant",
    "answered",
    "a b",
    "é",
    "",
    "\n",
    "\0",
    "[0]",
    "$1",
)
ODD_TEXTS = (
    "two\nlines",
    "\0",
    "nul\0within",
    "\r\n",
    "'",
    '"',
    "",
    " ",
    "\u2028",
    "💥",
    "x" * 5000,
    "<script>alert(1)",
)


def test_names_and_texts_may_be_anything(tmp_path: Path) -> None:
    rng = random.Random(4)
    rows = [
        {name: rng.choice(ODD_TEXTS) if place % 2 else rng.gauss() for place, name in enumerate(ODD_NAMES)}
        for _ in range(600)
    ]
    exchanges(
        tmp_path / "captures", rows, [{f"said {name}": text} for name, text in zip(ODD_NAMES, ODD_TEXTS, strict=False)]
    )
    made = command("baseline", "--captures", tmp_path / "captures", "-o", tmp_path / "reference")
    subprocess.run(made, env=environment(), check=True, capture_output=True, timeout=PATIENCE_S)
    outputs = [tmp_path / f"r.{kind}" for kind in ("json", "html", "md")]
    options = [each for output in outputs for each in ("-o", output)]

    said = report(tmp_path / "captures", "--reference", tmp_path / "reference", *options)

    assert (f"{outputs[0]}" in said.out, said.err) == (True, "")
    (variant,) = read(outputs[0])["variants"]
    asked = [each["name"] for each in variant["columns"] if each["subject"] == "features"]
    assert sorted(asked) == sorted(ODD_NAMES)
    assert "<script>alert" not in outputs[1].read_text(encoding="utf-8")
