import json
from pathlib import Path

import pytest

from sidecar.__main__ import main


@pytest.fixture(autouse=True)
def _bare_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("SIDECAR_CONFIG", "SIDECAR_UPSTREAM"):
        monkeypatch.delenv(name, raising=False)


def test_a_good_configuration_is_ok(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "sidecar.yaml"
    path.write_text("upstream: http://model:8081\ncapture: {sinks: [{kind: jsonl, path: captures}]}\n")

    assert main(["check", "--config", str(path), "--payload-format", "kserve_v1"]) == 0
    assert capsys.readouterr() == ("ok\n", "")


def test_faults_are_told_one_per_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "sidecar.yaml"
    path.write_text("listne: 1\ncapture: {sinks: [{kind: jsnol}]}\n")

    assert main(["check", "--config", str(path), "--limits-fields", "-1"]) == 64
    out, err = capsys.readouterr()
    assert out == ""
    assert [line.partition(":")[0] for line in err.splitlines()] == [
        "listne", "limits.fields", "capture.sinks[0].kind", "upstream"
    ]  # fmt: skip


def test_a_variable_names_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "sidecar.yaml"
    path.write_text("upstream: http://model:8081")
    monkeypatch.setenv("SIDECAR_CONFIG", str(path))
    assert main(["check"]) == 0

    assert main(["check", "--config", f"{path}.not"]) == 64
    assert capsys.readouterr().err == f"{path}.not: cannot be read: No such file or directory\n"


def test_the_schema_is_printed_without_a_configuration(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", "--schema"]) == 0

    printed = json.loads(capsys.readouterr().out)
    assert printed["$defs"]["Config"]["additionalProperties"] is False
    kinds = printed["$defs"]["Capture"]["properties"]["sinks"]["items"]["oneOf"]
    assert "jsonl" in [kind["properties"]["kind"]["const"] for kind in kinds]
