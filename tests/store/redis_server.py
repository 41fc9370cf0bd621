"""A real redis-server, of the machine, on a Unix socket in a folder of its own: what a sidecar shares with others."""

import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType

from tests.e2e.rig import program

READY = b"eady to accept connections"
PATIENCE_S = 30.0


class RedisServer:
    """Starts a server and ends it; between the two it may be killed, paused, and started again with what it wrote.

    Args:
        options: Of redis-server, as on its command line: `--requirepass`, `secret`.
    """

    def __init__(self, *options: str) -> None:
        # Not pytest's folder: its name may be longer than a socket's may be.
        self.folder = Path(tempfile.mkdtemp(prefix="redis-"))
        self.socket = self.folder / "redis.sock"
        self._options = options
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"unix://{self.socket}"

    def __enter__(self) -> "RedisServer":
        try:
            self.start()
        except BaseException:
            shutil.rmtree(self.folder)
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.kill()
        shutil.rmtree(self.folder)

    def start(self) -> None:
        """Returns when it answers."""
        where = ["--port", "0", "--bind", "127.0.0.1", "--unixsocket", str(self.socket)]
        kept = ["--dir", str(self.folder), "--save", "", "--daemonize", "no"]
        self._process = subprocess.Popen(
            [program("redis-server"), *where, *kept, *self._options], stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        )
        assert self._process.stdout
        said = []
        for line in self._process.stdout:
            said.append(line.decode(errors="replace"))
            if READY in line:
                return
        raise AssertionError("redis-server ended: " + "".join(said))

    def kill(self) -> None:
        """As a power cut would: it writes nothing more."""
        if self._process is not None:
            self._process.kill()
            self._process.wait(PATIENCE_S)
            assert self._process.stdout
            self._process.stdout.close()
            self._process = None

    @contextmanager
    def paused(self) -> Iterator[None]:
        """It takes connections meanwhile, and answers nothing."""
        assert self._process
        self._process.send_signal(signal.SIGSTOP)
        try:
            yield
        finally:
            self._process.send_signal(signal.SIGCONT)
