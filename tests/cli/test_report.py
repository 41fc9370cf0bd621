import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from sidecar.__main__ import main
from sidecar.records import JSON
from tests.report.captured import HOURS, ROWS, captures, labels, reference

NAMED = ("--feature", "amount", "--feature", "age", "--feature", "country")
ANSWERS = ("--prediction", "label", "--prediction", "probability")


def read(path: Path) -> JSON:
    return json.loads(path.read_text(encoding="utf-8"))


def reported(folder: Path, *options: object) -> int:
    """What the command's exit code is, on captures/ and reference/ of a folder."""
    places = (str(folder / "captures"), "--reference", str(folder / "reference"))
    return main(["report", *places, *NAMED, *ANSWERS, *map(str, options)])


@pytest.fixture(scope="module")
def drifted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("drifted")
    reference(folder / "reference")
    labels(folder / "truth.jsonl", captures(folder / "captures", moved=True))
    return folder


def test_a_folder_of_sagemaker_s_that_drifted_becomes_all_reports_and_code_3(
    drifted: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    outputs = [tmp_path / f"report.{kind}" for kind in ("html", "json", "md")]

    assert reported(drifted, *(each for path in outputs for each in ("-o", path))) == 3

    told, err = capsys.readouterr()
    assert re.match(rf"{outputs[0]}, {outputs[1]}, {outputs[2]}: 1,600 rows of 1 variant, \d+ finding", told)
    assert f"{tmp_path / 'report_files'}: 2 files of SageMaker's\n" in told
    first, *places = err.splitlines()
    assert (first, len(places)) == (f"passed over: {HOURS} (line)", HOURS)
    assert re.match(rf"no capture: {drifted}/captures/.*/05-00-000-ab\.jsonl:\d+: .*, expected a line of", places[0])
    document = read(outputs[1])
    (variant,) = document["variants"]
    assert (variant["name"], variant["rows"], variant["slices"]["rows"]) == ("AllTraffic", HOURS * ROWS, [ROWS] * HOURS)
    assert document["inputs"]["skipped"] == {"line": HOURS}
    assert document["violated"]
    assert "features of AllTraffic have drifted: amount" in document["findings"][0]["sentence"]
    assert document["findings"][0]["cause"] == "inputs"
    assert "AllTraffic: 1 of 3 columns has drifted, most likely since 2026-11-20" in outputs[0].read_text()
    assert "### What drifted: AllTraffic" in outputs[2].read_text()
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "report.html",
        "report.json",
        "report.md",
        "report_files",
    ]


def test_sagemaker_s_files_are_beside_it(drifted: Path, tmp_path: Path) -> None:
    assert reported(drifted, "-o", tmp_path / "r.json", "--files", tmp_path / "files") == 3

    statistics = read(tmp_path / "files" / "AllTraffic" / "statistics.json")
    assert statistics["dataset"] == {"item_count": HOURS * ROWS}
    names = [each["name"] for each in statistics["features"]]
    assert names[:3] == ["amount", "age", "country"]
    violations = read(tmp_path / "files" / "AllTraffic" / "constraint_violations.json")["violations"]
    broken = read(tmp_path / "r.json")["variants"][0]["violations"]
    assert [(each["feature_name"], each["constraint_check_type"]) for each in violations] == [
        (each["feature"], each["check"]) for each in broken
    ]


def test_without_drift_the_code_is_0(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    reference(tmp_path / "reference")
    captures(tmp_path / "captures", moved=False)

    # Half of a text's bins hold a rounding of rows; predictions are not in a reference from training data.
    assert reported(tmp_path, "-o", tmp_path / "r.json") == 0

    assert capsys.readouterr().out.startswith(
        f"{tmp_path / 'r.json'}: 1,600 rows of 1 variant, no findings, no violations\n"
    )
    document = read(tmp_path / "r.json")
    assert (document["findings"], document["violated"]) == ([], False)


def test_labels_are_judged_and_their_files_written(drifted: Path, tmp_path: Path) -> None:
    file = tmp_path / "r.json"
    options = ("--labels", drifted / "truth.jsonl", "--task", "binary", "--facet", "country=de", "-o", file)

    assert reported(drifted, *options) == 3

    document = read(file)
    (version,) = document["quality"]["variants"]
    assert version["labelled"] == HOURS * ROWS
    accuracy = version["lifetime"]["binary_classification_metrics"]["accuracy"]["value"]
    assert accuracy == pytest.approx(0.9, abs=0.03)
    assert document["bias"]["variants"][0]["groups"][0]["facet"] == "country"
    names = {str(path.relative_to(tmp_path)) for path in (tmp_path / "r_files").rglob("*.json")}
    assert {
        "r_files/AllTraffic/statistics.json",
        "r_files/AllTraffic/quality/statistics.json",
        "r_files/AllTraffic/quality/constraint_violations.json",
        "r_files/AllTraffic/bias/analysis.json",
    } <= names


def test_a_part_of_the_time_can_be_asked_for(drifted: Path, tmp_path: Path) -> None:
    file = tmp_path / "r.json"
    span = ("--since", "2026-11-20T09:00", "--until", "2026-11-20T10:00Z")
    reported(drifted, *span, "--every", "30m", "-o", file)
    (variant,) = read(file)["variants"]
    assert (variant["rows"], len(variant["slices"]["rows"]), variant["drift"]["findings"]) == (ROWS, 2, [])


def test_one_variant_can_be_asked_for(drifted: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "r.json"
    assert reported(drifted, "--variant", "AllTraffic", "-o", file) == 3
    assert [each["name"] for each in read(file)["variants"]] == ["AllTraffic"]
    assert reported(drifted, "--variant", "other", "-o", file) == 64
    assert "no row of 'other', expected one of 'AllTraffic'" in capsys.readouterr().err


def test_of_nothing_nothing_is_said_to_be_well(
    drifted: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "broken.jsonl").write_text('{"captureData"\n', encoding="utf-8")
    output = ("-o", str(tmp_path / "r.json"))
    assert reported(drifted, "--since", "2027-01-01", *output) == 64
    assert "no row of the time that is asked for, expected at least one" in capsys.readouterr().err
    assert main(["report", str(tmp_path), "--reference", str(drifted / "reference"), *output]) == 64
    told = capsys.readouterr().err
    assert f"no row that can be read; passed over: 1 (line); {tmp_path / 'broken.jsonl'}:1: " in told
    assert told.endswith(", expected at least one\n")
    assert not (tmp_path / "r.json").exists()


def test_decoded_rows_are_kept_where_the_user_says(
    drifted: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    work = tmp_path / "work"
    for _ in range(2):
        assert reported(drifted, "--work", work, "-o", tmp_path / "r.json") == 3
    assert list(work.rglob("*.parquet"))
    assert not list(work.rglob(".scratch"))
    first, second = (line for line in capsys.readouterr().out.splitlines() if line.startswith(str(tmp_path / "r.json")))
    assert first == second


def test_interrupted_it_says_how_to_go_on_and_keeps_what_it_has(drifted: Path, tmp_path: Path) -> None:
    output = tmp_path / "r.json"
    program = f"""
import os, signal
from sidecar.report import making
from sidecar.__main__ import main
read = making._read
def interrupt(*given):
    os.kill(os.getpid(), signal.SIGINT)
    return read(*given)
making._read = interrupt
raise SystemExit(main(["report", {str(drifted / "captures")!r}, "--reference", {str(drifted / "reference")!r},
    *{NAMED + ANSWERS!r}, "-o", {str(output)!r}]))
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=120, check=False)
    work = tmp_path / ".r.json.work"
    assert (done.returncode, done.stdout) == (130, "")
    assert done.stderr == f"interrupted; what was decoded is in {work}: the same command goes on from there\n"
    assert list(work.rglob("*.parquet"))
    assert not output.exists()

    assert reported(drifted, "-o", output) == 3
    assert not work.exists()


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (("-o", "r.pdf"), "ends with none of .html, .json, .md"),
        (("-o", "s3://bucket/r.json"), "is a URL; expected a place on a disk"),
        (("-o", "r.json", "--work", "s3://bucket/work"), "is a URL; expected a place on a disk"),
        (("-o", "a.html", "-o", "b.html"), ".html is said twice"),
        (("-o", "r.json", "--every", "1w"), "expected a length of time"),
        (("-o", "r.json", "--memory", "much"), "expected a size"),
        (("-o", "r.json", "--facet", "gender=f"), "expected --labels with it"),
        (("-o", "r.json", "--labels", "truth.jsonl"), "--task: missing"),
        (("-o", "r.json", "--engine", "polars"), "'polars' is not one of"),
        (("-o", "r.json", "--config", "none.yaml"), "--config: none.yaml cannot be read"),
        ((), "Missing option '-o'"),
    ],
)
def test_what_cannot_be_asked_for_is_code_64_and_a_line(
    drifted: Path, capsys: pytest.CaptureFixture[str], options: tuple[str, ...], told: str
) -> None:
    assert reported(drifted, *options) == 64
    err = capsys.readouterr().err
    assert told in err
    assert "Traceback" not in err


def test_a_reference_or_captures_that_are_not_there_are_code_64(
    drifted: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "empty").mkdir()
    output = str(tmp_path / "r.json")
    good, empty = str(drifted / "reference"), str(tmp_path / "empty")
    assert main(["report", str(drifted / "captures"), "--reference", empty, "-o", output]) == 64
    assert main(["report", empty, "--reference", good, "-o", output]) == 64
    assert main(["report", "nowhere", "--reference", good, "-o", output]) == 64
    assert "--reference: expected a folder with statistics.json" in capsys.readouterr().err


def test_an_output_that_cannot_be_written_is_told_before_anything_is_read(
    drifted: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("")
    assert reported(drifted, "-o", tmp_path / "file" / "r.json") == 64
    assert reported(drifted, "-o", tmp_path.with_suffix(".json") / "x.html", "--work", tmp_path / "work") == 3
    tmp_path.with_suffix(".html").mkdir()
    assert reported(drifted, "-o", tmp_path.with_suffix(".html")) == 64
    told = capsys.readouterr().err
    assert "is no folder that can be written to" in told
    assert "is a folder; expected a file" in told


def test_what_fails_on_the_way_is_code_1_and_keeps_what_was_decoded(
    drifted: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "r_files").write_text("a file, where the folder would be")
    assert reported(drifted, "-o", tmp_path / "r.json") == 1
    assert re.fullmatch(r"no report: .*; what was decoded is in .*/\.r\.json\.work: .*\n", capsys.readouterr().err)
    assert list((tmp_path / ".r.json.work").rglob("*.parquet"))


def test_an_engine_that_has_too_little_memory_is_a_line_and_no_report(
    drifted: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert reported(drifted, "--memory", "1MiB", "-o", tmp_path / "r.json") in {1, 64}
    err = capsys.readouterr().err
    assert "Out of Memory Error" in err
    assert len(err.splitlines()) == 1
    assert not (tmp_path / "r.json").exists()


@pytest.mark.parametrize("amount", ["1073741824", "1GiB", "1Gi"])
def test_an_amount_of_memory_may_have_any_unit_or_none(drifted: Path, tmp_path: Path, amount: str) -> None:
    assert reported(drifted, "--memory", amount, "-o", tmp_path / "r.json") == 3


def test_rows_of_a_sink_are_not_swept_away(drifted: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    theirs = tmp_path / "rows" / "variant=v" / "hour=2026-11-20T08" / "00-05-000-000001-ab.parquet"
    theirs.parent.mkdir(parents=True)
    theirs.write_bytes(b"")
    assert reported(drifted, "--work", tmp_path, "-o", tmp_path / "r.json") == 64
    assert f"{theirs}: no report has written it" in capsys.readouterr().err
    assert theirs.exists()


def test_of_a_variant_that_is_left_out_no_files_of_an_earlier_report_stay(drifted: Path, tmp_path: Path) -> None:
    labelled = ("--labels", drifted / "truth.jsonl", "--task", "binary")
    for more in (labelled, ()):
        assert reported(drifted, *more, "-o", tmp_path / "r.json") == 3
    assert [path.name for path in (tmp_path / "r_files").rglob("*.json")].count("statistics.json") == 1


def test_without_jinja_a_page_is_refused_before_anything_is_read(
    drifted: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "jinja2", None)
    assert reported(drifted, "-o", tmp_path / "r.html") == 64
    assert "pip install 'sidecar[report]'" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_the_help_teaches_by_examples(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["report", "--help"]) == 0
    told = " ".join(capsys.readouterr().out.split())
    assert "sidecar report s3://bucket/captures --reference reference/ -o report.html" in told
    assert "The exit code is 0 if nothing was found, 3 if there are findings or violations" in told
