"""A fleet's drift is summed by Prometheus from what three sidecars count; it is that of all rows together."""

import math
import random
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit

import numpy as np
import pytest
import requests
import yaml
from aiohttp import web

from sidecar.records import JSON
from sidecar.reference.binning import BINS, Bins, bins_of
from sidecar.reference.folder import read_folder
from tests.e2e.rig import PATIENCE_S, Sidecar, environment, free_address, program, running, sidecar, until
from tests.e2e.test_alertmanager import active
from tests.e2e.upstreams import PREDICT, served

RULES = Path(__file__).parents[2] / "k8s/prometheus/drift-rules.yaml"
NAMES = ("amount", "age", "country")
BATCH = 100
Row = tuple[float | None, int, str]


def rows_of(rng: random.Random, count: int, *, shift: float = 0.0, new: float = 0.0) -> list[Row]:
    """Amounts, some of them missing, that are shifted by so many deviations; ages; countries, some of them new."""
    return [
        (
            None if rng.random() < 0.05 else rng.gauss(100 + 20 * shift, 20),
            rng.randrange(18, 80),
            "NZ" if rng.random() < new else rng.choices(("DE", "FR", "US", "missing"), (6, 3, 1, 0.02))[0],
        )
        for _ in range(count)
    ]


@pytest.fixture(scope="module")
def reference(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("training")
    lines = [",".join("" if cell is None else str(cell) for cell in row) for row in rows_of(random.Random(1), 4000)]
    (folder / "train.csv").write_text("\n".join([",".join(NAMES), *lines]) + "\n")
    command = [sys.executable, "-m", "sidecar", "baseline", str(folder / "train.csv"), "-o", str(folder / "reference")]
    done = subprocess.run(command, env=environment(), capture_output=True, text=True, timeout=PATIENCE_S, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    return folder / "reference"


async def _answer(request: web.Request) -> web.Response:
    rows = (await request.json())["instances"]
    return web.json_response({"predictions": [0.0] * len(rows)})


def _application() -> web.Application:
    application = web.Application(client_max_size=1 << 30)
    application.router.add_post(PREDICT, _answer)
    return application


@pytest.fixture
def fleet(reference: Path, tmp_path: Path) -> Iterator[list[Sidecar]]:
    """Three sidecars with the same reference."""
    with served(_application) as url, ExitStack() as stack:
        file = tmp_path / "sidecar.yaml"
        document = {
            "upstream": url,
            "capture": {"sample_ratio": 1.0},
            "payload": {"features": list(NAMES), "prediction": ["said"]},
            "reference": {"path": str(reference)},
        }
        file.write_text(yaml.safe_dump(document))
        found = [stack.enter_context(sidecar("--config", file)) for _ in range(3)]
        for each in found:
            each.ready()
        yield found


class Prometheus(NamedTuple):
    """A running one."""

    url: str

    def ask(self, query: str) -> dict[tuple[str, ...], float]:
        """The values of a query, by what tells its series apart."""
        told = requests.get(f"{self.url}/api/v1/query", params={"query": query}, timeout=PATIENCE_S).json()
        labels = ("instance", "feature_flag_result_variant", "sidecar_column", "sidecar_bin")
        return {
            tuple(each["metric"][label] for label in labels if label in each["metric"]): float(each["value"][1])
            for each in told["data"]["result"]
        }


@pytest.fixture
def prometheus(fleet: list[Sidecar], alertmanager: str, tmp_path: Path) -> Iterator[Prometheus]:
    address, file, rules = free_address(), tmp_path / "prometheus.yaml", tmp_path / "rules.yaml"
    # As shipped, but nobody waits ten minutes.
    rules.write_text(RULES.read_text().replace("for: 10m", "for: 0s"))
    document = {
        "global": {"scrape_interval": "250ms", "scrape_timeout": "250ms", "evaluation_interval": "250ms"},
        "rule_files": [str(rules)],
        "alerting": {"alertmanagers": [alertmanagers(alertmanager)]},
        "scrape_configs": [{"job_name": "scorer", "static_configs": [{"targets": [each.admin for each in fleet]}]}],
    }
    file.write_text(yaml.safe_dump(document))
    command: list[str | Path] = [
        program("prometheus"), f"--config.file={file}", f"--storage.tsdb.path={tmp_path / 'data'}",
        f"--web.listen-address={address}",
    ]  # fmt: skip
    with running(command, environment()) as process:
        process.says("Server is ready to receive web requests")
        yield Prometheus(f"http://{address}")


def alertmanagers(url: str) -> JSON:
    """Where Prometheus finds it."""
    place = urlsplit(url)
    return {"static_configs": [{"targets": [place.netloc]}], "path_prefix": place.path}


def test_the_fleets_psi_is_that_of_all_rows_together(
    fleet: list[Sidecar], prometheus: Prometheus, alertmanager: str, reference: Path
) -> None:
    counted = 'sidecar_drift_bin_rows_total{sidecar_bin!="missing"}'
    # What a pod counts before Prometheus first looks has not grown while it looked.
    until(lambda: len(prometheus.ask(f"sum by (instance) ({counted}) == 0")) == len(fleet))
    traffic = [
        rows_of(random.Random(number), rows, shift=shift, new=new)
        for number, (rows, shift, new) in enumerate([(900, 0.0, 0.0), (600, 1.5, 0.05), (1500, 2.0, 0.0)])
    ]
    for each, rows in zip(fleet, traffic, strict=True):
        send(each, rows)
    pooled = [row for rows in traffic for row in rows]
    read = read_folder(reference, "reference")
    assert read is not None
    bins = bins_of(read.profiles)
    expected = {("default", name): value for name, value in psi(bins, pooled).items()}
    whole = {
        ("default", name): float(sum(row[place] is not None for row in pooled)) for place, name in enumerate(NAMES)
    }

    until(lambda: prometheus.ask("sidecar:drift_rows:sum1h") == whole)
    found = until(lambda: close(prometheus.ask("sidecar:drift_psi:1h"), expected))

    assert {name: value > 0.25 for (_, name), value in found.items()} == {
        "amount": True,
        "age": False,
        "country": False,
    }
    (alert,) = until(lambda: active(alertmanager))
    assert alert["labels"] == {
        "alertname": "SidecarFleetDrift",
        "job": "scorer",
        "feature_flag_result_variant": "default",
        "sidecar_column": "amount",
        "severity": "warning",
    }
    # A text is no bin of ours, whatever it says.
    missing = {
        name: value for (_, name, held), value in prometheus.ask("sidecar:drift_bin_rows:sum1h").items()
        if held == "missing"
    }  # fmt: skip
    assert missing == {name: len(pooled) - whole["default", name] for name in NAMES}


def send(one: Sidecar, rows: list[Row]) -> None:
    for start in range(0, len(rows), BATCH):
        body = {"instances": rows[start : start + BATCH]}
        assert requests.post(one.url + PREDICT, json=body, timeout=PATIENCE_S).status_code == 200


def close(found: dict[tuple[str, ...], float], expected: dict[tuple[str, str], float]) -> dict[tuple[str, ...], float]:
    """What was found, once it is what is expected; the last evaluation may have seen some of the rows."""
    same = found.keys() == expected.keys() and all(
        math.isclose(found[key], value, rel_tol=0, abs_tol=1e-9) for key, value in expected.items()
    )
    return found if same else {}


def psi(bins: Bins, rows: list[Row]) -> dict[str, float]:
    """By numpy: shares of the rows with a value, none below 1e-4."""
    columns = list(zip(*rows, strict=True))
    values = np.full((len(rows), len(NAMES)), np.nan)
    values[:, 0] = [np.nan if cell is None else cell for cell in columns[0]]
    values[:, 1] = columns[1]
    order = [NAMES.index(name) for name in bins.names]
    places = bins.places(values[:, order], {order.index(2): list(columns[2])})
    found = {}
    for column, name in enumerate(bins.names):
        now = np.bincount(places[:, column], minlength=BINS + 1)[:BINS]
        then = bins.reference[column, :BINS]
        q, p = (np.maximum(counts / counts.sum(), 1e-4) for counts in (now, then))
        found[name] = float(((q - p) * np.log(q / p)).sum())
    return found


def test_the_rules_do_what_they_say(tmp_path: Path) -> None:
    """Two pods whose rows grow by 10 and 20 a minute in the wrong bin; another job's are as they should be."""

    def series(pod: str, held: str, values: str, job: str = "m") -> JSON:
        at = f"job='{job}', feature_flag_result_variant='v', sidecar_column='x', sidecar_bin='{held}', pod='{pod}'"
        return {"series": f"sidecar_drift_bin_rows_total{{{at}}}", "values": values}

    def reference(job: str, held: str) -> JSON:
        at = f"job='{job}', pod='a', sidecar_column='x', sidecar_bin='{held}'"
        return {"series": f"sidecar_drift_bin_reference{{{at}}}", "values": "500x200"}

    psi_of_all_in_one = (1 - 0.5) * math.log(1 / 0.5) + (1e-4 - 0.5) * math.log(1e-4 / 0.5)
    labels = "feature_flag_result_variant='v', sidecar_column='x'"
    firing = {
        "exp_labels": {
            "job": "m", "feature_flag_result_variant": "v", "sidecar_column": "x", "severity": "warning",
        },
        "exp_annotations": {
            "summary": "x of v has drifted in the fleet",
            "description": "The PSI of the last hour's rows, all pods of m together, is 4.60, expected at most 0.25. "
            "`GET /v1/drift` of a pod says which values have moved.",
        },
    }  # fmt: skip
    document = {
        "rule_files": [str(RULES)],
        "evaluation_interval": "1m",
        "tests": [
            {
                "interval": "1m",
                "input_series": [
                    series("a", "<= 1", "0x200"), series("a", "> 1", "0+10x200"), series("a", "missing", "0+5x200"),
                    series("b", "<= 1", "0x200"), series("b", "> 1", "0+20x200"), series("b", "gone", "0+9x200"),
                    # It begins anew after half an hour, and is gone after an hour.
                    series("c", "<= 1", "0+10x30 0+10x29 stale", "n"), series("c", "> 1", "0+10x30 0+10x29 stale", "n"),
                    *(reference(job, held) for job in "mn" for held in ("<= 1", "> 1", "missing")),
                ],
                "promql_expr_test": [
                    exactly("sidecar:drift_bin_rows:sum1h{job='m', sidecar_bin='> 1'}", 30 * 60),
                    exactly("sidecar:drift_bin_rows:sum1h{job='m', sidecar_bin='missing'}", 5 * 60),
                    exactly("count(sidecar:drift_bin_rows:sum1h{sidecar_bin='gone'}) or vector(0)", 0),
                    exactly(f"sidecar:drift_rows:sum1h{{job='m', {labels}}}", 30 * 60),
                    exactly(f"abs(sidecar:drift_psi:1h{{job='m'}} - {psi_of_all_in_one!r}) < bool 1e-9", 1),
                    exactly("abs(sidecar:drift_psi:1h{job='n'}) < bool 1e-9", 1),
                ],
                "alert_rule_test": [
                    {"eval_time": "30m", "alertname": "SidecarFleetDrift", "exp_alerts": []},
                    {"eval_time": "90m", "alertname": "SidecarFleetDrift", "exp_alerts": [firing]},
                ],
            }
        ],
    }  # fmt: skip
    file = tmp_path / "test.yaml"
    file.write_text(yaml.safe_dump(document))

    for command in (["check", "rules", str(RULES)], ["test", "rules", str(file)]):
        done = subprocess.run([program("promtool"), *command], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr


def exactly(query: str, value: float) -> JSON:
    """The one value of a query after an hour and a half."""
    return {"expr": f"max({query})", "eval_time": "90m", "exp_samples": [{"value": value, "labels": "{}"}]}
