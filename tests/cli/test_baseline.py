import json
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator

from sidecar.__main__ import main
from sidecar.reference.sample import parse_sample
from tests.reference import shapes

TRAINING = "age,country,label\n31,at,0\n47,de,1\n,at,0\n"


@pytest.fixture
def training(tmp_path: Path) -> Path:
    path = tmp_path / "train.csv"
    path.write_text(TRAINING)
    return path


def test_training_data_become_sagemaker_s_two_files(
    training: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "made" / "reference"

    assert main(["baseline", str(training), "--target", "label", "-o", str(folder)]) == 0

    assert capsys.readouterr() == (f"{folder}: 3 rows of 2 columns (1 Integral, 1 String)\n", "")
    assert sorted(path.name for path in folder.iterdir()) == [
        "constraints.json",
        "sample.jsonl",
        "statistics.json",
    ]
    constraints = json.loads((folder / "constraints.json").read_text())
    assert constraints["features"] == [
        {
            "name": "age",
            "inferred_type": "Integral",
            "completeness": pytest.approx(2 / 3),
            "num_constraints": {"is_non_negative": True},
        },
        {
            "name": "country",
            "inferred_type": "String",
            "completeness": 1.0,
            "string_constraints": {"domains": ["at", "de"]},
        },
    ]
    age, _ = json.loads((folder / "statistics.json").read_text())["features"]
    assert age["numerical_statistics"]["mean"] == 39


def test_a_folder_is_read_whole_and_the_files_replaced(training: Path, tmp_path: Path) -> None:
    training.with_name("more.jsonl").write_text('{"age": 7, "country": "fr"}\n')
    for _ in range(2):
        assert main(["baseline", str(tmp_path), "--target", "label", "-o", str(tmp_path / "reference")]) == 0

    statistics = json.loads((tmp_path / "reference" / "statistics.json").read_text())
    assert statistics["dataset"] == {"item_count": 4}


def test_captures_are_read_as_traffic(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    half = {"observedContentType": "text/csv", "encoding": "CSV"}
    line = {
        "captureData": {"endpointInput": {**half, "data": "1,2"}, "endpointOutput": {**half, "data": "0.5"}},
        "eventMetadata": {"eventId": "e"},
    }
    broken = {"captureData": {"endpointInput": {**half, "data": ""}}, "eventMetadata": {"eventId": "e"}}
    (tmp_path / "a.jsonl").write_text(f"{json.dumps(line)}\n{json.dumps(broken)}\n")
    options = ["--feature", "a", "--feature", "b", "--prediction", "p", "-o", str(tmp_path / "r")]

    assert main(["baseline", "--captures", str(tmp_path), *options]) == 0

    assert capsys.readouterr().err == "captures passed over: 1 (empty)\n"
    features = json.loads((tmp_path / "r" / "statistics.json").read_text())["features"]
    assert [feature["name"] for feature in features] == ["a", "b", "p"]


def test_some_rows_are_kept_whole_for_their_owner_alone(training: Path, tmp_path: Path) -> None:
    folder = tmp_path / "r"
    arguments = ["baseline", str(training), "--target", "label", "-o", str(folder)]
    assert main([*arguments, "--sample", "2"]) == 0
    two = parse_sample((folder / "sample.jsonl").read_bytes(), "")
    assert main(arguments) == 0
    lines = (folder / "sample.jsonl").read_text().splitlines()

    assert len(two.values) == 2
    assert lines == ['{"age":31.0,"country":"at"}', '{"age":47.0,"country":"de"}', '{"country":"at"}']
    assert (folder / "sample.jsonl").stat().st_mode & 0o777 == 0o600
    assert (folder / "statistics.json").stat().st_mode & 0o044


def test_no_sample_is_left_of_other_rows(training: Path, tmp_path: Path) -> None:
    folder = tmp_path / "r"
    for rows, found in [("5", True), ("0", False), ("0", False)]:
        assert main(["baseline", str(training), "--sample", rows, "-o", str(folder)]) == 0
        assert (folder / "sample.jsonl").exists() == found


def test_redacted_cells_are_missing_in_the_sample(tmp_path: Path) -> None:
    half = {"observedContentType": "application/json", "encoding": "CSV"}
    asked = {**half, "data": '{"instances": [{"card": "[redacted]", "age": 3}, {"card": "[redacted]", "age": 4}]}'}
    line = {
        "captureData": {"endpointInput": asked, "endpointOutput": {**half, "data": '{"predictions": [0, 1]}'}},
        "eventMetadata": {"eventId": "e"},
    }
    (tmp_path / "a.jsonl").write_text(f"{json.dumps(line)}\n")

    assert main(["baseline", "--captures", str(tmp_path), "-o", str(tmp_path / "r")]) == 0

    text = (tmp_path / "r" / "sample.jsonl").read_text()
    assert [json.loads(each)["age"] for each in text.splitlines()] == [3, 4]
    assert "redacted" not in text


@pytest.mark.usefixtures("training")
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["train.csv", "--target", "lable"], "--target: no column 'lable', expected one of the data"),
        (["empty.csv"], "empty.csv: no row that can be read, expected at least one"),
        (["data.txt"], "data.txt: no data, expected files that end with .csv, .jsonl, .ndjson, .parquet"),
        (["--captures", "train.csv"], "train.csv: no data, expected files that end with .jsonl"),
    ],
)
def test_what_gives_no_reference_is_one_line_and_64(
    arguments: list[str],
    message: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("empty.csv").write_text("a,b\n")
    Path("data.txt").write_text("1\n")

    assert main(["baseline", *arguments, "-o", "reference"]) == 64

    assert capsys.readouterr() == ("", f"{message}\n")
    assert not Path("reference").exists()


def test_a_folder_that_cannot_be_made_is_one_line_and_64(training: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["baseline", str(training), "-o", str(training / "below")]) == 64

    assert capsys.readouterr() == ("", f"{training / 'below'}: Not a directory\n")


def test_what_it_writes_has_sagemaker_s_shapes(tmp_path: Path) -> None:
    data = tmp_path / "data.csv"
    lines = ["whole,fraction,text,nothing,mixed,constant"]
    lines += [f"{row},{row / 7},{'ab'[row % 2]},,{row if row % 3 else 'x'},5" for row in range(500)]
    data.write_text("\n".join(lines) + "\n")

    assert main(["baseline", str(data), "-o", str(tmp_path / "reference")]) == 0

    for name, shape in (("statistics.json", shapes.STATISTICS), ("constraints.json", shapes.CONSTRAINTS)):
        Draft202012Validator.check_schema(shape)
        Draft202012Validator(shape).validate(json.loads((tmp_path / "reference" / name).read_text()))
