"""The sidecar's real admin side, over a real socket, for commands that ask it from the test's own thread."""

import asyncio
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import msgspec

from sidecar.admin.server import application, start
from sidecar.config.schema import Config, Rollout
from sidecar.entries import Change
from tests.admin.rig import LOOPBACK, ROUTED, Sidecar

ROLLED = msgspec.structs.replace(
    ROUTED, state="/nowhere", rollout=Rollout(champion="champion", challenger="challenger", steps=(5, 50))
)
"""The same versions, the one to take the other's place."""


@dataclass
class Served:
    """A sidecar, and where its admin side is."""

    sidecar: Sidecar
    url: str

    @property
    def weights(self) -> dict[str, float]:
        return {name: variant.weight for name, variant in self.sidecar.steering.routes.variants.items()}

    @property
    def revision(self) -> int:
        return self.sidecar.steering.course.revision

    @property
    def change(self) -> Change:
        return self.sidecar.steering.course.change


@contextmanager
def served(
    config: Config = ROUTED, *, token: str | None = None, path: Path | None = None, catalogue: bool = True
) -> Iterator[Served]:
    """A sidecar of its own, asked in a thread of its own.

    Args:
        path: Of a socket in the file system, instead of a port.
        catalogue: Whether it has one.
    """
    bound = socket.create_server((LOOPBACK.host, 0)) if path is None else socket.socket(socket.AF_UNIX)
    if path is not None:
        bound.bind(str(path))
    made = Served(Sidecar(config=config), f"unix:{path}" if path else f"http://127.0.0.1:{bound.getsockname()[1]}")
    if not catalogue:
        made.sidecar.cataloguing = None
    loop, ready, ended = asyncio.new_event_loop(), threading.Event(), asyncio.Event()

    async def serve() -> None:
        runner = await start(application(made.sidecar.view(), token=token, address=LOOPBACK), bound)
        ready.set()
        await ended.wait()
        await runner.cleanup()

    thread = threading.Thread(target=loop.run_until_complete, args=[serve()])
    thread.start()
    try:
        assert ready.wait(timeout=10)
        yield made
    finally:
        loop.call_soon_threadsafe(ended.set)
        thread.join()
        loop.close()
