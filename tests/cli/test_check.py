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


@pytest.mark.parametrize(
    ("versions", "cautioned"), [(("3", "4"), False), (("", ""), False), (("3", "3"), True), (("@a", "@a"), True)]
)
def test_a_rollout_to_the_same_version_is_ok_with_a_caution(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], versions: tuple[str, str], cautioned: bool
) -> None:
    named = zip("ab", versions, strict=True)
    variants = {name: {"url": f"http://{name}", "version": version} for name, version in named}
    catalog = {"kind": "mlflow", "uri": "http://mlflow"} if "@" in versions[0] else {"kind": "sqlite"}
    document = {"variants": variants, "rollout": {"champion": "a", "challenger": "b"}, "catalog": catalog}
    path = tmp_path / "sidecar.yaml"
    path.write_text(json.dumps({**document, "state": str(tmp_path)}))

    assert main(["check", "--config", str(path)]) == 0

    out, err = capsys.readouterr()
    told = f"caution: rollout: a and b are both of version {versions[0]}; a rollout begins once for each version"
    assert (out, err.startswith(told) if cautioned else err == "") == ("ok\n", True), err


def test_faults_are_told_one_per_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "sidecar.yaml"
    path.write_text("listne: 1\ncapture: {sinks: [{kind: jsnol}]}\n")

    assert main(["check", "--config", str(path), "--limits-fields", "-1"]) == 64
    out, err = capsys.readouterr()
    assert out == ""
    assert [line.partition(":")[0] for line in err.splitlines()] == [
        "listne", "limits.fields", "capture.sinks[0].kind", "upstream"
    ]  # fmt: skip


def test_files_that_would_be_missed_later_are_missed_now(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    there, gone = tmp_path / "secret", tmp_path / "gone"
    there.write_text("whsec_")
    channels = [
        {"kind": "webhook", "url": "http://a", "secret_file": str(there)},
        {"kind": "webhook", "url": "http://a", "secret_file": str(gone)},
        {"kind": "kubernetes_job", "template": str(gone), "credentials": str(tmp_path)},
        {"kind": "kubernetes_job", "template": "a\0b"},
    ]
    path = tmp_path / "sidecar.yaml"
    path.write_text(json.dumps({"upstream": "http://model:8081", "alerts": {"channels": channels}}))

    assert main(["check", "--config", str(path)]) == 64
    assert capsys.readouterr().err.splitlines() == [
        f"alerts.channels[1].secret_file: expected a file that can be read, got {gone}",
        f"alerts.channels[2].template: expected a file that can be read, got {gone}",
        "alerts.channels[3].template: expected a file that can be read, got a\0b",
    ]


def test_a_reference_and_a_token_are_read(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    blank = tmp_path / "token"
    blank.write_text("\n")
    bare = ["check", "--upstream", "http://model:8081"]

    assert main([*bare, "--reference", str(tmp_path)]) == 64
    assert capsys.readouterr().err.startswith("reference.path: expected a folder with statistics.json")
    assert main([*bare, "--admin-token-file", str(blank)]) == 64
    assert capsys.readouterr().err == f"admin_token_file: {blank} is blank; expected a token\n"
    assert main([*bare, "--reference", str(tmp_path), "--reference-learn-rows", "1000"]) == 0


@pytest.mark.parametrize(
    ("monitor", "fault"),
    [
        ({"kind": "quality", "alert_when": {"acuracy": {"below": 0.9}}}, "monitors[0].alert_when.acuracy: expected "),
        ({"kind": "quality", "reference": "gone"}, "monitors[0].reference: expected statistics.json or "),
        (
            {"kind": "bias", "facets": [{"header": "x-region", "values": ["south"]}]},
            "monitors[0].facets: x-region is not kept with captures, expected it in capture.headers",
        ),
        ({"kind": "attribution", "reference": "gone"}, "monitors[0].reference: "),
    ],
)
def test_monitors_that_cannot_work_so_are_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monitor: dict[str, object], fault: str
) -> None:
    path, state = tmp_path / "sidecar.yaml", tmp_path / "state"
    document = {"upstream": "http://model:8081", "model": {"task": "binary"}, "state": str(state)}
    path.write_text(json.dumps({**document, "monitors": [monitor]}))

    assert main(["check", "--config", str(path)]) == 64
    assert capsys.readouterr().err.startswith(fault)
    assert not state.exists()


def test_nothing_is_written(tmp_path: Path) -> None:
    state = tmp_path / "state"
    assert main(["check", "--upstream", "http://model:8081", "--state", str(state)]) == 0
    assert not state.exists()


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
