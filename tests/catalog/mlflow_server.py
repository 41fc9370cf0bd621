"""A real MLflow server with its SQLite store, and MLflow's own client to look at it with: both processes of a Python
that has MLflow, which is this one, or the one that MLFLOW_PYTHON names.
"""

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType

from sidecar.records import JSON
from tests.e2e.rig import LOOK_S, environment, free_address, missing

PATIENCE_S = 120.0
IN_MEMORY = Path("/dev/shm")
"""What is asked of a database many times is not asked of the disk."""

# Reads one expression of Python a line, and answers what it is in JSON.
CLIENT = """
import json, sys, uuid
import mlflow
from mlflow.tracking import MlflowClient

client = MlflowClient()

def texts(entities):
    return {each.key: each.value for each in entities}

def train(group, params, metrics, source):
    '''A run and a version of it, as a training job that knows nothing of us makes them.'''
    mlflow.set_experiment(group)
    with mlflow.start_run(run_name="theirs") as run:
        mlflow.log_params(params)
        mlflow.log_metrics(metrics)
        data = mlflow.data.from_numpy(__import__("numpy").zeros((2, 2)), source="s3://data/theirs", name="july")
        mlflow.log_input(data, context="training")
    if not client.search_registered_models(f"name = '{group}'"):
        client.create_registered_model(group)
    version = client.create_model_version(group, source, run.info.run_id, description="by a client")
    return [version.version, run.info.run_id, data.digest]

def wipe():
    for model in client.search_registered_models(max_results=1000):
        client.delete_registered_model(model.name)
    for experiment in client.search_experiments(max_results=1000):
        if experiment.experiment_id != "0":
            client.rename_experiment(experiment.experiment_id, uuid.uuid4().hex)
            client.delete_experiment(experiment.experiment_id)

for line in sys.stdin:
    print("answer: " + json.dumps(eval(line)), flush=True)
"""
ANSWER = "answer: "


def python() -> str:
    """The one that has MLflow."""
    named = os.environ.get("MLFLOW_PYTHON") or sys.executable
    looked = subprocess.run(
        [named, "-c", "import importlib.util as u; print(u.find_spec('mlflow'), u.find_spec('sqlalchemy'))"],
        capture_output=True,
        text=True,
        check=False,
    )
    if looked.returncode or "None" in looked.stdout:
        missing("mlflow")
    return named


class MlflowServer:
    """Starts both and ends them; the server may be paused meanwhile, and started again with what it has."""

    def __init__(self) -> None:
        self.python = python()
        self.folder = Path(tempfile.mkdtemp(prefix="mlflow-", dir=IN_MEMORY if IN_MEMORY.is_dir() else None))
        self.address = free_address()
        self._server: subprocess.Popen[bytes] | None = None
        self._client: subprocess.Popen[str] | None = None

    @property
    def uri(self) -> str:
        return f"http://{self.address}"

    @property
    def variables(self) -> dict[str, str]:
        """Nobody is told, and nobody else is asked."""
        quiet = {"MLFLOW_DISABLE_TELEMETRY": "true", "DO_NOT_TRACK": "true", "GIT_PYTHON_REFRESH": "quiet"}
        return environment(MLFLOW_TRACKING_URI=self.uri, HOME=str(self.folder), **quiet)

    def __enter__(self) -> "MlflowServer":
        try:
            self.start()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def start(self) -> None:
        """Returns when it answers."""
        host, _, port = self.address.rpartition(":")
        store = ["--backend-store-uri", "sqlite:///mlflow.db", "--artifacts-destination", "artefacts"]
        command = [self.python, "-m", "mlflow", "server", *store, "--host", host, "--port", port, "--workers", "1"]
        with (self.folder / "log").open("ab") as log:
            self._server = subprocess.Popen(
                command,
                cwd=self.folder,
                env=self.variables,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,  # it starts others
            )
        deadline_s = time.monotonic() + PATIENCE_S
        while not self._answers():
            assert time.monotonic() < deadline_s, (self.folder / "log").read_text()
            threading.Event().wait(LOOK_S)

    def _answers(self) -> bool:
        assert self._server
        assert self._server.poll() is None, (self.folder / "log").read_text()
        try:
            with urllib.request.urlopen(f"{self.uri}/health", timeout=1.0) as reply:
                return bool(reply.status == 200)
        except OSError:
            return False

    def say(self, expression: str) -> JSON:
        """What MLflow's own client says: the value of an expression over `client` and what CLIENT defines."""
        client = self._client = self._client or self._started()
        assert client.stdin
        client.stdin.write(" ".join(expression.split()) + "\n")
        client.stdin.flush()
        return self._answer(client)

    def _started(self) -> subprocess.Popen[str]:
        with (self.folder / "client").open("wb") as log:
            return subprocess.Popen(
                [self.python, "-W", "ignore", "-c", CLIENT],
                env=self.variables,
                cwd=self.folder,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
            )

    def _answer(self, client: subprocess.Popen[str]) -> JSON:
        assert client.stdout
        for line in client.stdout:
            if line.startswith(ANSWER):  # its own messages come between
                answer: JSON = json.loads(line.removeprefix(ANSWER))
                return answer
        raise AssertionError((self.folder / "client").read_text())

    def wipe(self) -> None:
        """Take everything out."""
        self.say("wipe()")

    @contextmanager
    def paused(self) -> Iterator[None]:
        """It takes connections meanwhile, and answers nothing."""
        assert self._server
        os.killpg(self._server.pid, signal.SIGSTOP)
        try:
            yield
        finally:
            os.killpg(self._server.pid, signal.SIGCONT)

    def close(self) -> None:
        """End both."""
        if self._client is not None:
            self._client.kill()
            self._client.communicate(timeout=PATIENCE_S)
        if self._server is not None:
            os.killpg(self._server.pid, signal.SIGKILL)
            self._server.wait(PATIENCE_S)
        shutil.rmtree(self.folder, ignore_errors=True)
