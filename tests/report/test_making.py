import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pyarrow as arrow
import pytest
from pyarrow import parquet

from sidecar.cli.progress import Silent
from sidecar.errors import ConfigError
from sidecar.records import JSON
from sidecar.report.making import Made, Wanted, make
from sidecar.report.progress import Advance, Unit
from sidecar.report.settings import read_settings, with_flags
from sidecar.report.telling.document import encoded
from tests.report.captured import BEGAN, HOURS, NAMES, ROWS, captures, half, labels, line, reference

UNLIKE = ("made_s", "seconds", "engine")
"""What differs from one report of the same to the next."""


class Noted:
    """Progress that a test reads: of each stage its total and what was done."""

    def __init__(self) -> None:
        self.stages: dict[str, tuple[int | None, int]] = {}

    @contextmanager
    def stage(self, name: str, total: int | None, unit: Unit) -> Iterator[Advance]:  # noqa: ARG002  # as the protocol
        self.stages[name] = total, 0

        def advance(done: int) -> None:
            self.stages[name] = total, self.stages[name][1] + done

        yield advance


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("captured")
    reference(made / "reference")
    labels(made / "truth.jsonl", captures(made / "captures", moved=True))
    return made


def wanted(folder: Path, work: Path, **changes: object) -> Wanted:
    settings = read_settings(None, {})._replace(features=NAMES, predictions=("label", "probability"))
    told = {
        "captures": [str(folder / "captures")],
        "reference": folder / "reference",
        "settings": settings,
        "work": work,
    }
    return Wanted(**{**told, **changes})  # type: ignore[arg-type]  # of whatever field


def judging(folder: Path, work: Path, **changes: object) -> Wanted:
    """With the labels."""
    without = wanted(folder, work, **changes)
    settings = with_flags(without.settings, "binary", (), labels=True)
    return wanted(folder, work, settings=settings, labels=[str(folder / "truth.jsonl")], **changes)


def assert_same(one: Made, other: Made) -> None:
    """Two reports that say the same: engines add up in whatever order they like."""
    first, second = ({**each.document, **dict.fromkeys(UNLIKE)} for each in (one, other))
    assert_alike(first, second, "$")
    files, others = (
        {variant: {name: json.loads(data) for name, data in named.items()} for variant, named in each.files.items()}
        for each in (one, other)
    )
    assert_alike(files, others, "$files")


def assert_alike(one: JSON, other: JSON, where: str) -> None:
    match one, other:
        case dict(), dict():
            assert one.keys() == other.keys(), where
            for name, each in one.items():
                assert_alike(each, other[name], f"{where}.{name}")
        case list(), list():
            assert len(one) == len(other), where
            for place, (mine, others) in enumerate(zip(one, other, strict=True)):
                assert_alike(mine, others, f"{where}[{place}]")
        case float(), float():
            assert one == pytest.approx(other, rel=1e-9, abs=1e-12), where
        case _:
            assert one == other, where


def test_a_report_is_the_same_however_often_it_is_made(folder: Path, tmp_path: Path) -> None:
    first, again = (make(judging(folder, tmp_path), Silent()) for _ in range(2))
    assert_same(first, again)
    assert_same(first, make(judging(folder, tmp_path / "fresh"), Silent()))


def test_spark_makes_the_same_report(folder: Path, tmp_path: Path, spark: object) -> None:
    assert spark is not None
    assert_same(make(judging(folder, tmp_path), Silent()), make(judging(folder, tmp_path, engine="spark"), Silent()))


def test_the_document_says_how_it_was_made(folder: Path, tmp_path: Path) -> None:
    command = "sidecar report captures --engine-url 'sc://host;token=secret'"
    document = make(judging(folder, tmp_path, since_s=0.0, command=command), Silent()).document
    assert document["command"] == "sidecar report captures --engine-url 'sc://host;token=…'"
    assert document["engine"].startswith("duckdb ")
    assert document["reference"] == {"path": str(folder / "reference"), "rows": 5000, "features": 3}
    assert document["inputs"]["rows"] == HOURS * ROWS
    assert document["made_s"] > 1.7e9
    settings = document["settings"]
    assert [each["kind"] for each in settings["monitors"]] == ["data", "quality"]
    assert settings["monitors"][0]["detectors"] == [{"kind": "psi", "options": {}}]
    assert (settings["model"]["task"], settings["features"]) == ("binary", list(NAMES))
    assert (settings["since_s"], settings["until_s"]) == (0.0, None)
    assert json.loads(encoded(document)) == document


def test_files_are_sagemaker_s_by_variant(folder: Path, tmp_path: Path) -> None:
    files = make(judging(folder, tmp_path), Silent()).files
    assert {variant: sorted(named) for variant, named in files.items()} == {
        "AllTraffic": [
            "constraint_violations.json",
            "quality/constraint_violations.json",
            "quality/statistics.json",
            "statistics.json",
        ]
    }


def test_a_finding_s_cause_is_known_from_labels_and_inputs_together(folder: Path, tmp_path: Path) -> None:
    without = make(wanted(folder, tmp_path), Silent()).document["findings"][0]
    judged = make(judging(folder, tmp_path), Silent()).document["findings"][0]
    assert (without["cause"], judged["cause"]) == ("inputs", "inputs")
    assert "without labels nobody can tell" in without["reason"]
    assert "labels do not tell yet" in judged["reason"]  # they are fewer than the yardstick takes


def test_every_stage_is_told_how_far_it_is(folder: Path, tmp_path: Path) -> None:
    noted = Noted()
    make(judging(folder, tmp_path), noted)
    size_bytes = sum(path.stat().st_size for path in (folder / "captures").rglob("*.jsonl"))
    assert noted.stages["reading captures"] == (size_bytes, size_bytes)
    total, done = noted.stages["counting rows"]
    assert total == done
    assert total
    assert list(noted.stages) == ["reading captures", "counting rows", "judging labels"]


def test_nothing_is_left_of_what_was_made_meanwhile(folder: Path, tmp_path: Path) -> None:
    (tmp_path / ".scratch").mkdir()
    (tmp_path / ".scratch" / "left").write_text("of one that was killed")
    make(judging(folder, tmp_path), Silent())
    assert not (tmp_path / ".scratch").exists()


def test_only_the_variants_that_are_asked_for_are_judged_by_labels_too(folder: Path, tmp_path: Path) -> None:
    captures(tmp_path / "captures", moved=True)
    captures(tmp_path / "captures", moved=True, variant="other")

    told = [str(tmp_path / "captures")]
    made = make(judging(folder, tmp_path / "work", captures=told, variants=["AllTraffic"]), Silent())

    assert [each["name"] for each in made.document["variants"]] == ["AllTraffic"]
    assert [each["name"] for each in made.document["quality"]["variants"]] == ["AllTraffic"]
    assert list(made.files) == ["AllTraffic"]


def test_rows_without_a_time_are_left_out_of_what_labels_say_too(folder: Path, tmp_path: Path) -> None:
    """No capture becomes one; but whoever writes the table anew may lose it."""
    make(wanted(folder, tmp_path / "work"), Silent())
    table = tmp_path / "work" / "rows"
    file = max(table.rglob("*.parquet"))
    rows = parquet.read_table(file)
    times = arrow.nulls(rows.num_rows, rows.schema.field("time").type)
    parquet.write_table(rows.set_column(rows.column_names.index("time"), "time", times), file)

    made = make(judging(folder, tmp_path / "other", captures=[str(table)]), Silent()).document

    (variant,), (graded,) = made["variants"], made["quality"]["variants"]
    assert (variant["rows"], variant["undated"]) == (HOURS * ROWS - rows.num_rows, rows.num_rows)
    assert graded["labelled"] == variant["rows"]


def test_what_a_report_has_decoded_among_the_captures_is_none_of_them(folder: Path, tmp_path: Path) -> None:
    told = [str(captures(tmp_path / "captures", moved=False))]
    twice = [make(wanted(folder, tmp_path / "captures" / "work", captures=told), Silent()) for _ in range(2)]

    assert [each.document["inputs"]["rows"] for each in twice] == [HOURS * ROWS] * 2


def test_nobody_else_reports_in_the_folder_until_all_is_counted(folder: Path, tmp_path: Path) -> None:
    class Other(Noted):
        @contextmanager
        def stage(self, name: str, total: int | None, unit: Unit) -> Iterator[Advance]:
            with super().stage(name, total, unit) as advance:
                with pytest.raises(ConfigError, match="another report works here"):
                    make(wanted(folder, tmp_path), Silent())
                yield advance

    other = Other()
    make(judging(folder, tmp_path), other)
    assert list(other.stages) == ["reading captures", "counting rows", "judging labels"]


def test_bodies_are_read_in_the_format_of_the_configuration(folder: Path, tmp_path: Path) -> None:
    """As the live sidecar reads them: what is of no type that anybody knows, too."""
    each = line([(50.0, 30, "de")], "1", BEGAN.timestamp(), encoding="CSV")
    asked, answered = half("", "50,30,de", "INPUT", "BASE64"), half("", "1,0.5", "OUTPUT", "BASE64")
    each["captureData"] = {"endpointInput": asked, "endpointOutput": answered}
    file = tmp_path / "a.jsonl"
    file.write_text(json.dumps(each))
    auto = wanted(folder, tmp_path / "work", captures=[str(file)])

    with pytest.raises(ConfigError, match="no row that can be read"):
        make(auto, Silent())
    made = make(replace(auto, settings=auto.settings._replace(format="csv")), Silent())

    assert made.document["inputs"]["rows"] == 1


def test_an_answer_without_a_value_is_missing_as_it_is_live(folder: Path, tmp_path: Path) -> None:
    rows = [(50.0, 30, "de")]
    lines = []
    for number in range(90):
        each = line(rows, str(number), BEGAN.timestamp() + number, encoding="JSON")
        answer = json.dumps({"predictions": [None if number % 3 == 0 else 0.5]})
        output = half("application/json", answer, "OUTPUT", "JSON")
        lines.append(json.dumps(each | {"captureData": each["captureData"] | {"endpointOutput": output}}))
    (tmp_path / "a.jsonl").write_text("\n".join(lines))

    made = make(wanted(folder, tmp_path / "work", captures=[str(tmp_path / "a.jsonl")]), Silent())

    (column,) = (each for each in made.document["variants"][0]["columns"] if each["subject"] == "predictions")
    assert (column["rows"], column["missing"]) == (90, 30)


def test_a_folder_without_a_reference_is_refused(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="expected a folder with statistics"):
        make(wanted(folder, tmp_path, reference=tmp_path), Silent())
