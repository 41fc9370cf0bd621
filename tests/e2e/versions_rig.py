"""Versions of one real model on servers of their own, clients that ask for predictions and learn what was true.

The rows are those of the demo's model that no version has seen: 228 tumours, each benign or not.
"""

import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import cached_property
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from typing import NamedTuple

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
from sidecar.records import JSON
from tests.e2e.rig import PATIENCE_S, Process, Sidecar, environment, free_address, missing, running, until, written
from tests.e2e.versions_server import FAULT, MODEL

ROOT = Path(__file__).parents[2]
CLIENTS = 4
USER = "x-user"
LABELS = 200
"""In one request."""

CHAMPION, CHALLENGER = "champion", "challenger"


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
        return self._answers[0][row] != self._answers[1][row]

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
    files = [folder / name / "model.joblib" for name in ("good", "poor")]
    return Data(*files, tuple(table.columns), asked.to_numpy().tolist(), asked_truths.to_list())


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
        # One row is no work for several threads.
        variables = environment(OMP_NUM_THREADS="1", OPENBLAS_NUM_THREADS="1")
        self._process = Process([*module, self._file, self._version, "--port", str(self._port)], variables, ROOT)

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
    address = free_address()
    write_settings(file.parent, NAME, int(address.rpartition(":")[2]))
    script = "import sys; from mlserver.cli import main; sys.argv = ['mlserver', 'start', '.']; main()"

    def look() -> bool:
        if process.process.poll() is not None and "No module named 'mlserver'" in process.said:
            missing("mlserver")
        assert process.process.poll() is None, process.said
        with suppress(requests.ConnectionError):
            return requests.get(f"http://{address}{MODEL}/ready", timeout=PATIENCE_S).ok
        return False

    def ready() -> str:
        until(look)
        return f"http://{address}"

    with running([sys.executable, "-c", script], environment(OMP_NUM_THREADS="1"), file.parent) as process:
        yield ready


class Answer(NamedTuple):
    """What a client got.

    Args:
        begun_s: On the monotonic clock, as `ended_s`.
        user: Who asked.
        row: Index of the row that was asked about; -1 where it was about the model itself.
        status: 0 where there was no whole reply.
        variant: Who answered, as the reply says.
        version: Likewise.
        request_id: Of the client's choice.
        said: The reply's body, or what went wrong.
    """

    begun_s: float
    ended_s: float
    user: str
    row: int
    status: int
    variant: str
    version: str
    request_id: str
    said: bytes


@dataclass
class Client:
    """One connection to a sidecar, opened again only where it broke: nothing is sent twice unseen.

    Args:
        name: Unlike all others': request ids are made of it.
        users: On whose behalf it asks, in turn.
    """

    data: Data
    name: str
    users: int
    answers: list[Answer] = field(default_factory=list)
    address: str = ""
    _connection: HTTPConnection | None = None
    _learned: int = 0

    def ask(self) -> Answer:
        """One prediction."""
        number = len(self.answers)
        row = number % len(self.data.rows)
        return self._exchange("POST", f"{MODEL}/infer", row, self.data.bodies[row])

    def look(self) -> Answer:
        """One question that may be sent twice."""
        return self._exchange("GET", MODEL, -1, None)

    def _exchange(self, method: str, path: str, row: int, sent: bytes | None) -> Answer:
        number = len(self.answers)
        user, request_id = f"{self.name}-{number % self.users}", f"{self.name}-{number}"
        headers = {"x-request-id": request_id, USER: user, "Content-Type": "application/json"}
        begun_s, status, lines, said = time.monotonic(), 0, {}, b""
        try:
            if self._connection is None:
                self._connection = HTTPConnection(self.address, timeout=PATIENCE_S)
            self._connection.request(method, path, sent, headers)
            reply = self._connection.getresponse()
            said, status, lines = reply.read(), reply.status, dict(reply.getheaders())
        except (HTTPException, OSError) as error:
            said, status = repr(error).encode(), 0
            self.close()
        variant, version = lines.get("x-sidecar-variant", ""), lines.get("x-sidecar-version", "")
        answer = Answer(begun_s, time.monotonic(), user, row, status, variant, version, request_id, said)
        self.answers.append(answer)
        return answer

    def learn(self) -> list[JSON]:
        """What was true, of each prediction that it was not told of before."""
        start, self._learned = self._learned, len(self.answers)
        return [
            {"id": each.request_id, "label": self.data.truths[each.row]}
            for each in self.answers[start : self._learned]
            if each.row >= 0 and each.status == 200
        ]

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None


class Clients:
    """Several clients at work, and what became of every one of their requests.

    Args:
        users: Of each client.
    """

    def __init__(self, data: Data, users: int = 10_000, names: Sequence[str] = "abcd") -> None:
        self._clients = [Client(data, name, users) for name in names]

    @property
    def answers(self) -> list[Answer]:
        """In the order in which they were asked for, of each user's at least."""
        return sorted((answer for each in self._clients for answer in list(each.answers)), key=lambda a: a.begun_s)

    @property
    def statuses(self) -> dict[int, int]:
        return dict(Counter(answer.status for answer in self.answers))

    @property
    def served(self) -> set[tuple[str, str]]:
        """Variants and versions that have answered."""
        return {(answer.variant, answer.version) for answer in self.answers}

    def since(self, moment_s: float) -> list[Answer]:
        """The answers to what was asked for later than that."""
        return [answer for answer in self.answers if answer.begun_s > moment_s]

    @contextmanager
    def asking(self, found: Sidecar, act: Callable[[Client], object] = Client.ask) -> Iterator[None]:
        """All ask, one request after the other, meanwhile."""
        over = threading.Event()

        def work(client: Client) -> None:
            client.address = found.address
            while not over.is_set():
                act(client)
            client.close()

        threads = [threading.Thread(target=work, args=[each], daemon=True) for each in self._clients]
        for each in threads:
            each.start()
        try:
            yield
        finally:
            over.set()
            for each in threads:
                each.join(PATIENCE_S)
        assert not any(each.is_alive() for each in threads)

    def ask(self, found: Sidecar, requests_each: int, act: Callable[[Client], Answer] = Client.ask) -> list[Answer]:
        """So many requests of each client, one client after the other."""
        made = []
        for client in self._clients:
            client.address = found.address
            made += [act(client) for _ in range(requests_each)]
            client.close()
        return made

    def label(self, found: Sidecar) -> None:
        """Tell what was true, of all predictions that nothing was told of yet."""
        labels = [label for client in self._clients for label in client.learn()]
        for start in range(0, len(labels), LABELS):
            part = labels[start : start + LABELS]
            reply = requests.post(f"http://{found.admin}/v1/labels", json=part, timeout=PATIENCE_S)
            assert reply.status_code == 200, reply.text

    def until(self, found: Sidecar, phase: str) -> float:
        """Learn what is true until the rollout is there; when it was seen to be, on the monotonic clock."""

        def look() -> bool:
            self.label(found)
            return told(found)["phase"] == phase

        until(look)
        return time.monotonic()


def settings(
    folder: Path, champion: str, challenger: str, weights: tuple[float, float] = (100, 0), **more: JSON
) -> Path:
    """A configuration with these variants, versions 1 and 2."""
    document = {
        "state": str(folder / "state"),
        "variants": {
            CHAMPION: {"url": champion, "version": "1", "weight": weights[0]},
            CHALLENGER: {"url": challenger, "version": "2", "weight": weights[1]},
        },
        "capture": {"sample_ratio": 1.0},
        "model": {"task": "binary", "prediction": "predict"},
        "monitors": [{"kind": "quality"}],
        **more,
    }
    return written(folder / "sidecar.yaml", document)


def plan(*guardrails: JSON, **more: JSON) -> JSON:
    """A rollout in short steps."""
    steps = {"steps": [20, 40, 60], "pause_s": 1, "min_rows": 40, "guardrails": list(guardrails)}
    return {"champion": CHAMPION, "challenger": CHALLENGER, **steps, **more}


def routes(found: Sidecar) -> JSON:
    """Who serves whom."""
    return found.ask("/v1/routes").json()


def told(found: Sidecar) -> JSON:
    """How far the rollout is."""
    return routes(found)["rollout"]


def changes(found: Sidecar) -> list[JSON]:
    """What was changed, the first first."""
    return found.ask("/v1/routes/changes?limit=1000").json()["changes"][::-1]
