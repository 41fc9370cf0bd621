import numpy as np

from sidecar.experiments.experiment import Experiment, Rows
from sidecar.experiments.measures import Errors
from sidecar.experiments.standing import Standing
from sidecar.instruments import experiment_metrics
from tests.instruments.rig import by_name


def standing(rows: int) -> Standing:
    """Of a challenger that fails half of the time."""
    experiment = Experiment("t", "champion", ("challenger",), [Errors(margin=0.05)], wrong=0.05, min_rows=50)
    experiment.begin({"champion": 1, "challenger": 1}, 0.0)
    units, times = np.arange(1, rows + 1, dtype=np.uint64), np.ones(rows)
    for variant, failed in (("champion", np.zeros(rows, bool)), ("challenger", units % 2 == 0)):
        experiment.served(Rows(variant, units, times), failed, times)
    return experiment.look(2.0)


def test_what_an_experiment_says_is_told_of_each_challenger_and_measure() -> None:
    told = by_name(experiment_metrics({"experiment": standing(1000)}, 3, None))
    at = {"sidecar.experiment": "experiment", "feature_flag.result.variant": "challenger", "sidecar.metric": "errors"}
    ((where, estimate),) = told["sidecar.experiment.estimate"].points
    assert (where, estimate) == (at, 0.5)
    (low,), (high,) = ([value for _, value in told[f"sidecar.experiment.{end}"].points] for end in ("low", "high"))
    assert isinstance(low, float)
    assert isinstance(high, float)
    assert 0 < low < 0.5 < high < 1
    words = {where["sidecar.verdict"]: value for where, value in told["sidecar.experiment.verdict"].points}
    assert {word for word, value in words.items() if value == 1} == {"worse"}
    assert len(words) > 1
    rows = {where["feature_flag.result.variant"]: value for where, value in told["sidecar.experiment.rows"].points}
    assert rows == {"champion": 1000, "challenger": 1000}
    assert told["sidecar.experiment.dropped"].points == [({}, 3)]
    assert told["sidecar.rollout.percent"].points == []


def test_what_is_not_known_is_left_out() -> None:
    told = by_name(experiment_metrics({"rollout": standing(0)}, 0, 5.0))
    for name in ("estimate", "low", "high"):
        values = [value for _, value in told[f"sidecar.experiment.{name}"].points if isinstance(value, float)]
        assert np.isfinite(values).all()
    assert told["sidecar.experiment.estimate"].points == []
    assert told["sidecar.rollout.percent"].points == [({}, 5.0)]


def test_without_an_experiment_there_is_nothing_to_tell() -> None:
    assert all(metric.points == [] for metric in experiment_metrics({}, 0, None))
