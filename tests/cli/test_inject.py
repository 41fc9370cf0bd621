import io
from pathlib import Path

import pytest
import yaml

from sidecar.__main__ import main
from sidecar.injection.marks import ASKING
from sidecar.records import JSON
from tests.injection.manifests import pod

IMAGE = ["--image", "sidecar:1"]


@pytest.fixture
def manifest(tmp_path: Path) -> Path:
    """A pod and a Service."""
    file = tmp_path / "pod.yaml"
    file.write_text(yaml.safe_dump_all([pod(), {"kind": "Service", "metadata": {"name": "fraud"}}]))
    return file


def test_a_manifest_comes_out_with_the_sidecar_in_it(manifest: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["inject", "-f", str(manifest), *IMAGE]) == 0

    out, err = capsys.readouterr()
    first, second = yaml.safe_load_all(out)
    assert [each["image"] for each in first["spec"]["initContainers"]] == ["sidecar:1"] * 2
    assert second["kind"] == "Service"
    assert err == "Pod/fraud: injected: transparent, port 8080\n"


def test_it_may_be_written_over_itself_and_then_stays(manifest: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["inject", "-f", str(manifest), "-o", str(manifest), *IMAGE]) == 0
    once = manifest.read_text()
    assert main(["inject", "-f", str(manifest), "-o", str(manifest), *IMAGE]) == 0

    assert manifest.read_text() == once
    assert capsys.readouterr().err.splitlines()[-1] == "Pod/fraud: untouched: injected already"


def test_it_comes_from_standard_input(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(yaml.safe_dump(pod()).encode())))

    assert main(["inject", "-f", "-", *IMAGE]) == 0
    assert "sidecar-redirect" in capsys.readouterr().out


def test_a_pod_that_is_not_understood_passes_as_it_is(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "pod.yaml"
    file.write_text(f"# ours\n{yaml.safe_dump(pod(hostNetwork=True))}")

    assert main(["inject", "-f", str(file), *IMAGE]) == 3
    out, err = capsys.readouterr()
    assert out == file.read_text()
    assert err.startswith("Pod/fraud: refused: it has its node's network")
    assert err.count("hostNetwork") == 1


def test_what_is_to_be_put_in_may_be_chosen(manifest: Path, capsys: pytest.CaptureFixture[str]) -> None:
    wanted = ["--mode", "plain", "--cpu", "1", "--memory", "1Gi", "--memory-limit", "2Gi", "--env", "A=b=c"]

    assert main(["inject", "-f", str(manifest), *IMAGE, *wanted]) == 0
    (only,) = next(yaml.safe_load_all(capsys.readouterr().out))["spec"]["initContainers"]
    assert only["resources"] == {"requests": {"cpu": "1", "memory": "1Gi"}, "limits": {"memory": "2Gi"}}
    assert only["env"][-1] == {"name": "A", "value": "b=c"}


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["-f", "none.yaml", *IMAGE], "none.yaml"),
        (["-f", "{}"], "Missing option '--image'"),
        (["-f", "{}", "--image", " "], "expected an image's name"),
        (["-f", "{}", *IMAGE, "--cpu", "lots"], "expected a quantity of Kubernetes'"),
        (["-f", "{}", *IMAGE, "--memory", "-1"], "expected a quantity of Kubernetes'"),
        (["-f", "{}", *IMAGE, "--memory", "512m"], "expected whole bytes, as in 256Mi, got '512m'"),
        (
            ["-f", "{}", *IMAGE, "--memory", "1Gi", "--memory-limit", "512Mi"],
            "--memory-limit: expected at least --memory, 1Gi, got '512Mi'.",
        ),
        (["-f", "{}", *IMAGE, "--memory-limit", "128Mi"], "expected at least --memory, 256Mi"),
        (["-f", "{}", *IMAGE, "--env", "a"], "expected NAME=VALUE"),
        (["-f", "{}", *IMAGE, "--env", "a-b=c"], "expected the name of a variable"),
        (["-f", "{}", *IMAGE, "--env", "a=1", "--env", "a=2"], "a is said twice"),
    ],
)
def test_what_cannot_be_meant_is_refused(
    arguments: list[str], told: str, manifest: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["inject", *(str(manifest) if each == "{}" else each for each in arguments)]) == 64
    assert told in capsys.readouterr().err


@pytest.mark.parametrize("data", [b"a: [", b"\xff"])
def test_what_is_no_yaml_is_refused_with_the_files_name(
    data: bytes, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "pod.yaml"
    file.write_bytes(data)

    assert main(["inject", "-f", str(file), *IMAGE]) == 64
    out, err = capsys.readouterr()
    assert (out, err.count("\n")) == ("", 1)
    assert err.startswith(f"{file}: ")
    assert "expected " in err


def resources_of(text: str) -> JSON:
    return next(yaml.safe_load_all(text))["spec"]["initContainers"][-1]["resources"]


@pytest.mark.parametrize(("memory", "limit"), [("128Mi", "512Mi"), ("512Mi", "512Mi"), ("1Gi", "1Gi"), ("1e9", "1e9")])
def test_the_limit_is_no_less_than_the_request(
    memory: str, limit: str, manifest: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["inject", "-f", str(manifest), *IMAGE, "--memory", memory]) == 0

    found = resources_of(capsys.readouterr().out)
    assert (found["requests"]["memory"], found["limits"]["memory"]) == (memory, limit)


def test_nothing_of_a_cpu_is_a_quantity(manifest: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["inject", "-f", str(manifest), *IMAGE, "--cpu", "0"]) == 0
    assert resources_of(capsys.readouterr().out)["requests"]["cpu"] == "0"


def test_a_file_without_a_pod_is_told_of(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "service.yaml"
    file.write_text("kind: Service\n")

    assert main(["inject", "-f", str(file), *IMAGE]) == 0
    assert capsys.readouterr() == ("kind: Service\n", f"{file}: no pod in it\n")


def test_of_several_pods_those_that_can_be_are_injected(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "pods.yaml"
    file.write_bytes(yaml.safe_dump_all([pod(), pod(hostNetwork=True)]).replace("\n", "\r\n").encode())

    assert main(["inject", "-f", str(file), "-o", str(file), *IMAGE]) == 3
    assert [line.split(": ")[1] for line in capsys.readouterr().err.splitlines()] == ["injected", "refused"]
    written = file.read_bytes()
    assert written.count(b"\n") == written.count(b"\r\n")
    assert written.count(b"sidecar-redirect") == 1


@pytest.mark.parametrize("command", ["inject", "inject-webhook"])
def test_the_help_has_every_annotation(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([command, "--help"]) == 0

    out = capsys.readouterr().out
    assert [f"  {name} " in out for name in ASKING] == [True] * len(ASKING)
