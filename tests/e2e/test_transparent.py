"""A pod whose model server knows nothing of the sidecar, in a network of its own; its clients are in another."""

import http.client
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Event

import pytest

from sidecar.records import JSON
from tests.e2e.namespaces import Namespace, Pod, Wires, sidecar_command, wires
from tests.e2e.rig import PATIENCE_S, Process, Sidecar, environment, missing, program, running, sidecar, until
from tests.e2e.upstreams import PREDICT
from tests.injection.manifests import injected, sidecar_of
from tests.injection.manifests import pod as plain_pod

PORT, TO = 8080, 15006
MODEL_UID, SIDECAR_UID, OTHER_UID = 1000, 1337, 1001
CLIENTS = 4

Reply = tuple[int, list[tuple[str, str]], bytes]

# Nothing added: what the model server says is what the client gets, to the byte.
SILENT = ["--headers-request-id", "false", "--headers-server-timing", "false", "--headers-variant", "false"]

REQUESTS = [
    b"GET /plain HTTP/1.1\r\nHost: model\r\n\r\n",
    b"DELETE /a%2Fb?c=d HTTP/1.1\r\nHost: model\r\n\r\n",
    b"POST " + PREDICT.encode() + b' HTTP/1.1\r\nHost: model\r\nContent-Length: 23\r\n\r\n{"instances": [[1, 2]]}',
    b"PUT /large HTTP/1.1\r\nHost: model\r\nContent-Length: 1048576\r\n\r\n" + bytes(1 << 20),
]


@pytest.fixture
def network() -> Iterator[Wires]:
    for name in ("iptables", "ip6tables", "setpriv"):
        program(name)
    with wires() as found:
        yield found


@pytest.fixture
def volume() -> Iterator[str]:
    """A folder as an emptyDir is: everybody may write there. (Those of pytest are their owner's.)"""
    with TemporaryDirectory() as folder:
        Path(folder).chmod(0o777)
        yield folder


@contextmanager
def model_server(pod: Pod, name: str = "first") -> Iterator[Process]:
    """One that listens on its port of every address."""
    command = [*sidecar_command(pod, MODEL_UID), sys.executable, "-m", "tests.e2e.pod_server", name, str(PORT)]
    with running(command, environment(PYTHONUNBUFFERED="1")) as process:
        process.says("Running on")
        yield process


@contextmanager
def beside(pod: Pod, *arguments: str) -> Iterator[Sidecar]:
    """A sidecar beside the model server, started as an injected one is."""
    flags = ["--listen", f"[::]:{TO}", "--admin", "127.0.0.1:9901", "--upstream", f"http://127.0.0.1:{PORT}"]
    with sidecar(*flags, *arguments, command=sidecar_command(pod, SIDECAR_UID)) as found:
        pod.network.here(found.ready)
        yield found


def redirect(pod: Pod, *arguments: str) -> str:
    return pod.network.run(*redirect_command(*arguments))


def redirect_command(*arguments: str) -> list[str]:
    given = arguments or ("--port", str(PORT), "--to", str(TO), "--uid", str(SIDECAR_UID))
    # What the init container has: root's user with these capabilities.
    added = injected(plain_pod())["spec"]["initContainers"][0]["securityContext"]["capabilities"]["add"]
    kept = ",".join(["-all", *(f"+{each.lower()}" for each in added)])
    as_root = [program("setpriv"), "--bounding-set", kept, "--inh-caps", "-all"]
    return [*as_root, sys.executable, "-m", "sidecar", "redirect", *given]


def rules(pod: Pod) -> str:
    """All that is in the way of packets, without the times of day in its comments."""
    saved = pod.network.run("iptables-save") + pod.network.run("ip6tables-save")
    return "\n".join(line for line in saved.splitlines() if not line.startswith("#"))


def seen(pod: Pod, running: Sidecar) -> int:
    """Requests that the sidecar has answered."""
    return int(pod.network.here(lambda: running.told("variants", 0, "requests")))


def ask(address: str, request: bytes) -> Reply:
    """The reply: its status, its fields but for the date, its body."""
    with socket.create_connection((address, PORT), PATIENCE_S) as connection:
        connection.sendall(request)
        reply = http.client.HTTPResponse(connection)
        reply.begin()
        return reply.status, [field for field in reply.getheaders() if field[0] != "Date"], reply.read()


def answers(network: Namespace, address: str) -> list[Reply]:
    return [network.here(partial(ask, address, request)) for request in REQUESTS]


@pytest.mark.parametrize("family", [0, 1], ids=["ipv4", "ipv6"])
def test_with_the_redirect_every_request_passes_the_sidecar_and_nobody_can_tell(network: Wires, family: int) -> None:
    pod = network.pod()
    with model_server(pod), beside(pod, *SILENT) as running:
        ask_all = partial(answers, network.clients, pod.addresses[family])
        before, untouched = ask_all(), seen(pod, running)
        redirect(pod)
        redirected, passed = ask_all(), seen(pod, running)
        redirect(pod, "--remove")
        after, no_more = ask_all(), seen(pod, running)

    assert [status for status, _, _ in before] == [200] * len(REQUESTS)
    assert redirected == before == after
    # Its own connections to the model server have not come back to it: each request is seen once.
    assert (untouched, passed, no_more) == (0, len(REQUESTS), len(REQUESTS))


@pytest.mark.parametrize("address", ["127.0.0.1", "::1", "10.77.1.2", "fd77:1::2"])
def test_a_client_within_the_pod_passes_it_too(network: Wires, address: str) -> None:
    pod = network.pod()
    with model_server(pod), beside(pod, *SILENT) as running:
        before = answers(pod.network, address)
        redirect(pod)
        assert answers(pod.network, address) == before
        assert seen(pod, running) == len(REQUESTS)


def test_who_is_not_the_sidecar_and_who_is(network: Wires) -> None:
    pod = network.pod()
    fetch = [program("curl"), "--silent", "--fail", f"http://127.0.0.1:{PORT}/"]
    with model_server(pod), beside(pod) as running:
        redirect(pod)
        as_other = pod.network.run("setpriv", "--reuid", str(OTHER_UID), "--clear-groups", *fetch)
        counted = seen(pod, running)
        as_sidecar = pod.network.run("setpriv", "--reuid", str(SIDECAR_UID), "--clear-groups", *fetch)

        assert (counted, seen(pod, running)) == (1, 1)
    assert json.loads(as_other)["model"] == json.loads(as_sidecar)["model"] == "first"


def test_what_injection_puts_in_starts_answers_its_probes_and_ends_by_its_hook(network: Wires, volume: str) -> None:
    pod = network.pod()
    container = sidecar_of(injected(plain_pod()))
    arguments = [each.replace("/var/lib/sidecar", volume) for each in container["args"]]

    def run(command: Sequence[str]) -> int:
        found = [*sidecar_command(pod, SIDECAR_UID), sys.executable, *command[1:]]
        return subprocess.run(found, capture_output=True, check=False).returncode

    redirect(pod, *plain_redirect(plain_pod()))
    own = [*sidecar_command(pod, SIDECAR_UID), sys.executable, "-m", "sidecar", *arguments]
    with running(own, environment()) as process:
        process.says("serving on")
        until(lambda: run(container["startupProbe"]["exec"]["command"]) == 0)
        ready = container["readinessProbe"]["exec"]["command"]
        assert run(ready) == 1
        with model_server(pod):
            until(lambda: run(ready) == 0)
            assert [reply[0] for reply in answers(network.clients, pod.addresses[0])] == [200] * len(REQUESTS)
            assert run(container["livenessProbe"]["exec"]["command"]) == 0
        hook = container["lifecycle"]["preStop"]["exec"]["command"][-1]
        run(["python", "-ISc", hook.replace("(1, ", f"({process.process.pid}, ").replace("sleep(60)", "sleep(0)")])
        assert process.ends() == 0, process.said


def plain_redirect(document: JSON) -> list[str]:
    """What its init container does, without the command's name."""
    found: list[str] = injected(document)["spec"]["initContainers"][0]["args"]
    return found[1:]


def test_rules_are_put_in_once_and_taken_out_whole_and_others_stay(network: Wires) -> None:
    pod = network.pod()
    pod.network.run("iptables", "-t", "nat", "-A", "PREROUTING", "-p", "tcp", "--dport", "9", "-j", "RETURN")
    before = rules(pod)
    redirect(pod)
    once = rules(pod)
    redirect(pod)
    twice = rules(pod)
    redirect(pod, "--port", "8081", "--port", "8082")
    others = rules(pod)
    redirect(pod, "--remove")
    redirect(pod, "--remove")

    assert once == twice != before
    assert "8080" not in others
    assert others.count("--dport 8081") == others.count("--dport 8082") == 4
    # A table that somebody has used stays, empty.
    assert "SIDECAR" not in rules(pod)
    assert [line for line in before.splitlines() if line not in rules(pod)] == []


def test_who_has_come_first_in_the_meantime_is_second_again(network: Wires) -> None:
    pod = network.pod()
    redirect(pod)
    pod.network.run("iptables", "-t", "nat", "-I", "OUTPUT", "1", "-p", "tcp", "-j", "RETURN")
    redirect(pod)

    saved = pod.network.run("iptables-save", "-t", "nat").splitlines()
    assert [line for line in saved if line.startswith("-A OUTPUT")] == [
        "-A OUTPUT -j SIDECAR_LOCAL",
        "-A OUTPUT -p tcp -j RETURN",
    ]


def test_where_the_kernel_has_no_nf_tables_the_older_program_does_it_and_undoes_it(network: Wires, volume: str) -> None:
    pod = network.pod()
    if subprocess.run([*pod.network.command, program("iptables-legacy"), "-t", "nat", "-S"], check=False).returncode:
        missing("what iptables-legacy needs of the kernel")
    with model_server(pod), beside(pod) as running:
        pod.network.run(*without_nf_tables(volume), *redirect_command())
        assert [reply[0] for reply in answers(network.clients, pod.addresses[0])] == [200] * len(REQUESTS)
        assert seen(pod, running) == len(REQUESTS)
        assert "SIDECAR" in pod.network.run("iptables-legacy-save") + pod.network.run("ip6tables-legacy-save")
        # Here with the newer one, which has nothing of ours.
        redirect(pod, "--remove")

    assert "SIDECAR" not in pod.network.run("iptables-legacy-save") + pod.network.run("ip6tables-legacy-save")


def without_nf_tables(folder: str) -> list[str]:
    """What runs a command in such a container as the init container is, where the newer programs fail.

    Args:
        folder: For what stands for them.
    """
    for name in ("iptables-save", "ip6tables-save"):
        file = Path(folder) / name
        file.write_text("#!/bin/sh\necho Protocol not supported >&2; exit 1\n")
        file.chmod(0o755)
    told = injected(plain_pod())["spec"]["initContainers"][0]["env"]
    variables = [f"{each['name']}={each['value']}" for each in told]
    # A root that is read-only, beside memory of the pod's.
    mounts = 'mount -t tmpfs -o ro none /run && mount -t tmpfs none /dev/shm && exec "$@"'
    path = f"PATH={folder}:{os.environ['PATH']}"
    return [program("unshare"), "--mount", "sh", "-c", mounts, "sh", "env", path, *variables]


class Balancer:
    """The pods among which clients choose, one after the other."""

    def __init__(self) -> None:
        self.pods: list[Pod] = []
        self._turn = 0

    def next(self) -> str:
        pods, self._turn = self.pods, self._turn + 1
        return pods[self._turn % len(pods)].addresses[self._turn % 2]

    def client(self, over: Event) -> int:
        """Send requests on connections that are kept until a reply says `close`; none is sent twice."""
        connection: http.client.HTTPConnection | None = None
        sent = 0
        while not over.is_set():
            connection = connection or http.client.HTTPConnection(self.next(), PORT, timeout=PATIENCE_S)
            connection.request("POST", PREDICT, json.dumps({"instances": [[sent]]}))
            reply = connection.getresponse()
            assert (reply.status, json.loads(reply.read())["predictions"]) == (200, [sent])
            sent += 1
            if reply.will_close:
                connection.close()
                connection = None
        if connection:
            connection.close()
        return sent


def test_no_request_fails_over_a_rolling_restart(network: Wires) -> None:
    """The order of Kubernetes, where the model server has a hook that lets it outlast the sidecar's farewell."""
    balancer, over = Balancer(), Event()

    with ExitStack() as parts:

        def pod() -> tuple[Pod, Process, Sidecar]:
            found = network.pod()
            redirect(found)
            model = parts.enter_context(model_server(found, f"pod {found.addresses[0]}"))
            return found, model, parts.enter_context(beside(found))

        old = [pod(), pod()]
        balancer.pods = [each[0] for each in old]
        clients = [network.clients.start(partial(balancer.client, over)) for _ in range(CLIENTS)]
        try:
            for place, (_, model, running) in enumerate(old):
                fresh = pod()
                balancer.pods = [*balancer.pods[:place], fresh[0], *balancer.pods[place + 1 :]]
                running.process.send(signal.SIGTERM)
                assert running.process.ends() == 0
                model.send(signal.SIGTERM)
                model.ends()
        finally:
            over.set()
        counts = [client.result(PATIENCE_S) for client in clients]

    assert min(counts) > 10


def test_what_is_in_flight_is_answered_when_both_are_stopped_at_once(network: Wires) -> None:
    pod = network.pod()
    redirect(pod)
    with model_server(pod) as model, beside(pod) as running:

        def slow() -> JSON:
            connection = http.client.HTTPConnection(pod.addresses[0], PORT, timeout=PATIENCE_S)
            connection.request("GET", "/wait")
            with closing(connection):
                reply = connection.getresponse()
                return reply.status, reply.read()

        waiting = [network.clients.start(slow) for _ in range(CLIENTS)]
        model.says(rf"(waiting\s+){{{CLIENTS}}}")
        model.send(signal.SIGTERM)
        running.process.send(signal.SIGTERM)
        replies = [each.result(PATIENCE_S) for each in waiting]
        assert running.process.ends() == 0

    assert replies == [(200, b"late")] * CLIENTS


def test_the_model_server_learns_its_clients_address_if_that_is_wanted(network: Wires) -> None:
    pod = network.pod()
    redirect(pod)
    with model_server(pod), beside(pod, "--headers-forwarded-for", "true"):
        told = [_forwarded_for(network.clients, address) for address in pod.addresses]

    assert told == [["10.77.1.1"], ["fd77:1::1"]]


def _forwarded_for(network: Namespace, address: str) -> list[str]:
    _, _, body = network.here(partial(ask, address, REQUESTS[0]))
    return [value for name, value in json.loads(body)["headers"] if name.lower() == "x-forwarded-for"]
