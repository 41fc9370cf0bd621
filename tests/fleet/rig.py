"""A cluster of one API server and the pods at it, whose waits take no time and are written down."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

import trustme

from sidecar.fleet.configmap import KEY, ConfigMap
from sidecar.fleet.following import Pace
from sidecar.ports import Kept
from sidecar.records import JSON
from tests.kubernetes.api_server import NAMESPACE, ApiServer, api_server
from tests.kubernetes.resources import CONFIGMAPS
from tests.kubernetes.store import Key
from tests.proxy.rig import turn, until

NAME = "fraud-routing"
OBJECT = Key(CONFIGMAPS, NAMESPACE, NAME)


@dataclass
class Waits:
    """What was waited for; each wait is a turn of the loop, and the last of `most` does not end."""

    most: int = 1000
    times_s: list[float] = field(default_factory=list)

    async def __call__(self, wait_s: float) -> None:
        self.times_s.append(wait_s)
        await (asyncio.get_running_loop().create_future() if len(self.times_s) >= self.most else turn())


def object_of(text: str | None, data: Mapping[str, str] | None = None) -> JSON:
    """A ConfigMap as somebody else makes it."""
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": NAME},
        "data": {**(data or {}), **({} if text is None else {KEY: text})},
    }


@dataclass
class Cluster:
    """An API server, and one pod at it."""

    server: ApiServer
    waits: Waits
    pod: ConfigMap

    @property
    def verbs(self) -> list[str]:
        """What was asked, in short."""
        return ["watch" if "watch" in query else f"{method}" for method, _, query in self.server.asked]

    def put(self, text: str | None, **data: str) -> str:
        """Make the ConfigMap as somebody else does, or another one of it; its version."""
        body = object_of(text, data)
        store = self.server.store
        changed = store.update(OBJECT, body) if OBJECT in store.objects else store.create(OBJECT, body)
        version: str = changed["metadata"]["resourceVersion"]
        return version

    @asynccontextmanager
    async def following(self, mark: str | None, watches: int = 1) -> AsyncIterator["asyncio.Task[Kept]"]:
        """One that waits for another mark, once it watches."""
        task = asyncio.get_running_loop().create_task(self.pod.changed(mark))
        try:
            await until(lambda: len(self.server.watches) == watches or task.done())
            yield task
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)


@asynccontextmanager
async def cluster(folder: Path, authority: trustme.CA, pace: Pace | None = None) -> AsyncIterator[Cluster]:
    waits = Waits()
    async with api_server(folder, authority) as server:
        paced = replace(pace or Pace(), clock=lambda: 0.0, chance=lambda: 0.5, wait=waits)
        yield Cluster(server, waits, ConfigMap(paced, name=NAME, api=server.url, credentials=str(folder)))
