import json
import os
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pandas
import polars
import pyarrow as arrow
import pytest
from numpy.random import default_rng

import sidecar
from sidecar.config.schema import Part
from sidecar.detectors import DETECTORS
from sidecar.errors import ConfigError
from sidecar.monitors.data import Data, WindowSize
from sidecar.records import JSON, Table
from sidecar.reference.constraints import suggested
from sidecar.reference.folder import Reference, read_folder, write_folder
from sidecar.reference.learning import Learner
from sidecar.report.frames.comparing import compare
from tests.report.truth_rig import item, write_rows

NOTEBOOK = Path(__file__).parents[2] / "examples/report.ipynb"

Frame = dict[str, JSON]


def people(seed: int, n: int, shift: float = 0.0) -> Frame:
    rng = default_rng(seed)
    return {
        "age": rng.normal(40 + shift, 10, n),
        "income": rng.lognormal(10, 1, n),
        "city": rng.choice(["Wien", "Graz", "Linz"], n, p=[0.6, 0.3, 0.1]).astype(object),
    }


def checks(found: JSON) -> set[tuple[str, str]]:
    return {(each.column, each.check) for each in found.findings}


def test_rows_that_are_like_the_reference_have_no_findings() -> None:
    assert not [seed for seed in range(20) if compare(people(99, 5000), people(seed, 1000)).findings]


def test_a_shift_is_found_named_and_measured() -> None:
    found = compare(people(1, 5000), people(2, 2000, shift=6.0))

    assert bool(found)
    assert ("age", "sequential") in checks(found)
    assert {each.column for each in found.findings} == {"age"}
    first = found.findings[0]
    assert "→" in first.sentence
    assert first.share == 1.0
    assert first.statistic is not None
    assert first.limit is not None
    assert first.statistic > first.limit


def test_the_order_of_the_rows_says_nothing() -> None:
    frame = people(3, 4000)
    order = np.argsort(frame["age"])
    sorted_by_age = {name: column[order] for name, column in frame.items()}

    assert not compare(people(1, 5000), sorted_by_age)


def test_the_same_frame_says_the_same_of_a_folder_every_time(tmp_path: Path) -> None:
    write_folder(tmp_path, reference(table(people(1, 5000))))

    once, again = (compare(tmp_path, people(2, 3000, shift=2.0)) for _ in range(2))

    assert repr(once) == repr(again)


@pytest.mark.parametrize("make", [dict, pandas.DataFrame, polars.DataFrame, arrow.table])
def test_every_kind_of_frame_has_the_same_findings(make: JSON) -> None:
    plain = compare(people(1, 1500), people(2, 1000, shift=5.0))

    assert repr(compare(make(people(1, 1500)), make(people(2, 1000, shift=5.0)))) == repr(plain)


def test_statistics_are_the_live_monitors_of_a_window_of_these_rows(tmp_path: Path) -> None:
    then, now = (table(people(seed, 2000, shift)) for seed, shift in ((1, 0.0), (2, 3.0)))
    write_folder(tmp_path, reference(then))
    found = compare(tmp_path, people(2, 2000, shift=3.0), detectors=list(DETECTORS))

    known = read_folder(tmp_path, "reference")
    assert known is not None
    parts = tuple(Part(kind=kind) for kind in DETECTORS)
    following = Data(detectors=parts, window=WindowSize(rows=2000, panes=1)).follow(known)
    following.count("v", "", now, Table((), np.empty((2000, 0))))
    following.judge(0.0)

    for column in following.columns("v"):
        [mine] = [each for each in found.columns if each.column == column.name]
        expected = [np.nan if each.statistic is None else each.statistic for each in column.statistics.values()]
        np.testing.assert_allclose(list(mine.statistics.values()), expected, rtol=1e-9)


def table(frame: Frame) -> Table:
    values = np.column_stack([frame["age"], frame["income"], np.full(len(frame["age"]), np.nan)])
    return Table(("age", "income", "city"), values, {2: frame["city"].tolist()})


def reference(rows: Table) -> Reference:
    learner = Learner()
    learner.update(rows, [0, 1])
    return Reference(learner.profiles(), suggested(learner.profiles()))


def test_a_folder_of_the_reference_and_the_frame_it_is_of_say_the_same(tmp_path: Path) -> None:
    write_folder(tmp_path, reference(table(people(1, 1500))))
    frame = people(2, 1000, shift=6.0)

    found = repr(compare(people(1, 1500), frame))

    assert [repr(compare(where, frame)) for where in (tmp_path, str(tmp_path))] == [found, found]


def test_columns_are_told_beside_what_they_were() -> None:
    frame = people(2, 1000, shift=6.0)
    frame["city"][7] = None

    found = compare(people(1, 3000), frame)

    age, _, city = found.columns
    assert (age.column, age.rows, age.missing) == ("age", 1000, 0)
    assert age.mean == pytest.approx(float(np.mean(frame["age"])))
    assert age.reference_mean == pytest.approx(float(np.mean(people(1, 3000)["age"])))
    assert "sequential" in age.found
    assert (city.missing, city.distinct, city.found) == (1, 3, ("completeness_check",))
    assert np.isnan(city.mean)
    assert found.to_pandas().shape[0] == 3


def test_columns_that_are_missing_or_new_are_found() -> None:
    frame = people(2, 1000)
    frame["height"] = frame.pop("income")

    assert checks(compare(people(1, 3000), frame)) == {
        ("height", "extra_column_check"),
        ("income", "missing_column_check"),
    }


def test_numbers_that_became_texts_are_found() -> None:
    frame = people(2, 1000)
    frame["age"] = np.array([f"{age:.0f} years" for age in frame["age"]], dtype=object)

    assert ("age", "data_type_check") in checks(compare(people(1, 3000), frame))


def test_what_read_captures_gives_is_compared_by_features_and_predictions(tmp_path: Path) -> None:
    rng = default_rng(0)

    def captured(folder: str, shift: float) -> JSON:
        cells = [((float(rng.normal(40, 10)),), (float(rng.normal(shift)),)) for _ in range(2000)]
        items = [item(number, (asked,), (answered,)) for number, (asked, answered) in enumerate(cells)]
        return sidecar.read_captures(write_rows(tmp_path / folder, items))

    found = compare(captured("then", 0.0), captured("now", 1.0))

    assert {each.column for each in found.findings} == {"prediction"}
    assert [(each.column, each.subject) for each in found.columns] == [
        ("age", "features"),
        ("prediction", "predictions"),
    ]


def test_detectors_are_named_with_options_as_in_the_configuration() -> None:
    frames = people(1, 3000), people(2, 1000, shift=6.0)

    found = compare(*frames, detectors=["kolmogorov_smirnov", {"kind": "psi", "threshold": 0.01}])

    assert {"kolmogorov_smirnov", "psi"} <= {each.check for each in found.findings}
    assert next(each.p_value for each in found.findings if each.check == "kolmogorov_smirnov") is not None


@pytest.mark.parametrize(
    ("detectors", "told"),
    [
        (["ps"], "detectors: ps, expected one of l_infinity, psi"),
        (["ps"], "did you mean psi?"),
        ([{}], "detectors: no kind, expected one of"),
        ([{"kind": "psi", "threshold": -1}], "detectors (psi): Expected `float` >= 0"),
        ([{"kind": "psi", "limit": 1}], "detectors (psi): "),
        (["psi", "psi"], "psi a second time"),
    ],
)
def test_a_detector_that_is_none_is_refused(detectors: Iterable[JSON], told: str) -> None:
    with pytest.raises(ConfigError) as caught:
        compare(people(1, 100), people(2, 100), detectors=detectors)

    assert told in str(caught.value)


@pytest.mark.parametrize(
    ("reference", "frame", "told"),
    [
        ("/nowhere", people(1, 10), "expected a folder with statistics.json and constraints.json, got /nowhere"),
        (people(1, 10), {}, "frame: no row, expected at least one"),
        ({}, people(1, 10), "reference: no row, expected at least one"),
        (people(1, 10), 3, "frame: int, expected a frame"),
    ],
)
def test_what_cannot_be_compared_is_refused(reference: JSON, frame: JSON, told: str) -> None:
    with pytest.raises(ConfigError) as caught:
        compare(reference, frame)

    assert told in str(caught.value)


@pytest.mark.parametrize("tolerance", [-0.1, 0.6, float("nan")])
def test_a_tolerance_out_of_its_range_is_refused(tolerance: float) -> None:
    with pytest.raises(ConfigError, match=r"tolerance: .*, expected 0 to 0\.5"):
        compare(people(1, 10), people(1, 10), tolerance=tolerance)


def test_a_greater_tolerance_lets_small_changes_pass() -> None:
    frames = people(1, 20_000), people(2, 5000, shift=1.5)

    assert ("age", "sequential") in checks(compare(*frames))
    assert ("age", "sequential") not in checks(compare(*frames, tolerance=0.5))


def test_degenerate_frames_are_compared_without_a_word_of_numpy() -> None:
    frame = {"a": np.array([np.nan, np.inf, -np.inf]), "b": np.array([None] * 3, dtype=object), "c": np.zeros(3)}

    found = compare(frame, frame)

    assert [each.missing for each in found.columns] == [1, 3, 0]


def test_numpy_alone_will_do() -> None:
    program = """
import sys
for name in ("pandas", "polars", "pyarrow", "ibis", "duckdb", "obstore", "jinja2", "pyspark"):
    sys.modules[name] = None
import numpy as np
import sidecar
rng = np.random.default_rng(0)
found = sidecar.compare({"a": rng.normal(size=2000)}, {"a": rng.normal(1, size=500)})
print(found.findings[0].column, bool(found._repr_html_()))
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=120, check=False)

    assert (done.stdout, done.stderr) == ("a True\n", "")


def test_the_package_imports_none_of_it_before_it_is_asked_for() -> None:
    program = "import sidecar, sys; print(sorted({'numpy', 'pyarrow', 'ibis', 'sidecar.report'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True)

    assert done.stdout == "[]\n"


RUN = """
import sys
import nbformat
from jupyter_client import AsyncKernelManager
from nbclient import NotebookClient

source, made, connection = sys.argv[1:]
notebook = nbformat.read(source, as_version=4)
# No ports: what a kernel and its client say goes over sockets of a folder.
kernel = AsyncKernelManager(kernel_name="python3", transport="ipc", connection_file=connection)
NotebookClient(notebook, km=kernel, timeout=120).execute()
nbformat.write(notebook, made)
"""


def test_the_notebook_runs_and_shows_what_it_says(tmp_path: Path) -> None:
    # In a process of its own, for what nbclient leaves open.
    made, connection = tmp_path / "made.ipynb", tmp_path / "kernel.json"
    own = {"TMPDIR": str(tmp_path), "IPYTHONDIR": str(tmp_path / "ipython"), "PYTHONPATH": str(NOTEBOOK.parents[2])}
    command = [sys.executable, "-c", RUN, str(NOTEBOOK), str(made), str(connection)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=240, check=False, env={**os.environ, **own})
    assert done.returncode == 0, done.stderr

    cells = [cell for cell in json.loads(made.read_text())["cells"] if cell["cell_type"] == "code"]
    shown = [output for cell in cells for output in cell["outputs"]]

    assert [each for each in shown if each.get("name") == "stderr"] == []
    pages = ["".join(each.get("data", {}).get("text/html", "")) for each in shown]
    texts = ["".join(each["data"]["text/plain"] if "data" in each else each["text"]) for each in shown]
    assert "AllTraffic" in texts[0]
    assert texts[1] == "3000"
    assert "<th>what happened</th>" in pages[2]
    assert "reference_mean" in pages[3]
    assert texts[4] == "False"
    assert "kolmogorov_smirnov" in texts[5]
