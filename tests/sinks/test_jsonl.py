import base64
import json
import random
import re
import resource
import shutil
import subprocess
import sys
import tempfile
import uuid
from pathlib import Path
from types import MappingProxyType

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sidecar.errors import ConfigError, DeliveryError
from sidecar.records import JSON, Body, Capture
from sidecar.sinks.jsonl import MAX_OPEN_FILES, SLACK_RATIO, Jsonl
from tests.sinks.captures import CAPTURE as CAPTURED
from tests.sinks.captures import NOON_S

HOUR_S = 3600.0
CAPTURE = CAPTURED._replace(request=Body("application/json", b'{"instances": [[1.5, "\xc3\xa9\\n"]]}'))


def lines(root: Path) -> list[str]:
    """Every line of every file under `root`, whole, files in the order of their paths."""
    texts = [path.read_bytes().decode() for path in sorted(root.rglob("*.jsonl"))]
    assert all(text.endswith("\n") for text in texts)
    return [line for text in texts for line in text.removesuffix("\n").split("\n")]


def records(root: Path) -> list[JSON]:
    return [json.loads(line) for line in lines(root)]


def request_ids(root: Path) -> list[str]:
    return [record["sidecar"]["request_id"] for record in records(root)]


def written(tmp_path: Path, capture: Capture) -> JSON:
    sink = Jsonl(path=str(tmp_path))
    sink.export([capture])
    sink.close()
    [record] = records(tmp_path)
    return record


def test_a_line_has_the_fields_of_sagemaker_and_one_key_of_ours(tmp_path: Path) -> None:
    record = written(tmp_path, CAPTURE._replace(inference_id="mine"))
    event_id = record["eventMetadata"].pop("eventId")
    assert str(uuid.UUID(event_id)) == event_id
    assert (uuid.UUID(event_id).version, uuid.UUID(event_id).variant) == (8, uuid.RFC_4122)
    assert record == {
        "captureData": {
            "endpointInput": {
                "observedContentType": "application/json",
                "mode": "INPUT",
                "data": '{"instances": [[1.5, "é\\n"]]}',
                "encoding": "JSON",
            },
            "endpointOutput": {
                "observedContentType": "text/csv; charset=utf-8",
                "mode": "OUTPUT",
                "data": "0.1,0.9\n",
                "encoding": "CSV",
            },
        },
        "eventMetadata": {"inferenceId": "mine", "inferenceTime": "2026-07-30T12:01:02Z"},
        "eventVersion": "0",
        "sidecar": {
            "variant": "champion",
            "version": "3",
            "request_id": "r-1",
            "method": "POST",
            "path": "/v1/models/fraud:predict",
            "route": "/v1/models/{model}:predict",
            "status": 200,
            "error_type": "",
            "started_s": NOON_S + 62.5,
            "duration_s": 0.25,
            "first_byte_s": 0.125,
            "overhead_s": 0.0625,
            "sample_ratio": 0.5,
            "headers": {"request": {"user-agent": "curl"}, "reply": {}},
            "withheld": {"request": "", "reply": ""},
        },
    }


def test_without_an_inference_id_there_is_no_such_field(tmp_path: Path) -> None:
    assert sorted(written(tmp_path, CAPTURE)["eventMetadata"]) == ["eventId", "inferenceTime"]


def test_every_event_has_an_id_of_its_own(tmp_path: Path) -> None:
    Jsonl(path=str(tmp_path)).export([CAPTURE._replace(started_s=second / 8) for second in range(100)])
    assert len({record["eventMetadata"]["eventId"] for record in records(tmp_path)}) == 100


@pytest.mark.parametrize(
    ("content_type", "data", "encoding"),
    [
        ("text/csv", b"1,2", "CSV"),
        ("Text/CSV ; header=present", b"1,2", "CSV"),
        ("application/json", b"{}", "JSON"),
        ("application/json", b"not json at all", "JSON"),
        ("application/vnd.kserve+json; charset=utf-8", b"{}", "JSON"),
        ("application/jsonlines", b"{}\n{}\n", "JSON"),
        ("application/x-ndjson", b"{}\n", "JSON"),
        ("application/json", b'"\xff"', "BASE64"),
        ("text/csv", b"caf\xe9", "BASE64"),
        ("text/plain", b"1", "BASE64"),
        ("application/octet-stream", bytes(range(256)), "BASE64"),
        ("", b"", "BASE64"),
    ],
)
def test_the_content_type_chooses_the_encoding(tmp_path: Path, content_type: str, data: bytes, encoding: str) -> None:
    half = written(tmp_path, CAPTURE._replace(request=Body(content_type, data)))["captureData"]["endpointInput"]
    read = base64.b64decode(half["data"]) if half["encoding"] == "BASE64" else half["data"].encode()
    assert (half["encoding"], half["observedContentType"], read) == (encoding, content_type, data)


def test_a_withheld_body_is_empty_and_says_why(tmp_path: Path) -> None:
    record = written(tmp_path, CAPTURE._replace(request=Body("application/json", b'{"card": 4', "truncated")))
    assert (record["captureData"]["endpointInput"]["data"], record["sidecar"]["withheld"]) == (
        "",
        {"request": "truncated", "reply": ""},
    )


def test_a_field_that_is_no_text_costs_its_odd_bytes_only(tmp_path: Path) -> None:
    odd = CAPTURE._replace(path="/\udcff", headers=MappingProxyType({"request": MappingProxyType({"a": "\ud800"})}))
    ours = written(tmp_path, odd)["sidecar"]
    assert (ours["path"], ours["headers"]) == ("/?", {"request": {"a": "?"}})


@settings(max_examples=50, deadline=None)
@given(st.text(), st.binary(max_size=9000), st.sampled_from(["application/json", "text/csv", "image/png"]))
def test_whatever_is_captured_is_one_line_that_gives_it_back(text: str, data: bytes, content_type: str) -> None:
    capture = CAPTURE._replace(path=text, request=Body(content_type, data))
    with tempfile.TemporaryDirectory() as folder:
        record = written(Path(folder), capture)
    half = record["captureData"]["endpointInput"]
    read = base64.b64decode(half["data"]) if half["encoding"] == "BASE64" else half["data"].encode()
    assert (read, record["sidecar"]["path"]) == (data, text)


def test_files_lie_by_endpoint_variant_and_utc_hour(tmp_path: Path) -> None:
    sink = Jsonl(path=str(tmp_path), endpoint="fraud")
    late = NOON_S + 13 * HOUR_S + 59.25
    sink.export([CAPTURE, CAPTURE._replace(variant="challenger", started_s=late)])
    found = sorted(str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*.jsonl"))
    expected = [
        r"fraud/challenger/2026/07/31/01/00-59-250-000002-[0-9a-f]{32}\.jsonl",
        r"fraud/champion/2026/07/30/12/01-02-500-000001-[0-9a-f]{32}\.jsonl",
    ]
    assert all(re.fullmatch(pattern, path) for pattern, path in zip(expected, found, strict=True)), found


@pytest.mark.parametrize(
    ("name", "folder"),
    [
        ("champion", "champion"),
        ("..", "%2E."),
        (".", "%2E"),
        ("../../etc", "%2E.%2F..%2Fetc"),
        ("/etc", "%2Fetc"),
        ("_a", "%5Fa"),
        ("a b\0", "a%20b%00"),
        ("", "%"),
        ("é" * 100, ("%C3%A9" * 100)[:200]),
    ],
)
def test_no_name_leads_out_of_the_folder(tmp_path: Path, name: str, folder: str) -> None:
    sink = Jsonl(path=str(tmp_path / "captures"), endpoint=name)
    sink.export([CAPTURE._replace(variant=name)])
    [path] = tmp_path.rglob("*.jsonl")
    assert path.relative_to(tmp_path).parts[:3] == ("captures", folder, folder)


def test_files_and_folders_are_for_their_owner_only(tmp_path: Path) -> None:
    Jsonl(path=str(tmp_path / "a" / "b")).export([CAPTURE])
    modes = {path.is_dir(): path.stat().st_mode & 0o777 for path in (tmp_path / "a").rglob("*")}
    assert (modes, (tmp_path / "a").stat().st_mode & 0o777) == ({True: 0o700, False: 0o600}, 0o700)


def test_building_the_sink_touches_nothing(tmp_path: Path) -> None:
    Jsonl(path=str(tmp_path / "captures")).close()
    assert list(tmp_path.iterdir()) == []


def test_impossible_options_are_refused_all_at_once() -> None:
    with pytest.raises(ConfigError) as caught:
        Jsonl(path="", max_file_bytes=0, max_total_bytes=-1)
    assert [fault.path for fault in caught.value.faults] == ["max_file_bytes", "max_total_bytes", "path"]


def test_an_empty_batch_writes_nothing(tmp_path: Path) -> None:
    Jsonl(path=str(tmp_path)).export([])
    assert list(tmp_path.iterdir()) == []


def test_a_full_file_is_followed_by_another_and_order_stays(tmp_path: Path) -> None:
    sink = Jsonl(path=str(tmp_path), max_file_bytes=5000)
    ids = [str(number) for number in range(40)]
    for start in range(0, 40, 8):
        sink.export([CAPTURE._replace(request_id=each) for each in ids[start : start + 8]])
    sizes = [path.stat().st_size for path in tmp_path.rglob("*.jsonl")]
    assert (request_ids(tmp_path), max(sizes) <= 5000, len(sizes) > 3) == (ids, True, True)


def test_a_line_longer_than_a_file_gets_a_file_of_its_own(tmp_path: Path) -> None:
    sink = Jsonl(path=str(tmp_path), max_file_bytes=10)
    sink.export([CAPTURE._replace(request_id="a"), CAPTURE._replace(request_id="b")])
    assert (request_ids(tmp_path), len(list(tmp_path.rglob("*.jsonl")))) == (["a", "b"], 2)


def test_where_an_hour_ends_both_hours_stay_open(tmp_path: Path) -> None:
    sink = Jsonl(path=str(tmp_path))
    for hour in (0, 1, 0, 1, 2, 1, 2):
        sink.export([CAPTURE._replace(started_s=NOON_S + hour * HOUR_S)])
    sink.export([CAPTURE])
    assert sorted(path.parent.name for path in tmp_path.rglob("*.jsonl")) == ["12", "12", "13", "14"]


def test_more_variants_than_open_files_are_all_written(tmp_path: Path) -> None:
    sink = Jsonl(path=str(tmp_path))
    batch = [CAPTURE._replace(variant=str(number)) for number in range(MAX_OPEN_FILES + 2)]
    sink.export(batch)
    open_files = len(list(Path("/proc/self/fd").iterdir()))
    sink.export(batch)
    assert len(list(Path("/proc/self/fd").iterdir())) <= open_files
    assert len(records(tmp_path)) == 2 * len(batch)


def test_the_tree_never_exceeds_its_total_and_the_oldest_go(tmp_path: Path) -> None:
    total = 40_000
    sink = Jsonl(path=str(tmp_path), max_file_bytes=6000, max_total_bytes=total)
    for number in range(200):
        sink.export([CAPTURE._replace(request_id=f"{number:03}", started_s=NOON_S + 100 * number)])
        assert sum(path.stat().st_size for path in tmp_path.rglob("*.jsonl")) <= total
    kept = request_ids(tmp_path)
    assert kept == [f"{number:03}" for number in range(200)][-len(kept) :]
    assert len(kept) * 1500 > total * (1 - SLACK_RATIO) - 2 * 6000
    assert sink.deleted_files > 20
    assert all(any(folder.iterdir()) for folder in tmp_path.rglob("*") if folder.is_dir())


def test_files_of_earlier_runs_count_and_files_of_others_do_not(tmp_path: Path) -> None:
    earlier = Jsonl(path=str(tmp_path), max_total_bytes=18_000)
    earlier.export([CAPTURE._replace(started_s=NOON_S - 5 * HOUR_S)] * 10)
    earlier.close()
    [old] = tmp_path.rglob("*.jsonl")
    others = [old.with_name("notes.jsonl"), tmp_path / "sidecar" / "big.bin"]
    for other in others:
        other.write_bytes(bytes(50_000))
    sink = Jsonl(path=str(tmp_path), max_total_bytes=18_000)
    sink.export([CAPTURE] * 8)
    assert (sink.deleted_files, old.exists(), [other.exists() for other in others]) == (1, False, [True, True])


def test_open_files_go_last(tmp_path: Path) -> None:
    sink = Jsonl(path=str(tmp_path), max_total_bytes=12_000)
    for _ in range(6):
        sink.export([CAPTURE] * 3)
    assert (sink.deleted_files > 0, 0 < len(records(tmp_path)) <= 18) == (True, True)


def test_a_batch_beyond_the_total_is_refused_and_the_tree_stays(tmp_path: Path) -> None:
    sink = Jsonl(path=str(tmp_path), max_total_bytes=5000)
    sink.export([CAPTURE])
    with pytest.raises(DeliveryError, match="expected max_total_bytes to hold it"):
        sink.export([CAPTURE] * 10)
    assert len(records(tmp_path)) == 1


def test_a_removed_folder_is_made_again(tmp_path: Path) -> None:
    sink = Jsonl(path=str(tmp_path / "captures"))
    sink.export([CAPTURE._replace(request_id="lost")])
    shutil.rmtree(tmp_path / "captures")
    sink.export([CAPTURE._replace(request_id="kept")])
    assert request_ids(tmp_path) == ["kept"]


def test_a_file_in_the_way_is_told_and_once_it_is_gone_all_is_well(tmp_path: Path) -> None:
    path = tmp_path / "captures"
    path.write_text("in the way")
    sink = Jsonl(path=str(path))
    for _ in range(2):
        with pytest.raises(DeliveryError, match=r"captures.*expected a folder with room to write in"):
            sink.export([CAPTURE])
    path.unlink()
    sink.export([CAPTURE])
    assert request_ids(path) == ["r-1"]


def test_a_folder_that_may_not_be_made_is_told() -> None:
    with pytest.raises(DeliveryError, match=r"^/proc/captures: No such file or directory, expected a folder"):
        Jsonl(path="/proc/captures").export([CAPTURE])


def test_a_full_disk_is_told_and_when_it_has_room_again_all_is_well(tmp_path: Path) -> None:
    sink = Jsonl(path=str(tmp_path))
    sink.export([CAPTURE._replace(request_id="before")])
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (6000, hard))
    try:
        with pytest.raises(DeliveryError, match="File too large, expected a folder with room"):
            sink.export([CAPTURE._replace(request_id="lost")] * 20)
        during = request_ids(tmp_path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    sink.export([CAPTURE._replace(request_id="after")])
    assert (during, request_ids(tmp_path)) == (["before"], ["before", "after"])


def test_what_a_killed_process_left_hidden_is_shown_by_the_next(tmp_path: Path) -> None:
    dead = Jsonl(path=str(tmp_path))
    dead.export([CAPTURE])
    dead.close()
    [path] = tmp_path.rglob("*.jsonl")
    hidden = path.rename(path.with_name(f".{path.name}.part"))
    with hidden.open("ab") as file:
        file.write(b'{"captureData": {"endp')
    Jsonl(path=str(tmp_path)).export([CAPTURE._replace(request_id="r-2")])
    assert sorted(request_ids(tmp_path)) == ["r-1", "r-2"]
    assert not hidden.exists()


WRITER = """
import sys
from sidecar.records import Body, Capture
from sidecar.sinks.jsonl import Jsonl

bodies = [Body("application/json", b"7" * int(size)) for size in sys.argv[2:]]
batch = [
    Capture("r", "", "v", "", "POST", "/", "/", 200, "", 1e9, 0.0, 0.0, 0.0, 1.0, {}, body, body)
    for body in bodies * 128
]
sink = Jsonl(path=sys.argv[1], max_file_bytes=1 << 20, max_total_bytes=1 << 24)
while True:
    sink.export(batch)
    print(flush=True)
"""


@pytest.mark.parametrize("sizes", [(700,), (10, 1500), (20_000, 100)])
def test_a_killed_process_leaves_whole_lines(tmp_path: Path, sizes: tuple[int, ...]) -> None:
    chance = random.Random(sizes[0])
    for run in range(3):
        folder = tmp_path / str(run)
        command = [sys.executable, "-c", WRITER, str(folder), *map(str, sizes)]
        with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
            assert process.stdout
            for _ in range(chance.randint(1, 9)):
                process.stdout.readline()
            process.kill()
        shown = list(folder.rglob("*.jsonl"))
        texts = [path.read_bytes() for path in shown]
        assert all(text.endswith(b"\n") for text in texts)
        for line in b"".join(texts).splitlines():
            json.loads(line)
        Jsonl(path=str(folder)).export([CAPTURE])
        assert records(folder)
