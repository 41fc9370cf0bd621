import signal
import stat
from pathlib import Path

import httpx
import pytest

from tests.e2e.rig import PATIENCE_S, curl, refused, sidecar
from tests.e2e.upstreams import PREDICT, Model, model


def get(socket: Path, path: str) -> httpx.Response:
    with httpx.Client(transport=httpx.HTTPTransport(uds=str(socket)), timeout=PATIENCE_S) as client:
        return client.get(f"http://m{path}")


@pytest.fixture
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One whose name leaves room: a socket's path has at most 107 bytes."""
    return tmp_path_factory.mktemp("s")


def test_from_unix_socket_to_unix_socket(folder: Path) -> None:
    ours, admin, models = folder / "ours", folder / "admin", folder / "model"

    with (
        model(path=models) as behind,
        sidecar("--upstream", behind.url, "--listen", f"unix:{ours}", "--admin", f"unix:{admin}") as running,
    ):
        assert running.address == str(ours)
        assert stat.S_ISSOCK(ours.stat().st_mode)
        reply = get(ours, "/x")
        ready = get(admin, "/readyz")
        said = curl("--unix-socket", ours, f"http://m{PREDICT}", "--data", '{"instances": [[1, 2]]}')
        status = get(admin, "/v1/status").json()

    assert reply.json().items() >= {"model": "first", "target": "/x"}.items()
    assert ready.status_code == 200
    assert b'"predictions": [3]' in said
    assert status["variants"][0]["requests"] == 2


def test_a_socket_left_by_a_killed_process_is_taken_over(folder: Path, first: Model) -> None:
    ours = folder / "ours"
    with sidecar("--upstream", first.url, "--listen", f"unix:{ours}", code=-signal.SIGKILL) as killed:
        killed.process.send(signal.SIGKILL)
        killed.process.ends()
    assert ours.exists()

    with sidecar("--upstream", first.url, "--listen", f"unix:{ours}"):
        assert get(ours, "/").status_code == 200


def test_a_socket_that_is_served_is_not_taken(folder: Path, first: Model) -> None:
    ours = folder / "ours"

    with sidecar("--upstream", first.url, "--listen", f"unix:{ours}"):
        code, lines = refused("--upstream", first.url, "--listen", f"unix:{ours}", "--admin", "127.0.0.1:0")
        assert get(ours, "/").status_code == 200

    assert (code, len(lines)) == (1, 1)
    assert lines[0].lower() == f"cannot start: listen: unix:{ours}: address already in use".lower()
