"""Clients at work: many requests at once, each of whose replies is looked at."""

import json
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from threading import Event, local

import requests

from tests.e2e.rig import PATIENCE_S
from tests.e2e.upstreams import PREDICT

CLIENTS = 8
REQUESTS = 400


def predict(session: requests.Session, url: str, number: int) -> None:
    """One request, and whether its reply is right."""
    rows = [[number, step] for step in range(number % 7)]
    reply = session.post(url + PREDICT, json={"instances": rows}, timeout=PATIENCE_S)
    assert reply.status_code == 200, reply.text
    assert reply.json()["predictions"] == [number + step for step in range(number % 7)]


def predict_many(url: str, count: int = REQUESTS) -> None:
    """So many requests from several clients with a connection each; every reply is right."""
    own = local()

    def one(number: int) -> None:
        if not hasattr(own, "session"):
            own.session = requests.Session()
            sessions.append(own.session)
        predict(own.session, url, number)

    sessions: list[requests.Session] = []
    try:
        with ThreadPoolExecutor(CLIENTS) as pool:
            for _ in pool.map(one, range(count)):
                pass
    finally:
        for session in sessions:
            session.close()


@contextmanager
def predicting(url: str) -> Iterator[None]:
    """Requests go on meanwhile from several clients; every reply is right, and each client got some."""

    def client() -> int:
        number = 0
        with requests.Session() as session:
            while not over.is_set() or not number:
                predict(session, url, number)
                number += 1
        return number

    over = Event()
    with ThreadPoolExecutor(CLIENTS) as pool:
        clients: list[Future[int]] = [pool.submit(client) for _ in range(CLIENTS)]
        try:
            yield
        finally:
            over.set()
    assert all(each.result() for each in clients)


def nested(depth: int) -> bytes:
    return b'{"instances": ' + b"[" * depth + b"]" * depth + b"}"


def table(rows: int) -> bytes:
    """A request of so many rows of eight numbers."""
    row = json.dumps([0.123456789] * 8)
    return f'{{"instances": [{", ".join([row] * rows)}]}}'.encode()
