import json
from pathlib import Path

import numpy as np
import pytest

from sidecar.errors import ConfigError
from sidecar.monitors.attribution import Attributing, Attribution
from sidecar.records import Body, Capture, Rows
from sidecar.reference.bias_files import Analysis, write_analysis
from sidecar.reference.bias_files import Attribution as Stated
from tests.admin.rig import capture
from tests.monitors.rig import of

NAMES = ("SAT score", "GPA", "Class rank")
REFERENCE = {"SAT score": 0.70, "GPA": 0.50, "Class rank": 0.05}
LIVE = [0.10, 0.20, -0.70]


def stated(folder: Path, **values: dict[str, float]) -> str:
    file = folder / "analysis.json"
    file.write_bytes(write_analysis(Analysis(attributions={label: Stated(each) for label, each in values.items()})))
    return str(file)


def exchange(reply: object = None, columns: dict[str, float] | None = None) -> tuple[Capture, Rows]:
    made = capture()._replace(reply=Body("application/json", json.dumps(reply).encode()))
    told = columns or {"prediction": 1.0}
    return made, Rows(NAMES, [[1.0, 2.0, 3.0]], tuple(told), [list(told.values())])


def told(monitor: Attributing) -> list[str]:
    return [finding.key.variant for finding in monitor.findings]


@pytest.mark.parametrize("pointer", [None, "/why"])
def test_what_replies_carry_is_compared_with_clarifys_analysis(tmp_path: Path, pointer: str | None) -> None:
    file = stated(tmp_path, empty={}, label1=REFERENCE)
    monitor = Attribution(reference=file, rows=50, pointer=pointer, prefix="shap_").attribute()
    columns = {f"shap_{name}": value for name, value in zip(NAMES, LIVE, strict=True)} if pointer is None else None

    monitor.read([exchange({"why": LIVE}, columns)] * 50)
    monitor.assess(0.0)

    assert told(monitor) == ["champion"]
    assert monitor.label == "label1"
    ((_, version),) = monitor.versions
    assert version.ranking is not None
    assert version.ranking.ndcg == pytest.approx(0.6876, abs=1e-4)


def test_replies_without_attributions_are_counted() -> None:
    monitor = Attribution(pointer="/why").attribute()
    monitor.read([exchange({}), exchange({"why": "text"}), exchange({"why": LIVE})])
    assert monitor.unread == 2
    ((_, version),) = monitor.versions
    assert version.rows == 1


def test_another_version_learns_its_own_reference() -> None:
    monitor = Attribution(reference_rows=50, rows=50, pointer="/why").attribute()
    made, rows = exchange({"why": LIVE})
    other = made._replace(version="4", started_s=made.started_s + 1, reply=Body("", b'{"why": [0.7, 0.5, 0.05]}'))
    monitor.read([(made, rows)] * 100)
    monitor.read([(other, rows)] * 100)
    monitor.assess(0.0)
    assert (told(monitor), [key.version for key, _ in monitor.versions]) == ([], ["3", "4"])


def test_exchanges_count_for_those_that_were_not_kept() -> None:
    monitor = Attribution(reference_rows=50, rows=50, pointer="/why").attribute()
    often, rows = exchange({"why": [1.0, 0.0, 0.0]})
    seldom = often._replace(sample_ratio=0.9, reply=Body("", b'{"why": [0.0, 1.0, 0.0]}'))
    monitor.read([(often, rows), (seldom, rows)] * 50)
    ((_, version),) = monitor.versions
    assert version.reference["SAT score"] == pytest.approx(0.9)


def test_a_restart_goes_on_where_settings_are_the_same(tmp_path: Path) -> None:
    options = Attribution(reference=stated(tmp_path, label0=REFERENCE), rows=50, pointer="/why")
    first, second = options.attribute(), options.attribute()
    first.read([exchange({"why": LIVE})] * 50)
    state = first.state()

    assert second.restore(state)
    second.assess(0.0)

    assert told(second) == ["champion"]
    assert not Attribution(rows=50, pointer="/why").attribute().restore(state)
    assert not options.attribute().restore(state[:-1])
    assert not options.attribute().restore(b"")


def test_what_calls_found_against_another_background_is_of_no_use() -> None:
    options = Attribution(calls_per_minute=1)
    monitor, background = options.attribute(), of(np.eye(3), *NAMES)
    monitor.rest_on(background)
    monitor.take(capture(), NAMES, np.array([LIVE]))
    monitor.rest_on(of(np.eye(3), *NAMES))
    state = monitor.state()
    assert len(list(monitor.versions)) == 1

    other = options.attribute()
    other.rest_on(of(2 * np.eye(3), *NAMES))
    assert not other.restore(state)
    other.rest_on(background)
    assert other.restore(state)
    other.rest_on(of(2 * np.eye(3), *NAMES))
    assert list(other.versions) == []


def test_what_replies_carry_rests_on_no_background_of_ours() -> None:
    monitor = Attribution(pointer="/why").attribute()
    monitor.rest_on(of(np.eye(3), *NAMES))
    monitor.read([exchange({"why": LIVE})])
    monitor.rest_on(of(2 * np.eye(3), *NAMES))
    assert len(list(monitor.versions)) == 1


@pytest.mark.parametrize(
    ("options", "path"),
    [
        ({"pointer": "/why", "calls_per_minute": 1}, "calls_per_minute"),
        ({"url": "http://shadow:8080"}, "url"),
    ],
)
def test_options_that_do_not_go_together_are_refused(options: dict[str, object], path: str) -> None:
    with pytest.raises(ConfigError) as raised:
        Attribution(**options)  # type: ignore[arg-type]  # the test names them
    assert [fault.path for fault in raised.value.faults] == [path]


def test_no_calls_are_made_unless_somebody_asks() -> None:
    assert Attribution().calls_per_minute == 0
    assert Attribution().checks == ["feature_attribution_drift_check"]


@pytest.mark.parametrize(
    "text", ["{}", '{"explanations": {"kernel_shap": {"label0": {"global_shap_values": {}}}}}', "x"]
)
def test_a_reference_that_says_nothing_is_refused(tmp_path: Path, text: str) -> None:
    file = tmp_path / "analysis.json"
    file.write_text(text)
    with pytest.raises(ConfigError):
        Attribution(reference=str(file)).attribute()
    with pytest.raises(ConfigError, match="expected a file that can be read"):
        Attribution(reference=str(tmp_path / "none")).attribute()
