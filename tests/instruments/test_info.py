from sidecar.instruments.info import info_metrics


def test_what_runs_is_told() -> None:
    assert info_metrics("1.2.3")[0].points == [({"service.version": "1.2.3"}, 1)]
