"""The image's steps, done without Docker: what the Dockerfile copies, runs and starts, in a place of its own.

Left out is what only a container has: packages of the system (the machine's own are used), the user's account (its
number is used), and a root that cannot be written.
"""

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
import requests

from tests.e2e.rig import PATIENCE_S, Sidecar, environment, missing, program, running
from tests.e2e.upstreams import Model

ROOT = Path(__file__).parents[2]

PLACE = "/opt/sidecar"
"""Where the image has the sidecar."""

ABLE = (
    "import ensurepip, os, sys, sysconfig as s, venv; sys.exit(not os.path.exists(s.get_path('include') + '/Python.h'))"
)
"""Whether a Python can make environments, and be compiled against."""


class Step(NamedTuple):
    """An instruction of a Dockerfile."""

    word: str
    text: str

    @property
    def words(self) -> list[str]:
        found: list[str] = json.loads(self.text[self.text.index("[") :])
        return found


def stages() -> list[list[Step]]:
    """The Dockerfile's instructions, from each FROM to the next."""
    text = re.sub(r"(?m)^\s*#.*\n", "", (ROOT / "Dockerfile").read_text(encoding="utf-8"))
    steps = [Step(*line.split(maxsplit=1)) for line in re.sub(r"\\\n\s*", " ", text).splitlines() if line]
    starts = [place for place, step in enumerate(steps) if step.word == "FROM"]
    return [steps[start:end] for start, end in zip(starts, [*starts[1:], None], strict=True)]


def last(word: str) -> Step:
    """The only instruction of its kind in what is shipped."""
    (found,) = [step for step in stages()[-1] if step.word == word]
    return found


def test_every_instruction_is_one_that_the_build_below_knows() -> None:
    build, shipped = stages()
    assert {step.word for step in build} <= {"FROM", "ARG", "WORKDIR", "RUN", "COPY"}
    assert {step.word for step in shipped} <= {
        "FROM", "ARG", "LABEL", "RUN", "COPY", "ENV", "WORKDIR", "USER", "EXPOSE", "VOLUME", "STOPSIGNAL",
        "HEALTHCHECK", "ENTRYPOINT", "CMD",
    }  # fmt: skip
    assert [step.text for step in shipped if step.word == "COPY"] == [f"--from=build {PLACE} {PLACE}"]


def test_the_image_says_what_it_is() -> None:
    labels = dict(re.findall(r'org\.opencontainers\.image\.(\w+)="([^"]*)"', last("LABEL").text))
    assert labels.keys() == {"title", "description", "licenses", "version", "revision", "source"}


def test_nothing_in_it_is_of_one_architecture() -> None:
    text = (ROOT / "Dockerfile").read_text(encoding="utf-8").partition("\nARG")[2]
    assert re.findall(r"amd64|arm64|x86_64|aarch64", text) == []


def test_it_does_not_run_as_root() -> None:
    words = [step.word for step in stages()[-1]]
    assert last("USER").text == "1337:1337"
    assert words.index("USER") < words.index("ENTRYPOINT")


# The build, done once


def commands(text: str) -> str:
    """A RUN without what installs packages of the system."""
    parts = [part.strip() for part in text.split("&&")]
    return " && ".join(part for part in parts if not re.match(r"apt-get |rm -rf /var/lib/apt", part))


def others(command: list[str | Path]) -> list[str | Path]:
    """A command as the image's user; as ourselves where we may not choose."""
    if os.getuid() != 0:
        return command
    return [program("setpriv"), "--reuid=1337", "--regid=1337", "--clear-groups", "--no-new-privs", *command]


def able_python() -> str:
    """A Python that others may run, as an image's."""
    candidates = (found for found in ("/usr/bin/python3", os.path.realpath(sys.executable)) if Path(found).exists())
    for found in candidates:
        if subprocess.run([*others([found]), "-c", ABLE], capture_output=True, check=False).returncode == 0:
            return found
    return missing("a Python with venv and headers that others may run")


@pytest.fixture(scope="module")
def built() -> Iterator[Path]:
    """What is at PLACE after the build."""
    program("gcc")
    # pytest's own folders are nobody else's.
    folder = Path(tempfile.mkdtemp(prefix="sidecar-image-"))
    folder.chmod(0o755)
    try:
        yield build(folder)
    finally:
        shutil.rmtree(folder)


def build(folder: Path) -> Path:
    sources, tools, place = (folder / name for name in ("src", "tools", "sidecar"))
    sources.mkdir()
    tools.mkdir()
    (tools / "python").symlink_to(able_python())
    # The steps are what is tested, not what they make fast: to optimise takes longer than all else.
    (tools / "cc").write_text('#!/bin/sh\nexec gcc "$@" -O0\n', encoding="utf-8")
    (tools / "cc").chmod(0o755)
    path = f"{tools}{os.pathsep}{os.environ['PATH']}"
    for step in stages()[0]:
        if step.word == "COPY":
            copy(step.text.split(), sources)
        elif step.word == "RUN" and (text := commands(step.text).replace(PLACE, str(place))):
            done = subprocess.run(
                ["sh", "-ec", text],
                cwd=sources,
                env=environment(PATH=path, CC="cc"),
                capture_output=True,
                text=True,
                check=False,
            )
            assert done.returncode == 0, f"{text}\n{done.stdout[-4000:]}\n{done.stderr[-4000:]}"
    return place


def copy(names: list[str], sources: Path) -> None:
    """As COPY does it, but for what is no source and what a compiled checkout leaves."""
    *given, target = names
    for name in given:
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, sources / target, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(ROOT / name, sources / target)


@pytest.fixture
def started(built: Path, first: Model) -> Iterator[Sidecar]:
    """The image's program with its arguments, as its user, where nothing can be written."""
    told = dict(pair.split("=", 1) for pair in shlex.split(last("ENV").text))
    path = told.pop("PATH").replace(PLACE, str(built)).replace("$PATH", os.environ["PATH"])
    addresses = {"SIDECAR_LISTEN": "127.0.0.1:0", "SIDECAR_ADMIN": "127.0.0.1:0", "SIDECAR_UPSTREAM": first.url}
    variables = environment(PATH=path, **told, **addresses)
    program_of_image = shutil.which(last("ENTRYPOINT").words[0], path=path)
    assert program_of_image == str(built / "bin" / "sidecar")
    command = others([program_of_image, *last("CMD").words])
    with running(command, variables, Path("/")) as process:
        found = Sidecar(process)
        found.ready()
        yield found
        assert found.stop() == 0, process.said
        assert "Traceback" not in process.said


def test_what_is_built_starts_serves_and_is_healthy(built: Path, started: Sidecar) -> None:
    port = started.admin.rpartition(":")[2]
    words = [word.replace("9901", port) for word in last("HEALTHCHECK").words]
    command: list[str | Path] = [built / "bin" / words[0], *words[1:]]

    assert "9901" in last("HEALTHCHECK").text
    assert requests.post(f"{started.url}/predict", b"{}", timeout=PATIENCE_S).status_code == 200
    assert started.ask("/metrics").status_code == 200
    assert subprocess.run(others(command), cwd="/", check=False).returncode == 0
    elsewhere: list[str | Path] = [str(word).replace(port, "1") for word in command]
    assert subprocess.run(others(elsewhere), cwd="/", capture_output=True, check=False).returncode != 0


def test_what_requests_pass_is_compiled_and_nothing_is_left_behind(built: Path) -> None:
    ask = "import sidecar.proxy.forward as f, sidecar.pipeline as p; print(f.__file__, p.__file__)"
    asked = subprocess.run(
        others([built / "bin" / "python", "-Bc", ask]), cwd="/", capture_output=True, text=True, check=True
    )
    packages = {path.name for path in (next((built / "lib").glob("python3*")) / "site-packages").iterdir()}
    pinned = (built / "requirements.txt").read_text(encoding="utf-8").split()

    assert all(each.endswith(".so") for each in asked.stdout.split())
    assert {"pip", "setuptools", "mypy", "tests"} & packages == set()
    assert all("==" in each for each in pinned)
    assert {each.partition("==")[0] for each in pinned} >= {"numpy", "uvloop", "redis", "grpcio"}


def test_what_is_built_is_small(built: Path) -> None:
    """An image holds it once for each version that a node has."""
    size = sum(path.stat().st_size for path in built.rglob("*") if path.is_file() and not path.is_symlink())
    assert size < 160e6
