import asyncio
import http.server
import json
import os
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path

import pytest
from aiohttp import web

from sidecar.__main__ import main
from sidecar.admin.guard import replies, token_guard
from sidecar.admin.labels import Labels
from sidecar.admin.sessions import Sessions
from sidecar.cli.labels import (
    PAUSES_S,
    Sidecar,
    send,
)
from sidecar.config.addresses import parse_upstream
from sidecar.datasets.labels import MAX_LINE_BYTES, Entry
from sidecar.errors import DeliveryError
from sidecar.records import Label, LabelStatus

STATUSES: dict[str, LabelStatus] = {"w": "waiting", "d": "duplicate", "u": "unknown", "m": "malformed"}


class Shelf:
    """An admin side of its own thread; says what became of a label by the first letter of its id.

    Attributes:
        labels: Taken.
        batches: How many at a time.
        failures: Requests that it will refuse, as if its disk were full.
        wants: Whether there is a monitor that wants labels.
        on_add: Called when labels come.
    """

    def __init__(self, bound: socket.socket, token: str = "") -> None:
        self.labels: list[Label] = []
        self.batches: list[int] = []
        self.failures = 0
        self.wants = True
        self.on_add: Callable[[], None] = lambda: None
        self._posts = Labels()
        self._bound = bound
        self._token = token
        self._loop = asyncio.new_event_loop()
        self._ended = asyncio.Event()
        self._ready = threading.Event()
        self._thread = threading.Thread(target=self._loop.run_until_complete, args=[self._serve()])

    def __enter__(self) -> "Shelf":
        self._thread.start()
        assert self._ready.wait(timeout=10)
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._ended.set)
        self._thread.join()
        self._loop.close()

    @property
    def ids(self) -> list[str]:
        return [label.id for label in self.labels]

    async def add(self, labels: Sequence[Label]) -> list[LabelStatus]:
        if self.failures:
            self.failures -= 1
            raise DeliveryError("the disk is full")
        self.labels += labels
        self.batches.append(len(labels))
        self.on_add()
        return [STATUSES.get(label.id[0], "joined") for label in labels]

    async def _post(self, request: web.Request) -> web.Response:
        return await self._posts.post(request, self.add if self.wants else None)

    async def _serve(self) -> None:
        sessions = Sessions(self._token or None, now_s=time.monotonic, fresh=str)
        guards = [token_guard(sessions)] if self._token else []
        app = web.Application(middlewares=[replies, *guards])
        app.router.add_post("/v1/labels", self._post)
        runner = web.AppRunner(app, access_log=None)
        await runner.setup()
        await web.SockSite(runner, self._bound).start()
        self._ready.set()
        await self._ended.wait()
        await runner.cleanup()


@pytest.fixture
def bound() -> socket.socket:
    return socket.create_server(("127.0.0.1", 0))


@pytest.fixture
def shelf(bound: socket.socket) -> Iterator[Shelf]:
    with Shelf(bound) as made:
        yield made


@pytest.fixture
def to(bound: socket.socket) -> str:
    return f"http://127.0.0.1:{bound.getsockname()[1]}"


def lines(*names: str) -> bytes:
    return b"".join(b'{"id": "%s", "label": 1}\n' % name.encode() for name in names)


def test_a_file_is_sent_and_counted(shelf: Shelf, to: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "labels.jsonl"
    file.write_bytes(lines("a", "w", "d", "b", "u"))

    assert main(["labels", str(file), "--to", to]) == 0

    assert shelf.ids == ["a", "w", "d", "b", "u"]
    assert capsys.readouterr() == ("5 labels: 2 joined, 1 waiting, 1 duplicate, 1 unknown\n", "")


@pytest.mark.parametrize(("batch", "batches"), [("1", [1, 1, 1, 1, 1]), ("2", [2, 2, 1]), ("500", [5])])
def test_labels_are_sent_in_batches(shelf: Shelf, to: str, tmp_path: Path, batch: str, batches: list[int]) -> None:
    file = tmp_path / "labels.jsonl"
    file.write_bytes(b"\n\n" + lines(*"abcde"))

    assert main(["labels", str(file), "--to", to, "--batch", batch]) == 0

    assert shelf.batches == batches


def test_a_folder_is_read_in_the_order_of_its_names(shelf: Shelf, to: str, tmp_path: Path) -> None:
    (tmp_path / "2026" / "01").mkdir(parents=True)
    truth = {"groundTruthData": {"data": "1,0", "encoding": "CSV"}, "eventMetadata": {"eventId": "e"}}
    (tmp_path / "2026" / "01" / "x.jsonl").write_text(json.dumps(truth))
    (tmp_path / "a.csv").write_text("when,id,label\n1,a,0.5\n2,b,cat\n")
    (tmp_path / "b.json").write_text(json.dumps([{"id": "c", "label": 1}, {"id": "d", "label": 2}], indent=1))
    (tmp_path / "c.json").write_bytes(lines("e", "f"))
    (tmp_path / "d.ndjson").write_bytes(lines("g"))
    (tmp_path / "README.md").write_text("no labels")
    (tmp_path / ".part.jsonl").write_text("half")

    assert main(["labels", str(tmp_path), "--to", to]) == 0

    assert shelf.labels == [
        Label("e", (1.0, 0.0)),
        Label("a", (0.5,)),
        Label("b", ("cat",)),
        Label("c", (1,)),
        Label("d", (2,)),
        Label("e", (1,)),
        Label("f", (1,)),
        Label("g", (1,)),
    ]


def test_a_file_of_another_name_is_read_as_lines(shelf: Shelf, to: str, tmp_path: Path) -> None:
    (tmp_path / "truth").write_bytes(lines("a"))

    assert main(["labels", str(tmp_path / "truth"), "--to", to]) == 0

    assert shelf.ids == ["a"]


def test_columns_may_have_other_names(shelf: Shelf, to: str, tmp_path: Path) -> None:
    file = tmp_path / "labels.csv"
    file.write_text('request,note,fraud\na,"two\nlines",1\n')

    assert main(["labels", str(file), "--to", to, "--column-id", "request", "--column-label", "fraud"]) == 0

    assert shelf.labels == [Label("a", (1.0,))]


def test_bad_lines_are_named_and_do_not_hold_back_the_rest(
    shelf: Shelf, to: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("a.jsonl").write_bytes(b'\n{"id": "a", "lable": 1}\n' + lines("a", "m") + b"nonsense\n" + lines("b"))
    Path("b.csv").write_bytes(b"id,label\nc,1\nd\n\xff,1\ne,\nf,1\n")
    Path("c.json").write_text('[{"id": "g", "label": 1}, 3]')
    Path("d.json").write_text("[{]")
    Path("e.csv").write_text("name,label\nx,1\n")
    Path("f.jsonl").write_bytes(b"x" * (MAX_LINE_BYTES + 9) + b"\n" + lines("h"))

    assert main(["labels", *sorted(map(str, Path().iterdir())), "--to", to, "--batch", "3"]) == 1

    told = capsys.readouterr()
    assert shelf.ids == ["a", "m", "b", "c", "f", "g", "h"]
    assert told.out == "16 labels: 6 joined, 10 malformed\n"
    assert [line[:30] for line in sorted(told.err.splitlines())] == [
        "a.jsonl:2: lable: unknown key,",
        "a.jsonl:4: values: 1, expected",
        "a.jsonl:5: invalid literal, ex",
        "b.csv:3: 1 cells, expected 2 a",
        "b.csv:4: 'utf-8' codec can't d",
        "b.csv:5: label: null, expected",
        "c.json[1]: expected an object ",
        "d.json: unexpected character, ",
        "e.csv:1: columns name, label; ",
        "f.jsonl:1: longer than 1048576",
    ]


def test_only_the_first_ten_bad_lines_are_named(
    shelf: Shelf, to: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "labels.jsonl"
    file.write_bytes(b"x\n" * 30)

    assert main(["labels", str(file), "--to", to, "--batch", "20"]) == 1

    told = capsys.readouterr()
    assert (shelf.ids, told.out) == ([], "30 labels: 30 malformed\n")
    assert [line.partition(": ")[0] for line in told.err.splitlines()] == [
        *(f"{file}:{number}" for number in range(1, 11)),
        "20 more malformed",
    ]


def test_lines_come_from_standard_input(shelf: Shelf, to: str, monkeypatch: pytest.MonkeyPatch) -> None:
    reader, writer = os.pipe()
    os.write(writer, lines("a", "b") + b'{"id": "c", "label": 1}')
    os.close(writer)

    with os.fdopen(reader) as stdin:
        monkeypatch.setattr("sys.stdin", stdin)
        assert main(["labels", "-", "--to", to]) == 0

    assert shelf.ids == ["a", "b", "c"]


def test_lines_of_which_none_can_be_read_are_named_each_once(
    shelf: Shelf, to: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "truth"
    file.write_text("id,label\na,1\n")

    assert main(["labels", str(file), "--to", to]) == 1

    assert [line.split(", ")[0] for line in capsys.readouterr().err.splitlines()] == [
        f"{file}:1: unexpected character",
        f"{file}:2: unexpected character",
    ]
    assert shelf.ids == []


def test_nothing_to_send_is_no_fault(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["labels", str(tmp_path)]) == 0

    assert capsys.readouterr() == ("0 labels\n", "")


# Where they go


def test_a_token_is_sent(
    bound: socket.socket, to: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    file, token = tmp_path / "labels.jsonl", tmp_path / "token"
    file.write_bytes(lines("a"))
    token.write_text("s3crét\n")
    with Shelf(bound, "s3crét") as shelf:
        assert main(["labels", str(file), "--to", to]) == 64
        assert main(["labels", str(file), "--to", to, "--token-file", str(token)]) == 0
        monkeypatch.setenv("SIDECAR_ADMIN_TOKEN", "s3crét")
        assert main(["labels", str(file), "--to", to]) == 0

    assert shelf.ids == ["a", "a"]
    assert capsys.readouterr().err.startswith("--token-file: 127.0.0.1:")


def test_the_environment_says_where_the_sidecar_is(
    shelf: Shelf, to: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "labels.jsonl").write_bytes(lines("a"))
    monkeypatch.setenv("SIDECAR_TO", to)

    assert main(["labels", str(tmp_path / "labels.jsonl")]) == 0

    assert shelf.ids == ["a"]


def test_labels_go_over_unix_sockets_too(tmp_path: Path) -> None:
    (tmp_path / "labels.jsonl").write_bytes(lines("a"))
    bound = socket.socket(socket.AF_UNIX)
    bound.bind(str(tmp_path / "s"))
    with Shelf(bound) as shelf:
        assert main(["labels", str(tmp_path / "labels.jsonl"), "--to", f"unix:{tmp_path / 's'}"]) == 0

    assert shelf.ids == ["a"]


def test_a_sidecar_that_wants_no_labels_says_so(
    shelf: Shelf, to: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "labels.jsonl").write_bytes(lines("a"))
    shelf.wants = False

    assert main(["labels", str(tmp_path), "--to", to]) == 64

    told = "409 nothing wants labels: expected a monitor of kind quality or bias"
    assert capsys.readouterr().err == f"--to: {to.removeprefix('http://')}: {told}\n"


class _Other(http.server.BaseHTTPRequestHandler):
    """Something that is no sidecar."""

    def __init__(self, body: bytes, status: int, *rest: object) -> None:
        self.body = body
        self.status = status
        super().__init__(*rest)  # type: ignore[arg-type]  # as the server has it

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(self.status)
        self.end_headers()
        self.wfile.write(self.body)

    def log_message(self, *_: object) -> None:
        pass


@pytest.mark.parametrize("body", [b"", b"hello", b"[]", b"3", b'{"counts": 3}', b'{"error": "x"}', b"\xff"])
def test_what_is_no_sidecar_is_told(body: bytes, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "labels.jsonl").write_bytes(lines("a"))
    with http.server.HTTPServer(("127.0.0.1", 0), partial(_Other, body, 200)) as server:
        thread = threading.Thread(target=server.handle_request)
        thread.start()
        assert main(["labels", str(tmp_path), "--to", f"http://127.0.0.1:{server.server_port}"]) == 64
        thread.join()

    assert capsys.readouterr().err.endswith(": 200 not the answer of a sidecar\n")


def entries(*names: str) -> Iterator[Entry | None]:
    return iter([Entry(name, lines(name)) for name in names])


def test_what_is_not_taken_is_sent_again(shelf: Shelf, to: str, capsys: pytest.CaptureFixture[str]) -> None:
    shelf.failures = 3
    paused: list[float] = []

    assert send(entries("a", "b"), Sidecar(parse_upstream(to), "", pause=paused.append), 1) == 0

    told = capsys.readouterr()
    assert (shelf.ids, told.out) == (["a", "b"], "2 labels: 2 joined\n")
    assert paused == [0.5, 1.0, 2.0]
    assert told.err.splitlines()[0] == (
        f"{to.removeprefix('http://')}: 503 no label was taken: the disk is full; again in 0.5 s"
    )


def test_what_came_too_slowly_is_sent_again(capsys: pytest.CaptureFixture[str]) -> None:
    paused: list[float] = []
    refusal = b'{"error": {"type": "request_timeout", "message": "too slow"}}'
    with http.server.HTTPServer(("127.0.0.1", 0), partial(_Other, refusal, 408)) as server:
        thread = threading.Thread(target=server.serve_forever, args=[0.01])
        thread.start()
        sidecar = Sidecar(parse_upstream(f"http://127.0.0.1:{server.server_port}"), "", pause=paused.append)
        assert send(entries("a"), sidecar, 1) == 69
        server.shutdown()
        thread.join()

    assert paused == list(PAUSES_S)
    assert ": 408 too slow; again in 0.5 s" in capsys.readouterr().err


def test_a_sidecar_that_cannot_be_reached_is_given_up(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    address = f"unix:{tmp_path / 'nobody'}"
    paused: list[float] = []

    code = send(entries("a", "b"), Sidecar(parse_upstream(address), "", pause=paused.append), 5)

    told = capsys.readouterr()
    assert (code, paused, told.out) == (69, list(PAUSES_S), "0 labels\n")
    assert told.err.splitlines()[-1] == (
        f"{address}: [Errno 2] No such file or directory; 2 labels, and those behind them, were not taken"
    )


# What is wrong with a call


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "Missing argument 'SOURCE...'"),
        (["nothing.jsonl"], "Path 'nothing.jsonl' does not exist"),
        (["-", "--follow"], "- is read alone and to its end; expected no other source and no --follow"),
        (["-", "."], "- is read alone and to its end; expected no other source and no --follow"),
        ([".", "--to", "sidecar"], "expected http://host:port, https://host:port or unix:/path"),
        ([".", "--batch", "0"], "0 is not in the range 1<=x<=50000"),
        ([".", "--token-file", "blank"], "--token-file: expected a token in one line"),
        ([".", "--token-file", "two"], "--token-file: expected a token in one line"),
    ],
)
def test_a_wrong_call_is_one_line_and_64(
    arguments: list[str],
    message: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("blank").write_text("\n")
    Path("two").write_text("a\nb\n")

    assert main(["labels", *arguments]) == 64

    out, err = capsys.readouterr()
    assert (out, err.count("\n")) == ("", 1)
    assert message in err


def appending(file: Path, data: bytes) -> Callable[[], None]:
    def act() -> None:
        with file.open("ab") as opened:
            opened.write(data)

    return act


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_following_with_0(
    number: signal.Signals,
    shelf: Shelf,
    to: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr("sidecar.datasets.labels.POLL_S", 0.001)
    file = tmp_path / "labels.jsonl"
    file.write_bytes(lines("a"))

    def act() -> None:
        if shelf.ids == ["a"]:
            appending(file, lines("b", "c"))()
        else:
            os.kill(os.getpid(), number)

    shelf.on_add = act
    before = signal.getsignal(signal.SIGTERM)

    assert main(["labels", str(file), "--to", to, "--follow"]) == 0

    assert shelf.ids == ["a", "b", "c"]
    assert capsys.readouterr().out.endswith(" joined\n")
    assert signal.getsignal(signal.SIGTERM) is before
