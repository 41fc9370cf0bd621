"""Versions of one real model, and the servers that they stand behind.

The rows are those of the demo's model that no version has seen: 228 tumours, each benign or not.
"""

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cached_property
from importlib.util import find_spec
from pathlib import Path

import joblib
import numpy as np
import pandas as pd
import requests
from sklearn.datasets import load_breast_cancer
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sidecar.demo.model import KEPT_BACK_RATIO, NAME, SEED, body, write_settings
from tests.e2e.rig import PATIENCE_S, Process, environment, free_address, missing, running, until
from tests.e2e.versions_server import FAULT, MODEL

ROOT = Path(__file__).parents[2]
ONE_THREAD = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
"""One row is no work for several."""


@dataclass(frozen=True, repr=False)
class Data:
    """What versions are trained on, and what they are asked.

    Args:
        good: File of the model that was trained as it should be.
        poor: Of the one whose table of labels had slipped by a row.
        rows: That neither has seen.
        truths: Of these.
    """

    good: Path
    poor: Path
    features: Sequence[str]
    rows: Sequence[Sequence[float]]
    truths: Sequence[int]

    def differs(self, row: int) -> bool:
        """Whether the two answer a row differently."""
        one, other = self._answers
        return one[row] != other[row]

    @cached_property
    def _answers(self) -> list[list[int]]:
        table = pd.DataFrame(self.rows, columns=list(self.features))
        return [joblib.load(file).predict(table).tolist() for file in (self.good, self.poor)]

    @cached_property
    def bodies(self) -> list[bytes]:
        return [body(self.features, row) for row in self.rows]


def train_versions(folder: Path) -> Data:
    """Train two versions of one model, and leave them in `folder`."""
    table, labels = load_breast_cancer(return_X_y=True, as_frame=True)
    seen, asked, truths, asked_truths = train_test_split(
        table, labels, test_size=KEPT_BACK_RATIO, random_state=SEED, stratify=labels
    )
    shares = []
    for name, told in (("good", truths), ("poor", np.roll(truths, 1))):
        (folder / name).mkdir()
        model = make_pipeline(StandardScaler(), LogisticRegression()).fit(seen, told)
        joblib.dump(model, folder / name / "model.joblib")
        shares.append(model.score(asked, asked_truths))
    assert shares[0] > 0.95
    assert shares[1] < 0.75
    return Data(
        good=folder / "good" / "model.joblib",
        poor=folder / "poor" / "model.joblib",
        features=tuple(table.columns),
        rows=asked.to_numpy().tolist(),
        truths=asked_truths.to_list(),
    )


class Server:
    """A model server that can be killed, started again on its port, and made to fail.

    Args:
        version: That it says it has.
    """

    def __init__(self, file: Path, version: str) -> None:
        self._file = file
        self._version = version
        self._port = 0
        self._process: Process | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._port}"

    def start(self) -> None:
        """Begin to start."""
        module = [sys.executable, "-m", "tests.e2e.versions_server"]
        port = ["--port", str(self._port)]
        self._process = Process([*module, self._file, self._version, *port], environment(**ONE_THREAD), ROOT)

    def ready(self) -> None:
        assert self._process
        self._port = int(self._process.says(r"serving on (\d+)")[1])

    def kill(self) -> None:
        if self._process is not None:
            self._process.kill()

    def revive(self) -> None:
        """Have it serve well again, whatever became of it."""
        if self._process is None or self._process.process.poll() is not None:
            self.start()
            self.ready()
        self.fails()

    def fails(self, **fault: float) -> None:
        """Make it answer so from now on: a status, after `delay_s`, or not at all while it `hangs`; well by default."""
        requests.put(self.url + FAULT, json=fault, timeout=PATIENCE_S).raise_for_status()


@contextmanager
def servers(*versions: tuple[Path, str]) -> Iterator[list[Server]]:
    """Servers of these models and versions."""
    found = [Server(*each) for each in versions]
    try:
        for each in found:
            each.start()
        for each in found:
            each.ready()
        yield found
    finally:
        for each in found:
            each.kill()


@contextmanager
def mlserver(file: Path) -> Iterator[Callable[[], str]]:
    """MLServer with this model; what is given waits until it is ready, and returns its URL."""
    if find_spec("mlserver") is None:
        missing("mlserver")
    address = free_address()
    write_settings(file.parent, NAME, int(address.rpartition(":")[2]))
    script = "import sys; from mlserver.cli import main; sys.argv = ['mlserver', 'start', '.']; main()"

    def look() -> bool:
        assert process.process.poll() is None, process.said
        with suppress(requests.ConnectionError):
            return requests.get(f"http://{address}{MODEL}/ready", timeout=PATIENCE_S).ok
        return False

    def ready() -> str:
        until(look)
        return f"http://{address}"

    with running([sys.executable, "-c", script], environment(**ONE_THREAD), file.parent) as process:
        yield ready
