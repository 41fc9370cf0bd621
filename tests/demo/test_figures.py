import math

from sidecar.demo.figures import Column, Drift, Figures, Suspect, read, read_drift
from sidecar.records import JSON

NO_QUANTILES = {"p50": None, "p90": None, "p99": None}


def column(name: str, mean: float | None) -> JSON:
    window = {"rows": 4, "missing": 1, "mean": mean, "std": 0.5, "quantiles": {"0.25": 0.1, "0.5": 2.0}}
    return {"name": name, "window": window, "lifetime": {}}


def status(**variant: JSON) -> JSON:
    captures = {"rows": {"default": 4}, "dropped": {"buffer": 2, "stopped": 1}}
    return {"variants": [{"duration_s": NO_QUANTILES, "overhead_s": NO_QUANTILES} | variant], "captures": captures}


def test_durations_are_read_from_the_variant() -> None:
    told = status(duration_s={"p50": 0.5, "p99": 0.9}, overhead_s={"p50": 0.1, "p99": 0.2})

    assert read(told, {"variants": []}, ()) == Figures(0.5, 0.9, 0.1, 0.2, rows=4, dropped=3, columns=[])


def test_before_the_first_request_there_is_nothing_to_tell() -> None:
    figures = read(status(), {"variants": []}, ("area",))

    assert (figures.p50_s, figures.overhead_p99_s, figures.columns) == (None, None, [])


def test_chosen_features_come_before_all_predictions() -> None:
    features = {
        "features": [column("radius", 1.5), column("area", None), column("texture", 1.0)],
        "predictions": [column("predict", 0.0)],
    }

    assert read(status(), {"variants": [features]}, ("radius", "area")).columns == [
        Column("radius", rows=4, mean=1.5, std=0.5, median=2.0, missing=1),
        Column("area", rows=4, mean=None, std=0.5, median=2.0, missing=1),
        Column("predict", rows=4, mean=0.0, std=0.5, median=2.0, missing=1),
    ]


def judged(name: str, nats: float | None, drift: JSON = None) -> JSON:
    return {"name": name, "evidence_nats": nats, "drift": drift}


def test_what_drifts_comes_before_what_may() -> None:
    drift = {"text": "above 2: 10 % → 30 %", "evidence_nats": 18.5, "needed_nats": 16.0}
    columns = [judged("radius", 3.0), judged("area", 9.0), judged("texture", 0.5, drift)]

    seen = read_drift({"variants": [{"rows": 70, "columns": columns}]}, 1e6)

    alone = math.log(3e6)
    assert seen == Drift(
        rows=70,
        suspects=[
            Suspect("texture", 18.5, 16.0, "above 2: 10 % → 30 %"),
            Suspect("area", 9.0, alone, None),
            Suspect("radius", 3.0, alone, None),
        ],
    )
    assert seen.drifting == ["texture"]


def test_a_feature_without_evidence_is_no_suspect() -> None:
    columns = [judged("radius", None), judged("area", -1.0), judged("texture", 0.0)]

    assert read_drift({"variants": [{"rows": 1, "columns": columns}]}, 1e6).suspects == []


def test_before_the_first_row_nothing_drifts() -> None:
    assert read_drift({"variants": []}, 1e6) == Drift(0, [])
