import pytest

from sidecar.catalog.mlflow_link import Link
from sidecar.catalog.mlflow_tracking import Tracking
from sidecar.errors import UnknownError
from tests.catalog.mlflow_server import MlflowServer

NOW_S = 1_785_412_800.0


@pytest.fixture
def tracking(mlflow: MlflowServer) -> Tracking:
    mlflow.wipe()
    return Tracking(Link(mlflow.uri, 60.0))


def test_an_experiment_is_made_once(tracking: Tracking) -> None:
    for name in ("fraud", ""):
        with pytest.raises(UnknownError):
            tracking.experiment(name)
    assert tracking.made("fraud") == tracking.made("fraud") == tracking.experiment("fraud").experiment_id


def test_runs_of_several_experiments_are_found_by_their_ids(tracking: Tracking, mlflow: MlflowServer) -> None:
    runs = [tracking.begin(group, "", {}, NOW_S).info.run_id for group in ("a", "b", "a", "a")]
    mlflow.say(f"client.delete_run('{runs[2]}')")
    found = tracking.those([*runs, "nobody", "' or '", "", runs[0]])
    assert {run: tracking.group_of(each) for run, each in found.items()} == {runs[0]: "a", runs[1]: "b", runs[3]: "a"}


def test_a_run_that_was_deleted_or_can_be_none_is_not_there(tracking: Tracking, mlflow: MlflowServer) -> None:
    run = tracking.begin("a", "", {}, NOW_S).info.run_id
    assert tracking.run(run).info.run_id == run
    mlflow.say(f"client.delete_run('{run}')")
    for name in (run, "", "../x", "x" * 1000):
        assert tracking.find(name) is None


def test_no_more_points_are_read_than_asked_for(tracking: Tracking) -> None:
    run = tracking.begin("a", "", {}, NOW_S).info.run_id
    values = [{"key": name, "value": 1.0, "timestamp": n, "step": n} for name in "ab" for n in range(3)]
    tracking.log([{"run_id": run, "metrics": values}])
    read = tracking.points(tracking.run(run), 4)
    assert [(each.key, each.step) for each in read] == [("a", 0), ("a", 1), ("a", 2), ("b", 0)]
