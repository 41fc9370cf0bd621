from ipaddress import ip_address
from pathlib import Path

from sidecar.infrastructure.search import RENEW_S, RETRY_S, Found, Search, own_addresses
from sidecar.infrastructure.servers import Process, everybody
from tests.infrastructure.rig import TCP_HEAD, UNIX_HEAD, folder, process, server, tcp_line

OWN = 50
HERE = ("127.0.0.1", 8081)


def machine(tmp_path: Path) -> Path:
    """Process 7 and its child 8 listen at 8081, 9 at a path; 50 is ours."""
    files = {
        "net/tcp": TCP_HEAD + tcp_line("0100007F", 8081, "100") + tcp_line("00000000", 8082, "300"),
        "net/unix": UNIX_HEAD + "0: 00000002 00000000 00010000 0001 01 200 /run/model.sock\n",
    }
    proc = folder(tmp_path / "proc", files)
    process(proc, 1, 0)
    process(proc, 7, 1, sockets=["100"])
    process(proc, 8, 7, sockets=["100"])
    process(proc, 9, 1, sockets=["200"])
    process(proc, OWN, 1)
    return proc


def look(search: Search, proc: Path, now_s: float, place: tuple[str, int] = HERE) -> Found:
    return search.found({"model": place}, everybody(proc), now_s)["model"]


def test_servers_are_found_by_address_and_by_path(tmp_path: Path) -> None:
    proc = machine(tmp_path)
    places = {
        "tcp": HERE,
        "unix": ("/run/model.sock", 0),
        "unheld": ("localhost", 8082),
        "silent": ("127.0.0.1", 9999),
        "remote": ("model.default.svc", 80),
    }
    found = Search(proc, OWN).found(places, everybody(proc), 5.0)
    assert {name: (each.server, each.reason) for name, each in found.items()} == {
        "tcp": ((Process(7, 7),), ""),
        "unix": ((Process(9, 9),), ""),
        "unheld": ((), "not_found"),
        "silent": ((), "not_found"),
        "remote": ((), "elsewhere"),
    }


def test_a_server_that_vanishes_is_looked_for_again_but_not_all_the_time(tmp_path: Path) -> None:
    proc = machine(tmp_path)
    search = Search(proc, OWN)
    assert look(search, proc, 0.0).server == (Process(7, 7),)
    (proc / "7" / "stat").unlink()
    assert look(search, proc, 1.0) == Found(HERE, (), "not_found", 0.0)
    process(proc, 70, 1, sockets=["100"])
    assert look(search, proc, RETRY_S - 1.0).server == ()
    # The one that was a child of the former is there as well.
    assert look(search, proc, RETRY_S).server == (Process(8, 8), Process(70, 70))


def test_a_server_that_lives_is_looked_for_only_now_and_then(tmp_path: Path) -> None:
    proc = machine(tmp_path)
    search = Search(proc, OWN)
    look(search, proc, 0.0)
    process(proc, 6, 1, sockets=["100"])
    assert look(search, proc, RENEW_S - 1.0).server == (Process(7, 7),)
    assert look(search, proc, RENEW_S).server == (Process(6, 6), Process(7, 7))


def test_another_address_is_looked_at_at_once(tmp_path: Path) -> None:
    proc = machine(tmp_path)
    search = Search(proc, OWN)
    look(search, proc, 0.0)
    assert look(search, proc, 0.0, ("/run/model.sock", 0)).server == (Process(9, 9),)


def test_variants_that_are_gone_are_forgotten(tmp_path: Path) -> None:
    proc = machine(tmp_path)
    search = Search(proc, OWN)
    look(search, proc, 0.0)
    assert search.found({}, everybody(proc), 0.0) == {}


def test_a_real_server_and_its_workers_are_found() -> None:
    proc = Path("/proc")
    with server(workers=2) as (pid, port):
        found = look(Search(proc, OWN), proc, 0.0, ("127.0.0.1", int(port)))
    assert [each.pid for each in found.server] == [pid]


def test_our_own_addresses_are_known() -> None:
    assert ip_address("127.0.0.1") in own_addresses()
