import gzip
import json
import re
import socket
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import zstandard

from sidecar.errors import ConfigError, DeliveryError
from sidecar.records import Capture
from sidecar.sinks.capture_lines import line
from sidecar.sinks.objects import MAX_OBJECT_BYTES, Objects, told
from tests.sinks.captures import CAPTURE, NOON_S, several

HOUR_S = 3600.0
LINE_BYTES = len(line(CAPTURE))


@pytest.fixture(autouse=True)
def _credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "anybody")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "nothing")
    monkeypatch.setenv("AWS_REGION", "eu-central-1")


class Clock:
    """Stands still until it is told to go on."""

    def __init__(self) -> None:
        self.now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


def ids(file: Path, opened: Callable[[bytes], bytes] = bytes) -> list[str]:
    return [json.loads(each)["sidecar"]["request_id"] for each in opened(file.read_bytes()).splitlines()]


def found(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())


def unreachable(
    port: int, monkeypatch: pytest.MonkeyPatch, *, timeout_s: float, max_object_bytes: int = MAX_OBJECT_BYTES
) -> Objects:
    """A sink whose S3 is at this port."""
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{port}")
    return Objects(url="s3://bucket/prefix", timeout_s=timeout_s, max_object_bytes=max_object_bytes)


@pytest.fixture
def closed_port() -> Iterator[int]:
    """One that is taken, and on which nobody listens."""
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        yield bound.getsockname()[1]


@pytest.fixture
def silent_port() -> Iterator[int]:
    """One on which connections are taken and nothing is ever answered."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        yield listening.getsockname()[1]


def test_objects_lie_as_sagemakers_files_do(tmp_path: Path) -> None:
    sink = Objects(url=f"file://{tmp_path}/some%20where", endpoint="fraud")
    sink.export([CAPTURE, CAPTURE._replace(variant="challenger", started_s=NOON_S + 13 * HOUR_S + 59.25)])
    sink.close()
    expected = [
        r"some where/fraud/challenger/2026/07/31/01/00-59-250-00000\d-[0-9a-f]{32}\.jsonl",
        r"some where/fraud/champion/2026/07/30/12/01-02-500-00000\d-[0-9a-f]{32}\.jsonl",
    ]
    places = [str(path.relative_to(tmp_path)) for path in found(tmp_path)]
    assert [bool(re.fullmatch(*each)) for each in zip(expected, places, strict=True)] == [True, True]
    assert found(tmp_path)[1].read_bytes() == line(CAPTURE)


def test_what_is_gathered_is_no_object_until_it_has_waited_long_enough(tmp_path: Path) -> None:
    clock = Clock()
    sink = Objects(url=f"file://{tmp_path}", flush_s=60, clock=clock)
    sink.export(several(2))
    clock.now_s += 59.9
    sink.tend()
    before = (found(tmp_path), sink.gathered, sink.gathered_bytes, sink.taken)
    clock.now_s += 0.2
    sink.tend()
    [file] = found(tmp_path)
    assert before == ([], 2, 2 * (LINE_BYTES - 2), 0)
    assert (ids(file), sink.gathered, sink.gathered_bytes, sink.taken) == (["0", "1"], 0, 0, 2)


def test_later_captures_do_not_put_off_the_first(tmp_path: Path) -> None:
    clock = Clock()
    sink = Objects(url=f"file://{tmp_path}", flush_s=60, clock=clock)
    for _ in range(4):
        sink.export([CAPTURE])
        clock.now_s += 20.0
    [file] = found(tmp_path)
    assert (len(ids(file)), sink.gathered) == (4, 0)


def test_lines_of_a_variant_and_hour_keep_their_order(tmp_path: Path) -> None:
    sink = Objects(url=f"file://{tmp_path}")
    captures = several(200)
    for start in range(0, 200, 64):
        sink.export(captures[start : start + 64])
    sink.close()
    [file] = found(tmp_path)
    assert ids(file) == [each.request_id for each in captures]


def test_no_more_is_held_than_the_bound_and_the_largest_goes_first(tmp_path: Path) -> None:
    sink = Objects(url=f"file://{tmp_path}", max_object_bytes=5 * LINE_BYTES)
    sink.export([CAPTURE, CAPTURE, CAPTURE, CAPTURE._replace(variant="b")])
    full = sink.gathered_bytes
    sink.export([CAPTURE._replace(variant="b"), CAPTURE._replace(variant="b")])
    [file] = found(tmp_path)
    assert (full <= 5 * LINE_BYTES, ids(file), sink.gathered) == (True, ["r-1"] * 3, 3)


def test_a_line_longer_than_the_bound_is_an_object_of_its_own(tmp_path: Path) -> None:
    sink = Objects(url=f"file://{tmp_path}", max_object_bytes=10)
    sink.export(several(3))
    assert (sorted(ids(each)[0] for each in found(tmp_path)), sink.gathered_bytes) == (["0", "1", "2"], 0)


@pytest.mark.parametrize(
    ("compression", "end", "opened"),
    [("gzip", ".jsonl.gz", gzip.decompress), ("zstd", ".jsonl.zst", zstandard.decompress)],
)
def test_a_compressed_object_says_so_in_its_name(
    tmp_path: Path, compression: str, end: str, opened: Callable[[bytes], bytes]
) -> None:
    sink = Objects(url=f"file://{tmp_path}", compression=compression)  # type: ignore[arg-type]  # one of its words
    sink.export(several(3))
    sink.close()
    [file] = found(tmp_path)
    assert (file.name[-len(end) :], ids(file, opened)) == (end, ["0", "1", "2"])


def test_a_folder_is_for_its_owner_only(tmp_path: Path) -> None:
    sink = Objects(url=f"file://{tmp_path}/objects")
    sink.export([CAPTURE])
    sink.close()
    assert (tmp_path / "objects").stat().st_mode & 0o777 == 0o700


def test_no_captures_are_no_objects(tmp_path: Path) -> None:
    sink = Objects(url=f"file://{tmp_path}/objects")
    sink.export([])
    sink.tend()
    sink.close()
    assert list(tmp_path.iterdir()) == []


def test_a_server_that_is_gone_costs_what_was_gathered_counted(
    closed_port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    sink = unreachable(closed_port, monkeypatch, timeout_s=0.1, max_object_bytes=2 * LINE_BYTES)
    sink.export(several(2))
    with pytest.raises(DeliveryError, match=r"^s3://bucket/prefix: .*error sending request"):
        sink.export(several(1))
    assert (sink.lost, sink.taken, sink.gathered) == (2, 0, 1)


def test_a_server_that_never_answers_is_given_up_in_time(silent_port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    sink = unreachable(silent_port, monkeypatch, timeout_s=0.2)
    sink.export(several(3))
    with pytest.raises(DeliveryError, match=r"^s3://bucket/prefix: "):
        sink.close()
    assert (sink.lost, sink.gathered, sink.gathered_bytes) == (3, 0, 0)


def test_several_lost_objects_are_one_trouble(closed_port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    sink = unreachable(closed_port, monkeypatch, timeout_s=0.1)
    sink.export([CAPTURE._replace(variant=name) for name in "abc"])
    with pytest.raises(DeliveryError, match=r"\(and 2 objects more\)$"):
        sink.close()
    assert sink.lost == 3


def test_a_file_in_the_way_is_told_and_once_it_is_gone_all_is_well(tmp_path: Path) -> None:
    path = tmp_path / "objects"
    path.write_text("in the way")
    sink = Objects(url=f"file://{path}", max_object_bytes=1)
    with pytest.raises(DeliveryError, match="File exists"):
        sink.export([CAPTURE])
    path.unlink()
    sink.export([CAPTURE])
    assert (len(found(path)), sink.lost, sink.taken) == (1, 1, 1)


@pytest.mark.parametrize(
    "url",
    ["", "bucket", "s3://", "http://a/b", "s3://key:secret@bucket", "s3://bucket/?a=1", "file://relative", "s3://b#c"],
)
def test_what_names_no_store_is_refused(url: str) -> None:
    with pytest.raises(ConfigError) as caught:
        Objects(url=url)
    assert [fault.path for fault in caught.value.faults] == ["url"]


@pytest.mark.parametrize("url", ["s3://b", "s3://b/p/q", "gs://b/p", "az://c/p", "abfss://c/p", "file:///a b/c"])
def test_what_names_a_store_is_taken_and_nothing_is_touched(url: str) -> None:
    Objects(url=url).close()


def test_impossible_options_are_refused_all_at_once() -> None:
    with pytest.raises(ConfigError) as caught:
        Objects(url="a", max_object_bytes=0)
    assert [fault.path for fault in caught.value.faults] == ["url", "max_object_bytes"]


def test_a_signature_in_an_objects_url_is_not_told() -> None:
    assert told(OSError("error at https://a/b?sig=secret more\n\nDebug source: secret")) == "error at https://a/b more"


def captures_lost(sink: Objects, batches: list[list[Capture]]) -> int:
    """What `lost` says more after these."""
    before = sink.lost
    for batch in batches:
        with pytest.raises(DeliveryError):
            sink.export(batch)
    return sink.lost - before


def test_every_capture_is_taken_lost_or_gathered(closed_port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    sink = unreachable(closed_port, monkeypatch, timeout_s=0.05, max_object_bytes=2 * LINE_BYTES)
    lost = captures_lost(sink, [several(3), several(4)])
    assert lost + sink.gathered == 7
