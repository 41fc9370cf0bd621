from pathlib import Path

import pytest

from sidecar.cli.lazy import FAMILIES
from sidecar.config.schema import Model, Part
from sidecar.errors import ConfigError
from sidecar.monitors.data import Data
from sidecar.monitors.groups import FacetOf
from sidecar.report.settings import Settings, read_settings, with_flags

LIVE = """
upstream: http://127.0.0.1:8081
listen: 0.0.0.0:8080
state: /var/lib/sidecar
model: {task: binary, prediction: label, positive: "1"}
payload: {features: [a, b], prediction: [p], format: csv}
monitors:
  - {kind: data, tolerance: 0.02, detectors: [{kind: psi}, {kind: wasserstein}]}
  - {kind: quality, reference_rows: 300}
  - {kind: bias, facets: [{feature: gender, values: [f]}], least_rows: 50}
"""
GROUP = FacetOf(feature="age", below=25.0)


def settings(tmp_path: Path, text: str) -> Settings:
    file = tmp_path / "sidecar.yaml"
    file.write_text(text, encoding="utf-8")
    return read_settings(str(file), FAMILIES)


def test_without_a_file_the_defaults_hold() -> None:
    assert read_settings(None, FAMILIES) == Settings(Data(), Model(), (), (), ())


def test_the_live_sidecar_s_file_says_how_to_judge(tmp_path: Path) -> None:
    found = settings(tmp_path, LIVE)
    assert (found.data.tolerance, [part.kind for part in found.data.detectors]) == (0.02, ["psi", "wasserstein"])
    assert (found.model.task, [part.kind for part in found.judges]) == ("binary", ["quality", "bias"])
    assert (found.features, found.predictions, found.format) == (("a", "b"), ("p",), "csv")


@pytest.mark.parametrize("text", ["monitors: [{kind: data}]", "", "model: {task: regression}"])
def test_a_file_needs_no_upstream_to_report_by(tmp_path: Path, text: str) -> None:
    assert settings(tmp_path, text).data == Data()


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ("monitors: [{kind: dat}]", "monitors[0].kind"),
        ("monitors: [{kind: data, detectors: [{kind: psy}]}]", "monitors[0].detectors[0].kind"),
        ("monitors: [{kind: data, tolerance: 7}]", "monitors[0].tolerance"),
        ("monitors: [{kind: quality}]", "model.task"),
        ("monitor: []", "monitor"),
        ("a: [", "sidecar.yaml"),
        ("[1]", ""),
    ],
)
def test_a_fault_is_told_by_its_place(tmp_path: Path, text: str, path: str) -> None:
    with pytest.raises(ConfigError) as refused:
        settings(tmp_path, text)
    assert refused.value.faults[0].path.endswith(path)


def test_a_file_that_cannot_be_read_is_refused(tmp_path: Path) -> None:
    (tmp_path / "latin1").write_bytes(b"\xff")
    (tmp_path / "huge").write_bytes(b"#" * (2 << 20))
    for name in ("none", "latin1", "huge", ""):
        with pytest.raises(ConfigError):
            read_settings(str(tmp_path / name), FAMILIES)


def test_labels_are_judged_asked_or_not() -> None:
    found = with_flags(read_settings(None, FAMILIES), "binary", (), labels=True)
    assert (found.model.task, found.judges) == ("binary", (Part(kind="quality"),))


def test_without_labels_nothing_more_is_judged() -> None:
    none = read_settings(None, FAMILIES)
    assert with_flags(none, None, (), labels=False) == none


def test_groups_of_the_command_line_come_instead_of_the_file_s(tmp_path: Path) -> None:
    found = with_flags(settings(tmp_path, LIVE), "multiclass", [GROUP], labels=True)
    quality, bias = found.judges
    assert found.model.task == "multiclass"
    assert quality.options["reference_rows"] == 300
    assert bias.options == {"facets": (GROUP,), "least_rows": 50}


def test_labels_need_a_task() -> None:
    with pytest.raises(ConfigError, match="--task: missing"):
        with_flags(read_settings(None, FAMILIES), None, (), labels=True)
