import os
import socket
from ipaddress import ip_address
from pathlib import Path

import pytest

from sidecar.infrastructure.servers import (
    LOOPBACK,
    MAX_FAMILY,
    Known,
    Process,
    addresses_of,
    alive,
    everybody,
    family,
    holders_of,
    listeners,
    listening,
    listening_unix,
    living,
    server_of,
)
from tests.infrastructure.rig import TCP_HEAD, UNIX_HEAD, folder, listener, process, tcp_line

PROC = Path("/proc")
OWN = 50
HOME = ip_address("127.0.0.1")
OURS = [ip_address("10.0.0.5"), ip_address("fe80::1")]


def parents(**of: int) -> dict[int, Known]:
    """`p7=1`: process 7 is a child of process 1."""
    return {int(name[1:]): Known(parent, int(name[1:])) for name, parent in of.items()}


@pytest.mark.parametrize(
    ("host", "meant"),
    [
        ("127.0.0.1", (HOME,)),
        ("127.9.9.9", (ip_address("127.9.9.9"),)),
        ("localhost", LOOPBACK),
        ("LocalHost", LOOPBACK),
        ("::1", (ip_address("::1"),)),
        ("[::1]", (ip_address("::1"),)),
        ("10.0.0.5", (OURS[0],)),
        ("fe80::1", (OURS[1],)),
        ("0.0.0.0", (ip_address("0.0.0.0"),)),
        ("10.0.0.6", ()),
        ("model.default.svc", ()),
        ("", ()),
    ],
)
def test_only_addresses_of_this_machine_are_looked_at_and_no_name_is_looked_up(
    host: str, meant: tuple[object, ...]
) -> None:
    assert addresses_of(host, OURS) == meant


def test_a_listening_socket_is_found_by_address_and_port(tmp_path: Path) -> None:
    lines = [
        tcp_line("0100007F", 8081, "1"),
        tcp_line("0500000A", 8081, "2"),
        tcp_line("0100007F", 8082, "3"),
        tcp_line("0100007F", 8083, "4", state="01"),
        tcp_line("00000000", 8084, "5"),
    ]
    six = [
        tcp_line("00000000000000000000000001000000", 8085, "6"),
        tcp_line("0000000000000000FFFF00000100007F", 8086, "7"),
        tcp_line("00000000000000000000000000000000", 8087, "8"),
    ]
    proc = folder(tmp_path, {"net/tcp": TCP_HEAD + "".join(lines), "net/tcp6": TCP_HEAD + "".join(six)})
    found = {port: listening(listeners(proc), [HOME], port) for port in range(8081, 8088)}
    assert found == {8081: {"1"}, 8082: {"3"}, 8083: set(), 8084: {"5"}, 8085: set(), 8086: {"7"}, 8087: {"8"}}
    assert listening(listeners(proc), LOOPBACK, 8085) == {"6"}


def test_whoever_is_bound_to_the_very_address_is_meant_before_one_bound_to_any(tmp_path: Path) -> None:
    both = tcp_line("00000000", 80, "any") + tcp_line("0100007F", 80, "own")
    proc = folder(tmp_path, {"net/tcp": TCP_HEAD + both})
    assert listening(listeners(proc), [HOME], 80) == {"own"}


def test_a_unix_socket_is_found_by_its_path_if_it_listens(tmp_path: Path) -> None:
    lines = [
        "0000000065a8cf95: 00000002 00000000 00010000 0001 01 11 /run/model here.sock",
        "0000000065a8cf96: 00000003 00000000 00000000 0001 03 12 /run/model here.sock",
        "0000000065a8cf97: 00000002 00000000 00010000 0001 01 13 /run/other.sock",
        "0000000065a8cf98: 00000003 00000000 00000000 0001 03 14",
    ]
    proc = folder(tmp_path, {"net/unix": UNIX_HEAD + "\n".join(lines) + "\n"})
    assert listening_unix(proc, "/run/model here.sock") == {"11"}
    assert listening_unix(proc, "/run/absent.sock") == set()


def test_without_a_proc_nothing_is_found(tmp_path: Path) -> None:
    absent = tmp_path / "absent"
    assert (listeners(absent), listening_unix(absent, "/x"), everybody(absent)) == ([], set(), {})


def test_everybody_is_known_whatever_their_names_are(tmp_path: Path) -> None:
    process(tmp_path, 1, 0, name="pause")
    process(tmp_path, 12, 1, name=") R 99 (a b")
    folder(tmp_path, {"self/stat": "no process", "13/stat": "", "net/tcp": ""})
    assert everybody(tmp_path) == {1: Known(0, 1), 12: Known(1, 12)}


def test_who_has_ended_and_is_not_waited_for_is_told_from_the_living_and_the_dead_are_gone(tmp_path: Path) -> None:
    for pid, state in enumerate("RSDTtIZXx", 1):
        process(tmp_path, pid, 0, state=state)
    table = everybody(tmp_path)
    assert sorted(table) == [1, 2, 3, 4, 5, 6, 7]
    assert sorted(alive(table)) == [1, 2, 3, 4, 5, 6]
    assert table[7] == Known(0, 7, ended=True)


def test_who_holds_a_socket_is_found_by_open_files(tmp_path: Path) -> None:
    process(tmp_path, 7, 1, sockets=["100", "200"])
    process(tmp_path, 8, 7, sockets=["200"])
    holders = holders_of(tmp_path, {"200", "300"}, [7, 8, 9])
    assert (dict(holders.by_inode), holders.forbidden) == ({"200": {7, 8}, "300": set()}, False)


def test_the_real_kernel_says_that_we_listen() -> None:
    with listener() as own:
        inodes = listening(listeners(PROC), [HOME], own.getsockname()[1])
        holders = holders_of(PROC, inodes, [os.getpid()])
    assert [set(pids) for pids in holders.by_inode.values()] == [{os.getpid()}]


def test_the_real_kernel_says_that_we_listen_at_a_path(tmp_path: Path) -> None:
    path = str(tmp_path / "model.sock")
    with socket.socket(socket.AF_UNIX) as own:
        own.bind(path)
        assert listening_unix(PROC, path) == set()
        own.listen()
        inodes = listening_unix(PROC, path)
        assert set(holders_of(PROC, inodes, [os.getpid()]).by_inode[inodes.pop()]) == {os.getpid()}


def test_of_a_master_and_its_workers_the_master_is_the_server() -> None:
    table = parents(p1=0, p7=1, p8=7, p9=7, p50=1)
    assert server_of({7, 8, 9}, table, OWN) == (Process(7, 7),)
    assert server_of({8, 9}, table, OWN) == (Process(8, 8), Process(9, 9))
    assert server_of({50, 99}, table, OWN) == ()


def test_who_only_passes_the_socket_on_is_not_the_server() -> None:
    table = parents(p1=0, p7=1, p50=1)
    assert server_of({1, 7}, table, OWN) == (Process(7, 7),)
    assert server_of({1}, table, OWN) == (Process(1, 1),)


def test_a_server_is_all_that_descends_from_it_but_never_we() -> None:
    table = parents(p1=0, p7=1, p8=7, p9=8, p10=1, p50=7, p51=50)
    assert family([Process(7, 7)], table, OWN) == [7, 8, 9]
    assert family([Process(8, 8), Process(10, 10), Process(9, 9)], table, OWN) == [8, 10, 9]


def test_a_family_is_bounded_and_a_circle_in_it_ends() -> None:
    many = {pid: Known(1, pid) for pid in range(2, 2000)}
    assert family([Process(1, 1)], {1: Known(0, 1)} | many, 5000) == list(range(1, MAX_FAMILY + 1))
    assert family([Process(2, 2)], parents(p2=3, p3=2), OWN) == [2, 3]
    assert server_of({2, 3}, parents(p2=3, p3=2), OWN) == ()


def test_another_process_of_the_same_number_is_not_the_server() -> None:
    server = (Process(7, 7), Process(8, 8))
    assert living(server, {7: Known(1, 7), 8: Known(1, 999)}) == (Process(7, 7),)
    assert living(server, {}) == ()
