"""Clients that ask versions of a model for predictions, and learn what was true."""

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.client import HTTPConnection, HTTPException
from math import inf
from typing import NamedTuple

import requests

from tests.e2e.rig import PATIENCE_S, Sidecar, until
from tests.e2e.versions_models import Data
from tests.e2e.versions_rig import USER, told
from tests.e2e.versions_server import MODEL

CLIENTS = "abcd"
LABELS = 200
"""In one request."""


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

    def learn(self) -> list[Answer]:
        """The predictions that it got since it was last asked for them."""
        start, self._learned = self._learned, len(self.answers)
        return [each for each in self.answers[start : self._learned] if each.row >= 0 and each.status == 200]

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None


class Clients:
    """Several clients at work, and what became of every one of their requests.

    Args:
        users: Of each client.
    """

    def __init__(self, data: Data, users: int = 10_000, names: Sequence[str] = CLIENTS) -> None:
        self._data = data
        self._clients = [Client(data, name, users) for name in names]

    @property
    def answers(self) -> list[Answer]:
        """In the order in which they were asked for, of each user's at least."""
        return self.since(-inf)

    @property
    def statuses(self) -> dict[int, int]:
        return dict(Counter(answer.status for answer in self.answers))

    @property
    def served(self) -> set[tuple[str, str]]:
        """Variants and versions that have answered."""
        return {(answer.variant, answer.version) for answer in self.answers}

    def since(self, moment_s: float) -> list[Answer]:
        """The answers to what was asked for later than that."""
        later = (each for client in self._clients for each in list(client.answers) if each.begun_s > moment_s)
        return sorted(later, key=lambda each: each.begun_s)

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
        self.tell(found, [answer for client in self._clients for answer in client.learn()])

    def tell(self, found: Sidecar, answers: Sequence[Answer]) -> None:
        """Tell what was true of what these are about."""
        labels = [{"id": each.request_id, "label": self._data.truths[each.row]} for each in answers]
        for start in range(0, len(labels), LABELS):
            part = labels[start : start + LABELS]
            reply = requests.post(f"http://{found.admin}/v1/labels", json=part, timeout=PATIENCE_S)
            assert reply.status_code == 200, reply.text

    def until(self, found: Sidecar, phase: str) -> float:
        """Learn what is true until the rollout is there; when it was seen to be, on the monotonic clock."""

        def look() -> bool:
            self.label(found)
            rollout = told(found)
            assert rollout["phase"] in {phase, "waiting", "stepping"}, rollout
            return bool(rollout["phase"] == phase)

        until(look)
        return time.monotonic()
