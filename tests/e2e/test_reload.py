from collections.abc import Iterator
from pathlib import Path
from threading import Thread

import pytest
import requests

from tests.e2e.rig import PATIENCE_S, Sidecar, port_of, sidecar, until, written
from tests.e2e.traffic import predicting
from tests.e2e.upstreams import Model


@pytest.fixture
def file(tmp_path: Path, first: Model) -> Path:
    return written(tmp_path / "sidecar.yaml", {"upstream": first.url})


@pytest.fixture
def configured(file: Path) -> Iterator[Sidecar]:
    """Before the first model, as a file says."""
    with sidecar("--config", file) as found:
        yield found


def answers(session: requests.Session, running: Sidecar) -> tuple[str, int]:
    """Which model answers, and our own port on the connection."""
    with session.get(running.url, timeout=PATIENCE_S, stream=True) as reply:
        port = port_of(reply)
        return reply.json()["model"], port


@pytest.mark.parametrize("how", ["the file changes", "SIGHUP"])
def test_a_new_upstream_takes_over_on_connections_in_use(
    configured: Sidecar, file: Path, first: Model, second: Model, how: str
) -> None:
    replies = []
    slow = Thread(target=lambda: replies.append(requests.get(configured.url + "/slow", timeout=PATIENCE_S).text))

    with requests.Session() as session:
        before = answers(session, configured)
        slow.start()
        assert first.waiting.wait(PATIENCE_S)
        written(file, {"upstream": second.url})
        if how == "SIGHUP":
            configured.reload()
        else:
            configured.process.says("configuration 2 in force")
        after = answers(session, configured)
    first.go_on.set()
    slow.join(PATIENCE_S)

    assert before[0] == "first"
    assert after == ("second", before[1])
    assert replies == ["late from first"]
    assert configured.told("config", "error") == ""
    assert configured.told("variants", 0, "upstream") == second.url


def test_no_request_fails_while_upstreams_change_again_and_again(
    configured: Sidecar, file: Path, first: Model, second: Model
) -> None:
    with predicting(configured.url):
        for model in [second, first] * 5:
            written(file, {"upstream": model.url})
            configured.reload()

    assert configured.told("config", "revision") >= 11


def test_a_config_map_swapped_by_its_link_is_noticed(tmp_path: Path, first: Model, second: Model) -> None:
    for name, model in (("..1", first), ("..2", second)):
        (tmp_path / name).mkdir()
        written(tmp_path / name / "sidecar.yaml", {"upstream": model.url})
    (tmp_path / "..data").symlink_to("..1")
    file = tmp_path / "sidecar.yaml"
    file.symlink_to("..data/sidecar.yaml")

    with sidecar("--config", file) as running, requests.Session() as session:
        before, _ = answers(session, running)
        (tmp_path / "..data_tmp").symlink_to("..2")
        (tmp_path / "..data_tmp").replace(tmp_path / "..data")
        running.process.says("configuration 2 in force")
        after, _ = answers(session, running)

    assert (before, after) == ("first", "second")


def test_bad_files_are_refused_and_told_and_the_old_one_stays(configured: Sidecar, file: Path, first: Model) -> None:
    good, away = {"upstream": first.url}, {"upstream": "http://127.0.0.1:1"}
    bad: list[tuple[object, str]] = [
        ({"upstreem": "http://127.0.0.1:1"}, "upstreem"),
        ({**away, "endpoint": "another"}, "endpoint"),
        ({**away, "capture": {"sample_ratio": 7}}, "capture.sample_ratio"),
        ({"variants": {"a": {"url": "https://127.0.0.1:1", "tls": {"ca": "/nowhere"}}}}, "variants.a.tls.ca"),
        ({"variants": {"a": {"url": "https://127.0.0.1:1", "tls": {"ca": str(file)}}}}, ""),
        ({**away, "capture": {"sinks": [{"kind": "jsonl", "path": ""}]}}, "path"),
        ([], ""),
        (None, str(file)),
    ]

    with requests.Session() as session:
        for number, (document, error) in enumerate(bad):
            if document is None:
                file.unlink()
            else:
                written(file, document)
            configured.reload(by="configuration refused, the earlier one stays: .*" + error)
            told = configured.told("config")
            assert told["error"], document
            assert error in told["error"]
            assert answers(session, configured)[0] == "first"
            written(file, {**good, "routes": [f"/{number}"]})
            configured.reload()
            assert configured.told("config", "error") == ""


def test_a_header_that_tells_groups_cannot_be_dropped(tmp_path: Path, first: Model) -> None:
    facets = [{"header": "x-region", "values": ["south"]}]
    kept = {
        "upstream": first.url,
        "state": str(tmp_path),
        "model": {"task": "binary"},
        "monitors": [{"kind": "bias", "facets": facets}],
        "capture": {"headers": ["content-type", "x-region"]},
    }
    file = written(tmp_path / "sidecar.yaml", kept)

    with sidecar("--config", file) as running:
        written(file, {**kept, "capture": {"headers": ["content-type"]}})
        running.reload(by="configuration refused, the earlier one stays: capture.headers: x-region is missing")

        assert running.told("config", "revision") == 1


def test_a_new_folder_of_captures_gets_the_new_and_the_old_keeps_the_old(tmp_path: Path, first: Model) -> None:
    file = tmp_path / "sidecar.yaml"

    def captures(name: str) -> dict[str, object]:
        sinks = [{"kind": "jsonl", "path": str(tmp_path / name)}]
        return {"upstream": first.url, "capture": {"sample_ratio": 1.0, "sinks": sinks}}

    def lines(name: str) -> int:
        return sum(len(file.read_text().splitlines()) for file in (tmp_path / name).rglob("*.jsonl"))

    written(file, captures("old"))
    with sidecar("--config", file) as running, requests.Session() as session:
        for _ in range(10):
            answers(session, running)
        until(lambda: lines("old") == 10)
        written(file, captures("new"))
        running.reload()
        for _ in range(7):
            answers(session, running)

    assert (lines("old"), lines("new")) == (10, 7)
